/* SPDX-License-Identifier: MIT
 *
 * The high precision event timer (IA-PC HPET specification 1.0a): three timers that can all be
 * periodic and have 64 bits, at 100 MHz, with legacy replacement and without FSB interrupts.
 *
 * Nothing counts: the main counter is the machine's clock in units of 10 ns plus `offset` while it
 * is enabled, and stands at `counter` else. A timer of the clock is set for the next match of a
 * comparator.
 */
#include "device/hpet.h"

#include "trace-device.h"

enum hpet_offset {
    CAPABILITIES = 0x000,
    CONFIGURATION = 0x010,
    STATUS = 0x020,
    COUNTER = 0x0f0,
    TIMER_0 = 0x100,
    TIMER_SIZE = 0x20,
    REGION_SIZE = 0x400,
};

/* Within a timer. */
enum { TN_CONFIGURATION = 0x00, TN_COMPARATOR = 0x08, TN_ROUTE = 0x10 };

#define CAPABILITIES_LOW UINT64_C(0x8086a201)
#define PERIOD_FS        (UINT64_C(1000000) * HPET_PERIOD_NS)
#define CONFIG_ENABLE    UINT64_C(1)
#define CONFIG_LEGACY    UINT64_C(2)
#define TN_LEVEL         UINT64_C(0x0002)
#define TN_ENABLE        UINT64_C(0x0004)
#define TN_PERIODIC      UINT64_C(0x0008)
#define TN_CAN_PERIODIC  UINT64_C(0x0010)
#define TN_CAN_64        UINT64_C(0x0020)
#define TN_SET_VALUE     UINT64_C(0x0040)
#define TN_32            UINT64_C(0x0100)
#define TN_ROUTE_SHIFT   9
#define TN_ROUTE_BITS    UINT64_C(0x3e00)
#define TN_WRITABLE      (TN_LEVEL | TN_ENABLE | TN_PERIODIC | TN_SET_VALUE | TN_32 | TN_ROUTE_BITS)

/* A timer fires no more often than this: each is one interrupt, and the host must get to other
 * work. In units of the counter. */
enum { SHORTEST_PERIOD = 200 };

struct hpet;

struct hpet_timer {
    struct timer timer;
    struct hpet *hpet;
    uint8_t number;
    uint64_t config;
    uint64_t comparator;
    uint64_t period; /* of a periodic one: what was written last */
    bool upper_too;  /* the lower half of the accumulator was written, with TN_SET_VALUE */
};

struct hpet {
    struct device device;
    struct mem_region region;
    struct irq isa[2];
    struct irq line[HPET_LINES];
    uint32_t route_capability; /* property */
    bool input[2];             /* the interval timer's and the real-time clock's lines */
    uint64_t config, status;
    uint64_t offset;  /* counter - clock / 10, while enabled */
    uint64_t counter; /* while it stands */
    struct hpet_timer timer[HPET_TIMERS];
};

/* --- the counter --- */

static bool enabled(const struct hpet *hpet)
{
    return hpet->config & CONFIG_ENABLE;
}

static uint64_t ticks(const struct hpet *hpet)
{
    return clock_now(hpet->device.board->clock) / HPET_PERIOD_NS;
}

static uint64_t counter(const struct hpet *hpet)
{
    return enabled(hpet) ? hpet->offset + ticks(hpet) : hpet->counter;
}

/* --- interrupts --- */

static bool is_legacy(const struct hpet_timer *t)
{
    return t->hpet->config & CONFIG_LEGACY && t->number < 2;
}

static struct irq line_of(const struct hpet_timer *t, unsigned *number)
{
    *number = (unsigned)((t->config & TN_ROUTE_BITS) >> TN_ROUTE_SHIFT);
    if (is_legacy(t)) {
        *number = t->number ? 8 : 0;
        return t->hpet->isa[t->number];
    }
    if (!(t->hpet->route_capability >> *number & 1))
        return (struct irq){NULL, NULL, 0};
    return t->hpet->line[*number];
}

