# SPDX-License-Identifier: MIT
"""-strace shows a call that lasts as soon as another thread's line comes in between, and at exit."""
import os
import re
import subprocess
import tempfile
import unittest

from recording import BUILD

VITRINE_USER = os.path.join(BUILD, "vitrine-user")
PROGRAM = os.path.join(BUILD, "tests", "lasting")


class Lasting(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        env = {name: value for name, value in os.environ.items() if not name.startswith("QEMU_")}
        with tempfile.TemporaryDirectory(prefix="vitrine-test-") as folder:
            log = os.path.join(folder, "log")
            cls.done = subprocess.run([VITRINE_USER, "-strace", "-D", log, PROGRAM], env=env,
                                      text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                      timeout=60)
            with open(log) as file:
                cls.lines = file.read().splitlines()

    def at(self, pattern):
        """Where the one line that matches is."""
        found = [i for i, line in enumerate(self.lines) if re.fullmatch(r"\d+ " + pattern, line)]
        self.assertEqual(len(found), 1, pattern + "\n" + "\n".join(self.lines))
        return found[0]

    def test_the_program_is_unchanged(self):
        self.assertEqual((self.done.returncode, self.done.stdout, self.done.stderr),
                         (0, "read\n", ""))

    def test_unfinished_and_resumed(self):
        begins = self.at(r"read\(\d+,0x[0-9a-f]+,5 <unfinished \.\.\.>")
        other = self.at(r"getppid\(\) = \d+")
        ends = self.at(r'<\.\.\. read resumed>\d+,"hello",5\) = 5')
        self.assertLess(begins, other)
        self.assertLess(other, ends)
        self.assertEqual(self.lines[begins].split()[0], self.lines[ends].split()[0])
        self.assertNotEqual(self.lines[begins].split()[0], self.lines[other].split()[0])

    def test_at_exit(self):
        self.assertLess(self.at(r"pause\( <unfinished \.\.\.>"), self.at(r"exit_group\(0\) = \?"))
        self.assertFalse([line for line in self.lines if "pause resumed" in line])

    def test_each_that_is_resumed_was_unfinished(self):
        unfinished = {}
        for line in self.lines:
            tid, rest = line.split(" ", 1)
            if rest.endswith(" <unfinished ...>"):
                self.assertNotIn(tid, unfinished)
                unfinished[tid] = rest.split("(")[0]
            elif rest.startswith("<... "):
                self.assertEqual(unfinished.pop(tid), rest.split()[1])
            else:
                self.assertNotIn(tid, unfinished)


class Alone(unittest.TestCase):
    def test_nothing_is_unfinished(self):
        done = subprocess.run([VITRINE_USER, "-strace", "/bin/sleep", "0.1"], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        self.assertRegex(done.stderr, r"nanosleep\([^\n]*\) = 0\n")
        self.assertNotIn("unfinished", done.stderr)
        self.assertNotIn("resumed", done.stderr)


if __name__ == "__main__":
    unittest.main()
