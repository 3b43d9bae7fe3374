/* SPDX-License-Identifier: MIT
 *
 * What the metadata of a CTF trace means: the places of the numbers in front of packets and events,
 * the fields of each event, and the declarations that our writer put into comments. */
#include "trace/read/ctf_metadata.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "trace/read/ctf_tsdl.h"
#include "trace/read/internal.h"
#include "trace/write/ctf_file.h"

static const int64_t second = 1000000000;

struct builder {
    const char *path;
    struct ctf_metadata *m;
    bool header, context, event_header, clock;

    /* The event block that is being read. */
    struct ctf_event event;
    char name[TSDL_TEXT_MAX];
    bool has_id;
    uint64_t id;
    unsigned ncontext, nfields;
    struct tsdl_type context_type[TRACE_VALUES_MAX], field_type[TRACE_VALUES_MAX];
    /* Which number each declaration has; open addressing, at most half full. Several ids may lead
     * to one: they are one event. */
    struct seen {
        const struct trace_decl *decl; /* NULL: free */
        unsigned number;
    } * seen;
    size_t seen_size;

    int64_t clock_seconds, clock_rest;
};

/* --- fixed places --- */

static const char *const slot_names[CTF_SLOTS] = {
    [CTF_SLOT_MAGIC] = "magic",
    [CTF_SLOT_STREAM] = "stream_id",
    [CTF_SLOT_BEGIN] = "timestamp_begin",
    [CTF_SLOT_END] = "timestamp_end",
    [CTF_SLOT_CONTENT] = "content_size",
    [CTF_SLOT_SIZE] = "packet_size",
    [CTF_SLOT_SEQUENCE] = "packet_seq_num",
    [CTF_SLOT_LOST] = "events_discarded",
    [CTF_SLOT_PID] = "pid",
    [CTF_SLOT_THREAD] = "thread",
    [CTF_SLOT_ID] = "id",
    [CTF_SLOT_TIME] = "timestamp",
};

/* Places the fields of a struct from `at` on: those of the slots [first, end) are looked for.
 * Returns what follows them, 0 after a failure. */
static uint32_t place_fields(struct builder *b, const struct tsdl_entry *e, uint32_t at,
                             unsigned first, unsigned end, struct error *err)
{
    for (unsigned i = 0; i < e->nfields; i++) {
        const struct tsdl_field *f = &e->field[i];
        if (f->type.kind != TSDL_NUMBER) {
            error_set(err, "expected integers only in %s, found the string '%s'", e->name, f->name);
            return 0;
        }
        if (!strcmp(f->name, "uuid") && f->count == sizeof b->m->uuid && f->type.bytes == 1) {
            b->m->uuid_offset = at;
        }
        for (unsigned k = first; k < end && !f->count; k++) {
            if (!strcmp(slot_names[k], f->name)) {
                b->m->slot[k] = (struct ctf_slot){at, f->type.bytes};
            }
        }
        at += f->type.bytes * (f->count ? f->count : 1);
    }
    if (at == 0) {
        error_set(err, "expected fields in %s, found none", e->name);
    }
    return at;
}

static bool take_packet_header(struct builder *b, const struct tsdl_entry *e, struct error *err)
{
    if (b->header || b->context) {
        return error_set(err, "expected packet.header once and before packet.context");
    }
    b->header = true;
    b->m->uuid_offset = UINT32_MAX;
    b->m->packet_head = place_fields(b, e, 0, CTF_SLOT_MAGIC, CTF_SLOT_BEGIN, err);
    return b->m->packet_head > 0;
}

static bool take_packet_context(struct builder *b, const struct tsdl_entry *e, struct error *err)
{
    if (b->context || !b->header) {
        return error_set(err, "expected one stream block, behind the trace block");
    }
    b->context = true;
    b->m->packet_head = place_fields(b, e, b->m->packet_head, CTF_SLOT_BEGIN, CTF_SLOT_ID, err);
    return b->m->packet_head > 0;
}

static bool take_event_header(struct builder *b, const struct tsdl_entry *e, struct error *err)
{
    if (b->event_header) {
        return error_set(err, "expected event.header once");
    }
    b->event_header = true;
    b->m->event_head = place_fields(b, e, 0, CTF_SLOT_ID, CTF_SLOTS, err);
    return b->m->event_head > 0;
}

/* --- the blocks --- */

