/* SPDX-License-Identifier: MIT
 *
 * Tokens to a tree, by precedence. Recursion is bounded by FILTER_DEPTH_MAX, the height of the tree
 * by FILTER_OPERATORS_MAX.
 *
 * Precedence is C's. Two things that C takes and that rarely mean what they say are refused when
 * they stand without parentheses: & | ^ beside a comparison, and comparisons in a row. */
#include "trace/filter/syntax.h"

#include "base/error.h"

struct parser {
    struct filter_source *src;
    struct filter_token token; /* the next one */
    unsigned depth, operators;
};

static struct filter_node *parse_binary(struct parser *p, unsigned precedence);

static bool next(struct parser *p)
{
    return filter_lex(p->src, &p->token);
}

static struct filter_node *new_node(struct parser *p, enum filter_node_kind kind)
{
    struct filter_node *node = &p->src->node[p->src->nnodes++];
    *node = (struct filter_node){
        .kind = kind, .start = p->token.start, .end = p->token.end, .place = p->token.start};
    return node;
}

static bool enter(struct parser *p)
{
    if (p->depth == FILTER_DEPTH_MAX) {
        return filter_complain(p->src, p->token.start,
                               "parentheses and unary operators are nested more than %d deep here",
                               FILTER_DEPTH_MAX);
    }
    p->depth++;
    return true;
}

static bool count_operator(struct parser *p)
{
    if (p->operators == FILTER_OPERATORS_MAX) {
        return filter_complain(p->src, p->token.start,
                               "the filter has more than %d operators: this one is too many",
                               FILTER_OPERATORS_MAX);
    }
    p->operators++;
    return true;
}

static struct filter_node *parse_parentheses(struct parser *p)
{
    uint32_t open = p->token.start;
    if (!enter(p) || !next(p)) {
        return NULL;
    }
    struct filter_node *node = parse_binary(p, 1);
    if (!node) {
        return NULL;
    }
    if (p->token.kind != FILTER_TOKEN_CLOSE) {
        if (p->token.kind == FILTER_TOKEN_END) {
            filter_complain(p->src, open, "the '(' here has no ')'");
        } else {
            filter_complain(p->src, p->token.start,
                            "an operator such as && or == is expected here, or ')'");
        }
        return NULL;
    }
    node->parentheses = true;
    node->start = open;
    node->end = p->token.end;
    p->depth--;
    return next(p) ? node : NULL;
}

static struct filter_node *parse_leaf(struct parser *p)
{
    struct filter_node *node = NULL;
    switch (p->token.kind) {
    case FILTER_TOKEN_OPEN: return parse_parentheses(p);
    case FILTER_TOKEN_NUMBER:
        node = new_node(p, FILTER_NODE_CONSTANT);
        node->type = FILTER_LITERAL;
        node->value = p->token.value;
        break;
    case FILTER_TOKEN_STRING:
    case FILTER_TOKEN_NAME:
        node =
            new_node(p, p->token.kind == FILTER_TOKEN_NAME ? FILTER_NODE_NAME : FILTER_NODE_STRING);
        node->bytes = p->token.bytes;
        node->len = p->token.len;
        break;
    case FILTER_TOKEN_END:
        filter_complain(p->src, p->token.start,
                        "the expression ends where a value is expected: an argument, a context "
                        "field, a word, a number, a string or '('");
        return NULL;
    default: {
        struct filter_excerpt shown;
        filter_complain(p->src, p->token.start,
                        "a value is expected here, not '%s': an argument, a context field, a word, "
                        "a number, a string or '('",
                        filter_excerpt(&shown, p->src, p->token.start, p->token.end));
        return NULL;
    }
    }
    return next(p) ? node : NULL;
}

static struct filter_node *parse_unary(struct parser *p)
{
    enum filter_operator op = p->token.op;
    if (p->token.kind != FILTER_TOKEN_OPERATOR ||
        (op != FILTER_NOT && op != FILTER_COMPLEMENT && op != FILTER_SUB && op != FILTER_NOMATCH)) {
        return parse_leaf(p);
    }
    if (!count_operator(p) || !enter(p)) {
        return NULL;
    }
    struct filter_node *node = new_node(p, FILTER_NODE_UNARY);
    if (op == FILTER_NOMATCH) {
        /* Where a value begins, !~ is two operators: read the second one again. */
        node->op = FILTER_NOT;
        p->src->at = p->token.start + 1;
    } else {
        node->op = op == FILTER_SUB ? FILTER_NEGATE : op;
    }
    node->left = next(p) ? parse_unary(p) : NULL;
    if (!node->left) {
        return NULL;
    }
    node->end = node->left->end;
    p->depth--;
    return node;
}

