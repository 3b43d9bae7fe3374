/* SPDX-License-Identifier: MIT
 *
 * Threads: contended atomics, thread-local variables, mutexes and conditions, barriers,
 * cancellation, signals to threads, and threads that come and go while others work. */
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "expect.h"

enum { THREADS = 8, ROUNDS = 20000 };

static atomic_ulong counter;
static unsigned long guarded;
static uint64_t table[64];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_spinlock_t spin;
static pthread_barrier_t barrier;
static _Thread_local unsigned long own;
static _Thread_local char own_text[32] = "unchanged";
static pthread_key_t key;
static atomic_int destroyed;

static void destroy(void *value)
{
    EXPECT(value);
    destroyed++;
}

static void *contend(void *opaque)
{
    unsigned long number = (unsigned long)opaque;

    EXPECT(strcmp(own_text, "unchanged") == 0);
    snprintf(own_text, sizeof own_text, "thread %lu", number);
    pthread_setspecific(key, (void *)(number + 1));
    pthread_barrier_wait(&barrier);
    for (unsigned i = 0; i < ROUNDS; i++) {
        atomic_fetch_add(&counter, 1);
        own++;
        uint64_t old = __atomic_load_n(&table[i % 64], __ATOMIC_RELAXED);
        while (!__atomic_compare_exchange_n(&table[i % 64], &old, old + number + 1, true,
                                            __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        }
        if (i % 16 == 0) {
            pthread_mutex_lock(&mutex);
            guarded++;
            pthread_mutex_unlock(&mutex);
        }
        if (i % 64 == 0) {
            pthread_spin_lock(&spin);
            guarded += 0;
            pthread_spin_unlock(&spin);
        }
    }
    char expected[32];
    snprintf(expected, sizeof expected, "thread %lu", number);
    EXPECT(strcmp(own_text, expected) == 0);
    EXPECT_SAME(own, ROUNDS);
    EXPECT_SAME((unsigned long)pthread_getspecific(key), number + 1);
    return (void *)(number * 3);
}

static void contention(void)
{
    pthread_t thread[THREADS];
    uint64_t sum = 0;

    pthread_barrier_init(&barrier, NULL, THREADS);
    pthread_spin_init(&spin, 0);
    pthread_key_create(&key, destroy);
    for (unsigned long i = 0; i < THREADS; i++) {
        EXPECT_OR_END(pthread_create(&thread[i], NULL, contend, (void *)i) == 0);
    }
    for (unsigned long i = 0; i < THREADS; i++) {
        void *result;
        EXPECT_SAME(pthread_join(thread[i], &result), 0);
        EXPECT_SAME((unsigned long)result, i * 3);
    }
    for (unsigned i = 0; i < 64; i++) {
        sum += table[i];
    }
    EXPECT_SAME(counter, (unsigned long)THREADS * ROUNDS);
    EXPECT_SAME(guarded, (unsigned long)THREADS * ROUNDS / 16);
    EXPECT_SAME(sum, (uint64_t)ROUNDS * THREADS * (THREADS + 1) / 2);
    EXPECT_SAME(destroyed, THREADS);
}

static int queue[16];
static unsigned queued;
static pthread_cond_t not_full = PTHREAD_COND_INITIALIZER, not_empty = PTHREAD_COND_INITIALIZER;

static void *produce(void *opaque)
{
    (void)opaque;
    for (int i = 1; i <= 2000; i++) {
        pthread_mutex_lock(&mutex);
        while (queued == 16) {
            pthread_cond_wait(&not_full, &mutex);
        }
        queue[queued++] = i;
        pthread_cond_signal(&not_empty);
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}

static void conditions(void)
{
    pthread_t thread;
    long sum = 0;

    pthread_create(&thread, NULL, produce, NULL);
    for (int i = 1; i <= 2000; i++) {
        pthread_mutex_lock(&mutex);
        while (queued == 0) {
            pthread_cond_wait(&not_empty, &mutex);
        }
        sum += queue[--queued];
        pthread_cond_signal(&not_full);
        pthread_mutex_unlock(&mutex);
    }
    pthread_join(thread, NULL);
    EXPECT_SAME(sum, 2000 * 2001 / 2);
}

static void *short_life(void *opaque)
{
    return (char *)opaque + (syscall(SYS_gettid) != getpid());
}

static void come_and_go(void)
{
    for (uintptr_t i = 0; i < 200; i++) {
        pthread_t thread[4];
        void *result;
        for (uintptr_t t = 0; t < 4; t++) {
            EXPECT_OR_END(pthread_create(&thread[t], NULL, short_life, (void *)(i + t)) == 0);
        }
        for (uintptr_t t = 0; t < 4; t++) {
            pthread_join(thread[t], &result);
            EXPECT_SAME((uintptr_t)result, i + t + 1);
        }
    }
}

static atomic_int taken;
static _Thread_local int taken_here;
static sem_t ready;
static atomic_bool stop;

static void take(int sig)
{
    (void)sig;
    taken++;
    taken_here++;
}

static void *be_signalled(void *opaque)
{
    sem_post(&ready);
    uint64_t work = 1;
    while (!stop) {
        work = work * 3 + 1;
    }
    __asm__ volatile("" : : "r"(work));
    *(int *)opaque = taken_here;
    return NULL;
}

static void signals(void)
{
    pthread_t thread[2];
    int got[2] = {0, 0};

    sem_init(&ready, 0, 0);
    signal(SIGUSR1, take);
    for (int i = 0; i < 2; i++) {
        pthread_create(&thread[i], NULL, be_signalled, &got[i]);
        sem_wait(&ready);
    }
    for (int i = 0; i < 100; i++) {
        int before = taken;
        EXPECT_SAME(pthread_kill(thread[i % 2], SIGUSR1), 0);
        while (taken == before) {
            sched_yield();
        }
    }
    stop = true;
    pthread_join(thread[0], NULL);
    pthread_join(thread[1], NULL);
    EXPECT_SAME(got[0], 50);
    EXPECT_SAME(got[1], 50);
    EXPECT_SAME(taken_here, 0);
}

static void *wait_for_ever(void *opaque)
{
    sem_post(&ready);
    for (;;) {
        pause();
    }
    return opaque;
}

static void cancelled(void)
{
    pthread_t thread;
    void *result;

    pthread_create(&thread, NULL, wait_for_ever, NULL);
    sem_wait(&ready);
    pthread_cancel(thread);
    EXPECT_SAME(pthread_join(thread, &result), 0);
    EXPECT(result == PTHREAD_CANCELED);
}

static void *end_later(void *opaque)
{
    usleep(20000);
    return opaque;
}

static int status_of(void (*child)(void))
{
    int status = 0;

    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        child();
        _exit(99);
    }
    EXPECT_SAME(waitpid(pid, &status, 0), pid);
    return status;
}

/* The first thread ends first: the process goes on until the last one. */
static void first_ends(void)
{
    pthread_t thread;

    pthread_create(&thread, NULL, end_later, NULL);
    pthread_exit(NULL);
}

static void *exit_all(void *opaque)
{
    (void)opaque;
    exit(17);
}

static void other_exits(void)
{
    pthread_t thread;

    pthread_create(&thread, NULL, exit_all, NULL);
    for (;;) {
        pause();
    }
}

static void *fault(void *opaque)
{
    *(volatile char *)opaque = 1;
    return NULL;
}

static void other_faults(void)
{
    pthread_t thread;

    pthread_create(&thread, NULL, fault, NULL);
    for (;;) {
    }
}

int main(void)
{
    contention();
    conditions();
    come_and_go();
    signals();
    cancelled();
    EXPECT_SAME(status_of(first_ends), 0);
    EXPECT_SAME(status_of(other_exits), 17 << 8);
    EXPECT_SAME(status_of(other_faults) & 0x7f, SIGSEGV);
    return expect_done();
}
