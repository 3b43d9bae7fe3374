/* SPDX-License-Identifier: MIT
 *
 * Whether the x87 and vector units may be used (SDM vol. 3, 2.5 and tables 13-1 and 14-2; vol. 2,
 * 2.4, exception classes).
 */
#ifndef GUEST_X86_UNIT_H
#define GUEST_X86_UNIT_H

#include "guest/x86/x86.h"

/* Whether an instruction that the host executes may be executed in a mode (the mode word); false:
 * the vector that it raises, #UD or #NM. Pure. */
bool x86_unit_allowed(uint32_t mode, const struct x86_insn *insn, unsigned *vector);

#endif
