# SPDX-License-Identifier: MIT
#
# python/simpletrace.py: as a program against the text of QEMU's own reader, as a module with
# recordings made by hand; and the formats of vitrine-trace that it lives on.
import ast
import contextlib
import gzip
import importlib.util
import io
import os
import pathlib
import pickle
import re
import shutil
import signal
import subprocess
import sys
import threading
import unittest
import warnings
from unittest import mock

from flight_recording import flight
from recording import (Case, DROPPED, QEMU_EVENTS, ROOT, VITRINE_TRACE, event, header, mapping,
                       text, words)

SCRIPT = os.path.join(ROOT, "python", "simpletrace.py")


def load(path=SCRIPT):
    spec = importlib.util.spec_from_file_location("simpletrace", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


simpletrace = load()

EVENTS = """\
tick(void) "tock"
two(uint64_t offs, int val) "offs 0x%lx val %d"
disable gone(int a) "%d"
name(const char *dev, uint32_t bus) "%s \\"bus\\" %u"
"""

SMALL = (header() + mapping(0, "tick") + mapping(1, "two") + mapping(2, "name") +
         event(1, 1000, words(0x40, -1), 7) +
         event(0, 2500, b"", 7) +
         event(2, 2000, text(b"e1000") + words(3), 8) +
         event(DROPPED, 1002000, words(5), 8) +
         event(1, 1002001, words(0x10, 5), 8))

RECORDS = [("two", 1000, 7, 0x40, 0xffffffffffffffff),
           ("tick", 2500, 7),
           ("name", 2000, 8, b"e1000", 3),
           ("dropped", 1002000, 8, 5),
           ("two", 1002001, 8, 0x10, 5)]

SMALL_TEXT = ("two 0.000 pid=7 offs=0x40 val=0xffffffffffffffff\n"
              "tick 1.500 pid=7\n"
              "name -0.500 pid=8 dev=b'e1000' bus=0x3\n"
              "Dropped_Event 1000.000 pid=8 num_events_dropped=0x5\n"
              "two 0.001 pid=8 offs=0x10 val=0x5\n")


class All(simpletrace.Analyzer):
    """Keeps everything."""

    def begin(self):
        self.records = []
        self.events = {}
        self.ended = False

    def catchall(self, event, rec):
        self.records.append(rec)
        self.events[event.name] = event

    def end(self):
        self.ended = True


class Lines(simpletrace.Analyzer):
    """Writes what the program writes, in Python."""

    def begin(self):
        self.lines = []
        self.last = None

    def catchall(self, event, rec):
        delta = 0 if self.last is None else (rec[1] - self.last) / 1000
        self.last = rec[1]
        parts = [f"{event.name} {delta:0.3f} pid={rec[2]}"]
        for (kind, name), value in zip(event.args, rec[3:]):
            is_text = isinstance(value, bytes)
            assert is_text == bool(re.fullmatch(r"(const )?char ?\*", kind)), kind
            parts.append(f"{name}={value!r}" if is_text else f"{name}=0x{value:x}")
        self.lines.append(" ".join(parts))


class SimpletraceCase(Case):
    def setUp(self):
        super().setUp()
        patch = mock.patch.dict(os.environ, VITRINE_TRACE=VITRINE_TRACE)
        patch.start()
        self.addCleanup(patch.stop)
        quiet = warnings.catch_warnings()  # the test runner asks for all warnings
        quiet.__enter__()
        self.addCleanup(quiet.__exit__)
        warnings.simplefilter("ignore", DeprecationWarning)
        self.trace = self.write("trace", SMALL)
        self.events = self.write("declared", EVENTS)

    def script(self, *args, status=0, env=None, program=SCRIPT, **more):
        """Runs the program; returns (stdout, stderr)."""
        done = subprocess.run([sys.executable, program, *args], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=60, check=False,
                              env=dict(os.environ, **(env or {})), **more)
        errors = done.stderr.decode()
        self.assertEqual(done.returncode, status, errors)
        self.assertNotIn("Traceback", errors)
        return done.stdout.decode("latin-1"), errors

    def all(self, log=None, events=None, **more):
        analyzer = All()
        simpletrace.process(events or self.events, self.trace if log is None else log, analyzer, **more)
        self.assertTrue(analyzer.ended)
        return analyzer


class QemuRecording(SimpletraceCase):
    """A recording written by QEMU, against the text of QEMU's own reader."""

    def setUp(self):
        super().setUp()
        self.packed, reference = self.qemu_recording()
        # The reference has no b'' and blanks behind records without arguments.
        self.expected = [line.rstrip(" ") for line in reference.decode().splitlines()]

    def test_program(self):
        out, errors = self.script(QEMU_EVENTS, self.packed)
        self.assertEqual(errors, "")
        self.assertIn("name=b'", out)
        plain = [re.sub(r"=b'([^']*)'", r"=\1", line) for line in out.splitlines()]
        self.assertEqual(len(plain), len(self.expected))
        for mine, theirs in zip(plain, self.expected):
            self.assertEqual(mine, theirs)

    def test_module_gives_the_same(self):
        lines = Lines()
        simpletrace.process(QEMU_EVENTS, self.packed, lines)
        self.assertTrue("\n".join(lines.lines) + "\n" == self.script(QEMU_EVENTS, self.packed)[0])


class Program(SimpletraceCase):
    def test_form(self):
        out, errors = self.script(self.events, self.trace)
        self.assertEqual((out, errors), (SMALL_TEXT, ""))

    def test_strings(self):
        strings = [b"", b"plain", b"it's", b'say "hi"', b"both ' and \"", b"back\\slash",
                   bytes(range(256)), b"x" * 512, b"\xff" * 511 + b"'"]
        content = header() + mapping(7, "name")
        content += b"".join(event(7, 0, text(s) + words(1)) for s in strings)
        out, _ = self.script(self.events, self.write("strings", content))
        self.assertEqual(out.splitlines(), [f"name 0.000 pid=1 dev={s!r} bus=0x1" for s in strings])

    def test_usage(self):
        wrong = ([], ["a"], ["a", "b", "c"], ["--no-header", "a"], ["--bogus", "a"], ["--help"])
        for args in wrong:
            out, errors = self.script(*args, status=1)
            self.assertEqual(out, "")
            self.assertEqual(errors, f"usage: {SCRIPT} [--no-header] <trace-events> <trace-file>\n")

    def test_no_header(self):
        content = event(1, 1000, words(1, 2)) + event(2, 1001, words(9)) + event(0, 1002)
        out, _ = self.script("--no-header", self.events, self.write("bare", content))
        self.assertEqual(out, "two 0.000 pid=1 offs=0x1 val=0x2\ngone 0.001 pid=1 a=0x9\n"
                              "tick 0.001 pid=1\n")

    def test_standard_input(self):
        self.assertEqual(self.script(self.events, "-", input=SMALL)[0], SMALL_TEXT)

    def test_reader_of_the_output_goes_away(self):
        path = self.write("long", SMALL + SMALL[-48:] * 200000)
        with subprocess.Popen([sys.executable, SCRIPT, self.events, path], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as process:
            self.assertEqual(process.stdout.readline().decode(), SMALL_TEXT.splitlines(True)[0])
            process.stdout.close()
            self.assertEqual(process.stderr.read(), b"")
            self.assertEqual(process.wait(60), 0)

    def test_old_versions(self):
        """Positions of what is not disabled; no pid before version 3."""
        for version, pid in ((2, ""), (3, " pid=1")):
            content = (header(version) + event(1, 1000, words(1, 2), version=version) +
                       event(2, 2000, text(b"e") + words(3), version=version))
            self.assertEqual(self.script(self.events, self.write("old", content))[0],
                             f"two 0.000{pid} offs=0x1 val=0x2\nname 1.000{pid} dev=b'e' bus=0x3\n")
        content = header(0) + words(1, 1000, 1, 2, 0, 0, 0, 0) + words(2, 2000, 0xabc, 3, 0, 0, 0, 0)
        self.assertEqual(self.script(self.events, self.write("old", content))[0],
                         "two 0.000 offs=0x1 val=0x2\nname 1.000 dev=0xabc bus=0x3\n")

    def test_runs_on_old_pythons(self):
        with open(SCRIPT, encoding="utf-8") as file:
            ast.parse(file.read(), feature_version=(3, 9))


class Errors(SimpletraceCase):
    """Each is a sentence of QEMU's where it had one, then ours; from the program and the module."""

    def check(self, content, first, second=None, events=None, out=""):
        path = self.write("wrong", content)
        printed, errors = self.script(events or self.events, path, status=1)
        self.assertEqual(printed, out)
        lines = errors.splitlines()
        self.assertRegex(lines[0], first)
        self.assertEqual(len(lines), 1 if second is None else 2, errors)
        if second is not None:
            self.assertRegex(lines[1], second)
            self.assertIn(path, lines[1])
        analyzer = All()
        with self.assertRaises(simpletrace.TraceError) as caught:
            simpletrace.process(events or self.events, path, analyzer)
        self.assertEqual(str(caught.exception) + "\n", errors)
        self.assertIsInstance(caught.exception, ValueError)
        self.assertEqual(len(analyzer.records), out.count("\n"))
        self.assertFalse(analyzer.ended)

    def test_short(self):
        for content in (b"", b"abc", header()[:5], header()[:23], header(0)[:40]):
            self.check(content, r"^Error reading header\. Wrong filetype provided\?$", ".")

    def test_foreign(self):
        number = int.from_bytes(b"#!/bin/s", "little")
        self.check(b"#!/bin/sh\n" * 9,
                   f"^Not a valid trace file, header id {number} != 18446744073709551615$",
                   "not a recording: expected")

    def test_magic(self):
        self.check(words(-1, 5, 4), "^Not a valid trace file, header magic 5 != 17487890541996943796$",
                   "not a recording: at byte 8")

    def test_other_byte_order(self):
        swapped = header()[:8] + header()[15:7:-1] + header()[23:15:-1]
        self.check(swapped, "other byte order")

    def test_version(self):
        for version in (1, 5, 99):
            self.check(header(version)[:24], f"^Unknown version {version} of tracelog format!$",
                       "at byte 16: expected version")

    def test_undeclared(self):
        self.check(SMALL + mapping(9, "nowhere") + event(9, 5, b""),
                   "^'nowhere' event is logged but is not declared in the trace events file, try using "
                   "trace-events-all instead.$",
                   f"at byte \\d+: event 'nowhere' is logged but not declared in {self.events}$",
                   out=SMALL_TEXT)

    def test_cut(self):
        self.check(SMALL[:-3], r"at byte \d+: the recording ends inside a record \(needs 48 bytes, has 45\)$",
                   out=SMALL_TEXT[:SMALL_TEXT.rindex("two")])

    def test_declarations(self):
        events = self.write("bad", "tick(void)\noops(struct foo *a) \"%p\"\n")
        self.check(SMALL, f"^{events}:2:", events=events)

    def test_missing_files(self):
        gone = self.path("gone")
        for args in ((gone, self.trace), (self.events, gone)):
            _, errors = self.script(*args, status=1)
            self.assertEqual(errors, f"{gone}: No such file or directory\n")
            with self.assertRaises(FileNotFoundError):
                simpletrace.process(*args, All())

    def test_names_of_open_files(self):
        """A sentence speaks of the files as the caller does."""
        log = io.BytesIO(SMALL[:-3])
        with self.assertRaisesRegex(simpletrace.TraceError, "^the trace file: at byte"):
            simpletrace.process(self.events, log, All())
        with open(self.write("cut", SMALL[:-3]), "rb") as log:
            with self.assertRaisesRegex(simpletrace.TraceError, f"^{log.name}: at byte"):
                simpletrace.process(self.events, log, All())
        with self.assertRaisesRegex(simpletrace.TraceError, "^the trace events file:1:"):
            simpletrace.process(io.StringIO("oops\n"), self.trace, All())


class OlderAnalyzer(SimpletraceCase):
    def test_catchall(self):
        analyzer = self.all()
        self.assertEqual(analyzer.records, RECORDS)
        self.assertTrue(all(type(rec) is tuple for rec in analyzer.records))

    def test_event(self):
        events = self.all().events
        self.assertEqual(sorted(events), ["Dropped_Event", "name", "tick", "two"])
        self.assertEqual(events["name"].args, [("const char *", "dev"), ("uint32_t", "bus")])
        self.assertEqual(events["name"].fmt, '"%s \\"bus\\" %u"')
        self.assertEqual(events["tick"].args, [])
        self.assertEqual(events["tick"].properties, [])
        self.assertEqual(repr(events["name"]), "<Event name(const char *dev, uint32_t bus)>")

    def test_properties(self):
        events = 'disable vcpu a(int x) "%d"\n'
        analyzer = self.all(io.BytesIO(event(0, 1, words(0xc0, 3))), io.StringIO(events), read_header=False)
        self.assertEqual(analyzer.events["a"].properties, ["disable", "vcpu"])
        self.assertEqual(analyzer.records, [("a", 1, 1, 0xc0, 3)])

    def test_count_of_parameters_decides(self):
        calls = []

        class Counting(simpletrace.Analyzer):
            def two(self, offs, val):
                calls.append(("args", offs, val))

            def tick(self, timestamp):
                calls.append(("timestamp", timestamp))

            def name(self, timestamp, pid, dev, bus):
                calls.append(("pid", timestamp, pid, dev, bus))

            def Dropped_Event(self, count):
                calls.append(("lost", count))

        simpletrace.process(self.events, self.trace, Counting())
        self.assertEqual(calls, [("args", 0x40, 0xffffffffffffffff), ("timestamp", 2500),
                                 ("pid", 2000, 8, b"e1000", 3), ("lost", 5), ("args", 0x10, 5)])

    def test_unusual_methods(self):
        calls = []

        class Unusual(simpletrace.Analyzer):
            tick = 5  # no method: goes to catchall

            @staticmethod
            def two(*args):
                calls.append(args)

            @classmethod
            def name(cls, timestamp, pid, /, dev, bus=None, *, more=1):
                calls.append((timestamp, pid, dev, bus, more))

            def catchall(self, event, rec):
                calls.append(rec)

        simpletrace.process(self.events, self.trace, Unusual())
        self.assertEqual(calls, [(0x40, 0xffffffffffffffff), ("tick", 2500, 7), (2000, 8, b"e1000", 3, 1),
                                 ("dropped", 1002000, 8, 5), (0x10, 5)])

    def test_method_that_does_not_fit(self):
        class Wrong(simpletrace.Analyzer):
            def two(self, only):
                raise AssertionError("called")

        with self.assertRaisesRegex(TypeError, r"two\(\) does not fit the event: expected 2 positional"):
            simpletrace.process(self.events, self.trace, Wrong())

    def test_begin_and_end(self):
        calls = []

        class Order(simpletrace.Analyzer):
            def begin(self):
                calls.append("begin")
                self.two = lambda offs, val: calls.append("late")  # found too

            def tick(self):
                calls.append("tick")

            def end(self):
                calls.append("end")

        simpletrace.process(self.events, self.trace, Order())
        self.assertEqual(calls, ["begin", "late", "tick", "late", "end"])
        del calls[:]
        with Order() as order:
            simpletrace.process(self.events, self.trace, order)
            simpletrace.process(self.events, self.trace, order)
        self.assertEqual(calls, ["begin"] + ["late", "tick", "late"] * 2 + ["end"])
        del calls[:]
        with self.assertRaises(ZeroDivisionError):
            with Order():
                raise ZeroDivisionError
        self.assertEqual(calls, ["begin"])

    def test_events_named_like_our_methods(self):
        events = 'begin(int a) "%d"\nend(int a) "%d"\ncatchall(int a) "%d"\n'
        content = b"".join(event(i, i, words(i)) for i in range(3))
        analyzer = self.all(io.BytesIO(content), io.StringIO(events), read_header=False)
        self.assertEqual(analyzer.records, [("begin", 0, 1, 0), ("end", 1, 1, 1), ("catchall", 2, 1, 2)])

    def test_methods_found_at_run_time(self):
        calls = []

        class Dynamic(simpletrace.Analyzer):
            def __getattr__(self, name):
                if name.startswith("_"):
                    raise AttributeError(name)
                return lambda *args: calls.append((name, *args))

        simpletrace.process(self.events, self.trace, Dynamic())
        self.assertEqual([call[0] for call in calls], ["two", "tick", "name", "Dropped_Event", "two"])

    def test_any_object_will_do(self):
        class Plain:
            begin = end = lambda self: None

            def catchall(self, event, rec):
                records.append(rec)

        records = []
        simpletrace.process(self.events, self.trace, Plain())
        self.assertEqual(records, RECORDS)

    def test_error_in_a_method(self):
        class Failing(simpletrace.Analyzer):
            def tick(self):
                raise ZeroDivisionError

            def end(self):
                raise AssertionError("called")

        with self.assertRaises(ZeroDivisionError):
            simpletrace.process(self.events, self.trace, Failing())

    def test_quiet(self):
        """Nobody is told that there is a newer interface unless he asks."""
        program = self.write("own.py", "import simpletrace\n"
                                       "class A(simpletrace.Analyzer):\n"
                                       "    def tick(self, timestamp):\n"
                                       "        print(timestamp)\n"
                                       "simpletrace.run(A())\n")
        env = dict(os.environ, PYTHONPATH=os.path.dirname(SCRIPT), PYTHONDONTWRITEBYTECODE="1")
        env.pop("PYTHONWARNINGS", None)
        for options, said in (([], False), (["-W", "default"], True)):
            done = subprocess.run([sys.executable, *options, program, self.events, self.trace],
                                  capture_output=True, text=True, env=env, timeout=60, check=True)
            self.assertEqual(done.stdout, "2500\n")
            self.assertEqual("DeprecationWarning" in done.stderr, said, done.stderr)
            self.assertTrue(said or done.stderr == "", done.stderr)


class NewerAnalyzer(SimpletraceCase):
    def run_quietly(self, analyzer, *args):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            simpletrace.process(*(args or (self.events, self.trace)), analyzer)

    def test_keywords(self):
        calls = []

        class Keywords(simpletrace.Analyzer2):
            def two(self, offs, val, *, event, event_id, timestamp_ns, pid):
                calls.append((offs, val, event.name, event_id, timestamp_ns, pid))

            def name(self, dev, bus, **kwargs):
                calls.append((dev, bus, kwargs["event"].name, sorted(kwargs)))

            def tick(self, timestamp_ns):
                calls.append(timestamp_ns)

            def catchall(self, *rec_args, event, timestamp_ns, pid, event_id):
                calls.append((rec_args, event.name, timestamp_ns, pid, event_id))

        self.run_quietly(Keywords())
        self.assertEqual(calls, [
            (0x40, 0xffffffffffffffff, "two", "two", 1000, 7),
            2500,
            (b"e1000", 3, "name", ["event", "event_id", "pid", "timestamp_ns"]),
            ((5,), "Dropped_Event", 1002000, 8, "Dropped_Event"),
            (0x10, 5, "two", "two", 1002001, 8)])

    def test_only_what_is_asked_for(self):
        calls = []

        class Few(simpletrace.Analyzer2):
            def two(self, offs, val):
                calls.append((offs, val))

            def name(self, *args, pid):
                calls.append((args, pid))

            def catchall(self, *rec_args, event, **_):
                calls.append((event.name, rec_args))

        self.run_quietly(Few())
        self.assertEqual(calls, [(0x40, 0xffffffffffffffff), ("tick", ()), ((b"e1000", 3), 8),
                                 ("Dropped_Event", (5,)), (0x10, 5)])

    def test_argument_named_like_a_keyword(self):
        calls = []

        class Clash(simpletrace.Analyzer2):
            def spawn(self, pid, event, **kwargs):
                calls.append((pid, event, kwargs))

        self.run_quietly(Clash(), io.StringIO('spawn(int pid, int event) ""\n'),
                         io.BytesIO(header() + mapping(0, "spawn") + event(0, 9, words(5, 6))))
        self.assertEqual(calls, [(5, 6, {"event_id": "spawn", "timestamp_ns": 9})])

    def test_method_that_does_not_fit(self):
        class Less(simpletrace.Analyzer2):
            def two(self, offs):
                raise AssertionError("called")

        class More(simpletrace.Analyzer2):
            def two(self, timestamp, offs, val):
                raise AssertionError("called")

        for kind in (Less, More):
            with self.assertRaisesRegex(TypeError, r"two\(\) does not fit the event: expected 2 positional"):
                simpletrace.process(self.events, self.trace, kind())

    def test_nothing_to_do(self):
        self.run_quietly(simpletrace.Analyzer2())

    def test_context_manager(self):
        calls = []

        class Order(simpletrace.Analyzer2):
            def begin(self):
                calls.append("begin")

            def tick(self, **_):
                calls.append("tick")

            def end(self):
                calls.append("end")

        with Order() as order:
            self.run_quietly(order)
        self.assertEqual(calls, ["begin", "tick", "end"])


class Sources(SimpletraceCase):
    """The kinds of things that declarations and recordings come in."""

    def test_declarations(self):
        with open(self.events, encoding="utf-8") as as_text, open(self.events, "rb") as as_bytes:
            for events in (pathlib.Path(self.events), os.fsencode(self.events), as_text, as_bytes,
                           io.StringIO(EVENTS), io.BytesIO(EVENTS.encode())):
                self.assertEqual(self.all(events=events).records, RECORDS)

    def test_declarations_beside(self):
        path = self.recording(SMALL, EVENTS, "other")
        analyzer = All()
        simpletrace.process(None, path, analyzer)
        self.assertEqual(analyzer.records, RECORDS)

    def test_list_of_declarations(self):
        class Declared:
            def __init__(self, name, args):
                self.name, self.args = name, args

        mine = [Declared("tick", []), Declared("two", [("uint64_t", "offs"), ("int", "val")]),
                Declared("name", iter([("const char *", "dev"), ("uint32_t", "bus")]))]
        analyzer = self.all(events=mine)
        self.assertEqual(analyzer.records, RECORDS)
        self.assertIs(analyzer.events["two"], mine[1])

        again = [analyzer.events["tick"], analyzer.events["two"],
                 simpletrace.Event("name", [("char *", "dev"), ("int", "bus")], 'a "b"\\', ["disable"])]
        bare = event(0, 1) + event(2, 2, text(b"x") + words(4))
        self.assertEqual(self.all(io.BytesIO(bare), again, read_header=False).records,
                         [("tick", 1, 1), ("name", 2, 1, b"x", 4)])

    def test_list_with_a_line_break(self):
        with self.assertRaisesRegex(simpletrace.TraceError, "more than a line"):
            self.all(events=[simpletrace.Event('a(void) ""\nb')])

    def test_recordings(self):
        packed = subprocess.run(["zstd", "-cq", self.trace], capture_output=True, check=True).stdout
        logs = [pathlib.Path(self.trace), os.fsencode(self.trace), io.BytesIO(SMALL), io.BytesIO(packed),
                self.write("trace.zst", packed), gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(SMALL)))]
        for log in logs:
            self.assertEqual(self.all(log).records, RECORDS)

    def test_open_files(self):
        for buffering in (-1, 0):
            with open(self.trace, "rb", buffering) as log:
                self.assertEqual(self.all(log).records, RECORDS)
                self.assertEqual(log.read(), b"")
        path = self.write("behind", b"something else\n" + SMALL)
        with open(path, "rb") as log:
            log.readline()
            self.assertEqual(self.all(log).records, RECORDS)
        with gzip.open(self.write("trace.gz", gzip.compress(SMALL))) as log:
            self.assertEqual(self.all(log).records, RECORDS)

    def test_pipe(self):
        inlet, outlet = os.pipe()

        def write():
            with open(outlet, "wb") as file:
                file.write(SMALL + SMALL[-48:] * 50000)

        writer = threading.Thread(target=write)
        writer.start()
        with open(inlet, "rb") as log:
            self.assertEqual(len(self.all(log).records), 50005)
        writer.join()

    def test_text_file(self):
        with open(self.trace, encoding="latin-1") as log:
            with self.assertRaisesRegex(TypeError, "binary mode"):
                self.all(log)

    def test_file_that_fails(self):
        class Failing(io.BytesIO):
            def read1(self, size=-1):
                raise OSError(5, "as if the disk were broken")

        with self.assertRaisesRegex(OSError, "as if the disk"):
            self.all(Failing(SMALL))

    def test_endless_file(self):
        """An error ends the work although there is more to read."""
        class Endless:
            def __init__(self):
                self.parts = 0

            def read(self, size):
                self.parts += 1
                return SMALL if self.parts == 1 else SMALL[-48:] * 1000

        class Enough(simpletrace.Analyzer):
            count = 0

            def two(self, offs, val):
                self.count += 1
                if self.count == 10000:
                    raise StopIteration

        with self.assertRaises(StopIteration):
            simpletrace.process(self.events, Endless(), Enough())

    def test_ctf(self):
        folder = self.path("ctf")
        self.run_trace("convert", "--to", "ctf", "--events", self.events, self.trace, "-o", folder)
        analyzer = All()
        simpletrace.process(None, folder, analyzer)
        self.assertEqual(sorted(r for r in analyzer.records if r[0] != "dropped"),
                         sorted(r for r in RECORDS if r[0] != "dropped"))


    def test_flight_recording(self):
        content = flight(EVENTS, ["tick", "two", "gone", "name"],
                         [(11, [event(1, 1000, words(0x40, -1), 7), event(3, 2000, text(b"e1000") + words(3), 7)]),
                          (12, [event(0, 1500, b"", 7)])], pid=7)
        analyzer = All()
        path = self.write("flight", content)
        simpletrace.process(None, path, analyzer)
        self.assertEqual(analyzer.records, [RECORDS[0], ("tick", 1500, 7), ("name", 2000, 7, b"e1000", 3)])


