/* SPDX-License-Identifier: MIT
 *
 * Filters decided at translation: single cases with the decision and the predicate that is left,
 * and random expressions whose predicate must give the same truth as the filter's interpreter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/filter.h"
#include "trace/probe/context.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { PC, VADDR, SIZE, STORE, VALUE, DELTA, SMALL, NAME };

static const struct trace_decl decl = {
    .name = "guest_mem",
    .nargs = 8,
    .strings = 1u << NAME,
    .arg = {{"pc", "uint64_t", TRACE_UNSIGNED, 64, NULL},
            {"vaddr", "uint64_t", TRACE_UNSIGNED, 64, NULL},
            {"size", "unsigned", TRACE_UNSIGNED, 32, NULL},
            {"store", "bool", TRACE_BOOL, 8, NULL},
            {"value", "uint64_t", TRACE_UNSIGNED, 64, NULL},
            {"delta", "int64_t", TRACE_SIGNED, 64, NULL},
            {"small", "int", TRACE_SIGNED, 32, NULL},
            {"name", "const char *", TRACE_STRING, 64, NULL}},
};

enum { FIELD_SYMBOL, FIELD_VCPU, FIELD_THREAD };
static const struct trace_field fields[] = {
    [FIELD_SYMBOL] = {"symbol", TRACE_STRING, ""},
    [FIELD_VCPU] = {"vcpu", TRACE_SIGNED, ""},
    [FIELD_THREAD] = {"thread", TRACE_UNSIGNED, ""},
};

static uint64_t values[TRACE_VALUES_MAX], field_values[COUNT(fields)];
static uint32_t lengths[TRACE_VALUES_MAX];
static const char *symbol = "memcpy";

static uint64_t read_field(void *opaque, unsigned field, uint32_t *length)
{
    assert_null(opaque);
    assert_true(field < COUNT(fields));
    if (field == FIELD_SYMBOL) {
        *length = (uint32_t)strlen(symbol);
        return (uintptr_t)symbol;
    }
    return field_values[field];
}

int main(void);
static struct engine_known known;

static int set_up(void **state)
{
    (void)state;
    static const char name[] = "text";
    const uint64_t fresh[] = {0x401000,     0x7fff1008,     8, 1, 42, (uint64_t)-5,
                              (uint64_t)-1, (uintptr_t)name};
    memcpy(values, fresh, sizeof fresh);
    lengths[NAME] = 4;
    field_values[FIELD_VCPU] = 3;
    field_values[FIELD_THREAD] = 77;
    known = (struct engine_known){
        .arguments = 1u << PC | 1u << SIZE | 1u << STORE,
        .fields = 1u << FIELD_SYMBOL,
        .input = {values, lengths, read_field, NULL},
        .inline_arguments = 1u << VADDR | 1u << VALUE | 1u << DELTA | 1u << SMALL,
        .inline_fields = 1u << FIELD_VCPU,
    };
    return 0;
}

static struct trace_filter *compile(const char *text)
{
    struct error err;
    struct trace_filter *filter =
        trace_filter_compile(text, &decl, fields, COUNT(fields), NULL, &err);
    if (!filter) {
        fail_msg("%s", err.text);
    }
    return filter;
}

static enum engine_decision decide(const char *text, struct engine_predicate *predicate)
{
    struct trace_filter *filter = compile(text);
    enum engine_decision decision = engine_filter_decide(filter, &known, predicate);
    trace_filter_free(filter);
    return decision;
}

static void test_decisions(void **state)
{
    static const struct {
        const char *text;
        enum engine_decision decision;
    } cases[] = {
        {"pc == 0x401000", ENGINE_ALWAYS},
        {"pc >= 0x402000", ENGINE_NEVER},
        {"pc >= 0x400000 && pc < 0x402000 && store", ENGINE_ALWAYS},
        {"!store", ENGINE_NEVER},
        {"size == 8 || vaddr == 1", ENGINE_ALWAYS},
        {"vaddr == 1 || size == 8", ENGINE_ALWAYS},
        {"vaddr == 1 && size == 4", ENGINE_NEVER},
        {"symbol == \"memcpy\"", ENGINE_ALWAYS},
        {"symbol =~ \"mem*\" && size > 4", ENGINE_ALWAYS},
        {"symbol !~ \"mem*\"", ENGINE_NEVER},
        {"symbol == \"strlen\" && vaddr > 5", ENGINE_NEVER},
        {"symbol != \"strlen\" && vaddr > 5", ENGINE_INLINE},
        {"vaddr >= 0x7fff0000 && vaddr < 0x80000000", ENGINE_INLINE},
        {"vcpu == 1", ENGINE_INLINE},
        {"thread == 77", ENGINE_CALL},
        {"thread == 77 && !store", ENGINE_NEVER},
        {"thread == 77 || store", ENGINE_ALWAYS},
        {"name == \"text\"", ENGINE_CALL},
        {"name == \"text\" && pc == 1", ENGINE_NEVER},
        {"name == symbol", ENGINE_CALL},
        {"value / 3 == 14", ENGINE_CALL},
        {"value / 8 == 5", ENGINE_INLINE},
        {"vaddr % 64 == 8", ENGINE_INLINE},
        {"value << vaddr", ENGINE_CALL},
        {"vaddr % size != 0", ENGINE_INLINE},
        {"value > -1", ENGINE_ALWAYS},
        {"value == delta", ENGINE_INLINE},
        {"(value == delta) + (size == 8) == 2", ENGINE_INLINE},
        {"(pc & 0xfff) == 0", ENGINE_ALWAYS},
        {"value * 0 + size == 8 && pc == 1", ENGINE_NEVER},
        {"pc", ENGINE_ALWAYS},
        {"value", ENGINE_INLINE},
    };
    (void)state;
    for (unsigned i = 0; i < COUNT(cases); i++) {
        struct engine_predicate predicate;
        enum engine_decision got = decide(cases[i].text, &predicate);
        if (got != cases[i].decision) {
            fail_msg("%s: %d, expected %d", cases[i].text, got, cases[i].decision);
        }
    }
}

/* What is left of a range check: two jumps and two ends. */
static void test_residue(void **state)
{
    struct engine_predicate p;
    (void)state;
    assert_int_equal(decide("pc < 0x500000 && vaddr >= 0x1000 && vaddr < 0x2000 && store", &p),
                     ENGINE_INLINE);
    assert_int_equal(p.count, 4);
    assert_int_equal(p.temporaries, 0);
    assert_int_equal(p.arguments, 1u << VADDR);
    assert_int_equal(p.fields, 0);
    assert_int_equal(p.op[0].code, ENGINE_PREDICATE_JUMP);
    assert_int_equal(p.op[0].op, IR_LTU);
    assert_int_equal(p.op[0].a.kind, ENGINE_OPERAND_ARGUMENT);
    assert_int_equal(p.op[0].a.number, VADDR);
    assert_int_equal(p.op[0].b.kind, ENGINE_OPERAND_CONSTANT);
    assert_int_equal(p.op[0].b.value, 0x1000);
    assert_int_equal(p.op[p.op[0].to].code, ENGINE_PREDICATE_REJECT);
    assert_int_equal(p.op[1].op, IR_GEU);
    assert_int_equal(p.op[1].b.value, 0x2000);
    assert_int_equal(p.op[1].to, p.op[0].to);

    /* A test of bits takes one temporary, however the filter computes it. */
    assert_int_equal(decide("(vaddr & 7) == 0 && value & 0x10", &p), ENGINE_INLINE);
    assert_int_equal(p.temporaries, 1);
    assert_true(p.count <= 6);

    assert_int_equal(decide("vcpu == 2", &p), ENGINE_INLINE);
    assert_int_equal(p.fields, 1u << FIELD_VCPU);
    assert_int_equal(p.op[0].a.kind, ENGINE_OPERAND_FIELD);
    assert_int_equal(p.temporaries, 0);
}

