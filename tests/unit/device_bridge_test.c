/* SPDX-License-Identifier: MIT
 *
 * The bridges of the PC: configuration ports, what of RAM is seen where, routing of PCI pins, the
 * reset control register, port 92.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "device/i440fx.h"
#include "device/piix3.h"
#include "device/port92.h"
#include "device_harness.h"
#include "log_capture.h"
#include "trace/probe/control.h"

struct pc {
    struct harness h;
    struct device *host, *piix3, *port92;
    struct harness_line a20;
    struct mem_region bios; /* at 0xe0000, on the PCI bus */
};

static void pc_begin(struct pc *pc)
{
    struct harness *h = &pc->h;
    struct error err = {""};
    harness_begin(h);
    mem_remove(&h->ram);
    h->board.pci = NULL;
    pc->host = i440fx_new(&h->board, &h->ram, &err);
    assert_string_equal(err.text, "");
    pc->piix3 = piix3_new(&h->board, &err);
    assert_string_equal(err.text, "");
    pc->port92 = port92_new(&h->board, harness_irq(&pc->a20), &err);
    assert_string_equal(err.text, "");
    assert_true(mem_init_rom(&pc->bios, "bios", 0x20000, &err));
    memset(mem_host(&pc->bios), 0xb5, 0x20000);
    mem_add(i440fx_pci_memory(pc->host), &pc->bios, 0xe0000, 1);
    harness_reset(h);
}

static void pc_end(struct pc *pc)
{
    mem_free(&pc->bios);
    harness_end(&pc->h);
}

static int begin(void **state)
{
    struct pc *pc = mem_alloc(sizeof(*pc));
    pc_begin(pc);
    *state = pc;
    return 0;
}

static int end(void **state)
{
    pc_end(*state);
    free(*state);
    return 0;
}

/* --- 0xcf8 and 0xcfc --- */

static uint32_t config_address(unsigned bus, unsigned slot, unsigned function, unsigned offset)
{
    return 1u << 31 | bus << 16 | slot << 11 | function << 8 | offset;
}

static void configuration_ports(void **state)
{
    struct harness *h = &((struct pc *)*state)->h;
    assert_int_equal(in32(h, 0xcf8), 0);
    out32(h, 0xcf8, config_address(0, 0, 0, 0));
    assert_int_equal(in32(h, 0xcf8), 0x80000000);
    assert_int_equal(in32(h, 0xcfc), 0x12378086);
    assert_int_equal(in16(h, 0xcfc), 0x8086);
    assert_int_equal(in16(h, 0xcfe), 0x1237);
    assert_int_equal(in16(h, 0xcfd), 0x3780);
    assert_int_equal(in8(h, 0xcff), 0x12);
    /* Bytes and words of 0xcf8 are other ports: how BIOSes look for mechanism 2. */
    out8(h, 0xcf8, 0x55);
    out16(h, 0xcfa, 0x5555);
    assert_int_equal(in32(h, 0xcf8), 0x80000000);
    assert_int_equal(in8(h, 0xcf8), 0xff);
    out32(h, 0xcf8, UINT32_MAX);
    assert_int_equal(in32(h, 0xcf8), 0x80fffffc);
    assert_int_equal(in32(h, 0xcfc), UINT32_MAX); /* bus 255 */
    out32(h, 0xcf8, config_address(0, 0, 0, 0) & ~(1u << 31));
    assert_int_equal(in32(h, 0xcfc), UINT32_MAX); /* not enabled */
    out32(h, 0xcf8, config_address(0, 5, 0, 0));
    assert_int_equal(in16(h, 0xcfc), 0xffff);
    out32(h, 0xcf8, config_address(0, 1, 0, 0x60));
    out8(h, 0xcfd, 0x0a);
    assert_int_equal(in32(h, 0xcfc), 0x80800a80);
    out16(h, 0xcfe, 0x0b05);
    assert_int_equal(in32(h, 0xcfc), 0x0b050a80);
    out32(h, 0xcf8, config_address(0, 1, 0, 0x60) & ~(1u << 31));
    out32(h, 0xcfc, 0);
    out32(h, 0xcf8, config_address(0, 1, 0, 0x60));
    assert_int_equal(in32(h, 0xcfc), 0x0b050a80);
}

