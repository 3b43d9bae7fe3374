/* SPDX-License-Identifier: MIT
 *
 * The table of instructions that C executes in system mode, by opcode; what is around each. What is
 * not in it is looked for among the helpers of all modes (helpers.c). */
#include "guest/x86/internal.h"

#include <string.h>

/* A row is for `count` opcodes. */
static const struct row {
    uint8_t map, opcode, count;
    x86_helper_fn *help;
} rows[] = {
    {NATIVE_MAP_ONE, 0x06, 1, x86_sys_push_seg},    {NATIVE_MAP_ONE, 0x07, 1, x86_sys_pop_seg},
    {NATIVE_MAP_ONE, 0x0e, 1, x86_sys_push_seg},    {NATIVE_MAP_ONE, 0x16, 1, x86_sys_push_seg},
    {NATIVE_MAP_ONE, 0x17, 1, x86_sys_pop_seg},     {NATIVE_MAP_ONE, 0x1e, 1, x86_sys_push_seg},
    {NATIVE_MAP_ONE, 0x1f, 1, x86_sys_pop_seg},     {NATIVE_MAP_ONE, 0x60, 1, x86_sys_pusha},
    {NATIVE_MAP_ONE, 0x61, 1, x86_sys_popa},        {NATIVE_MAP_ONE, 0x62, 1, x86_sys_bound},
    {NATIVE_MAP_ONE, 0x63, 1, x86_sys_arpl},        {NATIVE_MAP_ONE, 0x6c, 2, x86_sys_ins},
    {NATIVE_MAP_ONE, 0x6e, 2, x86_sys_outs},        {NATIVE_MAP_ONE, 0x8c, 1, x86_sys_mov_seg},
    {NATIVE_MAP_ONE, 0x8e, 1, x86_sys_mov_to_seg},  {NATIVE_MAP_ONE, 0x9a, 1, x86_sys_far},
    {NATIVE_MAP_ONE, 0x9c, 1, x86_sys_pushf},       {NATIVE_MAP_ONE, 0x9d, 1, x86_sys_popf},
    {NATIVE_MAP_ONE, 0xc4, 2, x86_sys_far_pointer}, {NATIVE_MAP_ONE, 0xc8, 1, x86_sys_enter},
    {NATIVE_MAP_ONE, 0xc9, 1, x86_sys_leave},       {NATIVE_MAP_ONE, 0xca, 2, x86_sys_retf},
    {NATIVE_MAP_ONE, 0xcc, 1, x86_sys_int3},        {NATIVE_MAP_ONE, 0xcd, 1, x86_sys_int},
    {NATIVE_MAP_ONE, 0xce, 1, x86_sys_into},        {NATIVE_MAP_ONE, 0xcf, 1, x86_sys_iret},
    {NATIVE_MAP_ONE, 0xe4, 2, x86_sys_in},          {NATIVE_MAP_ONE, 0xe6, 2, x86_sys_out},
    {NATIVE_MAP_ONE, 0xea, 1, x86_sys_far},         {NATIVE_MAP_ONE, 0xec, 2, x86_sys_in},
    {NATIVE_MAP_ONE, 0xee, 2, x86_sys_out},         {NATIVE_MAP_ONE, 0xf1, 1, x86_sys_int1},
    {NATIVE_MAP_ONE, 0xf4, 1, x86_sys_hlt},         {NATIVE_MAP_ONE, 0xfa, 1, x86_sys_cli},
    {NATIVE_MAP_ONE, 0xfb, 1, x86_sys_sti},         {NATIVE_MAP_ONE, 0xff, 1, x86_sys_far},
    {NATIVE_MAP_0F, 0x00, 1, x86_sys_group6},       {NATIVE_MAP_0F, 0x01, 1, x86_sys_group7},
    {NATIVE_MAP_0F, 0x02, 2, x86_sys_lar_lsl},      {NATIVE_MAP_0F, 0x05, 1, x86_sys_syscall},
    {NATIVE_MAP_0F, 0x06, 1, x86_sys_clts},         {NATIVE_MAP_0F, 0x07, 1, x86_sys_sysret},
    {NATIVE_MAP_0F, 0x08, 2, x86_sys_wbinvd},       {NATIVE_MAP_0F, 0x20, 1, x86_sys_mov_from_cr},
    {NATIVE_MAP_0F, 0x21, 1, x86_sys_mov_from_dr},  {NATIVE_MAP_0F, 0x22, 1, x86_sys_mov_to_cr},
    {NATIVE_MAP_0F, 0x23, 1, x86_sys_mov_to_dr},    {NATIVE_MAP_0F, 0x30, 1, x86_sys_wrmsr},
    {NATIVE_MAP_0F, 0x31, 1, x86_sys_rdtsc},        {NATIVE_MAP_0F, 0x32, 1, x86_sys_rdmsr},
    {NATIVE_MAP_0F, 0x33, 1, x86_sys_rdpmc},        {NATIVE_MAP_0F, 0x34, 1, x86_sys_sysenter},
    {NATIVE_MAP_0F, 0x35, 1, x86_sys_sysexit},      {NATIVE_MAP_0F, 0xa0, 1, x86_sys_push_seg},
    {NATIVE_MAP_0F, 0xa1, 1, x86_sys_pop_seg},      {NATIVE_MAP_0F, 0xa8, 1, x86_sys_push_seg},
    {NATIVE_MAP_0F, 0xa9, 1, x86_sys_pop_seg},      {NATIVE_MAP_0F, 0xb2, 1, x86_sys_far_pointer},
    {NATIVE_MAP_0F, 0xb4, 2, x86_sys_far_pointer},  {NATIVE_MAP_0F38, 0x82, 1, x86_sys_invpcid},
};

/* Opcodes that other instructions share. */
static bool is_meant(const struct x86_insn *insn)
{
    const struct native_insn *native = &insn->native;

    if (native->vex) {
        return false;
    }
    if (native->map == NATIVE_MAP_ONE && native->opcode == 0xff) {
        return insn->lowering == X86_LOWER_FAR;
    }
    if (native->map == NATIVE_MAP_ONE && native->opcode == 0x63) {
        return !(native->attributes & NATIVE_REG_GPR) || native->opsize == 0; /* not MOVSXD */
    }
    if (native->map == NATIVE_MAP_0F && native->opcode == 0x01) { /* SERIALIZE, CLZERO */
        bool reg = native->modrm == NATIVE_MODRM_REG;

        return !reg ||
               !((native->reg == 5 && native->rm == 0) || (native->reg == 7 && native->rm == 4));
    }
    return true;
}

static x86_helper_fn *find(const struct x86_insn *insn)
{
    const struct native_insn *native = &insn->native;

    switch (insn->lowering) {
    case X86_LOWER_SEG_BASE: return x86_sys_seg_base;
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
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (native->map == rows[i].map &&
            (uint8_t)(native->opcode - rows[i].opcode) < rows[i].count) {
            return is_meant(insn) ? rows[i].help : NULL;
        }
    }
    return NULL;
}

bool x86_executes(const struct x86_insn *insn)
{
    return find(insn);
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
    default: return true;
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
        if (cpu->state.pc == insn->pc) { /* else a task switch has come half the way */
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
