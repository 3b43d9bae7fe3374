/* SPDX-License-Identifier: MIT
 *
 * How many events a second go through, from the probes to the file: throughput [--threads N]
 * [--count N] [-trace ...], or --raw FILE [--count N] for what the system takes at all: as many
 * bytes as the records would have, in large pieces, by one thread.
 *
 * --count is for all threads together. The time is from the first probe to the moment when all
 * records have been handed to the system. Prints JSON. */
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "setup.h"
#include "trace-bench.h"
#include "trace/probe/buffer.h"
#include "trace/record.h"

enum { THREADS_MAX = 64, RAW_PIECE = 256 << 10, RECORD = TRACE_RECORD_HEAD + 3 * 8 };

struct worker {
    pthread_t thread;
    unsigned number;
    uint64_t count;
    uint64_t begin, end;
    uint64_t lost; /* with overflow=drop */
};

static pthread_barrier_t start;

static void *work(void *opaque)
{
    struct worker *w = opaque;
    pthread_barrier_wait(&start);
    w->begin = clock_monotonic();
    for (uint64_t i = 0; i < w->count; i++) {
        trace_bench_three(i, w->number, -(int64_t)i);
    }
    w->end = clock_monotonic();
    for (unsigned i = 0; trace_thread_self && i < TRACE_RECORDINGS_MAX; i++) {
        w->lost += trace_thread_self->buffer[i].lost;
    }
    return NULL;
}

struct times {
    uint64_t begin, fired, written;
};

static uint64_t fire(unsigned threads, uint64_t count, struct times *times)
{
    static struct worker worker[THREADS_MAX];
    uint64_t lost = 0;

    pthread_barrier_init(&start, NULL, threads);
    for (unsigned i = 0; i < threads; i++) {
        worker[i].number = i;
        worker[i].count = count / threads;
        if (pthread_create(&worker[i].thread, NULL, work, &worker[i]) != 0) {
            bench_fail("throughput", "cannot start a thread");
        }
    }
    times->begin = UINT64_MAX;
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(worker[i].thread, NULL);
        times->begin = worker[i].begin < times->begin ? worker[i].begin : times->begin;
        times->fired = worker[i].end > times->fired ? worker[i].end : times->fired;
        lost += worker[i].lost;
    }
    trace_file_flush();
    times->written = clock_monotonic();
    return lost;
}

static void write_raw(const char *path, uint64_t count, struct times *times)
{
    static uint8_t piece[RAW_PIECE];
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        bench_fail(path, strerror(errno));
    }
    memset(piece, 0x5a, sizeof piece);
    times->begin = clock_monotonic();
    for (uint64_t left = count * RECORD; left;) {
        ssize_t n = write(fd, piece, left < RAW_PIECE ? left : RAW_PIECE);
        if (n < 0) {
            bench_fail(path, strerror(errno));
        }
        left -= (uint64_t)n;
    }
    times->fired = times->written = clock_monotonic();
    close(fd);
}

int main(int argc, char **argv)
{
    unsigned threads = 1;
    uint64_t count = 1000000;
    const char *raw = NULL;
    struct trace_setup *setup = trace_setup_new();

    for (int i = 1; i < argc; i++) {
        if (bench_trace_option(setup, argc, argv, &i)) {
            continue;
        } else if (!strcmp(argv[i], "--threads")) {
            threads = (unsigned)bench_number(argc, argv, &i);
        } else if (!strcmp(argv[i], "--count")) {
            count = bench_number(argc, argv, &i);
        } else if (!strcmp(argv[i], "--raw") && i + 1 < argc) {
            raw = argv[++i];
        } else {
            bench_fail(argv[i], "unknown option");
        }
    }
    if (threads > THREADS_MAX || count % threads) {
        bench_fail(argv[0], "expected at most 64 threads, and a count they can share");
    }
    struct times times = {0};
    uint64_t lost = 0;
    bench_trace_begin(setup, argv[0]);
    if (raw) {
        write_raw(raw, count, &times);
    } else {
        lost = fire(threads, count, &times);
    }
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    printf("{\"threads\": %u, \"fired\": %llu, \"lost\": %llu, \"fire_ns\": %llu, "
           "\"total_ns\": %llu, \"user_us\": %llu, \"system_us\": %llu}\n",
           threads, (unsigned long long)count, (unsigned long long)lost,
           (unsigned long long)(times.fired - times.begin),
           (unsigned long long)(times.written - times.begin),
           (unsigned long long)used.ru_utime.tv_sec * 1000000 + (uint64_t)used.ru_utime.tv_usec,
           (unsigned long long)used.ru_stime.tv_sec * 1000000 + (uint64_t)used.ru_stime.tv_usec);
    return 0;
}
