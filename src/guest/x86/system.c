/* SPDX-License-Identifier: MIT
 *
 * The record in system mode: reset, INIT and SIPI, segment registers, the mode word, requests. */
#include "guest/x86/system.h"

#include <string.h>

#include "guest/x86/cpuid.h"
#include "guest/x86/internal.h"
#include "guest/x86/xstate.h"
#include "ir/guest.h"
#include "trace-guest_x86.h"

/* --- registers */

void x86_set_segment_base(struct x86_cpu *cpu, unsigned number, uint64_t base)
{
    cpu->system.segment[number].base = base;
    if (number < IR_STATE_SEGMENTS) {
        cpu->state.segment[number].base = base;
    }
    if (number == NATIVE_FS) {
        cpu->state.thread_base = base;
    } else if (number == NATIVE_GS) {
        cpu->state.other_base = base;
    }
}

void x86_set_segment(struct x86_cpu *cpu, unsigned number, const struct x86_segment *segment)
{
    cpu->system.segment[number] = *segment;
    x86_set_segment_base(cpu, number, segment->base);
    if (number < X86_LDTR) {
        cpu->segment[number] = segment->selector;
    }
}

void x86_set_segment_real(struct x86_cpu *cpu, unsigned number, uint16_t selector)
{
    struct x86_segment segment = cpu->system.segment[number];

    segment.selector = selector;
    segment.base = (uint32_t)selector << 4;
    if (x86_v86(cpu)) {
        segment.limit = 0xffff;
        segment.attributes =
            X86_SEG_PRESENT | X86_SEG_DPL | X86_SEG_S | X86_SEG_WRITABLE | X86_SEG_ACCESSED;
    } else if (!(segment.attributes & X86_SEG_PRESENT)) {
        segment.limit = 0xffff;
        segment.attributes = X86_SEG_PRESENT | X86_SEG_S | X86_SEG_WRITABLE | X86_SEG_ACCESSED;
    }
    x86_set_segment(cpu, number, &segment);
}

struct x86_segment x86_flat_segment(uint16_t selector, uint32_t attributes)
{
    attributes |= (uint32_t)(selector & 3) << X86_SEG_DPL_SHIFT;
    return (struct x86_segment){0, UINT32_MAX, attributes, selector};
}

void x86_set_activity(struct x86_cpu *cpu, enum x86_activity activity)
{
    const struct cpu_bus *bus = cpu->system.bus;

    if (cpu->system.activity == activity) {
        return;
    }
    cpu->system.activity = (uint8_t)activity;
    if (bus->activity) {
        bus->activity(bus->opaque);
    }
}

uint16_t x86_pcid(const struct x86_cpu *cpu)
{
    return cpu->system.cr4 & X86_CR4_PCIDE ? cpu->system.cr3 & 0xfff : 0;
}

void x86_flush(struct x86_cpu *cpu, enum cpu_flush what, uint64_t address)
{
    x86_flush_of(cpu, what, address, x86_pcid(cpu));
}

/* The engine's TLB holds one space at a time: what is not global goes with any of them. */
static enum ir_flush engine_flush(enum cpu_flush what)
{
    switch (what) {
    case CPU_FLUSH_ALL: return IR_FLUSH_ALL;
    case CPU_FLUSH_PAGE:
    case CPU_FLUSH_PAGE_OF: return IR_FLUSH_PAGE;
    case CPU_FLUSH_RIGHTS: return IR_FLUSH_RIGHTS;
    default: return IR_FLUSH_LOCAL;
    }
}

void x86_flush_of(struct x86_cpu *cpu, enum cpu_flush what, uint64_t address, uint16_t pcid)
{
    const struct cpu_bus *bus = cpu->system.bus;
    const struct ir_tlb *tlb = cpu->system.tlb;

    trace_guest_tlb_flush(cpu->system.number, what, address, pcid);
    if (bus->flush) {
        bus->flush(bus->opaque, what, address, pcid);
    }
    if (tlb) {
        tlb->flush(tlb->opaque, engine_flush(what), address);
    }
}

