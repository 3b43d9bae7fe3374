/* SPDX-License-Identifier: MIT
 *
 * CTF traces: what the writer writes, the reader reads; damage at every byte; what is refused. What
 * babeltrace2 says about the same traces is tests/run/ctf_test.py's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/strbuf.h"
#include "trace/read/internal.h"
#include "trace/write/ctf_file.h"

static char folder[] = "/tmp/vitrine-ctf-XXXXXX";
static char place[64]; /* the trace, inside it */

static const char declarations[] =
    "tick(void) \"\"\n"
    "two(uint64_t offs, int val) \"offs 0x%lx val %d\"\n"
    "#@enum colour -1=none 0=red 1=green\n"
    "#@flags access 1=read 2=write\n"
    "#@args shade:colour rights:access\n"
    "kinds(bool yes, int shade, uint32_t rights, void *at, const char *text) "
    "\"%d %d %u %p '%s' ends a comment */ here\"\n"
    "keywords(int event, int _under, int int64, const char *align) \"%d %d %d %s\"\n"
    "context(int a, const char *text, int64_t ctx_vcpu, const char *ctx_what) \"%d %s\"\n"
    "vcpu onecpu(int reason) \"reason %d\"\n";
enum { TICK, TWO, KINDS, KEYWORDS, CONTEXT, ONECPU, EVENTS };

static struct trace_decls *decls;
static const struct ctf_about about = {
    .pid = 77, .program = "a \"program\"", .host = "host", .wall_known = true, .wall = -1500000000};

static struct trace_decls *parse(const char *text)
{
    struct trace_decls *made = trace_decls_new();
    struct error err;
    if (!trace_decls_parse(made, TRACE_DIALECT_ANY, "test", text, strlen(text), NULL, NULL, &err)) {
        fail_msg("%s", err.text);
    }
    return made;
}

static int begin(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) {
        return -1;
    }
    snprintf(place, sizeof place, "%s/trace", folder);
    decls = parse(declarations);
    return decls->count == EVENTS ? 0 : -1;
}

static int shell(const char *format, const char *a, const char *b)
{
    char *command = mem_format(format, a, b);
    int status = system(command);
    free(command);
    return status;
}

static int finish(void **state)
{
    (void)state;
    trace_decls_free(decls);
    return shell("rm -rf '%s'", folder, "");
}

/* Every test begins with no trace. */
static int clean(void **state)
{
    (void)state;
    return shell("rm -rf '%s'", place, "");
}

/* --- helpers --- */

static struct ctf_file *open_trace(void)
{
    struct error err;
    struct ctf_file *file = ctf_file_open(place, &about, &err);
    if (!file) {
        fail_msg("%s", err.text);
    }
    for (unsigned i = 0; i < EVENTS; i++) {
        ctf_file_declare(file, i, decls->row[i]);
    }
    assert_true(ctf_file_commit(file, NULL));
    return file;
}

static void put(struct ctf_stream *s, unsigned event, uint64_t time, const uint64_t *values,
                const uint32_t *lengths)
{
    struct error err;
    if (!ctf_stream_event(s, event, time, values, lengths, &err)) {
        fail_msg("%s", err.text);
    }
}

static void put_two(struct ctf_stream *s, uint64_t time)
{
    put(s, TWO, time, (const uint64_t[]){time * 3, (uint64_t)-time}, NULL);
}

static uint64_t text_value(const char *text)
{
    return (uintptr_t)text;
}

static struct trace_reader *open_reader(void)
{
    struct error err;
    struct trace_reader *reader = trace_reader_open(place, NULL, &err);
    if (!reader) {
        fail_msg("%s", err.text);
    }
    return reader;
}

/* The record as one line: time, thread, name, rendered text. */
static void line(struct strbuf *out, const struct trace_record *r)
{
    strbuf_printf(out, "%llu %u/%u %s: ", (unsigned long long)r->time, r->pid, r->thread,
                  r->decl->name);
    trace_decl_render(out, r->decl, r->values, r->lengths);
    strbuf_putc(out, '\n');
}

