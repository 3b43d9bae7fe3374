/* SPDX-License-Identifier: MIT
 *
 * The commands that every monitor has: help, info, log, those of tracing. Their texts are QEMU's
 * where scripts may look at them. */
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

static bool run_help(struct monitor_session *session, int argc, char **argv)
{
    if (argc == 1) {
        monitor_help(session, MONITOR_MAIN, "");
        return true;
    }
    const bool info = !strcmp(argv[1], "info");
    const struct monitor_command *command;
    if (info && argc == 2) {
        monitor_help(session, MONITOR_INFO, "info ");
        return true;
    }
    const enum monitor_table table = info ? MONITOR_INFO : MONITOR_MAIN;
    const char *name = argv[argc - 1];
    for (size_t i = 0; (command = monitor_row(monitor_of(session), table, i)); i++) {
        if (!strncmp(command->name, name, strlen(name))) {
            monitor_printf(session, "%s%s%s%s -- %s\n", info ? "info " : "", command->name,
                           command->arguments ? " " : "",
                           command->arguments ? command->arguments : "", command->help);
        }
    }
    return true;
}

static bool run_info(struct monitor_session *session, int argc, char **argv)
{
    if (argc == 1) {
        monitor_help(session, MONITOR_INFO, "info ");
    } else {
        monitor_run(session, MONITOR_INFO, "info ", argc - 1, argv + 1);
    }
    return true;
}

static bool run_quit(struct monitor_session *session, int argc, char **argv)
{
    (void)argc, (void)argv;
    session->quit = true;
    return true;
}

static bool info_version(struct monitor_session *session, int argc, char **argv)
{
    (void)argc, (void)argv;
    monitor_printf(session, "%s\n", monitor_of(session)->version);
    return true;
}

/* --- events --- */

static bool info_events(struct monitor_session *session, int argc, char **argv)
{
    const char *pattern = argc > 1 ? argv[1] : "*";

    for (unsigned i = trace_event_count(); i-- > 0;) { /* newest first, as QEMU has it */
        const struct trace_event *event = trace_event_at(i);
        if (glob_match(pattern, event->decl->name)) {
            monitor_printf(session, "%s : state %d\n", event->decl->name, event->on);
        }
    }
    return true;
}

static bool run_event(struct monitor_session *session, int argc, char **argv)
{
    const bool on = !strcmp(argv[2], "on");
    struct error err;

    (void)argc;
    if (!on && strcmp(argv[2], "off") != 0) {
        monitor_printf(session, "Expected 'on' or 'off'\n");
        return false;
    }
    if (!trace_control_set(argv[1], on, &err)) {
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

static bool run_file(struct monitor_session *session, int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : NULL;
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
        ok = argc < 3 || trace_file_set(argv[2], &err);
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
static bool run_filter(struct monitor_session *session, int argc, char **argv)
{
    const struct trace_rule_options options = {.filter = argv[2]};
    struct trace_match match = {0};
    struct error err;

    (void)argc;
    trace_control_lock();
    struct trace_sink *sink = trace_sinks();
    while (sink && !(trace_sink_is_recording(sink) && trace_sink_is_on(sink))) {
        sink = sink->next;
    }
    trace_control_unlock();
    if (!trace_rule_add(argv[1], sink ? sink : trace_log_sink(), &options, &match, &err)) {
        print_error(session, &err);
    } else if (!match.events) {
        monitor_printf(session, "pattern \"%s\" matches no event\n", argv[1]);
    }
    return true;
}

/* --- the log --- */

/* ITEM,... as -d has it; `none` switches all off. */
static bool run_log(struct monitor_session *session, int argc, char **argv)
{
    uint64_t mask = 0, one;
    struct error err;
    bool ok = true;

    (void)argc;
    for (const char *at = argv[1]; ok && *at;) {
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

static bool run_logfile(struct monitor_session *session, int argc, char **argv)
{
    struct error err;

    (void)argc;
    if (!log_set_file(argv[1], &err)) {
        print_error(session, &err);
    }
    return true;
}

/* --- tables --- */

/* clang-format off */
static const struct monitor_command own[] = {
    {"help", "[command]", "show the help", 0, 2, run_help},
    {"info", "[topic]", "show various information about the program's state", 0,
     MONITOR_ARGUMENTS_MAX, run_info},
    {"log", "item1[,...]", "activate logging of the specified items", 1, 1, run_log},
    {"logfile", "filename", "output logs to 'filename'", 1, 1, run_logfile},
    {"quit", NULL, "end the program", 0, 0, run_quit},
    {"trace-event", "name on|off", "changes status of a specific trace event", 2, 2, run_event},
    {"trace-file", "on|off|flush|set [arg]",
     "open, close, or flush trace file, or set a new file name", 0, 2, run_file},
    {"trace-filter", "name expression",
     "switch events on where the expression holds (name: event name pattern)", 2, 2, run_filter},
};

static const struct monitor_command own_info[] = {
    {"trace-events", "[name]",
     "show available trace-events & their state (name: event name pattern)", 0, 1, info_events},
    {"version", NULL, "show the version", 0, 0, info_version},
};
/* clang-format on */

void monitor_add_own(struct monitor *monitor)
{
    monitor_add(monitor, MONITOR_MAIN, own, sizeof own / sizeof own[0]);
    monitor_add(monitor, MONITOR_INFO, own_info, sizeof own_info / sizeof own_info[0]);
}
