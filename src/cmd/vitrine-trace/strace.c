/* SPDX-License-Identifier: MIT
 *
 * vitrine-trace strace: the system calls of a recording, in the lines of vitrine-user -strace and
 * made by the same code. */
#include <string.h>

#include "base/glob.h"
#include "base/strbuf.h"
#include "cmd/vitrine-trace/calls.h"
#include "cmd/vitrine-trace/command.h"
#include "cmd/vitrine-trace/flags.h"
#include "cmd/vitrine-trace/to.h"

enum when { WHEN_NOT, WHEN_ABSOLUTE, WHEN_RELATIVE, WHEN_DELTA };

struct strace {
    const char *events, *output, *time;
    bool no_header, duration, failed;
    struct flag_list patterns, files;
    enum when when;

    struct output *out;
    struct calls calls;
    struct strbuf text;
    bool any; /* a call was seen */
    bool first;
    uint64_t origin;
};

static bool is_wanted(const struct strace *s, uint64_t number)
{
    const struct syscall_row *row = syscall_row(number);

    for (unsigned i = 0; i < s->patterns.count; i++) {
        if (row && glob_match(s->patterns.row[i], row->name)) {
            return true;
        }
    }
    return !s->patterns.count;
}

static void put_seconds(struct strbuf *to, const char *format, uint64_t ns)
{
    strbuf_printf(to, format, (unsigned long long)(ns / 1000000000),
                  (unsigned)(ns / 1000 % 1000000));
}

/* When a call was made; `told` without that time is one that was made before. */
static void put_time(struct strace *s, const struct call_told *told)
{
    uint64_t time = told->began ? told->began : told->ended;

    if (s->when == WHEN_NOT) {
        return;
    }
    if (s->first) {
        s->first = false;
        s->origin = s->when == WHEN_ABSOLUTE ? 0 : time;
    }
    put_seconds(&s->text, "%llu.%06u ", time > s->origin ? time - s->origin : 0);
    if (s->when == WHEN_DELTA) {
        s->origin = time;
    }
}

/* `ending`: instead of a result; NULL: there is one. */
static void put_line(struct strace *s, const struct call_told *told, const char *ending)
{
    if (!is_wanted(s, told->call.number) ||
        (s->failed && (ending || told->result >= 0 || told->result < -SYSCALL_ERRORS))) {
        return;
    }
    strbuf_clear(&s->text);
    caller_name(&s->text, told->caller);
    strbuf_putc(&s->text, ' ');
    put_time(s, told);
    syscall_text(&s->text, &told->call);
    if (ending) {
        strbuf_puts(&s->text, ending);
    } else if (s->duration && told->began) {
        put_seconds(&s->text, " <%llu.%06u>",
                    told->ended > told->began ? told->ended - told->began : 0);
    }
    strbuf_putc(&s->text, '\n');
    output_add(s->out, s->text.data, s->text.len);
}

static void put_told(struct strace *s, const struct call_told *told)
{
    uint64_t number = told->call.number;

    s->any |= told->what != CALL_NOTHING;
    if (told->what == CALL_ASKED && syscall_told_before(number)) {
        put_line(s, told, " = ?");
    } else if (told->what == CALL_DONE && told->result != SYSCALL_BEGINS_ANEW &&
               syscall_told_again(number, told->result)) {
        put_line(s, told, NULL);
    }
}

/* Calls that had not come back when the recording ended. */
static void put_unfinished(struct strace *s)
{
    struct call_told told;

    for (unsigned i = 0; i < s->calls.callers; i++) {
        if (calls_unfinished(&s->calls, &s->calls.caller[i], &told) &&
            !syscall_told_before(told.call.number)) {
            put_line(s, &told, " <unfinished ...>");
        }
    }
}

static int show_file(struct strace *s, const struct command *self, const char *path)
{
    struct trace_reader_options options = {.events = s->events, .no_header = s->no_header};
    struct trace_record record;
    struct call_told told;
    struct source source;

    if (!source_open(&source, self, path, &options)) {
        return 1;
    }
    s->first = true;
    s->any = false;
    calls_begin(&s->calls);
    while (!output_failed(s->out, NULL) && source_next(&source, &record) > 0) {
        calls_take(&s->calls, &record, &told);
        put_told(s, &told);
        if (record.lost) {
            output_printf(s->out, "--- %llu records were lost here ---\n",
                          (unsigned long long)record.lost);
        }
    }
    put_unfinished(s);
    output_flush(s->out);
    calls_end(&s->calls);
    int status = source_close(&source, self);
    if (!status && !s->any) {
        status =
            command_failed(self,
                           "%s: holds no system calls: record guest_user_syscall and "
                           "guest_user_syscall_ret, as with vitrine-user -trace 'guest_user_*'",
                           path);
    }
    return status;
}

