/* SPDX-License-Identifier: MIT
 *
 * One instruction to bytes (Intel SDM vol. 2, chapter 2), and the few instructions that engine code
 * is made of.
 */
#include <string.h>

#include "base/error.h"
#include "host/x64/internal.h"

static bool fits32(int64_t value)
{
    return value == (int32_t)value;
}

static bool near_enough(const struct ir_code *code, uint64_t address)
{
    int64_t distance = (int64_t)(address - x64_here(code));

    return distance > INT32_MIN + 256 && distance < INT32_MAX - 256;
}

bool x64_reaches(const struct ir_code *code, const struct native_insn *native)
{
    if (native->segment == NATIVE_GS &&
        (native->modrm == NATIVE_MODRM_MEM ||
         (native->mem_implicit & (NATIVE_STRING_SI | NATIVE_MOFFS | NATIVE_XLAT | NATIVE_MASKMOV))))
        return false;
    return native->base != NATIVE_RIP || native->modrm != NATIVE_MODRM_MEM ||
           near_enough(code, native->address) || fits32((int64_t)native->address);
}

static unsigned pool_add(struct ir_code *code, uint64_t value, uint32_t patch)
{
    if (code->pool_count == IR_GROUP_POOL) {
        code->full = true;
        return 0;
    }
    code->pool[code->pool_count].value = value;
    code->pool[code->pool_count].patch = patch;
    return code->pool_count++;
}

static unsigned scale_bits(unsigned scale)
{
    return scale == 8 ? 3 : scale == 4 ? 2 : scale == 2 ? 1 : 0;
}

/* What follows writes at `at`, where there is room for an instruction, and returns where it ends.
 */

static uint8_t *put(uint8_t *at, unsigned byte)
{
    *at = (uint8_t)byte;
    return at + 1;
}

static uint8_t *put32(uint8_t *at, uint32_t value)
{
    memcpy(at, &value, sizeof(value));
    return at + sizeof(value);
}

/* Whether the memory operand is relative to RIP: a displacement that is filled in last. */
static bool is_relative(const struct ir_code *code, const struct native_insn *n)
{
    return n->base == NATIVE_POOL || (n->base == NATIVE_RIP && near_enough(code, n->address));
}

/* modrm, SIB and displacement of what is not relative. */
static uint8_t *memory_operand(uint8_t *at, const struct native_insn *n)
{
    unsigned reg = (n->reg & 7u) << 3;
    unsigned sib, mod;

    if (n->base == NATIVE_RIP || n->base == NATIVE_NONE) {
        unsigned index = n->base == NATIVE_RIP || n->index == NATIVE_NONE ? 4 : n->index & 7u;

        at = put(at, reg | 4);
        at = put(at, scale_bits(n->scale) << 6 | index << 3 | 5);
        return put32(at, n->base == NATIVE_RIP ? (uint32_t)n->address : (uint32_t)n->disp);
    }
    mod = n->disp == 0 && (n->base & 7) != X64_RBP ? 0 : n->disp == (int8_t)n->disp ? 1 : 2;
    if (n->index != NATIVE_NONE || (n->base & 7) == X64_RSP) {
        sib = n->index == NATIVE_NONE ? 4u << 3 : scale_bits(n->scale) << 6 | (n->index & 7u) << 3;
        at = put(at, mod << 6 | reg | 4);
        at = put(at, sib | (n->base & 7u));
    } else {
        at = put(at, mod << 6 | reg | (n->base & 7u));
    }
    if (mod == 0)
        return at;
    return mod == 1 ? put(at, (uint8_t)n->disp) : put32(at, (uint32_t)n->disp);
}

static uint8_t *vex_prefix(uint8_t *at, const struct native_insn *n, unsigned r, unsigned x,
                           unsigned b)
{
    unsigned pp = n->prefix & NATIVE_66   ? 1
                  : n->prefix & NATIVE_F3 ? 2
                  : n->prefix & NATIVE_F2 ? 3
                                          : 0;
    unsigned tail = (~n->vvvv & 15u) << 3 | (n->vex_l ? 4u : 0) | pp;

    if (n->map == NATIVE_MAP_0F && !n->w && !x && !b) {
        at = put(at, 0xc5);
        return put(at, (r ? 0 : 0x80) | tail);
    }
    at = put(at, 0xc4);
    at = put(at, (r ? 0 : 0x80) | (x ? 0 : 0x40) | (b ? 0 : 0x20) | n->map);
    return put(at, (n->w ? 0x80 : 0) | tail);
}

