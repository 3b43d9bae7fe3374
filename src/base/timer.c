/* SPDX-License-Identifier: MIT
 *
 * Timers: a binary heap, the earliest first, among equals the one that was set first.
 *
 *      heap[0]                    the parent of heap[i] is heap[(i - 1) / 2]
 *      heap[1] heap[2]            timer->place is i + 1
 */
#include "base/timer.h"

#include <stdlib.h>

#include "base/memory.h"

/* So often may timers fire without the time that they were set for getting later: more is a timer
 * that sets itself for ever. */
enum { FIRES_WITHOUT_PROGRESS = 10000 };

/* --- the heap --- */

static bool is_before(const struct timer *a, const struct timer *b)
{
    return a->when != b->when ? a->when < b->when : a->order < b->order;
}

static void put(struct clock *clock, size_t at, struct timer *timer)
{
    clock->heap[at] = timer;
    timer->place = at + 1;
}

/* Puts the timer at the place or above it. */
static void rise(struct clock *clock, size_t at, struct timer *timer)
{
    while (at > 0 && is_before(timer, clock->heap[(at - 1) / 2])) {
        put(clock, at, clock->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    put(clock, at, timer);
}

/* Puts the timer at the place or below it. */
static void sink(struct clock *clock, size_t at, struct timer *timer)
{
    for (size_t child; (child = 2 * at + 1) < clock->count; at = child) {
        if (child + 1 < clock->count && is_before(clock->heap[child + 1], clock->heap[child]))
            child++;
        if (!is_before(clock->heap[child], timer))
            break;
        put(clock, at, clock->heap[child]);
    }
    put(clock, at, timer);
}

static void add(struct clock *clock, struct timer *timer)
{
    if (clock->count == clock->room) {
        clock->room = clock->room ? 2 * clock->room : 16;
        clock->heap = mem_resize(clock->heap, clock->room, sizeof *clock->heap);
    }
    rise(clock, clock->count++, timer);
}

static void take_out(struct timer *timer)
{
    struct clock *clock = timer->clock;
    const size_t at = timer->place - 1;
    struct timer *last = clock->heap[--clock->count];

    timer->place = 0;
    if (last == timer)
        return;
    if (at > 0 && is_before(last, clock->heap[(at - 1) / 2]))
        rise(clock, at, last);
    else
        sink(clock, at, last);
}

/* --- clocks --- */

void clock_init(struct clock *clock)
{
    *clock = (struct clock){0};
}

void clock_free(struct clock *clock)
{
    free(clock->heap);
    *clock = (struct clock){0};
}

uint64_t clock_now(const struct clock *clock)
{
    return clock->source ? clock->source(clock->opaque) : clock->at;
}

uint64_t clock_next(const struct clock *clock)
{
    return clock->count ? clock->heap[0]->when : TIMER_NEVER;
}

/* Fires what is due until `end`; a clock without a source stops at each timer's time. */
static void run_until(struct clock *clock, uint64_t end)
{
    uint64_t reached = 0;
    unsigned fires = 0;

    while (clock->count && clock->heap[0]->when <= end && fires < FIRES_WITHOUT_PROGRESS) {
        struct timer *timer = clock->heap[0];
        uint64_t now = end;
        if (timer->when > reached) {
            reached = timer->when;
            fires = 0;
        }
        fires++;
        if (!clock->source) {
            clock->at = timer->when > clock->at ? timer->when : clock->at;
            now = clock->at;
        }
        take_out(timer);
        timer->fire(timer->opaque, now);
    }
}

void clock_run(struct clock *clock)
{
    run_until(clock, clock_now(clock));
}

void clock_advance(struct clock *clock, uint64_t nanoseconds)
{
    const uint64_t end =
        nanoseconds < TIMER_NEVER - clock->at ? clock->at + nanoseconds : TIMER_NEVER - 1;

    run_until(clock, end);
    if (clock->at < end)
        clock->at = end;
}

/* --- timers --- */

void timer_init(struct timer *timer, struct clock *clock, timer_fn *fire, void *opaque)
{
    timer_stop(timer);
    *timer = (struct timer){.clock = clock, .fire = fire, .opaque = opaque};
}

static void tell(struct clock *clock, uint64_t before)
{
    if (clock->changed && clock_next(clock) != before)
        clock->changed(clock->opaque);
}

void timer_set(struct timer *timer, uint64_t when)
{
    struct clock *clock = timer->clock;
    const uint64_t before = clock_next(clock);

    if (timer->place)
        take_out(timer);
    if (when != TIMER_NEVER) {
        timer->when = when;
        timer->order = clock->order++;
        add(clock, timer);
    }
    tell(clock, before);
}

void timer_stop(struct timer *timer)
{
    if (timer->place)
        timer_set(timer, TIMER_NEVER);
}
