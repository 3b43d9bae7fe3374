/* SPDX-License-Identifier: MIT
 *
 * The frame of a handler: what is in it, and what becomes of changes. Flags of actions, order and
 * nesting of handlers. */
#include <asm/prctl.h>
#include <setjmp.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>

#include "expect.h"

static volatile int calls;
static char order[16];

static void handle(int sig, void (*handler)(int, siginfo_t *, void *), int flags, int also_blocked)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};

    sigemptyset(&action.sa_mask);
    if (also_blocked) {
        sigaddset(&action.sa_mask, also_blocked);
    }
    EXPECT_OR_END(sigaction(sig, &action, NULL) == 0);
}

static void change_vectors(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    struct _libc_fpstate *fp = uc->uc_mcontext.fpregs;
    uint32_t mxcsr;
    uint16_t control;

    (void)sig;
    (void)info;
    calls++;
    EXPECT_SAME((uintptr_t)fp % 64, 0);
    EXPECT_SAME((uintptr_t)fp->_xmm[3].element[0], 0x33333333);
    fp->_xmm[4].element[0] = 0x44444444;
    fp->mxcsr = 0x1f80 | 0x8000; /* flush to zero */
    fp->cwd = 0x27f;
    /* The handler itself begins with fresh units. */
    __asm__ volatile("stmxcsr %0\n fnstcw %1" : "=m"(mxcsr), "=m"(control));
    EXPECT_SAME(mxcsr, 0x1f80);
    EXPECT_SAME(control, 0x37f);
    __asm__ volatile("pcmpeqd %%xmm3, %%xmm3" ::: "xmm3");
}

static void vectors(void)
{
    uint32_t xmm3 = 0x33333333, xmm4 = 0, mxcsr = 0x1f80 | 0x6000, saved;
    uint16_t control = 0x77f, saved_control;
    int64_t pid = getpid();
    int64_t result;

    handle(SIGUSR1, change_vectors, 0, 0);
    __asm__ volatile("stmxcsr %0\n fnstcw %1" : "=m"(saved), "=m"(saved_control));
    __asm__ volatile(
        "ldmxcsr %[m]\n fldcw %[c]\n movd %[three], %%xmm3\n pxor %%xmm4, %%xmm4\n"
        "syscall\n"
        "movd %%xmm3, %[three]\n movd %%xmm4, %[four]\n stmxcsr %[m]\n fnstcw %[c]"
        : "=a"(result), [three] "+r"(xmm3), [four] "=r"(xmm4), [m] "+m"(mxcsr), [c] "+m"(control)
        : "0"((int64_t)SYS_kill), "D"(pid), "S"((int64_t)SIGUSR1)
        : "rcx", "r11", "memory", "xmm3", "xmm4");
    __asm__ volatile("ldmxcsr %0\n fldcw %1" : : "m"(saved), "m"(saved_control));
    EXPECT_SAME(result, 0);
    EXPECT_SAME(calls, 1);
    EXPECT_SAME(xmm3, 0x33333333);
    EXPECT_SAME(xmm4, 0x44444444);
    EXPECT_SAME(mxcsr, 0x1f80 | 0x8000);
    EXPECT_SAME(control, 0x27f);
}

static void extended_words(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    const uint8_t *fp = (const uint8_t *)uc->uc_mcontext.fpregs;
    uint32_t magic, whole, size, last;
    uint64_t features, header;

    (void)sig;
    (void)info;
    calls++;
    memcpy(&magic, fp + 464, 4);
    memcpy(&whole, fp + 468, 4);
    memcpy(&features, fp + 472, 8);
    memcpy(&size, fp + 480, 4);
    EXPECT_SAME(magic, 0x46505853);
    EXPECT(size >= 576 && whole == size + 4);
    memcpy(&last, fp + size, 4);
    EXPECT_SAME(last, 0x46505845);
    EXPECT((features & 3) == 3);
    memcpy(&header, fp + 512, 8);
    EXPECT((header & 3) == 3 && !(header & ~features));
    EXPECT_SAME(uc->uc_flags, 7);
    EXPECT_SAME((uintptr_t)context % 16, 0);
}

static void bad_mxcsr(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)info;
    ((ucontext_t *)context)->uc_mcontext.fpregs->mxcsr = 0x12345678;
}

static sigjmp_buf back;

static void jump(int sig, siginfo_t *info, void *context)
{
    (void)context;
    EXPECT_SAME(info->si_code, SI_KERNEL);
    siglongjmp(back, sig);
}

