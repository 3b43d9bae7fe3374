/* SPDX-License-Identifier: MIT
 *
 * Names of translated code for perf(1), so that a profile shows the guest's functions instead of
 * addresses. Two forms, which perf itself defines:
 *
 *   map file    /tmp/perf-PID.map, a line of text for each piece of code. perf report reads it as
 * it is; it has no times, so code that replaced other code (after a flush) shares the address with
 * it. dump        jit-PID.dump in the working folder: names, code and times, for perf inject --jit.
 *               Made after tools/perf/Documentation/jitdump-specification.txt of Linux.
 *
 * Both files are private (mode 0600). A forked child writes its own, which begin with what it has
 * inherited; a program that is executed goes on in those of its process.
 */
#ifndef ENGINE_PERF_H
#define ENGINE_PERF_H

#include <stdbool.h>

#include "base/error.h"

struct engine;

struct perf_options {
    bool map, dump;
    bool child; /* this process has perhaps begun the files already, and executed us then */
};

/* Begins the files and hears of all code that the engine makes; one engine a process. False with a
 * sentence if a file cannot be created. Before vcpu_run(). */
bool perf_start(struct engine *engine, const struct perf_options *options, struct error *err);

#endif
