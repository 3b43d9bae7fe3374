/* SPDX-License-Identifier: MIT
 *
 * From a filter's program to a decision: one pass over the operations, which only jump forward,
 * knowing the constants; then the residual program is cleaned (tidy()).
 *
 * What a temporary is known to be is followed along the straight way. Where ways meet it is
 * forgotten, which costs no correctness: an operation that writes a constant is emitted all the
 * same, and dropped later if nobody reads it. */
#include "engine/filter.h"

#include <string.h>

#include "engine/predicate.h"
#include "trace/filter/program.h"
#include "trace/probe/context.h"

static bool truth(unsigned predicate, uint64_t a, uint64_t b)
{
    switch (predicate) {
#define X_CASE(name, symbol, value) \
    case FILTER_PREDICATE_##name: return value;
        FILTER_PREDICATE_LIST(X_CASE)
#undef X_CASE
    default: return false;
    }
}

/* --- the pass --- */

/* What is known of a value. */
struct fact {
    bool known; /* `operand` says what it is, whatever happens to the temporary */
    struct engine_operand operand;
};

struct pass {
    const struct trace_filter *filter;
    const struct engine_known *known;
    struct draft *draft;
    bool forked;         /* there was a jump that may go either way */
    bool call;           /* something cannot be done inline */
    bool accept, reject; /* such an end can be reached */
    bool reached[FILTER_OPERATIONS_MAX];
    bool joined[FILTER_OPERATIONS_MAX]; /* a jump leads here */
    struct fact fact[FILTER_TEMPORARIES_MAX];
};

static struct engine_operand constant(uint64_t value)
{
    return (struct engine_operand){ENGINE_OPERAND_CONSTANT, 0, value};
}

static struct engine_operand temporary(unsigned number)
{
    return (struct engine_operand){ENGINE_OPERAND_TEMPORARY, (uint8_t)number, 0};
}

static bool is_constant(const struct engine_operand *operand)
{
    return operand->kind == ENGINE_OPERAND_CONSTANT;
}

/* The operand of an operation, as a number. An argument that cannot be read inline makes the
 * filter one for C; the pass goes on, since what is constant may still decide. */
static struct engine_operand operand_of(struct pass *pass, unsigned place)
{
    if (place & FILTER_TEMPORARY) {
        unsigned number = place - FILTER_TEMPORARY;
        return pass->fact[number].known ? pass->fact[number].operand : temporary(number);
    }
    if (pass->known->arguments >> place & 1) {
        return constant(pass->known->input.values[place]);
    }
    pass->call |= !(pass->known->inline_arguments >> place & 1);
    return (struct engine_operand){ENGINE_OPERAND_ARGUMENT, (uint8_t)place, 0};
}

static struct engine_operand field_of(struct pass *pass, unsigned field)
{
    uint32_t length = 0;
    if (pass->known->fields >> field & 1) {
        const struct trace_filter_input *input = &pass->known->input;
        return constant(input->field(input->opaque, field, &length));
    }
    pass->call |= !(pass->known->inline_fields >> field & 1);
    return (struct engine_operand){ENGINE_OPERAND_FIELD, (uint8_t)field, 0};
}

static void learn(struct pass *pass, unsigned number, const struct engine_operand *operand)
{
    pass->fact[number].known = operand && operand->kind != ENGINE_OPERAND_TEMPORARY;
    if (pass->fact[number].known) {
        pass->fact[number].operand = *operand;
    }
}

static void set(struct pass *pass, unsigned number, struct engine_operand operand)
{
    draft_move(pass->draft, number, operand);
    learn(pass, number, &operand);
}

