/* SPDX-License-Identifier: MIT
 *
 * The debug console: a port whose bytes go to a character back end. It is no chip; Bochs had it
 * first, at 0xe9, and firmware tells by what it reads there whether it is present. */
#include "chardev/chardev.h"
#include "device/device.h"
#include "device/isa.h"

struct debugcon {
    struct device device;
    struct mem_region port;
    struct chardev_front front;
    struct chardev *chardev; /* properties */
    uint32_t base, readback;
};

static uint64_t debugcon_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)offset, (void)size;
    return ((const struct debugcon *)opaque)->readback;
}

/* There is no way to say that it is full: what the back end does not take is lost. */
static void debugcon_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct debugcon *console = opaque;
    uint8_t byte = (uint8_t)value;

    (void)offset, (void)size;
    chardev_write(&console->front, &byte, 1);
}

static const struct mem_register debugcon_registers[] = {
    {0, 1, MEM_RW, "data", NULL},
    {0, 0, 0, NULL, NULL},
};

static const struct mem_ops debugcon_ops = {
    .read = debugcon_read,
    .write = debugcon_write,
    .valid_min = 1,
    .valid_max = 1,
    .registers = debugcon_registers,
};

static bool debugcon_realize(struct device *device, struct error *err)
{
    struct debugcon *console = (struct debugcon *)device;

    if (console->base > 0xffff) {
        return error_set(err, "Parameter 'iobase' expects a port up to 0xffff");
    }
    if (!chardev_attach(&console->front, console->chardev, err)) {
        return false;
    }
    isa_add_ports(device, &console->port, "isa-debugcon", (uint16_t)console->base, 1,
                  &debugcon_ops);
    return true;
}

static void debugcon_free(struct device *device)
{
    struct debugcon *console = (struct debugcon *)device;

    chardev_detach(&console->front);
    mem_free(&console->port);
}

static const struct device_property debugcon_properties[] = {
    {.name = "iobase",
     .type = PROPERTY_U32,
     .offset = offsetof(struct debugcon, base),
     .initial = 0xe9,
     .help = "the port"},
    {.name = "readback",
     .type = PROPERTY_U32,
     .offset = offsetof(struct debugcon, readback),
     .initial = 0xe9,
     .help = "what is read there"},
    {.name = "chardev",
     .type = PROPERTY_CHARDEV,
     .offset = offsetof(struct debugcon, chardev),
     .help = "where the bytes go"},
    {.name = NULL},
};

static const struct device_field debugcon_state[] = {FIELD_END};

static const struct device_class debugcon_class = {
    .name = "isa-debugcon",
    .help = "debug console: a port whose bytes go to a character back end",
    .bus = "ISA",
    .category = "Misc",
    .size = sizeof(struct debugcon),
    .by_user = true,
    .properties = debugcon_properties,
    .state = debugcon_state,
    .realize = debugcon_realize,
    .free = debugcon_free,
};
DEVICE(debugcon_class)
