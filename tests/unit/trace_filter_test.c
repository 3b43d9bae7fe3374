/* SPDX-License-Identifier: MIT
 *
 * Filters: what each operator means, what is refused and where the caret stands, limits, the
 * printed program; and random expressions against a second evaluator that knows nothing of the
 * first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace/filter/filter.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct trace_word state_words[] = {
    {0, "debug"}, {1, "inmigrate"}, {2, "internal-error"}, {9, "running"}, {UINT64_MAX, "never"}};
static const struct trace_word mode_words[] = {{1, "slow"}, {4, "running"}, {7, "debug2"}};
static const struct trace_word access_words[] = {{1, "READ"}, {2, "WRITE"}, {4, "no-wait"}};
static const struct trace_words states = {"runstate", false, COUNT(state_words), state_words};
static const struct trace_words modes = {"mode", false, COUNT(mode_words), mode_words};
static const struct trace_words accesses = {"access", true, COUNT(access_words), access_words};

enum { DEV, OFFS, VAL, RET, BIG, ON, PTR, STATE, MODE, INFO, NAME };

static const struct trace_decl decl = {
    .name = "pci_cfg_read",
    .nargs = 11,
    .strings = 1u << DEV | 1u << NAME,
    .arg = {{"dev", "const char *", TRACE_STRING, 64, NULL},
            {"offs", "unsigned", TRACE_UNSIGNED, 32, NULL},
            {"val", "uint64_t", TRACE_UNSIGNED, 64, NULL},
            {"ret", "int", TRACE_SIGNED, 32, NULL},
            {"big", "int64_t", TRACE_SIGNED, 64, NULL},
            {"on", "bool", TRACE_BOOL, 8, NULL},
            {"ptr", "void *", TRACE_POINTER, 64, NULL},
            {"state", "int", TRACE_SIGNED, 32, &states},
            {"mode", "uint8_t", TRACE_UNSIGNED, 8, &modes},
            {"info", "uint32_t", TRACE_UNSIGNED, 32, &accesses},
            {"name", "const char *", TRACE_STRING, 64, NULL}},
};

/* `val` is hidden by the argument. */
static const struct trace_field fields[] = {
    {"thread", TRACE_UNSIGNED, "thread number"},
    {"vcpu", TRACE_SIGNED, "vCPU number or -1"},
    {"event", TRACE_STRING, "name of the event"},
    {"val", TRACE_STRING, "hidden"},
};

static const char *event_text = "pci_cfg_read";
static unsigned fields_read;

static uint64_t read_field(void *opaque, unsigned field, uint32_t *length)
{
    assert_ptr_equal(opaque, &fields_read);
    fields_read++;
    switch (field) {
    case 0: return 17;
    case 1: return (uint64_t)-1;
    case 2: *length = event_text ? (uint32_t)strlen(event_text) : 99; break;
    default: fail_msg("field %u", field);
    }
    return (uintptr_t)event_text;
}

static uint64_t values[TRACE_VALUES_MAX];
static uint32_t lengths[TRACE_VALUES_MAX];

static int set_up(void **state)
{
    (void)state;
    static const char dev[] = "e1000", name[] = "vga-x.bin";
    const uint64_t fresh[] = {[DEV] = (uintptr_t)dev,
                              [OFFS] = 0x40,
                              [VAL] = 6,
                              [RET] = (uint64_t)-5,
                              [BIG] = 100,
                              [ON] = 1,
                              [PTR] = 0xffff800000001000,
                              [STATE] = 9,
                              [MODE] = 4,
                              [INFO] = 3,
                              [NAME] = (uintptr_t)name};
    memcpy(values, fresh, sizeof fresh);
    lengths[DEV] = 5;
    lengths[NAME] = 9;
    event_text = "pci_cfg_read";
    return 0;
}

static struct trace_filter *compile(const char *text, bool *unknown, struct error *err)
{
    return trace_filter_compile(text, &decl, fields, COUNT(fields), unknown, err);
}

static bool match(const struct trace_filter *filter)
{
    const struct trace_filter_input input = {
        .values = values, .lengths = lengths, .field = read_field, .opaque = &fields_read};
    return trace_filter_match(filter, &input);
}

static bool holds(const char *text)
{
    struct error err;
    bool unknown = true;
    struct trace_filter *filter = compile(text, &unknown, &err);
    if (!filter) {
        fail_msg("%s", err.text);
    }
    assert_false(unknown);
    bool result = match(filter);
    trace_filter_free(filter);
    return result;
}

struct expected {
    const char *text;
    bool result;
};

static void expect_all(const struct expected *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (holds(rows[i].text) != rows[i].result) {
            fail_msg("%s is not %d", rows[i].text, rows[i].result);
        }
    }
}
#define EXPECT(...)                                   \
    do {                                              \
        const struct expected rows[] = {__VA_ARGS__}; \
        expect_all(rows, COUNT(rows));                \
    } while (0)

/* The text must be refused with `part` in the sentence and the caret under byte `column`. */
static void refused_as(const char *text, const char *part, int column, bool by_name)
{
    struct error err = {{0}};
    bool unknown = !by_name;
    struct trace_filter *filter = compile(text, &unknown, &err);
    if (filter) {
        fail_msg("%.200s is not refused", text);
    }
    if (!strstr(err.text, part)) {
        fail_msg("'%s' expected in:\n%s", part, err.text);
    }
    char *line = strchr(err.text, '\n'), *caret = line ? strchr(line + 1, '\n') : NULL;
    assert_non_null(caret);
    assert_int_equal(strspn(line + 1, " ") >= 2, 1);
    size_t spaces = strspn(caret + 1, " ");
    assert_string_equal(caret + 1 + spaces, "^");
    if (column >= 0 && (int)spaces - 2 != column) {
        fail_msg("caret at %d, not %d:\n%s", (int)spaces - 2, column, err.text);
    }
    assert_int_equal(unknown, by_name);
}

static void refused(const char *text, const char *part, int column)
{
    refused_as(text, part, column, false);
}

static char *repeated(const char *head, const char *piece, unsigned times, const char *tail)
{
    char *text = malloc(strlen(head) + strlen(piece) * times + strlen(tail) + 1), *end = text;
    end = stpcpy(end, head);
    while (times--) {
        end = stpcpy(end, piece);
    }
    strcpy(end, tail);
    return text;
}

/* --- numbers and operators */