class Stream(SimpletraceCase):
    """`vitrine-trace convert --to pickle`, and that nothing is lost on the way."""

    def test_numbers(self):
        edges = sorted({max(0, min(2 ** k + d, 2 ** 64 - 1)) for k in range(65) for d in (-1, 0, 1)})
        content = header() + mapping(1, "two") + b"".join(
            event(1, n, words(n, 2 ** 64 - 1 - n), n & 0xffffffff) for n in edges)
        self.assertEqual(self.all(io.BytesIO(content)).records,
                         [("two", n, n & 0xffffffff, n, 2 ** 64 - 1 - n) for n in edges])

    def test_strings(self):
        strings = [bytes([n & 255]) * n for n in (0, 1, 254, 255, 256, 257, 511, 512)]
        content = header() + mapping(2, "name") + b"".join(
            event(2, 0, text(s) + words(0)) for s in strings)
        self.assertEqual([r[3] for r in self.all(io.BytesIO(content)).records], strings)

    def test_many_events(self):
        """More names in a batch than one byte counts; batches of which each needs its names anew."""
        count, rounds = 700, 20
        events = "".join(f'event_{i}(int i) "%d"\n' for i in range(count))
        content = header() + b"".join(mapping(i, f"event_{i}") for i in range(count))
        expected = []
        for turn in range(rounds):
            for i in range(count):
                content += event(i, turn, words(i + turn))
                expected.append((f"event_{i}", turn, 1, i + turn))
        self.assertTrue(self.all(io.BytesIO(content), io.StringIO(events)).records == expected)

    def test_large_batches(self):
        one = event(2, 0, text(b"x" * 512) + words(3))
        content = header() + mapping(2, "name") + one * 10000
        self.assertTrue(self.all(io.BytesIO(content)).records == [("name", 0, 1, b"x" * 512, 3)] * 10000)

    def unpickle(self, *args):
        out, _ = self.run_trace("convert", "--to", "pickle", "--events", self.events, *args, self.trace)
        stream = io.BytesIO(out)
        parts = []
        with contextlib.suppress(EOFError):
            while True:
                parts.append(pickle.load(stream))
        return parts

    def test_form(self):
        head, batch = self.unpickle()
        self.assertEqual(head, {"format": "vitrine-trace", "version": 1, "wall": None})
        events, numbers, records = batch
        self.assertEqual(events[0], ("two", (("uint64_t", "offs"), ("int", "val")), "offs 0x%lx val %d", ()))
        self.assertEqual([e[0] for e in events], ["two", "tick", "name", "Dropped_Event"])
        self.assertEqual(numbers, [0, 1, 2, 3, 0])
        self.assertEqual(records, [(("Dropped_Event",) + r[1:]) if r[0] == "dropped" else r for r in RECORDS])

    def test_only_some_events(self):
        """What no method wants is not sent."""
        _, (events, numbers, records) = self.unpickle("--event", "unknown,tick,name")
        self.assertEqual([e[0] for e in events], ["tick", "name"])
        self.assertEqual(numbers, [0, 1])
        self.assertEqual(records, RECORDS[1:3])
        self.assertEqual(len(self.unpickle("--event", "ick")), 1)

    def test_analyzer_with_a_method_gets_no_more(self):
        class Tick(simpletrace.Analyzer):
            def tick(self):
                pass

        started = []
        popen = subprocess.Popen

        def watch(command, **more):
            started.append(command)
            return popen(command, **more)

        with mock.patch.object(simpletrace.subprocess, "Popen", watch):
            simpletrace.process(self.events, self.trace, Tick())
            simpletrace.process(self.events, self.trace, All())
        self.assertEqual(started[0][started[0].index("--event") + 1], "tick")
        self.assertNotIn("--event", started[1])


