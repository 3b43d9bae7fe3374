/* SPDX-License-Identifier: MIT
 *
 * Reads and writes: of RAM, and of registers in the sizes that their device takes.
 *
 * An access is cut where another region begins. A part that is RAM is copied; of a part that is
 * registers the largest pieces are made that are powers of two and aligned. What a device's
 * handlers take may be smaller than that (the piece is split again, the value put together) or
 * larger (the handler gets all of its unit):
 *
 *      guest reads 2 bytes at 3, impl 4 to 4     handler: 4 bytes at 0, 4 bytes at 4
 *      guest reads 4 bytes at 4, impl 1 to 2     handler: 2 bytes at 4, 2 bytes at 6
 */
#include <stdio.h>
#include <string.h>

#include "memory/internal.h"
#include "trace-memory.h"

enum { NAME_ROOM = 128 };

static uint64_t ones(unsigned size)
{
    return UINT64_MAX >> (64 - 8 * size);
}

static enum mem_result worse(enum mem_result a, enum mem_result b)
{
    return a > b ? a : b;
}

/* The largest power of two that is at most `size` and `max`, and divides the offset if it must. */
static unsigned largest_piece(uint64_t offset, size_t size, unsigned max, bool unaligned)
{
    unsigned piece = max;

    while (piece > size || (!unaligned && (offset & (piece - 1))))
        piece /= 2;
    return piece;
}

/* --- registers --- */

struct sizes {
    unsigned min, max;
};

static struct sizes valid_sizes(const struct mem_ops *ops)
{
    return (struct sizes){ops->valid_min ? ops->valid_min : 1, ops->valid_max ? ops->valid_max : 8};
}

static struct sizes impl_sizes(const struct mem_ops *ops)
{
    const struct sizes valid = valid_sizes(ops);
    return (struct sizes){ops->impl_min ? ops->impl_min : valid.min,
                          ops->impl_max ? ops->impl_max : valid.max};
}

/* One call of a handler, or several, of an access that is allowed. */
struct unit {
    uint64_t offset; /* in the region; what the handler is given */
    unsigned size;
    unsigned skip;  /* bytes of it that lie before the part of the access that it serves */
    unsigned count; /* bytes of that part */
};

static struct unit next_unit(const struct mem_ops *ops, uint64_t offset, unsigned left)
{
    const struct sizes impl = impl_sizes(ops);
    struct unit unit = {.offset = offset};

    unit.size = largest_piece(offset, left, impl.max, ops->impl_unaligned);
    unit.count = unit.size;
    if (unit.size < impl.min) {
        unit.size = impl.min;
        unit.skip = (unsigned)(offset & (impl.min - 1));
        unit.offset = offset - unit.skip;
        unit.count = unit.size - unit.skip < left ? unit.size - unit.skip : left;
    }
    return unit;
}

static void fire(enum mem_way way, int by, const struct mem_region *region, uint64_t address,
                 uint64_t offset, uint64_t value, unsigned size)
{
    char room[NAME_ROOM];
    const char *name = mem_region_words(region, way, offset, room, sizeof room);

    if (way == MEM_READ)
        trace_memory_region_ops_read(by, (void *)region, address, value, size, name);
    else
        trace_memory_region_ops_write(by, (void *)region, address, value, size, name);
}

/* MEM_OK if the access may reach the handlers. */
static enum mem_result admit(const struct mem_piece *piece, enum mem_way way, int by,
                             uint64_t address, uint64_t offset, unsigned size)
{
    const struct mem_region *region = piece->region;
    const struct mem_ops *ops = region->ops;
    const struct sizes valid = valid_sizes(ops);
    const char *reason = NULL;
    char room[64];

    if (way == MEM_READ ? !ops->read : !ops->write)
        return MEM_UNASSIGNED;
    if (size < valid.min || size > valid.max) {
        snprintf(room, sizeof room, "invalid size (min:%u max:%u)", valid.min, valid.max);
        reason = room;
    } else if ((offset & (size - 1)) && !ops->valid_unaligned) {
        reason = "unaligned";
    } else if (region->busy && by == MEM_BY_DEVICE) {
        reason = "it is its own device that accesses it";
    }
    if (reason) {
        mem_log_refused(region, way, address, offset, size, reason);
        return MEM_REFUSED;
    }
    mem_log_register(region, way, offset, size);
    return MEM_OK;
}

