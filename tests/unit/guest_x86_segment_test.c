/* SPDX-License-Identifier: MIT
 *
 * Accesses through segments, loading of segment registers, far transfers, and the instructions that
 * look at descriptors: each exception of the SDM's pages with its error code. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "guest/x86/internal.h"
#include "x86_machine.h"

enum { OK = -1, UD = 6, TS = 10, NP = 11, SS = 12, GP = 13, PF = 14, AC = 17 };

static void expect_at(struct machine *m, int got, int vector, uint32_t error, const char *what)
{
    if (got != vector || (vector >= TS && (!m->fault.has_error || m->fault.error != error)))
        fail_msg("%s: vector %d, error %x; expected %d, %x", what, got, m->fault.error, vector,
                 error);
}

/* --- MOV to a segment register */

static const struct load {
    const char *what;
    uint8_t mode, cpl, segment;
    uint16_t selector;
    int vector;
    uint32_t error;
} loads[] = {
    {"data", PROTECTED32, 0, NATIVE_DS, DATA0, OK, 0},
    {"data of CPL 3 at CPL 0", PROTECTED32, 0, NATIVE_ES, DATA3, OK, 0},
    {"readable code", PROTECTED32, 0, NATIVE_DS, CODE0_32, OK, 0},
    {"null", PROTECTED32, 0, NATIVE_FS, 3, OK, 0},
    {"execute only", PROTECTED32, 3, NATIVE_DS, EXECUTE_ONLY | 3, GP, EXECUTE_ONLY},
    {"more privileged", PROTECTED32, 3, NATIVE_DS, DATA0, GP, DATA0},
    {"RPL", PROTECTED32, 0, NATIVE_DS, DATA0 | 3, GP, DATA0},
    {"conforming with any RPL", PROTECTED32, 3, NATIVE_DS, CONFORMING | 3, OK, 0},
    {"absent", PROTECTED32, 0, NATIVE_DS, ABSENT, NP, ABSENT},
    {"beyond the GDT", PROTECTED32, 0, NATIVE_DS, BEYOND, GP, BEYOND},
    {"beyond the LDT", PROTECTED32, 0, NATIVE_DS, 0x104, GP, 0x104},
    {"a system descriptor", PROTECTED32, 0, NATIVE_DS, TSS_SELECTOR, GP, TSS_SELECTOR},
    {"CS", PROTECTED32, 0, NATIVE_CS, CODE0_32, UD, 0},
    {"SS", PROTECTED32, 0, NATIVE_SS, DATA0, OK, 0},
    {"SS null", PROTECTED32, 0, NATIVE_SS, 0, GP, 0},
    {"SS null in 64-bit code", LONG64, 0, NATIVE_SS, 0, OK, 0},
    {"SS null with another RPL", LONG64, 0, NATIVE_SS, 3, GP, 0},
    {"SS null at CPL 3", LONG64, 3, NATIVE_SS, 3, GP, 0},
    {"SS null in compatibility mode", COMPATIBLE32, 0, NATIVE_SS, 0, GP, 0},
    {"SS read only", PROTECTED32, 3, NATIVE_SS, READ_ONLY | 3, GP, READ_ONLY},
    {"SS code", PROTECTED32, 0, NATIVE_SS, CODE0_32, GP, CODE0_32},
    {"SS RPL", PROTECTED32, 0, NATIVE_SS, DATA0 | 1, GP, DATA0},
    {"SS DPL", PROTECTED32, 0, NATIVE_SS, DATA3 & ~3, GP, DATA3 & ~3},
    {"SS absent", PROTECTED32, 0, NATIVE_SS, ABSENT, SS, ABSENT},
    {"real mode takes all", REAL, 0, NATIVE_DS, 0x1234, OK, 0},
    {"virtual-8086 mode takes all", V86, 3, NATIVE_GS, 0x1234, OK, 0},
};

static void mov_loads_what_it_may(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof loads / sizeof *loads; i++) {
        const struct load *row = &loads[i];
        struct machine *m = machine_open(row->mode, row->cpl);
        int got;

        m->cpu.state.reg[X86_RAX] = row->selector;
        got = RUN(m, 0x8e, (uint8_t)(0xc0 | row->segment << 3));
        expect_at(m, got, row->vector, row->error, row->what);
        if (got == OK) {
            assert_int_equal(m->cpu.segment[row->segment], row->selector);
            assert_int_equal(m->cpu.system.segment[row->segment].selector, row->selector);
            assert_int_equal(m->cpu.system.shadow, row->segment == NATIVE_SS ? X86_SHADOW_SS : 0);
        }
    }
}

