/* SPDX-License-Identifier: MIT
 *
 * Inside the symbol room: files, mappings, and what one source asks of another. Everything here is
 * called with the space's lock held.
 */
#ifndef SYMBOL_INTERNAL_H
#define SYMBOL_INTERNAL_H

#include <libelf.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/names.h"
#include "symbol/symbol.h"

enum {
    SYMBOL_SEGMENTS_MAX = 64,
    SYMBOL_BUILD_ID_MAX = 64,
    SYMBOL_CACHE = 1024,   /* addresses whose place is remembered */
    SYMBOL_WALK_MAX = 256, /* symbols that are looked at for one that encloses an address */
};

/* A symbol of a file, at an address as the file counts. */
struct symbol_entry {
    uint64_t address;
    uint64_t size;  /* of a label: to the next symbol */
    uint64_t reach; /* the highest end of this and all entries before it */
    uint32_t name;  /* place in the names */
    uint16_t rank;  /* of several at one address the lowest counts */
};

struct symbol_segment {
    uint64_t offset, size, address;
    bool executable;
};

struct symbol_lines;

struct symbol_file {
    struct symbol_file *next; /* all of the space, the latest first */
    char *path;
    const char *name; /* in `path` */
    uint8_t *image;   /* of a module that is no file */
    size_t image_size;
    bool read; /* the fields below are set */
    /* Which file it was when it was read. */
    dev_t device;
    ino_t inode;
    struct timespec changed;
    struct symbol_segment segment[SYMBOL_SEGMENTS_MAX];
    unsigned segments;
    uint8_t build_id[SYMBOL_BUILD_ID_MAX];
    unsigned build_id_size;
    struct symbol_entry *entry; /* by address, then by rank */
    size_t count, room;
    char *names;
    size_t names_size, names_room;
    bool lines_read;
    struct symbol_lines *lines; /* NULL: none */
};

struct symbol_mapping {
    uint64_t start, end;
    uint64_t offset;
    struct symbol_file *file; /* NULL: there were too many */
    bool placed;              /* bias is set */
    uint64_t bias;            /* address - bias is the address as the file counts */
};

struct symbol_cached {
    uint64_t address, generation;
    const struct symbol_mapping *mapping;
    const struct symbol_entry *entry;
};

struct symbol_space {
    pthread_mutex_t lock;
    struct symbol_files files;
    struct symbol_file *file;
    unsigned file_count;
    struct symbol_mapping *mapping; /* by address, disjoint */
    size_t count, room;
    uint64_t generation;  /* from 1 */
    struct names sources; /* names of source files */
    struct symbol_cached cache[SYMBOL_CACHE];
};

/* --- file.c --- */

/* Reads headers and symbols unless that was done. */
void symbol_file_read(struct symbol_space *space, struct symbol_file *file);
void symbol_file_free(struct symbol_file *file);

/* An ELF handle on a path or an image, with the descriptor still open; NULL if there is none. */
struct symbol_handle {
    int fd; /* -1: none */
    Elf *elf;
};
bool symbol_open(struct symbol_space *space, const char *path, struct symbol_handle *handle);
void symbol_close(struct symbol_handle *handle);

/* The path of the separate debug file; false if the file has no build-id. */
enum { SYMBOL_DEBUG_PATH = 40 + 2 * SYMBOL_BUILD_ID_MAX };
bool symbol_debug_path(const struct symbol_file *file, char path[SYMBOL_DEBUG_PATH]);

/* A symbol to be added. */
struct symbol_new {
    uint64_t address, size; /* size 0: a label */
    uint64_t limit;         /* where a label ends at the latest */
    unsigned rank;
};

enum { SYMBOL_RANK_LABEL = 1 << 15 };

/* Adds a symbol to an unsorted table; false once there are too many. `name` need not end in a NUL.
 */
bool symbol_file_add(struct symbol_file *file, const struct symbol_new *symbol, const char *name,
                     size_t length);

static inline const char *symbol_entry_name(const struct symbol_file *file,
                                            const struct symbol_entry *entry)
{
    return file->names + entry->name;
}

/* Where an entry ends. */
static inline uint64_t symbol_entry_end(const struct symbol_entry *entry)
{
    uint64_t end = entry->address + entry->size;
    return end < entry->address ? UINT64_MAX : end;
}

/* The entry at an address of the file, or NULL. */
const struct symbol_entry *symbol_file_find(const struct symbol_file *file, uint64_t address);

/* --- plt.c --- */

/* Adds `name@plt` for the entries of the procedure linkage table. */
void symbol_plt_add(struct symbol_file *file, Elf *elf);

/* --- line.c --- */

/* The source line of an address of the file; reads DWARF when it was not read before. */
bool symbol_line_find(struct symbol_space *space, struct symbol_file *file, uint64_t address,
                      const char **source, unsigned *line);
void symbol_lines_free(struct symbol_lines *lines);

/* --- space.c --- */

/* Sets the bias of mapping number `at` unless that was done. */
void symbol_mapping_place(struct symbol_space *space, size_t at);

/* symbol_find() with the lock held. */
bool symbol_find_locked(struct symbol_space *space, uint64_t address, bool line,
                        struct symbol_info *info);

#endif
