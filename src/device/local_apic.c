/* SPDX-License-Identifier: MIT
 *
 * The local APIC (Intel SDM volume 3, chapter "Advanced Programmable Interrupt Controller"): xAPIC
 * in memory and x2APIC in model-specific registers, version 0x14 with six local vector table
 * entries. The timer counts the bus clock of 1 GHz, one a nanosecond.
 *
 * Nothing counts: the count register follows from the time it was written, and a timer of the
 * machine's clock is set for its next zero while its entry is not masked.
 *
 * An interrupt is in IRR from when it is accepted until the CPU acknowledges it, then in ISR until
 * its end is written. The class of a vector is its upper half; one is pending for the CPU when its
 * class is above that of PPR, which is the larger of TPR and the highest vector in service.
 */
#include "device/apic.h"

#include <inttypes.h>
#include <string.h>

#include "base/strbuf.h"
#include "trace-device.h"

enum apic_register {
    ID = 0x02,
    VERSION = 0x03,
    TPR = 0x08,
    APR = 0x09,
    PPR = 0x0a,
    EOI = 0x0b,
    RRD = 0x0c,
    LDR = 0x0d,
    DFR = 0x0e,
    SVR = 0x0f,
    ISR_0 = 0x10,
    TMR_0 = 0x18,
    IRR_0 = 0x20,
    ESR = 0x28,
    ICR_LOW = 0x30,
    ICR_HIGH = 0x31,
    LVT_TIMER = 0x32,
    LVT_THERMAL = 0x33,
    LVT_PERFORMANCE = 0x34,
    LVT_LINT0 = 0x35,
    LVT_LINT1 = 0x36,
    LVT_ERROR = 0x37,
    INITIAL_COUNT = 0x38,
    CURRENT_COUNT = 0x39,
    DIVIDE = 0x3e,
    SELF_IPI = 0x3f, /* x2APIC */
};

/* Numbers of the local vector table, which apic_local_deliver shows. */
enum { TIMER, THERMAL, PERFORMANCE, LINT0, LINT1, ERROR, LVTS };

enum lvt {
    LVT_VECTOR = 0xff,
    LVT_DELIVERY = 0x700,
    LVT_PENDING = 1 << 12,
    LVT_LOW = 1 << 13,
    LVT_REMOTE_IRR = 1 << 14,
    LVT_LEVEL = 1 << 15,
    LVT_MASKED = 1 << 16,
    LVT_MODE = 3 << 17,
    LVT_PERIODIC = 1 << 17,
    LVT_DEADLINE = 2 << 17,
};

/* What can be written to each entry. */
static const uint32_t LVT_WRITABLE[LVTS] = {
    [TIMER] = LVT_VECTOR | LVT_MASKED | LVT_MODE,
    [THERMAL] = LVT_VECTOR | LVT_DELIVERY | LVT_MASKED,
    [PERFORMANCE] = LVT_VECTOR | LVT_DELIVERY | LVT_MASKED,
    [LINT0] = LVT_VECTOR | LVT_DELIVERY | LVT_LOW | LVT_LEVEL | LVT_MASKED,
    [LINT1] = LVT_VECTOR | LVT_DELIVERY | LVT_LOW | LVT_LEVEL | LVT_MASKED,
    [ERROR] = LVT_VECTOR | LVT_MASKED,
};

enum svr { SVR_ENABLED = 0x100, SVR_NO_FOCUS = 0x200, SVR_WRITABLE = 0x3ff };

enum icr {
    ICR_VECTOR = 0xff,
    ICR_LOGICAL = 1 << 11,
    ICR_ASSERT = 1 << 14,
    ICR_LEVEL = 1 << 15,
    ICR_WRITABLE = 0xccfff,
};
enum shorthand { TO_DESTINATION, TO_SELF, TO_ALL, TO_OTHERS };

enum esr {
    ESR_REDIRECTABLE = 1 << 4,
    ESR_SEND_VECTOR = 1 << 5,
    ESR_RECEIVED_VECTOR = 1 << 6,
    ESR_REGISTER = 1 << 7,
};

enum base { BASE_BSP = 1 << 8, BASE_X2APIC = 1 << 10, BASE_ENABLED = 1 << 11 };

enum { CLUSTERS = 0, FLAT = 0xf }; /* DFR, upper four bits */
enum { VERSION_14 = 0x14 | (LVTS - 1) << 16 };
enum { FIRST_VECTOR = 16, MSR_FIRST = 0x800, MSR_LAST = 0x8ff, WORDS = 8 };

/* A timer that fires more often than this fires no more often: each is one interrupt, and the host
 * must get to other work. Nanoseconds. */
enum { SHORTEST_PERIOD = 2000 };

struct local_apic {
    struct device device;
    struct apic_bus *bus;
    struct apic_cpu cpu;
    struct timer timer;
    uint32_t id; /* property */
    /* State. */
    uint64_t base;
    uint8_t tpr;
    uint32_t ldr;
    uint8_t dfr; /* FLAT or CLUSTERS */
    uint32_t svr;
    uint32_t isr[WORDS], tmr[WORDS], irr[WORDS];
    uint32_t errors, esr; /* since the last write to ESR, and what it shows */
    uint32_t icr_low, icr_high;
    uint32_t lvt[LVTS];
    uint32_t divide, initial;
    uint64_t started; /* when INITIAL_COUNT was written, on the machine's clock */
    uint64_t deadline;
    bool lines[2]; /* LINT0, LINT1 */
    bool external; /* an ExtINT message that is not acknowledged */
    bool waits_for_sipi;
    bool told; /* the CPU knows of an interrupt */
};

/* --- sets of vectors --- */

static void set_vector(uint32_t *set, unsigned vector)
{
    set[vector / 32] |= 1u << vector % 32;
}

static void clear_vector(uint32_t *set, unsigned vector)
{
    set[vector / 32] &= ~(1u << vector % 32);
}

static bool has_vector(const uint32_t *set, unsigned vector)
{
    return set[vector / 32] >> vector % 32 & 1;
}

static int highest(const uint32_t *set)
{
    for (int i = WORDS - 1; i >= 0; i--) {
        if (set[i])
            return i * 32 + 31 - __builtin_clz(set[i]);
    }
    return -1;
}

/* --- what is pending --- */

bool local_apic_enabled(const struct local_apic *apic)
{
    return apic->base & BASE_ENABLED;
}

