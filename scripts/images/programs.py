# SPDX-License-Identifier: MIT
"""Disks for guests with programs of this machine: the files of Debian's packages as they are installed here,
and of what they are linked with."""

import os
import shutil
import subprocess

import disk

# Of packages, but no use to a guest.
LEFT_OUT = ("/usr/share/doc", "/usr/share/man", "/usr/share/locale", "/usr/share/info",
            "/usr/lib/python3/dist-packages")
# What no package lists: links of alternatives, and files made at installation.
OTHERS = ("/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/alternatives/awk", "/usr/bin/awk",
          "/etc/alternatives/unlzma", "/usr/bin/unlzma", "/etc/ssl/openssl.cnf", "/usr/lib/ssl/openssl.cnf",
          "/etc/ld.so.cache", "/etc/protocols", "/etc/services", "/etc/host.conf", "/usr/bin/python3")

# For the shell of a guest: makes the disk a root with all that programs look for, and undoes that.
MOUNT = ("mount -t ext4 /dev/sda /mnt && mount -o bind /dev /mnt/dev && ln -s /proc/self/fd /mnt/dev/fd && "
         "mkdir /mnt/dev/shm && mount -t devpts pts /mnt/dev/pts && mount -t proc proc /mnt/proc && "
         "mount -t sysfs sys /mnt/sys && ifconfig lo up && ulimit -c 0")
UNMOUNT = "umount /mnt/dev/pts /mnt/dev /mnt/proc /mnt/sys && umount /mnt"


def linked_with(programs):
    """Paths of the libraries, and of the loader, that programs ask for."""
    found = set()
    for at in range(0, len(programs), 200):
        told = subprocess.run(["ldd", *programs[at:at + 200]], check=False, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True).stdout
        found |= {word for word in told.split() if word.startswith("/") and not word.endswith(":")}
    return found


def files_of(packages):
    """Paths of the files of packages that are installed, and of what they are linked with."""
    listed = subprocess.run(["dpkg-query", "-L", *packages], check=True, stdout=subprocess.PIPE, text=True).stdout
    found = {line for line in listed.splitlines() if line.startswith("/") and not line.startswith(LEFT_OUT)}
    return found | linked_with([path for path in found if os.path.isfile(path) and not os.path.islink(path)
                                and (os.access(path, os.X_OK) or ".so" in path)])


def copy_into(root, paths):
    """Copies files, and links with what they lead to, to the same places below a folder."""
    for path in sorted(paths):
        # Debian's /bin, /lib and /lib64 are links to folders of /usr.
        real = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        target = root / real.lstrip("/")
        if os.path.isdir(real) and not os.path.islink(real):
            target.mkdir(parents=True, exist_ok=True)
        elif os.path.lexists(real) and not os.path.lexists(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(real, target, follow_symlinks=False)
            if os.path.islink(real) and os.path.exists(real):
                copy_into(root, [os.path.realpath(real)])


def make_root(root, packages, files=()):
    """Fills a folder with what packages and other files of this machine are made of."""
    copy_into(root, files_of(packages) | set(OTHERS) | set(files))
    for name in ("bin", "sbin", "lib", "lib64"):
        if not (root / name).exists():
            (root / name).symlink_to(f"usr/{name}")
    for name in ("dev", "proc", "sys", "tmp", "root"):
        (root / name).mkdir(exist_ok=True)
    (root / "etc/hostname").write_text("guest\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")


def make_disk(path, root, room):
    """Writes a disk with all of the folder and `room` bytes more; it has no partitions."""
    used = int(subprocess.run(["du", "-s", "-k", root], check=True, stdout=subprocess.PIPE).stdout.split()[0])
    disk.ext4(path, root, (used * 5 // 4 << 10) + room, "programs")
