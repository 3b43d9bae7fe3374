/* SPDX-License-Identifier: MIT
 *
 * Writing CTF traces: the directory, streams and their packets. Drawn in ctf_file.h. */
#include "trace/write/ctf_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/descriptor.h"
#include "base/memory.h"
#include "base/strbuf.h"
#include "trace/write/ctf_tsdl.h"
#include "trace/write/lock.h"

enum {
    BATCH = 64 << 10,       /* bytes that are collected before they are written */
    REST_MIN = 256,         /* less than this behind a packet is given to it as padding */
    TWINS_MAX = 1 << 14,    /* beyond that the event's own id has to do */
    STREAM_START = 4 << 10, /* bytes a stream's buffer begins with */
};

static const char metadata[] = "metadata", metadata_new[] = "metadata.new";
static const char stream_prefix[] = "thread-";

/* An event, as the caller numbers it. Ids are the trace's own. */
struct event {
    bool declared;
    uint8_t nargs;
    uint8_t ncontext; /* of these, the last are context fields: they go first */
    uint32_t strings;
    uint32_t id;
    char *body; /* of its block in the metadata, where twins may need it; else NULL */
    struct twin *twins;
};

/* The event once more, under another id, for the times when certain texts are empty. Nothing in CTF
 * asks for it, but babeltrace2 2.0.4, which Debian 12 has, shows an empty text as what the field
 * held in an earlier event of that id; so texts that are empty get an id under which they always
 * are. Declared when first needed. */
struct twin {
    uint32_t empty; /* bit i is set when text i is */
    uint32_t id;
    struct twin *next;
};

struct ctf_file {
    char *path;
    int directory;
    uint8_t uuid[CTF_UUID_BYTES];
    struct strbuf pending; /* text for the metadata that is not in the file yet */
    struct ctf_words words;
    struct event *event;
    uint32_t events; /* length of that table */
    uint32_t ids;    /* given so far */
    unsigned twins;
    struct ctf_stream *streams; /* newest first */
    unsigned stream_count;      /* that there have been */
    bool failed;                /* nothing is written any more */
    struct error failure;
};

struct ctf_stream {
    struct ctf_file *file;
    struct ctf_stream *next, **link;
    char name[48];
    uint32_t pid, thread;

    uint64_t written; /* bytes of the file */
    uint8_t *bytes;   /* what follows them */
    size_t room, len;

    bool open;            /* a packet is being filled: */
    size_t packet, limit; /* where it begins and may not go beyond, in `bytes` */
    uint64_t begin;       /* its first time */

    uint64_t time;      /* newest */
    uint64_t lost;      /* in all */
    uint64_t lost_told; /* of these, as the last packet says */
    uint64_t sequence;
};

/* Keeps the first failure of a trace; everything after it is refused for the same reason. */
static bool fail(struct ctf_file *file, struct error *err)
{
    file->failed = true;
    if (err) {
        *err = file->failure;
    }
    return false;
}

static bool fail_errno(struct ctf_file *file, const char *name, const char *what, struct error *err)
{
    error_set(&file->failure, "%s/%s: %s: %s", file->path, name, what, strerror(errno));
    return fail(file, err);
}

static bool write_all(int fd, const void *bytes, size_t len)
{
    for (const char *p = bytes; len;) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno != EINTR) {
            return false;
        }
        p += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* --- the directory --- */

static bool is_ours(const char *name)
{
    return !strcmp(name, metadata) || !strcmp(name, metadata_new) ||
           !strncmp(name, stream_prefix, sizeof stream_prefix - 1);
}

