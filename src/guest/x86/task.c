/* SPDX-License-Identifier: MIT
 *
 * The task state segment: stacks, the I/O bitmap, and hardware task switching (SDM vol. 3,
 * chapter 7). */
#include <string.h>

#include "guest/x86/internal.h"

enum { LIMIT_32 = 103, LIMIT_16 = 43, IO_BASE_AT = 102, FIRST_BUSY_BIT = 2 };

/* --- stacks of privilege levels */

bool x86_tss_stack(struct x86_cpu *cpu, unsigned level, uint32_t ext, uint16_t *ss, uint64_t *sp,
                   struct x86_fault *fault)
{
    const struct x86_segment *tr = &cpu->system.segment[X86_TR];
    uint32_t error = x86_selector_error(tr->selector, ext);
    bool small = !(x86_type(tr->attributes) & 8);
    unsigned size = x86_long(cpu) ? 8 : small ? 4 : 8;
    unsigned at = x86_long(cpu) ? 4 + 8 * level : small ? 2 + 4 * level : 4 + 8 * level;
    uint8_t bytes[8];

    if (at + size - 1 - (x86_long(cpu) || small ? 0 : 2) > tr->limit) {
        return x86_raise_error(fault, X86_VECTOR_TS, error);
    }
    if (!x86_linear_read(cpu, tr->base + at, bytes, size, X86_ACCESS_IMPLICIT, fault)) {
        return false;
    }
    *sp = 0;
    *ss = 0;
    if (x86_long(cpu)) {
        memcpy(sp, bytes, 8);
        return x86_is_canonical(*sp) || x86_raise_error(fault, X86_VECTOR_SS, ext);
    }
    memcpy(sp, bytes, size / 2);
    memcpy(ss, bytes + size / 2, 2);
    return true;
}

/* --- bitmaps */

bool x86_io_allowed(struct x86_cpu *cpu, uint16_t port, unsigned size, struct x86_fault *fault)
{
    const struct x86_segment *tr = &cpu->system.segment[X86_TR];
    uint16_t base, bits;
    uint32_t at;

    if (!x86_protected(cpu) || (!x86_v86(cpu) && cpu->system.cpl <= x86_iopl(cpu))) {
        return true;
    }
    if (!(x86_type(tr->attributes) & 8) || tr->limit < LIMIT_32) {
        return x86_raise_error(fault, X86_VECTOR_GP, 0);
    }
    if (!x86_linear_read(cpu, tr->base + IO_BASE_AT, &base, 2, X86_ACCESS_IMPLICIT, fault)) {
        return false;
    }
    at = base + port / 8u;
    if (at + 1 > tr->limit) {
        return x86_raise_error(fault, X86_VECTOR_GP, 0);
    }
    if (!x86_linear_read(cpu, tr->base + at, &bits, 2, X86_ACCESS_IMPLICIT, fault)) {
        return false;
    }
    return !(bits >> (port & 7) & ((1u << size) - 1)) || x86_raise_error(fault, X86_VECTOR_GP, 0);
}

/* The 32 bytes before the I/O bitmap (SDM vol. 3, 20.3.3). */
bool x86_vme_redirected(struct x86_cpu *cpu, uint8_t vector, bool *redirected,
                        struct x86_fault *fault)
{
    const struct x86_segment *tr = &cpu->system.segment[X86_TR];
    uint16_t base;
    uint8_t bits;
    uint32_t at;

    *redirected = false;
    if (!(x86_type(tr->attributes) & 8) || tr->limit < LIMIT_32) {
        return x86_raise_error(fault, X86_VECTOR_GP, 0);
    }
    if (!x86_linear_read(cpu, tr->base + IO_BASE_AT, &base, 2, X86_ACCESS_IMPLICIT, fault)) {
        return false;
    }
    at = base - 32u + vector / 8u;
    if (base < 32 || at > tr->limit) {
        return x86_raise_error(fault, X86_VECTOR_GP, 0);
    }
    if (!x86_linear_read(cpu, tr->base + at, &bits, 1, X86_ACCESS_IMPLICIT, fault)) {
        return false;
    }
    *redirected = !(bits >> (vector & 7) & 1);
    return true;
}

/* --- the image of a task */

struct task {
    uint32_t cr3, pc, flags, reg[8];
    uint16_t segment[6], ldt;
    bool trap;
};

