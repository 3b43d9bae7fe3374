/* SPDX-License-Identifier: MIT
 *
 * Counts over time in a fixed number of buckets, without knowing in advance how long the time is:
 * when a time lies outside, the buckets become twice as wide (pairs are added up) until it is
 * inside. All rows share the scale. Counts stop at UINT32_MAX.
 *
 * A row may also keep which tag dominates each bucket: a candidate with a lead that grows with its
 * own records and shrinks with the others' (majority vote). A tag that has most of a bucket's
 * records wins; folding buckets keeps that to a good approximation.
 */
#ifndef DENSITY_H
#define DENSITY_H

#include <stdbool.h>
#include <stdint.h>

struct density_row {
    struct density_row *next;
    uint64_t total;
    uint32_t *count;
    uint16_t *tag; /* NULL: the row keeps no tags */
    uint32_t *lead;
};

struct density {
    unsigned buckets; /* a power of two */
    unsigned shift;   /* a bucket is 2^shift ns wide */
    uint64_t start;   /* where bucket 0 begins, a multiple of the width */
    uint64_t first, last;
    bool any;
    struct density_row *rows;
};

void density_init(struct density *d, unsigned buckets);
void density_free(struct density *d); /* and its rows */

struct density_row *density_row_new(struct density *d, bool tags);

/* The bucket of a time. Rescales when it has to. */
unsigned density_at_slow(struct density *d, uint64_t time);
static inline unsigned density_at(struct density *d, uint64_t time)
{
    uint64_t at = (time - d->start) >> d->shift;

    if (!d->any || time < d->start || at >= d->buckets) {
        return density_at_slow(d, time);
    }
    d->first = time < d->first ? time : d->first;
    d->last = time > d->last ? time : d->last;
    return (unsigned)at;
}

static inline void density_add(struct density_row *row, unsigned at)
{
    row->total++;
    row->count[at] += row->count[at] != UINT32_MAX;
}

static inline void density_tag(struct density_row *row, unsigned at, uint16_t tag)
{
    if (row->lead[at] == 0) {
        row->tag[at] = tag;
        row->lead[at] = 1;
    } else if (row->tag[at] != tag) {
        row->lead[at]--;
    } else if (row->lead[at] != UINT32_MAX) {
        row->lead[at]++;
    }
}

/* Adds the counts of `from` to `into`. Tags go along where both rows have them. */
void density_merge(const struct density *d, struct density_row *into,
                   const struct density_row *from);

/* Moves the first used bucket to place 0 and folds until at most `most` are used. Returns how many
 * are; 0 when there was no record. Ends the counting. */
unsigned density_finish(struct density *d, unsigned most);

#endif
