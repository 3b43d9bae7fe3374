/* SPDX-License-Identifier: MIT
 *
 * The registers of the standard VGA: PCI, ports, VBE, MMIO, the beam's position, what a state
 * keeps.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "device_harness.h"
#include "log_capture.h"
#include "trace/probe/control.h"

enum { SLOT = 2, FRAMEBUFFER = 0xe0000000, MMIO = 0xf0000000 };

static void begin(struct harness *h, const char *property)
{
    harness_begin(h);
    harness_add(h, "VGA", "addr=2", property, NULL);
    harness_reset(h);
    config_write32(h, SLOT, 0, PCI_BAR0, FRAMEBUFFER);
    config_write32(h, SLOT, 0, PCI_BAR0 + 8, MMIO);
    config_write16(h, SLOT, 0, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
}

static void set(struct harness *h, uint16_t port, uint8_t index, uint8_t value)
{
    out8(h, port, index);
    out8(h, port + 1, value);
}

static uint8_t get(struct harness *h, uint16_t port, uint8_t index)
{
    out8(h, port, index);
    return in8(h, port + 1);
}

static void set_attribute(struct harness *h, uint8_t index, uint8_t value)
{
    in8(h, 0x3da);
    out8(h, 0x3c0, index);
    out8(h, 0x3c0, value);
}

static uint8_t get_attribute(struct harness *h, uint8_t index)
{
    in8(h, 0x3da);
    out8(h, 0x3c0, index);
    return in8(h, 0x3c1);
}

static void vbe_set(struct harness *h, uint16_t index, uint16_t value)
{
    out16(h, 0x1ce, index);
    out16(h, 0x1cf, value);
}

static uint16_t vbe_get(struct harness *h, uint16_t index)
{
    out16(h, 0x1ce, index);
    return in16(h, 0x1cf);
}

static void vbe_mode(struct harness *h, uint16_t width, uint16_t height, uint16_t depth,
                     uint16_t flags)
{
    vbe_set(h, 4, 0);
    vbe_set(h, 1, width);
    vbe_set(h, 2, height);
    vbe_set(h, 3, depth);
    vbe_set(h, 4, flags);
}

/* --- PCI --- */

static void configuration_is_qemus(void **state)
{
    struct harness h;
    (void)state;
    harness_begin(&h);
    harness_add(&h, "VGA", "addr=2", NULL);
    harness_reset(&h);
    assert_int_equal(config_read32(&h, SLOT, 0, 0), 0x11111234);
    assert_int_equal(config_read32(&h, SLOT, 0, 8), 0x03000002);
    assert_int_equal(config_read32(&h, SLOT, 0, 0x2c), 0x11001af4);
    assert_int_equal(config_read32(&h, SLOT, 0, 0x3c), 0);
    config_write32(&h, SLOT, 0, 0x10, 0xffffffff);
    config_write32(&h, SLOT, 0, 0x18, 0xffffffff);
    assert_int_equal(config_read32(&h, SLOT, 0, 0x10), 0xff000008);
    assert_int_equal(config_read32(&h, SLOT, 0, 0x14), 0);
    assert_int_equal(config_read32(&h, SLOT, 0, 0x18), 0xfffff000);
    struct pci_device *pci = (struct pci_device *)device_first(&h.board);
    assert_string_equal(pci->romfile, "vgabios-stdvga.bin");
    harness_end(&h);
}

