/* SPDX-License-Identifier: MIT
 *
 * Serial ports: National Semiconductor PC16550D (data sheet of June 1995), on the ISA bus.
 *
 * A byte is sent as soon as the back end takes it, whatever the baud rate says; the rate counts for
 * the receiver's timeout. A back end that takes nothing holds the byte back, as a line with flow
 * control would, but not for longer than STALL_NANOSECONDS of the machine's time: from then on
 * bytes are lost until it takes some again. OUT2 does not gate the interrupt. */
#include "device/serial.h"

#include <string.h>

#include "device/isa.h"
#include "trace-device.h"

enum register_offset {
    DATA = 0,             /* receiver buffer, transmitter holding; divisor latch, low */
    INTERRUPT_ENABLE = 1, /* divisor latch, high */
    INTERRUPT_IDENT = 2,  /* FIFO control when written */
    LINE_CONTROL = 3,
    MODEM_CONTROL = 4,
    LINE_STATUS = 5,
    MODEM_STATUS = 6,
    SCRATCH = 7,
};

enum interrupt_enable {
    ENABLE_RECEIVE = 1,
    ENABLE_SEND = 2,
    ENABLE_LINE = 4,
    ENABLE_MODEM = 8,
};

enum interrupt_ident { /* the highest priority first */
                       IDENT_LINE = 6,
                       IDENT_RECEIVE = 4,
                       IDENT_TIMEOUT = 12,
                       IDENT_SEND = 2,
                       IDENT_MODEM = 0,
                       IDENT_NONE = 1,
                       IDENT_FIFOS = 0xc0,
};

enum fifo_control { FIFO_ENABLE = 1, FIFO_CLEAR_RECEIVER = 2, FIFO_CLEAR_SENDER = 4 };

enum line_control {
    LINE_LENGTH = 3, /* 5 to 8 bits */
    LINE_TWO_STOPS = 4,
    LINE_PARITY = 8,
    LINE_PARITY_EVEN = 0x10,
    LINE_DIVISOR = 0x80,
};

enum modem_control {
    MODEM_DTR = 1,
    MODEM_RTS = 2,
    MODEM_OUT1 = 4,
    MODEM_OUT2 = 8,
    MODEM_LOOP = 16
};

enum line_status {
    STATUS_DATA = 1,
    STATUS_OVERRUN = 2,
    STATUS_PARITY = 4,
    STATUS_FRAMING = 8,
    STATUS_BREAK = 0x10,
    STATUS_HOLDING_EMPTY = 0x20,
    STATUS_EMPTY = 0x40,
    STATUS_FIFO_ERROR = 0x80,
};

/* The low half tells which of the high half changed since it was read. */
enum modem_status { MODEM_CTS = 0x10, MODEM_DSR = 0x20, MODEM_RI = 0x40, MODEM_DCD = 0x80 };

enum {
    CLOCK = 115200, /* baud with divisor 1 */
    RESET_DIVISOR = 12,
    TIMEOUT_CHARACTERS = 4,
    STALL_NANOSECONDS = 250000000,
};

static const uint8_t triggers[] = {1, 4, 8, 14};

static bool has_fifos(const struct serial *serial)
{
    return serial->fifo_control & FIFO_ENABLE;
}

static unsigned fifo_size(const struct serial *serial)
{
    return has_fifos(serial) ? SERIAL_FIFO_SIZE : 1;
}

/* --- interrupts --- */

static uint8_t line_status(const struct serial *serial)
{
    uint8_t status = serial->line_status;

    if (serial->receive_count) {
        status |= STATUS_DATA | serial->receive_error[serial->receive_first];
        for (unsigned i = 0; has_fifos(serial) && i < serial->receive_count; i++) {
            if (serial->receive_error[(serial->receive_first + i) % SERIAL_FIFO_SIZE]) {
                status |= STATUS_FIFO_ERROR;
            }
        }
    }
    return (uint8_t)(status | (serial->overrun ? STATUS_OVERRUN : 0));
}