static bool parse_uuid(const char *text, uint8_t uuid[16])
{
    unsigned digits = 0;
    for (; *text && digits <= 32; text++) {
        const char *hex = "0123456789abcdef", *found = strchr(hex, *text | 0x20);
        if (*text == '-') {
            continue;
        }
        if (!found || digits == 32) {
            return false;
        }
        unsigned value = (unsigned)(found - hex);
        uuid[digits / 2] = (uint8_t)(digits % 2 ? uuid[digits / 2] | value : value << 4);
        digits++;
    }
    return digits == 32;
}

static bool trace_entry(struct builder *b, const struct tsdl_entry *e, struct error *err)
{
    if (!strcmp(e->name, "packet.header") && e->what == TSDL_IS_STRUCT) {
        return take_packet_header(b, e, err);
    }
    if (!strcmp(e->name, "uuid") && e->what == TSDL_IS_TEXT) {
        b->m->uuid_known = true;
        return parse_uuid(e->text, b->m->uuid) || error_set(err, "expected a UUID");
    }
    if (!strcmp(e->name, "major") || !strcmp(e->name, "minor")) {
        bool fine = e->what == TSDL_IS_NUMBER && e->number == (e->name[1] == 'a' ? 1 : 8);
        return fine || error_set(err, "expected version 1.8 of CTF");
    }
    return true;
}

static bool clock_entry(struct builder *b, const struct tsdl_entry *e, struct error *err)
{
    if (e->what != TSDL_IS_NUMBER) {
        return true;
    }
    if (!strcmp(e->name, "freq")) {
        return e->number == (uint64_t)second ||
               error_set(err, "expected a clock that counts nanoseconds (freq = 1000000000)");
    }
    if (!strcmp(e->name, "offset") || !strcmp(e->name, "offset_s")) {
        if (e->number > (uint64_t)INT64_MAX) {
            return error_set(err, "expected an offset of at most 63 bits");
        }
        int64_t value = e->negative ? -(int64_t)e->number : (int64_t)e->number;
        *(e->name[6] ? &b->clock_seconds : &b->clock_rest) = value;
        b->m->wall_known = true;
    }
    return true;
}

static bool clock_end(struct builder *b, struct error *err)
{
    return (!__builtin_mul_overflow(b->clock_seconds, second, &b->m->wall) &&
            !__builtin_add_overflow(b->m->wall, b->clock_rest, &b->m->wall)) ||
           error_set(err, "expected a clock that starts within 292 years of 1970");
}

static bool stream_entry(struct builder *b, const struct tsdl_entry *e, struct error *err)
{
    if (e->what != TSDL_IS_STRUCT) {
        return strcmp(e->name, "id") || (e->what == TSDL_IS_NUMBER && e->number == 0) ||
               error_set(err, "expected stream 0 and no other");
    }
    if (!strcmp(e->name, "packet.context")) {
        return take_packet_context(b, e, err);
    }
    if (!strcmp(e->name, "event.header")) {
        return take_event_header(b, e, err);
    }
    return error_set(err, "expected packet.context or event.header, found '%s'", e->name);
}

static bool take_types(const struct tsdl_entry *e, struct tsdl_type *type, unsigned *count,
                       struct error *err)
{
    if (e->nfields > TRACE_VALUES_MAX) {
        return error_set(err, "expected at most %d fields", TRACE_VALUES_MAX);
    }
    for (*count = 0; *count < e->nfields; ++*count) {
        if (e->field[*count].count) {
            return error_set(err, "expected numbers and strings, found the array '%s'",
                             e->field[*count].name);
        }
        type[*count] = e->field[*count].type;
    }
    return true;
}

static bool event_entry(struct builder *b, const struct tsdl_entry *e, struct error *err)
{
    if (!strcmp(e->name, "name") && e->what == TSDL_IS_TEXT) {
        memcpy(b->name, e->text, strlen(e->text) + 1);
    } else if (!strcmp(e->name, "id") && e->what == TSDL_IS_NUMBER) {
        b->has_id = true;
        b->id = e->number;
        if (e->negative || e->number >= CTF_EVENTS_MAX) {
            return error_set(err, "expected an event id below %d", CTF_EVENTS_MAX);
        }
    } else if (!strcmp(e->name, "context") && e->what == TSDL_IS_STRUCT) {
        return take_types(e, b->context_type, &b->ncontext, err);
    } else if (!strcmp(e->name, "fields") && e->what == TSDL_IS_STRUCT) {
        return take_types(e, b->field_type, &b->nfields, err);
    } else if (!strcmp(e->name, "stream_id")) {
        return (e->what == TSDL_IS_NUMBER && e->number == 0) ||
               error_set(err, "expected stream 0 and no other");
    }
    return true;
}

