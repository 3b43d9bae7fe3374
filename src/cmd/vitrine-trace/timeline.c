/* SPDX-License-Identifier: MIT
 *
 * vitrine-trace timeline: a picture of events over time, by thread and by event.
 *
 * Every record is counted in the bucket of its time, in the row of its event and in that of its
 * thread, where the event is also its tag: the event that dominates a thread's bucket gives it its
 * colour. The most frequent rows are drawn, the others are added up in one.
 */
#include <string.h>

#include "base/memory.h"
#include "base/option.h"
#include "cmd/vitrine-trace/calls.h"
#include "cmd/vitrine-trace/command.h"
#include "cmd/vitrine-trace/flags.h"
#include "cmd/vitrine-trace/text.h"
#include "cmd/vitrine-trace/timeline.h"
#include "cmd/vitrine-trace/to.h"

enum {
    SVG_COLUMNS = 1024,
    HTML_COLUMNS = 4096,
    EVENTS_MAX = 8192,  /* rows while counting; further events share one */
    THREADS_MAX = 256,  /* the same for threads */
    EVENTS_SHOWN = 24,  /* unless --top says otherwise */
    THREADS_SHOWN = 12, /* likewise */
    TOP_MAX = 200,
};

const char *const timeline_light[TIMELINE_ALL_COLOURS] = {
    "#2f6fc0", "#d97706", "#1f8f5f", "#c2334d", "#7c55c8", "#8a6237",
    "#c7509a", "#0e8fa3", "#8f8a14", "#4d4fd0", "#5c9a12", "#b04a26",
    "#9a3c98", "#0b78b8", "#b58a16", "#4f6b7a", "#8b929c", "#e00000",
};
const char *const timeline_dark[TIMELINE_ALL_COLOURS] = {
    "#6ea8f0", "#f5a94d", "#57c795", "#f07f92", "#b59af0", "#cda06c",
    "#ee92cc", "#54cbdc", "#d3cd52", "#9a9bf5", "#a0d656", "#ec906b",
    "#db86d8", "#5cb9f0", "#e8c45a", "#9fb9c8", "#959da8", "#ff5c5c",
};

struct timeline_event {
    const char *name;
    bool calls; /* system calls: each has a row of its own, in timeline_work.calls */
    struct density_row *row;
    uint16_t tag;
    bool lost;
};

struct timeline_thread {
    uint32_t pid, thread;
    struct density_row *row;
};

struct timeline_work {
    struct density density;
    struct density_row *total, *lost, *more_events, *more_threads;
    struct event_table table, calls;           /* by number of the event; of the system call */
    struct timeline_event *by_tag[EVENTS_MAX]; /* those with a row of their own */
    unsigned events, all_events;
    struct timeline_thread thread[THREADS_MAX];
    unsigned threads, last_thread;
    bool many_threads;
    unsigned top_events, top_threads;
};

static struct density_row *work_row(struct timeline_work *w, struct density_row **row, bool tags)
{
    if (*row == NULL) {
        *row = density_row_new(&w->density, tags);
    }
    return *row;
}

/* A row; `call` is the name of a system call, NULL for other events. */
static struct timeline_event *work_event(struct timeline_work *w, const struct trace_record *record,
                                         const char *call)
{
    struct timeline_event *e = mem_alloc(sizeof(*e));

    e->name = call != NULL ? call : record->decl->name;
    e->calls = call == NULL && call_is_named(record->decl);
    if (e->calls) {
        return e;
    }
    e->lost = record_is_loss(record);
    if (e->lost) {
        e->row = work_row(w, &w->lost, false);
        return e;
    }
    w->all_events++;
    if (w->events < EVENTS_MAX - 1) {
        e->row = density_row_new(&w->density, false);
        e->tag = (uint16_t)w->events;
        w->by_tag[w->events++] = e;
    } else {
        e->row = work_row(w, &w->more_events, false);
        e->tag = EVENTS_MAX - 1;
    }
    return e;
}

static struct density_row *work_thread(struct timeline_work *w, const struct trace_record *record)
{
    struct timeline_thread *last = &w->thread[w->last_thread];

