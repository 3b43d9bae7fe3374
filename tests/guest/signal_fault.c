/* SPDX-License-Identifier: MIT
 *
 * Faults with handlers: what they are told, what they change in the interrupted context, a handler
 * that repairs the mapping and has the store made again, faults in handlers, and jumps out of them.
 */
#include <setjmp.h>
#include <sys/wait.h>
#include <ucontext.h>

#include "expect.h"

static volatile int calls;
static siginfo_t last;
static greg_t registers[NGREG];
static volatile greg_t resume;
static uint8_t *page;
static sigjmp_buf back;

static void note(siginfo_t *info, ucontext_t *context)
{
    calls++;
    last = *info;
    memcpy(registers, context->uc_mcontext.gregs, sizeof registers);
}

static void skip(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;

    (void)sig;
    note(info, uc);
    uc->uc_mcontext.gregs[REG_RIP] = resume;
    uc->uc_mcontext.gregs[REG_RBX] = 0x1234;
    uc->uc_mcontext.gregs[REG_R15] = -5;
}

static void allow(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    note(info, context);
    EXPECT(mprotect((void *)((uintptr_t)info->si_addr & -(uintptr_t)EXPECT_PAGE), EXPECT_PAGE,
                    PROT_READ | PROT_WRITE) == 0);
}

static void jump(int sig, siginfo_t *info, void *context)
{
    note(info, context);
    siglongjmp(back, sig);
}

static void handle(int sig, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};

    sigemptyset(&action.sa_mask);
    EXPECT_OR_END(sigaction(sig, &action, NULL) == 0);
}

/* A faulting instruction with known registers around it; the handler goes on behind it. */
#define FAULT(instruction, ...)                                                       \
    __asm__ volatile("lea 1f(%%rip), %%rax\n mov %%rax, %[resume]\n mov $77, %%rbx\n" \
                     "mov $99, %%r15\n stc\n" instruction "\n 1: mov %%rbx, %[rbx]\n" \
                     "mov %%r15, %[r15]\n"                                            \
                     : [resume] "=m"(resume), [rbx] "=&m"(rbx), [r15] "=&m"(r15)      \
                     : __VA_ARGS__                                                    \
                     : "rax", "rbx", "rcx", "rdx", "r15", "memory", "cc")

static void divide_by_zero(void)
{
    __asm__ volatile("xor %%ecx, %%ecx\n xor %%edx, %%edx\n divl %%ecx"
                     :
                     :
                     : "rax", "rcx", "rdx", "cc");
}

static void changed_context(void)
{
    uint64_t rbx, r15;

    EXPECT_SAME(*(volatile char *)page, 0); /* from now on the page is there */
    handle(SIGSEGV, skip, 0);
    FAULT("movl $1, (%[at])", [at] "D"(page + 24));
    EXPECT_SAME(calls, 1);
    EXPECT_SAME(rbx, 0x1234);
    EXPECT_SAME(r15, -5);
    EXPECT_SAME(last.si_code, SEGV_ACCERR);
    EXPECT_SAME((uintptr_t)last.si_addr, (uintptr_t)page + 24);
    EXPECT_SAME(registers[REG_RBX], 77);
    EXPECT_SAME(registers[REG_R15], 99);
    EXPECT_SAME(registers[REG_RDI], (uintptr_t)page + 24);
    EXPECT_SAME(registers[REG_TRAPNO], 14);
    EXPECT_SAME(registers[REG_ERR], 7); /* present, write, user */
    EXPECT_SAME(registers[REG_CR2], (uintptr_t)page + 24);
    EXPECT_SAME(registers[REG_EFL] & 1, 1);
    EXPECT_SAME(registers[REG_CSGSFS] & 0xffff, 0x33);

    FAULT("mov (%[at]), %%eax", [at] "D"((uintptr_t)0x10));
    EXPECT_SAME(last.si_code, SEGV_MAPERR);
    EXPECT_SAME((uintptr_t)last.si_addr, 0x10);
    EXPECT_SAME(registers[REG_ERR], 4);

    FAULT("mov (%[at]), %%eax", [at] "D"(UINT64_C(0x8000000000000000)));
    EXPECT_SAME(last.si_code, SI_KERNEL);
    EXPECT_SAME((uintptr_t)last.si_addr, 0);
    EXPECT_SAME(registers[REG_TRAPNO], 13);

    handle(SIGFPE, skip, 0);
    FAULT("xor %%ecx, %%ecx\n xor %%edx, %%edx\n divl %%ecx", [at] "D"(0));
    EXPECT_SAME(last.si_signo, SIGFPE);
    EXPECT_SAME(last.si_code, FPE_INTDIV);
    handle(SIGILL, skip, 0);
    FAULT("ud2", [at] "D"(0));
    EXPECT_SAME(last.si_signo, SIGILL);
    EXPECT_SAME(registers[REG_TRAPNO], 6);
    EXPECT_SAME((uintptr_t)last.si_addr, (uintptr_t)registers[REG_RIP]);
    handle(SIGTRAP, skip, 0);
    FAULT("int3", [at] "D"(0));
    EXPECT_SAME(last.si_signo, SIGTRAP);
    EXPECT_SAME(last.si_code, SI_KERNEL);
    EXPECT_SAME(registers[REG_RIP], resume); /* a trap: behind the instruction */
}

