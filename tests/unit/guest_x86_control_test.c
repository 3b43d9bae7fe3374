/* SPDX-License-Identifier: MIT
 *
 * Control and debug registers, modes, MSRs, time, fast system calls (SDM vol. 2 and 3). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "guest/x86/rows.h"
#include "x86_machine.h"

enum { OK = -1, DB = 1, UD = 6, NM = 7, GP = 13 };

static int to_cr(struct machine *m, unsigned number, uint64_t value)
{
    m->cpu.state.reg[X86_RAX] = value;
    return number == 8 ? RUN(m, 0x44, 0x0f, 0x22, 0xc0)
                       : RUN(m, 0x0f, 0x22, (uint8_t)(0xc0 | number << 3));
}

static int to_dr(struct machine *m, unsigned number, uint64_t value)
{
    m->cpu.state.reg[X86_RAX] = value;
    return RUN(m, 0x0f, 0x23, (uint8_t)(0xc0 | number << 3));
}

static int write_msr(struct machine *m, uint32_t number, uint64_t value)
{
    m->cpu.state.reg[X86_RCX] = number;
    m->cpu.state.reg[X86_RAX] = (uint32_t)value;
    m->cpu.state.reg[X86_RDX] = value >> 32;
    return RUN(m, 0x0f, 0x30);
}

static int read_msr(struct machine *m, uint32_t number, uint64_t *value)
{
    int vector;

    m->cpu.state.reg[X86_RCX] = number;
    vector = RUN(m, 0x0f, 0x32);
    *value = m->cpu.state.reg[X86_RDX] << 32 | m->cpu.state.reg[X86_RAX];
    return vector;
}

/* --- control registers */

static void cr0_is_checked(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 0);

    (void)state;
    assert_int_equal(to_cr(m, 0, X86_CR0_PG), GP);              /* PG without PE */
    assert_int_equal(to_cr(m, 0, X86_CR0_PE | X86_CR0_NW), GP); /* NW without CD */
    assert_int_equal(to_cr(m, 0, 0x1fffffe0 | X86_CR0_PE), OK); /* reserved bits stay 0 */
    assert_int_equal(m->cpu.system.cr0,
                     X86_CR0_PE | X86_CR0_ET | X86_CR0_NE | X86_CR0_WP | X86_CR0_AM);
    assert_int_equal(to_cr(m, 0, X86_CR0_ET), OK);
    assert_int_equal(x86_real(&m->cpu), true);
    assert_int_equal(x86_code_mode(&m->cpu), X86_MODE_32); /* until CS is loaded */
    m = machine_open(PROTECTED32, 3);
    assert_int_equal(to_cr(m, 0, X86_CR0_PE), GP);
    m = machine_open(LONG64, 0);
    assert_int_equal(to_cr(m, 0, m->cpu.system.cr0 | UINT64_C(1) << 32), GP);
    assert_int_equal(to_cr(m, 0, m->cpu.system.cr0 & ~X86_CR0_PG), GP); /* from 64-bit code */
}

