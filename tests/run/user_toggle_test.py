# SPDX-License-Identifier: MIT
"""-trace toggle=SIGNAL: events are switched on a running program, which does not notice."""
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest

from recording import BUILD

VITRINE_USER = os.path.join(BUILD, "vitrine-user")
VITRINE_TRACE = os.path.join(BUILD, "vitrine-trace")
PROGRAM = os.path.join(BUILD, "tests", "signalled")


def clean_environment():
    return {name: value for name, value in os.environ.items() if not name.startswith("QEMU_")}


def until(what, seconds=20):
    """Waits for something to become true, and tells whether it did."""
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="vitrine-test-")
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def begin(self, *words, options=()):
        """Starts the program under the translator, and waits for its first line."""
        process = subprocess.Popen([VITRINE_USER, *options, PROGRAM, *words], cwd=self.folder,
                                   env=clean_environment(), text=True, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(self.stop, process)
        self.assertEqual(process.stdout.readline(), "ready\n")
        return process

    @staticmethod
    def stop(process):
        if process.poll() is None:
            process.kill()
        process.wait(timeout=60)
        for file in (process.stdin, process.stdout, process.stderr):
            if file:
                file.close()

    def end(self, process, status=0):
        """Waits for the end: what it printed behind "ready"."""
        out, err = process.stdout.read(), process.stderr.read()  # some of it may be read already
        self.assertEqual(process.wait(timeout=60), status, err)
        self.assertEqual(err, "")
        return out

    def size(self, name):
        try:
            return os.path.getsize(self.path(name))
        except FileNotFoundError:
            return 0

    def grows(self, name):
        """Whether a text log grows: True or False once that is clear."""
        size = self.size(name)
        return until(lambda: self.size(name) > size, 0.5)

    def switch(self, process, name, to, number=signal.SIGUSR2):
        os.kill(process.pid, number)
        self.assertTrue(until(lambda: self.grows(name) == to), f"{name} does not obey")

    def trace(self, *args):
        done = subprocess.run([VITRINE_TRACE, *args], text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=60, cwd=self.folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout


class Switching(Case):
    def test_on_and_off(self):
        process = self.begin("work", options=(
            "-D", "log", "-trace", "guest_user_syscall,toggle=USR2"))
        self.assertFalse(self.grows("log"))
        self.assertEqual(self.size("log"), 0)
        for to in (True, False, True, False):
            self.switch(process, "log", to)
        process.terminate()
        self.assertEqual(self.end(process), "done\n")
        with open(self.path("log")) as log:
            for line in log:
                self.assertTrue(line.startswith("guest_user_syscall "), line)

    def test_two_switches_and_filters(self):
        """Each signal switches its own events, under their own filters."""
        process = self.begin("work", options=(
            "-trace", "guest_user_syscall,filter=num == 230,toggle=SIGRTMIN+3,file=sleeps",
            "-trace", "guest_user_syscall_ret,filter=ret != 0,toggle=12,file=fails",
            "-trace", "guest_signal,file=signals"))
        os.kill(process.pid, signal.SIGRTMIN + 3)
        time.sleep(0.3)
        os.kill(process.pid, signal.SIGRTMIN + 3)
        time.sleep(0.1)
        os.kill(process.pid, signal.SIGUSR2)
        time.sleep(0.1)
        process.terminate()
        self.end(process)
        shown = self.trace("show", "sleeps")
        self.assertGreater(shown.count("guest_user_syscall "), 20)
        self.assertEqual(shown.count("guest_user_syscall "), shown.count("num=0x00000000000000e6")
                         or shown.count("num=0xe6"))
        self.assertNotIn("guest_user_syscall_ret", shown)
        self.assertNotIn("guest_user_syscall ", self.trace("show", "fails"))
        # Of all these signals the program has seen one.
        signals = self.trace("show", "signals")
        self.assertEqual(signals.count("guest_signal "), 1, signals)

    def test_planted_probes_take_effect_in_running_code(self):
        """Instructions are counted by nobody but while the switch is on."""
        process = self.begin("work", options=(
            "-trace", "guest_insn,toggle=USR2,file=insns"))
        size = self.size("insns")
        self.assertFalse(self.grows("insns"))
        os.kill(process.pid, signal.SIGUSR2)
        self.assertTrue(until(lambda: self.size("insns") > size + 10000))
        os.kill(process.pid, signal.SIGUSR2)
        self.assertTrue(until(lambda: not self.grows("insns")))
        process.terminate()
        self.end(process)
        self.assertIn("guest_insn", self.trace("stats", "insns"))

    def test_events_file(self):
        with open(self.path("events"), "w") as file:
            file.write("guest_user_syscall\nguest_fork\n")
        process = self.begin("work", options=(
            "-trace", "events=events,file=rec,toggle=USR2"))
        self.assertFalse(self.grows("rec"))
        self.switch(process, "rec", True)
        process.terminate()
        self.end(process)

    def test_the_same_event_without_a_switch_stays_on(self):
        process = self.begin("work", options=(
            "-D", "log", "-trace", "guest_user_syscall",
            "-trace", "guest_user_syscall,toggle=USR2"))
        for _ in range(2):
            self.assertTrue(self.grows("log"))
            os.kill(process.pid, signal.SIGUSR2)
            time.sleep(0.1)
        self.assertTrue(self.grows("log"))
        process.terminate()
        self.end(process)

    def test_symbols(self):
        """A recording of what is switched on late can be shown with names."""
        process = self.begin("work", options=("-trace", "guest_*,toggle=USR2,file=late"))
        os.kill(process.pid, signal.SIGUSR2)
        self.assertTrue(until(lambda: self.size("late") > 20000))
        process.terminate()
        self.end(process)
        shown = self.trace("show", "--symbols", "late")
        self.assertRegex(shown, r"guest_module .*path=\S*/signalled")
        self.assertRegex(shown, r"guest_call .*target=\S+<libc[^>]*nanosleep")


class Unnoticed(Case):
    """What the program sees is what it sees natively, whatever comes from outside."""

    def compare(self, what, number, every):
        native = subprocess.run([PROGRAM, what, str(number)], text=True, stdout=subprocess.PIPE,
                                timeout=60)
        process = self.begin(what, str(number), options=(
            "-D", "log", "-trace", f"guest_user_syscall,toggle={number}"))
        sent = 0
        over = threading.Event()

        def send():
            nonlocal sent
            while process.returncode is None and not over.wait(every):
                os.kill(process.pid, number)
                sent += 1

        sender = threading.Thread(target=send)
        sender.start()
        try:
            out, err = "", ""
            for line in process.stdout:
                out += line
        finally:
            over.set()
            sender.join()
        err = process.stderr.read()
        process.wait(timeout=60)
        self.assertEqual(("ready\n" + out, err, process.returncode),
                         (native.stdout, "", native.returncode))
        self.assertGreater(sent, 3)

    def test_time_that_it_waits(self):
        self.compare("time", signal.SIGUSR2, 0.03)
        self.assertGreater(self.size("log"), 0)

    def test_the_same_signal_used_by_the_program(self):
        self.compare("use", signal.SIGRTMIN + 3, 0.002)

    def test_its_own_signals(self):
        """Nothing from outside: everything reaches the program."""
        process = self.begin("use", options=("-trace", "guest_call,toggle=USR2,file=none"))
        native = subprocess.run([PROGRAM, "use"], text=True, stdout=subprocess.PIPE, timeout=60)
        self.assertEqual("ready\n" + self.end(process), native.stdout)

    def test_death_by_its_own_signal(self):
        process = self.begin("die", options=("-D", "log", "-trace", "guest_signal,toggle=USR2"))
        time.sleep(0.05)
        os.kill(process.pid, signal.SIGUSR2)
        self.assertEqual(self.end(process, -signal.SIGUSR2), "")

    def test_mask_through_execve(self):
        for what, says in (("mask", "not blocked\n"), ("exec", "ready\nblocked\n")):
            process = self.begin(what, options=("-trace", "guest_call,toggle=USR2,file=none"))
            self.assertEqual(self.end(process), says)


class Children(Case):
    def pids(self, process):
        found = {}
        for _ in range(3):
            words = process.stdout.readline().split()
            if len(words) == 2:
                found[words[0]] = int(words[1])
        self.assertEqual(sorted(found), ["child", "program"])
        return found

    def finish(self, process, pids):
        for pid in pids.values():
            os.kill(pid, signal.SIGTERM)
        out = self.end(process)
        self.assertEqual(sorted(out.splitlines()), ["done", "done", "ended with 3 and 0"])

    def test_each_has_its_own_recording(self):
        """A fork's child and a program that was started obey too."""
        process = self.begin("children", options=(
            "-trace", "guest_*,toggle=USR2,file=rec"))
        pids = self.pids(process)
        for name, pid in pids.items():
            file = f"rec-{pid}"
            size = self.size(file)
            os.kill(pid, signal.SIGUSR2)
            self.assertTrue(until(lambda: self.size(file) > size + 20000), name)
            os.kill(pid, signal.SIGUSR2)
            self.assertTrue(until(lambda: not self.grows(file)), name)
        self.finish(process, pids)
        for pid in pids.values():
            shown = self.trace("show", "--symbols", f"rec-{pid}")
            self.assertRegex(shown, r"guest_module .*path=\S*/signalled")
            self.assertRegex(shown, r"guest_call .*target=\S+<libc[^>]*nanosleep")

    def test_they_begin_as_their_parent_is(self):
        process = subprocess.Popen(
            [VITRINE_USER, "-trace", "guest_user_syscall,toggle=USR2,file=rec", "/bin/sh", "-c",
             f"echo ready; read x; {PROGRAM} mask; exec {PROGRAM} mask"], cwd=self.folder,
            env=clean_environment(), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)
        self.addCleanup(self.stop, process)
        self.assertEqual(process.stdout.readline(), "ready\n")
        os.kill(process.pid, signal.SIGUSR2)
        time.sleep(0.2)
        process.stdin.write("go\n")
        process.stdin.close()
        out, err = process.stdout.read(), process.stderr.read()
        process.wait(timeout=60)
        self.assertEqual((out, err), (2 * "ready\nnot blocked\n", ""))
        files = [name for name in os.listdir(self.folder) if re.fullmatch(r"rec-\d+", name)]
        self.assertEqual(len(files), 2)
        for name in ["rec"] + files:
            self.assertIn("guest_user_syscall ", self.trace("show", name), name)


class Wrong(Case):
    def test_sentences(self):
        for option, says in (
                ("guest_insn,toggle=FOO", "toggle=FOO: there is no such signal; expected a name or "
                                          "number such as USR2, SIGUSR2, RTMIN+3 or 12"),
                ("guest_insn,toggle=0", "toggle=0: there is no such signal"),
                ("guest_insn,toggle=65", "toggle=65: there is no such signal"),
                ("guest_insn,toggle=RTMIN+99", "toggle=RTMIN+99: there is no such signal"),
                ("guest_insn,toggle=", "toggle=: there is no such signal"),
                ("guest_insn,toggle=KILL", "toggle=KILL: this signal cannot be caught"),
                ("guest_insn,toggle=SIGSTOP", "toggle=SIGSTOP: this signal cannot be caught"),
                ("guest_insn,toggle=segv", "toggle=segv: the translator uses this signal itself"),
                ("guest_insn,toggle=63", "toggle=63: the translator uses this signal itself"),
                ("guest_insn,toggle=33", "toggle=33: the C library uses this signal itself"),
                ("guest_insn,toggle=CHLD", "toggle=CHLD: this signal stops and continues programs"),
                ("guest_insn,toggle=USR1,toggle=USR2", "toggle= is given twice"),
                ("toggle=USR2", "toggle= needs the events that it switches"),
                ("file=x,toggle=USR2", "toggle= needs the events that it switches"),
                ("-guest_insn,toggle=USR2", "toggle= has no meaning there")):
            with self.subTest(option=option):
                done = subprocess.run([VITRINE_USER, "-trace", option, PROGRAM, "mask"], text=True,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
                                      env=clean_environment(), cwd=self.folder)
                self.assertEqual(done.returncode, 1)
                self.assertIn(says, done.stderr)
                self.assertEqual(done.stderr.count("\n"), 1)
                self.assertEqual(done.stdout, "")

    def test_programs_without_switches(self):
        done = subprocess.run([os.path.join(BUILD, "tests", "storm"), "-trace",
                               "storm_*,toggle=USR2"], text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn("this program does not switch events by signals", done.stderr)


if __name__ == "__main__":
    unittest.main()
