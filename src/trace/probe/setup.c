/* SPDX-License-Identifier: MIT
 *
 * The options of tracing on a command line: read in order, applied together at the end, because a
 * later `-trace file=F` may name the recording of an earlier `-trace PATTERN`.
 *
 * Which writer an option's events go to:
 *   - the ones that writer= names;
 *   - else, with events=, file= or a word about recording (mode=, overflow=, ...): simple;
 *   - else the text log, unless a `-trace file=F` without events stands somewhere: then that. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/glob.h"
#include "base/log.h"
#include "base/logitems.h"
#include "base/memory.h"
#include "base/option.h"
#include "base/strbuf.h"
#include "trace/probe/control.h"
#include "trace/probe/request.h"
#include "trace/write/writers.h"

struct trace_setup {
    struct request *first, **end;
    char *log_file;
    bool timestamps;
    struct request *naming; /* the last `-trace file=F` without events */
};

struct trace_setup *trace_setup_new(void)
{
    struct trace_setup *setup = mem_alloc(sizeof *setup);
    setup->end = &setup->first;
    return setup;
}

static void request_free(struct request *r)
{
    request_clear(r);
    free(r);
}

void trace_setup_free(struct trace_setup *setup)
{
    for (struct request *r = setup->first; r;) {
        struct request *next = r->next;
        request_free(r);
        r = next;
    }
    free(setup->log_file);
    free(setup);
}

static bool is_help(const char *text)
{
    return text && (!strcmp(text, "help") || !strcmp(text, "?"));
}

enum trace_option trace_setup_trace(struct trace_setup *setup, const char *argument,
                                    struct error *err)
{
    struct request *r = mem_alloc(sizeof *r);
    r->where = mem_format("-trace %s", argument);
    if (!request_parse(r, argument, err)) {
        error_prefix(err, "%s: ", r->where);
        request_free(r);
        return TRACE_OPTION_WRONG;
    }
    if (is_help(r->pattern)) {
        request_free(r);
        trace_help_events(stdout);
        return TRACE_OPTION_HELP;
    }
    if (r->recording && !r->writers) {
        r->writer[r->writers++] = &trace_writer_simple;
    }
    if (r->options.file && !r->pattern && !r->events) {
        setup->naming = r;
    }
    *setup->end = r;
    setup->end = &r->next;
    return TRACE_OPTION_TAKEN;
}

/* --- -d, -D, -msg --- */

static void print_items(FILE *out)
{
    fputs("Log items (comma separated):\n", out);
    log_items_help(out);
    fputs("trace:PATTERN   enable trace events\n\n"
          "Use \"-d trace:help\" to get a list of trace events.\n",
          out);
}

enum trace_option trace_setup_debug(struct trace_setup *setup, const char *argument,
                                    struct error *err)
{
    enum trace_option result = TRACE_OPTION_TAKEN;
    for (const char *at = argument; *at && result == TRACE_OPTION_TAKEN;) {
        size_t len = strcspn(at, ",");
        char *item = mem_stringn(at, len);
        uint64_t mask;
        at += len + (at[len] == ',');
        if (is_help(item)) {
            print_items(stdout);
            result = TRACE_OPTION_HELP;
        } else if (!strncmp(item, "trace:", 6) && is_help(item + 6)) {
            trace_help_events(stdout);
            result = TRACE_OPTION_HELP;
        } else if (!strncmp(item, "trace:", 6) && item[6]) {
            struct request *r = mem_alloc(sizeof *r);
            r->where = mem_format("-d %s", item);
            r->pattern = mem_string(item + 6);
            r->writer[r->writers++] = &trace_writer_log;
            *setup->end = r;
            setup->end = &r->next;
        } else if (log_item_find(item, &mask, err)) {
            log_items_set(log_items | mask);
        } else {
            error_prefix(err, "-d %s: ", item);
            result = TRACE_OPTION_WRONG;
        }
        free(item);
    }
    return result;
}

