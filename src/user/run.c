/* SPDX-License-Identifier: MIT
 *
 * The loop of a thread, and the main thread's life.
 *
 * Guest code runs until it asks for a system call, faults, or somebody asks it to come out; then
 * what is to be done is done here, and signals are delivered before it goes on. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "trace/probe/context.h"
#include "user/access.h"
#include "user/internal.h"
#include "user/seccomp.h"
#include "user/signals.h"
#include "user/syscalls.h"
#include "user/threads.h"
#include "user/toggle.h"

enum {
    PAGE_FAULT = 14,
    FETCH_FAULT = 0x15, /* error code: present, user, instruction fetch */
    STATUS_CANNOT_START = 1,
};

/* The page of the kernel's at a fixed address: three functions, a thousand bytes apart, that old
 * programs call. It cannot be read, so it is not translated: what they do is done here. */
#define VSYSCALL_PAGE UINT64_C(0xffffffffff600000)

static bool is_vsyscall(uint64_t pc)
{
    return pc == VSYSCALL_PAGE || pc == VSYSCALL_PAGE + 0x400 || pc == VSYSCALL_PAGE + 0x800;
}

static void vsyscall(struct user_thread *thread)
{
    static const uint16_t numbers[] = {SYS_gettimeofday, SYS_time, SYS_getcpu};
    struct ir_state *state = &thread->cpu->state;
    uint64_t back, pc = state->pc;

    if (!user_copy_in(&back, state->reg[X86_RSP], sizeof back)) {
        struct vcpu_fault fault = {SIGSEGV, SEGV_MAPERR, state->reg[X86_RSP], PAGE_FAULT, 4};
        user_signals_fault(thread, &fault);
        return;
    }
    struct user_call call = {
        .number = numbers[(pc - VSYSCALL_PAGE) >> 10],
        .args = {state->reg[X86_RDI], state->reg[X86_RSI]},
    };
    user_call_outputs(thread, &call);
    long result = syscall((long)call.number, call.args[0], call.args[1], 0);
    state->reg[X86_RAX] = result < 0 ? (uint64_t)-errno : (uint64_t)result;
    state->reg[X86_RSP] += sizeof back;
    state->pc = back;
}

/* INT 0x80 is the way into the kernel of 32-bit programs; from 64-bit code too, with the numbers
 * and registers of those. */
static void tell_of_int80(const struct vcpu_fault *fault)
{
    if (fault->trap == 13 && fault->error == 0x80 * 8 + 2) {
        user_tell_once(
            USER_TOLD_INT80,
            "the program uses int 0x80, the system calls of 32-bit programs, which are not "
            "supported: it gets SIGSEGV\n");
    }
}

static void fault(struct user_thread *thread)
{
    const struct vcpu_fault *what = vcpu_fault(thread->vcpu);

    if (what->signal == SIGSEGV && is_vsyscall(thread->cpu->state.pc)) {
        vsyscall(thread);
        return;
    }
    tell_of_int80(what);
    user_signals_fault(thread, what);
}

void user_thread_loop(struct user_thread *thread)
{
    while (!thread->ending) {
        user_signals_deliver(thread);
        switch (vcpu_run(thread->vcpu)) {
        case VCPU_SYSCALL: user_syscall(thread); break;
        case VCPU_FAULT: fault(thread); break;
        case VCPU_INTERRUPTED:
        case VCPU_SPENT:
        case VCPU_WAITS: break;
        }
    }
}

int user_run(struct user *user)
{
    struct user_thread *thread = user_thread_new(user);
    struct error err = {0};

    if (!thread) {
        log_text("vitrine-user: no memory for a CPU\n", 34);
        return STATUS_CANNOT_START;
    }
    thread->is_main = true;
    thread->tid = gettid();
    user_thread_enter(thread);
    if (!user_signals_stack(thread) || !user_signals_init(user, thread, &err)) {
        error_prefix(&err, "vitrine-user: ");
        log_text(err.text, strlen(err.text));
        log_text("\n", 1);
        return STATUS_CANNOT_START;
    }
    if (user->options.seccomp_fd && !user_seccomp_load(thread, user->options.seccomp_fd)) {
        log_text("vitrine-user: -seccomp: no filters there\n", 40);
        return STATUS_CANNOT_START;
    }
    user_load_cpu(user, thread->cpu);
    user_signals_block();
    user_toggle_start(user);
    user_signals_apply_mask(thread);
    user_thread_loop(thread);
    return thread->exit_status;
}
