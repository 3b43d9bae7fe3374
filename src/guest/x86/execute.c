/* SPDX-License-Identifier: MIT
 *
 * The table of instructions that C executes in system mode, by opcode; what is around each. What is
 * not in it is looked for among the helpers of all modes (helpers.c). */
#include "guest/x86/internal.h"

static x86_helper_fn *const one_byte[256] = {
    [0x06] = x86_sys_push_seg,
    [0x07] = x86_sys_pop_seg,
    [0x0e] = x86_sys_push_seg,
    [0x16] = x86_sys_push_seg,
    [0x17] = x86_sys_pop_seg,
    [0x1e] = x86_sys_push_seg,
    [0x1f] = x86_sys_pop_seg,
    [0x27] = x86_sys_adjust_packed,
    [0x2f] = x86_sys_adjust_packed,
    [0x37] = x86_sys_adjust_unpacked,
    [0x3f] = x86_sys_adjust_unpacked,
    [0x50] = x86_sys_push,
    [0x58] = x86_sys_pop,
    [0x60] = x86_sys_pusha,
    [0x61] = x86_sys_popa,
    [0x62] = x86_sys_bound,
    [0x63] = x86_sys_arpl,
    [0x68] = x86_sys_push,
    [0x6a] = x86_sys_push,
    [0x6c ... 0x6d] = x86_sys_ins,
    [0x6e ... 0x6f] = x86_sys_outs,
    [0x8c] = x86_sys_mov_seg,
    [0x8e] = x86_sys_mov_to_seg,
    [0x8f] = x86_sys_pop_operand,
    [0x9a] = x86_sys_far,
    [0x9c] = x86_sys_pushf,
    [0x9d] = x86_sys_popf,
    [0xa4 ... 0xa7] = x86_sys_string,
    [0xaa ... 0xaf] = x86_sys_string,
    [0xc4 ... 0xc5] = x86_sys_far_pointer,
    [0xc8] = x86_sys_enter,
    [0xc9] = x86_sys_leave,
    [0xca ... 0xcb] = x86_sys_retf,
    [0xcc] = x86_sys_int3,
    [0xcd] = x86_sys_int,
    [0xce] = x86_sys_into,
    [0xcf] = x86_sys_iret,
    [0xd4] = x86_sys_aam,
    [0xd5] = x86_sys_aad,
    [0xd6] = x86_sys_salc,
    [0xd7] = x86_sys_xlat,
    [0xe4 ... 0xe5] = x86_sys_in,
    [0xe6 ... 0xe7] = x86_sys_out,
    [0xea] = x86_sys_far,
    [0xec ... 0xed] = x86_sys_in,
    [0xee ... 0xef] = x86_sys_out,
    [0xf1] = x86_sys_int1,
    [0xf4] = x86_sys_hlt,
    [0xfa] = x86_sys_cli,
    [0xfb] = x86_sys_sti,
    [0xfc ... 0xfd] = x86_sys_direction,
    [0xff] = x86_sys_push, /* and others: find() */
};

/* What has one helper for all its opcodes. */
static x86_helper_fn *const by_lowering[X86_LOWERINGS_COUNT] = {
    [X86_LOWER_JCC] = x86_sys_jcc,   [X86_LOWER_LOOP] = x86_sys_loop,
    [X86_LOWER_JMP] = x86_sys_jmp,   [X86_LOWER_JMP_R] = x86_sys_jmp,
    [X86_LOWER_CALL] = x86_sys_call, [X86_LOWER_CALL_R] = x86_sys_call,
    [X86_LOWER_RET] = x86_sys_ret,   [X86_LOWER_SEG_BASE] = x86_sys_seg_base,
};

