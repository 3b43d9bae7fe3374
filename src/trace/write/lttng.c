/* SPDX-License-Identifier: MIT
 *
 * LTTng-UST: loads the provider library, which has a tracepoint qemu:NAME for each event, and
 * follows LTTng's sessions. Probes call the provider's function directly; which tracepoints are on
 * is the session's matter (lttng enable-event -u qemu:NAME), so the sink takes no events.
 *
 * A session may begin and end at any time. LTTng tells a tracepoint by changing its state, so a
 * thread looks at all of them every POLL_MS and counts a live one as a listener in the event's
 * enable word. */
#include "trace/write/lttng.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/strbuf.h"
#include "trace/probe/event.h"
#include "trace/write/writers.h"

enum { POLL_MS = 50 };

/* One tracepoint of the library. Protected by the control lock. */
struct tracepoint {
    const struct trace_lttng_row *row;
    struct trace_event *event; /* NULL while the program has no event of that name */
};

static struct tracepoint *tracepoints;
static unsigned tracepoint_count;
static unsigned matched; /* events that the program had when tracepoints were matched */
static bool following;   /* the thread is to go on */
static pid_t follower;   /* the process whose thread runs, 0: none */

static char *beside_program(void)
{
    char exe[4096];
    ssize_t len = readlink("/proc/self/exe", exe, sizeof exe);
    while (len > 0 && exe[len - 1] != '/') {
        len--;
    }
    return len > 0 ? mem_format("%.*slibvitrine-lttng.so", (int)len, exe) : NULL;
}

/* Where the library is; free() it. */
static char *find_library(struct error *err)
{
    const char *named = getenv("VITRINE_LTTNG");
    if (named && *named) {
        return mem_string(named);
    }
    char *place[] = {beside_program(),
#ifdef VITRINE_LIBDIR
                     mem_string(VITRINE_LIBDIR "/libvitrine-lttng.so"),
#endif
                     NULL};
    char *found = NULL;
    struct strbuf looked;
    strbuf_init(&looked);
    for (unsigned i = 0; i < sizeof place / sizeof *place; i++) {
        if (place[i] && !found && access(place[i], F_OK) == 0) {
            found = place[i];
            continue;
        }
        if (place[i]) {
            strbuf_printf(&looked, "%s%s", looked.len ? " and " : "", place[i]);
        }
        free(place[i]);
    }
    if (!found) {
        error_set(err,
                  "LTTng's provider library is not there (looked for %s): build with "
                  "liblttng-ust-dev installed, or name it in the environment variable "
                  "VITRINE_LTTNG",
                  looked.data);
    }
    strbuf_free(&looked);
    return found;
}

static bool load_library(struct error *err)
{
    char *path = find_library(err);
    if (!path) {
        return false;
    }
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const struct trace_lttng_row *rows = library ? dlsym(library, TRACE_LTTNG_SYMBOL) : NULL;
    if (!library) {
        error_set(err, "LTTng's provider library cannot be loaded: %s", dlerror());
    } else if (!rows) {
        error_set(err, "%s: is no provider library of Vitrine (it has no symbol '%s')", path,
                  TRACE_LTTNG_SYMBOL);
        dlclose(library);
    }
    free(path);
    if (!rows) {
        return false;
    }
    while (rows[tracepoint_count].name) {
        tracepoint_count++;
    }
    tracepoints = mem_alloc((tracepoint_count + 1) * sizeof *tracepoints);
    for (unsigned i = 0; i < tracepoint_count; i++) {
        tracepoints[i].row = &rows[i];
    }
    return true;
}

/* Gives events their tracepoints: all of them, and again when more events were registered. */
static void match_events(void)
{
    unsigned count = trace_event_count();
    for (unsigned i = 0; matched != count && i < tracepoint_count; i++) {
        struct tracepoint *t = &tracepoints[i];
        if (!t->event && (t->event = trace_event_find(t->row->name))) {
            __atomic_store_n(&t->event->lttng, t->row->fire, __ATOMIC_RELEASE);
        }
    }
    matched = count;
}

/* Counts the sessions' tracepoints in and out. */
static void look(void)
{
    match_events();
    for (unsigned i = 0; i < tracepoint_count; i++) {
        struct tracepoint *t = &tracepoints[i];
        bool live = following && t->row->live();
        if (t->event && !t->event->decl->disabled && t->event->lttng_live != live) {
            trace_event_lttng(t->event, live);
        }
    }
}

static void *follow(void *opaque)
{
    const struct timespec nap = {.tv_nsec = POLL_MS * 1000 * 1000};
    (void)opaque;
    for (;;) {
        nanosleep(&nap, NULL);
        trace_control_lock();
        if (!following) {
            follower = 0;
            trace_control_unlock();
            return NULL;
        }
        look();
        trace_control_unlock();
    }
}

static bool start_follower(struct error *err)
{
    pthread_t thread;
    sigset_t all, old;
    if (follower == getpid()) {
        return true;
    }
    /* Signals of the program are for its own threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int failed = pthread_create(&thread, NULL, follow, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (failed) {
        return error_set(err, "cannot start the thread that follows LTTng's sessions: %s",
                         strerror(failed));
    }
    pthread_detach(thread);
    pthread_setname_np(thread, "trace-lttng");
    follower = getpid();
    return true;
}

bool trace_lttng_start(struct error *err)
{
    trace_control_lock();
    bool ok = tracepoints || load_library(err);
    following = ok;
    ok = ok && start_follower(err);
    if (ok) {
        look();
    }
    following = ok;
    trace_control_unlock();
    return ok;
}

void trace_lttng_stop(void)
{
    trace_control_lock();
    following = false;
    look();
    trace_control_unlock();
}

/* --- as a writer --- */

static bool lttng_open(struct trace_sink *sink, struct error *err)
{
    (void)sink;
    return trace_lttng_start(err);
}

static void lttng_close(struct trace_sink *sink)
{
    (void)sink;
    trace_lttng_stop();
}

/* Probes call the provider themselves. */
static void lttng_event(struct trace_sink *sink, const struct trace_event *event,
                        const uint64_t *values, const uint32_t *lengths)
{
    (void)sink;
    (void)event;
    (void)values;
    (void)lengths;
}

const struct trace_sink_ops trace_writer_lttng = {
    .name = "lttng",
    .help = "LTTng-UST tracepoints qemu:NAME; an LTTng session chooses events",
    .open = lttng_open,
    .close = lttng_close,
    .event = lttng_event,
};
