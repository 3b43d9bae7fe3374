/* SPDX-License-Identifier: MIT
 *
 * Options about images. */
#include <stdlib.h>

#include "base/memory.h"
#include "cmd/vitrine/take.h"

enum { CDROM_INDEX = 2 };

bool take_snapshot(struct options *o, const char *value, struct error *err)
{
    (void)value, (void)err;
    o->snapshot = true;
    return true;
}

static bool add(struct setup *setup, struct drive_options *drive, const char *option,
                const char *value, struct error *err)
{
    char *what = mem_format("%s %s", option, value);

    drive->snapshot |= setup->options->snapshot;
    bool good = machine_add_drive(setup->machine, drive, what, err);
    drive_options_free(drive);
    free(what);
    return good;
}

bool apply_drive(struct setup *setup, const char *value, struct error *err)
{
    struct drive_options drive;

    if (!drive_options_parse(&drive, value, DRIVE_IDE, DRIVE_DISK, err)) {
        drive_options_free(&drive);
        return error_prefix(err, "-drive %s: ", value);
    }
    return add(setup, &drive, "-drive", value, err);
}

static bool add_file(struct setup *setup, const char *option, const char *file,
                     enum drive_interface interface, enum drive_media media, unsigned index,
                     struct error *err)
{
    struct drive_options drive;

    drive_options_file(&drive, file, interface, media, index);
    return add(setup, &drive, option, file, err);
}

bool apply_hda(struct setup *setup, const char *value, struct error *err)
{
    return add_file(setup, "-hda", value, DRIVE_IDE, DRIVE_DISK, 0, err);
}

bool apply_hdb(struct setup *setup, const char *value, struct error *err)
{
    return add_file(setup, "-hdb", value, DRIVE_IDE, DRIVE_DISK, 1, err);
}

bool apply_hdc(struct setup *setup, const char *value, struct error *err)
{
    return add_file(setup, "-hdc", value, DRIVE_IDE, DRIVE_DISK, 2, err);
}

bool apply_hdd(struct setup *setup, const char *value, struct error *err)
{
    return add_file(setup, "-hdd", value, DRIVE_IDE, DRIVE_DISK, 3, err);
}

bool apply_cdrom(struct setup *setup, const char *value, struct error *err)
{
    return add_file(setup, "-cdrom", value, DRIVE_IDE, DRIVE_CDROM, CDROM_INDEX, err);
}

bool apply_fda(struct setup *setup, const char *value, struct error *err)
{
    return add_file(setup, "-fda", value, DRIVE_FLOPPY, DRIVE_DISK, 0, err);
}

bool apply_fdb(struct setup *setup, const char *value, struct error *err)
{
    return add_file(setup, "-fdb", value, DRIVE_FLOPPY, DRIVE_DISK, 1, err);
}
