/* SPDX-License-Identifier: MIT
 *
 * Reading TSDL: tokens, types, blocks. Nothing recurses, and memory is bounded by the few tables
 * below. */
#include "trace/read/ctf_tsdl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "trace/read/internal.h"
#include "trace/write/ctf_file.h"

enum { ALIASES_MAX = 64 };

enum token_kind {
    TOKEN_END,
    TOKEN_NAME,
    TOKEN_NUMBER,
    TOKEN_TEXT,   /* quoted; `start` is behind the first quotation mark */
    TOKEN_SIGN,   /* one character */
    TOKEN_ASSIGN, /* := */
    TOKEN_DOTS,   /* ... */
    TOKEN_WRONG,
};

struct token {
    enum token_kind kind;
    const char *start;
    size_t len;
};

struct alias {
    char name[TSDL_NAME_MAX];
    struct tsdl_type type;
};

struct parser {
    const char *path, *text, *at, *end;
    struct token token; /* the next one */
    const struct tsdl_visitor *visitor;
    struct error *err;
    bool failed; /* while stepping over a comment */
    unsigned aliases;
    struct alias alias[ALIASES_MAX];
    unsigned nfields;
    struct tsdl_field field[TSDL_FIELDS_MAX];
    char value[TSDL_TEXT_MAX];
};

/* --- tokens --- */

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool starts_with(const struct parser *p, const char *what)
{
    size_t len = strlen(what);
    return (size_t)(p->end - p->at) >= len && !memcmp(p->at, what, len);
}

/* Steps over a comment; hands its text out if it holds declarations. */
static void skip_comment(struct parser *p)
{
    const char *inside = p->at + sizeof CTF_DECLARATIONS - 1;
    bool ours = p->visitor && starts_with(p, CTF_DECLARATIONS);
    const char *stop = memmem(p->at + 2, (size_t)(p->end - p->at) - 2, "*/", 2);
    if (!stop) {
        stop = p->end;
    } else if (ours && stop >= inside &&
               !p->visitor->declarations(p->visitor->opaque, inside, (size_t)(stop - inside),
                                         p->err)) {
        p->failed = true;
    }
    p->at = stop == p->end ? stop : stop + 2;
}

static void skip_space(struct parser *p)
{
    while (p->at < p->end && !p->failed) {
        if (strchr(" \t\r\n\f\v", *p->at) && *p->at) {
            p->at++;
        } else if (starts_with(p, "/*")) {
            skip_comment(p);
        } else if (starts_with(p, "//")) {
            const char *stop = memchr(p->at, '\n', (size_t)(p->end - p->at));
            p->at = stop ? stop : p->end;
        } else {
            return;
        }
    }
}

static struct token read_quoted(struct parser *p)
{
    struct token t = {TOKEN_WRONG, ++p->at, 0};
    while (p->at < p->end && *p->at != '"' && *p->at != '\n') {
        p->at += *p->at == '\\' && p->end - p->at > 1 ? 2 : 1;
    }
    t.len = (size_t)(p->at - t.start);
    if (p->at < p->end && *p->at == '"') {
        t.kind = TOKEN_TEXT;
        p->at++;
    }
    return t;
}

static void next(struct parser *p)
{
    skip_space(p);
    struct token t = {TOKEN_END, p->at, 0};
    if (p->at < p->end && is_name_char(*p->at)) {
        t.kind = is_digit(*p->at) ? TOKEN_NUMBER : TOKEN_NAME;
        while (p->at < p->end && is_name_char(*p->at)) {
            p->at++;
        }
    } else if (p->at < p->end && *p->at == '"') {
        p->token = read_quoted(p);
        return;
    } else if (starts_with(p, "...")) {
        t.kind = TOKEN_DOTS;
        p->at += 3;
    } else if (starts_with(p, ":=")) {
        t.kind = TOKEN_ASSIGN;
        p->at += 2;
    } else if (p->at < p->end) {
        t.kind = *p->at && strchr("{}[]()<>;:=,.-+", *p->at) ? TOKEN_SIGN : TOKEN_WRONG;
        p->at++;
    }
    t.len = (size_t)(p->at - t.start);
    p->token = t;
}

static unsigned line_of(const struct parser *p, const char *at)
{
    unsigned line = 1;
    for (const char *c = p->text; c < at; c++) {
        line += *c == '\n';
    }
    return line;
}

/* What the visitor does not take. Returns false. */
static bool refused(struct parser *p, const char *at, const struct error *why)
{
    return error_set(p->err, "%s: line %u: %s", p->path, line_of(p, at), why->text);
}

