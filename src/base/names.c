/* SPDX-License-Identifier: MIT
 *
 * Numbered names: rows in order, and an open hash table of their numbers. */
#include "base/names.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

static size_t hash(const char *name)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (const unsigned char *p = (const unsigned char *)name; *p; p++) {
        h = (h ^ *p) * UINT64_C(0x100000001b3);
    }
    return (size_t)(h ^ h >> 32);
}

/* The slot that holds the name, or the free one where it belongs. */
static uint32_t *find_slot(const struct names *names, const char *name)
{
    size_t at = hash(name) & (names->slots - 1);
    while (names->slot[at] && strcmp(names->row[names->slot[at] - 1], name) != 0) {
        at = (at + 1) & (names->slots - 1);
    }
    return &names->slot[at];
}

static void grow(struct names *names)
{
    names->slots = names->slots ? 2 * names->slots : 64;
    names->row = mem_resize(names->row, names->slots / 2, sizeof *names->row);
    free(names->slot);
    names->slot = mem_alloc(names->slots * sizeof *names->slot);
    for (size_t i = 0; i < names->count; i++) {
        *find_slot(names, names->row[i]) = (uint32_t)i + 1;
    }
}

size_t names_add(struct names *names, const char *name, bool *fresh)
{
    if (2 * (names->count + 1) > names->slots) {
        grow(names);
    }
    uint32_t *slot = find_slot(names, name);
    *fresh = *slot == 0;
    if (*fresh) {
        names->row[names->count] = mem_string(name);
        *slot = (uint32_t)++names->count;
    }
    return *slot - 1;
}

void names_free(struct names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        free(names->row[i]);
    }
    free(names->row);
    free(names->slot);
    *names = (struct names){0};
}
