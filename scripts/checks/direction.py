# SPDX-License-Identifier: MIT
"""Include direction: a room sees its own files, `base`, and the rooms that its row names; nothing
else. Where a lower room must reach a higher one, the higher registers a function pointer."""

import os
import re
from pathlib import Path

# Room (a folder of src/, or beside it), and the rooms it may include. The longest name that fits a
# file is its room. Naming a room names what is below it: `trace` is also `trace/decl`, which is a
# room of its own because the generator is made of it before the rest of `trace` can be built.
BACK_ENDS = "block net chardev display"
TABLE = {
    "base": "",
    "trace/decl": "",
    "trace": "trace/decl",
    "symbol": "",
    "disas": "",
    "syscall": "trace/decl",
    "memory": "trace",
    "ir": "trace",
    "guest/x86": "ir memory trace",
    "host/x64": "ir trace",
    "engine": "ir memory trace symbol disas",
    "block": "trace",
    "net": "trace",
    "chardev": "trace",
    "display": "trace",
    "device": f"memory {BACK_ENDS} trace",
    "machine": f"device memory {BACK_ENDS} engine guest/x86 host/x64 trace",
    "user": "engine guest/x86 host/x64 memory syscall trace",
    "plugin": "engine memory trace symbol disas",
    "instr": "engine memory trace symbol disas",
    "gdb": "engine memory trace symbol disas",
    "embed": "engine guest/x86 host/x64 memory trace instr",
    "monitor": "trace",
    "monitor/machine": f"monitor machine device memory {BACK_ENDS} engine guest/x86 disas trace",
    "cmd/vitrine-tracegen": "trace/decl",
    "cmd/vitrine-trace": "trace symbol disas syscall",
    "cmd/vitrine-user": "user plugin instr gdb monitor engine guest/x86 host/x64 memory symbol disas "
                        "syscall chardev trace",
    "cmd/vitrine": "*",
    # Beside src/: include/ is for other people's compilers, so it stands alone.
    "include": "",
    "demo": "trace",
    "bench": "*",
    "tests": "*",
}

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')
GENERATED = re.compile(r"^trace-(\w+)\.h$")
SUFFIXES = (".c", ".h", ".def", ".inc")


def room_of(path, table=None):
    """The room of a path relative to the top of the tree; None if no row fits."""
    parts = Path(path).parts
    if parts[0] == "src":
        parts = parts[1:]
    for length in range(len(parts) - 1, 0, -1):
        name = "/".join(parts[:length])
        if name in (TABLE if table is None else table):
            return name
    return None


def allowed(room, target_room):
    """True if a file of `room` may include one of `target_room`."""
    if target_room == room or target_room == "base":
        return room != "include" or target_room == "include"
    for name in TABLE[room].split():
        if name == "*" or target_room == name or target_room.startswith(name + "/"):
            return True
    return False


def group_name(folder):
    """The group of a folder's trace-events, as src/meson.build calls it."""
    name = folder[4:] if folder.startswith("src/") else folder
    return re.sub(r"[^A-Za-z0-9]", "_", name)


def groups_of(root):
    found = {}
    for top in ("src", "demo", "bench", "tests"):
        for where, _, names in os.walk(root / top):
            if "trace-events" in names:
                folder = os.path.relpath(where, root)
                found[group_name(folder)] = folder
    return found


def resolve(root, source, name, quoted):
    """The file of the tree that an #include means, relative to the top; None if it is not ours."""
    beside = [root / source.parent] if quoted else []
    for folder in [*beside, root / "src", root / "include"]:
        path = Path(os.path.normpath(folder / name))
        if path.is_file() and path.is_relative_to(root):
            return path.relative_to(root)
    return None


def check_file(root, source, groups):
    """The violations of one file, as (place, sentence)."""
    room = room_of(source)
    if room is None:
        yield f"{source}:1", "its folder has no row in the table of rooms, scripts/checks/direction.py"
        return
    text = (root / source).read_text(errors="replace")
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        quoted, name = match[1] == '"', match[2]
        target = resolve(root, source, name, quoted)
        generated = GENERATED.match(name)
        if target is None and generated and generated[1] in groups:
            target = Path(groups[generated[1]], "trace-events")
            if room_of(target) != room:
                yield (f"{source}:{number}", f"{name} holds the events of {target.parent}; a source "
                       "fires only those of its own room")
            continue
        if target is None:
            if quoted:
                yield (f"{source}:{number}", f'"{name}" is no file of the tree (system headers are '
                       "included with <>)")
            continue
        target_room = room_of(target)
        if target_room is None or not allowed(room, target_room):
            row = TABLE[room] or "base"
            yield (f"{source}:{number}", f"{room} may not include {target} (besides its own files and "
                   f"base it sees: {row})")


def violations(root):
    groups = groups_of(root)
    found = []
    for top in ("src", "include", "demo", "bench", "tests"):
        for where, _, names in os.walk(root / top):
            for name in names:
                if name.endswith(SUFFIXES):
                    source = Path(where, name).relative_to(root)
                    found += check_file(root, source, groups)
    return sorted(found)