bool local_apic_is_x2apic(const struct local_apic *apic)
{
    return (apic->base & (BASE_ENABLED | BASE_X2APIC)) == (BASE_ENABLED | BASE_X2APIC);
}

uint32_t local_apic_id(const struct local_apic *apic)
{
    return apic->id;
}

static bool software_enabled(const struct local_apic *apic)
{
    return local_apic_enabled(apic) && apic->svr & SVR_ENABLED;
}

static uint8_t processor_priority(const struct local_apic *apic)
{
    int in_service = highest(apic->isr);
    unsigned class = in_service < 0 ? 0 : (unsigned)in_service & 0xf0;

    return (uint8_t)((apic->tpr & 0xf0u) >= class ? apic->tpr : class);
}

static int pending_vector(const struct local_apic *apic)
{
    int vector = local_apic_enabled(apic) ? highest(apic->irr) : -1;

    return vector >= 0 && (vector & 0xf0) > (processor_priority(apic) & 0xf0) ? vector : -1;
}

/* INTR of the 8259: through LINT0, or straight to the CPU while the APIC is disabled. */
static bool external_pending(const struct local_apic *apic)
{
    uint32_t lvt = apic->lvt[LINT0];

    if (apic->external)
        return true;
    if (!apic->lines[0])
        return false;
    if (!local_apic_enabled(apic))
        return apic->base & BASE_BSP;
    return !(lvt & LVT_MASKED) && (lvt & LVT_DELIVERY) >> 8 == APIC_EXTINT;
}

bool local_apic_pending(const struct local_apic *apic)
{
    return pending_vector(apic) >= 0 || external_pending(apic);
}

static void tell(struct local_apic *apic, enum apic_notice what, unsigned value)
{
    if (apic->cpu.notify)
        apic->cpu.notify(apic->cpu.opaque, what, value);
}

static void update(struct local_apic *apic)
{
    bool pending = local_apic_pending(apic);

    if (pending != apic->told) {
        apic->told = pending;
        tell(apic, APIC_NOTICE_INTERRUPT, pending);
    }
}

static void local_deliver(struct local_apic *apic, unsigned entry);

static void report(struct local_apic *apic, uint32_t error)
{
    bool is_new = !(apic->errors & error);

    apic->errors |= error;
    trace_apic_error((unsigned)apic->id, apic->errors);
    if (is_new)
        local_deliver(apic, ERROR);
}

/* A fixed interrupt gets into IRR. */
static void accept(struct local_apic *apic, unsigned vector, bool level)
{
    if (!software_enabled(apic))
        return;
    if (vector < FIRST_VECTOR) {
        report(apic, ESR_RECEIVED_VECTOR);
        return;
    }
    trace_apic_accept((unsigned)apic->id, APIC_FIXED, vector);
    set_vector(apic->irr, vector);
    if (level)
        set_vector(apic->tmr, vector);
    else
        clear_vector(apic->tmr, vector);
    update(apic);
}

static void reset_registers(struct local_apic *apic);

static void init(struct local_apic *apic)
{
    reset_registers(apic);
    apic->waits_for_sipi = !(apic->base & BASE_BSP);
    update(apic);
    tell(apic, APIC_NOTICE_INIT, 0);
}

static void startup(struct local_apic *apic, unsigned vector)
{
    if (!apic->waits_for_sipi)
        return;
    apic->waits_for_sipi = false;
    tell(apic, APIC_NOTICE_SIPI, vector);
}

static void receive(struct local_apic *apic, const struct apic_message *message)
{
    if (!local_apic_enabled(apic))
        return;
    if (message->delivery != APIC_FIXED && message->delivery != APIC_LOWEST_PRIORITY)
        trace_apic_accept((unsigned)apic->id, message->delivery, message->vector);
    switch (message->delivery) {
    case APIC_FIXED:
    case APIC_LOWEST_PRIORITY: accept(apic, message->vector, message->level); break;
    case APIC_SMI: tell(apic, APIC_NOTICE_SMI, 0); break;
    case APIC_NMI: tell(apic, APIC_NOTICE_NMI, 0); break;
    case APIC_INIT:
        if (!message->deassert)
            init(apic);
        break;
    case APIC_STARTUP: startup(apic, message->vector); break;
    case APIC_EXTINT:
        apic->external = software_enabled(apic);
        update(apic);
        break;
    default: break; /* reserved */
    }
}

/* --- the local vector table --- */

/* An event of the entry's source. Level is for LINT0 and LINT1. */
static void local_deliver(struct local_apic *apic, unsigned entry)
{
    uint32_t *lvt = &apic->lvt[entry];
    unsigned delivery = (*lvt & LVT_DELIVERY) >> 8;
    bool is_lint = entry == LINT0 || entry == LINT1;
    bool level = is_lint && *lvt & LVT_LEVEL && delivery == APIC_FIXED;

    trace_apic_local_deliver((int)entry, delivery);
    if (*lvt & LVT_MASKED || !local_apic_enabled(apic))
        return;
    switch (delivery) {
    case APIC_FIXED:
        if (level)
            *lvt |= LVT_REMOTE_IRR;
        if ((*lvt & LVT_VECTOR) < FIRST_VECTOR && entry == ERROR) {
            apic->errors |= ESR_RECEIVED_VECTOR; /* nobody can be told */
            return;
        }
        accept(apic, *lvt & LVT_VECTOR, level);
        break;
    case APIC_SMI: tell(apic, APIC_NOTICE_SMI, 0); break;
    case APIC_NMI: tell(apic, APIC_NOTICE_NMI, 0); break;
    case APIC_INIT: init(apic); break;
    case APIC_EXTINT: update(apic); break; /* follows the line */
    default: break;
    }
}

void local_apic_raise(struct local_apic *apic, enum apic_local source)
{
    unsigned entry = source == APIC_LOCAL_THERMAL ? THERMAL : PERFORMANCE;

    local_deliver(apic, entry);
    if (entry == PERFORMANCE) /* SDM, "Local Vector Table": the mask is set when it is delivered */
        apic->lvt[entry] |= LVT_MASKED;
}

static void set_line(struct local_apic *apic, unsigned lint, bool level)
{
    bool rises = level && !apic->lines[lint];
    uint32_t lvt = apic->lvt[LINT0 + lint];

    apic->lines[lint] = level;
    if (lint == 1 && !local_apic_enabled(apic)) {
        if (rises && apic->base & BASE_BSP)
            tell(apic, APIC_NOTICE_NMI, 0);
        return;
    }
    if ((lvt & LVT_DELIVERY) >> 8 != APIC_EXTINT && rises && !(lvt & LVT_REMOTE_IRR))
        local_deliver(apic, LINT0 + lint);
    update(apic);
}

