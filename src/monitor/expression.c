/* SPDX-License-Identifier: MIT
 *
 * Expressions, with QEMU's operators and their order, which is not C's: + and - bind least, then
 * & | ^, then * / %, then the signs - + ~. Numbers are C's; 'c' is a character, $NAME a register.
 * Values have 64 bits; division is of signed numbers. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "monitor/internal.h"

struct parser {
    struct monitor_session *session;
    const char *at;
    bool more;        /* arguments follow */
    unsigned nesting; /* of parentheses and signs */
    struct error *err;
};

static bool sum(struct parser *parser, uint64_t *value);

static void skip(struct parser *parser)
{
    parser->at = monitor_skip(parser->at);
}

static bool character(struct parser *parser, uint64_t *value)
{
    if (!parser->at[1] || parser->at[2] != '\'') {
        return error_set(parser->err, "missing terminating ' character");
    }
    *value = (uint8_t)parser->at[1];
    parser->at += 3;
    return true;
}

static bool is_name(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '.';
}

static bool register_value(struct parser *parser, uint64_t *value)
{
    monitor_register_fn *read = parser->session->monitor->read_register;
    size_t length = 0;

    while (is_name(parser->at[1 + length])) {
        length++;
    }
    char *name = mem_stringn(parser->at + 1, length);
    bool found = read && read(parser->session, name, value);
    free(name);
    parser->at += 1 + length;
    return found || error_set(parser->err, "unknown register");
}

static bool number(struct parser *parser, uint64_t *value)
{
    char *end;

    if (!*parser->at) {
        return error_set(parser->err, "unexpected end of expression");
    }
    if (!isdigit((unsigned char)*parser->at)) {
        return error_set(parser->err, "invalid char '%c' in expression", *parser->at);
    }
    errno = 0;
    *value = strtoull(parser->at, &end, 0);
    if (errno == ERANGE) {
        return error_set(parser->err, "number too large");
    }
    parser->at = end;
    return true;
}

static bool unary(struct parser *parser, uint64_t *value)
{
    const char sign = *parser->at;
    bool good;

    if (parser->nesting == MONITOR_NESTING_MAX) {
        return error_set(parser->err, "an expression is nested at most %d deep",
                         MONITOR_NESTING_MAX);
    }
    parser->nesting++;
    switch (sign) {
    case '+':
    case '-':
    case '~':
        parser->at++;
        skip(parser);
        good = unary(parser, value);
        *value = sign == '-' ? -*value : sign == '~' ? ~*value : *value;
        break;
    case '(':
        parser->at++;
        skip(parser);
        good = sum(parser, value);
        if (good && *parser->at != ')') {
            good = error_set(parser->err, "')' expected");
        }
        parser->at += good;
        break;
    case '\'': good = character(parser, value); break;
    case '$': good = register_value(parser, value); break;
    default: good = number(parser, value);
    }
    parser->nesting--;
    skip(parser);
    return good;
}

/* x86 and C have no result for the smallest number by -1. */
static bool divide(struct parser *parser, char sign, uint64_t *value, uint64_t by)
{
    if (!by) {
        return error_set(parser->err, "division by zero");
    }
    if (by == UINT64_MAX) {
        *value = sign == '/' ? -*value : 0;
    } else if (sign == '/') {
        *value = (uint64_t)((int64_t)*value / (int64_t)by);
    } else {
        *value = (uint64_t)((int64_t)*value % (int64_t)by);
    }
    return true;
}

/* A `/` behind a blank, with something behind it that is no operand: a path. */
static bool begins_path(const struct parser *parser)
{
    char next = parser->at[1];

    return parser->more && monitor_is_blank(parser->at[-1]) && !isdigit((unsigned char)next) &&
           !monitor_is_blank(next) && !strchr("($'-+~", next);
}

static bool product(struct parser *parser, uint64_t *value)
{
    uint64_t right;

    if (!unary(parser, value)) {
        return false;
    }
    for (;;) {
        const char sign = *parser->at;
        if (!sign || !strchr("*/%", sign) || (sign == '/' && begins_path(parser))) {
            return true;
        }
        parser->at++;
        skip(parser);
        if (!unary(parser, &right)) {
            return false;
        }
        if (sign == '*') {
            *value *= right;
        } else if (!divide(parser, sign, value, right)) {
            return false;
        }
    }
}

static bool logic(struct parser *parser, uint64_t *value)
{
    uint64_t right;

    if (!product(parser, value)) {
        return false;
    }
    for (;;) {
        const char sign = *parser->at;
        if (!sign || !strchr("&|^", sign)) {
            return true;
        }
        parser->at++;
        skip(parser);
        if (!product(parser, &right)) {
            return false;
        }
        *value = sign == '&' ? *value & right : sign == '|' ? *value | right : *value ^ right;
    }
}

static bool sum(struct parser *parser, uint64_t *value)
{
    uint64_t right;

    if (!logic(parser, value)) {
        return false;
    }
    for (;;) {
        const char sign = *parser->at;
        if (sign != '+' && sign != '-') {
            return true;
        }
        parser->at++;
        skip(parser);
        if (!logic(parser, &right)) {
            return false;
        }
        *value = sign == '+' ? *value + right : *value - right;
    }
}

bool monitor_evaluate(struct monitor_session *session, const char **text, bool more,
                      uint64_t *value, struct error *err)
{
    struct parser parser = {
        .session = session, .at = monitor_skip(*text), .more = more, .err = err};

    *value = 0;
    bool good = sum(&parser, value);
    *text = parser.at;
    return good;
}
