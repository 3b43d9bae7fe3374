/* SPDX-License-Identifier: MIT
 *
 * Names for addresses: the modules (executables, libraries, the vDSO) of a guest address space,
 * their ELF symbols and the source lines in their DWARF.
 *
 * A space learns of file mappings as they come and go, which costs a few hundred nanoseconds; files
 * are opened and read when somebody first asks for a name in them. Files are the guest's, so they
 * are read into memory (never mapped: they may shrink), checked by elfutils, and what is kept of
 * them is bounded: SYMBOL_FILE_MAX symbols a file, SYMBOL_MODULES_MAX files a space, and so on. A
 * file that cannot be read, or is none, has a module name and no symbols; that is no error.
 *
 * Any thread may call any function; each takes the space's lock. Never to be called from a signal
 * handler, nor with a lock held that is also taken where a space is in use: reading a large file
 * takes a while.
 *
 * Names that a function hands out live as long as the space.
 *
 * C++ and Rust names stay as the linker knows them.
 *
 * Read in this order: this header, internal.h, space.c (mappings and lookups), file.c (ELF to a
 * table), plt.c, line.c (DWARF), match.c (names to addresses), format.c.
 */
#ifndef SYMBOL_SYMBOL_H
#define SYMBOL_SYMBOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/strbuf.h"

enum {
    SYMBOL_MODULES_MAX = 4096,    /* files of a space; further ones have a name only */
    SYMBOL_MAPPINGS_MAX = 65536,  /* mappings of a space; further ones are not known */
    SYMBOL_FILE_MAX = 2 << 20,    /* symbols of a file that are kept */
    SYMBOL_NAME_MAX = 4095,       /* bytes of a name that are kept */
    SYMBOL_NAMES_MAX = 128 << 20, /* bytes of all names of a file */
    SYMBOL_RANGES_MAX = 1 << 20,  /* ranges that a lookup by name finds at most */
};

struct symbol_space;

/* How files are opened, where plain open() will not do: below another root, or with descriptors
 * kept out of a guest's way. The descriptor is for reading; the space closes it before the call in
 * which it was opened returns. -1: there is no such file. */
struct symbol_files {
    int (*open)(void *opaque, const char *path);
    void *opaque;
};

/* `files` is copied; NULL: open(). */
struct symbol_space *symbol_space_new(const struct symbol_files *files);
void symbol_space_free(struct symbol_space *space); /* NULL is fine */

/* The file `path` is mapped at [start, end), its byte `offset` at `start`. Replaces what was known
 * of that range, as mmap() with MAP_FIXED does. A name in brackets, such as "[heap]", is a module
 * without a file. Executable mappings are the ones that matter; others may be told too, then their
 * objects get names. */
void symbol_module_add(struct symbol_space *space, const char *path, uint64_t start, uint64_t end,
                       uint64_t offset);

/* A module that is an ELF image in memory, of which no file exists: the vDSO. The bytes are copied.
 */
void symbol_module_add_image(struct symbol_space *space, const char *name, uint64_t start,
                             const void *bytes, size_t size);

/* Nothing is mapped at [start, end) any more. */
void symbol_module_remove(struct symbol_space *space, uint64_t start, uint64_t end);

/* Nothing is mapped at all: the guest has executed another program. */
void symbol_space_clear(struct symbol_space *space);

/* [from, from + size) now is at [to, to + size): mremap(). */
void symbol_module_move(struct symbol_space *space, uint64_t from, uint64_t to, uint64_t size);

/* A number that changes whenever mappings do, so that others may keep what they found. */
uint64_t symbol_generation(struct symbol_space *space);

/* Around fork(), so that the child does not find the lock taken. */
void symbol_fork_prepare(struct symbol_space *space);
void symbol_fork_done(struct symbol_space *space); /* in parent and child */

struct symbol_info {
    const char *module; /* the file's name without folders */
    const char *path;
    uint64_t module_address; /* the address as the file counts: what objdump and addr2line show */
    const char *symbol;      /* NULL: none */
    uint64_t symbol_start, symbol_size; /* as mapped */
    uint64_t offset;                    /* of the address in the symbol */
    const char *file;                   /* source file, NULL: not known or not asked for */
    unsigned line;                      /* 0: not known */
};

/* False (and zeros) if the address is in no module. Where a place has several names, one counts:
 * the name that is global, a function's, and shortest. Entries of the PLT are called `name@plt`. */
bool symbol_find(struct symbol_space *space, uint64_t address, struct symbol_info *info);

/* The same with source file and line, from the file itself or its separate debug file (build-id,
 * below /usr/lib/debug). The first question about a file takes long. */
bool symbol_find_line(struct symbol_space *space, uint64_t address, struct symbol_info *info);

struct symbol_range {
    uint64_t start, end;
};

/* Where the symbols are whose module and name match the patterns (`*` and `?`): `*ranges` (free()
 * it) in ascending order, touching ones joined; returns their number. All names of a place count.
 * `module` NULL: any; with a slash it is compared with the path. `symbol` NULL: the mappings of
 * the modules, whole. Labels, which have no size, end at the next symbol. */
size_t symbol_ranges(struct symbol_space *space, const char *module, const char *symbol,
                     struct symbol_range **ranges);

/* The same for one text: "NAME" or "MODULE!NAME", patterns too; "MODULE!" is the whole module. */
size_t symbol_address(struct symbol_space *space, const char *text, struct symbol_range **ranges);

enum symbol_style {
    SYMBOL_MODULE = 1, /* libc.so.6! in front */
    SYMBOL_OFFSET = 2, /* +0x12 behind */
    SYMBOL_LINE = 4,   /* (memcpy.S:34) behind, where it is known */
    SYMBOL_FULL = SYMBOL_MODULE | SYMBOL_OFFSET,
};

/* Adds the name of an address to `text`: "libc.so.6!memcpy+0x12 (memcpy.S:34)". A place without a
 * symbol is "libc.so.6+0x2a1d0", as the file counts (nothing when the style has no module). False
 * and nothing added where there is no name. */
bool symbol_format(struct symbol_space *space, uint64_t address, unsigned style,
                   struct strbuf *text);

#endif
