/* SPDX-License-Identifier: MIT
 *
 * Reading the CTF traces that our writer makes: a directory with a file `metadata` and one file for
 * each thread, whose packets write/ctf_file.h draws.
 *
 * The files are merged by time with a heap. A file is read only once its first time is due, through
 * a window that is freed at its end, so memory depends on how many threads ran at the same time,
 * not on how long the files are or how many of them there were.
 *
 * When a file is damaged the others are still read to their ends; then the first damage is told. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/strbuf.h"
#include "trace/read/ctf_metadata.h"
#include "trace/read/internal.h"
#include "trace/write/ctf_file.h"

enum {
    METADATA_MAX = 256 << 20,
    WINDOW = 64 << 10, /* more than the longest event and what is in front of a packet */
};

/* What is due next in a stream. */
enum due {
    DUE_OPENING, /* nothing was looked at but the first packet's time */
    DUE_EVENT,
    DUE_LOSS,
};

struct stream {
    char *name;
    unsigned order;
    enum due due;
    uint64_t time; /* of what is due; never falls */
    uint64_t size; /* of the file, when it was opened */

    uint8_t *window; /* the file's bytes [at, at + len) */
    uint64_t at;
    size_t len, pos;

    /* The packet: places in the file. */
    uint64_t content_end, packet_end;
    bool cut;          /* the file ends before the packet does */
    uint64_t last;     /* its newest time may be */
    uint64_t sequence; /* of the next */
    uint64_t lost, loss;
    uint32_t pid, thread;

    const struct ctf_event *event; /* that is due; its fields begin at pos */
};

struct ctf {
    int directory;
    struct ctf_metadata *meta;
    struct stream *stream;
    size_t streams;
    struct stream **heap; /* the earliest first */
    size_t heaped;
    struct stream *current; /* whose record was handed out last */
    unsigned damaged;       /* streams */
    uint64_t done, total;   /* bytes */
    uint64_t values[TRACE_VALUES_MAX];
    uint32_t lengths[TRACE_VALUES_MAX];
};

/* --- damage --- */

/* Notes the sentence "DIR/FILE: at byte N: ..." unless there is one. Returns -1. */
static int damage(struct trace_reader *reader, struct stream *s, uint64_t offset,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));

static int damage(struct trace_reader *reader, struct stream *s, uint64_t offset,
                  const char *format, ...)
{
    struct ctf *c = reader->own;
    if (c->damaged++ == 0) {
        char sentence[sizeof reader->error.text];
        va_list ap;
        va_start(ap, format);
        vsnprintf(sentence, sizeof sentence, format, ap);
        va_end(ap);
        error_set(&reader->error, "%s/%s: at byte %llu: %s", reader->path, s->name,
                  (unsigned long long)offset, sentence);
    }
    return -1;
}

/* --- numbers --- */

static uint64_t load(const uint8_t *p, unsigned bytes)
{
    uint64_t whole;
    uint32_t half;
    uint16_t quarter;
    switch (bytes) {
    case 8: memcpy(&whole, p, 8); return whole;
    case 4: memcpy(&half, p, 4); return half;
    case 2: memcpy(&quarter, p, 2); return quarter;
    case 1: return *p;
    default: return 0;
    }
}

static uint64_t load_slot(const struct ctf_metadata *m, const uint8_t *p, enum ctf_slot_name name)
{
    return load(p + m->slot[name].offset, m->slot[name].bytes);
}

static uint64_t extend(uint64_t value, unsigned bytes)
{
    unsigned unused = 64 - 8 * bytes;
    return (uint64_t)((int64_t)(value << unused) >> unused);
}

/* --- the window --- */

static ssize_t read_at(const struct ctf *c, const char *name, void *to, size_t len, uint64_t at)
{
    int fd = openat(c->directory, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return -1;
    }
    size_t have = 0;
    ssize_t n = 1;
    while (have < len && n != 0) {
        n = pread(fd, (char *)to + have, len - have, (off_t)(at + have));
        if (n < 0 && errno != EINTR) {
            break;
        }
        have += n > 0 ? (size_t)n : 0;
    }
    int reason = errno;
    close(fd);
    errno = reason;
    return n < 0 ? -1 : (ssize_t)have;
}

