/* SPDX-License-Identifier: MIT
 *
 * Children: clone() and its relatives, execve().
 *
 * fork       libc's fork(), so that the other rooms' locks are in order in the child. Only with
 * flags that libc cannot ask for, the kernel is asked directly. vfork      the child shares our
 * memory; see threads.h. What it changes in its struct user_thread is its own, signal actions too.
 * CLONE_VM   without CLONE_THREAD or CLONE_VFORK: a second process in one address space that runs
 * at the same time. Refused: the host's libc would share its thread-local state. */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/strbuf.h"
#include "user/access.h"
#include "user/internal.h"
#include "user/seccomp.h"
#include "user/signals.h"
#include "user/syscalls.h"
#include "user/threads.h"
#include "user/toggle.h"

#include "trace-user.h"

enum {
    EXIT_SIGNAL_BITS = 0xff,
    ARGUMENTS_MAX = 1 << 20,        /* strings of argv and envp together */
    ARGUMENT_BYTES_MAX = 128 << 10, /* MAX_ARG_STRLEN */
    ARGUMENTS_BYTES_MAX = 8 << 20,  /* more than the kernel takes */
};

/* Flags that are ours to carry out, not the kernel's. */
#define OWN_FLAGS                                                                     \
    (CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | \
     CLONE_CLEAR_SIGHAND)

/* --- what the host is asked --- */

/* Arguments of clone() or clone3() for the host, in memory that the caller keeps. */
struct host_clone {
    uint64_t number;
    uint64_t args[6];
    struct clone_args long_args;
    int32_t pidfd;
};

static void prepare_host_clone(struct host_clone *host, const struct user_clone *clone,
                               uint64_t flags, uint64_t child_tid)
{
    *host = (struct host_clone){.pidfd = -1};
    if (flags >> 32 || clone->set_tid_size || clone->flags & CLONE_INTO_CGROUP) {
        host->long_args = (struct clone_args){
            .flags = flags,
            .pidfd = (uint64_t)(uintptr_t)&host->pidfd,
            .child_tid = child_tid,
            .exit_signal = clone->exit_signal,
            .set_tid = clone->set_tid,
            .set_tid_size = clone->set_tid_size,
            .cgroup = clone->cgroup,
        };
        host->number = SYS_clone3;
        host->args[0] = (uint64_t)(uintptr_t)&host->long_args;
        host->args[1] = sizeof host->long_args;
        return;
    }
    host->number = SYS_clone;
    host->args[0] = flags | clone->exit_signal;
    host->args[2] = (uint64_t)(uintptr_t)&host->pidfd; /* with CLONE_PIDFD */
    host->args[3] = child_tid;
}

/* --- fork --- */

static bool libc_can(const struct user_clone *clone)
{
    return !(clone->flags & ~(uint64_t)OWN_FLAGS) && clone->exit_signal == SIGCHLD &&
           !clone->set_tid_size;
}

/* libc keeps the thread's id where the kernel clears it at the thread's end. */
static uint64_t libc_tid_address(void)
{
    uint64_t address = 0;

    return prctl(PR_GET_TID_ADDRESS, &address, 0, 0, 0) == 0 ? address : 0;
}

static int64_t host_fork(struct user_thread *thread, const struct user_clone *clone)
{
    struct host_clone host;

    if (libc_can(clone)) {
        pid_t pid = fork();
        return pid < 0 ? -errno : pid;
    }
    uint64_t tid = libc_tid_address(), flags = clone->flags & ~(uint64_t)OWN_FLAGS;
    if (tid) {
        flags |= CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
    }
    prepare_host_clone(&host, clone, flags, tid);
    const uint64_t never = 0;
    int64_t pid = user_call_raw(&never, host.number, host.args);
    if (pid > 0 && (clone->flags & CLONE_PIDFD)) {
        user_unwatch(thread->user, clone->pidfd, sizeof host.pidfd);
        user_put_u32(clone->pidfd, (uint32_t)host.pidfd);
    }
    return pid;
}

/* Other threads are not in the child: nor are their CPUs, which the engine has forgotten. */
static void forget_other_threads(struct user_thread *thread)
{
    struct user *user = thread->user;

    pthread_mutex_init(&user->process_lock, NULL);
    for (struct user_thread *other = user->threads, *next; other; other = next) {
        next = other->next;
        if (other != thread) {
            free(other);
        }
    }
    thread->next = NULL;
    user->threads = thread;
    user->thread_count = 1;
    user->exiting = false;
}

