/* SPDX-License-Identifier: MIT
 *
 * What the readers of the formats share. A format is one file that offers one constant
 * `struct trace_reader_ops`; reader.c has the table of them, recognises a recording by its first
 * bytes (or by being a directory) and calls the row from then on.
 */
#ifndef TRACE_READ_INTERNAL_H
#define TRACE_READ_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/input.h"
#include "trace/decl/decl.h"
#include "trace/read/reader.h"

enum { TRACE_RECOGNISE_MAX = 16 }; /* first bytes that recognise() may look at */

struct trace_reader_ops {
    enum trace_format format;
    /* How a recording of this format begins, for the sentence about files that are none: "a simple
     * recording (first bytes ff ff ff ff ff ff ff ff)". */
    const char *expected;
    bool directory; /* a recording is a directory: `input` is NULL, open() takes the path */

    /* True if a file that begins with these bytes (fewer than TRACE_RECOGNISE_MAX only when the
     * file ends there) is of this format or meant to be. For directories: NULL. */
    bool (*recognise)(const uint8_t *head, size_t len);

    /* Reads the head. `reader->input` stands at the first byte; a format that is not read from
     * front to back asks for input_file(). On failure the sentence begins with the path; close() is
     * called then too. */
    bool (*open)(struct trace_reader *reader, const struct trace_reader_options *options,
                 struct error *err);

    /* As trace_reader_next(); not called again after 0 or -1. -1 comes from
     * trace_reader_damage(). */
    int (*next)(struct trace_reader *reader, struct trace_record *record);
    void (*close)(struct trace_reader *reader); /* frees `own`; the rest is reader.c's */

    /* May be NULL: the offset is not known; progress is that of the input. */
    bool (*wall_offset)(const struct trace_reader *reader, int64_t *offset);
    void (*progress)(const struct trace_reader *reader, uint64_t *done, uint64_t *size);
};

struct trace_reader {
    const struct trace_reader_ops *ops;
    char *path;
    struct input *input;
    unsigned version; /* of the simple format, else 0 */
    int state;        /* what trace_reader_next() returned last */
    void *own;        /* the format's */
    struct error error;
};

extern const struct trace_reader_ops trace_reader_simple, trace_reader_ctf, trace_reader_flight;

/* The built-in declaration of lost events: `Dropped_Event(uint64_t num_events_dropped)`. */
extern const struct trace_decl trace_decl_dropped;

/* Sets the reader's error to "PATH: at byte OFFSET: SENTENCE" and returns -1, for next(). */
int trace_reader_damage(struct trace_reader *reader, uint64_t offset, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* For next(), when input_need() gave fewer bytes than asked: 0 at the clean end of the stream (no
 * bytes left), else -1 with "the recording ends inside WHAT (needs 56 bytes, has 12)" or the reason
 * why the input failed. The input stands at the start of what is incomplete. */
int trace_reader_cut(struct trace_reader *reader, const char *what, uint64_t needs);

/* Makes a name out of a recording printable, for sentences: control characters and bytes outside
 * ASCII become '?', long names are cut. Writes at most `size` bytes with the NUL; returns `to`. */
const char *trace_reader_name(char *to, size_t size, const void *name, size_t len);

/* Finds and loads the declarations of a recording (events.c): `events`, else PATH.events (for
 * x.zst also x.events), else the installed lists. With `merged` all installed lists count, the
 * first that knows a name wins; without, only the first list, because ids are positions in it.
 * `used` gets the name of the list for sentences (free() it). NULL and a sentence on failure. */
struct trace_decls *trace_events_load(const char *path, const char *events, bool merged,
                                      char **used, struct error *err);

/* trace_reader_open() over a stream that is open already (tests, fuzz targets). Takes the input
 * over, also on failure. `path` is used in sentences and to find declarations. */
struct trace_reader *trace_reader_open_input(const char *path, struct input *input,
                                             const struct trace_reader_options *options,
                                             struct error *err);

#endif
