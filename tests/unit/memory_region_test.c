/* SPDX-License-Identifier: MIT
 *
 * The tree: who is seen where, transactions, listeners, and how it is printed. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/strbuf.h"
#include "memory/memory.h"

static const struct mem_ops no_registers;

/* The whole picture in one string: "START-LAST name+offset" a piece, "!" if stores are lost. */
static void assert_seen(struct mem_space *space, const char *wanted)
{
    struct strbuf text;
    struct mem_range range;
    uint64_t at = 0;

    strbuf_init(&text);
    do {
        if (mem_find(space, at, &range)) {
            strbuf_printf(&text, "%s%" PRIx64 "-%" PRIx64 " %s", text.len ? ", " : "", range.start,
                          range.start + range.size - 1, range.region->name);
            if (range.offset)
                strbuf_printf(&text, "+%" PRIx64, range.offset);
            if (range.readonly)
                strbuf_putc(&text, '!');
        } else {
            assert_null(range.region);
        }
        assert_true(range.start <= at);
        at = range.start + range.size;
    } while (at);
    assert_string_equal(text.data, wanted);
    strbuf_free(&text);
}

/* --- who is seen --- */

static void higher_priority_wins(void **state)
{
    (void)state;
    struct mem_region root, low, high, equal;

    mem_init_container(&root, "root", 0x1000);
    mem_init_io(&low, "low", 0x800, &no_registers, NULL);
    mem_init_io(&high, "high", 0x100, &no_registers, NULL);
    mem_init_io(&equal, "equal", 0x100, &no_registers, NULL);
    struct mem_space *space = mem_space_new("space", &root);
    assert_string_equal(mem_space_name(space), "space");
    assert_seen(space, "");
    mem_add(&root, &high, 0x200, 1);
    mem_add(&root, &low, 0x100, -1);
    assert_seen(space, "100-1ff low, 200-2ff high, 300-8ff low+200");
    mem_add(&root, &equal, 0x280, 1);
    assert_seen(space, "100-1ff low, 200-27f high, 280-37f equal, 380-8ff low+280");
    mem_remove(&high);
    mem_remove(&high);
    assert_seen(space, "100-27f low, 280-37f equal, 380-8ff low+280");
    mem_add(&root, &high, 0x300, 1); /* the last one added, among equals */
    assert_seen(space, "100-27f low, 280-2ff equal, 300-3ff high, 400-8ff low+300");
    mem_enable(&equal, false);
    assert_seen(space, "100-2ff low, 300-3ff high, 400-8ff low+300");
    mem_move(&high, 0xf80); /* reaches over the end of the container */
    assert_seen(space, "100-8ff low, f80-fff high");
    mem_move(&low, UINT64_MAX);
    assert_seen(space, "f80-fff high");
    mem_enable(&root, false);
    assert_seen(space, "");
    mem_space_free(space);
    mem_free(&low);
    mem_free(&high);
    mem_free(&equal);
    mem_free(&root);
}

/* A region of registers can contain others: they lie above it, whatever their priority. */
static void registers_contain(void **state)
{
    (void)state;
    struct mem_region rtc, index;

    mem_init_io(&rtc, "rtc", 4, &no_registers, NULL);
    mem_init_io(&index, "rtc-index", 1, &no_registers, NULL);
    mem_add(&rtc, &index, 1, -5);
    struct mem_space *space = mem_space_new("io", &rtc);
    assert_seen(space, "0-0 rtc, 1-1 rtc-index, 2-3 rtc+2");
    mem_space_free(space);
    mem_free(&index);
    mem_free(&rtc);
}

