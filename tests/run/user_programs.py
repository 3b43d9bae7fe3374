# SPDX-License-Identifier: MIT
#
# The real programs that vitrine-user must run as the CPU does: the rows of user_programs_test.py.
#
# A row runs a command in a fresh folder with some files. What it prints and how it ends must be the
# same natively and translated; `normalize` takes out what may differ from run to run. `prepare` runs
# natively in both cases, before.
import random
import textwrap

from translated import without_addresses, without_times


class Row:
    def __init__(self, name, command, stdin=b"", files=None, prepare="", long=False, stderr=True,
                 stdout=True, normalize=None, timeout=60):
        self.name = name
        self.command = command if isinstance(command, list) else ["bash", "-c",
                                                                  textwrap.dedent(command)]
        self.stdin = stdin
        self.files = {key: textwrap.dedent(text) if isinstance(text, str) else text
                      for key, text in (files or {}).items()}
        self.prepare = textwrap.dedent(prepare)
        self.long = long
        self.stderr = stderr
        self.stdout = stdout
        self.normalize = normalize or (lambda data: data)
        self.timeout = timeout


def words(count):
    """Text that packs and sorts like text does."""
    source = random.Random(4)
    known = ["".join(source.choices("etaoinshrdlu", k=source.randint(2, 9))) for _ in range(700)]
    lines = []
    for number in range(count):
        picked = source.choices(known, k=8)
        lines.append(f"{number % 97}:{' '.join(picked)},{source.randint(0, 10 ** 6)}")
    return ("\n".join(lines) + "\n").encode()


TEXT = words(4000)
NOISE = random.Random(5).randbytes(150_000)
DATA = TEXT + NOISE + bytes(100_000)

# --- bash

BASH = [
    Row("bash_pipes", """
        seq 1 3000 | grep 7 | sort -r | head -40 | tr '7' 'x' | tail -3
        false | true | (exit 5); echo "${PIPESTATUS[@]}"
        set -o pipefail; (exit 3) | cat; echo $?
        yes | head -3; cat <(echo one) <(echo two)
        """),
    Row("bash_subshells", """
        x=1; (x=2; echo $x); echo $x; y=$(echo $(echo $(echo deep))); echo "$y"
        f() { local i=$1; ((i == 0)) && { echo bottom; return 7; }; f $((i - 1)); }
        f 200; echo $?
        for i in {1..20}; do (exit $i) || printf '%d ' $?; done; echo
        { echo a; exit 9; } | cat; echo ${PIPESTATUS[0]}
        coproc tr a-z A-Z; echo upper >&${COPROC[1]}; exec {COPROC[1]}>&-; cat <&${COPROC[0]}
        """),
    Row("bash_traps", """
        trap 'echo caught USR1' USR1; trap 'echo leaving; exit 12' EXIT; trap 'echo err $?' ERR
        kill -USR1 $$; (trap - EXIT; kill -TERM $BASHPID); echo $?
        false; trap '' INT; kill -INT $$; echo alive
        (trap 'echo inner; exit 3' TERM; kill -TERM $BASHPID; sleep 5); echo $?
        """),
    Row("bash_here_documents", """
        cat <<END
        $((6 * 7)) $(echo command) ${BASH_VERSION%%.*}
        END
        cat <<'END' | sed 's/a/b/g'
        $not expanded, a
        END
        read -r one two <<< "first second third"; echo "$two|$one"
        while IFS=: read -r a b; do echo "$b-$a"; done <<< $'1:2\\n3:4'
        """),
    Row("bash_jobs", """
        sleep 0.05 & first=$!; (exit 7) & wait $!; echo $?; wait $first; echo $?
        sleep 20 & kill -TERM $!; wait $!; echo $?
        bash -c 'kill -SEGV $$'; echo $?; bash -c 'ulimit -c 0; kill -ABRT $$'; echo $?
        for i in 1 2 3 4 5 6; do (sleep 0.0$i; exit $i) & done; wait; echo all
        timeout 0.1 sleep 10; echo $?
        """, stderr=False),
    Row("bash_arithmetic_and_text", """
        a=(); for ((i = 0; i < 3000; i++)); do ((s += i * i % 17, a[i % 50] += i)); done
        echo $s ${a[*]:0:10} ${#a[@]}; declare -A m; for w in b a c; do m[$w]=${w^^}; done
        for k in a b c; do printf '%s=%s ' $k ${m[$k]}; done; x=abcabc; echo ${x/b/-} ${x//b/+} ${x:2:3}
        [[ foo123 =~ ([a-z]+)([0-9]+) ]] && echo ${BASH_REMATCH[2]}; printf '%05.2f %x %q\\n' 3.14159 255 "a b"
        case $x in a*c) echo matches;; esac; echo $((2 ** 40 / 7 - (1 << 5)))
        """),
    Row("bash_ends_by_signal", ["bash", "-c", "ulimit -c 0; kill -SEGV $$"]),
    Row("bash_ends_with_status", ["bash", "-c", "exit 77"]),
    Row("bash_not_found", "no_such_program_anywhere; echo $?; ./data; echo $?", files={"data": "text"}),
]

