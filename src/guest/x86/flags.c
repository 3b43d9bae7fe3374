/* SPDX-License-Identifier: MIT
 *
 * RFLAGS in system mode: CLI, STI, PUSHF, POPF with IOPL, virtual-8086 and protected-mode virtual
 * interrupts (SDM vol. 3, 20.3, 20.4), CLAC and STAC; HLT, MONITOR, MWAIT. */
#include <string.h>

#include "guest/x86/cpuid.h"
#include "guest/x86/internal.h"

void x86_change_rflags(struct x86_cpu *cpu, uint64_t value, uint64_t mask)
{
    x86_set_rflags(cpu, (x86_get_rflags(cpu) & ~mask) | (value & mask));
}

static bool refuse(struct x86_fault *fault)
{
    return x86_raise_error(fault, X86_VECTOR_GP, 0);
}

/* Which flag CLI and STI mean; 0: none, they fault. */
static uint64_t interrupt_flag(const struct x86_cpu *cpu)
{
    if (!x86_protected(cpu) || (x86_v86(cpu) ? 3 : cpu->system.cpl) <= x86_iopl(cpu)) {
        return X86_FLAG_IF;
    }
    if (x86_v86(cpu)) {
        return cpu->system.cr4 & X86_CR4_VME ? X86_FLAG_VIF : 0;
    }
    return cpu->system.cr4 & X86_CR4_PVI && cpu->system.cpl == 3 ? X86_FLAG_VIF : 0;
}

bool x86_sys_cli(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    uint64_t flag = interrupt_flag(cpu);

    if (!flag) {
        return refuse(fault);
    }
    x86_change_rflags(cpu, 0, flag);
    return x86_done(cpu, insn);
}

bool x86_sys_sti(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    uint64_t flag = interrupt_flag(cpu);

    if (!flag || (flag == X86_FLAG_VIF && cpu->system_flags & X86_FLAG_VIP)) {
        return refuse(fault);
    }
    if (flag == X86_FLAG_IF && !(cpu->system_flags & X86_FLAG_IF)) {
        cpu->system.shadow |= X86_SHADOW_STI;
    }
    x86_change_rflags(cpu, flag, flag);
    return x86_done(cpu, insn);
}

/* CLD, STD. */
bool x86_sys_direction(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    (void)fault;
    if (insn->native.opcode & 1) {
        cpu->state.flags |= NATIVE_DF;
    } else {
        cpu->state.flags &= ~(uint64_t)NATIVE_DF;
    }
    return x86_done(cpu, insn);
}

/* CLAC is 0F 01 CA, STAC CB. */
bool x86_sys_ac(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    if (cpu->system.cpl || x86_v86(cpu) || !x86_has(&cpu->model->features, X86_FEATURE_SMAP)) {
        return x86_raise_ud(fault);
    }
    x86_change_rflags(cpu, insn->native.rm & 1 ? X86_FLAG_AC : 0, X86_FLAG_AC);
    return x86_done(cpu, insn);
}

/* --- PUSHF, POPF */

static unsigned flags_size(const struct x86_cpu *cpu, const struct x86_insn *insn)
{
    return insn->native.opsize == 2 ? 2 : x86_code64(cpu) ? 8 : 4;
}

bool x86_sys_pushf(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    uint64_t value = x86_get_rflags(cpu) & ~(uint64_t)(X86_FLAG_VM | X86_FLAG_RF);
    unsigned size = flags_size(cpu, insn);
    struct x86_stack stack;

    if (x86_v86(cpu) && x86_iopl(cpu) < 3) {
        if (!(cpu->system.cr4 & X86_CR4_VME) || size != 2) {
            return refuse(fault);
        }
        value = (value & ~(uint64_t)X86_FLAG_IF) | X86_FLAG_IOPL;
        value |= cpu->system_flags & X86_FLAG_VIF ? X86_FLAG_IF : 0;
    }
    x86_stack_open(cpu, &stack);
    if (!x86_push(cpu, &stack, size, &value, 1, fault)) {
        return false;
    }
    x86_stack_close(cpu, &stack);
    return x86_done(cpu, insn);
}

