# SPDX-License-Identifier: MIT
"""scripts/demo-user and scripts/demo-probes: every step has its output, without colours where there is no
terminal, and what is promised at the end is there."""
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from recording import BUILD, ROOT

PROGRAMS = ("vitrine-user", "vitrine-trace", "vitrine-demo")


class Demo(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="vitrine-test-")
        self.addCleanup(shutil.rmtree, self.folder)
        for name in PROGRAMS:
            os.symlink(os.path.join(BUILD, name), os.path.join(self.folder, name))

    def steps(self):
        """What each step prints, by its number."""
        done = subprocess.run([os.path.join(ROOT, "scripts", "demo-user"), self.folder],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=240,
                              stdin=subprocess.DEVNULL, check=False,
                              env=dict(os.environ, QEMU_STRACE="1", TERM="xterm"))
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        self.assertNotIn("\033", done.stdout)
        parts = re.split(r"(?m)^(\d)\. ", done.stdout)
        self.assertEqual(parts[1::2], list("12345678"))
        return dict(zip(parts[1::2], parts[2::2]))

    def test_every_step_shows_something(self):
        steps = self.steps()
        native = subprocess.run(["/usr/bin/perl", "demo/words.pl", "README.md"], cwd=ROOT, text=True,
                                stdout=subprocess.PIPE, check=True).stdout
        shown = [line[2:] for line in steps["1"].splitlines() if line.startswith("  ")]
        self.assertEqual("\n".join(shown) + "\n", native)
        self.assertIn('openat(AT_FDCWD,"README.md"', steps["2"])
        self.assertRegex(steps["3"], r"guest_insn [1-9]\d{5}")
        self.assertRegex(steps["4"], r"insns +share +symbol\n +\d+ +\d+\.\d\d%  perl")
        self.assertIn("perl!Perl_hv_common", steps["4"])
        self.assertRegex(steps["5"], r"vitrine-trace!\w+ \(\w+\.[ch]:\d+\)")
        self.assertEqual(len(re.findall(r"pc=<perl!Perl_pp_sort\+0x", steps["6"])), 3)
        self.assertRegex(steps["7"], r"records +share +symbol\n +\d+ +\d+\.\d\d%  ")
        self.assertIn("perl!Perl_runops_standard", steps["7"])

    def test_what_is_left(self):
        steps = self.steps()
        out = os.path.join(self.folder, "demo-user")
        for name in re.findall(r"[\w.]+\.(?:txt|html|svg)", steps["8"].split("\nIn ")[1]):
            with self.subTest(name=name):
                self.assertGreater(os.path.getsize(os.path.join(out, name)), 100)
        self.assertFalse(os.path.exists(os.path.join(out, "socket")))
        with open(os.path.join(out, "timeline.svg"), encoding="utf-8") as file:
            picture = file.read()
        for word in ("perl counts words", "guest_call", "guest_ret", "guest_user_syscall"):
            self.assertIn(word, picture)

    def test_nothing_is_built(self):
        """Nor is a folder of that name removed where nothing is built."""
        there = os.path.join(self.folder, "other", "demo-user")
        os.makedirs(there)
        done = subprocess.run([os.path.join(ROOT, "scripts", "demo-user"), os.path.dirname(there)],
                              stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("has no vitrine-user", done.stderr)
        self.assertTrue(os.path.isdir(there))

    def test_the_philosophers(self):
        done = subprocess.run([os.path.join(ROOT, "scripts", "demo-probes"), self.folder],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120,
                              stdin=subprocess.DEVNULL, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("fork_take", done.stdout)
        for name in ("dinner.trace", "dinner.trace.events", "dinner.ctf", "dinner.svg", "dinner.html"):
            self.assertTrue(os.path.exists(os.path.join(self.folder, "demo-probes", name)), name)


if __name__ == "__main__":
    unittest.main()
