/* SPDX-License-Identifier: MIT
 *
 * What is computed in borrowed registers: memory operands that cannot be addressed as they stand,
 * and regions of generic operations.
 *
 * A region is a run of generic operations inside one guest instruction. Three registers that it
 * does not read as the guest's are borrowed for it: stored to the state block first, unless the
 * guest's value is dead, and loaded again behind it. Where the region changes flags that are still
 * wanted, these are kept in a word of the state block meanwhile. From the first store to the last
 * load the side table has them as saved, so a fault within finds the guest's values.
 *
 * Values live in state.temp; the one that was made last is also in the first borrowed register.
 */
#include <string.h>

#include "base/error.h"
#include "host/x64/internal.h"

enum { NO_VALUE = 0xff };

struct region {
    struct x64_emit *e;
    const struct ir_block *block;
    unsigned reg[3];   /* borrowed */
    uint16_t stored;   /* of these, which have to be loaded again */
    bool keep_flags;   /* they are in X64_FLAGS */
    bool flags_dead;   /* operations may change the flags */
    unsigned in_first; /* the value that is in reg[0], or NO_VALUE */
    uint32_t words;    /* stream words written and not yet counted in state.stream */
    uint32_t label[IR_BLOCK_LABELS];
    struct {
        uint32_t patch;
        uint8_t label;
    } branch[IR_BLOCK_LABELS * 2];
    unsigned branch_count;
};

unsigned x64_pick(unsigned *avoid, unsigned prefer)
{
    /* R11 to R8 first: short leaf code uses them least. */
    static const uint8_t order[] = {11, 10, 9, 8, 1, 6, 7, 2, 0, 3, 5, 12, 13, 14, 15};

    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < sizeof(order); i++) {
            unsigned bit = 1u << order[i];

            if ((*avoid & bit) || (pass == 0 && !(prefer & bit)))
                continue;
            *avoid |= bit;
            return order[i];
        }
    }
    bug("no register is left to borrow");
}

void x64_borrow(struct x64_emit *e, unsigned reg)
{
    x64_store_state(e->code, X64_REG(reg), reg);
    e->saved |= (uint16_t)(1u << reg);
}

void x64_give_back(struct x64_emit *e, unsigned reg)
{
    x64_load_state(e->code, reg, X64_REG(reg));
}

/* LEA of the operand's offset, without its segment. */
static void effective_address(struct ir_code *code, unsigned to, const struct native_insn *native)
{
    struct native_insn lea = {
        .opcode = 0x8d,
        .modrm = NATIVE_MODRM_MEM,
        .reg = (uint8_t)to,
        .w = !(native->prefix & NATIVE_67),
        .segment = NATIVE_DS,
        .base = native->base,
        .index = native->attributes & NATIVE_VSIB ? NATIVE_NONE : native->index,
        .scale = native->scale,
        .disp = native->disp,
        .address = native->address,
    };

    /* POP makes the address with RSP as it is behind the read (SDM vol. 2, POP). */
    if ((native->mem_implicit & NATIVE_POP) && native->base == X64_RSP)
        lea.disp += native->mem_size;
    if (native->base == NATIVE_RIP) {
        x64_move_imm(code, to, native->address);
    } else if (native->mem_implicit & NATIVE_MOFFS) {
        x64_move_imm(code, to, native->prefix & NATIVE_67 ? (uint32_t)native->imm : native->imm);
    } else {
        x64_encode(code, &lea);
    }
}

/* MOV with an address of 8 bytes to MOV with a memory operand at [reg]. */
static void from_moffs(struct native_insn *native)
{
    native->opcode = (uint8_t)(native->opcode - 0xa0 < 2 ? native->opcode - 0xa0 + 0x8a
                                                         : native->opcode - 0xa2 + 0x88);
    native->modrm = NATIVE_MODRM_MEM;
    native->reg = X64_RAX;
    native->imm_size = 0;
}

/* Adds the guest's GS base to a register that holds an address, by way of `other`; or takes it off
 * again. The flags stay: -b is ~b + 1. */
static void add_base(struct x64_emit *e, unsigned reg, unsigned other, bool off)
{
    struct native_insn invert = {.opcode = 0xf7,
                                 .modrm = NATIVE_MODRM_REG,
                                 .reg = 2,
                                 .rm = (uint8_t)other,
                                 .w = true,
                                 .segment = NATIVE_DS};

    x64_load_state(e->code, other, X64_STATE(other_base));
    if (off)
        x64_encode(e->code, &invert);
    x64_lea_sum(e->code, reg, reg, other);
    if (off)
        x64_lea(e->code, reg, reg, 1);
}

