/* SPDX-License-Identifier: MIT
 *
 * The text that QEMU's simpletrace.py prints under Python 3, as release 7.2 has it:
 *
 *     pci_cfg_read 0.000 pid=5545 dev=b'i440FX' bus=0x0 slot=0x0
 *
 * Against `vitrine-trace show`: strings are written as Python writes bytes, a record without
 * arguments ends behind its pid, values have no words. python/simpletrace.py, called as a program,
 * hands its work to this.
 */
#include "cmd/vitrine-trace/to.h"

#include <string.h>

#include "base/digits.h"
#include "base/memory.h"

enum { ARG_ROOM = 4096, PIECE_ROOM = 64 };

struct simpletrace_event {
    struct strbuf name;                  /* with the blank */
    struct strbuf arg[TRACE_VALUES_MAX]; /* " dev=" */
    unsigned nargs;
};

struct sink_simpletrace {
    struct sink sink;
    struct output *out;
    struct event_table table;
    bool no_pid;
    bool begun;
    uint64_t last; /* time of the record before */
};

static struct sink *simpletrace_begin(const struct sink_options *options, struct error *err)
{
    struct sink_simpletrace *s = mem_alloc(sizeof(*s));

    s->out = output_open(options->path, err);
    if (s->out == NULL) {
        free(s);
        return NULL;
    }
    s->no_pid = options->no_pid;
    return &s->sink;
}

static struct simpletrace_event *simpletrace_event_new(const struct trace_decl *decl)
{
    struct simpletrace_event *e = mem_alloc(sizeof(*e));

    e->nargs = decl->nargs;
    strbuf_init(&e->name);
    strbuf_printf(&e->name, "%s ", decl->name);
    for (unsigned i = 0; i < decl->nargs; i++) {
        strbuf_init(&e->arg[i]);
        strbuf_printf(&e->arg[i], " %s=", decl->arg[i].name);
    }
    return e;
}

static void simpletrace_event_free(void *row)
{
    struct simpletrace_event *e = row;

    strbuf_free(&e->name);
    for (unsigned i = 0; i < e->nargs; i++) {
        strbuf_free(&e->arg[i]);
    }
    free(e);
}

/* One byte of a bytes literal; may store four. */
static uint8_t *put_byte(uint8_t *to, uint8_t c, uint8_t quote)
{
    static const char hex[] = "0123456789abcdef";

    if (c >= ' ' && c < 0x7f) {
        if (c == quote || c == '\\') {
            *to++ = '\\';
        }
        *to++ = c;
        return to;
    }
    *to++ = '\\';
    switch (c) {
    case '\t': *to++ = 't'; break;
    case '\n': *to++ = 'n'; break;
    case '\r': *to++ = 'r'; break;
    default:
        *to++ = 'x';
        *to++ = (uint8_t)hex[c >> 4];
        *to++ = (uint8_t)hex[c & 15];
        break;
    }
    return to;
}

/* As Python's repr() has it: in quotation marks only where that saves escapes. */
static void put_bytes(struct output *out, const char *bytes, size_t len)
{
    bool marks = memchr(bytes, '\'', len) != NULL && memchr(bytes, '"', len) == NULL;
    uint8_t quote = marks ? '"' : '\'';

    output_putc(out, 'b');
    output_putc(out, (char)quote);
    while (len > 0) {
        size_t part = len < ARG_ROOM ? len : ARG_ROOM;
        uint8_t *to = output_room(out, 4 * ARG_ROOM);

        for (size_t i = 0; i < part; i++) {
            to = put_byte(to, (uint8_t)bytes[i], quote);
        }
        out->cur = to;
        bytes += part;
        len -= part;
    }
    output_putc(out, (char)quote);
}

static bool simpletrace_record(struct sink *sink, const struct trace_record *record)
{
    struct sink_simpletrace *s = (struct sink_simpletrace *)sink;
    void **slot = event_table_slot(&s->table, record->event);
    struct output *out = s->out;

    if (*slot == NULL) {
        *slot = simpletrace_event_new(record->decl);
    }

    const struct simpletrace_event *e = *slot;
    output_add(out, e->name.data, e->name.len);
    uint8_t *to = output_room(out, PIECE_ROOM);
    to = digits_micros(to, s->begun ? (int64_t)(record->time - s->last) : 0);
    if (!s->no_pid) {
        memcpy(to, " pid=", 5);
        to = digits_decimal(to + 5, record->pid);
    }
    out->cur = to;
    s->begun = true;
    s->last = record->time;
    for (unsigned i = 0; i < e->nargs; i++) {
        uint64_t value = record->values[i];

        output_add(out, e->arg[i].data, e->arg[i].len);
        if (record->decl->arg[i].kind == TRACE_STRING) {
            put_bytes(out, value != 0 ? (const char *)(uintptr_t)value : "",
                      value != 0 ? record->lengths[i] : 0);
        } else {
            out->cur = digits_hex(output_room(out, DIGITS_ROOM), value);
        }
    }
    output_putc(out, '\n');
    return !output_failed(out, NULL);
}

static bool simpletrace_end(struct sink *sink, struct error *err)
{
    struct sink_simpletrace *s = (struct sink_simpletrace *)sink;
    bool ok = output_close(s->out, err);

    event_table_free(&s->table, simpletrace_event_free);
    free(s);
    return ok;
}

const struct sink_format sink_simpletrace = {
    .name = "simpletrace",
    .summary = "the text of QEMU's simpletrace.py under Python 3",
    .begin = simpletrace_begin,
    .record = simpletrace_record,
    .end = simpletrace_end,
};
