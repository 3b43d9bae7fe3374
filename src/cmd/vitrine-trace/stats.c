/* SPDX-License-Identifier: MIT
 *
 * vitrine-trace stats: what a recording holds. For every event and every thread: how many records,
 * their share, how many a second, the first and the last; and how long the pauses between records
 * were, as a histogram whose rows double. System calls are added up by name (stats_calls.c).
 *
 * Counting needs event, time and thread of a record alone and touches a few words for each. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/option.h"
#include "base/strbuf.h"
#include "cmd/vitrine-trace/command.h"
#include "cmd/vitrine-trace/flags.h"
#include "cmd/vitrine-trace/stats_calls.h"
#include "cmd/vitrine-trace/stats_places.h"
#include "cmd/vitrine-trace/text.h"
#include "cmd/vitrine-trace/to.h"

enum {
    GAPS = 66,             /* row 0: time went back; 1: 0 ns; n: [2^(n-2), 2^(n-1)) ns */
    THREADS_MAX = 1 << 14, /* what comes beyond is counted together in the last row */
    BAR = 40,
    ROWS_SHOWN = 24, /* of places */
};

struct gaps {
    uint64_t row[GAPS];
};

/* Records of one event or one thread. */
struct tally {
    uint64_t count;
    uint64_t first, last; /* ns, of the smallest and the greatest time */
    uint64_t before;      /* time of the latest record, for gaps */
    struct gaps *gaps;    /* NULL: not asked for */
    const struct trace_decl *decl;
    uint32_t pid, thread;
    bool rest; /* stands for every thread beyond THREADS_MAX */
};

struct tallies {
    struct tally *row;
    unsigned count, size;
};

struct stats {
    struct tallies events;  /* by event number */
    struct tallies threads; /* in order of appearance */
    uint32_t *thread_index; /* hash table of rows of `threads` + 1 */
    unsigned thread_slots;
    struct tally all;
    struct call_stats *calls; /* NULL: not asked for */
    unsigned call_rows;
    uint64_t lost;
    bool gaps_by_event, gaps_by_thread;
};

static unsigned gap_row(int64_t gap)
{
    if (gap <= 0) {
        return gap < 0 ? 0 : 1;
    }
    return 65 - (unsigned)__builtin_clzll((uint64_t)gap);
}

/* Lower end of a row of the histogram. */
static uint64_t gap_low(unsigned row)
{
    return row < 2 ? 0 : UINT64_C(1) << (row - 2);
}

static inline void tally_add(struct tally *t, uint64_t time)
{
    if (t->gaps && t->count) {
        t->gaps->row[gap_row((int64_t)(time - t->before))]++;
    }
    if (__builtin_expect(!t->count++, 0)) {
        t->first = t->last = time;
    }
    t->first = time < t->first ? time : t->first;
    t->last = time > t->last ? time : t->last;
    t->before = time;
}

static struct tally *tallies_grow(struct tallies *list, unsigned want, bool gaps)
{
    if (want > list->size) {
        unsigned size = want > 2 * list->size ? want : 2 * list->size;
        list->row = mem_resize(list->row, size, sizeof *list->row);
        memset(list->row + list->size, 0, (size - list->size) * sizeof *list->row);
        list->size = size;
    }
    while (list->count < want) {
        list->row[list->count++].gaps = gaps ? mem_alloc(sizeof(struct gaps)) : NULL;
    }
    return &list->row[want - 1];
}

static void tallies_free(struct tallies *list)
{
    for (unsigned i = 0; i < list->count; i++) {
        free(list->row[i].gaps);
    }
    free(list->row);
}