# --- small programs

COREUTILS = [
    Row("coreutils_text", """
        sort t | md5sum; sort -t, -k2n t | tail -2; sort -u -t: -k1,1n t | head -3; cut -d: -f1 t | uniq -c | head -3
        tr a-z A-Z < t | head -1; wc t; nl t | sed -n 7p; tac t | head -1; fold -w 20 t | head -3
        paste -d+ t t | head -1; head -c 100 t | od -c | head -3; expand t | cksum; fmt t | sum
        join -t: <(seq 5 | sed 's/$/:x/') <(seq 3 9 | sed 's/$/:y/'); comm <(seq 4) <(seq 3 6)
        shuf --random-source=t -n 3 t; csplit -s t 100 200 && wc -l xx*; split -l 1000 t part. && ls part.*
        tsort <<< 'a b b c'; pr -h x -D now t | sed -n 1,5p; ptx <<< 'one two' 
        """, files={"t": TEXT}),
    Row("coreutils_sums", "md5sum d; sha1sum d; sha224sum d; sha256sum d; sha384sum d; sha512sum d; b2sum d; "
        "cksum d; base64 d | md5sum; base32 d | md5sum; basenc --z85 <(head -c 400 d) | md5sum",
        files={"d": DATA}),
    Row("coreutils_files", """
        mkdir -p a/b/c; touch -d 2020-02-02 a/f; ln -s f a/l; ln a/f a/h; cp -r a z; mv z y; chmod 640 a/f
        stat -c '%A %h %s %F' a/f a/l; find y -type f | sort; du -s --apparent-size a | cut -f2
        ls -1 -R a; readlink -f a/l | sed "s,$PWD,,"; dd if=/dev/zero of=z bs=1k count=37 status=none
        truncate -s 5M z; stat -c '%s %b' z; cp --sparse=always z s; cmp z s && echo same
        rm -r a y; ls; mkfifo p; (echo through > p &); cat p; install -m 700 z w; stat -c %a w
        realpath --relative-to=/usr/lib /usr/bin; basename /a/b.c .c; dirname /a/b; mktemp -u x.XXX | wc -c
        """),
    Row("coreutils_numbers", """
        factor 1234567890123456789 987654321 97; seq -f %.3e 1 3 10; seq -s, 10; numfmt --to=iec 123456789
        expr 17 \\* 23; printf '%.20g %a\\n' 0.1 0.1; date -u -d '2024-02-29 12:34:56 +1 month' +%F,%T,%j,%A
        date -u -d @86400 +%c; test 3 -lt 4 && echo less; echo 'scale' | tr -d c; od -An -tf8 -N32 d; od -tx2z -N20 d
        env -i A=b printenv; nproc | grep -c .; uname -s; id -u | grep -c .; true; false; echo $?
        """, files={"d": NOISE}),
    Row("grep_sed_awk", """
        grep -c 'e.*t' t; grep -nE '(on|at)+e' t | head -3; grep -oP '\\d+(?=,)' t | head -2 ; grep -v e t | wc -l
        sed -n '10,12p;s/e/E/2w out' t; wc -l out; sed -E 's/([a-z]+) ([a-z]+)/\\2 \\1/;5q' t
        sed -e ':a;N;$!ba;s/\\n/ /g' t | cksum; awk -F: '{s[$1] += NF; n++} END {print n, s[5], length(s)}' t
        awk '{for (i = 1; i <= NF; i++) w[$i]++} END {for (x in w) print w[x], x}' t | sort | tail -3
        awk 'BEGIN {for (i = 0; i < 20000; i++) s += sin(i) * sqrt(i); printf "%.10f\\n", s}'
        awk 'BEGIN {print substr("hello", 2, 3), index("abc", "c"), toupper("x"), 7 % 3, 2 ^ 10, int(-3.9)}'
        find . -name 't*' | xargs -n1 basename; diff <(seq 10) <(seq 2 11); echo $?
        """, files={"t": TEXT}),
    Row("tar", "tar cf - t | tar tvf - --utc | wc -l; tar czf a.tgz t d; tar xzf a.tgz -O d | md5sum; echo $?",
        files={"t": TEXT, "d": DATA}),
]

