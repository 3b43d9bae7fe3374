/* SPDX-License-Identifier: MIT
 *
 * Sinks: their list, slots, and how they are opened and closed while probes fire. */
#include "trace/probe/sink.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/strbuf.h"
#include "trace/probe/event.h"

static struct trace_sink *sinks, **sinks_end = &sinks;
static uint32_t slots_used;
static struct trace_sink *live[TRACE_RECORDINGS_MAX]; /* open recordings by slot */

struct trace_sink *trace_sinks(void)
{
    return __atomic_load_n(&sinks, __ATOMIC_ACQUIRE);
}

const struct trace_sink_ops *trace_writer_find(const char *name)
{
    for (size_t i = 0; trace_writers[i]; i++) {
        if (!strcmp(trace_writers[i]->name, name)) {
            return trace_writers[i];
        }
    }
    return NULL;
}

char *trace_sink_default_file(const struct trace_sink_ops *ops)
{
    return ops->default_suffix ? mem_format("trace-%d%s", (int)getpid(), ops->default_suffix)
                               : NULL;
}

struct trace_sink *trace_sink_new(const struct trace_sink_ops *ops,
                                  const struct trace_sink_options *options, struct error *err)
{
    struct trace_sink *sink = mem_alloc(sizeof *sink);
    sink->ops = ops;
    sink->options = *options;
    if (trace_sink_is_recording(sink)) {
        while (sink->slot < TRACE_RECORDINGS_MAX && (slots_used >> sink->slot & 1)) {
            sink->slot++;
        }
        if (sink->slot == TRACE_RECORDINGS_MAX) {
            free(sink);
            error_set(err, "%d recordings are open, which is as many as there can be",
                      TRACE_RECORDINGS_MAX);
            return NULL;
        }
        slots_used |= 1u << sink->slot;
    }
    if (!sink->options.file) {
        sink->options.file = trace_sink_default_file(ops);
    }
    trace_drain_lock();
    __atomic_store_n(sinks_end, sink, __ATOMIC_RELEASE);
    sinks_end = &sink->next;
    trace_drain_unlock();
    return sink;
}

struct trace_sink *trace_sink_live(unsigned slot)
{
    return __atomic_load_n(&live[slot], __ATOMIC_ACQUIRE);
}

static void set_live(struct trace_sink *sink, bool on)
{
    if (trace_sink_is_recording(sink)) {
        __atomic_store_n(&live[sink->slot], on ? sink : NULL, __ATOMIC_RELEASE);
    }
}

bool trace_sink_on(struct trace_sink *sink, struct error *err)
{
    if (trace_sink_is_on(sink)) {
        return true;
    }
    trace_sink_off(sink); /* its writing failed */
    if (sink->inherited) {
        return error_set(
            err,
            "%s is being recorded into by the process that this one was forked from: set "
            "another file first",
            sink->options.file);
    }
    if (sink->ops->records && !trace_drain_start(err)) {
        return false;
    }
    /* Without the drain locked: a pipe that nobody reads yet does not hold other recordings up. */
    if (sink->ops->open && !sink->ops->open(sink, err)) {
        return false;
    }
    trace_drain_lock();
    sink->open = true;
    trace_drain_unlock();
    set_live(sink, true);
    __atomic_store_n(&sink->on, true, __ATOMIC_RELEASE);
    trace_late();
    return true;
}

void trace_sink_off(struct trace_sink *sink)
{
    if (!sink->open) {
        return;
    }
    __atomic_store_n(&sink->on, false, __ATOMIC_RELEASE);
    set_live(sink, false);
    trace_synchronize();
    trace_drain_lock();
    if (trace_sink_is_recording(sink)) {
        trace_drain_finish(sink);
    }
    if (sink->ops->close) {
        sink->ops->close(sink);
    }
    sink->open = false;
    sink->failed = false;
    trace_drain_unlock();
}

void trace_sink_forget(struct trace_sink *sink)
{
    sink->inherited = sink->inherited || sink->open;
    sink->on = sink->open = sink->failed = false;
    set_live(sink, false);
}

void trace_sink_free(struct trace_sink *sink)
{
    trace_sink_off(sink);
    trace_drain_lock();
    struct trace_sink **at = &sinks;
    while (*at != sink) {
        at = &(*at)->next;
    }
    __atomic_store_n(at, sink->next, __ATOMIC_RELEASE);
    sinks_end = &sinks;
    while (*sinks_end) {
        sinks_end = &(*sinks_end)->next;
    }
    if (trace_sink_is_recording(sink)) {
        slots_used &= ~(1u << sink->slot);
    }
    trace_drain_unlock();
    free(sink->options.file);
    free(sink);
}

void trace_sink_decl(const struct trace_sink *sink, const struct trace_event *event,
                     struct trace_decl *decl)
{
    /* "ctx_NAME" for each field, made once: declarations point at names. */
    static char names[TRACE_CONTEXT_MAX][64];
    unsigned count;
    const struct trace_field *field = trace_context_fields(&count);

    *decl = *event->decl;
    for (uint32_t set = sink->options.context; set; set &= set - 1) {
        unsigned i = (unsigned)__builtin_ctz(set);
        bool string = field[i].kind == TRACE_STRING;
        snprintf(names[i], sizeof names[i], "ctx_%s", field[i].name);
        decl->strings |= (uint32_t)string << decl->nargs;
        decl->arg[decl->nargs++] = (struct trace_arg){
            .name = names[i],
            .type = string                          ? "const char *"
                    : field[i].kind == TRACE_SIGNED ? "int64_t"
                                                    : "uint64_t",
            .kind = field[i].kind,
            .bits = 64,
        };
    }
}

char *trace_sink_declarations(const struct trace_sink *sink, size_t *len)
{
    unsigned count = trace_event_count();
    struct trace_decl *decls = mem_alloc(count * sizeof *decls);
    const struct trace_decl **rows = mem_alloc(count * sizeof *rows);
    struct strbuf text;

    strbuf_init(&text);
    for (unsigned i = 0; i < count; i++) {
        trace_sink_decl(sink, trace_event_at(i), &decls[i]);
        rows[i] = &decls[i];
    }
    trace_decls_print(&text, rows, count);
    free(rows);
    free(decls);
    *len = text.len;
    return strbuf_take(&text);
}

void trace_sinks_events_added(void)
{
    trace_drain_lock();
    for (struct trace_sink *sink = sinks; sink; sink = sink->next) {
        struct error err;
        if (sink->open && !sink->failed && sink->ops->events_added &&
            !sink->ops->events_added(sink, &err)) {
            trace_sink_failed(sink, &err);
        }
    }
    trace_drain_unlock();
}

void trace_sink_failed(struct trace_sink *sink, const struct error *err)
{
    __atomic_store_n(&sink->on, false, __ATOMIC_RELEASE);
    sink->failed = true;
    fprintf(stderr, "%s: the %s recording ends here: %s\n", program_invocation_short_name,
            sink->ops->name, err->text);
}
