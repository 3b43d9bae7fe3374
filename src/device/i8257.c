/* SPDX-License-Identifier: MIT
 *
 * The DMA controllers of the PC: two 8237A (Intel data sheet 231466), one device a chip, with the
 * page registers of the 82371SB (PIIX3) and the upper ones of EISA. QEMU calls the device i8257.
 *
 * Channels 0 to 3 move bytes, 5 to 7 words of two; the first chip hangs on channel 4 of the second,
 * which must be open and in cascade mode. A transfer takes no time: while a channel's request is up
 * its device is called and moves what it has. The address counts within a page of 64 KiB (128 KiB
 * of words), as the chip's 16 bits do.
 */
#include "device/i8257.h"

#include "trace-device.h"

enum { CHANNELS = 4, CASCADE = 4, PAGES = 8, REGISTERS = 16 };

/* Numbers of registers; the second chip's lie at every other port. */
enum i8237_register {
    COMMAND = 0x08, /* read: status */
    REQUEST = 0x09,
    SINGLE_MASK = 0x0a,
    MODE = 0x0b,
    CLEAR_FLIP_FLOP = 0x0c,
    MASTER_CLEAR = 0x0d, /* read: temporary register */
    CLEAR_MASK = 0x0e,
    ALL_MASK = 0x0f,
};

enum command { COMMAND_MEMORY = 0x01, COMMAND_DISABLE = 0x04 };
enum mode {
    MODE_TYPE = 0x0c,
    MODE_VERIFY = 0x00,
    MODE_WRITE = 0x04, /* to memory */
    MODE_READ = 0x08,
    MODE_AUTO = 0x10,
    MODE_DOWN = 0x20,
    MODE_KIND = 0xc0,
    MODE_CASCADE = 0xc0,
};
enum { CHANNEL_BIT = 0x03, SET_BIT = 0x04 };

/* Which page register belongs to which channel (82371SB data sheet, "DMA page registers"). */
static const uint8_t PAGE_OF[CHANNELS] = {7, 3, 1, 2};

/* A device may ask again at once and for ever; behind this many calls others get their turn. */
enum { CALLS_A_TURN = 16, TURN_NS = 10000 };

struct channel {
    uint16_t base_address, base_count, address, count;
    uint8_t mode;
    bool terminal; /* all was moved; see has_terminal_count() */
    /* The device. */
    isa_dma_fn *transfer;
    void *opaque;
    bool line;
    uint32_t position; /* bytes since the channel was programmed or began again */
};

struct i8257 {
    struct device device;
    struct mem_region registers, pages, high_pages;
    struct timer turn;
    struct isa_dma dma;                       /* of the first chip */
    struct i8257 *second;                     /* of the first chip */
    struct i8257 *first;                      /* of the second */
    uint32_t base, page_base, high_page_base; /* properties */
    uint8_t shift;                            /* property: 1: channels of words */
    uint8_t command, mask, request, status;
    bool high_byte; /* the flip-flop */
    bool running;   /* a device is being called: it may change the request */
    uint8_t page[PAGES], high_page[PAGES];
    struct channel channel[CHANNELS];
};

/* --- where a transfer is --- */

static unsigned number_of(const struct i8257 *chip, unsigned channel)
{
    return channel + (chip->shift ? CASCADE : 0);
}

static uint32_t bytes_left(const struct i8257 *chip, unsigned number)
{
    return ((uint32_t)chip->channel[number].count + 1) << chip->shift;
}

/* The memory address `ahead` bytes behind the current one. */
static uint64_t address_at(const struct i8257 *chip, unsigned number, uint32_t ahead)
{
    const struct channel *c = &chip->channel[number];
    unsigned page = PAGE_OF[number];
    uint64_t high = (uint64_t)chip->high_page[page] << 24;
    uint32_t unit = ahead >> chip->shift;
    uint16_t low = (uint16_t)(c->mode & MODE_DOWN ? c->address - unit : c->address + unit);

    if (!chip->shift)
        return high | (uint32_t)chip->page[page] << 16 | low;
    return high | (chip->page[page] & 0xfeu) << 16 | (uint32_t)low << 1 | (ahead & 1);
}

