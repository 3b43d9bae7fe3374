/* SPDX-License-Identifier: MIT
 *
 * Mappings: brk, mmap with and without wishes, fixed places, low and 32-bit ones, growing stacks,
 * large reservations, mremap in all ways, errors as the kernel gives them, protections that hold.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include "expect.h"

static sigjmp_buf out;
static uint64_t fault_address;
static int fault_code;

static void on_fault(int signal, siginfo_t *info, void *opaque)
{
    (void)opaque;
    fault_address = (uintptr_t)info->si_addr;
    fault_code = info->si_code;
    siglongjmp(out, signal);
}

static int touch(volatile uint8_t *p, bool write)
{
    int got = sigsetjmp(out, 1);
    if (got == 0) {
        if (write) {
            *p = 1;
        } else {
            (void)*p;
        }
    }
    return got;
}

static void *map(void *at, size_t size, int protection, int flags)
{
    return mmap(at, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
}

static uint64_t raw_brk(uint64_t at)
{
    return (uint64_t)syscall(SYS_brk, at);
}

static void breaks(void)
{
    uint64_t first = raw_brk(0);
    EXPECT(first && raw_brk(first) == first);
    EXPECT_SAME(raw_brk(first + 100000), first + 100000);
    memset((void *)(uintptr_t)first, 0x7e, 100000);
    EXPECT_SAME(raw_brk(first + 10), first + 10);
    EXPECT_SAME(raw_brk(first + 200000), first + 200000);
    uint8_t *page = (uint8_t *)(((uintptr_t)first + 10 + 4095) & ~4095ull);
    EXPECT_SAME(page[0], 0); /* what came back is fresh */
    EXPECT_SAME(*(uint8_t *)(uintptr_t)first, 0x7e);
    /* Refused: the old break is the answer. */
    EXPECT_SAME(raw_brk(1), first + 200000);
    EXPECT_SAME(raw_brk(1ull << 62), first + 200000);
    for (int i = 0; i < 300; i++) {
        uint64_t at = first + (uint64_t)(i * 7919 % 300000);
        EXPECT_SAME(raw_brk(at), at);
    }
    EXPECT_SAME(raw_brk(first), first);
    EXPECT(touch((uint8_t *)(((uintptr_t)first + 8191) & ~4095ull), false) == SIGSEGV);
    void *by_sbrk = sbrk(4096);
    EXPECT(by_sbrk != (void *)-1 && sbrk(0) == (uint8_t *)by_sbrk + 4096);
    sbrk(-4096);
}

static void wishes(void)
{
    uint8_t *p = map(NULL, 8 * EXPECT_PAGE, PROT_READ | PROT_WRITE, 0);
    EXPECT_OR_END(p != MAP_FAILED);
    EXPECT(munmap(p + EXPECT_PAGE, 2 * EXPECT_PAGE) == 0);
    EXPECT(map(p + EXPECT_PAGE, EXPECT_PAGE, PROT_READ, 0) == p + EXPECT_PAGE); /* free: granted */
    uint8_t *taken = map(p, EXPECT_PAGE, PROT_READ, 0); /* taken: elsewhere */
    EXPECT(taken != MAP_FAILED && taken != p);
    munmap(taken, EXPECT_PAGE);
    EXPECT(map(p, EXPECT_PAGE, PROT_READ, MAP_FIXED_NOREPLACE) == MAP_FAILED && errno == EEXIST);
    EXPECT(map(p + 2 * EXPECT_PAGE, EXPECT_PAGE, PROT_READ, MAP_FIXED_NOREPLACE) ==
           p + 2 * EXPECT_PAGE);
    p[0] = 77;
    EXPECT(map(p, EXPECT_PAGE, PROT_READ | PROT_WRITE, MAP_FIXED) == p && p[0] == 0);
    EXPECT(map(p + 1, EXPECT_PAGE, PROT_READ, MAP_FIXED) == MAP_FAILED && errno == EINVAL);
    EXPECT(map(NULL, 0, PROT_READ, 0) == MAP_FAILED && errno == EINVAL);
    EXPECT(map(NULL, 1ull << 62, PROT_READ, 0) == MAP_FAILED && errno == ENOMEM);
    EXPECT(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, -1, 0) == MAP_FAILED && errno == EBADF);
    EXPECT(munmap(p + 1, 4096) == -1 && errno == EINVAL);
    EXPECT(munmap(p, 8 * EXPECT_PAGE) == 0 && munmap(p, 8 * EXPECT_PAGE) == 0);
    EXPECT(touch(p, false) == SIGSEGV && fault_code == SEGV_MAPERR &&
           fault_address == (uintptr_t)p);

    uint8_t *low = map(NULL, EXPECT_PAGE, PROT_READ | PROT_WRITE, MAP_32BIT);
    EXPECT(low != MAP_FAILED && (uintptr_t)low < 1ull << 32);
    munmap(low, EXPECT_PAGE);
    for (uintptr_t at = 0x20000; at < 0x80000000; at *= 8) { /* places of old programs */
        uint8_t *fixed = map((void *)at, EXPECT_PAGE, PROT_READ | PROT_WRITE, MAP_FIXED_NOREPLACE);
        EXPECT_THAT(fixed == (void *)at || errno == EEXIST, "%#lx: %s", (long)at, strerror(errno));
        if (fixed == (void *)at) {
            fixed[5] = 9;
            EXPECT(munmap(fixed, EXPECT_PAGE) == 0);
        }
    }
    uint8_t *huge = map(NULL, 64ull << 30, PROT_NONE, MAP_NORESERVE);
    EXPECT_OR_END(huge != MAP_FAILED);
    uint8_t *inside = huge + (33ull << 30);
    EXPECT(mprotect(inside, EXPECT_PAGE, PROT_READ | PROT_WRITE) == 0);
    inside[7] = 1;
    EXPECT(touch(inside + EXPECT_PAGE, false) == SIGSEGV && fault_code == SEGV_ACCERR);
    EXPECT(munmap(huge, 64ull << 30) == 0);
}

