/* SPDX-License-Identifier: MIT
 *
 * The keys of -trace: a table, and a function for each that reads its value. */
#include "trace/probe/request.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/option.h"
#include "base/signal_name.h"
#include "base/strbuf.h"
#include "trace/probe/control.h"
#include "trace/write/writers.h"

static bool take_text(char **to, const char *key, const char *value, struct error *err)
{
    if (!value || !*value) {
        return error_set(err, "%s= needs a value", key);
    }
    if (*to) {
        return error_set(err, "%s= is given twice; use a second -trace for a second one", key);
    }
    *to = mem_string(value);
    return true;
}

static bool key_enable(struct request *r, const char *value, struct error *err)
{
    return take_text(&r->pattern, "enable", value, err);
}

static bool key_events(struct request *r, const char *value, struct error *err)
{
    r->recording = true;
    return take_text(&r->events, "events", value, err);
}

static bool key_file(struct request *r, const char *value, struct error *err)
{
    r->recording = true;
    return take_text(&r->options.file, "file", value, err);
}

static bool key_filter(struct request *r, const char *value, struct error *err)
{
    return take_text(&r->filter, "filter", value, err);
}

static bool key_start(struct request *r, const char *value, struct error *err)
{
    return take_text(&r->start, "start", value, err);
}

static bool key_stop(struct request *r, const char *value, struct error *err)
{
    return take_text(&r->stop, "stop", value, err);
}

static bool key_limit(struct request *r, const char *value, struct error *err)
{
    r->limited = true;
    return option_number("limit", value, 0, INT64_MAX, &r->limit, err);
}

bool (*trace_toggle_check)(int signal, struct error *err);

static bool key_toggle(struct request *r, const char *value, struct error *err)
{
    int number = value ? signal_number(value) : 0;
    if (!trace_toggle_check) {
        return error_set(err, "toggle=: this program does not switch events by signals");
    }
    if (!number) {
        return error_set(err,
                         "toggle=%s: there is no such signal; expected a name or number such as "
                         "USR2, SIGUSR2, RTMIN+3 or 12",
                         value ? value : "");
    }
    if (r->toggle) {
        return error_set(err, "toggle= is given twice");
    }
    r->toggle = (unsigned)number;
    return trace_toggle_check(number, err) || error_prefix(err, "toggle=%s: ", value);
}

static void list_writers(struct strbuf *out)
{
    for (size_t i = 0; trace_writers[i]; i++) {
        strbuf_printf(out, "%s%s", i ? ", " : "", trace_writers[i]->name);
    }
}

static bool key_writer(struct request *r, const char *value, struct error *err)
{
    const struct trace_sink_ops *ops = value ? trace_writer_find(value) : NULL;
    if (!ops) {
        struct strbuf names;
        strbuf_init(&names);
        list_writers(&names);
        error_set(err, "writer=%s: there is no such writer; there are %s", value ? value : "",
                  names.data);
        strbuf_free(&names);
        return false;
    }
    if (r->writers == REQUEST_WRITERS_MAX) {
        return error_set(err, "writer= is given more than %d times", REQUEST_WRITERS_MAX);
    }
    r->writer[r->writers++] = ops;
    return true;
}

static bool key_overflow(struct request *r, const char *value, struct error *err)
{
    r->recording = true;
    r->options.drop = value && !strcmp(value, "drop");
    if (!r->options.drop && (!value || strcmp(value, "wait"))) {
        return error_set(err,
                         "overflow=%s: expected 'wait' (nothing is lost, the default) or "
                         "'drop' (what does not fit is counted)",
                         value ? value : "");
    }
    return true;
}

static bool key_mode(struct request *r, const char *value, struct error *err)
{
    r->recording = true;
    r->options.flight = value && !strcmp(value, "flight");
    if (!r->options.flight && (!value || strcmp(value, "stream"))) {
        return error_set(err,
                         "mode=%s: expected 'stream' (everything, the default) or 'flight' "
                         "(the last size=SIZE bytes)",
                         value ? value : "");
    }
    return true;
}

static bool key_size(struct request *r, const char *value, struct error *err)
{
    r->recording = true;
    return option_size("size", value, 256 << 10, UINT64_C(1) << 40, &r->options.size, err);
}

static bool key_buffer(struct request *r, const char *value, struct error *err)
{
    r->recording = true;
    if (!option_size("buffer", value, TRACE_RING_MIN, 1 << 30, &r->options.buffer, err)) {
        return false;
    }
    while (r->options.buffer & (r->options.buffer - 1)) {
        r->options.buffer += r->options.buffer & -r->options.buffer; /* up to a power of two */
    }
    return true;
}

static bool key_context(struct request *r, const char *value, struct error *err)
{
    r->recording = true;
    for (const char *at = value; at && *at;) {
        size_t len = strcspn(at, "+");
        char *name = mem_stringn(at, len);
        int field = trace_context_find(name);
        if (field < 0 || __builtin_popcount(r->options.context) == TRACE_CONTEXT_RECORDED_MAX) {
            unsigned count;
            const struct trace_field *fields = trace_context_fields(&count);
            struct strbuf names;
            strbuf_init(&names);
            for (unsigned i = 0; i < count; i++) {
                strbuf_printf(&names, "%s%s", i ? ", " : "", fields[i].name);
            }
            error_set(err, "context=%s: expected at most %d of %s, joined by '+'", value,
                      TRACE_CONTEXT_RECORDED_MAX, names.data);
            strbuf_free(&names);
            free(name);
            return false;
        }
        free(name);
        r->options.context |= 1u << field;
        at += len + (at[len] == '+');
    }
    return true;
}

