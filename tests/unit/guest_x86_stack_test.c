/* SPDX-License-Identifier: MIT
 *
 * PUSH, POP and near branches in C: against the real CPU where it can be asked, and in all modes by
 * tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "x86_machine.h"
#include "x86_native.h"

enum { OK = -1, UD = 6, SS = 12, GP = 13, PF = 14, AC = 17 };

/* --- against the CPU, in flat 64-bit mode */

enum { AREA = 0x180000, AREA_SIZE = 0x2000, MIDDLE = AREA + AREA_SIZE / 2 };

static const struct {
    uint8_t size, bytes[8];
} stack_insns[] = {
    {1, {0x50}},                         /* push rax */
    {2, {0x41, 0x57}},                   /* push r15 */
    {1, {0x54}},                         /* push rsp */
    {2, {0x66, 0x51}},                   /* push cx */
    {2, {0x66, 0x54}},                   /* push sp */
    {2, {0x6a, 0x81}},                   /* push -127 */
    {3, {0x66, 0x6a, 0x81}},             /* pushw -127 */
    {5, {0x68, 1, 2, 3, 0x84}},          /* push imm32 */
    {4, {0x66, 0x68, 1, 0x82}},          /* pushw imm16 */
    {3, {0xff, 0x34, 0x24}},             /* push [rsp] */
    {4, {0xff, 0x74, 0x24, 0xf8}},       /* push [rsp-8] */
    {5, {0x66, 0xff, 0x74, 0x24, 0x08}}, /* pushw [rsp+8] */
    {2, {0xff, 0x36}},                   /* push [rsi] */
    {2, {0xff, 0xf3}},                   /* push rbx, long form */
    {1, {0x5b}},                         /* pop rbx */
    {2, {0x41, 0x5c}},                   /* pop r12 */
    {1, {0x5c}},                         /* pop rsp */
    {2, {0x66, 0x5a}},                   /* pop dx */
    {2, {0x66, 0x5c}},                   /* pop sp */
    {3, {0x8f, 0x04, 0x24}},             /* pop [rsp] */
    {4, {0x8f, 0x44, 0x24, 0x10}},       /* pop [rsp+10] */
    {5, {0x66, 0x8f, 0x44, 0x24, 0xf0}}, /* popw [rsp-10] */
    {2, {0x8f, 0x06}},                   /* pop [rsi] */
    {3, {0x67, 0x8f, 0x06}},             /* pop [esi] */
    {2, {0x8f, 0xc1}},                   /* pop rcx, long form */
};

static void pushes_and_pops_are_those_of_the_cpu(void **state)
{
    struct machine *m = machine_open(LONG64, 0);
    uint8_t *area = native_map(AREA, AREA_SIZE);
    struct native_registers registers = {.flags = 0};

    (void)state;
    for (size_t i = 0; i < sizeof stack_insns / sizeof *stack_insns; i++) {
        for (unsigned n = 0; n < AREA_SIZE; n++)
            area[n] = (uint8_t)(n * 13 + n / 256);
        memcpy(m->ram + AREA, area, AREA_SIZE);
        for (unsigned n = 0; n < 16; n++)
            registers.reg[n] = UINT64_C(0x8877665544332211) * (n + 1);
        registers.reg[X86_RSI] = AREA + 0x100;
        registers.reg[X86_RSP] = MIDDLE + 4;
        memcpy(m->cpu.state.reg, registers.reg, sizeof registers.reg);
        assert_int_equal(run(m, stack_insns[i].bytes, stack_insns[i].size), OK);
        native_run(&registers, stack_insns[i].bytes, stack_insns[i].size);
        if (memcmp(m->cpu.state.reg, registers.reg, sizeof registers.reg) ||
            memcmp(m->ram + AREA, area, AREA_SIZE))
            fail_msg("instruction %zu differs; RSP %lx, should be %lx", i,
                     m->cpu.state.reg[X86_RSP], registers.reg[X86_RSP]);
    }
    munmap(area, AREA_SIZE);
}

