/* SPDX-License-Identifier: MIT
 *
 * System mode: records of guest probes, and what filters are compiled to.
 *
 * A region is a run of generic operations inside one guest instruction. It has the scratch
 * registers of soft.c: RCX is where the next record goes, R9 and R10 are for values, which live in
 * state.temp. Where operations change flags that are still wanted, these are kept in a word of the
 * state block meanwhile.
 *
 * Each record has a header of its own, and state.stream is behind it when the region ends: it is
 * always right at the beginning of an instruction. An instruction may turn out to miss the TLB when
 * it has recorded something, and is begun again then. So the first record of one that may puts down
 * where it lies (state.stream_mark), and what leaves in the middle says so (IR_SITE_DROPS).
 */
#include <string.h>

#include "base/error.h"
#include "host/x64/soft.h"

enum { VALUE = R9, OTHER = R10, POINTER = RCX };

struct region {
    struct x64_emit *e;
    const struct ir_block *block;
    unsigned first, last;
    bool pointer;      /* POINTER is state.stream */
    bool target;       /* what TARGET has loaded was in RCX; it is in state.temp[0] */
    bool keep_flags;   /* they are in X64_FLAGS */
    bool wants_mark;   /* before the first word */
    unsigned words;    /* written, and not yet before state.stream */
    unsigned complete; /* of these, in complete records */
    uint32_t label[IR_BLOCK_LABELS];
    struct {
        uint32_t patch;
        uint8_t label;
    } branch[IR_BLOCK_LABELS * 2];
    unsigned branches;
};

/* --- values --- */

static uint32_t slot(unsigned value)
{
    return X64_STATE(temp) + 8 * value;
}

static void value_in(struct region *r, unsigned reg, unsigned value)
{
    x64_load_state(r->e->code, reg, slot(value));
}

static void value_out(struct region *r, const struct ir_op *op)
{
    x64_store_state(r->e->code, slot(op->out), VALUE);
}

/* Cuts VALUE to the size of the operation, zero-extended or sign-extended. */
static void extend(struct region *r, unsigned size, bool sign)
{
    struct native_insn n = {.modrm = NATIVE_MODRM_REG,
                            .map = NATIVE_MAP_0F,
                            .reg = VALUE,
                            .rm = VALUE,
                            .w = sign,
                            .rex = true,
                            .segment = NATIVE_DS};

    if (size == LONG)
        return;
    if (size == 4) {
        n.map = NATIVE_MAP_ONE;
        n.opcode = sign ? 0x63 : 0x8b; /* movsxd, or mov r32 */
    } else {
        n.opcode = (uint8_t)((sign ? 0xbe : 0xb6) + (size == 2));
    }
    x64_encode(r->e->code, &n);
}

static void operands_in(struct region *r, const struct ir_op *op)
{
    value_in(r, VALUE, op->in[0]);
    value_in(r, OTHER, op->in[1]);
}

static void binary(struct region *r, const struct ir_op *op, unsigned opcode)
{
    operands_in(r, op);
    x64_alu(r->e->code, opcode, VALUE, OTHER);
    extend(r, op->size, false);
    value_out(r, op);
}

static void multiply(struct region *r, const struct ir_op *op)
{
    operands_in(r, op);
    x64_encode(r->e->code, &(struct native_insn){.opcode = 0xaf,
                                                 .map = NATIVE_MAP_0F,
                                                 .modrm = NATIVE_MODRM_REG,
                                                 .reg = VALUE,
                                                 .rm = OTHER,
                                                 .w = true,
                                                 .segment = NATIVE_DS});
    extend(r, op->size, false);
    value_out(r, op);
}

