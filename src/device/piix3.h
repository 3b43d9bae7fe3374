/* SPDX-License-Identifier: MIT
 *
 * The PC's ISA bridge. All functions are called with the machine's lock held.
 */
#ifndef DEVICE_PIIX3_H
#define DEVICE_PIIX3_H

#include "device/isa.h"

/* Makes the bridge at 00:01.0 and, through it, board->isa, whose interrupt lines the board
 * connects before it makes devices that use them (lines of an ISA bus that the board has already
 * are taken over). It routes the pins of board->pci, and answers port 0xcf9. NULL with a sentence;
 * the device is the board's. */
struct device *piix3_new(struct board *board, struct error *err);

#endif