/* SETcc AL there, Jcc here. */
static void conditions_are_those_of_the_cpu(void **state)
{
    struct machine *m = machine_open(LONG64, 0);
    const uint16_t all[] = {NATIVE_CF, NATIVE_PF, NATIVE_ZF, NATIVE_SF, NATIVE_OF};

    (void)state;
    for (unsigned i = 0; i < 16 * 32; i++) {
        struct native_registers registers = {.flags = 0};
        uint8_t set[] = {0x0f, (uint8_t)(0x90 | i % 16), 0xc0};

        for (unsigned bit = 0; bit < 5; bit++)
            registers.flags |= i / 16 >> bit & 1 ? all[bit] : 0;
        m->cpu.state.flags = registers.flags;
        m->cpu.state.pc = CODE_AT;
        registers.reg[X86_RSP] = STACK_END;
        native_run(&registers, set, sizeof set);
        assert_int_equal(i & 1 ? RUN(m, (uint8_t)(0x70 | i % 16), 0x40)
                               : RUN(m, 0x0f, (uint8_t)(0x80 | i % 16), 0x40, 0, 0, 0),
                         OK);
        assert_int_equal(m->cpu.state.pc == CODE_AT + (i & 1 ? 2 : 6) + 0x40,
                         registers.reg[X86_RAX] & 1);
    }
}

/* --- stacks of other modes */

static const struct stack_case {
    const char *what;
    enum machine_mode mode;
    uint8_t size, bytes[8];
    uint64_t sp;       /* before */
    uint64_t sp_after; /* as are those below */
    uint64_t at;       /* memory there has `value` in `width` bytes */
    uint64_t value;
    uint8_t width;
} stack_cases[] = {
    {"push in real mode", REAL, 1, {0x50}, 0x12345000, 0x12344ffe, 0x4ffe, 0x2211, 2},
    {"push, 32 bits", REAL, 2, {0x66, 0x50}, 0x5000, 0x4ffc, 0x4ffc, 0x44332211, 4},
    {"SP wraps", REAL, 1, {0x50}, 0x120000, 0x12fffe, 0xfffe, 0x2211, 2},
    {"push sp", REAL, 1, {0x54}, 0x5000, 0x4ffe, 0x4ffe, 0x5000, 2},
    {"push imm8", REAL, 2, {0x6a, 0x80}, 0x5000, 0x4ffe, 0x4ffe, 0xff80, 2},
    {"push imm8, 32 bits", REAL, 3, {0x66, 0x6a, 0x80}, 0x5000, 0x4ffc, 0x4ffc, 0xffffff80, 4},
    {"push imm16", REAL, 3, {0x68, 1, 0x90}, 0x5000, 0x4ffe, 0x4ffe, 0x9001, 2},
    {"push [bx]", REAL, 2, {0xff, 0x37}, 0x5000, 0x4ffe, 0x4ffe, 0xbeef, 2},
    {"pop [bx+2]", REAL, 3, {0x8f, 0x47, 2}, 0xb004, 0xb006, 0xb002, 0x5544, 2},
    {"pop in real mode", REAL, 1, {0x59}, 0xfffe, 0, 0xb000, 0xbeef, 2},
    {"push", PROTECTED32, 1, {0x50}, 0x9000, 0x8ffc, 0x8ffc, 0x44332211, 4},
    {"push, 16 bits", PROTECTED32, 2, {0x66, 0x50}, 0x9000, 0x8ffe, 0x8ffe, 0x2211, 2},
    {"push [esp+4]", PROTECTED32, 4, {0xff, 0x74, 0x24, 4}, 0xaffc, 0xaff8, 0xaff8, 0xdeadbeef, 4},
    {"pop [esp]", PROTECTED32, 3, {0x8f, 0x04, 0x24}, 0xb004, 0xb008, 0xb008, 0x77665544, 4},
    {"pop [esp-4]",
     PROTECTED32,
     4,
     {0x8f, 0x44, 0x24, 0xfc},
     0xb004,
     0xb008,
     0xb004,
     0x77665544,
     4},
    {"pop esp", PROTECTED32, 1, {0x5c}, 0xb000, 0xdeadbeef, 0xb000, 0xdeadbeef, 4},
    {"pop sp", PROTECTED32, 2, {0x66, 0x5c}, 0xb000, 0xbeef, 0xb000, 0xdeadbeef, 4},
    {"call", PROTECTED32, 5, {0xe8, 0, 1, 0, 0}, 0x9000, 0x8ffc, 0x8ffc, CODE_AT + 5, 4},
    {"call, 16 bits", PROTECTED32, 4, {0x66, 0xe8, 0, 1}, 0x9000, 0x8ffe, 0x8ffe, CODE_AT + 4, 2},
    {"call [ebx+8]", PROTECTED32, 3, {0xff, 0x53, 8}, 0x9000, 0x8ffc, 0x8ffc, CODE_AT + 3, 4},
    {"call in 64-bit", LONG64, 5, {0xe8, 0, 1, 0, 0}, 0x9000, 0x8ff8, 0x8ff8, CODE_AT + 5, 8},
    {"66 has no meaning",
     LONG64,
     6,
     {0x66, 0xe8, 0, 1, 0, 0},
     0x9000,
     0x8ff8,
     0x8ff8,
     CODE_AT + 6,
     8},
    {"ret 4", PROTECTED32, 3, {0xc2, 4, 0}, 0xb008, 0xb010, 0xb000, 0xdeadbeef, 4},
    {"ret 8 in 64-bit", LONG64, 3, {0xc2, 8, 0}, 0xb008, 0xb018, 0xb000, 0xdeadbeef, 4},
    {"ret fff0, the stack wraps", REAL, 3, {0xc2, 0xf0, 0xff}, 0xb008, 0xaffa, 0xb000, 0xbeef, 2},
};

