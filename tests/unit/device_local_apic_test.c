/* SPDX-License-Identifier: MIT
 *
 * Local APICs: registers in memory and as MSRs, priorities, messages between CPUs, the local vector
 * table, the timer's three modes, virtual wire; and with 8259 and IOAPIC on one bus.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "device/apic.h"
#include "device/i8259.h"
#include "device/ioapic.h"
#include "device_harness.h"

enum { CPUS = 4 };

enum {
    ID = 0x20,
    VERSION = 0x30,
    TPR = 0x80,
    PPR = 0xa0,
    EOI = 0xb0,
    LDR = 0xd0,
    DFR = 0xe0,
    SVR = 0xf0,
    ISR = 0x100,
    TMR = 0x180,
    IRR = 0x200,
    ESR = 0x280,
    ICR = 0x300,
    ICR_HIGH = 0x310,
    LVT_TIMER = 0x320,
    LVT_THERMAL = 0x330,
    LVT_PERFORMANCE = 0x340,
    LVT_LINT0 = 0x350,
    LVT_LINT1 = 0x360,
    LVT_ERROR = 0x370,
    INITIAL = 0x380,
    CURRENT = 0x390,
    DIVIDE = 0x3e0,
};

struct cpu {
    bool interrupt;
    unsigned nmi, smi, init, sipi, notices;
    unsigned sipi_vector;
    uint64_t tsc_offset; /* the TSC counts at 1 GHz from here */
};

struct machine {
    struct harness h;
    struct apic_bus bus;
    struct cpu cpu[CPUS];
    int current;
    struct device *pic, *ioapic;
};

static void notify(void *opaque, enum apic_notice what, unsigned value)
{
    struct cpu *cpu = opaque;

    cpu->notices++;
    switch (what) {
    case APIC_NOTICE_INTERRUPT: cpu->interrupt = value; break;
    case APIC_NOTICE_NMI: cpu->nmi++; break;
    case APIC_NOTICE_SMI: cpu->smi++; break;
    case APIC_NOTICE_INIT: cpu->init++; break;
    case APIC_NOTICE_SIPI:
        cpu->sipi++;
        cpu->sipi_vector = value;
        break;
    }
}

static uint64_t tsc_time(void *opaque, uint64_t tsc)
{
    const struct cpu *cpu = opaque;

    return tsc < cpu->tsc_offset ? 0 : tsc - cpu->tsc_offset;
}

static int current(void *opaque)
{
    return ((struct machine *)opaque)->current;
}

static uint8_t from_pic(void *opaque)
{
    return i8259_acknowledge(opaque);
}

static void begin(struct machine *m)
{
    struct error err;

    memset(m, 0, sizeof *m);
    harness_begin(&m->h);
    apic_bus_init(&m->bus, &m->h.board, current, m);
    for (unsigned i = 0; i < CPUS; i++) {
        struct apic_cpu cpu = {&m->cpu[i], notify, tsc_time};

        assert_non_null(local_apic_new(&m->bus, i, &cpu, &err));
    }
    m->pic = i8259_new_pair(&m->h.board, apic_bus_line(&m->bus, 0), &err);
    assert_non_null(m->pic);
    m->bus.acknowledge_external = from_pic;
    m->bus.external_opaque = m->pic;
    m->ioapic = ioapic_new_on_bus(&m->h.board, &m->bus, &err);
    assert_non_null(m->ioapic);
    harness_reset(&m->h);
    memset(m->cpu, 0, sizeof m->cpu);
}

static void end(struct machine *m)
{
    harness_end(&m->h);
    apic_bus_free(&m->bus);
}

static uint32_t get(struct machine *m, unsigned offset)
{
    return load32(&m->h, APIC_BASE + offset);
}

static void put(struct machine *m, unsigned offset, uint32_t value)
{
    store32(&m->h, APIC_BASE + offset, value);
}

/* All CPUs on, CPU 0 current. */
static void enable(struct machine *m)
{
    for (m->current = CPUS - 1; m->current > 0; m->current--)
        put(m, SVR, 0x1ff);
    put(m, SVR, 0x1ff);
}

static struct local_apic *apic(struct machine *m, unsigned cpu)
{
    return m->bus.apic[cpu];
}

static void send(struct machine *m, uint32_t high, uint32_t low)
{
    put(m, ICR_HIGH, high << 24);
    put(m, ICR, low);
}

static bool in_set(struct machine *m, unsigned set, unsigned vector)
{
    return get(m, set + vector / 32 * 16) >> vector % 32 & 1;
}

/* --- registers --- */

static void registers_after_reset(void **state)
{
    struct machine m;

    (void)state;
    begin(&m);
    for (m.current = 0; m.current < CPUS; m.current++) {
        assert_int_equal(get(&m, ID), (uint32_t)m.current << 24);
        assert_int_equal(get(&m, VERSION), 0x00050014);
        assert_int_equal(get(&m, DFR), 0xffffffff);
        assert_int_equal(get(&m, LDR), 0);
        assert_int_equal(get(&m, SVR), 0xff);
        for (unsigned lvt = LVT_TIMER; lvt <= LVT_ERROR; lvt += 16)
            assert_int_equal(get(&m, lvt), 0x10000);
        assert_int_equal(local_apic_base(apic(&m, (unsigned)m.current)),
                         m.current ? 0xfee00800 : 0xfee00900);
        assert_int_equal(local_apic_waits_for_sipi(apic(&m, (unsigned)m.current)), m.current != 0);
    }
    end(&m);
}

