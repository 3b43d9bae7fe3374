/* SPDX-License-Identifier: MIT
 *
 * Model-specific registers; time; extended control registers; protection keys. */
#include <stddef.h>
#include <string.h>

#include "guest/x86/cpuid.h"
#include "guest/x86/internal.h"
#include "guest/x86/xstate.h"
#include "trace-guest_x86.h"

typedef bool read_fn(struct x86_cpu *cpu, uint32_t number, uint64_t *value);
typedef bool write_fn(struct x86_cpu *cpu, uint32_t number, uint64_t value);

enum vendor { ANY, INTEL, AMD };
enum { NO_FIELD = 0xffff };

enum {
    TSC_ADJUST = 0x3b,
    SYSENTER_ESP = 0x175,
    SYSENTER_EIP = 0x176,
    MTRR_FIRST = 0x200,
    MTRR_PHYS_LAST = 0x20f,
    MTRR_FIXED_LAST = 0x26f,
    PAT = 0x277,
    MTRR_DEF_TYPE = 0x2ff,
    MC_FIRST = 0x400,
    MC_LAST = MC_FIRST + 4 * X86_MC_BANKS - 1,
};

/* --- time */

uint64_t x86_tsc(const struct x86_cpu *cpu)
{
    const struct cpu_bus *bus = cpu->system.bus;

    return bus->tsc(bus->opaque) + cpu->system.msr.tsc_offset;
}

static bool read_tsc(struct x86_cpu *cpu, uint32_t number, uint64_t *value)
{
    (void)number;
    *value = x86_tsc(cpu);
    return true;
}

/* TSC_ADJUST moves with it (SDM vol. 3, 17.17.3). */
static bool write_tsc(struct x86_cpu *cpu, uint32_t number, uint64_t value)
{
    uint64_t change = value - x86_tsc(cpu);

    (void)number;
    cpu->system.msr.tsc_offset += change;
    cpu->system.msr.tsc_adjust += change;
    return true;
}

static bool read_adjust(struct x86_cpu *cpu, uint32_t number, uint64_t *value)
{
    (void)number;
    *value = cpu->system.msr.tsc_adjust;
    return true;
}

static bool write_adjust(struct x86_cpu *cpu, uint32_t number, uint64_t value)
{
    (void)number;
    cpu->system.msr.tsc_offset += value - cpu->system.msr.tsc_adjust;
    cpu->system.msr.tsc_adjust = value;
    return true;
}

/* --- the others with functions */

static bool read_bus(struct x86_cpu *cpu, uint32_t number, uint64_t *value)
{
    const struct cpu_bus *bus = cpu->system.bus;

    return bus->read_msr(bus->opaque, number, value);
}

static bool write_bus(struct x86_cpu *cpu, uint32_t number, uint64_t value)
{
    const struct cpu_bus *bus = cpu->system.bus;

    return bus->write_msr(bus->opaque, number, value);
}

static bool read_efer(struct x86_cpu *cpu, uint32_t number, uint64_t *value)
{
    (void)number;
    *value = cpu->system.efer;
    return true;
}

static bool write_efer(struct x86_cpu *cpu, uint32_t number, uint64_t value)
{
    (void)number;
    return x86_write_efer(cpu, value);
}

/* The revision is in the upper half; software clears the register before it asks. */
static bool read_microcode(struct x86_cpu *cpu, uint32_t number, uint64_t *value)
{
    (void)number;
    *value = cpu->system.msr.microcode;
    return true;
}

static bool write_microcode(struct x86_cpu *cpu, uint32_t number, uint64_t value)
{
    enum { REVISION = 1 };

    (void)cpu;
    (void)number;
    (void)value;
    cpu->system.msr.microcode =
        strcmp(cpu->model->vendor, "GenuineIntel") == 0 ? (uint64_t)REVISION << 32 : 0x1000065;
    return true;
}

/* Addresses. */
static uint64_t *address_register(struct x86_cpu *cpu, uint32_t number)
{
    struct x86_system *system = &cpu->system;

    switch (number) {
    case SYSENTER_ESP: return &system->msr.sysenter_esp;
    case SYSENTER_EIP: return &system->msr.sysenter_eip;
    case 0xc0000082: return &system->msr.lstar;
    case 0xc0000083: return &system->msr.cstar;
    case 0xc0000100: return &system->segment[NATIVE_FS].base;
    case 0xc0000101: return &system->segment[NATIVE_GS].base;
    default: return &system->msr.kernel_gs_base;
    }
}

static bool read_canonical(struct x86_cpu *cpu, uint32_t number, uint64_t *value)
{
    *value = *address_register(cpu, number);
    return true;
}

