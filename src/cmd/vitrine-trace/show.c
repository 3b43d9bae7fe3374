/* SPDX-License-Identifier: MIT
 *
 * vitrine-trace show: a recording as text, a line a record.
 *
 * Speed decides how this is written: what a line of an event has in common with every other line of
 * it is made once (`struct line`), in pieces that are copied sixteen bytes at a time; numbers are
 * written by base/digits.h. Nothing is allocated for a record. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/digits.h"
#include "base/memory.h"
#include "base/option.h"
#include "base/strbuf.h"
#include "cmd/vitrine-trace/calls.h"
#include "cmd/vitrine-trace/command.h"
#include "cmd/vitrine-trace/flags.h"
#include "cmd/vitrine-trace/places.h"
#include "cmd/vitrine-trace/select.h"
#include "cmd/vitrine-trace/to.h"

enum { BLOCK = 16, PREFIX_ROOM = 128 };

/* Constant text, padded so that whole blocks may be copied. */
struct piece {
    char head[BLOCK]; /* the first block */
    uint32_t len;
    char *rest; /* all of it, when it is longer */
};

/* How the records of one event are written. */
struct line {
    const struct trace_decl *decl; /* NULL: not made yet */
    size_t room;                   /* of a whole line, strings of usual length included */
    struct piece name;
    struct piece arg[TRACE_VALUES_MAX]; /* " dev=" */
    uint32_t words;                     /* bit i: argument i has words */
};

enum when { WHEN_DELTA, WHEN_ABSOLUTE, WHEN_RELATIVE };

struct show {
    /* Options. */
    bool plain, log, timestamp, colour;
    bool escape; /* control characters would reach a terminal */
    bool has_pid;
    bool symbols, lines_too; /* names for addresses; with source lines */
    enum when when;
    uint64_t left; /* lines that may still be printed */

    struct output *out;
    struct line *line; /* by event number */
    unsigned lines;
    bool first;
    uint64_t origin; /* what the next time is relative to */
    int64_t wall;    /* to add for wall-clock time */
    uint32_t pid;    /* whose text is: */
    struct piece pid_text;
    struct strbuf text; /* of a word or a rendered event */
    struct places places;
};

static void piece_set(struct piece *p, const char *text)
{
    size_t len = strlen(text);
    *p = (struct piece){.len = (uint32_t)len};
    memcpy(p->head, text, len < BLOCK ? len : BLOCK);
    if (len > BLOCK) {
        p->rest = mem_alloc(len + BLOCK);
        memcpy(p->rest, text, len);
    }
}

static inline uint8_t *piece_put(uint8_t *to, const struct piece *p)
{
    memcpy(to, p->head, BLOCK);
    for (uint32_t at = BLOCK; __builtin_expect(at < p->len, 0); at += BLOCK) {
        memcpy(to + at, p->rest + at, BLOCK);
    }
    return to + p->len;
}

/* Makes the constant text of an event's lines. */
static void line_make(const struct show *show, struct line *line, const struct trace_decl *decl)
{
    struct strbuf text;
    strbuf_init(&text);
    strbuf_printf(&text, show->colour ? "\x1b[1;36m%s\x1b[0m " : "%s ", decl->name);
    piece_set(&line->name, text.data);
    line->room = PREFIX_ROOM + text.len;
    for (unsigned i = 0; i < decl->nargs; i++) {
        bool has_words = decl->arg[i].words || call_has_word(decl, i);
        line->words |= has_words && !show->plain ? UINT32_C(1) << i : 0;
        bool blank = i || !show->has_pid; /* "pid=7 " brings the first one */
        strbuf_clear(&text);
        strbuf_printf(&text, show->colour ? "%s\x1b[2m%s=\x1b[0m" : "%s%s=", blank ? " " : "",
                      decl->arg[i].name);
        piece_set(&line->arg[i], text.data);
        line->room += text.len + BLOCK + DIGITS_ROOM;
        line->room += decl->arg[i].kind == TRACE_STRING ? TRACE_STRING_MAX : 0;
    }
    strbuf_free(&text);
    line->decl = decl;
}

static void lines_free(struct show *show)
{
    for (unsigned i = 0; i < show->lines; i++) {
        free(show->line[i].name.rest);
        for (unsigned j = 0; j < TRACE_VALUES_MAX; j++) {
            free(show->line[i].arg[j].rest);
        }
    }
    free(show->line);
    show->line = NULL;
    show->lines = 0;
}

