/* SPDX-License-Identifier: MIT
 *
 * The floppy controller, for the board: what CMOS memory says of its drives.
 */
#ifndef DEVICE_FDC_H
#define DEVICE_FDC_H

#include "device/device.h"

/* The type of drive 0 or 1 of an isa-fdc as a nibble of CMOS byte 0x10: 0 none, 1 360 KiB, 2 1.2
 * MiB, 3 720 KiB, 4 1.44 MiB, 5 2.88 MiB. */
unsigned fdc_cmos_type(const struct device *device, unsigned number);

#endif
