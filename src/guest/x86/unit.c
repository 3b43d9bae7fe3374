/* SPDX-License-Identifier: MIT
 *
 * Whether the x87 and vector units may be used. */
#include "guest/x86/unit.h"

#include "guest/x86/helpers.h"
#include "guest/x86/system.h"

enum { WAIT = 0x9b, XCR0_AVX = 2 };

static bool raises(unsigned *vector, enum x86_vector which)
{
    *vector = which;
    return false;
}

/* VEX needs protected mode and AVX state that the system has enabled; of what works on general
 * registers (BMI) only the first. */
static bool vex_allowed(uint32_t mode, const struct native_insn *n, unsigned *vector)
{
    if (!(mode & X86_MODE_PROTECTED) || mode & X86_MODE_V86)
        return raises(vector, X86_VECTOR_UD);
    if (!(n->attributes & NATIVE_VECTOR))
        return true;
    if (!(mode & X86_MODE_OSXSAVE) || (mode >> X86_MODE_XCR0_SHIFT & 3) != XCR0_AVX)
        return raises(vector, X86_VECTOR_UD);
    return !(mode & X86_MODE_TS) || raises(vector, X86_VECTOR_NM);
}

bool x86_unit_allowed(uint32_t mode, const struct x86_insn *insn, unsigned *vector)
{
    const struct native_insn *n = &insn->native;

    if (n->vex)
        return vex_allowed(mode, n, vector);
    if (n->map == NATIVE_MAP_ONE && n->opcode == WAIT)
        return (~mode & (X86_MODE_MP | X86_MODE_TS)) || raises(vector, X86_VECTOR_NM);
    if (!(n->attributes & (NATIVE_X87 | NATIVE_VECTOR)))
        return true;
    if (n->map == NATIVE_MAP_ONE) /* x87 */
        return !(mode & (X86_MODE_EM | X86_MODE_TS)) || raises(vector, X86_VECTOR_NM);
    if (mode & X86_MODE_EM)
        return raises(vector, X86_VECTOR_UD);
    if (n->attributes & NATIVE_VECTOR && !(mode & X86_MODE_OSFXSR))
        return raises(vector, X86_VECTOR_UD);
    return !(mode & X86_MODE_TS) || raises(vector, X86_VECTOR_NM);
}