static void child_of_fork(struct user_thread *thread, const struct user_clone *clone)
{
    user_memory_fork_child(thread->user);
    user_show_forked();
    engine_fork_child(thread->user->engine, thread->vcpu);
    forget_other_threads(thread);
    thread->tid = gettid();
    thread->vfork_child = false;
    user_thread_enter(thread);
    user_signals_fork_child(thread);
    if (clone->flags & CLONE_CLEAR_SIGHAND) {
        user_signals_clear_handlers(thread);
    }
    thread->robust_list = 0;
    syscall(SYS_set_robust_list, NULL, (size_t)24);
    thread->clear_child_tid = clone->flags & CLONE_CHILD_CLEARTID ? clone->child_tid : 0;
    if (clone->flags & CLONE_CHILD_SETTID) {
        user_put_u32(clone->child_tid, (uint32_t)thread->tid);
    }
    if (clone->flags & CLONE_SETTLS) {
        thread->cpu->state.thread_base = clone->tls;
    }
    if (clone->stack) {
        thread->cpu->state.reg[X86_RSP] = clone->stack;
    }
}

/* A child that shares our descriptors takes one of them over (the engine's copy of its code): its
 * parent may not close it before. A word that both see; NULL where nobody has to wait. */
static uint32_t *share_word(const struct user_clone *clone)
{
    void *word = clone->flags & CLONE_FILES ? mmap(NULL, USER_PAGE, PROT_READ | PROT_WRITE,
                                                   MAP_SHARED | MAP_ANONYMOUS, -1, 0)
                                            : MAP_FAILED;

    return word == MAP_FAILED ? NULL : word;
}

static void tell_parent(uint32_t *word)
{
    if (word) {
        __atomic_store_n(word, 1, __ATOMIC_SEQ_CST);
        syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
        munmap(word, USER_PAGE);
    }
}

static void wait_for_child(uint32_t *word, int64_t pid)
{
    const struct timespec moment = {0, 10000000};

    if (!word) {
        return;
    }
    /* A child that is killed at once tells nothing. */
    for (int tries = 0; pid > 0 && tries < 100 && !__atomic_load_n(word, __ATOMIC_SEQ_CST);
         tries++) {
        syscall(SYS_futex, word, FUTEX_WAIT, 0, &moment, NULL, 0);
    }
    munmap(word, USER_PAGE);
}

static int64_t user_fork(struct user_thread *thread, const struct user_clone *clone)
{
    struct user *user = thread->user;
    uint32_t *word = share_word(clone);

    user_signals_block();
    pthread_mutex_lock(&user->process_lock);
    engine_fork_prepare(user->engine);
    user_memory_fork_prepare(user);
    int64_t pid = host_fork(thread, clone);
    if (pid == 0) {
        child_of_fork(thread, clone);
        tell_parent(word);
        user_toggle_forked(user);
        user_signals_apply_mask(thread);
        return 0;
    }
    wait_for_child(word, pid);
    user_memory_fork_parent(user);
    engine_fork_parent(user->engine);
    pthread_mutex_unlock(&user->process_lock);
    if (pid > 0 && (clone->flags & CLONE_PARENT_SETTID)) {
        user_put_u32(clone->parent_tid, (uint32_t)pid);
    }
    if (!thread->attention) {
        user_signals_apply_mask(thread);
    }
    return pid;
}

/* --- vfork --- */

struct vfork_start {
    struct user_thread *child;
    const struct user_clone *clone;
};

static void vfork_child(void *opaque)
{
    const struct vfork_start *start = opaque;
    struct user_thread *child = start->child;
    const struct user_clone *clone = start->clone;

    child->tid = gettid();
    user_thread_enter(child);
    if (clone->flags & CLONE_PARENT_SETTID) {
        user_put_u32(clone->parent_tid, (uint32_t)child->tid);
    }
    if (clone->flags & CLONE_CHILD_SETTID) {
        user_put_u32(clone->child_tid, (uint32_t)child->tid);
    }
    if (clone->flags & CLONE_CLEAR_SIGHAND) {
        user_signals_clear_handlers(child);
    }
    user_signals_apply_mask(child);
    user_thread_loop(child);
    user_exit_group(child, child->exit_status);
}

static struct user_thread *new_vfork_child(struct user_thread *thread,
                                           const struct user_clone *clone)
{
    struct user_thread *child = user_thread_new(thread->user);

    if (!child) {
        return NULL;
    }
    user_thread_inherit(child, thread, clone);
    child->vfork_child = true;
    child->pthread = thread->pthread;
    child->altstack = thread->altstack; /* kept, unlike a thread's */
    child->signals =
        clone->flags & CLONE_SIGHAND ? thread->signals : user_signals_copy(thread->signals);
    return child;
}

