/* SPDX-License-Identifier: MIT
 *
 * The HPET: counter, comparators of 32 and 64 bits, one-shot and periodic, edges and levels, legacy
 * replacement.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "device/hpet.h"
#include "device_harness.h"

enum {
    CAPABILITIES = 0x000,
    CONFIGURATION = 0x010,
    STATUS = 0x020,
    COUNTER = 0x0f0,
    CONFIG_0 = 0x100,
    COMPARATOR_0 = 0x108,
    ROUTE_0 = 0x110,
};
enum { LEVEL = 0x2, ENABLE = 0x4, PERIODIC = 0x8, SET = 0x40, MODE_32 = 0x100, ROUTE_2 = 2 << 9 };

struct machine {
    struct harness h;
    struct harness_line line[HPET_LINES];
    struct device *hpet;
};

static void begin(struct machine *m)
{
    struct irq lines[HPET_LINES], isa[2];
    struct error err;

    memset(m, 0, sizeof *m);
    harness_begin(&m->h);
    for (int i = 0; i < HPET_LINES; i++)
        lines[i] = harness_irq(&m->line[i]);
    isa[0] = m->h.isa.irq[0];
    isa[1] = m->h.isa.irq[8];
    m->hpet = hpet_new(&m->h.board, isa, lines, &err);
    assert_non_null(m->hpet);
    harness_reset(&m->h);
}

static uint32_t get(struct machine *m, unsigned offset)
{
    return load32(&m->h, HPET_BASE + offset);
}

static void put(struct machine *m, unsigned offset, uint32_t value)
{
    store32(&m->h, HPET_BASE + offset, value);
}

static void ticks(struct machine *m, uint64_t count)
{
    harness_advance(&m->h, count * HPET_PERIOD_NS);
}

static void registers(void **state)
{
    struct machine m;

    (void)state;
    begin(&m);
    assert_int_equal(load64(&m.h, HPET_BASE), UINT64_C(0x009896808086a201));
    assert_int_equal(get(&m, CAPABILITIES), 0x8086a201);
    assert_int_equal(get(&m, CAPABILITIES + 4), 10000000);
    put(&m, CAPABILITIES, 0);
    assert_int_equal(get(&m, CAPABILITIES), 0x8086a201);
    for (unsigned i = 0; i < HPET_TIMERS; i++) {
        assert_int_equal(load64(&m.h, HPET_BASE + CONFIG_0 + 32 * i), UINT64_C(0x400000030));
        assert_int_equal(load64(&m.h, HPET_BASE + COMPARATOR_0 + 32 * i), UINT64_MAX);
        put(&m, CONFIG_0 + 32 * i, 0xffffffff);
        assert_int_equal(get(&m, CONFIG_0 + 32 * i), 0x3f7e);
        put(&m, ROUTE_0 + 32 * i, 0x1234);
        assert_int_equal(get(&m, ROUTE_0 + 32 * i), 0);
    }
    put(&m, CONFIGURATION, 0xffffffff);
    assert_int_equal(get(&m, CONFIGURATION), 3);
    put(&m, CONFIGURATION + 4, 0xffffffff);
    assert_int_equal(get(&m, CONFIGURATION + 4), 0);
    assert_int_equal(get(&m, 0x30), 0);
    assert_int_equal(get(&m, 0x160), 0); /* a fourth timer */
    put(&m, 0x168, 1);
    harness_reset(&m.h);
    assert_int_equal(get(&m, CONFIGURATION), 0);
    assert_int_equal(get(&m, CONFIG_0), 0x30);
    harness_end(&m.h);
}

static void the_counter(void **state)
{
    struct machine m;

    (void)state;
    begin(&m);
    ticks(&m, 1000);
    assert_int_equal(get(&m, COUNTER), 0);
    put(&m, COUNTER, 0xfffffff0);
    put(&m, COUNTER + 4, 0x5);
    put(&m, CONFIGURATION, 1);
    ticks(&m, 0x20);
    assert_int_equal(load64(&m.h, HPET_BASE + COUNTER), UINT64_C(0x600000010));
    assert_int_equal(get(&m, COUNTER + 4), 6);
    put(&m, CONFIGURATION, 0);
    ticks(&m, 500);
    assert_int_equal(get(&m, COUNTER), 0x10);
    put(&m, CONFIGURATION, 1);
    ticks(&m, 5);
    assert_int_equal(get(&m, COUNTER), 0x15);
    put(&m, COUNTER, 0x100); /* while it runs */
    ticks(&m, 1);
    assert_int_equal(get(&m, COUNTER), 0x101);
    harness_end(&m.h);
}

