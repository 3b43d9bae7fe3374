# SPDX-License-Identifier: MIT
#
# vitrine-trace stats, against counts made here.
import collections
import json
import random
import unittest

from recording import Case, DROPPED, event, header, mapping, words

EVENTS = "a(void) \"\"\nb(uint64_t x) \"%lu\"\nc(int y) \"%d\"\nnever(void) \"\"\n"
NAMES = {10: "a", 11: "b", 12: "c", 13: "never", DROPPED: "Dropped_Event"}
ARGS = {10: b"", 11: words(5), 12: words(6), DROPPED: words(3)}


def make(records):
    content = header() + b"".join(mapping(n, NAMES[n]) for n in (10, 11, 12, 13))
    return content + b"".join(event(n, time, ARGS[n], pid) for n, time, pid in records)


def some_records(count):
    chance = random.Random(3)
    time, records = 10**9, []
    for _ in range(count):
        time += chance.choice((0, 1, 7, 1000, 50000, -3))
        number = chance.choices((10, 11, 12, DROPPED), (50, 30, 20, 1))[0]
        records.append((number, time, chance.choice((100, 200, 4000000000))))
    return records


def histogram(times):
    """What the gaps between these times are counted as: lower end of the row (None: below 0)."""
    rows = collections.Counter()
    for before, after in zip(times, times[1:]):
        gap = after - before
        rows[None if gap < 0 else 0 if gap == 0 else 1 << (gap.bit_length() - 1)] += 1
    return dict(rows)


