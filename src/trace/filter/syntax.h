/* SPDX-License-Identifier: MIT
 *
 * Inside the filter room: source text, tokens, the tree, and complaints with a caret.
 *
 * Read in this order: filter.h, this header, lex.c (text to tokens), parse.c (tokens to a tree),
 * names.c, check.c (types), fold.c (constants), program.h (operations), compile.c (tree to
 * operations), run.c, print.c.
 */
#ifndef TRACE_FILTER_SYNTAX_H
#define TRACE_FILTER_SYNTAX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "trace/decl/decl.h"
#include "trace/filter/filter.h"

enum {
    FILTER_TEXT_MAX = 4096,     /* bytes of an expression */
    FILTER_DEPTH_MAX = 64,      /* parentheses and unary operators inside one another */
    FILTER_OPERATORS_MAX = 512, /* operators in the text, so the height of the tree */
};

enum filter_operator {
    FILTER_OR,
    FILTER_AND,
    FILTER_BITOR,
    FILTER_BITXOR,
    FILTER_BITAND,
    FILTER_EQ,
    FILTER_NE,
    FILTER_MATCH,
    FILTER_NOMATCH,
    FILTER_LT,
    FILTER_LE,
    FILTER_GT,
    FILTER_GE,
    FILTER_SHL,
    FILTER_SHR,
    FILTER_ADD,
    FILTER_SUB,
    FILTER_MUL,
    FILTER_DIV,
    FILTER_REM,
    FILTER_NOT,
    FILTER_COMPLEMENT,
    FILTER_NEGATE,
};

/* What an operator does to its operands decides how they are checked. */
enum filter_class {
    FILTER_CLASS_LOGIC,
    FILTER_CLASS_BITS,
    FILTER_CLASS_COMPARE,
    FILTER_CLASS_MATCH,
    FILTER_CLASS_SHIFT,
    FILTER_CLASS_ARITHMETIC,
    FILTER_CLASS_UNARY,
};

struct filter_operator_row {
    const char *text;
    uint8_t precedence; /* higher binds tighter; 0: not a binary operator */
    uint8_t class;
};

extern const struct filter_operator_row filter_operators[];

enum filter_token_kind {
    FILTER_TOKEN_END,
    FILTER_TOKEN_NUMBER,
    FILTER_TOKEN_STRING,
    FILTER_TOKEN_NAME,
    FILTER_TOKEN_OPEN,
    FILTER_TOKEN_CLOSE,
    FILTER_TOKEN_OPERATOR,
};

struct filter_token {
    enum filter_token_kind kind;
    enum filter_operator op;
    uint32_t start, end; /* bytes of the text */
    uint64_t value;      /* of a number */
    const char *bytes;   /* a string without its escapes */
    uint32_t len;
};

/* FILTER_LITERAL is a number that has taken no type yet: it becomes what its other side is. */
enum filter_type { FILTER_UNSIGNED, FILTER_SIGNED, FILTER_LITERAL, FILTER_TEXT };

enum filter_node_kind {
    FILTER_NODE_CONSTANT,
    FILTER_NODE_STRING,
    FILTER_NODE_NAME, /* only until names are looked up */
    FILTER_NODE_ARGUMENT,
    FILTER_NODE_FIELD,
    FILTER_NODE_UNARY,
    FILTER_NODE_BINARY,
};

struct filter_node {
    uint8_t kind;             /* enum filter_node_kind */
    uint8_t op;               /* enum filter_operator, of unary and binary nodes */
    uint8_t type;             /* enum filter_type, after checking */
    bool parentheses;         /* it stands in parentheses of its own */
    bool boolean;             /* it is always 0 or 1 */
    bool negative;            /* of an untyped constant: `value` is below zero */
    bool pattern;             /* of an untyped constant: it is 64 bits (a word, ~0), not a number */
    uint16_t number;          /* of an argument or a field */
    uint32_t start, end;      /* bytes of the text, with the parentheses */
    uint32_t place;           /* where a caret goes: the operator of unary and binary nodes */
    struct filter_node *left; /* the operand of unary nodes */
    struct filter_node *right;
    uint64_t value;    /* of a constant */
    const char *bytes; /* of a string or a name */
    uint32_t len;
    const struct trace_words *words; /* of an argument, and of what & | ^ made of one */
};

/* One compilation. */
struct filter_source {
    const char *text;
    uint32_t len;
    const struct trace_decl *decl;
    const struct trace_field *fields;
    unsigned nfields;
    bool unknown; /* the reason of a failure is a name that the event does not have */
    struct error *err;

    uint32_t at; /* where the next token is looked for */
    struct filter_node *node;
    unsigned nnodes;
    char *bytes; /* strings without their escapes, one after the other */
    uint32_t nbytes;
};

/* The next token; at the end of the text FILTER_TOKEN_END again and again. */
bool filter_lex(struct filter_source *src, struct filter_token *token);

/* The tree of the whole text, or NULL. Its nodes belong to `src`. */
struct filter_node *filter_parse(struct filter_source *src);

/* Looks up arguments and context fields; refuses names that the event does not have. Words stay
 * names, for which of two sets is meant depends on what they stand beside. */
bool filter_resolve(struct filter_source *src, struct filter_node *node);

/* Makes a word, quoted or not, a constant. `words` is the set of what it stands beside, or NULL. */
bool filter_resolve_word(struct filter_source *src, struct filter_node *node,
                         const struct trace_words *words);

/* Gives types and folds constants. Afterwards there are no names in the tree; a constant beside a
 * value has its type and stands on the right of comparisons (of which only ==, !=, < and >= are
 * left) and of operators whose sides may change places. */
bool filter_check(struct filter_source *src, struct filter_node *root);

/* Folding, in fold.c. The node's operands are checked. Each does nothing where nothing can be
 * folded; those that can fail complain. */
void filter_make_constant(struct filter_node *node, enum filter_type type, uint64_t value);
bool filter_fold_unary(struct filter_source *src, struct filter_node *node);
bool filter_fold_arithmetic(struct filter_source *src, struct filter_node *node);
void filter_fold_comparison(struct filter_node *node);
void filter_fold_logic(struct filter_node *node);

/* Writes the complaint: the sentence, the expression (as much of it as fits a line), the caret
 * under byte `place`. Returns false. */
bool filter_complain(const struct filter_source *src, uint32_t place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A piece of the text made fit for a sentence: unprintable bytes replaced, a long piece cut. */
enum { FILTER_EXCERPT_MAX = 48 };
struct filter_excerpt {
    char text[FILTER_EXCERPT_MAX * 4 + 4];
};
const char *filter_excerpt(struct filter_excerpt *excerpt, const struct filter_source *src,
                           uint32_t start, uint32_t end);

/* The better guess at what `name` is a misspelling of, at most two edits away: call it for each
 * candidate with the best so far (NULL at first). */
const char *filter_nearer(const char *name, size_t len, const char *candidate, const char *best);

#endif
