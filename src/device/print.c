/* SPDX-License-Identifier: MIT
 *
 * Devices for people: the tree of buses and devices (`info qtree`) and the list of classes
 * (`-device help`), in QEMU's shapes.
 */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "device/internal.h"

/* --- the tree --- */

static const char main_bus[] = "main-system-bus", main_type[] = "System";

/* The bus a device is on: the named one, or the first of its type, else the main one. */
static const struct device_bus *bus_of(const struct device *device, const struct device **owner)
{
    for (const struct device *on = device->board->devices; on; on = on->next) {
        for (const struct device_bus *bus = on->class->buses; bus && bus->name; bus++) {
            bool named = device->bus && strcmp(device->bus, bus->name) == 0;
            bool first =
                !device->bus && device->class->bus && strcmp(bus->type, device->class->bus) == 0;
            if ((named || first) && on != device) {
                *owner = on;
                return bus;
            }
        }
    }
    *owner = NULL;
    return NULL;
}

static void indent_by(struct strbuf *text, unsigned indent)
{
    strbuf_printf(text, "%*s", (int)indent, "");
}

struct tree {
    const struct board *board;
    struct strbuf *text;
};

static void print_bus(const struct tree *tree, const struct device *owner,
                      const struct device_bus *bus, unsigned indent);

static void print_device(const struct tree *tree, const struct device *device, unsigned indent)
{
    struct strbuf *text = tree->text;
    indent_by(text, indent);
    strbuf_printf(text, "dev: %s, id \"%s\"\n", device->class->name, device->id ? device->id : "");
    indent += 2;
    const struct device_property *property;
    for (size_t i = 0; (property = property_at(device->class, i)); i++) {
        indent_by(text, indent);
        strbuf_printf(text, "%s = ", property->name);
        property_print(device, property, text);
        strbuf_putc(text, '\n');
    }
    const struct bus_kind *kind = bus_kind_of(device->class);
    if (kind && kind->print)
        kind->print(device, indent, text);
    for (const struct device_bus *bus = device->class->buses; bus && bus->name; bus++)
        print_bus(tree, device, bus, indent);
}

/* As QEMU: the device made last is the first. `owner` NULL: the main bus. */
static void print_bus(const struct tree *tree, const struct device *owner,
                      const struct device_bus *bus, unsigned indent)
{
    indent_by(tree->text, indent);
    strbuf_printf(tree->text, "bus: %s\n", bus ? bus->name : main_bus);
    indent_by(tree->text, indent + 2);
    strbuf_printf(tree->text, "type %s\n", bus ? bus->type : main_type);
    size_t count = 0, i = 0;
    for (const struct device *device = tree->board->devices; device; device = device->next)
        count++;
    const struct device **all = mem_alloc((count + 1) * sizeof(*all));
    for (const struct device *device = tree->board->devices; device; device = device->next)
        all[i++] = device;
    while (i-- > 0) {
        const struct device *its_owner;
        const struct device_bus *its_bus = bus_of(all[i], &its_owner);
        if (its_owner == owner && its_bus == bus)
            print_device(tree, all[i], indent + 2);
    }
    free(all);
}

void device_print_tree(const struct board *board, struct strbuf *text)
{
    struct tree tree = {board, text};
    print_bus(&tree, NULL, NULL, 0);
}

/* --- classes --- */

/* In this order; what is none of them is uncategorized. */
static const struct category {
    const char *name, *title;
} categories[] = {
    {"Bridge", "Controller/Bridge/Hub"},
    {"USB", "USB"},
    {"Storage", "Storage"},
    {"Network", "Network"},
    {"Input", "Input"},
    {"Display", "Display"},
    {"Sound", "Sound"},
    {"Misc", "Misc"},
    {"CPU", "CPU"},
    {"Watchdog", "Watchdog"},
    {NULL, "Uncategorized"},
};

enum { CATEGORIES = sizeof(categories) / sizeof(categories[0]) };

static unsigned category_of(const struct device_class *class)
{
    unsigned i = 0;
    while (categories[i].name && (!class->category || strcmp(categories[i].name, class->category)))
        i++;
    return i;
}

static int by_class_name(const void *a, const void *b)
{
    return strcmp((*(const struct device_class *const *)a)->name,
                  (*(const struct device_class *const *)b)->name);
}

static void print_class(const struct device_class *class, struct strbuf *text)
{
    strbuf_printf(text, "name \"%s\"", class->name);
    if (class->bus)
        strbuf_printf(text, ", bus %s", class->bus);
    if (class->help)
        strbuf_printf(text, ", desc \"%s\"", class->help);
    strbuf_putc(text, '\n');
}

void device_print_classes(struct strbuf *text)
{
    size_t count = 0;
    while (device_class_at(count))
        count++;
    const struct device_class **sorted = mem_alloc((count + 1) * sizeof(*sorted));
    for (size_t i = 0; i < count; i++)
        sorted[i] = device_class_at(i);
    qsort(sorted, count, sizeof(*sorted), by_class_name);
    bool any = false;
    for (unsigned category = 0; category < CATEGORIES; category++) {
        bool titled = false;
        for (size_t i = 0; i < count; i++) {
            if (!sorted[i]->by_user || category_of(sorted[i]) != category)
                continue;
            if (!titled)
                strbuf_printf(text, "%s%s devices:\n", any ? "\n" : "", categories[category].title);
            titled = any = true;
            print_class(sorted[i], text);
        }
    }
    free(sorted);
}
