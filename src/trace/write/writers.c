/* SPDX-License-Identifier: MIT
 *
 * The list of writers. */
#include "trace/write/writers.h"

#include <stddef.h>

#include "trace/write/count.h"

const struct trace_sink_ops *const trace_writers[] = {
    &trace_writer_log,    &trace_writer_simple, &trace_writer_ctf,
    &trace_writer_ftrace, &trace_writer_syslog, &trace_writer_lttng,
    &trace_writer_count,  &trace_writer_sum,    NULL,
};