class Reader(SimpletraceCase):
    """Finding vitrine-trace, and what happens when it is not what it should be."""

    def install(self, where, name, source):
        folder = self.path(where)
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, name)
        if source is None:
            os.symlink(VITRINE_TRACE, path)
        else:
            shutil.copy(source, path)
        return path

    def test_places(self):
        bare = {"VITRINE_TRACE": "", "PATH": "/nowhere"}
        for where, reader in (("a/bin", "a/bin"), ("b/bin", None), ("c/python", "c/build"),
                              ("d/lib/python3.11/site-packages", "d/bin"), ("e/libexec", "e/bin")):
            program = self.install(where, "simpletrace.py", SCRIPT)
            if reader is None:
                _, errors = self.script(self.events, self.trace, program=program, env=bare, status=1)
                self.assertRegex(errors, "vitrine-trace, .* was not found .* VITRINE_TRACE")
                path = self.install("elsewhere", "vitrine-trace", None)
                env = dict(bare, PATH=os.path.dirname(path))
            else:
                self.install(reader, "vitrine-trace", None)
                env = bare
            out, _ = self.script(self.events, self.trace, program=program, env=env)
            self.assertEqual(out, SMALL_TEXT)

    def test_link_to_the_program(self):
        """A link in a folder of one's own leads to the installation."""
        program = self.install("prefix/bin", "simpletrace.py", SCRIPT)
        self.install("prefix/bin", "vitrine-trace", None)
        link = self.path("link.py")
        os.symlink(program, link)
        out, _ = self.script(self.events, self.trace, program=link,
                             env={"VITRINE_TRACE": "", "PATH": "/nowhere"})
        self.assertEqual(out, SMALL_TEXT)

    def fake(self, lines):
        path = self.write("fake", "#!/bin/sh\n" + lines)
        os.chmod(path, 0o755)
        return {"VITRINE_TRACE": path}

    def both(self, env, pattern):
        _, errors = self.script(self.events, self.trace, env=env, status=1)
        self.assertRegex(errors, pattern)
        with mock.patch.dict(os.environ, env), self.assertRaisesRegex(simpletrace.TraceError, pattern):
            simpletrace.process(self.events, self.trace, All())

    def module(self, env, pattern):
        with mock.patch.dict(os.environ, env), self.assertRaisesRegex(simpletrace.TraceError, pattern):
            simpletrace.process(self.events, self.trace, All())

    def test_no_program(self):
        self.both({"VITRINE_TRACE": self.path("gone")}, "gone, which reads .* No such file")
        self.both({"VITRINE_TRACE": self.events}, "cannot be run: Permission denied")

    def test_silent_failure(self):
        self.module(self.fake("exit 0\n"), "sent nothing")
        self.both(self.fake("exit 3\n"), "ended with status 3")

    def test_killed(self):
        self.both(self.fake("kill -9 $$\n"), "was ended by SIGKILL")

    def test_older_release(self):
        self.both(self.fake("echo \"vitrine-trace convert: there is no format '$3'\" >&2\n"
                            "echo \"'vitrine-trace convert --help' tells what is possible.\" >&2\nexit 2\n"),
                  "^there is no format '(pickle|simpletrace)'\n?$")

    def test_other_version(self):
        other = self.write("other", pickle.dumps({"version": 99}))
        self.module(self.fake(f"cat {other}\nexec sleep 60\n"), "another release .* expected version 1")
        other = self.write("other", pickle.dumps(["something"]))
        self.module(self.fake(f"cat {other}\n"), "expected version 1 of its records, found None")

    def test_garbage(self):
        self.module(self.fake("echo hello\nexec sleep 60\n"), "does not send what")
        self.module(self.fake("exec yes\n"), "does not send what")

    def test_nothing_but_data(self):
        """A pickle that asks for code is refused."""
        class Evil:
            def __reduce__(self):
                return (os.system, ("exit 1",))

        self.module(self.fake(f"cat {self.write('evil', pickle.dumps(Evil()))}\n"), "does not send what")

    def test_ends_in_the_middle(self):
        stream, _ = self.run_trace("convert", "--to", "pickle", "--events", self.events, self.trace)
        for keep in (len(stream) - 1, len(stream) // 2):
            part = self.write("part", stream[:keep])
            self.module(self.fake(f"cat {part}\n"), "does not send what")
            self.module(self.fake(f"cat {part}\nkill -{int(signal.SIGTERM)} $$\n"), "was ended by SIGTERM")

    def test_nothing_is_left_behind(self):
        """No process and no descriptor, whatever happened."""
        class Failing(simpletrace.Analyzer):
            def catchall(self, event, rec):
                raise ZeroDivisionError

        started = []
        popen = subprocess.Popen

        def watch(*args, **more):
            started.append(popen(*args, **more))
            return started[-1]

        before = len(os.listdir("/proc/self/fd"))
        with mock.patch.object(simpletrace.subprocess, "Popen", watch):
            for log in (self.trace, io.BytesIO(SMALL), self.write("cut", SMALL[:-1])):
                for kind in (All, Failing):
                    with contextlib.suppress(ZeroDivisionError, simpletrace.TraceError):
                        simpletrace.process(io.StringIO(EVENTS), log, kind())
        self.assertEqual(len(started), 6)
        for process in started:
            self.assertIsNotNone(process.returncode)
        for thread in threading.enumerate():
            if thread is not threading.current_thread():
                thread.join(10)
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)


