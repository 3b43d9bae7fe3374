/* SPDX-License-Identifier: MIT
 *
 * The reader of QEMU's simple format: all versions, from bytes made by hand; damage of every kind
 * at every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/strbuf.h"
#include "trace/read/internal.h"
#include "trace/record.h"

/* Positions, not counting `disable`: tick 0, two 1, name 2, cpu 3, last 4. */
static const char declarations[] =
    "# a comment\n"
    "tick(void) \"\"\n"
    "two(uint64_t offs, int val) \"offs 0x%lx val %d\"\n"
    "disable gone(int a) \"%d\"\n"
    "name(const char *dev, uint32_t bus, const char *text) \"%s %u %s\"\n"
    "vcpu cpu(int reason) \"reason %d\"\n"
    "last(void *opaque) \"%p\"\n";

static char list[] = "/tmp/vitrine-events-XXXXXX";

static int make_list(void **state)
{
    (void)state;
    int fd = mkstemp(list);
    if (fd < 0 || write(fd, declarations, sizeof declarations - 1) < 0) {
        return -1;
    }
    return close(fd);
}

static int remove_list(void **state)
{
    (void)state;
    return unlink(list);
}

/* Making recordings. */

static void put64(struct strbuf *s, uint64_t value)
{
    strbuf_add(s, &value, sizeof value);
}

static void put32(struct strbuf *s, uint32_t value)
{
    strbuf_add(s, &value, sizeof value);
}

static void put_text(struct strbuf *s, const char *text)
{
    put32(s, (uint32_t)strlen(text));
    strbuf_puts(s, text);
}

static void put_header(struct strbuf *s, uint64_t version)
{
    put64(s, UINT64_MAX);
    put64(s, UINT64_C(0xf2b177cb0aa429b4));
    put64(s, version);
    if (version == 0) {
        for (int i = 0; i < 5; i++) {
            put64(s, 0);
        }
    }
}

static void put_mapping(struct strbuf *s, uint64_t id, const char *name)
{
    put64(s, 0);
    put64(s, id);
    put_text(s, name);
}

/* The part of a record before its arguments. */
static void put_event(struct strbuf *s, unsigned version, uint64_t id, uint64_t time, uint32_t args,
                      uint32_t pid)
{
    if (version == 4) {
        put64(s, 1);
    }
    put64(s, id);
    put64(s, time);
    put32(s, 24 + args);
    put32(s, pid);
}

/* Reading them. */

static const struct trace_reader_options with_list = {.events = list};
static const struct trace_reader_options without_header = {.events = list, .no_header = true};

static struct trace_reader *start(const void *bytes, size_t len,
                                  const struct trace_reader_options *options, struct error *err)
{
    return trace_reader_open_input("some/file", input_memory(bytes, len), options, err);
}

/* A record as text: "name time pid value,value,'string'". */
static void print_record(struct strbuf *out, const struct trace_record *record)
{
    strbuf_printf(out, "%s %llu %u", record->decl->name, (unsigned long long)record->time,
                  record->pid);
    for (unsigned i = 0; i < record->decl->nargs; i++) {
        strbuf_puts(out, i ? "," : " ");
        if (record->decl->arg[i].kind == TRACE_STRING) {
            strbuf_printf(out, "'%.*s'", (int)record->lengths[i],
                          (const char *)(uintptr_t)record->values[i]);
        } else {
            strbuf_printf(out, "0x%llx", (unsigned long long)record->values[i]);
        }
    }
    if (record->lost) {
        strbuf_printf(out, " lost %llu", (unsigned long long)record->lost);
    }
    strbuf_putc(out, '\n');
}