/* The line of a record's event, made when it is its first. Names have some hundred bytes at most,
 * so that output_room() has room for any line. */
static const struct line *line_of_slow(struct show *show, const struct trace_record *record)
{
    if (record->event >= show->lines) {
        unsigned more = record->event + 1 > 2 * show->lines ? record->event + 1 : 2 * show->lines;
        show->line = mem_resize(show->line, more, sizeof *show->line);
        memset(show->line + show->lines, 0, (more - show->lines) * sizeof *show->line);
        show->lines = more;
    }
    struct line *line = &show->line[record->event];
    line_make(show, line, record->decl);
    return line;
}

static inline const struct line *line_of(struct show *show, const struct trace_record *record)
{
    if (__builtin_expect(record->event < show->lines, 1)) {
        const struct line *line = &show->line[record->event];
        if (__builtin_expect(line->decl != NULL, 1)) {
            return line;
        }
    }
    return line_of_slow(show, record);
}

/* Text out of a recording. On a terminal, what could steer it is shown as \x1b instead: control
 * characters, also those of the upper half in UTF-8. */
static void put_foreign(const struct show *show, const char *text, size_t len)
{
    if (!show->escape) {
        output_add(show->out, text, len);
        return;
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        unsigned char after = i + 1 < len ? (unsigned char)text[i + 1] : 0;
        if (c < ' ' || c == 0x7f || (c == 0xc2 && after >= 0x80 && after < 0xa0)) {
            output_printf(show->out, "\\x%02x", c);
        } else if (c >= 0x80 && c < 0xa0 && i && (unsigned char)text[i - 1] == 0xc2) {
            output_printf(show->out, "\\x%02x", c);
        } else {
            output_putc(show->out, (char)c);
        }
    }
}

static inline int64_t time_of(struct show *show, uint64_t time)
{
    if (__builtin_expect(show->first, 0)) {
        show->first = false;
        show->origin = show->when == WHEN_ABSOLUTE ? 0 : time;
    }
    int64_t shown = (int64_t)(time - show->origin);
    if (show->when == WHEN_DELTA) {
        show->origin = time;
    }
    return shown;
}

static void pid_change(struct show *show, uint32_t pid)
{
    char text[32];
    /* The blank behind it stays even when no argument follows, as QEMU's reader has it. */
    snprintf(text, sizeof text, " pid=%u ", pid);
    piece_set(&show->pid_text, text);
    show->pid = pid;
}

/* The word of a value, in parentheses. */
static void put_word(struct show *show, const struct trace_record *record, unsigned argument)
{
    strbuf_clear(&show->text);
    if (record_word(&show->text, record, argument)) {
        output_putc(show->out, '(');
        put_foreign(show, show->text.data, show->text.len);
        output_putc(show->out, ')');
    }
}

/* The name of an address, as <MODULE!SYMBOL+OFFSET>. */
static void put_place(struct show *show, const struct trace_record *record, unsigned argument)
{
    strbuf_clear(&show->text);
    if (places_name(&show->places, record, argument, &show->text)) {
        output_putc(show->out, '<');
        put_foreign(show, show->text.data, show->text.len);
        output_putc(show->out, '>');
    }
}

/* NAME DELTA pid=PID ARG=VALUE... */
static void put_simple(struct show *show, const struct line *line,
                       const struct trace_record *record)
{
    struct output *out = show->out;
    const struct trace_decl *decl = record->decl;
    uint8_t *to = output_room(out, line->room);
    to = piece_put(to, &line->name);
    to = digits_micros(to, time_of(show, record->time));
    if (show->has_pid) {
        if (__builtin_expect(record->pid != show->pid, 0)) {
            pid_change(show, record->pid);
        }
        to = piece_put(to, &show->pid_text);
    }
    for (unsigned i = 0; i < decl->nargs; i++) {
        uint64_t value = record->values[i];
        to = piece_put(to, &line->arg[i]);
        if (decl->arg[i].kind == TRACE_STRING) {
            const char *text = (const char *)(uintptr_t)value;
            size_t len = text ? record->lengths[i] : 0;
            if (__builtin_expect(len <= TRACE_STRING_MAX && !show->escape, 1)) {
                if (len) {
                    memcpy(to, text, len);
                }
                to += len;
                continue;
            }
            out->cur = to;
            put_foreign(show, text ? text : "", len);
            to = output_room(out, line->room);
            continue;
        }
        to = digits_hex(to, value);
        if (line->words >> i & 1) {
            out->cur = to;
            put_word(show, record, i);
            to = output_room(out, line->room);
        }
        if (__builtin_expect(show->symbols, 0)) {
            out->cur = to;
            put_place(show, record, i);
            to = output_room(out, line->room);
        }
    }
    *to++ = '\n';
    out->cur = to;
}