static enum trace_option take_messages(struct trace_setup *setup, const char *argument,
                                       struct error *err)
{
    struct option_list list;
    bool ok = option_list_parse(&list, argument, NULL, err);
    for (size_t i = 0; ok && i < list.count; i++) {
        ok = strcmp(list.pair[i].key, "timestamp")
                 ? error_set(err, "Invalid parameter '%s'; there is timestamp", list.pair[i].key)
                 : option_bool("timestamp", list.pair[i].value ? list.pair[i].value : "on",
                               &setup->timestamps, err);
    }
    if (ok) {
        option_list_free(&list);
        return TRACE_OPTION_TAKEN;
    }
    error_prefix(err, "-msg %s: ", argument);
    return TRACE_OPTION_WRONG;
}

static enum trace_option take_log_file(struct trace_setup *setup, const char *argument,
                                       struct error *err)
{
    (void)err;
    free(setup->log_file);
    setup->log_file = mem_string(argument);
    return TRACE_OPTION_TAKEN;
}

enum trace_option trace_setup_option(struct trace_setup *setup, int argc, char **argv, int *i,
                                     struct error *err)
{
    static const struct {
        const char *name;
        enum trace_option (*take)(struct trace_setup *, const char *, struct error *);
    } options[] = {{"-trace", trace_setup_trace},
                   {"-d", trace_setup_debug},
                   {"-D", take_log_file},
                   {"-msg", take_messages}};
    const char *name = argv[*i];
    name += name[0] == '-' && name[1] == '-' && name[2];
    for (size_t n = 0; n < sizeof options / sizeof *options; n++) {
        if (strcmp(name, options[n].name)) {
            continue;
        }
        if (*i + 1 >= argc) {
            error_set(err, "%s: requires an argument", argv[*i]);
            return TRACE_OPTION_WRONG;
        }
        ++*i;
        return options[n].take(setup, argv[*i], err);
    }
    return TRACE_OPTION_FOREIGN;
}

/* --- applying --- */

/* Two options that mean the same recording share a sink. */
static bool same_place(const struct trace_sink *sink, const struct trace_sink_ops *ops,
                       const char *file)
{
    const char *have = sink->options.file;
    return sink->ops == ops && (have && file ? !strcmp(have, file) : have == file);
}

/* The open or future recording of that writer and file; NULL with `clash` set when another writer
 * has the file. */
static struct trace_sink *find_sink(const struct trace_sink_ops *ops, const char *file,
                                    const struct trace_sink **clash)
{
    *clash = NULL;
    for (struct trace_sink *sink = trace_sinks(); sink; sink = sink->next) {
        if (same_place(sink, ops, file)) {
            return sink;
        }
        if (file && sink->ops->takes_file && sink->options.file &&
            !strcmp(sink->options.file, file)) {
            *clash = sink;
        }
    }
    return NULL;
}

/* Settings that one option leaves open and another gives are joined. Once the sink is open they
 * are fixed: its records have a layout, and threads read them. */
static bool join_options(struct trace_sink *sink, const struct trace_sink_options *more,
                         struct error *err)
{
    const struct trace_sink_options have = sink->options;
    if (sink->open && ((more->drop && !have.drop) || (more->context & ~have.context) ||
                       (more->buffer && more->buffer != have.buffer))) {
        return error_set(err,
                         "%s is being recorded already, with other words about overflow=, buffer= "
                         "or context=: switch it off first, or name another file",
                         have.file ? have.file : sink->ops->name);
    }
    if (__builtin_popcount(have.context | more->context) > TRACE_CONTEXT_RECORDED_MAX) {
        return error_set(err, "%s: a recording has at most %d context fields",
                         have.file ? have.file : sink->ops->name, TRACE_CONTEXT_RECORDED_MAX);
    }
    if (!sink->open) {
        sink->options.drop = have.drop || more->drop;
        sink->options.context = have.context | more->context;
        sink->options.buffer = more->buffer ? more->buffer : have.buffer;
    }
    return true;
}

