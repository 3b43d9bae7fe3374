/* SPDX-License-Identifier: MIT
 *
 * The table of the guest's mappings: what is mapped where, in the guest's eyes. It makes no system
 * call and knows nothing of the host. One thread at a time: callers hold map->lock.
 *
 * Ranges are [start, end), whole pages, start < end. Always true: mappings are sorted, do not
 * overlap, and neighbours that the kernel would join are joined.
 */
#ifndef USER_MAP_H
#define USER_MAP_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What a mapping is for, as /proc/PID/maps shows it in brackets. */
enum user_area {
    USER_AREA_PLAIN,
    USER_AREA_HEAP,
    USER_AREA_STACK,
    USER_AREA_VDSO, /* the host uses it too: only the guest's view of it changes */
    USER_AREA_VVAR, /* the same: its data */
};

/* The file behind a mapping, shared by mappings. */
struct user_file {
    unsigned references;
    dev_t device;
    ino_t inode;
    bool no_exec; /* on a file system mounted with noexec */
    char *path;   /* as the kernel names it, " (deleted)" included */
};

/* A mapping. The host's protection may be less: watched pages, no execution. */
struct user_mapping {
    uint64_t start, end;
    uint64_t offset;        /* of `start` in the file */
    struct user_file *file; /* NULL: anonymous */
    uint8_t prot;           /* the guest's PROT_READ, PROT_WRITE, PROT_EXEC */
    uint8_t area;           /* enum user_area */
    bool shared;
    bool grows_down;
    bool segment; /* of System V shared memory */
    bool huge;    /* of pages larger than 4 KiB: protected only as a whole */
};

struct user_watch;   /* watch.h */
struct user_modules; /* user.h */

struct user_map {
    pthread_mutex_t lock;
    struct user_mapping *mapping;
    size_t count, room;

    struct user_watch *watch; /* pages that stores must be caught on */

    /* Where mmap() without an address looks first, from the top down. No gap that reaches above
     * `hint` is larger than `hole`. */
    uint64_t near_low, near_high, hint, hole;

    uint64_t engine_start[2], engine_end[2]; /* the code cache */
    uint64_t code_near;                      /* where it shall be */
    uint64_t brk_start, brk;                 /* brk is not rounded */
    uint64_t stack_start, stack_end, stack_room;
    uint64_t vdso;         /* 0: none */
    uint64_t random_state; /* of addresses under -seed */
    bool read_executes;    /* personality READ_IMPLIES_EXEC */

    /* engine_invalidate(), or what a test puts in its place. */
    void (*forget)(void *opaque, uint64_t start, uint64_t end);
    void *forget_opaque;

    /* Who wants to know of files that come and go; NULL: nobody. Called with the lock held. */
    const struct user_modules *modules;
};

/* A file with one reference; `path` is copied. */
struct user_file *user_file_new(dev_t device, ino_t inode, const char *path);
struct user_file *user_file_keep(struct user_file *file); /* NULL gives NULL */
void user_file_drop(struct user_file *file);

/* Position of the first mapping that ends behind `address`; map->count if there is none. */
size_t user_map_position(const struct user_map *map, uint64_t address);

/* The mapping that holds `address`, or NULL. Valid until the table changes. */
struct user_mapping *user_map_at(const struct user_map *map, uint64_t address);

/* End of the run of mapped pages that begins at `start`: `start` itself if it is not mapped, at
 * most `end`. */
uint64_t user_map_run(const struct user_map *map, uint64_t start, uint64_t end);

/* True if something is mapped in the range. */
bool user_map_touches(const struct user_map *map, uint64_t start, uint64_t end);

/* Takes everything in the range out. */
void user_map_remove(struct user_map *map, uint64_t start, uint64_t end);

/* Puts a mapping in, instead of what is there. The reference to its file is handed over. */
void user_map_insert(struct user_map *map, const struct user_mapping *mapping);

/* Fires guest_module for every mapping of a file. */
void user_map_tell(const struct user_map *map);

/* Gives all mapped pages of the range another protection. */
void user_map_protect(struct user_map *map, uint64_t start, uint64_t end, int prot);

/* The highest free range of `length` bytes in [low, high), at a multiple of `align` (a power of
 * two); 0 if there is none. */
uint64_t user_map_gap(const struct user_map *map, uint64_t low, uint64_t high, uint64_t length,
                      uint64_t align);

/* The same in the near region, page-aligned: remembers where it looked. */
uint64_t user_map_near_gap(struct user_map *map, uint64_t low, uint64_t length);

void user_map_free(struct user_map *map);

#endif
