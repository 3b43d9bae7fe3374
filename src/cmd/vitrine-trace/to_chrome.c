/* SPDX-License-Identifier: MIT
 *
 * Chrome's JSON trace: an object with one long array, an event a line. Times are microseconds with
 * three decimals, so nanoseconds are kept. A recording without threads has its process id as the
 * thread's.
 */
#include "cmd/vitrine-trace/to.h"

#include <string.h>

#include "base/memory.h"
#include "cmd/vitrine-trace/calls.h"
#include "cmd/vitrine-trace/text.h"
#include "cmd/vitrine-trace/to_json.h"
#include "cmd/vitrine-trace/tracks.h"

struct chrome_event {
    struct strbuf name; /* ,"name":"..." */
    struct strbuf head; /* ,"cat":"...","args": */
    bool calls;         /* slices have the names of system calls */
    struct json_args *args;
    struct track_role role;
};

struct sink_chrome {
    struct sink sink;
    struct output *out;
    struct output *body; /* memory, emptied after each event */
    struct event_table table;
    struct tracks *tracks;
    struct strbuf scratch;
    bool slices;
    bool any; /* an element is written: the next needs a comma */
};

static const char *const chrome_phase[] = {
    [TRACK_INSTANT] = "{\"ph\":\"i\",\"s\":\"t\",\"ts\":",
    [TRACK_BEGIN] = "{\"ph\":\"B\",\"ts\":",
    [TRACK_END] = "{\"ph\":\"E\",\"ts\":",
};

static void chrome_comma(struct sink_chrome *s)
{
    if (s->any) {
        output_add(s->out, ",\n", 2);
    }
    s->any = true;
}

static uint32_t chrome_thread(uint32_t pid, uint32_t thread)
{
    return thread != 0 ? thread : pid;
}

/* Names for a thread and its process. */
static void chrome_track(struct sink_chrome *s, uint32_t pid, uint32_t thread)
{
    chrome_comma(s);
    output_printf(s->out,
                  "{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":%u,\"tid\":%u,"
                  "\"args\":{\"name\":\"process %u\"}},\n",
                  pid, chrome_thread(pid, thread), pid);
    output_printf(s->out,
                  "{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":%u,\"tid\":%u,"
                  "\"args\":{\"name\":",
                  pid, chrome_thread(pid, thread));
    if (thread != 0) {
        output_printf(s->out, "\"thread %u\"}}", thread);
    } else {
        output_puts(s->out, "\"all threads\"}}");
    }
}

static void chrome_emit(void *opaque, const struct track *track, enum track_mark mark,
                        uint64_t time, const void *body, size_t len)
{
    struct sink_chrome *s = opaque;
    unsigned fraction = (unsigned)(time % 1000);
    char digits[4] = {'.', (char)('0' + fraction / 100), (char)('0' + fraction / 10 % 10),
                      (char)('0' + fraction % 10)};

    chrome_comma(s);
    output_add(s->out, chrome_phase[mark], strlen(chrome_phase[mark]));
    output_decimal(s->out, time / 1000);
    output_add(s->out, digits, sizeof(digits));
    output_add(s->out, ",\"pid\":", 7);
    output_decimal(s->out, track->pid);
    output_add(s->out, ",\"tid\":", 7);
    output_decimal(s->out, chrome_thread(track->pid, track->thread));
    output_add(s->out, body, len);
    output_add(s->out, "}", 1);
}

static struct sink *chrome_begin(const struct sink_options *options, struct error *err)
{
    struct sink_chrome *s = mem_alloc(sizeof(*s));

    s->out = output_open(options->path, err);
    if (s->out == NULL) {
        free(s);
        return NULL;
    }
    s->body = output_memory();
    s->tracks = tracks_new(chrome_emit, s);
    s->slices = options->slices;
    strbuf_init(&s->scratch);
    output_puts(s->out, "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n");
    return &s->sink;
}

static struct chrome_event *chrome_event_new(const struct sink_chrome *s,
                                             const struct trace_decl *decl)
{
    struct chrome_event *e = mem_alloc(sizeof(*e));
    const char *category = decl->source != NULL ? decl->source : "trace";
    struct output *text = output_memory();
    size_t len;

    strbuf_init(&e->name);
    strbuf_printf(&e->name, ",\"name\":\"%s\"", decl->name); /* an identifier */
    e->calls = s->slices && call_is_named(decl);
    output_puts(text, ",\"cat\":");
    text_json(text, category, strlen(category));
    output_puts(text, ",\"args\":");

    char *bytes = output_memory_take(text, &len);
    output_close(text, NULL);
    strbuf_init(&e->head);
    strbuf_add(&e->head, bytes, len);
    free(bytes);
    e->args = json_args_new(decl);
    if (s->slices) {
        e->role = track_role_of(decl);
    }
    return e;
}

static void chrome_event_free(void *row)
{
    struct chrome_event *e = row;

    strbuf_free(&e->name);
    strbuf_free(&e->head);
    json_args_free(e->args);
    free(e->role.stem);
    free(e);
}

static bool chrome_record(struct sink *sink, const struct trace_record *record)
{
    struct sink_chrome *s = (struct sink_chrome *)sink;
    void **slot = event_table_slot(&s->table, record->event);
    bool fresh;

    if (*slot == NULL) {
        *slot = chrome_event_new(s, record->decl);
    }

    const struct chrome_event *e = *slot;
    struct track *track = tracks_find(s->tracks, record->pid, record->thread, &fresh);
    if (fresh) {
        chrome_track(s, record->pid, record->thread);
    }

    uint64_t before = output_offset(s->body);
    const char *call = e->calls ? call_name(record) : NULL;
    if (call != NULL) {
        output_printf(s->body, ",\"name\":\"%s\"", call);
    } else {
        output_add(s->body, e->name.data, e->name.len);
    }
    output_add(s->body, e->head.data, e->head.len);
    json_args_write(e->args, s->body, &s->scratch, record);
    size_t len = (size_t)(output_offset(s->body) - before);
    s->body->cur -= len; /* memory is one block: what was written still stands there */
    tracks_add(s->tracks, track, &e->role, record->time, s->body->cur, len);
    return !output_failed(s->out, NULL);
}

static bool chrome_end(struct sink *sink, struct error *err)
{
    struct sink_chrome *s = (struct sink_chrome *)sink;

    tracks_flush(s->tracks);
    output_puts(s->out, "\n]}\n");

    bool ok = output_close(s->out, err);
    output_close(s->body, NULL);
    tracks_free(s->tracks);
    event_table_free(&s->table, chrome_event_free);
    strbuf_free(&s->scratch);
    free(s);
    return ok;
}

const struct sink_format sink_chrome = {
    .name = "chrome",
    .summary = "Chrome's JSON trace, which most viewers open",
    .begin = chrome_begin,
    .record = chrome_record,
    .end = chrome_end,
};
