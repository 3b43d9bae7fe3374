/* SPDX-License-Identifier: MIT
 *
 * The host in system mode: blocks whose memory is behind the soft TLB (struct ir_soft).
 *
 * Homes. RAX, RDX, RBX, RSP, RBP, RSI, RDI and R12 to R15 of the guest are in the registers of
 * their names, its RCX is in R8, and its R8 to R11, which few instructions name, are in the state
 * block. That leaves RCX, R9 and R10 for addresses, and R11, which holds the constant 12.
 *
 * An access to memory:
 *
 *     lea  r9, [the linear address]
 *     shrx rcx, r9, r11            ; its page
 *     movzx ecx, cx
 *     mov  rcx, gs:[tags+rcx*8]    ; -(page + 1), if the TLB knows it
 *     lea  r10, [r9+size-1]
 *     shrx r10, r10, r11           ; the page of the last byte
 *     lea  rcx, [rcx+r10+1]
 *     movzx r10d, r10w
 *     mov  r10, gs:[addends+r10*8]
 *     jrcxz hit ; jmp miss
 *   hit:
 *     the instruction with [r9+r10]
 *
 * No flag is touched, so none has to be kept. Until the last check of an instruction has passed,
 * nothing of the guest's has changed: a miss leaves at the instruction's beginning, and when the
 * engine has filled the TLB it goes in again there.
 *
 * Jumps within a page are linked. What leads to another page goes through the jump table of the
 * context, which the engine empties when translations change: blocks need not ask whether their
 * page is still where it was.
 */
#include <string.h>

#include "base/error.h"
#include "host/x64/soft.h"

unsigned x64_soft_home(unsigned reg)
{
    if (reg == X64_RCX)
        return GUEST_RCX;
    return reg >= 8 && reg <= 11 ? NO_HOME : reg;
}

/* --- pieces of code --- */

void x64_soft_shift_page(struct ir_code *code, unsigned to, unsigned from)
{
    x64_encode(code, &(struct native_insn){.opcode = 0xf7,
                                           .map = NATIVE_MAP_0F38,
                                           .prefix = NATIVE_F2,
                                           .vex = true,
                                           .w = true,
                                           .modrm = NATIVE_MODRM_REG,
                                           .reg = (uint8_t)to,
                                           .rm = (uint8_t)from,
                                           .vvvv = R11,
                                           .segment = NATIVE_DS});
}

/* MOVZX of 16 bits. */
void x64_soft_low_word(struct ir_code *code, unsigned to, unsigned from)
{
    x64_encode(code, &(struct native_insn){.opcode = 0xb7,
                                           .map = NATIVE_MAP_0F,
                                           .modrm = NATIVE_MODRM_REG,
                                           .reg = (uint8_t)to,
                                           .rm = (uint8_t)from,
                                           .segment = NATIVE_DS});
}

/* MOV with an operand size of 2, 4 or 8 bytes between registers. */
void x64_soft_move_sized(struct ir_code *code, unsigned to, unsigned from, unsigned size)
{
    x64_encode(code, &(struct native_insn){.opcode = 0x89,
                                           .prefix = size == 2 ? NATIVE_66 : 0,
                                           .w = size == LONG,
                                           .modrm = NATIVE_MODRM_REG,
                                           .reg = (uint8_t)from,
                                           .rm = (uint8_t)to,
                                           .segment = NATIVE_DS});
}

/* LEA of a 32 or 64-bit sum. */
void x64_soft_sum(struct ir_code *code, unsigned to, unsigned base, unsigned index, int32_t disp,
                  bool wide)
{
    x64_encode(code, &(struct native_insn){.opcode = 0x8d,
                                           .w = wide,
                                           .modrm = NATIVE_MODRM_MEM,
                                           .reg = (uint8_t)to,
                                           .base = (uint8_t)base,
                                           .index = (uint8_t)index,
                                           .scale = 1,
                                           .disp = disp,
                                           .segment = NATIVE_DS});
}

void x64_soft_invert(struct ir_code *code, unsigned reg)
{
    x64_encode(code, &(struct native_insn){.opcode = 0xf7,
                                           .w = true,
                                           .modrm = NATIVE_MODRM_REG,
                                           .reg = 2,
                                           .rm = (uint8_t)reg,
                                           .segment = NATIVE_DS});
}

/* MOV reg, GS:[table + index*8]. */
void x64_soft_load_table(struct ir_code *code, unsigned reg, uint32_t table, unsigned index)
{
    x64_encode(code, &(struct native_insn){.opcode = 0x8b,
                                           .w = true,
                                           .modrm = NATIVE_MODRM_MEM,
                                           .reg = (uint8_t)reg,
                                           .base = NATIVE_NONE,
                                           .index = (uint8_t)index,
                                           .scale = 8,
                                           .disp = (int32_t)table,
                                           .segment = NATIVE_GS});
}

/* MOV of `size` bytes (zero-extended where it loads) between a register and [R9+R10]. */
void x64_soft_host_access(struct ir_code *code, unsigned reg, unsigned size, bool write)
{
    bool zero = !write && size < 4;

    x64_encode(code, &(struct native_insn){
                         .opcode = zero    ? (size == 1 ? 0xb6 : 0xb7)
                                   : write ? 0x89
                                           : 0x8b,
                         .map = zero ? NATIVE_MAP_0F : NATIVE_MAP_ONE,
                         .prefix = write && size == 2 ? NATIVE_66 : 0,
                         .w = size == LONG,
                         .modrm = NATIVE_MODRM_MEM,
                         .reg = (uint8_t)reg,
                         .base = R9,
                         .index = R10,
                         .scale = 1,
                         .segment = NATIVE_DS,
                     });
}