/* --- running --- */

static bool is_open(const struct i8257 *chip, unsigned number)
{
    return !(chip->command & COMMAND_DISABLE) && !(chip->mask >> number & 1);
}

/* Through the second chip's channel 0, for the first one. */
static bool is_cascaded(const struct i8257 *chip)
{
    return !chip->second || (is_open(chip->second, 0) &&
                             (chip->second->channel[0].mode & MODE_KIND) == MODE_CASCADE);
}

static bool may_run(const struct i8257 *chip, unsigned number)
{
    return ((chip->request >> number & 1) || chip->channel[number].line) && is_open(chip, number) &&
           is_cascaded(chip) && (chip->channel[number].mode & MODE_KIND) != MODE_CASCADE;
}

static void begin_again(struct channel *c)
{
    c->address = c->base_address;
    c->count = c->base_count;
    c->position = 0;
    c->terminal = false;
}

static void moved(struct i8257 *chip, unsigned number, uint32_t bytes)
{
    struct channel *c = &chip->channel[number];
    uint32_t units = bytes >> chip->shift;

    c->position += bytes;
    c->address = (uint16_t)(c->mode & MODE_DOWN ? c->address - units : c->address + units);
    if (bytes < bytes_left(chip, number)) {
        c->count = (uint16_t)(c->count - units);
        return;
    }
    trace_i8257_terminal_count(number_of(chip, number));
    chip->status |= (uint8_t)(1 << number);
    chip->request &= (uint8_t) ~(1 << number);
    c->count = 0xffff;
    c->terminal = true;
    if (!(c->mode & MODE_AUTO))
        chip->mask |= (uint8_t)(1 << number);
}

/* One call of the channel's device. False: nothing moved. */
static bool call(struct i8257 *chip, unsigned number)
{
    struct channel *c = &chip->channel[number];
    uint32_t left, done;

    if (c->terminal)
        begin_again(c);
    left = bytes_left(chip, number);
    if (!c->transfer) {
        trace_i8257_unregistered_dma((int)number_of(chip, number), (int)c->position,
                                     (int)(c->position + left));
        chip->request &= (uint8_t) ~(1 << number);
        return false;
    }
    chip->running = true;
    done = (uint32_t)c->transfer(c->opaque, number_of(chip, number), c->position, left);
    chip->running = false;
    done = (done < left ? done : left) >> chip->shift << chip->shift;
    if (!done)
        return false;
    moved(chip, number, done);
    return true;
}

static void run(struct i8257 *chip)
{
    unsigned calls = 0;

    if (chip->running)
        return;
    for (unsigned number = 0; number < CHANNELS; number++) {
        while (may_run(chip, number) && calls < CALLS_A_TURN) {
            calls++;
            if (!call(chip, number))
                break;
        }
    }
    if (calls == CALLS_A_TURN)
        timer_set(&chip->turn, clock_now(chip->device.board->clock) + TURN_NS);
}

static void next_turn(void *opaque, uint64_t now)
{
    (void)now;
    run(opaque);
}

/* --- for devices --- */

static struct i8257 *chip_of(void *opaque, unsigned channel, unsigned *number)
{
    struct i8257 *first = opaque;

    *number = channel % CHANNELS;
    return channel < CASCADE ? first : first->second;
}

static void dma_attach(void *opaque, unsigned channel, isa_dma_fn *transfer, void *device)
{
    unsigned number;
    struct channel *c = &chip_of(opaque, channel, &number)->channel[0];

    c[number].transfer = transfer;
    c[number].opaque = device;
}

