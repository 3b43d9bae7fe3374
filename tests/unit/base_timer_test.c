/* SPDX-License-Identifier: MIT
 *
 * Clocks and timers: when they fire, in which order, and what timers may do while they fire. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/timer.h"

enum { MANY = 64, KEPT = 1024 };

/* --- timers that tell --- */

struct fired {
    unsigned who;
    uint64_t now;
};

struct world {
    struct clock clock;
    struct timer timer[MANY];
    struct teller {
        struct world *world;
        unsigned number;
        uint64_t period; /* sets itself so much later; 0: not */
        unsigned stops;  /* stops this other one, by number + 1 */
        unsigned sets;   /* sets this other one, by number + 1, to `sets_when` */
        uint64_t sets_when;
    } teller[MANY];
    struct fired fired[KEPT];
    unsigned count, changes;
    uint64_t host; /* what the clock's source says */
};

static void fire(void *opaque, uint64_t now)
{
    struct teller *teller = opaque;
    struct world *world = teller->world;
    struct timer *timer = &world->timer[teller->number];

    assert_false(timer_is_set(timer));
    assert_int_equal(timer_when(timer), TIMER_NEVER);
    if (world->count < KEPT)
        world->fired[world->count] = (struct fired){teller->number, now};
    world->count++;
    if (teller->period)
        timer_set(timer, timer->when + teller->period);
    if (teller->stops)
        timer_stop(&world->timer[teller->stops - 1]);
    if (teller->sets)
        timer_set(&world->timer[teller->sets - 1], teller->sets_when);
}

static void changed(void *opaque)
{
    struct world *world = opaque;
    world->changes++;
}

static uint64_t source(void *opaque)
{
    struct world *world = opaque;
    return world->host;
}

static struct world *world_new(void)
{
    struct world *world = calloc(1, sizeof *world);

    assert_non_null(world);
    clock_init(&world->clock);
    world->clock.changed = changed;
    world->clock.opaque = world;
    for (unsigned i = 0; i < MANY; i++) {
        world->teller[i] = (struct teller){.world = world, .number = i};
        timer_init(&world->timer[i], &world->clock, fire, &world->teller[i]);
    }
    return world;
}

static void world_free(struct world *world)
{
    for (unsigned i = 0; i < MANY; i++)
        timer_stop(&world->timer[i]);
    assert_int_equal(clock_next(&world->clock), TIMER_NEVER);
    clock_free(&world->clock);
    free(world);
}

static void expect(const struct world *world, unsigned at, unsigned who, uint64_t now)
{
    assert_true(at < world->count);
    assert_int_equal(world->fired[at].who, who);
    assert_int_equal(world->fired[at].now, now);
}

/* --- tests --- */

static void fires_in_order(void **state)
{
    (void)state;
    struct world *world = world_new();
    static const uint64_t when[] = {50, 10, 30, 30, 10, 70, 30};
    static const unsigned order[] = {1, 4, 2, 3, 6, 0, 5};

    for (unsigned i = 0; i < 7; i++)
        timer_set(&world->timer[i], when[i]);
    assert_int_equal(clock_next(&world->clock), 10);
    clock_advance(&world->clock, 9);
    assert_int_equal(world->count, 0);
    assert_int_equal(clock_now(&world->clock), 9);
    clock_advance(&world->clock, 60);
    assert_int_equal(world->count, 6);
    assert_int_equal(clock_next(&world->clock), 70);
    clock_advance(&world->clock, 1);
    assert_int_equal(world->count, 7);
    for (unsigned i = 0; i < 7; i++)
        expect(world, i, order[i], when[order[i]]);
    assert_int_equal(clock_now(&world->clock), 70);
    world_free(world);
}

