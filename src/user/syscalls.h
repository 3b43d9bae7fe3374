/* SPDX-License-Identifier: MIT
 *
 * System calls: how each is carried out (syscalls.def), dispatch, and what the files syscall_*.c
 * share.
 */
#ifndef USER_SYSCALLS_H
#define USER_SYSCALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "syscall/syscall.h"

struct user;
struct user_thread;

/* One system call that the guest has asked for. */
struct user_call {
    uint64_t number;
    uint64_t args[SYSCALL_ARGS];
};

/* Carries a call out: the kernel's result. */
typedef int64_t user_call_fn(struct user_thread *thread, struct user_call *call);

/* How a call is carried out: a row of syscalls.def. What it is called and what its arguments are
 * tells syscall_row(). */
struct user_syscall {
    user_call_fn *carry_out; /* NULL: there is no such call */
    char sleeps;             /* _, S or E */
};

/* The row of a number, or NULL. */
const struct user_syscall *user_syscall_row(uint64_t number);

/* The system call that the thread's registers ask for. */
void user_syscall(struct user_thread *thread);

/* A system call of the host with the guest's signals in mind: gives its result; a signal that came
 * first gives -EINTR and lets the boundary decide (enum user_restart). */
int64_t user_call_host(struct user_thread *thread, uint64_t number, const uint64_t args[6]);

/* Gives watched pages back that the call writes to. */
void user_call_outputs(struct user_thread *thread, const struct user_call *call);

/* True if the descriptor is ours, and for the guest not open. */
bool user_descriptor_is_ours(int fd);
/* Tells once, in the log, what we do not do. `bit` numbers the sentences. */
enum user_told {
    USER_TOLD_PTRACE,
    USER_TOLD_CLONE_VM,
    USER_TOLD_INT80,
    USER_TOLD_LDT,
    USER_TOLD_IO_URING,
    USER_TOLD_PRCTL,
    USER_TOLD_TOGGLE,
    USER_TOLD_NUMBER,
};
void user_tell_once(enum user_told what, const char *sentence);

/* -strace, when the process ends: shows the calls of all threads that have not come back. */
void user_show_unfinished(void);
/* In the child of a fork, where there are no other threads. */
void user_show_forked(void);

/* --- syscall_trace.c: the probes, guest_user_syscall and its relatives --- */

/* `call` is as the guest asked for it; `result` as it gets it. The thread itself. */
void user_trace_call(const struct user_thread *thread, const struct user_call *call);
void user_trace_result(const struct user_thread *thread, const struct user_call *call,
                       int64_t result);

#define USER_CALL(name)         int64_t call_##name(struct user_thread *thread, struct user_call *call)
#define CALL(name, how, sleeps) USER_CALL(how);
#include "user/syscalls.def"
#undef CALL

#endif