static x86_helper_fn *const behind_0f[256] = {
    [0x00] = x86_sys_group6,
    [0x01] = x86_sys_group7,
    [0x02 ... 0x03] = x86_sys_lar_lsl,
    [0x05] = x86_sys_syscall,
    [0x06] = x86_sys_clts,
    [0x07] = x86_sys_sysret,
    [0x08 ... 0x09] = x86_sys_wbinvd,
    [0x20] = x86_sys_mov_from_cr,
    [0x21] = x86_sys_mov_from_dr,
    [0x22] = x86_sys_mov_to_cr,
    [0x23] = x86_sys_mov_to_dr,
    [0x30] = x86_sys_wrmsr,
    [0x31] = x86_sys_rdtsc,
    [0x32] = x86_sys_rdmsr,
    [0x33] = x86_sys_rdpmc,
    [0x34] = x86_sys_sysenter,
    [0x35] = x86_sys_sysexit,
    [0xa0] = x86_sys_push_seg,
    [0xa1] = x86_sys_pop_seg,
    [0xa3] = x86_sys_bit_string,
    [0xa8] = x86_sys_push_seg,
    [0xa9] = x86_sys_pop_seg,
    [0xab] = x86_sys_bit_string,
    [0xae] = x86_sys_clflush,
    [0xb2] = x86_sys_far_pointer,
    [0xb3] = x86_sys_bit_string,
    [0xb4 ... 0xb5] = x86_sys_far_pointer,
    [0xbb] = x86_sys_bit_string,
    [0xf7] = x86_sys_maskmov,
};

static x86_helper_fn *const behind_0f38[256] = {
    [0x82] = x86_sys_invpcid,
};

static x86_helper_fn *const vex_0f[256] = {
    [0xf7] = x86_sys_maskmov,
};

static x86_helper_fn *const vex_0f38[256] = {
    [0x2c ... 0x2f] = x86_sys_vmaskmov,
    [0x8c] = x86_sys_vmaskmov,
    [0x8e] = x86_sys_vmaskmov,
    [0x90 ... 0x93] = x86_sys_gather,
};

/* By encoding, map and opcode. */
static x86_helper_fn *look_up(const struct native_insn *native)
{
    static x86_helper_fn *const *const tables[2][4] = {
        {one_byte, behind_0f, behind_0f38, NULL},
        {NULL, vex_0f, vex_0f38, NULL},
    };
    x86_helper_fn *const *table = tables[native->vex][native->map];

    return table ? table[native->opcode] : NULL;
}

/* Opcodes that stand for several instructions: whether it is the one in the table. */
static bool is_meant(const struct x86_insn *insn)
{
    const struct native_insn *native = &insn->native;
    bool reg = native->modrm == NATIVE_MODRM_REG;

    if (native->vex) {
        return true;
    }
    if (native->map == NATIVE_MAP_ONE) {
        switch (native->opcode) {
        case 0x63: /* not MOVSXD */
            return !(native->attributes & NATIVE_REG_GPR) || native->opsize == 0;
        case 0xff: return native->reg == 6; /* PUSH; not INC, DEC */
        default: return true;
        }
    }
    if (native->map == NATIVE_MAP_0F) {
        switch (native->opcode) {
        case 0x01: /* not SERIALIZE, CLZERO */
            return !reg || !((native->reg == 5 && native->rm == 0) ||
                             (native->reg == 7 && native->rm == 4));
        case 0xa3:
        case 0xab:
        case 0xb3:
        case 0xbb: return !reg;
        case 0xae: return !reg && native->reg >= 6; /* not LDMXCSR and others */
        default: return true;
        }
    }
    return true;
}

static x86_helper_fn *find(const struct x86_insn *insn)
{
    const struct native_insn *native = &insn->native;

    if (by_lowering[insn->lowering]) {
        return by_lowering[insn->lowering];
    }
    switch (insn->lowering) {
    case X86_LOWER_FAR:
        if (native->opcode == 0xff) {
            return x86_sys_far;
        }
        break;
    case X86_LOWER_RDTSC:
        if (native->opcode == 0xc7) {
            return x86_sys_rdpid;
        }
        break;
    case X86_LOWER_CPUID:
    case X86_LOWER_XSAVE:
    case X86_LOWER_XRSTOR:
    case X86_LOWER_FXSAVE:
    case X86_LOWER_FNSTENV:
    case X86_LOWER_RANDOM: return x86_helpers[insn->lowering];
    default: break;
    }
    return is_meant(insn) ? look_up(native) : NULL;
}