/* Turns texts into values. 0, or the exit status after a complaint. */
static int settle(struct strace *s, const struct command *self)
{
    static const char *const names[] = {"none", "absolute", "relative", "delta"};
    unsigned i = 0;
    struct error err;

    while (s->time && i < sizeof names / sizeof *names && strcmp(s->time, names[i]) != 0) {
        i++;
    }
    if (i == sizeof names / sizeof *names) {
        return command_usage_error(self, "--time=%s: expected none, absolute, relative or delta",
                                   s->time);
    }
    s->when = (enum when)i;
    if (!s->files.count) {
        return command_usage_error(self, "expected a recording (\"-\": standard input)");
    }
    for (i = 0; i < s->files.count; i++) {
        if (!output_differs(s->files.row[i], s->events, s->output ? s->output : "-", false, &err)) {
            return command_usage_error(self, "%s", err.text);
        }
    }
    return 0;
}

static int show_files(struct strace *s, const struct command *self)
{
    struct error err;
    int status = 0;

    s->out = output_open(s->output ? s->output : "-", &err);
    if (!s->out) {
        return command_failed(self, "%s", err.text);
    }
    strbuf_init(&s->text);
    for (unsigned i = 0; i < s->files.count; i++) {
        status |= show_file(s, self, s->files.row[i]);
    }
    strbuf_free(&s->text);
    if (!output_close(s->out, &err)) {
        status = command_failed(self, "%s", err.text);
    }
    return status;
}

static int strace_run(const struct command *self, int argc, char **argv)
{
    struct strace s = {0};
    const struct flag flags[] = {
        {.name = "events", .text = &s.events},
        {.name = "no-header", .on = &s.no_header},
        {.name = "call", .letter = 'e', .list = &s.patterns},
        {.name = "time", .text = &s.time},
        {.name = "duration", .letter = 'T', .on = &s.duration},
        {.name = "failed", .letter = 'Z', .on = &s.failed},
        {.name = "output", .letter = 'o', .text = &s.output},
    };
    int status = 0;

    if (flags_parse(self, argc, argv, flags, sizeof flags / sizeof flags[0], &s.files, &status)) {
        status = settle(&s, self);
        if (!status) {
            status = show_files(&s, self);
        }
    }
    flag_list_free(&s.patterns);
    flag_list_free(&s.files);
    return status;
}

const struct command command_strace = {
    .name = "strace",
    .summary = "Prints the system calls of a recording as vitrine-user -strace does",
    .usage = "[OPTION]... FILE...",
    .help =
        "A call's line comes when it has come back: THREAD NAME(ARGUMENTS) = RESULT. The "
        "recording\n"
        "needs the events guest_user_syscall and guest_user_syscall_ret. Strings are shown where\n"
        "guest_user_string was recorded too, structures and data where guest_user_memory was\n"
        "(-trace 'guest_user_*' is all of them), else their addresses. Threads have their ids "
        "where\n"
        "the recording has them (writer=ctf, or context=thread); otherwise the first is called by\n"
        "its process and others PID.2, PID.3 in the order of their first calls.\n"
        "\n"
        "  -e, --call PATTERN  only calls with such names (openat, '*stat*'); may be repeated\n"
        "  -Z, --failed        only calls that failed\n"
        "  -T, --duration      behind each line the seconds that the call took\n"
        "  --time absolute|relative|delta\n"
        "                      in front the seconds when it was made: on the recording's clock,\n"
        "                      since the first line, since the line before\n"
        "  --events FILE       declarations of the events; else FILE.events, else the installed\n"
        "                      list\n"
        "  --no-header         the file has no header, ids are positions in the declarations\n"
        "  -o, --output FILE   write there (.zst: compressed)\n"
        "\n"
        "example: vitrine-user -trace 'guest_user_*,file=calls.trace' ls -l\n"
        "         vitrine-trace strace -T -e 'open*' calls.trace\n",
    .run = strace_run,
};
