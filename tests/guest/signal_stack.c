/* SPDX-License-Identifier: MIT
 *
 * Alternate stacks for handlers: the stack overflow that they are for, what sigaltstack() says
 * while one is in use, nesting, SS_AUTODISARM, and a stack that is too small for a frame. */
#include <setjmp.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <ucontext.h>

#include "expect.h"

static uint8_t alternate[64 << 10];
static volatile uintptr_t handler_stack;
static volatile int calls;
static stack_t seen;
static sigjmp_buf back;

static bool on_alternate(uintptr_t address)
{
    return address > (uintptr_t)alternate && address <= (uintptr_t)alternate + sizeof alternate;
}

static void use(void *base, size_t size, int flags)
{
    stack_t stack = {.ss_sp = base, .ss_size = size, .ss_flags = flags};

    EXPECT_OR_END(sigaltstack(&stack, NULL) == 0);
}

static void handle(int sig, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};

    sigemptyset(&action.sa_mask);
    EXPECT_OR_END(sigaction(sig, &action, NULL) == 0);
}

static void overflowed(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    int local = 0;

    calls++;
    handler_stack = (uintptr_t)&local;
    /* The fault is near the stack pointer: it was a push or a call. */
    uintptr_t sp = (uintptr_t)uc->uc_mcontext.gregs[REG_RSP];
    EXPECT((uintptr_t)info->si_addr < sp + 65536 && (uintptr_t)info->si_addr > sp - 65536);
    siglongjmp(back, sig);
}

__attribute__((noinline)) static int recurse(volatile int *n)
{
    volatile char room[400];

    room[0] = (char)*n;
    return ++*n < 1 << 30 ? recurse(n) + room[0] : 0;
}

static void overflow(void)
{
    struct rlimit limit = {1 << 20, 1 << 20};
    volatile int n = 0;

    setrlimit(RLIMIT_STACK, &limit); /* where stacks are large, not to be here for long */
    calls = 0;
    use(alternate, sizeof alternate, 0);
    handle(SIGSEGV, overflowed, SA_ONSTACK);
    for (int i = 0; i < 3; i++) {
        n = 0;
        if (sigsetjmp(back, 1) == 0) {
            recurse(&n);
        }
        EXPECT(n > 1000);
        EXPECT(on_alternate(handler_stack));
    }
    EXPECT_SAME(calls, 3);
}

static void inner(int sig, siginfo_t *info, void *context)
{
    int local = 0;

    (void)sig;
    (void)info;
    (void)context;
    EXPECT(on_alternate((uintptr_t)&local));
    EXPECT((uintptr_t)&local < handler_stack); /* below the outer frame, not at the top again */
    calls++;
}

static void outer(int sig, siginfo_t *info, void *context)
{
    int local = 0;
    ucontext_t *uc = context;
    stack_t other = {.ss_flags = SS_DISABLE};

    (void)sig;
    (void)info;
    handler_stack = (uintptr_t)&local;
    sigaltstack(NULL, &seen);
    EXPECT_SAME(seen.ss_flags, SS_ONSTACK);
    EXPECT(sigaltstack(&other, NULL) == -1 && errno == EPERM);
    EXPECT_SAME((uintptr_t)uc->uc_stack.ss_sp, (uintptr_t)alternate);
    EXPECT_SAME(uc->uc_stack.ss_size, sizeof alternate);
    raise(SIGUSR2);
    calls++;
}

static void nesting(void)
{
    stack_t stack;

    calls = 0;
    use(alternate, sizeof alternate, 0);
    handle(SIGUSR1, outer, SA_ONSTACK);
    handle(SIGUSR2, inner, SA_ONSTACK);
    raise(SIGUSR1);
    EXPECT_SAME(calls, 2);
    sigaltstack(NULL, &stack);
    EXPECT_SAME(stack.ss_flags, 0);
}

static void disarmed(int sig, siginfo_t *info, void *context)
{
    int local = 0;

    (void)sig;
    (void)info;
    (void)context;
    EXPECT(on_alternate((uintptr_t)&local));
    sigaltstack(NULL, &seen);
    calls++;
}

static void autodisarm(void)
{
    stack_t stack;

    calls = 0;
    use(alternate, sizeof alternate, (int)(1u << 31));
    handle(SIGUSR1, disarmed, SA_ONSTACK);
    raise(SIGUSR1);
    EXPECT_SAME(calls, 1);
    EXPECT_SAME(seen.ss_flags, SS_DISABLE);
    sigaltstack(NULL, &stack);
    EXPECT_SAME((unsigned)stack.ss_flags, 1u << 31);
    EXPECT_SAME((uintptr_t)stack.ss_sp, (uintptr_t)alternate);
    raise(SIGUSR1);
    EXPECT_SAME(calls, 2);
}

static void refused(void)
{
    stack_t stack = {.ss_sp = alternate, .ss_size = 1024};

    EXPECT(sigaltstack(&stack, NULL) == -1 && errno == ENOMEM);
    stack = (stack_t){.ss_sp = alternate, .ss_size = sizeof alternate, .ss_flags = 64};
    EXPECT(sigaltstack(&stack, NULL) == -1 && errno == EINVAL);
}

/* No room for the frame: the process dies of SIGSEGV, though SIGSEGV has a handler. */
static void no_room(void)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        uint8_t *pages = expect_pages(2, PROT_NONE);
        use(pages, 2 * EXPECT_PAGE, 0);
        handle(SIGUSR1, inner, SA_ONSTACK);
        handle(SIGSEGV, inner, SA_ONSTACK);
        raise(SIGUSR1);
        _exit(0);
    }
    int status = 0;
    EXPECT_SAME(waitpid(pid, &status, 0), pid);
    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

int main(void)
{
    nesting();
    autodisarm();
    refused();
    no_room();
    overflow();
    return expect_done();
}
