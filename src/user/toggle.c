/* SPDX-License-Identifier: MIT
 *
 * Signals that switch events; see toggle.h. */
#include "user/toggle.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "base/memory.h"
#include "trace/probe/event.h"
#include "user/access.h"
#include "user/internal.h"
#include "user/signals.h"

enum {
    STACK_SIZE = 256 << 10,
    LOOK_AGAIN_NS = 10 * 1000 * 1000, /* at a signal that the guest has yet to get */
    LOOK_CLOSER = 20,                 /* of so many times */
    MILLISECOND_NS = 1000 * 1000,
    SECOND_NS = 1000 * 1000 * 1000,
};

/* --- which signals --- */

bool user_toggle_check(int signal, struct error *err)
{
    const uint64_t job_control = user_signal_bit(SIGCHLD) | user_signal_bit(SIGCONT) |
                                 user_signal_bit(SIGTSTP) | user_signal_bit(SIGTTIN) |
                                 user_signal_bit(SIGTTOU);

    if (signal == SIGKILL || signal == SIGSTOP) {
        return error_set(err, "this signal cannot be caught by any program; take another");
    }
    if (user_signals_open() & user_signal_bit(signal)) {
        return error_set(err, "the translator uses this signal itself (faults are known by it, or "
                              "threads are stopped by it); take another");
    }
    if (signal > SIGSYS && signal < SIGRTMIN) {
        return error_set(err, "the C library uses this signal itself; take another");
    }
    if (job_control & user_signal_bit(signal)) {
        return error_set(err, "this signal stops and continues programs or tells of their end; "
                              "take another");
    }
    return true;
}

static uint64_t toggles_of(const struct user *user)
{
    return user->options.toggles;
}

bool user_toggle_is(const struct user *user, int signal)
{
    return toggles_of(user) & user_signal_bit(signal);
}

static bool is_from_outside(const siginfo_t *info)
{
    return (info->si_code == SI_USER || info->si_code == SI_QUEUE || info->si_code == SI_TKILL) &&
           info->si_pid != getpid();
}

void user_toggle_prepare(struct user_options *options)
{
    uint64_t old, on;

    options->toggles = trace_switches();
    if (!options->toggles) {
        return;
    }
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, &options->toggles, &old, sizeof old);
    if (!options->toggles_told) { /* else the program before us has said so */
        options->toggles_blocked = old & options->toggles;
    }
    for (on = options->toggles_on & options->toggles; on; on &= on - 1) {
        trace_switch((unsigned)__builtin_ctzll(on) + 1, true);
    }
}

/* --- the thread that waits --- */

static int wait_for(uint64_t set, const struct timespec *timeout, siginfo_t *info)
{
    return (int)syscall(SYS_rt_sigtimedwait, &set, info, timeout, sizeof set);
}

static void turn(int signal)
{
    unsigned number = (unsigned)signal;

    trace_switch(number, !(trace_switches_on() & user_signal_bit(signal)));
}

/* The guest's thread that asks us to leave a signal alone (user_toggle_before_call()). */
static bool asks(const struct user *user, const siginfo_t *info)
{
    return info->si_code == SI_QUEUE && info->si_pid == getpid() && info->si_ptr == user;
}

/* All of a signal that is pending: what is from outside is taken, the rest given back in its order.
 * True if there was a rest. `first` may be one that was taken already, or NULL. */
static bool sort_out(const struct user *user, int signal, const siginfo_t *first)
{
    const struct timespec now = {0};
    siginfo_t *kept = NULL, info;
    size_t count = 0;

    for (bool any = first != NULL;; any = false) {
        if (any) {
            info = *first;
        } else if (wait_for(user_signal_bit(signal), &now, &info) != signal) {
            break;
        }
        if (is_from_outside(&info)) {
            turn(signal);
        } else if (!asks(user, &info)) {
            kept = mem_resize(kept, count + 1, sizeof *kept);
            kept[count++] = info;
        }
    }
    for (size_t i = 0; i < count; i++) {
        user_signals_give_back(signal, &kept[i]);
    }
    free(kept);
    return count > 0;
}

static bool is_away(const struct user *user, int signal)
{
    return __atomic_load_n(&user->toggle_away[(signal - 1) / 32], __ATOMIC_SEQ_CST) >>
               (signal - 1) % 32 &
           1;
}

static void set_away(struct user *user, int signal, bool away)
{
    uint32_t *word = &user->toggle_away[(signal - 1) / 32], bit = UINT32_C(1) << (signal - 1) % 32;

    if (away) {
        __atomic_fetch_or(word, bit, __ATOMIC_SEQ_CST);
        syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
    } else {
        __atomic_fetch_and(word, ~bit, __ATOMIC_SEQ_CST);
    }
}

