/* SPDX-License-Identifier: MIT
 *
 * Hardware tasks, virtual-8086 mode with and without VME, virtual interrupts of protected mode,
 * flags that privilege guards, ports and their bitmap (SDM vol. 3, chapters 7 and 20; vol. 1,
 * chapter 19). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "x86_machine.h"

enum { OK = -1, UD = 6, TS = 10, NP = 11, SS = 12, GP = 13, PF = 14 };
enum { NEW_TSS = 0x7000, NEW_TSS16 = 0x7800, NEW_STACK = 0xd000 };

/* A TSS of 32 bits for code at CPL 0, in FREE. */
static void make_task(struct machine *m)
{
    put_descriptor(m, FREE, NEW_TSS, 0x67, 0x8900);
    poke32(m, NEW_TSS + 28, m->cpu.system.cr3 & UINT32_MAX);
    poke32(m, NEW_TSS + 32, 0x6000);
    poke32(m, NEW_TSS + 36, 0x2 | NATIVE_CF);
    for (unsigned i = 0; i < 8; i++)
        poke32(m, NEW_TSS + 40 + 4 * i, i == X86_RSP ? NEW_STACK : 0x1000 + i);
    for (unsigned i = 0; i < 6; i++)
        poke32(m, NEW_TSS + 72 + 4 * i, i == NATIVE_CS ? CODE0_32 : DATA0);
    poke32(m, NEW_TSS + 96, LDT_SELECTOR);
}

static int jump_to_task(struct machine *m)
{
    return RUN(m, 0xea, 0, 0, 0, 0, FREE, 0);
}

static int call_task(struct machine *m)
{
    return RUN(m, 0x9a, 0, 0, 0, 0, FREE, 0);
}

static unsigned tss_type(struct machine *m, unsigned selector)
{
    return m->ram[GDT_AT + selector + 5] & 15;
}

static void jumps_switch(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 0);

    (void)state;
    make_task(m);
    m->cpu.state.reg[X86_RSI] = 0xabcdef;
    assert_int_equal(jump_to_task(m), OK);
    assert_int_equal(m->cpu.state.pc, 0x6000);
    assert_int_equal(m->cpu.state.reg[X86_RDI], 0x1007);
    assert_int_equal(m->cpu.state.reg[X86_RSP], NEW_STACK);
    assert_int_equal(m->cpu.system.segment[X86_TR].selector, FREE);
    assert_int_equal(tss_type(m, FREE), 11);
    assert_int_equal(tss_type(m, TSS_SELECTOR), 9);
    assert_true(m->cpu.system.cr0 & X86_CR0_TS);
    assert_true(m->cpu.state.flags & NATIVE_CF);
    assert_false(m->cpu.system_flags & X86_FLAG_NT);
    assert_int_equal(peek32(m, TSS_AT + 32), CODE_AT + 7);
    assert_int_equal(peek32(m, TSS_AT + 64), 0xabcdef);
    assert_int_equal(peek32(m, TSS_AT + 76), CODE0_32);
    assert_int_equal(peek16(m, NEW_TSS), 0);
    assert_int_equal(jump_to_task(m), GP); /* it is busy now */
    assert_int_equal(m->fault.error, FREE);
}

static void calls_nest_and_iret_returns(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 0);

    (void)state;
    make_task(m);
    assert_int_equal(call_task(m), OK);
    assert_true(m->cpu.system_flags & X86_FLAG_NT);
    assert_int_equal(peek16(m, NEW_TSS), TSS_SELECTOR);
    assert_int_equal(tss_type(m, TSS_SELECTOR), 11);
    assert_int_equal(RUN(m, 0xcf), OK);
    assert_int_equal(m->cpu.state.pc, CODE_AT + 7);
    assert_int_equal(m->cpu.system.segment[X86_TR].selector, TSS_SELECTOR);
    assert_int_equal(tss_type(m, FREE), 9);
    assert_false(m->cpu.system_flags & X86_FLAG_NT);
    assert_int_equal(peek32(m, NEW_TSS + 36) & X86_FLAG_NT, 0);
    m->cpu.system_flags |= X86_FLAG_NT; /* without a task to go back to */
    poke32(m, TSS_AT, BEYOND);
    assert_int_equal(RUN(m, 0xcf), TS);
    assert_int_equal(m->fault.error, BEYOND);
    poke32(m, TSS_AT, FREE); /* not busy */
    assert_int_equal(RUN(m, 0xcf), TS);
    m = machine_open(LONG64, 0);
    m->cpu.system_flags |= X86_FLAG_NT;
    assert_int_equal(RUN(m, 0x48, 0xcf), GP);
}

