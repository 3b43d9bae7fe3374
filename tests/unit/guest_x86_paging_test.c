/* SPDX-License-Identifier: MIT
 *
 * Walks of page tables: rights of each view, error codes, A and D, page sizes, reserved bits (SDM
 * vol. 3, chapter 4). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "x86_machine.h"

enum { P = 1, W = 2, U = 4, A = 32, D = 64, LARGE = 128, G = 256 };
enum { READ = X86_ACCESS_READ, WRITE = X86_ACCESS_WRITE, EXECUTE = X86_ACCESS_EXECUTE };
enum { IMPLICIT = X86_ACCESS_IMPLICIT };
#define XD     (UINT64_C(1) << 63)
#define KEY(n) ((uint64_t)(n) << 59)

enum { PAGE = 0xc000 };

/* The error code of an access, or -1. */
static int attempt(struct machine *m, uint64_t linear, unsigned access, struct x86_walk *walk)
{
    if (x86_walk(&m->cpu, linear, access, walk, &m->fault))
        return -1;
    assert_int_equal(m->fault.vector, X86_VECTOR_PF);
    assert_true(m->fault.has_error);
    assert_int_equal(m->fault.address, linear);
    return (int)m->fault.error;
}

/* An entry, registers, an access by a CPL, and the error code it gives. */
static const struct right {
    const char *what;
    uint64_t entry;
    uint32_t cr0_clear, cr4;
    uint32_t pkru;
    uint8_t cpl, access;
    bool ac;
    int error;
} rights[] = {
    {"present", P | W | U, 0, 0, 0, 3, READ, false, -1},
    {"absent, user read", W | U, 0, 0, 0, 3, READ, false, 4},
    {"absent, user write", 0, 0, 0, 0, 3, WRITE, false, 6},
    {"absent, supervisor write", 0, 0, 0, 0, 0, WRITE, false, 2},
    {"absent, user fetch", 0, 0, 0, 0, 3, EXECUTE, false, 4 + 16},
    {"supervisor page, user", P | W, 0, 0, 0, 3, READ, false, 5},
    {"supervisor page, user, implicit", P | W, 0, 0, 0, 3, READ | IMPLICIT, false, -1},
    {"read only, user write", P | U, 0, 0, 0, 3, WRITE, false, 7},
    {"read only, supervisor write", P | U, 0, 0, 0, 0, WRITE, false, 3},
    {"read only, supervisor write, WP off", P | U, X86_CR0_WP, 0, 0, 0, WRITE, false, -1},
    {"read only, user write, WP off", P | U, X86_CR0_WP, 0, 0, 3, WRITE, false, 7},
    {"no execute", P | W | U | XD, 0, 0, 0, 3, EXECUTE, false, 5 + 16},
    {"no execute, read", P | W | U | XD, 0, 0, 0, 3, READ, false, -1},
    {"SMEP", P | W | U, 0, X86_CR4_SMEP, 0, 0, EXECUTE, false, 1 + 16},
    {"SMEP, supervisor page", P | W, 0, X86_CR4_SMEP, 0, 0, EXECUTE, false, -1},
    {"SMEP, user", P | W | U, 0, X86_CR4_SMEP, 0, 3, EXECUTE, false, -1},
    {"SMAP", P | W | U, 0, X86_CR4_SMAP, 0, 0, READ, false, 1},
    {"SMAP, write", P | W | U, 0, X86_CR4_SMAP, 0, 0, WRITE, false, 3},
    {"SMAP, AC", P | W | U, 0, X86_CR4_SMAP, 0, 0, WRITE, true, -1},
    {"SMAP, AC, implicit", P | W | U, 0, X86_CR4_SMAP, 0, 0, READ | IMPLICIT, true, 1},
    {"SMAP, AC, implicit at CPL 3", P | W | U, 0, X86_CR4_SMAP, 0, 3, READ | IMPLICIT, true, 1},
    {"SMAP, fetch", P | W | U, 0, X86_CR4_SMAP, 0, 0, EXECUTE, false, -1},
    {"key, access disabled", P | W | U | KEY(5), 0, X86_CR4_PKE, 1 << 10, 3, READ, false, 5 + 32},
    {"key, supervisor", P | W | U | KEY(5), 0, X86_CR4_PKE, 1 << 10, 0, READ, false, 1 + 32},
    {"key, fetch", P | W | U | KEY(5), 0, X86_CR4_PKE, 1 << 10, 3, EXECUTE, false, -1},
    {"key, write disabled", P | W | U | KEY(5), 0, X86_CR4_PKE, 2 << 10, 3, WRITE, false, 7 + 32},
    {"key, write disabled, read", P | W | U | KEY(5), 0, X86_CR4_PKE, 2 << 10, 3, READ, false, -1},
    {"key, write disabled, WP off", P | W | U | KEY(5), X86_CR0_WP, X86_CR4_PKE, 2 << 10, 0, WRITE,
     false, -1},
    {"key, write disabled, WP", P | W | U | KEY(5), 0, X86_CR4_PKE, 2 << 10, 0, WRITE, false,
     3 + 32},
    {"key of another", P | W | U | KEY(4), 0, X86_CR4_PKE, 1 << 10, 3, READ, false, -1},
    {"key, supervisor page", P | W | KEY(5), 0, X86_CR4_PKE, 1 << 10, 0, READ, false, -1},
    {"key and read only", P | U | KEY(5), 0, X86_CR4_PKE, 1 << 10, 3, WRITE, false, 7 + 32},
    {"address bits beyond", P | W | U | UINT64_C(1) << 50, 0, 0, 0, 3, READ, false, 5 + 8},
};

