/* SPDX-License-Identifier: MIT
 *
 * Serial ports over their registers, with a back end; the debug console; the exit port. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/loop.h"
#include "chardev/chardev.h"
#include "device_harness.h"

enum {
    PORT = 0x3f8,
    DATA = PORT,
    IER = PORT + 1,
    IIR = PORT + 2,
    FCR = PORT + 2,
    LCR = PORT + 3,
    MCR = PORT + 4,
    LSR = PORT + 5,
    MSR = PORT + 6,
    SCR = PORT + 7,
    MILLISECOND = 1000000,
};

struct fixture {
    struct harness h;
    struct loop *loop;
    struct chardevs *set;
    struct chardev *chardev; /* its other end is `peer` */
    int peer;
};

static struct device *add(struct fixture *f, const char *name, struct chardev *chardev)
{
    struct error err = {.text = ""};
    struct device *device = device_new(device_class_find(name), &f->h.board);

    device_set_pointer(device, "chardev", chardev);
    if (!device_realize(device, &err)) {
        fail_msg("%s", err.text);
    }
    return device;
}

static int set_up(void **state)
{
    struct fixture *f = *state = mem_alloc(sizeof *f);
    char words[64];
    int fd[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd)) {
        return -1;
    }
    harness_begin(&f->h);
    f->loop = loop_new(NULL);
    f->set = chardevs_new(f->loop);
    f->peer = fd[1];
    snprintf(words, sizeof words, "socket,id=s,fd=%d,mux=on", fd[0]);
    f->chardev = chardev_open(f->set, words, NULL);
    add(f, "isa-serial", f->chardev);
    harness_reset(&f->h);
    return f->chardev ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    struct error err;
    bool good = harness_keeps_state(&f->h, &err);

    close(f->peer);
    harness_end(&f->h);
    chardevs_free(f->set);
    loop_free(f->loop);
    free(f);
    return good ? 0 : -1;
}

static void type(struct fixture *f, const char *text, size_t count)
{
    assert_int_equal(write(f->peer, text, count), count);
    for (int i = 0; i < 10; i++) {
        loop_step(f->loop, 0);
    }
}

static const char *output(struct fixture *f)
{
    static char text[256];
    ssize_t n = read(f->peer, text, sizeof text - 1);

    text[n > 0 ? n : 0] = 0;
    return text;
}

static bool irq(struct fixture *f)
{
    return f->h.line[4].level;
}

static void after_reset(void **state)
{
    static const uint8_t values[] = {0x00, 0x00, 0x01, 0x00, 0x00, 0x60, 0xb0, 0x00};
    struct fixture *f = *state;

    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(in8(&f->h, (uint16_t)(PORT + i)), values[i]);
    }
    assert_false(irq(f));
    out8(&f->h, SCR, 0x5a);
    assert_int_equal(in8(&f->h, SCR), 0x5a);
    out8(&f->h, IER, 0xff);
    assert_int_equal(in8(&f->h, IER), 0x0f);
    out8(&f->h, IER, 0);
    out8(&f->h, MCR, 0xef);
    assert_int_equal(in8(&f->h, MCR), 0x0f);
    /* The divisor, behind bit 7 of the line control register. */
    out8(&f->h, LCR, 0x83);
    assert_int_equal(in8(&f->h, DATA), 12);
    out8(&f->h, DATA, 0x34);
    out8(&f->h, IER, 0x12);
    assert_int_equal(in8(&f->h, DATA), 0x34);
    assert_int_equal(in8(&f->h, IER), 0x12);
    out8(&f->h, LCR, 0x03);
    assert_int_equal(in8(&f->h, IER), 0);
    assert_int_equal(in8(&f->h, LCR), 3);
    /* Wide accesses are split. */
    assert_int_equal(in16(&f->h, LSR), 0xb060);
}