/* Arithmetic that hosts have; else the filter is one for C. Division by powers of two is. */
static void compute(struct pass *pass, unsigned what, unsigned to, struct engine_operand a,
                    struct engine_operand b)
{
    static const uint8_t simple[FILTER_ARITHMETIC_COUNT] = {
        [FILTER_ARITHMETIC_ADD] = IR_ADD,  [FILTER_ARITHMETIC_SUB] = IR_SUB,
        [FILTER_ARITHMETIC_MUL] = IR_MUL,  [FILTER_ARITHMETIC_AND] = IR_AND,
        [FILTER_ARITHMETIC_OR] = IR_OR,    [FILTER_ARITHMETIC_XOR] = IR_XOR,
        [FILTER_ARITHMETIC_SHL] = IR_SHL,  [FILTER_ARITHMETIC_SHRU] = IR_SHR,
        [FILTER_ARITHMETIC_SHRS] = IR_SAR,
    };
    unsigned op = simple[what];
    bool shift = op == IR_SHL || op == IR_SHR || op == IR_SAR;
    if (is_constant(&a) && is_constant(&b)) {
        set(pass, to, constant(filter_compute(what, a.value, b.value)));
        return;
    }
    bool power = is_constant(&b) && b.value && !(b.value & (b.value - 1));
    if (what == FILTER_ARITHMETIC_DIVU && power) {
        op = IR_SHR;
        b.value = (unsigned)__builtin_ctzll(b.value);
    } else if (what == FILTER_ARITHMETIC_REMU && power) {
        op = IR_AND;
        b.value--;
    } else if (shift && is_constant(&b) && b.value > 63) {
        if (op != IR_SAR) {
            set(pass, to, constant(0));
            return;
        }
        b.value = 63;
    } else if (!op || (shift && !is_constant(&b))) {
        pass->call = true;
        learn(pass, to, NULL);
        return;
    }
    draft_compute(pass->draft, op, to, a, b);
    learn(pass, to, NULL);
}

/* A predicate that compares a signed with an unsigned number says "the sign of the signed one, and
 * (or: or) a comparison". */
struct mixed {
    bool mixed;
    bool left;     /* the signed one is a */
    bool negative; /* its sign has to be: below zero */
    bool either;   /* or, else and */
    uint8_t cond;
};

static struct mixed mixed_of(unsigned predicate)
{
    switch (predicate) {
    case FILTER_PREDICATE_EQSU: return (struct mixed){true, true, false, false, IR_EQ};
    case FILTER_PREDICATE_NESU: return (struct mixed){true, true, true, true, IR_NE};
    case FILTER_PREDICATE_LTSU: return (struct mixed){true, true, true, true, IR_LTU};
    case FILTER_PREDICATE_GESU: return (struct mixed){true, true, false, false, IR_GEU};
    case FILTER_PREDICATE_LTUS: return (struct mixed){true, false, false, false, IR_LTU};
    case FILTER_PREDICATE_GEUS: return (struct mixed){true, false, true, true, IR_GEU};
    case FILTER_PREDICATE_EQ: return (struct mixed){.cond = IR_EQ};
    case FILTER_PREDICATE_NE: return (struct mixed){.cond = IR_NE};
    case FILTER_PREDICATE_LTU: return (struct mixed){.cond = IR_LTU};
    case FILTER_PREDICATE_GEU: return (struct mixed){.cond = IR_GEU};
    case FILTER_PREDICATE_LTS: return (struct mixed){.cond = IR_LTS};
    case FILTER_PREDICATE_GES: return (struct mixed){.cond = IR_GES};
    case FILTER_PREDICATE_ANY: return (struct mixed){.cond = IR_NE};
    default: return (struct mixed){.cond = IR_EQ}; /* NONE */
    }
}

/* A comparison that is left when constants are used up: `a cond b`, with a sign beside it if
 * `mixed`; or a truth that is known. */
struct comparison {
    bool decided, truth;
    struct mixed how;
    struct engine_operand a, b;
};