static void refused(void)
{
    handle(SIGUSR1, bad_mxcsr, 0, 0);
    handle(SIGSEGV, jump, 0, 0);
    int sig = sigsetjmp(back, 1);
    if (sig == 0) {
        raise(SIGUSR1);
    }
    EXPECT_SAME(sig, SIGSEGV);
    signal(SIGSEGV, SIG_DFL);
}

static void block_in_context(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)info;
    calls++;
    sigaddset(&((ucontext_t *)context)->uc_sigmask, SIGUSR2);
}

static void mask(void)
{
    sigset_t now;

    calls = 0;
    handle(SIGUSR1, block_in_context, 0, 0);
    handle(SIGUSR2, extended_words, 0, 0);
    raise(SIGUSR2);
    EXPECT_SAME(calls, 1);
    raise(SIGUSR1);
    sigprocmask(SIG_SETMASK, NULL, &now);
    EXPECT(sigismember(&now, SIGUSR2) && !sigismember(&now, SIGUSR1));
    raise(SIGUSR2);
    EXPECT_SAME(calls, 2);
    sigemptyset(&now);
    sigprocmask(SIG_SETMASK, &now, NULL);
    EXPECT_SAME(calls, 3);
}

static void first(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    EXPECT_SAME(info->si_pid, getpid());
    order[calls++] = 'a';
    if (calls == 1) {
        raise(SIGUSR2); /* blocked by the action's mask until we return */
        raise(SIGUSR1); /* by itself, too */
    }
    order[calls++] = 'b';
}

static void second(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)info;
    (void)context;
    order[calls++] = 'c';
}

static void blocked_in_handlers(void)
{
    calls = 0;
    memset(order, 0, sizeof order);
    handle(SIGUSR1, first, 0, SIGUSR2);
    handle(SIGUSR2, second, 0, 0);
    raise(SIGUSR1);
    /* On return the lower number comes first, and keeps the other out again. */
    EXPECT_THAT(strcmp(order, "ababc") == 0, "%s", order);
}

static void recurse(int sig, siginfo_t *info, void *context)
{
    (void)info;
    (void)context;
    if (++calls < 5) {
        raise(sig);
    }
}

static void flags(void)
{
    struct sigaction now;

    calls = 0;
    handle(SIGUSR1, recurse, SA_NODEFER, 0);
    raise(SIGUSR1);
    EXPECT_SAME(calls, 5);
    handle(SIGUSR1, extended_words, (int)SA_RESETHAND, 0);
    raise(SIGUSR1);
    EXPECT_SAME(calls, 6);
    sigaction(SIGUSR1, NULL, &now);
    EXPECT(now.sa_handler == SIG_DFL);
    EXPECT(sigaction(SIGKILL, &now, NULL) == -1 && errno == EINVAL);
}

static void queued(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    EXPECT_SAME(info->si_code, SI_QUEUE);
    EXPECT_SAME(info->si_value.sival_int, 100 + calls);
    calls++;
}

/* Real-time signals come in order, each with its value: also those that a translator uses itself.
 */
static void queues(void)
{
    sigset_t set, old;

    for (int sig = SIGRTMIN; sig <= SIGRTMAX; sig++) {
        int rounds = sig == SIGRTMAX - 1 ? 1 : 5;
        calls = 0;
        handle(sig, queued, 0, 0);
        sigemptyset(&set);
        sigaddset(&set, sig);
        sigprocmask(SIG_BLOCK, &set, &old);
        for (int i = 0; i < rounds; i++) {
            sigqueue(getpid(), sig, (union sigval){.sival_int = 100 + i});
        }
        EXPECT_SAME(calls, 0);
        sigprocmask(SIG_SETMASK, &old, NULL);
        EXPECT_SAME(calls, rounds);
    }
}

static void die_by(int sig)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        signal(sig, SIG_DFL);
        kill(getpid(), sig);
        _exit(0);
    }
    int status = 0;
    EXPECT_SAME(waitpid(pid, &status, 0), pid);
    EXPECT_SAME(WIFSIGNALED(status) ? WTERMSIG(status) : 0, sig);
}

static void deaths(void)
{
    static const int signals[] = {SIGHUP, SIGINT,  SIGQUIT, SIGILL,  SIGTRAP, SIGABRT, SIGBUS,
                                  SIGFPE, SIGKILL, SIGUSR1, SIGSEGV, SIGPIPE, SIGALRM, SIGTERM,
                                  SIGSYS, SIGPROF, 34,      63,      64};

    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        die_by(signals[i]);
    }
}

int main(void)
{
    vectors();
    refused();
    mask();
    blocked_in_handlers();
    flags();
    queues();
    deaths();
    return expect_done();
}
