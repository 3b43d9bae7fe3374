/* SPDX-License-Identifier: MIT
 *
 * What a vCPU reaches: struct cpu_bus over the machine's spaces, its local APIC and its clock. The
 * functions are called by the vCPU's thread, without the lock; those that lead to devices take it.
 */
#include "guest/x86/bus.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/logitems.h"
#include "guest/x86/cpuid.h"
#include "guest/x86/x86.h"
#include "machine/internal.h"

enum {
    PAGE = 4096,
    MEGABYTE = 1 << 20,
    MSR_APIC_BASE = 0x1b,
    MSR_TSC_DEADLINE = 0x6e0,
    APIC_BASE_X2APIC = 1 << 10,
    MSR_X2APIC_FIRST = 0x800,
    MSR_X2APIC_LAST = 0x8ff,
    FLOAT_ERROR_LINE = 13,
    STORY_EVENTS = 8, /* of a triple fault */
};

static struct machine_cpu *cpu_of(void *opaque)
{
    return opaque;
}

/* --- memory --- */

static uint8_t *host(void *opaque, uint64_t physical, bool write)
{
    struct machine *machine = cpu_of(opaque)->machine;
    struct mem_range range;

    /* What is RAM whatever the chipset does, for walks of page tables. */
    if (physical >= MEGABYTE && physical < machine->ram_below_4g && !write) {
        return mem_host(&machine->ram) + physical;
    }
    if (!mem_find(machine->board.memory, physical, &range) || range.region->kind == MEM_IO ||
        (write && range.readonly)) {
        return NULL;
    }
    uint64_t offset = range.offset + (physical - range.start);
    uint64_t page = physical & ~(uint64_t)(PAGE - 1);
    /* The rest of the page is to be there too. */
    if (page < range.start || (range.size && page + PAGE - range.start > range.size)) {
        return NULL;
    }
    if (write && mem_marks(range.region, offset)) {
        mem_written(range.region, offset & ~(uint64_t)(PAGE - 1), PAGE);
    }
    return mem_host(range.region) + offset;
}

static void read_memory(void *opaque, uint64_t physical, void *to, size_t size)
{
    struct machine_cpu *cpu = cpu_of(opaque);

    machine_lock(cpu->machine);
    mem_read(cpu->machine->board.memory, (int)cpu->number, physical, to, size);
    machine_unlock(cpu->machine);
}

static void write_memory(void *opaque, uint64_t physical, const void *from, size_t size)
{
    struct machine_cpu *cpu = cpu_of(opaque);

    machine_lock(cpu->machine);
    mem_write(cpu->machine->board.memory, (int)cpu->number, physical, from, size);
    machine_unlock(cpu->machine);
}

/* --- ports --- */

static uint32_t in(void *opaque, uint16_t port, unsigned size)
{
    struct machine_cpu *cpu = cpu_of(opaque);

    machine_lock(cpu->machine);
    uint32_t value = mem_in(cpu->machine->board.ports, (int)cpu->number, port, size);
    machine_unlock(cpu->machine);
    return value;
}

static void out(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    struct machine_cpu *cpu = cpu_of(opaque);

    machine_lock(cpu->machine);
    mem_out(cpu->machine->board.ports, (int)cpu->number, port, value, size);
    machine_unlock(cpu->machine);
}

/* --- local APIC --- */

static uint8_t read_tpr(void *opaque)
{
    struct machine_cpu *cpu = cpu_of(opaque);

    machine_lock(cpu->machine);
    unsigned priority = local_apic_cr8(cpu->apic);
    machine_unlock(cpu->machine);
    return (uint8_t)priority;
}

static void write_tpr(void *opaque, uint8_t cr8)
{
    struct machine_cpu *cpu = cpu_of(opaque);

    machine_lock(cpu->machine);
    local_apic_set_cr8(cpu->apic, cr8);
    machine_unlock(cpu->machine);
}

static bool is_x2apic(uint32_t number)
{
    return number >= MSR_X2APIC_FIRST && number <= MSR_X2APIC_LAST;
}

