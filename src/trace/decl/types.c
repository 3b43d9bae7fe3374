/* SPDX-License-Identifier: MIT
 *
 * Types of arguments: one row for each allowed word, and the rules by which words make a type. */
#include "trace/decl/types.h"

#include <string.h>

const char trace_type_allowed[] =
    "int, long, short, char, bool, unsigned, signed, int8_t, uint8_t, int16_t, uint16_t, int32_t, "
    "uint32_t, int64_t, uint64_t, void, size_t, ssize_t, uintptr_t, ptrdiff_t, const and '*'";

/* How words combine. */
enum word_role {
    ROLE_WHOLE, /* a type by itself */
    ROLE_CHAR,  /* with at most one sign */
    ROLE_INT,   /* fills up short, long or a sign */
    ROLE_SHORT, /* with int, with a sign */
    ROLE_LONG,  /* once or twice, with int, with a sign */
    ROLE_SIGN,  /* signed, unsigned */
    ROLE_CONST, /* anywhere */
    ROLE_COUNT,
};

struct word_row {
    const char *word;
    enum word_role role;
    enum trace_kind kind;
    uint8_t bits;
    char length;
    const char *pri;
    const char *instead; /* TCGv types: what they hold */
};

/* clang-format off */
static const struct word_row words[] = {
    {"int",       ROLE_INT,   TRACE_SIGNED,   32, 0,   NULL,  NULL},
    {"long",      ROLE_LONG,  TRACE_SIGNED,   64, 'l', NULL,  NULL},
    {"short",     ROLE_SHORT, TRACE_SIGNED,   16, 0,   NULL,  NULL},
    {"char",      ROLE_CHAR,  TRACE_SIGNED,    8, 0,   NULL,  NULL},
    {"bool",      ROLE_WHOLE, TRACE_BOOL,      8, 0,   NULL,  NULL},
    {"unsigned",  ROLE_SIGN,  TRACE_UNSIGNED, 32, 0,   NULL,  NULL},
    {"signed",    ROLE_SIGN,  TRACE_SIGNED,   32, 0,   NULL,  NULL},
    {"int8_t",    ROLE_WHOLE, TRACE_SIGNED,    8, 0,   NULL,  NULL},
    {"uint8_t",   ROLE_WHOLE, TRACE_UNSIGNED,  8, 0,   NULL,  NULL},
    {"int16_t",   ROLE_WHOLE, TRACE_SIGNED,   16, 0,   NULL,  NULL},
    {"uint16_t",  ROLE_WHOLE, TRACE_UNSIGNED, 16, 0,   NULL,  NULL},
    {"int32_t",   ROLE_WHOLE, TRACE_SIGNED,   32, 0,   NULL,  NULL},
    {"uint32_t",  ROLE_WHOLE, TRACE_UNSIGNED, 32, 0,   NULL,  NULL},
    {"int64_t",   ROLE_WHOLE, TRACE_SIGNED,   64, 'l', "64",  NULL},
    {"uint64_t",  ROLE_WHOLE, TRACE_UNSIGNED, 64, 'l', "64",  NULL},
    {"void",      ROLE_WHOLE, TRACE_UNSIGNED, 64, 'l', NULL,  NULL},
    {"size_t",    ROLE_WHOLE, TRACE_UNSIGNED, 64, 'z', NULL,  NULL},
    {"ssize_t",   ROLE_WHOLE, TRACE_SIGNED,   64, 'z', NULL,  NULL},
    {"uintptr_t", ROLE_WHOLE, TRACE_UNSIGNED, 64, 'l', "PTR", NULL},
    {"ptrdiff_t", ROLE_WHOLE, TRACE_SIGNED,   64, 't', NULL,  NULL},
    {"const",     ROLE_CONST, TRACE_SIGNED,   32, 0,   NULL,  NULL},
    {"TCGv",      ROLE_WHOLE, TRACE_UNSIGNED, 64, 'l', "64",  "uint64_t"},
    {"TCGv_i32",  ROLE_WHOLE, TRACE_UNSIGNED, 32, 0,   NULL,  "uint32_t"},
    {"TCGv_i64",  ROLE_WHOLE, TRACE_UNSIGNED, 64, 'l', "64",  "uint64_t"},
    {"TCGv_ptr",  ROLE_WHOLE, TRACE_POINTER,  64, 0,   NULL,  "void *"},
};
/* clang-format on */

static const struct word_row *find_word(const char *word, size_t len)
{
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strlen(words[i].word) == len && memcmp(words[i].word, word, len) == 0) {
            return &words[i];
        }
    }
    return NULL;
}

