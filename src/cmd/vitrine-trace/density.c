/* SPDX-License-Identifier: MIT
 *
 * Rescaling counts over time.
 */
#include "cmd/vitrine-trace/density.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

void density_init(struct density *d, unsigned buckets)
{
    *d = (struct density){.buckets = buckets};
}

void density_free(struct density *d)
{
    struct density_row *next;

    for (struct density_row *row = d->rows; row != NULL; row = next) {
        next = row->next;
        free(row->count);
        free(row->tag);
        free(row->lead);
        free(row);
    }
    d->rows = NULL;
}

struct density_row *density_row_new(struct density *d, bool tags)
{
    struct density_row *row = mem_alloc(sizeof(*row));

    row->count = mem_alloc(d->buckets * sizeof(*row->count));
    if (tags) {
        row->tag = mem_alloc(d->buckets * sizeof(*row->tag));
        row->lead = mem_alloc(d->buckets * sizeof(*row->lead));
    }
    row->next = d->rows;
    d->rows = row;
    return row;
}

static uint32_t add_saturated(uint32_t a, uint32_t b)
{
    return a > UINT32_MAX - b ? UINT32_MAX : a + b;
}

/* Joins the votes of bucket `b` of one row with those of bucket `a` of another. */
static void tag_join(struct density_row *row, unsigned a, uint16_t tag, uint32_t lead)
{
    if (row->tag[a] == tag) {
        row->lead[a] = add_saturated(row->lead[a], lead);
    } else if (row->lead[a] >= lead) {
        row->lead[a] -= lead;
    } else {
        row->tag[a] = tag;
        row->lead[a] = lead - row->lead[a];
    }
}

/* Adds up pairs. A bucket's beginning is always a multiple of its width, so when bucket 0 is the
 * second half of a wider one it stays alone. */
static void density_fold(struct density *d)
{
    unsigned odd = (unsigned)(d->start >> d->shift & 1), used = d->buckets / 2 + odd;

    for (struct density_row *row = d->rows; row != NULL; row = row->next) {
        for (unsigned i = 0; i < used; i++) {
            unsigned a = 2 * i - odd, b = a + 1;
            if (i == 0 && odd) {
                continue;
            }
            row->count[i] = add_saturated(row->count[a], b < d->buckets ? row->count[b] : 0);
            if (row->tag != NULL) {
                row->tag[i] = row->tag[a];
                row->lead[i] = row->lead[a];
                if (b < d->buckets) {
                    tag_join(row, i, row->tag[b], row->lead[b]);
                }
            }
        }
        memset(row->count + used, 0, (d->buckets - used) * sizeof(*row->count));
        if (row->tag != NULL) {
            memset(row->lead + used, 0, (d->buckets - used) * sizeof(*row->lead));
        }
    }
    d->start -= (uint64_t)odd << d->shift;
    d->shift++;
}

/* Moves the contents by `by` buckets: to later places, or to earlier ones where that many at the
 * beginning are empty. */
static void density_move(struct density *d, unsigned by, bool later)
{
    unsigned from = later ? 0 : by, to = later ? by : 0, kept = d->buckets - by;
    unsigned empty = later ? 0 : kept;

    for (struct density_row *row = d->rows; row != NULL; row = row->next) {
        memmove(row->count + to, row->count + from, kept * sizeof(*row->count));
        memset(row->count + empty, 0, by * sizeof(*row->count));
        if (row->tag != NULL) {
            memmove(row->tag + to, row->tag + from, kept * sizeof(*row->tag));
            memmove(row->lead + to, row->lead + from, kept * sizeof(*row->lead));
            memset(row->lead + empty, 0, by * sizeof(*row->lead));
        }
    }
    d->start =
        later ? d->start - ((uint64_t)by << d->shift) : d->start + ((uint64_t)by << d->shift);
}

/* Makes room in front for an earlier time: a record that is out of order. Some buckets more than
 * needed are added, so that a run of such records does not move everything each time. */
static void density_extend(struct density *d, uint64_t time)
{
    uint64_t need, used, spare = d->buckets / 8;

    for (;; density_fold(d)) {
        need = (d->start >> d->shift) - (time >> d->shift);
        used = ((d->last - d->start) >> d->shift) + 1;
        if (need <= d->buckets && used <= d->buckets - need) {
            break;
        }
    }
    if (need + used + spare <= d->buckets && (d->start >> d->shift) >= need + spare) {
        need += spare;
    }
    density_move(d, (unsigned)need, true);
}

unsigned density_at_slow(struct density *d, uint64_t time)
{
    if (!d->any) {
        d->any = true;
        d->start = d->first = d->last = time;
    }
    if (time < d->start) {
        density_extend(d, time);
    }
    d->first = time < d->first ? time : d->first;
    d->last = time > d->last ? time : d->last;
    while ((time - d->start) >> d->shift >= d->buckets) {
        density_fold(d);
    }
    return (unsigned)((time - d->start) >> d->shift);
}

void density_merge(const struct density *d, struct density_row *into,
                   const struct density_row *from)
{
    into->total += from->total;
    for (unsigned i = 0; i < d->buckets; i++) {
        into->count[i] = add_saturated(into->count[i], from->count[i]);
        if (into->tag != NULL && from->tag != NULL) {
            tag_join(into, i, from->tag[i], from->lead[i]);
        }
    }
}

unsigned density_finish(struct density *d, unsigned most)
{
    if (!d->any) {
        return 0;
    }

    unsigned empty = (unsigned)((d->first - d->start) >> d->shift);
    density_move(d, empty, false);
    while ((d->last - d->start) >> d->shift >= most) {
        density_fold(d);
    }
    return (unsigned)((d->last - d->start) >> d->shift) + 1;
}
