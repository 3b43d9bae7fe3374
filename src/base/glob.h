/* SPDX-License-Identifier: MIT
 *
 * Name patterns as QEMU's users write them: `*` any run of characters, `?` one character. Case
 * matters; there are no classes and no escapes. Linear in memory, no recursion. Any thread.
 */
#ifndef BASE_GLOB_H
#define BASE_GLOB_H

#include <stdbool.h>
#include <stddef.h>

/* True if the text holds a wildcard, that is, is a pattern and not a name. */
bool glob_is_pattern(const char *text);

/* True if `name` matches as a whole. */
bool glob_match(const char *pattern, const char *name);

/* The same for texts that carry their length and may hold NULs. */
bool glob_match_bytes(const char *pattern, size_t pattern_len, const char *text, size_t text_len);

#endif