static void one_shot(void **state)
{
    struct machine m;

    (void)state;
    begin(&m);
    put(&m, CONFIGURATION, 1);
    put(&m, CONFIG_0, ENABLE | ROUTE_2);
    store64(&m.h, HPET_BASE + COMPARATOR_0, 1000);
    ticks(&m, 999);
    assert_int_equal(m.line[2].rises, 0);
    ticks(&m, 1);
    assert_int_equal(m.line[2].rises, 1);
    assert_int_equal(m.line[2].level, false);
    assert_int_equal(get(&m, STATUS), 0);
    ticks(&m, 100000);
    assert_int_equal(m.line[2].rises, 1);
    put(&m, COMPARATOR_0, 100); /* over: after 2^64 */
    put(&m, COMPARATOR_0 + 4, 0);
    assert_int_equal(clock_next(&m.h.clock), TIMER_NEVER);
    put(&m, CONFIG_0, ENABLE | MODE_32 | ROUTE_2); /* over: after 2^32 */
    assert_int_equal(clock_next(&m.h.clock), (UINT64_C(0x100000000) + 100) * HPET_PERIOD_NS);
    put(&m, CONFIG_0, MODE_32 | ROUTE_2); /* without its interrupt it is only a number */
    ticks(&m, UINT64_C(0x100000000));
    assert_int_equal(m.line[2].rises, 1);
    put(&m, CONFIG_0, ENABLE | 3 << 9); /* a line it cannot be routed to */
    put(&m, COMPARATOR_0, get(&m, COUNTER) + 10);
    put(&m, COMPARATOR_0 + 4, get(&m, COUNTER + 4));
    ticks(&m, 10);
    assert_int_equal(m.line[3].rises, 0);
    harness_end(&m.h);
}

/* As Linux sets a periodic timer: SET, the first match, then the period. */
static void periodic(void **state)
{
    static const struct {
        uint32_t config;
        uint64_t start, period;
    } ROWS[] = {
        {MODE_32, 0, 100000},
        {0, 0, 100000},
        {MODE_32, 0xffff0000, 70000}, /* over the end of 32 bits */
        {0, UINT64_C(0xffffffffffff0000), 70000},
    };

    (void)state;
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        struct machine m;

        begin(&m);
        store64(&m.h, HPET_BASE + COUNTER, ROWS[i].start);
        put(&m, CONFIGURATION, 1);
        put(&m, CONFIG_0 + 64, ENABLE | PERIODIC | SET | ROUTE_2 | ROWS[i].config);
        store64(&m.h, HPET_BASE + COMPARATOR_0 + 64, ROWS[i].start + 5000);
        assert_int_equal(get(&m, CONFIG_0 + 64) & SET, 0);
        store64(&m.h, HPET_BASE + COMPARATOR_0 + 64, ROWS[i].period);
        ticks(&m, 4999);
        assert_int_equal(m.line[2].rises, 0);
        ticks(&m, 1);
        assert_int_equal(m.line[2].rises, 1);
        for (unsigned n = 2; n < 10; n++) {
            ticks(&m, ROWS[i].period - 1);
            assert_int_equal(m.line[2].rises, n - 1);
            ticks(&m, 1);
            assert_int_equal(m.line[2].rises, n);
        }
        harness_end(&m.h);
    }
}

/* 32-bit writes to a 64-bit timer: the lower halves alone, which end VAL_SET. */
static void periodic_by_halves(void **state)
{
    struct machine m;

    (void)state;
    begin(&m);
    put(&m, CONFIG_0, ENABLE | PERIODIC | SET | ROUTE_2);
    put(&m, COMPARATOR_0, 3000);
    put(&m, COMPARATOR_0 + 4, 0);
    put(&m, COMPARATOR_0, 1000);
    assert_int_equal(load64(&m.h, HPET_BASE + COMPARATOR_0), 3000);
    put(&m, CONFIGURATION, 1);
    ticks(&m, 6000);
    assert_int_equal(m.line[2].rises, 4);
    assert_int_equal(get(&m, COMPARATOR_0), 7000);
    put(&m, COMPARATOR_0, 1); /* a period that would stop the machine: it goes on */
    ticks(&m, 1000000);
    assert_true(m.line[2].rises > 4);
    assert_true(m.line[2].rises < 10000);
    harness_end(&m.h);
}

