/* SPDX-License-Identifier: MIT
 *
 * Constants: what is known when a filter is compiled. Untyped constants are numbers between -2^63
 * and 2^64, computed exactly; typed ones wrap as they do at run time. */
#include "trace/filter/program.h"

#include <string.h>

typedef __int128 wide;

static bool is_constant(const struct filter_node *node)
{
    return node->kind == FILTER_NODE_CONSTANT;
}

void filter_make_constant(struct filter_node *node, enum filter_type type, uint64_t value)
{
    node->kind = FILTER_NODE_CONSTANT;
    node->type = type;
    node->value = value;
    node->boolean = node->negative = node->pattern = false;
    node->words = NULL;
}

static void make_truth(struct filter_node *node, bool truth)
{
    filter_make_constant(node, FILTER_UNSIGNED, truth);
    node->boolean = true;
}

static wide number_of(const struct filter_node *c)
{
    bool negative = c->type == FILTER_SIGNED || (c->type == FILTER_LITERAL && c->negative);
    return negative ? (wide)(int64_t)c->value : (wide)c->value;
}

/* The same for a comparison: 64 bits without a type are the number that the other side sees. */
static wide number_beside(const struct filter_node *c, const struct filter_node *other)
{
    if (c->type != FILTER_LITERAL || !c->pattern) {
        return number_of(c);
    }
    bool negative = other->type == FILTER_SIGNED ||
                    (other->type == FILTER_LITERAL && other->negative && !other->pattern);
    return negative ? (wide)(int64_t)c->value : (wide)c->value;
}

static bool fits(wide number)
{
    return number >= INT64_MIN && number <= (wide)UINT64_MAX;
}

/* An untyped result. Bit operators keep the 64 bits of what does not fit; others cannot. */
static bool make_literal(struct filter_source *src, struct filter_node *node, wide number,
                         bool pattern, bool is_exact)
{
    if (is_exact && !fits(number)) {
        struct filter_excerpt shown;
        return filter_complain(src, node->place, "%s does not fit in 64 bits",
                               filter_excerpt(&shown, src, node->start, node->end));
    }
    bool fitting = fits(number);
    filter_make_constant(node, FILTER_LITERAL, (uint64_t)number);
    node->negative = fitting && number < 0;
    node->pattern = pattern || !fitting;
    return true;
}

bool filter_fold_unary(struct filter_source *src, struct filter_node *node)
{
    const struct filter_node *c = node->left;
    if (!is_constant(c)) {
        return true;
    }
    if (node->op == FILTER_NOT) {
        make_truth(node, c->value == 0);
        return true;
    }
    if (c->type != FILTER_LITERAL) {
        uint64_t value = node->op == FILTER_NEGATE ? 0 - c->value : ~c->value;
        filter_make_constant(node, c->type, value);
        return true;
    }
    return node->op == FILTER_NEGATE ? make_literal(src, node, -number_of(c), false, true)
                                     : make_literal(src, node, -number_of(c) - 1, true, false);
}

static bool fold_literal_shift(struct filter_source *src, struct filter_node *node)
{
    const struct filter_node *left = node->left;
    bool negative = left->negative, pattern = left->pattern;
    uint64_t value =
        filter_compute(filter_arithmetic_of(node->op, negative), left->value, node->right->value);
    wide number = negative ? (wide)(int64_t)value : (wide)value;
    return make_literal(src, node, number, pattern, true);
}

static bool fold_literals(struct filter_source *src, struct filter_node *node)
{
    wide a = number_of(node->left), b = number_of(node->right), result = 0;
    bool pattern = node->left->pattern || node->right->pattern;
    switch (node->op) {
    case FILTER_ADD: return make_literal(src, node, a + b, false, true);
    case FILTER_SUB: return make_literal(src, node, a - b, false, true);
    case FILTER_DIV: return make_literal(src, node, a / b, false, true);
    case FILTER_REM: return make_literal(src, node, a % b, false, true);
    case FILTER_MUL:
        /* An overflow of 128 bits is one of 64 bits too. */
        if (__builtin_mul_overflow(a, b, &result)) {
            result = (wide)UINT64_MAX + 1;
        }
        return make_literal(src, node, result, false, true);
    case FILTER_BITAND: return make_literal(src, node, a & b, pattern, false);
    case FILTER_BITOR: return make_literal(src, node, a | b, pattern, false);
    case FILTER_BITXOR: return make_literal(src, node, a ^ b, pattern, false);
    default: bug("filter: operator %d is not arithmetic", node->op);
    }
}

