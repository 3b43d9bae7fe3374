/* SPDX-License-Identifier: MIT
 *
 * The keyboard controller with keyboard and mouse, as firmware and drivers program them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "device/i8042.h"
#include "device/ps2.h"
#include "device_harness.h"

enum { DATA = 0x60, COMMAND = 0x64, FULL = 0x01, SYSTEM = 0x04, AUX = 0x20, MILLISECOND = 1000000 };

struct fixture {
    struct harness h;
    struct device *kbc, *keyboard, *mouse;
    struct harness_line a20;
};

static void begin(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    harness_begin(&f->h);
    f->kbc = harness_add(&f->h, "i8042", NULL);
    i8042_connect_a20(f->kbc, harness_irq(&f->a20));
    f->keyboard = ps2_keyboard(&f->h.board);
    f->mouse = ps2_mouse(&f->h.board);
    assert_non_null(f->keyboard);
    assert_non_null(f->mouse);
    harness_reset(&f->h);
}

static int set_up(void **state)
{
    begin(*state = mem_alloc(sizeof(struct fixture)));
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    struct error err;
    bool good = harness_keeps_state(&f->h, &err);

    harness_end(&f->h);
    free(f);
    return good ? 0 : -1;
}

static uint8_t status(struct fixture *f)
{
    return in8(&f->h, COMMAND);
}

static void command(struct fixture *f, uint8_t byte)
{
    out8(&f->h, COMMAND, byte);
}

/* The command byte. */
static void set_mode(struct fixture *f, uint8_t mode)
{
    command(f, 0x60);
    out8(&f->h, DATA, mode);
}

/* What the guest reads, in hexadecimal, until there is no more; those of the mouse with an m. */
static const char *bytes(struct fixture *f)
{
    static char text[256];
    size_t length = 0;

    text[0] = 0;
    for (int i = 0; i < 60 && status(f) & FULL; i++) {
        bool aux = status(f) & AUX;
        length += (size_t)snprintf(text + length, sizeof text - length, "%s%02x%s", i ? " " : "",
                                   in8(&f->h, DATA), aux ? "m" : "");
    }
    return text;
}

static const char *to_keyboard(struct fixture *f, uint8_t byte)
{
    out8(&f->h, DATA, byte);
    return bytes(f);
}

static const char *to_mouse(struct fixture *f, uint8_t byte)
{
    command(f, 0xd4);
    out8(&f->h, DATA, byte);
    return bytes(f);
}

static void press(struct fixture *f, enum key key)
{
    ps2_keyboard_key(f->keyboard, key, true);
    ps2_keyboard_key(f->keyboard, key, false);
}

/* --- controller --- */

static void commands(void **state)
{
    static const struct {
        uint8_t command;
        const char *answer;
    } rows[] = {
        {0xaa, "55"}, {0xab, "00"}, {0xa9, "00"}, {0xc0, "80"}, {0xd0, "cf"}, {0x21, "00"},
    };
    struct fixture *f = *state;

    assert_int_equal(status(f), 0x18);
    assert_string_equal(bytes(f), "");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        command(f, rows[i].command);
        assert_string_equal(bytes(f), rows[i].answer);
    }
    /* The self test has set the system flag, in status and command byte. */
    assert_int_equal(status(f), 0x1c);
    command(f, 0x20);
    assert_string_equal(bytes(f), "07");
    set_mode(f, 0x61);
    assert_int_equal(status(f) & SYSTEM, 0);
    command(f, 0x20);
    assert_string_equal(bytes(f), "61");
    /* Its memory. */
    command(f, 0x65);
    out8(&f->h, DATA, 0xa5);
    command(f, 0x25);
    assert_string_equal(bytes(f), "a5");
    /* Nothing there; nothing happens. */
    command(f, 0x99);
    assert_string_equal(bytes(f), "");
    /* On and off. */
    command(f, 0xad);
    command(f, 0xa7);
    command(f, 0x20);
    assert_string_equal(bytes(f), "71");
    command(f, 0xae);
    command(f, 0xa8);
    command(f, 0x20);
    assert_string_equal(bytes(f), "41");
    /* As if the devices had sent it. */
    command(f, 0xd2);
    out8(&f->h, DATA, 0x1e);
    assert_string_equal(bytes(f), "1e");
    command(f, 0xd3);
    out8(&f->h, DATA, 0x42);
    assert_string_equal(bytes(f), "42m");
    /* The last byte stays. */
    assert_int_equal(in8(&f->h, DATA), 0x42);
}

