/* SPDX-License-Identifier: MIT
 *
 * The PC's two DMA controllers; devices see them as struct isa_dma. All functions are called with
 * the machine's lock held.
 */
#ifndef DEVICE_I8257_H
#define DEVICE_I8257_H

#include "device/isa.h"

/* Makes both controllers at the PC's ports and returns what board->isa->dma is to be; it lives as
 * long as the devices, which are the board's. NULL with a sentence. */
const struct isa_dma *i8257_new_pair(struct board *board, struct error *err);

#endif
