/* SPDX-License-Identifier: MIT
 *
 * The CPU in system mode on any record, any tables in memory and any instruction that C executes:
 * it is done, or there is a fault and the record is as before; then the fault is delivered. The
 * input is a header with registers, an instruction, and memory, which is repeated to fill all of
 * it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "guest/x86/access.h"
#include "guest/x86/bus.h"
#include "guest/x86/cpuid.h"
#include "guest/x86/xstate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RAM = 64 << 10, INSTRUCTION = 15, EVENTS = 4 };

static struct {
    uint8_t *ram;
    struct x86_model model;
    struct x86_cpu cpu, before;
} all;

/* --- the bus: small memory that shows again and again in the first 16 MiB */

static uint8_t *bus_host(void *opaque, uint64_t physical, bool write)
{
    (void)opaque;
    (void)write;
    return physical < 16 << 20 ? all.ram + physical % RAM : NULL;
}

static void bus_read(void *opaque, uint64_t physical, void *to, size_t size)
{
    (void)opaque;
    if (size == 0 || size > 8 || (physical & 4095) + size > 4096)
        bug("read of %zu bytes at %lx", size, physical);
    memset(to, 0xff, size);
}

static void bus_write(void *opaque, uint64_t physical, const void *from, size_t size)
{
    (void)opaque;
    (void)from;
    if (size == 0 || size > 8 || (physical & 4095) + size > 4096)
        bug("write of %zu bytes at %lx", size, physical);
}

static uint32_t bus_in(void *opaque, uint16_t port, unsigned size)
{
    (void)opaque;
    return port * size;
}

static void bus_out(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    (void)opaque;
    (void)port;
    if (size < 4 && value >> (8 * size))
        bug("%x in %u bytes", value, size);
}

static uint8_t bus_read_tpr(void *opaque)
{
    (void)opaque;
    return 5;
}

static void bus_write_tpr(void *opaque, uint8_t value)
{
    (void)opaque;
    if (value > 15)
        bug("task priority %u", value);
}

static bool bus_read_msr(void *opaque, uint32_t number, uint64_t *value)
{
    (void)opaque;
    *value = number;
    return number & 1;
}

static bool bus_write_msr(void *opaque, uint32_t number, uint64_t value)
{
    (void)opaque;
    (void)value;
    return number & 1;
}

static int bus_acknowledge(void *opaque)
{
    (void)opaque;
    x86_withdraw(&all.cpu, X86_REQUEST_INTERRUPT);
    return 0x20;
}

static uint64_t bus_tsc(void *opaque)
{
    (void)opaque;
    return 1000;
}

static void bus_flush(void *opaque, enum cpu_flush what, uint64_t address, uint16_t pcid)
{
    (void)opaque;
    (void)what;
    (void)address;
    (void)pcid;
}

static void bus_nothing(void *opaque)
{
    (void)opaque;
}

static const struct cpu_bus bus = {
    .host = bus_host,
    .read = bus_read,
    .write = bus_write,
    .in = bus_in,
    .out = bus_out,
    .read_tpr = bus_read_tpr,
    .write_tpr = bus_write_tpr,
    .read_msr = bus_read_msr,
    .write_msr = bus_write_msr,
    .acknowledge = bus_acknowledge,
    .tsc = bus_tsc,
    .flush = bus_flush,
    .shutdown = bus_nothing,
    .float_error = bus_nothing,
};

/* --- the record */

/* What the input says, in this order; where it ends there are zeros. */
struct input {
    const uint8_t *at;
    size_t size;
};

static uint64_t take(struct input *input, unsigned bytes)
{
    uint64_t value = 0;
    size_t count = input->size < bytes ? input->size : bytes;

    memcpy(&value, input->at, count);
    input->at += count;
    input->size -= count;
    return value;
}

