/* SPDX-License-Identifier: MIT
 *
 * The keyboard and mouse controller of the PC: Intel 8042 with IBM's PS/2 firmware (IBM, "PS/2
 * Hardware Interface Technical Reference", Keyboard and Auxiliary Device Controller). It translates
 * scan codes of set 2 to set 1, gates A20 and resets the machine. */
#include "device/i8042.h"

#include <string.h>

#include "device/isa.h"
#include "device/ps2.h"
#include "trace-device.h"

/* Offsets from port 0x60. */
enum { I8042_DATA = 0, I8042_STATUS = 4, I8042_COMMAND = 4 };

enum status {
    STATUS_OUTPUT_FULL = 0x01,
    STATUS_INPUT_FULL = 0x02,
    STATUS_SYSTEM = 0x04,  /* as the command byte says; set by the self test */
    STATUS_COMMAND = 0x08, /* the last write was to 0x64 */
    STATUS_UNLOCKED = 0x10,
    STATUS_AUX = 0x20, /* the output buffer is the mouse's */
};

/* The command byte, byte 0 of the controller's memory. */
enum command_byte {
    MODE_KEYBOARD_IRQ = 0x01,
    MODE_MOUSE_IRQ = 0x02,
    MODE_SYSTEM = 0x04,
    MODE_KEYBOARD_OFF = 0x10,
    MODE_MOUSE_OFF = 0x20,
    MODE_TRANSLATE = 0x40,
};

enum output_port {
    OUTPUT_NO_RESET = 0x01,
    OUTPUT_A20 = 0x02,
    OUTPUT_KEYBOARD_FULL = 0x10,
    OUTPUT_MOUSE_FULL = 0x20,
    OUTPUT_ONES = 0xcc,
};

enum command {
    COMMAND_READ_MEMORY = 0x20,  /* to 0x3f */
    COMMAND_WRITE_MEMORY = 0x60, /* to 0x7f */
    COMMAND_MOUSE_OFF = 0xa7,
    COMMAND_MOUSE_ON = 0xa8,
    COMMAND_TEST_MOUSE = 0xa9,
    COMMAND_SELF_TEST = 0xaa,
    COMMAND_TEST_KEYBOARD = 0xab,
    COMMAND_KEYBOARD_OFF = 0xad,
    COMMAND_KEYBOARD_ON = 0xae,
    COMMAND_READ_INPUT_PORT = 0xc0,
    COMMAND_READ_OUTPUT_PORT = 0xd0,
    COMMAND_WRITE_OUTPUT_PORT = 0xd1,
    COMMAND_WRITE_KEYBOARD_BUFFER = 0xd2,
    COMMAND_WRITE_MOUSE_BUFFER = 0xd3,
    COMMAND_WRITE_MOUSE = 0xd4,
    COMMAND_A20_OFF = 0xdd, /* of many clones */
    COMMAND_A20_ON = 0xdf,
    COMMAND_PULSE = 0xf0, /* to 0xff: the low bits of the output port, those that are 0 */
};

enum {
    SELF_TEST_PASSED = 0x55,
    LINE_TEST_PASSED = 0x00,
    INPUT_PORT = 0x80, /* not locked */
    BREAK_CODE = 0xf0,
    OWN_SIZE = 8, /* answers that wait */
    THROTTLE_NANOSECONDS = 1000000,
};

struct i8042 {
    struct device device;
    struct mem_region data, command;
    struct irq keyboard_irq, mouse_irq, a20;
    struct device *keyboard, *mouse;
    uint32_t keyboard_line, mouse_line; /* properties */
    bool throttle;                      /* the next byte comes a millisecond later */

    uint8_t mode, status, output_port, output;
    uint8_t memory[32];   /* but for byte 0, which is the mode */
    uint8_t parameter_of; /* the command that waits for a byte; 0: none */
    bool break_prefix;    /* 0xf0 came; the next code is one of a key that goes up */
    uint8_t own[OWN_SIZE], own_aux[OWN_SIZE];
    uint8_t own_first, own_count;
    struct timer next;
};