static struct trace_sink *sink_for(const struct request *r, const struct trace_sink_ops *ops,
                                   const char *file, struct error *err)
{
    if (ops == &trace_writer_log) {
        return trace_log_sink();
    }
    if (ops == &trace_writer_simple && r->options.flight) {
        ops = &trace_writer_flight;
    }
    char *place = file && ops->takes_file ? mem_string(file) : trace_sink_default_file(ops);
    const struct trace_sink *clash;
    struct trace_sink *sink = find_sink(ops, place, &clash);
    if (sink) {
        free(place);
        return join_options(sink, &r->options, err) ? sink : NULL;
    }
    if (clash) {
        error_set(err,
                  "%s cannot be written by two writers: it is the file of a %s recording already",
                  place, clash->ops->name);
        free(place);
        return NULL;
    }
    struct trace_sink_options options = r->options;
    options.file = place;
    options.buffer = options.buffer ? options.buffer : TRACE_RING_DEFAULT;
    options.size = options.size ? options.size : 64 << 20;
    sink = trace_sink_new(ops, &options, err);
    if (!sink) {
        free(place);
    }
    return sink;
}

/* Finds or makes the sinks of a request; nothing is opened yet. */
static bool make_sinks(struct trace_setup *setup, struct request *r, struct error *err)
{
    const char *file = r->options.file;
    if (setup->naming && !file) {
        /* `-trace file=F` on its own: F is where patterns without a place of their own go. */
        if (!r->writers) {
            r->writer[r->writers++] = &trace_writer_simple;
        }
        file = setup->naming->options.file;
        r->options.flight = r->options.flight || setup->naming->options.flight;
    }
    if (!r->writers) {
        r->writer[r->writers++] = &trace_writer_log;
    }
    for (unsigned i = 0; i < r->writers; i++) {
        r->sink[i] = sink_for(r, r->writer[i], file, err);
        if (!r->sink[i]) {
            return error_prefix(err, "%s: ", r->where);
        }
    }
    return true;
}

static void warn_about(trace_warn_fn *warn, void *opaque, const char *where, const char *pattern,
                       const struct trace_match *match)
{
    char *text = NULL;
    if (!match->events && glob_is_pattern(pattern)) {
        text = mem_format("%s: warning: no trace event matches '%s'", where, pattern);
    } else if (!match->events) {
        text = mem_format("%s: warning: trace event '%s' does not exist%s", where, pattern,
                          access(pattern, R_OK) == 0 && strchr(pattern, '/')
                              ? " (there is a file of that name: events=FILE reads one)"
                              : "");
    } else if (match->unavailable == match->events) {
        text = mem_format("%s: warning: trace event '%s' is not traceable (it is declared "
                          "'disable')",
                          where, pattern);
    } else if (match->without) {
        text = mem_format("%s: warning: %u of %u events lack a name that the filter uses and stay "
                          "as they were",
                          where, match->without, match->events);
    }
    for (char *c = text; c && *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f) {
            *c = '?'; /* what a file holds must not steer the terminal */
        }
    }
    if (text && warn) {
        warn(opaque, text);
    }
    free(text);
}

/* One name or pattern, from the option itself or from a line of a file. */
static bool apply_pattern(const struct request *r, const struct request *from, const char *where,
                          trace_warn_fn *warn, void *opaque, struct error *err)
{
    struct trace_match match = {0};
    const char *pattern = from->pattern;
    if (pattern[0] == '-') {
        trace_state_set(pattern + 1, false, &match);
        match.unavailable = 0;
        warn_about(warn, opaque, where, pattern + 1, &match);
        return true;
    }
    const struct trace_rule_options options = {
        .filter = from->filter ? from->filter : r->filter,
        .start = from->start ? from->start : r->start,
        .stop = from->stop ? from->stop : r->stop,
        .limited = from->limited || r->limited,
        .limit = from->limited ? from->limit : r->limit,
        .toggle = from->toggle ? from->toggle : r->toggle,
    };
    for (unsigned i = 0; i < r->writers; i++) {
        if (r->writer[i] == &trace_writer_lttng) {
            continue; /* its session chooses */
        }
        if (!trace_rule_add(pattern, r->sink[i], &options, &match, err)) {
            return error_prefix(err, "%s: ", where);
        }
    }
    warn_about(warn, opaque, where, pattern, &match);
    return true;
}

/* A line of an events file: NAME, PATTERN or -PATTERN, with filter=, start=, stop=, limit= and
 * toggle= where wanted. QEMU takes only the first form, without blanks around it. */
