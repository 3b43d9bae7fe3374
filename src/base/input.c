/* SPDX-License-Identifier: MIT
 *
 * Input streams: a window over a file, a pipe or memory.
 *
 * Bytes come from a descriptor or from memory ("raw"). Plain files are read straight into the
 * window; compressed ones pass through a buffer and the decoder. What is compressed is decided by
 * the first four bytes, when the first bytes are asked for. Plain memory is its own window. */
#include "base/input.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "base/memory.h"

enum {
    /* Bytes asked of the system at once: enough to make the call cheap, few enough to stay in the
     * second-level cache between being copied in and being parsed. */
    CHUNK = 128 << 10,
    WINDOW = INPUT_WINDOW_MAX + CHUNK,
    MAGIC_LEN = 4,
    /* The decoder's memory is bounded by the largest distance it accepts: 2^27 bytes. */
    WINDOW_LOG_MAX = 27,
};

static const uint8_t zstd_magic[MAGIC_LEN] = {0x28, 0xb5, 0x2f, 0xfd};

struct input_private {
    struct input in;
    int fd;         /* -1: memory */
    bool close_fd;  /* not for standard input */
    bool started;   /* compressed or not has been decided */
    bool raw_ended; /* the descriptor or the memory has no more */
    bool plain;     /* the descriptor is a regular file at its beginning */
    bool failed;
    bool in_frame;        /* the decoder is inside a compressed frame */
    uint8_t *window;      /* WINDOW bytes; NULL while plain memory is its own window */
    uint64_t base;        /* stream offset of the start of the window */
    const uint8_t *start; /* start of the window: `window` or the plain memory */
    ZSTD_DStream *decoder;
    uint8_t *raw;          /* compressed bytes from the descriptor, CHUNK of them */
    ZSTD_inBuffer pending; /* what the decoder has not consumed yet */
    uint64_t consumed;     /* raw bytes taken */
    uint64_t size;         /* of the raw bytes, 0: not known */
    struct error err;
};

static struct input *input_new(int fd)
{
    struct input_private *own = mem_alloc(sizeof *own);
    own->fd = fd;
    own->in.own = own;
    return &own->in;
}

struct input *input_open(const char *path, struct error *err)
{
    bool standard = !strcmp(path, "-");
    int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) {
        error_set(err, "%s: %s", standard ? "standard input" : path, strerror(errno));
        if (fd >= 0 && !standard) {
            close(fd);
        }
        return NULL;
    }
    if (S_ISDIR(st.st_mode)) {
        error_set(err, "%s: is a directory, expected a file", path);
        if (!standard) {
            close(fd);
        }
        return NULL;
    }
    struct input *in = input_new(fd);
    struct input_private *own = in->own;
    own->close_fd = !standard;
    own->window = mem_resize(NULL, WINDOW, 1);
    own->start = in->cur = in->end = own->window;
    if (S_ISREG(st.st_mode)) {
        off_t at = lseek(fd, 0, SEEK_CUR);
        own->plain = at == 0;
        own->size = (uint64_t)(at > 0 && at <= st.st_size ? st.st_size - at : st.st_size);
    }
    return in;
}

struct input *input_memory(const void *bytes, size_t len)
{
    struct input *in = input_new(-1);
    struct input_private *own = in->own;
    own->size = len;
    own->consumed = len;
    own->raw_ended = true;
    if (len >= MAGIC_LEN && !memcmp(bytes, zstd_magic, MAGIC_LEN)) {
        own->window = mem_resize(NULL, WINDOW, 1);
        own->start = in->cur = in->end = own->window;
        own->pending = (ZSTD_inBuffer){bytes, len, 0};
    } else {
        own->start = in->cur = len ? bytes : (const uint8_t *)"";
        in->end = in->cur + len;
        own->started = true;
    }
    return in;
}

void input_close(struct input *in)
{
    if (!in) {
        return;
    }
    struct input_private *own = in->own;
    if (own->close_fd) {
        close(own->fd);
    }
    ZSTD_freeDStream(own->decoder);
    free(own->window);
    free(own->raw);
    free(own);
}

/* Ends the stream. */
static size_t fail(struct input_private *own, const char *what)
{
    own->failed = true;
    own->raw_ended = true;
    error_set(&own->err, "%s", what);
    return 0;
}

/* Up to `room` bytes of the descriptor; 0 at the end. Waits for the first of them only. */
static size_t read_raw(struct input_private *own, uint8_t *to, size_t room)
{
    while (!own->raw_ended) {
        ssize_t got = read(own->fd, to, room < CHUNK ? room : CHUNK);
        if (got > 0) {
            own->consumed += (uint64_t)got;
            return (size_t)got;
        }
        if (got == 0) {
            own->raw_ended = true;
        } else if (errno == EAGAIN) {
            struct pollfd wait = {.fd = own->fd, .events = POLLIN};
            poll(&wait, 1, -1);
        } else if (errno != EINTR) {
            error_set(&own->err, "cannot be read: %s", strerror(errno));
            own->failed = true;
            own->raw_ended = true;
        }
    }
    return 0;
}

