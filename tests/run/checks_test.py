# SPDX-License-Identifier: MIT
"""The checks themselves: each finds what it is there to find, and lets good trees pass."""

import json
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts/checks"))
sys.dont_write_bytecode = True

import common  # noqa: E402
import direction  # noqa: E402
import sources  # noqa: E402
import tests as stages  # noqa: E402


class Tree(unittest.TestCase):
    """Tests that make a small tree of their own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="tree-")
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)

    def file(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


class Direction(Tree):
    def setUp(self):
        super().setUp()
        for name in ("base/error.h", "trace/decl/decl.h", "trace/trace.h", "trace/read/reader.h",
                     "engine/engine.h", "guest/x86/decode.h", "device/pci.h"):
            self.file(f"src/{name}", "")

    def places(self):
        return [place for place, _ in direction.violations(self.root)]

    def check_include(self, source, line, place=None):
        """`line` in `source` is a violation exactly if `place` is given."""
        self.file(source, "/* a comment */\n" + line + "\n")
        self.assertEqual(self.places(), [place] if place else [])

    def test_base_may_not_include_trace(self):
        self.check_include("src/base/log.c", '#include "trace/trace.h"', "src/base/log.c:2")

    def test_trace_may_include_base_and_its_own_parts(self):
        self.check_include("src/trace/write/log.c", '#include "base/error.h"\n'
                           '#include "trace/decl/decl.h"\n#include "trace/read/reader.h"')

    def test_decl_may_not_include_the_rest_of_trace(self):
        self.check_include("src/trace/decl/parse.c", '#include "trace/trace.h"',
                           "src/trace/decl/parse.c:2")

    def test_engine_may_not_include_a_guest(self):
        self.check_include("src/engine/run.c", '#include "guest/x86/decode.h"', "src/engine/run.c:2")

    def test_brackets_and_spaces_hide_nothing(self):
        self.check_include("src/engine/run.c", "  #  include <guest/x86/decode.h>",
                           "src/engine/run.c:2")

    def test_a_path_with_dots_hides_nothing(self):
        self.check_include("src/engine/run.c", '#include "../device/pci.h"', "src/engine/run.c:2")

    def test_beside_the_source_comes_first(self):
        self.file("src/device/decl.h", "")
        self.check_include("src/device/rtc.c", '#include "decl.h"')

    def test_headers_are_looked_at(self):
        self.check_include("src/device/rtc.h", '#include "engine/engine.h"', "src/device/rtc.h:2")

    def test_system_headers_are_free(self):
        self.check_include("src/base/log.c", "#include <stdio.h>\n#include <sys/sdt.h>")

    def test_quoted_header_that_does_not_exist(self):
        self.check_include("src/base/log.c", '#include "nowhere.h"', "src/base/log.c:2")

    def test_folder_without_a_row(self):
        self.check_include("src/attic/old.c", "", "src/attic/old.c:1")

    def test_reader_sees_no_machine(self):
        self.check_include("src/cmd/vitrine-trace/show.c",
                           '#include "trace/read/reader.h"\n#include "engine/engine.h"',
                           "src/cmd/vitrine-trace/show.c:3")

    def test_generator_sees_only_declarations(self):
        self.check_include("src/cmd/vitrine-tracegen/main.c",
                           '#include "trace/decl/decl.h"\n#include "trace/trace.h"',
                           "src/cmd/vitrine-tracegen/main.c:3")

    def test_public_headers_stand_alone(self):
        self.check_include("include/vitrine/embed.h", '#include "base/error.h"',
                           "include/vitrine/embed.h:2")

    def test_events_of_the_own_room(self):
        self.file("src/guest/x86/trace-events", "")
        self.check_include("src/guest/x86/paging.c", '#include "trace-guest_x86.h"')

    def test_events_of_another_room(self):
        self.file("src/device/trace-events", "")
        self.check_include("src/engine/run.c", '#include "trace-device.h"', "src/engine/run.c:2")

    def test_rows_name_rows(self):
        for room, row in direction.TABLE.items():
            for name in row.split():
                self.assertTrue(name == "*" or name in direction.TABLE, f"{room}: {name}")

    def test_rows_have_no_circle(self):
        below = {room: set(row.split()) - {"*"} for room, row in direction.TABLE.items()}
        while below:
            free = [room for room, rows in below.items() if not rows & below.keys() - {room}]
            self.assertTrue(free, f"a circle among {sorted(below)}")
            for room in free:
                del below[room]


class Licence(Tree):
    def test_finds_files_without_the_tag(self):
        tag = "SPDX-License-Identifier: MIT"
        self.file("src/base/good.c", f"/* {tag} */\n")
        self.file("src/base/bad.c", "/* nothing */\n")
        self.file("src/base/late.h", "\n" * 9 + f"/* {tag} */\n")
        self.file("scripts/tool", "#!/bin/sh\ntrue\n")
        self.file("scripts/good", f"#!/bin/sh\n# {tag}\n")
        self.file("src/trace/trace-events", "x()\n")
        self.file("tests/data/trace-events", "x()\n")
        self.file("docs/page.md", "text\n")
        self.file("Makefile", "all:\n")
        self.assertEqual([str(p) for p in sources.untagged(self.root)],
                         ["Makefile", "scripts/tool", "src/base/bad.c", "src/base/late.h",
                          "src/trace/trace-events"])


class Tap(unittest.TestCase):
    def read(self, output, status=0, timed_out=False):
        result = stages.read_tap("t", common.Run(status, output, timed_out))
        return result.passed, len(result.failures), len(result.skips)

    def test_all_passed(self):
        self.assertEqual(self.read("1..2\nok 1 - a\nnoise\nok 2 - b\n"), (2, 0, 0))

    def test_one_failed(self):
        self.assertEqual(self.read("1..2\nok 1 - a\nnot ok 2 - b\n# x.c:7: error\n", 1), (1, 1, 0))

    def test_details_belong_to_their_test(self):
        run = common.Run(2, "1..3\nnot ok 1 - a\n# one\nok 2 - b\n# no\nnot ok 3 - c\n# three\n", False)
        self.assertEqual(stages.read_tap("t", run).failures, [("t: a", "# one"), ("t: c", "# three")])

    def test_skipped(self):
        self.assertEqual(self.read("1..2\nok 1 - a\nnot ok 2 # SKIP b\n"), (1, 0, 1))

    def test_two_groups(self):
        self.assertEqual(self.read("1..1\nok 1 - a\n1..2\nok 1 - a\nok 2 - b\n"), (3, 0, 0))

    def test_died_in_the_middle(self):
        self.assertEqual(self.read("1..3\nok 1 - a\n", -11), (1, 1, 0))

    def test_hung(self):
        self.assertEqual(self.read("1..1\nok 1 - a\n", -9, True), (1, 1, 0))

    def test_failed_after_its_tests(self):
        self.assertEqual(self.read("1..1\nok 1 - a\nLeakSanitizer\n", 1), (1, 1, 0))

    def test_printed_nothing(self):
        self.assertEqual(self.read(""), (0, 1, 0))


class Runs(unittest.TestCase):
    def test_status_and_output(self):
        run = common.run(["sh", "-c", "echo out; echo err >&2; exit 3"], 20)
        self.assertEqual((run.status, run.output, run.ok), (3, "out\nerr\n", False))

    def test_no_input(self):
        self.assertEqual(common.run(["cat"], 20).output, "")

    def test_hanging_program_is_stopped(self):
        run = common.run(["sh", "-c", "echo begun; sleep 600"], 1)
        self.assertTrue(run.timed_out)
        self.assertFalse(run.ok)
        self.assertEqual(run.output, "begun\n")

    def test_what_is_left_behind_ends(self):
        run = common.run(["sh", "-c", "sleep 600 & echo $!"], 20)
        self.assertTrue(run.ok)
        left = Path(f"/proc/{int(run.output)}/cmdline")
        deadline = time.monotonic() + 20
        while self.alive(left) and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertFalse(self.alive(left))

    @staticmethod
    def alive(cmdline):
        """A process that has ended is not there, or has no command line until it is collected."""
        try:
            return cmdline.read_bytes() != b""
        except OSError:
            return False

    def test_huge_output_is_cut_in_the_middle(self):
        run = common.run(["sh", "-c", "echo first; head -c 9000000 /dev/zero; echo last"], 60)
        self.assertLess(len(run.output), 3 << 20)
        self.assertTrue(run.output.startswith("first\n") and run.output.endswith("last\n"))


class Files(Tree):
    def test_every_outcome_is_counted(self):
        self.file("x_test.py", """import unittest
