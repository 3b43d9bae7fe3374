/* SPDX-License-Identifier: MIT
 *
 * ide-hd and ide-cd: disks and CD-ROMs at a channel of an IDE controller.
 */
#include <string.h>

#include "device/ide.h"

enum { CD_SECTOR = 2048 };

/* --- places on the board --- */

static bool has_room(const struct ide_channel *channel, uint32_t unit)
{
    return unit == UINT32_MAX ? !channel->drive[0] || !channel->drive[1]
                              : unit < IDE_UNITS && !channel->drive[unit];
}

static bool choose(struct ide_channel *channel, uint32_t *unit, struct error *err)
{
    if (*unit != UINT32_MAX && *unit >= IDE_UNITS) {
        return error_set(err, "Can't create IDE unit %u, bus supports only %d units", *unit,
                         IDE_UNITS);
    }
    if (!has_room(channel, *unit)) {
        if (*unit == UINT32_MAX) {
            return error_set(err, "Bus '%s' is full", channel->name);
        }
        return error_set(err, "IDE unit %u is in use", *unit);
    }
    if (*unit == UINT32_MAX) {
        *unit = channel->drive[0] ? 1 : 0;
    }
    return true;
}

struct ide_channel *ide_find_channel(const struct board *board, const char *name, uint32_t *unit,
                                     struct error *err)
{
    for (struct device *device = device_first(board); device; device = device->next) {
        if (device->class != &piix3_ide_class || !device->realized) {
            continue;
        }
        for (unsigned i = 0; i < 2; i++) {
            struct ide_channel *channel = piix3_ide_channel(device, i);
            if (name ? strcmp(name, channel->name) != 0 : !i && !has_room(channel, *unit)) {
                continue;
            }
            return choose(channel, unit, err) ? channel : NULL;
        }
    }
    if (name) {
        error_set(err, "Bus '%s' not found", name);
    } else {
        error_set(err, "No 'IDE' bus found");
    }
    return NULL;
}

/* --- the drive's wishes --- */

static void changed(void *opaque, bool loaded)
{
    struct ide_drive *drive = opaque;
    if (drive->is_atapi) {
        atapi_medium_changed(drive, loaded);
    }
}

static bool locked(void *opaque)
{
    const struct ide_drive *drive = opaque;
    return drive->is_atapi && drive->locked;
}

static void eject_wanted(void *opaque)
{
    ((struct ide_drive *)opaque)->media_event = 1;
}

static const struct drive_user user = {changed, locked, eject_wanted};

/* --- the class --- */

static bool check_text(const char *what, const char *text, size_t largest, struct error *err)
{
    return !text || strlen(text) <= largest ||
           error_set(err, "%s is too long: at most %zu characters", what, largest);
}

static bool check_disk(struct ide_drive *drive, struct error *err)
{
    if (!drive->drive) {
        return error_set(err, "No drive specified");
    }
    if (!drive_has_medium(drive->drive)) {
        return error_set(err, "Device needs media, but drive is empty");
    }
    if (drive_is_readonly(drive->drive)) {
        return error_set(err, "Block node is read-only");
    }
    if (!drive->cylinders && !drive->heads && !drive->sectors) {
        drive_guess_geometry(drive->drive, &drive->geometry);
        return true;
    }
    if (drive->cylinders < 1 || drive->cylinders > 65535) {
        return error_set(err, "cyls must be between 1 and 65535");
    }
    if (drive->heads < 1 || drive->heads > 16) {
        return error_set(err, "heads must be between 1 and 16");
    }
    if (drive->sectors < 1 || drive->sectors > 255) {
        return error_set(err, "secs must be between 1 and 255");
    }
    drive->geometry = (struct geometry){drive->cylinders, drive->heads, drive->sectors, 0};
    return true;
}

