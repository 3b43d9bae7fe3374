/* SPDX-License-Identifier: MIT
 *
 * What names mean: arguments, context fields, words of enumerations and flag sets. */
#include "trace/filter/syntax.h"

#include <string.h>

#include "base/strbuf.h"

enum { LISTED_MAX = 300 }; /* bytes of a list of names in a complaint */

static bool same(const char *name, const struct filter_node *node)
{
    return strlen(name) == node->len && !memcmp(name, node->bytes, node->len);
}

static enum filter_type type_of(enum trace_kind kind)
{
    return kind == TRACE_STRING   ? FILTER_TEXT
           : kind == TRACE_SIGNED ? FILTER_SIGNED
                                  : FILTER_UNSIGNED;
}

/* The words of argument `i`, or NULL. */
static const struct trace_words *words_of(const struct trace_decl *decl, unsigned i)
{
    return decl->arg[i].kind == TRACE_STRING ? NULL : decl->arg[i].words;
}

static const struct trace_word *word_in(const struct trace_words *words,
                                        const struct filter_node *node)
{
    for (unsigned i = 0; words && i < words->count; i++) {
        if (same(words->row[i].word, node)) {
            return &words->row[i];
        }
    }
    return NULL;
}

static bool is_word(const struct filter_source *src, const struct filter_node *node)
{
    for (unsigned i = 0; i < src->decl->nargs; i++) {
        if (word_in(words_of(src->decl, i), node)) {
            return true;
        }
    }
    return false;
}

/* A word with '-' or the like at this place in the text, such as internal-error, or NULL. */
static const char *word_to_quote(const struct filter_source *src, const struct filter_node *node)
{
    for (unsigned i = 0; i < src->decl->nargs; i++) {
        const struct trace_words *words = words_of(src->decl, i);
        for (unsigned row = 0; words && row < words->count; row++) {
            const char *word = words->row[row].word;
            size_t len = strlen(word);
            if (len > node->len && len <= src->len - node->start &&
                !memcmp(word, src->text + node->start, len)) {
                return word;
            }
        }
    }
    return NULL;
}

static const char *nearest_name(const struct filter_source *src, const struct filter_node *node)
{
    const struct trace_decl *decl = src->decl;
    const char *best = NULL;
    for (unsigned i = 0; i < decl->nargs; i++) {
        best = filter_nearer(node->bytes, node->len, decl->arg[i].name, best);
    }
    for (unsigned i = 0; i < src->nfields; i++) {
        best = filter_nearer(node->bytes, node->len, src->fields[i].name, best);
    }
    for (unsigned i = 0; i < decl->nargs; i++) {
        const struct trace_words *words = words_of(decl, i);
        for (unsigned row = 0; words && row < words->count; row++) {
            best = filter_nearer(node->bytes, node->len, words->row[row].word, best);
        }
    }
    return best;
}

static void list_name(struct strbuf *list, const char *name)
{
    if (list->len < LISTED_MAX) {
        strbuf_printf(list, "%s%.64s%s", list->len ? ", " : "", name,
                      list->len + strlen(name) < LISTED_MAX ? "" : ", ...");
    }
}

static bool complain_unknown(struct filter_source *src, const struct filter_node *node)
{
    struct filter_excerpt shown;
    filter_excerpt(&shown, src, node->start, node->start + node->len);
    src->unknown = true;
    const char *quote = word_to_quote(src, node);
    if (quote) {
        return filter_complain(src, node->place,
                               "'%s' is not a name: a word that holds other characters than "
                               "letters, digits and _ is written in double quotes, \"%.64s\"",
                               shown.text, quote);
    }
    const char *guess = nearest_name(src, node);
    if (guess) {
        return filter_complain(src, node->place,
                               "event %.100s has no argument or context field '%s' (did you mean "
                               "'%s'?)",
                               src->decl->name, shown.text, guess);
    }
    struct strbuf list;
    strbuf_init(&list);
    for (unsigned i = 0; i < src->decl->nargs; i++) {
        list_name(&list, src->decl->arg[i].name);
    }
    for (unsigned i = 0; i < src->nfields; i++) {
        list_name(&list, src->fields[i].name);
    }
    filter_complain(src, node->place,
                    "event %.100s has no argument or context field '%s' (possible: %s)",
                    src->decl->name, shown.text, list.len ? list.data : "none");
    strbuf_free(&list);
    return false;
}