static void loading_marks_accessed(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 0);

    (void)state;
    put_descriptor(m, FREE, 0x12345678, 0x12345, 0xc09200);
    m->cpu.state.reg[X86_RAX] = FREE;
    assert_int_equal(RUN(m, 0x8e, 0xd8), OK);
    assert_int_equal(m->ram[GDT_AT + FREE + 5], 0x93);
    assert_int_equal(m->cpu.system.segment[NATIVE_DS].base, 0x12345678);
    assert_int_equal(m->cpu.system.segment[NATIVE_DS].limit, 0x12345fff);
    assert_int_equal(m->cpu.system.segment[NATIVE_DS].attributes, 0xc19300);
}

static void real_mode_keeps_limits(void **state)
{
    struct machine *m = machine_open(REAL, 0);

    (void)state;
    m->cpu.system.segment[NATIVE_FS].limit = UINT32_MAX;
    m->cpu.state.reg[X86_RAX] = 0x1234;
    assert_int_equal(RUN(m, 0x8e, 0xe0), OK);
    assert_int_equal(m->cpu.system.segment[NATIVE_FS].base, 0x12340);
    assert_int_equal(m->cpu.state.thread_base, 0x12340);
    assert_int_equal(m->cpu.system.segment[NATIVE_FS].limit, UINT32_MAX);
}

/* --- accesses */

static const struct touch {
    const char *what;
    uint8_t mode, cpl;
    uint16_t selector; /* in DS or SS; 0: as the mode has it */
    bool stack;
    uint64_t offset;
    uint8_t size;
    bool write;
    int vector;
} touches[] = {
    {"word at ffff", REAL, 0, 0, false, 0xffff, 2, false, GP},
    {"byte at ffff", REAL, 0, 0, false, 0xffff, 1, false, OK},
    {"word at ffff on the stack", REAL, 0, 0, true, 0xffff, 2, true, SS},
    {"write to code", PROTECTED32, 0, CODE0_32, false, DATA_AT, 4, true, GP},
    {"read of code", PROTECTED32, 0, CODE0_32, false, DATA_AT, 4, false, OK},
    {"write to read only", PROTECTED32, 3, READ_ONLY | 3, false, DATA_AT, 4, true, GP},
    {"null", PROTECTED32, 0, 0xffff, false, DATA_AT, 4, false, GP},
    {"expand down, in the limit", PROTECTED32, 0, DOWN, false, 0xfff, 1, false, GP},
    {"expand down, above", PROTECTED32, 0, DOWN, false, 0x1000, 4, false, OK},
    {"expand down, across the top", PROTECTED32, 0, DOWN, false, 0xfffffffe, 4, false, GP},
    {"not canonical", LONG64, 0, 0, false, UINT64_C(1) << 47, 1, false, GP},
    {"last byte not canonical", LONG64, 0, 0, false, (UINT64_C(1) << 47) - 1, 2, false, GP},
    {"not canonical on the stack", LONG64, 0, 0, true, UINT64_C(1) << 47, 1, true, SS},
};

static void segments_have_limits_and_rights(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof touches / sizeof *touches; i++) {
        const struct touch *row = &touches[i];
        struct machine *m = machine_open(row->mode, row->cpl);
        unsigned segment = row->stack ? NATIVE_SS : NATIVE_DS;
        uint64_t value = 0;
        bool ok;

        if (row->selector) {
            struct x86_fault fault;

            assert_true(x86_load_segment(&m->cpu, segment,
                                         row->selector == 0xffff ? 0 : row->selector, &fault));
        }
        ok = row->write ? x86_seg_write(&m->cpu, segment, row->offset, &value, row->size, &m->fault)
                        : x86_seg_read(&m->cpu, segment, row->offset, &value, row->size, &m->fault);
        expect_at(m, ok ? OK : (int)m->fault.vector, row->vector, 0, row->what);
    }
}

static void alignment_is_checked_at_cpl_3(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 3);
    uint32_t value = 0;

    (void)state;
    m->cpu.system.cr0 |= X86_CR0_AM;
    m->cpu.system_flags |= X86_FLAG_AC;
    x86_update_mode(&m->cpu);
    assert_true(m->cpu.system.mode & X86_MODE_ALIGN);
    assert_false(x86_seg_read(&m->cpu, NATIVE_DS, DATA_AT + 2, &value, 4, &m->fault));
    expect_at(m, (int)m->fault.vector, AC, 0, "unaligned");
    assert_true(x86_seg_read(&m->cpu, NATIVE_DS, DATA_AT + 2, &value, 2, &m->fault));
    m->cpu.system.cpl = 0;
    x86_update_mode(&m->cpu);
    assert_true(x86_seg_read(&m->cpu, NATIVE_DS, DATA_AT + 2, &value, 4, &m->fault));
}

