/* SPDX-License-Identifier: MIT
 *
 * Back ends and their front ends: opening by kind, the queue, the log file. */
#include "chardev/chardev.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "chardev/internal.h"

static const struct chardev_kind *const kinds[] = {
    &chardev_file,   &chardev_null,   &chardev_pipe,  &chardev_pty, &chardev_ringbuf,
    &chardev_serial, &chardev_socket, &chardev_stdio, &chardev_udp,
};
enum { KINDS = sizeof kinds / sizeof kinds[0], FLUSH_MILLISECONDS = 1000 };

/* --- options --- */

const char *chardev_option(const struct option_list *options, const char *key)
{
    const char *value = NULL;

    for (size_t i = 0; i < options->count; i++) {
        const struct option_pair *pair = &options->pair[i];
        if (!strcmp(pair->key, key)) {
            value = pair->value ? pair->value : "on";
        } else if (!pair->value && !strncmp(pair->key, "no", 2) && !strcmp(pair->key + 2, key)) {
            value = "off";
        }
    }
    return value;
}

bool chardev_option_bool(const struct option_list *options, const char *key, bool initial,
                         bool *value, struct error *err)
{
    const char *text = chardev_option(options, key);

    *value = initial;
    return !text || option_bool(key, text, value, err);
}

/* Whether `key` is one of the words. */
static bool is_among(const char *key, const char *words)
{
    size_t length = strlen(key);

    for (const char *at = words; (at = strstr(at, key)); at += length) {
        if ((at == words || at[-1] == ' ') && (!at[length] || at[length] == ' ')) {
            return true;
        }
    }
    return false;
}

static bool check_keys(const struct chardev_kind *kind, const struct option_list *options,
                       struct error *err)
{
    for (size_t i = 0; i < options->count; i++) {
        const char *key = options->pair[i].key;
        bool negated = !options->pair[i].value && !strncmp(key, "no", 2);
        if (!is_among(key, "backend id mux logfile logappend") && !is_among(key, kind->options) &&
            !(negated && is_among(key + 2, kind->options))) {
            return error_set(err,
                             "character back end %s has no option '%s'; it takes id mux "
                             "logfile logappend%s%s",
                             kind->name, key, kind->options[0] ? " " : "", kind->options);
        }
    }
    return true;
}

/* --- back ends --- */

struct chardevs *chardevs_new(struct loop *loop)
{
    struct chardevs *set = mem_alloc(sizeof *set);

    set->loop = loop;
    return set;
}

void chardevs_on_quit(struct chardevs *set, void (*quit)(void *opaque), void *opaque)
{
    set->quit = quit;
    set->quit_opaque = opaque;
}

struct chardev *chardev_find(const struct chardevs *set, const char *id)
{
    struct chardev *chardev = set->first;

    while (chardev && strcmp(chardev->id, id)) {
        chardev = chardev->next;
    }
    return chardev;
}

const char *chardev_id(const struct chardev *chardev)
{
    return chardev->id;
}

bool chardev_is_mux(const struct chardev *chardev)
{
    return chardev->mux != NULL;
}

bool chardev_is_terminal(const struct chardev *chardev)
{
    return chardev->terminal;
}

static void free_one(struct chardev *chardev)
{
    if (chardev->mux) {
        mux_free(chardev->mux);
    }
    if (chardev->kind->close) {
        chardev->kind->close(chardev);
    }
    if (chardev->log) {
        fclose(chardev->log);
    }
    free(chardev->queue);
    free(chardev->where);
    free(chardev->id);
    free(chardev);
}

static const struct chardev_kind *find_kind(const char *name, struct error *err)
{
    struct strbuf known;

    for (size_t i = 0; i < KINDS; i++) {
        if (!strcmp(kinds[i]->name, name)) {
            return kinds[i];
        }
    }
    strbuf_init(&known);
    for (size_t i = 0; i < KINDS; i++) {
        strbuf_printf(&known, " %s", kinds[i]->name);
    }
    error_set(err, "'%s' is not a character back end; there are:%s", name, known.data);
    strbuf_free(&known);
    return NULL;
}

static bool open_log(struct chardev *chardev, const struct option_list *options, struct error *err)
{
    const char *path = chardev_option(options, "logfile");
    bool append;

    if (!chardev_option_bool(options, "logappend", false, &append, err)) {
        return false;
    }
    if (path && !(chardev->log = fopen(path, append ? "ae" : "we"))) {
        return error_set(err, "logfile %s: %s", path, strerror(errno));
    }
    if (chardev->log) {
        setvbuf(chardev->log, NULL, _IONBF, 0);
    }
    return true;
}

