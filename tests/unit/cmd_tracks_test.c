/* SPDX-License-Identifier: MIT
 *
 * Slices on tracks: whatever the order of begins and ends and the times they carry, what is handed
 * out nests when a viewer sorts it by time, and every event is handed out once.
 */
#include "cmd/vitrine-trace/tracks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MARKS_MAX = 4096, NAMES = 4 };

struct mark {
    enum track_mark mark;
    uint64_t time;
    uint32_t thread;
    unsigned body;
    unsigned order;
};

struct marks {
    struct mark row[MARKS_MAX];
    unsigned count;
};

static void take(void *opaque, const struct track *track, enum track_mark mark, uint64_t time,
                 const void *body, size_t len)
{
    struct marks *marks = opaque;

    assert_true(marks->count < MARKS_MAX);
    assert_int_equal(len, sizeof(unsigned));
    marks->row[marks->count].mark = mark;
    marks->row[marks->count].time = time;
    marks->row[marks->count].thread = track->thread;
    marks->row[marks->count].order = marks->count;
    memcpy(&marks->row[marks->count++].body, body, len);
}

static struct track_role role(const char *name)
{
    struct trace_decl decl = {.name = name};

    return track_role_of(&decl);
}

static void test_roles(void **state)
{
    static const struct {
        const char *name;
        enum track_mark mark;
        const char *stem;
    } expected[] = {
        {"ide_enter", TRACK_BEGIN, "ide"},
        {"ide_entry", TRACK_BEGIN, "ide"},
        {"a_b_begin", TRACK_BEGIN, "a_b"},
        {"x_start", TRACK_BEGIN, "x"},
        {"ide_exit", TRACK_END, "ide"},
        {"ide_leave", TRACK_END, "ide"},
        {"a_b_end", TRACK_END, "a_b"},
        {"x_complete", TRACK_END, "x"},
        {"x_done", TRACK_END, "x"},
        {"x_stop", TRACK_END, "x"},
        {"x_finish", TRACK_END, "x"},
        {"_enter", TRACK_INSTANT, NULL},
        {"enter", TRACK_INSTANT, NULL},
        {"suspend", TRACK_INSTANT, NULL},
        {"enter_something", TRACK_INSTANT, NULL},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        struct track_role found = role(expected[i].name);
        assert_int_equal(found.mark, expected[i].mark);
        if (expected[i].stem != NULL) {
            assert_string_equal(found.stem, expected[i].stem);
        } else {
            assert_null(found.stem);
        }
        free(found.stem);
    }
}

static int by_time(const void *a, const void *b)
{
    const struct mark *x = a, *y = b;

    if (x->time != y->time) {
        return x->time < y->time ? -1 : 1;
    }
    return x->order < y->order ? -1 : 1;
}

/* Sorts as viewers do (by time; equal times stay in file order) and follows one thread. */
static void check_nesting(struct marks *marks, uint32_t thread, const unsigned *stem_of)
{
    unsigned stack[MARKS_MAX], depth = 0;

    for (unsigned i = 0; i < marks->count; i++) {
        if (marks->row[i].thread != thread) {
            continue;
        }
        unsigned stem = stem_of[marks->row[i].body];
        if (marks->row[i].mark == TRACK_BEGIN) {
            stack[depth++] = stem;
        } else if (marks->row[i].mark == TRACK_END) {
            assert_true(depth > 0);
            assert_int_equal(stack[--depth], stem);
        }
    }
    assert_int_equal(depth, 0);
}

static uint64_t draw_state = 88172645463325252u;

static unsigned draw(unsigned below)
{
    draw_state ^= draw_state << 13;
    draw_state ^= draw_state >> 7;
    draw_state ^= draw_state << 17;
    return (unsigned)((draw_state >> 16) % below);
}

