/* SPDX-License-Identifier: MIT
 *
 * XLAT, bit strings, masked moves, gathers and decimal adjustment in C: against the real CPU, page
 * faults included, and by cases what only a system can see. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "guest/x86/xstate.h"
#include "x86_machine.h"
#include "x86_native.h"

enum { OK = -1, DE = 0, UD = 6, NM = 7, SS = 12, GP = 13, PF = 14, MF = 16 };

/* --- decimal adjustment: all of AL or AX that matters, all flags that are read */

static void compare_decimal(struct machine *m, const uint8_t *bytes, size_t size, uint64_t ax,
                            uint64_t flags, uint64_t defined)
{
    struct native_registers registers = {.reg = {[X86_RAX] = 0x12340000 | ax}, .flags = flags};

    m->cpu.state.reg[X86_RAX] = 0x12340000 | ax;
    m->cpu.state.flags = flags;
    assert_int_equal(run(m, bytes, size), OK);
    native_run32(&registers, bytes, size);
    if (m->cpu.state.reg[X86_RAX] != (uint32_t)registers.reg[X86_RAX] ||
        (m->cpu.state.flags ^ registers.flags) & defined)
        fail_msg("%x with AX = %lx, flags %lx: %lx, %lx; should be %lx, %lx", bytes[0], ax, flags,
                 m->cpu.state.reg[X86_RAX], m->cpu.state.flags, registers.reg[X86_RAX],
                 registers.flags);
}

static void decimals_are_those_of_the_cpu(void **state)
{
    static const uint8_t adjust[] = {0x27, 0x2f, 0x37, 0x3f, 0xd6};
    static const uint8_t bases[] = {10, 16, 1, 0xff};
    const uint64_t of_al = NATIVE_SF | NATIVE_ZF | NATIVE_PF;
    struct machine *m = machine_open(PROTECTED32, 0);

    (void)state;
    for (unsigned i = 0; i < 256 * 4; i += 3) {
        uint64_t ax = (0x1a00 + i * 0x700) & 0xff00, flags = 0;

        ax |= i & 0xff;
        flags |= i & 0x100 ? NATIVE_CF : 0;
        flags |= i & 0x200 ? NATIVE_AF : 0;
        for (unsigned k = 0; k < sizeof adjust; k++)
            compare_decimal(m, &adjust[k], 1, ax, flags,
                            NATIVE_CF | (adjust[k] == 0xd6 ? 0 : NATIVE_AF) | (k < 2 ? of_al : 0));
        for (unsigned k = 0; k < sizeof bases; k++) {
            compare_decimal(m, (const uint8_t[]){0xd4, bases[k]}, 2, ax, flags, of_al);
            compare_decimal(m, (const uint8_t[]){0xd5, bases[k]}, 2, ax, flags, of_al);
        }
    }
    assert_int_equal(RUN(m, 0xd4, 0), DE);
    assert_false(m->fault.has_error);
    m = machine_open(LONG64, 0);
    assert_int_equal(RUN(m, 0xd4, 10), UD);
}

/* --- XLAT */

static void xlat_looks_up(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 0);

    (void)state;
    m->ram[0xb0ff] = 0x5a;
    m->cpu.state.reg[X86_RBX] = 0xb000;
    m->cpu.state.reg[X86_RAX] = 0x112233ff;
    assert_int_equal(RUN(m, 0xd7), OK);
    assert_int_equal(m->cpu.state.reg[X86_RAX], 0x1122335a);
    /* 16 bits: wraps, and BX alone counts */
    m->ram[0x10] = 0x6b;
    m->cpu.state.reg[X86_RBX] = 0x7777ff11;
    m->cpu.state.reg[X86_RAX] = 0xff;
    assert_int_equal(RUN(m, 0x67, 0xd7), OK);
    assert_int_equal(m->cpu.state.reg[X86_RAX], 0x6b);
    m->cpu.system.segment[NATIVE_SS].limit = 0xfff;
    m->cpu.state.reg[X86_RBX] = 0x1000;
    assert_int_equal(RUN(m, 0x36, 0xd7), SS);
    m = machine_open(LONG64, 0);
    m->cpu.state.reg[X86_RBX] = UINT64_C(1) << 47;
    assert_int_equal(RUN(m, 0xd7), GP);
}