void x64_soft_set_shift_count(struct ir_code *code)
{
    x64_move_imm(code, R11, PAGE_SHIFT);
}

/* The guest's register in a host register: its home, or loaded into `temp`. */
unsigned x64_soft_value_of(struct ir_code *code, unsigned reg, unsigned temp)
{
    unsigned at = x64_soft_home(reg);

    if (at != NO_HOME)
        return at;
    x64_load_state(code, temp, X64_REG(reg));
    return temp;
}

/* Goes on at `hit`, right behind, where RCX is 0; else to what the site's stub does. */
void x64_soft_or_leave(struct x64_emit *e, unsigned cause, uint64_t target)
{
    static const uint8_t jrcxz[] = {0xe3, 0x05, 0xe9};
    unsigned site = x64_site(e, cause, target | (e->marked ? (uint64_t)IR_SITE_DROPS : 0));

    x64_bytes(e->code, jrcxz, sizeof(jrcxz));
    e->code->site[site].patch = (uint32_t)e->code->size;
    x64_u32(e->code, 0);
}

/* --- addresses --- */

static bool is_long(const struct x64_emit *e)
{
    return e->block->soft.code == LONG;
}

unsigned x64_soft_address_size(const struct x64_emit *e, const struct native_insn *n)
{
    unsigned usual = e->block->soft.code;

    if (!(n->prefix & NATIVE_67))
        return usual;
    return usual == 4 ? 2 : 4;
}

/* The offset of the operand of modrm, zero-extended, into R9. */
void x64_soft_offset(struct x64_emit *e, const struct native_insn *n)
{
    unsigned size = x64_soft_address_size(e, n);
    struct native_insn lea = {.opcode = 0x8d,
                              .w = size == LONG,
                              .modrm = NATIVE_MODRM_MEM,
                              .reg = R9,
                              .base = NATIVE_NONE,
                              .index = NATIVE_NONE,
                              .scale = n->scale,
                              .disp = n->disp,
                              .segment = NATIVE_DS};

    if (n->base == NATIVE_RIP) {
        x64_move_imm(e->code, R9, n->address);
        return;
    }
    if (n->base != NATIVE_NONE)
        lea.base = (uint8_t)x64_soft_value_of(e->code, n->base, R9);
    if (n->index != NATIVE_NONE)
        lea.index = (uint8_t)x64_soft_value_of(e->code, n->index, R10);
    if (lea.scale == 0)
        lea.scale = 1;
    if (lea.index == NATIVE_NONE && lea.disp == 0 && lea.base != NATIVE_NONE && size != 2)
        x64_soft_move_sized(e->code, R9, lea.base, size);
    else
        x64_encode(e->code, &lea);
    if (size == 2)
        x64_soft_low_word(e->code, R9, R9);
}

/* R9 is an offset in a segment whose limits are to be asked. */
static void check_limit(struct x64_emit *e, unsigned segment, unsigned size, bool write)
{
    static const uint8_t high_half[] = {0xc4, 0xe3, 0xfb, 0xf0, 0xc9, 0x20, /* rorx rcx, rcx, 32 */
                                        0x89, 0xc9};                        /* mov ecx, ecx */
    size_t field =
        write ? offsetof(struct ir_segment, write_limit) : offsetof(struct ir_segment, read_limit);

    x64_lea(e->code, RCX, R9, (int32_t)size - 1);
    x64_soft_invert(e->code, RCX);
    x64_load_state(e->code, R10,
                   X64_STATE(segment) + (uint32_t)(segment * sizeof(struct ir_segment) + field));
    x64_soft_sum(e->code, RCX, RCX, R10, 1, true);
    x64_bytes(e->code, high_half, sizeof(high_half));
    x64_soft_or_leave(e, IR_EXIT_ACCESS, 0);
}

/* The offset in R9 becomes a linear address. */
void x64_soft_add_segment(struct x64_emit *e, unsigned segment, unsigned size, bool write)
{
    if (!(e->block->soft.based >> segment & 1))
        return;
    if (!is_long(e))
        check_limit(e, segment, size, write);
    x64_load_state(e->code, R10,
                   X64_STATE(segment) + (uint32_t)(segment * sizeof(struct ir_segment)));
    x64_soft_sum(e->code, R9, R9, R10, 0, is_long(e));
}

void x64_soft_look_up_to(struct x64_emit *e, unsigned last, unsigned size, bool write)
{
    const struct ir_soft *soft = &e->block->soft;
    struct ir_code *code = e->code;

    x64_soft_shift_page(code, RCX, R9);
    x64_soft_low_word(code, RCX, RCX);
    x64_soft_load_table(code, RCX, write ? soft->write : soft->read, RCX);
    x64_soft_shift_page(code, R10, last);
    x64_soft_sum(code, RCX, RCX, R10, 1, true);
    x64_soft_low_word(code, R10, R10);
    x64_soft_load_table(code, R10, soft->addend, R10);
    x64_soft_or_leave(e, IR_EXIT_MISS, size << 1 | write);
}

void x64_soft_look_up(struct x64_emit *e, unsigned size, bool write)
{
    if (size > 1)
        x64_lea(e->code, R10, R9, (int32_t)size - 1);
    x64_soft_look_up_to(e, size > 1 ? R10 : R9, size, write);
}

