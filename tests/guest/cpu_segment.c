/* SPDX-License-Identifier: MIT
 *
 * FS and GS: bases set by arch_prctl and by WRFSBASE and WRGSBASE, reads and writes through them,
 * their values over system calls, signals, threads and fork; selectors. */
#include <asm/prctl.h>
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>

#include "expect.h"

static uint64_t area[64];
static bool instructions; /* FSGSBASE */

static uint64_t get_base(int what)
{
    uint64_t base = 1;
    EXPECT(syscall(SYS_arch_prctl, what, &base) == 0);
    return base;
}

static void set_gs(void *base)
{
    EXPECT(syscall(SYS_arch_prctl, ARCH_SET_GS, base) == 0);
}

static uint64_t load_gs(void)
{
    uint64_t v;
    __asm__ volatile("mov %%gs:8, %0" : "=r"(v) : : "memory");
    return v;
}

static void by_system_call(void)
{
    uint64_t self;
    __asm__("mov %%fs:0, %0" : "=r"(self));
    EXPECT_SAME(get_base(ARCH_GET_FS), self);
    EXPECT_SAME(get_base(ARCH_GET_GS), 0);
    area[1] = 4711;
    set_gs(area);
    EXPECT_SAME(get_base(ARCH_GET_GS), (uintptr_t)area);
    EXPECT_SAME(load_gs(), 4711);
    __asm__ volatile("movq $12, %%gs:16\n\tlock addq $30, %%gs:16" : : : "memory", "cc");
    EXPECT_SAME(area[2], 42);
    uint64_t index = 3, sum = 5;
    area[3] = 100;
    __asm__ volatile("add %%gs:(,%1,8), %0" : "+r"(sum) : "r"(index) : "cc");
    EXPECT_SAME(sum, 105);
    area[8] = 0x0807060504030201;
    __asm__ volatile(
        "mov $8, %%ecx\n\tlea 64, %%rsi\n\tmov %0, %%rdi\n\trep movsb %%gs:(%%rsi), (%%rdi)"
        :
        : "r"(&area[20])
        : "rcx", "rsi", "rdi", "memory");
    EXPECT_SAME(area[20], area[8]);
    __asm__ volatile("movdqu %%gs:64, %%xmm0\n\tmovdqu %%xmm0, %%gs:176" : : : "xmm0", "memory");
    EXPECT_SAME(area[22], area[8]);
    /* The address of LEA and the stack are not moved by a segment. */
    uint64_t address;
    __asm__ volatile(".byte 0x65\n\tlea 24, %0" : "=r"(address));
    EXPECT_SAME(address, 24);
    /* With a 32-bit address the sum is 32 bits, the base is added after. */
    __asm__ volatile("mov $0xffffffff, %%eax\n\taddr32 mov %%gs:9(%%eax), %0"
                     : "=r"(address)
                     :
                     : "rax");
    EXPECT_SAME(address, 4711);
    for (int i = 0; i < 100; i++) {
        getppid();
        EXPECT_SAME(load_gs(), 4711);
    }
    EXPECT(syscall(SYS_arch_prctl, ARCH_SET_GS, 0x8000000000000000) == -1 && errno == EPERM);
    EXPECT(syscall(SYS_arch_prctl, 0x7777, 0) == -1 && errno == EINVAL);
    set_gs(NULL);
}

static void by_instruction(void)
{
    uint64_t base;
    if (!instructions) {
        return;
    }
    for (int i = 0; i < 200; i++) {
        area[i % 32 + 1] = (uint64_t)i;
        __asm__ volatile("wrgsbase %0" : : "r"(area + i % 32));
        EXPECT_SAME(load_gs(), i);
        __asm__ volatile("rdgsbase %0" : "=r"(base));
        EXPECT_SAME(base, (uintptr_t)(area + i % 32));
        EXPECT_SAME(get_base(ARCH_GET_GS), base);
        __asm__ volatile("rdfsbase %0" : "=r"(base));
        EXPECT_SAME(base, get_base(ARCH_GET_FS));
    }
    /* Another FS for a moment: nothing of libc in between. */
    uint64_t fs = get_base(ARCH_GET_FS), seen, seen_again, number = 39;
    area[5] = 99;
    __asm__ volatile("wrfsbase %4\n\t"
                     "mov %%fs:40, %1\n\t"
                     "syscall\n\t"
                     "mov %%fs:40, %2\n\t"
                     "wrfsbase %5"
                     : "+a"(number), "=&r"(seen), "=&r"(seen_again), "=m"(area)
                     : "r"(area), "r"(fs)
                     : "rcx", "r11");
    EXPECT_SAME(seen, 99);
    EXPECT_SAME(seen_again, 99);
    EXPECT_SAME(number, getpid());
    /* 32 bits: the upper half of the base becomes zero. */
    __asm__ volatile("wrgsbase %0" : : "r"(0xdeadbeef));
    __asm__ volatile("rdgsbase %0" : "=r"(base));
    EXPECT_SAME(base, 0xdeadbeef);
    uint32_t low;
    base = 0x123456789a;
    __asm__ volatile("wrgsbase %1\n\trdgsbase %0" : "=r"(low) : "r"(base));
    EXPECT_SAME(low, 0x3456789a);
    set_gs(NULL);
}