/* --- against the CPU, with memory */

enum { AREA = 0x180000, AREA_SIZE = 0x4000, HOLE = AREA + 0x2000, PAGE = 0x1000 };

static uint64_t seed = 4711;

static uint32_t chance(uint32_t below)
{
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)((seed >> 33) % below);
}

/* An address in the area, mostly near the hole; not so near its ends that everything is outside. */
static uint64_t any_address(void)
{
    return chance(4) ? HOLE - 40 + chance(48) : AREA + 0x800 + chance(0x1000);
}

struct instruction {
    uint8_t bytes[12];
    size_t size;
    unsigned element, count; /* of a gather: bytes, and how many */
};

static void append(struct instruction *insn, uint8_t byte)
{
    insn->bytes[insn->size++] = byte;
}

typedef struct instruction prepare_fn(struct native_registers *registers);

/* A gather that has faulted: of the mask, YMM2, only the upper bits of elements have a meaning, and
 * processors differ in the others; so they do in what is behind the elements. */
static bool same_part(const struct instruction *insn, unsigned number, const uint8_t *ours,
                      const uint8_t *theirs)
{
    unsigned used = insn->count * insn->element;

    for (unsigned i = insn->element - 1; number == 2 && i < used; i += insn->element) {
        if ((ours[i] ^ theirs[i]) & 0x80)
            return false;
    }
    return number == 2 || (number == 1 && memcmp(ours, theirs, used) == 0);
}

/* Both have the same area with the same hole. */
static void compare(struct machine *m, uint8_t *area, unsigned round, prepare_fn *prepare)
{
    static _Alignas(64) uint8_t image[X86_XSTATE_SIZE];
    struct native_registers registers = {.image = image};
    uint8_t ours[32], theirs[32];
    struct instruction insn;
    int got;

    for (unsigned i = 0; i < AREA_SIZE; i++)
        area[i] = (uint8_t)chance(256);
    for (unsigned i = 0; i < 16; i++)
        registers.reg[i] = (uint64_t)chance(UINT32_MAX) << 32 | chance(UINT32_MAX);
    registers.flags = chance(0x1000) & NATIVE_ARITH;
    x86_xstate_reset(image);
    x86_xstate_normalise(image);
    for (unsigned i = 0; i < 16 * 16; i++) {
        image[X86_XSTATE_XMM + i] = (uint8_t)chance(256);
        image[X86_XSTATE_YMM + i] = (uint8_t)chance(256);
    }
    insn = prepare(&registers);
    memcpy(m->ram + AREA, area, AREA_SIZE);
    memcpy(m->cpu.state.reg, registers.reg, sizeof registers.reg);
    memcpy(m->cpu.state.vector, image, sizeof image);
    m->cpu.state.flags = registers.flags;
    got = run(m, insn.bytes, insn.size);
    mprotect(area + (HOLE - AREA), PAGE, PROT_NONE);
    if (native_run(&registers, insn.bytes, insn.size) != (got == OK) || (got != OK && got != PF))
        fail_msg("round %u: vector %d", round, got);
    mprotect(area + (HOLE - AREA), PAGE, PROT_READ | PROT_WRITE);
    if (memcmp(m->cpu.state.reg, registers.reg, sizeof registers.reg) ||
        (m->cpu.state.flags ^ registers.flags) & NATIVE_ARITH)
        fail_msg("round %u: registers differ", round);
    for (unsigned i = 0; i < 16; i++) {
        x86_xstate_get_ymm(m->cpu.state.vector, i, ours);
        x86_xstate_get_ymm(image, i, theirs);
        if (memcmp(ours, theirs, sizeof ours) && !(got == PF && same_part(&insn, i, ours, theirs)))
            fail_msg("round %u, vector %d: YMM%u differs", round, got, i);
    }
    if (memcmp(m->ram + AREA, area, AREA_SIZE))
        fail_msg("round %u, vector %d: memory differs", round, got);
}