void x86_space_changed(struct x86_cpu *cpu)
{
    const struct ir_tlb *tlb = cpu->system.tlb;

    if (tlb) {
        tlb->flush(tlb->opaque, IR_FLUSH_LOCAL, 0);
    }
}

/* --- the mode word */

/* Flat: base 0, and every access that the program would make is allowed. */
static bool is_flat(const struct x86_cpu *cpu, unsigned number)
{
    const struct x86_segment *segment = &cpu->system.segment[number];
    uint32_t bits = segment->attributes;

    if (x86_code64(cpu)) {
        return (number != NATIVE_FS && number != NATIVE_GS) || segment->base == 0;
    }
    if (segment->base != 0 || segment->limit != UINT32_MAX) {
        return false;
    }
    if (x86_real(cpu)) {
        return true;
    }
    if (!(bits & X86_SEG_PRESENT)) {
        return false;
    }
    return bits & X86_SEG_CODE ? number == NATIVE_CS && bits & X86_SEG_READABLE
                               : bits & X86_SEG_WRITABLE && !(bits & X86_SEG_DOWN);
}

/* What is left of a limit for translated code: negative where each access is for C. */
static int64_t soft_limit(const struct x86_cpu *cpu, const struct x86_segment *segment, bool write)
{
    uint32_t bits = segment->attributes;
    bool code = bits & X86_SEG_CODE;

    if (x86_real(cpu)) {
        return segment->limit;
    }
    if (!(bits & X86_SEG_PRESENT) || (!code && bits & X86_SEG_DOWN) ||
        (write ? code || !(bits & X86_SEG_WRITABLE) : code && !(bits & X86_SEG_READABLE))) {
        return -1;
    }
    return segment->limit;
}

static void update_limits(struct x86_cpu *cpu)
{
    for (unsigned i = 0; i < IR_STATE_SEGMENTS; i++) {
        const struct x86_segment *segment = &cpu->system.segment[i];

        cpu->state.segment[i].read_limit = soft_limit(cpu, segment, false);
        cpu->state.segment[i].write_limit = soft_limit(cpu, segment, true);
    }
}

static uint32_t debug_bits(const struct x86_cpu *cpu)
{
    uint32_t result = 0;

    for (unsigned i = 0; i < 4; i++) {
        unsigned kind = cpu->system.dr7 >> (16 + 4 * i) & 3;

        if (cpu->system.dr7 >> (2 * i) & 3) {
            result |= kind == 0 ? X86_MODE_BREAK : kind != 2 ? X86_MODE_WATCH : 0;
        }
    }
    return result;
}

