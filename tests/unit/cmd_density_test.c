/* SPDX-License-Identifier: MIT
 *
 * Counts over time: whatever the times and their order, every record is in the bucket of its time
 * when the counting ends.
 */
#include "cmd/vitrine-trace/density.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t draw_state = 1;

static uint64_t draw(void)
{
    draw_state ^= draw_state << 13;
    draw_state ^= draw_state >> 7;
    return draw_state ^= draw_state << 17;
}

enum { TIMES_MAX = 60, BUCKETS_MAX = 64 };

/* Counts `times` and compares with counting them anew in the final scale. */
static void check(unsigned buckets, unsigned most, const uint64_t *time, unsigned times)
{
    uint32_t expected[BUCKETS_MAX] = {0};
    struct density d;

    density_init(&d, buckets);
    struct density_row *row = density_row_new(&d, false);
    for (unsigned i = 0; i < times; i++) {
        unsigned at = density_at(&d, time[i]);
        assert_true(at < buckets);
        density_add(row, at);
    }

    unsigned used = density_finish(&d, most);
    assert_in_range(used, 1, most);
    for (unsigned i = 0; i < times; i++) {
        assert_true(time[i] >= d.start);
        uint64_t at = (time[i] - d.start) >> d.shift;
        assert_true(at < used);
        expected[at]++;
    }
    for (unsigned i = 0; i < buckets; i++) {
        assert_int_equal(row->count[i], expected[i]);
    }
    assert_true(row->count[0] > 0 && row->count[used - 1] > 0);
    assert_int_equal(row->total, times);
    density_free(&d);
}

static void test_any_times(void **state)
{
    uint64_t time[TIMES_MAX];

    (void)state;
    for (unsigned round = 0; round < 20000; round++) {
        unsigned buckets = 2u << draw() % 6, times = 1 + (unsigned)(draw() % TIMES_MAX);
        unsigned bits = (unsigned)(draw() % 64);
        uint64_t base = draw() % 3 != 0 ? draw() >> draw() % 64 : 0;

        for (unsigned i = 0; i < times; i++) {
            /* May wrap around: then times are far apart. */
            time[i] = base + (bits > 0 ? draw() >> (64 - bits) : 0);
        }
        check(buckets, buckets > 2 ? buckets / 2 : 2, time, times);
    }
}

static void test_extreme_times(void **state)
{
    static const uint64_t whole[] = {0, UINT64_MAX, 1, UINT64_MAX - 1, UINT64_C(1) << 63};
    static const uint64_t falling[] = {100, 99, 98, 50, 3, 2, 1, 0};
    static const uint64_t same[] = {7, 7, 7};

    (void)state;
    check(2, 2, whole, 5);
    check(64, 32, whole, 5);
    check(8, 4, falling, 8);
    check(64, 32, same, 3);
}

static void test_nothing(void **state)
{
    struct density d;

    (void)state;
    density_init(&d, 8);
    assert_int_equal(density_finish(&d, 4), 0);
    density_free(&d);
}

/* A tag with nearly all records of every bucket wins, however often buckets were folded. */
static void test_tags(void **state)
{
    struct density d;

    (void)state;
    density_init(&d, 64);
    struct density_row *row = density_row_new(&d, true);
    for (uint64_t time = 0; time < 100000; time++) {
        uint16_t tag = time % 10 == 3 ? 9 : time < 65536 ? 1 : 2;
        density_tag(row, density_at(&d, time), tag);
    }
    unsigned used = density_finish(&d, 32);
    assert_true(used > 16);
    for (unsigned i = 0; i < used; i++) {
        assert_int_equal(row->tag[i], (uint64_t)i << d.shift < 65536 ? 1 : 2);
        assert_true(row->lead[i] > 0);
    }
    density_free(&d);
}

static void test_counts_stop_at_their_maximum(void **state)
{
    struct density d;

    (void)state;
    density_init(&d, 8);
    struct density_row *row = density_row_new(&d, false), *other = density_row_new(&d, false);
    row->count[density_at(&d, 0)] = UINT32_MAX - 1;
    row->count[density_at(&d, 1)] = 5;
    density_add(row, density_at(&d, 0));
    density_add(row, density_at(&d, 0));
    assert_int_equal(row->count[0], UINT32_MAX);
    density_at(&d, 15); /* folds */
    assert_int_equal(row->count[0], UINT32_MAX);
    other->count[0] = 1;
    other->total = 1;
    density_merge(&d, row, other);
    assert_int_equal(row->count[0], UINT32_MAX);
    density_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_times),
        cmocka_unit_test(test_extreme_times),
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_tags),
        cmocka_unit_test(test_counts_stop_at_their_maximum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
