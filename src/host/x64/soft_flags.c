/* SPDX-License-Identifier: MIT
 *
 * System mode: the flags that the host does not hold for the guest, and what goes with them.
 *
 * To read or write all of the host's flags needs a stack: the host's own, on which nothing lies
 * while translated code runs. */
#include "host/x64/soft.h"

enum {
    KEPT = NATIVE_ARITH | NATIVE_DF, /* what the host's flags hold of the guest's */
    ALWAYS_ONE = 2,
};

/* PEXT (F3) or PDEP (F2) of 64 bits: opcode F5. */
static void select_bits(struct ir_code *code, enum native_prefix which, unsigned to, unsigned from,
                        unsigned mask)
{
    x64_encode(code, &(struct native_insn){.opcode = 0xf5,
                                           .map = NATIVE_MAP_0F38,
                                           .prefix = which,
                                           .vex = true,
                                           .w = true,
                                           .modrm = NATIVE_MODRM_REG,
                                           .reg = (uint8_t)to,
                                           .rm = (uint8_t)mask,
                                           .vvvv = (uint8_t)from,
                                           .segment = NATIVE_DS});
}

/* Keeps the bits of a mask, which is in a register. */
static void keep_bits(struct ir_code *code, unsigned reg, unsigned mask)
{
    select_bits(code, NATIVE_F3, reg, reg, mask);
    select_bits(code, NATIVE_F2, reg, reg, mask);
}

/* The state word at imm: the bit `reg` cleared, or, with cond, set. */
void x64_soft_change_bits(struct x64_emit *e, const struct ir_op *op)
{
    struct ir_code *code = e->code;

    x64_load_state(code, RCX, (uint32_t)op->imm);
    x64_move_imm(code, R9, ~(uint64_t)op->reg);
    keep_bits(code, RCX, R9);
    if (op->cond)
        x64_lea(code, RCX, RCX, (int32_t)op->reg);
    x64_store_state(code, (uint32_t)op->imm, RCX);
}

static void host_stack(struct ir_code *code)
{
    x64_store_state(code, X64_STATE(temp), X64_RSP);
    x64_load_state(code, X64_RSP, X64_WORD(X64_HOST_SP));
}

static void guest_stack(struct ir_code *code)
{
    x64_load_state(code, X64_RSP, X64_STATE(temp));
}

/* PUSHF: `size` bytes; the other flags are in the state word at imm. */
void x64_soft_push_flags(struct x64_emit *e, const struct ir_op *op)
{
    static const uint8_t pushfq_pop_rcx[] = {0x9c, 0x59};
    struct ir_code *code = e->code;

    x64_soft_stack_offset(e, -(int32_t)op->size);
    x64_soft_add_segment(e, NATIVE_SS, op->size, true);
    x64_soft_look_up(e, op->size, true);
    host_stack(code);
    x64_bytes(code, pushfq_pop_rcx, sizeof(pushfq_pop_rcx));
    guest_stack(code);
    x64_move_imm(code, R11, KEPT);
    keep_bits(code, RCX, R11);
    x64_load_state(code, R11, (uint32_t)op->imm);
    x64_soft_sum(code, RCX, RCX, R11, ALWAYS_ONE, true);
    x64_soft_set_shift_count(code);
    x64_soft_host_access(code, RCX, op->size, true);
    x64_soft_stack_move(e, -(int32_t)op->size);
}

/* POPF where no flag changes but those that the host holds and the bits `reg`: else it is for C. */
void x64_soft_pop_flags(struct x64_emit *e, const struct ir_op *op)
{
    static const uint8_t push_r9_popfq[] = {0x41, 0x51, 0x9d};
    const uint64_t others =
        0x3f7500 & ~(uint64_t)op->reg; /* all that there are, but KEPT's ARITH */
    struct ir_code *code = e->code;

    x64_soft_stack_offset(e, 0);
    x64_soft_add_segment(e, NATIVE_SS, op->size, false);
    x64_soft_look_up(e, op->size, false);
    x64_soft_host_access(code, R9, op->size, false);
    x64_load_state(code, R10, (uint32_t)op->imm);
    x64_move_imm(code, R11, others);
    select_bits(code, NATIVE_F3, RCX, R9, R11);
    select_bits(code, NATIVE_F3, R10, R10, R11);
    x64_soft_invert(code, R10);
    x64_soft_sum(code, RCX, RCX, R10, 1, true);
    x64_soft_or_leave(e, IR_EXIT_ACCESS, 0);
    x64_soft_stack_move(e, op->size);
    x64_load_state(code, R10, (uint32_t)op->imm);
    x64_move_imm(code, R11, ~(uint64_t)op->reg);
    keep_bits(code, R10, R11);
    x64_move_imm(code, R11, op->reg);
    x64_move(code, RCX, R9);
    keep_bits(code, RCX, R11);
    x64_soft_sum(code, R10, R10, RCX, 0, true);
    x64_store_state(code, (uint32_t)op->imm, R10);
    x64_move_imm(code, R11, KEPT);
    keep_bits(code, R9, R11);
    x64_lea(code, R9, R9, ALWAYS_ONE);
    host_stack(code);
    x64_bytes(code, push_r9_popfq, sizeof(push_r9_popfq));
    guest_stack(code);
    x64_soft_set_shift_count(code);
}

/* The 16 bits of the state at imm into a guest register of `size` bytes. */
void x64_soft_get_word(struct x64_emit *e, const struct ir_op *op)
{
    unsigned to = x64_soft_home(op->reg);
    struct ir_code *code = e->code;

    x64_load_state(code, R9, (uint32_t)op->imm);
    x64_soft_low_word(code, R9, R9);
    if (to != NO_HOME) {
        x64_soft_move_sized(code, to, R9, op->size);
        return;
    }
    x64_load_state(code, R10, X64_REG(op->reg));
    x64_soft_move_sized(code, R10, R9, op->size);
    x64_store_state(code, X64_REG(op->reg), R10);
}

/* MOV BYTE GS:[imm], reg. */
void x64_soft_store_byte(struct x64_emit *e, const struct ir_op *op)
{
    static const uint8_t opcode[] = {0x65, 0xc6};

    x64_bytes(e->code, opcode, sizeof(opcode));
    x64_gs_operand(e->code, 0, (uint32_t)op->imm);
    x64_byte(e->code, op->reg);
}

/* Leaves, the instruction being done, if the word of 4 bytes at imm is not 0. */
void x64_soft_leave_if(struct x64_emit *e, const struct ir_op *op)
{
    static const uint8_t load_ecx[] = {0x65, 0x8b};

    x64_bytes(e->code, load_ecx, sizeof(load_ecx));
    x64_gs_operand(e->code, RCX, (uint32_t)op->imm);
    x64_soft_or_leave(e, IR_EXIT_EVENT, 0);
}

/* Takes what the block has off the budget, unless there is not so much: then nothing has begun.
 * Budgets are below 2^31, so the upper half of the difference says which. */
void x64_soft_budget(struct x64_emit *e, const struct ir_op *op)
{
    static const uint8_t high_half[] = {0xc4, 0xc3, 0xfb, 0xf0, 0xc9, 0x20, /* rorx rcx, r9, 32 */
                                        0x89, 0xc9};                        /* mov ecx, ecx */

    x64_load_state(e->code, R9, X64_STATE(budget));
    x64_lea(e->code, R9, R9, -(int32_t)op->imm);
    x64_bytes(e->code, high_half, sizeof(high_half));
    x64_soft_or_leave(e, IR_EXIT_BUDGET, 0);
    x64_store_state(e->code, X64_STATE(budget), R9);
}
