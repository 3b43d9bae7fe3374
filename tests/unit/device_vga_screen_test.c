/* SPDX-License-Identifier: MIT
 *
 * Pictures of the standard VGA: modes set as the VGA BIOS sets them, memory filled, and every pixel
 * compared with what the mode's description says; what is told of changes; screens as text.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "device_harness.h"
#include "display/display.h"

enum { SLOT = 2, FRAMEBUFFER = 0xe0000000, MMIO = 0xf0000000, GRAPHICS = 0xa0000, TEXT = 0xb8000 };

static void begin(struct harness *h)
{
    harness_begin(h);
    harness_add(h, "VGA", "addr=2", NULL);
    harness_reset(h);
    config_write32(h, SLOT, 0, PCI_BAR0, FRAMEBUFFER);
    config_write32(h, SLOT, 0, PCI_BAR0 + 8, MMIO);
    config_write16(h, SLOT, 0, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
}

/* --- modes --- */

static const struct mode {
    uint8_t number, misc, sequencer[5], crtc[25], attribute[21], graphics[9];
} modes[] = {
    /* clang-format off */
    {0x1, 0x67, {0x03, 0x08, 0x03, 0x00, 0x03},
     {0x2d, 0x27, 0x28, 0x90, 0x2b, 0xa0, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0x00, 0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x14, 0x1f, 0x96, 0xb9, 0xa3, 0xff},
     {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x0c, 0x00, 0x0f, 0x08, 0x00},
     {0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0e, 0x0f, 0xff}},
    {0x3, 0x67, {0x03, 0x00, 0x03, 0x00, 0x03},
     {0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0x00, 0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff},
     {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x0c, 0x00, 0x0f, 0x08, 0x00},
     {0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0e, 0x0f, 0xff}},
    {0x4, 0x63, {0x03, 0x09, 0x03, 0x00, 0x02},
     {0x2d, 0x27, 0x28, 0x90, 0x2b, 0x80, 0xbf, 0x1f, 0x00, 0xc1, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x14, 0x00, 0x96, 0xb9, 0xa2, 0xff},
     {0x00, 0x13, 0x15, 0x17, 0x02, 0x04, 0x06, 0x07, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x01, 0x00, 0x03, 0x00, 0x00},
     {0x00, 0x00, 0x00, 0x00, 0x00, 0x30, 0x0f, 0x0f, 0xff}},
    {0x6, 0x63, {0x03, 0x01, 0x01, 0x00, 0x06},
     {0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0x00, 0xc1, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x28, 0x00, 0x96, 0xb9, 0xc2, 0xff},
     {0x00, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x01, 0x00, 0x01, 0x00, 0x00},
     {0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0d, 0x0f, 0xff}},
    {0x7, 0x66, {0x03, 0x00, 0x03, 0x00, 0x03},
     {0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0x00, 0x00, 0x00, 0xa0, 0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff},
     {0x00, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x10, 0x18, 0x18, 0x18, 0x18, 0x18, 0x18, 0x18, 0x0e, 0x00, 0x0f, 0x08, 0x00},
     {0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0a, 0x0f, 0xff}},
    {0xd, 0x63, {0x03, 0x09, 0x0f, 0x00, 0x06},
     {0x2d, 0x27, 0x28, 0x90, 0x2b, 0x80, 0xbf, 0x1f, 0x00, 0xc0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x14, 0x00, 0x96, 0xb9, 0xe3, 0xff},
     {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x01, 0x00, 0x0f, 0x00, 0x00},
     {0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x05, 0x0f, 0xff}},
    {0x12, 0xe3, {0x03, 0x01, 0x0f, 0x00, 0x06},
     {0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0x0b, 0x3e, 0x00, 0x40, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xea, 0x8c, 0xdf, 0x28, 0x00, 0xe7, 0x04, 0xe3, 0xff},
     {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x01, 0x00, 0x0f, 0x00, 0x00},
     {0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x05, 0x0f, 0xff}},
    {0x13, 0x63, {0x03, 0x01, 0x0f, 0x00, 0x0e},
     {0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0x00, 0x41, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x28, 0x40, 0x96, 0xb9, 0xa3, 0xff},
     {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x41, 0x00, 0x0f, 0x00, 0x00},
     {0x00, 0x00, 0x00, 0x00, 0x00, 0x40, 0x05, 0x0f, 0xff}},
    /* clang-format on */
};

static void set(struct harness *h, uint16_t port, uint8_t index, uint8_t value)
{
    out8(h, port, index);
    out8(h, port + 1, value);
}

static void set_attribute(struct harness *h, uint8_t index, uint8_t value)
{
    in8(h, 0x3da);
    in8(h, 0x3ba);
    out8(h, 0x3c0, index);
    out8(h, 0x3c0, value);
    out8(h, 0x3c0, 0x20);
}

static unsigned crtc_port(const struct mode *mode)
{
    return mode->misc & 1 ? 0x3d4 : 0x3b4;
}

/* Components of a colour of the DAC, six bits each. */
static uint8_t component(unsigned color, unsigned number)
{
    static const uint8_t factors[3] = {1, 5, 23};
    return (uint8_t)(color * factors[number] + color / 64) & 0x3f;
}