static void rights_are_the_manuals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rights / sizeof *rights; i++) {
        const struct right *row = &rights[i];
        struct machine *m = machine_open(LONG64, 0);
        struct x86_walk walk;
        int error;

        m->cpu.system.efer |= X86_EFER_NXE;
        m->cpu.system.cr0 &= ~(uint64_t)row->cr0_clear;
        m->cpu.system.cr4 |= row->cr4;
        m->cpu.system.pkru = row->pkru;
        m->cpu.system.cpl = row->cpl;
        m->cpu.system_flags |= row->ac ? X86_FLAG_AC : 0;
        *page_entry(m, PAGE) = row->entry ? row->entry | PAGE : 0;
        error = attempt(m, PAGE + 0x123, row->access, &walk);
        if (error != row->error)
            fail_msg("%s: %d, expected %d", row->what, error, row->error);
        if (error < 0)
            assert_int_equal(walk.physical, PAGE + 0x123);
        else
            assert_int_equal(*page_entry(m, PAGE) & (A | D), 0);
    }
}

static void views_are_told(void **state)
{
    const unsigned r = X86_RIGHT_READ, w = X86_RIGHT_WRITE, x = X86_RIGHT_EXECUTE;
    struct machine *m = machine_open(LONG64, 0);
    struct x86_walk walk;

    (void)state;
    m->cpu.system.efer |= X86_EFER_NXE;
    m->cpu.system.cr4 |= X86_CR4_SMAP | X86_CR4_SMEP | X86_CR4_PGE;
    m->cpu.system_flags |= X86_FLAG_AC;
    *page_entry(m, PAGE) = PAGE | P | U | G | 0x98;
    assert_int_equal(attempt(m, PAGE, READ, &walk), -1);
    assert_int_equal(walk.rights[X86_VIEW_USER], r | x);
    assert_int_equal(walk.rights[X86_VIEW_SUPERVISOR], 0);
    assert_int_equal(walk.rights[X86_VIEW_SUPERVISOR_AC], r);
    assert_true(walk.global);
    assert_false(walk.dirty);
    assert_int_equal(walk.memory, 7);
    assert_int_equal(walk.page_size, 4096);
    *page_entry(m, PAGE) = PAGE | P | W | XD;
    assert_int_equal(attempt(m, PAGE, WRITE, &walk), -1);
    assert_int_equal(walk.rights[X86_VIEW_USER], 0);
    assert_int_equal(walk.rights[X86_VIEW_SUPERVISOR], r | w);
    assert_true(walk.dirty);
    assert_false(walk.global);
}

static void accessed_and_dirty_are_set(void **state)
{
    struct machine *m = machine_open(LONG64, 0);
    struct x86_walk walk;

    (void)state;
    assert_int_equal(peek64(m, TABLES_AT) & A, 0);
    assert_true(x86_look(&m->cpu, PAGE, &walk));
    assert_int_equal(*page_entry(m, PAGE) & A, 0);
    assert_int_equal(attempt(m, PAGE, READ, &walk), -1);
    assert_int_equal(*page_entry(m, PAGE) & (A | D), A);
    for (uint64_t at = TABLES_AT; at <= TABLES_AT + 0x2000; at += 0x1000)
        assert_int_equal(peek64(m, at) & (A | D), A);
    assert_false(walk.dirty);
    assert_int_equal(attempt(m, PAGE, WRITE, &walk), -1);
    assert_int_equal(*page_entry(m, PAGE) & (A | D), A | D);
    assert_int_equal(peek64(m, TABLES_AT + 0x2000) & D, 0);
}