static void set_interrupt(struct hpet_timer *t, bool level)
{
    unsigned number;
    struct irq irq = line_of(t, &number);
    uint64_t bit = UINT64_C(1) << t->number;

    if (!level) {
        if (t->hpet->status & bit) {
            t->hpet->status &= ~bit;
            trace_hpet_interrupt(t->number, number, false);
            irq_set(irq, false);
        }
        return;
    }
    if (t->config & TN_LEVEL) {
        t->hpet->status |= bit; /* also if it may not interrupt: the specification, "T_INT_STS" */
        if (!(t->config & TN_ENABLE))
            return;
        trace_hpet_interrupt(t->number, number, true);
        irq_set(irq, true);
    } else if (t->config & TN_ENABLE) {
        trace_hpet_interrupt(t->number, number, true);
        irq_pulse(irq);
    }
}

/* --- comparators --- */

static uint64_t mask_of(const struct hpet_timer *t)
{
    return t->config & TN_32 ? UINT32_MAX : UINT64_MAX;
}

/* How far the next match is from the counter `from`, which itself does not count: 1 to 2^bits (0
 * stands for 2^64). */
static uint64_t distance(const struct hpet_timer *t, uint64_t from)
{
    uint64_t far = (t->comparator - from) & mask_of(t);

    return far ? far : mask_of(t) + 1;
}

static void set_timer(struct hpet_timer *t)
{
    struct hpet *hpet = t->hpet;
    uint64_t now = ticks(hpet), far, limit = (TIMER_NEVER - 1) / HPET_PERIOD_NS;

    if (!enabled(hpet)) {
        timer_stop(&t->timer);
        return;
    }
    far = distance(t, counter(hpet));
    if (far == 0 || far > limit - now) {
        timer_stop(&t->timer);
        return;
    }
    timer_set(&t->timer, (now + far) * HPET_PERIOD_NS);
}

/* Periodic: the comparator moves on, over matches that nobody could have seen. */
static void move_on(struct hpet_timer *t, uint64_t now)
{
    uint64_t mask = mask_of(t), period = t->period & mask, behind;

    if (!(t->config & TN_PERIODIC) || !period)
        return;
    behind = (now - t->comparator) & mask;
    if (period < SHORTEST_PERIOD)
        behind += SHORTEST_PERIOD;
    t->comparator = (t->comparator + (behind / period + 1) * period) & mask;
}

static void timer_fires(void *opaque, uint64_t time)
{
    struct hpet_timer *t = opaque;

    (void)time;
    move_on(t, counter(t->hpet));
    set_interrupt(t, true);
    set_timer(t);
}

static void set_timers(struct hpet *hpet)
{
    for (unsigned i = 0; i < HPET_TIMERS; i++)
        set_timer(&hpet->timer[i]);
}

/* --- registers: all by halves of 32 bits --- */

/* `was` with the half at `offset` (0 or 4) replaced. */
static uint64_t with_half(uint64_t was, unsigned offset, uint32_t value)
{
    unsigned shift = offset * 8;

    return (was & ~(UINT64_C(0xffffffff) << shift)) | (uint64_t)value << shift;
}

static uint64_t timer_config(const struct hpet_timer *t)
{
    return t->config | TN_CAN_PERIODIC | TN_CAN_64 | (uint64_t)t->hpet->route_capability << 32;
}

static void write_timer_config(struct hpet_timer *t, unsigned half, uint32_t value)
{
    trace_hpet_ram_write_tn_cfg((uint8_t)half);
    if (half)
        return;
    if (!(value & TN_LEVEL) || !(value & TN_ENABLE) || (value ^ t->config) & TN_ROUTE_BITS)
        set_interrupt(t, false);
    t->config = value & TN_WRITABLE;
    if (t->config & TN_32) {
        t->comparator = (uint32_t)t->comparator;
        t->period = (uint32_t)t->period;
    }
    set_timer(t);
}