/* --- far jumps and calls */

static const struct far {
    const char *what;
    uint8_t mode, cpl;
    bool call;
    uint16_t selector;
    uint32_t offset;
    int vector;
    uint32_t error;
} fars[] = {
    {"code", PROTECTED32, 0, false, CODE0_32, 0x1234, OK, 0},
    {"code of another CPL", PROTECTED32, 0, false, CODE3_32 & ~3, 0, GP, CODE3_32 & ~3},
    {"RPL above CPL", PROTECTED32, 0, false, CODE0_32 | 3, 0, GP, CODE0_32},
    {"conforming", PROTECTED32, 3, false, CONFORMING, 0x1234, OK, 0},
    {"null", PROTECTED32, 0, false, 0, 0, GP, 0},
    {"beyond the table", PROTECTED32, 0, true, BEYOND, 0, GP, BEYOND},
    {"data", PROTECTED32, 0, false, DATA0, 0, GP, DATA0},
    {"absent", PROTECTED32, 0, true, ABSENT_CODE, 0, NP, ABSENT_CODE},
    {"beyond the limit", PROTECTED32, 0, false, CODE0_16, 0x10000, GP, 0},
    {"LDT descriptor", PROTECTED32, 0, false, LDT_SELECTOR, 0, GP, LDT_SELECTOR},
    {"busy TSS", PROTECTED32, 0, false, TSS_SELECTOR, 0, GP, TSS_SELECTOR},
    {"call", PROTECTED32, 0, true, CODE0_32, 0x1234, OK, 0},
    {"to 64-bit code", COMPATIBLE32, 0, false, CODE0_64, 0x1234, OK, 0},
    {"TSS in long mode", COMPATIBLE32, 0, false, TSS_SELECTOR, 0, GP, TSS_SELECTOR},
};

static int go_far(struct machine *m, bool call, uint16_t selector, uint32_t offset)
{
    uint8_t bytes[7] = {call ? 0x9a : 0xea};

    memcpy(bytes + 1, &offset, 4);
    memcpy(bytes + 5, &selector, 2);
    return run(m, bytes, sizeof bytes);
}

static void far_transfers_check_code(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof fars / sizeof *fars; i++) {
        const struct far *row = &fars[i];
        struct machine *m = machine_open(row->mode, row->cpl);
        uint16_t before = m->cpu.segment[NATIVE_CS];
        int got = go_far(m, row->call, row->selector, row->offset);

        expect_at(m, got, row->vector, row->error, row->what);
        if (got != OK)
            continue;
        assert_int_equal(m->cpu.state.pc, row->offset);
        assert_int_equal(m->cpu.segment[NATIVE_CS], (row->selector & ~3) | row->cpl);
        assert_int_equal(m->cpu.system.cpl, row->cpl);
        if (row->call) {
            assert_int_equal(peek32(m, STACK_END - 4), before);
            assert_int_equal(peek32(m, STACK_END - 8), CODE_AT + 7);
            assert_int_equal(m->cpu.state.reg[X86_RSP], STACK_END - 8);
        }
    }
}

static void both_bits_of_code_are_too_many(void **state)
{
    struct machine *m = machine_open(COMPATIBLE32, 0);

    (void)state;
    put_descriptor(m, FREE, 0, 0xfffff, 0xe09b00);
    expect_at(m, go_far(m, false, FREE, 0), GP, FREE, "L and D");
}

static void real_mode_far_call_and_return(void **state)
{
    struct machine *m = machine_open(REAL, 0);

    (void)state;
    assert_int_equal(RUN(m, 0x9a, 0x34, 0x12, 0x00, 0x20), OK);
    assert_int_equal(m->cpu.state.pc, 0x1234);
    assert_int_equal(m->cpu.system.segment[NATIVE_CS].base, 0x20000);
    assert_int_equal(peek16(m, STACK_END - 2), 0);
    assert_int_equal(peek16(m, STACK_END - 4), CODE_AT + 5);
    assert_int_equal(RUN(m, 0xca, 0x06, 0x00), OK);
    assert_int_equal(m->cpu.state.pc, CODE_AT + 5);
    assert_int_equal(m->cpu.segment[NATIVE_CS], 0);
    assert_int_equal(m->cpu.state.reg[X86_RSP], STACK_END + 6);
}

/* --- call gates */