/* The next record, which has to be there. */
static void next_record(struct trace_reader *reader, struct trace_record *record)
{
    if (trace_reader_next(reader, record) != 1) {
        fail_msg("no record: '%s'", trace_reader_error(reader));
    }
}

static char *read_lines(int *got, char *sentence, size_t size)
{
    struct trace_reader *reader = open_reader();
    struct trace_record record;
    struct strbuf out;
    strbuf_init(&out);
    while ((*got = trace_reader_next(reader, &record)) > 0) {
        line(&out, &record);
    }
    assert_int_equal(trace_reader_next(reader, &record), *got);
    snprintf(sentence, size, "%s", trace_reader_error(reader));
    trace_reader_close(reader);
    return strbuf_take(&out);
}

static void assert_lines(const char *expected)
{
    char sentence[1024];
    int got;
    char *lines = read_lines(&got, sentence, sizeof sentence);
    assert_string_equal(sentence, "");
    assert_int_equal(got, 0);
    assert_string_equal(lines, expected);
    free(lines);
}

/* --- what is written is read --- */

static void kinds_come_back(void **state)
{
    (void)state;
    struct ctf_file *file = open_trace();
    struct ctf_stream *s = ctf_stream_new(file, 77, 5);
    put(s, TICK, 10, NULL, NULL);
    put(s, KINDS, 11, (const uint64_t[]){1, (uint64_t)-1, 3, 0xf000, text_value("text")},
        (const uint32_t[]){0, 0, 0, 0, 4});
    put(s, KINDS, 12, (const uint64_t[]){0, 9, 4, 0, 0}, (const uint32_t[]){0, 0, 0, 0, 0});
    put(s, KEYWORDS, 13, (const uint64_t[]){1, 2, 3, text_value("a\0b")},
        (const uint32_t[]){0, 0, 0, 3});
    put(s, CONTEXT, 14, (const uint64_t[]){1, text_value("x"), (uint64_t)-1, text_value("what")},
        (const uint32_t[]){0, 1, 0, 4});
    put(s, ONECPU, 15, (const uint64_t[]){0x1000, 7}, NULL);
    assert_true(ctf_file_close(file, NULL));
    assert_lines("10 77/5 tick: \n"
                 "11 77/5 kinds: 1 -1 3 0xf000 'text' ends a comment */ here\n"
                 "12 77/5 kinds: 0 9 4 (nil) '' ends a comment */ here\n"
                 "13 77/5 keywords: 1 2 3 a\n"
                 "14 77/5 context: 1 x\n"
                 "15 77/5 onecpu: cpu=0x1000 reason 7\n");
}

