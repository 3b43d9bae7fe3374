/* SPDX-License-Identifier: MIT
 *
 * Instructions to bytes: random forms are encoded and read back by a disassembler that is not ours;
 * nops; where jumps that are patched lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <Zydis/Zydis.h>

#include "host/x64/internal.h"
#include "host/x64/x64.h"
#include "ir/block.h"

enum { ROOM = 1 << 16, ROUNDS = 200000 };

static uint8_t bytes[ROOM];
static struct ir_code code;
static ZydisDecoder decoder;

static uint64_t random_number(void)
{
    static uint64_t x = 0x9e3779b97f4a7c15;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return x * UINT64_C(0x2545f4914f6cdd1d);
}

static unsigned below(unsigned n)
{
    return (unsigned)(random_number() >> 33) % n;
}

static void begin(uint64_t exec)
{
    memset(&code, 0, sizeof(code));
    memset(bytes, 0xcc, sizeof(bytes));
    code.write = bytes;
    code.exec = exec;
    code.room = sizeof(bytes);
}

/* --- forms --- */

static const struct form {
    uint8_t map, opcode, prefix;
    bool vex, memory_only;
    uint8_t imm_size;
} forms[] = {
    {NATIVE_MAP_ONE, 0x89, 0, false, false, 0},          /* MOV r/m, r */
    {NATIVE_MAP_ONE, 0x8b, NATIVE_66, false, false, 0},  /* MOV r16, r/m16 */
    {NATIVE_MAP_ONE, 0x8d, 0, false, true, 0},           /* LEA */
    {NATIVE_MAP_ONE, 0x69, 0, false, false, 4},          /* IMUL r, r/m, imm32 */
    {NATIVE_MAP_ONE, 0x6b, 0, false, false, 1},          /* IMUL r, r/m, imm8 */
    {NATIVE_MAP_0F, 0xaf, 0, false, false, 0},           /* IMUL r, r/m */
    {NATIVE_MAP_0F, 0x58, NATIVE_F2, false, false, 0},   /* ADDSD */
    {NATIVE_MAP_0F, 0x6f, NATIVE_F3, false, false, 0},   /* MOVDQU */
    {NATIVE_MAP_0F, 0x70, NATIVE_66, false, false, 1},   /* PSHUFD */
    {NATIVE_MAP_0F38, 0x00, NATIVE_66, false, false, 0}, /* PSHUFB */
    {NATIVE_MAP_0F3A, 0x0f, NATIVE_66, false, false, 1}, /* PALIGNR */
    {NATIVE_MAP_ONE, 0x01, NATIVE_LOCK, false, true, 0}, /* LOCK ADD */
    {NATIVE_MAP_0F, 0x58, 0, true, false, 0},            /* VADDPS */
    {NATIVE_MAP_0F, 0xef, NATIVE_66, true, false, 0},    /* VPXOR */
    {NATIVE_MAP_0F38, 0xb8, NATIVE_66, true, false, 0},  /* VFMADD231PS or PD */
    {NATIVE_MAP_0F3A, 0x0f, NATIVE_66, true, false, 1},  /* VPALIGNR */
};

static struct native_insn random_insn(const struct form *form)
{
    static const int32_t disps[] = {0, 1, -1, 127, -128, 128, -129, INT32_MAX, INT32_MIN, 0x12345};
    struct native_insn n = {
        .map = form->map,
        .opcode = form->opcode,
        .prefix = form->prefix,
        .vex = form->vex,
        .vvvv = form->vex ? (uint8_t)below(16) : 0,
        .vex_l = form->vex && form->opcode != 0x0f && below(2),
        .w = form->prefix != NATIVE_66 && below(2),
        .reg = (uint8_t)below(16),
        .segment = NATIVE_DS,
        .base = NATIVE_NONE,
        .index = NATIVE_NONE,
        .scale = 1,
        .imm_size = form->imm_size,
        .imm = (uint64_t)(int64_t)(int8_t)random_number(),
    };

    if (form->opcode == 0xef || form->opcode == 0x0f)
        n.vex_l = false; /* 256 bits of these are another feature, but legal: left out */
    if (!form->memory_only && below(3) == 0) {
        n.modrm = NATIVE_MODRM_REG;
        n.rm = (uint8_t)below(16);
        return n;
    }
    n.modrm = NATIVE_MODRM_MEM;
    n.segment = below(8) ? NATIVE_DS : below(2) ? NATIVE_FS : NATIVE_GS;
    if (below(8) == 0)
        n.prefix |= NATIVE_67;
    switch (below(8)) {
    case 0:
        n.base = NATIVE_RIP;
        n.address =
            code.exec + (uint64_t)(int64_t)(int32_t)(random_number() & 0x7fffffff) / 2 - 0x1fffffff;
        n.prefix &= (uint8_t)~NATIVE_67;
        return n;
    case 1:
        n.base = NATIVE_POOL;
        n.address = random_number();
        n.prefix &= (uint8_t)~NATIVE_67;
        return n;
    case 2: break; /* no base */
    default: n.base = (uint8_t)below(16);
    }
    if (below(2)) {
        do
            n.index = (uint8_t)below(16);
        while (n.index == X64_RSP);
        n.scale = (uint8_t)(1u << below(4));
    }
    n.disp = disps[below(sizeof(disps) / sizeof(disps[0]))];
    return n;
}

