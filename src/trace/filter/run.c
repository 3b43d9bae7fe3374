/* SPDX-License-Identifier: MIT
 *
 * The interpreter. Most filters compare an argument or two with constants: trace_filter_match()
 * does only that, without a stack frame, and hands over to run() at the first operation that needs
 * more. Nothing is lost by then, since comparing arguments writes no temporaries. */
#include "trace/filter/program.h"

#include <string.h>

#include "base/glob.h"

struct text {
    const char *bytes;
    uint32_t len;
};

/* Strings are cut as recordings cut them, so that a filter gives the same answer on both. */
static struct text string_at(const struct trace_filter_input *in, unsigned place)
{
    uint64_t value;
    uint32_t len = 0;
    if (place >= FILTER_FIELD) {
        value = in->field(in->opaque, place - FILTER_FIELD, &len);
    } else {
        value = in->values[place];
        len = in->lengths[place];
    }
    if (!value) {
        return (struct text){"", 0};
    }
    return (struct text){(const char *)(uintptr_t)value,
                         len > TRACE_STRING_MAX ? TRACE_STRING_MAX : len};
}

static bool same(struct text a, struct text b)
{
    return a.len == b.len && !memcmp(a.bytes, b.bytes, a.len);
}

bool filter_test_strings(const struct trace_filter *filter, const struct trace_filter_input *in,
                         const struct filter_operation *op, unsigned test)
{
    struct text a = string_at(in, op->a);
    if (test == FILTER_STRING_SAME_RR || test == FILTER_STRING_DIFFER_RR) {
        return same(a, string_at(in, op->b)) == (test == FILTER_STRING_SAME_RR);
    }
    const struct filter_string *b = &filter->string[op->imm];
    if (test == FILTER_STRING_SAME_RI || test == FILTER_STRING_DIFFER_RI) {
        return same(a, (struct text){b->bytes, b->len}) == (test == FILTER_STRING_SAME_RI);
    }
    return glob_match_bytes(b->bytes, b->len, a.bytes, a.len) == (test == FILTER_STRING_GLOB_RI);
}

static inline uint64_t get(const uint64_t *values, const uint64_t *temporary, unsigned place)
{
    const uint64_t *bank = place & FILTER_TEMPORARY ? temporary : values;
    return bank[place & (FILTER_TEMPORARY - 1)];
}

/* clang-format off */
#define A get(values, temporary, op->a)
#define B get(values, temporary, op->b)

#define X_JUMP_VI(name, symbol, truth) \
    case FILTER_JUMP_##name##_VI: { \
        uint64_t a = values[op->a], b = op->imm; \
        op += (truth) ? op->to : 1; \
        break; \
    }
#define X_JUMP(form, second, truth) \
    case FILTER_JUMP_##form: { \
        uint64_t a = A, b = second; \
        op += (truth) ? op->to : 1; \
        break; \
    }
#define X_SET(form, second, truth) \
    case FILTER_SET_##form: { \
        uint64_t a = A, b = second; \
        temporary[op->to] = (truth); \
        op++; \
        break; \
    }
#define X_DO(form, second, value) \
    case FILTER_DO_##form: { \
        uint64_t a = A, b = second; \
        temporary[op->to] = (value); \
        op++; \
        break; \
    }
#define X_JUMP_RR(name, symbol, truth) X_JUMP(name##_RR, B, truth)
#define X_JUMP_RI(name, symbol, truth) X_JUMP(name##_RI, op->imm, truth)
#define X_SET_RR(name, symbol, truth)  X_SET(name##_RR, B, truth)
#define X_SET_RI(name, symbol, truth)  X_SET(name##_RI, op->imm, truth)
#define X_DO_RR(name, symbol, value)   X_DO(name##_RR, B, value)
#define X_DO_RI(name, symbol, value)   X_DO(name##_RI, op->imm, value)
#define X_JUMP_STRING(name, symbol) \
    case FILTER_JUMP_##name: \
        op += filter_test_strings(filter, in, op, FILTER_STRING_##name) ? op->to : 1; \
        break;
#define X_SET_STRING(name, symbol) \
    case FILTER_SET_##name: \
        temporary[op->to] = filter_test_strings(filter, in, op, FILTER_STRING_##name); \
        op++; \
        break;

static bool run(const struct filter_operation *op, const uint64_t *values,
                const struct trace_filter *filter, const struct trace_filter_input *in)
{
    uint64_t temporary[FILTER_TEMPORARIES_MAX];
    for (;;) {
        switch ((enum filter_code)op->code) {
        FILTER_PREDICATE_LIST(X_JUMP_VI)
        FILTER_PREDICATE_LIST(X_JUMP_RR)
        FILTER_PREDICATE_LIST(X_JUMP_RI)
        FILTER_PREDICATE_LIST(X_SET_RR)
        FILTER_PREDICATE_LIST(X_SET_RI)
        FILTER_ARITHMETIC_LIST(X_DO_RR)
        FILTER_ARITHMETIC_LIST(X_DO_RI)
        FILTER_STRING_LIST(X_JUMP_STRING)
        FILTER_STRING_LIST(X_SET_STRING)
        case FILTER_ACCEPT: return true;
        case FILTER_REJECT: return false;
        case FILTER_CONSTANT:
            temporary[op->to] = op->imm;
            op++;
            break;
        case FILTER_NUMBER: {
            uint32_t length = 0;
            temporary[op->to] = in->field(in->opaque, op->a, &length);
            op++;
            break;
        }
        default: bug("filter: operation %d", op->code);
        }
    }
}

/* Each function ends by jumping to the next one, so the processor learns for each where it leads. One
 * switch for all was twice as slow. */
typedef bool step_fn(const struct filter_operation *op, const uint64_t *values,
                     const struct trace_filter *filter, const struct trace_filter_input *in);
static step_fn *const step[FILTER_CODE_COUNT];

#define X_COMPARE(name, symbol, truth) \
    static bool compare_##name(const struct filter_operation *op, const uint64_t *values, \
                               const struct trace_filter *filter, \
                               const struct trace_filter_input *in) \
    { \
        uint64_t a = values[op->a], b = op->imm; \
        if (truth) { \
            op += op->to; \
            return step[op->code](op, values, filter, in); \
        } \
        op++; \
        return step[op->code](op, values, filter, in); \
    }
FILTER_PREDICATE_LIST(X_COMPARE)

static bool accept(const struct filter_operation *op, const uint64_t *values,
                   const struct trace_filter *filter, const struct trace_filter_input *in)
{
    (void)op, (void)values, (void)filter, (void)in;
    return true;
}

static bool reject(const struct filter_operation *op, const uint64_t *values,
                   const struct trace_filter *filter, const struct trace_filter_input *in)
{
    (void)op, (void)values, (void)filter, (void)in;
    return false;
}

#define X_STEP(name, ...) [FILTER_JUMP_##name##_VI] = compare_##name,
static step_fn *const step[FILTER_CODE_COUNT] = {
    FILTER_PREDICATE_LIST(X_STEP)
    [FILTER_ACCEPT] = accept,
    [FILTER_REJECT] = reject,
    [FILTER_REJECT + 1 ... FILTER_CODE_COUNT - 1] = run,
};

bool trace_filter_match(const struct trace_filter *filter, const struct trace_filter_input *input)
{
    const struct filter_operation *op = filter->operation;
    return step[op->code](op, input->values, filter, input);
}
/* clang-format on */