static void compare_often(prepare_fn *prepare, unsigned rounds)
{
    struct machine *m = machine_open(LONG64, 0);
    uint8_t *area = native_map(AREA, AREA_SIZE);

    m->cpu.system.cr4 |= X86_CR4_OSFXSR | X86_CR4_OSXSAVE;
    m->cpu.xcr0 = X86_XSTATE_ALL;
    *(uint32_t *)page_entry(m, HOLE) = 0;
    for (unsigned round = 0; round < rounds; round++)
        compare(m, area, round, prepare);
    munmap(area, AREA_SIZE);
}

/* [RSI], the number in RAX, EAX, AX: at most some hundred bits away. */
static struct instruction any_bit_string(struct native_registers *registers)
{
    static const uint8_t opcodes[] = {0xa3, 0xab, 0xb3, 0xbb}, sizes[] = {0, 0x66, 0x48};
    uint8_t opcode = opcodes[chance(4)], size = sizes[chance(3)];
    uint64_t bit = (uint64_t)(int64_t)((int32_t)chance(600) - 300);
    struct instruction insn = {.size = 0};

    registers->reg[X86_RSI] = any_address();
    registers->reg[X86_RAX] = size == 0x48 ? bit
                              : size       ? (registers->reg[X86_RAX] & ~0xfffful) | (bit & 0xffff)
                                     : (registers->reg[X86_RAX] & ~0xfffffffful) | (uint32_t)bit;
    if (opcode != 0xa3 && chance(2))
        append(&insn, 0xf0);
    if (size)
        append(&insn, size);
    append(&insn, 0x0f);
    append(&insn, opcode);
    append(&insn, 0x06);
    return insn;
}

static void bit_strings_are_those_of_the_cpu(void **state)
{
    (void)state;
    compare_often(any_bit_string, 1200);
}

/* VEX with three bytes: no B, X; R, vvvv and the rest as given. */
static struct instruction vex(unsigned map, bool w, unsigned vvvv, bool l, uint8_t opcode)
{
    struct instruction insn = {.size = 0};

    append(&insn, 0xc4);
    append(&insn, (uint8_t)(0xe0 | map));
    append(&insn, (uint8_t)(w << 7 | (~vvvv & 15) << 3 | l << 2 | 1));
    append(&insn, opcode);
    return insn;
}

/* YMM1 or [RSI + 8], mask in YMM2. */
static struct instruction any_masked_move(struct native_registers *registers)
{
    static const uint8_t opcodes[] = {0x2c, 0x2d, 0x2e, 0x2f, 0x8c, 0x8e};
    uint8_t opcode = opcodes[chance(6)];
    struct instruction insn = vex(2, opcode & 0x80 && chance(2), 2, chance(2), opcode);

    registers->reg[X86_RSI] = any_address();
    append(&insn, 0x4e);
    append(&insn, 8);
    return insn;
}

static void masked_moves_are_those_of_the_cpu(void **state)
{
    (void)state;
    if (__builtin_cpu_supports("avx2"))
        compare_often(any_masked_move, 1000);
}

/* XMM1 to [RDI], mask in XMM9; a mask that selects nothing beyond the hole's edge is not the
 * manual's to say whether it faults. */
static struct instruction any_byte_move(struct native_registers *registers)
{
    struct instruction insn = {.bytes = {0x66, 0x41, 0x0f, 0xf7, 0xc9}, .size = 5};

    registers->reg[X86_RDI] = chance(2) ? HOLE - 16 - chance(100) : HOLE - 15 + chance(14);
    registers->image[X86_XSTATE_XMM + 9 * 16 + 15] |= 0x80;
    return insn;
}

static void byte_moves_are_those_of_the_cpu(void **state)
{
    (void)state;
    compare_often(any_byte_move, 300);
}