/* All records, a line each, and the error as a last line, if any. */
static char *read_all(const void *bytes, size_t len, const struct trace_reader_options *options)
{
    struct strbuf out;
    struct error err = {0};
    struct trace_record record;
    int got;
    strbuf_init(&out);
    struct trace_reader *reader = start(bytes, len, options, &err);
    if (!reader) {
        strbuf_puts(&out, err.text);
        return strbuf_take(&out);
    }
    while ((got = trace_reader_next(reader, &record)) > 0) {
        print_record(&out, &record);
    }
    assert_int_equal(trace_reader_next(reader, &record), got);
    if (got < 0) {
        assert_true(*trace_reader_error(reader));
        strbuf_puts(&out, trace_reader_error(reader));
    } else {
        assert_string_equal(trace_reader_error(reader), "");
    }
    trace_reader_close(reader);
    return strbuf_take(&out);
}

static void expect(const struct strbuf *file, const struct trace_reader_options *options,
                   const char *text)
{
    char *found = read_all(file->data, file->len, options);
    assert_string_equal(found, text);
    free(found);
}

/* A recording of version 4 with everything in it. `ends` gets the offset behind every record that
 * is handed out. */
static void make_v4(struct strbuf *s, size_t *ends)
{
    strbuf_init(s);
    put_header(s, 4);
    put_mapping(s, 1949, "two");
    put_mapping(s, 7, "never_declared");
    put_mapping(s, UINT64_C(0x123456789abcdef0), "name");
    put_event(s, 4, 1949, 1000, 16, 5545);
    put64(s, 0x40);
    put64(s, UINT64_MAX);
    *ends++ = s->len;
    put_mapping(s, 8, "tick");
    put_event(s, 4, 8, 1010, 0, 5545);
    *ends++ = s->len;
    put_event(s, 4, UINT64_C(0x123456789abcdef0), 1020, 4 + 6 + 8 + 4, 7);
    put_text(s, "i440FX");
    put64(s, 3);
    put_text(s, "");
    *ends++ = s->len;
    put_event(s, 4, TRACE_DROPPED_ID, 1030, 8, 7);
    put64(s, 614706);
    *ends++ = s->len;
    put_event(s, 4, 8, 1005, 0, 5545); /* slightly out of order */
    *ends++ = s->len;
}

enum { V4_RECORDS = 5 };

static const char v4_text[] = "two 1000 5545 0x40,0xffffffffffffffff\n"
                              "tick 1010 5545\n"
                              "name 1020 7 'i440FX',0x3,''\n"
                              "Dropped_Event 1030 7 0x96132 lost 614706\n"
                              "tick 1005 5545\n";

static void test_v4(void **state)
{
    (void)state;
    struct strbuf s;
    size_t ends[V4_RECORDS];
    struct error err;
    make_v4(&s, ends);
    expect(&s, &with_list, v4_text);

    struct trace_reader *reader = start(s.data, s.len, &with_list, &err);
    assert_non_null(reader);
    assert_int_equal(trace_reader_format(reader), TRACE_FORMAT_SIMPLE);
    assert_int_equal(trace_reader_version(reader), 4);
    int64_t offset;
    assert_false(trace_reader_wall_offset(reader, &offset));
    uint64_t done, size;
    trace_reader_progress(reader, &done, &size);
    assert_int_equal(size, s.len);
    trace_reader_close(reader);
    strbuf_free(&s);
}

/* The example of a QEMU 7.2 file: a mapping and an event, byte by byte. */
static void test_v4_bytes(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xb4, 0x29, 0xa4, 0x0a, 0xcb, 0x77, 0xb1,
        0xf2, 0x04, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x9d, 0x07, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 'l',
        'a',  's',  't',  0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x9d, 0x07, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x80, 0x2b, 0xaf, 0x40, 0xef, 0x01, 0x00, 0x00, 0x20, 0x00, 0x00,
        0x00, 0xa9, 0x15, 0x00, 0x00, 0x86, 0x80, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    };
    char *found = read_all(bytes, sizeof bytes, &with_list);
    assert_string_equal(found, "last 2127094033280 5545 0x8086\n");
    free(found);
}

