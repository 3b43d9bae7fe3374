/* SPDX-License-Identifier: MIT
 *
 * String instructions in C: against the real CPU in flat 64-bit mode, and by tables what only a
 * system can see: faults in the middle, wrapping addresses, device memory, traps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/error.h"
#include "ir/guest.h"
#include "x86_machine.h"
#include "x86_native.h"

enum { OK = -1, DB = 1, SS = 12, GP = 13, PF = 14, AC = 17 };

enum {
    REPE = 0xf3,
    REPNE = 0xf2,
    MOVSB = 0xa4,
    MOVS,
    CMPSB,
    CMPS,
    STOSB = 0xaa,
    STOS,
    LODSB,
    LODS
};
enum { SCASB = 0xae, SCAS };

/* --- against the CPU */

enum { AREA = 0x180000, AREA_SIZE = 0x10000, HOLE = AREA + 0x8000, PAGE = 0x1000, ROUNDS = 6000 };

static uint64_t seed = 12345;

static uint32_t chance(uint32_t below)
{
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)((seed >> 33) % below);
}

static uint8_t *cached(void *opaque, uint64_t linear, bool write)
{
    struct machine *m = opaque;

    (void)write;
    return linear < MACHINE_RAM && *(uint32_t *)page_entry(m, linear) ? m->ram + linear : NULL;
}

static bool has_code(void *opaque, uint64_t physical)
{
    (void)opaque, (void)physical;
    return false;
}

static void forget(void *opaque, enum ir_flush what, uint64_t address)
{
    (void)opaque, (void)what, (void)address;
}

/* How the machine gets at its memory: by walks; by the TLB; element by element, since there is a
 * breakpoint on data somewhere. */
static void choose_way(struct machine *m, unsigned way)
{
    static struct ir_tlb tlb = {.cached = cached, .has_code = has_code, .flush = forget};

    tlb.opaque = m;
    m->cpu.system.tlb = way == 1 ? &tlb : NULL;
    m->cpu.system.dr7 = X86_DR7_ONES | (way == 2 ? 1 << 16 | 1 : 0);
    m->cpu.system.dr[0] = DATA_AT;
    x86_update_mode(&m->cpu);
}

struct instruction {
    uint8_t bytes[8];
    size_t size;
};

static void append(struct instruction *insn, uint8_t byte)
{
    insn->bytes[insn->size++] = byte;
}

static struct instruction any_instruction(void)
{
    static const uint8_t prefixes[] = {0, REPE, REPE, REPNE}, sizes[] = {0, 0x66, 0x48};
    static const uint8_t opcodes[] = {MOVSB, CMPSB, STOSB, LODSB, SCASB};
    uint8_t prefix = prefixes[chance(4)], size = sizes[chance(3)];
    uint8_t opcode = opcodes[chance(5)];
    struct instruction insn = {.size = 0};

    if (prefix)
        append(&insn, prefix);
    if (chance(4) == 0)
        append(&insn, 0x67);
    if (size)
        append(&insn, size);
    append(&insn, opcode | (chance(4) != 0));
    return insn;
}

/* Long runs of the same bytes, so that comparisons go on for a while; pointers that are near to
 * each other or not. */
static void fill_area(uint8_t *area)
{
    uint8_t value = 0;

    for (unsigned i = 0; i < AREA_SIZE; i++) {
        value = chance(50) == 0 ? (uint8_t)chance(256) : value;
        area[i] = value;
    }
}

static void any_registers(struct native_registers *registers)
{
    uint32_t from = AREA_SIZE / 4 + chance(AREA_SIZE / 2);
    uint32_t to = chance(2) ? from + chance(64) - 32 : AREA_SIZE / 4 + chance(AREA_SIZE / 2);

    for (unsigned i = 0; i < 16; i++)
        registers->reg[i] = (uint64_t)chance(UINT32_MAX) << 32 | chance(UINT32_MAX);
    registers->reg[X86_RCX] = chance(4) ? chance(40) : chance(AREA_SIZE / 4 / 8);
    registers->reg[X86_RSI] = AREA + from;
    registers->reg[X86_RDI] = AREA + to;
    registers->flags = chance(0x1000) & (NATIVE_ARITH | NATIVE_DF);
    if (chance(2))
        registers->flags &= ~(uint64_t)NATIVE_DF;
}