/* Six bits become eight as they are repeated. */
static uint32_t dac_color(unsigned color)
{
    uint32_t rgb = 0;
    for (unsigned i = 0; i < 3; i++)
        rgb = rgb << 8 | component(color, i) * 65u / 16;
    return rgb;
}

static const struct mode *mode_of(uint8_t number)
{
    const struct mode *mode = modes;
    while (mode->number != number)
        mode++;
    return mode;
}

/* In the BIOS's order: screen off, palette, attributes, sequencer, graphics, CRTC, clock, on. */
static void set_mode(struct harness *h, uint8_t number)
{
    const struct mode *mode = mode_of(number);
    uint16_t crtc = (uint16_t)crtc_port(mode);
    out8(h, 0x3c2, mode->misc);
    in8(h, crtc + 6);
    out8(h, 0x3c0, 0x00);
    out8(h, 0x3c6, 0xff);
    out8(h, 0x3c8, 0);
    for (unsigned i = 0; i < 256; i++) {
        for (unsigned j = 0; j < 3; j++)
            out8(h, 0x3c9, component(i, j));
    }
    for (uint8_t i = 0; i < 21; i++)
        set_attribute(h, i, mode->attribute[i]);
    for (uint8_t i = 0; i < 5; i++)
        set(h, 0x3c4, i, mode->sequencer[i]);
    for (uint8_t i = 0; i < 9; i++)
        set(h, 0x3ce, i, mode->graphics[i]);
    set(h, crtc, 0x11, 0);
    for (uint8_t i = 0; i < 25; i++)
        set(h, crtc, i, mode->crtc[i]);
    out8(h, 0x3c2, mode->misc);
    in8(h, crtc + 6);
    out8(h, 0x3c0, 0x20);
}

/* The colour of four bits. */
static uint32_t attribute_color(const struct mode *mode, unsigned index)
{
    return dac_color(mode->attribute[index & mode->attribute[0x12]]);
}

/* --- fonts --- */

static uint8_t font_row(unsigned font, unsigned code, unsigned row)
{
    return (uint8_t)(code * 37 + row * 11 + font * 101 + (code >> 3));
}

/* As the BIOS loads one: plane 2 alone, at 0xa0000. */
static void load_font(struct harness *h, unsigned font, uint32_t at)
{
    set(h, 0x3c4, 0, 1);
    set(h, 0x3c4, 2, 4);
    set(h, 0x3c4, 4, 7);
    set(h, 0x3c4, 0, 3);
    set(h, 0x3ce, 4, 2);
    set(h, 0x3ce, 5, 0);
    set(h, 0x3ce, 6, 4);
    for (unsigned code = 0; code < 256; code++) {
        for (unsigned row = 0; row < 32; row++)
            store8(h, GRAPHICS + at + code * 32 + row, font_row(font, code, row));
    }
    set(h, 0x3c4, 0, 1);
    set(h, 0x3c4, 2, 3);
    set(h, 0x3c4, 4, 3);
    set(h, 0x3c4, 0, 3);
    set(h, 0x3ce, 6, 0xe);
    set(h, 0x3ce, 4, 0);
    set(h, 0x3ce, 5, 0x10);
}

/* --- pixels --- */

static struct display_console *console(struct harness *h)
{
    return display_console_find(h->board.consoles, NULL);
}

static const struct display_surface *draw(struct harness *h)
{
    display_console_update(console(h));
    return &console(h)->surface;
}

static uint32_t pixel(const struct display_surface *surface, unsigned x, unsigned y)
{
    assert_true(x < surface->width && y < surface->height);
    return surface->pixels[y * surface->width + x];
}

static void check_size(const struct display_surface *surface, unsigned width, unsigned height)
{
    assert_int_equal(surface->width, width);
    assert_int_equal(surface->height, height);
}

static void check_pixel(const struct display_surface *surface, unsigned x, unsigned y,
                        uint32_t expected)
{
    uint32_t got = pixel(surface, x, y);
    if (got != expected)
        fail_msg("pixel %u, %u is 0x%06x, not 0x%06x", x, y, got, expected);
}

static uint32_t hash(uint32_t value)
{
    value = (value ^ value >> 16) * 0x7feb352du;
    value = (value ^ value >> 15) * 0x846ca68bu;
    return value ^ value >> 16;
}

/* --- text --- */

static void fill_text(struct harness *h, unsigned cells, uint8_t attributes)
{
    for (unsigned i = 0; i < cells; i++)
        store16(h, TEXT + i * 2, (uint16_t)((hash(i) & 0xff) | (hash(i) >> 8 & attributes) << 8));
}

/* A dot of a character as the description of text modes has it. */
static uint32_t text_dot(const struct mode *mode, unsigned cell, unsigned row, unsigned dot,
                         uint8_t attributes)
{
    uint8_t code = hash(cell) & 0xff, attribute = hash(cell) >> 8 & attributes;
    bool on = dot < 8 ? font_row(0, code, row) >> (7 - dot) & 1
                      : code >= 0xc0 && code <= 0xdf && font_row(0, code, row) & 1;
    return attribute_color(mode, on ? attribute & 15 : attribute >> 4);
}