static void gates_switch_with_error_codes(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 3);
    struct x86_fault fault = {.vector = GP, .error = 0x1234, .has_error = true};

    (void)state;
    make_task(m);
    put_gate(m, GP, FREE, 0, 0x8500, 0);
    x86_raise(&m->cpu, &fault);
    assert_int_equal(m->cpu.state.pc, 0x6000);
    assert_int_equal(m->cpu.system.cpl, 0);
    assert_int_equal(m->cpu.state.reg[X86_RSP], NEW_STACK - 4);
    assert_int_equal(peek32(m, NEW_STACK - 4), 0x1234);
    assert_int_equal(peek16(m, NEW_TSS), TSS_SELECTOR);
    assert_int_equal(peek32(m, TSS_AT + 32), CODE_AT);
    /* INT n respects the DPL of the gate */
    m = machine_open(PROTECTED32, 3);
    make_task(m);
    put_gate(m, 0x40, FREE, 0, 0x8500, 0);
    assert_int_equal(RUN(m, 0xcd, 0x40), GP);
    put_gate(m, 0x40, FREE, 0, 0xe500, 0);
    assert_int_equal(RUN(m, 0xcd, 0x40), OK);
    assert_int_equal(m->cpu.state.reg[X86_RSP], NEW_STACK);
}

static const struct bad_task {
    const char *what;
    uint16_t at; /* in the TSS, 4 bytes; 0: the descriptor */
    uint32_t value;
    int vector;
    uint32_t error;
} bad_tasks[] = {
    {"LDT", 96, DATA0, TS, DATA0},
    {"LDT in the LDT", 96, 0x0c, TS, 0x0c},
    {"CS null", 76, 0, TS, 0},
    {"CS data", 76, DATA0, TS, DATA0},
    {"CS RPL", 76, CODE0_32 | 3, TS, CODE0_32},
    {"CS absent", 76, ABSENT_CODE, NP, ABSENT_CODE},
    {"SS null", 80, 0, TS, 0},
    {"SS RPL", 80, DATA0 | 3, TS, DATA0},
    {"SS absent", 80, ABSENT, SS, ABSENT},
    {"DS system", 84, TSS_SELECTOR, TS, TSS_SELECTOR},
    {"FS absent", 88, ABSENT, NP, ABSENT},
    {"ES beyond", 72, BEYOND, TS, BEYOND},
};

/* These faults are the new task's: the old one is saved. */
static void what_a_task_loads_is_checked(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_tasks / sizeof *bad_tasks; i++) {
        const struct bad_task *row = &bad_tasks[i];
        struct machine *m = machine_open(PROTECTED32, 0);
        uint8_t jump[7] = {0xea, 0, 0, 0, 0, FREE, 0};
        struct x86_insn insn;

        make_task(m);
        poke32(m, NEW_TSS + row->at, row->value);
        assert_int_equal(x86_decode(X86_MODE_32, &m->model.features, jump, 7, CODE_AT, &insn),
                         X86_DECODE_OK);
        assert_false(x86_execute(&m->cpu, &insn, &m->fault));
        if ((int)m->fault.vector != row->vector || m->fault.error != row->error)
            fail_msg("%s: vector %u, error %x", row->what, m->fault.vector, m->fault.error);
        assert_true(m->fault.new_task);
        assert_int_equal(m->cpu.state.pc, 0x6000);
        assert_int_equal(m->cpu.system.segment[X86_TR].selector, FREE);
        assert_int_equal(peek32(m, TSS_AT + 32), CODE_AT + 7);
    }
}