/* A level-triggered LINT whose interrupt has ended, or whose entry was changed. */
static void look_at_lines(struct local_apic *apic)
{
    for (unsigned lint = 0; lint < 2; lint++) {
        uint32_t lvt = apic->lvt[LINT0 + lint];

        if (apic->lines[lint] && lvt & LVT_LEVEL && !(lvt & (LVT_MASKED | LVT_REMOTE_IRR)) &&
            (lvt & LVT_DELIVERY) >> 8 == APIC_FIXED)
            local_deliver(apic, LINT0 + lint);
    }
    update(apic);
}

/* --- the timer --- */

static uint32_t timer_mode(const struct local_apic *apic)
{
    return apic->lvt[TIMER] & LVT_MODE;
}

/* Nanoseconds of one count: bits 0, 1 and 3 of DIVIDE; 7 is 1, else 2 to the power of it and one.
 */
static uint64_t count_time(const struct local_apic *apic)
{
    unsigned code = (apic->divide & 3) | (apic->divide >> 1 & 4);

    return code == 7 ? 1 : UINT64_C(2) << code;
}

static void set_timer(struct local_apic *apic)
{
    uint64_t now = clock_now(apic->device.board->clock);
    uint64_t length = apic->initial * count_time(apic);
    uint64_t when = TIMER_NEVER;

    if (timer_mode(apic) == LVT_DEADLINE) {
        if (apic->deadline && apic->cpu.tsc_time)
            when = apic->cpu.tsc_time(apic->cpu.opaque, apic->deadline);
    } else if (!apic->initial || apic->lvt[TIMER] & LVT_MASKED) {
        when = TIMER_NEVER;
    } else if (timer_mode(apic) == LVT_PERIODIC) {
        uint64_t earliest = now + (length < SHORTEST_PERIOD ? SHORTEST_PERIOD : 1);

        when = apic->started + (earliest - apic->started + length - 1) / length * length;
    } else if (now - apic->started < length) {
        when = apic->started + length;
    }
    if (when != timer_when(&apic->timer) && when != TIMER_NEVER)
        trace_apic_timer_set((unsigned)apic->id, when);
    timer_set(&apic->timer, when);
}

static void timer_fires(void *opaque, uint64_t now)
{
    struct local_apic *apic = opaque;

    (void)now;
    if (timer_mode(apic) == LVT_DEADLINE)
        apic->deadline = 0;
    local_deliver(apic, TIMER);
    set_timer(apic);
}

static uint32_t current_count(const struct local_apic *apic)
{
    uint64_t counts = (clock_now(apic->device.board->clock) - apic->started) / count_time(apic);

    if (!apic->initial || timer_mode(apic) == LVT_DEADLINE)
        return 0;
    if (timer_mode(apic) == LVT_PERIODIC)
        return apic->initial - (uint32_t)(counts % apic->initial);
    return counts < apic->initial ? apic->initial - (uint32_t)counts : 0;
}

static void write_initial(struct local_apic *apic, uint32_t value)
{
    if (timer_mode(apic) == LVT_DEADLINE)
        return;
    apic->initial = value;
    apic->started = clock_now(apic->device.board->clock);
    set_timer(apic);
}

/* What is left goes on with the new length of a count. */
static void write_divide(struct local_apic *apic, uint32_t value)
{
    uint64_t now = clock_now(apic->device.board->clock);
    uint64_t done = apic->initial - current_count(apic);

    apic->divide = value & 0xb;
    apic->started = now - done * count_time(apic);
    if (done * count_time(apic) > now) /* began before the machine: the count begins again */
        apic->started = now;
    set_timer(apic);
}

uint64_t local_apic_deadline(const struct local_apic *apic)
{
    return apic->deadline;
}

void local_apic_set_deadline(struct local_apic *apic, uint64_t tsc)
{
    if (timer_mode(apic) != LVT_DEADLINE)
        return;
    apic->deadline = tsc;
    set_timer(apic);
}

void local_apic_tsc_changed(struct local_apic *apic)
{
    if (timer_mode(apic) == LVT_DEADLINE)
        set_timer(apic);
}

static void write_lvt(struct local_apic *apic, unsigned entry, uint32_t value)
{
    uint32_t *lvt = &apic->lvt[entry];
    uint32_t was = *lvt;

    *lvt = (was & LVT_REMOTE_IRR) | (value & LVT_WRITABLE[entry]);
    if (!(*lvt & LVT_LEVEL))
        *lvt &= ~(uint32_t)LVT_REMOTE_IRR;
    if (!(apic->svr & SVR_ENABLED))
        *lvt |= LVT_MASKED;
    if (entry == TIMER) {
        if ((*lvt & LVT_MODE) == LVT_MODE) /* reserved */
            *lvt = (*lvt & ~(uint32_t)LVT_MODE) | (was & LVT_MODE);
        if ((*lvt & LVT_MODE) == LVT_DEADLINE && !apic->cpu.tsc_time)
            *lvt = (*lvt & ~(uint32_t)LVT_MODE);
        /* To TSC-deadline mode or from it: the timer is disarmed. */
        if ((was ^ *lvt) & LVT_DEADLINE)
            apic->initial = 0, apic->deadline = 0;
        set_timer(apic);
    }
    look_at_lines(apic);
}

/* --- sending --- */

/* Logical destinations: SDM, "Logical Destination Mode" and "Logical Destination Mode in x2APIC
 * Mode". */
static bool is_logical(const struct local_apic *apic, uint32_t destination)
{
    if (local_apic_is_x2apic(apic))
        return destination == APIC_BROADCAST ||
               (destination >> 16 == apic->ldr >> 16 && destination & apic->ldr & 0xffff);
    if (destination == APIC_BROADCAST)
        return true;
    if (apic->dfr == FLAT)
        return destination < 0x100 && destination & apic->ldr;
    return destination < 0x100 && (destination >> 4 == 0xf || destination >> 4 == apic->ldr >> 4) &&
           destination & apic->ldr & 0xf;
}

static bool is_for(const struct local_apic *apic, const struct apic_message *message)
{
    if (!local_apic_enabled(apic))
        return false;
    if (message->logical)
        return is_logical(apic, message->destination);
    return message->destination == APIC_BROADCAST || message->destination == apic->id;
}