static void call_gate_changes_the_stack(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 3);

    (void)state;
    put_call_gate(m, FREE, CODE0_32, 0x4444, 0xec00, 2);
    m->cpu.state.reg[X86_RSP] = USER_STACK_END - 8;
    poke32(m, USER_STACK_END - 8, 0x11111111);
    poke32(m, USER_STACK_END - 4, 0x22222222);
    assert_int_equal(go_far(m, true, FREE | 3, 0x9999), OK);
    assert_int_equal(m->cpu.state.pc, 0x4444);
    assert_int_equal(m->cpu.system.cpl, 0);
    assert_int_equal(m->cpu.segment[NATIVE_CS], CODE0_32);
    assert_int_equal(m->cpu.segment[NATIVE_SS], DATA0);
    assert_int_equal(m->cpu.state.reg[X86_RSP], STACK_END - 24);
    assert_int_equal(peek32(m, STACK_END - 4), DATA3);
    assert_int_equal(peek32(m, STACK_END - 8), USER_STACK_END - 8);
    assert_int_equal(peek32(m, STACK_END - 12), 0x22222222);
    assert_int_equal(peek32(m, STACK_END - 16), 0x11111111);
    assert_int_equal(peek32(m, STACK_END - 20), CODE3_32);
    assert_int_equal(peek32(m, STACK_END - 24), CODE_AT + 7);
    /* and back, over both copies of the parameters */
    assert_int_equal(RUN(m, 0xca, 0x08, 0x00), OK);
    assert_int_equal(m->cpu.system.cpl, 3);
    assert_int_equal(m->cpu.state.pc, CODE_AT + 7);
    assert_int_equal(m->cpu.state.reg[X86_RSP], USER_STACK_END);
    assert_int_equal(m->cpu.segment[NATIVE_SS], DATA3);
}

static const struct gate_row {
    const char *what;
    uint8_t cpl;
    bool call;
    uint16_t target;
    uint32_t attributes;
    int vector;
    uint32_t error;
} gates[] = {
    {"DPL of the gate", 3, true, CODE0_32, 0x8c00, GP, FREE},
    {"absent gate", 0, true, CODE0_32, 0x0c00, NP, FREE},
    {"null target", 0, true, 0, 0x8c00, GP, 0},
    {"target beyond", 0, true, BEYOND, 0x8c00, GP, BEYOND},
    {"target is data", 0, true, DATA0, 0x8c00, GP, DATA0},
    {"target less privileged", 0, true, CODE3_32, 0x8c00, GP, CODE3_32 & ~3},
    {"target absent", 0, true, ABSENT_CODE, 0x8c00, NP, ABSENT_CODE},
    {"jump to more privilege", 3, false, CODE0_32, 0xec00, GP, CODE0_32},
    {"jump to the same", 0, false, CODE0_32, 0x8c00, OK, 0},
    {"jump to conforming", 3, false, CONFORMING, 0xec00, OK, 0},
};

static void call_gates_are_checked(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof gates / sizeof *gates; i++) {
        struct machine *m = machine_open(PROTECTED32, gates[i].cpl);

        put_call_gate(m, FREE, gates[i].target, 0x4444, gates[i].attributes, 0);
        expect_at(m, go_far(m, gates[i].call, FREE, 0), gates[i].vector, gates[i].error,
                  gates[i].what);
    }
}

/* What the TSS has for CPL 0, and what comes of it. */
static void stacks_of_gates_are_checked(void **state)
{
    static const struct {
        uint16_t ss;
        uint32_t esp;
        int vector;
        uint32_t error;
    } rows[] = {
        {0, STACK_END, TS, 0},
        {BEYOND, STACK_END, TS, BEYOND},
        {DATA3, STACK_END, TS, DATA3 & ~3},
        {DATA0 | 3, STACK_END, TS, DATA0},
        {CODE0_32, STACK_END, TS, CODE0_32},
        {ABSENT, STACK_END, SS, ABSENT},
        {DOWN, 0x1008, SS, DOWN},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct machine *m = machine_open(PROTECTED32, 3);

        poke32(m, TSS_AT + 4, rows[i].esp);
        poke32(m, TSS_AT + 8, rows[i].ss);
        put_call_gate(m, FREE, CODE0_32, 0x4444, 0xec00, 0);
        expect_at(m, go_far(m, true, FREE, 0), rows[i].vector, rows[i].error, "stack of the gate");
        m = machine_open(PROTECTED32, 3);
        poke32(m, TSS_AT + 4, rows[i].esp);
        poke32(m, TSS_AT + 8, rows[i].ss);
        expect_at(m, RUN(m, 0xcd, 0x80), rows[i].vector, rows[i].error, "stack of the gate, INT");
    }
}

