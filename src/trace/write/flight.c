/* SPDX-License-Identifier: MIT
 *
 * Flight recordings: mode=flight,size=N. Threads write their records straight into a shared mapping
 * of the file (flight.h has its layout, probe/buffer.h the order of stores), so nothing has to be
 * saved when the process dies. */
#include "trace/write/flight.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/descriptor.h"
#include "base/memory.h"
#include "trace/probe/event.h"
#include "trace/record.h"
#include "trace/write/lock.h"
#include "trace/write/mapping.h"
#include "trace/write/writers.h"

struct flight {
    int fd;
    uint8_t *map; /* the whole file as it is made: header, tables, chunks */
    size_t map_size;
    uint8_t *chunks;
    size_t chunk_size;
    size_t chunk_count;
    uint64_t next;     /* chunks taken so far */
    uint8_t *busy;     /* for each chunk: a thread is filling it */
    uint64_t untold;   /* records lost by threads that ended without a chunk to say so in */
    uint64_t file_end; /* where the next table goes */
};

static bool write_at(int fd, const void *bytes, size_t len, uint64_t offset)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = pwrite(fd, (const char *)bytes + done, len - done, (off_t)(offset + done));
        if (n < 0 && errno != EINTR) {
            return false;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* Declarations and mapping as they are written: one after the other. */
struct tables {
    char *text;
    uint8_t *mapping;
    size_t text_len, mapping_len;
};

static void make_tables(const struct trace_sink *sink, struct tables *t)
{
    t->text = trace_sink_declarations(sink, &t->text_len);
    t->mapping = trace_mapping(0, &t->mapping_len);
}

static void free_tables(struct tables *t)
{
    free(t->text);
    free(t->mapping);
}

/* Writes them at `offset`; then the header points there. */
static bool write_tables(struct trace_sink *sink, const struct tables *t, uint64_t offset,
                         struct error *err)
{
    struct flight *f = sink->own;
    struct flight_header *header = (struct flight_header *)f->map;
    if (!write_at(f->fd, t->text, t->text_len, offset) ||
        !write_at(f->fd, t->mapping, t->mapping_len, offset + t->text_len)) {
        return error_set(err, "%s: %s", sink->options.file, strerror(errno));
    }
    header->text_length = t->text_len;
    header->mapping_length = t->mapping_len;
    header->text_offset = offset;
    return true;
}

static size_t chunk_size_for(uint64_t size)
{
    size_t chunk = FLIGHT_CHUNK_MIN;
    while (chunk < FLIGHT_CHUNK_MAX && chunk * FLIGHT_SHARE < size) {
        chunk *= 2;
    }
    return chunk;
}

static void flight_free(struct flight *f)
{
    if (f->map) {
        munmap(f->map, f->map_size);
    }
    if (f->fd >= 0) {
        trace_lock_close(f->fd);
    }
    free(f->busy);
    free(f);
}

/* Creates the file with all its blocks, so that a full disk is an error now and not a signal later.
 */
static bool create(struct flight *f, const char *path, struct error *err)
{
    f->fd = descriptor_own(open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (f->fd < 0) {
        return error_set(err, "%s: %s", path, strerror(errno));
    }
    /* Whoever maps the file would get SIGBUS when it is cut. */
    if (!trace_lock_take(f->fd, path, err)) {
        return false;
    }
    if (ftruncate(f->fd, 0) != 0) {
        return error_set(err, "%s: %s", path, strerror(errno));
    }
    int failed = posix_fallocate(f->fd, 0, (off_t)f->map_size);
    if (failed) {
        return error_set(err, "%s: no room for a flight recording of %zu bytes: %s", path,
                         f->map_size, strerror(failed));
    }
    void *map = mmap(NULL, f->map_size, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);
    if (map == MAP_FAILED) {
        return error_set(err, "%s: cannot be mapped into memory: %s", path, strerror(errno));
    }
    f->map = map;
    return true;
}

static bool flight_open(struct trace_sink *sink, struct error *err)
{
    const struct trace_sink_options *o = &sink->options;
    struct flight *f = mem_alloc(sizeof *f);
    f->chunk_size = chunk_size_for(o->size);
    f->chunk_count = o->size / f->chunk_size;
    f->busy = mem_alloc(f->chunk_count);
    f->fd = -1;
    struct tables tables;
    make_tables(sink, &tables);
    const size_t head =
        (FLIGHT_HEADER_SIZE + tables.text_len + tables.mapping_len + 4095) & ~4095ul;
    f->map_size = head + f->chunk_count * f->chunk_size;
    f->file_end = f->map_size;
    if (!create(f, o->file, err)) {
        flight_free(f);
        free_tables(&tables);
        return false;
    }
    f->chunks = f->map + head;
    struct flight_header *header = (struct flight_header *)f->map;
    *header = (struct flight_header){
        .magic = FLIGHT_MAGIC,
        .byte_order = 0x01020304,
        .chunk_size = f->chunk_size,
        .chunk_count = f->chunk_count,
        .chunks_offset = head,
        .wall_offset = (int64_t)(clock_realtime() - clock_monotonic()),
        .pid = trace_process_id,
    };
    sink->own = f;
    bool ok = write_tables(sink, &tables, FLIGHT_HEADER_SIZE, err);
    free_tables(&tables);
    if (!ok) {
        flight_free(f);
        return false;
    }
    header->version = FLIGHT_VERSION;
    return true;
}

/* The number of the chunk that the address lies in. */
static size_t chunk_of(const struct flight *f, const uint8_t *p)
{
    return (size_t)(p - f->chunks) / f->chunk_size;
}

/* Marks the oldest chunk that nobody fills as ours; chunk_count when there is none. */
static size_t take_chunk(struct flight *f, uint64_t *sequence)
{
    for (size_t tries = 0; tries < f->chunk_count; tries++) {
        *sequence = __atomic_fetch_add(&f->next, 1, __ATOMIC_RELAXED);
        size_t i = *sequence % f->chunk_count;
        if (!__atomic_exchange_n(&f->busy[i], 1, __ATOMIC_ACQUIRE)) {
            return i;
        }
    }
    return f->chunk_count;
}

static bool flight_room(struct trace_sink *sink, struct trace_thread *thread,
                        struct trace_buffer *b)
{
    struct flight *f = sink->own;
    uint64_t sequence = 0;
    size_t i = take_chunk(f, &sequence);
    if (i == f->chunk_count && b->base) {
        i = chunk_of(f, b->base); /* all others are taken: over again */
    } else if (i == f->chunk_count) {
        return false;
    } else if (b->base) {
        __atomic_store_n(&f->busy[chunk_of(f, b->base)], 0, __ATOMIC_RELEASE);
    }
    uint8_t *base = f->chunks + i * f->chunk_size;
    struct flight_chunk *chunk = (struct flight_chunk *)base;
    /* Unused, then empty, then ours: in this order for whoever reads the file after a kill. */
    __atomic_store_n(&chunk->sequence, 0, __ATOMIC_RELEASE);
    __atomic_store_n((uint64_t *)(chunk + 1), 0, __ATOMIC_RELEASE);
    __atomic_store_n(&chunk->tid, thread->tid, __ATOMIC_RELEASE);
    __atomic_store_n(&chunk->serial, thread->serial, __ATOMIC_RELEASE);
    __atomic_store_n(&chunk->sequence, sequence + 1, __ATOMIC_RELEASE);
    b->base = base;
    b->limit = base + f->chunk_size;
    b->end = b->limit - 8;
    __atomic_store_n(&b->cur, (uint8_t *)(chunk + 1), __ATOMIC_RELEASE);
    return true;
}

static bool flight_events_added(struct trace_sink *sink, struct error *err)
{
    struct flight *f = sink->own;
    struct tables tables;
    make_tables(sink, &tables);
    bool ok = write_tables(sink, &tables, f->file_end, err);
    f->file_end += tables.text_len + tables.mapping_len;
    free_tables(&tables);
    return ok;
}

static bool flight_flush(struct trace_sink *sink, struct error *err)
{
    struct flight *f = sink->own;
    if (msync(f->map, f->map_size, MS_SYNC) != 0) {
        return error_set(err, "%s: %s", sink->options.file, strerror(errno));
    }
    return true;
}

static void flight_thread_ended(struct trace_sink *sink, struct trace_thread *thread)
{
    struct flight *f = sink->own;
    struct trace_buffer *b = &thread->buffer[sink->slot];
    if (b->base) {
        __atomic_store_n(&f->busy[chunk_of(f, b->base)], 0, __ATOMIC_RELEASE);
    }
    __atomic_add_fetch(&f->untold, b->lost - b->lost_told, __ATOMIC_RELAXED);
}

static void flight_close(struct trace_sink *sink)
{
    struct flight *f = sink->own;
    if (f->untold) {
        fprintf(stderr,
                "%s: the flight recording lacks %" PRIu64 " events: it has %zu chunks, and so many "
                "threads fired at a time that some had none; a larger size= has more\n",
                program_invocation_short_name, f->untold, f->chunk_count);
    }
    flight_free(f);
    sink->own = NULL;
}

const struct trace_sink_ops trace_writer_flight = {
    .name = "flight",
    .help = "the last size=N bytes of records, in a mapped file",
    .takes_file = true,
    .default_suffix = "",
    .open = flight_open,
    .close = flight_close,
    .room = flight_room,
    .flush = flight_flush,
    .events_added = flight_events_added,
    .thread_ended = flight_thread_ended,
};
