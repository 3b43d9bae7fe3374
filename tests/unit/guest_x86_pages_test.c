/* SPDX-License-Identifier: MIT
 *
 * `info tlb` and `info mem` over page tables of all modes. What is expected is what QEMU 7.2 prints
 * for the same tables, with two differences: `info mem` has a fourth letter for execute, and so
 * more lines, and the physical addresses are those that the walk finds (no NX bit; bits 32 to 39 of
 * 4 MiB pages).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/strbuf.h"
#include "x86_machine.h"

#define NX (UINT64_C(1) << 63)

enum { MOST = 1 << 20 };

static void clear(struct machine *m)
{
    memset(m->ram + 0x10000, 0, 0x30000);
    m->cpu.system.cr0 |= X86_CR0_PE | X86_CR0_PG | X86_CR0_WP;
}

/* What the first 2 or 4 MiB are: pages of users, of the system, read only. */
static uint64_t low_page(unsigned i)
{
    return (uint64_t)i << 12 | (i < 8 ? 7u : i >= 16 && i < 32 ? 1u : 3u);
}

static struct machine *paging_32(void)
{
    struct machine *m = machine_open(PROTECTED32, 0);

    clear(m);
    m->cpu.system.cr4 = X86_CR4_PSE | X86_CR4_PGE;
    m->cpu.system.cr3 = 0x10000;
    poke32(m, 0x10000, 0x11007);
    poke32(m, 0x10004, 0x00400083);
    poke32(m, 0x10008, 0x00800187);
    poke32(m, 0x1000c, 0x12001);
    poke32(m, 0x10000 + 4 * 512, 0x014027e7);
    poke32(m, 0x10000 + 4 * 1023, 0x13003);
    for (unsigned i = 0; i < 1024; i++) {
        poke32(m, 0x11000 + 4 * i, (uint32_t)low_page(i) | (i >= 32 && i < 40 ? 0x18 : 0));
    }
    poke32(m, 0x12000, 0x5001);
    poke32(m, 0x12004, 0x6067);
    poke32(m, 0x13000 + 4 * 1023, 0xfffff003);
    return m;
}

static void low_table(struct machine *m, uint64_t at)
{
    for (unsigned i = 0; i < 512; i++) {
        poke64(m, at + 8 * i, low_page(i) | (i >= 300 ? NX : 0));
    }
}

static struct machine *paging_pae(void)
{
    struct machine *m = machine_open(PROTECTED32, 0);

    clear(m);
    m->cpu.system.cr4 = X86_CR4_PAE | X86_CR4_PGE;
    m->cpu.system.efer |= X86_EFER_NXE;
    m->cpu.system.cr3 = 0x20000;
    poke64(m, 0x20000, 0x21001);
    poke64(m, 0x20018, 0x22001);
    poke64(m, 0x21000, 0x23007);
    poke64(m, 0x21008, 0x200083);
    poke64(m, 0x21010, 0x400083 | NX);
    poke64(m, 0x21018, 0x600087 | NX);
    poke64(m, 0x22000 + 8 * 511, 0xffe00183);
    low_table(m, 0x23000);
    assert_true(x86_load_pdptes(&m->cpu, m->cpu.system.cr3, m->cpu.system.pdpte));
    return m;
}

static struct machine *paging_4(void)
{
    struct machine *m = machine_open(LONG64, 0);

    clear(m);
    m->cpu.system.efer |= X86_EFER_NXE;
    m->cpu.system.cr3 = 0x30000;
    x86_feature_set(&m->model.features, X86_FEATURE_PDPE1GB, true);
    poke64(m, 0x30000, 0x31007);
    poke64(m, 0x30000 + 8 * 256, 0x32003);
    poke64(m, 0x30000 + 8 * 511, 0x33007);
    poke64(m, 0x31000, 0x34007);
    poke64(m, 0x31008, 0x40000087);
    poke64(m, 0x31010, 0x80000083 | NX);
    poke64(m, 0x31018, 0xc0000083);
    poke64(m, 0x32000, 0x34003);
    poke64(m, 0x33000 + 8 * 510, 0x36007);
    poke64(m, 0x33000 + 8 * 511, 0x40000083);
    poke64(m, 0x34000, 0x35007);
    poke64(m, 0x34008, 0x200083);
    poke64(m, 0x34010, 0x400083 | NX);
    poke64(m, 0x34018, 0x600087 | NX);
    low_table(m, 0x35000);
    poke64(m, 0x36000, 0x35003 | NX);
    return m;
}