static void call_gate_of_long_mode(void **state)
{
    struct machine *m = machine_open(LONG64, 3);
    uint8_t pointer[10] = {0};
    uint16_t selector = FREE | 3;

    (void)state;
    put_call_gate(m, FREE, CODE0_64, UINT64_C(0xffffff8000004444), 0xec00, 0);
    memcpy(pointer + 4, &selector, 2);
    poke(m, DATA_AT, pointer, sizeof pointer);
    m->cpu.state.reg[X86_RBX] = DATA_AT;
    assert_int_equal(RUN(m, 0xff, 0x1b), OK); /* CALL far [RBX] */
    assert_int_equal(m->cpu.state.pc, UINT64_C(0xffffff8000004444));
    assert_int_equal(m->cpu.system.cpl, 0);
    assert_int_equal(m->cpu.segment[NATIVE_SS], 0);
    assert_int_equal(peek64(m, STACK_END - 8), DATA3);
    assert_int_equal(peek64(m, STACK_END - 16), USER_STACK_END);
    assert_int_equal(peek64(m, STACK_END - 24), CODE3_64);
    assert_int_equal(peek64(m, STACK_END - 32), CODE_AT + 2);
    assert_int_equal(RUN(m, 0x48, 0xcb), OK); /* RETF with 8 bytes */
    assert_int_equal(m->cpu.system.cpl, 3);
    assert_int_equal(m->cpu.state.reg[X86_RSP], USER_STACK_END);
    put_call_gate(m, FREE, CODE0_32, 0x4444, 0xec00, 0);
    expect_at(m, RUN(m, 0xff, 0x1b), GP, CODE0_32, "gate of long mode to 32-bit code");
}

/* --- far returns */

static const struct back {
    const char *what;
    uint8_t cpl;
    uint16_t cs, ss;
    uint32_t eip;
    int vector;
    uint32_t error;
} backs[] = {
    {"the same", 0, CODE0_32, 0, 0x5000, OK, 0},
    {"null", 0, 0, 0, 0, GP, 0},
    {"beyond", 0, BEYOND, 0, 0, GP, BEYOND},
    {"data", 0, DATA0, 0, 0, GP, DATA0},
    {"to more privilege", 3, CODE0_32, 0, 0, GP, CODE0_32},
    {"absent", 0, ABSENT_CODE, 0, 0, NP, ABSENT_CODE},
    {"DPL", 0, CODE0_32 | 3, DATA3, 0, GP, CODE0_32},
    {"outer", 0, CODE3_32, DATA3, 0x5000, OK, 0},
    {"outer, SS null", 0, CODE3_32, 0, 0, GP, 0},
    {"outer, SS RPL", 0, CODE3_32, DATA3 & ~3, 0, GP, DATA3 & ~3},
    {"outer, SS DPL", 0, CODE3_32, DATA0 | 3, 0, GP, DATA0},
    {"outer, SS read only", 0, CODE3_32, READ_ONLY | 3, 0, GP, READ_ONLY},
    {"outer, SS beyond", 0, CODE3_32, BEYOND | 3, 0, GP, BEYOND},
    {"outer conforming", 0, CONFORMING | 3, DATA3, 0x5000, OK, 0},
    {"beyond the limit", 0, CODE0_16, 0, 0x10000, GP, 0},
};

static void far_returns_are_checked(void **state)
{
    (void)state;
    for (unsigned iret = 0; iret < 2; iret++) {
        for (size_t i = 0; i < sizeof backs / sizeof *backs; i++) {
            const struct back *row = &backs[i];
            struct machine *m = machine_open(PROTECTED32, row->cpl);
            uint32_t frame[5] = {row->eip, row->cs, 0x202, USER_STACK_END - 16, row->ss}, top;
            int got;

            top = (row->cpl ? USER_STACK_END : STACK_END) - 20;
            m->cpu.state.reg[X86_RSP] = top;
            poke(m, top, frame, 8);
            poke(m, top + 8, frame + 3 - iret, 8 + 4 * iret);
            got = iret ? RUN(m, 0xcf) : RUN(m, 0xcb);
            expect_at(m, got, row->vector, row->error, row->what);
            if (got == OK) {
                bool outer = (row->cs & 3) > row->cpl;

                assert_int_equal(m->cpu.state.pc, row->eip);
                assert_int_equal(m->cpu.segment[NATIVE_CS], row->cs);
                assert_int_equal(m->cpu.system.cpl, row->cs & 3);
                assert_int_equal(m->cpu.state.reg[X86_RSP],
                                 outer ? USER_STACK_END - 16 : top + 8 + 4 * iret);
                assert_int_equal(m->cpu.segment[NATIVE_DS], outer ? 0 : DATA0);
            }
        }
    }
}