bool x86_executes(const struct x86_insn *insn)
{
    return find(insn);
}

/* SDM vol. 2, 2.4 (AVX), vol. 3, 13.1 (SSE), 12.1 (MMX). */
static bool vectors_there(const struct x86_cpu *cpu, const struct native_insn *native,
                          struct x86_fault *fault)
{
    enum { SSE_AVX = 6 };
    uint64_t cr0 = cpu->system.cr0, cr4 = cpu->system.cr4;
    bool there;

    if (!(native->attributes & (NATIVE_VECTOR | NATIVE_X87))) {
        return true;
    }
    if (native->vex) {
        there = !x86_real(cpu) && cr4 & X86_CR4_OSXSAVE && (cpu->xcr0 & SSE_AVX) == SSE_AVX;
    } else {
        there =
            !(cr0 & X86_CR0_EM) && (!(native->attributes & NATIVE_VECTOR) || cr4 & X86_CR4_OSFXSR);
    }
    if (!there) {
        return x86_raise_ud(fault);
    }
    return !(cr0 & X86_CR0_TS) || x86_raise_plain(fault, X86_VECTOR_NM);
}

/* XSAVE and the like want the unit: #UD without OSXSAVE, #NM with TS (SDM vol. 2). */
static bool unit_there(const struct x86_cpu *cpu, const struct x86_insn *insn,
                       struct x86_fault *fault)
{
    uint64_t cr0 = cpu->system.cr0;

    switch (insn->lowering) {
    case X86_LOWER_XSAVE:
    case X86_LOWER_XRSTOR:
        if (!(cpu->system.cr4 & X86_CR4_OSXSAVE)) {
            return x86_raise_ud(fault);
        }
        return !(cr0 & X86_CR0_TS) || x86_raise_plain(fault, X86_VECTOR_NM);
    case X86_LOWER_FXSAVE:
    case X86_LOWER_FNSTENV:
        return !(cr0 & (X86_CR0_TS | X86_CR0_EM)) || x86_raise_plain(fault, X86_VECTOR_NM);
    default: return vectors_there(cpu, &insn->native, fault);
    }
}

/* Single step ends with an instruction that enters a handler: TF was cleared on the way. */
static bool steps(const struct x86_cpu *cpu, const struct x86_insn *insn)
{
    switch (insn->lowering) {
    case X86_LOWER_INT:
    case X86_LOWER_INT3:
    case X86_LOWER_SYSCALL:
    case X86_LOWER_SYSENTER: return cpu->system_flags & X86_FLAG_TF;
    default: return true;
    }
}

bool x86_execute(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    struct x86_system *system = &cpu->system;
    uint64_t before = cpu->system_flags, debug = system->pending_debug;
    uint8_t shadow = system->shadow;
    x86_helper_fn *help = find(insn);

    if (!help) {
        return x86_raise_ud(fault);
    }
    if (!unit_there(cpu, insn, fault)) {
        return false;
    }
    system->shadow = 0;
    cpu->system_flags &= ~(uint64_t)X86_FLAG_RF;
    if (!help(cpu, insn, fault)) {
        if (!fault->new_task) {
            system->shadow = shadow;
            cpu->system_flags |= before & X86_FLAG_RF;
            system->pending_debug = debug;
        }
        x86_update_mode(cpu);
        return false;
    }
    if (before & X86_FLAG_TF && steps(cpu, insn)) {
        system->pending_debug |= X86_DR6_BS;
    }
    x86_update_mode(cpu);
    return true;
}
