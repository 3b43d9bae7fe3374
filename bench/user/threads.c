/* SPDX-License-Identifier: MIT
 *
 * Four threads: each works on its own part of a table, takes pieces of work from an atomic counter,
 * and puts results into a shared one under a mutex now and then. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>

enum { THREADS = 4, PIECES = 40000, PIECE = 420 };

static atomic_uint next;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t total, histogram[256];

static uint64_t collatz(uint64_t n)
{
    uint64_t steps = 0;
    while (n != 1) {
        n = n & 1 ? n * 3 + 1 : n / 2;
        steps++;
    }
    return steps;
}

static void *work(void *opaque)
{
    (void)opaque;
    for (unsigned piece; (piece = atomic_fetch_add(&next, 1)) < PIECES;) {
        uint64_t sum = 0;
        for (unsigned i = 0; i < PIECE; i++) {
            sum += collatz((uint64_t)piece * 1000 + i + 1);
        }
        pthread_mutex_lock(&lock);
        total += sum;
        histogram[sum & 255]++;
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

int main(void)
{
    pthread_t thread[THREADS];
    for (int i = 0; i < THREADS; i++) {
        if (pthread_create(&thread[i], NULL, work, NULL) != 0) {
            return 1;
        }
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
    }
    printf("%llu %llu\n", (unsigned long long)total, (unsigned long long)histogram[7]);
    return 0;
}