/* Whole configuration spaces after reset: what QEMU's pc shows, 0 elsewhere. */
static void after_reset(void **state)
{
    struct harness *h = &((struct pc *)*state)->h;
    static const struct {
        unsigned slot, offset;
        uint32_t value;
    } rows[] = {
        {0, 0x00, 0x12378086}, {0, 0x08, 0x06000002}, {0, 0x2c, 0x11001af4}, {0, 0x54, 0x10000000},
        {0, 0x70, 0x00020000}, {1, 0x00, 0x70008086}, {1, 0x04, 0x02000000}, {1, 0x08, 0x06010000},
        {1, 0x0c, 0x00800000}, {1, 0x2c, 0x11001af4}, {1, 0x4c, 0x0003004d}, {1, 0x60, 0x80808080},
        {1, 0x68, 0x00000200}, {1, 0x70, 0x00000080}, {1, 0x74, 0x0c0c0000}, {1, 0x78, 0x00000002},
        {1, 0xa0, 0x00000008}, {1, 0xa8, 0x0000000f},
    };
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned slot = 0; slot < 2; slot++) {
            for (unsigned offset = 0; offset < 256; offset += 4) {
                uint32_t wanted = 0;
                for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                    if (rows[i].slot == slot && rows[i].offset == offset)
                        wanted = rows[i].value;
                }
                if (config_read32(h, slot, 0, offset) != wanted)
                    fail_msg("%u @0x%x: 0x%x, not 0x%x", slot, offset,
                             config_read32(h, slot, 0, offset), wanted);
                config_write32(h, slot, 0, offset, UINT32_MAX);
            }
        }
        harness_reset(h);
    }
}

/* --- RAM --- */

static void below_4g(void **state)
{
    (void)state;
    static const struct {
        uint64_t ram, below;
    } rows[] = {{0x100000, 0x100000},     {0x80000000, 0x80000000},  {0xdfffffff, 0xdfffffff},
                {0xe0000000, 0xc0000000}, {0x100000000, 0xc0000000}, {0x400000000, 0xc0000000}};
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_true(i440fx_below_4g(rows[i].ram) == rows[i].below);
}

static void ram_above_4g(void **state)
{
    (void)state;
    struct harness h;
    struct mem_region ram = {0};
    struct error err;
    harness_begin(&h);
    mem_remove(&h.ram);
    assert_true(mem_init_ram(&ram, "pc.ram", 0xf0000000, &err));
    assert_non_null(i440fx_new(&h.board, &ram, &err));
    harness_reset(&h);
    store32(&h, 0xbffffffc, 1);
    assert_int_equal(load32(&h, 0xbffffffc), 1);
    store32(&h, 0xc0000000, 2);
    assert_int_equal(load32(&h, 0xc0000000), UINT32_MAX); /* the PCI hole */
    store32(&h, 0x100000000, 3);
    assert_int_equal(*(uint32_t *)(void *)(mem_host(&ram) + 0xc0000000), 3);
    store32(&h, 0x12ffffffc, 4);
    assert_int_equal(load32(&h, 0x12ffffffc), 4);
    assert_int_equal(load32(&h, 0x130000000), UINT32_MAX);
    device_free_all(&h.board);
    mem_free(&ram);
    harness_end(&h);
}

/* Register, shift, and the window it controls. */
static const struct {
    unsigned reg, shift;
    uint32_t start, end;
} windows[] = {
    {0x5a, 0, 0xc0000, 0xc3fff}, {0x5a, 4, 0xc4000, 0xc7fff}, {0x5b, 0, 0xc8000, 0xcbfff},
    {0x5b, 4, 0xcc000, 0xcffff}, {0x5c, 0, 0xd0000, 0xd3fff}, {0x5c, 4, 0xd4000, 0xd7fff},
    {0x5d, 0, 0xd8000, 0xdbfff}, {0x5d, 4, 0xdc000, 0xdffff}, {0x5e, 0, 0xe0000, 0xe3fff},
    {0x5e, 4, 0xe4000, 0xe7fff}, {0x5f, 0, 0xe8000, 0xebfff}, {0x5f, 4, 0xec000, 0xeffff},
    {0x59, 4, 0xf0000, 0xfffff},
};

