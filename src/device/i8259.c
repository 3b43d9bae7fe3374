/* SPDX-License-Identifier: MIT
 *
 * The 8259A programmable interrupt controller (Intel data sheet 231468), one device a chip, with
 * the edge/level register of the 82371SB (PIIX3), which takes the place of the LTIM bit in ICW1.
 *
 * An edge stays latched until it is acknowledged, even if the input falls before: a translator may
 * take the interrupt later than a device of the PC expects, and must not lose it. An input in level
 * mode is requested while it is high, no longer.
 */
#include "device/i8259.h"

#include <inttypes.h>

#include "base/strbuf.h"
#include "trace-device.h"

enum { INPUTS = 8, CASCADE = 2, SPURIOUS = 7, NONE = -1 };

/* Offsets of the two ports, A0 of the data sheet. */
enum i8259_port { COMMAND = 0, DATA = 1 };

enum icw1 { ICW1_IC4 = 0x01, ICW1_SNGL = 0x02, ICW1 = 0x10 };
enum icw4 { ICW4_AEOI = 0x02, ICW4_SFNM = 0x10 };
enum ocw2 { OCW2_LEVEL = 0x07, OCW2_EOI = 0x20, OCW2_SL = 0x40, OCW2_R = 0x80 };
enum ocw3 {
    OCW3 = 0x08,
    OCW3_RIS = 0x01,
    OCW3_RR = 0x02,
    OCW3_P = 0x04,
    OCW3_SMM = 0x20,
    OCW3_ESMM = 0x40
};

/* What the next write to the data port is. */
enum i8259_step { EXPECT_OCW1, EXPECT_ICW2, EXPECT_ICW3, EXPECT_ICW4 };

struct i8259 {
    struct device device;
    struct mem_region ports, elcr_port;
    struct irq out;
    struct i8259 *slave; /* of the master */
    /* Properties. */
    uint32_t iobase, elcr_address;
    uint8_t elcr_mask;
    bool master;
    /* State. */
    uint8_t irr, imr, isr;
    uint8_t level; /* the inputs as they are now */
    uint8_t elcr;
    uint8_t first; /* the input of highest priority */
    uint8_t base;  /* ICW2 */
    uint8_t icw3;
    uint8_t step; /* enum i8259_step */
    bool expect_icw4, single;
    bool read_isr, poll;
    bool special_mask, special_fully_nested, auto_eoi, rotate_in_auto_eoi;
    bool output;
    uint64_t count[INPUTS]; /* rises of each input: for people */
};

/* --- priorities --- */

/* The distance from the highest priority, 0 to 7, of the first of the inputs; 8 if there is none.
 */
static unsigned first_priority(const struct i8259 *chip, uint8_t inputs)
{
    unsigned priority = 0;

    while (priority < INPUTS && !(inputs >> ((priority + chip->first) % INPUTS) & 1))
        priority++;
    return priority;
}

/* The input to be served, or NONE. What is in service stops its own level and those below, except
 * that with special fully nested mode the slave's input may interrupt itself, and that in special
 * mask mode what is masked stops nobody. */
static int requested(const struct i8259 *chip)
{
    unsigned priority = first_priority(chip, chip->irr & ~chip->imr);
    uint8_t stopping = chip->special_mask ? chip->isr & (uint8_t)~chip->imr : chip->isr;
    unsigned in_service = first_priority(chip, stopping);
    int input = (int)((priority + chip->first) % INPUTS);

    if (priority < in_service)
        return input;
    if (priority < INPUTS && priority == in_service && input == CASCADE && chip->master &&
        chip->special_fully_nested)
        return input;
    return NONE;
}

static void update(struct i8259 *chip)
{
    bool output = requested(chip) != NONE;

    if (output)
        trace_pic_update_irq(chip->master, chip->imr, chip->irr, chip->first);
    chip->output = output;
    irq_set(chip->out, output);
}

static void set_input(void *opaque, int number, bool level)
{
    struct i8259 *chip = opaque;
    uint8_t bit = (uint8_t)(1 << number);
    bool rises = level && !(chip->level & bit);

    if (chip->level != (level ? chip->level | bit : chip->level & ~bit))
        trace_pic_set_irq(chip->master, number, level);
    chip->level = (uint8_t)(level ? chip->level | bit : chip->level & ~bit);
    chip->count[number] += rises;
    if (chip->elcr & bit)
        chip->irr = (uint8_t)((chip->irr & ~bit) | (level ? bit : 0));
    else if (rises)
        chip->irr |= bit;
    update(chip);
}

