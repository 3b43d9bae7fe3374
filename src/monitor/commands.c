/* SPDX-License-Identifier: MIT
 *
 * The commands that every monitor has: help, info, log, those of tracing. Their texts are QEMU's
 * where scripts may look at them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/glob.h"
#include "base/log.h"
#include "base/logitems.h"
#include "base/memory.h"
#include "monitor/internal.h"
#include "trace/probe/control.h"
#include "trace/probe/event.h"

static void print_error(struct monitor_session *session, const struct error *err)
{
    monitor_printf(session, "%s\n", err->text);
}

/* --- help, info, quit --- */

/* As QEMU has it: two blanks where there are no arguments. */
static void print_help(struct monitor_session *session, enum monitor_table table,
                       const struct monitor_command *command)
{
    monitor_printf(session, "%s%s %s -- %s\n", table == MONITOR_INFO ? "info " : "", command->name,
                   command->arguments ? command->arguments : "", command->help);
}

static void print_table(struct monitor_session *session, enum monitor_table table)
{
    size_t count;
    const struct monitor_command **rows = monitor_rows(session->monitor, table, &count);

    for (size_t i = 0; i < count; i++) {
        print_help(session, table, rows[i]);
    }
    free(rows);
}

/* Those that begin so, where it is not the name of one. */
static void print_named(struct monitor_session *session, enum monitor_table table, const char *name)
{
    bool many;
    const struct monitor_command *command = monitor_find(session->monitor, table, name, &many);
    size_t count;

    if (command) {
        print_help(session, table, command);
        return;
    }
    if (!many) {
        monitor_printf(session, "unknown command: '%s%s'\n", table == MONITOR_INFO ? "info " : "",
                       name);
        return;
    }
    const struct monitor_command **rows = monitor_rows(session->monitor, table, &count);
    for (size_t i = 0; i < count; i++) {
        if (!strncmp(rows[i]->name, name, strlen(name))) {
            print_help(session, table, rows[i]);
        }
    }
    free(rows);
}

static void print_log_items(struct monitor_session *session)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if (out) {
        log_items_help(out);
        fclose(out);
        monitor_printf(session, "Log items (comma separated):\nnone            remove all logs\n%s",
                       text);
        monitor_printf(session, "trace:PATTERN   enable trace events\n");
        free(text);
    }
}

static bool run_help(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    const char *name = arguments->value[0].given ? arguments->value[0].word : "";
    const char *topic = arguments->value[1].given ? arguments->value[1].word : "";

    if (!strcmp(name, "info") && *topic) {
        print_named(session, MONITOR_INFO, topic);
    } else if (!strcmp(name, "info")) {
        print_table(session, MONITOR_INFO);
    } else if (!strcmp(name, "log")) {
        print_named(session, MONITOR_MAIN, name);
        print_log_items(session);
    } else if (*name) {
        print_named(session, MONITOR_MAIN, name);
    } else {
        print_table(session, MONITOR_MAIN);
    }
    return true;
}

static bool run_info(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    if (arguments->count) {
        monitor_run(session, MONITOR_INFO, arguments->value[0].word);
    } else {
        print_table(session, MONITOR_INFO);
    }
    return true;
}

static bool run_quit(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    (void)arguments;
    session->quit = true;
    return true;
}

static bool info_version(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    (void)arguments;
    monitor_printf(session, "%s\n", session->monitor->version);
    return true;
}

/* --- events --- */

static bool info_events(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    const char *pattern = arguments->count ? arguments->value[0].word : "*";
    bool any = false;

    for (unsigned i = trace_event_count(); i-- > 0;) { /* newest first, as QEMU has it */
        const struct trace_event *event = trace_event_at(i);
        if (glob_match(pattern, event->decl->name)) {
            monitor_printf(session, "%s : state %d\n", event->decl->name, event->on);
            any = true;
        }
    }
    if (!any && !glob_is_pattern(pattern)) {
        monitor_printf(session, "unknown event \"%s\"\n", pattern);
    }
    return true;
}

static bool run_event(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    struct error err;

    if (!trace_control_set(arguments->value[0].word, arguments->value[1].on, &err)) {
        print_error(session, &err);
    }
    return true;
}

static void print_file(struct monitor_session *session)
{
    bool on;
    const char *file = trace_file_status(&on);

    monitor_printf(session, "Trace file \"%s\" %s.\n", file ? file : "", on ? "on" : "off");
}

static bool run_file(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    const char *word = arguments->count ? arguments->value[0].word : NULL;
    struct error err;
    bool ok = true;

    if (!word) {
        print_file(session);
    } else if (!strcmp(word, "on")) {
        ok = trace_file_on(&err);
    } else if (!strcmp(word, "off")) {
        trace_file_off();
    } else if (!strcmp(word, "flush")) {
        trace_file_flush();
    } else if (!strcmp(word, "set")) {
        ok = arguments->count < 2 || trace_file_set(arguments->value[1].word, &err);
    } else {
        monitor_printf(session, "unexpected argument \"%s\"\n", word);
        return false;
    }
    if (!ok) {
        print_error(session, &err);
    }
    return true;
}

