/* SPDX-License-Identifier: MIT
 *
 * The standard VGA of the PC, PCI 1234:1111, with the Bochs VBE extensions:
 *
 *     BAR 0   video memory
 *     BAR 2   4 KiB: 0x000 EDID, 0x400 ports 0x3c0 to 0x3df, 0x500 VBE registers, two bytes each,
 *             0x600 size of this group, 0x604 byte order of pixels
 *     ports   0x3b4 to 0x3da, 0x1ce to 0x1d1
 *     memory  0xa0000 to 0xbffff
 *
 * Ports and window are there while the command register has the I/O and memory bits (PCI 3.0,
 * appendix D). What the sources share, and who does what, is in vga.h. Video memory is no part of
 * the state: it is RAM, and kept like other RAM.
 */
#include "device/vga.h"

#include <stdlib.h>

#include "device/isa.h"

enum {
    MEMORY_MIN_MB = 1,
    MEMORY_MAX_MB = 512,
    MMIO_SIZE = 0x1000,
    MMIO_EDID = 0x000,
    MMIO_PORTS = 0x400,
    MMIO_PORTS_SIZE = 0x20,
    MMIO_VBE = 0x500,
    MMIO_EXTENDED = 0x600,
    EXTENDED_SIZE = 8,
    EXTENDED_ORDER = 4,
    WINDOW_PRIORITY = 1,
    VBE_PORT = 0x1ce,
    VBE_PORTS = 4,
    REVISION_EXTENDED = 2, /* of a device with the extended registers */
    X_PREFERRED = 1280,
    Y_PREFERRED = 800,
    EDID_LIMIT = 4095, /* what a timing can say */
};

#define ORDER_BIG    UINT32_C(0xbebebebe)
#define ORDER_LITTLE UINT32_C(0x1e1e1e1e)

/* --- ports --- */

static uint64_t ports_read(void *opaque, uint64_t offset, unsigned size)
{
    struct vga_ports *ports = opaque;
    (void)size;
    return vga_port_read(ports->vga, (uint16_t)(ports->base + offset));
}

static void ports_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct vga_ports *ports = opaque;
    (void)size;
    vga_port_write(ports->vga, (uint16_t)(ports->base + offset), (uint8_t)value);
}

static const struct mem_field misc_fields[] = {{"COLOR", 0, 1}, {"RAM", 1, 1},  {"CLOCK", 2, 2},
                                               {"PAGE", 5, 1},  {"SYNC", 6, 2}, {NULL, 0, 0}};
static const struct mem_field status_1_fields[] = {
    {"NO_PIXEL", 0, 1}, {"RETRACE", 3, 1}, {NULL, 0, 0}};
static const struct mem_field attribute_fields[] = {{"INDEX", 0, 5}, {"VIDEO", 5, 1}, {NULL, 0, 0}};

/* clang-format off */
#define CRTC_REGISTERS(base, color)                                                   \
    {VGA_CRTC_INDEX - (base) - (color), 1, MEM_RW, "CRTC_INDEX", NULL},               \
    {VGA_CRTC_DATA - (base) - (color), 1, MEM_RW, "CRTC_DATA", NULL}
#define STATUS_REGISTERS(base)                                                        \
    {VGA_STATUS_1 - (base), 1, MEM_R, "INPUT_STATUS_1", status_1_fields},             \
    {VGA_STATUS_1 - (base), 1, MEM_W, "FEATURE_CONTROL", NULL}