static void what_can_be_written(void **state)
{
    static const struct {
        unsigned offset;
        uint32_t written, read;
    } ROWS[] = {
        {ID, 0xffffffff, 0},
        {VERSION, 0, 0x50014},
        {TPR, 0xffffffff, 0xff},
        {LDR, 0xffffffff, 0xff000000},
        {DFR, 0x0fffffff, 0x0fffffff},
        {DFR, 0xffffffff, 0xffffffff},
        {SVR, 0xffffffff, 0x3ff},
        {ICR_HIGH, 0xffffffff, 0xff000000},
        {LVT_TIMER, 0xfff9ffff, 0x000100ff},
        {LVT_TIMER, 0x00030011, 0x00030011},
        {LVT_TIMER, 0x00070011, 0x00030011}, /* the reserved mode */
        {LVT_THERMAL, 0xffffffff, 0x000107ff},
        {LVT_PERFORMANCE, 0xffffffff, 0x000107ff},
        {LVT_LINT0, 0xffffffff, 0x0001a7ff},
        {LVT_LINT1, 0xffffffff, 0x0001a7ff},
        {LVT_ERROR, 0xffffffff, 0x000100ff},
        {INITIAL, 0x12345678, 0x12345678},
        {DIVIDE, 0xffffffff, 0x0b},
        {CURRENT, 5, 0x12345678},
        {ISR, 0xffffffff, 0},
        {TMR, 0xffffffff, 0},
        {IRR, 0xffffffff, 0},
    };
    struct machine m;

    (void)state;
    begin(&m);
    enable(&m);
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        put(&m, ROWS[i].offset, ROWS[i].written);
        if (get(&m, ROWS[i].offset) != ROWS[i].read)
            fail_msg("row %zu: 0x%x", i, get(&m, ROWS[i].offset));
    }
    put(&m, SVR, 0xff); /* switched off: all entries are masked and stay so */
    assert_int_equal(get(&m, LVT_TIMER), 0x30011);
    put(&m, LVT_ERROR, 0x33);
    assert_int_equal(get(&m, LVT_ERROR), 0x10033);
    end(&m);
}

static void accesses_by_others(void **state)
{
    struct machine m;
    uint64_t value;

    (void)state;
    begin(&m);
    enable(&m);
    assert_int_equal(mem_load(m.h.board.memory, 0, APIC_BASE + SVR, &value, 8), MEM_REFUSED);
    assert_int_equal(load8(&m.h, APIC_BASE + VERSION), 0x14);
    m.current = -1; /* a device: a message */
    store32(&m.h, APIC_BASE + 0x2000, 0x4155);
    m.current = 2;
    assert_true(in_set(&m, IRR, 0x55));
    m.current = -1;
    assert_int_equal(get(&m, SVR), 0xffffffff);
    store32(&m.h, APIC_BASE + 0xff004, 0x0041); /* logical, to nobody */
    store32(&m.h, APIC_BASE + 0xff000, 0x0042); /* to all */
    for (m.current = 0; m.current < CPUS; m.current++) {
        assert_false(in_set(&m, IRR, 0x41));
        assert_true(in_set(&m, IRR, 0x42));
    }
    end(&m);
}

/* --- priorities --- */

static void priorities(void **state)
{
    struct machine m;
    struct local_apic *a;

    (void)state;
    begin(&m);
    a = apic(&m, 0);
    enable(&m);
    assert_int_equal(local_apic_acknowledge(a), -1);
    send(&m, 0, 0x4031);
    send(&m, 0, 0x4052);
    send(&m, 0, 0x4055);
    assert_true(m.cpu[0].interrupt);
    assert_int_equal(local_apic_acknowledge(a), 0x55);
    assert_false(m.cpu[0].interrupt); /* 0x52 is of the same class */
    assert_int_equal(get(&m, PPR), 0x50);
    assert_true(in_set(&m, ISR, 0x55));
    assert_false(in_set(&m, IRR, 0x55));
    send(&m, 0, 0x4060);
    assert_int_equal(local_apic_acknowledge(a), 0x60);
    put(&m, EOI, 0);
    assert_false(in_set(&m, ISR, 0x60));
    assert_false(local_apic_pending(a));
    put(&m, EOI, 0);
    assert_int_equal(local_apic_acknowledge(a), 0x52);
    put(&m, TPR, 0x38);
    put(&m, EOI, 0);
    assert_int_equal(get(&m, PPR), 0x38);
    assert_false(local_apic_pending(a)); /* 0x31: TPR is of its class */
    assert_int_equal(local_apic_cr8(a), 3);
    local_apic_set_cr8(a, 2);
    assert_int_equal(get(&m, TPR), 0x20);
    assert_true(m.cpu[0].interrupt);
    assert_int_equal(local_apic_acknowledge(a), 0x31);
    put(&m, EOI, 0);
    put(&m, EOI, 0); /* nothing in service */
    assert_int_equal(get(&m, PPR), 0x20);
    end(&m);
}

