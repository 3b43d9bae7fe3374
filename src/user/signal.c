/* SPDX-License-Identifier: MIT
 *
 * Signals: the handler of the host's, what is pending, delivery to the guest (signals.h).
 *
 * One asynchronous signal at a time: the handler leaves all but the open ones blocked in the
 * context that it returns to, so the next comes only when the guest's mask is on the host again,
 * behind the frame of the first. The kernel keeps the others for us, in its order. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "trace/probe/control.h"
#include "user/access.h"
#include "user/internal.h"
#include "user/signals.h"
#include "user/syscalls.h"
#include "user/threads.h"
#include "user/toggle.h"

#include "trace-user.h"

enum {
    PAGE_FAULT = 14,
    WRITE_FAULT = 2, /* in the error code */
    HOST_STACK_SIZE = 64 << 10,
    KERNEL_RESTORER = 0x04000000,
    STATUS_OF_SIGNAL = 128,
    ALTSTACK_MIN = 2048, /* MINSIGSTKSZ of x86-64 */
    AUTODISARM = (int)0x80000000,
};

/* Actions of a process. The lock is held for moments, outside handlers. */
struct user_signals {
    pthread_mutex_t lock;
    struct user_action action[USER_SIGNALS];
};

/* As rt_sigaction takes and gives it. */
struct kernel_action {
    uint64_t handler, flags, restorer, mask;
};

static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};

static uint64_t fault_signals(void)
{
    uint64_t set = 0;

    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        set |= user_signal_bit(faults[i]);
    }
    return set;
}

uint64_t user_signals_open(void)
{
    return fault_signals() | user_signal_bit(USER_KICK_SIGNAL);
}

static bool is_open(int signal)
{
    return user_signals_open() & user_signal_bit(signal);
}

uint64_t user_signals_host_mask(uint64_t mask)
{
    return mask & ~user_signals_open();
}

static void set_host_mask(uint64_t mask)
{
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof mask);
}

void user_signals_block(void)
{
    set_host_mask(~fault_signals());
}

void user_signals_apply_mask(struct user_thread *thread)
{
    set_host_mask(user_signals_host_mask(thread->mask));
}

/* --- the host's handler --- */

/* From now on thread->attention is not 0 while something pending is not blocked. The handler may
 * come in between, and sets it. */
static void update_attention(struct user_thread *thread)
{
    __atomic_store_n(&thread->attention, 0, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&thread->pending, __ATOMIC_SEQ_CST) & ~thread->mask) {
        __atomic_store_n(&thread->attention, 1, __ATOMIC_SEQ_CST);
    }
}

static bool is_fault(int signal, const siginfo_t *info)
{
    return (fault_signals() & user_signal_bit(signal)) && info->si_code > 0;
}

/* A fault of our own: as if there were no handler. The instruction is executed again. */
static void die_of_bug(int signal, const ucontext_t *context)
{
    char text[128];
    struct kernel_action action = {.handler = 0};
    int len =
        snprintf(text, sizeof text, "bug: signal %d in the translator at %#llx, address %#llx\n",
                 signal, (unsigned long long)context->uc_mcontext.gregs[REG_RIP],
                 (unsigned long long)context->uc_mcontext.gregs[REG_CR2]);

    if (write(STDERR_FILENO, text, (size_t)len) < 0) {
        /* nobody to tell */
    }
    syscall(SYS_rt_sigaction, signal, &action, NULL, sizeof action.mask);
}

static void note(struct user_thread *thread, int signal, const siginfo_t *info, ucontext_t *context)
{
    uint64_t bit = user_signal_bit(signal);

    if (!(__atomic_load_n(&thread->pending, __ATOMIC_SEQ_CST) & bit)) {
        thread->info[signal - 1] = *info;
        __atomic_fetch_or(&thread->pending, bit, __ATOMIC_SEQ_CST);
    }
    if (thread->mask & bit) {
        return; /* an open one that the guest blocks */
    }
    uint64_t mask = ~user_signals_open();
    memcpy(&context->uc_sigmask, &mask, sizeof mask); /* the kernel's set has 8 bytes */
    __atomic_store_n(&thread->attention, 1, __ATOMIC_SEQ_CST);
    user_access_abort(context);
    vcpu_interrupt(thread->vcpu);
}

static bool is_write_fault(int signal, const siginfo_t *info, const ucontext_t *context)
{
    return signal == SIGSEGV && info->si_code == SEGV_ACCERR &&
           context->uc_mcontext.gregs[REG_TRAPNO] == PAGE_FAULT &&
           (context->uc_mcontext.gregs[REG_ERR] & WRITE_FAULT);
}

