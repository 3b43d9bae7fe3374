/* SPDX-License-Identifier: MIT
 *
 * The window of the standard VGA at 0xa0000 against a model of it that goes bit by bit and plane by
 * plane, in random states of the registers; and what the modes make of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "device_harness.h"

enum { SLOT = 2, FRAMEBUFFER = 0xe0000000, PLANE = 0x10000, WINDOW = 0xa0000 };

static void begin(struct harness *h)
{
    harness_begin(h);
    harness_add(h, "VGA", "addr=2", NULL);
    harness_reset(h);
    config_write32(h, SLOT, 0, PCI_BAR0, FRAMEBUFFER);
    config_write16(h, SLOT, 0, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
}

static void set(struct harness *h, uint16_t port, uint8_t index, uint8_t value)
{
    out8(h, port, index);
    out8(h, port + 1, value);
}

static void vbe_set(struct harness *h, uint16_t index, uint16_t value)
{
    out16(h, 0x1ce, index);
    out16(h, 0x1d0, value);
}

/* --- the model --- */

struct model {
    uint8_t plane[4][PLANE];
    uint8_t latch[4];
    uint8_t misc, sr[5], gr[9];
};

static bool bit(unsigned value, unsigned number)
{
    return value >> number & 1;
}

/* In which of the four maps the address is, as an offset from its beginning; -1: in none. */
static long mapped(const struct model *m, uint32_t address)
{
    uint32_t start = 0xa0000, end = 0xc0000;
    switch (m->gr[6] >> 2) {
    case 1: end = 0xb0000; break;
    case 2: start = 0xb0000, end = 0xb8000; break;
    case 3: start = 0xb8000; break;
    default: break;
    }
    return bit(m->misc, 1) && address >= start && address < end ? (long)(address - start) : -1;
}

/* Chain-4 with nothing between CPU and memory: reads leave the latches alone. */
static bool is_plain(const struct model *m)
{
    return bit(m->sr[4], 3) && m->gr[6] >> 2 == 1 && m->sr[2] == 15 && m->gr[1] == 0 &&
           m->gr[3] == 0 && m->gr[8] == 255 && (m->gr[5] & 11) == 0;
}

static uint16_t cell(const struct model *m, long offset)
{
    unsigned at = (unsigned)offset & 0xffff;
    if (bit(m->sr[4], 3))
        return (uint16_t)(at - at % 4 + at / 16384);
    if (bit(m->gr[6], 1)) {
        bool upper = m->gr[6] >> 2 == 0 ? bit((unsigned)offset, 16) : !bit(m->misc, 5);
        return (uint16_t)(at - at % 2 + upper);
    }
    return (uint16_t)at;
}

static uint8_t model_read(struct model *m, uint32_t address)
{
    long offset = mapped(m, address);
    if (offset < 0)
        return 0xff;
    uint16_t at = cell(m, offset);
    if (!is_plain(m)) {
        for (unsigned p = 0; p < 4; p++)
            m->latch[p] = m->plane[p][at];
    }
    if (bit(m->gr[5], 3)) {
        uint8_t result = 0;
        for (unsigned b = 0; b < 8; b++) {
            bool same = true;
            for (unsigned p = 0; p < 4; p++)
                same &= !bit(m->gr[7], p) || bit(m->latch[p], b) == bit(m->gr[2], p);
            result |= (uint8_t)(same << b);
        }
        return result;
    }
    unsigned plane = m->gr[4];
    if (bit(m->sr[4], 3))
        plane = offset % 4;
    else if (bit(m->gr[5], 4))
        plane = plane / 2 * 2 + offset % 2;
    return m->plane[plane][at];
}

/* What one bit of one plane becomes. */
static bool model_bit(const struct model *m, uint8_t byte, unsigned p, unsigned b)
{
    unsigned mode = m->gr[5] & 3, rotate = m->gr[3] & 7;
    bool latch = bit(m->latch[p], b), from_cpu = bit(byte, (b + rotate) % 8);
    bool masked = bit(m->gr[8], b), data;
    if (mode == 1)
        return latch;
    if (mode == 0)
        data = bit(m->gr[1], p) ? bit(m->gr[0], p) : from_cpu;
    else if (mode == 2)
        data = bit(byte, p);
    else
        data = bit(m->gr[0], p), masked &= from_cpu;
    switch (m->gr[3] >> 3) {
    case 1: data &= latch; break;
    case 2: data |= latch; break;
    case 3: data ^= latch; break;
    default: break;
    }
    return masked ? data : latch;
}

