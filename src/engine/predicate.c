/* SPDX-License-Identifier: MIT
 *
 * Predicates in the making: cleaning, and running finished ones. */
#include "engine/predicate.h"

#include <string.h>

static bool is_jump(const struct draft_op *op)
{
    return op->code == ENGINE_PREDICATE_JUMP || op->code == ENGINE_PREDICATE_GOTO;
}

static bool is_end(const struct draft_op *op)
{
    return op->code == ENGINE_PREDICATE_ACCEPT || op->code == ENGINE_PREDICATE_REJECT;
}

/* --- making --- */

void draft_init(struct draft *draft)
{
    draft->count = draft->filters = 0;
    draft->full = false;
    draft->first[0] = 0;
}

/* Jumps of the filter that was added last lead to its operations. */
static void resolve(struct draft *draft)
{
    for (unsigned i = draft->first[draft->filters]; i < draft->count; i++) {
        if (is_jump(&draft->op[i])) {
            draft->op[i].to = draft->place[draft->op[i].to];
        }
    }
}

void draft_keep(struct draft *draft)
{
    resolve(draft);
    if (draft->filters == DRAFT_FILTERS) {
        draft->full = true;
        draft_forget(draft);
        return;
    }
    draft->first[++draft->filters] = (uint16_t)draft->count;
}

void draft_forget(struct draft *draft)
{
    draft->count = draft->first[draft->filters];
}

void draft_place(struct draft *draft, unsigned at)
{
    draft->place[at] = (uint16_t)draft->count;
    draft->place[at + 1] = (uint16_t)draft->count;
}

static void add(struct draft *draft, struct draft_op op)
{
    if (draft->count == DRAFT_MAX) {
        draft->full = true;
    } else {
        draft->op[draft->count++] = op;
    }
}

void draft_move(struct draft *draft, unsigned to, struct engine_operand a)
{
    add(draft, (struct draft_op){.code = ENGINE_PREDICATE_MOVE, .to = (uint16_t)to, .a = a});
}

void draft_compute(struct draft *draft, unsigned op, unsigned to, struct engine_operand a,
                   struct engine_operand b)
{
    add(draft, (struct draft_op){ENGINE_PREDICATE_COMPUTE, (uint8_t)op, false, (uint16_t)to, a, b});
}

void draft_compare(struct draft *draft, unsigned cond, unsigned to, struct engine_operand a,
                   struct engine_operand b)
{
    add(draft,
        (struct draft_op){ENGINE_PREDICATE_COMPARE, (uint8_t)cond, false, (uint16_t)to, a, b});
}

void draft_jump(struct draft *draft, unsigned cond, struct engine_operand a,
                struct engine_operand b, unsigned target)
{
    add(draft,
        (struct draft_op){ENGINE_PREDICATE_JUMP, (uint8_t)cond, false, (uint16_t)target, a, b});
}

void draft_goto(struct draft *draft, unsigned target)
{
    add(draft, (struct draft_op){.code = ENGINE_PREDICATE_GOTO, .to = (uint16_t)target});
}

void draft_end(struct draft *draft, bool accept)
{
    add(draft, (struct draft_op){
                   .code = accept ? ENGINE_PREDICATE_ACCEPT : ENGINE_PREDICATE_REJECT,
                   .to = (uint16_t)draft->filters,
               });
}

/* --- cleaning --- */

/* A filter that rejects goes on to the next one. */
static void chain(struct draft *draft)
{
    for (unsigned i = 0; i < draft->count; i++) {
        struct draft_op *op = &draft->op[i];
        if (op->code == ENGINE_PREDICATE_REJECT && op->to + 1u < draft->filters) {
            *op = (struct draft_op){.code = ENGINE_PREDICATE_GOTO, .to = draft->first[op->to + 1]};
        }
    }
}

/* The operation that is executed first when control comes to `at`. */
static unsigned lands(const struct draft *draft, unsigned at)
{
    for (;;) {
        if (draft->op[at].dropped) {
            at++;
        } else if (draft->op[at].code == ENGINE_PREDICATE_GOTO) {
            at = draft->op[at].to;
        } else {
            return at;
        }
    }
}

/* The next operation that is still there. */
static unsigned following(const struct draft *draft, unsigned at)
{
    do {
        at++;
    } while (draft->op[at].dropped);
    return at;
}