class Stats(Case):
    def stats(self, records, *args):
        path = self.recording(make(records), EVENTS)
        return json.loads(self.run_trace("stats", "--json", *args, path)[0])

    def check_row(self, row, mine, everything):
        times = [time for _, time, _ in mine]
        self.assertEqual(row["count"], len(mine))
        self.assertEqual(row["first_ns"], min(times))
        self.assertEqual(row["last_ns"], max(times))
        self.assertAlmostEqual(row["share"], len(mine) / len(everything), places=5)
        if max(times) > min(times):
            rate = len(mine) * 1e9 / (max(times) - min(times))
            self.assertAlmostEqual(row["per_second"] / rate, 1, places=5)
        if "gaps" in row:
            gaps = {gap["from_ns"]: gap["count"] for gap in row["gaps"]}
            self.assertEqual(gaps, histogram(times))

    def test_counts(self):
        records = some_records(20000)
        for by in (None, "event", "thread"):
            found = self.stats(records, *(["--by", by] if by else []))
            self.assertEqual(found["format"], "simple")
            self.assertEqual(found["version"], 4)
            self.assertEqual(found["records"], len(records))
            self.assertTrue(found["complete"])
            self.assertEqual(found["lost"], 3 * sum(n == DROPPED for n, _, _ in records))
            self.assertEqual({gap["from_ns"]: gap["count"] for gap in found["gaps"]},
                             histogram([time for _, time, _ in records]))
            self.assertEqual("events" in found, by != "thread")
            self.assertEqual("threads" in found, by != "event")
            for row in found.get("events", ()):
                self.assertEqual("gaps" in row, by == "event")
                self.check_row(row, [r for r in records if NAMES[r[0]] == row["name"]], records)
            for row in found.get("threads", ()):
                self.assertEqual("gaps" in row, by == "thread")
                self.check_row(row, [r for r in records if r[2] == row["pid"]], records)
            if "events" in found:
                self.assertEqual({row["name"] for row in found["events"]},
                                 {"a", "b", "c", "Dropped_Event"})
            if "threads" in found:
                self.assertEqual({row["pid"] for row in found["threads"]}, {100, 200, 4000000000})

    def test_order(self):
        records = [(12, 10, 1), (10, 20, 1), (10, 30, 1), (11, 40, 1), (11, 50, 1), (11, 60, 1)]

        def order(*args):
            return [row["name"] for row in self.stats(records, *args)["events"]]
        self.assertEqual(order(), ["b", "a", "c"])
        self.assertEqual(order("--sort=count"), ["b", "a", "c"])
        self.assertEqual(order("--sort=name"), ["a", "b", "c"])
        self.assertEqual(order("--sort=first"), ["c", "a", "b"])

    def test_order_of_equals(self):
        records = [(12, 1, 1), (11, 2, 1), (10, 3, 1)]
        self.assertEqual([row["name"] for row in self.stats(records)["events"]], ["a", "b", "c"])

    def test_long_durations(self):
        for last, shown in ((999400000, "999 ms"), (999999999, "1000 ms"), (1234567890123, "1235 s"),
                            (100500000000, "100 s"), (1500000000, "1.5 s"), (12345, "12.3 us")):
            path = self.recording(make([(10, 0, 1), (10, last, 1)]), EVENTS)
            self.assertIn(f" in {shown},", self.run_trace("stats", path)[0].decode())

    def test_text(self):
        records = [(12, 1000000, 77), (10, 1000004, 77), (10, 3000004, 78), (DROPPED, 3000004, 78)]
        path = self.recording(make(records), EVENTS)
        out = self.run_trace("stats", path)[0].decode()
        self.assertIn("simple version 4, 4 records of 3 events in 2 ms, ", out)
        self.assertIn(", 3 lost\n", out)
        rows = [line.split() for line in out.splitlines()]
        self.assertIn(["a", "2", "50.00%", "1,000", "0.000", "2.000"], rows)
        self.assertIn(["c", "1", "25.00%", "-", "0.000", "0.000"], rows)
        self.assertIn(["pid", "77", "2", "50.00%", "500,000,000", "0.000", "0.000"], rows)
        # Three gaps: 0, 4 ns and 2 ms, each the longest bar.
        for label in ("0 ns", "4 ns", "1.05 ms"):
            self.assertRegex(out, rf"\n +{label} +1  #+\n")
        by_thread = self.run_trace("stats", "--by=thread", path)[0].decode()
        self.assertNotIn("Dropped_Event", by_thread)
        self.assertNotIn("\nevent ", by_thread)

    def test_empty_and_single(self):
        found = self.stats([])
        self.assertEqual((found["records"], found["events"], found["threads"], found["gaps"]),
                         (0, [], [], []))
        found = self.stats([(10, 5, 1)])
        self.assertEqual(found["events"][0]["count"], 1)
        self.assertEqual(found["gaps"], [])
        path = self.recording(make([]), EVENTS)
        self.assertIn(b"0 records of 0 events", self.run_trace("stats", path)[0])

    def test_many_threads(self):
        """Threads beyond what is kept apart are counted together; none is lost."""
        records = [(10, i, i) for i in range(20000)] * 2
        found = self.stats(records, "--by=thread")
        self.assertEqual(sum(row["count"] for row in found["threads"]), 40000)
        self.assertEqual(len(found["threads"]), 16385)
        self.assertEqual(found["threads"][0],
                         dict(found["threads"][0], pid=None, count=2 * (20000 - 16384)))

    def test_damaged(self):
        """What came before the damage is counted, then the damage is told."""
        records = some_records(100)
        path = self.recording(make(records)[:-3], EVENTS)
        out, errors = self.run_trace("stats", "--json", path, status=1)
        found = json.loads(out)
        self.assertEqual(found["records"], 99)
        self.assertFalse(found["complete"])
        self.assertIn("the recording ends inside a record", errors)

    def test_complaints(self):
        path = self.recording(make([]), EVENTS)
        for args, part in (([], "expected one recording"), ([path, path], "expected one recording"),
                           (["--by=cpu", path], "expected event, thread, module, symbol or line"),
                           (["--sort=size", path], "expected count, name or first")):
            self.assertIn(part, self.run_trace("stats", *args, status=2)[1])


if __name__ == "__main__":
    unittest.main()
