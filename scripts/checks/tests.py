# SPDX-License-Identifier: MIT
"""The builds with warnings as errors, and the stages that run programs: unit tests, tests that run
the installed programs, fuzz targets."""

import json
import os
import re
import sys
import tempfile
from pathlib import Path

from common import (LONG, ROOT, Result, build, build_folder, environment, in_parallel, run, unshuffled)

UNIT_TIMEOUT = 1800 if LONG else 150
RUN_TIMEOUT = 3600 if LONG else 300
FUZZ_TIME = int(os.environ.get("FUZZ_TIME") or (60 if LONG else 5))


def sources(folder, pattern):
    return sorted((ROOT / folder).glob(pattern))


TELLING = re.compile(r"error: |warning: |undefined reference|multiple definition|is missing")


def not_built(outcome):
    """A build that failed, as the lines that say why."""
    lines = outcome.output.splitlines()
    telling = [line for line in lines if TELLING.search(line)]
    return "\n".join(telling[:30] or lines[-30:])


def check_build(variant):
    result = Result()
    outcome = build(variant, "all")
    if outcome.ok:
        result.passed = 1
    else:
        result.fail(f"scripts/build {variant} {outcome.ending()}", not_built(outcome))
    return result


def run_each(variant, targets, files, one):
    """Builds, then runs one(file) for every file; a build that fails is the only failure then."""
    result = Result()
    if not files:
        return result
    outcome = build(variant, *targets)
    if not outcome.ok:
        result.fail(f"scripts/build {variant} {' '.join(targets)} {outcome.ending()}", not_built(outcome))
        return result
    for part in in_parallel(one, files):
        result.add(part)
    return result


# --- tests/unit: cmocka programs that print TAP

PLAN = re.compile(r"^1\.\.(\d+)\s*$")
POINT = re.compile(r"^(not )?ok (\d+)\b(.*)$")


def read_tap(name, outcome):
    """The result of one program from the TAP it printed and from how it ended."""
    result = Result()
    planned = seen = 0
    failed = None  # the test that the lines which follow belong to

    def keep():
        if failed:
            result.fail(f"{name}: {failed[0]}", "\n".join(failed[1:]))

    for line in outcome.output.splitlines():
        plan, point = PLAN.match(line), POINT.match(line)
        if plan:
            planned += int(plan[1])
        elif point:
            keep()
            failed = None
            seen += 1
            if "# SKIP" in point[3]:
                result.skips.append(f"{name}: {point[3].split('# SKIP')[1].strip()}")
            elif point[1]:
                failed = [point[3].lstrip(" -")]
            else:
                result.passed += 1
        elif failed:
            failed.append(line)
    keep()
    if planned == 0:
        result.fail(f"{name}: printed no test plan and {outcome.ending()}", outcome.output[-3000:])
    elif seen < planned:
        result.fail(f"{name}: {planned - seen} of {planned} tests did not run; it {outcome.ending()}",
                    outcome.output[-6000:])
    elif not outcome.ok and not result.failures:
        result.fail(f"{name}: {outcome.ending()} after its tests passed", outcome.output[-6000:])
    return result


def check_unit(variant):
    """The unit tests in one variant of the build."""
    env = environment(CMOCKA_MESSAGE_OUTPUT="TAP", VITRINE_BUILD=str(build_folder(variant)))
    timeout = UNIT_TIMEOUT if variant == "gcc" else 2 * UNIT_TIMEOUT

    def one(source):
        command = [build_folder(variant) / "tests" / source.stem]
        if variant in ("asan", "tsan"):
            command = unshuffled(command)
        return read_tap(f"{source.relative_to(ROOT)} ({variant})", run(command, timeout, env))

    return run_each(variant, ["tests"], sources("tests/unit", "*_test.c"), one)


# --- tests/run: python programs that run ours

def check_run(variant="gcc"):
    env = environment(VITRINE_BUILD=str(build_folder(variant)))
    runner = Path(__file__).with_name("one_file.py")
    targets = ["all"] + (["tests"] if sources("tests/unit", "*.c") + sources("tests/program", "*.c") else [])

    def one(path):
        result = Result()
        name = path.relative_to(ROOT)
        with tempfile.NamedTemporaryFile("r", prefix="results-", suffix=".json") as lines:
            outcome = run([sys.executable, runner, path, lines.name], RUN_TIMEOUT, env)
            for test, verdict, details in map(json.loads, lines):
                if verdict == "passed":
                    result.passed += 1
                elif verdict == "skipped":
                    result.skips.append(f"{name}: {test}: {details}")
                else:
                    result.fail(f"{name}: {test}", details)
        if not outcome.ok and not result.failures:
            result.fail(f"{name}: {outcome.ending()}", outcome.output[-3000:])
        elif result.count == 0:
            result.fail(f"{name}: holds no test", outcome.output[-3000:])
        return result

    return run_each(variant, targets, sources("tests/run", "*_test.py"), one)


# --- tests/fuzz: libFuzzer targets, each for a while

def check_fuzz():
    folder = build_folder("fuzz")

    def one(source):
        result = Result()
        subject = source.stem.removesuffix("_fuzz")
        finds = folder / "finds"
        kept = folder / "corpus" / subject
        for needed in (finds, kept):
            needed.mkdir(parents=True, exist_ok=True)
        seeds = [p for p in [ROOT / "tests/fuzz/corpus" / subject] if p.is_dir()]
        words = [f"-dict={p}" for p in [ROOT / "tests/fuzz" / f"{subject}.dict"] if p.is_file()]
        command = [folder / "tests" / source.stem, f"-max_total_time={FUZZ_TIME}", "-timeout=10",
                   "-rss_limit_mb=2048", f"-artifact_prefix={finds}/{subject}-", "-print_final_stats=1",
                   *words, kept, *seeds]
        # What is fuzzed may write files: it does so in a folder that goes away.
        with tempfile.TemporaryDirectory(prefix="fuzz-") as where:
            outcome = run(unshuffled(command), FUZZ_TIME + 120, cwd=where)
        executed = re.search(r"stat::number_of_executed_units:\s*(\d+)", outcome.output)
        if not outcome.ok:
            result.fail(f"{source.relative_to(ROOT)}: {outcome.ending()}", fuzz_report(outcome.output))
        elif not executed or int(executed[1]) == 0:
            result.fail(f"{source.relative_to(ROOT)}: ran nothing", outcome.output[-3000:])
        else:
            result.passed = 1
        return result

    return run_each("fuzz", ["fuzzers"], sources("tests/fuzz", "*_fuzz.c"), one)


def fuzz_report(output):
    """From the first line that speaks of an error: before it stand only statistics."""
    match = re.search(r"^.*(ERROR: |runtime error: |terminate called)", output, re.MULTILINE)
    return output[match.start():] if match else output[-3000:]
