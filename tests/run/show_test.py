# SPDX-License-Identifier: MIT
#
# vitrine-trace show, and what every command shares: help, complaints, damaged and foreign files.
import os
import pty
import random
import re
import select
import subprocess
import unittest

from recording import (Case, DROPPED, QEMU_EVENTS, VITRINE_TRACE, event, header, mapping, text,
                       words)

EVENTS = """\
tick(void) "tock"
two(uint64_t offs, int val) "offs 0x%lx val %d"
disable gone(int a) "%d"
name(const char *dev, uint32_t bus) "%s bus %u"
#@enum run_state 0=prelaunch 9=running
#@flags access 1=read 2=write
#@args state:run_state how:access
state(int state, int how, const char *why) "state %d how %d why %s"
"""

SMALL = (header() + mapping(0, "tick") + mapping(1, "two") + mapping(2, "name") +
         event(1, 1000, words(0x40, -1), 7) +
         event(0, 2500, b"", 7) +
         event(2, 2000, text(b"e1000") + words(3), 8) +
         event(DROPPED, 1002000, words(5), 8) +
         event(1, 1002001, words(0x10, 5), 8))

SMALL_TEXT = (b"two 0.000 pid=7 offs=0x40 val=0xffffffffffffffff\n"
              b"tick 1.500 pid=7 \n"
              b"name -0.500 pid=8 dev=e1000 bus=0x3\n"
              b"Dropped_Event 1000.000 pid=8 num_events_dropped=0x5\n"
              b"two 0.001 pid=8 offs=0x10 val=0x5\n")


class QemuRecording(Case):
    """A recording written by QEMU, against the text of QEMU's own reader."""

    def setUp(self):
        super().setUp()
        self.packed, self.expected = self.qemu_recording()

    def show(self, *args, **more):
        return self.run_trace("show", "--events", QEMU_EVENTS, *args, **more)

    def test_same_text(self):
        out, errors = self.show(self.packed)
        self.assertTrue(out == self.expected, "the text differs from that of QEMU's reader")
        self.assertEqual(errors, "")

    def test_unpacked_and_pipes(self):
        content = self.unpack(self.packed)
        path = self.write("plain", content)
        self.assertTrue(self.show(path)[0] == self.expected)
        self.assertTrue(self.show("-", stdin=content)[0] == self.expected)
        with open(self.packed, "rb") as file:
            self.assertTrue(self.show("-", stdin=file.read())[0] == self.expected)

    def test_cut(self):
        """Everything before the end of a cut file, then one sentence with the place."""
        content = self.unpack(self.packed)
        chance = random.Random(1)
        for _ in range(10):
            at = chance.randrange(200000, len(content))
            out, errors = self.show(self.write("cut", content[:at]), status=None)
            self.assertTrue(self.expected.startswith(out))
            self.assertTrue(out.endswith(b"\n"))
            if errors:
                found = re.fullmatch(r"vitrine-trace show: (.*): at byte (\d+): the recording ends "
                                     r"inside a record \(needs (\d+) bytes, has (\d+)\)\n", errors)
                self.assertIsNotNone(found, errors)
                self.assertEqual(int(found[2]) + int(found[4]), at)
                self.assertGreater(int(found[3]), int(found[4]))

    def run_trace(self, *args, status=0, **more):
        if status is not None:
            return super().run_trace(*args, status=status, **more)
        done = subprocess.run([VITRINE_TRACE, *args], capture_output=True, timeout=60, check=False)
        errors = done.stderr.decode()
        self.assertEqual(done.returncode, 1 if errors else 0)
        return done.stdout, errors

    def test_cut_compression(self):
        with open(self.packed, "rb") as file:
            content = file.read()
        out, errors = self.show(self.write("cut.zst", content[:100000]), status=1)
        self.assertTrue(out and self.expected.startswith(out))
        self.assertIn("zstd compression is damaged", errors)
        self.assertEqual(errors.count("\n"), 1)

    def test_wrong_declarations(self):
        out, errors = self.run_trace("show", "--events", self.write("few", "load_file(void) \"\"\n"),
                                     self.packed, status=1)
        self.assertEqual(out, b"")
        self.assertIn("load_file", errors)
        self.assertIn("from the program that wrote the recording", errors)


