/* SPDX-License-Identifier: MIT
 *
 * The log: where text for people goes, standard error or the file of -D. Each call writes whole
 * lines, at once and unbuffered, so that nothing is missing after a crash and lines of different
 * threads do not mix. Any thread.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* Sends the log to a file from now on, which is created or emptied at once (behind a `+`: created
 * or gone on with); NULL: back to standard error. One `%d` in the name stands for the process id.
 * On failure the log stays where it was: "Error opening logfile X: REASON" or "Bad logfile
 * template: X". */
bool log_set_file(const char *name, struct error *err);

/* The log's own copy of standard error, for a program whose descriptors others close and exchange.
 * Before other threads. */
void log_keep_standard(void);

/* Writes text as it is; it ends in a newline. */
void log_text(const char *text, size_t len);

/* The same behind "THREAD@SECONDS.MICROSECONDS:" where -msg timestamp=on asked for it. */
void log_event(const char *text, size_t len);

void log_set_timestamps(bool on);

#endif
