/* SPDX-License-Identifier: MIT
 *
 * Guest memory as our own C code reaches it, and system calls of the host made for the guest. Both
 * are short pieces of assembly that the handler of host signals knows: a bad guest address ends a
 * copy early instead of ending us, and a signal that comes before the kernel has begun (or makes it
 * begin again) ends a system call with USER_CALL_RESTART.
 *
 * On guest threads only: other threads have no handler for such faults.
 */
#ifndef USER_ACCESS_H
#define USER_ACCESS_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"
#include "guest/x86/helpers.h"

enum {
    USER_PATH_MAX = 4096,    /* bytes of a path, NUL included, as in the kernel */
    USER_CALL_RESTART = -512 /* a value that no system call gives to programs */
};

/* The first address behind what programs can map. */
#define USER_ADDRESS_END UINT64_C(0x7ffffffff000)

/* Copies; false: some byte cannot be read or written (what comes before it may have been copied).
 */
bool user_copy_in(void *to, uint64_t from, size_t size);
bool user_copy_out(uint64_t to, const void *from, size_t size);

/* Copies a string with its NUL; returns its length, -EFAULT, or -ENAMETOOLONG where there is no NUL
 * in the first `size` bytes. */
int64_t user_copy_string(char *to, uint64_t from, size_t size);

/* As many bytes as can be read: the number. */
size_t user_copy_some(void *to, uint64_t from, size_t size);

/* Stores 0 if `address` is NULL too: single values. */
bool user_put_u32(uint64_t address, uint32_t value);
bool user_put_u64(uint64_t address, uint64_t value);

/* Compares and exchanges atomically; *seen: what was there. */
bool user_compare_exchange(uint64_t address, uint32_t old, uint32_t value, uint32_t *seen);

/* Reads one byte, or writes it with its own value, at any address, as an instruction of the guest
 * does: struct engine_memory, touch. */
bool user_touch(uint64_t address, bool write, struct vcpu_fault *fault);

/* For instructions that are executed in C. Stores to watched pages are seen as those of translated
 * code are; `opaque` and guest_pc are not filled in. */
extern const struct x86_memory_access user_guest_memory;

/* A system call of the host. Gives what the kernel gives, or USER_CALL_RESTART: *attention was not
 * 0, or a signal was taken, and the kernel had not begun or wants to begin again. */
int64_t user_call_raw(const uint64_t *attention, uint64_t number, const uint64_t args[6]);

/* clone() in the manner of vfork(): the child calls child(argument), deeper on the same stack, and
 * never returns. Gives what the kernel gives the parent. */
int64_t user_call_vfork(uint64_t number, const uint64_t args[6], void (*child)(void *argument),
                        void *argument);

/* For the handler of host signals. A fault: true if it was in a copy, which ends early, or in
 * user_touch(), which is told. A signal that was taken: ends a system call that has not begun.
 * Async-signal-safe. */
bool user_access_fault(void *ucontext);
bool user_touch_fault(int signal, const siginfo_t *info, void *ucontext);
bool user_access_abort(void *ucontext);

#endif