static void declarations_come_back(void **state)
{
    (void)state;
    assert_true(ctf_file_close(open_trace(), NULL));
    struct ctf_file *file = open_trace(); /* replaces it */
    struct ctf_stream *s = ctf_stream_new(file, 77, 5);
    const uint64_t values[] = {1, (uint64_t)-1, 3, 0xf000, text_value("t")};
    put(s, KINDS, 1, values, (const uint32_t[]){0, 0, 0, 0, 1});
    put(s, CONTEXT, 2, (const uint64_t[]){1, text_value("x"), (uint64_t)-1, text_value("what")},
        (const uint32_t[]){0, 1, 0, 4});
    assert_true(ctf_file_close(file, NULL));

    struct trace_reader *reader = open_reader();
    struct trace_record r;
    struct strbuf words;
    strbuf_init(&words);
    next_record(reader, &r);
    for (unsigned i = 0; i < r.decl->nargs; i++) {
        assert_string_equal(r.decl->arg[i].name, decls->row[KINDS]->arg[i].name);
        assert_string_equal(r.decl->arg[i].type, decls->row[KINDS]->arg[i].type);
        assert_int_equal(r.decl->arg[i].kind, decls->row[KINDS]->arg[i].kind);
        assert_int_equal(r.decl->arg[i].bits, decls->row[KINDS]->arg[i].bits);
    }
    assert_string_equal(r.decl->format, decls->row[KINDS]->format);
    assert_true(trace_words_text(&words, r.decl->arg[1].words, r.values[1]));
    assert_true(trace_words_text(&words, r.decl->arg[2].words, r.values[2]));
    assert_string_equal(words.data, "noneread|write");
    strbuf_free(&words);

    next_record(reader, &r);
    assert_string_equal(r.decl->arg[2].name, "ctx_vcpu");
    assert_true(r.values[2] == (uint64_t)-1);
    assert_int_equal(r.lengths[3], 4);
    assert_memory_equal((const char *)(uintptr_t)r.values[3], "what", 4);

    int64_t wall;
    assert_true(trace_reader_wall_offset(reader, &wall));
    assert_int_equal(wall, about.wall);
    assert_int_equal(trace_reader_format(reader), TRACE_FORMAT_CTF);
    trace_reader_close(reader);
}

/* Sets of one name with different words in one trace. */
static void sets_of_words_stay_apart(void **state)
{
    (void)state;
    struct trace_decls *a = parse("#@enum mode 0=off 1=on\n#@args m:mode\nfirst(int m) \"%d\"\n");
    struct trace_decls *b = parse("#@enum mode 0=up 1=down\n#@args m:mode\nsecond(int m) \"%d\"\n");
    struct ctf_file *file = ctf_file_open(place, &about, NULL);
    ctf_file_declare(file, 3, a->row[0]);
    ctf_file_declare(file, 900, b->row[0]);
    struct ctf_stream *s = ctf_stream_new(file, 1, 1);
    put(s, 3, 1, (const uint64_t[]){1}, NULL);
    put(s, 900, 2, (const uint64_t[]){1}, NULL);
    assert_true(ctf_file_close(file, NULL));
    trace_decls_free(a);
    trace_decls_free(b);

    struct trace_reader *reader = open_reader();
    struct trace_record r;
    struct strbuf words;
    strbuf_init(&words);
    while (trace_reader_next(reader, &r) > 0) {
        assert_non_null(r.decl->arg[0].words);
        trace_words_text(&words, r.decl->arg[0].words, r.values[0]);
    }
    assert_string_equal(words.data, "ondown");
    strbuf_free(&words);
    trace_reader_close(reader);
}

/* Texts that are empty have an id of their own in the file; to a reader it is one event. */
static void empty_texts_are_no_other_event(void **state)
{
    (void)state;
    struct ctf_file *file = open_trace();
    struct ctf_stream *s = ctf_stream_new(file, 77, 5);
    for (unsigned i = 0; i < 8; i++) {
        put(s, CONTEXT, i,
            (const uint64_t[]){i, text_value(i & 1 ? "x" : ""), 0, text_value(i & 2 ? "y" : NULL)},
            (const uint32_t[]){0, i & 1, 0, i & 2 ? 1 : 0});
    }
    assert_true(ctf_file_close(file, NULL));
    struct trace_reader *reader = open_reader();
    struct trace_record r = {0};
    for (unsigned i = 0; i < 8; i++) {
        const struct trace_decl *decl = r.decl;
        unsigned event = r.event;
        next_record(reader, &r);
        assert_true(i == 0 || (r.decl == decl && r.event == event));
        assert_int_equal(r.values[0], i);
        assert_int_equal(r.lengths[1], i & 1);
        assert_int_equal(r.lengths[3], i & 2 ? 1 : 0);
    }
    assert_int_equal(trace_reader_next(reader, &r), 0);
    trace_reader_close(reader);
}

