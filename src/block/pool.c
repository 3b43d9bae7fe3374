/* SPDX-License-Identifier: MIT
 *
 * Pools: who carries requests out, and how their results come back to the machine.
 *
 *     block_submit()  ->  queue  -> a worker ->  results  -> block_pool_deliver() -> done()
 *                         (machine's lock)                     (machine's lock)
 *
 * A pool with a clock has no workers: the request is carried out in block_submit(), and a timer
 * delivers it. Requests whose drive asks to stop the machine wait in a third list.
 *
 * The pool's lock guards the three lists and the states of their requests, and is never held while
 * somebody is called or bytes move.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "block/internal.h"

#include "trace-block.h"

/* REQUEST_IDLE is 0. */
enum { REQUEST_IDLE, REQUEST_QUEUED, REQUEST_RUNNING, REQUEST_DONE, REQUEST_PARKED, REQUEST_TIMED };

struct list {
    struct block_request *first, *last;
};

struct block_pool {
    pthread_mutex_t lock;
    pthread_cond_t work, finished;
    struct list queue, done, parked, timed;
    size_t busy;
    unsigned threads_max, threads, idle;
    pthread_t *thread;
    bool ending;
    void (*ready)(void *opaque);
    void *ready_opaque;
    struct clock *clock; /* NULL: workers */
    uint64_t latency;
    void (*stop)(void *opaque, struct drive *drive, int error);
    void *stop_opaque;
};

static void append(struct list *list, struct block_request *request)
{
    request->next = NULL;
    if (list->last) {
        list->last->next = request;
    } else {
        list->first = request;
    }
    list->last = request;
}

static void take_out(struct list *list, struct block_request *request)
{
    struct block_request *before = NULL;
    for (struct block_request *at = list->first; at; before = at, at = at->next) {
        if (at != request) {
            continue;
        }
        *(before ? &before->next : &list->first) = request->next;
        if (list->last == request) {
            list->last = before;
        }
        return;
    }
}

/* --- workers --- */

static void finish(struct block_pool *pool, struct block_request *request)
{
    bool first = !pool->done.first;
    void (*ready)(void *opaque) = pool->ready; /* gone when the pool ends */
    request->state = REQUEST_DONE;
    append(&pool->done, request);
    pthread_cond_broadcast(&pool->finished);
    pthread_mutex_unlock(&pool->lock);
    if (first && ready) {
        ready(pool->ready_opaque);
    }
    pthread_mutex_lock(&pool->lock);
}

static void *worker(void *argument)
{
    struct block_pool *pool = argument;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        struct block_request *request = pool->queue.first;
        if (!request) {
            if (pool->ending) {
                break;
            }
            pool->idle++;
            pthread_cond_wait(&pool->work, &pool->lock);
            pool->idle--;
            continue;
        }
        take_out(&pool->queue, request);
        request->state = REQUEST_RUNNING;
        pthread_mutex_unlock(&pool->lock);
        int result = image_carry_out(request->image, request->op, request->offset, request->buffer,
                                     request->bytes);
        pthread_mutex_lock(&pool->lock);
        request->result = result;
        finish(pool, request);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* The process's signals are for others. */
static bool start_worker(struct block_pool *pool)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    bool good = !pthread_create(&pool->thread[pool->threads], NULL, worker, pool);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pool->threads += good;
    return good;
}

static struct block_pool *new_pool(void)
{
    struct block_pool *pool = mem_alloc(sizeof(*pool));
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->finished, NULL);
    return pool;
}

struct block_pool *block_pool_new(unsigned threads, void (*ready)(void *opaque), void *opaque)
{
    struct block_pool *pool = new_pool();
    pool->threads_max = threads ? threads : 1;
    pool->thread = mem_alloc(pool->threads_max * sizeof(pool->thread[0]));
    pool->ready = ready;
    pool->ready_opaque = opaque;
    return pool;
}

