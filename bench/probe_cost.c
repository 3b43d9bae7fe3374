/* SPDX-License-Identifier: MIT
 *
 * What a probe costs: probe_cost [--burst N] [--rounds N] [--warm N] [--no-flush] [-trace ...]
 * LOOP...
 *
 * Times the loops that are named, one after the other, round after round (A B A B ...), each for N
 * iterations. Between two loops recordings are flushed, outside the measured time; with bursts that
 * fit the thread's ring no probe ever waits. Prints JSON: nanoseconds an iteration, for each loop
 * and round, by the clock on the wall ("ns") and of this thread's processor time ("own_ns"). The
 * rounds of --warm come first and are not printed. */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "setup.h"
#include "trace-bench.h"

enum { LOOPS_MAX = 8, ROUNDS_MAX = 1000 };

/* The word of the reference branch: global, so that the compiler knows nothing of its value. */
extern uint32_t bench_word;
uint32_t bench_word;
/* How often an argument was evaluated. */
static uint64_t evaluated;

/* An argument that would be costly, and that the compiler may not look into. */
static __attribute__((noinline)) int64_t costly(uint64_t i)
{
    evaluated++;
    __asm__ volatile("" : "+r"(i));
    return -(int64_t)i;
}

static __attribute__((noinline)) void branch_taken(uint64_t number, unsigned worker,
                                                   int64_t negative)
{
    __asm__ volatile("" : : "r"(number), "r"(worker), "r"(negative) : "memory");
}

/* Loops begin at the start of a cache line, or their place decides how fast they are. The empty
 * assembly keeps the compiler from joining, moving or dropping iterations. */
#define LOOP    static __attribute__((noinline, aligned(64))) void
#define KEEP(i) __asm__ volatile("" : "+r"(i) : : "memory")

LOOP loop_empty(uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        KEEP(i);
    }
}

LOOP loop_branch(uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        KEEP(i);
        if (__builtin_expect(__atomic_load_n(&bench_word, __ATOMIC_RELAXED) != 0, 0)) {
            branch_taken(i, 7, costly(i));
        }
    }
}

LOOP loop_disabled(uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        KEEP(i);
        trace_bench_off(i, 7, costly(i));
    }
}

LOOP loop_clock(uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        KEEP(i);
        uint64_t now = clock_monotonic();
        __asm__ volatile("" : : "r"(now));
    }
}

LOOP loop_three(uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        KEEP(i);
        trace_bench_three(i, 7, -(int64_t)i);
    }
}

LOOP loop_text(uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        KEEP(i);
        trace_bench_text(7, "sixteen letters.", i);
    }
}

/* As if somebody had attached to the static probe without putting a breakpoint there: the word
 * says that there is a listener, the probe is a nop. */
LOOP loop_usdt(uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        KEEP(i);
        trace_bench_usdt(i, 7, -(int64_t)i);
    }
}

static const struct loop {
    const char *name;
    void (*run)(uint64_t n);
} loops[] = {
    {"empty", loop_empty}, {"branch", loop_branch}, {"disabled", loop_disabled},
    {"clock", loop_clock}, {"three", loop_three},   {"text", loop_text},
    {"usdt", loop_usdt},
};

static const struct loop *find_loop(const char *name)
{
    for (size_t i = 0; i < sizeof loops / sizeof *loops; i++) {
        if (!strcmp(loops[i].name, name)) {
            return &loops[i];
        }
    }
    bench_fail(name, "there is no such option and no such loop; the loops are empty, branch, "
                     "disabled, clock, three, text and usdt");
}

/* Nanoseconds an iteration. */
struct sample {
    double wall, own;
};

static uint64_t own_time(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct sample measure(const struct loop *loop, uint64_t burst)
{
    uint64_t own = own_time();
    uint64_t wall = clock_monotonic();
    loop->run(burst);
    wall = clock_monotonic() - wall;
    own = own_time() - own;
    return (struct sample){(double)wall / (double)burst, (double)own / (double)burst};
}

static struct sample samples[LOOPS_MAX][ROUNDS_MAX];

static void print_samples(const char *key, const struct loop **loop, unsigned count,
                          uint64_t rounds, bool own)
{
    printf("\"%s\": {", key);
    for (unsigned i = 0; i < count; i++) {
        printf("%s\"%s\": [", i ? ", " : "", loop[i]->name);
        for (uint64_t round = 0; round < rounds; round++) {
            const struct sample *s = &samples[i][round];
            printf("%s%.3f", round ? ", " : "", own ? s->own : s->wall);
        }
        printf("]");
    }
    printf("}");
}

int main(int argc, char **argv)
{
    const struct loop *chosen[LOOPS_MAX];
    unsigned count = 0;
    uint64_t burst = 40000, rounds = 50, warm = 3;
    bool flush = true;
    struct trace_setup *setup = trace_setup_new();

    for (int i = 1; i < argc; i++) {
        if (bench_trace_option(setup, argc, argv, &i)) {
            continue;
        } else if (!strcmp(argv[i], "--burst")) {
            burst = bench_number(argc, argv, &i);
        } else if (!strcmp(argv[i], "--rounds")) {
            rounds = bench_number(argc, argv, &i);
        } else if (!strcmp(argv[i], "--warm")) {
            warm = bench_number(argc, argv, &i);
        } else if (!strcmp(argv[i], "--no-flush")) {
            flush = false;
        } else if (count < LOOPS_MAX) {
            chosen[count++] = find_loop(argv[i]);
        }
    }
    if (!count || rounds > ROUNDS_MAX) {
        bench_fail(argv[0], "expected loops to measure, and at most 1000 rounds");
    }
    bench_trace_begin(setup, argv[0]);
    __atomic_store_n(&trace_enable_bench_usdt.half.usdt, 1, __ATOMIC_RELAXED);

    for (uint64_t round = 0; round < warm + rounds; round++) {
        for (unsigned i = 0; i < count; i++) {
            struct sample sample = measure(chosen[i], burst);
            if (flush) {
                trace_file_flush();
            }
            if (round >= warm) {
                samples[i][round - warm] = sample;
            }
        }
    }
    if (evaluated) {
        bug("the arguments of a disabled probe were evaluated %llu times",
            (unsigned long long)evaluated);
    }
    printf("{\"burst\": %llu, ", (unsigned long long)burst);
    print_samples("ns", chosen, count, rounds, false);
    printf(", ");
    print_samples("own_ns", chosen, count, rounds, true);
    printf("}\n");
    return 0;
}
