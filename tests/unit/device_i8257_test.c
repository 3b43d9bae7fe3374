/* SPDX-License-Identifier: MIT
 *
 * The DMA controllers: registers, transfers in both directions, pages, modes, terminal count, the
 * cascade.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "device/i8257.h"
#include "device_harness.h"

/* A device that moves up to `piece` bytes a call, until `left` is 0. */
struct giver {
    struct machine *m;
    size_t piece, left;
    bool reads, refused;
    uint8_t next;         /* what it gives */
    uint8_t got[1 << 16]; /* what it gets */
    unsigned calls;
    size_t last_position, last_size;
};

struct machine {
    struct harness h;
    const struct isa_dma *dma;
    struct giver giver;
};

static size_t transfer(void *opaque, unsigned channel, size_t position, size_t size)
{
    struct giver *g = opaque;
    const struct isa_dma *dma = g->m->dma;
    size_t count = size < g->piece ? size : g->piece;
    uint8_t bytes[256];

    g->calls++;
    g->last_position = position;
    g->last_size = size;
    if (count > g->left)
        count = g->left;
    if (count > sizeof bytes)
        count = sizeof bytes;
    if (g->reads) {
        g->refused = !dma->read(dma->opaque, channel, bytes, position, count);
        memcpy(g->got + position, bytes, count);
    } else {
        for (size_t i = 0; i < count; i++)
            bytes[i] = g->next++;
        g->refused = !dma->write(dma->opaque, channel, bytes, position, count);
    }
    if (g->refused)
        return 0;
    g->left -= count;
    if (!g->left)
        dma->request(dma->opaque, channel, false);
    return count;
}

static void begin(struct machine *m, unsigned channel)
{
    struct error err;

    memset(m, 0, sizeof *m);
    harness_begin(&m->h);
    m->dma = i8257_new_pair(&m->h.board, &err);
    assert_non_null(m->dma);
    m->giver.m = m;
    m->giver.piece = 64;
    m->dma->attach(m->dma->opaque, channel, transfer, &m->giver);
    harness_reset(&m->h);
    out8(&m->h, 0xd6, 0xc0); /* as firmware does: channel 4 is the cascade */
    out8(&m->h, 0xd4, 0x00);
}

static const uint16_t PAGES[8] = {0x87, 0x83, 0x81, 0x82, 0x8f, 0x8b, 0x89, 0x8a};

/* Address in bytes, count in bytes or words, minus one. */
static void program(struct machine *m, unsigned channel, uint8_t mode, uint32_t address,
                    uint16_t count)
{
    uint16_t base = channel < 4 ? 0 : 0xc0, step = channel < 4 ? 1 : 2;
    uint16_t offset = (uint16_t)(channel < 4 ? address : address >> 1);
    uint16_t at = (uint16_t)(base + (channel & 3) * 2 * step);

    out8(&m->h, (uint16_t)(base + 0xa * step), 4 | (channel & 3));
    out8(&m->h, (uint16_t)(base + 0xc * step), 0);
    out8(&m->h, at, (uint8_t)offset);
    out8(&m->h, at, (uint8_t)(offset >> 8));
    out8(&m->h, (uint16_t)(at + step), (uint8_t)count);
    out8(&m->h, (uint16_t)(at + step), (uint8_t)(count >> 8));
    out8(&m->h, PAGES[channel], (uint8_t)(address >> 16));
    out8(&m->h, (uint16_t)(PAGES[channel] + 0x400), (uint8_t)(address >> 24));
    out8(&m->h, (uint16_t)(base + 0xb * step), mode | (channel & 3));
    out8(&m->h, (uint16_t)(base + 0xa * step), channel & 3);
}

static void request(struct machine *m, unsigned channel)
{
    m->dma->request(m->dma->opaque, channel, true);
}

static uint16_t get16(struct machine *m, uint16_t port)
{
    uint8_t low = in8(&m->h, port);

    return (uint16_t)(in8(&m->h, port) << 8 | low);
}