uint32_t x86_mode_word(const struct x86_cpu *cpu)
{
    const struct x86_system *system = &cpu->system;
    uint64_t cr0 = system->cr0, cr4 = system->cr4, flags = cpu->system_flags;
    bool smap = cr4 & X86_CR4_SMAP && system->cpl < 3;
    uint32_t word = x86_code_mode(cpu);

    word |= x86_code64(cpu) || system->segment[NATIVE_SS].attributes & X86_SEG_BIG
                ? X86_MODE_STACK32
                : 0;
    word |= (uint32_t)system->cpl << X86_MODE_CPL_SHIFT;
    word |= cr0 & X86_CR0_PE ? X86_MODE_PROTECTED : 0;
    word |= x86_v86(cpu) ? X86_MODE_V86 : 0;
    word |= cr0 & X86_CR0_PG ? X86_MODE_PAGING : 0;
    word |= x86_long(cpu) ? X86_MODE_LMA : 0;
    word |= smap && !(flags & X86_FLAG_AC) ? X86_MODE_SMAP : 0;
    word |= smap && flags & X86_FLAG_AC ? X86_MODE_AC : 0;
    for (unsigned i = 0; i < 6; i++) {
        word |= is_flat(cpu, i) ? 1u << (X86_MODE_FLAT_SHIFT + i) : 0;
    }
    word |= cr0 & X86_CR0_TS ? X86_MODE_TS : 0;
    word |= cr0 & X86_CR0_EM ? X86_MODE_EM : 0;
    word |= cr0 & X86_CR0_MP ? X86_MODE_MP : 0;
    word |= cr4 & X86_CR4_OSFXSR ? X86_MODE_OSFXSR : 0;
    word |= cr4 & X86_CR4_OSXSAVE ? X86_MODE_OSXSAVE : 0;
    word |= (cpu->xcr0 & X86_XSTATE_AVX   ? 2u
             : cpu->xcr0 & X86_XSTATE_SSE ? 1u
                                          : 0u)
            << X86_MODE_XCR0_SHIFT;
    word |= system->a20_mask == ~UINT64_C(0) ? X86_MODE_A20 : 0;
    word |= flags & X86_FLAG_TF ? X86_MODE_TF : 0;
    word |= system->shadow ? X86_MODE_SHADOW : 0;
    word |= flags & X86_FLAG_RF ? X86_MODE_RF : 0;
    word |= debug_bits(cpu);
    word |= cr0 & X86_CR0_AM && flags & X86_FLAG_AC && system->cpl == 3 ? X86_MODE_ALIGN : 0;
    word |= system->cpl <= x86_iopl(cpu) && !x86_v86(cpu) ? X86_MODE_IOPL : 0;
    return word;
}

void x86_update_mode(struct x86_cpu *cpu)
{
    const uint32_t kind =
        X86_MODE_CODE | X86_MODE_PROTECTED | X86_MODE_V86 | X86_MODE_PAGING | X86_MODE_LMA;
    uint32_t old = cpu->system.mode, word = x86_mode_word(cpu);

    cpu->system.mode = word;
    if ((word & X86_MODE_CODE) != X86_MODE_64) {
        update_limits(cpu);
    }
    if ((old ^ word) & kind) {
        trace_guest_mode_change(cpu->system.number, old & kind, word & kind,
                                16u << (word & X86_MODE_CODE), word & X86_MODE_PROTECTED,
                                word & X86_MODE_PAGING, word & X86_MODE_LMA, word & X86_MODE_V86);
    }
}

/* --- reset */

static void reset_segments(struct x86_cpu *cpu)
{
    enum { DATA = 0x9300, CODE = 0x9b00, LDT = 0x8200, TSS = 0x8b00, LIMIT = 0xffff };
    struct x86_segment segment = {0, LIMIT, DATA, 0};

    for (unsigned i = 0; i < 6; i++) {
        x86_set_segment(cpu, i, &segment);
    }
    segment = (struct x86_segment){0xffff0000, LIMIT, CODE, 0xf000};
    x86_set_segment(cpu, NATIVE_CS, &segment);
    segment = (struct x86_segment){0, LIMIT, LDT, 0};
    x86_set_segment(cpu, X86_LDTR, &segment);
    segment.attributes = TSS;
    x86_set_segment(cpu, X86_TR, &segment);
    cpu->system.gdt = cpu->system.idt = (struct x86_table_register){0, LIMIT};
}

/* What reset and INIT have in common. */
static void reset_common(struct x86_cpu *cpu)
{
    struct x86_system *system = &cpu->system;
    struct x86_cpuid_place place = {.apic_id = system->number, .xcr0 = 1};
    uint32_t out[4];

    memset(cpu->state.reg, 0, sizeof cpu->state.reg);
    x86_cpuid(cpu->model, &place, 1, 0, out);
    cpu->state.reg[X86_RDX] = out[0];
    cpu->state.pc = 0xfff0;
    x86_set_rflags(cpu, X86_FLAG_ONE);
    reset_segments(cpu);
    system->cr2 = system->cr3 = system->cr4 = system->efer = 0;
    memset(system->dr, 0, sizeof system->dr);
    system->dr6 = X86_DR6_ONES;
    system->dr7 = X86_DR7_ONES;
    system->pending_debug = 0;
    system->cpl = 0;
    system->shadow = 0;
    system->nmi_blocked = system->monitor_armed = false;
}