static uint64_t position(const struct stream *s)
{
    return s->at + s->pos;
}

/* Tries to have `want` bytes (at most WINDOW) in the window behind pos. Returns how many there are;
 * fewer at the file's end. -1: reading failed. */
static ssize_t want_bytes(struct trace_reader *reader, struct stream *s, size_t want)
{
    size_t have = s->len - s->pos;
    if (have >= want) {
        return (ssize_t)have;
    }
    if (!s->window) {
        s->window = mem_alloc(WINDOW);
    }
    memmove(s->window, s->window + s->pos, have);
    s->at += s->pos;
    s->pos = 0;
    s->len = have;
    uint64_t left = s->size - (s->at + have);
    size_t room = WINDOW - have;
    ssize_t n = read_at(reader->own, s->name, s->window + have, left < room ? (size_t)left : room,
                        s->at + have);
    if (n < 0) {
        return damage(reader, s, s->at + have, "cannot be read: %s", strerror(errno));
    }
    s->len += (size_t)n;
    if (s->len < want) {
        s->size = s->at + s->len; /* it may have become shorter */
    }
    return (ssize_t)s->len;
}

static void go_to(struct stream *s, uint64_t place)
{
    if (place - s->at <= s->len) {
        s->pos = (size_t)(place - s->at);
    } else {
        s->at = place;
        s->pos = s->len = 0;
    }
}

/* --- packets --- */

/* Checks the sizes in front of a packet and finds its ends. */
static int take_sizes(struct trace_reader *reader, struct stream *s, const uint8_t *p)
{
    const struct ctf *c = reader->own;
    const struct ctf_metadata *m = c->meta;
    uint64_t content = load_slot(m, p, CTF_SLOT_CONTENT), packet = load_slot(m, p, CTF_SLOT_SIZE);
    uint64_t start = position(s);
    if (content % 8 || content / 8 < m->packet_head) {
        return damage(reader, s, start + m->slot[CTF_SLOT_CONTENT].offset,
                      "expected the size of a packet's content (in bits, whole bytes, at least "
                      "%u), found %llu",
                      8 * m->packet_head, (unsigned long long)content);
    }
    if (packet % 8 || packet < content || packet / 8 > UINT64_MAX / 16) {
        return damage(reader, s, start + m->slot[CTF_SLOT_SIZE].offset,
                      "expected the size of a packet (in bits, whole bytes, at least %llu), found "
                      "%llu",
                      (unsigned long long)content, (unsigned long long)packet);
    }
    s->content_end = start + content / 8;
    s->packet_end = start + packet / 8;
    s->cut = s->packet_end > s->size;
    if (s->content_end > s->size) {
        s->content_end = s->size;
    }
    return 1;
}

static int check_origin(struct trace_reader *reader, struct stream *s, const uint8_t *p)
{
    const struct ctf *c = reader->own;
    const struct ctf_metadata *m = c->meta;
    uint64_t start = position(s), magic = load_slot(m, p, CTF_SLOT_MAGIC);
    if (magic != CTF_MAGIC) {
        return damage(reader, s, start + m->slot[CTF_SLOT_MAGIC].offset,
                      "expected the magic number 0x%x of a packet, found 0x%llx", CTF_MAGIC,
                      (unsigned long long)magic);
    }
    if (m->uuid_known && memcmp(p + m->uuid_offset, m->uuid, sizeof m->uuid)) {
        return damage(reader, s, start + m->uuid_offset,
                      "expected the UUID that the metadata has; is the file from another "
                      "recording?");
    }
    if (load_slot(m, p, CTF_SLOT_STREAM) != 0) {
        return damage(reader, s, start + m->slot[CTF_SLOT_STREAM].offset,
                      "expected stream 0, found %llu",
                      (unsigned long long)load_slot(m, p, CTF_SLOT_STREAM));
    }
    return 1;
}

