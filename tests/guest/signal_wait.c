/* SPDX-License-Identifier: MIT
 *
 * Signals and system calls: which are made again behind a handler and which end with EINTR, masks,
 * pending signals, waiting for signals, and masks that last for one call. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#include "expect.h"

static volatile int calls;
static int pipe_fd[2];

static void count(int sig)
{
    (void)sig;
    calls++;
}

static void count_and_write(int sig)
{
    (void)sig;
    if (++calls == 3) {
        EXPECT(write(pipe_fd[1], "x", 1) == 1);
    }
}

static void handle(int sig, void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

    sigemptyset(&action.sa_mask);
    EXPECT_OR_END(sigaction(sig, &action, NULL) == 0);
}

static void tick(unsigned first, unsigned interval)
{
    struct itimerval timer = {{0, (suseconds_t)interval}, {0, (suseconds_t)first}};

    setitimer(ITIMER_REAL, &timer, NULL);
}

static void made_again(void)
{
    char c = 0;

    calls = 0;
    handle(SIGALRM, count_and_write, SA_RESTART);
    tick(10000, 10000);
    EXPECT_SAME(read(pipe_fd[0], &c, 1), 1);
    tick(0, 0);
    EXPECT_SAME(c, 'x');
    EXPECT_SAME(calls, 3);
}

static void interrupted(void)
{
    struct timespec time = {5, 0}, left = {0, 0};
    char c;

    calls = 0;
    handle(SIGALRM, count, 0);
    tick(20000, 0);
    EXPECT(read(pipe_fd[0], &c, 1) == -1 && errno == EINTR);
    handle(SIGALRM, count, SA_RESTART); /* these are never made again */
    tick(20000, 0);
    EXPECT(nanosleep(&time, &left) == -1 && errno == EINTR);
    EXPECT(left.tv_sec == 4 && left.tv_nsec > 500000000);
    tick(20000, 0);
    EXPECT(clock_nanosleep(CLOCK_MONOTONIC, 0, &time, &left) == EINTR);
    tick(20000, 0);
    EXPECT(pause() == -1 && errno == EINTR);
    struct pollfd poll_fd = {.fd = pipe_fd[0], .events = POLLIN};
    tick(20000, 0);
    EXPECT(poll(&poll_fd, 1, 5000) == -1 && errno == EINTR);
    fd_set set;
    FD_ZERO(&set);
    FD_SET(pipe_fd[0], &set);
    tick(20000, 0);
    EXPECT(select(pipe_fd[0] + 1, &set, NULL, NULL, NULL) == -1 && errno == EINTR);
    int epoll = epoll_create1(0);
    struct epoll_event event;
    tick(20000, 0);
    EXPECT(epoll_wait(epoll, &event, 1, 5000) == -1 && errno == EINTR);
    close(epoll);
    EXPECT_SAME(calls, 7);
    alarm(1);
    sleep(5);
    EXPECT_SAME(calls, 8);
}

static void blocked(void)
{
    sigset_t set, old, pending;

    calls = 0;
    handle(SIGUSR1, count, 0);
    handle(SIGSEGV, count, 0);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGSEGV); /* one that a translator can hardly block */
    sigprocmask(SIG_BLOCK, &set, &old);
    kill(getpid(), SIGUSR1);
    kill(getpid(), SIGUSR1);
    kill(getpid(), SIGSEGV);
    EXPECT_SAME(calls, 0);
    sigpending(&pending);
    EXPECT(sigismember(&pending, SIGUSR1));
    EXPECT(sigismember(&pending, SIGSEGV));
    EXPECT(!sigismember(&pending, SIGUSR2));
    sigprocmask(SIG_SETMASK, &old, NULL);
    EXPECT_SAME(calls, 2);
    signal(SIGSEGV, SIG_DFL);
}

static void ignored_while_pending(void)
{
    sigset_t set, old;

    calls = 0;
    handle(SIGUSR1, count, 0);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, &old);
    raise(SIGUSR1);
    signal(SIGUSR1, SIG_IGN);
    handle(SIGUSR1, count, 0);
    sigprocmask(SIG_SETMASK, &old, NULL);
    EXPECT_SAME(calls, 0);
}

