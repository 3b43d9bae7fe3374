# SPDX-License-Identifier: MIT
"""How fast programs are inside a guest: those of the user-mode list, under vitrine and under Debian's
qemu-system-x86_64 with TCG. Both run all the time, each with the same guest; one of them is asked to work
at a time. What a program prints must be what it prints natively.

VITRINE_EMULATOR names another emulator to measure. BENCH_GUEST, a few names of programs, measures only
those; goals for all of them are left out then."""

import contextlib
import hashlib
import os
import shlex
import shutil
import sys
import tempfile
import time
from pathlib import Path

from boot import QEMU, emulators, guest
from measure import Failed, run
from rows import Row, Series, at_least
from user import Program, all_programs, geometric

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "images"))

import programs as images  # noqa: E402
from machine import Machine, Unexpected  # noqa: E402

REPEATS = 2  # of each program; QEMU runs each once
PATIENCE = 900

INTEGER = ("sieve", "calls", "interpreter", "indirect", "sha256", "threads", "gzip", "xz", "python3", "sqlite3",
           "cc1, large file")
VECTOR = ("nbody", "spectral", "vector_sse", "vector_avx", "x87")
PACKAGES = ("bash", "coreutils", "gzip", "xz-utils", "libpython3.11-minimal", "libpython3.11-stdlib",
            "python3.11-minimal", "python3-minimal", "sqlite3", "libc6", "libc-bin", "base-files")


def chosen_programs(build, scratch):
    picked = os.environ.get("BENCH_GUEST", "").split()
    found = {program.name: program for program in all_programs(build, scratch)}
    found["x87"] = Program("x87", [build / "bench/user/x87"])
    return [found[name] for name in (*INTEGER, *VECTOR) if not picked or name.split(",")[0] in picked]


def make_disk(programs, scratch):
    """A disk on which each program and each of its files has the path that it has here."""
    root, path = scratch / "root", scratch / "programs.img"
    ours = [program.command[0] for program in programs]
    wanted = {word for program in programs for word in program.command if os.path.isfile(word)}
    wanted |= {word.removeprefix(".read ") for program in programs for word in program.command
               if word.startswith(".read ")}
    images.make_root(root, PACKAGES, wanted | images.linked_with(ours))
    images.make_disk(path, root, 64 << 20)
    shutil.rmtree(root)
    return path


class Guest:
    """A guest that waits for what it is to run."""

    def __init__(self, emulator, disk, scratch):
        self.name = emulator[0]
        where = guest("amd64")
        self.machine = Machine(emulator, tempfile.mkdtemp(dir=scratch), [
            "-kernel", where / "vmlinuz", "-initrd", where / "initrd.gz", "-append", "console=ttyS0 quiet", "-m",
            "1024", "-cpu", "max", "-smp", "2", "-snapshot", "-drive", f"file={disk},format=raw"], monitor=False)

    def start(self, scratch):
        self.machine.shell()
        self.machine.run(f"{images.MOUNT} && mount -t tmpfs tmp /mnt/tmp", PATIENCE)
        # Inputs come from memory when they are wanted.
        self.machine.run(f"cat /mnt{scratch}/* >/dev/null", PATIENCE, status=None)

    def run(self, program):
        """Returns (seconds, the digest of what it printed)."""
        folder = os.path.dirname(program.command[-1]) or "/"
        inner = f"mkdir -p {folder}; exec {shlex.join(program.command)} >/tmp/printed"
        begin = time.monotonic()
        self.machine.run(f"chroot /mnt /bin/bash -c {shlex.quote(inner)}", PATIENCE)
        seconds = time.monotonic() - begin
        return seconds, self.machine.run("md5sum </mnt/tmp/printed").split()[0]


def natively(program, scratch):
    with open(scratch / "printed", "wb+") as out:
        seconds, _, _ = run(program.command, out)
        out.seek(0)
        return seconds, hashlib.md5(out.read()).hexdigest()


def job(program, runner, expected, turns):
    left = [turns]

    def work():
        if left[0] == 0:
            return {}
        left[0] -= 1
        try:
            seconds, digest = runner(program)
        except Unexpected as error:
            raise Failed(f"{program.name}: {error}") from None
        if expected.setdefault(program.name, digest) != digest:
            raise Failed(f"{program.name}: does not print in the guest what it prints natively")
        return {"wall": [seconds]}
    return work


def mean_row(name, names, factor, samples):
    ratios = {n: min(samples[f"{n}, qemu"]["wall"]) / min(samples[f"{n}, vitrine"]["wall"]) for n in names}
    slowest = min(ratios, key=ratios.get)
    return Row(f"geometric mean, {name}", Series("times", [geometric(ratios.values())]),
               goal=at_least(factor, f"at least {factor} times QEMU's speed"),
               remark=f"least {ratios[slowest]:.2f} ({slowest})")


def programs(build, scratch, interleaved):
    with tempfile.TemporaryDirectory(prefix="inputs-", dir=scratch) as inputs, contextlib.ExitStack() as stack:
        inputs = Path(inputs)
        chosen = chosen_programs(build, inputs)
        disk = make_disk(chosen, scratch)
        guests = {}
        for name, emulator in emulators(build).items():
            guests[name] = Guest(emulator, disk, scratch)
            stack.callback(guests[name].machine.close)
            try:
                guests[name].start(inputs)
            except Unexpected as error:
                raise Failed(f"{emulator[0]}: {error}") from None
        expected, jobs = {}, {}
        for program in chosen:
            jobs[f"{program.name}, native"] = job(program, lambda p: natively(p, scratch), expected, 1)
            jobs[f"{program.name}, vitrine"] = job(program, guests["vitrine"].run, expected, REPEATS)
            jobs[f"{program.name}, qemu"] = job(program, guests["qemu"].run, expected, 1)
        samples = interleaved(jobs, REPEATS)

    def seconds(program, runner):
        return Series("s", samples[f"{program.name}, {runner}"]["wall"], use_best=True)

    rows = []
    for program in chosen:
        ours, qemu, native = (seconds(program, runner) for runner in ("vitrine", "qemu", "native"))
        rows.append(Row(f"{program.name}, in the guest", ours, QEMU, qemu,
                        remark=f"{qemu.figure / ours.figure:.1f} times its speed; natively {native.text()}"))
    if len(chosen) == len(INTEGER) + len(VECTOR):
        rows += [mean_row("integer work", INTEGER, 2, samples),
                 mean_row("SSE, AVX, x87, doubles", VECTOR, 5, samples)]
    return samples, rows
