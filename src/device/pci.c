/* SPDX-License-Identifier: MIT
 *
 * The PCI bus: places of devices, configuration space, base address registers, pins.
 *
 * What the guest may change of the configuration is a mask (`writable`); everything else of the
 * header is made by pci_device_init(). Where regions are seen follows from the base address
 * registers and the command register, after each write (PCI 3.0, 6.2.2 and 6.2.5).
 */
#include "device/pci.h"

#include <inttypes.h>
#include <string.h>

#include "base/memory.h"
#include "device/internal.h"
#include "trace-device.h"

enum {
    COMMAND_WRITABLE = 0x0507,  /* I/O, memory, master, SERR#, INTx off */
    STATUS_CLEARABLE = 0xf900,  /* errors: written 1, they go */
    STATUS_INTERRUPT = 0x08,    /* the pin's level */
    STATUS_CAPABILITIES = 0x10, /* there is a list */
    HEADER_MULTIFUNCTION = 0x80,
    BAR_IO = 1,
    BAR_64 = 4,
    BAR_PREFETCHABLE = 8,
    ROM_ENABLE = 1,
    ROM_MIN = 0x800, /* the smallest that the register can say */
    ROM_MAX = 16 << 20,
    BAR_PRIORITY = 1, /* above what the board has put there */
};

static const uint64_t not_mapped = UINT64_MAX;

static struct pci_device *pci_of(const struct device *device)
{
    return (struct pci_device *)(uintptr_t)device;
}

static const struct pci_class *class_of(const struct pci_device *device)
{
    return device->device.class->bus_class;
}

/* --- the bus --- */

void pci_bus_init(struct pci_bus *bus, const char *name, struct board *board,
                  struct mem_region *memory, struct mem_region *ports)
{
    memset(bus, 0, sizeof(*bus));
    bus->name = name;
    bus->board = board;
    bus->memory = memory;
    bus->ports = ports;
}

static bool place(struct pci_device *device, struct error *err)
{
    struct pci_bus *bus = device->bus;
    const char *name = device->device.class->name;
    for (int32_t devfn = 0; device->devfn < 0 && devfn < PCI_DEVICES; devfn += 8) {
        if (!bus->device[devfn])
            device->devfn = devfn;
    }
    if (device->devfn < 0)
        return error_set(err, "PCI: no slot/function available for %s, all in use or reserved",
                         name);
    const struct pci_device *there = bus->device[device->devfn];
    if (there) {
        const char *id = there->device.id;
        return error_set(err, "PCI: slot %d function %d not available for %s, in use by %s,id=%s",
                         device->devfn >> 3, device->devfn & 7, name, there->device.class->name,
                         id ? id : "(null)");
    }
    const struct pci_device *first = bus->device[device->devfn & ~7];
    if ((device->devfn & 7) && first && !first->multifunction)
        return error_set(err,
                         "PCI: single function device can't be populated in function %x.%x "
                         "(multifunction=on for %s makes it possible)",
                         device->devfn >> 3, device->devfn & 7, first->device.class->name);
    bus->device[device->devfn] = device;
    return true;
}

static void fill_in_header(struct pci_device *device)
{
    const struct pci_class *class = class_of(device);
    uint8_t *config = device->config;
    pci_set16(config + PCI_VENDOR_ID, class->vendor);
    pci_set16(config + PCI_DEVICE_ID, class->device);
    pci_set16(config + PCI_CLASS, class->class);
    config[PCI_REVISION] = class->revision;
    config[PCI_PROGRAMMING_INTERFACE] = class->interface;
    config[PCI_HEADER_TYPE] = device->multifunction ? HEADER_MULTIFUNCTION : 0;
    bool own = class->subsystem_vendor || class->subsystem;
    pci_set16(config + PCI_SUBSYSTEM_VENDOR, own ? class->subsystem_vendor : 0x1af4);
    pci_set16(config + PCI_SUBSYSTEM, own ? class->subsystem : 0x1100);
    config[PCI_INTERRUPT_PIN] = class->pin;
    pci_set16(device->writable + PCI_COMMAND, COMMAND_WRITABLE);
    pci_set16(device->write_one_clears + PCI_STATUS, STATUS_CLEARABLE);
    device->writable[PCI_CACHE_LINE] = 0xff;
    device->writable[PCI_INTERRUPT_LINE] = 0xff;
}

