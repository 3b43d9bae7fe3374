/* SPDX-License-Identifier: MIT
 *
 * Fast system calls (SDM vol. 2, SYSCALL, SYSRET, SYSENTER, SYSEXIT; APM vol. 2, 6.1), SWAPGS. */
#include <string.h>

#include "guest/x86/cpuid.h"
#include "guest/x86/internal.h"

enum { SYSENTER_USER_32 = 16, SYSENTER_USER_64 = 32, STACK_AFTER_CODE = 8 };

static bool refuse(struct x86_fault *fault)
{
    return x86_raise_error(fault, X86_VECTOR_GP, 0);
}

static bool is_amd(const struct x86_cpu *cpu)
{
    return strcmp(cpu->model->vendor, "AuthenticAMD") == 0;
}

/* Flat segments of a privilege level. */
static void load_flat(struct x86_cpu *cpu, uint16_t code, uint16_t stack, bool wide, unsigned cpl)
{
    struct x86_segment cs, ss;

    cs = x86_flat_segment((uint16_t)((code & ~3) | cpl), wide ? X86_FLAT_CODE64 : X86_FLAT_CODE32);
    ss = x86_flat_segment((uint16_t)((stack & ~3) | cpl), X86_FLAT_DATA);
    x86_set_segment(cpu, NATIVE_CS, &cs);
    x86_set_segment(cpu, NATIVE_SS, &ss);
    cpu->system.cpl = (uint8_t)cpl;
}

/* Only AMD's have it outside 64-bit mode. */
bool x86_sys_syscall(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    const struct x86_msrs *msr = &cpu->system.msr;
    uint64_t next = insn->pc + insn->length, rflags = x86_get_rflags(cpu);
    uint16_t code = (uint16_t)(msr->star >> 32);

    if (!(cpu->system.efer & X86_EFER_SCE) || !x86_protected(cpu) ||
        (!x86_code64(cpu) && !is_amd(cpu))) {
        return x86_raise_ud(fault);
    }
    if (!x86_long(cpu)) {
        x86_set_gpr(cpu, X86_RCX, 4, next);
        x86_change_rflags(cpu, 0, X86_FLAG_VM | X86_FLAG_IF | X86_FLAG_RF);
        load_flat(cpu, code, (uint16_t)(code + STACK_AFTER_CODE), false, 0);
        cpu->state.pc = (uint32_t)msr->star;
        return true;
    }
    cpu->state.reg[X86_RCX] = next;
    cpu->state.reg[X86_R11] = rflags & ~(uint64_t)X86_FLAG_RF;
    cpu->state.pc = x86_code64(cpu) ? msr->lstar : msr->cstar;
    x86_set_rflags(cpu, rflags & ~msr->sfmask & ~(uint64_t)X86_FLAG_RF);
    load_flat(cpu, code, (uint16_t)(code + STACK_AFTER_CODE), true, 0);
    return true;
}

/* AMD's leave the attributes of SS alone; systems set them by the next interrupt's return. */
bool x86_sys_sysret(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    enum { WIDE_AFTER = 16 };
    bool wide = insn->native.opsize == 8;
    uint16_t base = (uint16_t)(cpu->system.msr.star >> 48);
    uint64_t pc = cpu->state.reg[X86_RCX];

    if (!(cpu->system.efer & X86_EFER_SCE) || !x86_protected(cpu) ||
        (!x86_code64(cpu) && !is_amd(cpu))) {
        return x86_raise_ud(fault);
    }
    if (cpu->system.cpl || (wide && !x86_is_canonical(pc))) {
        return refuse(fault);
    }
    if (x86_long(cpu)) {
        x86_set_rflags(cpu, (cpu->state.reg[X86_R11] & 0x3c7fd7) | X86_FLAG_ONE);
    } else {
        x86_change_rflags(cpu, X86_FLAG_IF, X86_FLAG_IF);
    }
    load_flat(cpu, (uint16_t)(wide ? base + WIDE_AFTER : base), (uint16_t)(base + STACK_AFTER_CODE),
              wide, 3);
    cpu->state.pc = wide ? pc : (uint32_t)pc;
    return true;
}

bool x86_sys_sysenter(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    const struct x86_msrs *msr = &cpu->system.msr;
    uint16_t code = (uint16_t)msr->sysenter_cs;
    bool wide = x86_long(cpu);

    (void)insn;
    if (wide && is_amd(cpu)) {
        return x86_raise_ud(fault);
    }
    if (!x86_protected(cpu) || x86_null(code)) {
        return refuse(fault);
    }
    x86_change_rflags(cpu, 0, X86_FLAG_VM | X86_FLAG_IF | X86_FLAG_RF);
    load_flat(cpu, code, (uint16_t)((code & ~3) + STACK_AFTER_CODE), wide, 0);
    cpu->state.reg[X86_RSP] = wide ? msr->sysenter_esp : (uint32_t)msr->sysenter_esp;
    cpu->state.pc = wide ? msr->sysenter_eip : (uint32_t)msr->sysenter_eip;
    return true;
}

bool x86_sys_sysexit(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    uint16_t code = (uint16_t)cpu->system.msr.sysenter_cs;
    uint64_t pc = cpu->state.reg[X86_RDX], sp = cpu->state.reg[X86_RCX];
    bool wide = insn->native.opsize == 8;

    if (cpu->system.cpl) {
        return refuse(fault);
    }
    if (x86_long(cpu) && is_amd(cpu)) {
        return x86_raise_ud(fault);
    }
    if (!x86_protected(cpu) || x86_null(code) ||
        (wide && !(x86_is_canonical(pc) && x86_is_canonical(sp)))) {
        return refuse(fault);
    }
    code = (uint16_t)((code & ~3) + (wide ? SYSENTER_USER_64 : SYSENTER_USER_32));
    load_flat(cpu, code, (uint16_t)(code + STACK_AFTER_CODE), wide, 3);
    cpu->state.reg[X86_RSP] = wide ? sp : (uint32_t)sp;
    cpu->state.pc = wide ? pc : (uint32_t)pc;
    return true;
}

bool x86_sys_swapgs(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    uint64_t base = cpu->system.segment[NATIVE_GS].base;

    if (!x86_code64(cpu)) {
        return x86_raise_ud(fault);
    }
    if (cpu->system.cpl) {
        return refuse(fault);
    }
    x86_set_segment_base(cpu, NATIVE_GS, cpu->system.msr.kernel_gs_base);
    cpu->system.msr.kernel_gs_base = base;
    return x86_done(cpu, insn);
}