/* SHLX, SHRX, SARX, by a count modulo the size. */
static void shift(struct region *r, const struct ir_op *op)
{
    static const uint8_t and_r10d[] = {0x41, 0x83, 0xe2};

    operands_in(r, op);
    if (op->op != IR_SHL)
        extend(r, op->size, op->op == IR_SAR);
    if (op->size < LONG) {
        x64_bytes(r->e->code, and_r10d, sizeof(and_r10d));
        x64_byte(r->e->code, op->size * 8u - 1);
    }
    x64_encode(r->e->code, &(struct native_insn){.opcode = 0xf7,
                                                 .map = NATIVE_MAP_0F38,
                                                 .prefix = op->op == IR_SHL   ? NATIVE_66
                                                           : op->op == IR_SHR ? NATIVE_F2
                                                                              : NATIVE_F3,
                                                 .vex = true,
                                                 .w = true,
                                                 .modrm = NATIVE_MODRM_REG,
                                                 .reg = VALUE,
                                                 .rm = VALUE,
                                                 .vvvv = OTHER,
                                                 .segment = NATIVE_DS});
    extend(r, op->size, false);
    value_out(r, op);
}

/* F7 with a number in the reg field: NOT, NEG. */
static void unary(struct region *r, const struct ir_op *op, unsigned number)
{
    value_in(r, VALUE, op->in[0]);
    x64_encode(r->e->code, &(struct native_insn){.opcode = 0xf7,
                                                 .w = true,
                                                 .modrm = NATIVE_MODRM_REG,
                                                 .reg = (uint8_t)number,
                                                 .rm = VALUE,
                                                 .segment = NATIVE_DS});
    extend(r, op->size, false);
    value_out(r, op);
}

static void compare(struct region *r, const struct ir_op *op)
{
    static const uint8_t condition[] = {
        [IR_EQ] = 4,  [IR_NE] = 5,   [IR_LTU] = 2,  [IR_GEU] = 3,  [IR_LEU] = 6,
        [IR_GTU] = 7, [IR_LTS] = 12, [IR_GES] = 13, [IR_LES] = 14, [IR_GTS] = 15,
    };
    bool sign = op->cond >= IR_LTS;

    value_in(r, VALUE, op->in[1]);
    extend(r, op->size, sign);
    x64_move(r->e->code, OTHER, VALUE);
    value_in(r, VALUE, op->in[0]);
    extend(r, op->size, sign);
    x64_alu(r->e->code, 0x39, VALUE, OTHER); /* cmp value, other */
    x64_encode(r->e->code, &(struct native_insn){.opcode = (uint8_t)(0x90 | condition[op->cond]),
                                                 .map = NATIVE_MAP_0F,
                                                 .modrm = NATIVE_MODRM_REG,
                                                 .rm = VALUE,
                                                 .rex = true,
                                                 .segment = NATIVE_DS});
    extend(r, 1, false);
    value_out(r, op);
}

/* --- the stream --- */

static void pointer_in(struct region *r)
{
    if (!r->pointer)
        x64_load_state(r->e->code, POINTER, X64_STATE(stream));
    r->pointer = true;
    if (r->wants_mark)
        x64_store_state(r->e->code, X64_STATE(stream_mark), POINTER);
    r->e->marked = r->e->marked || r->wants_mark;
    r->wants_mark = false;
}

/* What is complete is there. */
static void settle(struct region *r)
{
    if (r->complete == 0)
        return;
    pointer_in(r);
    x64_lea(r->e->code, POINTER, POINTER, (int32_t)(8 * r->complete));
    x64_store_state(r->e->code, X64_STATE(stream), POINTER);
    r->words -= r->complete;
    r->complete = 0;
}

/* A store to where the block's last word would go: behind the end of the buffer lies a page that
 * cannot be written, and the fault brings the engine (signal.c). */
static void stream_open(struct region *r, const struct ir_op *op)
{
    x64_point(r->e, IR_POINT_STREAM);
    x64_load_state(r->e->code, POINTER, X64_STATE(stream));
    x64_store(r->e->code, POINTER, (int32_t)(8 * op->imm), POINTER);
    x64_point(r->e, 0);
    r->pointer = true;
}

static void stream_word(struct region *r, unsigned reg)
{
    pointer_in(r);
    x64_store(r->e->code, POINTER, (int32_t)(8 * r->words), reg);
    r->words++;
}

