/* SPDX-License-Identifier: MIT
 *
 * The command line of vitrine-user: qemu-user's where it has the feature. Every option is a row of
 * the table in options.c; most can come from an environment variable too, and the command line has
 * the last word.
 */
#ifndef VITRINE_USER_OPTIONS_H
#define VITRINE_USER_OPTIONS_H

#include <stdbool.h>
#include <stdio.h>

#include "base/error.h"
#include "engine/perf.h"
#include "trace/probe/control.h"
#include "user/user.h"

struct options {
    struct user_options user;
    struct trace_setup *trace; /* applied by the caller */
    struct perf_options perf;  /* -perfmap, -jitdump */
    const char *monitor;       /* path of its socket; NULL: none */
    const char *argv0;         /* -0 */
    char **environment;        /* for the guest; user.envp points to it */
    size_t variables;
    size_t words; /* of user.words */
    bool child;   /* started by another vitrine-user */
};

enum options_result {
    OPTIONS_RUN,
    OPTIONS_DONE,  /* help and the like was printed: exit with status 0 */
    OPTIONS_USAGE, /* no program is named: usage, status 1 */
    OPTIONS_WRONG, /* `err` has the sentence: status 1 */
};

/* Reads environment and command line. Strings of argv are kept; `options` is zeroed before. */
enum options_result options_parse(struct options *options, int argc, char **argv, char **variables,
                                  struct error *err);
void options_free(struct options *options);

void options_help(FILE *out);

#endif