/* Where the fields lie; the registers and segments follow one another. */
static const struct layout {
    uint8_t size;   /* of registers */
    uint8_t stride; /* of segments */
    uint8_t pc, flags, registers, segments, segment_count, ldt, dynamic_end;
    uint8_t bytes;
} layouts[2] = {
    {2, 2, 14, 16, 18, 34, 4, 42, 42, LIMIT_16 + 1},
    {4, 4, 32, 36, 40, 72, 6, 96, 96, LIMIT_32 + 1},
};

static const struct layout *layout_of(uint32_t attributes)
{
    return &layouts[x86_type(attributes) >> 3 & 1];
}

static uint32_t field(const uint8_t *bytes, unsigned at, unsigned size)
{
    uint32_t value = 0;

    memcpy(&value, bytes + at, size);
    return value;
}

static void parse(const struct layout *layout, const uint8_t *bytes, struct task *task)
{
    memset(task, 0, sizeof *task);
    task->pc = field(bytes, layout->pc, layout->size);
    task->flags = field(bytes, layout->flags, layout->size);
    for (unsigned i = 0; i < 8; i++) {
        task->reg[i] = field(bytes, layout->registers + layout->size * i, layout->size);
        task->reg[i] |= layout->size == 2 ? 0xffff0000 : 0;
    }
    for (unsigned i = 0; i < layout->segment_count; i++) {
        task->segment[i] = (uint16_t)field(bytes, layout->segments + layout->stride * i, 2);
    }
    task->ldt = (uint16_t)field(bytes, layout->ldt, 2);
    if (layout->size == 4) {
        task->cr3 = field(bytes, 28, 4);
        task->trap = field(bytes, 100, 2) & 1;
    }
}

/* The part of a TSS that the CPU writes, from `pc` to `dynamic_end`. */
static void store(const struct x86_cpu *cpu, const struct layout *layout, uint64_t next,
                  uint64_t flags, uint8_t *bytes)
{
    memcpy(bytes + layout->pc, &next, layout->size);
    memcpy(bytes + layout->flags, &flags, layout->size);
    for (unsigned i = 0; i < 8; i++) {
        memcpy(bytes + layout->registers + layout->size * i, &cpu->state.reg[i], layout->size);
    }
    for (unsigned i = 0; i < layout->segment_count; i++) {
        memcpy(bytes + layout->segments + layout->stride * i, &cpu->segment[i], 2);
    }
}

/* --- loading a task: faults are the new task's from here on */

static bool load_ldt(struct x86_cpu *cpu, uint16_t selector, struct x86_fault *fault)
{
    struct x86_segment ldt = {.selector = selector};
    struct x86_descriptor descriptor;
    uint32_t error = x86_selector_error(selector, 0);

    x86_set_segment(cpu, X86_LDTR, &ldt);
    if (x86_null(selector)) {
        return true;
    }
    if (selector & 4) {
        return x86_raise_error(fault, X86_VECTOR_TS, error);
    }
    if (!x86_read_descriptor(cpu, selector, X86_VECTOR_TS, 0, &descriptor, fault)) {
        return false;
    }
    ldt = x86_segment_of(&descriptor);
    if (ldt.attributes & X86_SEG_S || x86_type(ldt.attributes) != X86_TYPE_LDT ||
        !(ldt.attributes & X86_SEG_PRESENT)) {
        return x86_raise_error(fault, X86_VECTOR_TS, error);
    }
    x86_set_segment(cpu, X86_LDTR, &ldt);
    return true;
}

static bool load_code(struct x86_cpu *cpu, uint16_t selector, struct x86_fault *fault)
{
    uint32_t error = x86_selector_error(selector, 0), bits;
    unsigned rpl = selector & 3;
    struct x86_descriptor descriptor;
    struct x86_segment cs;

    if (x86_null(selector)) {
        return x86_raise_error(fault, X86_VECTOR_TS, 0);
    }
    if (!x86_read_descriptor(cpu, selector, X86_VECTOR_TS, 0, &descriptor, fault)) {
        return false;
    }
    cs = x86_segment_of(&descriptor);
    bits = cs.attributes;
    if (!x86_is_code(bits) ||
        (bits & X86_SEG_CONFORMING ? x86_dpl(bits) > rpl : x86_dpl(bits) != rpl)) {
        return x86_raise_error(fault, X86_VECTOR_TS, error);
    }
    if (!(bits & X86_SEG_PRESENT)) {
        return x86_raise_error(fault, X86_VECTOR_NP, error);
    }
    if (!x86_set_accessed(cpu, &descriptor, &cs, fault)) {
        return false;
    }
    x86_set_segment(cpu, NATIVE_CS, &cs);
    return true;
}

