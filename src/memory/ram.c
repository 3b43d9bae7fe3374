/* SPDX-License-Identifier: MIT
 *
 * RAM: its bytes, and a byte of marks for each page.
 *
 *      bit    7 ... 3      2            1             0
 *          +-----------+-------+---------------+-----------+
 *          |     0     | DIRTY | WATCH_VGA     | CODE      |
 *          +-----------+-------+---------------+-----------+
 *
 * A page that a screen watches is WATCH_VGA or DIRTY: the first store turns one into the other, and
 * mem_dirty_take() back. Other pages are neither.
 *
 * Stores come first and look at the marks then, with a locked instruction between the two. Whoever
 * marks a page does it the other way round: first the mark, also locked, then the bytes are read.
 * So one of them sees what the other did, and no code made from old bytes stays (Intel SDM vol. 3,
 * 9.2.2 and 9.2.3.5: a load may pass an older store, but not a locked instruction).
 *
 * Both the bytes and the marks are anonymous memory that costs nothing until it is touched.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/memory.h"
#include "memory/internal.h"
#include "trace-memory.h"

enum { MARK_DIRTY = 4, MARKS_PUBLIC = MEM_MARK_CODE | MEM_MARK_WATCH_VGA };

struct mem_ram {
    uint8_t *host;
    uint8_t *marks; /* one for each page */
    size_t bytes;   /* whole pages */
    size_t pages;
    const struct mem_code_listener *listener;
};

static void *map(size_t bytes)
{
    return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                -1, 0);
}

bool mem_ram_new(struct mem_region *region, struct error *err)
{
    struct mem_ram *ram;
    uint8_t *host = MAP_FAILED, *marks = MAP_FAILED;
    const size_t pages = (region->size >> MEM_PAGE_BITS) + ((region->size & (MEM_PAGE - 1)) != 0);

    if (pages <= SIZE_MAX >> MEM_PAGE_BITS)
        host = map(pages << MEM_PAGE_BITS);
    if (host != MAP_FAILED)
        marks = map(pages);
    if (marks == MAP_FAILED) {
        const int reason = host == MAP_FAILED && pages > SIZE_MAX >> MEM_PAGE_BITS ? ENOMEM : errno;
        if (host != MAP_FAILED)
            munmap(host, pages << MEM_PAGE_BITS);
        return error_set(err, "%s: the host does not give %" PRIu64 " bytes of memory: %s",
                         region->name, region->size, strerror(reason));
    }
    ram = mem_alloc(sizeof *ram);
    *ram = (struct mem_ram){host, marks, pages << MEM_PAGE_BITS, pages, NULL};
    region->ram = ram;
    return true;
}

void mem_ram_free(struct mem_ram *ram)
{
    munmap(ram->host, ram->bytes);
    munmap(ram->marks, ram->pages);
    free(ram);
}

uint8_t *mem_host(const struct mem_region *region)
{
    return region->ram ? region->ram->host : NULL;
}

/* --- marks --- */

/* The marks of the page that the offset lies in; NULL if there is none. */
static uint8_t *marks_at(const struct mem_region *region, uint64_t offset)
{
    if (!region->ram || offset >= region->ram->bytes)
        return NULL;
    return &region->ram->marks[offset >> MEM_PAGE_BITS];
}

unsigned mem_marks(const struct mem_region *region, uint64_t offset)
{
    const uint8_t *marks = marks_at(region, offset);
    return marks ? __atomic_load_n(marks, __ATOMIC_SEQ_CST) & MARKS_PUBLIC : 0;
}

void mem_mark(const struct mem_region *region, uint64_t offset, unsigned marks, bool on)
{
    uint8_t *at = marks_at(region, offset);

    if (!at)
        return;
    if (on)
        __atomic_fetch_or(at, marks & MARKS_PUBLIC, __ATOMIC_SEQ_CST);
    else
        __atomic_fetch_and(at, ~(marks & MARKS_PUBLIC), __ATOMIC_SEQ_CST);
}

void mem_on_code(const struct mem_region *region, const struct mem_code_listener *listener)
{
    if (region->ram)
        __atomic_store_n(&region->ram->listener, listener, __ATOMIC_RELEASE);
}

static const struct mem_code_listener *listener_of(const struct mem_region *region)
{
    return __atomic_load_n(&region->ram->listener, __ATOMIC_ACQUIRE);
}

/* A step through the pages of a range of bytes: `page` is the number of one, `from` and `size` say
 * which of its bytes are in the range. */
struct pages {
    uint64_t page, from, size;
    uint64_t at, left;
};

static struct pages pages_of(const struct mem_region *region, uint64_t offset, uint64_t size)
{
    if (!region->ram || offset >= region->ram->bytes)
        size = 0;
    else if (size > region->ram->bytes - offset)
        size = region->ram->bytes - offset;
    return (struct pages){.at = offset, .left = size};
}

static bool next_page(struct pages *pages)
{
    if (!pages->left)
        return false;
    pages->page = pages->at >> MEM_PAGE_BITS;
    pages->from = pages->at;
    pages->size = MEM_PAGE - (pages->at & (MEM_PAGE - 1));
    if (pages->size > pages->left)
        pages->size = pages->left;
    pages->at += pages->size;
    pages->left -= pages->size;
    return true;
}

