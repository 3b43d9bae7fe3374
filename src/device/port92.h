/* SPDX-License-Identifier: MIT
 *
 * System control port A. All functions are called with the machine's lock held.
 */
#ifndef DEVICE_PORT92_H
#define DEVICE_PORT92_H

#include "device/device.h"

/* Makes the port. `a20` is up while the guest lets address line 20 through here; the gate of the
 * keyboard controller is another, and the line is up while either lets it through. NULL with a
 * sentence; the device is the board's. */
struct device *port92_new(struct board *board, struct irq a20, struct error *err);

#endif