static void streams_are_merged(void **state)
{
    (void)state;
    enum { THREADS = 40, EACH = 500 };
    struct ctf_file *file = open_trace();
    struct ctf_stream *s[THREADS];
    uint64_t time = 1000;
    for (unsigned i = 0; i < THREADS; i++) {
        s[i] = ctf_stream_new(file, 77, i + 1);
    }
    /* Threads come and go; every now and then all is flushed. */
    for (unsigned i = 0; i < THREADS * EACH; i++) {
        put_two(s[(i * 7 + i / 100) % THREADS], time++);
        if (i % 777 == 0) {
            assert_true(ctf_file_flush(file, NULL));
        }
    }
    for (unsigned i = 0; i < THREADS; i += 2) {
        assert_true(ctf_stream_close(s[i], NULL));
    }
    assert_true(ctf_file_close(file, NULL));

    struct trace_reader *reader = open_reader();
    struct trace_record r;
    uint64_t done, size;
    for (unsigned i = 0; i < THREADS * EACH; i++) {
        next_record(reader, &r);
        assert_int_equal(r.time, 1000 + i);
        assert_int_equal(r.values[0], r.time * 3);
        assert_int_equal(r.thread, (i * 7 + i / 100) % THREADS + 1);
    }
    assert_int_equal(trace_reader_next(reader, &r), 0);
    trace_reader_progress(reader, &done, &size);
    assert_int_equal(done, size);
    assert_true(size > THREADS * EACH * 28);
    trace_reader_close(reader);
}

static void losses_stand_where_they_happened(void **state)
{
    (void)state;
    struct ctf_file *file = open_trace();
    struct ctf_stream *s = ctf_stream_new(file, 77, 5);
    assert_true(ctf_stream_lost(s, 5, 4, NULL));
    put(s, TICK, 10, NULL, NULL);
    assert_true(ctf_stream_lost(s, 20, 1, NULL));
    assert_true(ctf_stream_lost(s, 21, 2, NULL));
    put(s, TICK, 30, NULL, NULL);
    assert_true(ctf_file_flush(file, NULL));
    assert_true(ctf_file_flush(file, NULL));
    assert_true(ctf_stream_lost(s, 40, 100, NULL)); /* the last word */
    assert_true(ctf_file_close(file, NULL));
    assert_lines("5 77/5 Dropped_Event: Number of dropped events: 4\n"
                 "10 77/5 tick: \n"
                 "20 77/5 Dropped_Event: Number of dropped events: 3\n"
                 "30 77/5 tick: \n"
                 "40 77/5 Dropped_Event: Number of dropped events: 100\n");
}

static void times_do_not_fall(void **state)
{
    (void)state;
    struct ctf_file *file = open_trace();
    struct ctf_stream *s = ctf_stream_new(file, 77, 5);
    put(s, TICK, 10, NULL, NULL);
    put(s, TICK, 9, NULL, NULL);
    assert_int_equal(ctf_stream_time(s), 10);
    assert_true(ctf_file_close(file, NULL));
    assert_lines("10 77/5 tick: \n10 77/5 tick: \n");
}

