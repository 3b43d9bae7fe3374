/* SPDX-License-Identifier: MIT
 *
 * Probes from the call to the sink: what is delivered to whom, states, rules, filters, gates,
 * options, and what the recordings hold afterwards. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/memory.h"
#include "trace-tests_unit.h"
#include "trace/probe/control.h"
#include "trace/read/reader.h"

/* --- a sink that remembers --- */

enum { KEPT = 64 };

struct memory {
    unsigned count;
    const char *name[KEPT];
    uint64_t value[KEPT][2];
    char text[KEPT][16];
};

static void remember(struct trace_sink *sink, const struct trace_event *event,
                     const uint64_t *values, const uint32_t *lengths)
{
    struct memory *m = sink->own;
    if (m->count == KEPT) {
        return;
    }
    m->name[m->count] = event->decl->name;
    for (unsigned i = 0; i < event->decl->nargs && i < 2; i++) {
        if (event->decl->strings >> i & 1) {
            assert_true(lengths[i] < sizeof m->text[0]);
            if (lengths[i]) {
                memcpy(m->text[m->count], (const char *)(uintptr_t)values[i], lengths[i]);
            }
        } else {
            m->value[m->count][i] = values[i];
        }
    }
    m->count++;
}

static const struct trace_sink_ops remembering = {.name = "memory", .event = remember};

static struct trace_sink *sink_new(struct memory *m)
{
    static const struct trace_sink_options none;
    struct error err;
    *m = (struct memory){0};
    struct trace_sink *sink = trace_sink_new(&remembering, &none, &err);
    assert_non_null(sink);
    sink->own = m;
    assert_true(trace_sink_on(sink, &err));
    return sink;
}

/* Everything off and forgotten, so that tests do not see each other. */
static void sink_end(struct trace_sink *sink)
{
    struct trace_match match;
    trace_control_lock();
    trace_rules_drop(sink);
    trace_sink_free(sink);
    trace_rules_drop(trace_log_sink());
    trace_control_unlock();
    trace_state_set("unit_*", false, &match);
}

/* What options have made that failed later on. */
static void recordings_end(void)
{
    for (struct trace_sink *sink = trace_sinks(), *next; sink; sink = next) {
        next = sink->next;
        if (trace_sink_is_recording(sink)) {
            sink_end(sink);
        }
    }
}

static void rule(const char *pattern, struct trace_sink *sink, const char *filter)
{
    const struct trace_rule_options options = {.filter = filter};
    struct error err = {{0}};
    if (!trace_rule_add(pattern, sink, &options, NULL, &err)) {
        fail_msg("%s", err.text);
    }
}

/* --- the probe --- */

static unsigned evaluations;

static uint64_t costly(void)
{
    return ++evaluations;
}

static void disabled_evaluates_nothing(void **state)
{
    (void)state;
    evaluations = 0;
    trace_unit_number(costly(), 0);
    trace_unit_absent((int)costly());
    assert_int_equal(evaluations, 0);
    assert_false(trace_event_get_state(TRACE_UNIT_NUMBER));
    assert_false(trace_event_get_state_backends(TRACE_UNIT_NUMBER));
}

static void delivers_values(void **state)
{
    (void)state;
    struct memory m;
    struct trace_sink *sink = sink_new(&m);
    rule("unit_*", sink, NULL);
    assert_true(trace_event_get_state(TRACE_UNIT_NUMBER));
    assert_true(trace_event_get_state_backends(TRACE_UNIT_NUMBER));
    trace_unit_number(0x1234567890, 0xfffffffe);
    trace_unit_text("hello", 7);
    trace_unit_text(NULL, 8);
    trace_unit_gear(2, -3);
    trace_unit_plain();
    trace_unit_cpu((void *)0x10, 5);
    trace_unit_absent(1);
    assert_int_equal(m.count, 6);
    assert_string_equal(m.name[0], "unit_number");
    assert_int_equal(m.value[0][0], 0x1234567890);
    assert_int_equal(m.value[0][1], 0xfffffffe);
    assert_string_equal(m.text[1], "hello");
    assert_string_equal(m.text[2], "");
    assert_int_equal(m.value[3][1], (uint64_t)-3);
    assert_int_equal(m.value[5][0], 0x10);
    sink_end(sink);
    trace_unit_number(1, 1);
    assert_int_equal(m.count, 6);
}