static void text_of_80_columns(void **state)
{
    struct harness h;
    (void)state;
    begin(&h);
    set_mode(&h, 0x03);
    load_font(&h, 0, 0);
    set(&h, 0x3d4, 10, 0x20); /* no cursor */
    set_attribute(&h, 0x10, 0x04);
    fill_text(&h, 2000, 0xff);
    const struct display_surface *surface = draw(&h);
    check_size(surface, 720, 400);
    for (unsigned y = 0; y < 400; y++) {
        for (unsigned x = 0; x < 720; x++)
            check_pixel(surface, x, y,
                        text_dot(mode_of(3), y / 16 * 80 + x / 9, y % 16, x % 9, 0xff));
    }
    harness_end(&h);
}

static void text_of_40_columns_has_dots_of_two(void **state)
{
    struct harness h;
    (void)state;
    begin(&h);
    set_mode(&h, 0x01);
    load_font(&h, 0, 0);
    set(&h, 0x3d4, 10, 0x20);
    fill_text(&h, 1000, 0x7f);
    const struct display_surface *surface = draw(&h);
    check_size(surface, 720, 400);
    for (unsigned y = 0; y < 400; y++) {
        for (unsigned x = 0; x < 720; x++)
            check_pixel(surface, x, y,
                        text_dot(mode_of(1), y / 16 * 40 + x / 18, y % 16, x / 2 % 9, 0x7f));
    }
    set(&h, 0x3c4, 1, 0x09); /* eight dots */
    surface = draw(&h);
    check_size(surface, 640, 400);
    set_attribute(&h, 0x13, 0);
    surface = draw(&h);
    check_pixel(surface, 630, 77, text_dot(mode_of(1), 4 * 40 + 39, 13, 3, 0x7f));
    harness_end(&h);
}

/* Bit 7 blinks or is the background's; IBM: 16 pictures on, 16 off, and the cursor twice as fast.
 */
static void text_blinks(void **state)
{
    struct harness h;
    (void)state;
    begin(&h);
    set_mode(&h, 0x03);
    load_font(&h, 0, 0);
    set(&h, 0x3d4, 10, 0x20);
    store16(&h, TEXT, 0x9701); /* font_row(0, 1, 0) is 0x25 */
    uint32_t fore = attribute_color(mode_of(3), 7), back = attribute_color(mode_of(3), 1);
    unsigned on = 0, off = 0, turns = 0;
    uint32_t last = 0;
    for (unsigned frame = 0; frame < 70; frame++) { /* a second */
        uint32_t now = pixel(draw(&h), 2, 0);
        assert_true(now == fore || now == back);
        on += now == fore;
        off += now == back;
        turns += frame > 0 && now != last;
        last = now;
        assert_int_equal(pixel(draw(&h), 0, 0), back);
        harness_advance(&h, 14268000);
    }
    assert_in_range(on, 32, 38);
    assert_in_range(off, 32, 38);
    assert_int_equal(turns, 4);
    set_attribute(&h, 0x10, 0x04);
    assert_int_equal(pixel(draw(&h), 2, 0), fore);
    assert_int_equal(pixel(draw(&h), 0, 0), attribute_color(mode_of(3), 9));
    harness_end(&h);
}

static void cursor_is_lines_of_a_cell(void **state)
{
    struct harness h;
    (void)state;
    begin(&h);
    set_mode(&h, 0x03);
    for (unsigned i = 0; i < 2000; i++)
        store16(&h, TEXT + i * 2, 0x1e00);
    set(&h, 0x3d4, 14, 0x01);
    set(&h, 0x3d4, 15, 0x45); /* cell 325: row 4, column 5 */
    uint32_t fore = attribute_color(mode_of(3), 14), back = attribute_color(mode_of(3), 1);
    const struct display_surface *surface = draw(&h);
    for (unsigned y = 60; y < 84; y++) {
        for (unsigned x = 40; x < 60; x++) {
            bool cursor = x >= 45 && x < 54 && (y == 64 + 13 || y == 64 + 14);
            check_pixel(surface, x, y, cursor ? fore : back);
        }
    }
    harness_advance(&h, 9 * 14268000);
    check_pixel(draw(&h), 45, 77, back);
    harness_advance(&h, 8 * 14268000);
    check_pixel(draw(&h), 45, 77, fore);
    set(&h, 0x3d4, 11, 0x2e); /* moved on by a character */
    check_pixel(draw(&h), 45, 77, back);
    check_pixel(draw(&h), 54, 77, fore);
    set(&h, 0x3d4, 11, 0x05); /* ends before it begins */
    check_pixel(draw(&h), 45, 77, back);
    harness_end(&h);
}