static void dma_request(void *opaque, unsigned channel, bool level)
{
    unsigned number;
    struct i8257 *chip = chip_of(opaque, channel, &number);

    chip->channel[number].line = level;
    if (level)
        run(chip);
}

/* False if the transfer is of another type, or would go past its end. */
static bool allows(const struct i8257 *chip, unsigned number, uint8_t type, size_t position,
                   size_t size)
{
    const struct channel *c = &chip->channel[number];
    uint32_t left = bytes_left(chip, number);

    return is_open(chip, number) && !c->terminal && (c->mode & MODE_TYPE) == type &&
           position >= c->position && position - c->position <= left &&
           size <= left - (position - c->position);
}

/* Bytes (words) one by one where they lie in an order that memory's is not: at the end of the page,
 * or downwards. */
static bool dma_move(struct i8257 *chip, unsigned number, uint8_t *to, const uint8_t *from,
                     size_t position, size_t size)
{
    const struct channel *c = &chip->channel[number];
    uint32_t ahead = (uint32_t)position - c->position;

    while (size) {
        uint64_t address = address_at(chip, number, ahead);
        size_t unit = (size_t)1 << chip->shift, piece = unit - (ahead & (unit - 1));

        if (!(c->mode & MODE_DOWN)) {
            uint64_t page = UINT64_C(0x10000) << chip->shift;

            piece = page - address % page;
        }
        piece = piece < size ? piece : size;
        if (to) {
            dma_read(&chip->device, address, to, piece);
            to += piece;
        } else {
            dma_write(&chip->device, address, from, piece);
            from += piece;
        }
        ahead += (uint32_t)piece;
        size -= piece;
    }
    return true;
}

static bool dma_read_memory(void *opaque, unsigned channel, void *to, size_t position, size_t size)
{
    unsigned number;
    struct i8257 *chip = chip_of(opaque, channel, &number);

    return allows(chip, number, MODE_READ, position, size) &&
           dma_move(chip, number, to, NULL, position, size);
}

/* In verify mode the device's bytes go nowhere. */
static bool dma_write_memory(void *opaque, unsigned channel, const void *from, size_t position,
                             size_t size)
{
    unsigned number;
    struct i8257 *chip = chip_of(opaque, channel, &number);

    if (allows(chip, number, MODE_VERIFY, position, size))
        return true;
    return allows(chip, number, MODE_WRITE, position, size) &&
           dma_move(chip, number, NULL, from, position, size);
}

static bool dma_has_terminal_count(void *opaque, unsigned channel)
{
    unsigned number;
    const struct i8257 *chip = chip_of(opaque, channel, &number);

    return chip->channel[number].terminal;
}

/* --- registers --- */

static void changed(struct i8257 *chip)
{
    run(chip);
    if (chip->first) /* its chip hangs on our channel 0 */
        run(chip->first);
}

static uint16_t with_byte(uint16_t was, bool high, uint8_t value)
{
    return (uint16_t)(high ? (was & 0xff) | value << 8 : (was & 0xff00) | value);
}

static void write_channel(struct i8257 *chip, unsigned index, uint8_t value)
{
    struct channel *c = &chip->channel[index / 2];
    bool high = chip->high_byte;

    chip->high_byte = !high;
    if (index % 2) {
        c->base_count = with_byte(c->base_count, high, value);
        c->count = with_byte(c->terminal ? c->base_count : c->count, high, value);
    } else {
        c->base_address = with_byte(c->base_address, high, value);
        c->address = with_byte(c->address, high, value);
    }
    c->terminal = false;
    c->position = 0;
    if (high && index % 2)
        trace_i8257_program(number_of(chip, index / 2), (uint32_t)address_at(chip, index / 2, 0),
                            bytes_left(chip, index / 2), c->mode);
}

