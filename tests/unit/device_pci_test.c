/* SPDX-License-Identifier: MIT
 *
 * The PCI bus, by a device made for it: places, configuration space, base address registers, ROM,
 * capabilities, pins, and what the probes tell.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "device_harness.h"
#include "log_capture.h"
#include "trace/probe/control.h"

/* --- a device with a region of each kind --- */

struct sample {
    struct pci_device pci;
    struct mem_region io, memory, wide;
    unsigned written, last_offset, last_size;
};

static uint64_t region_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)opaque;
    (void)size;
    return 0x80 + offset;
}

static void region_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    (void)opaque;
    (void)offset;
    (void)value;
    (void)size;
}

static const struct mem_ops ops = {.read = region_read, .write = region_write, .impl_max = 1};

static bool sample_realize(struct device *device, struct error *err)
{
    struct sample *sample = (struct sample *)device;
    if (!pci_device_init(&sample->pci, err))
        return false;
    mem_init_io(&sample->io, "sample-io", 0x20, &ops, sample);
    mem_init_io(&sample->memory, "sample-memory", 0x1000, &ops, sample);
    mem_init_io(&sample->wide, "sample-wide", 1 << 20, &ops, sample);
    pci_add_bar(&sample->pci, 0, PCI_REGION_MEMORY, true, &sample->memory);
    pci_add_bar(&sample->pci, 1, PCI_REGION_IO, false, &sample->io);
    pci_add_bar(&sample->pci, 2, PCI_REGION_MEMORY_64, false, &sample->wide);
    sample->pci.writable[0x40] = 0x0f;
    sample->pci.write_one_clears[0x41] = 0x81;
    sample->pci.config[0x41] = 0xff;
    return true;
}

static void sample_reset(struct device *device)
{
    pci_device_reset((struct pci_device *)device);
}

static void sample_written(struct pci_device *device, unsigned offset, unsigned size)
{
    struct sample *sample = (struct sample *)device;
    sample->written++;
    sample->last_offset = offset;
    sample->last_size = size;
}

static void sample_free(struct device *device)
{
    struct sample *sample = (struct sample *)device;
    pci_device_free(&sample->pci);
    mem_free(&sample->io);
    mem_free(&sample->memory);
    mem_free(&sample->wide);
}

static const struct pci_class sample_pci = {
    .vendor = 0x1234,
    .device = 0x5678,
    .class = 0x0200,
    .revision = 9,
    .interface = 7,
    .pin = 2,
    .rom = "sample.rom",
    .config_written = sample_written,
};

static const struct device_class sample_class = {
    .name = "test-pci",
    .bus = "PCI",
    .category = "Network",
    .size = sizeof(struct sample),
    .realize = sample_realize,
    .reset = sample_reset,
    .free = sample_free,
    .bus_class = &sample_pci,
};
DEVICE(sample_class)

static const struct pci_class own_pci = {.vendor = 1,
                                         .device = 2,
                                         .class = 0xff00,
                                         .subsystem_vendor = 3,
                                         .subsystem = 4,
                                         .multifunction = true};
static const struct device_class own_class = {
    .name = "test-own",
    .bus = "PCI",
    .size = sizeof(struct sample),
    .realize = sample_realize,
    .free = sample_free,
    .bus_class = &own_pci,
};
DEVICE(own_class)

static int begin(void **state)
{
    struct harness *h = mem_alloc(sizeof(*h));
    harness_begin(h);
    *state = h;
    return 0;
}

static int end(void **state)
{
    harness_end(*state);
    free(*state);
    return 0;
}

/* --- places --- */

