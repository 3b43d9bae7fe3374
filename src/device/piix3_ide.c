/* SPDX-License-Identifier: MIT
 *
 * The IDE function of the PIIX3 (Intel 82371SB, data sheet 290550, 2.3 and 2.6): PCI 8086:7010 with
 * two channels at the ports of old,
 *
 *     ide.0   0x1f0-0x1f7, 0x3f6, IRQ 14     bus-master registers at BAR4
 *     ide.1   0x170-0x177, 0x376, IRQ 15     and 8 bytes behind
 *
 * A channel's ports are there when the decode bit of its timing register and the I/O bit of the
 * command register are set. Timings themselves change nothing.
 */
#include "device/ide.h"
#include "device/isa.h"
#include "device/pci.h"

enum {
    CHANNELS = 2,
    IDETIM = 0x40, /* two bytes a channel; bit 15 decodes its ports */
    SIDETIM = 0x44,
    DECODE = 0x80, /* of the high byte */
    BM_BAR = 4,
    BM_SIZE = 16,
    BM_CHANNEL = 8,
};

struct piix3_ide {
    struct pci_device pci;
    struct ide_channel channel[CHANNELS];
    struct mem_region command[CHANNELS], control[CHANNELS], bus_master;
};

struct ide_channel *piix3_ide_channel(struct device *device, unsigned number)
{
    return &((struct piix3_ide *)device)->channel[number];
}

/* --- ports --- */

static uint64_t command_read(void *opaque, uint64_t offset, unsigned size)
{
    return ide_port_read(opaque, (unsigned)offset, size);
}

static void command_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    ide_port_write(opaque, (unsigned)offset, (uint32_t)value, size);
}

static uint64_t control_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)offset;
    (void)size;
    return ide_control_read(opaque);
}

static void control_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    (void)offset;
    (void)size;
    ide_control_write(opaque, (uint8_t)value);
}

static uint64_t bm_read(void *opaque, uint64_t offset, unsigned size)
{
    struct piix3_ide *ide = opaque;
    return bmdma_read(&ide->channel[offset / BM_CHANNEL], offset % BM_CHANNEL, size);
}

static void bm_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct piix3_ide *ide = opaque;
    bmdma_write(&ide->channel[offset / BM_CHANNEL], offset % BM_CHANNEL, (uint32_t)value, size);
}

static const struct mem_field status_fields[] = {
    {"ERR", 0, 1},  {"DRQ", 3, 1}, {"DSC", 4, 1}, {"DF", 5, 1},
    {"DRDY", 6, 1}, {"BSY", 7, 1}, {NULL, 0, 0},
};
static const struct mem_field select_fields[] = {
    {"HEAD", 0, 4}, {"DEV", 4, 1}, {"LBA", 6, 1}, {NULL, 0, 0}};
static const struct mem_field control_fields[] = {
    {"NIEN", 1, 1}, {"SRST", 2, 1}, {"HOB", 7, 1}, {NULL, 0, 0}};
static const struct mem_field bm_command_fields[] = {
    {"START", 0, 1}, {"TO_MEMORY", 3, 1}, {NULL, 0, 0}};
static const struct mem_field bm_status_fields[] = {
    {"ACTIVE", 0, 1}, {"ERROR", 1, 1}, {"INTERRUPT", 2, 1}, {"CAPABLE", 5, 2}, {NULL, 0, 0}};

