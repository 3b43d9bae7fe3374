/* SPDX-License-Identifier: MIT
 *
 * Perfetto's protobuf trace: a sequence of packets, written as they come. Threads are tracks below
 * their process, every event is an instant (or, with slices, the begin or end of one) on its
 * thread's track, with its arguments as debug annotations. Names are interned: a packet introduces
 * them before their first use.
 *
 * Timestamps are on CLOCK_MONOTONIC, which the first packet declares to be the clock of the whole
 * trace; where the recording knows the wall clock, the same packet ties the two together.
 *
 * A recording without threads puts its events on the process's track; one without process ids
 * (0) on tracks that only have a name.
 */
#include "cmd/vitrine-trace/to.h"

#include <string.h>

#include "base/memory.h"
#include "base/names.h"
#include "cmd/vitrine-trace/calls.h"
#include "cmd/vitrine-trace/protobuf.h"
#include "cmd/vitrine-trace/text.h"
#include "cmd/vitrine-trace/tracks.h"

/* Field numbers, by message. */
enum {
    TRACE_PACKET = 1,

    PACKET_CLOCK_SNAPSHOT = 6,
    PACKET_TIMESTAMP = 8,
    PACKET_SEQUENCE_ID = 10,
    PACKET_TRACK_EVENT = 11,
    PACKET_INTERNED_DATA = 12,
    PACKET_SEQUENCE_FLAGS = 13,
    PACKET_DEFAULTS = 59,
    PACKET_TRACK_DESCRIPTOR = 60,

    SNAPSHOT_CLOCKS = 1,
    SNAPSHOT_PRIMARY = 2,
    CLOCK_ID = 1,
    CLOCK_TIMESTAMP = 2,

    DEFAULTS_CLOCK_ID = 58,

    DESCRIPTOR_UUID = 1,
    DESCRIPTOR_NAME = 2,
    DESCRIPTOR_PROCESS = 3,
    DESCRIPTOR_THREAD = 4,
    DESCRIPTOR_PARENT = 5,
    PROCESS_PID = 1,
    PROCESS_NAME = 6,
    THREAD_PID = 1,
    THREAD_TID = 2,
    THREAD_NAME = 5,

    EVENT_CATEGORY_IID = 3,
    EVENT_ANNOTATION = 4,
    EVENT_TYPE = 9,
    EVENT_NAME_IID = 10,
    EVENT_TRACK_UUID = 11,
    EVENT_NAME = 23,

    ANNOTATION_NAME_IID = 1,
    ANNOTATION_BOOL = 2,
    ANNOTATION_UINT = 3,
    ANNOTATION_INT = 4,
    ANNOTATION_STRING = 6,
    ANNOTATION_POINTER = 7,

    INTERNED_CATEGORY = 1,
    INTERNED_EVENT_NAME = 2,
    INTERNED_ANNOTATION_NAME = 3,
    INTERNED_IID = 1,
    INTERNED_TEXT = 2,
};

enum {
    CLOCK_BUILTIN_REALTIME = 1,
    CLOCK_BUILTIN_MONOTONIC = 3,
    SEQUENCE = 1, /* we are the only writer */
    SEQUENCE_CLEARED = 1,
    SEQUENCE_NEEDS_STATE = 2,
};

/* Event types, by track mark. */
static const uint8_t perfetto_type[] = {[TRACK_INSTANT] = 3, [TRACK_BEGIN] = 1, [TRACK_END] = 2};

/* The field that holds an argument's value, by kind. */
static const uint8_t perfetto_field[] = {
    [TRACE_UNSIGNED] = ANNOTATION_UINT, [TRACE_SIGNED] = ANNOTATION_INT,
    [TRACE_BOOL] = ANNOTATION_BOOL,     [TRACE_POINTER] = ANNOTATION_POINTER,
    [TRACE_STRING] = ANNOTATION_STRING,
};

struct perfetto_event {
    struct strbuf name;                   /* the name field */
    struct strbuf head;                   /* the category field */
    bool calls;                           /* slices have the names of system calls */
    struct strbuf key[TRACE_VALUES_MAX];  /* an annotation's name field and the value's tag */
    struct strbuf word[TRACE_VALUES_MAX]; /* the same for the word; empty: none */
    struct track_role role;
    unsigned nargs;
};

struct sink_perfetto {
    struct sink sink;
    struct output *out;
    struct event_table table;
    struct names events, categories, annotations; /* an iid is a name's number + 1 */
    struct tracks *tracks;
    struct strbuf body, scratch, words;
    bool slices, started;
    bool wall_known;
    int64_t wall;
};

static uint64_t perfetto_uuid(uint32_t pid, uint32_t thread)
{
    return ((uint64_t)pid << 32 | thread) + 1;
}