static void descriptors_of_tasks_are_checked(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 0);

    (void)state;
    make_task(m);
    put_descriptor(m, FREE, NEW_TSS, 0x66, 0x8900);
    assert_int_equal(jump_to_task(m), TS);
    assert_int_equal(m->fault.error, FREE);
    put_descriptor(m, FREE, NEW_TSS, 0x67, 0x0900);
    assert_int_equal(jump_to_task(m), NP);
    m = machine_open(PROTECTED32, 3);
    make_task(m);
    assert_int_equal(jump_to_task(m), GP); /* DPL */
    m = machine_open(PROTECTED32, 0);
    make_task(m);
    paging_on(m, false);
    *(uint32_t *)(void *)page_entry(m, TSS_AT) = TSS_AT | 1; /* WP: the old one cannot be saved */
    assert_int_equal(jump_to_task(m), PF);
    assert_int_equal(m->fault.error, 3);
    *(uint32_t *)(void *)page_entry(m, TSS_AT) = TSS_AT | 7;
    *(uint32_t *)(void *)page_entry(m, GDT_AT) = GDT_AT | 1; /* nor marked as busy */
    assert_int_equal(jump_to_task(m), PF);
    assert_int_equal(m->fault.address, GDT_AT + TSS_SELECTOR + 5);
    assert_int_equal(peek32(m, TSS_AT + 32), 0);
}

static void a_task_of_16_bits(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 0);

    (void)state;
    put_descriptor(m, FREE, NEW_TSS16, 43, 0x8100);
    poke32(m, NEW_TSS16 + 14, 0x00026000);
    poke32(m, NEW_TSS16 + 34, (uint32_t)CODE0_16 << 16 | DATA0_16);
    poke32(m, NEW_TSS16 + 38, (uint32_t)DATA0_16 << 16 | DATA0_16);
    poke32(m, NEW_TSS16 + 26, 0x5678);
    assert_int_equal(jump_to_task(m), OK);
    assert_int_equal(m->cpu.state.pc, 0x6000);
    assert_int_equal(m->cpu.state.reg[X86_RSP], 0xffff5678);
    assert_int_equal(m->cpu.segment[NATIVE_CS], CODE0_16);
    assert_int_equal(tss_type(m, FREE), 3);
}

/* --- virtual-8086 mode */

static void v86_is_entered_and_left(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 0);
    const uint32_t frame[9] = {0x1234, 0x2000, X86_FLAG_VM | 0x3202, 0x0ffe, 0x3000, 0x4000, 0x5000,
                               0x6000, 0x7000};

    (void)state;
    m->cpu.state.reg[X86_RSP] = STACK_END - sizeof frame;
    poke(m, STACK_END - sizeof frame, frame, sizeof frame);
    assert_int_equal(RUN(m, 0xcf), OK);
    assert_true(x86_v86(&m->cpu));
    assert_int_equal(m->cpu.system.cpl, 3);
    assert_int_equal(m->cpu.system.segment[NATIVE_CS].base, 0x20000);
    assert_int_equal(m->cpu.system.segment[NATIVE_SS].base, 0x30000);
    assert_int_equal(m->cpu.system.segment[NATIVE_ES].base, 0x40000);
    assert_int_equal(m->cpu.system.segment[NATIVE_GS].base, 0x70000);
    assert_int_equal(m->cpu.system.segment[NATIVE_DS].limit, 0xffff);
    assert_int_equal(x86_code_mode(&m->cpu), X86_MODE_16);
    assert_true(m->cpu.system.mode & X86_MODE_V86);
    /* INT with IOPL 3 goes through the gate, to CPL 0 */
    put_gate(m, 0x21, CODE0_32, 0x7777, 0xee00, 0);
    assert_int_equal(RUN(m, 0xcd, 0x21), OK);
    assert_false(x86_v86(&m->cpu));
    assert_int_equal(m->cpu.system.cpl, 0);
    assert_int_equal(m->cpu.state.reg[X86_RSP], STACK_END - 36);
    assert_int_equal(peek32(m, STACK_END - 4), 0x7000);
    assert_int_equal(peek32(m, STACK_END - 8), 0x6000);
    assert_int_equal(peek32(m, STACK_END - 12), 0x5000);
    assert_int_equal(peek32(m, STACK_END - 16), 0x4000);
    assert_int_equal(peek32(m, STACK_END - 20), 0x3000);
    assert_int_equal(peek32(m, STACK_END - 28), X86_FLAG_VM | 0x3202);
    assert_int_equal(peek32(m, STACK_END - 36), 0x1236);
    assert_int_equal(m->cpu.segment[NATIVE_DS], 0);
    assert_int_equal(RUN(m, 0xcf), OK);
    assert_true(x86_v86(&m->cpu));
    assert_int_equal(m->cpu.state.pc, 0x1236);
}

