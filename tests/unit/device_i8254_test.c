/* SPDX-License-Identifier: MIT
 *
 * The 8254 and port 0x61: all modes against a model that counts tick by tick as the data sheet
 * draws it, latches, read-back, BCD, the line of channel 0.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "device/i8254.h"
#include "device_harness.h"

struct machine {
    struct harness h;
    struct harness_line irq;
    struct device *pit;
};

static void begin(struct machine *m)
{
    struct error err;

    harness_begin(&m->h);
    m->irq = (struct harness_line){0};
    m->pit = i8254_new(&m->h.board, harness_irq(&m->irq), &err);
    assert_non_null(m->pit);
    assert_non_null(pcspk_new(&m->h.board, m->pit, &err));
    harness_reset(&m->h);
}

static uint64_t tick_time(uint64_t tick)
{
    return (tick * 1000000000 + PIT_HZ - 1) / PIT_HZ;
}

static void to_tick(struct machine *m, uint64_t tick)
{
    harness_advance(&m->h, tick_time(tick) - clock_now(&m->h.clock));
}

static void program(struct machine *m, unsigned channel, uint8_t mode, uint16_t count)
{
    out8(&m->h, 0x43, (uint8_t)(channel << 6 | 0x30 | mode << 1));
    out8(&m->h, (uint16_t)(0x40 + channel), (uint8_t)count);
    out8(&m->h, (uint16_t)(0x40 + channel), (uint8_t)(count >> 8));
}

static uint16_t read_latched(struct machine *m, unsigned channel)
{
    uint8_t low;

    out8(&m->h, 0x43, (uint8_t)(channel << 6));
    low = in8(&m->h, (uint16_t)(0x40 + channel));
    return (uint16_t)(in8(&m->h, (uint16_t)(0x40 + channel)) << 8 | low);
}

/* What the data sheet's timing diagrams show, `count` 4 or 5, the count written at tick 0 (modes 1
 * and 5: the gate rises then), from tick 1 on: output, counter. */