#define COMMON_REGISTERS(base)                                                        \
    {VGA_ATTRIBUTE - (base), 1, MEM_RW, "ATTRIBUTE", attribute_fields},               \
    {VGA_ATTRIBUTE_READ - (base), 1, MEM_RW, "ATTRIBUTE_DATA", NULL},                 \
    {VGA_STATUS_0 - (base), 1, MEM_R, "INPUT_STATUS_0", NULL},                        \
    {VGA_STATUS_0 - (base), 1, MEM_W, "MISC_OUTPUT", misc_fields},                    \
    {VGA_ENABLE - (base), 1, MEM_RW, "VIDEO_ENABLE", NULL},                           \
    {VGA_SEQUENCER_INDEX - (base), 1, MEM_RW, "SEQUENCER_INDEX", NULL},               \
    {VGA_SEQUENCER_DATA - (base), 1, MEM_RW, "SEQUENCER_DATA", NULL},                 \
    {VGA_DAC_MASK - (base), 1, MEM_RW, "DAC_MASK", NULL},                             \
    {VGA_DAC_READ_INDEX - (base), 1, MEM_R, "DAC_STATE", NULL},                       \
    {VGA_DAC_READ_INDEX - (base), 1, MEM_W, "DAC_READ_INDEX", NULL},                  \
    {VGA_DAC_WRITE_INDEX - (base), 1, MEM_RW, "DAC_WRITE_INDEX", NULL},               \
    {VGA_DAC_DATA - (base), 1, MEM_RW, "DAC_DATA", NULL},                             \
    {VGA_FEATURE_READ - (base), 1, MEM_R, "FEATURE", NULL},                           \
    {VGA_MISC_READ - (base), 1, MEM_R, "MISC", misc_fields},                          \
    {VGA_GRAPHICS_INDEX - (base), 1, MEM_RW, "GRAPHICS_INDEX", NULL},                 \
    {VGA_GRAPHICS_DATA - (base), 1, MEM_RW, "GRAPHICS_DATA", NULL}

static const struct mem_register crtc_registers[] = {
    CRTC_REGISTERS(VGA_CRTC_INDEX, 0), {0, 0, 0, NULL, NULL}};
static const struct mem_register status_registers[] = {
    STATUS_REGISTERS(VGA_STATUS_1), {0, 0, 0, NULL, NULL}};
static const struct mem_register common_registers[] = {
    COMMON_REGISTERS(VGA_ATTRIBUTE), {0, 0, 0, NULL, NULL}};
static const struct mem_register mmio_registers[] = {
    COMMON_REGISTERS(VGA_ATTRIBUTE), CRTC_REGISTERS(VGA_ATTRIBUTE, 0),
    STATUS_REGISTERS(VGA_ATTRIBUTE), {0, 0, 0, NULL, NULL}};
/* clang-format on */

/* Wider accesses are those of the single bytes, as on the ISA bus. */
#define PORT_OPS(table)                                                                    \
    {                                                                                      \
        .read = ports_read, .write = ports_write, .valid_max = 4, .valid_unaligned = true, \
        .impl_min = 1, .impl_max = 1, .registers = table                                   \
    }
static const struct mem_ops crtc_ops = PORT_OPS(crtc_registers);
static const struct mem_ops status_ops = PORT_OPS(status_registers);
static const struct mem_ops common_ops = PORT_OPS(common_registers);
static const struct mem_ops mmio_ports_ops = PORT_OPS(mmio_registers);

static const struct {
    uint16_t base, size;
    const struct mem_ops *ops;
} port_ranges[VGA_PORT_RANGES] = {
    {VGA_CRTC_INDEX_MONO, 2, &crtc_ops}, {VGA_STATUS_1_MONO, 1, &status_ops},
    {VGA_ATTRIBUTE, 16, &common_ops},    {VGA_CRTC_INDEX, 2, &crtc_ops},
    {VGA_STATUS_1, 1, &status_ops},
};

/* --- VBE registers: ports --- */

static uint64_t vbe_ports_read(void *opaque, uint64_t offset, unsigned size)
{
    struct vga *v = opaque;
    (void)size;
    return offset == 0 ? v->vbe_index : vga_vbe_get(v, v->vbe_index);
}

static void vbe_ports_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct vga *v = opaque;
    (void)size;
    if (offset == 0)
        v->vbe_index = (uint16_t)value;
    else
        vga_vbe_set(v, v->vbe_index, (uint16_t)value);
}

