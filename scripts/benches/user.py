# SPDX-License-Identifier: MIT
"""How fast vitrine-user is: whole programs, natively, under vitrine-user and under Debian's
qemu-x86_64, one after the other in one run.

VITRINE_USER names another translator to measure. BENCH_USER, a few names of programs, measures only
those; goals for all of them are left out then."""

import hashlib
import math
import os
import random
import shutil
import subprocess
from pathlib import Path

from measure import Failed, run
from rows import Row, Series, at_most, at_most_times

REPEATS = 3  # of each program; qemu-x86_64 runs each once
SHORT_REPEATS = 15

# Options of vitrine-user for the two rows about probes; a row without options is left out. {file} is
# a file in a scratch folder.
COUNT_BLOCKS = ("-trace", "guest_block,writer=count,file={file}")
# Every address is stored, and read by a second thread, which adds it up: writer=count would not have
# to look at it.
STREAM_ADDRESSES = ("-trace", "guest_mem_before_exec,writer=sum,file={file}")
PROBED = ("interpreter", "gzip", "sha256", "calls")  # what they are measured with

QEMU = "qemu-x86_64"
PATH = "/usr/bin:/bin"  # the user's own may hold scripts of these names

OWN = ("nbody", "spectral", "vector_sse", "vector_avx", "sieve", "calls", "interpreter", "indirect",
       "sha256", "threads")

PYTHON = """
import collections, hashlib, json, re
class Node:
    def __init__(self, key):
        self.key, self.left, self.right = key, None, None
    def insert(self, key):
        side = 'left' if key < self.key else 'right'
        node = getattr(self, side)
        if node is None:
            setattr(self, side, Node(key))
        else:
            node.insert(key)
    def depth(self):
        return 1 + max(n.depth() if n else 0 for n in (self.left, self.right))
x, root = 1, Node(1 << 31)
for _ in range(120000):
    x = x * 1664525 + 1013904223 & 0xffffffff
    root.insert(x)
words = collections.Counter(re.findall('[0-9]{3}', ' '.join(str(i * i) for i in range(400000))))
table = json.loads(json.dumps([{'a': i, 'b': [i / 7] * 5} for i in range(90000)]))
print(root.depth(), words.most_common(3), sum(row['b'][3] for row in table))
print(sum(i * j % 7 for i in range(2000) for j in range(2000)), hashlib.md5(str(words).encode()).hexdigest())
"""

SQL = """
create table t(a integer primary key, b text, c real);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 650000)
  insert into t select i, printf('%08x', i * 2654435761 % 4294967296), i / 7.0 from n;
create index tb on t(b);
select count(*), sum(c), max(b) from t where b like '%f%';
select sum(length(x.b || y.b)) from t x join t y on y.a = x.a * 7919 % 650000 where x.a % 2 = 0;
select substr(b, 1, 2) as p, count(*), avg(c) from t group by p order by 2 desc limit 5;
update t set c = c + 1 where a % 3 = 0;
select sum(c), count(distinct substr(b, 3, 3)) from t;
"""


class Program:
    """`command` is what to run; `short` programs have a goal of their own."""

    def __init__(self, name, command, short=False):
        self.name = name
        self.command = [str(word) for word in command]
        self.short = short


def tool(name):
    found = shutil.which(name, path=PATH)
    if found is None:
        raise Failed(f"{name} is missing: scripts/install-deps bench gets it")
    return found


def text(size):
    """Text that packs about as well as sources do."""
    source = random.Random(6)
    known = ["".join(source.choices("etaoinshrdlu_(){};=", k=source.randint(2, 10)))
             for _ in range(3000)]
    lines = [" ".join(source.choices(known, k=9)) for _ in range(90000)]
    out, length = [], 0
    while length < size:
        out.append(f"{length:x} {source.choice(lines)}")
        length += len(out[-1]) + 1
    return "\n".join(out)[:size].encode()


def c_source(functions):
    """C that a compiler has to work for: loops, switches, structures, calls."""
    parts = ["struct node { struct node *next; int key; double weight; };\n"
             "double sin(double); void *malloc(unsigned long); int printf(const char *, ...);\n"]
    for i in range(functions):
        parts.append(f"""
static double step_{i}(struct node *list, const int *table, int n)
{{
    double sum = {i}.5;
    for (int j = 0; j < n; j++) {{
        switch (table[j] % {3 + i % 9}) {{
        case 0: sum += table[j] * {i % 17}; break;
        case 1: sum -= sin(sum) / ({i % 5} + 1 + j); break;
        case 2: for (struct node *p = list; p; p = p->next) sum += p->weight * (p->key ^ {i}); break;
        default: sum = sum > 1e6 ? sum / {i % 7 + 2} : sum + (table[j] << {i % 13}); break;
        }}
        if (list && list->key == j + {i}) {{
            list->weight += sum;
            list = list->next;
        }}
    }}
    return sum;
}}
double run_{i}(struct node *l, int *t, int n) {{ t[n / 2] += {i}; return step_{i}(l, t, n){
    f" + run_{i - 1}(l, t, n - 1)" if i else ""}; }}
""")
    return "".join(parts)


