/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: the output formats, fed by the reader of the simple format. The first byte of the
 * input chooses the format and its options. Formats that make files are left out; the JSON ones are
 * checked for text that JSON or UTF-8 does not allow. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "cmd/vitrine-trace/text.h"
#include "cmd/vitrine-trace/to.h"
#include "trace/read/internal.h"

static const char declarations[] = "#@enum states 0=off 1=on 77=odd\n"
                                   "#@flags bits 1=a 2=b 12=cd\n"
                                   "tick(void) \"\"\n"
                                   "#@args state:states how:bits\n"
                                   "words(int state, unsigned how, bool sure) \"%d %u %d\"\n"
                                   "name(const char *dev, int64_t n, char *t) \"%s %ld %s\"\n"
                                   "x_enter(void *p) \"%p\"\n"
                                   "x_exit(const char *why) \"%s\"\n";

static char list[] = "/tmp/vitrine-fuzz-XXXXXX";

static void remove_list(void)
{
    unlink(list);
}

static void make_list(void)
{
    int fd = mkstemp(list);
    if (fd < 0 || write(fd, declarations, sizeof(declarations) - 1) < 0) {
        abort();
    }
    close(fd);
    atexit(remove_list);
}

/* What every kind of text makes of the bytes has to be valid UTF-8: a second pass finds nothing to
 * change. */
static void check_text(const char *bytes, size_t len)
{
    static void (*const write_text[])(struct output *, const char *, size_t) = {
        text_json, text_csv, text_csv_inner, text_csv_json, text_xml};
    struct strbuf scratch;

    strbuf_init(&scratch);
    for (unsigned i = 0; i < sizeof(write_text) / sizeof(write_text[0]); i++) {
        struct output *out = output_memory();
        size_t made, again;

        write_text[i](out, bytes, len);
        char *text = output_memory_take(out, &made);
        output_close(out, NULL);
        again = made;
        if (text_utf8(&scratch, text, &again) != text) {
            bug("text of kind %u is not valid UTF-8", i);
        }
        for (size_t k = 0; i == 0 && k < made; k++) {
            if ((unsigned char)text[k] < 0x20) {
                bug("a JSON string holds the control character 0x%02x", text[k]);
            }
        }
        free(text);
    }
    strbuf_free(&scratch);
}

static void convert(const struct sink_format *format, const struct sink_options *options,
                    struct trace_reader *reader)
{
    struct trace_record record;
    struct error err;
    struct sink *sink = format->begin(options, &err);

    if (sink == NULL) {
        bug("%s", err.text);
    }
    while (trace_reader_next(reader, &record) > 0) {
        for (unsigned i = 0; i < record.decl->nargs; i++) {
            if (record.decl->arg[i].kind == TRACE_STRING) {
                check_text((const char *)(uintptr_t)record.values[i], record.lengths[i]);
            }
        }
        if (!format->record(sink, &record)) {
            bug("%s: a record was refused", format->name);
        }
    }
    if (!format->end(sink, &err) && options->event == NULL) {
        bug("%s", err.text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct sink_format *const formats[] = {&sink_json, &sink_csv, &sink_chrome,
                                                        &sink_perfetto};
    static bool made;

    if (!made) {
        make_list();
        made = true;
    }
    if (size == 0) {
        return 0;
    }
    struct trace_reader_options reading = {.events = list, .no_header = data[0] & 16};
    struct sink_options options = {.path = "/dev/null",
                                   .slices = data[0] & 4,
                                   .event = (data[0] & 11) == 9 ? "words" : NULL,
                                   .wall_known = data[0] & 8,
                                   .wall = INT64_MIN + data[0]};
    struct trace_reader *reader =
        trace_reader_open_input("fuzz", input_memory(data + 1, size - 1), &reading, NULL);
    if (reader != NULL) {
        convert(formats[data[0] & 3], &options, reader);
        trace_reader_close(reader);
    }
    return 0;
}
