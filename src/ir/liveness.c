/* SPDX-License-Identifier: MIT
 *
 * Liveness of flags and registers, backward over one block.
 *
 * At the block's exits everything is live. An instruction that may fault reads everything too,
 * since a fault hands the guest its exact state; so a value is dead only where it is overwritten
 * before anything can look, by a signal or otherwise. Operations that may leave the block for the
 * engine, and come again to other code (STREAM_OPEN, CHECK_CODE), read everything too.
 */
#include "ir/block.h"

struct live {
    unsigned flags; /* enum native_flag: wanted */
    unsigned gpr;   /* wanted */
};

static void through_native(struct live *live, const struct native_insn *native)
{
    unsigned undefined = native->flags_undefined;

    if (native->attributes & NATIVE_MAY_FAULT) {
        *live = (struct live){NATIVE_ARITH | NATIVE_DF, 0xffff};
        return;
    }

    /* AF behind AND, OR, XOR, TEST is undefined in the manual and cleared by every processor. */
    if ((native->flags_written | NATIVE_AF) == NATIVE_ARITH)
        undefined &= ~(unsigned)NATIVE_AF;
    live->flags &= ~(unsigned)native->flags_written;
    if ((native->flags_written | NATIVE_AF) == NATIVE_ARITH)
        live->flags &= ~(unsigned)NATIVE_AF;
    /* What else is undefined has the host's value, which may depend on the old one. */
    live->flags |= native->flags_read | undefined | native->flags_may;
    live->gpr &= ~(unsigned)native->gpr_killed;
    live->gpr |= native->gpr_read;
}

void ir_liveness(struct ir_block *block, bool keep)
{
    struct live live = {NATIVE_ARITH | NATIVE_DF, 0xffff};

    for (unsigned i = block->op_count; i-- > 0;) {
        struct ir_op *op = &block->op[i];

        switch (op->op) {
        case IR_NATIVE: through_native(&live, &block->native[op->native]); break;
        case IR_GET: live.gpr |= 1u << (op->reg & 15); break;
        case IR_ADDRESS:
        case IR_STREAM_ADDRESS: live.gpr |= block->native[op->native].gpr_read; break;
        case IR_LOAD:
        case IR_STORE:
        case IR_TARGET:
        case IR_JUMP:
        case IR_JUMP_IF:
        case IR_JUMP_LOOP:
        case IR_JUMP_TARGET:
        case IR_STREAM_OPEN:
        case IR_STREAM_MEMORY:
        case IR_CHECK_CODE:
        case IR_PUSH_FLAGS:
        case IR_POP_FLAGS:
        case IR_LEAVE_IF:
        case IR_ANCHOR:
        case IR_ANCHOR_JUMP:
        case IR_EXIT: live = (struct live){NATIVE_ARITH | NATIVE_DF, 0xffff}; break;
        default: break;
        }
        op->flags_live = keep || (live.flags & NATIVE_ARITH);
        op->gpr_free = keep ? 0 : (uint16_t)~live.gpr;
    }
}
