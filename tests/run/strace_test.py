# SPDX-License-Identifier: MIT
#
# System calls in recordings: vitrine-trace strace against the lines of -strace of the same run, call
# by call; what other commands say about calls; recordings made by hand that lack something.
import collections
import glob
import json
import os
import re
import sqlite3
import subprocess
import unittest

from recording import BUILD, DROPPED, Case, event, header, mapping, text, words
from translated import environment, system_tool

VITRINE_USER = os.path.join(BUILD, "vitrine-user")
GUESTS = os.path.join(BUILD, "tests", "guest")

SHELL = """\
echo hello | tr a-z A-Z | cat; (exit 3); ls /nonexistent/folder
x=$(seq 1 5 | wc -l); echo $x > made; cat < made; rm made
sleep 0.1 & wait $!; trap 'echo caught' USR1; kill -USR1 $$
/nonexistent/program; exec $(type -P ls) -l .
"""

THREADS = """\
import os, select, socket, threading, time
def work(i):
    r, w = os.pipe()
    for k in range(20):
        os.write(w, b"x%d\\n\\0" % i)
        os.read(r, 10)
    poll = select.poll()
    poll.register(r, select.POLLIN)
    poll.poll(1)
    time.sleep(0.01)
    try:
        open("/nonexistent/%d" % i)
    except OSError:
        pass
a, b = socket.socketpair()
a.sendall(b"hi")
b.recv(10)
threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
os.system("true")
"""


def settled(what):
    """A line without what another thread, or the call itself, changes between two looks."""
    what = re.sub(r"^futex\(\[-?\d+\]", "futex([N]", what)
    return re.sub(r"^(clock_nanosleep\(\w+,\w+,)\{\d+,\d+\}", r"\1{T}", what)


def by_thread(lines):
    """Lines of each thread in their order; of a call that was shown in two, the second has it all."""
    threads = {}
    for line in lines:
        who, _, what = line.partition(" ")
        if "<unfinished" not in what and "(to be restarted)" not in what:
            what = re.sub(r"^<\.\.\. (\w+) resumed>", r"\1(", what)
            threads.setdefault(who, []).append(settled(what))
    return threads


