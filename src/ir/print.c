/* SPDX-License-Identifier: MIT
 *
 * A block as text, for -d op: one line an operation, values as t0, t1, guest registers by number,
 * behind each its liveness where it matters.
 *
 *     ---- 0000555555556000 1
 *      native opcode=89 reg=4 rm=7
 *      const t0, $0x10
 *      add t1, t0, t0
 */
#include "base/strbuf.h"
#include "ir/block.h"

static const char *const conditions[] = {"eq",  "ne",  "ltu", "geu", "leu",
                                         "gtu", "lts", "ges", "les", "gts"};
static const char *const accesses[] = {"operand",     "push",  "pop",  "source",
                                       "destination", "table", "frame"};
static const char *const kinds[] = {"end", "jump", "call", "ret", "not-taken"};

static void print_native(const struct native_insn *native, struct strbuf *text)
{
    strbuf_printf(text, " map=%u opcode=%02x", native->map, native->opcode);
    if (native->modrm != NATIVE_MODRM_NONE)
        strbuf_printf(text, " reg=%u", native->reg);
    if (native->modrm == NATIVE_MODRM_REG || (native->attributes & NATIVE_OPCODE_REG))
        strbuf_printf(text, " rm=%u", native->rm);
    if (native->modrm == NATIVE_MODRM_MEM && native->base >= NATIVE_RIP &&
        native->base != NATIVE_NONE)
        strbuf_printf(text, " [0x%lx]", (unsigned long)native->address);
    else if (native->modrm == NATIVE_MODRM_MEM)
        strbuf_printf(
            text, " [base=%d index=%d*%u %+d]", native->base == NATIVE_NONE ? -1 : native->base,
            native->index == NATIVE_NONE ? -1 : native->index, native->scale, native->disp);
    if (native->imm_size)
        strbuf_printf(text, " $0x%lx", (unsigned long)native->imm);
}

static void print_rest(const struct ir_block *block, const struct ir_op *op, struct strbuf *text)
{
    unsigned long imm = (unsigned long)op->imm;

    switch (op->op) {
    case IR_NATIVE:
    case IR_TARGET: print_native(&block->native[op->native], text); break;
    case IR_ADDRESS:
    case IR_STREAM_ADDRESS: strbuf_printf(text, " %s", accesses[op->reg % 7]); break;
    case IR_GET:
    case IR_PUT: strbuf_printf(text, ", r%u", op->reg); break;
    case IR_COMPARE: strbuf_printf(text, ", %s", conditions[op->cond % 10]); break;
    case IR_COUNT: strbuf_printf(text, " [state+%u], $0x%lx", op->reg, imm); break;
    case IR_JUMP: strbuf_printf(text, " %s $0x%lx", kinds[op->reg % 5], imm); break;
    case IR_JUMP_TARGET: strbuf_printf(text, " %s", kinds[op->reg % 5]); break;
    case IR_JUMP_IF: strbuf_printf(text, " cc=%x $0x%lx", op->cond, imm); break;
    case IR_EXIT: strbuf_printf(text, " cause=%u $0x%lx", op->reg, imm); break;
    case IR_CONST:
    case IR_LOAD_STATE:
    case IR_STORE_STATE:
    case IR_LABEL:
    case IR_BRANCH:
    case IR_BRANCH_ZERO:
    case IR_STREAM_OPEN:
    case IR_ANCHOR:
    case IR_ANCHOR_JUMP:
    case IR_STREAM_CONST:
    case IR_STREAM_MEMORY:
    case IR_STREAM_SKIP:
    case IR_JUMP_LOOP:
        strbuf_printf(text, "%s $0x%lx", ir_op_outputs(op->op) || ir_op_inputs(op->op) ? "," : "",
                      imm);
        break;
    default: break;
    }
}

void ir_print(const struct ir_block *block, struct strbuf *text)
{
    for (unsigned i = 0; i < block->op_count; i++) {
        const struct ir_op *op = &block->op[i];
        unsigned flags = ir_op_flags(op->op);

        if (op->op == IR_INSN) {
            strbuf_printf(text, " ---- %016lx %u\n",
                          (unsigned long)(block->pc + block->insn[op->insn].offset),
                          block->insn[op->insn].length);
            continue;
        }
        strbuf_printf(text, " %s", ir_op_name(op->op));
        if (ir_op_outputs(op->op))
            strbuf_printf(text, " t%u", op->out);
        for (unsigned n = 0; n < ir_op_inputs(op->op); n++)
            strbuf_printf(text, "%s t%u", ir_op_outputs(op->op) || n ? "," : "", op->in[n]);
        print_rest(block, op, text);
        if ((flags & IR_CLOBBERS) && op->flags_live)
            strbuf_printf(text, " (flags live)");
        strbuf_printf(text, "\n");
    }
}