static void interrupts(void **state)
{
    struct fixture *f = *state;

    set_mode(f, 0x03);
    press(f, KEY_a);
    assert_true(f->h.line[1].level);
    assert_false(f->h.line[12].level);
    assert_int_equal(f->h.line[1].rises, 1);
    in8(&f->h, DATA);
    assert_int_equal(f->h.line[1].rises, 2); /* the next byte */
    bytes(f);
    assert_false(f->h.line[1].level);
    to_mouse(f, 0xf4);
    assert_int_equal(f->h.line[12].rises, 1);
    assert_false(f->h.line[12].level);
    set_mode(f, 0x00);
    press(f, KEY_a);
    assert_false(f->h.line[1].level);
    set_mode(f, 0x01); /* there is something: now it interrupts */
    assert_true(f->h.line[1].level);
    command(f, 0xd0);
    command(f, 0xad);
    bytes(f);
}

static void output_port(void **state)
{
    struct fixture *f = *state;

    assert_true(f->a20.level);
    command(f, 0xd1);
    out8(&f->h, DATA, 0xdd);
    assert_false(f->a20.level);
    command(f, 0xd0);
    assert_string_equal(bytes(f), "cd");
    command(f, 0xd1);
    out8(&f->h, DATA, 0xdf);
    assert_true(f->a20.level);
    command(f, 0xdd);
    assert_false(f->a20.level);
    command(f, 0xdf);
    assert_true(f->a20.level);
    assert_int_equal(f->h.requests[BOARD_RESET], 0);
    command(f, 0xfe);
    assert_int_equal(f->h.requests[BOARD_RESET], 1);
    command(f, 0xff); /* pulses nothing */
    command(f, 0xd1);
    out8(&f->h, DATA, 0xde);
    assert_int_equal(f->h.requests[BOARD_RESET], 2);
    harness_reset(&f->h);
    assert_true(f->a20.level);
}

static void switched_off(void **state)
{
    struct fixture *f = *state;

    set_mode(f, 0x43);
    to_mouse(f, 0xf4);
    command(f, 0xad);
    command(f, 0xa7);
    press(f, KEY_a);
    ps2_mouse_move(f->mouse, 1, 0, 0);
    ps2_mouse_sync(f->mouse);
    assert_string_equal(bytes(f), "");
    command(f, 0xa8);
    assert_string_equal(bytes(f), "08m 01m 00m");
    command(f, 0xae);
    assert_string_equal(bytes(f), "1e 9e");
    /* Who is spoken to is switched on. */
    command(f, 0xad);
    assert_string_equal(to_keyboard(f, 0xee), "ee");
    command(f, 0x20);
    assert_string_equal(bytes(f), "43");
}

static void throttled(void **state)
{
    struct harness h;

    (void)state;
    harness_begin(&h);
    harness_add(&h, "i8042", "kbd-throttle=on", NULL);
    harness_reset(&h);
    ps2_keyboard_key(ps2_keyboard(&h.board), KEY_g, true);
    ps2_keyboard_key(ps2_keyboard(&h.board), KEY_g, false);
    assert_int_equal(in8(&h, DATA), 0x34);
    assert_int_equal(in8(&h, COMMAND) & FULL, 0);
    harness_advance(&h, 1 * MILLISECOND);
    assert_int_equal(in8(&h, COMMAND) & FULL, FULL);
    assert_int_equal(in8(&h, DATA), 0xf0);
    harness_end(&h);
    harness_begin(&h);
    assert_string_equal(harness_refuses(&h, "i8042", "kbd-irq=16", NULL),
                        "Parameter 'irq' expects an ISA interrupt, 0 to 15, not 16");
    harness_end(&h);
}

