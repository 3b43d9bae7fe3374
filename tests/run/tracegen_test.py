# SPDX-License-Identifier: MIT
#
# vitrine-tracegen: complaints with their place and caret, the C code it makes (compiled with the
# compilers there are, linked, its static probes looked at), merged lists, LTTng providers, tapsets.
import ctypes
import os
import re
import shutil
import subprocess
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("VITRINE_BUILD", os.path.join(ROOT, "build"))
TRACEGEN = os.path.join(BUILD, "vitrine-tracegen")
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wstrict-prototypes", "-Wmissing-prototypes"]

EVENTS = """\
#@enum side 0=left 1=right
#@flags how 0x1=fast 0x2=slow -1=any
# philosopher.c
#@args which:side mode:how
fork_take(int seat, unsigned which, long mode, const char *who) "seat %d fork %u %lx (%s)"
disable fork_polish(int seat, const char *with) "seat %d with %s"
think(void) ""
sit(void)
say(char *text) "\\t\\"%s\\" \\\\ 100%%"
vcpu step(uint64_t pc) "pc=0x%016"PRIx64
# table.c
all(uint8_t a, int8_t b, uint16_t c, int16_t d, uint32_t e, int32_t f, int64_t g, size_t h, \
bool i, uintptr_t j) "%02x %d %x %d %u %d %"PRId64" %zu %d 0x%"PRIxPTR
rest(ssize_t values, ptrdiff_t lttng, long long events, unsigned long long group, char name, \
unsigned char err, const void *index, char **list, unsigned long time) \
"%zd %td %lld %llu %c %x %p %p %lu"
done(int width, uint64_t value) "%0*" PRIx64
"""

# Enough of the trace room to link with: says what was fired.
PROGRAM = """\
#include "trace-demo.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
void trace_fire(struct trace_event *event, const uint64_t *values)
{
    printf("%s", event->decl->name);
    for (unsigned i = 0; i < event->decl->nargs; i++) {
        if (event->decl->arg[i].kind == TRACE_STRING) {
            printf(" %s", (const char *)(uintptr_t)values[i]);
        } else {
            printf(" 0x%llx", (unsigned long long)values[i]);
        }
    }
    puts("");
}
void trace_group_register(struct trace_group *group)
{
    printf("group %s %u\\n", group->name, group->count);
    for (unsigned i = 0; i < group->count; i++) {
        const struct trace_decl *d = group->event[i]->decl;
        printf("%s:%u %s%s%u strings=%x [%s]", d->source ? d->source : "-", d->line,
               d->disabled ? "disabled " : "", d->vcpu ? "vcpu " : "", d->nargs, d->strings,
               d->format);
        for (unsigned a = 0; a < d->nargs; a++) {
            printf(" %s %s %d/%u", d->arg[a].type, d->arg[a].name, (int)d->arg[a].kind,
                   d->arg[a].bits);
            if (d->arg[a].words) {
                printf("=%s:%s", d->arg[a].words->name, d->arg[a].words->row[0].word);
            }
        }
        puts("");
    }
}
void trace_format_check(const char *format, ...) __attribute__((format(printf, 1, 2)));
void trace_format_check(const char *format, ...)
{
    (void)format;
}
static int evaluated;
static int number(void)
{
    return ++evaluated;
}
static void lttng_think(void)
{
    puts("lttng");
}
int main(void)
{
    trace_fork_take(number(), 1, -1, "nobody");
    trace_fork_polish(number(), "cloth");
    printf("evaluated %d\\n", evaluated);
    printf("state %d %d\\n", trace_event_get_state_backends(TRACE_FORK_TAKE),
           trace_event_get_state_backends(TRACE_FORK_POLISH));
    _TRACE_FORK_TAKE_EVENT.enable->half.listeners = 1;
    _TRACE_FORK_TAKE_EVENT.on = true;
    _TRACE_ALL_EVENT.enable->half.usdt = 1;
    _TRACE_THINK_EVENT.enable->half.usdt = 1;
    _TRACE_THINK_EVENT.lttng = lttng_think;
    trace_fork_take(number(), 1, -1, "me");
    trace_all(1, -1, 2, -2, 3, -3, -4, 5, true, 6);
    trace_think();
    printf("state %d %d\\n", trace_event_get_state_backends(TRACE_FORK_TAKE),
           trace_event_get_state(TRACE_FORK_TAKE));
    return 0;
}
"""

