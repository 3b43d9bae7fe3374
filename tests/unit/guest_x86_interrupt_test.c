/* SPDX-License-Identifier: MIT
 *
 * Delivery of exceptions and interrupts, IRET, double and triple faults, what is pending at a
 * boundary, debug exceptions, and what is told of it all (SDM vol. 3, chapters 6 and 17). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/strbuf.h"
#include "x86_machine.h"

enum { OK = -1, DB = 1, UD = 6, DF = 8, TS = 10, NP = 11, SS = 12, GP = 13, PF = 14 };

static void raise_vector(struct machine *m, unsigned vector, bool has_error, uint32_t error)
{
    struct x86_fault fault = {.vector = vector, .error = error, .has_error = has_error};

    x86_raise(&m->cpu, &fault);
}

static uint64_t handler(unsigned vector)
{
    return 0x100000 + vector * 16;
}

static struct x86_event_record *last(struct machine *m)
{
    return &m->cpu.system.record[(m->cpu.system.records - 1) % X86_RECORDS];
}

/* --- frames */

static void real_mode_pushes_three_words(void **state)
{
    struct machine *m = machine_open(REAL, 0);

    (void)state;
    poke32(m, 0x21 * 4, 0x20001234);
    m->cpu.system_flags |= X86_FLAG_IF | X86_FLAG_TF | X86_FLAG_AC;
    m->cpu.state.flags |= NATIVE_CF;
    assert_int_equal(RUN(m, 0xcd, 0x21), OK);
    assert_int_equal(m->cpu.state.pc, 0x1234);
    assert_int_equal(m->cpu.system.segment[NATIVE_CS].base, 0x20000);
    assert_int_equal(m->cpu.state.reg[X86_RSP], STACK_END - 6);
    assert_int_equal(peek16(m, STACK_END - 2), 0x0303);
    assert_int_equal(peek16(m, STACK_END - 4), 0);
    assert_int_equal(peek16(m, STACK_END - 6), CODE_AT + 2);
    assert_int_equal(m->cpu.system_flags & (X86_FLAG_IF | X86_FLAG_TF | X86_FLAG_AC), 0);
    assert_int_equal(RUN(m, 0xcf), OK);
    assert_int_equal(m->cpu.state.pc, CODE_AT + 2);
    assert_int_equal(m->cpu.state.reg[X86_RSP], STACK_END);
    assert_true(m->cpu.system_flags & X86_FLAG_IF);
    assert_true(m->cpu.state.flags & NATIVE_CF);
    /* no error codes; a table that is too short is #GP, which is a double fault, which... */
    raise_vector(m, GP, true, 0x10);
    assert_int_equal(m->cpu.state.reg[X86_RSP], STACK_END - 6);
}

static void protected_mode_same_level(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 0);

    (void)state;
    m->cpu.system_flags |= X86_FLAG_IF | X86_FLAG_NT;
    raise_vector(m, GP, true, 0x1234);
    assert_int_equal(m->cpu.state.pc, handler(GP));
    assert_int_equal(m->cpu.state.reg[X86_RSP], STACK_END - 16);
    assert_int_equal(peek32(m, STACK_END - 4), 0x10000 | 0x4000 | 0x200 | 2); /* RF: a fault */
    assert_int_equal(peek32(m, STACK_END - 8), CODE0_32);
    assert_int_equal(peek32(m, STACK_END - 12), CODE_AT);
    assert_int_equal(peek32(m, STACK_END - 16), 0x1234);
    assert_int_equal(m->cpu.system_flags & (X86_FLAG_IF | X86_FLAG_NT), 0);
    assert_int_equal(last(m)->vector, GP);
    assert_int_equal(last(m)->error, 0x1234);
    assert_int_equal(last(m)->to, handler(GP));
}