class Strace(Case):
    def record(self, command, *more, writer="file=t.trace,context=thread", status=0):
        """Runs a command with -strace and a recording of its calls in the test's folder."""
        done = subprocess.run([VITRINE_USER, "-trace", f"guest_user_*,{writer}", "-strace", "-D",
                               "log.%d", *more, *command], cwd=self.folder, timeout=120, check=False,
                              env=environment(self.folder), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, status, done.stderr)
        return done

    def strace(self, *args, status=0):
        out, errors = self.run_trace("strace", *args, status=status)
        if not status:
            self.assertEqual(errors, "")
        return out.decode().splitlines()

    def compare(self, log, *traces):
        """The recordings and the log of one run: every call of the recordings' threads in both."""
        with open(log, encoding="utf-8") as file:
            told = by_thread(file.read().splitlines())
        shown = by_thread(line for trace in traces for line in self.strace(trace))
        self.assertTrue(shown)
        for thread, lines in shown.items():
            expected = told.get(thread, [])
            for i, (line, other) in enumerate(zip(lines, expected)):
                self.assertEqual(line, other, f"line {i} of thread {thread} of {log}")
            self.assertEqual(len(lines), len(expected), f"thread {thread} of {log}")
        return shown, told

    def compare_main(self):
        """The first process. What it starts in its own place has a log that goes on, and a recording
        of its own."""
        pid = self.strace(self.path("t.trace"))[0].split()[0]
        traces = [self.path("t.trace"), self.path(f"t.trace-{pid}")]
        return self.compare(self.path(f"log.{pid}"), *filter(os.path.exists, traces)), pid

    def test_ls(self):
        self.write("file", "x" * 300)
        self.record([system_tool("ls"), "-l", "--color=always", ".", "/usr"])
        shown, told = self.compare_main()[0]
        self.assertEqual(shown, told)
        lines = "\n".join(next(iter(shown.values())))
        for words_of_it in ('openat(AT_FDCWD,"/etc/ld.so.cache",O_RDONLY|O_CLOEXEC,0) = 3',
                            "PROT_READ|PROT_WRITE,MAP_PRIVATE|MAP_ANONYMOUS,-1,0) = 0x",
                            "ENOENT, No such file or directory", "{st_mode=0100", 'read(3,"\\177ELF',
                            "exit_group(0) = ?"):
            self.assertIn(words_of_it, lines)

    def test_shell(self):
        """Each program that is started has a recording of its own."""
        self.write("script", SHELL)
        self.record([system_tool("bash"), "script"])
        (shown, _), main = self.compare_main()
        self.assertEqual(list(shown), [main])
        self.assertIn(' = ?', [line for line in shown[main] if line.startswith("execve(")][-1])
        others = {path.rpartition("-")[2]: path for path in glob.glob(self.path("t.trace-*"))
                  if not path.endswith(".events") and not path.endswith("-" + main)}
        self.assertGreaterEqual(len(others), 5)
        for pid, trace in others.items():
            shown, told = self.compare(self.path(f"log.{pid}"), trace)
            self.assertEqual(shown, told)

    def test_threads(self):
        self.write("program.py", THREADS)
        self.record(["/usr/bin/python3", "program.py"])
        shown, told = self.compare_main()[0]
        self.assertEqual(shown, told)
        self.assertGreaterEqual(len(shown), 6) # four threads, and a child of vfork

    def test_thread_ids_of_ctf(self):
        self.record([os.path.join(GUESTS, "signal_wait")], writer="file=t.trace,writer=ctf")
        self.compare_main()

    def test_signals(self):
        """A call that a signal puts off is not shown, in neither."""
        self.record([os.path.join(GUESTS, "signal_wait")])
        self.compare_main()

    def test_without_memory(self):
        """Where only the calls were recorded, there are addresses; with strings, those."""
        for pattern, wanted in (("guest_user_syscall*", r"openat\(AT_FDCWD,0x[0-9a-f]{16},O_RDONLY"),
                                ("guest_user_s*", r'openat\(AT_FDCWD,"/etc/ld.so.cache",O_RDONLY')):
            self.record([system_tool("true")], "-trace", f"{pattern},file=less.trace")
            lines = "\n".join(self.strace(self.path("less.trace")))
            self.assertRegex(lines, wanted)
            self.assertNotIn("st_mode", lines)

    def test_strings_alone(self):
        """A filter on the text, and no event but that of strings."""
        done = subprocess.run([VITRINE_USER, "-trace",
                               'guest_user_string,filter=text =~ "/etc/*.cache"', "/bin/true"],
                              capture_output=True, text=True, timeout=60, check=True)
        lines = done.stderr.splitlines()
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertRegex(lines[0], r"^guest_user_string cpu=0x[0-9a-f]+ num=0x0*101 arg2 "
                                   r"addr=0x[0-9a-f]{16} /etc/ld.so.cache$")

    def test_names_in_filters(self):
        """Calls and errors by name, while recording and afterwards."""
        done = subprocess.run([VITRINE_USER, "-trace", "guest_user_syscall,filter=num == exit_group",
                               "/bin/true"], capture_output=True, text=True, timeout=60, check=True)
        self.assertEqual(done.stderr.count("\n"), 1)
        self.assertIn(" num=0x00000000000000e7 ", done.stderr)
        self.record([system_tool("true")])
        out = self.run_trace("show", "--filter", "ret == ENOENT && num == access",
                             self.path("t.trace"))[0].decode()
        self.assertRegex(out, r"^guest_user_syscall_ret \S+ pid=\d+ cpu=\S+ num=0x15\(access\) "
                              r"ret=0xfffffffffffffffe\(ENOENT\)")

    def test_show(self):
        self.record([system_tool("true")])
        out = self.run_trace("show", self.path("t.trace"))[0].decode()
        self.assertRegex(out, r"num=0x101\(openat\) arg1=0xffffff9c\(AT_FDCWD\) arg2=0x[0-9a-f]+ "
                              r"arg3=0x80000\(O_RDONLY\|O_CLOEXEC\) arg4=0x0 ")
        plain = self.run_trace("show", "--plain", self.path("t.trace"))[0].decode()
        self.assertNotIn("(", plain.replace("text=", ""))
        self.assertRegex(plain, r"num=0x101 arg1=0xffffff9c arg2=")

    def test_exports(self):
        self.record([system_tool("true")])
        trace, base = self.path("t.trace"), self.path("t.db")
        self.run_trace("convert", "--to", "sqlite", trace, "-o", base)
        with sqlite3.connect(base) as db:
            rows = db.execute("SELECT arg1_word, arg3_word FROM guest_user_syscall "
                              "WHERE num_word = 'openat'").fetchall()
            errors = db.execute("SELECT count(*) FROM guest_user_syscall_ret "
                                "WHERE ret_word = 'ENOENT'").fetchone()[0]
        db.close()
        self.assertIn(("AT_FDCWD", "O_RDONLY|O_CLOEXEC"), rows)
        self.assertGreaterEqual(errors, 1)
        out = self.run_trace("convert", "--to", "json", trace)[0]
        calls = [json.loads(line)["args"] for line in out.splitlines()
                 if b'"guest_user_syscall"' in line]
        self.assertIn("mmap", {call["num_word"] for call in calls})
        mapped = [call for call in calls if call["num_word"] == "mmap"]
        self.assertTrue(all("PROT_" in call["arg3_word"] for call in mapped))

    def test_slices(self):
        """Calls are slices of their threads, by name."""
        self.record([system_tool("true")], writer="file=t.trace,writer=ctf")
        trace, out = self.path("t.trace"), self.path("t.json")
        self.run_trace("convert", "--to", "chrome", "--slices", trace, "-o", out)
        with open(out, encoding="utf-8") as file:
            events = json.load(file)["traceEvents"]
        names = [e["name"] for e in events if e["ph"] == "B"]
        self.assertEqual(names, [re.match(r"\d+ (\w+)\(", line)[1] for line in self.strace(trace)])
        perfetto = self.run_trace("convert", "--to", "perfetto", "--slices", trace)[0]
        self.assertEqual(perfetto.count(b"\xba\x01\x06openat"), names.count("openat"))

    def test_timeline(self):
        """A row for each kind of call."""
        self.record([system_tool("true")])
        svg = self.run_trace("timeline", "--format", "svg", self.path("t.trace"))[0].decode()
        for name in ("openat", "mmap", "guest_user_syscall_ret"):
            self.assertIn(f">{name}<", svg)
        self.assertNotIn(">guest_user_syscall<", svg)

    def test_stats(self):
        self.record([system_tool("ls"), "/usr"])
        trace = self.path("t.trace")
        counts, errors = collections.Counter(), collections.Counter()
        for line in self.strace(trace):
            name = re.match(r"\d+ (\w+)\(", line)[1]
            counts[name] += 1
            errors[name] += " = -1 errno=" in line
        told = json.loads(self.run_trace("stats", "--json", trace)[0])["calls"]
        self.assertEqual({row["name"]: (row["count"], row["errors"]) for row in told},
                         {name: (counts[name], errors[name]) for name in counts})
        self.assertTrue(all(row["longest_ns"] <= row["total_ns"] for row in told))
        self.assertGreater(sum(row["total_ns"] for row in told), 0)
        table = self.run_trace("stats", trace)[0].decode()
        self.assertRegex(table, rf"(?m)^openat +{counts['openat']} +{errors['openat']} +\d+\.\d{{3}} ")


