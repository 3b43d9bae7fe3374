/* SPDX-License-Identifier: MIT
 *
 * The event loop: epoll for descriptors, an eventfd to be woken by, the clock's earliest timer as
 * the limit of the sleep.
 *
 * A watch that was removed may still be among the events of a sleep that has just ended; so it is
 * only marked, and freed by the loop's thread after those were handled. */
#include "base/loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/descriptor.h"
#include "base/memory.h"

enum { EVENTS_AT_ONCE = 32 };

struct loop_watch {
    struct loop *loop;
    int fd;
    unsigned events;
    bool always; /* a regular file: epoll does not take it */
    bool removed;
    loop_ready_fn *ready;
    void *opaque;
    struct loop_watch *next;
};

struct posted {
    loop_post_fn *function;
    void *opaque;
    struct posted *next;
};

struct loop {
    int epoll, wake;
    bool quit;
    unsigned always; /* watches that are, and wait for something */
    struct clock clock;
    struct loop_watch *watches;
    unsigned removed;
    void (*lock)(void *opaque);
    void (*unlock)(void *opaque);
    void *lock_opaque;
    pthread_mutex_t mutex; /* of the list below */
    struct posted *first, **last;
};

static uint64_t host_time(void *opaque)
{
    (void)opaque;
    return clock_monotonic();
}

static void wake(struct loop *loop)
{
    uint64_t one = 1;
    int saved = errno;

    /* EAGAIN: it is awake. */
    while (write(loop->wake, &one, sizeof one) < 0 && errno == EINTR) {
    }
    errno = saved;
}

static void wake_for_timer(void *opaque)
{
    wake(opaque);
}

struct loop *loop_new(struct error *err)
{
    struct loop *loop = mem_alloc(sizeof *loop);

    loop->epoll = descriptor_own(epoll_create1(EPOLL_CLOEXEC));
    loop->wake = descriptor_own(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (loop->epoll < 0 || loop->wake < 0 ||
        epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->wake, &event)) {
        error_set(err, "no event loop can be made: %s", strerror(errno));
        if (loop->epoll >= 0) {
            close(loop->epoll);
        }
        if (loop->wake >= 0) {
            close(loop->wake);
        }
        free(loop);
        return NULL;
    }
    clock_init(&loop->clock);
    loop->clock.source = host_time;
    loop->clock.changed = wake_for_timer;
    loop->clock.opaque = loop;
    loop->last = &loop->first;
    pthread_mutex_init(&loop->mutex, NULL);
    return loop;
}

static void free_removed(struct loop *loop, bool all)
{
    struct loop_watch **at = &loop->watches;

    while (*at) {
        struct loop_watch *watch = *at;
        if (watch->removed || all) {
            *at = watch->next;
            free(watch);
        } else {
            at = &watch->next;
        }
    }
    loop->removed = 0;
}

void loop_free(struct loop *loop)
{
    if (!loop) {
        return;
    }
    while (loop->first) {
        struct posted *posted = loop->first;
        loop->first = posted->next;
        free(posted);
    }
    free_removed(loop, true);
    clock_free(&loop->clock);
    pthread_mutex_destroy(&loop->mutex);
    close(loop->epoll);
    close(loop->wake);
    free(loop);
}

void loop_set_lock(struct loop *loop, void (*lock)(void *opaque), void (*unlock)(void *opaque),
                   void *opaque)
{
    loop->lock = lock;
    loop->unlock = unlock;
    loop->lock_opaque = opaque;
}

struct clock *loop_clock(struct loop *loop)
{
    return &loop->clock;
}

static uint32_t to_epoll(unsigned events)
{
    return (events & LOOP_IN ? (uint32_t)EPOLLIN : 0) |
           (events & LOOP_OUT ? (uint32_t)EPOLLOUT : 0);
}

struct loop_watch *loop_watch(struct loop *loop, int fd, unsigned events, loop_ready_fn *ready,
                              void *opaque, struct error *err)
{
    struct loop_watch *watch = mem_alloc(sizeof *watch);
    struct epoll_event event = {.events = to_epoll(events), .data.ptr = watch};

    *watch = (struct loop_watch){
        .loop = loop, .fd = fd, .events = events, .ready = ready, .opaque = opaque};
    if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event)) {
        if (errno != EPERM) {
            error_set(err, "a descriptor cannot be watched: %s", strerror(errno));
            free(watch);
            return NULL;
        }
        watch->always = true;
        loop->always += events != 0;
        wake(loop);
    } else if (!events) {
        epoll_ctl(loop->epoll, EPOLL_CTL_DEL, fd, NULL);
    }
    watch->next = loop->watches;
    loop->watches = watch;
    return watch;
}