/* Ports and window follow the command register. */
static void decoding_is_switched(void **state)
{
    struct harness h;
    (void)state;
    begin(&h, NULL);
    out8(&h, 0x3c2, 0x67);
    assert_int_equal(in8(&h, 0x3cc), 0x67);
    assert_int_equal(vbe_get(&h, 0), 0xb0c5);
    config_write16(&h, SLOT, 0, PCI_COMMAND, PCI_COMMAND_MEMORY);
    assert_int_equal(in8(&h, 0x3cc), 0xff);
    assert_int_equal(vbe_get(&h, 0), 0xffff);
    store8(&h, 0xa0000, 0x12);
    config_write16(&h, SLOT, 0, PCI_COMMAND, PCI_COMMAND_IO);
    store8(&h, 0xa0000, 0x34);
    assert_int_equal(load8(&h, 0xa0000), 0x34); /* the RAM below */
    config_write16(&h, SLOT, 0, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
    assert_int_not_equal(load8(&h, 0xa0000), 0x34);
    assert_int_equal(in8(&h, 0x3cc), 0x67);
    harness_end(&h);
}

static void sizes_are_checked(void **state)
{
    struct harness h;
    (void)state;
    harness_begin(&h);
    assert_string_equal(harness_refuses(&h, "VGA", "vgamem_mb=12", NULL),
                        "Property 'VGA.vgamem_mb' is a power of two from 1 to 512 (MiB of video "
                        "memory), not 12");
    assert_string_equal(harness_refuses(&h, "VGA", "vgamem_mb=1024", NULL),
                        "Property 'VGA.vgamem_mb' is a power of two from 1 to 512 (MiB of video "
                        "memory), not 1024");
    assert_string_equal(harness_refuses(&h, "VGA", "xres=5000", NULL),
                        "Properties 'VGA.xres' and 'VGA.yres' are at most 4095, not 5000 x 800");
    harness_add(&h, "VGA", "addr=2", "vgamem_mb=64", NULL);
    harness_reset(&h);
    config_write32(&h, SLOT, 0, 0x10, 0xffffffff);
    assert_int_equal(config_read32(&h, SLOT, 0, 0x10), 0xfc000008);
    config_write16(&h, SLOT, 0, PCI_COMMAND, PCI_COMMAND_IO);
    assert_int_equal(vbe_get(&h, 10), 1024);
    harness_end(&h);
}

/* --- groups of registers --- */

static const struct {
    uint16_t port;
    uint8_t index, bits;
} registers[] = {
    {0x3c4, 0, 0x03},  {0x3c4, 1, 0x3d},  {0x3c4, 2, 0x0f},  {0x3c4, 3, 0x3f},  {0x3c4, 4, 0x0e},
    {0x3c4, 5, 0x00},  {0x3c4, 7, 0x00},  {0x3ce, 0, 0x0f},  {0x3ce, 1, 0x0f},  {0x3ce, 2, 0x0f},
    {0x3ce, 3, 0x1f},  {0x3ce, 4, 0x03},  {0x3ce, 5, 0x7b},  {0x3ce, 6, 0x0f},  {0x3ce, 7, 0x0f},
    {0x3ce, 8, 0xff},  {0x3ce, 9, 0x00},  {0x3ce, 15, 0x00}, {0x3d4, 0, 0xff},  {0x3d4, 1, 0xff},
    {0x3d4, 2, 0xff},  {0x3d4, 3, 0xff},  {0x3d4, 4, 0xff},  {0x3d4, 5, 0xff},  {0x3d4, 6, 0xff},
    {0x3d4, 7, 0xff},  {0x3d4, 8, 0x7f},  {0x3d4, 9, 0xff},  {0x3d4, 10, 0x3f}, {0x3d4, 11, 0x7f},
    {0x3d4, 12, 0xff}, {0x3d4, 13, 0xff}, {0x3d4, 14, 0xff}, {0x3d4, 15, 0xff}, {0x3d4, 16, 0xff},
    {0x3d4, 17, 0xff}, {0x3d4, 18, 0xff}, {0x3d4, 19, 0xff}, {0x3d4, 20, 0x7f}, {0x3d4, 21, 0xff},
    {0x3d4, 22, 0xff}, {0x3d4, 23, 0xef}, {0x3d4, 24, 0xff}, {0x3d4, 25, 0x00}, {0x3d4, 31, 0x00},
};

static void indexed_registers_keep_their_bits(void **state)
{
    struct harness h;
    (void)state;
    begin(&h, NULL);
    out8(&h, 0x3c2, 0x01);
    for (size_t i = 0; i < sizeof(registers) / sizeof(registers[0]); i++) {
        set(&h, registers[i].port, registers[i].index, 0xff);
        assert_int_equal(get(&h, registers[i].port, registers[i].index), registers[i].bits);
        set(&h, registers[i].port, registers[i].index, 0x00);
        assert_int_equal(get(&h, registers[i].port, registers[i].index), 0x00);
    }
    out8(&h, 0x3c4, 0xff);
    out8(&h, 0x3ce, 0xff);
    out8(&h, 0x3d4, 0xff);
    assert_int_equal(in8(&h, 0x3c4), 0x07);
    assert_int_equal(in8(&h, 0x3ce), 0x0f);
    assert_int_equal(in8(&h, 0x3d4), 0x1f);
    harness_end(&h);
}

static void single_registers_keep_their_bits(void **state)
{
    struct harness h;
    (void)state;
    begin(&h, NULL);
    out8(&h, 0x3c2, 0xff);
    assert_int_equal(in8(&h, 0x3cc), 0xef);
    assert_int_equal(in8(&h, 0x3c2), 0x00);
    out8(&h, 0x3c3, 0xff);
    assert_int_equal(in8(&h, 0x3c3), 0x01);
    out8(&h, 0x3c6, 0x5a);
    assert_int_equal(in8(&h, 0x3c6), 0x5a);
    out8(&h, 0x3da, 0xff);
    assert_int_equal(in8(&h, 0x3ca), 0x0b);
    assert_int_equal(in8(&h, 0x3cd), 0x00);
    harness_end(&h);
}

/* A word at an index port is index and data. */
static void words_are_two_bytes(void **state)
{
    struct harness h;
    (void)state;
    begin(&h, NULL);
    out8(&h, 0x3c2, 0x01);
    out16(&h, 0x3ce, 0x5a08);
    assert_int_equal(get(&h, 0x3ce, 8), 0x5a);
    assert_int_equal(in16(&h, 0x3ce), 0x5a08);
    out16(&h, 0x3d4, 0x770c);
    assert_int_equal(get(&h, 0x3d4, 12), 0x77);
    harness_end(&h);
}

static void attributes_take_turns(void **state)
{
    static const uint8_t bits[21] = {0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f,
                                     0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f,
                                     0x3f, 0x3f, 0xef, 0xff, 0x3f, 0x0f, 0x0f};
    struct harness h;
    (void)state;
    begin(&h, NULL);
    out8(&h, 0x3c2, 0x01);
    for (uint8_t i = 0; i < 21; i++) {
        set_attribute(&h, i, 0xff);
        assert_int_equal(get_attribute(&h, i), bits[i]);
    }
    assert_int_equal(get_attribute(&h, 21), 0);
    in8(&h, 0x3da);
    out8(&h, 0x3c0, 0x33); /* an index with the palette given to the screen */
    assert_int_equal(in8(&h, 0x3c0), 0x33);
    out8(&h, 0x3c0, 0x05); /* data */
    assert_int_equal(in8(&h, 0x3c1), 0x05);
    out8(&h, 0x3c0, 0x14); /* an index again */
    in8(&h, 0x3da);
    out8(&h, 0x3c0, 0x12); /* and still one */
    assert_int_equal(in8(&h, 0x3c0), 0x12);
    harness_end(&h);
}

static void crtc_is_protected(void **state)
{
    struct harness h;
    (void)state;
    begin(&h, NULL);
    out8(&h, 0x3c2, 0x01);
    for (uint8_t i = 0; i < 8; i++)
        set(&h, 0x3d4, i, 0x21);
    set(&h, 0x3d4, 0x11, 0x80);
    for (uint8_t i = 0; i < 7; i++) {
        set(&h, 0x3d4, i, 0xde);
        assert_int_equal(get(&h, 0x3d4, i), 0x21);
    }
    set(&h, 0x3d4, 7, 0xde);
    assert_int_equal(get(&h, 0x3d4, 7), 0x31); /* but for the line compare's bit */
    set(&h, 0x3d4, 8, 0x12);
    assert_int_equal(get(&h, 0x3d4, 8), 0x12);
    set(&h, 0x3d4, 0x11, 0x00);
    set(&h, 0x3d4, 0, 0xde);
    assert_int_equal(get(&h, 0x3d4, 0), 0xde);
    harness_end(&h);
}

static void monochrome_is_elsewhere(void **state)
{
    struct harness h;
    (void)state;
    begin(&h, NULL);
    out8(&h, 0x3c2, 0x01);
    set(&h, 0x3d4, 12, 0x42);
    assert_int_equal(in8(&h, 0x3b5), 0xff);
    assert_int_equal(in8(&h, 0x3ba), 0xff);
    set(&h, 0x3b4, 12, 0x99);
    assert_int_equal(get(&h, 0x3d4, 12), 0x42);
    out8(&h, 0x3c2, 0x00);
    assert_int_equal(in8(&h, 0x3d5), 0xff);
    assert_int_equal(in8(&h, 0x3da), 0xff);
    assert_int_equal(get(&h, 0x3b4, 12), 0x42);
    assert_int_not_equal(in8(&h, 0x3ba), 0xff);
    harness_end(&h);
}

static void dac_counts_colors(void **state)
{
    struct harness h;
    (void)state;
    begin(&h, NULL);
    out8(&h, 0x3c8, 254);
    assert_int_equal(in8(&h, 0x3c7), 0);
    for (uint8_t i = 0; i < 9; i++)
        out8(&h, 0x3c9, 0xc0 + i); /* six bits of it */
    assert_int_equal(in8(&h, 0x3c8), 1);
    out8(&h, 0x3c9, 0x11); /* no third component comes: nothing changes */
    out8(&h, 0x3c7, 254);
    assert_int_equal(in8(&h, 0x3c7), 3);
    for (uint8_t i = 0; i < 9; i++)
        assert_int_equal(in8(&h, 0x3c9), i);
    assert_int_equal(in8(&h, 0x3c9), 0);
    vbe_mode(&h, 640, 480, 8, 0x21);
    out8(&h, 0x3c8, 7);
    for (uint8_t i = 0; i < 3; i++)
        out8(&h, 0x3c9, 0xc0 + i); /* all eight */
    out8(&h, 0x3c7, 7);
    for (uint8_t i = 0; i < 3; i++)
        assert_int_equal(in8(&h, 0x3c9), 0xc0 + i);
    harness_end(&h);
}

/* --- the beam --- */

/* Mode 3: 900 dots of 28.322 MHz a line, 449 lines, 720 and 400 of them shown, retrace in lines 412
 * and 413. */
static void set_timing(struct harness *h)
{
    out8(h, 0x3c2, 0x67);
    set(h, 0x3c4, 1, 0x00);
    set(h, 0x3d4, 0x11, 0x00);
    set(h, 0x3d4, 0x00, 0x5f);
    set(h, 0x3d4, 0x01, 0x4f);
    set(h, 0x3d4, 0x06, 0xbf);
    set(h, 0x3d4, 0x07, 0x1f);
    set(h, 0x3d4, 0x10, 0x9c);
    set(h, 0x3d4, 0x11, 0x8e);
    set(h, 0x3d4, 0x12, 0x8f);
}

static uint64_t dots(uint64_t count)
{
    return (count * 1000000000 + 28322000 - 1) / 28322000;
}

static void status_follows_the_clock(void **state)
{
    static const struct {
        unsigned line, dot;
        uint8_t status;
    } places[] = {{0, 1, 0},   {0, 718, 0},   {0, 722, 1},   {0, 898, 1},   {1, 2, 0},
                  {399, 5, 0}, {400, 5, 1},   {411, 890, 1}, {412, 5, 9},   {413, 890, 9},
                  {414, 5, 1}, {448, 800, 1}, {449, 5, 0},   {861, 100, 9}, {898, 5, 0}};
    struct harness h;
    (void)state;
    begin(&h, NULL);
    set_timing(&h);
    uint64_t now = 0;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        uint64_t then = dots(places[i].line * UINT64_C(900) + places[i].dot);
        harness_advance(&h, then - now);
        now = then;
        assert_int_equal(in8(&h, 0x3da), places[i].status);
    }
    harness_end(&h);
}