static uint8_t read_channel(struct i8257 *chip, unsigned index)
{
    const struct channel *c = &chip->channel[index / 2];
    uint16_t value = index % 2 ? c->count : c->address;
    bool high = chip->high_byte;

    /* A channel that begins again by itself shows its beginning. */
    if (c->terminal && c->mode & MODE_AUTO)
        value = index % 2 ? c->base_count : c->base_address;
    chip->high_byte = !high;
    return (uint8_t)(high ? value >> 8 : value);
}

static void master_clear(struct i8257 *chip)
{
    chip->command = chip->status = chip->request = 0;
    chip->high_byte = false;
    chip->mask = 0x0f;
}

static void write_control(struct i8257 *chip, unsigned index, uint8_t value)
{
    uint8_t bit = (uint8_t)(1 << (value & CHANNEL_BIT));

    switch (index) {
    case COMMAND:
        if (value & COMMAND_MEMORY)
            device_guest_error(&chip->device, "the PC has no transfers from memory to memory");
        chip->command = value;
        break;
    case REQUEST:
        chip->request = (uint8_t)(value & SET_BIT ? chip->request | bit : chip->request & ~bit);
        break;
    case SINGLE_MASK:
        chip->mask = (uint8_t)(value & SET_BIT ? chip->mask | bit : chip->mask & ~bit);
        break;
    case MODE: chip->channel[value & CHANNEL_BIT].mode = value & (uint8_t)~CHANNEL_BIT; break;
    case CLEAR_FLIP_FLOP: chip->high_byte = false; break;
    case MASTER_CLEAR: master_clear(chip); break;
    case CLEAR_MASK: chip->mask = 0; break;
    default: chip->mask = value & 0x0f; break;
    }
    changed(chip);
}

static uint8_t read_status(struct i8257 *chip)
{
    uint8_t value = chip->status;

    for (unsigned i = 0; i < CHANNELS; i++)
        value |= (uint8_t)((chip->channel[i].line || chip->request >> i & 1) << (4 + i));
    chip->status = 0;
    return value;
}

static uint64_t registers_read(void *opaque, uint64_t offset, unsigned size)
{
    struct i8257 *chip = opaque;
    unsigned index = (unsigned)(offset >> chip->shift);

    (void)size;
    if (index < COMMAND)
        return read_channel(chip, index);
    switch (index) {
    case COMMAND: return read_status(chip);
    case ALL_MASK: return chip->mask | 0xf0u; /* 82371SB */
    case MASTER_CLEAR: return 0;              /* no transfer ever wrote the temporary register */
    default: return 0xff;
    }
}

static void registers_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct i8257 *chip = opaque;
    unsigned index = (unsigned)(offset >> chip->shift);

    (void)size;
    if (index < COMMAND)
        write_channel(chip, index, (uint8_t)value);
    else
        write_control(chip, index, (uint8_t)value);
}

/* Those of no channel are memory, of use to no one; port 0x80 shows what firmware is doing. */
static uint64_t pages_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)size;
    return ((struct i8257 *)opaque)->page[offset];
}

static void pages_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct i8257 *chip = opaque;

    (void)size;
    chip->page[offset] = (uint8_t)value;
    chip->high_page[offset] = 0; /* EISA: a write to the page clears its upper part */
}

static uint64_t high_pages_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)size;
    return ((struct i8257 *)opaque)->high_page[offset];
}

static void high_pages_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    (void)size;
    ((struct i8257 *)opaque)->high_page[offset] = (uint8_t)value;
}

static const struct mem_field mode_fields[] = {{"channel", 0, 2}, {"type", 2, 2}, {"auto", 4, 1},
                                               {"down", 5, 1},    {"kind", 6, 2}, {NULL, 0, 0}};
static const struct mem_field mask_fields[] = {{"channel", 0, 2}, {"set", 2, 1}, {NULL, 0, 0}};

