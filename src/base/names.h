/* SPDX-License-Identifier: MIT
 *
 * A set of names that are numbered from 0 in the order in which they come. Adding one takes the
 * same time however many there are. The texts are copied. One thread at a time.
 */
#ifndef BASE_NAMES_H
#define BASE_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All zeros is an empty set. The fields may be read. */
struct names {
    char **row; /* by number */
    size_t count;
    uint32_t *slot; /* hash table: number + 1, 0: free */
    size_t slots;   /* a power of two, at least twice the count; 0 at first */
};

/* The number of a name; `fresh` is set to whether it was added now. */
size_t names_add(struct names *names, const char *name, bool *fresh);

void names_free(struct names *names); /* leaves it empty */

#endif