static void transmits(void **state)
{
    struct fixture *f = *state;

    out8(&f->h, DATA, 'A');
    assert_int_equal(in8(&f->h, LSR), 0x60);
    assert_string_equal(output(f), "A");
    /* Enabling the interrupt while the register is empty raises it; reading the identification
     * lowers it; the next byte raises it again. */
    out8(&f->h, IER, 2);
    assert_true(irq(f));
    assert_int_equal(in8(&f->h, IIR), 0x02);
    assert_false(irq(f));
    assert_int_equal(in8(&f->h, IIR), 0x01);
    out8(&f->h, DATA, 'B');
    assert_true(irq(f));
    assert_int_equal(f->h.line[4].rises, 2);
    assert_string_equal(output(f), "B");
    out8(&f->h, IER, 0);
    assert_false(irq(f));
}

static void receives(void **state)
{
    struct fixture *f = *state;

    out8(&f->h, IER, 1);
    type(f, "xy", 2);
    assert_int_equal(in8(&f->h, LSR), 0x61);
    assert_int_equal(in8(&f->h, IIR), 0x04);
    assert_true(irq(f));
    assert_int_equal(in8(&f->h, DATA), 'x');
    type(f, "", 0); /* the next one comes */
    assert_int_equal(in8(&f->h, DATA), 'y');
    assert_false(irq(f));
    assert_int_equal(in8(&f->h, LSR), 0x60);
}

static void fifos(void **state)
{
    static const struct {
        uint8_t control, level;
    } rows[] = {{0x01, 1}, {0x41, 4}, {0x81, 8}, {0xc1, 14}};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        out8(&f->h, IER, 0);
        out8(&f->h, FCR, rows[i].control);
        assert_int_equal(in8(&f->h, IIR), 0xc1);
        out8(&f->h, IER, 1);
        for (unsigned count = 1; count <= rows[i].level; count++) {
            assert_int_equal(in8(&f->h, IIR), 0xc1);
            type(f, "z", 1);
        }
        assert_int_equal(in8(&f->h, IIR), 0xc4);
        in8(&f->h, DATA);
        assert_int_equal(in8(&f->h, IIR), 0xc1);
        out8(&f->h, FCR, (uint8_t)(rows[i].control | 2)); /* cleared */
        assert_int_equal(in8(&f->h, LSR), 0x60);
    }

    /* Below the trigger: after four characters without one, here of 10 bits at 9600 baud. */
    out8(&f->h, LCR, 0x03);
    out8(&f->h, FCR, 0xc1);
    type(f, "ab", 2);
    assert_false(irq(f));
    harness_advance(&f->h, 4 * 1041 * 1000);
    assert_false(irq(f));
    harness_advance(&f->h, 4 * 1000);
    assert_true(irq(f));
    assert_int_equal(in8(&f->h, IIR), 0xcc);
    assert_int_equal(in8(&f->h, DATA), 'a'); /* begins anew */
    assert_false(irq(f));
    harness_advance(&f->h, 5 * MILLISECOND);
    assert_int_equal(in8(&f->h, IIR), 0xcc);
    assert_int_equal(in8(&f->h, DATA), 'b');
    harness_advance(&f->h, 5 * MILLISECOND);
    assert_int_equal(in8(&f->h, IIR), 0xc1);

    /* The FIFO takes 16; the rest waits outside. */
    type(f, "0123456789abcdefGH", 18);
    char text[19] = "";
    for (int i = 0; i < 18; i++) {
        assert_int_equal(in8(&f->h, LSR), 0x61);
        text[i] = (char)in8(&f->h, DATA);
        type(f, "", 0);
    }
    assert_string_equal(text, "0123456789abcdefGH");
    /* Switching the FIFOs off empties them. */
    type(f, "q", 1);
    out8(&f->h, FCR, 0);
    assert_int_equal(in8(&f->h, LSR), 0x60);
    assert_int_equal(in8(&f->h, IIR), 0x01);
    out8(&f->h, FCR, 0xc8); /* without the enabling bit nothing is set */
    out8(&f->h, FCR, 0x01);
    type(f, "r", 1);
    assert_int_equal(in8(&f->h, IIR), 0xc4);
}