static char *mappings(struct machine *m, size_t most)
{
    struct strbuf text;

    strbuf_init(&text);
    x86_print_mappings(&m->cpu, most, &text);
    return strbuf_take(&text);
}

static char *pages(struct machine *m, size_t most)
{
    struct strbuf text;

    strbuf_init(&text);
    x86_print_pages(&m->cpu, most, &text);
    return strbuf_take(&text);
}

static void check_mappings(struct machine *m, const char *expected)
{
    char *text = mappings(m, MOST);
    assert_string_equal(text, expected);
    free(text);
}

/* Lines that are there, and how many there are. */
static void check_pages(struct machine *m, const char *const *lines, size_t count)
{
    char *text = pages(m, MOST);
    size_t found = 0;

    for (const char *at = text; *at; at++) {
        found += *at == '\n';
    }
    assert_int_equal(found, count);
    for (; *lines; lines++) {
        if (!strstr(text, *lines)) {
            fail_msg("%s is missing", *lines);
        }
    }
    free(text);
}

static void nothing_without_paging(void **state)
{
    (void)state;
    struct machine *m = machine_open(PROTECTED32, 0);

    check_mappings(m, "PG disabled\n");
    char *text = pages(m, MOST);
    assert_string_equal(text, "PG disabled\n");
    free(text);
}

static void two_levels(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "0000000000000000: 0000000000000000 -------UW\n",
        "000000000000f000: 000000000000f000 --------W\n",
        "0000000000010000: 0000000000010000 ---------\n",
        "0000000000020000: 0000000000020000 -----CT-W\n",
        "0000000000400000: 0000000000400000 --P-----W\n",
        "0000000000800000: 0000000000800000 -GP----UW\n",
        "0000000000c00000: 0000000000005000 ---------\n",
        "0000000000c01000: 0000000000006000 ---DA--UW\n", /* though the table is read only */
        "0000000080000000: 0000000101400000 -GPDA--UW\n",
        "00000000fffff000: 00000000fffff000 --------W\n",
        NULL,
    };
    struct machine *m = paging_32();

    check_mappings(m, "0000000000000000-0000000000008000 0000000000008000 urwx\n"
                      "0000000000008000-0000000000010000 0000000000008000 -rwx\n"
                      "0000000000010000-0000000000020000 0000000000010000 -r-x\n"
                      "0000000000020000-0000000000800000 00000000007e0000 -rwx\n"
                      "0000000000800000-0000000000c00000 0000000000400000 urwx\n"
                      "0000000000c00000-0000000000c02000 0000000000002000 -r-x\n"
                      "0000000080000000-0000000080400000 0000000000400000 urwx\n"
                      "00000000fffff000-0000000100000000 0000000000001000 -rwx\n");
    check_pages(m, lines, 1024 + 2 + 2 + 1 + 1);
}

/* Without PSE the bit that makes a page large is nothing: the entry is a table's. */
static void two_levels_without_large_pages(void **state)
{
    (void)state;
    struct machine *m = paging_32();

    m->cpu.system.cr4 = 0;
    poke32(m, 0x10004, 0x00013083);
    char *text = mappings(m, MOST);
    assert_non_null(strstr(text, "00000000007ff000-0000000000800000 0000000000001000 -rwx\n"));
    free(text);
}

static void three_levels(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "0000000000007000: 0000000000007000 -------UW\n",
        "00000000001ff000: 00000000001ff000 X-------W\n",
        "0000000000200000: 0000000000200000 --P-----W\n",
        "0000000000400000: 0000000000400000 X-P-----W\n",
        "0000000000600000: 0000000000600000 X-P----UW\n",
        "00000000ffe00000: 00000000ffe00000 -GP-----W\n",
        NULL,
    };
    struct machine *m = paging_pae();

    check_mappings(m, "0000000000000000-0000000000008000 0000000000008000 urwx\n"
                      "0000000000008000-0000000000010000 0000000000008000 -rwx\n"
                      "0000000000010000-0000000000020000 0000000000010000 -r-x\n"
                      "0000000000020000-000000000012c000 000000000010c000 -rwx\n"
                      "000000000012c000-0000000000200000 00000000000d4000 -rw-\n"
                      "0000000000200000-0000000000400000 0000000000200000 -rwx\n"
                      "0000000000400000-0000000000600000 0000000000200000 -rw-\n"
                      "0000000000600000-0000000000800000 0000000000200000 urw-\n"
                      "00000000ffe00000-0000000100000000 0000000000200000 -rwx\n");
    check_pages(m, lines, 512 + 4);
}