/* Connects a field of the stream with its argument. */
static bool add_field(struct builder *b, const struct tsdl_type *type, unsigned arg,
                      struct error *err)
{
    struct ctf_event *event = &b->event;
    bool string = event->decl->arg[arg].kind == TRACE_STRING;
    if (string != (type->kind == TSDL_STRING)) {
        return error_set(err, "event %s: expected %s as field of argument '%s'", event->decl->name,
                         string ? "a string" : "an integer", event->decl->arg[arg].name);
    }
    event->field[event->nfields++] =
        (struct ctf_field){.arg = (uint8_t)arg, .bytes = type->bytes, .is_signed = type->is_signed};
    return true;
}

static bool event_fields(struct builder *b, struct error *err)
{
    struct ctf_event *event = &b->event;
    if (event->decl->nargs != b->ncontext + b->nfields) {
        return error_set(err, "event %s: expected %u fields, as its declaration has arguments",
                         event->decl->name, event->decl->nargs);
    }
    for (unsigned i = 0; i < b->ncontext; i++) {
        if (!add_field(b, &b->context_type[i], b->nfields + i, err)) {
            return false;
        }
    }
    for (unsigned i = 0; i < b->nfields; i++) {
        if (!add_field(b, &b->field_type[i], i, err)) {
            return false;
        }
    }
    bool fixed = b->ncontext == 0;
    for (unsigned i = 0; i < event->nfields; i++) {
        fixed = fixed && event->field[i].bytes == 8;
    }
    event->fixed = fixed ? 8 * event->nfields : 0;
    return true;
}

static struct seen *seen_slot(const struct builder *b, const struct trace_decl *decl)
{
    size_t at = (uintptr_t)decl / 16 * UINT64_C(0x9e3779b97f4a7c15) >> 20;
    while (b->seen[at & (b->seen_size - 1)].decl && b->seen[at & (b->seen_size - 1)].decl != decl) {
        at++;
    }
    return &b->seen[at & (b->seen_size - 1)];
}

/* The number of the declaration, a new one if it has none. */
static unsigned number_of(struct builder *b, const struct trace_decl *decl)
{
    if (2 * ((size_t)b->m->events + 1) > b->seen_size) {
        struct seen *old = b->seen;
        size_t old_size = b->seen_size;
        b->seen_size = old_size ? 2 * old_size : 256;
        b->seen = mem_alloc(b->seen_size * sizeof *b->seen);
        for (size_t i = 0; i < old_size; i++) {
            if (old[i].decl) {
                *seen_slot(b, old[i].decl) = old[i];
            }
        }
        free(old);
    }
    struct seen *slot = seen_slot(b, decl);
    if (!slot->decl) {
        *slot = (struct seen){decl, b->m->events++};
    }
    return slot->number;
}

static void store_event(struct builder *b)
{
    struct ctf_metadata *m = b->m;
    if (b->id >= m->ids) {
        uint32_t count = (uint32_t)b->id + (uint32_t)b->id / 2 + 64;
        m->by_id = mem_resize(m->by_id, count, sizeof(struct ctf_event *));
        memset(m->by_id + m->ids, 0, (count - m->ids) * sizeof(struct ctf_event *));
        m->ids = count;
    }
    b->event.number = number_of(b, b->event.decl);
    m->by_id[b->id] = mem_alloc(sizeof b->event);
    *m->by_id[b->id] = b->event;
}

static bool event_end(struct builder *b, struct error *err)
{
    char name[80];
    trace_reader_name(name, sizeof name, b->name, strlen(b->name));
    if (!b->name[0] || !b->has_id) {
        return error_set(err, "expected a name and an id in the event block that ends here");
    }
    if (b->id < b->m->ids && b->m->by_id[b->id]) {
        return error_set(err, "expected another id than %llu for event %s: it is that of event %s",
                         (unsigned long long)b->id, name, b->m->by_id[b->id]->decl->name);
    }
    b->event.decl = trace_decls_find(b->m->decls, b->name);
    if (!b->event.decl) {
        return error_set(err,
                         "event %s: expected its declaration in a comment before it (a comment "
                         "that begins with 'trace-events')",
                         name);
    }
    if (!event_fields(b, err)) {
        return false;
    }
    store_event(b);
    return true;
}