/* Of those it is for, the one with the lowest priority; among equals they take turns. */
static void deliver_lowest(struct apic_bus *bus, const struct apic_message *message)
{
    struct local_apic *chosen = NULL;
    unsigned number = 0;

    for (unsigned i = 1; i <= bus->count; i++) {
        unsigned at = (bus->last + i) % bus->count;
        struct local_apic *apic = bus->apic[at];

        if (!is_for(apic, message) || !software_enabled(apic))
            continue;
        if (!chosen || processor_priority(apic) < processor_priority(chosen)) {
            chosen = apic;
            number = at;
        }
    }
    if (!chosen)
        return;
    bus->last = number;
    receive(chosen, message);
}

void apic_bus_deliver(struct apic_bus *bus, const struct apic_message *message)
{
    trace_apic_deliver_irq((uint8_t)message->destination, message->logical, message->delivery,
                           message->vector, message->level);
    if (message->delivery == APIC_LOWEST_PRIORITY) {
        deliver_lowest(bus, message);
        return;
    }
    for (unsigned i = 0; i < bus->count; i++) {
        if (is_for(bus->apic[i], message))
            receive(bus->apic[i], message);
    }
}

void apic_bus_message(struct apic_bus *bus, uint64_t address, uint32_t data)
{
    struct apic_message message = {
        .destination = address >> 12 & 0xff,
        .logical = address >> 2 & 1,
        .level = data >> 15 & 1,
        .deassert = !(data >> 14 & 1) && data >> 15 & 1,
        .delivery = data >> 8 & 7,
        .vector = (uint8_t)data,
    };

    if (message.destination == 0xff && !message.logical)
        message.destination = APIC_BROADCAST;
    apic_bus_deliver(bus, &message);
}

static void send_to(struct local_apic *apic, unsigned shorthand, const struct apic_message *message)
{
    struct apic_bus *bus = apic->bus;

    if (shorthand == TO_DESTINATION) {
        apic_bus_deliver(bus, message);
        return;
    }
    trace_apic_deliver_irq((uint8_t)message->destination, message->logical, message->delivery,
                           message->vector, message->level);
    for (unsigned i = 0; i < bus->count; i++) {
        if (shorthand == TO_ALL || (bus->apic[i] == apic) == (shorthand == TO_SELF))
            receive(bus->apic[i], message);
    }
}

/* A write to the interrupt command register. */
static void send(struct local_apic *apic)
{
    uint32_t low = apic->icr_low;
    struct apic_message message = {
        .destination = apic->icr_high,
        .logical = low & ICR_LOGICAL,
        .level = low & ICR_LEVEL,
        .delivery = low >> 8 & 7,
        .vector = (uint8_t)low,
    };

    if (!local_apic_is_x2apic(apic)) {
        message.destination >>= 24;
        if (message.destination == 0xff && !message.logical)
            message.destination = APIC_BROADCAST;
    }
    /* Only INIT knows a level that falls; all other messages are edges (SDM, "Interrupt Command
     * Register"). */
    message.deassert = message.delivery == APIC_INIT && message.level && !(low & ICR_ASSERT);
    message.level = message.level && message.delivery == APIC_INIT;
    if (message.delivery <= APIC_LOWEST_PRIORITY && message.vector < FIRST_VECTOR) {
        report(apic, ESR_SEND_VECTOR);
        return;
    }
    if (message.delivery == 3 || message.delivery == APIC_EXTINT) {
        device_guest_error(&apic->device,
                           "delivery mode %u in the interrupt command register is reserved",
                           message.delivery);
        return;
    }
    send_to(apic, low >> 18 & 3, &message);
}

/* --- acknowledge and end --- */

int local_apic_acknowledge(struct local_apic *apic)
{
    int vector = pending_vector(apic);

    if (vector >= 0) {
        clear_vector(apic->irr, (unsigned)vector);
        set_vector(apic->isr, (unsigned)vector);
    } else if (external_pending(apic)) {
        struct apic_bus *bus = apic->bus;

        apic->external = false;
        vector = bus->acknowledge_external ? bus->acknowledge_external(bus->external_opaque)
                                           : (int)(apic->svr & 0xff);
    }
    update(apic);
    trace_apic_acknowledge((unsigned)apic->id, vector);
    return vector;
}

static void end_of_interrupt(struct local_apic *apic)
{
    int vector = highest(apic->isr);

    trace_apic_eoi((unsigned)apic->id, vector);
    if (vector < 0)
        return;
    clear_vector(apic->isr, (unsigned)vector);
    if (has_vector(apic->tmr, (unsigned)vector)) {
        for (unsigned i = LINT0; i <= LINT1; i++) {
            if ((apic->lvt[i] & LVT_VECTOR) == (unsigned)vector)
                apic->lvt[i] &= ~(uint32_t)LVT_REMOTE_IRR;
        }
        if (apic->bus->eoi)
            apic->bus->eoi(apic->bus->eoi_opaque, (uint8_t)vector);
    }
    look_at_lines(apic);
}

static void write_svr(struct local_apic *apic, uint32_t value)
{
    apic->svr = value & SVR_WRITABLE;
    if (!(apic->svr & SVR_ENABLED)) {
        for (unsigned i = 0; i < LVTS; i++)
            apic->lvt[i] |= LVT_MASKED;
        set_timer(apic);
    }
    update(apic);
}

unsigned local_apic_cr8(const struct local_apic *apic)
{
    return apic->tpr >> 4;
}

static void write_tpr(struct local_apic *apic, uint32_t value)
{
    apic->tpr = (uint8_t)value;
    update(apic);
}

void local_apic_set_cr8(struct local_apic *apic, unsigned priority)
{
    write_tpr(apic, priority << 4);
}

/* --- registers, by their number: offset / 16, or MSR - 0x800 --- */

enum { IN_MEMORY = 1, IN_MSR = 2 };

struct apic_row {
    uint8_t first, last;
    uint8_t readable, writable; /* sets of IN_MEMORY, IN_MSR */
    uint32_t reserved;          /* bits that a WRMSR must not set */
};