static uint8_t interrupt_ident(const struct serial *serial)
{
    uint8_t enabled = serial->interrupt_enable;
    unsigned trigger = has_fifos(serial) ? triggers[serial->fifo_control >> 6] : 1;

    if (enabled & ENABLE_LINE &&
        line_status(serial) & (STATUS_OVERRUN | STATUS_PARITY | STATUS_FRAMING | STATUS_BREAK)) {
        return IDENT_LINE;
    }
    if (enabled & ENABLE_RECEIVE && serial->receive_count >= trigger) {
        return IDENT_RECEIVE;
    }
    if (enabled & ENABLE_RECEIVE && serial->timed_out) {
        return IDENT_TIMEOUT;
    }
    if (enabled & ENABLE_SEND && serial->send_interrupt) {
        return IDENT_SEND;
    }
    if (enabled & ENABLE_MODEM && serial->modem_status & 0x0f) {
        return IDENT_MODEM;
    }
    return IDENT_NONE;
}

static void show_irq(struct serial *serial)
{
    irq_set(serial->irq, interrupt_ident(serial) != IDENT_NONE);
}

/* --- line parameters --- */

static unsigned bits_of_character(const struct serial *serial)
{
    unsigned stops = serial->line_control & LINE_TWO_STOPS ? 2 : 1;

    return 1 + 5 + (serial->line_control & LINE_LENGTH) + !!(serial->line_control & LINE_PARITY) +
           stops;
}

/* Nanoseconds. */
static uint64_t character_time(const struct serial *serial)
{
    uint64_t divisor = serial->divisor ? serial->divisor : 0x10000;

    return bits_of_character(serial) * divisor * 1000000000u / CLOCK;
}

static void tell_parameters(const struct serial *serial)
{
    uint8_t line = serial->line_control;
    char parity = !(line & LINE_PARITY) ? 'N' : line & LINE_PARITY_EVEN ? 'E' : 'O';

    if (serial->divisor) {
        trace_serial_update_parameters(CLOCK / serial->divisor, parity, 5 + (line & LINE_LENGTH),
                                       line & LINE_TWO_STOPS ? 2 : 1);
    }
}

/* --- receiver --- */

static void start_timeout(struct serial *serial)
{
    serial->timed_out = false;
    if (has_fifos(serial) && serial->receive_count) {
        timer_set(&serial->timeout, clock_now(serial->owner->board->clock) +
                                        TIMEOUT_CHARACTERS * character_time(serial));
    } else {
        timer_stop(&serial->timeout);
    }
}

static void receive_timeout(void *opaque, uint64_t now)
{
    struct serial *serial = opaque;

    (void)now;
    serial->timed_out = serial->receive_count > 0;
    show_irq(serial);
}

static void receive_byte(struct serial *serial, uint8_t byte, uint8_t error)
{
    if (serial->receive_count >= fifo_size(serial)) {
        serial->overrun = true;
        if (has_fifos(serial)) { /* what is there stays; else the new one is kept */
            return;
        }
        serial->receive_count--;
    }
    unsigned place = (serial->receive_first + serial->receive_count++) % SERIAL_FIFO_SIZE;
    serial->received[place] = byte;
    serial->receive_error[place] = error;
}

static void received(struct serial *serial)
{
    start_timeout(serial);
    show_irq(serial);
}

static size_t can_receive(void *opaque)
{
    struct serial *serial = opaque;

    if (serial->modem_control & MODEM_LOOP || serial->receive_count >= fifo_size(serial)) {
        return 0;
    }
    return fifo_size(serial) - serial->receive_count;
}

static void receive(void *opaque, const uint8_t *bytes, size_t count)
{
    struct serial *serial = opaque;

    for (size_t i = 0; i < count; i++) {
        receive_byte(serial, bytes[i], 0);
    }
    received(serial);
}

static void on_event(void *opaque, enum chardev_event event)
{
    struct serial *serial = opaque;

    if (event == CHARDEV_BREAK && !(serial->modem_control & MODEM_LOOP)) {
        receive_byte(serial, 0, STATUS_BREAK);
        received(serial);
    }
}

