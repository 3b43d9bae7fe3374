/* SPDX-License-Identifier: MIT
 *
 * The PC's host bridge. All functions are called with the machine's lock held.
 */
#ifndef DEVICE_I440FX_H
#define DEVICE_I440FX_H

#include "device/device.h"

/* The bytes of so much RAM that lie below 4 GiB; the rest lies from 4 GiB on. */
uint64_t i440fx_below_4g(uint64_t ram);

/* Makes the host bridge: board->pci, the configuration ports 0xcf8 and 0xcfc, the bridge at
 * 00:00.0, and what the CPUs see of `ram` (at least 1 MiB; NULL: none) below memory_root. NULL with
 * a sentence; otherwise the i440FX-pcihost. Both devices are the board's. */
struct device *i440fx_new(struct board *board, struct mem_region *ram, struct error *err);

/* What lies on the PCI bus in 4 GiB and above: firmware's and other devices' place, which RAM
 * covers. */
struct mem_region *i440fx_pci_memory(struct device *host);

/* What a CPU in system management mode sees besides: a container of 4 GiB that shows RAM at
 * 0xa0000 while the guest has enabled it. In front of memory_root. */
struct mem_region *i440fx_smram(struct device *host);

/* Who answers port 0xcf9, which lies within the configuration ports: the ISA bridge. */
struct i440fx_reset_control {
    void *opaque;
    uint8_t (*read)(void *opaque);
    void (*write)(void *opaque, uint8_t value);
};

/* The host bridge of the board's PCI bus. NULL: it has none, or one of another kind. */
struct device *i440fx_of(const struct board *board);
void i440fx_set_reset_control(struct device *host, const struct i440fx_reset_control *control);

#endif