class X(unittest.TestCase):
    def test_pass(self):
        print('["x", "passed", ""]')
    def test_fail(self):
        self.fail("why")
    def test_error(self):
        raise KeyError("lost")
    def test_skip(self):
        self.skipTest("not here")
    def test_inner(self):
        for i in range(3):
            with self.subTest(i=i):
                self.assertNotEqual(i, 1)
class Broken(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        raise OSError("set-up")
    def test_never(self):
        pass
""")
        results = self.root / "results"
        subprocess.run([sys.executable, ROOT / "scripts/checks/one_file.py", self.root / "x_test.py",
                        results], check=True, timeout=60, stdout=subprocess.DEVNULL)
        lines = [json.loads(line) for line in results.read_text().splitlines()]
        outcomes = sorted((name.split(".")[-1], outcome) for name, outcome, _ in lines)
        self.assertEqual(outcomes, [("Broken)", "failed"), ("test_error", "failed"),
                                    ("test_fail", "failed"), ("test_inner", "failed"),
                                    ("test_pass", "passed"), ("test_skip", "skipped")])

    def test_file_that_cannot_be_loaded(self):
        self.file("x_test.py", "import no_such_module_anywhere\n")
        results = self.root / "results"
        subprocess.run([sys.executable, ROOT / "scripts/checks/one_file.py", self.root / "x_test.py",
                        results], check=False, timeout=60)
        self.assertEqual(json.loads(results.read_text())[1], "failed")


class Listing(unittest.TestCase):
    def list(self, *arguments):
        done = subprocess.run([ROOT / "scripts/list-sources", *arguments], text=True, timeout=60,
                              stdout=subprocess.PIPE, check=True)
        return done.stdout.splitlines()

    def test_folders_are_searched_to_the_bottom(self):
        self.assertIn("src/base/error.c", self.list("*.c", "src"))

    def test_a_folder_that_is_not_there_holds_nothing(self):
        self.assertEqual(self.list("*.c", "no/such/folder"), [])


if __name__ == "__main__":
    unittest.main()
