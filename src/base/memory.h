/* SPDX-License-Identifier: MIT
 *
 * Allocation that does not fail: memory for set-up work of bounded size. When the host has none
 * left, the program ends with a sentence. Sizes that foreign bytes decide are bounded by the caller
 * before they come here. Freed with free(). Any thread.
 */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stddef.h>

void *mem_alloc(size_t size);                             /* zeroed */
void *mem_resize(void *block, size_t count, size_t size); /* count * size bytes, checked */
char *mem_string(const char *text);                       /* a copy; NULL gives NULL */
char *mem_stringn(const char *text, size_t length);       /* a copy of length bytes and a NUL */
char *mem_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
