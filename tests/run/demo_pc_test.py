# SPDX-License-Identifier: MIT
"""scripts/demo, which make demo runs: a PC boots, every step shows what it promises, without colours where
there is no terminal, and what is told of at the end is there."""
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from recording import BUILD, ROOT

PROGRAMS = ("vitrine", "vitrine-trace")


class Demo(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="vitrine-test-")
        self.addCleanup(shutil.rmtree, self.folder)

    def test_steps(self):
        for name in PROGRAMS:
            os.symlink(os.path.join(BUILD, name), os.path.join(self.folder, name))
        done = subprocess.run([os.path.join(ROOT, "scripts", "demo"), self.folder], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=240, stdin=subprocess.DEVNULL, check=False,
                              env=dict(os.environ, TERM="xterm"))
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        self.assertNotIn("\033", done.stdout)
        parts = re.split(r"(?m)^(\d)\. ", done.stdout)
        self.assertEqual(parts[1::2], list("12345678"))
        steps = dict(zip(parts[1::2], parts[2::2]))
        self.check_steps(steps)
        self.check_left(steps["8"])

    def check_steps(self, steps):
        self.assertRegex(steps["1"], r"initrd\.gz\n.*vmlinuz\n")
        self.assertRegex(steps["2"], r"(?s)guest: user space\n.*  00:01\.1 0101: 8086:7010 .*6\.1\.\S+ x86_64\n"
                                     r".*reboot: Power down\n")
        self.assertRegex(steps["3"], r"records of 5 events in .* 0 lost\n")
        for event in ("memory_region_ops_write", "memory_region_ops_read", "guest_exception", "pci_cfg_read",
                      "load_file"):
            self.assertRegex(steps["3"], rf"\n  {event} +[1-9]")
        for name in ("bios-256k.bin", "vgabios-stdvga.bin", "vmlinuz", "initrd.gz"):
            self.assertRegex(steps["4"], rf"load_file [0-9.]+ pid=\d+ name={name} path=\S*{name}\n")
        self.assertIn("pci_cfg_read i440FX 00:00.0 @0x0 -> 0x12378086\n", steps["5"])
        self.assertIn("pci_cfg_read e1000 00:03.0 @0x0 -> 0x100e8086\n", steps["5"])
        faults = re.findall(r"guest_exception .* vector=0xe .* from_cs=0x33 .* cpl=0x3\n", steps["6"])
        self.assertEqual(len(faults), 4)
        self.assertEqual(len(re.findall(r"\n +\d+ \S+", steps["7"])), 8)

    def check_left(self, last):
        out = os.path.join(self.folder, "demo")
        for name in re.findall(r"[\w.]+\.(?:trace|html|svg)", last.split("\nIn ")[1]):
            with self.subTest(name=name):
                self.assertGreater(os.path.getsize(os.path.join(out, name)), 100)
        with open(os.path.join(out, "timeline.svg"), encoding="utf-8") as file:
            picture = file.read()
        for word in ("Linux boots", "pci_cfg_read", "guest_exception", "memory_region_ops_write"):
            self.assertIn(word, picture)

    def test_nothing_is_built(self):
        done = subprocess.run([os.path.join(ROOT, "scripts", "demo"), self.folder], stderr=subprocess.PIPE, text=True,
                              timeout=60, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("has no vitrine", done.stderr)


if __name__ == "__main__":
    unittest.main()
