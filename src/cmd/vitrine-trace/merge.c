/* SPDX-License-Identifier: MIT
 *
 * vitrine-trace merge: several recordings as one simple recording, in the order of time.
 *
 * A heap holds the next record of every input. Events are united by name: each input has a table
 * from its own event numbers to the united ones, and the first declaration of a name counts. What
 * the output needs of it (names and kinds of arguments) has to be the same in all inputs.
 */
#include <string.h>

#include "base/memory.h"
#include "base/names.h"
#include "cmd/vitrine-trace/command.h"
#include "cmd/vitrine-trace/flags.h"
#include "cmd/vitrine-trace/to.h"

enum { INPUTS_MAX = 256 };

/* An event of the output. Owned by the merge; the declaration is the input's. */
struct merge_event {
    const struct trace_decl *decl;
    const char *path; /* the input that declared it */
    unsigned number;
};

struct merge_input {
    struct source source;
    struct trace_record record; /* the next one */
    uint64_t shift;             /* added to times */
    struct event_table united;  /* event number -> struct merge_event */
};

struct merge {
    const struct command *self;
    struct merge_input *input;
    unsigned inputs;
    struct merge_input **heap; /* those that have a record; the earliest first */
    unsigned waiting;
    struct names names;         /* of the output's events */
    struct merge_event **event; /* by their numbers */
};

static bool merge_before(const struct merge_input *a, const struct merge_input *b)
{
    /* Of equal times the input that was named first comes first. */
    return a->record.time != b->record.time ? a->record.time < b->record.time : a < b;
}