static void waited_for(void)
{
    sigset_t set, old;
    siginfo_t info;
    const struct timespec none = {0, 0}, some = {0, 20000000};
    union sigval value = {.sival_int = 4711};

    calls = 0;
    handle(SIGUSR1, count, 0);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGRTMIN + 1);
    sigprocmask(SIG_BLOCK, &set, &old);
    EXPECT(sigtimedwait(&set, &info, &none) == -1 && errno == EAGAIN);
    EXPECT(sigtimedwait(&set, &info, &some) == -1 && errno == EAGAIN);
    sigqueue(getpid(), SIGRTMIN + 1, value);
    value.sival_int++;
    sigqueue(getpid(), SIGRTMIN + 1, value);
    EXPECT_SAME(sigwaitinfo(&set, &info), SIGRTMIN + 1);
    EXPECT_SAME(info.si_value.sival_int, 4711);
    EXPECT_SAME(info.si_code, SI_QUEUE);
    EXPECT_SAME(info.si_pid, getpid());
    EXPECT_SAME(sigwaitinfo(&set, &info), SIGRTMIN + 1);
    EXPECT_SAME(info.si_value.sival_int, 4712);
    int fd = signalfd(-1, &set, SFD_NONBLOCK);
    struct signalfd_siginfo from;
    EXPECT(read(fd, &from, sizeof from) == -1 && errno == EAGAIN);
    raise(SIGUSR1);
    EXPECT_SAME(read(fd, &from, sizeof from), sizeof from);
    EXPECT_SAME(from.ssi_signo, SIGUSR1);
    close(fd);
    sigprocmask(SIG_SETMASK, &old, NULL);
    EXPECT_SAME(calls, 0);
}

static volatile sigset_t mask_in_handler;

static void note_mask(int sig)
{
    (void)sig;
    sigprocmask(SIG_SETMASK, NULL, (sigset_t *)&mask_in_handler);
    calls++;
}

static void masks_for_one_call(void)
{
    sigset_t block, old, none, now;
    const struct timespec some = {5, 0}, little = {0, 1000000};

    calls = 0;
    handle(SIGUSR1, note_mask, SA_RESTART);
    sigemptyset(&none);
    sigaddset(&none, SIGUSR2);
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    sigprocmask(SIG_BLOCK, &block, &old);
    raise(SIGUSR1);
    EXPECT(sigsuspend(&none) == -1 && errno == EINTR);
    EXPECT_SAME(calls, 1);
    /* In the handler: the mask of sigsuspend() and the signal itself. */
    EXPECT(sigismember((sigset_t *)&mask_in_handler, SIGUSR1));
    EXPECT(sigismember((sigset_t *)&mask_in_handler, SIGUSR2));
    sigprocmask(SIG_SETMASK, NULL, &now);
    EXPECT(sigismember(&now, SIGUSR1) && !sigismember(&now, SIGUSR2));
    raise(SIGUSR1);
    EXPECT(ppoll(NULL, 0, &some, &none) == -1 && errno == EINTR);
    EXPECT_SAME(calls, 2);
    raise(SIGUSR1);
    EXPECT(pselect(0, NULL, NULL, NULL, &some, &none) == -1 && errno == EINTR);
    EXPECT_SAME(calls, 3);
    int epoll = epoll_create1(0);
    struct epoll_event event;
    raise(SIGUSR1);
    EXPECT(epoll_pwait(epoll, &event, 1, 5000, &none) == -1 && errno == EINTR);
    EXPECT_SAME(calls, 4);
    EXPECT(ppoll(NULL, 0, &little, &none) == 0);
    sigprocmask(SIG_SETMASK, NULL, &now);
    EXPECT(sigismember(&now, SIGUSR1) && !sigismember(&now, SIGUSR2));
    close(epoll);
    sigprocmask(SIG_SETMASK, &old, NULL);
    EXPECT_SAME(calls, 4);
}

static pthread_t main_thread;

static void *send_many(void *opaque)
{
    (void)opaque;
    for (int i = 0; i < 2000; i++) {
        pthread_kill(main_thread, SIGUSR1);
        if (i % 16 == 0) {
            usleep(50);
        }
    }
    usleep(1000);
    EXPECT(write(pipe_fd[1], "q", 1) == 1);
    return NULL;
}

/* Signals at any moment around a system call: none may be slept over, no byte may be lost. */
static void storm(void)
{
    pthread_t thread;
    char c = 0;

    main_thread = pthread_self();
    handle(SIGUSR1, count, SA_RESTART);
    pthread_create(&thread, NULL, send_many, NULL);
    uint64_t rounds = 0;
    struct pollfd poll_fd = {.fd = pipe_fd[0], .events = POLLIN};
    while (poll(&poll_fd, 1, 0) <= 0) {
        EXPECT_SAME(syscall(SYS_getppid), getppid());
        rounds++;
    }
    EXPECT_SAME(read(pipe_fd[0], &c, 1), 1);
    EXPECT_SAME(c, 'q');
    pthread_join(thread, NULL);
}

int main(void)
{
    EXPECT_OR_END(pipe(pipe_fd) == 0);
    made_again();
    interrupted();
    blocked();
    ignored_while_pending();
    waited_for();
    masks_for_one_call();
    storm();
    return expect_done();
}