/* Implicit operands with GS: the register itself gets the base for the instruction. RSI moves in
 * string instructions, so a fault in one takes the base off again (x64_context_recover()); the
 * others stay and are in the state block meanwhile. */
static void implicit_gs(struct x64_emit *e, const struct native_insn *native)
{
    bool string = native->mem_implicit & NATIVE_STRING_SI;
    unsigned reg = string ? X64_RSI : native->mem_implicit & NATIVE_XLAT ? X64_RBX : X64_RDI;
    unsigned avoid = native->gpr_read | native->gpr_written | 1u << X64_RSP | 1u << reg | e->saved;
    unsigned other = x64_pick(&avoid, 0);
    struct native_insn copy = *native;
    uint16_t before = e->saved;

    copy.segment = NATIVE_DS;
    x64_borrow(e, other);
    if (!string)
        x64_borrow(e, reg);
    x64_point(e, 0);
    add_base(e, reg, other, false);
    x64_point(e, string ? IR_POINT_BASE_ADDED : 0);
    x64_encode(e->code, &copy);
    x64_point(e, 0);
    if (string)
        add_base(e, reg, other, true);
    else
        x64_give_back(e, reg);
    x64_give_back(e, other);
    e->saved = before;
}

/* Cuts a register to 32 bits: MOV r32, r32. */
static void cut(struct x64_emit *e, unsigned reg)
{
    struct native_insn move = {.opcode = 0x8b,
                               .modrm = NATIVE_MODRM_REG,
                               .reg = (uint8_t)reg,
                               .rm = (uint8_t)reg,
                               .segment = NATIVE_DS};

    x64_encode(e->code, &move);
}

/* XLAT becomes MOV AL from what LEA computes of EBX and AL. */
static void xlat_gs_short(struct x64_emit *e)
{
    unsigned avoid = 1u << X64_RSP | 1u << X64_RAX | 1u << X64_RBX | e->saved;
    unsigned reg = x64_pick(&avoid, 0), other = x64_pick(&avoid, 0);
    struct native_insn al = {.opcode = 0xb6,
                             .map = NATIVE_MAP_0F,
                             .modrm = NATIVE_MODRM_REG,
                             .reg = (uint8_t)reg,
                             .rm = X64_RAX,
                             .segment = NATIVE_DS};
    struct native_insn lea = {.opcode = 0x8d,
                              .modrm = NATIVE_MODRM_MEM,
                              .reg = (uint8_t)reg,
                              .segment = NATIVE_DS,
                              .base = X64_RBX,
                              .index = (uint8_t)reg,
                              .scale = 1};
    struct native_insn load = {.opcode = 0x8a,
                               .modrm = NATIVE_MODRM_MEM,
                               .reg = X64_RAX,
                               .segment = NATIVE_DS,
                               .base = (uint8_t)reg,
                               .index = NATIVE_NONE};
    uint16_t before = e->saved;

    x64_borrow(e, reg);
    x64_borrow(e, other);
    x64_point(e, 0);
    x64_encode(e->code, &al);
    x64_encode(e->code, &lea);
    add_base(e, reg, other, false);
    x64_encode(e->code, &load);
    x64_give_back(e, reg);
    x64_give_back(e, other);
    e->saved = before;
}

/* The same with addresses of 32 bits (once, without REP): they are cut before the base is added,
 * and what moves is cut again behind the instruction, which itself has addresses of 64 bits. */
static void implicit_gs_short(struct x64_emit *e, const struct native_insn *native)
{
    bool string = native->mem_implicit & NATIVE_STRING_SI;
    bool both = native->mem_implicit & (NATIVE_STRING_DI_R | NATIVE_STRING_DI_W);
    unsigned reg = string ? X64_RSI : X64_RDI;
    unsigned avoid = native->gpr_read | native->gpr_written | 1u << X64_RSP | 1u << reg | e->saved;
    unsigned other = x64_pick(&avoid, 0);
    struct native_insn copy = *native;
    uint16_t before = e->saved;

    copy.segment = NATIVE_DS;
    copy.prefix &= (uint8_t)~NATIVE_67;
    x64_borrow(e, other);
    x64_borrow(e, reg);
    if (both)
        x64_borrow(e, X64_RDI);
    x64_point(e, 0);
    cut(e, reg);
    add_base(e, reg, other, false);
    if (both)
        cut(e, X64_RDI);
    x64_encode(e->code, &copy);
    x64_point(e, 0);
    if (string) {
        add_base(e, reg, other, true);
        cut(e, reg);
    } else {
        x64_give_back(e, reg);
    }
    if (both)
        cut(e, X64_RDI);
    x64_give_back(e, other);
    e->saved = before;
}

