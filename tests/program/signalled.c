/* SPDX-License-Identifier: MIT
 *
 * A program that has to do with a signal, for -trace toggle=SIGNAL: signalled WHAT [NUMBER].
 * It prints what it sees of it, and nothing that depends on time, so that the output is the same
 * whatever comes from outside and is taken away. "ready" comes first. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MANY = 200 };

static int the_signal = SIGUSR2;

static volatile sig_atomic_t handled, last_value, foreign;
static volatile bool over;

static void handler(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    handled++;
    foreign += info->si_pid != getpid();
    last_value = info->si_value.sival_int;
}

static void catch (int flags)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};

    sigaction(the_signal, &action, NULL);
}

static void mask(int how)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, the_signal);
    pthread_sigmask(how, &set, NULL);
}

static void terminate(int signal)
{
    (void)signal;
    over = true;
}

static long milliseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void nap(long ms)
{
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};

    while (nanosleep(&time, &time) != 0) {
    }
}

/* Until SIGTERM: calls, and system calls. */
static void work(void)
{
    signal(SIGTERM, terminate);
    while (!over) {
        usleep(1000);
    }
    puts("done");
}

/* Waits that no signal of the program's own interrupts: they last as long as they should. */
static void wait_for_time(void)
{
    struct timespec time = {0, 400000000};
    sigset_t none;
    long begin = milliseconds();
    int result = nanosleep(&time, NULL);
    long took = milliseconds() - begin;

    printf("nanosleep %d, %s\n", result,
           took >= 400 && took < 2500 ? "in time" : "at another time");
    begin = milliseconds();
    result = poll(NULL, 0, 400);
    took = milliseconds() - begin;
    printf("poll %d, %s\n", result, took >= 400 && took < 2500 ? "in time" : "at another time");
    sigemptyset(&none);
    sigaddset(&none, SIGUSR1);
    begin = milliseconds();
    result = sigtimedwait(&none, NULL, &time);
    took = milliseconds() - begin;
    printf("sigtimedwait %d %s, %s\n", result, strerrorname_np(errno),
           took >= 400 && took < 2500 ? "in time" : "at another time");
}

static void *wait_in_thread(void *opaque)
{
    sigset_t set;
    siginfo_t info;

    (void)opaque;
    sigemptyset(&set);
    sigaddset(&set, the_signal);
    for (int i = 0; i < MANY; i++) {
        int got = sigwaitinfo(&set, &info);
        if (got != the_signal || info.si_pid != getpid()) {
            printf("sigwaitinfo gave %d from %s\n", got, info.si_pid == getpid() ? "us" : "others");
        }
        __atomic_fetch_add(&handled, 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

/* Sends the signal to itself in all ways, and takes it in all ways. */
static void use(void)
{
    pthread_t thread;
    sigset_t set;
    const struct timespec now = {0};

    catch (0);
    for (int i = 0; i < MANY; i++) {
        kill(getpid(), the_signal);
        while (handled == i) {
            sched_yield();
        }
    }
    printf("kill: %d handled\n", (int)handled);
    for (int i = 0; i < MANY; i++) {
        raise(the_signal);
    }
    printf("raise: %d handled\n", (int)handled);
    sigqueue(getpid(), the_signal, (union sigval){.sival_int = 77});
    while (last_value != 77) {
        sched_yield();
    }
    puts("sigqueue: value 77");

    mask(SIG_BLOCK);
    handled = 0;
    kill(getpid(), the_signal);
    nap(50);
    sigpending(&set);
    printf("blocked: %d handled, %s\n", (int)handled,
           sigismember(&set, the_signal) ? "pending" : "not pending");
    mask(SIG_UNBLOCK);
    while (handled == 0) {
        sched_yield();
    }
    puts("unblocked: handled");

    mask(SIG_BLOCK);
    handled = 0;
    pthread_create(&thread, NULL, wait_in_thread, NULL);
    for (int i = 0; i < MANY; i++) {
        kill(getpid(), the_signal);
        while (__atomic_load_n(&handled, __ATOMIC_SEQ_CST) == i) {
            sched_yield();
        }
    }
    pthread_join(thread, NULL);
    sigemptyset(&set);
    sigaddset(&set, the_signal);
    int more = sigtimedwait(&set, NULL, &now);
    printf("waited for: %d, then %d\n", (int)handled, more);
    mask(SIG_UNBLOCK);

    signal(the_signal, SIG_IGN);
    kill(getpid(), the_signal);
    puts("ignored");
    printf("from others: %d\n", (int)foreign);
}

static void die(void)
{
    fflush(stdout);
    nap(200);
    kill(getpid(), the_signal);
    nap(1000);
    puts("still there");
}

/* Children: one that works on, and one that runs a program. */
static void have_children(const char *self)
{
    pid_t child = fork();

    if (child == 0) {
        printf("child %d\n", (int)getpid());
        work();
        exit(3);
    }
    pid_t program = fork();
    if (program == 0) {
        printf("program %d\n", (int)getpid());
        fflush(stdout);
        execl(self, self, "work", (char *)NULL);
        exit(127);
    }
    int status[2];
    waitpid(child, &status[0], 0);
    waitpid(program, &status[1], 0);
    printf("ended with %d and %d\n", WEXITSTATUS(status[0]), WEXITSTATUS(status[1]));
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    the_signal = argc > 2 ? atoi(argv[2]) : the_signal;
    setvbuf(stdout, NULL, _IOLBF, 0);
    puts("ready");
    if (!strcmp(what, "work")) {
        work();
    } else if (!strcmp(what, "time")) {
        wait_for_time();
    } else if (!strcmp(what, "use")) {
        use();
    } else if (!strcmp(what, "die")) {
        die();
    } else if (!strcmp(what, "children")) {
        have_children(argv[0]);
    } else if (!strcmp(what, "exec")) {
        mask(SIG_BLOCK);
        execl(argv[0], argv[0], "mask", (char *)NULL);
    } else if (!strcmp(what, "mask")) {
        sigset_t set;
        pthread_sigmask(SIG_BLOCK, NULL, &set);
        puts(sigismember(&set, the_signal) ? "blocked" : "not blocked");
    } else {
        fputs("usage: signalled work|time|use|die|children|exec|mask\n", stderr);
        return 2;
    }
    return 0;
}