static void stream_constant(struct region *r, uint64_t value)
{
    struct native_insn store = {.opcode = 0xc7, /* mov qword [rcx], imm32 */
                                .modrm = NATIVE_MODRM_MEM,
                                .w = true,
                                .segment = NATIVE_DS,
                                .base = POINTER,
                                .index = NATIVE_NONE,
                                .scale = 1,
                                .disp = (int32_t)(8 * r->words),
                                .imm = value,
                                .imm_size = 4};

    if ((int64_t)value != (int32_t)value) {
        x64_move_imm(r->e->code, VALUE, value);
        stream_word(r, VALUE);
        return;
    }
    pointer_in(r);
    x64_encode(r->e->code, &store);
    r->words++;
}

static bool is_long(const struct region *r)
{
    return r->block->soft.code == LONG;
}

/* The offset in its segment of an access into VALUE; OTHER changes. Returns the segment. */
static unsigned offset(struct region *r, const struct native_insn *n, enum ir_access access)
{
    struct ir_code *code = r->e->code;
    unsigned size = x64_soft_address_size(r->e, n);

    switch (access) {
    case IR_ACCESS_PUSH: x64_soft_stack_offset(r->e, -(int32_t)n->mem_size); return NATIVE_SS;
    case IR_ACCESS_POP: x64_soft_stack_offset(r->e, 0); return NATIVE_SS;
    case IR_ACCESS_FRAME:
        if (r->block->soft.stack == 2)
            x64_soft_low_word(code, VALUE, X64_RBP);
        else
            x64_soft_move_sized(code, VALUE, X64_RBP, r->block->soft.stack);
        return NATIVE_SS;
    default:
        if (n->mem_implicit & NATIVE_MOFFS)
            x64_move_imm(code, VALUE,
                         size == LONG ? n->imm
                         : size == 4  ? (uint32_t)n->imm
                                      : (uint16_t)n->imm);
        else
            x64_soft_offset(r->e, n);
        return n->segment;
    }
}

static void address(struct region *r, const struct ir_op *op)
{
    unsigned segment = offset(r, &r->block->native[op->native], op->reg);

    if (r->block->soft.based >> segment & 1) {
        x64_load_state(r->e->code, OTHER,
                       X64_STATE(segment) + (uint32_t)(segment * sizeof(struct ir_segment)));
        x64_soft_sum(r->e->code, VALUE, VALUE, OTHER, 0, is_long(r));
    }
    if (op->imm != 0) {
        x64_lea(r->e->code, VALUE, VALUE, (int32_t)op->imm);
        if (!is_long(r))
            extend(r, 4, false);
    }
}

/* The linear address of the branch's target. */
static void stream_target(struct region *r)
{
    x64_load_state(r->e->code, VALUE, X64_STATE(temp));
    if (r->block->soft.base != 0) {
        x64_move_imm(r->e->code, OTHER, r->block->soft.base);
        x64_lea_sum(r->e->code, VALUE, VALUE, OTHER);
    }
    if (!is_long(r))
        extend(r, 4, false);
    stream_word(r, VALUE);
}

/* Before an instruction that reads and writes its operand: at the operand, with all its checks.
 * Behind an access: at the address that the word before holds, which the TLB knows. */
static void stream_memory(struct region *r, const struct ir_op *op)
{
    struct ir_code *code = r->e->code;

    if (op->cond) {
        if (r->keep_flags) /* it may leave */
            x64_flags_in(r->e);
        x64_soft_operand(r->e, &r->block->native[op->native]);
        x64_lea_sum(code, VALUE, VALUE, OTHER);
        if (r->keep_flags)
            x64_flags_out(r->e);
        x64_load_state(code, POINTER, X64_STATE(stream));
        if (op->reg > 0)
            x64_lea(code, VALUE, VALUE, (int32_t)op->reg);
    } else {
        pointer_in(r);
        x64_load(code, VALUE, POINTER, (int32_t)(8 * (r->words - 1)));
        x64_soft_shift_page(code, OTHER, VALUE);
        x64_soft_low_word(code, OTHER, OTHER);
        x64_soft_load_table(code, OTHER, r->block->soft.addend, OTHER);
        x64_lea_sum(code, VALUE, VALUE, OTHER);
    }
    for (unsigned at = 0; at < op->imm; at += LONG) {
        unsigned left = (unsigned)op->imm - at;
        unsigned size = left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
        struct native_insn load = {.opcode = 0x8b,
                                   .modrm = NATIVE_MODRM_MEM,
                                   .reg = OTHER,
                                   .w = size == LONG,
                                   .segment = NATIVE_DS,
                                   .base = VALUE,
                                   .index = NATIVE_NONE,
                                   .scale = 1,
                                   .disp = (int32_t)at};

        if (size < 4) {
            load.map = NATIVE_MAP_0F;
            load.opcode = size == 1 ? 0xb6 : 0xb7;
        }
        x64_encode(code, &load);
        stream_word(r, OTHER);
    }
}