static void outside_listener_counts(void **state)
{
    (void)state;
    /* What bpftrace does: it counts the semaphore up, in memory. */
    struct trace_event *event = trace_event_find("unit_number");
    evaluations = 0;
    event->enable->half.usdt = 1;
    trace_unit_number(costly(), 0);
    assert_int_equal(evaluations, 1);
    assert_true(trace_event_get_state_backends(TRACE_UNIT_NUMBER));
    assert_false(trace_event_get_state(TRACE_UNIT_NUMBER));
    event->enable->half.usdt = 0;
    trace_control_lock();
    trace_event_lttng(event, true);
    assert_int_equal(event->enable->half.listeners, 1);
    trace_event_lttng(event, false);
    trace_control_unlock();
    assert_int_equal(event->enable->word, 0);
}

static void registry_knows_all(void **state)
{
    (void)state;
    struct trace_event *event = trace_event_find("unit_gear");
    assert_non_null(event);
    assert_ptr_equal(trace_event_at(event->id), event);
    assert_string_equal(trace_event_group(event), "tests_unit");
    assert_null(trace_event_find("unit_nosuch"));
    assert_null(trace_event_at(trace_event_count()));
    assert_true(trace_event_find("unit_absent")->decl->disabled);
}

/* --- states and rules --- */

static void states_and_patterns(void **state)
{
    (void)state;
    struct memory m;
    struct trace_match match;
    struct error err;
    struct trace_sink *sink = sink_new(&m);
    rule("unit_t*", sink, NULL);
    trace_unit_text("a", 1);
    trace_unit_number(1, 1);
    assert_int_equal(m.count, 1);
    trace_state_set("unit_?ext", false, &match);
    assert_int_equal(match.events, 1);
    trace_unit_text("b", 1);
    assert_int_equal(m.count, 1);
    assert_true(trace_control_set("unit_text", true, &err)); /* its rule is still there */
    trace_unit_text("c", 1);
    assert_int_equal(m.count, 2);
    assert_false(trace_control_set("unit_nosuch", true, &err));
    assert_string_equal(err.text, "unknown event \"unit_nosuch\"");
    assert_false(trace_control_set("nosuch_*", true, &err));
    assert_string_equal(err.text, "pattern \"nosuch_*\" matches no event");
    assert_false(trace_control_set("unit_absent", true, &err));
    assert_non_null(strstr(err.text, "event \"unit_absent\" is disabled"));
    sink_end(sink);
}

static void each_sink_has_its_filter(void **state)
{
    (void)state;
    struct memory a, b;
    struct trace_sink *first = sink_new(&a), *second = sink_new(&b);
    rule("unit_number", first, "offs >= 0x40 && val != 0");
    rule("unit_*", second, "val == 0");
    rule("unit_number", second, "val == 3"); /* either rule lets it through, once */
    trace_unit_number(0x40, 1);
    trace_unit_number(0x3f, 1);
    trace_unit_number(0x50, 0);
    trace_unit_number(0x50, 3);
    assert_int_equal(a.count, 2);
    assert_int_equal(b.count, 2);
    assert_int_equal(b.value[0][0], 0x50);
    sink_end(first);
    sink_end(second);
}

static void filters_know_words_and_context(void **state)
{
    (void)state;
    struct memory m;
    struct trace_sink *sink = sink_new(&m);
    rule("unit_gear", sink, "gear == drive && vcpu == 3 && event == \"unit_gear\" && thread != 0");
    trace_unit_gear(2, 1);
    trace_vcpu = 3;
    trace_unit_gear(2, 2);
    trace_unit_gear(1, 3);
    trace_vcpu = -1;
    assert_int_equal(m.count, 1);
    assert_int_equal(m.value[0][1], 2);
    sink_end(sink);
}

