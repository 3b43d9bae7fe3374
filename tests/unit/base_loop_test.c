/* SPDX-License-Identifier: MIT
 *
 * The event loop: descriptors, timers, posted functions, the owner's lock. */
#include "base/loop.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { MILLISECOND = 1000000 };

struct seen {
    int fd;
    unsigned events, calls;
    char text[16];
    size_t count;
    struct loop_watch *watch;
    struct loop *loop;
};

static void read_one(void *opaque, unsigned events)
{
    struct seen *seen = opaque;

    seen->events |= events;
    seen->calls++;
    if (events & LOOP_IN && seen->count < sizeof seen->text &&
        read(seen->fd, seen->text + seen->count, 1) == 1) {
        seen->count++;
    } else {
        loop_watch_set(seen->watch, 0);
    }
}

static void descriptors(void **state)
{
    (void)state;
    struct loop *loop = loop_new(NULL);
    int fd[2];

    assert_non_null(loop);
    assert_int_equal(pipe(fd), 0);
    struct seen seen = {.fd = fd[0]};
    seen.watch = loop_watch(loop, fd[0], LOOP_IN, read_one, &seen, NULL);
    loop_step(loop, 0);
    assert_int_equal(seen.calls, 0);
    assert_int_equal(write(fd[1], "ab", 2), 2);
    loop_step(loop, 1000 * MILLISECOND);
    loop_step(loop, 1000 * MILLISECOND); /* again, while there is something */
    assert_int_equal(seen.count, 2);
    assert_memory_equal(seen.text, "ab", 2);
    loop_step(loop, 0);
    assert_int_equal(seen.calls, 2);

    /* Who waits for nothing is told nothing, not even of the end. */
    loop_watch_set(seen.watch, 0);
    close(fd[1]);
    loop_step(loop, 0);
    assert_int_equal(seen.calls, 2);
    loop_watch_set(seen.watch, LOOP_IN);
    loop_step(loop, 0);
    assert_int_equal(seen.calls, 3);
    assert_true(seen.events & LOOP_GONE);
    loop_unwatch(seen.watch);
    loop_unwatch(NULL);
    close(fd[0]);
    loop_step(loop, 0);
    assert_int_equal(seen.calls, 3);
    loop_free(loop);
}

/* A regular file is always ready; epoll does not know it. */
static void regular_file(void **state)
{
    (void)state;
    struct loop *loop = loop_new(NULL);
    FILE *file = tmpfile();
    struct seen seen = {.fd = fileno(file)};

    assert_int_equal(write(seen.fd, "xyz", 3), 3);
    lseek(seen.fd, 0, SEEK_SET);
    seen.watch = loop_watch(loop, seen.fd, LOOP_IN, read_one, &seen, NULL);
    for (int i = 0; i < 5; i++) {
        loop_step(loop, 0);
    }
    assert_int_equal(seen.count, 3);
    assert_int_equal(seen.calls, 4); /* the end, and no more */
    loop_free(loop);
    fclose(file);
}

static void remove_other(void *opaque, unsigned events)
{
    struct seen **both = opaque;
    struct seen *other = both[0]->calls + both[1]->calls ? NULL : both[1];

    (void)events;
    both[0]->calls++;
    if (other) {
        loop_unwatch(other->watch);
    }
}

/* Of two that are ready at once, the first handled removes the other. */
static void removed_while_ready(void **state)
{
    (void)state;
    struct loop *loop = loop_new(NULL);
    int one[2], two[2];
    struct seen a = {0}, b = {0};
    struct seen *ab[2] = {&a, &b}, *ba[2] = {&b, &a};

    assert_int_equal(pipe(one) | pipe(two), 0);
    assert_int_equal(write(one[1], "x", 1) + write(two[1], "x", 1), 2);
    a.watch = loop_watch(loop, one[0], LOOP_IN, remove_other, ab, NULL);
    b.watch = loop_watch(loop, two[0], LOOP_IN, remove_other, ba, NULL);
    loop_step(loop, 0);
    assert_int_equal(a.calls + b.calls, 1);
    loop_free(loop);
    close(one[0]);
    close(one[1]);
    close(two[0]);
    close(two[1]);
}

static void fired(void *opaque, uint64_t now)
{
    uint64_t *when = opaque;

    *when = now;
}

static void timers(void **state)
{
    (void)state;
    struct loop *loop = loop_new(NULL);
    struct timer timer = {0};
    uint64_t when = 0, begin = clock_now(loop_clock(loop));

    timer_init(&timer, loop_clock(loop), fired, &when);
    timer_set(&timer, begin + 20 * MILLISECOND);
    for (int i = 0; i < 100 && !when; i++) {
        loop_step(loop, 10000ull * MILLISECOND);
    }
    assert_true(when >= begin + 20 * MILLISECOND);
    assert_true(when < begin + 5000ull * MILLISECOND);
    loop_free(loop);
}

struct shared {
    struct loop *loop;
    pthread_mutex_t mutex;
    int locked, order[3], count;
};

static void lock(void *opaque)
{
    struct shared *shared = opaque;

    pthread_mutex_lock(&shared->mutex);
    shared->locked = 1;
}

static void unlock(void *opaque)
{
    struct shared *shared = opaque;

    shared->locked = 0;
    pthread_mutex_unlock(&shared->mutex);
}

static void first(void *opaque)
{
    struct shared *shared = opaque;

    shared->order[shared->count++] = shared->locked;
}

static void last(void *opaque)
{
    struct shared *shared = opaque;

    shared->order[shared->count++] = shared->locked + 1;
    loop_quit(shared->loop);
}

static void *poster(void *opaque)
{
    struct shared *shared = opaque;

    usleep(20000); /* it sleeps by now */
    loop_post(shared->loop, first, shared);
    loop_post(shared->loop, last, shared);
    return NULL;
}

static void posts_and_lock(void **state)
{
    (void)state;
    struct shared shared = {.loop = loop_new(NULL)};
    pthread_t thread;

    pthread_mutex_init(&shared.mutex, NULL);
    loop_set_lock(shared.loop, lock, unlock, &shared);
    assert_int_equal(pthread_create(&thread, NULL, poster, &shared), 0);
    loop_run(shared.loop);
    pthread_join(thread, NULL);
    assert_int_equal(shared.count, 2);
    assert_int_equal(shared.order[0], 1);
    assert_int_equal(shared.order[1], 2);
    assert_int_equal(shared.locked, 0);
    loop_post(shared.loop, first, &shared); /* dropped with it */
    loop_free(shared.loop);
    assert_int_equal(shared.count, 2);
}

static void bad_descriptor(void **state)
{
    (void)state;
    struct loop *loop = loop_new(NULL);
    struct error err;

    assert_null(loop_watch(loop, 10000, LOOP_IN, read_one, NULL, &err));
    assert_string_equal(err.text, "a descriptor cannot be watched: Bad file descriptor");
    loop_free(loop);
    loop_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(descriptors),         cmocka_unit_test(regular_file),
        cmocka_unit_test(removed_while_ready), cmocka_unit_test(timers),
        cmocka_unit_test(posts_and_lock),      cmocka_unit_test(bad_descriptor),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
