/* SPDX-License-Identifier: MIT
 *
 * Tree to operations. Temporaries are numbered as a stack: what is computed for an operand at depth
 * n lands in temporary n. Conditions become jumps: the code for one either jumps to its label or
 * falls through. */
#include "trace/filter/program.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

struct compiler {
    struct filter_source *src;
    unsigned count;
    uint32_t reads;
    unsigned nstrings;
    struct filter_operation operation[FILTER_OPERATIONS_MAX];
    struct filter_string string[FILTER_OPERATORS_MAX + 1];
};

/* The jumps to a place that is not known yet, chained through `to`: number of the last one plus 1.
 */
struct label {
    unsigned chain;
};

/* What a truth becomes: a jump when it holds, or 0 or 1 in a temporary. */
enum form { FORM_JUMP, FORM_SET };

static bool condition(struct compiler *c, const struct filter_node *node, bool sense,
                      struct label *label, unsigned temp);

static struct filter_operation *emit(struct compiler *c, const struct filter_node *node,
                                     unsigned code)
{
    if (c->count == FILTER_OPERATIONS_MAX) {
        filter_complain(c->src, node->place,
                        "the filter is too long: it compiles to more than %d operations",
                        FILTER_OPERATIONS_MAX);
        return NULL;
    }
    struct filter_operation *op = &c->operation[c->count++];
    *op = (struct filter_operation){.code = (uint16_t)code};
    return op;
}

static void add_jump(struct compiler *c, struct label *label)
{
    c->operation[c->count - 1].to = (uint16_t)label->chain;
    label->chain = c->count;
}

/* The label is here. */
static void bind(struct compiler *c, const struct label *label)
{
    for (unsigned at = label->chain; at;) {
        struct filter_operation *op = &c->operation[at - 1];
        unsigned before = op->to;
        op->to = (uint16_t)(c->count - (at - 1));
        at = before;
    }
}

/* An operation that writes temporary `temp`. */
static struct filter_operation *emit_to(struct compiler *c, const struct filter_node *node,
                                        unsigned code, unsigned temp)
{
    if (temp >= FILTER_TEMPORARIES_MAX) {
        filter_complain(c->src, node->place,
                        "the filter is too deep: more than %d intermediate values are needed at "
                        "once",
                        FILTER_TEMPORARIES_MAX);
        return NULL;
    }
    struct filter_operation *op = emit(c, node, code);
    if (op) {
        op->to = (uint16_t)temp;
    }
    return op;
}

enum filter_arithmetic filter_arithmetic_of(enum filter_operator op, bool is_signed)
{
    switch (op) {
    case FILTER_ADD: return FILTER_ARITHMETIC_ADD;
    case FILTER_SUB: return FILTER_ARITHMETIC_SUB;
    case FILTER_MUL: return FILTER_ARITHMETIC_MUL;
    case FILTER_DIV: return is_signed ? FILTER_ARITHMETIC_DIVS : FILTER_ARITHMETIC_DIVU;
    case FILTER_REM: return is_signed ? FILTER_ARITHMETIC_REMS : FILTER_ARITHMETIC_REMU;
    case FILTER_BITAND: return FILTER_ARITHMETIC_AND;
    case FILTER_BITOR: return FILTER_ARITHMETIC_OR;
    case FILTER_BITXOR: return FILTER_ARITHMETIC_XOR;
    case FILTER_SHL: return FILTER_ARITHMETIC_SHL;
    case FILTER_SHR: return is_signed ? FILTER_ARITHMETIC_SHRS : FILTER_ARITHMETIC_SHRU;
    default: bug("filter: operator %d is not arithmetic", op);
    }
}

static bool is_logic(const struct filter_node *node)
{
    return node->kind == FILTER_NODE_BINARY &&
           filter_operators[node->op].class == FILTER_CLASS_LOGIC;
}

static bool is_comparison(const struct filter_node *node)
{
    return node->kind == FILTER_NODE_BINARY &&
           filter_operators[node->op].class == FILTER_CLASS_COMPARE;
}

/* Drops what only says "is zero" or "is not zero" around a value. */
static const struct filter_node *strip(const struct filter_node *node, bool *sense)
{
    for (;;) {
        bool is_not = node->kind == FILTER_NODE_UNARY && node->op == FILTER_NOT;
        bool with_zero = is_comparison(node) && node->right->kind == FILTER_NODE_CONSTANT &&
                         node->right->value == 0 &&
                         (node->op == FILTER_EQ || node->op == FILTER_NE);
        if (!is_not && !with_zero) {
            return node;
        }
        *sense ^= is_not || node->op == FILTER_EQ;
        node = node->left;
    }
}

