/* SPDX-License-Identifier: MIT
 *
 * Devices by name: the board's, and those of -device, with -global's properties.
 */
#include <stdlib.h>
#include <string.h>

#include "base/guess.h"
#include "base/memory.h"
#include "base/option.h"
#include "machine/internal.h"

/* --- -global --- */

static bool has_property(const struct device_class *class, const char *name)
{
    const struct device_property *property = class->properties;

    for (; property && property->name; property++) {
        if (!strcmp(property->name, name)) {
            return true;
        }
    }
    return false;
}

static void add_global(struct machine *machine, char *driver, char *property, char *value)
{
    struct machine_global **end = &machine->own->globals;
    struct machine_global *global = mem_alloc(sizeof *global);

    *global = (struct machine_global){driver, property, value, false, NULL};
    while (*end) {
        end = &(*end)->next;
    }
    *end = global;
}

static bool add_global_pairs(struct machine *machine, const char *text, struct error *err)
{
    static const char *const keys[] = {"driver", "property", "value"};
    const char *found[3] = {NULL};
    struct option_list list;

    if (!option_list_parse(&list, text, NULL, err)) {
        return false;
    }
    bool good = true;
    for (size_t i = 0; good && i < list.count; i++) {
        unsigned key = 0;
        while (key < 3 && strcmp(list.pair[i].key, keys[key]) != 0) {
            key++;
        }
        good = key < 3 || error_set(err, "Invalid parameter '%s'", list.pair[i].key);
        if (good) {
            found[key] = list.pair[i].value;
        }
    }
    for (unsigned key = 0; good && key < 3; key++) {
        good = found[key] || error_set(err, "Parameter '%s' is missing", keys[key]);
    }
    if (good) {
        add_global(machine, mem_string(found[0]), mem_string(found[1]), mem_string(found[2]));
    }
    option_list_free(&list);
    return good;
}

bool machine_add_global(struct machine *machine, const char *text, struct error *err)
{
    const char *dot = strchr(text, '.'), *equals = strchr(text, '=');

    if (!strncmp(text, "driver=", 7)) {
        return add_global_pairs(machine, text, err);
    }
    if (!dot || !equals || equals < dot || dot == text || equals == dot + 1) {
        return error_set(err, "'%s' is not of the form DRIVER.PROPERTY=VALUE", text);
    }
    add_global(machine, mem_stringn(text, (size_t)(dot - text)),
               mem_stringn(dot + 1, (size_t)(equals - dot - 1)), mem_string(equals + 1));
    return true;
}

static bool apply_globals(struct machine *machine, struct device *device, struct error *err)
{
    for (struct machine_global *g = machine->own->globals; g; g = g->next) {
        if (strcmp(g->driver, device->class->name) != 0) {
            continue;
        }
        g->used = true;
        if (!device_set(device, g->property, g->value, err)) {
            return error_prefix(err, "-global %s.%s=%s: ", g->driver, g->property, g->value);
        }
    }
    return true;
}

/* What nobody used is odd, and no more. */
void machine_devices_warn(const struct machine *machine)
{
    for (const struct machine_global *g = machine->own->globals; g; g = g->next) {
        const struct device_class *class = device_class_find(g->driver);
        if (g->used) {
            continue;
        }
        if (!class) {
            machine_warn(machine, "warning: global %s.%s has invalid class name", g->driver,
                         g->property);
        } else if (!has_property(class, g->property)) {
            machine_warn(machine, "warning: global %s.%s=%s not used", g->driver, g->property,
                         g->value);
        }
    }
    for (size_t i = 0; i < machine->own->drives; i++) {
        const struct machine_drive *drive = machine->own->drive[i];
        if (drive->options.interface != DRIVE_NONE && !drive->has_device) {
            machine_warn(machine, "warning: %s: no device uses the drive", drive->what);
        }
    }
}

/* --- making --- */

static bool unknown_class(const char *name, struct error *err)
{
    const struct device_class *class;
    const char *best = NULL;
    unsigned nearest = 4;

    for (size_t i = 0; (class = device_class_at(i)); i++) {
        unsigned far = guess_distance(name, strlen(name), class->name, strlen(class->name));
        if (class->by_user && far < nearest && far < strlen(name)) {
            nearest = far;
            best = class->name;
        }
    }
    if (best) {
        return error_set(err, "'%s' is not a valid device model name (did you mean '%s'?)", name,
                         best);
    }
    return error_set(err, "'%s' is not a valid device model name ('-device help' lists them)",
                     name);
}

struct device *machine_begin_device(struct machine *machine, const char *class, struct error *err)
{
    const struct device_class *found = device_class_find(class);