/* The data port is at 1, as PCs have it, and at 2. */
static const struct mem_register vbe_port_registers[] = {
    {0, 2, MEM_RW, "INDEX", NULL},
    {1, 2, MEM_RW, "DATA", NULL},
    {2, 2, MEM_RW, "DATA_ALIGNED", NULL},
    {0, 0, 0, NULL, NULL},
};
static const struct mem_ops vbe_ports_ops = {
    .read = vbe_ports_read,
    .write = vbe_ports_write,
    .valid_min = 2,
    .valid_max = 4,
    .valid_unaligned = true,
    .impl_min = 2,
    .impl_max = 2,
    .impl_unaligned = true,
    .registers = vbe_port_registers,
};

/* --- and memory --- */

static uint64_t mmio_vbe_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)size;
    return vga_vbe_get(opaque, (unsigned)offset / 2);
}

static void mmio_vbe_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    (void)size;
    vga_vbe_set(opaque, (unsigned)offset / 2, (uint16_t)value);
}

static const struct mem_field enable_fields[] = {{"ON", 0, 1},          {"CAPABILITIES", 1, 1},
                                                 {"DAC_8_BIT", 5, 1},   {"LINEAR", 6, 1},
                                                 {"KEEP_MEMORY", 7, 1}, {NULL, 0, 0}};
static const struct mem_register vbe_registers[] = {
    {VBE_ID * 2, 2, MEM_RW, "ID", NULL},
    {VBE_XRES * 2, 2, MEM_RW, "XRES", NULL},
    {VBE_YRES * 2, 2, MEM_RW, "YRES", NULL},
    {VBE_BPP * 2, 2, MEM_RW, "BPP", NULL},
    {VBE_ENABLE * 2, 2, MEM_RW, "ENABLE", enable_fields},
    {VBE_BANK * 2, 2, MEM_RW, "BANK", NULL},
    {VBE_VIRTUAL_WIDTH * 2, 2, MEM_RW, "VIRTUAL_WIDTH", NULL},
    {VBE_VIRTUAL_HEIGHT * 2, 2, MEM_RW, "VIRTUAL_HEIGHT", NULL},
    {VBE_X_OFFSET * 2, 2, MEM_RW, "X_OFFSET", NULL},
    {VBE_Y_OFFSET * 2, 2, MEM_RW, "Y_OFFSET", NULL},
    {VBE_MEMORY_64K * 2, 2, MEM_RW, "MEMORY_64K", NULL},
    {0, 0, 0, NULL, NULL},
};
static const struct mem_ops mmio_vbe_ops = {
    .read = mmio_vbe_read,
    .write = mmio_vbe_write,
    .valid_min = 2,
    .valid_max = 4,
    .impl_min = 2,
    .impl_max = 2,
    .registers = vbe_registers,
};

static uint64_t extended_read(void *opaque, uint64_t offset, unsigned size)
{
    const struct vga *v = opaque;
    (void)size;
    if (offset == EXTENDED_ORDER)
        return v->big_endian ? ORDER_BIG : ORDER_LITTLE;
    return EXTENDED_SIZE;
}

static void extended_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct vga *v = opaque;
    (void)size;
    if (offset == EXTENDED_ORDER && (value == ORDER_BIG || value == ORDER_LITTLE))
        v->big_endian = value == ORDER_BIG;
    else
        device_guest_error(&v->pci.device, "0x%x written to extended register 0x%x",
                           (unsigned)value, (unsigned)offset);
}

static const struct mem_register extended_registers[] = {
    {0, 4, MEM_R, "SIZE", NULL},
    {EXTENDED_ORDER, 4, MEM_RW, "BYTE_ORDER", NULL},
    {0, 0, 0, NULL, NULL},
};
static const struct mem_ops extended_ops = {
    .read = extended_read,
    .write = extended_write,
    .valid_min = 4,
    .valid_max = 4,
    .registers = extended_registers,
};

static uint64_t edid_read(void *opaque, uint64_t offset, unsigned size)
{
    const struct vga *v = opaque;
    (void)size;
    return v->edid[offset];
}

static void edid_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct vga *v = opaque;
    (void)size;
    device_guest_error(&v->pci.device, "0x%x written to byte %u of the EDID, which is read only",
                       (unsigned)value, (unsigned)offset);
}