static void test_too_much(void **state)
{
    struct engine_predicate p;
    struct strbuf text;
    (void)state;
    strbuf_init(&text);
    for (unsigned i = 0; i < 100; i++) {
        strbuf_printf(&text, "%svaddr == %u", i ? " || " : "", i * 3);
    }
    assert_int_equal(decide(text.data, &p), ENGINE_CALL);
    /* The same with a constant in front of it. */
    strbuf_puts(&text, " || store");
    assert_int_equal(decide(text.data, &p), ENGINE_ALWAYS);
    strbuf_free(&text);
    assert_int_equal(decide("vaddr + (value * (delta + (small ^ (vaddr - (value + (delta * (small "
                            "+ (vaddr & value)))))))) == (value ^ vaddr)",
                            &p),
                     ENGINE_INLINE);
    assert_true(p.temporaries <= ENGINE_PREDICATE_TEMPORARIES);
}

/* Several rules: what any of them wants. */
static void test_listeners(void **state)
{
    struct {
        struct trace_subscriptions head;
        struct trace_subscription row[3];
    } subs = {.head.count = 1};
    struct engine_predicate p;
    bool exact = false;
    (void)state;
    assert_int_equal(engine_filter_event(NULL, &known, &p, &exact), ENGINE_NEVER);
    assert_int_equal(engine_filter_event(&subs.head, &known, &p, &exact), ENGINE_ALWAYS);
    assert_true(exact);

    struct trace_filter *low = compile("vaddr < 0x1000"), *high = compile("vaddr > 0x9000"),
                        *never = compile("pc == 1"), *odd = compile("value & 1");
    subs.row[0].filter = low;
    assert_int_equal(engine_filter_event(&subs.head, &known, &p, &exact), ENGINE_INLINE);
    assert_true(exact);

    subs.head.count = 3;
    subs.row[1].filter = never;
    subs.row[2].filter = high;
    assert_int_equal(engine_filter_event(&subs.head, &known, &p, &exact), ENGINE_INLINE);
    assert_false(exact);
    static const uint64_t addresses[] = {0, 0xfff, 0x1000, 0x9000, 0x9001};
    static const bool wanted[] = {true, true, false, false, true};
    for (unsigned i = 0; i < COUNT(addresses); i++) {
        values[VADDR] = addresses[i];
        assert_int_equal(engine_predicate_run(&p, values, field_values), wanted[i]);
    }

    /* start= has to see the event that the filter refuses. */
    struct trace_gate gate = {.started = false};
    subs.head.count = 1;
    subs.row[0] = (struct trace_subscription){.filter = never, .start = odd, .gate = &gate};
    assert_int_equal(engine_filter_event(&subs.head, &known, &p, &exact), ENGINE_INLINE);
    assert_false(exact);
    values[VALUE] = 3;
    assert_true(engine_predicate_run(&p, values, field_values));
    values[VALUE] = 2;
    assert_false(engine_predicate_run(&p, values, field_values));
    subs.row[0].start = never;
    assert_int_equal(engine_filter_event(&subs.head, &known, &p, &exact), ENGINE_NEVER);
    trace_filter_free(low);
    trace_filter_free(high);
    trace_filter_free(never);
    trace_filter_free(odd);
}