def all_programs(build, scratch):
    inputs = {"text-gzip": text(46 << 20), "text-xz": text(5 << 20), "work.py": PYTHON.encode(),
              "work.sql": SQL.encode(), "large.c": c_source(150).encode(),
              "small.c": c_source(1).encode()}
    for name, content in inputs.items():
        (scratch / name).write_bytes(content)
    cc1 = subprocess.run([tool("gcc"), "-print-prog-name=cc1"], stdout=subprocess.PIPE, text=True,
                         check=True).stdout.strip()
    compiler = [cc1, "-quiet", "-O2", "-o", scratch / "out.s"]
    found = [Program(name, [build / "bench/user" / name]) for name in OWN]
    return found + [
        Program("gzip", [tool("gzip"), "-6", "-n", "-c", scratch / "text-gzip"]),
        Program("xz", [tool("xz"), "-4", "-T1", "-c", scratch / "text-xz"]),
        Program("python3", [tool("python3"), "-I", scratch / "work.py"]),
        Program("sqlite3", [tool("sqlite3"), "-batch", ":memory:", f".read {scratch / 'work.sql'}"]),
        Program("cc1, large file", [*compiler, scratch / "large.c"]),
        Program("cc1, small file", [*compiler, scratch / "small.c"], short=True),
        Program("python3 -c pass", [tool("python3"), "-I", "-c", "pass"], short=True),
        Program("git --version", [tool("git"), "--version"], short=True),
        Program("true", [tool("true")], short=True),
    ]


def job(prefix, program, scratch, expected, turns=None):
    """Runs the program below `prefix`; what it prints must be the same every time."""
    left = [turns]

    def work():
        if left[0] is not None:
            if left[0] == 0:
                return {}
            left[0] -= 1
        with open(scratch / "printed", "wb+") as out:
            wall, processor, _ = run([*prefix, *program.command], out)
            out.seek(0)
            digest = hashlib.md5(out.read()).hexdigest()
        if expected.setdefault(program.name, digest) != digest:
            raise Failed(f"{' '.join([*map(str, prefix), *program.command])}: does not print what it "
                         "prints natively")
        return {"wall": [wall], "processor": [processor]}
    return work


def geometric(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def seconds(samples, name, runner):
    return min(samples[f"{name}, {runner}"]["wall"])


def program_row(program, samples):
    def times(runner):
        factor, unit = (1e3, "ms") if program.short else (1, "s")
        return Series(unit, [value * factor for value in samples[f"{program.name}, {runner}"]["wall"]],
                      use_best=True)
    goal = (at_most_times(5, 30, "at most 5 times native and 30 ms") if program.short else
            at_most_times(2.5, 0, "at most 2.5 times native"))
    qemu = times("qemu")
    return Row(program.name, times("translated"), "native", times("native"), goal,
               f"{QEMU} {qemu.text()}, {qemu.figure / times('native').figure:.1f} times native")


def summary_rows(long, samples):
    def ratios(runner):
        return {p.name: seconds(samples, p.name, runner) / seconds(samples, p.name, "native")
                for p in long}
    own, qemu = ratios("translated"), ratios("qemu")
    worst = max(own, key=own.get)
    return [
        Row("geometric mean of those of a second and longer", Series("x", [geometric(own.values())]),
            goal=at_most(1.5, "at most 1.5 times native"),
            remark=f"{QEMU} {geometric(qemu.values()):.2f}; it should end at 1.12"),
        Row("the slowest of them", Series("x", [own[worst]]),
            goal=at_most(2.5, "at most 2.5 times native"), remark=worst),
    ]


def probe_rows(programs, samples):
    rows = []
    for name, runner, beside, options, limit in (
            ("blocks counted by a probe", "counted", "translated", COUNT_BLOCKS, 1.15),
            ("every address streamed", "streamed", "native", STREAM_ADDRESSES, 4)):
        if options and programs:
            found = [seconds(samples, p.name, runner) / seconds(samples, p.name, beside)
                     for p in programs]
            rows.append(Row(name, Series("x", [geometric(found)]),
                            goal=at_most(limit, f"at most {limit} times {beside}"),
                            remark="geometric mean of " + ", ".join(p.name for p in programs)))
    return rows


def statistics(translator, programs, scratch):
    """What the engine tells of itself at the end (-d jit-stats): text by program."""
    found = {}
    for program in programs:
        log = scratch / "jit-stats"
        run([translator, "-d", "jit-stats", "-D", log, *program.command])
        found[program.name] = log.read_text(errors="replace").splitlines()
    return found


def programs(build, scratch, interleaved):
    translator = Path(os.environ.get("VITRINE_USER", build / "vitrine-user"))
    qemu = tool(QEMU)
    picked = os.environ.get("BENCH_USER", "").split()
    chosen = [p for p in all_programs(build, scratch) if not picked or p.name.split(",")[0] in picked]
    expected = {}
    runners = {"native": ([], None), "translated": ([translator], None), "qemu": ([qemu], 1)}
    samples = {}
    probed = [p for p in chosen if p.name in PROBED]
    for short, repeats in ((False, REPEATS), (True, SHORT_REPEATS)):
        jobs = {}
        for program in (p for p in chosen if p.short == short):
            for runner, (prefix, turns) in runners.items():
                jobs[f"{program.name}, {runner}"] = job(prefix, program, scratch, expected,
                                                        None if short else turns)
            for runner, options in (("counted", COUNT_BLOCKS), ("streamed", STREAM_ADDRESSES)):
                if options and program in probed:
                    words = [word.format(file=scratch / "stream") for word in options]
                    jobs[f"{program.name}, {runner}"] = job([translator, *words], program, scratch,
                                                            expected)
        samples.update(interleaved(jobs, repeats))
    long = [p for p in chosen if not p.short and seconds(samples, p.name, "native") >= 1]
    rows = [program_row(p, samples) for p in chosen]
    if not picked:
        rows += summary_rows(long, samples)
    rows += probe_rows(probed, samples)
    if "VITRINE_USER" not in os.environ:
        samples["jit-stats"] = statistics(translator, chosen, scratch)
    return samples, rows