static void test_numbers(void **state)
{
    (void)state;
    struct strbuf s;
    size_t ends[V4_RECORDS];
    struct error err;
    struct trace_record record;
    const struct trace_decl *decl[V4_RECORDS];
    unsigned event[V4_RECORDS];
    make_v4(&s, ends);
    struct trace_reader *reader = start(s.data, s.len, &with_list, &err);
    for (unsigned i = 0; i < V4_RECORDS; i++) {
        assert_int_equal(trace_reader_next(reader, &record), 1);
        decl[i] = record.decl;
        event[i] = record.event;
        assert_true(record.event < V4_RECORDS);
    }
    for (unsigned i = 0; i < V4_RECORDS; i++) {
        for (unsigned j = 0; j < V4_RECORDS; j++) {
            assert_int_equal(decl[i] == decl[j], event[i] == event[j]);
        }
    }
    assert_ptr_equal(decl[1], decl[4]);
    trace_reader_close(reader);
    strbuf_free(&s);
}

static void test_old_versions(void **state)
{
    (void)state;
    for (unsigned version = 2; version <= 3; version++) {
        struct strbuf s;
        strbuf_init(&s);
        put_header(&s, version);
        put_event(&s, version, 1, 100, 16, 99);
        put64(&s, 1);
        put64(&s, 2);
        put_event(&s, version, 2, 200, 4 + 1 + 8 + 4 + 3, 99);
        put_text(&s, "d");
        put64(&s, 5);
        put_text(&s, "xyz");
        put_event(&s, version, TRACE_DROPPED_ID, 250, 8, 99);
        put64(&s, 3);
        put_event(&s, version, 4, 300, 8, 99);
        put64(&s, 9);
        expect(&s, &with_list,
               version == 2 ? "two 100 0 0x1,0x2\nname 200 0 'd',0x5,'xyz'\n"
                              "Dropped_Event 250 0 0x3 lost 3\nlast 300 0 0x9\n"
                            : "two 100 99 0x1,0x2\nname 200 99 'd',0x5,'xyz'\n"
                              "Dropped_Event 250 99 0x3 lost 3\nlast 300 99 0x9\n");
        strbuf_free(&s);
    }
}

static void test_version_0(void **state)
{
    (void)state;
    struct strbuf s;
    strbuf_init(&s);
    put_header(&s, 0);
    static const uint64_t rows[][8] = {
        {1, 100, 7, 8, 0, 0, 0, 0},
        {2, 200, 0x55aa, 3, 0x66bb, 0, 0, 0}, /* strings are addresses */
        {TRACE_DROPPED_ID, 300, 4, 0, 0, 0, 0, 0},
        {0, 400, 1, 2, 3, 4, 5, 6},
    };
    strbuf_add(&s, rows, sizeof rows);
    expect(&s, &with_list,
           "two 100 0 0x7,0x8\nname 200 0 0x55aa,0x3,0x66bb\nDropped_Event 300 0 0x4 lost 4\n"
           "tick 400 0\n");
    s.len -= 1;
    expect(&s, &with_list,
           "two 100 0 0x7,0x8\nname 200 0 0x55aa,0x3,0x66bb\nDropped_Event 300 0 0x4 lost 4\n"
           "some/file: at byte 256: the recording ends inside a record (needs 64 bytes, has 63)");
    strbuf_free(&s);
}

/* Without a header ids are positions among all declarations. */
static void test_no_header(void **state)
{
    (void)state;
    struct strbuf s;
    strbuf_init(&s);
    put_event(&s, 4, 5, 100, 8, 1);
    put64(&s, 0xabc);
    put_event(&s, 4, 2, 110, 8, 1);
    put64(&s, 1);
    expect(&s, &without_header, "last 100 1 0xabc\ngone 110 1 0x1\n");
    put_event(&s, 4, 6, 120, 0, 1);
    char *text = mem_format("last 100 1 0xabc\ngone 110 1 0x1\n"
                            "some/file: at byte 88: expected the number of one of the 6 events "
                            "declared in %s, found 6; name the trace-events-all of the program "
                            "that wrote the recording with --events",
                            list);
    expect(&s, &without_header, text);
    free(text);
    strbuf_free(&s);
}