/* --- messages --- */

/* Who gets a fixed interrupt: a bit for each CPU. */
static unsigned receivers(struct machine *m, unsigned vector)
{
    unsigned set = 0;
    int was = m->current;

    for (m->current = 0; m->current < CPUS; m->current++)
        set |= (unsigned)in_set(m, IRR, vector) << m->current;
    m->current = was;
    return set;
}

static void destinations(void **state)
{
    /* Flat: CPU n has bit n. Clusters: CPUs 0 and 1 are 1 and 2 of cluster 0, 2 and 3 of cluster 1.
     */
    static const uint8_t FLAT[CPUS] = {1, 2, 4, 8}, CLUSTER[CPUS] = {0x01, 0x02, 0x11, 0x12};
    static const struct {
        uint8_t cluster;
        uint8_t destination;
        uint32_t low;
        unsigned receivers;
    } ROWS[] = {
        {0, 2, 0x4000, 0x4},    {0, 9, 0x4000, 0x0},    {0, 0xff, 0x4000, 0xf},
        {0, 0, 0x44000, 0x2},   {0, 0, 0x84000, 0xf},   {0, 0, 0xc4000, 0xd},
        {0, 0x05, 0x4800, 0x5}, {0, 0xff, 0x4800, 0xf}, {0, 0xf0, 0x4800, 0x0},
        {1, 0x03, 0x4800, 0x3}, {1, 0x12, 0x4800, 0x8}, {1, 0x23, 0x4800, 0x0},
        {1, 0xf1, 0x4800, 0x5}, {1, 0xff, 0x4800, 0xf},
    };

    (void)state;
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        struct machine m;

        begin(&m);
        enable(&m);
        for (m.current = 0; m.current < CPUS; m.current++) {
            put(&m, LDR, (uint32_t)(ROWS[i].cluster ? CLUSTER : FLAT)[m.current] << 24);
            put(&m, DFR, ROWS[i].cluster ? 0x0fffffff : 0xffffffff);
        }
        m.current = 1;
        send(&m, ROWS[i].destination, ROWS[i].low | 0x45);
        if (receivers(&m, 0x45) != ROWS[i].receivers)
            fail_msg("row %zu: 0x%x", i, receivers(&m, 0x45));
        end(&m);
    }
}

static void lowest_priority(void **state)
{
    struct machine m;
    unsigned first;

    (void)state;
    begin(&m);
    enable(&m);
    for (m.current = 0; m.current < CPUS; m.current++) {
        put(&m, LDR, 1u << (24 + m.current));
        put(&m, TPR, m.current == 2 ? 0x10 : 0x20);
    }
    m.current = 0;
    send(&m, 0xff, 0x4900 | 0x61);
    assert_int_equal(receivers(&m, 0x61), 4);
    send(&m, 0x0b, 0x4900 | 0x62); /* equal: one, and then another */
    first = receivers(&m, 0x62);
    assert_true(first == 1 || first == 2 || first == 8);
    send(&m, 0x0b, 0x4900 | 0x63);
    assert_int_not_equal(receivers(&m, 0x63), first);
    assert_int_not_equal(receivers(&m, 0x63), 0);
    end(&m);
}

static void deliveries(void **state)
{
    struct machine m;

    (void)state;
    begin(&m);
    send(&m, 1, 0x4400); /* NMI, SMI, INIT: also while the APIC is off by software */
    send(&m, 1, 0x4200);
    assert_int_equal(m.cpu[1].nmi, 1);
    assert_int_equal(m.cpu[1].smi, 1);
    send(&m, 1, 0x4041); /* fixed: not */
    assert_int_equal(receivers(&m, 0x41), 0);
    send(&m, 1, 0xc500);
    assert_int_equal(m.cpu[1].init, 1);
    send(&m, 1, 0x8500); /* INIT's level falls: nothing */
    assert_int_equal(m.cpu[1].init, 1);
    assert_int_equal(get(&m, ICR), 0x8500);
    end(&m);
}

/* As SeaBIOS and Linux start the others. */
static void init_and_startup(void **state)
{
    struct machine m;

    (void)state;
    begin(&m);
    enable(&m);
    send(&m, 0, 0x000c4500); /* INIT to all others */
    send(&m, 0, 0x000c4610);
    for (unsigned i = 1; i < CPUS; i++) {
        assert_int_equal(m.cpu[i].init, 1);
        assert_int_equal(m.cpu[i].sipi, 1);
        assert_int_equal(m.cpu[i].sipi_vector, 0x10);
        assert_false(local_apic_waits_for_sipi(apic(&m, i)));
    }
    assert_int_equal(m.cpu[0].init, 0);
    m.current = 1;
    assert_int_equal(get(&m, SVR), 0xff); /* INIT has reset it, but for its id */
    assert_int_equal(get(&m, ID), 0x01000000);
    m.current = 0;
    send(&m, 1, 0x4699); /* it runs: the second start-up message is nothing */
    assert_int_equal(m.cpu[1].sipi, 1);
    send(&m, 1, 0x4500);
    send(&m, 1, 0x4699);
    assert_int_equal(m.cpu[1].sipi_vector, 0x99);
    m.current = 1;
    send(&m, 0, 0x4500); /* the boot processor begins at its reset vector, without waiting */
    assert_int_equal(m.cpu[0].init, 1);
    assert_false(local_apic_waits_for_sipi(apic(&m, 0)));
    end(&m);
}