static uint8_t read_data(struct serial *serial)
{
    uint8_t byte = serial->received[serial->receive_first];

    if (serial->receive_count) {
        serial->receive_first = (serial->receive_first + 1) % SERIAL_FIFO_SIZE;
        serial->receive_count--;
        start_timeout(serial);
        show_irq(serial);
        chardev_accept_input(&serial->front);
    }
    return byte;
}

/* --- transmitter --- */

/* Whether the byte in the shift register is gone. */
static bool send_shifted(struct serial *serial)
{
    if (serial->modem_control & MODEM_LOOP) {
        receive_byte(serial, serial->shift, 0);
        received(serial);
        return true;
    }
    if (chardev_write(&serial->front, &serial->shift, 1) == 1) {
        serial->stalled = false;
        timer_stop(&serial->stall);
        return true;
    }
    if (!serial->stalled && !timer_is_set(&serial->stall)) {
        timer_set(&serial->stall, clock_now(serial->owner->board->clock) + STALL_NANOSECONDS);
    }
    return serial->stalled;
}

static void send(struct serial *serial)
{
    for (;;) {
        if (!serial->shifting) {
            if (!serial->send_count) {
                break;
            }
            serial->shift = serial->to_send[serial->send_first];
            serial->send_first = (serial->send_first + 1) % SERIAL_FIFO_SIZE;
            serial->send_count--;
            serial->shifting = true;
        }
        if (!send_shifted(serial)) {
            break;
        }
        serial->shifting = false;
    }
    serial->line_status = (uint8_t)((serial->send_count ? 0 : STATUS_HOLDING_EMPTY) |
                                    (serial->send_count || serial->shifting ? 0 : STATUS_EMPTY));
    serial->send_interrupt |= !serial->send_count;
    show_irq(serial);
}

static void has_room(void *opaque)
{
    struct serial *serial = opaque;

    serial->stalled = false;
    if (serial->shifting || serial->send_count) {
        send(serial);
    }
}

static void stall_over(void *opaque, uint64_t now)
{
    struct serial *serial = opaque;

    (void)now;
    serial->stalled = true;
    send(serial);
}

static void write_data(struct serial *serial, uint8_t byte)
{
    serial->send_interrupt = false;
    if (serial->send_count >= fifo_size(serial)) {
        /* The last place is written over (the data sheet does not say). */
        serial->send_count--;
    }
    serial->to_send[(serial->send_first + serial->send_count++) % SERIAL_FIFO_SIZE] = byte;
    serial->line_status = 0;
    show_irq(serial);
    send(serial);
}

/* --- modem lines --- */

/* In loopback the outputs lead to the inputs. */
static uint8_t modem_inputs(const struct serial *serial)
{
    uint8_t control = serial->modem_control;

    if (!(control & MODEM_LOOP)) {
        return MODEM_CTS | MODEM_DSR | MODEM_DCD; /* a cable that is plugged in */
    }
    return (uint8_t)((control & MODEM_RTS ? MODEM_CTS : 0) | (control & MODEM_DTR ? MODEM_DSR : 0) |
                     (control & MODEM_OUT1 ? MODEM_RI : 0) |
                     (control & MODEM_OUT2 ? MODEM_DCD : 0));
}

static void update_modem(struct serial *serial)
{
    uint8_t now = modem_inputs(serial), before = serial->modem_status & 0xf0;
    uint8_t changed = (uint8_t)((now ^ before) >> 4);

    /* Of the ring indicator only the trailing edge counts. */
    if (now & MODEM_RI) {
        changed &= (uint8_t) ~(MODEM_RI >> 4);
    }
    serial->modem_status = (uint8_t)(now | (serial->modem_status & 0x0f) | changed);
    show_irq(serial);
}

/* --- registers --- */

static void clear_receiver(struct serial *serial)
{
    serial->receive_first = serial->receive_count = 0;
    serial->timed_out = false;
    timer_stop(&serial->timeout);
}

static void clear_sender(struct serial *serial)
{
    serial->send_first = serial->send_count = 0;
    serial->line_status |= STATUS_HOLDING_EMPTY | (serial->shifting ? 0 : STATUS_EMPTY);
}

