/* SPDX-License-Identifier: MIT
 *
 * The pair of 8259A: initialisation, priorities, modes, end of interrupt, cascade, polling.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "device/i8259.h"
#include "device_harness.h"

enum { MASTER = 0x20, SLAVE = 0xa0, NOTHING = -1 };

struct pair {
    struct harness h;
    struct harness_line intr;
    struct device *master;
};

static void pair_begin(struct pair *p)
{
    struct error err;

    harness_begin(&p->h);
    p->intr = (struct harness_line){0};
    p->master = i8259_new_pair(&p->h.board, harness_irq(&p->intr), &err);
    assert_non_null(p->master);
    harness_reset(&p->h);
}

static void chip_init(struct pair *p, uint16_t port, uint8_t base, uint8_t icw3, uint8_t icw4)
{
    out8(&p->h, port, 0x11);
    out8(&p->h, port + 1, base);
    out8(&p->h, port + 1, icw3);
    out8(&p->h, port + 1, icw4);
    out8(&p->h, port + 1, 0);
}

/* As Linux does it: vectors 0x30 and 0x38. */
static void pair_init(struct pair *p)
{
    pair_begin(p);
    chip_init(p, MASTER, 0x30, 0x04, 0x01);
    chip_init(p, SLAVE, 0x38, 0x02, 0x01);
}

static void set(struct pair *p, unsigned line, bool level)
{
    irq_set(i8259_line(p->master, line), level);
}

static void pulse(struct pair *p, unsigned line)
{
    irq_pulse(i8259_line(p->master, line));
}

static int acknowledge(struct pair *p)
{
    return p->intr.level ? i8259_acknowledge(p->master) : NOTHING;
}

static uint8_t isr(struct pair *p, uint16_t port)
{
    out8(&p->h, port, 0x0b);
    return in8(&p->h, port);
}

static uint8_t irr(struct pair *p, uint16_t port)
{
    out8(&p->h, port, 0x0a);
    return in8(&p->h, port);
}

static void each_line_has_its_vector(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p);
    for (unsigned line = 0; line < 16; line++) {
        if (line == 2)
            continue;
        set(&p, line, true);
        assert_int_equal(p.intr.level, true);
        assert_int_equal(i8259_pending(p.master), true);
        assert_int_equal(acknowledge(&p), 0x30 + line);
        assert_int_equal(p.intr.level, false);
        assert_int_equal(isr(&p, MASTER), line < 8 ? 1 << line : 4);
        assert_int_equal(isr(&p, SLAVE), line < 8 ? 0 : 1 << (line - 8));
        if (line >= 8)
            out8(&p.h, SLAVE, 0x60 | (line - 8));
        out8(&p.h, MASTER, 0x60 | (line < 8 ? line : 2));
        assert_int_equal(isr(&p, MASTER), 0);
        assert_int_equal(acknowledge(&p), NOTHING);
        set(&p, line, false);
    }
    assert_null(i8259_line(p.master, 2).set);
    assert_null(i8259_line(p.master, 16).set);
    harness_end(&p.h);
}

static void higher_ones_nest_lower_ones_wait(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p);
    pulse(&p, 4);
    assert_int_equal(acknowledge(&p), 0x34);
    pulse(&p, 6);
    assert_int_equal(acknowledge(&p), NOTHING);
    pulse(&p, 4); /* its own level waits, too */
    assert_int_equal(acknowledge(&p), NOTHING);
    pulse(&p, 1);
    assert_int_equal(acknowledge(&p), 0x31);
    assert_int_equal(isr(&p, MASTER), 0x12);
    assert_int_equal(irr(&p, MASTER), 0x50);
    out8(&p.h, MASTER, 0x20); /* ends 1, the highest */
    assert_int_equal(isr(&p, MASTER), 0x10);
    out8(&p.h, MASTER, 0x20);
    assert_int_equal(acknowledge(&p), 0x34);
    out8(&p.h, MASTER, 0x20);
    assert_int_equal(acknowledge(&p), 0x36);
    out8(&p.h, MASTER, 0x20);
    out8(&p.h, MASTER, 0x20); /* none in service: nothing happens */
    assert_int_equal(isr(&p, MASTER), 0);
    harness_end(&p.h);
}

