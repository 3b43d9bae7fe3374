# SPDX-License-Identifier: MIT
#
# vitrine-trace show --symbols and --lines: addresses of a recording with the names of the program
# that was mapped there, against nm and the source of a program that is compiled here.
import json
import os
import re
import subprocess
import unittest

from recording import Case, event, header, mapping, text, tool, words

EVENTS = """\
guest_module(uint64_t start, uint64_t end, uint64_t offset, const char *path) "0x%lx-0x%lx 0x%lx %s"
guest_module_gone(uint64_t start, uint64_t end) "0x%lx-0x%lx"
guest_insn(uint64_t pc) "pc 0x%lx"
guest_mem(uint64_t pc, uint64_t vaddr, unsigned size) "pc 0x%lx vaddr 0x%lx size %u"
other(uint32_t pc, int64_t number) "%u %ld"
nowhere(uint64_t number) "%lu"
"""
MODULE, GONE, INSN, MEM, OTHER, NOWHERE = range(6)

SOURCE = """\
int global_counter = 5;
static int __attribute__((noinline)) inner(int x)
{
    return x * global_counter;
}
int __attribute__((noinline)) outer(int x)
{
    return inner(x) + 1;
}
int main(int argc, char **argv)
{
    (void)argv;
    return outer(argc) == 99;
}
"""
BIAS = 0x7f1200000000


