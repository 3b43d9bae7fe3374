# SPDX-License-Identifier: MIT
"""The command line of vitrine-user: help, bad input, what reaches the program, exit status, monitor."""
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import unittest

from recording import BUILD, ROOT

VITRINE_USER = os.path.join(BUILD, "vitrine-user")
BINFMT = os.path.join(ROOT, "scripts", "vitrine-binfmt")


def clean_environment(**more):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("QEMU_")}
    return {**kept, **more}


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="vitrine-test-")
        self.addCleanup(shutil.rmtree, self.folder)

    def run_user(self, *args, env=None, **more):
        return subprocess.run([VITRINE_USER, *args], env=env or clean_environment(), text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=120, cwd=self.folder, **more)

    def write(self, name, content, mode=0o755):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.write(content)
        os.chmod(path, mode)
        return path


def read(path):
    with open(path, "rb") as file:
        return file.read()


def elf(machine=62, bits=2, order=1, kind=3, phnum=1, offset=0, size=0x100, interpreter=b""):
    """A minimal ELF file whose fields can lie."""
    head = b"\x7fELF" + bytes([bits, order, 1]) + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH" if order == 1 else ">HHIQQQIHHHHHH", kind, machine, 1,
                        0x100, 64, 0, 0, 64, 56, phnum + bool(interpreter), 0, 0, 0)
    headers = struct.pack("<IIQQQQQQ", 1, 5, offset, offset, offset, size, size, 0x1000) * phnum
    if interpreter:
        headers += struct.pack("<IIQQQQQQ", 3, 4, 0x200, 0x200, 0x200, len(interpreter) + 1,
                               len(interpreter) + 1, 1)
    return (head + headers).ljust(0x200, b"\0") + interpreter + bytes(64)