static void errors(void **state)
{
    struct machine m;

    (void)state;
    begin(&m);
    enable(&m);
    put(&m, LVT_ERROR, 0xfe);
    send(&m, 0, 0x4005);               /* an illegal vector */
    assert_int_equal(get(&m, ESR), 0); /* not before it is written */
    put(&m, ESR, 0);
    assert_int_equal(get(&m, ESR), 0x20);
    assert_true(in_set(&m, IRR, 0xfe));
    put(&m, 0x3f0, 1); /* no register */
    put(&m, ESR, 0);
    assert_int_equal(get(&m, ESR), 0x80);
    put(&m, LVT_TIMER, 0x05);
    put(&m, INITIAL, 10);
    harness_advance(&m.h, 1000);
    put(&m, ESR, 0);
    assert_int_equal(get(&m, ESR), 0x40);
    put(&m, LVT_ERROR, 0x03); /* its own entry has an illegal vector */
    send(&m, 0, 0x4005);
    put(&m, ESR, 0);
    assert_int_equal(get(&m, ESR), 0x60);
    put(&m, ESR, 0);
    assert_int_equal(get(&m, ESR), 0);
    end(&m);
}

/* --- the local vector table --- */

static void virtual_wire(void **state)
{
    struct machine m;

    (void)state;
    begin(&m);
    out8(&m.h, 0x20, 0x11);
    out8(&m.h, 0x21, 0x08);
    out8(&m.h, 0x21, 0x04);
    out8(&m.h, 0x21, 0x01);
    out8(&m.h, 0x21, 0x00);
    irq_pulse(i8259_line(m.pic, 4));
    assert_false(m.cpu[0].interrupt); /* LINT0 is masked */
    enable(&m);
    put(&m, LVT_LINT0, 0x8700);
    assert_true(m.cpu[0].interrupt);
    assert_false(m.cpu[1].interrupt);
    put(&m, TPR, 0xff); /* the task priority is not asked */
    assert_int_equal(local_apic_acknowledge(apic(&m, 0)), 0x0c);
    assert_false(m.cpu[0].interrupt);
    assert_int_equal(get(&m, PPR), 0xff);
    out8(&m.h, 0x20, 0x20);
    /* An APIC that is switched off lets INTR through to the boot processor. */
    assert_true(local_apic_set_base(apic(&m, 0), APIC_BASE | 0x100, 40));
    irq_pulse(i8259_line(m.pic, 5));
    assert_true(m.cpu[0].interrupt);
    assert_int_equal(local_apic_acknowledge(apic(&m, 0)), 0x0d);
    assert_int_equal(get(&m, SVR), 0xffffffff);
    end(&m);
}

static void lint_lines(void **state)
{
    struct machine m;
    struct irq nmi;

    (void)state;
    begin(&m);
    nmi = apic_bus_line(&m.bus, 1);
    irq_pulse(nmi);
    assert_int_equal(m.cpu[0].nmi, 0);
    enable(&m);
    put(&m, LVT_LINT1, 0x400);
    irq_set(nmi, true);
    irq_set(nmi, true);
    assert_int_equal(m.cpu[0].nmi, 1);
    irq_set(nmi, false);
    put(&m, LVT_LINT1, 0x8044); /* fixed, level */
    irq_set(nmi, true);
    assert_int_equal(get(&m, LVT_LINT1), 0xc044);
    assert_int_equal(local_apic_acknowledge(apic(&m, 0)), 0x44);
    assert_false(in_set(&m, IRR, 0x44));
    put(&m, EOI, 0);
    assert_true(in_set(&m, IRR, 0x44)); /* the line is still up */
    irq_set(nmi, false);
    assert_int_equal(local_apic_acknowledge(apic(&m, 0)), 0x44);
    put(&m, EOI, 0);
    assert_int_equal(get(&m, LVT_LINT1), 0x8044);
    put(&m, LVT_PERFORMANCE, 0x400);
    local_apic_raise(apic(&m, 0), APIC_LOCAL_PERFORMANCE);
    assert_int_equal(m.cpu[0].nmi, 2);
    assert_int_equal(get(&m, LVT_PERFORMANCE), 0x10400);
    put(&m, LVT_THERMAL, 0x77);
    local_apic_raise(apic(&m, 0), APIC_LOCAL_THERMAL);
    assert_true(in_set(&m, IRR, 0x77));
    end(&m);
}

/* --- the timer --- */