static void wrong_filters_are_refused(void **state)
{
    (void)state;
    struct memory m;
    struct trace_match match;
    struct error err;
    struct trace_sink *sink = sink_new(&m);
    const struct trace_rule_options misspelt = {.filter = "ofs >= 0x40"};
    assert_false(trace_rule_add("unit_number", sink, &misspelt, &match, &err));
    assert_non_null(strstr(err.text, "ofs"));
    assert_non_null(strstr(err.text, "\n  ofs >= 0x40\n  ^"));
    const struct trace_rule_options broken = {.filter = "offs >= "};
    assert_false(trace_rule_add("unit_*", sink, &broken, &match, &err));
    trace_unit_number(0x50, 0);
    assert_int_equal(m.count, 0);
    /* With a pattern, the events that have the name take part. */
    const struct trace_rule_options good = {.filter = "offs >= 0x40"};
    assert_true(trace_rule_add("unit_*", sink, &good, &match, &err));
    assert_int_equal(match.without, match.events - 2);
    trace_unit_number(0x50, 0);
    trace_unit_alone(0x50);
    trace_unit_text("x", 0x50);
    assert_int_equal(m.count, 2);
    sink_end(sink);
}

static void gates_start_stop_and_limit(void **state)
{
    (void)state;
    struct memory m;
    struct error err;
    struct trace_sink *sink = sink_new(&m);
    const struct trace_rule_options options = {
        .start = "offs == 3", .stop = "offs == 100", .limited = true, .limit = 4};
    assert_true(trace_rule_add("unit_*", sink, &options, NULL, &err));
    trace_unit_plain(); /* not yet */
    for (unsigned i = 0; i < 5; i++) {
        trace_unit_number(i, 0);
    }
    trace_unit_plain(); /* has no `offs`, but belongs to the rule */
    trace_unit_alone(100);
    trace_unit_number(6, 0);
    assert_int_equal(m.count, 4);
    assert_int_equal(m.value[0][0], 3);
    assert_string_equal(m.name[2], "unit_plain");
    assert_string_equal(m.name[3], "unit_alone");
    sink_end(sink);

    sink = sink_new(&m);
    const struct trace_rule_options two = {.limited = true, .limit = 2};
    assert_true(trace_rule_add("unit_number", sink, &two, NULL, &err));
    for (unsigned i = 0; i < 5; i++) {
        trace_unit_number(i, 0);
    }
    assert_int_equal(m.count, 2);
    sink_end(sink);

    /* A gate also sees the event that another rule of the sink has let through. */
    sink = sink_new(&m);
    const struct trace_rule_options starting = {.start = "val == 1"};
    rule("unit_number", sink, "val == 1");
    assert_true(trace_rule_add("unit_number", sink, &starting, NULL, &err));
    trace_unit_number(1, 0);
    trace_unit_number(2, 1);
    trace_unit_number(3, 2);
    assert_int_equal(m.count, 2);
    assert_int_equal(m.value[1][0], 3);
    sink_end(sink);
}

/* --- options --- */

static char *collected; /* what was warned of */

static void collect(void *opaque, const char *sentence)
{
    (void)opaque;
    char *more = mem_format("%s%s\n", collected ? collected : "", sentence);
    free(collected);
    collected = more;
}

static bool apply(const char *argument, struct error *err)
{
    struct trace_setup *setup = trace_setup_new();
    free(collected);
    collected = NULL;
    bool ok = trace_setup_trace(setup, argument, err) == TRACE_OPTION_TAKEN &&
              trace_setup_apply(setup, collect, NULL, err);
    trace_setup_free(setup);
    return ok;
}