bool pci_device_init(struct pci_device *device, struct error *err)
{
    device->bus = device->device.board->pci;
    for (unsigned i = 0; i < PCI_REGIONS; i++)
        device->region[i].address = not_mapped;
    if (!place(device, err))
        return false;
    fill_in_header(device);
    return true;
}

/* --- where regions are seen --- */

static unsigned bar_offset(unsigned number)
{
    return number == PCI_ROM ? PCI_ROM_BASE : PCI_BAR0 + number * 4;
}

/* What the register and the command register say: an address, or not_mapped. The value that sizing
 * leaves (all ones) and 0 are nowhere. */
static uint64_t wanted_address(const struct pci_device *device, unsigned number)
{
    const struct pci_region *region = &device->region[number];
    const uint8_t *at = device->config + bar_offset(number);
    uint16_t command = pci_get16(device->config + PCI_COMMAND);
    uint64_t address = pci_get32(at), last_of_all = UINT32_MAX;
    switch (region->kind) {
    case PCI_REGION_IO:
        if (!(command & PCI_COMMAND_IO))
            return not_mapped;
        last_of_all = 0xffff;
        break;
    case PCI_REGION_MEMORY_64:
        address |= (uint64_t)pci_get32(at + 4) << 32;
        last_of_all = UINT64_MAX;
        /* fall through */
    case PCI_REGION_MEMORY:
        if (!(command & PCI_COMMAND_MEMORY) ||
            (number == PCI_ROM && (!(address & ROM_ENABLE) || !device->rombar)))
            return not_mapped;
        break;
    case PCI_REGION_NONE: return not_mapped;
    }
    address &= ~(region->size - 1);
    uint64_t last = address + region->size - 1;
    if (address == 0 || last < address || last > last_of_all ||
        (region->kind != PCI_REGION_IO && (last == UINT32_MAX || last == UINT64_MAX)))
        return not_mapped;
    return address;
}

static void begin_changes(struct pci_bus *bus)
{
    mem_begin(bus->memory);
    mem_begin(bus->ports);
}

static void end_changes(struct pci_bus *bus)
{
    mem_commit(bus->ports);
    mem_commit(bus->memory);
}

static void show_region(struct pci_device *device, unsigned number, uint64_t address)
{
    struct pci_region *region = &device->region[number];
    const char *name = device->device.class->name;
    unsigned slot = (unsigned)device->devfn >> 3, function = (unsigned)device->devfn & 7;
    if (region->address == address)
        return;
    if (region->address != not_mapped) {
        trace_pci_update_mappings_del(name, 0, slot, function, (int)number, region->address,
                                      region->size);
        mem_remove(region->region);
    }
    region->address = address;
    if (address != not_mapped) {
        trace_pci_update_mappings_add(name, 0, slot, function, (int)number, address, region->size);
        mem_add(region->kind == PCI_REGION_IO ? device->bus->ports : device->bus->memory,
                region->region, address, BAR_PRIORITY);
    }
}

static void update_regions(struct pci_device *device)
{
    begin_changes(device->bus);
    for (unsigned i = 0; i < PCI_REGIONS; i++)
        show_region(device, i, wanted_address(device, i));
    end_changes(device->bus);
}

void pci_add_bar(struct pci_device *device, unsigned number, enum pci_region_kind kind,
                 bool prefetchable, struct mem_region *region)
{
    uint64_t size = region->size;
    uint64_t least = kind == PCI_REGION_IO ? 4 : 16;
    if (number >= PCI_BARS + (kind == PCI_REGION_MEMORY) || size < least || (size & (size - 1)) ||
        (kind == PCI_REGION_MEMORY_64 && number == PCI_BARS - 1))
        bug("BAR %u of %s: kind %d, size 0x%" PRIx64, number, device->device.class->name, kind,
            size);
    device->region[number] = (struct pci_region){kind, prefetchable, size, region, not_mapped};
    uint8_t *at = device->config + bar_offset(number);
    uint8_t *mask = device->writable + bar_offset(number);
    uint64_t writable = ~(size - 1);
    if (number == PCI_ROM)
        writable |= ROM_ENABLE;
    else
        at[0] = (uint8_t)((kind == PCI_REGION_IO ? BAR_IO : 0) |
                          (kind == PCI_REGION_MEMORY_64 ? BAR_64 : 0) |
                          (prefetchable ? BAR_PREFETCHABLE : 0));
    pci_set32(mask, (uint32_t)writable);
    if (kind == PCI_REGION_MEMORY_64)
        pci_set32(mask + 4, (uint32_t)(writable >> 32));
}

