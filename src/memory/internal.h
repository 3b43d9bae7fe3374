/* SPDX-License-Identifier: MIT
 *
 * What the files of memory/ share. */
#ifndef MEMORY_INTERNAL_H
#define MEMORY_INTERNAL_H

#include "memory/memory.h"

enum { MEM_PAGE_BITS = 12, MEM_PAGE = 1 << MEM_PAGE_BITS };

/* --- region.c --- */

/* The last byte of a region, counted from its first. Its size must not be 0. */
static inline uint64_t mem_last(const struct mem_region *region)
{
    return region->size == UINT64_MAX ? UINT64_MAX : region->size - 1;
}

/* --- view.c --- */

/* As struct mem_range, but with the last byte instead of the size. A hole has no region. */
struct mem_piece {
    uint64_t start, last;
    struct mem_region *region;
    uint64_t offset;
    bool readonly;
};

struct mem_view;

struct mem_space {
    char *name;
    struct mem_region *root; /* NULL: freed before the space */
    struct mem_view *view;   /* the current one; readers on any thread */
    struct mem_view *views;  /* all, the current one among them */
    struct mem_listener *listeners;
    struct mem_space *next; /* of the same root */
    bool stale;
    struct mem_space *next_stale;
};

/* Shows the tree as it is now; true if that is another picture than before. */
bool mem_view_renew(struct mem_space *space);

/* The piece or hole at the address. Any thread. */
void mem_view_find(const struct mem_space *space, uint64_t address, struct mem_piece *piece);

/* The pieces of the current view, by number; false behind the last. Under the machine's lock. */
bool mem_view_piece(const struct mem_space *space, size_t number, struct mem_piece *piece);

/* --- ram.c --- */

bool mem_ram_new(struct mem_region *region, struct error *err);
void mem_ram_free(struct mem_ram *ram);

/* Copies within one region. mem_ram_write() is for all but translated code: it tells. */
void mem_ram_read(const struct mem_region *region, uint64_t offset, void *to, size_t size);
void mem_ram_write(const struct mem_region *region, uint64_t offset, const void *from, size_t size);

/* --- names.c --- */

enum mem_way { MEM_READ, MEM_WRITE };

/* "REGION" or "REGION:REGISTER", in `room` or where the region's name is. */
const char *mem_region_words(const struct mem_region *region, enum mem_way way, uint64_t offset,
                             char *room, size_t size);

/* Messages of -d. They look first whether anybody wants them. `address` in the space, `offset` in
 * the region. */
void mem_log_hole(const struct mem_space *space, enum mem_way way, uint64_t address, size_t size);
void mem_log_rom(const struct mem_region *region, uint64_t address, size_t size);
void mem_log_refused(const struct mem_region *region, enum mem_way way, uint64_t address,
                     uint64_t offset, unsigned size, const char *reason);
void mem_log_register(const struct mem_region *region, enum mem_way way, uint64_t offset,
                      unsigned size);

#endif