static const struct apic_row ROWS[] = {
    {ID, ID, IN_MEMORY | IN_MSR, 0, 0},
    {VERSION, VERSION, IN_MEMORY | IN_MSR, 0, 0},
    {TPR, TPR, IN_MEMORY | IN_MSR, IN_MEMORY | IN_MSR, ~0xffu},
    {APR, APR, IN_MEMORY, 0, 0},
    {PPR, PPR, IN_MEMORY | IN_MSR, 0, 0},
    {EOI, EOI, 0, IN_MEMORY | IN_MSR, UINT32_MAX},
    {RRD, RRD, IN_MEMORY, 0, 0},
    {LDR, LDR, IN_MEMORY | IN_MSR, IN_MEMORY, 0},
    {DFR, DFR, IN_MEMORY, IN_MEMORY, 0},
    {SVR, SVR, IN_MEMORY | IN_MSR, IN_MEMORY | IN_MSR, ~(uint32_t)SVR_WRITABLE},
    {ISR_0, IRR_0 + WORDS - 1, IN_MEMORY | IN_MSR, 0, 0},
    {ESR, ESR, IN_MEMORY | IN_MSR, IN_MEMORY | IN_MSR, UINT32_MAX},
    {ICR_LOW, ICR_LOW, IN_MEMORY | IN_MSR, IN_MEMORY | IN_MSR, ~(uint32_t)ICR_WRITABLE},
    {ICR_HIGH, ICR_HIGH, IN_MEMORY, IN_MEMORY, 0},
    {LVT_TIMER, LVT_TIMER, IN_MEMORY | IN_MSR, IN_MEMORY | IN_MSR, ~0x710ffu},
    {LVT_THERMAL, LVT_PERFORMANCE, IN_MEMORY | IN_MSR, IN_MEMORY | IN_MSR, ~0x117ffu},
    {LVT_LINT0, LVT_LINT1, IN_MEMORY | IN_MSR, IN_MEMORY | IN_MSR, ~0x1f7ffu},
    {LVT_ERROR, LVT_ERROR, IN_MEMORY | IN_MSR, IN_MEMORY | IN_MSR, ~0x110ffu},
    {INITIAL_COUNT, INITIAL_COUNT, IN_MEMORY | IN_MSR, IN_MEMORY | IN_MSR, 0},
    {CURRENT_COUNT, CURRENT_COUNT, IN_MEMORY | IN_MSR, 0, 0},
    {DIVIDE, DIVIDE, IN_MEMORY | IN_MSR, IN_MEMORY | IN_MSR, ~0xbu},
    {SELF_IPI, SELF_IPI, 0, IN_MSR, ~0xffu},
};

static const struct apic_row *row_of(unsigned number)
{
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        if (number >= ROWS[i].first && number <= ROWS[i].last)
            return &ROWS[i];
    }
    return NULL;
}

static unsigned lvt_of(unsigned number)
{
    return number - LVT_TIMER;
}

static uint32_t read_register(struct local_apic *apic, unsigned number)
{
    bool x2apic = local_apic_is_x2apic(apic);

    if (number >= LVT_TIMER && number <= LVT_ERROR)
        return apic->lvt[lvt_of(number)];
    if (number >= ISR_0 && number < ISR_0 + WORDS)
        return apic->isr[number - ISR_0];
    if (number >= TMR_0 && number < TMR_0 + WORDS)
        return apic->tmr[number - TMR_0];
    if (number >= IRR_0 && number < IRR_0 + WORDS)
        return apic->irr[number - IRR_0];
    switch (number) {
    case ID: return x2apic ? apic->id : apic->id << 24;
    case VERSION: return VERSION_14;
    case TPR: return apic->tpr;
    case PPR: return processor_priority(apic);
    case LDR: return x2apic ? apic->ldr : apic->ldr << 24;
    case DFR: return (uint32_t)apic->dfr << 28 | 0x0fffffff;
    case SVR: return apic->svr;
    case ESR: return apic->esr;
    case ICR_LOW: return apic->icr_low;
    case ICR_HIGH: return apic->icr_high;
    case INITIAL_COUNT: return apic->initial;
    case CURRENT_COUNT: return current_count(apic);
    case DIVIDE: return apic->divide;
    default: return 0; /* APR and RRD, which newer processors have no more */
    }
}

static void write_register(struct local_apic *apic, unsigned number, uint32_t value)
{
    if (number >= LVT_TIMER && number <= LVT_ERROR) {
        write_lvt(apic, lvt_of(number), value);
        return;
    }
    switch (number) {
    case TPR: write_tpr(apic, value); break;
    case EOI: end_of_interrupt(apic); break;
    case LDR: apic->ldr = value >> 24; break;
    case DFR: apic->dfr = (uint8_t)(value >> 28) == FLAT ? FLAT : CLUSTERS; break;
    case SVR: write_svr(apic, value); break;
    case ESR:
        apic->esr = apic->errors;
        apic->errors = 0;
        break;
    case ICR_LOW:
        apic->icr_low = value & ICR_WRITABLE;
        send(apic);
        break;
    case ICR_HIGH: apic->icr_high = value & 0xff000000; break;
    case INITIAL_COUNT: write_initial(apic, value); break;
    case DIVIDE: write_divide(apic, value); break;
    case SELF_IPI:
        if (value < FIRST_VECTOR)
            report(apic, ESR_SEND_VECTOR);
        else
            accept(apic, value, false);
        break;
    default: break;
    }
}

/* --- in memory --- */

static struct local_apic *accessed(struct apic_bus *bus)
{
    int cpu = bus->current ? bus->current(bus->current_opaque) : -1;

    return cpu >= 0 && (unsigned)cpu < bus->count ? bus->apic[cpu] : NULL;
}

static uint64_t bus_read(void *opaque, uint64_t offset, unsigned size)
{
    struct local_apic *apic = accessed(opaque);
    const struct apic_row *row = row_of((unsigned)(offset >> 4));
    uint32_t value = 0;

    (void)size;
    if (offset >= 0x1000 || !apic || !local_apic_enabled(apic) || local_apic_is_x2apic(apic))
        return UINT32_MAX;
    if (offset & 0xf)
        return 0;
    if (row && row->readable & IN_MEMORY)
        value = read_register(apic, (unsigned)(offset >> 4));
    else
        report(apic, ESR_REGISTER);
    trace_apic_mem_readl(offset, value);
    return value;
}