static void places(void **state)
{
    struct harness *h = *state;
    struct sample *a = (struct sample *)harness_add(h, "test-pci", NULL);
    struct sample *b = (struct sample *)harness_add(h, "test-pci", "addr=3", "id=net1", NULL);
    struct sample *c = (struct sample *)harness_add(h, "test-pci", NULL);
    assert_int_equal(a->pci.devfn, 0);
    assert_int_equal(b->pci.devfn, 3 << 3);
    assert_int_equal(c->pci.devfn, 1 << 3);
    assert_string_equal(harness_refuses(h, "test-pci", "addr=3", NULL),
                        "PCI: slot 3 function 0 not available for test-pci, in use by "
                        "test-pci,id=net1");
    assert_string_equal(harness_refuses(h, "test-pci", "addr=0", NULL),
                        "PCI: slot 0 function 0 not available for test-pci, in use by "
                        "test-pci,id=(null)");
    assert_string_equal(harness_refuses(h, "test-pci", "addr=3.1", NULL),
                        "PCI: single function device can't be populated in function 3.1 "
                        "(multifunction=on for test-pci makes it possible)");
    harness_add(h, "test-pci", "addr=4", "multifunction=on", NULL);
    harness_add(h, "test-pci", "addr=4.7", NULL);
    assert_int_equal(config_read8(h, 4, 0, PCI_HEADER_TYPE), 0x80);
    assert_int_equal(config_read8(h, 4, 7, PCI_HEADER_TYPE), 0);
    device_free(&b->pci.device);
    assert_int_equal(config_read32(h, 3, 0, 0), UINT32_MAX);
    for (unsigned i = 0; i < 29; i++)
        harness_add(h, "test-pci", NULL);
    assert_string_equal(harness_refuses(h, "test-pci", NULL),
                        "PCI: no slot/function available for test-pci, all in use or reserved");
    h->board.pci = NULL;
    assert_string_equal(harness_refuses(h, "test-pci", NULL),
                        "No 'PCI' bus found for device 'test-pci'");
    h->board.pci = &h->pci;
}

static void properties(void **state)
{
    struct harness *h = *state;
    struct pci_device *a = (struct pci_device *)harness_add(h, "test-pci", NULL);
    struct pci_device *b = (struct pci_device *)harness_add(h, "test-pci", "romfile=", NULL);
    struct pci_device *c = (struct pci_device *)harness_add(h, "test-own", NULL);
    assert_string_equal(a->romfile, "sample.rom");
    assert_string_equal(b->romfile, "");
    assert_null(c->romfile);
    assert_int_equal(a->rombar, 1);
    assert_false(a->multifunction);
    assert_true(c->multifunction);
}

/* --- the header --- */

static void header(void **state)
{
    struct harness *h = *state;
    harness_add(h, "test-pci", NULL);
    harness_add(h, "test-own", NULL);
    harness_reset(h);
    static const struct {
        unsigned slot, offset;
        uint32_t value, ones; /* after reset, and after all ones were written */
    } rows[] = {
        {0, 0x00, 0x56781234, 0x56781234}, {0, 0x04, 0x00000000, 0x00000507},
        {0, 0x08, 0x02000709, 0x02000709}, {0, 0x0c, 0x00000000, 0x000000ff},
        {0, 0x10, 0x00000008, 0xfffff008}, {0, 0x14, 0x00000001, 0xffffffe1},
        {0, 0x18, 0x00000004, 0xfff00004}, {0, 0x1c, 0x00000000, 0xffffffff},
        {0, 0x20, 0x00000000, 0x00000000}, {0, 0x24, 0x00000000, 0x00000000},
        {0, 0x2c, 0x11001af4, 0x11001af4}, {0, 0x30, 0x00000000, 0x00000000},
        {0, 0x3c, 0x00000200, 0x000002ff}, {0, 0x40, 0x0000ff00, 0x00007e0f},
        {1, 0x00, 0x00020001, 0x00020001}, {1, 0x08, 0xff000000, 0xff000000},
        {1, 0x0c, 0x00800000, 0x008000ff}, {1, 0x2c, 0x00040003, 0x00040003},
        {1, 0x3c, 0x00000000, 0x000000ff}, {2, 0x00, 0xffffffff, 0xffffffff},
    };
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(config_read32(h, rows[i].slot, 0, rows[i].offset), rows[i].value);
        config_write32(h, rows[i].slot, 0, rows[i].offset, UINT32_MAX);
        assert_int_equal(config_read32(h, rows[i].slot, 0, rows[i].offset), rows[i].ones);
    }
    harness_reset(h);
    for (unsigned i = 0; i < 13; i++)
        assert_int_equal(config_read32(h, rows[i].slot, 0, rows[i].offset), rows[i].value);
}

