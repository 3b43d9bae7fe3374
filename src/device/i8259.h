/* SPDX-License-Identifier: MIT
 *
 * The interrupt controllers of the PC: two 8259A, the slave on the master's input 2. All functions
 * are called with the machine's lock held.
 */
#ifndef DEVICE_I8259_H
#define DEVICE_I8259_H

#include "device/device.h"

/* Makes both chips at the PC's ports. Their devices are the board's; `out` is INTR. NULL with a
 * sentence; otherwise the master, which the functions below take. */
struct device *i8259_new_pair(struct board *board, struct irq out, struct error *err);

/* Input 0 to 15 of the pair. Input 2 is the cascade and goes nowhere. */
struct irq i8259_line(struct device *master, unsigned number);

/* Whether INTR is up. */
bool i8259_pending(const struct device *master);

/* The CPU's acknowledge cycle: the vector. If the request has gone meanwhile it is that of input 7
 * of the chip that was asked (spurious), as the data sheet says. */
uint8_t i8259_acknowledge(struct device *master);

/* The lines of `info pic`, slave first as QEMU prints them. */
void i8259_print(const struct device *master, struct strbuf *text);

/* Its part of `info irq`: how often each input went up. */
void i8259_print_counts(const struct device *master, struct strbuf *text);

#endif
