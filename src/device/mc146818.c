/* SPDX-License-Identifier: MIT
 *
 * The MC146818 real-time clock (Motorola data sheet ADI-856) with the second bank of memory of the
 * 82371SB and the century where the PC's firmware keeps it.
 *
 * The divider chain is the machine's clock plus `phase`; when a second of it is over an update
 * ends. The time is `seconds` plus the whole seconds of the chain. Nothing ticks: flags of register
 * C follow from the chain's time when C was last read and the time now, and a timer is set only
 * while an interrupt is enabled and none is up.
 *
 *     UIP  ____________/~~~~~~~~~~~~~~~~\____
 *                244 us | 1984 us       ^ update ends: new time, UF, AF
 */
#include "device/mc146818.h"

#include "trace-device.h"

enum rtc_register {
    SECONDS = 0,
    SECONDS_ALARM = 1,
    MINUTES = 2,
    MINUTES_ALARM = 3,
    HOURS = 4,
    HOURS_ALARM = 5,
    DAY_OF_WEEK = 6,
    DAY_OF_MONTH = 7,
    MONTH = 8,
    YEAR = 9,
    REGISTER_A = 10,
    REGISTER_B = 11,
    REGISTER_C = 12,
    REGISTER_D = 13,
};

enum register_a { A_RATE = 0x0f, A_DIVIDER = 0x70, A_UIP = 0x80 };
enum divider { DIVIDER_32768 = 0x20, DIVIDER_RESET = 0x60 }; /* 0x60 and 0x70 hold the chain */
enum register_b {
    B_24_HOURS = 0x02,
    B_BINARY = 0x04,
    B_SQUARE_WAVE = 0x08,
    B_UPDATE = 0x10,
    B_ALARM = 0x20,
    B_PERIODIC = 0x40,
    B_SET = 0x80,
};
enum register_c { C_UPDATE = 0x10, C_ALARM = 0x20, C_PERIODIC = 0x40, C_IRQ = 0x80 };
enum register_d { D_VALID = 0x80 };

enum rtc_port { INDEX = 0, DATA = 1, INDEX_EXTENDED = 2, DATA_EXTENDED = 3, NMI_MASK = 0x80 };

enum { HOUR_PM = 0x80, ALARM_ANY = 0xc0, BANK = 128 };

#define SECOND UINT64_C(1000000000)
#define UPDATE                                                                        \
    UINT64_C(2228000) /* nanoseconds that UIP is up: 244 us and the 1984 of the cycle \
                       */
#define HALF     (SECOND / 2)
#define CRYSTAL  32768
#define DAY      86400
#define MAX_YEAR 9999

struct rtc {
    struct device device;
    struct mem_region ports;
    struct irq irq, nmi_mask;
    struct timer timer;
    uint32_t iobase; /* property */
    uint8_t index, index_extended;
    bool nmi_masked;
    uint8_t memory[CMOS_BYTES]; /* the time's bytes only while SET holds them */
    int64_t seconds;            /* since 1970, at chain time 0 */
    uint64_t phase;             /* nanoseconds, below a second */
    uint8_t day_offset;         /* of the week, against the calendar */
    uint64_t seen;              /* the chain's time up to which flags are in register C */
    bool line;
};

/* --- calendar --- */

struct date {
    int64_t year;                                       /* 0 to 9999 */
    unsigned month, day, hour, minute, second, weekday; /* from 1, 1, 0, 0, 0, 1 = Sunday */
};

/* Days since 1970 of a date of the Gregorian calendar, whose years are counted from March. */
static int64_t days_of(int64_t year, unsigned month, unsigned day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t of_era = y - era * 400;
    int64_t of_year = (153 * (int64_t)((month + 9) % 12) + 2) / 5 + day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void date_of(int64_t seconds, unsigned day_offset, struct date *date)
{
    int64_t days = seconds / DAY - (seconds % DAY < 0);
    int64_t rest = seconds - days * DAY;
    int64_t shifted = days + 719468;
    int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
    int64_t of_era = shifted - era * 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * of_year + 2) / 153;

    date->day = (unsigned)(of_year - (153 * month + 2) / 5 + 1);
    date->month = (unsigned)(month < 10 ? month + 3 : month - 9);
    date->year = year + era * 400 + (date->month <= 2);
    date->hour = (unsigned)(rest / 3600);
    date->minute = (unsigned)(rest / 60 % 60);
    date->second = (unsigned)(rest % 60);
    /* 1970 began on a Thursday, day 5. */
    date->weekday = (unsigned)(((days + 4 + day_offset) % 7 + 7) % 7 + 1);
}

