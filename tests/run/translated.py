# SPDX-License-Identifier: MIT
#
# For tests of vitrine-user: runs a program natively and under the translator, in the same folder with
# the same files, and compares.
#
# VITRINE_USER names another program that translates (Debian's qemu-x86_64, to see the tests
# themselves at work); VITRINE_USER_OPTIONS holds more options for it, as "-engine no-chain".
import collections
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time

from recording import BUILD

PROGRAM = os.environ.get("VITRINE_USER", os.path.join(BUILD, "vitrine-user"))
OPTIONS = shlex.split(os.environ.get("VITRINE_USER_OPTIONS", ""))

PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"

Outcome = collections.namedtuple("Outcome", "ending stdout stderr seconds")


def system_tool(name):
    """Path of a program of the system. The user's own PATH may hold scripts of that name."""
    path = shutil.which(name, path=PATH)
    if path is None:
        raise FileNotFoundError(f"{name} is missing: scripts/install-deps check gets it")
    return path


def ending(status):
    """How a program ended, in words."""
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"


def environment(folder):
    return {"PATH": PATH, "HOME": folder, "TMPDIR": folder, "LC_ALL": "C.UTF-8", "TZ": "UTC",
            "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "GIT_CONFIG_NOSYSTEM": "1",
            "TERM": "dumb"}


def run(command, folder, stdin=b"", timeout=60):
    """Runs a command in a process group of its own, which ends with it."""
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as out, \
            tempfile.TemporaryFile() as err:
        source.write(stdin)
        source.seek(0)
        begin = time.monotonic()
        process = subprocess.Popen(command, stdin=source, stdout=out, stderr=err, cwd=folder,
                                   env=environment(folder), start_new_session=True)
        try:
            how = ending(process.wait(timeout))
        except subprocess.TimeoutExpired:
            how = f"still running after {timeout} s"
        seconds = time.monotonic() - begin
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read())
    return Outcome(how, *texts, seconds)


def translated(command, options=()):
    """The command line that runs `command`, whose first word is a path, under the translator."""
    return [PROGRAM, *OPTIONS, *options, *command]


def shorten(data, limit=1500):
    text = data.decode(errors="replace")
    return text if len(text) <= 2 * limit else f"{text[:limit]}\n[...]\n{text[-limit:]}"


def difference(native, other, normalize=lambda data: data, stderr=True):
    """What differs between two outcomes, as text; empty when nothing does."""
    found = []
    if native.ending != other.ending:
        found.append(f"ended with {other.ending}, natively with {native.ending}")
    for name, wanted in (("stdout", True), ("stderr", stderr)):
        a, b = (normalize(getattr(outcome, name)) for outcome in (native, other))
        if wanted and a != b:
            found.append(f"{name} differs from the native one:\n{first_difference(a, b)}")
    if found and not stderr and other.stderr:
        found.append(f"on stderr:\n{shorten(other.stderr)}")
    return "\n".join(found)


def first_difference(a, b):
    """The first lines that differ, with where they are."""
    left, right = a.splitlines(), b.splitlines()
    for number, (x, y) in enumerate(zip(left, right), 1):
        if x != y:
            return f"line {number}: {shorten(y, 300)}\n  natively: {shorten(x, 300)}"
    if len(left) != len(right):
        longer, what = (right, "more") if len(right) > len(left) else (left, "missing")
        rest = b"\n".join(longer[min(len(left), len(right)):])
        return f"{abs(len(left) - len(right))} lines {what}: {shorten(rest, 500)}"
    return "line ends differ"


def without_times(data):
    """For output that tells how long something took."""
    return re.sub(rb"\b\d+\.\d+ ?(s|ms|sec|seconds)\b", b"N s", data)


def without_addresses(data):
    return re.sub(rb"0x[0-9a-f]+", b"0xN", data)