/* --- branches --- */

static void branch(struct region *r, const struct ir_op *op)
{
    struct ir_code *code = r->e->code;

    settle(r);
    r->pointer = false;
    if (op->op == IR_BRANCH_ZERO) {
        value_in(r, VALUE, op->in[0]);
        x64_alu(code, 0x85, VALUE, VALUE);
        x64_byte(code, 0x0f);
        x64_byte(code, 0x84);
    } else {
        x64_byte(code, 0xe9);
    }
    if (r->branches == sizeof(r->branch) / sizeof(r->branch[0]))
        bug("a region has more than %u branches", r->branches);
    r->branch[r->branches].patch = (uint32_t)code->size;
    r->branch[r->branches++].label = (uint8_t)op->imm;
    x64_u32(code, 0);
}

static void finish_branches(struct region *r)
{
    struct ir_code *code = r->e->code;

    for (unsigned i = 0; i < r->branches && !code->full; i++) {
        uint32_t disp = r->label[r->branch[i].label] - (r->branch[i].patch + 4);

        memcpy(code->write + r->branch[i].patch, &disp, sizeof(disp));
    }
}

/* --- one operation --- */

static void count(struct region *r, const struct ir_op *op)
{
    x64_load_state(r->e->code, VALUE, op->reg);
    x64_lea(r->e->code, VALUE, VALUE, (int32_t)op->imm);
    x64_store_state(r->e->code, op->reg, VALUE);
}

static void move(struct region *r, const struct ir_op *op, bool sign)
{
    value_in(r, VALUE, op->in[0]);
    extend(r, op->size, sign);
    value_out(r, op);
}

/* Values; false: it is another operation. */
static bool one_value(struct region *r, const struct ir_op *op)
{
    struct ir_code *code = r->e->code;

    switch (op->op) {
    case IR_CONST:
        x64_move_imm(code, VALUE, op->imm);
        value_out(r, op);
        return true;
    case IR_GET:
        x64_move(code, VALUE, x64_soft_value_of(code, op->reg, VALUE));
        value_out(r, op);
        return true;
    case IR_LOAD_STATE:
        x64_load_state(code, VALUE, (uint32_t)op->imm);
        extend(r, op->size, false);
        value_out(r, op);
        return true;
    case IR_ADDRESS:
        address(r, op);
        value_out(r, op);
        return true;
    case IR_ADD: binary(r, op, 0x01); return true;
    case IR_SUB: binary(r, op, 0x29); return true;
    case IR_AND: binary(r, op, 0x21); return true;
    case IR_OR: binary(r, op, 0x09); return true;
    case IR_XOR: binary(r, op, 0x31); return true;
    case IR_MUL: multiply(r, op); return true;
    case IR_SHL:
    case IR_SHR:
    case IR_SAR: shift(r, op); return true;
    case IR_NOT: unary(r, op, 2); return true;
    case IR_NEG: unary(r, op, 3); return true;
    case IR_MOVE:
    case IR_ZERO: move(r, op, false); return true;
    case IR_SIGN: move(r, op, true); return true;
    case IR_COMPARE: compare(r, op); return true;
    default: return false;
    }
}