static void wrong_options_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *argument, *sentence;
    } cases[] = {
        {"foo=bar", "-trace foo=bar: Invalid parameter 'foo'"},
        {"unit_*,writer=pigeon", "writer=pigeon: there is no such writer; there are log, simple"},
        {"unit_*,overflow=maybe", "expected 'wait'"},
        {"unit_*,mode=loop", "mode=loop: expected 'stream'"},
        {"unit_*,size=64M", "size= belongs to mode=flight"},
        {"unit_*,mode=flight,size=12", "size=12: expected a size from"},
        {"unit_*,limit=x", "limit=x: expected a number"},
        {"unit_*,writer=log,file=x", "writer=log writes no file"},
        {"unit_*,writer=simple,writer=ctf,file=x", "cannot be written by two writers"},
        {"-unit_*,filter=1==1", "a filter has no meaning there"},
        {"filter=1==1", "a filter needs the events it is for"},
        {"unit_*,file=a,file=b", "file= is given twice"},
        {"unit_*,context=vcpu+shoe", "context=vcpu+shoe: expected"},
        {"events=/nonexistent/x", "No such file or directory"},
        {"events=unit_*", "enable=unit_* switches events on by name"},
        {"unit_number,file=/nonexistent/x", "/nonexistent/x"},
        {"unit_number,filter=offs=1", "^"},
    };
    char cwd[] = "/tmp/vitrine-unit-XXXXXX"; /* a recording that is opened first goes here */
    assert_non_null(mkdtemp(cwd));
    char *old = getcwd(NULL, 0);
    assert_int_equal(chdir(cwd), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = {{0}};
        if (apply(cases[i].argument, &err)) {
            fail_msg("'%s' was taken", cases[i].argument);
        }
        if (!strstr(err.text, cases[i].sentence)) {
            fail_msg("'%s': '%s' does not say '%s'", cases[i].argument, err.text,
                     cases[i].sentence);
        }
    }
    recordings_end();
    char *command = mem_format("rm -rf %s", cwd);
    assert_int_equal(chdir(old), 0);
    assert_int_equal(system(command), 0);
    free(command);
    free(old);
}

static void odd_options_are_told(void **state)
{
    (void)state;
    struct error err;
    assert_true(apply("unit_nosuch,writer=log", &err));
    assert_non_null(strstr(collected, "trace event 'unit_nosuch' does not exist"));
    assert_true(apply("nosuch_*", &err));
    assert_non_null(strstr(collected, "no trace event matches 'nosuch_*'"));
    assert_true(apply("unit_absent", &err));
    assert_non_null(strstr(collected, "is not traceable"));
    assert_true(apply("unit_number", &err));
    assert_null(collected);
    assert_true(apply("-unit_number", &err));
    assert_false(trace_event_get_state(TRACE_UNIT_NUMBER));
    trace_control_lock();
    trace_rules_drop(trace_log_sink());
    trace_control_unlock();
}

/* --- recordings --- */

static char *temporary(const char *name)
{
    static char folder[64];
    if (!folder[0]) {
        strcpy(folder, "/tmp/vitrine-unit-XXXXXX");
        assert_non_null(mkdtemp(folder));
    }
    return mem_format("%s/%s", folder, name);
}

static struct trace_sink *recording(const char *path, const char *more)
{
    struct error err = {{0}};
    char *argument = mem_format("unit_*,file=%s%s", path, more);
    if (!apply(argument, &err)) {
        fail_msg("%s", err.text);
    }
    free(argument);
    for (struct trace_sink *sink = trace_sinks(); sink; sink = sink->next) {
        if (sink->options.file && !strcmp(sink->options.file, path)) {
            return sink;
        }
    }
    fail_msg("no sink writes %s", path);
    return NULL;
}

static struct trace_reader *reading(const char *path)
{
    static const struct trace_reader_options none;
    struct error err = {{0}};
    struct trace_reader *reader = trace_reader_open(path, &none, &err);
    if (!reader) {
        fail_msg("%s", err.text);
    }
    return reader;
}

static void round_trip(const char *name, const char *more)
{
    char *path = temporary(name);
    char longer[700];
    memset(longer, 'x', sizeof longer);
    longer[699] = 0;
    struct trace_sink *sink = recording(path, more);
    trace_unit_text(longer, 1);
    trace_unit_text(NULL, 2);
    trace_unit_gear(1, -1);
    trace_unit_plain();
    sink_end(sink);

    struct trace_reader *reader = reading(path);
    struct trace_record r;
    assert_int_equal(trace_reader_next(reader, &r), 1);
    assert_string_equal(r.decl->name, "unit_text");
    assert_int_equal(r.lengths[0], TRACE_STRING_MAX);
    assert_int_equal(r.pid, getpid());
    uint64_t first = r.time;
    assert_int_equal(trace_reader_next(reader, &r), 1);
    assert_int_equal(r.lengths[0], 0);
    assert_int_equal(r.values[1], 2);
    assert_true(r.time >= first);
    assert_int_equal(trace_reader_next(reader, &r), 1);
    assert_int_equal(r.values[1], UINT64_MAX);
    assert_string_equal(r.decl->arg[0].words->row[1].word, "reverse");
    assert_int_equal(trace_reader_next(reader, &r), 1);
    assert_string_equal(r.decl->name, "unit_plain");
    assert_int_equal(trace_reader_next(reader, &r), 0);
    trace_reader_close(reader);
    free(path);
}

