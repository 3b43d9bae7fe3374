/* SPDX-License-Identifier: MIT
 *
 * Text to tokens. */
#include "trace/filter/syntax.h"

#include <string.h>

/* clang-format off */
const struct filter_operator_row filter_operators[] = {
    [FILTER_OR]         = {"||", 1, FILTER_CLASS_LOGIC},
    [FILTER_AND]        = {"&&", 2, FILTER_CLASS_LOGIC},
    [FILTER_BITOR]      = {"|",  3, FILTER_CLASS_BITS},
    [FILTER_BITXOR]     = {"^",  4, FILTER_CLASS_BITS},
    [FILTER_BITAND]     = {"&",  5, FILTER_CLASS_BITS},
    [FILTER_EQ]         = {"==", 6, FILTER_CLASS_COMPARE},
    [FILTER_NE]         = {"!=", 6, FILTER_CLASS_COMPARE},
    [FILTER_MATCH]      = {"=~", 6, FILTER_CLASS_MATCH},
    [FILTER_NOMATCH]    = {"!~", 6, FILTER_CLASS_MATCH},
    [FILTER_LT]         = {"<",  7, FILTER_CLASS_COMPARE},
    [FILTER_LE]         = {"<=", 7, FILTER_CLASS_COMPARE},
    [FILTER_GT]         = {">",  7, FILTER_CLASS_COMPARE},
    [FILTER_GE]         = {">=", 7, FILTER_CLASS_COMPARE},
    [FILTER_SHL]        = {"<<", 8, FILTER_CLASS_SHIFT},
    [FILTER_SHR]        = {">>", 8, FILTER_CLASS_SHIFT},
    [FILTER_ADD]        = {"+",  9, FILTER_CLASS_ARITHMETIC},
    [FILTER_SUB]        = {"-",  9, FILTER_CLASS_ARITHMETIC},
    [FILTER_MUL]        = {"*", 10, FILTER_CLASS_ARITHMETIC},
    [FILTER_DIV]        = {"/", 10, FILTER_CLASS_ARITHMETIC},
    [FILTER_REM]        = {"%", 10, FILTER_CLASS_ARITHMETIC},
    [FILTER_NOT]        = {"!",  0, FILTER_CLASS_UNARY},
    [FILTER_COMPLEMENT] = {"~",  0, FILTER_CLASS_UNARY},
    [FILTER_NEGATE]     = {"-",  0, FILTER_CLASS_UNARY},
};
/* clang-format on */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The value of a digit in any base up to 16; 99 for what is none. */
static unsigned digit_value(char c)
{
    return is_digit(c)            ? (unsigned)(c - '0')
           : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
           : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
                                  : 99;
}

/* Reads digits from *at on. False when the number needs more than 64 bits. */
static bool read_digits(const struct filter_source *src, uint32_t *at, uint32_t end, unsigned base,
                        uint64_t *value)
{
    *value = 0;
    for (; *at < end && digit_value(src->text[*at]) < base; (*at)++) {
        if (__builtin_mul_overflow(*value, base, value) ||
            __builtin_add_overflow(*value, digit_value(src->text[*at]), value)) {
            return false;
        }
    }
    return true;
}

static bool refuse_octal(const struct filter_source *src, const struct filter_token *token)
{
    struct filter_excerpt shown, decimal;
    filter_excerpt(&shown, src, token->start, token->end);
    uint32_t rest = token->start;
    while (rest + 1 < token->end && src->text[rest] == '0') {
        rest++;
    }
    filter_excerpt(&decimal, src, rest, token->end);
    uint64_t octal;
    uint32_t at = token->start;
    if (read_digits(src, &at, token->end, 8, &octal) && at == token->end) {
        return filter_complain(src, token->start,
                               "'%s' begins with 0, which some read as octal: write %s for the "
                               "decimal number or 0x%llx for the octal one",
                               shown.text, decimal.text, (unsigned long long)octal);
    }
    return filter_complain(src, token->start, "'%s' begins with 0: write %s", shown.text,
                           decimal.text);
}

static bool lex_number(struct filter_source *src, struct filter_token *token)
{
    const char *text = src->text;
    uint32_t at = token->start, end = at;
    while (end < src->len && is_name(text[end])) {
        end++;
    }
    token->kind = FILTER_TOKEN_NUMBER;
    token->end = src->at = end;

    unsigned base = 10;
    if (text[at] == '0' && at + 1 < end) {
        char next = text[at + 1];
        if (is_digit(next)) {
            return refuse_octal(src, token);
        }
        base = next == 'x' || next == 'X' ? 16 : next == 'b' || next == 'B' ? 2 : 10;
        at += base == 10 ? 0 : 2;
    }
    uint32_t digits = at;
    bool fits = read_digits(src, &at, end, base, &token->value);
    if (fits && at > digits && at + 1 == end) {
        static const char suffixes[] = "kKMGT";
        static const uint8_t shifts[] = {10, 10, 20, 30, 40};
        const char *suffix = strchr(suffixes, text[at]);
        if (suffix) {
            at++;
            fits = !__builtin_mul_overflow(token->value, UINT64_C(1) << shifts[suffix - suffixes],
                                           &token->value);
        }
    }
    struct filter_excerpt shown;
    if (!fits) {
        return filter_complain(src, token->start, "'%s' does not fit in 64 bits",
                               filter_excerpt(&shown, src, token->start, end));
    }
    if (at == digits || at != end) {
        return filter_complain(src, at == digits ? token->start : at,
                               "'%s' is no number: possible are decimal digits, 0x and hexadecimal "
                               "or 0b and binary digits, then one of K, M, G, T for powers of 1024",
                               filter_excerpt(&shown, src, token->start, end));
    }
    if (end < src->len && text[end] == '.') {
        return filter_complain(src, end, "a number has no fraction here: all values are integers");
    }
    return true;
}

