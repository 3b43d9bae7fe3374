/* SPDX-License-Identifier: MIT
 *
 * vitrine-trace filter: keeps the records that select.c wants, as a simple recording. The output is
 * made when the first record goes into it: an expression that fits nothing leaves no file behind.
 */
#include <stdio.h>

#include "cmd/vitrine-trace/command.h"
#include "cmd/vitrine-trace/flags.h"
#include "cmd/vitrine-trace/select.h"
#include "cmd/vitrine-trace/to.h"

struct filter_work {
    const struct command *self;
    struct select select;
    struct sink_options output;
    struct sink *sink; /* NULL until the first record is kept */
    bool symbols;
    struct places places;
};

static bool filter_output(struct filter_work *w)
{
    struct error err;

    w->sink = sink_simple.begin(&w->output, &err);
    if (w->sink == NULL) {
        command_failed(w->self, "%s", err.text);
    }
    return w->sink != NULL;
}

/* Copies what is wanted. False after a complaint about the output. */
static bool filter_copy(struct filter_work *w, struct source *source)
{
    struct trace_record record;

    while (source_next(source, &record) > 0 && !w->select.failed) {
        /* The output's addresses need them too. */
        bool told = w->symbols && places_take(&w->places, &record);
        if (!told && !record_is_loss(&record) && !select_match(&w->select, &record)) {
            continue;
        }
        if (w->sink == NULL && !filter_output(w)) {
            return false;
        }
        if (!sink_simple.record(w->sink, &record)) {
            break;
        }
    }
    return true;
}

/* Says what the expression left out for want of a name, or refuses it. Returns the exit status. */
static int filter_verdict(struct filter_work *w)
{
    unsigned unfit = w->select.filter_fits ? w->select.unfit : 0;
    struct error err;

    if (!select_end(&w->select, w->self, &err)) {
        return command_usage_error(w->self, "%s", err.text);
    }
    if (unfit > 0) {
        fprintf(stderr,
                "vitrine-trace %s: note: left out all records of %u event%s without a name that "
                "the expression uses\n",
                w->self->name, unfit, unfit == 1 ? "" : "s");
    }
    return w->sink != NULL || filter_output(w) ? 0 : 1;
}

static int filter_file(struct filter_work *w, const char *path,
                       const struct trace_reader_options *reading)
{
    struct source source;
    struct error err;
    int status = 1;

    if (!source_open(&source, w->self, path, reading)) {
        select_end(&w->select, w->self, NULL);
        return 1;
    }

    bool copied = filter_copy(w, &source);
    progress_end(&source.progress);
    if (copied) {
        status = filter_verdict(w);
    } else {
        select_end(&w->select, w->self, NULL);
    }
    if (w->sink != NULL && !sink_simple.end(w->sink, &err)) {
        status = command_failed(w->self, "%s", err.text);
    }

    int damaged = source_close(&source, w->self);
    return status != 0 ? status : damaged;
}

/* Begins with what was given on the command line. */
static int filter_given(struct filter_work *w, const struct flag_list *operands,
                        const struct flag_list *patterns,
                        const struct trace_reader_options *reading)
{
    unsigned least = patterns->count > 0 ? 1 : 2;
    struct error err;

    if (operands->count < least || operands->count > 2) {
        return command_usage_error(w->self,
                                   "expected an expression%s and one recording, found %u "
                                   "operand%s",
                                   least == 1 ? " (or none)" : "", operands->count,
                                   operands->count == 1 ? "" : "s");
    }

    const char *path = operands->row[operands->count - 1];
    if (!command_takes_binary(w->self, w->output.path)) {
        return 2;
    }
    if (!output_differs(path, reading->events, w->output.path, true, &err)) {
        return command_usage_error(w->self, "%s", err.text);
    }
    if (!select_begin(&w->select, operands->count == 2 ? operands->row[0] : NULL, patterns,
                      w->symbols ? &w->places : NULL, &err)) {
        return command_usage_error(w->self, "%s", err.text);
    }
    return filter_file(w, path, reading);
}

static int filter_run(const struct command *self, int argc, char **argv)
{
    struct filter_work w = {.self = self};
    struct trace_reader_options reading = {0};
    struct flag_list operands = {0}, patterns = {0};
    int status;
    const struct flag flag[] = {
        {.name = "event", .letter = 'e', .list = &patterns},
        {.name = "output", .letter = 'o', .text = &w.output.path},
        {.name = "events", .text = &reading.events},
        {.name = "no-header", .on = &reading.no_header},
        {.name = "symbols", .on = &w.symbols},
    };

    places_begin(&w.places, false);
    if (flags_parse(self, argc, argv, flag, sizeof(flag) / sizeof(flag[0]), &operands, &status)) {
        w.output.path = w.output.path != NULL ? w.output.path : "-";
        status = filter_given(&w, &operands, &patterns, &reading);
    }
    flag_list_free(&operands);
    flag_list_free(&patterns);
    return status;
}

const struct command command_filter = {
    .name = "filter",
    .summary = "Keeps the records for which an expression holds, as a simple recording",
    .usage = "[EXPR] [-e PATTERN]... [OPTION]... FILE [-o OUT]",
    .help =
        "EXPR is an expression over an event's arguments and event, pid, thread, time (ns):\n"
        "comparisons, && || !, + - * / % & | ^ ~ << >>, strings with == != and =~ !~ (glob).\n"
        "Events that lack a name in it are left out. Records of lost events are kept.\n"
        "\n"
        "  -e, --event PATTERN  only events whose name matches (* and ?); repeatable; EXPR may\n"
        "                       then be left out\n"
        "  -o OUT               write to OUT, declarations to OUT.events (default: standard\n"
        "                       output; OUT.zst compresses)\n"
        "  --events FILE        declarations of the events (default: FILE.events, else the\n"
        "                       installed list)\n"
        "  --no-header          the recording has no header; ids are positions in --events\n"
        "  --symbols            EXPR may also name module and symbol, where pc is (user-mode\n"
        "                       recordings with the event guest_module, which is kept)\n"
        "\n"
        "example: vitrine-trace filter -e 'pci_cfg_*' 'offs >= 0x40 && val != 0' trace-1234 "
        "-o cfg\n",
    .run = filter_run,
};
