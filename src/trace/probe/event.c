/* SPDX-License-Identifier: MIT
 *
 * The registry of events, their states, and the rules that connect them to sinks. */
#include "trace/probe/event.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/glob.h"
#include "base/memory.h"

/* A rule. `event` limits it to one event where the pattern is not a name's (rules made for events
 * that were switched on without any). */
struct rule {
    char *pattern;
    struct trace_sink *sink;
    char *filter, *start, *stop;
    struct trace_gate gate;
    bool gated;
    unsigned toggle; /* 0: none */
    struct rule *next;
};

static pthread_mutex_t control;
static struct trace_group *groups, **groups_end = &groups;
static struct trace_event **events; /* by id */
static const char **event_groups;
static unsigned event_count, event_room;
static struct trace_event **index_table; /* open addressing, a power of two, at most half full */
static unsigned index_size;
static struct rule *rules, **rules_end = &rules;
static struct trace_sink *defaults[TRACE_RECORDINGS_MAX * 2];
static unsigned default_count;
static uint64_t switches_on;
static unsigned control_depth; /* how often the lock is held */
static bool late;              /* somebody is to be told what he missed */

struct trace_event *trace_late_event;
void (*trace_late_tell)(void);

/* What firing threads may still be reading; freed after the next trace_synchronize(). */
static struct retired {
    const struct trace_subscriptions *subs;
    struct retired *next;
} * retired;

struct trace_sink *(*trace_last_resort)(void);

/* Constructors register groups before main(), in any order: the lock must be ready on first use. */
void trace_control_reset(void)
{
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&control, &attr);
    pthread_mutexattr_destroy(&attr);
    control_depth = 0;
}

void trace_control_lock(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, trace_control_reset);
    pthread_mutex_lock(&control);
    control_depth++;
}

void trace_control_unlock(void)
{
    bool tell = --control_depth == 0 && late && trace_late_tell && trace_late_event->subscriptions;

    late = late && control_depth > 0;
    pthread_mutex_unlock(&control);
    if (tell) {
        trace_late_tell();
    }
}

void trace_late(void)
{
    late = true;
}

/* --- the registry --- */

/* Does a pattern name the event? One that QEMU declares with `tcg` is two, NAME_trans for when code
 * is translated and NAME_exec for when it runs, and NAME means both. */
static bool meets(const char *pattern, const struct trace_event *event)
{
    const char *name = event->decl->name;
    const size_t length = strlen(pattern);

    return glob_match(pattern, name) ||
           (!strncmp(name, pattern, length) && !strncmp(pattern, "guest_", 6) &&
            (!strcmp(name + length, "_trans") || !strcmp(name + length, "_exec")));
}

static uint32_t hash_name(const char *name)
{
    uint32_t hash = 2166136261u;
    for (; *name; name++) {
        hash = (hash ^ (uint8_t)*name) * 16777619u;
    }
    return hash;
}

static struct trace_event **index_slot(const char *name)
{
    unsigned i = hash_name(name) & (index_size - 1);
    while (index_table[i] && strcmp(index_table[i]->decl->name, name)) {
        i = (i + 1) & (index_size - 1);
    }
    return &index_table[i];
}

static void index_grow(void)
{
    free(index_table);
    index_size = index_size ? index_size * 2 : 1024;
    index_table = mem_alloc(index_size * sizeof *index_table);
    for (unsigned i = 0; i < event_count; i++) {
        *index_slot(events[i]->decl->name) = events[i];
    }
}

