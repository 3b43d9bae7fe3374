/* SPDX-License-Identifier: MIT
 *
 * Predicates in the making, for filter.c: operations as they come, whose jumps lead to places of a
 * filter's program; then what nobody needs is dropped and the rest becomes a struct
 * engine_predicate. Several filters may follow one another: a REJECT of all but the last goes on to
 * the next.
 */
#ifndef ENGINE_PREDICATE_H
#define ENGINE_PREDICATE_H

#include "engine/filter.h"
#include "trace/filter/program.h"

enum {
    DRAFT_SCRATCH = FILTER_TEMPORARIES_MAX, /* temporaries of our own: this one and the next */
    DRAFT_TEMPORARIES,
    DRAFT_MAX = 192,   /* operations; more make it a filter for C */
    DRAFT_FILTERS = 8, /* the same */
};

struct draft_op {
    uint8_t code, op;
    bool dropped;
    uint16_t to; /* temporary; of jumps an operation; of REJECT the number of its filter */
    struct engine_operand a, b;
};

struct draft {
    unsigned count;
    bool full;
    unsigned filters;                  /* that are kept */
    uint16_t first[DRAFT_FILTERS + 1]; /* operation that each begins with, and the next */
    uint16_t
        place[FILTER_OPERATIONS_MAX + 1]; /* where the filter's operations begin in the draft */
    struct draft_op op[DRAFT_MAX];
};

void draft_init(struct draft *draft);

/* What was added since the last filter was kept is one; or is forgotten. */
void draft_keep(struct draft *draft);
void draft_forget(struct draft *draft);

/* The filter's operation `at` begins. In ascending order, all of them. */
void draft_place(struct draft *draft, unsigned at);

void draft_move(struct draft *draft, unsigned to, struct engine_operand a);
void draft_compute(struct draft *draft, unsigned op, unsigned to, struct engine_operand a,
                   struct engine_operand b);
void draft_compare(struct draft *draft, unsigned cond, unsigned to, struct engine_operand a,
                   struct engine_operand b);

/* Jumps to the filter's operation `target`, which is yet to come. */
void draft_jump(struct draft *draft, unsigned cond, struct engine_operand a,
                struct engine_operand b, unsigned target);
void draft_goto(struct draft *draft, unsigned target);

void draft_end(struct draft *draft, bool accept);

/* Cleans up. ENGINE_INLINE; ENGINE_ALWAYS or ENGINE_NEVER where only one end is left; ENGINE_CALL
 * where it is too long or takes too many temporaries. */
enum engine_decision draft_finish(struct draft *draft, struct engine_predicate *predicate);

#endif
