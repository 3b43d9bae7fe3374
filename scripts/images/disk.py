# SPDX-License-Identifier: MIT
"""Raw disk images, made without root and without loop devices: file systems by `mke2fs -d`, a partition
table and GRUB written to where the BIOS and GRUB look for them."""

import os
import random
import shutil
import struct
import subprocess
from pathlib import Path

from packages import Missing, command

SECTOR = 512
FIRST = 2048  # first sector of the partition: what is between it and the first sector is GRUB's
LINUX = 0x83
ENVIRONMENT = dict(os.environ, LC_ALL="C", SOURCE_DATE_EPOCH="1700000000", E2FSPROGS_FAKE_TIME="1700000000")

# GRUB's boot.img holds the number of core.img's first sector, and that ends in a list of the others: first
# sector, how many, and the segment to load them to.
KERNEL_SECTOR = 0x5c
BLOCK_LIST = SECTOR - 12
CODE_SIZE = 440  # of the first sector; a disk's signature and the partition table follow

GRUB_MODULES = ("biosdisk", "part_msdos", "ext2", "linux", "normal", "serial", "terminal", "echo", "reboot", "halt",
                "configfile", "test", "ls", "cat", "search", "minicmd")


def mke2fs():
    """Where mke2fs is: users other than root do not have /sbin in their PATH."""
    path = shutil.which("mke2fs", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        raise Missing("mke2fs is missing: Debian's package e2fsprogs has it (scripts/install-deps check)")
    return path


def ext4(path, folder, size, label):
    """Writes an ext4 file system of `size` bytes with all that is in the folder, owned by root."""
    path.unlink(missing_ok=True)
    fine, said = command([mke2fs(), "-q", "-t", "ext4", "-L", label, "-E", "root_owner=0:0,hash_seed="
                          "76697472-696e-652d-6775-657374000000", "-U", "76697472-696e-652d-6775-657374000001",
                          "-d", folder, path, f"{size // 1024}k"], ENVIRONMENT)
    if not fine:
        raise Missing(f"mke2fs failed: {said.strip()}")


def partition_entry(first, sectors, kind, active):
    """An entry of the partition table of a PC. Ends that no cylinder reaches are all ones."""
    return struct.pack("<B3sB3sII", 0x80 if active else 0, b"\xfe\xff\xff", kind, b"\xfe\xff\xff", first, sectors)


def grub_core(grub, scratch):
    """GRUB's core.img, which finds the rest on the first partition of its disk."""
    folder = grub / "usr/lib/grub/i386-pc"
    libraries = grub / "usr/lib/x86_64-linux-gnu", grub / "lib/x86_64-linux-gnu"
    core = Path(scratch) / "core.img"
    fine, said = command([grub / "usr/bin/grub-mkimage", "-d", folder, "-O", "i386-pc", "-o", core,
                          "-p", "(hd0,msdos1)/boot/grub", *GRUB_MODULES],
                         dict(ENVIRONMENT, LD_LIBRARY_PATH=":".join(map(str, libraries))))
    if not fine:
        raise Missing(f"grub-mkimage failed: {said.strip()}")
    return (folder / "boot.img").read_bytes(), bytearray(core.read_bytes())


def bootable(path, file_system, grub, scratch):
    """Writes a disk with the file system as its one partition, which GRUB boots."""
    boot, core = grub_core(grub, scratch)
    core += bytes(-len(core) % SECTOR)
    if len(core) > (FIRST - 1) * SECTOR:
        raise Missing("GRUB's core.img does not fit before the first partition")
    # boot.img loads the sector after itself; that loads the rest of core.img, which follows.
    first = bytearray(boot[:CODE_SIZE])
    struct.pack_into("<Q", first, KERNEL_SECTOR, 1)
    struct.pack_into("<QHH", core, BLOCK_LIST, 2, len(core) // SECTOR - 1, 0x820)
    sectors = file_system.stat().st_size // SECTOR
    first += struct.pack("<IH", 0x76747269, 0) + partition_entry(FIRST, sectors, LINUX, True) + bytes(48) + b"\x55\xaa"
    with open(path, "wb") as out:
        out.write(first + core)
        out.seek(FIRST * SECTOR)
        with open(file_system, "rb") as source:
            shutil.copyfileobj(source, out)
    sparse(path)


def sparse(path):
    """Gives zeros of a file back to the system; one that cannot do that keeps them."""
    subprocess.run(["fallocate", "--dig-holes", path], check=False, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


def pattern(size):
    """Bytes to be read back, of which no two sectors are the same."""
    return random.Random(size).randbytes(size)
