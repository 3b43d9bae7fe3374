/* SPDX-License-Identifier: MIT
 *
 * What is on a PCI bus, for people: `info pci`, and the PCI part of `info qtree`, in QEMU's shapes.
 */
#include <inttypes.h>

#include "device/internal.h"
#include "device/pci.h"

/* Sub-class codes and what they are called (PCI 3.0, appendix D). */
static const struct class_name {
    uint16_t class;
    const char *name;
} class_names[] = {
    {0x0001, "VGA controller"},
    {0x0100, "SCSI controller"},
    {0x0101, "IDE controller"},
    {0x0102, "Floppy controller"},
    {0x0103, "IPI controller"},
    {0x0104, "RAID controller"},
    {0x0106, "SATA controller"},
    {0x0107, "SAS controller"},
    {0x0180, "Storage controller"},
    {0x0200, "Ethernet controller"},
    {0x0201, "Token Ring controller"},
    {0x0202, "FDDI controller"},
    {0x0203, "ATM controller"},
    {0x0280, "Network controller"},
    {0x0300, "VGA controller"},
    {0x0301, "XGA controller"},
    {0x0302, "3D controller"},
    {0x0380, "Display controller"},
    {0x0400, "Video controller"},
    {0x0401, "Audio controller"},
    {0x0403, "Audio controller"},
    {0x0500, "RAM controller"},
    {0x0501, "Flash controller"},
    {0x0600, "Host bridge"},
    {0x0601, "ISA bridge"},
    {0x0602, "EISA bridge"},
    {0x0604, "PCI bridge"},
    {0x0605, "PCMCIA bridge"},
    {0x0680, "Bridge"},
    {0x0700, "Serial port"},
    {0x0701, "Parallel port"},
    {0x0800, "Interrupt controller"},
    {0x0801, "DMA controller"},
    {0x0802, "Timer"},
    {0x0803, "RTC"},
    {0x0900, "Keyboard"},
    {0x0902, "Mouse"},
    {0x0c03, "USB controller"},
    {0x0c05, "SMBus"},
};

static void print_class(const struct pci_device *device, struct strbuf *text)
{
    uint16_t class = pci_get16(device->config + PCI_CLASS);
    for (unsigned i = 0; i < sizeof(class_names) / sizeof(class_names[0]); i++) {
        if (class_names[i].class == class) {
            strbuf_puts(text, class_names[i].name);
            return;
        }
    }
    strbuf_printf(text, "Class %04x", class);
}

/* A region that is not mapped has all ones as its address, and its end wraps around. */
static uint64_t last_of(const struct pci_region *region)
{
    return region->address + region->size - 1;
}

static void print_region(const struct pci_device *device, unsigned number, struct strbuf *text)
{
    const struct pci_region *region = &device->region[number];
    if (region->kind == PCI_REGION_NONE)
        return;
    strbuf_printf(text, "      BAR%u: ", number);
    if (region->kind == PCI_REGION_IO)
        strbuf_printf(text, "I/O at 0x%04" PRIx64 " [0x%04" PRIx64 "].\n", region->address,
                      last_of(region));
    else
        strbuf_printf(text, "%d bit%s memory at 0x%08" PRIx64 " [0x%08" PRIx64 "].\n",
                      region->kind == PCI_REGION_MEMORY_64 ? 64 : 32,
                      region->prefetchable ? " prefetchable" : "", region->address,
                      last_of(region));
}

static void print_function(const struct pci_device *device, struct strbuf *text)
{
    const uint8_t *config = device->config;
    strbuf_printf(text, "  Bus %2d, device %3d, function %d:\n    ", 0, device->devfn >> 3,
                  device->devfn & 7);
    print_class(device, text);
    strbuf_printf(text, ": PCI device %04x:%04x\n", pci_get16(config + PCI_VENDOR_ID),
                  pci_get16(config + PCI_DEVICE_ID));
    strbuf_printf(text, "      PCI subsystem %04x:%04x\n", pci_get16(config + PCI_SUBSYSTEM_VENDOR),
                  pci_get16(config + PCI_SUBSYSTEM));
    if (config[PCI_INTERRUPT_PIN])
        strbuf_printf(text, "      IRQ %d, pin %c\n", config[PCI_INTERRUPT_LINE],
                      'A' + config[PCI_INTERRUPT_PIN] - 1);
    for (unsigned i = 0; i < PCI_REGIONS; i++)
        print_region(device, i, text);
    strbuf_printf(text, "      id \"%s\"\n", device->device.id ? device->device.id : "");
}

void pci_print(const struct pci_bus *bus, struct strbuf *text)
{
    for (unsigned i = 0; i < PCI_DEVICES; i++) {
        if (bus->device[i])
            print_function(bus->device[i], text);
    }
}

void pci_print_device(const struct device *device, unsigned indent, struct strbuf *text)
{
    const struct pci_device *pci = (const void *)device;
    const uint8_t *config = pci->config;
    strbuf_printf(text, "%*sclass ", (int)indent, "");
    print_class(pci, text);
    strbuf_printf(text, ", addr 00:%02x.%x, pci id %04x:%04x (sub %04x:%04x)\n",
                  (unsigned)pci->devfn >> 3, (unsigned)pci->devfn & 7,
                  pci_get16(config + PCI_VENDOR_ID), pci_get16(config + PCI_DEVICE_ID),
                  pci_get16(config + PCI_SUBSYSTEM_VENDOR), pci_get16(config + PCI_SUBSYSTEM));
    for (unsigned i = 0; i < PCI_REGIONS; i++) {
        const struct pci_region *region = &pci->region[i];
        if (region->kind != PCI_REGION_NONE)
            strbuf_printf(text, "%*sbar %u: %s at 0x%" PRIx64 " [0x%" PRIx64 "]\n", (int)indent, "",
                          i, region->kind == PCI_REGION_IO ? "i/o" : "mem", region->address,
                          last_of(region));
    }
}
