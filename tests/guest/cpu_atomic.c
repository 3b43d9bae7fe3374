/* SPDX-License-Identifier: MIT
 *
 * Locked operations: every one of them contended by threads, aligned and over the end of a cache
 * line and of a page; CMPXCHG16B; and the order that x86 promises (store to load only is weaker).
 */
#include <pthread.h>
#include <stdatomic.h>

#include "expect.h"

enum { THREADS = 4, TURNS = 4000 };

static uint8_t *area;
static uint64_t *counter; /* where the threads count */
static pthread_barrier_t start;

/* X(name, what one turn does to `counter`, which starts at 0; the end value) */
#define OPERATIONS                                                                            \
    X(lock_inc, "lock incq (%0)", THREADS *TURNS)                                             \
    X(lock_dec, "lock decq (%0)", -(int64_t)THREADS *TURNS)                                   \
    X(lock_add, "lock addq $3, (%0)", 3 * THREADS * TURNS)                                    \
    X(lock_sub, "mov $5, %%eax\n\tlock subl %%eax, (%0)", (uint32_t)(-5 * THREADS * TURNS))   \
    X(lock_adc, "stc\n\tlock adcq $1, (%0)", 2 * THREADS * TURNS)                             \
    X(lock_sbb, "stc\n\tlock sbbq $-3, (%0)", 2 * THREADS * TURNS)                            \
    X(lock_xor, "lock xorb $1, (%0)", 0)                                                      \
    X(lock_not, "lock notq (%0)", 0)                                                          \
    X(lock_neg, "lock negq (%0)", 0)                                                          \
    X(lock_xadd, "mov $2, %%eax\n\tlock xaddq %%rax, (%0)", 2 * THREADS * TURNS)              \
    X(lock_btc, "lock btcq $40, (%0)", 0)                                                     \
    X(lock_cmpxchg,                                                                           \
      "mov (%0), %%rax\n\t1: lea 1(%%rax), %%rdx\n\tlock cmpxchgq %%rdx, (%0)\n\tjnz 1b",     \
      THREADS *TURNS)                                                                         \
    X(lock_cmpxchg16,                                                                         \
      "mov (%0), %%ax\n\t1: lea 1(%%rax), %%edx\n\tlock cmpxchgw %%dx, (%0)\n\tjnz 1b",       \
      (uint16_t)(THREADS * TURNS))                                                            \
    X(spin_xchg,                                                                              \
      "1: mov $1, %%eax\n\txchg %%eax, 64(%0)\n\ttest %%eax, %%eax\n\tjz 2f\n\tpause\n\tjmp " \
      "1b\n\t"                                                                                \
      "2: incq (%0)\n\tmovl $0, 64(%0)",                                                      \
      THREADS *TURNS)                                                                         \
    X(spin_bts,                                                                               \
      "1: lock btsl $3, 64(%0)\n\tjnc 2f\n\tpause\n\tjmp 1b\n\t2: incq (%0)\n\t"              \
      "lock btrl $3, 64(%0)",                                                                 \
      THREADS *TURNS)                                                                         \
    X(lock_cmpxchg8b,                                                                         \
      "mov (%0), %%eax\n\tmov 4(%0), %%edx\n\t1: mov %%eax, %%ebx\n\tmov %%edx, %%ecx\n\t"    \
      "add $1, %%ebx\n\tadc $0, %%ecx\n\tlock cmpxchg8b (%0)\n\tjnz 1b",                      \
      THREADS *TURNS)

#define X(name, text, end)                                                               \
    static void turn_##name(uint64_t *at)                                                \
    {                                                                                    \
        __asm__ volatile(text : : "r"(at) : "rax", "rbx", "rcx", "rdx", "memory", "cc"); \
    }
OPERATIONS
#undef X

static const struct operation {
    const char *name;
    void (*turn)(uint64_t *at);
    int64_t end;
} operations[] = {
#define X(name, text, end) {#name, turn_##name, (int64_t)(end)},
    OPERATIONS
#undef X
};

static const struct operation *operation;

static void *count(void *opaque)
{
    (void)opaque;
    pthread_barrier_wait(&start);
    for (int i = 0; i < TURNS; i++) {
        operation->turn(counter);
    }
    return NULL;
}

static void together(void *(*work)(void *))
{
    pthread_t thread[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++) {
        EXPECT_OR_END(pthread_create(&thread[i], NULL, work, (void *)i) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
    }
}

static void counted(const char *where, uint8_t *at)
{
    counter = (uint64_t *)(void *)at;
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        operation = &operations[i];
        memset(at, 0, 80);
        together(count);
        EXPECT_THAT((int64_t)*counter == operation->end, "%s, %s: %lld, expected %lld",
                    operation->name, where, (long long)*counter, (long long)operation->end);
    }
}