    if (w->threads > 0 && last->pid == record->pid && last->thread == record->thread) {
        return last->row;
    }
    for (unsigned i = 0; i < w->threads; i++) {
        if (w->thread[i].pid == record->pid && w->thread[i].thread == record->thread) {
            w->last_thread = i;
            return w->thread[i].row;
        }
    }
    if (w->threads == THREADS_MAX) {
        w->many_threads = true;
        return work_row(w, &w->more_threads, true);
    }
    w->last_thread = w->threads++;
    w->thread[w->last_thread] = (struct timeline_thread){
        .pid = record->pid, .thread = record->thread, .row = density_row_new(&w->density, true)};
    return w->thread[w->last_thread].row;
}

/* Lost events are one record but stand for many. */
static void work_lost(struct timeline_work *w, unsigned at, uint64_t lost)
{
    uint32_t room = UINT32_MAX - w->lost->count[at];

    w->lost->total += lost;
    w->lost->count[at] += lost < room ? (uint32_t)lost : room;
}

static void work_record(struct timeline_work *w, const struct trace_record *record)
{
    void **slot = event_table_slot(&w->table, record->event);

    if (*slot == NULL) {
        *slot = work_event(w, record, NULL);
    }

    const struct timeline_event *e = *slot;
    if (e->calls) {
        const char *name;
        slot = event_table_slot(&w->calls, call_number(record, &name));
        if (*slot == NULL) {
            *slot = work_event(w, record, name);
        }
        e = *slot;
    }
    unsigned at = density_at(&w->density, record->time);
    if (e->lost) {
        work_lost(w, at, record->lost);
        return;
    }

    struct density_row *thread = work_thread(w, record);
    density_add(w->total, at);
    density_add(e->row, at);
    density_add(thread, at);
    density_tag(thread, at, e->tag);
}

/* Drawing: choosing rows. */

static int by_count(const void *a, const void *b)
{
    const struct timeline_row *x = a, *y = b;

    if (x->density->total != y->density->total) {
        return x->density->total > y->density->total ? -1 : 1;
    }
    return strcmp(x->name, y->name);
}

/* Sorts the rows and adds those behind `shown` to `more`, which becomes the last one. */
static unsigned fold_rows(struct timeline_work *w, struct timeline_row *row, unsigned rows,
                          unsigned shown, struct density_row **more, bool tags, const char *what,
                          unsigned hidden)
{
    qsort(row, rows, sizeof(*row), by_count);
    /* One row more is drawn rather than called "1 other". */
    if (hidden == 0 && rows <= shown + 1) {
        return rows;
    }
    for (unsigned i = shown; i < rows; i++) {
        density_merge(&w->density, work_row(w, more, tags), row[i].density);
        free(row[i].name);
        hidden++;
    }
    shown = shown < rows ? shown : rows;
    row[shown] = (struct timeline_row){.name = mem_format("%u other %s", hidden, what),
                                       .density = *more,
                                       .colour = TIMELINE_OTHERS,
                                       .folded = true};
    return shown + 1;
}

/* `place` becomes the row of every tag. */
static void draw_events(struct timeline_work *w, struct timeline *t, uint16_t *place)
{
    t->event = mem_alloc((w->events + 2) * sizeof(*t->event));
    for (unsigned i = 0; i < w->events; i++) {
        t->event[i] = (struct timeline_row){.name = mem_string(w->by_tag[i]->name),
                                            .density = w->by_tag[i]->row,
                                            .tag = w->by_tag[i]->tag};
    }
    t->all_events = w->all_events;
    t->events = fold_rows(w, t->event, w->events, w->top_events, &w->more_events, false, "events",
                          w->all_events - w->events);
    for (unsigned i = 0; i < EVENTS_MAX; i++) {
        place[i] = (uint16_t)(t->events - 1); /* the others, where there are any */
    }
    for (unsigned i = 0; i < t->events; i++) {
        if (!t->event[i].folded) {
            place[t->event[i].tag] = (uint16_t)i;
            t->event[i].colour = i % TIMELINE_COLOURS;
        }
    }
    if (w->lost != NULL) {
        t->event[t->events++] = (struct timeline_row){.name = mem_string("lost events"),
                                                      .density = w->lost,
                                                      .colour = TIMELINE_LOST,
                                                      .folded = true};
    }
}

static char *thread_name(const struct timeline_thread *thread)
{
    if (thread->thread != 0 && thread->pid != 0) {
        return mem_format("process %u, thread %u", thread->pid, thread->thread);
    }
    if (thread->thread != 0) {
        return mem_format("thread %u", thread->thread);
    }
    return thread->pid != 0 ? mem_format("process %u", thread->pid) : mem_string("all threads");
}