static void test_comparisons(void **state)
{
    (void)state;
    EXPECT({"offs == 0x40", true}, {"offs == 64", true}, {"offs == 63", false},
           {"offs != 64", false}, {"offs != 65", true}, {"offs < 64", false}, {"offs < 65", true},
           {"offs <= 63", false}, {"offs <= 64", true}, {"offs > 64", false}, {"offs > 63", true},
           {"offs >= 65", false}, {"offs >= 64", true}, {"64 == offs", true}, {"64 < offs", false},
           {"63 < offs", true}, {"65 <= offs", false}, {"64 <= offs", true}, {"64 > offs", false},
           {"65 > offs", true}, {"63 >= offs", false}, {"64 >= offs", true}, {"ret == -5", true},
           {"ret != -5", false}, {"ret < -5", false}, {"ret < -4", true}, {"ret <= -6", false},
           {"ret <= -5", true}, {"ret > -5", false}, {"ret > -6", true}, {"ret >= -4", false},
           {"ret >= -5", true}, {"-1 < ret && ret < 10", false}, {"ret == ret", true},
           {"offs == val", false}, {"offs != val", true}, {"val < offs", true},
           {"offs < val", false}, {"val <= offs", true}, {"offs <= val", false},
           {"offs > val", true}, {"val > offs", false}, {"offs >= val", true},
           {"val >= offs", false}, {"ret < big", true}, {"big < ret", false}, {"ret <= big", true},
           {"ret > big", false}, {"big > ret", true}, {"big >= ret", true}, {"ret >= big", false});
}

static void test_signed_beside_unsigned(void **state)
{
    (void)state;
    /* ret is -5, whose 64 bits are those of a large unsigned number. */
    values[VAL] = (uint64_t)-5;
    EXPECT({"ret == val", false}, {"val == ret", false}, {"ret != val", true}, {"val != ret", true},
           {"ret < val", true}, {"val < ret", false}, {"ret <= val", true}, {"val <= ret", false},
           {"ret > val", false}, {"val > ret", true}, {"ret >= val", false}, {"val >= ret", true},
           {"!(ret < val)", false}, {"!(val >= ret)", false}, {"!(ret == val)", true});
    values[VAL] = 100;
    EXPECT({"big == val", true}, {"val == big", true}, {"big != val", false}, {"big < val", false},
           {"big <= val", true}, {"big > val", false}, {"big >= val", true}, {"val <= big", true},
           {"val >= big", true}, {"(big == val) == 1", true}, {"(val < big) + 1 == 1", true});
    values[VAL] = UINT64_MAX;
    EXPECT({"val == -1", false}, {"val != -1", true}, {"val > -1", true}, {"-1 < val", true},
           {"val < -1", false}, {"val <= -1", false}, {"val >= -1", true}, {"-1 >= val", false},
           {"val == 0xffffffffffffffff", true}, {"ret == 0xfffffffffffffffb", false},
           {"ret < 0xfffffffffffffffb", true}, {"ret > 0xfffffffffffffffb", false},
           {"ret <= 0x8000000000000000", true}, {"ret >= 0x8000000000000000", false},
           {"ret != 0x8000000000000000", true}, {"val <= 0xffffffffffffffff", true},
           {"val > 0xffffffffffffffff", false}, {"val >= 0", true}, {"val < 0", false},
           {"val > 0xfffffffffffffffe", true});
    values[BIG] = (uint64_t)INT64_MIN;
    EXPECT({"big == -9223372036854775808", true}, {"big >= -9223372036854775808", true},
           {"big < -9223372036854775808", false}, {"big > -9223372036854775808", false},
           {"big <= -9223372036854775808", true}, {"big <= 9223372036854775807", true},
           {"big > 9223372036854775807", false});
    values[BIG] = INT64_MAX;
    EXPECT({"big > 9223372036854775806", true}, {"big <= 9223372036854775806", false},
           {"big >= 9223372036854775807", true}, {"big == val", false}, {"big < val", true});
}

static void test_arithmetic(void **state)
{
    (void)state;
    EXPECT({"offs + val == 70", true}, {"offs - val == 58", true}, {"val - offs > 1000", true},
           {"offs * val == 384", true}, {"offs / val == 10", true}, {"offs % val == 4", true},
           {"ret + 2 == -3", true}, {"2 + ret == -3", true}, {"2 - ret == 7", true},
           {"ret - 2 == -7", true}, {"ret * 3 == -15", true}, {"ret / 2 == -2", true},
           {"ret % 2 == -1", true}, {"ret / -2 == 2", true}, {"12 / ret == -2", true},
           {"12 % ret == 2", true}, {"-ret == 5", true}, {"- -ret == -5", true},
           {"-val == 0xfffffffffffffffa", true}, {"~ret == 4", true},
           {"(~val & 0xff) == 0xf9", true});
}

static void test_wrapping(void **state)
{
    (void)state;
    values[BIG] = (uint64_t)INT64_MIN;
    EXPECT({"big / -1 == big", true}, {"big % -1 == 0", true}, {"-big == big", true},
           {"big - 1 == 0x7fffffffffffffff", true}, {"big * -1 == big", true},
           {"big + big == 0", true}, {"big / ret > 0", true});
    values[BIG] = INT64_MAX;
    values[VAL] = UINT64_MAX;
    EXPECT({"big + 1 < 0", true}, {"big * 2 == -2", true}, {"val + 1 == 0", true},
           {"val * val == 1", true}, {"0 - val == 1", true}, {"val + ret > 0", true},
           {"val + -1 == 0xfffffffffffffffe", true});
    values[RET] = (uint64_t)-1;
    values[BIG] = (uint64_t)INT64_MIN;
    EXPECT({"big / ret == big", true}, {"big % ret == 0", true});
}

static void test_division_by_zero(void **state)
{
    (void)state;
    values[VAL] = 0;
    values[BIG] = 0;
    EXPECT({"offs / val == 0", true}, {"offs % val == 0", true}, {"ret / big == 0", true},
           {"ret % big == 0", true}, {"1 / val", false}, {"ret / val == 0", true});
    refused("offs / 0 == 1", "division by zero", 7);
    refused("offs % (3 - 3) == 1", "division by zero", 7);
    refused("1 / 0", "division by zero", 4);
    refused("ret % false", "division by zero", 6);
}