static bool drop(struct draft_op *op)
{
    bool was = op->dropped;
    op->dropped = true;
    return !was;
}

/* Jumps lead to where they end; those that lead to the next operation, and what cannot be reached,
 * go. True if something went. */
static bool thread_jumps(struct draft *draft)
{
    bool reached[DRAFT_MAX + 1] = {true}, changed = false;
    for (unsigned i = 0; i < draft->count; i++) {
        struct draft_op *op = &draft->op[i];
        if (!reached[i]) {
            changed |= drop(op);
            continue;
        }
        if (op->dropped || !is_jump(op)) {
            if (!is_end(op) || op->dropped) {
                reached[i + 1] = true;
            }
            continue;
        }
        op->to = (uint16_t)lands(draft, op->to);
        reached[op->to] = true;
        if (op->to == following(draft, i)) {
            changed |= drop(op);
            reached[i + 1] = true;
        } else if (op->code == ENGINE_PREDICATE_JUMP) {
            reached[i + 1] = true;
        }
    }
    return changed;
}

struct live {
    uint64_t low, high; /* temporaries as a set */
};

static void use(struct live *live, const struct engine_operand *operand)
{
    if (operand->kind == ENGINE_OPERAND_TEMPORARY && operand->number < 64) {
        live->low |= UINT64_C(1) << operand->number;
    } else if (operand->kind == ENGINE_OPERAND_TEMPORARY) {
        live->high |= UINT64_C(1) << (operand->number - 64);
    }
}

/* Takes a temporary out of the set; true if it was there. */
static bool define(struct live *live, unsigned number)
{
    uint64_t *half = number < 64 ? &live->low : &live->high, bit = UINT64_C(1) << (number % 64);
    bool wanted = *half & bit;
    *half &= ~bit;
    return wanted;
}

/* Drops operations whose result nobody reads. One pass backwards is exact, since jumps only go
 * forward. */
static bool drop_dead(struct draft *draft)
{
    struct live live[DRAFT_MAX + 1];
    bool changed = false;
    live[draft->count] = (struct live){0};
    for (unsigned i = draft->count; i-- > 0;) {
        struct draft_op *op = &draft->op[i];
        struct live set = live[i + 1];
        if (op->dropped) {
            live[i] = set;
            continue;
        }
        if (is_end(op)) {
            set = (struct live){0};
        } else if (op->code == ENGINE_PREDICATE_GOTO) {
            set = live[op->to];
        } else if (op->code == ENGINE_PREDICATE_JUMP) {
            set.low |= live[op->to].low;
            set.high |= live[op->to].high;
        } else if (!define(&set, op->to)) {
            changed |= drop(op);
            live[i] = set;
            continue;
        }
        if (!is_end(op) && op->code != ENGINE_PREDICATE_GOTO) {
            use(&set, &op->a);
            if (op->code != ENGINE_PREDICATE_MOVE) {
                use(&set, &op->b);
            }
        }
        live[i] = set;
    }
    return changed;
}

/* --- finishing --- */

struct numbering {
    uint8_t number[DRAFT_TEMPORARIES + 1]; /* of a temporary + 1; 0: none yet */
    unsigned count;
};

static uint8_t number_of(struct numbering *numbering, unsigned temporary)
{
    if (!numbering->number[temporary]) {
        numbering->number[temporary] = (uint8_t)++numbering->count;
    }
    return (uint8_t)(numbering->number[temporary] - 1);
}

static struct engine_operand finish_operand(struct engine_predicate *predicate,
                                            struct numbering *numbering,
                                            struct engine_operand operand)
{
    switch (operand.kind) {
    case ENGINE_OPERAND_ARGUMENT: predicate->arguments |= UINT32_C(1) << operand.number; break;
    case ENGINE_OPERAND_FIELD: predicate->fields |= UINT32_C(1) << operand.number; break;
    case ENGINE_OPERAND_TEMPORARY: operand.number = number_of(numbering, operand.number); break;
    default: break;
    }
    return operand;
}