static void add_event(struct trace_event *event, const char *group)
{
    if (event_count == event_room) {
        /* Readers without the lock may hold the old table: it is kept. The sum of all is bounded by
         * twice the last. */
        struct trace_event **grown = mem_alloc((event_room * 2 + 256) * sizeof *grown);
        if (event_count) {
            memcpy(grown, events, event_count * sizeof *grown);
        }
        __atomic_store_n(&events, grown, __ATOMIC_RELEASE);
        event_room = event_room * 2 + 256;
        event_groups = mem_resize(event_groups, event_room, sizeof *event_groups);
    }
    if ((event_count + 1) * 2 > index_size) {
        index_grow();
    }
    struct trace_event **slot = index_slot(event->decl->name);
    if (*slot) {
        bug("event '%s' is declared twice, in the groups '%s' and '%s'", event->decl->name,
            trace_event_group(*slot), group);
    }
    *slot = event;
    event->id = event_count;
    events[event_count] = event;
    event_groups[event_count] = group;
    __atomic_store_n(&event_count, event_count + 1, __ATOMIC_RELEASE);
}

void trace_group_register(struct trace_group *group)
{
    trace_control_lock();
    *groups_end = group;
    groups_end = &group->next;
    for (unsigned i = 0; i < group->count; i++) {
        add_event(group->event[i], group->name);
    }
    trace_sinks_events_added();
    trace_control_unlock();
}

/* A declaration that was changed here. */
struct given {
    struct trace_decl decl;
    struct given *next;
};

/* The event's own declaration, made when it is changed for the first time. */
static struct trace_decl *own_decl(struct trace_event *event)
{
    static struct given *all;
    struct given *own = all;
    while (own && &own->decl != event->decl) {
        own = own->next;
    }
    if (!own) {
        own = mem_alloc(sizeof *own);
        *own = (struct given){*event->decl, all};
        all = own;
        event->decl = &own->decl;
    }
    return &own->decl;
}

void trace_event_give_words(struct trace_event *event, const char *argument,
                            const struct trace_words *words)
{
    struct trace_decl *decl = own_decl(event);
    unsigned i = 0;
    while (i < decl->nargs && strcmp(decl->arg[i].name, argument) != 0) {
        i++;
    }
    if (i == decl->nargs) {
        bug("event '%s' has no argument '%s' to give words to", decl->name, argument);
    }
    decl->arg[i].words = words;
}

unsigned trace_event_count(void)
{
    return __atomic_load_n(&event_count, __ATOMIC_ACQUIRE);
}

struct trace_event *trace_event_at(unsigned id)
{
    return id < trace_event_count() ? __atomic_load_n(&events, __ATOMIC_ACQUIRE)[id] : NULL;
}

struct trace_event *trace_event_find(const char *name)
{
    trace_control_lock();
    struct trace_event *event = index_size ? *index_slot(name) : NULL;
    trace_control_unlock();
    return event;
}

const char *trace_event_group(const struct trace_event *event)
{
    trace_control_lock();
    const char *group = event_groups[event->id];
    trace_control_unlock();
    return group;
}

/* --- subscriptions --- */

static void subscription_clear(struct trace_subscription *sub)
{
    trace_filter_free(sub->filter);
    trace_filter_free(sub->start);
    trace_filter_free(sub->stop);
}

static void subscriptions_free(const struct trace_subscriptions *subs)
{
    for (unsigned i = 0; subs && i < subs->count; i++) {
        struct trace_subscription row = subs->row[i];
        subscription_clear(&row);
    }
    free((void *)subs);
}

/* Frees what no thread can be reading any more. */
static void release_retired(void)
{
    if (!retired) {
        return;
    }
    trace_synchronize();
    while (retired) {
        struct retired *next = retired->next;
        subscriptions_free(retired->subs);
        free(retired);
        retired = next;
    }
}

static struct trace_filter *compile(const char *text, const struct trace_event *event,
                                    bool *unknown, struct error *err)
{
    unsigned count;
    const struct trace_field *fields = trace_context_fields(&count);
    return trace_filter_compile(text, event->decl, fields, count, unknown, err);
}

enum applied { APPLIED, LACKS_NAME, WRONG };

/* Compiles one expression of a rule; none is fine. */
static enum applied compile_part(const char *text, const struct trace_event *event,
                                 struct trace_filter **filter, struct error *err)
{
    bool unknown = false;
    *filter = NULL;
    if (!text) {
        return APPLIED;
    }
    *filter = compile(text, event, &unknown, err);
    return *filter ? APPLIED : unknown ? LACKS_NAME : WRONG;
}

