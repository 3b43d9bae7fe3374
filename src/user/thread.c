/* SPDX-License-Identifier: MIT
 *
 * Threads of the guest: begin and end.
 *
 * The kernel's services for threads that end (clear_child_tid, robust mutexes) are done here, in
 * the kernel's order, since libc uses the host thread's own clear_child_tid for the host's stack.
 * The kernel knows the guest's robust list too, for the case that the thread is killed. */
#include <errno.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/memory.h"
#include "trace/probe/context.h"
#include "trace/probe/control.h"
#include "user/access.h"
#include "user/internal.h"
#include "user/seccomp.h"
#include "user/signals.h"
#include "user/syscalls.h"
#include "user/threads.h"

#include "trace-user.h"

enum {
    STACK_SIZE = 256 << 10,
    THREADS_MAX = 32768,
    ROBUST_MAX = 2048, /* entries that the kernel looks at */
    ROBUST_HEAD_SIZE = 24,
};

static _Thread_local struct user_thread *current;

struct user_thread *user_self(void)
{
    return current;
}

/* The context field `thread`: a child of vfork() runs in the thread of its parent, for whose id the
 * trace room would take it. */
static uint64_t get_thread(uint32_t *length)
{
    const struct user_thread *thread = current;

    (void)length;
    return thread ? (uint64_t)thread->tid : (uint64_t)gettid();
}

__attribute__((constructor)) static void add_context(void)
{
    static const struct trace_field field = {"thread", TRACE_UNSIGNED, "thread id"};

    trace_context_add(&field, get_thread);
}

void user_thread_enter(struct user_thread *thread)
{
    current = thread;
    trace_vcpu = thread ? vcpu_number(thread->vcpu) : -1;
    if (thread) {
        vcpu_bind(thread->vcpu);
    }
}

struct user_thread *user_thread_new(struct user *user)
{
    struct user_thread *thread = mem_alloc(sizeof *thread);

    pthread_mutex_lock(&user->process_lock);
    int number = user->thread_count < THREADS_MAX ? user->next_number++ : -1;
    pthread_mutex_unlock(&user->process_lock);
    thread->vcpu = number >= 0 ? vcpu_new(user->engine, number, NULL) : NULL;
    if (!thread->vcpu) {
        free(thread);
        return NULL;
    }
    thread->user = user;
    thread->cpu = vcpu_state(thread->vcpu);
    thread->cpu->memory = &user->memory_access;
    thread->altstack.ss_flags = SS_DISABLE;
    thread->sleeps = '_';
    pthread_mutex_lock(&user->process_lock);
    thread->next = user->threads;
    user->threads = thread;
    user->thread_count++;
    pthread_mutex_unlock(&user->process_lock);
    return thread;
}

static bool unlist(struct user_thread *thread)
{
    struct user *user = thread->user;

    pthread_mutex_lock(&user->process_lock);
    for (struct user_thread **at = &user->threads; *at; at = &(*at)->next) {
        if (*at == thread) {
            *at = thread->next;
            user->thread_count--;
            break;
        }
    }
    bool last = user->thread_count == 0;
    pthread_mutex_unlock(&user->process_lock);
    return last;
}

static void dispose(struct user_thread *thread)
{
    vcpu_free(thread->vcpu);
    free(thread);
}

void user_thread_free(struct user_thread *thread)
{
    unlist(thread);
    dispose(thread);
}

void user_cpu_copy(struct x86_cpu *to, const struct x86_cpu *from)
{
    memcpy(to->state.reg, from->state.reg, sizeof to->state.reg);
    memcpy(to->state.vector, from->state.vector, sizeof to->state.vector);
    memcpy(to->segment, from->segment, sizeof to->segment);
    to->state.pc = from->state.pc;
    to->state.flags = from->state.flags;
    to->state.thread_base = from->state.thread_base;
    to->state.other_base = from->state.other_base;
    to->system_flags = from->system_flags;
    to->xcr0 = from->xcr0;
    to->model = from->model;
}

/* --- the end --- */