enum { WINDOWS = sizeof(windows) / sizeof(windows[0]) };

static void shadow_ram(void **state)
{
    struct pc *pc = *state;
    struct harness *h = &pc->h;
    for (unsigned i = 0; i < WINDOWS; i++) {
        uint32_t start = windows[i].start, last = windows[i].end;
        uint8_t bus = start >= 0xe0000 ? 0xb5 : 0xff, *ram = mem_host(&h->ram);
        for (unsigned mode = 0; mode < 4; mode++) {
            ram[start] = ram[last] = 0x11;
            config_write8(h, 0, 0, windows[i].reg, (uint8_t)(mode << windows[i].shift));
            uint8_t seen = mode & 1 ? 0x11 : bus;
            assert_int_equal(load8(h, start), seen);
            assert_int_equal(load8(h, last), seen);
            store8(h, start, 0x22);
            store32(h, last - 3, 0x22222222);
            assert_int_equal(ram[start], mode & 2 ? 0x22 : 0x11);
            assert_int_equal(ram[last], mode & 2 ? 0x22 : 0x11);
            assert_int_equal(load8(h, start), mode & 1 ? ram[start] : bus);
            /* Its neighbours are as they were. */
            assert_int_equal(load8(h, last + 1), last + 1 == 0x100000  ? ram[0x100000]
                                                 : last + 1 >= 0xe0000 ? 0xb5
                                                                       : 0xff);
        }
        config_write8(h, 0, 0, windows[i].reg, 0xff);
        assert_int_equal(config_read8(h, 0, 0, windows[i].reg), i == WINDOWS - 1 ? 0x30 : 0x33);
        config_write8(h, 0, 0, windows[i].reg, 0);
    }
}

/* As SeaBIOS does: all open, copied from below 4 GiB, then read-only again. */
static void shadow_of_a_bios(void **state)
{
    struct pc *pc = *state;
    struct harness *h = &pc->h;
    struct mem_region high = {0};
    struct error err;
    mem_init_alias(&high, "bios-high", &pc->bios, 0, 0x20000);
    mem_add(i440fx_pci_memory(pc->host), &high, 0xfffe0000, 0);
    assert_int_equal(load8(h, 0xfffffff0), 0xb5);
    config_write32(h, 0, 0, 0x5c, 0x33333333);
    config_write16(h, 0, 0, 0x59, 0x3330);
    uint8_t *bytes = mem_alloc(0x20000);
    assert_int_equal(mem_read(h->board.memory, 0, 0xfffe0000, bytes, 0x20000), MEM_OK);
    assert_int_equal(mem_write(h->board.memory, 0, 0xe0000, bytes, 0x20000), MEM_OK);
    free(bytes);
    store32(h, 0xf0000, 0x12345678);
    config_write8(h, 0, 0, 0x59, 0x10);
    assert_int_equal(load32(h, 0xf0000), 0x12345678);
    assert_int_equal(load8(h, 0xffff0), 0xb5);
    store32(h, 0xf0000, 0);
    assert_int_equal(load32(h, 0xf0000), 0x12345678);
    assert_true(harness_keeps_state(h, &err));
    assert_int_equal(load32(h, 0xf0000), 0x12345678);
    harness_reset(h);
    assert_int_equal(load32(h, 0xf0000), 0xb5b5b5b5);
    mem_free(&high);
}