/* Row of a thread, new when it is its first record. */
static struct tally *thread_row(struct stats *s, uint32_t pid, uint32_t thread)
{
    uint64_t key = (uint64_t)pid << 32 | thread;
    unsigned at = (unsigned)(key * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (s->thread_slots - 1);
    while (s->thread_index[at]) {
        struct tally *t = &s->threads.row[s->thread_index[at] - 1];
        if (t->pid == pid && t->thread == thread && !t->rest) {
            return t;
        }
        at = (at + 1) & (s->thread_slots - 1);
    }
    if (s->threads.count > THREADS_MAX) {
        return &s->threads.row[THREADS_MAX];
    }
    struct tally *t = tallies_grow(&s->threads, s->threads.count + 1, s->gaps_by_thread);
    t->pid = pid;
    t->thread = thread;
    t->rest = s->threads.count > THREADS_MAX;
    if (!t->rest) {
        s->thread_index[at] = s->threads.count;
    }
    return t;
}

static void count_records(struct stats *s, struct source *source)
{
    struct trace_record record;
    struct tally *thread = NULL;
    while (source_next(source, &record) > 0) {
        struct tally *event = record.event < s->events.count
                                  ? &s->events.row[record.event]
                                  : tallies_grow(&s->events, record.event + 1, s->gaps_by_event);
        event->decl = record.decl;
        tally_add(event, record.time);
        if (__builtin_expect(!thread || thread->pid != record.pid ||
                                 thread->thread != record.thread || thread->rest,
                             0)) {
            thread = thread_row(s, record.pid, record.thread);
        }
        tally_add(thread, record.time);
        tally_add(&s->all, record.time);
        s->lost += record.lost;
        if (s->calls) {
            call_stats_take(s->calls, &record);
        }
    }
}

/* Sorting. */

typedef int order_fn(const void *a, const void *b);

static int by_name(const void *a, const void *b)
{
    const struct tally *x = a, *y = b;
    if (x->decl && y->decl) {
        return strcmp(x->decl->name, y->decl->name);
    }
    if (x->decl || y->decl) {
        return x->decl ? -1 : 1;
    }
    uint64_t one = (uint64_t)x->pid << 32 | x->thread, two = (uint64_t)y->pid << 32 | y->thread;
    return one < two ? -1 : one > two;
}

static int by_count(const void *a, const void *b)
{
    const struct tally *x = a, *y = b;
    return x->count != y->count ? (x->count < y->count ? 1 : -1) : by_name(a, b);
}

static int by_first(const void *a, const void *b)
{
    const struct tally *x = a, *y = b;
    return x->first != y->first ? (x->first < y->first ? -1 : 1) : by_count(a, b);
}

static const struct {
    const char *name;
    order_fn *order;
} orders[] = {{"count", by_count}, {"name", by_name}, {"first", by_first}};

enum { ORDERS = sizeof orders / sizeof orders[0] };

/* Text. */

/* 1234567 as 1,234,567. */
static const char *grouped(char *text, uint64_t value)
{
    char digits[32];
    int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)value);
    char *to = text;
    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0) {
            *to++ = ',';
        }
        *to++ = digits[i];
    }
    *to = 0;
    return text;
}

/* Nanoseconds in the unit that suits them. */
static const char *duration(char *text, size_t size, uint64_t ns)
{
    static const struct {
        uint64_t unit;
        const char *name;
    } units[] = {{1000000000, "s"}, {1000000, "ms"}, {1000, "us"}, {1, "ns"}};
    unsigned i = 0;
    while (i < 3 && ns < units[i].unit) {
        i++;
    }
    bool whole = ns % units[i].unit == 0 || ns / units[i].unit >= 100;
    snprintf(text, size, whole ? "%.0f %s" : "%.3g %s", (double)ns / (double)units[i].unit,
             units[i].name);
    return text;
}

/* Records a second; 0 when all came at once. */
static double rate(const struct tally *t)
{
    return t->last > t->first ? (double)t->count * 1e9 / (double)(t->last - t->first) : 0;
}

static const char *rate_text(char *text, size_t size, const struct tally *t)
{
    double value = rate(t);
    if (value >= 1000) {
        return grouped(text, (uint64_t)(value + 0.5));
    }
    snprintf(text, size, value > 0 ? "%.1f" : "-", value);
    return text;
}

static double share(const struct stats *s, const struct tally *t)
{
    return s->all.count ? 100.0 * (double)t->count / (double)s->all.count : 0;
}

static const char *tally_name(struct strbuf *text, const struct tally *t)
{
    strbuf_clear(text);
    if (t->decl) {
        strbuf_puts(text, t->decl->name);
    } else if (t->rest) {
        strbuf_puts(text, "(further threads)");
    } else {
        strbuf_printf(text, "pid %u", t->pid);
        if (t->thread) {
            strbuf_printf(text, " thread %u", t->thread);
        }
    }
    return text->data;
}

