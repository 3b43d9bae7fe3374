# SPDX-License-Identifier: MIT
#
# Opcode rows on the real CPU and in the engine, and what guest probes tell of them: tests/differential
# does the work, here it is started.
import re
import subprocess
import unittest

from recording import BUILD, LONG

PROGRAM = f"{BUILD}/tests/differential"


def run(*args):
    done = subprocess.run([PROGRAM, *args], capture_output=True, text=True, timeout=3400)
    return done.returncode, done.stdout + done.stderr


class Differential(unittest.TestCase):
    def test_finds_planted_differences(self):
        status, output = run("--self-test")
        self.assertEqual(status, 0, output)
        self.assertIn("self-test: 0 failures", output)

    def test_real_cpu_gives_the_same_twice(self):
        status, output = run("--native", "--cases", "4")
        self.assertEqual(status, 0, output[-6000:])

    def check(self, *args):
        status, output = run(*args)
        self.assertEqual(status, 0, output[-12000:])
        summary = re.search(r"^all +(\d+) cases +(\d+) faults$", output, re.MULTILINE)
        self.assertIsNotNone(summary, output[-3000:])
        return int(summary[1]), int(summary[2])

    def test_every_row(self):
        each = 1000 if LONG else 150
        cases, faults = self.check("--cases", str(each))
        self.assertGreater(cases, 2000 * each) # rows and forms
        self.assertGreater(faults, cases // 20)

    def test_what_guest_probes_tell(self):
        each = 400 if LONG else 60
        cases, faults = self.check("--probes", "--cases", str(each))
        self.assertGreater(cases, 2000 * each)
        self.assertGreater(faults, cases // 20)

    def test_programs(self):
        cases, faults = self.check("--row", "program", "--cases", "200000" if LONG else "4000")
        self.assertEqual(cases, 200000 if LONG else 4000)
        self.assertGreater(faults, cases // 20)

    def test_bytes_that_are_no_instruction(self):
        each = 500000 if LONG else 5000
        self.assertEqual(self.check("--row", "undefined", "--cases", str(each)), (each, each))


if __name__ == "__main__":
    unittest.main()
