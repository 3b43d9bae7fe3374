/* SPDX-License-Identifier: MIT
 *
 * The guest's threads and children, and their loop.
 *
 * A thread of the guest is a thread of the host with a vCPU. A child of fork() is one of the host's
 * with the calling thread alone. A child of vfork(), posix_spawn() and the like (CLONE_VM with
 * CLONE_VFORK) shares our memory while its parent sleeps: it runs deeper on its parent's host stack
 * with a vCPU of its own and the parent's thread-local variables, until it calls execve() or ends.
 */
#ifndef USER_THREADS_H
#define USER_THREADS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdnoreturn.h>

struct user;
struct user_thread;
struct x86_cpu;

/* A thread with a vCPU, listed in user->threads; NULL: no memory, or too many. */
struct user_thread *user_thread_new(struct user *user);

/* Not listed any more, vCPU freed, memory freed. Not for the calling thread's last steps: all
 * signals are blocked then. */
void user_thread_free(struct user_thread *thread);

/* Makes `thread` (NULL: none) the calling thread's, with its vCPU. */
void user_thread_enter(struct user_thread *thread);

/* Runs the guest on the calling thread until the thread ends: thread->exit_status. (run.c) */
void user_thread_loop(struct user_thread *thread);

/* What the guest's registers are made of, without what the engine keeps there. */
void user_cpu_copy(struct x86_cpu *to, const struct x86_cpu *from);

/* What the kernel does for a thread that ends: robust mutexes, clear_child_tid. */
void user_thread_leave(struct user_thread *thread);

/* Ends the process in an orderly way: recordings are written. A child of vfork() just ends. */
noreturn void user_exit_group(struct user_thread *thread, int status);

/* What clone() and its relatives ask for, as clone3() has it (struct clone_args). */
struct user_clone {
    uint64_t flags; /* without the exit signal */
    uint64_t pidfd, child_tid, parent_tid;
    uint64_t exit_signal;
    uint64_t stack; /* initial stack pointer, 0: the parent's */
    uint64_t tls;
    uint64_t set_tid, set_tid_size;
    uint64_t cgroup;
};

/* What a thread or a child that shares memory has of the one that makes it: registers, signal mask,
 * seccomp filters, and what the arguments of clone() say of stack, TLS and the place to clear. */
void user_thread_inherit(struct user_thread *child, struct user_thread *thread,
                         const struct user_clone *clone);

int64_t user_clone(struct user_thread *thread, const struct user_clone *clone);

/* thread.c: the case of a thread. process.c: that of a process. */
int64_t user_clone_thread(struct user_thread *thread, const struct user_clone *clone);
int64_t user_clone_process(struct user_thread *thread, const struct user_clone *clone);

#endif