PACKERS = [
    Row("gzip", "gzip -9 -n -c d | md5sum; gzip -1 -n -k d; gzip -t d.gz; zcat d.gz | cmp - d && echo same; "
        "gzip -dc < t; echo $?", files={"d": DATA, "t": "no archive"}),
    Row("xz", "xz -6 -c d | md5sum; xz -T2 -k --block-size=65536 d; xz -t d.xz; xz -dc -T2 d.xz | cmp - d && "
        "echo same; xz --format=lzma -c t | unlzma | md5sum", files={"d": DATA, "t": TEXT}),
    Row("bzip2", "bzip2 -c d | md5sum; bzip2 -k d; bunzip2 -c d.bz2 | cmp - d && echo same; bzip2 -t d; echo $?",
        files={"d": DATA}),
    Row("zstd", "zstd -q -3 -c d | zstd -dc | cmp - d && echo same; zstd -q -19 -T2 d; zstd -t -q d.zst; "
        "zstd -dcq d.zst | md5sum; zstd -q --train t? t?? -o dictionary; echo $?",
        files={"d": DATA, **{f"t{i}": TEXT[i * 500:i * 500 + 600] for i in range(40)}}, stderr=False),
]

# --- interpreters

PERL = """
    use strict; use warnings; use POSIX; use Time::HiRes; use Digest::SHA qw(sha256_hex); use List::Util qw(sum shuffle);
    my %count; while (<>) { $count{$_}++ for /\\b(\\w{4,})\\b/g }
    my @top = (sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count)[0 .. 4];
    print "$_ $count{$_}\\n" for @top;
    print sha256_hex(join ',', sort keys %count), "\\n", unpack('H*', pack('w N d< f> Z5', 300, 7, 0.1, 2.5, 'ab')), "\\n";
    my $x = 0; $x += sqrt($_) * sin($_) for 1 .. 100000; printf "%.12g %s\\n", $x, 9 ** 20;
    (my $s = 'the cat sat') =~ s/(\\w+)/\\u$1/g; print "$s\\n", eval { die { code => 5 } } // $@->{code}, "\\n";
    my $pid = fork; if (!$pid) { exit 9 } waitpid $pid, 0; print $? >> 8, "\\n";
    local $SIG{ALRM} = sub { print "alarm\\n" }; Time::HiRes::ualarm(50000); select undef, undef, undef, 3;
    my $r = qr/^(?:(a)|b)*+$/; print 'aabab' =~ $r ? "yes\\n" : "no\\n"; print floor(-2.5), ' ', fmod(7, 3), "\\n";
    kill 'USR2', $$;
"""