/* The context fields of a place in guest code: this program's own. */
static void test_place(void **state)
{
    struct symbol_space *space = symbol_space_new(NULL);
    struct engine_predicate p;
    char path[256];
    unsigned count;
    (void)state;
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    assert_true(length > 0);
    path[length] = 0;
    extern const char __executable_start, etext;
    uint64_t start = (uint64_t)(uintptr_t)&__executable_start;
    symbol_module_add(space, path, start, (uint64_t)(uintptr_t)&etext, 0);

    engine_filter_fields_add();
    engine_filter_fields_add();
    const struct trace_field *rows = trace_context_fields(&count);
    struct trace_event event = {.decl = &decl};
    struct engine_filter_place place = {
        .event = &event, .space = space, .pc = (uint64_t)(uintptr_t)main};
    struct engine_known at = {.fields = engine_filter_constant_fields(),
                              .input = {values, lengths, engine_filter_field, &place}};
    assert_int_equal(__builtin_popcount(at.fields), 4);
    static const struct {
        const char *text;
        enum engine_decision decision;
    } cases[] = {
        {"symbol == \"main\" && module =~ \"?*\" && event == \"guest_mem\"", ENGINE_ALWAYS},
        {"symbol == \"mai\"", ENGINE_NEVER},
        {"module =~ \"libc*\"", ENGINE_NEVER},
        {"thread == 1", ENGINE_CALL},
    };
    for (unsigned i = 0; i < COUNT(cases); i++) {
        struct error err;
        struct trace_filter *filter =
            trace_filter_compile(cases[i].text, &decl, rows, count, NULL, &err);
        assert_non_null(filter);
        assert_int_equal(engine_filter_decide(filter, &at, &p), cases[i].decision);
        trace_filter_free(filter);
    }

    /* The same names for events that are fired from C. */
    uint32_t text_length = 7;
    int symbol_field = trace_context_find("symbol"), pc_field = trace_context_find("pc");
    assert_true(symbol_field >= 0 && pc_field >= 0);
    assert_int_equal(trace_context_value(&event, (unsigned)symbol_field, &text_length), 0);
    assert_int_equal(text_length, 0);
    engine_filter_space = space;
    engine_filter_pc = place.pc + 1;
    const char *name =
        (const char *)(uintptr_t)trace_context_value(&event, (unsigned)symbol_field, &text_length);
    assert_string_equal(name, "main");
    assert_int_equal(text_length, 4);
    assert_int_equal(trace_context_value(&event, (unsigned)pc_field, &text_length), place.pc + 1);
    engine_filter_space = NULL;
    symbol_space_free(space);
}