static bool has_signature(int directory)
{
    char head[sizeof CTF_SIGNATURE - 1];
    int fd = openat(directory, metadata, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        fd = openat(directory, metadata_new, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    }
    bool found = fd >= 0 && read(fd, head, sizeof head) == (ssize_t)sizeof head &&
                 !memcmp(head, CTF_SIGNATURE, sizeof head);
    if (fd >= 0) {
        close(fd);
    }
    return found;
}

/* Calls `each` for every entry but . and .. until it says false. */
static bool each_entry(int directory, bool (*each)(int directory, const char *name, void *opaque),
                       void *opaque)
{
    int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;
    bool go_on = dir;
    while (go_on && (entry = readdir(dir))) {
        go_on = !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") ||
                each(directory, entry->d_name, opaque);
    }
    if (dir) {
        closedir(dir);
    } else if (fd >= 0) {
        close(fd);
    }
    return go_on;
}

struct contents {
    bool any;
    char foreign[256]; /* a file that is not part of a trace of ours */
};

static bool note_entry(int directory, const char *name, void *opaque)
{
    struct contents *c = opaque;
    (void)directory;
    c->any = true;
    if (!is_ours(name)) {
        strncpy(c->foreign, name, sizeof c->foreign - 1);
    }
    return true;
}

static bool remove_entry(int directory, const char *name, void *opaque)
{
    (void)opaque;
    return unlinkat(directory, name, 0) == 0;
}

/* Empties the directory of an older trace of ours; refuses everything else. */
static bool clear_directory(int directory, const char *path, struct error *err)
{
    struct contents c = {0};
    if (!each_entry(directory, note_entry, &c)) {
        return error_set(err, "%s: cannot be read: %s", path, strerror(errno));
    }
    if (!c.any) {
        return true;
    }
    if (c.foreign[0] || !has_signature(directory)) {
        return error_set(err,
                         "%s: holds %s%s%s, so it is not replaced: name a directory that is new, "
                         "empty or a CTF recording of Vitrine",
                         path, c.foreign[0] ? "'" : "", c.foreign[0] ? c.foreign : "files",
                         c.foreign[0] ? "', which is no part of a CTF recording" : " of others");
    }
    return each_entry(directory, remove_entry, NULL) ||
           error_set(err, "%s: the recording in it cannot be removed: %s", path, strerror(errno));
}

/* Opens and empties it. The lock keeps others, also a forked child that goes on with our options,
 * from replacing a recording that is being made. */
static int open_directory(const char *path, struct error *err)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        error_set(err, "%s: cannot make this directory: %s", path, strerror(errno));
        return -1;
    }
    int directory = descriptor_own(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (directory < 0) {
        error_set(err,
                  errno == ENOTDIR ? "%s: is a file, and a CTF recording is a directory: name "
                                     "another place"
                                   : "%s: cannot be opened: %s",
                  path, strerror(errno));
        return -1;
    }
    if (!trace_lock_take(directory, path, err) || !clear_directory(directory, path, err)) {
        close(directory);
        return -1;
    }
    return directory;
}

/* A random UUID (RFC 4122, version 4). */
static void make_uuid(uint8_t uuid[CTF_UUID_BYTES])
{
    if (getrandom(uuid, CTF_UUID_BYTES, 0) != CTF_UUID_BYTES) {
        uint64_t mix[2] = {clock_realtime() * UINT64_C(0x9e3779b97f4a7c15),
                           clock_monotonic() ^ (uint64_t)getpid() << 32};
        memcpy(uuid, mix, CTF_UUID_BYTES);
    }
    uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40);
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
}

struct ctf_file *ctf_file_open(const char *path, const struct ctf_about *about, struct error *err)
{
    int directory = open_directory(path, err);
    if (directory < 0) {
        return NULL;
    }
    struct ctf_file *file = mem_alloc(sizeof *file);
    file->path = mem_string(path);
    file->directory = directory;
    make_uuid(file->uuid);
    strbuf_init(&file->pending);
    ctf_tsdl_head(&file->pending, file->uuid, about);
    if (!ctf_file_commit(file, err)) {
        ctf_file_close(file, NULL);
        return NULL;
    }
    return file;
}

/* --- metadata --- */