void x64_native_far(struct x64_emit *e, const struct native_insn *native)
{
    struct ir_code *code = e->code;
    struct native_insn copy = *native;
    uint16_t before = e->saved;
    unsigned avoid = native->gpr_read | native->gpr_written | 1u << X64_RSP | e->saved;
    unsigned reg, other = 0;
    bool gs = native->segment == NATIVE_GS;

    if (native->modrm != NATIVE_MODRM_MEM && !(native->mem_implicit & NATIVE_MOFFS)) {
        if (!(native->prefix & NATIVE_67))
            implicit_gs(e, native);
        else if (native->mem_implicit & NATIVE_XLAT)
            xlat_gs_short(e);
        else
            implicit_gs_short(e, native);
        return;
    }
    /* AH to BH exist only without REX, so with a base that needs none. */
    if (native->attributes & NATIVE_REG_BYTE && !native->rex && native->reg >= 4)
        avoid |= 0xff00;
    reg = x64_pick(&avoid, 0);
    x64_borrow(e, reg);
    if (gs) {
        other = x64_pick(&avoid, 0);
        x64_borrow(e, other);
    }
    x64_point(e, 0);
    effective_address(code, reg, native);
    if (gs) {
        x64_load_state(code, other, X64_STATE(other_base));
        x64_lea_sum(code, reg, reg, other);
        copy.segment = NATIVE_DS;
    }
    if (native->mem_implicit & NATIVE_MOFFS)
        from_moffs(&copy);
    copy.prefix &= (uint8_t)~NATIVE_67;
    copy.base = (uint8_t)reg;
    copy.disp = 0;
    if (!(native->attributes & NATIVE_VSIB))
        copy.index = NATIVE_NONE;
    x64_encode(code, &copy);
    x64_give_back(e, reg);
    if (gs)
        x64_give_back(e, other);
    e->saved = before;
}

/* --- regions --- */

/* --- flags --- */

void x64_flags_out(struct x64_emit *e)
{
    static const uint8_t lahf_seto[] = {0x9f, 0x0f, 0x90, 0xc0};

    x64_store_state(e->code, X64_REG(X64_RAX), X64_RAX);
    x64_bytes(e->code, lahf_seto, sizeof(lahf_seto));
    x64_store_state(e->code, X64_WORD(X64_FLAGS), X64_RAX);
    x64_load_state(e->code, X64_RAX, X64_REG(X64_RAX));
}

void x64_flags_in(struct x64_emit *e)
{
    static const uint8_t add_sahf[] = {0x04, 0x7f, 0x9e}; /* add al, 7f: OF = old AL; sahf */

    x64_store_state(e->code, X64_REG(X64_RAX), X64_RAX);
    x64_load_state(e->code, X64_RAX, X64_WORD(X64_FLAGS));
    x64_bytes(e->code, add_sahf, sizeof(add_sahf));
    x64_load_state(e->code, X64_RAX, X64_REG(X64_RAX));
}

/* --- values --- */

static uint32_t slot(unsigned value)
{
    return X64_STATE(temp) + 8 * value;
}

static void value_in(struct region *r, unsigned reg, unsigned value)
{
    if (r->in_first == value)
        x64_move(r->e->code, reg, r->reg[0]);
    else
        x64_load_state(r->e->code, reg, slot(value));
    if (reg == r->reg[0])
        r->in_first = value;
}

/* reg[0] holds the result. */
static void value_out(struct region *r, const struct ir_op *op)
{
    x64_store_state(r->e->code, slot(op->out), r->reg[0]);
    r->in_first = op->out;
}

/* Cuts reg[0] to the size of the operation, zero-extended or sign-extended. */
static void extend(struct region *r, unsigned size, bool sign)
{
    struct native_insn n = {.modrm = NATIVE_MODRM_REG,
                            .map = NATIVE_MAP_0F,
                            .reg = (uint8_t)r->reg[0],
                            .rm = (uint8_t)r->reg[0],
                            .w = sign,
                            .rex = true,
                            .segment = NATIVE_DS};

    if (size == 8)
        return;
    if (size == 4) {
        n.map = NATIVE_MAP_ONE;
        n.opcode = sign ? 0x63 : 0x8b; /* movsxd, or mov r32 */
    } else {
        n.opcode = (uint8_t)((sign ? 0xbe : 0xb6) + (size == 2));
    }
    x64_encode(r->e->code, &n);
}