/* To YMM1, base RSI, indices in YMM3, mask in YMM2. */
static struct instruction any_gather(struct native_registers *registers)
{
    uint8_t opcode = (uint8_t)(0x90 + chance(4));
    bool wide = chance(2), all = chance(2);
    struct instruction insn = vex(2, wide, 2, all, opcode);
    uint8_t *indices = registers->image + X86_XSTATE_XMM + 3 * 16;
    unsigned scale = chance(4);

    registers->reg[X86_RSI] = HOLE - 0x1f0;
    for (unsigned i = 0; i < 8; i++) {
        uint8_t *at =
            i < 4 ? indices + 4 * i : indices - X86_XSTATE_XMM + X86_XSTATE_YMM + 4 * i - 16;
        int32_t index = (int32_t)chance(0x440) - 0x200;

        index >>= scale;
        if (opcode & 1 && i & 1) { /* the upper half of 8 bytes */
            memcpy(&index, at - 4, 4);
            index >>= 31;
        }
        memcpy(at, &index, 4);
    }
    insn.element = wide ? 8 : 4;
    insn.count = (all ? 32 : 16) / (wide || opcode & 1 ? 8 : 4);
    append(&insn, 0x4c);
    append(&insn, (uint8_t)(scale << 6 | 3 << 3 | 6));
    append(&insn, 16);
    return insn;
}

static void gathers_are_those_of_the_cpu(void **state)
{
    (void)state;
    if (__builtin_cpu_supports("avx2"))
        compare_often(any_gather, 1500);
}

/* --- what only a system can see */

static struct machine *open_vectors(enum machine_mode mode)
{
    struct machine *m = machine_open(mode, 0);

    m->cpu.system.cr4 |= X86_CR4_OSFXSR | X86_CR4_OSXSAVE;
    m->cpu.xcr0 = X86_XSTATE_ALL;
    x86_update_mode(&m->cpu);
    return m;
}

#define GATHER   0xc4, 0xe2, 0x69, 0x90, 0x0c, 0x1e /* vpgatherdd xmm1, [esi+xmm3], xmm2 */
#define VMASKMOV 0xc4, 0xe2, 0x69, 0x8e, 0x0e       /* vpmaskmovd [esi], xmm2, xmm1 */
#define MASKMOV  0x66, 0x0f, 0xf7, 0xca             /* maskmovdqu xmm1, xmm2 */
#define MASKMOVQ 0x0f, 0xf7, 0xca

static void units_must_be_on(void **state)
{
    struct machine *m = open_vectors(PROTECTED32);

    (void)state;
    m->cpu.state.reg[X86_RSI] = m->cpu.state.reg[X86_RDI] = DATA_AT;
    assert_int_equal(RUN(m, GATHER), OK);
    assert_int_equal(RUN(m, MASKMOV), OK);
    m->cpu.system.cr0 |= X86_CR0_TS;
    assert_int_equal(RUN(m, GATHER), NM);
    assert_int_equal(RUN(m, MASKMOV), NM);
    assert_int_equal(RUN(m, MASKMOVQ), NM);
    m->cpu.system.cr0 ^= X86_CR0_TS | X86_CR0_EM;
    assert_int_equal(RUN(m, GATHER), OK);
    assert_int_equal(RUN(m, MASKMOV), UD);
    assert_int_equal(RUN(m, MASKMOVQ), UD);
    m->cpu.system.cr0 ^= X86_CR0_EM;
    m->cpu.system.cr4 &= ~(uint64_t)(X86_CR4_OSFXSR | X86_CR4_OSXSAVE);
    assert_int_equal(RUN(m, VMASKMOV), UD);
    assert_int_equal(RUN(m, MASKMOV), UD);
    assert_int_equal(RUN(m, MASKMOVQ), OK);
    m->cpu.system.cr4 |= X86_CR4_OSXSAVE;
    m->cpu.xcr0 = X86_XSTATE_X87 | X86_XSTATE_SSE;
    assert_int_equal(RUN(m, VMASKMOV), UD);
    m = open_vectors(REAL);
    assert_int_equal(RUN(m, 0xc4, 0xe2, 0x69, 0x8e, 0x0c), UD);
}

