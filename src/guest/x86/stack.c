/* SPDX-License-Identifier: MIT
 *
 * PUSH, POP, and near branches (SDM vol. 2). Where a branch goes is checked before anything
 * changes: it is the branch that faults. */
#include "guest/x86/internal.h"

/* --- operands */

/* r/m, the register in the opcode, or an immediate. */
static bool read_operand(struct x86_cpu *cpu, const struct x86_insn *insn, uint64_t *value,
                         struct x86_fault *fault)
{
    const struct native_insn *native = &insn->native;

    *value = 0;
    if (native->modrm == NATIVE_MODRM_MEM) {
        return x86_operand_read(cpu, insn, 0, value, native->opsize, fault);
    }
    *value = native->imm_size ? native->imm : x86_get_gpr(cpu, native->rm, native->opsize);
    return true;
}

bool x86_sys_push(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    struct x86_stack stack;
    uint64_t value;

    x86_stack_open(cpu, &stack);
    if (!read_operand(cpu, insn, &value, fault) ||
        !x86_push(cpu, &stack, insn->native.opsize, &value, 1, fault)) {
        return false;
    }
    x86_stack_close(cpu, &stack);
    return x86_done(cpu, insn);
}

/* To a register: POP SP has what was popped. */
bool x86_sys_pop(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    struct x86_stack stack;
    uint64_t value;

    x86_stack_open(cpu, &stack);
    if (!x86_pop(cpu, &stack, insn->native.opsize, &value, 1, fault)) {
        return false;
    }
    x86_stack_close(cpu, &stack);
    x86_set_gpr(cpu, insn->native.rm, insn->native.opsize, value);
    return x86_done(cpu, insn);
}

/* To r/m: an address with rSP has the new one. */
bool x86_sys_pop_operand(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    uint64_t before = cpu->state.reg[X86_RSP], value;
    struct x86_stack stack;

    if (insn->native.modrm == NATIVE_MODRM_REG) {
        return x86_sys_pop(cpu, insn, fault);
    }
    x86_stack_open(cpu, &stack);
    if (!x86_pop(cpu, &stack, insn->native.opsize, &value, 1, fault)) {
        return false;
    }
    x86_stack_close(cpu, &stack);
    if (!x86_operand_write(cpu, insn, 0, &value, insn->native.opsize, fault)) {
        cpu->state.reg[X86_RSP] = before;
        return false;
    }
    return x86_done(cpu, insn);
}

/* --- near branches */

/* With an operand size of 16 IP has 16 bits. */
static bool check_near(const struct x86_cpu *cpu, const struct x86_insn *insn, uint64_t *target,
                       struct x86_fault *fault)
{
    *target &= x86_size_mask(insn->native.opsize);
    return x86_check_target(cpu, &cpu->system.segment[NATIVE_CS], *target, 0, fault);
}

static bool jump_relative(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    uint64_t target = insn->target;

    if (!check_near(cpu, insn, &target, fault)) {
        return false;
    }
    cpu->state.pc = target;
    return true;
}

/* The sixteen conditions are eight and their opposites. */
static bool condition_holds(uint64_t flags, unsigned condition)
{
    bool less = !(flags & NATIVE_SF) != !(flags & NATIVE_OF), holds = false;

    switch (condition >> 1 & 7) {
    case 0: holds = flags & NATIVE_OF; break;
    case 1: holds = flags & NATIVE_CF; break;
    case 2: holds = flags & NATIVE_ZF; break;
    case 3: holds = flags & (NATIVE_CF | NATIVE_ZF); break;
    case 4: holds = flags & NATIVE_SF; break;
    case 5: holds = flags & NATIVE_PF; break;
    case 6: holds = less; break;
    default: holds = less || flags & NATIVE_ZF; break;
    }
    return holds != (condition & 1);
}

bool x86_sys_jcc(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    return condition_holds(cpu->state.flags, insn->native.opcode & 15)
               ? jump_relative(cpu, insn, fault)
               : x86_done(cpu, insn);
}

/* LOOPNE, LOOPE, LOOP, JCXZ. */
bool x86_sys_loop(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    enum { LOOPNE = 0xe0, LOOPE, LOOP };
    unsigned opcode = insn->native.opcode, width = x86_address_size(cpu, insn);
    uint64_t count = x86_get_gpr(cpu, X86_RCX, width);
    bool equal = cpu->state.flags & NATIVE_ZF, taken;

    if (opcode > LOOP) {
        return count == 0 ? jump_relative(cpu, insn, fault) : x86_done(cpu, insn);
    }
    taken = count != 1 && (opcode == LOOP || equal == (opcode == LOOPE));
    if (!(taken ? jump_relative(cpu, insn, fault) : x86_done(cpu, insn))) {
        return false;
    }
    x86_set_gpr(cpu, X86_RCX, width, count - 1);
    return true;
}

/* Relative, or to r/m. */
static bool find_target(struct x86_cpu *cpu, const struct x86_insn *insn, uint64_t *target,
                        struct x86_fault *fault)
{
    *target = insn->target;
    return (insn->native.modrm == NATIVE_MODRM_NONE || read_operand(cpu, insn, target, fault)) &&
           check_near(cpu, insn, target, fault);
}

bool x86_sys_jmp(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    uint64_t target;

    if (!find_target(cpu, insn, &target, fault)) {
        return false;
    }
    cpu->state.pc = target;
    return true;
}

bool x86_sys_call(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    uint64_t target, next = insn->pc + insn->length;
    struct x86_stack stack;

    x86_stack_open(cpu, &stack);
    if (!find_target(cpu, insn, &target, fault)) {
        return false;
    }
    x86_turn_done(cpu); /* what was read is told before the push */
    if (!x86_push(cpu, &stack, insn->native.opsize, &next, 1, fault)) {
        return false;
    }
    x86_stack_close(cpu, &stack);
    cpu->state.pc = target;
    return true;
}

bool x86_sys_ret(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    uint64_t release = insn->native.imm_size ? insn->native.imm : 0, target;
    struct x86_stack stack;

    x86_stack_open(cpu, &stack);
    if (!x86_pop(cpu, &stack, insn->native.opsize, &target, 1, fault) ||
        !check_near(cpu, insn, &target, fault)) {
        return false;
    }
    stack.sp += release;
    x86_stack_close(cpu, &stack);
    cpu->state.pc = target;
    return true;
}