static enum mem_result io_load(const struct mem_piece *piece, int by, uint64_t address,
                               uint64_t *value, unsigned size)
{
    struct mem_region *region = piece->region;
    const uint64_t offset = piece->offset + (address - piece->start);
    const enum mem_result result = admit(piece, MEM_READ, by, address, offset, size);
    const bool busy = region->busy;

    *value = ones(size);
    if (result != MEM_OK)
        return result;
    *value = 0;
    region->busy = true;
    for (unsigned done = 0; done < size;) {
        const struct unit unit = next_unit(region->ops, offset + done, size - done);
        const uint64_t got =
            region->ops->read(region->opaque, unit.offset, unit.size) & ones(unit.size);
        if (trace_event_get_state_backends(TRACE_MEMORY_REGION_OPS_READ))
            fire(MEM_READ, by, region, address + done - unit.skip, unit.offset, got, unit.size);
        *value |= (got >> (8 * unit.skip) & ones(unit.count)) << (8 * done);
        done += unit.count;
    }
    region->busy = busy;
    return MEM_OK;
}

static enum mem_result io_store(const struct mem_piece *piece, int by, uint64_t address,
                                uint64_t value, unsigned size)
{
    struct mem_region *region = piece->region;
    const uint64_t offset = piece->offset + (address - piece->start);
    const enum mem_result result = admit(piece, MEM_WRITE, by, address, offset, size);
    const bool busy = region->busy;

    if (result != MEM_OK)
        return result;
    region->busy = true;
    for (unsigned done = 0; done < size;) {
        const struct unit unit = next_unit(region->ops, offset + done, size - done);
        const uint64_t part = (value >> (8 * done) & ones(unit.count)) << (8 * unit.skip);
        if (trace_event_get_state_backends(TRACE_MEMORY_REGION_OPS_WRITE))
            fire(MEM_WRITE, by, region, address + done - unit.skip, unit.offset, part, unit.size);
        region->ops->write(region->opaque, unit.offset, part, unit.size);
        done += unit.count;
    }
    region->busy = busy;
    return MEM_OK;
}

static bool as_piece(const struct mem_range *range, uint64_t address, unsigned size,
                     struct mem_piece *piece)
{
    *piece = (struct mem_piece){range->start, range->start + range->size - 1, range->region,
                                range->offset, range->readonly};
    return address >= piece->start && address <= piece->last && size - 1 <= piece->last - address;
}

static enum mem_result piece_load(const struct mem_space *space, const struct mem_piece *piece,
                                  int by, uint64_t address, uint64_t *value, unsigned size);
static enum mem_result piece_store(const struct mem_space *space, const struct mem_piece *piece,
                                   int by, uint64_t address, uint64_t value, unsigned size);

enum mem_result mem_io_load(const struct mem_range *range, int by, uint64_t address,
                            uint64_t *value, unsigned size)
{
    struct mem_piece piece;

    *value = ones(size);
    if (!as_piece(range, address, size, &piece))
        return MEM_UNASSIGNED;
    return piece_load(NULL, &piece, by, address, value, size);
}

enum mem_result mem_io_store(const struct mem_range *range, int by, uint64_t address,
                             uint64_t value, unsigned size)
{
    struct mem_piece piece;

    if (!as_piece(range, address, size, &piece))
        return MEM_UNASSIGNED;
    return piece_store(NULL, &piece, by, address, value, size);
}

/* --- one piece --- */

static enum mem_result piece_load(const struct mem_space *space, const struct mem_piece *piece,
                                  int by, uint64_t address, uint64_t *value, unsigned size)
{
    const struct mem_region *region = piece->region;

    if (!region) {
        *value = ones(size);
        mem_log_hole(space, MEM_READ, address, size);
        return MEM_UNASSIGNED;
    }
    if (!region->ram)
        return io_load(piece, by, address, value, size);
    *value = 0;
    mem_ram_read(region, piece->offset + (address - piece->start), value, size);
    return MEM_OK;
}

static enum mem_result piece_store(const struct mem_space *space, const struct mem_piece *piece,
                                   int by, uint64_t address, uint64_t value, unsigned size)
{
    const struct mem_region *region = piece->region;

    if (!region) {
        mem_log_hole(space, MEM_WRITE, address, size);
        return MEM_UNASSIGNED;
    }
    if (!region->ram)
        return io_store(piece, by, address, value, size);
    if (piece->readonly)
        mem_log_rom(region, address, size);
    else
        mem_ram_write(region, piece->offset + (address - piece->start), &value, size);
    return MEM_OK;
}