static bool set_truth(struct compiler *c, const struct filter_node *node, unsigned temp);

/* Makes code for a number. Its place is an argument, or temporary `temp`. */
static bool operand(struct compiler *c, const struct filter_node *node, unsigned temp,
                    uint16_t *place)
{
    struct filter_operation *op;
    uint16_t a, b = 0;
    *place = (uint16_t)(FILTER_TEMPORARY + temp);
    switch (node->kind) {
    case FILTER_NODE_ARGUMENT:
        c->reads |= UINT32_C(1) << node->number;
        *place = node->number;
        return true;
    case FILTER_NODE_FIELD:
        op = emit_to(c, node, FILTER_NUMBER, temp);
        if (op) {
            op->a = node->number;
        }
        return op != NULL;
    case FILTER_NODE_CONSTANT:
        op = emit_to(c, node, FILTER_CONSTANT, temp);
        if (op) {
            op->imm = node->value;
        }
        return op != NULL;
    default: break;
    }
    if (node->boolean) {
        return set_truth(c, node, temp);
    }
    if (!operand(c, node->left, temp, &a)) {
        return false;
    }
    if (node->kind == FILTER_NODE_UNARY) {
        /* -a is a * -1, ~a is a ^ -1. */
        op =
            emit_to(c, node, node->op == FILTER_NEGATE ? FILTER_DO_MUL_RI : FILTER_DO_XOR_RI, temp);
        if (op) {
            op->a = a;
            op->imm = UINT64_MAX;
        }
        return op != NULL;
    }
    bool immediate = node->right->kind == FILTER_NODE_CONSTANT;
    if (!immediate && !operand(c, node->right, temp + (a >= FILTER_TEMPORARY), &b)) {
        return false;
    }
    unsigned what = filter_arithmetic_of(node->op, node->type == FILTER_SIGNED);
    op = emit_to(c, node, what + (immediate ? FILTER_FIRST_DO_RI : FILTER_FIRST_DO_RR), temp);
    if (op) {
        op->a = a;
        op->b = b;
        op->imm = immediate ? node->right->value : 0;
    }
    return op != NULL;
}

/* The predicate for `a op b`; <= and > are written with the operands exchanged. */
static unsigned predicate_of(enum filter_operator op, enum filter_type a, enum filter_type b)
{
    /* by signedness of a, then of b */
    static const uint8_t less[2][2] = {{FILTER_PREDICATE_LTU, FILTER_PREDICATE_LTUS},
                                       {FILTER_PREDICATE_LTSU, FILTER_PREDICATE_LTS}};
    bool a_signed = a == FILTER_SIGNED, b_signed = b == FILTER_SIGNED;
    switch (op) {
    case FILTER_EQ:
    case FILTER_NE:
        return (a_signed == b_signed ? FILTER_PREDICATE_EQ : FILTER_PREDICATE_EQSU) +
               (op == FILTER_NE);
    case FILTER_LT: return less[a_signed][b_signed];
    case FILTER_GE: return less[a_signed][b_signed] + 1u;
    default: bug("filter: operator %d has no predicate", op);
    }
}

/* Code for `predicate` over two numbers. The caller sets where it leads. */
static bool test_numbers(struct compiler *c, const struct filter_node *node, unsigned predicate,
                         const struct filter_node *left, const struct filter_node *right,
                         uint64_t constant, enum form form, unsigned temp)
{
    uint16_t a, b = 0;
    unsigned block;
    if (!operand(c, left, temp, &a)) {
        return false;
    }
    if (right && right->kind == FILTER_NODE_CONSTANT) {
        constant = right->value;
        right = NULL;
    }
    if (right) {
        if (!operand(c, right, temp + (a >= FILTER_TEMPORARY), &b)) {
            return false;
        }
        block = form == FORM_JUMP ? FILTER_FIRST_JUMP_RR : FILTER_FIRST_SET_RR;
    } else if (form == FORM_SET) {
        block = FILTER_FIRST_SET_RI;
    } else {
        block = a < FILTER_TEMPORARY ? FILTER_FIRST_JUMP_VI : FILTER_FIRST_JUMP_RI;
    }
    struct filter_operation *op = form == FORM_SET ? emit_to(c, node, block + predicate, temp)
                                                   : emit(c, node, block + predicate);
    if (op) {
        op->a = a;
        op->b = b;
        op->imm = right ? 0 : constant;
    }
    return op != NULL;
}