static void one_shot(void **state)
{
    static const struct {
        uint32_t divide;
        uint64_t ns;
    } ROWS[] = {{0x0, 2},  {0x1, 4},  {0x2, 8},   {0x3, 16},
                {0x8, 32}, {0x9, 64}, {0xa, 128}, {0xb, 1}};

    (void)state;
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        struct machine m;

        begin(&m);
        enable(&m);
        put(&m, DIVIDE, ROWS[i].divide);
        put(&m, LVT_TIMER, 0xef);
        put(&m, INITIAL, 100000);
        harness_advance(&m.h, 40000 * ROWS[i].ns);
        assert_int_equal(get(&m, CURRENT), 60000);
        harness_advance(&m.h, 60000 * ROWS[i].ns - 1);
        assert_int_equal(get(&m, CURRENT), 1);
        assert_false(m.cpu[0].interrupt);
        harness_advance(&m.h, 1);
        assert_int_equal(get(&m, CURRENT), 0);
        assert_int_equal(local_apic_acknowledge(apic(&m, 0)), 0xef);
        put(&m, EOI, 0);
        harness_advance(&m.h, 1000000000);
        assert_false(m.cpu[0].interrupt);
        assert_int_equal(clock_next(&m.h.clock), TIMER_NEVER);
        end(&m);
    }
}

static void periodic(void **state)
{
    struct machine m;
    unsigned count = 0;

    (void)state;
    begin(&m);
    enable(&m);
    put(&m, DIVIDE, 0x3);
    put(&m, LVT_TIMER, 0x200ef);
    put(&m, INITIAL, 62500); /* 1 ms */
    for (unsigned ms = 0; ms < 50; ms++) {
        harness_advance(&m.h, 1000000);
        assert_int_equal(get(&m, CURRENT), 62500);
        count += local_apic_acknowledge(apic(&m, 0)) == 0xef;
        put(&m, EOI, 0);
    }
    assert_int_equal(count, 50);
    put(&m, LVT_TIMER, 0x300ef); /* masked: it goes on counting */
    harness_advance(&m.h, 1500000);
    assert_false(m.cpu[0].interrupt);
    assert_int_equal(get(&m, CURRENT), 31250);
    put(&m, LVT_TIMER, 0x200ef);
    harness_advance(&m.h, 499999);
    assert_false(m.cpu[0].interrupt);
    harness_advance(&m.h, 1);
    assert_true(m.cpu[0].interrupt);
    put(&m, INITIAL, 0); /* stopped */
    assert_int_equal(clock_next(&m.h.clock), TIMER_NEVER);
    put(&m, DIVIDE, 0xb); /* a period of 1 ns must not stop the machine */
    put(&m, INITIAL, 1);
    assert_true(clock_next(&m.h.clock) > clock_now(&m.h.clock) + 1000);
    harness_advance(&m.h, 10000000);
    end(&m);
}

static void deadline(void **state)
{
    struct machine m;
    struct local_apic *a;

    (void)state;
    begin(&m);
    a = apic(&m, 0);
    m.cpu[0].tsc_offset = 5000;
    enable(&m);
    local_apic_set_deadline(a, 100); /* not in this mode: ignored */
    assert_int_equal(local_apic_deadline(a), 0);
    put(&m, LVT_TIMER, 0x400ec);
    put(&m, INITIAL, 1000); /* likewise */
    assert_int_equal(get(&m, INITIAL), 0);
    local_apic_set_deadline(a, 25000);
    assert_int_equal(local_apic_deadline(a), 25000);
    assert_int_equal(get(&m, CURRENT), 0);
    harness_advance(&m.h, 19999);
    assert_false(m.cpu[0].interrupt);
    harness_advance(&m.h, 1);
    assert_int_equal(local_apic_acknowledge(a), 0xec);
    assert_int_equal(local_apic_deadline(a), 0);
    put(&m, EOI, 0);
    local_apic_set_deadline(a, 3); /* over: at once */
    clock_run(&m.h.clock);
    assert_int_equal(local_apic_acknowledge(a), 0xec);
    put(&m, EOI, 0);
    local_apic_set_deadline(a, 100000);
    m.cpu[0].tsc_offset = 50000; /* the guest has written the TSC */
    local_apic_tsc_changed(a);
    assert_int_equal(clock_next(&m.h.clock), 50000);
    local_apic_set_deadline(a, 0); /* disarmed */
    assert_int_equal(clock_next(&m.h.clock), TIMER_NEVER);
    local_apic_set_deadline(a, 100000);
    put(&m, LVT_TIMER, 0xec); /* another mode: disarmed */
    assert_int_equal(local_apic_deadline(a), 0);
    assert_int_equal(clock_next(&m.h.clock), TIMER_NEVER);
    end(&m);
}

/* --- x2APIC --- */

static uint64_t msr(struct machine *m, unsigned cpu, uint32_t number)
{
    uint64_t value = 0;

    assert_true(local_apic_read_msr(apic(m, cpu), number, &value));
    return value;
}