/* --- acknowledge and end of interrupt --- */

static void rotate_behind(struct i8259 *chip, unsigned input)
{
    chip->first = (uint8_t)((input + 1) % INPUTS);
}

/* The first of the two INTA pulses. */
static void enter_service(struct i8259 *chip, int input)
{
    uint8_t bit = (uint8_t)(1 << input);

    if (!chip->auto_eoi)
        chip->isr |= bit;
    else if (chip->rotate_in_auto_eoi)
        rotate_behind(chip, (unsigned)input);
    if (!(chip->elcr & bit))
        chip->irr &= (uint8_t)~bit;
}

/* The vector's low bits; the chip is left as after INTA. */
static unsigned acknowledge(struct i8259 *chip)
{
    int input = requested(chip);

    if (input != NONE)
        enter_service(chip, input);
    return input == NONE ? SPURIOUS : (unsigned)input;
}

uint8_t i8259_acknowledge(struct device *device)
{
    struct i8259 *master = (struct i8259 *)device;
    struct i8259 *slave = master->slave;
    unsigned line = acknowledge(master);
    uint8_t vector = (uint8_t)(master->base + line);

    /* The cascade's number goes out only when its request was taken: a spurious 7 is no slave's. */
    if (slave && line == CASCADE) {
        line = acknowledge(slave);
        vector = (uint8_t)(slave->base + line);
        line += INPUTS;
        update(slave);
    }
    update(master);
    trace_pic_interrupt((int)line, vector);
    return vector;
}

/* OCW2 with EOI: of one input, or of the highest that is in service. -1: there was none. */
static int end_of_interrupt(struct i8259 *chip, bool specific, unsigned input)
{
    if (!specific) {
        /* In special mask mode those that are masked stay (data sheet, "End of interrupt"). */
        uint8_t candidates = chip->special_mask ? chip->isr & (uint8_t)~chip->imr : chip->isr;
        unsigned priority = first_priority(chip, candidates);

        if (priority == INPUTS)
            return NONE;
        input = (priority + chip->first) % INPUTS;
    }
    chip->isr &= (uint8_t) ~(1 << input);
    return (int)input;
}

static void write_ocw2(struct i8259 *chip, uint8_t value)
{
    unsigned level = value & OCW2_LEVEL;
    bool rotate = value & OCW2_R;

    if (value & OCW2_EOI) {
        int input = end_of_interrupt(chip, value & OCW2_SL, level);

        if (rotate && input != NONE)
            rotate_behind(chip, (unsigned)input);
    } else if (!(value & OCW2_SL)) {
        chip->rotate_in_auto_eoi = rotate;
    } else if (rotate) {
        rotate_behind(chip, level);
    }
}

/* --- registers --- */

static void write_icw1(struct i8259 *chip, uint8_t value)
{
    /* The edge sense is cleared: an input that is high must fall first, unless it is level's. */
    chip->irr = chip->level & chip->elcr;
    chip->imr = 0;
    chip->isr = 0;
    chip->first = 0;
    chip->special_mask = false;
    chip->read_isr = false;
    chip->poll = false;
    chip->rotate_in_auto_eoi = false;
    chip->single = value & ICW1_SNGL;
    chip->expect_icw4 = value & ICW1_IC4;
    if (!chip->expect_icw4) {
        chip->auto_eoi = false;
        chip->special_fully_nested = false;
    }
    chip->step = EXPECT_ICW2;
}

static void write_ocw3(struct i8259 *chip, uint8_t value)
{
    if (value & OCW3_P)
        chip->poll = true;
    if (value & OCW3_RR)
        chip->read_isr = value & OCW3_RIS;
    if (value & OCW3_ESMM)
        chip->special_mask = value & OCW3_SMM;
}

static void write_data(struct i8259 *chip, uint8_t value)
{
    switch (chip->step) {
    case EXPECT_OCW1: chip->imr = value; break;
    case EXPECT_ICW2:
        chip->base = value & 0xf8;
        chip->step = !chip->single ? EXPECT_ICW3 : chip->expect_icw4 ? EXPECT_ICW4 : EXPECT_OCW1;
        break;
    case EXPECT_ICW3:
        chip->icw3 = value;
        chip->step = chip->expect_icw4 ? EXPECT_ICW4 : EXPECT_OCW1;
        break;
    default:
        chip->auto_eoi = value & ICW4_AEOI;
        chip->special_fully_nested = value & ICW4_SFNM;
        chip->step = EXPECT_OCW1;
    }
}

