/* SPDX-License-Identifier: MIT
 *
 * Context fields: the table and the rows that every program has. */
#include "trace/probe/context.h"

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "trace/probe/buffer.h"
#include "trace/trace.h"

_Thread_local int trace_vcpu = -1;

static uint64_t get_thread(uint32_t *length)
{
    (void)length;
    return trace_thread_self ? trace_thread_self->tid : (uint64_t)gettid();
}

static uint64_t get_vcpu(uint32_t *length)
{
    (void)length;
    return (uint64_t)(int64_t)trace_vcpu;
}

static uint64_t get_pid(uint32_t *length)
{
    (void)length;
    return (uint64_t)getpid();
}

static uint64_t get_time(uint32_t *length)
{
    (void)length;
    return clock_monotonic();
}

enum { FIELD_EVENT }; /* the one that needs the event; the others are functions */

static struct trace_field fields[TRACE_CONTEXT_MAX] = {
    {"event", TRACE_STRING, "name of the event"},
    {"thread", TRACE_UNSIGNED, "host thread id"},
    {"vcpu", TRACE_SIGNED, "index of the vCPU this thread runs, -1: none"},
    {"pid", TRACE_UNSIGNED, "host process id"},
    {"time", TRACE_UNSIGNED, "host monotonic clock in ns"},
};
static trace_context_fn *getters[TRACE_CONTEXT_MAX] = {NULL, get_thread, get_vcpu, get_pid,
                                                       get_time};
static unsigned field_count = 5;

int trace_context_find(const char *name)
{
    for (unsigned i = 0; i < field_count; i++) {
        if (!strcmp(fields[i].name, name)) {
            return (int)i;
        }
    }
    return -1;
}

unsigned trace_context_add(const struct trace_field *field, trace_context_fn *get)
{
    int found = trace_context_find(field->name);
    unsigned i = found >= 0 ? (unsigned)found : field_count;
    if (i >= TRACE_CONTEXT_MAX || i == FIELD_EVENT) {
        bug("context field '%s' cannot be added: %u of %d rows in use", field->name, field_count,
            TRACE_CONTEXT_MAX);
    }
    fields[i] = *field;
    getters[i] = get;
    field_count += i == field_count;
    return i;
}

const struct trace_field *trace_context_fields(unsigned *count)
{
    *count = field_count;
    return fields;
}

uint64_t trace_context_value(void *opaque, unsigned field, uint32_t *length)
{
    if (field == FIELD_EVENT) {
        const struct trace_event *event = opaque;
        *length = (uint32_t)strlen(event->decl->name);
        return (uintptr_t)event->decl->name;
    }
    return getters[field](length);
}
