/* SPDX-License-Identifier: MIT
 *
 * Philosophers as threads, forks as mutexes. The last one takes the forks in the other order, so
 * that nobody starves. */
#include "table.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"
#include "trace-demo.h"

static bool closed;

void table_close(void)
{
    __atomic_store_n(&closed, true, __ATOMIC_RELAXED);
}

enum activity { THINKING, HUNGRY, EATING, FULL };

struct philosopher {
    pthread_t thread;
    int seat;
    const char *name;
    enum activity activity;
    unsigned meals;
    unsigned dice;
    int first, second; /* forks, in the order they are taken */
    pthread_mutex_t *forks;
    uint64_t waited;
};

static void become(struct philosopher *p, enum activity activity)
{
    trace_philosopher_state(p->seat, p->name, p->activity, activity);
    p->activity = activity;
}

/* Somewhere between 0 and `most` microseconds, mostly short. */
static void pass_time(struct philosopher *p, unsigned most)
{
    unsigned a = (unsigned)rand_r(&p->dice) % most, b = (unsigned)rand_r(&p->dice) % most;
    usleep(a < b ? a : b);
}

static void take(struct philosopher *p, int fork)
{
    uint64_t began = clock_monotonic();
    pthread_mutex_lock(&p->forks[fork]);
    uint64_t waited = clock_monotonic() - began;
    p->waited += waited;
    trace_fork_take(p->seat, fork, waited);
}

static void put(struct philosopher *p, int fork)
{
    trace_fork_put(p->seat, fork);
    pthread_mutex_unlock(&p->forks[fork]);
}

static void *live(void *opaque)
{
    struct philosopher *p = opaque;
    for (unsigned meal = 1; meal <= p->meals && !__atomic_load_n(&closed, __ATOMIC_RELAXED);
         meal++) {
        pass_time(p, 2000);
        become(p, HUNGRY);
        take(p, p->first);
        take(p, p->second);
        become(p, EATING);
        trace_meal_begin(p->seat, meal);
        pass_time(p, 3000);
        trace_meal_end(p->seat, meal, (size_t)(p->meals - meal));
        put(p, p->second);
        put(p, p->first);
        become(p, meal == p->meals ? FULL : THINKING);
    }
    return NULL;
}

uint64_t table_dine(int seats, unsigned meals, unsigned seed)
{
    static const char *const names[] = {"Hypatia", "Plato",    "Aspasia", "Zeno",
                                        "Diotima", "Epicurus", "Themis",  "Thales"};
    struct philosopher *guests = mem_alloc((size_t)seats * sizeof *guests);
    pthread_mutex_t *forks = mem_alloc((size_t)seats * sizeof *forks);
    uint64_t waited = 0;

    for (int i = 0; i < seats; i++) {
        pthread_mutex_init(&forks[i], NULL);
    }
    for (int i = 0; i < seats; i++) {
        const int left = i, right = (i + 1) % seats;
        guests[i] = (struct philosopher){
            .seat = i,
            .name = names[i % 8],
            .meals = meals,
            .dice = seed * 7919u + (unsigned)i,
            .first = left < right ? left : right,
            .second = left < right ? right : left,
            .forks = forks,
        };
        if (pthread_create(&guests[i].thread, NULL, live, &guests[i])) {
            bug("the host gives no thread for seat %d", i);
        }
    }
    for (int i = 0; i < seats; i++) {
        pthread_join(guests[i].thread, NULL);
        waited += guests[i].waited;
    }
    for (int i = 0; i < seats; i++) {
        pthread_mutex_destroy(&forks[i]);
    }
    free(forks);
    free(guests);
    return waited;
}