/* What the packet says of its order and of losses. */
static int take_context(struct trace_reader *reader, struct stream *s, const uint8_t *p)
{
    const struct ctf *c = reader->own;
    const struct ctf_metadata *m = c->meta;
    uint64_t start = position(s), begin = load_slot(m, p, CTF_SLOT_BEGIN);
    uint64_t lost = load_slot(m, p, CTF_SLOT_LOST), number = load_slot(m, p, CTF_SLOT_SEQUENCE);
    s->last = load_slot(m, p, CTF_SLOT_END);
    if (begin < s->time || begin > s->last) {
        bool early = begin < s->time;
        return damage(reader, s, start + m->slot[CTF_SLOT_BEGIN].offset,
                      "expected a packet that begins at time %llu or %s, found %llu",
                      (unsigned long long)(early ? s->time : s->last), early ? "later" : "earlier",
                      (unsigned long long)begin);
    }
    if (m->slot[CTF_SLOT_SEQUENCE].bytes && number != s->sequence) {
        return damage(reader, s, start + m->slot[CTF_SLOT_SEQUENCE].offset,
                      "expected packet number %llu, found %llu", (unsigned long long)s->sequence,
                      (unsigned long long)number);
    }
    if (lost < s->lost) {
        return damage(reader, s, start + m->slot[CTF_SLOT_LOST].offset,
                      "expected a count of lost events of at least %llu, found %llu",
                      (unsigned long long)s->lost, (unsigned long long)lost);
    }
    s->time = begin;
    s->sequence++;
    s->loss = lost - s->lost;
    s->lost = lost;
    s->pid = (uint32_t)load_slot(m, p, CTF_SLOT_PID);
    s->thread = (uint32_t)load_slot(m, p, CTF_SLOT_THREAD);
    return 1;
}

/* Goes on to the next packet. 0: there is none. */
static int next_packet(struct trace_reader *reader, struct stream *s)
{
    struct ctf *c = reader->own;
    uint64_t start = s->packet_end;
    if (start >= s->size) {
        return 0;
    }
    go_to(s, start);
    ssize_t have = want_bytes(reader, s, c->meta->packet_head);
    if (have < 0) {
        return -1;
    }
    if ((size_t)have < c->meta->packet_head) {
        return damage(reader, s, start,
                      "the file ends inside the head of a packet (needs %u bytes, has %zd)",
                      c->meta->packet_head, have);
    }
    const uint8_t *p = s->window + s->pos;
    if (check_origin(reader, s, p) < 0 || take_context(reader, s, p) < 0 ||
        take_sizes(reader, s, p) < 0) {
        return -1;
    }
    s->pos += c->meta->packet_head;
    return 1;
}

/* --- events --- */

static int ends_inside(struct trace_reader *reader, struct stream *s, uint64_t offset,
                       const char *what)
{
    if (s->cut) {
        return damage(reader, s, offset,
                      "the file ends inside %s (the packet needs %llu more bytes than there are)",
                      what, (unsigned long long)(s->packet_end - s->size));
    }
    return damage(reader, s, offset, "expected %s, found the end of the packet's content", what);
}

/* Looks at the head of the event at pos. */
static int next_event(struct trace_reader *reader, struct stream *s)
{
    struct ctf *c = reader->own;
    const struct ctf_metadata *m = c->meta;
    uint64_t start = position(s);
    ssize_t have = want_bytes(reader, s, m->event_head);
    if (have < 0) {
        return -1;
    }
    if ((size_t)have < m->event_head || s->content_end - start < m->event_head) {
        return ends_inside(reader, s, start, "the id and the time of an event");
    }
    const uint8_t *p = s->window + s->pos;
    uint64_t id = load_slot(m, p, CTF_SLOT_ID), time = load_slot(m, p, CTF_SLOT_TIME);
    if (id >= m->ids || !m->by_id[id]) {
        return damage(reader, s, start + m->slot[CTF_SLOT_ID].offset,
                      "expected the id of an event that the metadata declares, found %llu",
                      (unsigned long long)id);
    }
    if (time < s->time || time > s->last) {
        return damage(reader, s, start + m->slot[CTF_SLOT_TIME].offset,
                      "expected a time from %llu to %llu, found %llu", (unsigned long long)s->time,
                      (unsigned long long)s->last, (unsigned long long)time);
    }
    s->time = time;
    s->event = m->by_id[id];
    s->pos += m->event_head;
    s->due = DUE_EVENT;
    return 1;
}