static unsigned number_of(ZydisRegister reg)
{
    return (unsigned)ZydisRegisterGetId(reg);
}

#define SAME(a, b)                                                                             \
    do {                                                                                       \
        if ((uint64_t)(a) != (uint64_t)(b))                                                    \
            fail_msg("opcode %02x base %u index %u: %s is %#lx, not %#lx", n->opcode, n->base, \
                     n->index, #a, (unsigned long)(a), (unsigned long)(b));                    \
    } while (0)

static void same_memory(const struct native_insn *n, const ZydisDecodedInstruction *z,
                        const ZydisDecodedOperand *m, uint64_t at)
{
    ZyanU64 address = 0;

    if (n->base == NATIVE_RIP || n->base == NATIVE_POOL) {
        SAME(m->mem.base, ZYDIS_REGISTER_RIP);
        ZydisCalcAbsoluteAddress(z, m, at, &address);
        if (n->base == NATIVE_RIP)
            SAME(address, n->address);
        return;
    }
    SAME(z->address_width, n->prefix & NATIVE_67 ? 32 : 64);
    SAME(m->mem.base == ZYDIS_REGISTER_NONE ? NATIVE_NONE : number_of(m->mem.base), n->base);
    SAME(m->mem.index == ZYDIS_REGISTER_NONE ? NATIVE_NONE : number_of(m->mem.index), n->index);
    if (n->index != NATIVE_NONE)
        SAME(m->mem.scale, n->scale);
    SAME(m->mem.disp.value, n->disp);
    if (n->segment != NATIVE_DS && n->opcode != 0x8d) /* LEA has none */
        SAME(m->mem.segment, n->segment == NATIVE_FS ? ZYDIS_REGISTER_FS : ZYDIS_REGISTER_GS);
}

static void same(const struct native_insn *n, uint64_t at, size_t size)
{
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    ZydisDecodedInstruction z;
    ZyanStatus status =
        ZydisDecoderDecodeFull(&decoder, bytes + (at - code.exec), size, &z, operands);

    if (!ZYAN_SUCCESS(status))
        fail_msg("opcode %02x map %u vex %u: no instruction (%x)", n->opcode, n->map, n->vex,
                 status);
    SAME(z.length, size);
    SAME(z.opcode, n->opcode);
    SAME(z.opcode_map, n->map); /* the same numbers */
    SAME(z.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX, n->vex);
    SAME(z.raw.modrm.reg | (n->vex ? (unsigned)(z.raw.vex.R ^ 1) : z.raw.rex.R) << 3, n->reg);
    SAME(!!(z.attributes & ZYDIS_ATTRIB_HAS_LOCK), !!(n->prefix & NATIVE_LOCK));
    if (n->vex) {
        SAME(~z.raw.vex.vvvv & 15, n->vvvv);
        SAME(z.raw.vex.L, n->vex_l);
        SAME(z.raw.vex.W, n->w);
        SAME(z.raw.vex.pp, n->prefix & NATIVE_66 ? 1 : 0);
        /* The short form where it can be had. */
        if (n->modrm == NATIVE_MODRM_REG && n->map == NATIVE_MAP_0F && !n->w && n->rm < 8)
            SAME(z.raw.vex.size, 2);
    } else {
        SAME(z.raw.rex.W, n->w);
    }
    if (n->imm_size)
        SAME((uint64_t)(int64_t)(int8_t)z.raw.imm[0].value.u, n->imm);
    if (n->modrm == NATIVE_MODRM_REG) {
        SAME(z.raw.modrm.mod, 3);
        SAME(z.raw.modrm.rm | (n->vex ? (unsigned)(z.raw.vex.B ^ 1) : z.raw.rex.B) << 3, n->rm);
        return;
    }
    for (unsigned i = 0; i < z.operand_count; i++) {
        if (operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY) {
            same_memory(n, &z, &operands[i], at);
            return;
        }
    }
    fail_msg("opcode %02x: no memory operand", n->opcode);
}

static void random_forms_are_read_back(void **state)
{
    (void)state;
    begin(UINT64_C(0x7f0000000000));
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct native_insn n = random_insn(&forms[below(sizeof(forms) / sizeof(forms[0]))]);
        uint64_t at;

        if (code.size > ROOM / 2 || code.pool_count > 1000)
            begin(UINT64_C(0x7f0000000000));
        at = x64_here(&code);
        x64_encode(&code, &n);
        assert_false(code.full);
        same(&n, at, x64_here(&code) - at);
    }
}

