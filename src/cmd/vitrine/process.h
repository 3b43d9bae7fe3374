/* SPDX-License-Identifier: MIT
 *
 * The process: the background, its id in a file, its name, signals that end it.
 */
#ifndef VITRINE_PROCESS_H
#define VITRINE_PROCESS_H

#include "cmd/vitrine/options.h"

/* -daemonize: the calling process goes on in the background, and its parent waits until
 * process_is_ready() and then ends. Before there are threads. False with a sentence. */
bool process_detach(struct error *err);
/* All is ready: the terminal is let go, and the waiting parent ends with status 0. Nothing without
 * process_detach(). */
void process_is_ready(void);

/* -pidfile: written, and locked while the process lives; removed at exit. */
bool process_write_pid(const char *path, struct error *err);

/* -name process=. */
void process_set_name(const char *name);

/* SIGINT, SIGTERM and SIGHUP end the machine from now on. */
void process_take_signals(const char *program, struct machine *machine);
/* Says which signal it was, if it was one. */
void process_tell_signal(void);

#endif
