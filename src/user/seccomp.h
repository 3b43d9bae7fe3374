/* SPDX-License-Identifier: MIT
 *
 * Filters of system calls (seccomp). They are the guest's, so they are asked about the guest's
 * system calls, by us; the host never gets one, since our own system calls are others.
 */
#ifndef USER_SECCOMP_H
#define USER_SECCOMP_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>

struct user_thread;
struct user_seccomp;

/* True if the program may be a filter, by the kernel's rules (length, instructions, jumps). */
bool user_bpf_check(const struct sock_filter *program, unsigned length);

/* What a checked program says of a system call: a SECCOMP_RET_ value. */
uint32_t user_bpf_run(const struct sock_filter *program, unsigned length,
                      const struct seccomp_data *data);

/* seccomp(2) and the part of prctl(2): the kernel's results. */
int64_t user_seccomp_call(struct user_thread *thread, uint64_t operation, uint64_t flags,
                          uint64_t address);
int64_t user_seccomp_mode(const struct user_thread *thread);

/* Asks the thread's filters. True: carry the call out. False: it is dealt with, by *result or by a
 * signal. `arch` is AUDIT_ARCH_X86_64 for SYSCALL. */
bool user_seccomp_allows(struct user_thread *thread, const struct seccomp_data *data,
                         int64_t *result);

/* A new thread has its parent's filters. */
void user_seccomp_inherit(struct user_thread *to, const struct user_thread *from);

/* For execve(): a descriptor of a memory file with the filters, that the new program inherits and
 * hands to user_seccomp_load(); -1: there are none. */
int user_seccomp_save(const struct user_thread *thread);

/* Takes such a descriptor, and closes it. False: that is not what is in it. */
bool user_seccomp_load(struct user_thread *thread, int fd);

#endif
