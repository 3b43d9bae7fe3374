/* SPDX-License-Identifier: MIT
 *
 * The 8254 programmable interval timer (Intel data sheet 231164), clocked with 1193182 Hz.
 *
 * Nothing counts: what a counter holds and what its output is follows from the tick at which it was
 * loaded and the tick it is now. A timer of the machine's clock is set only for the next change of
 * channel 0's output, and only when its line is connected to something.
 *
 *     written     loaded: the clock pulse behind it
 *        |          |
 *     ---+----------+----------+----- ticks
 *                 start      start + 1 ...      elapsed = tick - start
 *
 * A gate that is low stops modes 0, 2, 3 and 4: `held` is what had elapsed. Modes 1 and 5 start
 * with the gate's rising edge.
 */
#include "device/i8254.h"

#include "trace-device.h"

enum i8254_port { COUNTER_0 = 0, CONTROL = 3 };
enum { NS_PER_SECOND = 1000000000 };

/* RW of the control word, and which byte comes next in a counter with two. */
enum read_write { RW_LATCH = 0, RW_LOW = 1, RW_HIGH = 2, RW_BOTH = 3 };

enum read_back { BACK_NO_STATUS = 0x10, BACK_NO_COUNT = 0x20, BACK_COUNTER_0 = 0x02 };

enum status { STATUS_NULL_COUNT = 0x40, STATUS_OUTPUT = 0x80 };

#define NOT_STARTED UINT64_MAX

/* Of the clock's time 0. A half of a square wave may have begun, as far as we count, before it. */
enum { FIRST_TICK = 65536 };

struct channel {
    uint8_t mode, rw;
    bool bcd;
    bool gate;
    uint32_t count;   /* 1 to 65536 (10000 if BCD); 0: none was written since the mode */
    uint32_t pending; /* written while it counts, not yet in force; 0: none */
    bool pending_low; /* mode 3: written while the output was low */
    uint64_t start;   /* the tick it was loaded; NOT_STARTED */
    bool is_held;     /* by the gate */
    uint64_t held;
    uint16_t latched_count;
    uint8_t latched_status;
    uint8_t latched_bytes; /* of the count, that are still to be read */
    bool status_latched;
    bool read_high, write_high; /* the next byte is the high one */
    uint8_t low;                /* written, the high one is missing */
};

struct i8254 {
    struct device device;
    struct mem_region ports;
    struct irq out;
    struct timer timer;
    uint32_t iobase; /* property */
    struct channel channel[PIT_CHANNELS];
    bool level; /* of the output line */
};

/* --- time --- */

static uint64_t tick_now(const struct i8254 *pit)
{
    return FIRST_TICK + time_scale(clock_now(pit->device.board->clock), PIT_HZ, NS_PER_SECOND);
}

/* The first nanosecond of a tick. */
static uint64_t tick_time(uint64_t tick)
{
    unsigned __int128 ns = (unsigned __int128)(tick - FIRST_TICK) * NS_PER_SECOND + PIT_HZ - 1;

    return (uint64_t)(ns / PIT_HZ);
}

/* How long the output of mode 3 is high or low in a cycle of `count`. */
static uint32_t half(uint32_t count, bool high)
{
    return high ? (count + 1) / 2 : count / 2;
}

/* Modes 2 and 3 take a new count over at the end of a cycle, or of half a cycle: `start` is in the
 * cycle in which it was written. */
static void advance(struct channel *c, uint64_t tick)
{
    uint64_t elapsed = tick - c->start;
    uint32_t high = half(c->count, true);

    if ((c->mode != 2 && c->mode != 3) || !c->pending || c->is_held || tick < c->start)
        return;
    if (c->mode == 3 && !c->pending_low && elapsed >= high) {
        c->start += high;
        c->start -= half(c->pending, true);
    } else if (elapsed >= c->count) {
        c->start += c->count;
    } else {
        return;
    }
    c->count = c->pending;
    c->pending = 0;
}

static uint64_t elapsed_at(const struct channel *c, uint64_t tick)
{
    if (c->is_held)
        return c->held;
    return c->start == NOT_STARTED || tick < c->start ? 0 : tick - c->start;
}

