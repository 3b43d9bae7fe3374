/* SPDX-License-Identifier: MIT
 *
 * Character back ends: where the bytes of serial ports, debug consoles and monitors go, and where
 * they come from. They are opened with the words of -serial and -chardev.
 *
 * A front end (a device, a monitor) attaches to one back end; a back end has one front end, except
 * for a multiplexer (`mux=on`, `mon:`), which has several and one that the input goes to. Bytes out
 * are written at once where that is possible without waiting, else kept in a queue of bounded size;
 * when that is full, the front end is told how much was taken, and later that there is room again.
 * Nobody waits for a slow reader.
 *
 * Everything here is called with the loop's lock held (loop.h), and calls front ends so: on the
 * loop's thread, or inside of a call of theirs.
 *
 * Read in this order: this header, internal.h, chardev.c (front ends, queues), options.c (words),
 * stream.c (descriptors: stdio, file, pipe, pty), socket.c, mux.c, memory.c (null, ringbuf),
 * terminal.c.
 */
#ifndef CHARDEV_CHARDEV_H
#define CHARDEV_CHARDEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct chardev;
struct chardevs; /* the back ends of a machine, by id */
struct loop;
struct strbuf;

enum chardev_event {
    CHARDEV_OPENED,  /* somebody is at the other end */
    CHARDEV_CLOSED,  /* nobody is any more */
    CHARDEV_BREAK,   /* the user sends a break */
    CHARDEV_MUX_IN,  /* of a multiplexer: input comes here from now on */
    CHARDEV_MUX_OUT, /* it goes elsewhere */
};

/* One user of a back end; lies in the memory of whoever it is. The functions may be NULL. */
struct chardev_front {
    /* How many bytes receive() would take now. 0: chardev_accept_input() comes later. */
    size_t (*can_receive)(void *opaque);
    /* Never more than can_receive() said. */
    void (*receive)(void *opaque, const uint8_t *bytes, size_t count);
    void (*event)(void *opaque, enum chardev_event event);
    /* There is room again, after chardev_write() took less than it was given. */
    void (*writable)(void *opaque);
    void *opaque;
    struct chardev *chardev; /* NULL: not attached. The room's, as what follows */
    bool waits;              /* for writable() */
    bool told_open;
};

struct chardevs *chardevs_new(struct loop *loop);
/* Front ends are detached, what is queued is written as far as that takes no more than a second,
 * and terminals are as they were. */
void chardevs_free(struct chardevs *set);

/* What Ctrl-A x of a multiplexer does. */
void chardevs_on_quit(struct chardevs *set, void (*quit)(void *opaque), void *opaque);

/* -chardev: "socket,id=mon0,path=/tmp/x,server=on,wait=off". NULL and a sentence. */
struct chardev *chardev_open(struct chardevs *set, const char *text, struct error *err);

/* -serial, -monitor, -debugcon: "stdio", "mon:stdio", "tcp::4444,server,nowait", "chardev:ID" ...;
 * `id` is what a new one is called. *chardev is NULL for "none". */
bool chardev_open_words(struct chardevs *set, const char *id, const char *text,
                        struct chardev **chardev, struct error *err);

/* NULL: there is none. */
struct chardev *chardev_find(const struct chardevs *set, const char *id);

const char *chardev_id(const struct chardev *chardev);
bool chardev_is_mux(const struct chardev *chardev);
/* Whether a terminal is there, where lines are edited: stdio on one, pty, serial lines, telnet. */
bool chardev_is_terminal(const struct chardev *chardev);

/* `help` of -chardev; `info chardev`, in QEMU's shape. */
void chardev_print_kinds(struct strbuf *text);
void chardevs_print(const struct chardevs *set, struct strbuf *text);

/* Attaches a front end, whose functions and opaque are set. It is told CHARDEV_OPENED if somebody
 * is there. A sentence if another is attached. `chardev` may be NULL (nobody listens, nothing
 * comes). */
bool chardev_attach(struct chardev_front *front, struct chardev *chardev, struct error *err);
void chardev_detach(struct chardev_front *front);

/* Input of the multiplexer comes here. Without effect where there is none. */
void chardev_focus(struct chardev_front *front);

/* Returns how many bytes were taken: all, or fewer when the queue is full. Without a back end, or
 * while nobody is connected, all are (and are gone). */
size_t chardev_write(struct chardev_front *front, const void *bytes, size_t count);

/* can_receive() has become more than 0. */
void chardev_accept_input(struct chardev_front *front);

/* Whether somebody is at the other end: for modem lines. */
bool chardev_is_open(const struct chardev_front *front);

/* The bytes that a ringbuf holds, at most `most` of them, which it then holds no more; false if the
 * back end is of another kind. */
bool chardev_ring_read(struct chardev *chardev, size_t most, struct strbuf *bytes);

#endif
