/* SPDX-License-Identifier: MIT
 *
 * -device floppy: a floppy drive at the controller isa-fdc, which does all the work (fdc.c).
 */
#include "device/fdc.h"

struct floppy_device {
    struct device device;
    struct drive *drive;
    uint32_t unit;
    uint8_t type;
    struct device *controller; /* NULL: not put in */
};

static bool realize(struct device *device, struct error *err)
{
    struct floppy_device *floppy = (struct floppy_device *)device;
    struct device *controller = device_first(device->board);
    while (controller && (controller->class != &isa_fdc_class || !controller->realized)) {
        controller = controller->next;
    }
    if (!controller) {
        return error_set(err, "No 'floppy-bus' bus found for device 'floppy'");
    }
    if (!floppy->drive) {
        return error_set(err, "No drive specified");
    }
    if (!fdc_put_in(controller, &floppy->unit, floppy->drive, floppy->type, err)) {
        return false;
    }
    floppy->controller = controller;
    return true;
}

static void free_floppy(struct device *device)
{
    struct floppy_device *floppy = (struct floppy_device *)device;
    if (floppy->controller) {
        fdc_take_out(floppy->controller, floppy->unit);
    }
}

static const struct device_property properties[] = {
    {.name = "drive",
     .type = PROPERTY_DRIVE,
     .offset = offsetof(struct floppy_device, drive),
     .help = "id of a -drive"},
    {.name = "unit",
     .type = PROPERTY_U32,
     .offset = offsetof(struct floppy_device, unit),
     .initial = UINT32_MAX,
     .help = "0 (A) or 1 (B)"},
    {.name = "drive-type",
     .type = PROPERTY_WORD,
     .offset = offsetof(struct floppy_device, type),
     .initial = FDC_TYPE_AUTO,
     .words = fdc_type_words,
     .help = "drive's type"},
    {.name = NULL},
};

static const struct device_class floppy_class = {
    .name = "floppy",
    .help = "virtual floppy drive",
    .bus = "floppy-bus",
    .category = "Storage",
    .size = sizeof(struct floppy_device),
    .by_user = true,
    .properties = properties,
    .realize = realize,
    .free = free_floppy,
};
DEVICE(floppy_class)