static int64_t seconds_of(const struct date *date)
{
    return days_of(date->year, date->month, date->day) * DAY + date->hour * 3600 +
           date->minute * 60 + date->second;
}

/* --- the chain --- */

static bool running(const struct rtc *rtc)
{
    return (rtc->memory[REGISTER_A] & A_DIVIDER) == DIVIDER_32768;
}

static uint64_t chain_now(const struct rtc *rtc)
{
    return clock_now(rtc->device.board->clock) + rtc->phase;
}

static int64_t time_at(const struct rtc *rtc, uint64_t chain)
{
    return rtc->seconds + (int64_t)(chain / SECOND);
}

static uint8_t encode(const struct rtc *rtc, unsigned value)
{
    if (rtc->memory[REGISTER_B] & B_BINARY)
        return (uint8_t)value;
    return (uint8_t)(value / 10 % 10 << 4 | value % 10);
}

static unsigned decode(const struct rtc *rtc, uint8_t value)
{
    return rtc->memory[REGISTER_B] & B_BINARY ? value : (value >> 4) * 10u + (value & 15);
}

static uint8_t encode_hour(const struct rtc *rtc, unsigned hour)
{
    if (rtc->memory[REGISTER_B] & B_24_HOURS)
        return encode(rtc, hour);
    return (uint8_t)(encode(rtc, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOUR_PM : 0));
}

/* 24 and more where it is no hour. */
static unsigned decode_hour(const struct rtc *rtc, uint8_t value)
{
    unsigned hour;

    if (rtc->memory[REGISTER_B] & B_24_HOURS)
        return decode(rtc, value);
    hour = decode(rtc, value & (uint8_t)~HOUR_PM);
    if (hour < 1 || hour > 12)
        return 24;
    return hour % 12 + (value & HOUR_PM ? 12 : 0);
}

/* --- the time in the registers --- */

static void store_time(struct rtc *rtc, uint64_t chain)
{
    struct date date;
    uint8_t *memory = rtc->memory;

    date_of(time_at(rtc, chain), rtc->day_offset, &date);
    memory[SECONDS] = encode(rtc, date.second);
    memory[MINUTES] = encode(rtc, date.minute);
    memory[HOURS] = encode_hour(rtc, date.hour);
    memory[DAY_OF_WEEK] = encode(rtc, date.weekday);
    memory[DAY_OF_MONTH] = encode(rtc, date.day);
    memory[MONTH] = encode(rtc, date.month);
    memory[YEAR] = encode(rtc, (unsigned)(date.year % 100));
    memory[CMOS_CENTURY] = encode(rtc, (unsigned)(date.year / 100));
}

static unsigned clamp(unsigned value, unsigned low, unsigned high)
{
    return value < low ? low : value > high ? high : value;
}

/* The time becomes that of the registers; the chain goes on. What is no date becomes the nearest
 * that is one. */
static void take_time(struct rtc *rtc, uint64_t chain)
{
    const uint8_t *memory = rtc->memory;
    struct date date, calendar;

    date.second = clamp(decode(rtc, memory[SECONDS]), 0, 59);
    date.minute = clamp(decode(rtc, memory[MINUTES]), 0, 59);
    date.hour = clamp(decode_hour(rtc, memory[HOURS]), 0, 23);
    date.day = clamp(decode(rtc, memory[DAY_OF_MONTH]), 1, 31);
    date.month = clamp(decode(rtc, memory[MONTH]), 1, 12);
    date.year = clamp(decode(rtc, memory[CMOS_CENTURY]), 0, 99) * 100 +
                clamp(decode(rtc, memory[YEAR]), 0, 99);
    date.weekday = clamp(decode(rtc, memory[DAY_OF_WEEK]), 1, 7);
    rtc->seconds = seconds_of(&date) - (int64_t)(chain / SECOND);
    date_of(time_at(rtc, chain), 0, &calendar);
    rtc->day_offset = (uint8_t)((date.weekday + 7 - calendar.weekday) % 7);
    trace_rtc_set_time(time_at(rtc, chain));
}

