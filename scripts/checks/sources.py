# SPDX-License-Identifier: MIT
"""Checks that read the sources without running them."""

import re
from pathlib import Path

import direction
from common import ROOT, build, build_folder, in_parallel, interpreter, run, tree_files, verdict

TAG = "SPDX-License-Identifier: MIT"
TAGGED_SUFFIXES = (".c", ".h", ".def", ".S", ".py", ".sh", ".build")
TAGGED_NAMES = ("Makefile", "meson_options.txt", "trace-events")


def check_direction():
    return verdict(direction.violations(ROOT))


# --- licence

def untagged(root):
    """The files that should carry the licence tag near their head and do not."""
    for path in tree_files(root):
        wanted = (path.suffix in TAGGED_SUFFIXES or path.name in TAGGED_NAMES
                  or interpreter(path) != "")
        # Declarations that the tests read are data, often with mistakes on purpose.
        if path.name == "trace-events" and "tests" in path.relative_to(root).parts:
            continue
        if wanted:
            head = path.read_text(errors="replace").splitlines()[:3]
            if not any(TAG in line for line in head):
                yield path.relative_to(root)


def check_licence():
    return verdict([(f"{path}:1", f'"{TAG}" is missing in its first lines')
                    for path in untagged(ROOT)])


# --- layout

def check_format():
    files = [p for p in tree_files() if p.suffix in (".c", ".h")]
    outcome = run(["clang-format", "--dry-run", "-Werror", *files], 300)
    places = {}
    for line in outcome.output.splitlines():
        match = re.match(r"(.+?):(\d+):\d+: error: code should be clang-formatted", line)
        if match:
            places.setdefault(match[1], match[2])
    failures = [(f"{Path(name).relative_to(ROOT)}:{line}", "not laid out as .clang-format says: make format")
                for name, line in places.items()]
    if not failures and not outcome.ok:
        failures = [("clang-format " + outcome.ending(), outcome.output)]
    return verdict(failures)


# --- shell scripts

def check_shell():
    scripts = [p.relative_to(ROOT) for p in tree_files()
               if p.suffix == ".sh" or interpreter(p) in ("sh", "bash", "dash")]
    outcome = run(["shellcheck", "--format=gcc", *scripts], 120)
    return verdict([] if outcome.ok else [("shellcheck", outcome.output)])


# --- headers

def check_headers():
    """Every header compiles alone, and a second time in the same source without complaint."""
    built = build("gcc", "all")
    if not built.ok:
        return verdict([("not checked, since build-gcc could not be built", "")])
    headers = [p for p in tree_files(folders=("src", "include")) if p.suffix == ".h"]

    def compile_alone(job):
        compiler, header = job
        name = header.relative_to(ROOT / header.relative_to(ROOT).parts[0])
        twice = ["-include", name, "-include", name]
        outcome = run([compiler, "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wshadow",
                       "-Wstrict-prototypes", "-Werror", "-fsyntax-only", "-Isrc", "-Iinclude",
                       f"-I{build_folder('gcc')}/src", *twice, "-x", "c", "/dev/null"], 60)
        if outcome.ok:
            return None
        return (f"{header.relative_to(ROOT)}:1", f"does not compile alone with {compiler}\n"
                + outcome.output)

    jobs = [(compiler, header) for header in headers for compiler in ("gcc", "clang")]
    return verdict([f for f in in_parallel(compile_alone, jobs) if f])