static void protected_mode_to_the_system(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 3);

    (void)state;
    m->cpu.system_flags |= X86_FLAG_IF;
    put_gate(m, 0x80, CODE0_32, 0x7777, 0xef00, 0); /* a trap gate */
    assert_int_equal(RUN(m, 0xcd, 0x80), OK);
    assert_int_equal(m->cpu.system.cpl, 0);
    assert_int_equal(m->cpu.segment[NATIVE_SS], DATA0);
    assert_int_equal(m->cpu.state.reg[X86_RSP], STACK_END - 20);
    assert_int_equal(peek32(m, STACK_END - 4), DATA3);
    assert_int_equal(peek32(m, STACK_END - 8), USER_STACK_END);
    assert_int_equal(peek32(m, STACK_END - 12), 0x202);
    assert_int_equal(peek32(m, STACK_END - 16), CODE3_32);
    assert_int_equal(peek32(m, STACK_END - 20), CODE_AT + 2);
    assert_true(m->cpu.system_flags & X86_FLAG_IF);
    assert_int_equal(RUN(m, 0xcf), OK);
    assert_int_equal(m->cpu.system.cpl, 3);
    assert_int_equal(m->cpu.state.reg[X86_RSP], USER_STACK_END);
    assert_int_equal(m->cpu.segment[NATIVE_DS], DATA3);
}

static void gates_of_16_bits_push_words(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 0);

    (void)state;
    put_gate(m, GP, CODE0_16, 0x12345678, 0x8600, 0);
    raise_vector(m, GP, true, 0xabcd);
    assert_int_equal(m->cpu.state.pc, 0x5678);
    assert_int_equal(m->cpu.state.reg[X86_RSP], STACK_END - 8);
    assert_int_equal(peek16(m, STACK_END - 8), 0xabcd);
    assert_int_equal(peek16(m, STACK_END - 6), CODE_AT);
}

static void long_mode_always_pushes_five(void **state)
{
    struct machine *m = machine_open(LONG64, 0);

    (void)state;
    m->cpu.state.reg[X86_RSP] = STACK_END - 5;
    raise_vector(m, PF, true, 2);
    assert_int_equal(m->cpu.state.pc, handler(PF));
    assert_int_equal(m->cpu.state.reg[X86_RSP], STACK_END - 16 - 48);
    assert_int_equal(peek64(m, STACK_END - 24), DATA0);
    assert_int_equal(peek64(m, STACK_END - 32), STACK_END - 5);
    assert_int_equal(peek64(m, STACK_END - 48), CODE0_64);
    assert_int_equal(peek64(m, STACK_END - 56), CODE_AT);
    assert_int_equal(peek64(m, STACK_END - 64), 2);
    m->cpu.state.reg[X86_RSP] += 8;
    assert_int_equal(RUN(m, 0x48, 0xcf), OK);
    assert_int_equal(m->cpu.state.reg[X86_RSP], STACK_END - 5);
    assert_int_equal(m->cpu.state.pc, CODE_AT);
}

static void long_mode_to_the_system_and_back(void **state)
{
    struct machine *m = machine_open(LONG64, 3);

    (void)state;
    assert_int_equal(RUN(m, 0xcd, 0x80), OK);
    assert_int_equal(m->cpu.system.cpl, 0);
    assert_int_equal(m->cpu.segment[NATIVE_SS], 0);
    assert_int_equal(m->cpu.state.reg[X86_RSP], STACK_END - 40);
    assert_int_equal(m->cpu.segment[NATIVE_DS], DATA3);
    assert_int_equal(RUN(m, 0x48, 0xcf), OK);
    assert_int_equal(m->cpu.system.cpl, 3);
    assert_int_equal(m->cpu.segment[NATIVE_SS], DATA3);
    /* an IST stack, also without a change of level */
    put_gate(m, UD, CODE0_64, 0x6000, 0x8e00, 3);
    raise_vector(m, UD, false, 0);
    assert_int_equal(m->cpu.state.reg[X86_RSP], 0x42000 - 40);
    raise_vector(m, UD, false, 0);
    assert_int_equal(m->cpu.state.reg[X86_RSP], 0x42000 - 40);
}

