/* SPDX-License-Identifier: MIT
 *
 * Source lines: DWARF of the file, or of its separate debug file. Which unit has an address is
 * looked up in a table made once (not every compiler writes .debug_aranges); the line table of a
 * unit is read by libdw when it is first asked for and kept, until there are too many lines: then
 * all is given back and read anew. */
#include <dwarf.h>
#include <elf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwelf.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "symbol/internal.h"

enum {
    UNITS_MAX = 1 << 20,
    RANGES_MAX = 1 << 22,
    LINES_MAX = 4 << 20,    /* that libdw may hold for a file */
    SECTIONS_MAX = 1 << 30, /* bytes of debug sections, unpacked */
};

struct range {
    uint64_t start, end;
    Dwarf_Off unit; /* place of its first entry */
};

struct symbol_lines {
    struct symbol_handle handle, other; /* the file and the one that several share parts of */
    Dwarf *dwarf, *shared;
    struct range *range; /* by start */
    size_t count, room;
    size_t lines;   /* in the tables that were read */
    Dwarf_Off last; /* the unit that was read last */
    char *path;     /* "" for an image */
};

/* The descriptor is not needed any more: libdw has read what it wants. */
static void done_with_descriptor(struct symbol_handle *handle)
{
    if (handle->elf) {
        elf_cntl(handle->elf, ELF_C_FDDONE);
    }
    struct symbol_handle only = {handle->fd, NULL};
    symbol_close(&only);
    handle->fd = -1;
}

/* True if the file has a line table, and sections of a sensible size. */
static bool has_lines(Elf *elf)
{
    size_t names;
    uint64_t sum = 0;
    bool found = false;
    if (elf_getshdrstrndx(elf, &names) != 0) {
        return false;
    }
    for (Elf_Scn *section = NULL; (section = elf_nextscn(elf, section));) {
        GElf_Shdr header;
        GElf_Chdr packed;
        const char *name =
            gelf_getshdr(section, &header) ? elf_strptr(elf, names, header.sh_name) : NULL;
        if (!name || header.sh_type == SHT_NOBITS || strncmp(name, ".debug_", 7) != 0) {
            continue;
        }
        uint64_t size = header.sh_flags & SHF_COMPRESSED && gelf_getchdr(section, &packed)
                            ? packed.ch_size
                            : header.sh_size;
        if (size > SECTIONS_MAX || (sum += size) > SECTIONS_MAX) {
            return false;
        }
        found |= !strcmp(name, ".debug_line");
    }
    return found;
}

/* What dwz has moved to a file of its own: /usr/lib/debug/.dwz/..., by build-id. libdw would look
 * for it by itself and keep the descriptor. */
static void open_shared(struct symbol_space *space, struct symbol_lines *lines)
{
    const char *name;
    const void *id;
    struct symbol_file as_file = {0};
    char path[SYMBOL_DEBUG_PATH];
    ssize_t size = dwelf_dwarf_gnu_debugaltlink(lines->dwarf, &name, &id);
    if (size < 2 || size > SYMBOL_BUILD_ID_MAX) {
        return;
    }
    memcpy(as_file.build_id, id, (size_t)size);
    as_file.build_id_size = (unsigned)size;
    if (!symbol_debug_path(&as_file, path) || !symbol_open(space, path, &lines->other)) {
        return;
    }
    lines->shared = dwarf_begin_elf(lines->other.elf, DWARF_C_READ, NULL);
    if (lines->shared) {
        dwarf_setalt(lines->dwarf, lines->shared);
    }
    done_with_descriptor(&lines->other);
}

static bool open_dwarf(struct symbol_space *space, struct symbol_lines *lines, const char *path)
{
    if (!symbol_open(space, path, &lines->handle)) {
        return false;
    }
    if (has_lines(lines->handle.elf)) {
        lines->dwarf = dwarf_begin_elf(lines->handle.elf, DWARF_C_READ, NULL);
    }
    if (!lines->dwarf) {
        symbol_close(&lines->handle);
        return false;
    }
    done_with_descriptor(&lines->handle);
    open_shared(space, lines);
    lines->lines = 0;
    lines->last = 0;
    return true;
}

static void close_dwarf(struct symbol_lines *lines)
{
    dwarf_end(lines->dwarf);
    dwarf_end(lines->shared);
    symbol_close(&lines->handle);
    symbol_close(&lines->other);
    lines->dwarf = lines->shared = NULL;
}

