/* SPDX-License-Identifier: MIT
 *
 * Classes and devices: finding, making, realizing and freeing.
 */
#include "device/device.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/guess.h"
#include "base/log.h"
#include "base/logitems.h"
#include "base/memory.h"
#include "device/internal.h"

/* The linker's names for both ends of the section. A program without a device has none: weak. */
extern const struct device_class *const __start_vitrine_devices[] __attribute__((weak));
extern const struct device_class *const __stop_vitrine_devices[] __attribute__((weak));

const struct device_class *device_class_at(size_t i)
{
    const struct device_class *const *row = __start_vitrine_devices;
    const struct device_class *const *end = __stop_vitrine_devices;
    if (!row || i >= (size_t)(end - row))
        return NULL;
    return row[i];
}

const struct device_class *device_class_find(const char *name)
{
    const struct device_class *class;
    for (size_t i = 0; (class = device_class_at(i)); i++) {
        if (strcmp(class->name, name) == 0)
            return class;
    }
    return NULL;
}

const struct bus_kind *bus_kind_of(const struct device_class *class)
{
    return class->bus && strcmp(class->bus, pci_bus_kind.name) == 0 ? &pci_bus_kind : NULL;
}

/* --- making --- */

struct device *device_new(const struct device_class *class, struct board *board)
{
    struct device *device = mem_alloc(class->size);
    device->class = class;
    device->board = board;
    const struct device_property *property;
    for (size_t i = 0; (property = property_at(class, i)); i++)
        property_begin(device, property);
    const struct bus_kind *kind = bus_kind_of(class);
    if (kind && kind->begin)
        kind->begin(device);
    return device;
}

/* Two properties of one name would be one with two values; the class's own wins. */
const struct device_property *property_find(const struct device_class *class, const char *name)
{
    const struct device_property *property;
    for (size_t i = 0; (property = property_at(class, i)); i++) {
        if (strcmp(property->name, name) == 0)
            return property;
    }
    return NULL;
}

static bool no_property(const struct device_class *class, const char *name, struct error *err)
{
    const char *best = NULL;
    unsigned nearest = 4;
    const struct device_property *property;
    for (size_t i = 0; (property = property_at(class, i)); i++) {
        unsigned far = guess_distance(name, strlen(name), property->name, strlen(property->name));
        if (far < nearest && far < strlen(property->name)) {
            nearest = far;
            best = property->name;
        }
    }
    if (best)
        return error_set(err, "Property '%s.%s' not found (did you mean '%s'?)", class->name, name,
                         best);
    if (!property_at(class, 0))
        return error_set(err, "Property '%s.%s' not found; the device has none", class->name, name);
    return error_set(err, "Property '%s.%s' not found; '-device %s,help' lists them", class->name,
                     name, class->name);
}

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

static bool id_is_good(const char *id)
{
    return strspn(id, LETTERS) > 0 && id[strspn(id, LETTERS "0123456789-._")] == '\0';
}

bool device_set(struct device *device, const char *name, const char *value, struct error *err)
{
    if (device->realized)
        return error_set(err, "Property '%s.%s' can be set only before the machine begins",
                         device->class->name, name);
    if (strcmp(name, "id") == 0) {
        if (!id_is_good(value))
            return error_set(err,
                             "Parameter 'id' expects an identifier: letters, digits, '-', '.', "
                             "'_', starting with a letter");
        free(device->id);
        device->id = mem_string(value);
        return true;
    }
    const struct device_property *property = property_find(device->class, name);
    if (property)
        return property_parse(device, property, value, err);
    if (strcmp(name, "bus") == 0) {
        free(device->bus);
        device->bus = mem_string(value);
        return true;
    }
    return no_property(device->class, name, err);
}

void device_set_pointer(struct device *device, const char *name, void *value)
{
    const struct device_property *property = property_find(device->class, name);
    if (!property || property->type < PROPERTY_CHARDEV)
        bug("device %s has no back end called %s", device->class->name, name);
    *(void **)device_at(device, property->offset) = value;
}

/* --- on the board --- */

static void put_on_board(struct device *device)
{
    struct device **end = &device->board->devices;
    while (*end)
        end = &(*end)->next;
    *end = device;
}

static void take_off_board(struct device *device)
{
    for (struct device **at = &device->board->devices; *at; at = &(*at)->next) {
        if (*at == device) {
            *at = device->next;
            return;
        }
    }
}

/* A bus of the class's type must be there, and the named one of that type. */
static bool check_bus(const struct device *device, struct error *err)
{
    const struct board *board = device->board;
    const char *type = device->class->bus ? device->class->bus : "System";
    if ((strcmp(type, "ISA") == 0 && !board->isa) || (strcmp(type, "PCI") == 0 && !board->pci))
        return error_set(err, "No '%s' bus found for device '%s'", type, device->class->name);
    if (!device->bus)
        return true;
    for (const struct device *on = board->devices; on; on = on->next) {
        for (const struct device_bus *bus = on->class->buses; bus && bus->name; bus++) {
            if (strcmp(bus->name, device->bus) != 0)
                continue;
            if (strcmp(bus->type, type) == 0)
                return true;
            return error_set(err, "Device '%s' can't go on %s bus", device->class->name, bus->type);
        }
    }
    return error_set(err, "Bus '%s' not found", device->bus);
}

static bool check_id(const struct device *device, struct error *err)
{
    for (const struct device *on = device->board->devices; device->id && on; on = on->next) {
        if (on->id && strcmp(on->id, device->id) == 0)
            return error_set(err, "Duplicate device ID '%s'", device->id);
    }
    return true;
}

static void end_device(struct device *device)
{
    const struct device_property *property;
    for (size_t i = 0; (property = property_at(device->class, i)); i++)
        property_end(device, property);
    free(device->id);
    free(device->bus);
    free(device);
}

bool device_realize(struct device *device, struct error *err)
{
    if (!check_id(device, err) || !check_bus(device, err)) {
        end_device(device);
        return false;
    }
    put_on_board(device);
    if (device->class->realize && !device->class->realize(device, err)) {
        take_off_board(device);
        if (device->class->free)
            device->class->free(device);
        end_device(device);
        return false;
    }
    device->realized = true;
    return true;
}

void device_free(struct device *device)
{
    if (!device)
        return;
    if (device->realized) {
        take_off_board(device);
        if (device->class->free)
            device->class->free(device);
    }
    end_device(device);
}

struct device *device_first(const struct board *board)
{
    return board->devices;
}

void device_reset_all(struct board *board)
{
    for (struct device *device = board->devices; device; device = device->next) {
        if (device->class->reset)
            device->class->reset(device);
    }
}

/* The last made first, since later ones hold on to earlier ones. */
void device_free_all(struct board *board)
{
    while (board->devices) {
        struct device *last = board->devices;
        while (last->next)
            last = last->next;
        device_free(last);
    }
}

/* --- messages --- */

static void message(const struct device *device, enum log_item item, const char *format,
                    va_list arguments)
{
    char line[256], words[200];
    if (!log_item_on(item))
        return;
    vsnprintf(words, sizeof(words), format, arguments);
    snprintf(line, sizeof(line), "%s: %s\n", device->class->name, words);
    log_text(line, strlen(line));
}

void device_guest_error(const struct device *device, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    message(device, LOG_GUEST_ERRORS, format, arguments);
    va_end(arguments);
}

void device_unimp(const struct device *device, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    message(device, LOG_UNIMP, format, arguments);
    va_end(arguments);
}