static void smram(void **state)
{
    struct pc *pc = *state;
    struct harness *h = &pc->h;
    struct mem_space *smm = mem_space_new("smm", i440fx_smram(pc->host));
    uint64_t value;
    mem_host(&h->ram)[0xa0000] = 0x77;
    static const struct {
        uint8_t written, read, cpu, smm;
        bool reset; /* before */
    } rows[] = {
        {0x02, 0x02, 0xff, 0xff, false}, /* not enabled */
        {0x42, 0x42, 0xff, 0xff, false}, /* open, but not enabled */
        {0x0a, 0x0a, 0xff, 0x77, false}, {0x4a, 0x4a, 0x77, 0x77, false},
        {0xff, 0x3a, 0xff, 0x77, false}, /* locked: closed for good */
        {0x4a, 0x1a, 0xff, 0x77, false}, {0x02, 0x12, 0xff, 0xff, false},
        {0x4a, 0x4a, 0x77, 0x77, true},
    };
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].reset)
            harness_reset(h);
        config_write8(h, 0, 0, 0x72, rows[i].written);
        assert_int_equal(config_read8(h, 0, 0, 0x72), rows[i].read);
        assert_int_equal(load8(h, 0xa0000), rows[i].cpu);
        mem_load(smm, 0, 0xa0000, &value, 1);
        assert_int_equal(value, rows[i].smm);
    }
    mem_space_free(smm);
}

/* What lies on the PCI bus is covered by RAM, and seen where there is none. */
static void pci_memory(void **state)
{
    struct pc *pc = *state;
    struct harness *h = &pc->h;
    struct mem_region ram = {0};
    struct error err;
    assert_true(mem_init_ram(&ram, "device", 0x10000, &err));
    mem_add(i440fx_pci_memory(pc->host), &ram, 0xa0000, 0);
    store8(h, 0xa0005, 0x99);
    assert_int_equal(mem_host(&ram)[5], 0x99);
    mem_move(&ram, 0x200000);
    store8(h, 0x200005, 0x44);
    assert_int_equal(mem_host(&ram)[5], 0x99);
    mem_move(&ram, 0xe0000000);
    assert_int_equal(load8(h, 0xe0000005), 0x99);
    mem_free(&ram);
}

/* --- PCI pins to ISA interrupts --- */

static void pin_routing(void **state)
{
    struct pc *pc = *state;
    struct harness *h = &pc->h;
    struct pci_bus *bus = h->board.pci;
    for (unsigned i = 0; i < PCI_PINS; i++)
        config_write8(h, 1, 0, 0x60 + i, (uint8_t)(i < 2 ? 10 : 11));
    static const struct {
        unsigned slot, pin, irq;
    } rows[] = {{1, 0, 10}, {1, 3, 11}, {2, 0, 10},  {3, 0, 11}, {4, 0, 11},
                {4, 1, 10}, {5, 0, 10}, {31, 0, 11}, {31, 3, 10}};
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bus->set_pin(bus->opaque, rows[i].slot, rows[i].pin, true);
        assert_true(h->line[rows[i].irq].level);
        assert_false(h->line[21 - rows[i].irq].level);
        bus->set_pin(bus->opaque, rows[i].slot, rows[i].pin, false);
        assert_false(h->line[rows[i].irq].level);
    }
}

static void shared_and_moved_interrupts(void **state)
{
    struct pc *pc = *state;
    struct harness *h = &pc->h;
    struct pci_bus *bus = h->board.pci;
    struct error err;
    config_write32(h, 1, 0, 0x60, 0x0b0b0a0a);
    bus->set_pin(bus->opaque, 3, 0, true); /* PIRQC: 11 */
    bus->set_pin(bus->opaque, 7, 0, true); /* the same PIRQ */
    bus->set_pin(bus->opaque, 4, 0, true); /* PIRQD: 11, too */
    bus->set_pin(bus->opaque, 3, 0, false);
    bus->set_pin(bus->opaque, 4, 0, false);
    assert_true(h->line[11].level);
    assert_int_equal(h->line[11].rises, 1);
    config_write8(h, 1, 0, 0x62, 5);
    assert_false(h->line[11].level);
    assert_true(h->line[5].level);
    config_write8(h, 1, 0, 0x62, 0x85); /* off */
    assert_false(h->line[5].level);
    static const uint8_t reserved[] = {0, 1, 2, 8, 13};
    for (unsigned i = 0; i < sizeof(reserved); i++) {
        config_write8(h, 1, 0, 0x62, reserved[i]);
        assert_false(h->line[reserved[i]].level);
    }
    config_write8(h, 1, 0, 0x62, 0xff);
    assert_int_equal(config_read8(h, 1, 0, 0x62), 0x8f);
    config_write8(h, 1, 0, 0x62, 9);
    assert_true(h->line[9].level);
    assert_true(harness_keeps_state(h, &err));
    bus->set_pin(bus->opaque, 7, 0, false);
    assert_false(h->line[9].level);
    bus->set_pin(bus->opaque, 7, 0, true);
    harness_reset(h);
    assert_false(h->line[9].level);
}

