/* SPDX-License-Identifier: MIT
 *
 * Descriptors that a program keeps for itself while it runs another one in its own process: they
 * get high numbers, so that the low ones are the other's to count on. In a program that does not
 * ask for it nothing changes. Any thread.
 */
#ifndef BASE_DESCRIPTOR_H
#define BASE_DESCRIPTOR_H

#include <stdbool.h>

/* From now on descriptor_own() moves them. Once, at the start. */
void descriptor_keep_away(void);

/* For each descriptor that stays open while others run: gives the number to use from now on, with
 * FD_CLOEXEC. Where it cannot be moved (or need not be), that is `fd`; negative: as it is. */
int descriptor_own(int fd);

/* True if `fd` is one of those, and not in the meantime closed and somebody else's. */
bool descriptor_is_own(int fd);

/* The lowest one that is at or above `fd`, or -1. */
int descriptor_next_own(int fd);

#endif