bool trace_type_is_word(const char *word, size_t len)
{
    return find_word(word, len) != NULL;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* What was counted on the way through a type. */
struct tally {
    unsigned role[ROLE_COUNT];
    unsigned is_signed, is_unsigned;
    const struct word_row *whole;
    unsigned stars;
    unsigned words, tcg; /* all, and TCGv types among them */
};

static void tally_word(struct tally *t, const struct word_row *row)
{
    t->role[row->role]++;
    t->words++;
    t->tcg += row->instead != NULL;
    if (row->role == ROLE_WHOLE) {
        t->whole = row;
    } else if (row->role == ROLE_SIGN) {
        if (row->kind == TRACE_UNSIGNED) {
            t->is_unsigned++;
        } else {
            t->is_signed++;
        }
    }
}

/* True if the words make a C type together. */
static bool makes_type(const struct tally *t)
{
    const unsigned *n = t->role;
    unsigned others = n[ROLE_CHAR] + n[ROLE_INT] + n[ROLE_SHORT] + n[ROLE_LONG] + n[ROLE_SIGN];
    if (t->tcg) {
        return t->words == 1 && t->stars == 0;
    }
    if (n[ROLE_WHOLE]) {
        return n[ROLE_WHOLE] == 1 && others == 0;
    }
    if (others == 0 || n[ROLE_SIGN] > 1 || n[ROLE_INT] > 1 || n[ROLE_SHORT] > 1) {
        return false;
    }
    if (n[ROLE_CHAR]) {
        return n[ROLE_CHAR] == 1 && !n[ROLE_INT] && !n[ROLE_SHORT] && !n[ROLE_LONG];
    }
    return n[ROLE_LONG] <= 2 && !(n[ROLE_SHORT] && n[ROLE_LONG]);
}

static void decide(const struct tally *t, const char *spelling, struct trace_type *type)
{
    *type = (struct trace_type){.kind = TRACE_SIGNED, .bits = 32};
    if (t->whole) {
        type->kind = t->whole->kind;
        type->bits = t->whole->bits;
        type->length = t->whole->length;
        type->pri = t->whole->pri;
    } else {
        type->kind = t->is_unsigned ? TRACE_UNSIGNED : TRACE_SIGNED;
        if (t->role[ROLE_CHAR]) {
            type->bits = 8;
        } else if (t->role[ROLE_SHORT]) {
            type->bits = 16;
        } else if (t->role[ROLE_LONG]) {
            type->bits = 64;
            type->long_long = t->role[ROLE_LONG] > 1;
            type->length = type->long_long ? 'L' : 'l';
        }
    }
    if (t->stars) {
        bool text = t->stars == 1 && (strncmp(spelling, "const char *", 12) == 0 ||
                                      strncmp(spelling, "char *", 6) == 0);
        *type = (struct trace_type){.kind = text ? TRACE_STRING : TRACE_POINTER, .bits = 64};
    }
    type->tcg = t->tcg > 0;
}

enum trace_type_result trace_type_parse(const char *text, size_t len, struct trace_type *type,
                                        struct strbuf *spelling, const char **bad, size_t *bad_len)
{
    struct tally t = {0};
    const char *p = text;
    const char *end = text + len;
    *bad = text;
    *bad_len = len;
    strbuf_clear(spelling);
    while (p < end) {
        if (is_blank(*p)) {
            p++;
            continue;
        }
        bool after_star = spelling->len && spelling->data[spelling->len - 1] == '*';
        if (*p == '*') {
            strbuf_puts(spelling, after_star || !spelling->len ? "*" : " *");
            t.stars++;
            p++;
            continue;
        }
        const char *word = p;
        while (p < end && !is_blank(*p) && *p != '*') {
            p++;
        }
        const struct word_row *row = find_word(word, (size_t)(p - word));
        if (!row) {
            *bad = word;
            *bad_len = (size_t)(p - word);
            return TRACE_TYPE_UNKNOWN;
        }
        tally_word(&t, row);
        strbuf_puts(spelling, spelling->len ? " " : "");
        strbuf_puts(spelling, row->instead ? row->instead : row->word);
    }
    decide(&t, spelling->data, type);
    if (!makes_type(&t)) {
        return TRACE_TYPE_NO_TYPE;
    }
    if (t.whole && strcmp(t.whole->word, "void") == 0 && t.stars == 0) {
        return TRACE_TYPE_VOID;
    }
    return TRACE_TYPE_OK;
}

struct trace_type trace_type_of(const struct trace_arg *arg)
{
    struct trace_type type = {.kind = arg->kind, .bits = arg->bits};
    struct strbuf spelling;
    const char *bad;
    size_t bad_len;
    strbuf_init(&spelling);
    if (trace_type_parse(arg->type, strlen(arg->type), &type, &spelling, &bad, &bad_len) ==
        TRACE_TYPE_UNKNOWN) {
        type = (struct trace_type){.kind = arg->kind, .bits = arg->bits};
        type.length = arg->bits == 64 ? 'l' : 0;
    }
    strbuf_free(&spelling);
    return type;
}
