/* SPDX-License-Identifier: MIT
 *
 * A stream of bytes to parse: a file, a pipe or standard input, decompressed on the way when it
 * begins with zstd's magic number. Reading never needs more memory than the window, whatever the
 * length of the file. One thread at a time.
 */
#ifndef BASE_INPUT_H
#define BASE_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { INPUT_WINDOW_MAX = 1 << 20 }; /* the most that input_need() can be asked for */

struct input {
    /* The bytes that are ready: [cur, end). A parser may take bytes by moving cur forward. */
    const uint8_t *cur;
    const uint8_t *end;
    struct input_private *own;
};

/* "-" is standard input. NULL and a sentence when the file cannot be opened. */
struct input *input_open(const char *path, struct error *err);

/* Over memory that the caller keeps alive (tests, fuzz targets). zstd is recognised here too. */
struct input *input_memory(const void *bytes, size_t len);
void input_close(struct input *in); /* NULL is fine */

/* Tries to have at least `want` bytes ready (want <= INPUT_WINDOW_MAX) and returns how many are:
 * fewer only at the end of the stream or behind damage. Moves the bytes, so pointers into the
 * window are invalid afterwards; when enough are ready nothing happens. */
size_t input_need(struct input *in, size_t want);

/* Offset of cur from the start of the (decompressed) stream. */
uint64_t input_offset(const struct input *in);

/* False while all is well. True when the stream ended because of a read error or damaged
 * compression; then `err` tells which. */
bool input_failed(const struct input *in, struct error *err);

/* The descriptor, where the stream is what pread() finds there: a plain file, not compressed, read
 * from its beginning. Else -1. It stays the stream's. To be asked after the first input_need(). */
int input_file(const struct input *in);

/* Bytes of the underlying file consumed, and its size or 0 when that is not known. */
void input_progress(const struct input *in, uint64_t *done, uint64_t *size);

#endif
