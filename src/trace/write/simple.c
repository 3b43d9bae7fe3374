/* SPDX-License-Identifier: MIT
 *
 * The simple writer: version 4 of QEMU's simple format, as QEMU's own reader expects it. Records
 * have the file's layout already in the thread buffers (record.h), so writing is copying. Our
 * declarations go into FILE.events beside it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "base/memory.h"
#include "base/output.h"
#include "trace/probe/event.h"
#include "trace/record.h"
#include "trace/write/lock.h"
#include "trace/write/mapping.h"
#include "trace/write/writers.h"

struct simple {
    struct output *out;
    char *events;    /* path of the declarations; NULL when FILE is no regular file */
    unsigned mapped; /* events whose names are in the file */
    int lock;        /* descriptor of FILE that is locked meanwhile; -1: FILE is no regular file */
};

/* Declarations beside a pipe or a device would be litter. */
static bool is_regular(const char *path)
{
    struct stat st;
    return strcmp(path, "-") && (stat(path, &st) != 0 || S_ISREG(st.st_mode));
}

/* All declarations, anew: they are few, and sets of words belong together. */
static bool write_declarations(struct trace_sink *sink, struct error *err)
{
    struct simple *s = sink->own;
    struct output *out = s->events ? output_open(s->events, err) : NULL;
    if (!out) {
        return !s->events;
    }
    size_t len;
    char *text = trace_sink_declarations(sink, &len);
    output_add(out, text, len);
    free(text);
    return output_close(out, err);
}

static bool write_names(struct trace_sink *sink, struct error *err)
{
    struct simple *s = sink->own;
    size_t len;
    uint8_t *mapping = trace_mapping(s->mapped, &len);
    bool ok = write_declarations(sink, err);
    output_add(s->out, mapping, len);
    free(mapping);
    s->mapped = trace_event_count();
    return ok;
}

static void simple_free(struct simple *s)
{
    if (s->lock >= 0) {
        trace_lock_close(s->lock);
    }
    free(s->events);
    free(s);
}

static bool lock_file(struct simple *s, const char *path, struct error *err)
{
    s->lock = descriptor_own(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    if (s->lock < 0) {
        return error_set(err, "%s: cannot be created: %s", path, strerror(errno));
    }
    if (!trace_lock_take(s->lock, path, err)) {
        close(s->lock);
        s->lock = -1;
        return false;
    }
    return true;
}

static bool simple_open(struct trace_sink *sink, struct error *err)
{
    static const uint64_t head[3] = {TRACE_HEADER_ID, TRACE_HEADER_MAGIC, 4};
    const char *path = sink->options.file;
    struct simple *s = mem_alloc(sizeof *s);

    s->lock = -1;
    if (is_regular(path)) {
        s->events = mem_format("%s.events", path);
    }
    s->out = !s->events || lock_file(s, path, err) ? output_open(path, err) : NULL;
    if (!s->out) {
        simple_free(s);
        return false;
    }
    sink->own = s;
    output_add(s->out, head, sizeof head);
    if (!write_names(sink, err)) {
        output_close(s->out, NULL);
        simple_free(s);
        return false;
    }
    output_flush(s->out);
    return true;
}

static bool simple_events_added(struct trace_sink *sink, struct error *err)
{
    return write_names(sink, err);
}

static bool simple_records(struct trace_sink *sink, struct trace_thread *thread,
                           const uint8_t *bytes, size_t len, struct error *err)
{
    (void)thread;
    struct simple *s = sink->own;
    output_add(s->out, bytes, len);
    return !output_failed(s->out, err);
}

static bool simple_flush(struct trace_sink *sink, struct error *err)
{
    struct simple *s = sink->own;
    output_flush(s->out);
    return !output_failed(s->out, err);
}

static void simple_close(struct trace_sink *sink)
{
    struct simple *s = sink->own;
    struct error err;
    if (!output_close(s->out, &err) && !sink->failed) {
        fprintf(stderr, "%s: the simple recording is not complete: %s\n",
                program_invocation_short_name, err.text);
    }
    simple_free(s);
    sink->own = NULL;
}

const struct trace_sink_ops trace_writer_simple = {
    .name = "simple",
    .help = "binary, QEMU's simple format version 4; file=FILE, by default trace-PID",
    .takes_file = true,
    .default_suffix = "",
    .open = simple_open,
    .close = simple_close,
    .records = simple_records,
    .flush = simple_flush,
    .events_added = simple_events_added,
};