/* --- LLDT, LTR, LAR, LSL, VERR, VERW, ARPL */

static void tables_are_loaded(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 0);

    (void)state;
    m->cpu.state.reg[X86_RAX] = LDT_SELECTOR;
    assert_int_equal(RUN(m, 0x0f, 0x00, 0xd0), OK);
    assert_int_equal(m->cpu.system.segment[X86_LDTR].base, LDT_AT);
    assert_int_equal(RUN(m, 0x0f, 0x00, 0xc3), OK); /* SLDT EBX */
    assert_int_equal(m->cpu.state.reg[X86_RBX], LDT_SELECTOR);
    expect_at(m, RUN(m, 0x0f, 0x00, 0xd8), GP, LDT_SELECTOR, "LTR of an LDT");
    m->cpu.state.reg[X86_RAX] = TSS_SELECTOR;
    expect_at(m, RUN(m, 0x0f, 0x00, 0xd8), GP, TSS_SELECTOR, "LTR of a busy TSS");
    put_descriptor(m, TSS_SELECTOR, TSS_AT, 0x1fff, 0x0900);
    expect_at(m, RUN(m, 0x0f, 0x00, 0xd8), NP, TSS_SELECTOR, "LTR of an absent TSS");
    put_descriptor(m, TSS_SELECTOR, TSS_AT, 0x1fff, 0x8900);
    assert_int_equal(RUN(m, 0x0f, 0x00, 0xd8), OK);
    assert_int_equal(m->ram[GDT_AT + TSS_SELECTOR + 5], 0x8b);
    assert_int_equal(m->cpu.system.segment[X86_TR].attributes, 0x8b00);
    m->cpu.state.reg[X86_RAX] = 0;
    expect_at(m, RUN(m, 0x0f, 0x00, 0xd8), GP, 0, "LTR of null");
    assert_int_equal(RUN(m, 0x0f, 0x00, 0xd0), OK); /* LLDT of null */
    m->cpu.state.reg[X86_RAX] = 4;
    expect_at(m, RUN(m, 0x0f, 0x00, 0xd0), GP, 4, "LLDT from the LDT");
    m = machine_open(PROTECTED32, 3);
    expect_at(m, RUN(m, 0x0f, 0x00, 0xd0), GP, 0, "LLDT at CPL 3");
    m = machine_open(REAL, 0);
    expect_at(m, RUN(m, 0x0f, 0x00, 0xd0), UD, 0, "LLDT in real mode");
    m = machine_open(LONG64, 0);
    put_descriptor(m, TSS_SELECTOR, TSS_AT, 0x1fff, 0x8900);
    poke32(m, GDT_AT + TSS_SELECTOR + 8, 0xffffff80);
    m->cpu.state.reg[X86_RAX] = TSS_SELECTOR;
    assert_int_equal(RUN(m, 0x0f, 0x00, 0xd8), OK);
    assert_int_equal(m->cpu.system.segment[X86_TR].base, UINT64_C(0xffffff8000000000) + TSS_AT);
}

static void descriptors_are_looked_at(void **state)
{
    static const struct {
        uint8_t cpl;
        uint16_t selector;
        bool lar, lsl, verr, verw;
    } rows[] = {
        {0, DATA0, true, true, true, true},
        {0, CODE0_32, true, true, true, false},
        {3, CODE0_32, false, false, false, false},
        {3, CONFORMING | 3, true, true, true, false},
        {3, EXECUTE_ONLY | 3, true, true, false, false},
        {3, READ_ONLY | 3, true, true, true, false},
        {0, DATA0 | 3, false, false, false, false},
        {0, TSS_SELECTOR, true, true, false, false},
        {0, FREE, true, false, false, false}, /* a call gate */
        {0, 0, false, false, false, false},
        {0, BEYOND, false, false, false, false},
        {0, ABSENT, true, true, true, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct machine *m = machine_open(PROTECTED32, rows[i].cpl);
        const bool expected[4] = {rows[i].lar, rows[i].lsl, rows[i].verr, rows[i].verw};

        put_call_gate(m, FREE, CODE0_32, 0, 0x8c00, 0);
        for (unsigned which = 0; which < 4; which++) {
            m->cpu.state.reg[X86_RAX] = rows[i].selector;
            m->cpu.state.reg[X86_RBX] = 0x5555;
            m->cpu.state.flags ^= NATIVE_ZF;
            assert_int_equal(which == 0   ? RUN(m, 0x0f, 0x02, 0xd8)
                             : which == 1 ? RUN(m, 0x0f, 0x03, 0xd8)
                             : which == 2 ? RUN(m, 0x0f, 0x00, 0xe0)
                                          : RUN(m, 0x0f, 0x00, 0xe8),
                             OK);
            if (!(m->cpu.state.flags & NATIVE_ZF) == expected[which])
                fail_msg("selector %x, question %u", rows[i].selector, which);
            if (which < 2 && !expected[which])
                assert_int_equal(m->cpu.state.reg[X86_RBX], 0x5555);
        }
        if (rows[i].selector == DATA0) {
            assert_int_equal(RUN(m, 0x0f, 0x02, 0xd8), OK);
            assert_int_equal(m->cpu.state.reg[X86_RBX], 0x00cf9300);
            assert_int_equal(RUN(m, 0x0f, 0x03, 0xd8), OK);
            assert_int_equal(m->cpu.state.reg[X86_RBX], 0xffffffff);
        }
    }
}

static void arpl_raises_the_rpl(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 0);

    (void)state;
    m->cpu.state.reg[X86_RAX] = 0xabcd0010;
    m->cpu.state.reg[X86_RBX] = 0x0003;
    assert_int_equal(RUN(m, 0x63, 0xd8), OK); /* ARPL AX, BX */
    assert_int_equal(m->cpu.state.reg[X86_RAX], 0xabcd0013);
    assert_true(m->cpu.state.flags & NATIVE_ZF);
    assert_int_equal(RUN(m, 0x63, 0xd8), OK);
    assert_false(m->cpu.state.flags & NATIVE_ZF);
    m = machine_open(REAL, 0);
    expect_at(m, RUN(m, 0x63, 0xd8), UD, 0, "ARPL in real mode");
}