static void host_handler(int signal, siginfo_t *info, void *opaque)
{
    struct user_thread *thread = user_self();
    ucontext_t *context = opaque;
    int saved = errno;

    if (thread && (user_toggle_take(thread, signal, info) || user_toggle_ignored(thread, signal))) {
        errno = saved;
        return;
    }
    if (thread && is_write_fault(signal, info, context) &&
        user_store_fault(thread->user, (uint64_t)(uintptr_t)info->si_addr)) {
        engine_code_changed(context);
    } else {
        enum engine_signal what = engine_signal(signal, info, context);
        if (what == ENGINE_SIGNAL_HOST && is_fault(signal, info)) {
            if (!user_access_fault(context) && !user_touch_fault(signal, info, context)) {
                die_of_bug(signal, context);
            }
        } else if ((what == ENGINE_SIGNAL_HOST || what == ENGINE_SIGNAL_CODE) && thread) {
            note(thread, signal, info, context);
        }
    }
    errno = saved;
}

/* --- actions --- */

static void host_action(int signal, uint64_t handler, uint64_t flags)
{
    struct kernel_action action = {.handler = handler, .flags = flags};

    syscall(SYS_rt_sigaction, signal, &action, NULL, sizeof action.mask);
}

static bool is_ignored(int signal, const struct user_action *action);

/* Puts the guest's action on the host. */
static void apply_action(struct user *user, int signal, const struct user_action *action)
{
    uint64_t child_flags = action->flags & (SA_NOCLDSTOP | SA_NOCLDWAIT);

    if (is_open(signal)) {
        return;
    }
    if ((action->handler == (uint64_t)(uintptr_t)SIG_DFL ||
         action->handler == (uint64_t)(uintptr_t)SIG_IGN) &&
        !user_toggle_is(user, signal)) {
        host_action(signal, action->handler, child_flags);
        return;
    }
    if (is_ignored(signal, action)) { /* of toggle=: what is pending goes */
        host_action(signal, (uint64_t)(uintptr_t)SIG_IGN, 0);
    }
    engine_sigaction(user->engine, signal, host_handler);
    if (child_flags) {
        struct kernel_action set;
        syscall(SYS_rt_sigaction, signal, NULL, &set, sizeof set.mask);
        set.flags |= child_flags;
        syscall(SYS_rt_sigaction, signal, &set, NULL, sizeof set.mask);
    }
}

static bool is_ignored_by_default(int signal)
{
    return signal == SIGCHLD || signal == SIGCONT || signal == SIGURG || signal == SIGWINCH;
}

static bool is_ignored(int signal, const struct user_action *action)
{
    return action->handler == (uint64_t)(uintptr_t)SIG_IGN ||
           (action->handler == (uint64_t)(uintptr_t)SIG_DFL && is_ignored_by_default(signal));
}

bool user_signals_ignored(const struct user_thread *thread, int signal)
{
    struct user_action action = {
        .handler = __atomic_load_n(&thread->signals->action[signal - 1].handler, __ATOMIC_RELAXED)};

    return is_ignored(signal, &action);
}

static struct user_action action_of(struct user_thread *thread, int signal)
{
    struct user_signals *signals = thread->signals;

    pthread_mutex_lock(&signals->lock);
    struct user_action action = signals->action[signal - 1];
    pthread_mutex_unlock(&signals->lock);
    return action;
}

static void set_action(struct user_thread *thread, int signal, const struct user_action *action,
                       struct user_action *old)
{
    struct user_signals *signals = thread->signals;

    pthread_mutex_lock(&signals->lock);
    if (old) {
        *old = signals->action[signal - 1];
    }
    if (action) {
        signals->action[signal - 1] = *action;
        apply_action(thread->user, signal, action);
    }
    pthread_mutex_unlock(&signals->lock);
}

/* --- set-up --- */

bool user_signals_init(struct user *user, struct user_thread *thread, struct error *err)
{
    struct user_signals *signals = mem_alloc(sizeof *signals);

    pthread_mutex_init(&signals->lock, NULL);
    user->signals = thread->signals = signals;
    thread->altstack.ss_flags = SS_DISABLE;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &thread->mask, sizeof thread->mask);
    thread->mask &= ~user->options.toggles;
    thread->mask |= user->options.toggles_blocked;
    for (int signal = 1; signal <= USER_SIGNALS; signal++) {
        struct kernel_action host = {.handler = 0};
        syscall(SYS_rt_sigaction, signal, NULL, &host, sizeof host.mask);
        if (host.handler == (uint64_t)(uintptr_t)SIG_IGN) {
            signals->action[signal - 1].handler = host.handler;
        }
        if ((is_open(signal) || user_toggle_is(user, signal)) &&
            !engine_sigaction(user->engine, signal, host_handler)) {
            return error_set(err, "no handler for signal %d can be installed: %s", signal,
                             strerror(errno));
        }
    }
    return true;
}

