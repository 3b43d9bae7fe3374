/* SPDX-License-Identifier: MIT
 *
 * Building a block, and what the list of operations says about each.
 */
#include "ir/block.h"

#include <string.h>

#include "base/error.h"

static const struct {
    const char *name;
    uint8_t out, in, flags;
} rows[] = {
#define IR_OP_ROW(op, name, out, in, flags) [IR_##op] = {name, out, in, flags},
    IR_OPS(IR_OP_ROW)
#undef IR_OP_ROW
};

const char *ir_op_name(enum ir_opcode op)
{
    return rows[op].name;
}

unsigned ir_op_flags(enum ir_opcode op)
{
    return rows[op].flags;
}

unsigned ir_op_outputs(enum ir_opcode op)
{
    return rows[op].out;
}

unsigned ir_op_inputs(enum ir_opcode op)
{
    return rows[op].in;
}

void ir_block_begin(struct ir_block *block, uint64_t pc)
{
    memset(block, 0, offsetof(struct ir_block, insn));
    block->pc = pc;
}

bool ir_block_insn(struct ir_block *block, unsigned length)
{
    struct ir_insn *insn;

    if (block->insn_count == IR_BLOCK_INSNS ||
        block->op_count + IR_OPS_AN_INSN > IR_BLOCK_OPS / 2 ||
        block->native_count + 4 > IR_BLOCK_INSNS * 4 || block->bytes + length > IR_BLOCK_BYTES)
        return false;
    insn = &block->insn[block->insn_count++];
    insn->offset = (uint16_t)block->bytes;
    insn->length = (uint8_t)length;
    block->bytes += length;
    block->temp_count = 0;
    block->label_count = 0;
    ir_append(block, IR_INSN);
    return true;
}

struct ir_op *ir_append(struct ir_block *block, enum ir_opcode op)
{
    struct ir_op *new_op;

    if (block->op_count == IR_BLOCK_OPS)
        bug("block at %#lx has more than %d operations", (unsigned long)block->pc, IR_BLOCK_OPS);
    new_op = &block->op[block->op_count++];
    *new_op = (struct ir_op){.op = (uint8_t)op, .size = 8};
    new_op->insn = block->insn_count > 0 ? (uint8_t)(block->insn_count - 1) : 0;
    if (rows[op].flags & IR_ENDS)
        block->ended = true;
    if (ir_op_is_generic(op))
        block->generic = true;
    return new_op;
}

unsigned ir_native_add(struct ir_block *block, const struct native_insn *native)
{
    if (block->native_count == IR_BLOCK_INSNS * 4)
        bug("block at %#lx has too many native instructions", (unsigned long)block->pc);
    block->native[block->native_count] = *native;
    return block->native_count++;
}

struct ir_op *ir_append_native(struct ir_block *block, enum ir_opcode op,
                               const struct native_insn *native)
{
    unsigned index = ir_native_add(block, native);
    struct ir_op *new_op = ir_append(block, op);

    new_op->native = (uint16_t)index;
    return new_op;
}

struct ir_op *ir_append_jump(struct ir_block *block, uint64_t target)
{
    struct ir_op *op = ir_append(block, IR_JUMP);

    op->imm = target;
    return op;
}

struct ir_op *ir_append_exit(struct ir_block *block, unsigned cause, uint64_t argument)
{
    struct ir_op *op = ir_append(block, IR_EXIT);

    op->reg = cause;
    op->imm = argument;
    return op;
}

unsigned ir_value(struct ir_block *block, enum ir_opcode op, unsigned size, unsigned in0,
                  unsigned in1, uint64_t imm)
{
    struct ir_op *new_op = ir_append(block, op);

    if (block->temp_count == IR_BLOCK_TEMPS)
        bug("an instruction at %#lx needs too many values", (unsigned long)block->pc);
    new_op->size = (uint8_t)size;
    new_op->in[0] = (uint8_t)in0;
    new_op->in[1] = (uint8_t)in1;
    new_op->imm = imm;
    new_op->out = (uint8_t)block->temp_count++;
    return new_op->out;
}

static bool verify_values(const struct ir_block *block, unsigned index, bool *made,
                          struct error *err)
{
    const struct ir_op *op = &block->op[index];

    for (unsigned i = 0; i < rows[op->op].in; i++) {
        if (op->in[i] >= IR_BLOCK_TEMPS || !made[op->in[i]])
            return error_set(err, "operation %u (%s) reads value %u, which nothing before it makes",
                             index, rows[op->op].name, op->in[i]);
    }
    if (rows[op->op].out) {
        if (op->out >= IR_BLOCK_TEMPS)
            return error_set(err, "operation %u (%s) makes value %u; there are %d", index,
                             rows[op->op].name, op->out, IR_BLOCK_TEMPS);
        made[op->out] = true;
    }
    return true;
}

bool ir_verify(const struct ir_block *block, struct error *err)
{
    bool made[IR_BLOCK_TEMPS] = {false};

    if (block->op_count == 0 || !(rows[block->op[block->op_count - 1].op].flags & IR_ENDS))
        return error_set(err, "the block at %#lx does not end", (unsigned long)block->pc);
    for (unsigned i = 0; i < block->op_count; i++) {
        const struct ir_op *op = &block->op[i];

        if (op->op >= IR_OP_COUNT)
            return error_set(err, "operation %u: there is no operation %u", i, op->op);
        if (op->op == IR_INSN)
            memset(made, 0, sizeof(made));
        if ((rows[op->op].flags & IR_ENDS) && i + 1 < block->op_count)
            return error_set(err, "operation %u (%s) ends the block, but %u follow", i,
                             rows[op->op].name, block->op_count - i - 1);
        if (!verify_values(block, i, made, err))
            return false;
        if (op->size != 1 && op->size != 2 && op->size != 4 && op->size != 8)
            return error_set(err, "operation %u (%s): size %u", i, rows[op->op].name, op->size);
    }
    return true;
}