void x86_system_reset(struct x86_cpu *cpu, const struct x86_model *model, const struct cpu_bus *bus,
                      unsigned number)
{
    enum { FCW_RESET = 0x40, MTRR_DEFAULT_RESET = 0, FAST_STRINGS = 1, ADDRESS_LEAF = 0x80000008 };
    struct x86_system *system = &cpu->system;
    const struct ir_tlb *tlb = system->tlb;
    uint32_t out[4];

    cpu->model = model;
    memset(system, 0, sizeof *system);
    system->bus = bus;
    system->tlb = tlb;
    system->number = (uint8_t)number;
    system->is_bsp = number == 0;
    system->a20_mask = ~UINT64_C(0);
    x86_cpuid(model, NULL, ADDRESS_LEAF, 0, out);
    system->physical_bits = out[0] & 0xff ? (uint8_t)(out[0] & 0xff) : 36;
    system->cr0 = X86_CR0_CD | X86_CR0_NW | X86_CR0_ET;
    cpu->xcr0 = X86_XSTATE_X87;
    reset_common(cpu);
    x86_xstate_reset(cpu->state.vector);
    x86_xstate_set_word(cpu->state.vector, X86_XSTATE_FCW, FCW_RESET);
    x86_xstate_set_tags(cpu->state.vector, 0x5555);
    system->msr.pat = UINT64_C(0x0007040600070406);
    system->msr.misc_enable = FAST_STRINGS;
    system->msr.feature_control = 1; /* locked, all off */
    system->activity = system->is_bsp ? X86_RUNNING : X86_WAITING_FOR_SIPI;
    system->mode = x86_mode_word(cpu);
    update_limits(cpu);
    x86_flush(cpu, CPU_FLUSH_ALL, 0);
}

void x86_system_init(struct x86_cpu *cpu)
{
    struct x86_system *system = &cpu->system;

    system->cr0 = (system->cr0 & (X86_CR0_CD | X86_CR0_NW)) | X86_CR0_ET;
    reset_common(cpu);
    x86_set_activity(cpu, system->is_bsp ? X86_RUNNING : X86_WAITING_FOR_SIPI);
    x86_update_mode(cpu);
    x86_flush(cpu, CPU_FLUSH_ALL, 0);
}

void x86_system_sipi(struct x86_cpu *cpu, uint8_t vector)
{
    if (cpu->system.activity != X86_WAITING_FOR_SIPI) {
        return;
    }
    x86_set_segment_real(cpu, NATIVE_CS, (uint16_t)(vector << 8));
    cpu->state.pc = 0;
    x86_set_activity(cpu, X86_RUNNING);
    x86_update_mode(cpu);
}

/* --- what others do */

void x86_request(struct x86_cpu *cpu, unsigned requests)
{
    __atomic_fetch_or(&cpu->system.requests, requests, __ATOMIC_SEQ_CST);
}

void x86_request_sipi(struct x86_cpu *cpu, uint8_t vector)
{
    __atomic_store_n(&cpu->system.sipi_vector, vector, __ATOMIC_SEQ_CST);
    x86_request(cpu, X86_REQUEST_SIPI);
}

void x86_withdraw(struct x86_cpu *cpu, unsigned requests)
{
    __atomic_fetch_and(&cpu->system.requests, ~requests, __ATOMIC_SEQ_CST);
}

void x86_set_a20(struct x86_cpu *cpu, bool open)
{
    uint64_t mask = open ? ~UINT64_C(0) : ~(UINT64_C(1) << 20);

    if (cpu->system.a20_mask == mask) {
        return;
    }
    cpu->system.a20_mask = mask;
    x86_update_mode(cpu);
    x86_flush(cpu, CPU_FLUSH_ALL, 0);
}
