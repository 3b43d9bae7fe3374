/* SPDX-License-Identifier: MIT
 *
 * The 16550A, for the devices that hold one: ISA ports here, PCI cards elsewhere.
 *
 * A device embeds a struct serial, puts `serial_ops` into a region of 8 bytes with it as opaque,
 * lists SERIAL_STATE(its struct, member) in its state, and calls the functions below from its own.
 */
#ifndef DEVICE_SERIAL_H
#define DEVICE_SERIAL_H

#include "chardev/chardev.h"
#include "device/device.h"

enum { SERIAL_FIFO_SIZE = 16, SERIAL_PORTS = 8 };

struct serial {
    struct device *owner;
    struct irq irq;
    struct chardev *chardev; /* property; NULL: nobody */
    struct chardev_front front;

    uint8_t interrupt_enable, fifo_control, line_control, modem_control, scratch;
    uint16_t divisor;
    uint8_t line_status; /* without what the receiver's FIFO says */
    uint8_t modem_status;
    uint8_t received[SERIAL_FIFO_SIZE], receive_error[SERIAL_FIFO_SIZE];
    uint8_t receive_first, receive_count;
    uint8_t to_send[SERIAL_FIFO_SIZE];
    uint8_t send_first, send_count;
    uint8_t shift;                /* the byte being sent */
    bool shifting;                /* it waits for the back end */
    bool stalled;                 /* the back end takes nothing: bytes are lost */
    bool timed_out;               /* bytes below the trigger wait for long */
    bool send_interrupt, overrun; /* latches */
    struct timer timeout, stall;
};

extern const struct mem_ops serial_ops;

bool serial_realize(struct serial *serial, struct device *owner, struct irq irq, struct error *err);
void serial_reset(struct serial *serial);
bool serial_loaded(struct serial *serial, struct error *err);
void serial_free(struct serial *serial);

#define SERIAL_STATE(type, member)                                                                 \
    FIELD(type, member.interrupt_enable, FIELD_U8), FIELD(type, member.fifo_control, FIELD_U8),    \
        FIELD(type, member.line_control, FIELD_U8), FIELD(type, member.modem_control, FIELD_U8),   \
        FIELD(type, member.scratch, FIELD_U8), FIELD(type, member.divisor, FIELD_U16),             \
        FIELD(type, member.line_status, FIELD_U8), FIELD(type, member.modem_status, FIELD_U8),     \
        FIELD_ARRAY(type, member.received, FIELD_U8),                                              \
        FIELD_ARRAY(type, member.receive_error, FIELD_U8),                                         \
        FIELD(type, member.receive_first, FIELD_U8), FIELD(type, member.receive_count, FIELD_U8),  \
        FIELD_ARRAY(type, member.to_send, FIELD_U8), FIELD(type, member.send_first, FIELD_U8),     \
        FIELD(type, member.send_count, FIELD_U8), FIELD(type, member.shift, FIELD_U8),             \
        FIELD(type, member.shifting, FIELD_BOOL), FIELD(type, member.stalled, FIELD_BOOL),         \
        FIELD(type, member.timed_out, FIELD_BOOL), FIELD(type, member.send_interrupt, FIELD_BOOL), \
        FIELD(type, member.overrun, FIELD_BOOL), FIELD(type, member.timeout, FIELD_TIMER),         \
        FIELD(type, member.stall, FIELD_TIMER)

#endif