static bool realize(struct device *device, struct error *err)
{
    struct ide_drive *drive = (struct ide_drive *)device;
    drive->is_atapi = device->class == &ide_cd_class;
    if (!check_text("serial", drive->serial, 20, err) ||
        !check_text("model", drive->model, 40, err) || !check_text("ver", drive->version, 8, err) ||
        (!drive->is_atapi && !check_disk(drive, err))) {
        return false;
    }
    struct ide_channel *channel = ide_find_channel(device->board, device->bus, &drive->unit, err);
    if (!channel) {
        return false;
    }
    if (drive->drive) {
        if (!drive_attach(drive->drive, &user, drive, err)) {
            drive->drive = NULL;
            return false;
        }
        drive_set_removable(drive->drive, drive->is_atapi);
        drive_set_sector(drive->drive, drive->is_atapi ? CD_SECTOR : IDE_SECTOR);
    }
    drive->channel = channel;
    channel->drive[drive->unit] = drive;
    ide_drive_reset(drive, true);
    return true;
}

static void reset(struct device *device)
{
    struct ide_drive *drive = (struct ide_drive *)device;
    ide_drive_reset(drive, true);
    if (drive->drive) {
        drive_set_tray(drive->drive, false);
    }
    ide_update_interrupt(drive->channel);
}

static bool loaded(struct device *device, struct error *err)
{
    struct ide_drive *drive = (struct ide_drive *)device;
    if (!ide_drive_loaded(drive, err)) {
        return false;
    }
    if (drive->drive && drive->is_atapi) {
        drive_set_tray(drive->drive, drive->tray_open);
    }
    ide_update_interrupt(drive->channel);
    return true;
}

static void free_drive(struct device *device)
{
    struct ide_drive *drive = (struct ide_drive *)device;
    block_cancel(&drive->request);
    if (drive->channel) {
        drive->channel->drive[drive->unit] = NULL;
        if (drive->drive) {
            drive_detach(drive->drive);
        }
    }
}

static const struct device_field task_fields[] = {
    FIELD(struct ide_task, features, FIELD_U8), FIELD(struct ide_task, count, FIELD_U8),
    FIELD(struct ide_task, low, FIELD_U8),      FIELD(struct ide_task, mid, FIELD_U8),
    FIELD(struct ide_task, high, FIELD_U8),     FIELD_END,
};

static const struct device_field sense_fields[] = {
    FIELD(struct ide_sense, key, FIELD_U8),
    FIELD(struct ide_sense, code, FIELD_U8),
    FIELD(struct ide_sense, qualifier, FIELD_U8),
    FIELD_END,
};

/* clang-format off */
#define FIELD_ONE_STRUCT(type, member, rows)                                            \
    {                                                                                   \
        #member, FIELD_STRUCT, offsetof(type, member), 1, sizeof(((type *)0)->member), rows \
    }
/* clang-format on */

static const struct device_field fields[] = {
    FIELD_ONE_STRUCT(struct ide_drive, now, task_fields),
    FIELD_ONE_STRUCT(struct ide_drive, before, task_fields),
    FIELD(struct ide_drive, select, FIELD_U8),
    FIELD(struct ide_drive, status, FIELD_U8),
    FIELD(struct ide_drive, error, FIELD_U8),
    FIELD(struct ide_drive, command, FIELD_U8),
    FIELD(struct ide_drive, interrupt, FIELD_BOOL),
    FIELD(struct ide_drive, phase, FIELD_U8),
    FIELD(struct ide_drive, then, FIELD_U8),
    FIELD(struct ide_drive, dma, FIELD_BOOL),
    FIELD(struct ide_drive, to_host, FIELD_BOOL),
    FIELD(struct ide_drive, wide, FIELD_BOOL),
    FIELD(struct ide_drive, careful, FIELD_BOOL),
    FIELD(struct ide_drive, disk_op, FIELD_U8),
    FIELD(struct ide_drive, disk_offset, FIELD_U64),
    FIELD(struct ide_drive, disk_bytes, FIELD_U64),
    FIELD(struct ide_drive, lba, FIELD_U64),
    FIELD(struct ide_drive, left, FIELD_U32),
    FIELD(struct ide_drive, piece, FIELD_U32),
    FIELD(struct ide_drive, position, FIELD_U32),
    FIELD(struct ide_drive, block_end, FIELD_U32),
    FIELD(struct ide_drive, filled, FIELD_U32),
    FIELD(struct ide_drive, block, FIELD_U32),
    FIELD(struct ide_drive, multiple, FIELD_U8),
    FIELD(struct ide_drive, transfer_mode, FIELD_U8),
    FIELD(struct ide_drive, power, FIELD_U8),
    FIELD(struct ide_drive, write_cache, FIELD_BOOL),
    FIELD(struct ide_drive, look_ahead, FIELD_BOOL),
    FIELD(struct ide_drive, smart, FIELD_BOOL),
    FIELD(struct ide_drive, smart_autosave, FIELD_BOOL),
    FIELD(struct ide_drive, chs_heads, FIELD_U16),
    FIELD(struct ide_drive, chs_sectors, FIELD_U16),
    FIELD(struct ide_drive, chs_cylinders, FIELD_U16),
    FIELD(struct ide_drive, byte_limit, FIELD_U32),
    FIELD_ARRAY(struct ide_drive, packet, FIELD_U8),
    FIELD_ONE_STRUCT(struct ide_drive, sense, sense_fields),
    FIELD(struct ide_drive, locked, FIELD_BOOL),
    FIELD(struct ide_drive, tray_open, FIELD_BOOL),
    FIELD(struct ide_drive, attention, FIELD_BOOL),
    FIELD(struct ide_drive, raw_sectors, FIELD_BOOL),
    FIELD(struct ide_drive, media_event, FIELD_U8),
    FIELD_ARRAY(struct ide_drive, buffer, FIELD_U8),
    FIELD_END,
};

