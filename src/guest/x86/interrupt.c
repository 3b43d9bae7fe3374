/* SPDX-License-Identifier: MIT
 *
 * Entering a handler: real mode's table, gates of protected mode and long mode, task gates, what
 * virtual-8086 mode does of its own (SDM vol. 2, INT n; vol. 3, 6.12, 6.14, 20.3). */
#include "guest/x86/internal.h"

#include <string.h>

#include "trace-guest_x86.h"

/* Faults while this is delivered count as caused by the outside. */
static uint32_t ext_of(const struct x86_event *event)
{
    return event->kind == X86_EVENT_INT || event->kind == X86_EVENT_TRAP ? 0 : 1;
}

/* Exceptions after which the instruction is executed again push RF (SDM vol. 3, 17.3.1.1). */
static bool is_fault(const struct x86_event *event)
{
    return event->kind == X86_EVENT_EXCEPTION && event->vector != X86_VECTOR_DB &&
           event->vector != X86_VECTOR_BP && event->vector != X86_VECTOR_OF &&
           event->vector != X86_VECTOR_DF && event->vector != X86_VECTOR_MC;
}

static uint64_t pushed_flags(const struct x86_cpu *cpu, const struct x86_event *event)
{
    return x86_get_rflags(cpu) | (is_fault(event) ? X86_FLAG_RF : 0);
}

/* --- by a table of far pointers: real mode, and virtual-8086 mode with VME */

static bool enter_by_table(struct x86_cpu *cpu, const struct x86_event *event, bool virtual,
                           struct x86_fault *fault)
{
    uint64_t base = virtual ? 0 : cpu->system.idt.base, flags = pushed_flags(cpu, event);
    uint64_t values[3], cleared = X86_FLAG_TF | X86_FLAG_AC | X86_FLAG_RF | X86_FLAG_IF;
    unsigned access = virtual ? X86_ACCESS_READ : X86_ACCESS_IMPLICIT;
    struct x86_stack stack;
    uint16_t target[2];

    if (!virtual && event->vector * 4u + 3 > cpu->system.idt.limit) {
        return x86_raise_error(fault, X86_VECTOR_GP, event->vector * 8u + 2 + ext_of(event));
    }
    if (!x86_linear_read(cpu, (uint32_t)(base + event->vector * 4u), target, sizeof target, access,
                         fault)) {
        return false;
    }
    if (virtual && x86_iopl(cpu) < 3) { /* the program sees VIF as its IF */
        cleared = X86_FLAG_TF | X86_FLAG_RF | X86_FLAG_VIF;
        flags &= ~(uint64_t)X86_FLAG_IF;
        flags |= X86_FLAG_IOPL | (flags & X86_FLAG_VIF ? X86_FLAG_IF : 0);
    }
    if (virtual) {
        cleared &= ~(uint64_t)X86_FLAG_AC;
    }
    values[0] = flags & 0xffff;
    values[1] = cpu->segment[NATIVE_CS];
    values[2] = event->next & 0xffff;
    x86_stack_open(cpu, &stack);
    if (!x86_push(cpu, &stack, 2, values, 3, fault)) {
        return false;
    }
    x86_stack_close(cpu, &stack);
    x86_set_segment_real(cpu, NATIVE_CS, target[1]);
    cpu->state.pc = target[0];
    x86_change_rflags(cpu, 0, cleared);
    return true;
}

/* --- by a gate */

struct gate {
    uint16_t selector;
    uint64_t offset;
    uint8_t type;
    uint8_t ist;
    uint8_t dpl;
    bool present;
};

static bool read_gate(struct x86_cpu *cpu, const struct x86_event *event, struct gate *gate,
                      struct x86_fault *fault)
{
    unsigned size = x86_long(cpu) ? 16 : 8;
    uint32_t word[4] = {0}, error = event->vector * 8u + 2 + ext_of(event);
    uint64_t address = cpu->system.idt.base + (uint64_t)event->vector * size;

    if (event->vector * size + size - 1 > cpu->system.idt.limit) {
        return x86_raise_error(fault, X86_VECTOR_GP, error);
    }
    if (!x86_long(cpu)) {
        address = (uint32_t)address;
    }
    if (!x86_linear_read(cpu, address, word, size, X86_ACCESS_IMPLICIT, fault)) {
        return false;
    }
    gate->selector = (uint16_t)(word[0] >> 16);
    gate->offset = (word[0] & 0xffff) | (word[1] & 0xffff0000) | (uint64_t)word[2] << 32;
    gate->type = word[1] >> 8 & 31;
    gate->ist = word[1] & 7;
    gate->dpl = word[1] >> 13 & 3;
    gate->present = word[1] & X86_SEG_PRESENT;
    switch (gate->type) {
    case X86_TYPE_INT16:
    case X86_TYPE_TRAP16: gate->offset &= 0xffff; /* fallthrough */
    case X86_TYPE_TASK_GATE:
        if (x86_long(cpu)) {
            return x86_raise_error(fault, X86_VECTOR_GP, error);
        }
        break;
    case X86_TYPE_INT32:
    case X86_TYPE_TRAP32: break;
    default: return x86_raise_error(fault, X86_VECTOR_GP, error);
    }
    if ((event->kind == X86_EVENT_INT || event->kind == X86_EVENT_TRAP) &&
        gate->dpl < cpu->system.cpl) {
        return x86_raise_error(fault, X86_VECTOR_GP, error);
    }
    return gate->present || x86_raise_error(fault, X86_VECTOR_NP, error);
}