/* clang-format off */
#define REGISTER_TABLE(width)                                           \
    {0x0 * (width), width, MEM_RW, "ADDRESS0", NULL},                   \
    {0x1 * (width), width, MEM_RW, "COUNT0", NULL},                     \
    {0x2 * (width), width, MEM_RW, "ADDRESS1", NULL},                   \
    {0x3 * (width), width, MEM_RW, "COUNT1", NULL},                     \
    {0x4 * (width), width, MEM_RW, "ADDRESS2", NULL},                   \
    {0x5 * (width), width, MEM_RW, "COUNT2", NULL},                     \
    {0x6 * (width), width, MEM_RW, "ADDRESS3", NULL},                   \
    {0x7 * (width), width, MEM_RW, "COUNT3", NULL},                     \
    {0x8 * (width), width, MEM_RW, "COMMAND", NULL},                    \
    {0x9 * (width), width, MEM_W, "REQUEST", mask_fields},              \
    {0xa * (width), width, MEM_W, "SINGLE_MASK", mask_fields},          \
    {0xb * (width), width, MEM_W, "MODE", mode_fields},                 \
    {0xc * (width), width, MEM_W, "CLEAR_FLIP_FLOP", NULL},             \
    {0xd * (width), width, MEM_RW, "MASTER_CLEAR", NULL},               \
    {0xe * (width), width, MEM_W, "CLEAR_MASK", NULL},                  \
    {0xf * (width), width, MEM_RW, "ALL_MASK", NULL},                   \
    {0, 0, 0, NULL, NULL},
static const struct mem_register byte_registers[] = {REGISTER_TABLE(1)};
static const struct mem_register word_registers[] = {REGISTER_TABLE(2)};
/* clang-format on */

static const struct mem_register page_registers[] = {
    {1, 1, MEM_RW, "PAGE2", NULL},
    {2, 1, MEM_RW, "PAGE3", NULL},
    {3, 1, MEM_RW, "PAGE1", NULL},
    {7, 1, MEM_RW, "PAGE0", NULL},
    {0, 1, MEM_RW, "PAGE_NONE", NULL},
    {4, 3, MEM_RW, "PAGE_NONE", NULL},
    {0, 0, 0, NULL, NULL},
};

#define OPS(reader, writer, table)                                                         \
    {                                                                                      \
        .read = reader, .write = writer, .impl_min = 1, .impl_max = 1, .registers = table, \
    }
static const struct mem_ops byte_ops = OPS(registers_read, registers_write, byte_registers);
static const struct mem_ops word_ops = OPS(registers_read, registers_write, word_registers);
static const struct mem_ops page_ops = OPS(pages_read, pages_write, page_registers);
static const struct mem_ops high_page_ops = OPS(high_pages_read, high_pages_write, page_registers);

/* --- the device --- */

static bool dma_realize(struct device *device, struct error *err)
{
    struct i8257 *chip = (struct i8257 *)device;
    struct mem_region *ports = device->board->port_root;

    if (chip->base > 0xffe0 || chip->page_base > 0xfff8 || chip->high_page_base > 0xfff8 ||
        chip->shift > 1)
        return error_set(err, "i8257: base, page-base and pageh-base must be ports, dshift 0 or 1");
    timer_init(&chip->turn, device->board->clock, next_turn, chip);
    mem_init_io(&chip->registers, "dma", REGISTERS << chip->shift,
                chip->shift ? &word_ops : &byte_ops, chip);
    mem_add(ports, &chip->registers, chip->base, 0);
    mem_init_io(&chip->pages, "dma-page", PAGES, &page_ops, chip);
    mem_add(ports, &chip->pages, chip->page_base, 0);
    mem_init_io(&chip->high_pages, "dma-pageh", PAGES, &high_page_ops, chip);
    mem_add(ports, &chip->high_pages, chip->high_page_base, 0);
    return true;
}