/* A rule for one event. An event that lacks a name in start= or stop= is let through or stopped by
 * the others of the rule; one that lacks a name in filter= does not take part. */
static enum applied apply_rule(struct rule *rule, const struct trace_event *event,
                               struct trace_subscription *sub, struct error *err)
{
    *sub =
        (struct trace_subscription){.sink = rule->sink, .gate = rule->gated ? &rule->gate : NULL};
    enum applied result = compile_part(rule->filter, event, &sub->filter, err);
    if (result == APPLIED && (compile_part(rule->start, event, &sub->start, err) == WRONG ||
                              compile_part(rule->stop, event, &sub->stop, err) == WRONG)) {
        result = WRONG;
    }
    if (result != APPLIED) {
        subscription_clear(sub);
    }
    return result;
}

static unsigned rule_count(void)
{
    unsigned count = 0;
    for (struct rule *r = rules; r; r = r->next) {
        count++;
    }
    return count;
}

static bool is_active(const struct rule *r)
{
    return !r->toggle || (switches_on >> (r->toggle - 1) & 1);
}

/* All rules that take the event, those of one sink together. */
static struct trace_subscriptions *collect(const struct trace_event *event)
{
    struct trace_subscriptions *subs =
        mem_alloc(sizeof *subs + rule_count() * sizeof(struct trace_subscription));
    for (struct trace_sink *sink = trace_sinks(); sink; sink = sink->next) {
        for (struct rule *r = rules; r; r = r->next) {
            if (r->sink == sink && is_active(r) && meets(r->pattern, event) &&
                apply_rule(r, event, &subs->row[subs->count], NULL) == APPLIED) {
                subs->count++;
            }
        }
    }
    if (!subs->count) {
        free(subs);
        return NULL;
    }
    return subs;
}

void (*trace_listeners_changed)(const struct trace_event *event);

static void tell(const struct trace_event *event)
{
    if (trace_listeners_changed) {
        trace_listeners_changed(event);
    }
}

/* Gives firing threads the subscriptions that state and rules ask for. */
static void publish(struct trace_event *event)
{
    const struct trace_subscriptions *old = event->subscriptions;
    const struct trace_subscriptions *subs = event->on ? collect(event) : NULL;

    __atomic_store_n(&event->subscriptions, subs, __ATOMIC_RELEASE);
    __atomic_store_n(&event->enable->half.listeners, (uint16_t)((subs != NULL) + event->lttng_live),
                     __ATOMIC_RELEASE);
    if (old) {
        struct retired *r = mem_alloc(sizeof *r);
        *r = (struct retired){old, retired};
        retired = r;
    }
    late = late || (subs && event == trace_late_event);
    tell(event);
}

void trace_event_lttng(struct trace_event *event, bool live)
{
    __atomic_store_n(&event->lttng_live, live, __ATOMIC_RELAXED);
    __atomic_store_n(&event->enable->half.listeners,
                     (uint16_t)((event->subscriptions != NULL) + live), __ATOMIC_RELEASE);
    tell(event);
}

/* --- rules --- */

static void rule_free(struct rule *r)
{
    free(r->pattern);
    free(r->filter);
    free(r->start);
    free(r->stop);
    free(r);
}

static struct rule *rule_new(const char *pattern, struct trace_sink *sink,
                             const struct trace_rule_options *options)
{
    static const struct trace_rule_options none;
    const struct trace_rule_options *o = options ? options : &none;
    struct rule *r = mem_alloc(sizeof *r);
    r->pattern = mem_string(pattern);
    r->sink = sink;
    r->filter = mem_string(o->filter);
    r->start = mem_string(o->start);
    r->stop = mem_string(o->stop);
    r->gated = o->limited || o->start || o->stop;
    r->gate.limited = o->limited;
    r->gate.left = (int64_t)(o->limit > INT64_MAX ? INT64_MAX : o->limit);
    r->gate.started = !o->start;
    r->toggle = o->toggle;
    return r;
}

