/* SPDX-License-Identifier: MIT
 *
 * Taking the arguments of a record (record.h) apart, for the readers whose records have that
 * layout.
 */
#ifndef TRACE_READ_DECODE_H
#define TRACE_READ_DECODE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/load.h"
#include "trace/decl/decl.h"

/* Walks the arguments [p, end) as declared. True if they fit exactly. Strings stay where they are.
 */
static inline bool trace_decode(const struct trace_decl *decl, const uint8_t *p, const uint8_t *end,
                                uint64_t *values, uint32_t *lengths)
{
    for (unsigned i = 0; i < decl->nargs; i++) {
        if (decl->strings >> i & 1) {
            uint32_t len;
            if (end - p < 4 || (len = load32(p)) > TRACE_STRING_MAX ||
                len > (size_t)(end - p) - 4) {
                return false;
            }
            values[i] = (uintptr_t)(p + 4);
            lengths[i] = len;
            p += 4 + len;
        } else {
            if (end - p < 8) {
                return false;
            }
            values[i] = load64(p);
            p += 8;
        }
    }
    return p == end;
}

#endif
