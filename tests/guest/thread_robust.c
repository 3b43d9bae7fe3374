/* SPDX-License-Identifier: MIT
 *
 * Robust mutexes: whose owner ends as a thread, as a process, and by a signal. */
#include <pthread.h>
#include <sys/wait.h>

#include "expect.h"

static pthread_mutex_t *mutex;

static void *end_with_it(void *opaque)
{
    (void)opaque;
    EXPECT_SAME(pthread_mutex_lock(mutex), 0);
    return NULL;
}

static void *wait_for_it(void *opaque)
{
    (void)opaque;
    int error = pthread_mutex_lock(mutex);
    if (error == EOWNERDEAD) {
        pthread_mutex_consistent(mutex);
    }
    pthread_mutex_unlock(mutex);
    return (void *)(intptr_t)error;
}

static void *hold_then_end(void *opaque)
{
    EXPECT_SAME(pthread_mutex_lock(mutex), 0);
    pthread_barrier_wait(opaque);
    usleep(20000);
    return NULL;
}

static void take_over(void)
{
    EXPECT_SAME(pthread_mutex_lock(mutex), EOWNERDEAD);
    EXPECT_SAME(pthread_mutex_consistent(mutex), 0);
    EXPECT_SAME(pthread_mutex_unlock(mutex), 0);
    EXPECT_SAME(pthread_mutex_lock(mutex), 0);
    EXPECT_SAME(pthread_mutex_unlock(mutex), 0);
}

static void threads(void)
{
    pthread_t holder, waiter;
    pthread_barrier_t barrier;
    void *result;

    for (int i = 0; i < 20; i++) {
        pthread_create(&holder, NULL, end_with_it, NULL);
        pthread_join(holder, NULL);
        take_over();
    }
    pthread_barrier_init(&barrier, NULL, 2); /* and with somebody asleep for it */
    pthread_create(&holder, NULL, hold_then_end, &barrier);
    pthread_barrier_wait(&barrier);
    pthread_create(&waiter, NULL, wait_for_it, NULL);
    pthread_join(holder, NULL);
    pthread_join(waiter, &result);
    EXPECT_SAME((intptr_t)result, EOWNERDEAD);
    EXPECT_SAME(pthread_mutex_lock(mutex), 0);
    EXPECT_SAME(pthread_mutex_unlock(mutex), 0);
}

static void processes(bool killed)
{
    int status, fd[2];
    char c;

    EXPECT_OR_END(pipe(fd) == 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        pthread_mutex_lock(mutex);
        if (write(fd[1], "x", 1) == 1 && killed) {
            pause();
        }
        _exit(0);
    }
    EXPECT_SAME(read(fd[0], &c, 1), 1);
    if (killed) {
        kill(pid, SIGKILL);
    }
    EXPECT_SAME(waitpid(pid, &status, 0), pid);
    take_over();
    close(fd[0]);
    close(fd[1]);
}

int main(void)
{
    pthread_mutexattr_t attr;

    mutex = mmap(NULL, EXPECT_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    EXPECT_OR_END(mutex != MAP_FAILED);
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(mutex, &attr);
    threads();
    processes(false);
    processes(true);
    return expect_done();
}