/* --- the visitor --- */

static void visit_begin(void *opaque, const char *block)
{
    struct builder *b = opaque;
    if (!strcmp(block, "event")) {
        b->event = (struct ctf_event){0};
        b->name[0] = 0;
        b->has_id = false;
        b->ncontext = b->nfields = 0;
    }
}

static bool visit_entry(void *opaque, const struct tsdl_entry *e, struct error *err)
{
    static const struct {
        const char *block;
        bool (*take)(struct builder *b, const struct tsdl_entry *e, struct error *err);
    } blocks[] = {{"trace", trace_entry},
                  {"clock", clock_entry},
                  {"stream", stream_entry},
                  {"event", event_entry}};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        if (!strcmp(e->block, blocks[i].block)) {
            return blocks[i].take(opaque, e, err);
        }
    }
    return true; /* env tells nothing that records need */
}

static bool visit_end(void *opaque, const char *block, struct error *err)
{
    struct builder *b = opaque;
    if (!strcmp(block, "event")) {
        return event_end(b, err);
    }
    return strcmp(block, "clock") || clock_end(b, err);
}

static bool visit_declarations(void *opaque, const char *text, size_t len, struct error *err)
{
    struct builder *b = opaque;
    char *name = mem_format("%s (declarations)", b->path);
    bool fine = trace_decls_parse(b->m->decls, TRACE_DIALECT_ANY, name, text, len, NULL, NULL, err);
    free(name);
    return fine;
}

/* --- the whole --- */

/* What nothing can be read without. */
static bool check_whole(struct builder *b, struct error *err)
{
    static const enum ctf_slot_name needed[] = {CTF_SLOT_MAGIC,   CTF_SLOT_BEGIN, CTF_SLOT_END,
                                                CTF_SLOT_CONTENT, CTF_SLOT_SIZE,  CTF_SLOT_ID,
                                                CTF_SLOT_TIME};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        if (!b->m->slot[needed[i]].bytes) {
            return error_set(err, "%s: expected the field '%s' in packets and events, found none",
                             b->path, slot_names[needed[i]]);
        }
    }
    if (b->m->packet_head > CTF_PAGE || b->m->event_head > CTF_PAGE) {
        return error_set(err, "%s: expected at most %d bytes before the events of a packet",
                         b->path, CTF_PAGE);
    }
    b->m->uuid_known = b->m->uuid_known && b->m->uuid_offset != UINT32_MAX;
    return true;
}

static bool check_tracer(const char *path, const char *text, size_t len, struct error *err)
{
    char tracer[80], shown[80];
    if (tsdl_find_text(text, len, "tracer_name", tracer, sizeof tracer)) {
        trace_reader_name(shown, sizeof shown, tracer, strlen(tracer));
        return !strcmp(tracer, "vitrine") ||
               error_set(err,
                         "%s: was written by another tracer (tracer_name is \"%s\"): only CTF "
                         "recordings of Vitrine are read here; babeltrace2 reads others",
                         path, shown);
    }
    return error_set(err,
                     "%s: does not say that Vitrine wrote it (tracer_name = \"vitrine\"): only "
                     "CTF recordings of Vitrine are read here; babeltrace2 reads others",
                     path);
}

struct ctf_metadata *ctf_metadata_parse(const char *path, const char *text, size_t len,
                                        struct error *err)
{
    if (!check_tracer(path, text, len, err)) {
        return NULL;
    }
    struct ctf_metadata *m = mem_alloc(sizeof *m);
    m->decls = trace_decls_new();
    struct builder *b = mem_alloc(sizeof *b);
    b->path = path;
    b->m = m;
    const struct tsdl_visitor visitor = {visit_begin, visit_entry, visit_end, visit_declarations,
                                         b};
    bool fine = tsdl_read(path, text, len, &visitor, err) && check_whole(b, err);
    free(b->seen);
    free(b);
    if (!fine) {
        ctf_metadata_free(m);
        return NULL;
    }
    return m;
}

void ctf_metadata_free(struct ctf_metadata *m)
{
    if (m) {
        for (uint32_t i = 0; i < m->ids; i++) {
            free(m->by_id[i]);
        }
        free(m->by_id);
        trace_decls_free(m->decls);
        free(m);
    }
}