/* NAME FORMATTED-TEXT, as QEMU's log has it. */
static void put_log(struct show *show, const struct line *line, const struct trace_record *record)
{
    struct output *out = show->out;
    if (show->timestamp) {
        uint64_t micros = (record->time + (uint64_t)show->wall) / 1000;
        output_printf(out, "%u@%llu.%06u:", record->thread ? record->thread : record->pid,
                      (unsigned long long)(micros / 1000000), (unsigned)(micros % 1000000));
    }
    uint8_t *to = output_room(out, line->room);
    out->cur = piece_put(to, &line->name);
    strbuf_clear(&show->text);
    trace_decl_render(&show->text, record->decl, record->values, record->lengths);
    put_foreign(show, show->text.data, show->text.len);
    for (unsigned i = 0; show->symbols && i < record->decl->nargs; i++) {
        strbuf_clear(&show->text);
        if (places_name(&show->places, record, i, &show->text)) {
            output_printf(out, " %s=<", record->decl->arg[i].name);
            put_foreign(show, show->text.data, show->text.len);
            output_putc(out, '>');
        }
    }
    output_putc(out, '\n');
}

/* Shows one recording. Returns the exit status. */
static int show_file(struct show *show, const struct command *self, const char *path,
                     const struct trace_reader_options *options, struct select *select)
{
    struct source source;
    struct trace_record record;
    if (!source_open(&source, self, path, options)) {
        return 1;
    }
    if (show->escape) {
        source.progress.on = false; /* the text itself moves there */
    }
    unsigned version = trace_reader_version(source.reader);
    show->has_pid = trace_reader_format(source.reader) != TRACE_FORMAT_SIMPLE || version >= 3;
    show->first = true;
    select_restart(select);
    if (!trace_reader_wall_offset(source.reader, &show->wall)) {
        show->wall = 0;
    }
    while (show->left && source_next(&source, &record) > 0) {
        if (!select_match(select, &record)) {
            if (select->failed) {
                break;
            }
            continue;
        }
        const struct line *line = line_of(show, &record);
        if (show->log) {
            put_log(show, line, &record);
        } else {
            put_simple(show, line, &record);
        }
        show->left--;
        if (show->escape) {
            output_flush(show->out); /* somebody watches, perhaps a pipe that is being written */
        }
        if (output_failed(show->out, NULL)) {
            break;
        }
    }
    output_flush(show->out);
    lines_free(show);
    return source_close(&source, self);
}

struct choices {
    const char *events, *format, *time, *filter, *limit, *output;
    bool no_header;
    struct flag_list patterns, files;
};

static bool parse_flags(struct show *show, struct choices *c, const struct command *self, int argc,
                        char **argv, int *status)
{
    const struct flag flags[] = {
        {.name = "events", .text = &c->events},
        {.name = "no-header", .on = &c->no_header},
        {.name = "plain", .on = &show->plain},
        {.name = "format", .text = &c->format},
        {.name = "timestamp", .on = &show->timestamp},
        {.name = "time", .text = &c->time},
        {.name = "filter", .text = &c->filter},
        {.name = "event", .list = &c->patterns},
        {.name = "limit", .letter = 'n', .text = &c->limit},
        {.name = "output", .letter = 'o', .text = &c->output},
        {.name = "symbols", .on = &show->symbols},
        {.name = "lines", .on = &show->lines_too},
    };
    return flags_parse(self, argc, argv, flags, sizeof flags / sizeof flags[0], &c->files, status);
}

/* Position of `text` in a NULL-ended list, or -1. */
static int choose(const char *text, const char *const *word)
{
    for (int i = 0; word[i]; i++) {
        if (!strcmp(text, word[i])) {
            return i;
        }
    }
    return -1;
}