static void attribute_bit_3_chooses_a_font(void **state)
{
    struct harness h;
    (void)state;
    begin(&h);
    set_mode(&h, 0x03);
    load_font(&h, 0, 0);
    load_font(&h, 1, 0xe000); /* the last of eight */
    set(&h, 0x3d4, 10, 0x20);
    set(&h, 0x3c4, 3, 0x2c); /* A: 7; B: 0 */
    store16(&h, TEXT, 0x0741);
    store16(&h, TEXT + 2, 0x0f41);
    const struct display_surface *surface = draw(&h);
    uint32_t color[2] = {attribute_color(mode_of(3), 7), attribute_color(mode_of(3), 15)};
    for (unsigned y = 0; y < 16; y++) {
        for (unsigned x = 0; x < 18; x++) {
            unsigned font = x / 9;
            bool on = x % 9 < 8 && font_row(font, 0x41, y) >> (7 - x % 9) & 1;
            check_pixel(surface, x, y, on ? color[font] : attribute_color(mode_of(3), 0));
        }
    }
    set(&h, 0x3c4, 4, 0x01); /* little memory: there is one font */
    surface = draw(&h);
    for (unsigned x = 0; x < 8; x++)
        check_pixel(surface, 9 + x, 3,
                    font_row(0, 0x41, 3) >> (7 - x) & 1 ? color[1]
                                                        : attribute_color(mode_of(3), 0));
    harness_end(&h);
}

static void monochrome_underlines(void **state)
{
    struct harness h;
    (void)state;
    begin(&h);
    set_mode(&h, 0x07);
    set(&h, 0x3b4, 10, 0x20);
    set(&h, 0x3b4, 0x14, 13);
    store8(&h, 0xb0000, 0x20);
    store8(&h, 0xb0001, 0x01);
    store8(&h, 0xb0002, 0x20);
    store8(&h, 0xb0003, 0x07);
    const struct display_surface *surface = draw(&h);
    check_size(surface, 720, 400);
    for (unsigned y = 0; y < 16; y++) {
        for (unsigned x = 0; x < 18; x++)
            check_pixel(surface, x, y, dac_color(x < 9 && y == 13 ? 8 : 0));
    }
    harness_end(&h);
}

/* --- graphics --- */

/* The byte of a plane at its address. */
static uint8_t plane_byte(uint32_t address, unsigned plane)
{
    return (uint8_t)(hash(address * 4 + plane) >> 8);
}

static void fill_planes(struct harness *h, unsigned count)
{
    for (unsigned plane = 0; plane < 4; plane++) {
        set(h, 0x3c4, 2, (uint8_t)(1u << plane));
        for (uint32_t at = 0; at < count; at++)
            store8(h, GRAPHICS + at, plane_byte(at, plane));
    }
    set(h, 0x3c4, 2, 15);
}

/* Four bits, one of each plane. */
static unsigned planar(uint32_t bit)
{
    unsigned index = 0;
    for (unsigned plane = 0; plane < 4; plane++)
        index |= (plane_byte(bit / 8, plane) >> (7 - bit % 8) & 1u) << plane;
    return index;
}

static void graphics_of_16_colors(void **state)
{
    struct harness h;
    (void)state;
    begin(&h);
    set_mode(&h, 0x12);
    fill_planes(&h, 0x10000);
    const struct display_surface *surface = draw(&h);
    check_size(surface, 640, 480);
    for (unsigned y = 0; y < 480; y++) {
        for (unsigned x = 0; x < 640; x++)
            check_pixel(surface, x, y, attribute_color(mode_of(0x12), planar(y * 640 + x)));
    }
    set_attribute(&h, 0x12, 0x05); /* two planes */
    check_pixel(draw(&h), 7, 9, attribute_color(mode_of(0x12), planar(9 * 640 + 7) & 5));
    set_attribute(&h, 0x12, 0x0f);
    set_attribute(&h, 0x14, 0x0e); /* bits 7 and 6 of the colour; 5 and 4, if wanted */
    unsigned index = planar(9 * 640 + 7);
    uint8_t value = mode_of(0x12)->attribute[index];
    check_pixel(draw(&h), 7, 9, dac_color(0xc0 | value));
    set_attribute(&h, 0x10, 0x81);
    check_pixel(draw(&h), 7, 9, dac_color(0xe0 | (value & 15)));
    out8(&h, 0x3c6, 0x0f);
    check_pixel(draw(&h), 7, 9, dac_color(value & 15));
    harness_end(&h);
}

static void graphics_of_320_pixels_are_doubled(void **state)
{
    struct harness h;
    (void)state;
    begin(&h);
    set_mode(&h, 0x0d);
    fill_planes(&h, 8000);
    const struct display_surface *surface = draw(&h);
    check_size(surface, 640, 400);
    for (unsigned y = 0; y < 400; y++) {
        for (unsigned x = 0; x < 640; x++)
            check_pixel(surface, x, y, attribute_color(mode_of(0x0d), planar(y / 2 * 320 + x / 2)));
    }
    harness_end(&h);
}

