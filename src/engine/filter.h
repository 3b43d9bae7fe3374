/* SPDX-License-Identifier: MIT
 *
 * Filters of guest probes, decided as far as they can be when code is translated.
 *
 * A guest instruction's address, its symbol, the size of an access and whether it stores are known
 * then, so that a filter comes down to: no (nothing is planted), yes (planted as if there were no
 * filter), a short predicate over what is known only when the code runs (an address, a value), or
 * "call" (strings, division: the filter is run in C for each event).
 *
 * A predicate is a row of operations with forward jumps, for the translator to put in front of the
 * record's stores. It has no side effects and cannot fault.
 *
 * Here are also the context fields `pc`, `module` and `symbol`: where the guest is, the last two as
 * symbol_find() names it.
 *
 * Any thread; nothing is kept.
 */
#ifndef ENGINE_FILTER_H
#define ENGINE_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "ir/ops.h"
#include "symbol/symbol.h"
#include "trace/filter/filter.h"
#include "trace/probe/event.h"

/* --- predicates --- */

enum {
    ENGINE_PREDICATE_MAX = 48,        /* operations */
    ENGINE_PREDICATE_TEMPORARIES = 4, /* values at one time */
};

enum engine_operand_kind {
    ENGINE_OPERAND_CONSTANT,  /* `value` */
    ENGINE_OPERAND_ARGUMENT,  /* number of an argument of the event */
    ENGINE_OPERAND_FIELD,     /* number of a context field */
    ENGINE_OPERAND_TEMPORARY, /* number, below ENGINE_PREDICATE_TEMPORARIES */
};

struct engine_operand {
    uint8_t kind;
    uint8_t number;
    uint64_t value;
};

enum engine_predicate_code {
    ENGINE_PREDICATE_COMPUTE, /* temporary `to` = a OP b; op: IR_ADD, SUB, MUL, AND, OR, XOR, SHL,
                                 SHR or SAR; counts of shifts are constants below 64 */
    ENGINE_PREDICATE_MOVE,    /* temporary `to` = a */
    ENGINE_PREDICATE_COMPARE, /* temporary `to` = a OP b, 0 or 1; op: IR_EQ, NE, LTU, GEU, LTS, GES
                               */
    ENGINE_PREDICATE_JUMP,    /* if a OP b (as above), go to operation `to` */
    ENGINE_PREDICATE_GOTO,    /* go to operation `to` */
    ENGINE_PREDICATE_ACCEPT,  /* the event is wanted */
    ENGINE_PREDICATE_REJECT,
};

/* All values have 64 bits. Operations end with ACCEPT or REJECT; `to` is always behind. Temporaries
 * may be written more than once, on different ways. */
struct engine_predicate_op {
    uint8_t code; /* enum engine_predicate_code */
    uint8_t op;   /* enum ir_opcode or enum ir_cond */
    uint8_t to;
    struct engine_operand a, b;
};

struct engine_predicate {
    unsigned count;
    unsigned temporaries; /* how many it uses */
    uint32_t arguments;   /* bit i: it reads argument i */
    uint32_t fields;      /* bit i: it reads context field i */
    struct engine_predicate_op op[ENGINE_PREDICATE_MAX];
};

/* Runs one, as translated code would: for tests, and for events that are made in C. `values` and
 * `fields` are by number. */
bool engine_predicate_run(const struct engine_predicate *predicate, const uint64_t *values,
                          const uint64_t *fields);

/* --- deciding --- */

/* What is known of an event at a place when it is translated. */
struct engine_known {
    uint32_t arguments; /* bit i: argument i has the constant value input.values[i] */
    uint32_t fields; /* bit i: context field i is constant there; asked for through input.field */
    struct trace_filter_input input;
    /* Of the others, those that translated code can read: only these occur in predicates. */
    uint32_t inline_arguments, inline_fields;
};

enum engine_decision {
    ENGINE_NEVER,  /* the event is not wanted here */
    ENGINE_ALWAYS, /* it is, whenever it happens */
    ENGINE_INLINE, /* the predicate tells */
    ENGINE_CALL,   /* only the filter itself tells */
};

/* Decides a filter. `predicate` is filled in for ENGINE_INLINE. */
enum engine_decision engine_filter_decide(const struct trace_filter *filter,
                                          const struct engine_known *known,
                                          struct engine_predicate *predicate);

/* Decides about an event for all who listen: is there anybody who might want it at this place? With
 * `*exact` the answer is the last word and everybody who listens wants what is accepted; without,
 * several rules (or start=, stop=, limit=) are there and trace_fire() has to ask them again.
 * `subscriptions` NULL: nobody listens. */
enum engine_decision engine_filter_event(const struct trace_subscriptions *subscriptions,
                                         const struct engine_known *known,
                                         struct engine_predicate *predicate, bool *exact);

/* --- module and symbol --- */

/* Adds the context fields `module` and `symbol`. At start-up, before options are read. Harmless
 * when done again. */
void engine_filter_fields_add(void);

/* Where the calling thread's guest is, for these fields in events that are fired from C: set both
 * before firing. Without a space `module` and `symbol` are empty. */
extern _Thread_local struct symbol_space *engine_filter_space;
extern _Thread_local uint64_t engine_filter_pc;

/* A place in guest code that is being translated. `event` and `space` (NULL: no names) are the
 * caller's; the rest is filled in when it is first asked for, and good while pc and space stay. */
struct engine_filter_place {
    struct trace_event *event;
    struct symbol_space *space;
    uint64_t pc;
    bool found;
    struct symbol_info info;
};

/* For struct engine_known: the context fields that are constant at a place (event, pc, module,
 * symbol), and the function that has their values, with a struct engine_filter_place as `opaque`.
 */
uint32_t engine_filter_constant_fields(void);
uint64_t engine_filter_field(void *opaque, unsigned field, uint32_t *length);

#endif