/* The operand of modrm: host address R9 + R10. */
void x64_soft_operand(struct x64_emit *e, const struct native_insn *n)
{
    bool write = n->mem_access & NATIVE_WRITE;

    x64_soft_offset(e, n);
    x64_soft_add_segment(e, n->segment, n->mem_size, write);
    x64_soft_look_up(e, n->mem_size, write);
}

/* --- instructions --- */

/* Those whose RCX no field of the encoding names. An address only reads it. */
static bool uses_rcx(const struct native_insn *n)
{
    unsigned used = n->gpr_read | n->gpr_written;
    bool addresses = n->modrm == NATIVE_MODRM_MEM && (n->base == X64_RCX || n->index == X64_RCX);
    bool named =
        (n->attributes & NATIVE_REG_GPR && n->modrm && n->reg == X64_RCX) ||
        (n->attributes & NATIVE_RM_GPR && n->modrm == NATIVE_MODRM_REG && n->rm == X64_RCX) ||
        (n->attributes & NATIVE_OPCODE_REG && n->rm == X64_RCX) ||
        (n->attributes & NATIVE_V_GPR && n->vvvv == X64_RCX);

    if (!(used >> X64_RCX & 1))
        return false;
    if (!named && (!addresses || n->gpr_written >> X64_RCX & 1))
        return true;
    if (n->vex)
        return false;
    switch (n->map) {
    case NATIVE_MAP_ONE: return n->opcode == 0xd2 || n->opcode == 0xd3;
    case NATIVE_MAP_0F: return n->opcode == 0xa5 || n->opcode == 0xad || n->opcode == 0xc7;
    default: return false;
    }
}

/* A byte register of the encoding that is AH, CH, DH or BH. */
static bool is_high(const struct native_insn *n, unsigned byte, unsigned number)
{
    return n->attributes & byte && !n->rex && number >= 4 && number < 8;
}

struct shaping {
    struct native_insn n;
    bool rcx;      /* the guest's is in RCX meanwhile */
    bool high;     /* a high byte register: no REX */
    unsigned free; /* temporary registers, a set */
    unsigned temp[3], reg[3];
    unsigned temps;
};

static unsigned take_temp(struct shaping *s)
{
    static const uint8_t order[] = {R9, R10, R11, RCX};

    for (unsigned i = 0; i < sizeof(order); i++) {
        if (s->free >> order[i] & 1) {
            s->free &= ~(1u << order[i]);
            return order[i];
        }
    }
    bug("x64: no register is left for an operand");
}

/* The host's register for a field that names a register of the guest. */
static uint8_t shape_field(struct shaping *s, unsigned reg)
{
    if (reg == X64_RCX)
        return s->rcx ? X64_RCX : GUEST_RCX;
    if (x64_soft_home(reg) != NO_HOME)
        return (uint8_t)reg;
    for (unsigned i = 0; i < s->temps; i++)
        if (s->reg[i] == reg)
            return (uint8_t)s->temp[i];
    s->reg[s->temps] = reg;
    s->temp[s->temps] = take_temp(s);
    return (uint8_t)s->temp[s->temps++];
}

static void shape_registers(struct shaping *s)
{
    struct native_insn *n = &s->n;

    if (n->attributes & NATIVE_REG_GPR && n->modrm != NATIVE_MODRM_NONE &&
        !is_high(n, NATIVE_REG_BYTE, n->reg))
        n->reg = shape_field(s, n->reg);
    if (((n->attributes & NATIVE_RM_GPR && n->modrm == NATIVE_MODRM_REG) ||
         n->attributes & NATIVE_OPCODE_REG) &&
        !is_high(n, NATIVE_RM_BYTE, n->rm))
        n->rm = shape_field(s, n->rm);
    if (n->attributes & NATIVE_V_GPR)
        n->vvvv = shape_field(s, n->vvvv);
}

static bool names_memory_register(const struct native_insn *n)
{
    return (n->attributes & NATIVE_REG_GPR && x64_soft_home(n->reg) == NO_HOME) ||
           (n->attributes & NATIVE_V_GPR && x64_soft_home(n->vvvv) == NO_HOME);
}

/* A high byte register and memory: an address without REX. The one of CH goes through RDI, whose
 * value waits in the state block. */
static void high_with_memory(struct x64_emit *e, const struct native_insn *n)
{
    bool ch = n->reg == 5;
    unsigned base = ch ? X64_RDI : RCX;
    struct native_insn copy = *n;

    if (ch)
        x64_store_state(e->code, X64_STATE(temp), X64_RDI);
    x64_soft_sum(e->code, base, R9, R10, 0, true);
    if (ch)
        x64_move(e->code, RCX, GUEST_RCX);
    copy.base = (uint8_t)base;
    x64_encode(e->code, &copy);
    if (ch) {
        x64_move(e->code, GUEST_RCX, RCX);
        x64_load_state(e->code, X64_RDI, X64_STATE(temp));
    }
}