static void binary(struct region *r, const struct ir_op *op, unsigned opcode)
{
    value_in(r, r->reg[1], op->in[1]);
    value_in(r, r->reg[0], op->in[0]);
    x64_alu(r->e->code, opcode, r->reg[0], r->reg[1]);
    extend(r, op->size, false);
    value_out(r, op);
}

static void multiply(struct region *r, const struct ir_op *op)
{
    struct native_insn n = {.opcode = 0xaf,
                            .map = NATIVE_MAP_0F,
                            .modrm = NATIVE_MODRM_REG,
                            .reg = (uint8_t)r->reg[0],
                            .rm = (uint8_t)r->reg[1],
                            .w = true,
                            .segment = NATIVE_DS};

    value_in(r, r->reg[1], op->in[1]);
    value_in(r, r->reg[0], op->in[0]);
    x64_encode(r->e->code, &n);
    extend(r, op->size, false);
    value_out(r, op);
}

/* SHLX, SHRX, SARX need BMI2; SHL by CL would need RCX: exchange it for a moment. */
static void shift(struct region *r, const struct ir_op *op, unsigned extension)
{
    struct ir_code *code = r->e->code;
    unsigned value = r->reg[0];

    value_in(r, r->reg[1], op->in[1]);
    value_in(r, r->reg[0], op->in[0]);
    if (op->op != IR_SHL)
        extend(r, op->size, op->op == IR_SAR);
    /* xchg rcx, reg[1]; the value may itself be in RCX, then it is in reg[1] now */
    x64_alu(code, 0x87, X64_RCX, r->reg[1]);
    if (value == X64_RCX)
        value = r->reg[1];
    else if (r->reg[1] == X64_RCX)
        value = r->reg[0];
    if (op->size < 8) { /* the count is taken modulo the size */
        static const uint8_t and_ecx[] = {0x83, 0xe1};

        x64_bytes(code, and_ecx, sizeof(and_ecx));
        x64_byte(code, op->size * 8u - 1);
    }
    x64_byte(code, 0x48 | value >> 3);
    x64_byte(code, 0xd3);
    x64_byte(code, 0xc0 | extension << 3 | (value & 7));
    x64_alu(code, 0x87, X64_RCX, r->reg[1]);
    extend(r, op->size, false);
    value_out(r, op);
}

static void unary(struct region *r, const struct ir_op *op, unsigned extension)
{
    value_in(r, r->reg[0], op->in[0]);
    x64_byte(r->e->code, 0x48 | r->reg[0] >> 3);
    x64_byte(r->e->code, 0xf7);
    x64_byte(r->e->code, 0xc0 | extension << 3 | (r->reg[0] & 7));
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
    struct native_insn setcc = {.opcode = (uint8_t)(0x90 | condition[op->cond]),
                                .map = NATIVE_MAP_0F,
                                .modrm = NATIVE_MODRM_REG,
                                .rm = (uint8_t)r->reg[0],
                                .rex = true,
                                .segment = NATIVE_DS};

    if (op->size < 8) {
        value_in(r, r->reg[0], op->in[1]);
        extend(r, op->size, sign);
        x64_move(r->e->code, r->reg[1], r->reg[0]);
        r->in_first = NO_VALUE;
        value_in(r, r->reg[0], op->in[0]);
        extend(r, op->size, sign);
    } else {
        value_in(r, r->reg[1], op->in[1]);
        value_in(r, r->reg[0], op->in[0]);
    }
    x64_alu(r->e->code, 0x39, r->reg[0], r->reg[1]);
    x64_encode(r->e->code, &setcc);
    extend(r, 1, false);
    value_out(r, op);
}

static void memory(struct region *r, const struct ir_op *op, bool store)
{
    struct native_insn n = {.opcode = op->size == 1 ? 0x8a : 0x8b,
                            .modrm = NATIVE_MODRM_MEM,
                            .reg = (uint8_t)r->reg[0],
                            .w = op->size == 8,
                            .rex = true,
                            .prefix = op->size == 2 ? NATIVE_66 : 0,
                            .segment = NATIVE_DS,
                            .base = (uint8_t)r->reg[1],
                            .index = NATIVE_NONE,
                            .scale = 1};

    value_in(r, r->reg[1], op->in[0]);
    if (store) {
        value_in(r, r->reg[0], op->in[1]);
        n.opcode = op->size == 1 ? 0x88 : 0x89;
        x64_encode(r->e->code, &n);
        r->in_first = op->in[1];
        return;
    }
    if (op->size < 4) { /* MOVZX */
        n.map = NATIVE_MAP_0F;
        n.opcode = op->size == 1 ? 0xb6 : 0xb7;
        n.prefix = 0;
    }
    x64_encode(r->e->code, &n);
    value_out(r, op);
}

