/* SPDX-License-Identifier: MIT
 *
 * For the programs of tests/guest: expectations. A program says what did not hold on standard
 * output, goes on where it can, and ends with status 1; it ends with 0 when everything held. */
#ifndef TESTS_GUEST_EXPECT_H
#define TESTS_GUEST_EXPECT_H

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int expect_failed __attribute__((unused));

/* Says where and what, after the first 20 only counts. */
#define EXPECT_THAT(condition, ...)                                \
    do {                                                           \
        if (!(condition) && ++expect_failed <= 20) {               \
            printf("%s:%d: %s: ", __FILE__, __LINE__, #condition); \
            printf(__VA_ARGS__);                                   \
            printf("\n");                                          \
        }                                                          \
    } while (0)

#define EXPECT(condition) EXPECT_THAT(condition, "does not hold")

/* Two integers are equal; both are shown when not. */
#define EXPECT_SAME(a, b)                                                                   \
    do {                                                                                    \
        unsigned long long a_ = (unsigned long long)(a), b_ = (unsigned long long)(b);      \
        if (a_ != b_ && ++expect_failed <= 20) {                                            \
            printf("%s:%d: %s is %#llx, expected %#llx\n", __FILE__, __LINE__, #a, a_, b_); \
        }                                                                                   \
    } while (0)

/* What must hold for the program to go on at all. */
#define EXPECT_OR_END(condition)                                                            \
    do {                                                                                    \
        if (!(condition)) {                                                                 \
            printf("%s:%d: %s does not hold (errno: %s)\n", __FILE__, __LINE__, #condition, \
                   strerror(errno));                                                        \
            fflush(stdout);                                                                 \
            _exit(1);                                                                       \
        }                                                                                   \
    } while (0)

/* For the end of main(). */
static inline int expect_done(void)
{
    if (expect_failed) {
        printf("%d expectations did not hold\n", expect_failed);
        fflush(stdout);
    }
    return expect_failed ? 1 : 0;
}

enum { EXPECT_PAGE = 4096 };

/* Fresh private memory. */
static inline uint8_t *expect_pages(size_t pages, int protection)
{
    void *p = mmap(NULL, pages * EXPECT_PAGE, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_OR_END(p != MAP_FAILED);
    return p;
}

#endif