static bool is_held(const struct rtc *rtc)
{
    return !running(rtc) || rtc->memory[REGISTER_B] & B_SET;
}

static bool is_time(unsigned index)
{
    return index == CMOS_CENTURY || (index <= YEAR && index != SECONDS_ALARM &&
                                     index != MINUTES_ALARM && index != HOURS_ALARM);
}

/* --- events of the chain --- */

/* Nanoseconds of chain time when tick number `tick` of the crystal begins. */
static uint64_t crystal_time(uint64_t tick)
{
    return tick / CRYSTAL * SECOND + (tick % CRYSTAL * SECOND + CRYSTAL - 1) / CRYSTAL;
}

static uint64_t crystal_tick(uint64_t chain)
{
    return chain / SECOND * CRYSTAL + chain % SECOND * CRYSTAL / SECOND;
}

/* The period in ticks of the crystal, a power of two; 0: none. Rates 1 and 2 are 256 and 128 Hz,
 * as 8 and 9 (data sheet, table 5). */
static uint32_t period(const struct rtc *rtc)
{
    unsigned rate = rtc->memory[REGISTER_A] & A_RATE;

    if (rate == 0)
        return 0;
    return 1u << (rate <= 2 ? rate + 6 : rate - 1);
}

static uint64_t next_periodic(const struct rtc *rtc, uint64_t chain)
{
    uint32_t ticks = period(rtc);

    if (!ticks || !running(rtc))
        return TIMER_NEVER;
    return crystal_time((crystal_tick(chain) / ticks + 1) * ticks);
}

static uint64_t next_update(const struct rtc *rtc, uint64_t chain)
{
    return is_held(rtc) ? TIMER_NEVER : (chain / SECOND + 1) * SECOND;
}

/* A field of the alarm: the smallest value from `from` on below `limit` that matches, or `limit`.
 */
static unsigned alarm_field(unsigned raw, unsigned value, unsigned from, unsigned limit)
{
    if ((raw & ALARM_ANY) == ALARM_ANY)
        return from;
    return value >= from && value < limit ? value : limit;
}

/* The first second of the day from `from` on that the alarm is set for; DAY: none. */
static unsigned alarm_from(const struct rtc *rtc, unsigned from)
{
    const uint8_t *memory = rtc->memory;
    unsigned hours = decode_hour(rtc, memory[HOURS_ALARM]);
    unsigned minutes = decode(rtc, memory[MINUTES_ALARM]);
    unsigned seconds = decode(rtc, memory[SECONDS_ALARM]);

    for (unsigned hour = from / 3600; hour < 24; hour++) {
        unsigned minute = hour == from / 3600 ? from / 60 % 60 : 0;

        if (alarm_field(memory[HOURS_ALARM], hours, hour, 24) != hour)
            continue;
        for (; minute < 60; minute++) {
            bool now = hour == from / 3600 && minute == from / 60 % 60;
            unsigned second;

            if (alarm_field(memory[MINUTES_ALARM], minutes, minute, 60) != minute)
                continue;
            second = alarm_field(memory[SECONDS_ALARM], seconds, now ? from % 60 : 0, 60);
            if (second < 60)
                return hour * 3600 + minute * 60 + second;
        }
    }
    return DAY;
}

/* The alarm is compared at each update. */
static uint64_t next_alarm(const struct rtc *rtc, uint64_t chain)
{
    uint64_t next = next_update(rtc, chain);
    int64_t second;
    unsigned of_day, found;

    if (next == TIMER_NEVER)
        return next;
    second = time_at(rtc, next) % DAY;
    of_day = (unsigned)(second < 0 ? second + DAY : second);
    found = alarm_from(rtc, of_day);
    if (found == DAY) {
        found = alarm_from(rtc, 0);
        if (found == DAY)
            return TIMER_NEVER;
        found += DAY;
    }
    return next + (found - of_day) * SECOND;
}