/* Until the instruction is done; false: it has faulted. */
static bool run_to_end(struct machine *m, const struct instruction *insn)
{
    struct x86_insn decoded;

    if (x86_decode(X86_MODE_64, NULL, insn->bytes, insn->size, CODE_AT, &decoded) != X86_DECODE_OK)
        fail_msg("not decoded");
    while (m->cpu.state.pc == CODE_AT) {
        if (!x86_execute(&m->cpu, &decoded, &m->fault))
            return false;
    }
    return true;
}

static void compare_registers(const struct machine *m, const struct native_registers *registers,
                              const char *what)
{
    for (unsigned i = 0; i < 16; i++) {
        if (m->cpu.state.reg[i] != registers->reg[i])
            fail_msg("%s: register %u is %lx, should be %lx", what, i, m->cpu.state.reg[i],
                     registers->reg[i]);
    }
    if ((m->cpu.state.flags & (NATIVE_ARITH | NATIVE_DF)) != registers->flags)
        fail_msg("%s: flags are %lx, should be %lx", what, m->cpu.state.flags, registers->flags);
}

/* With a page that is absent, which every other round comes near to. */
static void compare_with_cpu(struct machine *m, uint8_t *area, unsigned round, bool hole)
{
    struct instruction insn = any_instruction();
    struct native_registers registers = {.flags = 0};
    char what[64];
    bool done, both;

    any_registers(&registers);
    memcpy(m->ram + AREA, area, AREA_SIZE);
    memcpy(m->cpu.state.reg, registers.reg, sizeof registers.reg);
    m->cpu.state.flags = registers.flags | X86_FLAG_ONE;
    m->cpu.state.pc = CODE_AT;
    choose_way(m, round % 3);
    snprintf(what, sizeof what, "round %u, opcode %x, flags %lx", round, insn.bytes[insn.size - 1],
             registers.flags);
    done = run_to_end(m, &insn);
    if (hole)
        mprotect(area + (HOLE - AREA), PAGE, PROT_NONE);
    if (native_run(&registers, insn.bytes, insn.size) != done)
        fail_msg("%s: %s", what, done ? "done" : "has faulted");
    if (hole)
        mprotect(area + (HOLE - AREA), PAGE, PROT_READ | PROT_WRITE);
    both = (insn.bytes[insn.size - 1] | 1) == CMPS; /* which operand is read first is open */
    if (!done && (m->fault.vector != PF || (m->fault.address != registers.address && !both)))
        fail_msg("%s: vector %u, address %lx, should be %lx", what, m->fault.vector,
                 m->fault.address, registers.address);
    compare_registers(m, &registers, what);
    if (memcmp(m->ram + AREA, area, AREA_SIZE))
        fail_msg("%s: memory differs", what);
}

static void strings_are_those_of_the_cpu(void **state)
{
    struct machine *m = machine_open(LONG64, 0);
    uint8_t *area = native_map(AREA, AREA_SIZE);

    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        bool hole = round >= ROUNDS / 2;

        if (round % 16 == 0)
            fill_area(area);
        *(uint32_t *)page_entry(m, HOLE) = hole ? 0 : HOLE | 7;
        compare_with_cpu(m, area, round, hole);
    }
    choose_way(m, 0);
    munmap(area, AREA_SIZE);
}

/* --- where it stops */

