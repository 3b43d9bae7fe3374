# SPDX-License-Identifier: MIT
#
# vitrine-trace convert: every format is read back by a reader that is not ours.
import csv
import io
import json
import os
import re
import sqlite3
import subprocess
import unittest

from flight_recording import flight
from recording import (Case, DATA, DROPPED, QEMU_EVENTS, ROOT, VITRINE_TRACE, event, header, mapping,
                       text, words)

PROTO = os.path.join(ROOT, "tests", "data", "perfetto_subset.proto")

EVENTS = """\
tick(void) "tock"
kinds(uint64_t big, int64_t small, bool yes, void *where, const char *what) "%lu %ld %d %p %s"
#@enum run_state 0=prelaunch 9=running
#@flags access 1=read 2=write
#@args state:run_state how:access
state(int state, int how) "state %d how %d"
dev_enter(int n) "%d"
dev_exit(int n) "%d"
"""

BIG = 0xfedcba9876543210
NAMES = ["tick", "kinds", "state", "dev_enter", "dev_exit"]
TICK, KINDS, STATE, ENTER, EXIT = range(len(NAMES))

# The string has a quotation mark, a comma, a line end, a control character, UTF-8 and a byte that
# is none.
STRANGE = 'a"b,c\n\x01\u20ac'.encode() + b"\xff"
STRANGE_TEXT = 'a"b,c\n\x01\u20ac\u00ff'


def body():
    return (event(TICK, 5000000001, b"", 7) +
            event(KINDS, 5000000002, words(BIG, -5, 1, 0xffff800000000000) + text(STRANGE), 7) +
            event(STATE, 5000001003, words(9, 3), 8) +
            event(DROPPED, 5000001004, words(12), 8) +
            event(STATE, 5000001005, words(5, 4), 8))


def maps():
    return b"".join(mapping(number, name) for number, name in enumerate(NAMES))


class ConvertCase(Case):
    def setUp(self):
        super().setUp()
        self.trace = self.recording(header() + maps() + body(), EVENTS)

    def convert(self, to, *args, **more):
        return self.run_trace("convert", "--to", to, *args, **more)


class Json(ConvertCase):
    def lines(self, data):
        return [json.loads(line) for line in data.decode("utf-8").split("\n")[:-1]]

    def test_records(self):
        out, errors = self.convert("json", self.trace)
        self.assertEqual(errors, "")
        self.assertEqual(self.lines(out), [
            {"event": "tick", "time": 5000000001, "pid": 7, "thread": 0, "args": {}},
            {"event": "kinds", "time": 5000000002, "pid": 7, "thread": 0,
             "args": {"big": BIG, "small": -5, "yes": True, "where": 0xffff800000000000,
                      "what": STRANGE_TEXT}},
            {"event": "state", "time": 5000001003, "pid": 8, "thread": 0,
             "args": {"state": 9, "state_word": "running", "how": 3, "how_word": "read|write"}},
            {"event": "Dropped_Event", "time": 5000001004, "pid": 8, "thread": 0,
             "args": {"num_events_dropped": 12}},
            {"event": "state", "time": 5000001005, "pid": 8, "thread": 0,
             "args": {"state": 5, "how": 4}},
        ])

    def test_every_byte_is_valid_json(self):
        strings = [bytes([n]) for n in range(256)]
        strings += [b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\xf0\x9f\x98\x80",
                    b"", b"x" * 512]
        content = header() + maps()
        for s in strings:
            content += event(KINDS, 1, words(0, 0, 0, 0) + text(s))
        out, _ = self.convert("json", self.recording(content, EVENTS, "bytes"))
        found = [line["args"]["what"] for line in self.lines(out)]
        self.assertEqual(found[:256], [chr(n) for n in range(256)])
        self.assertEqual(found[256:260], ["\u00c0\u0080", "\u00ed\u00a0\u0080",
                                          "\u00f4\u0090\u0080\u0080", "\u00e2\u0082"])
        self.assertEqual(found[260:], ["\U0001f600", "", "x" * 512])

    def test_pipe_and_compression(self):
        out, _ = self.convert("json", self.trace)
        with open(self.trace, "rb") as file:
            piped, _ = self.convert("json", "--events", self.trace + ".events", "-",
                                    stdin=file.read())
        self.assertEqual(piped, out)
        self.convert("json", self.trace, "-o", self.path("out.zst"))
        self.assertEqual(self.unpack(self.path("out.zst")), out)

    def test_threads(self):
        trace = self.write("flight", flight(EVENTS, NAMES, [
            (11, [event(TICK, 10, b"", 100), event(TICK, 30, b"", 100)]),
            (12, [event(TICK, 20, b"", 100)])]))
        out, _ = self.convert("json", trace)
        self.assertEqual([(r["time"], r["pid"], r["thread"]) for r in self.lines(out)],
                         [(10, 100, 11), (20, 100, 12), (30, 100, 11)])