static bool resolve_name(struct filter_source *src, struct filter_node *node)
{
    for (unsigned i = 0; i < src->decl->nargs; i++) {
        const struct trace_arg *arg = &src->decl->arg[i];
        if (same(arg->name, node)) {
            node->kind = FILTER_NODE_ARGUMENT;
            node->type = type_of(arg->kind);
            node->number = (uint16_t)i;
            node->words = words_of(src->decl, i);
            return true;
        }
    }
    for (unsigned i = 0; i < src->nfields; i++) {
        if (same(src->fields[i].name, node)) {
            node->kind = FILTER_NODE_FIELD;
            node->type = type_of(src->fields[i].kind);
            node->number = (uint16_t)i;
            return true;
        }
    }
    return is_word(src, node) || complain_unknown(src, node);
}

bool filter_resolve(struct filter_source *src, struct filter_node *node)
{
    switch (node->kind) {
    case FILTER_NODE_NAME: return resolve_name(src, node);
    case FILTER_NODE_UNARY:
        if (!filter_resolve(src, node->left)) {
            return false;
        }
        if (node->op == FILTER_COMPLEMENT) {
            node->words = node->left->words;
        }
        return true;
    case FILTER_NODE_BINARY:
        if (!filter_resolve(src, node->left) || !filter_resolve(src, node->right)) {
            return false;
        }
        if (filter_operators[node->op].class == FILTER_CLASS_BITS) {
            node->words = node->left->words ? node->left->words : node->right->words;
        }
        return true;
    default: return true;
    }
}

static bool complain_no_word(const struct filter_source *src, const struct filter_node *node,
                             const struct trace_words *words)
{
    struct filter_excerpt shown;
    filter_excerpt(&shown, src, node->start, node->end);
    const char *guess = NULL;
    for (unsigned i = 0; i < words->count; i++) {
        guess = filter_nearer(node->bytes, node->len, words->row[i].word, guess);
    }
    if (guess) {
        return filter_complain(src, node->place,
                               "%s is not one of the words of %.64s (did you mean \"%s\"?)",
                               shown.text, words->name, guess);
    }
    struct strbuf list;
    strbuf_init(&list);
    for (unsigned i = 0; i < words->count; i++) {
        list_name(&list, words->row[i].word);
    }
    filter_complain(src, node->place, "%s is not one of the words of %.64s (possible: %s)",
                    shown.text, words->name, list.len ? list.data : "none");
    strbuf_free(&list);
    return false;
}

/* The word in the sets of all arguments. Two sets that disagree about it cannot be told apart. */
static bool find_word(const struct filter_source *src, const struct filter_node *node,
                      const struct trace_word **found)
{
    unsigned owner = 0;
    *found = NULL;
    for (unsigned i = 0; i < src->decl->nargs; i++) {
        const struct trace_word *row = word_in(words_of(src->decl, i), node);
        if (row && *found && row->value != (*found)->value) {
            struct filter_excerpt shown;
            return filter_complain(src, node->place,
                                   "'%s' is a word of %.64s and of %.64s with different values: "
                                   "compare it directly with one of these arguments, or write the "
                                   "number",
                                   filter_excerpt(&shown, src, node->start, node->end),
                                   src->decl->arg[owner].name, src->decl->arg[i].name);
        }
        if (row && !*found) {
            *found = row;
            owner = i;
        }
    }
    return true;
}

bool filter_resolve_word(struct filter_source *src, struct filter_node *node,
                         const struct trace_words *words)
{
    const struct trace_word *row = word_in(words, node);
    if (!row && node->kind == FILTER_NODE_STRING) {
        return complain_no_word(src, node, words);
    }
    if (!row && !find_word(src, node, &row)) {
        return false;
    }
    filter_make_constant(node, FILTER_LITERAL, row->value);
    node->pattern = true;
    return true;
}