/* MM1 under MM2; the x87 stack, of which TOP is 3, becomes MMX's. */
static void mmx_takes_the_unit(void **state)
{
    struct machine *m = open_vectors(PROTECTED32);
    uint8_t *image = m->cpu.state.vector;
    uint8_t value[10] = {1, 2, 3, 4, 5, 6, 7, 8, 0, 0x40},
            mask[10] = {0x80, 0, 0, 0xff, [9] = 0x40};

    (void)state;
    x86_xstate_set_word(image, X86_XSTATE_FSW, 3 << 11);
    x86_xstate_set_word(image, X86_XSTATE_FTW, 0x18);
    x86_xstate_set_st(image, (1 - 3) & 7, value);
    x86_xstate_set_st(image, (2 - 3) & 7, mask);
    m->cpu.state.reg[X86_RDI] = DATA_AT;
    m->cpu.system.segment[NATIVE_ES].limit = 0; /* DS counts */
    assert_int_equal(RUN(m, MASKMOVQ), OK);
    assert_int_equal(peek64(m, DATA_AT), 0x04000001);
    assert_int_equal(x86_xstate_word(image, X86_XSTATE_FSW), 0);
    assert_int_equal(x86_xstate_word(image, X86_XSTATE_FTW), 0xff);
    x86_xstate_get_st(image, 1, mask);
    assert_memory_equal(mask, value, 10);
    /* an exception that is pending comes first */
    x86_xstate_set_word(image, X86_XSTATE_FCW, 0x37e);
    x86_xstate_set_word(image, X86_XSTATE_FSW, 0x8081);
    assert_int_equal(RUN(m, MASKMOVQ), MF);
    m->cpu.system.cr0 &= ~(uint64_t)X86_CR0_NE;
    m->cpu.state.pc = CODE_AT;
    assert_int_equal(RUN(m, MASKMOVQ), OK);
    assert_int_equal(m->cpu.state.pc, CODE_AT);
    assert_int_equal(m->float_errors, 1);
}

/* A trap of one element ends it before the next; what is done is not done again. */
static void a_breakpoint_ends_a_gather(void **state)
{
    struct machine *m = open_vectors(PROTECTED32);
    uint32_t indices[4] = {0, 0x100, 0x200, 0x300}, ones[8] = {~0u, ~0u, ~0u, ~0u}, result[8];

    (void)state;
    m->cpu.system.dr7 = X86_DR7_ONES | 0xf << 16 | 1; /* 4 bytes, read or written */
    m->cpu.system.dr[0] = DATA_AT + 0x100;
    x86_update_mode(&m->cpu);
    for (unsigned i = 0; i < 4; i++)
        poke32(m, DATA_AT + 0x100 * i, i + 10);
    x86_xstate_set_xmm(m->cpu.state.vector, 3, (uint8_t *)indices);
    x86_xstate_set_ymm(m->cpu.state.vector, 2, (uint8_t *)ones);
    m->cpu.state.reg[X86_RSI] = DATA_AT;
    m->cpu.state.pc = CODE_AT;
    assert_int_equal(RUN(m, GATHER), OK);
    assert_int_equal(m->cpu.state.pc, CODE_AT);
    assert_int_equal(m->cpu.system.pending_debug, 1);
    x86_xstate_get_ymm(m->cpu.state.vector, 2, (uint8_t *)result);
    assert_int_equal(result[1], 0);
    assert_int_equal(result[2], UINT32_MAX);
    m->cpu.system.pending_debug = 0;
    assert_int_equal(RUN(m, GATHER), OK);
    assert_int_equal(m->cpu.state.pc, CODE_AT + 6);
    x86_xstate_get_ymm(m->cpu.state.vector, 1, (uint8_t *)result);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(result[i], i < 4 ? i + 10 : 0);
}

