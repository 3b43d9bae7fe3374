/* SPDX-License-Identifier: MIT
 *
 * vitrine-trace convert: a recording in another format. The table below is the list of formats.
 */
#include <string.h>

#include "cmd/vitrine-trace/command.h"
#include "cmd/vitrine-trace/flags.h"
#include "cmd/vitrine-trace/to.h"

static const struct sink_format *const convert_formats[] = {
    &sink_simple, &sink_ctf,    &sink_perfetto, &sink_chrome,      &sink_json,
    &sink_csv,    &sink_sqlite, &sink_pickle,   &sink_simpletrace,
};

enum { FORMATS = sizeof(convert_formats) / sizeof(convert_formats[0]) };

const struct sink_format *sink_format_find(const char *name)
{
    for (unsigned i = 0; i < FORMATS; i++) {
        if (strcmp(convert_formats[i]->name, name) == 0) {
            return convert_formats[i];
        }
    }
    return NULL;
}

/* "simple, perfetto or json": the names that may stand after --to. */
static void convert_names(struct strbuf *text)
{
    for (unsigned i = 0; i < FORMATS; i++) {
        strbuf_printf(text, "%s%s",
                      i == 0            ? ""
                      : i + 1 < FORMATS ? ", "
                                        : " or ",
                      convert_formats[i]->name);
    }
}

static int convert_format_error(const struct command *self, const char *name)
{
    struct strbuf names;
    int status;

    strbuf_init(&names);
    convert_names(&names);
    if (name == NULL) {
        status = command_usage_error(self, "--to is missing: it names the format, %s", names.data);
    } else {
        status =
            command_usage_error(self, "there is no format '%s': --to takes %s", name, names.data);
    }
    strbuf_free(&names);
    return status;
}

/* Options that only some formats have. */
static bool convert_check(const struct command *self, const struct sink_format *format,
                          const struct sink_options *options)
{
    const char *name = format->name;

    if (options->event != NULL && format != &sink_csv && format != &sink_pickle) {
        command_usage_error(self, "--event belongs to --to csv and pickle, not to %s", name);
        return false;
    }
    if (options->slices && format != &sink_perfetto && format != &sink_chrome) {
        command_usage_error(self, "--slices belongs to --to perfetto and chrome, not to %s", name);
        return false;
    }
    if (options->force && format != &sink_sqlite) {
        command_usage_error(self, "--force belongs to --to sqlite, not to %s", name);
        return false;
    }
    if (format->named && strcmp(options->path, "-") == 0) {
        command_usage_error(self, "%s cannot go to standard output: name a file with -o", name);
        return false;
    }
    bool binary = format == &sink_simple || format == &sink_perfetto || format == &sink_pickle;
    return !binary || command_takes_binary(self, options->path);
}

static int convert_copy(const struct command *self, const struct sink_format *format,
                        struct sink_options *options, const char *path,
                        const struct trace_reader_options *reading)
{
    struct source source;
    struct trace_record record;
    struct error err;
    int status = 0;

    if (!output_differs(path, reading->events, options->path, format == &sink_simple, &err)) {
        return command_usage_error(self, "%s", err.text);
    }
    if (!source_open(&source, self, path, reading)) {
        return 1;
    }
    options->wall_known = trace_reader_wall_offset(source.reader, &options->wall);
    options->no_pid = trace_reader_format(source.reader) == TRACE_FORMAT_SIMPLE &&
                      trace_reader_version(source.reader) < 3;

    struct sink *sink = format->begin(options, &err);
    if (sink == NULL) {
        command_failed(self, "%s", err.text);
        source_close(&source, self);
        return 1;
    }
    while (source_next(&source, &record) > 0 && format->record(sink, &record)) {
    }
    progress_end(&source.progress);
    if (!format->end(sink, &err)) {
        status = command_failed(self, "%s", err.text);
    }
    return source_close(&source, self) != 0 ? 1 : status;
}

static int convert_run(const struct command *self, int argc, char **argv)
{
    struct sink_options options = {0};
    struct trace_reader_options reading = {0};
    struct flag_list files = {0};
    const char *to = NULL;
    int status;
    const struct flag flag[] = {
        {.name = "to", .letter = 't', .text = &to},
        {.name = "output", .letter = 'o', .text = &options.path},
        {.name = "events", .text = &reading.events},
        {.name = "no-header", .on = &reading.no_header},
        {.name = "event", .text = &options.event},
        {.name = "slices", .on = &options.slices},
        {.name = "force", .on = &options.force},
    };

    if (!flags_parse(self, argc, argv, flag, sizeof(flag) / sizeof(flag[0]), &files, &status)) {
        flag_list_free(&files);
        return status;
    }

    const struct sink_format *format = to != NULL ? sink_format_find(to) : NULL;
    if (options.path == NULL) {
        options.path = "-";
    }
    if (format == NULL) {
        status = convert_format_error(self, to);
    } else if (files.count != 1) {
        status = command_usage_error(self, "expected one recording, found %u", files.count);
    } else if (!convert_check(self, format, &options)) {
        status = 2;
    } else {
        status = convert_copy(self, format, &options, files.row[0], &reading);
    }
    flag_list_free(&files);
    return status;
}

const struct command command_convert = {
    .name = "convert",
    .summary = "Writes a recording in another format",
    .usage = "--to FORMAT [OPTION]... FILE [-o OUT]",
    .help =
        "  -t, --to FORMAT  simple    QEMU's simple format, version 4, with OUT.events beside it\n"
        "                   ctf       a CTF 1.8 directory, for babeltrace2 and Trace Compass\n"
        "                   perfetto  protobuf for ui.perfetto.dev and trace_processor\n"
        "                   chrome    Chrome's JSON trace, which most viewers open\n"
        "                   json      JSON Lines: one object a line\n"
        "                   csv       CSV (RFC 4180)\n"
        "                   sqlite    an SQLite database, a table for each event\n"
        "                   pickle    Python pickles, in batches: what simpletrace.py reads\n"
        "                   simpletrace\n"
        "                             the text of QEMU's simpletrace.py under Python 3\n"
        "  -o OUT           write to OUT (default: standard output; OUT.zst compresses)\n"
        "  --event NAME     csv: only this event, an argument a column\n"
        "                   pickle: only these events, as NAME,NAME,...\n"
        "  --slices         perfetto, chrome: X_enter and X_exit (begin and end, start and\n"
        "                   complete, ...) of a thread become a slice where they nest\n"
        "  --force          sqlite: replace OUT if it exists\n"
        "  --events FILE    declarations of the events (default: FILE.events, else the\n"
        "                   installed list)\n"
        "  --no-header      the recording has no header; ids are positions in --events\n"
        "\n"
        "example: vitrine-trace convert --to perfetto trace-1234 -o trace.perfetto\n",
    .run = convert_run,
};
