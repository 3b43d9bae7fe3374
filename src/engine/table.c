/* SPDX-License-Identifier: MIT
 *
 * Tables of the engine that grow; see struct table.
 */
#include <string.h>
#include <sys/mman.h>

#include "engine/internal.h"

enum { PIECE_MIN = 64 << 10, PIECE_MAX = HUGE_PAGE };

static bool map(struct table *table, size_t size)
{
    uint8_t *at = mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    *table = (struct table){0};
    if (at == MAP_FAILED)
        return false;
    *table = (struct table){.at = at + (-(uintptr_t)at & (HUGE_PAGE - 1)),
                            .size = size,
                            .mapped = at,
                            .mapped_size = size + HUGE_PAGE};
    return true;
}

bool table_new(struct table *table, size_t size)
{
    if (!map(table, size))
        return false;
    /* Small programs do not come that far. */
    if (size > HUGE_PAGE)
        madvise(table->at + HUGE_PAGE, size - HUGE_PAGE, MADV_HUGEPAGE);
    return true;
}

bool table_new_whole(struct table *table, size_t size)
{
    if (!map(table, size))
        return false;
    madvise(table->at, (size + HUGE_PAGE - 1) & ~(size_t)(HUGE_PAGE - 1), MADV_HUGEPAGE);
    madvise(table->at, size, MADV_POPULATE_WRITE);
    table->ready = size;
    return true;
}

void table_clear(struct table *table)
{
    memset(table->at, 0, table->size);
}

void table_free(struct table *table)
{
    if (table->mapped)
        munmap(table->mapped, table->mapped_size);
    *table = (struct table){0};
}

void table_ready(struct table *table, size_t used)
{
    size_t piece = used / 4 & ~(size_t)(PIECE_MIN - 1);

    if (used + PIECE_MIN / 2 <= table->ready)
        return;
    if (piece < PIECE_MIN)
        piece = PIECE_MIN;
    if (piece > PIECE_MAX)
        piece = PIECE_MAX;
    while (table->ready < used + PIECE_MIN / 2 && table->ready < table->size) {
        if (piece > table->size - table->ready)
            piece = table->size - table->ready;
        /* Where the kernel does not know this (before 5.14), memory comes page by page. */
        madvise(table->at + table->ready, piece, MADV_POPULATE_WRITE);
        table->ready += piece;
    }
}