class Csv(ConvertCase):
    def rows(self, data):
        self.assertTrue(data.endswith(b"\r\n"))
        return list(csv.reader(io.StringIO(data.decode("utf-8"), newline=""), strict=True))

    def test_all_events(self):
        out, errors = self.convert("csv", self.trace)
        self.assertEqual(errors, "")
        rows = self.rows(out)
        self.assertEqual(rows[0], ["time", "event", "pid", "thread", "arguments"])
        self.assertEqual(rows[1], ["5000000001", "tick", "7", "0", ""])
        start = f"big={BIG} small=-5 yes=1 where={0xffff800000000000} what="
        self.assertEqual(rows[2][:4], ["5000000002", "kinds", "7", "0"])
        self.assertTrue(rows[2][4].startswith(start), rows[2][4])
        self.assertEqual(json.loads(rows[2][4][len(start):]), STRANGE_TEXT)
        self.assertEqual(rows[3][4], "state=9 state_word=running how=3 how_word=read|write")
        self.assertEqual(rows[4], ["5000001004", "Dropped_Event", "8", "0", "num_events_dropped=12"])
        self.assertEqual(rows[5][4], "state=5 how=4")
        self.assertEqual(len(rows), 6)

    def test_one_event(self):
        out, _ = self.convert("csv", "--event", "kinds", self.trace)
        self.assertEqual(self.rows(out), [
            ["time", "pid", "thread", "big", "small", "yes", "where", "what"],
            ["5000000002", "7", "0", str(BIG), "-5", "1", str(0xffff800000000000), STRANGE_TEXT]])
        out, _ = self.convert("csv", "--event", "state", self.trace)
        self.assertEqual(self.rows(out), [
            ["time", "pid", "thread", "state", "state_word", "how", "how_word"],
            ["5000001003", "8", "0", "9", "running", "3", "read|write"],
            ["5000001005", "8", "0", "5", "", "4", ""]])

    def test_event_that_does_not_occur(self):
        out, errors = self.convert("csv", "--event", "nothing", self.trace, status=1)
        self.assertEqual(self.rows(out), [["time", "pid", "thread"]])
        self.assertIn("no event nothing", errors)