static void aliases_show(void **state)
{
    (void)state;
    struct mem_region root, ram, pci, bar, low, window, chain;
    struct error err;

    mem_init_container(&root, "root", UINT64_MAX);
    assert_true(mem_init_ram(&ram, "ram", 0x10000, &err));
    mem_init_container(&pci, "pci", UINT64_MAX);
    mem_init_io(&bar, "bar", 0x1000, &no_registers, NULL);
    mem_init_alias(&low, "low", &ram, 0x8000, 0x4000);
    mem_init_alias(&window, "window", &pci, 0xa000, 0x2000);
    mem_init_alias(&chain, "chain", &window, 0x800, 0x1000);
    mem_add(&pci, &bar, 0xa000, 0);
    struct mem_space *space = mem_space_new("memory", &root);
    mem_add(&root, &low, 0, 0);
    mem_add(&root, &window, 0xa000, 1);
    mem_add(&root, &chain, 0x2000, 1);
    assert_seen(space, "0-1fff ram+8000, 2000-27ff bar+800, 2800-3fff ram+a800, a000-afff bar");
    mem_move(&bar, 0xb000); /* in another tree, seen by way of the aliases */
    assert_seen(space, "0-27ff ram+8000, 2800-2fff bar, 3000-3fff ram+b000, b000-bfff bar");
    mem_set_alias_offset(&low, 0xe000); /* reaches over the end of its target */
    assert_seen(space, "0-1fff ram+e000, 2800-2fff bar, b000-bfff bar");
    mem_set_readonly(&low, true);
    assert_seen(space, "0-1fff ram+e000!, 2800-2fff bar, b000-bfff bar");
    mem_enable(&pci, false);
    assert_seen(space, "0-1fff ram+e000!");
    mem_enable(&pci, true);
    mem_set_readonly(&low, false);
    mem_set_readonly(&ram, true);
    assert_seen(space, "0-1fff ram+e000!, 2800-2fff bar, b000-bfff bar");

    mem_free(&window); /* and what shows it shows nothing */
    assert_seen(space, "0-1fff ram+e000!");
    mem_free(&ram);
    assert_seen(space, "");
    mem_free(&chain);
    mem_free(&low);
    mem_free(&bar);
    mem_free(&pci);
    mem_free(&root);
    assert_seen(space, "");
    mem_space_free(space);
}

/* Regions of 2^64 bytes, the last byte, and windows that would wrap. */
static void sizes_are_huge(void **state)
{
    (void)state;
    struct mem_region root, all, top, last, shifted;
    struct mem_range range;

    mem_init_container(&root, "root", UINT64_MAX);
    mem_init_io(&all, "all", UINT64_MAX, &no_registers, NULL);
    mem_init_io(&top, "top", 0x1000, &no_registers, NULL);
    mem_init_io(&last, "last", UINT64_MAX, &no_registers, NULL);
    mem_init_alias(&shifted, "shifted", &all, UINT64_MAX - 0xf, UINT64_MAX);
    struct mem_space *space = mem_space_new("memory", &root);
    mem_add(&root, &all, 0, 0);
    assert_true(mem_find(space, 12345, &range));
    assert_int_equal(range.start, 0);
    assert_int_equal(range.size, 0);            /* all 2^64 */
    mem_add(&root, &top, UINT64_MAX - 0xff, 1); /* its end lies behind the end */
    assert_seen(space, "0-fffffffffffffeff all, ffffffffffffff00-ffffffffffffffff top");
    mem_add(&root, &last, UINT64_MAX, 2);
    assert_seen(space, "0-fffffffffffffeff all, ffffffffffffff00-fffffffffffffffe top, "
                       "ffffffffffffffff-ffffffffffffffff last");
    mem_enable(&last, false);
    mem_enable(&top, false);
    mem_add(&root, &shifted, 0x20, 3); /* the last 16 bytes of `all`, then nothing more */
    assert_seen(space, "0-1f all, 20-2f all+fffffffffffffff0, 30-ffffffffffffffff all+30");
    mem_space_free(space);
    mem_free(&shifted);
    mem_free(&last);
    mem_free(&top);
    mem_free(&all);
    mem_free(&root);
}

