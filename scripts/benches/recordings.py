# SPDX-License-Identifier: MIT
"""The recordings that readers are measured with."""

import os
import shutil
import struct
import subprocess
from pathlib import Path

from measure import run_json

# A recording of QEMU, of a PC that boots: events of many kinds, with texts.
DATA = Path(os.environ.get("VITRINE_DATA",
                           Path(__file__).resolve().parents[2] / "tests" / "data"))
BOOT = DATA / "pc-boot.simple-v4.zst"
BOOT_EVENTS = Path("/usr/share/qemu/trace-events-all")
BOOT_COPIES = 60

HEAD = 24  # bytes of a file's head
EVENT = 1


class Recording:
    """A recording, where its declarations are, how many records it has."""

    def __init__(self, path, events, records):
        self.path = path
        self.events = events
        self.records = records


def written(build, path, count, writer="simple"):
    """Written by our own writer: `count` records of three arguments."""
    run_json([build / "bench/throughput", "--count", count, "-trace",
              f"bench_three,writer={writer},file={path}"])
    return Recording(path, f"{path}.events", count)


def boot_missing():
    """What keeps us from measuring with the PC's recording, or None."""
    for path in (BOOT, BOOT_EVENTS):
        if not path.exists():
            return f"{path} is missing"
    return None if shutil.which("zstd") else "zstd is not installed"


def event_offsets(data):
    """Where the records of events are in a simple recording, version 4."""
    offsets = []
    at = HEAD
    while at < len(data):
        kind, = struct.unpack_from("<Q", data, at)
        if kind == EVENT:
            offsets.append(at)
            at += 8 + struct.unpack_from("<I", data, at + 24)[0]
        else:
            at += 20 + struct.unpack_from("<I", data, at + 16)[0]
    return offsets


def boot_once(path):
    data = subprocess.run(["zstd", "-dcq", BOOT], capture_output=True, check=True).stdout
    path.write_bytes(data)
    return Recording(path, str(BOOT_EVENTS), len(event_offsets(data)))


def boot_many(once, path):
    """The PC boots again and again: its records repeated, the times moved on."""
    data = once.path.read_bytes()
    offsets = event_offsets(data)
    first = offsets[0]
    records = bytearray(data[first:])
    times = [struct.unpack_from("<Q", data, at + 16)[0] for at in offsets]
    length = times[-1] - times[0] + 1_000_000
    with open(path, "wb") as file:
        file.write(data[:first])
        for copy in range(BOOT_COPIES):
            for at, time in zip(offsets, times):
                struct.pack_into("<Q", records, at - first + 16, time + copy * length)
            file.write(records)
    return Recording(path, once.events, len(offsets) * BOOT_COPIES)
