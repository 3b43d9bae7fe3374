/* SPDX-License-Identifier: MIT
 *
 * Fires probes from a signal handler that interrupts a thread which fires probes: signals [-trace
 * ...] [SIGNALS]. Prints "inside N outside N": how many of each. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/error.h"
#include "trace-tests_program.h"
#include "trace/probe/control.h"

static volatile sig_atomic_t inside;

static void handler(int signal)
{
    (void)signal;
    trace_signal_inside((uint64_t)inside);
    inside++;
}

int main(int argc, char **argv)
{
    struct trace_setup *setup = trace_setup_new();
    struct error err;
    long wanted = 2000;
    uint64_t outside = 0;

    for (int i = 1; i < argc; i++) {
        if (trace_setup_option(setup, argc, argv, &i, &err) == TRACE_OPTION_FOREIGN) {
            wanted = atol(argv[i]);
        }
    }
    if (!trace_setup_apply(setup, NULL, NULL, &err)) {
        fprintf(stderr, "signals: %s\n", err.text);
        return 1;
    }
    trace_setup_free(setup);

    const struct itimerval often = {{0, 50}, {0, 50}};
    const struct itimerval never = {{0, 0}, {0, 0}};
    signal(SIGALRM, handler);
    setitimer(ITIMER_REAL, &often, NULL);
    while (inside < wanted) {
        trace_signal_outside(outside);
        outside++;
    }
    setitimer(ITIMER_REAL, &never, NULL);
    printf("inside %ld outside %llu\n", (long)inside, (unsigned long long)outside);
    return 0;
}
