/* SPDX-License-Identifier: MIT
 *
 * System control port A (0x92) of the PS/2 and all PCs since: address line 20, and a reset that is
 * faster than the keyboard controller's (PIIX3 data sheet 290550, 2.5.5.2).
 */
#include "device/port92.h"

#include "device/isa.h"
#include "trace-device.h"

enum { FAST_INIT = 1, FAST_A20 = 2 };

struct port92 {
    struct device device;
    struct mem_region port;
    struct irq a20;
    uint8_t value;
};

static const struct mem_field port_fields[] = {
    {"FAST_INIT", 0, 1}, {"FAST_A20", 1, 1}, {NULL, 0, 0}};
static const struct mem_register registers[] = {{0, 1, MEM_RW, "PORT92", port_fields},
                                                {0, 0, 0, NULL, NULL}};

static uint64_t port_read(void *opaque, uint64_t offset, unsigned size)
{
    const struct port92 *port = opaque;
    (void)offset;
    (void)size;
    trace_port92_read(port->value);
    return port->value;
}

static void port_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct port92 *port = opaque;
    struct board *board = port->device.board;
    bool rises = (value & FAST_INIT) && !(port->value & FAST_INIT);
    (void)offset;
    (void)size;
    trace_port92_write((uint8_t)value);
    port->value = (uint8_t)value;
    irq_set(port->a20, value & FAST_A20);
    if (rises)
        board->request(board, BOARD_RESET, 0);
}

static const struct mem_ops ops = {
    .read = port_read, .write = port_write, .impl_max = 1, .registers = registers};

static bool realize(struct device *device, struct error *err)
{
    struct port92 *port = (struct port92 *)device;
    (void)err;
    isa_add_ports(device, &port->port, "port92", 0x92, 1, &ops);
    return true;
}

static void reset(struct device *device)
{
    struct port92 *port = (struct port92 *)device;
    port->value = 0;
    irq_set(port->a20, false);
}

static void end(struct device *device)
{
    mem_free(&((struct port92 *)device)->port);
}

static const struct device_field fields[] = {
    FIELD(struct port92, value, FIELD_U8),
    FIELD_END,
};

static const struct device_class port92_class = {
    .name = "port92",
    .help = "System control port A",
    .bus = "ISA",
    .category = "Misc",
    .size = sizeof(struct port92),
    .state = fields,
    .realize = realize,
    .reset = reset,
    .free = end,
};
DEVICE(port92_class)

struct device *port92_new(struct board *board, struct irq a20, struct error *err)
{
    struct device *device = device_new(&port92_class, board);
    ((struct port92 *)device)->a20 = a20;
    return device_realize(device, err) ? device : NULL;
}