/* What hid the middle goes away: one piece again. */
static void neighbours_merge(void **state)
{
    (void)state;
    struct mem_region root, ram, one, two, hole;
    struct mem_range range;
    struct error err;

    mem_init_container(&root, "root", 0x10000);
    assert_true(mem_init_ram(&ram, "ram", 0x4000, &err));
    mem_init_alias(&one, "one", &ram, 0, 0x2000);
    mem_init_alias(&two, "two", &ram, 0x2000, 0x2000);
    mem_init_io(&hole, "hole", 0x10, &no_registers, NULL);
    mem_add(&root, &one, 0, 0);
    mem_add(&root, &two, 0x2000, 0);
    mem_add(&root, &hole, 0x1800, 1);
    struct mem_space *space = mem_space_new("memory", &root);
    assert_seen(space, "0-17ff ram, 1800-180f hole, 1810-3fff ram+1810");
    mem_remove(&hole);
    assert_seen(space, "0-3fff ram");
    mem_set_readonly(&two, true);
    assert_seen(space, "0-1fff ram, 2000-3fff ram+2000!");
    assert_true(mem_find(space, 0x2abc, &range));
    assert_ptr_equal(mem_host(range.region), mem_host(&ram));
    assert_null(mem_host(&one));
    mem_space_free(space);
    mem_free(&hole);
    mem_free(&one);
    mem_free(&two);
    mem_free(&ram);
    mem_free(&root);
}

/* --- changes --- */

static void count(void *opaque)
{
    ++*(unsigned *)opaque;
}

static void listeners_hear_changes(void **state)
{
    (void)state;
    struct mem_region root, other, io, alias;
    unsigned here = 0, there = 0, twice = 0;
    struct mem_listener on_root = {.opaque = &here, .changed = count};
    struct mem_listener again = {.opaque = &twice, .changed = count};
    struct mem_listener on_other = {.opaque = &there, .changed = count};

    mem_init_container(&root, "root", 0x1000);
    mem_init_container(&other, "other", 0x1000);
    mem_init_io(&io, "io", 0x10, &no_registers, NULL);
    mem_init_alias(&alias, "alias", &root, 0, 0x100);
    mem_add(&other, &alias, 0, 0);
    struct mem_space *space = mem_space_new("a", &root), *second = mem_space_new("b", &other);
    mem_listen(space, &on_root);
    mem_listen(space, &again);
    mem_listen(second, &on_other);
    mem_add(&root, &io, 0x80, 0);
    assert_int_equal(here, 1);
    assert_int_equal(there, 1);
    mem_move(&io, 0x200); /* out of the alias's sight */
    assert_int_equal(here, 2);
    assert_int_equal(there, 2);
    mem_move(&io, 0x300);
    assert_int_equal(here, 3);
    assert_int_equal(there, 2);
    mem_move(&io, 0x300);
    mem_enable(&io, true);
    mem_set_alias_offset(&alias, 0x20);
    assert_int_equal(here, 3);
    assert_int_equal(there, 2);
    mem_listen_no_more(space, &again);
    mem_listen_no_more(space, &again);
    mem_enable(&io, false);
    assert_int_equal(here, 4);
    assert_int_equal(twice, 3);
    mem_space_free(space);
    mem_space_free(second);
    mem_free(&alias);
    mem_free(&io);
    mem_free(&other);
    mem_free(&root);
}

static void transactions_show_the_end(void **state)
{
    (void)state;
    struct mem_region root, pci, bar[2], alias;
    unsigned changes = 0, through = 0;
    struct mem_listener listener = {.opaque = &changes, .changed = count};
    struct mem_listener other = {.opaque = &through, .changed = count};

    mem_init_container(&root, "root", UINT64_MAX);
    mem_init_container(&pci, "pci", UINT64_MAX);
    mem_init_alias(&alias, "alias", &pci, 0x1000, 0x1000);
    mem_init_io(&bar[0], "bar0", 0x100, &no_registers, NULL);
    mem_init_io(&bar[1], "bar1", 0x100, &no_registers, NULL);
    mem_add(&pci, &bar[0], 0x1000, 0);
    mem_add(&pci, &bar[1], 0x2000, 0);
    mem_add(&root, &pci, 0, 0);
    struct mem_space *space = mem_space_new("memory", &root), *dma = mem_space_new("dma", &alias);
    mem_listen(space, &listener);
    mem_listen(dma, &other);
    mem_begin(&pci);
    mem_move(&bar[0], 0x2000);
    mem_begin(&pci);
    mem_move(&bar[1], 0x1000);
    mem_commit(&pci);
    assert_seen(space, "1000-10ff bar0, 2000-20ff bar1");
    assert_seen(dma, "0-ff bar0");
    mem_commit(&pci);
    assert_seen(space, "1000-10ff bar1, 2000-20ff bar0");
    assert_seen(dma, "0-ff bar1");
    assert_int_equal(changes, 1);
    assert_int_equal(through, 1);
    mem_begin(&root);
    mem_begin(&pci);
    mem_enable(&bar[0], false);
    mem_commit(&pci); /* goes on to the outer one, and to the other space */
    assert_int_equal(changes, 1);
    mem_enable(&bar[0], true);
    mem_commit(&root);
    assert_int_equal(changes, 1); /* nothing changed in the end */
    mem_begin(&pci);
    mem_commit(&pci);
    assert_int_equal(changes, 1);
    mem_space_free(space);
    mem_space_free(dma);
    mem_free(&bar[0]);
    mem_free(&bar[1]);
    mem_free(&alias);
    mem_free(&pci);
    mem_free(&root);
}

