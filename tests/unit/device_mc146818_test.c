/* SPDX-License-Identifier: MIT
 *
 * The real-time clock: formats, calendar, update cycle, interrupts, memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "device/mc146818.h"
#include "device_harness.h"

#define SECOND UINT64_C(1000000000)

struct machine {
    struct harness h;
    struct harness_line irq, nmi_mask;
    struct device *rtc;
};

static void begin_at(struct machine *m, int64_t base)
{
    struct error err;

    harness_begin(&m->h);
    m->h.board.rtc_base = base;
    m->irq = m->nmi_mask = (struct harness_line){0};
    m->rtc = mc146818_new(&m->h.board, harness_irq(&m->irq), harness_irq(&m->nmi_mask), &err);
    assert_non_null(m->rtc);
    harness_reset(&m->h);
}

static uint8_t get(struct machine *m, uint8_t index)
{
    out8(&m->h, 0x70, index);
    return in8(&m->h, 0x71);
}

static void put(struct machine *m, uint8_t index, uint8_t value)
{
    out8(&m->h, 0x70, index);
    out8(&m->h, 0x71, value);
}

/* Century, year, month, day, day of the week, hour, minute, second as a string. */
static const char *shown(struct machine *m)
{
    static char text[40];

    snprintf(text, sizeof text, "%02x%02x-%02x-%02x %02x %02x:%02x:%02x", get(m, 0x32), get(m, 9),
             get(m, 8), get(m, 7), get(m, 6), get(m, 4), get(m, 2), get(m, 0));
    return text;
}