/* An event declared `vcpu` has the CPU in front in files of QEMU before 9.1 only. Which one it is,
 * the first record decides. */
static void test_vcpu(void **state)
{
    (void)state;
    for (unsigned cpu = 0; cpu < 2; cpu++) {
        struct strbuf s;
        strbuf_init(&s);
        put_header(&s, 4);
        put_mapping(&s, 0, "cpu");
        for (unsigned i = 0; i < 2; i++) {
            put_event(&s, 4, 0, 100 + i, 8 + 8 * cpu, 1);
            if (cpu) {
                put64(&s, 0x7f00);
            }
            put64(&s, 5);
        }
        expect(&s, &with_list,
               cpu ? "cpu 100 1 0x7f00,0x5\ncpu 101 1 0x7f00,0x5\n"
                   : "cpu 100 1 0x5\ncpu 101 1 0x5\n");
        size_t whole = s.len;
        put_event(&s, 4, 0, 102, 16 - 8 * cpu, 1);
        put64(&s, 5);
        if (!cpu) {
            put64(&s, 5);
        }
        char *found = read_all(s.data, s.len, &with_list);
        assert_non_null(strstr(found, "101 1 "));
        assert_null(strstr(found, "102 1 "));
        char *where = mem_format("some/file: at byte %zu: expected ", whole + 32 + 8);
        assert_non_null(strstr(found, where));
        free(where);
        free(found);
        strbuf_free(&s);

        struct error err;
        struct trace_record record;
        struct strbuf text;
        strbuf_init(&text);
        strbuf_init(&s);
        put_header(&s, 4);
        put_mapping(&s, 0, "cpu");
        put_event(&s, 4, 0, 100, 8 + 8 * cpu, 1);
        put64(&s, 5);
        put64(&s, 6);
        struct trace_reader *reader = start(s.data, s.len, &with_list, &err);
        assert_int_equal(trace_reader_next(reader, &record), 1);
        trace_decl_render(&text, record.decl, record.values, record.lengths);
        assert_string_equal(text.data, cpu ? "cpu=0x5 reason 6" : "reason 5");
        trace_reader_close(reader);
        strbuf_free(&text);
        strbuf_free(&s);
    }
}

/* A recording cut after any byte: the whole records before, then one sentence with the place. */
static void test_cut(void **state)
{
    (void)state;
    struct strbuf s;
    size_t ends[V4_RECORDS];
    make_v4(&s, ends);
    for (size_t cut = 0; cut < s.len; cut++) {
        char *copy = mem_stringn(s.data, cut); /* so that reading beyond shows */
        char *found = read_all(copy, cut, &with_list);
        unsigned records = 0;
        const char *at = found, *want = v4_text;
        while (records < V4_RECORDS && ends[records] <= cut) {
            size_t len = strcspn(want, "\n") + 1;
            assert_memory_equal(at, want, len);
            at += len;
            want += len;
            records++;
        }
        unsigned long long byte, needs, has;
        char what[32];
        if (cut == 0) {
            assert_non_null(strstr(at, "some/file: not a recording: expected"));
        } else if (*at) {
            assert_int_equal(sscanf(at,
                                    "some/file: at byte %llu: the recording ends inside %31[a-z ] "
                                    "(needs %llu bytes, has %llu)",
                                    &byte, what, &needs, &has),
                             4);
            assert_int_equal(byte + has, cut);
            assert_true(needs > has);
            assert_int_equal(strcspn(at, "\n"), strlen(at));
        } else {
            /* Between two records. */
            assert_true(cut >= 24);
        }
        free(found);
        free(copy);
    }
    strbuf_free(&s);
}

