/* SPDX-License-Identifier: MIT
 *
 * Branches to where no code can be. The CPU raises #GP at the branch, which then has done nothing
 * (SDM vol. 2, JMP, CALL, RET; APM vol. 1, 3.7.10). Translated code finds out when it is too late:
 * the branch is taken back. */
#include "guest/x86/cpuid.h"
#include "guest/x86/guest.h"
#include "guest/x86/helpers.h"

enum { SLOT = 8, LOOP_LAST = 0xe2 };

bool x86_impossible_pc(uint64_t pc)
{
    return !x86_is_canonical(pc);
}

static bool holds(struct x86_cpu *cpu, const struct x86_insn *insn, uint64_t address,
                  uint64_t wanted)
{
    struct x86_fault fault;
    uint64_t value;

    return x86_read(cpu, insn, address, &value, sizeof value, &fault) && value == wanted;
}

/* Whether JMP or CALL r/m leads to the target, with the registers that it began with. */
static bool operand_leads(struct x86_cpu *cpu, const struct x86_insn *insn, uint64_t target)
{
    const struct native_insn *native = &insn->native;

    return native->modrm == NATIVE_MODRM_REG
               ? cpu->state.reg[native->rm] == target
               : holds(cpu, insn, x86_effective_address(cpu, insn), target);
}

/* Whether CALL has pushed over its operand: what led there is not there any more. */
static bool is_overwritten(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    return insn->native.modrm == NATIVE_MODRM_MEM &&
           x86_effective_address(cpu, insn) - cpu->state.reg[X86_RSP] + 2 * SLOT - 1 < 2 * SLOT - 1;
}

/* What the branch has added to RSP; false: it cannot have led there. */
static bool can_have_led(struct x86_cpu *cpu, const struct x86_insn *insn, uint64_t target,
                         int64_t *moved)
{
    uint64_t *rsp = &cpu->state.reg[X86_RSP], back = insn->pc + insn->length;
    bool leads;

    *moved = 0;
    switch (insn->lowering) {
    case X86_LOWER_JCC:
    case X86_LOWER_LOOP:
    case X86_LOWER_JMP: return insn->target == target;
    case X86_LOWER_CALL: *moved = -SLOT; return insn->target == target;
    case X86_LOWER_JMP_R: return operand_leads(cpu, insn, target);
    case X86_LOWER_RET:
        *moved = SLOT + (int64_t)(insn->native.imm & 0xffff);
        return holds(cpu, insn, *rsp - (uint64_t)*moved, target);
    case X86_LOWER_CALL_R:
        if (!holds(cpu, insn, *rsp, back))
            return false;
        *moved = -SLOT;
        *rsp += SLOT;
        leads = is_overwritten(cpu, insn) || operand_leads(cpu, insn, target);
        *rsp -= SLOT;
        return leads;
    default: return false;
    }
}

enum ir_led x86_led_there(const void *config, void *state, const uint8_t *bytes, size_t size,
                          uint64_t pc, bool undo, struct ir_fault *fault)
{
    const struct x86_model *model = config;
    struct x86_cpu *cpu = state;
    struct x86_insn insn;
    int64_t moved;

    if (x86_decode(X86_MODE_64, &model->features, bytes, size, pc, &insn) != X86_DECODE_OK ||
        !can_have_led(cpu, &insn, cpu->state.pc, &moved))
        return IR_LED_NOT;
    if (!undo) /* a call is known by the return address too */
        return insn.lowering == X86_LOWER_CALL_R ? IR_LED_SURELY : IR_LED_MAYBE;
    cpu->state.reg[X86_RSP] -= (uint64_t)moved;
    if (insn.lowering == X86_LOWER_LOOP && insn.native.opcode <= LOOP_LAST)
        cpu->state.reg[X86_RCX]++;
    cpu->state.pc = pc;
    *fault = (struct ir_fault){.vector = X86_VECTOR_GP};
    return IR_LED_SURELY;
}
