# SPDX-License-Identifier: MIT
"""A machine that runs: an emulator with a guest, its serial line, its monitor and its screen."""

import os
import re
import selectors
import signal
import socket
import subprocess
import time

PATIENCE = 90  # seconds, for what a guest is waited for

PROMPT = "(qemu) "
# Colours, cursor movements and the like.
TERMINAL = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|[()][A-Z0-9]|[a-zA-Z=>])|\r|\x00")


class Unexpected(AssertionError):
    """The guest or the emulator did not do what the test waits for; the text has the end of what it said."""


def plain(data):
    """What a terminal's data says, without control sequences."""
    return TERMINAL.sub("", data.decode(errors="replace"))


class Line:
    """A serial line, a monitor or a debug console: what came, and what of it was looked at."""

    def __init__(self, name, read, write, alive):
        self.name = name
        self.text = ""
        self.seen = 0
        self.raw = b""
        self._read, self._write, self._alive = read, write, alive
        self._selector = selectors.DefaultSelector()
        self._selector.register(read, selectors.EVENT_READ)
        self.closed = False

    def close(self):
        self._selector.close()
        for descriptor in {self._read, self._write}:
            os.close(descriptor)

    def receive(self, timeout):
        """Takes in what there is, waiting for it at most `timeout` seconds."""
        if self.closed or not self._selector.select(timeout):
            return
        try:
            data = os.read(self._read, 65536)
        except ConnectionResetError:
            data = b""
        if not data:
            self.closed = True
        # A control sequence may come in two parts: all of it is looked at again.
        self.raw += data
        self.text = plain(self.raw)

    def send(self, text):
        try:
            os.write(self._write, text.encode())
        except BrokenPipeError:
            raise Unexpected(f"{self.name} is closed{self.end()}") from None

    def wait_for(self, pattern, timeout=PATIENCE):
        """The match of a regular expression in what comes after the last one."""
        expression = re.compile(pattern, re.MULTILINE)
        limit = time.monotonic() + timeout
        while True:
            match = expression.search(self.text, self.seen)
            if match:
                self.seen = match.end()
                return match
            left = limit - time.monotonic()
            if self.closed:
                raise Unexpected(f"{self.name} closed before {pattern!r} came{self.end()}")
            if left <= 0:
                raise Unexpected(f"{pattern!r} did not come within {timeout} s on {self.name}{self.end()}")
            self.receive(min(left, 1))
            if not self._alive():
                while not self.closed and self._selector.select(0):
                    self.receive(0)
                self.closed = True

    def end(self):
        return f"; the last that came:\n{self.text[-2500:]}"