/* A page of four is absent or beyond the limit; what has been done before. */
static const struct stop {
    const char *what;
    uint8_t prefix, opcode; /* elements of 4 bytes, but for even opcodes */
    bool down;
    uint64_t si, di, count, absent;
    uint64_t done;
    uint64_t address; /* of the page fault */
    uint32_t error;
} stops[] = {
    {"MOVS, source", REPE, MOVS, false, 0x40ff0, 0x50000, 100, 0x41000, 4, 0x41000, 0},
    {"MOVS, destination", REPE, MOVS, false, 0x40000, 0x50ff0, 100, 0x51000, 4, 0x51000, 2},
    {"MOVS across", REPE, MOVS, false, 0x40000, 0x50ff2, 100, 0x51000, 3, 0x51000, 2},
    {"MOVS, both", REPE, MOVS, false, 0x41000, 0x41800, 100, 0x41000, 0, 0x41000, 0},
    {"MOVS down", REPE, MOVS, true, 0x4200c, 0x50100, 100, 0x41000, 4, 0x41ffc, 0},
    {"STOS", REPE, STOSB, false, 0, 0x50ffa, 100, 0x51000, 6, 0x51000, 2},
    {"LODS", REPE, LODSB, false, 0x50ffa, 0, 100, 0x51000, 6, 0x51000, 0},
    {"CMPS", REPE, CMPS, false, 0x40ff8, 0x50000, 100, 0x41000, 2, 0x41000, 0},
    {"SCAS", REPNE, SCASB, false, 0, 0x50ffa, 100, 0x51000, 6, 0x51000, 0},
    {"STOS, two pages before", REPE, STOS, false, 0, 0x4f000, 0x2000, 0x51000, 0x800, 0x51000, 2},
    {"ends before", REPE, STOSB, false, 0, 0x50ffa, 6, 0x51000, 6, 0, 0},
    {"no element", REPE, MOVS, false, 0x41000, 0x41000, 0, 0x41000, 0, 0, 0},
};

static void check_stop(const struct stop *row, enum machine_mode mode)
{
    struct machine *m = machine_open(mode, 0);
    uint64_t size = row->opcode & 1 ? 4 : 1, step = row->down ? -size : size;
    bool source = row->opcode != STOS && row->opcode != STOSB && row->opcode != SCASB;
    bool destination = row->opcode != LODSB;
    int got;

    if (mode == PROTECTED32)
        paging_on(m, false);
    m->cpu.state.reg[X86_RSI] = row->si;
    m->cpu.state.reg[X86_RDI] = row->di;
    m->cpu.state.reg[X86_RCX] = row->count;
    m->cpu.state.reg[X86_RAX] = 0x77;
    m->cpu.state.flags |= row->down ? NATIVE_DF : 0;
    *(uint32_t *)page_entry(m, row->absent) = 0;
    do {
        got = RUN(m, row->prefix, row->opcode);
    } while (got == OK && m->cpu.state.pc == CODE_AT);
    if (got != (row->address ? PF : OK) || (row->address && m->fault.address != row->address) ||
        (row->address && m->fault.error != row->error))
        fail_msg("%s: vector %d at %lx, error %x", row->what, got, m->fault.address,
                 m->fault.error);
    if (m->cpu.state.reg[X86_RCX] != row->count - row->done ||
        m->cpu.state.reg[X86_RSI] != row->si + (source ? row->done * step : 0) ||
        m->cpu.state.reg[X86_RDI] != row->di + (destination ? row->done * step : 0))
        fail_msg("%s: RCX %lx RSI %lx RDI %lx", row->what, m->cpu.state.reg[X86_RCX],
                 m->cpu.state.reg[X86_RSI], m->cpu.state.reg[X86_RDI]);
    if (row->opcode == STOSB)
        assert_int_equal(m->ram[row->di + row->done - 1], 0x77);
}

static void faults_leave_whole_elements_done(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) {
        check_stop(&stops[i], LONG64);
        check_stop(&stops[i], PROTECTED32);
    }
}