static void masks_hold_back_and_let_go(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p);
    out8(&p.h, MASTER + 1, 0xff);
    assert_int_equal(in8(&p.h, MASTER + 1), 0xff);
    pulse(&p, 3);
    assert_int_equal(p.intr.level, false);
    assert_int_equal(irr(&p, MASTER), 0x08);
    out8(&p.h, MASTER + 1, 0xf7);
    assert_int_equal(acknowledge(&p), 0x33);
    harness_end(&p.h);
}

static void spurious_is_seven_and_not_in_service(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p);
    pulse(&p, 3);
    out8(&p.h, MASTER + 1, 0xff); /* gone between INTR and INTA */
    assert_int_equal(i8259_acknowledge(p.master), 0x37);
    assert_int_equal(isr(&p, MASTER), 0);
    out8(&p.h, MASTER + 1, 0);
    assert_int_equal(acknowledge(&p), 0x33);
    out8(&p.h, MASTER, 0x20);
    /* A level that goes away, at the slave: 15, and the master serves the cascade. */
    out8(&p.h, 0x4d1, 0x08);
    set(&p, 11, true);
    irq_set(i8259_line(p.master, 11), true);
    out8(&p.h, SLAVE + 1, 0xff);
    set(&p, 11, false);
    assert_int_equal(irr(&p, MASTER) & 4, 4); /* the edge from the slave is latched */
    assert_int_equal(i8259_acknowledge(p.master), 0x3f);
    assert_int_equal(isr(&p, SLAVE), 0);
    assert_int_equal(isr(&p, MASTER), 4);
    harness_end(&p.h);
}

static void levels_follow_their_line(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p);
    out8(&p.h, 0x4d0, 0xff);
    out8(&p.h, 0x4d1, 0xff);
    assert_int_equal(in8(&p.h, 0x4d0), 0xf8); /* 0, 1, 2, 8 and 13 are always edges */
    assert_int_equal(in8(&p.h, 0x4d1), 0xde);
    set(&p, 5, true);
    assert_int_equal(acknowledge(&p), 0x35);
    assert_int_equal(irr(&p, MASTER), 0x20);
    out8(&p.h, MASTER, 0x20);
    assert_int_equal(acknowledge(&p), 0x35); /* still up */
    set(&p, 5, false);
    out8(&p.h, MASTER, 0x20);
    assert_int_equal(acknowledge(&p), NOTHING);
    set(&p, 10, true);
    assert_int_equal(acknowledge(&p), 0x3a);
    set(&p, 10, false);
    assert_int_equal(irr(&p, SLAVE), 0);
    harness_end(&p.h);
}

static void initialisation_needs_a_new_edge(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p);
    set(&p, 1, true);
    chip_init(&p, MASTER, 0x50, 0x04, 0x01);
    assert_int_equal(acknowledge(&p), NOTHING);
    set(&p, 1, false);
    set(&p, 1, true);
    assert_int_equal(acknowledge(&p), 0x51);
    harness_end(&p.h);
}

static void single_and_without_icw4(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p);
    chip_init(&p, MASTER, 0x30, 0x04, 0x13);
    out8(&p.h, MASTER, 0x12); /* SNGL, no ICW4: two words in all, and its functions are off */
    out8(&p.h, MASTER + 1, 0x47);
    out8(&p.h, MASTER + 1, 0xfd);
    assert_int_equal(in8(&p.h, MASTER + 1), 0xfd);
    pulse(&p, 1);
    assert_int_equal(acknowledge(&p), 0x41);
    assert_int_equal(isr(&p, MASTER), 0x02);
    out8(&p.h, MASTER, 0x13); /* SNGL with ICW4 */
    out8(&p.h, MASTER + 1, 0x40);
    out8(&p.h, MASTER + 1, 0x03);
    pulse(&p, 1);
    assert_int_equal(acknowledge(&p), 0x41);
    assert_int_equal(isr(&p, MASTER), 0); /* AEOI */
    harness_end(&p.h);
}