static bool is_bare_comparison(const struct filter_node *node)
{
    unsigned class = filter_operators[node->op].class;
    return node->kind == FILTER_NODE_BINARY && !node->parentheses &&
           (class == FILTER_CLASS_COMPARE || class == FILTER_CLASS_MATCH);
}

/* The three values and two operators of `x op y op2 z`, whichever of the two binds tighter. */
struct triple {
    struct filter_excerpt x, y, z;
    const char *op, *op2;
};

static void read_triple(struct triple *t, const struct filter_source *src,
                        const struct filter_node *node, bool inner_is_left)
{
    const struct filter_node *inner = inner_is_left ? node->left : node->right;
    const struct filter_node *x = inner_is_left ? inner->left : node->left;
    const struct filter_node *y = inner_is_left ? inner->right : inner->left;
    const struct filter_node *z = inner_is_left ? node->right : inner->right;
    filter_excerpt(&t->x, src, x->start, x->end);
    filter_excerpt(&t->y, src, y->start, y->end);
    filter_excerpt(&t->z, src, z->start, z->end);
    t->op = filter_operators[inner_is_left ? inner->op : node->op].text;
    t->op2 = filter_operators[inner_is_left ? node->op : inner->op].text;
}

/* Refuses what would be read otherwise than it is meant. */
static bool refuse_traps(const struct filter_source *src, const struct filter_node *node)
{
    bool left = is_bare_comparison(node->left);
    if (!left && !is_bare_comparison(node->right)) {
        return true;
    }
    struct triple t;
    unsigned class = filter_operators[node->op].class;
    if (class == FILTER_CLASS_BITS) {
        read_triple(&t, src, node, left);
        return filter_complain(
            src, node->place,
            "'%s' and '%s' side by side need parentheses: write (%s %s %s) %s %s "
            "or %s %s (%s %s %s)",
            t.op, t.op2, t.x.text, t.op, t.y.text, t.op2, t.z.text, t.x.text, t.op, t.y.text, t.op2,
            t.z.text);
    }
    if (class == FILTER_CLASS_COMPARE || class == FILTER_CLASS_MATCH) {
        read_triple(&t, src, node, left);
        return filter_complain(
            src, node->place,
            "comparisons do not chain: write %s %s %s && %s %s %s, or put the one "
            "whose result (0 or 1) is compared in parentheses",
            t.x.text, t.op, t.y.text, t.y.text, t.op2, t.z.text);
    }
    return true;
}

static struct filter_node *parse_binary(struct parser *p, unsigned precedence)
{
    struct filter_node *left = parse_unary(p);
    while (left && p->token.kind == FILTER_TOKEN_OPERATOR &&
           filter_operators[p->token.op].precedence >= precedence) {
        if (!count_operator(p)) {
            return NULL;
        }
        struct filter_node *node = new_node(p, FILTER_NODE_BINARY);
        node->op = p->token.op;
        node->left = left;
        node->right = next(p) ? parse_binary(p, filter_operators[node->op].precedence + 1u) : NULL;
        if (!node->right) {
            return NULL;
        }
        node->start = left->start;
        node->end = node->right->end;
        if (!refuse_traps(p->src, node)) {
            return NULL;
        }
        left = node;
    }
    return left;
}

struct filter_node *filter_parse(struct filter_source *src)
{
    struct parser p = {.src = src};
    if (!next(&p)) {
        return NULL;
    }
    if (p.token.kind == FILTER_TOKEN_END) {
        filter_complain(src, p.token.start,
                        "the filter is empty: an expression such as 'size > 4 && ret != 0' is "
                        "expected");
        return NULL;
    }
    struct filter_node *root = parse_binary(&p, 1);
    if (root && p.token.kind != FILTER_TOKEN_END) {
        if (p.token.kind == FILTER_TOKEN_CLOSE) {
            filter_complain(src, p.token.start, "the ')' here has no '('");
        } else {
            filter_complain(src, p.token.start,
                            "an operator such as && or == is expected here, or the end");
        }
        return NULL;
    }
    return root;
}