static void write_fifo_control(struct serial *serial, uint8_t value)
{
    bool changed = (value ^ serial->fifo_control) & FIFO_ENABLE;

    if (changed || value & FIFO_CLEAR_RECEIVER) {
        clear_receiver(serial);
    }
    if (changed || value & FIFO_CLEAR_SENDER) {
        bool had = serial->send_count;
        clear_sender(serial);
        serial->send_interrupt |= had;
    }
    /* Without the enabling bit the others are not programmed. */
    serial->fifo_control = value & FIFO_ENABLE ? value & 0xc9 : 0;
    show_irq(serial);
    chardev_accept_input(&serial->front);
}

static void write_interrupt_enable(struct serial *serial, uint8_t value)
{
    uint8_t fresh = (uint8_t)(value & ~serial->interrupt_enable);

    serial->interrupt_enable = value & 0x0f;
    if (fresh & ENABLE_SEND && serial->line_status & STATUS_HOLDING_EMPTY) {
        serial->send_interrupt = true;
    }
    show_irq(serial);
}

static void write_register(void *opaque, uint64_t offset, uint64_t value64, unsigned size)
{
    struct serial *serial = opaque;
    uint8_t value = (uint8_t)value64;
    bool divisor = serial->line_control & LINE_DIVISOR;

    (void)size;
    trace_serial_write((uint16_t)offset, value);
    switch ((enum register_offset)offset) {
    case DATA:
        if (divisor) {
            serial->divisor = (uint16_t)((serial->divisor & 0xff00) | value);
            tell_parameters(serial);
        } else {
            write_data(serial, value);
        }
        break;
    case INTERRUPT_ENABLE:
        if (divisor) {
            serial->divisor = (uint16_t)((serial->divisor & 0xff) | value << 8);
            tell_parameters(serial);
        } else {
            write_interrupt_enable(serial, value);
        }
        break;
    case INTERRUPT_IDENT: write_fifo_control(serial, value); break;
    case LINE_CONTROL:
        serial->line_control = value;
        tell_parameters(serial);
        break;
    case MODEM_CONTROL: {
        uint8_t before = serial->modem_control;
        serial->modem_control = value & 0x1f;
        if ((before ^ value) & MODEM_LOOP || value & MODEM_LOOP) {
            update_modem(serial);
        }
        chardev_accept_input(&serial->front);
        break;
    }
    case LINE_STATUS: break; /* for factory tests */
    case MODEM_STATUS: break;
    case SCRATCH: serial->scratch = value; break;
    }
}

static uint8_t read_interrupt_ident(struct serial *serial)
{
    uint8_t ident = interrupt_ident(serial);

    if (ident == IDENT_SEND) {
        serial->send_interrupt = false;
        show_irq(serial);
    }
    return (uint8_t)(ident | (has_fifos(serial) ? IDENT_FIFOS : 0));
}

static uint8_t read_line_status(struct serial *serial)
{
    uint8_t status = line_status(serial);

    serial->overrun = false;
    if (serial->receive_count) {
        serial->receive_error[serial->receive_first] = 0;
    }
    show_irq(serial);
    return status;
}

static uint8_t read_modem_status(struct serial *serial)
{
    uint8_t status = serial->modem_status;

    serial->modem_status &= 0xf0;
    show_irq(serial);
    return status;
}

static uint64_t read_register(void *opaque, uint64_t offset, unsigned size)
{
    struct serial *serial = opaque;
    bool divisor = serial->line_control & LINE_DIVISOR;
    uint8_t value = 0;

    (void)size;
    switch ((enum register_offset)offset) {
    case DATA: value = divisor ? (uint8_t)serial->divisor : read_data(serial); break;
    case INTERRUPT_ENABLE:
        value = divisor ? (uint8_t)(serial->divisor >> 8) : serial->interrupt_enable;
        break;
    case INTERRUPT_IDENT: value = read_interrupt_ident(serial); break;
    case LINE_CONTROL: value = serial->line_control; break;
    case MODEM_CONTROL: value = serial->modem_control; break;
    case LINE_STATUS: value = read_line_status(serial); break;
    case MODEM_STATUS: value = read_modem_status(serial); break;
    case SCRATCH: value = serial->scratch; break;
    }
    trace_serial_read((uint16_t)offset, value);
    return value;
}