static struct chardev *open_parsed(struct chardevs *set, const char *id,
                                   const struct option_list *options, bool mux, struct error *err)
{
    const char *name = chardev_option(options, "backend");
    const struct chardev_kind *kind = find_kind(name ? name : "", err);

    if (!kind || !check_keys(kind, options, err) ||
        !chardev_option_bool(options, "mux", mux, &mux, err)) {
        return NULL;
    }
    struct chardev *chardev = mem_alloc(kind->size);
    chardev->kind = kind;
    chardev->set = set;
    chardev->id = mem_string(id);
    chardev->where = mem_string(kind->name);
    if (mux) {
        chardev->mux = mux_new(chardev);
    }
    if (!open_log(chardev, options, err) || (kind->open && !kind->open(chardev, options, err))) {
        free_one(chardev);
        return NULL;
    }
    struct chardev **last = &set->first;
    while (*last) {
        last = &(*last)->next;
    }
    *last = chardev;
    return chardev;
}

struct chardev *chardev_open(struct chardevs *set, const char *text, struct error *err)
{
    struct option_list options;
    struct chardev *chardev = NULL;

    if (!option_list_parse(&options, text, "backend", err)) {
        return NULL;
    }
    const char *id = chardev_option(&options, "id");
    if (!id || !id[0]) {
        error_set(err, "a character back end needs an id: id=NAME");
    } else if (chardev_find(set, id)) {
        error_set(err, "there is a character back end with the id '%s' already", id);
    } else {
        chardev = open_parsed(set, id, &options, false, err);
    }
    option_list_free(&options);
    return chardev;
}

bool chardev_open_words(struct chardevs *set, const char *id, const char *text,
                        struct chardev **chardev, struct error *err)
{
    struct option_list options;
    struct strbuf words;
    bool mux;

    *chardev = NULL;
    if (!strcmp(text, "none")) {
        return true;
    }
    if (!strncmp(text, "chardev:", 8)) {
        *chardev = chardev_find(set, text + 8);
        return *chardev || error_set(err, "there is no character back end '%s'", text + 8);
    }
    strbuf_init(&words);
    if (chardev_words(text, &words, &mux, err) &&
        option_list_parse(&options, words.data, "backend", err)) {
        *chardev = open_parsed(set, id, &options, mux, err);
        option_list_free(&options);
    }
    strbuf_free(&words);
    return *chardev != NULL;
}

/* What is queued goes out, if it does so soon. */
static void flush(struct chardev *chardev)
{
    uint64_t end = clock_monotonic() + (uint64_t)FLUSH_MILLISECONDS * 1000000u;

    while (chardev->queued && chardev->open) {
        uint64_t now = clock_monotonic();
        if (now >= end || !chardev->kind->wait ||
            !chardev->kind->wait(chardev, (int)((end - now) / 1000000u) + 1)) {
            break;
        }
        chardev_writable(chardev);
    }
}

void chardevs_free(struct chardevs *set)
{
    if (!set) {
        return;
    }
    while (set->first) {
        struct chardev *chardev = set->first;
        flush(chardev);
        if (chardev->front) {
            chardev_detach(chardev->front);
        }
        set->first = chardev->next;
        free_one(chardev);
    }
    free(set);
}

void chardev_print_kinds(struct strbuf *text)
{
    strbuf_puts(text, "Available chardev backend types:\n");
    for (size_t i = 0; i < KINDS; i++) {
        strbuf_printf(text, "  %-8s %s\n", kinds[i]->name, kinds[i]->help);
    }
}

void chardevs_print(const struct chardevs *set, struct strbuf *text)
{
    for (const struct chardev *chardev = set->first; chardev; chardev = chardev->next) {
        strbuf_printf(text, "%s: filename=%s\n", chardev->id,
                      chardev->mux ? "mux" : chardev->where);
    }
}

/* --- front ends --- */

void chardev_tell_front(struct chardev_front *front, enum chardev_event event)
{
    if (event == CHARDEV_OPENED || event == CHARDEV_CLOSED) {
        bool open = event == CHARDEV_OPENED;
        if (front->told_open == open) {
            return;
        }
        front->told_open = open;
    }
    if (front->event) {
        front->event(front->opaque, event);
    }
}

static void look_for_input(struct chardev *chardev)
{
    if (chardev->kind->want_input) {
        chardev->kind->want_input(chardev, chardev_can_receive(chardev) > 0);
    }
}

bool chardev_attach(struct chardev_front *front, struct chardev *chardev, struct error *err)
{
    front->chardev = NULL;
    front->waits = front->told_open = false;
    if (!chardev) {
        return true;
    }
    if (chardev->mux) {
        if (!mux_attach(chardev->mux, front, err)) {
            return false;
        }
    } else if (chardev->front) {
        return error_set(err,
                         "the character back end '%s' is in use; with mux=on several can share it",
                         chardev->id);
    } else {
        chardev->front = front;
    }
    front->chardev = chardev;
    if (chardev->open) {
        chardev_tell_front(front, CHARDEV_OPENED);
    }
    look_for_input(chardev);
    return true;
}

