/* SPDX-License-Identifier: MIT
 *
 * Pages with translations that are private and writable: the host protects them, so that a store is
 * caught. This is the book about them: a hash table by page. Callers hold map->lock, except where
 * said.
 */
#ifndef USER_WATCH_H
#define USER_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct user_watch_page {
    uint64_t page; /* number + 1; 0: free slot */
    bool on;
    uint8_t stores; /* how often a store took the watch away; stops at 255 */
    uint64_t turn;  /* of the struct, when it was last switched on */
};

struct user_watch {
    struct user_watch_page *slot;
    size_t slots; /* a power of two */
    size_t used;
    uint64_t turn; /* counts user_watch_on() */
    /* Read without the lock: how many are on, and between which addresses. */
    size_t count;
    uint64_t low, high;
};

enum {
    USER_WATCH_STORES_MAX = 8,   /* so many stores make a page one of code and data mixed */
    USER_WATCH_PAGES_MAX = 8192, /* each costs up to two of the mappings that the kernel allows */
};

struct user_watch *user_watch_new(void);
void user_watch_free(struct user_watch *watch);

/* The row of a page, or NULL. */
struct user_watch_page *user_watch_find(const struct user_watch *watch, uint64_t address);

/* Switches one page on, or says again that it is. */
void user_watch_on(struct user_watch *watch, uint64_t address);

/* Switches one page off; `stored`: because of a store. False if it was not on. */
bool user_watch_off(struct user_watch *watch, uint64_t address, bool stored);

/* The first page in [start, end) that is on, or UINT64_MAX. */
uint64_t user_watch_next(const struct user_watch *watch, uint64_t start, uint64_t end);

/* Switches all of [start, end) off and forgets its stores. */
void user_watch_clear(struct user_watch *watch, uint64_t start, uint64_t end);

/* False if surely nothing in [start, end) is on. Without the lock, any thread. */
bool user_watch_may_touch(const struct user_watch *watch, uint64_t start, uint64_t end);

#endif