static int compare(const void *left, const void *right)
{
    const struct range *a = left, *b = right;
    return a->start < b->start ? -1 : a->start > b->start;
}

static void add_unit(struct symbol_lines *lines, Dwarf_Die *unit)
{
    Dwarf_Addr base, start, end;
    ptrdiff_t at = 0;
    while (lines->count < RANGES_MAX && (at = dwarf_ranges(unit, at, &base, &start, &end)) > 0) {
        if (start >= end) {
            continue;
        }
        if (lines->count == lines->room) {
            lines->room = lines->room ? 2 * lines->room : 64;
            lines->range = mem_resize(lines->range, lines->room, sizeof *lines->range);
        }
        lines->range[lines->count++] = (struct range){start, end, dwarf_dieoffset(unit)};
    }
}

static void find_units(struct symbol_lines *lines)
{
    Dwarf_Off at = 0, next;
    size_t head;
    for (unsigned i = 0;
         i < UNITS_MAX && dwarf_nextcu(lines->dwarf, at, &next, &head, NULL, NULL, NULL) == 0;
         i++) {
        Dwarf_Die unit;
        if (dwarf_offdie(lines->dwarf, at + head, &unit) &&
            dwarf_tag(&unit) != DW_TAG_partial_unit) {
            add_unit(lines, &unit);
        }
        if (next <= at) {
            break;
        }
        at = next;
    }
    if (lines->count) {
        qsort(lines->range, lines->count, sizeof *lines->range, compare);
    }
}

static void read_lines(struct symbol_space *space, struct symbol_file *file)
{
    char path[SYMBOL_DEBUG_PATH];
    struct symbol_lines *lines = mem_alloc(sizeof *lines);
    bool found = !file->image && open_dwarf(space, lines, file->path);
    lines->path = found ? mem_string(file->path) : NULL;
    if (!found && symbol_debug_path(file, path) && open_dwarf(space, lines, path)) {
        found = true;
        lines->path = mem_string(path);
    }
    if (!found) {
        free(lines);
        return;
    }
    find_units(lines);
    file->lines = lines;
}

void symbol_lines_free(struct symbol_lines *lines)
{
    if (lines) {
        close_dwarf(lines);
        free(lines->range);
        free(lines->path);
        free(lines);
    }
}

static const struct range *range_of(const struct symbol_lines *lines, uint64_t address)
{
    size_t low = 0, high = lines->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (lines->range[middle].start > address) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low && address < lines->range[low - 1].end ? &lines->range[low - 1] : NULL;
}

/* Counts what libdw has read; starts over when that is too much. */
static bool count_lines(struct symbol_space *space, struct symbol_lines *lines, Dwarf_Die *unit,
                        Dwarf_Off place)
{
    Dwarf_Lines *table;
    size_t count;
    if (lines->last == place) {
        return true;
    }
    if (lines->lines > LINES_MAX) {
        close_dwarf(lines);
        if (!open_dwarf(space, lines, lines->path) || !dwarf_offdie(lines->dwarf, place, unit)) {
            return false;
        }
    }
    if (dwarf_getsrclines(unit, &table, &count) != 0) {
        return false;
    }
    lines->lines += count;
    lines->last = place;
    return true;
}

bool symbol_line_find(struct symbol_space *space, struct symbol_file *file, uint64_t address,
                      const char **source, unsigned *line)
{
    symbol_file_read(space, file);
    if (!file->lines_read) {
        file->lines_read = true;
        read_lines(space, file);
    }
    struct symbol_lines *lines = file->lines;
    const struct range *range = lines ? range_of(lines, address) : NULL;
    Dwarf_Die unit;
    int number;
    if (!range || !lines->dwarf || !dwarf_offdie(lines->dwarf, range->unit, &unit) ||
        !count_lines(space, lines, &unit, range->unit)) {
        return false;
    }
    Dwarf_Line *row = dwarf_getsrc_die(&unit, address);
    const char *name = row ? dwarf_linesrc(row, NULL, NULL) : NULL;
    if (!name || dwarf_lineno(row, &number) != 0 || number <= 0) {
        return false;
    }
    bool fresh;
    char *kept = mem_stringn(name, strnlen(name, SYMBOL_NAME_MAX));
    size_t which = names_add(&space->sources, kept, &fresh);
    *source = space->sources.row[which];
    *line = (unsigned)number;
    free(kept);
    return true;
}
