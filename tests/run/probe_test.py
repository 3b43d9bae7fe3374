# SPDX-License-Identifier: MIT
#
# Probes under load and from outside: programs of tests/program fire them, recordings are checked
# against what was fired.
import os
import signal
import subprocess
import threading
import time
import unittest

from recording import BUILD, LONG, Case

PROGRAMS = os.path.join(BUILD, "tests")


class Probes(Case):
    def program(self, name, *args, status=0):
        """Runs a test program in the test's folder; returns its standard output and error."""
        done = subprocess.run([os.path.join(PROGRAMS, name), *args], cwd=self.folder,
                              capture_output=True, text=True, timeout=600)
        self.assertEqual(done.returncode, status, done.stderr[-2000:])
        return done.stdout, done.stderr

    def order(self, file, threads, count):
        out, _ = self.program("order", file, str(threads), str(count))
        words = out.split()
        return dict(zip(words[::2], map(int, words[1::2])))

    def show(self, name, stdin=None):
        path = name if name == "-" else self.path(name)
        return self.run_trace("show", path, stdin=stdin)[0].decode()

    def read(self, name):
        with open(self.path(name), encoding="utf-8") as file:
            return file.read()

    # --- nothing is lost

    def through_a_pipe(self, threads, count, *more):
        """Fires into a fifo that `order` reads, so that the size of a disk does not matter."""
        os.mkfifo(self.path("fifo"))
        events = self.path("fifo.events")
        self.program("storm", "-trace", "storm_three,file=sample", "--count", "1")
        os.rename(self.path("sample.events"), events)
        result = {}
        reader = threading.Thread(target=lambda: result.update(self.order("fifo", threads, count)))
        reader.start()
        self.program("storm", "-trace", "storm_three,file=fifo" + "".join(more), "--threads",
                     str(threads), "--count", str(count))
        reader.join()
        return result

    def test_four_threads_lose_nothing_and_stay_in_order(self):
        count = 25_000_000 if LONG else 2_500_000
        result = self.through_a_pipe(4, count)
        self.assertEqual(result["records"], 4 * count)
        self.assertEqual(result["lost"], 0)

    def test_small_buffers_lose_nothing_either(self):
        result = self.through_a_pipe(4, 100_000, ",buffer=64k")
        self.assertEqual((result["records"], result["lost"]), (400_000, 0))

    def test_drop_counts_what_it_drops(self):
        out, _ = self.program("storm", "-trace", "storm_three,file=d,overflow=drop,buffer=64k",
                              "--threads", "4", "--count", "500000")
        self.assertEqual(out, "fired 2000000\n")
        result = self.order("d", 4, 0)
        self.assertEqual(result["records"] + result["lost"], 2_000_000)

    def test_signal_handlers_fire_while_their_thread_fires(self):
        out, _ = self.program("signals", "-trace", "signal_*,file=s", "300")
        inside, outside = map(int, out.split()[1::2])
        lines = self.show("s").splitlines()
        self.assertEqual(len(lines), inside + outside)
        for name, count in (("signal_inside", inside), ("signal_outside", outside)):
            numbers = [line.rsplit("=", 1)[1] for line in lines if line.startswith(name)]
            self.assertEqual(numbers, [hex(n) for n in range(count)])
        self.assertFalse([line for line in lines if line.split()[1].startswith("-")])

    def test_switching_while_threads_fire(self):
        self.program("storm", "-trace", "storm_*,file=t", "--threads", "3", "--count", "100000",
                     "--toggle")
        self.assertEqual(self.order("t", 3, 0)["lost"], 0)

    # --- what is hard on it

    def churn(self, *args):
        """Runs churn; returns the numbers it printed, by name, and its standard error."""
        out, err = self.program("churn", *args)
        words = out.split()
        return dict(zip(words[::2], map(int, words[1::2]))), err

    def test_a_handler_fires_more_than_the_ring_holds(self):
        # The handler waits for room while it holds up the record that it interrupted.
        fired = self.churn("-trace", "churn,file=h,buffer=64k", "handler", "50")[0]["fired"]
        result = self.order("h", 1, 0)
        self.assertEqual((result["records"], result["lost"]), (fired, 0))

    def test_a_handler_logs_while_its_thread_does(self):
        fired = self.churn("-trace", "churn", "-D", "log", "handler", "20")[0]["fired"]
        lines = self.read("log").splitlines()
        self.assertEqual(len(lines), fired)
        self.assertEqual(set(lines), {"churn 1", "churn 2"})

    def test_a_thread_is_stopped_in_the_middle_of_a_record(self):
        # Others wait for room meanwhile, and it does not go on before they do.
        fired = self.churn("-trace", "churn,file=s,buffer=64k", "stopped", "12")[0]["fired"]
        result = self.order("s", 1, 0)
        self.assertEqual((result["records"], result["lost"]), (fired, 0))

    def test_blocks_of_ended_threads_are_used_again(self):
        for where in ("-D", "log"), ("-trace", "file=s"), ("-trace", "file=f,mode=flight"):
            numbers, _ = self.churn("-trace", "churn", *where, "threads", "3000")
            self.assertLess(numbers["blocks"], 1000)
        self.assertEqual(self.order("s", 1, 0)["records"], 3000)

    def test_ended_threads_give_chunks_back(self):
        # 16 chunks: the newest of 400 threads have them in the end.
        _, err = self.churn("-trace", "churn,file=f,mode=flight,size=256k", "threads", "400")
        self.assertEqual(err, "")
        lines = self.show("f").splitlines()
        self.assertEqual(len(lines), 16)
        self.assertTrue(all(int(line.rsplit("=", 1)[1], 16) >= 400 - 24 for line in lines), lines)

    def test_more_threads_than_chunks(self):
        # Who has a chunk keeps its newest events; what the others lost is told.
        _, err = self.churn("-trace", "churn,file=f,mode=flight,size=256k", "crowd", "20")
        self.assertIn("lacks 4000 events: it has 16 chunks", err)
        last = [line for line in self.show("f").splitlines() if line.endswith("number=0x3e7")]
        self.assertEqual(len(last), 16)

    def test_a_crowd_loses_nothing(self):
        self.churn("-trace", "churn,file=c,buffer=64k", "-trace", "churn,file=c.ctf,writer=ctf",
                   "crowd", "100")
        for name in "c", "c.ctf":
            result = self.order(name, 1, 0)
            self.assertEqual((result["records"], result["lost"]), (100_000, 0))

    def test_fork_while_threads_fire(self):
        for where in ("-D", "log"), ("-trace", "file=s"), ("-trace", "file=f,mode=flight"):
            self.churn("-trace", "churn", *where, "forks", "50")
        # Text goes on in children, recordings do not.
        self.assertEqual(self.read("log").splitlines().count("churn 3"), 500)
        self.assertNotIn("number=0x3\n", self.show("s") + self.show("f"))

    def test_a_handler_ends_the_program_while_threads_fire(self):
        for _ in range(5):
            self.program("churn", "-trace", "churn,file=e", "exit")
            self.assertGreater(self.order("e", 1, 0)["records"], 0)

    def test_threads_are_cancelled_while_they_fire(self):
        self.churn("-trace", "churn", "-D", "log", "cancel", "20")
        for line in self.read("log").splitlines():
            self.assertRegex(line, "^churn 1$")

    def test_no_memory_is_a_loss_that_is_counted(self):
        self.churn("-trace", "churn,file=s", "starve", "5")
        result = self.order("s", 1, 0)
        self.assertEqual((result["records"], result["lost"]), (1, 5))

    def test_the_reader_of_a_recording_goes_away(self):
        os.mkfifo(self.path("fifo"))
        with subprocess.Popen([os.path.join(PROGRAMS, "churn"), "-trace", "churn,file=fifo",
                               "broken", "100"], cwd=self.folder, stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
            with open(self.path("fifo"), "rb") as reader:
                reader.read(1)
            out, err = program.communicate("go on\n", timeout=60)
        self.assertEqual((program.returncode, out), (0, "fired 101\n"))
        self.assertEqual(err, "churn: the simple recording ends here: fifo: Broken pipe\n")

    def test_a_full_disk_ends_the_recording_only(self):
        for more in "", ",buffer=64k", ",overflow=drop":
            _, err = self.churn("-trace", "churn,file=/dev/full" + more, "crowd", "4")
            self.assertEqual(err, "churn: the simple recording ends here: /dev/full: "
                                  "No space left on device\n")

    # --- flight

    def test_flight_survives_sigkill(self):
        for after in (10, 1000, 123456):
            self.program("storm", "-trace", "storm_three,file=f,mode=flight,size=256k",
                         "--threads", "2", "--count", "10000000", "--kill", str(after),
                         status=-signal.SIGKILL)
            self.assertEqual(self.order("f", 2, 0)["last"], after - 1)

    def test_a_flight_file_has_one_writer(self):
        # A second one would cut the file under the mapping of the first.
        command = [os.path.join(PROGRAMS, "churn"), "-trace", "churn,file=f,mode=flight", "broken",
                   "100"]
        with subprocess.Popen(command, cwd=self.folder, stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True) as first:
            deadline = time.monotonic() + 30
            while not os.path.exists(self.path("f")) or os.path.getsize(self.path("f")) == 0:
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.01)
            _, err = self.program("churn", *command[1:], status=2)
            self.assertIn("f: is being recorded into already: name another file", err)
            first.communicate("go on\n", timeout=60)
        self.assertEqual(first.returncode, 0)
        self.assertEqual(self.order("f", 1, 0)["records"], 101)

    def test_flight_keeps_its_size(self):
        sizes = []
        for count in (10, 1_000_000):
            self.program("storm", "-trace", "storm_*,file=f,mode=flight,size=1M", "--count",
                         str(count), "--threads", "4")
            sizes.append(os.path.getsize(self.path("f")))
            kept = self.order("f", 4, 0)["records"]
        self.assertEqual(sizes[0], sizes[1])
        self.assertLess(sizes[1], (1 << 20) + 65536)
        self.assertGreater(kept, 10_000)

    def test_flight_through_a_pipe_and_compressed(self):
        self.program("storm", "-trace", "storm_*,file=f,mode=flight,size=1M", "--count", "1000")
        direct = self.show("f")
        subprocess.run(["zstd", "-q", self.path("f")], check=True)
        self.assertEqual(self.show("f.zst"), direct)
        with open(self.path("f"), "rb") as file:
            self.assertEqual(self.show("-", stdin=file.read()), direct)

    # --- options and files

    def test_text_goes_to_stderr_or_the_log_file(self):
        expected = "storm_three number 0 worker 0 negative 0\n"
        _, err = self.program("storm", "-trace", "storm_three", "--count", "1")
        self.assertEqual(err, expected)
        _, err = self.program("storm", "-d", "trace:storm_three", "--count", "1", "-D", "q-%d.log")
        self.assertEqual(err, "")
        logs = [name for name in os.listdir(self.folder) if name.startswith("q-")]
        self.assertEqual(len(logs), 1)
        self.assertEqual(self.read(logs[0]), expected)

    def test_timestamps(self):
        _, err = self.program("storm", "--trace", "storm_three", "--count", "1", "-msg",
                              "timestamp=on")
        self.assertRegex(err, r"^\d+@\d+\.\d{6}:storm_three number 0 worker 0 negative 0\n$")

    def test_kinds_as_text(self):
        _, err = self.program("storm", "-trace", "storm_*", "--kinds", "--count", "2")
        self.assertEqual(err.splitlines(), [
            "storm_kinds -5 0 0 a (nil) '(null)' 0 0 0x0 0",
            "storm_nothing ",
            "storm_vcpu cpu=0x1000 pc=0x0000000000000000",
            "storm_kinds -4 1 1 b 0x1000 'some text' 3 1 0x1 -1",
            "storm_nothing ",
            "storm_vcpu cpu=0x1000 pc=0x0000000000000001"])

    def test_kinds_as_recorded(self):
        self.program("storm", "-trace", "storm_*,file=k", "--kinds", "--count", "4")
        lines = self.show("k").splitlines()
        self.assertIn("i8=0xfffffffffffffffe u16=0x3 yes=0x1 letter=0x64 address=0x3000 text= "
                      "size=0x9 shade=0x3 rights=0x3(read|write) negative=0xfffffffffffffffd",
                      lines[9])
        self.assertIn("shade=0x2(blue) rights=0x2(write)", lines[6])
        self.assertIn("cpu=0x1000 pc=0x3", lines[11])

    def test_help_lists_events(self):
        for args in (("-trace", "help"), ("-trace", "?"), ("-d", "trace:help")):
            out, _ = self.program("storm", *args)
            self.assertIn("storm_three\nstorm_text\n", out)

    def test_default_file_name(self):
        self.write("ev", "# comment\n\nstorm_three\n")
        self.program("storm", "-trace", "events=ev", "--count", "3")
        names = [n for n in os.listdir(self.folder) if n.startswith("trace-")
                 and not n.endswith(".events")]
        self.assertEqual(len(names), 1)
        self.assertRegex(names[0], r"^trace-\d+$")
        self.assertEqual(self.order(names[0], 1, 3)["records"], 3)

    def test_events_file_forms(self):
        self.write("ev", "storm_*\r\n  storm_three,filter=number >= 8  \n-storm_nothing\nnosuch\n"
                         "#storm_text")
        _, err = self.program("storm", "-trace", "events=ev,file=e", "--kinds", "--count", "2")
        self.assertEqual(err, "storm: ev:4: warning: trace event 'nosuch' does not exist\n")
        self.assertNotIn("storm_nothing", self.show("e"))
        self.assertEqual(len(self.show("e").splitlines()), 4)

    def test_patterns_of_all_options_go_to_the_file_named_alone(self):
        _, err = self.program("storm", "-trace", "storm_th*", "-trace", "file=x", "--count", "2")
        self.assertEqual(err, "")
        self.assertEqual(self.order("x", 1, 2)["records"], 2)

    def test_several_writers_at_once(self):
        _, err = self.program("storm", "-trace", "storm_three,writer=log,writer=simple,file=x",
                              "-trace", "storm_three,filter=number == 1,file=y", "--count", "2")
        self.assertEqual(len(err.splitlines()), 2)
        self.assertEqual(self.order("x", 1, 2)["records"], 2)
        self.assertEqual(self.order("y", 1, 0)["records"], 1)

    def test_errors_are_sentences(self):
        for args, sentence in (
                (["-trace", "storm_three,filter=numbr==1"], "did you mean 'number'"),
                (["-trace", "storm_three,file=/nonexistent/x"], "/nonexistent/x"),
                (["-trace", "events=storm_*"], "enable=storm_* switches events on by name"),
                (["-trace"], "-trace: requires an argument"),
                (["-d", "trace"], "-d trace: there is no such log item"),
                (["-D", "/nonexistent/x"], "Error opening logfile /nonexistent/x: No such file")):
            _, err = self.program("storm", "--count", "1", *args, status=1)
            self.assertIn(sentence, err)

    def test_one_file_has_one_writer_however_it_is_spelt(self):
        for mode in ("", ",mode=flight", ",writer=ctf"):
            _, err = self.program("storm", "-trace", f"storm_three,file=one{mode}", "-trace",
                                  f"storm_text,file=./one{mode}", "--count", "1", status=1)
            self.assertIn("./one: is being recorded into already", err)
            subprocess.run(["rm", "-r", self.path("one")], check=True)

    def test_control_bytes_of_an_events_file_stay_there(self):
        self.write("ev", "no\x1b[2Jsuch\n")
        _, err = self.program("storm", "-trace", "events=ev", "--count", "1")
        self.assertEqual(err, "storm: ev:1: warning: trace event 'no?[2Jsuch' does not exist\n")

    def test_ftrace_writes_the_marker(self):
        os.mkdir(self.path("tracing"))
        self.write("tracing/tracing_on", "0\n")
        self.write("tracing/trace_marker", "")
        self.program("storm", "-trace", "storm_three,writer=ftrace,file=tracing", "--count", "2")
        self.assertEqual(self.read("tracing/tracing_on"), "1\n")
        self.assertEqual(self.read("tracing/trace_marker"),
                         "storm_three number 0 worker 0 negative 0\n"
                         "storm_three number 1 worker 0 negative -1\n")

    # --- static probes

    def test_static_probes_are_visible(self):
        notes = subprocess.run(["readelf", "-n", os.path.join(PROGRAMS, "storm")],
                               capture_output=True, text=True, check=True).stdout
        at = notes.index("Name: storm_three\n")
        self.assertIn("Provider: qemu", notes[at - 100:at])
        self.assertRegex(notes[at:at + 200], r"Semaphore: 0x0*[1-9a-f][0-9a-f]*\n")
        self.assertRegex(notes[at:at + 300], r"Arguments: 8@\S+ -?4@\S+ -8@\S+")


if __name__ == "__main__":
    unittest.main()
