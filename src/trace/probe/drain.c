/* SPDX-License-Identifier: MIT
 *
 * The drain: one thread that empties the thread buffers of all recordings, in time order, into
 * their writers. Why the order is right is explained at the head of buffer.h ("in which order they
 * come out").
 *
 * It sleeps until a thread finds its ring a quarter full, somebody asks for a flush, or a fifth of
 * a second has passed: so a file is never much behind, although nothing was asked. */
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/load.h"
#include "base/memory.h"
#include "trace/probe/sink.h"
#include "trace/record.h"

/* Two, so that they are taken in turn: who lets `drain_mutex` go and wants it again at once waits
 * for `turn_mutex`, which the next one holds. */
static pthread_mutex_t turn_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t drain_mutex = PTHREAD_MUTEX_INITIALIZER;
static uint32_t wake_word;  /* 1: there is something to do */
static pid_t drain_process; /* the process whose drain thread runs, 0: none */

enum { RELEASE_STEP = 256 << 10 };

/* How long the thread that is in the middle of a record may hold the others up: it may be in a
 * signal handler that does not return until somebody else, who waits for room, wakes it. */
static const uint64_t patience = 200 * 1000 * 1000;

/* One buffer during a pass. */
struct cursor {
    struct trace_thread *thread;
    struct trace_buffer *buffer;
    const uint8_t *pos; /* the next record to hand over */
    const uint8_t *end; /* what was behind `cur` when the pass began */
    uint64_t time;      /* of the record at pos */
    uint64_t least;     /* records up to this time are written already */
    size_t kept;        /* bytes taken since space was last given back */
};

/* Room for the cursors of a pass, kept between passes. */
static struct cursor *cursors;
static size_t cursor_room;

static _Thread_local bool drain_is_self; /* the drain thread, which has all signals blocked */

/* What the thread that holds the drain off has of its own. */
static _Thread_local struct {
    bool held; /* or about to be, or just let go: a handler cannot tell the difference */
    bool pipe_blocked, pipe_pending;
} mine;

/* A recording's reader that goes away must not end the program: writing then fails, but SIGPIPE,
 * which the drain thread has blocked, is not for others either. */
static void block_pipe_signal(void)
{
    sigset_t set, old;
    sigpending(&set);
    mine.pipe_pending = sigismember(&set, SIGPIPE);
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set, &old);
    mine.pipe_blocked = sigismember(&old, SIGPIPE);
}

