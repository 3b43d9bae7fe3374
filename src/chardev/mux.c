/* SPDX-License-Identifier: MIT
 *
 * The multiplexer: several front ends on one back end. What they write goes out together; input
 * goes to one of them, and Ctrl-A is the key that changes which. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/memory.h"
#include "chardev/internal.h"

enum { ESCAPE = 1 };

/* Input that a front end has no room for yet. It is this one's, whoever the focus goes to. */
struct kept {
    uint8_t bytes[CHARDEV_READ_SIZE];
    size_t first, count;
};

struct mux {
    struct chardev *chardev;
    struct chardev_front *front[CHARDEV_FRONTS_MAX];
    struct kept kept[CHARDEV_FRONTS_MAX];
    unsigned count, focus;
    bool escape; /* the key came; what next? */
    bool stamps, line_begun;
    uint64_t began; /* when stamps were switched on */
};

struct mux *mux_new(struct chardev *chardev)
{
    struct mux *mux = mem_alloc(sizeof *mux);

    mux->chardev = chardev;
    return mux;
}

void mux_free(struct mux *mux)
{
    while (mux->count) {
        chardev_detach(mux->front[0]);
    }
    free(mux);
}

bool mux_attach(struct mux *mux, struct chardev_front *front, struct error *err)
{
    if (mux->count == CHARDEV_FRONTS_MAX) {
        return error_set(err, "the character back end '%s' is shared by %d already",
                         mux->chardev->id, CHARDEV_FRONTS_MAX);
    }
    mux->kept[mux->count] = (struct kept){.first = 0};
    mux->front[mux->count++] = front;
    chardev_tell_front(front, mux->count == 1 ? CHARDEV_MUX_IN : CHARDEV_MUX_OUT);
    return true;
}

void mux_detach(struct mux *mux, struct chardev_front *front)
{
    for (unsigned i = 0; i < mux->count; i++) {
        if (mux->front[i] == front) {
            memmove(&mux->front[i], &mux->front[i + 1],
                    (mux->count - i - 1) * sizeof mux->front[0]);
            memmove(&mux->kept[i], &mux->kept[i + 1], (mux->count - i - 1) * sizeof mux->kept[0]);
            mux->count--;
            if (mux->focus > i || mux->focus == mux->count) {
                mux->focus -= mux->focus > 0;
            }
            return;
        }
    }
}

static void set_focus(struct mux *mux, unsigned number)
{
    if (number >= mux->count || number == mux->focus) {
        return;
    }
    chardev_tell_front(mux->front[mux->focus], CHARDEV_MUX_OUT);
    mux->focus = number;
    chardev_tell_front(mux->front[mux->focus], CHARDEV_MUX_IN);
    mux_accept_input(mux);
}

void mux_focus(struct mux *mux, struct chardev_front *front)
{
    for (unsigned i = 0; i < mux->count; i++) {
        if (mux->front[i] == front) {
            set_focus(mux, i);
            return;
        }
    }
}

/* --- input --- */

static size_t room_of(const struct chardev_front *front)
{
    return front->can_receive ? front->can_receive(front->opaque) : 0;
}

/* Keys of the multiplexer are heard though the guest does not listen; so there is room as long as
 * some can be kept. */
size_t mux_can_receive(struct mux *mux)
{
    return mux->count ? sizeof mux->kept->bytes - mux->kept[mux->focus].count : 0;
}

/* False: nothing was taken. */
static bool give_kept(struct chardev_front *front, struct kept *kept)
{
    size_t room = kept->count ? room_of(front) : 0, count = sizeof kept->bytes - kept->first;

    count = count < kept->count ? count : kept->count;
    count = count < room ? count : room;
    if (count) {
        const uint8_t *bytes = kept->bytes + kept->first;
        kept->first = (kept->first + count) % sizeof kept->bytes;
        kept->count -= count;
        front->receive(front->opaque, bytes, count);
    }
    return count;
}

void mux_accept_input(struct mux *mux)
{
    for (unsigned i = 0; i < mux->count; i++) {
        while (i < mux->count && give_kept(mux->front[i], &mux->kept[i])) {
        }
    }
}

static void give(struct mux *mux, uint8_t byte)
{
    if (!mux->count) {
        return;
    }
    struct chardev_front *front = mux->front[mux->focus];
    struct kept *kept = &mux->kept[mux->focus];

    if (!kept->count && room_of(front)) {
        front->receive(front->opaque, &byte, 1);
    } else if (kept->count < sizeof kept->bytes) {
        kept->bytes[(kept->first + kept->count++) % sizeof kept->bytes] = byte;
    }
}

static void say(struct mux *mux, const char *text)
{
    chardev_put(mux->chardev, text, strlen(text));
}

static void key(struct mux *mux, uint8_t byte)
{
    struct chardevs *set = mux->chardev->set;

    switch (byte) {
    case ESCAPE: give(mux, byte); break;
    case 'h':
    case '?':
        say(mux, "\n\r"
                 "C-a h    print this help\n\r"
                 "C-a x    exit emulator\n\r"
                 "C-a t    toggle console timestamps\n\r"
                 "C-a b    send break (magic sysrq)\n\r"
                 "C-a c    switch between console and monitor\n\r"
                 "C-a C-a  sends C-a\n\r");
        break;
    case 'x':
        say(mux, "Vitrine: Terminated\n\r");
        if (set->quit) {
            set->quit(set->quit_opaque);
        }
        break;
    case 'b':
        if (mux->count) {
            chardev_tell_front(mux->front[mux->focus], CHARDEV_BREAK);
        }
        break;
    case 'c': set_focus(mux, mux->count ? (mux->focus + 1) % mux->count : 0); break;
    case 't':
        mux->stamps = !mux->stamps;
        mux->began = clock_monotonic();
        mux->line_begun = false;
        break;
    default: break;
    }
}

void mux_receive(struct mux *mux, const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (mux->escape) {
            mux->escape = false;
            key(mux, bytes[i]);
        } else if (bytes[i] == ESCAPE) {
            mux->escape = true;
        } else {
            give(mux, bytes[i]);
        }
    }
}

/* --- events, output --- */

void mux_tell(struct mux *mux, enum chardev_event event)
{
    for (unsigned i = 0; i < mux->count; i++) {
        chardev_tell_front(mux->front[i], event);
    }
}

void mux_writable(struct mux *mux)
{
    for (unsigned i = 0; i < mux->count; i++) {
        struct chardev_front *front = mux->front[i];
        if (front->waits) {
            front->waits = false;
            if (front->writable) {
                front->writable(front->opaque);
            }
        }
    }
}

static void stamp(struct mux *mux)
{
    uint64_t ms = (clock_monotonic() - mux->began) / 1000000u;
    char *text = mem_format("[%02u:%02u:%02u.%03u] ", (unsigned)(ms / 3600000u),
                            (unsigned)(ms / 60000u % 60), (unsigned)(ms / 1000u % 60),
                            (unsigned)(ms % 1000u));

    say(mux, text);
    free(text);
}

size_t mux_write(struct mux *mux, const uint8_t *bytes, size_t count)
{
    if (!mux->stamps) {
        return chardev_put(mux->chardev, bytes, count);
    }
    for (size_t i = 0; i < count; i++) {
        if (!mux->line_begun) {
            stamp(mux);
            mux->line_begun = true;
        }
        if (!chardev_put(mux->chardev, bytes + i, 1)) {
            return i;
        }
        mux->line_begun = bytes[i] != '\n';
    }
    return count;
}
