/* SPDX-License-Identifier: MIT
 *
 * Fires probes as fast as it can: storm [-trace ...] [--threads N] [--count N] [--text] [--kinds]
 * [--kill AFTER] [--toggle] [--pause-us N].
 * --count is for each thread. --kill sends SIGKILL to the process after so many events of the first
 * thread. --toggle switches events on and off from another thread meanwhile. Prints "fired N" at
 * the end: how many events were fired with a listener for certain. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "trace-tests_program.h"
#include "trace/probe/control.h"

static uint64_t count = 1000, kill_after, pause_us;
static unsigned threads = 1;
static bool text, kinds, toggle;
static bool done;

static void fire_one(unsigned worker, uint64_t i)
{
    if (text) {
        char words[32];
        snprintf(words, sizeof words, "text %u-%llu", worker, (unsigned long long)i);
        trace_storm_text(worker, words, i);
    } else if (kinds) {
        trace_storm_kinds((int8_t)(i - 5), (uint16_t)i, i & 1, (char)('a' + i % 26),
                          (void *)(uintptr_t)(i * 4096), i % 3 ? "some text" : NULL, i * 3,
                          (unsigned)(i % 4), (uint32_t)(i % 9), -(int)i);
        trace_storm_nothing();
        trace_storm_vcpu((void *)(uintptr_t)0x1000, i);
    } else {
        trace_storm_three(i, worker, -(int64_t)i);
    }
}

static void *work(void *opaque)
{
    const unsigned worker = (unsigned)(uintptr_t)opaque;
    for (uint64_t i = 0; i < count; i++) {
        if (kill_after && worker == 0 && i == kill_after) {
            kill(getpid(), SIGKILL);
        }
        if (pause_us) {
            usleep((useconds_t)pause_us);
        }
        fire_one(worker, i);
    }
    return NULL;
}

static void *toggler(void *opaque)
{
    (void)opaque;
    for (unsigned i = 0; !__atomic_load_n(&done, __ATOMIC_ACQUIRE); i++) {
        struct error err;
        if (!trace_control_set("storm_*", i & 1, &err)) {
            bug("%s", err.text);
        }
        if (i % 16 == 0) {
            trace_file_flush();
        }
    }
    return NULL;
}

static void warn(void *opaque, const char *sentence)
{
    (void)opaque;
    fprintf(stderr, "storm: %s\n", sentence);
}

static uint64_t number(int argc, char **argv, int *i)
{
    if (++*i >= argc) {
        fprintf(stderr, "storm: %s: requires an argument\n", argv[*i - 1]);
        exit(2);
    }
    return strtoull(argv[*i], NULL, 0);
}

static void read_options(struct trace_setup *setup, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        struct error err;
        enum trace_option taken = trace_setup_option(setup, argc, argv, &i, &err);
        if (taken == TRACE_OPTION_HELP) {
            exit(0);
        } else if (taken == TRACE_OPTION_WRONG) {
            fprintf(stderr, "storm: %s\n", err.text);
            exit(1);
        } else if (taken == TRACE_OPTION_TAKEN) {
            continue;
        } else if (!strcmp(argv[i], "--threads")) {
            threads = (unsigned)number(argc, argv, &i);
        } else if (!strcmp(argv[i], "--count")) {
            count = number(argc, argv, &i);
        } else if (!strcmp(argv[i], "--kill")) {
            kill_after = number(argc, argv, &i);
        } else if (!strcmp(argv[i], "--pause-us")) {
            pause_us = number(argc, argv, &i);
        } else if (!strcmp(argv[i], "--text")) {
            text = true;
        } else if (!strcmp(argv[i], "--kinds")) {
            kinds = true;
        } else if (!strcmp(argv[i], "--toggle")) {
            toggle = true;
        } else {
            fprintf(stderr, "storm: %s: unknown option\n", argv[i]);
            exit(2);
        }
    }
}

int main(int argc, char **argv)
{
    struct trace_setup *setup = trace_setup_new();
    struct error err;
    read_options(setup, argc, argv);
    if (!trace_setup_apply(setup, warn, NULL, &err)) {
        fprintf(stderr, "storm: %s\n", err.text);
        return 1;
    }
    trace_setup_free(setup);

    pthread_t worker[64], switching;
    threads = threads < 64 ? threads : 64;
    if (toggle) {
        pthread_create(&switching, NULL, toggler, NULL);
    }
    for (unsigned i = 0; i < threads; i++) {
        pthread_create(&worker[i], NULL, work, (void *)(uintptr_t)i);
    }
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(worker[i], NULL);
    }
    __atomic_store_n(&done, true, __ATOMIC_RELEASE);
    if (toggle) {
        pthread_join(switching, NULL);
    }
    printf("fired %llu\n", (unsigned long long)count * threads * (kinds ? 3 : 1));
    return 0;
}
