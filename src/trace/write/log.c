/* SPDX-License-Identifier: MIT
 *
 * The writers of text, an event at a time, by the thread that fires it: `log` (a line in the log),
 * `syslog`, `ftrace` (a line in the kernel's trace buffer). All three show NAME and the event's own
 * format. */
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/strbuf.h"
#include "trace/write/writers.h"

enum {
    FTRACE_LINE_MAX = 511, /* as QEMU cuts it */
    /* A line up to this length is made without malloc(), which the probe of a signal handler may
     * have interrupted. */
    LINE_ROOM = 2048,
};

static void render(struct strbuf *line, char room[LINE_ROOM], const struct trace_event *event,
                   const uint64_t *values, const uint32_t *lengths)
{
    strbuf_init_in(line, room, LINE_ROOM);
    strbuf_puts(line, event->decl->name);
    strbuf_putc(line, ' ');
    trace_decl_render(line, event->decl, values, lengths);
}

static void log_line(struct trace_sink *sink, const struct trace_event *event,
                     const uint64_t *values, const uint32_t *lengths)
{
    (void)sink;
    char room[LINE_ROOM];
    struct strbuf line;
    render(&line, room, event, values, lengths);
    strbuf_putc(&line, '\n');
    log_event(line.data, line.len);
    strbuf_free(&line);
}

static bool syslog_open(struct trace_sink *sink, struct error *err)
{
    (void)sink, (void)err;
    openlog(NULL, LOG_PID, LOG_DAEMON);
    return true;
}

static void syslog_line(struct trace_sink *sink, const struct trace_event *event,
                        const uint64_t *values, const uint32_t *lengths)
{
    (void)sink;
    char room[LINE_ROOM];
    struct strbuf line;
    render(&line, room, event, values, lengths);
    syslog(LOG_INFO, "%s", line.data);
    strbuf_free(&line);
}

static void syslog_close(struct trace_sink *sink)
{
    (void)sink;
    closelog();
}

/* Directory of the kernel's tracing files, to be freed; NULL when none is mounted. */
static char *find_tracefs(void)
{
    char *found = NULL;
    FILE *mounts = setmntent("/proc/mounts", "r");
    for (struct mntent *m; mounts && (m = getmntent(mounts));) {
        if (!strcmp(m->mnt_type, "tracefs")) {
            free(found);
            found = mem_string(m->mnt_dir);
            break;
        }
        if (!strcmp(m->mnt_type, "debugfs") && !found) {
            found = mem_format("%s/tracing", m->mnt_dir);
        }
    }
    if (mounts) {
        endmntent(mounts);
    }
    return found;
}

static bool ftrace_open_marker(struct trace_sink *sink, const char *dir, struct error *err)
{
    char *path = mem_format("%s/tracing_on", dir);
    int on = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = on >= 0 && write(on, "1", 1) == 1;
    if (ok) {
        free(path);
        path = mem_format("%s/trace_marker", dir);
        int marker = open(path, O_WRONLY | O_CLOEXEC);
        ok = marker >= 0;
        sink->own = (void *)(intptr_t)marker;
    }
    if (!ok) {
        error_set(err, "writer=ftrace: %s: %s (writing there usually needs root)", path,
                  strerror(errno));
    }
    if (on >= 0) {
        close(on);
    }
    free(path);
    return ok;
}

/* sink->own holds the descriptor of trace_marker; `file=` names it or its directory elsewhere. */
static bool ftrace_open(struct trace_sink *sink, struct error *err)
{
    char *dir = sink->options.file ? mem_string(sink->options.file) : find_tracefs();
    if (!dir) {
        return error_set(err, "writer=ftrace: no tracefs is mounted; try as root: mount -t tracefs "
                              "tracefs /sys/kernel/tracing");
    }
    bool ok = ftrace_open_marker(sink, dir, err);
    free(dir);
    return ok;
}

static void ftrace_line(struct trace_sink *sink, const struct trace_event *event,
                        const uint64_t *values, const uint32_t *lengths)
{
    char room[LINE_ROOM];
    struct strbuf line;
    render(&line, room, event, values, lengths);
    strbuf_putc(&line, '\n');
    size_t len = line.len < FTRACE_LINE_MAX ? line.len : FTRACE_LINE_MAX;
    /* A full or absent buffer is the kernel's matter: the marker takes what it can. */
    ssize_t ignored = write((int)(intptr_t)sink->own, line.data, len);
    (void)ignored;
    strbuf_free(&line);
}

static void ftrace_close(struct trace_sink *sink)
{
    close((int)(intptr_t)sink->own);
}

const struct trace_sink_ops trace_writer_log = {
    .name = "log",
    .help = "text, a line an event, on standard error or in the -D file",
    .event = log_line,
};

const struct trace_sink_ops trace_writer_syslog = {
    .name = "syslog",
    .help = "the system log, as daemon.info",
    .open = syslog_open,
    .close = syslog_close,
    .event = syslog_line,
};

const struct trace_sink_ops trace_writer_ftrace = {
    .name = "ftrace",
    .help = "the kernel's trace buffer (trace_marker), among its own events",
    .takes_file = true,
    .open = ftrace_open,
    .close = ftrace_close,
    .event = ftrace_line,
};