/* Turns the texts of options into values. 0, or the exit status after a complaint. */
static int settle(struct show *show, const struct choices *c, const struct command *self)
{
    static const char *const formats[] = {"simple", "log", NULL};
    static const char *const times[] = {"delta", "absolute", "relative", NULL};
    struct error err;
    int format = c->format ? choose(c->format, formats) : 0;
    int when = c->time ? choose(c->time, times) : 0;
    if (format < 0) {
        return command_usage_error(self, "--format=%s: expected simple or log", c->format);
    }
    if (when < 0) {
        return command_usage_error(self, "--time=%s: expected delta, absolute or relative",
                                   c->time);
    }
    if (!c->files.count) {
        return command_usage_error(self, "expected a recording to show (\"-\": standard input)");
    }
    if (show->timestamp && format != 1) {
        return command_usage_error(self, "--timestamp goes with --format=log; the simple form has "
                                         "--time=absolute");
    }
    show->left = UINT64_MAX;
    if (c->limit && !option_number("--limit", c->limit, 0, UINT64_MAX, &show->left, &err)) {
        return command_usage_error(self, "%s", err.text);
    }
    show->log = format == 1;
    show->when = (enum when)when;
    return 0;
}

static int show_files(struct show *show, const struct choices *c, const struct command *self)
{
    struct error err;
    struct select select;
    struct trace_reader_options options = {.events = c->events, .no_header = c->no_header};
    const char *path = c->output ? c->output : "-";
    for (unsigned i = 0; i < c->files.count; i++) {
        if (!output_differs(c->files.row[i], c->events, path, false, &err)) {
            return command_usage_error(self, "%s", err.text);
        }
    }
    show->symbols |= show->lines_too;
    places_begin(&show->places, show->lines_too);
    if (!select_begin(&select, c->filter, &c->patterns, show->symbols ? &show->places : NULL,
                      &err)) {
        return command_usage_error(self, "%s", err.text);
    }
    show->out = output_open(path, &err);
    if (!show->out) {
        select_end(&select, self, NULL);
        return command_failed(self, "%s", err.text);
    }
    bool terminal = !strcmp(path, "-") && isatty(STDOUT_FILENO);
    show->escape = terminal;
    show->colour = terminal && command_colour();
    strbuf_init(&show->text);
    pid_change(show, 0);
    int status = 0;
    for (unsigned i = 0; i < c->files.count && show->left && !select.failed; i++) {
        status |= show_file(show, self, c->files.row[i], &options, &select);
    }
    strbuf_free(&show->text);
    free(show->pid_text.rest);
    if (!output_close(show->out, &err)) {
        status = command_failed(self, "%s", err.text);
    }
    if (!select_end(&select, self, &err)) {
        status = command_usage_error(self, "%s", err.text);
    }
    return status;
}

static int show_run(const struct command *self, int argc, char **argv)
{
    struct show show = {0};
    struct choices choices = {0};
    int status = 0;
    if (parse_flags(&show, &choices, self, argc, argv, &status)) {
        status = settle(&show, &choices, self);
        if (!status) {
            status = show_files(&show, &choices, self);
        }
    }
    flag_list_free(&choices.patterns);
    flag_list_free(&choices.files);
    return status;
}

const struct command command_show = {
    .name = "show",
    .summary = "Prints a recording as text, a line a record",
    .usage = "[OPTION]... FILE...",
    .help =
        "The lines are those of QEMU's simpletrace.py: NAME DELTA pid=PID ARG=VALUE..., with\n"
        "the microseconds since the line before. Values whose words are declared get them in\n"
        "parentheses: new_state=0x9(running).\n"
        "\n"
        "  --events FILE     declarations of the events (trace-events-all of the program that\n"
        "                    wrote the recording); else FILE.events, else the installed list\n"
        "  --no-header       the file has no header, ids are positions in the declarations\n"
        "  --plain           no words\n"
        "  --format simple   NAME DELTA pid=PID ARG=VALUE... (default)\n"
        "  --format log      NAME and the declared format, as QEMU's log has it\n"
        "  --timestamp       with log: THREAD@SECONDS.MICROSECONDS: in front\n"
        "  --time delta|absolute|relative\n"
        "                    since the line before, on the recording's clock, or since the\n"
        "                    first line\n"
        "  --filter EXPR     only records for which it holds; names: the event's arguments and\n"
        "                    event, pid, thread, time; with --symbols also module and symbol\n"
        "                    (where pc is)\n"
        "  --event PATTERN   only these events; may be repeated\n"
        "  --symbols         addresses with their names, <libc.so.6!qsort+0x12>: in user-mode\n"
        "                    recordings that have the event guest_module\n"
        "  --lines           the same with source file and line, where they are known\n"
        "  -n, --limit N     the first N lines\n"
        "  -o, --output FILE write there (.zst: compressed)\n"
        "\n"
        "example: vitrine-trace show --event 'pci_*' --filter 'offs >= 0x40' trace-1234\n",
    .run = show_run,
};
