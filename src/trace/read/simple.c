/* SPDX-License-Identifier: MIT
 *
 * Recordings in QEMU's simple format: versions 0, 2, 3 and 4. trace/record.h draws version 4.
 *
 * The path of a record: its id is looked up in a hash table (`struct id`) that leads to the shape
 * of its event, that is, how long its records are and where its strings stand. Version 4 fills the
 * table from mapping records as they come; the other versions, and files without a header, from the
 * order of the declarations. Shapes are worked out when an event is first logged, so thousands of
 * events that a program knows but never logs cost nothing.
 *
 * Memory is bounded whatever the file says: IDS_MAX ids, NAMES_MAX bytes of undeclared names. So is
 * time: the hash has a factor of its own in each reader, so no file can hold ids that all collide.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/memory.h"
#include "base/strbuf.h"
#include "trace/read/decode.h"
#include "trace/read/internal.h"
#include "trace/record.h"

enum {
    NAME_MAX_LEN = 1024,
    IDS_MAX = 1 << 20,
    NAMES_MAX = 32 << 20,
    FIXED = TRACE_RECORD_HEAD - TRACE_RECORD_TYPE, /* what `length` counts before the arguments */
    MAPPING_HEAD = 20,                             /* type, id, length */
    V0_RECORD = 64,                                /* also the length of its header */
    V0_ARGS = 6,
};

#define NO_LENGTH UINT64_MAX /* longer than any record: never equal to a length in a file */

/* A declared event, as its records look. */
struct shape {
    const struct trace_decl *listed; /* the row of the list */
    const struct trace_decl *decl;   /* what is handed out; NULL until first logged */
    struct trace_decl *copy;         /* ours when it differs from the list's row */
    uint64_t length;                 /* of every record, when there are no strings */
    uint64_t lost_mask;              /* all ones for lost events */
    uint64_t thread_mask;            /* all ones where `ctx_thread` is recorded (context=thread) */
    unsigned thread;                 /* its place among the arguments */
    unsigned event;
};

enum { ID_FREE = UINT32_MAX, ID_UNDECLARED = UINT32_MAX - 1 };

struct id {
    uint64_t id;
    uint32_t shape; /* index, or one of the above */
    uint32_t name;  /* of an undeclared event: its place in `names` */
};

struct simple {
    struct trace_decls *decls;
    char *list; /* where they came from, for sentences */
    bool positional;
    bool no_pid;

    struct id *id;      /* open addressing, at most half full */
    uint64_t id_factor; /* odd */
    unsigned id_shift;
    size_t id_count, id_size;
    struct strbuf names; /* of undeclared events: a 4-byte length and the text each */

    struct shape *shape; /* sorted by `listed`, but the first: lost events */
    size_t shape_count;
    unsigned events; /* numbers given so far */

    uint64_t values[TRACE_VALUES_MAX];
    uint32_t lengths[TRACE_VALUES_MAX];
};

/* The table of ids. */

static inline struct id *id_slot(const struct simple *s, uint64_t id)
{
    size_t at = (id * s->id_factor) >> s->id_shift;
    while (s->id[at].shape != ID_FREE && s->id[at].id != id) {
        at = (at + 1) & (s->id_size - 1);
    }
    return &s->id[at];
}

/* Where the host gives no random number, the usual factor, which serves all but hostile files. */
static uint64_t random_factor(void)
{
    uint64_t factor;
    bool got = getrandom(&factor, sizeof factor, GRND_NONBLOCK) == (ssize_t)sizeof factor;
    return got ? factor | 1 : UINT64_C(0x9e3779b97f4a7c15);
}

static void ids_resize(struct simple *s, unsigned bits)
{
    struct id *old = s->id;
    size_t old_size = s->id_size;
    s->id_size = (size_t)1 << bits;
    s->id_shift = 64 - bits;
    s->id = mem_resize(NULL, s->id_size, sizeof *s->id);
    for (size_t i = 0; i < s->id_size; i++) {
        s->id[i].shape = ID_FREE;
    }
    for (size_t i = 0; i < old_size; i++) {
        if (old[i].shape != ID_FREE) {
            *id_slot(s, old[i].id) = old[i];
        }
    }
    free(old);
}

/* The entry for an id, new or old; NULL when there are too many. */
static struct id *id_add(struct simple *s, uint64_t id)
{
    struct id *slot = id_slot(s, id);
    if (slot->shape == ID_FREE) {
        if (s->id_count == IDS_MAX) {
            return NULL;
        }
        if (++s->id_count * 2 > s->id_size) {
            ids_resize(s, 64 - s->id_shift + 1);
            slot = id_slot(s, id);
        }
        slot->id = id;
    }
    return slot;
}

