/* SPDX-License-Identifier: MIT
 *
 * The I/O APIC: its registers, the messages it sends, remote IRR and end of interrupt.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "device/ioapic.h"
#include "device_harness.h"

struct machine {
    struct harness h;
    struct device *ioapic;
    struct apic_message last;
    unsigned count;
};

static void deliver(void *opaque, const struct apic_message *message)
{
    struct machine *m = opaque;

    m->last = *message;
    m->count++;
}

static void begin(struct machine *m)
{
    struct error err;

    harness_begin(&m->h);
    m->count = 0;
    m->ioapic = ioapic_new(&m->h.board, deliver, m, &err);
    assert_non_null(m->ioapic);
    harness_reset(&m->h);
}

static uint32_t get(struct machine *m, uint8_t index)
{
    store32(&m->h, IOAPIC_BASE, index);
    return load32(&m->h, IOAPIC_BASE + 0x10);
}

static void put(struct machine *m, uint8_t index, uint32_t value)
{
    store32(&m->h, IOAPIC_BASE, index);
    store32(&m->h, IOAPIC_BASE + 0x10, value);
}

static void route(struct machine *m, unsigned pin, uint64_t entry)
{
    put(m, (uint8_t)(0x11 + 2 * pin), (uint32_t)(entry >> 32));
    put(m, (uint8_t)(0x10 + 2 * pin), (uint32_t)entry);
}

static void set(struct machine *m, unsigned pin, bool level)
{
    irq_set(ioapic_line(m->ioapic, pin), level);
}

static void registers(void **state)
{
    struct machine m;

    (void)state;
    begin(&m);
    assert_int_equal(get(&m, 1), 0x00170020);
    put(&m, 1, 0);
    assert_int_equal(get(&m, 1), 0x00170020);
    put(&m, 0, 0xff000000);
    assert_int_equal(get(&m, 0), 0x0f000000);
    assert_int_equal(get(&m, 2), 0x0f000000);
    for (uint8_t i = 0x10; i < 0x40; i++) {
        assert_int_equal(get(&m, i), i % 2 ? 0 : 0x10000);
        put(&m, i, i % 2 ? 0xffffffff : 0xffffafff); /* with the mask: nothing is sent */
        assert_int_equal(get(&m, i), i % 2 ? 0xff000000 : 0x0001afff);
    }
    assert_int_equal(get(&m, 0x40), 0);
    assert_int_equal(load32(&m.h, IOAPIC_BASE), 0x40);
    assert_int_equal(load8(&m.h, IOAPIC_BASE), 0x40);
    assert_int_equal(load32(&m.h, IOAPIC_BASE + 0x20), 0);
    harness_reset(&m.h);
    assert_int_equal(get(&m, 0), 0);
    assert_int_equal(get(&m, 0x10), 0x10000);
    assert_int_equal(m.count, 0);
    harness_end(&m.h);
}

static void fields_of_messages(void **state)
{
    static const struct {
        uint64_t entry;
        struct apic_message message;
    } ROWS[] = {
        {0x0300000000000030, {.destination = 3, .delivery = APIC_FIXED, .vector = 0x30}},
        {0x0f00000000000941,
         {.destination = 15, .logical = true, .delivery = APIC_LOWEST_PRIORITY, .vector = 0x41}},
        {0x0100000000000200, {.destination = 1, .delivery = APIC_SMI}},
        {0x0100000000000400, {.destination = 1, .delivery = APIC_NMI}},
        {0x0100000000000500, {.destination = 1, .delivery = APIC_INIT}},
        {0x0000000000000700, {.destination = 0, .delivery = APIC_EXTINT}},
        {0xff00000000000050, {.destination = APIC_BROADCAST, .vector = 0x50}},
        {0xff00000000000850, {.destination = 0xff, .logical = true, .vector = 0x50}},
        {0x02000000000080a0, {.destination = 2, .level = true, .vector = 0xa0}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        const struct apic_message *expected = &ROWS[i].message;
        struct machine m;

        begin(&m);
        route(&m, 7, ROWS[i].entry);
        set(&m, 7, true);
        assert_int_equal(m.count, 1);
        assert_int_equal(m.last.destination, expected->destination);
        assert_int_equal(m.last.logical, expected->logical);
        assert_int_equal(m.last.level, expected->level);
        assert_int_equal(m.last.delivery, expected->delivery);
        assert_int_equal(m.last.vector, expected->vector);
        assert_int_equal(m.last.deassert, false);
        harness_end(&m.h);
    }
}

static void edges(void **state)
{
    struct machine m;

    (void)state;
    begin(&m);
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
        route(&m, pin, 0x30 + pin);
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        set(&m, pin, true);
        assert_int_equal(m.count, 2 * pin + 1);
        assert_int_equal(m.last.vector, 0x30 + pin);
        set(&m, pin, true);
        set(&m, pin, false);
        set(&m, pin, true); /* no end is needed */
        assert_int_equal(m.count, 2 * pin + 2);
    }
    assert_null(ioapic_line(m.ioapic, IOAPIC_PINS).set);
    /* Edges at a masked input are lost. */
    set(&m, 3, false);
    route(&m, 3, 0x10033);
    set(&m, 3, true);
    route(&m, 3, 0x33);
    assert_int_equal(m.count, 48);
    harness_end(&m.h);
}