static bool load_data(struct x86_cpu *cpu, unsigned number, uint16_t selector,
                      struct x86_fault *fault)
{
    struct x86_segment segment;

    if (!x86_find_segment(cpu, number, selector, &segment, fault)) {
        if (fault->vector == X86_VECTOR_GP) {
            fault->vector = X86_VECTOR_TS;
        }
        return false;
    }
    x86_set_segment(cpu, number, &segment);
    return true;
}

static bool load_segments(struct x86_cpu *cpu, const struct task *task, struct x86_fault *fault)
{
    static const uint8_t data[] = {NATIVE_ES, NATIVE_DS, NATIVE_FS, NATIVE_GS};
    struct x86_segment ss;

    if (x86_v86(cpu)) {
        for (unsigned i = 0; i < 6; i++) {
            x86_set_segment_real(cpu, i, task->segment[i]);
        }
        return true;
    }
    if (!load_code(cpu, task->segment[NATIVE_CS], fault) ||
        !x86_find_gate_stack(cpu, task->segment[NATIVE_SS], cpu->system.cpl, 0, &ss, fault)) {
        return false;
    }
    x86_set_segment(cpu, NATIVE_SS, &ss);
    for (unsigned i = 0; i < sizeof data; i++) {
        if (!load_data(cpu, data[i], task->segment[data[i]], fault)) {
            return false;
        }
    }
    return true;
}

static bool load_task(struct x86_cpu *cpu, const struct task *task, bool with_cr3,
                      struct x86_fault *fault)
{
    cpu->state.pc = task->pc;
    x86_set_rflags(cpu, task->flags);
    for (unsigned i = 0; i < 8; i++) {
        cpu->state.reg[i] = task->reg[i];
    }
    for (unsigned i = 0; i < 6; i++) { /* not valid yet */
        struct x86_segment segment = {.selector = task->segment[i]};

        x86_set_segment(cpu, i, &segment);
    }
    cpu->system.cpl = x86_v86(cpu) ? 3 : task->segment[NATIVE_CS] & 3;
    if (with_cr3 && cpu->system.cr0 & X86_CR0_PG && task->cr3 != cpu->system.cr3) {
        if (!x86_write_cr3(cpu, task->cr3, fault)) {
            fault->vector = X86_VECTOR_TS;
            return false;
        }
    }
    return load_ldt(cpu, task->ldt, fault) && load_segments(cpu, task, fault);
}

static bool push_error(struct x86_cpu *cpu, unsigned size, uint32_t error, struct x86_fault *fault)
{
    uint64_t value = error;
    struct x86_stack stack;

    x86_stack_open(cpu, &stack);
    if (!x86_push(cpu, &stack, size, &value, 1, fault)) {
        return false;
    }
    x86_stack_close(cpu, &stack);
    return true;
}

/* What is done in the new task. */
static bool begin_task(struct x86_cpu *cpu, const struct task *task, unsigned size,
                       const uint32_t *error_code, struct x86_fault *fault)
{
    return load_task(cpu, task, size == 4, fault) &&
           (!error_code || push_error(cpu, size, *error_code, fault)) &&
           x86_check_target(cpu, &cpu->system.segment[NATIVE_CS], task->pc, 0, fault);
}

/* --- the switch */

/* Sets or clears the busy bit of the descriptor of a TSS. */
static bool set_busy(struct x86_cpu *cpu, uint64_t descriptor, bool busy, struct x86_fault *fault)
{
    return x86_linear_change(cpu, descriptor + 5, busy ? FIRST_BUSY_BIT : 0,
                             busy ? 0 : FIRST_BUSY_BIT, fault);
}

static bool probe_busy(struct x86_cpu *cpu, uint64_t descriptor, struct x86_fault *fault)
{
    return x86_linear_probe(cpu, descriptor + 5, 1, X86_ACCESS_WRITE | X86_ACCESS_IMPLICIT, fault);
}