static void test_bits_and_shifts(void **state)
{
    (void)state;
    EXPECT({"info & 2", true}, {"info & 4", false}, {"info & 4 || info & 1", true},
           {"(info & 3) == 3", true}, {"(info & 3) != 3", false}, {"(info & 4) == 0", true},
           {"(info & 4) != 0", false}, {"!(info & 4)", true}, {"(info | 4) == 7", true},
           {"(info ^ 1) == 2", true}, {"(4 | info) == 7", true}, {"(info & val) == 2", true},
           {"info & val", true}, {"(info ^ val) == 5", true}, {"(ret & 0xff) == 0xfb", true},
           {"(ret | 0) < 0", true}, {"(ret & val) == 2", true}, {"val << 4 == 96", true},
           {"val >> 1 == 3", true}, {"ret >> 1 == -3", true}, {"ret << 1 == -10", true},
           {"1 << val == 64", true}, {"-1 << val == -64", true}, {"-64 >> val == -1", true},
           {"val << 64 == 0", true}, {"val >> 64 == 0", true}, {"ret >> 64 == -1", true},
           {"ret >> 1000 == -1", true}, {"big >> 64 == 0", true}, {"ret << 64 == 0", true},
           {"val << ret == 0", true}, {"ret >> ret == -1", true}, {"1 << ret == 0", true},
           {"val >> ptr == 0", true}, {"ptr >> 63 == 1", true}, {"1 << 64 == 0", true},
           {"-1 >> 64 == -1", true}, {"1 << 63 == 0x8000000000000000", true},
           {"1 + 1 << 2 == 8", true}, {"val << 63 == 0", true});
    values[VAL] = UINT64_MAX;
    EXPECT({"val == ~0", true}, {"~0 == val", true}, {"val > ~0xf", true}, {"ret == ~4", true},
           {"(val & ~0xff) == 0xffffffffffffff00", true}, {"(ret & ~3) < 0", true},
           {"(ret & ~3) == -8", true}, {"~0xffffffff00000000 == 0xffffffff", true},
           {"~0 == 0xffffffffffffffff", true}, {"~0 == -1", true}, {"~~5 == 5", true});
}

static void test_logic(void **state)
{
    (void)state;
    EXPECT({"offs && val", true}, {"on && !on", false}, {"!on || on", true},
           {"!on || !offs", false}, {"!val", false}, {"!!val", true}, {"!!val == 1", true},
           {"!!!val", false}, {"ret", true}, {"ptr", true}, {"on", true}, {"on == true", true},
           {"on == false", false}, {"false || on", true}, {"true && val", true},
           {"on && false", false}, {"val || true", true}, {"(val && on) + (val || on) == 2", true},
           {"(val && !on) + 5 == 5", true}, {"1 == 1", true}, {"1 == 2", false}, {"0", false},
           {"7", true}, {"(val == 6) == (offs == 64)", true}, {"(val == 6) != (offs == 64)", false},
           {"-(val == 6) == 0xffffffffffffffff", true}, {"(val && 2) == 1", true},
           {"(0 || val) == 1", true}, {"(val || 0) == 6", false}, {"(1 && on) == 1", true},
           {"on && (val == 6 || offs == 1) && !(ret == 1)", true},
           {"on || val == 7 && offs == 1", true}, {"!on && val == 7 || offs == 64", true},
           {"(val == 5 || val == 6) && (offs == 1 || offs == 64)", true},
           {"(val == 5 || val == 7) && (offs == 1 || offs == 64)", false},
           {"!(val == 5 || val == 7) && !(offs == 1 && on)", true},
           {"!(val == 6 && offs == 64)", false}, {"(ret < 0) + (val > 1) + on == 3", true});
    values[ON] = 0;
    EXPECT({"on", false}, {"!on", true}, {"on == 0", true}, {"on + 1 == 1", true});
}

static void test_short_circuit(void **state)
{
    (void)state;
    const struct {
        const char *text;
        unsigned reads;
    } rows[] = {{"offs == 64 || thread == 17", 0},
                {"offs == 65 || thread == 17", 1},
                {"offs == 65 && thread == 17", 0},
                {"offs == 64 && thread == 17", 1},
                {"(offs == 65 && thread == 1) || val == 6", 0},
                {"(offs == 65 && thread) + 1 == 1", 0},
                {"(offs == 64 || thread) + 1 == 2", 0},
                {"0 && thread", 0},
                {"1 || thread", 0},
                {"thread + vcpu == 16", 2},
                {"event == \"x\" && vcpu == 1", 1}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        fields_read = 0;
        holds(rows[i].text);
        if (fields_read != rows[i].reads) {
            fail_msg("%s reads %u fields", rows[i].text, fields_read);
        }
    }
}

static void test_precedence(void **state)
{
    (void)state;
    EXPECT({"1 + 2 * 3 == 7", true}, {"(1 + 2) * 3 == 9", true}, {"10 - 4 - 3 == 3", true},
           {"100 / 10 / 5 == 2", true}, {"100 / (10 / 5) == 50", true}, {"7 % 4 * 2 == 6", true},
           {"1 << 2 + 1 == 8", true}, {"64 >> 2 >> 1 == 8", true}, {"(1 | 2 ^ 3 & 1) == 3", true},
           {"(6 ^ 3 & 1) == 7", true}, {"(1 | 6 ^ 7) == 1", true}, {"-2 * -3 == 6", true},
           {"!0 + 1 == 2", true}, {"~0 + 1 == 0", true}, {"1 || 0 && 0", true},
           {"(1 || 0) && 0", false}, {"2 + 3 < 6 && 1", true}, {"!val == 0", true},
           {"-ret + 1 == 6", true}, {"!~val", false}, {"!~-1", true}, {"(!~val) == 0", true});
}