/* The offset of one of an instruction's accesses into `to`. */
static void access_offset(struct x64_emit *e, unsigned to, unsigned other,
                          const struct native_insn *native, enum ir_access access)
{
    static const uint8_t movzx_al[] = {0xb6};
    struct ir_code *code = e->code;
    unsigned size = native->mem_size;
    bool stack = access == IR_ACCESS_PUSH || access == IR_ACCESS_POP || access == IR_ACCESS_FRAME;

    switch (access) {
    case IR_ACCESS_OPERAND: effective_address(code, to, native); break;
    case IR_ACCESS_PUSH: x64_lea(code, to, X64_RSP, -(int32_t)size); break;
    case IR_ACCESS_POP: x64_move(code, to, X64_RSP); break;
    case IR_ACCESS_FRAME: x64_move(code, to, X64_RBP); break;
    case IR_ACCESS_SOURCE: x64_move(code, to, X64_RSI); break;
    case IR_ACCESS_DESTINATION: x64_move(code, to, X64_RDI); break;
    case IR_ACCESS_TABLE: /* movzx other, al; lea to, [rbx+other] */
        x64_byte(code, 0x48 | other >> 3 << 2);
        x64_byte(code, 0x0f);
        x64_bytes(code, movzx_al, sizeof(movzx_al));
        x64_byte(code, 0xc0 | (other & 7) << 3);
        x64_lea_sum(code, to, X64_RBX, other);
        break;
    }
    if ((native->prefix & NATIVE_67) && !stack && access != IR_ACCESS_OPERAND)
        cut(e, to);
}

/* Whether the segment of the operand applies to the access: not to the stack and the destination of
 * string instructions. */
static bool has_segment(enum ir_access access)
{
    return access == IR_ACCESS_OPERAND || access == IR_ACCESS_SOURCE || access == IR_ACCESS_TABLE;
}

/* Adds a segment's base to `to`, by way of `other`. */
static void add_segment(struct ir_code *code, unsigned segment, unsigned to, unsigned other)
{
    static const uint8_t rdfsbase[] = {0x0f, 0xae};

    if (segment == NATIVE_GS) {
        x64_load_state(code, other, X64_STATE(other_base));
    } else {
        x64_byte(code, 0xf3);
        x64_byte(code, 0x48 | other >> 3);
        x64_bytes(code, rdfsbase, sizeof(rdfsbase));
        x64_byte(code, 0xc0 | (other & 7));
    }
    x64_lea_sum(code, to, to, other);
}

void x64_linear_address(struct x64_emit *e, const struct native_insn *native, enum ir_access access,
                        unsigned to)
{
    bool segment =
        has_segment(access) && (native->segment == NATIVE_FS || native->segment == NATIVE_GS);
    unsigned avoid = native->gpr_read | 1u << X64_RSP | 1u << to | e->saved;
    unsigned other = 0;
    uint16_t before = e->saved;

    if (segment || access == IR_ACCESS_TABLE) {
        other = x64_pick(&avoid, 0);
        x64_borrow(e, other);
        x64_point(e, 0);
    }
    access_offset(e, to, other, native, access);
    if (segment)
        add_segment(e->code, native->segment, to, other);
    if (e->saved != before)
        x64_give_back(e, other);
    e->saved = before;
}

/* --- leaving from within a region --- */

static void restore(struct region *r)
{
    if (r->keep_flags)
        x64_flags_in(r->e);
    for (unsigned i = 0; i < 3; i++)
        if (r->stored >> r->reg[i] & 1)
            x64_give_back(r->e, r->reg[i]);
}

/* Emits "if reg[0] is 0 (or not), leave": the way out is in line, behind a jump over it. */
static void leave_if(struct region *r, bool if_zero, unsigned cause)
{
    struct ir_code *code = r->e->code;
    uint32_t over;

    x64_alu(code, 0x85, r->reg[0], r->reg[0]); /* test */
    x64_byte(code, if_zero ? 0x75 : 0x74);
    over = (uint32_t)code->size;
    x64_byte(code, 0);
    restore(r);
    x64_leave(r->e, x64_site(r->e, cause, 0));
    if (!code->full)
        code->write[over] = (uint8_t)(code->size - over - 1);
}

/* --- counting, streams, checks --- */