/* Watched and clean becomes dirty; true if it was. */
static bool make_dirty(uint8_t *marks)
{
    uint8_t before = __atomic_load_n(marks, __ATOMIC_RELAXED);

    do {
        if (!(before & MEM_MARK_WATCH_VGA))
            return false;
    } while (!__atomic_compare_exchange_n(marks, &before,
                                          (before & ~MEM_MARK_WATCH_VGA) | MARK_DIRTY, false,
                                          __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
    return true;
}

void mem_written(const struct mem_region *region, uint64_t offset, uint64_t size)
{
    struct pages pages = pages_of(region, offset, size);

    while (next_page(&pages)) {
        uint8_t *marks = &region->ram->marks[pages.page];
        /* Not a plain load: it would pass the store. */
        const uint8_t now = __atomic_fetch_add(marks, 0, __ATOMIC_SEQ_CST);
        if (now & MEM_MARK_WATCH_VGA)
            make_dirty(marks);
        if (now & MEM_MARK_CODE) {
            const struct mem_code_listener *listener = listener_of(region);
            if (listener)
                listener->written(listener->opaque, region, pages.from, pages.size);
        }
    }
}

/* --- bytes --- */

/* Whether the bytes are one host access. Those that are not aligned are the host's business. */
static bool is_single(const uint8_t *host, size_t size)
{
    return size <= 8 && (size & (size - 1)) == 0 && ((uintptr_t)host & (size - 1)) == 0;
}

void mem_ram_read(const struct mem_region *region, uint64_t offset, void *to, size_t size)
{
    const uint8_t *from = region->ram->host + offset;
    uint64_t value;

    if (size == 0)
        return;
    if (!is_single(from, size)) {
        memcpy(to, from, size);
        return;
    }
    switch (size) {
    case 1: value = __atomic_load_n(from, __ATOMIC_RELAXED); break;
    case 2: value = __atomic_load_n((const uint16_t *)from, __ATOMIC_RELAXED); break;
    case 4: value = __atomic_load_n((const uint32_t *)from, __ATOMIC_RELAXED); break;
    default: value = __atomic_load_n((const uint64_t *)from, __ATOMIC_RELAXED); break;
    }
    memcpy(to, &value, size);
}

void mem_ram_write(const struct mem_region *region, uint64_t offset, const void *from, size_t size)
{
    uint8_t *to = region->ram->host + offset;
    uint64_t value = 0;

    if (size == 0)
        return;
    if (!is_single(to, size)) {
        memcpy(to, from, size);
    } else {
        memcpy(&value, from, size);
        switch (size) {
        case 1: __atomic_store_n(to, (uint8_t)value, __ATOMIC_RELAXED); break;
        case 2: __atomic_store_n((uint16_t *)to, (uint16_t)value, __ATOMIC_RELAXED); break;
        case 4: __atomic_store_n((uint32_t *)to, (uint32_t)value, __ATOMIC_RELAXED); break;
        default: __atomic_store_n((uint64_t *)to, value, __ATOMIC_RELAXED); break;
        }
    }
    mem_written(region, offset, size);
}

/* --- screens --- */

void mem_dirty_start(struct mem_region *region)
{
    for (size_t page = 0; region->ram && page < region->ram->pages; page++) {
        uint8_t *marks = &region->ram->marks[page];
        if (!(__atomic_load_n(marks, __ATOMIC_RELAXED) & (MEM_MARK_WATCH_VGA | MARK_DIRTY)))
            __atomic_fetch_or(marks, MARK_DIRTY, __ATOMIC_SEQ_CST);
    }
}

/* Neighbouring pages that become watched again are told as one range: telling stops CPUs. */
bool mem_dirty_take(struct mem_region *region, uint64_t offset, uint64_t size)
{
    struct pages pages = pages_of(region, offset, size);
    uint64_t first = UINT64_MAX, last = 0;

    while (next_page(&pages)) {
        uint8_t *marks = &region->ram->marks[pages.page];
        uint8_t before = __atomic_load_n(marks, __ATOMIC_SEQ_CST);
        while ((before & MARK_DIRTY) &&
               !__atomic_compare_exchange_n(marks, &before,
                                            (before & ~MARK_DIRTY) | MEM_MARK_WATCH_VGA, false,
                                            __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            continue;
        if (before & MARK_DIRTY) {
            if (first == UINT64_MAX)
                first = pages.page;
            last = pages.page;
        }
    }
    if (first == UINT64_MAX)
        return false;
    const struct mem_code_listener *listener = listener_of(region);
    if (listener && listener->watched)
        listener->watched(listener->opaque, region, first << MEM_PAGE_BITS,
                          (last - first + 1) << MEM_PAGE_BITS);
    return true;
}

void mem_dirty_set(const struct mem_region *region, uint64_t offset, uint64_t size,
                   uint64_t address)
{
    struct pages pages = pages_of(region, offset, size);

    trace_memory_notdirty_write_access(address, offset, (unsigned)size);
    while (next_page(&pages)) {
        if (make_dirty(&region->ram->marks[pages.page]))
            trace_memory_notdirty_set_dirty(address + (pages.from - offset));
    }
}
