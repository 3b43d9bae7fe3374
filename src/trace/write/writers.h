/* SPDX-License-Identifier: MIT
 *
 * The writers: one constant each. writers.c lists those that writer=NAME can choose.
 */
#ifndef TRACE_WRITERS_H
#define TRACE_WRITERS_H

#include "trace/probe/sink.h"

extern const struct trace_sink_ops trace_writer_log, trace_writer_simple, trace_writer_ctf,
    trace_writer_ftrace, trace_writer_syslog, trace_writer_lttng;

/* mode=flight of the simple writer. */
extern const struct trace_sink_ops trace_writer_flight;

#endif
