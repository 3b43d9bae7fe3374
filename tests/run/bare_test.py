# SPDX-License-Identifier: MIT
#
# The bare-metal programs of tests/bare under vitrine: each must pass all its cases, in the form for
# -bios and, in the long form, in that for -kernel too. tests/bare/README.md tells of the programs.
#
# VITRINE names another program to run them with, to see the tests themselves at work.
import glob
import os
import re
import subprocess
import tempfile
import time
import unittest

from recording import BUILD

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.environ.get("VITRINE", os.path.join(BUILD, "vitrine"))
FOLDER = os.path.join(BUILD, "tests", "bare")
LONG = os.environ.get("VITRINE_CHECK") == "long"
PCI_READS = [f"pci_cfg_read {device} 00:{place} @{offset:#x} -> {value:#x}"
             for device, place, values in (
                 ("i440FX", "00.0", (0x12378086, 0x6000002, 0x0)),
                 ("PIIX3", "01.0", (0x70008086, 0x6010000, 0x0)),
                 ("piix3-ide", "01.1", (0x70108086, 0x1018000, 0x0)),
                 ("PIIX4_PM", "01.3", (0x71138086, 0x6800003, 0x109)),
                 ("VGA", "02.0", (0x11111234, 0x3000002, 0x0)),
                 ("e1000", "03.0", (0x100e8086, 0x2000003, 0x10b)))
             for offset, value in zip((0, 0, 8, 0x3c), (values[0], *values))]
# isa-debug-exit makes 2 * value + 1 of what is written to it.
ENDED_WELL = 1


def note(name, key):
    """What the head of a program's source says behind `key:`; "" when nothing."""
    with open(os.path.join(TOP, "tests", "bare", name + ".c"), encoding="utf-8") as file:
        found = re.search(rf"^/\* {key}: (.*) \*/$", file.read(2000), re.M)
    return found[1].strip() if found else ""


def command(name, image, *more):
    return [PROGRAM, "-cpu", "max", "-display", "none", "-nodefaults", "-debugcon", "stdio",
            "-device", "isa-debug-exit,iobase=0xf4,iosize=4", *image, *note(name, "options").split(),
            *([] if note(name, "resets") else ["-no-reboot"]), *more]


def run(arguments, timeout=120):
    """What it printed, what it complained of, and its status or what happened instead."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(arguments, cwd=folder, stdin=subprocess.DEVNULL, timeout=timeout,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
            return done.stdout.decode("latin-1"), done.stderr.decode("latin-1"), done.returncode
        except subprocess.TimeoutExpired as expired:
            return ((expired.stdout or b"").decode("latin-1"), (expired.stderr or b"").decode("latin-1"),
                    f"still running after {timeout} s")


class Bare(unittest.TestCase):
    def passes(self, name, image):
        out, errors, status = run(command(name, image))
        bad = re.findall(r"^FAIL .*", out, re.M)
        self.assertEqual(bad, [], errors)
        end = re.search(r"^(\d+) passed, 0 failed$", out, re.M)
        self.assertTrue(end, f"no end: {status}\n{out[-1000:]}\n{errors}")
        self.assertGreater(int(end[1]), 0)
        self.assertEqual(len(re.findall(r"^ok ", out, re.M)) >= int(end[1]), True, out)
        self.assertEqual(status, ENDED_WELL, errors)


    def test_pci_walk_trace(self):
        """The reads that -d trace:pci_cfg_read shows are those of QEMU 7.2, but for the form of the place."""
        image = os.path.join(FOLDER, "pci_walk")
        out, errors, _ = run(command("pci_walk", ["-kernel", image], "-d", "trace:pci_cfg_read"))
        reads = re.findall(r"^(?:\S+ )?(pci_cfg_read .*)$", errors, re.M)
        self.assertEqual(reads[-len(PCI_READS):], PCI_READS, out)

    def test_stuck(self):
        """A loop with interrupts off: the monitor still answers, and quits."""
        with tempfile.TemporaryDirectory() as folder:
            console = os.path.join(folder, "console")
            arguments = [PROGRAM, "-cpu", "max", "-display", "none", "-nodefaults", "-debugcon", f"file:{console}",
                         "-monitor", "stdio", "-bios", os.path.join(FOLDER, "stuck.bin")]
            with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  cwd=folder) as process:
                begin = time.monotonic()
                while time.monotonic() < begin + 30 and "the loop begins" not in text(console):
                    time.sleep(0.05)
                self.assertIn("the loop begins", text(console))
                try:
                    out, errors = process.communicate(b"info registers\nquit\n", timeout=30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.communicate()
                    self.fail("quit did not end it")
            self.assertEqual(process.returncode, 0, errors)
            self.assertRegex(out.decode("latin-1"), r"EIP=000[0-9a-f]{5} EFL=")


def text(path):
    """What a file holds by now; "" when there is none yet."""
    try:
        with open(path, encoding="latin-1") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def add(name):
    image = os.path.join(FOLDER, name)

    def bios(self):
        self.passes(name, ["-bios", image + ".bin"])

    def kernel(self):
        self.passes(name, ["-kernel", image])

    setattr(Bare, f"test_{name}", bios)
    if LONG:
        setattr(Bare, f"test_{name}_kernel", kernel)


# Programs that need more than to be run have tests of their own below.
for source in sorted(glob.glob(os.path.join(TOP, "tests", "bare", "*.c"))):
    program = os.path.basename(source)[:-2]
    if not note(program, "ends"):
        add(program)


if __name__ == "__main__":
    unittest.main()
