/* SPDX-License-Identifier: MIT
 *
 * Flight recordings (write/flight.h has the layout). Chunks are sorted by thread and sequence; a
 * heap of threads gives the oldest record of all. One chunk a thread is in memory at a time, read
 * as a copy, so a recording may be read while its program still runs: a chunk that changed hands
 * meanwhile is left out.
 *
 * A pipe or a compressed recording goes through an unnamed temporary file first. */
#include "trace/write/flight.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "trace/read/decode.h"
#include "trace/read/internal.h"
#include "trace/record.h"

enum {
    CHUNKS_MAX = 1 << 22,
    TABLES_MAX = 64 << 20, /* bytes of declarations, and of mapping */
    IDS_MAX = 1 << 20,
    NAME_MAX_LEN = 1024, /* bytes of an event's name */
};

struct chunk {
    uint32_t serial;
    uint32_t tid;
    uint64_t sequence;
    uint64_t offset;
};

/* One thread's chunks, being read one after the other. */
struct lane {
    const struct chunk *next, *end;
    uint32_t tid;
    uint8_t *bytes;  /* the chunk that is read now */
    size_t size;     /* of it; less than a chunk where the file was cut */
    size_t pos;      /* of the record whose time is below */
    uint64_t offset; /* of bytes[0] in the file */
    uint64_t time;
};

struct flight {
    int fd;     /* of the recording or its copy */
    FILE *copy; /* NULL: the input's own file is read */
    struct flight_header head;
    uint64_t size, whole; /* of the file, and where its last chunk should end */
    struct trace_decls *decls;
    const struct trace_decl **by_id;
    unsigned *number; /* dense numbers, plus one; 0: not logged yet */
    size_t ids;
    unsigned numbers, dropped_number;
    struct chunk *chunk;
    size_t chunks, chunks_read;
    struct lane *lane;
    size_t lanes;
    struct lane **heap; /* lanes with a record, the oldest first */
    size_t heap_size;
    bool handed_out; /* the record at the top of the heap */
    uint64_t values[TRACE_VALUES_MAX];
    uint32_t lengths[TRACE_VALUES_MAX];
};

static bool flight_recognise(const uint8_t *head, size_t len)
{
    return len > 0 && !memcmp(head, FLIGHT_MAGIC, len < 15 ? len : 15);
}

