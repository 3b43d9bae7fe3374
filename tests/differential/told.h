/* SPDX-License-Identifier: MIT
 *
 * The judge of guest probes: what the engine tells of one instruction, compared with the real CPU
 * and with Zydis.
 *
 * The real CPU: what was read is in memory before; all stores together make memory what it is
 * after; what the CPU could access is all that is told; the address that it could not is told.
 * Zydis: where and how much, for operands that it knows.
 */
#ifndef DIFFERENTIAL_TOLD_H
#define DIFFERENTIAL_TOLD_H

#include "base/strbuf.h"
#include "generate.h"
#include "machine.h"

/* Begins to listen: all memory and branch events of this process, and guest_insn. */
void told_open(void);
/* Forgets what was told. */
void told_begin(void);
/* Compares what was told since with one case's native outcome and memory; adds a line for each
 * mistake. True: there is none. */
bool told_judge(const struct test_case *c, const struct outcome *native, const uint8_t *memory,
                struct strbuf *mistakes);

#endif
