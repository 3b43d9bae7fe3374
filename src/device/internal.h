/* SPDX-License-Identifier: MIT
 *
 * What the sources of the device core share; devices do not include it.
 */
#ifndef DEVICE_INTERNAL_H
#define DEVICE_INTERNAL_H

#include <stdio.h>

#include "base/strbuf.h"
#include "device/device.h"

/* What all devices of a bus have beside what their class says. */
struct bus_kind {
    const char *name; /* as device_class.bus */
    const struct device_property *properties;
    const struct device_field *state;
    void (*begin)(struct device *device); /* after the properties have their initial values */
    void (*loaded)(struct device *device);
    void (*print)(const struct device *device, unsigned indent, struct strbuf *text);
};

extern const struct bus_kind pci_bus_kind;

/* The lines of `info qtree` that only PCI devices have. */
void pci_print_device(const struct device *device, unsigned indent, struct strbuf *text);

/* NULL: devices of that bus have nothing in common. */
const struct bus_kind *bus_kind_of(const struct device_class *class);

/* The property of that name, of the class or of its bus; NULL. */
const struct device_property *property_find(const struct device_class *class, const char *name);
/* Row `i` of the class's properties and then its bus's; NULL at the end. */
const struct device_property *property_at(const struct device_class *class, size_t i);

/* The value that a new device has. */
void property_begin(struct device *device, const struct device_property *property);
/* The value of a text. */
bool property_parse(struct device *device, const struct device_property *property, const char *text,
                    struct error *err);
/* What it owns. */
void property_end(struct device *device, const struct device_property *property);
/* As `info qtree` shows it, without its name. */
void property_print(const struct device *device, const struct device_property *property,
                    struct strbuf *text);

static inline void *device_at(const struct device *device, size_t offset)
{
    return (uint8_t *)(uintptr_t)device + offset;
}

#endif