static void four_levels(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "0000000000600000: 0000000000600000 X-P----UW\n",
        "0000000040000000: 0000000040000000 --P----UW\n",
        "0000000080000000: 0000000080000000 X-P-----W\n",
        "ffff800000000000: 0000000000000000 -------UW\n",
        "ffffffff80000000: 0000000000000000 -------UW\n",
        "ffffffff8012c000: 000000000012c000 X-------W\n",
        "ffffffffc0000000: 0000000040000000 --P-----W\n",
        NULL,
    };
    struct machine *m = paging_4();

    check_mappings(m, "0000000000000000-0000000000008000 0000000000008000 urwx\n"
                      "0000000000008000-0000000000010000 0000000000008000 -rwx\n"
                      "0000000000010000-0000000000020000 0000000000010000 -r-x\n"
                      "0000000000020000-000000000012c000 000000000010c000 -rwx\n"
                      "000000000012c000-0000000000200000 00000000000d4000 -rw-\n"
                      "0000000000200000-0000000000400000 0000000000200000 -rwx\n"
                      "0000000000400000-0000000000600000 0000000000200000 -rw-\n"
                      "0000000000600000-0000000000800000 0000000000200000 urw-\n"
                      "0000000040000000-0000000080000000 0000000040000000 urwx\n"
                      "0000000080000000-00000000c0000000 0000000040000000 -rw-\n"
                      "00000000c0000000-0000000100000000 0000000040000000 -rwx\n"
                      "ffff800000000000-ffff800000010000 0000000000010000 -rwx\n"
                      "ffff800000010000-ffff800000020000 0000000000010000 -r-x\n"
                      "ffff800000020000-ffff80000012c000 000000000010c000 -rwx\n"
                      "ffff80000012c000-ffff800000200000 00000000000d4000 -rw-\n"
                      "ffff800000200000-ffff800000400000 0000000000200000 -rwx\n"
                      "ffff800000400000-ffff800000800000 0000000000400000 -rw-\n"
                      "ffffffff80000000-ffffffff80010000 0000000000010000 -rw-\n"
                      "ffffffff80010000-ffffffff80020000 0000000000010000 -r--\n"
                      "ffffffff80020000-ffffffff80200000 00000000001e0000 -rw-\n"
                      "ffffffffc0000000-0001000000000000 0000000040000000 -rwx\n");
    check_pages(m, lines, 2 * (512 + 3) + 3 + 512 + 1);
}

/* An entry that a walk would fault on maps nothing. */
static void reserved_bits_map_nothing(void **state)
{
    (void)state;
    struct machine *m = paging_4();

    poke64(m, 0x31008, 0x40002087);
    m->cpu.system.efer &= ~(uint64_t)X86_EFER_NXE;
    char *text = mappings(m, MOST);
    assert_null(strstr(text, "0000000040000000-"));
    assert_null(strstr(text, "0000000080000000-"));
    assert_non_null(strstr(text, "00000000c0000000-0000000100000000"));
    free(text);
}

/* Tables that lead to themselves make 2^36 pages: there is an end, and it is said. */
static void tables_in_a_circle_end(void **state)
{
    (void)state;
    struct machine *m = paging_4();

    for (unsigned i = 0; i < 512; i++) {
        poke64(m, 0x30000 + 8 * i, 0x30003 | (i & 1 ? NX : 0));
    }
    char *text = pages(m, 1000);
    assert_in_range(strlen(text), 1000, 1200);
    assert_non_null(strstr(text, "there is more: the tables lead to very many pages\n"));
    free(text);
    text = mappings(m, 1000);
    assert_in_range(strlen(text), 1000, 1200);
    assert_non_null(strstr(text, "there is more: the tables lead to very many pages\n"));
    free(text);
    for (unsigned i = 0; i < 512; i++) {
        poke64(m, 0x30000 + 8 * i, 0x30003);
    }
    text = mappings(m, 1000); /* one run, that grows until it is enough */
    assert_non_null(strstr(text, "0000000000000000-"));
    assert_non_null(strstr(text, "there is more: the tables lead to very many pages\n"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_without_paging),
        cmocka_unit_test(two_levels),
        cmocka_unit_test(two_levels_without_large_pages),
        cmocka_unit_test(three_levels),
        cmocka_unit_test(four_levels),
        cmocka_unit_test(reserved_bits_map_nothing),
        cmocka_unit_test(tables_in_a_circle_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