/* The firmware's table, by code of set 2. */
static const uint8_t translation[] = {
    0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29,
    0x59, 0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11,
    0x03, 0x5b, 0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14,
    0x13, 0x06, 0x5d, 0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24,
    0x16, 0x08, 0x09, 0x5f, 0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35,
    0x26, 0x27, 0x19, 0x0c, 0x61, 0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36,
    0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76, 0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c,
    0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f, 0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45,
    0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54, 0x80, 0x81, 0x82, 0x41, 0x54,
};

void i8042_connect_a20(struct device *device, struct irq a20)
{
    ((struct i8042 *)device)->a20 = a20;
}

/* --- the output buffer --- */

static void show_lines(struct i8042 *kbc)
{
    bool full = kbc->status & STATUS_OUTPUT_FULL, aux = kbc->status & STATUS_AUX;

    kbc->output_port &= (uint8_t) ~(OUTPUT_KEYBOARD_FULL | OUTPUT_MOUSE_FULL);
    kbc->output_port |= !full ? 0 : aux ? OUTPUT_MOUSE_FULL : OUTPUT_KEYBOARD_FULL;
    irq_set(kbc->keyboard_irq, full && !aux && kbc->mode & MODE_KEYBOARD_IRQ);
    irq_set(kbc->mouse_irq, full && aux && kbc->mode & MODE_MOUSE_IRQ);
}

static void fill(struct i8042 *kbc, uint8_t byte, bool aux)
{
    kbc->output = byte;
    kbc->status |= STATUS_OUTPUT_FULL;
    kbc->status = (uint8_t)(aux ? kbc->status | STATUS_AUX : kbc->status & ~STATUS_AUX);
    show_lines(kbc);
}

/* A byte of the keyboard as the guest sees it; false: it is only a prefix. */
static bool translate(struct i8042 *kbc, uint8_t *byte)
{
    if (!(kbc->mode & MODE_TRANSLATE)) {
        return true;
    }
    if (*byte == BREAK_CODE) {
        kbc->break_prefix = true;
        return false;
    }
    uint8_t code = *byte < sizeof translation ? translation[*byte] : *byte;
    *byte = (uint8_t)(code | (kbc->break_prefix ? 0x80 : 0));
    kbc->break_prefix = false;
    return true;
}

/* The next byte of whoever has one: the controller, the keyboard, the mouse. */
static void refill(struct i8042 *kbc)
{
    while (!(kbc->status & STATUS_OUTPUT_FULL)) {
        if (kbc->own_count) {
            uint8_t first = kbc->own_first;
            kbc->own_first = (uint8_t)((first + 1) % OWN_SIZE);
            kbc->own_count--;
            fill(kbc, kbc->own[first], kbc->own_aux[first]);
        } else if (timer_is_set(&kbc->next)) {
            return;
        } else if (!(kbc->mode & MODE_KEYBOARD_OFF) && ps2_has_byte(kbc->keyboard)) {
            uint8_t byte = ps2_read(kbc->keyboard);
            if (translate(kbc, &byte)) {
                fill(kbc, byte, false);
            }
        } else if (!(kbc->mode & MODE_MOUSE_OFF) && ps2_has_byte(kbc->mouse)) {
            fill(kbc, ps2_read(kbc->mouse), true);
        } else {
            return;
        }
    }
}

static void throttle_over(void *opaque, uint64_t now)
{
    (void)now;
    refill(opaque);
}

/* A device has something, or has nothing any more. */
static void device_ready(void *opaque, int number, bool level)
{
    (void)number;
    if (level) {
        refill(opaque);
    }
}

static void answer(struct i8042 *kbc, uint8_t byte, bool aux)
{
    if (kbc->own_count < OWN_SIZE) {
        unsigned place = (kbc->own_first + kbc->own_count++) % OWN_SIZE;
        kbc->own[place] = byte;
        kbc->own_aux[place] = aux;
    }
    refill(kbc);
}