struct user_signals *user_signals_copy(const struct user_signals *from)
{
    struct user_signals *copy = mem_alloc(sizeof *copy);

    memcpy(copy->action, from->action, sizeof copy->action);
    pthread_mutex_init(&copy->lock, NULL);
    return copy;
}

void user_signals_free(struct user_signals *signals)
{
    free(signals);
}

void user_signals_fork_child(struct user_thread *thread)
{
    pthread_mutex_init(&thread->signals->lock, NULL);
    thread->user->signals = thread->signals;
    thread->pending = 0;
    update_attention(thread);
}

void user_signals_clear_handlers(struct user_thread *thread)
{
    const struct user_action none = {.handler = (uint64_t)(uintptr_t)SIG_DFL};

    for (int signal = 1; signal <= USER_SIGNALS; signal++) {
        if (action_of(thread, signal).handler > (uint64_t)(uintptr_t)SIG_IGN) {
            set_action(thread, signal, &none, NULL);
        }
    }
}

void user_signals_give_back(int signal, siginfo_t *info)
{
    if (syscall(SYS_rt_sigqueueinfo, getpid(), signal, info) != 0) {
        kill(getpid(), signal);
    }
}

void user_signals_hand_back(struct user_thread *thread)
{
    siginfo_t info;
    int signal;

    while ((signal = user_signals_take(thread, ~UINT64_C(0), &info))) {
        if (info.si_code != SI_TKILL && info.si_code != SI_TIMER) {
            user_signals_give_back(signal, &info);
        }
    }
}

bool user_signals_stack(struct user_thread *thread)
{
    void *memory = mmap(NULL, HOST_STACK_SIZE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    stack_t stack = {.ss_sp = memory, .ss_size = HOST_STACK_SIZE};

    if (memory == MAP_FAILED) {
        return false;
    }
    thread->host_stack = memory;
    thread->host_stack_size = HOST_STACK_SIZE;
    return sigaltstack(&stack, NULL) == 0;
}

void user_signals_stack_free(struct user_thread *thread)
{
    stack_t stack = {.ss_flags = SS_DISABLE};

    if (thread->host_stack) {
        sigaltstack(&stack, NULL);
        munmap(thread->host_stack, thread->host_stack_size);
        thread->host_stack = NULL;
    }
}

static void open_actions(struct user_thread *thread, bool before)
{
    for (int signal = 1; signal <= USER_SIGNALS; signal++) {
        struct user_action action = action_of(thread, signal);
        if ((is_open(signal) || user_toggle_is(thread->user, signal)) &&
            action.handler == (uint64_t)(uintptr_t)SIG_IGN) {
            if (before) {
                host_action(signal, action.handler, 0);
            } else {
                engine_sigaction(thread->user->engine, signal, host_handler);
            }
        }
    }
}

void user_signals_before_exec(struct user_thread *thread)
{
    user_toggle_before_exec(thread);
    open_actions(thread, true);
}

void user_signals_after_exec(struct user_thread *thread)
{
    open_actions(thread, false);
    user_toggle_after_exec(thread);
}

/* --- the mask --- */

void user_signals_set_mask(struct user_thread *thread, uint64_t mask)
{
    thread->mask = mask & ~(user_signal_bit(SIGKILL) | user_signal_bit(SIGSTOP));
    update_attention(thread);
    if (!thread->attention) {
        user_signals_apply_mask(thread);
    } /* else delivery does it */
}

void user_signals_set_temporary_mask(struct user_thread *thread, uint64_t mask)
{
    if (!thread->mask_saved) {
        thread->saved_mask = thread->mask;
        thread->mask_saved = true;
    }
    thread->mask = mask & ~(user_signal_bit(SIGKILL) | user_signal_bit(SIGSTOP));
    update_attention(thread);
}

void user_signals_end_temporary_mask(struct user_thread *thread)
{
    if (thread->mask_saved && thread->restart == USER_RESTART_NONE) {
        thread->mask_saved = false;
        thread->mask = thread->saved_mask;
        update_attention(thread);
    }
}

int user_signals_take(struct user_thread *thread, uint64_t set, siginfo_t *info)
{
    uint64_t found = __atomic_load_n(&thread->pending, __ATOMIC_SEQ_CST) & set;

    if (!found) {
        return 0;
    }
    /* Faults first, as the kernel does; then the lowest. */
    int signal = __builtin_ctzll(found & fault_signals() ? found & fault_signals() : found) + 1;
    *info = thread->info[signal - 1];
    __atomic_fetch_and(&thread->pending, ~user_signal_bit(signal), __ATOMIC_SEQ_CST);
    update_attention(thread);
    return signal;
}

/* --- delivery --- */

void user_signals_die(struct user_thread *thread, int signal)
{
    uint64_t bit = user_signal_bit(signal);

    if (!thread->vfork_child) {
        user_show_unfinished();
        trace_shutdown();
    }
    host_action(signal, (uint64_t)(uintptr_t)SIG_DFL, 0);
    syscall(SYS_tgkill, getpid(), gettid(), signal);
    syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &bit, NULL, sizeof bit);
    for (;;) { /* a first process of a container cannot die by its own signal */
        syscall(SYS_exit_group, STATUS_OF_SIGNAL + signal);
    }
}