/* How many of the bytes lie in the piece. */
static size_t within(const struct mem_piece *piece, uint64_t address, size_t size)
{
    const uint64_t behind = piece->last - address; /* bytes that follow the first */
    return size - 1 <= behind ? size : (size_t)behind + 1;
}

/* --- anything --- */

/* Where an access crosses regions: bytes by bytes as large as they can be. */
static unsigned next_part(const struct mem_piece *piece, uint64_t address, unsigned left)
{
    const uint64_t offset = piece->offset + (address - piece->start);
    return largest_piece(offset, within(piece, address, left), 8, false);
}

enum mem_result mem_load(struct mem_space *space, int by, uint64_t address, uint64_t *value,
                         unsigned size)
{
    enum mem_result result = MEM_OK;
    struct mem_piece piece;

    mem_view_find(space, address, &piece);
    if (within(&piece, address, size) == size)
        return piece_load(space, &piece, by, address, value, size);
    *value = 0;
    for (unsigned done = 0; done < size;) {
        uint64_t got;
        mem_view_find(space, address + done, &piece);
        const unsigned part = next_part(&piece, address + done, size - done);
        result = worse(result, piece_load(space, &piece, by, address + done, &got, part));
        *value |= got << (8 * done);
        done += part;
    }
    return result;
}

enum mem_result mem_store(struct mem_space *space, int by, uint64_t address, uint64_t value,
                          unsigned size)
{
    enum mem_result result = MEM_OK;
    struct mem_piece piece;

    mem_view_find(space, address, &piece);
    if (within(&piece, address, size) == size)
        return piece_store(space, &piece, by, address, value, size);
    for (unsigned done = 0; done < size;) {
        mem_view_find(space, address + done, &piece);
        const unsigned part = next_part(&piece, address + done, size - done);
        const uint64_t bytes = value >> (8 * done) & ones(part);
        result = worse(result, piece_store(space, &piece, by, address + done, bytes, part));
        done += part;
    }
    return result;
}

/* The largest access that the device takes here. */
static unsigned register_part(const struct mem_piece *piece, uint64_t address, size_t left)
{
    const struct mem_ops *ops = piece->region->ops;
    const uint64_t offset = piece->offset + (address - piece->start);
    return largest_piece(offset, left, valid_sizes(ops).max, ops->valid_unaligned);
}

enum mem_result mem_read(struct mem_space *space, int by, uint64_t address, void *to, size_t size)
{
    enum mem_result result = MEM_OK;
    uint8_t *byte = to;

    for (size_t part; size; address += part, byte += part, size -= part) {
        struct mem_piece piece;
        mem_view_find(space, address, &piece);
        part = within(&piece, address, size);
        if (!piece.region) {
            memset(byte, 0xff, part);
            mem_log_hole(space, MEM_READ, address, part);
            result = worse(result, MEM_UNASSIGNED);
        } else if (piece.region->ram) {
            mem_ram_read(piece.region, piece.offset + (address - piece.start), byte, part);
        } else {
            uint64_t value;
            part = register_part(&piece, address, part);
            result = worse(result, io_load(&piece, by, address, &value, (unsigned)part));
            memcpy(byte, &value, part);
        }
    }
    return result;
}

enum mem_result mem_write(struct mem_space *space, int by, uint64_t address, const void *from,
                          size_t size)
{
    enum mem_result result = MEM_OK;
    const uint8_t *byte = from;

    for (size_t part; size; address += part, byte += part, size -= part) {
        struct mem_piece piece;
        mem_view_find(space, address, &piece);
        part = within(&piece, address, size);
        if (!piece.region) {
            mem_log_hole(space, MEM_WRITE, address, part);
            result = worse(result, MEM_UNASSIGNED);
        } else if (piece.region->ram && piece.readonly) {
            mem_log_rom(piece.region, address, part);
        } else if (piece.region->ram) {
            mem_ram_write(piece.region, piece.offset + (address - piece.start), byte, part);
        } else {
            uint64_t value = 0;
            part = register_part(&piece, address, part);
            memcpy(&value, byte, part);
            result = worse(result, io_store(&piece, by, address, value, (unsigned)part));
        }
    }
    return result;
}
