/* SPDX-License-Identifier: MIT
 *
 * What the files of the monitor share.
 */
#ifndef MONITOR_INTERNAL_H
#define MONITOR_INTERNAL_H

#include "base/strbuf.h"
#include "monitor/monitor.h"

enum {
    MONITOR_GROUPS_MAX = 8,   /* of rows in a table */
    MONITOR_NESTING_MAX = 64, /* of an expression */
};

struct monitor_group {
    const struct monitor_command *commands;
    size_t count;
};

struct monitor {
    const char *version;
    struct monitor_group group[MONITOR_TABLES][MONITOR_GROUPS_MAX];
    unsigned groups[MONITOR_TABLES];
    monitor_register_fn *read_register;
    void *opaque;
    int listener;
    char *path;
};

struct monitor_session {
    struct monitor *monitor;
    struct strbuf answer;
    bool quit; /* the program shall end */
    bool cut;  /* the answer has its full length */
    unsigned cpu;
    struct monitor_format format; /* the last one: what is not said again stays */
    /* While something is completed. */
    struct monitor_words *words;
    const char *typed; /* of the word */
};

/* The commands of a table, sorted by name, those only that are seen; freed by the caller. */
const struct monitor_command **monitor_rows(const struct monitor *monitor, enum monitor_table table,
                                            size_t *count);

/* The command that a name means: exactly, or the only one that begins so. NULL: none, or `*many`.
 */
const struct monitor_command *monitor_find(const struct monitor *monitor, enum monitor_table table,
                                           const char *name, bool *many);

/* Whether a name of `length` bytes is one of those of a command. */
bool monitor_is_named(const struct monitor_command *command, const char *name, size_t length);

/* Finds the command that a line of a table begins with, and runs it with the rest. */
void monitor_run(struct monitor_session *session, enum monitor_table table, const char *line);

/* The value of the expression that *text begins with; *text is moved behind it and the blanks that
 * follow. `more`: there are arguments behind it, so a `/` that begins a path ends it. */
bool monitor_evaluate(struct monitor_session *session, const char **text, bool more,
                      uint64_t *value, struct error *err);

/* Blanks of a line. */
const char *monitor_skip(const char *text);
bool monitor_is_blank(char c);

/* commands.c: what every monitor has. */
void monitor_add_own(struct monitor *monitor);

#endif