static const struct mem_field line_status_fields[] = {
    {"data", 0, 1},    {"overrun", 1, 1},    {"parity", 2, 1},
    {"framing", 3, 1}, {"break", 4, 1},      {"holding-empty", 5, 1},
    {"empty", 6, 1},   {"fifo-error", 7, 1}, {NULL, 0, 0},
};

static const struct mem_field line_control_fields[] = {
    {"length", 0, 2}, {"stops", 2, 1}, {"parity", 3, 1}, {"even", 4, 1},
    {"stick", 5, 1},  {"break", 6, 1}, {"dlab", 7, 1},   {NULL, 0, 0},
};

static const struct mem_register serial_registers[] = {
    {DATA, 1, MEM_RW, "rbr/thr/dll", NULL},
    {INTERRUPT_ENABLE, 1, MEM_RW, "ier/dlm", NULL},
    {INTERRUPT_IDENT, 1, MEM_RW, "iir/fcr", NULL},
    {LINE_CONTROL, 1, MEM_RW, "lcr", line_control_fields},
    {MODEM_CONTROL, 1, MEM_RW, "mcr", NULL},
    {LINE_STATUS, 1, MEM_RW, "lsr", line_status_fields},
    {MODEM_STATUS, 1, MEM_RW, "msr", NULL},
    {SCRATCH, 1, MEM_RW, "scr", NULL},
    {0, 0, 0, NULL, NULL},
};

const struct mem_ops serial_ops = {
    .read = read_register,
    .write = write_register,
    .impl_min = 1,
    .impl_max = 1,
    .valid_unaligned = true,
    .registers = serial_registers,
};

/* --- the chip --- */

bool serial_realize(struct serial *serial, struct device *owner, struct irq irq, struct error *err)
{
    serial->owner = owner;
    serial->irq = irq;
    timer_init(&serial->timeout, owner->board->clock, receive_timeout, serial);
    timer_init(&serial->stall, owner->board->clock, stall_over, serial);
    serial->front = (struct chardev_front){
        .can_receive = can_receive,
        .receive = receive,
        .event = on_event,
        .writable = has_room,
        .opaque = serial,
    };
    return chardev_attach(&serial->front, serial->chardev, err);
}

void serial_reset(struct serial *serial)
{
    serial->interrupt_enable = serial->fifo_control = serial->line_control = 0;
    serial->modem_control = serial->scratch = serial->shift = 0;
    serial->divisor = RESET_DIVISOR;
    serial->line_status = STATUS_HOLDING_EMPTY | STATUS_EMPTY;
    serial->modem_status = modem_inputs(serial);
    serial->shifting = serial->stalled = serial->send_interrupt = serial->overrun = false;
    memset(serial->received, 0, sizeof serial->received);
    memset(serial->receive_error, 0, sizeof serial->receive_error);
    memset(serial->to_send, 0, sizeof serial->to_send);
    serial->send_first = serial->send_count = 0;
    timer_stop(&serial->stall);
    clear_receiver(serial);
    show_irq(serial);
    chardev_accept_input(&serial->front);
}

bool serial_loaded(struct serial *serial, struct error *err)
{
    if (serial->receive_first >= SERIAL_FIFO_SIZE || serial->receive_count > SERIAL_FIFO_SIZE ||
        serial->send_first >= SERIAL_FIFO_SIZE || serial->send_count > SERIAL_FIFO_SIZE) {
        return error_set(err, "%s: a FIFO is out of its bounds", serial->owner->class->name);
    }
    show_irq(serial);
    if (serial->shifting) {
        send(serial);
    }
    chardev_accept_input(&serial->front);
    return true;
}

void serial_free(struct serial *serial)
{
    chardev_detach(&serial->front);
    if (serial->timeout.clock) {
        timer_stop(&serial->timeout);
        timer_stop(&serial->stall);
    }
}