/* --- keyboard --- */

static void key_names(void **state)
{
    static const struct {
        const char *text;
        enum key keys[3];
        size_t count;
    } rows[] = {
        {"g", {KEY_g}, 1},
        {"ctrl-alt-delete", {KEY_ctrl, KEY_alt, KEY_delete}, 3},
        {"shift-0x1e", {KEY_shift, KEY_a}, 2},
        {"0xc8", {KEY_up}, 1},
        {"0xe048", {KEY_up}, 1},
        {"<", {KEY_less}, 1},
        {"minus", {KEY_minus}, 1},
    };
    static const char *const bad[] = {"", "nokey", "ctrl-", "a-b-", "0x0", "unmapped", "0xff"};
    enum key keys[KEY_COMBINATION_MAX];
    size_t count;
    struct error err;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_true(keys_parse(rows[i].text, keys, &count, &err));
        assert_int_equal(count, rows[i].count);
        assert_memory_equal(keys, rows[i].keys, count * sizeof keys[0]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(keys_parse(bad[i], keys, &count, &err));
    }
    assert_false(keys_parse("nokey", keys, &count, &err));
    assert_string_equal(err.text, "invalid parameter: nokey");
    assert_false(keys_parse("a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a", keys, &count, &err));
    assert_string_equal(err.text, "more than 16 keys at once");
    /* QEMU's numbers, which recordings carry. */
    assert_int_equal(KEY_a, 36);
    assert_int_equal(KEY_f12, 93);
    assert_int_equal(KEY_lang2, 149);
}

static void scan_codes(void **state)
{
    static const struct {
        enum key key;
        const char *set_1, *set_2, *set_3;
    } rows[] = {
        {KEY_g, "22 a2", "34 f0 34", "34"},
        {KEY_a, "1e 9e", "1c f0 1c", "1c"},
        {KEY_shift, "2a aa", "12 f0 12", "12 f0 12"},
        {KEY_up, "e0 48 e0 c8", "e0 75 e0 f0 75", "63"},
        {KEY_kp_enter, "e0 1c e0 9c", "e0 5a e0 f0 5a", "79"},
        {KEY_f7, "41 c1", "83 f0 83", "37"},
        {KEY_f12, "58 d8", "07 f0 07", "5e"},
        {KEY_less, "56 d6", "61 f0 61", "13"},
        {KEY_print, "e0 2a e0 37 e0 b7 e0 aa", "e0 12 e0 7c e0 f0 7c e0 f0 12", "57"},
        {KEY_pause, "e1 1d 45 e1 9d c5", "e1 14 77 e1 f0 14 f0 77", "62"},
        {KEY_meta_l, "e0 5b e0 db", "e0 1f e0 f0 1f", "8b"},
        {KEY_stop, "", "", ""},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        /* Set 1 by itself, set 2 plain and translated: what the two give is the same. */
        for (unsigned set = 1; set <= 3; set++) {
            set_mode(f, 0x00);
            to_keyboard(f, 0xf0);
            to_keyboard(f, (uint8_t)set);
            press(f, rows[i].key);
            assert_string_equal(bytes(f), set == 1   ? rows[i].set_1
                                          : set == 2 ? rows[i].set_2
                                                     : rows[i].set_3);
            if (set == 2) {
                set_mode(f, 0x40);
                press(f, rows[i].key);
                assert_string_equal(bytes(f), rows[i].set_1);
            }
        }
    }
}