static bool find_code(struct x86_cpu *cpu, const struct gate *gate, uint32_t ext,
                      struct x86_segment *cs, unsigned *level, struct x86_fault *fault)
{
    uint32_t error = x86_selector_error(gate->selector, ext), bits;
    struct x86_descriptor descriptor;
    bool conforming;

    if (x86_null(gate->selector)) {
        return x86_raise_error(fault, X86_VECTOR_GP, ext);
    }
    if (!x86_read_descriptor(cpu, gate->selector, X86_VECTOR_GP, ext, &descriptor, fault)) {
        return false;
    }
    *cs = x86_segment_of(&descriptor);
    bits = cs->attributes;
    conforming = bits & X86_SEG_CONFORMING;
    *level = conforming ? cpu->system.cpl : x86_dpl(bits);
    if (!x86_is_code(bits) || x86_dpl(bits) > cpu->system.cpl ||
        (x86_long(cpu) && (bits & (X86_SEG_LONG | X86_SEG_BIG)) != X86_SEG_LONG) ||
        (x86_v86(cpu) && *level != 0)) {
        return x86_raise_error(fault, X86_VECTOR_GP, error);
    }
    if (!(bits & X86_SEG_PRESENT)) {
        return x86_raise_error(fault, X86_VECTOR_NP, error);
    }
    return x86_set_accessed(cpu, &descriptor, cs, fault);
}

/* The handler's stack; `fresh`: not the one in use. */
static bool find_stack(struct x86_cpu *cpu, const struct gate *gate, unsigned level, uint32_t ext,
                       struct x86_stack *stack, bool *fresh, struct x86_fault *fault)
{
    enum { IST_FIRST = 3 }; /* the IST entries follow those of the levels */
    uint16_t selector;
    bool inner = level < cpu->system.cpl;

    x86_stack_open(cpu, stack);
    *fresh = inner;
    stack->error = ext;
    if (x86_long(cpu)) {
        stack->width = 8;
        stack->sp = cpu->state.reg[X86_RSP];
        if (inner || gate->ist) {
            unsigned entry = gate->ist ? (unsigned)IST_FIRST + gate->ist : level;

            if (!x86_tss_stack(cpu, entry, ext, &selector, &stack->sp, fault)) {
                return false;
            }
        }
        if (inner) {
            stack->ss = (struct x86_segment){.attributes = level << X86_SEG_DPL_SHIFT,
                                             .selector = (uint16_t)level};
        }
        stack->ss.base = 0;
        stack->sp &= ~UINT64_C(15);
    } else if (inner) {
        if (!x86_tss_stack(cpu, level, ext, &selector, &stack->sp, fault) ||
            !x86_find_gate_stack(cpu, selector, level, ext, &stack->ss, fault)) {
            return false;
        }
        stack->width = (uint8_t)x86_stack_width(&stack->ss, false);
        stack->error = x86_selector_error(selector, ext);
    }
    stack->access = level < 3 ? X86_ACCESS_IMPLICIT : 0;
    return true;
}

static unsigned make_frame(const struct x86_cpu *cpu, const struct x86_event *event, bool with_ss,
                           uint64_t *frame)
{
    static const uint8_t v86_order[] = {NATIVE_GS, NATIVE_FS, NATIVE_DS, NATIVE_ES};
    unsigned count = 0;

    for (unsigned i = 0; x86_v86(cpu) && i < sizeof v86_order; i++) {
        frame[count++] = cpu->segment[v86_order[i]];
    }
    if (with_ss) {
        frame[count++] = cpu->segment[NATIVE_SS];
        frame[count++] = cpu->state.reg[X86_RSP];
    }
    frame[count++] = pushed_flags(cpu, event);
    frame[count++] = cpu->segment[NATIVE_CS];
    frame[count++] = event->next;
    if (event->has_error) {
        frame[count++] = event->error;
    }
    return count;
}

static void drop_v86_segments(struct x86_cpu *cpu)
{
    static const uint8_t numbers[] = {NATIVE_ES, NATIVE_DS, NATIVE_FS, NATIVE_GS};
    struct x86_segment null = {0};

    for (unsigned i = 0; i < sizeof numbers; i++) {
        x86_set_segment(cpu, numbers[i], &null);
    }
}