static void status_in_vbe_modes_is_of_60_hz(void **state)
{
    struct harness h;
    (void)state;
    begin(&h, NULL);
    out8(&h, 0x3c2, 0x67);
    vbe_mode(&h, 1024, 768, 32, 0x41);
    unsigned rises = 0;
    bool last = false;
    for (unsigned i = 0; i < 100000; i++) { /* a second */
        bool retrace = in8(&h, 0x3da) & 8;
        rises += retrace && !last;
        last = retrace;
        harness_advance(&h, 10000);
    }
    assert_int_equal(rises, 60);
    harness_end(&h);
}

/* Whatever the registers say, waiting for either state of a bit ends. */
static void waiting_ends(void **state)
{
    struct harness h;
    (void)state;
    begin(&h, NULL);
    out8(&h, 0x3c2, 0x01); /* all of the CRTC is 0 */
    bool seen[2] = {false, false};
    for (unsigned i = 0; i < 1000; i++) {
        seen[in8(&h, 0x3da) & 1] = true;
        harness_advance(&h, 100);
    }
    assert_true(seen[0] && seen[1]);
    harness_end(&h);
}

/* --- VBE --- */

static void vbe_identifies_itself(void **state)
{
    struct harness h;
    (void)state;
    begin(&h, NULL);
    assert_int_equal(vbe_get(&h, 0), 0xb0c5);
    for (uint16_t id = 0xb0c0; id <= 0xb0c5; id++) {
        vbe_set(&h, 0, id);
        assert_int_equal(vbe_get(&h, 0), id);
    }
    vbe_set(&h, 0, 0xb0c6);
    assert_int_equal(vbe_get(&h, 0), 0xb0c5);
    vbe_set(&h, 4, 2);
    assert_int_equal(vbe_get(&h, 1), 16000);
    assert_int_equal(vbe_get(&h, 2), 12000);
    assert_int_equal(vbe_get(&h, 3), 32);
    assert_int_equal(vbe_get(&h, 10), 256);
    vbe_set(&h, 4, 0);
    assert_int_equal(vbe_get(&h, 1), 0);
    assert_int_equal(vbe_get(&h, 11), 0);
    vbe_set(&h, 10, 5);
    assert_int_equal(vbe_get(&h, 10), 256);
    out16(&h, 0x1ce, 0);
    assert_int_equal(in16(&h, 0x1d0), 0xb0c5);
    assert_int_equal(in8(&h, 0x1cf), 0xff); /* bytes are not taken */
    harness_end(&h);
}