/* The call that was interrupted: again, or EINTR. */
static void restart(struct user_thread *thread, const struct user_action *action)
{
    struct ir_state *state = &thread->cpu->state;
    bool again =
        !action ||
        (thread->restart == USER_RESTART_BEGIN &&
         (thread->sleeps == '_' || (thread->sleeps == 'S' && (action->flags & SA_RESTART))));

    if (thread->restart != USER_RESTART_NONE && again) {
        state->pc -= 2; /* SYSCALL */
        state->reg[X86_RAX] = thread->restart_number;
    }
    thread->restart = USER_RESTART_NONE;
}

static void enter_handler(struct user_thread *thread, int signal, const struct user_action *action,
                          const siginfo_t *info)
{
    uint64_t mask = thread->mask_saved ? thread->saved_mask : thread->mask;

    restart(thread, action);
    if (action->flags & SA_RESETHAND) {
        struct user_action reset = *action;
        reset.handler = (uint64_t)(uintptr_t)SIG_DFL;
        set_action(thread, signal, &reset, NULL);
    }
    if (!user_frame_push(thread, signal, action, info, mask)) {
        user_signals_force_segv(thread, signal);
        return;
    }
    thread->mask_saved = false;
    thread->mask |= action->mask | (action->flags & SA_NODEFER ? 0 : user_signal_bit(signal));
    thread->mask &= ~(user_signal_bit(SIGKILL) | user_signal_bit(SIGSTOP));
}

static void stop(int signal)
{
    uint64_t bit = user_signal_bit(signal), old;

    host_action(signal, (uint64_t)(uintptr_t)SIG_DFL, 0);
    syscall(SYS_tgkill, getpid(), gettid(), signal);
    syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &bit, &old, sizeof bit);
    set_host_mask(old);
}

static void deliver(struct user_thread *thread, int signal, const siginfo_t *info)
{
    struct user_action action = action_of(thread, signal);

    trace_guest_signal(signal, info->si_code, (uint64_t)(uintptr_t)info->si_addr, action.handler);
    if (is_ignored(signal, &action)) {
        return;
    }
    if (action.handler != (uint64_t)(uintptr_t)SIG_DFL) {
        enter_handler(thread, signal, &action, info);
    } else if (signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU) {
        stop(signal);
    } else {
        user_signals_die(thread, signal);
    }
}

void user_signals_deliver(struct user_thread *thread)
{
    if (!thread->attention && !thread->mask_saved && thread->restart == USER_RESTART_NONE) {
        return;
    }
    siginfo_t info;
    bool any = thread->attention;
    while (thread->attention) {
        int signal = user_signals_take(thread, ~thread->mask, &info);
        if (signal) {
            deliver(thread, signal, &info);
        }
        update_attention(thread);
    }
    restart(thread, NULL);
    if (thread->mask_saved) {
        thread->mask_saved = false;
        thread->mask = thread->saved_mask;
        any = true;
    }
    if (any) {
        user_signals_apply_mask(thread);
        update_attention(thread);
        if (thread->attention) {
            vcpu_interrupt(thread->vcpu);
        }
    }
}

/* --- signals that come from what the guest does --- */