static void bytes_to_memory_and_back(void **state)
{
    (void)state;
    for (unsigned channel = 0; channel < 4; channel++) {
        struct machine m;
        uint8_t *ram;

        begin(&m, channel);
        ram = mem_host(&m.h.ram);
        m.giver.left = 512;
        m.giver.next = 1;
        program(&m, channel, 0x44, 0x123400, 511); /* as a sector from a floppy */
        request(&m, channel);
        assert_int_equal(m.giver.left, 0);
        assert_int_equal(m.giver.calls, 8);
        for (unsigned i = 0; i < 512; i++)
            assert_int_equal(ram[0x123400 + i], (uint8_t)(1 + i));
        assert_int_equal(ram[0x123600], 0);
        assert_true(m.dma->has_terminal_count(m.dma->opaque, channel));
        assert_int_equal(in8(&m.h, 8), 1 << channel);
        assert_int_equal(in8(&m.h, 8), 0);
        assert_int_equal(in8(&m.h, 0xf), 0xff); /* masked by itself */
        out8(&m.h, 0xc, 0);
        assert_int_equal(get16(&m, (uint16_t)(channel * 2)), 0x3600);
        assert_int_equal(get16(&m, (uint16_t)(channel * 2 + 1)), 0xffff);

        m.giver.reads = true;
        m.giver.left = 512;
        program(&m, channel, 0x48, 0x123400, 511);
        assert_false(m.dma->has_terminal_count(m.dma->opaque, channel));
        request(&m, channel);
        assert_memory_equal(m.giver.got, ram + 0x123400, 512);
        harness_end(&m.h);
    }
}

static void words(void **state)
{
    (void)state;
    for (unsigned channel = 5; channel < 8; channel++) {
        struct machine m;
        uint8_t *ram;

        begin(&m, channel);
        ram = mem_host(&m.h.ram);
        m.giver.left = 300;
        program(&m, channel, 0x44, 0x234560, 149);
        request(&m, channel);
        for (unsigned i = 0; i < 300; i++)
            assert_int_equal(ram[0x234560 + i], (uint8_t)i);
        assert_int_equal(ram[0x234560 + 300], 0);
        assert_int_equal(in8(&m.h, 0xd0), 1 << (channel - 4));
        out8(&m.h, 0xd8, 0);
        assert_int_equal(get16(&m, (uint16_t)(0xc0 + (channel - 4) * 4)),
                         (0x234560 >> 1 & 0xffff) + 150);
        harness_end(&m.h);
    }
}

/* Addresses count within their page: 64 KiB, or 128 KiB of words. */
static void pages(void **state)
{
    struct machine m;
    uint8_t *ram;

    (void)state;
    begin(&m, 2);
    ram = mem_host(&m.h.ram);
    m.giver.left = 256;
    m.giver.piece = 256;
    program(&m, 2, 0x44, 0x1ff80, 255);
    request(&m, 2);
    assert_int_equal(ram[0x1ffff], 0x7f);
    assert_int_equal(ram[0x10000], 0x80);
    assert_int_equal(ram[0x1007f], 0xff);
    assert_int_equal(ram[0x20000], 0);
    harness_end(&m.h);

    begin(&m, 6);
    ram = mem_host(&m.h.ram);
    m.giver.left = 256;
    m.giver.piece = 255; /* an odd piece: whole words are moved */
    program(&m, 6, 0x44, 0x3ff80, 127);
    out8(&m.h, 0x89, 0x03); /* bit 0 of the page is the address's */
    request(&m, 6);
    assert_int_equal(ram[0x3ffff], 0x7f);
    assert_int_equal(ram[0x20000], 0x80);
    harness_end(&m.h);
}

static void downwards(void **state)
{
    struct machine m;
    uint8_t *ram;

    (void)state;
    begin(&m, 1);
    ram = mem_host(&m.h.ram);
    m.giver.left = 16;
    m.giver.piece = 5;
    program(&m, 1, 0x64, 0x4000f, 15);
    request(&m, 1);
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(ram[0x40000 + i], 15 - i);
    out8(&m.h, 0xc, 0);
    assert_int_equal(get16(&m, 2), 0xffff);
    harness_end(&m.h);
}