static void model_write(struct model *m, uint32_t address, uint8_t byte)
{
    long offset = mapped(m, address);
    if (offset < 0)
        return;
    uint16_t at = cell(m, offset);
    for (unsigned p = 0; p < 4; p++) {
        if (!bit(m->sr[2], p))
            continue;
        if (bit(m->sr[4], 3) ? p != offset % 4 : !bit(m->sr[4], 2) && p % 2 != offset % 2)
            continue;
        uint8_t result = 0;
        for (unsigned b = 0; b < 8; b++)
            result |= (uint8_t)(model_bit(m, byte, p, b) << b);
        m->plane[p][at] = result;
    }
}

/* --- both together --- */

struct both {
    struct harness h;
    struct model m;
    uint64_t seed;
};

static uint32_t random_number(struct both *both)
{
    both->seed = both->seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(both->seed >> 33);
}

static void set_sr(struct both *both, uint8_t index, uint8_t value)
{
    set(&both->h, 0x3c4, index, value);
    both->m.sr[index] = value;
}

static void set_gr(struct both *both, uint8_t index, uint8_t value)
{
    set(&both->h, 0x3ce, index, value);
    both->m.gr[index] = value;
}

static void set_misc(struct both *both, uint8_t value)
{
    out8(&both->h, 0x3c2, value);
    both->m.misc = value;
}

/* Registers as modes have them, and then some. */
static void random_register(struct both *both)
{
    static const uint8_t bits[9] = {15, 15, 15, 0x1f, 3, 0x1b, 15, 15, 0xff};
    static const uint8_t usual[9] = {0, 0, 0, 0, 0, 0, 5, 15, 0xff};
    uint32_t r = random_number(both);
    unsigned which = r % 16;
    uint8_t value = (uint8_t)(r >> 8);
    if (which < 9)
        set_gr(both, (uint8_t)which, r & 0x100000 ? value & bits[which] : usual[which]);
    else if (which < 11)
        set_sr(both, 2, r & 0x100000 ? value & 15 : 15);
    else if (which < 14)
        set_sr(both, 4, r & 0x100000 ? value & 14 : 6);
    else
        set_misc(both, (uint8_t)(0x41 | (value & 0x20) | (value % 8 ? 2 : 0)));
}

static void random_access(struct both *both)
{
    uint32_t r = random_number(both), value = random_number(both);
    unsigned size = 1u << r % 3;
    uint32_t area = r & 8 ? 0x20000 : 0x40; /* often near each other */
    uint32_t base = r & 0x10 ? 0xb8000 : 0xa0000;
    uint32_t at = base + random_number(both) % area;
    if (at + size > 0xc0000)
        at = 0xc0000 - size;
    if (r & 4) {
        uint64_t got;
        mem_load(both->h.board.memory, 0, at, &got, size);
        for (unsigned i = 0; i < size; i++)
            assert_int_equal(got >> 8 * i & 0xff, model_read(&both->m, at + i));
    } else {
        mem_store(both->h.board.memory, 0, at, value, size);
        for (unsigned i = 0; i < size; i++)
            model_write(&both->m, at + i, (uint8_t)(value >> 8 * i));
    }
}

/* All of the memory, by the plainest way to read it. */
static void compare_planes(struct both *both)
{
    set_misc(both, 0x63);
    set_sr(both, 4, 6);
    set_gr(both, 5, 0);
    set_gr(both, 6, 5);
    for (unsigned p = 0; p < 4; p++) {
        set_gr(both, 4, (uint8_t)p);
        for (unsigned at = 0; at < PLANE; at++) {
            if (load8(&both->h, WINDOW + at) != both->m.plane[p][at])
                fail_msg("plane %u address 0x%x: 0x%x, not 0x%x", p, at,
                         load8(&both->h, WINDOW + at), both->m.plane[p][at]);
        }
        memcpy(both->m.latch,
               (uint8_t[4]){both->m.plane[0][PLANE - 1], both->m.plane[1][PLANE - 1],
                            both->m.plane[2][PLANE - 1], both->m.plane[3][PLANE - 1]},
               4);
    }
}