static bool apply_line(const struct request *r, char *line, const char *where, bool *help,
                       trace_warn_fn *warn, void *opaque, struct error *err)
{
    line += strspn(line, " \t");
    line[strcspn(line, "\r\n")] = 0;
    for (size_t len = strlen(line); len && strchr(" \t", line[len - 1]); len--) {
        line[len - 1] = 0;
    }
    if (!*line || *line == '#') {
        return true;
    }
    if (is_help(line)) {
        *help = true;
        return true;
    }
    struct request one = {0};
    bool ok = request_parse(&one, line, err);
    if (ok && (one.recording || one.writers || !one.pattern)) {
        ok = error_set(err, "a line holds a name or pattern, and filter=, start=, stop=, "
                            "limit= or toggle=");
    }
    if (!ok) {
        error_prefix(err, "%s: ", where);
    }
    ok = ok && apply_pattern(r, &one, where, warn, opaque, err);
    request_clear(&one);
    return ok;
}

static bool no_events_file(const struct request *r, struct error *err)
{
    struct strbuf hint;
    strbuf_init(&hint);
    if (errno == ENOENT && (glob_is_pattern(r->events) || trace_event_find(r->events))) {
        strbuf_printf(&hint,
                      " (events= takes a file with names in it; enable=%s switches events on by "
                      "name)",
                      r->events);
    }
    error_set(err, "%s: %s: %s%s", r->where, r->events, strerror(errno), hint.data);
    strbuf_free(&hint);
    return false;
}

static bool apply_file(const struct request *r, bool *help, trace_warn_fn *warn, void *opaque,
                       struct error *err)
{
    FILE *file = fopen(r->events, "re");
    if (!file) {
        return no_events_file(r, err);
    }
    char *line = NULL;
    size_t room = 0;
    bool ok = true;
    for (unsigned number = 1; ok && getline(&line, &room, file) >= 0; number++) {
        char *where = mem_format("%s:%u", r->events, number);
        ok = apply_line(r, line, where, help, warn, opaque, err);
        free(where);
    }
    if (ok && ferror(file)) {
        ok = error_set(err, "%s: %s: %s", r->where, r->events, strerror(errno));
    }
    free(line);
    fclose(file);
    return ok;
}

static bool open_sinks(const struct request *r, struct error *err)
{
    for (unsigned i = 0; i < r->writers; i++) {
        if (!trace_sink_on(r->sink[i], err)) {
            return error_prefix(err, "%s: ", r->where);
        }
        if (r->recording) {
            trace_default_sink_add(r->sink[i]);
        }
    }
    return true;
}

bool trace_setup_apply(struct trace_setup *setup, trace_warn_fn *warn, void *opaque,
                       struct error *err)
{
    bool ok = true, help = false;
    if (setup->log_file && !log_set_file(setup->log_file, err)) {
        return false;
    }
    log_set_timestamps(setup->timestamps);
    trace_control_lock();
    for (struct request *r = setup->first; ok && r; r = r->next) {
        ok = make_sinks(setup, r, err);
    }
    for (struct request *r = setup->first; ok && r; r = r->next) {
        ok = open_sinks(r, err);
    }
    for (struct request *r = setup->first; ok && r; r = r->next) {
        ok = (!r->pattern || apply_pattern(r, r, r->where, warn, opaque, err)) &&
             (!r->events || apply_file(r, &help, warn, opaque, err));
    }
    trace_control_unlock();
    if (ok && help) {
        trace_help_events(stdout);
        exit(0);
    }
    return ok;
}

void trace_help_keys(FILE *out)
{
    request_help(out);
}

void trace_help_options(FILE *out)
{
    fputs("  -trace [enable=]PATTERN[,KEY=VALUE]...   watch events; -trace help lists them\n", out);
    trace_help_keys(out);
    fputs("  -d trace:PATTERN                         the same as text\n"
          "  -D FILE                                  text goes there instead of standard error\n"
          "  -msg timestamp=on                        thread and time before each line of text\n",
          out);
}

void trace_help_events(FILE *out)
{
    for (unsigned i = 0; i < trace_event_count(); i++) {
        fprintf(out, "%s\n", trace_event_at(i)->decl->name);
    }
}