/* One character of a string or character literal at src->at, escapes undone. */
static bool lex_escaped(struct filter_source *src, char *c)
{
    const char *s = src->text + src->at;
    uint32_t left = src->len - src->at;
    if (*s != '\\') {
        *c = *s;
        src->at++;
        return true;
    }
    static const char from[] = "\"\\'nt", to[] = "\"\\'\n\t";
    const char *plain = left > 1 ? strchr(from, s[1]) : NULL;
    if (plain) {
        *c = to[plain - from];
        src->at += 2;
        return true;
    }
    if (left > 3 && s[1] == 'x' && digit_value(s[2]) < 16 && digit_value(s[3]) < 16) {
        *c = (char)(digit_value(s[2]) << 4 | digit_value(s[3]));
        src->at += 4;
        return true;
    }
    return filter_complain(src, src->at,
                           "after a backslash are possible: \" \\ ' n t, and x with two "
                           "hexadecimal digits");
}

static bool lex_string(struct filter_source *src, struct filter_token *token)
{
    char *bytes = src->bytes + src->nbytes;
    uint32_t len = 0;
    src->at++;
    while (src->at < src->len && src->text[src->at] != '"') {
        if (!lex_escaped(src, &bytes[len])) {
            return false;
        }
        len++;
    }
    if (src->at == src->len) {
        return filter_complain(src, token->start, "the string that begins here has no closing \"");
    }
    if (len > TRACE_STRING_MAX) {
        return filter_complain(src, token->start,
                               "this string has %u bytes, but events keep %d bytes of a string: "
                               "nothing longer can match",
                               (unsigned)len, TRACE_STRING_MAX);
    }
    token->kind = FILTER_TOKEN_STRING;
    token->end = ++src->at;
    token->bytes = bytes;
    token->len = len;
    src->nbytes += len;
    return true;
}

static bool lex_character(struct filter_source *src, struct filter_token *token)
{
    static const char help[] =
        "a character literal is one byte between single quotes, such as 'r'; "
        "strings stand in double quotes";
    char c;
    src->at++;
    if (src->at == src->len || src->text[src->at] == '\'') {
        return filter_complain(src, token->start, "%s", help);
    }
    if (!lex_escaped(src, &c)) {
        return false;
    }
    if (src->at == src->len || src->text[src->at] != '\'') {
        return filter_complain(src, token->start, "%s", help);
    }
    token->kind = FILTER_TOKEN_NUMBER;
    token->end = ++src->at;
    token->value = (unsigned char)c;
    return true;
}

static bool lex_name(struct filter_source *src, struct filter_token *token)
{
    while (src->at < src->len && is_name(src->text[src->at])) {
        src->at++;
    }
    token->kind = FILTER_TOKEN_NAME;
    token->end = src->at;
    token->bytes = src->text + token->start;
    token->len = token->end - token->start;
    bool is_true = token->len == 4 && !memcmp(token->bytes, "true", 4);
    if (is_true || (token->len == 5 && !memcmp(token->bytes, "false", 5))) {
        token->kind = FILTER_TOKEN_NUMBER;
        token->value = is_true;
    }
    return true;
}

static bool lex_operator(struct filter_source *src, struct filter_token *token)
{
    const char *s = src->text + src->at;
    uint32_t best = 0;
    /* FILTER_NEGATE is left to the parser: it reads the same as FILTER_SUB. */
    for (unsigned op = 0; op < FILTER_NEGATE; op++) {
        uint32_t len = (uint32_t)strlen(filter_operators[op].text);
        if (len > best && len <= src->len - src->at && !memcmp(s, filter_operators[op].text, len)) {
            best = len;
            token->op = (enum filter_operator)op;
        }
    }
    if (best) {
        token->kind = FILTER_TOKEN_OPERATOR;
        token->end = src->at += best;
        return true;
    }
    if (*s == '=') {
        return filter_complain(src, src->at,
                               "'=' does not compare, and filters cannot assign: did you mean "
                               "'=='?");
    }
    struct filter_excerpt shown;
    uint32_t end = src->at + 1;
    while (end < src->len && ((unsigned char)src->text[end] & 0xc0) == 0x80) {
        end++;
    }
    return filter_complain(src, src->at,
                           "'%s' has no meaning in a filter: possible are arguments, context "
                           "fields, words, numbers, strings and the operators || && | ^ & == != =~ "
                           "!~ < <= > >= << >> + - * / %% ! ~ ( )",
                           filter_excerpt(&shown, src, src->at, end));
}

bool filter_lex(struct filter_source *src, struct filter_token *token)
{
    while (src->at < src->len && is_space(src->text[src->at])) {
        src->at++;
    }
    *token = (struct filter_token){.kind = FILTER_TOKEN_END, .start = src->at, .end = src->at};
    if (src->at == src->len) {
        return true;
    }
    char c = src->text[src->at];
    if (is_digit(c)) {
        return lex_number(src, token);
    }
    if (is_name(c)) {
        return lex_name(src, token);
    }
    if (c == '"') {
        return lex_string(src, token);
    }
    if (c == '\'') {
        return lex_character(src, token);
    }
    if (c == '(' || c == ')') {
        token->kind = c == '(' ? FILTER_TOKEN_OPEN : FILTER_TOKEN_CLOSE;
        token->end = ++src->at;
        return true;
    }
    return lex_operator(src, token);
}