static void long_mode_is_entered_step_by_step(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 0);
    uint64_t pg;

    (void)state;
    assert_int_equal(write_msr(m, 0xc0000080, X86_EFER_LME | X86_EFER_SCE), OK);
    assert_int_equal(x86_long(&m->cpu), false);
    pg = m->cpu.system.cr0 | X86_CR0_PG;
    assert_int_equal(to_cr(m, 0, pg), GP); /* without PAE */
    assert_int_equal(to_cr(m, 4, X86_CR4_PAE), OK);
    m->cpu.system.efer |= X86_EFER_LME;
    paging_on(m, true);
    m->cpu.system.cr0 &= ~X86_CR0_PG;
    m->cpu.system.efer &= ~(uint64_t)X86_EFER_LMA;
    x86_update_mode(&m->cpu);
    assert_int_equal(to_cr(m, 0, pg), OK);
    assert_true(m->cpu.system.efer & X86_EFER_LMA);
    assert_true(m->cpu.system.mode & X86_MODE_LMA);
    assert_int_equal(x86_code_mode(&m->cpu), X86_MODE_32);
    assert_int_equal(to_cr(m, 4, 0), GP);                         /* PAE stays */
    assert_int_equal(write_msr(m, 0xc0000080, X86_EFER_SCE), GP); /* and LME */
    assert_int_equal(RUN(m, 0xea, 0x00, 0x80, 0, 0, CODE0_64, 0), OK);
    assert_int_equal(x86_code_mode(&m->cpu), X86_MODE_64);
    assert_int_equal(m->cpu.system.mode & X86_MODE_CODE, X86_MODE_64);
    /* and left again, through compatibility mode */
    m->cpu.state.reg[X86_RBX] = DATA_AT;
    poke32(m, DATA_AT, 0x8000);
    poke32(m, DATA_AT + 4, CODE0_32);
    assert_int_equal(RUN(m, 0xff, 0x2b), OK);
    assert_int_equal(to_cr(m, 0, pg & ~X86_CR0_PG), OK);
    assert_false(m->cpu.system.efer & X86_EFER_LMA);
}

static void cr3_and_cr4_are_checked(void **state)
{
    struct machine *m = machine_open(LONG64, 0);

    (void)state;
    assert_int_equal(to_cr(m, 3, UINT64_C(1) << 60), GP);
    assert_int_equal(to_cr(m, 3, UINT64_C(1) << 63 | TABLES_AT), GP); /* without PCIDE */
    m->flushes = 0;
    assert_int_equal(to_cr(m, 3, TABLES_AT), OK);
    assert_int_equal(m->flushes, 1);
    assert_int_equal(m->flushed, CPU_FLUSH_SPACE);
    assert_int_equal(to_cr(m, 4, m->cpu.system.cr4 | 1 << 12), GP); /* LA57: there is none */
    assert_int_equal(to_cr(m, 4, m->cpu.system.cr4 | X86_CR4_PCIDE), OK);
    assert_int_equal(to_cr(m, 3, UINT64_C(1) << 63 | TABLES_AT | 5), OK);
    assert_int_equal(m->cpu.system.cr3, TABLES_AT | 5);
    assert_int_equal(m->flushes, 2); /* of CR4; bit 63 kept the rest */
    assert_int_equal(to_cr(m, 4, m->cpu.system.cr4 & ~(uint64_t)X86_CR4_PCIDE), OK);
    assert_int_equal(to_cr(m, 4, m->cpu.system.cr4 | X86_CR4_PCIDE), GP); /* PCID is not 0 */
    x86_feature_set(&m->model.features, X86_FEATURE_SMEP, false);
    assert_int_equal(to_cr(m, 4, m->cpu.system.cr4 | X86_CR4_SMEP), GP);
    x86_feature_set(&m->model.features, X86_FEATURE_SMEP, true);
    assert_int_equal(to_cr(m, 4, m->cpu.system.cr4 | X86_CR4_SMEP), OK);
    assert_int_equal(m->flushed, CPU_FLUSH_RIGHTS);
    m = machine_open(PROTECTED32, 0);
    paging_on(m, true);
    poke64(m, TABLES_AT + 0x1000, 0x1e7);
    assert_int_equal(to_cr(m, 3, m->cpu.system.cr3), GP); /* reserved bits in a PDPTE */
}

static void cr8_is_the_apics(void **state)
{
    struct machine *m = machine_open(LONG64, 0);

    (void)state;
    assert_int_equal(to_cr(m, 8, 9), OK);
    assert_int_equal(m->tpr, 9);
    assert_int_equal(to_cr(m, 8, 16), GP);
    assert_int_equal(RUN(m, 0x44, 0x0f, 0x20, 0xc3), OK); /* MOV RBX, CR8 */
    assert_int_equal(m->cpu.state.reg[X86_RBX], 9);
    assert_int_equal(RUN(m, 0x0f, 0x22, 0xc8), UD); /* CR1 */
}

