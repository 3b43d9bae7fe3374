/* SPDX-License-Identifier: MIT
 *
 * Native runs: signals. The kernel saves the whole state in the signal frame, so the handler only
 * copies it and leaves for native_run()'s caller; the frame is never returned to. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/error.h"
#include "native.h"

/* native_enter.S */
void native_enter(void);
noreturn void native_leave(void);
void native_signal_entry(int signal, siginfo_t *info, void *context);
void native_restorer(void);
extern struct machine native_state;
extern uint64_t native_guest_fs, native_guest_gs;

/* Called by native_signal_entry. */
void native_signal(int signal, siginfo_t *info, ucontext_t *context);

struct machine native_state;
static struct outcome result;
static bool running;

/* struct sigaction as the kernel has it. */
struct kernel_action {
    void (*handler)(int, siginfo_t *, void *);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

static const int SIGNALS[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
enum { SIGNAL_COUNT = sizeof SIGNALS / sizeof *SIGNALS };

static void set_action(int signal, const struct kernel_action *action, struct kernel_action *old)
{
    if (syscall(SYS_rt_sigaction, signal, action, old, sizeof action->mask) != 0)
        bug("no handler for signal %d", signal);
}

void native_signal(int signal, siginfo_t *info, ucontext_t *context)
{
    static const uint8_t place[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                      REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                      REG_R12, REG_R13, REG_R14, REG_R15};
    const greg_t *greg = context->uc_mcontext.gregs;
    struct machine *m = &result.machine;

    if (!running)
        bug("signal %d at %#llx, address %p, outside a native run", signal, greg[REG_RIP],
            info->si_addr);
    running = false;
    for (int i = 0; i < 16; i++)
        m->gpr[i] = greg[place[i]];
    m->rip = greg[REG_RIP];
    m->flags = greg[REG_EFL];
    m->fs_base = native_guest_fs;
    m->gs_base = native_guest_gs;
    memcpy(m->vector, context->uc_mcontext.fpregs, sizeof m->vector);
    machine_normalize(m->vector);
    result.fault = (struct machine_fault){
        .signal = signal,
        .code = info->si_code,
        .address = (uint64_t)info->si_addr,
        .trap = greg[REG_TRAPNO],
        .error = greg[REG_ERR],
    };
    native_leave();
}

void native_run(const struct machine *in, struct outcome *out)
{
    struct kernel_action action = {
        .handler = native_signal_entry,
        .flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | 0x04000000 /* SA_RESTORER */,
        .restorer = native_restorer,
    };
    struct kernel_action old[SIGNAL_COUNT];

    for (int i = 0; i < SIGNAL_COUNT; i++)
        set_action(SIGNALS[i], &action, &old[i]);
    native_state = *in;
    running = true;
    native_enter();
    *out = result;
    for (int i = 0; i < SIGNAL_COUNT; i++)
        set_action(SIGNALS[i], &old[i], NULL);
}

void native_open(void)
{
    enum { STACK = 256 << 10 };
    stack_t stack = {.ss_size = STACK};

    if (!(getauxval(AT_HWCAP2) & 2 /* HWCAP2_FSGSBASE */))
        bug("the kernel does not let programs use FSGSBASE");
    stack.ss_sp = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack.ss_sp == MAP_FAILED || sigaltstack(&stack, NULL) != 0)
        bug("no alternate stack");
}