struct block_pool *block_pool_new_timed(struct clock *clock, uint64_t nanoseconds)
{
    struct block_pool *pool = new_pool();
    pool->clock = clock;
    pool->latency = nanoseconds;
    return pool;
}

static void forget(struct list *list)
{
    for (struct block_request *request = list->first; request; request = request->next) {
        if (request->state == REQUEST_TIMED) {
            timer_stop(&request->timer);
        }
        image_drop(request->image);
        request->image = NULL;
        request->state = REQUEST_IDLE;
    }
}

void block_pool_free(struct block_pool *pool)
{
    if (!pool) {
        return;
    }
    pthread_mutex_lock(&pool->lock);
    pool->ending = true;
    pool->ready = NULL;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->threads; i++) {
        pthread_join(pool->thread[i], NULL);
    }
    forget(&pool->done);
    forget(&pool->parked);
    forget(&pool->timed);
    pthread_cond_destroy(&pool->finished);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    free(pool->thread);
    free(pool);
}

/* --- results --- */

/* The request is in no list any more; the machine's lock is held. */
static void deliver(struct block_pool *pool, struct block_request *request)
{
    int result = request->result;
    enum drive_on_error policy = DRIVE_REPORT;
    image_drop(request->image);
    request->image = NULL;
    if (result) {
        request->drive->counts.errors++;
        policy = drive_policy(request->drive, request->op, -result);
        trace_block_error(request->drive->id, (int)request->op, (int64_t)request->offset,
                          (int64_t)request->bytes, -result, (int)policy);
    }
    if (policy == DRIVE_STOP && pool->stop) {
        pthread_mutex_lock(&pool->lock);
        request->state = REQUEST_PARKED;
        append(&pool->parked, request);
        pthread_mutex_unlock(&pool->lock);
        pool->stop(pool->stop_opaque, request->drive, -result);
        return;
    }
    if (policy == DRIVE_IGNORE) {
        if (request->op == BLOCK_READ) {
            memset(request->buffer, 0, request->bytes);
        }
        result = 0;
    }
    request->state = REQUEST_IDLE;
    trace_thread_pool_complete(pool, request, request->opaque, result);
    request->done(request->opaque, result);
}

static struct block_request *next_result(struct block_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    struct block_request *request = pool->done.first;
    if (request) {
        take_out(&pool->done, request);
        pool->busy--;
    }
    pthread_mutex_unlock(&pool->lock);
    return request;
}

void block_pool_deliver(struct block_pool *pool)
{
    size_t count = 0;
    pthread_mutex_lock(&pool->lock);
    for (struct block_request *at = pool->done.first; at; at = at->next) {
        count++;
    }
    pthread_mutex_unlock(&pool->lock);
    struct block_request *request;
    while (count && (request = next_result(pool))) {
        deliver(pool, request);
        count--;
    }
    pthread_mutex_lock(&pool->lock);
    bool more = pool->done.first;
    pthread_mutex_unlock(&pool->lock);
    if (more && pool->ready) {
        pool->ready(pool->ready_opaque);
    }
}

static void timer_fired(void *opaque, uint64_t now)
{
    (void)now;
    struct block_request *request = opaque;
    struct block_pool *pool = request->drive->pool;
    take_out(&pool->timed, request);
    pool->busy--;
    deliver(pool, request);
}

void block_pool_drain(struct block_pool *pool)
{
    while (pool->clock && pool->timed.first) {
        struct block_request *earliest = pool->timed.first;
        for (struct block_request *at = earliest; at; at = at->next) {
            if (timer_when(&at->timer) < timer_when(&earliest->timer)) {
                earliest = at;
            }
        }
        timer_stop(&earliest->timer);
        timer_fired(earliest, 0);
    }
    for (;;) {
        pthread_mutex_lock(&pool->lock);
        while (pool->busy && !pool->done.first && !pool->clock) {
            pthread_cond_wait(&pool->finished, &pool->lock);
        }
        bool results = pool->done.first;
        pthread_mutex_unlock(&pool->lock);
        if (!results) {
            return;
        }
        block_pool_deliver(pool);
    }
}

