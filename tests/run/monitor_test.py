# SPDX-License-Identifier: MIT
"""The monitor of vitrine: on a terminal, on pipes, on sockets, beside a serial port; quitting, and a
guest that runs in a circle with interrupts off. What it says is checked in tests/unit."""
import fcntl
import os
import pty
import re
import select
import signal
import socket
import subprocess
import tempfile
import termios
import time
import unittest

from recording import BUILD

VITRINE = os.path.join(BUILD, "vitrine")
PROMPT = b"(qemu) "

# cli; say "!" at the debug console; jmp $
CIRCLE = bytes([0xFA, 0xB0, 0x21, 0xE6, 0xE9, 0xEB, 0xFE])
# The same, but what COM1 receives is sent back: mov dx,3fd; in al,dx; test al,1; jz -5;
# mov dl,f8; in al,dx; out dx,al; jmp to the begin
ECHO = bytes([0xBA, 0xFD, 0x03, 0xEC, 0xA8, 0x01, 0x74, 0xFB, 0xB2, 0xF8, 0xEC, 0xEE, 0xEB, 0xF2])


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="vitrine-test-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def firmware(self, code):
        path = os.path.join(self.folder, "bios.bin")
        rom = bytearray(0x10000)
        rom[0xFFF0 : 0xFFF0 + len(code)] = code
        with open(path, "wb") as file:
            file.write(rom)
        return path

    def command(self, *options, code=CIRCLE):
        return [VITRINE, "-bios", self.firmware(code), "-m", "16", "-nodefaults", "-display", "none",
                *options]

    def start(self, command, **streams):
        process = subprocess.Popen(command, env=dict(os.environ, TERM="vt100"), **streams)
        self.addCleanup(process.wait, timeout=60)
        self.addCleanup(process.kill)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                self.addCleanup(stream.close)
        return process

    def on_terminal(self, command):
        ours, theirs = pty.openpty()
        process = self.start(command, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE,
                             start_new_session=True,
                             preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.addCleanup(os.close, theirs)
        self.addCleanup(os.close, ours)
        return process, ours

    def until(self, fd, ending, seconds=20):
        """What can be read up to and with the bytes."""
        out = b""
        end = time.monotonic() + seconds
        while not out.endswith(ending):
            self.assertTrue(select.select([fd], [], [], max(0, end - time.monotonic()))[0],
                            f"no {ending} behind {out}")
            got = os.read(fd, 1) if not isinstance(fd, socket.socket) else fd.recv(1)
            self.assertNotEqual(got, b"", out)
            out += got
        return out

    def connect(self, path):
        for _ in range(400):
            try:
                client = socket.socket(socket.AF_UNIX)
                client.connect(path)
                self.addCleanup(client.close)
                return client
            except OSError:
                client.close()
                time.sleep(0.02)
        self.fail(f"nobody listens at {path}")

    def ask(self, client, line):
        client.sendall(line.encode() + b"\n")
        answer = self.until(client, PROMPT)
        echo = line.encode() + b"\r\n"
        self.assertTrue(answer.startswith(echo), answer)
        return answer[len(echo) : -len(PROMPT)].decode().replace("\r\n", "\n")


class Pipes(Case):
    def test_lines_of_a_pipe(self):
        process = self.start(self.command("-monitor", "stdio", "-S", "-name", "glass"),
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        out, _ = process.communicate(b"info status\ninfo name\nfoo\nq\n", timeout=60)
        self.assertRegex(out, rb"^vitrine \d[\d.]* monitor - type 'help' for more information\r\n"
                         rb"\(qemu\) info status\r\nVM status: paused \(prelaunch\)\r\n"
                         rb"\(qemu\) info name\r\nglass\r\n"
                         rb"\(qemu\) foo\r\nunknown command: 'foo'\r\n\(qemu\) q\r\n$")
        self.assertEqual(process.returncode, 0)

    def test_end_of_input_is_no_end(self):
        process = self.start(self.command("-monitor", "stdio", "-S"), stdin=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL,
                             stdout=subprocess.PIPE)
        self.until(process.stdout.fileno(), PROMPT)
        time.sleep(0.2)
        self.assertIsNone(process.poll())
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


class Terminal(Case):
    def test_editing(self):
        process, ours = self.on_terminal(self.command("-monitor", "stdio", "-S"))
        self.until(ours, PROMPT)
        os.write(ours, b"info sta\t\n")
        self.assertRegex(self.until(ours, PROMPT), rb"tus \r+\nVM status: paused \(prelaunch\)\r+\n")
        os.write(ours, b"p 4\n")
        self.assertRegex(self.until(ours, PROMPT), rb"\n0x4\r+\n")
        os.write(ours, b"\x1b[A2\n")  # again, with a 2 behind it
        self.assertRegex(self.until(ours, PROMPT), rb"\n0x2a\r+\n")
        os.write(ours, b"quit\n")
        self.assertEqual(process.wait(timeout=60), 0)
        self.assertEqual(process.stderr.read(), b"")

    def test_beside_a_serial_port(self):
        process, ours = self.on_terminal(self.command("-serial", "mon:stdio", code=ECHO))
        os.write(ours, b"abc")
        self.until(ours, b"abc")
        os.write(ours, b"\x01h")
        self.assertIn(b"C-a c    switch between console and monitor", self.until(ours, b"sends C-a"))
        os.write(ours, b"\x01c")
        self.assertIn(b" monitor - type 'help'", self.until(ours, PROMPT))
        os.write(ours, b"info status\n")
        self.assertIn(b"VM status: running\r", self.until(ours, PROMPT))
        os.write(ours, b"\x01cxyz")
        self.until(ours, b"xyz")
        os.write(ours, b"\x01x")
        self.assertEqual(process.wait(timeout=60), 0)

    def test_nographic(self):
        command = self.command("-nographic", code=ECHO)
        command.remove("-nodefaults")
        process, ours = self.on_terminal(command)
        os.write(ours, b"abc")
        self.until(ours, b"abc")
        os.write(ours, b"\x01cquit\r")
        self.assertEqual(process.wait(timeout=60), 0)


class Sockets(Case):
    def setUp(self):
        super().setUp()
        self.path = os.path.join(self.folder, "monitor")

    def test_a_circle_with_interrupts_off(self):
        other = self.path + "2"
        debug = os.path.join(self.folder, "debug")
        process = self.start(self.command(
            "-monitor", f"unix:{self.path},server,nowait", "-debugcon", f"file:{debug}",
            "-chardev", f"socket,id=m,path={other},server=on,wait=off",
            "-mon", "chardev=m,mode=readline", "-smp", "2"))
        client = self.connect(self.path)
        self.assertIn(b"type 'help'", self.until(client, PROMPT))
        for _ in range(400):
            if self.ask(client, "p/x $eip") == "0xfff5\n":
                break
            time.sleep(0.02)
        self.assertEqual(self.ask(client, "info status"), "VM status: running\n")
        self.assertIn("EIP=0000fff5", self.ask(client, "info registers"))
        self.assertIn("jmp      0xfff5", self.ask(client, "x /1i $pc"))
        with open(debug, encoding="ascii") as file:
            self.assertEqual(file.read(), "!")
        second = self.connect(other)
        self.until(second, PROMPT)
        self.assertIn("m: filename=", self.ask(second, "info chardev"))
        self.assertEqual(self.ask(second, "stop"), "")
        self.assertEqual(self.ask(client, "info status"), "VM status: paused\n")
        self.assertEqual(self.ask(second, "cont"), "")
        self.assertEqual(self.ask(client, "info status"), "VM status: running\n")
        self.assertEqual(self.ask(client, "system_reset"), "")
        for _ in range(400):
            if os.path.getsize(debug) == 2:
                break
            time.sleep(0.02)
        self.assertEqual(os.path.getsize(debug), 2)
        # A client that goes away in the middle of a line, and the next one.
        client.sendall(b"info stat")
        client.close()
        client = self.connect(self.path)
        self.until(client, PROMPT)
        self.assertEqual(self.ask(client, "p 7"), "0x7\n")
        second.sendall(b"quit\n")
        self.assertEqual(process.wait(timeout=60), 0)

    def test_logging(self):
        """What is logged is switched while the machine is there; code has the mode's size."""
        log = os.path.join(self.folder, "log")
        process = self.start(self.command("-monitor", f"unix:{self.path},server,nowait", "-S"))
        client = self.connect(self.path)
        self.until(client, PROMPT)
        for line in (f"logfile {log}", "log in_asm,exec", "cont"):
            self.assertEqual(self.ask(client, line), "")
        for _ in range(400):
            if self.ask(client, "p/x $eip") == "0xfff5\n":
                break
            time.sleep(0.02)
        self.assertEqual(self.ask(client, "log none"), "")
        with open(log, encoding="ascii") as file:
            text = file.read()
        self.assertIn("IN: \n0xfffffff0:  fa                       cli      \n", text)
        self.assertRegex(text, r"0xfffffff1:  b0 21 +movb +\$0x21, %al\n")
        self.assertRegex(text, r"(?m)^Trace 0: 0x[0-9a-f]+ \[")
        client.sendall(b"quit\n")
        self.assertEqual(process.wait(timeout=60), 0)

    def test_tracing(self):
        """The session of the article that people know tracing from."""
        trace = os.path.join(self.folder, "trace")
        process = self.start(self.command("-monitor", f"unix:{self.path},server,nowait", "-S",
                                          "-trace", f"load_file,file={trace}"))
        client = self.connect(self.path)
        self.until(client, PROMPT)
        events = self.ask(client, "info trace-events")
        self.assertRegex(events, r"^(\w+ : state [01]\n)+$")
        for line in ("runstate_set : state 0", "load_file : state 1", "vm_state_notify : state 0",
                     "cpu_out : state 0"):
            self.assertIn(line + "\n", events)
        self.assertEqual(self.ask(client, "trace-file flush"), "")
        shown = subprocess.run([os.path.join(BUILD, "vitrine-trace"), "show", trace], check=True,
                               stdout=subprocess.PIPE, text=True, timeout=60).stdout
        self.assertRegex(shown, r"(?m)^load_file .*bios\.bin")
        self.assertEqual(self.ask(client, "trace-event load_file off"), "")
        self.assertEqual(self.ask(client, "info trace-events load_f*"), "load_file : state 0\n")
        self.assertEqual(self.ask(client, "trace-filter pci_cfg_read offs == 0"), "")
        self.assertEqual(self.ask(client, "info trace-events pci_cfg_r*"), "pci_cfg_read : state 1\n")
        self.assertEqual(self.ask(client, "o /w 0xcf8 0x80000000"), "")
        self.assertEqual(self.ask(client, "i /xw 0xcfc"), "portl[0x0cfc] = 0x12378086\n")
        self.assertEqual(self.ask(client, "i /xh 0xcfe"), "portw[0x0cfe] = 0x1237\n")
        self.assertEqual(self.ask(client, "trace-file off"), "")
        self.assertRegex(self.ask(client, "trace-file"), r'^Trace file ".*" off\.\n$')
        shown = subprocess.run([os.path.join(BUILD, "vitrine-trace"), "show", trace], check=True,
                               stdout=subprocess.PIPE, text=True, timeout=60).stdout
        self.assertEqual(len(re.findall(r"(?m)^pci_cfg_read .*offs=0x0 val=0x12378086", shown)), 1)
        self.assertNotIn("offs=0x2", shown)
        client.sendall(b"quit\n")
        self.assertEqual(process.wait(timeout=60), 0)

    def test_two_users_of_one_line_are_refused(self):
        out = subprocess.run(self.command("-chardev", "null,id=n", "-mon", "chardev=n", "-mon",
                                          "chardev=n"), stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, timeout=60)
        self.assertEqual(out.returncode, 1)
        self.assertRegex(out.stderr, r"^vitrine: .*'n'.*\n$")


if __name__ == "__main__":
    unittest.main()
