/* SPDX-License-Identifier: MIT
 *
 * Probes, as the code that fires them sees them. A probe is declared in the `trace-events` file of
 * its folder and called as trace_NAME(arguments) from a source that includes "trace-GROUP.h".
 *
 * Read in this order: this header (what a probe is), probe/event.h (the registry and who listens),
 * probe/buffer.h (records: the contract of the thread buffers), probe/sink.h (writers), then
 * probe/control.h (command line and monitor), decl/, filter/, write/, read/.
 *
 * What a disabled probe costs: one load and one predicted branch on its enable word; its arguments
 * are not evaluated. The word is 0 while nobody listens:
 *
 *      31            16 15             0
 *     +----------------+----------------+
 *     |   listeners    |      usdt      |   union trace_enable, section .probes
 *     +----------------+----------------+
 *
 * `usdt` is the semaphore of the static probe qemu:NAME, counted up by the kernel, bpftrace or
 * SystemTap; `listeners` counts our own writers and an LTTng session. The halves are only ever
 * written as halves.
 */
#ifndef TRACE_TRACE_H
#define TRACE_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "trace/decl/decl.h"

union trace_enable {
    uint32_t word;
    struct {
        uint16_t usdt;
        uint16_t listeners;
    } half;
};

/* True if anybody listens: the guard for work that only prepares arguments. */
static inline bool trace_live(const union trace_enable *enable)
{
    return __builtin_expect(__atomic_load_n(&enable->word, __ATOMIC_RELAXED) != 0, 0);
}

struct trace_subscriptions; /* probe/event.h */

/* One event of the running program. Generated code defines it; the registry owns what is below
 * `enable`. */
struct trace_event {
    const struct trace_decl *decl;
    union trace_enable *enable;

    uint32_t id;    /* dense, in order of registration */
    bool on;        /* switched on by name (QEMU's dynamic state) */
    bool by_switch; /* on because of a switch: off with it */
    bool lttng_live;
    void (*lttng)(void); /* the provider's function for this event once it is loaded, else NULL */
    const struct trace_subscriptions *subscriptions; /* read by firing threads; NULL: nobody */
};

/* The events of one trace-events file. Generated code registers it before main(). */
struct trace_group {
    const char *name;
    struct trace_event *const *event;
    unsigned count;
    struct trace_group *next;
};

/* Adds a group; its events get the next ids. Called from constructors and when a library with
 * probes of its own is loaded; any thread. */
void trace_group_register(struct trace_group *group);

/* Hands an event to everybody who listens. `values` as in trace_decl_render(), except that a string
 * is a NUL-terminated text or NULL. Called by generated code only, on any thread, also in signal
 * handlers. */
void trace_fire(struct trace_event *event, const uint64_t *values);

/* Time of the records that the calling thread makes, nanoseconds of the monotonic clock; 0: the
 * clock is read for each. For whoever fires many probes at once, later than they happened. */
extern _Thread_local uint64_t trace_batch_time __attribute__((tls_model("initial-exec")));

/* QEMU's names for asking about an event: trace_event_get_state(TRACE_FOO) is true when it is
 * switched on by name, trace_event_get_state_backends(TRACE_FOO) when anybody at all listens. */
#define trace_event_get_state(id) \
    ((id##_ENABLED) && __atomic_load_n(&_##id##_EVENT.on, __ATOMIC_RELAXED))
#define trace_event_get_state_backends(id) ((id##_ENABLED) && id##_BACKEND_DSTATE())

#endif