static void flags_are_of_the_last_element_done(void **state)
{
    struct machine *m = machine_open(LONG64, 0);

    (void)state;
    *(uint32_t *)page_entry(m, 0x51000) = 0;
    m->ram[0x50fff] = 1;
    m->cpu.state.reg[X86_RDI] = 0x50ff0;
    m->cpu.state.reg[X86_RCX] = 100;
    m->cpu.state.reg[X86_RAX] = 2;
    assert_int_equal(RUN(m, REPNE, SCASB), PF);
    assert_int_equal(m->cpu.state.flags & NATIVE_ARITH, 0); /* 2 - 1 */
    m->cpu.state.reg[X86_RCX] = 5;
    assert_int_equal(RUN(m, REPNE, SCASB), PF);
    assert_int_equal(m->cpu.state.flags & NATIVE_ARITH, 0); /* none done: as before */
    assert_int_equal(m->cpu.state.reg[X86_RCX], 5);
}

static void a_single_one_that_faults_changes_nothing(void **state)
{
    struct machine *m = machine_open(LONG64, 0);

    (void)state;
    *(uint32_t *)page_entry(m, 0x51000) = 0;
    m->cpu.state.reg[X86_RSI] = 0x40000;
    m->cpu.state.reg[X86_RDI] = 0x50ffe;
    assert_int_equal(RUN(m, MOVS), PF);
    assert_int_equal(m->fault.address, 0x51000);
    m->cpu.state.reg[X86_RSI] = UINT64_C(1) << 47;
    assert_int_equal(RUN(m, LODS), GP);
}

/* --- segments and address sizes */

static void limits_are_kept_and_overrides_count(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 0);

    (void)state;
    m->cpu.system.segment[NATIVE_ES].base = 0x40000;
    m->cpu.system.segment[NATIVE_ES].limit = 0x1004;
    m->cpu.state.reg[X86_RDI] = 0xffe;
    m->cpu.state.reg[X86_RCX] = 10;
    m->cpu.state.reg[X86_RAX] = 0x55;
    assert_int_equal(RUN(m, REPE, 0x66, STOS), GP); /* words at ffe, 1000, 1002; 1004 is beyond */
    assert_int_equal(m->cpu.state.reg[X86_RCX], 7);
    assert_int_equal(m->cpu.state.reg[X86_RDI], 0x1004);
    assert_int_equal(peek16(m, 0x41002), 0x55);
    assert_int_equal(peek16(m, 0x41004), 0);
    /* the source's segment can be another, the destination's is ES */
    m->cpu.system.segment[NATIVE_SS].base = 0x10000;
    m->cpu.system.segment[NATIVE_SS].limit = 0xfff;
    m->cpu.state.reg[X86_RSI] = 0xffc;
    m->cpu.state.reg[X86_RDI] = 0;
    m->cpu.state.reg[X86_RCX] = 2;
    poke32(m, 0x10ffc, 0x11223344);
    assert_int_equal(RUN(m, 0x36, REPE, MOVS), SS);
    assert_int_equal(m->cpu.state.reg[X86_RCX], 1);
    assert_int_equal(peek32(m, 0x40000), 0x11223344);
    /* a destination that cannot be written */
    m->cpu.system.segment[NATIVE_ES].attributes &= ~(uint32_t)X86_SEG_WRITABLE;
    m->cpu.state.reg[X86_RSI] = 0;
    assert_int_equal(RUN(m, REPE, MOVS), GP);
    assert_int_equal(m->cpu.state.reg[X86_RCX], 1);
    assert_int_equal(RUN(m, REPE, SCAS), OK);
}