/* The instruction with its operands where they are; memory is at R9 + R10 if it has any. */
static void shaped(struct x64_emit *e, const struct native_insn *native, bool memory)
{
    struct ir_code *code = e->code;
    struct shaping s = {.n = *native};
    struct native_insn *n = &s.n;

    n->prefix &= (uint8_t)~NATIVE_67;
    n->segment = NATIVE_DS;
    s.high = is_high(n, NATIVE_REG_BYTE, n->reg) ||
             (n->modrm != NATIVE_MODRM_MEM && is_high(n, NATIVE_RM_BYTE, n->rm));
    s.rcx = s.high || uses_rcx(n);
    if (memory) {
        n->base = R9;
        n->index = R10;
        n->scale = 1;
        n->disp = 0;
        if (s.high && n->attributes & NATIVE_REG_BYTE) {
            n->index = NATIVE_NONE;
            high_with_memory(e, n);
            return;
        }
    }
    s.free = 1u << R11 | (s.rcx ? 0 : 1u << RCX) | (memory ? 0 : 1u << R9 | 1u << R10);
    if (memory && names_memory_register(n)) {
        x64_soft_sum(code, R9, R9, R10, 0, true);
        n->index = NATIVE_NONE;
        s.free |= 1u << R10;
    }
    shape_registers(&s);
    for (unsigned i = 0; i < s.temps; i++)
        if (native->gpr_read >> s.reg[i] & 1 || !(native->gpr_killed >> s.reg[i] & 1))
            x64_load_state(code, s.temp[i], X64_REG(s.reg[i]));
    if (s.rcx)
        x64_move(code, RCX, GUEST_RCX);
    x64_encode(code, n);
    if (s.rcx && native->gpr_written >> X64_RCX & 1)
        x64_move(code, GUEST_RCX, RCX);
    for (unsigned i = 0; i < s.temps; i++) {
        if (native->gpr_written >> s.reg[i] & 1)
            x64_store_state(code, X64_REG(s.reg[i]), s.temp[i]);
        if (s.temp[i] == R11)
            x64_soft_set_shift_count(code);
    }
}

/* --- the stack --- */

/* RSP plus `change`, as an offset in the stack segment, into R9. */
void x64_soft_stack_offset(struct x64_emit *e, int32_t change)
{
    unsigned width = e->block->soft.stack;

    x64_encode(e->code, &(struct native_insn){.opcode = 0x8d,
                                              .w = width == LONG,
                                              .modrm = NATIVE_MODRM_MEM,
                                              .reg = R9,
                                              .base = X64_RSP,
                                              .index = NATIVE_NONE,
                                              .disp = change,
                                              .segment = NATIVE_DS});
    if (width == 2)
        x64_soft_low_word(e->code, R9, R9);
}

void x64_soft_stack_move(struct x64_emit *e, int32_t change)
{
    unsigned width = e->block->soft.stack;

    x64_soft_sum(e->code, width == 2 ? RCX : X64_RSP, X64_RSP, NATIVE_NONE, change, width == LONG);
    if (width == 2)
        x64_soft_move_sized(e->code, X64_RSP, RCX, 2);
}

static void push_immediate(struct x64_emit *e, const struct native_insn *n)
{
    struct native_insn store = {.opcode = 0xc7,
                                .prefix = n->mem_size == 2 ? NATIVE_66 : 0,
                                .w = n->mem_size == LONG,
                                .modrm = NATIVE_MODRM_MEM,
                                .base = R9,
                                .index = R10,
                                .scale = 1,
                                .imm_size = n->mem_size == 2 ? 2 : 4,
                                .imm = n->imm,
                                .segment = NATIVE_DS};

    if (n->mem_size == LONG && (int64_t)n->imm != (int32_t)n->imm) {
        x64_move_imm(e->code, RCX, n->imm);
        x64_soft_host_access(e->code, RCX, LONG, true);
    } else {
        x64_encode(e->code, &store);
    }
}

static void emit_push(struct x64_emit *e, const struct native_insn *n)
{
    x64_soft_stack_offset(e, -(int32_t)n->mem_size);
    x64_soft_add_segment(e, NATIVE_SS, n->mem_size, true);
    x64_soft_look_up(e, n->mem_size, true);
    if (n->attributes & NATIVE_OPCODE_REG || n->modrm == NATIVE_MODRM_REG)
        x64_soft_host_access(e->code, x64_soft_value_of(e->code, n->rm, RCX), n->mem_size, true);
    else
        push_immediate(e, n);
    x64_soft_stack_move(e, -(int32_t)n->mem_size);
}

/* `imm`: bytes to be released beside. */
static void emit_pop(struct x64_emit *e, const struct native_insn *n)
{
    int32_t change = n->mem_size + (n->rm == NATIVE_TARGET ? (int32_t)(n->imm & 0xffff) : 0);

    x64_soft_stack_offset(e, 0);
    x64_soft_add_segment(e, NATIVE_SS, n->mem_size, false);
    x64_soft_look_up(e, n->mem_size, false);
    if (n->rm == NATIVE_TARGET && e->block->soft.stack != 2) {
        x64_soft_host_access(e->code, RCX, n->mem_size, false);
        x64_soft_stack_move(e, change);
        return;
    }
    x64_soft_host_access(e->code, R9, n->mem_size, false); /* RCX is needed for SP */
    x64_soft_stack_move(e, change);
    if (n->rm == NATIVE_TARGET)
        x64_move(e->code, RCX, R9);
    else if (x64_soft_home(n->rm) != NO_HOME)
        x64_soft_move_sized(e->code, x64_soft_home(n->rm), R9, n->mem_size);
    else if (n->mem_size == 2) {
        x64_load_state(e->code, R10, X64_REG(n->rm));
        x64_soft_move_sized(e->code, R10, R9, 2);
        x64_store_state(e->code, X64_REG(n->rm), R10);
    } else {
        x64_store_state(e->code, X64_REG(n->rm), R9);
    }
}

