/* SPDX-License-Identifier: MIT
 *
 * The log: standard error or a file. */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/descriptor.h"
#include "base/memory.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local bool inside;    /* this thread has it: a signal handler logs without */
static int standard = STDERR_FILENO; /* or a copy of it, see log_keep_standard() */
static int descriptor = STDERR_FILENO;
static bool timestamps;

/* Also keeps the thread from being cancelled, which writing would allow. False for a handler that
 * interrupted its thread while that had the log. */
static bool lock(int *cancel)
{
    if (inside) {
        return false;
    }
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, cancel);
    inside = true;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    pthread_mutex_lock(&mutex);
    return true;
}

static void unlock(int cancel)
{
    pthread_mutex_unlock(&mutex);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    inside = false;
    pthread_setcancelstate(cancel, NULL);
}

/* In the child of a fork: another thread of the parent's may have had it. It keeps nothing whole
 * but lines, and those of others go on in the parent. */
static void forked_child(void)
{
    if (!inside) {
        pthread_mutex_init(&mutex, NULL);
    }
}

__attribute__((constructor)) static void log_init(void)
{
    pthread_atfork(NULL, NULL, forked_child);
}

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
    int fd = standard;
    if (name) {
        const bool append = name[0] == '+';
        char *path = expand(name + append);
        if (!path) {
            return error_set(err,
                             "Bad logfile template: %s (one %%d, for the process id, is all "
                             "that may stand in it)",
                             name);
        }
        fd = descriptor_own(
            open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (append ? 0 : O_TRUNC), 0600));
        if (fd < 0) {
            error_set(err, "Error opening logfile %s: %s", path, strerror(errno));
            free(path);
            return false;
        }
        free(path);
    }
    int cancel;
    bool locked = lock(&cancel);
    int old = descriptor;
    descriptor = fd;
    if (locked) {
        unlock(cancel);
    }
    if (old != standard) {
        close(old);
    }
    return true;
}

void log_keep_standard(void)
{
    int copy = descriptor_own(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0));

    if (copy >= 0) {
        if (descriptor == standard) {
            descriptor = copy;
        }
        standard = copy;
    }
}

void log_set_timestamps(bool on)
{
    __atomic_store_n(&timestamps, on, __ATOMIC_RELAXED);
}

static void write_all(struct iovec *part, int count)
{
    while (count) {
        ssize_t done = writev(descriptor, part, count);
        if (done < 0 && errno == EAGAIN) {
            poll(&(struct pollfd){.fd = descriptor, .events = POLLOUT}, 1, -1);
        } else if (done < 0 && errno != EINTR) {
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
    const int saved = errno;
    int cancel;
    const bool locked = lock(&cancel);
    struct iovec part[2] = {{prefix, 0}, {(void *)text, len}};
    if (stamp && __atomic_load_n(&timestamps, __ATOMIC_RELAXED)) {
        const uint64_t now = clock_realtime();
        part[0].iov_len =
            (size_t)snprintf(prefix, sizeof prefix, "%d@%" PRIu64 ".%06" PRIu64 ":", (int)gettid(),
                             now / 1000000000, now % 1000000000 / 1000);
    }
    write_all(part, 2);
    if (locked) {
        unlock(cancel);
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
