/* SPDX-License-Identifier: MIT
 *
 * The log: standard error or a file. */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local bool inside; /* a signal handler logs while its thread does */
static int descriptor = STDERR_FILENO;
static bool timestamps;

/* The name with its %d replaced; NULL when another conversion, or a second %d, stands in it. */
static char *expand(const char *name)
{
    const char *mark = strchr(name, '%');
    if (!mark) {
        return mem_string(name);
    }
    if (mark[1] != 'd' || strchr(mark + 1, '%')) {
        return NULL;
    }
    return mem_format("%.*s%d%s", (int)(mark - name), name, (int)getpid(), mark + 2);
}

bool log_set_file(const char *name, struct error *err)
{
    int fd = STDERR_FILENO;
    if (name) {
        char *path = expand(name);
        if (!path) {
            return error_set(err,
                             "Bad logfile template: %s (one %%d, for the process id, is all "
                             "that may stand in it)",
                             name);
        }
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
        if (fd < 0) {
            error_set(err, "Error opening logfile %s: %s", path, strerror(errno));
            free(path);
            return false;
        }
        free(path);
    }
    pthread_mutex_lock(&mutex);
    int old = descriptor;
    descriptor = fd;
    pthread_mutex_unlock(&mutex);
    if (old != STDERR_FILENO) {
        close(old);
    }
    return true;
}

void log_set_timestamps(bool on)
{
    __atomic_store_n(&timestamps, on, __ATOMIC_RELAXED);
}

static void write_all(struct iovec *part, int count)
{
    while (count) {
        ssize_t done = writev(descriptor, part, count);
        if (done < 0 && errno != EINTR) {
            return; /* nobody is left to tell */
        }
        for (size_t n = done > 0 ? (size_t)done : 0; count && n >= part->iov_len; count--, part++) {
            n -= part->iov_len;
            done = (ssize_t)n;
        }
        if (count && done > 0) {
            part->iov_base = (char *)part->iov_base + done;
            part->iov_len -= (size_t)done;
        }
    }
}

static void write_line(const char *text, size_t len, bool stamp)
{
    char prefix[64];
    const bool outer = !inside;
    const int saved = errno;
    if (outer) {
        inside = true;
        pthread_mutex_lock(&mutex);
    }
    struct iovec part[2] = {{prefix, 0}, {(void *)text, len}};
    if (stamp && __atomic_load_n(&timestamps, __ATOMIC_RELAXED)) {
        const uint64_t now = clock_realtime();
        part[0].iov_len =
            (size_t)snprintf(prefix, sizeof prefix, "%d@%" PRIu64 ".%06" PRIu64 ":", (int)gettid(),
                             now / 1000000000, now % 1000000000 / 1000);
    }
    write_all(part, 2);
    if (outer) {
        pthread_mutex_unlock(&mutex);
        inside = false;
    }
    errno = saved;
}

void log_text(const char *text, size_t len)
{
    write_line(text, len, false);
}

void log_event(const char *text, size_t len)
{
    write_line(text, len, true);
}