bool pci_add_rom(struct pci_device *device, const void *bytes, size_t size, struct error *err)
{
    const char *name = device->device.class->name;
    if (size == 0 || size > ROM_MAX)
        return error_set(err, "ROM of device %s: %zu bytes, and 1 to %d are possible", name, size,
                         ROM_MAX);
    if (device->region[PCI_ROM].kind != PCI_REGION_NONE)
        return error_set(err, "device %s has its ROM already", name);
    uint64_t whole = ROM_MIN;
    while (whole < size)
        whole *= 2;
    if (!mem_init_rom(&device->rom, name, whole, err))
        return false;
    memcpy(mem_host(&device->rom), bytes, size);
    pci_add_bar(device, PCI_ROM, PCI_REGION_MEMORY, false, &device->rom);
    return true;
}

unsigned pci_add_capability(struct pci_device *device, uint8_t id, unsigned size)
{
    enum { FIRST = 0x40 };
    uint8_t *config = device->config;
    bool used[PCI_CONFIG_SIZE] = {false};
    /* What devices keep for themselves is marked by a mask or a value. */
    for (unsigned i = FIRST; i < PCI_CONFIG_SIZE; i++)
        used[i] = config[i] || device->writable[i] || device->write_one_clears[i];
    unsigned at = device->capability_end > FIRST ? (device->capability_end + 3) & ~3u : FIRST;
    for (; at + size <= PCI_CONFIG_SIZE; at += 4) {
        if (memchr(used + at, true, size))
            continue;
        device->capability_end = at + size;
        config[at] = id;
        config[at + 1] = config[PCI_CAPABILITIES];
        config[PCI_CAPABILITIES] = (uint8_t)at;
        config[PCI_STATUS] |= STATUS_CAPABILITIES;
        return at;
    }
    bug("no room for capability 0x%x of %u bytes in the configuration of %s", id, size,
        device->device.class->name);
}

/* --- interrupts --- */

static bool drives_pin(const struct pci_device *device, unsigned pin)
{
    return device && device->pin_level && device->config[PCI_INTERRUPT_PIN] == pin + 1 &&
           !(pci_get16(device->config + PCI_COMMAND) & PCI_COMMAND_INTX_OFF);
}

/* The functions of a slot share its four pins: one is up while any of them drives it. */
static void update_pin(struct pci_device *device)
{
    unsigned pin = device->config[PCI_INTERRUPT_PIN] - 1u, slot = (unsigned)device->devfn >> 3;
    struct pci_bus *bus = device->bus;
    if (pin >= PCI_PINS || !bus->set_pin)
        return;
    bool level = false;
    for (unsigned function = 0; function < 8; function++)
        level |= drives_pin(bus->device[slot << 3 | function], pin);
    bus->set_pin(bus->opaque, slot, pin, level);
}

void pci_set_irq(struct pci_device *device, bool level)
{
    if (device->pin_level == level)
        return;
    device->pin_level = level;
    if (level)
        device->config[PCI_STATUS] |= STATUS_INTERRUPT;
    else
        device->config[PCI_STATUS] &= (uint8_t)~STATUS_INTERRUPT;
    update_pin(device);
}

/* --- configuration space --- */

static struct pci_device *find(struct pci_bus *bus, unsigned number, unsigned devfn)
{
    return number == 0 && devfn < PCI_DEVICES ? bus->device[devfn] : NULL;
}

static bool access_is_good(unsigned offset, unsigned size)
{
    return (size == 1 || size == 2 || size == 4) && (offset & 3) + size <= 4 &&
           offset < PCI_CONFIG_SIZE;
}

uint32_t pci_config_read(struct pci_bus *bus, unsigned number, unsigned devfn, unsigned offset,
                         unsigned size)
{
    const struct pci_device *device = find(bus, number, devfn);
    if (!device || !access_is_good(offset, size))
        return size < 4 ? (1u << size * 8) - 1 : UINT32_MAX;
    uint32_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint32_t)device->config[offset + i] << i * 8;
    trace_pci_cfg_read(device->device.class->name, number, devfn >> 3, devfn & 7, offset, value);
    return value;
}