static void test_literals(void **state)
{
    (void)state;
    EXPECT({"0x1F == 31", true}, {"0Xff == 255", true}, {"0b101 == 5", true}, {"0B11 == 3", true},
           {"1K == 1024", true}, {"1k == 1K", true}, {"2M == 2097152", true},
           {"1G == 1 << 30", true}, {"1T == 1 << 40", true}, {"0x10K == 16384", true},
           {"0 == 0x0", true}, {"18446744073709551615 == 0xffffffffffffffff", true},
           {"'r' == 114", true}, {"'\\n' == 10", true}, {"'\\t' == 9", true},
           {"'\\\\' == 92", true}, {"'\\'' == 39", true}, {"'\"' == 34", true},
           {"'\\xff' == 255", true}, {"true == 1", true}, {"false == 0", true},
           {"\t1\n==\r1 ", true}, {"16383K * 1K == 0x3fff * 1M", true}, {"-1 < 0", true},
           {"1 - 2 == -1", true}, {"0xffffffffffffffff > -1", true}, {"(-1 & 0xff) == 255", true},
           {"-7 / 2 == -3", true}, {"-7 % 2 == -1", true});
    refused("offs == 0644", "write 644 for the decimal number or 0x1a4", 8);
    refused("offs == 00", "write 0 for", 8);
    refused("offs == 089", "write 89", 8);
    refused("offs == 0x", "is no number", 8);
    refused("offs == 0b", "is no number", 8);
    refused("offs == 0b12", "is no number", 11);
    refused("offs == 12abc", "is no number", 10);
    refused("offs == 1KK", "is no number", 9);
    refused("offs == 0xg", "is no number", 8);
    refused("offs == 10L", "is no number", 10);
    refused("offs == 1.5", "no fraction", 9);
    refused("offs == 18446744073709551616", "does not fit in 64 bits", 8);
    refused("offs == 0x10000000000000000", "does not fit in 64 bits", 8);
    refused("offs == 18014398509481984K", "does not fit in 64 bits", 8);
    refused("offs == 16777216T", "does not fit in 64 bits", 8);
    refused("val == 0xffffffffffffffff + 1", "0xffffffffffffffff + 1 does not fit", 26);
    refused("val == -0xffffffffffffffff", "does not fit", 7);
    refused("0xffffffffffffffff * 0xffffffffffffffff", "does not fit", 19);
    refused("-9223372036854775808 * 0xffffffffffffffff * 2", "does not fit", 21);
    refused("-9223372036854775808 - 1 < ret", "does not fit", 21);
    refused("offs == ''", "character literal", 8);
    refused("offs == 'ab'", "character literal", 8);
    refused("offs == 'a", "character literal", 8);
    refused("offs == '", "character literal", 8);
    refused("offs == '\\q'", "after a backslash", 9);
    refused("offs == '\\x4'", "after a backslash", 9);
    refused("offs == '\\", "after a backslash", 9);
}

/* --- strings */

static void test_strings(void **state)
{
    (void)state;
    EXPECT({"dev == \"e1000\"", true}, {"\"e1000\" == dev", true}, {"dev != \"e1000\"", false},
           {"dev == \"e100\"", false}, {"dev == \"e10000\"", false}, {"dev == \"E1000\"", false},
           {"dev == \"\"", false}, {"dev != \"\"", true}, {"dev == name", false},
           {"dev != name", true}, {"dev == dev", true}, {"!(dev == \"e1000\")", false},
           {"(dev == \"e1000\") + 1 == 2", true}, {"(dev == name) + 1 == 1", true},
           {"\"a\" == \"a\"", true}, {"\"a\" != \"a\"", false}, {"\"a\" == \"b\"", false},
           {"\"ab\" =~ \"a*\"", true}, {"\"ab\" !~ \"a*\"", false}, {"dev == \"\\x651000\"", true},
           {"event == \"pci_cfg_read\"", true}, {"event == dev", false}, {"dev != event", true},
           {"event =~ \"pci_*\"", true});
    event_text = "e1000";
    EXPECT({"event == dev", true}, {"dev == event", true}, {"event != event", false});
}

static void test_strings_have_lengths(void **state)
{
    (void)state;
    static const char bytes[] = "ab\0cd\xff\"\\\n\t and more";
    values[DEV] = (uintptr_t)bytes;
    lengths[DEV] = 10;
    EXPECT({"dev == \"ab\"", false}, {"dev == \"ab\\x00cd\\xff\\\"\\\\\\n\\t\"", true},
           {"dev =~ \"ab*\"", true}, {"dev =~ \"ab?cd*\"", true}, {"dev =~ \"*\\x00*\"", true},
           {"dev =~ \"*more\"", false});
    lengths[DEV] = 2;
    EXPECT({"dev == \"ab\"", true});
    lengths[DEV] = 0;
    EXPECT({"dev == \"\"", true}, {"dev =~ \"*\"", true}, {"dev =~ \"?\"", false});

    /* No string is an empty string, whatever the length says. */
    values[DEV] = 0;
    lengths[DEV] = 6;
    EXPECT({"dev == \"\"", true}, {"dev == \"(null)\"", false}, {"dev =~ \"*\"", true},
           {"dev =~ \"?*\"", false}, {"dev != name", true});
    event_text = NULL;
    EXPECT({"event == \"\"", true}, {"event == dev", true});
}

static void test_strings_are_cut(void **state)
{
    (void)state;
    char *a = repeated("", "a", 600, ""), *b = repeated("", "a", TRACE_STRING_MAX, "b");
    values[DEV] = (uintptr_t)a;
    lengths[DEV] = 600;
    values[NAME] = (uintptr_t)b;
    lengths[NAME] = TRACE_STRING_MAX + 1;
    char *whole = repeated("dev == \"", "a", TRACE_STRING_MAX, "\"");
    char *shorter = repeated("dev == \"", "a", TRACE_STRING_MAX - 1, "\"");
    char *longer = repeated("dev == \"", "a", TRACE_STRING_MAX + 1, "\"");
    EXPECT({whole, true}, {shorter, false}, {"dev == name", true}, {"name =~ \"*b\"", false});
    refused(longer, "512 bytes of a string", -1);
    free(a);
    free(b);
    free(whole);
    free(shorter);
    free(longer);
}

static void test_glob(void **state)
{
    (void)state;
    EXPECT({"name =~ \"vga*.bin\"", true}, {"name !~ \"vga*.bin\"", false},
           {"name =~ \"vga?x.bin\"", true}, {"name =~ \"vga\"", false}, {"name =~ \"*\"", true},
           {"name !~ \"bios*\"", true}, {"name =~ \"vga-x.bin\"", true},
           {"(name =~ \"v*\") + (name !~ \"w*\") == 2", true}, {"!(name =~ \"v*\")", false},
           {"name =~ \"v*\" && dev =~ \"e?000\"", true}, {"name =~ \"x*\" || dev !~ \"x*\"", true});
    refused("offs =~ \"4*\"", "'offs' is a number", 0);
    refused("name =~ dev", "a pattern in double quotes is expected", 8);
    refused("\"v*\" =~ name", "a pattern in double quotes is expected", 8);
    refused("name =~ 3", "a pattern in double quotes is expected", 8);
    refused("state =~ \"run*\"", "'state' is a number", 0);
}