static void access_sizes(void **state)
{
    struct harness *h = *state;
    struct sample *sample = (struct sample *)harness_add(h, "test-pci", NULL);
    assert_int_equal(config_read8(h, 0, 0, 1), 0x12);
    assert_int_equal(config_read16(h, 0, 0, 2), 0x5678);
    assert_int_equal(config_read16(h, 0, 0, 1), 0x7812);
    assert_int_equal(config_read8(h, 7, 0, 0), 0xff);
    assert_int_equal(config_read16(h, 7, 0, 0), 0xffff);
    assert_int_equal(pci_config_read(&h->pci, 1, 0, 0, 4), UINT32_MAX);
    assert_int_equal(pci_config_read(&h->pci, 0, 0, 2, 4), UINT32_MAX); /* across doublewords */
    assert_int_equal(pci_config_read(&h->pci, 0, 0, 256, 4), UINT32_MAX);
    assert_int_equal(pci_config_read(&h->pci, 0, PCI_DEVICES, 0, 4), UINT32_MAX);
    config_write8(h, 0, 0, PCI_INTERRUPT_LINE, 11);
    assert_int_equal(sample->written, 1);
    assert_int_equal(sample->last_offset, PCI_INTERRUPT_LINE);
    assert_int_equal(sample->last_size, 1);
    pci_config_write(&h->pci, 0, 0, 255, 0, 2);
    pci_config_write(&h->pci, 0, 0, 0x10, 0, 3);
    pci_config_write(&h->pci, 2, 0, 0x10, 0, 4);
    assert_int_equal(sample->written, 1);
    assert_int_equal(config_read8(h, 0, 0, PCI_INTERRUPT_LINE), 11);
}

/* --- regions --- */

enum { IO = PCI_COMMAND_IO, MEMORY = PCI_COMMAND_MEMORY };

static void base_addresses(void **state)
{
    struct harness *h = *state;
    struct sample *sample = (struct sample *)harness_add(h, "test-pci", NULL);
    static const struct {
        uint16_t command;
        unsigned bar;
        uint32_t low, high; /* written to the register, and that behind it of 64 bits */
        uint64_t seen;
    } rows[] = {
        {0, 0, 0xe0000000, 0, UINT64_MAX},
        {IO, 0, 0xe0000000, 0, UINT64_MAX},
        {MEMORY, 0, 0xe0000000, 0, 0xe0000000},
        {MEMORY, 0, 0xe0000fff, 0, 0xe0000000},
        {MEMORY, 0, 0, 0, UINT64_MAX},
        {MEMORY, 0, 0xffffffff, 0, UINT64_MAX}, /* sizing */
        {MEMORY, 0, 0xffffe000, 0, 0xffffe000},
        {MEMORY, 1, 0xc000, 0, UINT64_MAX},
        {IO, 1, 0xc000, 0, 0xc000},
        {IO, 1, 0xc03f, 0, 0xc020},
        {IO, 1, 0xffe0, 0, 0xffe0},
        {IO, 1, 0x10000, 0, UINT64_MAX},
        {IO, 1, 0xffffffff, 0, UINT64_MAX},
        {MEMORY, 2, 0xe0100000, 0, 0xe0100000},
        {MEMORY, 2, 0x00100000, 0x1, 0x100100000},
        {MEMORY, 2, 0x00000000, 0x80, 0x8000000000},
        {MEMORY, 2, 0xffffffff, 0xffffffff, UINT64_MAX},
        {MEMORY, 2, 0xffffffff, 0, UINT64_MAX},
    };
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        config_write16(h, 0, 0, PCI_COMMAND, 0);
        config_write32(h, 0, 0, PCI_BAR0 + rows[i].bar * 4, rows[i].low);
        if (rows[i].bar == 2)
            config_write32(h, 0, 0, PCI_BAR0 + 12, rows[i].high);
        config_write16(h, 0, 0, PCI_COMMAND, rows[i].command);
        if (sample->pci.region[rows[i].bar].address != rows[i].seen)
            fail_msg("row %u: seen at 0x%llx", i,
                     (unsigned long long)sample->pci.region[rows[i].bar].address);
        if (rows[i].seen == UINT64_MAX)
            continue;
        if (rows[i].bar == 1)
            assert_int_equal(in8(h, (uint16_t)(rows[i].seen + 5)), 0x85);
        else
            assert_int_equal(load16(h, rows[i].seen + 4), 0x8584);
    }
}