static void prepare(struct machine *m, uint64_t sp)
{
    poke32(m, 0xb000, 0xdeadbeef);
    poke32(m, 0xb004, 0x77665544);
    poke64(m, 0xb008, 0x4000);
    m->cpu.state.reg[X86_RAX] = UINT64_C(0x8877665544332211);
    m->cpu.state.reg[X86_RBX] = DATA_AT;
    m->cpu.state.reg[X86_RSP] = sp;
}

static void stacks_of_all_widths(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof stack_cases / sizeof *stack_cases; i++) {
        const struct stack_case *row = &stack_cases[i];
        struct machine *m = machine_open(row->mode, 0);
        int got;

        prepare(m, row->sp);
        got = run(m, row->bytes, row->size);
        if (got != OK)
            fail_msg("%s: vector %d", row->what, got);
        if (m->cpu.state.reg[X86_RSP] != row->sp_after)
            fail_msg("%s: RSP is %lx", row->what, m->cpu.state.reg[X86_RSP]);
        if ((peek64(m, row->at) & x86_size_mask(row->width)) != row->value)
            fail_msg("%s: memory is %lx", row->what, peek64(m, row->at));
    }
}

/* A stack of 16 bits under code of 32, and the other way around. */
static void width_is_of_the_stack_segment(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 0);

    (void)state;
    m->cpu.system.segment[NATIVE_SS].attributes &= ~(uint32_t)X86_SEG_BIG;
    x86_update_mode(&m->cpu);
    prepare(m, 0x120000);
    assert_int_equal(RUN(m, 0x50), OK);
    assert_int_equal(m->cpu.state.reg[X86_RSP], 0x12fffc);
    assert_int_equal(peek32(m, 0xfffc), 0x44332211);
    m->cpu.state.reg[X86_RSP] = 0x2b008;
    assert_int_equal(RUN(m, 0xc2, 2, 0), OK);
    assert_int_equal(m->cpu.state.reg[X86_RSP], 0x2b00e);
    assert_int_equal(m->cpu.state.pc, 0x4000);
    m = machine_open(PROTECTED16, 0);
    m->cpu.system.segment[NATIVE_SS].attributes |= X86_SEG_BIG;
    m->cpu.system.segment[NATIVE_SS].limit = UINT32_MAX;
    x86_update_mode(&m->cpu);
    prepare(m, 0x20000);
    assert_int_equal(RUN(m, 0x50), OK);
    assert_int_equal(m->cpu.state.reg[X86_RSP], 0x1fffe);
    assert_int_equal(peek16(m, 0x1fffe), 0x2211);
}

