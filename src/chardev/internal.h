/* SPDX-License-Identifier: MIT
 *
 * What the files of the room share: a back end from inside. */
#ifndef CHARDEV_INTERNAL_H
#define CHARDEV_INTERNAL_H

#include <stdio.h>
#include <sys/types.h>

#include "base/loop.h"
#include "base/option.h"
#include "base/strbuf.h"
#include "chardev/chardev.h"

enum {
    CHARDEV_QUEUE_MAX = 1 << 20, /* bytes that wait for a slow reader */
    CHARDEV_FRONTS_MAX = 8,      /* of a multiplexer */
    CHARDEV_READ_SIZE = 4096,
};

/* A kind of back end: one row of the table in chardev.c. */
struct chardev_kind {
    const char *name;
    const char *options; /* keys that it takes beside id, mux, logfile, logappend; with spaces */
    const char *help;
    size_t size; /* of its struct, which begins with struct chardev */
    bool (*open)(struct chardev *chardev, const struct option_list *options, struct error *err);
    /* How many bytes it took; -1: not now, writable() is called later. Never waits. NULL: all. */
    ssize_t (*write)(struct chardev *chardev, const void *bytes, size_t count);
    /* Waits for room, or does not any more. */
    void (*want_room)(struct chardev *chardev, bool wanted);
    /* The front end takes input, or does not. */
    void (*want_input)(struct chardev *chardev, bool wanted);
    void (*close)(struct chardev *chardev); /* undoes open(), also half of one */
    /* Waits until there may be room, for at most so many milliseconds; false: no use. */
    bool (*wait)(struct chardev *chardev, int milliseconds);
};

extern const struct chardev_kind chardev_null, chardev_ringbuf, chardev_stdio, chardev_file,
    chardev_pipe, chardev_pty, chardev_serial, chardev_socket, chardev_udp;

struct chardev {
    const struct chardev_kind *kind;
    struct chardevs *set;
    char *id;
    char *where;    /* as `info chardev` shows it: "pty:/dev/pts/3" */
    bool open;      /* somebody is at the other end */
    bool terminal;  /* of one */
    uint8_t *queue; /* a ring of CHARDEV_QUEUE_MAX bytes; NULL: never needed */
    size_t queue_first, queued;
    FILE *log;
    struct mux *mux;             /* NULL: none */
    struct chardev_front *front; /* of one that is no multiplexer */
    struct chardev *next;
};

struct chardevs {
    struct loop *loop;
    struct chardev *first;
    void (*quit)(void *opaque);
    void *quit_opaque;
};

/* The value of a key, the last one; NULL: it was not given. */
const char *chardev_option(const struct option_list *options, const char *key);
/* on or off; a key without a value is on. */
bool chardev_option_bool(const struct option_list *options, const char *key, bool initial,
                         bool *value, struct error *err);

/* options.c: the words of -serial as those of -chardev: `kind` and the rest. */
bool chardev_words(const char *text, struct strbuf *options, bool *mux, struct error *err);

/* --- from kinds --- */

/* Somebody came or left. */
void chardev_set_open(struct chardev *chardev, bool open);
/* How many bytes may be read now. */
size_t chardev_can_receive(struct chardev *chardev);
void chardev_receive(struct chardev *chardev, const uint8_t *bytes, size_t count);
/* There is room: what is queued is written. */
void chardev_writable(struct chardev *chardev);
void chardev_tell(struct chardev *chardev, enum chardev_event event);

/* --- within the room --- */

void chardev_tell_front(struct chardev_front *front, enum chardev_event event);
/* Into the queue, behind the log. */
size_t chardev_put(struct chardev *chardev, const void *bytes, size_t count);

/* stream.c: a back end of two descriptors. A kind's struct begins with one. */
struct stream {
    struct chardev chardev;
    int in, out; /* -1: none. Never the same */
    struct loop_watch *in_watch, *out_watch;
    bool is_socket, careful; /* careful: writes might wait, so they are asked for first */
    bool running;
    /* Of input, before the front end sees it; how many bytes are left. NULL: all. */
    size_t (*filter)(struct stream *stream, uint8_t *bytes, size_t count);
    /* The other end is gone. NULL: there is no more input, that is all. */
    void (*ended)(struct stream *stream);
};

/* Takes the descriptors over, also when it fails. The back end is open then. */
bool stream_start(struct stream *stream, int in, int out, struct error *err);
void stream_stop(struct stream *stream);
ssize_t stream_write(struct chardev *chardev, const void *bytes, size_t count);
void stream_want_room(struct chardev *chardev, bool wanted);
void stream_want_input(struct chardev *chardev, bool wanted);
bool stream_wait(struct chardev *chardev, int milliseconds);
void stream_close(struct chardev *chardev);

/* mux.c */
struct mux *mux_new(struct chardev *chardev);
void mux_free(struct mux *mux);
bool mux_attach(struct mux *mux, struct chardev_front *front, struct error *err);
void mux_detach(struct mux *mux, struct chardev_front *front);
void mux_focus(struct mux *mux, struct chardev_front *front);
size_t mux_can_receive(struct mux *mux);
void mux_receive(struct mux *mux, const uint8_t *bytes, size_t count);
void mux_accept_input(struct mux *mux);
void mux_tell(struct mux *mux, enum chardev_event event);
void mux_writable(struct mux *mux);
size_t mux_write(struct mux *mux, const uint8_t *bytes, size_t count);

/* terminal.c */

/* Raw mode of the terminal; with `signals` Ctrl-C and the like are still signals. It is given back
 * at exit, by terminal_restore(), and by the signals that end the process or stop it. False: it is
 * no terminal. One at a time in a process. */
bool terminal_raw(int fd, bool signals);
void terminal_restore(void);

#endif