/* Each key of the table, translated, is its code of set 1. */
static void translation_agrees(void **state)
{
    struct fixture *f = *state;
    unsigned checked = 0;

    set_mode(f, 0x40);
    for (unsigned key = 1; key < KEY_COUNT; key++) {
        uint32_t one = key_codes[key].set[0], two = key_codes[key].set[1];
        char expected[16];
        assert_int_equal(!one, !two);
        /* lang1 and lang2 are answers without a break code; F13 and on have no code in set 1. */
        if (!one || one > 0xffff || key == KEY_print || key == KEY_lang1 || key == KEY_lang2) {
            continue;
        }
        ps2_keyboard_key(f->keyboard, (enum key)key, true);
        snprintf(expected, sizeof expected, one > 0xff ? "e0 %02x" : "%02x", one & 0xff);
        assert_string_equal(bytes(f), expected);
        ps2_keyboard_key(f->keyboard, (enum key)key, false);
        bytes(f);
        checked++;
    }
    assert_true(checked > 130);
}

static void print_and_pause(void **state)
{
    struct fixture *f = *state;

    ps2_keyboard_key(f->keyboard, KEY_alt, true);
    press(f, KEY_print);
    assert_string_equal(bytes(f), "11 84 f0 84");
    ps2_keyboard_key(f->keyboard, KEY_alt, false);
    ps2_keyboard_key(f->keyboard, KEY_ctrl, true);
    bytes(f);
    press(f, KEY_print);
    press(f, KEY_pause);
    assert_string_equal(bytes(f), "e0 7c e0 f0 7c e0 7e e0 f0 7e");
}

static void keyboard_commands(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(to_keyboard(f, 0xff), "fa aa");
    assert_string_equal(to_keyboard(f, 0xf2), "fa ab 83");
    assert_string_equal(to_keyboard(f, 0xee), "ee");
    assert_string_equal(to_keyboard(f, 0xfe), "ee"); /* again */
    assert_string_equal(to_keyboard(f, 0xed), "fa");
    assert_string_equal(to_keyboard(f, 0x06), "fa");
    assert_int_equal(ps2_keyboard_leds(f->keyboard), PS2_LED_NUM | PS2_LED_CAPS);
    assert_string_equal(to_keyboard(f, 0xf0), "fa");
    assert_string_equal(to_keyboard(f, 0x00), "fa 02");
    assert_string_equal(to_keyboard(f, 0xf0), "fa");
    assert_string_equal(to_keyboard(f, 0x04), "fe"); /* no such set */
    assert_string_equal(to_keyboard(f, 0x10), "fe"); /* no command */
    assert_string_equal(to_keyboard(f, 0xe7), "fe");
    /* A command where a parameter was expected is a command. */
    assert_string_equal(to_keyboard(f, 0xed), "fa");
    assert_string_equal(to_keyboard(f, 0xee), "ee");
    assert_int_equal(ps2_keyboard_leds(f->keyboard), 6);
    /* Off: nothing is sent; on again. */
    assert_string_equal(to_keyboard(f, 0xf5), "fa");
    press(f, KEY_a);
    assert_string_equal(bytes(f), "");
    assert_string_equal(to_keyboard(f, 0xf4), "fa");
    press(f, KEY_a);
    assert_string_equal(bytes(f), "1c f0 1c");
    assert_string_equal(to_keyboard(f, 0xff), "fa aa");
    assert_int_equal(ps2_keyboard_leds(f->keyboard), 0);
    /* The identification, translated as drivers know it. */
    set_mode(f, 0x40);
    assert_string_equal(to_keyboard(f, 0xf2), "fa ab 41");
}

static void overrun(void **state)
{
    struct fixture *f = *state;

    /* One byte is in the controller; 16 wait; the next key is lost and leaves a mark. */
    for (int i = 0; i < 20; i++) {
        ps2_keyboard_key(f->keyboard, KEY_a, i % 2 == 0);
    }
    assert_string_equal(bytes(f), "1c f0 1c 1c f0 1c 1c f0 1c 1c f0 1c 1c f0 1c 1c 00");
    press(f, KEY_a);
    assert_string_equal(bytes(f), "1c f0 1c");
    /* Answers come first. */
    press(f, KEY_a);
    out8(&f->h, DATA, 0xf2);
    assert_string_equal(bytes(f), "1c fa ab 83 f0 1c");
}

