# SPDX-License-Identifier: MIT
"""`make install` puts the programs, the list of events, the provider library, the manual pages and the
python module where they belong, and what is installed runs."""

import os
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("VITRINE_BUILD", ROOT / "build")).resolve()
VARIANT = "plain" if BUILD.name == "build" else BUILD.name.removeprefix("build-")


def outside_make():
    """The environment without what an outer make left in it."""
    return {k: v for k, v in os.environ.items()
            if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "DESTDIR", "PREFIX", "VARIANT")}


@unittest.skipUnless(BUILD.parent == ROOT, "the build folder is not one of this tree's")
class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="install-")
        cls.addClassCleanup(cls.folder.cleanup)
        done = subprocess.run(["make", "-C", ROOT, "install", f"VARIANT={VARIANT}",
                               f"DESTDIR={cls.folder.name}"], env=outside_make(), text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=240, check=False)
        if done.returncode != 0:
            raise AssertionError(f"make install failed:\n{done.stdout}")
        cls.prefix = Path(cls.folder.name, "usr/local")

    def run_installed(self, name, *arguments, **more):
        return subprocess.run([self.prefix / "bin" / name, *arguments], text=True, timeout=60,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=False, **more)

    def only(self, pattern):
        """The one installed file that fits."""
        found = list(self.prefix.glob(pattern))
        self.assertEqual(len(found), 1, f"{pattern}: {found}")
        return found[0]

    def test_everything_stays_below_the_prefix(self):
        self.assertEqual([p.name for p in Path(self.folder.name).iterdir()], ["usr"])
        self.assertEqual([p.name for p in Path(self.folder.name, "usr").iterdir()], ["local"])

    def test_vitrine_trace_runs(self):
        done = self.run_installed("vitrine-trace", "--version")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(done.stdout, r"\d+\.\d+\.\d+")

    def test_vitrine_trace_lists_its_commands(self):
        done = self.run_installed("vitrine-trace", "--help")
        self.assertEqual(done.returncode, 0, done.stderr)
        for command in ("show", "stats", "filter", "merge", "convert", "timeline"):
            self.assertIn(command, done.stdout)

    def test_only_finished_programs_are_installed(self):
        names = {p.name for p in (self.prefix / "bin").iterdir()}
        self.assertIn("simpletrace.py", names)
        self.assertFalse(names & {"vitrine-tracegen", "vitrine-demo"}, names)

    def test_events_are_the_ones_that_were_built(self):
        installed = self.only("share/vitrine/trace-events-all").read_text(encoding="utf-8")
        self.assertEqual(installed, (BUILD / "trace-events-all").read_text(encoding="utf-8"))
        self.assertRegex(installed, r'(?m)^\w+\(.*\) ".*"$')

    def test_manual_pages(self):
        """Of the programs that are installed, and of no other."""
        written = {p.name for p in (ROOT / "docs/man").glob("*.1")}
        here = {p.name for p in (self.prefix / "share/man/man1").iterdir()}
        programs = {p.name for p in (self.prefix / "bin").iterdir()}
        self.assertIn("vitrine-trace.1", here)
        self.assertEqual(here, {page for page in written if Path(page).stem in programs})

    def test_provider_library(self):
        self.only("lib/vitrine/libvitrine-lttng.so")

    def test_simpletrace_is_a_program(self):
        done = self.run_installed("simpletrace.py")
        self.assertIn("usage", (done.stdout + done.stderr).lower())

    def test_simpletrace_is_a_module(self):
        module = self.only("lib/python3*/*-packages/simpletrace.py")
        names = "from simpletrace import Analyzer, Analyzer2, process, run"
        done = subprocess.run(["/usr/bin/python3", "-B", "-c", names], text=True, timeout=60,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False, cwd=self.folder.name,
                              env={**os.environ, "PYTHONPATH": str(module.parent)})
        self.assertEqual(done.returncode, 0, done.stdout)


if __name__ == "__main__":
    unittest.main()
