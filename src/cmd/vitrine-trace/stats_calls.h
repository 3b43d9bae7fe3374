/* SPDX-License-Identifier: MIT
 *
 * System calls of a recording, added up by name for `vitrine-trace stats`. */
#ifndef STATS_CALLS_H
#define STATS_CALLS_H

#include "base/output.h"
#include "cmd/vitrine-trace/calls.h"

/* One kind of call. */
struct call_tally {
    uint64_t number;         /* SYSCALL_MAX: those that have no name */
    uint64_t count, errors;  /* that came back, or were told of before; results that are errors */
    uint64_t total, longest; /* ns, of those whose beginning and end were recorded */
    uint64_t first;          /* ns, when the first was seen */
};

struct call_stats {
    struct calls calls;
    struct call_tally row[SYSCALL_MAX + 1];
};

enum call_order { CALLS_BY_COUNT, CALLS_BY_NAME, CALLS_BY_FIRST };

/* Made and freed by the caller; zeroed before. */
void call_stats_begin(struct call_stats *stats);
void call_stats_take(struct call_stats *stats, const struct trace_record *record);

/* Sorts; returns how many rows there are then. call_stats_take() must not follow. */
unsigned call_stats_end(struct call_stats *stats, enum call_order order);

/* Print the first `count` rows: a table, or the elements of a JSON array. */
void call_stats_text(struct output *out, const struct call_stats *stats, unsigned count);
void call_stats_json(struct output *out, const struct call_stats *stats, unsigned count);

#endif