/* Finds what is due next, behind what pos has passed. 0: the stream has ended. */
static int advance(struct trace_reader *reader, struct stream *s)
{
    struct ctf *c = reader->own;
    while (position(s) >= s->content_end) {
        if (s->cut) {
            return ends_inside(reader, s, s->size, "a packet");
        }
        uint64_t before = s->packet_end;
        int got = next_packet(reader, s);
        if (got <= 0) {
            return got;
        }
        c->done += s->packet_end - before;
        if (s->loss) {
            s->due = DUE_LOSS;
            return 1;
        }
    }
    return next_event(reader, s);
}

/* The text at p: up to its NUL. False if there is none in time. */
static bool take_text(struct ctf *c, unsigned arg, const uint8_t **p, const uint8_t *end)
{
    size_t left = (size_t)(end - *p);
    const uint8_t *nul = memchr(*p, 0, left <= TRACE_STRING_MAX ? left : TRACE_STRING_MAX + 1);
    if (!nul) {
        return false;
    }
    c->values[arg] = (uintptr_t)*p;
    c->lengths[arg] = (uint32_t)(nul - *p);
    *p = nul + 1;
    return true;
}

static int bad_field(struct trace_reader *reader, struct stream *s, const uint8_t *p,
                     const struct ctf_field *f)
{
    uint64_t offset = s->at + (uint64_t)(p - s->window);
    const struct trace_decl *decl = s->event->decl;
    char what[128];
    snprintf(what, sizeof what, "argument '%.40s' of event %.60s", decl->arg[f->arg].name,
             decl->name);
    if (!f->bytes && s->content_end - offset > TRACE_STRING_MAX) {
        return damage(reader, s, offset, "expected a text of at most %d bytes and a NUL as %s",
                      TRACE_STRING_MAX, what);
    }
    return ends_inside(reader, s, offset, what);
}

/* Takes the fields of the event that is due. */
static int take_fields(struct trace_reader *reader, struct stream *s)
{
    enum { FIELDS_MAX = TRACE_VALUES_MAX * (TRACE_STRING_MAX + 1) };
    struct ctf *c = reader->own;
    const struct ctf_event *event = s->event;
    uint64_t left = s->content_end - position(s);
    size_t want = left < FIELDS_MAX ? (size_t)left : FIELDS_MAX;
    ssize_t have = want_bytes(reader, s, event->fixed && event->fixed < want ? event->fixed : want);
    if (have < 0) {
        return -1;
    }
    const uint8_t *p = s->window + s->pos;
    const uint8_t *end = p + ((uint64_t)have < left ? (uint64_t)have : left);
    if (event->fixed && event->fixed <= (size_t)(end - p)) {
        memcpy(c->values, p, event->fixed);
        s->pos += event->fixed;
        return 1;
    }
    for (unsigned i = 0; i < event->nfields; i++) {
        const struct ctf_field *f = &event->field[i];
        if (!f->bytes ? !take_text(c, f->arg, &p, end) : (size_t)(end - p) < f->bytes) {
            return bad_field(reader, s, p, f);
        }
        if (f->bytes) {
            uint64_t value = load(p, f->bytes);
            c->values[f->arg] = f->is_signed ? extend(value, f->bytes) : value;
            p += f->bytes;
        }
    }
    s->pos = (size_t)(p - s->window);
    return 1;
}

/* --- the heap --- */

static bool earlier(const struct stream *a, const struct stream *b)
{
    return a->time != b->time ? a->time < b->time : a->order < b->order;
}