static void status_word(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 0);

    (void)state;
    m->cpu.state.reg[X86_RAX] = 0xfffe;
    assert_int_equal(RUN(m, 0x0f, 0x01, 0xf0), OK); /* LMSW: PE stays */
    assert_int_equal(m->cpu.system.cr0 & 0xffff, 0x3f);
    assert_int_equal(RUN(m, 0x0f, 0x06), OK);
    assert_false(m->cpu.system.cr0 & X86_CR0_TS);
    assert_int_equal(RUN(m, 0x0f, 0x01, 0xe3), OK); /* SMSW EBX */
    assert_int_equal(m->cpu.state.reg[X86_RBX], m->cpu.system.cr0);
    m = machine_open(PROTECTED32, 3);
    assert_int_equal(RUN(m, 0x0f, 0x06), GP);
    assert_int_equal(RUN(m, 0x0f, 0x01, 0xf0), GP);
    assert_int_equal(RUN(m, 0x0f, 0x09), GP);
}

static void debug_registers_are_guarded(void **state)
{
    struct machine *m = machine_open(LONG64, 0);

    (void)state;
    assert_int_equal(to_dr(m, 7, UINT64_C(1) << 32), GP);
    assert_int_equal(to_dr(m, 6, 0xffffffff), OK);
    assert_int_equal(m->cpu.system.dr6, 0xffffeff0 | 15);
    assert_int_equal(to_dr(m, 4, 0), OK); /* DR6 */
    assert_int_equal(m->cpu.system.dr6, X86_DR6_ONES);
    m->cpu.system.cr4 |= X86_CR4_DE;
    assert_int_equal(to_dr(m, 4, 0), UD);
    assert_int_equal(to_dr(m, 7, X86_DR7_GD), OK);
    assert_int_equal(RUN(m, 0x0f, 0x21, 0xc0), DB);
    assert_int_equal(m->fault.address, X86_DR6_BD);
    x86_raise(&m->cpu, &m->fault);
    assert_false(m->cpu.system.dr7 & X86_DR7_GD);
    assert_true(m->cpu.system.dr6 & X86_DR6_BD);
    m = machine_open(PROTECTED32, 3);
    assert_int_equal(to_dr(m, 0, 0), GP);
}

static void invalidations_reach_the_bus(void **state)
{
    struct machine *m = machine_open(LONG64, 0);

    (void)state;
    m->cpu.state.reg[X86_RBX] = 0x12345678;
    assert_int_equal(RUN(m, 0x0f, 0x01, 0x3b), OK);
    assert_int_equal(m->flushed, CPU_FLUSH_PAGE);
    assert_int_equal(m->flushed_address, 0x12345678);
    m->cpu.state.reg[X86_RBX] = DATA_AT;
    poke64(m, DATA_AT, 7);
    poke64(m, DATA_AT + 8, 0x5000);
    m->cpu.state.reg[X86_RAX] = 0;
    assert_int_equal(RUN(m, 0x66, 0x0f, 0x38, 0x82, 0x03), GP); /* PCID 7 without PCIDE */
    m->cpu.system.cr4 |= X86_CR4_PCIDE;
    assert_int_equal(RUN(m, 0x66, 0x0f, 0x38, 0x82, 0x03), OK);
    assert_int_equal(m->flushed_pcid, 7);
    assert_int_equal(m->flushed_address, 0x5000);
    m->cpu.state.reg[X86_RAX] = 2;
    assert_int_equal(RUN(m, 0x66, 0x0f, 0x38, 0x82, 0x03), OK);
    assert_int_equal(m->flushed, CPU_FLUSH_ALL);
    m->cpu.state.reg[X86_RAX] = 4;
    assert_int_equal(RUN(m, 0x66, 0x0f, 0x38, 0x82, 0x03), GP);
    poke64(m, DATA_AT, 0x1000);
    m->cpu.state.reg[X86_RAX] = 1;
    assert_int_equal(RUN(m, 0x66, 0x0f, 0x38, 0x82, 0x03), GP);
}

