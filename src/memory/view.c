/* SPDX-License-Identifier: MIT
 *
 * A tree seen flat: sorted pieces that do not overlap, found by binary search.
 *
 * Threads search while the tree changes, take no lock, and write nothing that they share. A view
 * that is replaced is therefore not freed but kept with its space, and filled again for one of the
 * next pictures:
 *
 *      space->view ---> view  generation 6    current
 *                       view  generation 4    the one before, written next: 5, then 6
 *
 * The generation is odd while a view is written. A reader takes it before and after the search; if
 * it was odd or has changed, what was read may be of two pictures, and is read again. That takes
 * two changes of the tree within one search. All fields are read with acquire and written with
 * release, so that whoever reads a new value also sees that the generation went on. No piece is
 * looked at beyond the room of the view, which never changes, whatever the count says.
 *
 * A space has at most two views of a size and sizes are powers of two, so that changing a tree for
 * ever takes no more memory than its most complicated picture does.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "memory/internal.h"
#include "trace-memory.h"

enum {
    ROOM_AT_LEAST = 16,
    DEPTH_MAX = 64, /* of containers and aliases: a board that goes deeper goes in circles */
};

struct mem_view {
    uint64_t generation;
    uint32_t count, room;
    struct mem_view *next;
    struct mem_piece piece[];
};

#define GET(field)        __atomic_load_n(&(field), __ATOMIC_ACQUIRE)
#define SET(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELEASE)

static struct mem_piece get_piece(const struct mem_piece *from)
{
    return (struct mem_piece){GET(from->start), GET(from->last), GET(from->region),
                              GET(from->offset), GET(from->readonly)};
}

static void set_piece(struct mem_piece *to, const struct mem_piece *from)
{
    SET(to->start, from->start);
    SET(to->last, from->last);
    SET(to->region, from->region);
    SET(to->offset, from->offset);
    SET(to->readonly, from->readonly);
}

/* --- searching --- */

static void search(const struct mem_view *view, uint64_t address, struct mem_piece *found)
{
    const uint32_t count = GET(view->count);
    uint32_t low = 0, high = count; /* the first piece that begins behind the address */

    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (GET(view->piece[middle].start) <= address)
            low = middle + 1;
        else
            high = middle;
    }
    *found = (struct mem_piece){.start = 0, .last = UINT64_MAX};
    if (low > 0) {
        const struct mem_piece piece = get_piece(&view->piece[low - 1]);
        if (piece.last >= address) {
            *found = piece;
            return;
        }
        found->start = piece.last + 1;
    }
    if (low < count)
        found->last = GET(view->piece[low].start) - 1;
}

void mem_view_find(const struct mem_space *space, uint64_t address, struct mem_piece *piece)
{
    for (;;) {
        const struct mem_view *view = GET(space->view);
        const uint64_t generation = GET(view->generation);
        if (generation & 1)
            continue;
        search(view, address, piece);
        if (GET(view->generation) == generation)
            return;
    }
}

bool mem_find(struct mem_space *space, uint64_t address, struct mem_range *range)
{
    struct mem_piece piece;

    mem_view_find(space, address, &piece);
    *range = (struct mem_range){piece.start, piece.last - piece.start + 1, piece.region,
                                piece.offset, piece.readonly};
    return piece.region != NULL;
}

bool mem_view_piece(const struct mem_space *space, size_t number, struct mem_piece *piece)
{
    const struct mem_view *view = space->view;

    if (number >= view->count)
        return false;
    *piece = view->piece[number];
    return true;
}

/* --- rendering --- */

struct picture {
    struct mem_piece *row;
    size_t count, room;
};

static void insert(struct picture *picture, size_t at, const struct mem_piece *piece)
{
    if (picture->count == picture->room) {
        picture->room = picture->room ? 2 * picture->room : ROOM_AT_LEAST;
        picture->row = mem_resize(picture->row, picture->room, sizeof *picture->row);
    }
    memmove(&picture->row[at + 1], &picture->row[at], (picture->count - at) * sizeof *picture->row);
    picture->row[at] = *piece;
    picture->count++;
}