/* --- random expressions --- */

static uint64_t seed;

static uint64_t chance(uint64_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (seed >> 11) % below;
}

static const uint64_t interesting[] = {
    0,         1,          2,          3,     5,      7,          8,
    63,        64,         65,         255,   4096,   INT32_MAX,  1u << 31,
    INT64_MAX, 1ull << 63, UINT64_MAX, -2ull, -64ull, UINT32_MAX, 1024,
};

static uint64_t random_number(void)
{
    return chance(2) ? chance(10) : interesting[chance(COUNT(interesting))];
}

static void random_text(struct strbuf *out, unsigned depth)
{
    static const char *const names[] = {"pc",    "vaddr", "size", "store", "value",
                                        "delta", "small", "vcpu", "vaddr", "value"};
    static const char *const binary[] = {
        "||", "&&", "||", "&&", "|", "^",  "&",  "==", "!=", "<",  "<=", ">",
        ">=", "+",  "-",  "*",  "<", ">=", "==", "&",  "<<", ">>", "/",  "%"};
    static const char *const texts[] = {"symbol == \"memcpy\"", "symbol =~ \"str*\"",
                                        "symbol != \"x\"", "name == \"text\""};
    if (depth == 0 || chance(7) == 0) {
        if (chance(20) == 0) {
            strbuf_printf(out, "(%s)", texts[chance(COUNT(texts) - (chance(4) != 0))]);
        } else if (chance(3)) {
            strbuf_puts(out, names[chance(COUNT(names))]);
        } else {
            strbuf_printf(out, "%llu", (unsigned long long)random_number());
        }
        return;
    }
    strbuf_putc(out, '(');
    if (chance(7) == 0) {
        strbuf_putc(out, "!-~"[chance(3)]);
        random_text(out, depth - 1);
    } else {
        const char *op = binary[chance(COUNT(binary))];
        bool shift = op[0] == op[1] && (op[0] == '<' || op[0] == '>');
        random_text(out, depth - 1);
        strbuf_printf(out, " %s ", op);
        if (shift || op[0] == '/' || op[0] == '%') {
            strbuf_printf(out, "%u", 1u << chance(8));
        } else {
            random_text(out, depth - 1);
        }
    }
    strbuf_putc(out, ')');
}

