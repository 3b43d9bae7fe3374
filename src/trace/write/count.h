/* SPDX-License-Identifier: MIT
 *
 * The writer `count`: how often each event happened, one line an event when the recording ends.
 *
 *     guest_block 1234567
 *
 * Whoever can count by itself, without making records, adds what it has counted when it is asked:
 * translated code counts blocks and instructions that way.
 */
#ifndef TRACE_COUNT_H
#define TRACE_COUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "trace/probe/sink.h"

extern const struct trace_sink_ops trace_writer_count;

/* True if all who listen to the event only count it, without filters and limits. The control lock
 * held, or between trace_hold() and trace_release(). */
bool trace_only_counted(const struct trace_event *event);

/* Adds to the count of an event in all sinks that count it. Any thread. */
void trace_count_add(const struct trace_event *event, uint64_t count);

/* Called before counts are shown: to be filled in by who counts by itself. NULL: nobody. */
extern void (*trace_counts_wanted)(void);

#endif