static void chip_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct i8259 *chip = opaque;
    uint8_t byte = (uint8_t)value;

    (void)size;
    trace_pic_ioport_write(chip->master, offset, value);
    if (offset == DATA)
        write_data(chip, byte);
    else if (byte & ICW1)
        write_icw1(chip, byte);
    else if (byte & OCW3)
        write_ocw3(chip, byte);
    else
        write_ocw2(chip, byte);
    update(chip);
}

/* A poll: the read acts as INTA. */
static uint8_t read_poll(struct i8259 *chip)
{
    int input = requested(chip);

    chip->poll = false;
    if (input == NONE)
        return 0;
    enter_service(chip, input);
    update(chip);
    return (uint8_t)(0x80 | input);
}

static uint64_t chip_read(void *opaque, uint64_t offset, unsigned size)
{
    struct i8259 *chip = opaque;
    uint8_t value;

    (void)size;
    if (chip->poll)
        value = read_poll(chip);
    else if (offset == DATA)
        value = chip->imr;
    else
        value = chip->read_isr ? chip->isr : chip->irr;
    trace_pic_ioport_read(chip->master, offset, value);
    return value;
}

static void elcr_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct i8259 *chip = opaque;

    (void)offset;
    (void)size;
    chip->elcr = (uint8_t)value & chip->elcr_mask;
    chip->irr = (uint8_t)((chip->irr & ~chip->elcr) | (chip->level & chip->elcr));
    update(chip);
}

static uint64_t elcr_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)offset;
    (void)size;
    return ((struct i8259 *)opaque)->elcr;
}

static const struct mem_field command_fields[] = {{"level", 0, 3}, {"ocw3", 3, 1}, {"icw1", 4, 1},
                                                  {"eoi", 5, 1},   {"sl", 6, 1},   {"r", 7, 1},
                                                  {NULL, 0, 0}};

static const struct mem_register chip_registers[] = {
    {COMMAND, 1, MEM_RW, "COMMAND", command_fields},
    {DATA, 1, MEM_RW, "DATA", NULL},
    {0, 0, 0, NULL, NULL},
};

static const struct mem_register elcr_registers[] = {
    {0, 1, MEM_RW, "ELCR", NULL},
    {0, 0, 0, NULL, NULL},
};

static const struct mem_ops chip_ops = {
    .read = chip_read,
    .write = chip_write,
    .impl_min = 1,
    .impl_max = 1,
    .registers = chip_registers,
};

static const struct mem_ops elcr_ops = {
    .read = elcr_read,
    .write = elcr_write,
    .impl_min = 1,
    .impl_max = 1,
    .registers = elcr_registers,
};

/* --- the device --- */

static bool chip_realize(struct device *device, struct error *err)
{
    struct i8259 *chip = (struct i8259 *)device;

    if (chip->iobase > 0xfffe || chip->elcr_address > 0xffff)
        return error_set(err,
                         "isa-i8259: iobase %#x and elcr_addr %#x must be ports, at most 0xffff",
                         chip->iobase, chip->elcr_address);
    mem_init_io(&chip->ports, "pic", 2, &chip_ops, chip);
    mem_add(device->board->port_root, &chip->ports, chip->iobase, 0);
    mem_init_io(&chip->elcr_port, "elcr", 1, &elcr_ops, chip);
    mem_add(device->board->port_root, &chip->elcr_port, chip->elcr_address, 0);
    return true;
}

static void chip_reset(struct device *device)
{
    struct i8259 *chip = (struct i8259 *)device;

    chip->elcr = 0;
    write_icw1(chip, 0);
    chip->step = EXPECT_OCW1;
    chip->base = 0;
    chip->icw3 = 0;
    update(chip);
}

static bool chip_loaded(struct device *device, struct error *err)
{
    struct i8259 *chip = (struct i8259 *)device;

    if (chip->first >= INPUTS || chip->step > EXPECT_ICW4)
        return error_set(err, "isa-i8259: priority %u or step %u is out of range", chip->first,
                         chip->step);
    update(chip);
    return true;
}

static void chip_free(struct device *device)
{
    struct i8259 *chip = (struct i8259 *)device;

    if (device->realized) {
        mem_free(&chip->ports);
        mem_free(&chip->elcr_port);
    }
}