/* --- where branches go */

static const struct branch {
    const char *what;
    enum machine_mode mode;
    uint8_t size, bytes[8];
    uint64_t pc, to; /* to: where it is when `vector` is OK */
    uint64_t flags, rcx, rcx_after;
    int vector;
} branches[] = {
    {"jmp short", PROTECTED32, 2, {0xeb, 0xfe}, CODE_AT, CODE_AT, 0, 0, 0, OK},
    {"jmp near", PROTECTED32, 5, {0xe9, 0, 0, 1, 0}, 0x100, 0x10105, 0, 0, 0, OK},
    {"jmp near, 16 bits", PROTECTED32, 4, {0x66, 0xe9, 0, 0xff}, 0x20100, 4, 0, 0, 0, OK},
    {"jmp short, 16 bits", PROTECTED32, 3, {0x66, 0xeb, 0x10}, 0x20100, 0x113, 0, 0, 0, OK},
    {"IP wraps", REAL, 2, {0xeb, 0x20}, 0xfff0, 0x12, 0, 0, 0, OK},
    {"IP wraps down", REAL, 3, {0xe9, 0xf0, 0xff}, 2, 0xfff5, 0, 0, 0, OK},
    {"beyond the limit", REAL, 6, {0x66, 0xe9, 0, 0, 1, 0}, 2, 0, 0, 0, 0, GP},
    {"EIP wraps", PROTECTED32, 2, {0xeb, 0x80}, 0x10, 0xffffff92, 0, 0, 0, OK},
    {"not canonical", LONG64, 2, {0xeb, 0x7f}, UINT64_C(0x7fffffffffc0), 0, 0, 0, 0, GP},
    {"call not canonical", LONG64, 5, {0xe8, 0, 0, 0, 1}, UINT64_C(0x7fffffffffc0), 0, 0, 0, 0, GP},
    {"jmp rbx", LONG64, 2, {0xff, 0xe3}, CODE_AT, 0xb000, 0, 0, 0, OK},
    {"jmp [rbx+8]", LONG64, 3, {0xff, 0x63, 8}, CODE_AT, 0x4000, 0, 0, 0, OK},
    {"jmp to what is not canonical", LONG64, 2, {0xff, 0x23}, CODE_AT, 0, 0, 0, 0, GP},
    {"jmp bx", PROTECTED32, 3, {0x66, 0xff, 0xe0}, CODE_AT, 0x2211, 0, 0, 0, OK},
    {"jmp word [ebx]", PROTECTED32, 3, {0x66, 0xff, 0x23}, CODE_AT, 0xbeef, 0, 0, 0, OK},
    {"je", PROTECTED32, 2, {0x74, 0x10}, CODE_AT, CODE_AT + 0x12, NATIVE_ZF, 0, 0, OK},
    {"je not taken", PROTECTED32, 2, {0x74, 0x10}, CODE_AT, CODE_AT + 2, 0, 0, 0, OK},
    {"je near, 16 bits",
     PROTECTED32,
     5,
     {0x66, 0x0f, 0x84, 0, 0xff},
     0x20100,
     5,
     NATIVE_ZF,
     0,
     0,
     OK},
    {"not taken beyond",
     LONG64,
     2,
     {0x74, 0x7f},
     UINT64_C(0x7fffffffffc0),
     UINT64_C(0x7fffffffffc2),
     0,
     0,
     0,
     OK},
    {"loop", PROTECTED32, 2, {0xe2, 0xf0}, CODE_AT, CODE_AT - 14, 0, 2, 1, OK},
    {"loop, the last", PROTECTED32, 2, {0xe2, 0xf0}, CODE_AT, CODE_AT + 2, 0, 1, 0, OK},
    {"loop with 0", PROTECTED32, 2, {0xe2, 0xf0}, CODE_AT, CODE_AT - 14, 0, 0, 0xffffffff, OK},
    {"loop with CX",
     PROTECTED32,
     3,
     {0x67, 0xe2, 0xf0},
     CODE_AT,
     CODE_AT + 3,
     0,
     0x70001,
     0x70000,
     OK},
    {"loop with ECX",
     LONG64,
     3,
     {0x67, 0xe2, 0xf0},
     CODE_AT,
     CODE_AT - 13,
     0,
     UINT64_C(0x500000002),
     1,
     OK},
    {"loop faults", REAL, 3, {0x66, 0xe2, 0x7f}, 0xfff0, 0, 0, 7, 7, GP},
    {"loope", REAL, 2, {0xe1, 0xf0}, CODE_AT, CODE_AT - 14, NATIVE_ZF, 2, 1, OK},
    {"loope not", REAL, 2, {0xe1, 0xf0}, CODE_AT, CODE_AT + 2, 0, 2, 1, OK},
    {"loopne", REAL, 2, {0xe0, 0xf0}, CODE_AT, CODE_AT - 14, 0, 2, 1, OK},
    {"loopne not", REAL, 2, {0xe0, 0xf0}, CODE_AT, CODE_AT + 2, NATIVE_ZF, 2, 1, OK},
    {"jcxz", REAL, 2, {0xe3, 0x10}, CODE_AT, CODE_AT + 0x12, 0, 0x10000, 0x10000, OK},
    {"jecxz", REAL, 3, {0x67, 0xe3, 0x10}, CODE_AT, CODE_AT + 3, 0, 0x10000, 0x10000, OK},
    {"jecxz in 64-bit",
     LONG64,
     3,
     {0x67, 0xe3, 0x10},
     CODE_AT,
     CODE_AT + 0x13,
     0,
     UINT64_C(1) << 32,
     UINT64_C(1) << 32,
     OK},
    {"jrcxz",
     LONG64,
     2,
     {0xe3, 0x10},
     CODE_AT,
     CODE_AT + 2,
     0,
     UINT64_C(1) << 32,
     UINT64_C(1) << 32,
     OK},
    {"ret", PROTECTED32, 1, {0xc3}, CODE_AT, 0x4000, 0, 0, 0, OK},
    {"ret, 16 bits", PROTECTED32, 2, {0x66, 0xc3}, CODE_AT, 0x4000, 0, 0, 0, OK},
};