static void long_mode_to_a_32_bit_program(void **state)
{
    struct machine *m = machine_open(LONG64, 0);
    const uint64_t frame[5] = {0x1234, CODE3_32, 0x202, 0x5678, DATA3};

    (void)state;
    m->cpu.state.reg[X86_RSP] = STACK_END - 40;
    poke(m, STACK_END - 40, frame, sizeof frame);
    assert_int_equal(RUN(m, 0x48, 0xcf), OK);
    assert_int_equal(x86_code_mode(&m->cpu), X86_MODE_32);
    assert_true(x86_long(&m->cpu));
    assert_int_equal(RUN(m, 0xcd, 0x80), OK);
    assert_int_equal(x86_code_mode(&m->cpu), X86_MODE_64);
}

/* --- what can be wrong with a gate */

static const struct wrong {
    const char *what;
    uint8_t mode, cpl;
    uint16_t selector;
    uint32_t attributes;
    bool software; /* INT n, else an external interrupt: EXT is set */
    int vector;
    uint32_t error;
} wrongs[] = {
    {"type", PROTECTED32, 0, CODE0_32, 0x8c00, true, GP, 0x182},
    {"type, external", PROTECTED32, 0, CODE0_32, 0x8c00, false, GP, 0x183},
    {"absent", PROTECTED32, 0, CODE0_32, 0x0e00, true, NP, 0x182},
    {"absent, external", PROTECTED32, 0, CODE0_32, 0x0e00, false, NP, 0x183},
    {"DPL", PROTECTED32, 3, CODE0_32, 0x8e00, true, GP, 0x182},
    {"DPL of an external one does not count", PROTECTED32, 3, CODE0_32, 0x8e00, false, OK, 0},
    {"null code", PROTECTED32, 0, 0, 0x8e00, true, GP, 0},
    {"null code, external", PROTECTED32, 0, 0, 0x8e00, false, GP, 1},
    {"code beyond", PROTECTED32, 0, BEYOND, 0x8e00, false, GP, BEYOND | 1},
    {"data", PROTECTED32, 0, DATA0, 0x8e00, true, GP, DATA0},
    {"less privileged code", PROTECTED32, 0, CODE3_32, 0x8e00, true, GP, CODE3_32 & ~3},
    {"absent code", PROTECTED32, 0, ABSENT_CODE, 0x8e00, false, NP, ABSENT_CODE | 1},
    {"conforming code", PROTECTED32, 3, CONFORMING, 0xee00, true, OK, 0},
    {"16-bit gate in long mode", LONG64, 0, CODE0_64, 0x8600, true, GP, 0x182},
    {"32-bit code in long mode", LONG64, 0, CODE0_32, 0x8e00, true, GP, CODE0_32},
    {"task gate to no TSS", PROTECTED32, 0, CODE0_32, 0x8500, true, GP, CODE0_32},
    {"task gate into the LDT", PROTECTED32, 0, 0x0c, 0x8500, false, GP, 0x0d},
};

static void gates_are_checked(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof wrongs / sizeof *wrongs; i++) {
        const struct wrong *row = &wrongs[i];
        struct machine *m = machine_open(row->mode, row->cpl);
        int vector = OK;
        uint32_t error;

        put_gate(m, 0x30, row->selector, 0x5000, row->attributes, 0);
        if (row->software) {
            vector = RUN(m, 0xcd, 0x30);
            error = m->fault.error;
        } else {
            m->cpu.system_flags |= X86_FLAG_IF;
            m->vector = 0x30;
            x86_request(&m->cpu, X86_REQUEST_INTERRUPT);
            assert_int_equal(x86_take_event(&m->cpu), X86_TAKEN_DELIVERED);
            if (last(m)->vector != 0x30)
                vector = last(m)->vector;
            error = last(m)->error;
        }
        if (vector != row->vector || (vector != OK && error != row->error))
            fail_msg("%s: vector %d, error %x", row->what, vector, error);
    }
}

static void the_idt_has_a_limit(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 0);

    (void)state;
    m->cpu.system.idt.limit = 0x30 * 8 + 6;
    assert_int_equal(RUN(m, 0xcd, 0x30), GP);
    assert_int_equal(m->fault.error, 0x182);
    m = machine_open(REAL, 0);
    m->cpu.system.idt.limit = 0x30 * 4 + 2;
    assert_int_equal(RUN(m, 0xcd, 0x30), GP);
}

/* --- double and triple faults */

