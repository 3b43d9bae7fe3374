# SPDX-License-Identifier: MIT
#
# -icount: time that counts instructions makes two runs alike, down to each register that is read and
# each interrupt that comes.
import os
import subprocess
import tempfile
import unittest

from recording import BUILD

PROGRAM = os.path.join(BUILD, "vitrine")
READER = os.path.join(BUILD, "vitrine-trace")
BARE = os.path.join(BUILD, "tests", "bare")
EVENTS = ("guest_interrupt", "guest_exception", "guest_iret", "guest_msr_*", "guest_cr_write", "pic_*")


def run(*arguments, status=1):
    done = subprocess.run([PROGRAM, "-display", "none", "-nodefaults", *arguments], timeout=120,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          check=False)
    if done.returncode != status:
        raise AssertionError(f"status {done.returncode}: {done.stderr.decode()}")
    return done.stderr.decode()


class Icount(unittest.TestCase):
    def record(self, program, folder, *more):
        """What a run of a bare-metal program did, event by event."""
        file = os.path.join(folder, "run.trace")
        run("-cpu", "max", "-no-reboot", "-debugcon", "null", "-device",
            "isa-debug-exit,iobase=0xf4,iosize=4", "-bios", os.path.join(BARE, program + ".bin"),
            "-serial", "null", "-rtc", "base=2026-01-01", "-seed", "7", "-icount", "shift=3,sleep=off",
            *(word for event in EVENTS for word in ("-trace", f"{event},file={file}")), *more)
        shown = subprocess.run([READER, "show", "--format", "log", file], check=True,
                               stdout=subprocess.PIPE).stdout
        os.remove(file)
        return shown.splitlines()

    def alike(self, program, least):
        with tempfile.TemporaryDirectory() as folder:
            first = self.record(program, folder)
            self.assertGreater(len(first), least)
            self.assertEqual(first, self.record(program, folder))

    def test_interrupts_of_the_pic(self):
        self.alike("interrupt_pic", 100)

    def test_interrupts_of_the_apic(self):
        self.alike("interrupt_apic", 100)

    def test_another_shift_is_another_time(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertNotEqual(self.record("interrupt_pic", folder),
                                self.record("interrupt_pic", folder, "-icount", "shift=5,sleep=off"))

    def test_one_cpu_only(self):
        self.assertIn("-icount: time by instructions is that of one CPU; leave out -smp",
                      run("-icount", "shift=3", "-smp", "2", "-S"))


if __name__ == "__main__":
    unittest.main()