static uint64_t earliest(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Puts into register C what has happened since last time. */
static void collect(struct rtc *rtc)
{
    uint64_t chain = chain_now(rtc);

    if (next_periodic(rtc, rtc->seen) <= chain)
        rtc->memory[REGISTER_C] |= C_PERIODIC;
    if (next_update(rtc, rtc->seen) <= chain)
        rtc->memory[REGISTER_C] |= C_UPDATE;
    if (next_alarm(rtc, rtc->seen) <= chain)
        rtc->memory[REGISTER_C] |= C_ALARM;
    rtc->seen = chain;
}

/* The line, and the timer for when it rises next. Flags have been collected. */
static void update(struct rtc *rtc)
{
    uint8_t *c = &rtc->memory[REGISTER_C];
    uint8_t enabled = rtc->memory[REGISTER_B] & (B_UPDATE | B_ALARM | B_PERIODIC);
    uint64_t next = TIMER_NEVER;
    bool line = *c & enabled;

    *c = (uint8_t)((*c & ~C_IRQ) | (line ? C_IRQ : 0));
    if (line != rtc->line) {
        rtc->line = line;
        if (line)
            trace_rtc_interrupt(*c);
        irq_set(rtc->irq, line);
    }
    if (!line) {
        if (enabled & B_PERIODIC)
            next = earliest(next, next_periodic(rtc, rtc->seen));
        if (enabled & B_UPDATE)
            next = earliest(next, next_update(rtc, rtc->seen));
        if (enabled & B_ALARM)
            next = earliest(next, next_alarm(rtc, rtc->seen));
    }
    timer_set(&rtc->timer, next == TIMER_NEVER ? next : next - rtc->phase);
}

static void event(void *opaque, uint64_t now)
{
    (void)now;
    collect(opaque);
    update(opaque);
}

/* --- registers --- */

static void write_a(struct rtc *rtc, uint8_t value)
{
    bool was = running(rtc);
    uint64_t chain = chain_now(rtc);

    if (was && !is_held(rtc))
        store_time(rtc, chain);
    rtc->memory[REGISTER_A] = value & (uint8_t)~A_UIP;
    if (!was && running(rtc)) {
        /* The first update is half a second after the chain is let go (data sheet, "Divider"). */
        uint64_t rest = clock_now(rtc->device.board->clock) % SECOND;

        rtc->phase = (HALF + SECOND - rest) % SECOND;
        chain = chain_now(rtc);
        rtc->seen = chain;
        take_time(rtc, chain);
    }
}

static void write_b(struct rtc *rtc, uint8_t value)
{
    uint8_t *memory = rtc->memory;
    uint64_t chain = chain_now(rtc);
    bool was_set = memory[REGISTER_B] & B_SET;

    if (value & B_SET)
        value &= (uint8_t)~B_UPDATE;
    /* The time is kept as a number, so that the registers follow when the format changes. */
    if (!is_held(rtc) && value & B_SET)
        store_time(rtc, chain);
    memory[REGISTER_B] = value;
    if (was_set && !(value & B_SET) && running(rtc))
        take_time(rtc, chain);
}

static void write_register(struct rtc *rtc, unsigned index, uint8_t value)
{
    collect(rtc);
    if (is_time(index)) {
        uint64_t chain = chain_now(rtc);

        if (is_held(rtc)) {
            rtc->memory[index] = value;
        } else {
            store_time(rtc, chain);
            rtc->memory[index] = value;
            take_time(rtc, chain);
        }
    } else if (index == REGISTER_A) {
        write_a(rtc, value);
    } else if (index == REGISTER_B) {
        write_b(rtc, value);
    } else if (index != REGISTER_C && index != REGISTER_D) {
        rtc->memory[index] = value;
    }
    update(rtc);
}

static uint8_t read_a(const struct rtc *rtc)
{
    uint64_t rest = SECOND - chain_now(rtc) % SECOND;
    bool updating = !is_held(rtc) && rest <= UPDATE;

    return (uint8_t)(rtc->memory[REGISTER_A] | (updating ? A_UIP : 0));
}

static uint8_t read_c(struct rtc *rtc)
{
    uint8_t value;

    collect(rtc);
    update(rtc);
    value = rtc->memory[REGISTER_C];
    rtc->memory[REGISTER_C] = 0;
    update(rtc);
    return value;
}

static uint8_t read_register(struct rtc *rtc, unsigned index)
{
    if (is_time(index) && !is_held(rtc))
        store_time(rtc, chain_now(rtc));
    switch (index) {
    case REGISTER_A: return read_a(rtc);
    case REGISTER_C: return read_c(rtc);
    default: return rtc->memory[index];
    }
}

static void set_nmi_mask(struct rtc *rtc, bool masked)
{
    if (masked != rtc->nmi_masked)
        trace_rtc_nmi_mask(masked);
    rtc->nmi_masked = masked;
    irq_set(rtc->nmi_mask, masked);
}

static void rtc_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct rtc *rtc = opaque;
    uint8_t byte = (uint8_t)value;

    (void)size;
    switch (offset) {
    case INDEX:
        rtc->index = byte & (BANK - 1);
        set_nmi_mask(rtc, byte & NMI_MASK);
        break;
    case INDEX_EXTENDED: rtc->index_extended = byte & (BANK - 1); break;
    case DATA:
        trace_rtc_write(rtc->index, byte);
        write_register(rtc, rtc->index, byte);
        break;
    default:
        trace_rtc_write((uint8_t)(BANK + rtc->index_extended), byte);
        rtc->memory[BANK + rtc->index_extended] = byte;
    }
}

