/* SPDX-License-Identifier: MIT
 *
 * Conversions of printf formats: taking them apart, comparing them with types, PRI macros. */
#include "trace/decl/conversion.h"

#include <string.h>

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static const char *parse_flags(const char *p, struct trace_conversion *c)
{
    for (;; p++) {
        switch (*p) {
        case '-': c->left = true; break;
        case '+': c->plus = true; break;
        case ' ': c->space = true; break;
        case '#': c->alternate = true; break;
        case '0': c->zero = true; break;
        case '\'': c->group = true; break;
        default: return p;
        }
    }
}

/* Digits or a star. */
static const char *parse_count(const char *p, int *count, bool *from_arg, bool *wide)
{
    if (*p == '*') {
        *from_arg = true;
        return p + 1;
    }
    while (is_digit(*p)) {
        *count = (*count < 0 ? 0 : *count) * 10 + (*p - '0');
        if (*count > TRACE_WIDTH_MAX) {
            *count = TRACE_WIDTH_MAX;
            *wide = true;
        }
        p++;
    }
    return p;
}

static const char *parse_length(const char *p, struct trace_conversion *c)
{
    switch (*p) {
    case 'h': c->length = p[1] == 'h' ? TRACE_LENGTH_HH : TRACE_LENGTH_H; break;
    case 'l': c->length = p[1] == 'l' ? TRACE_LENGTH_LL : TRACE_LENGTH_L; break;
    case 'q': c->length = TRACE_LENGTH_LL; return p + 1;
    case 'j': c->length = TRACE_LENGTH_J; return p + 1;
    case 'z': c->length = TRACE_LENGTH_Z; return p + 1;
    case 't': c->length = TRACE_LENGTH_T; return p + 1;
    default: return p;
    }
    return p[1] == p[0] ? p + 2 : p + 1;
}

void trace_conversion_parse(const char *percent, struct trace_conversion *c)
{
    *c = (struct trace_conversion){.start = percent, .width = -1, .precision = -1};
    const char *p = parse_flags(percent + 1, c);
    p = parse_count(p, &c->width, &c->width_arg, &c->wide);
    if (*p == '.') {
        c->precision = 0;
        p = parse_count(p + 1, &c->precision, &c->precision_arg, &c->wide);
    }
    c->spec = p;
    p = parse_length(p, c);
    if (is_letter(*p) || *p == '%') {
        c->letter = *p;
        c->end = p + 1;
    } else {
        c->end = p;
    }
}

bool trace_conversion_is_integer(const struct trace_conversion *c)
{
    switch (c->letter) {
    case 'd':
    case 'i':
    case 'u':
    case 'x':
    case 'X':
    case 'o': return true;
    default: return false;
    }
}

bool trace_conversion_takes_argument(const struct trace_conversion *c)
{
    switch (c->letter) {
    case 'c':
    case 's':
    case 'p':
    case 'n':
    case 'a':
    case 'A':
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G': return true;
    default: return trace_conversion_is_integer(c);
    }
}

