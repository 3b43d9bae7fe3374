/* SPDX-License-Identifier: MIT
 *
 * JSON Lines: one object a line,
 *
 *     {"event":"pci_cfg_read","time":2127094033280,"pid":5545,"thread":0,"args":{"dev":"i440FX",...}}
 *
 * time is in nanoseconds. Integers and addresses are decimal numbers of up to 64 bits (a reader
 * that keeps numbers as doubles loses the lowest bits above 2^53), booleans true or false, a
 * missing string null.
 */
#include "cmd/vitrine-trace/to.h"

#include <string.h>

#include "base/memory.h"
#include "cmd/vitrine-trace/to_json.h"

struct json_args {
    unsigned nargs;
    /* `"name":`, with a comma in front where one belongs. */
    struct strbuf key[TRACE_VALUES_MAX];
    struct strbuf word_key[TRACE_VALUES_MAX]; /* empty: no word is written */
};

struct json_event {
    struct strbuf head; /* {"event":"name","time": */
    struct json_args *args;
};

struct sink_json {
    struct sink sink;
    struct output *out;
    struct event_table table;
    struct strbuf scratch;
};

static void json_key(struct strbuf *key, const char *name, bool first)
{
    /* Names are identifiers: there is nothing to escape in them. */
    strbuf_printf(key, "%s\"%s\":", first ? "" : ",", name);
}

struct json_args *json_args_new(const struct trace_decl *decl)
{
    struct json_args *args = mem_alloc(sizeof(*args));

    args->nargs = decl->nargs;
    for (unsigned i = 0; i < decl->nargs; i++) {
        strbuf_init(&args->key[i]);
        strbuf_init(&args->word_key[i]);
        json_key(&args->key[i], decl->arg[i].name, i == 0);
        char *word = word_name(decl, i);
        if (word != NULL) {
            json_key(&args->word_key[i], word, false);
            free(word);
        }
    }
    return args;
}

void json_args_free(struct json_args *args)
{
    for (unsigned i = 0; i < args->nargs; i++) {
        strbuf_free(&args->key[i]);
        strbuf_free(&args->word_key[i]);
    }
    free(args);
}

void json_signed(struct output *out, uint64_t value)
{
    if ((int64_t)value < 0) {
        output_add(out, "-", 1);
        value = -value;
    }
    output_decimal(out, value);
}

static void json_value(struct output *out, enum trace_kind kind, uint64_t value, uint32_t length)
{
    switch (kind) {
    case TRACE_UNSIGNED:
    case TRACE_POINTER: output_decimal(out, value); break;
    case TRACE_SIGNED: json_signed(out, value); break;
    case TRACE_BOOL:
        if (value != 0) {
            output_add(out, "true", 4);
        } else {
            output_add(out, "false", 5);
        }
        break;
    case TRACE_STRING:
        if (value == 0) {
            output_add(out, "null", 4);
        } else {
            text_json(out, (const char *)(uintptr_t)value, length);
        }
        break;
    }
}

void json_args_write(const struct json_args *args, struct output *out, struct strbuf *scratch,
                     const struct trace_record *record)
{
    const struct trace_decl *decl = record->decl;

    output_add(out, "{", 1);
    for (unsigned i = 0; i < args->nargs; i++) {
        const struct trace_arg *arg = &decl->arg[i];

        output_add(out, args->key[i].data, args->key[i].len);
        json_value(out, arg->kind, record->values[i],
                   arg->kind == TRACE_STRING ? record->lengths[i] : 0);
        if (args->word_key[i].len > 0) {
            strbuf_clear(scratch);
            if (record_word(scratch, record, i)) {
                output_add(out, args->word_key[i].data, args->word_key[i].len);
                text_json(out, scratch->data, scratch->len);
            }
        }
    }
    output_add(out, "}", 1);
}

static struct sink *json_begin(const struct sink_options *options, struct error *err)
{
    struct sink_json *s = mem_alloc(sizeof(*s));

    s->out = output_open(options->path, err);
    if (s->out == NULL) {
        free(s);
        return NULL;
    }
    strbuf_init(&s->scratch);
    return &s->sink;
}

static struct json_event *json_event_new(const struct trace_decl *decl)
{
    struct json_event *e = mem_alloc(sizeof(*e));

    strbuf_init(&e->head);
    strbuf_printf(&e->head, "{\"event\":\"%s\",\"time\":", decl->name);
    e->args = json_args_new(decl);
    return e;
}

static void json_event_free(void *row)
{
    struct json_event *e = row;

    strbuf_free(&e->head);
    json_args_free(e->args);
    free(e);
}

static bool json_record(struct sink *sink, const struct trace_record *record)
{
    struct sink_json *s = (struct sink_json *)sink;
    void **slot = event_table_slot(&s->table, record->event);

    if (*slot == NULL) {
        *slot = json_event_new(record->decl);
    }

    const struct json_event *e = *slot;
    output_add(s->out, e->head.data, e->head.len);
    output_decimal(s->out, record->time);
    output_add(s->out, ",\"pid\":", 7);
    output_decimal(s->out, record->pid);
    output_add(s->out, ",\"thread\":", 10);
    output_decimal(s->out, record->thread);
    output_add(s->out, ",\"args\":", 8);
    json_args_write(e->args, s->out, &s->scratch, record);
    output_add(s->out, "}\n", 2);
    return !output_failed(s->out, NULL);
}

static bool json_end(struct sink *sink, struct error *err)
{
    struct sink_json *s = (struct sink_json *)sink;
    bool ok = output_close(s->out, err);

    event_table_free(&s->table, json_event_free);
    strbuf_free(&s->scratch);
    free(s);
    return ok;
}

const struct sink_format sink_json = {
    .name = "json",
    .summary = "JSON Lines: one object a line",
    .begin = json_begin,
    .record = json_record,
    .end = json_end,
};
