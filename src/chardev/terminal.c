/* SPDX-License-Identifier: MIT
 *
 * Raw mode of the terminal, and how it is given back. A process has one terminal that it reads
 * from, and what restores it runs in signal handlers: so this is the process's, not a machine's. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "chardev/internal.h"

static struct {
    int fd;
    struct termios saved, raw;
    volatile sig_atomic_t active;  /* raw mode is wanted */
    volatile sig_atomic_t changed; /* and set */
} terminal;

/* With SIGTTOU blocked, so that it does what it should wherever we are. */
static void set_mode(const struct termios *mode)
{
    sigset_t block, old;

    sigemptyset(&block);
    sigaddset(&block, SIGTTOU);
    pthread_sigmask(SIG_BLOCK, &block, &old);
    while (tcsetattr(terminal.fd, TCSANOW, mode) && errno == EINTR) {
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void give_back(void)
{
    if (terminal.changed) {
        terminal.changed = 0;
        set_mode(&terminal.saved);
    }
}

/* The terminal belongs to the shell while we are in the background. */
static void take(void)
{
    if (terminal.active && tcgetpgrp(terminal.fd) == getpgrp()) {
        terminal.changed = 1;
        set_mode(&terminal.raw);
    }
}

static void on_end(int number)
{
    int saved = errno;
    struct sigaction action = {.sa_handler = SIG_DFL};

    give_back();
    sigaction(number, &action, NULL);
    raise(number); /* pending until we return */
    errno = saved;
}

static void on_continue(int number);

static void handle(int number, void (*handler)(int number))
{
    struct sigaction old, action = {.sa_handler = handler, .sa_flags = SA_RESTART};

    if (!sigaction(number, NULL, &old) && old.sa_handler == SIG_DFL) {
        sigaction(number, &action, NULL);
    }
}

static void on_continue(int number)
{
    int saved = errno;

    (void)number;
    handle(SIGTSTP, on_end);
    take();
    errno = saved;
}

bool terminal_raw(int fd, bool signals)
{
    static bool registered;

    if (!isatty(fd) || tcgetattr(fd, &terminal.saved)) {
        return false;
    }
    terminal.fd = fd;
    terminal.raw = terminal.saved;
    terminal.raw.c_iflag &=
        ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    terminal.raw.c_oflag |= OPOST;
    terminal.raw.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | IEXTEN);
    terminal.raw.c_cflag &= ~(tcflag_t)(CSIZE | PARENB);
    terminal.raw.c_cflag |= CS8;
    terminal.raw.c_cc[VMIN] = 1;
    terminal.raw.c_cc[VTIME] = 0;
    if (!signals) {
        terminal.raw.c_lflag &= ~(tcflag_t)ISIG;
    }
    terminal.active = 1;
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGABRT, SIGTSTP};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        handle(ends[i], on_end);
    }
    handle(SIGCONT, on_continue);
    if (!registered) {
        registered = true;
        atexit(terminal_restore);
    }
    take();
    return true;
}

void terminal_restore(void)
{
    terminal.active = 0;
    give_back();
}