static bool write_canonical(struct x86_cpu *cpu, uint32_t number, uint64_t value)
{
    if (!x86_is_canonical(value)) {
        return false;
    }
    if (number == 0xc0000100 || number == 0xc0000101) {
        x86_set_segment_base(cpu, number & 1 ? NATIVE_GS : NATIVE_FS, value);
    } else {
        *address_register(cpu, number) = value;
    }
    return true;
}

/* --- the table */

static const struct msr {
    uint32_t first;
    uint16_t count, field;
    uint8_t vendor, feature;
    const char *name;
    uint64_t fixed, writable;
    read_fn *read;
    write_fn *write;
} msrs[] = {
#define PLAIN(first, count, name, vendor, feature, field, writable) \
    {first,                                                         \
     count,                                                         \
     offsetof(struct x86_msrs, field),                              \
     vendor,                                                        \
     X86_FEATURE_##feature,                                         \
     name,                                                          \
     0,                                                             \
     writable,                                                      \
     NULL,                                                          \
     NULL},
#define FIXED(first, count, name, vendor, feature, value, dropped) \
    {first, count, NO_FIELD, vendor, X86_FEATURE_##feature, name, value, dropped, NULL, NULL},
#define HOOKED(first, count, name, vendor, feature, read, write) \
    {first, count, NO_FIELD, vendor, X86_FEATURE_##feature, name, 0, 0, read, write},
#include "guest/x86/msr.def"
};

static const struct msr *find_row(uint32_t number)
{
    for (size_t i = 0; i < sizeof msrs / sizeof *msrs; i++) {
        if (number - msrs[i].first < msrs[i].count) {
            return &msrs[i];
        }
    }
    return NULL;
}

const char *x86_msr_name(uint32_t number)
{
    const struct msr *row = find_row(number);

    return row ? row->name : NULL;
}

/* The row, if this model has it. */
static const struct msr *find(const struct x86_cpu *cpu, uint32_t number)
{
    const struct msr *row = find_row(number);
    bool intel = strcmp(cpu->model->vendor, "GenuineIntel") == 0;

    if (!row || (row->vendor == INTEL && !intel) || (row->vendor == AMD && intel) ||
        (row->feature != X86_FEATURE_NONE && !x86_has(&cpu->model->features, row->feature))) {
        return NULL;
    }
    return row;
}

static uint64_t *field_of(struct x86_cpu *cpu, const struct msr *row, uint32_t number)
{
    return (uint64_t *)(void *)((uint8_t *)&cpu->system.msr + row->field) + (number - row->first);
}

static bool memory_type(uint64_t type)
{
    return type < 8 && 0x73 >> type & 1; /* UC, WC, WT, WP, WB */
}

/* Each of the eight bytes is a type; PAT has UC- too. */
static bool memory_types(uint64_t value, bool pat)
{
    for (unsigned i = 0; i < 8; i++) {
        uint64_t type = value >> (8 * i) & 0xff;

        if (!memory_type(type) && !(pat && type == 7)) {
            return false;
        }
    }
    return true;
}

/* Values that have to fit. */
static bool fits(const struct x86_cpu *cpu, uint32_t number, uint64_t value)
{
    uint64_t beyond = value >> cpu->system.physical_bits;

    if (number >= MTRR_FIRST && number <= MTRR_PHYS_LAST) {
        return !beyond &&
               (number & 1 ? !(value & 0x7ff) : !(value & 0xf00) && memory_type(value & 0xff));
    }
    if (number > MTRR_PHYS_LAST && number <= MTRR_FIXED_LAST) {
        return memory_types(value, false);
    }
    if (number == PAT) {
        return memory_types(value, true);
    }
    if (number == MTRR_DEF_TYPE) {
        return memory_type(value & 0xff);
    }
    if (number >= MC_FIRST && number <= MC_LAST && number & 3) {
        return value == 0; /* STATUS, ADDR, MISC are only cleared */
    }
    return true;
}

static bool read_msr(struct x86_cpu *cpu, uint32_t number, uint64_t *value)
{
    const struct msr *row = find(cpu, number);

    *value = 0;
    if (!row) {
        return false;
    }
    if (row->read) {
        return row->read(cpu, number, value);
    }
    *value = row->field == NO_FIELD ? row->fixed : *field_of(cpu, row, number);
    return true;
}

static bool write_msr(struct x86_cpu *cpu, uint32_t number, uint64_t value)
{
    const struct msr *row = find(cpu, number);

    if (!row) {
        return false;
    }
    if (row->write) {
        return row->write(cpu, number, value);
    }
    if (value & ~row->writable || !fits(cpu, number, value) ||
        (row->field == NO_FIELD && !row->writable)) {
        return false;
    }
    if (row->field != NO_FIELD) {
        if (!row->writable) {
            return false;
        }
        *field_of(cpu, row, number) = value;
    }
    return true;
}

static const char *shown_name(uint32_t number)
{
    const char *name = x86_msr_name(number);

    return name ? name : "unknown";
}

bool x86_msr_read(struct x86_cpu *cpu, uint32_t number, uint64_t *value)
{
    bool ok = read_msr(cpu, number, value);

    trace_guest_msr_read(cpu->system.number, number, shown_name(number), *value, ok);
    return ok;
}

bool x86_msr_write(struct x86_cpu *cpu, uint32_t number, uint64_t value)
{
    bool ok = write_msr(cpu, number, value);

    trace_guest_msr_write(cpu->system.number, number, shown_name(number), value, ok);
    if (ok) {
        x86_update_mode(cpu);
    }
    return ok;
}

/* --- instructions */

static bool refuse(struct x86_fault *fault)
{
    return x86_raise_error(fault, X86_VECTOR_GP, 0);
}

static uint64_t pair(const struct x86_cpu *cpu)
{
    return cpu->state.reg[X86_RDX] << 32 | (uint32_t)cpu->state.reg[X86_RAX];
}

static void set_pair(struct x86_cpu *cpu, uint64_t value)
{
    cpu->state.reg[X86_RAX] = (uint32_t)value;
    cpu->state.reg[X86_RDX] = value >> 32;
}

bool x86_sys_rdmsr(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    uint64_t value;

    if (cpu->system.cpl || !x86_msr_read(cpu, (uint32_t)cpu->state.reg[X86_RCX], &value)) {
        return refuse(fault);
    }
    set_pair(cpu, value);
    return x86_done(cpu, insn);
}

bool x86_sys_wrmsr(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    if (cpu->system.cpl || !x86_msr_write(cpu, (uint32_t)cpu->state.reg[X86_RCX], pair(cpu))) {
        return refuse(fault);
    }
    return x86_done(cpu, insn);
}

/* RDTSC, and RDTSCP behind 0F 01. */
bool x86_sys_rdtsc(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    if (x86_protected(cpu) && cpu->system.cr4 & X86_CR4_TSD && cpu->system.cpl) {
        return refuse(fault);
    }
    set_pair(cpu, x86_tsc(cpu));
    if (insn->native.opcode == 0x01) {
        cpu->state.reg[X86_RCX] = (uint32_t)cpu->system.msr.tsc_aux;
    }
    return x86_done(cpu, insn);
}

bool x86_sys_rdpid(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    (void)fault;
    x86_set_gpr(cpu, insn->native.rm, 8, cpu->system.msr.tsc_aux);
    return x86_done(cpu, insn);
}

/* There are no counters: every index is invalid (SDM vol. 2, RDPMC). AMD's first four are there and
 * stand still. */
bool x86_sys_rdpmc(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    enum { AMD_COUNTERS = 4 };

    if ((x86_protected(cpu) && !(cpu->system.cr4 & X86_CR4_PCE) && cpu->system.cpl) ||
        strcmp(cpu->model->vendor, "GenuineIntel") == 0 ||
        (uint32_t)cpu->state.reg[X86_RCX] >= AMD_COUNTERS) {
        return refuse(fault);
    }
    set_pair(cpu, 0);
    return x86_done(cpu, insn);
}

bool x86_sys_xgetbv(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    if (!(cpu->system.cr4 & X86_CR4_OSXSAVE)) {
        return x86_raise_ud(fault);
    }
    return x86_help_xgetbv(cpu, insn, fault);
}

bool x86_sys_xsetbv(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    uint64_t value = pair(cpu);

    if (!(cpu->system.cr4 & X86_CR4_OSXSAVE)) {
        return x86_raise_ud(fault);
    }
    if (cpu->system.cpl || (uint32_t)cpu->state.reg[X86_RCX] || value & ~cpu->model->xcr0 ||
        !(value & X86_XSTATE_X87) || (value & X86_XSTATE_AVX && !(value & X86_XSTATE_SSE))) {
        return refuse(fault);
    }
    cpu->xcr0 = value;
    return x86_done(cpu, insn);
}

/* RDPKRU is 0F 01 EE, WRPKRU EF. */
bool x86_sys_pkru(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    bool write = insn->native.rm & 1;

    if (!(cpu->system.cr4 & X86_CR4_PKE)) {
        return x86_raise_ud(fault);
    }
    if ((uint32_t)cpu->state.reg[X86_RCX] || (write && (uint32_t)cpu->state.reg[X86_RDX])) {
        return refuse(fault);
    }
    if (!write) {
        set_pair(cpu, cpu->system.pkru);
    } else if (cpu->system.pkru != (uint32_t)cpu->state.reg[X86_RAX]) {
        cpu->system.pkru = (uint32_t)cpu->state.reg[X86_RAX];
        x86_flush(cpu, CPU_FLUSH_RIGHTS, 0);
    }
    return x86_done(cpu, insn);
}
