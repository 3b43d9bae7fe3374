/* SPDX-License-Identifier: MIT
 *
 * System calls: the table (syscalls.def) as C sees it, dispatch, and what the files syscall_*.c
 * share.
 */
#ifndef USER_SYSCALLS_H
#define USER_SYSCALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/strbuf.h"

struct user;
struct user_thread;

enum { USER_SYSCALL_MAX = 463, USER_SYSCALL_ARGS = 6 };

/* Kinds of arguments: syscall_kinds.def. */
enum user_kind {
#define KIND(name, show, writes, size) USER_KIND_##name,
#include "user/syscall_kinds.def"
#undef KIND
    USER_KIND_COUNT,
};

/* One system call that the guest has asked for. */
struct user_call {
    uint64_t number;
    uint64_t args[USER_SYSCALL_ARGS];
};

/* Carries a call out: the kernel's result. */
typedef int64_t user_call_fn(struct user_thread *thread, struct user_call *call);

struct user_syscall {
    const char *name; /* NULL: there is no such call */
    user_call_fn *carry_out;
    char result;                     /* I, H or N, as in syscalls.def */
    char sleeps;                     /* _, S or E */
    uint8_t kind[USER_SYSCALL_ARGS]; /* enum user_kind */
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

/* --- strace.c --- */

/* Reads guest memory for the decoder: the number of bytes that could be read. */
typedef size_t user_read_fn(void *opaque, uint64_t address, void *to, size_t size);

/* Appends "name(arguments)" in the words that people know from strace. `result` is what the call
 * gave (NULL: it has not been made, so there is nothing in what it writes); with it " = result" is
 * added, errors with name and sentence. Pure. */
void user_strace(struct strbuf *to, uint64_t number, const uint64_t *args, const int64_t *result,
                 user_read_fn *read, void *opaque);

#define USER_CALL(name)                             int64_t call_##name(struct user_thread *thread, struct user_call *call)
#define SYS(number, name, how, result, sleeps, ...) USER_CALL(how);
#include "user/syscalls.def"
#undef SYS

#endif