size_t block_pool_busy(const struct block_pool *pool)
{
    return pool->busy;
}

void block_pool_on_stop(struct block_pool *pool,
                        void (*stop)(void *opaque, struct drive *drive, int error), void *opaque)
{
    pool->stop = stop;
    pool->stop_opaque = opaque;
}

void block_pool_resume(struct block_pool *pool)
{
    struct block_request *request = pool->parked.first;
    pool->parked = (struct list){0};
    while (request) {
        struct block_request *next = request->next;
        request->state = REQUEST_IDLE;
        block_submit(request);
        request = next;
    }
}

/* --- sending --- */

static void submit_timed(struct block_pool *pool, struct block_request *request)
{
    if (!request->result) {
        request->result = image_carry_out(request->image, request->op, request->offset,
                                          request->buffer, request->bytes);
    }
    request->state = REQUEST_TIMED;
    append(&pool->timed, request);
    pool->busy++;
    timer_init(&request->timer, pool->clock, timer_fired, request);
    timer_set(&request->timer, clock_now(pool->clock) + pool->latency + request->bytes / 8);
}

static void submit_queued(struct block_pool *pool, struct block_request *request)
{
    pthread_mutex_lock(&pool->lock);
    pool->busy++;
    if (request->result) {
        finish(pool, request);
    } else {
        request->state = REQUEST_QUEUED;
        append(&pool->queue, request);
        if (!pool->idle && pool->threads < pool->threads_max && !start_worker(pool) &&
            !pool->threads) {
            /* The host gives us no thread at all: then it is done here. */
            take_out(&pool->queue, request);
            request->result = image_carry_out(request->image, request->op, request->offset,
                                              request->buffer, request->bytes);
            finish(pool, request);
        }
        pthread_cond_signal(&pool->work);
    }
    pthread_mutex_unlock(&pool->lock);
}

void block_submit(struct block_request *request)
{
    struct drive *drive = request->drive;
    struct block_pool *pool = drive->pool;
    if (request->state != REQUEST_IDLE) {
        bug("block: request %p of drive %s is sent while it is under way (state %d)",
            (void *)request, drive->id, request->state);
    }
    trace_thread_pool_submit(pool, request, request->opaque);
    request->image = image_take(drive->image);
    request->result = drive_begin(drive, request->op, request->offset, request->bytes);
    if (pool->clock) {
        submit_timed(pool, request);
    } else {
        submit_queued(pool, request);
    }
}

void block_cancel(struct block_request *request)
{
    if (!request->drive || !request->drive->pool) {
        return;
    }
    struct block_pool *pool = request->drive->pool;
    pthread_mutex_lock(&pool->lock);
    while (request->state == REQUEST_RUNNING) {
        pthread_cond_wait(&pool->finished, &pool->lock);
    }
    switch (request->state) {
    case REQUEST_QUEUED: take_out(&pool->queue, request); break;
    case REQUEST_DONE: take_out(&pool->done, request); break;
    case REQUEST_PARKED: take_out(&pool->parked, request); break;
    case REQUEST_TIMED:
        take_out(&pool->timed, request);
        timer_stop(&request->timer);
        break;
    default: break;
    }
    pool->busy -= request->state != REQUEST_IDLE && request->state != REQUEST_PARKED;
    request->state = REQUEST_IDLE;
    pthread_mutex_unlock(&pool->lock);
    image_drop(request->image);
    request->image = NULL;
}

bool block_is_busy(const struct block_request *request)
{
    if (!request->drive || !request->drive->pool) {
        return false;
    }
    struct block_pool *pool = request->drive->pool;
    pthread_mutex_lock(&pool->lock);
    bool busy = request->state != REQUEST_IDLE;
    pthread_mutex_unlock(&pool->lock);
    return busy;
}