/* Any byte bent in any way: what lies before it comes out unchanged, and there is an end. */
static void test_bent(void **state)
{
    (void)state;
    static const uint8_t masks[] = {0x01, 0x04, 0x80, 0xff};
    struct strbuf s;
    size_t ends[V4_RECORDS];
    make_v4(&s, ends);
    for (size_t at = 0; at < s.len; at++) {
        for (unsigned m = 0; m < sizeof masks; m++) {
            s.data[at] = (char)((uint8_t)s.data[at] ^ masks[m]);
            char *found = read_all(s.data, s.len, &with_list);
            const char *end = v4_text;
            for (unsigned i = 0; i < V4_RECORDS && ends[i] <= at; i++) {
                end += strcspn(end, "\n") + 1;
            }
            assert_int_equal(strncmp(found, v4_text, (size_t)(end - v4_text)), 0);
            free(found);
            s.data[at] = (char)((uint8_t)s.data[at] ^ masks[m]);
        }
    }
    strbuf_free(&s);
}

struct damage_case {
    const char *what;
    void (*make)(struct strbuf *s);
    const char *sentence; /* %s: the list, %u: the greatest length of a record */
};

static void make_undeclared(struct strbuf *s)
{
    put_mapping(s, 7, "gone_with\x1b");
    put_event(s, 4, 7, 1, 0, 1);
}

static void make_unmapped(struct strbuf *s)
{
    put_event(s, 4, 77, 1, 0, 1);
}

static void make_type(struct strbuf *s)
{
    put64(s, 2);
    put64(s, 2);
    put64(s, 2);
    put64(s, 2);
}

static void make_short(struct strbuf *s)
{
    put_mapping(s, 1, "two");
    put_event(s, 4, 1, 1, 8, 1);
    put64(s, 1);
}

static void make_long(struct strbuf *s)
{
    put_mapping(s, 1, "tick");
    put_event(s, 4, 1, 1, 8, 1);
    put64(s, 1);
}

static void make_length(struct strbuf *s)
{
    put_mapping(s, 1, "two");
    put_event(s, 4, 1, 1, 0xfffffff0, 1);
    put64(s, 1);
}

static void make_tiny(struct strbuf *s)
{
    put_mapping(s, 1, "two");
    put_event(s, 4, 1, 1, (uint32_t)-20, 1);
    put64(s, 1);
}

static void make_string(struct strbuf *s)
{
    put_mapping(s, 1, "name");
    put_event(s, 4, 1, 1, 4 + 600 + 8 + 4, 1);
    put32(s, 600);
    for (int i = 0; i < 600 + 12; i++) {
        strbuf_putc(s, 0);
    }
}

static void make_name(struct strbuf *s)
{
    put64(s, 0);
    put64(s, 1);
    put32(s, 1025);
}

static void make_dropped_name(struct strbuf *s)
{
    put_mapping(s, TRACE_DROPPED_ID, "two");
}

static const struct damage_case damages[] = {
    {"an undeclared event is logged", make_undeclared,
     "some/file: at byte 62: event 'gone_with?' is logged but not declared in %s; name the "
     "trace-events-all of the program that wrote the recording with --events"},
    {"an id without a name", make_unmapped,
     "some/file: at byte 32: expected an event id that was given a name before, found 0x4d"},
    {"an unknown type", make_type,
     "some/file: at byte 24: expected the type of a record (0: a name, 1: an event), found 0x2"},
    {"too few arguments", make_short,
     "some/file: at byte 87: expected argument 'val' of event 'two' (8 bytes), found the record's "
     "end after 0; is %s from the program that wrote the recording?"},
    {"too many arguments", make_long,
     "some/file: at byte 80: expected the end of a record of event 'tick' (0 arguments), found 8 "
     "more bytes; is %s from the program that wrote the recording?"},
    {"a length beyond all records", make_length,
     "some/file: at byte 71: expected the length of a record (24 to %u), found 8"},
    {"a length below all records", make_tiny,
     "some/file: at byte 71: expected the length of a record (24 to %u), found 4"},
    {"a string longer than any writer makes", make_string,
     "some/file: at byte 80: expected the length of string 'dev' of event 'name' (at most 512), "
     "found 600"},
    {"a name longer than any program has", make_name,
     "some/file: at byte 40: expected the length of an event's name (at most 1024), found 1025"},
    {"the id of lost events gets a name", make_dropped_name,
     "some/file: at byte 32: expected the id of an event, found 0xfffffffffffffffe, which marks "
     "lost events"},
};