/* Looks whether the guest has got what was left to it. What is pending cannot be looked at without
 * taking it for a moment: that is done now and then only, since what is pending may be from outside
 * by now. */
static void look_again(struct user *user, uint64_t away, unsigned turn_number)
{
    uint64_t pending = 0;

    syscall(SYS_rt_sigpending, &pending, sizeof pending);
    for (; away; away &= away - 1) {
        int signal = __builtin_ctzll(away) + 1;
        if (!(pending & user_signal_bit(signal)) ||
            (turn_number % LOOK_CLOSER == 0 && !sort_out(user, signal, NULL))) {
            set_away(user, signal, false);
        }
    }
}

static void *toggle_main(void *opaque)
{
    struct user *user = opaque;
    const struct timespec nap = {0, LOOK_AGAIN_NS};

    __atomic_store_n(&user->toggle_tid, gettid(), __ATOMIC_RELEASE);
    for (unsigned n = 1;; n++) {
        siginfo_t info;
        uint64_t away = __atomic_load_n(&user->toggle_away[0], __ATOMIC_SEQ_CST) |
                        (uint64_t)__atomic_load_n(&user->toggle_away[1], __ATOMIC_SEQ_CST) << 32;
        int signal = wait_for(toggles_of(user) & ~away, away ? &nap : NULL, &info);
        if (signal > 0 && (asks(user, &info) || sort_out(user, signal, &info))) {
            set_away(user, signal, true);
        }
        if (signal < 0 && away) {
            look_again(user, away, n);
        }
    }
    return NULL;
}

void user_toggle_before_call(struct user *user, uint64_t number, const uint64_t args[6])
{
    const struct timespec moment = {0, LOOK_AGAIN_NS};
    bool to_thread = number == SYS_tgkill || number == SYS_rt_tgsigqueueinfo;
    int signal = (int)args[to_thread ? 2 : 1];
    siginfo_t ask = {.si_code = SI_QUEUE};

    if ((!to_thread && number != SYS_kill && number != SYS_tkill && number != SYS_rt_sigqueueinfo &&
         number != SYS_pidfd_send_signal) ||
        signal < 1 || signal > USER_SIGNALS || !user_toggle_is(user, signal)) {
        return;
    }
    ask.si_signo = signal;
    ask.si_pid = getpid();
    ask.si_ptr = user;
    uint32_t *word = &user->toggle_away[(signal - 1) / 32];
    /* A little while, should that thread not be there. */
    for (int tries = 0; tries < 10 && !is_away(user, signal); tries++) {
        uint32_t seen = __atomic_load_n(word, __ATOMIC_SEQ_CST);
        if (syscall(SYS_rt_tgsigqueueinfo, getpid(),
                    __atomic_load_n(&user->toggle_tid, __ATOMIC_ACQUIRE), signal, &ask) != 0) {
            break;
        }
        if (!is_away(user, signal)) {
            syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, &moment, NULL, 0);
        }
    }
}

void user_toggle_start(struct user *user)
{
    pthread_attr_t attr;
    pthread_t thread;

    user->toggle_tid = 0;
    user->toggle_away[0] = user->toggle_away[1] = 0;
    if (!toggles_of(user)) {
        return;
    }
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    if (pthread_create(&thread, &attr, toggle_main, user) == 0) {
        pthread_setname_np(thread, "trace-toggle");
    }
    pthread_attr_destroy(&attr);
}

void user_toggle_forked(struct user *user)
{
    if (toggles_of(user)) {
        trace_switches_forked();
        user_toggle_start(user);
    }
}

/* --- in the handler --- */

bool user_toggle_take(struct user_thread *thread, int signal, const siginfo_t *info)
{
    struct user *user = thread->user;

    if (!user_toggle_is(user, signal) || !is_from_outside(info)) {
        return false;
    }
    thread->disturbed = true;
    /* A child of vfork() is not what was meant to be watched yet. */
    if (!thread->vfork_child) {
        siginfo_t passed = *info;
        passed.si_code = SI_QUEUE; /* the kernel's own codes may not be sent to another thread */
        syscall(SYS_rt_tgsigqueueinfo, getpid(),
                __atomic_load_n(&user->toggle_tid, __ATOMIC_ACQUIRE), signal, &passed);
    }
    return true;
}

bool user_toggle_ignored(struct user_thread *thread, int signal)
{
    bool ignored = user_toggle_is(thread->user, signal) && user_signals_ignored(thread, signal);

    thread->disturbed = thread->disturbed || ignored;
    return ignored;
}

/* --- programs that the guest starts --- */