static const struct mem_ops edid_ops = {
    .read = edid_read, .write = edid_write, .impl_min = 1, .impl_max = 1};

/* --- what the CPU sees --- */

static bool decodes(const struct vga *v, uint16_t bit)
{
    return pci_get16(v->pci.config + PCI_COMMAND) & bit;
}

void vga_update_window(struct vga *v)
{
    struct mem_region *container = v->window.container;
    uint32_t offset;
    bool is_ram = vga_window_is_ram(v, &offset);
    mem_begin(container);
    mem_enable(&v->window, decodes(v, PCI_COMMAND_MEMORY));
    mem_enable(&v->linear, is_ram);
    if (is_ram)
        mem_set_alias_offset(&v->linear, offset);
    mem_commit(container);
}

static void update_ports(struct vga *v)
{
    bool on = decodes(v, PCI_COMMAND_IO);
    struct mem_region *container = v->vbe_ports.container;
    mem_begin(container);
    for (unsigned i = 0; i < VGA_PORT_RANGES; i++)
        mem_enable(&v->ports[i].region, on);
    mem_enable(&v->vbe_ports, on);
    mem_commit(container);
}

static void config_written(struct pci_device *pci, unsigned offset, unsigned size)
{
    struct vga *v = (struct vga *)pci;
    if (offset < PCI_COMMAND + 2 && offset + size > PCI_COMMAND) {
        update_ports(v);
        vga_update_window(v);
    }
}

/* --- the device --- */

static bool check_properties(struct vga *v, struct error *err)
{
    uint32_t mb = v->vgamem_mb;
    if (mb < MEMORY_MIN_MB || mb > MEMORY_MAX_MB || (mb & (mb - 1)))
        return error_set(err,
                         "Property 'VGA.vgamem_mb' is a power of two from %d to %d (MiB of video "
                         "memory), not %u",
                         MEMORY_MIN_MB, MEMORY_MAX_MB, mb);
    v->xres = v->xres ? v->xres : X_PREFERRED;
    v->yres = v->yres ? v->yres : Y_PREFERRED;
    if (v->xres > EDID_LIMIT || v->yres > EDID_LIMIT)
        return error_set(err, "Properties 'VGA.xres' and 'VGA.yres' are at most %d, not %u x %u",
                         EDID_LIMIT, v->xres, v->yres);
    v->memory_size = mb << 20;
    return true;
}

static void add_ports(struct vga *v)
{
    for (unsigned i = 0; i < VGA_PORT_RANGES; i++) {
        struct vga_ports *ports = &v->ports[i];
        *ports = (struct vga_ports){.vga = v, .base = port_ranges[i].base};
        mem_init_io(&ports->region, "vga", port_ranges[i].size, port_ranges[i].ops, ports);
        mem_add(v->pci.bus->ports, &ports->region, ports->base, 0);
    }
    mem_init_io(&v->vbe_ports, "vbe", VBE_PORTS, &vbe_ports_ops, v);
    mem_add(v->pci.bus->ports, &v->vbe_ports, VBE_PORT, 0);
}

static void add_mmio(struct vga *v)
{
    mem_init_container(&v->mmio, "vga.mmio", MMIO_SIZE);
    if (v->with_edid) {
        vga_make_edid(v);
        mem_init_io(&v->mmio_edid, "edid", VGA_EDID_SIZE, &edid_ops, v);
        mem_add(&v->mmio, &v->mmio_edid, MMIO_EDID, 0);
    }
    v->mmio_ports = (struct vga_ports){.vga = v, .base = VGA_ATTRIBUTE};
    mem_init_io(&v->mmio_ports.region, "vga ioports remapped", MMIO_PORTS_SIZE, &mmio_ports_ops,
                &v->mmio_ports);
    mem_add(&v->mmio, &v->mmio_ports.region, MMIO_PORTS, 0);
    mem_init_io(&v->mmio_vbe, "bochs dispi interface", VBE_COUNT * 2, &mmio_vbe_ops, v);
    mem_add(&v->mmio, &v->mmio_vbe, MMIO_VBE, 0);
    if (v->with_extended) {
        mem_init_io(&v->mmio_extended, "qemu extended regs", EXTENDED_SIZE, &extended_ops, v);
        mem_add(&v->mmio, &v->mmio_extended, MMIO_EXTENDED, 0);
        v->pci.config[PCI_REVISION] = REVISION_EXTENDED;
    }
    pci_add_bar(&v->pci, 2, PCI_REGION_MEMORY, false, &v->mmio);
}

