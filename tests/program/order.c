/* SPDX-License-Identifier: MIT
 *
 * Checks a recording of storm: order FILE THREADS COUNT. Times must not go back, and each worker's
 * numbers must be 0 to COUNT-1 without a gap; with COUNT 0 only their order counts. Prints
 * "records N lost N last N" (the last number of worker 0) and exits with 0, or says what is wrong.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace/read/reader.h"

enum { WORKERS_MAX = 64 };

static int wrong(const char *what, uint64_t record, uint64_t found, uint64_t expected)
{
    fprintf(stderr, "order: record %" PRIu64 ": %s: found %" PRIu64 ", expected %" PRIu64 "\n",
            record, what, found, expected);
    return 1;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fputs("usage: order FILE THREADS COUNT\n", stderr);
        return 2;
    }
    const uint64_t threads = strtoull(argv[2], NULL, 0), count = strtoull(argv[3], NULL, 0);
    const struct trace_reader_options options = {0};
    struct error err;
    struct trace_reader *reader = trace_reader_open(argv[1], &options, &err);
    if (!reader) {
        fprintf(stderr, "order: %s\n", err.text);
        return 1;
    }
    uint64_t next[WORKERS_MAX] = {0}, records = 0, lost = 0, time = 0;
    struct trace_record r;
    int got;
    while ((got = trace_reader_next(reader, &r)) > 0) {
        if (r.time < time) {
            return wrong("time goes back", records, r.time, time);
        }
        time = r.time;
        if (r.lost) {
            lost += r.lost;
            continue;
        }
        records++;
        if (strcmp(r.decl->name, "storm_three")) {
            continue;
        }
        const uint64_t number = r.values[0], worker = r.values[1];
        if (worker >= WORKERS_MAX || worker >= threads) {
            return wrong("worker", records, worker, threads);
        }
        if (count ? number != next[worker] : number < next[worker]) {
            return wrong("number", records, number, next[worker]);
        }
        if (r.values[2] != -number) {
            return wrong("third argument", records, r.values[2], -number);
        }
        next[worker] = number + 1;
    }
    if (got < 0) {
        fprintf(stderr, "order: %s\n", trace_reader_error(reader));
        return 1;
    }
    for (uint64_t i = 0; count && i < threads; i++) {
        if (next[i] != count) {
            return wrong("numbers of a worker", i, next[i], count);
        }
    }
    trace_reader_close(reader);
    printf("records %" PRIu64 " lost %" PRIu64 " last %" PRIu64 "\n", records, lost, next[0] - 1);
    return 0;
}