/* Puts the first stream, whose time has grown, where it belongs. */
static void sift_down(struct ctf *c, size_t at)
{
    struct stream *s = c->heap[at];
    for (size_t child = 2 * at + 1; child < c->heaped; child = 2 * at + 1) {
        child += child + 1 < c->heaped && earlier(c->heap[child + 1], c->heap[child]);
        if (!earlier(c->heap[child], s)) {
            break;
        }
        c->heap[at] = c->heap[child];
        at = child;
    }
    c->heap[at] = s;
}

static void drop_first(struct ctf *c)
{
    struct stream *s = c->heap[0];
    free(s->window);
    s->window = NULL;
    s->len = s->pos = 0;
    c->heap[0] = c->heap[--c->heaped];
    if (c->heaped) {
        sift_down(c, 0);
    }
}

/* Moves the first stream on and gives it its new place. */
static void advance_first(struct trace_reader *reader)
{
    struct ctf *c = reader->own;
    if (advance(reader, c->heap[0]) > 0) {
        sift_down(c, 0);
    } else {
        drop_first(c);
    }
}

static void fill(const struct trace_reader *reader, const struct stream *s,
                 struct trace_record *record)
{
    struct ctf *c = reader->own;
    bool loss = s->due == DUE_LOSS;
    *record = (struct trace_record){
        .decl = loss ? &trace_decl_dropped : s->event->decl,
        .event = loss ? c->meta->events : s->event->number,
        .time = s->time,
        .pid = s->pid,
        .thread = s->thread,
        .lost = loss ? s->loss : 0,
        .values = c->values,
        .lengths = c->lengths,
    };
}

static int ctf_next(struct trace_reader *reader, struct trace_record *record)
{
    struct ctf *c = reader->own;
    if (c->current) {
        c->current = NULL;
        advance_first(reader); /* not before: the record pointed into its window */
    }
    while (c->heaped) {
        struct stream *s = c->heap[0];
        if (s->due == DUE_OPENING) {
            advance_first(reader);
        } else if (s->due == DUE_EVENT && take_fields(reader, s) < 0) {
            drop_first(c);
        } else {
            if (s->due == DUE_LOSS) {
                c->values[0] = s->loss;
            }
            fill(reader, s, record);
            c->current = s;
            return 1;
        }
    }
    if (c->damaged > 1) {
        struct error first = reader->error;
        error_set(&reader->error, "%s (%u more of its files are damaged)", first.text,
                  c->damaged - 1);
    }
    return c->damaged ? -1 : 0;
}

/* --- opening --- */