/* "expected WHAT, found ..." with the line. Returns false. */
static bool expected(struct parser *p, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool expected(struct parser *p, const char *format, ...)
{
    if (p->failed) {
        return false; /* a comment was wrong: the sentence is there already */
    }
    char what[256], found[48];
    va_list ap;
    va_start(ap, format);
    vsnprintf(what, sizeof what, format, ap);
    va_end(ap);
    trace_reader_name(found, sizeof found, p->token.start, p->token.len);
    return error_set(p->err, "%s: line %u: expected %s, found %s%s%s", p->path,
                     line_of(p, p->token.start), what,
                     p->token.kind == TOKEN_END ? "the end of the file" : "'", found,
                     p->token.kind == TOKEN_END ? "" : "'");
}

static bool is(const struct parser *p, const char *what)
{
    enum token_kind kind = p->token.kind;
    return kind != TOKEN_TEXT && kind != TOKEN_END && p->token.len == strlen(what) &&
           !memcmp(p->token.start, what, p->token.len);
}

/* Takes the token if it is this one. */
static bool take(struct parser *p, const char *what)
{
    if (!is(p, what)) {
        return false;
    }
    next(p);
    return true;
}

static bool need(struct parser *p, const char *what)
{
    return take(p, what) || expected(p, "'%s'", what);
}

static bool need_name(struct parser *p, char name[TSDL_NAME_MAX], const char *what)
{
    if (p->token.kind != TOKEN_NAME || p->token.len >= TSDL_NAME_MAX) {
        return expected(p, "%s", what);
    }
    memcpy(name, p->token.start, p->token.len);
    name[p->token.len] = 0;
    next(p);
    return true;
}

/* A name with dots. */
static bool need_path(struct parser *p, char name[TSDL_NAME_MAX])
{
    char part[TSDL_NAME_MAX];
    size_t len = 0;
    name[0] = 0;
    do {
        if (!need_name(p, part, "a name")) {
            return false;
        }
        if (len + strlen(part) + 2 > TSDL_NAME_MAX) {
            return expected(p, "a shorter name than one of more than %d bytes", TSDL_NAME_MAX);
        }
        if (len) {
            name[len++] = '.';
        }
        memcpy(name + len, part, strlen(part) + 1);
        len += strlen(part);
    } while (take(p, "."));
    return true;
}

/* Decimal, 0x hexadecimal or octal, with C's suffixes. */
static bool need_number(struct parser *p, uint64_t *value)
{
    const char *c = p->token.start, *end = c + p->token.len;
    unsigned base = 10;
    bool fine = p->token.kind == TOKEN_NUMBER;
    if (fine && end - c > 1 && c[0] == '0') {
        base = (c[1] | 0x20) == 'x' ? 16 : 8;
        c += base == 16 ? 2 : 1;
        fine = c < end;
    }
    while (fine && end > c + 1 && strchr("uUlL", end[-1])) {
        end--;
    }
    *value = 0;
    for (; fine && c < end; c++) {
        int low = *c | 0x20;
        unsigned digit = is_digit(*c)               ? (unsigned)(*c - '0')
                         : low >= 'a' && low <= 'f' ? (unsigned)(low - 'a') + 10
                                                    : 99;
        fine = digit < base && !__builtin_mul_overflow(*value, (uint64_t)base, value) &&
               !__builtin_add_overflow(*value, (uint64_t)digit, value);
    }
    if (!fine) {
        return expected(p, "a number of at most 64 bits");
    }
    next(p);
    return true;
}

/* The quoted text without its escapes; a text that is too long is cut. */
static void unescape(const struct token *t, char *to, size_t size)
{
    size_t len = 0;
    for (size_t i = 0; i < t->len && len + 1 < size; i++) {
        i += t->start[i] == '\\' && i + 1 < t->len;
        to[len++] = t->start[i];
    }
    to[len] = 0;
}

/* --- types --- */

static const char order_here[] = {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    "le"
#else
    "be"
#endif
};

static bool check_order(struct parser *p)
{
    if (!is(p, order_here) && !is(p, "native")) {
        return expected(p, "byte order '%s', that of this machine (babeltrace2 reads others)",
                        order_here);
    }
    next(p);
    return true;
}

/* Everything is aligned to bytes in our traces. */
static bool check_align(struct parser *p)
{
    uint64_t align;
    struct token at = p->token;
    if (!need_number(p, &align)) {
        return false;
    }
    if (align != 1 && align != 8) {
        p->token = at;
        return expected(p, "an alignment of 8");
    }
    return true;
}

static bool integer_attribute(struct parser *p, struct tsdl_type *type)
{
    char name[TSDL_NAME_MAX];
    uint64_t size;
    if (!need_name(p, name, "an attribute of the integer") || !need(p, "=")) {
        return false;
    }
    if (!strcmp(name, "size")) {
        struct token at = p->token;
        if (!need_number(p, &size)) {
            return false;
        }
        if (size != 8 && size != 16 && size != 32 && size != 64) {
            p->token = at;
            return expected(p, "a size of 8, 16, 32 or 64");
        }
        type->bytes = (uint8_t)(size / 8);
        return true;
    }
    if (!strcmp(name, "align")) {
        return check_align(p);
    }
    if (!strcmp(name, "byte_order")) {
        return check_order(p);
    }
    if (!strcmp(name, "signed")) {
        type->is_signed = is(p, "true") || is(p, "TRUE") || is(p, "1");
        if (!type->is_signed && !is(p, "false") && !is(p, "FALSE") && !is(p, "0")) {
            return expected(p, "true or false");
        }
        next(p);
        return true;
    }
    if (p->token.kind == TOKEN_NUMBER) { /* base = 16 */
        return need_number(p, &size);
    }
    return need_path(p, name); /* map = ..., encoding = ... */
}

static bool parse_integer(struct parser *p, struct tsdl_type *type)
{
    *type = (struct tsdl_type){.kind = TSDL_NUMBER};
    if (!need(p, "{")) {
        return false;
    }
    while (!is(p, "}")) {
        if (!integer_attribute(p, type) || !need(p, ";")) {
            return false;
        }
    }
    if (!type->bytes) {
        return expected(p, "the size of the integer");
    }
    next(p);
    return true;
}

static bool parse_named(struct parser *p, struct tsdl_type *type)
{
    for (unsigned i = 0; i < p->aliases; i++) {
        if (is(p, p->alias[i].name)) {
            *type = p->alias[i].type;
            next(p);
            return true;
        }
    }
    return expected(p, "a type (integer, enum, string, or a name that typealias gave one)");
}

static bool parse_enum_value(struct parser *p)
{
    uint64_t value;
    take(p, "-");
    return need_number(p, &value);
}

/* The words are in the declarations too, so what stands here is only stepped over. */
static bool parse_enum(struct parser *p, struct tsdl_type *type)
{
    if (p->token.kind == TOKEN_NAME) {
        next(p);
    }
    if (!need(p, ":")) {
        return false;
    }
    if (!(take(p, "integer") ? parse_integer(p, type) : parse_named(p, type)) || !need(p, "{")) {
        return false;
    }
    if (type->kind != TSDL_NUMBER) {
        return expected(p, "an enumeration made of integers");
    }
    while (!is(p, "}")) {
        if (p->token.kind != TOKEN_TEXT && p->token.kind != TOKEN_NAME) {
            return expected(p, "a word of the enumeration");
        }
        next(p);
        if (take(p, "=") && (!parse_enum_value(p) ||
                             (p->token.kind == TOKEN_DOTS && (next(p), !parse_enum_value(p))))) {
            return false;
        }
        if (!is(p, "}") && !need(p, ",")) {
            return false;
        }
    }
    next(p);
    return true;
}

static bool parse_string(struct parser *p, struct tsdl_type *type)
{
    char name[TSDL_NAME_MAX];
    *type = (struct tsdl_type){.kind = TSDL_STRING};
    if (take(p, "{")) {
        while (!take(p, "}")) {
            if (!need_name(p, name, "an attribute of the string") || !need(p, "=") ||
                !need_path(p, name) || !need(p, ";")) {
                return false;
            }
        }
    }
    return true;
}

/* A type that is no struct. */
static bool parse_simple(struct parser *p, struct tsdl_type *type)
{
    if (take(p, "integer")) {
        return parse_integer(p, type);
    }
    if (take(p, "enum")) {
        return parse_enum(p, type);
    }
    return take(p, "string") ? parse_string(p, type) : parse_named(p, type);
}

static bool parse_field(struct parser *p)
{
    if (p->nfields == TSDL_FIELDS_MAX) {
        return expected(p, "at most %d fields in a struct", TSDL_FIELDS_MAX);
    }
    struct tsdl_field *f = &p->field[p->nfields++];
    uint64_t count = 0;
    if (!parse_simple(p, &f->type) || !need_name(p, f->name, "the name of a field")) {
        return false;
    }
    if (take(p, "[")) {
        struct token at = p->token;
        if (!need_number(p, &count)) {
            return false;
        }
        if (count == 0 || count > 1024) {
            p->token = at;
            return expected(p, "an array of 1 to 1024 elements");
        }
        if (!need(p, "]")) {
            return false;
        }
    }
    f->count = (uint32_t)count;
    return need(p, ";");
}

/* struct [name] { fields } [align(n)] */
static bool parse_struct(struct parser *p)
{
    p->nfields = 0;
    if (!need(p, "struct")) {
        return false;
    }
    if (p->token.kind == TOKEN_NAME) {
        next(p);
    }
    if (!need(p, "{")) {
        return false;
    }
    while (!take(p, "}")) {
        if (!parse_field(p)) {
            return false;
        }
    }
    return !take(p, "align") || (need(p, "(") && check_align(p) && need(p, ")"));
}

/* --- blocks --- */

static bool parse_alias(struct parser *p)
{
    if (p->aliases == ALIASES_MAX) {
        return expected(p, "at most %d uses of typealias", ALIASES_MAX);
    }
    /* Counted at the end: a type must not be made of itself. */
    struct alias *a = &p->alias[p->aliases];
    if (!parse_simple(p, &a->type)) {
        return false;
    }
    if (p->token.kind != TOKEN_ASSIGN) {
        return expected(p, "':='");
    }
    next(p);
    if (!need_name(p, a->name, "the name of a type") || !need(p, ";")) {
        return false;
    }
    p->aliases++;
    return true;
}

static bool parse_value(struct parser *p, struct tsdl_entry *e)
{
    if (p->token.kind == TOKEN_TEXT) {
        e->what = TSDL_IS_TEXT;
        unescape(&p->token, p->value, sizeof p->value);
        e->text = p->value;
        next(p);
        return true;
    }
    if (p->token.kind == TOKEN_NAME) {
        e->what = TSDL_IS_WORD;
        e->text = p->value;
        return need_path(p, p->value);
    }
    e->what = TSDL_IS_NUMBER;
    e->negative = take(p, "-");
    return need_number(p, &e->number);
}

static bool parse_entry(struct parser *p, const char *block)
{
    char name[TSDL_NAME_MAX];
    struct tsdl_entry e = {.block = block, .name = name};
    if (!need_path(p, name)) {
        return false;
    }
    if (p->token.kind == TOKEN_ASSIGN) {
        next(p);
        e.what = TSDL_IS_STRUCT;
        if (!parse_struct(p)) {
            return false;
        }
        e.field = p->field;
        e.nfields = p->nfields;
    } else if (!strcmp(name, "byte_order")) {
        return need(p, "=") && check_order(p) && need(p, ";");
    } else if (!need(p, "=") || !parse_value(p, &e)) {
        return false;
    }
    const char *at = p->token.start;
    struct error wrong;
    return need(p, ";") &&
           (p->visitor->entry(p->visitor->opaque, &e, &wrong) || refused(p, at, &wrong));
}

static bool parse_block(struct parser *p, const char *block)
{
    struct error wrong;
    p->visitor->begin(p->visitor->opaque, block);
    if (!need(p, "{")) {
        return false;
    }
    while (!is(p, "}")) {
        if (!parse_entry(p, block)) {
            return false;
        }
    }
    if (!p->visitor->end(p->visitor->opaque, block, &wrong)) {
        return refused(p, p->token.start, &wrong);
    }
    next(p);
    take(p, ";");
    return true;
}

bool tsdl_read(const char *path, const char *text, size_t len, const struct tsdl_visitor *visitor,
               struct error *err)
{
    static const char *const blocks[] = {"trace", "env", "clock", "stream", "event"};
    struct error unused;
    struct parser *p = mem_alloc(sizeof *p);
    p->path = path;
    p->text = p->at = text;
    p->end = text + len;
    p->visitor = visitor;
    p->err = err ? err : &unused;
    p->err->text[0] = 0;
    next(p);
    bool fine = true;
    while (fine && !p->failed && p->token.kind != TOKEN_END) {
        const char *block = NULL;
        for (size_t i = 0; i < sizeof blocks / sizeof *blocks && !block; i++) {
            block = take(p, blocks[i]) ? blocks[i] : NULL;
        }
        if (block) {
            fine = parse_block(p, block);
        } else if (take(p, "typealias")) {
            fine = parse_alias(p);
        } else {
            fine = take(p, ";") || expected(p, "typealias, trace, env, clock, stream or event");
        }
    }
    fine = fine && !p->failed;
    free(p);
    return fine;
}

bool tsdl_find_text(const char *text, size_t len, const char *name, char *value, size_t size)
{
    struct parser *p = mem_alloc(sizeof *p);
    bool found = false;
    p->text = p->at = text;
    p->end = text + len;
    next(p);
    while (!found && p->token.kind != TOKEN_END) {
        found = take(p, name) && take(p, "=") && p->token.kind == TOKEN_TEXT;
        if (found) {
            unescape(&p->token, value, size);
        } else {
            next(p);
        }
    }
    free(p);
    return found;
}