static void print_gaps(struct output *out, const struct gaps *gaps, const char *margin)
{
    unsigned low = 0, high = GAPS;
    uint64_t most = 0;
    while (low < GAPS && !gaps->row[low]) {
        low++;
    }
    while (high > low && !gaps->row[high - 1]) {
        high--;
    }
    for (unsigned i = low; i < high; i++) {
        most = gaps->row[i] > most ? gaps->row[i] : most;
    }
    for (unsigned i = low; i < high; i++) {
        char from[32], count[32], bar[BAR + 1];
        /* A row that holds anything at all shows at least a dot. */
        size_t len = (size_t)((double)gaps->row[i] / (double)most * BAR);
        memset(bar, '#', len);
        bar[len] = 0;
        const char *label = i == 0 ? "back in time" : duration(from, sizeof from, gap_low(i));
        output_printf(out, "%s%12s %15s  %s\n", margin, label, grouped(count, gaps->row[i]),
                      len            ? bar
                      : gaps->row[i] ? "."
                                     : "");
    }
}

static void print_table(struct output *out, const struct stats *s, const struct tallies *list,
                        const char *title)
{
    struct strbuf name;
    strbuf_init(&name);
    int width = (int)strlen(title);
    for (unsigned i = 0; i < list->count; i++) {
        int len = (int)strlen(tally_name(&name, &list->row[i]));
        width = list->row[i].count && len > width ? len : width;
    }
    output_printf(out, "\n%-*s %15s %7s %15s %14s %14s\n", width, title, "count", "share",
                  "per second", "first ms", "last ms");
    for (unsigned i = 0; i < list->count; i++) {
        const struct tally *t = &list->row[i];
        char count[32], second[32];
        if (t->count) {
            output_printf(
                out, "%-*s %15s %6.2f%% %15s %14.3f %14.3f\n", width, tally_name(&name, t),
                grouped(count, t->count), share(s, t), rate_text(second, sizeof second, t),
                (double)(t->first - s->all.first) / 1e6, (double)(t->last - s->all.first) / 1e6);
            if (t->gaps) {
                print_gaps(out, t->gaps, "  ");
            }
        }
    }
    strbuf_free(&name);
}

static unsigned rows_used(const struct tallies *list)
{
    unsigned used = 0;
    for (unsigned i = 0; i < list->count; i++) {
        used += list->row[i].count != 0;
    }
    return used;
}

static const char *format_name(const struct trace_reader *reader)
{
    static const char *const names[] = {[TRACE_FORMAT_SIMPLE] = "simple",
                                        [TRACE_FORMAT_CTF] = "ctf",
                                        [TRACE_FORMAT_FLIGHT] = "flight"};
    return names[trace_reader_format(reader)];
}

static void print_text(struct output *out, const struct stats *s, const struct source *source,
                       bool events, bool threads)
{
    char count[32], lost[32], time[32], second[32];
    unsigned version = trace_reader_version(source->reader);
    output_printf(out, "%s: %s", source->path, format_name(source->reader));
    if (trace_reader_format(source->reader) == TRACE_FORMAT_SIMPLE) {
        output_printf(out, " version %u", version);
    }
    output_printf(out, ", %s records of %u events in %s, %s a second, %s lost\n",
                  grouped(count, s->all.count), rows_used(&s->events),
                  duration(time, sizeof time, s->all.last - s->all.first),
                  rate_text(second, sizeof second, &s->all), grouped(lost, s->lost));
    if (!s->all.count) {
        return;
    }
    if (events) {
        print_table(out, s, &s->events, "event");
    }
    if (threads) {
        print_table(out, s, &s->threads, "thread");
    }
    if (s->call_rows) {
        call_stats_text(out, s->calls, s->call_rows);
    }
    if (s->all.count > 1) {
        output_puts(out, "\ntime since the record before, from\n");
        print_gaps(out, s->all.gaps, "");
    }
}

/* JSON. Times are ns on the recording's clock. */

static void json_gaps(struct output *out, const struct gaps *gaps)
{
    const char *comma = "";
    output_puts(out, "[");
    for (unsigned i = 0; i < GAPS; i++) {
        if (gaps->row[i]) {
            output_puts(out, comma);
            if (i == 0) {
                output_puts(out, "{\"from_ns\": null");
            } else {
                output_printf(out, "{\"from_ns\": %llu", (unsigned long long)gap_low(i));
            }
            output_printf(out, ", \"count\": %llu}", (unsigned long long)gaps->row[i]);
            comma = ", ";
        }
    }
    output_puts(out, "]");
}