static struct comparison compare(struct pass *pass, unsigned predicate, struct engine_operand a,
                                 struct engine_operand b)
{
    struct comparison c = {.a = a, .b = b, .how = mixed_of(predicate)};
    if (is_constant(&a) && is_constant(&b)) {
        c.decided = true;
        c.truth = truth(predicate, a.value, b.value);
        return c;
    }
    if (predicate == FILTER_PREDICATE_ANY || predicate == FILTER_PREDICATE_NONE) {
        draft_compute(pass->draft, IR_AND, DRAFT_SCRATCH, a, b);
        c.a = temporary(DRAFT_SCRATCH);
        c.b = constant(0);
        return c;
    }
    if (!c.how.mixed) {
        return c;
    }
    const struct engine_operand *side = c.how.left ? &a : &b, *other = c.how.left ? &b : &a;
    if (is_constant(side)) {
        bool negative = (int64_t)side->value < 0;
        c.how.mixed = false;
        c.decided = negative;
        c.truth = c.how.either;
    } else if (is_constant(other)) {
        /* An unsigned number beyond all signed ones decides by itself; else both are signed. */
        bool huge = (int64_t)other->value < 0;
        c.how.mixed = false;
        c.decided = huge;
        c.truth = truth(predicate, c.how.left ? 0 : other->value, c.how.left ? other->value : 0);
        c.how.cond = c.how.cond == IR_LTU ? IR_LTS : c.how.cond == IR_GEU ? IR_GES : c.how.cond;
    }
    return c;
}

/* The sign test of a mixed comparison. */
static struct engine_operand sign_side(const struct comparison *c)
{
    return c->how.left ? c->a : c->b;
}

static void set_comparison(struct pass *pass, const struct comparison *c, unsigned to)
{
    if (c->decided) {
        set(pass, to, constant(c->truth));
        return;
    }
    if (!c->how.mixed) {
        draft_compare(pass->draft, c->how.cond, to, c->a, c->b);
    } else {
        draft_compare(pass->draft, c->how.negative ? IR_LTS : IR_GES, DRAFT_SCRATCH, sign_side(c),
                      constant(0));
        draft_compare(pass->draft, c->how.cond, DRAFT_SCRATCH + 1, c->a, c->b);
        draft_compute(pass->draft, c->how.either ? IR_OR : IR_AND, to, temporary(DRAFT_SCRATCH),
                      temporary(DRAFT_SCRATCH + 1));
    }
    learn(pass, to, NULL);
}

static void reach(struct pass *pass, unsigned at, bool jump)
{
    pass->reached[at] = true;
    pass->joined[at] |= jump;
}

/* A jump to operation `target` from `at`. */
static void jump(struct pass *pass, const struct comparison *c, unsigned at, unsigned target)
{
    if (c->decided) {
        reach(pass, c->truth ? target : at + 1, c->truth);
        if (c->truth) {
            draft_goto(pass->draft, target);
        }
        return;
    }
    pass->forked = true;
    reach(pass, target, true);
    reach(pass, at + 1, false);
    if (c->how.mixed && c->how.either) {
        draft_jump(pass->draft, IR_LTS, sign_side(c), constant(0), target);
    } else if (c->how.mixed) {
        draft_jump(pass->draft, IR_LTS, sign_side(c), constant(0), at + 1);
    }
    draft_jump(pass->draft, c->how.cond, c->a, c->b, target);
}

/* A jump that depends on what only C can tell. */
static void jump_unknown(struct pass *pass, unsigned at, unsigned target)
{
    pass->call = pass->forked = true;
    reach(pass, target, true);
    reach(pass, at + 1, false);
}

/* A string operation is decided when its operands are constant. */
static void test_strings(struct pass *pass, const struct filter_operation *op, unsigned at,
                         unsigned test, bool jumps)
{
    bool fixed = op->a >= FILTER_FIELD ? pass->known->fields >> (op->a - FILTER_FIELD) & 1
                                       : pass->known->arguments >> op->a & 1;
    if (test == FILTER_STRING_SAME_RR || test == FILTER_STRING_DIFFER_RR) {
        fixed &= op->b >= FILTER_FIELD ? pass->known->fields >> (op->b - FILTER_FIELD) & 1
                                       : pass->known->arguments >> op->b & 1;
    }
    struct comparison c = {.decided = true};
    c.truth = fixed && filter_test_strings(pass->filter, &pass->known->input, op, test);
    if (jumps) {
        if (fixed) {
            jump(pass, &c, at, at + op->to);
        } else {
            jump_unknown(pass, at, at + op->to);
        }
        return;
    }
    pass->call |= !fixed;
    if (fixed) {
        set_comparison(pass, &c, op->to);
    } else {
        learn(pass, op->to, NULL);
    }
    reach(pass, at + 1, false);
}