static int64_t user_vfork(struct user_thread *thread, const struct user_clone *clone)
{
    struct vfork_start start = {.child = new_vfork_child(thread, clone), .clone = clone};
    struct user_thread *child = start.child;
    struct host_clone host;

    if (!child) {
        return -EAGAIN;
    }
    prepare_host_clone(&host, clone, clone->flags & ~(uint64_t)OWN_FLAGS, 0);
    user_signals_block();
    int64_t pid = user_call_vfork(host.number, host.args, vfork_child, &start);
    user_thread_enter(thread);
    if (pid > 0 && (clone->flags & CLONE_PIDFD)) {
        user_put_u32(clone->pidfd, (uint32_t)host.pidfd);
    }
    if (pid > 0 && child->clear_child_tid) { /* which execve() does too */
        user_put_u32(child->clear_child_tid, 0);
        syscall(SYS_futex, child->clear_child_tid, FUTEX_WAKE, 1, NULL, NULL, 0);
    }
    if (child->signals != thread->signals) {
        user_signals_free(child->signals);
    }
    free(child->exec_memory);
    user_thread_free(child);
    if (!thread->attention) {
        user_signals_apply_mask(thread);
    }
    return pid;
}

/* --- clone --- */

int64_t user_clone_process(struct user_thread *thread, const struct user_clone *clone)
{
    bool vm = clone->flags & CLONE_VM;

    if (vm && !(clone->flags & CLONE_VFORK)) {
        user_tell_once(USER_TOLD_CLONE_VM,
                       "the program wants a process that shares its memory and runs beside it "
                       "(CLONE_VM without CLONE_THREAD or CLONE_VFORK), which is not supported: it "
                       "gets EINVAL\n");
        return -EINVAL;
    }
    int64_t pid = vm ? user_vfork(thread, clone) : user_fork(thread, clone);
    if (pid > 0) {
        trace_guest_fork((int)pid, clone->flags);
    }
    return pid;
}

int64_t user_clone(struct user_thread *thread, const struct user_clone *clone)
{
    uint64_t flags = clone->flags;

    /* As the kernel checks them. */
    if (((flags & CLONE_SIGHAND) && !(flags & CLONE_VM)) ||
        ((flags & CLONE_THREAD) && !(flags & CLONE_SIGHAND)) ||
        ((flags & CLONE_CLEAR_SIGHAND) && (flags & CLONE_SIGHAND)) ||
        clone->exit_signal > USER_SIGNALS) {
        return -EINVAL;
    }
    if (!(flags & CLONE_THREAD)) {
        return user_clone_process(thread, clone);
    }
    if (flags & (CLONE_NEWUSER | CLONE_NEWPID | CLONE_PIDFD | CLONE_VFORK) || clone->set_tid_size) {
        return -EINVAL;
    }
    return user_clone_thread(thread, clone);
}

USER_CALL(clone)
{
    const uint64_t *args = call->args;
    struct user_clone clone = {
        .flags = (args[0] & UINT32_MAX) & ~(uint64_t)EXIT_SIGNAL_BITS & ~(uint64_t)CLONE_DETACHED,
        .exit_signal = args[0] & EXIT_SIGNAL_BITS,
        .stack = args[1],
        .parent_tid = args[2],
        .pidfd = args[2],
        .child_tid = args[3],
        .tls = args[4],
    };

    return user_clone(thread, &clone);
}

USER_CALL(clone3)
{
    struct clone_args from = {0};
    uint64_t size = call->args[1];

    if (size < CLONE_ARGS_SIZE_VER0 || size > USER_PAGE) {
        return size < CLONE_ARGS_SIZE_VER0 ? -EINVAL : -E2BIG;
    }
    /* What newer programs may add must be 0. */
    uint8_t rest[USER_PAGE] = {0};
    size_t known = size < sizeof from ? size : sizeof from;
    if (!user_copy_in(&from, call->args[0], known) ||
        !user_copy_in(rest, call->args[0] + known, size - known)) {
        return -EFAULT;
    }
    for (size_t i = 0; i < size - known; i++) {
        if (rest[i]) {
            return -E2BIG;
        }
    }
    if ((from.flags & (EXIT_SIGNAL_BITS | CLONE_DETACHED)) || (!from.stack != !from.stack_size)) {
        return -EINVAL;
    }
    struct user_clone clone = {
        .flags = from.flags,
        .pidfd = from.pidfd,
        .child_tid = from.child_tid,
        .parent_tid = from.parent_tid,
        .exit_signal = from.exit_signal,
        .stack = from.stack ? from.stack + from.stack_size : 0,
        .tls = from.tls,
        .set_tid = from.set_tid,
        .set_tid_size = from.set_tid_size,
        .cgroup = from.cgroup,
    };
    return user_clone(thread, &clone);
}