void user_toggle_before_exec(struct user_thread *thread)
{
    uint64_t set = toggles_of(thread->user);

    if (set && !thread->user->options.native_children) {
        syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, NULL, sizeof set);
    }
}

void user_toggle_after_exec(struct user_thread *thread)
{
    if (toggles_of(thread->user) && !thread->attention) {
        user_signals_apply_mask(thread);
    }
}

void user_toggle_words(const struct user_thread *thread, char *to, unsigned size)
{
    uint64_t set = toggles_of(thread->user);

    *to = 0;
    if (set) {
        snprintf(to, size, "%#llx,%#llx", (unsigned long long)trace_switches_on(),
                 (unsigned long long)(thread->mask & set));
    }
}

/* --- system calls that are interrupted for nothing --- */

enum timeout { MILLISECONDS, TIMESPEC, TIMESPEC_UNLESS_ABSOLUTE, TIMESPEC_OF_WAIT };

/* Calls whose time begins anew when they are made again. The others have none, keep what is left of
 * it themselves, or have a point in time. */
static const struct {
    uint16_t number;
    uint8_t argument;
    uint8_t timeout;
} timed[] = {
    {SYS_poll, 2, MILLISECONDS},        {SYS_epoll_wait, 3, MILLISECONDS},
    {SYS_epoll_pwait, 3, MILLISECONDS}, {SYS_nanosleep, 0, TIMESPEC},
    {SYS_rt_sigtimedwait, 2, TIMESPEC}, {SYS_semtimedop, 3, TIMESPEC},
    {SYS_io_getevents, 4, TIMESPEC},    {SYS_io_pgetevents, 4, TIMESPEC},
    {SYS_epoll_pwait2, 3, TIMESPEC},    {SYS_clock_nanosleep, 2, TIMESPEC_UNLESS_ABSOLUTE},
    {SYS_futex, 3, TIMESPEC_OF_WAIT},
};

static int64_t passed_since(const struct timespec *begin)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)(now.tv_sec - begin->tv_sec) * SECOND_NS + now.tv_nsec - begin->tv_nsec;
}

static bool is_relative(uint8_t timeout, const uint64_t args[6])
{
    switch (timeout) {
    case TIMESPEC_UNLESS_ABSOLUTE:
        return !(args[1] & TIMER_ABSTIME) && args[0] != CLOCK_PROCESS_CPUTIME_ID;
    case TIMESPEC_OF_WAIT: return ((int)args[1] & FUTEX_CMD_MASK) == FUTEX_WAIT;
    default: return true;
    }
}

/* The time that the call was to take; -1: for ever, or it cannot be read. */
static int64_t whole_time(uint8_t timeout, uint64_t argument)
{
    struct timespec time;

    if (timeout == MILLISECONDS) {
        return (int)argument < 0 ? -1 : (int64_t)(int)argument * MILLISECOND_NS;
    }
    if (!argument || !user_copy_in(&time, argument, sizeof time) || time.tv_sec > INT32_MAX) {
        return -1; /* longer than 68 years is for ever */
    }
    return (int64_t)time.tv_sec * SECOND_NS + time.tv_nsec;
}

static void shorten(struct user_toggle_call *state, uint8_t timeout, uint64_t *argument)
{
    if (!state->known) {
        state->known = true;
        state->whole = whole_time(timeout, *argument);
    }
    if (state->whole < 0) {
        return;
    }
    int64_t passed = passed_since(&state->begin);
    int64_t left = state->whole > passed ? state->whole - passed : 0;
    if (timeout == MILLISECONDS) {
        *argument = (uint64_t)((left + MILLISECOND_NS - 1) / MILLISECOND_NS);
    } else {
        state->left = (struct timespec){left / SECOND_NS, left % SECOND_NS};
        *argument = (uint64_t)(uintptr_t)&state->left;
    }
}

void user_toggle_call_begin(struct user_thread *thread, struct user_toggle_call *state)
{
    if (toggles_of(thread->user)) {
        clock_gettime(CLOCK_MONOTONIC, &state->begin);
        state->known = false;
        thread->disturbed = false;
    }
}

bool user_toggle_call_again(struct user_thread *thread, struct user_toggle_call *state,
                            uint64_t number, uint64_t args[6])
{
    if (!thread->disturbed || thread->attention || thread->sleeps == '_') {
        return false;
    }
    thread->disturbed = false;
    for (size_t i = 0; i < sizeof timed / sizeof *timed; i++) {
        if (timed[i].number == number && is_relative(timed[i].timeout, args)) {
            shorten(state, timed[i].timeout, &args[timed[i].argument]);
        }
    }
    return true;
}