/* --- MSRs */

static const struct msr_row {
    uint32_t number;
    uint64_t value;
    bool ok;
} msr_rows[] = {
    {0x174, 0x10, true},
    {0x175, UINT64_C(1) << 47, false},
    {0x176, UINT64_C(0xffff800000000000), true},
    {0x1b, 0xfee00900, true},
    {0x277, UINT64_C(0x0007040600070406), true},
    {0x277, 2, false},
    {0x277, 3, false},
    {0x277, 7, true},
    {0x2ff, 0xc06, true},
    {0x2ff, 0xc02, false},
    {0x2ff, 0x100, false},
    {0x200, 0x80000006, true},
    {0x200, 0x80000002, false},
    {0x201, UINT64_C(0xffff80000800), true},
    {0x201, 0x400, false},
    {0x210, 0, false},
    {0x250, UINT64_C(0x0606060606060606), true},
    {0x250, UINT64_C(0x0206060606060606), false},
    {0x26f, 0, true},
    {0xfe, 0, false},
    {0x400, UINT64_MAX, true},
    {0x401, 0, true},
    {0x401, 1, false},
    {0xc0000080, X86_EFER_SCE, true},
    {0xc0000080, 1 << 1, false},
    {0xc0000081, UINT64_MAX, true},
    {0xc0000082, UINT64_C(1) << 48, false},
    {0xc0000084, UINT64_C(1) << 32, false},
    {0xc0000100, UINT64_C(0x7fffffffffff), true},
    {0xc0000101, UINT64_C(0x800000000000), false},
    {0xc0000103, 0x1234, true},
    {0x6e0, 5, true},
    {0x808, 0x20, true},
    {0x8ff, 0, false},
    {0x12345, 0, false},
    {0xc0010010, 0, false}, /* AMD's */
};

static void msrs_are_checked(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof msr_rows / sizeof *msr_rows; i++) {
        struct machine *m = machine_open(PROTECTED32, 0);
        uint64_t value;
        int got = write_msr(m, msr_rows[i].number, msr_rows[i].value);

        if ((got == OK) != msr_rows[i].ok)
            fail_msg("MSR %x: %d", msr_rows[i].number, got);
        if (got == OK) {
            assert_int_equal(read_msr(m, msr_rows[i].number, &value), OK);
            if (msr_rows[i].number != 0x1b)
                assert_int_equal(value, msr_rows[i].value);
        } else {
            assert_int_equal(got, GP);
            assert_int_equal(m->fault.error, 0);
        }
    }
}

static void msrs_belong_to_models_and_the_system(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 3);
    uint64_t value;

    (void)state;
    assert_int_equal(read_msr(m, 0x10, &value), GP);
    assert_int_equal(write_msr(m, 0x174, 0), GP);
    m = machine_open(PROTECTED32, 0);
    assert_int_equal(read_msr(m, 0x999, &value), GP);
    assert_int_equal(read_msr(m, 0x17, &value), OK);
    snprintf(m->model.vendor, sizeof m->model.vendor, "AuthenticAMD");
    assert_int_equal(read_msr(m, 0x17, &value), GP);
    assert_int_equal(read_msr(m, 0xc0010010, &value), OK);
    snprintf(m->model.vendor, sizeof m->model.vendor, "GenuineIntel");
    x86_feature_set(&m->model.features, X86_FEATURE_MTRR, false);
    assert_int_equal(read_msr(m, 0xfe, &value), GP);
    x86_feature_set(&m->model.features, X86_FEATURE_MTRR, true);
    assert_string_equal(x86_msr_name(0x205), "MTRR_PHYS");
    assert_null(x86_msr_name(0x999));
}