static void loopback(void **state)
{
    struct fixture *f = *state;

    out8(&f->h, MCR, 0x10);
    assert_int_equal(in8(&f->h, MSR) & 0xf0, 0x00);
    out8(&f->h, MCR, 0x1a); /* RTS and OUT2: CTS and DCD; Linux looks for exactly this */
    assert_int_equal(in8(&f->h, MSR), 0x99);
    assert_int_equal(in8(&f->h, MSR), 0x90);
    out8(&f->h, MCR, 0x1f);
    assert_int_equal(in8(&f->h, MSR), 0xf2); /* RI counts when it ends */
    out8(&f->h, IER, 8);
    assert_false(irq(f));
    out8(&f->h, MCR, 0x1b);
    assert_true(irq(f));
    assert_int_equal(in8(&f->h, IIR), 0x00);
    assert_int_equal(in8(&f->h, MSR), 0xb4);
    assert_false(irq(f));
    out8(&f->h, IER, 0);

    out8(&f->h, DATA, 0xae);
    assert_int_equal(in8(&f->h, LSR), 0x61);
    assert_int_equal(in8(&f->h, DATA), 0xae);
    assert_string_equal(output(f), "");
    /* What is typed meanwhile waits. */
    type(f, "w", 1);
    assert_int_equal(in8(&f->h, LSR), 0x60);
    out8(&f->h, MCR, 0x0b);
    type(f, "", 0);
    assert_int_equal(in8(&f->h, DATA), 'w');
    assert_int_equal(in8(&f->h, MSR) & 0xf0, 0xb0);
}

static void errors(void **state)
{
    struct fixture *f = *state;

    /* Without FIFO the new byte replaces the old one; with it the new one is lost. */
    out8(&f->h, MCR, 0x10);
    out8(&f->h, IER, 5);
    out8(&f->h, DATA, 1);
    out8(&f->h, DATA, 2);
    assert_int_equal(in8(&f->h, IIR), 0x06); /* the line's status comes first */
    assert_int_equal(in8(&f->h, LSR), 0x63);
    assert_int_equal(in8(&f->h, LSR), 0x61);
    assert_int_equal(in8(&f->h, IIR), 0x04);
    assert_int_equal(in8(&f->h, DATA), 2);
    out8(&f->h, FCR, 1);
    for (uint8_t i = 0; i < 17; i++) {
        out8(&f->h, DATA, i);
    }
    assert_int_equal(in8(&f->h, LSR), 0x63);
    for (uint8_t i = 0; i < 16; i++) {
        assert_int_equal(in8(&f->h, DATA), i);
    }
    assert_int_equal(in8(&f->h, LSR), 0x60);
    out8(&f->h, MCR, 0);
    /* A break, behind a byte: the flag shows with its own byte, FIFO error before. */
    type(f,
         "k\001"
         "b",
         3);
    assert_int_equal(in8(&f->h, LSR), 0xe1);
    assert_int_equal(in8(&f->h, DATA), 'k');
    assert_int_equal(in8(&f->h, IIR), 0xc6);
    assert_int_equal(in8(&f->h, LSR), 0xf1);
    assert_int_equal(in8(&f->h, LSR), 0x61);
    assert_int_equal(in8(&f->h, DATA), 0);
}

/* All sources at once; each is served, and the next one shows. */
static void priorities(void **state)
{
    struct fixture *f = *state;

    out8(&f->h, MCR, 0x10);
    in8(&f->h, MSR);
    out8(&f->h, IER, 0x0f);
    in8(&f->h, IIR); /* the empty transmitter */
    out8(&f->h, DATA, 1);
    out8(&f->h, DATA, 2);
    out8(&f->h, MCR, 0x12);
    assert_int_equal(in8(&f->h, IIR), 0x06);
    in8(&f->h, LSR);
    assert_int_equal(in8(&f->h, IIR), 0x04);
    in8(&f->h, DATA);
    assert_int_equal(in8(&f->h, IIR), 0x02);
    assert_int_equal(in8(&f->h, IIR), 0x00);
    in8(&f->h, MSR);
    assert_int_equal(in8(&f->h, IIR), 0x01);
    assert_false(irq(f));
}

