# SPDX-License-Identifier: MIT
"""Kernels without a disk: each kind is started by firmware through our option ROMs, on our CPU, and says
what it was told.

VITRINE names another program to run them with, to see the tests themselves at work."""

import os
import re
import shutil
import subprocess
import tempfile
import unittest

from recording import BUILD, ROOT

PROGRAM = os.environ.get("VITRINE", os.path.join(BUILD, "vitrine"))
SOURCES = os.path.join(ROOT, "tests", "boot")
ENDED_WELL = 1  # isa-debug-exit makes 2 * value + 1 of what is written to it
MIB = 1 << 20
FIRMWARE_ROOM = 0x28000
# On 64-bit systems a compiler that makes 32-bit objects needs no library for them.
COMPILE = ["gcc", "-m32", "-std=gnu11", "-ffreestanding", "-fno-pic", "-fno-pie", "-fno-stack-protector",
           "-fcf-protection=none", "-fno-asynchronous-unwind-tables", "-fno-builtin", "-mgeneral-regs-only",
           "-fno-toplevel-reorder", "-Os", "-g0", "-Wall", "-Wextra", "-Werror"]


def checksum(data):
    value = 0
    for byte in data:
        value = (value * 31 + byte) & 0xFFFFFFFF
    return value


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="vitrine-test-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, data):
        with open(self.path(name), "wb") as file:
            file.write(data)

    def call(self, *command):
        subprocess.run(command, check=True, cwd=self.folder)

    def boot(self, *options, ram=64):
        """The lines of the kernel."""
        done = subprocess.run(
            [PROGRAM, "-display", "none", "-nodefaults", "-m", str(ram), "-debugcon", "stdio", "-device",
             "isa-debug-exit,iobase=0xf4,iosize=1", *options],
            cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=100, check=False)
        self.assertEqual((done.returncode, done.stderr), (ENDED_WELL, b""), done.stdout)
        return done.stdout.decode("latin-1").splitlines()