/* Four colours: even lines at 0, odd ones at 0x2000; two bits a pixel. */
static void graphics_of_the_cga(void **state)
{
    struct harness h;
    (void)state;
    begin(&h);
    set_mode(&h, 0x04);
    for (uint32_t i = 0; i < 0x4000; i++)
        store8(&h, TEXT + i, (uint8_t)hash(i));
    const struct display_surface *surface = draw(&h);
    check_size(surface, 640, 400);
    for (unsigned y = 0; y < 200; y++) {
        for (unsigned x = 0; x < 320; x++) {
            uint8_t byte = (uint8_t)hash(y % 2 * 0x2000 + y / 2 * 80 + x / 4);
            uint32_t color = attribute_color(mode_of(4), byte >> (6 - x % 4 * 2) & 3);
            check_pixel(surface, x * 2, y * 2, color);
            check_pixel(surface, x * 2 + 1, y * 2 + 1, color);
        }
    }
    set_mode(&h, 0x06);
    for (uint32_t i = 0; i < 0x4000; i++)
        store8(&h, TEXT + i, (uint8_t)hash(i));
    surface = draw(&h);
    check_size(surface, 640, 400);
    for (unsigned y = 0; y < 400; y++) {
        for (unsigned x = 0; x < 640; x++) {
            uint8_t byte = (uint8_t)hash(y / 2 % 2 * 0x2000 + y / 4 * 80 + x / 8);
            check_pixel(surface, x, y, attribute_color(mode_of(6), byte >> (7 - x % 8) & 1));
        }
    }
    harness_end(&h);
}

static void graphics_of_256_colors(void **state)
{
    struct harness h;
    (void)state;
    begin(&h);
    set_mode(&h, 0x13);
    for (uint32_t i = 0; i < 64000; i++)
        store8(&h, GRAPHICS + i, (uint8_t)hash(i));
    const struct display_surface *surface = draw(&h);
    check_size(surface, 640, 400);
    for (unsigned y = 0; y < 400; y++) {
        for (unsigned x = 0; x < 640; x++)
            check_pixel(surface, x, y, dac_color(hash(y / 2 * 320 + x / 2) & 0xff));
    }
    harness_end(&h);
}

/* Mode X: the planes one by one, byte addresses, 240 lines. */
static void graphics_without_chain_4(void **state)
{
    static const uint8_t crtc[][2] = {{0x11, 0x2c}, {0x06, 0x0d}, {0x07, 0x3e}, {0x09, 0x41},
                                      {0x10, 0xea}, {0x11, 0xac}, {0x12, 0xdf}, {0x14, 0x00},
                                      {0x15, 0xe7}, {0x16, 0x06}, {0x17, 0xe3}};
    struct harness h;
    (void)state;
    begin(&h);
    set_mode(&h, 0x13);
    set(&h, 0x3c4, 4, 0x06);
    out8(&h, 0x3c2, 0xe3);
    for (size_t i = 0; i < sizeof(crtc) / sizeof(crtc[0]); i++)
        set(&h, 0x3d4, crtc[i][0], crtc[i][1]);
    fill_planes(&h, 0x10000);
    const struct display_surface *surface = draw(&h);
    check_size(surface, 640, 480);
    for (unsigned y = 0; y < 480; y++) {
        for (unsigned x = 0; x < 640; x++)
            check_pixel(surface, x, y, dac_color(plane_byte(y / 2 * 80 + x / 8, x / 2 % 4)));
    }
    set(&h, 0x3d4, 0x0c, 0x4b); /* another page, three pixels to the right */
    set_attribute(&h, 0x13, 6);
    surface = draw(&h);
    for (unsigned x = 0; x < 640; x++) {
        unsigned at = x / 2 + 3;
        check_pixel(surface, x, 0, dac_color(plane_byte(0x4b00 + at / 4, at % 4)));
    }
    harness_end(&h);
}

/* Below the line compare the picture begins at address 0 again. */
static void screen_is_split(void **state)
{
    struct harness h;
    (void)state;
    begin(&h);
    set_mode(&h, 0x12);
    fill_planes(&h, 0x10000);
    set(&h, 0x3d4, 0x0c, 0x20);
    set(&h, 0x3d4, 0x07, 0x2e); /* line compare 0x064: 100 */
    set(&h, 0x3d4, 0x09, 0x00);
    set(&h, 0x3d4, 0x18, 100);
    set_attribute(&h, 0x13, 3);
    const struct display_surface *surface = draw(&h);
    for (unsigned y = 98; y < 104; y++) {
        unsigned start = y <= 100 ? 0x2000 * 8 + y * 640 : (y - 101) * 640;
        for (unsigned x = 0; x < 600; x++)
            check_pixel(surface, x, y, attribute_color(mode_of(0x12), planar(start + x + 3)));
    }
    set_attribute(&h, 0x10, 0x21); /* the lower part does not move */
    surface = draw(&h);
    check_pixel(surface, 5, 50, attribute_color(mode_of(0x12), planar(0x2000 * 8 + 50 * 640 + 8)));
    check_pixel(surface, 5, 150, attribute_color(mode_of(0x12), planar(49 * 640 + 5)));
    set(&h, 0x3d4, 0x08, 0x20); /* a byte further */
    check_pixel(draw(&h), 5, 50, attribute_color(mode_of(0x12), planar(0x2001 * 8 + 50 * 640 + 8)));
    harness_end(&h);
}

/* In graphics modes blinking turns bit 3 over. */
static void graphics_blink(void **state)
{
    struct harness h;
    (void)state;
    begin(&h);
    set_mode(&h, 0x12);
    fill_planes(&h, 0x100);
    set_attribute(&h, 0x10, 0x09);
    unsigned index = planar(3);
    check_pixel(draw(&h), 3, 0, attribute_color(mode_of(0x12), index));
    harness_advance(&h, 17 * 16683000);
    check_pixel(draw(&h), 3, 0, attribute_color(mode_of(0x12), index ^ 8));
    harness_end(&h);
}

