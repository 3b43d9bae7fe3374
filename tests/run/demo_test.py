# SPDX-License-Identifier: MIT
"""vitrine-demo as its users call it."""
import os
import signal
import subprocess
import time
import unittest

from recording import BUILD, ROOT, Case

DEMO = os.path.join(BUILD, "vitrine-demo")


def heed_signals():
    """A test that was started in the background may have inherited that some are ignored."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class Demo(Case):
    def demo(self, *args, status=0):
        done = subprocess.run([DEMO, *args], cwd=self.folder, capture_output=True, text=True,
                              timeout=60, check=False)
        self.assertEqual(done.returncode, status, done.stderr)
        return done.stdout, done.stderr

    def test_options(self):
        for args in (["--seats", "3", "--meals", "2"], ["--seats=3", "--meals=2", "--seed=9"]):
            _, text = self.demo(*args, "-trace", "meal_begin")
            self.assertEqual(text.count("\n"), 6)
            self.assertEqual({line.split()[2] for line in text.splitlines()}, {"0", "1", "2"})

    def test_complaints(self):
        for args, part in ((["--seats"], "--seats: requires an argument"),
                           (["--seats=1"], "--seats=1: expected a number from 2 to 32"),
                           (["--meals="], "--meals=: expected a number"),
                           (["--seat=3"], "--seat=3: unknown option (--help lists them)"),
                           (["more"], "more: unknown option"),
                           (["-trace"], "-trace: requires an argument"),
                           (["-trace", "events=fork_*"], "enable=fork_* switches events on"),
                           (["-trace", "fork_*,file=no/x"], "no/x: cannot be created"),
                           (["-D", "no/x"], "Error opening logfile no/x")):
            _, errors = self.demo(*args, status=1)
            self.assertTrue(errors.startswith("vitrine-demo: "), errors)
            self.assertIn(part, errors)

    def test_a_seed_file_and_simpletrace(self):
        """As the people do it: a file of names, a recording called trace-PID, simpletrace.py."""
        self.write("events", "# seen at the table\nmeal_*\n-meal_end\n")
        self.demo("--seats", "2", "--meals", "3", "-trace", "events=events")
        names = [name for name in os.listdir(self.folder) if name.startswith("trace-")]
        recording = min(names)
        self.assertEqual(sorted(names), [recording, recording + ".events"])
        script = os.path.join(ROOT, "python", "simpletrace.py")
        done = subprocess.run(["/usr/bin/python3", script, os.path.join(BUILD, "trace-events-all"),
                               self.path(recording)], stdout=subprocess.PIPE, text=True, timeout=60,
                              env=dict(os.environ, VITRINE_TRACE=os.path.join(BUILD, "vitrine-trace")),
                              check=True)
        self.assertEqual(done.stdout.count("meal_begin "), 6)
        self.assertEqual(done.stdout.count("\n"), 6)

    def test_interrupted_is_written_to_the_end(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with subprocess.Popen([DEMO, "--meals", "1000000", "-D", "text", "-trace",
                                   "*,file=it", "-trace", "*,writer=log"], cwd=self.folder,
                                  preexec_fn=heed_signals) as process:
                self.wait_for_lines("text", 300)
                process.send_signal(number)
                self.assertEqual(process.wait(timeout=60), -number)
            with open(self.path("text"), encoding="utf-8") as file:
                text = file.read().splitlines()
            shown = self.run_trace("show", "--format=log", self.path("it"))[0].decode().splitlines()
            self.assertEqual(sorted(shown), sorted(text))
            self.assertTrue(text[-1].startswith("table_cleared "), text[-1])

    def wait_for_lines(self, name, count):
        end = time.monotonic() + 30
        while time.monotonic() < end:
            if os.path.exists(self.path(name)):
                with open(self.path(name), "rb") as file:
                    if file.read().count(b"\n") >= count:
                        return
            time.sleep(0.01)
        self.fail(f"{name} does not get {count} lines")


if __name__ == "__main__":
    unittest.main()
