/* SPDX-License-Identifier: MIT
 *
 * Comment lines that say something: `# file.c` names the source of what follows, `#@enum` and
 * `#@flags` declare words for values, `#@args` gives them to the arguments of the next declaration.
 */
#include "trace/decl/internal.h"

#include <string.h>

/* The words of a line, one after another. */
struct token {
    const char *text;
    size_t len;
};

static struct token next_token(const char **p, const char *end)
{
    struct token t;
    t.text = *p = decl_skip_blanks(*p, end);
    while (*p < end && !decl_is_blank(**p)) {
        (*p)++;
    }
    t.len = (size_t)(*p - t.text);
    return t;
}

/* A mistake in a `#@` line: an error in our own files; in others the line is a comment. */
static bool mistake(struct decl_reader *r, const char *at, const char *text)
{
    if (r->dialect == TRACE_DIALECT_OWN) {
        return decl_fail(r, at, "%s", text);
    }
    decl_warn(r, at, "%s (the line is left out)", text);
    return true;
}

static bool is_word(struct token t)
{
    for (size_t i = 0; i < t.len; i++) {
        if (!decl_is_name_char(t.text[i]) && !strchr(".+-", t.text[i] ? t.text[i] : ' ')) {
            return false;
        }
    }
    return t.len > 0 && t.len <= DECL_WORD_MAX;
}

static bool is_set_name(struct token t)
{
    for (size_t i = 0; i < t.len; i++) {
        if (!decl_is_name_char(t.text[i])) {
            return false;
        }
    }
    return t.len > 0 && t.len <= DECL_WORD_MAX;
}

/* Decimal, hexadecimal or negative decimal. */
static bool read_value(const char *p, const char *end, uint64_t *value)
{
    bool negative = p < end && *p == '-';
    p += negative;
    unsigned base = 10;
    if (end - p > 2 && p[0] == '0' && (p[1] | 0x20) == 'x') {
        base = 16;
        p += 2;
    }
    if (p == end) {
        return false;
    }
    *value = 0;
    for (; p < end; p++) {
        unsigned digit = *p >= '0' && *p <= '9' ? (unsigned)(*p - '0')
                         : (*p | 0x20) >= 'a' && (*p | 0x20) <= 'f'
                             ? (unsigned)(*p | 0x20) - 'a' + 10
                             : 99;
        if (digit >= base || __builtin_mul_overflow(*value, (uint64_t)base, value) ||
            __builtin_add_overflow(*value, (uint64_t)digit, value)) {
            return false;
        }
    }
    if (negative) {
        if (base != 10 || *value > (uint64_t)INT64_MAX + 1) {
            return false;
        }
        *value = 0 - *value;
    }
    return true;
}

/* Reads `VALUE=WORD ...` into `row`. Returns the number of rows, or -1 after a mistake, whose
 * verdict is in `*ok`. */
static int read_rows(struct decl_reader *r, const char *p, struct trace_word *row, bool *ok)
{
    int count = 0;
    for (struct token t = next_token(&p, r->end); t.len; t = next_token(&p, r->end)) {
        const char *equals = memchr(t.text, '=', t.len);
        uint64_t value;
        struct token word = {equals ? equals + 1 : t.text, 0};
        word.len = (size_t)(t.text + t.len - word.text);
        const char *wrong = NULL;
        const char *at = t.text;
        if (!equals || !read_value(t.text, equals, &value)) {
            wrong = "expected VALUE=WORD with a decimal, hexadecimal or negative value of 64 bits";
        } else if (!is_word(word)) {
            wrong = "a word consists of 1 to 64 of the characters A-Z a-z 0-9 _ . + -";
            at = word.text;
        } else if (count == DECL_WORDS_MAX) {
            wrong = "too many words in one set: at most 512 are allowed";
        }
        for (int i = 0; !wrong && i < count; i++) {
            if (row[i].value == value) {
                wrong = "this value has a word already";
            } else if (strlen(row[i].word) == word.len &&
                       memcmp(row[i].word, word.text, word.len) == 0) {
                wrong = "this word has a value already";
                at = word.text;
            }
        }
        if (wrong) {
            *ok = mistake(r, at, wrong);
            return -1;
        }
        row[count].value = value;
        row[count++].word = decl_store_string(r->decls, word.text, word.len);
    }
    return count;
}