/* Values with which something happens: small ones, negative ones, any. */
static uint64_t take_address(struct input *input)
{
    uint64_t value = take(input, 3);

    switch (value >> 22) {
    case 0: return value & 0xffff;
    case 1: return value & 0x3fffff;
    case 2: return (uint64_t)((int64_t)(value << 42) >> 42);
    default: return value << 28;
    }
}

/* Control registers as they can be together. */
static void take_mode(struct input *input)
{
    struct x86_system *system = &all.cpu.system;
    uint64_t bits = take(input, 4);

    system->cr0 = X86_CR0_ET | (bits & 0x2f) | (bits & 0x40000 ? X86_CR0_AM : 0) |
                  (bits & 0x10000 ? X86_CR0_WP : 0);
    system->cr4 = take(input, 4) & 0x7f0fff & ~(uint64_t)0x1000;
    if (system->cr0 & X86_CR0_PE && bits & 0x80000) {
        system->cr0 |= X86_CR0_PG;
        if (bits & 0x100000) {
            system->cr4 |= X86_CR4_PAE;
            system->efer = X86_EFER_LME | X86_EFER_LMA;
        }
    }
    system->efer |= bits & 0x200000 ? X86_EFER_NXE : 0;
    system->efer |= bits & 0x400000 ? X86_EFER_SCE : 0;
    if (!(system->efer & X86_EFER_LMA))
        system->cr4 &= ~(uint64_t)X86_CR4_PCIDE;
    system->cpl = system->cr0 & X86_CR0_PE ? bits >> 30 & 3 : 0;
    all.cpu.system_flags = take(input, 3) & X86_FLAGS_KEPT;
    if (!(system->cr0 & X86_CR0_PE) || system->efer & X86_EFER_LMA)
        all.cpu.system_flags &= ~(uint64_t)X86_FLAG_VM;
    if (all.cpu.system_flags & X86_FLAG_VM)
        system->cpl = 3;
    system->cr3 = take(input, 2);
    for (unsigned i = 0; i < 4; i++)
        system->pdpte[i] = take(input, 2) & ~UINT64_C(0x1e6);
}

static void take_segments(struct input *input)
{
    struct x86_system *system = &all.cpu.system;

    for (unsigned i = 0; i < X86_SEGMENTS; i++) {
        struct x86_segment *segment = &system->segment[i];

        segment->base = take_address(input);
        segment->limit = (uint32_t)take(input, 4);
        segment->attributes = (uint32_t)take(input, 3) & X86_SEG_KEPT;
        segment->selector = (uint16_t)take(input, 2);
        if (!(system->efer & X86_EFER_LMA))
            segment->base = (uint32_t)segment->base;
        if (i < 6)
            all.cpu.segment[i] = segment->selector;
    }
    all.cpu.state.thread_base = system->segment[NATIVE_FS].base;
    all.cpu.state.other_base = system->segment[NATIVE_GS].base;
    system->gdt.base = take_address(input);
    system->gdt.limit = (uint16_t)take(input, 2);
    system->idt.base = take_address(input);
    system->idt.limit = (uint16_t)take(input, 2);
}

/* For those who move under a mask: the first registers repeat 8 bytes. */
static void take_vectors(struct input *input)
{
    uint8_t *image = all.cpu.state.vector;
    uint64_t value[4];

    for (unsigned i = 0; i < 4; i++) {
        for (unsigned k = 0; k < 4; k++)
            value[k] = k ? value[0] : take(input, 8);
        x86_xstate_set_ymm(image, i, (const uint8_t *)value);
        x86_xstate_set_st(image, i, (const uint8_t *)value);
    }
    x86_xstate_set_word(image, X86_XSTATE_FSW, (uint16_t)take(input, 2));
    x86_xstate_set_word(image, X86_XSTATE_FCW, (uint16_t)take(input, 2));
    x86_xstate_settle_x87(image);
}