static void simple_round_trip(void **state)
{
    (void)state;
    round_trip("simple", "");
    round_trip("simple.zst", "");
}

static void flight_round_trip(void **state)
{
    (void)state;
    round_trip("flight", ",mode=flight,size=256k");
}

static void context_is_recorded(void **state)
{
    (void)state;
    static const char *const more[] = {",context=thread+vcpu+event",
                                       ",context=thread+vcpu+event,mode=flight"};
    for (unsigned i = 0; i < 2; i++) {
        char *path = temporary(i ? "context-flight" : "context");
        struct trace_sink *sink = recording(path, more[i]);
        trace_vcpu = 5;
        trace_unit_number(1, 2);
        trace_vcpu = -1;
        sink_end(sink);
        struct trace_reader *reader = reading(path);
        struct trace_record r;
        assert_int_equal(trace_reader_next(reader, &r), 1);
        assert_int_equal(r.decl->nargs, 5);
        assert_string_equal(r.decl->arg[2].name, "ctx_event");
        assert_memory_equal((const char *)(uintptr_t)r.values[2], "unit_number", r.lengths[2]);
        assert_string_equal(r.decl->arg[3].name, "ctx_thread");
        assert_int_equal(r.values[3], gettid());
        assert_int_equal(r.thread, gettid());
        assert_int_equal(r.values[4], 5);
        trace_reader_close(reader);
        free(path);
    }
}

static uint64_t count_records(const char *path, uint64_t *lost)
{
    struct trace_reader *reader = reading(path);
    struct trace_record r;
    uint64_t count = 0;
    int got;
    *lost = 0;
    while ((got = trace_reader_next(reader, &r)) > 0) {
        count += !r.lost;
        *lost += r.lost;
    }
    if (got < 0) {
        fail_msg("%s", trace_reader_error(reader));
    }
    trace_reader_close(reader);
    return count;
}

static void dropping_counts(void **state)
{
    (void)state;
    char *path = temporary("drop");
    struct trace_sink *sink = recording(path, ",overflow=drop,buffer=64k");
    const uint64_t fired = 20000;
    trace_drain_lock(); /* nobody empties the ring meanwhile */
    for (uint64_t i = 0; i < fired; i++) {
        trace_unit_number(i, 0);
    }
    trace_drain_unlock();
    trace_file_flush();
    trace_unit_number(fired, 0);
    sink_end(sink);
    uint64_t lost, count = count_records(path, &lost);
    assert_true(lost > 0);
    assert_int_equal(count + lost, fired + 1);
    free(path);
}

static void files_on_off_set_flush(void **state)
{
    (void)state;
    char *one = temporary("one"), *two = temporary("two");
    struct trace_sink *sink = recording(one, "");
    struct error err;
    bool on;
    uint64_t lost;
    trace_unit_plain();
    trace_file_flush();
    assert_int_equal(count_records(one, &lost), 1);
    assert_string_equal(trace_file_status(&on), one);
    assert_true(on);
    trace_file_off();
    trace_unit_plain();
    trace_file_status(&on);
    assert_false(on);
    assert_true(trace_file_set(two, &err));
    trace_unit_plain();
    assert_true(trace_file_on(&err));
    trace_unit_plain();
    trace_unit_plain();
    trace_file_off();
    assert_int_equal(count_records(one, &lost), 1);
    assert_int_equal(count_records(two, &lost), 2);
    assert_false(trace_file_set("/nonexistent/x", &err) && trace_file_on(&err));
    sink_end(sink);
    free(one);
    free(two);
}

static void files_are_private(void **state)
{
    (void)state;
    char *path = temporary("private");
    struct stat st;
    sink_end(recording(path, ""));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    free(path);
}

