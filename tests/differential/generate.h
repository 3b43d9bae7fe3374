/* SPDX-License-Identifier: MIT
 *
 * Test cases: an instruction of a row, or a piece of code made of several, with a state that it can
 * do something with. Everything about addresses, sizes and implicit operands is asked of the
 * decoder; where it is wrong the real CPU disagrees.
 */
#ifndef DIFFERENTIAL_GENERATE_H
#define DIFFERENTIAL_GENERATE_H

#include <stdbool.h>
#include <stdint.h>

#include "guest/x86/rows.h"
#include "machine.h"
#include "scratch.h"

enum { GENERATE_CODE = 1024 };

struct test_case {
    struct machine machine;
    enum scratch_layout layout;
    uint64_t code; /* where the code lies; machine.rip is its first instruction */
    unsigned size; /* its bytes */
    uint8_t bytes[GENERATE_CODE];
    unsigned undefined; /* flags that are undefined at the end */
    bool several;     /* one instruction with several accesses to memory, in an order that no manual
                         tells: the first address that faults may differ */
    bool two_strings; /* CMPS with REP, which AMD's processors begin with the other operand than
                         CMPS alone, as which it is executed under probes: either may fault */
    bool x87_gs;      /* x87 with a memory operand in GS: FDP is without the base natively */
    bool calls;     /* CALL r/m: where it leads is known only when the return address is pushed, so
                       that is in memory also where the target is not canonical */
    bool selectors; /* some of them are selectors, so the kind of fault may differ too, and what
                       CALL has pushed before it */
};

/* Why this row is not run on the real CPU; NULL: it is. */
const char *generate_excluded(const struct x86_row *row);

/* False: its last bytes are in no memory. */
bool generate_fetched(const struct test_case *c);

/* Makes one instruction of the row; memory contents are put into the scratch memory. `memory`:
 * which form, for rows that have both. False: the row cannot be met (a fault of row or decoder). */
bool generate_instruction(struct random *r, const struct x86_row *row, bool memory,
                          struct test_case *c);

/* Bytes that the decoder calls undefined. False: found none this time. */
bool generate_undefined(struct random *r, struct test_case *c);

/* A piece of code: several blocks of instructions, of which one may fault at some place. Only those
 * that need none but these features; NULL: all. */
void generate_program(struct random *r, const struct x86_features *features, struct test_case *c);

#endif