static size_t fail_zstd(struct input_private *own, const char *what)
{
    uint64_t at = own->consumed - (own->pending.size - own->pending.pos);
    error_set(&own->err,
              "the zstd compression is damaged near byte %llu of the compressed file: %s",
              (unsigned long long)at, what);
    own->failed = true;
    own->raw_ended = true;
    return 0;
}

/* Decompresses up to `room` bytes; 0 at the end. */
static size_t read_zstd(struct input_private *own, uint8_t *to, size_t room)
{
    while (!own->failed) {
        if (own->pending.pos == own->pending.size && own->fd >= 0) {
            own->pending = (ZSTD_inBuffer){own->raw, read_raw(own, own->raw, CHUNK), 0};
            if (own->failed) {
                return 0;
            }
        }
        size_t pos = own->pending.pos;
        ZSTD_outBuffer out = {to, room < CHUNK ? room : CHUNK, 0};
        size_t left = ZSTD_decompressStream(own->decoder, &out, &own->pending);
        if (ZSTD_isError(left)) {
            return fail_zstd(own, ZSTD_getErrorName(left));
        }
        if (out.pos || own->pending.pos != pos) {
            own->in_frame = left != 0;
        }
        if (out.pos) {
            return out.pos;
        }
        if (own->pending.pos == own->pending.size && own->raw_ended) {
            return own->in_frame ? fail_zstd(own, "it ends in the middle of a frame") : 0;
        }
    }
    return 0;
}

/* Makes the decoder, with the bytes that came for recognition as its first. */
static void start_decoder(struct input_private *own)
{
    own->decoder = ZSTD_createDStream();
    if (!own->decoder ||
        ZSTD_isError(ZSTD_DCtx_setParameter(own->decoder, ZSTD_d_windowLogMax, WINDOW_LOG_MAX))) {
        fail(own, "cannot be read: no memory for the zstd decoder");
        return;
    }
    if (own->fd >= 0) {
        size_t have = (size_t)(own->in.end - own->in.cur);
        own->raw = mem_resize(NULL, CHUNK, 1);
        memcpy(own->raw, own->in.cur, have);
        own->pending = (ZSTD_inBuffer){own->raw, have, 0};
        own->in.cur = own->in.end = own->window;
    }
}

/* Decides whether the stream is compressed. */
static void start(struct input_private *own)
{
    own->started = true;
    if (own->fd < 0) {
        start_decoder(own);
        return;
    }
    uint8_t *end = own->window;
    size_t got;
    while (end - own->window < MAGIC_LEN &&
           (got = read_raw(own, end, CHUNK - (size_t)(end - own->window))) > 0) {
        end += got;
    }
    own->in.end = end;
    if (end - own->window >= MAGIC_LEN && !memcmp(own->window, zstd_magic, MAGIC_LEN)) {
        start_decoder(own);
    }
}

size_t input_need(struct input *in, size_t want)
{
    struct input_private *own = in->own;
    if (want > INPUT_WINDOW_MAX) {
        bug("input_need: asked for %zu bytes, at most %d fit", want, INPUT_WINDOW_MAX);
    }
    if (!own->started) {
        start(own);
    }
    size_t have = (size_t)(in->end - in->cur);
    if (have >= want || !own->window) {
        return have;
    }
    /* When little is left, moving it costs nothing. When much is left, there is room behind it. */
    if (have < CHUNK || (size_t)(own->window + WINDOW - in->cur) < want) {
        own->base += (uint64_t)(in->cur - own->window);
        memmove(own->window, in->cur, have);
        in->cur = own->window;
        in->end = own->window + have;
    }
    while (have < want && !own->failed) {
        uint8_t *to = own->window + (in->end - own->window);
        size_t room = (size_t)(own->window + WINDOW - to);
        size_t got = own->decoder ? read_zstd(own, to, room) : read_raw(own, to, room);
        if (!got) {
            break;
        }
        in->end += got;
        have += got;
    }
    return have;
}

uint64_t input_offset(const struct input *in)
{
    return in->own->base + (uint64_t)(in->cur - in->own->start);
}

bool input_failed(const struct input *in, struct error *err)
{
    if (in->own->failed && err) {
        *err = in->own->err;
    }
    return in->own->failed;
}

int input_file(const struct input *in)
{
    return in->own->plain && !in->own->decoder ? in->own->fd : -1;
}

void input_progress(const struct input *in, uint64_t *done, uint64_t *size)
{
    const struct input_private *own = in->own;
    *done = own->consumed;
    *size = own->size;
    if (own->fd < 0) {
        *done = own->window ? own->pending.pos : input_offset(in);
    }
}