static void a_child_leaves_the_recording_alone(void **state)
{
    (void)state;
    char *path = temporary("fork");
    struct trace_sink *sink = recording(path, "");
    uint64_t lost;
    trace_unit_plain();
    pid_t child = fork();
    if (child == 0) {
        for (unsigned i = 0; i < 1000; i++) {
            trace_unit_number(i, i);
        }
        trace_shutdown();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    trace_unit_plain();
    sink_end(sink);
    assert_int_equal(count_records(path, &lost), 2);
    free(path);
}

/* A child's own recording has nothing of the parent's, and the parent's nothing of the child's. */
static void a_child_records_anew(void **state)
{
    (void)state;
    static const char *const more[] = {"", ",mode=flight,size=256k", ",writer=ctf"};
    for (unsigned i = 0; i < 3; i++) {
        char *name = mem_format("parent-%u", i);
        char *path = temporary(name), *other = mem_format("%s-child", path);
        struct trace_sink *sink = recording(path, more[i]);
        trace_drain_lock(); /* what the parent fires is in its ring when it forks */
        trace_unit_number(1, 1);
        trace_drain_unlock();
        pid_t child = fork();
        if (child == 0) {
            struct error err = {{0}};
            trace_unit_number(2, 2);        /* goes nowhere */
            bool ok = !trace_file_on(&err); /* not into the parent's file */
            ok = ok && trace_file_set(other, &err) && trace_file_on(&err);
            trace_unit_number(3, 3);
            trace_unit_number(4, 4);
            trace_shutdown();
            _exit(ok ? 0 : 1);
        }
        int status;
        uint64_t lost;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        trace_unit_number(5, 5);
        sink_end(sink);
        assert_int_equal(count_records(path, &lost), 2);
        assert_int_equal(count_records(other, &lost), 2);
        free(other);
        free(path);
        free(name);
    }
}

/* A child that lives on has the descriptors of the recording, and thereby its lock. */
static void a_child_keeps_no_recording_from_its_parent(void **state)
{
    (void)state;
    static const char *const more[] = {",mode=flight,size=256k", ",writer=ctf"};
    for (unsigned i = 0; i < 2; i++) {
        char *path = temporary(i ? "lock-ctf" : "lock-flight");
        struct trace_sink *sink = recording(path, more[i]);
        int until[2];
        char none;
        assert_int_equal(pipe(until), 0);
        pid_t child = fork();
        if (child == 0) {
            close(until[1]);
            _exit(read(until[0], &none, 1) == 0 ? 0 : 1);
        }
        struct error err = {{0}};
        uint64_t lost;
        trace_file_off();
        if (!trace_file_on(&err)) {
            fail_msg("%s", err.text);
        }
        close(until[0]);
        close(until[1]);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        trace_unit_plain();
        sink_end(sink);
        assert_int_equal(count_records(path, &lost), 1);
        free(path);
    }
}

static unsigned open_descriptors(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < 256; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    return count;
}

static void a_failed_recording_can_be_switched_on_again(void **state)
{
    (void)state;
    struct trace_sink *sink = recording("/dev/full", "");
    const unsigned descriptors = open_descriptors();
    struct error err = {{0}};
    bool on;
    for (unsigned i = 0; i < 3; i++) {
        trace_unit_plain();
        trace_file_flush();
        trace_file_status(&on);
        assert_false(on);
        assert_true(trace_file_on(&err));
        trace_file_status(&on);
        assert_true(on);
        assert_int_equal(open_descriptors(), descriptors);
    }
    char *path = temporary("again");
    uint64_t lost;
    assert_true(trace_file_set(path, &err));
    trace_unit_plain();
    sink_end(sink);
    assert_int_equal(count_records(path, &lost), 1);
    free(path);
}

static void an_open_recording_keeps_its_options(void **state)
{
    (void)state;
    char *path = temporary("joined");
    char *context = mem_format("unit_*,file=%s,context=vcpu", path);
    char *flight = mem_format("unit_*,file=%s,mode=flight", path);
    struct trace_sink *sink = recording(path, "");
    struct error err = {{0}};
    uint64_t lost;
    assert_false(apply(context, &err));
    assert_non_null(strstr(err.text, "is being recorded already"));
    assert_false(apply(flight, &err));
    assert_non_null(strstr(err.text, "cannot be written by two writers"));
    trace_unit_number(1, 2);
    sink_end(sink);
    assert_int_equal(count_records(path, &lost), 1);
    free(context);
    free(flight);
    free(path);
}

/* As a library does that is loaded late. */
static void events_are_added_while_recordings_are_open(void **state)
{
    (void)state;
    static struct trace_decl decl;
    static union trace_enable enable;
    static struct trace_event event = {.decl = &decl, .enable = &enable};
    static struct trace_event *const row[] = {&event};
    static struct trace_group group = {.name = "late", .event = row, .count = 1};
    static const char *const more[] = {"", ",mode=flight", ",writer=ctf"};
    char *path[3];
    for (unsigned i = 0; i < 3; i++) {
        char *name = mem_format("late-%u", i);
        path[i] = temporary(name);
        free(name);
        recording(path[i], more[i]);
    }
    decl = *trace_event_find("unit_number")->decl;
    decl.name = "unit_late";
    trace_group_register(&group);
    trace_unit_number(1, 1);
    for (struct trace_sink *sink = trace_sinks(); sink; sink = sink->next) {
        if (trace_sink_is_recording(sink)) {
            rule("unit_late", sink, NULL);
        }
    }
    const uint64_t values[] = {7, 8};
    trace_fire(&event, values);
    recordings_end();
    for (unsigned i = 0; i < 3; i++) {
        struct trace_reader *reader = reading(path[i]);
        struct trace_record r;
        assert_int_equal(trace_reader_next(reader, &r), 1);
        assert_string_equal(r.decl->name, "unit_number");
        assert_int_equal(trace_reader_next(reader, &r), 1);
        assert_string_equal(r.decl->name, "unit_late");
        assert_int_equal(r.values[1], 8);
        assert_int_equal(trace_reader_next(reader, &r), 0);
        trace_reader_close(reader);
        free(path[i]);
    }
}

static void there_are_as_many_recordings_as_slots(void **state)
{
    (void)state;
    struct error err = {{0}};
    for (unsigned i = 0; i <= TRACE_RECORDINGS_MAX; i++) {
        char *name = mem_format("slot-%u", i);
        char *path = temporary(name);
        char *argument = mem_format("unit_number,file=%s", path);
        assert_int_equal(apply(argument, &err), i < TRACE_RECORDINGS_MAX);
        free(argument);
        free(path);
        free(name);
    }
    assert_non_null(strstr(err.text, "8 recordings are open, which is as many as there can be"));
    trace_unit_number(1, 1);
    recordings_end();
    for (unsigned i = 0; i < TRACE_RECORDINGS_MAX; i++) {
        char *name = mem_format("slot-%u", i);
        char *path = temporary(name);
        uint64_t lost;
        assert_int_equal(count_records(path, &lost), 1);
        free(path);
        free(name);
    }
}

/* --- many threads --- */

static bool stop_firing;

static void *keep_firing(void *opaque)
{
    while (!__atomic_load_n(&stop_firing, __ATOMIC_RELAXED)) {
        trace_unit_number(1, 2);
        trace_unit_text("word", 3);
    }
    return opaque;
}

static void states_change_while_probes_fire(void **state)
{
    (void)state;
    char *path = temporary("busy");
    struct trace_sink *sink = recording(path, ",buffer=64k");
    pthread_t thread[3];
    stop_firing = false;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, keep_firing, NULL), 0);
    }
    for (unsigned i = 0; i < 60; i++) {
        struct error err;
        struct trace_match match;
        struct memory m;
        trace_state_set("unit_*", i & 1, &match);
        struct trace_sink *other = sink_new(&m);
        rule("unit_number", other, "offs == 2 || val == 3");
        trace_control_lock();
        trace_rules_drop(other);
        trace_sink_free(other);
        trace_control_unlock();
        assert_int_equal(m.count, 0);
        if (i % 20 == 5) {
            trace_file_off();
            assert_true(trace_file_on(&err));
        }
    }
    __atomic_store_n(&stop_firing, true, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < 3; i++) {
        pthread_join(thread[i], NULL);
    }
    sink_end(sink);
    uint64_t lost;
    count_records(path, &lost);
    assert_int_equal(lost, 0);
    free(path);
}