/* True if `code` is in the block of `count` codes that begins at `first`; then `*which` is its
 * place there. */
static bool in(unsigned code, unsigned first, unsigned count, unsigned *which)
{
    *which = code - first;
    return code >= first && code - first < count;
}

static void step(struct pass *pass, unsigned at)
{
    const struct filter_operation *op = &pass->filter->operation[at];
    unsigned code = op->code, which;
    bool with_constant = true;
    if (in(code, FILTER_FIRST_JUMP_VI, FILTER_PREDICATE_COUNT, &which) ||
        in(code, FILTER_FIRST_JUMP_RI, FILTER_PREDICATE_COUNT, &which) ||
        (with_constant = false, in(code, FILTER_FIRST_JUMP_RR, FILTER_PREDICATE_COUNT, &which))) {
        struct comparison c = compare(pass, which, operand_of(pass, op->a),
                                      with_constant ? constant(op->imm) : operand_of(pass, op->b));
        jump(pass, &c, at, at + op->to);
        return;
    }
    if (in(code, FILTER_FIRST_JUMP_STRING, FILTER_STRING_COUNT, &which)) {
        test_strings(pass, op, at, which, true);
        return;
    }
    if (code == FILTER_ACCEPT || code == FILTER_REJECT) {
        draft_end(pass->draft, code == FILTER_ACCEPT);
        pass->accept |= code == FILTER_ACCEPT;
        pass->reject |= code == FILTER_REJECT;
        return;
    }
    if (in(code, FILTER_FIRST_SET_STRING, FILTER_STRING_COUNT, &which)) {
        test_strings(pass, op, at, which, false);
        return;
    }
    reach(pass, at + 1, false);
    if (code == FILTER_CONSTANT) {
        set(pass, op->to, constant(op->imm));
        return;
    }
    if (code == FILTER_NUMBER) {
        set(pass, op->to, field_of(pass, op->a));
        return;
    }
    with_constant = in(code, FILTER_FIRST_SET_RI, FILTER_PREDICATE_COUNT, &which) ||
                    in(code, FILTER_FIRST_DO_RI, FILTER_ARITHMETIC_COUNT, &which);
    struct engine_operand a = operand_of(pass, op->a);
    struct engine_operand b = with_constant ? constant(op->imm) : operand_of(pass, op->b);
    if (in(code, FILTER_FIRST_SET_RI, FILTER_PREDICATE_COUNT, &which) ||
        in(code, FILTER_FIRST_SET_RR, FILTER_PREDICATE_COUNT, &which)) {
        struct comparison c = compare(pass, which, a, b);
        set_comparison(pass, &c, op->to);
    } else if (in(code, FILTER_FIRST_DO_RI, FILTER_ARITHMETIC_COUNT, &which) ||
               in(code, FILTER_FIRST_DO_RR, FILTER_ARITHMETIC_COUNT, &which)) {
        compute(pass, which, op->to, a, b);
    } else {
        bug("filter: operation %u", code);
    }
}

/* Adds a filter's operations to a draft. */
static enum engine_decision decide(const struct trace_filter *filter,
                                   const struct engine_known *known, struct draft *draft)
{
    struct pass pass = {.filter = filter, .known = known, .draft = draft};
    pass.reached[0] = true;
    for (unsigned at = 0; at < filter->count; at++) {
        draft_place(draft, at);
        if (!pass.reached[at]) {
            continue;
        }
        if (pass.joined[at] && pass.forked) {
            memset(pass.fact, 0, sizeof pass.fact);
        }
        step(&pass, at);
    }
    return !pass.accept   ? ENGINE_NEVER
           : !pass.reject ? ENGINE_ALWAYS
           : pass.call    ? ENGINE_CALL
                          : ENGINE_INLINE;
}

enum engine_decision engine_filter_decide(const struct trace_filter *filter,
                                          const struct engine_known *known,
                                          struct engine_predicate *predicate)
{
    struct draft draft;
    draft_init(&draft);
    enum engine_decision decision = decide(filter, known, &draft);
    if (decision == ENGINE_INLINE) {
        draft_keep(&draft);
        decision = draft_finish(&draft, predicate);
    }
    return decision;
}