static const struct {
    uint16_t width, height, depth;            /* asked for */
    uint16_t xres, yres, bpp, virtual_height; /* got; the virtual width is xres */
} modes[] = {
    {800, 600, 4, 800, 600, 4, 41943},       {800, 600, 8, 800, 600, 8, 20971},
    {1024, 768, 15, 1024, 768, 15, 8192},    {1024, 768, 16, 1024, 768, 16, 8192},
    {1024, 768, 24, 1024, 768, 24, 5461},    {1024, 768, 32, 1024, 768, 32, 4096},
    {1366, 768, 32, 1360, 768, 32, 3084},    {640, 480, 12, 640, 480, 8, 26214},
    {4096, 2160, 32, 4096, 1024, 32, 1024},  {0, 0, 16, 8, 1, 16, 65535},
    {65535, 65535, 32, 16000, 262, 32, 262},
};

static void vbe_modes_are_made_to_fit(void **state)
{
    struct harness h;
    (void)state;
    begin(&h, NULL);
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        vbe_mode(&h, modes[i].width, modes[i].height, modes[i].depth, 0x41);
        assert_int_equal(vbe_get(&h, 1), modes[i].xres);
        assert_int_equal(vbe_get(&h, 2), modes[i].yres);
        assert_int_equal(vbe_get(&h, 3), modes[i].bpp);
        assert_int_equal(vbe_get(&h, 6), modes[i].xres);
        assert_int_equal(vbe_get(&h, 7), modes[i].virtual_height);
        assert_int_equal(vbe_get(&h, 4), 0x41);
    }
    harness_end(&h);
}

