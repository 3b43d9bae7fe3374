/* SPDX-License-Identifier: MIT
 *
 * The registry: every event of the program, whether it is switched on, and who listens to it.
 *
 * An event has a state (on, off), as in QEMU. A rule is "these events, under this filter, to that
 * sink": it comes from an option or a command and stays. A record goes to a sink when its event is
 * on and one of the sink's rules takes it. From states and rules the registry makes, for each
 * event, the constant array of subscriptions that firing threads read.
 *
 * Except where it says otherwise, functions take the control lock themselves; any thread may call
 * them while probes fire, but not from inside a sink or a context function.
 */
#ifndef TRACE_EVENT_H
#define TRACE_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "trace/filter/filter.h"
#include "trace/probe/sink.h"
#include "trace/trace.h"

/* What limit=, start= and stop= count for all events of a rule together. */
struct trace_gate {
    bool limited;
    int64_t left; /* records still let through, when limited */
    bool started; /* start= has held, or there is none */
    bool stopped; /* stop= has held */
};

/* One rule applied to one event. */
struct trace_subscription {
    struct trace_sink *sink;
    struct trace_filter *filter, *start, *stop; /* NULL: none */
    struct trace_gate *gate;                    /* NULL: no limit, start or stop */
};

/* Rows of the same sink stand together; the first that accepts decides. */
struct trace_subscriptions {
    unsigned count;
    struct trace_subscription row[];
};

/* What a rule says beside the pattern and the sink; texts are copied; NULL: none. */
struct trace_rule_options {
    const char *filter, *start, *stop;
    bool limited;
    uint64_t limit;
    unsigned toggle; /* number of the switch that the rule depends on, 1 to 64; 0: none */
};

/* Registration order; NULL behind the last. Ids are positions. */
struct trace_event *trace_event_at(unsigned id);
unsigned trace_event_count(void);
struct trace_event *trace_event_find(const char *name);
const char *trace_event_group(const struct trace_event *event);

/* Gives an argument words for its values, as `#@args` would: for words that another table knows.
 * `words` is kept by reference. To be called before main(), from the room that declares the event;
 * an argument that is not there is a bug. */
void trace_event_give_words(struct trace_event *event, const char *argument,
                            const struct trace_words *words);

/* How many events a pattern meets, and how many of them cannot be switched on (`disable`). */
struct trace_match {
    unsigned events;
    unsigned unavailable;
    unsigned without; /* left out: they lack a name that the filter uses */
};

/* Switches the events that match on, with a rule for `sink`. The first error of a filter is
 * reported, and nothing changes; events that merely lack a name used in it are left out unless no
 * event is left then. */
bool trace_rule_add(const char *pattern, struct trace_sink *sink,
                    const struct trace_rule_options *options, struct trace_match *match,
                    struct error *err);

/* Changes the state only: rules stay. An event that is switched on and has no rule gets one for
 * each sink that is a default (see trace_default_sinks()). */
void trace_state_set(const char *pattern, bool on, struct trace_match *match);

/* The same for one event. */
void trace_event_set(struct trace_event *event, bool on);

/* Switches. A rule with one is as if it were not there while its switch is off, and all are off at
 * first; its events are switched on with it, and off again unless they were on without it. The
 * numbers are those of signals, for toggle=SIGNAL. */

/* The switches that rules depend on, and those that are on: sets, bit N-1 for number N. */
uint64_t trace_switches(void);
uint64_t trace_switches_on(void);

/* A recording that was left to the parent of a fork goes on here, in a file of its own: the name
 * with "-PID" behind it. */
void trace_switch(unsigned number, bool on);

/* In the child of a fork, when it is whole: the same for switches that are on. */
void trace_switches_forked(void);

/* Listeners that come late: `trace_late_tell` is called after somebody has begun to listen to
 * `trace_late_event`, or to any event while somebody listens to that one, or a recording of it was
 * opened; it fires the event for all that there is to be known. On the thread that changed it,
 * without the control lock. NULL: nothing is told. */
extern struct trace_event *trace_late_event;
extern void (*trace_late_tell)(void);
/* For sink.c: a recording was opened. Control lock held. */
void trace_late(void);

/* Forgets the rules of a sink, so that it can be freed. Control lock held. */
void trace_rules_drop(struct trace_sink *sink);

/* Which sink a newly switched on event without a rule goes to; `sink` counts as such from now on.
 * While there is none, the text log is. */
void trace_default_sink_add(struct trace_sink *sink);

/* Counts an LTTng session in or out as a listener. Control lock held. */
void trace_event_lttng(struct trace_event *event, bool live);

/* The control lock: protects states, rules and the list of sinks. Recursive. */
void trace_control_lock(void);
void trace_control_unlock(void);
/* In the child of a fork: the lock as new. */
void trace_control_reset(void);

/* While a thread holds, subscriptions that it reads (with an acquire load) are not freed: as if it
 * were inside trace_fire(). What it fires meanwhile goes through its nested block. NULL when the
 * host has no memory: then read nothing. Any thread; not across anything that waits. */
struct trace_thread *trace_hold(void);
void trace_release(struct trace_thread *self);

/* Called when who listens to an event has changed, with the control lock held: for whoever plants
 * probes in code that it generates. Must not call back. NULL: nobody asks. */
extern void (*trace_listeners_changed)(const struct trace_event *event);

/* Where an event with no rule and no default sink goes: set by control.c. */
extern struct trace_sink *(*trace_last_resort)(void);

#endif