static void allow_pipe_signal(void)
{
    const struct timespec now = {0};
    sigset_t set;
    if (mine.pipe_blocked) {
        return;
    }
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    if (!mine.pipe_pending) {
        while (sigtimedwait(&set, NULL, &now) < 0 && errno == EINTR) {
        }
    }
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

void trace_drain_lock(void)
{
    mine.held = true;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    pthread_mutex_lock(&turn_mutex);
    pthread_mutex_lock(&drain_mutex);
    pthread_mutex_unlock(&turn_mutex);
    if (!drain_is_self) {
        block_pipe_signal();
    }
}

void trace_drain_unlock(void)
{
    if (!drain_is_self) {
        allow_pipe_signal();
    }
    pthread_mutex_unlock(&drain_mutex);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    mine.held = false;
}

bool trace_drain_is_held(void)
{
    return mine.held;
}

void trace_drain_reset(void)
{
    pthread_mutex_init(&turn_mutex, NULL);
    pthread_mutex_init(&drain_mutex, NULL);
    allow_pipe_signal();
    mine.held = false;
}

void trace_drain_wake(void)
{
    if (!__atomic_exchange_n(&wake_word, 1, __ATOMIC_ACQ_REL)) {
        int saved = errno;
        syscall(SYS_futex, &wake_word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
        errno = saved;
    }
}

static size_t record_size(const uint8_t *p)
{
    uint32_t length;
    memcpy(&length, p + 24, 4);
    return TRACE_RECORD_TYPE + (size_t)length;
}

/* Steps over a wrap mark and learns the time of the record at pos. False when none is left. */
static bool cursor_settle(struct cursor *c)
{
    if (c->pos == c->end) {
        return false;
    }
    if (load64(c->pos) == TRACE_TYPE_WRAP) {
        c->pos = c->buffer->base;
        if (c->pos == c->end) {
            return false;
        }
    }
    c->time = load64(c->pos + 16);
    if (c->time < c->least) {
        c->time = c->least; /* its thread was not waited for: see held_up() */
        memcpy((uint8_t *)c->pos + 16, &c->time, 8);
    }
    return true;
}

/* Gives the space before pos back to the thread. */
static void cursor_release(struct cursor *c)
{
    struct trace_buffer *b = c->buffer;
    c->kept = 0;
    __atomic_store_n(&b->tail, (uint8_t *)c->pos, __ATOMIC_RELEASE);
    __atomic_fetch_add(&b->room, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&b->waiting, __ATOMIC_SEQ_CST)) {
        syscall(SYS_futex, &b->room, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
}

/* Whether the record that `t` is in the middle of is not to be waited for, because a handler that
 * interrupted it waits for room itself, or for too long already. */
static bool held_up(struct trace_thread *t, unsigned slot, uint64_t time, uint64_t now)
{
    struct trace_buffer *b = &t->buffer[slot];
    for (struct trace_thread *n = t; (n = __atomic_load_n(&n->nested, __ATOMIC_ACQUIRE));) {
        if (__atomic_load_n(&n->buffer[slot].waiting, __ATOMIC_ACQUIRE)) {
            return true;
        }
    }
    if (b->held_time != time) {
        b->held_time = time;
        b->held_since = now;
    }
    return now - b->held_since > patience;
}

/* Finds the buffers that hold something and the time up to which nothing older can still come.
 * `settled`: no thread is in the middle of a record that will be finished. */
static size_t begin_pass(struct trace_sink *sink, bool settled, uint64_t *horizon)
{
    size_t count = 0;
    const uint64_t now = clock_monotonic();
    *horizon = now;
    trace_barrier();
    for (struct trace_thread *t = trace_threads(); t; t = t->next) {
        struct trace_buffer *b = &t->buffer[sink->slot];
        if (!__atomic_load_n(&b->base, __ATOMIC_ACQUIRE)) {
            continue;
        }
        if (!settled && __atomic_load_n(&b->writing, __ATOMIC_ACQUIRE)) {
            uint64_t time = __atomic_load_n(&b->time, __ATOMIC_ACQUIRE);
            if (time < *horizon && !held_up(t, sink->slot, time, now)) {
                *horizon = time;
            }
        }
        if (count == cursor_room) {
            cursor_room = cursor_room * 2 + 16;
            cursors = mem_resize(cursors, cursor_room, sizeof *cursors);
        }
        cursors[count] = (struct cursor){
            .thread = t,
            .buffer = b,
            .pos = __atomic_load_n(&b->tail, __ATOMIC_RELAXED),
            .end = __atomic_load_n(&b->cur, __ATOMIC_ACQUIRE),
            .least = sink->horizon,
        };
        count += cursor_settle(&cursors[count]);
    }
    return count;
}

/* The records of one buffer from pos on that are not younger than `until`, as long as they lie in
 * one piece; at most a quarter of the ring, so that the thread gets room soon. */
static const uint8_t *run_end(const struct cursor *c, uint64_t until)
{
    const uint8_t *p = c->pos;
    const uint8_t *enough = p + (c->buffer->limit - c->buffer->base) / 4;
    while (p != c->end && p < enough && load64(p) == TRACE_TYPE_EVENT && load64(p + 16) <= until) {
        p += record_size(p);
    }
    return p;
}

/* Merges what the buffers hold up to the horizon. Returns the bytes taken; `left` tells whether
 * records beyond the horizon remain. */
static size_t run_pass(struct trace_sink *sink, bool settled, bool *left)
{
    uint64_t horizon;
    size_t count = begin_pass(sink, settled, &horizon);
    size_t taken = 0;

    while (count) {
        struct cursor *first = &cursors[0];
        uint64_t second = UINT64_MAX; /* the oldest time in any other buffer */
        for (size_t i = 1; i < count; i++) {
            if (cursors[i].time < first->time) {
                second = first->time;
                first = &cursors[i];
            } else if (cursors[i].time < second) {
                second = cursors[i].time;
            }
        }
        const uint8_t *end = run_end(first, second < horizon ? second : horizon);
        if (end == first->pos) {
            break; /* the oldest record is beyond the horizon */
        }
        struct error err;
        if (!sink->failed && !sink->ops->records(sink, first->thread, first->pos,
                                                 (size_t)(end - first->pos), &err)) {
            trace_sink_failed(sink, &err);
        }
        taken += (size_t)(end - first->pos);
        first->kept += (size_t)(end - first->pos);
        first->pos = end;
        bool more = cursor_settle(first);
        /* Runs are short when threads alternate: giving back each would bounce a cache line. */
        if (!more || first->kept >= RELEASE_STEP) {
            cursor_release(first);
        }
        if (!more) {
            *first = cursors[--count];
        }
    }
    for (size_t i = 0; i < count; i++) {
        cursor_release(&cursors[i]);
    }
    *left = count > 0;
    sink->horizon = horizon > sink->horizon ? horizon : sink->horizon;
    return taken;
}

/* Frees the blocks of threads that have ended once all their buffers are empty. */
static void reclaim(void)
{
    for (struct trace_thread *t = trace_threads(); t; t = t->next) {
        if (__atomic_load_n(&t->state, __ATOMIC_ACQUIRE) != TRACE_THREAD_ENDED) {
            continue;
        }
        bool empty = true;
        for (struct trace_sink *s = trace_sinks(); s; s = s->next) {
            struct trace_buffer *b = &t->buffer[s->slot];
            empty = empty && (!s->ops->records || !b->base || b->tail == b->cur);
        }
        for (struct trace_sink *s = trace_sinks(); empty && s; s = s->next) {
            if (trace_sink_is_recording(s) && s->open) {
                trace_drain_leave(s, t);
            }
        }
        if (empty) {
            __atomic_store_n(&t->state, TRACE_THREAD_FREE, __ATOMIC_RELEASE);
        }
    }
}

/* Losses that no later record of the thread could tell of. */
static void tell_rest(struct trace_sink *sink, struct trace_thread *t)
{
    struct trace_buffer *b = &t->buffer[sink->slot];
    uint64_t lost = __atomic_load_n(&b->lost, __ATOMIC_ACQUIRE);
    uint64_t told = __atomic_load_n(&b->lost_told, __ATOMIC_ACQUIRE);
    if (lost != told && sink->ops->records && !sink->failed) {
        uint8_t record[TRACE_RECORD_HEAD + 8];
        struct error err;
        /* Not now: other threads may have records before now that are still to be written. */
        trace_record_store(record, TRACE_DROPPED_ID, sink->horizon, lost - told);
        if (!sink->ops->records(sink, t, record, sizeof record, &err)) {
            trace_sink_failed(sink, &err);
        }
        b->lost_told = lost;
    }
}

void trace_drain_leave(struct trace_sink *sink, struct trace_thread *t)
{
    struct trace_buffer *b = &t->buffer[sink->slot];
    tell_rest(sink, t);
    if (sink->ops->thread_ended) {
        sink->ops->thread_ended(sink, t);
    }
    if (sink->ops->records) {
        trace_buffer_free(b);
    } else {
        *b = (struct trace_buffer){0};
    }
}

void trace_drain_finish(struct trace_sink *sink)
{
    if (sink->ops->records) {
        bool left;
        do {
            run_pass(sink, true, &left);
        } while (left);
    }
    for (struct trace_thread *t = trace_threads(); t; t = t->next) {
        trace_drain_leave(sink, t);
    }
}

static size_t drain_sink(struct trace_sink *sink, bool *left)
{
    struct error err;
    size_t taken = run_pass(sink, false, left);
    if (taken && !sink->failed && sink->ops->flush && !sink->ops->flush(sink, &err)) {
        trace_sink_failed(sink, &err);
    }
    return taken;
}

void trace_drain_flush(struct trace_sink *sink)
{
    struct error err;
    bool left;
    trace_drain_lock();
    if (sink->ops->records) {
        /* A pass takes what was committed before it began, up to a record that another thread is
         * just writing; a second one after every probe of that time is over takes the rest. */
        run_pass(sink, false, &left);
        trace_drain_unlock();
        trace_synchronize();
        trace_drain_lock();
        run_pass(sink, false, &left);
    }
    if (!sink->failed && sink->ops->flush && !sink->ops->flush(sink, &err)) {
        trace_sink_failed(sink, &err);
    }
    trace_drain_unlock();
}

static void *drain_main(void *opaque)
{
    (void)opaque;
    drain_is_self = true;
    for (;;) {
        bool behind = false;
        const struct timespec nap = {.tv_nsec = 200 * 1000 * 1000};
        if (!__atomic_exchange_n(&wake_word, 0, __ATOMIC_ACQ_REL)) {
            syscall(SYS_futex, &wake_word, FUTEX_WAIT_PRIVATE, 0, &nap, NULL, 0);
            __atomic_store_n(&wake_word, 0, __ATOMIC_RELAXED);
        }
        trace_drain_lock();
        size_t taken = 0;
        for (struct trace_sink *s = trace_sinks(); s; s = s->next) {
            if (s->ops->records && s->open) {
                bool left;
                taken += drain_sink(s, &left);
                behind = behind || left;
            }
        }
        reclaim();
        trace_drain_unlock();
        if (taken > TRACE_RING_MIN || behind) {
            /* Look again without waiting to be woken: threads are busy, or one was interrupted in
             * the middle of a record and holds the others back for a moment. */
            __atomic_store_n(&wake_word, 1, __ATOMIC_RELAXED);
        }
        if (behind && taken <= TRACE_RING_MIN) {
            const struct timespec moment = {.tv_nsec = 100 * 1000};
            nanosleep(&moment, NULL);
        }
    }
    return NULL;
}

bool trace_drain_start(struct error *err)
{
    if (drain_process == getpid()) {
        return true;
    }
    /* Signals of the program are for its own threads. */
    sigset_t all, old;
    pthread_t thread;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int failed = pthread_create(&thread, NULL, drain_main, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (failed) {
        return error_set(err, "cannot start the thread that writes recordings: %s",
                         strerror(failed));
    }
    pthread_detach(thread);
    pthread_setname_np(thread, "trace-drain");
    drain_process = getpid();
    return true;
}