/* Bits that POPF changes (SDM vol. 2, table 4-16). */
static uint64_t popped_flags(const struct x86_cpu *cpu, unsigned size)
{
    uint64_t mask = NATIVE_ARITH | NATIVE_DF | X86_FLAG_TF | X86_FLAG_NT;

    mask |= size > 2 ? X86_FLAG_AC | X86_FLAG_ID : 0;
    if (!x86_protected(cpu) || cpu->system.cpl == 0) {
        return mask | X86_FLAG_IOPL | X86_FLAG_IF;
    }
    return mask | (cpu->system.cpl <= x86_iopl(cpu) ? X86_FLAG_IF : 0);
}

bool x86_sys_popf(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    unsigned size = flags_size(cpu, insn);
    uint64_t value, mask = popped_flags(cpu, size);
    bool vme = x86_v86(cpu) && x86_iopl(cpu) < 3;
    struct x86_stack stack;

    if (vme && (!(cpu->system.cr4 & X86_CR4_VME) || size != 2)) {
        return refuse(fault);
    }
    x86_stack_open(cpu, &stack);
    if (!x86_pop(cpu, &stack, size, &value, 1, fault)) {
        return false;
    }
    if (vme) {
        if (value & X86_FLAG_TF || (value & X86_FLAG_IF && cpu->system_flags & X86_FLAG_VIP)) {
            return refuse(fault);
        }
        mask = (mask & ~(uint64_t)X86_FLAG_IF) | X86_FLAG_VIF;
        value |= value & X86_FLAG_IF ? X86_FLAG_VIF : 0;
    }
    x86_stack_close(cpu, &stack);
    x86_change_rflags(cpu, value, mask);
    return x86_done(cpu, insn);
}

/* --- waiting */

bool x86_sys_hlt(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    if (cpu->system.cpl) {
        return refuse(fault);
    }
    x86_set_activity(cpu, X86_HALTED);
    return x86_done(cpu, insn);
}

static bool monitor_line(struct x86_cpu *cpu, uint8_t line[64])
{
    x86_physical_read(cpu, cpu->system.monitor_physical, line, 64);
    return memcmp(line, cpu->system.monitor_line, 64) != 0;
}

bool x86_monitor_changed(struct x86_cpu *cpu)
{
    uint8_t line[64];

    return !cpu->system.monitor_armed || monitor_line(cpu, line);
}

/* The line at DS:rAX, segment override allowed; a load as far as faults go. */
bool x86_sys_monitor(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    uint64_t offset = x86_get_gpr(cpu, X86_RAX, x86_address_size(cpu, insn)), linear;
    struct x86_segment segment = cpu->system.segment[insn->native.segment];
    bool wide = x86_code64(cpu);
    struct x86_walk walk;

    if (cpu->system.cpl) {
        return x86_raise_ud(fault);
    }
    if ((uint32_t)cpu->state.reg[X86_RCX]) {
        return refuse(fault);
    }
    if (wide && insn->native.segment < NATIVE_FS) {
        segment.base = 0;
    }
    if (!x86_segment_linear(cpu, &segment, insn->native.segment == NATIVE_SS, 0, wide, offset, 1,
                            X86_ACCESS_READ, &linear, fault) ||
        !x86_walk(cpu, linear, X86_ACCESS_READ, &walk, fault)) {
        return false;
    }
    cpu->system.monitor_physical = walk.physical & ~UINT64_C(63);
    cpu->system.monitor_armed = true;
    monitor_line(cpu, cpu->system.monitor_line);
    return x86_done(cpu, insn);
}

/* ECX bit 0: interrupts wake though they are masked; without that extension it is #GP. */
bool x86_sys_mwait(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    if (cpu->system.cpl) {
        return x86_raise_ud(fault);
    }
    if ((uint32_t)cpu->state.reg[X86_RCX]) {
        return refuse(fault);
    }
    if (!x86_monitor_changed(cpu)) {
        x86_set_activity(cpu, X86_MWAITING);
    }
    cpu->system.monitor_armed &= cpu->system.activity == X86_MWAITING;
    return x86_done(cpu, insn);
}