static void vbe_pans_within_the_memory(void **state)
{
    struct harness h;
    (void)state;
    begin(&h, NULL);
    vbe_mode(&h, 1024, 768, 16, 0x41);
    vbe_set(&h, 6, 2051);
    assert_int_equal(vbe_get(&h, 6), 2048);
    assert_int_equal(vbe_get(&h, 7), 4096);
    vbe_set(&h, 6, 100);
    assert_int_equal(vbe_get(&h, 6), 1024);
    vbe_set(&h, 8, 100);
    vbe_set(&h, 9, 7000);
    assert_int_equal(vbe_get(&h, 8), 100);
    assert_int_equal(vbe_get(&h, 9), 7000);
    vbe_set(&h, 9, 8000); /* 8000 + 768 lines are more than the memory has */
    assert_int_equal(vbe_get(&h, 9), 0);
    vbe_set(&h, 8, 65535);
    assert_int_equal(vbe_get(&h, 8), 16000);
    vbe_set(&h, 7, 5);
    assert_int_equal(vbe_get(&h, 7), 8192);
    vbe_mode(&h, 1024, 768, 16, 0x41); /* on again: everything from the top */
    assert_int_equal(vbe_get(&h, 8), 0);
    vbe_set(&h, 5, 0x1ff);
    assert_int_equal(vbe_get(&h, 5), 0xff);
    vbe_mode(&h, 1024, 768, 4, 0x41);
    vbe_set(&h, 5, 0x1ff);
    assert_int_equal(vbe_get(&h, 5), 0x3f);
    harness_end(&h);
}