static const struct mem_register command_registers[] = {
    {IDE_DATA, 2, MEM_RW, "DATA", NULL},
    {IDE_ERROR, 1, MEM_R, "ERROR", NULL},
    {IDE_ERROR, 1, MEM_W, "FEATURES", NULL},
    {IDE_COUNT, 1, MEM_RW, "SECTOR_COUNT", NULL},
    {IDE_LOW, 1, MEM_RW, "LBA_LOW", NULL},
    {IDE_MID, 1, MEM_RW, "LBA_MID", NULL},
    {IDE_HIGH, 1, MEM_RW, "LBA_HIGH", NULL},
    {IDE_SELECT, 1, MEM_RW, "DEVICE", select_fields},
    {IDE_STATUS, 1, MEM_R, "STATUS", status_fields},
    {IDE_STATUS, 1, MEM_W, "COMMAND", NULL},
    {0, 0, 0, NULL, NULL},
};
static const struct mem_register control_registers[] = {
    {0, 1, MEM_R, "ALTERNATE_STATUS", status_fields},
    {0, 1, MEM_W, "DEVICE_CONTROL", control_fields},
    {0, 0, 0, NULL, NULL},
};
static const struct mem_register bm_registers[] = {
    {0, 1, MEM_RW, "BMICP", bm_command_fields},
    {2, 1, MEM_RW, "BMISP", bm_status_fields},
    {4, 4, MEM_RW, "BMIDTPP", NULL},
    {8, 1, MEM_RW, "BMICS", bm_command_fields},
    {10, 1, MEM_RW, "BMISS", bm_status_fields},
    {12, 4, MEM_RW, "BMIDTPS", NULL},
    {0, 0, 0, NULL, NULL},
};

/* Whole accesses to the data port; what touches other registers is taken apart in ide.c. */
static const struct mem_ops command_ops = {
    .read = command_read,
    .write = command_write,
    .valid_min = 1,
    .valid_max = 4,
    .valid_unaligned = true,
    .impl_unaligned = true,
    .registers = command_registers,
};
static const struct mem_ops control_ops = {
    .read = control_read,
    .write = control_write,
    .valid_min = 1,
    .valid_max = 4,
    .impl_min = 1,
    .impl_max = 1,
    .registers = control_registers,
};
static const struct mem_ops bm_ops = {
    .read = bm_read,
    .write = bm_write,
    .valid_min = 1,
    .valid_max = 4,
    .registers = bm_registers,
};

/* --- configuration --- */

static bool may_master(const struct device *device)
{
    const struct piix3_ide *ide = (const struct piix3_ide *)device;
    return pci_get16(ide->pci.config + PCI_COMMAND) & PCI_COMMAND_MASTER;
}

/* A channel's ports: are they decoded? */
static void update_ports(struct piix3_ide *ide)
{
    bool io = pci_get16(ide->pci.config + PCI_COMMAND) & PCI_COMMAND_IO;
    for (unsigned i = 0; i < CHANNELS; i++) {
        bool on = io && ide->pci.config[IDETIM + 2 * i + 1] & DECODE;
        if (ide->command[i].enabled != on) {
            mem_enable(&ide->command[i], on);
            mem_enable(&ide->control[i], on);
        }
    }
}

static void config_written(struct pci_device *pci, unsigned offset, unsigned size)
{
    (void)offset;
    (void)size;
    struct piix3_ide *ide = (struct piix3_ide *)pci;
    update_ports(ide);
    for (unsigned i = 0; i < CHANNELS; i++) {
        ide_dma_run(&ide->channel[i]);
    }
}

/* --- the class --- */

static const struct {
    const char *name, *command, *control;
    uint16_t port, control_port;
    unsigned irq;
} places[CHANNELS] = {
    {"ide.0", "ide", "ide", 0x1f0, 0x3f6, 14},
    {"ide.1", "ide", "ide", 0x170, 0x376, 15},
};

