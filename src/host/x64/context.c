/* SPDX-License-Identifier: MIT
 *
 * Interrupted code: what a signal handler reads and changes in the context that the kernel gave it.
 */
#include <string.h>
#include <ucontext.h>

#include "host/x64/internal.h"

enum { TRAP_FLAG = 0x100 };

/* Places of the general registers in the context, in the order of their numbers. */
static const uint8_t place[16] = {
    REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
    REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
};

uint64_t x64_context_pc(const void *ucontext)
{
    const ucontext_t *context = ucontext;

    return (uint64_t)context->uc_mcontext.gregs[REG_RIP];
}

/* LAHF's AH and SETO's AL to flags. */
static uint64_t flags_of(uint64_t ax)
{
    enum { LOW = NATIVE_SF | NATIVE_ZF | NATIVE_AF | NATIVE_PF | NATIVE_CF };

    return (ax >> 8 & LOW) | (ax & 1 ? NATIVE_OF : 0);
}

void x64_context_recover(void *ucontext, const struct ir_state *state, const struct ir_point *point)
{
    ucontext_t *context = ucontext;
    greg_t *regs = context->uc_mcontext.gregs;

    for (unsigned reg = 0; reg < 16; reg++)
        if (point->saved >> reg & 1)
            regs[place[reg]] = (greg_t)state->reg[reg];
    if (point->flags & IR_POINT_BASE_ADDED)
        regs[REG_RSI] -= (greg_t)state->other_base;
    if (point->flags & IR_POINT_FLAGS)
        regs[REG_EFL] = (greg_t)(((uint64_t)regs[REG_EFL] & ~(uint64_t)NATIVE_ARITH) |
                                 flags_of(state->host[X64_FLAGS]));
}

void x64_context_go(void *ucontext, uint64_t pc)
{
    ucontext_t *context = ucontext;

    context->uc_mcontext.gregs[REG_RIP] = (greg_t)pc;
}

void x64_context_step(void *ucontext, bool on)
{
    ucontext_t *context = ucontext;

    if (on)
        context->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
    else
        context->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
}

void x64_context_fault(const void *ucontext, uint32_t *vector, uint32_t *error)
{
    const ucontext_t *context = ucontext;

    *vector = (uint32_t)context->uc_mcontext.gregs[REG_TRAPNO];
    *error = (uint32_t)context->uc_mcontext.gregs[REG_ERR];
}
