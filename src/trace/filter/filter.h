/* SPDX-License-Identifier: MIT
 *
 * Filters: typed expressions over an event's arguments and the context it fired in, such as
 *
 *     offs >= 0x40 && val != 0          dev == "e1000"          name =~ "vga*.bin"
 *     vcpu == 1 && (info & 0x40)        new_state == running    -1 < ret && ret < 10
 *
 * An expression is compiled once for an event into a short program of three-address operations with
 * forward jumps only; filter/run.c interprets it and the translator can lower it. Running one takes
 * no lock, allocates nothing and ends after at most as many steps as it has operations. Compiled
 * filters are constant: any thread may run one.
 *
 * Values are 64 bits. `signed` and `unsigned` are kept apart by type: comparisons are exact across
 * the two (-1 is less than every unsigned value), arithmetic wraps and is unsigned when either side
 * is; a literal takes the type of the other side. Division by zero gives 0. Strings have ==, != and
 * =~ (glob), !~. Enumeration and flag words of the event's arguments are constants. A number is
 * true when it is not 0.
 *
 * Read in this order: this header, then syntax.h, which says how to go on.
 */
#ifndef TRACE_FILTER_H
#define TRACE_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/strbuf.h"
#include "trace/decl/decl.h"

/* A field of the context that an expression may name beside the arguments. Its number is its place
 * in the array that the expression was compiled with. */
struct trace_field {
    const char *name; /* "thread", "vcpu", "event" */
    enum trace_kind kind;
    const char *help; /* one line */
};

/* What one run reads. */
struct trace_filter_input {
    const uint64_t *values;  /* as in trace_decl_render() */
    const uint32_t *lengths; /* of strings; other entries are not read */
    /* Value of context field number `field`; for a string a pointer, with its length stored. */
    uint64_t (*field)(void *opaque, unsigned field, uint32_t *length);
    void *opaque;
};

struct trace_filter;

/* Compiles `text` for events declared as `decl`. On failure `err` holds the complaint, the
 * expression on a second line and a caret under the place on a third:
 *
 *     event pci_cfg_read has no argument or context field 'ofs' (did you mean 'offs'?)
 *       ofs >= 0x40
 *       ^
 *
 * When `unknown` is not NULL it is set to whether that was the reason: a name this event does not
 * have. Fields are copied. An argument hides a field of the same name. */
struct trace_filter *trace_filter_compile(const char *text, const struct trace_decl *decl,
                                          const struct trace_field *fields, unsigned nfields,
                                          bool *unknown, struct error *err);
void trace_filter_free(struct trace_filter *filter);

/* True if the expression holds. */
bool trace_filter_match(const struct trace_filter *filter, const struct trace_filter_input *input);

/* Bit i is set when the filter reads values[i]: a caller may leave out the others, and the lengths
 * of strings that are not read. Context fields are asked for one by one as they are needed. */
uint32_t trace_filter_reads(const struct trace_filter *filter);

/* Writes the compiled program, an operation a line, for people and tests. */
void trace_filter_print(struct strbuf *out, const struct trace_filter *filter);

#endif