static void screen_is_off(void **state)
{
    struct harness h;
    (void)state;
    begin(&h);
    const struct display_surface *surface = draw(&h);
    check_size(surface, 720, 400);
    check_pixel(surface, 359, 200, 0);
    set_mode(&h, 0x13);
    for (uint32_t i = 0; i < 64000; i++)
        store8(&h, GRAPHICS + i, 99);
    check_pixel(draw(&h), 1, 1, dac_color(99));
    set(&h, 0x3c4, 1, 0x21);
    check_pixel(draw(&h), 1, 1, 0);
    set(&h, 0x3c4, 1, 0x01);
    check_pixel(draw(&h), 1, 1, dac_color(99));
    set_attribute(&h, 0x11, 42);
    in8(&h, 0x3da);
    out8(&h, 0x3c0, 0x00); /* the palette is the CPU's: the border's colour everywhere */
    check_pixel(draw(&h), 1, 1, dac_color(42));
    out8(&h, 0x3c0, 0x00);
    out8(&h, 0x3c0, 0x20);
    check_pixel(draw(&h), 1, 1, dac_color(99));
    set(&h, 0x3c4, 0, 0x01);
    check_pixel(draw(&h), 1, 1, 0);
    harness_end(&h);
}

/* --- VBE --- */

static void vbe_set(struct harness *h, uint16_t index, uint16_t value)
{
    out16(h, 0x1ce, index);
    out16(h, 0x1cf, value);
}

static void vbe_mode(struct harness *h, uint16_t width, uint16_t height, uint16_t depth,
                     uint16_t flags)
{
    vbe_set(h, 4, 0);
    vbe_set(h, 3, depth);
    vbe_set(h, 1, width);
    vbe_set(h, 2, height);
    vbe_set(h, 5, 0);
    vbe_set(h, 4, flags);
    in8(h, 0x3da);
    out8(h, 0x3c0, 0x20);
}

static uint32_t wide(uint32_t value, unsigned bits)
{
    return value << (8 - bits) | value >> (2 * bits - 8);
}

/* A pixel of the depth in memory as red, green, blue. */
static uint32_t rgb(uint32_t value, unsigned depth)
{
    switch (depth) {
    case 8: return dac_color(value);
    case 15:
        return wide(value >> 10 & 31, 5) << 16 | wide(value >> 5 & 31, 5) << 8 |
               wide(value & 31, 5);
    case 16:
        return wide(value >> 11 & 31, 5) << 16 | wide(value >> 5 & 63, 6) << 8 |
               wide(value & 31, 5);
    default: return value & 0xffffff;
    }
}

static void linear_modes(void **state)
{
    static const uint8_t depths[] = {8, 15, 16, 24, 32};
    struct harness h;
    (void)state;
    begin(&h);
    set_mode(&h, 0x03);
    for (unsigned d = 0; d < sizeof(depths); d++) {
        unsigned depth = depths[d], bytes = (depth + 7) / 8;
        uint32_t mask = depth == 32 ? UINT32_MAX : (1u << depth) - 1;
        vbe_mode(&h, 1024, 600, (uint16_t)depth, 0x41);
        const struct display_surface *surface = draw(&h);
        check_size(surface, 1024, 600);
        check_pixel(surface, 1023, 599, rgb(0, depth));
        for (unsigned i = 0; i < 1024 * 600; i += 7) {
            uint32_t value = hash(i) & mask;
            mem_write(h.board.memory, 0, FRAMEBUFFER + i * bytes, &value, bytes);
        }
        surface = draw(&h);
        for (unsigned i = 0; i < 1024 * 600; i++)
            check_pixel(surface, i % 1024, i / 1024, rgb(i % 7 ? 0 : hash(i) & mask, depth));
    }
    vbe_set(&h, 4, 0);               /* the mode before */
    check_size(draw(&h), 1024, 600); /* as large as the extensions left the registers */
    set_mode(&h, 0x03);
    check_size(draw(&h), 720, 400);
    harness_end(&h);
}

static void linear_modes_pan(void **state)
{
    struct harness h;
    (void)state;
    begin(&h);
    set_mode(&h, 0x03);
    vbe_mode(&h, 640, 480, 16, 0x41);
    vbe_set(&h, 6, 1000);
    vbe_set(&h, 8, 13);
    vbe_set(&h, 9, 17);
    for (unsigned i = 0; i < 1000 * 500; i++)
        store16(&h, FRAMEBUFFER + i * 2, (uint16_t)hash(i));
    const struct display_surface *surface = draw(&h);
    for (unsigned y = 0; y < 480; y += 3) {
        for (unsigned x = 0; x < 640; x++)
            check_pixel(surface, x, y, rgb(hash((y + 17) * 1000 + x + 13) & 0xffff, 16));
    }
    store32(&h, MMIO + 0x604, 0xbebebebe);
    uint32_t value = hash(17 * 1000 + 13) & 0xffff;
    check_pixel(draw(&h), 0, 0, rgb((value & 0xff) << 8 | value >> 8, 16));
    vbe_mode(&h, 640, 480, 32, 0x41);
    store32(&h, FRAMEBUFFER, 0x11223300);
    check_pixel(draw(&h), 0, 0, 0x332211);
    harness_end(&h);
}