static bool started(const struct channel *c, uint64_t tick)
{
    return c->count && c->start != NOT_STARTED && (c->is_held || tick >= c->start);
}

/* --- what follows from it --- */

static bool output_at(const struct channel *c, uint64_t tick)
{
    uint64_t elapsed = elapsed_at(c, tick);

    switch (c->mode) {
    case 0: return started(c, tick) && elapsed >= c->count;
    case 1: return !started(c, tick) || elapsed >= c->count;
    case 2: return !c->gate || !started(c, tick) || elapsed % c->count != c->count - 1;
    case 3: return !c->gate || !started(c, tick) || elapsed % c->count < half(c->count, true);
    default: return !started(c, tick) || elapsed != c->count;
    }
}

/* The next tick after `tick` at which the output changes; NOT_STARTED: never by itself. */
static uint64_t next_change(const struct channel *c, uint64_t tick)
{
    uint64_t elapsed, phase, cycle;

    if (!c->count || c->start == NOT_STARTED || c->is_held)
        return NOT_STARTED;
    if (tick < c->start && c->mode == 1)
        return c->start;
    tick = tick < c->start ? c->start : tick;
    elapsed = tick - c->start;
    phase = elapsed % c->count;
    cycle = tick - phase;
    switch (c->mode) {
    case 0:
    case 1: return elapsed < c->count ? c->start + c->count : NOT_STARTED;
    case 2: return phase < c->count - 1 ? cycle + c->count - 1 : cycle + c->count;
    case 3: return phase < half(c->count, true) ? cycle + half(c->count, true) : cycle + c->count;
    default:
        if (elapsed < c->count)
            return c->start + c->count;
        return elapsed == c->count ? tick + 1 : NOT_STARTED;
    }
}

static uint16_t to_bcd(uint32_t value)
{
    return (uint16_t)(value % 10 | value / 10 % 10 << 4 | value / 100 % 10 << 8 |
                      value / 1000 % 10 << 12);
}

/* Digits that are no digits count as what they are worth. */
static uint32_t from_bcd(uint16_t bcd)
{
    return (bcd & 0xfu) + (bcd >> 4 & 0xfu) * 10 + (bcd >> 8 & 0xfu) * 100 + (bcd >> 12) * 1000u;
}

static uint16_t counter_at(const struct channel *c, uint64_t tick)
{
    uint32_t modulus = c->bcd ? 10000 : 65536;
    uint64_t elapsed = elapsed_at(c, tick);
    uint32_t value;

    if (!c->count) {
        value = 0;
    } else if (c->mode == 2) {
        value = c->count - (uint32_t)(elapsed % c->count);
    } else if (c->mode == 3) {
        uint32_t phase = (uint32_t)(elapsed % c->count);

        /* By twos, from the even number at or below the count (data sheet, "Mode 3"). */
        value = (c->count & ~1u) -
                2 * (phase < half(c->count, true) ? phase : phase - half(c->count, true));
    } else {
        value = (uint32_t)((c->count + modulus - elapsed % modulus) % modulus);
    }
    value %= modulus;
    return c->bcd ? to_bcd(value) : (uint16_t)value;
}

/* --- the line of channel 0 --- */

static void update_line(struct i8254 *pit)
{
    struct channel *c = &pit->channel[0];
    uint64_t tick = tick_now(pit), next;
    bool level;

    advance(c, tick);
    level = output_at(c, tick);
    if (level != pit->level) {
        pit->level = level;
        trace_pit_output(0, level);
        irq_set(pit->out, level);
    }
    next = pit->out.set ? next_change(c, tick) : NOT_STARTED;
    timer_set(&pit->timer, next == NOT_STARTED ? TIMER_NEVER : tick_time(next));
}

/* In a clock that was late, the edges that were missed are one. */
static void line_changes(void *opaque, uint64_t now)
{
    struct i8254 *pit = opaque;
    struct channel *c = &pit->channel[0];
    uint64_t tick = tick_now(pit);

    (void)now;
    advance(c, tick);
    if (output_at(c, tick) == pit->level) {
        trace_pit_output(0, !pit->level);
        irq_set(pit->out, !pit->level);
        trace_pit_output(0, pit->level);
        irq_set(pit->out, pit->level);
    }
    update_line(pit);
}

