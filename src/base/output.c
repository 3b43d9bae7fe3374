/* SPDX-License-Identifier: MIT
 *
 * Output streams: a buffer in front of a descriptor, with a compressor between the two when the
 * name asks for one, or a block of memory that grows.
 *
 * After the first error everything is thrown away, so callers need no checks of their own. */
#include "base/output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zstd.h>

#include "base/descriptor.h"
#include "base/digits.h"
#include "base/memory.h"

enum {
    BUFFER = 256 << 10, /* a multiple of what output_room() may ask for */
    ROOM_MAX = 64 << 10,
    LEVEL = 3, /* of compression: fast */
};

struct output_private {
    struct output out;
    char *path;
    int fd;         /* -1: memory */
    bool standard;  /* standard output: not closed, EPIPE is no error */
    bool failed;    /* nothing is written any more */
    bool broken;    /* because the reader of the pipe went away */
    uint8_t *start; /* of the buffer, or of the memory */
    uint64_t sent;  /* bytes that left the buffer */
    ZSTD_CStream *encoder;
    uint8_t *packed; /* compressed bytes on their way to the descriptor */
    size_t packed_size;
    struct error err;
};

static struct output *output_new(int fd, size_t size)
{
    struct output_private *own = mem_alloc(sizeof *own);
    own->fd = fd;
    own->start = mem_resize(NULL, size, 1);
    own->out = (struct output){.cur = own->start, .end = own->start + size, .own = own};
    return &own->out;
}

static bool ends_in_zst(const char *path)
{
    size_t len = strlen(path);
    return len > 4 && !strcmp(path + len - 4, ".zst");
}

struct output *output_open(const char *path, struct error *err)
{
    bool standard = !strcmp(path, "-");
    int fd =
        standard
            ? STDOUT_FILENO
            : descriptor_own(open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0600));
    if (fd < 0) {
        error_set(err, "%s: cannot be created: %s", path, strerror(errno));
        return NULL;
    }
    struct output *out = output_new(fd, BUFFER);
    struct output_private *own = out->own;
    own->standard = standard;
    own->path = mem_string(standard ? "standard output" : path);
    if (!standard && ends_in_zst(path)) {
        own->packed_size = ZSTD_CStreamOutSize();
        own->packed = mem_resize(NULL, own->packed_size, 1);
        own->encoder = ZSTD_createCStream();
        if (!own->encoder ||
            ZSTD_isError(ZSTD_CCtx_setParameter(own->encoder, ZSTD_c_compressionLevel, LEVEL)) ||
            ZSTD_isError(ZSTD_CCtx_setParameter(own->encoder, ZSTD_c_checksumFlag, 1))) {
            bug("zstd refuses compression level %d with a checksum", LEVEL);
        }
    }
    return out;
}

struct output *output_memory(void)
{
    return output_new(-1, 4096);
}

void *output_memory_take(struct output *out, size_t *len)
{
    struct output_private *own = out->own;
    void *bytes = own->start;
    *len = (size_t)(out->cur - own->start);
    own->start = out->cur = out->end = NULL;
    return bytes;
}

static void send(struct output_private *own, const uint8_t *from, size_t len)
{
    while (len && !own->failed) {
        ssize_t done = write(own->fd, from, len);
        if (done >= 0) {
            from += done;
            len -= (size_t)done;
        } else if (errno == EAGAIN) {
            struct pollfd wait = {.fd = own->fd, .events = POLLOUT};
            poll(&wait, 1, -1);
        } else if (errno != EINTR) {
            own->failed = true;
            own->broken = errno == EPIPE;
            error_set(&own->err, "%s: %s", own->path, strerror(errno));
        }
    }
}