/* Setting again makes it the last among its equals; never stops. */
static void sets_again(void **state)
{
    (void)state;
    struct world *world = world_new();

    for (unsigned i = 0; i < 4; i++)
        timer_set(&world->timer[i], 5);
    timer_set(&world->timer[0], 5);
    timer_set(&world->timer[2], TIMER_NEVER);
    assert_false(timer_is_set(&world->timer[2]));
    assert_int_equal(timer_when(&world->timer[0]), 5);
    timer_stop(&world->timer[2]);
    clock_advance(&world->clock, 5);
    assert_int_equal(world->count, 3);
    expect(world, 0, 1, 5);
    expect(world, 1, 3, 5);
    expect(world, 2, 0, 5);
    world_free(world);
}

static void acts_while_firing(void **state)
{
    (void)state;
    struct world *world = world_new();

    world->teller[0].period = 10; /* 10, 20, 30, ... */
    world->teller[1].stops = 3;   /* the one that would be next */
    world->teller[3].sets = 5;    /* a time that is over: at once */
    world->teller[3].sets_when = 1;
    world->teller[5].stops = 6; /* itself */
    timer_set(&world->timer[0], 10);
    timer_set(&world->timer[1], 12);
    timer_set(&world->timer[2], 12);
    timer_set(&world->timer[3], 13);
    timer_set(&world->timer[5], 14);
    clock_advance(&world->clock, 30);
    assert_int_equal(world->count, 7);
    expect(world, 0, 0, 10);
    expect(world, 1, 1, 12);
    expect(world, 2, 3, 13);
    expect(world, 3, 4, 13);
    expect(world, 4, 5, 14);
    expect(world, 5, 0, 20);
    expect(world, 6, 0, 30);
    assert_int_equal(timer_when(&world->timer[0]), 40);
    world_free(world);
}

/* The source is asked once; a timer that catches up does so in one run. */
static void follows_a_source(void **state)
{
    (void)state;
    struct world *world = world_new();

    world->clock.source = source;
    world->host = 5;
    world->teller[0].period = 10;
    timer_set(&world->timer[0], 10);
    timer_set(&world->timer[1], 3);
    clock_run(&world->clock);
    assert_int_equal(world->count, 1);
    expect(world, 0, 1, 5);
    world->host = 35;
    clock_run(&world->clock);
    assert_int_equal(world->count, 4);
    for (unsigned i = 1; i < 4; i++)
        expect(world, i, 0, 35);
    assert_int_equal(clock_next(&world->clock), 40);
    clock_run(&world->clock);
    assert_int_equal(world->count, 4);
    world_free(world);
}

static void tells_who_sleeps(void **state)
{
    (void)state;
    struct world *world = world_new();

    timer_set(&world->timer[0], 100);
    assert_int_equal(world->changes, 1);
    timer_set(&world->timer[1], 200);
    timer_stop(&world->timer[1]);
    assert_int_equal(world->changes, 1);
    timer_set(&world->timer[1], 50);
    assert_int_equal(world->changes, 2);
    timer_stop(&world->timer[1]);
    assert_int_equal(world->changes, 3);
    timer_set(&world->timer[0], 100);
    assert_int_equal(world->changes, 3);
    timer_stop(&world->timer[0]);
    assert_int_equal(world->changes, 4);
    timer_stop(&world->timer[0]);
    assert_int_equal(world->changes, 4);
    world_free(world);
}

/* Timers that never let the time go on do not keep whoever runs the clock. */
static void returns_from_endless_timers(void **state)
{
    (void)state;
    struct world *world = world_new();

    world->clock.source = source;
    world->host = 100;
    world->teller[0].sets = 2;
    world->teller[1].sets = 1;
    world->teller[0].sets_when = world->teller[1].sets_when = 100;
    timer_set(&world->timer[0], 100);
    clock_run(&world->clock);
    assert_true(world->count > 1000);
    assert_int_equal(clock_next(&world->clock), 100);
    timer_init(&world->timer[0], &world->clock, fire, &world->teller[0]);
    timer_stop(&world->timer[1]);

    world->clock.source = NULL;
    world->teller[0].sets = 1;
    world->teller[0].sets_when = 0;
    timer_set(&world->timer[0], 0);
    clock_advance(&world->clock, 7);
    assert_int_equal(clock_now(&world->clock), 7);
    assert_int_equal(clock_next(&world->clock), 0);
    world_free(world);
}

