/* SPDX-License-Identifier: MIT
 *
 * Types: what each operator takes and gives. Recursion is as deep as the tree is high, which the
 * parser bounds. */
#include "trace/filter/syntax.h"

#include <string.h>

#include "base/glob.h"

static bool check(struct filter_source *src, struct filter_node *node,
                  const struct trace_words *words);

static const char *excerpt_of(struct filter_excerpt *excerpt, const struct filter_source *src,
                              const struct filter_node *node)
{
    return filter_excerpt(excerpt, src, node->start, node->end);
}

static bool need_number(const struct filter_source *src, const struct filter_node *node,
                        enum filter_operator op)
{
    if (node->type != FILTER_TEXT) {
        return true;
    }
    struct filter_excerpt shown;
    return filter_complain(src, node->start,
                           "'%s' takes numbers, and %s is a string (strings have == != =~ !~)",
                           filter_operators[op].text, excerpt_of(&shown, src, node));
}

static bool need_condition(const struct filter_source *src, const struct filter_node *node)
{
    if (node->type != FILTER_TEXT) {
        return true;
    }
    struct filter_excerpt shown;
    excerpt_of(&shown, src, node);
    if (node->kind == FILTER_NODE_STRING) {
        return filter_complain(src, node->start,
                               "%s is a string and no condition: compare it, as in name == %s",
                               shown.text, shown.text);
    }
    return filter_complain(src, node->start,
                           "'%s' is a string and no condition: compare it, as in %s == \"text\" or "
                           "%s =~ \"te*\"",
                           shown.text, shown.text, shown.text);
}

/* The type of what an operator makes of two numbers. */
static enum filter_type common_type(const struct filter_node *a, const struct filter_node *b)
{
    return a->type == FILTER_LITERAL   ? b->type
           : b->type == FILTER_LITERAL ? a->type
           : a->type == FILTER_SIGNED  ? b->type
                                       : FILTER_UNSIGNED;
}

static bool check_unary(struct filter_source *src, struct filter_node *node,
                        const struct trace_words *words)
{
    if (!check(src, node->left, node->op == FILTER_COMPLEMENT ? words : NULL)) {
        return false;
    }
    if (node->op == FILTER_NOT) {
        node->type = FILTER_UNSIGNED;
        node->boolean = true;
        return need_condition(src, node->left) && filter_fold_unary(src, node);
    }
    node->type = node->left->type;
    return need_number(src, node->left, node->op) && filter_fold_unary(src, node);
}

static bool check_logic(struct filter_source *src, struct filter_node *node)
{
    if (!check(src, node->left, NULL) || !need_condition(src, node->left) ||
        !check(src, node->right, NULL) || !need_condition(src, node->right)) {
        return false;
    }
    node->type = FILTER_UNSIGNED;
    node->boolean = true;
    filter_fold_logic(node);
    return true;
}

/* One side is a string and the other is not. The caret goes under the literal, if there is one. */
static bool complain_mixed(const struct filter_source *src, const struct filter_node *node)
{
    const struct filter_node *text = node->left->type == FILTER_TEXT ? node->left : node->right;
    const struct filter_node *number = text == node->left ? node->right : node->left;
    struct filter_excerpt text_shown, number_shown;
    excerpt_of(&text_shown, src, text);
    excerpt_of(&number_shown, src, number);
    if (text->kind == FILTER_NODE_STRING) {
        return filter_complain(src, text->start,
                               "%s is a string and '%s' is a number: write the number without "
                               "quotes",
                               text_shown.text, number_shown.text);
    }
    if (number->kind == FILTER_NODE_CONSTANT) {
        return filter_complain(src, number->start,
                               "'%s' is a string: compare it with a string in double quotes, as in "
                               "%s == \"%s\"",
                               text_shown.text, text_shown.text, number_shown.text);
    }
    return filter_complain(src, node->right->start,
                           "'%s' is a string and '%s' is a number: they cannot be compared",
                           text_shown.text, number_shown.text);
}

static bool same_text(const struct filter_node *a, const struct filter_node *b)
{
    return a->len == b->len && !memcmp(a->bytes, b->bytes, a->len);
}

static bool check_texts(struct filter_source *src, struct filter_node *node)
{
    if (node->op != FILTER_EQ && node->op != FILTER_NE) {
        return need_number(src, node->left, node->op);
    }
    if (node->left->kind == FILTER_NODE_STRING) {
        struct filter_node *literal = node->left;
        node->left = node->right;
        node->right = literal;
    }
    if (node->left->kind == FILTER_NODE_STRING) {
        bool same = same_text(node->left, node->right);
        filter_make_constant(node, FILTER_UNSIGNED, same == (node->op == FILTER_EQ));
    }
    return true;
}

