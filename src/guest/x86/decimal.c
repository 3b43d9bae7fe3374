/* SPDX-License-Identifier: MIT
 *
 * What 64-bit code does not have: decimal adjustment, and SALC (SDM vol. 2; SALC: vol. 2, appendix
 * A, D6). Flags that the manual leaves undefined become 0. */
#include "guest/x86/internal.h"

static uint8_t get_al(const struct x86_cpu *cpu)
{
    return (uint8_t)cpu->state.reg[X86_RAX];
}

static uint8_t get_ah(const struct x86_cpu *cpu)
{
    return (uint8_t)(cpu->state.reg[X86_RAX] >> 8);
}

static void set_al(struct x86_cpu *cpu, unsigned value)
{
    cpu->state.reg[X86_RAX] = (cpu->state.reg[X86_RAX] & ~UINT64_C(0xff)) | (value & 0xff);
}

static void set_ax(struct x86_cpu *cpu, unsigned ah, unsigned al)
{
    x86_set_gpr(cpu, X86_RAX, 2, (ah & 0xff) << 8 | (al & 0xff));
}

static bool flag(const struct x86_cpu *cpu, unsigned which)
{
    return cpu->state.flags & which;
}

/* AF and CF as given; SF, ZF and PF of AL, where they are defined. */
static void set_flags(struct x86_cpu *cpu, bool adjust, bool carry, bool of_al)
{
    uint8_t al = get_al(cpu);
    uint64_t flags = (adjust ? NATIVE_AF : 0) | (carry ? NATIVE_CF : 0);

    if (of_al) {
        flags |= (al & 0x80 ? NATIVE_SF : 0) | (al ? 0 : NATIVE_ZF) |
                 (__builtin_parity(al) ? 0 : NATIVE_PF);
    }
    cpu->state.flags = (cpu->state.flags & ~(uint64_t)NATIVE_ARITH) | flags;
}

static bool low_digit_too_large(const struct x86_cpu *cpu)
{
    return (get_al(cpu) & 15) > 9 || flag(cpu, NATIVE_AF);
}

/* DAA and DAS. */
bool x86_sys_adjust_packed(struct x86_cpu *cpu, const struct x86_insn *insn,
                           struct x86_fault *fault)
{
    enum { DAS = 0x2f };
    bool subtract = insn->native.opcode == DAS, adjust = low_digit_too_large(cpu), carry = false;
    uint8_t before = get_al(cpu);
    int al = before, digit = subtract ? -6 : 6;

    (void)fault;
    if (adjust) {
        al += digit;
        carry = subtract && (al < 0 || flag(cpu, NATIVE_CF));
    }
    if (before > 0x99 || flag(cpu, NATIVE_CF)) {
        al += 16 * digit;
        carry = true;
    }
    set_al(cpu, (unsigned)al);
    set_flags(cpu, adjust, carry, true);
    return x86_done(cpu, insn);
}

/* AAA and AAS. AAA adds 106h to AX, AAS takes 6 from AX and 1 from AH. */
bool x86_sys_adjust_unpacked(struct x86_cpu *cpu, const struct x86_insn *insn,
                             struct x86_fault *fault)
{
    enum { AAS = 0x3f };
    unsigned ax = (unsigned)x86_get_gpr(cpu, X86_RAX, 2);
    bool adjust = low_digit_too_large(cpu);

    (void)fault;
    if (adjust) {
        ax = insn->native.opcode == AAS ? ax - 6 - 0x100 : ax + 0x106;
    }
    set_ax(cpu, ax >> 8, ax & 15);
    set_flags(cpu, adjust, adjust, false);
    return x86_done(cpu, insn);
}

bool x86_sys_aam(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    unsigned base = insn->native.imm & 0xff, al = get_al(cpu);

    if (base == 0) {
        return x86_raise_plain(fault, X86_VECTOR_DE);
    }
    set_ax(cpu, al / base, al % base);
    set_flags(cpu, false, false, true);
    return x86_done(cpu, insn);
}

bool x86_sys_aad(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    unsigned base = insn->native.imm & 0xff;

    (void)fault;
    set_ax(cpu, 0, get_al(cpu) + get_ah(cpu) * base);
    set_flags(cpu, false, false, true);
    return x86_done(cpu, insn);
}

bool x86_sys_salc(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    (void)fault;
    set_al(cpu, flag(cpu, NATIVE_CF) ? 0xff : 0);
    return x86_done(cpu, insn);
}
