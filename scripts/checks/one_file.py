# SPDX-License-Identifier: MIT
"""Runs one file of unittest tests and writes a line of JSON for each test as it ends:

    python3 one_file.py FILE RESULTS

Each line is [test, outcome, details] with the outcome passed, failed or skipped. The lines go to a
file of their own, so that nothing a test prints can be taken for them, and what was done before a
test hung or died is known."""

import importlib.util
import json
import sys
import traceback
import unittest
from pathlib import Path


class Lines(unittest.TestResult):
    def __init__(self, out):
        super().__init__()
        self.out = out
        self.inner = []  # details of the failed sub-tests of the test that runs

    def line(self, test, outcome, details=""):
        name = test if isinstance(test, str) else test.id()
        self.out.write(json.dumps([name, outcome, details]) + "\n")
        self.out.flush()

    def startTest(self, test):
        super().startTest(test)
        self.inner = []

    def stopTest(self, test):
        super().stopTest(test)
        if self.inner:
            self.line(test, "failed", "\n".join(self.inner))

    def addSuccess(self, test):
        self.line(test, "passed")

    def addFailure(self, test, err):
        self.line(test, "failed", self._exc_info_to_string(err, test))

    addError = addFailure

    def addSkip(self, test, reason):
        self.line(test, "skipped", reason)

    def addExpectedFailure(self, test, err):
        self.line(test, "passed")

    def addUnexpectedSuccess(self, test):
        self.line(test, "failed", "passed, although it is marked as one that cannot")

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.inner.append(f"{subtest.id()}\n{self._exc_info_to_string(err, test)}")


def main():
    path, results = Path(sys.argv[1]), sys.argv[2]
    sys.path[0] = str(path.parent)
    with open(results, "w", encoding="utf-8") as out:
        lines = Lines(out)
        try:
            spec = importlib.util.spec_from_file_location(path.stem, path)
            module = importlib.util.module_from_spec(spec)
            sys.modules[path.stem] = module
            spec.loader.exec_module(module)
        except BaseException:
            lines.line(path.stem, "failed", traceback.format_exc())
            return 1
        unittest.defaultTestLoader.loadTestsFromModule(module).run(lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