/* --- on the ISA bus --- */

struct isa_serial {
    struct device device;
    struct serial serial;
    struct mem_region ports;
    uint32_t index, base, line; /* properties; UINT32_MAX: as the index says, and the next one */
};

/* COM1 to COM4 of the PC. */
static const struct {
    uint16_t base;
    uint8_t line;
} places[] = {{0x3f8, 4}, {0x2f8, 3}, {0x3e8, 4}, {0x2e8, 3}};

enum { PLACES = sizeof places / sizeof places[0] };

static const struct device_class isa_serial_class;

static uint32_t next_index(const struct device *device)
{
    uint32_t index = 0;

    for (const struct device *on = device_first(device->board); on; on = on->next) {
        const struct isa_serial *port = (const struct isa_serial *)on;
        if (on != device && on->class == &isa_serial_class && port->index != UINT32_MAX &&
            port->index >= index) {
            index = port->index + 1;
        }
    }
    return index;
}

static bool isa_serial_realize(struct device *device, struct error *err)
{
    struct isa_serial *port = (struct isa_serial *)device;
    struct irq irq;

    if (port->index == UINT32_MAX) {
        port->index = next_index(device);
    }
    if (port->index >= PLACES) {
        return error_set(err, "Max. supported number of ISA serial ports is %d.", PLACES);
    }
    if (port->base == UINT32_MAX) {
        port->base = places[port->index].base;
    }
    if (port->line == UINT32_MAX) {
        port->line = places[port->index].line;
    }
    if (port->base > 0x10000 - SERIAL_PORTS) {
        return error_set(err, "Parameter 'iobase' expects a port up to 0x%x",
                         0x10000 - SERIAL_PORTS);
    }
    if (!isa_irq(device, port->line, &irq, err) ||
        !serial_realize(&port->serial, device, irq, err)) {
        return false;
    }
    mem_init_io(&port->ports, "serial", SERIAL_PORTS, &serial_ops, &port->serial);
    mem_add(device->board->isa->ports, &port->ports, port->base, 0);
    return true;
}

static void isa_serial_reset(struct device *device)
{
    serial_reset(&((struct isa_serial *)device)->serial);
}

static bool isa_serial_loaded(struct device *device, struct error *err)
{
    return serial_loaded(&((struct isa_serial *)device)->serial, err);
}

static void isa_serial_free(struct device *device)
{
    struct isa_serial *port = (struct isa_serial *)device;

    serial_free(&port->serial);
    mem_free(&port->ports);
}

static const struct device_property isa_serial_properties[] = {
    {.name = "index",
     .type = PROPERTY_U32,
     .offset = offsetof(struct isa_serial, index),
     .initial = UINT32_MAX,
     .help = "0 to 3: COM1 to COM4"},
    {.name = "iobase",
     .type = PROPERTY_U32,
     .offset = offsetof(struct isa_serial, base),
     .initial = UINT32_MAX,
     .help = "first port; as the index says"},
    {.name = "irq",
     .type = PROPERTY_U32,
     .offset = offsetof(struct isa_serial, line),
     .initial = UINT32_MAX,
     .help = "interrupt line; as the index says"},
    {.name = "chardev",
     .type = PROPERTY_CHARDEV,
     .offset = offsetof(struct isa_serial, serial.chardev),
     .help = "where the bytes go"},
    {.name = NULL},
};

static const struct device_field isa_serial_state[] = {
    SERIAL_STATE(struct isa_serial, serial),
    FIELD_END,
};

static const struct device_class isa_serial_class = {
    .name = "isa-serial",
    .help = "16550A serial port",
    .bus = "ISA",
    .category = "Input",
    .size = sizeof(struct isa_serial),
    .by_user = true,
    .properties = isa_serial_properties,
    .state = isa_serial_state,
    .realize = isa_serial_realize,
    .reset = isa_serial_reset,
    .loaded = isa_serial_loaded,
    .free = isa_serial_free,
};
DEVICE(isa_serial_class)