/* Shapes. */

static int compare_shapes(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t)((const struct shape *)a)->listed;
    uintptr_t y = (uintptr_t)((const struct shape *)b)->listed;
    return x < y ? -1 : x > y;
}

static uint32_t shape_of(const struct simple *s, const struct trace_decl *decl)
{
    struct shape key = {.listed = decl};
    const struct shape *found =
        bsearch(&key, s->shape + 1, s->shape_count - 1, sizeof key, compare_shapes);
    if (!found) {
        bug("declaration %s is not in its own list", decl->name);
    }
    return (uint32_t)(found - s->shape);
}

static void make_shapes(struct simple *s)
{
    s->shape_count = s->decls->count + 1;
    s->shape = mem_alloc(s->shape_count * sizeof *s->shape);
    for (size_t i = 0; i < s->shape_count; i++) {
        s->shape[i].listed = i ? s->decls->row[i - 1] : &trace_decl_dropped;
        s->shape[i].length = NO_LENGTH;
    }
    qsort(s->shape + 1, s->shape_count - 1, sizeof *s->shape, compare_shapes);
    s->shape[0].lost_mask = UINT64_MAX;
}

/* The declaration without the CPU that `vcpu` puts in front: files of QEMU 9.1 and later. */
static struct trace_decl *without_cpu(const struct trace_decl *decl)
{
    static const char prefix[] = "cpu=%p ";
    struct trace_decl *copy = mem_alloc(sizeof *copy);
    *copy = *decl;
    copy->vcpu = false;
    copy->nargs--;
    copy->strings >>= 1;
    memmove(copy->arg, copy->arg + 1, copy->nargs * sizeof copy->arg[0]);
    if (copy->format && !strncmp(copy->format, prefix, sizeof prefix - 1)) {
        copy->format += sizeof prefix - 1;
    }
    return copy;
}

/* Version 0 has no strings: it holds their addresses. */
static struct trace_decl *with_addresses(const struct trace_decl *decl)
{
    struct trace_decl *copy = mem_alloc(sizeof *copy);
    *copy = *decl;
    copy->strings = 0;
    for (unsigned i = 0; i < copy->nargs; i++) {
        if (copy->arg[i].kind == TRACE_STRING) {
            copy->arg[i].kind = TRACE_POINTER;
        }
    }
    return copy;
}

/* Fixes how an event looks from now on. */
static void shape_use(struct simple *s, struct shape *shape, struct trace_decl *copy)
{
    shape->copy = copy;
    shape->decl = copy ? copy : shape->listed;
    shape->event = s->events++;
    if (!shape->decl->strings) {
        shape->length = FIXED + 8 * shape->decl->nargs;
    }
    for (unsigned i = 0; i < shape->decl->nargs; i++) {
        if (!strcmp(shape->decl->arg[i].name, "ctx_thread") && !(shape->decl->strings >> i & 1)) {
            shape->thread_mask = UINT64_MAX;
            shape->thread = i;
        }
    }
}

/* Opening. */

/* Ids that are places in the list. Old versions give none to events that are compiled out. */
static bool number_by_position(struct trace_reader *reader, bool count_disabled, struct error *err)
{
    struct simple *s = reader->own;
    uint64_t position = 0;
    for (size_t i = 0; i < s->decls->count; i++) {
        const struct trace_decl *decl = s->decls->row[i];
        if (count_disabled || !decl->disabled) {
            struct id *slot = id_add(s, position++);
            if (!slot) {
                return error_set(err, "%s: holds more than %d declarations", s->list, IDS_MAX);
            }
            slot->shape = shape_of(s, decl);
        }
    }
    return true;
}

static bool simple_load(struct trace_reader *reader, const struct trace_reader_options *options,
                        struct error *err)
{
    struct simple *s = reader->own;
    s->decls = trace_events_load(reader->path, options->events, !s->positional, &s->list, err);
    if (!s->decls) {
        return false;
    }
    make_shapes(s);
    s->id_factor = random_factor();
    ids_resize(s, 8);
    id_add(s, TRACE_DROPPED_ID)->shape = 0;
    return !s->positional || number_by_position(reader, options->no_header, err);
}

static bool simple_recognise(const uint8_t *head, size_t len)
{
    /* A file that ends inside the first word is a recording cut short. */
    static const uint8_t first[8] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    return len > 0 && !memcmp(head, first, len < sizeof first ? len : sizeof first);
}

