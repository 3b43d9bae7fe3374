# SPDX-License-Identifier: MIT
"""vitrine-trace on a terminal: the progress bar, and what is no text."""
import os
import pty
import select
import subprocess
import time
import unittest

from recording import VITRINE_TRACE, Case, event, header, mapping, words

EVENTS = 'tick(void) ""\nstep(uint64_t n) "%"PRIu64\n'
HEAD = header() + mapping(0, "tick") + mapping(1, "step")


class Terminal(Case):
    def start(self, *args, **streams):
        """Starts the program with the streams that are True on a terminal; returns it and our end."""
        ours, theirs = pty.openpty()
        streams = {name: theirs if value is True else value for name, value in streams.items()}
        process = subprocess.Popen([VITRINE_TRACE, *args], env=dict(os.environ, TERM="xterm"),
                                   **{"stdout": subprocess.DEVNULL, **streams})
        os.close(theirs)
        self.addCleanup(os.close, ours)
        return process, ours

    @staticmethod
    def seen(ours):
        out = b""
        while select.select([ours], [], [], 20)[0]:
            try:
                out += os.read(ours, 65536)
            except OSError:
                break
        return out

    def test_binary_is_kept_from_it(self):
        path = self.recording(HEAD + event(0, 5), EVENTS)
        for command in (["convert", "--to", "simple"], ["convert", "--to", "perfetto"],
                        ["convert", "--to", "pickle"], ["merge"], ["filter", "time > 0"]):
            with self.subTest(command=command):
                process, ours = self.start(*command, path, stdout=True, stderr=subprocess.PIPE)
                self.assertEqual(self.seen(ours), b"")
                self.assertIn(b"standard output is a terminal", process.stderr.read())
                process.stderr.close()
                self.assertEqual(process.wait(timeout=20), 2)
        process, ours = self.start("convert", "--to", "json", path, stdout=True)
        self.assertIn(b'"event":"tick"', self.seen(ours))
        self.assertEqual(process.wait(timeout=20), 0)

    def test_progress_of_a_slow_pipe(self):
        """Few records that come slowly get a progress bar as many do; a quick run gets none."""
        path = self.write("events", EVENTS)
        for pause, bar in ((0.15, True), (0, False)):
            with self.subTest(pause=pause):
                process, ours = self.start("stats", "--events", path, "-", stdin=subprocess.PIPE,
                                           stderr=True)
                process.stdin.write(HEAD)
                for n in range(12):
                    process.stdin.write(event(1, n, words(n)))
                    process.stdin.flush()
                    time.sleep(pause)
                process.stdin.close()
                out = self.seen(ours)
                self.assertEqual(process.wait(timeout=20), 0)
                if bar:
                    self.assertIn(b"\r\x1b[Kstandard input  0.0 MB", out)
                    self.assertTrue(out.endswith(b"\r\x1b[K"), out)
                else:
                    self.assertEqual(out, b"")


if __name__ == "__main__":
    unittest.main()