static void modes_of_the_base(void **state)
{
    static const struct {
        uint64_t value;
        bool good;
    } STEPS[] = {
        {0xfee00400, false}, /* x2APIC without the APIC */
        {0xfee00900, true},  {0xfee00901, false}, {UINT64_C(0x10000000900) + APIC_BASE, false},
        {0xfee00d00, true},  {0xfee00900, false}, /* x2APIC back to xAPIC */
        {0xfee00100, true},  {0xfee00d00, false}, /* off to x2APIC */
        {0xfee00900, true},  {0xfee01900, true},  /* elsewhere: kept, no more */
    };
    struct machine m;
    uint64_t value;

    (void)state;
    begin(&m);
    assert_false(local_apic_read_msr(apic(&m, 0), 0x802, &value));
    assert_false(local_apic_write_msr(apic(&m, 0), 0x808, 0));
    for (size_t i = 0; i < sizeof STEPS / sizeof STEPS[0]; i++) {
        uint64_t was = local_apic_base(apic(&m, 0));

        assert_int_equal(local_apic_set_base(apic(&m, 0), STEPS[i].value, 40), STEPS[i].good);
        assert_int_equal(local_apic_base(apic(&m, 0)), STEPS[i].good ? STEPS[i].value : was);
        assert_int_equal(local_apic_enabled(apic(&m, 0)), local_apic_base(apic(&m, 0)) >> 11 & 1);
    }
    end(&m);
}

static void registers_as_msrs(void **state)
{
    static const struct {
        uint32_t msr;
        uint64_t value;
        bool good;
    } WRITES[] = {
        {0x802, 0, false},
        {0x803, 0, false},
        {0x808, 0x20, true},
        {0x808, 0x100, false},
        {0x809, 0, false},
        {0x80a, 0, false},
        {0x80b, 0, true},
        {0x80b, 1, false},
        {0x80d, 1, false},
        {0x80e, 0, false},
        {0x80f, 0x1ff, true},
        {0x80f, 0x10000, false},
        {0x810, 0, false},
        {0x820, 0, false},
        {0x828, 0, true},
        {0x828, 1, false},
        {0x82f, 0, false},
        {0x830, 0x1000, false},
        {0x831, 0, false},
        {0x832, 0x200ef, true},
        {0x832, 0x400, false},
        {0x833, 0x10000, true},
        {0x834, 0x10400, true},
        {0x835, 0x8700, true},
        {0x836, 0x400, true},
        {0x837, 0xfe, true},
        {0x837, 0x400, false},
        {0x838, 77, true},
        {0x838, UINT64_C(1) << 32, false},
        {0x839, 0, false},
        {0x83e, 0xb, true},
        {0x83e, 0x4, false},
        {0x83f, 0x100, false},
        {0x840, 0, false},
        {0x8ff, 0, false},
        {0x7ff, 0, false},
    };
    struct machine m;
    uint64_t value;

    (void)state;
    begin(&m);
    assert_true(local_apic_set_base(apic(&m, 0), 0xfee00d00, 40));
    for (size_t i = 0; i < sizeof WRITES / sizeof WRITES[0]; i++) {
        if (local_apic_write_msr(apic(&m, 0), WRITES[i].msr, WRITES[i].value) != WRITES[i].good)
            fail_msg("row %zu: MSR 0x%x", i, WRITES[i].msr);
    }
    assert_int_equal(msr(&m, 0, 0x802), 0);
    assert_int_equal(msr(&m, 0, 0x803), 0x50014);
    assert_int_equal(msr(&m, 0, 0x808), 0x20);
    assert_int_equal(msr(&m, 0, 0x80d), 1);
    assert_int_equal(msr(&m, 0, 0x832), 0x200ef);
    assert_int_equal(msr(&m, 0, 0x838), 77);
    assert_false(local_apic_read_msr(apic(&m, 0), 0x80b, &value));
    assert_false(local_apic_read_msr(apic(&m, 0), 0x80e, &value));
    assert_false(local_apic_read_msr(apic(&m, 0), 0x831, &value));
    assert_false(local_apic_read_msr(apic(&m, 0), 0x83f, &value));
    assert_int_equal(get(&m, SVR), 0xffffffff); /* no longer in memory */
    end(&m);
}

static void messages_of_x2apic(void **state)
{
    struct machine m;

    (void)state;
    begin(&m);
    for (unsigned i = 0; i < CPUS; i++) {
        assert_true(local_apic_set_base(apic(&m, i), i ? 0xfee00c00 : 0xfee00d00, 40));
        assert_true(local_apic_write_msr(apic(&m, i), 0x80f, 0x1ff));
        assert_int_equal(msr(&m, i, 0x80d), 1 << i);
    }
    assert_true(local_apic_write_msr(apic(&m, 0), 0x830, UINT64_C(2) << 32 | 0x41));
    assert_int_equal(msr(&m, 2, 0x822) >> 1 & 1, 1);
    assert_int_equal(msr(&m, 0, 0x830), UINT64_C(2) << 32 | 0x41);
    assert_true(local_apic_write_msr(apic(&m, 0), 0x830, UINT64_C(0xa) << 32 | 0x842));
    for (unsigned i = 0; i < CPUS; i++)
        assert_int_equal(msr(&m, i, 0x822) >> 2 & 1, i & 1);
    assert_true(local_apic_write_msr(apic(&m, 0), 0x830, UINT64_C(0x1000a) << 32 | 0x843));
    assert_true(local_apic_write_msr(apic(&m, 0), 0x830, UINT64_C(0xffffffff) << 32 | 0x44));
    for (unsigned i = 0; i < CPUS; i++) {
        assert_int_equal(msr(&m, i, 0x822) >> 3 & 1, 0); /* another cluster */
        assert_int_equal(msr(&m, i, 0x822) >> 4 & 1, 1);
    }
    assert_true(local_apic_write_msr(apic(&m, 3), 0x83f, 0x45)); /* to itself */
    assert_int_equal(msr(&m, 3, 0x822) >> 5 & 1, 1);
    assert_int_equal(local_apic_acknowledge(apic(&m, 3)), 0x45);
    assert_true(local_apic_write_msr(apic(&m, 3), 0x80b, 0));
    assert_int_equal(local_apic_acknowledge(apic(&m, 3)), -1 + 0x45);
    end(&m);
}