/* Addresses of 16 bits wrap; the upper halves of the registers stay. */
static void addresses_wrap(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 0);

    (void)state;
    m->cpu.system.segment[NATIVE_ES].base = 0x100000;
    m->cpu.state.reg[X86_RDI] = 0x1234fffe;
    m->cpu.state.reg[X86_RCX] = 0x55550004;
    m->cpu.state.reg[X86_RAX] = 0xee;
    assert_int_equal(RUN(m, 0x67, REPE, STOSB), OK);
    assert_int_equal(m->cpu.state.reg[X86_RDI], 0x12340002);
    assert_int_equal(m->cpu.state.reg[X86_RCX], 0x55550000);
    assert_int_equal(peek16(m, 0x10fffe), 0xeeee);
    assert_int_equal(peek32(m, 0x100000), 0xeeee);
    assert_int_equal(m->cpu.state.pc, CODE_AT + 3);
    /* in real mode an element across the end is beyond the limit */
    m = machine_open(REAL, 0);
    m->cpu.state.reg[X86_RDI] = 0xfffd;
    m->cpu.state.reg[X86_RCX] = 4;
    assert_int_equal(RUN(m, REPE, STOS), GP);
    assert_int_equal(m->cpu.state.reg[X86_RCX], 3);
    assert_int_equal(m->cpu.state.reg[X86_RDI], 0xffff);
    /* 32 bits in 64-bit mode: the rest of the registers becomes zero */
    m = machine_open(LONG64, 0);
    m->cpu.state.reg[X86_RSI] = UINT64_C(0x5500040000);
    m->cpu.state.reg[X86_RDI] = UINT64_C(0x5500050000);
    m->cpu.state.reg[X86_RCX] = UINT64_C(0x5500000002);
    poke64(m, 0x40000, 0x1122334455667788);
    assert_int_equal(RUN(m, 0x67, REPE, MOVS), OK);
    assert_int_equal(m->cpu.state.reg[X86_RSI], 0x40008);
    assert_int_equal(m->cpu.state.reg[X86_RDI], 0x50008);
    assert_int_equal(m->cpu.state.reg[X86_RCX], 0);
    assert_int_equal(peek64(m, 0x50000), 0x1122334455667788);
}

/* In 64-bit mode only FS and GS have a base. */
static void gs_has_its_base(void **state)
{
    struct machine *m = machine_open(LONG64, 0);

    (void)state;
    m->cpu.system.segment[NATIVE_GS].base = 0x40000;
    m->cpu.state.other_base = 0x40000;
    m->cpu.system.segment[NATIVE_ES].base = 0x1000000;
    poke64(m, 0x40100, 0x1122334455667788);
    m->cpu.state.reg[X86_RSI] = 0x100;
    m->cpu.state.reg[X86_RDI] = 0x50000;
    m->cpu.state.reg[X86_RCX] = 8;
    assert_int_equal(RUN(m, 0x65, REPE, MOVSB), OK);
    assert_int_equal(peek64(m, 0x50000), 0x1122334455667788);
}

/* --- what else can be in the way */

/* Device memory answers with its address. */
static void device_memory_is_read_by_elements(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 0);

    (void)state;
    m->cpu.state.reg[X86_RSI] = MMIO_AT - 4;
    m->cpu.state.reg[X86_RDI] = 0x50000;
    m->cpu.state.reg[X86_RCX] = 3;
    assert_int_equal(RUN(m, REPE, MOVS), OK);
    assert_int_equal(peek32(m, 0x50000), MMIO_AT - 4);
    assert_int_equal(peek32(m, 0x50004), MMIO_AT);
    assert_int_equal(peek32(m, 0x50008), MMIO_AT + 4);
}

/* Long ones come back now and then, at the same place, for interrupts. */
static void long_ones_are_done_in_parts(void **state)
{
    enum { LONG = 0x100000, FROM = 0x100000 };
    struct machine *m = machine_open(PROTECTED32, 0);
    unsigned parts = 1;

    (void)state;
    m->cpu.state.reg[X86_RDI] = FROM;
    m->cpu.state.reg[X86_RCX] = LONG;
    m->cpu.state.reg[X86_RAX] = 0xabcd;
    for (; RUN(m, REPE, STOSB) == OK && m->cpu.state.pc == CODE_AT; parts++) {
        uint64_t done = LONG - m->cpu.state.reg[X86_RCX];

        assert_true(done <= parts * 0x10000ul && done >= parts * 0x8000ul);
        assert_int_equal(m->cpu.state.reg[X86_RDI], FROM + done);
        assert_int_equal(m->ram[FROM + done - 1], 0xcd);
        assert_int_equal(m->ram[FROM + done], 0);
    }
    assert_int_equal(m->cpu.state.pc, CODE_AT + 2);
    assert_int_equal(m->cpu.state.reg[X86_RCX], 0);
    assert_true(parts >= LONG / 0x10000);
    /* device memory costs more */
    m->cpu.state.pc = CODE_AT;
    m->cpu.state.reg[X86_RSI] = MMIO_AT;
    m->cpu.state.reg[X86_RCX] = 10000;
    assert_int_equal(RUN(m, REPE, LODSB), OK);
    assert_int_equal(m->cpu.state.pc, CODE_AT);
    assert_in_range(m->cpu.state.reg[X86_RCX], 10000 - 1024, 9999);
}