static void branches_are_checked(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof branches / sizeof *branches; i++) {
        const struct branch *row = &branches[i];
        struct machine *m = machine_open(row->mode, 0);
        int got;

        prepare(m, 0xb008);
        m->cpu.state.pc = row->pc;
        m->cpu.state.reg[X86_RCX] = row->rcx;
        m->cpu.state.flags |= row->flags;
        got = run(m, row->bytes, row->size);
        if (got != row->vector || (got == GP && m->fault.error))
            fail_msg("%s: vector %d", row->what, got);
        if (got == OK && m->cpu.state.pc != row->to)
            fail_msg("%s: to %lx", row->what, m->cpu.state.pc);
        if (m->cpu.state.reg[X86_RCX] != row->rcx_after)
            fail_msg("%s: RCX is %lx", row->what, m->cpu.state.reg[X86_RCX]);
    }
}

/* --- faults: run() sees to it that nothing changes */

static void stacks_have_limits(void **state)
{
    static const uint8_t users[][4] = {{0x50}, {0x6a, 1}, {0x58}, {0xc3}, {0xe8}, {0xff, 0x33}};
    static const uint8_t sizes[] = {1, 2, 1, 1, 3, 2};

    (void)state;
    for (unsigned i = 0; i < sizeof sizes; i++) {
        struct machine *m = machine_open(PROTECTED16, 0);

        prepare(m, 0x6000);
        m->cpu.system.segment[NATIVE_SS].limit = 0x4fff;
        assert_int_equal(run(m, users[i], sizes[i]), SS);
        assert_int_equal(m->fault.error, 0);
        m = machine_open(LONG64, 0);
        if (i != 4) {
            prepare(m, (UINT64_C(1) << 47) + 64);
            assert_int_equal(run(m, users[i], sizes[i]), SS);
        }
    }
}