static void count(struct region *r, const struct ir_op *op)
{
    static const uint8_t add[] = {0x65, 0x48, 0x81, 0x04, 0x25};
    struct ir_code *code = r->e->code;

    if (r->flags_dead && (int32_t)op->imm == (int64_t)op->imm) {
        x64_bytes(code, add, sizeof(add));
        x64_u32(code, op->reg);
        x64_u32(code, (uint32_t)op->imm);
        return;
    }
    x64_load_state(code, r->reg[0], op->reg);
    x64_lea(code, r->reg[0], r->reg[0], (int32_t)op->imm);
    x64_store_state(code, op->reg, r->reg[0]);
    r->in_first = NO_VALUE;
}

/* A store to where the block's last word would go: behind the end of the buffer lies a page that
 * cannot be written, and the fault brings the engine (signal.c). */
static void stream_open(struct region *r, const struct ir_op *op)
{
    struct ir_code *code = r->e->code;

    x64_point(r->e, IR_POINT_STREAM);
    x64_load_state(code, r->reg[0], X64_STATE(stream));
    x64_store(code, r->reg[0], (int32_t)(8 * op->imm), r->reg[0]);
    x64_point(r->e, 0);
    r->in_first = NO_VALUE;
}

static void stream_word(struct region *r, unsigned value)
{
    if (r->words == 0)
        x64_load_state(r->e->code, r->reg[2], X64_STATE(stream));
    x64_store(r->e->code, r->reg[2], (int32_t)(8 * r->words), value);
    r->words++;
}

/* The next word is a constant. */
static void stream_constant(struct region *r, uint64_t value)
{
    struct ir_code *code = r->e->code;
    struct native_insn store = {.opcode = 0xc7, /* mov qword [r], imm32 */
                                .modrm = NATIVE_MODRM_MEM,
                                .w = true,
                                .segment = NATIVE_DS,
                                .base = (uint8_t)r->reg[2],
                                .index = NATIVE_NONE,
                                .scale = 1,
                                .disp = (int32_t)(8 * r->words),
                                .imm = value,
                                .imm_size = 4};

    if ((int64_t)value != (int32_t)value) {
        x64_move_imm(code, r->reg[0], value);
        r->in_first = NO_VALUE;
        stream_word(r, r->reg[0]);
        return;
    }
    if (r->words == 0)
        x64_load_state(code, r->reg[2], X64_STATE(stream));
    x64_encode(code, &store);
    r->words++;
}

/* Memory at the address that the word before holds. */
static void stream_memory(struct region *r, const struct ir_op *op)
{
    struct ir_code *code = r->e->code;

    x64_load(code, r->reg[1], r->reg[2], (int32_t)(8 * (r->words - 1)));
    for (unsigned offset = 0; offset < op->imm; offset += 8) {
        unsigned left = (unsigned)op->imm - offset;
        unsigned size = left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
        struct native_insn load = {.opcode = 0x8b,
                                   .modrm = NATIVE_MODRM_MEM,
                                   .reg = (uint8_t)r->reg[0],
                                   .w = size == 8,
                                   .segment = NATIVE_DS,
                                   .base = (uint8_t)r->reg[1],
                                   .index = NATIVE_NONE,
                                   .scale = 1,
                                   .disp = (int32_t)offset};

        if (size < 4) {
            load.map = NATIVE_MAP_0F;
            load.opcode = size == 1 ? 0xb6 : 0xb7;
        }
        if (op->cond)
            x64_point(r->e, IR_POINT_PEEK);
        x64_encode(code, &load);
        if (op->cond)
            x64_point(r->e, 0);
        stream_word(r, r->reg[0]);
    }
    r->in_first = NO_VALUE;
}

static void stream_close(struct region *r)
{
    if (r->words == 0)
        return;
    x64_lea(r->e->code, r->reg[2], r->reg[2], (int32_t)(8 * r->words));
    x64_store_state(r->e->code, X64_STATE(stream), r->reg[2]);
    r->words = 0;
}