static uint8_t *legacy_prefix(uint8_t *at, const struct native_insn *n, unsigned r, unsigned x,
                              unsigned b)
{
    unsigned rex = (n->w ? 8u : 0) | r << 2 | x << 1 | b;

    if (n->prefix & (NATIVE_66 | NATIVE_F2 | NATIVE_F3)) {
        if (n->prefix & NATIVE_66)
            at = put(at, 0x66);
        if (n->prefix & NATIVE_F2)
            at = put(at, 0xf2);
        if (n->prefix & NATIVE_F3)
            at = put(at, 0xf3);
    }
    if (rex || n->rex)
        at = put(at, 0x40 | rex);
    if (n->map == NATIVE_MAP_ONE)
        return at;
    at = put(at, 0x0f);
    if (n->map == NATIVE_MAP_0F38)
        return put(at, 0x38);
    return n->map == NATIVE_MAP_0F3A ? put(at, 0x3a) : at;
}

/* Everything in front of the opcode. */
static uint8_t *prefixes(uint8_t *at, const struct native_insn *n)
{
    bool memory = n->modrm == NATIVE_MODRM_MEM;
    unsigned r = n->modrm != NATIVE_MODRM_NONE ? n->reg >> 3 & 1u : 0;
    unsigned x =
        memory && n->base != NATIVE_RIP && n->index != NATIVE_NONE ? n->index >> 3 & 1u : 0;
    unsigned b = memory && n->base < 16 ? n->base >> 3 & 1u
                 : n->modrm == NATIVE_MODRM_REG || (n->attributes & NATIVE_OPCODE_REG)
                     ? n->rm >> 3 & 1u
                     : 0;

    if ((n->prefix & NATIVE_67) && !(memory && n->base == NATIVE_RIP))
        at = put(at, 0x67);
    if (n->segment == NATIVE_FS)
        at = put(at, 0x64);
    else if (n->segment == NATIVE_GS)
        at = put(at, 0x65);
    if (n->prefix & NATIVE_LOCK)
        at = put(at, 0xf0);
    return n->vex ? vex_prefix(at, n, r, x, b) : legacy_prefix(at, n, r, x, b);
}

/* The displacement at `at` of an instruction whose last byte is written. */
static void finish_relative(struct ir_code *code, const struct native_insn *n, uint8_t *at)
{
    uint32_t place = (uint32_t)(at - code->write);

    if (n->base == NATIVE_POOL) {
        pool_add(code, n->address, place);
        put32(at, (uint32_t)(place + 4 - code->size)); /* what follows the displacement */
    } else {
        put32(at, (uint32_t)(n->address - x64_here(code)));
    }
}

void x64_encode(struct ir_code *code, const struct native_insn *n)
{
    uint8_t *at = code->write + code->size, *relative = NULL;

    if (code->size + X64_MARGIN > code->room) {
        code->full = true;
        return;
    }
    at = prefixes(at, n);
    at = put(at, n->opcode | (n->attributes & NATIVE_OPCODE_REG ? n->rm & 7u : 0));
    if (n->modrm == NATIVE_MODRM_REG) {
        at = put(at, 0xc0 | (n->reg & 7u) << 3 | (n->rm & 7u));
    } else if (n->modrm == NATIVE_MODRM_MEM && is_relative(code, n)) {
        relative = put(at, (n->reg & 7u) << 3 | 5);
        at = relative + 4;
    } else if (n->modrm == NATIVE_MODRM_MEM) {
        at = memory_operand(at, n);
    }
    if (n->imm_size > 0) {
        memcpy(at, &n->imm, sizeof(n->imm));
        at += n->imm_size;
    }
    code->size = (size_t)(at - code->write);
    if (relative)
        finish_relative(code, n, relative);
}

