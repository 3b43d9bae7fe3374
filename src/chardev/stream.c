/* SPDX-License-Identifier: MIT
 *
 * Back ends of descriptors: stdio, file, pipe, pty, and the host's serial ports; sockets are made
 * of the same functions.
 *
 * Nothing here may wait. Our own descriptors are non-blocking; that is a matter of the open file,
 * which for standard input and output is shared with the shell: so those are opened a second time
 * where that is possible. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "base/memory.h"
#include "chardev/internal.h"

enum { CAREFUL_SIZE = 256 };

/* --- streams --- */

static void end_input(struct stream *stream)
{
    loop_unwatch(stream->in_watch);
    stream->in_watch = NULL;
    if (stream->ended) {
        stream->ended(stream);
    }
}

static void readable(void *opaque, unsigned events)
{
    struct stream *stream = opaque;
    uint8_t bytes[CHARDEV_READ_SIZE];
    size_t room = chardev_can_receive(&stream->chardev);

    if (!room) {
        loop_watch_set(stream->in_watch, 0);
        return;
    }
    ssize_t n = read(stream->in, bytes, room < sizeof bytes ? room : sizeof bytes);
    if (n < 0 && (errno == EAGAIN || errno == EINTR) && !(events & LOOP_GONE)) {
        return;
    }
    if (n <= 0) {
        end_input(stream);
        return;
    }
    size_t count = stream->filter ? stream->filter(stream, bytes, (size_t)n) : (size_t)n;
    if (count) {
        chardev_receive(&stream->chardev, bytes, count);
    }
}

static void has_room(void *opaque, unsigned events)
{
    struct stream *stream = opaque;

    (void)events;
    chardev_writable(&stream->chardev);
}

bool stream_start(struct stream *stream, int in, int out, struct error *err)
{
    struct loop *loop = stream->chardev.set->loop;
    struct sigaction old, ignore = {.sa_handler = SIG_IGN};

    /* A reader who leaves is an error of write(), not our end. */
    if (!sigaction(SIGPIPE, NULL, &old) && old.sa_handler == SIG_DFL) {
        sigaction(SIGPIPE, &ignore, NULL);
    }
    stream->in = descriptor_own(in);
    stream->out = descriptor_own(out);
    stream->running = true;
    if (in >= 0) {
        stream->in_watch = loop_watch(loop, stream->in, 0, readable, stream, err);
    }
    if (out >= 0) {
        stream->out_watch = loop_watch(loop, stream->out, 0, has_room, stream, err);
    }
    if ((in >= 0 && !stream->in_watch) || (out >= 0 && !stream->out_watch)) {
        stream_stop(stream);
        return false;
    }
    chardev_set_open(&stream->chardev, true);
    stream_want_input(&stream->chardev, chardev_can_receive(&stream->chardev) > 0);
    return true;
}

void stream_stop(struct stream *stream)
{
    if (!stream->running) {
        return;
    }
    stream->running = false;
    loop_unwatch(stream->in_watch);
    loop_unwatch(stream->out_watch);
    stream->in_watch = stream->out_watch = NULL;
    if (stream->in >= 0) {
        close(stream->in);
    }
    if (stream->out >= 0) {
        close(stream->out);
    }
    stream->in = stream->out = -1;
}

/* --- what kinds of streams have in common --- */

ssize_t stream_write(struct chardev *chardev, const void *bytes, size_t count)
{
    struct stream *stream = (struct stream *)chardev;
    ssize_t n;

    if (!stream->running || stream->out < 0) {
        return (ssize_t)count;
    }
    if (stream->careful) {
        struct pollfd ready = {.fd = stream->out, .events = POLLOUT};
        count = count < CAREFUL_SIZE ? count : CAREFUL_SIZE;
        if (poll(&ready, 1, 0) <= 0) {
            return -1;
        }
    }
    do {
        n = stream->is_socket ? send(stream->out, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT)
                              : write(stream->out, bytes, count);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN) {
        /* Nobody reads it any more, or the disk is full: it is gone, and the guest goes on. */
        return (ssize_t)count;
    }
    return n;
}

void stream_want_room(struct chardev *chardev, bool wanted)
{
    struct stream *stream = (struct stream *)chardev;

    if (stream->out_watch) {
        loop_watch_set(stream->out_watch, wanted ? LOOP_OUT : 0);
    }
}

void stream_want_input(struct chardev *chardev, bool wanted)
{
    struct stream *stream = (struct stream *)chardev;

    if (stream->in_watch) {
        loop_watch_set(stream->in_watch, wanted ? LOOP_IN : 0);
    }
}

bool stream_wait(struct chardev *chardev, int milliseconds)
{
    struct stream *stream = (struct stream *)chardev;
    struct pollfd ready = {.fd = stream->out, .events = POLLOUT};

    return stream->running && poll(&ready, 1, milliseconds) > 0;
}