static void pack(struct output_private *own, ZSTD_EndDirective end)
{
    ZSTD_inBuffer in = {own->start, (size_t)(own->out.cur - own->start), 0};
    size_t left;
    do {
        ZSTD_outBuffer to = {own->packed, own->packed_size, 0};
        left = ZSTD_compressStream2(own->encoder, &to, &in, end);
        if (ZSTD_isError(left)) {
            own->failed = true;
            error_set(&own->err, "%s: cannot be compressed: %s", own->path,
                      ZSTD_getErrorName(left));
            return;
        }
        send(own, own->packed, to.pos);
    } while (!own->failed && (end == ZSTD_e_continue ? in.pos < in.size : left != 0));
}

/* Empties the buffer of a file. */
static void drain(struct output_private *own, ZSTD_EndDirective end)
{
    size_t len = (size_t)(own->out.cur - own->start);
    if (!own->failed && own->encoder) {
        pack(own, end);
    } else if (!own->failed) {
        send(own, own->start, len);
    }
    own->sent += len;
    own->out.cur = own->start;
}

static void grow(struct output_private *own, size_t len)
{
    size_t used = (size_t)(own->out.cur - own->start);
    size_t size = (size_t)(own->out.end - own->start);
    size_t want = size * 2 > used + len ? size * 2 : used + len + 4096;
    own->start = mem_resize(own->start, want, 1);
    own->out.cur = own->start + used;
    own->out.end = own->start + want;
}

void output_room_slow(struct output *out, size_t len)
{
    if (len > ROOM_MAX) {
        bug("output_room: asked for %zu bytes, at most %d are given", len, ROOM_MAX);
    }
    if (out->own->fd < 0) {
        grow(out->own, len);
    } else {
        drain(out->own, ZSTD_e_continue);
    }
}

void output_add_slow(struct output *out, const void *bytes, size_t len)
{
    const uint8_t *from = bytes;
    while (len) {
        size_t part = len < ROOM_MAX ? len : ROOM_MAX;
        memcpy(output_room(out, part), from, part);
        out->cur += part;
        from += part;
        len -= part;
    }
}

bool output_close(struct output *out, struct error *err)
{
    struct output_private *own = out->own;
    if (own->fd >= 0) {
        drain(own, ZSTD_e_end);
        if (!own->standard && close(own->fd) < 0 && !own->failed) {
            own->failed = true;
            error_set(&own->err, "%s: %s", own->path, strerror(errno));
        }
    }
    bool done = !own->failed || (own->standard && own->broken);
    if (!done && err) {
        *err = own->err;
    }
    ZSTD_freeCStream(own->encoder);
    free(own->packed);
    free(own->path);
    free(own->start);
    free(own);
    return done;
}

bool output_failed(const struct output *out, struct error *err)
{
    if (out->own->failed && err) {
        *err = out->own->err;
    }
    return out->own->failed;
}

void output_puts(struct output *out, const char *text)
{
    output_add(out, text, strlen(text));
}

void output_putc(struct output *out, char c)
{
    *output_room(out, 1) = (uint8_t)c;
    out->cur++;
}

void output_printf(struct output *out, const char *format, ...)
{
    char text[512];
    va_list ap, again;
    va_start(ap, format);
    va_copy(again, ap);
    int len = vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (len > 0 && (size_t)len < sizeof text) {
        output_add(out, text, (size_t)len);
    } else if (len > 0) {
        char *whole = mem_resize(NULL, (size_t)len + 1, 1);
        vsnprintf(whole, (size_t)len + 1, format, again);
        output_add(out, whole, (size_t)len);
        free(whole);
    }
    va_end(again);
}

void output_hex(struct output *out, uint64_t value)
{
    out->cur = digits_hex(output_room(out, DIGITS_ROOM), value);
}

void output_decimal(struct output *out, uint64_t value)
{
    out->cur = digits_decimal(output_room(out, DIGITS_ROOM), value);
}

void output_flush(struct output *out)
{
    if (out->own->fd >= 0) {
        drain(out->own, ZSTD_e_flush);
    }
}

uint64_t output_offset(const struct output *out)
{
    return out->own->sent + (uint64_t)(out->cur - out->own->start);
}