/* Moving, and hiding by the command register; other regions stay. */
static void regions_move(void **state)
{
    struct harness *h = *state;
    harness_add(h, "test-pci", NULL);
    config_write32(h, 0, 0, PCI_BAR0, 0xe0000000);
    config_write32(h, 0, 0, PCI_BAR0 + 4, 0xc000);
    config_write16(h, 0, 0, PCI_COMMAND, IO | MEMORY);
    assert_int_equal(load8(h, 0xe0000001), 0x81);
    config_write32(h, 0, 0, PCI_BAR0, 0xe1000000);
    assert_int_equal(load8(h, 0xe0000001), 0xff);
    assert_int_equal(load8(h, 0xe1000001), 0x81);
    config_write16(h, 0, 0, PCI_COMMAND, IO);
    assert_int_equal(load8(h, 0xe1000001), 0xff);
    assert_int_equal(in8(h, 0xc001), 0x81);
    config_write8(h, 0, 0, PCI_BAR0 + 5, 0xd0); /* a byte of the register */
    assert_int_equal(in8(h, 0xd001), 0x81);
    harness_reset(h);
    assert_int_equal(in8(h, 0xd001), 0xff);
}

static void expansion_rom(void **state)
{
    struct harness *h = *state;
    struct sample *sample = (struct sample *)harness_add(h, "test-pci", NULL);
    struct error err;
    uint8_t bytes[3000];
    memset(bytes, 0x5a, sizeof(bytes));
    bytes[0] = 0x55;
    bytes[1] = 0xaa;
    assert_false(pci_add_rom(&sample->pci, bytes, 0, &err));
    assert_string_equal(err.text,
                        "ROM of device test-pci: 0 bytes, and 1 to 16777216 are possible");
    assert_true(pci_add_rom(&sample->pci, bytes, sizeof(bytes), &err));
    assert_false(pci_add_rom(&sample->pci, bytes, sizeof(bytes), &err));
    assert_string_equal(err.text, "device test-pci has its ROM already");
    config_write32(h, 0, 0, PCI_ROM_BASE, UINT32_MAX);
    assert_int_equal(config_read32(h, 0, 0, PCI_ROM_BASE), 0xfffff001);
    config_write16(h, 0, 0, PCI_COMMAND, MEMORY);
    config_write32(h, 0, 0, PCI_ROM_BASE, 0xe0000000);
    assert_int_equal(load16(h, 0xe0000000), 0xffff); /* not enabled */
    config_write32(h, 0, 0, PCI_ROM_BASE, 0xe0000001);
    assert_int_equal(load16(h, 0xe0000000), 0xaa55);
    assert_int_equal(load8(h, 0xe0000000 + 2999), 0x5a);
    assert_int_equal(load8(h, 0xe0000000 + 3000), 0);
    store8(h, 0xe0000000, 1);
    assert_int_equal(load8(h, 0xe0000000), 0x55);
    config_write16(h, 0, 0, PCI_COMMAND, 0);
    assert_int_equal(load16(h, 0xe0000000), 0xffff);

    struct sample *hidden = (struct sample *)harness_add(h, "test-pci", "rombar=0", NULL);
    assert_true(pci_add_rom(&hidden->pci, bytes, sizeof(bytes), &err));
    config_write16(h, 1, 0, PCI_COMMAND, MEMORY);
    config_write32(h, 1, 0, PCI_ROM_BASE, 0xe0000001);
    assert_int_equal(load16(h, 0xe0000000), 0xffff);
}

