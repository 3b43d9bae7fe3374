# SPDX-License-Identifier: MIT
#
# Guest probes in system mode, with the bare-metal programs of tests/bare: what they count is the same
# however blocks are made, a recording makes sense by itself, and what translated code tells is what C
# tells of the same accesses.
import os
import re
import subprocess
import unittest

from recording import BUILD, LONG, VITRINE_TRACE, Case

VITRINE = os.path.join(BUILD, "vitrine")
BARE = os.path.join(BUILD, "tests", "bare")
# They depend on no clock. What they are in: 16-bit and 32-bit code, 64-bit code, all of them and
# paging, rings, virtual-8086 mode.
PROGRAMS = ("forbidden32", "forbidden64", "syscall64", "gate32") + (("switch", "v86", "debug64", "real") if LONG else ())
ENGINES = ("count", "count,one-insn", "count,no-chain,block=2", "count,no-tlb") + (("count,cache=256K",) if LONG else ())
ACCESSES = ("guest_mem_before_exec", "guest_mem_after")
BRANCHES = ("guest_branch", "guest_call", "guest_ret")
DELIVERED = ("guest_interrupt", "guest_exception", "guest_iret")


def run(name, *options, timeout=120):
    """What vitrine says of the program, all of it."""
    done = subprocess.run(
        [VITRINE, "-cpu", "max", "-display", "none", "-nodefaults", "-no-reboot", "-debugcon", "null",
         "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-bios", os.path.join(BARE, name + ".bin"),
         *options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        timeout=timeout, check=False)
    return done.stdout.decode("latin-1")


def tracing(events, writer):
    return [word for event in events for word in ("-trace", f"{event},{writer}")]


def counts(name, events, *options, more=""):
    """How often, by event; and how many instructions where that is counted."""
    out = run(name, *tracing(events, "writer=count" + more), *options)
    found = {event: int(number) for event, number in re.findall(r"^(\w+) (\d+)$", out, re.M)}
    executed = re.search(r"^Execution\n  guest instructions +(\d+)$", out, re.M)
    if executed:
        found["executed"] = int(executed[1])
    return {key: value for key, value in found.items() if key in (*events, "executed")}


class SystemProbes(Case):
    def record(self, name, events, *options, more=""):
        """Records of the events in order: names and fields, which are numbers where they look so."""
        path = os.path.join(self.folder, "trace")
        out = run(name, *tracing(events, f"file={path}{more}"), *options)
        self.assertTrue(os.path.exists(path), out)
        lines = subprocess.run([VITRINE_TRACE, "show", path], stdout=subprocess.PIPE, check=True)
        os.unlink(path)
        records = []
        for line in lines.stdout.decode().splitlines():
            event, _, _, *fields = line.split()
            pairs = (field.partition("=") for field in fields)
            records.append((event, {key: int(value, 0) if value.startswith("0x") else value
                                    for key, _, value in pairs}))
        return records

    def test_counts_depend_on_nothing(self):
        """The number of instructions, of records of them, and of all others but blocks."""
        events = ("guest_insn", *ACCESSES, *BRANCHES)
        for name in PROGRAMS:
            first = counts(name, events, "-engine", ENGINES[0], "-d", "jit-stats")
            self.assertEqual(len(first), len(events) + 1, name)
            self.assertGreater(first["executed"], 50000)
            self.assertGreaterEqual(first["guest_insn"], first["executed"])
            # What is begun and not executed has raised an exception.
            raised = counts(name, ("guest_exception",)).get("guest_exception", 0)
            self.assertLessEqual(first["guest_insn"] - first["executed"], raised, name)
            for engine in ENGINES[1:]:
                self.assertEqual(counts(name, events, "-engine", engine, "-d", "jit-stats"), first,
                                 f"{name} {engine}")

    def test_counters_and_records(self):
        """What is counted by blocks is what records count to."""
        for name in PROGRAMS[:2]:
            by_block = counts(name, ("guest_insn", "guest_block", "exec_tb"))
            self.assertEqual(by_block["exec_tb"], by_block["guest_block"], name)
            records = self.record(name, ("guest_insn", "guest_block"))
            for event in ("guest_insn", "guest_block"):
                self.assertEqual(sum(record[0] == event for record in records), by_block[event], name)

    def test_one_instruction_a_block(self):
        found = counts("forbidden64", ("guest_insn", "guest_block", "exec_tb"), "-engine", "one-insn")
        self.assertEqual(len(set(found.values())), 1, found)

    def test_instructions_follow_each_other(self):
        """The next instruction is the one behind, or where a branch or an event has led."""
        for name in (*PROGRAMS[:2], PROGRAMS[3]): # SYSCALL leads elsewhere without a word
            here, left, checked = None, True, 0
            for event, fields in self.record(name, ("guest_insn", *BRANCHES, *DELIVERED)):
                if event == "guest_insn":
                    if not left:
                        self.assertEqual(fields["pc"], here, f"{name}: {checked} instructions are right")
                        checked += 1
                    here, left = fields["pc"] + fields["size"], False
                    at = fields["pc"]
                elif event in BRANCHES:
                    self.assertEqual(fields["pc"], at, name)
                    if event == "guest_call":
                        self.assertEqual(fields["ret"], here)
                    if event == "guest_branch" and not fields["taken"]:
                        self.assertEqual(fields["target"], here)
                    here = fields["target"]
                else: # it tells of where the segment is not
                    left = True
            self.assertGreater(checked, 50000, name)

    def test_values(self):
        """What is read is what was stored there last; before comes before after."""
        for name in PROGRAMS[1:3]:
            memory, known, pending = {}, 0, []
            events = (*ACCESSES, "guest_insn", *DELIVERED)
            for event, fields in self.record(name, events):
                if event == "guest_insn":
                    pending = []
                elif event in DELIVERED:
                    memory = {} # what an event pushes is told by nobody
                elif event == "guest_mem_before_exec":
                    pending.append((fields["vaddr"], fields["info"]))
                else:
                    access = (fields["vaddr"], fields["info"])
                    self.assertIn(access, pending)
                    pending.remove(access)
                    size = 1 << (fields["info"] & 15)
                    value = sum(fields["value" + (str(i) if i else "")] << 64 * i for i in range(4))
                    self.assertEqual(value >> 8 * size, 0)
                    for i in range(size):
                        byte = value >> 8 * i & 255
                        if not fields["info"] & 64 and fields["vaddr"] + i in memory:
                            self.assertEqual(byte, memory[fields["vaddr"] + i], f"{name} {fields}")
                            known += 1
                        memory[fields["vaddr"] + i] = byte
            self.assertGreater(known, 10000, name)

    def test_same_by_code_and_by_c(self):
        events = ("guest_insn", *ACCESSES, *BRANCHES)
        for name in PROGRAMS if LONG else PROGRAMS[1:2]:
            by_code = self.record(name, events)
            by_c = self.record(name, events, "-engine", "no-tlb")
            for number, (one, other) in enumerate(zip(by_code, by_c)):
                self.assertEqual(one, other, f"{name}: record {number}")
            self.assertEqual(len(by_code), len(by_c), name)

    def test_filters(self):
        """What is decided when code is made, what in it, and what when records are handed on."""
        every = counts("syscall64", ("guest_insn", "guest_mem_before_exec"))
        for event, one, other in (("guest_insn", "cpl == 3", "cpl == 0"),
                                  ("guest_insn", "pc < 0x2800", "pc >= 0x2800"),
                                  ("guest_insn", 'mode == "long64"', 'mode != "long64"'),
                                  ("guest_mem_before_exec", "vaddr < 0x8000", "vaddr >= 0x8000"),
                                  ("guest_mem_before_exec", "vaddr & 4 && info != 2", "!(vaddr & 4 && info != 2)")):
            parts = [counts("syscall64", (event,), more=f",filter={text}").get(event, 0)
                     for text in (one, other)]
            self.assertEqual(sum(parts), every[event], (one, parts))
            self.assertTrue(all(parts), (one, parts))

    def test_flags_survive_filters(self):
        """A condition that is asked between an instruction that sets flags and one that reads them."""
        plain = counts("switch", ("guest_insn",))
        out = run("switch", "-trace", "guest_insn,writer=count", "-trace",
                  "guest_mem_before_exec,writer=count,filter=vaddr * 3 > 0x7000 && vaddr & 8")
        self.assertEqual(int(re.search(r"^guest_insn (\d+)$", out, re.M)[1]), plain["guest_insn"])

    def test_context(self):
        modes, levels = set(), set()
        for _, fields in self.record("syscall64", ("guest_block",), more=",context=cpl+mode+cr3+vcpu"):
            modes.add(fields["ctx_mode"])
            levels.add(fields["ctx_cpl"])
            self.assertEqual(fields["ctx_vcpu"], 0)
            self.assertTrue(fields["ctx_mode"] != "long64" or fields["ctx_cr3"] > 0)
        self.assertEqual(levels, {0, 3})
        self.assertGreaterEqual(modes, {"real", "prot32", "long64"})

    def test_events_of_the_cpu(self):
        found = counts("forbidden32", ("guest_cpu_enter", "guest_cpu_reset", "guest_cpu_exit"))
        self.assertEqual(found, {"guest_cpu_enter": 1, "guest_cpu_reset": 1, "guest_cpu_exit": 1})

    def test_logs(self):
        path = os.path.join(self.folder, "log")
        run("forbidden64", "-d", "in_asm,exec,nochain,op,out_asm", "-D", path)
        with open(path, encoding="utf-8") as file:
            log = file.read()
        self.assertRegex(log, r"IN: \n0xfffffff0:  ea [0-9a-f ]+ljmpw ")
        self.assertRegex(log, r"Trace 0: 0x[0-9a-f]+ \[00000000ffff0000/00000000fffffff0/[0-9a-f]{8}/[0-9a-f]{8}\]")
        self.assertRegex(log, r"(?s)IN: \n0x0000[0-9a-f]+:  [0-9a-f ]+ movq .*OUT: \[size=\d+\]")
        entered = set(re.findall(r"^Trace 0: \S+ \[[0-9a-f]+/([0-9a-f]+)/", log, re.M))
        made = {f"{int(pc, 16):016x}" for pc in re.findall(r"^IN: \n0x([0-9a-f]+):", log, re.M)}
        self.assertLessEqual(entered, made)


if __name__ == "__main__":
    unittest.main()