static const struct {
    const char *name;
    bool (*take)(struct request *r, const char *value, struct error *err);
    const char *help;
} keys[] = {
    {"enable", key_enable, "PATTERN     events by name or with * and ?; -PATTERN switches off"},
    {"events", key_events, "FILE        one such name or pattern a line, # for comments"},
    {"file", key_file, "FILE          the recording, by default trace-PID"},
    {"writer", key_writer, "NAME        where to write, may be repeated"},
    {"filter", key_filter, "EXPR        only events for which the expression holds"},
    {"start", key_start, "EXPR         only from the event on for which it first holds"},
    {"stop", key_stop, "EXPR          only up to the event for which it first holds"},
    {"limit", key_limit, "N            at most so many events"},
    {"toggle", key_toggle,
     "SIGNAL      off at first; each such signal from outside switches on or off"},
    {"context", key_context, "F+F        also record these context fields"},
    {"overflow", key_overflow, "wait|drop a full buffer makes the thread wait, or loses events"},
    {"buffer", key_buffer, "SIZE        bytes of buffer for each thread"},
    {"mode", key_mode, "flight        keep the newest events in a file of fixed size"},
    {"size", key_size, "SIZE          that size, by default 64M"},
};
enum { KEYS = sizeof keys / sizeof *keys };

static bool take_key(struct request *r, const struct option_pair *pair, struct error *err)
{
    for (size_t i = 0; i < KEYS; i++) {
        if (!strcmp(pair->key, keys[i].name)) {
            return keys[i].take(r, pair->value, err);
        }
    }
    struct strbuf names;
    strbuf_init(&names);
    for (size_t i = 0; i < KEYS; i++) {
        strbuf_printf(&names, "%s%s", i ? ", " : "", keys[i].name);
    }
    error_set(err, "Invalid parameter '%s'; there are %s", pair->key, names.data);
    strbuf_free(&names);
    return false;
}

/* Combinations that have no meaning. */
static bool check_request(const struct request *r, struct error *err)
{
    unsigned takes_file = 0;
    for (unsigned i = 0; i < r->writers; i++) {
        takes_file += r->writer[i]->takes_file;
    }
    if (r->options.file && takes_file > 1) {
        return error_set(err, "file=%s cannot be written by two writers; use a second -trace",
                         r->options.file);
    }
    if (r->recording && r->writers && !takes_file) {
        return error_set(err,
                         "writer=%s writes no file, so file=, events= and the words about "
                         "recordings go with another writer= beside it",
                         r->writer[0]->name);
    }
    if (r->pattern && r->writers == 1 && r->writer[0] == &trace_writer_lttng) {
        return error_set(err,
                         "writer=lttng: the LTTng session chooses the events (lttng enable-event "
                         "-u qemu:NAME), so no PATTERN goes with it");
    }
    if (r->options.size && !r->options.flight) {
        return error_set(err, "size= belongs to mode=flight");
    }
    if (r->pattern && r->pattern[0] == '-' && (r->filter || r->start || r->stop || r->limited)) {
        return error_set(err, "'%s' switches events off; a filter has no meaning there",
                         r->pattern);
    }
    if (r->toggle && r->pattern && r->pattern[0] == '-') {
        return error_set(err, "'%s' switches events off for good; toggle= has no meaning there",
                         r->pattern);
    }
    if (r->toggle && !r->pattern && !r->events) {
        return error_set(err, "toggle= needs the events that it switches: PATTERN or events=FILE");
    }
    if ((r->filter || r->start || r->stop || r->limited) && !r->pattern && !r->events) {
        return error_set(err, "a filter needs the events it is for: PATTERN or events=FILE");
    }
    return true;
}

bool request_parse(struct request *r, const char *text, struct error *err)
{
    struct option_list list;
    bool ok = option_list_parse(&list, text, "enable", err);
    for (size_t i = 0; ok && i < list.count; i++) {
        ok = take_key(r, &list.pair[i], err);
    }
    option_list_free(&list);
    return ok && check_request(r, err);
}

void request_clear(struct request *r)
{
    free(r->where);
    free(r->pattern);
    free(r->events);
    free(r->filter);
    free(r->start);
    free(r->stop);
    free(r->options.file);
}

void request_help(FILE *out)
{
    for (size_t i = 0; i < KEYS; i++) {
        if (keys[i].take != key_toggle || trace_toggle_check) {
            fprintf(out, "           %s=%s\n", keys[i].name, keys[i].help);
        }
    }
    for (size_t i = 0; trace_writers[i]; i++) {
        fprintf(out, "           writer=%-9s %s\n", trace_writers[i]->name, trace_writers[i]->help);
    }
}