/* Protobuf's int32: sign-extended. */
static uint64_t perfetto_int32(uint32_t value)
{
    return (uint64_t)(int64_t)(int32_t)value;
}

/* Writes a packet: its length, then `packet` with the sequence fields added. */
static void perfetto_packet(struct sink_perfetto *s, struct strbuf *packet, unsigned flags)
{
    proto_uint(packet, PACKET_SEQUENCE_ID, SEQUENCE);
    proto_uint(packet, PACKET_SEQUENCE_FLAGS, flags);

    uint8_t *p =
        proto_put_tag(output_room(s->out, 2 * PROTO_VARINT_MAX), TRACE_PACKET, PROTO_BYTES);
    s->out->cur = proto_put(p, packet->len);
    output_add(s->out, packet->data, packet->len);
}

static void perfetto_clock(struct strbuf *snapshot, unsigned id, uint64_t time)
{
    struct strbuf clock;

    strbuf_init(&clock);
    proto_uint(&clock, CLOCK_ID, id);
    proto_uint(&clock, CLOCK_TIMESTAMP, time);
    proto_bytes(snapshot, SNAPSHOT_CLOCKS, clock.data, clock.len);
    strbuf_free(&clock);
}

/* The first packet. */
static void perfetto_start(struct sink_perfetto *s, uint64_t time)
{
    struct strbuf packet, part;

    strbuf_init(&packet);
    strbuf_init(&part);
    perfetto_clock(&part, CLOCK_BUILTIN_MONOTONIC, time);
    if (s->wall_known) {
        perfetto_clock(&part, CLOCK_BUILTIN_REALTIME, time + (uint64_t)s->wall);
    }
    proto_uint(&part, SNAPSHOT_PRIMARY, CLOCK_BUILTIN_MONOTONIC);
    proto_bytes(&packet, PACKET_CLOCK_SNAPSHOT, part.data, part.len);

    strbuf_clear(&part);
    proto_uint(&part, DEFAULTS_CLOCK_ID, CLOCK_BUILTIN_MONOTONIC);
    proto_bytes(&packet, PACKET_DEFAULTS, part.data, part.len);
    perfetto_packet(s, &packet, SEQUENCE_CLEARED);
    strbuf_free(&part);
    strbuf_free(&packet);
    s->started = true;
}

/* Introduces a thread: its process first, then itself. */
static void perfetto_track(struct sink_perfetto *s, uint32_t pid, uint32_t thread)
{
    struct strbuf packet, descriptor, part;

    strbuf_init(&packet);
    strbuf_init(&descriptor);
    strbuf_init(&part);

    proto_uint(&descriptor, DESCRIPTOR_UUID, perfetto_uuid(pid, 0));
    if (pid == 0) {
        proto_text(&descriptor, DESCRIPTOR_NAME, "recording");
    } else {
        proto_uint(&part, PROCESS_PID, perfetto_int32(pid));
        strbuf_clear(&s->scratch);
        strbuf_printf(&s->scratch, "process %u", pid);
        proto_text(&part, PROCESS_NAME, s->scratch.data);
        proto_bytes(&descriptor, DESCRIPTOR_PROCESS, part.data, part.len);
    }
    proto_bytes(&packet, PACKET_TRACK_DESCRIPTOR, descriptor.data, descriptor.len);
    perfetto_packet(s, &packet, SEQUENCE_NEEDS_STATE);

    if (thread != 0) {
        strbuf_clear(&packet);
        strbuf_clear(&descriptor);
        strbuf_clear(&part);
        strbuf_clear(&s->scratch);
        strbuf_printf(&s->scratch, "thread %u", thread);
        proto_uint(&descriptor, DESCRIPTOR_UUID, perfetto_uuid(pid, thread));
        proto_uint(&descriptor, DESCRIPTOR_PARENT, perfetto_uuid(pid, 0));
        if (pid == 0) {
            proto_text(&descriptor, DESCRIPTOR_NAME, s->scratch.data);
        } else {
            proto_uint(&part, THREAD_PID, perfetto_int32(pid));
            proto_uint(&part, THREAD_TID, perfetto_int32(thread));
            proto_text(&part, THREAD_NAME, s->scratch.data);
            proto_bytes(&descriptor, DESCRIPTOR_THREAD, part.data, part.len);
        }
        proto_bytes(&packet, PACKET_TRACK_DESCRIPTOR, descriptor.data, descriptor.len);
        perfetto_packet(s, &packet, SEQUENCE_NEEDS_STATE);
    }
    strbuf_free(&part);
    strbuf_free(&descriptor);
    strbuf_free(&packet);
}

