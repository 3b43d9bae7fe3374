/* SPDX-License-Identifier: MIT
 *
 * IRET in all modes, and far RET, which is checked alike (SDM vol. 2, IRET, RET). */
#include "guest/x86/internal.h"
#include "trace-guest_x86.h"

/* Flags that IRET takes from the stack, by operand size and privilege. */
static uint64_t returned_flags(const struct x86_cpu *cpu, unsigned size)
{
    uint64_t mask = NATIVE_ARITH | NATIVE_DF | X86_FLAG_TF | X86_FLAG_NT;

    mask |= size > 2 ? X86_FLAG_RF | X86_FLAG_AC | X86_FLAG_ID : 0;
    mask |= cpu->system.cpl <= x86_iopl(cpu) ? X86_FLAG_IF : 0;
    if (cpu->system.cpl == 0) {
        mask |= X86_FLAG_IOPL | (size > 2 ? X86_FLAG_VIF | X86_FLAG_VIP : 0);
    }
    return mask;
}

/* --- the code and stack that is returned to */

static bool find_return_code(struct x86_cpu *cpu, uint16_t selector, struct x86_segment *cs,
                             struct x86_fault *fault)
{
    uint32_t error = x86_selector_error(selector, 0), bits;
    struct x86_descriptor descriptor;
    unsigned rpl = selector & 3;

    if (x86_null(selector)) {
        return x86_raise_error(fault, X86_VECTOR_GP, 0);
    }
    if (!x86_read_descriptor(cpu, selector, X86_VECTOR_GP, 0, &descriptor, fault)) {
        return false;
    }
    *cs = x86_segment_of(&descriptor);
    bits = cs->attributes;
    if (!x86_is_code(bits) || rpl < cpu->system.cpl ||
        (bits & X86_SEG_CONFORMING ? x86_dpl(bits) > rpl : x86_dpl(bits) != rpl) ||
        (x86_long(cpu) && bits & X86_SEG_LONG && bits & X86_SEG_BIG)) {
        return x86_raise_error(fault, X86_VECTOR_GP, error);
    }
    if (!(bits & X86_SEG_PRESENT)) {
        return x86_raise_error(fault, X86_VECTOR_NP, error);
    }
    return x86_set_accessed(cpu, &descriptor, cs, fault);
}

static bool find_return_stack(struct x86_cpu *cpu, uint16_t selector, const struct x86_segment *cs,
                              struct x86_segment *ss, struct x86_fault *fault)
{
    uint32_t error = x86_selector_error(selector, 0);
    struct x86_descriptor descriptor;
    unsigned level = cs->selector & 3;

    if (x86_null(selector)) {
        *ss = (struct x86_segment){.attributes = level << X86_SEG_DPL_SHIFT, .selector = selector};
        return (x86_long(cpu) && cs->attributes & X86_SEG_LONG && level != 3 &&
                (selector & 3u) == level) ||
               x86_raise_error(fault, X86_VECTOR_GP, 0);
    }
    if (!x86_read_descriptor(cpu, selector, X86_VECTOR_GP, 0, &descriptor, fault)) {
        return false;
    }
    *ss = x86_segment_of(&descriptor);
    if ((selector & 3u) != level || !x86_is_writable_data(ss->attributes) ||
        x86_dpl(ss->attributes) != level) {
        return x86_raise_error(fault, X86_VECTOR_GP, error);
    }
    if (!(ss->attributes & X86_SEG_PRESENT)) {
        return x86_raise_error(fault, X86_VECTOR_SS, error);
    }
    return x86_set_accessed(cpu, &descriptor, ss, fault);
}

/* Loads CS, RIP and, with `ss`, the stack; drops segments if the privilege goes down. */
static void go(struct x86_cpu *cpu, const struct x86_segment *cs, uint64_t pc,
               const struct x86_segment *ss, uint64_t sp)
{
    bool outer = (cs->selector & 3) > cpu->system.cpl;

    x86_set_segment(cpu, NATIVE_CS, cs);
    cpu->system.cpl = cs->selector & 3;
    cpu->state.pc = pc;
    if (ss) {
        bool wide = x86_long(cpu) && cs->attributes & X86_SEG_LONG;

        x86_set_segment(cpu, NATIVE_SS, ss);
        x86_set_gpr(cpu, X86_RSP, x86_stack_width(ss, wide), sp);
    }
    if (outer) {
        x86_drop_segments(cpu);
    }
}

/* --- far RET */

static bool return_real(struct x86_cpu *cpu, unsigned size, unsigned release,
                        struct x86_fault *fault)
{
    struct x86_stack stack;
    uint64_t slot[2];

