/* SPDX-License-Identifier: MIT
 *
 * What programs do to tracing that is not firing in a loop: churn [-trace ...] WHAT [COUNT].
 *
 *   handler   COUNT signals, whose handler fires far more than a small ring holds
 *   stopped   COUNT times a thread that fires is stopped, by a handler, while another fires much
 *   threads   COUNT threads that fire once and end, four at a time
 *   forks     COUNT children that fire, of a process whose other threads fire
 *   exit      a signal handler ends the program while its threads fire
 *   cancel    COUNT threads that are cancelled while they fire
 *   starve    COUNT events while the host gives no memory, then one
 *   crowd     COUNT threads that live at the same time and fire CROWD_FIRES events each
 *   broken    COUNT events after somebody went away who read the recording
 *
 * Prints "fired N" (by this process), for `threads` also "blocks N": how many there are in the end.
 */
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "trace-tests_program.h"
#include "trace/probe/control.h"

enum { BURST = 3000, AT_A_TIME = 4, CROWD_FIRES = 1000, CROWD_MAX = 256 };

static uint64_t fired;
static bool done;

static void fire(uint64_t number)
{
    trace_churn(number);
    __atomic_add_fetch(&fired, 1, __ATOMIC_RELAXED);
}

static void *fire_on(void *opaque)
{
    while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE)) {
        fire(1);
    }
    return opaque;
}

/* Delivers SIGALRM to the process every so many microseconds. */
static void alarm_every(int us, void (*handler)(int))
{
    const struct itimerval often = {{0, us}, {0, us}};
    signal(SIGALRM, handler);
    setitimer(ITIMER_REAL, &often, NULL);
}

static volatile sig_atomic_t signals, wanted;

static void fire_much(int signal)
{
    (void)signal;
    for (unsigned i = 0; i < BURST; i++) {
        fire(2);
    }
    if (++signals == wanted) {
        alarm_every(0, SIG_IGN);
    }
}

static void run_handler(unsigned count)
{
    wanted = (int)count;
    alarm_every(200, fire_much);
    while (signals < wanted) {
        fire(1);
    }
}

static sem_t stopped, go_on;

static void stop_here(int signal)
{
    (void)signal;
    sem_post(&stopped);
    while (sem_wait(&go_on) != 0) {
    }
}

static void run_stopped(unsigned count)
{
    pthread_t thread;
    sem_init(&stopped, 0, 0);
    sem_init(&go_on, 0, 0);
    signal(SIGUSR1, stop_here);
    pthread_create(&thread, NULL, fire_on, NULL);
    for (unsigned i = 0; i < count; i++) {
        usleep(1000 + i);
        pthread_kill(thread, SIGUSR1);
        sem_wait(&stopped);
        for (unsigned n = 0; n < BURST; n++) {
            fire(4);
        }
        sem_post(&go_on);
    }
    __atomic_store_n(&done, true, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
}

static void *fire_once(void *opaque)
{
    fire((uintptr_t)opaque);
    return NULL;
}

static void run_threads(unsigned count)
{
    for (unsigned i = 0; i < count; i += AT_A_TIME) {
        pthread_t thread[AT_A_TIME];
        for (unsigned t = 0; t < AT_A_TIME; t++) {
            pthread_create(&thread[t], NULL, fire_once, (void *)(uintptr_t)(i + t));
        }
        for (unsigned t = 0; t < AT_A_TIME; t++) {
            pthread_join(thread[t], NULL);
        }
    }
    unsigned blocks = 0;
    for (struct trace_thread *t = trace_threads(); t; t = t->next) {
        blocks++;
    }
    printf("blocks %u ", blocks);
}

static void run_forks(unsigned count)
{
    pthread_t thread[AT_A_TIME];
    for (unsigned t = 0; t < AT_A_TIME; t++) {
        pthread_create(&thread[t], NULL, fire_on, NULL);
    }
    for (unsigned i = 0; i < count; i++) {
        pid_t child = fork();
        if (child == 0) {
            signal(SIGALRM, SIG_DFL);
            alarm(20); /* should it hang */
            for (unsigned n = 0; n < 10; n++) {
                fire(3);
            }
            _exit(0);
        }
        int status;
        if (waitpid(child, &status, 0) != child || status != 0) {
            bug("child %u ended with status %#x", i, (unsigned)status);
        }
    }
    __atomic_store_n(&done, true, __ATOMIC_RELEASE);
    for (unsigned t = 0; t < AT_A_TIME; t++) {
        pthread_join(thread[t], NULL);
    }
}

static void end_program(int signal)
{
    (void)signal;
    exit(0);
}

static void run_exit(unsigned count)
{
    (void)count;
    pthread_t thread;
    pthread_create(&thread, NULL, fire_on, NULL);
    /* Once: a second signal could have the other thread call exit() meanwhile, which is not ours to
     * make work. */
    const struct itimerval soon = {{0, 0}, {0, 20000}};
    signal(SIGALRM, end_program);
    setitimer(ITIMER_REAL, &soon, NULL);
    fire_on(NULL);
}

static void run_cancel(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, fire_on, NULL);
        usleep(1000);
        pthread_cancel(thread);
        __atomic_store_n(&done, true, __ATOMIC_RELEASE); /* it may pass no point of cancellation */
        pthread_join(thread, NULL);
        __atomic_store_n(&done, false, __ATOMIC_RELEASE);
        fire(1);
    }
}