static const struct twice {
    unsigned first;
    uint16_t gate_of_first, selector;
    int expected; /* the vector that is delivered in the end */
} twices[] = {
    {GP, 0x0e00, CODE0_32, DF},                      /* absent gate: #NP */
    {NP, 0x8e00, 0, DF},                             /* null code: #GP */
    {UD, 0x0e00, CODE0_32, NP},                      /* benign first */
    {PF, 0x0e00, CODE0_32, DF}, {17, 0x8e00, 0, GP}, /* #AC is benign */
    {0, 0x8e00, 0, DF},
};

static void faults_of_faults_are_double(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof twices / sizeof *twices; i++) {
        struct machine *m = machine_open(PROTECTED32, 0);

        put_gate(m, twices[i].first, twices[i].selector, 0x5000, twices[i].gate_of_first, 0);
        raise_vector(m, twices[i].first, false, 0);
        if (m->cpu.state.pc != handler((unsigned)twices[i].expected))
            fail_msg("vector %u ends at %lx", twices[i].first, m->cpu.state.pc);
        assert_int_equal(m->shutdowns, 0);
        if (twices[i].expected == DF)
            assert_int_equal(peek32(m, m->cpu.state.reg[X86_RSP]), 0);
    }
}

/* The first handler's stack is not there: a page fault, then another. */
static void page_faults_in_delivery(void **state)
{
    struct machine *m = machine_open(LONG64, 3);

    (void)state;
    *page_entry(m, STACK_END - 1) = 0;
    put_gate(m, DF, CODE0_64, 0x6000, 0x8e00, 1);
    raise_vector(m, UD, false, 0);
    assert_int_equal(m->cpu.state.pc, 0x6000); /* #UD, then #PF, then #PF in #PF */
    assert_int_equal(m->cpu.state.reg[X86_RSP], 0x40000 - 48);
    assert_int_equal(m->cpu.system.cr2, STACK_END - 8);
    assert_int_equal(m->cpu.system.records, 3);
}

static void triple_faults_shut_down(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 0);
    struct strbuf text;

    (void)state;
    m->cpu.system.idt.limit = 0;
    raise_vector(m, GP, true, 0);
    assert_int_equal(m->shutdowns, 1);
    assert_int_equal(m->cpu.system.activity, X86_SHUTDOWN);
    assert_int_equal(m->cpu.state.pc, CODE_AT);
    assert_int_equal(x86_take_event(&m->cpu), X86_TAKEN_WAIT);
    strbuf_init(&text);
    x86_print_story(&m->cpu, 0, &text);
    assert_non_null(strstr(text.data, "#GP (error 0x0)"));
    assert_non_null(strstr(text.data, "#DF (error 0x0)"));
    assert_non_null(strstr(text.data, "its handler could not be entered"));
    assert_non_null(strstr(text.data, "triple fault"));
    strbuf_free(&text);
    x86_request(&m->cpu, X86_REQUEST_INIT);
    assert_int_equal(x86_take_event(&m->cpu), X86_TAKEN_DELIVERED);
    assert_int_equal(m->cpu.state.pc, 0xfff0);
}

/* --- pending events */

/* A stack that is not aligned for the handler at the same level: #AC, and again. */
static void faults_without_end_shut_down(void **state)
{
    enum { AC = 17 };
    struct machine *m = machine_open(PROTECTED32, 3);

    (void)state;
    put_gate(m, UD, CODE3_32, 0x5000, 0xee00, 0);
    put_gate(m, AC, CODE3_32, 0x5000, 0xee00, 0);
    m->cpu.system.cr0 |= X86_CR0_AM;
    m->cpu.system_flags |= X86_FLAG_AC;
    m->cpu.state.reg[X86_RSP] -= 1;
    x86_update_mode(&m->cpu);
    raise_vector(m, UD, false, 0);
    assert_int_equal(m->shutdowns, 1);
    assert_int_equal(m->cpu.system.activity, X86_SHUTDOWN);
    assert_int_equal(m->cpu.state.pc, CODE_AT);
}

