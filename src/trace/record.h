/* SPDX-License-Identifier: MIT
 *
 * The layout of a record, in thread buffers, flight recordings and simple files alike: version 4 of
 * QEMU's simple format, type word included. Integers are in the byte order of the host, unaligned,
 * unpadded.
 *
 *     offset  0        8        16       24       28       32
 *            +--------+--------+--------+--------+--------+-----------------
 *            | type   | id     | time   | length | pid    | arguments
 *            | u64    | u64    | u64 ns | u32    | u32    |
 *            +--------+--------+--------+--------+--------+-----------------
 *
 * `length` counts from the id on: it leaves out the type word. An argument is 8 bytes, or for a
 * string a 4-byte length and that many bytes, no NUL. A record of type 0 is a mapping instead: id
 * (u64), length (u32), name.
 */
#ifndef TRACE_RECORD_H
#define TRACE_RECORD_H

#include <stdint.h>

#define TRACE_HEADER_ID    UINT64_MAX
#define TRACE_HEADER_MAGIC UINT64_C(0xf2b177cb0aa429b4)
#define TRACE_DROPPED_ID   UINT64_C(0xfffffffffffffffe)

enum {
    TRACE_TYPE_MAPPING = 0,
    TRACE_TYPE_EVENT = 1,
    TRACE_RECORD_HEAD = 32, /* bytes before the first argument, type word included */
    TRACE_RECORD_TYPE = 8,  /* bytes of the type word, which `length` does not count */
    TRACE_FILE_HEAD = 24,   /* header id, magic, version */
    TRACE_RECORD_MAX = TRACE_RECORD_HEAD + 16 * (4 + 512), /* the largest there can be */
};

#endif