static void table_registers_are_stored_and_loaded(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 0);

    (void)state;
    m->cpu.state.reg[X86_RBX] = DATA_AT;
    assert_int_equal(RUN(m, 0x0f, 0x01, 0x03), OK); /* SGDT [EBX] */
    assert_int_equal(peek16(m, DATA_AT), BEYOND - 1);
    assert_int_equal(peek32(m, DATA_AT + 2), GDT_AT);
    poke32(m, DATA_AT + 2, 0x12345678);
    assert_int_equal(RUN(m, 0x0f, 0x01, 0x1b), OK); /* LIDT [EBX] */
    assert_int_equal(m->cpu.system.idt.base, 0x12345678);
    assert_int_equal(RUN(m, 0x66, 0x0f, 0x01, 0x1b), OK);
    assert_int_equal(m->cpu.system.idt.base, 0x345678); /* 24 bits */
    m->cpu.system.cr4 |= X86_CR4_UMIP;
    assert_int_equal(RUN(m, 0x0f, 0x01, 0x03), OK);
    m = machine_open(PROTECTED32, 3);
    m->cpu.state.reg[X86_RBX] = DATA_AT;
    assert_int_equal(RUN(m, 0x0f, 0x01, 0x03), OK);
    m->cpu.system.cr4 |= X86_CR4_UMIP;
    expect_at(m, RUN(m, 0x0f, 0x01, 0x03), GP, 0, "SGDT with UMIP");
    expect_at(m, RUN(m, 0x0f, 0x01, 0xe0), GP, 0, "SMSW with UMIP");
    expect_at(m, RUN(m, 0x0f, 0x00, 0xc0), GP, 0, "SLDT with UMIP");
    expect_at(m, RUN(m, 0x0f, 0x01, 0x13), GP, 0, "LGDT at CPL 3");
}

/* --- frames */

static void frames_are_made_and_left(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 0);
    uint64_t saved[8];

    (void)state;
    for (unsigned i = 0; i < 8; i++)
        m->cpu.state.reg[i] = i == X86_RSP ? STACK_END : 0x1111 * i;
    memcpy(saved, m->cpu.state.reg, sizeof saved);
    assert_int_equal(RUN(m, 0x60), OK); /* PUSHAD */
    assert_int_equal(peek32(m, STACK_END - 4), saved[X86_RAX]);
    assert_int_equal(peek32(m, STACK_END - 20), STACK_END);
    for (unsigned i = 0; i < X86_RSP; i++)
        m->cpu.state.reg[i] = 0;
    assert_int_equal(RUN(m, 0x61), OK);
    assert_memory_equal(m->cpu.state.reg, saved, sizeof saved);
    m->cpu.state.reg[X86_RBP] = STACK_END - 0x100;
    poke32(m, STACK_END - 0x104, 0xabcd);
    assert_int_equal(RUN(m, 0xc8, 0x20, 0x00, 0x02), OK); /* ENTER 32, 2 */
    assert_int_equal(m->cpu.state.reg[X86_RBP], STACK_END - 4);
    assert_int_equal(m->cpu.state.reg[X86_RSP], STACK_END - 12 - 32);
    assert_int_equal(peek32(m, STACK_END - 4), STACK_END - 0x100);
    assert_int_equal(peek32(m, STACK_END - 8), 0xabcd);
    assert_int_equal(peek32(m, STACK_END - 12), STACK_END - 4);
    assert_int_equal(RUN(m, 0xc9), OK);
    assert_int_equal(m->cpu.state.reg[X86_RSP], STACK_END);
    assert_int_equal(m->cpu.state.reg[X86_RBP], STACK_END - 0x100);
}