class Image(Case):
    """Multiboot and PVH kernels."""

    def kernel(self, name, *defines):
        self.call(*COMPILE, *defines, "-c", os.path.join(SOURCES, "told.c"), "-o", name + ".o")
        self.call("ld", "-m", "elf_i386", "-n", "-nostdlib", "-z", "noexecstack", "--no-warn-rwx-segments",
                  "-T", os.path.join(SOURCES, "told.ld"), name + ".o", "-o", name)
        return name

    def told(self, lines):
        """{first word: [what follows, by line]}; numbers as such."""
        found = {}
        for line in lines:
            word, _, rest = line.partition(" ")
            value = rest[1:-1] if rest.startswith("[") else [int(n, 16) for n in rest.split()]
            found.setdefault(word, []).append(value)
        self.assertEqual(lines[-1], "end")
        return found

    def check_memory(self, told, ram):
        """The map has the memory that there is; where the second MiB's range ends."""
        ranges = [(low | high << 32, size_low | size_high << 32)
                  for low, high, size_low, size_high, kind in told["map"] if kind == 1]
        self.assertEqual(ranges[0][0], 0)
        upper = [size for base, size in ranges if base == MIB]
        self.assertEqual(len(upper), 1, ranges)
        self.assertTrue(ram - 2 * FIRMWARE_ROOM <= MIB + upper[0] <= ram, ranges)
        return MIB + upper[0]

    def multiboot(self, *options, ram=64):
        first, second = os.urandom(5000), os.urandom(4096)
        self.write("first", first)
        self.write("second,2", second)
        name = self.kernel("multiboot", "-DMULTIBOOT=7")
        told = self.told(self.boot("-kernel", name, "-append", "x y=1", "-initrd",
                                   "first a=1 b,second,,2", *options, ram=ram))
        self.assertEqual(told["entered"], [[0x2BADB002, 0, 1]])  # interrupts and paging off, protected
        self.assertEqual(told["bss"], [[0]])
        self.assertEqual(told["low"], [[0x5A, 0xA5]])
        self.assertEqual(told["flags"][0][0] & 0x24D, 0x24D)
        self.assertEqual(told["cmdline"], ["multiboot x y=1"])
        self.assertEqual(told["loader"], ["vitrine"])
        self.assertEqual(told["string"], ["first a=1 b", "second,2"])
        self.assertEqual([m[1:] for m in told["module"]],
                         [[5000, checksum(first)], [4096, checksum(second)]])
        self.assertEqual([m[0] % 4096 for m in told["module"]], [0, 0])
        end = self.check_memory(told, ram * MIB)
        lower, upper = told["mem"][0]
        self.assertTrue(600 <= lower <= 640, lower)
        self.assertEqual(upper, (end - MIB) // 1024)
        return told

    def test_multiboot(self):
        self.assertNotIn("framebuffer", self.multiboot())

    def test_multiboot_without_dma(self):
        self.multiboot("-global", "fw_cfg_io.dma_enabled=off")

    def test_multiboot_with_a_display(self):
        told = self.multiboot("-vga", "std")
        self.assertEqual(told["framebuffer"], [[0xB8000, 0, 160, 80, 25, 0x210]])

    def test_reset(self):
        """What lies in memory from before does not show: bss is zeroed, segments are loaded again."""
        lines = self.boot("-kernel", self.kernel("again", "-DMULTIBOOT=3"), "-append", "again")
        told = self.told(lines)
        self.assertEqual(told["entered"], [[0x2BADB002, 0, 1]] * 2)
        self.assertEqual(told["bss"], [[0]] * 2)
        self.assertEqual(told["low"], [[0x5A, 0xA5]] * 2)

    def test_pvh(self):
        disk = os.urandom(7777)
        self.write("disk", disk)
        told = self.told(self.boot("-kernel", self.kernel("pvh", "-DPVH"), "-append", "x y=1", "-initrd",
                                   "disk"))
        self.assertEqual(told["entered"], [[0, 0, 1]])
        self.assertEqual(told["bss"], [[0]])
        self.assertEqual(told["start"], [[0x336EC578, 1, 0, 1]])
        self.assertEqual(told["cmdline"], ["x y=1"])
        self.assertEqual([m[1:] for m in told["module"]], [[7777, checksum(disk)]])
        end = self.check_memory(told, 64 * MIB)
        self.assertLessEqual(told["module"][0][0] + 7777, end)
        self.assertEqual(told["rsdp"], [[0x20445352, 0x20525450]])


class Linux(Case):
    """Kernels of every layout of the boot protocol."""

    # version, high: segment of the setup, stack, heap_end_ptr, loadflags, address of the kernel
    LAYOUTS = {
        (0x000, 0): (0x9000, 0x97F0, 0, 0, 0x10000),
        (0x200, 1): (0x9000, 0x97F0, 0, 1, 0x100000),
        (0x201, 0): (0x9000, 0x97F0, 0x9600, 0x80, 0x10000),
        (0x202, 0): (0x9000, 0x97F0, 0x9600, 0x80, 0x10000),
        (0x202, 1): (0x1000, 0xFFF0, 0xFE00, 0x81, 0x100000),
        (0x20F, 1): (0x1000, 0xFFF0, 0xFE00, 0x81, 0x100000),
    }

    def start(self, version, high, *options):
        name = f"linux-{version:x}-{high}"
        self.call("as", "--32", f"--defsym=VERSION={version}", f"--defsym=HIGH={high}",
                  os.path.join(SOURCES, "setup.S"), "-o", name + ".o")
        self.call("objcopy", "-O", "binary", "-j", ".text", name + ".o", name)
        return self.boot("-kernel", name, *options)

    def check(self, version, high, *options):
        segment, stack, heap, loadflags, address = self.LAYOUTS[version, high]
        disk = os.urandom(5001)
        self.write("disk", disk)
        with_disk = ["-initrd", "disk"] if version else []
        lines = self.start(version, high, "-append", "a=1 vga=ask", *with_disk, *options)
        self.assertEqual(len(lines), 4, lines)
        numbers = [[int(n, 16) for n in line.split()] for line in (lines[0], lines[1], lines[3])]
        self.assertEqual(numbers[0], [segment + 0x20, *[segment] * 5, stack, 0])
        self.assertEqual(numbers[1], [0xFF if version else 0, heap, loadflags, 0xFFFD])
        self.assertEqual(lines[2], "a=1 vga=ask")
        self.assertEqual(numbers[2][:2], [address, 0x89ABCDEF])
        if version:
            at, size, end = numbers[2][2:]
            self.assertEqual((at % 4096, size), (0, 5001))
            self.assertLessEqual(at + size, 64 * MIB - FIRMWARE_ROOM)
            self.assertEqual(end, int.from_bytes(disk[-4:], "little"))
        else:
            self.assertEqual(numbers[2][2:], [0, 0])

    def test_without_dma(self):
        self.check(0x20F, 1, "-global", "fw_cfg_io.dma_enabled=off")


def add(version, high):
    def test(self):
        self.check(version, high)

    setattr(Linux, f"test_{version:03x}_{'high' if high else 'low'}", test)


for layout in Linux.LAYOUTS:
    add(*layout)


class Refusals(Case):
    def refused(self, *options):
        done = subprocess.run([PROGRAM, "-display", "none", *options], cwd=self.folder, timeout=60,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        return re.sub(r"^\S+: ", "", done.stderr.strip())

    def test_sentences(self):
        self.write("text", b"hello\n")
        self.assertEqual(self.refused("-kernel", "nothing"),
                         "could not open kernel file 'nothing': No such file or directory")
        self.assertEqual(self.refused("-append", "x"), "-append only allowed with -kernel option")
        self.assertEqual(self.refused("-initrd", "x"), "-initrd only allowed with -kernel option")
        self.assertIn("invalid kernel header", self.refused("-kernel", "text"))


if __name__ == "__main__":
    unittest.main()