static bool check_comparison(struct filter_source *src, struct filter_node *node)
{
    struct filter_node *left = node->left, *right = node->right;
    const struct trace_words *left_words = left->words;
    if (!check(src, left, right->words) || !check(src, right, left_words)) {
        return false;
    }
    node->type = FILTER_UNSIGNED;
    node->boolean = true;
    bool left_text = left->type == FILTER_TEXT, right_text = right->type == FILTER_TEXT;
    if (left_text && right_text) {
        return check_texts(src, node);
    }
    if (left_text || right_text) {
        return complain_mixed(src, node);
    }
    filter_fold_comparison(node);
    return true;
}

static bool check_match(struct filter_source *src, struct filter_node *node)
{
    const char *op = filter_operators[node->op].text;
    struct filter_node *left = node->left, *right = node->right;
    if (!check(src, left, NULL) || !check(src, right, NULL)) {
        return false;
    }
    if (left->type != FILTER_TEXT) {
        struct filter_excerpt shown;
        return filter_complain(src, left->start, "'%s' takes strings, and '%s' is a number", op,
                               excerpt_of(&shown, src, left));
    }
    if (right->kind != FILTER_NODE_STRING) {
        return filter_complain(src, right->start,
                               "a pattern in double quotes is expected after '%s', such as "
                               "\"vga*.bin\" (* is any text, ? any byte)",
                               op);
    }
    node->type = FILTER_UNSIGNED;
    node->boolean = true;
    if (left->kind == FILTER_NODE_STRING) {
        bool matches = glob_match_bytes(right->bytes, right->len, left->bytes, left->len);
        filter_make_constant(node, FILTER_UNSIGNED, matches == (node->op == FILTER_MATCH));
    }
    return true;
}

static bool check_arithmetic(struct filter_source *src, struct filter_node *node,
                             const struct trace_words *words)
{
    struct filter_node *left = node->left, *right = node->right;
    const struct trace_words *left_words = NULL, *right_words = NULL;
    if (filter_operators[node->op].class == FILTER_CLASS_BITS) {
        left_words = right->words ? right->words : words;
        right_words = left->words ? left->words : words;
    }
    if (!check(src, left, left_words) || !need_number(src, left, node->op) ||
        !check(src, right, right_words) || !need_number(src, right, node->op)) {
        return false;
    }
    bool divides = node->op == FILTER_DIV || node->op == FILTER_REM;
    if (divides && right->kind == FILTER_NODE_CONSTANT && right->value == 0) {
        return filter_complain(src, right->start, "division by zero: this is always 0");
    }
    node->type = common_type(left, right);
    return filter_fold_arithmetic(src, node);
}

static bool check_shift(struct filter_source *src, struct filter_node *node)
{
    struct filter_node *left = node->left, *right = node->right;
    if (!check(src, left, NULL) || !need_number(src, left, node->op) || !check(src, right, NULL) ||
        !need_number(src, right, node->op)) {
        return false;
    }
    node->type = left->type;
    if (left->type == FILTER_LITERAL && right->kind != FILTER_NODE_CONSTANT) {
        /* The count says nothing about the type. */
        node->type = left->negative ? FILTER_SIGNED : FILTER_UNSIGNED;
    }
    return filter_fold_arithmetic(src, node);
}

static bool check_binary(struct filter_source *src, struct filter_node *node,
                         const struct trace_words *words)
{
    switch (filter_operators[node->op].class) {
    case FILTER_CLASS_LOGIC: return check_logic(src, node);
    case FILTER_CLASS_COMPARE: return check_comparison(src, node);
    case FILTER_CLASS_MATCH: return check_match(src, node);
    case FILTER_CLASS_SHIFT: return check_shift(src, node);
    default: return check_arithmetic(src, node, words);
    }
}

/* `words` is the set that a word here belongs to first, or NULL. */
static bool check(struct filter_source *src, struct filter_node *node,
                  const struct trace_words *words)
{
    switch (node->kind) {
    case FILTER_NODE_NAME: return filter_resolve_word(src, node, words);
    case FILTER_NODE_STRING:
        node->type = FILTER_TEXT;
        return !words || filter_resolve_word(src, node, words);
    case FILTER_NODE_UNARY: return check_unary(src, node, words);
    case FILTER_NODE_BINARY: return check_binary(src, node, words);
    default: return true;
    }
}

bool filter_check(struct filter_source *src, struct filter_node *root)
{
    return check(src, root, NULL) && need_condition(src, root);
}
