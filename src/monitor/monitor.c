/* SPDX-License-Identifier: MIT
 *
 * Lines: into words, to a command, and what is said when that does not work. */
#include "monitor/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

struct monitor *monitor_new(const char *version)
{
    struct monitor *monitor = mem_alloc(sizeof *monitor);

    monitor->version = version;
    monitor->listener = -1;
    monitor_add_own(monitor);
    return monitor;
}

void monitor_add(struct monitor *monitor, enum monitor_table table,
                 const struct monitor_command *commands, size_t count)
{
    if (monitor->groups[table] == MONITOR_GROUPS_MAX) {
        bug("more than %d groups of monitor commands", MONITOR_GROUPS_MAX);
    }
    monitor->group[table][monitor->groups[table]++] = (struct monitor_group){commands, count};
}

void monitor_after(struct monitor *monitor, void (*after)(const char *command))
{
    monitor->after = after;
}

const struct monitor_command *monitor_row(const struct monitor *monitor, enum monitor_table table,
                                          size_t i)
{
    for (unsigned g = 0; g < monitor->groups[table]; g++) {
        const struct monitor_group *group = &monitor->group[table][g];
        if (i < group->count) {
            return &group->commands[i];
        }
        i -= group->count;
    }
    return NULL;
}

struct monitor *monitor_of(struct monitor_session *session)
{
    return session->monitor;
}

void monitor_printf(struct monitor_session *session, const char *format, ...)
{
    va_list ap;
    char *text = NULL;

    va_start(ap, format);
    int len = vasprintf(&text, format, ap);
    va_end(ap);
    if (len >= 0) {
        strbuf_add(&session->answer, text, (size_t)len);
        free(text);
    }
}

/* --- help --- */

static void help_line(struct monitor_session *session, const char *where,
                      const struct monitor_command *command)
{
    monitor_printf(session, "%s%s%s%s -- %s\n", where, command->name, command->arguments ? " " : "",
                   command->arguments ? command->arguments : "", command->help);
}

void monitor_help(struct monitor_session *session, enum monitor_table table, const char *where)
{
    const struct monitor_command *command;

    for (size_t i = 0; (command = monitor_row(session->monitor, table, i)); i++) {
        help_line(session, where, command);
    }
}

/* --- finding a command --- */

/* The command that a name means: exactly, or the only one that begins so. `*many`: several do. */
static const struct monitor_command *find(const struct monitor *monitor, enum monitor_table table,
                                          const char *name, bool *many)
{
    const struct monitor_command *command, *found = NULL;
    const size_t len = strlen(name);

    *many = false;
    for (size_t i = 0; (command = monitor_row(monitor, table, i)); i++) {
        if (!strcmp(command->name, name)) {
            *many = false;
            return command;
        }
        if (!strncmp(command->name, name, len)) {
            *many = found != NULL;
            found = found ? found : command;
        }
    }
    return *many ? NULL : found;
}

static void list_matches(struct monitor_session *session, enum monitor_table table,
                         const char *name)
{
    const struct monitor_command *command;

    for (size_t i = 0; (command = monitor_row(session->monitor, table, i)); i++) {
        if (!strncmp(command->name, name, strlen(name))) {
            monitor_printf(session, " %s", command->name);
        }
    }
    monitor_printf(session, "\n");
}

static void point_to_help(struct monitor_session *session, const char *where,
                          const struct monitor_command *command)
{
    monitor_printf(session, "Try \"help %s%s\" for more information\n", where, command->name);
}

void monitor_run(struct monitor_session *session, enum monitor_table table, const char *where,
                 int argc, char **argv)
{
    bool many;
    const struct monitor_command *command = find(session->monitor, table, argv[0], &many);

    if (many) {
        monitor_printf(session, "ambiguous command: '%s%s' could be", where, argv[0]);
        list_matches(session, table, argv[0]);
        return;
    }
    if (!command) {
        monitor_printf(session, "unknown command: '%s%s'\n", where, argv[0]);
        return;
    }
    const unsigned given = (unsigned)argc - 1;
    argv[0] = (char *)command->name; // NOLINT: commands only read it
    if (given < command->min || given > command->max) {
        monitor_printf(session, "%s%s: %s\n", where, command->name,
                       given < command->min ? "string expected"
                                            : "extraneous characters at the "
                                              "end of line");
        point_to_help(session, where, command);
    } else if (!command->run(session, argc, argv)) {
        point_to_help(session, where, command);
    } else if (session->monitor->after) {
        session->monitor->after(command->name);
    }
}

/* --- lines --- */

/* Splits at blanks; "..." keeps them, with \" and \\ inside. The words go into `room`. */
static int split(const char *line, char *room, char **word, bool *open)
{
    int count = 0;

    *open = false;
    for (;;) {
        line += strspn(line, " \t\r\n");
        if (!*line || count == MONITOR_ARGUMENTS_MAX) {
            return *line ? -1 : count;
        }
        const bool quoted = *line == '"';
        line += quoted;
        word[count++] = room;
        while (*line && (quoted ? *line != '"' : !strchr(" \t\r\n", *line))) {
            line += quoted && *line == '\\' && (line[1] == '"' || line[1] == '\\');
            *room++ = *line++;
        }
        *room++ = 0;
        *open = quoted && *line != '"';
        line += quoted && *line == '"';
    }
}

void monitor_execute(struct monitor_session *session, const char *line)
{
    char room[MONITOR_LINE_MAX + MONITOR_ARGUMENTS_MAX + 1];
    char *word[MONITOR_ARGUMENTS_MAX + 1];
    bool open;

    if (strlen(line) > MONITOR_LINE_MAX) {
        monitor_printf(session, "the line has more than %d bytes\n", MONITOR_LINE_MAX);
        return;
    }
    int count = split(line, room, word, &open);
    if (count < 0) {
        monitor_printf(session, "the line has more than %d words\n", MONITOR_ARGUMENTS_MAX);
    } else if (open) {
        monitor_printf(session, "a string is not ended by '\"'\n");
    } else if (count > 0) {
        word[count] = NULL;
        monitor_run(session, MONITOR_MAIN, "", count, word);
    }
}
