/* SPDX-License-Identifier: MIT
 *
 * Clocks that somebody else drives, and timers on them: the time of a machine. A clock follows the
 * host's time, counts instructions, or stands still until a test moves it; whoever owns it says
 * which. Timers fire when the owner runs the clock, in order of their times, and only then.
 *
 * A clock and its timers belong to one thread, or to whoever holds the owner's lock (the
 * machine's).
 */
#ifndef BASE_TIMER_H
#define BASE_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TIMER_NEVER UINT64_MAX

struct timer;

/* `now`: the clock's time when the timer fires, never before the time it was set for. */
typedef void timer_fn(void *opaque, uint64_t now);

struct clock {
    uint64_t (*source)(void *opaque); /* nanoseconds; never goes back. NULL: `at` */
    /* The earliest time that a timer waits for has changed: whoever sleeps wakes up. Or NULL. */
    void (*changed)(void *opaque);
    void *opaque;
    uint64_t at;         /* of a clock without a source */
    struct timer **heap; /* the earliest first */
    size_t count, room;
    uint64_t order; /* of the timer that is set next */
};

/* Zero-initialised memory is a stopped timer; timer_init() gives it what it needs. */
struct timer {
    struct clock *clock;
    timer_fn *fire;
    void *opaque;
    uint64_t when;
    uint64_t order; /* among those of the same time: as they were set */
    size_t place;   /* in the heap, +1; 0: not set */
};

/* A clock at 0 that clock_advance() moves. */
void clock_init(struct clock *clock);
/* Its timers are stopped, or never used again. */
void clock_free(struct clock *clock);

/* Nanoseconds since the machine began. */
uint64_t clock_now(const struct clock *clock);

/* When the earliest timer is due; TIMER_NEVER if none is set. */
uint64_t clock_next(const struct clock *clock);

/* Fires all timers that are due, also those set meanwhile for a time that is over. Timers that set
 * themselves or each other without end for a time that is over do not keep it: it returns after
 * some thousand, and clock_next() is then not in the future. */
void clock_run(struct clock *clock);

/* Moves a clock without a source, firing each timer at its time on the way. */
void clock_advance(struct clock *clock, uint64_t nanoseconds);

void timer_init(struct timer *timer, struct clock *clock, timer_fn *fire, void *opaque);
/* Sets the timer for an absolute time, whether it was set or not. A time that is over: it fires at
 * the next clock_run(). TIMER_NEVER stops it. */
void timer_set(struct timer *timer, uint64_t when);
void timer_stop(struct timer *timer);

static inline bool timer_is_set(const struct timer *timer)
{
    return timer->place != 0;
}

/* TIMER_NEVER if it is not set. */
static inline uint64_t timer_when(const struct timer *timer)
{
    return timer->place ? timer->when : TIMER_NEVER;
}

/* value * to / from without overflow, rounded down: ticks to nanoseconds and back. */
static inline uint64_t time_scale(uint64_t value, uint64_t to, uint64_t from)
{
    return (uint64_t)((unsigned __int128)value * to / from);
}

#endif
