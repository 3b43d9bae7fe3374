/* SPDX-License-Identifier: MIT
 *
 * Names and patterns to address ranges. */
#include <stdlib.h>
#include <string.h>

#include "base/glob.h"
#include "base/memory.h"
#include "symbol/internal.h"

struct found {
    struct symbol_range *row;
    size_t count, room;
};

static void add(struct found *found, uint64_t start, uint64_t end)
{
    if (start >= end || found->count == SYMBOL_RANGES_MAX) {
        return;
    }
    if (found->count == found->room) {
        found->room = found->room ? 2 * found->room : 16;
        found->row = mem_resize(found->row, found->room, sizeof *found->row);
    }
    found->row[found->count++] = (struct symbol_range){start, end};
}

static int compare(const void *left, const void *right)
{
    const struct symbol_range *a = left, *b = right;
    return a->start < b->start ? -1 : a->start > b->start;
}

/* Sorts and joins. */
static void settle(struct found *found)
{
    size_t kept = 0;
    if (found->count) {
        qsort(found->row, found->count, sizeof *found->row, compare);
    }
    for (size_t i = 0; i < found->count; i++) {
        struct symbol_range *last = kept ? &found->row[kept - 1] : NULL;
        if (last && found->row[i].start <= last->end) {
            last->end = found->row[i].end > last->end ? found->row[i].end : last->end;
        } else {
            found->row[kept++] = found->row[i];
        }
    }
    found->count = kept;
}

/* Adds the part of [start, end), as the file counts, that is in the mapping. */
static void add_part(struct found *found, const struct symbol_mapping *mapping, uint64_t start,
                     uint64_t end)
{
    uint64_t first = mapping->start - mapping->bias, last = mapping->end - mapping->bias;
    start = start < first ? first : start;
    end = end > last ? last : end;
    if (start < end) {
        add(found, start + mapping->bias, end + mapping->bias);
    }
}

static void add_symbols(struct symbol_space *space, struct found *found, size_t at,
                        const char *pattern)
{
    symbol_mapping_place(space, at);
    const struct symbol_mapping *mapping = &space->mapping[at];
    const struct symbol_file *file = mapping->file;
    for (size_t i = 0; i < file->count; i++) {
        const struct symbol_entry *entry = &file->entry[i];
        if (glob_match(pattern, symbol_entry_name(file, entry))) {
            add_part(found, mapping, entry->address, symbol_entry_end(entry));
        }
    }
}

static bool is_module(const struct symbol_file *file, const char *pattern)
{
    return !pattern || glob_match(pattern, strchr(pattern, '/') ? file->path : file->name);
}

size_t symbol_ranges(struct symbol_space *space, const char *module, const char *symbol,
                     struct symbol_range **ranges)
{
    struct found found = {0};
    pthread_mutex_lock(&space->lock);
    for (size_t i = 0; i < space->count; i++) {
        struct symbol_mapping *mapping = &space->mapping[i];
        if (!mapping->file || !is_module(mapping->file, module)) {
            continue;
        }
        if (symbol) {
            add_symbols(space, &found, i, symbol);
        } else {
            add(&found, mapping->start, mapping->end);
        }
    }
    pthread_mutex_unlock(&space->lock);
    settle(&found);
    *ranges = found.row;
    return found.count;
}

size_t symbol_address(struct symbol_space *space, const char *text, struct symbol_range **ranges)
{
    const char *mark = strchr(text, '!');
    if (!mark) {
        return symbol_ranges(space, NULL, text, ranges);
    }
    char *module = mem_stringn(text, (size_t)(mark - text));
    size_t count =
        symbol_ranges(space, mark == text ? NULL : module, mark[1] ? mark + 1 : NULL, ranges);
    free(module);
    return count;
}
