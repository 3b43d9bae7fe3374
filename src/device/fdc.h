/* SPDX-License-Identifier: MIT
 *
 * The floppy controller, for the board: what CMOS memory says of its drives.
 */
#ifndef DEVICE_FDC_H
#define DEVICE_FDC_H

#include "block/block.h"
#include "device/device.h"

/* The type of drive 0 or 1 of an isa-fdc as a nibble of CMOS byte 0x10: 0 none, 1 360 KiB, 2 1.2
 * MiB, 3 720 KiB, 4 1.44 MiB, 5 2.88 MiB. */
unsigned fdc_cmos_type(const struct device *device, unsigned number);

/* For the class floppy: puts a drive at a unit (UINT32_MAX: the first free one) of the isa-fdc,
 * with a type of -device floppy,help. It is attached; fdc_take_out() ends that. */
bool fdc_put_in(struct device *device, uint32_t *unit, struct drive *drive, uint8_t type,
                struct error *err);
void fdc_take_out(struct device *device, uint32_t unit);

extern const struct device_class isa_fdc_class;
extern const char *const fdc_type_words[]; /* ends with NULL */
enum { FDC_TYPE_AUTO = 4 };

#endif