PYTHON = """
    import collections, decimal, fractions, hashlib, itertools, json, math, os, re, random, signal, struct, sys
    import threading, time, zlib, asyncio, subprocess, multiprocessing, sqlite3, ctypes, array
    print(sum(i * i for i in range(100000)), 2 ** 500 % 10 ** 30, math.fsum([0.1] * 10), 7.0 // -2)
    print(hashlib.sha3_256(b"x" * 9999).hexdigest(), hashlib.blake2b(b"y").hexdigest()[:20], zlib.crc32(b"abc" * 500))
    random.seed(3); print(random.sample(range(10 ** 6), 5), random.gauss(0, 1))
    print(decimal.Decimal(2).sqrt(), fractions.Fraction(3, 7) ** 9, json.dumps({"a": [1, 2.5, None]}, sort_keys=True))
    print(re.sub(r"(\\w+)@(\\w+)", r"\\2 at \\1", "me@here you@there"), struct.pack("<dIh", 0.1, 7, -2).hex())
    lock, total = threading.Lock(), [0]
    def work(n):
        for _ in range(3000):
            with lock:
                total[0] += n
    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    [t.start() for t in threads]; [t.join() for t in threads]; print(total)
    print(subprocess.run(["echo", "child"], capture_output=True).stdout, os.system("exit 3") >> 8)
    async def nap(n):
        await asyncio.sleep(0.01 * n); return n
    print(asyncio.run(asyncio.wait_for(nap(2), 5)))
    seen = []
    signal.signal(signal.SIGALRM, lambda *a: seen.append(a[0])); signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    while len(seen) < 4: sum(range(1000))
    signal.setitimer(signal.ITIMER_REAL, 0); print(seen[:4])
    with multiprocessing.Pool(2) as pool: print(pool.map(abs, range(-5, 5)))
    libc = ctypes.CDLL(None); call = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
    items = (ctypes.c_int * 6)(5, 3, 9, 1, 7, 2); libc.qsort(items, 6, 4, call(lambda a, b: a[0] - b[0])); print(list(items))
    a = time.monotonic(); print(time.monotonic() >= a, abs(time.time() - time.clock_gettime(time.CLOCK_REALTIME)) < 5)
    def deep(n): return 0 if n == 0 else 1 + deep(n - 1)
    sys.setrecursionlimit(9000); print(deep(8000))
    print(os.readlink("/proc/self/exe"), open("/proc/self/cmdline", "rb").read().split(b"\\0")[1])
    sys.exit(41)
"""


def python_module(name, long=False, timeout=120):
    """A module of Python's own tests. What it prints tells how many passed, and how long it took."""
    return Row(f"python_{name}", ["python3", "-m", "unittest", f"test.{name}"], stdout=False, long=long,
               timeout=timeout, normalize=summary_of_tests)


def summary_of_tests(data):
    return b"\n".join(line for line in without_times(data).splitlines()
                      if line.startswith((b"Ran ", b"OK", b"FAILED", b"FAIL", b"ERROR")))


INTERPRETERS = [
    Row("perl", ["perl", "p.pl", "t"], files={"p.pl": PERL, "t": TEXT}),
    Row("python", ["python3", "p.py"], files={"p.py": PYTHON}),
    Row("python_traceback", ["python3", "-c", "import sys\ndef f(x): return 1 / x\nf(0)"]),
    Row("python_interrupted", ["python3", "-c", "import os, signal; os.kill(os.getpid(), signal.SIGINT)"],
        stderr=False),
    Row("python_aborted", ["python3", "-X", "faulthandler", "-c", "import ctypes; ctypes.string_at(0)"],
        stderr=False, prepare="ulimit -c 0"),
    python_module("test_math"),
    python_module("test_float"),
    python_module("test_struct"),
    python_module("test_mmap"),
    python_module("test_ctypes"),
    Row("python_threads_some", ["python3", "-m", "unittest", "test.test_threading.ThreadTests",
                                "test.test_threading.LockTests", "test.test_threading.BarrierTests"],
        stdout=False, normalize=summary_of_tests, timeout=90),
    Row("python_signals_some", ["python3", "-m", "unittest", "test.test_signal.PosixTests",
                                "test.test_signal.PendingSignalsTests", "test.test_signal.RaiseSignalTest"],
        stdout=False, normalize=summary_of_tests, timeout=90),
    python_module("test_threading", long=True, timeout=400),
    python_module("test_signal", long=True, timeout=400),
    python_module("test_subprocess", long=True, timeout=600),
    python_module("test_posix", long=True, timeout=300),
    python_module("test_zlib", long=True, timeout=300),
    python_module("test_re", long=True, timeout=300),
    # It loads what it tests only when run as a program.
    Row("python_test_decimal", ["python3", "-m", "test.test_decimal"], stdout=False, long=True, timeout=600,
        normalize=summary_of_tests),
    python_module("test_os", long=True, timeout=300),
    python_module("test_sys", long=True, timeout=300),
    python_module("test_faulthandler", long=True, timeout=400),
    python_module("test_asyncio.test_events", long=True, timeout=300),
    python_module("test_asyncio.test_subprocess", long=True, timeout=300),
    python_module("test_asyncio.test_unix_events", long=True, timeout=300),
    python_module("test_epoll", long=True, timeout=300),
    python_module("test_pty", long=True, timeout=300),
    python_module("test_sys_settrace", long=True, timeout=300),
    python_module("test_eintr", long=True, timeout=400),
]

# --- compilers