/* A pattern with a condition, for the text log or the recording that is there. */
static bool run_filter(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    const struct trace_rule_options options = {.filter = arguments->value[1].word};
    struct trace_match match = {0};
    struct error err;

    trace_control_lock();
    struct trace_sink *sink = trace_sinks();
    while (sink && !(trace_sink_is_recording(sink) && trace_sink_is_on(sink))) {
        sink = sink->next;
    }
    trace_control_unlock();
    if (!trace_rule_add(arguments->value[0].word, sink ? sink : trace_log_sink(), &options, &match,
                        &err)) {
        print_error(session, &err);
    } else if (!match.events) {
        monitor_printf(session, "pattern \"%s\" matches no event\n", arguments->value[0].word);
    }
    return true;
}

/* --- the log --- */

/* ITEM,... as -d has it; `none` switches all off. */
static bool run_log(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    uint64_t mask = 0, one;
    struct error err;
    bool ok = true;

    if (!strcmp(arguments->value[0].word, "help")) {
        print_log_items(session);
        return true;
    }
    for (const char *at = arguments->value[0].word; ok && *at;) {
        size_t len = strcspn(at, ",");
        char *item = mem_stringn(at, len);
        at += len + (at[len] == ',');
        if (!strncmp(item, "trace:", 6) && item[6]) {
            ok = trace_control_set(item + 6, true, &err);
        } else if (strcmp(item, "none") != 0) {
            ok = log_item_find(item, &one, &err);
            mask |= ok ? one : 0;
        }
        free(item);
    }
    if (ok) {
        log_items_set(mask);
    } else {
        print_error(session, &err);
    }
    return ok;
}

static bool run_logfile(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    struct error err;

    if (!log_set_file(arguments->value[0].word, &err)) {
        print_error(session, &err);
    }
    return true;
}

/* --- what may be typed --- */

static void offer_events(struct monitor_session *session, unsigned argument, const char *typed)
{
    (void)typed;
    for (unsigned i = 0; argument == 0 && i < trace_event_count(); i++) {
        monitor_offer(session, trace_event_at(i)->decl->name);
    }
}

static void offer_file_words(struct monitor_session *session, unsigned argument, const char *typed)
{
    (void)typed;
    if (argument == 0) {
        monitor_offer(session, "on");
        monitor_offer(session, "off");
        monitor_offer(session, "flush");
        monitor_offer(session, "set");
    }
}

/* The item behind the last comma. */
static void offer_log_items(struct monitor_session *session, unsigned argument, const char *typed)
{
#define NAME(item, name, help) name,
    static const char *const names[] = {LOG_ITEMS(NAME) "none"};
#undef NAME
    const char *comma = strrchr(typed, ',');
    int length = comma ? (int)(comma + 1 - typed) : 0;
    uint64_t mask;

    (void)argument;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (!strcmp(names[i], "none") || log_item_find(names[i], &mask, NULL)) {
            char *word = mem_format("%.*s%s", length, typed, names[i]);
            monitor_offer(session, word);
            free(word);
        }
    }
}

/* --- tables --- */

/* clang-format off */
static const struct monitor_command own[] = {
    {"help|?", "[command]", "show the help", "s?s?", run_help, NULL},
    {"info", "[subcommand]", "show various information about the system state", "S?", run_info, NULL},
    {"log", "item1[,...]", "activate logging of the specified items", "s", run_log, offer_log_items},
    {"logfile", "filename", "output logs to 'filename'", "F", run_logfile, NULL},
    {"quit|q", NULL, "quit the emulator", NULL, run_quit, NULL},
    {"trace-event", "name on|off", "changes status of a specific trace event", "sb", run_event,
     offer_events},
    {"trace-file", "on|off|flush|set [arg]",
     "open, close, or flush trace file, or set a new file name", "s?F?", run_file, offer_file_words},
    {"trace-filter", "name expression",
     "switch events on where the expression holds (name: event name pattern)", "sS", run_filter,
     offer_events},
};

static const struct monitor_command own_info[] = {
    {"trace-events", "[name]",
     "show available trace-events & their state (name: event name pattern)", "s?", info_events,
     offer_events},
    {"version", NULL, "show the version", NULL, info_version, NULL},
};
/* clang-format on */

void monitor_add_own(struct monitor *monitor)
{
    monitor_add(monitor, MONITOR_MAIN, own, sizeof own / sizeof own[0]);
    monitor_add(monitor, MONITOR_INFO, own_info, sizeof own_info / sizeof own_info[0]);
}
