/* SPDX-License-Identifier: MIT
 *
 * The PC's power management. All functions are called with the machine's lock held.
 */
#ifndef DEVICE_PIIX4_PM_H
#define DEVICE_PIIX4_PM_H

#include "device/device.h"

/* What ACPI tables say of it. */
enum {
    PIIX4_PM_TIMER_HZ = 3579545,
    PIIX4_GPE0 = 0xafe0, /* port; status and enable, PIIX4_GPE0_SIZE / 2 bytes each */
    PIIX4_GPE0_SIZE = 4,
    PIIX4_SMI_COMMAND = 0xb2, /* port, which takes: */
    PIIX4_ACPI_ENABLE = 0xf1,
    PIIX4_ACPI_DISABLE = 0xf0,
    PIIX4_SCI = 9,
    PIIX4_SMBUS = 0xb100, /* port before firmware sets it, as in QEMU's pc */
};

/* Makes the device at 00:01.3; the ISA bus must be connected. `smi` gets a pulse for each system
 * management interrupt; not connected, firmware finds that there is no such mode. NULL with a
 * sentence; the device is the board's. */
struct device *piix4_pm_new(struct board *board, struct irq smi, struct error *err);

/* The power button is pressed for a moment: what `system_powerdown` does. */
void piix4_pm_powerdown(struct device *device);

/* The machine wakes up (BOARD_WAKEUP): the guest sees that it has slept. */
void piix4_pm_woken(struct device *device);

#endif