static void times_in_all_formats(void **state)
{
    static const struct {
        int64_t base;
        uint8_t format; /* of register B */
        const char *text;
    } ROWS[] = {
        {0, 0x02, "1970-01-01 05 00:00:00"},
        {951827696, 0x02, "2000-02-29 03 12:34:56"},
        {951827696, 0x00, "2000-02-29 03 92:34:56"},
        {951827696, 0x06, "1400-02-1d 03 0c:22:38"},
        {951827696, 0x04, "1400-02-1d 03 8c:22:38"},
        {1000000000, 0x02, "2001-09-09 01 01:46:40"},
        {1000000000, 0x00, "2001-09-09 01 01:46:40"},
        {1709164799, 0x00, "2024-02-28 04 91:59:59"}, /* 23:59:59 is 11 pm */
        {1709251199, 0x02, "2024-02-29 05 23:59:59"},
        {4107542400, 0x02, "2100-03-01 02 00:00:00"}, /* no leap year */
        {4107542400, 0x00, "2100-03-01 02 12:00:00"}, /* midnight is 12 am */
        {-1, 0x02, "1969-12-31 04 23:59:59"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        struct machine m;

        begin_at(&m, ROWS[i].base);
        put(&m, 0x0b, ROWS[i].format);
        if (strcmp(shown(&m), ROWS[i].text) != 0)
            fail_msg("row %zu: %s, not %s", i, shown(&m), ROWS[i].text);
        harness_end(&m.h);
    }
}

static void it_runs_over_midnight_and_leap_days(void **state)
{
    struct machine m;

    (void)state;
    begin_at(&m, 1709251199);
    harness_advance(&m.h, SECOND - 1);
    assert_string_equal(shown(&m), "2024-02-29 05 23:59:59");
    harness_advance(&m.h, 1);
    assert_string_equal(shown(&m), "2024-03-01 06 00:00:00");
    harness_advance(&m.h, 306 * 86400 * SECOND);
    assert_string_equal(shown(&m), "2025-01-01 04 00:00:00");
    assert_int_equal(mc146818_time(m.rtc), 1709251200 + 306 * 86400);
    harness_end(&m.h);
}

/* As Linux sets it: SET, all fields, SET off. Seconds begin where the chain is. */
static void setting(void **state)
{
    struct machine m;

    (void)state;
    begin_at(&m, 0);
    harness_advance(&m.h, 300000000);
    put(&m, 0x0b, 0x82);
    harness_advance(&m.h, 5 * SECOND);
    assert_string_equal(shown(&m), "1970-01-01 05 00:00:00"); /* it stands */
    put(&m, 9, 0x38);
    put(&m, 8, 0x01);
    put(&m, 7, 0x19);
    put(&m, 6, 0x03);
    put(&m, 4, 0x03);
    put(&m, 2, 0x14);
    put(&m, 0, 0x07);
    put(&m, 0x32, 0x20);
    assert_string_equal(shown(&m), "2038-01-19 03 03:14:07");
    put(&m, 0x0b, 0x02);
    assert_int_equal(mc146818_time(m.rtc), INT64_C(0x7fffffff));
    harness_advance(&m.h, 700000000);
    assert_string_equal(shown(&m), "2038-01-19 03 03:14:08");
    /* Without SET a field can be written, too. */
    put(&m, 4, 0x05);
    assert_string_equal(shown(&m), "2038-01-19 03 05:14:08");
    /* The day of the week is nobody's but the guest's. */
    put(&m, 6, 0x06);
    harness_advance(&m.h, 86400 * SECOND);
    assert_string_equal(shown(&m), "2038-01-20 07 05:14:08");
    harness_end(&m.h);
}

static void nonsense_becomes_a_date(void **state)
{
    struct machine m;

    (void)state;
    begin_at(&m, 0);
    put(&m, 0x0b, 0x82);
    for (uint8_t i = 0; i < 10; i++)
        put(&m, i, 0xff);
    put(&m, 0x32, 0xff);
    put(&m, 0x0b, 0x02);
    assert_string_equal(shown(&m), "9999-12-31 07 23:59:59");
    harness_advance(&m.h, SECOND);
    assert_int_equal(get(&m, 0x0c) & 0x10, 0x10);
    harness_end(&m.h);
}

static void the_chain_begins_half_a_second_behind_its_reset(void **state)
{
    struct machine m;

    (void)state;
    begin_at(&m, 0);
    harness_advance(&m.h, 123456789);
    put(&m, 0x0a, 0x70);
    harness_advance(&m.h, 10 * SECOND);
    assert_int_equal(get(&m, 0), 0);
    put(&m, 0x0a, 0x26);
    harness_advance(&m.h, SECOND / 2 - 1);
    assert_int_equal(get(&m, 0), 0);
    harness_advance(&m.h, 1);
    assert_int_equal(get(&m, 0), 1);
    harness_end(&m.h);
}

static void update_in_progress(void **state)
{
    struct machine m;

    (void)state;
    begin_at(&m, 0);
    harness_advance(&m.h, SECOND - 2228001);
    assert_int_equal(get(&m, 0x0a), 0x26);
    harness_advance(&m.h, 1);
    assert_int_equal(get(&m, 0x0a), 0xa6);
    harness_advance(&m.h, 2227999);
    assert_int_equal(get(&m, 0x0a), 0xa6);
    assert_int_equal(get(&m, 0), 0);
    harness_advance(&m.h, 1);
    assert_int_equal(get(&m, 0x0a), 0x26);
    assert_int_equal(get(&m, 0), 1);
    put(&m, 0x0a, 0xa6); /* read only */
    assert_int_equal(get(&m, 0x0a), 0x26);
    put(&m, 0x0b, 0x82);
    harness_advance(&m.h, SECOND - 1000);
    assert_int_equal(get(&m, 0x0a), 0x26); /* SET: no update */
    harness_end(&m.h);
}

static void update_interrupt(void **state)
{
    struct machine m;

    (void)state;
    begin_at(&m, 0);
    put(&m, 0x0b, 0x12);
    harness_advance(&m.h, SECOND - 1);
    assert_int_equal(m.irq.level, false);
    harness_advance(&m.h, 1);
    assert_int_equal(m.irq.level, true);
    harness_advance(&m.h, 3 * SECOND); /* one, until it is looked at */
    assert_int_equal(m.irq.rises, 1);
    assert_int_equal(get(&m, 0x0c), 0xd0); /* and the periodic flag, which interrupts nobody */
    assert_int_equal(m.irq.level, false);
    assert_int_equal(get(&m, 0x0c), 0x00);
    harness_advance(&m.h, SECOND);
    assert_int_equal(m.irq.rises, 2);
    put(&m, 0x0b, 0x92); /* SET ends UIE */
    assert_int_equal(get(&m, 0x0b), 0x82);
    assert_int_equal(m.irq.level, false);
    harness_end(&m.h);
}

static void periodic_rates(void **state)
{
    /* Data sheet, table 5, at 32.768 kHz: interrupts in two seconds. */
    static const unsigned RATES[16] = {0,   512, 256, 16384, 8192, 4096, 2048, 1024,
                                       512, 256, 128, 64,    32,   16,   8,    4};

    (void)state;
    for (uint8_t rate = 0; rate < 16; rate++) {
        struct machine m;
        unsigned count = 0;

        begin_at(&m, 0);
        put(&m, 0x0a, 0x20 | rate);
        put(&m, 0x0b, 0x42);
        while (clock_next(&m.h.clock) <= 2 * SECOND) {
            harness_advance(&m.h, clock_next(&m.h.clock) - clock_now(&m.h.clock));
            assert_int_equal(m.irq.level, true);
            assert_int_equal(get(&m, 0x0c) & 0xc0, 0xc0);
            count++;
        }
        if (count != RATES[rate])
            fail_msg("rate %u: %u interrupts", rate, count);
        harness_end(&m.h);
    }
}

static void alarms(void **state)
{
    static const struct {
        uint8_t format, hours, minutes, seconds;
        uint64_t after; /* seconds from 01:46:40; 0: never */
    } ROWS[] = {
        {0x22, 0x01, 0x46, 0x41, 1},     {0x22, 0x01, 0x47, 0x00, 20},
        {0x22, 0x01, 0x46, 0x40, 86400}, /* now is over */
        {0x22, 0x00, 0x00, 0x00, 80000}, {0x22, 0xff, 0xff, 0xff, 1},
        {0x22, 0xc0, 0xc0, 0x30, 50},    {0x22, 0xff, 0x10, 0xff, 1400},
        {0x22, 0x13, 0xff, 0x05, 40405}, {0x20, 0x81, 0x00, 0x00, 40400}, /* 1 pm */
        {0x20, 0x12, 0x00, 0x00, 80000},                                  /* 12 am */
        {0x26, 13, 0, 0, 40400},         {0x22, 0x25, 0x00, 0x00, 0},
        {0x22, 0xff, 0x60, 0x00, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        struct machine m;
        uint64_t next;

        begin_at(&m, 1000000000);
        put(&m, 5, ROWS[i].hours);
        put(&m, 3, ROWS[i].minutes);
        put(&m, 1, ROWS[i].seconds);
        put(&m, 0x0b, ROWS[i].format);
        next = clock_next(&m.h.clock);
        if (next != (ROWS[i].after ? ROWS[i].after * SECOND : TIMER_NEVER))
            fail_msg("row %zu: %llu", i, (unsigned long long)next);
        if (ROWS[i].after) {
            harness_advance(&m.h, next - 1);
            assert_int_equal(get(&m, 0x0c) & 0x20, 0);
            harness_advance(&m.h, 1);
            assert_int_equal(m.irq.level, true);
            assert_int_equal(get(&m, 0x0c) & 0xa0, 0xa0);
        }
        harness_end(&m.h);
    }
}

/* Flags are set whether or not they interrupt: drivers poll them. */
static void flags_without_interrupts(void **state)
{
    struct machine m;

    (void)state;
    begin_at(&m, 1000000000);
    put(&m, 5, 0xff);
    put(&m, 3, 0xff);
    put(&m, 1, 0x42);
    get(&m, 0x0c);
    harness_advance(&m.h, SECOND);
    assert_int_equal(get(&m, 0x0c), 0x50);
    harness_advance(&m.h, SECOND);
    assert_int_equal(get(&m, 0x0c), 0x70);
    assert_int_equal(m.irq.rises, 0);
    assert_int_equal(clock_next(&m.h.clock), TIMER_NEVER);
    harness_advance(&m.h, SECOND);
    get(&m, 0x0d);
    put(&m, 0x0b, 0x12); /* enabled late: the flag that is there interrupts at once */
    assert_int_equal(m.irq.level, true);
    harness_end(&m.h);
}

static void memory(void **state)
{
    struct machine m;

    (void)state;
    begin_at(&m, 0);
    for (unsigned i = 0x0e; i < 0x80; i++) {
        if (i != CMOS_CENTURY)
            mc146818_set(m.rtc, i, (uint8_t)(i ^ 0x5a));
    }
    for (unsigned i = 0x80; i < CMOS_BYTES; i++)
        mc146818_set(m.rtc, i, (uint8_t)i);
    mc146818_set(m.rtc, 0x0d, 0x12); /* not the board's */
    mc146818_set(m.rtc, 256, 1);
    assert_int_equal(get(&m, 0x0d), 0x80);
    for (unsigned i = 0x0e; i < 0x80; i++) {
        if (i != CMOS_CENTURY)
            assert_int_equal(get(&m, (uint8_t)i), i ^ 0x5a);
    }
    out8(&m.h, 0x72, 0x90);
    assert_int_equal(in8(&m.h, 0x73), 0x90);
    out8(&m.h, 0x73, 0x77);
    assert_int_equal(mc146818_get(m.rtc, 0x90), 0x77);
    put(&m, 0x10, 0x44);
    assert_int_equal(mc146818_get(m.rtc, 0x10), 0x44);
    assert_int_equal(mc146818_get(m.rtc, 256), 0xff);
    put(&m, 0x0d, 0);
    assert_int_equal(get(&m, 0x0d), 0x80);
    assert_int_equal(in8(&m.h, 0x70), 0xff);
    assert_int_equal(in8(&m.h, 0x72), 0xff);
    harness_end(&m.h);
}

static void nmi_mask(void **state)
{
    struct machine m;

    (void)state;
    begin_at(&m, 0);
    assert_int_equal(get(&m, 0x8d), 0x80);
    assert_int_equal(m.nmi_mask.level, true);
    assert_int_equal(get(&m, 0x0d), 0x80);
    assert_int_equal(m.nmi_mask.level, false);
    harness_end(&m.h);
}

static void reset_keeps_what_the_battery_keeps(void **state)
{
    struct machine m;

    (void)state;
    begin_at(&m, 0);
    put(&m, 0x0b, 0x7e);
    put(&m, 0x40, 0x99);
    harness_advance(&m.h, 90 * SECOND);
    assert_int_equal(m.irq.level, true);
    harness_reset(&m.h);
    assert_int_equal(m.irq.level, false);
    assert_int_equal(get(&m, 0x0b), 0x06);
    assert_int_equal(get(&m, 0x0c), 0);
    assert_int_equal(get(&m, 0x40), 0x99);
    assert_int_equal(get(&m, 2), 1);
    assert_int_equal(get(&m, 0), 30);
    harness_end(&m.h);
}

static void state_moves_to_another_machine(void **state)
{
    struct machine m, n;
    struct error err;

    (void)state;
    begin_at(&m, 1000000000);
    begin_at(&n, 5);
    put(&m, 5, 0xff);
    put(&m, 3, 0x48);
    put(&m, 1, 0x00);
    put(&m, 0x0a, 0x2f);
    put(&m, 0x0b, 0x62);
    harness_advance(&m.h, 700000000);
    out8(&m.h, 0x70, 0x82);
    assert_true(harness_transplant(&m.h, &n.h, &err));
    n.irq = m.irq;
    assert_int_equal(n.nmi_mask.level, true);
    assert_int_equal(in8(&n.h, 0x71), 0x46);
    for (unsigned i = 0; i < 200; i++) {
        assert_int_equal(m.irq.level, n.irq.level);
        assert_int_equal(get(&m, 0x0c), get(&n, 0x0c));
        harness_advance(&m.h, 500000000);
        harness_advance(&n.h, 500000000);
    }
    assert_int_equal(m.irq.rises, n.irq.rises);
    assert_int_equal(mc146818_time(m.rtc), mc146818_time(n.rtc));
    assert_true(harness_keeps_state(&m.h, &err));
    harness_end(&m.h);
    harness_end(&n.h);
}

static void what_is_refused(void **state)
{
    struct harness h;

    (void)state;
    harness_begin(&h);
    assert_non_null(strstr(harness_refuses(&h, "mc146818rtc", "iobase=0xfffd", NULL), "0xfffd"));
    h.board.rtc_base = INT64_C(300000000000); /* the year 11476 */
    assert_non_null(strstr(harness_refuses(&h, "mc146818rtc", NULL), "year"));
    harness_end(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_in_all_formats),
        cmocka_unit_test(it_runs_over_midnight_and_leap_days),
        cmocka_unit_test(setting),
        cmocka_unit_test(nonsense_becomes_a_date),
        cmocka_unit_test(the_chain_begins_half_a_second_behind_its_reset),
        cmocka_unit_test(update_in_progress),
        cmocka_unit_test(update_interrupt),
        cmocka_unit_test(periodic_rates),
        cmocka_unit_test(alarms),
        cmocka_unit_test(flags_without_interrupts),
        cmocka_unit_test(memory),
        cmocka_unit_test(nmi_mask),
        cmocka_unit_test(reset_keeps_what_the_battery_keeps),
        cmocka_unit_test(state_moves_to_another_machine),
        cmocka_unit_test(what_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
