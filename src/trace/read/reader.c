/* SPDX-License-Identifier: MIT
 *
 * Opening recordings: the table of formats, how a file is recognised, and what the readers share
 * when something is wrong with a file. */
#include "trace/read/reader.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "base/strbuf.h"
#include "trace/read/internal.h"

static const struct trace_reader_ops *const formats[] = {
    &trace_reader_simple,
    &trace_reader_flight,
    &trace_reader_ctf,
};

enum { FORMATS = sizeof formats / sizeof formats[0] };

const struct trace_decl trace_decl_dropped = {
    .name = "Dropped_Event",
    .nargs = 1,
    .arg = {{.name = "num_events_dropped", .type = "uint64_t", .kind = TRACE_UNSIGNED, .bits = 64}},
    .format = "Number of dropped events: %lu",
};

const char *trace_reader_name(char *to, size_t size, const void *name, size_t len)
{
    const unsigned char *from = name;
    size_t kept = len < size ? len : size - 1;
    for (size_t i = 0; i < kept; i++) {
        to[i] = (char)(from[i] >= ' ' && from[i] < 0x7f ? from[i] : '?');
    }
    to[kept] = 0;
    if (kept < len && size > 4) {
        memcpy(to + kept - 3, "...", 3);
    }
    return to;
}

int trace_reader_damage(struct trace_reader *reader, uint64_t offset, const char *format, ...)
{
    char sentence[sizeof reader->error.text];
    va_list ap;
    va_start(ap, format);
    vsnprintf(sentence, sizeof sentence, format, ap);
    va_end(ap);
    error_set(&reader->error, "%s: at byte %llu: %s", reader->path, (unsigned long long)offset,
              sentence);
    return -1;
}

int trace_reader_cut(struct trace_reader *reader, const char *what, uint64_t needs)
{
    struct input *in = reader->input;
    uint64_t offset = input_offset(in);
    size_t has = (size_t)(in->end - in->cur);
    struct error err;
    if (input_failed(in, &err)) {
        return trace_reader_damage(reader, offset + has, "%s", err.text);
    }
    if (!has) {
        return 0;
    }
    return trace_reader_damage(reader, offset,
                               "the recording ends inside %s (needs %llu bytes, has %zu)", what,
                               (unsigned long long)needs, has);
}

/* The sentence for a file that is no recording at all. */
static void foreign(const char *path, const uint8_t *head, size_t len, struct error *err)
{
    struct strbuf text;
    strbuf_init(&text);
    for (unsigned i = 0; i < FORMATS; i++) {
        strbuf_printf(&text, "%s%s",
                      i == 0            ? ""
                      : i + 1 < FORMATS ? ", "
                                        : " or ",
                      formats[i]->expected);
    }
    strbuf_puts(&text, "; found ");
    size_t shown = len < 8 ? len : 8;
    bool printable = shown > 0;
    for (size_t i = 0; i < shown; i++) {
        strbuf_printf(&text, "%s%02x", i ? " " : "", head[i]);
        printable = printable && head[i] >= ' ' && head[i] < 0x7f;
    }
    if (printable) {
        strbuf_printf(&text, " (\"%.*s\")", (int)shown, (const char *)head);
    }
    strbuf_puts(&text, shown ? "" : "an empty file");
    error_set(err, "%s: not a recording: expected %s", path, text.data);
    strbuf_free(&text);
}

static struct trace_reader *reader_new(const char *path, struct input *input)
{
    struct trace_reader *reader = mem_alloc(sizeof *reader);
    reader->path = mem_string(!strcmp(path, "-") ? "standard input" : path);
    reader->input = input;
    reader->state = 1;
    return reader;
}

/* Lets the format read the head. Frees the reader when that fails. */
static struct trace_reader *reader_start(struct trace_reader *reader,
                                         const struct trace_reader_ops *ops,
                                         const struct trace_reader_options *options,
                                         struct error *err)
{
    static const struct trace_reader_options none;
    reader->ops = ops;
    if (!ops->open(reader, options ? options : &none, err)) {
        trace_reader_close(reader);
        return NULL;
    }
    return reader;
}

struct trace_reader *trace_reader_open_input(const char *path, struct input *input,
                                             const struct trace_reader_options *options,
                                             struct error *err)
{
    struct trace_reader *reader = reader_new(path, input);
    if (options && options->no_header) {
        return reader_start(reader, &trace_reader_simple, options, err);
    }
    size_t len = input_need(input, TRACE_RECOGNISE_MAX);
    for (unsigned i = 0; i < FORMATS; i++) {
        if (!formats[i]->directory && formats[i]->recognise(input->cur, len)) {
            return reader_start(reader, formats[i], options, err);
        }
    }
    struct error failed;
    if (input_failed(input, &failed)) {
        error_set(err, "%s: %s", reader->path, failed.text);
    } else {
        foreign(reader->path, input->cur, len, err);
    }
    trace_reader_close(reader);
    return NULL;
}

struct trace_reader *trace_reader_open(const char *path, const struct trace_reader_options *options,
                                       struct error *err)
{
    struct stat st;
    if (strcmp(path, "-") && stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        for (unsigned i = 0; i < FORMATS; i++) {
            if (formats[i]->directory) {
                return reader_start(reader_new(path, NULL), formats[i], options, err);
            }
        }
    }
    struct input *input = input_open(path, err);
    return input ? trace_reader_open_input(path, input, options, err) : NULL;
}

void trace_reader_close(struct trace_reader *reader)
{
    if (reader) {
        if (reader->ops) {
            reader->ops->close(reader);
        }
        input_close(reader->input);
        free(reader->path);
        free(reader);
    }
}

int trace_reader_next(struct trace_reader *reader, struct trace_record *record)
{
    if (reader->state > 0) {
        reader->state = reader->ops->next(reader, record);
    }
    return reader->state;
}

const char *trace_reader_error(const struct trace_reader *reader)
{
    return reader->error.text;
}

enum trace_format trace_reader_format(const struct trace_reader *reader)
{
    return reader->ops->format;
}

unsigned trace_reader_version(const struct trace_reader *reader)
{
    return reader->version;
}

bool trace_reader_wall_offset(const struct trace_reader *reader, int64_t *offset)
{
    return reader->ops->wall_offset && reader->ops->wall_offset(reader, offset);
}

void trace_reader_progress(const struct trace_reader *reader, uint64_t *done, uint64_t *size)
{
    *done = *size = 0;
    if (reader->ops->progress) {
        reader->ops->progress(reader, done, size);
    } else if (reader->input) {
        input_progress(reader->input, done, size);
    }
}