/* RSP from RBP, and RBP from there. */
static void emit_leave(struct x64_emit *e, const struct native_insn *n)
{
    unsigned width = e->block->soft.stack;

    if (width == 2)
        x64_soft_low_word(e->code, R9, X64_RBP);
    else
        x64_soft_move_sized(e->code, R9, X64_RBP, width);
    x64_soft_add_segment(e, NATIVE_SS, n->mem_size, false);
    x64_soft_look_up(e, n->mem_size, false);
    x64_soft_host_access(e->code, R9, n->mem_size, false);
    x64_soft_sum(e->code, width == 2 ? RCX : X64_RSP, X64_RBP, NATIVE_NONE, n->mem_size,
                 width == LONG);
    if (width == 2)
        x64_soft_move_sized(e->code, X64_RSP, RCX, 2);
    x64_soft_move_sized(e->code, X64_RBP, R9, n->mem_size);
}

/* --- */

/* LEA: the offset, in the size of the operand. */
static void emit_lea(struct x64_emit *e, const struct native_insn *n)
{
    x64_soft_offset(e, n);
    if (x64_soft_home(n->reg) != NO_HOME) {
        x64_soft_move_sized(e->code, x64_soft_home(n->reg), R9, n->opsize);
        return;
    }
    x64_load_state(e->code, R10, X64_REG(n->reg));
    x64_soft_move_sized(e->code, R10, R9, n->opsize);
    x64_store_state(e->code, X64_REG(n->reg), R10);
}

static bool is_lea(const struct native_insn *n)
{
    return n->map == NATIVE_MAP_ONE && n->opcode == 0x8d && !n->vex;
}

/* MOV between the accumulator and an address in the instruction, with a memory operand. */
static struct native_insn without_moffs(const struct x64_emit *e, const struct native_insn *n)
{
    unsigned size = x64_soft_address_size(e, n);
    struct native_insn copy = *n;

    copy.opcode =
        (uint8_t)(n->opcode - 0xa0 < 2 ? n->opcode - 0xa0 + 0x8a : n->opcode - 0xa2 + 0x88);
    copy.modrm = NATIVE_MODRM_MEM;
    copy.reg = X64_RAX;
    copy.imm_size = 0;
    copy.base = NATIVE_RIP; /* for x64_soft_offset(): an address that is known */
    copy.address = size == LONG ? n->imm : size == 4 ? (uint32_t)n->imm : (uint16_t)n->imm;
    copy.mem_implicit = 0;
    copy.attributes |= NATIVE_REG_GPR;
    return copy;
}

/* The memory operand is state.bounce, whose address the state block has at temp[1]. */
static void emit_bounced(struct x64_emit *e, const struct native_insn *native)
{
    struct native_insn n = *native;

    if (n.mem_implicit & NATIVE_MOFFS)
        n = without_moffs(e, &n);
    x64_load_state(e->code, R9, X64_STATE(temp[1]));
    x64_move_imm(e->code, R10, 0);
    shaped(e, &n, true);
}

static bool is_bit_string(const struct native_insn *n)
{
    return n->map == NATIVE_MAP_0F && !n->vex &&
           (n->opcode == 0xa3 || n->opcode == 0xab || n->opcode == 0xb3 || n->opcode == 0xbb);
}

static void emit_native(struct x64_emit *e, const struct native_insn *n)
{
    if (e->block->soft.bounced) {
        emit_bounced(e, n);
    } else if (n->mem_implicit & NATIVE_FRAME) {
        emit_leave(e, n);
    } else if (n->mem_implicit & NATIVE_PUSH) {
        emit_push(e, n);
    } else if (n->mem_implicit & NATIVE_POP) {
        emit_pop(e, n);
    } else if (n->mem_implicit & NATIVE_MOFFS) {
        struct native_insn copy = without_moffs(e, n);

        x64_soft_operand(e, &copy);
        shaped(e, &copy, true);
    } else if (n->mem_implicit & (NATIVE_STRING_SI | NATIVE_STRING_DI_R | NATIVE_STRING_DI_W)) {
        x64_soft_string(e, n);
    } else if (n->modrm != NATIVE_MODRM_MEM) {
        shaped(e, n, false);
    } else if (is_lea(n)) {
        emit_lea(e, n);
    } else if (is_bit_string(n)) {
        x64_soft_bit_string(e, n);
    } else if (n->mem_access) {
        x64_soft_operand(e, n);
        shaped(e, n, true);
    }
    /* else a hint: the address is not accessed */
}

/* --- jumps --- */

static bool in_page(const struct x64_emit *e, uint64_t target)
{
    uint64_t base = e->block->soft.base, here = e->block->pc + base, there = target + base;

    if (!is_long(e)) {
        here = (uint32_t)here;
        there = (uint32_t)there;
    }
    return (here ^ there) >> PAGE_SHIFT == 0;
}

/* Through the jump table, with the target in RCX. If the table does not lead there, the engine is
 * told of the site, which R10 holds: a branch to where no code can be is taken back. */
static void jump_through(struct ir_code *code, uint32_t table, unsigned site)
{
    static const uint8_t jump[] = {0x65, 0x42, 0xff, 0x24, 0xcd}; /* jmp gs:[r9*8+table] */

    x64_soft_low_word(code, R9, RCX);
    x64_move_imm(code, R10, code->first_site + site);
    x64_bytes(code, jump, sizeof(jump));
    x64_u32(code, table);
}