static void vbe_clears_the_picture_unless_told(void **state)
{
    struct harness h;
    (void)state;
    begin(&h, NULL);
    uint32_t end = FRAMEBUFFER + 640 * 480;
    store32(&h, FRAMEBUFFER, 0x11223344);
    store32(&h, end - 4, 0x11223344);
    store32(&h, end, 0x55667788);
    vbe_mode(&h, 640, 480, 8, 0xc1);
    assert_int_equal(load32(&h, FRAMEBUFFER), 0x11223344);
    vbe_mode(&h, 640, 480, 8, 0x41);
    assert_int_equal(load32(&h, FRAMEBUFFER), 0);
    assert_int_equal(load32(&h, end - 4), 0);
    assert_int_equal(load32(&h, end), 0x55667788);
    store32(&h, FRAMEBUFFER, 0x99); /* flags alone change nothing */
    vbe_set(&h, 4, 0x61);
    assert_int_equal(load32(&h, FRAMEBUFFER), 0x99);
    harness_end(&h);
}

/* --- MMIO --- */

static void mmio_shows_all_groups(void **state)
{
    struct harness h;
    (void)state;
    begin(&h, NULL);
    store8(&h, MMIO + 0x402, 0x67);
    assert_int_equal(in8(&h, 0x3cc), 0x67);
    store16(&h, MMIO + 0x404, 0x0502);
    assert_int_equal(get(&h, 0x3c4, 2), 5);
    store16(&h, MMIO + 0x414, 0x330d);
    assert_int_equal(get(&h, 0x3d4, 13), 0x33);
    assert_int_equal(load16(&h, MMIO + 0x500), 0xb0c5);
    store16(&h, MMIO + 0x502, 800);
    assert_int_equal(vbe_get(&h, 1), 800);
    assert_int_equal(load16(&h, MMIO + 0x514), 256);
    assert_int_equal(load32(&h, MMIO + 0x500), 800u << 16 | 0xb0c5);
    assert_int_equal(load32(&h, MMIO + 0x600), 8);
    assert_int_equal(load32(&h, MMIO + 0x604), 0x1e1e1e1e);
    store32(&h, MMIO + 0x604, 0xbebebebe);
    assert_int_equal(load32(&h, MMIO + 0x604), 0xbebebebe);
    store32(&h, MMIO + 0x604, 0x12345678);
    assert_int_equal(load32(&h, MMIO + 0x604), 0xbebebebe);
    assert_int_equal(load32(&h, MMIO + 0x608), 0xffffffff);
    assert_int_equal(load32(&h, MMIO + 0x700), 0xffffffff);
    harness_end(&h);
}

static void mmio_can_be_left_out(void **state)
{
    struct harness h;
    (void)state;
    begin(&h, "mmio=off");
    assert_int_equal(config_read32(&h, SLOT, 0, 0x18), 0);
    assert_int_equal(config_read8(&h, SLOT, 0, 8), 0);
    harness_end(&h);
    begin(&h, "qemu-extended-regs=off");
    assert_int_equal(config_read8(&h, SLOT, 0, 8), 0);
    assert_int_equal(load32(&h, MMIO + 0x600), 0xffffffff);
    harness_end(&h);
    begin(&h, "edid=off");
    assert_int_equal(load32(&h, MMIO), 0xffffffff);
    harness_end(&h);
}