/* What an upper level forbids stays forbidden. */
static void all_levels_count(void **state)
{
    struct machine *m = machine_open(LONG64, 3);
    struct x86_walk walk;

    (void)state;
    m->cpu.system.efer |= X86_EFER_NXE;
    for (uint64_t at = TABLES_AT; at <= TABLES_AT + 0x2000; at += 0x1000) {
        uint64_t entry = peek64(m, at);

        poke64(m, at, entry & ~(uint64_t)W);
        assert_int_equal(attempt(m, PAGE, WRITE, &walk), 7);
        poke64(m, at, entry & ~(uint64_t)U);
        assert_int_equal(attempt(m, PAGE, READ, &walk), 5);
        poke64(m, at, entry & ~(uint64_t)P);
        assert_int_equal(attempt(m, PAGE, READ, &walk), 4);
        poke64(m, at, entry | XD);
        assert_int_equal(attempt(m, PAGE, EXECUTE, &walk), 21);
        m->cpu.system.efer &= ~(uint64_t)X86_EFER_NXE;
        assert_int_equal(attempt(m, PAGE, READ, &walk), 13); /* then it is reserved */
        m->cpu.system.efer |= X86_EFER_NXE;
        poke64(m, at, entry);
        assert_int_equal(attempt(m, PAGE, READ, &walk), -1);
    }
}

static void large_pages(void **state)
{
    struct machine *m = machine_open(LONG64, 0);
    struct x86_walk walk;

    (void)state;
    poke64(m, TABLES_AT + 0x2008, 0x200000 | P | W | LARGE | 0x1000);
    assert_int_equal(attempt(m, 0x212345, WRITE, &walk), -1);
    assert_int_equal(walk.page_size, 2 << 20);
    assert_int_equal(walk.physical, 0x212345);
    assert_int_equal(walk.memory, 4); /* PAT is bit 12 */
    assert_int_equal(peek64(m, TABLES_AT + 0x2008) & (A | D), A | D);
    poke64(m, TABLES_AT + 0x2008, 0x202000 | P | W | LARGE);
    assert_int_equal(attempt(m, 0x212345, READ, &walk), 9);
    poke64(m, TABLES_AT + 0x1008, 0x40000000 | P | W | LARGE);
    assert_int_equal(attempt(m, 0x40000123, READ, &walk), -1);
    assert_int_equal(walk.page_size, 1 << 30);
    assert_int_equal(walk.physical, 0x40000123);
    poke64(m, TABLES_AT + 0x1008, 0x40002000 | P | W | LARGE);
    assert_int_equal(attempt(m, 0x40000123, READ, &walk), 9);
    x86_feature_set(&m->model.features, X86_FEATURE_PDPE1GB, false);
    poke64(m, TABLES_AT + 0x1008, 0x40000000 | P | W | LARGE);
    assert_int_equal(attempt(m, 0x40000123, READ, &walk), 9);
    x86_feature_set(&m->model.features, X86_FEATURE_PDPE1GB, true);
    poke64(m, TABLES_AT + 8, 0x21000 | P | LARGE);
    assert_int_equal(attempt(m, UINT64_C(1) << 39, READ, &walk), 9);
}

static void addresses_must_be_canonical(void **state)
{
    struct machine *m = machine_open(LONG64, 0);
    struct x86_walk walk;

    (void)state;
    assert_false(x86_walk(&m->cpu, UINT64_C(1) << 47, READ, &walk, &m->fault));
    assert_int_equal(m->fault.vector, X86_VECTOR_GP);
    assert_true(x86_walk(&m->cpu, 0xffffff8000000000 + PAGE, READ, &walk, &m->fault));
    assert_int_equal(walk.physical, PAGE);
}

static void two_levels_of_32_bits(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 0);
    struct x86_walk walk;
    uint32_t *entry;

    (void)state;
    paging_on(m, false);
    entry = (uint32_t *)(void *)page_entry(m, PAGE);
    assert_int_equal(attempt(m, PAGE + 5, WRITE, &walk), -1);
    assert_int_equal(walk.physical, PAGE + 5);
    assert_int_equal(*entry & (A | D), A | D);
    *entry = PAGE | P | U;
    assert_int_equal(attempt(m, PAGE, WRITE, &walk), 3);
    *entry = 0;
    m->cpu.system.cpl = 3;
    assert_int_equal(attempt(m, PAGE, EXECUTE, &walk), 4); /* no I/D: neither NXE nor SMEP */
    assert_int_equal(attempt(m, 0x800000, READ, &walk), 4);
    /* 4 MiB: only with PSE; bits 13 to 20 are 32 to 39 of the address */
    m->cpu.system.cpl = 0;
    poke32(m, TABLES_AT + 0x2004, 0x00400000 | P | W | LARGE | 3 << 13);
    m->cpu.system.cr4 |= X86_CR4_PSE;
    assert_int_equal(attempt(m, 0x412345, READ, &walk), -1);
    assert_int_equal(walk.physical, UINT64_C(0x300412345));
    assert_int_equal(walk.page_size, 4 << 20);
    poke32(m, TABLES_AT + 0x2004, 0x00600000 | P | W | LARGE);
    assert_int_equal(attempt(m, 0x412345, READ, &walk), 9);
}