static void stands_at_the_end_of_time(void **state)
{
    (void)state;
    struct world *world = world_new();

    timer_set(&world->timer[0], TIMER_NEVER - 1);
    clock_advance(&world->clock, TIMER_NEVER - 2);
    assert_int_equal(world->count, 0);
    clock_advance(&world->clock, UINT64_MAX);
    assert_int_equal(world->count, 1);
    assert_int_equal(clock_now(&world->clock), TIMER_NEVER - 1);
    world_free(world);
}

static void zero_is_stopped(void **state)
{
    (void)state;
    struct timer timer = {0};

    assert_false(timer_is_set(&timer));
    assert_int_equal(timer_when(&timer), TIMER_NEVER);
    timer_stop(&timer);
    assert_false(timer_is_set(&timer));
}

static void scales(void **state)
{
    (void)state;
    /* 2^63 ticks of the 8254 are 244 000 years; the product does not fit into 64 bits. */
    assert_int_equal(time_scale(1193182, 1000000000, 1193182), 1000000000);
    assert_int_equal(time_scale(1, 1000000000, 1193182), 838);
    assert_int_equal(time_scale(UINT64_C(1) << 40, 3579545, 1000000000), 3935751349);
    assert_int_equal(time_scale(UINT64_MAX, 1000, 1000), UINT64_MAX);
}

/* --- against a list --- */

static uint64_t random_state = 88172645463325252;

static unsigned random_below(unsigned bound)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)(random_state >> 33) % bound;
}

/* What is due, from a list without any order: earliest first, then as they were set. */
static unsigned model_first(const uint64_t *when, const unsigned *order)
{
    unsigned best = MANY;

    for (unsigned i = 0; i < MANY; i++) {
        if (when[i] != TIMER_NEVER && (best == MANY || when[i] < when[best] ||
                                       (when[i] == when[best] && order[i] < order[best])))
            best = i;
    }
    return best;
}

static void behaves_like_a_list(void **state)
{
    (void)state;
    struct world *world = world_new();
    uint64_t when[MANY], at = 0;
    unsigned order[MANY] = {0}, orders = 0;

    for (unsigned i = 0; i < MANY; i++)
        when[i] = TIMER_NEVER;
    for (unsigned step = 0; step < 20000; step++) {
        const unsigned who = random_below(MANY);
        if (random_below(4)) {
            when[who] = at + random_below(50);
            order[who] = orders++;
            timer_set(&world->timer[who], when[who]);
        } else {
            when[who] = TIMER_NEVER;
            timer_stop(&world->timer[who]);
        }
        unsigned first = model_first(when, order);
        assert_int_equal(clock_next(&world->clock), first < MANY ? when[first] : TIMER_NEVER);
        if (random_below(8))
            continue;
        at += random_below(40);
        world->count = 0;
        clock_advance(&world->clock, at - clock_now(&world->clock));
        for (unsigned i = 0; (first = model_first(when, order)) < MANY && when[first] <= at; i++) {
            expect(world, i, first, when[first]);
            when[first] = TIMER_NEVER;
        }
        assert_int_equal(clock_now(&world->clock), at);
    }
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fires_in_order),
        cmocka_unit_test(sets_again),
        cmocka_unit_test(acts_while_firing),
        cmocka_unit_test(follows_a_source),
        cmocka_unit_test(tells_who_sleeps),
        cmocka_unit_test(returns_from_endless_timers),
        cmocka_unit_test(stands_at_the_end_of_time),
        cmocka_unit_test(zero_is_stopped),
        cmocka_unit_test(scales),
        cmocka_unit_test(behaves_like_a_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