static void json_table(struct output *out, const struct stats *s, const struct tallies *list,
                       const char *title)
{
    const char *comma = "\n    ";
    output_printf(out, ",\n  \"%s\": [", title);
    for (unsigned i = 0; i < list->count; i++) {
        const struct tally *t = &list->row[i];
        if (!t->count) {
            continue;
        }
        output_puts(out, comma);
        if (t->decl) {
            output_puts(out, "{\"name\": ");
            text_json(out, t->decl->name, strlen(t->decl->name));
        } else if (t->rest) {
            output_puts(out, "{\"pid\": null, \"thread\": null");
        } else {
            output_printf(out, "{\"pid\": %u, \"thread\": %u", t->pid, t->thread);
        }
        output_printf(out,
                      ", \"count\": %llu, \"share\": %.6f, \"per_second\": %.3f, \"first_ns\": "
                      "%llu, \"last_ns\": %llu",
                      (unsigned long long)t->count, share(s, t) / 100, rate(t),
                      (unsigned long long)t->first, (unsigned long long)t->last);
        if (t->gaps) {
            output_puts(out, ", \"gaps\": ");
            json_gaps(out, t->gaps);
        }
        output_puts(out, "}");
        comma = ",\n    ";
    }
    output_puts(out, rows_used(list) ? "\n  ]" : "]");
}

static void print_json(struct output *out, const struct stats *s, const struct source *source,
                       bool events, bool threads)
{
    output_puts(out, "{\n  \"file\": ");
    text_json(out, source->path, strlen(source->path));
    output_printf(out,
                  ",\n  \"format\": \"%s\",\n  \"version\": %u,\n  \"records\": %llu,\n  \"lost\": "
                  "%llu,\n  \"first_ns\": %llu,\n  \"last_ns\": %llu,\n  \"per_second\": %.3f",
                  format_name(source->reader), trace_reader_version(source->reader),
                  (unsigned long long)s->all.count, (unsigned long long)s->lost,
                  (unsigned long long)s->all.first, (unsigned long long)s->all.last, rate(&s->all));
    output_puts(out, ",\n  \"complete\": ");
    output_puts(out, *trace_reader_error(source->reader) ? "false" : "true");
    output_puts(out, ",\n  \"gaps\": ");
    json_gaps(out, s->all.gaps);
    if (events) {
        json_table(out, s, &s->events, "events");
    }
    if (threads) {
        json_table(out, s, &s->threads, "threads");
    }
    if (s->call_rows) {
        output_puts(out, ",\n  \"calls\": [");
        call_stats_json(out, s->calls, s->call_rows);
        output_puts(out, "\n  ]");
    }
    output_puts(out, "\n}\n");
}

/* The command. */

struct choices {
    const char *events, *by, *sort, *output, *sum, *limit;
    bool no_header, json;
    order_fn *order;
    struct stats_places places; /* `by` NULL: not by place */
};

static int stats_by_event_and_thread(struct source *source, struct output *out,
                                     const struct choices *c)
{
    bool only_events = c->by && !strcmp(c->by, "event");
    bool only_threads = c->by && !strcmp(c->by, "thread");
    struct stats s = {.gaps_by_event = only_events,
                      .gaps_by_thread = only_threads,
                      .thread_slots = 4 * THREADS_MAX};
    s.all.gaps = mem_alloc(sizeof *s.all.gaps);
    s.thread_index = mem_alloc(s.thread_slots * sizeof *s.thread_index);
    if (!only_events && !only_threads) {
        s.calls = mem_alloc(sizeof *s.calls);
        call_stats_begin(s.calls);
    }
    count_records(&s, source);
    if (s.calls) {
        s.call_rows = call_stats_end(s.calls, c->order == by_name    ? CALLS_BY_NAME
                                              : c->order == by_first ? CALLS_BY_FIRST
                                                                     : CALLS_BY_COUNT);
    }
    progress_end(&source->progress);
    if (s.events.count) {
        qsort(s.events.row, s.events.count, sizeof *s.events.row, c->order);
    }
    if (s.threads.count) {
        qsort(s.threads.row, s.threads.count, sizeof *s.threads.row, c->order);
    }
    (c->json ? print_json : print_text)(out, &s, source, !only_threads, !only_events);
    tallies_free(&s.events);
    tallies_free(&s.threads);
    free(s.thread_index);
    free(s.calls);
    free(s.all.gaps);
    return 0;
}