static void capabilities(void **state)
{
    struct harness *h = *state;
    struct sample *sample = (struct sample *)harness_add(h, "test-pci", NULL);
    assert_int_equal(config_read16(h, 0, 0, PCI_STATUS), 0);
    /* 0x40 and 0x41 are the device's own. */
    assert_int_equal(pci_add_capability(&sample->pci, 0x05, 10), 0x44);
    assert_int_equal(pci_add_capability(&sample->pci, 0x01, 8), 0x50);
    assert_int_equal(config_read16(h, 0, 0, PCI_STATUS), 0x10);
    assert_int_equal(config_read8(h, 0, 0, PCI_CAPABILITIES), 0x50);
    assert_int_equal(config_read16(h, 0, 0, 0x50), 0x4401);
    assert_int_equal(config_read16(h, 0, 0, 0x44), 0x0005);
    harness_reset(h);
    assert_int_equal(config_read16(h, 0, 0, PCI_STATUS), 0x10);
}

/* --- pins --- */

static void pins(void **state)
{
    struct harness *h = *state;
    struct pci_device *a =
        (struct pci_device *)harness_add(h, "test-pci", "multifunction=on", NULL);
    struct pci_device *b = (struct pci_device *)harness_add(h, "test-pci", "addr=0.3", NULL);
    struct harness_line *line = &h->pin[0 * PCI_PINS + 1];
    pci_set_irq(a, true);
    assert_true(line->level);
    assert_int_equal(config_read16(h, 0, 0, PCI_STATUS), 0x08);
    pci_set_irq(b, true);
    pci_set_irq(a, false);
    assert_true(line->level); /* the other function of the slot */
    assert_int_equal(config_read16(h, 0, 0, PCI_STATUS), 0);
    config_write16(h, 0, 3, PCI_COMMAND, PCI_COMMAND_INTX_OFF);
    assert_false(line->level);
    assert_int_equal(config_read16(h, 0, 3, PCI_STATUS), 0x08); /* it still wants */
    config_write16(h, 0, 3, PCI_COMMAND, 0);
    assert_true(line->level);
    device_free(&b->device);
    assert_false(line->level);
    pci_set_irq(a, true);
    harness_reset(h);
    assert_false(line->level);
    assert_int_equal(line->rises, 3);
}

/* --- state --- */

static void state_moves(void **state)
{
    struct harness *h = *state;
    struct harness other;
    struct error err = {""};
    struct pci_device *a = (struct pci_device *)harness_add(h, "test-pci", NULL);
    harness_begin(&other);
    harness_add(&other, "test-pci", NULL);
    config_write32(h, 0, 0, PCI_BAR0, 0xe0000000);
    config_write16(h, 0, 0, PCI_COMMAND, IO | MEMORY);
    pci_set_irq(a, true);
    assert_true(harness_keeps_state(h, &err));
    assert_int_equal(load8(h, 0xe0000002), 0x82);
    assert_true(harness_transplant(h, &other, &err));
    assert_int_equal(load8(&other, 0xe0000002), 0x82);
    assert_int_equal(config_read32(&other, 0, 0, PCI_COMMAND), config_read32(h, 0, 0, PCI_COMMAND));
    assert_true(((struct pci_device *)device_first(&other.board))->pin_level);
    harness_end(&other);
}

/* --- text --- */

