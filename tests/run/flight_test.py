# SPDX-License-Identifier: MIT
#
# The reader of flight recordings, on recordings made by hand: order, losses, damage.
import os
import struct
import subprocess
import unittest

from flight_recording import CHUNK, HEADER, flight
from recording import Case, DROPPED, VITRINE_TRACE, event, text, words

EVENTS = "tick(void) \"\"\ntwo(uint64_t offs, int val) \"\"\nname(const char *dev) \"%s\"\n"
NAMES = ["tick", "two", "name"]
FIRST = [event(0, 1000), event(1, 3000, words(0x40, -3)), event(DROPPED, 6000, words(7))]
SECOND = [event(2, 2000, text(b"e1000")), event(0, 4000)]


FIRST_CHUNK = HEADER + 4096  # behind the tables, which fit a page


def make():
    return flight(EVENTS, NAMES, [(11, FIRST), (12, SECOND)])


LINES = ["tick 0.000 pid=1 ", "name 1.000 pid=1 dev=e1000",
         "two 1.000 pid=1 offs=0x40 val=0xfffffffffffffffd", "tick 1.000 pid=1 ",
         "Dropped_Event 2.000 pid=1 num_events_dropped=0x7"]


class Flight(Case):
    def shown(self, content, status=0):
        out, err = self.run_trace("show", self.write("f", content), status=status)
        return out.decode().splitlines(), err

    def broken(self, content):
        lines, err = self.shown(content, status=1)
        self.assertEqual(err.count("\n"), 1, err)
        self.assertRegex(err, r"^vitrine-trace( show)?: \S*/f: ")
        return lines, err

    def test_threads_merge_by_time(self):
        self.assertEqual(self.shown(make())[0], LINES)

    def test_no_record_at_all(self):
        self.assertEqual(self.shown(flight(EVENTS, NAMES, []))[0], [])

    def test_chunks_of_a_thread_follow_their_sequence(self):
        content = bytearray(flight(EVENTS, NAMES, [(11, [event(0, 9000)]), (11, [event(0, 5000)])]))
        # Both are of one thread (serial 1); the second chunk is the older one.
        struct.pack_into("<QII", content, FIRST_CHUNK, 5, 11, 1)
        struct.pack_into("<QII", content, FIRST_CHUNK + CHUNK, 4, 11, 1)
        self.assertEqual(self.shown(content)[0], ["tick 0.000 pid=1 ", "tick 4.000 pid=1 "])

    def test_threads_are_told(self):
        out, _ = self.run_trace("stats", "--by", "thread", self.write("f", make()))
        self.assertIn("thread 11", out.decode())
        self.assertIn("thread 12", out.decode())

    def test_through_pipes(self):
        """Also one that cannot be opened a second time, because its writer has gone."""
        whole = make()
        self.assertEqual(self.run_trace("show", "-", stdin=whole)[0].decode().splitlines(), LINES)
        pipe = self.path("pipe")
        os.mkfifo(pipe)
        packed = subprocess.run(["zstd", "-qc"], input=whole, capture_output=True, check=True).stdout
        with subprocess.Popen([VITRINE_TRACE, "show", pipe], stdout=subprocess.PIPE) as process:
            try:
                with open(pipe, "wb") as file:
                    file.write(packed)  # fits into the pipe at once
                out, _ = process.communicate(timeout=20)
            finally:
                process.kill()
        self.assertEqual(out.decode().splitlines(), LINES)

    def test_standard_input_is_no_file_of_that_name(self):
        self.write("standard input", flight(EVENTS, NAMES, []))
        with open(self.write("f", make()), "rb") as file:
            for stdin in ({"stdin": file}, {"input": make()}):
                done = subprocess.run([VITRINE_TRACE, "show", "-"], cwd=self.folder, timeout=20,
                                      capture_output=True, check=True, **stdin)
                self.assertEqual(done.stdout.decode().splitlines(), LINES)

    def test_damaged_record_ends_the_text_there(self):
        at = FIRST_CHUNK + 16 + len(FIRST[0])
        for offset, value, complaint in (
                (0, 9, f"at byte {at}: expected the type of a record"),
                (24, 0x7fffffff, f"at byte {at}: expected a record that fits its chunk"),
                (8, 5, f"at byte {at + 8}: expected the id of a declared event, found 0x5"),
                (24, 24, f"at byte {at + 32}: expected the 2 arguments of event 'two'")):
            content = bytearray(make())
            struct.pack_into("<I", content, at + offset, value)
            lines, err = self.broken(content)
            self.assertIn(complaint, err)
            self.assertEqual(lines, LINES[:len(lines)])

    def test_damaged_head(self):
        for offset, form, value, complaint in (
                (16, "<I", 2, "expected a flight recording of version 1"),
                (16, "<I", 0, "expected a flight recording of version 1"),
                (20, "<I", 0x04030201, "this machine's byte order"),
                (24, "<Q", 1 << 40, "at byte 24: expected 1 to"),
                (32, "<Q", 1 << 50, "at byte 24: expected 1 to"),
                (40, "<Q", 1 << 63, "at byte 24: expected 1 to"),
                (40, "<Q", 100, "at byte 24: expected 1 to"),
                (48, "<Q", 1 << 60, "place of the declarations"),
                (56, "<Q", (1 << 64) - 1, "place of the declarations"),
                (64, "<Q", 64 << 20, "place of the declarations")):
            content = bytearray(make())
            struct.pack_into(form, content, offset, value)
            lines, err = self.broken(content)
            self.assertEqual(lines, [])
            self.assertIn(complaint, err)

    def test_cut_in_the_head_or_the_tables(self):
        content = make()
        for size in (15, 16, 40, 71, 79, 80, 4095, 4096, HEADER + 50):
            self.assertEqual(self.broken(content[:size])[0], [])

    def test_cut_in_the_chunks(self):
        content = make()
        second = FIRST_CHUNK + CHUNK + 16
        ends = [at + size for at, records in ((FIRST_CHUNK + 16, FIRST), (second, SECOND))
                for size in (sum(map(len, records[:n])) for n in range(1, len(records) + 1))]
        for size in (FIRST_CHUNK, FIRST_CHUNK + 8, ends[0] - 1, ends[0], ends[0] + 5, ends[1],
                     second - 1, second, ends[3], ends[3] + 20, ends[4] - 1, ends[4],
                     len(content) - 1):
            lines, err = self.broken(content[:size])
            self.assertIn(f"at byte {size}: the recording ends inside its chunks", err)
            self.assertEqual(len(lines), sum(end <= size for end in ends), size)
            self.assertEqual([line.split()[0] for line in lines],
                             [line.split()[0] for line in LINES if self.kept(line, size, ends)])

    def kept(self, line, size, ends):
        """Whether the record of this line lies before the cut."""
        order = [LINES[0], LINES[2], LINES[4], LINES[1], LINES[3]]  # as they lie in the file
        return ends[order.index(line)] <= size

    def test_mapping_that_is_none(self):
        content = bytearray(make())
        at = content.index(b"name", HEADER + len(EVENTS))
        content[at - 20:at] = b"\xff" * 20
        self.assertIn("expected the name of an event", self.broken(content)[1])


if __name__ == "__main__":
    unittest.main()
