/* SPDX-License-Identifier: MIT
 *
 * The process. */
#include "cmd/vitrine/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"

static struct {
    int ready; /* end of the pipe to the waiting parent; 0: none */
    char *pidfile;
    const char *program;
    struct machine *machine;
    volatile sig_atomic_t signal, sender;
} process;

/* --- -daemonize --- */

/* The parent: ends when the child is ready, or with status 1 when it has ended before. */
static void wait_for_child(int from)
{
    char byte = 1;
    ssize_t n;

    do {
        n = read(from, &byte, 1);
    } while (n < 0 && errno == EINTR);
    _exit(n == 1 && byte == 0 ? 0 : 1);
}

bool process_detach(struct error *err)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC)) {
        return error_set(err, "-daemonize: %s", strerror(errno));
    }
    pid_t child = fork();
    if (child < 0) {
        return error_set(err, "-daemonize: %s", strerror(errno));
    }
    if (child > 0) {
        close(ends[1]);
        wait_for_child(ends[0]);
    }
    close(ends[0]);
    setsid();
    child = fork(); /* no leader of a session gets a terminal by opening one */
    if (child != 0) {
        _exit(child < 0);
    }
    umask(027);
    process.ready = ends[1];
    return true;
}

void process_is_ready(void)
{
    const char good = 0;

    if (!process.ready) {
        return;
    }
    int nothing = open("/dev/null", O_RDWR);
    if (chdir("/") || nothing < 0) {
        _exit(1);
    }
    for (int fd = 0; fd < 3; fd++) {
        dup2(nothing, fd);
    }
    if (nothing > 2) {
        close(nothing);
    }
    while (write(process.ready, &good, 1) < 0 && errno == EINTR) {
    }
    close(process.ready);
    process.ready = 0;
}

/* --- -pidfile --- */

static void remove_pidfile(void)
{
    unlink(process.pidfile);
}

bool process_write_pid(const char *path, struct error *err)
{
    char text[24];
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0) {
        return error_set(err, "-pidfile %s: cannot open PID file: %s", path, strerror(errno));
    }
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        close(fd);
        return error_set(err, "-pidfile %s: cannot lock PID file: another process has it", path);
    }
    int length = snprintf(text, sizeof text, "%d\n", (int)getpid());
    if (ftruncate(fd, 0) || write(fd, text, (size_t)length) != length) {
        close(fd);
        return error_set(err, "-pidfile %s: cannot write PID file: %s", path, strerror(errno));
    }
    /* The descriptor stays open: the lock lasts as long as the process. */
    process.pidfile = realpath(path, NULL);
    if (process.pidfile) {
        atexit(remove_pidfile);
    }
    return true;
}

void process_set_name(const char *name)
{
    prctl(PR_SET_NAME, name);
}

/* --- signals --- */

static void take_signal(int signal, siginfo_t *info, void *context)
{
    (void)context;
    process.signal = signal;
    process.sender = info->si_pid;
    machine_quit(process.machine, 0);
}

void process_take_signals(const char *program, struct machine *machine)
{
    struct sigaction action = {.sa_sigaction = take_signal, .sa_flags = SA_SIGINFO};
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    process.program = program;
    process.machine = machine;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
}

void process_tell_signal(void)
{
    if (process.signal) {
        fprintf(stderr, "%s: terminating on signal %d from pid %d\n", process.program,
                (int)process.signal, (int)process.sender);
    }
}