static void typematic(void **state)
{
    struct fixture *f = *state;

    ps2_keyboard_key(f->keyboard, KEY_a, true);
    ps2_keyboard_key(f->keyboard, KEY_a, true); /* the host's repetition: no news */
    assert_string_equal(bytes(f), "1c");
    harness_advance(&f->h, 499 * MILLISECOND);
    assert_string_equal(bytes(f), "");
    harness_advance(&f->h, 1 * MILLISECOND);
    assert_string_equal(bytes(f), "1c");
    harness_advance(&f->h, 92 * MILLISECOND); /* 10.9 a second */
    assert_string_equal(bytes(f), "1c");
    /* Another key takes it over; the first going up does not end that. */
    ps2_keyboard_key(f->keyboard, KEY_b, true);
    ps2_keyboard_key(f->keyboard, KEY_a, false);
    assert_string_equal(bytes(f), "32 f0 1c");
    harness_advance(&f->h, 500 * MILLISECOND);
    assert_string_equal(bytes(f), "32");
    ps2_keyboard_key(f->keyboard, KEY_b, false);
    assert_string_equal(bytes(f), "f0 32");
    harness_advance(&f->h, 2000 * MILLISECOND);
    assert_string_equal(bytes(f), "");
    /* 250 ms, then 30 a second. */
    to_keyboard(f, 0xf3);
    to_keyboard(f, 0x00);
    ps2_keyboard_key(f->keyboard, KEY_c, true);
    harness_advance(&f->h, 250 * MILLISECOND);
    assert_string_equal(bytes(f), "21 21");
    harness_advance(&f->h, 34 * MILLISECOND);
    assert_string_equal(bytes(f), "21");
    /* A guest that does not read gets one, not an overrun. */
    harness_advance(&f->h, 2000 * MILLISECOND);
    assert_string_equal(bytes(f), "21 21");
}

static void set_3_types(void **state)
{
    struct fixture *f = *state;

    to_keyboard(f, 0xf0);
    to_keyboard(f, 3);
    assert_string_equal(to_keyboard(f, 0xf0), "fa");
    assert_string_equal(to_keyboard(f, 0), "fa 03");
    to_keyboard(f, 0xf8); /* all make and break */
    press(f, KEY_a);
    assert_string_equal(bytes(f), "1c f0 1c");
    to_keyboard(f, 0xfd); /* but some */
    assert_string_equal(to_keyboard(f, 0x1c), "fa");
    assert_string_equal(to_keyboard(f, 0x32), "fa");
    press(f, KEY_a);
    press(f, KEY_b);
    press(f, KEY_c);
    assert_string_equal(bytes(f), "1c 32 21 f0 21");
    to_keyboard(f, 0xfa);
    ps2_keyboard_key(f->keyboard, KEY_a, true);
    harness_advance(&f->h, 500 * MILLISECOND);
    assert_string_equal(bytes(f), "1c 1c");
    to_keyboard(f, 0xf6);
    assert_string_equal(to_keyboard(f, 0xf0), "fa");
    assert_string_equal(to_keyboard(f, 0), "fa 02");
}

/* --- mouse --- */