static void the_limit_is_that_of_code(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 0);

    (void)state;
    prepare(m, 0xb008);
    m->cpu.system.segment[NATIVE_CS].limit = 0x8fff;
    poke32(m, 0xb008, 0x9000);
    assert_int_equal(RUN(m, 0xc3), GP);
    assert_int_equal(RUN(m, 0xe8, 0, 0x10, 0, 0), GP);
    assert_int_equal(RUN(m, 0xff, 0x63, 8), GP);
    assert_int_equal(RUN(m, 0xff, 0xd3), GP);
    poke32(m, 0xb008, 0x8fff);
    assert_int_equal(RUN(m, 0xc3), OK);
    assert_int_equal(m->cpu.state.pc, 0x8fff);
    /* compatibility mode has limits, 64-bit mode none */
    m = machine_open(COMPATIBLE32, 3);
    m->cpu.system.segment[NATIVE_CS].limit = 0x8fff;
    assert_int_equal(RUN(m, 0xe9, 0, 0x10, 0, 0), GP);
    m = machine_open(LONG64, 3);
    m->cpu.system.segment[NATIVE_CS].limit = 0x8fff;
    assert_int_equal(RUN(m, 0xe9, 0, 0x10, 0, 0), OK);
}

static void pages_are_asked_first(void **state)
{
    struct machine *m = machine_open(LONG64, 3);

    (void)state;
    prepare(m, 0x51000);
    *(uint32_t *)page_entry(m, 0x50000) = 0;
    assert_int_equal(RUN(m, 0x50), PF);
    assert_int_equal(m->fault.error, X86_PF_WRITE | X86_PF_USER);
    assert_int_equal(m->fault.address, 0x50ff8);
    m->cpu.state.reg[X86_RSP] = 0x51004; /* across two pages */
    assert_int_equal(RUN(m, 0x50), PF);
    assert_int_equal(m->fault.address, 0x50ffc);
    assert_int_equal(RUN(m, 0xff, 0xd3), PF);
    m->cpu.state.reg[X86_RSP] = 0x52000; /* POP whose operand cannot be written */
    m->cpu.state.reg[X86_RSI] = 0x50000;
    assert_int_equal(RUN(m, 0x8f, 0x06), PF);
    m->cpu.system.cr0 |= X86_CR0_AM;
    m->cpu.system_flags |= X86_FLAG_AC;
    x86_update_mode(&m->cpu);
    m->cpu.state.reg[X86_RSP] = 0x52004;
    assert_int_equal(RUN(m, 0x58), AC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pushes_and_pops_are_those_of_the_cpu),
        cmocka_unit_test(conditions_are_those_of_the_cpu),
        cmocka_unit_test(stacks_of_all_widths),
        cmocka_unit_test(width_is_of_the_stack_segment),
        cmocka_unit_test(branches_are_checked),
        cmocka_unit_test(stacks_have_limits),
        cmocka_unit_test(the_limit_is_that_of_code),
        cmocka_unit_test(pages_are_asked_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
