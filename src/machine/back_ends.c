/* SPDX-License-Identifier: MIT
 *
 * What devices name by id: drives, character back ends, networks.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "machine/internal.h"
#include "net/net.h"

void *machine_back_end(struct board *board, enum property_type type, const char *id)
{
    struct machine *machine = board->opaque;

    switch (type) {
    case PROPERTY_CHARDEV: return chardev_find(machine->chardevs, id);
    case PROPERTY_DRIVE: return machine_find_drive(machine, id);
    case PROPERTY_NETDEV: return net_find(machine->nets, id);
    default: return NULL;
    }
}

const char *machine_back_end_id(struct board *board, enum property_type type, const void *back_end)
{
    (void)board;
    switch (type) {
    case PROPERTY_CHARDEV: return chardev_id(back_end);
    case PROPERTY_DRIVE: return drive_id(back_end);
    case PROPERTY_NETDEV: return net_name(back_end);
    default: return NULL;
    }
}

/* --- drives --- */

bool machine_add_drive(struct machine *machine, struct drive_options *options, const char *what,
                       struct error *err)
{
    struct machine_private *own = machine->own;
    const struct drive_options **others = mem_alloc((own->drives + 1) * sizeof *others);

    for (size_t i = 0; i < own->drives; i++) {
        others[i] = &own->drive[i]->options;
    }
    bool good = drive_options_place(options, others, own->drives, err);
    free(others);
    if (!good) {
        return error_prefix(err, "%s: ", what);
    }
    own->drive = mem_resize(own->drive, own->drives + 1, sizeof(struct machine_drive *));
    struct machine_drive *drive = own->drive[own->drives++] = mem_alloc(sizeof *drive);
    drive->options = *options;
    drive->what = mem_string(what);
    *options = (struct drive_options){0};
    return true;
}

struct drive *machine_find_drive(const struct machine *machine, const char *id)
{
    for (size_t i = 0; i < machine->drives; i++) {
        if (!strcmp(drive_id(machine->drive[i]), id)) {
            return machine->drive[i];
        }
    }
    return NULL;
}

struct machine_drive *machine_drive_at(const struct machine *machine,
                                       enum drive_interface interface, unsigned bus, unsigned unit)
{
    for (size_t i = 0; i < machine->own->drives; i++) {
        struct machine_drive *drive = machine->own->drive[i];
        if (drive->options.interface == interface && drive->options.bus == bus &&
            drive->options.unit == unit) {
            return drive;
        }
    }
    return NULL;
}

/* The empty CD-ROM and floppy drive that a PC has. */
static bool add_empty(struct machine *machine, enum drive_interface interface,
                      enum drive_media media, unsigned index, struct error *err)
{
    struct drive_options options = {0};
    unsigned units = drive_interface_units(interface);

    if (machine_drive_at(machine, interface, units ? index / units : 0,
                         units ? index % units : index)) {
        return true;
    }
    drive_options_file(&options, NULL, interface, media, index);
    bool good = machine_add_drive(machine, &options, "the default drive", err);
    drive_options_free(&options);
    return good;
}

static bool add_default_drives(struct machine *machine, struct error *err)
{
    enum { CDROM_INDEX = 2 };

    if (machine->options->no_default_devices) {
        return true;
    }
    if (!machine_devices_name(machine, "ide-cd") && !machine_devices_name(machine, "ide-hd") &&
        !add_empty(machine, DRIVE_IDE, DRIVE_CDROM, CDROM_INDEX, err)) {
        return false;
    }
    return machine_devices_name(machine, "floppy") || machine_devices_name(machine, "isa-fdc") ||
           add_empty(machine, DRIVE_FLOPPY, DRIVE_DISK, 0, err);
}

static bool supported(const struct machine_drive *drive, struct error *err)
{
    switch (drive->options.interface) {
    case DRIVE_IDE:
        return drive->options.bus < 2 ||
               error_set(err, "%s: the machine has two IDE buses, 0 and 1", drive->what);
    case DRIVE_FLOPPY:
        return drive->options.unit < 2 ||
               error_set(err, "%s: the machine has two floppy drives, 0 and 1", drive->what);
    case DRIVE_NONE: return true;
    default:
        return error_set(err,
                         "%s: machine type does not support if=%s,bus=%u,unit=%u (there are "
                         "ide, floppy and none)",
                         drive->what, drive_interface_name(drive->options.interface),
                         drive->options.bus, drive->options.unit);
    }
}

static bool open_drive(struct machine *machine, struct machine_drive *drive, struct error *err)
{
    struct strbuf warnings;

    drive->drive = drive_new(drive->options.id, machine->pool);
    machine->drive = mem_resize(machine->drive, machine->drives + 1, sizeof(struct drive *));
    machine->drive[machine->drives++] = drive->drive;
    if (!drive->options.file) {
        return true;
    }
    strbuf_init(&warnings);
    bool good = drive_open(drive->drive, &drive->options, &warnings, err);
    if (warnings.len) {
        warnings.data[--warnings.len] = '\0'; /* machine_warn() ends the last line */
        machine_warn(machine, "%s", warnings.data);
    }
    strbuf_free(&warnings);
    return good || error_prefix(err, "%s: ", drive->what);
}

bool machine_drives_open(struct machine *machine, struct error *err)
{
    if (!add_default_drives(machine, err)) {
        return false;
    }
    for (size_t i = 0; i < machine->own->drives; i++) {
        if (!supported(machine->own->drive[i], err) ||
            !open_drive(machine, machine->own->drive[i], err)) {
            return false;
        }
    }
    return true;
}

void machine_drives_free(struct machine *machine)
{
    struct machine_private *own = machine->own;

    for (size_t i = 0; i < own->drives; i++) {
        if (own->drive[i]->drive) {
            drive_free(own->drive[i]->drive);
        }
        drive_options_free(&own->drive[i]->options);
        free(own->drive[i]->what);
        free(own->drive[i]);
    }
    free(own->drive);
    free(machine->drive);
    own->drive = NULL;
    own->drives = machine->drives = 0;
}

/* --- serial ports, debug consoles --- */

bool machine_set_serial(struct machine *machine, unsigned number, struct chardev *chardev,
                        struct error *err)
{
    if (number >= MACHINE_SERIAL_PORTS) {
        return error_set(err, "max. %d serial ports are supported", MACHINE_SERIAL_PORTS);
    }
    machine->own->serial[number] = chardev;
    machine->own->has_serial[number] = true;
    return true;
}

void machine_add_debugcon(struct machine *machine, struct chardev *chardev)
{
    struct machine_private *own = machine->own;

    if (own->debugcons < MACHINE_DEBUGCONS) {
        own->debugcon[own->debugcons++] = chardev;
    }
}