static void levels(void **state)
{
    struct machine m;

    (void)state;
    begin(&m);
    put(&m, CONFIGURATION, 1);
    put(&m, CONFIG_0 + 32, LEVEL | ENABLE | ROUTE_2);
    store64(&m.h, HPET_BASE + COMPARATOR_0 + 32, 10);
    ticks(&m, 10);
    assert_int_equal(m.line[2].level, true);
    assert_int_equal(get(&m, STATUS), 2);
    put(&m, STATUS, 5); /* others */
    assert_int_equal(m.line[2].level, true);
    put(&m, STATUS, 2);
    assert_int_equal(m.line[2].level, false);
    assert_int_equal(get(&m, STATUS), 0);
    store64(&m.h, HPET_BASE + COMPARATOR_0 + 32, 20);
    ticks(&m, 10);
    assert_int_equal(m.line[2].level, true);
    put(&m, CONFIG_0 + 32, LEVEL | ROUTE_2); /* disabled */
    assert_int_equal(m.line[2].level, false);
    harness_end(&m.h);
}

static void legacy_replacement(void **state)
{
    struct machine m;
    struct irq pit, rtc;

    (void)state;
    begin(&m);
    pit = hpet_isa_line(m.hpet, 0);
    rtc = hpet_isa_line(m.hpet, 1);
    irq_set(pit, true);
    irq_set(rtc, true);
    assert_int_equal(m.h.line[0].level, true);
    assert_int_equal(m.h.line[8].level, true);
    irq_set(rtc, false);
    put(&m, CONFIGURATION, 3);
    assert_int_equal(m.h.line[0].level, false);
    irq_pulse(rtc);
    assert_int_equal(m.h.line[8].rises, 1);
    for (unsigned i = 0; i < HPET_TIMERS; i++) {
        put(&m, CONFIG_0 + 32 * i, ENABLE | ROUTE_2);
        store64(&m.h, HPET_BASE + COMPARATOR_0 + 32 * i, 100 + i);
    }
    ticks(&m, 100);
    assert_int_equal(m.h.line[0].rises, 2);
    ticks(&m, 1);
    assert_int_equal(m.h.line[8].rises, 2);
    assert_int_equal(m.line[2].rises, 0);
    ticks(&m, 1);
    assert_int_equal(m.line[2].rises, 1);
    put(&m, CONFIGURATION, 1);
    assert_int_equal(m.h.line[0].level, true); /* the interval timer's is up again */
    harness_end(&m.h);
}

static void accesses(void **state)
{
    struct machine m;
    uint64_t value;

    (void)state;
    begin(&m);
    assert_int_equal(mem_load(m.h.board.memory, 0, HPET_BASE, &value, 1), MEM_REFUSED);
    assert_int_equal(mem_load(m.h.board.memory, 0, HPET_BASE, &value, 2), MEM_REFUSED);
    assert_int_equal(mem_load(m.h.board.memory, 0, HPET_BASE + 4, &value, 4), MEM_OK);
    assert_int_equal(mem_load(m.h.board.memory, 0, HPET_BASE + 0x3f8, &value, 8), MEM_OK);
    assert_int_equal(value, 0);
    harness_end(&m.h);
}

static void state_moves_to_another_machine(void **state)
{
    struct machine m, n;
    struct error err;

    (void)state;
    begin(&m);
    begin(&n);
    put(&m, COUNTER, 77);
    put(&m, CONFIGURATION, 1);
    put(&m, CONFIG_0, ENABLE | PERIODIC | SET | MODE_32 | ROUTE_2);
    put(&m, COMPARATOR_0, 1000);
    put(&m, COMPARATOR_0, 300);
    put(&m, CONFIG_0 + 32, LEVEL | ENABLE | ROUTE_2);
    store64(&m.h, HPET_BASE + COMPARATOR_0 + 32, 5000);
    ticks(&m, 1500);
    assert_true(harness_transplant(&m.h, &n.h, &err));
    memcpy(n.line, m.line, sizeof n.line);
    ticks(&m, 4000);
    ticks(&n, 4000);
    assert_int_equal(get(&m, COUNTER), get(&n, COUNTER));
    assert_int_equal(m.line[2].rises, n.line[2].rises);
    assert_int_equal(get(&n, STATUS), 2);
    assert_int_equal(get(&m, COMPARATOR_0), get(&n, COMPARATOR_0));
    assert_true(harness_keeps_state(&m.h, &err));
    harness_end(&m.h);
    harness_end(&n.h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registers),
        cmocka_unit_test(the_counter),
        cmocka_unit_test(one_shot),
        cmocka_unit_test(periodic),
        cmocka_unit_test(periodic_by_halves),
        cmocka_unit_test(levels),
        cmocka_unit_test(legacy_replacement),
        cmocka_unit_test(accesses),
        cmocka_unit_test(state_moves_to_another_machine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