/* Compares `size` bytes at reg[2]+offset with the source bytes; differences are or-ed to reg[0]. */
static void check_piece(struct region *r, unsigned offset, unsigned size)
{
    struct ir_code *code = r->e->code;
    uint64_t bytes = 0;
    struct native_insn load = {.opcode = 0x8b,
                               .modrm = NATIVE_MODRM_MEM,
                               .reg = (uint8_t)r->reg[1],
                               .w = size == 8,
                               .segment = NATIVE_DS,
                               .base = (uint8_t)r->reg[2],
                               .index = NATIVE_NONE,
                               .scale = 1,
                               .disp = (int32_t)offset};
    struct native_insn difference = {.opcode = 0x33, /* xor r, m */
                                     .modrm = NATIVE_MODRM_MEM,
                                     .reg = (uint8_t)r->reg[1],
                                     .w = true,
                                     .segment = NATIVE_DS,
                                     .base = NATIVE_POOL,
                                     .index = NATIVE_NONE};

    memcpy(&bytes, r->block->source + offset, size);
    if (size < 4) {
        load.map = NATIVE_MAP_0F;
        load.opcode = size == 1 ? 0xb6 : 0xb7;
    }
    difference.address = bytes;
    x64_encode(code, &load);
    x64_encode(code, &difference);
    x64_alu(code, 0x09, r->reg[0], r->reg[1]);
}

static void check_code(struct region *r)
{
    unsigned size = r->block->bytes;

    x64_point(r->e, IR_POINT_FETCH);
    x64_move_imm(r->e->code, r->reg[0], 0);
    x64_move_imm(r->e->code, r->reg[2], r->block->pc);
    for (unsigned offset = 0; offset < size;) {
        unsigned left = size - offset;
        unsigned piece = left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;

        check_piece(r, offset, piece);
        offset += piece;
    }
    x64_point(r->e, 0);
    leave_if(r, false, IR_EXIT_STALE);
    r->in_first = NO_VALUE;
}

/* --- branches --- */

static void branch(struct region *r, const struct ir_op *op)
{
    struct ir_code *code = r->e->code;

    if (op->op == IR_BRANCH_ZERO) {
        value_in(r, r->reg[0], op->in[0]);
        x64_alu(code, 0x85, r->reg[0], r->reg[0]);
        x64_byte(code, 0x0f);
        x64_byte(code, 0x84);
    } else {
        x64_byte(code, 0xe9);
    }
    if (r->branch_count == sizeof(r->branch) / sizeof(r->branch[0]))
        bug("a region has more than %u branches", r->branch_count);
    r->branch[r->branch_count].patch = (uint32_t)code->size;
    r->branch[r->branch_count].label = (uint8_t)op->imm;
    r->branch_count++;
    x64_u32(code, 0);
}

static void finish_branches(struct region *r)
{
    struct ir_code *code = r->e->code;

    for (unsigned i = 0; i < r->branch_count && !code->full; i++) {
        uint32_t disp = r->label[r->branch[i].label] - (r->branch[i].patch + 4);

        memcpy(code->write + r->branch[i].patch, &disp, sizeof(disp));
    }
}

/* --- one operation --- */

static void get(struct region *r, const struct ir_op *op)
{
    if (r->e->saved >> op->reg & 1)
        x64_load_state(r->e->code, r->reg[0], X64_REG(op->reg));
    else
        x64_move(r->e->code, r->reg[0], op->reg);
    value_out(r, op);
}

static void put(struct region *r, const struct ir_op *op)
{
    value_in(r, r->reg[0], op->in[0]);
    if (r->e->saved >> op->reg & 1)
        x64_store_state(r->e->code, X64_REG(op->reg), r->reg[0]);
    else
        x64_move(r->e->code, op->reg, r->reg[0]);
}

static void address(struct region *r, const struct ir_op *op)
{
    x64_linear_address(r->e, &r->block->native[op->native], op->reg, r->reg[0]);
    if (op->imm != 0)
        x64_lea(r->e->code, r->reg[0], r->reg[0], (int32_t)op->imm);
}