/* Events longer than a page, and texts longer than what is kept. */
static void long_events(void **state)
{
    (void)state;
    struct trace_decls *wide = parse(
        "wide(char *a, char *b, char *c, char *d, char *e, char *f, char *g, char *h, char *i, "
        "char *j) \"%s\"\n");
    char text[TRACE_STRING_MAX + 100];
    uint64_t values[10];
    uint32_t lengths[10];
    memset(text, 'x', sizeof text);
    for (unsigned i = 0; i < 10; i++) {
        values[i] = text_value(text);
        lengths[i] = i % 2 ? sizeof text : TRACE_STRING_MAX;
    }
    struct ctf_file *file = open_trace();
    struct ctf_stream *s = ctf_stream_new(file, 1, 1);
    ctf_file_declare(file, EVENTS, wide->row[0]);
    for (unsigned i = 0; i < 100; i++) {
        put(s, EVENTS, 2 * i, values, lengths);
        put_two(s, 2 * i + 1);
        if (i % 3 == 0) {
            assert_true(ctf_file_flush(file, NULL));
        }
    }
    assert_true(ctf_file_close(file, NULL));
    trace_decls_free(wide);

    struct trace_reader *reader = open_reader();
    struct trace_record r;
    for (unsigned i = 0; i < 200; i++) {
        next_record(reader, &r);
        assert_int_equal(r.time, i);
        for (unsigned k = 0; i % 2 == 0 && k < 10; k++) {
            assert_int_equal(r.lengths[k], TRACE_STRING_MAX);
            assert_memory_equal((const char *)(uintptr_t)r.values[k], text, TRACE_STRING_MAX);
        }
    }
    assert_int_equal(trace_reader_next(reader, &r), 0);
    trace_reader_close(reader);
}

/* --- damage --- */