static void check_edid(struct harness *h, unsigned width, unsigned height)
{
    uint8_t edid[128], sum = 0;
    for (unsigned i = 0; i < 128; i++) {
        edid[i] = load8(h, MMIO + i);
        sum = (uint8_t)(sum + edid[i]);
    }
    assert_int_equal(sum, 0);
    assert_int_equal(load32(h, MMIO), 0xffffff00);
    assert_int_equal(load32(h, MMIO + 4), 0x00ffffff);
    assert_int_equal(edid[8] << 8 | edid[9], 0x4914); /* RHT */
    assert_int_equal(edid[18], 1);
    assert_int_equal(edid[19], 4);
    assert_int_equal(edid[126], 0);
    assert_int_equal(edid[56] | (edid[58] & 0xf0) << 4, width);
    assert_int_equal(edid[59] | (edid[61] & 0xf0) << 4, height);
    /* The clock of the preferred timing gives 75 Hz. */
    uint32_t blank_x = edid[57] | (edid[58] & 0xfu) << 8;
    uint32_t blank_y = edid[60] | (edid[61] & 0xfu) << 8;
    uint32_t clock = (uint32_t)(edid[54] | edid[55] << 8) * 10000;
    uint32_t rate = clock / ((width + blank_x) * (height + blank_y));
    assert_in_range(rate, 74, 75);
    assert_memory_equal(edid + 90 + 5, "QEMU Monitor\n", 13);
    assert_int_equal(load32(h, MMIO + 0x17c), 0);
    assert_int_equal(load32(h, MMIO + 0x180), 0xffffffff);
    store8(h, MMIO + 8, 0);
    assert_int_equal(load8(h, MMIO + 8), 0x49);
}

static void edid_describes_the_monitor(void **state)
{
    struct harness h;
    (void)state;
    begin(&h, NULL);
    check_edid(&h, 1280, 800);
    assert_int_equal(load8(&h, MMIO + 35), 0x21);
    harness_end(&h);
    begin(&h, "xres=1024");
    check_edid(&h, 1024, 800);
    harness_end(&h);
    begin(&h, "xmax=700");
    assert_int_equal(load8(&h, MMIO + 35), 0x20);
    assert_int_equal(load16(&h, MMIO + 38), 0x0101);
    harness_end(&h);
}

/* --- probes, reset, state --- */

static void probes_tell(void **state)
{
    struct harness h;
    struct error err;
    (void)state;
    begin(&h, NULL);
    assert_true(trace_control_set("vga_*", true, &err));
    capture_begin();
    out8(&h, 0x3c2, 0x67);
    in8(&h, 0x3cc);
    vbe_mode(&h, 640, 400, 8, 0x41);
    vbe_get(&h, 0);
    char *log = capture_end();
    assert_true(trace_control_set("vga_*", false, &err));
    static const char *const lines[] = {
        "vga_std_write_io addr 0x3c2, val 0x67", "vga_std_read_io addr 0x3cc, val 0x67",
        "vga_vbe_write index 0x1, val 0x280",    "vga_vbe_write index 0x4, val 0x41",
        "vga_vbe_mode 640x400 depth 8",          "vga_vbe_read index 0x0, val 0xb0c5",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        if (!strstr(log, lines[i]))
            fail_msg("\"%s\" is missing in:\n%s", lines[i], log);
    }
    free(log);
    harness_end(&h);
}