static char *read_metadata(const struct trace_reader *reader, size_t *len, struct error *err)
{
    const struct ctf *c = reader->own;
    struct stat st;
    char *text = NULL;
    int fd = openat(c->directory, "metadata", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0) {
        error_set(err,
                  errno == ENOENT ? "%s: is a directory without a file 'metadata', so it is no CTF "
                                    "recording"
                                  : "%s/metadata: cannot be opened: %s",
                  reader->path, strerror(errno));
    } else if (!S_ISREG(st.st_mode) || st.st_size > METADATA_MAX) {
        error_set(err, "%s/metadata: expected a file of at most %d MiB", reader->path,
                  METADATA_MAX >> 20);
    } else {
        text = mem_alloc((size_t)st.st_size + 1);
        ssize_t n = read_at(c, "metadata", text, (size_t)st.st_size, 0);
        if (n < 0) {
            error_set(err, "%s/metadata: cannot be read: %s", reader->path, strerror(errno));
            free(text);
            text = NULL;
        } else {
            *len = (size_t)n;
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    return text;
}

static bool open_metadata(struct trace_reader *reader, struct error *err)
{
    struct ctf *c = reader->own;
    size_t len;
    char *text = read_metadata(reader, &len, err);
    if (!text) {
        return false;
    }
    static const uint8_t packets[] = {0xc1, 0x1f, 0xd1, 0x75};
    char *path = mem_format("%s/metadata", reader->path);
    if (len >= sizeof packets && !memcmp(text, packets, sizeof packets)) {
        error_set(err,
                  "%s: was written by another tracer (its text is in packets, as LTTng's is): "
                  "only CTF recordings of Vitrine are read here; babeltrace2 reads others",
                  path);
    } else {
        c->meta = ctf_metadata_parse(path, text, len, err);
    }
    free(path);
    free(text);
    return c->meta;
}

/* Adds a file of the directory; false when it is none that holds events. */
static bool add_stream(struct ctf *c, const char *name, struct stream *s)
{
    struct stat st;
    if (name[0] == '.' || !strcmp(name, "metadata") || !strcmp(name, "metadata.new") ||
        fstatat(c->directory, name, &st, 0) != 0 || !S_ISREG(st.st_mode) || !st.st_size) {
        return false;
    }
    *s = (struct stream){.name = mem_string(name), .size = (uint64_t)st.st_size};
    c->total += s->size;

    /* Its first time. Where that cannot be read, it is due at once and will say why. */
    uint8_t head[CTF_PAGE];
    if (read_at(c, name, head, c->meta->packet_head, 0) == (ssize_t)c->meta->packet_head) {
        s->time = load_slot(c->meta, head, CTF_SLOT_BEGIN);
    }
    return true;
}

static int compare_streams(const void *a, const void *b)
{
    return strverscmp(((const struct stream *)a)->name, ((const struct stream *)b)->name);
}

static bool open_streams(struct trace_reader *reader, struct error *err)
{
    struct ctf *c = reader->own;
    int fd = openat(c->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;
    size_t room = 0;
    if (!dir) {
        if (fd >= 0) {
            close(fd);
        }
        return error_set(err, "%s: cannot be read: %s", reader->path, strerror(errno));
    }
    while ((entry = readdir(dir))) {
        if (c->streams == room) {
            room = room * 2 + 16;
            c->stream = mem_resize(c->stream, room, sizeof *c->stream);
        }
        c->streams += add_stream(c, entry->d_name, &c->stream[c->streams]);
    }
    closedir(dir);
    if (c->streams) {
        qsort(c->stream, c->streams, sizeof *c->stream, compare_streams);
    }
    c->heap = mem_alloc((c->streams + 1) * sizeof *c->heap);
    for (size_t i = 0; i < c->streams; i++) {
        c->stream[i].order = (unsigned)i;
        c->heap[i] = &c->stream[i];
    }
    c->heaped = c->streams;
    for (size_t i = c->streams / 2; i-- > 0;) {
        sift_down(c, i);
    }
    return true;
}

static bool ctf_open(struct trace_reader *reader, const struct trace_reader_options *options,
                     struct error *err)
{
    (void)options; /* the declarations are inside */
    struct ctf *c = mem_alloc(sizeof *c);
    reader->own = c;
    c->directory = open(reader->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (c->directory < 0) {
        return error_set(err, "%s: cannot be opened: %s", reader->path, strerror(errno));
    }
    return open_metadata(reader, err) && open_streams(reader, err);
}

static void ctf_close(struct trace_reader *reader)
{
    struct ctf *c = reader->own;
    if (c) {
        for (size_t i = 0; i < c->streams; i++) {
            free(c->stream[i].name);
            free(c->stream[i].window);
        }
        free(c->stream);
        free(c->heap);
        ctf_metadata_free(c->meta);
        if (c->directory >= 0) {
            close(c->directory);
        }
        free(c);
    }
}

static bool ctf_wall_offset(const struct trace_reader *reader, int64_t *offset)
{
    const struct ctf *c = reader->own;
    *offset = c->meta->wall;
    return c->meta->wall_known;
}

static void ctf_progress(const struct trace_reader *reader, uint64_t *done, uint64_t *size)
{
    const struct ctf *c = reader->own;
    *done = c->done < c->total ? c->done : c->total;
    *size = c->total;
}

const struct trace_reader_ops trace_reader_ctf = {
    .format = TRACE_FORMAT_CTF,
    .expected = "a CTF recording (a directory with a file 'metadata')",
    .directory = true,
    .open = ctf_open,
    .next = ctf_next,
    .close = ctf_close,
    .wall_offset = ctf_wall_offset,
    .progress = ctf_progress,
};
