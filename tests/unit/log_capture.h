/* SPDX-License-Identifier: MIT
 *
 * What is written to the log between two points: messages of -d and probes alike. */
#ifndef UNIT_LOG_CAPTURE_H
#define UNIT_LOG_CAPTURE_H

/* The log goes to a file of its own from now on. */
void capture_begin(void);

/* Back to standard error; what was written since (free() it). */
char *capture_end(void);

#endif