static void take_record(struct input *input)
{
    x86_system_reset(&all.cpu, &all.model, &bus, 0);
    take_mode(input);
    take_segments(input);
    for (unsigned i = 0; i < 16; i++)
        all.cpu.state.reg[i] = take_address(input);
    all.cpu.state.pc = take_address(input);
    all.cpu.system.dr7 = X86_DR7_ONES | take(input, 4);
    all.cpu.system.dr[0] = take_address(input);
    all.cpu.system.pkru = (uint32_t)take(input, 4);
    all.cpu.system.msr.star = take(input, 8);
    all.cpu.system.msr.sysenter_cs = take(input, 2);
    take_vectors(input);
    all.cpu.xcr0 = 1 | (take(input, 1) & 1 ? 6 : 2);
    x86_update_mode(&all.cpu);
}

/* --- running */

static void forget(struct x86_cpu *cpu)
{
    memset(cpu->system.record, 0, sizeof cpu->system.record);
    cpu->system.records = 0;
    cpu->system.mode = 0;
}

/* Repeated string instructions and gathers do elements before a fault. */
static bool may_change(const struct x86_insn *insn)
{
    return insn->native.attributes & (NATIVE_REP | NATIVE_VSIB);
}

static void check_cpu(void)
{
    const struct x86_system *system = &all.cpu.system;

    if (system->cpl > 3 || (all.cpu.system_flags & X86_FLAG_VM && system->cpl != 3))
        bug("CPL %u, flags %lx", system->cpl, all.cpu.system_flags);
    if (!(system->cr0 & X86_CR0_PE) && (system->cr0 & X86_CR0_PG || system->cpl))
        bug("CR0 %lx, CPL %u", system->cr0, system->cpl);
    for (unsigned i = 0; i < 6; i++) {
        if (system->segment[i].selector != all.cpu.segment[i])
            bug("selector %u is %x and %x", i, system->segment[i].selector, all.cpu.segment[i]);
    }
    if (system->mode != x86_mode_word(&all.cpu))
        bug("mode word %x, should be %x", system->mode, x86_mode_word(&all.cpu));
}

static void execute(const struct x86_insn *insn)
{
    struct x86_fault fault = {0};

    memcpy(&all.before, &all.cpu, sizeof all.cpu);
    if (!x86_execute(&all.cpu, insn, &fault)) {
        if (fault.vector > X86_VECTOR_XM)
            bug("a fault of vector %u", fault.vector);
        if (!fault.new_task && !may_change(insn)) {
            forget(&all.before);
            forget(&all.cpu);
            if (memcmp(&all.before, &all.cpu, sizeof all.cpu))
                bug("%s: vector %u has changed the record", x86_mnemonic(insn), fault.vector);
            x86_update_mode(&all.cpu);
        }
        x86_raise(&all.cpu, &fault);
    }
    check_cpu();
}

static void prepare(void)
{
    const struct x86_model *model = x86_model_parse("max", &(struct error){0});

    all.ram = malloc(RAM);
    if (!all.ram || !model)
        bug("no memory");
    all.model = *model;
    x86_model_free(model);
    memset(&all.model.features, 0xff, sizeof all.model.features);
    all.model.xcr0 = X86_XSTATE_ALL;
}

static void fill_memory(const struct input *input)
{
    memset(all.ram, 0, RAM);
    for (size_t at = 0; input->size && at < RAM; at += input->size)
        memcpy(all.ram + at, input->at, RAM - at < input->size ? RAM - at : input->size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    uint8_t bytes[INSTRUCTION];
    struct x86_insn insn;

    if (!all.ram)
        prepare();
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)take(&input, 1);
    take_record(&input);
    fill_memory(&input);
    if (x86_decode(x86_code_mode(&all.cpu), &all.model.features, bytes, sizeof bytes,
                   all.cpu.state.pc, &insn) != X86_DECODE_OK ||
        !x86_executes(&insn))
        return 0;
    execute(&insn);
    x86_request(&all.cpu, X86_REQUEST_INTERRUPT | X86_REQUEST_NMI);
    for (unsigned i = 0; i < EVENTS; i++) {
        x86_take_event(&all.cpu);
        check_cpu();
    }
    return 0;
}