static bool realize(struct device *device, struct error *err)
{
    struct vga *v = (struct vga *)device;
    if (!check_properties(v, err) || !pci_device_init(&v->pci, err) ||
        !mem_init_ram(&v->vram, "vga.vram", v->memory_size, err))
        return false;
    pci_add_bar(&v->pci, 0, PCI_REGION_MEMORY, true, &v->vram);
    if (v->with_mmio)
        add_mmio(v);
    add_ports(v);
    mem_init_io(&v->window, "vga-lowmem", VGA_WINDOW_SIZE, &vga_window_ops, v);
    mem_init_alias(&v->linear, "vga.linear", &v->vram, 0, VGA_BANK);
    mem_enable(&v->linear, false);
    mem_add(&v->window, &v->linear, 0, 0);
    mem_add(v->pci.bus->memory, &v->window, VGA_WINDOW, WINDOW_PRIORITY);
    display_console_add(&device->board->consoles, &v->console, device->class->name, device->id,
                        &vga_console_ops, v);
    return true;
}

static void reset(struct device *device)
{
    struct vga *v = (struct vga *)device;
    pci_device_reset(&v->pci);
    v->misc = v->feature = v->enable = 0;
    v->sequencer_index = v->graphics_index = v->crtc_index = v->attribute_index = 0;
    memset(v->sequencer, 0, sizeof(v->sequencer));
    memset(v->graphics, 0, sizeof(v->graphics));
    memset(v->crtc, 0, sizeof(v->crtc));
    memset(v->attribute, 0, sizeof(v->attribute));
    v->attribute_data = false;
    v->dac_mask = v->dac_read_index = v->dac_write_index = v->dac_component = v->dac_reading = 0;
    memset(v->dac_latch, 0, sizeof(v->dac_latch));
    memset(v->dac, 0, sizeof(v->dac));
    v->latch = 0;
    v->vbe_index = 0;
    memset(v->vbe, 0, sizeof(v->vbe));
    v->vbe[VBE_ID] = 0xb0c5;
    v->big_endian = v->begins_big_endian;
    update_ports(v);
    vga_update_window(v);
}

/* Indices stay within their groups whatever the state says. */
static bool loaded(struct device *device, struct error *err)
{
    struct vga *v = (struct vga *)device;
    if (v->sequencer_index >= SR_COUNT || v->graphics_index >= GR_COUNT ||
        v->crtc_index >= CR_COUNT || v->dac_component > 2)
        return error_set(err, "VGA: an index is larger than its group of registers");
    v->graphics[GR_READ_MAP] &= 3;
    v->graphics[GR_ROTATE] &= 0x1f;
    v->sequencer[SR_MAP_MASK] &= 0xf;
    if (vga_vbe_on(v))
        vga_vbe_settle(v);
    v->vbe[VBE_BANK] &= (uint16_t)(v->memory_size / VGA_BANK - 1);
    v->drawn = false;
    pci_device_loaded(&v->pci);
    update_ports(v);
    vga_update_window(v);
    return true;
}

static void free_region(struct mem_region *region)
{
    if (region->name)
        mem_free(region);
}

static void free_vga(struct device *device)
{
    struct vga *v = (struct vga *)device;
    display_console_remove(&v->console);
    for (unsigned i = 0; i < VGA_PORT_RANGES; i++)
        free_region(&v->ports[i].region);
    free_region(&v->vbe_ports);
    free_region(&v->linear);
    free_region(&v->window);
    pci_device_free(&v->pci);
    free_region(&v->mmio_edid);
    free_region(&v->mmio_ports.region);
    free_region(&v->mmio_vbe);
    free_region(&v->mmio_extended);
    free_region(&v->mmio);
    free_region(&v->vram);
    free(v->dots);
    free(v->row);
}