/* Addresses wrap at their size, and each element is within the limit. */
static void elements_have_limits(void **state)
{
    struct machine *m = open_vectors(PROTECTED32);
    uint32_t mask[4] = {~0u, 0, 0, ~0u}, value[4] = {1, 2, 3, 4};

    (void)state;
    x86_xstate_set_xmm(m->cpu.state.vector, 2, (uint8_t *)mask);
    x86_xstate_set_xmm(m->cpu.state.vector, 1, (uint8_t *)value);
    m->cpu.state.reg[X86_RSI] = DATA_AT;
    m->cpu.system.segment[NATIVE_DS].limit = DATA_AT + 14;
    assert_int_equal(RUN(m, VMASKMOV), GP);
    m->cpu.system.segment[NATIVE_DS].limit = DATA_AT + 15;
    assert_int_equal(RUN(m, VMASKMOV), OK);
    assert_int_equal(peek64(m, DATA_AT), 1);
    assert_int_equal(peek64(m, DATA_AT + 8), UINT64_C(4) << 32);
    /* device memory: only what is selected is read */
    m->cpu.system.segment[NATIVE_DS].limit = UINT32_MAX;
    m->cpu.state.reg[X86_RSI] = MMIO_AT;
    assert_int_equal(RUN(m, 0xc4, 0xe2, 0x69, 0x8c, 0x0e), OK);
    x86_xstate_get_xmm(m->cpu.state.vector, 1, (uint8_t *)value);
    assert_int_equal(value[0], MMIO_AT);
    assert_int_equal(value[1], 0);
    assert_int_equal(value[3], MMIO_AT + 12);
}

static void bits_of_other_modes(void **state)
{
    struct machine *m = machine_open(REAL, 0);

    (void)state;
    m->cpu.state.reg[X86_RBX] = 4;
    m->cpu.state.reg[X86_RAX] = 0xffc0; /* -64: a word at -4, which is fffc */
    assert_int_equal(RUN(m, 0x0f, 0xab, 0x07), OK);
    assert_int_equal(peek16(m, 0xfffc), 1);
    assert_int_equal(m->cpu.state.flags & NATIVE_CF, 0);
    assert_int_equal(RUN(m, 0x0f, 0xb3, 0x07), OK);
    assert_int_equal(peek16(m, 0xfffc), 0);
    assert_int_equal(m->cpu.state.flags & NATIVE_CF, 1);
    m->cpu.state.reg[X86_RBX] = 0xffff; /* the operand is a word */
    m->cpu.state.reg[X86_RAX] = 0;
    assert_int_equal(RUN(m, 0x0f, 0xa3, 0x07), GP);
    /* device memory that answers with its address */
    m = machine_open(PROTECTED32, 0);
    m->cpu.state.reg[X86_RBX] = MMIO_AT;
    m->cpu.state.reg[X86_RAX] = 22;
    assert_int_equal(RUN(m, 0xf0, 0x0f, 0xbb, 0x03), OK);
    assert_int_equal(m->cpu.state.flags & NATIVE_CF, MMIO_AT >> 22 & 1);
    /* the watched bytes are those of the operand */
    m->cpu.system.dr7 = X86_DR7_ONES | 1 << 16 | 1;
    m->cpu.system.dr[0] = DATA_AT + 3;
    x86_update_mode(&m->cpu);
    m->cpu.state.reg[X86_RBX] = DATA_AT;
    m->cpu.state.reg[X86_RAX] = 0;
    assert_int_equal(RUN(m, 0x0f, 0xab, 0x03), OK);
    assert_int_equal(m->cpu.system.pending_debug, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decimals_are_those_of_the_cpu),
        cmocka_unit_test(xlat_looks_up),
        cmocka_unit_test(bit_strings_are_those_of_the_cpu),
        cmocka_unit_test(masked_moves_are_those_of_the_cpu),
        cmocka_unit_test(byte_moves_are_those_of_the_cpu),
        cmocka_unit_test(gathers_are_those_of_the_cpu),
        cmocka_unit_test(units_must_be_on),
        cmocka_unit_test(mmx_takes_the_unit),
        cmocka_unit_test(a_breakpoint_ends_a_gather),
        cmocka_unit_test(elements_have_limits),
        cmocka_unit_test(bits_of_other_modes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
