/* SPDX-License-Identifier: MIT
 *
 * Deep: a million calls inside one another, on the stack of the main thread (whose limit is raised
 * first), on a thread's, and out again all at once; large frames. */
#include <alloca.h>
#include <pthread.h>
#include <setjmp.h>
#include <sys/resource.h>

#include "expect.h"

enum { DEPTH = 1000000 };

static jmp_buf out;
static bool jump;

__attribute__((noinline)) static uint64_t down(uint64_t n)
{
    if (n == 0) {
        if (jump) {
            longjmp(out, 1);
        }
        return 0;
    }
    uint64_t below = down(n - 1);
    __asm__ volatile("" : "+r"(below)); /* no tail call, no loop */
    return below + n;
}

static void *deep(void *opaque)
{
    (void)opaque;
    EXPECT_SAME(down(DEPTH), (uint64_t)DEPTH * (DEPTH + 1) / 2);
    jump = true;
    if (setjmp(out) == 0) {
        down(DEPTH);
        EXPECT_THAT(false, "longjmp returned");
    }
    jump = false;
    return NULL;
}

__attribute__((noinline)) static unsigned large(size_t bytes)
{
    volatile uint8_t *p = alloca(bytes);
    for (size_t i = 0; i < bytes; i += EXPECT_PAGE) {
        p[i] = (uint8_t)(i >> 12);
    }
    p[bytes - 1] = 3;
    return p[EXPECT_PAGE] + p[bytes - 1];
}

int main(void)
{
    alarm(100);
    EXPECT_SAME(large(7u << 20), 4);
    struct rlimit limit;
    getrlimit(RLIMIT_STACK, &limit);
    struct rlimit raised = {.rlim_cur = 120u << 20, .rlim_max = limit.rlim_max};
    if (limit.rlim_cur < raised.rlim_cur && raised.rlim_cur <= limit.rlim_max) {
        EXPECT(setrlimit(RLIMIT_STACK, &raised) == 0);
    }
    EXPECT_SAME(large(100u << 20), 4);
    deep(NULL);

    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    EXPECT_OR_END(pthread_attr_setstacksize(&attributes, 256u << 20) == 0 &&
                  pthread_create(&thread, &attributes, deep, NULL) == 0);
    pthread_join(thread, NULL);
    return expect_done();
}