static void bases_are_the_hidden_ones(void **state)
{
    struct machine *m = machine_open(LONG64, 0);

    (void)state;
    assert_int_equal(write_msr(m, 0xc0000101, 0x1111000), OK);
    assert_int_equal(m->cpu.system.segment[NATIVE_GS].base, 0x1111000);
    assert_int_equal(m->cpu.state.other_base, 0x1111000);
    assert_false(m->cpu.system.mode >> (X86_MODE_FLAT_SHIFT + NATIVE_GS) & 1);
    assert_int_equal(write_msr(m, 0xc0000102, 0x2222000), OK);
    assert_int_equal(RUN(m, 0x0f, 0x01, 0xf8), OK); /* SWAPGS */
    assert_int_equal(m->cpu.state.other_base, 0x2222000);
    assert_int_equal(m->cpu.system.msr.kernel_gs_base, 0x1111000);
    assert_int_equal(RUN(m, 0xf3, 0x48, 0x0f, 0xae, 0xc8), UD); /* RDGSBASE without FSGSBASE */
    m->cpu.system.cr4 |= X86_CR4_FSGSBASE;
    assert_int_equal(RUN(m, 0xf3, 0x48, 0x0f, 0xae, 0xc8), OK);
    assert_int_equal(m->cpu.state.reg[X86_RAX], 0x2222000);
    m = machine_open(LONG64, 3);
    assert_int_equal(RUN(m, 0x0f, 0x01, 0xf8), GP);
}

static void time_can_be_moved(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 0);
    uint64_t value;

    (void)state;
    m->ticks += 500;
    assert_int_equal(RUN(m, 0x0f, 0x31), OK);
    assert_int_equal(m->cpu.state.reg[X86_RAX], 500);
    assert_int_equal(write_msr(m, 0x10, 10000), OK);
    assert_int_equal(x86_tsc(&m->cpu), 10000);
    assert_int_equal(read_msr(m, 0x3b, &value), OK);
    assert_int_equal(value, 9500);
    assert_int_equal(write_msr(m, 0x3b, 0), OK);
    assert_int_equal(x86_tsc(&m->cpu), 500);
    m->cpu.system.msr.tsc_aux = 77;
    assert_int_equal(RUN(m, 0x0f, 0x01, 0xf9), OK); /* RDTSCP */
    assert_int_equal(m->cpu.state.reg[X86_RCX], 77);
    m = machine_open(PROTECTED32, 3);
    assert_int_equal(RUN(m, 0x0f, 0x31), OK);
    m->cpu.system.cr4 |= X86_CR4_TSD;
    assert_int_equal(RUN(m, 0x0f, 0x31), GP);
    assert_int_equal(RUN(m, 0x0f, 0x01, 0xf9), GP);
    assert_int_equal(RUN(m, 0x0f, 0x33), GP); /* RDPMC */
}

