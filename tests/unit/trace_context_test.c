/* SPDX-License-Identifier: MIT
 *
 * Context fields that a higher room adds: filters name them, recordings store them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "trace-tests_unit.h"
#include "trace/probe/control.h"
#include "trace/read/reader.h"

static uint64_t level;

static uint64_t get_level(uint32_t *length)
{
    (void)length;
    return level;
}

static uint64_t get_process(uint32_t *length)
{
    static const char name[] = "init, not ended by NUL";
    *length = 4;
    return (uintptr_t)name;
}

static void add_rows(void)
{
    static const struct trace_field cpl = {"cpl", TRACE_UNSIGNED, "privilege level of the vCPU"};
    static const struct trace_field process = {"process", TRACE_STRING,
                                               "name of the guest process"};
    trace_context_add(&cpl, get_level);
    trace_context_add(&process, get_process);
}

static char *record(const char *more)
{
    char *path = mem_string("/tmp/vitrine-unit-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    char *argument = mem_format("unit_number,file=%s,%s", path, more);
    struct trace_setup *setup = trace_setup_new();
    struct error err = {{0}};
    if (trace_setup_trace(setup, argument, &err) != TRACE_OPTION_TAKEN ||
        !trace_setup_apply(setup, NULL, NULL, &err)) {
        fail_msg("%s", err.text);
    }
    trace_setup_free(setup);
    free(argument);
    for (level = 0; level < 4; level++) {
        trace_unit_number(level, 0);
    }
    trace_file_off();
    return path;
}

static void remove_recording(char *path)
{
    char *events = mem_format("%s.events", path);
    unlink(events);
    unlink(path);
    free(events);
    free(path);
}

static void rows_are_found(void **state)
{
    (void)state;
    unsigned before, after;
    trace_context_fields(&before);
    add_rows();
    const struct trace_field *field = trace_context_fields(&after);
    assert_int_equal(after, before + 2);
    assert_int_equal(trace_context_find("cpl"), before);
    assert_string_equal(field[before + 1].name, "process");
    assert_int_equal(trace_context_find("nosuch"), -1);
    /* A room may refine a row: its place stays. */
    add_rows();
    trace_context_fields(&after);
    assert_int_equal(after, before + 2);
}

static void filters_and_recordings_use_them(void **state)
{
    (void)state;
    char *path = record("context=cpl+process,filter=cpl >= 1 && cpl != 2 && process == \"init\"");
    static const struct trace_reader_options none;
    struct error err = {{0}};
    struct trace_record r;
    struct trace_reader *reader = trace_reader_open(path, &none, &err);
    if (!reader) {
        fail_msg("%s", err.text);
    }
    for (uint64_t expected = 1; expected < 4; expected += 2) {
        assert_int_equal(trace_reader_next(reader, &r), 1);
        assert_int_equal(r.values[0], expected);
        assert_string_equal(r.decl->arg[2].name, "ctx_cpl");
        assert_int_equal(r.values[2], expected);
        assert_string_equal(r.decl->arg[3].name, "ctx_process");
        assert_int_equal(r.lengths[3], 4);
        assert_memory_equal((const char *)(uintptr_t)r.values[3], "init", 4);
    }
    assert_int_equal(trace_reader_next(reader, &r), 0);
    trace_reader_close(reader);
    remove_recording(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_found),
        cmocka_unit_test(filters_and_recordings_use_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
