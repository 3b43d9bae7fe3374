/* SPDX-License-Identifier: MIT
 *
 * The keyboard controller, for boards.
 */
#ifndef DEVICE_I8042_H
#define DEVICE_I8042_H

#include "device/device.h"

/* The line that says whether address line 20 is let through. Before the first reset. */
void i8042_connect_a20(struct device *device, struct irq a20);

#endif