static void v86_without_iopl_faults(void **state)
{
    static const struct {
        uint8_t bytes[2];
        uint8_t size;
    } rows[] = {{{0xfa}, 1}, {{0xfb}, 1}, {{0x9c}, 1}, {{0x9d}, 1}, {{0xcf}, 1}, {{0xcd, 0x21}, 2}};
    struct machine *m = machine_open(V86, 3);

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(run(m, rows[i].bytes, rows[i].size), GP);
        assert_int_equal(m->fault.error, 0);
    }
    m->cpu.system_flags |= X86_FLAG_IOPL;
    assert_int_equal(RUN(m, 0xfa), OK);
    assert_int_equal(RUN(m, 0x0f, 0x00, 0xd0), UD); /* LLDT */
    put_gate(m, 0x21, CODE3_32, 0x7777, 0xee00, 0);
    assert_int_equal(RUN(m, 0xcd, 0x21), GP); /* not to CPL 3 */
    assert_int_equal(m->fault.error, CODE3_32 & ~3);
}

static void vme_has_its_own_flag(void **state)
{
    struct machine *m = machine_open(V86, 3);

    (void)state;
    m->cpu.system.cr4 |= X86_CR4_VME;
    assert_int_equal(RUN(m, 0xfb), OK); /* STI: VIF */
    assert_true(m->cpu.system_flags & X86_FLAG_VIF);
    assert_false(m->cpu.system_flags & X86_FLAG_IF);
    assert_int_equal(RUN(m, 0x9c), OK); /* PUSHF shows it as IF, with IOPL 3 */
    assert_int_equal(peek16(m, 0x300 * 16 + 0xffe), 0x3202);
    assert_int_equal(RUN(m, 0xfa), OK);
    assert_int_equal(RUN(m, 0x9d), OK); /* POPF */
    assert_true(m->cpu.system_flags & X86_FLAG_VIF);
    assert_int_equal(x86_iopl(&m->cpu), 0);
    m->cpu.system_flags |= X86_FLAG_VIP;
    assert_int_equal(RUN(m, 0xfa), OK);
    assert_int_equal(RUN(m, 0xfb), GP);
    m->cpu.system_flags &= ~(uint64_t)X86_FLAG_VIP;
    assert_int_equal(RUN(m, 0xfb), OK);
    assert_int_equal(RUN(m, 0x66, 0x9c), GP); /* PUSHFD */
    /* INT by the program's own table */
    poke32(m, 0x21 * 4, 0x10002222);
    assert_int_equal(RUN(m, 0xcd, 0x21), OK);
    assert_true(x86_v86(&m->cpu));
    assert_int_equal(m->cpu.state.pc, 0x2222);
    assert_int_equal(m->cpu.segment[NATIVE_CS], 0x1000);
    assert_false(m->cpu.system_flags & X86_FLAG_VIF);
    assert_int_equal(peek16(m, 0x300 * 16 + 0xffe), 0x3202);
    assert_int_equal(RUN(m, 0xcf), OK);
    assert_true(m->cpu.system_flags & X86_FLAG_VIF);
    /* unless its bit is set */
    m->ram[TSS_AT + 0x100 - 32 + 0x21 / 8] = 1 << (0x21 & 7);
    assert_int_equal(RUN(m, 0xcd, 0x21), GP);
}