static void bus_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct apic_bus *bus = opaque;
    struct local_apic *apic = accessed(bus);
    const struct apic_row *row = row_of((unsigned)(offset >> 4));

    (void)size;
    if (!apic || offset >= 0x1000) {
        apic_bus_message(bus, offset, (uint32_t)value);
        return;
    }
    if (!local_apic_enabled(apic) || local_apic_is_x2apic(apic) || offset & 0xf)
        return;
    trace_apic_mem_writel(offset, (uint32_t)value);
    if (row && row->writable & IN_MEMORY)
        write_register(apic, (unsigned)(offset >> 4), (uint32_t)value);
    else
        report(apic, ESR_REGISTER);
}

static const struct mem_field svr_fields[] = {
    {"vector", 0, 8}, {"enabled", 8, 1}, {"no_focus", 9, 1}, {NULL, 0, 0}};
static const struct mem_field icr_fields[] = {
    {"vector", 0, 8},  {"delivery", 8, 3}, {"logical", 11, 1},   {"pending", 12, 1},
    {"assert", 14, 1}, {"level", 15, 1},   {"shorthand", 18, 2}, {NULL, 0, 0}};
static const struct mem_field timer_fields[] = {
    {"vector", 0, 8}, {"pending", 12, 1}, {"masked", 16, 1}, {"mode", 17, 2}, {NULL, 0, 0}};
static const struct mem_field lvt_fields[] = {
    {"vector", 0, 8},      {"delivery", 8, 3}, {"pending", 12, 1}, {"low", 13, 1},
    {"remote_irr", 14, 1}, {"level", 15, 1},   {"masked", 16, 1},  {NULL, 0, 0}};

/* clang-format off */
static const struct mem_register bus_registers[] = {
    {0x020, 4, MEM_R,  "ID", NULL},
    {0x030, 4, MEM_R,  "VERSION", NULL},
    {0x080, 4, MEM_RW, "TPR", NULL},
    {0x090, 4, MEM_R,  "APR", NULL},
    {0x0a0, 4, MEM_R,  "PPR", NULL},
    {0x0b0, 4, MEM_W,  "EOI", NULL},
    {0x0c0, 4, MEM_R,  "RRD", NULL},
    {0x0d0, 4, MEM_RW, "LDR", NULL},
    {0x0e0, 4, MEM_RW, "DFR", NULL},
    {0x0f0, 4, MEM_RW, "SVR", svr_fields},
    {0x100, 4, MEM_R,  "ISR0", NULL}, {0x110, 4, MEM_R, "ISR1", NULL},
    {0x120, 4, MEM_R,  "ISR2", NULL}, {0x130, 4, MEM_R, "ISR3", NULL},
    {0x140, 4, MEM_R,  "ISR4", NULL}, {0x150, 4, MEM_R, "ISR5", NULL},
    {0x160, 4, MEM_R,  "ISR6", NULL}, {0x170, 4, MEM_R, "ISR7", NULL},
    {0x180, 4, MEM_R,  "TMR0", NULL}, {0x190, 4, MEM_R, "TMR1", NULL},
    {0x1a0, 4, MEM_R,  "TMR2", NULL}, {0x1b0, 4, MEM_R, "TMR3", NULL},
    {0x1c0, 4, MEM_R,  "TMR4", NULL}, {0x1d0, 4, MEM_R, "TMR5", NULL},
    {0x1e0, 4, MEM_R,  "TMR6", NULL}, {0x1f0, 4, MEM_R, "TMR7", NULL},
    {0x200, 4, MEM_R,  "IRR0", NULL}, {0x210, 4, MEM_R, "IRR1", NULL},
    {0x220, 4, MEM_R,  "IRR2", NULL}, {0x230, 4, MEM_R, "IRR3", NULL},
    {0x240, 4, MEM_R,  "IRR4", NULL}, {0x250, 4, MEM_R, "IRR5", NULL},
    {0x260, 4, MEM_R,  "IRR6", NULL}, {0x270, 4, MEM_R, "IRR7", NULL},
    {0x280, 4, MEM_RW, "ESR", NULL},
    {0x300, 4, MEM_RW, "ICR_LOW", icr_fields},
    {0x310, 4, MEM_RW, "ICR_HIGH", NULL},
    {0x320, 4, MEM_RW, "LVT_TIMER", timer_fields},
    {0x330, 4, MEM_RW, "LVT_THERMAL", lvt_fields},
    {0x340, 4, MEM_RW, "LVT_PERFORMANCE", lvt_fields},
    {0x350, 4, MEM_RW, "LVT_LINT0", lvt_fields},
    {0x360, 4, MEM_RW, "LVT_LINT1", lvt_fields},
    {0x370, 4, MEM_RW, "LVT_ERROR", lvt_fields},
    {0x380, 4, MEM_RW, "INITIAL_COUNT", NULL},
    {0x390, 4, MEM_R,  "CURRENT_COUNT", NULL},
    {0x3e0, 4, MEM_RW, "DIVIDE", NULL},
    {0, 0, 0, NULL, NULL},
};
/* clang-format on */

/* Registers are accessed by 32 bits (SDM, "Local APIC Register Address Map"); a device's message
 * may be shorter. */
static const struct mem_ops bus_ops = {
    .read = bus_read,
    .write = bus_write,
    .valid_min = 1,
    .valid_max = 4,
    .impl_min = 4,
    .impl_max = 4,
    .registers = bus_registers,
};

/* --- in model-specific registers --- */

static bool msr_row(const struct local_apic *apic, uint32_t msr, const struct apic_row **row)
{
    if (!local_apic_is_x2apic(apic) || msr < MSR_FIRST || msr > MSR_LAST)
        return false;
    *row = row_of(msr - MSR_FIRST);
    return *row;
}

bool local_apic_read_msr(struct local_apic *apic, uint32_t msr, uint64_t *value)
{
    const struct apic_row *row;

    if (!msr_row(apic, msr, &row) || !(row->readable & IN_MSR))
        return false;
    *value = read_register(apic, msr - MSR_FIRST);
    if (msr - MSR_FIRST == ICR_LOW)
        *value |= (uint64_t)apic->icr_high << 32;
    return true;
}

bool local_apic_write_msr(struct local_apic *apic, uint32_t msr, uint64_t value)
{
    const struct apic_row *row;
    uint32_t high = (uint32_t)(value >> 32);

    if (!msr_row(apic, msr, &row) || !(row->writable & IN_MSR) || (uint32_t)value & row->reserved)
        return false;
    if (msr - MSR_FIRST == ICR_LOW)
        apic->icr_high = high;
    else if (high)
        return false;
    write_register(apic, msr - MSR_FIRST, (uint32_t)value);
    return true;
}

