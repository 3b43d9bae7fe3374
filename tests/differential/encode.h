/* SPDX-License-Identifier: MIT
 *
 * Bytes for an opcode row: every choice that the row leaves open is random, as are prefixes that it
 * ignores. The decoder says afterwards what the bytes mean. Facts: SDM vol. 2, chapter 2.
 */
#ifndef DIFFERENTIAL_ENCODE_H
#define DIFFERENTIAL_ENCODE_H

#include <stdbool.h>
#include <stdint.h>

#include "guest/x86/rows.h"
#include "random.h"

struct encoding {
    uint8_t bytes[32];
    unsigned size;    /* more than the instruction may have: random bytes stand for an immediate */
    unsigned disp_at; /* place and size of the displacement; size 0: none */
    unsigned disp_size;
    unsigned pins; /* general registers that an address must not use, a set (ENCODE_PINNED) */
};

/* How the bytes are chosen, a set. */
enum {
    ENCODE_MEMORY = 1, /* the operand of modrm is memory, where the row leaves that open */
    ENCODE_ABSOLUTE =
        2,             /* without base and index, memory is at an absolute address; else relative */
    ENCODE_PLAIN = 4,  /* no 67, no segment prefixes, no ignored prefixes */
    ENCODE_PINNED = 8, /* base from `pins`, no index but of them */
};

/* True if the row can be met in 64-bit mode. */
bool encode_possible(const struct x86_row *row);
/* True if the row leaves open whether modrm names memory or a register; `memory`: it must, for a
 * row with only one form. */
bool encode_both_forms(const struct x86_row *row, bool *memory);

void encode(struct random *r, const struct x86_row *row, unsigned how, struct encoding *e);

#endif