/* The same to a target that is known. */
static void jump_far(struct ir_code *code, uint32_t table, unsigned site, uint64_t target)
{
    static const uint8_t jump[] = {0x65, 0xff, 0x24, 0x25}; /* jmp gs:[disp32] */
    unsigned index = (unsigned)target & ((1u << IR_JUMP_BITS) - 1);

    x64_move_imm(code, RCX, target);
    x64_move_imm(code, R10, code->first_site + site);
    x64_bytes(code, jump, sizeof(jump));
    x64_u32(code, table + 8 * index);
}

/* The displacement of a jump, aligned so that it can be changed while it runs. */
static void link_here(struct x64_emit *e, unsigned cause, uint64_t target)
{
    unsigned site = x64_site(e, cause, target);

    e->code->site[site].patch = (uint32_t)e->code->size;
    x64_u32(e->code, 0);
}

/* `through` the table also where the target is on the page. */
static void emit_jump(struct x64_emit *e, uint64_t target, bool through, bool falls_through)
{
    if (falls_through)
        return;
    if (through || !in_page(e, target)) {
        jump_far(e->code, e->block->soft.jump_table, x64_site(e, IR_EXIT_LOOKUP, target), target);
        return;
    }
    x64_align_patch(e->code, 1);
    x64_byte(e->code, 0xe9);
    link_here(e, IR_EXIT_LINK, target);
}

/* Something is recorded on the taken way first: over it if it is not taken. */
static void emit_long_jump_if(struct x64_emit *e, const struct ir_op *op, unsigned first)
{
    uint32_t over, disp;

    x64_byte(e->code, 0x0f);
    x64_byte(e->code, 0x80 | (op->cond ^ 1));
    over = (uint32_t)e->code->size;
    x64_u32(e->code, 0);
    x64_soft_region(e, first, first + op->reg);
    emit_jump(e, op->imm, false, false);
    disp = (uint32_t)e->code->size - (over + 4);
    if (!e->code->full)
        memcpy(e->code->write + over, &disp, sizeof(disp));
}

static void emit_jump_if(struct x64_emit *e, const struct ir_op *op, unsigned first)
{
    if (op->reg > 0) {
        emit_long_jump_if(e, op, first);
        return;
    }
    x64_align_patch(e->code, 2);
    x64_byte(e->code, 0x0f);
    x64_byte(e->code, 0x80 | op->cond);
    link_here(e, in_page(e, op->imm) ? IR_EXIT_LINK : IR_EXIT_LOOKUP, op->imm);
}

/* LOOP, LOOPE, LOOPNE, JRCXZ: the counter in RCX as wide as it counts, then over or to the jump. */
static void emit_jump_loop(struct x64_emit *e, const struct ir_op *op, unsigned first)
{
    const struct native_insn *n = &e->block->native[op->native];
    unsigned size = x64_soft_address_size(e, n), kind = n->opcode & 3;
    struct ir_code *code = e->code;
    size_t skip_flags = 0, over;

    if (kind != 3) {
        x64_soft_sum(code, RCX, GUEST_RCX, NATIVE_NONE, -1, size == LONG);
        x64_soft_move_sized(code, GUEST_RCX, RCX, size);
    }
    if (size == 2)
        x64_soft_low_word(code, RCX, GUEST_RCX);
    else
        x64_soft_move_sized(code, RCX, GUEST_RCX, size);
    if (kind < 2) { /* LOOPNE ends with ZF, LOOPE without */
        x64_byte(code, kind == 0 ? 0x74 : 0x75);
        skip_flags = code->size;
        x64_byte(code, 0);
    }
    if (kind == 3) { /* over the jump that is not taken */
        static const uint8_t taken[] = {0xe3, 2, 0xeb, 0};

        x64_bytes(code, taken, sizeof(taken));
    } else {
        static const uint8_t not_taken[] = {0xe3, 0};

        x64_bytes(code, not_taken, sizeof(not_taken));
    }
    over = code->size - 1;
    if (op->reg > 0)
        x64_soft_region(e, first, first + op->reg);
    emit_jump(e, op->imm, false, false);
    if (code->full)
        return;
    if (code->size - over - 1 > 127)
        bug("x64: a short jump over %zu bytes", code->size - over - 1);
    code->write[over] = (uint8_t)(code->size - over - 1);
    if (skip_flags)
        code->write[skip_flags] = (uint8_t)(code->size - skip_flags - 1);
}

/* The target into RCX, and, if something comes before the jump (cond), kept. */
static void emit_target(struct x64_emit *e, const struct ir_op *op)
{
    const struct native_insn *n = &e->block->native[op->native];

    if (n->mem_implicit & NATIVE_POP) {
        emit_pop(e, n);
        return;
    }
    if (n->modrm == NATIVE_MODRM_MEM) {
        x64_soft_operand(e, n);
        x64_soft_host_access(e->code, RCX, n->mem_size, false);
    } else if (n->mem_size == 2) {
        x64_soft_low_word(e->code, RCX, x64_soft_value_of(e->code, n->rm, RCX));
    } else {
        x64_soft_move_sized(e->code, RCX, x64_soft_value_of(e->code, n->rm, RCX), n->mem_size);
    }
    if (op->cond)
        x64_store_state(e->code, X64_STATE(temp), RCX);
}

