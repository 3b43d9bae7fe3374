/* SPDX-License-Identifier: MIT
 *
 * Signals by name, as kill(1) takes them.
 */
#ifndef BASE_SIGNAL_NAME_H
#define BASE_SIGNAL_NAME_H

enum { SIGNAL_NUMBER_MAX = 64 };

/* The number of USR2, SIGUSR2, RTMIN, RTMIN+3, RTMAX-2 (capitals or not) or 12; 0: there is no such
 * signal. RTMIN and RTMAX are those of libc. Any thread. */
int signal_number(const char *name);

#endif