static void window_does_what_the_model_does(void **state)
{
    struct both *both = mem_alloc(sizeof(*both));
    (void)state;
    begin(&both->h);
    both->seed = 1;
    set_misc(both, 0x63);
    for (uint8_t i = 0; i < 9; i++)
        set_gr(both, i, i == 6 ? 5 : i == 8 ? 255 : 0);
    set_sr(both, 2, 15);
    set_sr(both, 4, 6);
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 6000; i++) {
            if (random_number(both) % 4)
                random_access(both);
            else
                random_register(both);
        }
        compare_planes(both);
    }
    harness_end(&both->h);
    free(both);
}

/* --- RAM in the window --- */

static struct mem_range range_at(struct harness *h, uint64_t address)
{
    struct mem_range range;
    mem_find(h->board.memory, address, &range);
    return range;
}

static bool is_ram(struct harness *h)
{
    return range_at(h, WINDOW).region->kind == MEM_RAM;
}

static void mode_13(struct harness *h)
{
    static const uint8_t gr[9] = {0, 0, 0, 0, 0, 0x40, 5, 15, 0xff};
    out8(h, 0x3c2, 0x63);
    set(h, 0x3c4, 2, 15);
    set(h, 0x3c4, 4, 14);
    for (uint8_t i = 0; i < 9; i++)
        set(h, 0x3ce, i, gr[i]);
}

/* Each register that gets between CPU and memory takes the RAM away, and brings it back. */
static void chain_4_is_ram_while_nothing_is_between(void **state)
{
    static const struct {
        uint16_t port;
        uint8_t index, other, usual;
    } between[] = {{0x3c4, 2, 7, 15}, {0x3c4, 4, 6, 14},      {0x3ce, 1, 1, 0},
                   {0x3ce, 3, 8, 0},  {0x3ce, 5, 0x41, 0x40}, {0x3ce, 5, 0x48, 0x40},
                   {0x3ce, 6, 1, 5},  {0x3ce, 8, 0xfe, 0xff}};
    struct harness h;
    (void)state;
    begin(&h);
    mode_13(&h);
    assert_true(is_ram(&h));
    struct mem_range range = range_at(&h, WINDOW);
    assert_string_equal(range.region->name, "vga.vram");
    assert_int_equal(range.offset, 0);
    assert_int_equal(range.size, 0x10000);
    for (size_t i = 0; i < sizeof(between) / sizeof(between[0]); i++) {
        set(&h, between[i].port, between[i].index, between[i].other);
        assert_false(is_ram(&h));
        set(&h, between[i].port, between[i].index, between[i].usual);
        assert_true(is_ram(&h));
    }
    out8(&h, 0x3c2, 0x61);
    assert_false(is_ram(&h));
    out8(&h, 0x3c2, 0x63);
    config_write16(&h, SLOT, 0, PCI_COMMAND, PCI_COMMAND_IO);
    assert_ptr_equal(range_at(&h, WINDOW).region, &h.ram);
    harness_end(&h);
}

/* What went through the RAM is where chain-4 has it. */
static void chain_4_is_the_same_either_way(void **state)
{
    struct harness h;
    (void)state;
    begin(&h);
    mode_13(&h);
    for (uint32_t at = 0; at < 0x10000; at += 4)
        store32(&h, WINDOW + at, at * 0x9e3779b9u);
    set(&h, 0x3ce, 3, 0x18); /* exclusive or with the latches: no RAM; but reading is the same */
    assert_false(is_ram(&h));
    for (uint32_t at = 0; at < 0x10000; at += 4)
        assert_int_equal(load32(&h, WINDOW + at), at * 0x9e3779b9u);
    set(&h, 0x3c4, 4, 6);
    set(&h, 0x3ce, 5, 0);
    for (unsigned p = 0; p < 4; p++) {
        set(&h, 0x3ce, 4, (uint8_t)p);
        for (uint32_t at = 0; at < 0x10000; at += 4)
            assert_int_equal(load8(&h, WINDOW + (at | at >> 14)), at * 0x9e3779b9u >> 8 * p & 0xff);
    }
    harness_end(&h);
}