static void test_string_types(void **state)
{
    (void)state;
    refused("dev", "no condition", 0);
    refused("!dev", "no condition", 1);
    refused("on && dev", "no condition", 6);
    refused("dev || on", "no condition", 0);
    refused("\"x\"", "no condition", 0);
    refused("event", "no condition", 0);
    refused("dev + 1", "'+' takes numbers, and dev is a string", 0);
    refused("1 << dev", "'<<' takes numbers", 5);
    refused("-dev == 1", "'-' takes numbers", 1);
    refused("~dev == 1", "'~' takes numbers", 1);
    refused("dev < \"a\"", "'<' takes numbers", 0);
    refused("dev & \"a\"", "'&' takes numbers", 0);
    refused("offs & \"a\"", "'&' takes numbers", 7);
    refused("dev == 3", "'dev' is a string", 7);
    refused("3 == dev", "'dev' is a string", 0);
    refused("dev == offs", "cannot be compared", 7);
    refused("offs == dev", "cannot be compared", 8);
    refused("offs == \"64\"", "without quotes", 8);
    refused("(dev == 3)", "'dev' is a string", 8);
    refused("offs == \"open", "no closing", 8);
    refused("dev == \"a\\q\"", "after a backslash", 9);
    refused("dev == \"a\\x1\"", "after a backslash", 9);
    refused("dev == \"a\\", "after a backslash", 9);
    refused("dev == \"a\\\"", "no closing", 7);
}

/* --- names */

static void test_fields(void **state)
{
    (void)state;
    EXPECT({"thread == 17", true}, {"vcpu == -1", true}, {"vcpu < 0", true},
           {"thread > vcpu", true}, {"vcpu == 0xffffffffffffffff", false}, {"thread & 1", true},
           {"thread", true}, {"!vcpu", false}, {"17 == thread", true}, {"val == 6", true},
           {"(thread << 1) - vcpu == 35", true});
}

static void test_words(void **state)
{
    (void)state;
    EXPECT({"state == running", true}, {"running == state", true}, {"mode == running", true},
           {"mode != running", false}, {"state == \"running\"", true}, {"state == debug", false},
           {"state != \"internal-error\"", true}, {"\"internal-error\" == state", false},
           {"state > inmigrate", true}, {"mode == debug2", false}, {"info & READ", true},
           {"info & (READ | WRITE)", true}, {"(info & (READ|WRITE)) == (READ|WRITE)", true},
           {"info & \"no-wait\"", false}, {"info & (READ | \"no-wait\")", true},
           {"(info & ~READ) == WRITE", true});
    values[STATE] = (uint64_t)-1;
    EXPECT({"state == never", true}, {"state < 0", true}, {"val == never", false});
    values[VAL] = UINT64_MAX;
    EXPECT({"val == never", true});
    values[STATE] = 2;
    EXPECT({"state == \"internal-error\"", true}, {"state == \"internal-error\" && on", true});

    refused("val == running", "a word of state and of mode with different values", 7);
    refused("running", "different values", 0);
    refused("state + running == 3", "different values", 8);
    refused("state == \"internal-eror\"", "did you mean \"internal-error\"", 9);
    refused("state == \"nothing at all\"", "possible: debug, inmigrate, internal-error", 9);
    refused_as("state == internal-error", "written in double quotes, \"internal-error\"", 9, true);
    refused_as("state == runing", "did you mean 'running'", 9, true);
}

static void test_unknown_names(void **state)
{
    (void)state;
    struct error err;
    bool unknown = false;
    assert_null(compile("ofs >= 0x40", &unknown, &err));
    assert_true(unknown);
    assert_string_equal(err.text, "event pci_cfg_read has no argument or context field 'ofs' (did "
                                  "you mean 'offs'?)\n  ofs >= 0x40\n  ^");
    refused_as("on && vcpus == 1", "did you mean 'vcpu'", 6, true);
    refused_as("on &&  zzzzzz",
               "possible: dev, offs, val, ret, big, on, ptr, state, mode, info, "
               "name, thread, vcpu, event, val",
               7, true);
    refused_as("x == 1", "possible: dev", 0, true);
    /* That a name is unknown counts more than what else is wrong with its types. */
    refused_as("dev == 3 && nosuch", "'nosuch'", 12, true);
    /* But text that cannot be read has no names. */
    refused("nosuch == ", "ends where a value is expected", 10);

    /* Both results are optional. */
    assert_null(compile("ofs", NULL, NULL));

    static const struct trace_decl nothing = {.name = "nothing"};
    assert_null(trace_filter_compile("a", &nothing, NULL, 0, &unknown, &err));
    assert_true(unknown);
    assert_non_null(strstr(err.text, "(possible: none)"));
    struct trace_filter *filter = trace_filter_compile("2 > 1", &nothing, NULL, 0, &unknown, &err);
    assert_non_null(filter);
    assert_true(trace_filter_match(filter, &(struct trace_filter_input){0}));
    trace_filter_free(filter);
    trace_filter_free(NULL);
}

/* --- what is refused */

static void test_syntax(void **state)
{
    (void)state;
    refused("", "the filter is empty", 0);
    refused("  \t ", "the filter is empty", 4);
    refused("offs = 3", "did you mean '=='", 5);
    refused("offs === 3", "did you mean '=='", 7);
    refused("offs ==", "ends where a value is expected", 7);
    refused("offs == == 3", "a value is expected here, not '=='", 8);
    refused("&& offs", "a value is expected here, not '&&'", 0);
    refused("+offs", "a value is expected here, not '+'", 0);
    refused("()", "a value is expected here, not ')'", 1);
    refused("(offs == 3", "the '(' here has no ')'", 0);
    refused("((offs) == 3", "the '(' here has no ')'", 0);
    refused("on && (offs == 3", "the '(' here has no ')'", 6);
    refused("offs == 3)", "the ')' here has no '('", 9);
    refused("(offs 3)", "or ')'", 6);
    refused("offs 3", "an operator such as", 5);
    refused("offs(3)", "an operator such as", 4);
    refused("offs ? 1 : 2", "'?' has no meaning", 5);
    refused("offs == $3", "'$' has no meaning", 8);
    refused("offs ; on", "';' has no meaning", 5);
    refused("offs == 3, on", "',' has no meaning", 9);
    refused("dev[0] == 'e'", "'[' has no meaning", 3);
    refused("offs == \x01", "'?' has no meaning", 8);
}

