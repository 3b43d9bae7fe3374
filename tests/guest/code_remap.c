/* SPDX-License-Identifier: MIT
 *
 * Memory below code changes: unmapped and mapped again with something else, another file at the
 * same address, moved, dropped, without permission, cut off; while it is running, and very often.
 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <ucontext.h>

#include "expect.h"

enum { EXEC_RW = PROT_READ | PROT_WRITE | PROT_EXEC };

static void put_return(uint8_t *at, uint32_t value)
{
    at[0] = 0xb8;
    memcpy(at + 1, &value, 4);
    at[5] = 0xc3;
}

static uint64_t call(const void *code)
{
    return ((uint64_t(*)(void))(uintptr_t)code)();
}

/* --- calls that are expected to fault */

static sigjmp_buf out;
static struct {
    int signal, code;
    uint64_t address, pc, error;
} fault;

static void on_fault(int signal, siginfo_t *info, void *opaque)
{
    const greg_t *regs = ((ucontext_t *)opaque)->uc_mcontext.gregs;
    fault.signal = signal;
    fault.code = info->si_code;
    fault.address = (uint64_t)(uintptr_t)info->si_addr;
    fault.pc = (uint64_t)regs[REG_RIP];
    fault.error = (uint64_t)regs[REG_ERR];
    siglongjmp(out, 1);
}

/* Calls code; the first instruction fetch at `code` must fault so. */
static void expect_fetch_fault(const uint8_t *code, int signal, int si_code)
{
    memset(&fault, 0, sizeof fault);
    if (sigsetjmp(out, 1) == 0) {
        call(code);
        EXPECT_THAT(false, "code ran that should not");
        return;
    }
    EXPECT_SAME(fault.signal, signal);
    EXPECT_SAME(fault.code, si_code);
    EXPECT_SAME(fault.address, (uintptr_t)code);
    EXPECT_SAME(fault.pc, (uintptr_t)code);
    EXPECT_THAT(fault.error & 0x10, "error code %#llx is not of a fetch",
                (unsigned long long)fault.error);
}

/* --- */

