/* SPDX-License-Identifier: MIT
 *
 * The ctf writer: a CTF 1.8 trace (ctf_file.h) with a stream for each thread. The declarations of
 * all events are in the metadata from the beginning, and every pass of the drain writes out what it
 * was given, so that the trace of a process that was killed can be read. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/load.h"
#include "base/memory.h"
#include "trace/probe/event.h"
#include "trace/record.h"
#include "trace/write/ctf_file.h"
#include "trace/write/writers.h"

struct shape {
    uint32_t strings;
    uint32_t nargs;
};

struct ctf {
    struct ctf_file *file;
    struct shape *shape; /* by event id */
    unsigned declared;   /* events in the metadata */
};

/* --- opening --- */

/* Wall-clock time minus monotonic clock: the pair of readings that lies closest together counts. */
static int64_t wall_offset(void)
{
    uint64_t best = UINT64_MAX;
    int64_t offset = 0;
    for (int i = 0; i < 8; i++) {
        uint64_t before = clock_monotonic(), wall = clock_realtime(), after = clock_monotonic();
        if (after - before < best) {
            best = after - before;
            offset = (int64_t)(wall - (before + best / 2));
        }
    }
    return offset;
}

enum { UUID_TEXT = 36 };

/* The name of this boot: recordings with the same one have the same clock. Also LTTng's way. */
static bool boot_id(char text[UUID_TEXT + 1])
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t len = fd >= 0 ? read(fd, text, UUID_TEXT) : -1;
    if (fd >= 0) {
        close(fd);
    }
    text[UUID_TEXT] = 0;
    return len == UUID_TEXT && strspn(text, "0123456789abcdef-") == UUID_TEXT;
}

static struct ctf_file *open_file(const char *path, struct error *err)
{
    char boot[UUID_TEXT + 1];
    struct utsname host;
    struct ctf_about about = {
        .pid = (uint32_t)getpid(),
        .program = program_invocation_short_name,
        .host = uname(&host) == 0 ? host.nodename : NULL,
        .clock_uuid = boot_id(boot) ? boot : NULL,
        .wall_known = true,
        .wall = wall_offset(),
    };
    return ctf_file_open(path, &about, err);
}

static bool ctf_events_added(struct trace_sink *sink, struct error *err)
{
    struct ctf *c = sink->own;
    unsigned count = trace_event_count();
    c->shape = mem_resize(c->shape, count, sizeof *c->shape);
    for (; c->declared < count; c->declared++) {
        struct trace_decl decl;
        trace_sink_decl(sink, trace_event_at(c->declared), &decl);
        c->shape[c->declared] = (struct shape){decl.strings, decl.nargs};
        if (!decl.disabled) {
            ctf_file_declare(c->file, c->declared, &decl);
        }
    }
    return ctf_file_commit(c->file, err);
}

static void ctf_free(struct trace_sink *sink)
{
    struct ctf *c = sink->own;
    free(c->shape);
    free(c);
    sink->own = NULL;
}

static bool ctf_open(struct trace_sink *sink, struct error *err)
{
    struct ctf_file *file = open_file(sink->options.file, err);
    if (!file) {
        return false;
    }
    struct ctf *c = mem_alloc(sizeof *c);
    c->file = file;
    sink->own = c;
    if (!ctf_events_added(sink, err)) {
        ctf_file_close(file, NULL);
        ctf_free(sink);
        return false;
    }
    return true;
}

static void ctf_close(struct trace_sink *sink)
{
    struct ctf *c = sink->own;
    struct error err;
    if (!ctf_file_close(c->file, &err) && !sink->failed) {
        fprintf(stderr, "%s: the ctf recording is not complete: %s\n",
                program_invocation_short_name, err.text);
    }
    ctf_free(sink);
}

/* --- records --- */

static struct ctf_stream *stream_of(struct trace_sink *sink, struct trace_thread *thread,
                                    uint32_t pid)
{
    struct ctf *c = sink->own;
    struct ctf_stream *s = thread->stream[sink->slot];
    if (!s) {
        s = ctf_stream_new(c->file, pid, thread->tid);
        thread->stream[sink->slot] = s;
    }
    return s;
}

static bool put_record(struct ctf *c, struct ctf_stream *s, const uint8_t *p, struct error *err)
{
    uint64_t id = load64(p + 8), time = load64(p + 16);
    if (id == TRACE_DROPPED_ID) {
        return ctf_stream_lost(s, time, load64(p + TRACE_RECORD_HEAD), err);
    }
    if (id >= c->declared) {
        bug("record of event %llu, of which %u are known", (unsigned long long)id, c->declared);
    }
    struct shape shape = c->shape[id];
    uint64_t values[TRACE_VALUES_MAX];
    uint32_t lengths[TRACE_VALUES_MAX];
    p += TRACE_RECORD_HEAD;
    if (!shape.strings) {
        memcpy(values, p, 8 * (size_t)shape.nargs);
        return ctf_stream_event(s, (uint32_t)id, time, values, lengths, err);
    }
    for (unsigned i = 0; i < shape.nargs; i++) {
        if (shape.strings >> i & 1) {
            lengths[i] = load32(p);
            values[i] = (uintptr_t)(p + 4);
            p += 4 + lengths[i];
        } else {
            values[i] = load64(p);
            p += 8;
        }
    }
    return ctf_stream_event(s, (uint32_t)id, time, values, lengths, err);
}

static bool ctf_records(struct trace_sink *sink, struct trace_thread *thread, const uint8_t *bytes,
                        size_t len, struct error *err)
{
    const uint8_t *end = bytes + len;
    for (const uint8_t *p = bytes; p < end; p += TRACE_RECORD_TYPE + load32(p + 24)) {
        struct ctf_stream *s = stream_of(sink, thread, load32(p + 28));
        if (!put_record(sink->own, s, p, err)) {
            return false;
        }
    }
    return true;
}

static bool ctf_flush(struct trace_sink *sink, struct error *err)
{
    struct ctf *c = sink->own;
    return ctf_file_flush(c->file, err);
}

static void ctf_thread_ended(struct trace_sink *sink, struct trace_thread *thread)
{
    struct ctf_stream *s = thread->stream[sink->slot];
    if (s) {
        /* A failure is kept: the next flush, or closing, tells of it. */
        ctf_stream_close(s, NULL);
    }
    thread->stream[sink->slot] = NULL;
}

const struct trace_sink_ops trace_writer_ctf = {
    .name = "ctf",
    .help = "CTF 1.8, a directory; file=DIRECTORY, by default trace-PID.ctf",
    .takes_file = true,
    .default_suffix = ".ctf",
    .open = ctf_open,
    .close = ctf_close,
    .records = ctf_records,
    .flush = ctf_flush,
    .events_added = ctf_events_added,
    .thread_ended = ctf_thread_ended,
};
