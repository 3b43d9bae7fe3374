# SPDX-License-Identifier: MIT
"""What is mapped where is told again to recordings that begin late, so that they can be shown with
names. (With toggle=: user_toggle_test.py.)"""
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
import unittest

from recording import BUILD

VITRINE_USER = os.path.join(BUILD, "vitrine-user")
VITRINE_TRACE = os.path.join(BUILD, "vitrine-trace")
PROGRAM = os.path.join(BUILD, "tests", "signalled")


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="vitrine-test-")
        self.addCleanup(shutil.rmtree, self.folder)

    def begin(self, *options):
        """Starts the program and connects to the monitor."""
        path = os.path.join(self.folder, "monitor")
        env = {name: value for name, value in os.environ.items() if not name.startswith("QEMU_")}
        self.process = subprocess.Popen(
            [VITRINE_USER, "-monitor", "unix:" + path, *options, PROGRAM, "work"], env=env,
            cwd=self.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(self.process.stdout.close)
        self.addCleanup(self.process.stderr.close)
        self.addCleanup(self.process.wait, timeout=60)
        self.addCleanup(self.process.kill)
        self.assertEqual(self.process.stdout.readline(), "ready\n")
        self.socket = socket.socket(socket.AF_UNIX)
        self.addCleanup(self.socket.close)
        self.socket.settimeout(60)
        self.socket.connect(path)
        self.answer()

    def answer(self):
        text = b""
        while not text.endswith(b"(qemu) "):
            text += self.socket.recv(65536)
        return text.decode().removesuffix("(qemu) ")

    def ask(self, *lines):
        for line in lines:
            self.socket.sendall(line.encode() + b"\n")
            self.assertEqual(self.answer(), "", line)

    def end(self):
        time.sleep(0.2)
        self.process.terminate()
        out, err = self.process.stdout.read(), self.process.stderr.read()
        self.assertEqual((self.process.wait(timeout=60), out, err), (0, "done\n", ""))

    def show(self, name):
        done = subprocess.run([VITRINE_TRACE, "show", "--symbols", name], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
                              cwd=self.folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def assert_named(self, name):
        shown = self.show(name)
        calls = re.findall(r"guest_call .*target=(\S+)", shown)
        self.assertGreater(len(calls), 10)
        for target in calls:
            self.assertIn("<", target)
        self.assertTrue(any("nanosleep" in target for target in calls))
        self.assertRegex(shown, r"guest_module .*path=\S*/signalled")
        self.assertRegex(shown, r"guest_module .*path=\S*/libc\.so")

    def test_events_that_are_switched_on_late(self):
        self.begin()
        self.ask("trace-file set late", "trace-file on", "trace-event guest_module on",
                 "trace-event guest_call on")
        self.end()
        self.assert_named("late")

    def test_the_order_does_not_matter(self):
        self.begin()
        self.ask("trace-file set late", "trace-file on", "trace-event guest_call on",
                 "trace-event guest_module on")
        self.end()
        self.assertRegex(self.show("late"), r"guest_module .*path=\S*/signalled")

    def test_a_file_that_is_set_later(self):
        self.begin("-trace", "guest_module*,file=first", "-trace", "guest_call,file=first")
        time.sleep(0.1)
        self.ask("trace-file set second")
        self.end()
        self.assert_named("first")
        self.assert_named("second")

    def test_a_file_that_is_switched_on_again(self):
        self.begin("-trace", "guest_module*,file=first", "-trace", "guest_call,file=first")
        self.ask("trace-file off", "trace-file set second", "trace-file on")
        self.end()
        self.assert_named("second")

    def test_the_newest_records(self):
        """A flight recording has forgotten what was told at the beginning."""
        options = []
        for name in ("guest_module*", "guest_call", "guest_mem_before"):
            options += ["-trace", name + ",file=flight,mode=flight,size=256k"]
        self.begin(*options)
        time.sleep(0.8)
        self.assertFalse("guest_module " in self.show("flight"))
        self.ask("trace-event guest_mem_before off", "trace-event guest_call off",
                 "trace-event guest_call on")
        self.end()
        self.assertTrue(re.search(r"guest_module .*path=\S*/signalled", self.show("flight")))

    def test_nobody_asked_for_them(self):
        self.begin("-trace", "guest_call,file=calls")
        self.ask("trace-event guest_ret on")
        self.end()
        shown = self.show("calls")
        self.assertIn("guest_ret ", shown)
        self.assertFalse("guest_module" in shown)


if __name__ == "__main__":
    unittest.main()