/* --- resets --- */

static void reset_control(void **state)
{
    struct harness *h = &((struct pc *)*state)->h;
    unsigned *resets = &h->requests[BOARD_RESET];
    assert_int_equal(in8(h, 0xcf9), 0);
    out8(h, 0xcf9, 0x02); /* as Linux does */
    assert_int_equal(*resets, 0);
    assert_int_equal(in8(h, 0xcf9), 0x02);
    out8(h, 0xcf9, 0x06);
    assert_int_equal(*resets, 1);
    out8(h, 0xcf9, 0xfe);
    assert_int_equal(*resets, 1); /* it was up */
    assert_int_equal(in8(h, 0xcf9), 0x06);
    harness_reset(h);
    assert_int_equal(in8(h, 0xcf9), 0);
    out8(h, 0xcf9, 0x04);
    assert_int_equal(*resets, 2);
    out32(h, 0xcf8, 0x80000400); /* CONFADD, not 0xcf9 */
    assert_int_equal(*resets, 2);
    out8(h, 0xcf9, 0);
    out16(h, 0xcf9, 0x0004); /* in bytes */
    assert_int_equal(*resets, 3);
}

static void turbo_reset_control(void **state)
{
    struct harness *h = &((struct pc *)*state)->h;
    config_write8(h, 0, 0, 0x93, 0x02);
    assert_int_equal(h->requests[BOARD_RESET], 0);
    config_write8(h, 0, 0, 0x93, 0x06);
    assert_int_equal(h->requests[BOARD_RESET], 1);
    assert_int_equal(config_read8(h, 0, 0, 0x93), 0x02);
}

static void port_92(void **state)
{
    struct pc *pc = *state;
    struct harness *h = &pc->h;
    struct error err;
    assert_int_equal(in8(h, 0x92), 0);
    assert_false(pc->a20.level);
    out8(h, 0x92, 0x02);
    assert_true(pc->a20.level);
    assert_int_equal(in8(h, 0x92), 0x02);
    assert_int_equal(h->requests[BOARD_RESET], 0);
    assert_true(harness_keeps_state(h, &err));
    assert_int_equal(in8(h, 0x92), 0x02);
    out8(h, 0x92, 0x03);
    assert_int_equal(h->requests[BOARD_RESET], 1);
    out8(h, 0x92, 0x01);
    assert_int_equal(h->requests[BOARD_RESET], 1);
    assert_false(pc->a20.level);
    harness_reset(h);
    assert_int_equal(in8(h, 0x92), 0);
}

/* --- what cannot be --- */

static void refusals(void **state)
{
    struct pc *pc = *state;
    struct harness *h = &pc->h, empty;
    struct error err;
    assert_null(i440fx_new(&h->board, NULL, &err));
    assert_string_equal(err.text, "a machine has one device i440FX-pcihost");
    assert_string_equal(harness_refuses(h, "i440FX", NULL),
                        "a machine has one device i440FX, and its host bridge makes it");
    assert_null(piix3_new(&h->board, &err));
    assert_string_equal(err.text, "PCI: slot 1 function 0 not available for PIIX3, in use by "
                                  "PIIX3,id=(null)");
    /* What was there works on. */
    out8(h, 0xcf9, 0x06);
    assert_int_equal(h->requests[BOARD_RESET], 1);
    assert_int_equal(config_read16(h, 0, 0, 2), 0x1237);
    assert_ptr_equal(i440fx_of(&h->board), pc->host);

    harness_begin(&empty);
    empty.board.pci = NULL;
    empty.board.isa = NULL;
    assert_null(i440fx_of(&empty.board));
    struct mem_region ram = {0};
    assert_true(mem_init_ram(&ram, "ram", 0xff000, &err));
    assert_null(i440fx_new(&empty.board, &ram, &err));
    assert_string_equal(err.text, "a PC needs at least 1 MiB of memory, not 1044480 bytes");
    mem_free(&ram);
    assert_string_equal(harness_refuses(&empty, "PIIX3", NULL),
                        "No 'PCI' bus found for device 'PIIX3'");
    assert_string_equal(harness_refuses(&empty, "port92", NULL),
                        "No 'ISA' bus found for device 'port92'");
    harness_end(&empty);
}

