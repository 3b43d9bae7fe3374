/* SPDX-License-Identifier: MIT
 *
 * Stack frames: ENTER, LEAVE, PUSHA, POPA (SDM vol. 2). */
#include <string.h>

#include "guest/x86/internal.h"

enum { REGISTERS = 8, LEVELS = 32 };

static unsigned frame_size(const struct x86_cpu *cpu, const struct x86_insn *insn)
{
    return insn->native.opsize == 2 ? 2 : x86_code64(cpu) ? 8 : 4;
}

/* An older frame pointer at `at`, as it is when `count` values have been pushed, which may lie over
 * it. */
static bool read_pointer(struct x86_cpu *cpu, const struct x86_stack *stack, uint64_t at,
                         unsigned size, uint64_t *values, unsigned count, struct x86_fault *fault)
{
    struct x86_stack old = *stack;
    uint64_t mask = x86_size_mask(stack->width);
    uint8_t bytes[8];

    old.sp = at;
    if (!x86_pop(cpu, &old, size, &values[count], 1, fault)) {
        return false;
    }
    memcpy(bytes, &values[count], sizeof bytes);
    for (unsigned i = 0; i < size; i++) {
        uint64_t below = (stack->sp - 1 - at - i) & mask; /* bytes from the first that was pushed */

        if (below < (uint64_t)count * size) {
            bytes[i] = (uint8_t)(values[below / size] >> 8 * (size - 1 - below % size));
        }
    }
    memcpy(&values[count], bytes, sizeof bytes);
    return true;
}

/* The nested frame pointers lie below the one in rBP; the new frame's last byte is probed too. */
bool x86_sys_enter(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    unsigned size = frame_size(cpu, insn), level = insn->native.imm >> 16 & (LEVELS - 1);
    unsigned count = 0;
    uint64_t values[LEVELS + 2], mask, bp, frame;
    struct x86_stack stack, old;

    x86_stack_open(cpu, &stack);
    mask = x86_size_mask(stack.width);
    bp = cpu->state.reg[X86_RBP] & mask;
    frame = (stack.sp - size) & mask;
    values[count++] = cpu->state.reg[X86_RBP];
    for (unsigned i = 1; i < level; i++) {
        bp = (bp - size) & mask;
        if (!read_pointer(cpu, &stack, bp, size, values, count++, fault)) {
            return false;
        }
    }
    if (level) {
        values[count++] = frame;
    }
    old = stack;
    old.sp = (stack.sp - count * size - (insn->native.imm & 0xffff)) & mask;
    if (!x86_seg_probe(cpu, NATIVE_SS, old.sp, 1, fault) ||
        !x86_push(cpu, &stack, size, values, count, fault)) {
        return false;
    }
    x86_stack_close(cpu, &old);
    x86_set_gpr(cpu, X86_RBP, size, frame);
    return x86_done(cpu, insn);
}

bool x86_sys_leave(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    struct x86_stack stack;
    uint64_t value;

    x86_stack_open(cpu, &stack);
    stack.sp = x86_get_gpr(cpu, X86_RBP, stack.width);
    if (!x86_pop(cpu, &stack, frame_size(cpu, insn), &value, 1, fault)) {
        return false;
    }
    x86_stack_close(cpu, &stack);
    x86_set_gpr(cpu, X86_RBP, frame_size(cpu, insn), value);
    return x86_done(cpu, insn);
}

bool x86_sys_pusha(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    struct x86_stack stack;

    x86_stack_open(cpu, &stack);
    if (!x86_push(cpu, &stack, frame_size(cpu, insn), cpu->state.reg, REGISTERS, fault)) {
        return false;
    }
    x86_stack_close(cpu, &stack);
    return x86_done(cpu, insn);
}

bool x86_sys_popa(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    unsigned size = frame_size(cpu, insn);
    uint64_t values[REGISTERS];
    struct x86_stack stack;

    x86_stack_open(cpu, &stack);
    if (!x86_pop(cpu, &stack, size, values, REGISTERS, fault)) {
        return false;
    }
    for (unsigned i = 0; i < REGISTERS; i++) {
        unsigned number = REGISTERS - 1 - i;

        if (number != X86_RSP) {
            x86_set_gpr(cpu, number, size, values[i]);
        }
    }
    x86_stack_close(cpu, &stack);
    return x86_done(cpu, insn);
}