static bool test_comparison(struct compiler *c, const struct filter_node *node, bool sense,
                            enum form form, unsigned temp)
{
    const struct filter_node *left = node->left, *right = node->right;
    enum filter_operator op = node->op;
    if (op == FILTER_LE || op == FILTER_GT) {
        op = op == FILTER_LE ? FILTER_GE : FILTER_LT;
        left = node->right;
        right = node->left;
    }
    unsigned predicate = predicate_of(op, left->type, right->type) ^ !sense;
    return test_numbers(c, node, predicate, left, right, 0, form, temp);
}

static uint16_t string_operand(struct compiler *c, const struct filter_node *node)
{
    if (node->kind == FILTER_NODE_FIELD) {
        return (uint16_t)(FILTER_FIELD + node->number);
    }
    c->reads |= UINT32_C(1) << node->number;
    return node->number;
}

static bool test_strings(struct compiler *c, const struct filter_node *node, bool sense,
                         enum form form, unsigned temp)
{
    bool literal = node->right->kind == FILTER_NODE_STRING;
    bool glob = node->op == FILTER_MATCH || node->op == FILTER_NOMATCH;
    bool differs = node->op == FILTER_NE || node->op == FILTER_NOMATCH;
    unsigned test = glob      ? FILTER_STRING_GLOB_RI
                    : literal ? FILTER_STRING_SAME_RI
                              : FILTER_STRING_SAME_RR;
    test += differs == sense;
    struct filter_operation *op = form == FORM_SET
                                      ? emit_to(c, node, FILTER_FIRST_SET_STRING + test, temp)
                                      : emit(c, node, FILTER_FIRST_JUMP_STRING + test);
    if (!op) {
        return false;
    }
    op->a = string_operand(c, node->left);
    if (literal) {
        op->imm = c->nstrings;
        c->string[c->nstrings++] = (struct filter_string){
            mem_stringn(node->right->bytes, node->right->len), node->right->len};
    } else {
        op->b = string_operand(c, node->right);
    }
    return true;
}

/* One operation that says whether the truth of `node` is `sense`. */
static bool test(struct compiler *c, const struct filter_node *node, bool sense, enum form form,
                 unsigned temp)
{
    if (node->kind == FILTER_NODE_BINARY) {
        const struct filter_node *left = node->left;
        switch (filter_operators[node->op].class) {
        case FILTER_CLASS_MATCH: return test_strings(c, node, sense, form, temp);
        case FILTER_CLASS_COMPARE:
            return left->type == FILTER_TEXT ? test_strings(c, node, sense, form, temp)
                                             : test_comparison(c, node, sense, form, temp);
        default: break;
        }
        if (node->op == FILTER_BITAND) {
            unsigned predicate = sense ? FILTER_PREDICATE_ANY : FILTER_PREDICATE_NONE;
            return test_numbers(c, node, predicate, left, node->right, 0, form, temp);
        }
    }
    unsigned predicate = sense ? FILTER_PREDICATE_NE : FILTER_PREDICATE_EQ;
    return test_numbers(c, node, predicate, node, NULL, 0, form, temp);
}

/* 0 or 1 in temporary `temp`. */
static bool set_truth(struct compiler *c, const struct filter_node *node, unsigned temp)
{
    bool sense = true;
    node = strip(node, &sense);
    if (!is_logic(node)) {
        return test(c, node, sense, FORM_SET, temp);
    }
    struct label label = {0};
    struct filter_operation *op = emit_to(c, node, FILTER_CONSTANT, temp);
    if (!op || !condition(c, node, !sense, &label, temp + 1) ||
        !(op = emit_to(c, node, FILTER_CONSTANT, temp))) {
        return false;
    }
    op->imm = 1;
    bind(c, &label);
    return true;
}