static void rotation(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p);
    pulse(&p, 3);
    assert_int_equal(acknowledge(&p), 0x33);
    out8(&p.h, MASTER, 0xa0); /* rotate on non-specific EOI: 3 is last */
    pulse(&p, 0);
    pulse(&p, 3);
    pulse(&p, 4);
    assert_int_equal(acknowledge(&p), 0x34);
    out8(&p.h, MASTER, 0xe0 | 4); /* rotate on specific EOI: 4 is last, 5 first */
    assert_int_equal(acknowledge(&p), 0x30);
    out8(&p.h, MASTER, 0x20);
    assert_int_equal(acknowledge(&p), 0x33);
    out8(&p.h, MASTER, 0x20);
    out8(&p.h, MASTER, 0xc0 | 0); /* set priority: 0 is last */
    pulse(&p, 0);
    pulse(&p, 7);
    assert_int_equal(acknowledge(&p), 0x37);
    out8(&p.h, MASTER, 0x40); /* no operation */
    assert_int_equal(isr(&p, MASTER), 0x80);
    out8(&p.h, MASTER, 0x67);
    assert_int_equal(acknowledge(&p), 0x30);
    harness_end(&p.h);
}

static void automatic_end_and_rotation(void **state)
{
    struct pair p;

    (void)state;
    pair_begin(&p);
    chip_init(&p, MASTER, 0x30, 0x04, 0x03);
    pulse(&p, 2 + 1);
    assert_int_equal(acknowledge(&p), 0x33);
    assert_int_equal(isr(&p, MASTER), 0);
    out8(&p.h, MASTER, 0x80); /* rotate in AEOI mode */
    pulse(&p, 3);
    assert_int_equal(acknowledge(&p), 0x33);
    pulse(&p, 1);
    pulse(&p, 4);
    assert_int_equal(acknowledge(&p), 0x34);
    assert_int_equal(acknowledge(&p), 0x31);
    out8(&p.h, MASTER, 0x00); /* no longer; 1 stays last */
    pulse(&p, 1);
    pulse(&p, 5);
    assert_int_equal(acknowledge(&p), 0x35);
    pulse(&p, 5);
    assert_int_equal(acknowledge(&p), 0x35);
    assert_int_equal(acknowledge(&p), 0x31);
    harness_end(&p.h);
}

static void special_mask(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p);
    pulse(&p, 2 + 2);
    assert_int_equal(acknowledge(&p), 0x34);
    out8(&p.h, MASTER + 1, 0x10);
    out8(&p.h, MASTER, 0x68);
    pulse(&p, 6);
    assert_int_equal(acknowledge(&p), 0x36); /* lower, but what is in service is masked */
    assert_int_equal(isr(&p, MASTER), 0x50);
    out8(&p.h, MASTER, 0x20); /* not the masked one */
    assert_int_equal(isr(&p, MASTER), 0x10);
    out8(&p.h, MASTER, 0x20);
    assert_int_equal(isr(&p, MASTER), 0x10);
    out8(&p.h, MASTER, 0x48); /* special mask mode ends */
    pulse(&p, 6);
    assert_int_equal(acknowledge(&p), NOTHING);
    out8(&p.h, MASTER, 0x08); /* OCW3 without ESMM changes nothing */
    out8(&p.h, MASTER, 0x64);
    assert_int_equal(acknowledge(&p), 0x36);
    harness_end(&p.h);
}

static void special_fully_nested(void **state)
{
    struct pair p;

    (void)state;
    pair_begin(&p);
    chip_init(&p, MASTER, 0x30, 0x04, 0x11);
    chip_init(&p, SLAVE, 0x38, 0x02, 0x01);
    pulse(&p, 12);
    assert_int_equal(acknowledge(&p), 0x3c);
    pulse(&p, 9); /* higher within the slave: gets through the master at once */
    assert_int_equal(acknowledge(&p), 0x39);
    pulse(&p, 3);
    assert_int_equal(acknowledge(&p), NOTHING);
    out8(&p.h, SLAVE, 0x20);
    assert_int_equal(isr(&p, SLAVE), 0x10);
    out8(&p.h, SLAVE, 0x20);
    out8(&p.h, MASTER, 0x20);
    assert_int_equal(acknowledge(&p), 0x33);
    harness_end(&p.h);
}