#define PROPERTY(name, type, member, initial, help)                         \
    {                                                                       \
        name, type, offsetof(struct vga, member), initial, NULL, NULL, help \
    }
static const struct device_property properties[] = {
    PROPERTY("vgamem_mb", PROPERTY_U32, vgamem_mb, 16, "MiB of video memory: a power of two"),
    PROPERTY("mmio", PROPERTY_BOOL, with_mmio, true, "on/off: BAR 2"),
    PROPERTY("qemu-extended-regs", PROPERTY_BOOL, with_extended, true,
             "on/off: byte order of pixels, in BAR 2"),
    PROPERTY("edid", PROPERTY_BOOL, with_edid, true, "on/off: the monitor's data, in BAR 2"),
    PROPERTY("xres", PROPERTY_U32, xres, 0, "of the monitor's preferred mode; 0: 1280"),
    PROPERTY("yres", PROPERTY_U32, yres, 0, "of the monitor's preferred mode; 0: 800"),
    PROPERTY("xmax", PROPERTY_U32, xmax, 0, "widest mode that the monitor offers; 0: any"),
    PROPERTY("ymax", PROPERTY_U32, ymax, 0, "highest mode that the monitor offers; 0: any"),
    PROPERTY("refresh_rate", PROPERTY_U32, refresh_rate, 0, "of the monitor, in mHz; 0: 75000"),
    PROPERTY("global-vmstate", PROPERTY_BOOL, global_vmstate, false, "accepted; means nothing"),
    PROPERTY("big-endian-framebuffer", PROPERTY_BOOL, begins_big_endian, false,
             "on/off: byte order of pixels at reset"),
    {NULL, PROPERTY_BOOL, 0, 0, NULL, NULL, NULL},
};

static const struct device_field fields[] = {
    FIELD(struct vga, misc, FIELD_U8),
    FIELD(struct vga, feature, FIELD_U8),
    FIELD(struct vga, enable, FIELD_U8),
    FIELD(struct vga, sequencer_index, FIELD_U8),
    FIELD_ARRAY(struct vga, sequencer, FIELD_U8),
    FIELD(struct vga, graphics_index, FIELD_U8),
    FIELD_ARRAY(struct vga, graphics, FIELD_U8),
    FIELD(struct vga, crtc_index, FIELD_U8),
    FIELD_ARRAY(struct vga, crtc, FIELD_U8),
    FIELD(struct vga, attribute_index, FIELD_U8),
    FIELD_ARRAY(struct vga, attribute, FIELD_U8),
    FIELD(struct vga, attribute_data, FIELD_BOOL),
    FIELD(struct vga, dac_mask, FIELD_U8),
    FIELD(struct vga, dac_read_index, FIELD_U8),
    FIELD(struct vga, dac_write_index, FIELD_U8),
    FIELD(struct vga, dac_component, FIELD_U8),
    FIELD(struct vga, dac_reading, FIELD_U8),
    FIELD_ARRAY(struct vga, dac_latch, FIELD_U8),
    FIELD_ARRAY(struct vga, dac, FIELD_U8),
    FIELD(struct vga, latch, FIELD_U32),
    FIELD(struct vga, vbe_index, FIELD_U16),
    FIELD_ARRAY(struct vga, vbe, FIELD_U16),
    FIELD(struct vga, big_endian, FIELD_BOOL),
    FIELD_END,
};

static const struct pci_class bus_class = {
    .vendor = 0x1234,
    .device = 0x1111,
    .class = 0x0300,
    .rom = "vgabios-stdvga.bin",
    .config_written = config_written,
};

static const struct device_class vga_class = {
    .name = "VGA",
    .help = "Standard VGA with Bochs VBE extensions",
    .bus = "PCI",
    .category = "Display",
    .size = sizeof(struct vga),
    .by_user = true,
    .properties = properties,
    .state = fields,
    .realize = realize,
    .reset = reset,
    .loaded = loaded,
    .free = free_vga,
    .bus_class = &bus_class,
};
DEVICE(vga_class)
