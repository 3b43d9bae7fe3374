/* SPDX-License-Identifier: MIT
 *
 * What the programs that measure have in common: numbers on the command line, and -trace options.
 */
#ifndef BENCH_SETUP_H
#define BENCH_SETUP_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "trace/probe/control.h"

_Noreturn static inline void bench_fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

/* The number behind argv[*i], at least 1. */
static inline uint64_t bench_number(int argc, char **argv, int *i)
{
    const char *name = argv[*i];
    if (*i + 1 >= argc) {
        bench_fail(name, "requires a number");
    }
    char *end;
    errno = 0;
    unsigned long long value = strtoull(argv[++*i], &end, 10);
    if (errno || *end || value == 0) {
        bench_fail(name, "expected a number from 1 on");
    }
    return value;
}

/* True if argv[*i] was an option of tracing, which is now taken. */
static inline bool bench_trace_option(struct trace_setup *setup, int argc, char **argv, int *i)
{
    struct error err;
    switch (trace_setup_option(setup, argc, argv, i, &err)) {
    case TRACE_OPTION_TAKEN: return true;
    case TRACE_OPTION_FOREIGN: return false;
    case TRACE_OPTION_HELP: exit(0);
    case TRACE_OPTION_WRONG: break;
    }
    bench_fail(argv[0], err.text);
}

/* A measurement of the wrong thing is worth nothing: a warning ends it. */
static inline void bench_warned(void *opaque, const char *sentence)
{
    bench_fail(opaque, sentence);
}

/* Opens recordings and switches events on; frees `setup`. */
static inline void bench_trace_begin(struct trace_setup *setup, char *program)
{
    struct error err;
    if (!trace_setup_apply(setup, bench_warned, program, &err)) {
        bench_fail(program, err.text);
    }
    trace_setup_free(setup);
}

#endif
