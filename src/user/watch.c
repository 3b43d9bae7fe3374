/* SPDX-License-Identifier: MIT
 *
 * The book of watched pages. Rows are not taken out one by one: those that say nothing any more are
 * left behind when the table grows. */
#include "user/watch.h"

#include <stdlib.h>

#include "base/memory.h"

enum { PAGE_SHIFT = 12, SLOTS_MIN = 64 };

struct user_watch *user_watch_new(void)
{
    struct user_watch *watch = mem_alloc(sizeof *watch);

    watch->slots = SLOTS_MIN;
    watch->slot = mem_alloc(watch->slots * sizeof *watch->slot);
    watch->low = UINT64_MAX;
    return watch;
}

void user_watch_free(struct user_watch *watch)
{
    if (watch) {
        free(watch->slot);
        free(watch);
    }
}

/* The slot of a page, or the free one where it belongs. */
static struct user_watch_page *slot_of(struct user_watch_page *slot, size_t slots, uint64_t page)
{
    size_t i = (size_t)(page * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (slots - 1);

    while (slot[i].page != 0 && slot[i].page != page) {
        i = (i + 1) & (slots - 1);
    }
    return &slot[i];
}

static uint64_t page_of(uint64_t address)
{
    return (address >> PAGE_SHIFT) + 1;
}

struct user_watch_page *user_watch_find(const struct user_watch *watch, uint64_t address)
{
    struct user_watch_page *row = slot_of(watch->slot, watch->slots, page_of(address));

    return row->page ? row : NULL;
}

static bool says_something(const struct user_watch_page *row)
{
    return row->on || row->stores;
}

static void grow(struct user_watch *watch)
{
    size_t kept = 0;
    for (size_t i = 0; i < watch->slots; i++) {
        kept += says_something(&watch->slot[i]);
    }
    size_t slots = watch->slots;
    while (slots < 4 * kept) {
        slots *= 2;
    }
    struct user_watch_page *old = watch->slot, *fresh = mem_alloc(slots * sizeof *fresh);
    for (size_t i = 0; i < watch->slots; i++) {
        if (says_something(&old[i])) {
            *slot_of(fresh, slots, old[i].page) = old[i];
        }
    }
    watch->slot = fresh;
    watch->slots = slots;
    watch->used = kept;
    free(old);
}

static void set_count(struct user_watch *watch, size_t count)
{
    if (count == 0) {
        __atomic_store_n(&watch->low, UINT64_MAX, __ATOMIC_RELAXED);
        __atomic_store_n(&watch->high, 0, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&watch->count, count, __ATOMIC_RELEASE);
}

void user_watch_on(struct user_watch *watch, uint64_t address)
{
    struct user_watch_page *row = slot_of(watch->slot, watch->slots, page_of(address));

    if (row->page == 0) {
        if (2 * (watch->used + 1) > watch->slots) {
            grow(watch);
            row = slot_of(watch->slot, watch->slots, page_of(address));
        }
        row->page = page_of(address);
        watch->used++;
    }
    row->turn = ++watch->turn;
    if (row->on) {
        return;
    }
    row->on = true;
    address &= ~(uint64_t)((1 << PAGE_SHIFT) - 1);
    if (address < watch->low) {
        __atomic_store_n(&watch->low, address, __ATOMIC_RELAXED);
    }
    if (address + (1 << PAGE_SHIFT) > watch->high) {
        __atomic_store_n(&watch->high, address + (1 << PAGE_SHIFT), __ATOMIC_RELAXED);
    }
    set_count(watch, watch->count + 1);
}

bool user_watch_off(struct user_watch *watch, uint64_t address, bool stored)
{
    struct user_watch_page *row = user_watch_find(watch, address);

    if (!row) {
        return false;
    }
    if (stored && row->stores < UINT8_MAX) {
        row->stores++;
    }
    if (!row->on) {
        return false;
    }
    row->on = false;
    set_count(watch, watch->count - 1);
    return true;
}

/* Whichever is less work: to ask for each page of the range, or to look at each row. */
static bool few_pages(const struct user_watch *watch, uint64_t start, uint64_t end)
{
    return (end - start) >> PAGE_SHIFT <= watch->slots;
}

uint64_t user_watch_next(const struct user_watch *watch, uint64_t start, uint64_t end)
{
    uint64_t found = UINT64_MAX;

    start = start > watch->low ? start : watch->low;
    end = end < watch->high ? end : watch->high;
    if (watch->count == 0 || start >= end) {
        return found;
    }
    start &= ~(uint64_t)((1 << PAGE_SHIFT) - 1);
    if (few_pages(watch, start, end)) {
        for (; start < end; start += 1 << PAGE_SHIFT) {
            const struct user_watch_page *row = user_watch_find(watch, start);
            if (row && row->on) {
                return start;
            }
        }
        return found;
    }
    for (size_t i = 0; i < watch->slots; i++) {
        const struct user_watch_page *row = &watch->slot[i];
        uint64_t address = (row->page - 1) << PAGE_SHIFT;
        if (row->on && address >= start && address < end && address < found) {
            found = address;
        }
    }
    return found;
}

static void clear_row(struct user_watch *watch, struct user_watch_page *row)
{
    if (row->on) {
        row->on = false;
        set_count(watch, watch->count - 1);
    }
    row->stores = 0;
}

void user_watch_clear(struct user_watch *watch, uint64_t start, uint64_t end)
{
    if (watch->used == 0) {
        return;
    }
    if (few_pages(watch, start, end)) {
        for (; start < end; start += 1 << PAGE_SHIFT) {
            struct user_watch_page *row = user_watch_find(watch, start);
            if (row) {
                clear_row(watch, row);
            }
        }
        return;
    }
    for (size_t i = 0; i < watch->slots; i++) {
        struct user_watch_page *row = &watch->slot[i];
        uint64_t address = (row->page - 1) << PAGE_SHIFT;
        if (row->page && address >= start && address < end) {
            clear_row(watch, row);
        }
    }
}

bool user_watch_may_touch(const struct user_watch *watch, uint64_t start, uint64_t end)
{
    return __atomic_load_n(&watch->count, __ATOMIC_ACQUIRE) != 0 &&
           end > __atomic_load_n(&watch->low, __ATOMIC_RELAXED) &&
           start < __atomic_load_n(&watch->high, __ATOMIC_RELAXED);
}
