/* SPDX-License-Identifier: MIT
 *
 * Differences between two outcomes.
 */
#ifndef DIFFERENTIAL_COMPARE_H
#define DIFFERENTIAL_COMPARE_H

#include <stdint.h>

#include "base/strbuf.h"
#include "machine.h"

/* Kinds of difference, a set. */
enum {
    COMPARE_REGISTERS = 1, /* general registers, FS and GS base */
    COMPARE_RIP = 2,
    COMPARE_FLAGS = 4,
    COMPARE_UNDEFINED = 8, /* flags that the manual leaves undefined for this instruction */
    COMPARE_VECTOR = 16,   /* XMM, YMM, MXCSR */
    COMPARE_X87 = 32,      /* all of x87 but the next */
    COMPARE_POINTERS = 64, /* last x87 instruction and operand: FOP, FIP, FDP */
    COMPARE_MEMORY = 128,
    COMPARE_FAULT = 256,   /* signal, code, vector, error code */
    COMPARE_ADDRESS = 512, /* si_addr */
    COMPARE_TOLD = 1024,   /* what guest probes tell: told.h */
    COMPARE_KINDS = 11,
};

/* One run's result with memory (a copy by scratch_keep()). */
struct compare_side {
    const char *name; /* shown in reports */
    const struct outcome *outcome;
    const uint8_t *memory;
};

/* The set of differences. `undefined`: flags that count as COMPARE_UNDEFINED. */
unsigned compare(const struct compare_side *a, const struct compare_side *b, unsigned undefined);

/* A word for the kind with this bit number. */
const char *compare_name(unsigned bit);

/* Adds the state before the run, as lines: what belongs to these kinds. */
void compare_print_before(struct strbuf *out, const struct machine *m, unsigned kinds);

/* Adds one line for each difference: what, and the values before, in a and in b. */
void compare_print(struct strbuf *out, const struct machine *before, const struct compare_side *a,
                   const struct compare_side *b);

#endif