class Machine:
    """An emulator that runs, in a process group of its own. `program` is how it is called, as a list;
    `folder` is where it runs and leaves what it writes. The first serial line is its standard output, the
    monitor a socket."""

    def __init__(self, program, folder, options, monitor=True, debug_console=False):
        self.folder = folder
        self.lines = []
        command = [*program, "-display", "none", "-serial", "stdio"]
        self._socket = os.path.join(folder, "monitor")
        command += ["-monitor", f"unix:{self._socket},server,nowait" if monitor else "none"]
        self.debug_path = os.path.join(folder, "debug-console")
        if debug_console:
            command += ["-debugcon", f"file:{self.debug_path}", "-global", "isa-debugcon.iobase=0x402"]
        self.command = [*command, *map(str, options)]
        self.errors_path = os.path.join(folder, "stderr")
        with open(self.errors_path, "wb") as errors:
            self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=errors, cwd=folder, start_new_session=True)
        self.serial = self._line("the serial line", os.dup(self.process.stdout.fileno()),
                                 os.dup(self.process.stdin.fileno()))
        self.console = None

    def _line(self, name, read, write):
        line = Line(name, read, write, lambda: self.process.poll() is None)
        self.lines.append(line)
        return line

    def close(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        while self.lines:
            self.lines.pop().close()
        self.process.stdin.close()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.close()
        if isinstance(error, Unexpected) and self.errors():
            raise Unexpected(f"{error}\nthe emulator says: {self.errors()}")

    def errors(self):
        with open(self.errors_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def debug_console(self):
        if not os.path.exists(self.debug_path):
            return ""
        with open(self.debug_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def ended(self, timeout=PATIENCE):
        """How the emulator ended: its status."""
        limit = time.monotonic() + timeout
        while self.process.poll() is None:
            if time.monotonic() > limit:
                raise Unexpected(f"the emulator has not ended after {timeout} s{self.serial.end()}")
            # A full pipe would keep it from ending.
            self.serial.receive(0.05)
            if self.serial.closed:
                time.sleep(0.02)
        return self.process.returncode

    # --- the monitor

    def monitor(self, command, timeout=PATIENCE):
        """What the monitor answers."""
        if self.console is None:
            self.console = self._connect()
            self.console.wait_for(re.escape(PROMPT), timeout)
        self.console.send(command + "\n")
        begin = self.console.seen
        self.console.wait_for(r"^" + re.escape(PROMPT), timeout)
        answer = self.console.text[begin:self.console.seen - len(PROMPT)]
        # What was typed comes back, letter by letter, in front.
        return answer.split("\n", 1)[1] if "\n" in answer else answer

    def monitor_quit(self):
        """Ends the emulator; there is no answer to that."""
        if self.console is None:
            self.monitor("info status")
        self.console.send("quit\n")

    def _connect(self):
        limit = time.monotonic() + 10
        while True:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(self._socket)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                connection.close()
                if time.monotonic() > limit or self.process.poll() is not None:
                    raise Unexpected(f"the emulator has no monitor; it says: {self.errors()}") from None
                time.sleep(0.02)
        descriptor = connection.detach()
        return self._line("the monitor", descriptor, descriptor)

    def screen(self):
        """The lines of the text screen, 80 columns, out of its memory."""
        answer = self.monitor("xp /2000hx 0xb8000")
        # Before the firmware set the card up there is no such memory.
        cells = [int(word, 16) & 0xff for word in re.findall(r"\b0x([0-9a-f]{4})\b", answer)]
        text = "".join(chr(cell) if 32 <= cell < 127 else " " for cell in cells)
        return [text[at:at + 80].rstrip() for at in range(0, len(text), 80)]

    def wait_for_screen(self, pattern, timeout=PATIENCE):
        """Looks at the screen until it shows the regular expression."""
        limit = time.monotonic() + timeout
        while True:
            lines = self.screen()
            match = re.search(pattern, "\n".join(lines))
            if match:
                return match
            if time.monotonic() > limit:
                shown = "\n".join(lines)
                raise Unexpected(f"{pattern!r} was not on the screen within {timeout} s; it shows:\n{shown}")
            time.sleep(0.3)

    # --- a Linux guest with a shell on its serial line

    def shell(self, timeout=PATIENCE):
        """Waits for the guest's shell, and makes it quiet: no echo, no prompt, no
        word about what runs beside."""
        self.serial.wait_for(r"^guest: shell$", timeout)
        self.serial.wait_for(r"/ # ", timeout)
        self.serial.send("stty -echo; set +m; PS1=; echo quiet-$((6 * 7))\n")
        self.serial.wait_for(r"^quiet-42$", timeout)

    def run(self, command, timeout=PATIENCE, status=0):
        """What a command prints in the guest's shell; None as status allows any."""
        self.serial.send(command + "; echo \"[status $?]\"\n")
        begin = self.serial.seen
        match = self.serial.wait_for(r"\[status (\d+)\]\n", timeout)
        printed = self.serial.text[begin:match.start()]
        if status is not None and int(match[1]) != status:
            raise Unexpected(f"in the guest, {command} ended with status {match[1]}: {printed}")
        return printed

    def power_off(self):
        self.serial.send("poweroff -f\n")
        return self.ended()