/* gs:[disp32] with the opcode of a one-byte instruction. */
static void state_operand(struct ir_code *code, unsigned rex_w, unsigned opcode, unsigned reg,
                          uint32_t state)
{
    x64_byte(code, 0x65);
    if (rex_w || reg >= 8)
        x64_byte(code, 0x40 | (rex_w ? 8u : 0) | (reg >> 3) << 2);
    x64_byte(code, opcode);
    x64_byte(code, (reg & 7u) << 3 | 4);
    x64_byte(code, 0x25);
    x64_u32(code, state);
}

void x64_store_state(struct ir_code *code, uint32_t state, unsigned reg)
{
    state_operand(code, 1, 0x89, reg, state);
}

void x64_load_state(struct ir_code *code, unsigned reg, uint32_t state)
{
    state_operand(code, 1, 0x8b, reg, state);
}

void x64_store_state32(struct ir_code *code, uint32_t state, uint32_t value)
{
    state_operand(code, 0, 0xc7, 0, state);
    x64_u32(code, value);
}

void x64_alu(struct ir_code *code, unsigned opcode, unsigned to, unsigned from)
{
    x64_byte(code, 0x48 | (from >> 3) << 2 | to >> 3);
    x64_byte(code, opcode);
    x64_byte(code, 0xc0 | (from & 7u) << 3 | (to & 7u));
}

void x64_move(struct ir_code *code, unsigned to, unsigned from)
{
    if (to != from)
        x64_alu(code, 0x89, to, from);
}

void x64_move_imm(struct ir_code *code, unsigned to, uint64_t value)
{
    if (value == (uint32_t)value) {
        if (to >= 8)
            x64_byte(code, 0x41);
        x64_byte(code, 0xb8 | (to & 7u));
        x64_u32(code, (uint32_t)value);
    } else if (fits32((int64_t)value)) {
        x64_byte(code, 0x48 | to >> 3);
        x64_byte(code, 0xc7);
        x64_byte(code, 0xc0 | (to & 7u));
        x64_u32(code, (uint32_t)value);
    } else {
        x64_byte(code, 0x48 | to >> 3);
        x64_byte(code, 0xb8 | (to & 7u));
        x64_u64(code, value);
    }
}

/* [base+index+disp] of a 64-bit instruction with a one-byte opcode. */
static void plain_operand(struct ir_code *code, unsigned opcode, unsigned reg, unsigned base,
                          unsigned index, int32_t disp)
{
    struct native_insn n = {
        .opcode = (uint8_t)opcode,
        .modrm = NATIVE_MODRM_MEM,
        .reg = (uint8_t)reg,
        .w = true,
        .segment = NATIVE_DS,
        .base = (uint8_t)base,
        .index = (uint8_t)index,
        .scale = 1,
        .disp = disp,
    };

    x64_encode(code, &n);
}

void x64_lea(struct ir_code *code, unsigned to, unsigned base, int32_t disp)
{
    plain_operand(code, 0x8d, to, base, NATIVE_NONE, disp);
}

void x64_lea_sum(struct ir_code *code, unsigned to, unsigned base, unsigned index)
{
    if (index == X64_RSP)
        plain_operand(code, 0x8d, to, index, base, 0);
    else
        plain_operand(code, 0x8d, to, base, index, 0);
}

void x64_store(struct ir_code *code, unsigned base, int32_t disp, unsigned reg)
{
    plain_operand(code, 0x89, reg, base, NATIVE_NONE, disp);
}

void x64_load(struct ir_code *code, unsigned reg, unsigned base, int32_t disp)
{
    plain_operand(code, 0x8b, reg, base, NATIVE_NONE, disp);
}

void x64_jump(struct ir_code *code, uint64_t target)
{
    x64_byte(code, 0xe9);
    x64_u32(code, (uint32_t)(target - (x64_here(code) + 4)));
}

void x64_nops(struct ir_code *code, unsigned count)
{
    /* The forms that the Intel SDM recommends (NOP, vol. 2). */
    static const uint8_t forms[][9] = {
        {0x90},
        {0x66, 0x90},
        {0x0f, 0x1f, 0x00},
        {0x0f, 0x1f, 0x40, 0x00},
        {0x0f, 0x1f, 0x44, 0x00, 0x00},
        {0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00},
        {0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00},
        {0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00},
        {0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00},
    };

    while (count > 0) {
        unsigned length = count < 9 ? count : 9;

        x64_bytes(code, forms[length - 1], length);
        count -= length;
    }
}