static void rule_append(struct rule *r)
{
    *rules_end = r;
    rules_end = &r->next;
}

/* Tries a rule on every event it meets, without keeping anything. */
static bool rule_check(struct rule *r, struct trace_match *match, struct error *err)
{
    struct error first = {{0}};
    bool start_used = !r->start, stop_used = !r->stop;

    for (unsigned i = 0; i < event_count; i++) {
        struct trace_subscription sub;
        if (!meets(r->pattern, events[i])) {
            continue;
        }
        match->events++;
        match->unavailable += events[i]->decl->disabled;
        struct error reason;
        enum applied result = apply_rule(r, events[i], &sub, &reason);
        if (result == WRONG) {
            if (err) {
                *err = reason;
            }
            return false;
        }
        if (result == LACKS_NAME) {
            match->without++;
            first = match->without == 1 ? reason : first;
            continue;
        }
        start_used = start_used || sub.start;
        stop_used = stop_used || sub.stop;
        if ((r->start && !sub.start) || (r->stop && !sub.stop)) {
            struct trace_filter *unused;
            compile_part(sub.start ? r->stop : r->start, events[i], &unused, &first);
        }
        subscription_clear(&sub);
    }
    if (match->events && (match->without == match->events || !start_used || !stop_used)) {
        if (err) {
            *err = first;
        }
        return false;
    }
    return true;
}

static bool takes_part(struct rule *r, const struct trace_event *event)
{
    struct trace_subscription sub;
    if (apply_rule(r, event, &sub, NULL) != APPLIED) {
        return false;
    }
    subscription_clear(&sub);
    return true;
}

bool trace_rule_add(const char *pattern, struct trace_sink *sink,
                    const struct trace_rule_options *options, struct trace_match *match,
                    struct error *err)
{
    struct trace_match ignored;
    match = match ? match : &ignored;
    *match = (struct trace_match){0};

    trace_control_lock();
    struct rule *r = rule_new(pattern, sink, options);
    bool ok = rule_check(r, match, err);
    if (!ok) {
        rule_free(r);
    } else {
        rule_append(r);
        for (unsigned i = 0; i < event_count; i++) {
            struct trace_event *event = events[i];
            if (!event->decl->disabled && meets(pattern, event) && takes_part(r, event)) {
                if (is_active(r)) {
                    __atomic_store_n(&event->on, true, __ATOMIC_RELAXED);
                }
                publish(event);
            }
        }
        release_retired();
    }
    trace_control_unlock();
    return ok;
}

void trace_default_sink_add(struct trace_sink *sink)
{
    trace_control_lock();
    bool known = false;
    for (unsigned i = 0; i < default_count; i++) {
        known = known || defaults[i] == sink;
    }
    if (!known && default_count < sizeof defaults / sizeof *defaults) {
        defaults[default_count++] = sink;
    }
    trace_control_unlock();
}

/* Somewhere to go for an event that was switched on by name alone. */
static void give_default_rules(struct trace_event *event)
{
    for (struct rule *r = rules; r; r = r->next) {
        if (is_active(r) && meets(r->pattern, event) && takes_part(r, event)) {
            return;
        }
    }
    for (unsigned i = 0; i < default_count; i++) {
        rule_append(rule_new(event->decl->name, defaults[i], NULL));
    }
    if (!default_count && trace_last_resort) {
        rule_append(rule_new(event->decl->name, trace_last_resort(), NULL));
    }
}

static void set_state(struct trace_event *event, bool on)
{
    if (event->decl->disabled) {
        return;
    }
    event->by_switch = false;
    if (event->on == on) {
        return;
    }
    if (on) {
        give_default_rules(event);
        late = true;
    }
    __atomic_store_n(&event->on, on, __ATOMIC_RELAXED);
    publish(event);
}

void trace_event_set(struct trace_event *event, bool on)
{
    trace_control_lock();
    set_state(event, on);
    release_retired();
    trace_control_unlock();
}

