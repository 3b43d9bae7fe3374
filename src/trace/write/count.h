/* SPDX-License-Identifier: MIT
 *
 * The writer `count`: how often each event happened, one line an event when the recording ends.
 *
 *     guest_block 1234567
 *
 * The writer `sum` adds up their arguments too, each modulo 2^64 (texts are left out). Two runs
 * that did the same have the same line, and the order does not matter:
 *
 *     guest_mem_before_exec 7135551168 vaddr=0x53f2a4d1c09b1e70 info=0x51a3f09c40
 *
 * Whoever can count by itself, without making records, adds what it has counted when it is asked:
 * translated code counts blocks and instructions that way. Streams of memory accesses are added up
 * by whole buffers.
 */
#ifndef TRACE_COUNT_H
#define TRACE_COUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "trace/probe/sink.h"

extern const struct trace_sink_ops trace_writer_count, trace_writer_sum;

/* True if all who listen to the event only count it, without filters and limits. The control lock
 * held, or between trace_hold() and trace_release(). */
bool trace_only_counted(const struct trace_event *event);
/* The same where some may also sum its arguments. */
bool trace_only_summed(const struct trace_event *event);

/* Adds to the count of an event in all sinks that count it. Any thread. */
void trace_count_add(const struct trace_event *event, uint64_t count);

/* Adds also to sinks that sum: `sums` has one for each argument of the declaration. */
void trace_sums_add(const struct trace_event *event, uint64_t count, const uint64_t *sums);

/* Called before counts are shown: to be filled in by who counts by itself. NULL: nobody. */
extern void (*trace_counts_wanted)(void);

#endif
