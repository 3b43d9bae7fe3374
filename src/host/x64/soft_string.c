/* SPDX-License-Identifier: MIT
 *
 * System mode: string instructions and bit strings.
 *
 * A string instruction is the host's own, on host addresses: RSI and RDI have what is between the
 * linear and the host address added while it runs. It goes up (the context says that DF is 0), and
 * with REP only as far as the pages go that it begins on: else it leaves, and C does it. REP has at
 * most 4095 elements here, so that their bytes can be counted.
 */
#include "host/x64/soft.h"

static bool reads_si(const struct native_insn *n)
{
    return n->mem_implicit & NATIVE_STRING_SI;
}

static bool uses_di(const struct native_insn *n)
{
    return n->mem_implicit & (NATIVE_STRING_DI_R | NATIVE_STRING_DI_W);
}

static unsigned pointer_size(const struct x64_emit *e)
{
    return e->block->soft.code;
}

/* Looks up what `pointer` points to: R10 is what is to be added. */
static void look_up_pointer(struct x64_emit *e, const struct native_insn *n, unsigned pointer,
                            bool write)
{
    bool wide = pointer_size(e) == LONG;

    x64_soft_move_sized(e->code, R9, pointer, wide ? LONG : 4);
    if (!(n->attributes & NATIVE_REP)) {
        x64_soft_look_up(e, n->mem_size, write);
        return;
    }
    /* LEA R10, [R9 + count * size - 1] */
    x64_encode(e->code, &(struct native_insn){.opcode = 0x8d,
                                              .w = true,
                                              .modrm = NATIVE_MODRM_MEM,
                                              .reg = R10,
                                              .base = R9,
                                              .index = GUEST_RCX,
                                              .scale = (uint8_t)n->mem_size,
                                              .disp = -1,
                                              .segment = NATIVE_DS});
    x64_soft_look_up_to(e, R10, n->mem_size, write);
}

/* Leaves where there are more elements than fit into a page. With none nothing may be touched:
 * returns the place of the displacement of a jump over it all. */
static size_t check_count(struct x64_emit *e)
{
    static const uint8_t none[] = {0xe3, 2, 0xeb, 5, 0xe9}; /* jrcxz to the jmp; over it */
    struct ir_code *code = e->code;
    size_t over;

    if (pointer_size(e) != LONG) /* its upper half is nobody's */
        x64_soft_move_sized(code, GUEST_RCX, GUEST_RCX, 4);
    x64_move(code, RCX, GUEST_RCX);
    x64_bytes(code, none, sizeof(none));
    over = code->size;
    x64_u32(code, 0);
    x64_soft_shift_page(code, RCX, GUEST_RCX);
    x64_soft_or_leave(e, IR_EXIT_ACCESS, 0);
    return over;
}

/* Takes back what was added to a pointer: -R is ~R + 1. */
static void take_off(struct x64_emit *e, unsigned pointer, unsigned addend)
{
    x64_soft_invert(e->code, addend);
    x64_soft_sum(e->code, pointer, pointer, addend, 1, pointer_size(e) == LONG);
}

void x64_soft_string(struct x64_emit *e, const struct native_insn *native)
{
    struct native_insn n = *native;
    bool si = reads_si(native), di = uses_di(native), rep = native->attributes & NATIVE_REP;
    struct ir_code *code = e->code;
    unsigned si_addend = di ? R9 : R10;
    size_t over = 0;
    uint32_t disp;

    n.segment = NATIVE_DS;
    n.prefix &= (uint8_t)~NATIVE_67;
    if (rep)
        over = check_count(e);
    if (si) {
        look_up_pointer(e, native, X64_RSI, false);
        if (di)
            x64_store_state(code, X64_STATE(temp), R10);
    }
    if (di)
        look_up_pointer(e, native, X64_RDI, native->mem_implicit & NATIVE_STRING_DI_W);
    if (si && di)
        x64_load_state(code, R9, X64_STATE(temp));
    if (si)
        x64_soft_sum(code, X64_RSI, X64_RSI, si_addend, 0, true);
    if (di)
        x64_soft_sum(code, X64_RDI, X64_RDI, R10, 0, true);
    if (rep)
        x64_move(code, RCX, GUEST_RCX);
    x64_encode(code, &n);
    if (rep)
        x64_move(code, GUEST_RCX, RCX);
    if (si)
        take_off(e, X64_RSI, si_addend);
    if (di)
        take_off(e, X64_RDI, R10);
    disp = (uint32_t)(code->size - (over + sizeof(disp)));
    if (rep && !code->full)
        memcpy(code->write + over, &disp, sizeof(disp));
}

