/* SPDX-License-Identifier: MIT
 *
 * The ctf writer inside a running program: events that are registered while it records, switching
 * off and on, and a forked child. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/strbuf.h"
#include "trace/probe/event.h"
#include "trace/read/reader.h"
#include "trace/write/writers.h"

#define ARG(NAME, TYPE, KIND)                                \
    {                                                        \
        .name = NAME, .type = TYPE, .kind = KIND, .bits = 64 \
    }

static const struct trace_decl early_decl = {.name = "ctf_early",
                                             .nargs = 1,
                                             .arg = {ARG("n", "uint64_t", TRACE_UNSIGNED)},
                                             .format = "%lu"};
static const struct trace_decl late_decl = {
    .name = "ctf_late",
    .nargs = 2,
    .arg = {ARG("n", "int64_t", TRACE_SIGNED), ARG("text", "const char *", TRACE_STRING)},
    .strings = 2,
    .format = "%ld %s"};
static union trace_enable early_enable, late_enable;
static struct trace_event early = {.decl = &early_decl, .enable = &early_enable};
static struct trace_event late = {.decl = &late_decl, .enable = &late_enable};

static char folder[] = "/tmp/vitrine-ctf-XXXXXX";
static char place[64];

static int begin(void **state)
{
    (void)state;
    static struct trace_event *const events[] = {&early};
    static struct trace_group group = {.name = "ctf_one", .event = events, .count = 1};
    if (!mkdtemp(folder)) {
        return -1;
    }
    snprintf(place, sizeof place, "%s/trace", folder);
    trace_group_register(&group);
    return 0;
}

static int finish(void **state)
{
    (void)state;
    char *command = mem_format("rm -r '%s'", folder);
    int status = system(command);
    free(command);
    return status;
}

static struct trace_sink *record(const char *pattern)
{
    const struct trace_sink_options options = {.file = mem_string(place), .buffer = TRACE_RING_MIN};
    struct error err = {{0}};
    trace_control_lock();
    struct trace_sink *sink = trace_sink_new(&trace_writer_ctf, &options, &err);
    if (!sink || !trace_sink_on(sink, &err) || !trace_rule_add(pattern, sink, NULL, NULL, &err)) {
        fail_msg("%s", err.text);
    }
    trace_control_unlock();
    return sink;
}

static void end(struct trace_sink *sink)
{
    trace_control_lock();
    trace_rules_drop(sink);
    trace_sink_free(sink);
    trace_control_unlock();
}

static char *read_lines(void)
{
    struct error err;
    struct trace_record r;
    struct strbuf out;
    int got;
    struct trace_reader *reader = trace_reader_open(place, NULL, &err);
    if (!reader) {
        fail_msg("%s", err.text);
    }
    strbuf_init(&out);
    while ((got = trace_reader_next(reader, &r)) > 0) {
        strbuf_printf(&out, "%s ", r.decl->name);
        trace_decl_render(&out, r.decl, r.values, r.lengths);
        strbuf_puts(&out, "; ");
    }
    if (got) {
        fail_msg("%s", trace_reader_error(reader));
    }
    trace_reader_close(reader);
    return strbuf_take(&out);
}

static void assert_lines(const char *expected)
{
    char *lines = read_lines();
    assert_string_equal(lines, expected);
    free(lines);
}

static void events_that_come_later(void **state)
{
    (void)state;
    static struct trace_event *const events[] = {&late};
    static struct trace_group group = {.name = "ctf_two", .event = events, .count = 1};
    struct trace_sink *sink = record("ctf_*");
    trace_fire(&early, (const uint64_t[]){1});
    trace_group_register(&group);
    assert_true(trace_rule_add("ctf_late", sink, NULL, NULL, NULL));
    trace_fire(&late, (const uint64_t[]){(uint64_t)-2, (uintptr_t) "text"});
    trace_fire(&late, (const uint64_t[]){3, 0});
    trace_drain_flush(sink);
    assert_lines("ctf_early 1; ctf_late -2 text; ctf_late 3 ; ");
    trace_fire(&early, (const uint64_t[]){4});
    end(sink);
    assert_lines("ctf_early 1; ctf_late -2 text; ctf_late 3 ; ctf_early 4; ");
}

static void off_and_on_begins_anew(void **state)
{
    (void)state;
    struct trace_sink *sink = record("ctf_early");
    trace_fire(&early, (const uint64_t[]){1});
    trace_control_lock();
    trace_sink_off(sink);
    trace_fire(&early, (const uint64_t[]){2});
    trace_control_unlock();
    assert_lines("ctf_early 1; ");
    trace_control_lock();
    assert_true(trace_sink_on(sink, NULL));
    trace_control_unlock();
    trace_fire(&early, (const uint64_t[]){3});
    end(sink);
    assert_lines("ctf_early 3; ");
}

/* A child of a fork does not touch the recording, not even when it asks for one at that place. */
static void a_forked_child_stays_out(void **state)
{
    (void)state;
    struct trace_sink *sink = record("ctf_early");
    trace_fire(&early, (const uint64_t[]){1});
    pid_t child = fork();
    if (child == 0) {
        struct error err;
        trace_fire(&early, (const uint64_t[]){2});
        trace_control_lock();
        bool refused = !trace_sink_on(sink, &err) && strstr(err.text, "is being recorded into");
        trace_control_unlock();
        trace_fire(&early, (const uint64_t[]){3});
        _exit(refused ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    trace_fire(&early, (const uint64_t[]){4});
    end(sink);
    assert_lines("ctf_early 1; ctf_early 4; ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_that_come_later),
        cmocka_unit_test(off_and_on_begins_anew),
        cmocka_unit_test(a_forked_child_stays_out),
    };
    return cmocka_run_group_tests(tests, begin, finish);
}