/* Reads the 24 bytes in front. */
static bool read_header(struct trace_reader *reader, struct error *err)
{
    struct input *in = reader->input;
    size_t have = input_need(in, TRACE_FILE_HEAD);
    if (have < TRACE_FILE_HEAD) {
        trace_reader_cut(reader, "its header", TRACE_FILE_HEAD);
        *err = reader->error;
        return false;
    }
    uint64_t magic = load64(in->cur + 8), version = load64(in->cur + 16);
    if (magic == __builtin_bswap64(TRACE_HEADER_MAGIC)) {
        return error_set(err,
                         "%s: at byte 8: was written on a machine with the other byte order; read "
                         "it there",
                         reader->path);
    }
    if (magic != TRACE_HEADER_MAGIC) {
        return error_set(err,
                         "%s: not a recording: at byte 8: expected the magic number 0x%llx of the "
                         "simple format, found 0x%llx",
                         reader->path, (unsigned long long)TRACE_HEADER_MAGIC,
                         (unsigned long long)magic);
    }
    if (version > 4 || version == 1) {
        return error_set(err,
                         "%s: at byte 16: expected version 0, 2, 3 or 4 of the simple format, "
                         "found %llu",
                         reader->path, (unsigned long long)version);
    }
    reader->version = (unsigned)version;
    size_t head = version ? TRACE_FILE_HEAD : V0_RECORD;
    if (input_need(in, head) < head) {
        trace_reader_cut(reader, "its header", head);
        *err = reader->error;
        return false;
    }
    in->cur += head;
    return true;
}

static bool simple_open(struct trace_reader *reader, const struct trace_reader_options *options,
                        struct error *err)
{
    struct simple *s = mem_alloc(sizeof *s);
    struct error failed;
    reader->own = s;
    strbuf_init(&s->names);
    reader->version = 4;
    if (!options->no_header && !read_header(reader, &failed)) {
        if (err) {
            *err = failed;
        }
        return false;
    }
    s->positional = options->no_header || reader->version < 4;
    s->no_pid = reader->version < 3;
    return simple_load(reader, options, err);
}

static void simple_close(struct trace_reader *reader)
{
    struct simple *s = reader->own;
    if (s) {
        for (size_t i = 0; i < s->shape_count; i++) {
            free(s->shape[i].copy);
        }
        free(s->shape);
        free(s->id);
        free(s->list);
        strbuf_free(&s->names);
        trace_decls_free(s->decls);
        free(s);
    }
}

/* Mapping records. */

/* Keeps the name of an event that is not declared, in case it is logged. */
static bool keep_name(struct simple *s, struct id *slot, const uint8_t *name, uint32_t len)
{
    if (slot->shape == ID_UNDECLARED) {
        const uint8_t *old = (const uint8_t *)s->names.data + slot->name;
        if (load32(old) == len && !memcmp(old + 4, name, len)) {
            return true;
        }
    }
    if (s->names.len + sizeof len + len > NAMES_MAX) {
        return false;
    }
    slot->name = (uint32_t)s->names.len;
    strbuf_add(&s->names, &len, sizeof len);
    strbuf_add(&s->names, name, len);
    return true;
}

static int take_mapping(struct trace_reader *reader, const uint8_t *p, uint32_t len)
{
    struct simple *s = reader->own;
    uint64_t offset = input_offset(reader->input), id = load64(p + 8);
    const uint8_t *text = p + MAPPING_HEAD;
    if (id == TRACE_DROPPED_ID) {
        return trace_reader_damage(reader, offset + 8,
                                   "expected the id of an event, found 0x%llx, which marks lost "
                                   "events",
                                   (unsigned long long)id);
    }
    struct id *slot = id_add(s, id);
    if (!slot) {
        return trace_reader_damage(reader, offset, "expected at most %d event names, found more",
                                   IDS_MAX);
    }
    const struct trace_decl *decl = NULL;
    if (!memchr(text, 0, len)) {
        char name[NAME_MAX_LEN + 1];
        memcpy(name, text, len);
        name[len] = 0;
        decl = trace_decls_find(s->decls, name);
    }
    bool kept = decl || keep_name(s, slot, text, len);
    slot->shape = decl ? shape_of(s, decl) : ID_UNDECLARED;
    if (!kept) {
        return trace_reader_damage(reader, offset,
                                   "expected at most %d bytes of names that are not declared, "
                                   "found more",
                                   NAMES_MAX);
    }
    return 1;
}