static bool read_at(struct flight *f, void *to, size_t len, uint64_t offset)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = pread(f->fd, (char *)to + done, len - done, (off_t)(offset + done));
        if (n <= 0 && !(n < 0 && errno == EINTR)) {
            return false;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* Copies what comes through a pipe or out of compression to a file without a name. */
static bool copy_input(struct trace_reader *reader, struct error *err)
{
    struct flight *f = reader->own;
    struct input *in = reader->input;
    f->copy = tmpfile();
    bool ok = f->copy != NULL;
    while (ok && input_need(in, 1)) {
        size_t len = (size_t)(in->end - in->cur);
        ok = fwrite(in->cur, 1, len, f->copy) == len;
        in->cur += len;
    }
    if (!ok || fflush(f->copy) != 0) {
        return error_set(err, "%s: cannot be copied to a temporary file: %s", reader->path,
                         strerror(errno));
    }
    f->fd = fileno(f->copy);
    return !input_failed(in, err) || error_prefix(err, "%s: ", reader->path);
}

/* The recording as a file that can be read anywhere. */
static bool open_seekable(struct trace_reader *reader, struct error *err)
{
    struct flight *f = reader->own;
    f->fd = input_file(reader->input);
    return f->fd >= 0 || copy_input(reader, err);
}

static bool read_head(struct trace_reader *reader, struct error *err)
{
    struct flight *f = reader->own;
    struct flight_header *h = &f->head;
    const char *path = reader->path;
    struct stat st;
    if (!read_at(f, h, sizeof *h, 0) || fstat(f->fd, &st) != 0) {
        return error_set(err, "%s: the recording ends inside its header (needs %zu bytes)", path,
                         sizeof *h);
    }
    if (h->byte_order != 0x01020304 || h->version != FLIGHT_VERSION) {
        return error_set(err,
                         "%s: at byte 16: expected a flight recording of version %d, complete, "
                         "in this machine's byte order, found version %u, order mark 0x%x",
                         path, FLIGHT_VERSION, h->version, h->byte_order);
    }
    if (h->chunk_size < FLIGHT_CHUNK_MIN || h->chunk_size > FLIGHT_CHUNK_MAX || !h->chunk_count ||
        h->chunk_count > CHUNKS_MAX || h->chunks_offset < FLIGHT_HEADER_SIZE ||
        h->chunks_offset > (uint64_t)INT64_MAX / 2) {
        return error_set(err,
                         "%s: at byte 24: expected 1 to %d chunks of %d to %d bytes behind the "
                         "header, found %llu of %llu bytes at byte %llu",
                         path, CHUNKS_MAX, FLIGHT_CHUNK_MIN, FLIGHT_CHUNK_MAX,
                         (unsigned long long)h->chunk_count, (unsigned long long)h->chunk_size,
                         (unsigned long long)h->chunks_offset);
    }
    f->size = (uint64_t)st.st_size;
    f->whole = h->chunks_offset + h->chunk_size * h->chunk_count;
    if (h->text_length > TABLES_MAX || h->mapping_length > TABLES_MAX ||
        h->text_offset > (uint64_t)st.st_size ||
        h->text_length + h->mapping_length > (uint64_t)st.st_size - h->text_offset) {
        return error_set(err,
                         "%s: at byte 48: expected the place of the declarations, found a "
                         "place outside of the file (%llu bytes at %llu of %llu)",
                         path, (unsigned long long)(h->text_length + h->mapping_length),
                         (unsigned long long)h->text_offset, (unsigned long long)st.st_size);
    }
    return true;
}

static void set_id(struct flight *f, uint64_t id, const struct trace_decl *decl)
{
    if (id >= f->ids) {
        size_t ids = (size_t)id + (size_t)id / 2 + 64;
        f->by_id = mem_resize(f->by_id, ids, sizeof *f->by_id);
        f->number = mem_resize(f->number, ids, sizeof *f->number);
        memset(f->by_id + f->ids, 0, (ids - f->ids) * sizeof *f->by_id);
        memset(f->number + f->ids, 0, (ids - f->ids) * sizeof *f->number);
        f->ids = ids;
    }
    f->by_id[id] = decl;
}

static bool read_mapping(struct trace_reader *reader, const uint8_t *p, size_t len,
                         struct error *err)
{
    struct flight *f = reader->own;
    for (const uint8_t *end = p + len; p != end;) {
        uint64_t at = f->head.text_offset + f->head.text_length + (len - (size_t)(end - p));
        uint32_t name_len = end - p >= 20 ? load32(p + 16) : UINT32_MAX;
        if (name_len > NAME_MAX_LEN || name_len > (size_t)(end - p) - 20 ||
            load64(p) != TRACE_TYPE_MAPPING || load64(p + 8) >= IDS_MAX) {
            return error_set(err, "%s: at byte %llu: expected the name of an event", reader->path,
                             (unsigned long long)at);
        }
        char name[NAME_MAX_LEN + 1];
        memcpy(name, p + 20, name_len);
        name[name_len] = 0;
        set_id(f, load64(p + 8),
               strlen(name) == name_len ? trace_decls_find(f->decls, name) : NULL);
        p += 20 + name_len;
    }
    return true;
}

/* Declarations from the recording itself, and ids. */
static bool read_tables(struct trace_reader *reader, struct error *err)
{
    struct flight *f = reader->own;
    const size_t text = f->head.text_length, mapping = f->head.mapping_length;
    uint8_t *bytes = mem_alloc(text + mapping);
    bool ok = read_at(f, bytes, text + mapping, f->head.text_offset);
    if (!ok) {
        error_set(err, "%s: at byte %llu: the declarations cannot be read", reader->path,
                  (unsigned long long)f->head.text_offset);
    }
    f->decls = trace_decls_new();
    ok = ok &&
         trace_decls_parse(f->decls, TRACE_DIALECT_ANY, "declarations", (const char *)bytes, text,
                           NULL, NULL, err) &&
         read_mapping(reader, bytes + text, mapping, err);
    free(bytes);
    return ok;
}

static int compare_chunks(const void *a, const void *b)
{
    const struct chunk *x = a, *y = b;
    if (x->serial != y->serial) {
        return x->serial < y->serial ? -1 : 1;
    }
    return x->sequence < y->sequence ? -1 : x->sequence > y->sequence;
}

static bool read_chunk_heads(struct trace_reader *reader, struct error *err)
{
    struct flight *f = reader->own;
    f->chunk = mem_alloc(f->head.chunk_count * sizeof *f->chunk);
    for (uint64_t i = 0; i < f->head.chunk_count; i++) {
        struct flight_chunk head;
        uint64_t offset = f->head.chunks_offset + i * f->head.chunk_size;
        if (offset + sizeof head > f->size) {
            break; /* cut off; flight_next() tells at the end */
        }
        if (!read_at(f, &head, sizeof head, offset)) {
            return error_set(err, "%s: at byte %llu: expected a chunk, which cannot be read",
                             reader->path, (unsigned long long)offset);
        }
        if (head.sequence) {
            f->chunk[f->chunks++] = (struct chunk){head.serial, head.tid, head.sequence, offset};
        }
    }
    qsort(f->chunk, f->chunks, sizeof *f->chunk, compare_chunks);
    return true;
}

/* Reads the lane's next chunk that is still the one we saw. False when there is none. */
static bool lane_advance(struct flight *f, struct lane *lane)
{
    while (lane->next != lane->end) {
        const struct chunk *c = lane->next++;
        struct flight_chunk after;
        f->chunks_read++;
        const uint64_t rest = f->size - c->offset;
        lane->size = rest < f->head.chunk_size ? (size_t)rest : f->head.chunk_size;
        if (read_at(f, lane->bytes, lane->size, c->offset) &&
            read_at(f, &after, sizeof after, c->offset) && after.sequence == c->sequence &&
            load64(lane->bytes) == c->sequence) {
            lane->offset = c->offset;
            lane->pos = sizeof after;
            return true;
        }
    }
    return false;
}

/* Moves to the next record of the lane. 1: there it is; 0: the lane has ended; -1: damage. */
static int lane_settle(struct trace_reader *reader, struct lane *lane)
{
    struct flight *f = reader->own;
    for (;;) {
        const size_t left = lane->size - lane->pos;
        const bool cut = lane->size < f->head.chunk_size;
        uint64_t type = left >= 8 ? load64(lane->bytes + lane->pos) : 0;
        if (type == 0) {
            if (!lane_advance(f, lane)) {
                return 0;
            }
            continue;
        }
        const uint8_t *p = lane->bytes + lane->pos;
        if (type != TRACE_TYPE_EVENT) {
            return trace_reader_damage(reader, lane->offset + lane->pos,
                                       "expected the type of a record (1: an event, 0: no more), "
                                       "found 0x%llx",
                                       (unsigned long long)type);
        }
        if (left < TRACE_RECORD_HEAD || load32(p + 24) < TRACE_RECORD_HEAD - TRACE_RECORD_TYPE ||
            load32(p + 24) > left - TRACE_RECORD_TYPE) {
            if (cut) {
                lane->pos = lane->size; /* where the file ends */
                continue;
            }
            return trace_reader_damage(reader, lane->offset + lane->pos,
                                       "expected a record that fits its chunk (%zu bytes are left)",
                                       left);
        }
        lane->time = load64(p + 16);
        return 1;
    }
}

static void heap_down(struct flight *f, size_t i)
{
    for (;;) {
        size_t least = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < f->heap_size; child++) {
            least = f->heap[child]->time < f->heap[least]->time ? child : least;
        }
        if (least == i) {
            return;
        }
        struct lane *moved = f->heap[i];
        f->heap[i] = f->heap[least];
        f->heap[least] = moved;
        i = least;
    }
}

