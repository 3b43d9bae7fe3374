/* SPDX-License-Identifier: MIT
 *
 * Names for addresses: following the modules of each process. */
#include "cmd/vitrine-trace/places.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { KIND_OTHER, KIND_MODULE, KIND_GONE };
enum { NO_ARGUMENT = TRACE_VALUES_MAX };

void places_begin(struct places *places, bool lines)
{
    *places = (struct places){.style = SYMBOL_FULL | (lines ? SYMBOL_LINE : 0)};
}

void places_restart(struct places *places)
{
    for (unsigned i = 0; i < places->processes; i++) {
        symbol_space_free(places->process[i].space);
    }
    free(places->process);
    free(places->event);
    *places = (struct places){.style = places->style};
}

void places_end(struct places *places)
{
    places_restart(places);
}

/* --- events --- */

static uint8_t argument(const struct trace_decl *decl, const char *name, bool text)
{
    for (unsigned i = 0; i < decl->nargs; i++) {
        if (!strcmp(decl->arg[i].name, name) && (decl->arg[i].kind == TRACE_STRING) == text) {
            return (uint8_t)i;
        }
    }
    return NO_ARGUMENT;
}

static void look(struct places_event *event, const struct trace_decl *decl)
{
    *event = (struct places_event){
        .seen = true,
        .start = argument(decl, "start", false),
        .end = argument(decl, "end", false),
        .offset = argument(decl, "offset", false),
        .path = argument(decl, "path", true),
        .pc = argument(decl, "pc", false),
    };
    if (event->pc == NO_ARGUMENT) {
        event->pc = argument(decl, "ctx_pc", false);
    }
    bool range = event->start != NO_ARGUMENT && event->end != NO_ARGUMENT;
    if (!strcmp(decl->name, "guest_module") && range && event->offset != NO_ARGUMENT &&
        event->path != NO_ARGUMENT) {
        event->kind = KIND_MODULE;
    } else if (!strcmp(decl->name, "guest_module_gone") && range) {
        event->kind = KIND_GONE;
    }
    for (unsigned i = 0; i < decl->nargs && event->kind == KIND_OTHER; i++) {
        const struct trace_arg *arg = &decl->arg[i];
        bool wide = arg->kind == TRACE_POINTER || (arg->kind == TRACE_UNSIGNED && arg->bits == 64);
        event->addresses |= wide && !arg->words ? UINT32_C(1) << i : 0;
    }
}

static const struct places_event *event_of(struct places *places, const struct trace_record *record)
{
    if (record->event >= places->events) {
        unsigned more =
            record->event + 1 > 2 * places->events ? record->event + 1 : 2 * places->events;
        places->event = mem_resize(places->event, more, sizeof *places->event);
        memset(places->event + places->events, 0, (more - places->events) * sizeof *places->event);
        places->events = more;
    }
    struct places_event *event = &places->event[record->event];
    if (!event->seen) {
        look(event, record->decl);
    }
    return event;
}

/* --- processes --- */

static bool switch_to(struct places *places, uint32_t pid)
{
    if (places->current < places->processes && places->process[places->current].pid == pid) {
        return true;
    }
    for (unsigned i = 0; i < places->processes; i++) {
        if (places->process[i].pid == pid) {
            places->current = i;
            return true;
        }
    }
    return false;
}

static struct symbol_space *space_for(struct places *places, uint32_t pid)
{
    if (!switch_to(places, pid) && places->processes < PLACES_PROCESSES_MAX) {
        places->process =
            mem_resize(places->process, places->processes + 1, sizeof *places->process);
        places->current = places->processes++;
        places->process[places->current] = (struct places_process){pid, symbol_space_new(NULL)};
    }
    return places->process[places->current].space;
}

static struct symbol_space *space_of(struct places *places, uint32_t pid)
{
    switch_to(places, pid);
    return places->processes ? places->process[places->current].space : NULL;
}

static void add_module(struct places *places, const struct places_event *event,
                       const struct trace_record *record)
{
    const uint64_t *value = record->values;
    const char *text = (const char *)(uintptr_t)value[event->path];
    char *path = mem_stringn(text ? text : "", text ? record->lengths[event->path] : 0);
    symbol_module_add(space_for(places, record->pid), path, value[event->start], value[event->end],
                      value[event->offset]);
    free(path);
}

bool places_take(struct places *places, const struct trace_record *record)
{
    const struct places_event *event = event_of(places, record);
    if (event->kind == KIND_MODULE) {
        add_module(places, event, record);
    } else if (event->kind == KIND_GONE) {
        symbol_module_remove(space_for(places, record->pid), record->values[event->start],
                             record->values[event->end]);
    }
    return event->kind != KIND_OTHER;
}

bool places_pc(struct places *places, const struct trace_record *record, uint64_t *pc)
{
    const struct places_event *event = event_of(places, record);
    *pc = event->pc != NO_ARGUMENT ? record->values[event->pc] : 0;
    return event->pc != NO_ARGUMENT;
}

bool places_at(struct places *places, const struct trace_record *record, uint64_t pc, bool line,
               struct symbol_info *info)
{
    struct symbol_space *space = space_of(places, record->pid);
    *info = (struct symbol_info){0};
    return space && (line ? symbol_find_line : symbol_find)(space, pc, info);
}

bool places_of(struct places *places, const struct trace_record *record, struct symbol_info *info)
{
    uint64_t pc;
    *info = (struct symbol_info){0};
    return places_pc(places, record, &pc) && places_at(places, record, pc, false, info);
}

bool places_name(struct places *places, const struct trace_record *record, unsigned argument,
                 struct strbuf *text)
{
    const struct places_event *event = event_of(places, record);
    struct symbol_space *space = space_of(places, record->pid);
    return event->addresses >> argument & 1 && space &&
           symbol_format(space, record->values[argument], places->style, text);
}
