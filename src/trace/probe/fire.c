/* SPDX-License-Identifier: MIT
 *
 * What happens when a probe with listeners fires: subscriptions are walked, filters run, records
 * written. The order of the stores in write_record() is the contract of buffer.h. */
#include <string.h>

#include "base/clock.h"
#include "trace/probe/event.h"
#include "trace/record.h"

_Thread_local uint64_t trace_batch_time __attribute__((tls_model("initial-exec")));

static uint8_t *put_string(uint8_t *p, const char *text, uint32_t length)
{
    memcpy(p, &length, 4);
    if (length) {
        memcpy(p + 4, text, length);
    }
    return p + 4 + length;
}

static uint8_t *put_number(uint8_t *p, uint64_t value)
{
    memcpy(p, &value, 8);
    return p + 8;
}

static uint8_t *put_arguments(uint8_t *p, const struct trace_decl *decl, const uint64_t *values,
                              const uint32_t *lengths)
{
    if (!decl->strings) {
        for (unsigned i = 0; i < decl->nargs; i++) {
            p = put_number(p, values[i]);
        }
        return p;
    }
    for (unsigned i = 0; i < decl->nargs; i++) {
        p = decl->strings >> i & 1 ? put_string(p, (const char *)(uintptr_t)values[i], lengths[i])
                                   : put_number(p, values[i]);
    }
    return p;
}

/* Context values that a recording asks for, read before the record begins. */
struct context {
    uint32_t size; /* bytes they take in the record */
    uint32_t lengths[TRACE_CONTEXT_MAX];
    uint64_t values[TRACE_CONTEXT_MAX];
};

static void read_context(struct context *c, uint32_t set, const struct trace_event *event)
{
    unsigned count;
    const struct trace_field *field = trace_context_fields(&count);
    c->size = 0;
    for (; set; set &= set - 1) {
        unsigned i = (unsigned)__builtin_ctz(set);
        c->values[i] = trace_context_value((void *)event, i, &c->lengths[i]);
        if (field[i].kind == TRACE_STRING) {
            c->lengths[i] = c->lengths[i] < TRACE_STRING_MAX ? c->lengths[i] : TRACE_STRING_MAX;
            c->size += 4 + c->lengths[i];
        } else {
            c->size += 8;
        }
    }
}

static uint8_t *put_context(uint8_t *p, const struct context *c, uint32_t set)
{
    unsigned count;
    const struct trace_field *field = trace_context_fields(&count);
    for (; set; set &= set - 1) {
        unsigned i = (unsigned)__builtin_ctz(set);
        p = field[i].kind == TRACE_STRING
                ? put_string(p, (const char *)(uintptr_t)c->values[i], c->lengths[i])
                : put_number(p, c->values[i]);
    }
    return p;
}

