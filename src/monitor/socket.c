/* SPDX-License-Identifier: MIT
 *
 * Connections: a Unix socket, one client at a time, lines in and text out. The thread lives as long
 * as the process; in the child of a fork it is gone, and its descriptors are closed. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "base/memory.h"
#include "monitor/internal.h"

static bool send_all(int fd, const char *text, size_t len)
{
    while (len) {
        ssize_t n = send(fd, text, len, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR) {
            return false;
        }
        text += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* Sends the answer there is, and the prompt. */
static bool send_answer(struct monitor_session *session, int fd)
{
    struct strbuf *answer = monitor_answer(session);

    strbuf_puts(answer, session->quit ? "" : monitor_prompt);
    bool sent = send_all(fd, answer->data, answer->len);
    strbuf_clear(answer);
    return sent;
}

/* Carries out the lines that are whole, and keeps the rest; false: the client is gone, or has said
 * `quit`. */
static bool take_lines(struct monitor_session *session, int fd, char *line, size_t *len)
{
    char *end;

    while ((end = memchr(line, '\n', *len))) {
        *end = 0;
        size_t used = (size_t)(end + 1 - line);
        monitor_execute(session, line);
        if (!send_answer(session, fd) || session->quit) {
            return false;
        }
        memmove(line, line + used, *len - used + 1);
        *len -= used;
    }
    return true;
}

/* True: the client went away. False: it said `quit`. */
static bool serve(struct monitor *monitor, int fd)
{
    struct monitor_session *session = monitor_session_new(monitor);
    char line[MONITOR_LINE_MAX + 2];
    size_t len = 0;

    monitor_greet(session);
    bool go_on = send_answer(session, fd);
    while (go_on && len < sizeof line - 1) { /* else a line without end */
        ssize_t n = read(fd, line + len, sizeof line - 1 - len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            break;
        }
        len += (size_t)n;
        line[len] = 0;
        go_on = take_lines(session, fd, line, &len);
    }
    bool quit = session->quit;
    monitor_session_free(session);
    return !quit;
}

static void *thread(void *opaque)
{
    struct monitor *monitor = opaque;

    for (;;) {
        int fd = descriptor_own(accept4(monitor->listener, NULL, NULL, SOCK_CLOEXEC));
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED)) {
            continue;
        }
        if (fd < 0) {
            return NULL;
        }
        bool go_on = serve(monitor, fd);
        close(fd);
        if (!go_on) {
            unlink(monitor->path);
            exit(0);
        }
    }
}

/* A socket that nobody listens at may be replaced; anything else may not. */
static bool is_stale(const struct sockaddr_un *address)
{
    struct stat status;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool stale = fd >= 0 && !lstat(address->sun_path, &status) && S_ISSOCK(status.st_mode) &&
                 connect(fd, (const struct sockaddr *)address, sizeof *address) != 0 &&
                 errno == ECONNREFUSED;

    if (fd >= 0) {
        close(fd);
    }
    return stale;
}

static bool bind_to(int fd, const char *path, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof address.sun_path) {
        return error_set(err, "the path of a socket has at most %zu bytes",
                         sizeof address.sun_path - 1);
    }
    strcpy(address.sun_path, path);
    /* Nobody else, also between bind() and what could come after it. */
    mode_t mask = umask(0177);
    int failed = bind(fd, (struct sockaddr *)&address, sizeof address) ? errno : 0;
    if (failed == EADDRINUSE && is_stale(&address)) {
        unlink(path);
        failed = bind(fd, (struct sockaddr *)&address, sizeof address) ? errno : 0;
    }
    umask(mask);
    if (!failed && listen(fd, 4)) {
        failed = errno;
    }
    return !failed || error_set(err, "%s", strerror(failed));
}

static int listener_to_close = -1;

static void forked_child(void)
{
    if (listener_to_close >= 0) {
        close(listener_to_close);
        listener_to_close = -1;
    }
}

static bool start_thread(struct monitor *monitor)
{
    sigset_t all, old;
    pthread_t id;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    bool ok = pthread_create(&id, NULL, thread, monitor) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (ok) {
        pthread_detach(id);
    }
    return ok;
}

bool monitor_listen(struct monitor *monitor, const char *path, struct error *err)
{
    monitor->listener = descriptor_own(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    bool ok = monitor->listener >= 0 ? bind_to(monitor->listener, path, err)
                                     : error_set(err, "%s", strerror(errno));
    if (ok) {
        monitor->path = mem_string(path);
        listener_to_close = monitor->listener;
        pthread_atfork(NULL, NULL, forked_child);
        ok = start_thread(monitor) || error_set(err, "a thread cannot be started");
    }
    return ok || error_prefix(err, "-monitor unix:%s: ", path);
}
