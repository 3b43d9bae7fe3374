# SPDX-License-Identifier: MIT
#
# For tests that boot guests of scripts/images in the emulator.
#
# VITRINE_EMULATOR names another emulator (Debian's qemu-system-x86_64, to see the tests themselves at
# work); VITRINE_EMULATOR_OPTIONS holds more options for it.
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest

from recording import BUILD, ROOT

sys.path.insert(0, os.path.join(ROOT, "scripts", "images"))

import recipes  # noqa: E402
from machine import Machine  # noqa: E402

PROGRAM = os.environ.get("VITRINE_EMULATOR", os.path.join(BUILD, "vitrine"))
OPTIONS = shlex.split(os.environ.get("VITRINE_EMULATOR_OPTIONS", ""))
IS_QEMU = os.path.basename(PROGRAM).startswith("qemu")


class Case(unittest.TestCase):
    """A test with a folder of its own."""

    def setUp(self):
        if shutil.which(PROGRAM) is None:
            self.fail(f"{PROGRAM} is missing: the build is needed for this test")
        self.folder = tempfile.mkdtemp(prefix="vitrine-test-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def guest(self, name, file):
        """The path of a file of a guest, which is made if need be."""
        return str(recipes.guest(name) / file)

    def linux(self, name, append="quiet"):
        """The options that boot a Linux guest with its shell on the serial line."""
        return ["-kernel", self.guest(name, "vmlinuz"), "-initrd", self.guest(name, "initrd.gz"),
                "-append", f"console=ttyS0 {append}"]

    def copy(self, name, file):
        """A disk that the guest may write to."""
        path = self.path(file)
        subprocess.run(["cp", "--sparse=always", self.guest(name, file), path], check=True)
        return path

    def machine(self, options, **more):
        folder = tempfile.mkdtemp(prefix="machine-", dir=self.folder)
        machine = Machine([PROGRAM, *OPTIONS], folder, options, **more)
        self.addCleanup(machine.close)
        return machine

    def check_end(self, machine, status=0):
        """The emulator ended as it should, and had nothing to complain of."""
        self.assertEqual(machine.ended(), status, machine.errors())
        self.assertEqual(machine.errors(), "")