/* Without RAM, and freed in an order of its own: nothing is left behind. */
static void freed_early(void **state)
{
    (void)state;
    struct harness h;
    struct error err;
    harness_begin(&h);
    struct pci_bus *bus = h.board.pci;
    struct isa_bus *isa = h.board.isa;
    struct device *host = i440fx_new(&h.board, NULL, &err);
    struct device *piix3 = piix3_new(&h.board, &err);
    harness_reset(&h);
    config_write32(&h, 0, 0, 0x5c, 0x33333333);
    config_write8(&h, 0, 0, 0x72, 0x4a);
    store8(&h, 0xe0000, 1);
    device_free(piix3);
    assert_ptr_equal(h.board.isa, isa);
    assert_int_equal(in8(&h, 0xcf9), 0xff);
    device_free(host);
    assert_ptr_equal(h.board.pci, bus);
    assert_null(device_first(&h.board));
    assert_int_equal(in32(&h, 0xcf8), UINT32_MAX);
    harness_end(&h);
}

static void state_moves(void **state)
{
    struct pc *pc = *state;
    struct pc *other = mem_alloc(sizeof(*other));
    struct error err = {""};
    pc_begin(other);
    struct harness *h = &pc->h;
    struct pci_bus *bus = h->board.pci;
    mem_host(&h->ram)[0xf0000] = 0x66;
    config_write8(h, 0, 0, 0x59, 0x10);
    config_write8(h, 0, 0, 0x72, 0x1a);
    config_write8(h, 1, 0, 0x60, 10);
    bus->set_pin(bus->opaque, 1, 0, true);
    out32(h, 0xcf8, 0x80001234);
    out8(h, 0xcf9, 0x02);
    assert_true(harness_transplant(h, &other->h, &err));
    h = &other->h;
    bus = h->board.pci;
    assert_int_equal(load8(h, 0xf0000), 0x66);
    store8(h, 0xf0000, 1);
    assert_int_equal(load8(h, 0xf0000), 0x66);
    config_write8(h, 0, 0, 0x72, 0x4a);
    assert_int_equal(config_read8(h, 0, 0, 0x72), 0x1a); /* still locked */
    assert_int_equal(in32(h, 0xcf8), 0x80001234);
    assert_int_equal(in8(h, 0xcf9), 0x02);
    assert_true(h->line[10].level);
    bus->set_pin(bus->opaque, 1, 0, false);
    assert_false(h->line[10].level);
    pc_end(other);
    free(other);
}

static void probes(void **state)
{
    struct pc *pc = *state;
    struct harness *h = &pc->h;
    struct pci_bus *bus = h->board.pci;
    struct error err;
    assert_true(trace_control_set("i440fx_*", true, &err));
    assert_true(trace_control_set("piix3_*", true, &err));
    assert_true(trace_control_set("port92_*", true, &err));
    capture_begin();
    out32(h, 0xcf8, 0x80000058);
    out8(h, 0xcfd, 0x10);
    config_write8(h, 0, 0, 0x72, 0x4a);
    config_write8(h, 1, 0, 0x63, 0x0b);
    bus->set_pin(bus->opaque, 4, 0, true);
    bus->set_pin(bus->opaque, 4, 0, true);
    out8(h, 0xcf9, 0x06);
    out8(h, 0x92, 0x02);
    in8(h, 0x92);
    char *text = capture_end();
    assert_string_equal(text, "i440fx_config_address 0x80000058\n"
                              "i440fx_pam 0xf0000+0x10000 read RAM 1 write RAM 0\n"
                              "i440fx_smram enabled 0 open 0 locked 0\n"
                              "i440fx_smram enabled 1 open 1 locked 0\n"
                              "piix3_pirq_route PIRQ 3 route 0x0b\n"
                              "piix3_pirq PIRQ 3 slot 4 level 1 route 0x0b\n"
                              "piix3_reset_control_write 0x06\n"
                              "port92_write port92: write 0x02\n"
                              "port92_read port92: read 0x02\n");
    free(text);
    assert_true(trace_control_set("i440fx_*", false, &err));
    assert_true(trace_control_set("piix3_*", false, &err));
    assert_true(trace_control_set("port92_*", false, &err));
}

