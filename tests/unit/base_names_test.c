/* SPDX-License-Identifier: MIT
 *
 * Numbered names, and the distance between words. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/guess.h"
#include "base/names.h"

enum { MANY = 300000 };

/* Numbers follow the order; a name keeps its own, also after the table grew. With a search through
 * all names this would take minutes. */
static void test_numbers(void **state)
{
    (void)state;
    struct names names = {0};
    char text[32];
    bool fresh;
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < MANY; i++) {
            snprintf(text, sizeof text, "name%zu", i);
            assert_int_equal(names_add(&names, text, &fresh), i);
            assert_int_equal(fresh, round == 0);
        }
    }
    assert_int_equal(names.count, MANY);
    assert_string_equal(names.row[MANY - 1], "name299999");
    assert_int_equal(names_add(&names, "", &fresh), MANY);
    assert_true(fresh);
    names_free(&names);
    assert_int_equal(names.count, 0);
    assert_int_equal(names_add(&names, "name7", &fresh), 0);
    names_free(&names);
}

static void test_distance(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        unsigned distance;
    } rows[] = {{"", "", 0},         {"", "abc", 3},           {"show", "show", 0},
                {"shwo", "show", 2}, {"kitten", "sitting", 3}, {"stat", "stats", 1},
                {"ofs", "offs", 1},  {"abc", "xyz", 3},        {"filter", "merge", 5}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *a = rows[i].a, *b = rows[i].b;
        assert_int_equal(guess_distance(a, strlen(a), b, strlen(b)), rows[i].distance);
        assert_int_equal(guess_distance(b, strlen(b), a, strlen(a)), rows[i].distance);
    }
    char longest[GUESS_MAX + 1];
    memset(longest, 'x', sizeof longest);
    assert_int_equal(guess_distance(longest, GUESS_MAX, "x", 1), GUESS_MAX - 1);
    assert_true(guess_distance(longest, GUESS_MAX + 1, "x", 1) == UINT_MAX);
    assert_true(guess_distance("x", 1, longest, GUESS_MAX + 1) == UINT_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_distance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