static void test_traps(void **state)
{
    (void)state;
    refused("info & 4 == 4", "write (info & 4) == 4 or info & (4 == 4)", 5);
    refused("4 == info & 4", "write (4 == info) & 4 or 4 == (info & 4)", 10);
    refused("info | 1 < 3", "write (info | 1) < 3 or info | (1 < 3)", 5);
    refused("info ^ 1 != 3", "write (info ^ 1) != 3 or info ^ (1 != 3)", 5);
    refused("on & dev =~ \"e*\"", "'&' and '=~' side by side need parentheses", 3);
    refused("on && val | info & 4 == 4", "write (info & 4) == 4 or info & (4 == 4)", 17);
    refused("1 < val < 10", "write 1 < val && val < 10", 8);
    refused("val == info == 3", "comparisons do not chain", 12);
    refused("val == info < 3", "write val == info && info < 3", 4);
    EXPECT({"(info & 3) == 3", true}, {"(1 < val) < 10", true}, {"on & (val == 6)", true},
           {"(val == 6) & (offs == 64)", true}, {"info & 1 && val", true}, {"info + 1 == 4", true});
}

static void test_carets_in_long_and_odd_text(void **state)
{
    (void)state;
    struct error err;
    /* A long expression is shown around the caret. */
    char *text = repeated("", "val == 1 || ", 100, "ofs == 1");
    assert_null(compile(text, NULL, &err));
    char *line = strchr(err.text, '\n') + 3, *caret = strchr(line, '\n') + 3;
    assert_memory_equal(line, "...", 3);
    assert_memory_equal(line + strspn(caret, " "), "ofs == 1", 8);
    free(text);
    text = repeated("ofs == 1", " || val == 1", 100, "");
    assert_null(compile(text, NULL, &err));
    line = strchr(err.text, '\n') + 3, caret = strchr(line, '\n') + 3;
    assert_string_equal(caret, "^");
    assert_memory_equal(line, "ofs == 1", 8);
    assert_memory_equal(caret - 6, "...", 3);
    free(text);
    text = repeated("", "val == 1 || ", 50, "ofs == 1");
    char *both = repeated(text, " || val == 1", 50, "");
    assert_null(compile(both, NULL, &err));
    line = strchr(err.text, '\n') + 3, caret = strchr(line, '\n') + 3;
    assert_memory_equal(line, "...", 3);
    assert_memory_equal(line + strspn(caret, " "), "ofs == 1", 8);
    assert_memory_equal(caret - 6, "...", 3);
    free(text);
    free(both);

    /* Columns are characters, and nothing that moves a terminal's cursor is shown. */
    assert_null(compile("dev == \"\xc3\xa4\xe2\x82\xac\" && ofs", NULL, &err));
    caret = strrchr(err.text, '\n') + 1;
    assert_int_equal(strspn(caret, " "), 2 + 15);
    assert_null(compile("dev\n==\t\"\x1b[2J\xff\xc2\x9b\" && ofs", NULL, &err));
    assert_non_null(strstr(err.text, "\n  dev == \"?[2J???\" && ofs\n"));
    assert_int_equal(strspn(strrchr(err.text, '\n') + 1, " "), 2 + 20);
    refused("offs == \xe2\x82\xac", "'\xe2\x82\xac' has no meaning", 8);
}

/* --- limits */

static void test_depth(void **state)
{
    (void)state;
    const char *const pieces[] = {"(", "!", "-", "~", "!(", "(-"};
    const char *const ends[] = {")", "", "", "", ")", ")"};
    for (size_t i = 0; i < COUNT(pieces); i++) {
        unsigned most = 64 / (unsigned)strlen(pieces[i]);
        for (unsigned depth = most; depth <= most + 1; depth++) {
            char *tail = repeated("val", ends[i], depth, "");
            char *text = repeated("", pieces[i], depth, tail);
            if (depth == most) {
                holds(text);
            } else {
                refused(text, "nested more than 64 deep", -1);
            }
            free(tail);
            free(text);
        }
    }
}

static void test_sizes(void **state)
{
    (void)state;
    /* Many operators: as long as a program may be. */
    char *text = repeated("val == 6", " && val == 6", 255, "");
    EXPECT({text, true});
    free(text);
    text = repeated("val", " + 1", 509, " == 515");
    EXPECT({text, true});
    free(text);
    text = repeated("val", " + 1", 513, "");
    refused(text, "more than 512 operators", -1);
    free(text);
    text = repeated("vcpu", " + vcpu", 300, "");
    refused(text, "more than 512 operations", -1);
    free(text);

    /* Constants fold, however many. */
    text = repeated("1", " + 1", 500, " == 501");
    EXPECT({text, true});
    free(text);

    /* Two intermediate values a level. */
    char *tail = repeated("val", ")", 40, "");
    text = repeated("", "val*2 | val*2 + (", 40, tail);
    refused(text, "more than 64 intermediate values", -1);
    free(text);
    free(tail);
    tail = repeated("val", ")", 31, "");
    text = repeated("", "val*2 | val*2 + (", 31, tail);
    EXPECT({text, true});
    free(text);
    free(tail);

    /* Bytes. */
    text = repeated("val", " ", 4093, "");
    EXPECT({text, true});
    free(text);
    text = repeated("val", " ", 4094, "");
    refused(text, "more than 4096 bytes", -1);
    free(text);
}

static void test_huge(void **state)
{
    (void)state;
    static const char *const pieces[] = {"(",    ")",     "!",   "~",    "-",    "a",    "1",
                                         "\"",   "'",     "\\",  "val+", "&&",   "=",    " ",
                                         "\"\\", "(val|", "<",   "val ", "\xff", "\xe2", "0x",
                                         "!~",   "val==", "1-(", "\n",   "dev=="};
    for (size_t i = 0; i < COUNT(pieces); i++) {
        for (unsigned times = 1000; times <= 1000000; times *= 1000) {
            char *text = repeated("", pieces[i], times, "");
            struct error err = {{0}};
            assert_null(compile(text, NULL, &err));
            assert_non_null(strchr(err.text, '\n'));
            assert_int_equal(err.text[strlen(err.text) - 1], '^');
            free(text);
        }
    }
}

/* --- the program */