static void *fire_once(void *opaque)
{
    trace_unit_number(1, 2);
    return opaque;
}

static void *keep_starting(void *opaque)
{
    while (!__atomic_load_n(&stop_firing, __ATOMIC_RELAXED)) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, fire_once, NULL), 0);
        pthread_join(thread, NULL);
    }
    return opaque;
}

static void recordings_are_switched_while_threads_end(void **state)
{
    (void)state;
    static const char *const more[] = {",mode=flight,size=256k", ",buffer=64k"};
    for (unsigned i = 0; i < 2; i++) {
        char *path = temporary(i ? "ending" : "ending-flight");
        struct trace_sink *sink = recording(path, more[i]);
        pthread_t thread[2];
        stop_firing = false;
        for (unsigned t = 0; t < 2; t++) {
            assert_int_equal(pthread_create(&thread[t], NULL, keep_starting, NULL), 0);
        }
        for (unsigned n = 0; n < 40; n++) {
            struct error err;
            trace_file_off();
            assert_true(trace_file_on(&err));
            trace_file_flush();
        }
        __atomic_store_n(&stop_firing, true, __ATOMIC_RELAXED);
        for (unsigned t = 0; t < 2; t++) {
            pthread_join(thread[t], NULL);
        }
        sink_end(sink);
        uint64_t lost;
        count_records(path, &lost);
        assert_int_equal(lost, 0);
        free(path);
    }
}