static void mouse_commands(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(to_mouse(f, 0xff), "fam aam 00m");
    assert_string_equal(to_mouse(f, 0xf2), "fam 00m");
    assert_string_equal(to_mouse(f, 0xe9), "fam 00m 02m 64m");
    assert_string_equal(to_mouse(f, 0xe8), "fam");
    assert_string_equal(to_mouse(f, 0x03), "fam");
    assert_string_equal(to_mouse(f, 0xf3), "fam");
    assert_string_equal(to_mouse(f, 0x28), "fam");
    assert_string_equal(to_mouse(f, 0xe7), "fam");
    assert_string_equal(to_mouse(f, 0xf4), "fam");
    ps2_mouse_button(f->mouse, PS2_BUTTON_LEFT, true);
    ps2_mouse_button(f->mouse, PS2_BUTTON_RIGHT, true);
    assert_string_equal(to_mouse(f, 0xe9), "fam 35m 03m 28m");
    assert_string_equal(to_mouse(f, 0xf0), "fam");
    assert_string_equal(to_mouse(f, 0xe9), "fam 75m 03m 28m");
    assert_string_equal(to_mouse(f, 0xea), "fam");
    assert_string_equal(to_mouse(f, 0xf6), "fam");
    assert_string_equal(to_mouse(f, 0xe9), "fam 05m 02m 64m");
    assert_string_equal(to_mouse(f, 0xfe), "64m");
    assert_string_equal(to_mouse(f, 0x11), "fem");
    assert_string_equal(to_mouse(f, 0xe8), "fam");
    assert_string_equal(to_mouse(f, 0x04), "fem");
    /* Wrap mode: everything comes back, but for two. */
    assert_string_equal(to_mouse(f, 0xee), "fam");
    assert_string_equal(to_mouse(f, 0xf4), "f4m");
    assert_string_equal(to_mouse(f, 0x00), "00m");
    assert_string_equal(to_mouse(f, 0xec), "fam");
    assert_string_equal(to_mouse(f, 0xee), "fam");
    assert_string_equal(to_mouse(f, 0xff), "fam aam 00m");
}

static void knock(struct fixture *f, uint8_t a, uint8_t b, uint8_t c)
{
    const uint8_t rates[] = {a, b, c};

    for (int i = 0; i < 3; i++) {
        to_mouse(f, 0xf3);
        to_mouse(f, rates[i]);
    }
}

static void packets(void **state)
{
    struct fixture *f = *state;

    ps2_mouse_move(f->mouse, 9, 9, 0); /* not yet enabled */
    to_mouse(f, 0xf4);
    ps2_mouse_sync(f->mouse);
    assert_string_equal(bytes(f), "");
    ps2_mouse_move(f->mouse, 5, 3, 1); /* a wheel that nobody knows */
    ps2_mouse_sync(f->mouse);
    assert_string_equal(bytes(f), "28m 05m fdm");
    harness_advance(&f->h, 10 * MILLISECOND);
    ps2_mouse_button(f->mouse, PS2_BUTTON_MIDDLE, true);
    ps2_mouse_sync(f->mouse);
    assert_string_equal(bytes(f), "0cm 00m 00m");
    ps2_mouse_sync(f->mouse); /* nothing new */
    assert_string_equal(bytes(f), "");

    /* The wheel, then five buttons. */
    knock(f, 200, 100, 80);
    assert_string_equal(to_mouse(f, 0xf2), "fam 03m");
    harness_advance(&f->h, 10 * MILLISECOND);
    ps2_mouse_move(f->mouse, 0, 0, -1);
    ps2_mouse_sync(f->mouse);
    assert_string_equal(bytes(f), "0cm 00m 00m ffm");
    knock(f, 200, 200, 80);
    assert_string_equal(to_mouse(f, 0xf2), "fam 04m");
    harness_advance(&f->h, 20 * MILLISECOND);
    ps2_mouse_button(f->mouse, PS2_BUTTON_EXTRA, true);
    ps2_mouse_move(f->mouse, -1, -1, 2);
    ps2_mouse_sync(f->mouse);
    assert_string_equal(bytes(f), "1cm ffm 01m 22m");

    /* No more packets a second than the rate says; what does not fit comes later. */
    harness_advance(&f->h, 20 * MILLISECOND);
    ps2_mouse_move(f->mouse, 300, 0, 0);
    ps2_mouse_sync(f->mouse);
    assert_string_equal(bytes(f), "0cm ffm 00m 20m");
    harness_advance(&f->h, 12 * MILLISECOND);
    assert_string_equal(bytes(f), "");
    harness_advance(&f->h, 1 * MILLISECOND); /* 80 a second */
    assert_string_equal(bytes(f), "0cm 2dm 00m 20m");

    /* 2:1. */
    to_mouse(f, 0xe7);
    harness_advance(&f->h, 20 * MILLISECOND);
    ps2_mouse_move(f->mouse, 3, 10, 0);
    ps2_mouse_sync(f->mouse);
    assert_string_equal(bytes(f), "2cm 03m ecm 20m");

    /* Remote mode: only when asked, and unscaled. */
    to_mouse(f, 0xf0);
    ps2_mouse_move(f->mouse, 3, 0, 0);
    ps2_mouse_sync(f->mouse);
    harness_advance(&f->h, 20 * MILLISECOND);
    assert_string_equal(bytes(f), "");
    assert_string_equal(to_mouse(f, 0xeb), "fam 0cm 03m 00m 20m");
    assert_string_equal(to_mouse(f, 0xeb), "fam 0cm 00m 00m 20m");
}