static const struct device_property chip_properties[] = {
    {"iobase", PROPERTY_U32, offsetof(struct i8259, iobase), 0x20, NULL, NULL, "port of the chip"},
    {"elcr_addr", PROPERTY_U32, offsetof(struct i8259, elcr_address), 0x4d0, NULL, NULL,
     "port of its edge/level register"},
    {"elcr_mask", PROPERTY_U8, offsetof(struct i8259, elcr_mask), 0xf8, NULL, NULL,
     "inputs that can be level-triggered"},
    {"master", PROPERTY_BOOL, offsetof(struct i8259, master), 1, NULL, NULL,
     "the chip next to the CPU"},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

static const struct device_field chip_state[] = {
    FIELD(struct i8259, irr, FIELD_U8),
    FIELD(struct i8259, imr, FIELD_U8),
    FIELD(struct i8259, isr, FIELD_U8),
    FIELD(struct i8259, level, FIELD_U8),
    FIELD(struct i8259, elcr, FIELD_U8),
    FIELD(struct i8259, first, FIELD_U8),
    FIELD(struct i8259, base, FIELD_U8),
    FIELD(struct i8259, icw3, FIELD_U8),
    FIELD(struct i8259, step, FIELD_U8),
    FIELD(struct i8259, expect_icw4, FIELD_BOOL),
    FIELD(struct i8259, single, FIELD_BOOL),
    FIELD(struct i8259, read_isr, FIELD_BOOL),
    FIELD(struct i8259, poll, FIELD_BOOL),
    FIELD(struct i8259, special_mask, FIELD_BOOL),
    FIELD(struct i8259, special_fully_nested, FIELD_BOOL),
    FIELD(struct i8259, auto_eoi, FIELD_BOOL),
    FIELD(struct i8259, rotate_in_auto_eoi, FIELD_BOOL),
    FIELD_END,
};

static const struct device_class i8259_class = {
    .name = "isa-i8259",
    .help = "8259A interrupt controller",
    .bus = "ISA",
    .category = "Misc",
    .size = sizeof(struct i8259),
    .properties = chip_properties,
    .state = chip_state,
    .realize = chip_realize,
    .reset = chip_reset,
    .loaded = chip_loaded,
    .free = chip_free,
};
DEVICE(i8259_class)

/* --- the pair --- */

struct device *i8259_new_pair(struct board *board, struct irq out, struct error *err)
{
    struct i8259 *master = (struct i8259 *)device_new(&i8259_class, board);
    struct i8259 *slave;

    master->out = out;
    if (!device_realize(&master->device, err))
        return NULL;
    slave = (struct i8259 *)device_new(&i8259_class, board);
    slave->iobase = 0xa0;
    slave->elcr_address = 0x4d1;
    slave->elcr_mask = 0xde;
    slave->master = false;
    slave->out = (struct irq){set_input, master, CASCADE};
    if (!device_realize(&slave->device, err))
        return NULL;
    master->slave = slave;
    return &master->device;
}

struct irq i8259_line(struct device *device, unsigned number)
{
    struct i8259 *master = (struct i8259 *)device;

    if (number == CASCADE || number >= 2 * INPUTS)
        return (struct irq){NULL, NULL, 0};
    return (struct irq){set_input, number < INPUTS ? master : master->slave,
                        (int)(number % INPUTS)};
}

bool i8259_pending(const struct device *master)
{
    return ((const struct i8259 *)master)->output;
}

static void print_chip(const struct i8259 *chip, unsigned number, struct strbuf *text)
{
    strbuf_printf(
        text,
        "pic%u: irr=%02x imr=%02x isr=%02x hprio=%u irq_base=%02x rr_sel=%d elcr=%02x fnm=%d\n",
        number, chip->irr, chip->imr, chip->isr, chip->first, chip->base, chip->read_isr,
        chip->elcr, chip->special_fully_nested);
}

void i8259_print(const struct device *device, struct strbuf *text)
{
    const struct i8259 *master = (const struct i8259 *)device;

    if (master->slave)
        print_chip(master->slave, 1, text);
    print_chip(master, 0, text);
}

void i8259_print_counts(const struct device *device, struct strbuf *text)
{
    const struct i8259 *master = (const struct i8259 *)device;

    strbuf_puts(text, "IRQ statistics for isa-i8259:\n");
    for (unsigned line = 0; line < 2 * INPUTS; line++) {
        const struct i8259 *chip = line < INPUTS ? master : master->slave;

        if (chip && line != CASCADE && chip->count[line % INPUTS])
            strbuf_printf(text, "%2u: %" PRIu64 "\n", line, chip->count[line % INPUTS]);
    }
}