class Sqlite(ConvertCase):
    def open(self, name="out.db"):
        db = sqlite3.connect(self.path(name))
        self.addCleanup(db.close)
        self.assertEqual(db.execute("PRAGMA integrity_check").fetchone(), ("ok",))
        return db

    def test_tables(self):
        self.convert("sqlite", self.trace, "-o", self.path("out.db"))
        db = self.open()
        self.assertEqual(db.execute("SELECT * FROM events ORDER BY id").fetchall(), [
            (1, 5000000001, "tick", 7, 0), (2, 5000000002, "kinds", 7, 0),
            (3, 5000001003, "state", 8, 0), (4, 5000001004, "Dropped_Event", 8, 0),
            (5, 5000001005, "state", 8, 0)])
        self.assertEqual(db.execute("SELECT * FROM kinds").fetchall(),
                         [(2, BIG - (1 << 64), -5, 1, 0xffff800000000000 - (1 << 64), STRANGE_TEXT)])
        self.assertEqual(db.execute("SELECT * FROM state").fetchall(),
                         [(3, 9, "running", 3, "read|write"), (5, 5, None, 4, None)])
        self.assertEqual(db.execute("SELECT * FROM tick").fetchall(), [(1,)])
        self.assertEqual(db.execute('SELECT num_events_dropped FROM "Dropped_Event"').fetchall(),
                         [(12,)])
        types = [row[1:3] for row in db.execute("PRAGMA table_info(kinds)")]
        self.assertEqual(types, [("id", "INTEGER"), ("big", "INTEGER"), ("small", "INTEGER"),
                                 ("yes", "INTEGER"), ("where", "INTEGER"), ("what", "TEXT")])
        self.assertEqual([name for name in os.listdir(self.folder) if name.startswith("out")],
                         ["out.db"])

    def test_names_that_sqlite_has_itself(self):
        events = ('events(int id, int ID_) "%d %d"\nSelect(int Group, int a) "%d %d"\n'
                  'sELECT(int a) "%d"\nsqlite_x(int a) "%d"\n')
        names = ["events", "Select", "sELECT", "sqlite_x"]
        content = header() + b"".join(mapping(n, name) for n, name in enumerate(names))
        content += event(0, 1, words(3, 4)) + event(1, 2, words(5, 6)) + event(2, 3, words(7))
        content += event(3, 4, words(8))
        self.convert("sqlite", self.recording(content, events, "odd"), "-o", self.path("out.db"))
        db = self.open()
        self.assertEqual(db.execute("SELECT * FROM events_").fetchall(), [(1, 3, 4)])
        self.assertEqual(db.execute('SELECT id_, ID__ FROM events_').fetchall(), [(3, 4)])
        self.assertEqual(db.execute('SELECT "Group", a FROM "Select"').fetchall(), [(5, 6)])
        self.assertEqual(db.execute("SELECT a FROM sELECT_").fetchall(), [(7,)])
        self.assertEqual(db.execute("SELECT a FROM _sqlite_x").fetchall(), [(8,)])

    def test_existing_file(self):
        path = self.write("out.db", "precious")
        _, errors = self.convert("sqlite", self.trace, "-o", path, status=1)
        self.assertIn("--force", errors)
        with open(path, "rb") as file:
            self.assertEqual(file.read(), b"precious")
        self.convert("sqlite", "--force", self.trace, "-o", path)
        self.assertEqual(self.open().execute("SELECT count(*) FROM events").fetchone(), (5,))

    def test_standard_output(self):
        _, errors = self.convert("sqlite", self.trace, status=2)
        self.assertIn("-o", errors)

    def test_folder_that_does_not_exist(self):
        _, errors = self.convert("sqlite", self.trace, "-o", self.path("no/out.db"), status=1)
        self.assertIn("cannot be created", errors)


class Chrome(ConvertCase):
    def load(self, data):
        whole = json.loads(data.decode("utf-8"))
        self.assertEqual(set(whole), {"traceEvents", "displayTimeUnit"})
        self.assertEqual(whole["displayTimeUnit"], "ns")
        return whole["traceEvents"]

    def test_instants(self):
        out, errors = self.convert("chrome", self.trace)
        self.assertEqual(errors, "")
        self.assertIn(b'"ts":5000000.002,', out)
        rows = self.load(out)
        instants = [row for row in rows if row["ph"] != "M"]
        self.assertEqual({row["ph"] for row in instants}, {"i"})
        self.assertEqual({row["s"] for row in instants}, {"t"})
        self.assertEqual([row["name"] for row in instants],
                         ["tick", "kinds", "state", "Dropped_Event", "state"])
        self.assertEqual(instants[2]["args"], {"state": 9, "state_word": "running", "how": 3,
                                               "how_word": "read|write"})
        self.assertEqual([(row["pid"], row["tid"]) for row in instants],
                         [(7, 7), (7, 7), (8, 8), (8, 8), (8, 8)])
        names = {(row["name"], row["pid"]): row["args"]["name"] for row in rows if row["ph"] == "M"}
        self.assertEqual(names, {("process_name", 7): "process 7", ("thread_name", 7): "all threads",
                                 ("process_name", 8): "process 8", ("thread_name", 8): "all threads"})

    def test_slices(self):
        trace = self.write("flight", flight(EVENTS, NAMES, [
            (11, [event(ENTER, 1000, words(1)), event(EXIT, 2000, words(2)),
                  event(EXIT, 2500, words(3))]),
            (12, [event(ENTER, 1500, words(4))])]))
        out, _ = self.convert("chrome", "--slices", trace)
        rows = [(r["ph"], r["ts"], r["tid"], r["args"]["n"]) for r in self.load(out)
                if r["ph"] != "M"]
        self.assertEqual(sorted(rows), [("B", 1, 11, 1), ("E", 2, 11, 2), ("i", 1.5, 12, 4),
                                        ("i", 2.5, 11, 3)])
        out, _ = self.convert("chrome", trace)
        self.assertEqual({r["ph"] for r in self.load(out)}, {"M", "i"})