/* A lane for each thread; the heap of those that have records. */
static bool make_lanes(struct trace_reader *reader, struct error *err)
{
    struct flight *f = reader->own;
    for (size_t i = 0; i < f->chunks; i++) {
        f->lanes += i == 0 || f->chunk[i].serial != f->chunk[i - 1].serial;
    }
    f->lane = mem_alloc(f->lanes * sizeof *f->lane);
    f->heap = mem_alloc(f->lanes * sizeof *f->heap);
    for (size_t i = 0, lane = 0; i < f->chunks; lane++) {
        struct lane *l = &f->lane[lane];
        l->next = &f->chunk[i];
        l->tid = f->chunk[i].tid;
        while (i < f->chunks && f->chunk[i].serial == l->next->serial) {
            i++;
        }
        l->end = &f->chunk[i];
        l->bytes = mem_alloc(f->head.chunk_size);
        l->size = l->pos = f->head.chunk_size;
        int got = lane_settle(reader, l);
        if (got < 0) {
            *err = reader->error;
            return false;
        }
        if (got) {
            f->heap[f->heap_size++] = l;
        }
    }
    for (size_t i = f->heap_size; i-- > 0;) {
        heap_down(f, i);
    }
    return true;
}

static bool flight_open(struct trace_reader *reader, const struct trace_reader_options *options,
                        struct error *err)
{
    (void)options; /* the declarations are inside */
    struct flight *f = mem_alloc(sizeof *f);
    struct error ignored;
    reader->own = f;
    err = err ? err : &ignored;
    return open_seekable(reader, err) && read_head(reader, err) && read_tables(reader, err) &&
           read_chunk_heads(reader, err) && make_lanes(reader, err);
}