static inline void write_record(struct trace_thread *self, struct trace_sink *sink,
                                const struct trace_event *event, const uint64_t *values,
                                const uint32_t *lengths)
{
    const struct trace_decl *decl = event->decl;
    struct trace_buffer *b = &self->buffer[sink->slot];
    const uint32_t set = sink->options.context;
    struct context context;
    size_t size = TRACE_RECORD_HEAD + (size_t)decl->nargs * 8;

    for (uint32_t s = decl->strings; s; s &= s - 1) {
        size = size + lengths[__builtin_ctz(s)] - 4;
    }
    if (set) {
        read_context(&context, set, event);
        size += context.size;
    }
    if (__builtin_expect((size_t)(b->end - b->cur) < size, 0) &&
        !trace_buffer_room(self, sink, size)) {
        return;
    }

    uint8_t *p = b->cur;
    __atomic_store_n(&b->writing, 1, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    const uint64_t now = trace_batch_time ? trace_batch_time : clock_monotonic();
    __atomic_store_n(&b->time, now, __ATOMIC_RELAXED);

    put_number(p + size, 0);
    put_number(p + 8, event->id);
    put_number(p + 16, now);
    put_number(p + 24, (uint64_t)trace_process_id << 32 | (uint32_t)(size - TRACE_RECORD_TYPE));
    uint8_t *q = put_arguments(p + TRACE_RECORD_HEAD, decl, values, lengths);
    if (set) {
        put_context(q, &context, set);
    }
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    put_number(p, TRACE_TYPE_EVENT);
    __atomic_store_n(&b->cur, p + size, __ATOMIC_RELEASE);
    __atomic_store_n(&b->writing, 0, __ATOMIC_RELEASE);
}

static bool passes(const struct trace_filter *filter, const struct trace_event *event,
                   const uint64_t *values, const uint32_t *lengths)
{
    const struct trace_filter_input input = {
        .values = values,
        .lengths = lengths,
        .field = trace_context_value,
        .opaque = (void *)event,
    };
    return trace_filter_match(filter, &input);
}

/* start=, stop= and limit= of a rule: the event for which start= holds is the first, the one for
 * which stop= holds the last. */
static bool gate_opens(const struct trace_subscription *sub, const struct trace_event *event,
                       const uint64_t *values, const uint32_t *lengths)
{
    struct trace_gate *gate = sub->gate;
    if (__atomic_load_n(&gate->stopped, __ATOMIC_RELAXED)) {
        return false;
    }
    if (!__atomic_load_n(&gate->started, __ATOMIC_RELAXED)) {
        if (!sub->start || !passes(sub->start, event, values, lengths)) {
            return false;
        }
        __atomic_store_n(&gate->started, true, __ATOMIC_RELAXED);
    }
    /* Where several threads stop it at once, one of them is the last. */
    return !sub->stop || !passes(sub->stop, event, values, lengths) ||
           !__atomic_exchange_n(&gate->stopped, true, __ATOMIC_RELAXED);
}

static bool accepts(const struct trace_subscription *sub, const struct trace_event *event,
                    const uint64_t *values, const uint32_t *lengths)
{
    struct trace_gate *gate = sub->gate;
    if (gate && !gate_opens(sub, event, values, lengths)) {
        return false;
    }
    if (sub->filter && !passes(sub->filter, event, values, lengths)) {
        return false;
    }
    return !gate || !gate->limited || __atomic_fetch_sub(&gate->left, 1, __ATOMIC_RELAXED) > 0;
}

static void deliver(struct trace_thread *self, const struct trace_subscriptions *subs,
                    const struct trace_event *event, const uint64_t *values)
{
    uint32_t lengths[TRACE_VALUES_MAX];
    for (uint32_t s = event->decl->strings; s; s &= s - 1) {
        unsigned i = (unsigned)__builtin_ctz(s);
        const char *text = (const char *)(uintptr_t)values[i];
        lengths[i] = text ? (uint32_t)strnlen(text, TRACE_STRING_MAX) : 0;
    }
    const struct trace_sink *done = NULL;
    for (unsigned i = 0; i < subs->count; i++) {
        const struct trace_subscription *sub = &subs->row[i];
        struct trace_sink *sink = sub->sink;
        if (sink == done) {
            if (sub->gate) {
                gate_opens(sub, event, values, lengths); /* it may begin or end with this event */
            }
            continue;
        }
        if (!trace_sink_is_on(sink) ||
            ((sub->filter || sub->gate) && !accepts(sub, event, values, lengths))) {
            continue;
        }
        done = sink;
        if (sink->ops->event) {
            sink->ops->event(sink, event, values, lengths);
        } else {
            write_record(self, sink, event, values, lengths);
        }
    }
}

static inline struct trace_thread *enter(void)
{
    struct trace_thread *self = trace_thread_self;
    if (__builtin_expect(!self || (self->seq & 1), 0)) {
        self = trace_thread_enter_slow();
        if (!self) {
            return NULL;
        }
    }
    __atomic_store_n(&self->seq, self->seq + 1, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    return self;
}

struct trace_thread *trace_hold(void)
{
    return enter();
}

void trace_release(struct trace_thread *self)
{
    if (self) {
        __atomic_store_n(&self->seq, self->seq + 1, __ATOMIC_RELEASE);
    }
}

void trace_fire(struct trace_event *event, const uint64_t *values)
{
    struct trace_thread *self = enter();
    if (!self) {
        return;
    }
    const struct trace_subscriptions *subs =
        __atomic_load_n(&event->subscriptions, __ATOMIC_ACQUIRE);
    if (subs) {
        deliver(self, subs, event, values);
    }
    __atomic_store_n(&self->seq, self->seq + 1, __ATOMIC_RELEASE);
}