/* Over the end of a line a locked operation is slow, so few turns, one thread for the value and
 * several for the exclusion. */
static void *count_split(void *opaque)
{
    (void)opaque;
    pthread_barrier_wait(&start);
    for (int i = 0; i < 100; i++) {
        __asm__ volatile("lock incq (%0)" : : "r"(area + 60) : "memory", "cc");
        __asm__ volatile("lock incl (%0)" : : "r"(area + EXPECT_PAGE - 2) : "memory", "cc");
    }
    return NULL;
}

/* --- pairs */

struct pair {
    uint64_t a, b;
} __attribute__((aligned(16)));

static struct pair pair;

static bool exchange(struct pair *at, struct pair *old, uint64_t a, uint64_t b)
{
    bool done;
    __asm__ volatile("lock cmpxchg16b %1"
                     : "=@ccz"(done), "+m"(*at), "+a"(old->a), "+d"(old->b)
                     : "b"(a), "c"(b)
                     : "memory");
    return done;
}

static void *count_pair(void *opaque)
{
    (void)opaque;
    pthread_barrier_wait(&start);
    struct pair old = {0, 0};
    for (int i = 0; i < TURNS; i++) {
        while (!exchange(&pair, &old, old.a + 1, old.b + 3)) {
            EXPECT_SAME(old.b, old.a * 3);
        }
        old.a++, old.b += 3;
    }
    return NULL;
}

static void pairs(void)
{
    together(count_pair);
    EXPECT_SAME(pair.a, THREADS * TURNS);
    EXPECT_SAME(pair.b, 3 * THREADS * TURNS);
    struct pair old = {1, 2};
    pair = (struct pair){5, 6};
    EXPECT(!exchange(&pair, &old, 9, 9));
    EXPECT(old.a == 5 && old.b == 6 && pair.a == 5 && pair.b == 6);
    EXPECT(exchange(&pair, &old, 9, 10));
    EXPECT(pair.a == 9 && pair.b == 10);
}

/* --- order: message passing, by plain stores and loads */

static volatile uint64_t message[64], flag[64];

static void *send_or_receive(void *opaque)
{
    pthread_barrier_wait(&start);
    if (opaque == NULL) {
        for (uint64_t i = 1; i <= TURNS; i++) {
            message[32] = i;
            flag[0] = i;
        }
    } else {
        for (uint64_t seen = 0; seen < TURNS;) {
            seen = flag[0];
            uint64_t got = message[32];
            if (got < seen) {
                EXPECT_THAT(false, "flag %llu, message %llu", (unsigned long long)seen,
                            (unsigned long long)got);
                break;
            }
        }
    }
    return NULL;
}

/* Both store, fence by a locked operation, then load: not both may see nothing. */
static volatile uint64_t side[2][16];
static _Atomic int answers[2];

static void *store_then_load(void *opaque)
{
    uintptr_t me = (uintptr_t)opaque;
    for (int i = 1; i <= 1000; i++) {
        pthread_barrier_wait(&start);
        uint64_t seen;
        if (me < 2) {
            side[me][0] = (uint64_t)i;
            if (i & 1) {
                __asm__ volatile("mfence" : : : "memory");
            } else {
                __asm__ volatile("lock orl $0, -8(%%rsp)" : : : "memory", "cc");
            }
            seen = side[1 - me][0];
            answers[me] = seen == (uint64_t)i;
        }
        pthread_barrier_wait(&start);
        if (me == 2) {
            EXPECT(answers[0] || answers[1]);
        }
        pthread_barrier_wait(&start);
    }
    return NULL;
}

int main(void)
{
    alarm(100);
    pthread_barrier_init(&start, NULL, THREADS);
    area = expect_pages(2, PROT_READ | PROT_WRITE);
    counted("aligned", area + 256);
    counted("not aligned, in a line", area + 256 + 3);
    together(count_split);
    uint64_t wide;
    uint32_t narrow;
    memcpy(&wide, area + 60, 8);
    memcpy(&narrow, area + EXPECT_PAGE - 2, 4);
    EXPECT_SAME(wide, 100 * THREADS);
    EXPECT_SAME(narrow, 100 * THREADS);
    pairs();
    together(send_or_receive);
    together(store_then_load);
    return expect_done();
}
