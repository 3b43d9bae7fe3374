/* SPDX-License-Identifier: MIT
 *
 * Gives a decoded instruction operands: registers and memory such that it reaches the places of the
 * scratch memory, and values that some instructions want to do something interesting.
 */
#ifndef DIFFERENTIAL_OPERANDS_H
#define DIFFERENTIAL_OPERANDS_H

#include "encode.h"
#include "generate.h"

struct operands {
    struct random *random;
    struct machine *machine;
    enum scratch_layout layout;
    struct x86_insn *insn;
    uint8_t *bytes; /* of the instruction; displacements and targets are changed in place */
    const struct encoding *encoding;
    unsigned fixed; /* general registers that already have their value, a set */
    bool good;      /* all memory is there */
};

/* Decodes for a guest with all features. */
bool operands_decode(const uint8_t *bytes, unsigned size, uint64_t pc, struct x86_insn *insn);

/* Sets the operands. The instruction may have to be decoded again: its bytes may change. */
void operands_set(struct operands *o);

/* A value for a jump target other than the instruction [pc, pc + length) itself. */
uint64_t operands_target(struct random *r, enum scratch_layout layout, uint64_t pc,
                         unsigned length);

#endif
