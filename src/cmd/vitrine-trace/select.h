/* SPDX-License-Identifier: MIT
 *
 * Which records a command wants: `--event PATTERN` (any of them) and `--filter EXPR`. A filter is
 * compiled for each event when its first record comes. Beside the arguments it may name the fields
 * event, pid, thread and time, and with struct places also module and symbol. An event that lacks a
 * name which the filter uses is not wanted.
 */
#ifndef SELECT_H
#define SELECT_H

#include <stdbool.h>

#include "base/error.h"
#include "cmd/vitrine-trace/command.h"
#include "cmd/vitrine-trace/flags.h"
#include "cmd/vitrine-trace/places.h"
#include "trace/filter/filter.h"
#include "trace/read/reader.h"

struct select_event {
    bool seen;
    bool wanted;
    struct trace_filter *filter; /* NULL: every record that is wanted by name */
};

struct select {
    bool all;             /* no option was given */
    bool failed;          /* the filter is wrong for an event: `err`; nothing matches any more */
    const char *filter;   /* or NULL */
    bool filter_fits;     /* some event has all the names */
    unsigned unfit;       /* events that lack one of them */
    const char **pattern; /* --event */
    unsigned patterns;
    bool *pattern_hit;          /* [patterns] */
    struct select_event *event; /* by the record's event number */
    unsigned events;
    struct places *places; /* or NULL; it takes every record */
    struct error err;
};

/* `filter`, the patterns and `places` (NULL: no names for addresses) are kept by reference. False
 * and a sentence when the expression is wrong for whatever event. */
bool select_begin(struct select *s, const char *filter, const struct flag_list *patterns,
                  struct places *places, struct error *err);

/* Before the records of another reader: event numbers start anew. */
void select_restart(struct select *s);

bool select_match_slow(struct select *s, const struct trace_record *record);
static inline bool select_match(struct select *s, const struct trace_record *record)
{
    return s->all || select_match_slow(s, record);
}

/* Frees. Tells on stderr which patterns matched no record. False and a sentence when the filter was
 * wrong for an event that came up, or used names that no event has. */
bool select_end(struct select *s, const struct command *self, struct error *err);

#endif