USER_CALL(fork)
{
    const struct user_clone clone = {.exit_signal = SIGCHLD};

    (void)call;
    return user_clone(thread, &clone);
}

USER_CALL(vfork)
{
    const struct user_clone clone = {.flags = CLONE_VM | CLONE_VFORK, .exit_signal = SIGCHLD};

    (void)call;
    return user_clone(thread, &clone);
}

/* --- execve --- */

/* Strings of argv or envp behind each other, and where each begins. */
struct strings {
    struct strbuf bytes;
    struct strbuf offsets; /* of size_t */
};

/* Appends an array of strings of the guest: 0, or -errno. NULL is an empty array. */
static int64_t add_strings(struct strings *to, uint64_t array)
{
    char *string = mem_alloc(ARGUMENT_BYTES_MAX);
    int64_t result = 0;

    for (uint64_t address; array && result == 0; array += sizeof address) {
        if (!user_copy_in(&address, array, sizeof address)) {
            result = -EFAULT;
        }
        if (result || !address) {
            break;
        }
        int64_t length = user_copy_string(string, address, ARGUMENT_BYTES_MAX);
        if (length == -ENAMETOOLONG || to->bytes.len > ARGUMENTS_BYTES_MAX ||
            to->offsets.len > ARGUMENTS_MAX * sizeof(size_t)) {
            length = -E2BIG;
        }
        if (length < 0) {
            result = length;
            break;
        }
        strbuf_add(&to->offsets, &to->bytes.len, sizeof to->bytes.len);
        strbuf_add(&to->bytes, string, (size_t)length + 1);
    }
    free(string);
    return result;
}

/* One block of memory: argv, envp, then the strings. */
struct exec_arguments {
    char **argv, **envp;
    void *memory;
};

static void lay_out(struct exec_arguments *to, const struct strings *strings, size_t arguments)
{
    size_t count = strings->offsets.len / sizeof(size_t), slots = count + 3;
    char **pointers = mem_alloc(slots * sizeof *pointers + strings->bytes.len + 1);
    char *bytes = (char *)(pointers + slots);

    memcpy(bytes, strings->bytes.data, strings->bytes.len);
    for (size_t i = 0, slot = 0; i < count; i++, slot++) {
        size_t offset;
        memcpy(&offset, strings->offsets.data + i * sizeof offset, sizeof offset);
        slot += i == arguments; /* the NULL behind argv */
        pointers[slot] = bytes + offset;
    }
    to->argv = pointers;
    to->envp = pointers + arguments + 1;
    to->memory = pointers;
}

static int64_t copy_arguments(struct exec_arguments *to, uint64_t argv, uint64_t envp)
{
    struct strings strings;

    strbuf_init(&strings.bytes);
    strbuf_init(&strings.offsets);
    int64_t result = add_strings(&strings, argv);
    if (result == 0 && strings.offsets.len == 0) { /* Linux 5.18: there is always an argv[0] */
        const size_t first = 0;
        strbuf_add(&strings.offsets, &first, sizeof first);
        strbuf_add(&strings.bytes, "", 1);
    }
    size_t arguments = strings.offsets.len / sizeof(size_t);
    if (result == 0) {
        result = add_strings(&strings, envp);
    }
    if (result == 0) {
        lay_out(to, &strings, arguments);
    }
    strbuf_free(&strings.bytes);
    strbuf_free(&strings.offsets);
    return result;
}

static int64_t exec(struct user_thread *thread, int dirfd, uint64_t path, uint64_t argv,
                    uint64_t envp, int flags)
{
    struct exec_arguments arguments = {0};
    char name[USER_PATH_MAX];

    int64_t result = user_copy_string(name, path, sizeof name);
    if (result < 0) {
        return result;
    }
    result = copy_arguments(&arguments, argv, envp);
    if (result < 0) {
        return result;
    }
    if (thread->attention) { /* the mask on the host is not the guest's now */
        thread->restart = USER_RESTART_BEGIN;
        result = -EINTR;
    } else {
        thread->exec_memory = arguments.memory;
        user_signals_before_exec(thread);
        result = user_exec(thread->user, dirfd, name, arguments.argv, arguments.envp, flags);
        user_signals_after_exec(thread);
        thread->exec_memory = NULL;
    }
    free(arguments.memory);
    return result;
}

USER_CALL(execve)
{
    return exec(thread, AT_FDCWD, call->args[0], call->args[1], call->args[2], 0);
}

USER_CALL(execveat)
{
    if (user_descriptor_is_ours((int)call->args[0])) {
        return -EBADF;
    }
    return exec(thread, (int)call->args[0], call->args[1], call->args[2], call->args[3],
                (int)call->args[4]);
}
