/* SPDX-License-Identifier: MIT
 *
 * Interrupt controllers, timers and DMA of the PC, wired as on its board, under any sequence of
 * register accesses, line changes, CPU actions, clock steps, and states loaded that no device
 * saved. What it checks beside the sanitizers: time goes on, what is saved and loaded is saved the
 * same, and a vector is given out only when one is pending.
 *
 * Input: operations, each a byte that chooses it and seven of arguments.
 */
#include <stdint.h>
#include <stdlib.h>

#include "../unit/device_harness.h"
#include "device/apic.h"
#include "device/hpet.h"
#include "device/i8254.h"
#include "device/i8257.h"
#include "device/i8259.h"
#include "device/ioapic.h"
#include "device/mc146818.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CPUS = 3, OPERATION = 8, STEPS = 4000, LONG_STEP = 1 << 20 };

struct machine {
    struct harness h;
    struct apic_bus bus;
    struct device *pic, *ioapic, *hpet, *rtc;
    const struct isa_dma *dma;
    int current;
    bool interrupt[CPUS]; /* what each CPU was told */
    uint8_t fill;
};

struct cpu {
    struct machine *machine;
    unsigned number;
};

static void notify(void *opaque, enum apic_notice what, unsigned value)
{
    struct cpu *cpu = opaque;

    if (what == APIC_NOTICE_INTERRUPT)
        cpu->machine->interrupt[cpu->number] = value;
}

static uint64_t tsc_time(void *opaque, uint64_t tsc)
{
    (void)opaque;
    return tsc > 1000 ? tsc - 1000 : 0;
}

static int current(void *opaque)
{
    return ((struct machine *)opaque)->current;
}

static uint8_t from_pic(void *opaque)
{
    return i8259_acknowledge(opaque);
}

/* A line of the ISA bus, to both controllers. */
static void isa_line(void *opaque, int number, bool level)
{
    struct machine *m = opaque;

    irq_set(i8259_line(m->pic, (unsigned)number), level);
    irq_set(ioapic_isa_line(m->ioapic, (unsigned)number), level);
}

static size_t transfer(void *opaque, unsigned channel, size_t position, size_t size)
{
    struct machine *m = opaque;
    uint8_t bytes[64];
    size_t count = size < sizeof bytes ? size : sizeof bytes;

    memset(bytes, m->fill++, sizeof bytes);
    if (m->fill % 7 == 0)
        m->dma->request(m->dma->opaque, channel, false);
    if (!m->dma->write(m->dma->opaque, channel, bytes, position, count) &&
        !m->dma->read(m->dma->opaque, channel, bytes, position, count))
        return 0;
    return count;
}

static void must(bool good)
{
    if (!good)
        abort();
}

static void begin(struct machine *m, struct cpu *cpus)
{
    struct irq isa[ISA_IRQS], lines[HPET_LINES] = {{NULL, NULL, 0}};
    struct error err;
    struct device *pit;

    memset(m, 0, sizeof *m);
    harness_begin(&m->h);
    apic_bus_init(&m->bus, &m->h.board, current, m);
    for (unsigned i = 0; i < CPUS; i++) {
        struct apic_cpu cpu = {&cpus[i], notify, i ? tsc_time : NULL};

        cpus[i] = (struct cpu){m, i};
        must(local_apic_new(&m->bus, i, &cpu, &err));
    }
    m->pic = i8259_new_pair(&m->h.board, apic_bus_line(&m->bus, 0), &err);
    m->bus.acknowledge_external = from_pic;
    m->bus.external_opaque = m->pic;
    m->ioapic = ioapic_new_on_bus(&m->h.board, &m->bus, &err);
    for (int i = 0; i < ISA_IRQS; i++)
        isa[i] = (struct irq){isa_line, m, i};
    for (unsigned i = 0; i < IOAPIC_PINS; i++)
        lines[i] = ioapic_line(m->ioapic, i);
    m->hpet = hpet_new(&m->h.board, (struct irq[]){isa[0], isa[8]}, lines, &err);
    pit = i8254_new(&m->h.board, hpet_isa_line(m->hpet, 0), &err);
    must(pcspk_new(&m->h.board, pit, &err));
    m->rtc =
        mc146818_new(&m->h.board, hpet_isa_line(m->hpet, 1), (struct irq){NULL, NULL, 0}, &err);
    m->dma = i8257_new_pair(&m->h.board, &err);
    for (unsigned i = 0; i < ISA_DMA_CHANNELS; i++)
        m->dma->attach(m->dma->opaque, i, transfer, m);
    harness_reset(&m->h);
    out8(&m->h, 0xd6, 0xc0);
    out8(&m->h, 0xd4, 0);
}

/* --- operations --- */

static const uint16_t PORTS[] = {0x00, 0x08, 0x20, 0x40, 0x60,  0x70, 0x80,
                                 0x88, 0xa0, 0xc0, 0xd0, 0x480, 0x4d0};
static const uint64_t BASES[] = {APIC_BASE, IOAPIC_BASE, HPET_BASE};

static uint64_t memory_address(const uint8_t *arguments)
{
    uint64_t base = BASES[arguments[0] % 3];

    if (base == IOAPIC_BASE)
        return base + (arguments[1] & 0x70);
    return base + (uint64_t)(arguments[1] & 0x7f) * (base == HPET_BASE ? 4 : 16);
}