static void without_it_the_slave_waits(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p);
    pulse(&p, 12);
    assert_int_equal(acknowledge(&p), 0x3c);
    pulse(&p, 9);
    assert_int_equal(acknowledge(&p), NOTHING);
    out8(&p.h, MASTER, 0x62);
    assert_int_equal(acknowledge(&p), 0x39);
    harness_end(&p.h);
}

static void polling(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p);
    out8(&p.h, MASTER, 0x0c);
    assert_int_equal(in8(&p.h, MASTER), 0);
    pulse(&p, 5);
    out8(&p.h, MASTER, 0x0c);
    assert_int_equal(in8(&p.h, MASTER), 0x85);
    assert_int_equal(p.intr.level, false);
    assert_int_equal(isr(&p, MASTER), 0x20);
    out8(&p.h, MASTER, 0x20);
    pulse(&p, 14);
    out8(&p.h, SLAVE, 0x0c);
    assert_int_equal(in8(&p.h, SLAVE + 1), 0x86); /* either port */
    assert_int_equal(in8(&p.h, SLAVE + 1), 0x00); /* once */
    harness_end(&p.h);
}

static void printing(void **state)
{
    struct pair p;
    struct strbuf text;

    (void)state;
    pair_init(&p);
    out8(&p.h, MASTER + 1, 0xb8);
    pulse(&p, 4);
    out8(&p.h, 0x4d1, 0x0c);
    strbuf_init(&text);
    i8259_print(p.master, &text);
    assert_string_equal(text.data,
                        "pic1: irr=00 imr=00 isr=00 hprio=0 irq_base=38 rr_sel=0 elcr=0c fnm=0\n"
                        "pic0: irr=10 imr=b8 isr=00 hprio=0 irq_base=30 rr_sel=0 elcr=00 fnm=0\n");
    strbuf_free(&text);
    harness_end(&p.h);
}

static void state_moves_to_another_machine(void **state)
{
    struct pair p, q;
    struct error err;

    (void)state;
    pair_init(&p);
    pulse(&p, 6);
    assert_int_equal(acknowledge(&p), 0x36);
    pulse(&p, 9);
    pulse(&p, 3);
    out8(&p.h, MASTER, 0xc0 | 6);
    out8(&p.h, SLAVE, 0x11); /* in the middle of its initialisation */
    out8(&p.h, SLAVE + 1, 0x70);
    pair_begin(&q);
    assert_true(harness_transplant(&p.h, &q.h, &err));
    assert_int_equal(q.intr.level, p.intr.level);
    out8(&q.h, SLAVE + 1, 2);
    out8(&q.h, SLAVE + 1, 1);
    pulse(&q, 9);
    assert_int_equal(isr(&q, MASTER), 0x40);
    assert_int_equal(irr(&q, MASTER), irr(&p, MASTER));
    out8(&q.h, MASTER, 0x66);
    assert_int_equal(acknowledge(&q), 0x71);
    out8(&q.h, MASTER, 0x62);
    assert_int_equal(acknowledge(&q), 0x33);
    assert_true(harness_keeps_state(&p.h, &err));
    harness_end(&p.h);
    harness_end(&q.h);
}

static void bad_properties(void **state)
{
    struct harness h;

    (void)state;
    harness_begin(&h);
    assert_non_null(strstr(harness_refuses(&h, "isa-i8259", "iobase=0xffff", NULL), "iobase"));
    assert_string_equal(harness_refuses(&h, "isa-i8259", "iobase=0x20", NULL), "");
    harness_end(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_line_has_its_vector),
        cmocka_unit_test(higher_ones_nest_lower_ones_wait),
        cmocka_unit_test(masks_hold_back_and_let_go),
        cmocka_unit_test(spurious_is_seven_and_not_in_service),
        cmocka_unit_test(levels_follow_their_line),
        cmocka_unit_test(initialisation_needs_a_new_edge),
        cmocka_unit_test(single_and_without_icw4),
        cmocka_unit_test(rotation),
        cmocka_unit_test(automatic_end_and_rotation),
        cmocka_unit_test(special_mask),
        cmocka_unit_test(special_fully_nested),
        cmocka_unit_test(without_it_the_slave_waits),
        cmocka_unit_test(polling),
        cmocka_unit_test(printing),
        cmocka_unit_test(state_moves_to_another_machine),
        cmocka_unit_test(bad_properties),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