static uint64_t rtc_read(void *opaque, uint64_t offset, unsigned size)
{
    struct rtc *rtc = opaque;
    uint8_t value;

    (void)size;
    switch (offset) {
    case DATA:
        value = read_register(rtc, rtc->index);
        trace_rtc_read(rtc->index, value);
        return value;
    case DATA_EXTENDED:
        value = rtc->memory[BANK + rtc->index_extended];
        trace_rtc_read((uint8_t)(BANK + rtc->index_extended), value);
        return value;
    default: return 0xff; /* indexes cannot be read */
    }
}

static const struct mem_field index_fields[] = {{"index", 0, 7}, {"nmi_mask", 7, 1}, {NULL, 0, 0}};

static const struct mem_register rtc_registers[] = {
    {INDEX, 1, MEM_W, "INDEX", index_fields},
    {DATA, 1, MEM_RW, "DATA", NULL},
    {INDEX_EXTENDED, 1, MEM_W, "INDEX_EXTENDED", NULL},
    {DATA_EXTENDED, 1, MEM_RW, "DATA_EXTENDED", NULL},
    {0, 0, 0, NULL, NULL},
};

static const struct mem_ops rtc_ops = {
    .read = rtc_read,
    .write = rtc_write,
    .impl_min = 1,
    .impl_max = 1,
    .registers = rtc_registers,
};

/* --- for the board --- */

void mc146818_set(struct device *device, unsigned index, uint8_t value)
{
    if (index < CMOS_BYTES && !is_time(index) && (index < REGISTER_A || index > REGISTER_D))
        ((struct rtc *)device)->memory[index] = value;
}

uint8_t mc146818_get(const struct device *device, unsigned index)
{
    return index < CMOS_BYTES ? ((const struct rtc *)device)->memory[index] : 0xff;
}

int64_t mc146818_time(const struct device *device)
{
    const struct rtc *rtc = (const struct rtc *)device;

    return time_at(rtc, chain_now(rtc));
}

/* --- the device --- */

static bool rtc_realize(struct device *device, struct error *err)
{
    struct rtc *rtc = (struct rtc *)device;
    struct date date;

    if (rtc->iobase > 0xfffc)
        return error_set(err, "mc146818rtc: iobase %#x must be a port, at most 0xfffc",
                         rtc->iobase);
    date_of(device->board->rtc_base, 0, &date);
    if (date.year < 0 || date.year > MAX_YEAR)
        return error_set(err, "the real-time clock has years 0 to %d, not %lld", MAX_YEAR,
                         (long long)date.year);
    rtc->seconds = device->board->rtc_base;
    rtc->memory[REGISTER_A] = DIVIDER_32768 | 6;
    rtc->memory[REGISTER_B] = B_24_HOURS;
    rtc->memory[REGISTER_D] = D_VALID;
    timer_init(&rtc->timer, device->board->clock, event, rtc);
    mem_init_io(&rtc->ports, "rtc", 4, &rtc_ops, rtc);
    mem_add(device->board->port_root, &rtc->ports, rtc->iobase, 0);
    return true;
}

