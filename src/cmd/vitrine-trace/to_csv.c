/* SPDX-License-Identifier: MIT
 *
 * CSV as RFC 4180 has it (CRLF, quotation marks doubled), in one of two forms:
 *
 *     time,event,pid,thread,arguments      every event; arguments as name=value pairs in one field,
 *                                          strings of them in quotation marks with JSON's escapes
 *     time,pid,thread,ARG,ARG,...          one event, an argument a column; behind an argument with
 *                                          words a column ARG_word
 *
 * Numbers are decimal, booleans 0 or 1.
 */
#include "cmd/vitrine-trace/to.h"

#include <string.h>

#include "base/memory.h"
#include "cmd/vitrine-trace/text.h"
#include "cmd/vitrine-trace/to_json.h"

struct csv_event {
    struct strbuf name;                       /* ,name, */
    struct strbuf key[TRACE_VALUES_MAX];      /* name= with a blank in front where one belongs */
    struct strbuf word_key[TRACE_VALUES_MAX]; /* empty: no word is written */
    bool quoted;                              /* strings or words: the field needs quoting */
    bool wanted;
    unsigned nargs;
};

struct sink_csv {
    struct sink sink;
    struct output *out;
    struct event_table table;
    char *only; /* the event that has columns, or NULL */
    bool found; /* its header line is written */
    struct strbuf scratch;
};

static struct sink *csv_begin(const struct sink_options *options, struct error *err)
{
    struct sink_csv *s = mem_alloc(sizeof(*s));

    s->out = output_open(options->path, err);
    if (s->out == NULL) {
        free(s);
        return NULL;
    }
    s->only = mem_string(options->event);
    strbuf_init(&s->scratch);
    if (s->only == NULL) {
        output_puts(s->out, "time,event,pid,thread,arguments\r\n");
    }
    return &s->sink;
}

static void csv_columns(struct sink_csv *s, const struct trace_decl *decl,
                        const struct csv_event *e)
{
    output_puts(s->out, "time,pid,thread");
    for (unsigned i = 0; i < decl->nargs; i++) {
        output_putc(s->out, ',');
        output_puts(s->out, decl->arg[i].name);
        if (e->word_key[i].len > 0) {
            output_putc(s->out, ',');
            output_puts(s->out, decl->arg[i].name);
            output_puts(s->out, "_word");
        }
    }
    output_puts(s->out, "\r\n");
    s->found = true;
}

static struct csv_event *csv_event_new(struct sink_csv *s, const struct trace_decl *decl)
{
    struct csv_event *e = mem_alloc(sizeof(*e));

    e->nargs = decl->nargs;
    e->quoted = decl->strings != 0;
    e->wanted = s->only == NULL || strcmp(s->only, decl->name) == 0;
    strbuf_init(&e->name);
    strbuf_printf(&e->name, ",%s,", decl->name);
    for (unsigned i = 0; i < decl->nargs; i++) {
        strbuf_init(&e->key[i]);
        strbuf_init(&e->word_key[i]);
        strbuf_printf(&e->key[i], "%s%s=", i == 0 ? "" : " ", decl->arg[i].name);
        char *word = word_name(decl, i);
        if (word != NULL) {
            strbuf_printf(&e->word_key[i], " %s=", word);
            e->quoted = true;
            free(word);
        }
    }
    if (e->wanted && s->only != NULL) {
        csv_columns(s, decl, e);
    }
    return e;
}

static void csv_event_free(void *row)
{
    struct csv_event *e = row;

    strbuf_free(&e->name);
    for (unsigned i = 0; i < e->nargs; i++) {
        strbuf_free(&e->key[i]);
        strbuf_free(&e->word_key[i]);
    }
    free(e);
}

static void csv_number(struct output *out, enum trace_kind kind, uint64_t value)
{
    if (kind == TRACE_SIGNED) {
        json_signed(out, value);
    } else if (kind == TRACE_BOOL) {
        output_add(out, value != 0 ? "1" : "0", 1);
    } else {
        output_decimal(out, value);
    }
}

static void csv_pairs(struct sink_csv *s, const struct csv_event *e,
                      const struct trace_record *record)
{
    const struct trace_decl *decl = record->decl;

    if (e->quoted) {
        output_add(s->out, "\"", 1);
    }
    for (unsigned i = 0; i < e->nargs; i++) {
        output_add(s->out, e->key[i].data, e->key[i].len);
        if (decl->arg[i].kind != TRACE_STRING) {
            csv_number(s->out, decl->arg[i].kind, record->values[i]);
        } else if (record->values[i] != 0) {
            text_csv_json(s->out, (const char *)(uintptr_t)record->values[i], record->lengths[i]);
        }
        if (e->word_key[i].len > 0) {
            strbuf_clear(&s->scratch);
            if (record_word(&s->scratch, record, i)) {
                output_add(s->out, e->word_key[i].data, e->word_key[i].len);
                text_csv_inner(s->out, s->scratch.data, s->scratch.len);
            }
        }
    }
    if (e->quoted) {
        output_add(s->out, "\"", 1);
    }
}

static void csv_fields(struct sink_csv *s, const struct csv_event *e,
                       const struct trace_record *record)
{
    const struct trace_decl *decl = record->decl;

    for (unsigned i = 0; i < e->nargs; i++) {
        output_add(s->out, ",", 1);
        if (decl->arg[i].kind != TRACE_STRING) {
            csv_number(s->out, decl->arg[i].kind, record->values[i]);
        } else if (record->values[i] != 0) {
            text_csv(s->out, (const char *)(uintptr_t)record->values[i], record->lengths[i]);
        }
        if (e->word_key[i].len > 0) {
            output_add(s->out, ",", 1);
            strbuf_clear(&s->scratch);
            if (record_word(&s->scratch, record, i)) {
                text_csv(s->out, s->scratch.data, s->scratch.len);
            }
        }
    }
}

static bool csv_record(struct sink *sink, const struct trace_record *record)
{
    struct sink_csv *s = (struct sink_csv *)sink;
    void **slot = event_table_slot(&s->table, record->event);

    if (*slot == NULL) {
        *slot = csv_event_new(s, record->decl);
    }

    const struct csv_event *e = *slot;
    if (!e->wanted) {
        return true;
    }
    output_decimal(s->out, record->time);
    if (s->only == NULL) {
        output_add(s->out, e->name.data, e->name.len);
    } else {
        output_add(s->out, ",", 1);
    }
    output_decimal(s->out, record->pid);
    output_add(s->out, ",", 1);
    output_decimal(s->out, record->thread);
    if (s->only == NULL) {
        output_add(s->out, ",", 1);
        csv_pairs(s, e, record);
    } else {
        csv_fields(s, e, record);
    }
    output_add(s->out, "\r\n", 2);
    return !output_failed(s->out, NULL);
}

static bool csv_end(struct sink *sink, struct error *err)
{
    struct sink_csv *s = (struct sink_csv *)sink;

    if (s->only != NULL && !s->found) {
        output_puts(s->out, "time,pid,thread\r\n");
    }

    bool ok = output_close(s->out, err);
    if (ok && s->only != NULL && !s->found) {
        ok = error_set(err,
                       "the recording has no event %s: `vitrine-trace stats` lists those it "
                       "has",
                       s->only);
    }
    event_table_free(&s->table, csv_event_free);
    strbuf_free(&s->scratch);
    free(s->only);
    free(s);
    return ok;
}

const struct sink_format sink_csv = {
    .name = "csv",
    .summary = "CSV (RFC 4180); with --event NAME an argument a column",
    .begin = csv_begin,
    .record = csv_record,
    .end = csv_end,
};