static void prints(const char *text, uint32_t reads, const char *expected)
{
    struct error err;
    struct trace_filter *filter = compile(text, NULL, &err);
    if (!filter) {
        fail_msg("%s", err.text);
    }
    struct strbuf out;
    strbuf_init(&out);
    trace_filter_print(&out, filter);
    assert_string_equal(out.data, expected);
    assert_int_equal(trace_filter_reads(filter), reads);
    strbuf_free(&out);
    trace_filter_free(filter);
}

static void test_program(void **state)
{
    (void)state;
    prints("1 == 1", 0, "  0  accept\n");
    prints("val < 0 || 2 + 2 == 5", 0, "  0  reject\n");
    prints("offs >= 0x40 && val != 0", 1u << OFFS | 1u << VAL,
           "  0  if offs <u 0x40 goto 3\n"
           "  1  if val == 0 goto 3\n"
           "  2  accept\n"
           "  3  reject\n");
    prints("!(info & READ) || dev == \"a\\\"\\n\"", 1u << INFO | 1u << DEV,
           "  0  if info !& 1 goto 2\n"
           "  1  if dev != \"a\\\"\\x0a\" goto 3\n"
           "  2  accept\n"
           "  3  reject\n");
    prints("(ret == val) + (offs && val) > -ret / thread", 1u << RET | 1u << VAL | 1u << OFFS,
           "  0  t0 = ret * -1\n"
           "  1  t1 = thread\n"
           "  2  t0 = t0 /u t1\n"
           "  3  t1 = ret ==su val\n"
           "  4  t2 = 0\n"
           "  5  if offs == 0 goto 8\n"
           "  6  if val == 0 goto 8\n"
           "  7  t2 = 1\n"
           "  8  t1 = t1 + t2\n"
           "  9  if t0 >=u t1 goto 11\n"
           " 10  accept\n"
           " 11  reject\n");
    prints("event != dev || name !~ \"*.bin\"", 1u << DEV | 1u << NAME,
           "  0  if event != dev goto 2\n"
           "  1  if name =~ \"*.bin\" goto 3\n"
           "  2  accept\n"
           "  3  reject\n");
}

/* --- random expressions */

/* A second opinion: exact numbers, a type letter, and a tree that is walked. */
struct value {
    char type; /* 'U', 'S', or 'L' for a literal that has no type yet */
    __int128 number;
    bool valid; /* false: the compiler may refuse (a literal overflows, a division by zero) */
};

struct tree {
    const char *op; /* NULL: a leaf */
    int precedence;
    struct tree *left, *right;
    int argument; /* or -1 and a literal */
    uint64_t literal;
};

static uint64_t seed;

static uint64_t chance(uint64_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (seed >> 11) % below;
}

static const uint64_t interesting[] = {
    0,    1,         2,          3,          5,         7,        63,
    64,   65,        255,        4096,       INT32_MAX, 1u << 31, UINT32_MAX,
    1024, INT64_MAX, 1ull << 63, UINT64_MAX, -2ull,     -64ull,   0xaaaaaaaaaaaaaaaa,
    12,   -5ull,     100,        0x7ffffffe, 6,         -1024ull, 0xffffffff00000000};

static const struct {
    const char *op;
    int precedence;
} binary_ops[] = {{"||", 1}, {"&&", 2}, {"|", 3},  {"^", 4},  {"&", 5},  {"==", 6},
                  {"!=", 6}, {"<", 7},  {"<=", 7}, {">", 7},  {">=", 7}, {"<<", 8},
                  {">>", 8}, {"+", 9},  {"-", 9},  {"*", 10}, {"/", 10}, {"%", 10}};

enum { NODES_MAX = 256, LEAVES = 6 };
static const int leaf_arguments[LEAVES] = {OFFS, VAL, RET, BIG, ON, PTR};
static struct tree nodes[NODES_MAX];
static unsigned nodes_used;

static struct tree *new_tree(void)
{
    struct tree *t = &nodes[nodes_used++];
    *t = (struct tree){.argument = -1};
    return t;
}

static bool is_literal(const struct tree *t)
{
    return !t->op && t->argument < 0;
}

static struct tree *random_tree(unsigned depth)
{
    struct tree *t = new_tree();
    if (depth == 0 || chance(6) == 0) {
        t->precedence = 12;
        if (chance(3)) {
            t->argument = leaf_arguments[chance(LEAVES)];
        } else {
            t->literal = chance(2) ? chance(10) : interesting[chance(COUNT(interesting))];
        }
        return t;
    }
    if (chance(6) == 0) {
        static const char *const unary[] = {"!", "-", "~"};
        t->op = unary[chance(3)];
        t->precedence = 11;
        t->left = random_tree(depth - 1);
        return t;
    }
    unsigned op = (unsigned)chance(COUNT(binary_ops));
    t->op = binary_ops[op].op;
    t->precedence = binary_ops[op].precedence;
    t->left = random_tree(depth - 1);
    /* Whether a count folds decides the type of a shifted literal: keep that in plain sight. */
    t->right = random_tree(t->precedence == 8 ? 0 : depth - 1);
    return t;
}

static void write_tree(struct strbuf *out, const struct tree *t, bool parentheses)
{
    bool compares = t->precedence == 6 || t->precedence == 7;
    if (parentheses) {
        strbuf_putc(out, '(');
    }
    if (!t->op && t->argument >= 0) {
        strbuf_puts(out, decl.arg[t->argument].name);
    } else if (!t->op) {
        strbuf_printf(out, chance(2) ? "%llu" : "0x%llx", (unsigned long long)t->literal);
    } else if (!t->right) {
        strbuf_puts(out, t->op);
        write_tree(out, t->left, t->left->precedence < 11 || chance(8) == 0);
    } else {
        for (int side = 0; side < 2; side++) {
            const struct tree *child = side ? t->right : t->left;
            bool child_compares = child->precedence == 6 || child->precedence == 7;
            bool bits = t->precedence >= 3 && t->precedence <= 5;
            bool needed = child->precedence < t->precedence ||
                          (side && child->precedence == t->precedence) ||
                          (child_compares && (compares || bits));
            if (side) {
                strbuf_printf(out, chance(4) ? " %s " : "%s", t->op);
            }
            write_tree(out, child, needed || chance(8) == 0);
        }
    }
    if (parentheses) {
        strbuf_putc(out, ')');
    }
}

static struct value typed(char type, unsigned __int128 number, bool valid)
{
    uint64_t low = (uint64_t)number;
    return (struct value){type, type == 'S' ? (__int128)(int64_t)low : (__int128)low, valid};
}