void chardev_detach(struct chardev_front *front)
{
    struct chardev *chardev = front->chardev;

    if (!chardev) {
        return;
    }
    front->chardev = NULL;
    front->waits = false;
    if (chardev->mux) {
        mux_detach(chardev->mux, front);
    } else {
        chardev->front = NULL;
    }
    look_for_input(chardev);
}

void chardev_focus(struct chardev_front *front)
{
    if (front->chardev && front->chardev->mux) {
        mux_focus(front->chardev->mux, front);
    }
}

size_t chardev_write(struct chardev_front *front, const void *bytes, size_t count)
{
    struct chardev *chardev = front->chardev;

    if (!chardev || !count) {
        return count;
    }
    size_t taken =
        chardev->mux ? mux_write(chardev->mux, bytes, count) : chardev_put(chardev, bytes, count);
    front->waits = taken < count;
    return taken;
}

void chardev_accept_input(struct chardev_front *front)
{
    if (!front->chardev) {
        return;
    }
    if (front->chardev->mux) {
        mux_accept_input(front->chardev->mux);
    }
    look_for_input(front->chardev);
}

bool chardev_is_open(const struct chardev_front *front)
{
    return front->chardev && front->chardev->open;
}

/* --- bytes out --- */

/* What is taken, all of it until the queue is full. */
static size_t enqueue(struct chardev *chardev, const uint8_t *bytes, size_t count)
{
    size_t room = CHARDEV_QUEUE_MAX - chardev->queued;

    if (!chardev->queue) {
        chardev->queue = mem_alloc(CHARDEV_QUEUE_MAX);
    }
    count = count < room ? count : room;
    for (size_t i = 0; i < count; i++) {
        chardev->queue[(chardev->queue_first + chardev->queued++) % CHARDEV_QUEUE_MAX] = bytes[i];
    }
    if (chardev->queued && chardev->kind->want_room) {
        chardev->kind->want_room(chardev, true);
    }
    return count;
}

size_t chardev_put(struct chardev *chardev, const void *bytes, size_t count)
{
    const uint8_t *from = bytes;
    size_t taken = 0;

    if (!chardev->kind->write || !chardev->open) {
        taken = count;
    } else if (!chardev->queued) {
        ssize_t n = chardev->kind->write(chardev, from, count);
        taken = n > 0 ? (size_t)n : 0;
        if (!chardev->open) { /* it left at this moment */
            taken = count;
        }
    }
    if (taken < count) {
        taken += enqueue(chardev, from + taken, count - taken);
    }
    /* A log that is full loses what does not fit, and the guest goes on. */
    if (chardev->log && fwrite(from, 1, taken, chardev->log) < taken) {
        clearerr(chardev->log);
    }
    return taken;
}

void chardev_writable(struct chardev *chardev)
{
    while (chardev->queued) {
        size_t count = CHARDEV_QUEUE_MAX - chardev->queue_first;
        count = count < chardev->queued ? count : chardev->queued;
        ssize_t n = chardev->kind->write(chardev, chardev->queue + chardev->queue_first, count);
        if (n <= 0 || !chardev->queued) {
            break;
        }
        chardev->queue_first = (chardev->queue_first + (size_t)n) % CHARDEV_QUEUE_MAX;
        chardev->queued -= (size_t)n;
    }
    if (!chardev->queued && chardev->kind->want_room) {
        chardev->kind->want_room(chardev, false);
    }
    if (chardev->queued > CHARDEV_QUEUE_MAX / 2) {
        return;
    }
    if (chardev->mux) {
        mux_writable(chardev->mux);
    } else if (chardev->front && chardev->front->waits) {
        chardev->front->waits = false;
        if (chardev->front->writable) {
            chardev->front->writable(chardev->front->opaque);
        }
    }
}

/* --- from kinds --- */

void chardev_tell(struct chardev *chardev, enum chardev_event event)
{
    if (chardev->mux) {
        mux_tell(chardev->mux, event);
    } else if (chardev->front) {
        chardev_tell_front(chardev->front, event);
    }
}

void chardev_set_open(struct chardev *chardev, bool open)
{
    if (chardev->open == open) {
        return;
    }
    chardev->open = open;
    if (!open) {
        chardev->queued = 0; /* for somebody who left */
        chardev_writable(chardev);
    }
    chardev_tell(chardev, open ? CHARDEV_OPENED : CHARDEV_CLOSED);
}

size_t chardev_can_receive(struct chardev *chardev)
{
    if (chardev->mux) {
        return mux_can_receive(chardev->mux);
    }
    struct chardev_front *front = chardev->front;
    return front && front->can_receive ? front->can_receive(front->opaque) : 0;
}

void chardev_receive(struct chardev *chardev, const uint8_t *bytes, size_t count)
{
    if (chardev->mux) {
        mux_receive(chardev->mux, bytes, count);
    } else if (chardev->front && chardev->front->receive) {
        chardev->front->receive(chardev->front->opaque, bytes, count);
    }
}