static void xcr0_and_keys(void **state)
{
    static const struct {
        uint32_t ecx, eax;
        int vector;
    } rows[] = {{0, 7, OK}, {0, 3, OK}, {0, 1, OK}, {0, 2, GP},
                {0, 5, GP}, {0, 0, GP}, {1, 7, GP}, {0, 15, GP}};
    struct machine *m = machine_open(LONG64, 0);

    (void)state;
    m->cpu.state.reg[X86_RDX] = 0;
    m->cpu.state.reg[X86_RAX] = 7;
    assert_int_equal(RUN(m, 0x0f, 0x01, 0xd1), UD);
    m->cpu.system.cr4 |= X86_CR4_OSXSAVE;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        m->cpu.state.reg[X86_RAX] = rows[i].eax;
        m->cpu.state.reg[X86_RCX] = rows[i].ecx;
        assert_int_equal(RUN(m, 0x0f, 0x01, 0xd1), rows[i].vector);
        if (rows[i].vector == OK) {
            assert_int_equal(m->cpu.xcr0, rows[i].eax);
            assert_int_equal(m->cpu.system.mode >> X86_MODE_XCR0_SHIFT & 3, rows[i].eax == 7   ? 2
                                                                            : rows[i].eax == 3 ? 1
                                                                                               : 0);
        }
    }
    m->cpu.state.reg[X86_RCX] = 0;
    assert_int_equal(RUN(m, 0x0f, 0x01, 0xef), UD); /* WRPKRU */
    m->cpu.system.cr4 |= X86_CR4_PKE;
    m->cpu.state.reg[X86_RAX] = 0x55;
    assert_int_equal(RUN(m, 0x0f, 0x01, 0xef), OK);
    assert_int_equal(m->cpu.system.pkru, 0x55);
    assert_int_equal(m->flushed, CPU_FLUSH_RIGHTS);
    m->cpu.state.reg[X86_RDX] = 1;
    assert_int_equal(RUN(m, 0x0f, 0x01, 0xef), GP);
}

/* The helpers of all modes reach memory through pages and segments. */
static void xsave_works_in_system_mode(void **state)
{
    struct machine *m = machine_open(LONG64, 3);

    (void)state;
    m->cpu.state.reg[X86_RBX] = DATA_AT;
    m->cpu.state.reg[X86_RAX] = 3;
    assert_int_equal(RUN(m, 0x0f, 0xae, 0x23), UD); /* XSAVE without OSXSAVE */
    m->cpu.system.cr4 |= X86_CR4_OSXSAVE;
    m->cpu.xcr0 = 7;
    assert_int_equal(RUN(m, 0x0f, 0xae, 0x23), OK);
    assert_int_equal(peek16(m, DATA_AT), 0x40); /* FCW after reset */
    assert_int_equal(peek32(m, DATA_AT + 24), 0x1f80);
    *page_entry(m, DATA_AT) &= ~UINT64_C(2);
    assert_int_equal(RUN(m, 0x0f, 0xae, 0x23), 14);
    assert_int_equal(m->fault.error, 7);
    m->cpu.system.cr0 |= X86_CR0_TS;
    assert_int_equal(RUN(m, 0x0f, 0xae, 0x23), NM);
    m = machine_open(PROTECTED32, 0);
    m->cpu.system.segment[NATIVE_DS].limit = DATA_AT + 100;
    m->cpu.state.reg[X86_RBX] = DATA_AT;
    assert_int_equal(RUN(m, 0x0f, 0xae, 0x03), GP); /* FXSAVE */
    m->cpu.system.segment[NATIVE_DS].limit = UINT32_MAX;
    assert_int_equal(RUN(m, 0x0f, 0xae, 0x03), OK);
}

/* --- fast system calls */

