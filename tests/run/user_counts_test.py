# SPDX-License-Identifier: MIT
#
# Numbers of instructions: what is recorded, what the engine counts, and what blocks add up to, on
# programs of the system and on tests/guest, with faults, signals and probes of memory.
#
# A record of guest_insn is made before the instruction, and one that faults is not counted: so both
# differ by the faults, which are the signals that the CPU raised, but for traps. A block that a signal
# interrupts is told with all its instructions, and what is left of it is a block again.
import os
import re
import signal
import struct
import subprocess
import tempfile
import time
import unittest
from collections import Counter

from recording import BUILD, LONG
from translated import OPTIONS, PROGRAM, environment, system_tool

GUEST = os.path.join(BUILD, "tests", "guest")
EVENTS = ("guest_insn", "guest_block", "guest_signal")
HEADER, RECORD = 24, struct.Struct("<QQQII")
INTERRUPTIONS = 30


def read(path):
    """Numbers of records, instructions of all blocks, and the signals of a recording."""
    with open(path, "rb") as file:
        data = file.read()
    names, counts, blocks, signals = {}, Counter(), 0, Counter()
    at, end = HEADER, len(data)
    while at < end:
        if data[at] == 0:  # a name
            number, length = struct.unpack_from("<QI", data, at + 8)
            names[number] = data[at + 20:at + 20 + length].decode()
            at += 20 + length
            continue
        _, number, _, length, _ = RECORD.unpack_from(data, at)
        name = names[number]
        counts[name] += 1
        if name == "guest_block":
            blocks += struct.unpack_from("<QQ", data, at + 32)[1]
        elif name == "guest_signal":
            signals[struct.unpack_from("<qq", data, at + 32)] += 1
        at += 8 + length
    return counts, blocks, signals


def is_fault(number, code):
    """Whether the CPU raised it, instead of executing the instruction."""
    return code > 0 and number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)


class Counts(unittest.TestCase):
    def run_counted(self, command, more=(), interrupted=False):
        with tempfile.TemporaryDirectory(prefix="vitrine-test-") as folder:
            options = ["-engine", "count", "-d", "jit-stats", "-D", f"{folder}/stats", *more]
            for event in EVENTS:
                options += ["-trace", f"{event},file={folder}/trace"]
            process = subprocess.Popen([PROGRAM, *OPTIONS, *options, *command], cwd=folder,
                                       env=environment(folder), stdout=subprocess.PIPE,
                                       stderr=subprocess.DEVNULL)
            if interrupted:
                self.assertEqual(process.stdout.readline(), b"ready\n")
                for _ in range(INTERRUPTIONS):
                    process.send_signal(signal.SIGUSR1)
                    time.sleep(0.005)
                process.send_signal(signal.SIGUSR2)
            process.communicate(timeout=200)
            self.assertEqual(process.returncode, 0)
            with open(f"{folder}/stats", encoding="utf-8") as file:
                executed = re.search(r"^Execution\n *guest instructions +(\d+)", file.read(), re.M)
            counts, blocks, signals = read(f"{folder}/trace")
        faults = sum(count for what, count in signals.items() if is_fault(*what))
        self.assertEqual(counts["guest_insn"], int(executed[1]) + faults)
        return counts, blocks, signals, faults

    def test_blocks_add_up(self):
        commands = [["true"], ["ls", "/"], ["expr", "6", "*", "7"]]
        if LONG:
            commands += [["sort", "/etc/passwd"], ["awk", "BEGIN{for(;i<999;i++)s+=i;print s}"]]
        for name, *arguments in commands:
            for more in ((), ("-trace", "guest_mem_after,writer=count")):
                with self.subTest(program=name, more=more):
                    counts, blocks, signals, _ = self.run_counted(
                        [system_tool(name), *arguments], more)
                    self.assertGreater(counts["guest_insn"], 10000)
                    self.assertEqual(blocks, counts["guest_insn"])
                    self.assertFalse(signals)

    def test_faults(self):
        names = ("code_fault", "signal_fault", "code_string") if LONG else ("signal_fault",)
        for name in names:
            for more in ((), ("-trace", "guest_mem_before,writer=count")):
                with self.subTest(program=name, more=more):
                    counts, blocks, _, faults = self.run_counted([os.path.join(GUEST, name)], more)
                    self.assertGreater(faults, 50)
                    self.assertGreaterEqual(blocks, counts["guest_insn"])

    def test_signals(self):
        program = ("$| = 1; $SIG{USR1} = sub { $n++ }; $SIG{USR2} = sub { $end = 1 }; "
                   "print qq(ready\\n); $t .= chr($i++ % 256) x 99 and $t = substr($t, -999) "
                   "until $end; print qq($n\\n)")
        for more in ((), ("-trace", "guest_mem_before,writer=count")):
            with self.subTest(more=more):
                counts, blocks, signals, faults = self.run_counted(
                    [system_tool("perl"), "-e", program], more, interrupted=True)
                self.assertEqual(faults, 0)
                self.assertGreater(sum(signals.values()), INTERRUPTIONS // 10)
                self.assertGreaterEqual(blocks, counts["guest_insn"])


if __name__ == "__main__":
    unittest.main()