/* The first row that does not end before the address. */
static size_t place_of(const struct picture *picture, uint64_t address)
{
    size_t low = 0, high = picture->count;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (picture->row[middle].last < address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Shows the piece where nothing is shown yet: what lies above it came first. */
static void show(struct picture *picture, const struct mem_piece *piece)
{
    uint64_t at = piece->start;

    for (size_t i = place_of(picture, at);; i++) {
        const bool end = i == picture->count || picture->row[i].start > piece->last;
        if (end || picture->row[i].start > at) {
            struct mem_piece part = *piece;
            part.start = at;
            part.last = end ? piece->last : picture->row[i].start - 1;
            part.offset += at - piece->start;
            insert(picture, i++, &part);
        }
        if (end || picture->row[i].last >= piece->last)
            return;
        at = picture->row[i].last + 1;
    }
}

/* Where a region begins: before 0, for a window that shows its end. */
typedef __int128 position;

/* Between `low` and `high`, both within, the region is seen, beginning at `base`. */
static void render(struct picture *picture, const struct mem_region *region, position base,
                   position low, position high, bool readonly, unsigned depth)
{
    if (depth > DEPTH_MAX)
        bug("the memory region '%s' contains itself", region->name);
    if (low < base)
        low = base;
    if (high > base + mem_last(region))
        high = base + mem_last(region);
    if (!region->enabled || low > high)
        return;
    readonly |= region->readonly;
    if (region->kind == MEM_ALIAS) {
        if (region->target)
            render(picture, region->target, base - region->target_offset, low, high, readonly,
                   depth + 1);
        return;
    }
    for (const struct mem_region *child = region->children; child; child = child->next)
        render(picture, child, base + child->address, low, high, readonly, depth + 1);
    if (region->kind != MEM_CONTAINER) {
        const struct mem_piece piece = {(uint64_t)low, (uint64_t)high, (struct mem_region *)region,
                                        (uint64_t)(low - base), readonly && region->ram};
        show(picture, &piece);
    }
}

/* Neighbours that are one become one: what hid the place between them is no more. */
static void merge(struct picture *picture)
{
    size_t count = 0;

    for (size_t i = 0; i < picture->count; i++) {
        const struct mem_piece *next = &picture->row[i];
        struct mem_piece *piece = count ? &picture->row[count - 1] : NULL;
        if (piece && piece->region == next->region && piece->readonly == next->readonly &&
            piece->last + 1 == next->start &&
            piece->offset + (next->start - piece->start) == next->offset)
            piece->last = next->last;
        else
            picture->row[count++] = *next;
    }
    picture->count = count;
}

/* --- replacing --- */

static bool same(const struct mem_view *view, const struct picture *picture)
{
    if (!view || view->count != picture->count)
        return false;
    for (size_t i = 0; i < picture->count; i++) {
        const struct mem_piece *a = &view->piece[i], *b = &picture->row[i];
        if (a->start != b->start || a->last != b->last || a->region != b->region ||
            a->offset != b->offset || a->readonly != b->readonly)
            return false;
    }
    return true;
}

static struct mem_view *spare_view(struct mem_space *space, size_t count)
{
    size_t room = ROOM_AT_LEAST;

    for (struct mem_view *view = space->views; view; view = view->next) {
        if (view != space->view && view->room >= count)
            return view;
    }
    while (room < count)
        room *= 2;
    struct mem_view *view = mem_alloc(sizeof *view + room * sizeof view->piece[0]);
    view->room = (uint32_t)room;
    view->next = space->views;
    space->views = view;
    return view;
}

static void put(struct mem_space *space, const struct picture *picture)
{
    struct mem_view *view = spare_view(space, picture->count), *before = space->view;

    SET(view->generation, view->generation + 1);
    SET(view->count, (uint32_t)picture->count);
    for (size_t i = 0; i < picture->count; i++)
        set_piece(&view->piece[i], &picture->row[i]);
    SET(view->generation, view->generation + 1);
    SET(space->view, view);
    trace_flatview_new(view, space->root);
    if (before)
        trace_flatview_destroy(before, space->root);
}

bool mem_view_renew(struct mem_space *space)
{
    struct picture picture = {0};
    bool changed;

    if (space->root)
        render(&picture, space->root, 0, 0, UINT64_MAX, false, 0);
    merge(&picture);
    changed = !same(space->view, &picture);
    if (changed)
        put(space, &picture);
    free(picture.row);
    return changed;
}

void mem_space_free(struct mem_space *space)
{
    if (!space)
        return;
    if (space->root) {
        struct mem_space **at = &space->root->spaces;
        while (*at != space)
            at = &(*at)->next;
        *at = space->next;
    }
    trace_flatview_destroy(space->view, space->root);
    while (space->views) {
        struct mem_view *view = space->views;
        space->views = view->next;
        free(view);
    }
    free(space->name);
    free(space);
}