static void pvi_has_it_too(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 3);

    (void)state;
    assert_int_equal(RUN(m, 0xfa), GP);
    m->cpu.system.cr4 |= X86_CR4_PVI;
    m->cpu.system_flags |= X86_FLAG_IF;
    assert_int_equal(RUN(m, 0xfb), OK);
    assert_true(m->cpu.system_flags & X86_FLAG_VIF);
    assert_int_equal(RUN(m, 0xfa), OK);
    assert_false(m->cpu.system_flags & X86_FLAG_VIF);
    assert_true(m->cpu.system_flags & X86_FLAG_IF);
    m->cpu.system_flags |= X86_FLAG_VIP;
    assert_int_equal(RUN(m, 0xfb), GP);
}

/* --- flags */

static void popf_takes_the_flags_it_may(void **state)
{
    static const struct {
        uint8_t mode, cpl, iopl;
        bool wide;
        uint32_t kept; /* beside arithmetic, DF, TF, NT */
    } rows[] = {
        {PROTECTED32, 0, 0, true, X86_FLAG_IF | X86_FLAG_IOPL | X86_FLAG_AC | X86_FLAG_ID},
        {PROTECTED32, 3, 0, true, X86_FLAG_AC | X86_FLAG_ID},
        {PROTECTED32, 3, 3, true, X86_FLAG_IF | X86_FLAG_IOPL | X86_FLAG_AC | X86_FLAG_ID},
        {PROTECTED32, 0, 0, false, X86_FLAG_IF | X86_FLAG_IOPL},
        {REAL, 0, 0, false, X86_FLAG_IF | X86_FLAG_IOPL},
        {LONG64, 3, 0, true, X86_FLAG_AC | X86_FLAG_ID},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct machine *m = machine_open(rows[i].mode, rows[i].cpl);
        uint32_t always = NATIVE_ARITH | NATIVE_DF | X86_FLAG_TF | X86_FLAG_NT | 2;
        bool prefix = !rows[i].wide && rows[i].mode != REAL;

        m->cpu.system_flags |= (uint64_t)rows[i].iopl << 12;
        m->cpu.state.reg[X86_RSP] -= 8;
        poke64(m, m->cpu.state.reg[X86_RSP], 0x3fffff);
        assert_int_equal(prefix ? RUN(m, 0x66, 0x9d) : RUN(m, 0x9d), OK);
        assert_int_equal(x86_get_rflags(&m->cpu), always | rows[i].kept);
    }
}

static void clac_and_stac(void **state)
{
    struct machine *m = machine_open(LONG64, 0);

    (void)state;
    m->cpu.system.cr4 |= X86_CR4_SMAP;
    x86_update_mode(&m->cpu);
    assert_true(m->cpu.system.mode & X86_MODE_SMAP);
    assert_int_equal(RUN(m, 0x0f, 0x01, 0xcb), OK);
    assert_true(m->cpu.system_flags & X86_FLAG_AC);
    assert_true(m->cpu.system.mode & X86_MODE_AC);
    assert_int_equal(RUN(m, 0x0f, 0x01, 0xca), OK);
    assert_false(m->cpu.system_flags & X86_FLAG_AC);
    m = machine_open(LONG64, 3);
    assert_int_equal(RUN(m, 0x0f, 0x01, 0xca), UD);
}

/* --- ports */

static void ports_are_read_and_written(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 0);

    (void)state;
    m->port_value = 0x87654321;
    m->cpu.state.reg[X86_RAX] = 0xffffffff;
    m->cpu.state.reg[X86_RDX] = 0xcf8;
    assert_int_equal(RUN(m, 0xe4, 0x60), OK);
    assert_int_equal(m->port, 0x60);
    assert_int_equal(m->cpu.state.reg[X86_RAX], 0xffffff21);
    assert_int_equal(RUN(m, 0x66, 0xed), OK);
    assert_int_equal(m->port, 0xcf8);
    assert_int_equal(m->cpu.state.reg[X86_RAX], 0xffff4321);
    assert_int_equal(RUN(m, 0xed), OK);
    assert_int_equal(m->cpu.state.reg[X86_RAX], 0x87654321);
    m->cpu.state.reg[X86_RAX] = 0x12345678;
    assert_int_equal(RUN(m, 0x66, 0xef), OK);
    assert_int_equal(m->port_value, 0x5678);
    assert_int_equal(RUN(m, 0xe6, 0x80), OK);
    assert_int_equal(m->port_value, 0x78);
    assert_int_equal(m->port, 0x80);
}