static void linear_modes_are_ram_by_banks(void **state)
{
    struct harness h;
    (void)state;
    begin(&h);
    mode_13(&h);
    set(&h, 0x3ce, 8, 0); /* the VGA's registers do not matter then */
    vbe_set(&h, 1, 1024);
    vbe_set(&h, 2, 768);
    vbe_set(&h, 3, 32);
    vbe_set(&h, 4, 0x41);
    assert_true(is_ram(&h));
    for (uint16_t bank = 0; bank < 256; bank += 51) {
        vbe_set(&h, 5, bank);
        store32(&h, WINDOW + 0xfffc, 0x01020304u + bank);
        assert_int_equal(load32(&h, FRAMEBUFFER + bank * 0x10000u + 0xfffc), 0x01020304u + bank);
        assert_int_equal(range_at(&h, WINDOW).offset, bank * 0x10000u);
    }
    assert_int_equal(load8(&h, 0xb0000), 0xff);
    store8(&h, 0xb8000, 0x77);
    assert_int_equal(load8(&h, 0xb8000), 0xff);
    vbe_set(&h, 4, 0);
    assert_false(is_ram(&h));
    harness_end(&h);
}

static void planes_of_vbe_have_banks(void **state)
{
    struct harness h;
    (void)state;
    begin(&h);
    mode_13(&h);
    vbe_set(&h, 1, 1024);
    vbe_set(&h, 2, 768);
    vbe_set(&h, 3, 4);
    vbe_set(&h, 4, 0x41);
    set(&h, 0x3c4, 4, 6);
    set(&h, 0x3ce, 6, 5);
    set(&h, 0x3ce, 5, 0);
    for (unsigned bank = 0; bank < 2; bank++) {
        vbe_set(&h, 5, (uint16_t)bank);
        for (unsigned p = 0; p < 4; p++) {
            set(&h, 0x3c4, 2, (uint8_t)(1u << p));
            store8(&h, WINDOW + 0x1235, (uint8_t)(0x10 + bank * 4 + p));
        }
    }
    for (unsigned bank = 0; bank < 2; bank++) {
        vbe_set(&h, 5, (uint16_t)bank);
        for (unsigned p = 0; p < 4; p++) {
            set(&h, 0x3ce, 4, (uint8_t)p);
            assert_int_equal(load8(&h, WINDOW + 0x1235), 0x10 + bank * 4 + p);
        }
    }
    vbe_set(&h, 4, 0);
    set(&h, 0x3ce, 4, 0);
    set(&h, 0x3ce, 5, 0);
    assert_int_equal(load8(&h, WINDOW + 0x1235), 0x10); /* the banks are the extensions' */
    harness_end(&h);
}

/* Stores are told to those who keep code or pictures made from the memory. */
static void stores_leave_marks(void **state)
{
    struct harness h;
    (void)state;
    begin(&h);
    out8(&h, 0x3c2, 0x63);
    set(&h, 0x3c4, 2, 15);
    set(&h, 0x3c4, 4, 6);
    set(&h, 0x3ce, 5, 0);
    set(&h, 0x3ce, 6, 5);
    set(&h, 0x3ce, 8, 255);
    struct mem_region *vram = range_at(&h, FRAMEBUFFER).region;
    mem_dirty_start(vram);
    assert_true(mem_dirty_take(vram, 0, vram->size));
    assert_false(mem_dirty_take(vram, 0, vram->size));
    store8(&h, WINDOW + 0x2000, 1);
    assert_false(mem_dirty_take(vram, 0, 0x2000));
    assert_true(mem_dirty_take(vram, 0x2000, 0x1000));
    set(&h, 0x3c4, 2, 0); /* no plane is written */
    store8(&h, WINDOW + 0x2000, 1);
    assert_false(mem_dirty_take(vram, 0, vram->size));
    harness_end(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(window_does_what_the_model_does),
        cmocka_unit_test(chain_4_is_ram_while_nothing_is_between),
        cmocka_unit_test(chain_4_is_the_same_either_way),
        cmocka_unit_test(linear_modes_are_ram_by_banks),
        cmocka_unit_test(planes_of_vbe_have_banks),
        cmocka_unit_test(stores_leave_marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