/* The flags that a letter can have; compilers warn about all others. */
static bool flags_fit(const struct trace_conversion *c)
{
    static const struct {
        const char *letters, *flags;
        bool precision;
    } rows[] = {
        {"di", "-+ 0'", true}, {"u", "-0'", true}, {"xXo", "-#0", true},
        {"s", "-", true},      {"cp", "-", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (!strchr(rows[i].letters, c->letter)) {
            continue;
        }
        bool precision = c->precision >= 0 || c->precision_arg;
        const char *flags = rows[i].flags;
        return !(c->left && !strchr(flags, '-')) && !(c->plus && !strchr(flags, '+')) &&
               !(c->space && !strchr(flags, ' ')) && !(c->alternate && !strchr(flags, '#')) &&
               !(c->zero && !strchr(flags, '0')) && !(c->group && !strchr(flags, '\'')) &&
               !(precision && !rows[i].precision) && !(c->zero && (c->left || precision)) &&
               !(c->plus && c->space);
    }
    return true;
}

static const char *integer_misfit(const struct trace_conversion *c, const struct trace_type *type)
{
    if (type->kind == TRACE_STRING || type->kind == TRACE_POINTER) {
        return "needs an integer";
    }
    bool fits = false;
    switch (c->length) {
    case TRACE_LENGTH_NONE: fits = type->bits <= 32; break;
    case TRACE_LENGTH_HH: fits = type->bits == 8; break;
    case TRACE_LENGTH_H: fits = type->bits == 16; break;
    case TRACE_LENGTH_LL: fits = type->long_long; break;
    case TRACE_LENGTH_L:
    case TRACE_LENGTH_J:
    case TRACE_LENGTH_Z:
    case TRACE_LENGTH_T: fits = type->bits == 64 && !type->long_long; break;
    }
    return fits ? NULL : "has another width";
}

const char *trace_conversion_misfit(const struct trace_conversion *c, const struct trace_type *type)
{
    const char *wrong = NULL;
    if (trace_conversion_is_integer(c)) {
        wrong = integer_misfit(c, type);
    } else if (c->letter == 'c') {
        bool number = type->kind != TRACE_STRING && type->kind != TRACE_POINTER;
        wrong = number && type->bits <= 32 ? NULL : "needs a char or an int";
    } else if (c->letter == 's') {
        wrong = type->kind == TRACE_STRING ? NULL : "needs a 'const char *'";
    } else if (c->letter == 'p') {
        wrong = type->kind == TRACE_POINTER ? NULL : "needs an address";
    } else {
        wrong = "shows nothing that an argument can hold";
    }
    if (!wrong && c->length != TRACE_LENGTH_NONE && !trace_conversion_is_integer(c)) {
        wrong = "takes no length modifier here";
    }
    if (!wrong && !flags_fit(c)) {
        wrong = "has flags or a precision that have no effect";
    }
    return wrong;
}

bool trace_conversion_star_fits(const struct trace_type *type)
{
    return type->kind != TRACE_STRING && type->kind != TRACE_POINTER && type->bits <= 32;
}

void trace_conversion_letters(const struct trace_type *type, bool hex, char letters[4])
{
    char *p = letters;
    if (type->kind == TRACE_STRING) {
        *p++ = 's';
    } else if (type->kind == TRACE_POINTER) {
        *p++ = 'p';
    } else {
        if (type->length == 'L') {
            *p++ = 'l';
            *p++ = 'l';
        } else if (type->length) {
            *p++ = type->length;
        }
        *p++ = hex ? 'x' : type->kind == TRACE_UNSIGNED ? 'u' : 'd';
    }
    *p = '\0';
}

const char *trace_conversion_allowed(const struct trace_type *type)
{
    if (type->kind == TRACE_STRING) {
        return "%s";
    }
    if (type->kind == TRACE_POINTER) {
        return "%p";
    }
    if (type->pri) {
        return type->pri[0] == '6' ? "%\"PRId64, %\"PRIu64 or %\"PRIx64"
                                   : "%\"PRIuPTR or %\"PRIxPTR";
    }
    switch (type->length) {
    case 'l': return "%ld, %lu or %lx";
    case 'L': return "%lld, %llu or %llx";
    case 'z': return "%zu, %zd or %zx";
    case 't': return "%td or %tx";
    default: return "%d, %u, %x, %o or %c";
    }
}

const char *trace_conversion_pri(const char *name, size_t len, char letters[4])
{
    static const struct {
        const char *suffix;
        bool is_long;
    } rows[] = {
        {"8", false},       {"16", false},     {"32", false},     {"64", true},
        {"PTR", true},      {"MAX", true},     {"LEAST8", false}, {"LEAST16", false},
        {"LEAST32", false}, {"LEAST64", true}, {"FAST8", false},  {"FAST16", true},
        {"FAST32", true},   {"FAST64", true},
    };
    if (len < 5 || memcmp(name, "PRI", 3) != 0 || !memchr("diouxX", name[3], 6)) {
        return NULL;
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strlen(rows[i].suffix) == len - 4 && memcmp(name + 4, rows[i].suffix, len - 4) == 0) {
            char *p = letters;
            if (rows[i].is_long) {
                *p++ = 'l';
            }
            *p++ = name[3];
            *p = '\0';
            return letters;
        }
    }
    return NULL;
}