static int stats_file(const struct command *self, const char *path, const struct choices *c)
{
    struct trace_reader_options options = {.events = c->events, .no_header = c->no_header};
    struct source source;
    struct error err;
    const char *output = c->output ? c->output : "-";
    if (!output_differs(path, c->events, output, false, &err)) {
        return command_usage_error(self, "%s", err.text);
    }
    if (!source_open(&source, self, path, &options)) {
        return 1;
    }
    int status = 0;
    struct output *out = output_open(output, &err);
    if (!out) {
        status = command_failed(self, "%s", err.text);
        source_close(&source, self);
        return status;
    }
    status = c->places.by ? stats_places(self, &source, &c->places, out)
                          : stats_by_event_and_thread(&source, out, c);
    if (!output_close(out, &err)) {
        status = command_failed(self, "%s", err.text);
    }
    return source_close(&source, self) || status;
}

/* 0, or the exit status after a complaint. */
static int settle(struct choices *c, const struct flag_list *files, const struct command *self)
{
    const char *sort = c->sort ? c->sort : "count";
    struct error err;
    for (unsigned i = 0; i < ORDERS; i++) {
        c->order = strcmp(orders[i].name, sort) ? c->order : orders[i].order;
    }
    if (!c->order) {
        return command_usage_error(self, "--sort=%s: expected count, name or first", sort);
    }
    if (c->by && stats_places_known(c->by)) {
        c->places = (struct stats_places){
            .by = c->by, .sum = c->sum, .limit = c->json ? 0 : ROWS_SHOWN, .json = c->json};
        if (c->sort) {
            return command_usage_error(self, "--sort=%s: places are always sorted by count", sort);
        }
        if (c->limit &&
            !option_number("--limit", c->limit, 0, UINT64_MAX, &c->places.limit, &err)) {
            return command_usage_error(self, "%s", err.text);
        }
    } else if (c->sum || c->limit) {
        return command_usage_error(self, "--%s goes with --by module, symbol or line",
                                   c->sum ? "sum" : "limit");
    } else if (c->by && strcmp(c->by, "event") != 0 && strcmp(c->by, "thread") != 0) {
        return command_usage_error(self, "--by=%s: expected event, thread, module, symbol or line",
                                   c->by);
    }
    if (files->count != 1) {
        return command_usage_error(self, "expected one recording (\"-\": standard input), found %u",
                                   files->count);
    }
    return 0;
}

static int stats_run(const struct command *self, int argc, char **argv)
{
    struct choices c = {0};
    struct flag_list files = {0};
    const struct flag flags[] = {
        {.name = "events", .text = &c.events}, {.name = "no-header", .on = &c.no_header},
        {.name = "by", .text = &c.by},         {.name = "sort", .text = &c.sort},
        {.name = "sum", .text = &c.sum},       {.name = "limit", .letter = 'n', .text = &c.limit},
        {.name = "json", .on = &c.json},       {.name = "output", .letter = 'o', .text = &c.output},
    };
    int status = 0;
    if (flags_parse(self, argc, argv, flags, sizeof flags / sizeof flags[0], &files, &status)) {
        status = settle(&c, &files, self);
        if (!status) {
            status = stats_file(self, files.row[0], &c);
        }
    }
    flag_list_free(&files);
    return status;
}

const struct command command_stats = {
    .name = "stats",
    .summary = "Counts the records of a recording by event, thread or place",
    .usage = "[OPTION]... FILE",
    .help =
        "Times are milliseconds since the first record. Rates are taken between an event's first\n"
        "and last record. The histogram counts how long after the record before each one came.\n"
        "System calls (guest_user_syscall and its _ret) are added up by name, with the time they\n"
        "took.\n"
        "\n"
        "  --by event        only the events, each with its own histogram\n"
        "  --by thread       only the threads, each with its own histogram\n"
        "  --by module|symbol|line\n"
        "                    where in the guest's code: in user-mode recordings of events with a\n"
        "                    pc that have the event guest_module too\n"
        "  --sum ARG         by places: adds up this argument instead of counting records\n"
        "  -n, --limit N     by places: the first N rows (24; all with --json); 0: all\n"
        "  --sort count|name|first\n"
        "                    order of the rows (count)\n"
        "  --json            as JSON, times in ns on the recording's clock\n"
        "  --events FILE     declarations of the events; else FILE.events, else the installed\n"
        "                    list\n"
        "  --no-header       the file has no header, ids are positions in the declarations\n"
        "  -o, --output FILE write there\n"
        "\n"
        "example: vitrine-trace stats --by event --sort first trace-1234\n",
    .run = stats_run,
};
