/* SPDX-License-Identifier: MIT
 *
 * Arguments that lead to memory: strings, data, vectors. What cannot be read is an address. */
#include "syscall/internal.h"

#include <string.h>

enum {
    STRING_SHOWN = SYSCALL_STRING_SHOWN,
    BUFFER_SHOWN = 32,  /* of data */
    STRINGS_SHOWN = 16, /* of argv */
    VECTORS_SHOWN = 8,
};

size_t syscall_read(const struct syscall_decoder *d, uint64_t address, void *to, size_t size)
{
    const struct syscall_memory *memory = d->memory;
    bool asks = size && memory && memory->read;
    size_t there = asks ? memory->read(memory->opaque, address, to, size) : 0;

    return there < size ? there : size;
}

static size_t read_text(const struct syscall_decoder *d, uint64_t address, char *to, size_t size)
{
    const struct syscall_memory *memory = d->memory;
    size_t there = memory && memory->text ? memory->text(memory->opaque, address, to, size) : 0;

    return there < size ? there : size;
}

bool syscall_fetch(const struct syscall_decoder *d, uint64_t address, void *to, size_t size)
{
    return syscall_read(d, address, to, size) == size;
}

bool syscall_fetch_own(struct syscall_decoder *d, void *to, size_t size)
{
    if (syscall_own(d) && syscall_fetch(d, syscall_own(d), to, size)) {
        return true;
    }
    syscall_show_pointer(d);
    return false;
}

bool syscall_fetch_written(struct syscall_decoder *d, void *to, size_t size)
{
    if (!syscall_written(d)) {
        syscall_show_pointer(d);
        return false;
    }
    return syscall_fetch_own(d, to, size);
}

void syscall_add_quoted(struct strbuf *to, const char *bytes, size_t size, bool cut)
{
    static const char plain[] = "\a\b\t\n\v\f\r\"\\", letter[] = "abtnvfr\"\\";

    strbuf_putc(to, '"');
    for (size_t i = 0; i < size; i++) {
        const char *known = bytes[i] ? strchr(plain, bytes[i]) : NULL;
        if (known) {
            strbuf_printf(to, "\\%c", letter[known - plain]);
        } else if (bytes[i] >= ' ' && bytes[i] <= '~') {
            strbuf_putc(to, bytes[i]);
        } else {
            strbuf_printf(to, "\\%03o", (unsigned char)bytes[i]);
        }
    }
    strbuf_puts(to, cut ? "\"..." : "\"");
}

static void add_string(const struct syscall_decoder *d, uint64_t address)
{
    char text[STRING_SHOWN];
    size_t there = address ? read_text(d, address, text, sizeof text) : 0;
    const char *end = memchr(text, 0, there);

    if (there == 0) {
        syscall_add_pointer(d->to, address);
    } else {
        syscall_add_quoted(d->to, text, end ? (size_t)(end - text) : there, !end);
    }
}

static void add_bytes(const struct syscall_decoder *d, uint64_t address, uint64_t size)
{
    char bytes[BUFFER_SHOWN];
    size_t shown = size < sizeof bytes ? size : sizeof bytes;
    size_t there = address ? syscall_read(d, address, bytes, shown) : 0;

    if (there < shown || !address) {
        syscall_add_pointer(d->to, address);
    } else {
        syscall_add_quoted(d->to, bytes, there, size > there);
    }
}

void syscall_show_string(struct syscall_decoder *d)
{
    add_string(d, syscall_own(d));
}

void syscall_show_strings(struct syscall_decoder *d)
{
    uint64_t address[STRINGS_SHOWN];
    size_t there = syscall_own(d) ? syscall_read(d, syscall_own(d), address, sizeof address) : 0;
    unsigned count = (unsigned)(there / sizeof *address), i = 0;

    if (!count) {
        syscall_show_pointer(d);
        return;
    }
    strbuf_putc(d->to, '{');
    for (; i < count && address[i]; i++) {
        strbuf_puts(d->to, i ? "," : "");
        add_string(d, address[i]);
    }
    strbuf_puts(d->to, i == STRINGS_SHOWN ? ",...}" : "}");
}

/* How many addresses there are before the first that is NULL or cannot be read. */
static unsigned count_strings(const struct syscall_decoder *d)
{
    enum { COUNTED = 100000 };
    uint64_t address[SYSCALL_READ_MAX / sizeof(uint64_t)];
    unsigned sum = 0, i = 0, count;

    do {
        uint64_t from = syscall_own(d) + sum * sizeof *address;
        count = (unsigned)(syscall_read(d, from, address, sizeof address) / sizeof *address);
        for (i = 0; i < count && address[i]; i++) {
            sum++;
        }
    } while (i && i * sizeof *address == sizeof address && sum < COUNTED);
    return sum;
}

void syscall_show_strings_count(struct syscall_decoder *d)
{
    uint64_t first;

    syscall_show_pointer(d);
    if (syscall_own(d) && syscall_fetch(d, syscall_own(d), &first, sizeof first)) {
        strbuf_printf(d->to, " /* %u vars */", count_strings(d));
    }
}

void syscall_show_buffer_in(struct syscall_decoder *d)
{
    add_bytes(d, syscall_own(d), syscall_arg(d, d->i + 1));
}

void syscall_show_buffer_out(struct syscall_decoder *d)
{
    if (syscall_written(d)) {
        add_bytes(d, syscall_own(d), (uint64_t)*d->result);
    } else {
        syscall_show_pointer(d);
    }
}

/* `size`: bytes in all that count. */
static void add_vectors(struct syscall_decoder *d, uint64_t size)
{
    uint64_t vector[VECTORS_SHOWN][2], count = syscall_arg(d, d->i + 1);
    uint64_t shown = count < VECTORS_SHOWN ? count : VECTORS_SHOWN;
    size_t there = shown ? syscall_read(d, syscall_own(d), vector, shown * sizeof *vector) : 0;

    if (shown && there < sizeof *vector) {
        syscall_show_pointer(d);
        return;
    }
    shown = there / sizeof *vector;
    strbuf_putc(d->to, '[');
    for (unsigned i = 0; i < shown; i++) {
        uint64_t length = vector[i][1] < size ? vector[i][1] : size;
        strbuf_puts(d->to, i ? ",{" : "{");
        add_bytes(d, vector[i][0], length);
        strbuf_printf(d->to, ",%lu}", (unsigned long)vector[i][1]);
        size -= length;
    }
    strbuf_puts(d->to, shown < count ? ",...]" : "]");
}

void syscall_show_iov_in(struct syscall_decoder *d)
{
    add_vectors(d, UINT64_MAX);
}

void syscall_show_iov_out(struct syscall_decoder *d)
{
    if (syscall_written(d)) {
        add_vectors(d, (uint64_t)*d->result);
    } else {
        syscall_show_pointer(d);
    }
}