void ctf_file_declare(struct ctf_file *file, uint32_t event, const struct trace_decl *decl)
{
    if (event >= CTF_EVENTS_MAX || (event < file->events && file->event[event].declared)) {
        bug("event %u is declared twice or has no number a CTF trace can hold", event);
    }
    if (event >= file->events) {
        uint32_t count = event + event / 2 + 64;
        file->event = mem_resize(file->event, count, sizeof *file->event);
        memset(file->event + file->events, 0, (count - file->events) * sizeof *file->event);
        file->events = count;
    }
    struct strbuf body;
    strbuf_init(&body);
    ctf_tsdl_body(&body, decl);
    ctf_tsdl_declaration(&file->pending, &file->words, decl);
    ctf_tsdl_event(&file->pending, file->ids, body.data);
    file->event[event] = (struct event){
        .declared = true,
        .nargs = (uint8_t)decl->nargs,
        .ncontext = (uint8_t)ctf_context_count(decl),
        .strings = decl->strings,
        .id = file->ids++,
        .body = decl->strings ? strbuf_take(&body) : NULL,
    };
    strbuf_free(&body);
}

/* The id for an event some of whose texts are empty. */
static uint32_t twin_id(struct ctf_file *file, struct event *e, uint32_t empty)
{
    for (struct twin *t = e->twins; t; t = t->next) {
        if (t->empty == empty) {
            return t->id;
        }
    }
    if (file->twins == TWINS_MAX) {
        return e->id;
    }
    file->twins++;
    struct twin *t = mem_alloc(sizeof *t);
    *t = (struct twin){empty, file->ids++, e->twins};
    e->twins = t;
    strbuf_puts(&file->pending, "\n/* Again, for when certain texts are empty. */\n");
    ctf_tsdl_event(&file->pending, t->id, e->body);
    return t->id;
}

static void free_event(struct event *e)
{
    while (e->twins) {
        struct twin *next = e->twins->next;
        free(e->twins);
        e->twins = next;
    }
    free(e->body);
}

/* Copies the metadata file, if there is one, to `to`. */
static bool copy_metadata(struct ctf_file *file, int to)
{
    char piece[16 << 10];
    int from = openat(file->directory, metadata, O_RDONLY | O_CLOEXEC);
    if (from < 0) {
        return errno == ENOENT;
    }
    ssize_t n = 1;
    while (n > 0) {
        n = read(from, piece, sizeof piece);
        if (n > 0 && !write_all(to, piece, (size_t)n)) {
            n = -1;
        }
    }
    int reason = errno;
    close(from);
    errno = reason;
    return n == 0;
}

bool ctf_file_commit(struct ctf_file *file, struct error *err)
{
    if (file->failed) {
        return fail(file, err);
    }
    if (!file->pending.len) {
        return true;
    }
    int fd = openat(file->directory, metadata_new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return fail_errno(file, metadata_new, "cannot be made", err);
    }
    bool ok = copy_metadata(file, fd) && write_all(fd, file->pending.data, file->pending.len);
    int reason = errno;
    ok = close(fd) == 0 && ok;
    errno = reason;
    if (!ok || renameat(file->directory, metadata_new, file->directory, metadata) != 0) {
        return fail_errno(file, metadata, "cannot be written", err);
    }
    strbuf_clear(&file->pending);
    return true;
}

/* --- packets --- */

static void make_room(struct ctf_stream *s, size_t len)
{
    if (s->room - s->len < len) {
        size_t room = s->room ? s->room : STREAM_START;
        while (room - s->len < len) {
            room *= 2;
        }
        s->bytes = mem_resize(s->bytes, room, 1);
        s->room = room;
    }
}

static void packet_begin(struct ctf_stream *s, uint64_t time)
{
    size_t left = CTF_PAGE - (size_t)((s->written + s->len) % CTF_PAGE);
    make_room(s, left);
    s->packet = s->len;
    s->limit = s->len + left;
    s->len += CTF_PACKET_HEAD;
    s->begin = time;
    s->open = true;
}

static inline uint8_t *put32(uint8_t *p, uint32_t value)
{
    memcpy(p, &value, sizeof value);
    return p + sizeof value;
}

static inline uint8_t *put64(uint8_t *p, uint64_t value)
{
    memcpy(p, &value, sizeof value);
    return p + sizeof value;
}