/* What stands at the input is not an event: a mapping, something else, or the end. 1: go on. */
static int read_mapping(struct trace_reader *reader)
{
    struct input *in = reader->input;
    size_t have = input_need(in, TRACE_RECORD_TYPE);
    if (have < TRACE_RECORD_TYPE) {
        return trace_reader_cut(reader, "a record", TRACE_RECORD_TYPE);
    }
    uint64_t type = load64(in->cur);
    if (type == TRACE_TYPE_EVENT) {
        return trace_reader_cut(reader, "a record", TRACE_RECORD_HEAD);
    }
    if (type != TRACE_TYPE_MAPPING) {
        return trace_reader_damage(reader, input_offset(in),
                                   "expected the type of a record (0: a name, 1: an event), found "
                                   "0x%llx",
                                   (unsigned long long)type);
    }
    if (input_need(in, MAPPING_HEAD) < MAPPING_HEAD) {
        return trace_reader_cut(reader, "a record", MAPPING_HEAD);
    }
    uint32_t len = load32(in->cur + 16);
    if (len > NAME_MAX_LEN) {
        return trace_reader_damage(reader, input_offset(in) + 16,
                                   "expected the length of an event's name (at most %d), found %u",
                                   NAME_MAX_LEN, len);
    }
    if (input_need(in, MAPPING_HEAD + len) < MAPPING_HEAD + len) {
        return trace_reader_cut(reader, "a record", MAPPING_HEAD + len);
    }
    int got = take_mapping(reader, in->cur, len);
    if (got > 0) {
        in->cur += MAPPING_HEAD + len;
    }
    return got;
}

/* Event records. */

/* A record whose id leads to no declaration. */
static int undeclared(struct trace_reader *reader, uint64_t offset, const struct id *slot,
                      uint64_t id)
{
    struct simple *s = reader->own;
    char name[80];
    if (slot->shape == ID_UNDECLARED) {
        const uint8_t *at = (const uint8_t *)s->names.data + slot->name;
        trace_reader_name(name, sizeof name, at + 4, load32(at));
        return trace_reader_damage(reader, offset,
                                   "event '%s' is logged but not declared in %s; name the "
                                   "trace-events-all of the program that wrote the recording with "
                                   "--events",
                                   name, s->list);
    }
    if (s->positional) {
        return trace_reader_damage(
            reader, offset,
            "expected the number of one of the %zu events declared in %s, "
            "found %llu; name the trace-events-all of the program that wrote "
            "the recording with --events",
            s->id_count - 1, s->list, (unsigned long long)id);
    }
    return trace_reader_damage(reader, offset,
                               "expected an event id that was given a name before, found 0x%llx",
                               (unsigned long long)id);
}

/* The sentence for arguments that do not fit: says at which argument it went wrong. */
static int misfit(struct trace_reader *reader, const struct trace_decl *decl, uint64_t offset,
                  const uint8_t *p, size_t len)
{
    struct simple *s = reader->own;
    size_t at = 0;
    for (unsigned i = 0; i < decl->nargs; i++) {
        bool string = decl->strings >> i & 1;
        size_t need = string ? 4 : 8;
        if (string && len - at >= 4) {
            uint32_t text = load32(p + at);
            if (text > TRACE_STRING_MAX) {
                return trace_reader_damage(reader, offset + at,
                                           "expected the length of string '%s' of event '%s' (at "
                                           "most %d), found %u",
                                           decl->arg[i].name, decl->name, TRACE_STRING_MAX, text);
            }
            need += text;
        }
        if (len - at < need) {
            return trace_reader_damage(
                reader, offset + at,
                "expected argument '%s' of event '%s' (%zu bytes), found the record's end after "
                "%zu; is %s from the program that wrote the recording?",
                decl->arg[i].name, decl->name, need, len - at, s->list);
        }
        at += need;
    }
    return trace_reader_damage(reader, offset + at,
                               "expected the end of a record of event '%s' (%u arguments), found "
                               "%zu more bytes; is %s from the program that wrote the recording?",
                               decl->name, decl->nargs, len - at, s->list);
}

/* A record that is not of a known, constant length: with strings, or the first of its event. */
static int read_varying(struct trace_reader *reader, struct shape *shape, unsigned lead,
                        uint32_t length)
{
    struct simple *s = reader->own;
    struct input *in = reader->input;
    enum { LENGTH_MAX = FIXED + TRACE_VALUES_MAX * (4 + TRACE_STRING_MAX) };
    if (length < FIXED || length > LENGTH_MAX) {
        return trace_reader_damage(reader, input_offset(in) + lead + 16,
                                   "expected the length of a record (%d to %d), found %u", FIXED,
                                   LENGTH_MAX, length);
    }
    if (input_need(in, lead + length) < lead + length) {
        return trace_reader_cut(reader, "a record", lead + length);
    }
    const uint8_t *args = in->cur + lead + FIXED, *end = in->cur + lead + length;
    const struct trace_decl *decl = shape->decl ? shape->decl : shape->listed;
    if (trace_decode(decl, args, end, s->values, s->lengths)) {
        if (!shape->decl) {
            shape_use(s, shape, NULL);
        }
        return 1;
    }
    if (!shape->decl && decl->vcpu && decl->nargs) {
        struct trace_decl *copy = without_cpu(decl);
        if (trace_decode(copy, args, end, s->values, s->lengths)) {
            shape_use(s, shape, copy);
            return 1;
        }
        free(copy);
    }
    return misfit(reader, decl, input_offset(in) + lead + FIXED, args, length - FIXED);
}