/* A reader that does not read: the byte is held back, and given up after a while. */
static void slow_reader(void **state)
{
    struct fixture *f = *state;
    struct chardev_front filler = {.opaque = NULL};
    static char block[65536];

    assert_true(chardev_attach(&filler, f->chardev, NULL));
    while (chardev_write(&filler, block, sizeof block) == sizeof block) {
    }
    out8(&f->h, DATA, 'p');
    assert_int_equal(in8(&f->h, LSR), 0x20); /* in the shift register */
    out8(&f->h, DATA, 'q');
    assert_int_equal(in8(&f->h, LSR), 0x00);
    harness_advance(&f->h, 249 * MILLISECOND);
    assert_int_equal(in8(&f->h, LSR), 0x00);
    harness_advance(&f->h, 1 * MILLISECOND);
    assert_int_equal(in8(&f->h, LSR), 0x60); /* lost, and so is what follows, at once */
    out8(&f->h, DATA, 'r');
    assert_int_equal(in8(&f->h, LSR), 0x60);
    /* It reads: what is written from now on arrives. */
    for (int i = 0; i < 200; i++) {
        while (read(f->peer, block, sizeof block) > 0) {
        }
        loop_step(f->loop, 0);
    }
    out8(&f->h, DATA, 's');
    assert_string_equal(output(f), "s");
    assert_int_equal(in8(&f->h, LSR), 0x60);
    /* Held back and sent in time. */
    while (chardev_write(&filler, block, sizeof block) == sizeof block) {
    }
    out8(&f->h, DATA, 't');
    assert_int_equal(in8(&f->h, LSR), 0x20);
    char last = 0;
    for (int i = 0; i < 200; i++) {
        ssize_t n;
        while ((n = read(f->peer, block, sizeof block)) > 0) {
            last = block[n - 1];
        }
        loop_step(f->loop, 0);
    }
    assert_int_equal(last, 't');
    assert_int_equal(in8(&f->h, LSR), 0x60);
    chardev_detach(&filler);
}

static void several_ports(void **state)
{
    struct fixture *f = *state;

    add(f, "isa-serial", NULL);
    harness_reset(&f->h);
    out8(&f->h, 0x2f8 + 7, 0x77);
    assert_int_equal(in8(&f->h, 0x2f8 + 7), 0x77);
    assert_int_equal(in8(&f->h, SCR), 0);
    out8(&f->h, 0x2f8 + 1, 2);
    assert_true(f->h.line[3].level);
    out8(&f->h, 0x2f8, 'x'); /* nobody: gone */
    assert_int_equal(in8(&f->h, 0x2f8 + 5), 0x60);
    harness_add(&f->h, "isa-serial", "iobase=0x1000", "irq=9", "index=2", NULL);
    harness_reset(&f->h);
    assert_int_equal(in8(&f->h, 0x1005), 0x60);
    harness_add(&f->h, "isa-serial", NULL);
    assert_int_equal(in8(&f->h, 0x2e8 + 3), 0);
    assert_string_equal(harness_refuses(&f->h, "isa-serial", NULL),
                        "Max. supported number of ISA serial ports is 4.");
    assert_string_equal(harness_refuses(&f->h, "isa-serial", "index=1", "irq=77", NULL),
                        "Parameter 'irq' expects an ISA interrupt, 0 to 15, not 77");
    assert_string_equal(harness_refuses(&f->h, "isa-serial", "index=1", "iobase=0xffff", NULL),
                        "Parameter 'iobase' expects a port up to 0xfff8");
}