/* SARX (rm shifted by v) or PEXT (of v, the bits of rm). */
static void three(struct ir_code *code, unsigned opcode, unsigned to, unsigned rm, unsigned v)
{
    x64_encode(code, &(struct native_insn){.opcode = (uint8_t)opcode,
                                           .map = NATIVE_MAP_0F38,
                                           .prefix = NATIVE_F3,
                                           .vex = true,
                                           .w = true,
                                           .modrm = NATIVE_MODRM_REG,
                                           .reg = (uint8_t)to,
                                           .rm = (uint8_t)rm,
                                           .vvvv = (uint8_t)v,
                                           .segment = NATIVE_DS});
}

/* The bit offset, sign-extended to 64 bits, into R10. */
static void bit_offset(struct x64_emit *e, const struct native_insn *n)
{
    unsigned from = x64_soft_value_of(e->code, n->reg, R10);

    if (n->opsize == LONG) {
        x64_move(e->code, R10, from);
        return;
    }
    x64_encode(e->code,
               &(struct native_insn){.opcode = n->opsize == 2 ? 0xbf : 0x63,
                                     .map = n->opsize == 2 ? NATIVE_MAP_0F : NATIVE_MAP_ONE,
                                     .w = true,
                                     .modrm = NATIVE_MODRM_REG,
                                     .reg = R10,
                                     .rm = (uint8_t)from,
                                     .segment = NATIVE_DS});
}

/* BT, BTS, BTR, BTC with an offset in a register: the operand is as many operands away as the
 * offset has whole ones (SDM vol. 2, BT), and the host's instruction gets what is left. */
void x64_soft_bit_string(struct x64_emit *e, const struct native_insn *native)
{
    enum { SARX = 0xf7, PEXT = 0xf5 };
    unsigned bits = native->opsize == 8 ? 6 : native->opsize == 4 ? 5 : 4;
    unsigned size = x64_soft_address_size(e, native);
    bool write = native->mem_access & NATIVE_WRITE;
    struct native_insn n = *native;
    struct ir_code *code = e->code;

    x64_soft_offset(e, native);
    bit_offset(e, native);
    x64_move_imm(code, RCX, bits);
    three(code, SARX, R10, R10, RCX);
    x64_encode(code, &(struct native_insn){.opcode = 0x8d,
                                           .w = size == LONG,
                                           .modrm = NATIVE_MODRM_MEM,
                                           .reg = R9,
                                           .base = R9,
                                           .index = R10,
                                           .scale = native->opsize,
                                           .segment = NATIVE_DS});
    if (size == 2)
        x64_soft_low_word(code, R9, R9);
    x64_soft_add_segment(e, native->segment, native->opsize, write);
    x64_soft_look_up(e, native->opsize, write);
    x64_soft_sum(code, R9, R9, R10, 0, true);
    bit_offset(e, native);
    x64_move_imm(code, RCX, (1u << bits) - 1);
    three(code, PEXT, RCX, RCX, R10); /* of R10, the bits of RCX */
    n.reg = RCX;
    n.base = R9;
    n.index = NATIVE_NONE;
    n.disp = 0;
    n.segment = NATIVE_DS;
    n.prefix &= (uint8_t)~NATIVE_67;
    x64_encode(code, &n);
}
