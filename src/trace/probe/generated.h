/* SPDX-License-Identifier: MIT
 *
 * What the sources made by vitrine-tracegen are written with. Nothing else includes this.
 */
#ifndef TRACE_PROBE_GENERATED_H
#define TRACE_PROBE_GENERATED_H

/* Static probes with semaphores: the enable word's low half is the semaphore (see trace/trace.h).
 */
#define _SDT_HAS_SEMAPHORES 1
#include <sys/sdt.h>

#include "trace/trace.h"

/* Lets the compiler compare a format with its arguments; never called. */
void trace_format_check(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
