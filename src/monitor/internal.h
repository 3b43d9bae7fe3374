/* SPDX-License-Identifier: MIT
 *
 * What the files of the monitor share.
 */
#ifndef MONITOR_INTERNAL_H
#define MONITOR_INTERNAL_H

#include "base/strbuf.h"
#include "monitor/monitor.h"

enum {
    MONITOR_GROUPS_MAX = 8,     /* of rows in a table */
    MONITOR_ARGUMENTS_MAX = 16, /* words of a line */
    MONITOR_LINE_MAX = 4096,    /* bytes */
};

struct monitor_group {
    const struct monitor_command *commands;
    size_t count;
};

struct monitor {
    const char *version;
    void (*after)(const char *command); /* NULL: nobody wants to know */
    struct monitor_group group[MONITOR_TABLES][MONITOR_GROUPS_MAX];
    unsigned groups[MONITOR_TABLES];
    int listener;
    char *path;
};

struct monitor_session {
    struct monitor *monitor;
    struct strbuf answer;
    bool quit; /* the program shall end */
};

/* Row `i` of a table, in the order in which they were added; NULL behind the last. */
const struct monitor_command *monitor_row(const struct monitor *monitor, enum monitor_table table,
                                          size_t i);

/* Carries a line out; the answer is appended. */
void monitor_execute(struct monitor_session *session, const char *line);

/* Runs the command of a table that argv[0] names, in full or shortened. `where` is "" or "info ".
 */
void monitor_run(struct monitor_session *session, enum monitor_table table, const char *where,
                 int argc, char **argv);

/* Prints the help lines of a table. */
void monitor_help(struct monitor_session *session, enum monitor_table table, const char *where);

/* commands.c: what every monitor has. */
void monitor_add_own(struct monitor *monitor);

#endif
