/* SPDX-License-Identifier: MIT
 *
 * A board without a CPU, for tests of devices: spaces with some RAM, a clock that stands until the
 * test moves it, an ISA and a PCI bus whose lines are recorded. For one source: the functions are
 * static, and need no test library.
 *
 *     struct harness h;
 *     harness_begin(&h);
 *     harness_add(&h, "isa-pit", "iobase=0x40", NULL);
 *     harness_reset(&h);
 *     out8(&h, 0x43, 0x34);
 *     harness_advance(&h, 1000000);
 *     ... h.line[0].level, h.line[0].rises ...
 *     assert_true(harness_keeps_state(&h, &err));
 *     harness_end(&h);
 */
#ifndef TESTS_DEVICE_HARNESS_H
#define TESTS_DEVICE_HARNESS_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/strbuf.h"
#include "device/device.h"
#include "device/isa.h"
#include "device/pci.h"

#ifndef HARNESS_RAM
#define HARNESS_RAM (16 << 20)
#endif

/* What became of a line. */
struct harness_line {
    bool level;
    unsigned rises, falls;
};

struct harness {
    struct board board;
    struct clock clock;
    struct mem_region memory_root, port_root, ram; /* HARNESS_RAM bytes at 0 */
    struct isa_bus isa;
    struct pci_bus pci;
    struct harness_line line[ISA_IRQS];     /* of the ISA bus */
    struct harness_line pin[32 * PCI_PINS]; /* of the PCI bus: slot * 4 + pin */
    unsigned requests[BOARD_WAKEUP + 1];    /* how often each came */
    int argument;                           /* of the last */
    uint64_t random;                        /* state of the random bytes */
};

static void harness_set_line(void *opaque, int number, bool level)
{
    struct harness_line *line = (struct harness_line *)opaque + number;
    line->rises += level && !line->level;
    line->falls += !level && line->level;
    line->level = level;
}

static void harness_set_pin(void *opaque, unsigned slot, unsigned pin, bool level)
{
    struct harness *h = opaque;
    harness_set_line(h->pin, (int)(slot * PCI_PINS + pin), level);
}

static void harness_request(struct board *board, enum board_request what, int argument)
{
    struct harness *h = board->opaque;
    h->requests[what]++;
    h->argument = argument;
}

static void harness_random(struct board *board, void *to, size_t size)
{
    struct harness *h = board->opaque;
    for (size_t i = 0; i < size; i++) {
        h->random = h->random * 6364136223846793005u + 1442695040888963407u;
        ((uint8_t *)to)[i] = (uint8_t)(h->random >> 56);
    }
}

/* A line that is recorded at `line`, for devices' other outputs. */
__attribute__((unused)) static struct irq harness_irq(struct harness_line *line)
{
    return (struct irq){harness_set_line, line, 0};
}

static void harness_begin(struct harness *h)
{
    struct error err;
    memset(h, 0, sizeof(*h));
    clock_init(&h->clock);
    mem_init_container(&h->memory_root, "system", UINT64_MAX);
    mem_init_container(&h->port_root, "io", 0x10000);
    if (!mem_init_ram(&h->ram, "ram", HARNESS_RAM, &err))
        bug("%s", err.text);
    mem_add(&h->memory_root, &h->ram, 0, 0);
    for (int i = 0; i < ISA_IRQS; i++)
        h->isa.irq[i] = (struct irq){harness_set_line, h->line, i};
    h->isa.ports = &h->port_root;
    h->isa.memory = &h->memory_root;
    struct board *board = &h->board;
    board->name = "harness";
    board->memory_root = &h->memory_root;
    board->port_root = &h->port_root;
    board->memory = mem_space_new("memory", &h->memory_root);
    board->ports = mem_space_new("I/O", &h->port_root);
    board->clock = &h->clock;
    board->isa = &h->isa;
    pci_bus_init(&h->pci, "pci.0", board, &h->memory_root, &h->port_root);
    h->pci.set_pin = harness_set_pin;
    h->pci.opaque = h;
    board->pci = &h->pci;
    board->opaque = h;
    board->request = harness_request;
    board->random = harness_random;
    board->rtc_base = 1000000000; /* 2001-09-09 01:46:40 */
}

static void harness_end(struct harness *h)
{
    device_free_all(&h->board);
    mem_space_free(h->board.memory);
    mem_space_free(h->board.ports);
    mem_free(&h->ram);
    mem_free(&h->memory_root);
    mem_free(&h->port_root);
    clock_free(&h->clock);
}

/* A device by name, its properties "key=value" set; NULL: a sentence. */
static struct device *harness_make(struct harness *h, struct error *err, const char *name,
                                   va_list properties)
{
    const struct device_class *class = device_class_find(name);
    if (!class) {
        error_set(err, "there is no device %s", name);
        return NULL;
    }
    struct device *device = device_new(class, &h->board);
    const char *text;
    while ((text = va_arg(properties, const char *))) {
        const char *equals = strchr(text, '=');
        char *key = mem_stringn(text, (size_t)(equals - text));
        bool good = device_set(device, key, equals + 1, err);
        free(key);
        if (!good) {
            device_free(device);
            return NULL;
        }
    }
    return device_realize(device, err) ? device : NULL;
}

/* The same, where it cannot fail. The list ends with NULL. */
__attribute__((unused, sentinel)) static struct device *harness_add(struct harness *h,
                                                                    const char *name, ...)
{
    struct error err;
    va_list properties;
    va_start(properties, name);
    struct device *device = harness_make(h, &err, name, properties);
    va_end(properties);
    if (!device)
        bug("%s: %s", name, err.text);
    return device;
}