class Options(Case):
    def test_help_and_version(self):
        for option in ("-h", "--help", "-help"):
            done = self.run_user(option)
            self.assertEqual(done.returncode, 0)
            self.assertTrue(done.stdout.startswith("usage: vitrine-user [OPTIONS] PROGRAM"))
            self.assertEqual(done.stderr, "")
        for option in ("-version", "--version"):
            done = self.run_user(option)
            self.assertEqual(done.returncode, 0)
            self.assertRegex(done.stdout, r"^vitrine-user \d+\.\d+")
        done = self.run_user("-cpu", "help")
        self.assertEqual(done.returncode, 0)
        self.assertIn("Haswell", done.stdout)
        done = self.run_user("-d", "help")
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stdout, r"(?m)^in_asm +\w")
        self.assertIn("trace:PATTERN", done.stdout)
        self.assertNotIn("op_ind", done.stdout)

    def test_no_program(self):
        for args in ([], ["-strace"], ["--"]):
            done = self.run_user(*args)
            self.assertEqual(done.returncode, 1)
            self.assertIn("usage: vitrine-user", done.stderr)
            self.assertEqual(done.stdout, "")

    def test_wrong_options(self):
        for args, says in (
                (["-nosuch", "x"], "-nosuch: there is no such option (-h lists them)"),
                (["-strase", "x"], "(did you mean -strace?)"),
                (["-L"], "-L: requires an argument (PATH)"),
                (["-B", "0x1000", "x"], "-B: the guest's addresses are the host's"),
                (["-g", "1234", "x"], "-g: a server for gdb is not there yet"),
                (["-plugin", "a.so", "x"], "-plugin: plugins are not there yet"),
                (["-s", "7", "x"], "-s=7: expected a size"),
                (["-E", "novalue", "x"], "-E: 'novalue' is not of the form VARIABLE=VALUE"),
                (["-U", "a=b", "x"], "-U: 'a=b' is no name of a variable"),
                (["-cpu", "nosuch", "/bin/true"], "-cpu: "),
                (["-cpu", "qemu32", "/bin/true"], "-cpu: the CPU qemu32 has no 64-bit mode"),
                (["-cpu", "max,-lm", "/bin/true"], "-cpu: the CPU max,-lm has no 64-bit mode"),
                (["-d", "nosuch", "x"], "-d nosuch: there is no such log item"),
                (["-d", "op_ind", "x"], "-d op_ind: this program does not have the log item"),
                (["-dfilter", "12", "x"], "-dfilter: '12' is no range of addresses"),
                (["-dfilter", "5..4", "x"], "-dfilter: '5..4' is no range of addresses"),
                (["-seed", "x", "x"], "-seed=x: expected a number"),
                (["-engine", "fast", "x"], "-engine: there is no word 'fast'"),
                (["-engine", "cache=1", "x"], "-engine: cache=1: expected a size"),
                (["-monitor", "stdio", "x"], "-monitor stdio: expected unix:PATH"),
                (["-trace", "foo=1", "x"], "-trace foo=1: ")):
            with self.subTest(args=args):
                done = self.run_user(*args)
                self.assertEqual(done.returncode, 1)
                self.assertTrue(done.stderr.startswith("vitrine-user: "), done.stderr)
                self.assertIn(says, done.stderr)
                self.assertEqual(done.stderr.count("\n"), 1)
                self.assertEqual(done.stdout, "")

    def test_wrong_environment(self):
        done = self.run_user("/bin/true", env=clean_environment(QEMU_STACK_SIZE="tiny"))
        self.assertEqual(done.returncode, 1)
        self.assertIn("QEMU_STACK_SIZE=tiny in the environment: -s=tiny: expected a size", done.stderr)

    def test_files_that_are_no_programs(self):
        ls = read("/bin/ls")
        cases = (
            (b"hello\n", "neither an ELF program nor a script"),
            (b"", "the file is empty"),
            (ls[:32], "cut off within its first header"),
            (ls[:100], "cut off: its program headers"),
            (ls[:5000], "the ELF file is cut off: segment"),
            (elf(machine=183), "another processor (AArch64)"),
            (elf(machine=40, bits=1), "another processor (ARM)"),
            (elf(machine=8, order=2), "another processor (MIPS)"),
            (elf(machine=3, bits=1), "32-bit program (i386)"),
            (elf(bits=1), "32-bit program (x32)"),
            (elf(kind=1), "not linked yet"),
            (elf(kind=4), "a core dump"),
            (elf(phnum=0), "0 program headers"),
            (elf(size=0x4000), "cut off: segment 0"),
            (elf(interpreter=b"/no/such/ld.so"), "its interpreter /no/such/ld.so"),
            (b"#!\n", "names no interpreter"),
            (b"#!/no/such/shell\n", "/no/such/shell: No such file or directory"),
            (b"#!" + b"x" * 300, "is too long"))
        for content, says in cases:
            with self.subTest(says=says):
                path = self.write("program", content)
                done = self.run_user(path)
                self.assertEqual(done.returncode, 1)
                self.assertIn(says, done.stderr)
                self.assertRegex(done.stderr, r"^vitrine-user: [^\n]+\n$")
        path = self.write("program", ls, 0o644)
        self.assertIn("may not be executed", self.run_user(path).stderr)
        self.assertIn("this is a directory", self.run_user(self.folder).stderr)
        self.assertIn("No such file", self.run_user("./nothing").stderr)
        self.assertIn("neither here nor in PATH", self.run_user("no-such-program").stderr)

    def test_cut_off_everywhere(self):
        """Whatever is missing of a program, the answer is one sentence."""
        ls = read("/bin/ls")
        for size in [*range(0, 1200, 97), *range(1200, len(ls), len(ls) // 12)]:
            with self.subTest(size=size):
                done = self.run_user(self.write("program", ls[:size]))
                self.assertEqual(done.returncode, 1)
                self.assertRegex(done.stderr, r"^vitrine-user: [^\n]+\n$")


class Programs(Case):
    """These run a program."""

    def test_environment(self):
        env = clean_environment(KEPT="1", GONE="2", QEMU_SET_ENV="THIRD=3")
        done = self.run_user("-E", "ONE=a,TWO=b,,c", "-E", "KEPT=x=y", "-U", "GONE,NEVER",
                             "/usr/bin/env", env=env)
        self.assertEqual(done.returncode, 0, done.stderr)
        seen = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
        self.assertEqual({name: seen.get(name) for name in ("ONE", "TWO", "KEPT", "GONE", "THIRD")},
                         {"ONE": "a", "TWO": "b,c", "KEPT": "x=y", "GONE": None, "THIRD": "3"})

    def test_argv0(self):
        shell = ["-0", "other name", "/bin/sh", "-c", "tr '\\0' '|' </proc/$$/cmdline; echo $0"]
        done = self.run_user(*shell)
        self.assertEqual(done.stdout.split("|")[0], "other name", done.stderr)

    def test_found_in_path(self):
        done = self.run_user("env", env=clean_environment(PATH="/nowhere::/usr/bin", MARK="1"))
        self.assertIn("MARK=1", done.stdout)

    def test_scripts(self):
        path = self.write("script", b"#!/bin/sh -f\necho \"$0 $1 *\"\n")
        done = self.run_user(path, "two words")
        self.assertEqual(done.stdout, f"{path} two words *\n", done.stderr)

    def test_exit_status(self):
        for status in (0, 1, 77, 255):
            done = self.run_user("/bin/sh", "-c", f"exit {status}")
            self.assertEqual(done.returncode, status)
        for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGABRT):
            done = self.run_user("/bin/sh", "-c", f"kill -{int(number)} $$")
            self.assertEqual(done.returncode, -number)

    def test_release(self):
        done = self.run_user("-r", "9.8.7-test", "/bin/uname", "-r")
        self.assertEqual(done.stdout, "9.8.7-test\n")
        # Children keep the options.
        done = self.run_user("-r", "9.8.7-test", "/bin/sh", "-c", "uname -r; exec uname -r")
        self.assertEqual(done.stdout, "9.8.7-test\n9.8.7-test\n")
        done = self.run_user("-r", "9.8.7-test", "--native-children", "/bin/sh", "-c", "uname -r; :")
        self.assertEqual(done.stdout, os.uname().release + "\n")

    def test_stack_size(self):
        maps = self.run_user("-s", "3M", "/bin/cat", "/proc/self/maps").stdout
        start, end = re.search(r"(?m)^(\w+)-(\w+) rw-p .*\[stack\]$", maps).groups()
        self.assertEqual(int(end, 16) - int(start, 16), 3 << 20)

    def test_proc(self):
        done = self.run_user("/bin/readlink", "/proc/self/exe")
        self.assertEqual(done.stdout.strip(), os.path.realpath("/bin/readlink"))
        maps = self.run_user("/bin/cat", "/proc/self/maps").stdout
        self.assertNotIn("vitrine", maps)
        line = r"^[0-9a-f]{8,16}-[0-9a-f]{8,16} [r-][w-][x-][ps] [0-9a-f]{8,} [0-9a-f]{2}:[0-9a-f]{2} \d+ "
        for text in maps.splitlines():
            self.assertRegex(text, line)
        self.assertRegex(maps, r"(?m)r-xp .*" + os.path.realpath("/bin/cat") + "$")
        self.assertRegex(maps, r"(?m)\[heap\]$")
        done = self.run_user("/bin/cat", "/proc/self/cmdline", "/proc/self/comm")
        self.assertEqual(done.stdout, "/bin/cat\0/proc/self/cmdline\0/proc/self/comm\0cat\n")

    def test_log_file(self):
        done = self.run_user("-d", "page", "-D", "log.%d", "/bin/true")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        logs = [name for name in os.listdir(self.folder) if re.fullmatch(r"log\.\d+", name)]
        self.assertEqual(len(logs), 1)
        with open(os.path.join(self.folder, logs[0]), encoding="utf-8") as file:
            text = file.read()
        self.assertIn("[stack]", text)
        self.assertRegex(text, r"(?m)^mmap +[0-9a-f]{12}-[0-9a-f]{12} r")


class Monitor(Case):
    def setUp(self):
        super().setUp()
        self.path = os.path.join(self.folder, "socket")
        self.process = subprocess.Popen(
            [VITRINE_USER, "-monitor", "unix:" + self.path, "/bin/sleep", "60"],
            env=clean_environment(), stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.process.stderr.close)
        self.addCleanup(self.process.wait, timeout=60)
        self.addCleanup(self.process.kill)
        self.socket = socket.socket(socket.AF_UNIX)
        self.addCleanup(self.socket.close)
        for _ in range(200):
            try:
                self.socket.connect(self.path)
                break
            except OSError:
                time.sleep(0.05)
        self.socket.settimeout(60)
        self.greeting = self.answer()

    def answer(self):
        text = b""
        while not text.endswith(b"(qemu) "):
            got = self.socket.recv(65536)
            if not got:
                break
            text += got
        return text.decode().removesuffix("(qemu) ")

    def ask(self, line):
        self.socket.sendall(line.encode() + b"\n")
        return self.answer()

    def test_commands(self):
        self.assertIn("vitrine-user", self.greeting)
        self.assertEqual(os.stat(self.path).st_mode & 0o777, 0o600)
        self.assertIn("trace-event name on|off -- changes status", self.ask("help"))
        self.assertRegex(self.ask("info version"), r"^vitrine-user \d")
        events = self.ask("info trace-events")
        self.assertRegex(events, r"^(\w+ : state [01]\n)+$")
        name = events.split()[0]
        self.assertEqual(self.ask(f"info trace-events {name}"), f"{name} : state 0\n")
        self.assertEqual(self.ask(f"trace-event {name} on"), "")
        self.assertEqual(self.ask(f"info trace-ev {name}"), f"{name} : state 1\n")
        self.assertEqual(self.ask(f"trace-event {name} off"), "")
        self.assertEqual(self.ask("trace-event nosuch on"), 'unknown event "nosuch"\n')
        self.assertEqual(self.ask("info nosuch"), "unknown command: 'info nosuch'\n")
        self.assertEqual(self.ask("trace-event"), "trace-event: string expected\n"
                         'Try "help trace-event" for more information\n')
        self.assertEqual(self.ask(f"trace-event {name} maybe"), "Expected 'on' or 'off'\n"
                         'Try "help trace-event" for more information\n')
        self.assertEqual(self.ask("trace"), "ambiguous command: 'trace' could be trace-event "
                         "trace-file trace-filter\n")
        self.assertIn('unexpected argument "other"', self.ask("trace-file other"))
        self.assertRegex(self.ask("trace-file"), r'^Trace file ".*" off\.\n$')
        self.assertEqual(self.ask("log page"), "")
        self.assertIn("no such log item", self.ask("log nosuch"))
        self.assertEqual(self.ask("log none"), "")
        self.assertIn("Error opening logfile /no/such/x", self.ask("logfile /no/such/x"))
        self.assertEqual(self.ask('log "'), "unterminated string\nlog: string expected\n"
                         'Try "help log" for more information\n')
        self.assertEqual(self.ask(""), "")
        self.assertNotEqual(self.ask("info jit"), "")

    def test_recording(self):
        path = os.path.join(self.folder, "recorded")
        self.assertEqual(self.ask(f"trace-file set {path}"), "")
        self.assertEqual(self.ask("trace-file on"), "")
        self.assertEqual(self.ask("trace-file"), f'Trace file "{path}" on.\n')
        self.assertEqual(self.ask("trace-file off"), "")
        self.assertGreater(os.path.getsize(path), 0)

    def test_names_of_what_was_mapped_before(self):
        """A recording that begins late tells of the modules that are there."""
        path = os.path.join(self.folder, "late")
        for line in (f"trace-file set {path}", "trace-file on", "trace-event guest_module on",
                     "trace-file off"):
            self.assertEqual(self.ask(line), "")
        shown = subprocess.run([os.path.join(BUILD, "vitrine-trace"), "show", path], text=True,
                               stdout=subprocess.PIPE, timeout=60, check=True).stdout
        paths = set(re.findall(r"(?m)^guest_module .* path=(\S+)$", shown))
        self.assertIn(os.path.realpath("/bin/sleep"), paths)
        self.assertTrue([name for name in paths if "libc" in name], shown)

    def test_quit_ends_the_program(self):
        self.socket.sendall(b"q\n")
        self.assertEqual(self.process.wait(timeout=60), 0)
        self.assertFalse(os.path.exists(self.path))


class Binfmt(Case):
    def run_script(self, *args):
        return subprocess.run([BINFMT, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=60)

    def test_dry_run(self):
        done = self.run_script("--dry-run", "--path", VITRINE_USER, "register")
        self.assertEqual(done.stdout, f"printf '%s' ':vitrine:E::vitrine::{VITRINE_USER}:P' "
                         "> /proc/sys/fs/binfmt_misc/register\n")
        done = self.run_script("--dry-run", "--path", VITRINE_USER, "--flags", "PF",
                               "--extension", "vt", "register")
        self.assertIn(f":vitrine:E::vt::{VITRINE_USER}:PF'", done.stdout)
        self.assertIn("> /proc/sys/fs/binfmt_misc/vitrine",
                      self.run_script("--dry-run", "unregister").stdout)

    def test_wrong(self):
        for args, says in ((["register", "--flags", "X"], "only P and F are known"),
                           (["register", "--path", "relative"], "an absolute path is needed"),
                           (["register", "--extension", "a:b"], "letters and digits"),
                           (["nosuch"], "'nosuch' is unknown"),
                           (["--path"], "--path: requires an argument")):
            with self.subTest(args=args):
                done = self.run_script(*args)
                self.assertEqual(done.returncode, 1)
                self.assertIn(says, done.stderr)


if __name__ == "__main__":
    unittest.main()
