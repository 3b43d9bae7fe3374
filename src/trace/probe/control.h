/* SPDX-License-Identifier: MIT
 *
 * Control of probes, for every face that has some: command line, monitor, library. setup.c reads
 * the options of a command line and applies them at the end, in order; control.c has what can be
 * done while the program runs.
 *
 *     -trace [[enable=]PATTERN][,events=FILE][,file=FILE][,writer=NAME]...[,filter=EXPR]
 *            [,start=EXPR][,stop=EXPR][,limit=N][,toggle=SIGNAL][,context=FIELD+FIELD]
 *            [,overflow=wait|drop][,buffer=SIZE][,mode=flight,size=SIZE]
 *     -d trace:PATTERN    -D FILE    -msg timestamp=on
 *
 * Any thread, unless said otherwise.
 */
#ifndef TRACE_CONTROL_H
#define TRACE_CONTROL_H

#include <stdbool.h>
#include <stdio.h>

#include "base/error.h"
#include "trace/decl/decl.h"
#include "trace/probe/event.h"

/* --- a command line --- */

struct trace_setup;

struct trace_setup *trace_setup_new(void);
void trace_setup_free(struct trace_setup *setup);

enum trace_option {
    TRACE_OPTION_FOREIGN, /* not an option of tracing: nothing was taken */
    TRACE_OPTION_TAKEN,   /* understood; applied by trace_setup_apply() */
    TRACE_OPTION_HELP,    /* a list was printed on standard output: exit with status 0 */
    TRACE_OPTION_WRONG,   /* `err` has the sentence: exit with status 1 */
};

/* Looks at argv[*i]: -trace, -d, -D, -msg and their forms with two dashes. When it is one, *i is
 * moved to the option's argument. */
enum trace_option trace_setup_option(struct trace_setup *setup, int argc, char **argv, int *i,
                                     struct error *err);

/* The argument of -trace alone, of -d alone. */
enum trace_option trace_setup_trace(struct trace_setup *setup, const char *argument,
                                    struct error *err);
enum trace_option trace_setup_debug(struct trace_setup *setup, const char *argument,
                                    struct error *err);

/* Opens what is to be written and switches events on and off, in the order of the options. What is
 * odd but harmless is told to `warn`, a sentence each, without a program name ("-trace nosuch:
 * warning: trace event 'nosuch' does not exist"). On failure some of it may have been done. */
bool trace_setup_apply(struct trace_setup *setup, trace_warn_fn *warn, void *opaque,
                       struct error *err);

/* Of a program that switches events by signals (trace_switch()): refuses a signal that it cannot
 * use. NULL: toggle= is refused. To be set before options are read. */
extern bool (*trace_toggle_check)(int signal, struct error *err);

/* The options as help text, and the names of all events, one a line. */
void trace_help_options(FILE *out);
void trace_help_keys(FILE *out); /* only what may follow -trace */
void trace_help_events(FILE *out);

/* --- while the program runs --- */

/* As trace-event NAME on|off: an exact name that does not exist is an error (`unknown event "x"`),
 * a pattern that matches nothing too. */
bool trace_control_set(const char *pattern, bool on, struct error *err);

/* The text log as a sink; made on first use. */
struct trace_sink *trace_log_sink(void);

/* The trace-file commands. They act on the recordings; `on` makes one (simple, trace-PID) when
 * there is none. `set` takes the path of the file to write from now on; a recording that is on is
 * closed and opened again. */
bool trace_file_on(struct error *err);
void trace_file_off(void);
void trace_file_flush(void);
bool trace_file_set(const char *path, struct error *err);
/* Path and state of the first recording; NULL when there is none. The path is valid until the next
 * trace_file_set(). */
const char *trace_file_status(bool *on);

/* Writes and closes everything. Runs at exit by itself. */
void trace_shutdown(void);

#endif
