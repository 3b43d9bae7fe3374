/* SPDX-License-Identifier: MIT
 *
 * A recording for Python: pickles (protocol 4, a format that every Python from 3.4 on reads and
 * that its library decodes faster than anything written in Python could), one after the other:
 *
 *     {"format": "vitrine-trace", "version": 1, "wall": OFFSET or None}       the first
 *     (EVENTS, NUMBERS, RECORDS)                                              every other
 *
 *     EVENTS   events that come up here for the first time, and have the numbers that follow those
 *              of all before: (name, ((type, name), ...), format, (property, ...))
 *     NUMBERS  of each record, the number of its event
 *     RECORDS  (name, time in ns, pid, argument, ...): integers and addresses as unsigned 64-bit
 *              numbers, strings as bytes
 *
 * OFFSET is wall-clock time minus time in ns. Names in a pickle are one object for all its records.
 * No pickle holds more than some thousand records, so memory is bounded on both sides; the first
 * ones are short, so that what begins slowly can be seen early. python/simpletrace.py is the
 * reader.
 */
#include "cmd/vitrine-trace/to.h"

#include <endian.h>
#include <string.h>

#include "base/memory.h"
#include "cmd/vitrine-trace/text.h"

enum {
    VERSION = 1,
    FIRST_BATCH = 64,     /* records; each batch has twice as many as the last */
    LAST_BATCH = 4096,    /* records */
    BATCH_SIZE = 1 << 20, /* bytes of records after which a batch ends */
    NUMBER_ROOM = 11,     /* of any integer */
    STRING_ROOM = 5,      /* in front of a string */
};

/* Protocol 4's opcodes, by the names of Python's pickletools. */
enum {
    OP_MARK = '(',
    OP_STOP = '.',
    OP_NONE = 'N',
    OP_BININT = 'J',         /* 4 bytes, signed */
    OP_BININT1 = 'K',        /* 1 byte, unsigned */
    OP_BININT2 = 'M',        /* 2 bytes, unsigned */
    OP_LONG1 = 0x8a,         /* length in 1 byte, two's complement */
    OP_BINUNICODE = 'X',     /* length in 4 bytes, UTF-8 */
    OP_BINBYTES = 'B',       /* length in 4 bytes */
    OP_SHORT_BINBYTES = 'C', /* length in 1 byte */
    OP_EMPTY_LIST = ']',
    OP_APPENDS = 'e', /* what stands behind the mark, to the list before it */
    OP_EMPTY_DICT = '}',
    OP_SETITEMS = 'u',
    OP_TUPLE = 't', /* of what stands behind the mark */
    OP_TUPLE3 = 0x87,
    OP_MEMOIZE = 0x94,    /* under the next free number */
    OP_BINGET = 'h',      /* number in 1 byte */
    OP_LONG_BINGET = 'j', /* number in 4 bytes */
    OP_PROTO = 0x80,
    OP_FRAME = 0x95, /* length in 8 bytes of all that follows */
};

/* Bytes that grow: room first, then plain stores at `cur`. */
struct pickle_part {
    uint8_t *start, *cur, *end;
};

struct pickle_event {
    bool wanted;
    unsigned number; /* in the stream */
    unsigned batch;  /* the last that holds its name */
    unsigned memo;   /* the name's number there */
};

struct sink_pickle {
    struct sink sink;
    struct output *out;
    struct event_table table;
    char *only; /* ",NAME,NAME,": the events that are wanted; NULL: all */
    struct strbuf scratch;
    unsigned events;  /* numbers given so far */
    unsigned batch;   /* this batch's number, from 1 */
    unsigned memos;   /* names in it */
    unsigned records; /* in it */
    unsigned limit;   /* of records */
    struct pickle_part event, number, record;
};

static void part_grow(struct pickle_part *part, size_t len)
{
    size_t used = (size_t)(part->cur - part->start), size = (size_t)(part->end - part->start);

    size = 2 * size > used + len ? 2 * size : used + len + 4096;
    part->start = mem_resize(part->start, size, 1);
    part->cur = part->start + used;
    part->end = part->start + size;
}

static inline uint8_t *part_room(struct pickle_part *part, size_t len)
{
    if ((size_t)(part->end - part->cur) < len) {
        part_grow(part, len);
    }
    return part->cur;
}

static void part_op(struct pickle_part *part, uint8_t op)
{
    *part_room(part, 1) = op;
    part->cur++;
}

static inline uint8_t *put32(uint8_t *to, uint32_t value)
{
    value = htole32(value);
    memcpy(to, &value, sizeof(value));
    return to + sizeof(value);
}

static inline uint8_t *put64(uint8_t *to, uint64_t value)
{
    value = htole64(value);
    memcpy(to, &value, sizeof(value));
    return to + sizeof(value);
}