/* Jumps to `label` if the truth of `node` is `sense`. */
static bool condition(struct compiler *c, const struct filter_node *node, bool sense,
                      struct label *label, unsigned temp)
{
    node = strip(node, &sense);
    if (!is_logic(node)) {
        if (!test(c, node, sense, FORM_JUMP, temp)) {
            return false;
        }
        add_jump(c, label);
        return true;
    }
    /* `a || b` jumps if true when either does; if false, a being true leads past b. */
    bool settles = node->op == FILTER_OR;
    if (sense == settles) {
        return condition(c, node->left, sense, label, temp) &&
               condition(c, node->right, sense, label, temp);
    }
    struct label past = {0};
    if (!condition(c, node->left, settles, &past, temp) ||
        !condition(c, node->right, sense, label, temp)) {
        return false;
    }
    bind(c, &past);
    return true;
}

static bool compile(struct compiler *c, const struct filter_node *root)
{
    if (root->kind == FILTER_NODE_CONSTANT) {
        return emit(c, root, root->value ? FILTER_ACCEPT : FILTER_REJECT) != NULL;
    }
    struct label reject = {0};
    if (!condition(c, root, false, &reject, 0) || !emit(c, root, FILTER_ACCEPT)) {
        return false;
    }
    bind(c, &reject);
    return emit(c, root, FILTER_REJECT) != NULL;
}

static struct trace_filter *finish(struct compiler *c)
{
    const struct filter_source *src = c->src;
    size_t size = c->count * sizeof c->operation[0];
    struct trace_filter *filter = mem_alloc(sizeof *filter + size);
    memcpy(filter->operation, c->operation, size);
    filter->count = c->count;
    filter->reads = c->reads;
    filter->nstrings = c->nstrings;
    filter->string = mem_resize(NULL, c->nstrings, sizeof c->string[0]);
    memcpy(filter->string, c->string, c->nstrings * sizeof c->string[0]);
    c->nstrings = 0;
    filter->nargs = src->decl->nargs;
    filter->arg = mem_resize(NULL, filter->nargs, sizeof filter->arg[0]);
    for (unsigned i = 0; i < filter->nargs; i++) {
        filter->arg[i] = mem_string(src->decl->arg[i].name);
    }
    filter->nfields = src->nfields;
    filter->field = mem_resize(NULL, filter->nfields, sizeof filter->field[0]);
    for (unsigned i = 0; i < filter->nfields; i++) {
        filter->field[i] = mem_string(src->fields[i].name);
    }
    return filter;
}

struct trace_filter *trace_filter_compile(const char *text, const struct trace_decl *decl,
                                          const struct trace_field *fields, unsigned nfields,
                                          bool *unknown, struct error *err)
{
    struct trace_filter *filter = NULL;
    struct compiler *c = mem_alloc(sizeof *c);
    struct filter_source src = {.text = text,
                                .len = (uint32_t)strnlen(text, FILTER_TEXT_MAX + 1),
                                .decl = decl,
                                .fields = fields,
                                .nfields = nfields,
                                .err = err};
    if (decl->nargs > TRACE_VALUES_MAX || nfields >= FILTER_FIELD) {
        bug("filter: %u arguments, %u context fields", decl->nargs, nfields);
    }
    c->src = &src;
    /* Every operator of the text is one node at most, and so is every value between them. */
    src.node = mem_resize(NULL, FILTER_OPERATORS_MAX * 2 + 2, sizeof src.node[0]);
    src.bytes = mem_alloc(src.len);
    struct filter_node *root;
    if (src.len > FILTER_TEXT_MAX) {
        filter_complain(&src, FILTER_TEXT_MAX, "the filter is too long: more than %d bytes",
                        FILTER_TEXT_MAX);
    } else if ((root = filter_parse(&src)) && filter_resolve(&src, root) &&
               filter_check(&src, root) && compile(c, root)) {
        filter = finish(c);
    }
    if (unknown) {
        *unknown = src.unknown;
    }
    for (unsigned i = 0; i < c->nstrings; i++) {
        free(c->string[i].bytes);
    }
    free(src.bytes);
    free(src.node);
    free(c);
    return filter;
}

void trace_filter_free(struct trace_filter *filter)
{
    if (!filter) {
        return;
    }
    for (unsigned i = 0; i < filter->nstrings; i++) {
        free(filter->string[i].bytes);
    }
    for (unsigned i = 0; i < filter->nargs; i++) {
        free(filter->arg[i]);
    }
    for (unsigned i = 0; i < filter->nfields; i++) {
        free(filter->field[i]);
    }
    free(filter->string);
    free(filter->arg);
    free(filter->field);
    free(filter);
}

uint32_t trace_filter_reads(const struct trace_filter *filter)
{
    return filter->reads;
}
