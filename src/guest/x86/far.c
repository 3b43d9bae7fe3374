/* SPDX-License-Identifier: MIT
 *
 * Far JMP and CALL: to code, through call gates, to tasks (SDM vol. 2, JMP, CALL). */
#include <string.h>

#include "guest/x86/internal.h"

struct transfer {
    bool call;
    unsigned size; /* operand size */
    uint16_t selector;
    uint64_t offset;
    uint64_t next; /* RIP behind the instruction */
};

/* Pushes CS and the return address. */
static bool push_return(struct x86_cpu *cpu, const struct transfer *t, unsigned size,
                        struct x86_stack *stack, struct x86_fault *fault)
{
    uint64_t values[2] = {cpu->segment[NATIVE_CS], t->next};

    x86_stack_open(cpu, stack);
    return x86_push(cpu, stack, size, values, 2, fault);
}

static bool far_real(struct x86_cpu *cpu, const struct transfer *t, struct x86_fault *fault)
{
    struct x86_stack stack;

    if (t->offset > cpu->system.segment[NATIVE_CS].limit) {
        return x86_raise_error(fault, X86_VECTOR_GP, 0);
    }
    if (t->call) {
        if (!push_return(cpu, t, t->size, &stack, fault)) {
            return false;
        }
        x86_stack_close(cpu, &stack);
    }
    x86_set_segment_real(cpu, NATIVE_CS, t->selector);
    cpu->state.pc = t->offset;
    return true;
}

/* --- code */

static void load_code(struct x86_cpu *cpu, struct x86_segment *cs, uint64_t pc, unsigned level)
{
    cs->selector = (uint16_t)((cs->selector & ~3) | level);
    x86_set_segment(cpu, NATIVE_CS, cs);
    cpu->system.cpl = (uint8_t)level;
    cpu->state.pc = pc;
}

static bool far_code(struct x86_cpu *cpu, const struct transfer *t,
                     const struct x86_descriptor *descriptor, struct x86_fault *fault)
{
    struct x86_segment cs = x86_segment_of(descriptor);
    uint32_t bits = cs.attributes, error = x86_selector_error(t->selector, 0);
    unsigned dpl = x86_dpl(bits), cpl = cpu->system.cpl;
    struct x86_stack stack;

    if ((x86_long(cpu) && bits & X86_SEG_LONG && bits & X86_SEG_BIG) ||
        (bits & X86_SEG_CONFORMING ? dpl > cpl : (t->selector & 3u) > cpl || dpl != cpl)) {
        return x86_raise_error(fault, X86_VECTOR_GP, error);
    }
    if (!(bits & X86_SEG_PRESENT)) {
        return x86_raise_error(fault, X86_VECTOR_NP, error);
    }
    if (!x86_check_target(cpu, &cs, t->offset, 0, fault) ||
        !x86_set_accessed(cpu, descriptor, &cs, fault)) {
        return false;
    }
    if (t->call) {
        if (!push_return(cpu, t, t->size, &stack, fault)) {
            return false;
        }
        x86_stack_close(cpu, &stack);
    }
    load_code(cpu, &cs, t->offset, cpl);
    return true;
}

/* --- call gates */

static bool find_gate_code(struct x86_cpu *cpu, const struct transfer *t, uint16_t selector,
                           struct x86_segment *cs, unsigned *level, struct x86_fault *fault)
{
    uint32_t error = x86_selector_error(selector, 0), bits;
    unsigned cpl = cpu->system.cpl, dpl;
    struct x86_descriptor descriptor;

