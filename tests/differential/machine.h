/* SPDX-License-Identifier: MIT
 *
 * The differential test's picture of a processor: the user-visible state before a run, and what
 * came out of it. Every run ends in a signal (the instruction's own fault, or the INT3 behind it),
 * so an outcome is a state and a fault, natively and in the engine.
 *
 * Read in this order: this header, random.h (values), scratch.h (memory that instructions use),
 * native.h (the real CPU), engine_side.h (ours), generate.h (instructions from the opcode rows),
 * compare.h (differences), differential.h (the program).
 */
#ifndef DIFFERENTIAL_MACHINE_H
#define DIFFERENTIAL_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    MACHINE_VECTOR_BYTES = 832, /* XSAVE, standard form: x87, SSE, AVX (SDM vol. 1, 13.4) */
    MACHINE_XCR0 = 7,
    MACHINE_FCW = 0, /* places in the image */
    MACHINE_FSW = 2,
    MACHINE_FTW = 4,
    MACHINE_FOP = 6,
    MACHINE_FIP = 8,
    MACHINE_FDP = 16,
    MACHINE_MXCSR = 24,
    MACHINE_MXCSR_MASK = 28,
    MACHINE_ST = 32,
    MACHINE_XMM = 160,
    MACHINE_UNUSED = 416,
    MACHINE_XSTATE_BV = 512,
    MACHINE_YMM = 576,
};

enum {
    MACHINE_ARITH = 0x8d5, /* OF SF ZF AF PF CF */
    MACHINE_DF = 0x400,
    MACHINE_AC = 0x40000,
    MACHINE_ID = 0x200000,
    MACHINE_FIXED = 0x202, /* IF, and the bit that is always 1 */
};

struct machine {
    uint64_t gpr[16]; /* as encoded */
    uint64_t rip;
    uint64_t flags;
    uint64_t fs_base;
    uint64_t gs_base;
    _Alignas(64) uint8_t vector[MACHINE_VECTOR_BYTES];
};

/* What the signal told, as a signal frame of Linux has it. */
struct machine_fault {
    int signal;
    int code;
    uint64_t address;
    uint32_t trap;
    uint32_t error;
};

struct outcome {
    struct machine machine;
    struct machine_fault fault;
};

/* Gives an XSAVE image one form: components that XSTATE_BV calls initial are written out, parts
 * without meaning are 0. */
void machine_normalize(uint8_t vector[MACHINE_VECTOR_BYTES]);

#endif
