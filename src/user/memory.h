/* SPDX-License-Identifier: MIT
 *
 * What the files about guest memory share: memory.c, guard.c, loader.c, proc.c.
 */
#ifndef USER_MEMORY_H
#define USER_MEMORY_H

#include <signal.h>
#include <stdint.h>

struct user;

/* The table's lock; signals are blocked while it is held (internal.h). `saved` is for the unlock.
 */
void user_map_lock(struct user *user, sigset_t *saved);
void user_map_unlock(struct user *user, const sigset_t *saved);

/* The host's protection for the guest's: never execution, but what is executed can be read. */
int user_host_prot(int prot);

#endif