static void constants_are_addressed(void **state)
{
    static const struct ir_glue glue;
    struct native_insn n = {.opcode =
                                0x81, /* XOR qword [pool], imm32: something behind the address */
                            .modrm = NATIVE_MODRM_MEM,
                            .reg = 6,
                            .w = true,
                            .segment = NATIVE_DS,
                            .base = NATIVE_POOL,
                            .index = NATIVE_NONE,
                            .imm_size = 4};

    (void)state;
    begin(0x1000);
    for (unsigned i = 0; i < 10; i++) {
        n.address = UINT64_C(0x1111111111111111) * i;
        x64_encode(&code, &n);
    }
    x64_host.finish(&code, &glue);
    for (unsigned i = 0; i < 10; i++) {
        uint64_t value;
        int32_t disp;

        memcpy(&disp, bytes + 11 * i + 3, sizeof(disp));
        assert_true(11 * i + 11 + (uint64_t)disp + 8 <= code.size);
        memcpy(&value, bytes + 11 * i + 11 + disp, sizeof(value));
        assert_int_equal(value, UINT64_C(0x1111111111111111) * i);
    }
}

static void out_of_reach(void **state)
{
    struct native_insn n = {.opcode = 0x8b,
                            .modrm = NATIVE_MODRM_MEM,
                            .segment = NATIVE_DS,
                            .base = NATIVE_RIP,
                            .index = NATIVE_NONE};

    (void)state;
    begin(UINT64_C(0x7f0000000000));
    n.address = code.exec + 0x7000000;
    assert_true(x64_reaches(&code, &n));
    n.address = code.exec + UINT64_C(0x100000000);
    assert_false(x64_reaches(&code, &n));
    n.address = code.exec - UINT64_C(0x90000000);
    assert_false(x64_reaches(&code, &n));
    n.address = 0x7fffffff; /* as an absolute address */
    assert_true(x64_reaches(&code, &n));
    n.address = 0xffffffff80000000;
    assert_true(x64_reaches(&code, &n));
    n.base = 0;
    assert_true(x64_reaches(&code, &n));
    n.segment = NATIVE_GS;
    assert_false(x64_reaches(&code, &n));
}

static void nops_have_the_length_asked_for(void **state)
{
    (void)state;
    for (unsigned count = 0; count < 40; count++) {
        ZydisDecodedInstruction z;
        size_t at = 0;

        begin(0x1000);
        x64_nops(&code, count);
        assert_int_equal(code.size, count);
        for (; at < count; at += z.length) {
            assert_true(ZYAN_SUCCESS(
                ZydisDecoderDecodeInstruction(&decoder, NULL, bytes + at, count - at, &z)));
            assert_int_equal(z.mnemonic, ZYDIS_MNEMONIC_NOP);
        }
        assert_int_equal(at, count);
    }
}

static void nothing_is_written_past_the_room(void **state)
{
    (void)state;
    begin(0x1000);
    code.room = 100;
    while (!code.full)
        x64_move_imm(&code, 15, UINT64_C(0x123456789abcdef0));
    assert_true(code.size <= 100);
    for (unsigned i = 100; i < 200; i++)
        assert_int_equal(bytes[i], 0xcc);
}

/* --- patches --- */

static struct ir_block block;

static void patched_displacements_do_not_cross_words(void **state)
{
    static const struct ir_glue glue = {.leave = 0x100000};
    static const struct native_insn loop = {.opcode = 0xe2, .segment = NATIVE_DS};

    (void)state;
    for (unsigned round = 0; round < 2000; round++) {
        begin(0x10000 + below(64));
        ir_block_begin(&block, 0x401000);
        ir_block_insn(&block, 1);
        for (unsigned i = below(9); i > 0; i--) {
            struct native_insn filler = random_insn(&forms[below(4)]);

            filler.segment = NATIVE_DS;
            ir_append_native(&block, IR_NATIVE, &filler);
        }
        if (below(2))
            ir_append(&block, IR_JUMP_IF)->imm = 0x402000;
        else
            ir_append_native(&block, IR_JUMP_LOOP, &loop)->imm = 0x402000;
        ir_append_jump(&block, 0x403000);
        ir_liveness(&block, false);
        x64_host.emit(&code, &glue, &block);
        x64_host.finish(&code, &glue);
        assert_false(code.full);
        assert_int_equal(code.site_count, 2);
        for (unsigned i = 0; i < code.site_count; i++) {
            uint64_t place = code.exec + code.site[i].patch;
            int32_t disp;

            assert_int_equal(code.site[i].cause, IR_EXIT_LINK);
            assert_int_equal(code.site[i].target, i == 0 ? 0x402000 : 0x403000);
            assert_true((place & 7) <= 4);
            memcpy(&disp, bytes + code.site[i].patch, sizeof(disp));
            assert_int_equal(code.site[i].patch + 4 + (uint64_t)disp, code.site[i].stub);
            x64_host.patch(bytes + code.site[i].patch, place, 0x12345678);
            memcpy(&disp, bytes + code.site[i].patch, sizeof(disp));
            assert_int_equal(place + 4 + (uint64_t)disp, 0x12345678);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_forms_are_read_back),
        cmocka_unit_test(constants_are_addressed),
        cmocka_unit_test(out_of_reach),
        cmocka_unit_test(nops_have_the_length_asked_for),
        cmocka_unit_test(nothing_is_written_past_the_room),
        cmocka_unit_test(patched_displacements_do_not_cross_words),
    };
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