/* The iid of a name; one that is new is added to `data`, an InternedData message. */
static uint64_t perfetto_intern(struct names *names, const char *name, struct strbuf *data,
                                unsigned field)
{
    struct strbuf entry;
    bool fresh;
    uint64_t iid = names_add(names, name, &fresh) + 1;

    if (!fresh) {
        return iid;
    }
    strbuf_init(&entry);
    proto_uint(&entry, INTERNED_IID, iid);
    proto_text(&entry, INTERNED_TEXT, name);
    proto_bytes(data, field, entry.data, entry.len);
    strbuf_free(&entry);
    return iid;
}

/* What stands before an annotation's value: the name, then the value's tag. */
static void perfetto_key(struct strbuf *key, uint64_t iid, unsigned field)
{
    unsigned type = field == ANNOTATION_STRING ? PROTO_BYTES : PROTO_VARINT;
    uint8_t tag[PROTO_VARINT_MAX];

    proto_uint(key, ANNOTATION_NAME_IID, iid);
    strbuf_add(key, tag, (size_t)(proto_put_tag(tag, field, type) - tag));
}

/* The first time an event occurs: introduces its names and makes the fixed pieces. */
static struct perfetto_event *perfetto_event_new(struct sink_perfetto *s,
                                                 const struct trace_decl *decl)
{
    struct perfetto_event *e = mem_alloc(sizeof(*e));
    struct strbuf packet, data;

    strbuf_init(&packet);
    strbuf_init(&data);
    strbuf_init(&e->name);
    strbuf_init(&e->head);
    e->calls = s->slices && call_is_named(decl);
    e->nargs = decl->nargs;
    if (s->slices) {
        e->role = track_role_of(decl);
    }

    proto_uint(&e->name, EVENT_NAME_IID,
               perfetto_intern(&s->events, decl->name, &data, INTERNED_EVENT_NAME));
    proto_uint(&e->head, EVENT_CATEGORY_IID,
               perfetto_intern(&s->categories, decl->source != NULL ? decl->source : "trace", &data,
                               INTERNED_CATEGORY));
    for (unsigned i = 0; i < decl->nargs; i++) {
        const struct trace_arg *arg = &decl->arg[i];
        char *word = word_name(decl, i);

        strbuf_init(&e->key[i]);
        strbuf_init(&e->word[i]);
        perfetto_key(&e->key[i],
                     perfetto_intern(&s->annotations, arg->name, &data, INTERNED_ANNOTATION_NAME),
                     perfetto_field[arg->kind]);
        if (word != NULL) {
            perfetto_key(&e->word[i],
                         perfetto_intern(&s->annotations, word, &data, INTERNED_ANNOTATION_NAME),
                         ANNOTATION_STRING);
            free(word);
        }
    }
    if (data.len > 0) {
        proto_bytes(&packet, PACKET_INTERNED_DATA, data.data, data.len);
        perfetto_packet(s, &packet, SEQUENCE_NEEDS_STATE);
    }
    strbuf_free(&data);
    strbuf_free(&packet);
    return e;
}

static void perfetto_event_free(void *row)
{
    struct perfetto_event *e = row;

    strbuf_free(&e->name);
    strbuf_free(&e->head);
    for (unsigned i = 0; i < e->nargs; i++) {
        strbuf_free(&e->key[i]);
        strbuf_free(&e->word[i]);
    }
    free(e->role.stem);
    free(e);
}

/* An annotation whose value is a number: always shorter than 128 bytes. */
static void perfetto_number(struct strbuf *body, const struct strbuf *key, uint64_t value)
{
    uint8_t bytes[64], *p = proto_put_tag(bytes, EVENT_ANNOTATION, PROTO_BYTES);
    uint8_t *len = p++;

    memcpy(p, key->data, key->len);
    p = proto_put(p + key->len, value);
    *len = (uint8_t)(p - len - 1);
    strbuf_add(body, bytes, (size_t)(p - bytes));
}

static void perfetto_string(struct sink_perfetto *s, const struct strbuf *key, const char *text,
                            size_t len)
{
    uint8_t head[64], size[PROTO_VARINT_MAX];

    text = text_utf8(&s->scratch, text, &len);
    size_t nsize = (size_t)(proto_put(size, len) - size);
    uint8_t *p = proto_put_tag(head, EVENT_ANNOTATION, PROTO_BYTES);
    p = proto_put(p, key->len + nsize + len);
    strbuf_add(&s->body, head, (size_t)(p - head));
    strbuf_add(&s->body, key->data, key->len);
    strbuf_add(&s->body, size, nsize);
    strbuf_add(&s->body, text, len);
}