static inline void fill(struct simple *s, const struct shape *shape, struct trace_record *record,
                        uint64_t time, uint32_t pid)
{
    record->decl = shape->decl;
    record->event = shape->event;
    record->time = time;
    record->pid = pid;
    record->thread = (uint32_t)(s->values[shape->thread] & shape->thread_mask);
    record->lost = s->values[0] & shape->lost_mask;
    record->values = s->values;
    record->lengths = s->lengths;
}

/* The next event of versions 2 to 4. `lead` is the length of the type word: 8 or, before version
 * 4, 0. */
static inline int next_record(struct trace_reader *reader, struct trace_record *record,
                              unsigned lead)
{
    struct simple *s = reader->own;
    struct input *in = reader->input;
    size_t have;
    while ((have = (size_t)(in->end - in->cur)) < lead + FIXED ||
           (lead && load64(in->cur) != TRACE_TYPE_EVENT)) {
        if (have < lead + FIXED && input_need(in, lead + FIXED) >= lead + FIXED) {
            continue;
        }
        int got = lead ? read_mapping(reader) : trace_reader_cut(reader, "a record", FIXED);
        if (got <= 0) {
            return got;
        }
    }
    const uint8_t *p = in->cur + lead;
    uint64_t id = load64(p), time = load64(p + 8);
    uint32_t length = load32(p + 16), pid = load32(p + 20);

    const struct id *slot = id_slot(s, id);
    if (__builtin_expect(slot->shape >= ID_UNDECLARED, 0)) {
        return undeclared(reader, input_offset(in) + lead, slot, id);
    }
    struct shape *shape = &s->shape[slot->shape];
    if (__builtin_expect(length == shape->length && lead + length <= have, 1)) {
        p += FIXED;
        for (unsigned i = 0; i < shape->decl->nargs; i++) {
            s->values[i] = load64(p + 8 * i);
        }
    } else {
        int got = read_varying(reader, shape, lead, length);
        if (got <= 0) {
            return got;
        }
    }
    in->cur += lead + length;
    fill(s, shape, record, time, s->no_pid ? 0 : pid);
    return 1;
}

/* The next event of version 0: 64 bytes, whatever the event. */
static int next_v0(struct trace_reader *reader, struct trace_record *record)
{
    struct simple *s = reader->own;
    struct input *in = reader->input;
    if (input_need(in, V0_RECORD) < V0_RECORD) {
        return trace_reader_cut(reader, "a record", V0_RECORD);
    }
    uint64_t id = load64(in->cur);
    const struct id *slot = id_slot(s, id);
    if (slot->shape >= ID_UNDECLARED) {
        return undeclared(reader, input_offset(in), slot, id);
    }
    struct shape *shape = &s->shape[slot->shape];
    if (!shape->decl) {
        if (shape->listed->nargs > V0_ARGS) {
            return trace_reader_damage(reader, input_offset(in),
                                       "expected an event with at most %d arguments, found '%s', "
                                       "which %s declares with %u",
                                       V0_ARGS, shape->listed->name, s->list, shape->listed->nargs);
        }
        shape_use(s, shape, shape->listed->strings ? with_addresses(shape->listed) : NULL);
    }
    for (unsigned i = 0; i < shape->decl->nargs; i++) {
        s->values[i] = load64(in->cur + 16 + 8 * i);
    }
    fill(s, shape, record, load64(in->cur + 8), 0);
    in->cur += V0_RECORD;
    return 1;
}

static int simple_next(struct trace_reader *reader, struct trace_record *record)
{
    if (__builtin_expect(reader->version == 4, 1)) {
        return next_record(reader, record, TRACE_RECORD_TYPE);
    }
    return reader->version ? next_record(reader, record, 0) : next_v0(reader, record);
}

const struct trace_reader_ops trace_reader_simple = {
    .format = TRACE_FORMAT_SIMPLE,
    .expected = "a simple recording (first bytes ff ff ff ff ff ff ff ff)",
    .recognise = simple_recognise,
    .open = simple_open,
    .next = simple_next,
    .close = simple_close,
};