/* The sentence of a device that cannot be made; "" if it can. Lives until the next call. */
__attribute__((unused, sentinel)) static const char *harness_refuses(struct harness *h,
                                                                     const char *name, ...)
{
    static struct error err;
    va_list properties;
    va_start(properties, name);
    struct device *device = harness_make(h, &err, name, properties);
    va_end(properties);
    if (device)
        device_free(device);
    return device ? "" : err.text;
}

static void harness_reset(struct harness *h)
{
    device_reset_all(&h->board);
}

__attribute__((unused)) static void harness_advance(struct harness *h, uint64_t nanoseconds)
{
    clock_advance(&h->clock, nanoseconds);
}

/* --- accesses, as of vCPU 0 --- */

#define HARNESS_ACCESS(bits)                                                                 \
    __attribute__((unused)) static uint##bits##_t in##bits(struct harness *h, uint16_t port) \
    {                                                                                        \
        uint64_t value;                                                                      \
        mem_load(h->board.ports, 0, port, &value, bits / 8);                                 \
        return (uint##bits##_t)value;                                                        \
    }                                                                                        \
    __attribute__((unused)) static void out##bits(struct harness *h, uint16_t port,          \
                                                  uint##bits##_t value)                      \
    {                                                                                        \
        mem_store(h->board.ports, 0, port, value, bits / 8);                                 \
    }                                                                                        \
    __attribute__((unused)) static uint##bits##_t load##bits(struct harness *h, uint64_t at) \
    {                                                                                        \
        uint64_t value;                                                                      \
        mem_load(h->board.memory, 0, at, &value, bits / 8);                                  \
        return (uint##bits##_t)value;                                                        \
    }                                                                                        \
    __attribute__((unused)) static void store##bits(struct harness *h, uint64_t at,          \
                                                    uint##bits##_t value)                    \
    {                                                                                        \
        mem_store(h->board.memory, 0, at, value, bits / 8);                                  \
    }
HARNESS_ACCESS(8)
HARNESS_ACCESS(16)
HARNESS_ACCESS(32)
HARNESS_ACCESS(64)
#undef HARNESS_ACCESS

/* Configuration space of bus 0. */
#define HARNESS_CONFIG(bits)                                                                   \
    __attribute__((unused)) static uint##bits##_t config_read##bits(                           \
        struct harness *h, unsigned slot, unsigned function, unsigned offset)                  \
    {                                                                                          \
        return (uint##bits##_t)pci_config_read(h->board.pci, 0, slot << 3 | function, offset,  \
                                               bits / 8);                                      \
    }                                                                                          \
    __attribute__((unused)) static void config_write##bits(struct harness *h, unsigned slot,   \
                                                           unsigned function, unsigned offset, \
                                                           uint##bits##_t value)               \
    {                                                                                          \
        pci_config_write(h->board.pci, 0, slot << 3 | function, offset, value, bits / 8);      \
    }
HARNESS_CONFIG(8)
HARNESS_CONFIG(16)
HARNESS_CONFIG(32)
#undef HARNESS_CONFIG

/* --- state --- */

/* Whether each device, reset and then loaded with what it saved before, saves the same again. */
__attribute__((unused)) static bool harness_keeps_state(struct harness *h, struct error *err)
{
    for (struct device *device = device_first(&h->board); device; device = device->next) {
        struct strbuf before, after;
        strbuf_init(&before);
        strbuf_init(&after);
        device_save(device, &before);
        if (device->class->reset)
            device->class->reset(device);
        bool good = device_load(device, before.data, before.len, err);
        if (good) {
            device_save(device, &after);
            good = after.len == before.len && memcmp(after.data, before.data, after.len) == 0;
            if (!good)
                error_set(err, "device %s saves other bytes than it was loaded with",
                          device->class->name);
        }
        strbuf_free(&before);
        strbuf_free(&after);
        if (!good)
            return false;
    }
    return true;
}

/* Pages that nobody touched stay so. */
static void harness_copy_pages(uint8_t *to, const uint8_t *from, uint64_t size)
{
    enum { PAGE = 4096 };
    for (uint64_t at = 0; at + PAGE <= size; at += PAGE) {
        if (memcmp(to + at, from + at, PAGE) != 0)
            memcpy(to + at, from + at, PAGE);
    }
}

/* RAM that a device brings along is no part of its state. */
static void harness_copy_device_ram(const struct device *from, const struct device *to)
{
    if (!from->class->bus || strcmp(from->class->bus, "PCI") != 0)
        return;
    for (unsigned i = 0; i < PCI_BARS; i++) {
        const struct mem_region *old = ((const struct pci_device *)from)->region[i].region;
        const struct mem_region *new = ((const struct pci_device *)to)->region[i].region;
        if (old && old->kind == MEM_RAM)
            harness_copy_pages(mem_host(new), mem_host(old), old->size);
    }
}

/* Loads into the devices of `to` what those of `from`, made alike, save, with RAM; its clock is
 * set, too. */
__attribute__((unused)) static bool harness_transplant(const struct harness *from,
                                                       struct harness *to, struct error *err)
{
    to->clock.at = clock_now(&from->clock);
    to->random = from->random;
    struct device *new = device_first(&to->board);
    for (struct device *old = device_first(&from->board); old; old = old->next, new = new->next) {
        struct strbuf bytes;
        strbuf_init(&bytes);
        device_save(old, &bytes);
        bool good = new &&device_load(new, bytes.data, bytes.len, err);
        strbuf_free(&bytes);
        if (!good)
            return false;
        harness_copy_device_ram(old, new);
    }
    memcpy(to->line, from->line, sizeof(to->line));
    memcpy(to->pin, from->pin, sizeof(to->pin));
    memcpy(mem_host(&to->ram), mem_host(&from->ram), HARNESS_RAM);
    return true;
}

#endif
