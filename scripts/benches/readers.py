# SPDX-License-Identifier: MIT
"""What is measured of readers: records a second of one core, of its user and system time."""

import shutil
import subprocess
import sys

import recordings
from measure import Failed, run
from rows import Row, Series, at_least, at_least_times

REPEATS = 5
PYTHON_REPEATS = 3  # slow
LARGE, SMALL = 5_000_000, 1_000_000
CTF = 300_000

# What convert can write to standard output.
STREAMED = ("json", "csv", "perfetto", "chrome", "simple")


def rate(command, records):
    """A job: records a second of processor time, and of wall time beside it."""
    def work():
        wall, processor, _ = run(command)
        return {"rate": [records / processor / 1e6], "wall": [records / wall / 1e6]}
    return work


def same_lines(show, python, recording):
    """The comparison is fair only if both print the same."""
    def first_difference():
        ours, theirs = (run(command, subprocess.PIPE)[2].splitlines() for command in
                        (show(recording), python(recording)))
        for number, (a, b) in enumerate(zip(ours, theirs), 1):
            if a != b:
                return f"line {number}: {a!r} and {b!r}"
        return None if len(ours) == len(theirs) else f"{len(ours)} lines and {len(theirs)}"
    difference = first_difference()
    if difference:
        raise Failed(f"show and bench/reader.py differ on {recording.path}: {difference}")


def readers(root, build, scratch, interleaved):
    trace = build / "vitrine-trace"

    def show(recording):
        return [trace, "show", "--plain", "--events", recording.events, recording.path]

    def stats(recording):
        return [trace, "stats", "--events", recording.events, recording.path]

    def python(recording):
        return [sys.executable, root / "bench/reader.py", recording.events, recording.path]

    def convert(recording, form):
        return [trace, "convert", "--to", form, "--events", recording.events, recording.path]

    large = recordings.written(build, scratch / "large", LARGE)
    small = recordings.written(build, scratch / "small", SMALL)
    same_lines(show, python, recordings.written(build, scratch / "tiny", 20_000))
    jobs = {
        "cat": rate(["cat", large.path], LARGE),
        "show": rate(show(large), LARGE),
        "stats": rate(stats(large), LARGE),
        "show, small": rate(show(small), SMALL),
    }
    slow = {"python": rate(python(small), SMALL)}
    for form in STREAMED:
        jobs[form] = rate(convert(small, form), SMALL)

    missing = recordings.boot_missing()
    if missing:
        print(f"bench: {missing}: nothing is measured with the recording of a PC", file=sys.stderr)
    else:
        once = recordings.boot_once(scratch / "boot-once")
        same_lines(show, python, once)
        many = recordings.boot_many(once, scratch / "boot")
        jobs["boot, cat"] = rate(["cat", many.path], many.records)
        jobs["boot, show"] = rate(show(many), many.records)
        jobs["boot, stats"] = rate(stats(many), many.records)
        slow["boot, python"] = rate(python(many), many.records)

    if shutil.which("babeltrace2"):
        ctf = recordings.written(build, scratch / "ctf", CTF, "ctf")
        jobs["ctf, show"] = rate([trace, "show", "--plain", ctf.path], CTF)
        slow["ctf, babeltrace2"] = rate(["babeltrace2", ctf.path], CTF)

    samples = interleaved(jobs, REPEATS)
    samples.update(interleaved(slow, PYTHON_REPEATS))
    return samples, table(samples)


def table(samples):
    def row(name, job, beside_name="", beside=None, goal=None):
        if job not in samples or (beside and beside not in samples):
            return []
        wall = Series("M/s", samples[job]["wall"])
        return [Row(name, Series("M/s", samples[job]["rate"]), beside_name,
                    Series("M/s", samples[beside]["rate"]) if beside else None, goal,
                    f"by the wall clock {wall.text()}")]

    five = at_least(5, "5 M/s a core")
    twenty = at_least(20, "20 M/s a core")
    times = at_least_times(20, "20 times")
    rows = [
        row("show, three arguments", "show", "cat of the file", "cat", five),
        row("show, against Python, same file", "show, small", "bench/reader.py", "python", times),
        row("stats, three arguments", "stats", "cat of the file", "cat", twenty),
        row("show, a PC boots", "boot, show", "cat of the file", "boot, cat", five),
        row("show, a PC boots, against Python", "boot, show", "bench/reader.py", "boot, python",
            times),
        row("stats, a PC boots", "boot, stats", "cat of the file", "boot, cat", twenty),
        row("show, our CTF", "ctf, show", "babeltrace2", "ctf, babeltrace2"),
    ]
    rows += [row(f"convert --to {form}", form, "show", "show, small")
             for form in STREAMED]
    return [each for found in rows for each in found]