static void test_damages(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        struct strbuf s, want;
        strbuf_init(&s);
        strbuf_init(&want);
        put_header(&s, 4);
        damages[i].make(&s);
        for (const char *at = damages[i].sentence; *at; at++) {
            if (at[0] == '%' && at[1] == 's') {
                strbuf_puts(&want, list);
                at++;
            } else if (at[0] == '%' && at[1] == 'u') {
                strbuf_printf(&want, "%d", 24 + TRACE_VALUES_MAX * (4 + TRACE_STRING_MAX));
                at++;
            } else {
                strbuf_putc(&want, *at);
            }
        }
        char *found = read_all(s.data, s.len, &with_list);
        if (strcmp(found, want.data) != 0) {
            fail_msg("%s:\n expected %s\n found    %s", damages[i].what, want.data, found);
        }
        free(found);
        strbuf_free(&s);
        strbuf_free(&want);
    }
}

static void expect_refused(const void *bytes, size_t len, const char *part)
{
    struct error err = {0};
    assert_null(start(bytes, len, &with_list, &err));
    if (!strstr(err.text, part) || strncmp(err.text, "some/file: ", 11) != 0) {
        fail_msg("expected '%s' in '%s'", part, err.text);
    }
    assert_null(start(bytes, len, &with_list, NULL));
}

static void test_foreign(void **state)
{
    (void)state;
    struct strbuf s;
    strbuf_init(&s);
    expect_refused("", 0, "found an empty file");
    expect_refused("\x7f"
                   "ELF\2\1\1\0",
                   8, "not a recording: expected a simple recording");
    expect_refused("\x7f"
                   "ELF\2\1\1\0",
                   8, "found 7f 45 4c 46 02 01 01 00");
    expect_refused("PK stuff and more", 17, "found 50 4b 20 73 74 75 66 66 (\"PK stuff\")");

    put64(&s, UINT64_MAX);
    put64(&s, 1);
    put64(&s, 4);
    expect_refused(s.data, s.len, "at byte 8: expected the magic number 0xf2b177cb0aa429b4");
    strbuf_clear(&s);
    put64(&s, UINT64_MAX);
    put64(&s, __builtin_bswap64(UINT64_C(0xf2b177cb0aa429b4)));
    put64(&s, __builtin_bswap64(4));
    expect_refused(s.data, s.len, "other byte order");
    for (unsigned version = 0; version < 7; version++) {
        strbuf_clear(&s);
        put_header(&s, version);
        if (version == 1 || version > 4) {
            char *text =
                mem_format("expected version 0, 2, 3 or 4 of the simple format, found %u", version);
            expect_refused(s.data, s.len, text);
            free(text);
        } else {
            expect(&s, &with_list, "");
        }
    }
    strbuf_free(&s);
}

static void test_no_declarations(void **state)
{
    (void)state;
    static const struct trace_reader_options missing = {.events = "/nonexistent/list"};
    struct strbuf s;
    struct error err;
    strbuf_init(&s);
    put_header(&s, 4);
    assert_null(start(s.data, s.len, &missing, &err));
    assert_non_null(strstr(err.text, "/nonexistent/list"));
    strbuf_free(&s);
}

