/* SPDX-License-Identifier: MIT
 *
 * Allocation that ends the program when there is no memory. */
#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *or_die(void *block, size_t size)
{
    if (!block) {
        fprintf(stderr, "out of memory: the host could not give %zu bytes\n", size);
        exit(1);
    }
    return block;
}

void *mem_alloc(size_t size)
{
    return or_die(calloc(1, size ? size : 1), size);
}

void *mem_resize(void *block, size_t count, size_t size)
{
    return or_die(reallocarray(block, count ? count : 1, size), count * size);
}

char *mem_stringn(const char *text, size_t length)
{
    char *copy = mem_alloc(length + 1);
    memcpy(copy, text, length);
    return copy;
}

char *mem_string(const char *text)
{
    return text ? mem_stringn(text, strlen(text)) : NULL;
}

char *mem_format(const char *format, ...)
{
    char *text;
    va_list ap;
    va_start(ap, format);
    if (vasprintf(&text, format, ap) < 0) {
        text = NULL;
    }
    va_end(ap);
    return or_die(text, 0);
}