static void auto_initialise(void **state)
{
    struct machine m;
    uint8_t *ram;

    (void)state;
    begin(&m, 1);
    ram = mem_host(&m.h.ram);
    m.giver.left = 40;
    m.giver.piece = 8;
    program(&m, 1, 0x54, 0x50000, 15);
    request(&m, 1); /* 16, again 16, and 8 of the third round */
    assert_int_equal(m.giver.calls, 5);
    assert_int_equal(m.giver.last_position, 0);
    assert_int_equal(ram[0x50000], 32);
    assert_int_equal(ram[0x50008], 24);
    assert_int_equal(in8(&m.h, 0xf), 0xf0 | 0xd);
    assert_int_equal(in8(&m.h, 8), 2);
    out8(&m.h, 0xc, 0);
    assert_int_equal(get16(&m, 2), 8);
    assert_int_equal(get16(&m, 3), 7);
    /* One that never has enough: others get their turn. */
    m.giver.left = SIZE_MAX;
    m.giver.calls = 0;
    request(&m, 1);
    assert_in_range(m.giver.calls, 1, 100);
    harness_advance(&m.h, 1000000);
    assert_in_range(m.giver.calls, 100, 10000);
    harness_end(&m.h);
}

static void verify_and_wrong_directions(void **state)
{
    struct machine m;
    uint8_t *ram;
    uint8_t byte = 0;

    (void)state;
    begin(&m, 2);
    ram = mem_host(&m.h.ram);
    m.giver.left = 16;
    m.giver.next = 1;
    program(&m, 2, 0x40, 0x6000, 15); /* verify: counted, not stored */
    request(&m, 2);
    assert_int_equal(m.giver.left, 0);
    assert_int_equal(ram[0x6000], 0);
    assert_int_equal(in8(&m.h, 8), 4);
    m.giver.left = 16;
    program(&m, 2, 0x48, 0x6000, 15); /* the other way */
    request(&m, 2);
    assert_true(m.giver.refused);
    assert_int_equal(m.giver.left, 16);
    m.dma->request(m.dma->opaque, 2, false);
    assert_true(m.dma->read(m.dma->opaque, 2, &byte, 15, 1));
    assert_false(m.dma->read(m.dma->opaque, 2, &byte, 16, 1)); /* past the end */
    assert_false(m.dma->read(m.dma->opaque, 2, &byte, 15, SIZE_MAX));
    out8(&m.h, 0xa, 6); /* masked */
    assert_false(m.dma->read(m.dma->opaque, 2, &byte, 0, 1));
    harness_end(&m.h);
}

static void what_stops_a_channel(void **state)
{
    struct machine m;

    (void)state;
    begin(&m, 2);
    m.giver.left = 16;
    program(&m, 2, 0x44, 0x6000, 255);
    out8(&m.h, 0xa, 6);
    request(&m, 2);
    assert_int_equal(m.giver.calls, 0);
    assert_int_equal(in8(&m.h, 8), 0x40); /* the request is seen */
    out8(&m.h, 8, 4);                     /* the controller is off */
    out8(&m.h, 0xa, 2);
    assert_int_equal(m.giver.calls, 0);
    out8(&m.h, 0xd4, 4); /* the cascade is masked */
    out8(&m.h, 8, 0);
    assert_int_equal(m.giver.calls, 0);
    out8(&m.h, 0xd6, 0x44);
    out8(&m.h, 0xd4, 0); /* open, but no cascade */
    assert_int_equal(m.giver.calls, 0);
    out8(&m.h, 0xd6, 0xc0);
    assert_int_equal(m.giver.calls, 1);
    assert_int_equal(m.giver.last_size, 256);
    m.giver.left = 8; /* goes on where it was */
    request(&m, 2);
    assert_int_equal(m.giver.last_position, 16);
    assert_int_equal(m.giver.last_size, 240);
    out8(&m.h, 0xd, 0); /* master clear */
    assert_int_equal(in8(&m.h, 0xf), 0xff);
    out8(&m.h, 0xe, 0); /* clear mask */
    assert_int_equal(in8(&m.h, 0xf), 0xf0);
    out8(&m.h, 0xf, 0xa);
    assert_int_equal(in8(&m.h, 0xf), 0xfa);
    assert_int_equal(in8(&m.h, 0xd), 0);
    assert_int_equal(in8(&m.h, 0xb), 0xff);
    harness_end(&m.h);
}