/* Completes the packet. `fill`: it takes the rest of its page. */
static void packet_end(struct ctf_stream *s, bool fill)
{
    size_t content = s->len - s->packet;
    uint64_t end = s->time > s->begin ? s->time : s->begin; /* a packet may have no event */
    if (fill || s->limit - s->len < REST_MIN) {
        memset(s->bytes + s->len, 0, s->limit - s->len);
        s->len = s->limit;
    }
    uint8_t *p = s->bytes + s->packet;
    p = put32(p, CTF_MAGIC);
    memcpy(p, s->file->uuid, CTF_UUID_BYTES);
    p = put32(p + CTF_UUID_BYTES, 0);
    p = put64(p, s->begin);
    p = put64(p, end);
    p = put64(p, content * 8);
    p = put64(p, (s->len - s->packet) * 8);
    p = put64(p, s->sequence++);
    p = put64(p, s->lost);
    p = put32(p, s->pid);
    put32(p, s->thread);
    s->lost_told = s->lost;
    s->open = false;
}

static bool packet_empty(const struct ctf_stream *s)
{
    return s->len == s->packet + CTF_PACKET_HEAD;
}

/* After a write that failed: what was written up to the end of a page stays. */
static void cut_page(int fd, uint64_t written)
{
    struct stat st;
    if (fstat(fd, &st) == 0) {
        uint64_t whole = (uint64_t)st.st_size / CTF_PAGE * CTF_PAGE;
        /* Should this fail too, a reader will say that the last packet is cut. */
        int ignored = ftruncate(fd, (off_t)(whole > written ? whole : written));
        (void)ignored;
    }
}

/* Appends `bytes` to the stream's file, which is opened for the occasion. */
static bool write_out(struct ctf_stream *s, struct error *err)
{
    struct ctf_file *file = s->file;
    if (file->failed) {
        return fail(file, err);
    }
    if (!s->len) {
        return true;
    }
    if (!ctf_file_commit(file, err)) {
        return false; /* events are declared before they are in a file */
    }
    int create = s->written ? 0 : O_CREAT | O_EXCL;
    int fd = openat(file->directory, s->name, O_WRONLY | O_APPEND | O_CLOEXEC | create, 0600);
    if (fd < 0) {
        return fail_errno(file, s->name, "cannot be opened", err);
    }
    if (!write_all(fd, s->bytes, s->len)) {
        fail_errno(file, s->name, "cannot be written", err);
        cut_page(fd, s->written);
        close(fd);
        return false;
    }
    close(fd);
    s->written += s->len;
    s->len = 0;
    return true;
}

static bool stream_flush(struct ctf_stream *s, struct error *err)
{
    if (s->open && packet_empty(s) && s->lost == s->lost_told) {
        s->len = s->packet;
        s->open = false;
    } else if (s->open) {
        packet_end(s, false);
    }
    return write_out(s, err);
}

/* --- streams --- */

struct ctf_stream *ctf_stream_new(struct ctf_file *file, uint32_t pid, uint32_t thread)
{
    struct ctf_stream *s = mem_alloc(sizeof *s);
    s->file = file;
    s->pid = pid;
    s->thread = thread;
    snprintf(s->name, sizeof s->name, "%s%u-%u", stream_prefix, thread, ++file->stream_count);
    s->next = file->streams;
    s->link = &file->streams;
    if (s->next) {
        s->next->link = &s->next;
    }
    file->streams = s;
    return s;
}

struct ctf_file *ctf_stream_file(const struct ctf_stream *stream)
{
    return stream->file;
}

uint64_t ctf_stream_time(const struct ctf_stream *stream)
{
    return stream->time;
}

bool ctf_stream_close(struct ctf_stream *s, struct error *err)
{
    bool ok = stream_flush(s, err);
    *s->link = s->next;
    if (s->next) {
        s->next->link = s->link;
    }
    free(s->bytes);
    free(s);
    return ok;
}

/* Makes `size` bytes free inside the open packet, or in a new one. */
static bool event_room(struct ctf_stream *s, size_t size, uint64_t time, struct error *err)
{
    if (!s->open) {
        packet_begin(s, time);
    }
    while (s->limit - s->len < size) {
        if (packet_empty(s) && (s->written + s->packet) % CTF_PAGE == 0) {
            /* Longer than a page. */
            size_t whole = CTF_PACKET_HEAD + size;
            s->limit = s->packet + (whole + CTF_PAGE - 1) / CTF_PAGE * CTF_PAGE;
            make_room(s, s->limit - s->len);
            return true;
        }
        packet_end(s, true);
        if (s->len >= BATCH && !write_out(s, err)) {
            return false;
        }
        packet_begin(s, time);
    }
    return true;
}

