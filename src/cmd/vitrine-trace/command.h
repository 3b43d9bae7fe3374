/* SPDX-License-Identifier: MIT
 *
 * vitrine-trace: reads, filters, converts and summarises recordings. main.c picks the command, each
 * command is one file, what they share is below.
 *
 * Read in this order: this header, main.c (the table of commands), source.c (opening what a command
 * reads), then any command: show.c, strace.c, stats.c, filter.c, merge.c,
 * convert.c, timeline.c.
 */
#ifndef COMMAND_H
#define COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/output.h"
#include "base/progress.h"
#include "trace/read/reader.h"

/* A command: a row of the table in main.c. `run` gets argv[0] = the command's name and returns the
 * exit status: 0 done, 1 a damaged recording or a failed file, 2 wrong usage. */
struct command {
    const char *name;
    const char *summary; /* one line for the list */
    const char *usage;   /* what follows the name, for `vitrine-trace NAME --help` */
    const char *help;    /* the options, a line each, and an example */
    int (*run)(const struct command *self, int argc, char **argv);
};

extern const struct command command_show, command_stats, command_filter, command_merge,
    command_convert, command_timeline, command_strace;

/* Prints "vitrine-trace NAME: SENTENCE" on stderr. command_usage_error() adds a hint at --help and
 * returns 2; command_failed() returns 1. */
int command_usage_error(const struct command *self, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
int command_failed(const struct command *self, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Prints the help of a command on standard output; returns 0. */
int command_help(const struct command *self);

/* A recording being read by a command, with its progress bar. */
struct source {
    struct trace_reader *reader;
    const char *path;
    struct progress progress;
    uint64_t count;  /* records so far */
    uint64_t next;   /* count at which the clock is looked at */
    uint64_t looked; /* ns, when that was last done */
    unsigned step;   /* records between two such looks */
};

/* Opens `path`; on failure prints the sentence and returns false. `events` as in
 * struct trace_reader_options. */
bool source_open(struct source *source, const struct command *self, const char *path,
                 const struct trace_reader_options *options);

/* The next record, as trace_reader_next(); draws the progress bar. */
int source_next(struct source *source, struct trace_record *record);

/* Closes. Prints the reader's error when there was one and returns 1 then, else 0. */
int source_close(struct source *source, const struct command *self);

/* False, after a complaint, if `path` is standard output and that is a terminal: bytes that are no
 * text would put it out of order. */
bool command_takes_binary(const struct command *self, const char *path);

/* True if standard output is a terminal that takes colours (and NO_COLOR is not set). */
bool command_colour(void);

#endif