class Run(SimpletraceCase):
    """simpletrace.run(): the arguments of the program."""

    def call(self, *args):
        analyzer = All()
        errors = io.StringIO()
        with mock.patch.object(sys, "argv", ["prog", *args]), contextlib.redirect_stderr(errors):
            try:
                simpletrace.run(analyzer)
                status = 0
            except SystemExit as end:
                # A text stands for that text on stderr and status 1.
                status = end.code
        return analyzer, status, errors.getvalue()

    def test_run(self):
        analyzer, status, errors = self.call(self.events, self.trace)
        self.assertEqual((analyzer.records, status, errors), (RECORDS, 0, ""))

    def test_no_header(self):
        analyzer, status, _ = self.call("--no-header", self.events, self.write("bare", event(0, 5)))
        self.assertEqual((analyzer.records, status), ([("tick", 5, 1)], 0))

    def test_usage(self):
        _, status, errors = self.call(self.events)
        self.assertEqual(status, 1)
        self.assertEqual(errors, "usage: prog [--no-header] <trace-events> <trace-file>\n")

    def test_errors(self):
        _, status, _ = self.call(self.events, self.path("gone"))
        self.assertEqual(status, self.path("gone") + ": No such file or directory")
        analyzer, status, _ = self.call(self.events, self.write("cut", SMALL[:-1]))
        self.assertEqual(analyzer.records, RECORDS[:-1])
        self.assertRegex(status, "the recording ends inside a record")


if __name__ == "__main__":
    unittest.main()