/* The owner of a machine may take it apart in any order. */
static void frees_in_any_order(void **state)
{
    (void)state;
    struct mem_region root, ram, alias, nothing = {0};
    struct error err;

    mem_init_container(&root, "root", UINT64_MAX);
    assert_true(mem_init_ram(&ram, "ram", 0x1000, &err));
    mem_init_alias(&alias, "alias", &root, 0, 0x1000);
    mem_add(&root, &ram, 0, 0);
    struct mem_space *space = mem_space_new("memory", &root), *other = mem_space_new("x", &alias);
    mem_free(&root);
    assert_seen(space, "");
    assert_seen(other, "");
    mem_free(&ram);
    mem_free(&ram);
    mem_free(&alias);
    mem_free(&nothing);
    assert_seen(other, "");
    mem_space_free(space);
    mem_space_free(other);
    mem_space_free(NULL);
}

static void refuses_impossible_memory(void **state)
{
    (void)state;
    struct mem_region ram;
    struct error err;

    assert_false(mem_init_ram(&ram, "pc.ram", 0, &err));
    assert_string_equal(err.text, "pc.ram: a memory of 0 bytes");
    assert_false(mem_init_rom(&ram, "pc.ram", UINT64_C(1) << 62, &err));
    assert_string_equal(err.text, "pc.ram: the host does not give 4611686018427387904 bytes of "
                                  "memory: Cannot allocate memory");
    assert_false(mem_init_ram(&ram, "pc.ram", UINT64_MAX, &err));
    mem_free(&ram);
}

/* --- printing --- */

