# SPDX-License-Identifier: MIT
#
# CTF recordings, judged by babeltrace2 and by our own reader: every event, argument and time, lost
# events, and what a killed process leaves.
import json
import os
import re
import shutil
import signal
import subprocess
import time
import unittest

from recording import BUILD, DATA, LONG, Case, tool

STORM = os.path.join(BUILD, "tests", "storm")
BABELTRACE = tool("babeltrace2")

LINE = re.compile(r"\[(\d+)\.(\d{9})\] (?:[^{]*?)(\w+): (\{.*\})$")
FIELD = re.compile(r'(\w+) = (?:\( (?:"([^"]*)"|<unknown>) : container = (-?\d+) \)'
                   r'|"((?:[^"\\]|\\.)*)"|(-?\w+))')
DISCARDED = re.compile(r"discarded (\d+) event")


class Event:
    """One line of babeltrace2: context and arguments as numbers and texts, words beside them."""

    def __init__(self, line):
        found = LINE.match(line)
        if not found:
            raise AssertionError(f"babeltrace2 printed {line!r}")
        self.time = int(found[1]) * 1_000_000_000 + int(found[2])
        self.name = found[3]
        self.fields, self.words, self.hexadecimal = {}, {}, set()
        for name, word, container, text, plain in FIELD.findall(found[4]):
            if container:
                self.fields[name] = int(container)
                self.words[name] = word or None
            elif plain:
                self.fields[name] = int(plain, 0)
                if plain.startswith("0x"):
                    self.hexadecimal.add(name)
            else:
                self.fields[name] = text
        self.pid = self.fields.pop("pid")
        self.thread = self.fields.pop("thread")


