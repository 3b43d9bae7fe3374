/* SPDX-License-Identifier: MIT
 *
 * One -trace option, taken apart: which events, where to, under which conditions. Used by setup.c.
 */
#ifndef TRACE_REQUEST_H
#define TRACE_REQUEST_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "trace/probe/sink.h"

enum { REQUEST_WRITERS_MAX = 8 };

/* One -trace option, or one trace: item of -d. */
struct request {
    char *where;   /* for messages: "-trace TEXT" */
    char *pattern; /* NULL: none; may begin with '-' */
    char *events;  /* path */
    char *filter, *start, *stop;
    bool limited;
    uint64_t limit;
    unsigned toggle; /* number of the signal that switches; 0: none */
    const struct trace_sink_ops *writer[REQUEST_WRITERS_MAX];
    unsigned writers;
    bool recording; /* a word about recording was given */
    struct trace_sink_options options;
    struct trace_sink *sink[REQUEST_WRITERS_MAX]; /* once applied */
    struct request *next;
};

/* Takes the text of an option, or of a line of an events file, apart, and refuses what has no
 * meaning. On failure request_clear() is still due. */
bool request_parse(struct request *request, const char *text, struct error *err);
void request_clear(struct request *request);

/* The keys and writers as help text. */
void request_help(FILE *out);

#endif