bool filter_fold_arithmetic(struct filter_source *src, struct filter_node *node)
{
    struct filter_node *left = node->left, *right = node->right;
    if (is_constant(left) && is_constant(right)) {
        if (filter_operators[node->op].class == FILTER_CLASS_SHIFT) {
            if (left->type == FILTER_LITERAL) {
                return fold_literal_shift(src, node);
            }
        } else if (node->type == FILTER_LITERAL) {
            return fold_literals(src, node);
        }
        enum filter_type type = node->type;
        enum filter_arithmetic what = filter_arithmetic_of(node->op, type == FILTER_SIGNED);
        filter_make_constant(node, type, filter_compute(what, left->value, right->value));
        return true;
    }
    bool swaps = node->op == FILTER_ADD || node->op == FILTER_MUL ||
                 filter_operators[node->op].class == FILTER_CLASS_BITS;
    if (is_constant(left) && swaps) {
        node->left = right;
        node->right = left;
    }
    return true;
}

static bool compare(enum filter_operator op, wide a, wide b)
{
    switch (op) {
    case FILTER_EQ: return a == b;
    case FILTER_NE: return a != b;
    case FILTER_LT: return a < b;
    case FILTER_LE: return a <= b;
    case FILTER_GT: return a > b;
    case FILTER_GE: return a >= b;
    default: bug("filter: operator %d does not compare", op);
    }
}

static enum filter_operator mirrored(enum filter_operator op)
{
    switch (op) {
    case FILTER_LT: return FILTER_GT;
    case FILTER_LE: return FILTER_GE;
    case FILTER_GT: return FILTER_LT;
    case FILTER_GE: return FILTER_LE;
    default: return op;
    }
}

/* A value on the left, a constant on the right. Outside of what the type holds, the constant is on
 * the same side of every value, and so one comparison tells all. Inside, <= and > become < and >=
 * of the next number. */
static void fold_against(struct filter_node *node)
{
    struct filter_node *c = node->right;
    bool is_signed = node->left->type == FILTER_SIGNED;
    wide low = is_signed ? (wide)INT64_MIN : 0, high = is_signed ? (wide)INT64_MAX : UINT64_MAX;
    wide number = number_beside(c, node->left);
    bool of_low = compare(node->op, low, number), of_high = compare(node->op, high, number);
    bool is_order = node->op != FILTER_EQ && node->op != FILTER_NE;
    if (is_order ? of_low == of_high : number < low || number > high) {
        make_truth(node, of_low);
        return;
    }
    if (node->op == FILTER_LE || node->op == FILTER_GT) {
        node->op = node->op == FILTER_LE ? FILTER_LT : FILTER_GE;
        number++;
    }
    filter_make_constant(c, node->left->type, (uint64_t)number);
}

void filter_fold_comparison(struct filter_node *node)
{
    struct filter_node *left = node->left, *right = node->right;
    if (is_constant(left) && is_constant(right)) {
        make_truth(node, compare(node->op, number_beside(left, right), number_beside(right, left)));
        return;
    }
    if (is_constant(left)) {
        node->op = mirrored(node->op);
        node->left = right;
        node->right = left;
    }
    if (is_constant(node->right)) {
        fold_against(node);
    }
}

/* Makes `node`, of which `c` is a constant operand, the truth of its other operand. */
static void make_truth_of(struct filter_node *node, struct filter_node *operand,
                          struct filter_node *c)
{
    if (operand->boolean) {
        *node = *operand;
        return;
    }
    filter_make_constant(c, operand->type, 0);
    node->op = FILTER_NE;
    node->left = operand;
    node->right = c;
}

void filter_fold_logic(struct filter_node *node)
{
    struct filter_node *left = node->left, *right = node->right;
    if (!is_constant(left) && !is_constant(right)) {
        return;
    }
    struct filter_node *c = is_constant(left) ? left : right;
    struct filter_node *other = is_constant(left) ? right : left;
    bool decides = node->op == FILTER_OR; /* the value that settles the result */
    if ((c->value != 0) == decides) {
        make_truth(node, decides);
    } else if (is_constant(other)) {
        make_truth(node, other->value != 0);
    } else {
        make_truth_of(node, other, c);
    }
}
