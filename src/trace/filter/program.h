/* SPDX-License-Identifier: MIT
 *
 * Inside the filter room: the compiled form, as compile.c makes it, run.c interprets it, print.c
 * shows it and a translator lowers it.
 *
 * A program is a row of three-address operations. An operand is an argument of the event, or a
 * temporary (64-bit, written before it is read), or a constant in the operation. Control moves to
 * the next operation or forward by `to` operations. Every path ends at ACCEPT or REJECT.
 *
 *     t0 = a + b              arithmetic       RR: two operands, RI: the second one is `imm`
 *     t0 = a < b              SET_...          a predicate as 0 or 1
 *     if a < b goto ...       JUMP_...         VI: `a` is an argument, `imm` a constant
 *
 * The expressions in the lists below are the meaning of each operation, for the interpreter and for
 * constants that are folded alike.
 */
#ifndef TRACE_FILTER_PROGRAM_H
#define TRACE_FILTER_PROGRAM_H

#include <stdint.h>

#include "trace/filter/syntax.h"

enum {
    FILTER_OPERATIONS_MAX = 512,
    FILTER_TEMPORARIES_MAX = 64,

    FILTER_TEMPORARY = 0x100, /* operand: temporary number n is FILTER_TEMPORARY + n */
    FILTER_FIELD = 0x8000,    /* string operand: context field number n is FILTER_FIELD + n */
};

static inline uint64_t filter_divide_signed(uint64_t a, uint64_t b)
{
    /* The most negative number by -1 wraps to itself. */
    return !b ? 0 : b == UINT64_MAX ? 0 - a : (uint64_t)((int64_t)a / (int64_t)b);
}

static inline uint64_t filter_remainder_signed(uint64_t a, uint64_t b)
{
    return !b || b == UINT64_MAX ? 0 : (uint64_t)((int64_t)a % (int64_t)b);
}

/* clang-format off */
/* name, symbol, value; `a` and `b` are uint64_t */
#define FILTER_ARITHMETIC_LIST(X) \
    X(ADD,  "+",   a + b) \
    X(SUB,  "-",   a - b) \
    X(MUL,  "*",   a * b) \
    X(DIVU, "/u",  b ? a / b : 0) \
    X(DIVS, "/s",  filter_divide_signed(a, b)) \
    X(REMU, "%u",  b ? a % b : 0) \
    X(REMS, "%s",  filter_remainder_signed(a, b)) \
    X(AND,  "&",   a & b) \
    X(OR,   "|",   a | b) \
    X(XOR,  "^",   a ^ b) \
    X(SHL,  "<<",  b < 64 ? a << b : 0) \
    X(SHRU, ">>u", b < 64 ? a >> b : 0) \
    X(SHRS, ">>s", (uint64_t)((int64_t)a >> (b < 64 ? b : 63)))

/* name, symbol, truth. A predicate and its opposite are neighbours, the first at an even place. The
 * last six compare a signed with an unsigned number, S and U in the order of the operands; for
 * equality the order does not matter. */
#define FILTER_PREDICATE_LIST(X) \
    X(EQ,   "==",   a == b) \
    X(NE,   "!=",   a != b) \
    X(LTU,  "<u",   a < b) \
    X(GEU,  ">=u",  a >= b) \
    X(LTS,  "<s",   (int64_t)a < (int64_t)b) \
    X(GES,  ">=s",  (int64_t)a >= (int64_t)b) \
    X(ANY,  "&",    (a & b) != 0) \
    X(NONE, "!&",   (a & b) == 0) \
    X(EQSU, "==su", a == b && (int64_t)a >= 0) \
    X(NESU, "!=su", a != b || (int64_t)a < 0) \
    X(LTSU, "<su",  (int64_t)a < 0 || a < b) \
    X(GESU, ">=su", (int64_t)a >= 0 && a >= b) \
    X(LTUS, "<us",  (int64_t)b >= 0 && a < b) \
    X(GEUS, ">=us", (int64_t)b < 0 || a >= b)

/* name, symbol. `a` is a string operand; the second is `b`, or for RI string number `imm` of the
 * filter. Opposites are neighbours here too. */
#define FILTER_STRING_LIST(X) \
    X(SAME_RI,   "==") \
    X(DIFFER_RI, "!=") \
    X(GLOB_RI,   "=~") \
    X(NOGLOB_RI, "!~") \
    X(SAME_RR,   "==") \
    X(DIFFER_RR, "!=")

#define X_ARITHMETIC(name, symbol, value) FILTER_ARITHMETIC_##name,
enum filter_arithmetic { FILTER_ARITHMETIC_LIST(X_ARITHMETIC) FILTER_ARITHMETIC_COUNT };
#undef X_ARITHMETIC