PRINTED = """\
group demo 9
philosopher.c:5 4 strings=8 [seat %d fork %u %lx (%s)] int seat 1/32 unsigned which 0/32=side:left \
long mode 1/64=how:fast const char * who 4/64
philosopher.c:6 disabled 2 strings=2 [seat %d with %s] int seat 1/32 const char * with 4/64
philosopher.c:7 0 strings=0 []
philosopher.c:8 0 strings=0 []
philosopher.c:9 1 strings=1 [\t"%s" \\ 100%%] char * text 4/64
philosopher.c:10 vcpu 2 strings=0 [cpu=%p pc=0x%016lx] void * __cpu 3/64 uint64_t pc 0/64
table.c:12 10 strings=0 [%02x %d %x %d %u %d %ld %zu %d 0x%lx] uint8_t a 0/8 int8_t b 1/8 \
uint16_t c 0/16 int16_t d 1/16 uint32_t e 0/32 int32_t f 1/32 int64_t g 1/64 size_t h 0/64 \
bool i 2/8 uintptr_t j 0/64
table.c:13 9 strings=0 [%zd %td %lld %llu %c %x %p %p %lu] ssize_t values 1/64 ptrdiff_t lttng 1/64 \
long long events 1/64 unsigned long long group 0/64 char name 1/8 unsigned char err 0/8 \
const void * index 3/64 char ** list 3/64 unsigned long time 0/64
table.c:14 2 strings=0 [%0*lx] int width 1/32 uint64_t value 0/64
"""

MERGED = """\
# demo
# philosopher.c
#@enum side 0=left 1=right
#@flags how 0x1=fast 0x2=slow 0xffffffffffffffff=any
#@args which:side mode:how
fork_take(int seat, unsigned which, long mode, const char *who) "seat %d fork %u %lx (%s)"
disable fork_polish(int seat, const char *with) "seat %d with %s"
think(void) ""
sit(void) ""
say(char *text) "\\t\\"%s\\" \\\\ 100%%"
step(void *cpu, uint64_t pc) "cpu=%p pc=0x%016"PRIx64
# table.c
all(uint8_t a, int8_t b, uint16_t c, int16_t d, uint32_t e, int32_t f, int64_t g, size_t h, \
bool i, uintptr_t j) "%02x %d %x %d %u %d %"PRId64" %zu %d 0x%"PRIxPTR
rest(ssize_t values, ptrdiff_t lttng, long long events, unsigned long long group, char name, \
unsigned char err, const void *index, char **list, unsigned long time) \
"%zd %td %lld %llu %c %x %p %p %lu"
done(int width, uint64_t value) "%0*"PRIx64
"""


def compilers():
    return [cc for cc in ("gcc", "clang") if shutil.which(cc)]