static void emit_jump_target(struct x64_emit *e, const struct ir_op *op)
{
    if (op->cond)
        x64_load_state(e->code, RCX, X64_STATE(temp));
    jump_through(e->code, e->block->soft.jump_table, x64_site(e, IR_EXIT_LOOKUP, 0));
}

/* --- blocks --- */

/* Returns how many operations behind it are done with. */
static unsigned emit_op(struct x64_emit *e, unsigned index)
{
    const struct ir_block *block = e->block;
    const struct ir_op *op = &block->op[index];

    switch (op->op) {
    case IR_NATIVE: emit_native(e, &block->native[op->native]); break;
    case IR_CHANGE_BIT: x64_soft_change_bits(e, op); break;
    case IR_STORE_BYTE: x64_soft_store_byte(e, op); break;
    case IR_GET_WORD: x64_soft_get_word(e, op); break;
    case IR_PUSH_FLAGS: x64_soft_push_flags(e, op); break;
    case IR_POP_FLAGS: x64_soft_pop_flags(e, op); break;
    case IR_BUDGET: x64_soft_budget(e, op); break;
    case IR_LEAVE_IF: x64_soft_leave_if(e, op); break;
    case IR_TARGET: emit_target(e, op); break;
    case IR_JUMP_TARGET: emit_jump_target(e, op); break;
    case IR_JUMP: emit_jump(e, op->imm, op->cond, block->falls_through); break;
    case IR_JUMP_IF: emit_jump_if(e, op, index + 1); return op->reg;
    case IR_JUMP_LOOP: emit_jump_loop(e, op, index + 1); return op->reg;
    case IR_EXIT: x64_leave(e, x64_site(e, op->reg, op->imm)); break;
    default:
        if (!ir_op_is_generic(op->op))
            bug("x64: no code for operation %s in system mode", ir_op_name(op->op));
        return x64_soft_regions(e, index) - 1;
    }
    return 0;
}

static void indirect_prologue(struct ir_code *code, const struct ir_glue *glue, uint64_t pc)
{
    static const uint8_t mov_r9[] = {0x49, 0xb9};
    static const uint8_t compare[] = {0x4a, 0x8d, 0x0c, 0x09, 0xe3, 0x05}; /* lea rcx, [rcx+r9] */

    x64_bytes(code, mov_r9, sizeof(mov_r9));
    x64_u64(code, -pc);
    x64_bytes(code, compare, sizeof(compare));
    x64_jump(code, glue->lookup);
}

static void soft_emit(struct ir_code *code, const struct ir_glue *glue,
                      const struct ir_block *block)
{
    struct x64_emit e = {.code = code, .glue = glue, .block = block};
    struct ir_entry *entry = &code->block[code->block_count];

    if (code->block_count == IR_GROUP_BLOCKS) {
        code->full = true;
        return;
    }
    code->jump_table = block->soft.jump_table;
    *entry = (struct ir_entry){.start = (uint32_t)code->size, .point = code->point_count};
    if (block->indirect_entry) {
        entry->indirect = (uint32_t)code->size;
        x64_point(&e, 0);
        indirect_prologue(code, glue, block->pc);
    }
    entry->entry = (uint32_t)code->size;
    for (unsigned i = 0; i < block->op_count && !code->full; i++) {
        const struct ir_op *op = &block->op[i];

        if (op->op == IR_INSN) {
            e.insn = op->insn;
            e.marked = false;
            x64_point(&e, IR_POINT_BOUNDARY);
            continue;
        }
        i += emit_op(&e, i);
        if (i + 1 < block->op_count && block->op[i + 1].op != IR_INSN)
            x64_point(&e, 0);
    }
    entry->end = (uint32_t)code->size;
    entry->points = code->point_count - entry->point;
    code->block_count++;
}

/* Where a site's jump goes while there is nothing better. */
static void soft_finish(struct ir_code *code, const struct ir_glue *glue)
{
    struct x64_emit e = {.code = code, .glue = glue};

    for (unsigned i = 0; i < code->site_count && !code->full; i++) {
        struct ir_site *site = &code->site[i];
        uint32_t disp;

        if (!site->patch)
            continue;
        site->stub = (uint32_t)code->size;
        if (site->cause == IR_EXIT_LOOKUP) {
            jump_far(code, code->jump_table, i, site->target);
        } else {
            if (site->cause == IR_EXIT_MISS)
                x64_store_state(code, X64_STATE(miss), R9);
            x64_leave(&e, i);
        }
        disp = site->stub - (site->patch + 4);
        if (!code->full)
            memcpy(code->write + site->patch, &disp, sizeof(disp));
    }
    x64_nops(code, (unsigned)(-x64_here(code) & 15));
}

static void soft_indirect_entry(struct ir_code *code, const struct ir_glue *glue, uint64_t pc,
                                uint64_t entry)
{
    indirect_prologue(code, glue, pc);
    x64_jump(code, entry);
    x64_nops(code, (unsigned)(-x64_here(code) & 15));
}

static bool soft_usable(struct error *err)
{
    if (!x64_usable(err))
        return false;
    if (!__builtin_cpu_supports("bmi2"))
        return error_set(err, "this processor has no BMI2, which system mode needs");
    return true;
}

/* --- in and out --- */

/* The registers with a home, but RSP. */
static const uint8_t homes[] = {X64_RAX, X64_RCX, X64_RDX, X64_RBX, X64_RBP, X64_RSI,
                                X64_RDI, 12,      13,      14,      15};