/* Something in every register. */
static void fill(struct harness *h)
{
    out8(h, 0x3c2, 0x67);
    out8(h, 0x3da, 0x03);
    out8(h, 0x3c3, 0x01);
    out8(h, 0x3c6, 0x7f);
    for (uint8_t i = 0; i < 5; i++)
        set(h, 0x3c4, i, 0x0f);
    for (uint8_t i = 0; i < 9; i++)
        set(h, 0x3ce, i, (uint8_t)(0x41 + i));
    for (uint8_t i = 0; i < 25; i++)
        set(h, 0x3d4, i, (uint8_t)(0x15 + i));
    for (uint8_t i = 0; i < 21; i++)
        set_attribute(h, i, (uint8_t)(0x2a + i));
    out8(h, 0x3c8, 0);
    for (unsigned i = 0; i < 768 - 2; i++)
        out8(h, 0x3c9, (uint8_t)(i * 7));
    out8(h, 0x3c7, 9);
    in8(h, 0x3c9);
    vbe_mode(h, 1024, 768, 16, 0x41);
    vbe_set(h, 6, 2048);
    vbe_set(h, 8, 3);
    vbe_set(h, 9, 5);
    vbe_set(h, 5, 2);
    store32(h, MMIO + 0x604, 0xbebebebe);
}

static void state_is_kept(void **state)
{
    struct harness a, b;
    struct error err = {""};
    (void)state;
    begin(&a, NULL);
    fill(&a);
    assert_true(harness_keeps_state(&a, &err));
    harness_begin(&b);
    harness_add(&b, "VGA", "addr=2", NULL);
    harness_reset(&b);
    assert_true(harness_transplant(&a, &b, &err));
    for (size_t i = 0; i < sizeof(registers) / sizeof(registers[0]); i++)
        assert_int_equal(get(&b, registers[i].port, registers[i].index),
                         get(&a, registers[i].port, registers[i].index));
    for (uint8_t i = 0; i < 21; i++)
        assert_int_equal(get_attribute(&b, i), get_attribute(&a, i));
    for (uint16_t i = 0; i < 11; i++)
        assert_int_equal(vbe_get(&b, i), vbe_get(&a, i));
    for (unsigned i = 0; i < 768; i++)
        assert_int_equal(in8(&b, 0x3c9), in8(&a, 0x3c9));
    assert_int_equal(load32(&b, MMIO + 0x604), 0xbebebebe);
    store16(&b, 0xa0000, 0x1234); /* the bank */
    assert_int_equal(load16(&b, FRAMEBUFFER + 0x20000), 0x1234);
    harness_end(&a);
    harness_end(&b);
}

static void reset_forgets(void **state)
{
    struct harness h;
    (void)state;
    begin(&h, NULL);
    fill(&h);
    harness_reset(&h);
    config_write16(&h, SLOT, 0, PCI_COMMAND, PCI_COMMAND_IO);
    assert_int_equal(in8(&h, 0x3cc), 0);
    assert_int_equal(in8(&h, 0x3c6), 0);
    assert_int_equal(vbe_get(&h, 4), 0);
    assert_int_equal(vbe_get(&h, 0), 0xb0c5);
    assert_int_equal(get(&h, 0x3ce, 8), 0);
    assert_int_equal(get(&h, 0x3b4, 12), 0);
    harness_end(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(configuration_is_qemus),
        cmocka_unit_test(decoding_is_switched),
        cmocka_unit_test(sizes_are_checked),
        cmocka_unit_test(indexed_registers_keep_their_bits),
        cmocka_unit_test(single_registers_keep_their_bits),
        cmocka_unit_test(words_are_two_bytes),
        cmocka_unit_test(attributes_take_turns),
        cmocka_unit_test(crtc_is_protected),
        cmocka_unit_test(monochrome_is_elsewhere),
        cmocka_unit_test(dac_counts_colors),
        cmocka_unit_test(status_follows_the_clock),
        cmocka_unit_test(status_in_vbe_modes_is_of_60_hz),
        cmocka_unit_test(waiting_ends),
        cmocka_unit_test(vbe_identifies_itself),
        cmocka_unit_test(vbe_modes_are_made_to_fit),
        cmocka_unit_test(vbe_pans_within_the_memory),
        cmocka_unit_test(vbe_clears_the_picture_unless_told),
        cmocka_unit_test(mmio_shows_all_groups),
        cmocka_unit_test(mmio_can_be_left_out),
        cmocka_unit_test(edid_describes_the_monitor),
        cmocka_unit_test(probes_tell),
        cmocka_unit_test(state_is_kept),
        cmocka_unit_test(reset_forgets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