static bool enter_by_gate(struct x86_cpu *cpu, const struct x86_event *event,
                          const struct gate *gate, struct x86_fault *fault)
{
    uint32_t ext = ext_of(event);
    uint64_t frame[12], sp, cleared = X86_FLAG_TF | X86_FLAG_VM | X86_FLAG_RF | X86_FLAG_NT;
    unsigned size = x86_long(cpu) ? 8 : gate->type & 8 ? 4 : 2, count, level;
    struct x86_segment cs;
    struct x86_stack stack;
    bool fresh, v86 = x86_v86(cpu);

    if (!find_code(cpu, gate, ext, &cs, &level, fault) ||
        !find_stack(cpu, gate, level, ext, &stack, &fresh, fault)) {
        return false;
    }
    count = make_frame(cpu, event, fresh || x86_long(cpu), frame);
    sp = stack.sp;
    stack.sp &= x86_size_mask(stack.width);
    if (!x86_check_target(cpu, &cs, gate->offset, ext, fault) ||
        !x86_push(cpu, &stack, size, frame, count, fault)) {
        return false;
    }
    cleared |= gate->type & 1 ? 0 : X86_FLAG_IF;
    x86_change_rflags(cpu, 0, cleared);
    if (v86) {
        drop_v86_segments(cpu);
    }
    if (fresh) {
        x86_set_segment(cpu, NATIVE_SS, &stack.ss);
        cpu->state.reg[X86_RSP] = sp;
    }
    x86_stack_close(cpu, &stack);
    cs.selector = (uint16_t)((cs.selector & ~3) | level);
    x86_set_segment(cpu, NATIVE_CS, &cs);
    cpu->system.cpl = (uint8_t)level;
    cpu->state.pc = gate->offset;
    return true;
}

/* INT n in virtual-8086 mode (SDM vol. 3, table 20-2). Sets `done` where no gate is concerned. */
static bool enter_v86(struct x86_cpu *cpu, const struct x86_event *event, bool *done,
                      struct x86_fault *fault)
{
    bool redirected = false;

    *done = false;
    if (event->kind != X86_EVENT_INT) {
        return true;
    }
    if (cpu->system.cr4 & X86_CR4_VME) {
        if (!x86_vme_redirected(cpu, event->vector, &redirected, fault)) {
            return false;
        }
        if (redirected) {
            *done = true;
            return enter_by_table(cpu, event, true, fault);
        }
    }
    return x86_iopl(cpu) == 3 || x86_raise_error(fault, X86_VECTOR_GP, 0);
}

static bool enter(struct x86_cpu *cpu, const struct x86_event *event, struct x86_fault *fault)
{
    struct gate gate;
    bool done;

    if (!x86_protected(cpu)) {
        return enter_by_table(cpu, event, false, fault);
    }
    if (x86_v86(cpu)) {
        if (!enter_v86(cpu, event, &done, fault)) {
            return false;
        }
        if (done) {
            return true;
        }
    }
    if (!read_gate(cpu, event, &gate, fault)) {
        return false;
    }
    if (gate.type == X86_TYPE_TASK_GATE) {
        return x86_task_gate(cpu, gate.selector, X86_SWITCH_GATE, event->next,
                             event->has_error ? &event->error : NULL, ext_of(event), fault);
    }
    return enter_by_gate(cpu, event, &gate, fault);
}

/* --- what is told of it */

static const char *kind_name(unsigned kind)
{
    static const char *const names[] = {
        [X86_EVENT_EXCEPTION] = "exception",
        [X86_EVENT_INTERRUPT] = "external",
        [X86_EVENT_NMI] = "nmi",
        [X86_EVENT_INT] = "int",
        [X86_EVENT_TRAP] = "trap",
        [X86_EVENT_ICEBP] = "int1",
    };

    return names[kind];
}

static void record_event(struct x86_cpu *cpu, const struct x86_event *event,
                         struct x86_event_record *record)
{
    *record = (struct x86_event_record){
        .from = event->next,
        .stack = cpu->state.reg[X86_RSP],
        .cr2 = cpu->system.cr2,
        .error = event->error,
        .from_cs = cpu->segment[NATIVE_CS],
        .ss = cpu->segment[NATIVE_SS],
        .vector = event->vector,
        .kind = event->kind,
        .raised = event->raised,
        .during = event->during,
        .cpl = cpu->system.cpl,
        .has_error = event->has_error,
    };
}

static void trace_event(const struct x86_cpu *cpu, const struct x86_event_record *record)
{
    if (record->kind == X86_EVENT_EXCEPTION) {
        trace_guest_exception(cpu->system.number, record->vector, record->error, record->from_cs,
                              record->from, record->to_cs, record->to, record->cpl);
    } else {
        trace_guest_interrupt(cpu->system.number, record->vector, kind_name(record->kind),
                              record->from_cs, record->from, record->to_cs, record->to,
                              record->cpl);
    }
}

bool x86_enter(struct x86_cpu *cpu, const struct x86_event *event, struct x86_fault *fault)
{
    const struct cpu_bus *bus = cpu->system.bus;
    struct x86_event_record record;
    bool entered;

    record_event(cpu, event, &record);
    if (bus->entering) {
        bus->entering(bus->opaque, &record);
    }
    entered = enter(cpu, event, fault);
    record.failed = !entered;
    if (entered) {
        record.to = cpu->state.pc;
        record.to_cs = cpu->segment[NATIVE_CS];
        cpu->system.shadow = 0;
        trace_event(cpu, &record);
    }
    cpu->system.record[cpu->system.records++ % X86_RECORDS] = record;
    x86_update_mode(cpu);
    return entered;
}
