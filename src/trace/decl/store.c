/* SPDX-License-Identifier: MIT
 *
 * The memory behind a list of declarations: blocks that are freed together, the rows, a hash table
 * of event names and the sets of words. */
#include "trace/decl/internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { BLOCK = 64 << 10 };

struct block {
    struct block *next;
    size_t used, size;
    _Alignas(16) char bytes[];
};

struct trace_decls_private {
    struct block *blocks;
    size_t room;    /* rows allocated */
    uint32_t *slot; /* row number + 1, 0: free */
    size_t slots;   /* a power of two, more than twice the rows */
    const struct trace_words **words;
    size_t nwords;
};

void *decl_store_alloc(struct trace_decls *decls, size_t size)
{
    struct block *b = decls->own->blocks;
    size = (size + 15) & ~(size_t)15;
    if (!b || b->size - b->used < size) {
        size_t room = size > BLOCK ? size : BLOCK;
        b = mem_alloc(sizeof *b + room);
        b->size = room;
        b->next = decls->own->blocks;
        decls->own->blocks = b;
    }
    void *p = b->bytes + b->used;
    b->used += size;
    return p;
}

char *decl_store_string(struct trace_decls *decls, const char *text, size_t len)
{
    char *copy = decl_store_alloc(decls, len + 1);
    memcpy(copy, text, len);
    return copy;
}

static size_t hash(const char *name)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (const unsigned char *p = (const unsigned char *)name; *p; p++) {
        h = (h ^ *p) * 0x100000001b3u;
    }
    return (size_t)(h ^ h >> 32);
}

/* The slot that holds the name, or the free one where it belongs. */
static uint32_t *find_slot(const struct trace_decls *decls, const char *name)
{
    const struct trace_decls_private *own = decls->own;
    size_t i = hash(name) & (own->slots - 1);
    while (own->slot[i] && strcmp(decls->row[own->slot[i] - 1]->name, name) != 0) {
        i = (i + 1) & (own->slots - 1);
    }
    return &own->slot[i];
}

static void grow(struct trace_decls *decls)
{
    struct trace_decls_private *own = decls->own;
    own->room *= 2;
    own->slots *= 2;
    decls->row = mem_resize(decls->row, own->room, sizeof *decls->row);
    free(own->slot);
    own->slot = mem_alloc(own->slots * sizeof *own->slot);
    for (size_t i = 0; i < decls->count; i++) {
        *find_slot(decls, decls->row[i]->name) = (uint32_t)i + 1;
    }
}

struct trace_decls *trace_decls_new(void)
{
    struct trace_decls *decls = mem_alloc(sizeof *decls);
    decls->own = mem_alloc(sizeof *decls->own);
    decls->own->room = 16;
    decls->own->slots = 64;
    decls->row = mem_alloc(decls->own->room * sizeof *decls->row);
    decls->own->slot = mem_alloc(decls->own->slots * sizeof *decls->own->slot);
    return decls;
}

void trace_decls_free(struct trace_decls *decls)
{
    if (!decls) {
        return;
    }
    struct block *next;
    for (struct block *b = decls->own->blocks; b; b = next) {
        next = b->next;
        free(b);
    }
    free(decls->own->slot);
    free(decls->own->words);
    free(decls->own);
    free(decls->row);
    free(decls);
}

const struct trace_decl *trace_decls_find(const struct trace_decls *decls, const char *name)
{
    uint32_t slot = *find_slot(decls, name);
    return slot ? decls->row[slot - 1] : NULL;
}

void decl_store_add(struct trace_decls *decls, struct trace_decl *decl)
{
    if (decls->count == decls->own->room) {
        grow(decls);
    }
    decls->row[decls->count] = decl;
    *find_slot(decls, decl->name) = (uint32_t)++decls->count;
}

const struct trace_words *decl_store_find_words(const struct trace_decls *decls, const char *name,
                                                size_t len)
{
    for (size_t i = 0; i < decls->own->nwords; i++) {
        const struct trace_words *w = decls->own->words[i];
        if (strlen(w->name) == len && memcmp(w->name, name, len) == 0) {
            return w;
        }
    }
    return NULL;
}

bool decl_store_add_words(struct trace_decls *decls, const struct trace_words *words)
{
    struct trace_decls_private *own = decls->own;
    if (own->nwords == DECL_SETS_MAX) {
        return false;
    }
    own->words = mem_resize(own->words, own->nwords + 1, sizeof *own->words);
    own->words[own->nwords++] = words;
    return true;
}