static void strings_go_on_where_they_stopped(void **state)
{
    struct machine *m = machine_open(LONG64, 0);

    (void)state;
    m->port_value = 0xabcd;
    m->cpu.state.reg[X86_RDI] = DATA_AT + 0xffc;
    m->cpu.state.reg[X86_RCX] = 4;
    *page_entry(m, DATA_AT + 0x1000) = 0;
    {
        const uint8_t rep_insw[] = {0x66, 0xf3, 0x6d};
        struct x86_insn insn;

        assert_int_equal(x86_decode(X86_MODE_64, &m->model.features, rep_insw, 3, CODE_AT, &insn),
                         X86_DECODE_OK);
        assert_false(x86_execute(&m->cpu, &insn, &m->fault));
    }
    assert_int_equal(m->fault.vector, PF);
    assert_int_equal(m->fault.address, DATA_AT + 0x1000);
    assert_int_equal(m->cpu.state.reg[X86_RCX], 2);
    assert_int_equal(m->cpu.state.reg[X86_RDI], DATA_AT + 0x1000);
    assert_int_equal(peek32(m, DATA_AT + 0xffc), 0xabcdabcd);
    assert_int_equal(m->ports, 2); /* the port was not read for what could not be stored */
    *page_entry(m, DATA_AT + 0x1000) = (DATA_AT + 0x1000) | 7;
    assert_int_equal(RUN(m, 0x66, 0xf3, 0x6d), OK);
    assert_int_equal(m->cpu.state.reg[X86_RCX], 0);
    assert_int_equal(m->cpu.state.pc, CODE_AT + 3);
    m->cpu.state.reg[X86_RSI] = DATA_AT + 0xffc;
    m->cpu.state.flags |= NATIVE_DF;
    assert_int_equal(RUN(m, 0x6e), OK); /* OUTSB */
    assert_int_equal(m->port_value, 0xcd);
    assert_int_equal(m->cpu.state.reg[X86_RSI], DATA_AT + 0xffb);
}

static void the_bitmap_forbids_ports(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 3);

    (void)state;
    m->ram[TSS_AT + 0x100 + 0x60 / 8] = 1 << 1; /* port 61 */
    assert_int_equal(RUN(m, 0xe4, 0x60), OK);
    assert_int_equal(RUN(m, 0xe4, 0x61), GP);
    assert_int_equal(RUN(m, 0x66, 0xe5, 0x60), GP); /* 60 and 61 */
    assert_int_equal(m->fault.error, 0);
    assert_int_equal(m->ports, 1);
    m->cpu.system_flags |= X86_FLAG_IOPL;
    assert_int_equal(RUN(m, 0xe4, 0x61), OK);
    m = machine_open(PROTECTED32, 3);
    m->cpu.system.segment[X86_TR].limit = 0x100 + 0x60 / 8;
    assert_int_equal(RUN(m, 0xe4, 0x58), OK);
    assert_int_equal(RUN(m, 0xe4, 0x60), GP); /* two bytes are read */
    m = machine_open(V86, 3);
    m->cpu.system_flags |= X86_FLAG_IOPL; /* does not help there */
    m->ram[TSS_AT + 0x100 + 0x60 / 8] = 1 << 1;
    assert_int_equal(RUN(m, 0xe4, 0x61), GP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jumps_switch),
        cmocka_unit_test(calls_nest_and_iret_returns),
        cmocka_unit_test(gates_switch_with_error_codes),
        cmocka_unit_test(what_a_task_loads_is_checked),
        cmocka_unit_test(descriptors_of_tasks_are_checked),
        cmocka_unit_test(a_task_of_16_bits),
        cmocka_unit_test(v86_is_entered_and_left),
        cmocka_unit_test(v86_without_iopl_faults),
        cmocka_unit_test(vme_has_its_own_flag),
        cmocka_unit_test(pvi_has_it_too),
        cmocka_unit_test(popf_takes_the_flags_it_may),
        cmocka_unit_test(clac_and_stac),
        cmocka_unit_test(ports_are_read_and_written),
        cmocka_unit_test(strings_go_on_where_they_stopped),
        cmocka_unit_test(the_bitmap_forbids_ports),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