/* --- counters --- */

static void load(struct channel *c, uint64_t tick)
{
    c->start = tick + 1;
    c->is_held = false;
    c->held = 0;
    if (!c->gate && c->mode != 1 && c->mode != 5)
        c->is_held = true;
    c->pending = 0;
}

static void write_count(struct i8254 *pit, unsigned number, uint16_t raw)
{
    struct channel *c = &pit->channel[number];
    uint64_t tick = tick_now(pit);
    uint32_t modulus = c->bcd ? 10000 : 65536;
    uint32_t count = c->bcd ? from_bcd(raw) : raw;
    bool first = c->count == 0;

    if (count == 0)
        count = modulus;
    /* One is no period: the data sheet forbids it. It becomes the shortest there is. */
    if (count == 1 && (c->mode == 2 || c->mode == 3))
        count = 2;
    trace_pit_program(number, c->mode, c->bcd, count);
    advance(c, tick);
    switch (c->mode) {
    case 0:
    case 4:
        c->count = count;
        load(c, tick);
        break;
    case 1:
    case 5: /* for the next trigger; one that runs goes on with the old one */
        if (first || c->start == NOT_STARTED)
            c->count = count;
        else
            c->pending = count;
        break;
    default:
        if (!first && tick >= c->start && !c->is_held && c->start != NOT_STARTED) {
            c->start = tick - (tick - c->start) % c->count;
            c->pending = count;
            c->pending_low = tick - c->start >= half(c->count, true);
        } else {
            c->count = count;
            load(c, tick);
        }
    }
}

void i8254_set_gate(struct device *device, unsigned number, bool level)
{
    struct i8254 *pit = (struct i8254 *)device;
    struct channel *c = &pit->channel[number % PIT_CHANNELS];
    uint64_t tick = tick_now(pit);

    if (c->gate == level)
        return;
    trace_pit_gate(number, level);
    advance(c, tick);
    c->gate = level;
    switch (c->mode) {
    case 0:
    case 4:
        if (!level && started(c, tick) && !c->is_held) {
            c->held = tick - c->start;
            c->is_held = true;
        } else if (level && c->is_held) {
            c->start = tick - c->held;
            c->is_held = false;
        }
        break;
    case 1:
    case 5:
        if (level && c->count) {
            if (c->pending)
                c->count = c->pending;
            load(c, tick);
        }
        break;
    default:
        if (!level && c->count) {
            c->held = elapsed_at(c, tick);
            c->is_held = true;
        } else if (c->count) {
            if (c->pending)
                c->count = c->pending;
            load(c, tick);
        }
    }
    if (number == 0)
        update_line(pit);
}

bool i8254_gate(const struct device *device, unsigned number)
{
    return ((const struct i8254 *)device)->channel[number % PIT_CHANNELS].gate;
}

bool i8254_output(struct device *device, unsigned number)
{
    struct i8254 *pit = (struct i8254 *)device;
    struct channel *c = &pit->channel[number % PIT_CHANNELS];
    uint64_t tick = tick_now(pit);

    advance(c, tick);
    return output_at(c, tick);
}

/* --- registers --- */

static void latch_count(struct channel *c, uint64_t tick)
{
    if (c->latched_bytes)
        return;
    c->latched_count = counter_at(c, tick);
    c->latched_bytes = c->rw == RW_BOTH ? 2 : 1;
}

static void latch_status(struct channel *c, uint64_t tick)
{
    if (c->status_latched)
        return;
    c->latched_status = (uint8_t)(c->rw << 4 | c->mode << 1 | c->bcd);
    if (output_at(c, tick))
        c->latched_status |= STATUS_OUTPUT;
    if (!started(c, tick) || c->pending)
        c->latched_status |= STATUS_NULL_COUNT;
    c->status_latched = true;
}

