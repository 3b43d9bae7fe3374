/* SPDX-License-Identifier: MIT
 *
 * Where guest mappings go on the host. The guest's table tells what is the guest's; whatever else
 * is mapped is ours and is never replaced: places outside the table are taken only with
 * MAP_FIXED_NOREPLACE. Callers hold map->lock. Results are addresses, or -errno.
 */
#ifndef USER_PLACE_H
#define USER_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "user/map.h"

enum {
    USER_NEAR_SIZE_MAX = 64 << 20, /* larger mappings without a file go where the kernel likes */
};

/* What mmap() is asked for, with the host's protection. */
struct user_request {
    uint64_t length; /* whole pages */
    int prot, flags; /* without MAP_FIXED, MAP_FIXED_NOREPLACE */
    int fd;
    uint64_t offset;
};

/* At `start`, instead of what the guest has there. -ENOMEM where something of ours is. */
int64_t user_place_fixed(struct user_map *map, uint64_t start, const struct user_request *request);

/* At `hint` if that is free; else near the code cache if `near`; else where the kernel likes. */
int64_t user_place_anywhere(struct user_map *map, uint64_t hint, bool near,
                            const struct user_request *request);

/* Keeps the parts of a range that are not the guest's for it (PROT_NONE), so that the whole can be
 * replaced: 0, or -errno with nothing changed. user_place_release() gives them back: before the
 * table has the new mapping. */
int user_place_reserve(const struct user_map *map, uint64_t start, uint64_t end);
void user_place_release(const struct user_map *map, uint64_t start, uint64_t end);

/* --- what the host has --- */

struct user_host_range {
    uint64_t start, end;
    const char *name; /* as /proc/self/maps has it; "" */
    int prot;
};

/* Calls `f` for each mapping of this process, ascending, until it returns false. False if the list
 * cannot be read. */
bool user_host_ranges(bool (*f)(void *opaque, const struct user_host_range *range), void *opaque);

/* True if nothing is mapped in the range. */
bool user_host_free(uint64_t start, uint64_t end);

#endif
