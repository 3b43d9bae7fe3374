/* SPDX-License-Identifier: MIT
 *
 * Control while the program runs: events by name, the files of recordings, the end. */
#include "trace/probe/control.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/glob.h"
#include "base/memory.h"
#include "trace/write/writers.h"

struct trace_sink *trace_log_sink(void)
{
    static struct trace_sink *log;
    trace_control_lock();
    if (!log) {
        static const struct trace_sink_options none;
        log = trace_sink_new(&trace_writer_log, &none, NULL);
        trace_sink_on(log, NULL);
    }
    trace_control_unlock();
    return log;
}

__attribute__((constructor)) static void control_start(void)
{
    trace_last_resort = trace_log_sink;
    atexit(trace_shutdown);
}

bool trace_control_set(const char *pattern, bool on, struct error *err)
{
    struct trace_match match;
    trace_state_set(pattern, on, &match);
    if (!match.events) {
        return glob_is_pattern(pattern) ? error_set(err, "pattern \"%s\" matches no event", pattern)
                                        : error_set(err, "unknown event \"%s\"", pattern);
    }
    if (on && match.unavailable == match.events) {
        return error_set(err,
                         "event \"%s\" is disabled: it was declared `disable` and is not in "
                         "this program",
                         pattern);
    }
    return true;
}

static struct trace_sink *first_recording(void)
{
    struct trace_sink *sink = trace_sinks();
    while (sink && !trace_sink_is_recording(sink)) {
        sink = sink->next;
    }
    return sink;
}

/* The recording of a program that was started without one. */
static struct trace_sink *make_recording(const char *path, struct error *err)
{
    const struct trace_sink_options options = {
        .file = mem_string(path),
        .buffer = TRACE_RING_DEFAULT,
    };
    struct trace_sink *sink = trace_sink_new(&trace_writer_simple, &options, err);
    if (sink) {
        trace_default_sink_add(sink);
    } else {
        free(options.file);
    }
    return sink;
}

bool trace_file_on(struct error *err)
{
    bool ok = true;
    trace_control_lock();
    if (!first_recording() && !make_recording(NULL, err)) {
        ok = false;
    }
    for (struct trace_sink *sink = trace_sinks(); ok && sink; sink = sink->next) {
        ok = !trace_sink_is_recording(sink) || trace_sink_on(sink, err);
    }
    trace_control_unlock();
    return ok;
}

void trace_file_off(void)
{
    trace_control_lock();
    for (struct trace_sink *sink = trace_sinks(); sink; sink = sink->next) {
        if (trace_sink_is_recording(sink)) {
            trace_sink_off(sink);
        }
    }
    trace_control_unlock();
}

void trace_file_flush(void)
{
    trace_control_lock();
    for (struct trace_sink *sink = trace_sinks(); sink; sink = sink->next) {
        if (trace_sink_is_recording(sink) && trace_sink_is_on(sink)) {
            trace_drain_flush(sink);
        }
    }
    trace_control_unlock();
}

bool trace_file_set(const char *path, struct error *err)
{
    bool ok = true;
    trace_control_lock();
    struct trace_sink *sink = first_recording();
    if (!sink) {
        ok = make_recording(path, err) != NULL;
    } else {
        bool was_on = trace_sink_is_on(sink);
        trace_sink_off(sink);
        free(sink->options.file);
        sink->options.file = mem_string(path);
        sink->inherited = false;
        ok = !was_on || trace_sink_on(sink, err);
    }
    trace_control_unlock();
    return ok;
}

const char *trace_file_status(bool *on)
{
    trace_control_lock();
    struct trace_sink *sink = first_recording();
    *on = sink && trace_sink_is_on(sink);
    const char *file = sink ? sink->options.file : NULL;
    trace_control_unlock();
    return file;
}

void trace_shutdown(void)
{
    trace_control_lock();
    for (struct trace_sink *sink = trace_sinks(); sink; sink = sink->next) {
        trace_sink_off(sink);
    }
    trace_control_unlock();
}
