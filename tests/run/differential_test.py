# SPDX-License-Identifier: MIT
#
# Opcode rows on the real CPU and in the engine, and what guest probes tell of them: tests/differential
# does the work, here it is started.
import re
import subprocess
import time
import unittest

from recording import BUILD, LONG

PROGRAM = f"{BUILD}/tests/differential"
# What the short form runs as: two of each level, besides max.
MODELS = ("qemu64", "Nehalem", "IvyBridge", "Haswell")


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

    def test_soft_tlb(self):
        """In system mode: each case on RAM and on registers of a device, TLB cold and warm."""
        each = 1000 if LONG else 60
        cases, faults = self.check("--soft", "--cases", str(each))
        self.assertGreater(cases, 2000 * each)
        self.assertGreater(faults, cases // 20)

    def test_soft_tlb_programs(self):
        cases, faults = self.check("--soft", "--row", "program", "--cases", "100000" if LONG else "4000")
        self.assertGreater(faults, cases // 20)

    def test_programs(self):
        cases, faults = self.check("--row", "program", "--cases", "200000" if LONG else "4000")
        self.assertEqual(cases, 200000 if LONG else 4000)
        self.assertGreater(faults, cases // 20)

    def test_models(self):
        """Each model executes what it has, and what it lacks is undefined."""
        known, _ = self.cpu_help()
        for model in known if LONG else MODELS:
            with self.subTest(model=model):
                self.assertIn(model, known)
                self.check("--cpu", model, "--cases", "100" if LONG else "10")

    def test_features_that_are_off(self):
        """Without one feature, what is left is executed. The short form takes away a twelfth of the
        features at once, another from day to day."""
        _, features = self.cpu_help()
        self.assertGreater(len(features), 100)
        day = int(time.time()) // 86400
        sets = [[name] for name in features] if LONG else [features[day % 12::12]]
        for names in sets:
            cpu = ",".join(["max", *(f"-{name}" for name in names)])
            with self.subTest(cpu=cpu):
                self.check("--cpu", cpu, "--cases", "8")

    def cpu_help(self):
        """The names of models, without aliases, and of features."""
        done = subprocess.run([f"{BUILD}/vitrine-user", "-cpu", "help"], capture_output=True, text=True,
                              timeout=60, check=True)
        models, features = done.stdout.split("\nRecognized CPUID flags:\n")
        names = re.findall(r"^x86 (\S+)  (?!.*\(alias of)", models, re.MULTILINE)
        return [name for name in names if "-v" not in name or name.startswith("x86-64")], features.split()

    def test_bytes_that_are_no_instruction(self):
        each = 500000 if LONG else 5000
        self.assertEqual(self.check("--row", "undefined", "--cases", str(each)), (each, each))


if __name__ == "__main__":
    unittest.main()
