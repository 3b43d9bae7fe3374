/* SPDX-License-Identifier: MIT
 *
 * Descriptors and what may be loaded into segment registers (SDM vol. 3, chapters 3.4 and 5). */
#include "guest/x86/internal.h"

#include <string.h>

/* The table of a selector: base and last byte; false: there is no LDT. */
static bool find_table(const struct x86_cpu *cpu, uint16_t selector, uint64_t *base,
                       uint32_t *limit)
{
    const struct x86_segment *ldt = &cpu->system.segment[X86_LDTR];

    if (selector & 4) {
        *base = ldt->base;
        *limit = ldt->limit;
        return ldt->attributes & X86_SEG_PRESENT && !x86_null(ldt->selector);
    }
    *base = cpu->system.gdt.base;
    *limit = cpu->system.gdt.limit;
    return true;
}

bool x86_has_descriptor(const struct x86_cpu *cpu, uint16_t selector)
{
    uint64_t base;
    uint32_t limit;

    return !x86_null(selector) && find_table(cpu, selector, &base, &limit) &&
           (selector | 7u) <= limit;
}

static uint64_t table_address(const struct x86_cpu *cpu, uint64_t base, uint32_t offset)
{
    return x86_long(cpu) ? base + offset : (uint32_t)(base + offset);
}

bool x86_read_descriptor(struct x86_cpu *cpu, uint16_t selector, unsigned vector, uint32_t ext,
                         struct x86_descriptor *descriptor, struct x86_fault *fault)
{
    uint64_t base;
    uint32_t limit, word[2];

    if (!find_table(cpu, selector, &base, &limit) || (selector | 7u) > limit) {
        return x86_raise_error(fault, vector, x86_selector_error(selector, ext));
    }
    descriptor->selector = selector;
    descriptor->address = table_address(cpu, base, selector & ~7u);
    if (!x86_linear_read(cpu, descriptor->address, word, sizeof word, X86_ACCESS_IMPLICIT, fault)) {
        return false;
    }
    descriptor->low = word[0];
    descriptor->high = word[1];
    return true;
}

bool x86_read_upper(struct x86_cpu *cpu, const struct x86_descriptor *descriptor, unsigned vector,
                    uint32_t ext, uint32_t *base_high, struct x86_fault *fault)
{
    uint16_t selector = descriptor->selector;
    uint64_t base;
    uint32_t limit, word[2];

    if (!find_table(cpu, selector, &base, &limit) || (selector | 7u) + 8 > limit) {
        return x86_raise_error(fault, vector, x86_selector_error(selector, ext));
    }
    if (!x86_linear_read(cpu, descriptor->address + 8, word, sizeof word, X86_ACCESS_IMPLICIT,
                         fault)) {
        return false;
    }
    if (word[1] & 0x1f00) {
        return x86_raise_error(fault, vector, x86_selector_error(selector, ext));
    }
    *base_high = word[0];
    return true;
}

struct x86_segment x86_segment_of(const struct x86_descriptor *descriptor)
{
    uint32_t low = descriptor->low, high = descriptor->high;
    uint32_t limit = (low & 0xffff) | (high & 0xf0000);

    if (high & X86_SEG_GRANULAR) {
        limit = limit << 12 | 0xfff;
    }
    return (struct x86_segment){
        .base = low >> 16 | (high & 0xff) << 16 | (high & 0xff000000),
        .limit = limit,
        .attributes = high & X86_SEG_KEPT,
        .selector = descriptor->selector,
    };
}

uint64_t x86_gate_offset(const struct x86_descriptor *descriptor)
{
    return (descriptor->low & 0xffff) | (descriptor->high & 0xffff0000);
}

bool x86_set_accessed(struct x86_cpu *cpu, const struct x86_descriptor *descriptor,
                      struct x86_segment *segment, struct x86_fault *fault)
{
    if (segment->attributes & X86_SEG_ACCESSED) {
        return true;
    }
    segment->attributes |= X86_SEG_ACCESSED;
    return x86_linear_change(cpu, descriptor->address + 5, 1, 0, fault);
}

/* --- loading */

/* A null selector in SS is for 64-bit code below CPL 3 only. */
static bool find_null(struct x86_cpu *cpu, unsigned number, uint16_t selector,
                      struct x86_segment *segment, struct x86_fault *fault)
{
    *segment = (struct x86_segment){.selector = selector};
    if (number != NATIVE_SS) {
        return true;
    }
    if (x86_code64(cpu) && cpu->system.cpl < 3 && (selector & 3) == cpu->system.cpl) {
        segment->attributes = (uint32_t)cpu->system.cpl << X86_SEG_DPL_SHIFT;
        return true;
    }
    return x86_raise_error(fault, X86_VECTOR_GP, 0);
}