static uint64_t read_data(void *opaque, uint64_t offset, unsigned size)
{
    struct i8042 *kbc = opaque;
    uint8_t byte = kbc->output;

    (void)offset, (void)size;
    if (kbc->status & STATUS_OUTPUT_FULL) {
        kbc->status &= (uint8_t) ~(STATUS_OUTPUT_FULL | STATUS_AUX);
        show_lines(kbc);
        if (kbc->throttle) {
            timer_set(&kbc->next, clock_now(kbc->device.board->clock) + THROTTLE_NANOSECONDS);
        }
        refill(kbc);
    }
    trace_pckbd_kbd_read_data(byte);
    return byte;
}

static uint64_t read_status(void *opaque, uint64_t offset, unsigned size)
{
    struct i8042 *kbc = opaque;

    (void)offset, (void)size;
    trace_pckbd_kbd_read_status(kbc->status);
    return kbc->status;
}

/* --- commands --- */

static void set_mode(struct i8042 *kbc, uint8_t mode)
{
    bool translated = kbc->mode & MODE_TRANSLATE;

    kbc->mode = mode;
    kbc->status =
        (uint8_t)((kbc->status & ~STATUS_SYSTEM) | (mode & MODE_SYSTEM ? STATUS_SYSTEM : 0));
    if (translated != !!(mode & MODE_TRANSLATE)) {
        ps2_keyboard_set_translation(kbc->keyboard, !translated);
        kbc->break_prefix = false;
    }
    show_lines(kbc);
    refill(kbc);
}

static void set_output_port(struct i8042 *kbc, uint8_t value)
{
    uint8_t full = kbc->output_port & (OUTPUT_KEYBOARD_FULL | OUTPUT_MOUSE_FULL);

    trace_pckbd_outport_write(value);
    kbc->output_port = (uint8_t)((value & ~(OUTPUT_KEYBOARD_FULL | OUTPUT_MOUSE_FULL)) | full);
    irq_set(kbc->a20, value & OUTPUT_A20);
    if (!(value & OUTPUT_NO_RESET)) {
        struct board *board = kbc->device.board;
        board->request(board, BOARD_RESET, 0);
    }
}

static void self_test(struct i8042 *kbc)
{
    kbc->own_count = 0;
    kbc->status &= (uint8_t) ~(STATUS_OUTPUT_FULL | STATUS_AUX);
    set_mode(kbc, kbc->mode | MODE_SYSTEM);
    kbc->own_count = 0;
    kbc->status &= (uint8_t) ~(STATUS_OUTPUT_FULL | STATUS_AUX);
    answer(kbc, SELF_TEST_PASSED, false);
}

static void other_command(struct i8042 *kbc, uint8_t command)
{
    struct board *board = kbc->device.board;

    if (command >= COMMAND_READ_MEMORY && command < COMMAND_READ_MEMORY + 32) {
        answer(kbc, command == COMMAND_READ_MEMORY ? kbc->mode : kbc->memory[command & 31], false);
    } else if (command >= COMMAND_WRITE_MEMORY && command < COMMAND_WRITE_MEMORY + 32) {
        kbc->parameter_of = command;
    } else if (command >= COMMAND_PULSE) {
        if (!(command & OUTPUT_NO_RESET)) {
            board->request(board, BOARD_RESET, 0);
        }
    } else {
        device_guest_error(&kbc->device, "there is no command 0x%02x", command);
    }
}

