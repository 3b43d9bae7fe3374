/* SPDX-License-Identifier: MIT
 *
 * A CTF 1.8 trace: a directory with a stream for each thread, or for each process where the
 * recording has no threads. It is made when the first record comes, whose process id stands for
 * the whole trace.
 *
 * Times in a stream must not fall, but in recordings without threads they do: threads are mixed
 * there, and a record may be older than the one before it. Such a record goes to another stream of
 * the same thread, a lane, so that every record keeps its time.
 */
#include "cmd/vitrine-trace/to.h"

#include <string.h>

#include "base/memory.h"
#include "trace/write/ctf_file.h"

enum {
    STREAMS_MAX = 4096, /* a stream is a file */
    STREAM_SLOTS = 2 * STREAMS_MAX,
    LANES_MAX = 64,
};

struct ctf_slot {
    uint32_t pid, thread;
    unsigned lane;
    struct ctf_stream *stream; /* NULL: free */
};

struct sink_ctf {
    struct sink sink;
    char *path;
    struct ctf_about about;
    struct ctf_file *file;
    struct event_table declared; /* any pointer that is not NULL: the event is */
    struct ctf_slot slot[STREAM_SLOTS];
    unsigned streams;
    struct ctf_slot *last;
    bool failed;
    struct error failure;
};

static struct sink *ctf_begin(const struct sink_options *options, struct error *err)
{
    struct sink_ctf *s = mem_alloc(sizeof(*s));

    (void)err;
    s->path = mem_string(options->path);
    s->about.wall_known = options->wall_known;
    s->about.wall = options->wall;
    return &s->sink;
}

static bool ctf_open(struct sink_ctf *s)
{
    if (s->file == NULL && !s->failed) {
        s->file = ctf_file_open(s->path, &s->about, &s->failure);
        s->failed = s->file == NULL;
    }
    return s->file != NULL;
}

/* The slot of a stream, used or free. There is always a free one. */
static struct ctf_slot *ctf_slot_of(struct sink_ctf *s, uint32_t pid, uint32_t thread,
                                    unsigned lane)
{
    uint64_t key = ((uint64_t)pid << 32 | thread) + lane * UINT64_C(0xd6e8feb86659fd93);
    unsigned at = (unsigned)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 40) % STREAM_SLOTS;

    while (s->slot[at].stream != NULL &&
           (s->slot[at].pid != pid || s->slot[at].thread != thread || s->slot[at].lane != lane)) {
        at = (at + 1) % STREAM_SLOTS;
    }
    return &s->slot[at];
}

/* The stream for a record: the first lane of its thread that has no later record. NULL when there
 * are too many. */
static struct ctf_stream *ctf_stream_of(struct sink_ctf *s, const struct trace_record *record)
{
    uint32_t pid = record->pid, thread = record->thread;
    unsigned lane = 0;

    if (s->last != NULL && s->last->lane == 0 && s->last->pid == pid && s->last->thread == thread &&
        ctf_stream_time(s->last->stream) <= record->time) {
        return s->last->stream;
    }
    do {
        s->last = ctf_slot_of(s, pid, thread, lane);
    } while (s->last->stream != NULL && ctf_stream_time(s->last->stream) > record->time &&
             ++lane < LANES_MAX);
    if (lane == LANES_MAX || (s->last->stream == NULL && s->streams == STREAMS_MAX)) {
        s->failed = true;
        s->last = NULL;
        error_set(&s->failure,
                  lane == LANES_MAX
                      ? "%s: a CTF trace holds records in order of time, and in this recording "
                        "more than %d in a row are each earlier than the one before"
                      : "%s: the recording has more than %d threads, and a CTF trace a file for "
                        "each",
                  s->path, lane == LANES_MAX ? LANES_MAX : STREAMS_MAX);
        return NULL;
    }
    if (s->last->stream == NULL) {
        s->streams++;
        *s->last = (struct ctf_slot){.pid = pid,
                                     .thread = thread,
                                     .lane = lane,
                                     .stream = ctf_stream_new(s->file, pid, thread)};
    }
    return s->last->stream;
}

static bool ctf_record(struct sink *sink, const struct trace_record *record)
{
    struct sink_ctf *s = (struct sink_ctf *)sink;

    if (s->file == NULL) {
        s->about.pid = record->pid;
        if (!ctf_open(s)) {
            return false;
        }
    }

    struct ctf_stream *stream = ctf_stream_of(s, record);
    if (stream == NULL) {
        return false;
    }
    if (record_is_loss(record)) {
        s->failed = !ctf_stream_lost(stream, record->time, record->lost, &s->failure);
        return !s->failed;
    }

    void **declared = event_table_slot(&s->declared, record->event);
    if (*declared == NULL) {
        *declared = s;
        ctf_file_declare(s->file, record->event, record->decl);
    }
    s->failed = !ctf_stream_event(stream, record->event, record->time, record->values,
                                  record->lengths, &s->failure);
    return !s->failed;
}

static void ctf_keep(void *row)
{
    (void)row;
}

static bool ctf_end(struct sink *sink, struct error *err)
{
    struct sink_ctf *s = (struct sink_ctf *)sink;
    struct error closing;

    /* A recording without records is a trace without events. */
    if (ctf_open(s) && !ctf_file_close(s->file, &closing) && !s->failed) {
        s->failed = true;
        s->failure = closing;
    }

    bool ok = !s->failed;
    if (!ok && err != NULL) {
        *err = s->failure;
    }
    event_table_free(&s->declared, ctf_keep);
    free(s->path);
    free(s);
    return ok;
}

const struct sink_format sink_ctf = {
    .name = "ctf",
    .summary = "a CTF 1.8 directory, for babeltrace2 and Trace Compass",
    .named = true,
    .begin = ctf_begin,
    .record = ctf_record,
    .end = ctf_end,
};