def parse_proto(lines):
    """What `protoc --decode` printed: a list of (field, value or list)."""
    result = []
    for line in lines:
        line = line.strip()
        if line == "}":
            break
        if line.endswith("{"):
            result.append((line[:-1].strip(), parse_proto(lines)))
        else:
            name, value = line.split(": ", 1)
            if value.startswith('"'):
                raw = re.sub(r"\\([0-7]{3}|.)", unescape, value[1:-1])
                value = raw.encode("latin-1").decode("utf-8")
            result.append((name, value))
    return result


def unescape(match):
    code = match.group(1)
    return chr(int(code, 8)) if len(code) == 3 else {"n": "\n", "r": "\r", "t": "\t"}.get(code, code)


class Perfetto(ConvertCase):
    def decode(self, data):
        """Decodes by Perfetto's field numbers; fails on any that we do not know."""
        done = subprocess.run(["protoc", "--decode=Trace", "-I", os.path.dirname(PROTO), PROTO],
                              input=data, capture_output=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        lines = done.stdout.decode().splitlines()
        for line in lines:
            self.assertNotRegex(line, r"^\s*[0-9]+[ :]", "an unknown field")
        packets = []
        for name, packet in parse_proto(iter(lines)):
            self.assertEqual(name, "packet")
            packets.append(dict(packet))
            self.assertEqual(len(packets[-1]), len(packet), "a field is repeated")
        for number, packet in enumerate(packets):
            self.assertEqual(packet["trusted_packet_sequence_id"], "1")
            self.assertEqual(packet["sequence_flags"], "1" if number == 0 else "2")
        return packets

    def resolve(self, packets):
        """Events with their names and arguments, and tracks by uuid."""
        names = {"event_names": {}, "event_categories": {}, "debug_annotation_names": {}}
        tracks, events = {}, []
        for packet in packets:
            for kind, entry in packet.get("interned_data", []):
                entry = dict(entry)
                self.assertNotIn(entry["iid"], names[kind])
                names[kind][entry["iid"]] = entry["name"]
            if "track_descriptor" in packet:
                descriptor = dict(packet["track_descriptor"])
                tracks[descriptor["uuid"]] = descriptor
            if "track_event" in packet:
                fields = packet["track_event"]
                plain = dict(fields)
                self.assertIn(plain["category_iids"], names["event_categories"])
                args = {}
                for annotation in (value for name, value in fields if name == "debug_annotations"):
                    (_, iid), (kind, value) = annotation
                    args[names["debug_annotation_names"][iid]] = (kind, value)
                events.append((plain["type"], int(packet["timestamp"]),
                               names["event_names"][plain["name_iid"]], args,
                               tracks[plain["track_uuid"]]))
        return events, tracks

    def test_events(self):
        out, errors = self.convert("perfetto", self.trace)
        self.assertEqual(errors, "")
        packets = self.decode(out)
        self.assertEqual(packets[0]["trace_packet_defaults"], [("timestamp_clock_id", "3")])
        self.assertEqual(packets[0]["clock_snapshot"],
                         [("clocks", [("clock_id", "3"), ("timestamp", "5000000001")]),
                          ("primary_trace_clock", "3")])
        events, tracks = self.resolve(packets)
        self.assertEqual([e[:3] for e in events], [
            ("TYPE_INSTANT", 5000000001, "tick"), ("TYPE_INSTANT", 5000000002, "kinds"),
            ("TYPE_INSTANT", 5000001003, "state"), ("TYPE_INSTANT", 5000001004, "Dropped_Event"),
            ("TYPE_INSTANT", 5000001005, "state")])
        self.assertEqual(events[0][3], {})
        self.assertEqual(events[1][3], {
            "big": ("uint_value", str(BIG)), "small": ("int_value", "-5"),
            "yes": ("bool_value", "true"), "where": ("pointer_value", str(0xffff800000000000)),
            "what": ("string_value", STRANGE_TEXT)})
        self.assertEqual(events[2][3], {
            "state": ("int_value", "9"), "state_word": ("string_value", "running"),
            "how": ("int_value", "3"), "how_word": ("string_value", "read|write")})
        self.assertEqual(events[4][3], {"state": ("int_value", "5"), "how": ("int_value", "4")})
        self.assertEqual([dict(e[4]["process"])["pid"] for e in events], ["7", "7", "8", "8", "8"])
        self.assertEqual(len(tracks), 2)

    def test_threads_and_wall_clock(self):
        wall = 1700000000 * 10**9
        trace = self.write("flight", flight(EVENTS, NAMES, [
            (11, [event(TICK, 1000, pid=100), event(TICK, 3000, pid=100)]),
            (12, [event(TICK, 2000, pid=100)])], wall=wall))
        packets = self.decode(self.convert("perfetto", trace)[0])
        self.assertIn(("clocks", [("clock_id", "1"), ("timestamp", str(wall + 1000))]),
                      packets[0]["clock_snapshot"])
        events, tracks = self.resolve(packets)
        self.assertEqual([dict(e[4]["thread"])["tid"] for e in events], ["11", "12", "11"])
        for track in tracks.values():
            if "thread" in track:
                self.assertEqual(dict(track["thread"])["pid"], "100")
                self.assertEqual(dict(tracks[track["parent_uuid"]]["process"])["pid"], "100")

    def test_slices_nest(self):
        events = 'a_enter(void) ""\na_exit(void) ""\nb_begin(void) ""\nb_end(void) ""\ni(void) ""\n'
        names = ["a_enter", "a_exit", "b_begin", "b_end", "i"]
        a, a_, b, b_, i = range(5)
        order = [a, b, i, b_, a_,  # proper
                 a, b, a_, b_,     # crossing: b has no place
                 b_, a, a, a_, a_, b]
        records = [event(number, 10 * n) for n, number in enumerate(order, 1)]
        trace = self.write("flight", flight(events, names, [(11, records)]))
        found, _ = self.resolve(self.decode(self.convert("perfetto", "--slices", trace)[0]))
        self.assertEqual(len(found), len(order))
        kinds = {time: kind[5:] for kind, time, *_ in found}
        self.assertEqual([kinds[10 * n] for n in range(1, len(order) + 1)], [
            "SLICE_BEGIN", "SLICE_BEGIN", "INSTANT", "SLICE_END", "SLICE_END",
            "SLICE_BEGIN", "INSTANT", "SLICE_END", "INSTANT",
            "INSTANT", "SLICE_BEGIN", "SLICE_BEGIN", "SLICE_END", "SLICE_END", "INSTANT"])
        depth = 0
        for kind, *_ in sorted(found, key=lambda e: e[1]):
            depth += {"TYPE_SLICE_BEGIN": 1, "TYPE_SLICE_END": -1}.get(kind, 0)
            self.assertGreaterEqual(depth, 0)
        self.assertEqual(depth, 0)
        plain, _ = self.resolve(self.decode(self.convert("perfetto", trace)[0]))
        self.assertEqual({e[0] for e in plain}, {"TYPE_INSTANT"})

    def test_more_threads_than_are_kept(self):
        content = header() + maps()
        for turn in range(2):
            for pid in range(1, 1501):
                content += event(TICK, turn * 2000 + pid, b"", pid)
        packets = self.decode(self.convert("perfetto", self.recording(content, EVENTS, "many"))[0])
        events, tracks = self.resolve(packets)
        self.assertEqual([int(dict(e[4]["process"])["pid"]) for e in events],
                         list(range(1, 1501)) * 2)
        self.assertEqual(len(tracks), 1500)


class Simple(ConvertCase):
    def test_round_trip(self):
        expected, _ = self.run_trace("show", self.trace)
        self.convert("simple", self.trace, "-o", self.path("again"))
        self.assertEqual(self.run_trace("show", self.path("again"))[0], expected)
        with open(self.path("again"), "rb") as file:
            content = file.read()
        self.assertEqual(content[:24], header())
        self.assertIn(event(DROPPED, 5000001004, words(12), 8), content)
        with open(self.path("again.events"), encoding="utf-8") as file:
            declared = file.read()
        self.assertIn("#@enum run_state", declared)
        self.assertNotIn("dev_enter", declared, "only events that occur are declared")
        self.convert("simple", self.path("again"), "-o", self.path("third.zst"))
        self.assertEqual(self.run_trace("show", self.path("third.zst"))[0], expected)

    def test_old_versions(self):
        # Version 0 has no strings but their addresses.
        events = 'tick(void) "t"\nname(const char *what, int n) "%s %d"\n'
        record = words(1, 1000, 0x1234, 5, 0, 0, 0, 0)
        trace = self.recording(header(0) + record, events, "v0")
        self.convert("simple", trace, "-o", self.path("new"))
        out, _ = self.run_trace("show", self.path("new"))
        self.assertEqual(out, b"name 0.000 pid=0 what=0x1234 n=0x5\n")
        out, _ = self.convert("json", self.path("new"))
        self.assertEqual(json.loads(out)["args"], {"what": 0x1234, "n": 5})


class Ctf(ConvertCase):
    def babeltrace(self, path):
        done = subprocess.run(["babeltrace2", "--clock-cycles", "--fields=all", path],
                              capture_output=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return done.stdout.decode(errors="replace").splitlines(), done.stderr.decode()

    def test_events(self):
        self.convert("ctf", self.trace, "-o", self.path("out"))
        lines, notes = self.babeltrace(self.path("out"))
        found = [re.search(r"\[0*(\d+)\].*? (\w+): ", line).groups() for line in lines]
        self.assertEqual(found, [("5000000001", "tick"), ("5000000002", "kinds"),
                                 ("5000001003", "state"), ("5000001005", "state")])
        self.assertRegex(notes, r"12 events")
        self.assertRegex(lines[1], r"small = -5\b")
        self.assertIn("running", lines[2])

    def test_our_reader(self):
        self.convert("ctf", self.trace, "-o", self.path("out"))
        self.assertEqual(self.convert("json", self.path("out"))[0],
                         self.convert("json", self.trace)[0])
        trace = self.write("flight", flight(EVENTS, NAMES, [
            (11, [event(TICK, 10, b"", 100), event(TICK, 30, b"", 100)]),
            (12, [event(STATE, 20, words(9, 1), 100)])], wall=10**18))
        self.convert("ctf", trace, "-o", self.path("threads"))
        for to in ("json", "perfetto", "chrome"):
            self.assertEqual(self.convert(to, self.path("threads"))[0], self.convert(to, trace)[0])

    def test_output_is_input(self):
        self.convert("ctf", self.trace, "-o", self.path("out"))
        before = self.convert("json", self.path("out"))[0]
        self.convert("ctf", self.path("out"), "-o", self.path("out"), status=2)
        self.assertEqual(self.convert("json", self.path("out"))[0], before)

    def test_a_folder_that_is_something_else(self):
        os.mkdir(self.path("out"))
        self.write("out/precious", "x")
        self.convert("ctf", self.trace, "-o", self.path("out"), status=1)
        self.assertEqual(os.listdir(self.path("out")), ["precious"])

    def test_too_many_threads(self):
        content = header() + maps() + b"".join(event(TICK, n, b"", n) for n in range(1, 4099))
        trace = self.recording(content, EVENTS, "many")
        _, errors = self.convert("ctf", trace, "-o", self.path("out"), status=1)
        self.assertIn("4096 threads", errors)
        self.assertEqual(self.convert("json", self.path("out"))[0].count(b"\n"), 4096)

    def test_standard_output(self):
        self.convert("ctf", self.trace, status=2)


class QemuRecording(ConvertCase):
    """The recording of a booting machine, through every format."""

    def setUp(self):
        super().setUp()
        self.trace = os.path.join(DATA, "pc-boot.simple-v4.zst")
        for path in (self.trace, QEMU_EVENTS):
            if not os.path.exists(path):
                self.fail(f"{path} is missing: it is needed for this test")
        self.shown = self.unpack(os.path.join(DATA, "pc-boot.simple-v4.txt.zst"))
        self.names = [line.split()[0].decode() for line in self.shown.splitlines()]

    def convert(self, to, *args, **more):
        return super().convert(to, "--events", QEMU_EVENTS, *args, **more)

    def test_simple(self):
        self.convert("simple", self.trace, "-o", self.path("copy"))
        self.assertTrue(self.run_trace("show", self.path("copy"))[0] == self.shown)

    def test_json(self):
        out, _ = self.convert("json", self.trace)
        records = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([r["event"] for r in records], self.names)

    def test_csv(self):
        out, _ = self.convert("csv", self.trace)
        rows = list(csv.reader(io.StringIO(out.decode(), newline="")))
        self.assertEqual([row[1] for row in rows[1:]], self.names)

    def test_chrome(self):
        out, _ = self.convert("chrome", "--slices", self.trace)
        rows = json.loads(out)["traceEvents"]
        self.assertEqual(sorted(r["name"] for r in rows if r["ph"] != "M"), sorted(self.names))

    def test_perfetto(self):
        out, _ = self.convert("perfetto", self.trace)
        packets = Perfetto.decode(self, out)
        self.assertEqual(sum("track_event" in p for p in packets), len(self.names))

    def test_sqlite(self):
        self.convert("sqlite", self.trace, "-o", self.path("boot.db"))
        db = sqlite3.connect(self.path("boot.db"))
        self.addCleanup(db.close)
        self.assertEqual([row[0] for row in db.execute("SELECT event FROM events ORDER BY id")],
                         self.names)
        count = db.execute("SELECT count(*) FROM pci_cfg_read JOIN events USING (id)").fetchone()[0]
        self.assertEqual(count, self.names.count("pci_cfg_read"))


class Damage(ConvertCase):
    """A recording that is cut off in its last record: everything before is converted."""

    def setUp(self):
        super().setUp()
        self.trace = self.recording((header() + maps() + body())[:-3], EVENTS, "cut")

    def one_error(self, errors):
        self.assertEqual(len(errors.splitlines()), 1, errors)
        self.assertIn("at byte", errors)

    def test_json(self):
        out, errors = self.convert("json", self.trace, status=1)
        self.one_error(errors)
        self.assertEqual(len([json.loads(line) for line in out.splitlines()]), 4)

    def test_csv(self):
        out, errors = self.convert("csv", self.trace, status=1)
        self.one_error(errors)
        self.assertEqual(len(list(csv.reader(io.StringIO(out.decode(), newline="")))), 5)

    def test_chrome(self):
        out, errors = self.convert("chrome", self.trace, status=1)
        self.one_error(errors)
        self.assertEqual(sum(r["ph"] == "i" for r in json.loads(out)["traceEvents"]), 4)

    def test_perfetto(self):
        out, errors = self.convert("perfetto", self.trace, status=1)
        self.one_error(errors)
        self.assertEqual(sum("track_event" in p for p in Perfetto.decode(self, out)), 4)

    def test_sqlite(self):
        _, errors = self.convert("sqlite", self.trace, "-o", self.path("out.db"), status=1)
        self.one_error(errors)
        db = sqlite3.connect(self.path("out.db"))
        self.addCleanup(db.close)
        self.assertEqual(db.execute("SELECT count(*) FROM events").fetchone(), (4,))

    def test_simple(self):
        _, errors = self.convert("simple", self.trace, "-o", self.path("out"), status=1)
        self.one_error(errors)
        self.assertEqual(self.convert("json", self.path("out"))[0].count(b"\n"), 4)


class Empty(ConvertCase):
    def test_every_format(self):
        trace = self.recording(header(), EVENTS, "empty")
        self.assertEqual(self.convert("json", trace)[0], b"")
        self.assertEqual(self.convert("csv", trace)[0], b"time,event,pid,thread,arguments\r\n")
        self.assertEqual(json.loads(self.convert("chrome", trace)[0])["traceEvents"], [])
        self.assertEqual(len(Perfetto.decode(self, self.convert("perfetto", trace)[0])), 1)
        self.assertEqual(self.convert("simple", trace)[0], header())
        self.convert("sqlite", trace, "-o", self.path("out.db"))
        db = sqlite3.connect(self.path("out.db"))
        self.addCleanup(db.close)
        self.assertEqual(db.execute("SELECT count(*) FROM events").fetchone(), (0,))
        self.convert("ctf", trace, "-o", self.path("out"))
        self.assertTrue(os.path.exists(self.path("out/metadata")))


class Usage(ConvertCase):
    def test_help(self):
        out, _ = self.run_trace("convert", "--help")
        for word in (b"perfetto", b"example:", b"--slices"):
            self.assertIn(word, out)

    def test_wrong_usage(self):
        for args in (["convert", self.trace], ["convert", "--to", "xml", self.trace],
                     ["convert", "--to", "json"], ["convert", "--to", "json", self.trace, self.trace],
                     ["convert", "--to", "json", "--slices", self.trace],
                     ["convert", "--to", "json", "--event", "x", self.trace],
                     ["convert", "--to", "csv", "--force", self.trace],
                     ["convert", "--to", "json", "--bogus", self.trace],
                     ["convert", "--to", "json", self.trace, "-o"]):
            _, errors = self.run_trace(*args, status=2)
            self.assertIn("--help", errors)

    def test_output_is_input(self):
        with open(self.trace, "rb") as file:
            before = file.read()
        link = self.path("link")
        os.symlink(self.trace, link)
        for to in ("json", "simple"):
            _, errors = self.convert(to, self.trace, "-o", link, status=2)
            self.assertIn("name another file", errors)
        with open(self.trace, "rb") as file:
            self.assertEqual(file.read(), before)

    def test_declarations_are_not_overwritten(self):
        # trace.zst is declared in trace.events, which is where `trace` would put its own.
        packed = self.path("other.zst")
        subprocess.run(["zstd", "-q", self.trace, "-o", packed], check=True)
        os.rename(self.trace + ".events", self.path("other.events"))
        _, errors = self.convert("simple", packed, "-o", self.path("other"), status=2)
        self.assertIn("other.events", errors)
        self.assertFalse(os.path.exists(self.path("other")))

    def test_declarations_that_are_read_are_not_overwritten(self):
        events = self.trace + ".events"
        other = self.write("other", EVENTS)
        for command in (["convert", "--to", "json"], ["stats"], ["timeline"], ["show"]):
            for output, options in ((events, []), (other, ["--events", other])):
                _, errors = self.run_trace(*command, *options, self.trace, "-o", output, status=2)
                self.assertIn("holds the declarations that are read", errors)
                with open(output, encoding="utf-8") as file:
                    self.assertEqual(file.read(), EVENTS)

    def test_missing_file(self):
        _, errors = self.convert("json", self.path("nothing"), status=1)
        self.assertIn("nothing", errors)

    def test_full_disk(self):
        for to in ("json", "perfetto", "chrome", "csv"):
            _, errors = self.convert(to, self.trace, "-o", "/dev/full", status=1)
            self.assertIn("No space left", errors)

    def test_full_disk_ends_the_work(self):
        """The rest of the recording, which may not end at all, is not read."""
        part = event(TICK, 5) * 10000
        for command in (["convert", "--to", "json"], ["convert", "--to", "csv"],
                        ["convert", "--to", "pickle"], ["convert", "--to", "chrome"],
                        ["convert", "--to", "perfetto"], ["convert", "--to", "simpletrace"], ["show"]):
            with self.subTest(command=command), \
                    subprocess.Popen([VITRINE_TRACE, *command, "--events", self.trace + ".events", "-o",
                                      "/dev/full", "-"], stdin=subprocess.PIPE,
                                     stderr=subprocess.PIPE, bufsize=0) as process:
                process.stdin.write(header() + maps())
                with self.assertRaises(BrokenPipeError):
                    for _ in range(300):
                        process.stdin.write(part)
                self.assertIn(b"No space left", process.stderr.read())
                self.assertEqual(process.wait(timeout=20), 1)

    def test_reader_of_a_pipe_leaves(self):
        content = header() + maps() + b"".join(event(TICK, n) for n in range(200000))
        trace = self.recording(content, EVENTS, "long")
        with subprocess.Popen([VITRINE_TRACE, "convert", "--to", "json", trace],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            process.stdout.readline()
            process.stdout.close()
            self.assertEqual(process.stderr.read(), b"")
            self.assertEqual(process.wait(timeout=60), 0)


if __name__ == "__main__":
    unittest.main()
