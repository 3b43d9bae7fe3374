/* SPDX-License-Identifier: MIT
 *
 * The ISA bus, as its devices use it.
 */
#include "device/isa.h"

#include "base/error.h"

void isa_add_ports(struct device *device, struct mem_region *region, const char *name,
                   uint16_t base, uint16_t size, const struct mem_ops *ops)
{
    mem_init_io(region, name, size, ops, device);
    mem_add(device->board->isa->ports, region, base, 0);
}

bool isa_irq(const struct device *device, unsigned number, struct irq *irq, struct error *err)
{
    if (number >= ISA_IRQS)
        return error_set(err, "Parameter 'irq' expects an ISA interrupt, 0 to %d, not %u",
                         ISA_IRQS - 1, number);
    *irq = device->board->isa->irq[number];
    return true;
}