void user_signals_force(struct user_thread *thread, int signal, const siginfo_t *info)
{
    struct user_action action = action_of(thread, signal);

    trace_guest_signal(signal, info->si_code, (uint64_t)(uintptr_t)info->si_addr, action.handler);
    if (action.handler == (uint64_t)(uintptr_t)SIG_DFL ||
        action.handler == (uint64_t)(uintptr_t)SIG_IGN ||
        (thread->mask & user_signal_bit(signal))) {
        user_signals_die(thread, signal);
    }
    enter_handler(thread, signal, &action, info);
    user_signals_set_mask(thread, thread->mask);
}

void user_signals_force_segv(struct user_thread *thread, int failed_signal)
{
    siginfo_t info = {.si_signo = SIGSEGV, .si_code = SI_KERNEL};

    if (failed_signal == SIGSEGV) {
        user_signals_die(thread, SIGSEGV);
    }
    user_signals_force(thread, SIGSEGV, &info);
}

void user_signals_fault(struct user_thread *thread, const struct vcpu_fault *fault)
{
    siginfo_t info = {.si_signo = fault->signal, .si_code = fault->code};

    info.si_addr = (void *)(uintptr_t)fault->address; // NOLINT
    thread->trap = fault->trap;
    thread->error = fault->error;
    if (fault->trap == PAGE_FAULT) {
        thread->fault_address = fault->address;
    }
    user_signals_force(thread, fault->signal, &info);
}

/* --- the alternate stack --- */

bool user_signals_on_altstack(const struct user_thread *thread, uint64_t stack_pointer)
{
    uint64_t low = (uint64_t)(uintptr_t)thread->altstack.ss_sp;

    return !(thread->altstack.ss_flags & AUTODISARM) && stack_pointer > low &&
           stack_pointer - low <= thread->altstack.ss_size;
}

int64_t user_signals_altstack(struct user_thread *thread, const stack_t *stack, stack_t *old,
                              uint64_t stack_pointer)
{
    bool on = user_signals_on_altstack(thread, stack_pointer);

    if (old) {
        *old = thread->altstack;
        old->ss_flags = thread->altstack.ss_size == 0 ? SS_DISABLE : on ? SS_ONSTACK : 0;
        old->ss_flags |= thread->altstack.ss_flags & AUTODISARM;
    }
    if (!stack) {
        return 0;
    }
    int mode = stack->ss_flags & ~AUTODISARM;
    if (on) {
        return -EPERM;
    }
    if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0) {
        return -EINVAL;
    }
    if (mode != SS_DISABLE && stack->ss_size < ALTSTACK_MIN) {
        return -ENOMEM;
    }
    if (mode == SS_DISABLE) {
        thread->altstack = (stack_t){.ss_flags = stack->ss_flags};
    } else {
        thread->altstack = *stack;
    }
    return 0;
}

/* --- system calls --- */

USER_CALL(rt_sigaction)
{
    int signal = (int)call->args[0];
    struct user_action action, old;
    /* SA_UNSUPPORTED is how programs ask for what is supported. */
    const uint64_t known = SA_NOCLDSTOP | SA_NOCLDWAIT | SA_SIGINFO | SA_ONSTACK | SA_RESTART |
                           SA_NODEFER | (uint64_t)(unsigned)SA_RESETHAND | KERNEL_RESTORER | 0x800;

    if (call->args[3] != sizeof(uint64_t) || signal < 1 || signal > USER_SIGNALS ||
        (call->args[1] && (signal == SIGKILL || signal == SIGSTOP))) {
        return -EINVAL;
    }
    if (call->args[1] && !user_copy_in(&action, call->args[1], sizeof action)) {
        return -EFAULT;
    }
    if (call->args[1]) {
        action.flags &= known;
        action.mask &= ~(user_signal_bit(SIGKILL) | user_signal_bit(SIGSTOP));
    }
    set_action(thread, signal, call->args[1] ? &action : NULL, &old);
    if (call->args[1] && is_ignored(signal, &action)) {
        siginfo_t dropped;
        user_signals_take(thread, user_signal_bit(signal), &dropped);
    }
    return call->args[2] && !user_copy_out(call->args[2], &old, sizeof old) ? -EFAULT : 0;
}