static void interrupts_wait_for_if_and_shadow(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 0);

    (void)state;
    m->vector = 0x31;
    x86_request(&m->cpu, X86_REQUEST_INTERRUPT);
    assert_false(x86_event_pending(&m->cpu));
    assert_int_equal(RUN(m, 0xfb), OK); /* STI */
    assert_int_equal(m->cpu.system.shadow, X86_SHADOW_STI);
    assert_true(m->cpu.system.mode & X86_MODE_SHADOW);
    assert_int_equal(x86_take_event(&m->cpu), X86_TAKEN_NONE);
    x86_instruction_done(&m->cpu, false);
    assert_true(x86_event_pending(&m->cpu));
    assert_int_equal(x86_take_event(&m->cpu), X86_TAKEN_DELIVERED);
    assert_int_equal(m->cpu.state.pc, handler(0x31));
    assert_int_equal(x86_take_event(&m->cpu), X86_TAKEN_NONE);
    /* gone before it was taken */
    m->cpu.system_flags |= X86_FLAG_IF;
    x86_request(&m->cpu, X86_REQUEST_INTERRUPT);
    assert_int_equal(x86_take_event(&m->cpu), X86_TAKEN_NONE);
}

static void nmis_block_until_iret(void **state)
{
    struct machine *m = machine_open(LONG64, 0);

    (void)state;
    x86_request(&m->cpu, X86_REQUEST_NMI);
    assert_int_equal(x86_take_event(&m->cpu), X86_TAKEN_DELIVERED);
    assert_int_equal(m->cpu.state.pc, handler(2));
    x86_request(&m->cpu, X86_REQUEST_NMI);
    assert_int_equal(x86_take_event(&m->cpu), X86_TAKEN_NONE);
    assert_int_equal(RUN(m, 0x48, 0xcf), OK);
    assert_int_equal(m->cpu.state.pc, CODE_AT);
    assert_int_equal(x86_take_event(&m->cpu), X86_TAKEN_DELIVERED);
}

static void hlt_waits_and_wakes(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 0);

    (void)state;
    m->cpu.system_flags |= X86_FLAG_IF;
    assert_int_equal(RUN(m, 0xf4), OK);
    assert_int_equal(m->activities, 1);
    assert_int_equal(x86_take_event(&m->cpu), X86_TAKEN_WAIT);
    m->vector = 0x40;
    x86_request(&m->cpu, X86_REQUEST_INTERRUPT);
    assert_int_equal(x86_take_event(&m->cpu), X86_TAKEN_DELIVERED);
    assert_int_equal(m->cpu.system.activity, X86_RUNNING);
    assert_int_equal(peek32(m, STACK_END - 12), CODE_AT + 1);
    m = machine_open(PROTECTED32, 3);
    assert_int_equal(RUN(m, 0xf4), GP);
}

static void monitor_sees_stores(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 0);

    (void)state;
    m->cpu.state.reg[X86_RAX] = DATA_AT + 17;
    assert_int_equal(RUN(m, 0x0f, 0x01, 0xc8), OK);
    assert_int_equal(RUN(m, 0x0f, 0x01, 0xc9), OK);
    assert_int_equal(m->cpu.system.activity, X86_MWAITING);
    assert_false(x86_monitor_changed(&m->cpu));
    poke32(m, DATA_AT + 60, 1);
    assert_true(x86_monitor_changed(&m->cpu));
    m = machine_open(PROTECTED32, 0);
    assert_int_equal(RUN(m, 0x0f, 0x01, 0xc9), OK); /* without MONITOR: goes on */
    assert_int_equal(m->cpu.system.activity, X86_RUNNING);
    m->cpu.state.reg[X86_RCX] = 2;
    assert_int_equal(RUN(m, 0x0f, 0x01, 0xc8), GP);
    m = machine_open(PROTECTED32, 3);
    assert_int_equal(RUN(m, 0x0f, 0x01, 0xc8), UD);
}

