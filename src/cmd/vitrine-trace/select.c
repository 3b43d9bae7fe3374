/* SPDX-License-Identifier: MIT
 *
 * Selecting records by name and by filter. */
#include "cmd/vitrine-trace/select.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/glob.h"
#include "base/memory.h"

enum {
    FIELD_EVENT,
    FIELD_PID,
    FIELD_THREAD,
    FIELD_TIME,
    FIELDS_ALWAYS,
    FIELD_MODULE = FIELDS_ALWAYS,
    FIELD_SYMBOL,
    FIELDS
};

static const struct trace_field fields[FIELDS] = {
    [FIELD_EVENT] = {"event", TRACE_STRING, "name of the event"},
    [FIELD_PID] = {"pid", TRACE_UNSIGNED, "process"},
    [FIELD_THREAD] = {"thread", TRACE_UNSIGNED, "host thread"},
    [FIELD_TIME] = {"time", TRACE_UNSIGNED, "ns on the recording's clock"},
    [FIELD_MODULE] = {"module", TRACE_STRING, "file name of the module that pc is in"},
    [FIELD_SYMBOL] = {"symbol", TRACE_STRING, "symbol that pc is in"},
};

struct field_source {
    const struct trace_record *record;
    struct places *places;
};

static uint64_t place_value(const struct field_source *from, bool symbol, uint32_t *length)
{
    struct symbol_info info;
    places_of(from->places, from->record, &info);
    const char *text = symbol ? info.symbol : info.module;
    *length = text ? (uint32_t)strlen(text) : 0;
    return (uintptr_t)text;
}

static uint64_t field_value(void *opaque, unsigned field, uint32_t *length)
{
    const struct field_source *from = opaque;
    const struct trace_record *record = from->record;
    switch (field) {
    case FIELD_EVENT:
        *length = (uint32_t)strlen(record->decl->name);
        return (uintptr_t)record->decl->name;
    case FIELD_PID: return record->pid;
    case FIELD_THREAD: return record->thread;
    case FIELD_MODULE:
    case FIELD_SYMBOL: return place_value(from, field == FIELD_SYMBOL, length);
    default: return record->time;
    }
}

/* How many of the fields there are. */
static unsigned field_count(const struct select *s)
{
    return s->places ? FIELDS : FIELDS_ALWAYS;
}

bool select_begin(struct select *s, const char *filter, const struct flag_list *patterns,
                  struct places *places, struct error *err)
{
    *s = (struct select){
        .filter = filter, .pattern = patterns->row, .patterns = patterns->count, .places = places};
    s->all = !filter && !patterns->count && !places;
    if (filter) {
        /* An event without arguments: what is wrong now is wrong for every event, but for names. */
        static const struct trace_decl nothing = {.name = "any", .format = ""};
        bool unknown = false;
        struct trace_filter *probe =
            trace_filter_compile(filter, &nothing, fields, field_count(s), &unknown, err);
        if (!probe && !unknown) {
            return false;
        }
        trace_filter_free(probe);
    }
    if (s->patterns) {
        s->pattern_hit = mem_alloc(s->patterns * sizeof *s->pattern_hit);
    }
    return true;
}

static bool wanted_by_name(struct select *s, const char *name)
{
    bool wanted = !s->patterns;
    for (unsigned i = 0; i < s->patterns; i++) {
        if (glob_match(s->pattern[i], name)) {
            s->pattern_hit[i] = wanted = true;
        }
    }
    return wanted;
}

/* Decides about an event when its first record comes. */
static void decide(struct select *s, struct select_event *event, const struct trace_decl *decl)
{
    event->seen = true;
    event->wanted = wanted_by_name(s, decl->name);
    if (event->wanted && s->filter) {
        bool unknown = false;
        struct error err;
        event->filter =
            trace_filter_compile(s->filter, decl, fields, field_count(s), &unknown, &err);
        event->wanted = event->filter != NULL;
        s->filter_fits |= event->wanted;
        s->unfit += !event->wanted && unknown;
        if (!event->wanted && !s->failed && (!unknown || !*s->err.text)) {
            s->err = err;
        }
        s->failed |= !event->wanted && !unknown;
    }
}

bool select_match_slow(struct select *s, const struct trace_record *record)
{
    if (record->event >= s->events) {
        unsigned events = record->event + 1 > 2 * s->events ? record->event + 1 : 2 * s->events;
        s->event = mem_resize(s->event, events, sizeof *s->event);
        memset(s->event + s->events, 0, (events - s->events) * sizeof *s->event);
        s->events = events;
    }
    if (s->places) {
        places_take(s->places, record);
    }
    struct select_event *event = &s->event[record->event];
    if (!event->seen) {
        decide(s, event, record->decl);
    }
    if (!event->wanted || !event->filter) {
        return event->wanted && !s->failed;
    }
    struct field_source from = {record, s->places};
    struct trace_filter_input input = {.values = record->values,
                                       .lengths = record->lengths,
                                       .field = field_value,
                                       .opaque = &from};
    return trace_filter_match(event->filter, &input) && !s->failed;
}

void select_restart(struct select *s)
{
    for (unsigned i = 0; i < s->events; i++) {
        trace_filter_free(s->event[i].filter);
    }
    free(s->event);
    s->event = NULL;
    s->events = 0;
    if (s->places) {
        places_restart(s->places);
    }
}

bool select_end(struct select *s, const struct command *self, struct error *err)
{
    bool fine = !s->failed && (s->filter_fits || !*s->err.text);
    if (!fine && err) {
        *err = s->err;
    }
    for (unsigned i = 0; i < s->patterns && fine; i++) {
        if (!s->pattern_hit[i]) {
            fprintf(stderr, "vitrine-trace %s: warning: no record of an event '%s'\n", self->name,
                    s->pattern[i]);
        }
    }
    select_restart(s);
    free(s->pattern_hit);
    *s = (struct select){.all = true};
    return fine;
}