/* The name of the region, and that of the register in its table. */
static void accesses_are_told(void **state)
{
    struct pc *pc = *state;
    struct harness *h = &pc->h;
    struct error err;
    assert_true(trace_control_set("memory_region_ops_*", true, &err));
    capture_begin();
    out32(h, 0xcf8, 0x80000000);
    in16(h, 0xcfe);
    in8(h, 0x92);
    char *text = capture_end(), *line = text;
    static const char *const rows[][2] = {
        {"memory_region_ops_write cpu 0 mr 0x",
         " addr 0xcf8 value 0x80000000 size 4 name 'pci-conf-idx:CONFADD'"},
        {"memory_region_ops_read cpu 0 mr 0x",
         " addr 0xcfe value 0x1237 size 2 name 'pci-conf-data:CONFDATA'"},
        {"memory_region_ops_read cpu 0 mr 0x", " addr 0x92 value 0x0 size 1 name 'port92:PORT92'"},
    };
    for (unsigned i = 0; i < 3; i++) {
        char *line_end = strchr(line, '\n');
        assert_non_null(line_end);
        *line_end = '\0';
        assert_memory_equal(line, rows[i][0], strlen(rows[i][0]));
        assert_non_null(strstr(line, " addr "));
        assert_string_equal(strstr(line, " addr "), rows[i][1]);
        line = line_end + 1;
    }
    assert_string_equal(line, "");
    free(text);
    assert_true(trace_control_set("memory_region_ops_*", false, &err));
}

static void tree(void **state)
{
    struct pc *pc = *state;
    struct strbuf text;
    strbuf_init(&text);
    device_print_tree(&pc->h.board, &text);
    assert_string_equal(
        text.data, "bus: main-system-bus\n"
                   "  type System\n"
                   "  dev: i440FX-pcihost, id \"\"\n"
                   "    bus: pci.0\n"
                   "      type PCI\n"
                   "      dev: PIIX3, id \"\"\n"
                   "        addr = 01.0\n"
                   "        romfile = \"\"\n"
                   "        rombar = 1 (0x1)\n"
                   "        multifunction = true\n"
                   "        class ISA bridge, addr 00:01.0, pci id 8086:7000 (sub 1af4:1100)\n"
                   "        bus: isa.0\n"
                   "          type ISA\n"
                   "          dev: port92, id \"\"\n"
                   "      dev: i440FX, id \"\"\n"
                   "        addr = 00.0\n"
                   "        romfile = \"\"\n"
                   "        rombar = 1 (0x1)\n"
                   "        multifunction = false\n"
                   "        class Host bridge, addr 00:00.0, pci id 8086:1237 (sub 1af4:1100)\n");
    strbuf_free(&text);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(configuration_ports),
        TEST(after_reset),
        cmocka_unit_test(below_4g),
        cmocka_unit_test(ram_above_4g),
        TEST(shadow_ram),
        TEST(shadow_of_a_bios),
        TEST(smram),
        TEST(pci_memory),
        TEST(pin_routing),
        TEST(shared_and_moved_interrupts),
        TEST(reset_control),
        TEST(turbo_reset_control),
        TEST(port_92),
        TEST(refusals),
        cmocka_unit_test(freed_early),
        TEST(state_moves),
        TEST(probes),
        TEST(accesses_are_told),
        TEST(tree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