/* The RESET pin: clock, calendar and memory are the battery's. */
static void rtc_reset(struct device *device)
{
    struct rtc *rtc = (struct rtc *)device;

    collect(rtc);
    rtc->memory[REGISTER_B] &= (uint8_t) ~(B_PERIODIC | B_ALARM | B_UPDATE | B_SQUARE_WAVE);
    rtc->memory[REGISTER_C] = 0;
    rtc->index = rtc->index_extended = 0;
    set_nmi_mask(rtc, false);
    update(rtc);
}

/* Reset would leave a time that is none as it is: it goes back to the machine's own. */
static bool bad_time(struct rtc *rtc, struct error *err)
{
    rtc->phase = 0;
    rtc->seconds = rtc->device.board->rtc_base;
    rtc->seen = chain_now(rtc);
    return error_set(err, "its time is out of range");
}

static bool rtc_loaded(struct device *device, struct error *err)
{
    struct rtc *rtc = (struct rtc *)device;
    struct date date;

    rtc->index &= BANK - 1;
    rtc->index_extended &= BANK - 1;
    rtc->day_offset %= 7;
    if (rtc->phase >= SECOND || rtc->seconds < INT64_MIN / 2 || rtc->seconds > INT64_MAX / 2)
        return bad_time(rtc, err);
    date_of(rtc->seconds, 0, &date);
    if (date.year < -MAX_YEAR || date.year > MAX_YEAR)
        return bad_time(rtc, err);
    rtc->seen = earliest(rtc->seen, chain_now(rtc));
    irq_set(rtc->irq, rtc->line);
    irq_set(rtc->nmi_mask, rtc->nmi_masked);
    update(rtc);
    return true;
}

static void rtc_free(struct device *device)
{
    struct rtc *rtc = (struct rtc *)device;

    if (device->realized) {
        timer_stop(&rtc->timer);
        mem_free(&rtc->ports);
    }
}

static const struct device_property rtc_properties[] = {
    {"iobase", PROPERTY_U32, offsetof(struct rtc, iobase), 0x70, NULL, NULL, "first of its ports"},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

static const struct device_field rtc_state[] = {
    FIELD(struct rtc, index, FIELD_U8),
    FIELD(struct rtc, index_extended, FIELD_U8),
    FIELD(struct rtc, nmi_masked, FIELD_BOOL),
    FIELD_ARRAY(struct rtc, memory, FIELD_U8),
    FIELD(struct rtc, seconds, FIELD_I64),
    FIELD(struct rtc, phase, FIELD_U64),
    FIELD(struct rtc, day_offset, FIELD_U8),
    FIELD(struct rtc, seen, FIELD_U64),
    FIELD(struct rtc, line, FIELD_BOOL),
    FIELD(struct rtc, timer, FIELD_TIMER),
    FIELD_END,
};

static const struct device_class mc146818_class = {
    .name = "mc146818rtc",
    .help = "MC146818 real-time clock and CMOS memory",
    .bus = "ISA",
    .category = "Misc",
    .size = sizeof(struct rtc),
    .properties = rtc_properties,
    .state = rtc_state,
    .realize = rtc_realize,
    .reset = rtc_reset,
    .loaded = rtc_loaded,
    .free = rtc_free,
};
DEVICE(mc146818_class)

struct device *mc146818_new(struct board *board, struct irq irq, struct irq nmi_mask,
                            struct error *err)
{
    struct rtc *rtc = (struct rtc *)device_new(&mc146818_class, board);

    rtc->irq = irq;
    rtc->nmi_mask = nmi_mask;
    return device_realize(&rtc->device, err) ? &rtc->device : NULL;
}
