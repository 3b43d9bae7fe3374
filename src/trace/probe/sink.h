/* SPDX-License-Identifier: MIT
 *
 * Sinks: those who receive what probes fire. A sink is an instance of a writer (log, simple, ctf,
 * ...) or of a consumer that a higher room adds. There are two kinds:
 *
 *   direct    `event` is called by the firing thread, while it fires: text logs, syslog, ftrace,
 *             callbacks. It must be quick, may be called by several threads at once and must not
 *             fire probes of its own sink.
 *   recording records go into thread buffers (probe/buffer.h) and the drain hands them to `records`
 *             in time order; or, for `room`, they stay where they are (flight).
 *
 * Sinks are made, opened and closed under the control lock (probe/control.h). While a recording is
 * open its functions are called by the drain thread, or with the drain held off, never by two
 * threads at once; but `room`, and `thread_ended` of one that has it, by any thread at any time.
 */
#ifndef TRACE_SINK_H
#define TRACE_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "trace/probe/buffer.h"
#include "trace/probe/context.h"
#include "trace/trace.h"

/* What the user said of a writer: the parts of -trace that concern one. */
struct trace_sink_options {
    char *file; /* owned; NULL: the writer's default */
    bool drop;  /* overflow=drop */
    bool flight;
    uint64_t size;    /* of a flight recording */
    uint64_t buffer;  /* ring bytes a thread, a power of two */
    uint32_t context; /* context fields to record: bit i is field i (probe/context.h) */
};

enum { TRACE_CONTEXT_RECORDED_MAX = 5 }; /* bits set in `context` */

struct trace_sink;

struct trace_sink_ops {
    const char *name;
    const char *help; /* one line */
    bool takes_file;  /* file= names where it writes */
    const char
        *default_suffix; /* without file= it writes to trace-PID and this; NULL: to no file */

    /* Opens what the sink writes to; also again after close() with another file. */
    bool (*open)(struct trace_sink *sink, struct error *err);
    void (*close)(struct trace_sink *sink);

    /* Direct sinks. `lengths` holds those of strings. */
    void (*event)(struct trace_sink *sink, const struct trace_event *event, const uint64_t *values,
                  const uint32_t *lengths);

    /* Recording sinks: whole records of one thread, as in record.h. False: writing failed, `err`
     * says why; the sink is then switched off and says so once. */
    bool (*records)(struct trace_sink *sink, struct trace_thread *thread, const uint8_t *bytes,
                    size_t len, struct error *err);
    bool (*flush)(struct trace_sink *sink, struct error *err);
    /* More events have been registered while the sink is open; may be NULL. */
    bool (*events_added)(struct trace_sink *sink, struct error *err);
    /* A thread (one that may have written nothing here) has ended, or the sink is being closed;
     * everything of the thread was handed over. May be NULL. */
    void (*thread_ended)(struct trace_sink *sink, struct trace_thread *thread);

    /* Recordings that are not drained: gives the buffer a new place to write. May be NULL. */
    bool (*room)(struct trace_sink *sink, struct trace_thread *thread, struct trace_buffer *buffer);
};

struct trace_sink {
    const struct trace_sink_ops *ops;
    struct trace_sink_options options;
    bool on;          /* to be written to; read by firing threads */
    bool open;        /* between open() and close() */
    bool failed;      /* writing failed; stays off until it is opened again */
    bool inherited;   /* the file is one that the process we were forked from writes */
    uint64_t horizon; /* of the drain's last pass: what was written is not younger, what comes is */
    unsigned slot;    /* of a recording: index into struct trace_thread's buffers */
    void *own;        /* the writer's */
    struct trace_sink *next;
};

static inline bool trace_sink_is_recording(const struct trace_sink *sink)
{
    return sink->ops->records || sink->ops->room;
}

/* The writers of this build, ended by NULL; by name, NULL when there is none. */
extern const struct trace_sink_ops *const trace_writers[];
const struct trace_sink_ops *trace_writer_find(const char *name);

/* The file a writer uses when none is named; NULL when it needs none. free() it. */
char *trace_sink_default_file(const struct trace_sink_ops *ops);

/* Makes a sink (closed, off). Takes over options->file; NULL there means the default. NULL when all
 * slots are in use. Control lock held. */
struct trace_sink *trace_sink_new(const struct trace_sink_ops *ops,
                                  const struct trace_sink_options *options, struct error *err);

/* Opens it and lets records in; closes it after everything that was fired is written. Opening one
 * whose writing failed closes that first. Control lock held. */
bool trace_sink_on(struct trace_sink *sink, struct error *err);
void trace_sink_off(struct trace_sink *sink);

static inline bool trace_sink_is_on(const struct trace_sink *sink)
{
    return __atomic_load_n(&sink->on, __ATOMIC_ACQUIRE);
}

/* The open recording with this slot, or NULL. From inside trace_fire(), or what counts as that: it
 * stays open until then. */
struct trace_sink *trace_sink_live(unsigned slot);

/* In the child of a fork: a recording that is the parent's is off, and needs another file before it
 * can be on again. */
void trace_sink_forget(struct trace_sink *sink);

/* Closes and frees; no subscription may name it any more. Control lock held. */
void trace_sink_free(struct trace_sink *sink);

/* The declaration of an event as this recording stores it: `vcpu` as an ordinary argument, recorded
 * context fields as further arguments `ctx_NAME`. */
void trace_sink_decl(const struct trace_sink *sink, const struct trace_event *event,
                     struct trace_decl *decl);

/* The text of all declarations, as trace_sink_decl() has them; free() it. */
char *trace_sink_declarations(const struct trace_sink *sink, size_t *len);

/* Switches a sink off whose writing failed, and says why on stderr. The drain locked. */
void trace_sink_failed(struct trace_sink *sink, const struct error *err);

/* Tells every open sink that events were added. Control lock held. */
void trace_sinks_events_added(void);

/* All sinks, in the order they were made. */
struct trace_sink *trace_sinks(void);

/* drain.c: everything fired so far is in the file when this returns. */
void trace_drain_flush(struct trace_sink *sink);
/* Wakes the drain thread; async-signal-safe. */
void trace_drain_wake(void);
/* Starts the drain thread if it does not run yet. */
bool trace_drain_start(struct error *err);
/* Keeps the drain thread out of all sinks, or lets it in again. */
void trace_drain_lock(void);
void trace_drain_unlock(void);
/* True while the calling thread keeps it out: it must not wait for it then. */
bool trace_drain_is_held(void);
/* In the child of a fork: the lock as new. */
void trace_drain_reset(void);
/* Empties the buffers of one sink completely; the drain locked, the sink off and threads
 * synchronized. */
void trace_drain_finish(struct trace_sink *sink);
/* Ends one thread's part in a recording: tells what it lost, frees its buffer. The drain locked,
 * the buffer empty, the thread ended or kept out. */
void trace_drain_leave(struct trace_sink *sink, struct trace_thread *thread);

#endif