static void draw_threads(struct timeline_work *w, struct timeline *t, const uint16_t *place)
{
    t->thread = mem_alloc((w->threads + 1) * sizeof(*t->thread));
    for (unsigned i = 0; i < w->threads; i++) {
        t->thread[i] =
            (struct timeline_row){.name = thread_name(&w->thread[i]), .density = w->thread[i].row};
    }
    t->all_threads = w->threads;
    t->threads = fold_rows(w, t->thread, w->threads, w->top_threads, &w->more_threads, true,
                           w->many_threads ? "threads or more" : "threads", w->many_threads);
    for (unsigned i = 0; i < t->threads; i++) {
        const struct density_row *row = t->thread[i].density;
        for (unsigned k = 0; k < t->columns; k++) {
            /* A small lead is a matter of chance. */
            bool clear = row->lead[k] >= row->count[k] / 8 && row->lead[k] > 0;
            row->tag[k] = clear ? place[row->tag[k]] : (uint16_t)TIMELINE_MIXED;
        }
    }
}

static void draw(struct timeline_work *w, const char *title, bool html, struct output *out)
{
    uint16_t *place = mem_alloc(EVENTS_MAX * sizeof(*place));
    struct timeline t = {.title = title, .total = w->total};

    t.columns = density_finish(&w->density, html ? HTML_COLUMNS : SVG_COLUMNS);
    t.width = (uint64_t)1 << w->density.shift;
    t.start = w->density.start;
    t.first = w->density.first;
    t.last = w->density.last;
    draw_events(w, &t, place);
    draw_threads(w, &t, place);
    if (html) {
        timeline_html(&t, out);
    } else {
        timeline_svg(&t, out);
    }
    for (unsigned i = 0; i < t.events; i++) {
        free(t.event[i].name);
    }
    for (unsigned i = 0; i < t.threads; i++) {
        free(t.thread[i].name);
    }
    free(t.event);
    free(t.thread);
    free(place);
}

/* What both pictures share. */

uint32_t timeline_peak(const struct timeline *t, const struct density_row *row)
{
    uint32_t peak = 0;

    for (unsigned i = 0; i < t->columns; i++) {
        peak = row->count[i] > peak ? row->count[i] : peak;
    }
    return peak;
}

void timeline_count(struct output *out, uint64_t count)
{
    if (count < 1000) {
        output_decimal(out, count);
        return;
    }
    timeline_count(out, count / 1000);
    output_printf(out, ",%03u", (unsigned)(count % 1000));
}

void timeline_time(struct output *out, double time, double step, double span)
{
    static const struct {
        const char *name;
        double ns;
    } unit[] = {{"s", 1e9}, {"ms", 1e6}, {"\xc2\xb5s", 1e3}, {"ns", 1}};
    unsigned i = 0, decimals = 0;

    while (i < 3 && span < 2 * unit[i].ns) {
        i++;
    }
    /* A little under 1, so that 0.1 + 0.1 + ... does not ask for one more decimal. */
    for (double part = step / unit[i].ns; part < 0.9999 && decimals < 9; part *= 10) {
        decimals++;
    }
    output_printf(out, "%.*f %s", (int)decimals, time / unit[i].ns, unit[i].name);
}

static void timeline_plural(struct output *out, uint64_t count, const char *what)
{
    timeline_count(out, count);
    output_printf(out, " %s%s", what, count == 1 ? "" : "s");
}

void timeline_figures(const struct timeline *t, struct output *out)
{
    double span = (double)(t->last - t->first);

    timeline_plural(out, t->total->total, "record");
    output_puts(out, ", ");
    timeline_plural(out, t->all_events, "event");
    output_puts(out, ", ");
    timeline_plural(out, t->all_threads, "thread");
    if (t->columns > 0) {
        output_puts(out, " in ");
        timeline_time(out, span, span / 1000, span);
        output_printf(out, ", from %llu.%09llu s on", (unsigned long long)(t->first / 1000000000),
                      (unsigned long long)(t->first % 1000000000));
    }
}

double timeline_step(double span, unsigned most)
{
    static const double factor[] = {2, 2.5, 2}; /* 1, 2, 5, 10 */
    double step = 1;

    for (unsigned i = 0; span / step > most; i++) {
        step *= factor[i % 3];
    }
    return step;
}

/* The command. */