static void merge_sink_down(struct merge *m)
{
    struct merge_input **heap = m->heap, *moved = heap[0];
    unsigned at = 0, child;

    while ((child = 2 * at + 1) < m->waiting) {
        if (child + 1 < m->waiting && merge_before(heap[child + 1], heap[child])) {
            child++;
        }
        if (!merge_before(heap[child], moved)) {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moved;
}

static void merge_rise(struct merge *m, unsigned at)
{
    struct merge_input **heap = m->heap, *moved = heap[at];

    while (at > 0 && merge_before(moved, heap[(at - 1) / 2])) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = moved;
}

/* Reads an input's next record. False at its end. */
static bool merge_read(struct merge_input *in)
{
    if (source_next(&in->source, &in->record) <= 0) {
        return false;
    }
    in->record.time += in->shift;
    return true;
}

/* True if records of both look the same. */
static bool merge_same(const struct trace_decl *a, const struct trace_decl *b)
{
    if (a->nargs != b->nargs) {
        return false;
    }
    for (unsigned i = 0; i < a->nargs; i++) {
        const struct trace_arg *x = &a->arg[i], *y = &b->arg[i];
        if (strcmp(x->name, y->name) != 0 || x->kind != y->kind || x->bits != y->bits) {
            return false;
        }
    }
    return true;
}

/* Writes "name(type arg, ...)". */
static void merge_signature(struct strbuf *text, const struct trace_decl *decl)
{
    strbuf_printf(text, "%s(", decl->name);
    for (unsigned i = 0; i < decl->nargs; i++) {
        const char *type = decl->arg[i].type;
        bool pointer = type[0] != '\0' && type[strlen(type) - 1] == '*';
        strbuf_printf(text, "%s%s%s%s", i == 0 ? "" : ", ", type, pointer ? "" : " ",
                      decl->arg[i].name);
    }
    strbuf_puts(text, ")");
}

static bool merge_conflict(struct merge *m, const struct merge_event *e,
                           const struct merge_input *in)
{
    struct strbuf one, other;

    strbuf_init(&one);
    strbuf_init(&other);
    merge_signature(&one, e->decl);
    merge_signature(&other, in->record.decl);
    command_failed(m->self,
                   "event %s is declared as %s in %s but as %s in %s: one recording cannot hold "
                   "both; `vitrine-trace filter` can leave one out",
                   e->decl->name, one.data, e->path, other.data, in->source.path);
    strbuf_free(&one);
    strbuf_free(&other);
    return false;
}

/* The first record of an event in this input. NULL after a complaint. */
static struct merge_event *merge_unite(struct merge *m, struct merge_input *in)
{
    const struct trace_decl *decl = in->record.decl;
    bool fresh;
    size_t number = names_add(&m->names, decl->name, &fresh);

    if (fresh) {
        m->event = mem_resize(m->event, number + 1, sizeof(struct merge_event *));
        m->event[number] = mem_alloc(sizeof(struct merge_event));
        *m->event[number] =
            (struct merge_event){.decl = decl, .path = in->source.path, .number = (unsigned)number};
    } else if (!merge_same(m->event[number]->decl, decl)) {
        merge_conflict(m, m->event[number], in);
        return NULL;
    }
    return m->event[number];
}

/* Gives the record its united event. False after a complaint. */
static bool merge_translate(struct merge *m, struct merge_input *in, struct trace_record *record)
{
    void **slot = event_table_slot(&in->united, in->record.event);

    if (*slot == NULL) {
        *slot = merge_unite(m, in);
        if (*slot == NULL) {
            return false;
        }
    }

    const struct merge_event *e = *slot;
    *record = in->record;
    record->decl = e->decl;
    record->event = e->number;
    return true;
}

/* Before the first recording's clock was at zero another may have begun: later for all, then, since
 * times have no sign. */
static void merge_after_zero(struct merge *m)
{
    int64_t least = 0;

    for (unsigned i = 0; i < m->waiting; i++) {
        int64_t time = (int64_t)m->heap[i]->record.time;
        least = time < least ? time : least;
    }
    for (unsigned i = 0; i < m->waiting; i++) {
        m->heap[i]->shift -= (uint64_t)least;
        m->heap[i]->record.time -= (uint64_t)least;
    }
}

/* Reads the first record of every input and relates the clocks. */
static void merge_fill(struct merge *m, const char *align)
{
    bool start = strcmp(align, "start") == 0;

    m->heap = mem_alloc(m->inputs * sizeof(struct merge_input *));
    for (unsigned i = 0; i < m->inputs; i++) {
        struct merge_input *in = &m->input[i];
        if (!merge_read(in)) {
            continue;
        }
        if (start && m->waiting > 0) {
            in->shift = m->heap[0]->record.time - in->record.time;
            in->record.time += in->shift;
        }
        m->heap[m->waiting++] = in;
    }
    if (strcmp(align, "wall") == 0) {
        merge_after_zero(m);
    }
    for (unsigned i = 1; i < m->waiting; i++) {
        merge_rise(m, i);
    }
}

/* Writes everything in order. False after a complaint. */
static bool merge_copy(struct merge *m, struct sink *sink)
{
    while (m->waiting > 0) {
        struct merge_input *in = m->heap[0];
        struct trace_record record;

        if (!merge_translate(m, in, &record)) {
            return false;
        }
        if (!sink_simple.record(sink, &record)) {
            return true;
        }
        if (!merge_read(in)) {
            m->heap[0] = m->heap[--m->waiting];
        }
        if (m->waiting > 0) {
            merge_sink_down(m);
        }
    }
    return true;
}

/* Shifts every recording's clock to that of the first. False after a complaint. */
static bool merge_align_wall(struct merge *m)
{
    int64_t first = 0, offset;

    for (unsigned i = 0; i < m->inputs; i++) {
        struct merge_input *in = &m->input[i];
        if (!trace_reader_wall_offset(in->source.reader, &offset)) {
            command_failed(m->self,
                           "%s does not know the wall-clock time: --align takes none (one host, "
                           "one clock) or start (all begin at once) instead",
                           in->source.path);
            return false;
        }
        first = i == 0 ? offset : first;
        in->shift = (uint64_t)offset - (uint64_t)first;
    }
    return true;
}

static bool merge_open(struct merge *m, const struct flag_list *files,
                       const struct trace_reader_options *reading)
{
    m->input = mem_alloc(files->count * sizeof(*m->input));
    for (unsigned i = 0; i < files->count; i++) {
        if (!source_open(&m->input[i].source, m->self, files->row[i], reading)) {
            return false;
        }
        m->inputs++;
        /* One bar at a time: the first file stands for all. */
        m->input[i].source.progress.on &= i == 0;
    }
    return true;
}

static void merge_keep_row(void *row)
{
    (void)row; /* belongs to merge.event */
}

/* Closes the inputs. 1 if one of them was damaged. */
static int merge_close(struct merge *m)
{
    int status = 0;

    for (unsigned i = 0; i < m->inputs; i++) {
        event_table_free(&m->input[i].united, merge_keep_row);
    }
    for (size_t i = 0; i < m->names.count; i++) {
        free(m->event[i]);
    }
    for (unsigned i = 0; i < m->inputs; i++) {
        status |= source_close(&m->input[i].source, m->self);
    }
    free(m->event);
    names_free(&m->names);
    free(m->heap);
    free(m->input);
    return status;
}

static int merge_files(struct merge *m, const struct flag_list *files, const char *align,
                       const struct sink_options *output,
                       const struct trace_reader_options *reading)
{
    struct error err;
    struct sink *sink = NULL;
    bool ok;

    ok = merge_open(m, files, reading) && (strcmp(align, "wall") != 0 || merge_align_wall(m));
    if (ok) {
        sink = sink_simple.begin(output, &err);
        if (sink == NULL) {
            command_failed(m->self, "%s", err.text);
        }
    }
    if (sink != NULL) {
        merge_fill(m, align);
        ok = merge_copy(m, sink);
        for (unsigned i = 0; i < m->inputs; i++) {
            progress_end(&m->input[i].source.progress);
        }
        if (!sink_simple.end(sink, &err)) {
            command_failed(m->self, "%s", err.text);
            ok = false;
        }
    }
    int damaged = merge_close(m);
    return ok && sink != NULL ? damaged : 1;
}

static int merge_check(const struct command *self, const struct flag_list *files, const char *align,
                       const char *output, const char *events)
{
    struct error err;
    unsigned standard = 0;

    if (files->count == 0 || files->count > INPUTS_MAX) {
        return command_usage_error(self, "expected one to %d recordings, found %u", INPUTS_MAX,
                                   files->count);
    }
    if (strcmp(align, "none") != 0 && strcmp(align, "start") != 0 && strcmp(align, "wall") != 0) {
        return command_usage_error(self, "--align takes none, start or wall, not '%s'", align);
    }
    for (unsigned i = 0; i < files->count; i++) {
        standard += strcmp(files->row[i], "-") == 0;
        if (!output_differs(files->row[i], events, output, true, &err)) {
            return command_usage_error(self, "%s", err.text);
        }
    }
    if (standard > 1) {
        return command_usage_error(self, "standard input (-) can be read only once");
    }
    return command_takes_binary(self, output) ? 0 : 2;
}

static int merge_run(const struct command *self, int argc, char **argv)
{
    struct merge m = {.self = self};
    struct sink_options output = {0};
    struct trace_reader_options reading = {0};
    struct flag_list files = {0};
    const char *align = NULL;
    int status;
    const struct flag flag[] = {
        {.name = "align", .text = &align},
        {.name = "output", .letter = 'o', .text = &output.path},
        {.name = "events", .text = &reading.events},
        {.name = "no-header", .on = &reading.no_header},
    };

    if (flags_parse(self, argc, argv, flag, sizeof(flag) / sizeof(flag[0]), &files, &status)) {
        align = align != NULL ? align : "none";
        output.path = output.path != NULL ? output.path : "-";
        status = merge_check(self, &files, align, output.path, reading.events);
        if (status == 0) {
            status = merge_files(&m, &files, align, &output, &reading);
        }
    }
    flag_list_free(&files);
    return status;
}

const struct command command_merge = {
    .name = "merge",
    .summary = "Merges recordings by time into one simple recording",
    .usage = "[OPTION]... FILE... [-o OUT]",
    .help = "  --align HOW    how the clocks of the recordings relate (default: none)\n"
            "                   none   they are one clock: recordings of one host\n"
            "                   start  all recordings begin at the moment the first one does\n"
            "                   wall   by the wall-clock time that the recordings know\n"
            "  -o OUT         write to OUT, declarations to OUT.events (default: standard output;\n"
            "                 OUT.zst compresses)\n"
            "  --events FILE  declarations of the events of all recordings (default: for each its\n"
            "                 FILE.events, else the installed list)\n"
            "  --no-header    the recordings have no header; ids are positions in --events\n"
            "\n"
            "example: vitrine-trace merge trace-1234 trace-1240 -o both\n",
    .run = merge_run,
};