/* --- with the IOAPIC --- */

static void level_interrupts_end_at_the_ioapic(void **state)
{
    struct machine m;

    (void)state;
    begin(&m);
    enable(&m);
    store32(&m.h, IOAPIC_BASE, 0x10 + 2 * 11 + 1);
    store32(&m.h, IOAPIC_BASE + 0x10, 0x01000000);
    store32(&m.h, IOAPIC_BASE, 0x10 + 2 * 11);
    store32(&m.h, IOAPIC_BASE + 0x10, 0x8071);
    irq_set(ioapic_line(m.ioapic, 11), true);
    m.current = 1;
    assert_true(in_set(&m, TMR, 0x71));
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(local_apic_acknowledge(apic(&m, 1)), 0x71);
        assert_int_equal(load32(&m.h, IOAPIC_BASE + 0x10), 0xc071);
        if (i == 2)
            irq_set(ioapic_line(m.ioapic, 11), false);
        put(&m, EOI, 0);
    }
    assert_false(m.cpu[1].interrupt);
    assert_int_equal(load32(&m.h, IOAPIC_BASE + 0x10), 0x8071);
    /* ExtINT through the IOAPIC: the vector is the 8259's. */
    out8(&m.h, 0x20, 0x13);
    out8(&m.h, 0x21, 0x20);
    out8(&m.h, 0x21, 0x01);
    store32(&m.h, IOAPIC_BASE, 0x11);
    store32(&m.h, IOAPIC_BASE + 0x10, 0x01000000);
    store32(&m.h, IOAPIC_BASE, 0x10);
    store32(&m.h, IOAPIC_BASE + 0x10, 0x0700);
    irq_pulse(i8259_line(m.pic, 6));
    assert_false(m.cpu[1].interrupt);
    irq_set(ioapic_line(m.ioapic, 0), true);
    assert_true(m.cpu[1].interrupt);
    assert_int_equal(local_apic_acknowledge(apic(&m, 1)), 0x26);
    assert_false(m.cpu[1].interrupt);
    end(&m);
}

static void printing(void **state)
{
    struct machine m;
    struct strbuf text;

    (void)state;
    begin(&m);
    strbuf_init(&text);
    local_apic_print(apic(&m, 0), &text);
    assert_string_equal(
        text.data,
        "dumping local APIC state for CPU 0 \n\n"
        "LVT0\t 0x00010000 active-hi edge  masked                      Fixed  (vec 0)\n"
        "LVT1\t 0x00010000 active-hi edge  masked                      Fixed  (vec 0)\n"
        "LVTPC\t 0x00010000 active-hi edge  masked                      Fixed  (vec 0)\n"
        "LVTERR\t 0x00010000 active-hi edge  masked                      Fixed  (vec 0)\n"
        "LVTTHMR\t 0x00010000 active-hi edge  masked                      Fixed  (vec 0)\n"
        "LVTT\t 0x00010000 active-hi edge  masked         one-shot     Fixed  (vec 0)\n"
        "Timer\t DCR=0x0 (divide by 2) initial_count = 0 current_count = 0\n"
        "SPIV\t 0x000000ff APIC disabled, focus=off, spurious vec 255\n"
        "ICR\t 0x00000000 physical edge de-assert no-shorthand\n"
        "ICR2\t 0x00000000 cpu 0 (APIC ID)\n"
        "ESR\t 0x00000000\n"
        "ISR\t (none)\n"
        "IRR\t (none)\n"
        "\nAPR 0x00 TPR 0x00 DFR 0x0f LDR 0x00 PPR 0x00\n");
    enable(&m);
    strbuf_clear(&text);
    put(&m, LVT_LINT0, 0x8700);
    put(&m, LVT_LINT1, 0x8400);
    send(&m, 0, 0x000c4610);
    send(&m, 0, 0x40041);
    put(&m, ICR, 0x000c4610);
    local_apic_print(apic(&m, 0), &text);
    assert_non_null(strstr(
        text.data, "LVT0\t 0x00008700 active-hi level                             ExtINT (vec 0)\n"
                   "LVT1\t 0x00008400 active-hi level                             NMI   \n"));
    assert_non_null(strstr(text.data, "SPIV\t 0x000001ff APIC enabled, focus=off"));
    assert_non_null(strstr(text.data, "ICR\t 0x000c4610 physical edge assert all\n"
                                      "ICR2\t 0x00000000\n"));
    assert_non_null(strstr(text.data, "IRR\t 65 \n"));
    strbuf_clear(&text); /* what QEMU 7.2 prints for the same values */
    put(&m, LVT_TIMER, 0x200ef);
    put(&m, DIVIDE, 0xb);
    put(&m, INITIAL, 0x7fffffff);
    put(&m, LVT_LINT1, 0x1a044);
    put(&m, LVT_PERFORMANCE, 0x400);
    put(&m, LVT_THERMAL, 0x200);
    send(&m, 3, 0x4845);
    put(&m, LDR, 0x01000000);
    put(&m, TPR, 0x20);
    local_apic_print(apic(&m, 0), &text);
    assert_non_null(strstr(
        text.data,
        "LVT1\t 0x0001a044 active-lo level masked                      Fixed  (vec 68)\n"
        "LVTPC\t 0x00000400 active-hi edge                              NMI   \n"
        "LVTERR\t 0x00010000 active-hi edge  masked                      Fixed  (vec 0)\n"
        "LVTTHMR\t 0x00000200 active-hi edge                              SMI    (vec 0)\n"
        "LVTT\t 0x000200ef active-hi edge                 periodic     Fixed  (vec 239)\n"
        "Timer\t DCR=0xb (divide by 1) initial_count = 2147483647 current_count = 2147483647\n"));
    assert_non_null(strstr(text.data, "ICR\t 0x00004845 logical edge assert no-shorthand\n"
                                      "ICR2\t 0x03000000 mask 00000011 (APIC ID)\n"));
    assert_non_null(strstr(text.data, "\nAPR 0x00 TPR 0x20 DFR 0x0f LDR 0x01 PPR 0x20\n"));
    put(&m, DFR, 0x0fffffff);
    send(&m, 0x21, 0x4845);
    strbuf_clear(&text);
    local_apic_print(apic(&m, 0), &text);
    assert_non_null(strstr(text.data, "ICR2\t 0x21000000 cluster 2 mask 0001 (APIC ID)\n"));
    strbuf_free(&text);
    end(&m);
}