/* As QEMU prints a machine like it; of the two spaces with the same root, one. */
static void prints_trees(void **state)
{
    (void)state;
    struct mem_region root, ram, rom, pci, low, bios, window, smram, off, inner, io;
    struct error err;
    struct strbuf text;

    mem_init_container(&root, "system", UINT64_MAX);
    assert_true(mem_init_ram(&ram, "pc.ram", 64 << 20, &err));
    assert_true(mem_init_rom(&rom, "pc.bios", 256 << 10, &err));
    mem_init_container(&pci, "pci", UINT64_MAX);
    mem_init_alias(&low, "ram-below-4g", &ram, 0, 64 << 20);
    mem_init_alias(&bios, "isa-bios", &rom, 0x20000, 0x20000);
    mem_init_alias(&window, "smram-region", &pci, 0xa0000, 0x20000);
    mem_init_alias(&smram, "smram", &ram, 0xa0000, 0x20000);
    mem_init_container(&off, "off", 0x1000);
    mem_init_io(&inner, "inner", 0x10, &no_registers, NULL);
    mem_init_container(&io, "io", 65536);
    struct mem_space *spaces[] = {mem_space_new("memory", &root), mem_space_new("I/O", &io),
                                  mem_space_new("cpu-memory-0", &root)};
    mem_add(&root, &window, 0xa0000, 1);
    mem_add(&root, &smram, 0xa0000, 2);
    mem_add(&root, &pci, 0, -1);
    mem_add(&root, &low, 0, 0);
    mem_add(&pci, &rom, 0xfffc0000, 0);
    mem_add(&pci, &bios, 0xe0000, 1);
    mem_add(&root, &off, 0xfed00000, 0);
    mem_add(&off, &inner, 0x20, 4096);
    mem_enable(&off, false);
    mem_enable(&smram, false);

    strbuf_init(&text);
    mem_print(spaces, 3, false, &text);
    assert_string_equal(
        text.data,
        "address-space: memory\n"
        "address-space: cpu-memory-0\n"
        "  0000000000000000-ffffffffffffffff (prio 0, i/o): system\n"
        "    0000000000000000-0000000003ffffff (prio 0, ram): alias ram-below-4g @pc.ram "
        "0000000000000000-0000000003ffffff\n"
        "    0000000000000000-ffffffffffffffff (prio -1, i/o): pci\n"
        "      00000000000e0000-00000000000fffff (prio 1, rom): alias isa-bios @pc.bios "
        "0000000000020000-000000000003ffff\n"
        "      00000000fffc0000-00000000ffffffff (prio 0, rom): pc.bios\n"
        "    00000000000a0000-00000000000bffff (prio 1, i/o): alias smram-region @pci "
        "00000000000a0000-00000000000bffff\n"
        "      00000000fed00020-00000000fed0002f (prio 4096, i/o): inner\n"
        "\n"
        "address-space: I/O\n"
        "  0000000000000000-000000000000ffff (prio 0, i/o): io\n"
        "\n"
        "memory-region: pc.ram\n"
        "  0000000000000000-0000000003ffffff (prio 0, ram): pc.ram\n"
        "\n"
        "memory-region: pc.bios\n"
        "  00000000fffc0000-00000000ffffffff (prio 0, rom): pc.bios\n"
        "\n"
        "memory-region: pci\n"
        "  0000000000000000-ffffffffffffffff (prio -1, i/o): pci\n"
        "    00000000000e0000-00000000000fffff (prio 1, rom): alias isa-bios @pc.bios "
        "0000000000020000-000000000003ffff\n"
        "    00000000fffc0000-00000000ffffffff (prio 0, rom): pc.bios\n"
        "\n");
    strbuf_clear(&text);
    mem_move(&low, 0x1000);
    mem_enable(&smram, true);
    mem_print(spaces, 3, true, &text);
    assert_string_equal(text.data, "FlatView #0\n"
                                   " AS \"memory\", root: system\n"
                                   " AS \"cpu-memory-0\", root: system\n"
                                   " Root memory region: system\n"
                                   "  0000000000001000-000000000009ffff (prio 0, ram): pc.ram\n"
                                   "  00000000000a0000-00000000000bffff (prio 0, ram): pc.ram "
                                   "@00000000000a0000\n"
                                   "  00000000000c0000-0000000004000fff (prio 0, ram): pc.ram "
                                   "@00000000000bf000\n"
                                   "  00000000fffc0000-00000000ffffffff (prio 0, rom): pc.bios\n"
                                   "\n"
                                   "FlatView #1\n"
                                   " AS \"I/O\", root: io\n"
                                   " Root memory region: (none)\n"
                                   "  No rendered FlatView\n"
                                   "\n");
    strbuf_free(&text);
    for (unsigned i = 0; i < 3; i++)
        mem_space_free(spaces[i]);
    struct mem_region *all[] = {&low, &bios, &window, &smram, &inner, &off,
                                &rom, &pci,  &ram,    &root,  &io};
    for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++)
        mem_free(all[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(higher_priority_wins),
        cmocka_unit_test(registers_contain),
        cmocka_unit_test(aliases_show),
        cmocka_unit_test(sizes_are_huge),
        cmocka_unit_test(neighbours_merge),
        cmocka_unit_test(listeners_hear_changes),
        cmocka_unit_test(transactions_show_the_end),
        cmocka_unit_test(frees_in_any_order),
        cmocka_unit_test(refuses_impossible_memory),
        cmocka_unit_test(prints_trees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
