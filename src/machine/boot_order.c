/* SPDX-License-Identifier: MIT
 *
 * The order in which firmware tries devices: the file `bootorder`, an Open Firmware path a line,
 * lowest bootindex first. Of a disk at unit 0 of the second IDE channel:
 *
 *     /pci@i0cf8/ide@1,1/drive@1/disk@0
 */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "device/fdc.h"
#include "device/fw_cfg.h"
#include "device/ide.h"
#include "device/pci.h"
#include "machine/internal.h"

struct entry {
    int bootindex;
    char *path;
    const char *what; /* for messages */
};

struct entries {
    struct entry *entry;
    size_t count;
};

/* What a property of this name is; -1: the device has none, or none was given. */
static int index_of(const struct device *device, const char *name)
{
    const struct device_property *property = device->class->properties;

    for (; property && property->name; property++) {
        if (!strcmp(property->name, name) && property->type == PROPERTY_I32) {
            return *(const int32_t *)((const char *)device + property->offset);
        }
    }
    return -1;
}

static bool is_pci(const struct device *device)
{
    return device->class->bus && !strcmp(device->class->bus, "PCI");
}

/* The name of a PCI function as the PCI binding to Open Firmware has it, by class. */
static char *pci_node(const struct pci_device *pci)
{
    static const struct {
        uint16_t class;
        const char *name;
    } names[] = {{0x0100, "scsi"},    {0x0101, "ide"}, {0x0102, "fdc"}, {0x0200, "ethernet"},
                 {0x0300, "display"}, {0x0601, "isa"}, {0x0c03, "usb"}};
    unsigned slot = (unsigned)pci->devfn >> 3, function = (unsigned)pci->devfn & 7;
    uint16_t class = pci_get16(pci->config + PCI_CLASS);
    char *name = NULL;

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (names[i].class == class) {
            name = mem_string(names[i].name);
        }
    }
    if (!name) {
        name = mem_format("pci%04x,%04x", pci_get16(pci->config + PCI_VENDOR_ID),
                          pci_get16(pci->config + PCI_DEVICE_ID));
    }
    char *node = function ? mem_format("/pci@i0cf8/%s@%x,%x", name, slot, function)
                          : mem_format("/pci@i0cf8/%s@%x", name, slot);
    free(name);
    return node;
}

static char *path_of(const struct device *device)
{
    if (device->class == &ide_hd_class || device->class == &ide_cd_class) {
        const struct ide_drive *drive = (const struct ide_drive *)device;
        char *node = pci_node((const struct pci_device *)drive->channel->device);
        char *path = mem_format("%s/drive@%x/disk@%x", node, drive->channel->number, drive->unit);
        free(node);
        return path;
    }
    if (!is_pci(device)) {
        return NULL;
    }
    const struct pci_device *pci = (const struct pci_device *)device;
    char *node = pci_node(pci);
    if (pci_get16(pci->config + PCI_CLASS) == 0x0200) {
        char *path = mem_format("%s/ethernet-phy@0", node);
        free(node);
        return path;
    }
    return node;
}

/* --- the list --- */

static void add(struct entries *entries, int bootindex, char *path, const char *what)
{
    entries->entry = mem_resize(entries->entry, entries->count + 1, sizeof *entries->entry);
    entries->entry[entries->count++] = (struct entry){bootindex, path, what};
}

static void add_floppies(struct entries *entries, const struct device *device)
{
    static const char *const names[] = {"bootindexA", "bootindexB"};

    for (unsigned i = 0; i < 2; i++) {
        int bootindex = index_of(device, names[i]);
        if (bootindex >= 0) {
            add(entries, bootindex, mem_format("/pci@i0cf8/isa@1/fdc@03f0/floppy@%u", i),
                device->class->name);
        }
    }
}

static int by_index(const void *a, const void *b)
{
    int first = ((const struct entry *)a)->bootindex, second = ((const struct entry *)b)->bootindex;

    return (first > second) - (first < second);
}

static void collect(const struct machine *machine, struct entries *entries)
{
    for (const struct device *d = device_first(&machine->board); d; d = d->next) {
        int bootindex = index_of(d, "bootindex");
        char *path = bootindex >= 0 ? path_of(d) : NULL;
        if (path) {
            add(entries, bootindex, path, d->class->name);
        }
        if (d->class == &isa_fdc_class) {
            add_floppies(entries, d);
        }
    }
    for (const struct machine_boot_path *p = machine->own->boot_paths; p; p = p->next) {
        add(entries, p->bootindex, mem_string(p->path), p->path);
    }
    if (entries->count) {
        qsort(entries->entry, entries->count, sizeof *entries->entry, by_index);
    }
}

static bool check(const struct entries *entries, struct error *err)
{
    for (size_t i = 1; i < entries->count; i++) {
        if (entries->entry[i].bootindex == entries->entry[i - 1].bootindex) {
            return error_set(err, "The bootindex %d has already been used (by %s and %s)",
                             entries->entry[i].bootindex, entries->entry[i - 1].what,
                             entries->entry[i].what);
        }
    }
    return true;
}

bool machine_boot_order_add(struct machine *machine, struct error *err)
{
    struct entries entries = {NULL, 0};
    struct strbuf text;

    strbuf_init(&text);
    collect(machine, &entries);
    for (size_t i = 0; i < entries.count; i++) {
        strbuf_printf(&text, "%s%s", i ? "\n" : "", entries.entry[i].path);
    }
    if (machine->options->boot_strict) {
        strbuf_printf(&text, "%sHALT", entries.count ? "\n" : "");
    }
    bool good =
        check(&entries, err) && fw_cfg_add_file(machine->devices.fw_cfg, "bootorder", text.data,
                                                text.len ? text.len + 1 : 0, err);
    for (size_t i = 0; i < entries.count; i++) {
        free(entries.entry[i].path);
    }
    free(entries.entry);
    strbuf_free(&text);
    return good;
}

bool machine_add_boot_path(struct machine *machine, int bootindex, const char *path,
                           struct error *err)
{
    if (bootindex < 0) {
        return error_set(err, "The bootindex %d of %s is negative", bootindex, path);
    }
    struct machine_boot_path *row = mem_alloc(sizeof *row);
    *row = (struct machine_boot_path){bootindex, mem_string(path), machine->own->boot_paths};
    machine->own->boot_paths = row;
    return true;
}