    x86_stack_open(cpu, &stack);
    if (!x86_pop(cpu, &stack, size, slot, 2, fault)) {
        return false;
    }
    if (slot[0] > cpu->system.segment[NATIVE_CS].limit) {
        return x86_raise_error(fault, X86_VECTOR_GP, 0);
    }
    stack.sp += release;
    x86_stack_close(cpu, &stack);
    x86_set_segment_real(cpu, NATIVE_CS, (uint16_t)slot[1]);
    cpu->state.pc = slot[0];
    return true;
}

static bool far_return(struct x86_cpu *cpu, unsigned size, unsigned release,
                       struct x86_fault *fault)
{
    struct x86_segment cs, ss;
    struct x86_stack stack;
    uint64_t slot[2], outer[2];

    if (x86_real(cpu)) {
        return return_real(cpu, size, release, fault);
    }
    x86_stack_open(cpu, &stack);
    if (!x86_pop(cpu, &stack, size, slot, 2, fault) ||
        !find_return_code(cpu, (uint16_t)slot[1], &cs, fault)) {
        return false;
    }
    stack.sp = (stack.sp + release) & x86_size_mask(stack.width);
    if ((cs.selector & 3) == cpu->system.cpl) {
        if (!x86_check_target(cpu, &cs, slot[0], 0, fault)) {
            return false;
        }
        x86_stack_close(cpu, &stack);
        go(cpu, &cs, slot[0], NULL, 0);
        return true;
    }
    if (!x86_pop(cpu, &stack, size, outer, 2, fault) ||
        !find_return_stack(cpu, (uint16_t)outer[1], &cs, &ss, fault) ||
        !x86_check_target(cpu, &cs, slot[0], 0, fault)) {
        return false;
    }
    go(cpu, &cs, slot[0], &ss, outer[0] + release);
    return true;
}

static bool return_with(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    unsigned release = insn->native.opcode == 0xca ? insn->native.imm & 0xffff : 0;

    return far_return(cpu, insn->native.opsize, release, fault);
}

bool x86_sys_retf(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    return return_with(cpu, insn, fault);
}

/* --- IRET */

static bool iret_real(struct x86_cpu *cpu, unsigned size, struct x86_fault *fault)
{
    uint64_t mask = size == 2 ? 0x7fd5 : 0x257fd5, slot[3];
    struct x86_stack stack;

    x86_stack_open(cpu, &stack);
    if (!x86_pop(cpu, &stack, size, slot, 3, fault)) {
        return false;
    }
    if (slot[0] > cpu->system.segment[NATIVE_CS].limit) {
        return x86_raise_error(fault, X86_VECTOR_GP, 0);
    }
    x86_stack_close(cpu, &stack);
    x86_set_segment_real(cpu, NATIVE_CS, (uint16_t)slot[1]);
    cpu->state.pc = slot[0];
    x86_change_rflags(cpu, slot[2], mask);
    return true;
}

/* SDM vol. 2, IRET, RETURN-FROM-VIRTUAL-8086-MODE, and vol. 3, 20.3.3.4 for VME. */
static bool iret_v86(struct x86_cpu *cpu, unsigned size, struct x86_fault *fault)
{
    bool vme = x86_iopl(cpu) < 3;
    uint64_t mask = size == 2 ? 0x4fd5 : 0x254fd5, slot[3], flags;
    struct x86_stack stack;

    if (vme && (!(cpu->system.cr4 & X86_CR4_VME) || size != 2)) {
        return x86_raise_error(fault, X86_VECTOR_GP, 0);
    }
    x86_stack_open(cpu, &stack);
    if (!x86_pop(cpu, &stack, size, slot, 3, fault)) {
        return false;
    }
    flags = slot[2];
    if (slot[0] > cpu->system.segment[NATIVE_CS].limit ||
        (vme &&
         (flags & X86_FLAG_TF || (flags & X86_FLAG_IF && cpu->system_flags & X86_FLAG_VIP)))) {
        return x86_raise_error(fault, X86_VECTOR_GP, 0);
    }
    if (vme) {
        mask = (mask & ~(uint64_t)X86_FLAG_IF) | X86_FLAG_VIF;
        flags &= ~(uint64_t)X86_FLAG_VIF;
        flags |= flags & X86_FLAG_IF ? X86_FLAG_VIF : 0;
    }
    x86_stack_close(cpu, &stack);
    x86_set_segment_real(cpu, NATIVE_CS, (uint16_t)slot[1]);
    cpu->state.pc = slot[0];
    x86_change_rflags(cpu, flags, mask);
    return true;
}

static bool iret_to_v86(struct x86_cpu *cpu, struct x86_stack *stack, const uint64_t *slot,
                        struct x86_fault *fault)
{
    static const uint8_t order[] = {NATIVE_ES, NATIVE_DS, NATIVE_FS, NATIVE_GS};
    uint64_t more[6];