class Symbols(Case):
    @classmethod
    def setUpClass(cls):
        for name in ("gcc", "nm", "readelf", "addr2line"):
            tool(name)

    def setUp(self):
        super().setUp()
        self.write("prog.c", SOURCE)
        self.prog = self.path("prog")
        subprocess.run(["gcc", "-g", "-O1", "-fpie", "-pie", "-fno-inline", "-o", self.prog,
                        self.path("prog.c")], check=True, timeout=60)
        self.address = {}
        listing = subprocess.run(["nm", "-S", self.prog], capture_output=True, text=True,
                                 check=True).stdout
        for line in listing.splitlines():
            found = re.fullmatch(r"([0-9a-f]+) (?:[0-9a-f]+ )?\w (\S+)", line)
            if found:
                self.address[found[2]] = BIAS + int(found[1], 16)

    def modules(self, path=None, bias=BIAS, pid=1):
        """guest_module records for each loadable segment, as mmap would be told of them."""
        listing = subprocess.run(["readelf", "-lW", self.prog], capture_output=True, text=True,
                                 check=True).stdout
        path = os.fsencode(path or self.prog)
        out = b""
        for line in listing.splitlines():
            row = line.split()
            if row and row[0] == "LOAD":
                offset, address, size = (int(row[i], 16) for i in (1, 2, 4))
                start = bias + (address & ~0xfff)
                end = bias + ((address + size + 0xfff) & ~0xfff)
                out += event(MODULE, 0, words(start, end, offset & ~0xfff) + text(path), pid)
        self.assertTrue(out)
        return out

    def make(self, content, name="trace"):
        names = [line.split("(")[0] for line in EVENTS.splitlines()]
        head = header() + b"".join(mapping(i, name) for i, name in enumerate(names))
        return self.recording(head + content, EVENTS, name)

    def show(self, *args, status=0):
        out, errors = self.run_trace("show", *args, status=status)
        self.assertEqual(errors, "")
        return out.decode()

    def insn(self, address, pid=1):
        return event(INSN, 0, words(address), pid)

    def judged_line(self, address):
        """FILE:LINE by addr2line."""
        out = subprocess.run(["addr2line", "-se", self.prog, hex(address - BIAS)],
                             capture_output=True, text=True, check=True).stdout
        return re.match(r"prog\.c:\d+", out)[0]

    def shown(self, content, *args):
        return self.show("--symbols", "--event", "guest_insn", *args, self.make(content))

    def test_names(self):
        outer, inner = self.address["outer"], self.address["inner"]
        out = self.shown(self.modules() + self.insn(outer) + self.insn(inner + 1) +
                         self.insn(0x1234) + self.insn(BIAS + 0x3fffffff))
        self.assertEqual(out, f"guest_insn 0.000 pid=1 pc={outer:#x}<prog!outer>\n"
                              f"guest_insn 0.000 pid=1 pc={inner + 1:#x}<prog!inner+0x1>\n"
                              f"guest_insn 0.000 pid=1 pc=0x1234\n"
                              f"guest_insn 0.000 pid=1 pc={BIAS + 0x3fffffff:#x}\n")

    def test_without_the_option(self):
        outer = self.address["outer"]
        out = self.show("--event", "guest_insn", self.make(self.modules() + self.insn(outer)))
        self.assertEqual(out, f"guest_insn 0.000 pid=1 pc={outer:#x}\n")

    def test_lines(self):
        places = [self.address[name] + offset for name in ("outer", "inner", "main")
                  for offset in (0, 5)]
        trace = self.make(self.modules() + b"".join(self.insn(place) for place in places))
        out = self.show("--lines", "--event", "guest_insn", trace)
        self.assertEqual([re.search(r"\((.*)\)>$", line)[1] for line in out.splitlines()],
                         [self.judged_line(place) for place in places])

    def test_data_and_arguments(self):
        """Every address is named, other numbers and the module events themselves are not."""
        outer, counter = self.address["outer"], self.address["global_counter"]
        trace = self.make(self.modules() + event(MEM, 0, words(outer + 2, counter, 4)) +
                          event(OTHER, 0, words(outer & 0xffffffff, outer)))
        self.assertEqual(self.show("--symbols", "--event", "guest_mem", "--event", "other", trace),
                         f"guest_mem 0.000 pid=1 pc={outer + 2:#x}<prog!outer+0x2> "
                         f"vaddr={counter:#x}<prog!global_counter> size=0x4\n"
                         f"other 0.000 pid=1 pc={outer & 0xffffffff:#x} number={outer:#x}\n")
        self.assertNotIn("<", self.show("--symbols", "--event", "guest_module", trace))

    def test_log_format(self):
        outer = self.address["outer"]
        trace = self.make(self.modules() + event(MEM, 0, words(outer + 2, 5, 4)))
        self.assertEqual(self.show("--symbols", "--format=log", "--event", "guest_mem", trace),
                         f"guest_mem pc {outer + 2:#x} vaddr 0x5 size 4 pc=<prog!outer+0x2>\n")

    def test_order_and_unmapping(self):
        """A name is what was mapped when the record was made."""
        outer = self.address["outer"]
        gone = event(GONE, 0, words(BIAS, BIAS + 0x100000))
        out = self.shown(self.insn(outer) + self.modules() + self.insn(outer) + gone +
                         self.insn(outer))
        self.assertEqual([("<" in line) for line in out.splitlines()], [False, True, False])

    def test_processes(self):
        """Each has its own modules; one that told nothing has those of the one before."""
        outer = self.address["outer"]
        other = outer + 0x10000000
        out = self.shown(self.modules(pid=1) + self.modules(bias=BIAS + 0x10000000, pid=2) +
                         self.insn(outer, 1) + self.insn(other, 1) + self.insn(outer, 2) +
                         self.insn(other, 2) + self.insn(other, 3))
        self.assertEqual([("<" in line) for line in out.splitlines()],
                         [True, False, False, True, True])

    def test_missing_and_foreign_files(self):
        """A file that is gone or is no ELF still has a name and an offset."""
        junk = self.write("junk", b"\x7fELF\x02\x01\x01" + bytes(range(256)) * 30)
        for path, name in (("/nonexistent/libx.so.1", "libx.so.1"), (junk, "junk"),
                           (self.folder, os.path.basename(self.folder)), ("[vdso]", "[vdso]")):
            content = event(MODULE, 0, words(0x5000, 0x7000, 0x2000) + text(path.encode()))
            out = self.shown(content + self.insn(0x5123))
            self.assertEqual(out, f"guest_insn 0.000 pid=1 pc=0x5123<{name}+0x2123>\n")

    def test_cut_program(self):
        """A program that ends early, at any place, gives names or none, but always a line."""
        with open(self.prog, "rb") as file:
            content = file.read()
        outer = self.address["outer"]
        for size in (0, 1, 16, 63, 64, 100, 1000, 4096, len(content) // 2, len(content) - 100):
            path = self.write("cut", content[:size])
            out = self.show("--lines", "--event", "guest_insn",
                            self.make(self.modules(path) + self.insn(outer)))
            self.assertTrue(out.startswith(f"guest_insn 0.000 pid=1 pc={outer:#x}<cut"), out)

    def test_filter_fields(self):
        outer, inner = self.address["outer"], self.address["inner"]
        trace = self.make(self.modules() + self.insn(outer) + self.insn(inner) + self.insn(7) +
                          event(MEM, 0, words(inner, 0, 1)))
        out = self.show("--symbols", "--filter", 'symbol == "inner" && module =~ "pro*"', trace)
        self.assertEqual(out.count("\n"), 2)
        self.assertEqual(out.count("<prog!inner>"), 2)
        out = self.show("--symbols", "--filter", 'module == ""', "--event", "guest_insn", trace)
        self.assertEqual(out, "guest_insn 0.000 pid=1 pc=0x7\n")
        errors = self.run_trace("show", "--filter", 'symbol == "inner"', trace, status=2)[1]
        self.assertIn("has no argument or context field 'symbol'", errors)

    def test_filter_command(self):
        """What filter --symbols writes can be shown with names again."""
        outer, inner = self.address["outer"], self.address["inner"]
        trace = self.make(self.modules() + self.insn(outer) + self.insn(inner))
        kept = self.path("kept")
        self.run_trace("filter", "--symbols", 'symbol == "outer"', trace, "-o", kept)
        out = self.show("--symbols", kept)
        self.assertEqual(out.count("guest_insn"), 1)
        self.assertIn("<prog!outer>\n", out)
        self.assertIn("guest_module ", out)

    def test_non_pie_and_stripped(self):
        subprocess.run(["gcc", "-O1", "-fno-inline", "-no-pie", "-rdynamic", "-s", "-o", self.prog,
                        self.path("prog.c")], check=True, timeout=60)
        listing = subprocess.run(["nm", "-D", self.prog], capture_output=True, text=True,
                                 check=True).stdout
        outer = int(re.search(r"^([0-9a-f]+) T outer$", listing, re.M)[1], 16)
        out = self.shown(self.modules(bias=0) + self.insn(outer + 3))
        self.assertEqual(out, f"guest_insn 0.000 pid=1 pc={outer + 3:#x}<prog!outer+0x3>\n")


class Stats(Symbols):
    """vitrine-trace stats --by module, symbol, line; the tests of Symbols are not run again."""

    def table(self, trace, *args):
        """({place: sum}, the other values)"""
        out, errors = self.run_trace("stats", "--json", *args, trace)
        self.assertEqual(errors, "")
        found = json.loads(out)
        sums = [row["sum"] for row in found["places"]]
        self.assertEqual(sums, sorted(sums, reverse=True))
        for row in found["places"]:
            self.assertAlmostEqual(row["share"], row["sum"] / found["all"], places=5)
        return {row["name"]: row["sum"] for row in found["places"]}, found

    def some(self):
        outer, inner = self.address["outer"], self.address["inner"]
        return self.make(self.modules() + self.modules(bias=BIAS + 0x10000000, pid=2) +
                         self.insn(outer) * 3 + self.insn(outer + 1) + self.insn(inner) * 2 +
                         self.insn(inner + 0x10000000, 2) + self.insn(0x99) +
                         event(NOWHERE, 0, words(outer)) +
                         event(MEM, 0, words(outer, 5, 8)) + event(MEM, 0, words(inner, 5, 4)))

    def test_places(self):
        trace = self.some()
        sums, found = self.table(trace, "--by=symbol")
        self.assertEqual(sums, {"prog!outer": 5, "prog!inner": 4, "(no name)": 1})
        self.assertEqual((found["all"], found["nowhere"], found["sum"]), (10, 1, None))
        self.assertEqual(self.table(trace, "--by=module")[0], {"prog": 9, "(no name)": 1})
        sums, found = self.table(trace, "--by=symbol", "--sum=size")
        self.assertEqual(sums, {"prog!outer": 8, "prog!inner": 4})
        self.assertEqual((found["sum"], found["all"]), ("size", 12))

    def test_places_by_line(self):
        place = self.address["outer"]
        sums, _ = self.table(self.make(self.modules() + self.insn(place) * 2), "--by=line")
        self.assertEqual(sums, {f"prog!outer ({self.judged_line(place)})": 2})

    def test_places_change(self):
        """What an address was called is forgotten when modules go."""
        outer = self.address["outer"]
        gone = event(GONE, 0, words(BIAS, BIAS + 0x100000))
        sums, _ = self.table(self.make(self.modules() + self.insn(outer) * 3 + gone +
                                       self.insn(outer)), "--by=symbol")
        self.assertEqual(sums, {"prog!outer": 3, "(no name)": 1})

    def test_places_without_names_are_many(self):
        content = b"".join(event(MODULE, 0, words(n << 16, (n << 16) + 4096, 0) + text(b"/x/m%d" % n)) +
                           self.insn(n << 16) for n in range(1, 3001))
        sums, found = self.table(self.make(content), "--by=module")
        self.assertEqual((len(sums), set(sums.values()), found["all"]), (3000, {1}, 3000))

    def test_places_as_text(self):
        out = self.run_trace("stats", "--by=symbol", "-n2", self.some())[0].decode()
        rows = [line.split(maxsplit=2) for line in out.splitlines()]
        self.assertEqual(rows[:4], [["records", "share", "symbol"], ["5", "50.00%", "prog!outer"],
                                    ["4", "40.00%", "prog!inner"], ["1", "10.00%", "(1 more)"]])
        self.assertIn("1          records that do not tell where\n", out)

    def test_places_complaints(self):
        trace = self.some()
        for args, status, part in (
                (["--by=place"], 2, "expected event, thread, module, symbol or line"),
                (["--by=symbol", "--sort=name"], 2, "always sorted by count"),
                (["--by=symbol", "--limit=x"], 2, "--limit"),
                (["--sum=size"], 2, "--sum goes with --by module, symbol or line"),
                (["--by=event", "-n4"], 2, "--limit goes with --by module, symbol or line"),
                (["--by=symbol", "--sum=colour"], 1, "no record has an argument 'colour'")):
            self.assertIn(part, self.run_trace("stats", *args, trace, status=status)[1])
        other = self.make(event(NOWHERE, 0, words(1)), "other")
        self.assertIn("no record tells where it was made",
                      self.run_trace("stats", "--by=symbol", other, status=1)[1])


def load_tests(loader, _standard, _pattern):
    """Stats inherits helpers, and tests with them: only its own count."""
    suite = loader.loadTestsFromTestCase(Symbols)
    suite.addTests(Stats(name) for name in dir(Stats) if name.startswith("test_places"))
    return suite


if __name__ == "__main__":
    unittest.main()