static void repaired(void)
{
    handle(SIGSEGV, allow, 0);
    for (int i = 0; i < 50; i++) {
        calls = 0;
        mprotect(page, EXPECT_PAGE, i & 1 ? PROT_NONE : PROT_READ);
        ((volatile uint32_t *)page)[i] += 5;
        EXPECT_SAME(calls, 1);
        EXPECT_SAME(((volatile uint32_t *)page)[i], 5);
    }
    mprotect(page, EXPECT_PAGE, PROT_READ);
}

static void jumped_out(void)
{
    volatile int rounds = 0;

    handle(SIGSEGV, jump, 0);
    handle(SIGFPE, jump, SA_NODEFER);
    calls = 0;
    while (rounds < 200) {
        int sig = sigsetjmp(back, 1);
        if (sig == 0) {
            if (rounds & 1) {
                *(volatile char *)page = 1;
            } else {
                divide_by_zero();
            }
        }
        EXPECT_SAME(sig, rounds & 1 ? SIGSEGV : SIGFPE);
        rounds++;
    }
    EXPECT_SAME(calls, 200);
    sigset_t mask;
    sigprocmask(SIG_SETMASK, NULL, &mask);
    EXPECT(!sigismember(&mask, SIGSEGV));
}

static volatile int depth;

static void nest(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)info;
    if (++depth < 10) {
        divide_by_zero();
    }
    ucontext_t *uc = context;
    uc->uc_mcontext.gregs[REG_RIP] += 2; /* over "div ecx" */
    uc->uc_mcontext.gregs[REG_RAX] = 0;
}

static void nested(void)
{
    uint64_t rax = 1;

    handle(SIGFPE, nest, SA_NODEFER);
    depth = 0;
    __asm__ volatile("xor %%ecx, %%ecx\n xor %%edx, %%edx\n divl %%ecx"
                     : "+a"(rax)
                     :
                     : "rcx", "rdx", "cc");
    EXPECT_SAME(depth, 10);
    EXPECT_SAME(rax, 0);
}

static int die_in_child(int sig, bool blocked)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        signal(sig, SIG_IGN);
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGSEGV);
        if (blocked) {
            handle(SIGSEGV, skip, 0);
            sigprocmask(SIG_BLOCK, &set, NULL);
        }
        *(volatile char *)page = 1;
        _exit(1);
    }
    int status = 0;
    EXPECT_SAME(waitpid(pid, &status, 0), pid);
    return status & 0x7f;
}

int main(void)
{
    page = expect_pages(1, PROT_READ);
    changed_context();
    repaired();
    jumped_out();
    nested();
    EXPECT_SAME(die_in_child(SIGSEGV, false), SIGSEGV); /* ignoring does not help */
    EXPECT_SAME(die_in_child(SIGUSR1, true), SIGSEGV);  /* nor does blocking */
    return expect_done();
}