static void run_starve(unsigned count)
{
    struct rlimit before, none;
    struct error err;
    trace_file_off();
    fire(0); /* goes nowhere, but the thread is known now */
    if (!trace_file_on(&err)) {
        bug("%s", err.text);
    }
    getrlimit(RLIMIT_AS, &before);
    none = (struct rlimit){1 << 20, before.rlim_max};
    setrlimit(RLIMIT_AS, &none);
    for (unsigned i = 0; i < count; i++) {
        fire(i);
    }
    setrlimit(RLIMIT_AS, &before);
    fire(count);
}

static pthread_barrier_t all_fired;

static void *fire_and_stay(void *opaque)
{
    fire(0);
    pthread_barrier_wait(&all_fired);
    for (unsigned i = 1; i < CROWD_FIRES; i++) {
        fire(i);
    }
    pthread_barrier_wait(&all_fired);
    return opaque;
}

static void run_crowd(unsigned count)
{
    pthread_t thread[CROWD_MAX];
    count = count < CROWD_MAX ? count : CROWD_MAX;
    pthread_barrier_init(&all_fired, NULL, count);
    for (unsigned i = 0; i < count; i++) {
        pthread_create(&thread[i], NULL, fire_and_stay, NULL);
    }
    for (unsigned i = 0; i < count; i++) {
        pthread_join(thread[i], NULL);
    }
}

static void run_broken(unsigned count)
{
    char line[16];
    fire(0);
    trace_file_flush();
    if (!fgets(line, sizeof line, stdin)) { /* told so by the test */
        exit(2);
    }
    for (unsigned i = 0; i < count; i++) {
        fire(i);
    }
    trace_file_flush();
}

static const struct {
    const char *name;
    void (*run)(unsigned count);
} modes[] = {{"handler", run_handler}, {"stopped", run_stopped}, {"threads", run_threads},
             {"forks", run_forks},     {"exit", run_exit},       {"cancel", run_cancel},
             {"starve", run_starve},   {"crowd", run_crowd},     {"broken", run_broken}};

int main(int argc, char **argv)
{
    struct trace_setup *setup = trace_setup_new();
    struct error err;
    void (*run)(unsigned) = NULL;
    unsigned count = 1;

    for (int i = 1; i < argc; i++) {
        if (trace_setup_option(setup, argc, argv, &i, &err) != TRACE_OPTION_FOREIGN) {
            continue;
        }
        for (size_t m = 0; m < sizeof modes / sizeof *modes; m++) {
            if (!strcmp(argv[i], modes[m].name)) {
                run = modes[m].run;
                count = i + 1 < argc ? (unsigned)atoi(argv[++i]) : count;
                break;
            }
        }
    }
    if (!run || !trace_setup_apply(setup, NULL, NULL, &err)) {
        fprintf(stderr, "churn: %s\n", run ? err.text : "expected what to do and how often");
        return 2;
    }
    trace_setup_free(setup);
    run(count);
    printf("fired %llu\n", (unsigned long long)fired);
    return 0;
}
