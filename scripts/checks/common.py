# SPDX-License-Identifier: MIT
"""What the checks share: where the tree is, results, and running other programs so that none can
hang or be left behind."""

import concurrent.futures
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LONG = os.environ.get("VITRINE_CHECK") == "long"
JOBS = max(2, os.cpu_count() or 2)

# Folders that hold what we wrote; build folders and the like are not looked into.
FOLDERS = ("src", "include", "demo", "bench", "tests", "scripts", "python", ".ci")

# Each sanitizer's report ends the program, with a stack. die_after_fork: a child that was forked may
# start threads, as ours do; the thread sanitizer would otherwise end it for that alone.
SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1:die_after_fork=0",
}


class Result:
    """What a stage found. `failures` are pairs of a title and details, `skips` a line each."""

    def __init__(self):
        self.passed = 0
        self.skips = []
        self.failures = []

    def fail(self, title, details=""):
        self.failures.append((title, details))

    def add(self, other):
        self.passed += other.passed
        self.skips += other.skips
        self.failures += other.failures
        return self

    @property
    def count(self):
        return self.passed + len(self.skips) + len(self.failures)


def verdict(failures):
    """The result of one check of many files: one test passed, or a failure for each finding."""
    result = Result()
    for title, details in failures:
        result.fail(title, details)
    if not failures:
        result.passed = 1
    return result


def tree_files(root=ROOT, folders=FOLDERS):
    """Every file we wrote, as sorted paths: the files at the top, then those of the folders."""
    found = [p for p in root.iterdir() if p.is_file()]
    for folder in folders:
        for where, inside, names in os.walk(root / folder):
            inside[:] = [d for d in inside if d != "__pycache__"]
            found += [Path(where, name) for name in names if not name.endswith(".pyc")]
    return sorted(found)


def interpreter(path):
    """The program on the #! line of a file, as "bash"; "" if there is none."""
    with open(path, "rb") as file:
        line = file.readline(200)
    if not line.startswith(b"#!"):
        return ""
    words = line[2:].decode(errors="replace").split()
    name = os.path.basename(words[0]) if words else ""
    return words[1] if name == "env" and len(words) > 1 else name


# --- running programs

_running = set()
_lock = threading.Lock()


class Run:
    def __init__(self, status, output, timed_out):
        self.status = status
        self.output = output
        self.timed_out = timed_out

    @property
    def ok(self):
        return self.status == 0 and not self.timed_out

    def ending(self):
        """How it ended, in words."""
        if self.timed_out:
            return "took longer than it may and was stopped"
        if self.status < 0:
            return f"was killed by {signal.Signals(-self.status).name}"
        return f"ended with status {self.status}"


def _end_group(group):
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def end_everything():
    """Ends all programs that are still running here, after an interrupt."""
    with _lock:
        for group in _running:
            _end_group(group)


def environment(**more):
    env = {k: v for k, v in os.environ.items()
           if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "DESTDIR", "PREFIX", "VARIANT")}
    env.update(SANITIZERS)
    env.update(LC_ALL="C.UTF-8", PYTHONDONTWRITEBYTECODE="1",
               VITRINE_CHECK="long" if LONG else "short")
    env.update(more)
    return env


def run(command, timeout, env=None, cwd=ROOT):
    """Runs a program to its end, or for `timeout` seconds, and gives what it printed (the two ends of
    it when that is a lot). It has no input and a process group of its own; what it leaves in the
    group ends with it."""
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL,
                                   stdout=out, stderr=out, cwd=cwd, env=env or environment(),
                                   start_new_session=True)
        with _lock:
            _running.add(process.pid)
        timed_out = False
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            timed_out = True
        finally:
            _end_group(process.pid)
            process.wait()
            with _lock:
                _running.discard(process.pid)
        return Run(process.returncode, _both_ends(out), timed_out)


def _both_ends(file, limit=1 << 20):
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    data = file.read(limit)
    if size > 2 * limit:
        file.seek(size - limit)
        data += b"\n[...]\n"
    data += file.read()
    return data.decode(errors="replace")


def in_parallel(function, items):
    """The results of function(item), in order, two or more at a time."""
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        return list(pool.map(function, items))


def unshuffled(command):
    """The sanitizers of some compilers fail now and then where the kernel shuffles addresses over more
    bits than they knew of; so we ask it not to, where we may."""
    if _can_unshuffle():
        return ["setarch", "-R", *command]
    return list(command)


def _can_unshuffle():
    if not hasattr(_can_unshuffle, "answer"):
        _can_unshuffle.answer = (shutil.which("setarch") is not None
                                 and run(["setarch", "-R", "true"], 10).ok)
    return _can_unshuffle.answer


# --- builds

BUILD_TIMEOUT = 900
_built = {}


def build_folder(variant):
    return ROOT / ("build" if variant == "plain" else f"build-{variant}")


def build(variant, *targets):
    """Builds a variant, once in this run. The Run tells how it went."""
    key = (variant, targets)
    if key not in _built:
        _built[key] = run([ROOT / "scripts/build", variant, "-k", "0", *targets], BUILD_TIMEOUT)
    return _built[key]
