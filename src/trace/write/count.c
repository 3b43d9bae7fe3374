/* SPDX-License-Identifier: MIT
 *
 * The writers `count` and `sum`; see count.h. */
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

struct totals {
    uint64_t count;
    uint64_t sum[TRACE_VALUES_MAX]; /* writer=sum */
};

struct counts {
    struct output *file; /* NULL: the log */
    unsigned size;
    struct totals of[];
};

static bool count_open(struct trace_sink *sink, struct error *err)
{
    const unsigned size = trace_event_count();
    struct counts *c = mem_alloc(sizeof *c + size * sizeof c->of[0]);

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

static void add(struct trace_sink *sink, const struct trace_event *event, uint64_t count,
                const uint64_t *sums, unsigned args)
{
    struct counts *c = __atomic_load_n((struct counts **)&sink->own, __ATOMIC_ACQUIRE);

    if (!c || event->id >= c->size) {
        return;
    }
    __atomic_fetch_add(&c->of[event->id].count, count, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < args; i++) {
        __atomic_fetch_add(&c->of[event->id].sum[i], sums[i], __ATOMIC_RELAXED);
    }
}

static void count_event(struct trace_sink *sink, const struct trace_event *event,
                        const uint64_t *values, const uint32_t *lengths)
{
    (void)values, (void)lengths;
    add(sink, event, 1, NULL, 0);
}

static void sum_event(struct trace_sink *sink, const struct trace_event *event,
                      const uint64_t *values, const uint32_t *lengths)
{
    (void)lengths;
    add(sink, event, 1, values, event->decl->nargs);
}

static void print(struct strbuf *text, const struct trace_event *event, const struct totals *total,
                  bool sums)
{
    strbuf_printf(text, "%s %" PRIu64, event->decl->name, total->count);
    for (unsigned i = 0; sums && i < event->decl->nargs; i++) {
        if (!(event->decl->strings >> i & 1)) {
            strbuf_printf(text, " %s=0x%" PRIx64, event->decl->arg[i].name, total->sum[i]);
        }
    }
    strbuf_printf(text, "\n");
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
        if (c->of[i].count) {
            print(&text, trace_event_at(i), &c->of[i], sink->ops == &trace_writer_sum);
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

const struct trace_sink_ops trace_writer_sum = {
    .name = "sum",
    .help = "the same, and the sum of each argument: equal where two runs did the same",
    .takes_file = true,
    .open = count_open,
    .close = count_close,
    .event = sum_event,
};

/* True if all who listen are sinks of one of two kinds, without filters and limits. */
static bool only(const struct trace_event *event, const struct trace_sink_ops *one,
                 const struct trace_sink_ops *other)
{
    const struct trace_subscriptions *subs =
        __atomic_load_n(&event->subscriptions, __ATOMIC_ACQUIRE);

    for (unsigned i = 0; subs && i < subs->count; i++) {
        const struct trace_subscription *row = &subs->row[i];

        if ((row->sink->ops != one && row->sink->ops != other) || row->filter || row->gate) {
            return false;
        }
    }
    return subs && !__atomic_load_n(&event->lttng_live, __ATOMIC_RELAXED) &&
           !__atomic_load_n(&event->enable->half.usdt, __ATOMIC_RELAXED);
}

bool trace_only_counted(const struct trace_event *event)
{
    return only(event, &trace_writer_count, &trace_writer_count);
}

bool trace_only_summed(const struct trace_event *event)
{
    return only(event, &trace_writer_count, &trace_writer_sum);
}

void trace_sums_add(const struct trace_event *event, uint64_t count, const uint64_t *sums)
{
    struct trace_thread *self = trace_hold();
    const struct trace_subscriptions *subs =
        self ? __atomic_load_n(&event->subscriptions, __ATOMIC_ACQUIRE) : NULL;

    for (unsigned i = 0; subs && i < subs->count; i++) {
        struct trace_sink *sink = subs->row[i].sink;

        if (sink->ops == &trace_writer_sum && sums) {
            add(sink, event, count, sums, event->decl->nargs);
        } else if (sink->ops == &trace_writer_count) {
            add(sink, event, count, NULL, 0);
        }
    }
    trace_release(self);
}

void trace_count_add(const struct trace_event *event, uint64_t count)
{
    trace_sums_add(event, count, NULL);
}