static void print(void **state)
{
    struct harness *h = *state;
    struct strbuf text;
    harness_add(h, "test-pci", "id=net1", "addr=3", NULL);
    harness_add(h, "test-own", "addr=1f", NULL);
    config_write32(h, 3, 0, PCI_BAR0, 0xe0000000);
    config_write32(h, 3, 0, PCI_BAR0 + 4, 0xc040);
    config_write16(h, 3, 0, PCI_COMMAND, IO | MEMORY);
    config_write8(h, 3, 0, PCI_INTERRUPT_LINE, 11);
    strbuf_init(&text);
    pci_print(&h->pci, &text);
    assert_string_equal(
        text.data, "  Bus  0, device   3, function 0:\n"
                   "    Ethernet controller: PCI device 1234:5678\n"
                   "      PCI subsystem 1af4:1100\n"
                   "      IRQ 11, pin B\n"
                   "      BAR0: 32 bit prefetchable memory at 0xe0000000 [0xe0000fff].\n"
                   "      BAR1: I/O at 0xc040 [0xc05f].\n"
                   "      BAR2: 64 bit memory at 0xffffffffffffffff [0x000ffffe].\n"
                   "      id \"net1\"\n"
                   "  Bus  0, device  31, function 0:\n"
                   "    Class ff00: PCI device 0001:0002\n"
                   "      PCI subsystem 0003:0004\n"
                   "      BAR0: 32 bit prefetchable memory at 0xffffffffffffffff [0x00000ffe].\n"
                   "      BAR1: I/O at 0xffffffffffffffff [0x001e].\n"
                   "      BAR2: 64 bit memory at 0xffffffffffffffff [0x000ffffe].\n"
                   "      id \"\"\n");
    strbuf_clear(&text);
    device_print_tree(&h->board, &text);
    assert_non_null(strstr(text.data, "    addr = 03.0\n"
                                      "    romfile = \"sample.rom\"\n"
                                      "    rombar = 1 (0x1)\n"
                                      "    multifunction = false\n"
                                      "    class Ethernet controller, addr 00:03.0, pci id "
                                      "1234:5678 (sub 1af4:1100)\n"
                                      "    bar 0: mem at 0xe0000000 [0xe0000fff]\n"
                                      "    bar 1: i/o at 0xc040 [0xc05f]\n"
                                      "    bar 2: mem at 0xffffffffffffffff [0xffffe]\n"));
    strbuf_free(&text);
}

static void probes(void **state)
{
    struct harness *h = *state;
    struct error err;
    harness_add(h, "test-pci", "addr=3", NULL);
    assert_true(trace_control_set("pci_*", true, &err));
    capture_begin();
    config_read16(h, 3, 0, 0);
    config_read16(h, 4, 0, 0); /* nobody there: nothing is told */
    config_write32(h, 3, 0, PCI_BAR0, 0xe0000000);
    config_write16(h, 3, 0, PCI_COMMAND, MEMORY);
    config_write32(h, 3, 0, PCI_BAR0, 0xe1000000);
    config_write16(h, 3, 0, PCI_COMMAND, 0);
    char *text = capture_end();
    assert_string_equal(text, "pci_cfg_read test-pci 00:03.0 @0x0 -> 0x1234\n"
                              "pci_cfg_write test-pci 00:03.0 @0x10 <- 0xe0000000\n"
                              "pci_cfg_write test-pci 00:03.0 @0x4 <- 0x2\n"
                              "pci_update_mappings_add test-pci 00:03.0 0,0xe0000000+0x1000\n"
                              "pci_cfg_write test-pci 00:03.0 @0x10 <- 0xe1000000\n"
                              "pci_update_mappings_del test-pci 00:03.0 0,0xe0000000+0x1000\n"
                              "pci_update_mappings_add test-pci 00:03.0 0,0xe1000000+0x1000\n"
                              "pci_cfg_write test-pci 00:03.0 @0x4 <- 0x0\n"
                              "pci_update_mappings_del test-pci 00:03.0 0,0xe1000000+0x1000\n");
    free(text);
    assert_true(trace_control_set("pci_*", false, &err));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(places),         TEST(properties),   TEST(header),        TEST(access_sizes),
        TEST(base_addresses), TEST(regions_move), TEST(expansion_rom), TEST(capabilities),
        TEST(pins),           TEST(state_moves),  TEST(print),         TEST(probes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