/* `#@enum NAME VALUE=WORD ...` */
static bool read_set(struct decl_reader *r, const char *p, bool flags)
{
    struct token name = next_token(&p, r->end);
    if (!is_set_name(name)) {
        return mistake(r, name.text,
                       "expected the name of the set: 1 to 64 letters, digits and '_'");
    }
    struct trace_word rows[DECL_WORDS_MAX];
    bool ok = true;
    int count = read_rows(r, p, rows, &ok);
    if (count > 0 && (r->words += (unsigned)count) > DECL_WORDS_TOTAL_MAX) {
        return decl_fail(r, name.text, "too many words in all sets: at most %d are allowed",
                         DECL_WORDS_TOTAL_MAX);
    }
    if (count < 0) {
        return ok;
    }
    if (count == 0) {
        return mistake(r, r->end, "the set has no words: expected VALUE=WORD");
    }
    struct trace_words *words = decl_store_alloc(r->decls, sizeof *words);
    struct trace_word *row = decl_store_alloc(r->decls, (size_t)count * sizeof *row);
    memcpy(row, rows, (size_t)count * sizeof *row);
    *words = (struct trace_words){decl_store_string(r->decls, name.text, name.len), flags,
                                  (unsigned)count, row};
    const struct trace_words *old = decl_store_find_words(r->decls, name.text, name.len);
    if (old) {
        return trace_words_same(old, words) ||
               decl_fail(r, name.text,
                         "the set '%s' was declared before with other words: the same set or "
                         "another name is allowed",
                         words->name);
    }
    return decl_store_add_words(r->decls, words) ||
           decl_fail(r, name.text, "too many sets of words: at most %d are allowed", DECL_SETS_MAX);
}

/* `#@args ARG:SET ...` */
static bool read_args(struct decl_reader *r, const char *p)
{
    struct token t = next_token(&p, r->end);
    if (!t.len) {
        return mistake(r, t.text, "expected ARG:SET after '#@args'");
    }
    for (; t.len; t = next_token(&p, r->end)) {
        const char *colon = memchr(t.text, ':', t.len);
        if (!colon || colon == t.text) {
            return mistake(r, t.text, "expected ARG:SET, the name of an argument and of a set");
        }
        size_t set_len = (size_t)(t.text + t.len - colon - 1);
        const struct trace_words *words = decl_store_find_words(r->decls, colon + 1, set_len);
        if (!words) {
            char text[160];
            snprintf(text, sizeof text,
                     "no set '%s': '#@enum' or '#@flags' must declare it above this line",
                     decl_quote(colon + 1, set_len).text);
            return mistake(r, colon + 1, text);
        }
        if (r->npending == TRACE_VALUES_MAX) {
            return mistake(r, t.text, "more arguments than a declaration can have");
        }
        r->pending[r->npending++] =
            (struct decl_pending){decl_store_string(r->decls, t.text, (size_t)(colon - t.text)),
                                  words, r->line, (unsigned)(t.text - r->text) + 1};
    }
    return true;
}

static bool read_mark(struct decl_reader *r, const char *p)
{
    const char *at = p;
    struct token t = next_token(&p, r->end);
    if (t.len == 6 && memcmp(t.text, "#@enum", 6) == 0) {
        return read_set(r, p, false);
    }
    if (t.len == 7 && memcmp(t.text, "#@flags", 7) == 0) {
        return read_set(r, p, true);
    }
    if (t.len == 6 && memcmp(t.text, "#@args", 6) == 0) {
        return read_args(r, p);
    }
    if (r->dialect == TRACE_DIALECT_OWN) {
        return decl_fail(r, at, "unknown line '%s': #@enum, #@flags and #@args are allowed",
                         decl_quote(t.text, t.len).text);
    }
    return true;
}