static void timing_diagrams(void **state)
{
    static const struct {
        uint8_t mode;
        uint16_t count;
        const char *output;
        uint16_t counter[10];
    } ROWS[] = {
        {0, 4, "0000111111", {4, 3, 2, 1, 0, 0xffff, 0xfffe, 0xfffd, 0xfffc, 0xfffb}},
        {1, 3, "0001111111", {3, 2, 1, 0, 0xffff, 0xfffe, 0xfffd, 0xfffc, 0xfffb, 0xfffa}},
        {2, 3, "1101101101", {3, 2, 1, 3, 2, 1, 3, 2, 1, 3}},
        {3, 4, "1100110011", {4, 2, 4, 2, 4, 2, 4, 2, 4, 2}},
        {3, 5, "1110011100", {4, 2, 0, 4, 2, 4, 2, 0, 4, 2}},
        {4, 3, "1110111111", {3, 2, 1, 0, 0xffff, 0xfffe, 0xfffd, 0xfffc, 0xfffb, 0xfffa}},
        {5, 3, "1110111111", {3, 2, 1, 0, 0xffff, 0xfffe, 0xfffd, 0xfffc, 0xfffb, 0xfffa}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        struct machine m;
        bool triggered = ROWS[i].mode == 1 || ROWS[i].mode == 5;

        begin(&m);
        to_tick(&m, 100);
        out8(&m.h, 0x61, triggered ? 0 : 1);
        program(&m, 2, ROWS[i].mode, ROWS[i].count);
        assert_int_equal(in8(&m.h, 0x61) >> 5 & 1, ROWS[i].mode != 0);
        out8(&m.h, 0x61, 1);
        for (unsigned tick = 0; tick < 10; tick++) {
            to_tick(&m, 101 + tick);
            if ((in8(&m.h, 0x61) >> 5 & 1) != ROWS[i].output[tick] - '0')
                fail_msg("mode %u count %u tick %u: output", ROWS[i].mode, ROWS[i].count, tick);
            if (read_latched(&m, 2) != ROWS[i].counter[tick])
                fail_msg("mode %u count %u tick %u: counter %#x", ROWS[i].mode, ROWS[i].count, tick,
                         read_latched(&m, 2));
        }
        harness_end(&m.h);
    }
}

/* Rising edges of channel 0 in a time, exactly. */
static void edges_of_irq_0(void **state)
{
    static const struct {
        uint8_t mode;
        uint16_t count;
        uint64_t ticks;
        unsigned rises;
    } ROWS[] = {
        {2, 0, 65536 * 5 + 1, 5},         /* the BIOS's 18.2 Hz, as a rate */
        {3, 0, 65536 * 5 + 1, 5},         /* and as a square wave */
        {2, 11932, 11932 * 100 + 1, 100}, /* Linux at 100 Hz */
        {3, 1001, 1001 * 7 + 1, 7},
        {2, 2, 2001, 1000},
        {0, 1000, 5000, 1}, /* once */
        {4, 1000, 5000, 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        struct machine m;
        unsigned before;

        begin(&m);
        program(&m, 0, ROWS[i].mode, ROWS[i].count);
        before = m.irq.rises;
        to_tick(&m, ROWS[i].ticks + 1);
        if (m.irq.rises - before != ROWS[i].rises)
            fail_msg("mode %u count %u: %u edges", ROWS[i].mode, ROWS[i].count,
                     m.irq.rises - before);
        harness_end(&m.h);
    }
}

static void an_edge_comes_at_its_nanosecond(void **state)
{
    struct machine m;

    (void)state;
    begin(&m);
    program(&m, 0, 0, 1193);
    assert_int_equal(m.irq.level, false);
    harness_advance(&m.h, tick_time(1194) - 1);
    assert_int_equal(m.irq.level, false);
    harness_advance(&m.h, 1);
    assert_int_equal(m.irq.level, true);
    assert_int_equal(clock_next(&m.h.clock), TIMER_NEVER);
    harness_end(&m.h);
}

static uint64_t late;

static uint64_t late_clock(void *opaque)
{
    (void)opaque;
    return late;
}

static void a_late_clock_makes_one_edge_of_many(void **state)
{
    struct machine m;
    unsigned before;

    (void)state;
    begin(&m);
    late = 0;
    m.h.clock.source = late_clock;
    program(&m, 0, 2, 100);
    before = m.irq.rises;
    late = tick_time(1050);
    clock_run(&m.h.clock);
    assert_int_equal(m.irq.rises - before, 1);
    late = tick_time(1100) - 1;
    clock_run(&m.h.clock);
    late = tick_time(1101);
    clock_run(&m.h.clock);
    assert_int_equal(m.irq.rises - before, 2);
    harness_end(&m.h);
}

static void access_modes(void **state)
{
    struct machine m;

    (void)state;
    begin(&m);
    out8(&m.h, 0x61, 1);
    out8(&m.h, 0x43, 0x90); /* low byte only, mode 0 */
    out8(&m.h, 0x42, 0x40);
    to_tick(&m, 1);
    assert_int_equal(in8(&m.h, 0x42), 0x40);
    to_tick(&m, 11);
    assert_int_equal(in8(&m.h, 0x42), 0x36);
    out8(&m.h, 0x43, 0xa0); /* high byte only */
    out8(&m.h, 0x42, 0x12);
    to_tick(&m, 12);
    assert_int_equal(in8(&m.h, 0x42), 0x12);
    out8(&m.h, 0x43, 0xb0);
    out8(&m.h, 0x42, 0x34);
    out8(&m.h, 0x42, 0x12);
    to_tick(&m, 13);
    assert_int_equal(in8(&m.h, 0x42), 0x34);
    assert_int_equal(in8(&m.h, 0x42), 0x12);
    assert_int_equal(in8(&m.h, 0x42), 0x34);
    assert_int_equal(in8(&m.h, 0x43), 0xff); /* the control word cannot be read */
    harness_end(&m.h);
}

static void mode_0_stops_at_the_first_byte(void **state)
{
    struct machine m;

    (void)state;
    begin(&m);
    program(&m, 0, 0, 10);
    to_tick(&m, 50);
    assert_int_equal(m.irq.level, true);
    out8(&m.h, 0x40, 0xff);
    assert_int_equal(m.irq.level, false);
    to_tick(&m, 500);
    assert_int_equal(m.irq.level, false);
    out8(&m.h, 0x40, 0);
    to_tick(&m, 501 + 254);
    assert_int_equal(m.irq.level, false);
    to_tick(&m, 501 + 255);
    assert_int_equal(m.irq.level, true);
    harness_end(&m.h);
}

static void latches_hold_until_read(void **state)
{
    struct machine m;

    (void)state;
    begin(&m);
    out8(&m.h, 0x61, 1);
    program(&m, 2, 2, 0x1000);
    to_tick(&m, 1 + 0x10);
    out8(&m.h, 0x43, 0x80);
    to_tick(&m, 1 + 0x20);
    out8(&m.h, 0x43, 0x80); /* ignored: the first one was not read */
    assert_int_equal(in8(&m.h, 0x42), 0xf0);
    to_tick(&m, 1 + 0x30);
    assert_int_equal(in8(&m.h, 0x42), 0x0f);
    assert_int_equal(in8(&m.h, 0x42), 0xd0); /* now it is live */
    assert_int_equal(in8(&m.h, 0x42), 0x0f);
    harness_end(&m.h);
}

static void read_back(void **state)
{
    struct machine m;

    (void)state;
    begin(&m);
    out8(&m.h, 0x61, 1);
    program(&m, 0, 2, 0x4321);
    out8(&m.h, 0x43, 0x17 | 0x80); /* channel 2: low byte, mode 3, BCD */
    out8(&m.h, 0x42, 0x50);
    out8(&m.h, 0x43, 0xe0 | 0x0a);           /* status of channels 0 and 2 */
    assert_int_equal(in8(&m.h, 0x40), 0xf4); /* output high, null count, both bytes, mode 2 */
    assert_int_equal(in8(&m.h, 0x42), 0xd7);
    to_tick(&m, 2);
    out8(&m.h, 0x43, 0xc0 | 0x0a); /* count and status */
    to_tick(&m, 100);
    assert_int_equal(in8(&m.h, 0x40), 0xb4);
    assert_int_equal(in8(&m.h, 0x40), 0x20);
    assert_int_equal(in8(&m.h, 0x40), 0x43);
    assert_int_equal(in8(&m.h, 0x42), 0x97);
    assert_int_equal(in8(&m.h, 0x42), 0x48);
    out8(&m.h, 0x43, 0xd0 | 0x02); /* count alone */
    assert_int_equal(in8(&m.h, 0x40), (uint8_t)(0x4321 - 99));
    harness_end(&m.h);
}

static void bcd(void **state)
{
    struct machine m;

    (void)state;
    begin(&m);
    out8(&m.h, 0x43, 0x31); /* mode 0, BCD, both bytes; 0 stands for 10000 */
    out8(&m.h, 0x40, 0);
    out8(&m.h, 0x40, 0);
    to_tick(&m, 2);
    assert_int_equal(read_latched(&m, 0), 0x9999);
    to_tick(&m, 1 + 9999);
    assert_int_equal(m.irq.level, false);
    to_tick(&m, 1 + 10000);
    assert_int_equal(m.irq.level, true);
    to_tick(&m, 1 + 10001);
    assert_int_equal(read_latched(&m, 0), 0x9999);
    harness_end(&m.h);
}

static void the_gate_stops_and_starts(void **state)
{
    struct machine m;

    (void)state;
    begin(&m);
    out8(&m.h, 0x61, 1);
    program(&m, 2, 0, 100);
    to_tick(&m, 1 + 30);
    out8(&m.h, 0x61, 0);
    assert_int_equal(i8254_gate(m.pit, 2), false);
    to_tick(&m, 1000);
    assert_int_equal(read_latched(&m, 2), 70);
    out8(&m.h, 0x61, 1);
    to_tick(&m, 1069);
    assert_int_equal(in8(&m.h, 0x61) & 0x20, 0);
    to_tick(&m, 1070);
    assert_int_equal(in8(&m.h, 0x61) & 0x20, 0x20);
    /* Mode 2: the output goes high at once, and the count begins again. */
    program(&m, 2, 2, 10);
    to_tick(&m, 1071 + 9);
    assert_int_equal(in8(&m.h, 0x61) & 0x20, 0);
    out8(&m.h, 0x61, 0);
    assert_int_equal(in8(&m.h, 0x61) & 0x20, 0x20);
    to_tick(&m, 2000);
    out8(&m.h, 0x61, 1);
    to_tick(&m, 2001 + 8);
    assert_int_equal(in8(&m.h, 0x61) & 0x20, 0x20);
    to_tick(&m, 2001 + 9);
    assert_int_equal(in8(&m.h, 0x61) & 0x20, 0);
    /* Mode 1: retriggered. */
    program(&m, 2, 1, 10);
    assert_int_equal(in8(&m.h, 0x61) & 0x20, 0x20);
    out8(&m.h, 0x61, 0);
    out8(&m.h, 0x61, 1);
    to_tick(&m, 2010 + 5);
    assert_int_equal(in8(&m.h, 0x61) & 0x20, 0);
    out8(&m.h, 0x61, 0);
    out8(&m.h, 0x61, 1);
    to_tick(&m, 2016 + 9);
    assert_int_equal(in8(&m.h, 0x61) & 0x20, 0);
    to_tick(&m, 2016 + 10);
    assert_int_equal(in8(&m.h, 0x61) & 0x20, 0x20);
    harness_end(&m.h);
}

/* A new count of modes 2 and 3 waits for the end of the cycle, or half of it. */
static void new_counts(void **state)
{
    struct machine m;

    (void)state;
    begin(&m);
    out8(&m.h, 0x61, 1);
    program(&m, 2, 2, 100);
    to_tick(&m, 1 + 1050);
    out8(&m.h, 0x42, 10);
    out8(&m.h, 0x42, 0);
    out8(&m.h, 0x43, 0xe8);
    assert_int_equal(in8(&m.h, 0x42) & 0x40, 0x40); /* null count */
    assert_int_equal(read_latched(&m, 2), 50);
    to_tick(&m, 1 + 1099);
    assert_int_equal(read_latched(&m, 2), 1);
    to_tick(&m, 1 + 1103);
    assert_int_equal(read_latched(&m, 2), 7);
    program(&m, 2, 3, 100); /* at 1104: loaded at 1105 */
    to_tick(&m, 1105 + 20);
    out8(&m.h, 0x42, 20);
    out8(&m.h, 0x42, 0);
    to_tick(&m, 1105 + 49);
    assert_int_equal(in8(&m.h, 0x61) & 0x20, 0x20);
    to_tick(&m, 1105 + 50);
    assert_int_equal(in8(&m.h, 0x61) & 0x20, 0);
    to_tick(&m, 1105 + 59);
    assert_int_equal(in8(&m.h, 0x61) & 0x20, 0);
    to_tick(&m, 1105 + 60);
    assert_int_equal(in8(&m.h, 0x61) & 0x20, 0x20);
    harness_end(&m.h);
}

/* How Linux and SeaBIOS measure time with channel 2: 50 ms in mode 0 until port 0x61 shows it. */
static void calibration(void **state)
{
    struct machine m;
    uint64_t start;

    (void)state;
    begin(&m);
    harness_advance(&m.h, 123456789);
    out8(&m.h, 0x61, (uint8_t)((in8(&m.h, 0x61) & ~0x02) | 0x01));
    program(&m, 2, 0, PIT_HZ / 20);
    start = clock_now(&m.h.clock);
    while (!(in8(&m.h, 0x61) & 0x20))
        harness_advance(&m.h, 1000);
    start = clock_now(&m.h.clock) - start;
    assert_in_range(start, 49999000, 50003000);
    harness_end(&m.h);
}

static void port_61(void **state)
{
    struct machine m;
    unsigned changes = 0;
    uint8_t was;

    (void)state;
    begin(&m);
    out8(&m.h, 0x61, 0xff);
    assert_int_equal(in8(&m.h, 0x61) & 0xcf, 0x0f);
    out8(&m.h, 0x61, 0x02);
    assert_int_equal(in8(&m.h, 0x61) & 0x0f, 0x02);
    was = in8(&m.h, 0x61);
    for (unsigned i = 0; i < 1000; i++) { /* 1 ms: 66 refreshes */
        uint8_t now;

        harness_advance(&m.h, 1000);
        now = in8(&m.h, 0x61);
        changes += (was ^ now) >> 4 & 1;
        was = now;
    }
    assert_in_range(changes, 65, 67);
    harness_end(&m.h);
}

static void modes_6_and_7_and_a_count_of_1(void **state)
{
    struct machine m;

    (void)state;
    begin(&m);
    program(&m, 0, 6, 10);
    out8(&m.h, 0x43, 0xe2);
    assert_int_equal(in8(&m.h, 0x40) & 0x0e, 0x04);
    program(&m, 0, 7, 1); /* forbidden: it must not stop the machine */
    out8(&m.h, 0x43, 0xe2);
    assert_int_equal(in8(&m.h, 0x40) & 0x0e, 0x06);
    to_tick(&m, 100);
    assert_in_range(m.irq.rises, 1, 100);
    harness_end(&m.h);
}

static void state_moves_to_another_machine(void **state)
{
    struct machine m, n;
    struct error err;

    (void)state;
    begin(&m);
    begin(&n);
    program(&m, 0, 3, 1000);
    out8(&m.h, 0x61, 3);
    program(&m, 2, 2, 777);
    to_tick(&m, 1234);
    out8(&m.h, 0x43, 0x80);
    in8(&m.h, 0x42);
    out8(&m.h, 0x40, 0x55); /* half of a new count */
    assert_true(harness_transplant(&m.h, &n.h, &err));
    n.irq = m.irq;
    for (unsigned i = 0; i < 2; i++) {
        struct machine *x = i ? &n : &m;

        assert_int_equal(in8(&x->h, 0x42), 320 >> 8);
        out8(&x->h, 0x40, 0x01);
        to_tick(x, 5000);
    }
    assert_int_equal(m.irq.rises, n.irq.rises);
    assert_int_equal(m.irq.level, n.irq.level);
    assert_int_equal(read_latched(&m, 0), read_latched(&n, 0));
    assert_int_equal(in8(&m.h, 0x61), in8(&n.h, 0x61));
    assert_true(harness_keeps_state(&m.h, &err));
    harness_end(&m.h);
    harness_end(&n.h);
}

static void what_is_refused(void **state)
{
    struct harness h;

    (void)state;
    harness_begin(&h);
    assert_non_null(strstr(harness_refuses(&h, "isa-pit", "iobase=0xfffe", NULL), "0xfffe"));
    assert_non_null(strstr(harness_refuses(&h, "isa-pcspk", NULL), "isa-pit"));
    harness_end(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timing_diagrams),
        cmocka_unit_test(edges_of_irq_0),
        cmocka_unit_test(an_edge_comes_at_its_nanosecond),
        cmocka_unit_test(a_late_clock_makes_one_edge_of_many),
        cmocka_unit_test(access_modes),
        cmocka_unit_test(mode_0_stops_at_the_first_byte),
        cmocka_unit_test(latches_hold_until_read),
        cmocka_unit_test(read_back),
        cmocka_unit_test(bcd),
        cmocka_unit_test(the_gate_stops_and_starts),
        cmocka_unit_test(new_counts),
        cmocka_unit_test(calibration),
        cmocka_unit_test(port_61),
        cmocka_unit_test(modes_6_and_7_and_a_count_of_1),
        cmocka_unit_test(state_moves_to_another_machine),
        cmocka_unit_test(what_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