static uint32_t word(const uint8_t *arguments)
{
    return arguments[0] | (uint32_t)arguments[1] << 8 | (uint32_t)arguments[2] << 16;
}

static void step(struct machine *m, uint64_t length)
{
    uint64_t before = clock_now(&m->h.clock), end = before + length;

    /* Each event at its time, but no more of them than a guest could look at. */
    for (unsigned i = 0; i < STEPS && clock_next(&m->h.clock) <= end; i++) {
        uint64_t next = clock_next(&m->h.clock), now = clock_now(&m->h.clock);

        harness_advance(&m->h, next > now ? next - now : 0);
        clock_run(&m->h.clock);
    }
    if (clock_now(&m->h.clock) < end)
        harness_advance(&m->h, end - clock_now(&m->h.clock));
    must(clock_now(&m->h.clock) >= end);
}

static void acknowledge(struct machine *m, unsigned number)
{
    struct local_apic *apic = m->bus.apic[number];
    bool pending = local_apic_pending(apic);

    must(m->interrupt[number] == pending);
    must((local_apic_acknowledge(apic) >= 0) == pending);
}

/* Saves a device and loads it again, with a byte changed if asked for. */
static void reload(struct machine *m, const uint8_t *arguments)
{
    struct device *device = device_first(&m->h.board);
    struct strbuf bytes, again;
    struct error err;

    for (unsigned i = arguments[0] % 16; i > 0 && device->next; i--)
        device = device->next;
    strbuf_init(&bytes);
    strbuf_init(&again);
    device_save(device, &bytes);
    if (arguments[1] & 1) {
        bytes.data[(size_t)word(arguments + 2) % bytes.len] ^= (char)(1 << (arguments[1] >> 5));
        if (!device_load(device, bytes.data, bytes.len, &err))
            must(*err.text);
    } else {
        if (!device_load(device, bytes.data, bytes.len, &err))
            bug("%s does not load what it saved: %s", device->class->name, err.text);
        device_save(device, &again);
        for (size_t i = 0; i < bytes.len; i++) {
            if (again.len != bytes.len || again.data[i] != bytes.data[i])
                bug("%s saves another byte %zu than it was loaded with", device->class->name, i);
        }
    }
    strbuf_free(&bytes);
    strbuf_free(&again);
}

static void look(struct machine *m)
{
    struct strbuf text;

    strbuf_init(&text);
    ioapic_print(m->ioapic, &text);
    i8259_print(m->pic, &text);
    for (unsigned i = 0; i < CPUS; i++)
        local_apic_print(m->bus.apic[i], &text);
    must(text.len > 0);
    strbuf_free(&text);
}

static void operate(struct machine *m, const uint8_t *o)
{
    struct local_apic *apic = m->bus.apic[o[1] % CPUS];
    uint16_t port = (uint16_t)(PORTS[o[1] % (sizeof PORTS / sizeof PORTS[0])] + o[2] % 16);
    uint64_t value;

    switch (o[0] % 18) {
    case 0:
    case 1:
    case 2: out8(&m->h, port, o[3]); break;
    case 3: in8(&m->h, port); break;
    case 4: out16(&m->h, port, (uint16_t)word(o + 3)); break;
    case 5:
    case 6: store32(&m->h, memory_address(o + 1), word(o + 3)); break;
    case 7: load32(&m->h, memory_address(o + 1)); break;
    case 8: store64(&m->h, memory_address(o + 1), (uint64_t)word(o + 3) << (o[2] & 0x38)); break;
    case 9: step(m, word(o + 1) % LONG_STEP); break;
    case 10: step(m, o[1]); break;
    case 11: isa_line(m, o[1] % ISA_IRQS, o[2] & 1); break;
    case 12: acknowledge(m, o[1] % CPUS); break;
    case 13: m->current = o[1] % (CPUS + 1) - 1; break;
    case 14:
        local_apic_set_cr8(apic, o[2] & 15);
        local_apic_set_base(apic, APIC_BASE | (uint64_t)(o[3] & 15) << 8, 40);
        local_apic_set_deadline(apic, word(o + 3));
        local_apic_raise(apic, o[2] >> 7 ? APIC_LOCAL_THERMAL : APIC_LOCAL_PERFORMANCE);
        break;
    case 15:
        if (o[2] & 0x80)
            local_apic_write_msr(apic, 0x800u + (o[2] & 0x3f), word(o + 3));
        else
            local_apic_read_msr(apic, 0x800u + (o[2] & 0x3f), &value);
        break;
    case 16: m->dma->request(m->dma->opaque, o[1] % ISA_DMA_CHANNELS, o[2] & 1); break;
    default:
        if (o[1] < 8)
            harness_reset(&m->h);
        else if (o[1] < 16)
            look(m);
        else
            reload(m, o + 2);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct machine m;
    struct cpu cpus[CPUS];

    begin(&m, cpus);
    for (; size >= OPERATION; data += OPERATION, size -= OPERATION)
        operate(&m, data);
    harness_end(&m.h);
    apic_bus_free(&m.bus);
    return 0;
}