class Ctf(Case):
    def storm(self, *args, status=0):
        done = subprocess.run([STORM, *args], cwd=self.folder, capture_output=True, text=True,
                              timeout=600)
        self.assertEqual(done.returncode, status, done.stderr[-2000:])
        return done.stdout

    def babeltrace(self, name):
        """Events and the number of lost ones."""
        done = subprocess.run([BABELTRACE, "--clock-seconds", "--no-delta", self.path(name)],
                              capture_output=True, text=True, timeout=600)
        self.assertEqual(done.returncode, 0, done.stderr[-2000:])
        others = [line for line in done.stderr.splitlines() if line and "discarded" not in line]
        self.assertEqual(others, [])
        lost = sum(map(int, DISCARDED.findall(done.stderr)))
        return [Event(line) for line in done.stdout.splitlines()], lost

    def ours(self, name):
        out, _ = self.run_trace("convert", "--to", "json", self.path(name))
        return [json.loads(line) for line in out.decode().splitlines()]

    def offset(self, name):
        """Wall-clock time minus monotonic clock, as the metadata has it."""
        with open(os.path.join(self.path(name), "metadata"), encoding="utf-8") as file:
            text = file.read()
        return (int(re.search(r"offset_s = (-?\d+)", text)[1]) * 1_000_000_000 +
                int(re.search(r"offset = (\d+)", text)[1]))

    def same(self, name):
        """Compares what both readers say; returns babeltrace2's events."""
        theirs, _ = self.babeltrace(name)
        ours = [e for e in self.ours(name) if e["event"] != "Dropped_Event"]
        offset = self.offset(name)
        self.assertEqual(len(theirs), len(ours))
        for a, b in zip(theirs, ours):
            arguments = {k.replace("ctx_", ""): v for k, v in b["args"].items()
                         if not k.endswith("_word")}
            self.assertEqual((a.name, a.time - offset, a.pid, a.thread, a.fields),
                             (b["event"], b["time"], b["pid"], b["thread"], arguments))
        return theirs

    # --- content

    def test_every_event_argument_and_time(self):
        before = time.time_ns()
        self.storm("-trace", "storm_*,writer=ctf,file=t", "--kinds", "--threads", "3", "--count",
                   "200")
        after = time.time_ns()
        events = self.same("t")
        self.assertEqual(len(events), 3 * 3 * 200)
        self.assertEqual([e.time for e in events], sorted(e.time for e in events))
        # The wall clock is compared with the monotonic one when the recording begins.
        self.assertGreater(events[0].time, before - 1_000_000_000)
        self.assertLess(events[-1].time, after + 1_000_000_000)
        threads = {e.thread for e in events}
        self.assertEqual(len(threads), 3)
        for thread in threads:
            mine = [e for e in events if e.thread == thread]
            self.assertEqual([e.name for e in mine],
                             ["storm_kinds", "storm_nothing", "storm_vcpu"] * 200)
            for i, event in enumerate(mine[::3]):
                self.assertEqual(event.fields, {
                    "i8": (i - 5 + 128) % 256 - 128, "u16": i, "yes": i & 1,
                    "letter": ord("a") + i % 26, "address": i * 4096,
                    "text": "some text" if i % 3 else "", "size": i * 3, "shade": i % 4,
                    "rights": i % 9, "negative": -i})
                self.assertEqual(event.words["shade"], ["red", "green", "blue", None][i % 4])
                self.assertEqual(event.hexadecimal, {"address", "rights"})
            self.assertTrue(all(e.fields == {} for e in mine[1::3]))
            for i, event in enumerate(mine[2::3]):
                self.assertEqual(event.fields, {"cpu": 0x1000, "pc": i})
                self.assertEqual(event.hexadecimal, {"cpu", "pc"})

    def test_texts(self):
        self.storm("-trace", "storm_text,writer=ctf,file=t", "--text", "--count", "5000",
                   "--threads", "2")
        events = self.same("t")
        self.assertEqual(len(events), 10_000)
        for event in events:
            fields = event.fields
            self.assertEqual(fields["text"], f"text {fields['worker']}-{fields['number']}")

    def test_context(self):
        self.storm("-trace", "storm_three,writer=ctf,file=t,context=thread+event+vcpu", "--count",
                   "300")
        events = self.babeltrace("t")[0]
        self.assertEqual(len(events), 300)
        ours = self.ours("t")
        for i, (a, b) in enumerate(zip(events, ours)):
            # The thread of the packet and that of the context have one name here.
            self.assertEqual(a.fields, {"event": "storm_three", "vcpu": -1, "number": i,
                                        "worker": 0, "negative": -i})
            self.assertEqual(b["args"], {"number": i, "worker": 0, "negative": -i,
                                         "ctx_thread": a.thread, "ctx_event": "storm_three",
                                         "ctx_vcpu": -1})

    def test_it_says_the_same_as_the_simple_format(self):
        self.storm("-trace", "storm_*,writer=ctf,file=t", "-trace", "storm_*,file=s", "--kinds",
                   "--count", "100")
        ctf = self.ours("t")
        simple = [json.loads(line) for line in self.run_trace(
            "convert", "--to", "json", self.path("s"))[0].decode().splitlines()]
        self.assertEqual([(e["event"], e["args"]) for e in ctf],
                         [(e["event"], e["args"]) for e in simple])

    def test_an_older_recording_is_replaced(self):
        for count in (900, 3):
            self.storm("-trace", "storm_three,writer=ctf,file=t", "--threads", "2", "--count",
                       str(count))
            self.assertEqual(len(self.same("t")), 2 * count)
        self.assertEqual(os.stat(self.path("t")).st_mode & 0o777, 0o700)
        self.assertEqual({os.stat(os.path.join(self.path("t"), f)).st_mode & 0o777
                          for f in os.listdir(self.path("t"))}, {0o600})

    def test_the_default_place(self):
        self.storm("-trace", "storm_three,writer=ctf", "--count", "3")
        names = os.listdir(self.folder)
        self.assertRegex(" ".join(names), r"^trace-\d+\.ctf$")
        self.assertEqual(len(self.same(names[0])), 3)

    # --- many, lost, killed

    def test_four_threads_lose_nothing(self):
        count = 200_000 if LONG else 20_000
        self.storm("-trace", "storm_three,writer=ctf,file=t,buffer=64k", "--threads", "4",
                   "--count", str(count))
        events, lost = self.babeltrace("t")
        self.assertEqual((len(events), lost), (4 * count, 0))
        self.assertEqual([e.time for e in events], sorted(e.time for e in events))
        for worker in range(4):
            numbers = [e.fields["number"] for e in events if e.fields["worker"] == worker]
            self.assertEqual(numbers, list(range(count)))
        stats, _ = self.run_trace("stats", self.path("t"))
        self.assertIn(str(4 * count), stats.decode().replace(",", ""))

    def test_lost_events_are_counted(self):
        count = 150_000
        self.storm("-trace", "storm_three,writer=ctf,file=t,overflow=drop,buffer=64k",
                   "--threads", "2", "--count", str(count))
        ours = self.ours("t")
        dropped = [e["args"]["num_events_dropped"] for e in ours if e["event"] == "Dropped_Event"]
        kept = len(ours) - len(dropped)
        self.assertGreater(sum(dropped), 0)
        self.assertEqual(kept + sum(dropped), 2 * count)
        # Where they are missing: the numbers of a thread jump by as many as the loss says.
        numbers, missing = {}, {}
        for event in ours:
            thread = event["thread"]
            if event["event"] == "Dropped_Event":
                missing[thread] = missing.get(thread, 0) + event["args"]["num_events_dropped"]
            else:
                number = event["args"]["number"]
                self.assertEqual(number, numbers.get(thread, 0) + missing.pop(thread, 0))
                numbers[thread] = number + 1
        events, lost = self.babeltrace("t")
        self.assertEqual((len(events), lost), (kept, sum(dropped)))

    def streams(self, name):
        return [f for f in os.listdir(self.path(name)) if f.startswith("thread-")] \
            if os.path.isdir(self.path(name)) else []

    def killed(self, delay):
        """A recording whose process was killed after a while."""
        shutil.rmtree(self.path("t"), ignore_errors=True)
        process = subprocess.Popen([STORM, "-trace", "storm_*,writer=ctf,file=t,buffer=64k",
                                    "--text", "--threads", "2", "--count", "1000000000"],
                                   cwd=self.folder)
        deadline = time.monotonic() + 20
        while not self.streams("t") and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        self.assertEqual(process.wait(), -signal.SIGKILL)
        # Our reader finds nothing wrong with it (that would be status 1).
        out, _ = self.run_trace("show", self.path("t"))
        return out.decode().splitlines()

    def test_a_killed_process_leaves_a_whole_recording(self):
        total = 0
        for attempt in range(100 if LONG else 5):
            lines = self.killed(0.0031 * (attempt % 12))
            total += len(lines)
            next_number = {}
            for line in lines:
                worker, number = re.search(r"worker=(\w+) .* number=(\w+)", line).groups()
                self.assertEqual(int(number, 0), next_number.get(worker, 0))
                next_number[worker] = int(number, 0) + 1
        self.assertGreater(total, 1000)
        done = subprocess.run([BABELTRACE, self.path("t")], capture_output=True, text=True,
                              timeout=600)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(len(done.stdout.splitlines()), len(lines))

    def test_a_recording_is_readable_while_it_is_made(self):
        process = subprocess.Popen([STORM, "-trace", "storm_three,writer=ctf,file=t",
                                    "--pause-us", "2000", "--count", "10000"], cwd=self.folder)
        try:
            events = []
            deadline = time.monotonic() + 20
            while not events and time.monotonic() < deadline:
                time.sleep(0.1)
                if os.path.exists(os.path.join(self.path("t"), "metadata")):
                    events = self.babeltrace("t")[0]
            self.assertEqual([e.fields["number"] for e in events], list(range(len(events))))
            self.assertGreater(len(events), 0)
            # Nobody else may take its place meanwhile.
            done = subprocess.run([STORM, "-trace", "storm_three,writer=ctf,file=t"],
                                  cwd=self.folder, capture_output=True, text=True, timeout=60)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("is being recorded into", done.stderr)
        finally:
            process.kill()
            process.wait()

    # --- refused, damaged

    def test_places_that_are_refused(self):
        os.mkdir(self.path("mine"))
        self.write("mine/letter", "dear")
        self.write("file", "")
        for place, word in (("mine", "letter"), ("file", "is a file"),
                            ("no/such", "cannot make this directory")):
            done = subprocess.run([STORM, "-trace", f"storm_three,writer=ctf,file={place}"],
                                  cwd=self.folder, capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 1)
            self.assertIn(word, done.stderr)
        self.assertEqual(os.listdir(self.path("mine")), ["letter"])

    def test_damage_is_told_with_its_place(self):
        self.storm("-trace", "storm_three,writer=ctf,file=t", "--count", "1000")
        stream = self.streams("t")[0]
        with open(os.path.join(self.path("t"), stream), "r+b") as file:
            file.seek(4096 * 3)
            file.write(b"damage")
        out, err = self.run_trace("show", self.path("t"), status=1)
        lines = out.decode().splitlines()
        self.assertEqual(len(lines), 3 * ((4096 - 80) // 36))
        self.assertIn(f"t/{stream}: at byte 12288: expected the magic number",
                      err if isinstance(err, str) else err.decode())

    def test_traces_of_others_are_refused(self):
        os.mkdir(self.path("t"))
        self.write("t/metadata", '/* CTF 1.8 */ env { tracer_name = "barectf"; };')
        _, err = self.run_trace("show", self.path("t"), status=1)
        self.assertIn("babeltrace2", err if isinstance(err, str) else err.decode())

    # --- conversion

    def test_a_converted_recording_says_the_same(self):
        sample = os.path.join(DATA, "pc-boot.simple-v4.zst")
        self.run_trace("convert", "--to", "ctf", sample, "-o", self.path("c"))
        out, _ = self.run_trace("show", self.path("c"))
        expected = subprocess.run(
            ["zstd", "-dc", os.path.join(DATA, "pc-boot.simple-v4.txt.zst")],
            capture_output=True, check=True).stdout
        self.assertEqual(out, expected)
        self.assertEqual(len(self.babeltrace("c")[0]), len(expected.splitlines()))

    def test_times_that_fall_stay_what_they_are(self):
        from recording import event, header, mapping, words
        times = [50, 40, 60, 45, 30, 70, 65, 41]
        self.write("s.events", 'tick(uint64_t n) "%lu"\n')
        self.write("s", header() + mapping(0, "tick") +
                   b"".join(event(0, t, words(i)) for i, t in enumerate(times)))
        self.run_trace("convert", "--to", "ctf", self.path("s"), "-o", self.path("c"))
        self.assertEqual([(e["time"], e["args"]["n"]) for e in self.ours("c")],
                         sorted((t, i) for i, t in enumerate(times)))
        self.assertEqual([e.time for e in self.babeltrace("c")[0]], sorted(times))


if __name__ == "__main__":
    unittest.main()