static bool is_html(const char *path)
{
    size_t len = strlen(path);

    if (len > 4 && strcmp(path + len - 4, ".zst") == 0) {
        len -= 4;
    }
    return (len > 5 && strncmp(path + len - 5, ".html", 5) == 0) ||
           (len > 4 && strncmp(path + len - 4, ".htm", 4) == 0);
}

struct timeline_choices {
    const char *output, *format, *title, *top;
    struct trace_reader_options reading;
    bool html;
};

static void work_free(struct timeline_work *w)
{
    density_free(&w->density);
    event_table_free(&w->table, free);
    event_table_free(&w->calls, free);
    free(w);
}

static int timeline_file(const struct command *self, const char *path,
                         const struct timeline_choices *choices, uint64_t top)
{
    struct source source;
    struct trace_record record;
    struct error err;
    int status = 0;

    if (!output_differs(path, choices->reading.events, choices->output, false, &err)) {
        return command_usage_error(self, "%s", err.text);
    }
    if (!source_open(&source, self, path, &choices->reading)) {
        return 1;
    }

    struct timeline_work *w = mem_alloc(sizeof(*w));
    density_init(&w->density, 2 * (choices->html ? HTML_COLUMNS : SVG_COLUMNS));
    w->total = density_row_new(&w->density, false);
    w->top_events = top != 0 ? (unsigned)top : EVENTS_SHOWN;
    w->top_threads = top != 0 ? (unsigned)top : THREADS_SHOWN;
    while (source_next(&source, &record) > 0) {
        work_record(w, &record);
    }
    progress_end(&source.progress);

    struct output *out = output_open(choices->output, &err);
    if (out != NULL) {
        const char *name = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
        draw(w, choices->title != NULL ? choices->title : name, choices->html, out);
    }
    if (out == NULL || !output_close(out, &err)) {
        status = command_failed(self, "%s", err.text);
    }
    work_free(w);
    return source_close(&source, self) != 0 ? 1 : status;
}

static int timeline_given(const struct command *self, const struct flag_list *files,
                          struct timeline_choices *choices)
{
    struct error err;
    uint64_t top = 0;

    if (files->count != 1) {
        return command_usage_error(self, "expected one recording, found %u", files->count);
    }
    if (choices->top != NULL && !option_number("--top", choices->top, 1, TOP_MAX, &top, &err)) {
        return command_usage_error(self, "%s", err.text);
    }
    choices->output = choices->output != NULL ? choices->output : "-";
    choices->html = is_html(choices->output);
    if (choices->format != NULL) {
        choices->html = strcmp(choices->format, "html") == 0;
        if (!choices->html && strcmp(choices->format, "svg") != 0) {
            return command_usage_error(self, "--format takes svg or html, not '%s'",
                                       choices->format);
        }
    }
    return timeline_file(self, files->row[0], choices, top);
}

static int timeline_run(const struct command *self, int argc, char **argv)
{
    struct timeline_choices choices = {0};
    struct flag_list files = {0};
    int status;
    const struct flag flag[] = {
        {.name = "output", .letter = 'o', .text = &choices.output},
        {.name = "format", .text = &choices.format},
        {.name = "title", .text = &choices.title},
        {.name = "top", .text = &choices.top},
        {.name = "events", .text = &choices.reading.events},
        {.name = "no-header", .on = &choices.reading.no_header},
    };

    if (flags_parse(self, argc, argv, flag, sizeof(flag) / sizeof(flag[0]), &files, &status)) {
        status = timeline_given(self, &files, &choices);
    }
    flag_list_free(&files);
    return status;
}

const struct command command_timeline = {
    .name = "timeline",
    .summary = "Draws events over time, by thread and by event",
    .usage = "[OPTION]... FILE [-o OUT.svg|OUT.html]",
    .help =
        "  -o OUT           OUT.svg: a picture; OUT.html: a page with zoom, tooltips and switches\n"
        "                   for events, which needs no network (default: standard output)\n"
        "  --format FORMAT  svg or html, whatever the name of OUT (default without: svg)\n"
        "  --top N          rows of events and of threads, the most frequent; the others are\n"
        "                   added up in one (default: 24 and 12)\n"
        "  --title TEXT     instead of the name of the recording\n"
        "  --events FILE    declarations of the events (default: FILE.events, else the\n"
        "                   installed list)\n"
        "  --no-header      the recording has no header; ids are positions in --events\n"
        "\n"
        "example: vitrine-trace timeline trace-1234 -o trace.html\n",
    .run = timeline_run,
};
