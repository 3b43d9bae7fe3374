/* SPDX-License-Identifier: MIT
 *
 * System calls by name: how many, how many failed, how long they took. */
#include "cmd/vitrine-trace/stats_calls.h"

#include <stdlib.h>
#include <string.h>

void call_stats_begin(struct call_stats *stats)
{
    calls_begin(&stats->calls);
    for (uint64_t number = 0; number <= SYSCALL_MAX; number++) {
        stats->row[number].number = number;
    }
}

void call_stats_take(struct call_stats *stats, const struct trace_record *record)
{
    struct call_told told;

    calls_take(&stats->calls, record, &told);
    uint64_t number = syscall_row(told.call.number) ? told.call.number : SYSCALL_MAX;
    struct call_tally *row = &stats->row[number];
    bool before = syscall_told_before(number);

    if (told.what == CALL_ASKED && before) {
        row->first = row->count++ ? row->first : told.began;
    }
    if (told.what != CALL_DONE || told.result == SYSCALL_BEGINS_ANEW) {
        return;
    }
    if (!before) {
        row->first = row->count++ ? row->first : told.began ? told.began : told.ended;
    }
    if (!syscall_told_again(number, told.result)) {
        return;
    }
    row->errors += told.result < 0 && told.result >= -SYSCALL_ERRORS;
    if (told.call.args && told.ended > told.began) {
        uint64_t took = told.ended - told.began;
        row->total += took;
        row->longest = took > row->longest ? took : row->longest;
    }
}

static const char *name_of(const struct call_tally *row)
{
    const struct syscall_row *known = syscall_row(row->number);

    return known ? known->name : "(others)";
}

static int by_name(const void *a, const void *b)
{
    return strcmp(name_of(a), name_of(b));
}

static int by_count(const void *a, const void *b)
{
    const struct call_tally *x = a, *y = b;

    return x->count != y->count ? (x->count < y->count ? 1 : -1) : by_name(a, b);
}

static int by_first(const void *a, const void *b)
{
    const struct call_tally *x = a, *y = b;

    return x->first != y->first ? (x->first < y->first ? -1 : 1) : by_count(a, b);
}

unsigned call_stats_end(struct call_stats *stats, enum call_order order)
{
    static int (*const orders[])(const void *a, const void *b) = {by_count, by_name, by_first};
    unsigned count = 0;

    calls_end(&stats->calls);
    for (unsigned i = 0; i <= SYSCALL_MAX; i++) {
        if (stats->row[i].count) {
            stats->row[count++] = stats->row[i];
        }
    }
    qsort(stats->row, count, sizeof *stats->row, orders[order]);
    return count;
}

void call_stats_text(struct output *out, const struct call_stats *stats, unsigned count)
{
    int width = (int)strlen("system call");

    for (unsigned i = 0; i < count; i++) {
        int len = (int)strlen(name_of(&stats->row[i]));
        width = len > width ? len : width;
    }
    output_printf(out, "\n%-*s %15s %10s %14s %14s %14s\n", width, "system call", "count", "errors",
                  "total ms", "mean us", "longest us");
    for (unsigned i = 0; i < count; i++) {
        const struct call_tally *row = &stats->row[i];
        output_printf(out, "%-*s %15llu %10llu %14.3f %14.3f %14.3f\n", width, name_of(row),
                      (unsigned long long)row->count, (unsigned long long)row->errors,
                      (double)row->total / 1e6, (double)row->total / 1e3 / (double)row->count,
                      (double)row->longest / 1e3);
    }
}

void call_stats_json(struct output *out, const struct call_stats *stats, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const struct call_tally *row = &stats->row[i];
        output_printf(out,
                      "%s{\"name\": \"%s\", \"count\": %llu, \"errors\": %llu, \"total_ns\": %llu, "
                      "\"longest_ns\": %llu}",
                      i ? ",\n    " : "\n    ", name_of(row), (unsigned long long)row->count,
                      (unsigned long long)row->errors, (unsigned long long)row->total,
                      (unsigned long long)row->longest);
    }
}