static void levels_end(void **state)
{
    struct machine m;

    (void)state;
    begin(&m);
    route(&m, 10, 0x18051);
    set(&m, 10, true);
    assert_int_equal(m.count, 0);
    route(&m, 10, 0x8051); /* a level waits for the mask */
    assert_int_equal(m.count, 1);
    assert_int_equal(get(&m, 0x10 + 20), 0xc051);
    put(&m, 0x10 + 20, 0x18051); /* remote IRR cannot be written, and masks leave it */
    assert_int_equal(get(&m, 0x10 + 20), 0x1c051);
    put(&m, 0x10 + 20, 0x8051);
    assert_int_equal(m.count, 1);
    ioapic_eoi(m.ioapic, 0x50);
    assert_int_equal(m.count, 1);
    ioapic_eoi(m.ioapic, 0x51); /* still up: again */
    assert_int_equal(m.count, 2);
    set(&m, 10, false);
    set(&m, 10, true); /* again, before its end */
    assert_int_equal(m.count, 2);
    set(&m, 10, false);
    store32(&m.h, IOAPIC_BASE + 0x40, 0x51); /* the EOI register */
    assert_int_equal(m.count, 2);
    assert_int_equal(get(&m, 0x10 + 20), 0x8051);
    set(&m, 10, true);
    assert_int_equal(m.count, 3);
    put(&m, 0x10 + 20, 0x0051); /* edge: the way Linux clears remote IRR */
    assert_int_equal(get(&m, 0x10 + 20), 0x0051);
    put(&m, 0x10 + 20, 0x8051);
    assert_int_equal(m.count, 4);
    harness_end(&m.h);
}

static void version_11_has_no_eoi_register(void **state)
{
    struct harness h;

    (void)state;
    harness_begin(&h);
    harness_add(&h, "ioapic", "version=0x11", NULL);
    harness_reset(&h);
    store32(&h, IOAPIC_BASE, 1);
    assert_int_equal(load32(&h, IOAPIC_BASE + 0x10), 0x00170011);
    store32(&h, IOAPIC_BASE, 0x10);
    store32(&h, IOAPIC_BASE + 0x10, 0x8051);
    irq_set(ioapic_line(device_first(&h.board), 0), true);
    store32(&h, IOAPIC_BASE + 0x40, 0x51);
    assert_int_equal(load32(&h, IOAPIC_BASE + 0x10), 0xc051);
    assert_non_null(strstr(harness_refuses(&h, "ioapic", "version=0x13", NULL), "0x20"));
    harness_end(&h);
}

static void isa_lines(void **state)
{
    struct machine m;

    (void)state;
    begin(&m);
    route(&m, 2, 0x30);
    route(&m, 8, 0x38);
    irq_set(ioapic_isa_line(m.ioapic, 0), true);
    assert_int_equal(m.last.vector, 0x30);
    irq_set(ioapic_isa_line(m.ioapic, 8), true);
    assert_int_equal(m.last.vector, 0x38);
    assert_null(ioapic_isa_line(m.ioapic, 2).set);
    harness_end(&m.h);
}

static void printing(void **state)
{
    struct machine m;
    struct strbuf text;

    (void)state;
    begin(&m);
    route(&m, 10, 0x0100000000008931);
    set(&m, 10, true);
    store32(&m.h, IOAPIC_BASE, 0x24);
    strbuf_init(&text);
    ioapic_print(m.ioapic, &text);
    assert_non_null(strstr(text.data, "ioapic0: ver=0x20 id=0x00 sel=0x24 (redir[10])\n"
                                      "  pin 0  0x0000000000010000 dest=0 vec=0   active-hi edge  "
                                      "masked fixed  physical\n"));
    assert_non_null(strstr(text.data, "  pin 10 0x010000000000c931 dest=1 vec=49  active-hi level "
                                      "       lowest logical\n"));
    assert_non_null(strstr(text.data, "\n  IRR      10 \n  Remote IRR 10 \n"));
    strbuf_free(&text);
    harness_end(&m.h);
}

static void state_moves_to_another_machine(void **state)
{
    struct machine m, n;
    struct error err;

    (void)state;
    begin(&m);
    begin(&n);
    route(&m, 11, 0x8061);
    route(&m, 4, 0x64);
    set(&m, 11, true);
    put(&m, 0, 0x05000000);
    assert_true(harness_transplant(&m.h, &n.h, &err));
    assert_int_equal(load32(&n.h, IOAPIC_BASE + 0x10), 0x05000000);
    ioapic_eoi(n.ioapic, 0x61);
    assert_int_equal(n.count, 1);
    set(&n, 4, true);
    assert_int_equal(n.last.vector, 0x64);
    assert_true(harness_keeps_state(&m.h, &err));
    harness_end(&m.h);
    harness_end(&n.h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registers),
        cmocka_unit_test(fields_of_messages),
        cmocka_unit_test(edges),
        cmocka_unit_test(levels_end),
        cmocka_unit_test(version_11_has_no_eoi_register),
        cmocka_unit_test(isa_lines),
        cmocka_unit_test(printing),
        cmocka_unit_test(state_moves_to_another_machine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
