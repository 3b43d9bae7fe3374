#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# The reader that vitrine-trace is compared with: what one writes in Python to see a recording in
# the simple format (version 4) as text. Prints the same lines as `vitrine-trace show --plain`.
#
#   reader.py DECLARATIONS RECORDING
import re
import struct
import sys

DROPPED = 0xfffffffffffffffe


def read_declarations(path):
    """Arguments of each event: name -> [(argument, is it a string)]."""
    events = {"dropped": [("dropped", False)]}
    with open(path, encoding="utf-8") as file:
        for line in file:
            match = re.match(r"(?:(?:disable|vcpu|tcg)\s+)*(\w+)\((.*?)\)", line)
            if line.startswith("#") or not match:
                continue
            args = []
            for arg in match.group(2).split(","):
                kind, name = re.match(r"\s*(.*?)(\w+)\s*$", arg).groups()
                if name != "void":
                    args.append((name, kind.replace("const", "").replace(" ", "") == "char*"))
            events[match.group(1)] = args
    return events


def read_values(args, data):
    values = []
    at = 0
    for name, is_string in args:
        if is_string:
            length, = struct.unpack_from("<I", data, at)
            values.append(name + "=" + data[at + 4:at + 4 + length].decode("utf-8"))
            at += 4 + length
        else:
            value, = struct.unpack_from("<Q", data, at)
            values.append(f"{name}=0x{value:x}")
            at += 8
    return " ".join(values)


def show(events, file, out):
    magic = struct.unpack("<QQQ", file.read(24))
    if magic != (0xffffffffffffffff, 0xf2b177cb0aa429b4, 4):
        sys.exit("not a recording in the simple format, version 4")
    names = {DROPPED: "dropped"}
    last = None
    while True:
        kind = file.read(8)
        if not kind:
            break
        if kind == bytes(8):
            number, length = struct.unpack("<QI", file.read(12))
            names[number] = file.read(length).decode("ascii")
            continue
        number, time, length, pid = struct.unpack("<QQII", file.read(24))
        data = file.read(length - 24)
        name = names[number]
        delta = 0 if last is None else time - last
        last = time
        out.write(f"{name} {delta / 1000:.3f} pid={pid} {read_values(events[name], data)}\n")


def main():
    with open(sys.argv[2], "rb") as file:
        show(read_declarations(sys.argv[1]), file, sys.stdout)


main()