static void write_command(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct i8042 *kbc = opaque;
    uint8_t command = (uint8_t)value;

    (void)offset, (void)size;
    trace_pckbd_kbd_write_command(value);
    kbc->status |= STATUS_COMMAND;
    kbc->parameter_of = 0;
    switch (command) {
    case COMMAND_MOUSE_OFF: set_mode(kbc, kbc->mode | MODE_MOUSE_OFF); break;
    case COMMAND_MOUSE_ON: set_mode(kbc, kbc->mode & (uint8_t)~MODE_MOUSE_OFF); break;
    case COMMAND_TEST_MOUSE:
    case COMMAND_TEST_KEYBOARD: answer(kbc, LINE_TEST_PASSED, false); break;
    case COMMAND_SELF_TEST: self_test(kbc); break;
    case COMMAND_KEYBOARD_OFF: set_mode(kbc, kbc->mode | MODE_KEYBOARD_OFF); break;
    case COMMAND_KEYBOARD_ON: set_mode(kbc, kbc->mode & (uint8_t)~MODE_KEYBOARD_OFF); break;
    case COMMAND_READ_INPUT_PORT: answer(kbc, INPUT_PORT, false); break;
    case COMMAND_READ_OUTPUT_PORT: answer(kbc, kbc->output_port, false); break;
    case COMMAND_WRITE_OUTPUT_PORT:
    case COMMAND_WRITE_KEYBOARD_BUFFER:
    case COMMAND_WRITE_MOUSE_BUFFER:
    case COMMAND_WRITE_MOUSE: kbc->parameter_of = command; break;
    case COMMAND_A20_OFF: set_output_port(kbc, kbc->output_port & (uint8_t)~OUTPUT_A20); break;
    case COMMAND_A20_ON: set_output_port(kbc, kbc->output_port | OUTPUT_A20); break;
    default: other_command(kbc, command); break;
    }
}

static void write_data(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct i8042 *kbc = opaque;
    uint8_t byte = (uint8_t)value, command = kbc->parameter_of;

    (void)offset, (void)size;
    trace_pckbd_kbd_write_data(value);
    kbc->status &= (uint8_t)~STATUS_COMMAND;
    kbc->parameter_of = 0;
    switch (command) {
    case 0:
        /* Who is spoken to is switched on. */
        set_mode(kbc, kbc->mode & (uint8_t)~MODE_KEYBOARD_OFF);
        ps2_keyboard_write(kbc->keyboard, byte);
        break;
    case COMMAND_WRITE_OUTPUT_PORT: set_output_port(kbc, byte); break;
    case COMMAND_WRITE_KEYBOARD_BUFFER: answer(kbc, byte, false); break;
    case COMMAND_WRITE_MOUSE_BUFFER: answer(kbc, byte, true); break;
    case COMMAND_WRITE_MOUSE:
        set_mode(kbc, kbc->mode & (uint8_t)~MODE_MOUSE_OFF);
        ps2_mouse_write(kbc->mouse, byte);
        break;
    case COMMAND_WRITE_MEMORY: set_mode(kbc, byte); break;
    default: kbc->memory[command & 31] = byte; break;
    }
    refill(kbc);
}

/* --- the device --- */

static const struct mem_field status_fields[] = {
    {"output-full", 0, 1}, {"input-full", 1, 1}, {"system", 2, 1},
    {"command", 3, 1},     {"unlocked", 4, 1},   {"aux", 5, 1},
    {"timeout", 6, 1},     {"parity", 7, 1},     {NULL, 0, 0},
};

static const struct mem_register data_registers[] = {
    {0, 1, MEM_RW, "data", NULL},
    {0, 0, 0, NULL, NULL},
};

static const struct mem_register command_registers[] = {
    {0, 1, MEM_RW, "status/command", status_fields},
    {0, 0, 0, NULL, NULL},
};

static const struct mem_ops data_ops = {
    .read = read_data,
    .write = write_data,
    .valid_min = 1,
    .valid_max = 1,
    .registers = data_registers,
};

static const struct mem_ops command_ops = {
    .read = read_status,
    .write = write_command,
    .valid_min = 1,
    .valid_max = 1,
    .registers = command_registers,
};

static struct device *add_device(struct i8042 *kbc, const char *name, struct error *err)
{
    struct device *device = device_new(device_class_find(name), kbc->device.board);

    ps2_connect(device, (struct irq){device_ready, kbc, 0});
    return device_realize(device, err) ? device : NULL;
}

