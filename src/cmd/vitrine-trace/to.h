/* SPDX-License-Identifier: MIT
 *
 * Output formats. Each is one file, to_NAME.c, and one `struct sink_format`; convert.c holds the
 * table of them. filter and merge write through the `simple` one.
 *
 * A command opens a sink, hands it every record in order and ends it once, also when the recording
 * turned out to be damaged: what a sink wrote is whole and closed after end().
 *
 * Two rules hold for every format that is not a recording of ours:
 *   - An argument with words (an enumeration, a flag set, an argument of a system call) is written
 *     as its number; its word, where one matches, is written beside it under the name ARG_word.
 *   - Text is UTF-8. A string's bytes that are not valid UTF-8 are taken as Latin-1 characters.
 */
#ifndef TO_H
#define TO_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/output.h"
#include "base/strbuf.h"
#include "trace/read/reader.h"

struct sink_options {
    const char *path;  /* "-" is standard output */
    const char *event; /* csv: this event alone, an argument a column; pickle: these events, with
                          commas between them; else NULL */
    bool slices;       /* perfetto, chrome: pairs such as X_enter, X_exit become slices */
    bool force;        /* sqlite: replaces an existing file */
    bool no_pid;       /* the recording has no process ids: simple, versions 0 and 2 */
    bool wall_known;   /* the recording knows its wall-clock offset: `wall` */
    int64_t wall;
};

struct sink;

struct sink_format {
    const char *name;
    const char *summary; /* one line for --help */
    bool named;          /* needs a file name: cannot go to standard output */

    /* NULL and a sentence when the output cannot be made. Options are the caller's. */
    struct sink *(*begin)(const struct sink_options *options, struct error *err);
    /* False: nothing more is wanted (a failed disk, a closed pipe); end() tells. */
    bool (*record)(struct sink *sink, const struct trace_record *record);
    /* Closes and frees. False and a sentence when anything since begin() failed. */
    bool (*end)(struct sink *sink, struct error *err);
};

/* Every sink's struct begins with this. */
struct sink {
    const struct sink_format *format;
};

extern const struct sink_format sink_simple, sink_ctf, sink_perfetto, sink_chrome, sink_json,
    sink_csv, sink_sqlite, sink_pickle, sink_simpletrace;

/* The format's row by name, or NULL. */
const struct sink_format *sink_format_find(const char *name);

/* What a sink keeps for each event, found by the event's number; made on first use. */
struct event_table {
    void **row;
    unsigned count;
};

void event_table_grow(struct event_table *table, unsigned event);

static inline void **event_table_slot(struct event_table *table, unsigned event)
{
    if (event >= table->count) {
        event_table_grow(table, event);
    }
    return &table->row[event];
}

/* Calls `each` for every row that was made, then frees the table. */
void event_table_free(struct event_table *table, void (*each)(void *row));

/* True for the record that stands for lost events. */
bool record_is_loss(const struct trace_record *record);

/* The name under which the word of argument number `i` is written, or NULL when the argument has no
 * words or the event has an argument of that name already. free() it. */
char *word_name(const struct trace_decl *decl, unsigned i);

/* Appends the word of a value that word_name() named, or returns false where none matches. */
bool record_word(struct strbuf *to, const struct trace_record *record, unsigned i);

/* Where a simple recording's declarations go: PATH.events, also for PATH.zst. free() it. */
char *simple_events_path(const char *path);

/* Refuses an output that would destroy what is being read: the recording or its declarations
 * (`events` as given with --events, or NULL). `simple`: declarations are written too, beside the
 * output. False and a sentence then. */
bool output_differs(const char *input, const char *events, const char *output, bool simple,
                    struct error *err);

#endif
