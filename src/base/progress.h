/* SPDX-License-Identifier: MIT
 *
 * A progress bar on standard error: only when that is a terminal, and only once the work has lasted
 * longer than a second. One thread at a time.
 */
#ifndef BASE_PROGRESS_H
#define BASE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

enum { PROGRESS_WHAT = 40 }; /* bytes of the label that are shown: the last ones */

struct progress {
    char what[PROGRESS_WHAT + 1]; /* "trace-1234" */
    uint64_t started;             /* ns */
    uint64_t shown;               /* ns of the last drawing, 0: not drawn yet */
    bool on;
};

/* `what` is copied; what could steer the terminal is shown as '?'. */
void progress_begin(struct progress *p, const char *what);

/* `total` 0: not known. Cheap enough for every few thousand steps: looks at the clock and draws at
 * most ten times a second. */
void progress_step(struct progress *p, uint64_t done, uint64_t total);
void progress_end(struct progress *p); /* removes the bar */

#endif