    if (!x86_pop(cpu, stack, 4, more, 6, fault)) {
        return false;
    }
    if (slot[0] > 0xffff) {
        return x86_raise_error(fault, X86_VECTOR_GP, 0);
    }
    x86_change_rflags(cpu, slot[2], NATIVE_ARITH | NATIVE_DF | X86_FLAGS_KEPT);
    x86_set_segment_real(cpu, NATIVE_CS, (uint16_t)slot[1]);
    x86_set_segment_real(cpu, NATIVE_SS, (uint16_t)more[1]);
    for (unsigned i = 0; i < sizeof order; i++) {
        x86_set_segment_real(cpu, order[i], (uint16_t)more[2 + i]);
    }
    x86_set_gpr(cpu, X86_RSP, 4, more[0]);
    cpu->state.pc = slot[0] & 0xffff;
    cpu->system.cpl = 3;
    return true;
}

/* To the task that called (SDM vol. 3, 7.4). */
static bool iret_task(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    const struct x86_segment *tr = &cpu->system.segment[X86_TR];
    struct x86_descriptor tss;
    uint16_t link;

    if (x86_long(cpu)) {
        return x86_raise_error(fault, X86_VECTOR_GP, 0);
    }
    if (!x86_linear_read(cpu, tr->base, &link, 2, X86_ACCESS_IMPLICIT, fault)) {
        return false;
    }
    if (link & 4 || x86_null(link)) {
        return x86_raise_error(fault, X86_VECTOR_TS, x86_selector_error(link, 0));
    }
    if (!x86_read_descriptor(cpu, link, X86_VECTOR_TS, 0, &tss, fault)) {
        return false;
    }
    if (tss.high & X86_SEG_S ||
        (x86_type(tss.high) != X86_TYPE_TSS16_BUSY && x86_type(tss.high) != X86_TYPE_TSS32_BUSY)) {
        return x86_raise_error(fault, X86_VECTOR_TS, x86_selector_error(link, 0));
    }
    if (!(tss.high & X86_SEG_PRESENT)) {
        return x86_raise_error(fault, X86_VECTOR_NP, x86_selector_error(link, 0));
    }
    return x86_task_switch(cpu, &tss, X86_SWITCH_IRET, insn->pc + insn->length, NULL, 0, fault);
}

static bool iret_protected(struct x86_cpu *cpu, unsigned size, struct x86_fault *fault)
{
    uint64_t mask = returned_flags(cpu, size), slot[3], outer[2];
    struct x86_segment cs, ss;
    struct x86_stack stack;

    x86_stack_open(cpu, &stack);
    if (!x86_pop(cpu, &stack, size, slot, 3, fault)) {
        return false;
    }
    if (size == 4 && slot[2] & X86_FLAG_VM && cpu->system.cpl == 0 && !x86_long(cpu)) {
        return iret_to_v86(cpu, &stack, slot, fault);
    }
    if (!find_return_code(cpu, (uint16_t)slot[1], &cs, fault)) {
        return false;
    }
    if (x86_code64(cpu) || (cs.selector & 3) != cpu->system.cpl) {
        if (!x86_pop(cpu, &stack, size, outer, 2, fault) ||
            !find_return_stack(cpu, (uint16_t)outer[1], &cs, &ss, fault) ||
            !x86_check_target(cpu, &cs, slot[0], 0, fault)) {
            return false;
        }
        go(cpu, &cs, slot[0], &ss, outer[0]);
    } else {
        if (!x86_check_target(cpu, &cs, slot[0], 0, fault)) {
            return false;
        }
        x86_stack_close(cpu, &stack);
        go(cpu, &cs, slot[0], NULL, 0);
    }
    x86_change_rflags(cpu, slot[2], mask);
    return true;
}

static bool iret(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    unsigned size = insn->native.opsize;

    if (!x86_protected(cpu)) {
        return iret_real(cpu, size, fault);
    }
    if (x86_v86(cpu)) {
        return iret_v86(cpu, size, fault);
    }
    if (cpu->system_flags & X86_FLAG_NT) {
        return iret_task(cpu, insn, fault);
    }
    return iret_protected(cpu, size, fault);
}

bool x86_sys_iret(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    uint64_t from = insn->pc;
    uint16_t cs = cpu->segment[NATIVE_CS];

    if (!iret(cpu, insn, fault)) {
        return false;
    }
    cpu->system.nmi_blocked = false;
    trace_guest_iret(cpu->system.number, cs, from, cpu->segment[NATIVE_CS], cpu->state.pc,
                     cpu->system.cpl);
    return true;
}
