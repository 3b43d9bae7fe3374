/* SPDX-License-Identifier: MIT
 *
 * Code that another thread changes while it is executed: a loop that only a patch ends, a value
 * that changes under a caller, in private memory, in shared memory, and through a second mapping.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "expect.h"

enum { TURNS = 60 };

struct place {
    uint8_t *code;     /* to execute */
    uint8_t *writable; /* the same memory */
};

static atomic_int running, turn;

/* 0: movl $1, (%rdi); 6: jmp 6 (eb fe) until the jump becomes eb 00; 8: mov %esi, %eax; ret */
static const uint8_t LOOP[] = {0xc7, 0x07, 0x01, 0x00, 0x00, 0x00, 0xeb,
                               0xfe, 0x89, 0xf0, 0xc3, 0x90, 0x90};

static void *run_loop(void *opaque)
{
    const struct place *place = opaque;
    uint64_t (*code)(atomic_int *, uint32_t) =
        (uint64_t(*)(atomic_int *, uint32_t))(uintptr_t)place->code;
    EXPECT_SAME(code(&running, 4711), 4711);
    return NULL;
}

/* The thread is in an endless loop of one instruction; the patch lets it out. */
static void let_out(const struct place *place)
{
    for (int i = 0; i < TURNS; i++) {
        pthread_t thread;
        atomic_store(&running, 0);
        memcpy(place->writable, LOOP, sizeof LOOP);
        EXPECT_OR_END(pthread_create(&thread, NULL, run_loop, (void *)(uintptr_t)place) == 0);
        while (!atomic_load(&running)) {
            sched_yield();
        }
        if (i % 2) {
            usleep(500);
        }
        __atomic_store_n(place->writable + 7, 0, __ATOMIC_SEQ_CST);
        pthread_join(thread, NULL);
    }
}

/* mov $imm, %eax; ret, with the immediate on a multiple of four: three times nop first. */
static void put_value(uint8_t *at, uint32_t value)
{
    static const uint8_t body[] = {0x90, 0x90, 0x90, 0xb8, 0, 0, 0, 0, 0xc3};
    memcpy(at, body, sizeof body);
    __atomic_store_n((uint32_t *)(at + 4), value, __ATOMIC_SEQ_CST);
}

static void *follow(void *opaque)
{
    const struct place *place = opaque;
    uint64_t (*code)(void) = (uint64_t(*)(void))(uintptr_t)place->code;
    uint64_t last = 0;
    for (;;) {
        uint64_t now = code();
        if (now < last || now > TURNS) {
            EXPECT_THAT(false, "value went from %llu to %llu", (unsigned long long)last,
                        (unsigned long long)now);
            break;
        }
        last = now;
        atomic_store(&turn, (int)now);
        if (now == TURNS) {
            break;
        }
    }
    return NULL;
}

/* Values go up; what was seen is never old again, and each is seen at last. */
static void follow_values(const struct place *place)
{
    pthread_t thread;
    put_value(place->writable, 0);
    atomic_store(&turn, 0);
    EXPECT_OR_END(pthread_create(&thread, NULL, follow, (void *)(uintptr_t)place) == 0);
    for (uint32_t i = 1; i <= TURNS; i++) {
        __atomic_store_n((uint32_t *)(place->writable + 4), i, __ATOMIC_SEQ_CST);
        while (atomic_load(&turn) != (int)i) {
            sched_yield();
        }
    }
    pthread_join(thread, NULL);
}

/* What a patch made visible: code first, then a flag; whoever sees the flag runs the new code. */
static void *run_when_told(void *opaque)
{
    const struct place *place = opaque;
    uint64_t (*code)(void) = (uint64_t(*)(void))(uintptr_t)place->code;
    for (int i = 1; i <= TURNS; i++) {
        while (atomic_load(&turn) != i) {
            sched_yield();
        }
        EXPECT_SAME(code(), i * 1000003);
        atomic_store(&running, i);
    }
    return NULL;
}

static void hand_over(const struct place *place)
{
    pthread_t thread;
    atomic_store(&turn, 0);
    atomic_store(&running, 0);
    EXPECT_OR_END(pthread_create(&thread, NULL, run_when_told, (void *)(uintptr_t)place) == 0);
    for (int i = 1; i <= TURNS; i++) {
        put_value(place->writable, (uint32_t)i * 1000003);
        atomic_store(&turn, i);
        while (atomic_load(&running) != i) {
            sched_yield();
        }
    }
    pthread_join(thread, NULL);
}

static void all(const struct place *place)
{
    let_out(place);
    follow_values(place);
    hand_over(place);
}

int main(void)
{
    alarm(100);
    uint8_t *private = expect_pages(1, PROT_READ | PROT_WRITE | PROT_EXEC);
    all(&(struct place){private, private});
    uint8_t *shared = mmap(NULL, EXPECT_PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
                           MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    EXPECT_OR_END(shared != MAP_FAILED);
    all(&(struct place){shared, shared});
    int fd = memfd_create("code", MFD_CLOEXEC);
    EXPECT_OR_END(fd >= 0 && ftruncate(fd, EXPECT_PAGE) == 0);
    uint8_t *writable = mmap(NULL, EXPECT_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    uint8_t *code = mmap(NULL, EXPECT_PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    EXPECT_OR_END(writable != MAP_FAILED && code != MAP_FAILED);
    all(&(struct place){code, writable});
    return expect_done();
}