/* A periodic timer's accumulator is written while VAL_SET is set, which ends with it; else what is
 * written is the period. Of a one-shot timer there is only the comparator. Of 64 bits the upper
 * half comes second, and belongs to where the lower one went. */
static void write_comparator(struct hpet_timer *t, unsigned half, uint32_t value)
{
    bool accumulator = t->config & TN_SET_VALUE || (half && t->upper_too);

    trace_hpet_ram_write_tn_cmp((uint8_t)half);
    if (half && t->config & TN_32)
        return;
    if (!(t->config & TN_PERIODIC) || accumulator)
        t->comparator = with_half(t->comparator, half, value);
    if (t->config & TN_PERIODIC)
        t->period = with_half(t->period, half, value);
    t->upper_too = accumulator && !half;
    t->config &= ~TN_SET_VALUE;
    set_timer(t);
}

static void write_config(struct hpet *hpet, uint32_t value)
{
    bool was = enabled(hpet), legacy = hpet->config & CONFIG_LEGACY;
    uint64_t now = counter(hpet);

    if (legacy != ((value & CONFIG_LEGACY) != 0)) { /* the lines are others from now on */
        set_interrupt(&hpet->timer[0], false);
        set_interrupt(&hpet->timer[1], false);
    }
    hpet->config = value & (CONFIG_ENABLE | CONFIG_LEGACY);
    if (!was && enabled(hpet))
        hpet->offset = now - ticks(hpet);
    else if (was && !enabled(hpet))
        hpet->counter = now;
    if (legacy != ((hpet->config & CONFIG_LEGACY) != 0)) {
        for (unsigned i = 0; i < 2; i++)
            irq_set(hpet->isa[i], !(hpet->config & CONFIG_LEGACY) && hpet->input[i]);
    }
    set_timers(hpet);
}

static void write_counter(struct hpet *hpet, unsigned half, uint32_t value)
{
    uint64_t was = counter(hpet), is = with_half(was, half, value);

    if (enabled(hpet)) { /* the specification does not say what then */
        trace_hpet_ram_write_counter_write_while_enabled();
        device_guest_error(&hpet->device, "the main counter is written while it runs");
        hpet->offset = is - ticks(hpet);
        set_timers(hpet);
    } else {
        hpet->counter = is;
    }
    trace_hpet_ram_write_counter_written((uint8_t)half, value, is);
}

static void write_status(struct hpet *hpet, uint32_t value)
{
    for (unsigned i = 0; i < HPET_TIMERS; i++) {
        if (value >> i & 1)
            set_interrupt(&hpet->timer[i], false);
    }
}

static struct hpet_timer *timer_at(struct hpet *hpet, uint64_t offset)
{
    uint64_t number = (offset - TIMER_0) / TIMER_SIZE;

    if (number < HPET_TIMERS)
        return &hpet->timer[number];
    trace_hpet_timer_id_out_of_range((uint8_t)number);
    return NULL;
}

static uint64_t read_timer(const struct hpet_timer *t, uint64_t offset)
{
    switch (offset & (TIMER_SIZE - 1) & ~7u) {
    case TN_CONFIGURATION: return timer_config(t);
    case TN_COMPARATOR: return t->comparator;
    default: return 0; /* the FSB route, which there is not */
    }
}

static uint64_t read_64(struct hpet *hpet, uint64_t offset)
{
    struct hpet_timer *t;
    uint64_t value;

    switch (offset & ~UINT64_C(7)) {
    case CAPABILITIES: return CAPABILITIES_LOW | PERIOD_FS << 32;
    case CONFIGURATION: return hpet->config;
    case STATUS: return hpet->status;
    case COUNTER:
        value = counter(hpet);
        trace_hpet_ram_read_reading_counter(offset & 4, value);
        return value;
    default: break;
    }
    if (offset < TIMER_0) {
        trace_hpet_ram_read_invalid();
        return 0;
    }
    t = timer_at(hpet, offset);
    return t ? read_timer(t, offset) : 0;
}