static void pae_has_its_registers(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 0);
    struct x86_walk walk;
    uint64_t pdpte[4];

    (void)state;
    paging_on(m, true);
    assert_int_equal(attempt(m, PAGE, WRITE, &walk), -1);
    poke64(m, TABLES_AT + 0x1000, 0); /* the register counts */
    assert_int_equal(attempt(m, PAGE, WRITE, &walk), -1);
    assert_int_equal(attempt(m, 0x40000000, READ, &walk), 0);
    *page_entry(m, PAGE) = PAGE | P | W | UINT64_C(1) << 60;
    assert_int_equal(attempt(m, PAGE, READ, &walk), 9);
    *page_entry(m, PAGE) = PAGE | P | W | XD;
    assert_int_equal(attempt(m, PAGE, READ, &walk), 9);
    m->cpu.system.efer |= X86_EFER_NXE;
    assert_int_equal(attempt(m, PAGE, READ, &walk), -1);
    assert_int_equal(attempt(m, PAGE, EXECUTE, &walk), 17);
    poke64(m, TABLES_AT + 0x1000, (TABLES_AT + 0x2000) | P | W);
    assert_false(x86_load_pdptes(&m->cpu, m->cpu.system.cr3, pdpte));
    poke64(m, TABLES_AT + 0x1000, (TABLES_AT + 0x2000) | P | 1 << 4);
    assert_true(x86_load_pdptes(&m->cpu, m->cpu.system.cr3, pdpte));
}

static void a20_masks(void **state)
{
    struct machine *m = machine_open(REAL, 0);
    struct x86_walk walk;

    (void)state;
    assert_int_equal(attempt(m, 0x100010, READ, &walk), -1);
    assert_int_equal(walk.physical, 0x100010);
    x86_set_a20(&m->cpu, false);
    assert_int_equal(m->flushed, CPU_FLUSH_ALL);
    assert_int_equal(attempt(m, 0x100010, READ, &walk), -1);
    assert_int_equal(walk.physical, 0x10);
    assert_false(m->cpu.system.mode & X86_MODE_A20);
}

/* Both pages are asked before a byte changes, and the fault names the second. */
static void crossing_is_whole_or_not_at_all(void **state)
{
    struct machine *m = machine_open(LONG64, 3);
    uint64_t value = 0x1122334455667788, read = 0;

    (void)state;
    *page_entry(m, PAGE + 0x1000) = (PAGE + 0x1000) | P | U;
    assert_false(x86_linear_write(&m->cpu, PAGE + 0xffc, &value, 8, WRITE, &m->fault));
    assert_int_equal(m->fault.error, 7);
    assert_int_equal(m->fault.address, PAGE + 0x1000);
    assert_int_equal(peek32(m, PAGE + 0xffc), 0);
    assert_true(x86_linear_read(&m->cpu, PAGE + 0xffc, &read, 8, READ, &m->fault));
    *page_entry(m, PAGE + 0x1000) = 0x10000 | P | U | W;
    assert_true(x86_linear_write(&m->cpu, PAGE + 0xffc, &value, 8, WRITE, &m->fault));
    assert_int_equal(peek32(m, PAGE + 0xffc), 0x55667788);
    assert_int_equal(peek32(m, 0x10000), 0x11223344);
}

static void memory_that_is_no_ram_is_the_buss(void **state)
{
    struct machine *m = machine_open(PROTECTED32, 0);
    uint32_t value = 0;

    (void)state;
    assert_true(x86_linear_read(&m->cpu, MMIO_AT + 8, &value, 4, READ, &m->fault));
    assert_int_equal(value, MMIO_AT + 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rights_are_the_manuals),
        cmocka_unit_test(views_are_told),
        cmocka_unit_test(accessed_and_dirty_are_set),
        cmocka_unit_test(all_levels_count),
        cmocka_unit_test(large_pages),
        cmocka_unit_test(addresses_must_be_canonical),
        cmocka_unit_test(two_levels_of_32_bits),
        cmocka_unit_test(pae_has_its_registers),
        cmocka_unit_test(a20_masks),
        cmocka_unit_test(crossing_is_whole_or_not_at_all),
        cmocka_unit_test(memory_that_is_no_ram_is_the_buss),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
