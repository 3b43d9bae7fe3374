/* SPDX-License-Identifier: MIT
 *
 * The PC's interval timer (8254) and what port 0x61 (pcspk.c) does to its channel 2. All functions
 * are called with the machine's lock held.
 */
#ifndef DEVICE_I8254_H
#define DEVICE_I8254_H

#include "device/device.h"

enum { PIT_CHANNELS = 3, PIT_HZ = 1193182 };

/* Makes the timer at ports 0x40 to 0x43; `out` is the output of channel 0 (IRQ 0, through the HPET
 * where there is one). NULL with a sentence. The device is the board's. */
struct device *i8254_new(struct board *board, struct irq out, struct error *err);

/* The gate and the output of a channel, 0 to 2. */
void i8254_set_gate(struct device *pit, unsigned channel, bool level);
bool i8254_gate(const struct device *pit, unsigned channel);
bool i8254_output(struct device *pit, unsigned channel);

/* Makes the speaker's and refresh port 0x61, which belongs to the timer's channel 2. */
struct device *pcspk_new(struct board *board, struct device *pit, struct error *err);

#endif
