/* SPDX-License-Identifier: MIT
 *
 * The writer `count`; see count.h. */
#include "trace/write/count.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/output.h"
#include "base/strbuf.h"
#include "trace/probe/event.h"

void (*trace_counts_wanted)(void);

struct counts {
    struct output *file; /* NULL: the log */
    unsigned size;
    uint64_t count[];
};

static bool count_open(struct trace_sink *sink, struct error *err)
{
    const unsigned size = trace_event_count();
    struct counts *c = mem_alloc(sizeof *c + size * sizeof c->count[0]);

    c->size = size;
    if (sink->options.file) {
        c->file = output_open(sink->options.file, err);
        if (!c->file) {
            free(c);
            return false;
        }
    }
    sink->own = c;
    return true;
}

static void add(struct trace_sink *sink, const struct trace_event *event, uint64_t count)
{
    struct counts *c = __atomic_load_n((struct counts **)&sink->own, __ATOMIC_ACQUIRE);

    if (c && event->id < c->size) {
        __atomic_fetch_add(&c->count[event->id], count, __ATOMIC_RELAXED);
    }
}

static void count_event(struct trace_sink *sink, const struct trace_event *event,
                        const uint64_t *values, const uint32_t *lengths)
{
    (void)values, (void)lengths;
    add(sink, event, 1);
}

static void count_close(struct trace_sink *sink)
{
    struct counts *c = sink->own;
    struct strbuf text;
    struct error err;

    if (trace_counts_wanted) {
        trace_counts_wanted();
    }
    __atomic_store_n(&sink->own, NULL, __ATOMIC_RELEASE);
    trace_synchronize(); /* whoever is adding has finished */
    strbuf_init(&text);
    for (unsigned i = 0; i < c->size; i++) {
        if (c->count[i]) {
            strbuf_printf(&text, "%s %" PRIu64 "\n", trace_event_at(i)->decl->name, c->count[i]);
        }
    }
    if (c->file) {
        output_add(c->file, text.data, text.len);
        if (!output_close(c->file, &err)) {
            fprintf(stderr, "%s\n", err.text);
        }
    } else if (text.len) {
        log_text(text.data, text.len);
    }
    strbuf_free(&text);
    free(c);
}

const struct trace_sink_ops trace_writer_count = {
    .name = "count",
    .help = "how often each event happened, told when the recording ends",
    .takes_file = true,
    .open = count_open,
    .close = count_close,
    .event = count_event,
};

bool trace_only_counted(const struct trace_event *event)
{
    const struct trace_subscriptions *subs =
        __atomic_load_n(&event->subscriptions, __ATOMIC_ACQUIRE);

    for (unsigned i = 0; subs && i < subs->count; i++) {
        const struct trace_subscription *row = &subs->row[i];

        if (row->sink->ops != &trace_writer_count || row->filter || row->gate) {
            return false;
        }
    }
    return subs && !__atomic_load_n(&event->lttng_live, __ATOMIC_RELAXED) &&
           !__atomic_load_n(&event->enable->half.usdt, __ATOMIC_RELAXED);
}

void trace_count_add(const struct trace_event *event, uint64_t count)
{
    struct trace_thread *self = trace_hold();
    const struct trace_subscriptions *subs =
        self ? __atomic_load_n(&event->subscriptions, __ATOMIC_ACQUIRE) : NULL;

    for (unsigned i = 0; subs && i < subs->count; i++) {
        if (subs->row[i].sink->ops == &trace_writer_count) {
            add(subs->row[i].sink, event, count);
        }
    }
    trace_release(self);
}