HELLO_C = """
    #include <math.h>
    #include <stdio.h>
    #include <string.h>
    struct point { double x, y; };
    static int compare(const char *a, const char *b) { return strcmp(a, b); }
    int main(int argc, char **argv)
    {
        struct point p = {sqrt(argc * 2.0), 3};
        for (int i = 0; i < 5; i++)
            p.y = p.y * 1.1 + i;
        printf("%.12f %.12f %d %s\\n", p.x, p.y, compare("a", "b") < 0, argc > 1 ? argv[1] : "none");
        return 23;
    }
    """

COMPILERS = [
    Row("gcc", "gcc -O2 -Wall -g -o hello hello.c -lm && ./hello x; echo $?; gcc -S -O1 -o - hello.c | md5sum; "
        "gcc -c broken.c; echo $?", files={"hello.c": HELLO_C, "broken.c": "int f( {\n"}),
    Row("gcc_static", "gcc -O1 -static -o hello hello.c -lm && ./hello; echo $?", files={"hello.c": HELLO_C}),
    Row("non_pie", ["./hello", "a b"], files={"hello.c": HELLO_C}, prepare="gcc -no-pie -O1 -o hello hello.c -lm"),
    Row("binutils", "objdump -d hello | md5sum; readelf -aW hello | md5sum; nm hello | md5sum; strip -o s hello; "
        "ar rc l.a hello.o; ar t l.a; size hello | tail -1; strings -n 8 hello | head -3; objcopy -O binary hello b",
        files={"hello.c": HELLO_C}, prepare="gcc -g -O1 -c hello.c && gcc -o hello hello.o -lm"),
    Row("gdb", "gdb -nx -q -batch -ex 'disassemble main' -ex 'info line main' -ex 'ptype struct point' "
        "-ex 'info functions compare' -ex 'print sizeof(struct point)' ./hello", stderr=False,
        files={"hello.c": HELLO_C}, prepare="gcc -g -O1 -o hello hello.c -lm"),
    Row("make_compiles", "make -j2 -s && ./p; echo $?", long=True, timeout=120, files={
        "Makefile": "p: main.o a.o b.o c.o d.o e.o f.o\n\tgcc -o $@ $^\n%.o: %.c\n\tgcc -O2 -c $<\n",
        "main.c": "".join(f"int {x}(int);" for x in "abcdef")
                  + "int main(void) { return (" + " + ".join(f"{x}(9)" for x in "abcdef") + ") & 63; }\n",
        **{f"{x}.c": f"#include <stdio.h>\nint {x}(int n) {{ int s = 0; while (n--) s += n % {i + 2}; return s; }}\n"
           for i, x in enumerate("abcdef")}}),
    Row("make", "make -j2 -s; ./all.txt; cat all.txt; make -s; touch -d 2030-01-01 a; make -n",
        files={"Makefile": "all.txt: a b\n\tcat a b > all.txt\na b:\n\tsleep 0.02; echo $@ > $@\n"}, stderr=False),
    Row("gcc_large", "gcc -O2 -w -c large.c && gcc -O0 -w -c large.c -o l0.o && md5sum large.o l0.o", long=True,
        files={"large.c": "\n".join(f"double f{i}(double x, int n) {{ double s = 0; for (int i = 0; i < n; i++) "
                                    f"s += x * i + s / (i + {i + 1}); return n > {i} ? s : f{max(i - 1, 0)}(s, n - 1); }}"
                                    for i in range(400))}, timeout=300),
    Row("go_build", "go build -o hello hello.go && ./hello", long=True, timeout=400,
        files={"hello.go": 'package main\nimport "fmt"\nfunc main() { fmt.Println("built", 6 * 7) }\n',
               "go.mod": "module hello\n"}, stderr=False),
]

# --- programs of several kinds

SQL = """
    create table t(a integer primary key, b text, c real);
    with recursive n(i) as (select 1 union all select i + 1 from n where i < 5000)
      insert into t select i, printf('%04x', i * 7919 % 65536), i / 7.0 from n;
    create index tb on t(b);
    select count(*), sum(c), min(b), max(b), avg(a) from t;
    select b, c from t where b like 'f%' order by b desc limit 4;
    select x.a, y.a from t x join t y on y.b > x.b and y.a = x.a + 1 where x.a < 12;
    select a, sum(c) over (order by a rows 2 preceding) from t limit 5;
    begin; update t set c = c * 2 where a % 3 = 0; delete from t where a % 5 = 0; commit;
    select count(*), total(c) from t; pragma integrity_check; select hex(zeroblob(2)), json_extract('{"a":[1,2]}','$.a[1]');
    select 1/0, 'x' || null, 10 % 3, abs(-5), round(2.567, 2), datetime(0, 'unixepoch');
    """