static bool check_stack(const struct x86_cpu *cpu, uint16_t selector, uint32_t bits)
{
    return (selector & 3) == cpu->system.cpl && x86_is_writable_data(bits) &&
           x86_dpl(bits) == cpu->system.cpl;
}

static bool check_data(const struct x86_cpu *cpu, uint16_t selector, uint32_t bits)
{
    bool code = x86_is_code(bits);
    unsigned dpl = x86_dpl(bits);

    if (!(bits & X86_SEG_S) || (code && !(bits & X86_SEG_READABLE))) {
        return false;
    }
    if (code && bits & X86_SEG_CONFORMING) {
        return true;
    }
    return (selector & 3u) <= dpl && cpu->system.cpl <= dpl;
}

bool x86_find_segment(struct x86_cpu *cpu, unsigned number, uint16_t selector,
                      struct x86_segment *segment, struct x86_fault *fault)
{
    struct x86_descriptor descriptor;
    bool stack = number == NATIVE_SS;

    if (x86_null(selector)) {
        return find_null(cpu, number, selector, segment, fault);
    }
    if (!x86_read_descriptor(cpu, selector, X86_VECTOR_GP, 0, &descriptor, fault)) {
        return false;
    }
    *segment = x86_segment_of(&descriptor);
    if (stack ? !check_stack(cpu, selector, segment->attributes)
              : !check_data(cpu, selector, segment->attributes)) {
        return x86_raise_error(fault, X86_VECTOR_GP, x86_selector_error(selector, 0));
    }
    if (!(segment->attributes & X86_SEG_PRESENT)) {
        return x86_raise_error(fault, stack ? X86_VECTOR_SS : X86_VECTOR_NP,
                               x86_selector_error(selector, 0));
    }
    return x86_set_accessed(cpu, &descriptor, segment, fault);
}

bool x86_load_segment(struct x86_cpu *cpu, unsigned number, uint16_t selector,
                      struct x86_fault *fault)
{
    struct x86_segment segment;

    if (x86_real(cpu)) {
        x86_set_segment_real(cpu, number, selector);
        return true;
    }
    if (!x86_find_segment(cpu, number, selector, &segment, fault)) {
        return false;
    }
    x86_set_segment(cpu, number, &segment);
    return true;
}

bool x86_check_target(const struct x86_cpu *cpu, const struct x86_segment *cs, uint64_t pc,
                      uint32_t ext, struct x86_fault *fault)
{
    bool wide = x86_long(cpu) && cs->attributes & X86_SEG_LONG;

    if (wide ? x86_is_canonical(pc) : pc <= cs->limit) {
        return true;
    }
    return x86_raise_error(fault, X86_VECTOR_GP, ext);
}

void x86_drop_segments(struct x86_cpu *cpu)
{
    static const uint8_t numbers[] = {NATIVE_ES, NATIVE_DS, NATIVE_FS, NATIVE_GS};

    for (size_t i = 0; i < sizeof numbers; i++) {
        const struct x86_segment *segment = &cpu->system.segment[numbers[i]];
        uint32_t bits = segment->attributes;
        bool conforming = x86_is_code(bits) && bits & X86_SEG_CONFORMING;

        if (bits & X86_SEG_PRESENT && !conforming && x86_dpl(bits) < cpu->system.cpl) {
            struct x86_segment null = {0};

            x86_set_segment(cpu, numbers[i], &null);
        }
    }
}

bool x86_find_gate_stack(struct x86_cpu *cpu, uint16_t selector, unsigned level, uint32_t ext,
                         struct x86_segment *segment, struct x86_fault *fault)
{
    uint32_t error = x86_selector_error(selector, ext);
    struct x86_descriptor descriptor;

    if (x86_null(selector)) {
        return x86_raise_error(fault, X86_VECTOR_TS, error);
    }
    if (!x86_read_descriptor(cpu, selector, X86_VECTOR_TS, ext, &descriptor, fault)) {
        return false;
    }
    *segment = x86_segment_of(&descriptor);
    if ((selector & 3u) != level || !x86_is_writable_data(segment->attributes) ||
        x86_dpl(segment->attributes) != level) {
        return x86_raise_error(fault, X86_VECTOR_TS, error);
    }
    if (!(segment->attributes & X86_SEG_PRESENT)) {
        return x86_raise_error(fault, X86_VECTOR_SS, error);
    }
    return x86_set_accessed(cpu, &descriptor, segment, fault);
}