static void other_cpus_wait_for_sipi(void **state)
{
    struct machine *m = machine_open(REAL, 0);

    (void)state;
    x86_system_reset(&m->cpu, &m->model, &m->bus, 1);
    assert_int_equal(x86_take_event(&m->cpu), X86_TAKEN_WAIT);
    x86_request(&m->cpu, X86_REQUEST_NMI);
    assert_int_equal(x86_take_event(&m->cpu), X86_TAKEN_WAIT);
    x86_request_sipi(&m->cpu, 0x9a);
    assert_int_equal(x86_take_event(&m->cpu), X86_TAKEN_DELIVERED);
    assert_int_equal(m->cpu.segment[NATIVE_CS], 0x9a00);
    assert_int_equal(m->cpu.system.segment[NATIVE_CS].base, 0x9a000);
    assert_int_equal(m->cpu.state.pc, 0);
    x86_request_sipi(&m->cpu, 0x55); /* running: no effect */
    x86_withdraw(&m->cpu, X86_REQUEST_NMI);
    assert_int_equal(x86_take_event(&m->cpu), X86_TAKEN_NONE);
    assert_int_equal(m->cpu.segment[NATIVE_CS], 0x9a00);
    x86_request(&m->cpu, X86_REQUEST_INIT);
    assert_int_equal(x86_take_event(&m->cpu), X86_TAKEN_WAIT);
}

/* --- debug exceptions */

static void single_steps_trap_behind(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 0);

    (void)state;
    m->cpu.system_flags |= X86_FLAG_TF;
    assert_int_equal(RUN(m, 0x0f, 0x06), OK); /* CLTS */
    assert_int_equal(x86_take_event(&m->cpu), X86_TAKEN_DELIVERED);
    assert_int_equal(m->cpu.state.pc, handler(DB));
    assert_int_equal(m->cpu.system.dr6, X86_DR6_ONES | X86_DR6_BS);
    assert_int_equal(peek32(m, STACK_END - 12), CODE_AT + 2);
    assert_true(peek32(m, STACK_END - 4) & X86_FLAG_TF);
    assert_false(m->cpu.system_flags & X86_FLAG_TF);
    /* POPF that sets TF: the next instruction traps, not this */
    m = machine_open(PROTECTED32, 0);
    m->cpu.state.reg[X86_RSP] -= 4;
    poke32(m, STACK_END - 4, 0x102);
    assert_int_equal(RUN(m, 0x9d), OK);
    assert_int_equal(x86_take_event(&m->cpu), X86_TAKEN_NONE);
    assert_int_equal(RUN(m, 0x0f, 0x06), OK);
    assert_int_equal(x86_take_event(&m->cpu), X86_TAKEN_DELIVERED);
    /* INT n loses it */
    m = machine_open(PROTECTED32, 0);
    m->cpu.system_flags |= X86_FLAG_TF;
    assert_int_equal(RUN(m, 0xcd, 0x80), OK);
    assert_int_equal(x86_take_event(&m->cpu), X86_TAKEN_NONE);
    /* behind MOV SS it waits for the next instruction */
    m = machine_open(PROTECTED32, 0);
    m->cpu.system_flags |= X86_FLAG_TF;
    m->cpu.state.reg[X86_RAX] = DATA0;
    assert_int_equal(RUN(m, 0x8e, 0xd0), OK);
    assert_int_equal(x86_take_event(&m->cpu), X86_TAKEN_NONE);
    x86_instruction_done(&m->cpu, true);
    assert_int_equal(x86_take_event(&m->cpu), X86_TAKEN_DELIVERED);
}

