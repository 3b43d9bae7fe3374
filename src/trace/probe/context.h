/* SPDX-License-Identifier: MIT
 *
 * The context a probe fires in: fields that belong to no event and to all of them. Higher rooms add
 * rows (vcpu state, address space, process, symbol); filters name them, recordings store the ones
 * asked for with `context=NAME+NAME` behind the arguments, each as one more argument `ctx_NAME`.
 *
 * Rows are added at start-up, before probes fire on other threads; never removed.
 */
#ifndef TRACE_CONTEXT_H
#define TRACE_CONTEXT_H

#include "trace/filter/filter.h"

enum { TRACE_CONTEXT_MAX = 32 };

/* The value now, on the calling thread; for a string a pointer, its length in *length. Must be
 * quick, take no lock and fire no probe. */
typedef uint64_t trace_context_fn(uint32_t *length);

/* Adds a row; returns its number. `field` is copied, its texts are kept by reference. A name that
 * is there already gets the new function (so that a room can refine a default). */
unsigned trace_context_add(const struct trace_field *field, trace_context_fn *get);

/* The rows; the number of a field is its index. Built in: event, thread, vcpu, pid, time. */
const struct trace_field *trace_context_fields(unsigned *count);

/* Number of the field of that name, or -1. */
int trace_context_find(const char *name);

/* For struct trace_filter_input: `opaque` is the struct trace_event. */
uint64_t trace_context_value(void *opaque, unsigned field, uint32_t *length);

/* The number of the vCPU that the calling thread runs, -1 where there is none: a thread that runs
 * one sets it. */
extern _Thread_local int trace_vcpu;

#endif