static const char *const auto_words[] = {"auto", "on", "off", NULL};

#define PLACE(name) offsetof(struct ide_drive, name)

#define COMMON_PROPERTIES                                                                        \
    {.name = "drive", .type = PROPERTY_DRIVE, .offset = PLACE(drive), .help = "id of a -drive"}, \
        {.name = "unit",                                                                         \
         .type = PROPERTY_U32,                                                                   \
         .offset = PLACE(unit),                                                                  \
         .initial = UINT32_MAX,                                                                  \
         .help = "0 (master) or 1 (slave)"},                                                     \
        {.name = "serial", .type = PROPERTY_STRING, .offset = PLACE(serial), .help = "number"},  \
        {.name = "model", .type = PROPERTY_STRING, .offset = PLACE(model), .help = "name"},      \
        {.name = "ver", .type = PROPERTY_STRING, .offset = PLACE(version), .help = "firmware"},  \
        {.name = "wwn", .type = PROPERTY_U64, .offset = PLACE(wwn), .help = "world wide name"},  \
        {.name = "bootindex",                                                                    \
         .type = PROPERTY_I32,                                                                   \
         .offset = PLACE(bootindex),                                                             \
         .initial = (uint64_t)-1,                                                                \
         .help = "place in the boot order"},                                                     \
    {                                                                                            \
        .name = "write-cache", .type = PROPERTY_WORD, .offset = PLACE(write_cache_wanted),       \
        .words = auto_words, .help = "on/off/auto"                                               \
    }

static const struct device_property disk_properties[] = {
    COMMON_PROPERTIES,
    {.name = "cyls", .type = PROPERTY_U32, .offset = PLACE(cylinders), .help = "0: guessed"},
    {.name = "heads", .type = PROPERTY_U32, .offset = PLACE(heads), .help = "0: guessed"},
    {.name = "secs", .type = PROPERTY_U32, .offset = PLACE(sectors), .help = "0: guessed"},
    {.name = "rotation_rate",
     .type = PROPERTY_U16,
     .offset = PLACE(rotation_rate),
     .help = "turns a minute; 1: no disk turns; 0: not told"},
    {.name = NULL},
};

static const struct device_property cd_properties[] = {COMMON_PROPERTIES, {.name = NULL}};

const struct device_class ide_hd_class = {
    .name = "ide-hd",
    .help = "virtual IDE disk",
    .bus = "IDE",
    .category = "Storage",
    .size = sizeof(struct ide_drive),
    .by_user = true,
    .properties = disk_properties,
    .state = fields,
    .realize = realize,
    .reset = reset,
    .loaded = loaded,
    .free = free_drive,
};
DEVICE(ide_hd_class)

const struct device_class ide_cd_class = {
    .name = "ide-cd",
    .help = "virtual IDE CD-ROM",
    .bus = "IDE",
    .category = "Storage",
    .size = sizeof(struct ide_drive),
    .by_user = true,
    .properties = cd_properties,
    .state = fields,
    .realize = realize,
    .reset = reset,
    .loaded = loaded,
    .free = free_drive,
};
DEVICE(ide_cd_class)