static bool touches(unsigned offset, unsigned size, unsigned first, unsigned last)
{
    return offset <= last && offset + size > first;
}

void pci_config_write(struct pci_bus *bus, unsigned number, unsigned devfn, unsigned offset,
                      uint32_t value, unsigned size)
{
    struct pci_device *device = find(bus, number, devfn);
    if (!device || !access_is_good(offset, size))
        return;
    trace_pci_cfg_write(device->device.class->name, number, devfn >> 3, devfn & 7, offset, value);
    for (unsigned i = 0; i < size; i++) {
        unsigned at = offset + i;
        uint8_t byte = (uint8_t)(value >> i * 8), mask = device->writable[at];
        device->config[at] = (uint8_t)((device->config[at] & ~mask) | (byte & mask));
        device->config[at] &= (uint8_t) ~(byte & device->write_one_clears[at]);
    }
    if (touches(offset, size, PCI_BAR0, PCI_BAR0 + PCI_BARS * 4 - 1) ||
        touches(offset, size, PCI_ROM_BASE, PCI_ROM_BASE + 3) ||
        touches(offset, size, PCI_COMMAND, PCI_COMMAND + 1))
        update_regions(device);
    if (touches(offset, size, PCI_COMMAND, PCI_COMMAND + 1))
        update_pin(device);
    if (class_of(device)->config_written)
        class_of(device)->config_written(device, offset, size);
}

/* --- reset, end, state --- */

void pci_device_reset(struct pci_device *device)
{
    uint8_t *config = device->config;
    pci_set_irq(device, false);
    pci_set16(config + PCI_COMMAND, 0);
    pci_set16(config + PCI_STATUS,
              (uint16_t)(pci_get16(config + PCI_STATUS) & ~(STATUS_CLEARABLE | STATUS_INTERRUPT)));
    config[PCI_CACHE_LINE] = 0;
    config[PCI_INTERRUPT_LINE] = 0;
    for (unsigned i = 0; i < PCI_REGIONS; i++) {
        if (device->region[i].kind == PCI_REGION_NONE)
            continue;
        uint8_t *at = config + bar_offset(i), *mask = device->writable + bar_offset(i);
        pci_set32(at, pci_get32(at) & ~pci_get32(mask));
        if (device->region[i].kind == PCI_REGION_MEMORY_64)
            pci_set32(at + 4, 0);
    }
    update_regions(device);
}

void pci_device_free(struct pci_device *device)
{
    struct pci_bus *bus = device->bus;
    if (!bus || device->devfn < 0 || bus->device[device->devfn] != device)
        return;
    pci_set_irq(device, false);
    begin_changes(bus);
    for (unsigned i = 0; i < PCI_REGIONS; i++)
        show_region(device, i, not_mapped);
    end_changes(bus);
    mem_free(&device->rom);
    bus->device[device->devfn] = NULL;
}

void pci_device_loaded(struct pci_device *device)
{
    update_regions(device);
}

static void state_loaded(struct device *device)
{
    pci_device_loaded(pci_of(device));
}

static void begin(struct device *device)
{
    struct pci_device *pci = pci_of(device);
    pci->romfile = mem_string(class_of(pci)->rom);
    pci->multifunction = class_of(pci)->multifunction;
}

static const struct device_property pci_properties[] = {
    {"addr", PROPERTY_DEVFN, offsetof(struct pci_device, devfn), (uint64_t)-1, NULL, NULL,
     "Slot and optional function number, example: 06.0 or 06"},
    {"romfile", PROPERTY_STRING, offsetof(struct pci_device, romfile), 0, NULL, NULL, NULL},
    {"rombar", PROPERTY_U32, offsetof(struct pci_device, rombar), 1, NULL, NULL, NULL},
    {"multifunction", PROPERTY_BOOL, offsetof(struct pci_device, multifunction), 0, NULL, NULL,
     "on/off"},
    {NULL, PROPERTY_BOOL, 0, 0, NULL, NULL, NULL},
};

static const struct device_field pci_fields[] = {
    FIELD_ARRAY(struct pci_device, config, FIELD_U8),
    FIELD(struct pci_device, pin_level, FIELD_BOOL),
    FIELD_END,
};

const struct bus_kind pci_bus_kind = {
    .name = "PCI",
    .properties = pci_properties,
    .state = pci_fields,
    .begin = begin,
    .loaded = state_loaded,
    .print = pci_print_device,
};
