# SPDX-License-Identifier: MIT
"""What vitrine-user counts and adds up without making events: the same as the events themselves."""
import os
import re
import tempfile
import unittest
from pathlib import Path

from recording import BUILD
from translated import PROGRAM, run, system_tool

GUESTS = Path(BUILD) / "tests" / "guest"
ENGINES = ("", "no-liveness", "random-exits", "block=3", "one-insn")

THREADS = """
import os, threading
def work():
    for i in range(20000):
        table[i % 100] += i
table = [0] * 100
threads = [threading.Thread(target=work) for _ in range(4)]
for t in threads: t.start()
for t in threads: t.join()
pid = os.fork()
if pid == 0:
    work()
    os._exit(len(os.listdir('/proc/self/task')))
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), len(os.listdir('/proc/self/task')))
"""


class Sums(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="vitrine-test-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def sums(self, trace, program, engine=""):
        """The line that a writer leaves, as a dictionary."""
        file = os.path.join(self.folder, "sums")
        engine = ["-engine", engine] if engine else []
        done = run([PROGRAM, *engine, "-trace", f"{trace},file={file}", *program], self.folder,
                   timeout=200)
        self.assertEqual(done.ending, "status 0", done.stderr)
        with open(file, encoding="ascii") as lines:
            name, count, *rest = lines.readline().split()
        return {"name": name, "count": int(count), **dict(re.fullmatch(r"(\w+)=0x(\w+)", r).groups()
                                                          for r in rest)}

    def test_counters_count_what_events_count(self):
        # Faults in the middle of blocks, and blocks of all kinds.
        program = [str(GUESTS / "code_fault")]
        for engine in ENGINES:
            for event in ("guest_block", "guest_insn"):
                with self.subTest(event=event, engine=engine):
                    counted = self.sums(f"{event},writer=count", program, engine)
                    fired = self.sums(f"{event},writer=sum", program, engine)
                    self.assertEqual(counted["name"], event)
                    self.assertGreater(counted["count"], 10000)
                    self.assertEqual(counted["count"], fired["count"])

    def test_a_stream_adds_up_to_its_events(self):
        # A filter makes events of them, one by one. Addresses differ from run to run.
        for name in ("code_fault", "code_string"):
            for engine in ENGINES[:3]:
                with self.subTest(program=name, engine=engine):
                    program = [str(GUESTS / name)]
                    stream = self.sums("guest_mem_before_exec,writer=sum", program, engine)
                    fired = self.sums("guest_mem_before_exec,writer=sum,filter=info < 1000", program,
                                      engine)
                    counted = self.sums("guest_mem_before_exec,writer=count", program, engine)
                    self.assertGreater(stream["count"], 100000)
                    self.assertEqual((stream["count"], stream["info"]),
                                     (fired["count"], fired["info"]))
                    self.assertEqual(counted["count"], stream["count"])

    def test_threads_and_children_do_not_see_the_thread_that_drains(self):
        done = run([PROGRAM, "-trace", f"guest_mem_before_exec,writer=sum,file={self.folder}/s",
                    system_tool("python3"), "-I", "-c", THREADS], self.folder, timeout=200)
        self.assertEqual((done.ending, done.stdout), ("status 0", b"1 1\n"), done.stderr)
        lines = Path(self.folder, "s").read_text(encoding="ascii").splitlines()
        self.assertGreaterEqual(len(lines), 1)
        for line in lines:
            self.assertRegex(line, r"^guest_mem_before_exec \d+ vaddr=0x[0-9a-f]+ info=0x[0-9a-f]+$")

    def test_a_stream_survives_threads_forks_and_signals(self):
        for name in ("thread_many", "process_fork", "process_spawn", "signal_timer", "signal_fault",
                     "code_modify", "code_cache"):
            with self.subTest(program=name):
                done = run([PROGRAM, "-engine", "cache=512K", "-trace",
                            f"guest_mem_before_exec,writer=sum,file={self.folder}/s",
                            str(GUESTS / name)], self.folder, timeout=200)
                self.assertEqual(done.ending, "status 0", done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
