# SPDX-License-Identifier: MIT
#
# vitrine-trace merge: order, unity of events, alignment of clocks, refusals.
import heapq
import os
import random
import unittest

from flight_recording import flight
from recording import Case, DROPPED, LONG, event, header, mapping, text, words

A = 'tick(int n) "%d"\nname(const char *what) "%s"\n'
B = 'other(void) ""\nname(const char *what) "%s"\ntick(int n) "n is %d"\n'


class MergeCase(Case):
    def first(self, *times, name="a"):
        return self.recording(header() + mapping(0, "tick") + mapping(1, "name") +
                              b"".join(event(0, t, words(t), 1) for t in times), A, name)

    def second(self, *times, name="b"):
        return self.recording(header() + mapping(0, "other") + mapping(1, "name") +
                              mapping(7, "tick") +
                              b"".join(event(7, t, words(t), 2) for t in times), B, name)

    def merge(self, *args, **more):
        """(time, pid, arguments) of the records of the merged recording."""
        _, self.errors = self.run_trace("merge", *args, "-o", self.path("out"), **more)
        return self.records(self.path("out"))

    def records(self, path):
        out, _ = self.run_trace("convert", "--to", "csv", path)
        rows = [line.decode().split(",", 4) for line in out.splitlines()[1:]]
        return [(int(time), int(pid), args) for time, _, pid, _, args in rows]


class Order(MergeCase):
    def test_two(self):
        self.assertEqual(self.merge(self.first(10, 30, 30, 50), self.second(5, 30, 40)),
                         [(5, 2, "n=5"), (10, 1, "n=10"), (30, 1, "n=30"), (30, 1, "n=30"),
                          (30, 2, "n=30"), (40, 2, "n=40"), (50, 1, "n=50")])
        self.assertEqual(self.errors, "")
        with open(self.path("out"), "rb") as file:
            content = file.read()
        self.assertEqual(content[:24], header())
        self.assertEqual(content.count(b"tick"), 1, "one event, one number")

    def test_many(self):
        draw = random.Random(5)
        times = [sorted(draw.randrange(10**6) for _ in range(draw.randrange(0, 400)))
                 for _ in range(60 if LONG else 25)]
        paths = [self.first(*t, name=f"t{n}") for n, t in enumerate(times)]
        self.assertEqual([r[0] for r in self.merge(*paths)], list(heapq.merge(*times)))

    def test_one_and_empty(self):
        self.assertEqual(self.merge(self.first(1, 2)), [(1, 1, "n=1"), (2, 1, "n=2")])
        self.assertEqual(self.merge(self.first(), self.second(3)), [(3, 2, "n=3")])
        self.assertEqual(self.merge(self.first(), self.second()), [])

    def test_strings_and_losses(self):
        a = self.recording(header() + mapping(3, "name") + event(3, 1, text(b"x y"), 1) +
                           event(DROPPED, 9, words(5), 1), A, "a")
        b = self.recording(header() + mapping(4, "name") + event(4, 2, text(b""), 2) +
                           event(DROPPED, 3, words(6), 2), B, "b")
        self.merge(a, b)
        out, _ = self.run_trace("show", self.path("out"))
        self.assertEqual([line.split()[0] for line in out.splitlines()],
                         [b"name", b"name", b"Dropped_Event", b"Dropped_Event"])
        self.assertIn(b"num_events_dropped=0x6", out.splitlines()[2])

    def test_standard_input_and_output(self):
        a, b = self.first(1, 3), self.second(2)
        with open(a, "rb") as file:
            content = file.read()
        self.merge(a, b)
        # Of the events file that serves both, the events of both are taken.
        both = self.write("both.events", A + 'other(void) ""\n')
        out, _ = self.run_trace("merge", "-", b, "--events", both, stdin=content)
        with open(self.path("out"), "rb") as file:
            self.assertEqual(out, file.read())
        self.run_trace("merge", "-", "-", "--events", both, stdin=content, status=2)


