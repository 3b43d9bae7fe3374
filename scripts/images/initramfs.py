# SPDX-License-Identifier: MIT
"""An initramfs: a small root of busybox and kernel modules, as a cpio archive of the "newc" kind, which
the kernel's Documentation/driver-api/early-userspace/buffer-format.rst describes."""

import gzip
import stat

HEADER = "070701" + "{:08x}" * 13

# The root that every guest has. /init loads the modules in their order; what it prints first is the first
# output of user space. On the kernel's command line, root=/dev/NAME goes on to a root on a disk, and
# "do=COMMAND" runs a command before the shell. When the shell ends, so does the machine.
INIT = """\
#!/bin/sh
echo "guest: user space"
export PATH=/bin HOME=/ TERM=dumb
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /tmp
mount -t devpts pts /dev/pts
for module in $(cat /modules/order); do
    insmod /modules/$module.ko || echo "guest: $module could not be loaded"
done
for word in $(cat /proc/cmdline); do
    case $word in
    root=*) root=${word#root=} ;;
    esac
done
if [ -n "$root" ]; then
    turn=0
    until [ -b "$root" ] || [ $turn -eq 50 ]; do
        turn=$((turn + 1))
        sleep 0.1
    done
    mount -t ext4 "$root" /mnt && exec switch_root /mnt /sbin/init
    echo "guest: no root on $root"
fi
exec /bin/session
"""

# What is the same with a root in memory and on a disk.
SESSION = """\
#!/bin/sh
if [ -n "$do" ]; then
    eval "$do"
fi
echo "guest: shell"
setsid cttyhack sh
sync
poweroff -f
"""

# udhcpc calls it with what it was given.
UDHCPC = """\
#!/bin/sh
case $1 in
deconfig) ifconfig $interface 0.0.0.0 ;;
bound | renew)
    ifconfig $interface $ip netmask $subnet
    route add default gw $router
    echo "nameserver $dns" >/etc/resolv.conf
    echo "guest: address $ip router $router dns $dns"
    ;;
esac
"""

# What the static busybox lacks, in the form of its other builds, with the revision and the subsystem.
LSPCI = """\
#!/bin/sh
for device in /sys/bus/pci/devices/*; do
    cd $device
    read class <class; read vendor <vendor; read number <device; read revision <revision
    read whose <subsystem_vendor; read which <subsystem_device
    class=${class#0x}
    echo "${device##*/0000:} ${class%??}: ${vendor#0x}:${number#0x} (rev ${revision#0x}, ${whose#0x}:${which#0x})"
done
"""


def applets(busybox):
    """The names under which a busybox can be called: sorted and one after the other in its data."""
    begin = busybox.index(b"\0[\0[[\0") + 1
    end = busybox.index(b"\0\0", begin)
    return [name for name in busybox[begin:end].decode("ascii").split("\0") if name != "busybox"]


class Tree:
    """Files, folders, links and devices to be, by path without a slash in front."""

    def __init__(self):
        self.entries = {}

    def _add(self, path, mode, content=b"", device=(0, 0)):
        for at, letter in enumerate(path):
            if letter == "/":
                self.entries.setdefault(path[:at], (stat.S_IFDIR | 0o755, b"", (0, 0)))
        self.entries[path] = (mode, content, device)

    def folder(self, path):
        self._add(path, stat.S_IFDIR | 0o755)

    def file(self, path, content, mode=0o644):
        self._add(path, stat.S_IFREG | mode, content.encode() if isinstance(content, str) else content)

    def link(self, path, target):
        self._add(path, stat.S_IFLNK | 0o777, target.encode())

    def character(self, path, major, minor):
        self._add(path, stat.S_IFCHR | 0o600, device=(major, minor))

    def cpio(self):
        """All of it as an archive, which is the same for the same entries."""
        parts = []
        for number, (path, (mode, content, (major, minor))) in enumerate(self.entries.items(), 1):
            parts += _entry(number, path, mode, content, major, minor)
        parts += _entry(0, "TRAILER!!!", 0, b"", 0, 0)
        return b"".join(parts)

    def write(self, folder):
        """All of it but devices below a folder."""
        for path, (mode, content, _) in self.entries.items():
            where = folder / path
            if stat.S_ISDIR(mode):
                where.mkdir(parents=True, exist_ok=True)
            elif stat.S_ISLNK(mode):
                where.symlink_to(content.decode())
            elif stat.S_ISREG(mode):
                where.write_bytes(content)
                where.chmod(stat.S_IMODE(mode))


def _padded(data):
    return data + bytes(-len(data) % 4)


def _entry(number, path, mode, content, major, minor):
    name = path.encode() + b"\0"
    # ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
    header = HEADER.format(number, mode, 0, 0, 1, 0, len(content), 0, 0, major, minor, len(name), 0)
    return _padded(header.encode() + name), _padded(content)


def root(busybox):
    """The root that all guests have, without modules."""
    tree = Tree()
    for path in ("dev", "proc", "sys", "tmp", "etc", "bin", "modules", "mnt"):
        tree.folder(path)
    tree.character("dev/console", 5, 1)
    tree.character("dev/null", 1, 3)
    tree.file("bin/busybox", busybox, 0o755)
    for name in applets(busybox):
        tree.link(f"bin/{name}", "busybox")
    tree.file("bin/lspci", LSPCI, 0o755)
    tree.file("bin/session", SESSION, 0o755)
    tree.file("etc/udhcpc", UDHCPC, 0o755)
    tree.file("modules/order", "")
    return tree


def make(busybox, modules=(), files=()):
    """An initramfs, packed. `modules` are pairs of name and content in the order of loading, `files` pairs
    of path and content of programs."""
    tree = root(busybox)
    tree.file("init", INIT, 0o755)
    tree.file("modules/order", "".join(name + "\n" for name, _ in modules))
    for name, content in modules:
        tree.file(f"modules/{name}.ko", content)
    for path, content in files:
        tree.file(path, content, 0o755)
    return gzip.compress(tree.cpio(), 6, mtime=0)
