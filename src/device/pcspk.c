/* SPDX-License-Identifier: MIT
 *
 * Port 0x61 of the PC, "NMI status and control" of the 82371SB (PIIX3): the gate of the interval
 * timer's channel 2, the speaker, and bits that show the refresh of memory and the timer's output.
 * No sound comes out.
 */
#include "device/i8254.h"
#include "trace-device.h"

enum nmisc {
    TIMER2_GATE = 0x01,
    SPEAKER = 0x02,
    SERR_DISABLE = 0x04,  /* PCI SERR# makes no NMI */
    IOCHK_DISABLE = 0x08, /* nor does IOCHK# */
    REFRESH = 0x10,       /* changes with each refresh */
    TIMER2_OUTPUT = 0x20,
    WRITABLE = 0x0f,
};

/* A row of DRAM is refreshed each 15.085 microseconds: 18 ticks of the timer's clock. */
enum { REFRESH_NS = 15085 };

struct pcspk {
    struct device device;
    struct mem_region port;
    struct device *pit;
    uint32_t iobase; /* property */
    uint8_t control;
};

static void speaker_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct pcspk *speaker = opaque;

    (void)offset;
    (void)size;
    trace_pcspk_write((uint8_t)value);
    speaker->control = value & WRITABLE;
    i8254_set_gate(speaker->pit, 2, value & TIMER2_GATE);
}

static uint64_t speaker_read(void *opaque, uint64_t offset, unsigned size)
{
    struct pcspk *speaker = opaque;
    uint8_t value = speaker->control;

    (void)offset;
    (void)size;
    if (clock_now(speaker->device.board->clock) / REFRESH_NS % 2)
        value |= REFRESH;
    if (i8254_output(speaker->pit, 2))
        value |= TIMER2_OUTPUT;
    trace_pcspk_read(value);
    return value;
}

static const struct mem_field nmisc_fields[] = {{"timer2_gate", 0, 1},
                                                {"speaker", 1, 1},
                                                {"serr_disable", 2, 1},
                                                {"iochk_disable", 3, 1},
                                                {"refresh", 4, 1},
                                                {"timer2_output", 5, 1},
                                                {NULL, 0, 0}};

static const struct mem_register speaker_registers[] = {
    {0, 1, MEM_RW, "NMISC", nmisc_fields},
    {0, 0, 0, NULL, NULL},
};

static const struct mem_ops speaker_ops = {
    .read = speaker_read,
    .write = speaker_write,
    .impl_min = 1,
    .impl_max = 1,
    .registers = speaker_registers,
};

static bool speaker_realize(struct device *device, struct error *err)
{
    struct pcspk *speaker = (struct pcspk *)device;

    if (!speaker->pit)
        return error_set(err, "isa-pcspk: it needs an isa-pit; the board makes both");
    if (speaker->iobase > 0xffff)
        return error_set(err, "isa-pcspk: iobase %#x must be a port, at most 0xffff",
                         speaker->iobase);
    mem_init_io(&speaker->port, "pcspk", 1, &speaker_ops, speaker);
    mem_add(device->board->port_root, &speaker->port, speaker->iobase, 0);
    return true;
}

static void speaker_reset(struct device *device)
{
    struct pcspk *speaker = (struct pcspk *)device;

    speaker->control = 0;
    i8254_set_gate(speaker->pit, 2, false);
}

static void speaker_free(struct device *device)
{
    if (device->realized)
        mem_free(&((struct pcspk *)device)->port);
}

static const struct device_property speaker_properties[] = {
    {"iobase", PROPERTY_U32, offsetof(struct pcspk, iobase), 0x61, NULL, NULL, "its port"},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

static const struct device_field speaker_state[] = {
    FIELD(struct pcspk, control, FIELD_U8),
    FIELD_END,
};

static const struct device_class pcspk_class = {
    .name = "isa-pcspk",
    .help = "Port 0x61: gate of the timer, speaker (silent)",
    .bus = "ISA",
    .category = "Misc",
    .size = sizeof(struct pcspk),
    .properties = speaker_properties,
    .state = speaker_state,
    .realize = speaker_realize,
    .reset = speaker_reset,
    .free = speaker_free,
};
DEVICE(pcspk_class)

struct device *pcspk_new(struct board *board, struct device *pit, struct error *err)
{
    struct pcspk *speaker = (struct pcspk *)device_new(&pcspk_class, board);

    speaker->pit = pit;
    return device_realize(&speaker->device, err) ? &speaker->device : NULL;
}
