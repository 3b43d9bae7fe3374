/* SPDX-License-Identifier: MIT
 *
 * Placement of guest mappings. Code is best kept within 2 GiB of the code cache: then instructions
 * with RIP-relative operands are re-encoded as they are. */
#include "user/place.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { NEAR_TRIES = 8, NEAR_STEP = 64 << 20 };

static int64_t host_map(uint64_t address, const struct user_request *r, int more)
{
    void *at = mmap((void *)(uintptr_t)address, r->length, r->prot, r->flags | more, r->fd,
                    (off_t)r->offset);

    if (at == MAP_FAILED) {
        return -errno;
    }
    if (more && (uintptr_t)at != address) { /* Linux before 4.17 took it as a wish */
        munmap(at, r->length);
        return -EEXIST;
    }
    return (int64_t)(uintptr_t)at;
}

/* --- ranges that are not the guest's --- */

/* The first part of [start, end) that the table does not have; false if it has all. */
static bool next_hole(const struct user_map *map, uint64_t start, uint64_t end, uint64_t *low,
                      uint64_t *high)
{
    *low = user_map_run(map, start, end);
    if (*low >= end) {
        return false;
    }
    size_t i = user_map_position(map, *low);
    *high = i < map->count && map->mapping[i].start < end ? map->mapping[i].start : end;
    return true;
}

/* True if the range has memory that the host uses too. */
static bool has_area(const struct user_map *map, uint64_t start, uint64_t end)
{
    for (size_t i = user_map_position(map, start); i < map->count && map->mapping[i].start < end;
         i++) {
        if (map->mapping[i].area >= USER_AREA_VDSO) {
            return true;
        }
    }
    return false;
}

void user_place_release(const struct user_map *map, uint64_t start, uint64_t end)
{
    uint64_t low, high;

    for (uint64_t at = start; next_hole(map, at, end, &low, &high); at = high) {
        munmap((void *)(uintptr_t)low, high - low);
    }
}

int user_place_reserve(const struct user_map *map, uint64_t start, uint64_t end)
{
    struct user_request none = {
        .prot = PROT_NONE, .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, .fd = -1};
    uint64_t low, high;

    if (has_area(map, start, end)) {
        return -ENOMEM;
    }
    for (uint64_t at = start; next_hole(map, at, end, &low, &high); at = high) {
        none.length = high - low;
        int64_t got = host_map(low, &none, MAP_FIXED_NOREPLACE);
        if (got < 0) {
            user_place_release(map, start, low);
            return got == -EEXIST ? -ENOMEM : (int)got;
        }
    }
    return 0;
}

/* --- mmap --- */

int64_t user_place_fixed(struct user_map *map, uint64_t start, const struct user_request *request)
{
    const uint64_t end = start + request->length;

    if (!user_map_touches(map, start, end)) {
        int64_t got = host_map(start, request, MAP_FIXED_NOREPLACE);
        return got == -EEXIST ? -ENOMEM : got;
    }
    int failed = user_place_reserve(map, start, end);
    if (failed) {
        return failed;
    }
    int64_t got = host_map(start, request, MAP_FIXED);
    if (got < 0) {
        user_place_release(map, start, end);
    }
    return got;
}

/* Anonymous memory leaves the lowest quarter of the region to files, which have code. */
static int64_t place_near(struct user_map *map, const struct user_request *r)
{
    uint64_t low = map->near_low;

    if (r->flags & MAP_ANONYMOUS) {
        low += (map->near_high - map->near_low) / 4;
    }
    for (int i = 0; i < NEAR_TRIES; i++) {
        uint64_t at = user_map_near_gap(map, low, r->length);
        if (!at) {
            return -ENOMEM;
        }
        int64_t got = host_map(at, r, MAP_FIXED_NOREPLACE);
        if (got != -EEXIST) {
            return got;
        }
        /* Something of ours: look further down, and not here again. */
        map->hint = map->hint > low + NEAR_STEP ? map->hint - NEAR_STEP : low;
        map->hole = 0;
    }
    return -ENOMEM;
}

int64_t user_place_anywhere(struct user_map *map, uint64_t hint, bool near,
                            const struct user_request *request)
{
    if (hint && !user_map_touches(map, hint, hint + request->length)) {
        int64_t got = host_map(hint, request, MAP_FIXED_NOREPLACE);
        if (got >= 0) {
            return got;
        }
    }
    if (near) {
        int64_t got = place_near(map, request);
        if (got >= 0 || got != -ENOMEM) {
            return got;
        }
    }
    return host_map(0, request, 0);
}

/* --- the host's own list --- */

bool user_host_ranges(bool (*f)(void *opaque, const struct user_host_range *range), void *opaque)
{
    FILE *file = fopen("/proc/thread-self/maps", "re");
    char *line = NULL;
    size_t room = 0;
    bool go_on = true;

    if (!file) {
        return false;
    }
    while (go_on && getline(&line, &room, file) > 0) {
        struct user_host_range range = {.name = ""};
        char rights[8] = "";
        int name = 0;
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %*s %*s %*s %n", &range.start, &range.end,
                   rights, &name) < 3) {
            continue;
        }
        line[strcspn(line, "\n")] = 0;
        range.name = name && (size_t)name <= strlen(line) ? line + name : "";
        range.prot = (rights[0] == 'r' ? PROT_READ : 0) | (rights[1] == 'w' ? PROT_WRITE : 0) |
                     (rights[2] == 'x' ? PROT_EXEC : 0);
        go_on = f(opaque, &range);
    }
    free(line);
    fclose(file);
    return true;
}

struct overlap {
    uint64_t start, end;
    bool found;
};

static bool note_overlap(void *opaque, const struct user_host_range *range)
{
    struct overlap *o = opaque;

    o->found = range->start < o->end && range->end > o->start;
    return !o->found && range->start < o->end;
}

bool user_host_free(uint64_t start, uint64_t end)
{
    struct overlap o = {start, end, false};

    return user_host_ranges(note_overlap, &o) && !o.found;
}
