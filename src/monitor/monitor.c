/* SPDX-License-Identifier: MIT
 *
 * Monitors and sessions, and the tables: finding a command by its name. */
#include "monitor/monitor.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "monitor/internal.h"

const char monitor_prompt[] = "(qemu) ";

struct monitor *monitor_new(const char *version)
{
    struct monitor *monitor = mem_alloc(sizeof *monitor);

    monitor->version = version;
    monitor->listener = -1;
    monitor_add_own(monitor);
    return monitor;
}

void monitor_free(struct monitor *monitor)
{
    free(monitor);
}

void monitor_add(struct monitor *monitor, enum monitor_table table,
                 const struct monitor_command *commands, size_t count)
{
    if (monitor->groups[table] == MONITOR_GROUPS_MAX) {
        bug("more than %d groups of monitor commands", MONITOR_GROUPS_MAX);
    }
    monitor->group[table][monitor->groups[table]++] = (struct monitor_group){commands, count};
}

void monitor_set_registers(struct monitor *monitor, monitor_register_fn *read)
{
    monitor->read_register = read;
}

void monitor_set_opaque(struct monitor *monitor, void *opaque)
{
    monitor->opaque = opaque;
}

void *monitor_opaque(const struct monitor_session *session)
{
    return session->monitor->opaque;
}

/* --- sessions --- */

struct monitor_session *monitor_session_new(struct monitor *monitor)
{
    struct monitor_session *session = mem_alloc(sizeof *session);

    session->monitor = monitor;
    strbuf_init(&session->answer);
    monitor_session_reset(session);
    return session;
}

void monitor_session_reset(struct monitor_session *session)
{
    session->format = (struct monitor_format){1, 'x', 4};
    session->cpu = 0;
}

void monitor_session_free(struct monitor_session *session)
{
    if (session) {
        strbuf_free(&session->answer);
        free(session);
    }
}

struct monitor *monitor_of(struct monitor_session *session)
{
    return session->monitor;
}

unsigned *monitor_cpu(struct monitor_session *session)
{
    return &session->cpu;
}

struct strbuf *monitor_answer(struct monitor_session *session)
{
    return &session->answer;
}

bool monitor_has_quit(const struct monitor_session *session)
{
    return session->quit;
}

void monitor_greet(struct monitor_session *session)
{
    monitor_printf(session, "%s monitor - type 'help' for more information\n",
                   session->monitor->version);
}

bool monitor_is_full(const struct monitor_session *session)
{
    return session->answer.len >= MONITOR_ANSWER_MAX;
}

void monitor_printf(struct monitor_session *session, const char *format, ...)
{
    va_list ap;
    char *text = NULL;

    if (session->cut) {
        return;
    }
    va_start(ap, format);
    int len = vasprintf(&text, format, ap);
    va_end(ap);
    if (len >= 0) {
        strbuf_add(&session->answer, text, (size_t)len);
        free(text);
    }
    if (monitor_is_full(session)) {
        session->cut = true;
        strbuf_printf(&session->answer, "\nthe answer is cut here, behind %d MiB\n",
                      MONITOR_ANSWER_MAX >> 20);
    }
}

/* --- tables --- */

bool monitor_is_named(const struct monitor_command *command, const char *name, size_t length)
{
    for (const char *at = command->name;; at++) {
        size_t one = strcspn(at, "|");
        if (one == length && !strncmp(at, name, length)) {
            return true;
        }
        at += one;
        if (!*at) {
            return false;
        }
    }
}

static bool begins(const struct monitor_command *command, const char *name)
{
    return !strncmp(command->name, name, strlen(name));
}

/* By its first name. */
static int by_name(const void *a, const void *b)
{
    const struct monitor_command *one = *(const struct monitor_command *const *)a;
    const struct monitor_command *two = *(const struct monitor_command *const *)b;

    size_t length = strcspn(one->name, "|"), other = strcspn(two->name, "|");
    int order = strncmp(one->name, two->name, length < other ? length : other);

    return order ? order : (length > other) - (length < other);
}

/* Whether a command of a later group has the same first name. */
static bool is_hidden(const struct monitor *monitor, enum monitor_table table, unsigned group,
                      const struct monitor_command *command)
{
    size_t length = strcspn(command->name, "|");

    for (unsigned g = group + 1; g < monitor->groups[table]; g++) {
        for (size_t i = 0; i < monitor->group[table][g].count; i++) {
            if (monitor_is_named(&monitor->group[table][g].commands[i], command->name, length)) {
                return true;
            }
        }
    }
    return false;
}

const struct monitor_command **monitor_rows(const struct monitor *monitor, enum monitor_table table,
                                            size_t *count)
{
    const struct monitor_command **rows;
    size_t most = 0;

    for (unsigned g = 0; g < monitor->groups[table]; g++) {
        most += monitor->group[table][g].count;
    }
    rows = mem_alloc((most + 1) * sizeof *rows);
    *count = 0;
    for (unsigned g = 0; g < monitor->groups[table]; g++) {
        for (size_t i = 0; i < monitor->group[table][g].count; i++) {
            const struct monitor_command *command = &monitor->group[table][g].commands[i];
            if (!is_hidden(monitor, table, g, command)) {
                rows[(*count)++] = command;
            }
        }
    }
    qsort(rows, *count, sizeof *rows, by_name);
    return rows;
}

const struct monitor_command *monitor_find(const struct monitor *monitor, enum monitor_table table,
                                           const char *name, bool *many)
{
    const struct monitor_command *found = NULL, *exact = NULL;
    size_t count;
    const struct monitor_command **rows = monitor_rows(monitor, table, &count);

    *many = false;
    for (size_t i = 0; i < count; i++) {
        if (monitor_is_named(rows[i], name, strlen(name))) {
            exact = rows[i];
        } else if (begins(rows[i], name)) {
            *many = found != NULL;
            found = rows[i];
        }
    }
    free(rows);
    if (exact) {
        *many = false;
        return exact;
    }
    return *many ? NULL : found;
}