static size_t text_length(uint64_t value, uint32_t length)
{
    const char *text = (const char *)(uintptr_t)value;
    return text ? strnlen(text, length < TRACE_STRING_MAX ? length : TRACE_STRING_MAX) : 0;
}

static uint8_t *put_arguments(uint8_t *p, uint32_t strings, unsigned first, unsigned end,
                              const uint64_t *values, const size_t *lengths)
{
    for (unsigned i = first; i < end; i++) {
        if (strings >> i & 1) {
            if (lengths[i]) {
                memcpy(p, (const void *)(uintptr_t)values[i], lengths[i]);
            }
            p += lengths[i];
            *p++ = 0;
        } else {
            p = put64(p, values[i]);
        }
    }
    return p;
}

bool ctf_stream_event(struct ctf_stream *s, uint32_t event, uint64_t time, const uint64_t *values,
                      const uint32_t *lengths, struct error *err)
{
    struct ctf_file *file = s->file;
    if (file->failed) {
        return fail(file, err);
    }
    if (event >= file->events || !file->event[event].declared) {
        return error_set(err, "%s: event number %u is not declared", file->path, event);
    }
    struct event *e = &file->event[event];
    size_t size = CTF_EVENT_HEAD + 8 * (size_t)e->nargs;
    size_t text[TRACE_VALUES_MAX];
    uint32_t empty = 0;
    for (uint32_t set = e->strings; set; set &= set - 1) {
        unsigned i = (unsigned)__builtin_ctz(set);
        text[i] = text_length(values[i], lengths[i]);
        size += text[i] + 1 - 8;
        empty |= text[i] ? 0 : 1u << i;
    }
    if (time < s->time) {
        time = s->time;
    }
    if ((!s->open || s->limit - s->len < size) && !event_room(s, size, time, err)) {
        return false;
    }
    s->time = time;
    uint8_t *p = s->bytes + s->len;
    p = put32(p, empty ? twin_id(file, e, empty) : e->id);
    p = put64(p, time);
    s->len += size;
    if (!e->strings && !e->ncontext) {
        if (e->nargs) {
            memcpy(p, values, 8 * (size_t)e->nargs);
        }
        return true;
    }
    unsigned fields = e->nargs - e->ncontext;
    p = put_arguments(p, e->strings, fields, e->nargs, values, text);
    put_arguments(p, e->strings, 0, fields, values, text);
    return true;
}

bool ctf_stream_lost(struct ctf_stream *s, uint64_t time, uint64_t count, struct error *err)
{
    if (s->file->failed) {
        return fail(s->file, err);
    }
    if (s->open && !packet_empty(s)) {
        packet_end(s, false);
        if (s->len >= BATCH && !write_out(s, err)) {
            return false;
        }
    }
    s->time = time > s->time ? time : s->time;
    s->lost += count <= UINT64_MAX - s->lost ? count : UINT64_MAX - s->lost;
    if (!s->open) {
        packet_begin(s, s->time);
    }
    return true;
}

/* --- the whole trace --- */

bool ctf_file_flush(struct ctf_file *file, struct error *err)
{
    if (file->failed) {
        return fail(file, err);
    }
    for (struct ctf_stream *s = file->streams; s; s = s->next) {
        if (!stream_flush(s, err)) {
            return false;
        }
    }
    return true;
}

bool ctf_file_close(struct ctf_file *file, struct error *err)
{
    bool ok = ctf_file_commit(file, err) && ctf_file_flush(file, err);
    while (file->streams) {
        struct ctf_stream *s = file->streams;
        file->streams = s->next;
        free(s->bytes);
        free(s);
    }
    trace_lock_close(file->directory);
    for (uint32_t i = 0; i < file->events; i++) {
        free_event(&file->event[i]);
    }
    ctf_words_free(&file->words);
    strbuf_free(&file->pending);
    free(file->event);
    free(file->path);
    free(file);
    return ok;
}