static void eight_bits_of_the_dac(void **state)
{
    struct harness h;
    (void)state;
    begin(&h);
    set_mode(&h, 0x03);
    vbe_mode(&h, 640, 480, 8, 0x61);
    out8(&h, 0x3c8, 5);
    out8(&h, 0x3c9, 0x91);
    out8(&h, 0x3c9, 0x42);
    out8(&h, 0x3c9, 0xfe);
    store8(&h, FRAMEBUFFER + 639, 5);
    check_pixel(draw(&h), 639, 0, 0x9142fe);
    harness_end(&h);
}

static void vbe_planes(void **state)
{
    struct harness h;
    (void)state;
    begin(&h);
    set_mode(&h, 0x12);
    vbe_mode(&h, 1024, 768, 4, 0x01);
    for (unsigned bank = 0; bank < 2; bank++) {
        vbe_set(&h, 5, (uint16_t)bank);
        for (unsigned plane = 0; plane < 4; plane++) {
            set(&h, 0x3c4, 2, (uint8_t)(1u << plane));
            for (uint32_t at = 0; at < 0x10000; at++)
                store8(&h, GRAPHICS + at, plane_byte(bank * 0x10000 + at, plane));
        }
    }
    const struct display_surface *surface = draw(&h);
    check_size(surface, 1024, 768);
    for (unsigned i = 0; i < 1024 * 768; i++)
        check_pixel(surface, i % 1024, i / 1024, attribute_color(mode_of(0x12), planar(i)));
    vbe_set(&h, 8, 11);
    vbe_set(&h, 9, 2);
    check_pixel(draw(&h), 4, 1, attribute_color(mode_of(0x12), planar(3 * 1024 + 15)));
    harness_end(&h);
}

/* --- what is told --- */

struct told {
    unsigned resized, rectangles;
    unsigned width, height;
    unsigned left, top, right, bottom; /* around all */
};

static void told_resized(void *opaque, const struct display_surface *surface)
{
    struct told *told = opaque;
    told->resized++;
    told->width = surface->width;
    told->height = surface->height;
}

static void told_changed(void *opaque, const struct display_surface *surface,
                         const struct display_rectangle *rectangle)
{
    struct told *told = opaque;
    assert_true(rectangle->width && rectangle->x + rectangle->width <= surface->width);
    assert_true(rectangle->height && rectangle->y + rectangle->height <= surface->height);
    if (!told->rectangles++) {
        told->left = told->top = UINT32_MAX;
        told->right = told->bottom = 0;
    }
    unsigned right = rectangle->x + rectangle->width, bottom = rectangle->y + rectangle->height;
    told->left = rectangle->x < told->left ? rectangle->x : told->left;
    told->top = rectangle->y < told->top ? rectangle->y : told->top;
    told->right = right > told->right ? right : told->right;
    told->bottom = bottom > told->bottom ? bottom : told->bottom;
}

static void check_told(struct told *told, unsigned left, unsigned top, unsigned right,
                       unsigned bottom)
{
    assert_true(told->rectangles > 0);
    assert_int_equal(told->left, left);
    assert_int_equal(told->top, top);
    assert_int_equal(told->right, right);
    assert_int_equal(told->bottom, bottom);
    told->rectangles = 0;
}

static void changes_are_told(void **state)
{
    struct harness h;
    struct told told = {0};
    struct display_listener listener = {&told, told_resized, told_changed, NULL};
    (void)state;
    begin(&h);
    set_mode(&h, 0x03);
    vbe_mode(&h, 800, 600, 32, 0x41);
    draw(&h);
    display_console_listen(console(&h), &listener);
    draw(&h);
    assert_int_equal(told.resized, 1);
    assert_int_equal(told.width, 800);
    check_told(&told, 0, 0, 800, 600);
    draw(&h);
    assert_int_equal(told.rectangles, 0);
    store32(&h, FRAMEBUFFER + (100 * 800 + 50) * 4, 0x123456);
    store32(&h, FRAMEBUFFER + (101 * 800 + 70) * 4, 0x123456);
    draw(&h);
    check_told(&told, 50, 100, 71, 102);
    store32(&h, FRAMEBUFFER + (100 * 800 + 50) * 4, 0x123456); /* the same again */
    draw(&h);
    assert_int_equal(told.rectangles, 0);
    store32(&h, FRAMEBUFFER, 1);
    store32(&h, FRAMEBUFFER + (599 * 800 + 799) * 4, 1);
    draw(&h);
    assert_int_equal(told.rectangles, 2);
    check_told(&told, 0, 0, 800, 600);
    vbe_mode(&h, 640, 480, 32, 0x41);
    draw(&h);
    assert_int_equal(told.resized, 2);
    check_told(&told, 0, 0, 640, 480);
    display_console_listen_no_more(console(&h), &listener);
    store32(&h, FRAMEBUFFER, 2);
    draw(&h);
    assert_int_equal(told.rectangles, 0);
    harness_end(&h);
}

