/* SPDX-License-Identifier: MIT
 *
 * Reading recordings: one interface over every format. A reader hands out records one at a time in
 * time order and holds a bounded amount of memory however long the file is. Files, pipes and
 * standard input ("-"), `.zst` transparently.
 *
 *     struct trace_reader *r = trace_reader_open(path, &options, &err);
 *     while ((got = trace_reader_next(r, &record)) > 0) { ... }
 *     if (got < 0) fprintf(stderr, "%s\n", trace_reader_error(r));
 *     trace_reader_close(r);
 *
 * One thread at a time for one reader; several readers may be open.
 *
 * Read in this order: this header, internal.h (what a format offers), reader.c, then a format:
 * simple.c, flight.c, ctf.c (ctf_tsdl.h, ctf_metadata.h); events.c finds declarations.
 */
#ifndef TRACE_READER_H
#define TRACE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "trace/decl/decl.h"

/* One record. Everything it points to is valid until the next call on the reader, declarations
 * until it is closed. */
struct trace_record {
    /* What was logged. For lost events (`lost` > 0) the built-in declaration
     * `Dropped_Event(uint64_t num_events_dropped)`. Pointers are stable: equal pointers mean equal
     * events. */
    const struct trace_decl *decl;
    unsigned event;          /* small dense number of `decl` in this reader, for tables */
    uint64_t time;           /* ns on the recording's monotonic clock */
    uint32_t pid;            /* 0 where the format has none */
    uint32_t thread;         /* host thread id, 0 where the format has none */
    uint64_t lost;           /* events lost here; also values[0] */
    const uint64_t *values;  /* decl->nargs of them, as in trace_decl_render() */
    const uint32_t *lengths; /* for strings */
};

enum trace_format {
    TRACE_FORMAT_SIMPLE, /* QEMU's simple format, versions 0, 2, 3, 4 */
    TRACE_FORMAT_CTF,    /* a directory written by our ctf writer */
    TRACE_FORMAT_FLIGHT, /* a flight recording */
};

struct trace_reader_options {
    const char *events; /* declarations, or NULL: FILE.events, else the installed list */
    bool no_header;     /* simple: no 24-byte header, ids are positions in the declarations */
};

struct trace_reader;

/* Opens a recording and reads its head. NULL and a sentence on failure. */
struct trace_reader *trace_reader_open(const char *path, const struct trace_reader_options *options,
                                       struct error *err);
void trace_reader_close(struct trace_reader *reader); /* NULL is fine */

/* 1: a record; 0: the end; -1: the recording is damaged from here on (or cannot be read further),
 * trace_reader_error() says at which byte and what was expected. Stays at 0 or -1 once there. */
int trace_reader_next(struct trace_reader *reader, struct trace_record *record);
const char *trace_reader_error(const struct trace_reader *reader);

enum trace_format trace_reader_format(const struct trace_reader *reader);
unsigned trace_reader_version(const struct trace_reader *reader); /* of the simple format, else 0 */

/* Wall-clock time minus recording clock in ns, where the recording knows it (else false). */
bool trace_reader_wall_offset(const struct trace_reader *reader, int64_t *offset);

/* Bytes of the (compressed) input consumed and its size, 0 when it is not known (a pipe). */
void trace_reader_progress(const struct trace_reader *reader, uint64_t *done, uint64_t *size);

#endif