static void soft_enter(struct ir_code *code)
{
    static const uint8_t push_gs[] = {0x65, 0xff};

    x64_xrstor(code);
    x64_bytes(code, push_gs, sizeof(push_gs));
    x64_gs_operand(code, 6, X64_STATE(flags));
    x64_byte(code, 0x9d); /* popfq */
    for (unsigned i = 0; i < sizeof(homes); i++)
        x64_load_state(code, x64_soft_home(homes[i]), X64_REG(homes[i]));
    x64_soft_set_shift_count(code);
    x64_load_state(code, X64_RSP, X64_REG(X64_RSP));
    x64_bytes(code, push_gs, sizeof(push_gs)); /* jmp gs:[entry]: FF /4 */
    x64_gs_operand(code, 4, X64_WORD(X64_ENTRY));
}

static void soft_leave(struct ir_code *code, unsigned exit)
{
    x64_store_state32(code, X64_STATE(exit), exit);
    for (unsigned i = 0; i < sizeof(homes); i++)
        x64_store_state(code, X64_REG(homes[i]), x64_soft_home(homes[i]));
    x64_store_state(code, X64_REG(X64_RSP), X64_RSP);
    x64_load_state(code, X64_RSP, X64_WORD(X64_HOST_SP));
    x64_store_units(code);
    x64_return(code);
}

/* With the target in RCX: looks into the second table of the context, by a CRC32, which leaves the
 * flags alone, and goes to what it finds. Goes on behind with the target in RCX. */
static void second_table(struct ir_code *code)
{
    static const uint8_t index[] = {
        0x41, 0xb9, 0,    0,    0,    0,    /* mov r9d, 0 */
        0xf2, 0x4c, 0x0f, 0x38, 0xf1, 0xc9, /* crc32 r9, rcx */
        0x45, 0x0f, 0xb7, 0xc9,             /* movzx r9d, r9w */
        0x47, 0x8d, 0x0c, 0x09,             /* lea r9d, [r9+r9] */
    };
    static const uint8_t compare[] = {
        0x4f, 0x8b, 0x14, 0xca,       /* mov r10, [r10+r9*8] */
        0x4e, 0x8d, 0x54, 0x11, 0x01, /* lea r10, [rcx+r10+1] */
        0x49, 0x87, 0xca,             /* xchg rcx, r10 */
        0xe3, 0x05,                   /* jrcxz: found */
        0x4c, 0x89, 0xd1,             /* mov rcx, r10 */
        0xeb, 0x0e,                   /* over what follows */
    };
    static const uint8_t jump[] = {0x43, 0xff, 0x64, 0xca, 0x08}; /* jmp [r10+r9*8+8] */

    x64_bytes(code, index, sizeof(index));
    x64_load_state(code, R10, X64_STATE(second));
    x64_bytes(code, compare, sizeof(compare));
    x64_load_state(code, R10, X64_STATE(second));
    x64_bytes(code, jump, sizeof(jump));
}

/* The site that R10 holds becomes exit_arg. */
static void store_site(struct ir_code *code)
{
    static const uint8_t store_r10d[] = {0x65, 0x44, 0x89};

    x64_bytes(code, store_r10d, sizeof(store_r10d));
    x64_gs_operand(code, R10 & 7, X64_STATE(exit_arg));
}

static void soft_glue(struct ir_code *code, struct ir_glue *glue)
{
    /* not r9; lea rcx, [rcx+r9+1]: RCX - R9, which is the target */
    static const uint8_t target[] = {0x49, 0xf7, 0xd1, 0x4a, 0x8d, 0x4c, 0x09, 0x01};
    size_t over;

    glue->start = glue->enter = x64_here(code);
    soft_enter(code);
    glue->enter_end = x64_here(code);

    x64_nops(code, (unsigned)(-x64_here(code) & 15));
    glue->leave = x64_here(code);
    soft_leave(code, IR_EXIT_LINK); /* or what the site says */

    x64_nops(code, (unsigned)(-x64_here(code) & 15));
    glue->inside = glue->lookup = x64_here(code);
    x64_bytes(code, target, sizeof(target));
    store_site(code);
    second_table(code);
    x64_byte(code, 0xeb); /* over the next */
    x64_byte(code, 0);
    over = code->size;
    glue->inside_end = glue->empty = x64_here(code);
    store_site(code);
    if (!code->full)
        code->write[over - 1] = (uint8_t)(code->size - over);
    x64_store_state(code, X64_STATE(pc), RCX);
    soft_leave(code, IR_EXIT_LOOKUP);

    x64_nops(code, (unsigned)(-x64_here(code) & 15));
    glue->redirect = x64_here(code);
    soft_leave(code, IR_EXIT_INTERRUPT);
    x64_nops(code, (unsigned)(-x64_here(code) & 63));
    glue->end = x64_here(code);
}

const struct ir_host x64_soft_host = {
    .name = "x86-64",
    .usable = soft_usable,
    .glue = soft_glue,
    .emit = soft_emit,
    .finish = soft_finish,
    .indirect_entry = soft_indirect_entry,
    .patch = x64_patch,
    .bind = x64_bind,
    .enter = x64_enter,
    .set_entry = x64_set_entry,
    .sigaction = x64_sigaction,
    .set_handler = x64_set_handler,
    .second = x64_second,
    .current = x64_current,
    .context_pc = x64_context_pc,
    .context_recover = x64_context_recover,
    .context_go = x64_context_go,
    .context_step = x64_context_step,
    .context_fault = x64_context_fault,
};
