# SPDX-License-Identifier: MIT
#
# LTTng: the provider library by itself, and sessions of an LTTng daemon that switch probes on and
# off. The daemon is started here unless one runs already.
import os
import re
import signal
import subprocess
import time
import unittest

from recording import BUILD, Case, tool

DEMO = os.path.join(BUILD, "vitrine-demo")
for needed in ("lttng", "lttng-sessiond", "babeltrace2"):
    tool(needed)


class Library(Case):
    def demo(self, *args, env=None, status=0):
        done = subprocess.run([DEMO, *args], cwd=self.folder, capture_output=True, text=True,
                              timeout=60, env=dict(os.environ, **(env or {})))
        self.assertEqual(done.returncode, status, done.stderr[-2000:])
        return done

    def test_it_is_loaded_only_when_asked_for(self):
        for args, loaded in (([], False), (["-trace", "writer=lttng"], True)):
            with self.subTest(args=args):
                # The dynamic linker tells which files it looks for.
                done = self.demo(*args, env={"LD_DEBUG": "files"})
                self.assertEqual("libvitrine-lttng.so" in done.stderr, loaded)
                self.assertEqual("liblttng-ust.so" in done.stderr, loaded)

    def test_nobody_listens_without_a_session(self):
        done = self.demo("-trace", "writer=lttng")
        self.assertEqual(done.stderr, "")

    def test_a_missing_or_foreign_library_is_told(self):
        missing = self.path("nothing.so")
        done = self.demo("-trace", "writer=lttng", env={"VITRINE_LTTNG": missing}, status=1)
        self.assertIn(missing, done.stderr)
        foreign = self.write("text.so", "no library")
        done = self.demo("-trace", "writer=lttng", env={"VITRINE_LTTNG": foreign}, status=1)
        self.assertIn("cannot be loaded", done.stderr)

    def test_a_file_has_no_meaning(self):
        done = self.demo("-trace", "fork_*,writer=lttng,file=x", status=1)
        self.assertIn("writer=lttng writes no file", done.stderr)


class Sessions(Case):
    @classmethod
    def setUpClass(cls):
        cls.daemon = None
        if subprocess.run(["lttng", "--no-sessiond", "list"], capture_output=True,
                          timeout=30).returncode == 0:
            return
        cls.daemon = subprocess.Popen(["lttng-sessiond", "--no-kernel"],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                      start_new_session=True)
        deadline = time.monotonic() + 20
        while subprocess.run(["lttng", "--no-sessiond", "list"], capture_output=True,
                             timeout=30).returncode:
            if cls.daemon.poll() is not None or time.monotonic() > deadline:
                cls.tearDownClass()
                raise unittest.SkipTest("no LTTng session daemon can run here")
            time.sleep(0.1)

    @classmethod
    def tearDownClass(cls):
        if cls.daemon and cls.daemon.poll() is None:
            cls.daemon.send_signal(signal.SIGTERM)
            cls.daemon.wait(20)

    def lttng(self, *args):
        done = subprocess.run(["lttng", "--no-sessiond", *args], capture_output=True, text=True,
                              timeout=60)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def session(self, *events):
        """Starts a session with these events."""
        self.name = "vitrine-test-%d-%d" % (os.getpid(), time.monotonic_ns())
        self.lttng("create", self.name, "-o", self.path("out"))
        self.addCleanup(subprocess.run, ["lttng", "--no-sessiond", "destroy", self.name],
                        capture_output=True, timeout=60)
        for event in events:
            self.lttng("enable-event", "-u", "qemu:" + event, "-s", self.name)
        self.lttng("start", self.name)

    def recorded(self):
        """Stops the session; the lines of its recording."""
        self.lttng("stop", self.name)
        done = subprocess.run(["babeltrace2", self.path("out")], capture_output=True, text=True,
                              timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.splitlines()

    def start_demo(self, meals):
        demo = subprocess.Popen([DEMO, "--meals", str(meals), "-trace", "writer=lttng"],
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.addCleanup(lambda: (demo.poll() is None and demo.kill(), demo.wait(),
                                 demo.stderr.close()))
        return demo

    def test_a_session_that_is_there_gets_everything(self):
        self.session("meal_*", "philosopher_state", "table_set")
        subprocess.run([DEMO, "--seats", "3", "--meals", "20", "-trace", "writer=lttng"],
                       check=True, capture_output=True, timeout=60)
        lines = self.recorded()
        names = [re.search(r"qemu:(\w+)", line)[1] for line in lines]
        self.assertEqual(names.count("table_set"), 1)
        self.assertEqual(names.count("meal_begin"), 60)
        self.assertEqual(names.count("meal_end"), 60)
        self.assertEqual(names.count("fork_take"), 0)
        self.assertRegex(lines[0], r"table_set: .*\{ seats = 3, meals = 20 \}$")
        states = [line for line in lines if "philosopher_state" in line]
        self.assertRegex(states[0], r'\{ seat = \d, name = "\w+", old = \d, new = \d \}$')

    def test_other_recordings_go_on_beside_it(self):
        self.session("meal_*")
        subprocess.run([DEMO, "--seats", "2", "--meals", "10", "-trace", "writer=lttng", "-trace",
                        "fork_*,file=" + self.path("s")], check=True, capture_output=True,
                       timeout=60)
        self.assertEqual(len(self.recorded()), 40)
        out, _ = self.run_trace("show", self.path("s"))
        self.assertEqual(len(out.splitlines()), 2 * 2 * 10 * 2)

    def test_the_list_of_tracepoints(self):
        demo = self.start_demo(1_000_000)
        deadline = time.monotonic() + 20
        listed = ""
        while f"PID: {demo.pid} " not in listed and time.monotonic() < deadline:
            time.sleep(0.1)
            listed = self.lttng("list", "-u")
        mine = listed.split(f"PID: {demo.pid} ", 1)[-1].split("\nPID:")[0]
        found = set(re.findall(r"qemu:(\w+)", mine))
        with open(os.path.join(BUILD, "trace-events-all"), encoding="utf-8") as file:
            declared = {m[1] for m in (re.match(r"(?:disable )?(\w+)\(", line) for line in file)
                        if m}
        self.assertEqual(found, declared)

    def test_a_session_may_come_and_go(self):
        demo = self.start_demo(1_000_000)
        time.sleep(0.3)
        self.assertIsNone(demo.poll())
        self.session("meal_begin")
        time.sleep(0.5)
        lines = self.recorded()
        self.assertGreater(len(lines), 5)
        self.assertTrue(all("qemu:meal_begin" in line for line in lines))
        self.lttng("destroy", self.name)
        self.assertIsNone(demo.poll())


if __name__ == "__main__":
    unittest.main()
