/* SPDX-License-Identifier: MIT
 *
 * More code than a small cache holds, run in changing order by several threads while one of them
 * forks: overflow while others run, links between blocks that come and go. */
#include <pthread.h>
#include <sys/wait.h>

#include "expect.h"

enum { FUNCTIONS = 4096, SIZE = 64, THREADS = 4, TURNS = 12000 };

static uint8_t *code;

/* f(x, n): x*3 + i when n is 0, else goes on in another function, by jump or call. */
static void make(uint32_t i)
{
    uint8_t *p = code + i * SIZE;
    uint32_t next = (i * 2654435761u >> 7) % FUNCTIONS;
    *p++ = 0x85, *p++ = 0xf6;              /* test %esi, %esi */
    *p++ = 0x75, *p++ = 9;                 /* jnz over */
    *p++ = 0x8d, *p++ = 0x84, *p++ = 0x7f; /* lea i(%rdi,%rdi,2), %eax */
    memcpy(p, &i, 4);
    p += 4;
    *p++ = 0x90, *p++ = 0xc3;
    *p++ = 0xff, *p++ = 0xce; /* dec %esi */
    if (i % 3 == 0) {
        *p++ = 0xe8; /* call next; inc %eax; ret */
    } else {
        *p++ = 0xff, *p++ = 0xc7; /* inc %edi */
        *p++ = 0xe9;              /* jmp next */
    }
    int32_t distance = (int32_t)(next * SIZE) - (int32_t)((uint32_t)(p - code) + 4);
    memcpy(p, &distance, 4);
    p += 4;
    *p++ = 0xff, *p++ = 0xc0, *p++ = 0xc3;
}

static uint32_t model(uint32_t i, uint32_t x, uint32_t n)
{
    uint32_t added = 0;
    while (n--) {
        uint32_t next = (i * 2654435761u >> 7) % FUNCTIONS;
        if (i % 3 == 0) {
            added++;
        } else {
            x++;
        }
        i = next;
    }
    return x * 3 + i + added;
}

static void *work(void *opaque)
{
    uint32_t x = (uint32_t)(uintptr_t)opaque * 7777 + 1;
    for (uint32_t turn = 0; turn < TURNS; turn++) {
        x = x * 1664525 + 1013904223;
        uint32_t i = (x >> 9) % FUNCTIONS, n = x >> 28;
        uint32_t (*f)(uint32_t, uint32_t) =
            (uint32_t(*)(uint32_t, uint32_t))(uintptr_t)(code + i * SIZE);
        EXPECT_SAME(f(turn, n), model(i, turn, n));
        if (opaque == NULL && turn % 1500 == 0) {
            pid_t child = fork();
            if (child == 0) {
                bool good = true;
                for (uint32_t k = 0; k < 500; k++) {
                    f = (uint32_t(*)(uint32_t, uint32_t))(uintptr_t)(code +
                                                                     k * 8 % FUNCTIONS * SIZE);
                    good = good && f(k, 9) == model(k * 8 % FUNCTIONS, k, 9);
                }
                _exit(good ? 0 : 1);
            }
            int status = -1;
            EXPECT(waitpid(child, &status, 0) == child);
            EXPECT_SAME(status, 0);
        }
    }
    return NULL;
}

int main(void)
{
    alarm(100);
    size_t pages = FUNCTIONS * SIZE / EXPECT_PAGE;
    code = expect_pages(pages, PROT_READ | PROT_WRITE);
    for (uint32_t i = 0; i < FUNCTIONS; i++) {
        make(i);
    }
    EXPECT_OR_END(mprotect(code, pages * EXPECT_PAGE, PROT_READ | PROT_EXEC) == 0);
    pthread_t thread[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++) {
        EXPECT_OR_END(pthread_create(&thread[i], NULL, work, (void *)i) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
    }
    return expect_done();
}