static void wake(uint64_t address)
{
    syscall(SYS_futex, address, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* A mutex of a thread that ends: whoever waits is told. */
static bool release_robust(const struct user_thread *thread, uint64_t address, bool priority,
                           bool pending)
{
    uint32_t value, seen;

    if (address % sizeof value || !user_copy_in(&value, address, sizeof value)) {
        return false;
    }
    if (pending && !priority && value == 0) {
        wake(address); /* it was unlocked, but the waking was still to be done */
        return true;
    }
    while ((value & FUTEX_TID_MASK) == (uint32_t)thread->tid) {
        uint32_t dead = (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
        if (!user_compare_exchange(address, value, dead, &seen)) {
            return false;
        }
        if (seen == value) {
            if (!priority && (value & FUTEX_WAITERS)) {
                wake(address);
            }
            break;
        }
        value = seen;
    }
    return true;
}

static void release_robust_list(const struct user_thread *thread)
{
    uint64_t head[3], at, next; /* struct robust_list_head: next, offset, pending */

    if (!thread->robust_list || !user_copy_in(head, thread->robust_list, sizeof head)) {
        return;
    }
    at = head[0];
    for (unsigned i = 0; i < ROBUST_MAX && (at & ~UINT64_C(1)) != thread->robust_list; i++) {
        uint64_t entry = at & ~UINT64_C(1);
        /* The next first: the entry may go as soon as the mutex is free. */
        bool more = user_copy_in(&next, entry, sizeof next);
        if (entry != (head[2] & ~UINT64_C(1)) &&
            !release_robust(thread, entry + head[1], at & 1, false)) {
            return;
        }
        if (!more) {
            return;
        }
        at = next;
    }
    if (head[2] & ~UINT64_C(1)) {
        release_robust(thread, (head[2] & ~UINT64_C(1)) + head[1], head[2] & 1, true);
    }
}

void user_thread_leave(struct user_thread *thread)
{
    release_robust_list(thread);
    syscall(SYS_set_robust_list, NULL, (size_t)ROBUST_HEAD_SIZE);
    if (thread->clear_child_tid) {
        user_put_u32(thread->clear_child_tid, 0);
        wake(thread->clear_child_tid);
    }
}

/* Of several that want to end the process, one does. */
static void only_one(struct user *user)
{
    if (__atomic_exchange_n(&user->exiting, true, __ATOMIC_SEQ_CST)) {
        for (;;) {
            pause();
        }
    }
}

void user_exit_group(struct user_thread *thread, int status)
{
    user_signals_block();
    if (!thread->vfork_child) {
        only_one(thread->user);
        exit(status);
    }
    for (;;) {
        syscall(SYS_exit_group, status);
    }
}

USER_CALL(exit_group)
{
    thread->exit_status = (int)call->args[0] & 0xff;
    if (!thread->is_main || thread->vfork_child) {
        user_exit_group(thread, thread->exit_status);
    }
    user_signals_block();
    only_one(thread->user);
    thread->ending = true; /* user_run() returns */
    return 0;
}

/* The first thread ends, others go on: the kernel keeps its status for the end of the process. */
static void main_exits(struct user_thread *thread)
{
    user_thread_leave(thread);
    user_signals_hand_back(thread);
    for (;;) {
        syscall(SYS_exit, thread->exit_status);
    }
}

USER_CALL(exit)
{
    thread->exit_status = (int)call->args[0] & 0xff;
    user_signals_block();
    if (thread->vfork_child) {
        user_exit_group(thread, thread->exit_status);
    }
    if (thread->is_main) {
        if (!unlist(thread)) {
            main_exits(thread);
        }
        only_one(thread->user);
    }
    thread->ending = true;
    return 0;
}

/* --- the beginning --- */

/* What the parent tells, in its own frame: gone once `ready` is set. */
struct start {
    struct user_thread *thread;
    const struct user_clone *clone;
    uint32_t ready;
    pid_t tid; /* or -errno */
};

static void tell_parent(struct start *start, pid_t tid)
{
    start->tid = tid;
    __atomic_store_n(&start->ready, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &start->ready, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void wait_for_child(struct start *start)
{
    while (!__atomic_load_n(&start->ready, __ATOMIC_SEQ_CST)) {
        syscall(SYS_futex, &start->ready, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
    }
}

static void set_tids(const struct user_thread *thread, const struct user_clone *clone)
{
    if (clone->flags & CLONE_PARENT_SETTID) {
        user_put_u32(clone->parent_tid, (uint32_t)thread->tid);
    }
    if (clone->flags & CLONE_CHILD_SETTID) {
        user_put_u32(clone->child_tid, (uint32_t)thread->tid);
    }
}

/* What threads do not share though others do. */
static void stop_sharing(uint64_t flags)
{
    int apart = (flags & CLONE_FS ? 0 : CLONE_FS) | (flags & CLONE_FILES ? 0 : CLONE_FILES) |
                (flags & CLONE_SYSVSEM ? 0 : CLONE_SYSVSEM);

    if (apart) {
        syscall(SYS_unshare, apart);
    }
}

static void end_thread(struct user_thread *thread)
{
    user_signals_block();
    user_thread_leave(thread);
    user_signals_hand_back(thread);
    struct user *user = thread->user;
    if (unlist(thread)) { /* the last one, and the first has ended before */
        only_one(user);
        trace_shutdown();
        for (;;) {
            syscall(SYS_exit, thread->exit_status);
        }
    }
    user_signals_stack_free(thread);
    current = NULL;
    trace_vcpu = -1;
    dispose(thread);
}

static void *thread_main(void *opaque)
{
    struct start *start = opaque;
    struct user_thread *thread = start->thread;

    if (!user_signals_stack(thread)) {
        tell_parent(start, -EAGAIN);
        return NULL;
    }
    user_thread_enter(thread);
    __atomic_store_n(&thread->tid, gettid(), __ATOMIC_RELEASE);
    stop_sharing(start->clone->flags);
    set_tids(thread, start->clone);
    tell_parent(start, thread->tid); /* `start` is gone */
    user_signals_apply_mask(thread);
    user_thread_loop(thread);
    end_thread(thread);
    return NULL;
}

static bool create(struct start *start)
{
    pthread_attr_t attr;

    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    bool ok = pthread_create(&start->thread->pthread, &attr, thread_main, start) == 0;
    pthread_attr_destroy(&attr);
    return ok;
}

void user_thread_inherit(struct user_thread *child, struct user_thread *thread,
                         const struct user_clone *clone)
{
    user_cpu_copy(child->cpu, thread->cpu);
    child->cpu->state.reg[X86_RAX] = 0;
    if (clone->stack) {
        child->cpu->state.reg[X86_RSP] = clone->stack;
    }
    if (clone->flags & CLONE_SETTLS) {
        child->cpu->state.thread_base = clone->tls;
    }
    if (clone->flags & CLONE_CHILD_CLEARTID) {
        child->clear_child_tid = clone->child_tid;
    }
    child->mask = thread->mask;
    user_seccomp_inherit(child, thread);
}

int64_t user_clone_thread(struct user_thread *thread, const struct user_clone *clone)
{
    struct user_thread *child = user_thread_new(thread->user);
    struct start start = {.thread = child, .clone = clone};

    if (!child) {
        return -EAGAIN;
    }
    user_thread_inherit(child, thread, clone);
    child->signals = thread->signals;
    user_signals_block();
    bool created = create(&start);
    if (created) {
        wait_for_child(&start);
    }
    if (!created || start.tid < 0) {
        start.tid = -EAGAIN;
        user_thread_free(child);
    }
    if (!thread->attention) {
        user_signals_apply_mask(thread);
    }
    trace_guest_thread(start.tid, clone->flags);
    return start.tid;
}

USER_CALL(set_tid_address)
{
    thread->clear_child_tid = call->args[0];
    return thread->tid;
}

USER_CALL(set_robust_list)
{
    if (call->args[1] != ROBUST_HEAD_SIZE) {
        return -EINVAL;
    }
    thread->robust_list = call->args[0];
    thread->robust_size = call->args[1];
    return user_call_host(thread, call->number, call->args);
}

USER_CALL(get_robust_list)
{
    if (call->args[0] != 0 && (pid_t)call->args[0] != thread->tid) {
        return call_pass(thread, call);
    }
    return user_put_u64(call->args[2], ROBUST_HEAD_SIZE) &&
                   user_put_u64(call->args[1], thread->robust_list)
               ? 0
               : -EFAULT;
}