static void finish_op(struct engine_predicate *predicate, struct numbering *numbering,
                      const struct draft_op *from, const uint8_t *place)
{
    struct engine_predicate_op *to = &predicate->op[predicate->count++];
    *to = (struct engine_predicate_op){.code = from->code, .op = from->op};
    if (is_end(from)) {
        return;
    }
    if (from->code != ENGINE_PREDICATE_GOTO) {
        to->a = finish_operand(predicate, numbering, from->a);
    }
    if (from->code != ENGINE_PREDICATE_GOTO && from->code != ENGINE_PREDICATE_MOVE) {
        to->b = finish_operand(predicate, numbering, from->b);
    }
    to->to = is_jump(from) ? place[from->to] : number_of(numbering, from->to);
}

enum engine_decision draft_finish(struct draft *draft, struct engine_predicate *predicate)
{
    if (draft->full) {
        return ENGINE_CALL;
    }
    chain(draft);
    for (bool changed = true; changed;) {
        changed = thread_jumps(draft);
        changed |= drop_dead(draft);
    }
    struct numbering numbering = {0};
    uint8_t place[DRAFT_MAX];
    unsigned left = 0;
    for (unsigned i = 0; i < draft->count; i++) {
        place[i] = (uint8_t)left;
        left += !draft->op[i].dropped;
    }
    if (left > ENGINE_PREDICATE_MAX) {
        return ENGINE_CALL;
    }
    *predicate = (struct engine_predicate){0};
    for (unsigned i = 0; i < draft->count; i++) {
        if (!draft->op[i].dropped) {
            finish_op(predicate, &numbering, &draft->op[i], place);
        }
    }
    predicate->temporaries = numbering.count;
    return predicate->op[0].code == ENGINE_PREDICATE_ACCEPT   ? ENGINE_ALWAYS
           : predicate->op[0].code == ENGINE_PREDICATE_REJECT ? ENGINE_NEVER
           : numbering.count > ENGINE_PREDICATE_TEMPORARIES   ? ENGINE_CALL
                                                              : ENGINE_INLINE;
}

/* --- running --- */

static uint64_t value_of(const struct engine_operand *operand, const uint64_t *values,
                         const uint64_t *fields, const uint64_t *temporary)
{
    switch (operand->kind) {
    case ENGINE_OPERAND_ARGUMENT: return values[operand->number];
    case ENGINE_OPERAND_FIELD: return fields[operand->number];
    case ENGINE_OPERAND_TEMPORARY: return temporary[operand->number];
    default: return operand->value;
    }
}

static uint64_t computed(unsigned op, uint64_t a, uint64_t b)
{
    switch (op) {
    case IR_ADD: return a + b;
    case IR_SUB: return a - b;
    case IR_MUL: return a * b;
    case IR_AND: return a & b;
    case IR_OR: return a | b;
    case IR_XOR: return a ^ b;
    case IR_SHL: return a << (b & 63);
    case IR_SHR: return a >> (b & 63);
    case IR_SAR: return (uint64_t)((int64_t)a >> (b & 63));
    default: bug("predicate: operation %u", op);
    }
}

static bool holds(unsigned cond, uint64_t a, uint64_t b)
{
    switch (cond) {
    case IR_EQ: return a == b;
    case IR_NE: return a != b;
    case IR_LTU: return a < b;
    case IR_GEU: return a >= b;
    case IR_LTS: return (int64_t)a < (int64_t)b;
    case IR_GES: return (int64_t)a >= (int64_t)b;
    default: bug("predicate: condition %u", cond);
    }
}

bool engine_predicate_run(const struct engine_predicate *predicate, const uint64_t *values,
                          const uint64_t *fields)
{
    uint64_t temporary[ENGINE_PREDICATE_TEMPORARIES];
    for (unsigned at = 0; at < predicate->count;) {
        const struct engine_predicate_op *op = &predicate->op[at++];
        uint64_t a = value_of(&op->a, values, fields, temporary);
        uint64_t b = value_of(&op->b, values, fields, temporary);
        switch (op->code) {
        case ENGINE_PREDICATE_COMPUTE: temporary[op->to] = computed(op->op, a, b); break;
        case ENGINE_PREDICATE_MOVE: temporary[op->to] = a; break;
        case ENGINE_PREDICATE_COMPARE: temporary[op->to] = holds(op->op, a, b); break;
        case ENGINE_PREDICATE_JUMP: at = holds(op->op, a, b) ? op->to : at; break;
        case ENGINE_PREDICATE_GOTO: at = op->to; break;
        default: return op->code == ENGINE_PREDICATE_ACCEPT;
        }
    }
    bug("predicate: no end behind %u operations", predicate->count);
}