static void mapped_many_times(void)
{
    uint8_t *place = expect_pages(4, PROT_NONE);
    for (uint32_t i = 0; i < 10000; i++) {
        uint8_t *p =
            mmap(place, EXPECT_PAGE, EXEC_RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        EXPECT_OR_END(p == place);
        put_return(p, i);
        EXPECT_SAME(call(p), i);
        if (i % 3 == 0) {
            EXPECT(munmap(p, EXPECT_PAGE) == 0);
        }
    }
    munmap(place, 4 * EXPECT_PAGE);
}

/* Wherever the kernel puts it. */
static void mapped_anywhere(void)
{
    uint8_t *held[8] = {0};
    for (uint32_t i = 0; i < 2000; i++) {
        uint8_t **slot = &held[i * 5 % 8];
        if (*slot) {
            munmap(*slot, EXPECT_PAGE);
        }
        *slot = expect_pages(1, EXEC_RW);
        put_return(*slot, i);
        EXPECT_SAME(call(*slot), i);
    }
    for (int i = 0; i < 8; i++) {
        munmap(held[i], EXPECT_PAGE);
    }
}

static int file_that_returns(uint32_t value)
{
    char name[] = "/tmp/vitrine-guest-XXXXXX";
    uint8_t bytes[2 * EXPECT_PAGE] = {0};
    int fd = mkstemp(name);
    EXPECT_OR_END(fd >= 0);
    unlink(name);
    put_return(bytes, value);
    put_return(bytes + EXPECT_PAGE, value + 1);
    EXPECT_OR_END(write(fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes);
    return fd;
}

static void files(void)
{
    int one = file_that_returns(100), two = file_that_returns(200);
    uint8_t *place = expect_pages(2, PROT_NONE);
    for (int i = 0; i < 200; i++) {
        int flags = (i % 4 < 2 ? MAP_PRIVATE : MAP_SHARED) | MAP_FIXED;
        if (i % 3 == 0) {
            EXPECT(munmap(place, 2 * EXPECT_PAGE) == 0);
        }
        EXPECT_OR_END(mmap(place, 2 * EXPECT_PAGE, PROT_READ | PROT_EXEC, flags, i % 2 ? one : two,
                           0) == place);
        EXPECT_SAME(call(place), i % 2 ? 100 : 200);
        EXPECT_SAME(call(place + EXPECT_PAGE), i % 2 ? 101 : 201);
        /* Only its second page becomes the other's first. */
        EXPECT_OR_END(mmap(place + EXPECT_PAGE, EXPECT_PAGE, PROT_READ | PROT_EXEC, flags,
                           i % 2 ? two : one, 0) == place + EXPECT_PAGE);
        EXPECT_SAME(call(place + EXPECT_PAGE), i % 2 ? 200 : 100);
        EXPECT_SAME(call(place), i % 2 ? 100 : 200);
    }
    munmap(place, 2 * EXPECT_PAGE);

    /* Changed privately, then dropped: the file's bytes come back. */
    uint8_t *copy = mmap(NULL, EXPECT_PAGE, EXEC_RW, MAP_PRIVATE, one, 0);
    EXPECT_OR_END(copy != MAP_FAILED);
    EXPECT_SAME(call(copy), 100);
    put_return(copy, 55);
    EXPECT_SAME(call(copy), 55);
    EXPECT(madvise(copy, EXPECT_PAGE, MADV_DONTNEED) == 0);
    EXPECT_SAME(call(copy), 100);
    munmap(copy, EXPECT_PAGE);

    /* The file gets shorter below the mapping. */
    uint8_t *shared = mmap(NULL, 2 * EXPECT_PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, two, 0);
    EXPECT_OR_END(shared != MAP_FAILED);
    EXPECT_SAME(call(shared + EXPECT_PAGE), 201);
    EXPECT(ftruncate(two, EXPECT_PAGE) == 0);
    expect_fetch_fault(shared + EXPECT_PAGE, SIGBUS, BUS_ADRERR);
    EXPECT_SAME(call(shared), 200);
    munmap(shared, 2 * EXPECT_PAGE);
    close(one);
    close(two);
}

static void permissions(void)
{
    uint8_t *code = expect_pages(1, EXEC_RW);
    put_return(code, 9);
    for (int i = 0; i < 20; i++) {
        EXPECT_SAME(call(code), 9);
        EXPECT(mprotect(code, EXPECT_PAGE, PROT_READ | PROT_WRITE) == 0);
        expect_fetch_fault(code, SIGSEGV, SEGV_ACCERR);
        EXPECT(mprotect(code, EXPECT_PAGE, PROT_NONE) == 0);
        expect_fetch_fault(code, SIGSEGV, SEGV_ACCERR);
        EXPECT(mprotect(code, EXPECT_PAGE, i % 2 ? PROT_READ | PROT_EXEC : EXEC_RW) == 0);
    }
    munmap(code, EXPECT_PAGE);
    expect_fetch_fault(code, SIGSEGV, SEGV_MAPERR);
    expect_fetch_fault(NULL, SIGSEGV, SEGV_MAPERR);
    expect_fetch_fault((uint8_t *)16, SIGSEGV, SEGV_MAPERR);
}

static void moved(void)
{
    uint8_t *code = expect_pages(1, EXEC_RW), *target = expect_pages(1, PROT_NONE);
    put_return(code, 31);
    EXPECT_SAME(call(code), 31);
    for (int i = 0; i < 100; i++) {
        EXPECT(mremap(code, EXPECT_PAGE, EXPECT_PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target) ==
               target);
        EXPECT_SAME(call(target), 31 + i);
        put_return(target, 32 + (uint32_t)i);
        EXPECT_SAME(call(target), 32 + i);
        if (i % 10 == 0) {
            expect_fetch_fault(code, SIGSEGV, SEGV_MAPERR);
        }
        uint8_t *other = code;
        code = target;
        target = other;
    }
    munmap(code, EXPECT_PAGE);
}

/* Code that takes away the page it runs on: the instruction after the system call is gone. */
static void own_page(void)
{
    uint8_t *code = expect_pages(1, EXEC_RW);
    /* mov $11, %eax (munmap); syscall; mov $5, %eax; ret */
    static const uint8_t body[] = {0xb8, 11, 0, 0, 0, 0x0f, 0x05, 0xb8, 5, 0, 0, 0, 0xc3};
    memcpy(code, body, sizeof body);
    memset(&fault, 0, sizeof fault);
    if (sigsetjmp(out, 1) == 0) {
        ((uint64_t(*)(void *, size_t))(uintptr_t)code)(code, EXPECT_PAGE);
        EXPECT_THAT(false, "code ran on in a page that is gone");
    }
    EXPECT_SAME(fault.signal, SIGSEGV);
    EXPECT_SAME(fault.pc, (uintptr_t)code + 7);
    EXPECT_SAME(fault.address, (uintptr_t)code + 7);

    /* The same with something else mapped in its place: it goes on there. */
    code = expect_pages(1, EXEC_RW);
    /* mov $9, %eax (mmap); mov %rcx, %r10; syscall; mov $5, %eax; ret */
    static const uint8_t body2[] = {0xb8, 9,    0,    0, 0, 0x49, 0x89, 0xca,
                                    0x0f, 0x05, 0xb8, 5, 0, 0,    0,    0xc3};
    memcpy(code, body2, sizeof body2);
    int fd = memfd_create("other", MFD_CLOEXEC);
    uint8_t other[EXPECT_PAGE];
    memcpy(other, body2, sizeof body2);
    other[11] = 77;
    EXPECT_OR_END(fd >= 0 && write(fd, other, sizeof other) == (ssize_t)sizeof other);
    uint64_t got;
    __asm__ volatile("mov %[fd], %%r8d\n\txor %%r9d, %%r9d\n\tcall *%[code]"
                     : "=a"(got)
                     : [fd] "r"(fd), [code] "b"(code), "D"(code), "S"((uint64_t)EXPECT_PAGE),
                       "d"((uint64_t)(PROT_READ | PROT_EXEC)),
                       "c"((uint64_t)(MAP_PRIVATE | MAP_FIXED))
                     : "r8", "r9", "r10", "r11", "memory", "cc");
    EXPECT_SAME(got, 77);
    munmap(code, EXPECT_PAGE);
    close(fd);
}

/* --- a thread runs in code that another one takes away */

static atomic_int running;
static uint8_t *volatile victim;

static void on_thread_fault(int signal, siginfo_t *info, void *opaque)
{
    greg_t *regs = ((ucontext_t *)opaque)->uc_mcontext.gregs;
    EXPECT_SAME(signal, SIGSEGV);
    EXPECT_SAME((uintptr_t)info->si_addr & -(uintptr_t)EXPECT_PAGE, (uintptr_t)victim);
    /* As if the function had returned 99. */
    uint64_t *sp = (uint64_t *)(uintptr_t)regs[REG_RSP];
    regs[REG_RIP] = (greg_t)*sp;
    regs[REG_RSP] += 8;
    regs[REG_RAX] = 99;
}

static void *run_victim(void *opaque)
{
    (void)opaque;
    uint64_t (*code)(atomic_int *) = (uint64_t(*)(atomic_int *))(uintptr_t)victim;
    EXPECT_SAME(code(&running), 99);
    return NULL;
}

static void taken_away(void)
{
    struct sigaction action = {.sa_sigaction = on_thread_fault, .sa_flags = SA_SIGINFO}, old;
    sigaction(SIGSEGV, &action, &old);
    for (int i = 0; i < 40; i++) {
        uint8_t *code = expect_pages(1, EXEC_RW);
        /* movl $1, (%rdi); jmp . */
        static const uint8_t loop[] = {0xc7, 0x07, 0x01, 0x00, 0x00, 0x00, 0xeb, 0xfe};
        memcpy(code, loop, sizeof loop);
        if (i % 2) {
            mprotect(code, EXPECT_PAGE, PROT_READ | PROT_EXEC);
        }
        victim = code;
        atomic_store(&running, 0);
        pthread_t thread;
        EXPECT_OR_END(pthread_create(&thread, NULL, run_victim, NULL) == 0);
        while (!atomic_load(&running)) {
            sched_yield();
        }
        if (i % 4 < 2) {
            EXPECT(munmap(code, EXPECT_PAGE) == 0);
        } else {
            EXPECT(mprotect(code, EXPECT_PAGE, PROT_READ) == 0);
        }
        pthread_join(thread, NULL);
        if (i % 4 >= 2) {
            munmap(code, EXPECT_PAGE);
        }
    }
    sigaction(SIGSEGV, &old, NULL);
}

int main(void)
{
    alarm(100);
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    mapped_many_times();
    mapped_anywhere();
    files();
    permissions();
    moved();
    own_page();
    taken_away();
    return expect_done();
}