static void one(struct region *r, const struct ir_op *op)
{
    if (one_value(r, op))
        return;
    switch (op->op) {
    case IR_LABEL:
        settle(r);
        r->pointer = false;
        r->label[op->imm] = (uint32_t)r->e->code->size;
        break;
    case IR_BRANCH_ZERO:
    case IR_BRANCH: branch(r, op); break;
    case IR_COUNT: count(r, op); break;
    case IR_STREAM_OPEN: stream_open(r, op); break;
    case IR_STREAM_CONST: stream_constant(r, op->imm); break;
    case IR_STREAM_VALUE:
        value_in(r, VALUE, op->in[0]);
        stream_word(r, VALUE);
        break;
    case IR_STREAM_ADDRESS:
        address(r, op);
        stream_word(r, VALUE);
        break;
    case IR_STREAM_TARGET: stream_target(r); break;
    case IR_STREAM_MEMORY: stream_memory(r, op); break;
    case IR_STREAM_SKIP: r->words += (unsigned)op->imm; break;
    case IR_STREAM_CLOSE: r->complete = r->words; break;
    default: bug("x64: no code for operation %s in system mode", ir_op_name(op->op));
    }
}

/* --- regions --- */

static bool is_insn_end(const struct ir_block *block, unsigned index)
{
    return index >= block->op_count || block->op[index].op == IR_INSN;
}

/* Whether the instruction has an access to memory behind the region. */
static bool may_miss(const struct ir_block *block, unsigned index)
{
    for (; !is_insn_end(block, index); index++) {
        const struct ir_op *op = &block->op[index];
        const struct native_insn *n = &block->native[op->native];

        if (op->op == IR_PUSH_FLAGS || op->op == IR_POP_FLAGS ||
            ((op->op == IR_NATIVE || op->op == IR_TARGET) && (n->mem_access || n->mem_implicit)))
            return true;
    }
    return false;
}

/* Whether RCX is what TARGET has loaded. */
static bool has_target(const struct ir_block *block, unsigned first)
{
    for (unsigned i = first; i-- > 0 && block->op[i].op != IR_INSN;)
        if (block->op[i].op == IR_TARGET)
            return !block->op[i].cond; /* else it is kept already */
    return false;
}

static bool uses_stream(const struct ir_block *block, unsigned first, unsigned last)
{
    for (unsigned i = first; i < last; i++)
        if (x64_is_stream(block->op[i].op))
            return true;
    return false;
}

static bool changes_flags(const struct ir_block *block, unsigned first, unsigned last)
{
    for (unsigned i = first; i < last; i++)
        if ((ir_op_flags(block->op[i].op) & IR_CLOBBERS) && block->op[i].op != IR_COUNT)
            return true;
    return false;
}

void x64_soft_region(struct x64_emit *e, unsigned first, unsigned last)
{
    const struct ir_block *block = e->block;
    bool stream = uses_stream(block, first, last);
    struct region r;

    r.e = e;
    r.block = block;
    r.first = first;
    r.last = last;
    r.pointer = false;
    r.target = stream && has_target(block, first);
    r.wants_mark = stream && !e->marked && may_miss(block, last);
    r.keep_flags = block->op[first].flags_live && changes_flags(block, first, last);
    r.words = r.complete = r.branches = 0;
    if (r.target)
        x64_store_state(e->code, X64_STATE(temp), X64_RCX);
    if (r.keep_flags)
        x64_flags_out(e);
    for (unsigned i = first; i < last; i++) {
        if (r.wants_mark && block->op[i].op != IR_STREAM_OPEN)
            pointer_in(&r);
        one(&r, &block->op[i]);
    }
    settle(&r);
    finish_branches(&r);
    if (r.keep_flags)
        x64_flags_in(e);
    if (r.target)
        x64_load_state(e->code, X64_RCX, X64_STATE(temp));
}

unsigned x64_soft_regions(struct x64_emit *e, unsigned first)
{
    const struct ir_block *block = e->block;
    unsigned last = first;

    while (last < block->op_count && ir_op_is_generic(block->op[last].op))
        last++;
    x64_soft_region(e, first, last);
    return last - first;
}