EVENTS = """\
#@enum syscall 0=read 1=write 2=open 59=execve 231=exit_group
#@args num:syscall
guest_user_syscall(void *cpu, uint64_t num, uint64_t arg1, uint64_t arg2, uint64_t arg3, uint64_t arg4, uint64_t arg5, uint64_t arg6) "%p %lu %lu %lu %lu %lu %lu %lu"
guest_user_syscall_ret(void *cpu, uint64_t num, uint64_t ret) "%p %lu %lu"
guest_user_string(void *cpu, uint64_t num, uint32_t arg, uint64_t addr, const char *text) "%p %lu %u %lu %s"
guest_user_memory(void *cpu, uint64_t num, uint32_t arg, uint64_t addr, uint32_t size, const char *bytes) "%p %lu %u %lu %u %s"
"""
CALL, RETURN, STRING, MEMORY = range(4)


class Made(Case):
    """Recordings by hand."""

    def make(self, *content, events=EVENTS):
        names = [line.split("(")[0] for line in events.splitlines() if line[0] != "#"]
        head = header() + b"".join(mapping(i, name) for i, name in enumerate(names))
        return self.recording(head + b"".join(content), events)

    def call(self, number, *args, time=0, pid=7, cpu=1):
        return event(CALL, time, words(cpu, number, *args, *[0] * (6 - len(args))), pid)

    def ret(self, number, value, time=0, pid=7, cpu=1):
        return event(RETURN, time, words(cpu, number, value), pid)

    def string(self, number, arg, address, value, pid=7, cpu=1):
        return event(STRING, 0, words(cpu, number, arg, address) + text(value), pid)

    def memory(self, number, arg, address, value, pid=7, cpu=1):
        return event(MEMORY, 0, words(cpu, number, arg, address, len(value) // 2) + text(value), pid)

    def shown(self, *args, status=0):
        out, errors = self.run_trace("strace", *args, status=status)
        return out.decode() if not status else errors

    def test_pairs(self):
        trace = self.make(
            self.string(2, 1, 0x1000, b"/etc/passwd"), self.call(2, 0x1000, 0),
            self.call(0, 3, 0x2000, 10, cpu=2),      # another thread, in between
            self.ret(2, 3), self.memory(0, 2, 0x2000, b"68690a", cpu=2), self.ret(0, 3, cpu=2),
            self.call(2, 0x1000, 0), self.ret(2, -2), # its string is gone with the call before
            self.ret(1, 5))                          # of which the call is missing
        self.assertEqual(self.shown(trace),
                         '7 open("/etc/passwd",O_RDONLY,0) = 3\n'
                         '7.2 read(3,"hi\\n",10) = 3\n'
                         "7 open(0x0000000000001000,O_RDONLY,0) = -1 errno=2 (ENOENT, No such file "
                         "or directory)\n"
                         "7 write(...) = 5\n")

    def test_what_does_not_come_back(self):
        trace = self.make(
            self.string(59, 1, 0x1000, b"/bin/x"), self.call(59, 0x1000), self.ret(59, -2),
            self.call(59, 0x2000),                   # ends this program
            self.call(0, 3, 0, 1, cpu=9), self.ret(0, -512, cpu=9), # is begun anew
            self.call(0, 3, 0, 1, cpu=9), self.ret(0, 0, cpu=9),
            self.call(1, 3, 0, 1, cpu=10),           # never ends
            self.call(231, 4, cpu=9))
        self.assertEqual(self.shown(trace),
                         '7 execve("/bin/x",NULL,NULL) = ?\n'
                         '7 execve("/bin/x",NULL,NULL) = -1 errno=2 (ENOENT, No such file or '
                         "directory)\n"
                         "7 execve(0x0000000000002000,NULL,NULL) = ?\n"
                         "7 read(3,NULL,1) = 0\n"
                         "7 exit_group(4) = ?\n"
                         "7.2 write(3,NULL,1) <unfinished ...>\n")

    def test_options(self):
        trace = self.make(
            self.call(0, 3, 0, 1, time=1_000_000_000), self.ret(0, 1, time=1_000_250_000),
            self.call(1, 1, 0, 1, time=3_500_000_000), self.ret(1, -9, time=3_500_001_000))
        bad = " = -1 errno=9 (EBADF, Bad file descriptor)"
        self.assertEqual(self.shown("-T", "--time=absolute", trace),
                         "7 1.000000 read(3,NULL,1) = 1 <0.000250>\n"
                         f"7 3.500000 write(1,NULL,1){bad} <0.000001>\n")
        self.assertEqual(self.shown("--time=delta", trace),
                         f"7 0.000000 read(3,NULL,1) = 1\n7 2.500000 write(1,NULL,1){bad}\n")
        self.assertEqual(self.shown("--failed", trace), f"7 write(1,NULL,1){bad}\n")
        self.assertEqual(self.shown("-e", "re*", trace), "7 read(3,NULL,1) = 1\n")
        self.assertEqual(self.shown("-e", "re*", "-e", "write", trace).count("\n"), 2)

    def test_lost_records(self):
        trace = self.make(self.string(2, 1, 0x1000, b"/a"), self.call(2, 0x1000),
                          event(DROPPED, 0, words(12)), self.ret(2, 3))
        self.assertEqual(self.shown(trace),
                         "--- 12 records were lost here ---\n7 open(...) = 3\n")

    def test_foreign_text(self):
        """What was recorded cannot steer a terminal or break a line; hexadecimal that is none."""
        trace = self.make(
            self.string(2, 1, 0x1000, b"\x1b[31m\n\xff" + b"a" * 505), self.call(2, 0x1000),
            self.ret(2, 3), self.call(0, 3, 0x2000, 4), self.memory(0, 2, 0x2000, b"zz"),
            self.ret(0, 2))
        self.assertRegex(self.shown(trace), r'^7 open\("\\033\[31m\\n\\377a{505}"...,O_RDONLY,0\) = 3'
                                            r"\n7 read\(3,0x0000000000002000,4\) = 2\n$")

    def test_nothing_to_show(self):
        other = 'other(int x) "%d"\n'
        self.assertIn("holds no system calls", self.shown(self.make(events=other), status=1))
        self.assertIn("expected a recording", self.shown(status=2))
        self.assertIn("--time=never: expected", self.shown("--time=never", "x", status=2))

    def test_other_machines(self):
        """Numbers of a recording that does not name the calls could be another machine's."""
        plain = "".join(line + "\n" for line in EVENTS.splitlines() if line[0] != "#")
        trace = self.make(self.call(1, 1, 0, 1), self.ret(1, 1), events=plain)
        out = self.run_trace("show", trace)[0].decode()
        self.assertNotIn("(", out)


if __name__ == "__main__":
    unittest.main()
