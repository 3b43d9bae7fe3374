# SPDX-License-Identifier: MIT
"""How long a guest takes to boot, under vitrine and under Debian's qemu-system-x86_64 with TCG, one after
the other in one run: from where the firmware starts the kernel to the first output of user space. What
recording the accesses to devices adds to that. What a guest that does nothing costs.

VITRINE_EMULATOR names another emulator to measure."""

import os
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

from measure import Failed
from rows import Row, Series, at_most_times

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "images"))

import recipes  # noqa: E402
from machine import Machine, Unexpected  # noqa: E402
from packages import Missing  # noqa: E402

REPEATS = 5
IDLE_REPEATS = 2
SETTLE, IDLE = 4, 10  # seconds: after the shell is there; that are measured

QEMU = "qemu-system-x86_64"
TRACED = ("memory_region_ops_*", "pci_*")
# The firmware's last words before the kernel.
HANDS_OVER = b"Booting from"


def emulators(build):
    """How each is called, by name."""
    qemu = shutil.which(QEMU)
    if qemu is None:
        raise Failed(f"{QEMU} is missing: scripts/install-deps bench gets it")
    ours = os.environ.get("VITRINE_EMULATOR", str(build / "vitrine"))
    if shutil.which(ours) is None:
        raise Failed(f"{ours} is missing")
    return {"vitrine": [ours], "qemu": [qemu, "-accel", "tcg"]}


def guest(name):
    try:
        return recipes.guest(name)
    except Missing as error:
        raise Failed(str(error)) from None


def linux(name, append):
    where = guest(name)
    return ["-kernel", where / "vmlinuz", "-initrd", where / "initrd.gz", "-append", f"console=ttyS0 quiet {append}",
            "-m", "256", "-cpu", "max", "-no-reboot"]


class Firmware(threading.Thread):
    """Notes when the firmware handed over to the kernel: it tells so on the debug console, a pipe."""

    def __init__(self, path):
        super().__init__(daemon=True)
        os.mkfifo(path)
        self.path = path
        self.options = ["-debugcon", f"file:{path}", "-global", "isa-debugcon.iobase=0x402"]
        self.moment = None
        self.start()

    def run(self):
        said = b""
        with open(self.path, "rb", buffering=0) as pipe:
            while part := pipe.read(4096):
                said += part
                if self.moment is None and HANDS_OVER in said:
                    self.moment = time.monotonic()


def booted(emulator, options, scratch):
    """Boots once, to the end. Returns the seconds it took."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        firmware = Firmware(os.path.join(folder, "firmware"))
        begin = time.monotonic()
        try:
            with Machine(emulator, folder, [*options, *firmware.options], monitor=False) as machine:
                machine.serial.wait_for("^guest: user space$")
                there = time.monotonic()
                status = machine.ended()
        except Unexpected as error:
            raise Failed(f"{emulator[0]}: {error}") from None
        firmware.join(10)
        if status != 0 or firmware.moment is None:
            raise Failed(f"{emulator[0]}: ended with status {status} and the firmware "
                         f"{'told' if firmware.moment else 'did not tell'} when it started the kernel")
    return {"kernel": [there - firmware.moment], "all": [there - begin]}


def processor_time(pid):
    """Seconds that a process has used until now."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def idle(emulator, options, scratch):
    """Processor milliseconds that a second of doing nothing takes."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        try:
            with Machine(emulator, folder, options, monitor=False) as machine:
                machine.shell()
                time.sleep(SETTLE)
                before, begin = processor_time(machine.process.pid), time.monotonic()
                time.sleep(IDLE)
                used, seconds = processor_time(machine.process.pid) - before, time.monotonic() - begin
                if machine.power_off() != 0:
                    raise Failed(f"{emulator[0]}: the guest did not power off")
        except Unexpected as error:
            raise Failed(f"{emulator[0]}: {error}") from None
    return {"idle": [used / seconds * 1e3]}


def boots(build, scratch, interleaved):
    jobs, idle_jobs = {}, {}
    for name, emulator in emulators(build).items():
        for kind in ("cloud", "amd64"):
            options = linux(kind, '"do=poweroff -f"')
            jobs[f"{kind}, {name}"] = lambda e=emulator, o=options: booted(e, o, scratch)
        if name == "vitrine":
            for pattern in TRACED:
                options = [*linux("cloud", '"do=poweroff -f"'), "-trace", f"{pattern},file={scratch / 'boot.trace'}"]
                jobs[f"traced {pattern}"] = lambda e=emulator, o=options: booted(e, o, scratch)
        for cpus in (1, 4):
            options = [*linux("cloud", ""), "-smp", str(cpus)]
            idle_jobs[f"idle {cpus}, {name}"] = lambda e=emulator, o=options: idle(e, o, scratch)
    samples = interleaved(jobs, REPEATS)
    samples.update(interleaved(idle_jobs, IDLE_REPEATS))

    def seconds(job, what):
        return Series("s", samples[job][what], use_best=True)

    rows = [Row(f"{kind} kernel, start to first output of user space", seconds(f"{kind}, vitrine", "kernel"),
                QEMU, seconds(f"{kind}, qemu", "kernel"), at_most_times(0.7, 0, "at most 0.7 of QEMU's"),
                f"from the start of the emulator {seconds(f'{kind}, vitrine', 'all').text()}, "
                f"{seconds(f'{kind}, qemu', 'all').text()}") for kind in ("cloud", "amd64")]
    rows += [Row(f"cloud kernel with {pattern} recorded, all of the boot", seconds(f"traced {pattern}", "all"),
                 "not recorded", seconds("cloud, vitrine", "all"), at_most_times(1.05, 0, "at most 1.05 times"))
             for pattern in TRACED]
    rows += [Row(f"a second of an idle guest, {cpus} CPU{'s' if cpus > 1 else ''}",
                 Series("ms", samples[f"idle {cpus}, vitrine"]["idle"]), QEMU,
                 Series("ms", samples[f"idle {cpus}, qemu"]["idle"]), at_most_times(1, 0, "no more than QEMU's"))
             for cpus in (1, 4)]
    return samples, rows
