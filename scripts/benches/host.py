# SPDX-License-Identifier: MIT
"""The conditions of a measurement: machine, system, compiler, build, and who else was busy."""

import datetime
import json
import os
import platform
import re
import resource
import subprocess
from pathlib import Path


def first_line(command, **options):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, **options)
    except (OSError, subprocess.CalledProcessError):
        return None
    return (done.stdout.splitlines() or [""])[0].strip()


def text_of(path):
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None


def processor():
    info = text_of("/proc/cpuinfo") or ""
    fields = dict(re.findall(r"^([^\t:]+?)\s*: (.*)$", info, re.MULTILINE))
    # Virtual machines often hide the model; the numbers remain.
    numbers = ", ".join(f"{name} {fields[key]}" for name, key in
                        (("family", "cpu family"), ("model", "model"), ("stepping", "stepping"))
                        if key in fields)
    return f"{fields.get('model name', platform.machine())} ({numbers})"


def distribution():
    fields = dict(re.findall(r'^(\w+)="?(.*?)"?$', text_of("/etc/os-release") or "", re.MULTILINE))
    return fields.get("PRETTY_NAME", "unknown")


def build_options(build):
    """Compiler and optimisation of a build folder, from what Meson keeps about it."""
    try:
        options = json.loads((build / "meson-info/intro-buildoptions.json").read_text())
        # scripts/build notes the compiler's name first.
        compiler = (text_of(build / "configured-for") or "cc").split()[0]
    except (OSError, ValueError):
        return first_line(["cc", "--version"]) or "unknown", "unknown"
    value = {option["name"]: option["value"] for option in options}
    flags = [f"-O{value['optimization']}"] + (["-g"] if value["debug"] else [])
    flags += ["-flto"] if value.get("b_lto") else []
    flags += [f"sanitized: {value['b_sanitize']}"] if value.get("b_sanitize") != "none" else []
    flags += value.get("c_args", [])
    return first_line([compiler, "--version"]) or compiler, " ".join(flags)


def conditions(root, build):
    compiler, flags = build_options(build)
    memory = re.search(r"MemTotal:\s+(\d+)", text_of("/proc/meminfo") or "")
    revision = first_line(["git", "-C", root, "rev-parse", "--short", "HEAD"])
    changed = revision and first_line(["git", "-C", root, "status", "--porcelain"])
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_mib": int(memory[1]) // 1024 if memory else None,
        "virtual": bool(re.search(r"\bhypervisor\b", text_of("/proc/cpuinfo") or "")),
        "governor": text_of("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "clocksource":
            text_of("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        "kernel": f"{platform.system()} {platform.release()}",
        "system": distribution(),
        "compiler": compiler,
        "flags": flags,
        "vitrine": first_line([build / "vitrine-trace", "--version"]),
        "revision": revision and revision + (" and changes" if changed else ""),
        "python": platform.python_version(),
        "babeltrace2": first_line(["babeltrace2", "--version"]),
        "load": os.getloadavg(),
    }


class Others:
    """How much of the processors other programs took, between the two moments."""

    def __init__(self):
        self.begin = self.read()

    @staticmethod
    def read():
        ticks = [int(n) for n in (text_of("/proc/stat") or "cpu 0").splitlines()[0].split()[1:]]
        ticks += [0] * (8 - len(ticks))
        idle, steal = ticks[3] + ticks[4], ticks[7]
        mine = sum(r.ru_utime + r.ru_stime for r in (resource.getrusage(resource.RUSAGE_SELF),
                                                     resource.getrusage(resource.RUSAGE_CHILDREN)))
        per_second = os.sysconf("SC_CLK_TCK")
        return [sum(ticks[:8]) / per_second, (sum(ticks[:8]) - idle - steal) / per_second,
                steal / per_second, mine]

    def shares(self):
        """Of all processor time there was: taken by other programs, taken by other machines."""
        total, busy, steal, mine = (now - then for now, then in zip(self.read(), self.begin))
        if total <= 0:
            return {"others": 0.0, "stolen": 0.0}
        return {"others": max(0.0, (busy - mine) / total), "stolen": steal / total}