static void changes_of_text_are_told(void **state)
{
    struct harness h;
    struct told told = {0};
    struct display_listener listener = {&told, told_resized, told_changed, NULL};
    (void)state;
    begin(&h);
    set_mode(&h, 0x03);
    set(&h, 0x3d4, 10, 0x20);
    display_console_listen(console(&h), &listener);
    draw(&h);
    told.rectangles = 0;
    store16(&h, TEXT + (7 * 80 + 9) * 2, 0x1100);
    draw(&h);
    check_told(&told, 81, 112, 90, 128);
    set_attribute(&h, 1, 0x3f); /* the palette: what has the colour changes */
    draw(&h);
    check_told(&told, 81, 112, 90, 128);
    harness_end(&h);
}

/* --- as text --- */

static void print(struct harness *h, uint32_t at, const char *text)
{
    for (unsigned i = 0; text[i]; i++)
        store16(h, TEXT + (at + i) * 2, (uint16_t)(0x0700 | (uint8_t)text[i]));
}

static void check_text(struct harness *h, const char *expected)
{
    struct strbuf text;
    struct error err = {""};
    strbuf_init(&text);
    if (!display_console_text(console(h), &text, &err))
        fail_msg("%s", err.text);
    assert_string_equal(text.data, expected);
    strbuf_free(&text);
}

static void screens_are_text(void **state)
{
    struct harness h;
    struct error err;
    (void)state;
    begin(&h);
    struct strbuf text;
    strbuf_init(&text);
    check_text(&h, ""); /* nothing is shown */
    set_mode(&h, 0x03);
    for (unsigned i = 0; i < 2000; i++)
        store16(&h, TEXT + i * 2, 0x0720);
    print(&h, 0, "SeaBIOS (version 1)");
    print(&h, 80 + 2, "\xda\xc4\xbf \x01 \xe4");
    print(&h, 3 * 80 + 79, "x");
    check_text(&h, "SeaBIOS (version 1)\n  \u250c\u2500\u2510 \u263a \u03a3\n\n"
                   "                                        "
                   "                                       x\n");
    struct display_text cells;
    set(&h, 0x3d4, 15, 85);
    assert_true(console(&h)->ops->text(console(&h)->opaque, &cells));
    assert_int_equal(cells.columns, 80);
    assert_int_equal(cells.rows, 25);
    assert_true(cells.cursor);
    assert_int_equal(cells.cursor_row, 1);
    assert_int_equal(cells.cursor_column, 5);
    display_text_free(&cells);
    set(&h, 0x3d4, 13, 80); /* scrolled by a row */
    check_text(&h, "  \u250c\u2500\u2510 \u263a \u03a3\n\n"
                   "                                        "
                   "                                       x\n");
    set_mode(&h, 0x12);
    assert_false(display_console_text(console(&h), &text, &err));
    assert_string_equal(err.text, "the screen of VGA shows pixels (640 x 480), not characters; "
                                  "formats png and ppm show them");
    strbuf_free(&text);
    harness_end(&h);
}

/* --- states --- */

/* A machine with the state and the memory of another shows the same. */
static void states_show_the_same(void **state)
{
    static const uint8_t numbers[] = {0x03, 0x04, 0x12, 0x13};
    (void)state;
    for (unsigned i = 0; i < sizeof(numbers); i++) {
        struct harness a, b;
        struct error err = {""};
        begin(&a);
        set_mode(&a, numbers[i]);
        load_font(&a, 0, 0);
        set_mode(&a, numbers[i]);
        for (uint32_t at = 0; at < 0x8000; at++)
            store8(&a, (i < 2 ? TEXT : GRAPHICS) + at, (uint8_t)hash(at));
        harness_begin(&b);
        harness_add(&b, "VGA", "addr=2", NULL);
        harness_reset(&b);
        draw(&b);
        assert_true(harness_transplant(&a, &b, &err));
        const struct display_surface *one = draw(&a), *other = draw(&b);
        check_size(other, one->width, one->height);
        assert_memory_equal(one->pixels, other->pixels, (size_t)one->width * one->height * 4);
        harness_end(&a);
        harness_end(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_of_80_columns),
        cmocka_unit_test(text_of_40_columns_has_dots_of_two),
        cmocka_unit_test(text_blinks),
        cmocka_unit_test(cursor_is_lines_of_a_cell),
        cmocka_unit_test(attribute_bit_3_chooses_a_font),
        cmocka_unit_test(monochrome_underlines),
        cmocka_unit_test(graphics_of_16_colors),
        cmocka_unit_test(graphics_of_320_pixels_are_doubled),
        cmocka_unit_test(graphics_of_the_cga),
        cmocka_unit_test(graphics_of_256_colors),
        cmocka_unit_test(graphics_without_chain_4),
        cmocka_unit_test(screen_is_split),
        cmocka_unit_test(graphics_blink),
        cmocka_unit_test(screen_is_off),
        cmocka_unit_test(linear_modes),
        cmocka_unit_test(linear_modes_pan),
        cmocka_unit_test(eight_bits_of_the_dac),
        cmocka_unit_test(vbe_planes),
        cmocka_unit_test(changes_are_told),
        cmocka_unit_test(changes_of_text_are_told),
        cmocka_unit_test(screens_are_text),
        cmocka_unit_test(states_show_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
