# SPDX-License-Identifier: MIT
"""Running what is measured: interleaved, repeated, with the processor time of every program."""

import json
import os
import subprocess
import sys
import time


class Failed(Exception):
    """A program that is measured did not do its work; the text says which and why."""


def run(command, stdout=subprocess.DEVNULL):
    """Runs a program to its end. Returns (wall seconds, processor seconds, what it printed)."""
    command = [str(part) for part in command]
    begin = time.monotonic()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout,
                          stderr=subprocess.PIPE) as process:
        printed = process.stdout.read() if process.stdout else b""
        errors = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise Failed(f"{' '.join(command)}: exit status {process.returncode}: "
                     f"{errors.decode(errors='replace').strip()}")
    return wall, usage.ru_utime + usage.ru_stime, printed


def run_json(command):
    """Runs a program of bench/ and returns what it measured."""
    return json.loads(run(command, subprocess.PIPE)[2])


def interleaved(jobs, repeats):
    """Runs jobs (name -> function that returns a dictionary of lists) one after the other, and all
    of them again (A B A B ...). Returns the lists joined: name -> dictionary."""
    series = {name: {} for name in jobs}
    for turn in range(repeats):
        for name, job in jobs.items():
            progress(f"{name} ({turn + 1} of {repeats})")
            for key, values in job().items():
                series[name].setdefault(key, []).extend(values)
    progress("")
    return series


def progress(text):
    """Says what is going on, on a terminal only."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
