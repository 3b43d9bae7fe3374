/* SPDX-License-Identifier: MIT
 *
 * Thread blocks and the slow half of reserving space. The contract is at the head of buffer.h. */
#include "trace/probe/buffer.h"

#include <errno.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "trace/probe/event.h"
#include "trace/probe/sink.h"
#include "trace/record.h"

_Thread_local struct trace_thread *trace_thread_self;
uint32_t trace_process_id;

static struct trace_thread *threads; /* every block ever made; only grows */
static uint32_t thread_serial;
static pthread_key_t thread_key;
static bool membarrier_works;
static uint32_t ended; /* blocks that were left to the drain */

enum { ENDED_MANY = 32 }; /* after so many it is woken, that rings do not pile up */

/* Leaves the recordings that nobody drains; true when no other has anything of the thread. A thread
 * that does this counts as firing, so a recording that is being closed waits for it; one that is
 * closed already takes the buffers away itself. */
static bool leave_undrained(struct trace_thread *block)
{
    bool empty = true;
    __atomic_store_n(&block->seq, block->seq | 1, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    for (unsigned slot = 0; slot < TRACE_RECORDINGS_MAX; slot++) {
        struct trace_buffer *b = &block->buffer[slot];
        struct trace_sink *sink = trace_sink_live(slot);
        if (!sink) {
            continue;
        }
        __atomic_store_n(&b->writing, 0, __ATOMIC_RELEASE); /* ended in the middle of a record */
        if (sink->ops->room) {
            sink->ops->thread_ended(sink, block);
            *b = (struct trace_buffer){0};
        } else if (b->base || b->lost != b->lost_told) {
            empty = false;
        }
    }
    __atomic_store_n(&block->seq, block->seq + 1, __ATOMIC_RELEASE);
    return empty;
}

static void thread_ended(void *opaque)
{
    struct trace_thread *block = opaque;
    trace_thread_self = NULL;
    __atomic_signal_fence(__ATOMIC_SEQ_CST); /* handlers use another block from here on */
    while (block) {
        struct trace_thread *nested = block->nested;
        bool empty = leave_undrained(block);
        __atomic_store_n(&block->state, empty ? TRACE_THREAD_FREE : TRACE_THREAD_ENDED,
                         __ATOMIC_RELEASE);
        if (!empty && __atomic_add_fetch(&ended, 1, __ATOMIC_RELAXED) % ENDED_MANY == 0) {
            trace_drain_wake();
        }
        block = nested;
    }
}

/* Whether a block is the calling thread's. */
static bool is_mine(const struct trace_thread *block)
{
    const struct trace_thread *mine = trace_thread_self;
    while (mine && mine != block) {
        mine = mine->nested;
    }
    return mine;
}

static void before_fork(void);
static void after_fork(void);
static void forked_child(void);

__attribute__((constructor)) static void buffer_init(void)
{
    trace_process_id = (uint32_t)getpid();
    pthread_key_create(&thread_key, thread_ended);
    pthread_atfork(before_fork, after_fork, forked_child);
    membarrier_works =
        syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

static void before_fork(void)
{
    trace_control_lock();
    trace_drain_lock();
}

static void after_fork(void)
{
    trace_drain_unlock();
    trace_control_unlock();
}

/* Forgets what the parent's recordings have of a block. `firing`: it is being written to by the
 * probe that a handler interrupted, so what is mapped stays mapped. */
static void forget_buffers(struct trace_thread *t, bool firing)
{
    for (struct trace_sink *sink = trace_sinks(); sink; sink = sink->next) {
        struct trace_buffer *b = &t->buffer[sink->slot];
        if (sink->ops->records && firing) {
            b->tail = b->cur;
            b->lost_told = b->lost;
        } else if (sink->ops->records) {
            trace_buffer_free(b);
        } else if (sink->ops->room && firing) {
            b->base = NULL;
        } else if (sink->ops->room) {
            *b = (struct trace_buffer){0};
        }
    }
    memset(t->stream, 0, sizeof t->stream);
}

/* The child has one thread and no drain: the parent's recordings are the parent's, so here they are
 * off; text goes on. So that a recording of the child's own does not take up the parent's records,
 * nor write where the parent does, all blocks begin anew. */
static void forked_child(void)
{
    bool firing = false; /* the fork is a handler's, which interrupted a probe */
    trace_control_reset();
    trace_drain_reset();
    trace_process_id = (uint32_t)getpid();
    for (struct trace_thread *m = trace_thread_self; m; m = m->nested) {
        firing = firing || (m->seq & 1);
    }
    for (struct trace_thread *t = threads; t; t = t->next) {
        const bool mine = is_mine(t);
        forget_buffers(t, mine && firing);
        t->tid = (uint32_t)gettid();
        if (!mine) {
            t->seq &= ~1u;
            t->state = TRACE_THREAD_FREE;
        }
    }
    if (firing) {
        trace_thread_self = NULL; /* that probe is finished in the old block; no other is begun */
    }
    for (struct trace_sink *sink = trace_sinks(); sink; sink = sink->next) {
        if (trace_sink_is_recording(sink)) {
            trace_sink_forget(sink);
        }
    }
}

struct trace_thread *trace_threads(void)
{
    return __atomic_load_n(&threads, __ATOMIC_ACQUIRE);
}

/* A free block from the list, or a new one at its head. Takes no lock: a signal handler may be the
 * caller. */
static struct trace_thread *take_block(void)
{
    struct trace_thread *block = NULL;
    for (struct trace_thread *t = trace_threads(); t && !block; t = t->next) {
        uint32_t unused = TRACE_THREAD_FREE;
        if (__atomic_compare_exchange_n(&t->state, &unused, TRACE_THREAD_USED, false,
                                        __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
            block = t;
        }
    }
    if (!block) {
        block =
            mmap(NULL, sizeof *block, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (block == MAP_FAILED) {
            return NULL;
        }
        block->state = TRACE_THREAD_USED;
        block->next = trace_threads();
        while (!__atomic_compare_exchange_n(&threads, &block->next, block, false, __ATOMIC_RELEASE,
                                            __ATOMIC_RELAXED)) {
        }
    }
    __atomic_store_n(&block->tid, (uint32_t)gettid(), __ATOMIC_RELAXED);
    __atomic_store_n(&block->serial, __atomic_add_fetch(&thread_serial, 1, __ATOMIC_RELAXED),
                     __ATOMIC_RELAXED);
    __atomic_store_n(&block->nested, NULL, __ATOMIC_RELAXED);
    return block;
}

/* The block that `*place` of this thread names; one is taken when there is none. A handler may have
 * done the same meanwhile: its block stays, since it may hold records already. */
static struct trace_thread *block_at(struct trace_thread **place)
{
    struct trace_thread *block = __atomic_load_n(place, __ATOMIC_RELAXED);
    if (block) {
        return block;
    }
    struct trace_thread *taken = take_block();
    if (taken && !__atomic_compare_exchange_n(place, &block, taken, false, __ATOMIC_RELEASE,
                                              __ATOMIC_RELAXED)) {
        __atomic_store_n(&taken->state, TRACE_THREAD_FREE, __ATOMIC_RELEASE);
        return block;
    }
    return taken;
}

struct trace_thread *trace_thread_enter_slow(void)
{
    struct trace_thread *block = trace_thread_self;
    if (!block) {
        block = block_at(&trace_thread_self);
        if (block) {
            pthread_setspecific(thread_key, block);
        }
    }
    while (block && (block->seq & 1)) {
        block = block_at(&block->nested);
    }
    return block;
}

void trace_record_store(uint8_t *p, uint64_t id, uint64_t time, uint64_t value)
{
    const uint64_t type = TRACE_TYPE_EVENT;
    const uint32_t tail[2] = {TRACE_RECORD_HEAD, trace_process_id};
    memcpy(p + 8, &id, 8);
    memcpy(p + 16, &time, 8);
    memcpy(p + 24, tail, 8);
    memcpy(p + 32, &value, 8);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    memcpy(p, &type, 8);
}

static bool ring_make(struct trace_buffer *b, size_t size)
{
    void *ring = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ring == MAP_FAILED) {
        return false;
    }
    b->limit = (uint8_t *)ring + size;
    __atomic_store_n(&b->tail, ring, __ATOMIC_RELAXED);
    __atomic_store_n(&b->cur, ring, __ATOMIC_RELAXED);
    __atomic_store_n(&b->time, clock_monotonic(), __ATOMIC_RELAXED);
    /* Last: the drain looks at buffers that have a base. */
    __atomic_store_n(&b->base, ring, __ATOMIC_RELEASE);
    return true;
}

void trace_buffer_free(struct trace_buffer *b)
{
    if (b->base) {
        munmap(b->base, (size_t)(b->limit - b->base));
    }
    *b = (struct trace_buffer){0};
}

/* Bytes free in one piece at cur, after wrapping around where that helps; less than `need` when the
 * ring is too full. 8 bytes behind them stay free as well. */
static size_t ring_free(struct trace_buffer *b, size_t need)
{
    uint8_t *tail = __atomic_load_n(&b->tail, __ATOMIC_ACQUIRE);
    if (tail > b->cur) {
        return (size_t)(tail - b->cur) - 1;
    }
    if ((size_t)(b->limit - b->cur) >= need + 8) {
        return (size_t)(b->limit - b->cur) - 8;
    }
    if ((size_t)(tail - b->base) <= need) {
        return 0;
    }
    const uint64_t wrap = TRACE_TYPE_WRAP;
    memcpy(b->cur, &wrap, 8);
    __atomic_store_n(&b->cur, b->base, __ATOMIC_RELEASE);
    return (size_t)(tail - b->base) - 1;
}

static size_t ring_used(const struct trace_buffer *b)
{
    uint8_t *tail = __atomic_load_n(&b->tail, __ATOMIC_RELAXED);
    return tail <= b->cur ? (size_t)(b->cur - tail)
                          : (size_t)(b->limit - tail) + (size_t)(b->cur - b->base);
}

/* Sleeps until the drain has moved the tail. */
static void wait_for_room(struct trace_buffer *b, uint32_t seen)
{
    __atomic_store_n(&b->waiting, 1, __ATOMIC_SEQ_CST);
    trace_drain_wake();
    if (__atomic_load_n(&b->room, __ATOMIC_SEQ_CST) == seen) {
        const struct timespec at_most = {.tv_nsec = 100 * 1000 * 1000};
        int saved = errno;
        syscall(SYS_futex, &b->room, FUTEX_WAIT_PRIVATE, seen, &at_most, NULL, 0);
        errno = saved;
    }
    __atomic_store_n(&b->waiting, 0, __ATOMIC_RELAXED);
}

static bool lose(struct trace_buffer *b)
{
    __atomic_store_n(&b->lost, b->lost + 1, __ATOMIC_RELAXED);
    return false;
}

/* Says in the buffer itself how many records are missing at this place. */
static void tell_lost(struct trace_buffer *b)
{
    __atomic_store_n(&b->writing, 1, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    uint64_t now = clock_monotonic();
    __atomic_store_n(&b->time, now, __ATOMIC_RELAXED);
    memset(b->cur + TRACE_RECORD_HEAD + 8, 0, 8);
    trace_record_store(b->cur, TRACE_DROPPED_ID, now, b->lost - b->lost_told);
    __atomic_store_n(&b->lost_told, b->lost, __ATOMIC_RELAXED);
    __atomic_store_n(&b->cur, b->cur + TRACE_RECORD_HEAD + 8, __ATOMIC_RELEASE);
    __atomic_store_n(&b->writing, 0, __ATOMIC_RELEASE);
}

bool trace_buffer_room(struct trace_thread *thread, struct trace_sink *sink, size_t size)
{
    struct trace_buffer *b = &thread->buffer[sink->slot];
    if (sink->ops->room) {
        if (!sink->ops->room(sink, thread, b)) {
            return lose(b);
        }
        if (b->lost != b->lost_told) {
            tell_lost(b);
        }
        return true;
    }
    if (!b->base && !ring_make(b, sink->options.buffer)) {
        return lose(b);
    }
    const size_t ring = (size_t)(b->limit - b->base);
    for (;;) {
        /* In order: what is read of the tail below is at least as new as `seen`. */
        uint32_t seen = __atomic_load_n(&b->room, __ATOMIC_SEQ_CST);
        size_t told = b->lost != b->lost_told ? TRACE_RECORD_HEAD + 8 : 0;
        size_t free = ring_free(b, size + told + 8);
        if (ring_used(b) >= ring / 4) {
            trace_drain_wake();
        }
        if (free >= size + told + 8) {
            size_t step = ring / 4 > size + told ? ring / 4 : size + told;
            b->end = b->cur + (free - 8 < step ? free - 8 : step);
            if (told) {
                tell_lost(b);
            }
            return true;
        }
        if (sink->options.drop || trace_drain_is_held()) {
            b->end = b->cur;
            return lose(b);
        }
        wait_for_room(b, seen);
    }
}

void trace_barrier(void)
{
    if (!membarrier_works || syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0) {
        /* Without membarrier(2) a store leaves a CPU's store buffer within microseconds; give it
         * far longer than that. */
        const struct timespec pause = {.tv_nsec = 1000 * 1000};
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        nanosleep(&pause, NULL);
    }
}

void trace_synchronize(void)
{
    trace_barrier();
    for (struct trace_thread *t = trace_threads(); t; t = t->next) {
        uint32_t seen = __atomic_load_n(&t->seq, __ATOMIC_ACQUIRE);
        if (is_mine(t)) {
            continue; /* odd when a handler that interrupted a probe ends the program */
        }
        while ((seen & 1) && __atomic_load_n(&t->seq, __ATOMIC_ACQUIRE) == seen) {
            const struct timespec pause = {.tv_nsec = 50 * 1000};
            trace_drain_wake();
            nanosleep(&pause, NULL);
        }
    }
}