static void breakpoints_hit(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 0);
    uint32_t value = 0;

    (void)state;
    m->cpu.system.dr[0] = CODE_AT;
    m->cpu.system.dr[1] = DATA_AT + 4;
    m->cpu.system.dr[2] = DATA_AT + 8;
    m->cpu.system.dr[3] = 0x60;
    /* execute; 4 bytes written; 4 bytes accessed; 2 ports */
    m->cpu.system.dr7 = 0x400 | 0xaa | 0x0 << 16 | 0xdu << 20 | 0xfu << 24 | 0x6u << 28;
    x86_update_mode(&m->cpu);
    assert_true(m->cpu.system.mode & X86_MODE_BREAK);
    assert_true(m->cpu.system.mode & X86_MODE_WATCH);
    assert_true(x86_debug_execute(&m->cpu, CODE_AT, &m->fault));
    assert_int_equal(m->fault.vector, DB);
    assert_int_equal(m->fault.address, 1);
    assert_false(x86_debug_execute(&m->cpu, CODE_AT + 1, &m->fault));
    m->cpu.system_flags |= X86_FLAG_RF;
    assert_false(x86_debug_execute(&m->cpu, CODE_AT, &m->fault));
    x86_instruction_done(&m->cpu, false);
    assert_false(m->cpu.system_flags & X86_FLAG_RF);
    assert_true(x86_seg_read(&m->cpu, NATIVE_DS, DATA_AT + 4, &value, 4, &m->fault));
    assert_int_equal(m->cpu.system.pending_debug, 0);
    assert_true(x86_seg_write(&m->cpu, NATIVE_DS, DATA_AT + 7, &value, 1, &m->fault));
    assert_int_equal(m->cpu.system.pending_debug, 2);
    assert_true(x86_seg_read(&m->cpu, NATIVE_DS, DATA_AT + 6, &value, 4, &m->fault));
    assert_int_equal(m->cpu.system.pending_debug, 6);
    m->cpu.system.cr4 |= X86_CR4_DE;
    assert_int_equal(RUN(m, 0xe4, 0x61), OK);
    assert_int_equal(m->cpu.system.pending_debug, 14);
    assert_int_equal(x86_take_event(&m->cpu), X86_TAKEN_DELIVERED);
    assert_int_equal(m->cpu.system.dr6, X86_DR6_ONES | 14);
}

static void int3_into_int1_and_bound(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 3);

    (void)state;
    assert_int_equal(RUN(m, 0xcc), GP); /* DPL 0 */
    assert_int_equal(m->fault.error, 3 * 8 + 2);
    assert_int_equal(RUN(m, 0xf1), OK); /* INT1 does not look at the DPL */
    assert_int_equal(m->cpu.state.pc, handler(1));
    m = machine_open(PROTECTED32, 0);
    assert_int_equal(RUN(m, 0xce), OK);
    assert_int_equal(m->cpu.state.pc, CODE_AT + 1);
    m->cpu.state.flags |= NATIVE_OF;
    assert_int_equal(RUN(m, 0xce), OK);
    assert_int_equal(m->cpu.state.pc, handler(4));
    m = machine_open(PROTECTED32, 0);
    poke32(m, DATA_AT, (uint32_t)-5);
    poke32(m, DATA_AT + 4, 7);
    m->cpu.state.reg[X86_RBX] = DATA_AT;
    m->cpu.state.reg[X86_RAX] = 7;
    assert_int_equal(RUN(m, 0x62, 0x03), OK);
    m->cpu.state.reg[X86_RAX] = (uint32_t)-6;
    assert_int_equal(RUN(m, 0x62, 0x03), 5);
}

/* --- IRET's flags, and what is told */

static void iret_takes_the_flags_it_may(void **state)
{
    static const struct {
        uint8_t cpl, iopl;
        uint32_t kept; /* of all ones, what arrives beside arithmetic, DF, TF, NT, AC, ID, RF */
    } rows[] = {{0, 0, X86_FLAG_IF | X86_FLAG_IOPL | X86_FLAG_VIF | X86_FLAG_VIP},
                {3, 0, 0},
                {3, 3, X86_FLAG_IF | X86_FLAG_IOPL}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct machine *m = machine_open(PROTECTED32, rows[i].cpl);
        uint32_t all = 0x3dffff, top = (rows[i].cpl ? USER_STACK_END : STACK_END) - 12;
        uint32_t frame[3] = {0x5000, rows[i].cpl ? CODE3_32 : CODE0_32, all};
        uint32_t base = NATIVE_ARITH | NATIVE_DF | X86_FLAG_TF | X86_FLAG_NT | X86_FLAG_AC |
                        X86_FLAG_ID | X86_FLAG_RF | 2;

        m->cpu.system_flags |= (uint64_t)rows[i].iopl << 12;
        m->cpu.state.reg[X86_RSP] = top;
        poke(m, top, frame, sizeof frame);
        assert_int_equal(RUN(m, 0xcf), OK);
        assert_int_equal(x86_get_rflags(&m->cpu), base | rows[i].kept);
    }
}