static struct value literal(__int128 number, bool valid)
{
    return (struct value){'L', number,
                          valid && number >= INT64_MIN && number <= (__int128)UINT64_MAX};
}

static struct value shift(const char *op, struct value a, struct value b, bool is_constant)
{
    bool valid = a.valid && b.valid;
    if (a.type == 'L' && !is_constant) {
        a = typed(a.number < 0 ? 'S' : 'U', (unsigned __int128)a.number, valid);
    }
    bool far = b.number < 0 || b.number >= 64;
    __int128 number;
    if (op[0] == '<') {
        number = far ? 0 : (__int128)((unsigned __int128)a.number << b.number);
    } else {
        number = far ? (a.number < 0 ? -1 : 0) : a.number >> b.number;
    }
    if (a.type != 'L') {
        return typed(a.type, (unsigned __int128)number, valid);
    }
    uint64_t low = (uint64_t)number;
    return literal(a.number < 0 ? (__int128)(int64_t)low : (__int128)low, valid);
}

static struct value arithmetic(const char *op, struct value a, struct value b)
{
    bool valid = a.valid && b.valid;
    char type = a.type == 'L' && b.type == 'L' ? 'L' : a.type == 'U' || b.type == 'U' ? 'U' : 'S';
    if (type != 'L') {
        a = typed(type, (unsigned __int128)a.number, valid);
        b = typed(type, (unsigned __int128)b.number, valid);
    }
    __int128 x = a.number, y = b.number, result = 0;
    switch (op[0]) {
    case '+': result = x + y; break;
    case '-': result = x - y; break;
    case '*':
        if (__builtin_mul_overflow(x, y, &result) && type == 'L') {
            valid = false;
        }
        break;
    case '/': result = y ? x / y : 0; break;
    case '%': result = y ? x % y : 0; break;
    case '&': result = x & y; break;
    case '|': result = x | y; break;
    case '^': result = x ^ y; break;
    default: fail_msg("operator %s", op);
    }
    return type == 'L' ? literal(result, valid && (y || (op[0] != '/' && op[0] != '%')))
                       : typed(type, (unsigned __int128)result, valid);
}

static struct value evaluate(const struct tree *t)
{
    if (!t->op && t->argument >= 0) {
        char type = decl.arg[t->argument].kind == TRACE_SIGNED ? 'S' : 'U';
        return typed(type, values[t->argument], true);
    }
    if (!t->op) {
        return literal((__int128)t->literal, true);
    }
    struct value a = evaluate(t->left);
    if (!t->right) {
        if (t->op[0] == '!') {
            return typed('U', a.number == 0, a.valid);
        }
        __int128 result = t->op[0] == '-' ? -a.number : -a.number - 1;
        /* What ~ makes of a literal depends on what it is compared with: not checked here. */
        return a.type == 'L' ? literal(result, a.valid && t->op[0] == '-')
                             : typed(a.type, (unsigned __int128)result, a.valid);
    }
    struct value b = evaluate(t->right);
    bool valid = a.valid && b.valid;
    switch (t->precedence) {
    case 1: return typed('U', a.number != 0 || b.number != 0, valid);
    case 2: return typed('U', a.number != 0 && b.number != 0, valid);
    case 6: return typed('U', (a.number == b.number) == (t->op[0] == '='), valid);
    case 7: {
        bool less = t->op[0] == '<' ? a.number < b.number : b.number < a.number;
        return typed('U', less || (t->op[1] == '=' && a.number == b.number), valid);
    }
    case 8: return shift(t->op, a, b, is_literal(t->right));
    default: return arithmetic(t->op, a, b);
    }
}

static void random_values(void)
{
    for (unsigned i = 0; i < LEAVES; i++) {
        int argument = leaf_arguments[i];
        uint64_t value = chance(2) ? chance(8) : interesting[chance(COUNT(interesting))];
        const struct trace_arg *arg = &decl.arg[argument];
        values[argument] = arg->kind == TRACE_BOOL                        ? value & 1
                           : arg->kind == TRACE_SIGNED && arg->bits == 32 ? (uint64_t)(int32_t)value
                           : arg->bits == 32                              ? (uint32_t)value
                                                                          : value;
    }
}

static void test_random(void **state)
{
    (void)state;
    const char *length = getenv("VITRINE_CHECK");
    unsigned rounds = length && !strcmp(length, "long") ? 1000000 : 40000, compared = 0;
    seed = 0x9e3779b97f4a7c15;
    struct strbuf text;
    strbuf_init(&text);
    for (unsigned round = 0; round < rounds; round++) {
        nodes_used = 0;
        struct tree *t = random_tree(1 + (unsigned)chance(5));
        strbuf_clear(&text);
        write_tree(&text, t, false);
        struct error err;
        struct trace_filter *filter = compile(text.data, NULL, &err);
        bool refusable = strlen(text.data) > 4000;
        for (unsigned i = 0; i < 4; i++) {
            random_values();
            struct value expected = evaluate(t);
            refusable |= !expected.valid;
            if (filter && expected.valid) {
                compared++;
                if (match(filter) != (expected.number != 0)) {
                    fail_msg("%s is not %d", text.data, expected.number != 0);
                }
            }
        }
        if (!filter && !refusable && !strstr(err.text, "division by zero") &&
            !strstr(err.text, "does not fit")) {
            fail_msg("%s", err.text);
        }
        trace_filter_free(filter);
    }
    strbuf_free(&text);
    assert_true(compared > rounds * 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, set_up)
    const struct CMUnitTest tests[] = {
        TEST(test_comparisons),
        TEST(test_signed_beside_unsigned),
        TEST(test_arithmetic),
        TEST(test_wrapping),
        TEST(test_division_by_zero),
        TEST(test_bits_and_shifts),
        TEST(test_logic),
        TEST(test_short_circuit),
        TEST(test_precedence),
        TEST(test_literals),
        TEST(test_strings),
        TEST(test_strings_have_lengths),
        TEST(test_strings_are_cut),
        TEST(test_glob),
        TEST(test_string_types),
        TEST(test_fields),
        TEST(test_words),
        TEST(test_unknown_names),
        TEST(test_syntax),
        TEST(test_traps),
        TEST(test_carets_in_long_and_odd_text),
        TEST(test_depth),
        TEST(test_sizes),
        TEST(test_huge),
        TEST(test_program),
        TEST(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