GIT = """
    export GIT_AUTHOR_DATE='2024-01-01T00:00:00Z' GIT_COMMITTER_DATE='2024-01-01T00:00:00Z'
    git config --global user.name n; git config --global user.email e@x; git config --global init.defaultBranch main
    git init -q one; cd one
    for i in 1 2 3 4 5; do seq $((i * 100)) > f$i; git add .; git commit -q -m "number $i"; done
    git checkout -q -b side; echo x >> f1; git commit -qam side; git checkout -q main; git merge -q --no-ff -m merged side
    cd ..; git clone -q one two; git clone -q --bare file://$PWD/one three; cd two
    git log --format='%H %s' | head -4; git fsck --full 2>&1 | head -3; git diff HEAD~2 --stat; git gc -q
    git status -s; git grep -c 99 | head -3; git blame -s f1 | head -2; git archive HEAD | md5sum; ls
    """

THREADS_C = """
    #include <pthread.h>
    #include <stdatomic.h>
    #include <stdio.h>
    static atomic_long sum; static atomic_flag spin = ATOMIC_FLAG_INIT; static long plain;
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; static long locked;
    static _Atomic __int128 wide;
    static void *work(void *p)
    {
        for (long i = 0; i < 20000; i++) {
            atomic_fetch_add(&sum, i & 3);
            while (atomic_flag_test_and_set(&spin)) ;
            plain++;
            atomic_flag_clear(&spin);
            if (i % 16 == 0) { pthread_mutex_lock(&lock); locked++; pthread_mutex_unlock(&lock); }
        }
        return p;
    }
    int main(void)
    {
        pthread_t t[8];
        for (int i = 0; i < 8; i++) pthread_create(&t[i], 0, work, 0);
        for (int i = 0; i < 8; i++) pthread_join(t[i], 0);
        printf("%ld %ld %ld\\n", (long)sum, plain, locked);
    }
    """

GO = """
    package main
    import ("crypto/sha256"; "fmt"; "os"; "os/exec"; "os/signal"; "runtime"; "sort"; "strings"; "sync"; "syscall"; "time")
    type shape interface{ area() float64 }
    type square struct{ side float64 }
    func (s square) area() float64 { return s.side * s.side }
    func main() {
        var group sync.WaitGroup
        var lock sync.Mutex
        results := map[int]int{}
        for i := 0; i < 100; i++ {
            group.Add(1)
            go func(n int) {
                defer group.Done()
                s := 0
                for j := 0; j < 20000; j++ { s += j % (n + 1) }
                lock.Lock(); results[n] = s; lock.Unlock()
            }(i)
        }
        group.Wait()
        keys := []int{}
        total := 0
        for k, v := range results { keys = append(keys, k); total += v }
        sort.Ints(keys)
        fmt.Println(len(keys), keys[99], total)
        var garbage [][]byte
        for i := 0; i < 2000; i++ { garbage = append(garbage, make([]byte, 10000)); if len(garbage) > 100 { garbage = nil } }
        runtime.GC()
        fmt.Printf("%x\\n", sha256.Sum256([]byte(strings.Repeat("go", 1000))))
        func() { defer func() { fmt.Println("recovered:", recover()) }(); var p *square; fmt.Println(p.area()) }()
        func() { defer func() { fmt.Println("recovered:", recover()) }(); zero := len(os.Args) - 1; fmt.Println(5 / zero) }()
        channel := make(chan os.Signal, 1)
        signal.Notify(channel, syscall.SIGUSR1)
        syscall.Kill(syscall.Getpid(), syscall.SIGUSR1)
        fmt.Println(<-channel)
        ticker := time.NewTicker(2 * time.Millisecond)
        for i := 0; i < 5; i++ { <-ticker.C }
        spin := make(chan bool)
        go func() { for x := 0; ; x++ { if x == 300000000 { break } }; spin <- true }()
        out, err := exec.Command("echo", "child").Output()
        fmt.Printf("%s %v\\n", out, err)
        <-spin
        var s shape = square{3}
        fmt.Println(s.area())
        os.Exit(5)
    }
    """