/* An unsigned integer, in the shortest form that is quick to read. May store NUMBER_ROOM bytes. */
static inline uint8_t *put_number(uint8_t *to, uint64_t value)
{
    if (value <= UINT8_MAX) {
        *to++ = OP_BININT1;
        *to++ = (uint8_t)value;
        return to;
    }
    if (value <= UINT16_MAX) {
        *to++ = OP_BININT2;
        *to++ = (uint8_t)value;
        *to++ = (uint8_t)(value >> 8);
        return to;
    }
    if (value <= INT32_MAX) {
        *to++ = OP_BININT;
        return put32(to, (uint32_t)value);
    }
    /* One bit more than the value has, for the sign. */
    unsigned bytes = (unsigned)(64 - __builtin_clzll(value)) / 8 + 1;
    *to++ = OP_LONG1;
    *to++ = (uint8_t)bytes;
    put64(to, value);
    to[8] = 0;
    return to + bytes;
}

static void part_number(struct pickle_part *part, uint64_t value)
{
    part->cur = put_number(part_room(part, NUMBER_ROOM), value);
}

/* An offset that may be negative. */
static void part_signed(struct pickle_part *part, int64_t value)
{
    uint8_t *to = part_room(part, NUMBER_ROOM);

    *to++ = OP_LONG1;
    *to++ = sizeof(value);
    part->cur = put64(to, (uint64_t)value);
}

static void part_text(struct pickle_part *part, struct strbuf *scratch, const char *text)
{
    size_t len = strlen(text);

    text = text_utf8(scratch, text, &len);
    uint8_t *to = part_room(part, STRING_ROOM + len);
    *to++ = OP_BINUNICODE;
    to = put32(to, (uint32_t)len);
    memcpy(to, text, len);
    part->cur = to + len;
}

static inline void part_bytes(struct pickle_part *part, const char *bytes, uint32_t len)
{
    uint8_t *to = part_room(part, STRING_ROOM + (size_t)len);

    if (len <= UINT8_MAX) {
        *to++ = OP_SHORT_BINBYTES;
        *to++ = (uint8_t)len;
    } else {
        *to++ = OP_BINBYTES;
        to = put32(to, len);
    }
    if (len > 0) {
        memcpy(to, bytes, len);
    }
    part->cur = to + len;
}

/* Writes one pickle whose value the parts make up, and empties them. */
static void pickle_send(struct sink_pickle *s, struct pickle_part *const *part, unsigned parts,
                        uint8_t last)
{
    uint8_t head[11] = {OP_PROTO, 4, OP_FRAME}, tail[2] = {last, OP_STOP};
    size_t len = sizeof(tail);

    for (unsigned i = 0; i < parts; i++) {
        len += (size_t)(part[i]->cur - part[i]->start);
    }
    put64(head + 3, len);
    output_add(s->out, head, sizeof(head));
    for (unsigned i = 0; i < parts; i++) {
        output_add(s->out, part[i]->start, (size_t)(part[i]->cur - part[i]->start));
        part[i]->cur = part[i]->start;
    }
    output_add(s->out, tail, sizeof(tail));
}

/* The beginning of the three lists of a batch. */
static void pickle_batch(struct sink_pickle *s)
{
    struct pickle_part *const parts[] = {&s->event, &s->number, &s->record};

    for (unsigned i = 0; i < 3; i++) {
        part_op(parts[i], OP_EMPTY_LIST);
        part_op(parts[i], OP_MARK);
    }
    s->batch++;
    s->memos = 0;
    s->records = 0;
}

static void pickle_flush(struct sink_pickle *s)
{
    struct pickle_part *const parts[] = {&s->event, &s->number, &s->record};

    for (unsigned i = 0; i < 3; i++) {
        part_op(parts[i], OP_APPENDS);
    }
    pickle_send(s, parts, 3, OP_TUPLE3);
    /* Whoever reads has these while the next are made. */
    output_flush(s->out);
    s->limit = s->limit < LAST_BATCH ? 2 * s->limit : LAST_BATCH;
    pickle_batch(s);
}

static void pickle_head(struct sink_pickle *s, const struct sink_options *options)
{
    struct pickle_part *part = &s->record;

    part_op(part, OP_EMPTY_DICT);
    part_op(part, OP_MARK);
    part_text(part, &s->scratch, "format");
    part_text(part, &s->scratch, "vitrine-trace");
    part_text(part, &s->scratch, "version");
    part_number(part, VERSION);
    part_text(part, &s->scratch, "wall");
    if (options->wall_known) {
        part_signed(part, options->wall);
    } else {
        part_op(part, OP_NONE);
    }
    pickle_send(s, &part, 1, OP_SETITEMS);
}

static struct sink *pickle_begin(const struct sink_options *options, struct error *err)
{
    struct sink_pickle *s = mem_alloc(sizeof(*s));

