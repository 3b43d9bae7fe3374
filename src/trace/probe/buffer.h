/* SPDX-License-Identifier: MIT
 *
 * Thread buffers: where a record lies between the probe that made it and the writer that stores it.
 *
 * Who has what
 *
 *   Each host thread has a block (struct trace_thread), and in it one buffer for each recording
 *   (struct trace_sink with buffers). Only that thread stores into the block's producer fields; one
 *   drain thread for the process (probe/drain.c) empties all buffers.
 *
 *       tail                      cur            limit of the ring
 *        |                         |                   |
 *   +----v-------------------------v-------------------+
 *   |free| records, oldest first   | free              |   (drawn without wrap-around)
 *   +----+-------------------------+-------------------+
 *        ^ drain takes from here   ^ thread adds here; it may go on to `end` without asking
 *
 *   `end` is what the thread knows to be free. It is moved in steps of a quarter of the ring, so
 * the thread looks at `tail` (the drain's cache line), wakes the drain, wraps around or waits only
 *   four times a ring, in trace_buffer_room(). Behind `end` there are always 8 bytes to spare.
 *
 * How a record is written (fire.c; translated code does the same with plain stores)
 *
 *   1. size = bytes of the record (record.h). If end - cur < size, call trace_buffer_room(); when
 *      that says no, the record is lost and counted.
 *   2. writing = 1
 *   3. time = clock; the buffer's `time` = time
 *   4. store 0 at cur + size (the next type word), then id, time, length, pid and the arguments
 *   5. store the type word at cur: from here on the record exists for a reader of a flight file
 *   6. cur += size: from here on it exists for the drain
 *   7. writing = 0
 *
 *   The stores must reach memory in this order, which x86-64 guarantees for plain stores; C code
 *   says so to the compiler with release stores.
 *
 * Who may interrupt
 *
 *   A signal handler may fire probes anywhere, also between these steps. `seq` of the block is odd
 *   while the thread is inside trace_fire(); the handler sees that and uses the block's `nested`
 *   block, which has buffers of its own (and so on, for handlers that are interrupted). So each
 *   buffer has one producer that is never interrupted by another producer of the same buffer.
 *   Translated code that writes records makes `seq` odd around them. A handler must return to what
 *   it interrupted, or end the thread or the program: after siglongjmp() out of a probe, `seq`
 *   would stay odd.
 *
 * In which order they come out
 *
 *   The drain reads the clock (now), makes every thread pass a memory barrier (membarrier(2)), then
 *   looks at each buffer: where `writing` is 0, every record with a time before `now` is behind
 *   `cur`; where it is 1, the record being written is not older than the buffer's `time`. The least
 *   of these is the horizon: records up to it are merged by time and written, later ones stay for
 *   the next pass. So a file is in time order although no thread ever waits for another.
 *
 *   A thread that is interrupted in the middle of a record holds the horizon back. When the
 *   handler that interrupted it waits for room, or after a fifth of a second, the drain goes on
 *   without that record, which later gets the time up to which others were written: the time may
 *   be later than the event, but not out of order.
 *
 * What is lost when full, and how that is counted
 *
 *   By default nothing: the thread sleeps until the drain has made room (only a handler that
 *   interrupted its thread while that holds the drain off, or is about to, cannot wait, and loses;
 *   so does a thread that the host gives no memory for a ring). With overflow=drop the record is
 *   not stored and `lost` goes up; when there is room again a dropped record with the number comes
 *   first, so its place in the file is the place of the loss. What is left when the recording ends
 *   is written then. A record larger than a quarter of a ring cannot occur: the smallest ring is
 *   64 KiB.
 *
 * Flight recordings
 *
 *   The same buffer, but [cur, end) lies in a chunk of a mapped file; trace_buffer_room() takes the
 *   oldest chunk of the file that no thread is filling (write/flight.c), or begins the thread's own
 *   again when there is none. Nobody drains. The stores of steps 4 and 5 are what makes the file
 *   readable after SIGKILL.
 *
 * When blocks come and go
 *
 *   A block is made by the thread's first probe and pushed on a list that only grows. A thread
 *   that ends gives its chunks of flight recordings back itself, with `seq` odd, so that a
 *   recording that is being closed waits for it. When it has no ring the next new thread can have
 *   the block at once; else the block is marked, and the drain empties it, frees the rings and
 *   offers it.
 *
 *   The child of a fork has none of the parent's rings, chunks and recordings: all blocks are empty
 *   and free, but the one of the thread that forked.
 */
#ifndef TRACE_BUFFER_H
#define TRACE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct trace_sink;

enum {
    TRACE_RECORDINGS_MAX = 8, /* recordings open at a time */
    TRACE_RING_MIN = 64 << 10,
    TRACE_RING_DEFAULT = 4 << 20,
    TRACE_TYPE_WRAP = 2, /* type word in a ring: go on at its start */
};

struct trace_buffer {
    /* The thread's own line. */
    uint8_t *cur;
    uint8_t *end;
    uint64_t time;      /* of the newest record */
    uint32_t writing;   /* a record is between its clock reading and its end */
    uint32_t waiting;   /* the thread sleeps until `room` changes */
    uint64_t lost;      /* records not stored, since the thread began */
    uint64_t lost_told; /* of these, how many a dropped record has told of */
    uint8_t *base;      /* the ring, or the chunk of a flight file; NULL: none yet */
    uint8_t *limit;     /* its end */

    /* The drain's line. */
    _Alignas(64) uint8_t *tail;
    uint32_t room; /* changes whenever tail moves: what a waiting thread sleeps on */
    uint64_t held_time, held_since; /* the record last found being written, and when first */
};

struct trace_thread {
    uint32_t seq; /* odd: inside trace_fire() */
    uint32_t tid;
    uint32_t state;
    uint32_t serial;                    /* distinct for every thread that ever used a block */
    struct trace_thread *nested;        /* for probes that fire in signal handlers meanwhile */
    struct trace_thread *next;          /* in the list of all blocks */
    void *stream[TRACE_RECORDINGS_MAX]; /* the writer's own, used by the drain only */
    _Alignas(64) struct trace_buffer buffer[TRACE_RECORDINGS_MAX];
};

enum { TRACE_THREAD_FREE, TRACE_THREAD_USED, TRACE_THREAD_ENDED };

extern _Thread_local struct trace_thread *trace_thread_self
    __attribute__((tls_model("initial-exec")));

/* getpid() without its system call. */
extern uint32_t trace_process_id;

/* The block to use now: this thread's, or its nested one inside a handler; makes what is missing.
 * NULL when the host has no memory. Any thread, also in signal handlers. */
struct trace_thread *trace_thread_enter_slow(void);

/* Newest block of the list; follow `next`. */
struct trace_thread *trace_threads(void);

/* Step 1's slow half: makes [cur, end) hold at least `size` bytes. False: the record is lost (and
 * counted). May sleep. */
bool trace_buffer_room(struct trace_thread *thread, struct trace_sink *sink, size_t size);

/* Waits until every trace_fire() that had begun on another thread is over, so that what it might
 * have seen can be freed. Not from inside trace_fire(). */
void trace_synchronize(void);

/* Makes every thread of the process pass a full memory barrier. */
void trace_barrier(void);

/* Writes a record of one number with the given id at `p` (TRACE_RECORD_HEAD + 8 bytes). */
void trace_record_store(uint8_t *p, uint64_t id, uint64_t time, uint64_t value);

/* Gives back the memory of a buffer. The drain, or whoever knows that nobody else can use it. */
void trace_buffer_free(struct trace_buffer *buffer);

#endif
