# SPDX-License-Identifier: MIT
#
# Real programs under vitrine-user: the same output and the same end as natively. The rows are in
# user_programs.py; one test each. The short form leaves out those that take long.
import os
import shutil
import subprocess
import tempfile
import unittest

import user_programs
from recording import LONG
from translated import difference, environment, run, system_tool, translated


class Programs(unittest.TestCase):
    def setUp(self):
        self.parent = tempfile.mkdtemp(prefix="vitrine-test-")
        self.addCleanup(shutil.rmtree, self.parent, ignore_errors=True)
        self.folder = os.path.join(self.parent, "work")

    def make_folder(self, row):
        """The same folder as before, with nothing but the row's files."""
        shutil.rmtree(self.folder, ignore_errors=True)
        os.mkdir(self.folder)
        for name, content in row.files.items():
            with open(os.path.join(self.folder, name), "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
        if row.prepare:
            for tool in ("gcc", "go"):
                if row.prepare.startswith(tool + " "):
                    system_tool(tool)
            done = subprocess.run(["bash", "-c", row.prepare], cwd=self.folder, text=True, timeout=120,
                                  env=environment(self.folder), check=False, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            self.assertEqual(done.returncode, 0, f"{row.prepare}: {done.stdout}")

    def compare(self, row):
        command = list(row.command)
        if not command[0].startswith("."):
            command[0] = system_tool(command[0])
        self.make_folder(row)
        native = run(command, self.folder, row.stdin, row.timeout)
        self.assertFalse(native.ending.startswith("still"), "natively it does not end")
        if row.name.startswith("python_test_"):
            self.assertEqual(native.ending, "status 0", native.stderr.decode()[-2000:])
        self.make_folder(row)
        under = run(translated(command), self.folder, row.stdin, row.timeout)
        if not row.stdout:
            native, under = native._replace(stdout=b""), under._replace(stdout=b"")
        differs = difference(native, under, row.normalize, row.stderr)
        if differs:
            self.fail(differs)


def add_tests():
    for row in user_programs.ROWS:
        if LONG or not row.long:
            setattr(Programs, f"test_{row.name}", lambda self, row=row: self.compare(row))


add_tests()

if __name__ == "__main__":
    unittest.main()
