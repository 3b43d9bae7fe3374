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
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/output.h"
#include "trace/probe/event.h"
#include "trace/record.h"
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

/* Appends to FILE.events what was registered since the last time. */
static bool write_declarations(struct trace_sink *sink, bool first, struct error *err)
{
    struct simple *s = sink->own;
    if (!s->events) {
        return true;
    }
    size_t len;
    char *text = trace_sink_declarations(sink, s->mapped, &len);
    int fd = open(s->events, O_WRONLY | O_CREAT | O_CLOEXEC | (first ? O_TRUNC : O_APPEND), 0600);
    bool ok = fd >= 0;
    for (size_t done = 0; ok && done < len;) {
        ssize_t n = write(fd, text + done, len - done);
        ok = n >= 0 || errno == EINTR;
        done += n > 0 ? (size_t)n : 0;
    }
    if (!ok) {
        error_set(err, "%s: %s", s->events, strerror(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
    free(text);
    return ok;
}

static bool write_names(struct trace_sink *sink, bool first, struct error *err)
{
    struct simple *s = sink->own;
    size_t len;
    uint8_t *mapping = trace_mapping(s->mapped, &len);
    bool ok = write_declarations(sink, first, err);
    output_add(s->out, mapping, len);
    free(mapping);
    s->mapped = trace_event_count();
    return ok;
}

static void simple_free(struct simple *s)
{
    if (s->lock >= 0) {
        flock(s->lock, LOCK_UN); /* a forked child has the descriptor too */
        close(s->lock);
    }
    free(s->events);
    free(s);
}

/* Keeps a second recording, of this program or another, from writing into the same file, however
 * it is spelt. */
static bool lock_file(struct simple *s, const char *path, struct error *err)
{
    s->lock = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock < 0) {
        return error_set(err, "%s: cannot be created: %s", path, strerror(errno));
    }
    if (flock(s->lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        close(s->lock);
        s->lock = -1;
        return error_set(err, "%s: is being recorded into already: name another file", path);
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
    if (!write_names(sink, true, err)) {
        output_close(s->out, NULL);
        simple_free(s);
        return false;
    }
    output_flush(s->out);
    return true;
}

static bool simple_events_added(struct trace_sink *sink, struct error *err)
{
    return write_names(sink, false, err);
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
