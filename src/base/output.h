/* SPDX-License-Identifier: MIT
 *
 * A buffered stream of bytes to write: standard output ("-"), a file or a pipe; compressed when the
 * name ends in ".zst". Files are created private (mode 0600). The caller need not check each
 * call: the first error is kept and reported by output_close(). One thread at a time.
 */
#ifndef BASE_OUTPUT_H
#define BASE_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"

struct output {
    uint8_t *cur; /* where the next byte goes */
    uint8_t *end; /* the end of the buffer */
    struct output_private *own;
};

/* NULL and a sentence when the file cannot be created. An existing file is truncated. */
struct output *output_open(const char *path, struct error *err);

/* Into memory, up to any size: output_memory_take() gives what was written (free() it) and leaves
 * the stream empty; it is closed like any other. */
struct output *output_memory(void);
void *output_memory_take(struct output *out, size_t *len);

/* Writes what is buffered, closes. False and a sentence when anything since the opening failed
 * ("FILE: No space left on device"). Frees `out` in any case. A closed pipe (EPIPE) is no error for
 * standard output: the reader had enough. */
bool output_close(struct output *out, struct error *err);

/* True, with the sentence, once writing has failed, also when the reader of a pipe went away: for
 * work that should not go on then. `err` may be NULL. */
bool output_failed(const struct output *out, struct error *err);

/* Makes room for `len` bytes at cur (len <= 64 KiB). */
void output_room_slow(struct output *out, size_t len);
static inline uint8_t *output_room(struct output *out, size_t len)
{
    if ((size_t)(out->end - out->cur) < len) {
        output_room_slow(out, len);
    }
    return out->cur;
}

/* Any length. */
void output_add_slow(struct output *out, const void *bytes, size_t len);
static inline void output_add(struct output *out, const void *bytes, size_t len)
{
    if ((size_t)(out->end - out->cur) >= len) {
        memcpy(out->cur, bytes, len);
        out->cur += len;
    } else {
        output_add_slow(out, bytes, len);
    }
}

void output_puts(struct output *out, const char *text);
void output_putc(struct output *out, char c);
void output_printf(struct output *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Number text, fast: 0x and lower-case digits without padding; decimal. */
void output_hex(struct output *out, uint64_t value);
void output_decimal(struct output *out, uint64_t value);

/* Sends what is buffered to the file now. */
void output_flush(struct output *out);

/* Bytes written so far, before compression. */
uint64_t output_offset(const struct output *out);

#endif