LUA = """
    local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end
    print(fib(27), jit.status())
    local t = {}
    for i = 1, 200000 do t[i] = (i * 7919) % 100003 end
    table.sort(t) print(t[1], t[100000], t[200000])
    local s = 0 for i = 1, 5e6 do s = s + i % 7 * 0.5 end print(s)
    local ffi = require('ffi')
    ffi.cdef[[ int sprintf(char *to, const char *form, ...); typedef struct { double x, y; } point; double sqrt(double); ]]
    local b = ffi.new('char[50]') ffi.C.sprintf(b, '%d %s %.3f', ffi.cast('int', 42), 'ffi', 2.5) print(ffi.string(b))
    local p = ffi.new('point[1000]') for n = 1, 200 do for i = 0, 999 do p[i].x = p[i].x + i * n end end print(p[999].x)
    print(string.format('%5.2f %q', math.pi, 'x'), ('abc'):rep(3):gsub('b', '%0%0'))
    for i = 1, 300 do local f = loadstring('local x = ... for i = 1, 100 do x = x + ' .. i .. ' end return x') s = s + f(i) end print(s)
    local co = coroutine.wrap(function() for i = 1, 1000 do coroutine.yield(i) end end)
    local c = 0 for i = 1, 1000 do c = c + co() end print(c, pcall(error, 'oops'))
    """

NODE = """
    const { Worker, isMainThread, parentPort } = require('worker_threads');
    const crypto = require('crypto'), zlib = require('zlib'), { execFileSync } = require('child_process');
    if (!isMainThread) { let s = 0; for (let i = 0; i < 3e6; i++) s = (s + i * 31) | 0; parentPort.postMessage(s); return; }
    function fib(n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
    console.log(fib(25));
    class A { constructor(x) { this.x = x; } get() { return this.x; } } class B extends A { get() { return super.get() * 2; } }
    let total = 0; for (let i = 0; i < 2e6; i++) { const o = i % 3 ? new A(i) : new B(i); total += o.get(); }
    console.log(total, [3, 1, 2].sort(), JSON.stringify({ a: [1, { b: 2.5 }], c: 'x' }), 0.1 + 0.2, 2n ** 100n);
    const f = new Float64Array(1e5); for (let k = 0; k < 20; k++) for (let i = 0; i < f.length; i++) f[i] = Math.sqrt(f[i] + i);
    console.log(f[99999].toFixed(10), 'aXbX'.replace(/X/g, m => m + '!'), /(\\d+)-(?<n>\\w+)/.exec('12-ab').groups.n);
    console.log(crypto.createHash('sha256').update('x'.repeat(5000)).digest('hex'), zlib.gunzipSync(zlib.gzipSync('hi')).toString());
    const wasm = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 7, 1, 96, 2, 127, 127, 1, 127, 3, 2, 1, 0, 7, 7, 1, 3, 97, 100,
      100, 0, 0, 10, 9, 1, 7, 0, 32, 0, 32, 1, 106, 11]);
    const { add } = new WebAssembly.Instance(new WebAssembly.Module(wasm)).exports; let w = 0;
    for (let i = 0; i < 1e6; i++) w = add(w, i) | 0; console.log(w);
    for (let i = 0; i < 300; i++) total += new Function('x', `let s = x; for (let i = 0; i < 50; i++) s += ${i}; return s;`)(i);
    console.log(total, execFileSync('echo', ['child']).toString().trim());
    try { null.x; } catch (e) { console.log(e instanceof TypeError, e.message); }
    (function deep(n) { if (n) deep(n - 1); })(8000);
    const worker = new Worker(__filename);
    worker.on('message', m => { console.log('worker', m); setTimeout(() => { global.gc && gc(); process.exit(6); }, 20); });
    """