    if (!found) {
        unknown_class(class, err);
        return NULL;
    }
    struct device *device = device_new(found, &machine->board);
    if (!apply_globals(machine, device, err)) {
        device_free(device);
        return NULL;
    }
    return device;
}

bool machine_end_device(struct machine *machine, struct device *device, struct error *err)
{
    return device_realize(device, err) && machine_load_rom(machine, device, err);
}

static bool set_pairs(struct device *device, const struct option_list *list, size_t from,
                      struct error *err)
{
    for (size_t i = from; i < list->count; i++) {
        const char *value = list->pair[i].value;
        if (!strcmp(list->pair[i].key, "driver")) {
            continue;
        }
        if (!device_set(device, list->pair[i].key, value ? value : "on", err)) {
            return false;
        }
    }
    return true;
}

struct device *machine_make_device(struct machine *machine, const char *class, const char *id,
                                   const char *properties, struct error *err)
{
    struct device *device = machine_begin_device(machine, class, err);
    struct option_list list = {NULL, 0};

    if (!device) {
        return NULL;
    }
    bool good = (!properties || option_list_parse(&list, properties, NULL, err)) &&
                (!id || device_set(device, "id", id, err)) && set_pairs(device, &list, 0, err);
    if (properties && list.pair) {
        option_list_free(&list);
    }
    if (!good) {
        device_free(device);
        return NULL;
    }
    return machine_end_device(machine, device, err) ? device : NULL;
}

/* --- -device --- */

static const char *driver_of(const struct option_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        if (!strcmp(list->pair[i].key, "driver")) {
            return list->pair[i].value;
        }
    }
    return NULL;
}

bool machine_add_device(struct machine *machine, const char *text, struct error *err)
{
    struct machine_text **end = &machine->own->device_texts;
    struct option_list list;

    if (!option_list_parse(&list, text, "driver", err)) {
        return false;
    }
    const char *driver = driver_of(&list);
    const struct device_class *class = driver ? device_class_find(driver) : NULL;
    bool good = true;
    if (!driver) {
        good = error_set(err, "Parameter 'driver' is missing");
    } else if (!class) {
        good = unknown_class(driver, err);
    } else if (!class->by_user) {
        good = error_set(err, "'%s' is a part of the board: it cannot be added", driver);
    }
    option_list_free(&list);
    if (!good) {
        return false;
    }
    while (*end) {
        end = &(*end)->next;
    }
    *end = mem_alloc(sizeof **end);
    (*end)->text = mem_string(text);
    return true;
}

bool machine_devices_name(const struct machine *machine, const char *class)
{
    size_t length = strlen(class);

    for (const struct machine_text *t = machine->own->device_texts; t; t = t->next) {
        const char *name = !strncmp(t->text, "driver=", 7) ? t->text + 7 : t->text;
        if (!strncmp(name, class, length) && (!name[length] || name[length] == ',')) {
            return true;
        }
    }
    return false;
}

static void mark_drive(struct machine *machine, const struct option_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        for (size_t j = 0; j < machine->own->drives; j++) {
            struct machine_drive *drive = machine->own->drive[j];
            if (!strncmp(list->pair[i].key, "drive", 5) && list->pair[i].value &&
                !strcmp(list->pair[i].value, drive->options.id)) {
                drive->has_device = true;
            }
        }
    }
}

static bool make_one(struct machine *machine, const char *text, struct error *err)
{
    struct option_list list;

    if (!option_list_parse(&list, text, "driver", err)) {
        return false;
    }
    struct device *device = machine_begin_device(machine, driver_of(&list), err);
    bool good = device;
    if (device && !set_pairs(device, &list, 0, err)) {
        device_free(device);
        good = false;
    }
    mark_drive(machine, &list);
    option_list_free(&list);
    return good && machine_end_device(machine, device, err);
}

bool machine_devices_make(struct machine *machine, struct error *err)
{
    for (const struct machine_text *t = machine->own->device_texts; t; t = t->next) {
        if (!make_one(machine, t->text, err)) {
            return error_prefix(err, "-device %s: ", t->text);
        }
    }
    return true;
}

void machine_devices_free(struct machine *machine)
{
    struct machine_private *own = machine->own;

    for (struct machine_text *t = own->device_texts; t;) {
        struct machine_text *next = t->next;
        free(t->text);
        free(t);
        t = next;
    }
    for (struct machine_global *g = own->globals; g;) {
        struct machine_global *next = g->next;
        free(g->driver);
        free(g->property);
        free(g->value);
        free(g);
        g = next;
    }
}
