/* SPDX-License-Identifier: MIT
 *
 * What the program and its LTTng provider library share. vitrine-tracegen writes the library's
 * source; the program loads it when LTTng is asked for and looks up the table of rows in it by
 * name.
 */
#ifndef TRACE_LTTNG_H
#define TRACE_LTTNG_H

#include <stdbool.h>

#include "base/error.h"

/* One event. The table ends with a row whose name is NULL. */
struct trace_lttng_row {
    const char *name;
    void (*fire)(void); /* in truth takes the event's arguments as its probe does */
    int (*live)(void);  /* not 0 while a session listens */
};

/* The table, `const struct trace_lttng_row[]`, and its name for dlsym(). */
#define TRACE_LTTNG_ROWS   vitrine_lttng_rows
#define TRACE_LTTNG_SYMBOL "vitrine_lttng_rows"

extern const struct trace_lttng_row TRACE_LTTNG_ROWS[] __attribute__((visibility("default")));

/* The program's side (lttng.c). Loads the library, connects its tracepoints with the events of
 * their names and follows LTTng's sessions from then on; the ones that there are count when this
 * returns. False and a sentence when the library is missing. Any thread. */
bool trace_lttng_start(struct error *err);
/* No session counts as a listener any more. */
void trace_lttng_stop(void);

#endif
