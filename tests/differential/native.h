/* SPDX-License-Identifier: MIT
 *
 * The real CPU: loads a state, jumps to its rip, and keeps what the signal handler saw. The
 * program's own registers, FS and GS base and alternate stack come back whatever the code did. One
 * thread.
 */
#ifndef DIFFERENTIAL_NATIVE_H
#define DIFFERENTIAL_NATIVE_H

#include "machine.h"

/* Gives the thread an alternate stack. Aborts where the CPU or the kernel lacks what is needed. */
void native_open(void);

/* Runs the code at in->rip until it raises a signal. It must do that by itself, and ask the kernel
 * for nothing. Handlers that others have installed for the five signals of the CPU are put back. */
void native_run(const struct machine *in, struct outcome *out);

#endif