static void one(struct region *r, const struct ir_op *op)
{
    struct ir_code *code = r->e->code;

    switch (op->op) {
    case IR_CONST:
        x64_move_imm(code, r->reg[0], op->imm);
        value_out(r, op);
        break;
    case IR_GET: get(r, op); break;
    case IR_PUT: put(r, op); break;
    case IR_LOAD_STATE:
        x64_load_state(code, r->reg[0], (uint32_t)op->imm);
        extend(r, op->size, false);
        value_out(r, op);
        break;
    case IR_STORE_STATE:
        value_in(r, r->reg[0], op->in[0]);
        x64_store_state(code, (uint32_t)op->imm, r->reg[0]);
        break;
    case IR_ADDRESS:
        address(r, op);
        value_out(r, op);
        break;
    case IR_LOAD: memory(r, op, false); break;
    case IR_STORE: memory(r, op, true); break;
    case IR_MOVE:
        value_in(r, r->reg[0], op->in[0]);
        value_out(r, op);
        break;
    case IR_ADD: binary(r, op, 0x01); break;
    case IR_SUB: binary(r, op, 0x29); break;
    case IR_AND: binary(r, op, 0x21); break;
    case IR_OR: binary(r, op, 0x09); break;
    case IR_XOR: binary(r, op, 0x31); break;
    case IR_MUL: multiply(r, op); break;
    case IR_SHL: shift(r, op, 4); break;
    case IR_SHR: shift(r, op, 5); break;
    case IR_SAR: shift(r, op, 7); break;
    case IR_NOT: unary(r, op, 2); break;
    case IR_NEG: unary(r, op, 3); break;
    case IR_SIGN:
    case IR_ZERO:
        value_in(r, r->reg[0], op->in[0]);
        extend(r, op->size, op->op == IR_SIGN);
        value_out(r, op);
        break;
    case IR_COMPARE: compare(r, op); break;
    case IR_LABEL:
        r->label[op->imm] = (uint32_t)code->size;
        r->in_first = NO_VALUE;
        break;
    case IR_BRANCH_ZERO:
    case IR_BRANCH: branch(r, op); break;
    case IR_COUNT: count(r, op); break;
    case IR_STREAM_OPEN: stream_open(r, op); break;
    case IR_STREAM_CONST: stream_constant(r, op->imm); break;
    case IR_STREAM_TARGET: stream_word(r, X64_RCX); break;
    case IR_STREAM_MEMORY: stream_memory(r, op); break;
    case IR_STREAM_SKIP:
        if (r->words == 0)
            x64_load_state(code, r->reg[2], X64_STATE(stream));
        r->words += (uint32_t)op->imm;
        break;
    case IR_STREAM_VALUE:
        value_in(r, r->reg[0], op->in[0]);
        r->in_first = op->in[0];
        stream_word(r, r->reg[0]);
        break;
    case IR_STREAM_ADDRESS:
        address(r, op);
        r->in_first = NO_VALUE;
        stream_word(r, r->reg[0]);
        break;
    case IR_STREAM_CLOSE: stream_close(r); break;
    case IR_CHECK_CODE: check_code(r); break;
    default: bug("x64: operation %s is not generic", ir_op_name(op->op));
    }
}

/* Registers that the region reads as the guest's: not to be borrowed. */
static unsigned registers_read(const struct ir_block *block, unsigned first, unsigned last)
{
    unsigned set = 1u << X64_RSP;

    for (unsigned i = first; i < last; i++) {
        const struct ir_op *op = &block->op[i];

        if (op->op == IR_GET || op->op == IR_PUT)
            set |= 1u << op->reg;
        if (op->op == IR_STREAM_TARGET)
            set |= 1u << X64_RCX;
        if (op->op == IR_ADDRESS || op->op == IR_STREAM_ADDRESS)
            set |= block->native[op->native].gpr_read;
    }
    return set;
}

static bool changes_flags(const struct ir_block *block, unsigned first, unsigned last)
{
    for (unsigned i = first; i < last; i++)
        if ((ir_op_flags(block->op[i].op) & IR_CLOBBERS) && block->op[i].op != IR_COUNT)
            return true;
    return false;
}

void x64_region(struct x64_emit *e, unsigned first, unsigned last)
{
    const struct ir_op *op = &e->block->op[first];
    struct region r = {.e = e, .block = e->block, .in_first = NO_VALUE};
    unsigned avoid = registers_read(e->block, first, last) | e->saved;
    unsigned count_regs = last - first == 1 && op->op == IR_COUNT ? (op->flags_live ? 1 : 0) : 3;
    uint16_t before = e->saved;

    r.keep_flags = op->flags_live && changes_flags(e->block, first, last);
    if (r.keep_flags)
        avoid |= 1u << X64_RAX; /* flags_out() and flags_in() use its place */
    r.flags_dead = !op->flags_live || r.keep_flags;
    for (unsigned i = 0; i < count_regs; i++) {
        r.reg[i] = x64_pick(&avoid, op->gpr_free);
        if (!(op->gpr_free >> r.reg[i] & 1)) {
            x64_borrow(e, r.reg[i]);
            r.stored |= (uint16_t)(1u << r.reg[i]);
        }
    }
    if (r.keep_flags) {
        x64_point(e, 0);
        x64_flags_out(e); /* RAX is stored and loaded in it: as saved as not */
        e->flags = IR_POINT_FLAGS;
    }
    x64_point(e, 0);
    for (unsigned i = first; i < last; i++)
        one(&r, &e->block->op[i]);
    finish_branches(&r);
    restore(&r);
    e->saved = before;
    e->flags = 0;
}