static void requests_by_software(void **state)
{
    struct machine m;

    (void)state;
    begin(&m, 3);
    m.giver.left = 100;
    m.giver.piece = 4;
    program(&m, 3, 0x84, 0x7000, 15);
    out8(&m.h, 9, 7);
    assert_int_equal(m.giver.left, 84);
    assert_int_equal(in8(&m.h, 8), 8); /* the request ends with the count */
    program(&m, 1, 0x84, 0x7000, 15);
    out8(&m.h, 9, 5); /* nobody there */
    assert_int_equal(in8(&m.h, 8), 0);
    harness_end(&m.h);
}

static void page_registers(void **state)
{
    struct machine m;

    (void)state;
    begin(&m, 2);
    for (uint16_t port = 0x80; port < 0x90; port++) {
        out8(&m.h, (uint16_t)(port + 0x400), 0x11);
        out8(&m.h, port, (uint8_t)port);
        assert_int_equal(in8(&m.h, (uint16_t)(port + 0x400)), 0);
        out8(&m.h, (uint16_t)(port + 0x400), (uint8_t)(port + 1));
    }
    for (uint16_t port = 0x80; port < 0x90; port++) {
        assert_int_equal(in8(&m.h, port), port);
        assert_int_equal(in8(&m.h, (uint16_t)(port + 0x400)), port + 1);
    }
    /* Memory that is not there: what is read is ones, what is written is lost. */
    m.giver.left = 16;
    m.giver.reads = true;
    program(&m, 2, 0x48, 0xf0000000, 15);
    request(&m, 2);
    assert_int_equal(m.giver.got[5], 0xff);
    harness_end(&m.h);
}

static void state_moves_to_another_machine(void **state)
{
    struct machine m, n;
    struct error err;

    (void)state;
    begin(&m, 2);
    begin(&n, 2);
    m.giver.left = 100;
    program(&m, 2, 0x44, 0x8000, 255);
    request(&m, 2);
    out8(&m.h, 0xc, 0);
    out8(&m.h, 4, 0x00); /* half of an address */
    assert_true(harness_transplant(&m.h, &n.h, &err));
    out8(&n.h, 4, 0x90);
    out8(&n.h, 0xc, 0);
    assert_int_equal(get16(&n, 4), 0x9000);
    assert_int_equal(get16(&n, 5), 155);
    n.giver.left = 10;
    n.giver.next = 0x77;
    request(&n, 2);
    assert_int_equal(mem_host(&n.h.ram)[0x9000], 0x77);
    assert_true(harness_keeps_state(&m.h, &err));
    harness_end(&m.h);
    harness_end(&n.h);
}

static void what_is_refused(void **state)
{
    struct harness h;

    (void)state;
    harness_begin(&h);
    assert_non_null(strstr(harness_refuses(&h, "i8257", "dshift=2", NULL), "dshift"));
    assert_string_equal(harness_refuses(&h, "i8257", "base=0xc0", "dshift=1", NULL), "");
    harness_end(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_to_memory_and_back),
        cmocka_unit_test(words),
        cmocka_unit_test(pages),
        cmocka_unit_test(downwards),
        cmocka_unit_test(auto_initialise),
        cmocka_unit_test(verify_and_wrong_directions),
        cmocka_unit_test(what_stops_a_channel),
        cmocka_unit_test(requests_by_software),
        cmocka_unit_test(page_registers),
        cmocka_unit_test(state_moves_to_another_machine),
        cmocka_unit_test(what_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