static volatile int handled;

static void on_signal(int signal)
{
    EXPECT_SAME(load_gs(), 31337);
    handled = signal;
    set_gs(area + 10); /* the base is no part of the frame */
}

static void over_signals(void)
{
    area[1] = 31337;
    area[11] = 31338;
    set_gs(area);
    signal(SIGUSR1, on_signal);
    raise(SIGUSR1);
    EXPECT_SAME(handled, SIGUSR1);
    EXPECT_SAME(load_gs(), 31338);
    set_gs(NULL);
}

static __thread uint64_t own = 5;

static void *other(void *opaque)
{
    EXPECT_SAME(own, 5);
    own = (uintptr_t)opaque;
    uint64_t mine[4] = {0, own * 3};
    set_gs(mine);
    for (int i = 0; i < 500; i++) {
        EXPECT_SAME(load_gs(), own * 3);
        EXPECT_SAME(own, (uintptr_t)opaque);
        if (i % 50 == 0) {
            sched_yield();
        }
    }
    return NULL;
}

static void over_threads(void)
{
    pthread_t thread[4];
    area[1] = 8;
    set_gs(area);
    for (uintptr_t i = 0; i < 4; i++) {
        EXPECT_OR_END(pthread_create(&thread[i], NULL, other, (void *)(i + 100)) == 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(thread[i], NULL);
    }
    EXPECT_SAME(load_gs(), 8);
    pid_t child = fork();
    if (child == 0) {
        _exit(load_gs() == 8 && get_base(ARCH_GET_GS) == (uintptr_t)area && own == 5 ? 0 : 1);
    }
    int status = -1;
    EXPECT(waitpid(child, &status, 0) == child && status == 0);
    set_gs(NULL);
}

static void selectors(void)
{
    unsigned cs, ss, ds, es, fs, gs;
    __asm__("mov %%cs, %0" : "=r"(cs));
    __asm__("mov %%ss, %0" : "=r"(ss));
    __asm__("mov %%ds, %0" : "=r"(ds));
    __asm__("mov %%es, %0" : "=r"(es));
    __asm__("mov %%fs, %0" : "=r"(fs));
    __asm__("mov %%gs, %0" : "=r"(gs));
    EXPECT_SAME(cs, 0x33);
    EXPECT_SAME(ss, 0x2b);
    EXPECT_SAME(ds, 0);
    EXPECT_SAME(es, 0);
    EXPECT_SAME(fs, 0);
    EXPECT_SAME(gs, 0);
    uint16_t word = 0x1234;
    __asm__ volatile("movw %%cs, %0" : "=m"(word));
    EXPECT_SAME(word, 0x33);
    /* DS and ES may be loaded with the user's data segment, and with none. */
    __asm__ volatile("mov %0, %%ds\n\tmov %0, %%es" : : "r"(0x2b));
    __asm__ volatile("mov %%ds, %0\n\tmov %%es, %1" : "=r"(ds), "=r"(es));
    EXPECT_SAME(ds, 0x2b);
    EXPECT_SAME(es, 0x2b);
    __asm__ volatile("mov %0, %%ds\n\tmov %0, %%es" : : "r"(0));
}

int main(void)
{
    alarm(60);
    instructions = getauxval(AT_HWCAP2) & 2;
    by_system_call();
    by_instruction();
    over_signals();
    over_threads();
    selectors();
    return expect_done();
}
