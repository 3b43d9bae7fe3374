/* SPDX-License-Identifier: MIT
 *
 * The mappings of a space, and lookups by address. */
#include "symbol/symbol.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "symbol/internal.h"

static int open_plain(void *opaque, const char *path)
{
    (void)opaque;
    return open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

struct symbol_space *symbol_space_new(const struct symbol_files *files)
{
    struct symbol_space *space = mem_alloc(sizeof *space);
    space->files = files ? *files : (struct symbol_files){.open = open_plain};
    space->generation = 1;
    pthread_mutex_init(&space->lock, NULL);
    elf_version(EV_CURRENT);
    return space;
}

void symbol_space_free(struct symbol_space *space)
{
    if (!space) {
        return;
    }
    for (struct symbol_file *file = space->file, *next; file; file = next) {
        next = file->next;
        symbol_file_free(file);
    }
    names_free(&space->sources);
    free(space->mapping);
    pthread_mutex_destroy(&space->lock);
    free(space);
}

void symbol_fork_prepare(struct symbol_space *space)
{
    pthread_mutex_lock(&space->lock);
}

void symbol_fork_done(struct symbol_space *space)
{
    pthread_mutex_unlock(&space->lock);
}

uint64_t symbol_generation(struct symbol_space *space)
{
    return __atomic_load_n(&space->generation, __ATOMIC_ACQUIRE);
}

static void changed(struct symbol_space *space)
{
    __atomic_store_n(&space->generation, space->generation + 1, __ATOMIC_RELEASE);
}

/* --- mappings --- */

/* Number of the first mapping that ends behind the address. */
static size_t first_behind(const struct symbol_space *space, uint64_t address)
{
    size_t low = 0, high = space->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (space->mapping[middle].end > address) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

static bool make_room(struct symbol_space *space, size_t more)
{
    if (space->count + more > SYMBOL_MAPPINGS_MAX) {
        return false;
    }
    if (space->count + more > space->room) {
        space->room = space->room ? 2 * space->room : 64;
        space->mapping = mem_resize(space->mapping, space->room, sizeof *space->mapping);
    }
    return true;
}

/* Makes `at` the place of a new mapping. */
static void insert(struct symbol_space *space, size_t at, const struct symbol_mapping *mapping)
{
    struct symbol_mapping *to = &space->mapping[at];
    memmove(to + 1, to, (space->count - at) * sizeof *to);
    *to = *mapping;
    space->count++;
}

/* Cuts [start, end) out; returns where a mapping that begins at `start` belongs. */
static size_t cut(struct symbol_space *space, uint64_t start, uint64_t end)
{
    size_t at = first_behind(space, start);
    if (at < space->count && space->mapping[at].start < start) {
        struct symbol_mapping *first = &space->mapping[at];
        struct symbol_mapping rest = *first;
        first->end = start;
        at++;
        if (rest.end > end) {
            rest.offset += end - rest.start;
            rest.start = end;
            if (make_room(space, 1)) {
                insert(space, at, &rest);
            }
            return at;
        }
    }
    size_t last = at;
    while (last < space->count && space->mapping[last].end <= end) {
        last++;
    }
    if (last < space->count && space->mapping[last].start < end) {
        struct symbol_mapping *rest = &space->mapping[last];
        rest->offset += end - rest->start;
        rest->start = end;
    }
    if (last > at) {
        memmove(&space->mapping[at], &space->mapping[last],
                (space->count - last) * sizeof *space->mapping);
        space->count -= last - at;
    }
    return at;
}

static struct symbol_file *file_new(struct symbol_space *space, const char *path)
{
    if (space->file_count == SYMBOL_MODULES_MAX) {
        return NULL;
    }
    struct symbol_file *file = mem_alloc(sizeof *file);
    const char *slash = path[0] == '[' ? NULL : strrchr(path, '/');
    file->path = mem_string(path);
    file->name = slash ? file->path + (slash + 1 - path) : file->path;
    file->next = space->file;
    space->file = file;
    space->file_count++;
    return file;
}

/* True if the file at the path is no longer the one that was read. */
static bool is_other(const struct symbol_file *file)
{
    struct stat now;
    return file->read && file->path[0] == '/' && stat(file->path, &now) == 0 &&
           (now.st_dev != file->device || now.st_ino != file->inode ||
            now.st_mtim.tv_sec != file->changed.tv_sec ||
            now.st_mtim.tv_nsec != file->changed.tv_nsec);
}

static struct symbol_file *file_of(struct symbol_space *space, const char *path)
{
    for (struct symbol_file *file = space->file; file; file = file->next) {
        if (!file->image && !strcmp(file->path, path)) {
            return is_other(file) ? file_new(space, path) : file;
        }
    }
    return file_new(space, path);
}

/* A neighbour that continues the mapping is joined with it: a loader maps a file whole, then parts
 * of it again. */
static bool join(struct symbol_space *space, size_t at, const struct symbol_mapping *mapping)
{
    struct symbol_mapping *before = at ? &space->mapping[at - 1] : NULL;
    if (before && before->file == mapping->file && before->end == mapping->start &&
        before->offset + (before->end - before->start) == mapping->offset && !before->placed) {
        before->end = mapping->end;
        return true;
    }
    return false;
}

void symbol_module_add(struct symbol_space *space, const char *path, uint64_t start, uint64_t end,
                       uint64_t offset)
{
    if (start >= end) {
        return;
    }
    pthread_mutex_lock(&space->lock);
    size_t at = cut(space, start, end);
    struct symbol_mapping mapping = {start, end, offset, file_of(space, path), false, 0};
    if (!join(space, at, &mapping) && make_room(space, 1)) {
        insert(space, at, &mapping);
    }
    changed(space);
    pthread_mutex_unlock(&space->lock);
}

void symbol_module_add_image(struct symbol_space *space, const char *name, uint64_t start,
                             const void *bytes, size_t size)
{
    if (!size || start + size < start) {
        return;
    }
    pthread_mutex_lock(&space->lock);
    size_t at = cut(space, start, start + size);
    struct symbol_mapping mapping = {start, start + size, 0, file_new(space, name), false, 0};
    if (mapping.file) {
        mapping.file->image = memcpy(mem_resize(NULL, size, 1), bytes, size);
        mapping.file->image_size = size;
    }
    if (make_room(space, 1)) {
        insert(space, at, &mapping);
    }
    changed(space);
    pthread_mutex_unlock(&space->lock);
}

void symbol_module_remove(struct symbol_space *space, uint64_t start, uint64_t end)
{
    pthread_mutex_lock(&space->lock);
    size_t at = first_behind(space, start);
    if (start < end && at < space->count && space->mapping[at].start < end) {
        cut(space, start, end);
        changed(space);
    }
    pthread_mutex_unlock(&space->lock);
}

void symbol_module_move(struct symbol_space *space, uint64_t from, uint64_t to, uint64_t size)
{
    struct symbol_mapping *moved = NULL;
    size_t count = 0;
    if (!size || from + size < from || to + size < to) {
        return;
    }
    pthread_mutex_lock(&space->lock);
    for (size_t i = first_behind(space, from);
         i < space->count && space->mapping[i].start < from + size; i++) {
        struct symbol_mapping part = space->mapping[i];
        if (part.start < from) {
            part.offset += from - part.start;
            part.start = from;
        }
        part.end = part.end > from + size ? from + size : part.end;
        part.start += to - from;
        part.end += to - from;
        part.bias += to - from;
        moved = mem_resize(moved, count + 1, sizeof *moved);
        moved[count++] = part;
    }
    cut(space, from, from + size);
    size_t at = cut(space, to, to + size);
    for (size_t i = 0; i < count && make_room(space, 1); i++) {
        insert(space, at + i, &moved[i]);
    }
    changed(space);
    pthread_mutex_unlock(&space->lock);
    free(moved);
}

void symbol_space_clear(struct symbol_space *space)
{
    pthread_mutex_lock(&space->lock);
    space->count = 0;
    changed(space);
    pthread_mutex_unlock(&space->lock);
}

/* --- by address --- */

/* True if the mapping may be of that segment: segments cover whole pages of the file, so that two
 * may share one. */
static bool is_of(const struct symbol_mapping *mapping, const struct symbol_segment *segment)
{
    enum { PAGE = 4096 };
    return mapping->offset >= (segment->offset & -(uint64_t)PAGE) &&
           (mapping->offset < segment->offset || mapping->offset - segment->offset < segment->size);
}

static uint64_t bias_by(const struct symbol_mapping *mapping, const struct symbol_segment *segment)
{
    return mapping->start - (segment->address + (mapping->offset - segment->offset));
}

/* The segment that the mapping is of if there is only one; NULL: none, or several. */
static const struct symbol_segment *only_segment(const struct symbol_mapping *mapping)
{
    const struct symbol_segment *only = NULL;
    for (unsigned i = 0; i < mapping->file->segments; i++) {
        if (is_of(mapping, &mapping->file->segment[i])) {
            if (only) {
                return NULL;
            }
            only = &mapping->file->segment[i];
        }
    }
    return only;
}

/* The segment of a mapping that puts the file where `other`, a mapping of the same, says it is. */
static const struct symbol_segment *agreed(const struct symbol_mapping *mapping,
                                           const struct symbol_mapping *other)
{
    const struct symbol_segment *known = other->file == mapping->file ? only_segment(other) : NULL;
    for (unsigned i = 0; known && i < mapping->file->segments; i++) {
        const struct symbol_segment *segment = &mapping->file->segment[i];
        if (is_of(mapping, segment) && bias_by(mapping, segment) == bias_by(other, known)) {
            return segment;
        }
    }
    return NULL;
}

/* Of several segments, the one that agrees with a neighbour, else the executable one. */
static const struct symbol_segment *best_segment(const struct symbol_space *space, size_t at)
{
    enum { FAR = 16 };
    const struct symbol_mapping *mapping = &space->mapping[at];
    const struct symbol_segment *best = NULL;
    for (size_t i = at > FAR ? at - FAR : 0; i < space->count && i < at + FAR && !best; i++) {
        best = agreed(mapping, &space->mapping[i]);
    }
    for (unsigned i = 0; i < mapping->file->segments && !best; i++) {
        const struct symbol_segment *segment = &mapping->file->segment[i];
        best = is_of(mapping, segment) && segment->executable ? segment : NULL;
    }
    for (unsigned i = 0; i < mapping->file->segments && !best; i++) {
        const struct symbol_segment *segment = &mapping->file->segment[i];
        best = is_of(mapping, segment) ? segment : NULL;
    }
    return best;
}

void symbol_mapping_place(struct symbol_space *space, size_t at)
{
    struct symbol_mapping *mapping = &space->mapping[at];
    if (mapping->placed || !mapping->file) {
        return;
    }
    symbol_file_read(space, mapping->file);
    const struct symbol_segment *segment = only_segment(mapping);
    segment = segment ? segment : best_segment(space, at);
    mapping->bias = segment ? bias_by(mapping, segment) : mapping->start - mapping->offset;
    mapping->placed = true;
}

static struct symbol_cached *cached(struct symbol_space *space, uint64_t address)
{
    struct symbol_cached *row = &space->cache[(address ^ address >> 10) & (SYMBOL_CACHE - 1)];
    if (row->address == address && row->generation == space->generation) {
        return row;
    }
    size_t at = first_behind(space, address);
    if (at == space->count || space->mapping[at].start > address) {
        return NULL;
    }
    struct symbol_mapping *mapping = &space->mapping[at];
    if (!mapping->file) {
        return NULL;
    }
    symbol_mapping_place(space, at);
    *row = (struct symbol_cached){
        .address = address,
        .generation = space->generation,
        .mapping = mapping,
        .entry = symbol_file_find(mapping->file, address - mapping->bias),
    };
    return row;
}

bool symbol_find_locked(struct symbol_space *space, uint64_t address, bool line,
                        struct symbol_info *info)
{
    const struct symbol_cached *row = cached(space, address);
    *info = (struct symbol_info){0};
    if (!row) {
        return false;
    }
    struct symbol_file *file = row->mapping->file;
    info->module = file->name;
    info->path = file->path;
    info->module_address = address - row->mapping->bias;
    if (row->entry) {
        info->symbol = symbol_entry_name(file, row->entry);
        info->symbol_start = row->entry->address + row->mapping->bias;
        info->symbol_size = row->entry->size;
        info->offset = address - info->symbol_start;
    }
    if (line) {
        symbol_line_find(space, file, info->module_address, &info->file, &info->line);
    }
    return true;
}

static bool find(struct symbol_space *space, uint64_t address, bool line, struct symbol_info *info)
{
    pthread_mutex_lock(&space->lock);
    bool found = symbol_find_locked(space, address, line, info);
    pthread_mutex_unlock(&space->lock);
    return found;
}

bool symbol_find(struct symbol_space *space, uint64_t address, struct symbol_info *info)
{
    return find(space, address, false, info);
}

bool symbol_find_line(struct symbol_space *space, uint64_t address, struct symbol_info *info)
{
    return find(space, address, true, info);
}