void trace_state_set(const char *pattern, bool on, struct trace_match *match)
{
    *match = (struct trace_match){0};
    trace_control_lock();
    for (unsigned i = 0; i < event_count; i++) {
        if (meets(pattern, events[i])) {
            match->events++;
            match->unavailable += events[i]->decl->disabled;
            set_state(events[i], on);
        }
    }
    release_retired();
    trace_control_unlock();
}

/* --- switches --- */

/* Whether a rule of this switch, or, with `number` 0, of any that is on, has to do with the event.
 */
static bool is_switched(const struct trace_event *event, unsigned number)
{
    for (struct rule *r = rules; r; r = r->next) {
        if (r->toggle && (number ? r->toggle == number : is_active(r)) &&
            meets(r->pattern, event) && takes_part(r, event)) {
            return true;
        }
    }
    return false;
}

/* Recordings that are left to the parent of a fork go on, in files of this process. */
static void own_recordings(void)
{
    for (struct rule *r = rules; r; r = r->next) {
        struct trace_sink *sink = r->sink;
        struct error err;
        if (!r->toggle || !is_active(r) || !sink->inherited) {
            continue;
        }
        char *file = mem_format("%s-%d", sink->options.file, (int)getpid());
        free(sink->options.file);
        sink->options.file = file;
        sink->inherited = false;
        if (!trace_sink_on(sink, &err)) {
            fprintf(stderr, "%s: %s\n", program_invocation_short_name, err.text);
        }
    }
}

uint64_t trace_switches(void)
{
    uint64_t set = 0;

    trace_control_lock();
    for (struct rule *r = rules; r; r = r->next) {
        set |= r->toggle ? UINT64_C(1) << (r->toggle - 1) : 0;
    }
    trace_control_unlock();
    return set;
}

uint64_t trace_switches_on(void)
{
    return __atomic_load_n(&switches_on, __ATOMIC_RELAXED);
}

static void set_switched(struct trace_event *event, bool on)
{
    if (on && !event->on) {
        event->by_switch = true;
        __atomic_store_n(&event->on, true, __ATOMIC_RELAXED);
    } else if (!on && event->by_switch && !is_switched(event, 0)) {
        event->by_switch = false;
        __atomic_store_n(&event->on, false, __ATOMIC_RELAXED);
    }
    publish(event);
}

void trace_switch(unsigned number, bool on)
{
    const uint64_t bit = UINT64_C(1) << (number - 1);

    trace_control_lock();
    if (on != !!(switches_on & bit)) {
        __atomic_store_n(&switches_on, switches_on ^ bit, __ATOMIC_RELAXED);
        own_recordings();
        for (unsigned i = 0; i < event_count; i++) {
            if (!events[i]->decl->disabled && is_switched(events[i], number)) {
                set_switched(events[i], on);
            }
        }
        release_retired();
        late = late || on;
    }
    trace_control_unlock();
}

void trace_switches_forked(void)
{
    trace_control_lock();
    own_recordings();
    trace_control_unlock();
}

void trace_rules_drop(struct trace_sink *sink)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < default_count; i++) {
        if (defaults[i] != sink) {
            defaults[kept++] = defaults[i];
        }
    }
    default_count = kept;

    struct rule *dropped = NULL;
    for (struct rule **at = &rules; *at;) {
        struct rule *r = *at;
        if (r->sink == sink) {
            *at = r->next;
            r->next = dropped;
            dropped = r;
        } else {
            at = &r->next;
        }
    }
    rules_end = &rules;
    while (*rules_end) {
        rules_end = &(*rules_end)->next;
    }
    for (unsigned i = 0; dropped && i < event_count; i++) {
        if (events[i]->subscriptions) {
            publish(events[i]);
        }
    }
    /* Subscriptions point at the gates inside rules: synchronize before they go. */
    release_retired();
    while (dropped) {
        struct rule *next = dropped->next;
        rule_free(dropped);
        dropped = next;
    }
}