/* `# file.c`: one word that looks like a path. */
static void read_source(struct decl_reader *r, const char *p)
{
    struct token t = next_token(&p, r->end);
    struct token more = next_token(&p, r->end);
    bool path = false;
    for (size_t i = 0; i < t.len; i++) {
        path |= t.text[i] == '.' || t.text[i] == '/';
        if (!decl_is_name_char(t.text[i]) && !strchr("./+-", t.text[i] ? t.text[i] : ' ')) {
            return;
        }
    }
    if (path && !more.len && t.len <= DECL_NAME_MAX && decl_is_name_char(t.text[t.len - 1])) {
        r->source_text = t.text;
        r->source_len = t.len;
        r->source = NULL;
    }
}

bool decl_read_comment(struct decl_reader *r, const char *text)
{
    if (text + 1 < r->end && text[1] == '@') {
        if (++r->marks > DECL_MARKS_MAX) {
            return decl_fail(r, text, "too many '#@' lines: at most %d are allowed",
                             DECL_MARKS_MAX);
        }
        return read_mark(r, text);
    }
    read_source(r, text + 1);
    return true;
}

/* True if the value can occur in such an argument. */
static bool value_fits(const struct trace_arg *arg, uint64_t value, bool flags)
{
    if (arg->kind == TRACE_BOOL) {
        return value <= 1;
    }
    if (arg->bits == 64) {
        return true;
    }
    uint64_t top = UINT64_C(1) << arg->bits;
    if (arg->kind == TRACE_UNSIGNED) {
        return value < top;
    }
    int64_t v = (int64_t)value;
    if (flags && value < top) {
        return true;
    }
    return v >= -(int64_t)(top / 2) && v < (int64_t)(top / 2);
}

/* A mistake in a word of a waiting `#@args`, at the place where it stood. */
static bool pending_mistake(struct decl_reader *r, unsigned i, const char *text)
{
    const struct decl_pending *wait = &r->pending[i];
    if (r->dialect == TRACE_DIALECT_OWN) {
        return decl_fail_place(r, wait->line, wait->column, text);
    }
    decl_warn_place(r, wait->line, wait->column, text);
    return true;
}

static bool apply_one(struct decl_reader *r, unsigned i, struct trace_decl *decl)
{
    const struct decl_pending *wait = &r->pending[i];
    char text[256];
    unsigned n = 0;
    while (n < decl->nargs && strcmp(decl->arg[n].name, wait->arg) != 0) {
        n++;
    }
    struct decl_quote q = decl_quote(wait->arg, strlen(wait->arg));
    if (n == decl->nargs) {
        snprintf(text, sizeof text, "event '%.64s' has no argument '%s'", decl->name, q.text);
        return pending_mistake(r, i, text);
    }
    struct trace_arg *arg = &decl->arg[n];
    if (arg->kind == TRACE_STRING || arg->kind == TRACE_POINTER) {
        snprintf(text, sizeof text, "argument '%s' is no number: only numbers can have words",
                 q.text);
        return pending_mistake(r, i, text);
    }
    if (arg->words && arg->words != wait->words) {
        snprintf(text, sizeof text, "argument '%s' has words already", q.text);
        return pending_mistake(r, i, text);
    }
    for (unsigned row = 0; row < wait->words->count; row++) {
        if (r->dialect == TRACE_DIALECT_OWN &&
            !value_fits(arg, wait->words->row[row].value, wait->words->flags)) {
            snprintf(text, sizeof text, "the value of '%s' does not fit argument '%s' of type '%s'",
                     wait->words->row[row].word, q.text, arg->type);
            return pending_mistake(r, i, text);
        }
    }
    arg->words = wait->words;
    return true;
}

bool decl_apply_pending(struct decl_reader *r, struct trace_decl *decl)
{
    for (unsigned i = 0; i < r->npending; i++) {
        if (!apply_one(r, i, decl)) {
            return false;
        }
    }
    return true;
}
