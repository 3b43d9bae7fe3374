/* SPDX-License-Identifier: MIT
 *
 * The PCI bus: configuration space, base address registers, interrupt pins, ROMs (PCI Local Bus
 * Specification 3.0, chapter 6). A PCI device's struct begins with a struct pci_device; its class's
 * bus_class is a struct pci_class, from which the header is filled in.
 */
#ifndef DEVICE_PCI_H
#define DEVICE_PCI_H

#include "device/device.h"

enum {
    PCI_CONFIG_SIZE = 256,
    PCI_BARS = 6,
    PCI_ROM = 6, /* number of the expansion ROM among the regions */
    PCI_REGIONS = 7,
    PCI_DEVICES = 256, /* devfn: slot << 3 | function */
    PCI_PINS = 4,
};

/* Offsets of the header. */
enum pci_config {
    PCI_VENDOR_ID = 0x00,
    PCI_DEVICE_ID = 0x02,
    PCI_COMMAND = 0x04,
    PCI_STATUS = 0x06,
    PCI_REVISION = 0x08,
    PCI_PROGRAMMING_INTERFACE = 0x09,
    PCI_CLASS = 0x0a, /* two bytes: sub-class, base class */
    PCI_CACHE_LINE = 0x0c,
    PCI_LATENCY = 0x0d,
    PCI_HEADER_TYPE = 0x0e,
    PCI_BAR0 = 0x10,
    PCI_SUBSYSTEM_VENDOR = 0x2c,
    PCI_SUBSYSTEM = 0x2e,
    PCI_ROM_BASE = 0x30,
    PCI_CAPABILITIES = 0x34,
    PCI_INTERRUPT_LINE = 0x3c,
    PCI_INTERRUPT_PIN = 0x3d,
};

enum pci_command {
    PCI_COMMAND_IO = 1,
    PCI_COMMAND_MEMORY = 2,
    PCI_COMMAND_MASTER = 4,
    PCI_COMMAND_INTX_OFF = 0x400,
};

struct pci_device;

struct pci_class {
    uint16_t vendor, device, class; /* class: base << 8 | sub */
    uint8_t revision, interface;
    uint16_t subsystem_vendor, subsystem; /* 0: 1af4:1100, as QEMU's devices */
    uint8_t pin;                          /* 1 to 4: INTA to INTD; 0: none */
    bool multifunction;
    const char *rom; /* file of an expansion ROM: what property romfile is at first. The board finds
                        the file and calls pci_add_rom() after realizing. NULL: none */
    /* After the guest's write to the configuration, which the masks have let through. Or NULL. */
    void (*config_written)(struct pci_device *device, unsigned offset, unsigned size);
};

enum pci_region_kind { PCI_REGION_NONE, PCI_REGION_IO, PCI_REGION_MEMORY, PCI_REGION_MEMORY_64 };

struct pci_region {
    enum pci_region_kind kind;
    bool prefetchable;
    uint64_t size; /* a power of two */
    struct mem_region *region;
    uint64_t address; /* where it is mapped; UINT64_MAX: not now */
};

struct pci_device {
    struct device device;
    struct pci_bus *bus;
    int32_t devfn;       /* property addr */
    bool multifunction;  /* property multifunction, or the class's */
    const char *romfile; /* property romfile: the class's, another, or "" for none */
    uint32_t rombar;     /* property rombar: 0 keeps the ROM off the bus */
    uint8_t config[PCI_CONFIG_SIZE];
    uint8_t writable[PCI_CONFIG_SIZE]; /* bits that the guest may change */
    uint8_t write_one_clears[PCI_CONFIG_SIZE];
    struct pci_region region[PCI_REGIONS];
    unsigned capability_end; /* first byte behind the capabilities; 0: there are none */
    bool pin_level;
    struct mem_region rom;
};

/* The bus of a host bridge. */
struct pci_bus {
    const char *name; /* pci.0 */
    struct board *board;
    struct pci_device *device[PCI_DEVICES];
    struct mem_region *memory, *ports; /* where BARs are mapped */
    /* The host bridge's or ISA bridge's: level of the pin (0 to 3) of a slot. */
    void (*set_pin)(void *opaque, unsigned slot, unsigned pin, bool level);
    void *opaque;
};

void pci_bus_init(struct pci_bus *bus, const char *name, struct board *board,
                  struct mem_region *memory, struct mem_region *ports);

/* For realize() of a class on the PCI bus, before anything else: takes a devfn, fills in the
 * header. */
bool pci_device_init(struct pci_device *device, struct error *err);
/* From reset(): command and status registers, interrupt line, mappings. */
void pci_device_reset(struct pci_device *device);
void pci_device_free(struct pci_device *device);
/* From loaded(): maps what the configuration says. */
void pci_device_loaded(struct pci_device *device);

/* Base address register `number`. The region is the device's; its size is the BAR's. */
void pci_add_bar(struct pci_device *device, unsigned number, enum pci_region_kind kind,
                 bool prefetchable, struct mem_region *region);
/* An expansion ROM with these bytes. */
bool pci_add_rom(struct pci_device *device, const void *bytes, size_t size, struct error *err);
/* A capability of `size` bytes in front of the others; its offset. */
unsigned pci_add_capability(struct pci_device *device, uint8_t id, unsigned size);

/* The level of the device's interrupt pin. */
void pci_set_irq(struct pci_device *device, bool level);

/* Configuration accesses by bus, devfn and offset, 1, 2 or 4 bytes within an aligned doubleword; a
 * device that is not there reads all ones. They fire pci_cfg_read and pci_cfg_write. */
uint32_t pci_config_read(struct pci_bus *bus, unsigned number, unsigned devfn, unsigned offset,
                         unsigned size);
void pci_config_write(struct pci_bus *bus, unsigned number, unsigned devfn, unsigned offset,
                      uint32_t value, unsigned size);

static inline uint16_t pci_get16(const uint8_t *config)
{
    return (uint16_t)(config[0] | config[1] << 8);
}

static inline uint32_t pci_get32(const uint8_t *config)
{
    return pci_get16(config) | (uint32_t)pci_get16(config + 2) << 16;
}

static inline void pci_set16(uint8_t *config, uint16_t value)
{
    config[0] = (uint8_t)value;
    config[1] = (uint8_t)(value >> 8);
}

static inline void pci_set32(uint8_t *config, uint32_t value)
{
    pci_set16(config, (uint16_t)value);
    pci_set16(config + 2, (uint16_t)(value >> 16));
}

/* `info pci` in QEMU's shape. */
void pci_print(const struct pci_bus *bus, struct strbuf *text);

#endif
