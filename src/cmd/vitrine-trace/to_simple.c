/* SPDX-License-Identifier: MIT
 *
 * Version 4 of QEMU's simple format, with the declarations of the events that occur in FILE.events
 * beside it. A name's mapping record goes in front of its first use, and its declaration is added
 * to FILE.events at the same moment, so that the pair is readable even if the work is cut short.
 */
#include "cmd/vitrine-trace/to.h"

#include <string.h>

#include "base/memory.h"
#include "trace/record.h"

struct simple_event {
    uint64_t id;
    bool strings;
};

struct sink_simple {
    struct sink sink;
    struct output *out;
    struct output *events; /* NULL when writing to standard output */
    struct event_table table;
    uint64_t next_id;
    const struct trace_words **words; /* sets that are in FILE.events */
    unsigned nwords;
    struct error failure; /* of our own, beside those the outputs keep */
    bool failed;
};

static uint8_t *put_u32(uint8_t *p, uint32_t value)
{
    memcpy(p, &value, sizeof(value));
    return p + sizeof(value);
}

static uint8_t *put_u64(uint8_t *p, uint64_t value)
{
    memcpy(p, &value, sizeof(value));
    return p + sizeof(value);
}

static struct sink *simple_begin(const struct sink_options *options, struct error *err)
{
    struct sink_simple *s = mem_alloc(sizeof(*s));

    s->out = output_open(options->path, err);
    if (s->out == NULL) {
        free(s);
        return NULL;
    }
    if (strcmp(options->path, "-") != 0) {
        char *path = simple_events_path(options->path);
        s->events = output_open(path, err);
        free(path);
        if (s->events == NULL) {
            output_close(s->out, NULL);
            free(s);
            return NULL;
        }
    }

    uint8_t *p = output_room(s->out, TRACE_FILE_HEAD);
    p = put_u64(p, TRACE_HEADER_ID);
    p = put_u64(p, TRACE_HEADER_MAGIC);
    s->out->cur = put_u64(p, 4);
    return &s->sink;
}

/* Adds a set of words to FILE.events unless it is there. False if another set has its name. */
static bool simple_words(struct sink_simple *s, struct strbuf *text,
                         const struct trace_words *words, const char *event)
{
    for (unsigned i = 0; i < s->nwords; i++) {
        if (trace_words_same(s->words[i], words)) {
            return true;
        }
        if (strcmp(s->words[i]->name, words->name) == 0) {
            return error_set(&s->failure,
                             "event %s uses a set of words named '%s' that differs from the "
                             "one that an earlier event uses: one recording cannot hold both",
                             event, words->name);
        }
    }
    s->words = mem_resize(s->words, s->nwords + 1, sizeof(struct trace_words *));
    s->words[s->nwords++] = words;
    trace_words_print(text, words);
    return true;
}

/* Writes the declaration as the records will be. Version 0 of the format kept addresses where the
 * declaration says strings; we write those as what they are. */
static void simple_print(struct strbuf *text, const struct trace_decl *decl)
{
    struct trace_decl copy = *decl;

    for (unsigned i = 0; i < copy.nargs; i++) {
        if (copy.arg[i].kind == TRACE_POINTER && strstr(copy.arg[i].type, "char") != NULL) {
            copy.arg[i].type = "void *";
        }
    }
    trace_decl_print(text, &copy);
}

/* The first time an event occurs. NULL if it cannot be declared. */
static struct simple_event *simple_declare(struct sink_simple *s, const struct trace_record *record)
{
    const struct trace_decl *decl = record->decl;
    struct simple_event *e = mem_alloc(sizeof(*e));

    e->strings = decl->strings != 0;
    if (record_is_loss(record)) {
        e->id = TRACE_DROPPED_ID;
        return e;
    }

    size_t len = strlen(decl->name);
    e->id = s->next_id++;
    uint8_t *p = output_room(s->out, 20);
    p = put_u64(p, TRACE_TYPE_MAPPING);
    p = put_u64(p, e->id);
    s->out->cur = put_u32(p, (uint32_t)len);
    output_add(s->out, decl->name, len);

    if (s->events != NULL) {
        struct strbuf text;
        bool ok = true;

        strbuf_init(&text);
        for (unsigned i = 0; i < decl->nargs && ok; i++) {
            ok = decl->arg[i].words == NULL ||
                 simple_words(s, &text, decl->arg[i].words, decl->name);
        }
        simple_print(&text, decl);
        if (ok) {
            output_add(s->events, text.data, text.len);
            output_flush(s->events);
        }
        strbuf_free(&text);
        if (!ok) {
            s->failed = true;
            free(e);
            return NULL;
        }
    }
    return e;
}

static bool simple_record(struct sink *sink, const struct trace_record *record)
{
    struct sink_simple *s = (struct sink_simple *)sink;
    const struct trace_decl *decl = record->decl;
    void **slot = event_table_slot(&s->table, record->event);
    uint32_t len = TRACE_RECORD_HEAD - TRACE_RECORD_TYPE + 8 * decl->nargs;

    if (*slot == NULL) {
        *slot = simple_declare(s, record);
        if (*slot == NULL) {
            return false;
        }
    }

    const struct simple_event *e = *slot;
    if (e->strings) {
        for (unsigned i = 0; i < decl->nargs; i++) {
            if (decl->strings >> i & 1) {
                len += record->values[i] != 0 ? record->lengths[i] - 4 : (uint32_t)-4;
            }
        }
    }

    uint8_t *p = output_room(s->out, TRACE_RECORD_HEAD + 8 * TRACE_VALUES_MAX);
    p = put_u64(p, TRACE_TYPE_EVENT);
    p = put_u64(p, e->id);
    p = put_u64(p, record->time);
    p = put_u32(p, len);
    p = put_u32(p, record->pid);
    if (!e->strings) {
        memcpy(p, record->values, 8 * (size_t)decl->nargs);
        s->out->cur = p + 8 * (size_t)decl->nargs;
        return !output_failed(s->out, NULL);
    }

    s->out->cur = p;
    for (unsigned i = 0; i < decl->nargs; i++) {
        if (decl->strings >> i & 1) {
            uint32_t length = record->values[i] != 0 ? record->lengths[i] : 0;
            output_add(s->out, &length, sizeof(length));
            output_add(s->out, (const void *)(uintptr_t)record->values[i], length);
        } else {
            output_add(s->out, &record->values[i], 8);
        }
    }
    return !output_failed(s->out, NULL);
}

static bool simple_end(struct sink *sink, struct error *err)
{
    struct sink_simple *s = (struct sink_simple *)sink;
    bool ok = output_close(s->out, err);

    if (s->events != NULL && !output_close(s->events, ok ? err : NULL)) {
        ok = false;
    }
    if (ok && s->failed) {
        ok = false;
        if (err != NULL) {
            *err = s->failure;
        }
    }
    event_table_free(&s->table, free);
    free(s->words);
    free(s);
    return ok;
}

const struct sink_format sink_simple = {
    .name = "simple",
    .summary = "QEMU's simple format, version 4; declarations go into FILE.events",
    .begin = simple_begin,
    .record = simple_record,
    .end = simple_end,
};