static char *load_file(const char *name, size_t *len)
{
    char *path = mem_format("%s/%s", place, name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    char *bytes = mem_alloc(1 << 20);
    *len = fread(bytes, 1, 1 << 20, f);
    fclose(f);
    free(path);
    return bytes;
}

static void store_file(const char *name, const void *bytes, size_t len)
{
    char *path = mem_format("%s/%s", place, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    fclose(f);
    free(path);
}

static unsigned count_lines(const char *text)
{
    unsigned count = 0;
    for (; *text; text++) {
        count += *text == '\n';
    }
    return count;
}

/* Two packets with a text and numbers in thread-5-1, some events in thread-6-2. */
static void make_small(void)
{
    struct ctf_file *file = open_trace();
    struct ctf_stream *s = ctf_stream_new(file, 77, 5), *t = ctf_stream_new(file, 77, 6);
    put(s, KINDS, 11, (const uint64_t[]){1, 1, 3, 0xf000, text_value("text")},
        (const uint32_t[]){0, 0, 0, 0, 4});
    put_two(s, 12);
    assert_true(ctf_file_flush(file, NULL));
    put_two(s, 13);
    put_two(t, 1);
    put_two(t, 14);
    assert_true(ctf_file_close(file, NULL));
}

static void cut_anywhere(void **state)
{
    (void)state;
    char sentence[1024];
    int got;
    size_t len;
    unsigned least = 0;
    make_small();
    char *bytes = load_file("thread-5-1", &len);
    char *whole = read_lines(&got, sentence, sizeof sentence);
    assert_int_equal(count_lines(whole), 5);
    for (size_t cut = 0; cut < len; cut++) {
        store_file("thread-5-1", bytes, cut);
        char *lines = read_lines(&got, sentence, sizeof sentence);
        unsigned count = count_lines(lines);
        assert_true(count >= 2 && count >= least && count < 5); /* the other thread's are there */
        assert_true(strstr(lines, "\n14 77/6 two:"));
        /* A file may end between two packets: then nothing is wrong. */
        assert_true(got == -1 || cut == 0 || count == 4);
        if (got < 0) {
            assert_non_null(strstr(sentence, "/trace/thread-5-1: at byte "));
            assert_non_null(strstr(sentence, "ends inside"));
        }
        least = count;
        free(lines);
    }
    assert_int_equal(least, 4);
    free(whole);
    free(bytes);
}

static void change_any_byte(void **state)
{
    (void)state;
    char sentence[1024];
    int got;
    size_t len;
    unsigned told = 0;
    make_small();
    char *bytes = load_file("thread-5-1", &len);
    for (size_t at = 0; at < len; at++) {
        bytes[at] = (char)~bytes[at];
        store_file("thread-5-1", bytes, len);
        char *lines = read_lines(&got, sentence, sizeof sentence);
        assert_true(count_lines(lines) >= 2);
        assert_true((got < 0) == (sentence[0] != 0));
        /* Magic number and UUID, ids and times cannot be wrong unnoticed. */
        assert_true(at >= 20 || got < 0);
        told += got < 0;
        free(lines);
        bytes[at] = (char)~bytes[at];
    }
    assert_true(told > 100);
    free(bytes);
}

/* A process that is killed while it writes leaves a file that ends at the end of a page. */
static void cut_at_pages_is_clean(void **state)
{
    (void)state;
    char sentence[1024];
    int got;
    struct ctf_file *file = open_trace();
    struct ctf_stream *s = ctf_stream_new(file, 77, 5);
    char text[400];
    memset(text, 'y', sizeof text);
    for (unsigned i = 0; i < 1000; i++) {
        put(s, KINDS, i, (const uint64_t[]){1, 1, 3, 0xf000, text_value(text)},
            (const uint32_t[]){0, 0, 0, 0, (i * 37) % sizeof text});
        if (i % 50 == 0) {
            assert_true(ctf_file_flush(file, NULL));
        }
        if (i % 97 == 0) {
            assert_true(ctf_stream_lost(s, i, 1, NULL));
        }
    }
    assert_true(ctf_file_close(file, NULL));

    size_t len;
    unsigned before = 0;
    char *bytes = load_file("thread-5-1", &len);
    assert_true(len > 50 * CTF_PAGE);
    for (size_t cut = CTF_PAGE; cut < len; cut += CTF_PAGE) {
        store_file("thread-5-1", bytes, cut);
        char *lines = read_lines(&got, sentence, sizeof sentence);
        assert_string_equal(sentence, "");
        assert_int_equal(got, 0);
        assert_true(count_lines(lines) > before);
        before = count_lines(lines);
        free(lines);
    }
    free(bytes);
}

static void two_files_are_damaged(void **state)
{
    (void)state;
    char sentence[1024];
    int got;
    make_small();
    store_file("thread-7-3", "short", 5);
    store_file("thread-8-4", "other", 5);
    char *lines = read_lines(&got, sentence, sizeof sentence);
    assert_int_equal(got, -1);
    assert_int_equal(count_lines(lines), 5);
    assert_non_null(strstr(sentence, "thread-7-3: at byte 0: the file ends inside the head of a "
                                     "packet (needs 80 bytes, has 5) (1 more"));
    free(lines);
}

/* --- metadata --- */

static void assert_refused(const char *metadata, const char *sentence)
{
    struct error err;
    store_file("metadata", metadata, strlen(metadata));
    struct trace_reader *reader = trace_reader_open(place, NULL, &err);
    assert_null(reader);
    if (!strstr(err.text, sentence)) {
        fail_msg("'%s' is not in: %s", sentence, err.text);
    }
}

/* Another order, other white space, narrower fields, other spellings: still TSDL. */
static void metadata_in_another_form(void **state)
{
    (void)state;
    static const char text[] =
        "/* CTF 1.8 */ env{tracer_name=\"vitrine\";};typealias integer {align=8;byte_order=native;"
        "signed=0;encoding=none;size=0x10;}:=u16;// a comment\n"
        "typealias integer { size = 32; base = hex; }:=u32;\n"
        "typealias integer { size = 64; signed = FALSE; map = clock.c.value; } := u64;\n"
        "trace { packet.header := struct packet { u32 stream_id; u32 magic; } align(8); minor = 8;"
        "major = 1; byte_order = native; };;\n"
        "stream { event.header := struct { u64 timestamp; u16 id; } align(8);\n"
        "packet.context := struct { u64 content_size; u64 packet_size; u64 timestamp_end;\n"
        "u64 timestamp_begin; }; };\n"
        "/* trace-events\n#@enum way -1=back 1=on\n#@args way:way\n"
        "step(int way, const char *who, bool far) \"%d %s %d\"\n*/\n"
        "event { fields := struct { enum _way : integer { size = 16; signed = true; } "
        "{ \"back\" = -1, near = 1 ... 5, \"\\\"more\\\"\" } way; string { encoding = UTF8; } "
        "who;\n"
        "integer { size = 8; } far; }; id = 7; name = \"step\"; };";
    uint8_t packet[100] = {0, 0, 0, 0, 0xc1, 0x1f, 0xfc, 0xc1};
    const uint64_t numbers[] = {61 * 8, 64 * 8, 50, 40};
    memcpy(packet + 8, numbers, sizeof numbers);
    static const uint8_t event[] = {44, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0xff, 0xff, 'm', 'e', 0, 1};
    memcpy(packet + 40, event, sizeof event);
    make_small();
    assert_int_equal(shell("rm '%s'/%s", place, "thread-*"), 0);
    store_file("metadata", text, sizeof text - 1);
    store_file("anything", packet, 64);
    char sentence[1024];
    int got;
    char *lines = read_lines(&got, sentence, sizeof sentence);
    assert_string_equal(lines, "44 0/0 step: -1 me 1\n");
    assert_non_null(strstr(sentence, "anything: at byte 56: expected the id and the time"));
    free(lines);
    ((uint64_t *)(void *)(packet + 8))[0] = 56 * 8;
    store_file("anything", packet, 64);
    assert_lines("44 0/0 step: -1 me 1\n");
    assert_int_equal(shell("rm '%s/%s'", place, "anything"), 0);
}

static void metadata_that_is_wrong(void **state)
{
    (void)state;
    struct error err;
    size_t len;
    make_small();
    char *text = load_file("metadata", &len);
    /* Whatever is cut off: a sentence, never a crash. */
    for (size_t cut = 0; cut < len; cut += 3) {
        store_file("metadata", text, cut);
        struct trace_reader *reader = trace_reader_open(place, NULL, &err);
        if (!reader) {
            assert_non_null(strstr(err.text, "metadata"));
        }
        trace_reader_close(reader);
    }
    free(text);

    assert_refused("env { tracer_name = \"lttng-ust\"; };", "babeltrace2");
    assert_refused("\xc1\x1f\xd1\x75 in packets", "babeltrace2");
    assert_refused("", "babeltrace2");
    assert_refused("/* CTF 1.8 */\nenv { tracer_name = \"vitrine\"; };\ntrace { major = 2; };",
                   "line 3: expected version 1.8 of CTF");
    assert_refused("env { tracer_name = \"vitrine\"; };\nfloating { };",
                   "line 2: expected typealias");
    assert_refused("env { tracer_name = \"vitrine\"; };", "'magic'");
    assert_refused("env { tracer_name = \"vitrine\"; }; trace { byte_order = be; };",
                   "expected byte order 'le'");
    assert_refused("env { tracer_name = \"vitrine\"; };\ntrace { packet.header := struct { }; };",
                   "line 2: expected fields in packet.header, found none");
    assert_refused("env { tracer_name = \"vitrine\"; };\nstream { event.header := struct { }; };",
                   "line 2: expected fields in event.header, found none");
    assert_refused("env { tracer_name = \"vitrine\"; };\n/* trace-events\nbroken\n*/",
                   "metadata (declarations)");
    assert_refused("env { tracer_name = \"vitrine\"; };\nevent { name = \"x\"; id = 0; };",
                   "event x: expected its declaration");
    assert_refused("env { tracer_name = \"vitrine\"; };\nevent { name = \"x\"; id = 1048576; };",
                   "event id below");
    assert_refused("env { tracer_name = \"vitrine\"; };\n/* trace-events\nx(int a) \"%d\"\n*/"
                   "event { name = \"x\"; id = 0; };",
                   "expected 1 fields");
    assert_refused("env { tracer_name = \"vitrine\"; };\n/* trace-events\nx(int a) \"%d\"\n*/"
                   "event { name = \"x\"; id = 0; fields := struct { string a; }; };",
                   "expected an integer as field of argument 'a'");
    assert_int_equal(shell("rm '%s/%s'", place, "metadata"), 0);
    assert_null(trace_reader_open(place, NULL, &err));
    assert_non_null(strstr(err.text, "without a file 'metadata'"));
    assert_int_equal(shell("rm -r '%s'", place, ""), 0);
}

/* --- places that are refused --- */

static void other_places_are_left_alone(void **state)
{
    (void)state;
    struct error err;
    struct stat st;
    make_small();
    assert_int_equal(stat(place, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    char *metadata = mem_format("%s/metadata", place);
    assert_int_equal(stat(metadata, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    free(metadata);

    /* A trace being recorded. */
    struct ctf_file *file = open_trace();
    assert_null(ctf_file_open(place, &about, &err));
    assert_non_null(strstr(err.text, "is being recorded into"));
    assert_true(ctf_file_close(file, NULL));

    /* A file too many in it. */
    store_file("letter.txt", "dear", 4);
    assert_null(ctf_file_open(place, &about, &err));
    assert_non_null(strstr(err.text, "holds 'letter.txt'"));
    assert_int_equal(shell("test -s '%s/metadata' && rm '%s/letter.txt'", place, place), 0);

    /* Another tracer's. */
    store_file("metadata", "/* CTF 1.8 */ other", 19);
    assert_null(ctf_file_open(place, &about, &err));
    assert_non_null(strstr(err.text, "not replaced"));

    /* A file, and a place where nothing can be made. */
    assert_int_equal(shell("rm -r '%s' && touch '%s'", place, place), 0);
    assert_null(ctf_file_open(place, &about, &err));
    assert_non_null(strstr(err.text, "is a file"));
    char *below = mem_format("%s/trace", place);
    assert_null(ctf_file_open(below, &about, &err));
    assert_non_null(strstr(err.text, "cannot make this directory"));
    free(below);
    assert_int_equal(unlink(place), 0);
}

/* When the files cannot be written, the first reason is told, and told again at the end. */
static void failures_are_kept(void **state)
{
    (void)state;
    struct error err;
    struct ctf_file *file = open_trace();
    struct ctf_stream *s = ctf_stream_new(file, 77, 5);
    put(s, TICK, 1, NULL, NULL);
    assert_int_equal(shell("rm -r '%s'", place, ""), 0);
    assert_false(ctf_file_flush(file, &err));
    assert_non_null(strstr(err.text, "thread-5-1: cannot be opened: No such file"));
    assert_false(ctf_stream_event(s, TICK, 2, NULL, NULL, &err));
    assert_false(ctf_file_close(file, &err));
    assert_non_null(strstr(err.text, "thread-5-1: cannot be opened: No such file"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(kinds_come_back, clean),
        cmocka_unit_test_setup(declarations_come_back, clean),
        cmocka_unit_test_setup(sets_of_words_stay_apart, clean),
        cmocka_unit_test_setup(empty_texts_are_no_other_event, clean),
        cmocka_unit_test_setup(streams_are_merged, clean),
        cmocka_unit_test_setup(losses_stand_where_they_happened, clean),
        cmocka_unit_test_setup(times_do_not_fall, clean),
        cmocka_unit_test_setup(long_events, clean),
        cmocka_unit_test_setup(cut_anywhere, clean),
        cmocka_unit_test_setup(change_any_byte, clean),
        cmocka_unit_test_setup(cut_at_pages_is_clean, clean),
        cmocka_unit_test_setup(two_files_are_damaged, clean),
        cmocka_unit_test_setup(metadata_in_another_form, clean),
        cmocka_unit_test_setup(metadata_that_is_wrong, clean),
        cmocka_unit_test_setup(other_places_are_left_alone, clean),
        cmocka_unit_test_setup(failures_are_kept, clean),
    };
    return cmocka_run_group_tests(tests, begin, finish);
}