/* A guest that does not read: the queue stays bounded, and what was moved is not lost. */
static void unread_packets(void **state)
{
    struct fixture *f = *state;
    int sum = 0;

    to_mouse(f, 0xf4);
    for (int i = 0; i < 100; i++) {
        ps2_mouse_move(f->mouse, 1, 0, 0);
        ps2_mouse_sync(f->mouse);
        harness_advance(&f->h, 10 * MILLISECOND);
    }
    for (int i = 0; i < 100 && sum < 100; i++) {
        if (status(f) & FULL) {
            assert_int_equal(in8(&f->h, DATA), 8);
            sum += in8(&f->h, DATA);
            in8(&f->h, DATA);
        } else {
            harness_advance(&f->h, 10 * MILLISECOND);
        }
    }
    assert_int_equal(sum, 100);
}

/* --- as guests do it --- */

/* SeaBIOS: self test, line test, reset of the keyboard, set 2 with translation. */
static void seabios(void **state)
{
    struct fixture *f = *state;

    command(f, 0xad);
    command(f, 0xa7);
    assert_string_equal(bytes(f), "");
    command(f, 0xaa);
    assert_string_equal(bytes(f), "55");
    command(f, 0xab);
    assert_string_equal(bytes(f), "00");
    set_mode(f, 0x20);
    assert_string_equal(to_keyboard(f, 0xff), "fa aa");
    assert_string_equal(to_keyboard(f, 0xf5), "fa");
    assert_string_equal(to_keyboard(f, 0xf0), "fa");
    assert_string_equal(to_keyboard(f, 0x02), "fa");
    set_mode(f, 0x61);
    assert_string_equal(to_keyboard(f, 0xf4), "fa");
    press(f, KEY_ret);
    assert_int_equal(f->h.line[1].level, true);
    assert_string_equal(bytes(f), "1c 9c");
}

/* What is saved goes on in another machine. */
static void state_moves(void **state)
{
    struct fixture *f = *state, other;
    struct error err;

    set_mode(f, 0x43);
    to_mouse(f, 0xf4);
    command(f, 0xdd);
    press(f, KEY_up);
    ps2_keyboard_key(f->keyboard, KEY_a, true);
    ps2_mouse_move(f->mouse, 7, 0, 0);
    ps2_mouse_sync(f->mouse);
    begin(&other);
    assert_true(harness_transplant(&f->h, &other.h, &err));
    assert_false(other.a20.level);
    assert_string_equal(bytes(&other), "e0 48 e0 c8 1e 08m 07m 00m");
    harness_advance(&other.h, 500 * MILLISECOND);
    assert_string_equal(bytes(&other), "1e");
    harness_end(&other.h);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(commands),
        TEST(interrupts),
        TEST(output_port),
        TEST(switched_off),
        cmocka_unit_test(throttled),
        cmocka_unit_test(key_names),
        TEST(scan_codes),
        TEST(translation_agrees),
        TEST(print_and_pause),
        TEST(keyboard_commands),
        TEST(overrun),
        TEST(typematic),
        TEST(set_3_types),
        TEST(mouse_commands),
        TEST(packets),
        TEST(unread_packets),
        TEST(seabios),
        TEST(state_moves),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