static void set_mode(struct i8254 *pit, unsigned number, uint8_t control)
{
    struct channel *c = &pit->channel[number];
    uint8_t mode = control >> 1 & 7;

    c->rw = control >> 4 & 3;
    c->mode = mode > 5 ? mode & 3 : mode; /* 6 and 7 are 2 and 3 */
    c->bcd = control & 1;
    c->count = c->pending = 0;
    c->start = NOT_STARTED;
    c->is_held = false;
    c->held = 0;
    c->latched_bytes = 0;
    c->status_latched = false;
    c->read_high = c->write_high = false;
    if (number == 0)
        update_line(pit);
}

static void write_control(struct i8254 *pit, uint8_t control)
{
    uint64_t tick = tick_now(pit);
    unsigned number = control >> 6;

    if (number < PIT_CHANNELS) {
        advance(&pit->channel[number], tick);
        if ((control >> 4 & 3) == RW_LATCH)
            latch_count(&pit->channel[number], tick);
        else
            set_mode(pit, number, control);
        return;
    }
    for (unsigned i = 0; i < PIT_CHANNELS; i++) {
        if (!(control & BACK_COUNTER_0 << i))
            continue;
        advance(&pit->channel[i], tick);
        if (!(control & BACK_NO_COUNT))
            latch_count(&pit->channel[i], tick);
        if (!(control & BACK_NO_STATUS))
            latch_status(&pit->channel[i], tick);
    }
}

static void write_counter(struct i8254 *pit, unsigned number, uint8_t value)
{
    struct channel *c = &pit->channel[number];

    switch (c->rw) {
    case RW_LOW: write_count(pit, number, value); break;
    case RW_HIGH: write_count(pit, number, (uint16_t)(value << 8)); break;
    default:
        if (!c->write_high) {
            c->low = value;
            c->write_high = true;
            if (c->mode == 0) { /* the first byte stops it, with the output low */
                c->start = NOT_STARTED;
                c->is_held = false;
            }
        } else {
            c->write_high = false;
            write_count(pit, number, (uint16_t)(value << 8 | c->low));
        }
    }
    if (number == 0)
        update_line(pit);
}

static uint8_t read_counter(struct i8254 *pit, unsigned number)
{
    struct channel *c = &pit->channel[number];
    uint64_t tick = tick_now(pit);
    uint16_t value;
    bool high;

    advance(c, tick);
    if (c->status_latched) {
        c->status_latched = false;
        return c->latched_status;
    }
    value = c->latched_bytes ? c->latched_count : counter_at(c, tick);
    if (c->latched_bytes)
        c->latched_bytes--;
    high = c->rw == RW_HIGH || (c->rw == RW_BOTH && c->read_high);
    if (c->rw == RW_BOTH)
        c->read_high = !c->read_high;
    return (uint8_t)(high ? value >> 8 : value);
}

static void pit_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    (void)size;
    trace_pit_write(offset, (uint8_t)value);
    if (offset == CONTROL)
        write_control(opaque, (uint8_t)value);
    else
        write_counter(opaque, (unsigned)offset, (uint8_t)value);
}

static uint64_t pit_read(void *opaque, uint64_t offset, unsigned size)
{
    /* The control word cannot be read: nothing drives the bus. */
    uint8_t value = offset == CONTROL ? 0xff : read_counter(opaque, (unsigned)offset);

    (void)size;
    trace_pit_read(offset, value);
    return value;
}

static const struct mem_field control_fields[] = {
    {"bcd", 0, 1}, {"mode", 1, 3}, {"rw", 4, 2}, {"sc", 6, 2}, {NULL, 0, 0}};

static const struct mem_register pit_registers[] = {
    {0, 1, MEM_RW, "COUNTER0", NULL},
    {1, 1, MEM_RW, "COUNTER1", NULL},
    {2, 1, MEM_RW, "COUNTER2", NULL},
    {CONTROL, 1, MEM_W, "CONTROL", control_fields},
    {0, 0, 0, NULL, NULL},
};

static const struct mem_ops pit_ops = {
    .read = pit_read,
    .write = pit_write,
    .impl_min = 1,
    .impl_max = 1,
    .registers = pit_registers,
};