void loop_watch_set(struct loop_watch *watch, unsigned events)
{
    struct loop *loop = watch->loop;

    if (events == watch->events) {
        return;
    }
    if (watch->always) {
        loop->always += (events != 0) - (watch->events != 0);
        wake(loop);
    } else {
        /* Who waits for nothing is taken out: epoll tells of hang-ups unasked, again and again. */
        struct epoll_event event = {.events = to_epoll(events), .data.ptr = watch};
        int change = !events ? EPOLL_CTL_DEL : watch->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
        epoll_ctl(loop->epoll, change, watch->fd, &event);
    }
    watch->events = events;
}

void loop_unwatch(struct loop_watch *watch)
{
    if (!watch || watch->removed) {
        return;
    }
    struct loop *loop = watch->loop;
    if (watch->always) {
        loop->always -= watch->events != 0;
    } else if (watch->events) {
        epoll_ctl(loop->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
    }
    watch->removed = true;
    loop->removed++;
}

void loop_post(struct loop *loop, loop_post_fn *function, void *opaque)
{
    struct posted *posted = mem_alloc(sizeof *posted);

    posted->function = function;
    posted->opaque = opaque;
    pthread_mutex_lock(&loop->mutex);
    *loop->last = posted;
    loop->last = &posted->next;
    pthread_mutex_unlock(&loop->mutex);
    wake(loop);
}

void loop_quit(struct loop *loop)
{
    __atomic_store_n(&loop->quit, true, __ATOMIC_RELEASE);
    wake(loop);
}

static void run_posted(struct loop *loop)
{
    pthread_mutex_lock(&loop->mutex);
    struct posted *first = loop->first;
    loop->first = NULL;
    loop->last = &loop->first;
    pthread_mutex_unlock(&loop->mutex);
    while (first) {
        struct posted *posted = first;
        first = posted->next;
        posted->function(posted->opaque);
        free(posted);
    }
}

static void run_always(struct loop *loop)
{
    for (struct loop_watch *watch = loop->watches; watch && loop->always; watch = watch->next) {
        if (watch->always && watch->events && !watch->removed) {
            watch->ready(watch->opaque, watch->events);
        }
    }
}

static void hold(struct loop *loop)
{
    if (loop->lock) {
        loop->lock(loop->lock_opaque);
    }
}

static void let_go(struct loop *loop)
{
    if (loop->unlock) {
        loop->unlock(loop->lock_opaque);
    }
}

/* How long to sleep, with the lock held. A timer that is set meanwhile wakes us. */
static struct timespec how_long(const struct loop *loop, uint64_t nanoseconds)
{
    uint64_t next = clock_next(&loop->clock), now = clock_now(&loop->clock);
    uint64_t most = (uint64_t)86400 * 1000000000u;

    if (loop->always) {
        nanoseconds = 0;
    } else if (next != TIMER_NEVER) {
        uint64_t left = next > now ? next - now : 0;
        nanoseconds = left < nanoseconds ? left : nanoseconds;
    }
    nanoseconds = nanoseconds < most ? nanoseconds : most;
    return (struct timespec){.tv_sec = (time_t)(nanoseconds / 1000000000u),
                             .tv_nsec = (long)(nanoseconds % 1000000000u)};
}

static void handle(struct loop_watch *watch, uint32_t happened)
{
    unsigned events = (happened & EPOLLIN ? (unsigned)LOOP_IN : 0) |
                      (happened & EPOLLOUT ? (unsigned)LOOP_OUT : 0);

    if (happened & (EPOLLHUP | EPOLLERR)) {
        events |= LOOP_GONE;
    }
    /* Somebody may have lost interest since. */
    events &= watch->events | LOOP_GONE;
    if (!watch->removed && watch->events && events) {
        watch->ready(watch->opaque, events);
    }
}

void loop_step(struct loop *loop, uint64_t nanoseconds)
{
    struct epoll_event events[EVENTS_AT_ONCE];

    hold(loop);
    struct timespec limit = how_long(loop, nanoseconds);
    let_go(loop);
    int count = epoll_pwait2(loop->epoll, events, EVENTS_AT_ONCE, &limit, NULL);
    if (count < 0 && errno == ENOSYS) { /* before Linux 5.11 */
        count = epoll_wait(loop->epoll, events, EVENTS_AT_ONCE,
                           (int)(limit.tv_sec * 1000 + (limit.tv_nsec + 999999) / 1000000));
    }
    hold(loop);
    for (int i = 0; i < count; i++) {
        if (events[i].data.ptr) {
            handle(events[i].data.ptr, events[i].events);
        } else {
            uint64_t times;
            if (read(loop->wake, &times, sizeof times) < 0 && errno != EAGAIN) {
                bug("the event loop's descriptor was closed: %s", strerror(errno));
            }
        }
    }
    run_always(loop);
    run_posted(loop);
    clock_run(&loop->clock);
    if (loop->removed) {
        free_removed(loop, false);
    }
    let_go(loop);
}

void loop_run(struct loop *loop)
{
    while (!__atomic_load_n(&loop->quit, __ATOMIC_ACQUIRE)) {
        loop_step(loop, TIMER_NEVER);
    }
}