class Show(Case):
    def setUp(self):
        super().setUp()
        self.small = self.recording(SMALL, EVENTS)

    def show(self, *args, **more):
        return self.run_trace("show", *args, **more)

    def test_lines(self):
        self.assertEqual(self.show(self.small), (SMALL_TEXT, ""))

    def test_several_files(self):
        self.assertEqual(self.show(self.small, self.small)[0], SMALL_TEXT * 2)

    def test_old_versions(self):
        rows = [(1, 1000, words(0x40, -1)), (0, 2500, b""), (2, 2600, text(b"e1000") + words(3))]
        for version, pid in ((2, b""), (3, b" pid=9")):
            content = header(version) + b"".join(
                event(number, time, args, 9, version) for number, time, args in rows)
            out, _ = self.show(self.recording(content, EVENTS, f"v{version}"))
            blank = b" " if pid else b""
            self.assertEqual(out, b"two 0.000" + pid + b" offs=0x40 val=0xffffffffffffffff\n"
                             b"tick 1.500" + pid + blank + b"\n"
                             b"name 0.100" + pid + b" dev=e1000 bus=0x3\n")
        content = header(0) + words(1, 1000, 5, 6, 0, 0, 0, 0) + words(2, 3000, 0x7f00, 3, 0, 0, 0, 0)
        out, _ = self.show(self.recording(content, EVENTS, "v0"))
        self.assertEqual(out, b"two 0.000 offs=0x5 val=0x6\nname 2.000 dev=0x7f00 bus=0x3\n")

    def test_no_header(self):
        content = event(3, 5, text(b"a") + words(1)) + event(2, 6, words(4))
        path = self.recording(content, EVENTS, "bare")
        self.assertEqual(self.show("--no-header", path)[0],
                         b"name 0.000 pid=1 dev=a bus=0x1\ngone 0.001 pid=1 a=0x4\n")
        self.assertIn("not a recording", self.show(path, status=1)[1])

    def test_words(self):
        content = header() + mapping(5, "state")
        for state, how in ((9, 3), (0, 1), (5, 0), (9, 6)):
            content += event(5, 1000, words(state, how) + text(b"x"))
        path = self.recording(content, EVENTS, "words")
        self.assertEqual(self.show(path)[0].decode().splitlines(), [
            "state 0.000 pid=1 state=0x9(running) how=0x3(read|write) why=x",
            "state 0.000 pid=1 state=0x0(prelaunch) how=0x1(read) why=x",
            "state 0.000 pid=1 state=0x5 how=0x0 why=x",
            "state 0.000 pid=1 state=0x9(running) how=0x6(write|0x4) why=x"])
        plain = self.show("--plain", path)[0].decode().splitlines()
        self.assertEqual(plain[0], "state 0.000 pid=1 state=0x9 how=0x3 why=x")

    def test_log(self):
        out, _ = self.show("--format=log", self.small)
        self.assertEqual(out.decode().splitlines(), [
            "two offs 0x40 val -1", "tick tock", "name e1000 bus 3",
            "Dropped_Event Number of dropped events: 5", "two offs 0x10 val 5"])
        out, _ = self.show("--format", "log", "--timestamp", "-n1", self.small)
        self.assertEqual(out, b"7@0.000001:two offs 0x40 val -1\n")

    def test_times(self):
        def times(*args):
            out, _ = self.show(*args, self.small)
            return [line.split()[1] for line in out.decode().splitlines()]
        self.assertEqual(times("--time=delta"), ["0.000", "1.500", "-0.500", "1000.000", "0.001"])
        self.assertEqual(times("--time=relative"),
                         ["0.000", "1.500", "1.000", "1001.000", "1001.001"])
        self.assertEqual(times("--time=absolute"),
                         ["1.000", "2.500", "2.000", "1002.000", "1002.001"])

    def test_choosing(self):
        lines = SMALL_TEXT.splitlines(keepends=True)
        self.assertEqual(self.show("--limit", "2", self.small)[0], lines[0] + lines[1])
        self.assertEqual(self.show("--limit=0", self.small)[0], b"")
        out, errors = self.show("--event", "t?o", "--event=nobody*", self.small)
        self.assertEqual(out, lines[0] + b"two 1001.001 pid=8 offs=0x10 val=0x5\n")
        self.assertEqual(errors, "vitrine-trace show: warning: no record of an event 'nobody*'\n")

    def test_filter(self):
        def names(expression):
            out, _ = self.show("--filter", expression, self.small)
            return [line.split()[0] for line in out.decode().splitlines()]
        self.assertEqual(names("offs >= 0x40"), ["two"])
        self.assertEqual(names("val < 0 || val == 5"), ["two", "two"])
        self.assertEqual(names("pid == 8"), ["name", "Dropped_Event", "two"])
        self.assertEqual(names("event =~ \"t*\""), ["two", "tick", "two"])
        self.assertEqual(names("time > 2000 && pid == 7"), ["tick"])
        self.assertEqual(names("dev == \"e1000\""), ["name"])
        self.assertEqual(names("dev != \"e1000\""), [])

    def test_wrong_filter(self):
        out, errors = self.show("--filter", "offs >= ", self.small, status=2)
        self.assertEqual(out, b"")
        self.assertIn("^", errors)
        _, errors = self.show("--filter", "no_such_name == 1", self.small, status=2)
        self.assertIn("no_such_name", errors)
        # Wrong for the one event that has the name: a string is compared with a number.
        _, errors = self.show("--filter", "dev == 3", self.small, status=2)
        self.assertIn("dev", errors)

    def test_output_files(self):
        self.assertEqual(self.show("-o", self.path("out"), self.small), (b"", ""))
        with open(self.path("out"), "rb") as file:
            self.assertEqual(file.read(), SMALL_TEXT)
        self.show("--output=" + self.path("out.zst"), self.small)
        self.assertEqual(self.unpack(self.path("out.zst")), SMALL_TEXT)
        _, errors = self.show("-o", "/nonexistent/out", self.small, status=1)
        self.assertIn("/nonexistent/out: cannot be created: No such file or directory", errors)
        _, errors = self.show("-o", self.small, self.small, status=2)
        self.assertIn(self.small, errors)
        _, errors = self.show("-o", self.small + ".events", self.small, status=2)
        self.assertIn("holds the declarations that are read", errors)
        self.assertEqual(self.show(self.small)[0], SMALL_TEXT)
        _, errors = self.show("-o", "/dev/full", self.small, status=1)
        self.assertIn("/dev/full: No space left on device", errors)

    def test_raw_strings(self):
        foreign = b"\x1b[31mred\x00\xff\nline"
        content = header() + mapping(2, "name") + event(2, 1, text(foreign) + words(3))
        path = self.recording(content, EVENTS, "strings")
        self.assertEqual(self.show(path)[0], b"name 0.000 pid=1 dev=" + foreign + b" bus=0x3\n")

    def on_terminal(self, *args, **env):
        """Standard output of the program as a terminal gets it."""
        environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
        environment.update(TERM="xterm", **env)
        ours, theirs = pty.openpty()
        with subprocess.Popen([VITRINE_TRACE, "show", *args], stdout=theirs, env=environment):
            os.close(theirs)
            out = b""
            while select.select([ours], [], [], 20)[0]:
                try:
                    out += os.read(ours, 65536)
                except OSError:
                    break
        os.close(ours)
        return out.replace(b"\r\n", b"\n")

    def test_terminal(self):
        foreign = b"\x1b[31mred\x00\xc2\x9b2J\xc3\xa9\n" + b"x" * 500
        content = header() + mapping(2, "name") + event(2, 1, text(foreign[:512]) + words(3))
        path = self.recording(content, EVENTS, "strings")
        escaped = rb"\x1b[31mred\x00\xc2\x9b2J" + b"\xc3\xa9" + rb"\x0a" + b"x" * (512 - 16)
        self.assertEqual(len(foreign[:512]), 512)
        self.assertEqual(self.on_terminal(path, NO_COLOR="1"),
                         b"name 0.000 pid=1 dev=" + escaped + b" bus=0x3\n")
        self.assertEqual(self.on_terminal(path),
                         b"\x1b[1;36mname\x1b[0m 0.000 pid=1 \x1b[2mdev=\x1b[0m" + escaped +
                         b" \x1b[2mbus=\x1b[0m0x3\n")

    def test_closed_pipe(self):
        """A reader that had enough is no failure."""
        content = SMALL + event(0, 5) * 500000
        path = self.recording(content, EVENTS, "much")
        with subprocess.Popen([VITRINE_TRACE, "show", path], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as process:
            process.stdout.readline()
            process.stdout.close()
            self.assertEqual(process.stderr.read(), b"")
            self.assertEqual(process.wait(timeout=60), 0)

    def test_memory(self):
        """Memory does not grow with the file."""
        step = event(1, 5, words(1, 2)) * 1000 + event(2, 6, text(b"name") + words(3)) * 1000

        def peak(times):
            # Written in steps: a child's peak counts what its parent held when it was started.
            path = self.recording(SMALL, EVENTS, "long")
            with open(path, "ab") as file:
                for _ in range(times):
                    file.write(step)
            process = subprocess.Popen([VITRINE_TRACE, "show", path], stdout=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = status
            self.assertEqual(status, 0)
            return usage.ru_maxrss
        small, large = peak(10), peak(600)
        self.assertLess(large - small, 4096, "KiB more for 60 times as many records")


class Damage(Case):
    def test_bent(self):
        """Any byte of a recording bent: no crash, at most one sentence, the right status."""
        events = self.write("list", EVENTS)
        chance = random.Random(2)
        for at in range(0, len(SMALL), 3):
            bent = bytearray(SMALL)
            bent[at] ^= 1 << chance.randrange(8)
            done = subprocess.run([VITRINE_TRACE, "show", "--events", events, "-"],
                                  input=bytes(bent), capture_output=True, timeout=60, check=False)
            self.assertIn(done.returncode, (0, 1))
            self.assertEqual(done.stderr.count(b"\n"), done.returncode)

    def test_foreign(self):
        for content, part in ((b"", "an empty file"), (b"\x7fELF\2\1\1\0....", "7f 45 4c 46"),
                              (b"just some text", "\"just som\"")):
            path = self.write("foreign", content)
            out, errors = self.run_trace("show", path, status=1)
            self.assertEqual(out, b"")
            self.assertIn(f"vitrine-trace show: {path}: not a recording: expected ", errors)
            self.assertIn(part, errors)
        _, errors = self.run_trace("show", "/nonexistent/file", status=1)
        self.assertEqual(errors,
                         "vitrine-trace show: /nonexistent/file: No such file or directory\n")

    def test_ids_that_collide(self):
        """No choice of event ids makes the look-up slow. These have one place in a table that takes
        the highest bits of a product with the golden ratio: minutes, were it searched in a row."""
        factor = pow(0x9e3779b97f4a7c15, -1, 1 << 64)
        content = header() + b"".join(mapping(factor * i % (1 << 64), "tick") for i in range(400000))
        path = self.recording(content + event(factor, 5), EVENTS, "collide")
        with subprocess.Popen([VITRINE_TRACE, "show", path], stdout=subprocess.PIPE) as process:
            try:
                self.assertEqual(process.communicate(timeout=20)[0], b"tick 0.000 pid=1 \n")
            finally:
                process.kill()

    def test_undeclared(self):
        path = self.recording(SMALL + mapping(7, "stranger") + event(7, 5), EVENTS)
        out, errors = self.run_trace("show", path, status=1)
        self.assertEqual(out, SMALL_TEXT)
        self.assertIn("event 'stranger' is logged but not declared in " + path + ".events", errors)
        self.assertIn("--events", errors)
        # A name that is not declared and not logged is nothing to worry about.
        path = self.recording(SMALL + mapping(7, "stranger"), EVENTS)
        self.assertEqual(self.run_trace("show", path), (SMALL_TEXT, ""))


class Program(Case):
    def test_help(self):
        out, _ = self.run_trace("--help")
        for name in ("show", "stats", "filter", "merge", "convert", "timeline"):
            self.assertIn(f"\n  {name} ".encode(), out)
            by_option, _ = self.run_trace(name, "--help")
            self.assertIn(f"usage: vitrine-trace {name} ".encode(), by_option)
            self.assertEqual(by_option, self.run_trace("help", name)[0])
        self.assertEqual(out, self.run_trace("help")[0])
        self.assertRegex(self.run_trace("--version")[0], rb"^vitrine-trace \S+")

    def test_complaints(self):
        self.assertIn("usage:", self.run_trace(status=2)[1])
        _, errors = self.run_trace("shwo", status=2)
        self.assertIn("there is no command 'shwo' (did you mean 'show'?)", errors)
        path = self.recording(SMALL, EVENTS)
        _, errors = self.run_trace(path, status=2)
        self.assertIn(f"did you mean 'vitrine-trace show {path}'?", errors)
        for args, part in ((["--bogus", path], "unknown option --bogus"),
                           ([], "expected a recording"),
                           (["--format=pdf", path], "expected simple or log"),
                           (["--time=now", path], "expected delta, absolute or relative"),
                           (["--limit=many", path], "--limit"),
                           (["--timestamp", path], "--format=log")):
            out, errors = self.run_trace("show", *args, status=2)
            self.assertEqual(out, b"")
            self.assertIn(part, errors)
            self.assertIn("'vitrine-trace show --help'", errors)


if __name__ == "__main__":
    unittest.main()