OTHERS = [
    Row("openssl_digests", "for h in md5 sha1 sha224 sha256 sha384 sha512 sha3-256 sha3-512 blake2b512 blake2s256 sm3 "
        "ripemd160 shake128; do openssl dgst -$h d; done; openssl dgst -sha256 -hmac key d; openssl rand -hex 8 | wc -c",
        files={"d": DATA}),
    Row("openssl_ciphers", """
        for c in aes-128-cbc aes-256-ctr aes-192-cfb aes-256-ecb chacha20 camellia-128-cbc des-ede3-cbc aria-256-ctr; do
            openssl enc -$c -K $(printf '%064d' 7 | head -c 64) -iv $(printf '%032d' 5) -in d -out e 2>/dev/null
            md5sum < e; openssl enc -d -$c -K $(printf '%064d' 7 | head -c 64) -iv $(printf '%032d' 5) -in e 2>/dev/null | cmp - d && echo same
        done; openssl enc -aes-256-cbc -pbkdf2 -k secret -S 0123456789abcdef -in d | md5sum
        """, files={"d": DATA}),
    Row("openssl_keys", """
        openssl genrsa -out k 2048; openssl rsa -in k -check -noout; openssl dgst -sha256 -sign k -out s d
        openssl rsa -in k -pubout -out p 2>/dev/null; openssl dgst -sha256 -verify p -signature s d
        openssl ecparam -genkey -name prime256v1 -out ec; openssl dgst -sha512 -sign ec -out s2 d
        openssl dgst -sha512 -prverify ec -signature s2 d; openssl genpkey -algorithm ed25519 | openssl pkey -noout && echo ed
        openssl req -x509 -key k -subj /CN=x -days 9 -out c; openssl verify -CAfile c c; openssl prime 1000003 1000001
        """, files={"d": TEXT}, stderr=False),
    Row("openssl_speed", "openssl speed -seconds 1 -bytes 1024 -evp aes-128-gcm; openssl speed -seconds 1 -bytes 64 sha256; "
        "openssl speed -seconds 1 ecdsap256", stdout=False, stderr=False),
    Row("sqlite3", ["sqlite3", "-batch", "d.db"], stdin=textwrap.dedent(SQL).encode()),
    Row("git", GIT),
    Row("threads", ["./threads"], files={"threads.c": THREADS_C}, prepare="gcc -O2 -o threads threads.c -pthread"),
    Row("luajit", ["luajit", "l.lua"], files={"l.lua": LUA}),
    Row("luajit_interpreter", ["luajit", "-joff", "l.lua"], files={"l.lua": LUA}),
    Row("node", ["node", "n.js"], files={"n.js": NODE}, timeout=90),
    Row("node_uncaught", ["node", "-e", "setTimeout(() => { throw new Error('x') }, 5)"], stderr=False),
    Row("go", ["./hello"], files={"hello.go": GO, "go.mod": "module hello\n"}, prepare="go build -o hello hello.go",
        timeout=90),
    Row("go_program", "fzf --filter 'eto' < t | head -5; fzf --version | wc -l", files={"t": TEXT}),
    Row("rust_program", "rg -n -j2 --sort path 'on+e' . | head -20; rg -c e t; rg --no-config -U 'a\\n\\d' t | wc -l; rg zzzz; echo $?",
        files={"t": TEXT, "u": TEXT[:3000]}),
    Row("static_program", ["ldconfig", "-p"]),
    Row("ld_so_list", ["/lib64/ld-linux-x86-64.so.2", "--list", "/usr/bin/git"], normalize=without_addresses),
    Row("ld_so_runs", ["/lib64/ld-linux-x86-64.so.2", "/usr/bin/printf", "%s-", "a", "b c"]),
    Row("ldd", ["ldd", "/usr/bin/git"], normalize=without_addresses),
    Row("ld_preload", "LD_PRELOAD=./p.so ls -d . ; LD_DEBUG=files LD_DEBUG_OUTPUT=dbg ls -d .; ls dbg* | wc -l",
        files={"p.c": "#include <unistd.h>\n__attribute__((constructor)) static void f(void) "
                      "{ if (write(1, \"in\\n\", 3)) {} }\n"},
        prepare="gcc -shared -fPIC -o p.so p.c"),
    Row("time", "python3 -c 'import time\nprint(time.time() > 1.6e9, time.get_clock_info(\"monotonic\").monotonic)'; "
        "date +%Y | grep -c 20", stderr=False),
    Row("not_executable", "./no; echo $?; ./dir; echo $?; ./text; echo $?", files={"text": "echo hi\n"},
        prepare="touch no; mkdir dir; chmod +x text"),
    Row("script", ["./s", "an argument"], files={"s": "#!/usr/bin/awk -f\nBEGIN { print ARGV[1], ARGC; exit 4 }\n"},
        prepare="chmod +x s"),
]

ROWS = BASH + COREUTILS + PACKERS + INTERPRETERS + COMPILERS + OTHERS