    s->out = output_open(options->path, err);
    if (s->out == NULL) {
        free(s);
        return NULL;
    }
    strbuf_init(&s->scratch);
    if (options->event != NULL) {
        s->only = mem_format(",%s,", options->event);
    }
    pickle_head(s, options);
    s->limit = FIRST_BATCH;
    pickle_batch(s);
    return &s->sink;
}

static bool pickle_wanted(const struct sink_pickle *s, const char *name)
{
    if (s->only == NULL) {
        return true;
    }

    char *between = mem_format(",%s,", name);
    bool wanted = strstr(s->only, between) != NULL;
    free(between);
    return wanted;
}

/* Tells about an event before its first record. */
static void pickle_declare(struct sink_pickle *s, const struct trace_decl *decl)
{
    struct pickle_part *part = &s->event;
    static const char *const property[] = {"disable", "vcpu", "tcg"};
    const bool has[] = {decl->disabled, decl->vcpu, decl->tcg};

    part_op(part, OP_MARK);
    part_text(part, &s->scratch, decl->name);
    part_op(part, OP_MARK);
    for (unsigned i = 0; i < decl->nargs; i++) {
        part_op(part, OP_MARK);
        part_text(part, &s->scratch, decl->arg[i].type);
        part_text(part, &s->scratch, decl->arg[i].name);
        part_op(part, OP_TUPLE);
    }
    part_op(part, OP_TUPLE);
    part_text(part, &s->scratch, decl->format != NULL ? decl->format : "");
    part_op(part, OP_MARK);
    for (unsigned i = 0; i < 3; i++) {
        if (has[i]) {
            part_text(part, &s->scratch, property[i]);
        }
    }
    part_op(part, OP_TUPLE);
    part_op(part, OP_TUPLE);
}

static struct pickle_event *pickle_event_new(struct sink_pickle *s, const struct trace_decl *decl)
{
    struct pickle_event *e = mem_alloc(sizeof(*e));

    e->wanted = pickle_wanted(s, decl->name);
    if (e->wanted) {
        e->number = s->events++;
        pickle_declare(s, decl);
    }
    return e;
}

/* The name of the event: its text the first time in a batch, then a reference. */
static inline void pickle_name(struct sink_pickle *s, struct pickle_event *e, const char *name)
{
    struct pickle_part *part = &s->record;

    if (__builtin_expect(e->batch != s->batch, 0)) {
        e->batch = s->batch;
        e->memo = s->memos++;
        part_text(part, &s->scratch, name);
        part_op(part, OP_MEMOIZE);
        return;
    }
    uint8_t *to = part_room(part, STRING_ROOM);
    if (e->memo <= UINT8_MAX) {
        *to++ = OP_BINGET;
        *to++ = (uint8_t)e->memo;
        part->cur = to;
    } else {
        *to++ = OP_LONG_BINGET;
        part->cur = put32(to, e->memo);
    }
}

static void pickle_values(struct pickle_part *part, const struct trace_record *record)
{
    const struct trace_decl *decl = record->decl;

    for (unsigned i = 0; i < decl->nargs; i++) {
        uint64_t value = record->values[i];

        if (decl->arg[i].kind == TRACE_STRING) {
            part_bytes(part, (const char *)(uintptr_t)value, value != 0 ? record->lengths[i] : 0);
        } else {
            part_number(part, value);
        }
    }
}

static bool pickle_record(struct sink *sink, const struct trace_record *record)
{
    struct sink_pickle *s = (struct sink_pickle *)sink;
    void **slot = event_table_slot(&s->table, record->event);

    if (*slot == NULL) {
        *slot = pickle_event_new(s, record->decl);
    }

    struct pickle_event *e = *slot;
    if (!e->wanted) {
        return true;
    }
    part_number(&s->number, e->number);
    part_op(&s->record, OP_MARK);
    pickle_name(s, e, record->decl->name);
    part_number(&s->record, record->time);
    part_number(&s->record, record->pid);
    pickle_values(&s->record, record);
    part_op(&s->record, OP_TUPLE);
    if (++s->records >= s->limit || s->record.cur - s->record.start >= BATCH_SIZE) {
        pickle_flush(s);
    }
    return !output_failed(s->out, NULL);
}

static bool pickle_end(struct sink *sink, struct error *err)
{
    struct sink_pickle *s = (struct sink_pickle *)sink;

    if (s->records > 0) {
        pickle_flush(s);
    }

    bool ok = output_close(s->out, err);
    event_table_free(&s->table, free);
    strbuf_free(&s->scratch);
    free(s->only);
    free(s->event.start);
    free(s->number.start);
    free(s->record.start);
    free(s);
    return ok;
}

const struct sink_format sink_pickle = {
    .name = "pickle",
    .summary = "Python's pickles: what simpletrace.py reads",
    .begin = pickle_begin,
    .record = pickle_record,
    .end = pickle_end,
};