static void syscall_and_sysret(void **state)
{
    struct machine *m = machine_open(LONG64, 3);

    (void)state;
    m->cpu.system.msr.star = UINT64_C(0x0033003800000000);
    m->cpu.system.msr.lstar = UINT64_C(0xffffff8000001000);
    m->cpu.system.msr.sfmask = X86_FLAG_IF | X86_FLAG_TF;
    m->cpu.system_flags |= X86_FLAG_IF;
    assert_int_equal(RUN(m, 0x0f, 0x05), OK);
    assert_int_equal(m->cpu.state.pc, m->cpu.system.msr.lstar);
    assert_int_equal(m->cpu.state.reg[X86_RCX], CODE_AT + 2);
    assert_int_equal(m->cpu.state.reg[X86_R11], 0x202);
    assert_int_equal(m->cpu.system.cpl, 0);
    assert_int_equal(m->cpu.segment[NATIVE_CS], 0x38);
    assert_int_equal(m->cpu.segment[NATIVE_SS], 0x40);
    assert_int_equal(m->cpu.system.segment[NATIVE_CS].attributes, 0xaf9b00);
    assert_int_equal(m->cpu.system.segment[NATIVE_SS].attributes, 0xcf9300);
    assert_false(m->cpu.system_flags & X86_FLAG_IF);
    assert_int_equal(RUN(m, 0x48, 0x0f, 0x07), OK);
    assert_int_equal(m->cpu.state.pc, CODE_AT + 2);
    assert_int_equal(m->cpu.segment[NATIVE_CS], 0x43);
    assert_int_equal(m->cpu.segment[NATIVE_SS], 0x3b);
    assert_int_equal(m->cpu.system.cpl, 3);
    assert_true(m->cpu.system_flags & X86_FLAG_IF);
    assert_int_equal(RUN(m, 0x48, 0x0f, 0x07), GP); /* SYSRET at CPL 3 */
    m->cpu.system.efer &= ~(uint64_t)X86_EFER_SCE;
    assert_int_equal(RUN(m, 0x0f, 0x05), UD);
    m = machine_open(LONG64, 0);
    m->cpu.state.reg[X86_RCX] = UINT64_C(1) << 47;
    assert_int_equal(RUN(m, 0x48, 0x0f, 0x07), GP);
    assert_int_equal(RUN(m, 0x0f, 0x07), OK); /* to 32-bit code */
    assert_int_equal(x86_code_mode(&m->cpu), X86_MODE_32);
    assert_int_equal(RUN(m, 0x0f, 0x05), UD); /* Intel's there */
}

static void sysenter_and_sysexit(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 3);

    (void)state;
    assert_int_equal(RUN(m, 0x0f, 0x34), GP);
    m->cpu.system.msr.sysenter_cs = CODE0_32;
    m->cpu.system.msr.sysenter_esp = STACK_END;
    m->cpu.system.msr.sysenter_eip = 0x6000;
    m->cpu.system_flags |= X86_FLAG_IF;
    assert_int_equal(RUN(m, 0x0f, 0x34), OK);
    assert_int_equal(m->cpu.state.pc, 0x6000);
    assert_int_equal(m->cpu.state.reg[X86_RSP], STACK_END);
    assert_int_equal(m->cpu.segment[NATIVE_SS], CODE0_32 + 8);
    assert_false(m->cpu.system_flags & X86_FLAG_IF);
    m->cpu.state.reg[X86_RDX] = 0x7000;
    m->cpu.state.reg[X86_RCX] = USER_STACK_END;
    assert_int_equal(RUN(m, 0x0f, 0x35), OK);
    assert_int_equal(m->cpu.state.pc, 0x7000);
    assert_int_equal(m->cpu.segment[NATIVE_CS], CODE0_32 + 16 + 3);
    assert_int_equal(m->cpu.system.cpl, 3);
    assert_int_equal(RUN(m, 0x0f, 0x35), GP);
    m = machine_open(REAL, 0);
    assert_int_equal(RUN(m, 0x0f, 0x34), GP);
    m = machine_open(LONG64, 0);
    m->cpu.system.msr.sysenter_cs = CODE0_32;
    m->cpu.state.reg[X86_RCX] = UINT64_C(1) << 50;
    assert_int_equal(RUN(m, 0x48, 0x0f, 0x35), GP);
    m->cpu.state.reg[X86_RCX] = 0x1000;
    assert_int_equal(RUN(m, 0x48, 0x0f, 0x35), OK);
    assert_int_equal(m->cpu.segment[NATIVE_CS], CODE0_32 + 32 + 3);
    assert_int_equal(x86_code_mode(&m->cpu), X86_MODE_64);
}

/* --- reset */