static void the_shape_of_d_int(void **state)
{
    struct machine *m = machine_open(LONG64, 0);
    struct strbuf text;

    (void)state;
    m->cpu.system.cr2 = 0x123;
    raise_vector(m, PF, true, 2);
    m->cpu.system.record[0].cr2 = 0x123;
    strbuf_init(&text);
    x86_print_event(&m->cpu, &m->cpu.system.record[0], 7, &text);
    assert_non_null(strstr(text.data, "     7: v=0e e=0002 i=0 cpl=0 IP=0038:0000000000008000 "
                                      "pc=0000000000008000 SP=0010:000000000000a000 "
                                      "CR2=0000000000000123\nRAX=0000000000000000 RBX="));
    assert_non_null(strstr(text.data, "\nCS =0038 0000000000000000 ffffffff 00af9b00 DPL=0 CS64 "
                                      "[-RA]\nSS =0010 0000000000000000 ffffffff 00cf9300 DPL=0 "
                                      "DS   [-WA]\n"));
    assert_non_null(strstr(text.data, "\nTR =0028 0000000000005000 00001fff 00008b00 DPL=0 "
                                      "TSS64-busy\nGDT=     0000000000001000 000001ff\n"));
    assert_non_null(strstr(text.data, "CR0=80010031 CR2="));
    strbuf_free(&text);
    put_gate(m, GP, CODE0_64, 0, 0x0e00, 0); /* absent */
    raise_vector(m, GP, true, 0);
    x86_print_event(&m->cpu, last(m), 9, &text);
    assert_ptr_equal(strstr(text.data, "check_exception old: 0xd new 0xb\n     9: v=08 e=0000 i=0"),
                     text.data);
    strbuf_free(&text);
    m->cpu.system_flags |= X86_FLAG_IF;
    m->vector = 0x31;
    x86_request(&m->cpu, X86_REQUEST_INTERRUPT);
    assert_int_equal(x86_take_event(&m->cpu), X86_TAKEN_DELIVERED);
    x86_print_event(&m->cpu, last(m), 10, &text);
    assert_ptr_equal(strstr(text.data, "Servicing hardware INT=0x31\n    10: v=31 e=0000 i=0"),
                     text.data);
    strbuf_free(&text);
    m = machine_open(PROTECTED32, 3);
    x86_print_system(&m->cpu, &text);
    assert_non_null(strstr(text.data, "EAX=00000000 EBX=00000000"));
    assert_non_null(strstr(text.data, "EIP=00008000 EFL=00000002 [-------] CPL=3 II=0 A20=1 SMM=0 "
                                      "HLT=0\n"));
    assert_non_null(strstr(text.data, "CS =001b 00000000 ffffffff 00cffb00 DPL=3 CS32 [-RA]\n"));
    strbuf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_mode_pushes_three_words),
        cmocka_unit_test(protected_mode_same_level),
        cmocka_unit_test(protected_mode_to_the_system),
        cmocka_unit_test(gates_of_16_bits_push_words),
        cmocka_unit_test(long_mode_always_pushes_five),
        cmocka_unit_test(long_mode_to_the_system_and_back),
        cmocka_unit_test(long_mode_to_a_32_bit_program),
        cmocka_unit_test(gates_are_checked),
        cmocka_unit_test(the_idt_has_a_limit),
        cmocka_unit_test(faults_of_faults_are_double),
        cmocka_unit_test(page_faults_in_delivery),
        cmocka_unit_test(triple_faults_shut_down),
        cmocka_unit_test(faults_without_end_shut_down),
        cmocka_unit_test(interrupts_wait_for_if_and_shadow),
        cmocka_unit_test(nmis_block_until_iret),
        cmocka_unit_test(hlt_waits_and_wakes),
        cmocka_unit_test(monitor_sees_stores),
        cmocka_unit_test(other_cpus_wait_for_sipi),
        cmocka_unit_test(single_steps_trap_behind),
        cmocka_unit_test(breakpoints_hit),
        cmocka_unit_test(int3_into_int1_and_bound),
        cmocka_unit_test(iret_takes_the_flags_it_may),
        cmocka_unit_test(the_shape_of_d_int),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
