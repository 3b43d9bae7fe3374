/* SPDX-License-Identifier: MIT
 *
 * The ISA bus: ports, sixteen interrupt lines, eight DMA channels.
 */
#ifndef DEVICE_ISA_H
#define DEVICE_ISA_H

#include "device/device.h"

enum { ISA_IRQS = 16, ISA_DMA_CHANNELS = 8 };

/* A device's side of a DMA channel. The controller calls it while the channel's request is up:
 * moves up to `size` bytes between the device and memory with isa_dma_read() or isa_dma_write(),
 * and returns how many, from the current position on. */
typedef size_t isa_dma_fn(void *opaque, unsigned channel, size_t position, size_t size);

/* Offered by the DMA controller (i8257.c). */
struct isa_dma {
    void *opaque;
    void (*attach)(void *opaque, unsigned channel, isa_dma_fn *transfer, void *device);
    void (*request)(void *opaque, unsigned channel, bool level);
    /* Memory at `position` of the channel's transfer; false: mode or mask do not allow it. */
    bool (*read)(void *opaque, unsigned channel, void *to, size_t position, size_t size);
    bool (*write)(void *opaque, unsigned channel, const void *from, size_t position, size_t size);
    /* Whether all bytes have been moved since the channel was last programmed or, in
     * auto-initialise mode, began again. */
    bool (*has_terminal_count)(void *opaque, unsigned channel);
};

struct isa_bus {
    struct mem_region *ports, *memory; /* containers */
    struct irq irq[ISA_IRQS];          /* towards 8259 and IOAPIC */
    const struct isa_dma *dma;         /* NULL: no controller */
};

/* A region of ports at `base` of the bus. The region lies in the device. */
void isa_add_ports(struct device *device, struct mem_region *region, const char *name,
                   uint16_t base, uint16_t size, const struct mem_ops *ops);

/* Line `number` of the bus; a sentence if there is none. */
bool isa_irq(const struct device *device, unsigned number, struct irq *irq, struct error *err);

#endif