static bool read_msr(void *opaque, uint32_t number, uint64_t *value)
{
    struct machine_cpu *cpu = cpu_of(opaque);
    bool good = true;

    machine_lock(cpu->machine);
    if (number == MSR_APIC_BASE) {
        *value = local_apic_base(cpu->apic);
    } else if (number == MSR_TSC_DEADLINE) {
        *value = local_apic_deadline(cpu->apic);
    } else {
        good = is_x2apic(number) && local_apic_read_msr(cpu->apic, number, value);
    }
    machine_unlock(cpu->machine);
    return good;
}

static bool write_msr(void *opaque, uint32_t number, uint64_t value)
{
    struct machine_cpu *cpu = cpu_of(opaque);
    bool good = true;

    machine_lock(cpu->machine);
    if (number == MSR_APIC_BASE) {
        good = (!(value & APIC_BASE_X2APIC) ||
                x86_has(&cpu->x86->model->features, X86_FEATURE_X2APIC)) &&
               local_apic_set_base(cpu->apic, value, cpu->x86->system.physical_bits);
    } else if (number == MSR_TSC_DEADLINE) {
        local_apic_set_deadline(cpu->apic, value);
    } else {
        good = is_x2apic(number) && local_apic_write_msr(cpu->apic, number, value);
    }
    machine_unlock(cpu->machine);
    return good;
}

static int acknowledge(void *opaque)
{
    struct machine_cpu *cpu = cpu_of(opaque);

    machine_lock(cpu->machine);
    int vector = local_apic_acknowledge(cpu->apic);
    machine_unlock(cpu->machine);
    return vector;
}

/* --- time: a tick is a nanosecond of the machine's clock --- */

static uint64_t tsc(void *opaque)
{
    return clock_now(&cpu_of(opaque)->machine->clock);
}

/* --- what happens to the CPU --- */

/* A triple fault resets a PC. The user hears what led to it. */
static void shutdown(void *opaque)
{
    struct machine_cpu *cpu = cpu_of(opaque);
    struct machine *machine = cpu->machine;
    struct strbuf text;

    if (!cpu->told_shutdown) {
        cpu->told_shutdown = true;
        strbuf_init(&text);
        x86_print_story(cpu->x86, STORY_EVENTS, &text);
        machine_warn(machine,
                     "CPU %u: triple fault, the machine %s. What happened before:", cpu->number,
                     machine->options->reboot == REBOOT_SHUTDOWN ? "ends" : "is reset");
        fwrite(text.data, 1, text.len, stderr);
        strbuf_free(&text);
    }
    machine_request_reset(machine, SHUTDOWN_CAUSE_GUEST_RESET);
}

static void float_error(void *opaque)
{
    struct machine *machine = cpu_of(opaque)->machine;

    machine_lock(machine);
    irq_set(machine->isa->irq[FLOAT_ERROR_LINE], true);
    machine_unlock(machine);
}

/* -d int */
static void entering(void *opaque, const struct x86_event_record *record)
{
    struct machine_cpu *cpu = cpu_of(opaque);
    struct strbuf text;

    if (!log_item_on(LOG_INT)) {
        return;
    }
    unsigned number = __atomic_fetch_add(&cpu->machine->own->entered, 1, __ATOMIC_RELAXED);
    strbuf_init(&text);
    x86_print_event(cpu->x86, record, number, &text);
    log_text(text.data, text.len);
    strbuf_free(&text);
}

void machine_bus_fill(struct machine_cpu *cpu, struct cpu_bus *bus)
{
    *bus = (struct cpu_bus){
        .opaque = cpu,
        .host = host,
        .read = read_memory,
        .write = write_memory,
        .in = in,
        .out = out,
        .read_tpr = read_tpr,
        .write_tpr = write_tpr,
        .read_msr = read_msr,
        .write_msr = write_msr,
        .acknowledge = acknowledge,
        .tsc = tsc,
        .shutdown = shutdown,
        .float_error = float_error,
        .entering = entering,
    };
}
