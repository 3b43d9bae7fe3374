/* SPDX-License-Identifier: MIT
 *
 * The high precision event timer of the PC. All functions are called with the machine's lock held.
 */
#ifndef DEVICE_HPET_H
#define DEVICE_HPET_H

#include "device/device.h"

enum { HPET_TIMERS = 3, HPET_LINES = 32, HPET_BASE = 0xfed00000, HPET_PERIOD_NS = 10 };

/* Makes the HPET at its address. `isa` are lines 0 and 8 of the ISA bus, `line` the inputs of the
 * IOAPIC that timers may be routed to (property hpet-intcap says which; input 2 alone on this
 * machine). The device is the board's. NULL with a sentence. */
struct device *hpet_new(struct board *board, const struct irq isa[2],
                        const struct irq line[HPET_LINES], struct error *err);

/* Where the interval timer (0) and the real-time clock (1) end: they get through to `isa` unless
 * legacy replacement is on, when timers 0 and 1 are there. */
struct irq hpet_isa_line(struct device *hpet, unsigned which);

#endif