/* --- the device --- */

static bool pit_realize(struct device *device, struct error *err)
{
    struct i8254 *pit = (struct i8254 *)device;

    if (pit->iobase > 0xfffc)
        return error_set(err, "isa-pit: iobase %#x must be a port, at most 0xfffc", pit->iobase);
    timer_init(&pit->timer, device->board->clock, line_changes, pit);
    mem_init_io(&pit->ports, "pit", 4, &pit_ops, pit);
    mem_add(device->board->port_root, &pit->ports, pit->iobase, 0);
    return true;
}

/* The data sheet leaves the state after power-on open; nothing counts until it is programmed. The
 * gates of channels 0 and 1 are wired high, that of channel 2 is port 0x61's. */
static void pit_reset(struct device *device)
{
    struct i8254 *pit = (struct i8254 *)device;

    for (unsigned i = 0; i < PIT_CHANNELS; i++) {
        pit->channel[i] = (struct channel){.rw = RW_BOTH, .gate = i != 2, .start = NOT_STARTED};
    }
    update_line(pit);
}

static bool pit_loaded(struct device *device, struct error *err)
{
    struct i8254 *pit = (struct i8254 *)device;

    for (unsigned i = 0; i < PIT_CHANNELS; i++) {
        const struct channel *c = &pit->channel[i];

        if (c->mode > 5 || c->rw > RW_BOTH || c->count > 65536 || c->pending > 65536)
            return error_set(err, "isa-pit: channel %u has mode %u, rw %u, count %u: out of range",
                             i, c->mode, c->rw, c->count);
    }
    irq_set(pit->out, pit->level);
    update_line(pit);
    return true;
}

static void pit_free(struct device *device)
{
    struct i8254 *pit = (struct i8254 *)device;

    if (device->realized) {
        timer_stop(&pit->timer);
        mem_free(&pit->ports);
    }
}

static const struct device_property pit_properties[] = {
    {"iobase", PROPERTY_U32, offsetof(struct i8254, iobase), 0x40, NULL, NULL,
     "first of its ports"},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

static const struct device_field channel_fields[] = {
    FIELD(struct channel, mode, FIELD_U8),
    FIELD(struct channel, rw, FIELD_U8),
    FIELD(struct channel, bcd, FIELD_BOOL),
    FIELD(struct channel, gate, FIELD_BOOL),
    FIELD(struct channel, count, FIELD_U32),
    FIELD(struct channel, pending, FIELD_U32),
    FIELD(struct channel, pending_low, FIELD_BOOL),
    FIELD(struct channel, start, FIELD_U64),
    FIELD(struct channel, is_held, FIELD_BOOL),
    FIELD(struct channel, held, FIELD_U64),
    FIELD(struct channel, latched_count, FIELD_U16),
    FIELD(struct channel, latched_status, FIELD_U8),
    FIELD(struct channel, latched_bytes, FIELD_U8),
    FIELD(struct channel, status_latched, FIELD_BOOL),
    FIELD(struct channel, read_high, FIELD_BOOL),
    FIELD(struct channel, write_high, FIELD_BOOL),
    FIELD(struct channel, low, FIELD_U8),
    FIELD_END,
};

static const struct device_field pit_state[] = {
    FIELD_STRUCTS(struct i8254, channel, channel_fields),
    FIELD(struct i8254, level, FIELD_BOOL),
    FIELD(struct i8254, timer, FIELD_TIMER),
    FIELD_END,
};

static const struct device_class i8254_class = {
    .name = "isa-pit",
    .help = "8254 interval timer",
    .bus = "ISA",
    .category = "Misc",
    .size = sizeof(struct i8254),
    .properties = pit_properties,
    .state = pit_state,
    .realize = pit_realize,
    .reset = pit_reset,
    .loaded = pit_loaded,
    .free = pit_free,
};
DEVICE(i8254_class)

struct device *i8254_new(struct board *board, struct irq out, struct error *err)
{
    struct i8254 *pit = (struct i8254 *)device_new(&i8254_class, board);

    pit->out = out;
    return device_realize(&pit->device, err) ? &pit->device : NULL;
}
