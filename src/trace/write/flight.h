/* SPDX-License-Identifier: MIT
 *
 * The layout of a flight recording: a file of fixed size that always holds the newest records and
 * is valid at every moment, also when its writer was killed.
 *
 *     0                4096                          chunks_offset
 *     +----------------+--------------+---------+---+-----------+-----------+-- ... --+-----------+
 *     | struct         | declarations | mapping |   | chunk 0   | chunk 1   |         | chunk N-1 |
 *     | flight_header  | (as text)    | records |   |           |           |         |           |
 *     +----------------+--------------+---------+---+-----------+-----------+-- ... --+-----------+
 *
 * A chunk belongs to one thread at a time. It begins with struct flight_chunk; records follow as in
 * record.h, ended by a type word of 0 or the end of the chunk. Threads take chunks round and round,
 * passing over those that another thread is filling. `sequence` orders the chunks of a thread; it
 * is 0 while a chunk is unused or being taken, and is stored last.
 *
 * When events are added to the program, declarations and mapping are written anew at the end of the
 * file and the header is switched over to them.
 *
 * Integers are in the byte order of the host.
 */
#ifndef TRACE_FLIGHT_H
#define TRACE_FLIGHT_H

#include <stdint.h>

#define FLIGHT_MAGIC "VITRINE flight\n"

enum {
    FLIGHT_VERSION = 1,
    FLIGHT_HEADER_SIZE = 4096,
    FLIGHT_SIZE_MIN = 1 << 18,
    FLIGHT_CHUNK_MIN = 16 << 10,
    FLIGHT_CHUNK_MAX = 256 << 10,
    FLIGHT_SHARE = 256, /* a chunk is about this part of the file */
};

struct flight_header {
    char magic[16]; /* FLIGHT_MAGIC and a NUL */
    uint32_t version;
    uint32_t byte_order; /* 0x01020304 */
    uint64_t chunk_size;
    uint64_t chunk_count;
    uint64_t chunks_offset; /* a multiple of 4096 */
    uint64_t text_offset;
    uint64_t text_length;
    uint64_t mapping_length; /* right behind the text */
    int64_t wall_offset;     /* CLOCK_REALTIME minus CLOCK_MONOTONIC, ns */
    uint32_t pid;
    uint32_t pad;
};

struct flight_chunk {
    uint64_t sequence;
    uint32_t tid;
    uint32_t serial; /* tells threads apart that had the same tid */
};

#endif