    if (x86_null(selector)) {
        return x86_raise_error(fault, X86_VECTOR_GP, 0);
    }
    if (!x86_read_descriptor(cpu, selector, X86_VECTOR_GP, 0, &descriptor, fault)) {
        return false;
    }
    *cs = x86_segment_of(&descriptor);
    bits = cs->attributes;
    dpl = x86_dpl(bits);
    if (!x86_is_code(bits) || dpl > cpl ||
        (!t->call && !(bits & X86_SEG_CONFORMING) && dpl != cpl) ||
        (x86_long(cpu) && (bits & (X86_SEG_LONG | X86_SEG_BIG)) != X86_SEG_LONG)) {
        return x86_raise_error(fault, X86_VECTOR_GP, error);
    }
    if (!(bits & X86_SEG_PRESENT)) {
        return x86_raise_error(fault, X86_VECTOR_NP, error);
    }
    *level = bits & X86_SEG_CONFORMING ? cpl : dpl;
    return x86_set_accessed(cpu, &descriptor, cs, fault);
}

/* The parameters, in the order of being pushed: the one at the highest address first. */
static bool read_parameters(struct x86_cpu *cpu, unsigned size, unsigned count, uint64_t *values,
                            struct x86_fault *fault)
{
    uint64_t popped[32];
    struct x86_stack stack;

    x86_stack_open(cpu, &stack);
    if (!x86_pop(cpu, &stack, size, popped, count, fault)) {
        return false;
    }
    for (unsigned i = 0; i < count; i++) {
        values[i] = popped[count - 1 - i];
    }
    return true;
}

/* CALL to more privilege: onto the stack of the TSS. */
static bool call_inner(struct x86_cpu *cpu, const struct transfer *t, unsigned size,
                       unsigned parameters, unsigned level, struct x86_segment *cs, uint64_t pc,
                       struct x86_fault *fault)
{
    uint64_t values[X86_PUSHES] = {cpu->segment[NATIVE_SS], cpu->state.reg[X86_RSP]};
    unsigned count = 2 + parameters;
    struct x86_stack stack = {.access = X86_ACCESS_IMPLICIT};
    uint16_t selector;
    uint64_t sp;

    if (!x86_tss_stack(cpu, level, 0, &selector, &sp, fault)) {
        return false;
    }
    if (x86_long(cpu)) {
        stack.ss = (struct x86_segment){.attributes = level << X86_SEG_DPL_SHIFT,
                                        .selector = (uint16_t)level};
        stack.width = 8;
    } else {
        if (!x86_find_gate_stack(cpu, selector, level, 0, &stack.ss, fault)) {
            return false;
        }
        stack.width = (uint8_t)x86_stack_width(&stack.ss, false);
        stack.error = x86_selector_error(selector, 0);
    }
    if (parameters && !read_parameters(cpu, size, parameters, values + 2, fault)) {
        return false;
    }
    values[count++] = cpu->segment[NATIVE_CS];
    values[count++] = t->next;
    stack.sp = sp & x86_size_mask(stack.width);
    if (!x86_check_target(cpu, cs, pc, 0, fault) ||
        !x86_push(cpu, &stack, size, values, count, fault)) {
        return false;
    }
    x86_set_segment(cpu, NATIVE_SS, &stack.ss);
    cpu->state.reg[X86_RSP] = sp;
    x86_stack_close(cpu, &stack);
    load_code(cpu, cs, pc, level);
    return true;
}

static bool far_gate(struct x86_cpu *cpu, const struct transfer *t,
                     const struct x86_descriptor *gate, struct x86_fault *fault)
{
    unsigned size = x86_long(cpu) ? 8 : x86_type(gate->high) == X86_TYPE_CALL32 ? 4 : 2, level = 0;
    unsigned parameters = x86_long(cpu) ? 0 : gate->high & 31;
    uint64_t pc = size == 2 ? x86_gate_offset(gate) & 0xffff : x86_gate_offset(gate);
    struct x86_segment cs;
    struct x86_stack stack;
    uint32_t high = 0;

    if (x86_long(cpu) && !x86_read_upper(cpu, gate, X86_VECTOR_GP, 0, &high, fault)) {
        return false;
    }
    pc |= (uint64_t)high << 32;
    if (!(gate->high & X86_SEG_PRESENT)) {
        return x86_raise_error(fault, X86_VECTOR_NP, x86_selector_error(t->selector, 0));
    }
    if (!find_gate_code(cpu, t, (uint16_t)(gate->low >> 16), &cs, &level, fault)) {
        return false;
    }
    if (level < cpu->system.cpl) {
        return call_inner(cpu, t, size, parameters, level, &cs, pc, fault);
    }
    if (!x86_check_target(cpu, &cs, pc, 0, fault)) {
        return false;
    }
    if (t->call) {
        if (!push_return(cpu, t, size, &stack, fault)) {
            return false;
        }
        x86_stack_close(cpu, &stack);
    }
    load_code(cpu, &cs, pc, level);
    return true;
}