/* --- IA32_APIC_BASE --- */

uint64_t local_apic_base(const struct local_apic *apic)
{
    trace_cpu_get_apic_base(apic->base);
    return apic->base;
}

/* In x2APIC mode the logical id is made of the id: SDM, "Logical Destination Mode in x2APIC Mode".
 */
static uint32_t logical_id(uint32_t id)
{
    return id >> 4 << 16 | 1u << (id & 15);
}

bool local_apic_set_base(struct local_apic *apic, uint64_t value, unsigned address_bits)
{
    uint64_t allowed = ((UINT64_C(1) << address_bits) - 1) & ~UINT64_C(0xfff);
    uint64_t mode = value & (BASE_ENABLED | BASE_X2APIC);
    uint64_t was = apic->base & (BASE_ENABLED | BASE_X2APIC);

    if (value & ~(allowed | BASE_BSP | BASE_X2APIC | BASE_ENABLED) || mode == BASE_X2APIC)
        return false;
    /* SDM, "x2APIC States": from x2APIC only to disabled, from disabled not at once to x2APIC. */
    if ((was == (BASE_ENABLED | BASE_X2APIC) && mode == BASE_ENABLED) ||
        (was == 0 && mode == (BASE_ENABLED | BASE_X2APIC)))
        return false;
    trace_cpu_set_apic_base(value);
    if ((value & allowed) != (apic->base & allowed))
        device_guest_error(&apic->device, "the registers stay at 0x%x, not 0x%" PRIx64, APIC_BASE,
                           value & allowed);
    apic->base = value;
    if (was && !mode)
        reset_registers(apic);
    if (local_apic_is_x2apic(apic)) {
        apic->ldr = logical_id(apic->id);
        if (was == BASE_ENABLED)
            apic->icr_high = 0;
    }
    update(apic);
    return true;
}

bool local_apic_waits_for_sipi(const struct local_apic *apic)
{
    return apic->waits_for_sipi;
}

/* --- printing --- */

static const char *const DELIVERY_WORDS[] = {"Fixed", "LowPri", "SMI",  "...",
                                             "NMI",   "INIT",   "SIPI", "ExtINT"};

static void print_lvt(const struct local_apic *apic, const char *name, unsigned entry,
                      struct strbuf *text)
{
    static const char *const MODES[] = {"one-shot", "periodic", "tsc-deadline", ""};
    uint32_t lvt = apic->lvt[entry];
    unsigned delivery = (lvt & LVT_DELIVERY) >> 8;

    strbuf_printf(text, "%s\t 0x%08x %s %-5s %-6s %-7s %-12s %-6s", name, lvt,
                  lvt & LVT_LOW ? "active-lo" : "active-hi", lvt & LVT_LEVEL ? "level" : "edge",
                  lvt & LVT_MASKED ? "masked" : "", lvt & LVT_PENDING ? "pending" : "",
                  entry == TIMER ? MODES[(lvt & LVT_MODE) >> 17] : "", DELIVERY_WORDS[delivery]);
    if (delivery != APIC_NMI)
        strbuf_printf(text, " (vec %u)", lvt & LVT_VECTOR);
    strbuf_putc(text, '\n');
}

static void print_set(const struct local_apic *apic, const char *name, const uint32_t *set,
                      struct strbuf *text)
{
    strbuf_printf(text, "%s\t ", name);
    if (highest(set) < 0) {
        strbuf_puts(text, "(none)\n");
        return;
    }
    for (unsigned vector = 0; vector < WORDS * 32; vector++) {
        if (has_vector(set, vector))
            strbuf_printf(text, "%u%s ", vector, has_vector(apic->tmr, vector) ? "(level)" : "");
    }
    strbuf_putc(text, '\n');
}

/* A logical destination: the mask in binary, as wide as the mode has it. */
static void print_mask(const struct local_apic *apic, uint32_t destination, struct strbuf *text)
{
    unsigned bits = local_apic_is_x2apic(apic) ? 16 : apic->dfr == FLAT ? 8 : 4;

    if (bits != 8)
        strbuf_printf(text, " cluster %u", destination >> bits);
    strbuf_puts(text, " mask ");
    while (bits--)
        strbuf_putc(text, destination >> bits & 1 ? '1' : '0');
}

static void print_icr(const struct local_apic *apic, struct strbuf *text)
{
    static const char *const SHORTHANDS[] = {"no-shorthand", "self", "all-self", "all"};
    bool x2apic = local_apic_is_x2apic(apic);
    uint32_t low = apic->icr_low;
    uint32_t destination = x2apic ? apic->icr_high : apic->icr_high >> 24;

    strbuf_printf(text, "ICR\t 0x%08x %s %s %s %s\n", low,
                  low & ICR_LOGICAL ? "logical" : "physical", low & ICR_LEVEL ? "level" : "edge",
                  low & ICR_ASSERT ? "assert" : "de-assert", SHORTHANDS[low >> 18 & 3]);
    strbuf_printf(text, "ICR2\t 0x%08x", apic->icr_high);
    if (low >> 18 & 3) {
        strbuf_putc(text, '\n');
        return;
    }
    if (low & ICR_LOGICAL)
        print_mask(apic, destination, text);
    else
        strbuf_printf(text, " cpu %u", destination);
    strbuf_puts(text, x2apic ? " (X2APIC ID)\n" : " (APIC ID)\n");
}

void local_apic_print(struct local_apic *apic, struct strbuf *text)
{
    static const struct {
        const char *name;
        unsigned entry;
    } ENTRIES[] = {{"LVT0", LINT0},   {"LVT1", LINT1},      {"LVTPC", PERFORMANCE},
                   {"LVTERR", ERROR}, {"LVTTHMR", THERMAL}, {"LVTT", TIMER}};

    strbuf_printf(text, "dumping local APIC state for CPU %u \n\n", (unsigned)apic->id);
    for (size_t i = 0; i < sizeof ENTRIES / sizeof ENTRIES[0]; i++)
        print_lvt(apic, ENTRIES[i].name, ENTRIES[i].entry, text);
    strbuf_printf(text, "Timer\t DCR=0x%x (divide by %u) initial_count = %u current_count = %u\n",
                  apic->divide, (unsigned)count_time(apic), apic->initial, current_count(apic));
    strbuf_printf(text, "SPIV\t 0x%08x APIC %s, focus=%s, spurious vec %u\n", apic->svr,
                  apic->svr & SVR_ENABLED ? "enabled" : "disabled",
                  apic->svr & SVR_NO_FOCUS ? "on" : "off", apic->svr & 0xff);
    print_icr(apic, text);
    strbuf_printf(text, "ESR\t 0x%08x\n", apic->esr);
    print_set(apic, "ISR", apic->isr, text);
    print_set(apic, "IRR", apic->irr, text);
    strbuf_printf(text, "\nAPR 0x%02x TPR 0x%02x DFR 0x%02x LDR 0x%02x PPR 0x%02x\n", 0, apic->tpr,
                  apic->dfr, apic->ldr, processor_priority(apic));
}