static void dma_reset(struct device *device)
{
    struct i8257 *chip = (struct i8257 *)device;

    master_clear(chip);
    timer_stop(&chip->turn);
    for (unsigned i = 0; i < CHANNELS; i++) {
        struct channel *c = &chip->channel[i];

        c->base_address = c->base_count = c->address = c->count = 0;
        c->mode = 0;
        c->terminal = false;
        c->position = 0;
    }
    for (unsigned i = 0; i < PAGES; i++)
        chip->page[i] = chip->high_page[i] = 0;
}

static bool dma_loaded(struct device *device, struct error *err)
{
    struct i8257 *chip = (struct i8257 *)device;

    (void)err;
    chip->mask &= 0x0f;
    chip->request &= 0x0f;
    return true;
}

static void dma_free(struct device *device)
{
    struct i8257 *chip = (struct i8257 *)device;

    if (!device->realized)
        return;
    timer_stop(&chip->turn);
    mem_free(&chip->registers);
    mem_free(&chip->pages);
    mem_free(&chip->high_pages);
}

static const struct device_property dma_properties[] = {
    {"base", PROPERTY_U32, offsetof(struct i8257, base), 0x00, NULL, NULL, "first of its ports"},
    {"page-base", PROPERTY_U32, offsetof(struct i8257, page_base), 0x80, NULL, NULL,
     "first port of its page registers"},
    {"pageh-base", PROPERTY_U32, offsetof(struct i8257, high_page_base), 0x480, NULL, NULL,
     "first port of the upper ones"},
    {"dshift", PROPERTY_U8, offsetof(struct i8257, shift), 0, NULL, NULL,
     "0: moves bytes; 1: words of two bytes"},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

static const struct device_field channel_fields[] = {
    FIELD(struct channel, base_address, FIELD_U16),
    FIELD(struct channel, base_count, FIELD_U16),
    FIELD(struct channel, address, FIELD_U16),
    FIELD(struct channel, count, FIELD_U16),
    FIELD(struct channel, mode, FIELD_U8),
    FIELD(struct channel, terminal, FIELD_BOOL),
    FIELD(struct channel, line, FIELD_BOOL),
    FIELD(struct channel, position, FIELD_U32),
    FIELD_END,
};

static const struct device_field dma_state[] = {
    FIELD(struct i8257, command, FIELD_U8),
    FIELD(struct i8257, mask, FIELD_U8),
    FIELD(struct i8257, request, FIELD_U8),
    FIELD(struct i8257, status, FIELD_U8),
    FIELD(struct i8257, high_byte, FIELD_BOOL),
    FIELD_ARRAY(struct i8257, page, FIELD_U8),
    FIELD_ARRAY(struct i8257, high_page, FIELD_U8),
    FIELD_STRUCTS(struct i8257, channel, channel_fields),
    FIELD(struct i8257, turn, FIELD_TIMER),
    FIELD_END,
};

static const struct device_class i8257_class = {
    .name = "i8257",
    .help = "8237A DMA controller",
    .bus = "ISA",
    .category = "Misc",
    .size = sizeof(struct i8257),
    .properties = dma_properties,
    .state = dma_state,
    .realize = dma_realize,
    .reset = dma_reset,
    .loaded = dma_loaded,
    .free = dma_free,
};
DEVICE(i8257_class)

const struct isa_dma *i8257_new_pair(struct board *board, struct error *err)
{
    struct i8257 *first = (struct i8257 *)device_new(&i8257_class, board);
    struct i8257 *second;

    if (!device_realize(&first->device, err))
        return NULL;
    second = (struct i8257 *)device_new(&i8257_class, board);
    second->base = 0xc0;
    second->page_base = 0x88;
    second->high_page_base = 0x488;
    second->shift = 1;
    if (!device_realize(&second->device, err))
        return NULL;
    first->second = second;
    second->first = first;
    first->dma = (struct isa_dma){
        .opaque = first,
        .attach = dma_attach,
        .request = dma_request,
        .read = dma_read_memory,
        .write = dma_write_memory,
        .has_terminal_count = dma_has_terminal_count,
    };
    return &first->dma;
}