/* --- what a selector names */

static bool far_system(struct x86_cpu *cpu, const struct transfer *t,
                       const struct x86_descriptor *descriptor, struct x86_fault *fault)
{
    uint32_t error = x86_selector_error(t->selector, 0), bits = descriptor->high;
    enum x86_switch why = t->call ? X86_SWITCH_CALL : X86_SWITCH_JUMP;
    unsigned type = x86_type(bits);
    bool wide = x86_long(cpu);
    bool gate = type == X86_TYPE_CALL32 || (type == X86_TYPE_CALL16 && !wide);
    bool task =
        !wide && (type == X86_TYPE_TASK_GATE || type == X86_TYPE_TSS16 || type == X86_TYPE_TSS32);

    if ((!gate && !task) || x86_dpl(bits) < cpu->system.cpl || x86_dpl(bits) < (t->selector & 3u)) {
        return x86_raise_error(fault, X86_VECTOR_GP, error);
    }
    if (gate) {
        return far_gate(cpu, t, descriptor, fault);
    }
    if (!(bits & X86_SEG_PRESENT)) {
        return x86_raise_error(fault, X86_VECTOR_NP, error);
    }
    if (type == X86_TYPE_TASK_GATE) {
        return x86_task_gate(cpu, (uint16_t)(descriptor->low >> 16), why, t->next, NULL, 0, fault);
    }
    return x86_task_switch(cpu, descriptor, why, t->next, NULL, 0, fault);
}

static bool far_transfer(struct x86_cpu *cpu, const struct transfer *t, struct x86_fault *fault)
{
    struct x86_descriptor descriptor;

    if (x86_real(cpu)) {
        return far_real(cpu, t, fault);
    }
    if (x86_null(t->selector)) {
        return x86_raise_error(fault, X86_VECTOR_GP, 0);
    }
    if (!x86_read_descriptor(cpu, t->selector, X86_VECTOR_GP, 0, &descriptor, fault)) {
        return false;
    }
    if (!(descriptor.high & X86_SEG_S)) {
        return far_system(cpu, t, &descriptor, fault);
    }
    if (!x86_is_code(descriptor.high)) {
        return x86_raise_error(fault, X86_VECTOR_GP, x86_selector_error(t->selector, 0));
    }
    return far_code(cpu, t, &descriptor, fault);
}

/* 9A, EA: immediate; FF /3, FF /5: memory. */
bool x86_sys_far(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    const struct native_insn *native = &insn->native;
    struct transfer t = {
        .call = native->opcode == 0x9a || (native->opcode == 0xff && (native->reg & 7) == 3),
        .size = native->opsize,
        .next = insn->pc + insn->length,
    };
    uint8_t pointer[10];

    if (native->opcode == 0xff) {
        if (!x86_operand_read(cpu, insn, 0, pointer, t.size + 2, fault)) {
            return false;
        }
        memcpy(&t.offset, pointer, t.size);
        memcpy(&t.selector, pointer + t.size, 2);
    } else {
        t.size = native->imm_size == 6 ? 4 : 2;
        t.offset = native->imm & x86_size_mask(t.size);
        t.selector = (uint16_t)(native->imm >> (8 * t.size));
    }
    return far_transfer(cpu, &t, fault);
}
