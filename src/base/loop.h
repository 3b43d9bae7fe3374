/* SPDX-License-Identifier: MIT
 *
 * The event loop of a program: descriptors that become ready, timers by the host's clock, and
 * functions that other threads want to be run. One thread runs it.
 *
 * An owner's lock (the machine's) may be set: the loop holds it while handlers run and not while it
 * sleeps. All functions here are then called with that lock held, on any thread, except for
 * loop_post(), loop_quit() and loop_run(), which want it not held or do not care. Without a lock
 * all but those belong to the loop's thread.
 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <stdbool.h>

#include "base/error.h"
#include "base/timer.h"

struct loop;
struct loop_watch;

/* A set. What a watch waits for, and what its handler is told. */
enum loop_events {
    LOOP_IN = 1,  /* there is something to read, or the end of it */
    LOOP_OUT = 2, /* there is room to write, or nobody reads any more */
    LOOP_GONE = 4 /* told without being asked for: the other side hung up, or an error */
};

typedef void loop_ready_fn(void *opaque, unsigned events);
typedef void loop_post_fn(void *opaque);

struct loop *loop_new(struct error *err);
/* Nobody runs it any more. What was posted and not run is dropped; watches go with it. */
void loop_free(struct loop *loop);

/* Before it runs. */
void loop_set_lock(struct loop *loop, void (*lock)(void *opaque), void (*unlock)(void *opaque),
                   void *opaque);

/* The host's monotonic clock, for timers that fire on the loop's thread: timer_init() and so on. */
struct clock *loop_clock(struct loop *loop);

/* Watches a descriptor, which stays the caller's and is open until the watch is removed. A regular
 * file is always ready. The handler is called again and again while the descriptor is ready. */
struct loop_watch *loop_watch(struct loop *loop, int fd, unsigned events, loop_ready_fn *ready,
                              void *opaque, struct error *err);
/* 0: nothing for now, not even LOOP_GONE. */
void loop_watch_set(struct loop_watch *watch, unsigned events);
/* Its handler is not called any more. NULL: nothing. */
void loop_unwatch(struct loop_watch *watch);

/* Runs `function` on the loop's thread, soon; in the order in which they were posted. Any thread,
 * with the lock or without; not in signal handlers. */
void loop_post(struct loop *loop, loop_post_fn *function, void *opaque);

/* Runs until loop_quit(). */
void loop_run(struct loop *loop);
/* Any thread, signal handlers too. */
void loop_quit(struct loop *loop);

/* Waits for at most `nanoseconds` (TIMER_NEVER: no limit) and handles what there is then, once. */
void loop_step(struct loop *loop, uint64_t nanoseconds);

#endif