/* --- all who listen --- */

struct listeners {
    struct draft draft;
    bool always, call, some; /* what the filters so far came to */
};

static void add_filter(struct listeners *all, const struct trace_filter *filter,
                       const struct engine_known *known)
{
    switch (filter ? decide(filter, known, &all->draft) : ENGINE_ALWAYS) {
    case ENGINE_NEVER: draft_forget(&all->draft); break;
    case ENGINE_ALWAYS: all->always = true; break;
    case ENGINE_CALL: all->call = true; break;
    case ENGINE_INLINE:
        draft_keep(&all->draft);
        all->some = true;
        break;
    }
}

enum engine_decision engine_filter_event(const struct trace_subscriptions *subscriptions,
                                         const struct engine_known *known,
                                         struct engine_predicate *predicate, bool *exact)
{
    struct listeners all;
    all.always = all.call = all.some = false;
    *exact = !subscriptions || (subscriptions->count == 1 && !subscriptions->row[0].gate);
    draft_init(&all.draft);
    for (unsigned i = 0; subscriptions && i < subscriptions->count && !all.always; i++) {
        const struct trace_subscription *sub = &subscriptions->row[i];
        add_filter(&all, sub->filter, known);
        /* A rule that begins or ends here has to see the event. */
        if (sub->gate && sub->start) {
            add_filter(&all, sub->start, known);
        }
        if (sub->gate && sub->stop) {
            add_filter(&all, sub->stop, known);
        }
    }
    return all.always ? ENGINE_ALWAYS
           : all.call ? ENGINE_CALL
           : all.some ? draft_finish(&all.draft, predicate)
                      : ENGINE_NEVER;
}

/* --- pc, module and symbol --- */

_Thread_local struct symbol_space *engine_filter_space;
_Thread_local uint64_t engine_filter_pc;

static uint64_t text_value(const char *text, uint32_t *length)
{
    *length = text ? (uint32_t)strlen(text) : 0;
    return (uintptr_t)text;
}

static uint64_t get_name(uint32_t *length, bool symbol)
{
    struct symbol_info info = {0};
    if (engine_filter_space) {
        symbol_find(engine_filter_space, engine_filter_pc, &info);
    }
    return text_value(symbol ? info.symbol : info.module, length);
}

static uint64_t get_pc(uint32_t *length)
{
    (void)length;
    return engine_filter_pc;
}

static uint64_t get_module(uint32_t *length)
{
    return get_name(length, false);
}

static uint64_t get_symbol(uint32_t *length)
{
    return get_name(length, true);
}

void engine_filter_fields_add(void)
{
    static const struct trace_field pc = {"pc", TRACE_UNSIGNED, "address the guest is at"};
    static const struct trace_field module = {"module", TRACE_STRING,
                                              "file name of the module the guest's pc is in"};
    static const struct trace_field symbol = {"symbol", TRACE_STRING,
                                              "symbol the guest's pc is in"};
    trace_context_add(&pc, get_pc);
    trace_context_add(&module, get_module);
    trace_context_add(&symbol, get_symbol);
}

uint32_t engine_filter_constant_fields(void)
{
    /* In system mode code is made for one CPL. */
    static const char *const names[] = {"event", "pc", "module", "symbol", "cpl"};
    uint32_t set = 0;
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        int field = trace_context_find(names[i]);
        set |= field >= 0 ? UINT32_C(1) << field : 0;
    }
    return set;
}

uint64_t engine_filter_field(void *opaque, unsigned field, uint32_t *length)
{
    struct engine_filter_place *place = opaque;
    unsigned count;
    const char *name = trace_context_fields(&count)[field].name;
    bool symbol = !strcmp(name, "symbol");
    if (!strcmp(name, "pc")) {
        return place->pc;
    }
    if (!symbol && strcmp(name, "module") != 0) {
        return trace_context_value(place->event, field, length);
    }
    if (!place->found && place->space) {
        place->found = true;
        symbol_find(place->space, place->pc, &place->info);
    }
    return text_value(symbol ? place->info.symbol : place->info.module, length);
}
