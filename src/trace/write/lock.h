/* SPDX-License-Identifier: MIT
 *
 * A recording has one writer: its file (or directory) is locked while it is open, so that no other
 * recording of this program, of a forked child or of another program writes there, however the
 * place is spelt. Control lock held.
 */
#ifndef TRACE_LOCK_H
#define TRACE_LOCK_H

#include <stdbool.h>

#include "base/error.h"

/* Locks what `fd` has open. False when somebody records into it; file systems without locks are let
 * pass. `path` is for the sentence. */
bool trace_lock_take(int fd, const char *path, struct error *err);

/* Gives it back, also where a forked child still has the descriptor; then closes it. */
void trace_lock_close(int fd);

#endif
