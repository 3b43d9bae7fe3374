/* SPDX-License-Identifier: MIT
 *
 * The I/O APIC of the PC. All functions are called with the machine's lock held.
 */
#ifndef DEVICE_IOAPIC_H
#define DEVICE_IOAPIC_H

#include "device/apic.h"

enum { IOAPIC_PINS = 24, IOAPIC_BASE = 0xfec00000 };

/* Where its messages go. */
typedef void ioapic_deliver_fn(void *opaque, const struct apic_message *message);

/* Makes the IOAPIC at its address. The device is the board's. NULL with a sentence. */
struct device *ioapic_new(struct board *board, ioapic_deliver_fn *deliver, void *opaque,
                          struct error *err);

/* One that sends to the bus, and is told by it of the end of level-triggered interrupts. */
struct device *ioapic_new_on_bus(struct board *board, struct apic_bus *bus, struct error *err);

/* Input 0 to 23. High is active: that a polarity bit says otherwise is only shown. */
struct irq ioapic_line(struct device *ioapic, unsigned pin);

/* The input for line `number` of the ISA bus: the timer's, 0, is on input 2 (as the ACPI and MP
 * tables say). */
struct irq ioapic_isa_line(struct device *ioapic, unsigned number);

/* A level-triggered interrupt of this vector has ended. */
void ioapic_eoi(struct device *ioapic, uint8_t vector);

/* The lines of `info pic` that are about it. */
void ioapic_print(const struct device *ioapic, struct strbuf *text);

/* Its part of `info irq`: how often each input went up. */
void ioapic_print_counts(const struct device *ioapic, struct strbuf *text);

#endif