/* Everything that must be accessible, before anything changes. */
static bool check_access(struct x86_cpu *cpu, const struct x86_segment *old,
                         const struct x86_segment *next, uint8_t *bytes, uint32_t ext,
                         struct x86_fault *fault)
{
    const struct layout *layout = layout_of(next->attributes);
    unsigned access = X86_ACCESS_WRITE | X86_ACCESS_IMPLICIT;

    if (next->limit < layout->bytes - 1u) {
        return x86_raise_error(fault, X86_VECTOR_TS, x86_selector_error(next->selector, ext));
    }
    return x86_linear_read(cpu, next->base, bytes, layout->bytes, X86_ACCESS_IMPLICIT, fault) &&
           x86_linear_probe(cpu, next->base, 2, access, fault) &&
           x86_linear_probe(cpu, old->base, layout_of(old->attributes)->bytes, access, fault);
}

bool x86_task_switch(struct x86_cpu *cpu, const struct x86_descriptor *tss, enum x86_switch why,
                     uint64_t next_pc, const uint32_t *error_code, uint32_t ext,
                     struct x86_fault *fault)
{
    struct x86_segment old = cpu->system.segment[X86_TR], next = x86_segment_of(tss);
    const struct layout *layout = layout_of(next.attributes), *from = layout_of(old.attributes);
    uint64_t flags = x86_get_rflags(cpu);
    uint64_t old_descriptor = cpu->system.gdt.base + (old.selector & ~7u);
    bool nested = why == X86_SWITCH_CALL || why == X86_SWITCH_GATE;
    uint8_t bytes[LIMIT_32 + 1], saved[LIMIT_32 + 1];
    struct task task;

    if (!check_access(cpu, &old, &next, bytes, ext, fault) ||
        (!nested && !probe_busy(cpu, old_descriptor, fault)) ||
        (why != X86_SWITCH_IRET && !probe_busy(cpu, tss->address, fault))) {
        return false;
    }
    if (!nested && !set_busy(cpu, old_descriptor, false, fault)) {
        return false;
    }
    if (why == X86_SWITCH_IRET) {
        flags &= ~(uint64_t)X86_FLAG_NT;
    }
    store(cpu, from, next_pc, flags, saved);
    if (!x86_linear_write(cpu, old.base + from->pc, saved + from->pc, from->dynamic_end - from->pc,
                          X86_ACCESS_IMPLICIT, fault)) {
        return false;
    }
    parse(layout, bytes, &task);
    if (nested) {
        task.flags |= X86_FLAG_NT;
        if (!x86_linear_write(cpu, next.base, &old.selector, 2, X86_ACCESS_IMPLICIT, fault)) {
            return false;
        }
    }
    if (why != X86_SWITCH_IRET && !set_busy(cpu, tss->address, true, fault)) {
        return false;
    }
    next.attributes |= FIRST_BUSY_BIT << 8;
    x86_set_segment(cpu, X86_TR, &next);
    cpu->system.cr0 |= X86_CR0_TS;
    cpu->system.dr7 &= ~UINT64_C(0x155); /* local breakpoints */
    if (task.trap) {
        cpu->system.pending_debug |= X86_DR6_BT;
    }
    if (!begin_task(cpu, &task, layout->size, error_code, fault)) {
        fault->new_task = true;
        return false;
    }
    return true;
}

bool x86_task_gate(struct x86_cpu *cpu, uint16_t selector, enum x86_switch why, uint64_t next,
                   const uint32_t *error_code, uint32_t ext, struct x86_fault *fault)
{
    uint32_t error = x86_selector_error(selector, ext);
    struct x86_descriptor tss;
    unsigned type;

    if (selector & 4 || x86_null(selector)) {
        return x86_raise_error(fault, X86_VECTOR_GP, error);
    }
    if (!x86_read_descriptor(cpu, selector, X86_VECTOR_GP, ext, &tss, fault)) {
        return false;
    }
    type = x86_type(tss.high);
    if (tss.high & X86_SEG_S || (type != X86_TYPE_TSS16 && type != X86_TYPE_TSS32)) {
        return x86_raise_error(fault, X86_VECTOR_GP, error);
    }
    if (!(tss.high & X86_SEG_PRESENT)) {
        return x86_raise_error(fault, X86_VECTOR_NP, error);
    }
    return x86_task_switch(cpu, &tss, why, next, error_code, ext, fault);
}
