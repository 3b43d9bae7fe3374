/* SPDX-License-Identifier: MIT
 *
 * The command line of a command: its options are rows of a table, everything else is an operand.
 * Options and operands may be mixed; `--` ends the options; a lone `-` is an operand (standard
 * input). Long options take their value as `--name=VALUE` or `--name VALUE`, short ones as
 * `-oVALUE` or `-o VALUE`.
 */
#ifndef FLAGS_H
#define FLAGS_H

#include <stdbool.h>
#include <stddef.h>

#include "cmd/vitrine-trace/command.h"

/* Texts that an option collected or that stand alone. They point into argv. */
struct flag_list {
    const char **row;
    unsigned count;
};

struct flag {
    const char *name; /* without the dashes */
    char letter;      /* 0: none */
    /* Where the value goes: exactly one of them is set. */
    const char **text;
    bool *on;
    struct flag_list *list; /* may be given several times */
};

/* Sorts argv[1..] into options and operands. True: go on. False: the command ends with *status (0
 * after --help, 2 after a complaint). The lists are the caller's to free with flag_list_free() in
 * either case; they must be zeroed before. */
bool flags_parse(const struct command *self, int argc, char **argv, const struct flag *flag,
                 unsigned nflags, struct flag_list *operands, int *status);

void flag_list_free(struct flag_list *list);

#endif
