/* SPDX-License-Identifier: MIT
 *
 * A timeline: what timeline.c counted, ready to be drawn by timeline_svg.c or timeline_html.c.
 */
#ifndef TIMELINE_H
#define TIMELINE_H

#include <stdint.h>

#include "base/output.h"
#include "cmd/vitrine-trace/density.h"

enum {
    TIMELINE_COLOURS = 16,               /* of events; more events begin again */
    TIMELINE_OTHERS = TIMELINE_COLOURS,  /* the colour of what has no row of its own */
    TIMELINE_LOST = TIMELINE_OTHERS + 1, /* the colour of lost events */
    TIMELINE_ALL_COLOURS,
    TIMELINE_MIXED = 255, /* tag of a thread's column that no event dominates */
};

/* Colours by number, on a light and on a dark ground. */
extern const char *const timeline_light[TIMELINE_ALL_COLOURS];
extern const char *const timeline_dark[TIMELINE_ALL_COLOURS];

struct timeline_row {
    char *name;
    const struct density_row *density; /* its tags: places in timeline.event */
    unsigned colour;
    uint16_t tag; /* while counting: of an event */
    bool folded;  /* stands for several: "others" */
};

struct timeline {
    const char *title;
    unsigned columns;     /* 0: no record at all */
    uint64_t width;       /* of a column in ns */
    uint64_t start;       /* where column 0 begins */
    uint64_t first, last; /* of the records; times are shown relative to the first */
    struct density_row *total;
    struct timeline_row *thread, *event; /* the most frequent first */
    unsigned threads, events;
    unsigned all_threads, all_events; /* those in "others" too */
};

/* The largest count in a column of a row. */
uint32_t timeline_peak(const struct timeline *t, const struct density_row *row);

/* "1,234,567" */
void timeline_count(struct output *out, uint64_t count);

/* "1,234 records, 5 events, 1 thread in 6.279 s, from 2867.075294267 s on" */
void timeline_figures(const struct timeline *t, struct output *out);

/* "12.5 µs", as many decimals as `step` needs. Units go from ns to s, by `span`. */
void timeline_time(struct output *out, double time, double step, double span);

/* The distance of ticks: 1, 2 or 5 times a power of ten ns, at most `most` of them in `span`. */
double timeline_step(double span, unsigned most);

void timeline_svg(const struct timeline *t, struct output *out);
void timeline_html(const struct timeline *t, struct output *out);

#endif