static bool i8042_realize(struct device *device, struct error *err)
{
    struct i8042 *kbc = (struct i8042 *)device;

    if (!isa_irq(device, kbc->keyboard_line, &kbc->keyboard_irq, err) ||
        !isa_irq(device, kbc->mouse_line, &kbc->mouse_irq, err)) {
        return false;
    }
    timer_init(&kbc->next, device->board->clock, throttle_over, kbc);
    kbc->keyboard = add_device(kbc, "ps2-kbd", err);
    kbc->mouse = kbc->keyboard ? add_device(kbc, "ps2-mouse", err) : NULL;
    if (!kbc->mouse) {
        return false;
    }
    isa_add_ports(device, &kbc->data, "i8042-data", 0x60 + I8042_DATA, 1, &data_ops);
    isa_add_ports(device, &kbc->command, "i8042-cmd", 0x60 + I8042_COMMAND, 1, &command_ops);
    return true;
}

static void i8042_reset(struct device *device)
{
    struct i8042 *kbc = (struct i8042 *)device;

    kbc->mode = MODE_KEYBOARD_IRQ | MODE_MOUSE_IRQ;
    kbc->status = STATUS_COMMAND | STATUS_UNLOCKED;
    kbc->output_port = OUTPUT_NO_RESET | OUTPUT_A20 | OUTPUT_ONES;
    kbc->output = kbc->parameter_of = 0;
    kbc->break_prefix = false;
    kbc->own_first = kbc->own_count = 0;
    memset(kbc->memory, 0, sizeof kbc->memory);
    timer_stop(&kbc->next);
    irq_set(kbc->a20, true);
    show_lines(kbc);
}

static bool i8042_loaded(struct device *device, struct error *err)
{
    struct i8042 *kbc = (struct i8042 *)device;

    if (kbc->own_first >= OWN_SIZE || kbc->own_count > OWN_SIZE) {
        return error_set(err, "i8042: a queue is out of its bounds");
    }
    irq_set(kbc->a20, kbc->output_port & OUTPUT_A20);
    show_lines(kbc);
    return true;
}

static void i8042_free(struct device *device)
{
    struct i8042 *kbc = (struct i8042 *)device;

    if (kbc->next.clock) {
        timer_stop(&kbc->next);
    }
    mem_free(&kbc->data);
    mem_free(&kbc->command);
}

static const struct device_property i8042_properties[] = {
    {.name = "kbd-irq",
     .type = PROPERTY_U32,
     .offset = offsetof(struct i8042, keyboard_line),
     .initial = 1,
     .help = "interrupt line of the keyboard"},
    {.name = "mouse-irq",
     .type = PROPERTY_U32,
     .offset = offsetof(struct i8042, mouse_line),
     .initial = 12,
     .help = "interrupt line of the mouse"},
    {.name = "kbd-throttle",
     .type = PROPERTY_BOOL,
     .offset = offsetof(struct i8042, throttle),
     .help = "the next byte comes a millisecond after the last one was read"},
    {.name = NULL},
};

static const struct device_field i8042_state[] = {
    FIELD(struct i8042, mode, FIELD_U8),
    FIELD(struct i8042, status, FIELD_U8),
    FIELD(struct i8042, output_port, FIELD_U8),
    FIELD(struct i8042, output, FIELD_U8),
    FIELD_ARRAY(struct i8042, memory, FIELD_U8),
    FIELD(struct i8042, parameter_of, FIELD_U8),
    FIELD(struct i8042, break_prefix, FIELD_BOOL),
    FIELD_ARRAY(struct i8042, own, FIELD_U8),
    FIELD_ARRAY(struct i8042, own_aux, FIELD_U8),
    FIELD(struct i8042, own_first, FIELD_U8),
    FIELD(struct i8042, own_count, FIELD_U8),
    FIELD(struct i8042, next, FIELD_TIMER),
    FIELD_END,
};

static const struct device_bus i8042_buses[] = {{"ps2.0", "PS2"}, {NULL, NULL}};

static const struct device_class i8042_class = {
    .name = "i8042",
    .help = "keyboard and mouse controller",
    .bus = "ISA",
    .category = "Input",
    .size = sizeof(struct i8042),
    .properties = i8042_properties,
    .state = i8042_state,
    .realize = i8042_realize,
    .reset = i8042_reset,
    .loaded = i8042_loaded,
    .free = i8042_free,
    .buses = i8042_buses,
};
DEVICE(i8042_class)