void stream_close(struct chardev *chardev)
{
    stream_stop((struct stream *)chardev);
}

#define STREAM_FUNCTIONS                                                                   \
    .write = stream_write, .want_room = stream_want_room, .want_input = stream_want_input, \
    .wait = stream_wait

static void set_where(struct stream *stream, const char *kind, const char *path)
{
    free(stream->chardev.where);
    stream->chardev.where = mem_format("%s:%s", kind, path);
}

static const char *path_of(const struct option_list *options, const char *kind, struct error *err)
{
    const char *path = chardev_option(options, "path");

    if (!path || !path[0]) {
        error_set(err, "%s needs path=FILE", kind);
        return NULL;
    }
    return path;
}

/* --- stdio --- */

/* Standard input or output, as an open file of our own if it can be had. */
static int own_standard(struct stream *stream, int fd, int mode)
{
    struct stat status;
    char name[32];

    if (fstat(fd, &status)) {
        return -1;
    }
    if (S_ISSOCK(status.st_mode)) {
        stream->is_socket |= mode == O_WRONLY;
    } else if (!S_ISREG(status.st_mode)) {
        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        int again = open(name, mode | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (again >= 0) {
            return again;
        }
        stream->careful |= mode == O_WRONLY;
    }
    return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static bool stdio_open(struct chardev *chardev, const struct option_list *options,
                       struct error *err)
{
    struct stream *stream = (struct stream *)chardev;
    bool signals;

    stream->in = stream->out = -1;
    if (!chardev_option_bool(options, "signal", true, &signals, err)) {
        return false;
    }
    for (struct chardev *other = chardev->set->first; other; other = other->next) {
        if (other->kind == &chardev_stdio) {
            return error_set(err, "cannot use stdio by multiple character devices");
        }
    }
    int in = own_standard(stream, STDIN_FILENO, O_RDONLY);
    int out = own_standard(stream, STDOUT_FILENO, O_WRONLY);
    if (!stream_start(stream, in, out, err)) {
        return false;
    }
    chardev->terminal = terminal_raw(STDIN_FILENO, signals) && isatty(STDOUT_FILENO);
    return true;
}

static void stdio_close(struct chardev *chardev)
{
    stream_close(chardev);
    terminal_restore();
}

const struct chardev_kind chardev_stdio = {
    .name = "stdio",
    .options = "signal",
    .help = "standard input and output; signal=off: Ctrl-C goes to the guest",
    .size = sizeof(struct stream),
    .open = stdio_open,
    .close = stdio_close,
    STREAM_FUNCTIONS,
};

/* --- file --- */

static bool set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    return flags >= 0 && !fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

static bool file_open(struct chardev *chardev, const struct option_list *options, struct error *err)
{
    struct stream *stream = (struct stream *)chardev;
    const char *path = path_of(options, "file", err),
               *input = chardev_option(options, "input-path");
    bool append;
    int in = -1;

    stream->in = stream->out = -1;
    if (!path || !chardev_option_bool(options, "append", false, &append, err)) {
        return false;
    }
    int out =
        open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | (append ? O_APPEND : O_TRUNC), 0666);
    if (out < 0 || !set_nonblocking(out)) {
        error_set(err, "%s: %s", path, strerror(errno));
        if (out >= 0) {
            close(out);
        }
        return false;
    }
    if (input && (in = open(input, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)) < 0) {
        close(out);
        return error_set(err, "%s: %s", input, strerror(errno));
    }
    return stream_start(stream, in, out, err);
}

const struct chardev_kind chardev_file = {
    .name = "file",
    .options = "path append input-path",
    .help = "into the file path=FILE; append=on: behind what is there; input-path=FILE: from there",
    .size = sizeof(struct stream),
    .open = file_open,
    .close = stream_close,
    STREAM_FUNCTIONS,
};

/* --- pipe --- */

static bool pipe_open(struct chardev *chardev, const struct option_list *options, struct error *err)
{
    struct stream *stream = (struct stream *)chardev;
    const char *path = path_of(options, "pipe", err);
    const int flags = O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

    stream->in = stream->out = -1;
    if (!path) {
        return false;
    }
    char *in_name = mem_format("%s.in", path), *out_name = mem_format("%s.out", path);
    int in = open(in_name, flags), out = open(out_name, flags);
    free(in_name);
    free(out_name);
    if (in < 0 || out < 0) {
        int failed = errno;
        if (in >= 0) {
            close(in);
        }
        if (out >= 0) {
            close(out);
        }
        in = open(path, flags);
        out = in < 0 ? -1 : fcntl(in, F_DUPFD_CLOEXEC, 3);
        if (in < 0) {
            return error_set(err,
                             "neither %s.in and %s.out (%s) nor %s (%s) can be opened; "
                             "mkfifo makes them",
                             path, path, strerror(failed), path, strerror(errno));
        }
    }
    return stream_start(stream, in, out, err);
}

const struct chardev_kind chardev_pipe = {
    .name = "pipe",
    .options = "path",
    .help = "the named pipes path=FILE with .in and .out behind it, or one for both",
    .size = sizeof(struct stream),
    .open = pipe_open,
    .close = stream_close,
    STREAM_FUNCTIONS,
};

/* --- pty --- */

enum { PTY_LOOK_NANOSECONDS = 200 * 1000 * 1000 };

/* Nobody tells when the other side is opened: the kernel's EIO and POLLHUP are over then. */
struct pty {
    struct stream stream;
    int master;
    struct timer look;
    bool have_timer;
};

static void pty_look(void *opaque, uint64_t now)
{
    struct pty *pty = opaque;
    struct pollfd state = {.fd = pty->master, .events = POLLIN};

    if (poll(&state, 1, 0) >= 0 && !(state.revents & POLLHUP)) {
        int in = fcntl(pty->master, F_DUPFD_CLOEXEC, 3);
        int out = fcntl(pty->master, F_DUPFD_CLOEXEC, 3);
        if (in >= 0 && out >= 0 && stream_start(&pty->stream, in, out, NULL)) {
            return;
        }
    }
    timer_set(&pty->look, now + PTY_LOOK_NANOSECONDS);
}

static void pty_ended(struct stream *stream)
{
    struct pty *pty = (struct pty *)stream;

    stream_stop(stream);
    chardev_set_open(&stream->chardev, false);
    timer_set(&pty->look, clock_now(pty->look.clock) + PTY_LOOK_NANOSECONDS);
}

static bool pty_open(struct chardev *chardev, const struct option_list *options, struct error *err)
{
    struct pty *pty = (struct pty *)chardev;
    char name[64];
    struct termios mode;

    (void)options;
    pty->stream.in = pty->stream.out = -1;
    pty->stream.ended = pty_ended;
    chardev->terminal = true;
    pty->master = descriptor_own(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
    if (pty->master < 0 || grantpt(pty->master) || unlockpt(pty->master) ||
        ptsname_r(pty->master, name, sizeof name)) {
        return error_set(err, "no pseudo-terminal can be had: %s", strerror(errno));
    }
    int slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0 || tcgetattr(slave, &mode)) {
        return error_set(err, "%s: %s", name, strerror(errno));
    }
    cfmakeraw(&mode);
    tcsetattr(slave, TCSANOW, &mode);
    close(slave);
    set_where(&pty->stream, "pty", name);
    timer_init(&pty->look, loop_clock(chardev->set->loop), pty_look, pty);
    pty->have_timer = true;
    timer_set(&pty->look, clock_now(pty->look.clock) + PTY_LOOK_NANOSECONDS);
    printf("char device redirected to %s (label %s)\n", name, chardev->id);
    fflush(stdout);
    return true;
}

static void pty_close(struct chardev *chardev)
{
    struct pty *pty = (struct pty *)chardev;

    if (pty->have_timer) {
        timer_stop(&pty->look);
    }
    stream_close(chardev);
    if (pty->master >= 0) {
        close(pty->master);
    }
}

const struct chardev_kind chardev_pty = {
    .name = "pty",
    .options = "",
    .help = "a new pseudo-terminal, whose name is printed",
    .size = sizeof(struct pty),
    .open = pty_open,
    .close = pty_close,
    STREAM_FUNCTIONS,
};

/* --- serial: a terminal device of the host --- */

static bool serial_open(struct chardev *chardev, const struct option_list *options,
                        struct error *err)
{
    struct stream *stream = (struct stream *)chardev;
    const char *path = path_of(options, "serial", err);
    struct termios mode;

    stream->in = stream->out = -1;
    if (!path) {
        return false;
    }
    int in = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (in < 0) {
        return error_set(err, "%s: %s", path, strerror(errno));
    }
    if (tcgetattr(in, &mode)) {
        close(in);
        return error_set(err, "%s is not a terminal device", path);
    }
    cfmakeraw(&mode);
    tcsetattr(in, TCSANOW, &mode);
    set_where(stream, "serial", path);
    chardev->terminal = true;
    return stream_start(stream, in, fcntl(in, F_DUPFD_CLOEXEC, 3), err);
}

const struct chardev_kind chardev_serial = {
    .name = "serial",
    .options = "path",
    .help = "the terminal device path=/dev/TTY of the host",
    .size = sizeof(struct stream),
    .open = serial_open,
    .close = stream_close,
    STREAM_FUNCTIONS,
};
