/* SPDX-License-Identifier: MIT
 *
 * The table of mappings: a sorted array. The kernel allows a process some 65,000 mappings, which
 * bounds it; programs have tens or hundreds, and a binary search over those is hard to beat. */
#include "user/map.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "trace-user.h"
#include "user/user.h"

struct user_file *user_file_new(dev_t device, ino_t inode, const char *path)
{
    struct user_file *file = mem_alloc(sizeof *file);

    *file = (struct user_file){1, device, inode, false, mem_string(path)};
    return file;
}

struct user_file *user_file_keep(struct user_file *file)
{
    if (file) {
        file->references++;
    }
    return file;
}

void user_file_drop(struct user_file *file)
{
    if (file && --file->references == 0) {
        free(file->path);
        free(file);
    }
}

size_t user_map_position(const struct user_map *map, uint64_t address)
{
    size_t low = 0, high = map->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (map->mapping[middle].end > address) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

struct user_mapping *user_map_at(const struct user_map *map, uint64_t address)
{
    size_t i = user_map_position(map, address);

    return i < map->count && map->mapping[i].start <= address ? &map->mapping[i] : NULL;
}

uint64_t user_map_run(const struct user_map *map, uint64_t start, uint64_t end)
{
    for (size_t i = user_map_position(map, start);
         start < end && i < map->count && map->mapping[i].start <= start; i++) {
        start = map->mapping[i].end;
    }
    return start < end ? start : end;
}

bool user_map_touches(const struct user_map *map, uint64_t start, uint64_t end)
{
    size_t i = user_map_position(map, start);

    return i < map->count && map->mapping[i].start < end;
}

/* --- changes --- */

/* Moves what is at [at, count) to at + by, making room or closing a hole. */
static void shift(struct user_map *map, size_t at, ptrdiff_t by)
{
    if (by > 0 && map->count + (size_t)by > map->room) {
        map->room = 2 * map->room + 64;
        map->mapping = mem_resize(map->mapping, map->room, sizeof *map->mapping);
    }
    memmove(map->mapping + at + by, map->mapping + at, (map->count - at) * sizeof *map->mapping);
    map->count += (size_t)by;
}

/* Makes `address` a border if it lies within a mapping. */
static void split(struct user_map *map, uint64_t address)
{
    size_t i = user_map_position(map, address);

    if (i == map->count || map->mapping[i].start >= address) {
        return;
    }
    shift(map, i, 1);
    struct user_mapping *low = &map->mapping[i], *high = low + 1;
    *low = *high;
    low->end = address;
    high->start = address;
    if (high->file) {
        user_file_keep(high->file);
        high->offset += address - low->start;
    }
}

static bool same_file(const struct user_file *a, const struct user_file *b)
{
    return a == b || (a && b && a->device == b->device && a->inode == b->inode && a->inode != 0 &&
                      !strcmp(a->path, b->path));
}

static bool joins(const struct user_mapping *a, const struct user_mapping *b)
{
    return a->end == b->start && a->prot == b->prot && a->area == b->area &&
           a->shared == b->shared && a->grows_down == b->grows_down && a->segment == b->segment &&
           a->huge == b->huge && same_file(a->file, b->file) &&
           (!a->file || a->offset + (a->end - a->start) == b->offset);
}

/* Joins neighbours at positions [from, to). */
static void join(struct user_map *map, size_t from, size_t to)
{
    for (size_t i = from; i + 1 < map->count && i < to;) {
        struct user_mapping *a = &map->mapping[i], *b = a + 1;
        if (!joins(a, b)) {
            i++;
            continue;
        }
        a->end = b->end;
        user_file_drop(b->file);
        shift(map, i + 2, -1);
        to--;
    }
}

/* Keeps what is known of gaps above the hint true, with a gap new or larger below mapping i. */
static void note_gap(struct user_map *map, size_t i)
{
    uint64_t bottom = i ? map->mapping[i - 1].end : 0;
    uint64_t top = i < map->count ? map->mapping[i].start : UINT64_MAX;

    if (bottom < map->near_low) {
        bottom = map->near_low;
    }
    if (top > map->near_high) {
        top = map->near_high;
    }
    if (top <= bottom || top <= map->hint) {
        return;
    }
    if (bottom <= map->hint) {
        map->hint = top;
    } else if (top - bottom > map->hole) {
        map->hole = top - bottom;
    }
}

void user_map_remove(struct user_map *map, uint64_t start, uint64_t end)
{
    split(map, start);
    split(map, end);
    size_t from = user_map_position(map, start), to = from;
    while (to < map->count && map->mapping[to].start < end) {
        user_file_drop(map->mapping[to++].file);
    }
    if (to > from) {
        shift(map, to, -(ptrdiff_t)(to - from));
        note_gap(map, from);
        trace_guest_module_gone(start, end);
        if (map->modules) {
            map->modules->unmapped(map->modules->opaque, start, end);
        }
    }
}

static void tell(const struct user_mapping *mapping)
{
    trace_guest_module(mapping->start, mapping->end, mapping->offset, mapping->file->path);
}

void user_map_tell(const struct user_map *map)
{
    for (size_t i = 0; i < map->count; i++) {
        if (map->mapping[i].file) {
            tell(&map->mapping[i]);
        }
    }
}

void user_map_insert(struct user_map *map, const struct user_mapping *mapping)
{
    user_map_remove(map, mapping->start, mapping->end);
    size_t i = user_map_position(map, mapping->start);
    shift(map, i, 1);
    map->mapping[i] = *mapping;
    if (mapping->file) {
        tell(mapping);
    }
    if (map->modules && mapping->file) {
        map->modules->mapped(map->modules->opaque, mapping->file->path, mapping->start,
                             mapping->end, mapping->offset);
    }
    join(map, i ? i - 1 : 0, i + 1);
}

void user_map_protect(struct user_map *map, uint64_t start, uint64_t end, int prot)
{
    split(map, start);
    split(map, end);
    size_t from = user_map_position(map, start), to = from;
    for (; to < map->count && map->mapping[to].start < end; to++) {
        map->mapping[to].prot = (uint8_t)prot;
    }
    join(map, from ? from - 1 : 0, to);
}

/* --- gaps --- */

uint64_t user_map_gap(const struct user_map *map, uint64_t low, uint64_t high, uint64_t length,
                      uint64_t align)
{
    /* Walks down: `top` is the end of the gap in question, below mapping i. */
    uint64_t top = high;

    for (size_t i = user_map_position(map, high - 1);; i--) {
        if (i < map->count && map->mapping[i].start < top) {
            top = map->mapping[i].start;
        }
        uint64_t bottom = i > 0 && map->mapping[i - 1].end > low ? map->mapping[i - 1].end : low;
        if (top >= bottom && top - bottom >= length) {
            uint64_t at = (top - length) & ~(align - 1);
            if (at >= bottom) {
                return at;
            }
        }
        if (i == 0 || bottom == low) {
            return 0;
        }
    }
}

uint64_t user_map_near_gap(struct user_map *map, uint64_t low, uint64_t length)
{
    const bool above = length <= map->hole; /* there may be room above the hint */
    const uint64_t high = above ? map->near_high : map->hint;

    if (low < map->near_low) {
        low = map->near_low;
    }
    if (length == 0 || high <= low || high - low < length) {
        return 0;
    }
    uint64_t found = user_map_gap(map, low, high, length, 4096);
    if (found && found < map->hint) {
        map->hint = found;
        if (above || map->hole < length) {
            map->hole = length - 1;
        }
    }
    return found;
}

void user_map_free(struct user_map *map)
{
    for (size_t i = 0; i < map->count; i++) {
        user_file_drop(map->mapping[i].file);
    }
    free(map->mapping);
    map->mapping = NULL;
    map->count = map->room = 0;
}
