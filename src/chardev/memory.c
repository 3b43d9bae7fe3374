/* SPDX-License-Identifier: MIT
 *
 * Back ends without anything behind them: null, and ringbuf, which keeps the last bytes. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "chardev/internal.h"

const struct chardev_kind chardev_null = {
    .name = "null",
    .options = "",
    .help = "bytes are gone",
    .size = sizeof(struct chardev),
};

enum { RING_SIZE = 65536, RING_SIZE_MAX = 1 << 28 };

struct ring {
    struct chardev chardev;
    uint8_t *bytes;
    size_t size; /* a power of two */
    size_t first, used;
};

static bool ring_open(struct chardev *chardev, const struct option_list *options, struct error *err)
{
    struct ring *ring = (struct ring *)chardev;
    const char *text = chardev_option(options, "size");
    uint64_t size = RING_SIZE;

    if (text && !option_size("size", text, 1, RING_SIZE_MAX, &size, err)) {
        return false;
    }
    if (size & (size - 1)) {
        return error_set(err, "the size of ringbuf chardev must be power of two");
    }
    ring->size = size;
    ring->bytes = mem_alloc(size);
    chardev_set_open(chardev, true);
    return true;
}

static ssize_t ring_write(struct chardev *chardev, const void *bytes, size_t count)
{
    struct ring *ring = (struct ring *)chardev;
    const uint8_t *from = bytes;

    for (size_t i = 0; i < count; i++) {
        ring->bytes[(ring->first + ring->used) % ring->size] = from[i];
        if (ring->used < ring->size) {
            ring->used++;
        } else {
            ring->first = (ring->first + 1) % ring->size;
        }
    }
    return (ssize_t)count;
}

static void ring_close(struct chardev *chardev)
{
    free(((struct ring *)chardev)->bytes);
}

const struct chardev_kind chardev_ringbuf = {
    .name = "ringbuf",
    .options = "size",
    .help = "the last size=BYTES bytes are kept, for the monitor to read",
    .size = sizeof(struct ring),
    .open = ring_open,
    .write = ring_write,
    .close = ring_close,
};

bool chardev_ring_read(struct chardev *chardev, size_t most, struct strbuf *bytes)
{
    struct ring *ring = (struct ring *)chardev;

    if (chardev->kind != &chardev_ringbuf) {
        return false;
    }
    for (; most && ring->used; most--, ring->used--) {
        strbuf_putc(bytes, (char)ring->bytes[ring->first]);
        ring->first = (ring->first + 1) % ring->size;
    }
    return true;
}