static void the_log_is_qemus_line(void **state)
{
    (void)state;
    char *path = temporary("log");
    struct error err;
    assert_true(log_set_file(path, &err));
    rule("unit_*", trace_log_sink(), NULL);
    trace_unit_number(0x40, 0x8086);
    trace_unit_plain();
    trace_unit_cpu((void *)0x10, 0x20);
    assert_true(log_set_file(NULL, &err));
    trace_control_lock();
    trace_rules_drop(trace_log_sink());
    trace_control_unlock();
    char text[200] = {0};
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_true(fread(text, 1, sizeof text - 1, file) > 0);
    fclose(file);
    assert_string_equal(text, "unit_number @0x40 -> 0x8086\nunit_plain \nunit_cpu cpu=0x10 "
                              "pc=0x20\n");
    assert_false(log_set_file("/tmp/%x", &err));
    assert_non_null(strstr(err.text, "Bad logfile template: /tmp/%x"));
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(disabled_evaluates_nothing),
        cmocka_unit_test(delivers_values),
        cmocka_unit_test(outside_listener_counts),
        cmocka_unit_test(registry_knows_all),
        cmocka_unit_test(states_and_patterns),
        cmocka_unit_test(each_sink_has_its_filter),
        cmocka_unit_test(filters_know_words_and_context),
        cmocka_unit_test(wrong_filters_are_refused),
        cmocka_unit_test(gates_start_stop_and_limit),
        cmocka_unit_test(wrong_options_are_refused),
        cmocka_unit_test(odd_options_are_told),
        cmocka_unit_test(simple_round_trip),
        cmocka_unit_test(flight_round_trip),
        cmocka_unit_test(context_is_recorded),
        cmocka_unit_test(dropping_counts),
        cmocka_unit_test(files_on_off_set_flush),
        cmocka_unit_test(files_are_private),
        cmocka_unit_test(a_child_leaves_the_recording_alone),
        cmocka_unit_test(a_child_records_anew),
        cmocka_unit_test(a_child_keeps_no_recording_from_its_parent),
        cmocka_unit_test(a_failed_recording_can_be_switched_on_again),
        cmocka_unit_test(an_open_recording_keeps_its_options),
        cmocka_unit_test(events_are_added_while_recordings_are_open),
        cmocka_unit_test(there_are_as_many_recordings_as_slots),
        cmocka_unit_test(states_change_while_probes_fire),
        cmocka_unit_test(recordings_are_switched_while_threads_end),
        cmocka_unit_test(the_log_is_qemus_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