static void test_random(void **state)
{
    static const char *const name[2 * NAMES] = {"a_enter", "a_exit", "b_begin", "b_end",
                                                "c_start", "c_done", "d_enter", "d_leave"};
    struct track_role roles[2 * NAMES];
    struct marks *marks = calloc(1, sizeof(*marks));
    unsigned slices = 0;

    (void)state;
    for (unsigned i = 0; i < 2 * NAMES; i++) {
        roles[i] = role(name[i]);
    }
    for (unsigned round = 0; round < 1000; round++) {
        struct tracks *tracks = tracks_new(take, marks);
        unsigned events = 1 + draw(300), stem_of[300];
        bool seen[300] = {false};
        uint64_t time = draw(100);

        marks->count = 0;
        for (unsigned i = 0; i < events; i++) {
            unsigned which = draw(2 * NAMES + 1);
            bool fresh;

            /* Mostly rising, often equal, sometimes falling. */
            time += draw(3);
            time -= draw(20) == 0 && time > 5 ? 5 : 0;
            stem_of[i] = which / 2;
            struct track *track = tracks_find(tracks, 1, 1 + draw(2), &fresh);
            tracks_add(tracks, track, which < 2 * NAMES ? &roles[which] : NULL, time, &i,
                       sizeof(i));
        }
        tracks_flush(tracks);
        tracks_free(tracks);

        assert_int_equal(marks->count, events);
        for (unsigned i = 0; i < events; i++) {
            assert_false(seen[marks->row[i].body]);
            seen[marks->row[i].body] = true;
            slices += marks->row[i].mark == TRACK_BEGIN;
        }
        qsort(marks->row, marks->count, sizeof(marks->row[0]), by_time);
        check_nesting(marks, 1, stem_of);
        check_nesting(marks, 2, stem_of);
    }
    assert_true(slices > 1000);
    for (unsigned i = 0; i < 2 * NAMES; i++) {
        free(roles[i].stem);
    }
    free(marks);
}

/* The deepest begins are kept; those that were pushed out come as instants. */
static void test_deep(void **state)
{
    struct marks *marks = calloc(1, sizeof(*marks));
    struct tracks *tracks = tracks_new(take, marks);
    struct track_role enter = role("a_enter"), leave = role("a_exit");
    enum { DEEP = SLICES_MAX + 5 };
    bool fresh;

    (void)state;
    for (unsigned i = 0; i < 2 * DEEP; i++) {
        struct track *track = tracks_find(tracks, 1, 1, &fresh);
        assert_int_equal(fresh, i == 0);
        tracks_add(tracks, track, i < DEEP ? &enter : &leave, i, &i, sizeof(i));
    }
    tracks_flush(tracks);
    unsigned count[3] = {0};
    for (unsigned i = 0; i < marks->count; i++) {
        count[marks->row[i].mark]++;
    }
    assert_int_equal(count[TRACK_BEGIN], SLICES_MAX);
    assert_int_equal(count[TRACK_END], SLICES_MAX);
    assert_int_equal(count[TRACK_INSTANT], 10);
    tracks_free(tracks);
    free(enter.stem);
    free(leave.stem);
    free(marks);
}

/* More threads than are known at a time: each is introduced before its events, nothing is lost. */
static void test_many_threads(void **state)
{
    struct marks *marks = calloc(1, sizeof(*marks));
    struct tracks *tracks = tracks_new(take, marks);
    struct track_role enter = role("a_enter");
    unsigned introduced = 0;
    bool fresh;

    (void)state;
    for (unsigned i = 0; i < 2 * TRACKS_MAX; i++) {
        struct track *track = tracks_find(tracks, 1, i, &fresh);
        assert_int_equal(track->thread, i);
        introduced += fresh;
        tracks_add(tracks, track, &enter, i, &i, sizeof(i));
        tracks_find(tracks, 1, i, &fresh);
        assert_false(fresh);
    }
    tracks_flush(tracks);
    assert_int_equal(introduced, 2 * TRACKS_MAX);
    assert_int_equal(marks->count, 2 * TRACKS_MAX);
    tracks_free(tracks);
    free(enter.stem);
    free(marks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roles),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_deep),
        cmocka_unit_test(test_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