static void state_moves_to_another_machine(void **state)
{
    struct machine m, n;
    struct error err;

    (void)state;
    begin(&m);
    begin(&n);
    enable(&m);
    put(&m, LVT_TIMER, 0x200ef);
    put(&m, DIVIDE, 0xb);
    put(&m, INITIAL, 10000);
    put(&m, TPR, 0x30);
    send(&m, 0, 0x40081);
    send(&m, 0, 0x40045);
    assert_int_equal(local_apic_acknowledge(apic(&m, 0)), 0x81);
    send(&m, 0, 0xc4500);
    harness_advance(&m.h, 12345);
    assert_true(harness_transplant(&m.h, &n.h, &err));
    m.cpu[0].interrupt = n.cpu[0].interrupt = local_apic_pending(apic(&m, 0));
    for (unsigned i = 0; i < 2; i++) {
        struct machine *x = i ? &n : &m;

        assert_int_equal(get(x, CURRENT), 7655);
        assert_true(in_set(x, ISR, 0x81));
        assert_int_equal(local_apic_acknowledge(apic(x, 0)), 0xef);
        put(x, EOI, 0);
        put(x, EOI, 0);
        assert_int_equal(local_apic_acknowledge(apic(x, 0)), 0x45);
        assert_int_equal(clock_next(&x->h.clock), 20000);
        assert_true(local_apic_waits_for_sipi(apic(x, 2)));
    }
    assert_true(harness_keeps_state(&m.h, &err));
    end(&m);
    end(&n);
}

static void what_is_refused(void **state)
{
    struct machine m;
    struct error err;
    struct apic_cpu cpu = {0};

    (void)state;
    begin(&m);
    assert_non_null(strstr(harness_refuses(&m.h, "apic", NULL), "CPU"));
    for (unsigned i = CPUS; i < APIC_MAX; i++)
        assert_non_null(local_apic_new(&m.bus, i, &cpu, &err));
    assert_null(local_apic_new(&m.bus, APIC_MAX, &cpu, &err));
    assert_non_null(strstr(err.text, "256"));
    end(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registers_after_reset),
        cmocka_unit_test(what_can_be_written),
        cmocka_unit_test(accesses_by_others),
        cmocka_unit_test(priorities),
        cmocka_unit_test(destinations),
        cmocka_unit_test(lowest_priority),
        cmocka_unit_test(deliveries),
        cmocka_unit_test(init_and_startup),
        cmocka_unit_test(errors),
        cmocka_unit_test(virtual_wire),
        cmocka_unit_test(lint_lines),
        cmocka_unit_test(one_shot),
        cmocka_unit_test(periodic),
        cmocka_unit_test(deadline),
        cmocka_unit_test(modes_of_the_base),
        cmocka_unit_test(registers_as_msrs),
        cmocka_unit_test(messages_of_x2apic),
        cmocka_unit_test(level_interrupts_end_at_the_ioapic),
        cmocka_unit_test(printing),
        cmocka_unit_test(state_moves_to_another_machine),
        cmocka_unit_test(what_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
