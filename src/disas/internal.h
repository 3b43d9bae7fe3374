/* SPDX-License-Identifier: MIT
 *
 * Inside the disassembly room. */
#ifndef DISAS_INTERNAL_H
#define DISAS_INTERNAL_H

#include <Zydis/Zydis.h>

#include "base/strbuf.h"

/* Adds a decoded instruction in AT&T syntax: the mnemonic in a column of eight, a blank, operands.
 */
void disas_att(struct strbuf *text, const ZydisDecodedInstruction *insn,
               const ZydisDecodedOperand *operand, uint64_t pc);

#endif