#define X_PREDICATE(name, symbol, truth) FILTER_PREDICATE_##name,
enum filter_predicate { FILTER_PREDICATE_LIST(X_PREDICATE) FILTER_PREDICATE_COUNT };
#undef X_PREDICATE

#define X_STRING(name, symbol) FILTER_STRING_##name,
enum filter_string_test { FILTER_STRING_LIST(X_STRING) FILTER_STRING_COUNT };
#undef X_STRING

/* Each list occurs once for each form, in its own order: a code is the first of its block plus the
 * place in the list. */
#define X_RR(name, ...)      FILTER_DO_##name##_RR,
#define X_RI(name, ...)      FILTER_DO_##name##_RI,
#define X_SET_RR(name, ...)  FILTER_SET_##name##_RR,
#define X_SET_RI(name, ...)  FILTER_SET_##name##_RI,
#define X_JUMP_RR(name, ...) FILTER_JUMP_##name##_RR,
#define X_JUMP_RI(name, ...) FILTER_JUMP_##name##_RI,
#define X_JUMP_VI(name, ...) FILTER_JUMP_##name##_VI,
#define X_SET(name, ...)     FILTER_SET_##name,
#define X_JUMP(name, ...)    FILTER_JUMP_##name,
enum filter_code {
    FILTER_PREDICATE_LIST(X_JUMP_VI) /* run.c counts on these and the next two being the first */
    FILTER_ACCEPT, /* ends: true */
    FILTER_REJECT, /* ends: false */
    FILTER_PREDICATE_LIST(X_JUMP_RR)
    FILTER_PREDICATE_LIST(X_JUMP_RI)
    FILTER_PREDICATE_LIST(X_SET_RR)
    FILTER_PREDICATE_LIST(X_SET_RI)
    FILTER_ARITHMETIC_LIST(X_RR)
    FILTER_ARITHMETIC_LIST(X_RI)
    FILTER_STRING_LIST(X_JUMP)
    FILTER_STRING_LIST(X_SET)
    FILTER_CONSTANT, /* to = imm */
    FILTER_NUMBER,   /* to = context field number a */
    FILTER_CODE_COUNT
};
#undef X_RR
#undef X_RI
#undef X_SET_RR
#undef X_SET_RI
#undef X_JUMP_RR
#undef X_JUMP_RI
#undef X_JUMP_VI
#undef X_SET
#undef X_JUMP

enum {
    FILTER_FIRST_JUMP_VI = FILTER_JUMP_EQ_VI,
    FILTER_FIRST_JUMP_RR = FILTER_JUMP_EQ_RR,
    FILTER_FIRST_JUMP_RI = FILTER_JUMP_EQ_RI,
    FILTER_FIRST_SET_RR = FILTER_SET_EQ_RR,
    FILTER_FIRST_SET_RI = FILTER_SET_EQ_RI,
    FILTER_FIRST_DO_RR = FILTER_DO_ADD_RR,
    FILTER_FIRST_DO_RI = FILTER_DO_ADD_RI,
    FILTER_FIRST_JUMP_STRING = FILTER_JUMP_SAME_RI,
    FILTER_FIRST_SET_STRING = FILTER_SET_SAME_RI,
};
/* clang-format on */

/* 16 bytes, so that four share a cache line. */
struct filter_operation {
    uint16_t code;
    uint16_t to; /* temporary number; of jumps how many operations forward */
    uint16_t a, b;
    uint64_t imm;
};

struct filter_string {
    char *bytes;
    uint32_t len;
};

struct trace_filter {
    uint32_t reads; /* bit i: it reads argument i */
    unsigned count;
    unsigned nstrings;
    struct filter_string *string;
    unsigned nargs, nfields; /* names, for printing */
    char **arg, **field;
    struct filter_operation operation[];
};

static inline uint64_t filter_compute(enum filter_arithmetic what, uint64_t a, uint64_t b)
{
    switch (what) {
#define X_CASE(name, symbol, value) \
    case FILTER_ARITHMETIC_##name: return value;
        FILTER_ARITHMETIC_LIST(X_CASE)
#undef X_CASE
    default: return 0;
    }
}

/* The truth of a string operation, whose test is enum filter_string_test. */
bool filter_test_strings(const struct trace_filter *filter, const struct trace_filter_input *in,
                         const struct filter_operation *op, unsigned test);

/* What an arithmetic or bit operator does for operands of that signedness. */
enum filter_arithmetic filter_arithmetic_of(enum filter_operator op, bool is_signed);

#endif
