# SPDX-License-Identifier: MIT
#
# vitrine-trace filter: which records stay, what is refused, what is said.
import os
import unittest

from flight_recording import flight
from recording import Case, DATA, DROPPED, QEMU_EVENTS, event, header, mapping, text, words

EVENTS = """\
tick(void) "tock"
pci_read(const char *dev, uint64_t offs, uint32_t val) "%s %lx %x"
pci_write(const char *dev, uint64_t offs, uint32_t val) "%s %lx %x"
#@enum run_state 0=prelaunch 9=running
#@args state:run_state
state(int state) "%d"
"""
NAMES = ["tick", "pci_read", "pci_write", "state"]
TICK, READ, WRITE, STATE = range(len(NAMES))


class FilterCase(Case):
    def setUp(self):
        super().setUp()
        self.content = header() + b"".join(mapping(n, name) for n, name in enumerate(NAMES)) + (
            event(TICK, 100, b"", 7) +
            event(READ, 200, text(b"e1000") + words(0x40, 1), 7) +
            event(READ, 300, text(b"vga") + words(0x10, 2), 8) +
            event(DROPPED, 350, words(4), 8) +
            event(WRITE, 400, text(b"e1000") + words(0x44, 3), 8) +
            event(STATE, 500, words(9), 7) +
            event(STATE, 600, words(0), 7))
        self.trace = self.recording(self.content, EVENTS)

    def filter(self, *args, **more):
        """Times of the records that stay."""
        out = self.path("out")
        _, errors = self.run_trace("filter", *args, self.trace, "-o", out, **more)
        self.errors = errors
        if more.get("status"):
            self.assertFalse(os.path.exists(out), "a refused filter leaves no file")
            return None
        return self.times(out)

    def times(self, path):
        shown, _ = self.run_trace("convert", "--to", "csv", path)
        return [int(line.split(b",")[0]) for line in shown.splitlines()[1:]]


class Expressions(FilterCase):
    def test_arguments(self):
        self.assertEqual(self.filter("offs >= 0x40 && val != 0"), [200, 350, 400])
        self.assertIn("2 events without a name", self.errors)
        self.assertEqual(len(self.errors.splitlines()), 1)

    def test_strings(self):
        self.assertEqual(self.filter('dev == "vga"'), [300, 350])
        self.assertEqual(self.filter('dev =~ "e1*"'), [200, 350, 400])

    def test_words(self):
        self.assertEqual(self.filter("state == running"), [350, 500])

    def test_context(self):
        self.assertEqual(self.filter("pid == 8"), [300, 350, 400])
        self.assertEqual(self.errors, "")
        self.assertEqual(self.filter("time > 200 && time <= 500"), [300, 350, 400, 500])
        self.assertEqual(self.filter('event =~ "pci_*"'), [200, 300, 350, 400])
        self.assertEqual(self.filter("thread == 0 && pid == 7"), [100, 200, 350, 500, 600])

    def test_threads(self):
        trace = self.write("flight", flight(EVENTS, NAMES, [
            (11, [event(TICK, 10), event(TICK, 30)]), (12, [event(TICK, 20)])]))
        self.run_trace("filter", "thread == 11", trace, "-o", self.path("out"))
        self.assertEqual(self.times(self.path("out")), [10, 30])

    def test_names(self):
        self.assertEqual(self.filter("-e", "pci_*"), [200, 300, 350, 400])
        self.assertEqual(self.filter("-e", "tick", "--event=state"), [100, 350, 500, 600])
        self.assertEqual(self.filter("-e", "pci_*", "val == 3"), [350, 400])
        self.assertEqual(self.errors, "", "events that are not asked for by name do not count")

    def test_name_that_does_not_occur(self):
        self.assertEqual(self.filter("-e", "tick", "-e", "tock"), [100, 350])
        self.assertIn("tock", self.errors)

    def test_nothing_stays(self):
        self.assertEqual(self.filter("pid == 99"), [350])


class Refused(FilterCase):
    def test_syntax(self):
        self.filter("offs >= ", status=2)
        self.assertIn("^", self.errors)

    def test_type(self):
        self.filter("dev == 3", status=2)
        self.assertIn("^", self.errors)

    def test_name_that_no_event_has(self):
        self.trace = self.recording(self.content.replace(
            event(DROPPED, 350, words(4), 8), b""), EVENTS, "whole")
        self.filter("ofs >= 0x40", status=2)
        self.assertIn("ofs", self.errors)

    def test_usage(self):
        for args in ([], [self.trace], ["a", "b", "c"], ["-e"], ["-x", "1", self.trace]):
            _, errors = self.run_trace("filter", *args, status=2)
            self.assertIn("--help", errors)

    def test_output_is_input(self):
        _, errors = self.run_trace("filter", "pid == 7", self.trace, "-o", self.trace, status=2)
        self.assertIn("name another file", errors)
        with open(self.trace, "rb") as file:
            self.assertEqual(file.read(), self.content)


class Output(FilterCase):
    def test_everything_is_the_same(self):
        self.assertEqual(len(self.filter("time >= 0")), 7)
        self.assertEqual(self.run_trace("show", self.path("out"))[0],
                         self.run_trace("show", self.trace)[0])

    def test_version_4_with_declarations(self):
        self.filter("-e", "state")
        with open(self.path("out"), "rb") as file:
            content = file.read()
        self.assertEqual(content, header() + event(DROPPED, 350, words(4), 8) +
                         mapping(0, "state") + event(0, 500, words(9), 7) +
                         event(0, 600, words(0), 7))
        with open(self.path("out.events"), encoding="utf-8") as file:
            declared = file.read()
        self.assertEqual(declared.count("("), 1)
        self.assertIn("9=running", declared)

    def test_compressed(self):
        out = self.path("out.zst")
        self.run_trace("filter", "pid == 8", self.trace, "-o", out)
        self.assertEqual(self.times(out), [300, 350, 400])
        self.assertEqual(self.unpack(out)[:24], header())

    def test_pipes(self):
        out, _ = self.run_trace("filter", "pid == 8", "-", "--events", self.trace + ".events",
                                stdin=self.content)
        self.filter("pid == 8")
        with open(self.path("out"), "rb") as file:
            self.assertEqual(out, file.read())

    def test_damage(self):
        trace = self.recording(self.content[:-1], EVENTS, "cut")
        _, errors = self.run_trace("filter", "pid == 7", trace, "-o", self.path("out"), status=1)
        self.assertEqual(len(errors.splitlines()), 1)
        self.assertIn("at byte", errors)
        self.assertEqual(self.times(self.path("out")), [100, 200, 350, 500])

    def test_qemu(self):
        for path in (QEMU_EVENTS, DATA):
            self.assertTrue(os.path.exists(path), f"{path} is needed for this test")
        expected = self.unpack(os.path.join(DATA, "pc-boot.simple-v4.txt.zst"))
        count = sum(b" offs=0x0 " in line for line in expected.splitlines()
                    if line.startswith(b"pci_cfg_read "))
        self.assertGreater(count, 0)
        self.run_trace("filter", "--events", QEMU_EVENTS, "-e", "pci_cfg_read", "offs == 0",
                       os.path.join(DATA, "pc-boot.simple-v4.zst"), "-o", self.path("out"))
        self.assertEqual(len(self.times(self.path("out"))), count)


if __name__ == "__main__":
    unittest.main()