static void protections(void)
{
    uint8_t *p = map(NULL, 4 * EXPECT_PAGE, PROT_READ | PROT_WRITE, 0);
    EXPECT_OR_END(p != MAP_FAILED);
    for (int i = 0; i < 50; i++) {
        EXPECT(mprotect(p + EXPECT_PAGE, EXPECT_PAGE, PROT_READ) == 0);
        EXPECT(touch(p + EXPECT_PAGE, false) == 0);
        EXPECT(touch(p + EXPECT_PAGE, true) == SIGSEGV && fault_code == SEGV_ACCERR);
        EXPECT(touch(p, true) == 0 && touch(p + 2 * EXPECT_PAGE, true) == 0);
        EXPECT(mprotect(p + EXPECT_PAGE, EXPECT_PAGE, PROT_NONE) == 0);
        EXPECT(touch(p + EXPECT_PAGE, false) == SIGSEGV);
        EXPECT(mprotect(p + EXPECT_PAGE, EXPECT_PAGE, PROT_READ | PROT_WRITE) == 0);
        EXPECT(touch(p + EXPECT_PAGE, true) == 0);
    }
    EXPECT(mprotect(p + 1, EXPECT_PAGE, PROT_READ) == -1 && errno == EINVAL);
    munmap(p + 2 * EXPECT_PAGE, EXPECT_PAGE);
    EXPECT(mprotect(p, 4 * EXPECT_PAGE, PROT_READ) == -1 && errno == ENOMEM);
    EXPECT(touch(p, true) == SIGSEGV); /* those before the hole were changed */
    EXPECT(touch(p + 3 * EXPECT_PAGE, true) == 0);
    uint8_t present[4];
    EXPECT(mincore(p, 4 * EXPECT_PAGE, present) == -1 && errno == ENOMEM);
    EXPECT(mincore(p, 2 * EXPECT_PAGE, present) == 0);
    munmap(p, 4 * EXPECT_PAGE);
    /* Bad addresses in system calls are errors, not faults. */
    void *volatile bad = (void *)16;
    EXPECT(write(1, bad, 4) == -1 && errno == EFAULT);
    EXPECT(open(bad, O_RDONLY) == -1 && errno == EFAULT);
    int fd = open("/dev/zero", O_RDWR);
    uint8_t *constant = map(NULL, EXPECT_PAGE, PROT_READ, 0);
    EXPECT(read(fd, constant, 10) == -1 && errno == EFAULT);
    uint8_t *zero = mmap(NULL, EXPECT_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    EXPECT(zero != MAP_FAILED && zero[9] == 0 && (zero[9] = 4));
    munmap(zero, EXPECT_PAGE);
    munmap(constant, EXPECT_PAGE);
    close(fd);
}

/* A read-only page with code that is executed stays read-only, a writable one writable. */
static void protections_of_code(void)
{
    uint8_t *p = map(NULL, EXPECT_PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, 0);
    EXPECT_OR_END(p != MAP_FAILED);
    memcpy(p, "\xb8\x05\0\0\0\xc3", 6);
    for (int i = 0; i < 20; i++) {
        EXPECT_SAME(((int (*)(void))(uintptr_t)p)(), 5);
        EXPECT(mprotect(p, EXPECT_PAGE, PROT_READ | PROT_EXEC) == 0);
        EXPECT_SAME(((int (*)(void))(uintptr_t)p)(), 5);
        EXPECT(touch(p + 100, true) == SIGSEGV && fault_code == SEGV_ACCERR);
        int fd = open("/dev/zero", O_RDONLY);
        EXPECT(read(fd, p + 100, 10) == -1 && errno == EFAULT);
        EXPECT(mprotect(p, EXPECT_PAGE, PROT_READ | PROT_WRITE | PROT_EXEC) == 0);
        EXPECT_SAME(((int (*)(void))(uintptr_t)p)(), 5);
        EXPECT(touch(p + 100, true) == 0);
        EXPECT_SAME(((int (*)(void))(uintptr_t)p)(), 5);
        EXPECT(read(fd, p + 100, 10) == 10);
        close(fd);
    }
    munmap(p, EXPECT_PAGE);
}

static void moves(void)
{
    uint8_t *p = map(NULL, 4 * EXPECT_PAGE, PROT_READ | PROT_WRITE, 0);
    EXPECT_OR_END(p != MAP_FAILED);
    for (int i = 0; i < 4; i++) {
        p[i * EXPECT_PAGE] = (uint8_t)(i + 1);
    }
    EXPECT(mremap(p, 4 * EXPECT_PAGE, 2 * EXPECT_PAGE, 0) == p);
    EXPECT(touch(p + 2 * EXPECT_PAGE, false) == SIGSEGV);
    uint8_t *block = map(p + 2 * EXPECT_PAGE, EXPECT_PAGE, PROT_NONE, MAP_FIXED);
    EXPECT(mremap(p, 2 * EXPECT_PAGE, 9 * EXPECT_PAGE, 0) == MAP_FAILED && errno == ENOMEM);
    uint8_t *q = mremap(p, 2 * EXPECT_PAGE, 900 * EXPECT_PAGE, MREMAP_MAYMOVE);
    EXPECT_OR_END(q != MAP_FAILED);
    EXPECT(q[0] == 1 && q[EXPECT_PAGE] == 2 && q[899 * EXPECT_PAGE] == 0);
    EXPECT(touch(p, false) == SIGSEGV);
    munmap(block, EXPECT_PAGE);
    uint8_t *target = map(NULL, 2 * EXPECT_PAGE, PROT_NONE, 0);
    EXPECT(mremap(q, 2 * EXPECT_PAGE, 2 * EXPECT_PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target) ==
           target);
    EXPECT(target[EXPECT_PAGE] == 2 && touch(q, false) == SIGSEGV);
    EXPECT(mremap(q, EXPECT_PAGE, EXPECT_PAGE, MREMAP_MAYMOVE) == MAP_FAILED && errno == EFAULT);
    uint8_t *left = mremap(target, EXPECT_PAGE, EXPECT_PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0);
    if (left != MAP_FAILED) { /* since Linux 5.7 */
        EXPECT(left[0] == 1 && target[0] == 0);
        munmap(left, EXPECT_PAGE);
    }
    munmap(target, 2 * EXPECT_PAGE);
    munmap(q, 900 * EXPECT_PAGE);

    /* Shared memory seen twice, by an old size of zero. */
    uint8_t *shared =
        mmap(NULL, EXPECT_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint8_t *again = mremap(shared, 0, EXPECT_PAGE, MREMAP_MAYMOVE);
    EXPECT_OR_END(again != MAP_FAILED);
    shared[3] = 99;
    EXPECT_SAME(again[3], 99);
    munmap(shared, EXPECT_PAGE);
    munmap(again, EXPECT_PAGE);
}

static void growing(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_STACK, &limit);
    size_t space = 4 << 20;
    uint8_t *room = map(NULL, space, PROT_NONE, 0);
    EXPECT_OR_END(room != MAP_FAILED && munmap(room, space) == 0);
    uint8_t *top = room + space - EXPECT_PAGE;
    uint8_t *stack = map(top, EXPECT_PAGE, PROT_READ | PROT_WRITE, MAP_GROWSDOWN | MAP_FIXED);
    EXPECT_OR_END(stack == top);
    for (int i = 0; i < 60; i++) {
        EXPECT(touch(stack - i * EXPECT_PAGE, true) == 0);
    }
    munmap(stack - 60 * EXPECT_PAGE, 61 * EXPECT_PAGE);
}

static void churn(void)
{
    uint8_t *held[64] = {0};
    uint32_t x = 99;
    for (int i = 0; i < 3000; i++) {
        x = x * 1664525 + 1013904223;
        uint8_t **slot = &held[x >> 26];
        size_t size = ((x >> 8 & 31) + 1) * EXPECT_PAGE;
        if (*slot) {
            EXPECT_SAME((*slot)[0], (uint8_t)(slot - held));
            munmap(*slot, 32 * EXPECT_PAGE);
        }
        *slot = map(NULL, 32 * EXPECT_PAGE, PROT_READ | PROT_WRITE, 0);
        EXPECT_OR_END(*slot != MAP_FAILED);
        EXPECT_SAME((*slot)[size - 1], 0);
        (*slot)[0] = (uint8_t)(slot - held);
        if (size > 9 * EXPECT_PAGE) {
            munmap(*slot + 5 * EXPECT_PAGE, 3 * EXPECT_PAGE);
        }
    }
}

int main(void)
{
    alarm(60);
    stack_t stack = {.ss_sp = malloc(1 << 16), .ss_size = 1 << 16};
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaltstack(&stack, NULL);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    breaks();
    wishes();
    protections();
    protections_of_code();
    moves();
    growing();
    churn();
    return expect_done();
}