static void random_value(unsigned i)
{
    const struct trace_arg *arg = &decl.arg[i];
    uint64_t value = random_number();
    if (i != NAME) {
        values[i] = arg->kind == TRACE_BOOL                        ? value & 1
                    : arg->kind == TRACE_SIGNED && arg->bits == 32 ? (uint64_t)(int32_t)value
                    : arg->bits == 32                              ? (uint32_t)value
                                                                   : value;
    }
}

static unsigned decided[ENGINE_CALL + 1];

static void check(const struct trace_filter *filter, const char *text)
{
    struct engine_predicate p;
    known.arguments = (uint32_t)chance(1u << 8);
    known.fields = (uint32_t)chance(8);
    known.inline_arguments = chance(4) ? 0xff & ~(1u << NAME) : (uint32_t)chance(1u << NAME);
    known.inline_fields = (uint32_t)chance(8) & ~1u;
    for (unsigned i = 0; i < decl.nargs; i++) {
        random_value(i);
    }
    field_values[FIELD_VCPU] = random_number();
    symbol = chance(2) ? "memcpy" : "strlen";
    enum engine_decision decision = engine_filter_decide(filter, &known, &p);
    decided[decision]++;
    assert_true(decision != ENGINE_INLINE || !(p.arguments & ~known.inline_arguments));
    assert_true(decision != ENGINE_INLINE || !(p.fields & ~known.inline_fields));
    assert_true(decision != ENGINE_INLINE ||
                !((p.arguments & known.arguments) | (p.fields & known.fields)));
    for (unsigned round = 0; round < 6 && decision != ENGINE_CALL; round++) {
        for (unsigned i = 0; i < decl.nargs; i++) {
            if (!(known.arguments >> i & 1)) {
                random_value(i);
            }
        }
        if (!(known.fields >> FIELD_VCPU & 1)) {
            field_values[FIELD_VCPU] = random_number();
        }
        bool expected = trace_filter_match(filter, &known.input);
        bool got = decision == ENGINE_ALWAYS ||
                   (decision == ENGINE_INLINE && engine_predicate_run(&p, values, field_values));
        if (got != expected) {
            fail_msg("%s: %d, decision %d, constant arguments %x, fields %x", text, got, decision,
                     known.arguments, known.fields);
        }
    }
}

static void test_random(void **state)
{
    const char *length = getenv("VITRINE_CHECK");
    unsigned rounds = length && !strcmp(length, "long") ? 2000000 : 60000, compiled = 0;
    struct strbuf text;
    (void)state;
    seed = 0x2545f4914f6cdd1d;
    strbuf_init(&text);
    for (unsigned round = 0; round < rounds; round++) {
        struct error err;
        strbuf_clear(&text);
        random_text(&text, 1 + (unsigned)chance(5));
        struct trace_filter *filter =
            trace_filter_compile(text.data, &decl, fields, COUNT(fields), NULL, &err);
        if (filter) {
            compiled++;
            check(filter, text.data);
            check(filter, text.data);
        }
        trace_filter_free(filter);
    }
    strbuf_free(&text);
    assert_true(compiled > rounds / 3);
    for (unsigned i = 0; i <= ENGINE_CALL; i++) {
        assert_true(decided[i] > compiled / 50);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, set_up)
    const struct CMUnitTest tests[] = {
        TEST(test_decisions), TEST(test_residue), TEST(test_too_much),
        TEST(test_listeners), TEST(test_place),   TEST(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