static uint64_t hpet_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)size;
    trace_hpet_ram_read(offset);
    return (uint32_t)(read_64(opaque, offset) >> (offset & 4) * 8);
}

static void write_timer(struct hpet_timer *t, uint64_t offset, uint32_t value)
{
    unsigned half = offset & 4;

    trace_hpet_ram_write_timer_id(t->number);
    switch (offset & (TIMER_SIZE - 1) & ~7u) {
    case TN_CONFIGURATION: write_timer_config(t, half, value); break;
    case TN_COMPARATOR: write_comparator(t, half, value); break;
    default: trace_hpet_ram_write_invalid(); break;
    }
}

static void hpet_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct hpet *hpet = opaque;
    unsigned half = offset & 4;
    struct hpet_timer *t;

    (void)size;
    trace_hpet_ram_write(offset, value);
    switch (offset & ~UINT64_C(7)) {
    case CAPABILITIES: return;
    case CONFIGURATION:
        if (half)
            trace_hpet_invalid_hpet_cfg((uint8_t)half);
        else
            write_config(hpet, (uint32_t)value);
        return;
    case STATUS:
        if (!half)
            write_status(hpet, (uint32_t)value);
        return;
    case COUNTER: write_counter(hpet, half, (uint32_t)value); return;
    default: break;
    }
    if (offset < TIMER_0) {
        trace_hpet_ram_write_invalid();
        return;
    }
    t = timer_at(hpet, offset);
    if (t)
        write_timer(t, offset, (uint32_t)value);
}

static const struct mem_field config_fields[] = {{"enable", 0, 1}, {"legacy", 1, 1}, {NULL, 0, 0}};
static const struct mem_field timer_fields[] = {
    {"level", 1, 1},        {"enable", 2, 1}, {"periodic", 3, 1},
    {"can_periodic", 4, 1}, {"can_64", 5, 1}, {"val_set", 6, 1},
    {"mode_32", 8, 1},      {"route", 9, 5},  {NULL, 0, 0}};