/* The list beside a recording is found, for compressed recordings too. */
static void test_list_beside(void **state)
{
    (void)state;
    static const char *const suffix[][2] = {
        {"trace-1", "trace-1.events"}, {"x.zst", "x.zst.events"}, {"y.zst", "y.events"}};
    char folder[] = "/tmp/vitrine-beside-XXXXXX";
    assert_non_null(mkdtemp(folder));
    for (unsigned i = 0; i < 3; i++) {
        struct error err;
        struct strbuf s;
        struct trace_record record;
        char *path = mem_format("%s/%s", folder, suffix[i][0]);
        char *events = mem_format("%s/%s", folder, suffix[i][1]);
        strbuf_init(&s);
        put_header(&s, 4);
        put_mapping(&s, 0, "only_beside");
        put_event(&s, 4, 0, 1, 0, 1);
        FILE *file = fopen(path, "w");
        assert_int_equal(fwrite(s.data, s.len, 1, file), 1);
        fclose(file);
        file = fopen(events, "w");
        fputs("only_beside(void) \"\"\n", file);
        fclose(file);
        struct trace_reader *reader = trace_reader_open(path, NULL, &err);
        assert_non_null(reader);
        assert_int_equal(trace_reader_next(reader, &record), 1);
        assert_string_equal(record.decl->name, "only_beside");
        assert_int_equal(trace_reader_next(reader, &record), 0);
        trace_reader_close(reader);
        strbuf_free(&s);
        unlink(path);
        unlink(events);
        free(path);
        free(events);
    }
    rmdir(folder);
}

/* Many more ids than any program has, in no order: all found, memory bounded. */
static void test_many_ids(void **state)
{
    (void)state;
    enum { IDS = 100000, TOO_MANY = 1 << 20 };
    struct strbuf s;
    struct error err;
    struct trace_record record;
    strbuf_init(&s);
    put_header(&s, 4);
    for (uint64_t i = 0; i < IDS; i++) {
        put_mapping(&s, i * UINT64_C(0x9e3779b97f4a7c15), i % 2 ? "tick" : "last");
    }
    for (uint64_t i = 0; i < IDS; i += 1001) {
        put_event(&s, 4, i * UINT64_C(0x9e3779b97f4a7c15), i, i % 2 ? 0 : 8, 1);
        if (i % 2 == 0) {
            put64(&s, i);
        }
    }
    struct trace_reader *reader = start(s.data, s.len, &with_list, &err);
    for (uint64_t i = 0; i < IDS; i += 1001) {
        assert_int_equal(trace_reader_next(reader, &record), 1);
        assert_string_equal(record.decl->name, i % 2 ? "tick" : "last");
        assert_int_equal(record.time, i);
        assert_true(record.event <= 2);
    }
    assert_int_equal(trace_reader_next(reader, &record), 0);
    trace_reader_close(reader);

    strbuf_clear(&s);
    put_header(&s, 4);
    for (uint64_t i = 0; i < TOO_MANY; i++) {
        put_mapping(&s, i, "tick");
    }
    reader = start(s.data, s.len, &with_list, &err);
    assert_int_equal(trace_reader_next(reader, &record), -1);
    assert_non_null(strstr(trace_reader_error(reader), "at most 1048576 event names"));
    trace_reader_close(reader);
    strbuf_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_v4),          cmocka_unit_test(test_v4_bytes),
        cmocka_unit_test(test_numbers),     cmocka_unit_test(test_old_versions),
        cmocka_unit_test(test_version_0),   cmocka_unit_test(test_no_header),
        cmocka_unit_test(test_vcpu),        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_bent),        cmocka_unit_test(test_damages),
        cmocka_unit_test(test_foreign),     cmocka_unit_test(test_no_declarations),
        cmocka_unit_test(test_list_beside), cmocka_unit_test(test_many_ids),
    };
    return cmocka_run_group_tests(tests, make_list, remove_list);
}