static void each_element_is_a_step(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 0);

    (void)state;
    m->cpu.system_flags |= X86_FLAG_TF;
    m->cpu.state.reg[X86_RDI] = 0x50000;
    m->cpu.state.reg[X86_RCX] = 2;
    assert_int_equal(RUN(m, REPE, STOSB), OK);
    assert_int_equal(m->cpu.state.pc, CODE_AT);
    assert_int_equal(m->cpu.state.reg[X86_RCX], 1);
    assert_int_equal(m->cpu.system.pending_debug, X86_DR6_BS);
    m->cpu.system.pending_debug = 0;
    assert_int_equal(RUN(m, REPE, STOSB), OK);
    assert_int_equal(m->cpu.state.pc, CODE_AT + 2);
    assert_int_equal(m->cpu.system.pending_debug, X86_DR6_BS);
}

/* A breakpoint on data stops behind its element; one at the instruction counts once. */
static void breakpoints_stop_it(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 0);

    (void)state;
    m->cpu.system.dr7 = X86_DR7_ONES | 1 << 16 | 1 | 1 << 2;
    m->cpu.system.dr[0] = 0x50010;
    m->cpu.system.dr[1] = CODE_AT;
    x86_update_mode(&m->cpu);
    m->cpu.state.reg[X86_RDI] = 0x50000;
    m->cpu.state.reg[X86_RCX] = 100;
    assert_true(x86_debug_execute(&m->cpu, CODE_AT, &m->fault));
    assert_int_equal(RUN(m, REPE, STOSB), OK);
    assert_int_equal(m->cpu.state.reg[X86_RCX], 100 - 17);
    assert_int_equal(m->cpu.state.pc, CODE_AT);
    assert_int_equal(m->cpu.system.pending_debug, 1);
    assert_false(x86_debug_execute(&m->cpu, CODE_AT, &m->fault));
    m->cpu.system.pending_debug = 0;
    assert_int_equal(RUN(m, REPE, STOSB), OK);
    assert_int_equal(m->cpu.state.pc, CODE_AT + 2);
    assert_false(m->cpu.system_flags & X86_FLAG_RF);
}

static void alignment_is_checked(void **state)
{
    struct machine *m = machine_open(LONG64, 3);

    (void)state;
    m->cpu.system.cr0 |= X86_CR0_AM;
    m->cpu.system_flags |= X86_FLAG_AC;
    x86_update_mode(&m->cpu);
    m->cpu.state.reg[X86_RDI] = 0x50001;
    m->cpu.state.reg[X86_RCX] = 2;
    assert_int_equal(RUN(m, REPE, STOS), AC);
    assert_int_equal(m->cpu.state.reg[X86_RCX], 2);
    assert_int_equal(RUN(m, REPE, STOSB), OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_those_of_the_cpu),
        cmocka_unit_test(faults_leave_whole_elements_done),
        cmocka_unit_test(flags_are_of_the_last_element_done),
        cmocka_unit_test(a_single_one_that_faults_changes_nothing),
        cmocka_unit_test(limits_are_kept_and_overrides_count),
        cmocka_unit_test(addresses_wrap),
        cmocka_unit_test(gs_has_its_base),
        cmocka_unit_test(device_memory_is_read_by_elements),
        cmocka_unit_test(long_ones_are_done_in_parts),
        cmocka_unit_test(each_element_is_a_step),
        cmocka_unit_test(breakpoints_stop_it),
        cmocka_unit_test(alignment_is_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
