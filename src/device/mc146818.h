/* SPDX-License-Identifier: MIT
 *
 * The PC's real-time clock and its battery-backed memory (CMOS). All functions are called with the
 * machine's lock held.
 */
#ifndef DEVICE_MC146818_H
#define DEVICE_MC146818_H

#include "device/device.h"

enum { CMOS_BYTES = 256, CMOS_CENTURY = 0x32 };

/* Makes the clock at ports 0x70 to 0x73; `irq` is its interrupt (IRQ 8, through the HPET where
 * there is one), `nmi_mask` is high while the guest wants no NMI (bit 7 of port 0x70). The time
 * begins with board->rtc_base. NULL with a sentence. The device is the board's. */
struct device *mc146818_new(struct board *board, struct irq irq, struct irq nmi_mask,
                            struct error *err);

/* A byte of the memory; indexes from 128 on are those of ports 0x72 and 0x73. Not the clock's own
 * (0 to 0xd and CMOS_CENTURY), which are left alone. */
void mc146818_set(struct device *rtc, unsigned index, uint8_t value);
uint8_t mc146818_get(const struct device *rtc, unsigned index);

/* Seconds since 1970 that the clock shows, taken as UTC. */
int64_t mc146818_time(const struct device *rtc);

#endif