static void reset_is_table_10_1(void **state)
{
    struct machine *m = machine_open(LONG64, 3);

    (void)state;
    x86_system_reset(&m->cpu, &m->model, &m->bus, 0);
    assert_int_equal(m->cpu.system.cr0, 0x60000010);
    assert_int_equal(x86_get_rflags(&m->cpu), 2);
    assert_int_equal(m->cpu.state.pc, 0xfff0);
    assert_int_equal(m->cpu.system.segment[NATIVE_CS].base, 0xffff0000);
    assert_int_equal(m->cpu.segment[NATIVE_CS], 0xf000);
    assert_int_equal(m->cpu.system.dr6, 0xffff0ff0);
    assert_int_equal(m->cpu.system.dr7, 0x400);
    assert_int_equal(m->cpu.system.cpl, 0);
    assert_int_equal(x86_code_mode(&m->cpu), X86_MODE_16);
    m->cpu.system.msr.pat = 7;
    m->cpu.xcr0 = 7;
    m->cpu.system.cr0 = X86_CR0_CD | X86_CR0_PE;
    x86_system_init(&m->cpu);
    assert_int_equal(m->cpu.system.cr0, X86_CR0_CD | X86_CR0_ET);
    assert_int_equal(m->cpu.system.msr.pat, 7);
    assert_int_equal(m->cpu.xcr0, 7);
}

/* --- all that is not native */

/* Every row that only the system, or only C, executes has its helper; XSAVES is not offered. */
static void every_row_has_its_helper(void **state)
{
    static const uint8_t lowerings[] = {
        X86_LOWER_FAR,     X86_LOWER_IRET,   X86_LOWER_SYSCALL,  X86_LOWER_SYSENTER,
        X86_LOWER_INT,     X86_LOWER_INT3,   X86_LOWER_CPUID,    X86_LOWER_XGETBV,
        X86_LOWER_XSAVE,   X86_LOWER_XRSTOR, X86_LOWER_FXSAVE,   X86_LOWER_FNSTENV,
        X86_LOWER_PUSHF,   X86_LOWER_POPF,   X86_LOWER_RANDOM,   X86_LOWER_MOV_TO_SEG,
        X86_LOWER_MOV_SEG, X86_LOWER_RDTSC,  X86_LOWER_SEG_BASE, X86_LOWER_PRIVILEGED};
    const struct x86_row *rows;
    unsigned count, seen = 0;

    (void)state;
    rows = x86_rows(&count);
    for (unsigned i = 0; i < count; i++) {
        struct x86_insn insn = {.lowering = rows[i].lowering, .row = &rows[i]};

        if (!memchr(lowerings, rows[i].lowering, sizeof lowerings) ||
            rows[i].feature == X86_FEATURE_XSAVES)
            continue;
        insn.native.map = rows[i].table;
        insn.native.opcode = rows[i].opcode;
        insn.native.reg = rows[i].match >> 3 & 7;
        insn.native.rm = rows[i].match & 7;
        if (!x86_executes(&insn))
            fail_msg("nobody executes %s", rows[i].mnemonic);
        seen++;
    }
    assert_true(seen > 80);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cr0_is_checked),
        cmocka_unit_test(long_mode_is_entered_step_by_step),
        cmocka_unit_test(cr3_and_cr4_are_checked),
        cmocka_unit_test(cr8_is_the_apics),
        cmocka_unit_test(status_word),
        cmocka_unit_test(debug_registers_are_guarded),
        cmocka_unit_test(invalidations_reach_the_bus),
        cmocka_unit_test(msrs_are_checked),
        cmocka_unit_test(msrs_belong_to_models_and_the_system),
        cmocka_unit_test(bases_are_the_hidden_ones),
        cmocka_unit_test(time_can_be_moved),
        cmocka_unit_test(xcr0_and_keys),
        cmocka_unit_test(xsave_works_in_system_mode),
        cmocka_unit_test(syscall_and_sysret),
        cmocka_unit_test(sysenter_and_sysexit),
        cmocka_unit_test(reset_is_table_10_1),
        cmocka_unit_test(every_row_has_its_helper),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