/* --- the bus --- */

static void set_bus_line(void *opaque, int number, bool level)
{
    struct apic_bus *bus = opaque;

    for (unsigned i = 0; i < bus->count; i++)
        set_line(bus->apic[i], (unsigned)number, level);
}

struct irq apic_bus_line(struct apic_bus *bus, unsigned lint)
{
    return (struct irq){set_bus_line, bus, (int)(lint & 1)};
}

void apic_bus_init(struct apic_bus *bus, struct board *board, int (*current)(void *opaque),
                   void *opaque)
{
    memset(bus, 0, sizeof *bus);
    bus->board = board;
    bus->current = current;
    bus->current_opaque = opaque;
    mem_init_io(&bus->region, "apic-msi", 0x100000, &bus_ops, bus);
    mem_add(board->memory_root, &bus->region, APIC_BASE, 4096);
}

void apic_bus_free(struct apic_bus *bus)
{
    mem_free(&bus->region);
}

/* --- the device --- */

/* SDM, "Local APIC State After Power-Up or Reset". What INIT does too. */
static void reset_registers(struct local_apic *apic)
{
    apic->tpr = 0;
    apic->ldr = local_apic_is_x2apic(apic) ? logical_id(apic->id) : 0;
    apic->dfr = FLAT;
    apic->svr = 0xff;
    memset(apic->isr, 0, sizeof apic->isr);
    memset(apic->tmr, 0, sizeof apic->tmr);
    memset(apic->irr, 0, sizeof apic->irr);
    apic->errors = apic->esr = 0;
    apic->icr_low = apic->icr_high = 0;
    for (unsigned i = 0; i < LVTS; i++)
        apic->lvt[i] = LVT_MASKED;
    apic->divide = apic->initial = 0;
    apic->started = 0;
    apic->deadline = 0;
    apic->external = false;
    timer_stop(&apic->timer);
}

static bool apic_realize(struct device *device, struct error *err)
{
    struct local_apic *apic = (struct local_apic *)device;

    if (!apic->bus)
        return error_set(err, "apic: it needs a CPU; -smp makes CPUs and their APICs");
    timer_init(&apic->timer, device->board->clock, timer_fires, apic);
    return true;
}

static void apic_reset(struct device *device)
{
    struct local_apic *apic = (struct local_apic *)device;
    bool is_first = apic->bus->apic[0] == apic;

    apic->base = APIC_BASE | BASE_ENABLED | (is_first ? BASE_BSP : 0);
    apic->waits_for_sipi = !is_first;
    reset_registers(apic);
    update(apic);
}

static bool apic_loaded(struct device *device, struct error *err)
{
    struct local_apic *apic = (struct local_apic *)device;
    uint64_t now = clock_now(device->board->clock);

    (void)err;
    if (apic->started > now)
        apic->started = now;
    apic->divide &= 0xb;
    tell(apic, APIC_NOTICE_INTERRUPT, apic->told);
    update(apic);
    return true;
}

static void apic_free(struct device *device)
{
    if (device->realized)
        timer_stop(&((struct local_apic *)device)->timer);
}

static const struct device_property apic_properties[] = {
    {"id", PROPERTY_U32, offsetof(struct local_apic, id), 0, NULL, NULL, "its id on the bus"},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

static const struct device_field apic_state[] = {
    FIELD(struct local_apic, base, FIELD_U64),
    FIELD(struct local_apic, tpr, FIELD_U8),
    FIELD(struct local_apic, ldr, FIELD_U32),
    FIELD(struct local_apic, dfr, FIELD_U8),
    FIELD(struct local_apic, svr, FIELD_U32),
    FIELD_ARRAY(struct local_apic, isr, FIELD_U32),
    FIELD_ARRAY(struct local_apic, tmr, FIELD_U32),
    FIELD_ARRAY(struct local_apic, irr, FIELD_U32),
    FIELD(struct local_apic, errors, FIELD_U32),
    FIELD(struct local_apic, esr, FIELD_U32),
    FIELD(struct local_apic, icr_low, FIELD_U32),
    FIELD(struct local_apic, icr_high, FIELD_U32),
    FIELD_ARRAY(struct local_apic, lvt, FIELD_U32),
    FIELD(struct local_apic, divide, FIELD_U32),
    FIELD(struct local_apic, initial, FIELD_U32),
    FIELD(struct local_apic, started, FIELD_U64),
    FIELD(struct local_apic, deadline, FIELD_U64),
    FIELD_ARRAY(struct local_apic, lines, FIELD_BOOL),
    FIELD(struct local_apic, external, FIELD_BOOL),
    FIELD(struct local_apic, waits_for_sipi, FIELD_BOOL),
    FIELD(struct local_apic, told, FIELD_BOOL),
    FIELD(struct local_apic, timer, FIELD_TIMER),
    FIELD_END,
};

static const struct device_class local_apic_class = {
    .name = "apic",
    .help = "Local APIC",
    .bus = "System",
    .category = "Misc",
    .size = sizeof(struct local_apic),
    .properties = apic_properties,
    .state = apic_state,
    .realize = apic_realize,
    .reset = apic_reset,
    .loaded = apic_loaded,
    .free = apic_free,
};
DEVICE(local_apic_class)

struct local_apic *local_apic_new(struct apic_bus *bus, uint32_t id, const struct apic_cpu *cpu,
                                  struct error *err)
{
    struct local_apic *apic;

    if (bus->count == APIC_MAX) {
        error_set(err, "a machine can have %d CPUs, no more", APIC_MAX);
        return NULL;
    }
    apic = (struct local_apic *)device_new(&local_apic_class, bus->board);
    apic->bus = bus;
    apic->id = id;
    apic->cpu = *cpu;
    if (!device_realize(&apic->device, err))
        return NULL;
    bus->apic[bus->count++] = apic;
    return apic;
}