/* SP goes below 0 and comes out at the top; a slot never straddles the limit. */
static void the_16_bit_stack_wraps(void **state)
{
    struct machine *m = machine_open(REAL, 0);

    (void)state;
    m->cpu.state.reg[X86_RSP] = 0xabcd0004;
    m->cpu.state.reg[X86_RAX] = 0x1111;
    assert_int_equal(RUN(m, 0x60), OK); /* PUSHA */
    assert_int_equal(m->cpu.state.reg[X86_RSP], 0xabcdfff4);
    assert_int_equal(peek16(m, 2), 0x1111);
    m->cpu.state.reg[X86_RSP] = 1;
    expect_at(m, RUN(m, 0x06), SS, 0, "PUSH ES at 1");
}

/* --- code */

static void code_is_fetched_as_far_as_it_goes(void **state)
{
    struct machine *m = machine_open(LONG64, 3);
    uint8_t bytes[X86_FETCH];

    (void)state;
    m->cpu.system.efer |= X86_EFER_NXE;
    m->ram[CODE_AT + 14] = 0xab;
    assert_int_equal(x86_fetch(&m->cpu, bytes, &m->fault), 15);
    assert_int_equal(bytes[14], 0xab);
    m->cpu.state.pc = CODE_AT + 0xffe;
    *page_entry(m, CODE_AT + 0x1000) |= UINT64_C(1) << 63;
    assert_int_equal(x86_fetch(&m->cpu, bytes, &m->fault), 2);
    expect_at(m, (int)m->fault.vector, PF, 21, "no code there");
    assert_int_equal(m->fault.address, CODE_AT + 0x1000);
    m->cpu.state.pc = UINT64_C(1) << 47;
    assert_int_equal(x86_fetch(&m->cpu, bytes, &m->fault), 0);
    expect_at(m, (int)m->fault.vector, GP, 0, "not canonical");
    m = machine_open(PROTECTED16, 0);
    m->cpu.state.pc = 0xfffc;
    assert_int_equal(x86_fetch(&m->cpu, bytes, &m->fault), 4);
    expect_at(m, (int)m->fault.vector, GP, 0, "beyond the limit");
    m->cpu.state.pc = 0x10000;
    assert_int_equal(x86_fetch(&m->cpu, bytes, &m->fault), 0);
}

static void float_errors_are_exceptions_or_interrupts(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 0);

    (void)state;
    assert_false(x86_float_error(&m->cpu, &m->fault));
    assert_int_equal(m->fault.vector, 16);
    assert_int_equal(m->float_errors, 0);
    m->cpu.system.cr0 &= ~(uint64_t)X86_CR0_NE;
    assert_true(x86_float_error(&m->cpu, &m->fault));
    assert_int_equal(m->float_errors, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mov_loads_what_it_may),
        cmocka_unit_test(loading_marks_accessed),
        cmocka_unit_test(real_mode_keeps_limits),
        cmocka_unit_test(segments_have_limits_and_rights),
        cmocka_unit_test(alignment_is_checked_at_cpl_3),
        cmocka_unit_test(far_transfers_check_code),
        cmocka_unit_test(both_bits_of_code_are_too_many),
        cmocka_unit_test(real_mode_far_call_and_return),
        cmocka_unit_test(call_gate_changes_the_stack),
        cmocka_unit_test(call_gates_are_checked),
        cmocka_unit_test(stacks_of_gates_are_checked),
        cmocka_unit_test(call_gate_of_long_mode),
        cmocka_unit_test(far_returns_are_checked),
        cmocka_unit_test(tables_are_loaded),
        cmocka_unit_test(descriptors_are_looked_at),
        cmocka_unit_test(arpl_raises_the_rpl),
        cmocka_unit_test(table_registers_are_stored_and_loaded),
        cmocka_unit_test(frames_are_made_and_left),
        cmocka_unit_test(the_16_bit_stack_wraps),
        cmocka_unit_test(code_is_fetched_as_far_as_it_goes),
        cmocka_unit_test(float_errors_are_exceptions_or_interrupts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
