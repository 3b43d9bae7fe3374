/* SPDX-License-Identifier: MIT
 *
 * A port that ends the program: a guest that writes V gives it the exit status (V << 1) | 1. It is
 * no chip; tests of kernels use it. */
#include "device/device.h"
#include "device/isa.h"
#include "trace-device.h"

enum { SIZE_MAX_BYTES = 8 };

struct debug_exit {
    struct device device;
    struct mem_region ports;
    uint32_t base, size; /* properties */
};

static uint64_t debug_exit_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)opaque, (void)offset, (void)size;
    return 0;
}

static void debug_exit_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct debug_exit *device = opaque;
    struct board *board = device->device.board;
    int status = (int)(uint32_t)(value << 1 | 1);

    (void)size;
    trace_debug_exit(offset, value, status);
    board->request(board, BOARD_EXIT, status);
}

static const struct mem_ops debug_exit_ops = {
    .read = debug_exit_read,
    .write = debug_exit_write,
    .valid_min = 1,
    .valid_max = 4,
};

static bool debug_exit_realize(struct device *device, struct error *err)
{
    struct debug_exit *exit_port = (struct debug_exit *)device;

    if (!exit_port->size || exit_port->size > SIZE_MAX_BYTES) {
        return error_set(err, "Parameter 'iosize' expects 1 to %d ports", SIZE_MAX_BYTES);
    }
    if (exit_port->base > 0x10000 - exit_port->size) {
        return error_set(err, "Parameter 'iobase' expects a port up to 0x%x",
                         0x10000 - exit_port->size);
    }
    isa_add_ports(device, &exit_port->ports, "isa-debug-exit", (uint16_t)exit_port->base,
                  (uint16_t)exit_port->size, &debug_exit_ops);
    return true;
}

static void debug_exit_free(struct device *device)
{
    mem_free(&((struct debug_exit *)device)->ports);
}

static const struct device_property debug_exit_properties[] = {
    {.name = "iobase",
     .type = PROPERTY_U32,
     .offset = offsetof(struct debug_exit, base),
     .initial = 0x501,
     .help = "first port"},
    {.name = "iosize",
     .type = PROPERTY_U32,
     .offset = offsetof(struct debug_exit, size),
     .initial = 2,
     .help = "how many ports"},
    {.name = NULL},
};

static const struct device_field debug_exit_state[] = {FIELD_END};

static const struct device_class debug_exit_class = {
    .name = "isa-debug-exit",
    .help = "a port that ends the program: writing V gives the exit status (V << 1) | 1",
    .bus = "ISA",
    .category = "Misc",
    .size = sizeof(struct debug_exit),
    .by_user = true,
    .properties = debug_exit_properties,
    .state = debug_exit_state,
    .realize = debug_exit_realize,
    .free = debug_exit_free,
};
DEVICE(debug_exit_class)
