# SPDX-License-Identifier: MIT
"""The guests that there are: what each is made of. All are kept below one folder, each in a folder of
its own, and made again when what makes them changes."""

import hashlib
import shutil
import tempfile
from pathlib import Path

import disk
import initramfs
from kernel import Kernel
from packages import NATIVE, Missing, Packages, locked

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build/guests"

# Modules by what a guest does with them. crc32c_generic: ext4 asks for it by what it does, not by name.
IDE = ("ata_piix", "sd_mod", "sr_mod")
EXT4 = ("crc32c_generic", "ext4")

GRUB_CFG = """\
serial --unit=0 --speed=115200
terminal_input serial console
terminal_output serial console
set timeout=1
set default=0
menuentry "Linux" {
    echo "grub: loading"
    linux /boot/vmlinuz console=ttyS0 root=/dev/sda1 quiet
    initrd /boot/initrd.gz
}
"""

# The first program on a disk's root. It counts boots in a file, which lasts.
DISK_INIT = """\
#!/bin/sh
export PATH=/bin HOME=/ TERM=dumb
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts
mount -t devpts pts /dev/pts
mount -o remount,rw /
boots=$(($(cat /boots) + 1))
echo $boots >/boots
sync
echo "guest: root on disk, boot $boots"
exec /bin/session
"""


def busybox(packages, architecture=NATIVE):
    return packages.file("busybox-static", "bin/busybox", architecture)


def linux(kind, modules=(), architecture=NATIVE):
    """A kernel and an initramfs to boot with -kernel and -initrd."""
    def make(packages, folder):
        kernel = Kernel(packages, kind, architecture)
        (folder / "vmlinuz").write_bytes(kernel.image())
        (folder / "initrd.gz").write_bytes(
            initramfs.make(busybox(packages, architecture), kernel.modules(modules) if modules else ()))
    return make


def grub_disk(kind, modules, size):
    """A disk with GRUB, a kernel, an initramfs and a root on ext4."""
    def make(packages, folder):
        kernel = Kernel(packages, kind)
        tree = initramfs.root(busybox(packages))
        tree.folder("sbin")
        tree.file("sbin/init", DISK_INIT, 0o755)
        tree.file("boots", "0\n")
        tree.file("boot/vmlinuz", kernel.image())
        tree.file("boot/initrd.gz", initramfs.make(busybox(packages), kernel.modules(modules)))
        tree.file("boot/grub/grub.cfg", GRUB_CFG)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            root, grub = Path(scratch, "root"), Path(scratch, "grub")
            tree.write(root)
            for package in ("grub-pc-bin", "grub-common", "libdevmapper1.02.1"):
                packages.unpack(package, grub)
            modules_folder = grub / "usr/lib/grub/i386-pc"
            shutil.copytree(modules_folder, root / "boot/grub/i386-pc",
                            ignore=lambda _, names: [n for n in names if not n.endswith((".mod", ".lst"))])
            disk.ext4(Path(scratch, "ext4"), root, size, "guest")
            disk.bootable(folder / "disk.img", Path(scratch, "ext4"), grub, scratch)
    return make


def rescue(packages, folder):
    """GRUB's rescue CD and floppy."""
    for name in ("grub-rescue-cdrom.iso", "grub-rescue-floppy.img"):
        content = packages.file("grub-rescue-pc", f"usr/lib/grub-rescue/{name}")
        (folder / name).write_bytes(content)


def memtest(packages, folder):
    for source in ("boot/memtest86+x64.bin", "boot/memtest86+ia32.bin", "usr/lib/memtest86+/memtest86+x64.iso"):
        (folder / source.rsplit("/", 1)[1]).write_bytes(packages.file("memtest86+", source))


def numbers(_, folder):
    """A disk of bytes to be read back."""
    (folder / "numbers.img").write_bytes(disk.pattern(1 << 20))


# Name, what it is, how it is made.
RECIPES = (
    ("cloud", "Debian's cloud kernel and busybox", linux("linux-image-cloud-amd64")),
    ("amd64", "Debian's amd64 kernel with drivers for IDE, ext4 and e1000",
     linux("linux-image-amd64", (*IDE, *EXT4, "e1000"))),
    ("disk-cloud", "a disk that boots the cloud kernel through GRUB", grub_disk("linux-image-cloud-amd64", IDE[:2],
                                                                              80 << 20)),
    ("disk-amd64", "a disk that boots the amd64 kernel through GRUB, with ext4 as a module",
     grub_disk("linux-image-amd64", (*IDE[:2], *EXT4), 80 << 20)),
    ("rescue", "GRUB's rescue CD and floppy", rescue),
    ("memtest", "memtest86+", memtest),
    ("i686", "Debian's 686 kernel (i386) and busybox", linux("linux-image-686", architecture="i386")),
    ("i686-pae", "Debian's 686-pae kernel (i386) and busybox", linux("linux-image-686-pae", architecture="i386")),
    ("numbers", "a disk of 1 MiB of random bytes", numbers),
)
NAMES = tuple(name for name, _, _ in RECIPES)


def recipe_digest():
    """What tells that the makers changed."""
    found = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()


def guest(name, folder=FOLDER):
    """The folder of a guest, which is made if it is not there."""
    for known, _, make in RECIPES:
        if known == name:
            break
    else:
        raise Missing(f"there is no guest {name}; guests are: {' '.join(NAMES)}")
    where = Path(folder) / name
    mark = where / "made-from"
    with locked(Path(folder)):
        if not mark.exists() or mark.read_text().strip() != recipe_digest():
            shutil.rmtree(where, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=folder) as scratch:
                new = Path(scratch, name)
                new.mkdir()
                make(Packages(Path(folder) / "packages"), new)
                (new / "made-from").write_text(recipe_digest() + "\n")
                new.rename(where)
    return where