class TracegenTest(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="tracegen-test-")
        self.addCleanup(shutil.rmtree, self.dir)

    def write(self, name, text):
        path = os.path.join(self.dir, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8", newline="") as f:
            f.write(text)
        return path

    def read(self, name):
        with open(os.path.join(self.dir, name), encoding="utf-8") as f:
            return f.read()

    def tracegen(self, *args):
        return subprocess.run([TRACEGEN, *args], cwd=self.dir, capture_output=True, text=True,
                              timeout=60)

    def must(self, *args):
        done = self.tracegen(*args)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def make_demo(self, text=EVENTS):
        self.write("demo/trace-events", text)
        return self.must("--group", "demo", "--header", "trace-demo.h", "--source", "trace-demo.c",
                         "demo/trace-events")

    def compile(self, cc, *args):
        done = subprocess.run([cc, "-std=gnu11", "-D_GNU_SOURCE", *WARNINGS,
                               "-I" + os.path.join(ROOT, "src"), "-I.", "-O1", *args],
                              cwd=self.dir, capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, cc + ":\n" + done.stderr)

    # ---- complaints ----

    def check_error(self, text, line, column, says):
        self.write("bad/trace-events", text)
        done = self.tracegen("--check", "bad/trace-events")
        self.assertEqual(done.returncode, 1, text)
        first, shown, caret = done.stderr.split("\n")[:3]
        self.assertTrue(first.startswith(f"bad/trace-events:{line}:{column}: "), first)
        self.assertIn(says, first)
        source = text.split("\n")[line - 1]
        self.assertEqual(shown, "  " + source)
        self.assertEqual(caret, "  " + re.sub(r"[^\t]", " ", source[: column - 1]) + "^")

    def test_errors_point_at_the_place(self):
        self.check_error('ok(void) ""\nbad(int x, struct y *z) "%d %p"\n', 2, 12, "'struct'")
        self.check_error('\tbad(int x)\t"%s"\n', 1, 14, "'%s' does not fit argument 'x'")
        self.check_error('bad(int x) "%d', 1, 12, "no end")
        self.check_error('bad(int if) "%d"\n', 1, 9, "keyword")
        self.check_error('bogus bad(void) ""\n', 1, 1, "unknown property 'bogus'")
        self.check_error('a(void) ""\na(void) ""\n', 2, 1, "declared before")
        self.check_error('a(uint64_t x) "%"PRIz64\n', 1, 18, "unknown macro 'PRIz64'")
        self.check_error('a(void) "x\\n"\n', 1, 11, "newline")
        self.check_error('#@enum s 0=a\n#@args y:s\na(int x) "%d"\n', 2, 8, "no argument 'y'")

    def test_caret_counts_characters_not_bytes(self):
        self.write("trace-events", 'a(int x) "\u00e4\u00f6 %s"\n')
        done = self.tracegen("--check", "trace-events")
        lines = done.stderr.split("\n")
        self.assertEqual(lines[0].split(": ")[0], "trace-events:1:16")
        self.assertEqual(lines[2].index("^"), lines[1].index("%"))

    def test_errors_leave_nothing(self):
        self.write("trace-events", 'a(int x) "%s"\n')
        done = self.tracegen("--group", "g", "--header", "g.h", "--source", "g.c", "trace-events")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(os.listdir(self.dir), ["trace-events"])
        self.write("trace-events", 'a(int x) "%d"\n')
        done = self.tracegen("--group", "g", "--header", "g.h", "--source", "no/g.c", "trace-events")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no/g.c: cannot write the file: No such file", done.stderr)
        self.assertEqual(os.listdir(self.dir), ["trace-events"])
        done = self.tracegen("--check", "nothing-here")
        self.assertEqual(done.returncode, 1)
        self.assertIn("nothing-here: cannot open", done.stderr)

    def test_capitals_alone_do_not_tell_apart(self):
        self.write("trace-events", 'ab(void) ""\naB(void) ""\n')
        done = self.tracegen("--group", "g", "--header", "g.h", "--source", "g.c", "trace-events")
        self.assertEqual(done.returncode, 1)
        self.assertIn("trace-events:2:1: event 'aB' differs from 'ab' of line 1", done.stderr)

    def test_incomplete_conversion_warns(self):
        done = self.make_demo('gen(uint64_t cs, uint64_t pc) "cs=0x%016 pc=0x%016"\n')
        lines = done.stderr.split("\n")
        self.assertTrue(lines[0].startswith("demo/trace-events:1:37: warning: incomplete conversion "
                                            "'%016' takes its type from argument 'cs'"), lines[0])
        self.assertEqual(lines[2].index("^"), lines[1].index("%"))
        self.assertIn('.format = "cs=0x%016lx pc=0x%016lx"', self.read("trace-demo.c"))
        self.compile("gcc", "-c", "trace-demo.c")

    def test_inputs_are_not_overwritten(self):
        text = 'a(int x) "%d"\n'
        self.write("trace-events", text)
        os.symlink("trace-events", os.path.join(self.dir, "link"))
        for args in (["--merge", "trace-events"], ["--merge", "link"],
                     ["--group", "g", "--header", "trace-events", "--source", "g.c"],
                     ["--group", "g", "--header", "g.h", "--source", "./trace-events"],
                     ["--stap", "trace-events", "--binary", "/bin/x"]):
            done = self.tracegen(*args, "trace-events")
            self.assertEqual(done.returncode, 1, args)
            self.assertIn("is an input and would be overwritten", done.stderr)
            self.assertEqual(self.read("trace-events"), text)
            self.assertEqual(sorted(os.listdir(self.dir)), ["link", "trace-events"])

    def test_usage(self):
        for args in ([], ["--check"], ["--group", "g", "x"], ["--merge", "a", "--check", "x"],
                     ["--lttng-header", "h", "x"], ["--stap", "s", "x"], ["--bogus"], ["x"],
                     ["--group", "g", "--header", "h", "--source", "s", "x", "y"]):
            done = self.tracegen(*args)
            self.assertEqual(done.returncode, 2, args)
            self.assertIn("usage: vitrine-tracegen", done.stderr)
        self.assertIn("--merge OUT", self.must("--help").stdout)
        self.assertRegex(self.must("--version").stdout, r"^vitrine-tracegen \S")

    # ---- C code ----

    def test_code_compiles_fires_and_has_probes(self):
        self.make_demo()
        self.write("main.c", PROGRAM)
        for cc in compilers():
            with self.subTest(cc=cc):
                self.compile(cc, "trace-demo.c", "main.c", "-o", "program-" + cc)
                self.check_program("./program-" + cc)

    def check_program(self, program):
        done = subprocess.run([program], cwd=self.dir, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0)
        expected = PRINTED + "\n".join([
            "evaluated 0",
            "state 0 0",
            "fork_take 0x1 0x1 0xffffffffffffffff me",
            "all 0x1 0xffffffffffffffff 0x2 0xfffffffffffffffe 0x3 0xfffffffffffffffd "
            "0xfffffffffffffffc 0x5 0x1 0x6",
            "lttng",
            "think",
            "state 1 1",
            ""])
        self.assertEqual(done.stdout, expected)
        notes = subprocess.run(["readelf", "-n", program], cwd=self.dir, capture_output=True,
                               text=True, timeout=60).stdout
        probes = re.findall(r"Provider: (\S+)\s+Name: (\S+)\s+Location: \S+ Base: \S+ "
                            r"Semaphore: 0x([0-9a-f]+)\s+Arguments: (.*)", notes)
        names = {}
        for provider, name, semaphore, arguments in probes:
            self.assertEqual(provider, "qemu")
            self.assertNotEqual(int(semaphore, 16), 0)
            names[name] = len(arguments.split())
        self.assertEqual(names, {"fork_take": 4, "think": 0, "sit": 0, "say": 1, "step": 2,
                                 "all": 10, "rest": 9, "done": 2})
        self.assertEqual(len({semaphore for _, _, semaphore, _ in probes}), len(probes))

    def test_group_names_and_includes(self):
        self.write("trace-events", 'a(void) ""\n')
        self.must("--group", "Src/hw-x.y", "--header", "out.h", "--source", "out.c", "trace-events")
        self.assertIn("#ifndef TRACE_SRC_HW_X_Y_H\n", self.read("out.h"))
        self.assertIn('.name = "src_hw_x_y"', self.read("out.c"))
        self.assertIn('#include "out.h"', self.read("out.c"))
        self.assertIn("/* a: trace-events:1 */", self.read("out.h"))

    def test_files_are_named_from_the_root_on(self):
        path = self.write("demo/trace-events", 'a(void) ""\n')
        for root in (self.dir, self.dir + "/"):
            self.must("--root", root, "--merge", "all", path)
            self.assertIn("\n# demo\na(void)", self.read("all"))
        self.must("--root", self.dir, "--group", "g", "--header", "g.h", "--source", "g.c", path)
        self.assertIn("from demo/trace-events. Changes", self.read("g.h"))
        self.assertIn("/* a: demo/trace-events:1 */", self.read("g.c"))
        self.must("--merge", "all", "../" + os.path.basename(self.dir) + "/demo/trace-events")
        self.assertIn("# " + os.path.basename(self.dir) + "/demo\n", self.read("all"))
        self.write("demo/trace-events", "bad\n")
        done = self.tracegen("--root", self.dir, "--check", path)
        self.assertTrue(done.stderr.startswith(path + ":1:1: "), done.stderr)

    def test_an_empty_file_is_a_group_too(self):
        self.make_demo("# nothing yet\n")
        for cc in compilers():
            self.compile(cc, "-c", "trace-demo.c", "-o", "empty.o")

    def test_code_is_readable(self):
        self.make_demo()
        for name in ("trace-demo.h", "trace-demo.c"):
            text = self.read(name)
            self.assertTrue(text.startswith("/* Made by vitrine-tracegen from demo/trace-events."))
            for line in text.split("\n"):
                self.assertLessEqual(len(line), 100, line)

    # ---- lists ----

    def test_merged_list_is_read_back(self):
        self.write("demo/trace-events", EVENTS)
        self.write("src/other/trace-events",
                   '#@enum side 0=left 1=right\n#@args s:side\nother(int s) "%d"\n')
        self.must("--merge", "all", "demo/trace-events", "src/other/trace-events")
        text = self.read("all")
        self.assertIn(MERGED, text)
        self.assertTrue(text.endswith('\n# src/other\n#@args s:side\nother(int s) "%d"\n'), text)
        self.must("--check", "all")
        self.must("--merge", "again", "all")
        body = [line for line in text.split("\n") if not line.startswith("# ")]
        again = [line for line in self.read("again").split("\n") if not line.startswith("# ")]
        self.assertEqual([x for x in body if x], [x for x in again if x])

    def test_merging_finds_what_two_files_disagree_on(self):
        self.write("a/trace-events", '#@enum s 0=x\n#@args v:s\na(int v) "%d"\n')
        self.write("b/trace-events", '#@enum s 0=y\n')
        done = self.tracegen("--merge", "all", "a/trace-events", "b/trace-events")
        self.assertEqual(done.returncode, 1)
        self.assertTrue(done.stderr.startswith("b/trace-events:1:8: the set 's' was declared"))
        self.write("b/trace-events", 'b(void) ""\na(void) ""\n')
        done = self.tracegen("--merge", "all", "a/trace-events", "b/trace-events")
        self.assertEqual(done.returncode, 1)
        self.assertTrue(done.stderr.startswith("b/trace-events:2:1: event 'a' was declared before"))
        self.assertFalse(os.path.exists(os.path.join(self.dir, "all")))

    # ---- others ----

    def test_tapset(self):
        self.write("trace-events", 'a(int x, char *next) "%d %s"\ndisable b(void) ""\nc(void) ""\n')
        self.must("--stap", "out.stp", "--binary", "/usr/bin/thing", "trace-events")
        text = self.read("out.stp")
        self.assertIn('probe qemu.system.x86_64.a = process("/usr/bin/thing").mark("a")\n'
                      "{\n    x = $arg1;\n    next_ = $arg2;\n}\n", text)
        self.assertIn('qemu.system.x86_64.c = process("/usr/bin/thing").mark("c")\n{\n}\n', text)
        self.assertNotIn('mark("b")', text)
        self.must("--stap", "out.stp", "--binary", "x", "--probe-prefix", "my.own", "trace-events")
        self.assertIn("probe my.own.a = ", self.read("out.stp"))

    def test_lttng_provider(self):
        self.write("demo/trace-events", EVENTS)
        self.must("--lttng-header", "provider.h", "--lttng-source", "provider.c",
                  "demo/trace-events")
        header = self.read("provider.h")
        for field in ('lttng_ust_field_string(who, who ? who : "(null)")',
                      "lttng_ust_field_integer(int32_t, seat, seat)",
                      "lttng_ust_field_integer_hex(int64_t, mode, mode)",
                      "lttng_ust_field_integer_hex(uint64_t, pc, pc)",
                      "lttng_ust_field_integer_hex(uint64_t, list, (uintptr_t)list)",
                      "lttng_ust_field_integer(uint8_t, i, i)"):
            self.assertIn(field, header)
        for cc in compilers():
            self.compile(cc, "-shared", "-fPIC", "provider.c", "-o", f"./{cc}.so", "-llttng-ust",
                         "-ldl")
        self.check_provider(os.path.join(self.dir, "gcc.so"))

    def check_provider(self, path):
        class Row(ctypes.Structure):
            _fields_ = [("name", ctypes.c_char_p), ("fire", ctypes.c_void_p),
                        ("live", ctypes.CFUNCTYPE(ctypes.c_int))]
        library = ctypes.CDLL(path)
        rows = (Row * 10).in_dll(library, "vitrine_lttng_rows")
        names = [row.name for row in rows[:9]]
        self.assertEqual(names, [b"fork_take", b"fork_polish", b"think", b"sit", b"say", b"step",
                                 b"all", b"rest", b"done"])
        self.assertIsNone(rows[9].name)
        self.assertEqual([row.live() for row in rows[:9]], [0] * 9)
        fire = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_uint, ctypes.c_long, ctypes.c_char_p)
        fire(rows[0].fire)(1, 2, 3, None)  # nobody listens: nothing happens, nothing breaks


if __name__ == "__main__":
    unittest.main()