class Alignment(MergeCase):
    def test_start(self):
        self.assertEqual([r[:2] for r in self.merge("--align", "start", self.first(100, 130),
                                                    self.second(7000, 7010, 7040))],
                         [(100, 1), (100, 2), (110, 2), (130, 1), (140, 2)])
        self.assertEqual([r[:2] for r in self.merge("--align=start", self.second(7000, 7010),
                                                    self.first(100, 105))],
                         [(7000, 2), (7000, 1), (7005, 1), (7010, 2)])

    def test_wall(self):
        a = self.write("fa", flight(A, ["tick"], [(1, [event(0, 100, words(1), 1),
                                                       event(0, 300, words(2), 1)])], wall=1000))
        b = self.write("fb", flight(A, ["tick"], [(2, [event(0, 5000, words(3), 2)])],
                                    wall=-3800))
        self.assertEqual(self.merge("--align", "wall", a, b),
                         [(100, 1, "n=1"), (200, 2, "n=3"), (300, 1, "n=2")])

    def test_wall_before_the_first_clock_was_at_zero(self):
        """The second host was up long before the first one."""
        a = self.write("fa", flight(A, ["tick"], [(1, [event(0, 100, words(1), 1)])], wall=1000))
        b = self.write("fb", flight(A, ["tick"], [(2, [event(0, 50, words(3), 2),
                                                       event(0, 1200, words(4), 2)])], wall=0))
        self.assertEqual(self.merge("--align", "wall", a, b),
                         [(0, 2, "n=3"), (1050, 1, "n=1"), (1150, 2, "n=4")])

    def test_wall_that_is_not_known(self):
        _, errors = self.run_trace("merge", "--align", "wall", self.first(1), self.second(2),
                                   "-o", self.path("out"), status=1)
        self.assertIn("wall-clock", errors)
        self.assertFalse(os.path.exists(self.path("out")))

    def test_unknown(self):
        _, errors = self.run_trace("merge", "--align", "sun", self.first(1), status=2)
        self.assertIn("none, start or wall", errors)


class Refused(MergeCase):
    def test_declarations_that_differ(self):
        for other in ('tick(int n, int m) "%d %d"', 'tick(const char *n) "%s"', 'tick(int k) "%d"',
                      'tick(uint64_t n) "%lu"'):
            size = 2 if "m" in other else 1
            args = text(b"hello") if "char" in other else words(*range(size))
            b = self.recording(header() + mapping(0, "tick") + event(0, 20, args), other + "\n", "b")
            _, errors = self.run_trace("merge", self.first(10, 30), b, "-o", self.path("out"),
                                       status=1)
            self.assertEqual(len(errors.splitlines()), 1)
            self.assertIn("tick(int n)", errors)
            self.assertIn(other.split(")")[0] + ")", errors)
            self.assertIn(self.path("a"), errors)
            self.assertIn(self.path("b"), errors)
            self.assertEqual(self.records(self.path("out")), [(10, 1, "n=10")])

    def test_damage(self):
        a, b = self.first(10, 30, 50), self.second(20, 40, 60)
        with open(b, "r+b") as file:
            file.truncate(os.path.getsize(b) - 4)
        _, errors = self.run_trace("merge", a, b, "-o", self.path("out"), status=1)
        self.assertEqual(len(errors.splitlines()), 1)
        self.assertIn("at byte", errors)
        self.assertEqual([r[0] for r in self.records(self.path("out"))], [10, 20, 30, 40, 50])

    def test_usage(self):
        for args in (["merge"], ["merge", "--what", self.first(1)],
                     ["merge", self.first(1), "-o", self.path("a")]):
            self.run_trace(*args, status=2)
        self.assertEqual(len(self.records(self.path("a"))), 1, "the input is as it was")

    def test_missing(self):
        _, errors = self.run_trace("merge", self.first(1), self.path("no"), status=1)
        self.assertIn(self.path("no"), errors)


if __name__ == "__main__":
    unittest.main()