/* Fills s->body with the fields of the event's TrackEvent that do not depend on its track. */
static void perfetto_body(struct sink_perfetto *s, const struct perfetto_event *e,
                          const struct trace_record *record)
{
    const struct trace_decl *decl = record->decl;

    const char *call = e->calls ? call_name(record) : NULL;
    strbuf_clear(&s->body);
    if (call != NULL) {
        proto_text(&s->body, EVENT_NAME, call);
    } else {
        strbuf_add(&s->body, e->name.data, e->name.len);
    }
    strbuf_add(&s->body, e->head.data, e->head.len);
    for (unsigned i = 0; i < e->nargs; i++) {
        uint64_t value = record->values[i];

        if (decl->arg[i].kind != TRACE_STRING) {
            perfetto_number(&s->body, &e->key[i],
                            decl->arg[i].kind == TRACE_BOOL ? value != 0 : value);
        } else if (value != 0) {
            perfetto_string(s, &e->key[i], (const char *)(uintptr_t)value, record->lengths[i]);
        }
        if (e->word[i].len > 0) {
            strbuf_clear(&s->words);
            if (record_word(&s->words, record, i)) {
                perfetto_string(s, &e->word[i], s->words.data, s->words.len);
            }
        }
    }
}

static void perfetto_emit(void *opaque, const struct track *track, enum track_mark mark,
                          uint64_t time, const void *body, size_t len)
{
    struct sink_perfetto *s = opaque;
    uint8_t event[32], head[64], *e = event, *h = head;

    e = proto_put_tag(e, EVENT_TYPE, PROTO_VARINT);
    e = proto_put(e, perfetto_type[mark]);
    e = proto_put_tag(e, EVENT_TRACK_UUID, PROTO_VARINT);
    e = proto_put(e, perfetto_uuid(track->pid, track->thread));

    h = proto_put_tag(h, PACKET_TIMESTAMP, PROTO_VARINT);
    h = proto_put(h, time);
    h = proto_put_tag(h, PACKET_SEQUENCE_ID, PROTO_VARINT);
    h = proto_put(h, SEQUENCE);
    h = proto_put_tag(h, PACKET_SEQUENCE_FLAGS, PROTO_VARINT);
    h = proto_put(h, SEQUENCE_NEEDS_STATE);
    h = proto_put_tag(h, PACKET_TRACK_EVENT, PROTO_BYTES);
    h = proto_put(h, (size_t)(e - event) + len);

    size_t nhead = (size_t)(h - head), nevent = (size_t)(e - event);
    uint8_t *p = output_room(s->out, 128);
    p = proto_put_tag(p, TRACE_PACKET, PROTO_BYTES);
    p = proto_put(p, nhead + nevent + len);
    memcpy(p, head, nhead);
    memcpy(p + nhead, event, nevent);
    s->out->cur = p + nhead + nevent;
    output_add(s->out, body, len);
}

static struct sink *perfetto_begin(const struct sink_options *options, struct error *err)
{
    struct sink_perfetto *s = mem_alloc(sizeof(*s));

    s->out = output_open(options->path, err);
    if (s->out == NULL) {
        free(s);
        return NULL;
    }
    s->tracks = tracks_new(perfetto_emit, s);
    s->slices = options->slices;
    s->wall_known = options->wall_known;
    s->wall = options->wall;
    strbuf_init(&s->body);
    strbuf_init(&s->scratch);
    strbuf_init(&s->words);
    return &s->sink;
}

static bool perfetto_record(struct sink *sink, const struct trace_record *record)
{
    struct sink_perfetto *s = (struct sink_perfetto *)sink;
    void **slot = event_table_slot(&s->table, record->event);
    bool fresh;

    if (!s->started) {
        perfetto_start(s, record->time);
    }
    if (*slot == NULL) {
        *slot = perfetto_event_new(s, record->decl);
    }

    const struct perfetto_event *e = *slot;
    struct track *track = tracks_find(s->tracks, record->pid, record->thread, &fresh);
    if (fresh) {
        perfetto_track(s, record->pid, record->thread);
    }
    perfetto_body(s, e, record);
    tracks_add(s->tracks, track, &e->role, record->time, s->body.data, s->body.len);
    return !output_failed(s->out, NULL);
}

static bool perfetto_end(struct sink *sink, struct error *err)
{
    struct sink_perfetto *s = (struct sink_perfetto *)sink;

    if (!s->started) {
        perfetto_start(s, 0);
    }
    tracks_flush(s->tracks);

    bool ok = output_close(s->out, err);
    tracks_free(s->tracks);
    event_table_free(&s->table, perfetto_event_free);
    names_free(&s->events);
    names_free(&s->categories);
    names_free(&s->annotations);
    strbuf_free(&s->body);
    strbuf_free(&s->scratch);
    strbuf_free(&s->words);
    free(s);
    return ok;
}

const struct sink_format sink_perfetto = {
    .name = "perfetto",
    .summary = "Perfetto's protobuf, for ui.perfetto.dev and trace_processor",
    .begin = perfetto_begin,
    .record = perfetto_record,
    .end = perfetto_end,
};