static void flight_close(struct trace_reader *reader)
{
    struct flight *f = reader->own;
    for (size_t i = 0; f->lane && i < f->lanes; i++) {
        free(f->lane[i].bytes);
    }
    if (f->copy) {
        fclose(f->copy);
    }
    trace_decls_free(f->decls);
    free(f->by_id);
    free(f->number);
    free(f->chunk);
    free(f->lane);
    free(f->heap);
    free(f);
}

static unsigned dense_number(struct flight *f, unsigned *number)
{
    if (!*number) {
        *number = ++f->numbers;
    }
    return *number - 1;
}

static int take_record(struct trace_reader *reader, const struct lane *lane,
                       struct trace_record *record)
{
    struct flight *f = reader->own;
    const uint8_t *p = lane->bytes + lane->pos;
    const uint8_t *end = p + TRACE_RECORD_TYPE + load32(p + 24);
    const uint64_t id = load64(p + 8);
    const bool dropped = id == TRACE_DROPPED_ID;
    const struct trace_decl *decl = dropped       ? &trace_decl_dropped
                                    : id < f->ids ? f->by_id[id]
                                                  : NULL;

    if (!decl) {
        return trace_reader_damage(reader, lane->offset + lane->pos + 8,
                                   "expected the id of a declared event, found 0x%llx",
                                   (unsigned long long)id);
    }
    if (!trace_decode(decl, p + TRACE_RECORD_HEAD, end, f->values, f->lengths)) {
        return trace_reader_damage(reader, lane->offset + lane->pos + TRACE_RECORD_HEAD,
                                   "expected the %u arguments of event '%s', found %zu bytes that "
                                   "do not fit them",
                                   decl->nargs, decl->name, (size_t)(end - p) - TRACE_RECORD_HEAD);
    }
    *record = (struct trace_record){
        .decl = decl,
        .event = dense_number(f, dropped ? &f->dropped_number : &f->number[id]),
        .time = lane->time,
        .pid = load32(p + 28),
        .thread = lane->tid,
        .lost = dropped ? f->values[0] : 0,
        .values = f->values,
        .lengths = f->lengths,
    };
    return 1;
}

static int flight_next(struct trace_reader *reader, struct trace_record *record)
{
    struct flight *f = reader->own;
    /* The record handed out last stays in place until now. */
    struct lane *lane = f->heap_size ? f->heap[0] : NULL;
    if (lane && f->handed_out) {
        lane->pos += TRACE_RECORD_TYPE + (size_t)load32(lane->bytes + lane->pos + 24);
        int got = lane_settle(reader, lane);
        if (got < 0) {
            return got;
        }
        if (!got) {
            free(lane->bytes);
            lane->bytes = NULL;
            f->heap[0] = f->heap[--f->heap_size];
        }
        heap_down(f, 0);
        lane = f->heap_size ? f->heap[0] : NULL;
    }
    if (!lane && f->size < f->whole) {
        return trace_reader_damage(reader, f->size,
                                   "the recording ends inside its chunks (needs %llu bytes, has "
                                   "%llu)",
                                   (unsigned long long)f->whole, (unsigned long long)f->size);
    }
    if (!lane) {
        return 0;
    }
    f->handed_out = true;
    return take_record(reader, lane, record);
}

static bool flight_wall_offset(const struct trace_reader *reader, int64_t *offset)
{
    const struct flight *f = reader->own;
    *offset = f->head.wall_offset;
    return true;
}

static void flight_progress(const struct trace_reader *reader, uint64_t *done, uint64_t *size)
{
    const struct flight *f = reader->own;
    *done = f->chunks_read * f->head.chunk_size;
    *size = f->chunks * f->head.chunk_size;
}

const struct trace_reader_ops trace_reader_flight = {
    .format = TRACE_FORMAT_FLIGHT,
    .expected = "a flight recording (first bytes \"VITRINE flight\")",
    .recognise = flight_recognise,
    .open = flight_open,
    .next = flight_next,
    .close = flight_close,
    .wall_offset = flight_wall_offset,
    .progress = flight_progress,
};