USER_CALL(rt_sigprocmask)
{
    uint64_t set = 0, old = thread->mask;

    if (call->args[3] != sizeof set) {
        return -EINVAL;
    }
    if (call->args[1]) {
        if (!user_copy_in(&set, call->args[1], sizeof set)) {
            return -EFAULT;
        }
        switch ((int)call->args[0]) {
        case SIG_BLOCK: user_signals_set_mask(thread, old | set); break;
        case SIG_UNBLOCK: user_signals_set_mask(thread, old & ~set); break;
        case SIG_SETMASK: user_signals_set_mask(thread, set); break;
        default: return -EINVAL;
        }
    }
    return call->args[2] && !user_put_u64(call->args[2], old) ? -EFAULT : 0;
}

USER_CALL(rt_sigreturn)
{
    (void)call;
    if (!user_frame_pop(thread)) {
        user_signals_force_segv(thread, 0);
    }
    return (int64_t)thread->cpu->state.reg[X86_RAX];
}

USER_CALL(rt_sigpending)
{
    uint64_t set = 0;

    if (call->args[1] > sizeof set) {
        return -EINVAL;
    }
    syscall(SYS_rt_sigpending, &set, sizeof set);
    set |= __atomic_load_n(&thread->pending, __ATOMIC_SEQ_CST) & thread->mask;
    return user_copy_out(call->args[0], &set, call->args[1]) ? 0 : -EFAULT;
}

USER_CALL(rt_sigsuspend)
{
    uint64_t mask;

    if (call->args[1] != sizeof mask) {
        return -EINVAL;
    }
    if (!user_copy_in(&mask, call->args[0], sizeof mask)) {
        return -EFAULT;
    }
    user_signals_set_temporary_mask(thread, mask);
    mask = user_signals_host_mask(thread->mask);
    uint64_t args[6] = {(uint64_t)(uintptr_t)&mask, sizeof mask};
    return user_call_host(thread, SYS_rt_sigsuspend, args);
}

USER_CALL(rt_sigtimedwait)
{
    uint64_t set;
    siginfo_t info;

    if (call->args[3] != sizeof set) {
        return -EINVAL;
    }
    if (!user_copy_in(&set, call->args[0], sizeof set)) {
        return -EFAULT;
    }
    int signal = user_signals_take(thread, set, &info);
    if (signal) {
        return call->args[1] && !user_copy_out(call->args[1], &info, sizeof info) ? -EFAULT
                                                                                  : signal;
    }
    user_call_outputs(thread, call);
    set &= ~user_signal_bit(USER_KICK_SIGNAL); /* ours may be among those */
    uint64_t args[6] = {(uint64_t)(uintptr_t)&set, (uint64_t)(uintptr_t)&info, call->args[2],
                        sizeof set};
    struct user_toggle_call timed;
    user_toggle_call_begin(thread, &timed);
    int64_t result = user_call_host(thread, SYS_rt_sigtimedwait, args);
    while (result > 0 && user_toggle_take(thread, (int)result, &info)) {
        thread->disturbed = true;
        user_toggle_call_again(thread, &timed, SYS_rt_sigtimedwait, args);
        result = user_call_host(thread, SYS_rt_sigtimedwait, args);
    }
    return result > 0 && call->args[1] && !user_copy_out(call->args[1], &info, sizeof info)
               ? -EFAULT
               : result;
}

USER_CALL(sigaltstack)
{
    stack_t stack, old = {.ss_flags = 0};

    if (call->args[0] && !user_copy_in(&stack, call->args[0], sizeof stack)) {
        return -EFAULT;
    }
    int64_t result = user_signals_altstack(thread, call->args[0] ? &stack : NULL, &old,
                                           thread->cpu->state.reg[X86_RSP]);
    return result == 0 && call->args[1] && !user_copy_out(call->args[1], &old, sizeof old) ? -EFAULT
                                                                                           : result;
}

/* The signals that we never block cannot be read from a descriptor; the others can. */
USER_CALL(signalfd)
{
    uint64_t mask;

    if (call->args[2] != sizeof mask) {
        return -EINVAL;
    }
    if (!user_copy_in(&mask, call->args[1], sizeof mask)) {
        return -EFAULT;
    }
    if (user_descriptor_is_ours((int)call->args[0])) {
        return -EBADF;
    }
    mask = user_signals_host_mask(mask);
    if (mask & thread->user->options.toggles) {
        user_tell_once(USER_TOLD_TOGGLE,
                       "the program wants to read the signal of -trace toggle= from a descriptor "
                       "(signalfd): it does not get it there; take another for toggle=\n");
        mask &= ~thread->user->options.toggles;
    }
    uint64_t args[6] = {call->args[0], (uint64_t)(uintptr_t)&mask, sizeof mask, call->args[3]};
    return user_call_host(thread, call->number, args);
}
