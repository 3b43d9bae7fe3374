/* SPDX-License-Identifier: MIT
 *
 * Writing CTF 1.8 traces: a directory with a file `metadata`, which describes everything in TSDL,
 * and one file for each thread. The ctf writer and the converter are made of this.
 *
 * A thread's file is a row of packets, each no longer than what is left of a page of the file:
 *
 *     0            4096          8192
 *     +------+-----+-------------+------+------+--
 *     |packet|pack.|packet       |packet|pack. |      4 bytes  magic, 16 bytes uuid, 4 bytes stream
 * id,
 *     +------+-----+-------------+------+------+--    56 bytes packet context (ctf_tsdl.c), events
 *
 * The kernel copies what is written page by page, and a page is all or nothing: a process that is
 * killed in the middle of a write, and a disk that is full, leave whole packets. The exception is
 * an event longer than a page, whose packet has as many pages as it needs.
 *
 * An event is its id (u32), its time (u64), the context fields, then the other arguments: 8 bytes
 * for a number, the bytes and a NUL for a string; nothing is padded. Byte order is the host's.
 *
 * Files are opened for each write, so a trace takes one descriptor however many threads there are.
 * One thread at a time for one trace.
 */
#ifndef TRACE_CTF_FILE_H
#define TRACE_CTF_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "trace/decl/decl.h"

enum {
    CTF_PAGE = 4096,
    CTF_UUID_BYTES = 16,
    CTF_PACKET_HEAD = 24 + 56, /* packet header and packet context */
    CTF_EVENT_HEAD = 12,       /* id and time */
    CTF_EVENTS_MAX = 1 << 20,  /* numbers of events */
};

#define CTF_MAGIC 0xc1fc1fc1u
/* The metadata file begins with this line, as CTF asks, and our signature. */
#define CTF_SIGNATURE "/* CTF 1.8 */\n/* A recording of Vitrine"
/* A comment that begins like this holds declarations as in a trace-events file. */
#define CTF_DECLARATIONS "/* trace-events\n"

/* What the metadata says of the program and its clock. Texts are not kept. */
struct ctf_about {
    uint32_t pid;
    const char *program;    /* or NULL */
    const char *host;       /* or NULL */
    const char *clock_uuid; /* names the clock across recordings, 36 characters; or NULL */
    bool wall_known;
    int64_t wall; /* wall-clock time minus recording clock, ns */
};

struct ctf_file;
struct ctf_stream;

/* Makes the directory (mode 0700) and the metadata file. A trace of ours at that place is replaced;
 * anything else is refused with a sentence. */
struct ctf_file *ctf_file_open(const char *path, const struct ctf_about *about, struct error *err);

/* Declares an event under a number of the caller's choice, smaller than
 * CTF_EVENTS_MAX; each number and each name once.
 * Trailing arguments called ctx_NAME become fields of the event's context. Nothing of `decl` is
 * kept. The text reaches the metadata file with the next
 * ctf_file_commit(), and before events of that kind are in a file. */
void ctf_file_declare(struct ctf_file *file, uint32_t event, const struct trace_decl *decl);

/* Brings the metadata file up to date; whoever reads it sees the old or the new one, never a part.
 */
bool ctf_file_commit(struct ctf_file *file, struct error *err);

/* Writes all events that were added. */
bool ctf_file_flush(struct ctf_file *file, struct error *err);

/* Commits, flushes, closes, frees. False and a sentence when anything since the opening failed. */
bool ctf_file_close(struct ctf_file *file, struct error *err);

/* A new file for a thread. Freed with the trace if not before. */
struct ctf_stream *ctf_stream_new(struct ctf_file *file, uint32_t pid, uint32_t thread);
struct ctf_file *ctf_stream_file(const struct ctf_stream *stream);

/* The time of the newest event; 0 while there is none. */
uint64_t ctf_stream_time(const struct ctf_stream *stream);

/* Adds an event. `values` and `lengths` as in trace_decl_render(), in the order of the declaration.
 * A string ends at its first NUL or after TRACE_STRING_MAX bytes. Times of a stream do not fall: an
 * earlier time counts as that of the event before. False: the event is not declared or writing
 * failed. */
bool ctf_stream_event(struct ctf_stream *stream, uint32_t event, uint64_t time,
                      const uint64_t *values, const uint32_t *lengths, struct error *err);

/* Says that `count` events were lost here. */
bool ctf_stream_lost(struct ctf_stream *stream, uint64_t time, uint64_t count, struct error *err);

/* Writes what is left of it and frees it. */
bool ctf_stream_close(struct ctf_stream *stream, struct error *err);

#endif
