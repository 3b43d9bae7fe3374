/* SPDX-License-Identifier: MIT
 *
 * The x86-64 host: IR to x86-64 code, for a guest of the same instruction set in one-to-one mode,
 * and for system mode (soft.c).
 *
 * Read in this order: this header, encode.c (one instruction to bytes), emit.c (a block), scratch.c
 * (borrowed registers, and what is computed in them), glue.c (into translated code and out of it),
 * context.c (interrupted code), and at the end of emit.c the struct that the engine gets.
 *
 * Registers while translated code runs: every general register of the guest, RSP too, is in the
 * host register of its own name; GS points to the state block, FS to where the guest wants it;
 * vector and x87 state are the guest's. Emitted code that needs a register borrows one: it stores
 * it at its place in the state block and loads it again; between these the side table says so.
 */
#ifndef HOST_X64_X64_H
#define HOST_X64_X64_H

#include "ir/host.h"

extern const struct ir_host x64_host;

/* The same with guest memory behind a soft TLB, for system mode: soft.c. */
extern const struct ir_host x64_soft_host;

#endif
