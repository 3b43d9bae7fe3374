# SPDX-License-Identifier: MIT
#
# Makes flight recordings by hand, for tests that need threads and a wall clock. The layout is drawn
# in src/trace/write/flight.h.
import struct

from recording import mapping

HEADER = 4096
CHUNK = 16 << 10
CHUNKS = 14  # with the header no smaller than the smallest flight recording


def flight(events, names, threads, pid=100, wall=0):
    """`events`: declarations; `names`: of the events, numbered from 0; `threads`: pairs of a thread
    id and its records, each thread in a chunk of its own."""
    chunks = []
    for sequence, (tid, records) in enumerate(threads, 1):
        body = struct.pack("<QII", sequence, tid, sequence) + b"".join(records)
        assert len(body) <= CHUNK
        chunks.append(body.ljust(CHUNK, b"\0"))
    count = max(CHUNKS, len(chunks), ((1 << 18) - HEADER) // CHUNK + 1)
    chunks += [bytes(CHUNK)] * (count - len(chunks))
    names_part = b"".join(mapping(number, name) for number, name in enumerate(names))
    text = events.encode()
    tables = text + names_part
    offset = HEADER + -(-len(tables) // 4096) * 4096
    head = struct.pack("<16sIIQQQQQQqII", b"VITRINE flight\n", 1, 0x01020304, CHUNK, count, offset,
                       HEADER, len(text), len(names_part), wall, pid, 0)
    return head.ljust(HEADER, b"\0") + tables.ljust(offset - HEADER, b"\0") + b"".join(chunks)