/* What Linux's 8250 driver asks to find out which chip it is. */
static void linux_finds_a_16550a(void **state)
{
    struct fixture *f = *state;

    out8(&f->h, IER, 0);
    assert_int_equal(in8(&f->h, IER) & 0x0f, 0);
    out8(&f->h, IER, 0x0f);
    assert_int_equal(in8(&f->h, IER) & 0x0f, 0x0f);
    out8(&f->h, IER, 0);
    out8(&f->h, MCR, 0x1a);
    assert_int_equal(in8(&f->h, MSR) & 0xf0, 0x90);
    out8(&f->h, MCR, 0);
    out8(&f->h, LCR, 0xbf);
    out8(&f->h, FCR, 0); /* no EFR of a 16650 */
    out8(&f->h, LCR, 0);
    out8(&f->h, FCR, 1);
    assert_int_equal(in8(&f->h, IIR) >> 6, 3);
    /* The transmitter's interrupt comes again when it is enabled again. */
    for (int i = 0; i < 2; i++) {
        out8(&f->h, IER, 2);
        assert_int_equal(in8(&f->h, IIR) & 0x0f, 2);
        out8(&f->h, IER, 0);
    }
}

static void debug_console(void **state)
{
    struct fixture *f = *state;
    struct chardev *ring = chardev_open(f->set, "ringbuf,id=r", NULL);
    struct strbuf text;

    add(f, "isa-debugcon", ring);
    harness_add(&f->h, "isa-debugcon", "iobase=0x402", "readback=0x55", NULL);
    assert_int_equal(in8(&f->h, 0xe9), 0xe9);
    assert_int_equal(in8(&f->h, 0x402), 0x55);
    out8(&f->h, 0xe9, 'h');
    out8(&f->h, 0xe9, 'i');
    out8(&f->h, 0x402, 'x');
    strbuf_init(&text);
    assert_true(chardev_ring_read(ring, 10, &text));
    assert_string_equal(text.data, "hi");
    strbuf_free(&text);
    struct device *second = device_new(device_class_find("isa-debugcon"), &f->h.board);
    struct error err;
    device_set_pointer(second, "chardev", ring);
    assert_false(device_realize(second, &err));
    assert_string_equal(err.text,
                        "the character back end 'r' is in use; with mux=on several can share it");
    assert_string_equal(harness_refuses(&f->h, "isa-debugcon", "iobase=0x10000", NULL),
                        "Parameter 'iobase' expects a port up to 0xffff");
}

static void exit_port(void **state)
{
    struct fixture *f = *state;

    harness_add(&f->h, "isa-debug-exit", NULL);
    harness_add(&f->h, "isa-debug-exit", "iobase=0xf4", "iosize=4", NULL);
    assert_int_equal(in8(&f->h, 0x501), 0);
    out8(&f->h, 0x501, 0x10);
    assert_int_equal(f->h.requests[BOARD_EXIT], 1);
    assert_int_equal(f->h.argument, 0x21);
    out32(&f->h, 0xf4, 0);
    assert_int_equal(f->h.requests[BOARD_EXIT], 2);
    assert_int_equal(f->h.argument, 1);
    assert_string_equal(harness_refuses(&f->h, "isa-debug-exit", "iosize=0", NULL),
                        "Parameter 'iosize' expects 1 to 8 ports");
    assert_string_equal(harness_refuses(&f->h, "isa-debug-exit", "iobase=0xffff", "iosize=4", NULL),
                        "Parameter 'iobase' expects a port up to 0xfffc");
}

static void state_moves(void **state)
{
    struct fixture *f = *state;
    struct harness other;
    struct error err;

    out8(&f->h, FCR, 0xc1);
    out8(&f->h, LCR, 0x03);
    out8(&f->h, IER, 1);
    type(f, "mv", 2);
    harness_begin(&other);
    harness_add(&other, "isa-serial", NULL);
    assert_true(harness_transplant(&f->h, &other, &err));
    harness_advance(&other, 5 * MILLISECOND);
    assert_true(other.line[4].level);
    assert_int_equal(in8(&other, IIR), 0xcc);
    assert_int_equal(in8(&other, DATA), 'm');
    assert_int_equal(in8(&other, DATA), 'v');
    assert_int_equal(in8(&other, IER), 1);
    harness_end(&other);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(after_reset),   TEST(transmits),
        TEST(receives),      TEST(fifos),
        TEST(loopback),      TEST(errors),
        TEST(priorities),    TEST(slow_reader),
        TEST(several_ports), TEST(linux_finds_a_16550a),
        TEST(debug_console), TEST(exit_port),
        TEST(state_moves),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