static bool realize(struct device *device, struct error *err)
{
    struct piix3_ide *ide = (struct piix3_ide *)device;
    if (!pci_device_init(&ide->pci, err)) {
        return false;
    }
    for (unsigned i = IDETIM; i <= SIDETIM; i++) {
        ide->pci.writable[i] = 0xff;
    }
    for (unsigned i = 0; i < CHANNELS; i++) {
        struct ide_channel *channel = &ide->channel[i];
        channel->name = places[i].name;
        channel->number = i;
        channel->port = places[i].port;
        channel->control_port = places[i].control_port;
        channel->device = device;
        channel->may_master = may_master;
        if (!isa_irq(device, places[i].irq, &channel->irq, err)) {
            return false;
        }
        isa_add_ports(device, &ide->command[i], places[i].command, channel->port, IDE_REGISTERS,
                      &command_ops);
        isa_add_ports(device, &ide->control[i], places[i].control, channel->control_port, 1,
                      &control_ops);
        ide->command[i].opaque = ide->control[i].opaque = channel;
    }
    mem_init_io(&ide->bus_master, "piix-bmdma", BM_SIZE, &bm_ops, ide);
    pci_add_bar(&ide->pci, BM_BAR, PCI_REGION_IO, false, &ide->bus_master);
    update_ports(ide);
    return true;
}

static void reset(struct device *device)
{
    struct piix3_ide *ide = (struct piix3_ide *)device;
    pci_device_reset(&ide->pci);
    for (unsigned i = IDETIM; i <= SIDETIM; i++) {
        ide->pci.config[i] = 0;
    }
    update_ports(ide);
    for (unsigned i = 0; i < CHANNELS; i++) {
        ide_channel_reset(&ide->channel[i]);
    }
}

static bool loaded(struct device *device, struct error *err)
{
    struct piix3_ide *ide = (struct piix3_ide *)device;
    pci_device_loaded(&ide->pci);
    update_ports(ide);
    for (unsigned i = 0; i < CHANNELS; i++) {
        if (ide->channel[i].unit >= IDE_UNITS) {
            return error_set(err, "piix3-ide: there is no unit %u", ide->channel[i].unit);
        }
        irq_set(ide->channel[i].irq, ide->channel[i].level);
    }
    return true;
}

static void free_ide(struct device *device)
{
    struct piix3_ide *ide = (struct piix3_ide *)device;
    for (unsigned i = 0; i < CHANNELS; i++) {
        for (unsigned j = 0; j < IDE_UNITS; j++) {
            if (ide->channel[i].drive[j]) {
                ide->channel[i].drive[j]->channel = NULL;
            }
        }
        if (ide->command[i].name) {
            mem_free(&ide->command[i]);
            mem_free(&ide->control[i]);
        }
    }
    pci_device_free(&ide->pci);
    if (ide->bus_master.name) {
        mem_free(&ide->bus_master);
    }
}

static const struct device_field channel_fields[] = {
    FIELD(struct ide_channel, unit, FIELD_U8),
    FIELD(struct ide_channel, control, FIELD_U8),
    FIELD(struct ide_channel, level, FIELD_BOOL),
    FIELD(struct ide_channel, bm_command, FIELD_U8),
    FIELD(struct ide_channel, bm_status, FIELD_U8),
    FIELD(struct ide_channel, bm_table, FIELD_U32),
    FIELD(struct ide_channel, bm_next, FIELD_U32),
    FIELD(struct ide_channel, bm_address, FIELD_U32),
    FIELD(struct ide_channel, bm_left, FIELD_U32),
    FIELD(struct ide_channel, bm_last, FIELD_BOOL),
    FIELD_END,
};

static const struct device_field fields[] = {
    FIELD_STRUCTS(struct piix3_ide, channel, channel_fields),
    FIELD_END,
};

static const struct device_bus buses[] = {{"ide.0", "IDE"}, {"ide.1", "IDE"}, {NULL, NULL}};

static const struct pci_class bus_class = {
    .vendor = 0x8086,
    .device = 0x7010,
    .class = 0x0101,
    .interface = 0x80, /* ports of old; bus master */
    .config_written = config_written,
};

const struct device_class piix3_ide_class = {
    .name = "piix3-ide",
    .help = "IDE controller of the PIIX3",
    .bus = "PCI",
    .category = "Storage",
    .size = sizeof(struct piix3_ide),
    .by_user = true,
    .state = fields,
    .realize = realize,
    .reset = reset,
    .loaded = loaded,
    .free = free_ide,
    .bus_class = &bus_class,
    .buses = buses,
};
DEVICE(piix3_ide_class)