/* clang-format off */
#define TIMER_REGISTERS(n)                                                              \
    {TIMER_0 + n * TIMER_SIZE + TN_CONFIGURATION, 8, MEM_RW, "T" #n "_CONF", timer_fields}, \
    {TIMER_0 + n * TIMER_SIZE + TN_COMPARATOR, 8, MEM_RW, "T" #n "_COMPARATOR", NULL},  \
    {TIMER_0 + n * TIMER_SIZE + TN_ROUTE, 8, MEM_RW, "T" #n "_FSB_ROUTE", NULL}
static const struct mem_register hpet_registers[] = {
    {CAPABILITIES, 8, MEM_R, "GCAP_ID", NULL},
    {CONFIGURATION, 8, MEM_RW, "GEN_CONF", config_fields},
    {STATUS, 8, MEM_RW, "GINTR_STA", NULL},
    {COUNTER, 8, MEM_RW, "MAIN_CNT", NULL},
    TIMER_REGISTERS(0),
    TIMER_REGISTERS(1),
    TIMER_REGISTERS(2),
    {0, 0, 0, NULL, NULL},
};
/* clang-format on */

static const struct mem_ops hpet_ops = {
    .read = hpet_read,
    .write = hpet_write,
    .valid_min = 4,
    .valid_max = 8,
    .impl_min = 4,
    .impl_max = 4,
    .registers = hpet_registers,
};

/* --- the lines that legacy replacement takes --- */

static void set_input(void *opaque, int number, bool level)
{
    struct hpet *hpet = opaque;

    hpet->input[number] = level;
    if (!(hpet->config & CONFIG_LEGACY))
        irq_set(hpet->isa[number], level);
}

struct irq hpet_isa_line(struct device *device, unsigned which)
{
    return (struct irq){set_input, device, (int)(which & 1)};
}

/* --- the device --- */

static bool hpet_realize(struct device *device, struct error *err)
{
    struct hpet *hpet = (struct hpet *)device;

    (void)err;
    for (unsigned i = 0; i < HPET_TIMERS; i++) {
        hpet->timer[i].hpet = hpet;
        hpet->timer[i].number = (uint8_t)i;
        timer_init(&hpet->timer[i].timer, device->board->clock, timer_fires, &hpet->timer[i]);
    }
    mem_init_io(&hpet->region, "hpet", REGION_SIZE, &hpet_ops, hpet);
    mem_add(device->board->memory_root, &hpet->region, HPET_BASE, 0);
    return true;
}

static void hpet_reset(struct device *device)
{
    struct hpet *hpet = (struct hpet *)device;

    for (unsigned i = 0; i < HPET_TIMERS; i++) {
        struct hpet_timer *t = &hpet->timer[i];

        set_interrupt(t, false);
        timer_stop(&t->timer);
        t->config = 0;
        t->comparator = UINT64_MAX;
        t->period = 0;
        t->upper_too = false;
    }
    write_config(hpet, 0);
    hpet->status = 0;
    hpet->offset = hpet->counter = 0;
}

static bool hpet_loaded(struct device *device, struct error *err)
{
    struct hpet *hpet = (struct hpet *)device;

    (void)err;
    for (unsigned i = 0; i < HPET_TIMERS; i++)
        hpet->timer[i].config &= TN_WRITABLE;
    hpet->config &= CONFIG_ENABLE | CONFIG_LEGACY;
    hpet->status &= (1u << HPET_TIMERS) - 1;
    return true;
}

static void hpet_free(struct device *device)
{
    struct hpet *hpet = (struct hpet *)device;

    if (!device->realized)
        return;
    for (unsigned i = 0; i < HPET_TIMERS; i++)
        timer_stop(&hpet->timer[i].timer);
    mem_free(&hpet->region);
}

static const struct device_property hpet_properties[] = {
    {"hpet-intcap", PROPERTY_U32, offsetof(struct hpet, route_capability), 4, NULL, NULL,
     "inputs of the IOAPIC that timers can be routed to, a bit each"},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

static const struct device_field timer_state[] = {
    FIELD(struct hpet_timer, timer, FIELD_TIMER),    FIELD(struct hpet_timer, config, FIELD_U64),
    FIELD(struct hpet_timer, comparator, FIELD_U64), FIELD(struct hpet_timer, period, FIELD_U64),
    FIELD(struct hpet_timer, upper_too, FIELD_BOOL), FIELD_END,
};

static const struct device_field hpet_state[] = {
    FIELD_ARRAY(struct hpet, input, FIELD_BOOL),
    FIELD(struct hpet, config, FIELD_U64),
    FIELD(struct hpet, status, FIELD_U64),
    FIELD(struct hpet, offset, FIELD_U64),
    FIELD(struct hpet, counter, FIELD_U64),
    FIELD_STRUCTS(struct hpet, timer, timer_state),
    FIELD_END,
};

static const struct device_class hpet_class = {
    .name = "hpet",
    .help = "High precision event timer",
    .bus = "System",
    .category = "Misc",
    .size = sizeof(struct hpet),
    .properties = hpet_properties,
    .state = hpet_state,
    .realize = hpet_realize,
    .reset = hpet_reset,
    .loaded = hpet_loaded,
    .free = hpet_free,
};
DEVICE(hpet_class)

struct device *hpet_new(struct board *board, const struct irq isa[2],
                        const struct irq line[HPET_LINES], struct error *err)
{
    struct hpet *hpet = (struct hpet *)device_new(&hpet_class, board);

    for (unsigned i = 0; i < 2; i++)
        hpet->isa[i] = isa[i];
    for (unsigned i = 0; i < HPET_LINES; i++)
        hpet->line[i] = line[i];
    return device_realize(&hpet->device, err) ? &hpet->device : NULL;
}
