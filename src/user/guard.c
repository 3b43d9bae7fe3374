/* SPDX-License-Identifier: MIT
 *
 * Guest code that changes: what the engine is told of a page, and stores to pages that have
 * translations.
 *
 * A private page that the guest may write and that has translations is protected on the host
 * ("watched"). A store to it, by the guest or by the kernel for it, first makes the engine forget
 * the page, and the engine gives the protection back (watch_stores(off)) in the same step, under
 * its lock: so there is no moment at which the page has translations and stores go unseen. A page
 * that this happens to often holds data beside the code; its blocks compare their bytes from then
 * on, and it is watched no more. Shared mappings can be written elsewhere unseen: their blocks
 * always compare. */
#include <sys/mman.h>

#include "user/access.h"
#include "user/internal.h"
#include "user/memory.h"
#include "user/watch.h"

void user_map_lock(struct user *user, sigset_t *saved)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, saved);
    pthread_mutex_lock(&user->map.lock);
}

void user_map_unlock(struct user *user, const sigset_t *saved)
{
    pthread_mutex_unlock(&user->map.lock);
    pthread_sigmask(SIG_SETMASK, saved, NULL);
}

int user_host_prot(int prot)
{
    int host = prot & (PROT_READ | PROT_WRITE);

    return prot & PROT_EXEC ? host | PROT_READ : host; /* translated, not executed */
}

/* --- the engine's questions --- */

static bool watchable(const struct user_map *map, const struct user_mapping *m, uint64_t address)
{
    const struct user_watch_page *row = user_watch_find(map->watch, address);

    return !m->shared && !m->huge && (!row || row->stores < USER_WATCH_STORES_MAX) &&
           ((row && row->on) || map->watch->count < USER_WATCH_PAGES_MAX);
}

static unsigned page(void *opaque, uint64_t address)
{
    struct user *user = opaque;
    sigset_t saved;
    unsigned kind = 0;

    user_map_lock(user, &saved);
    const struct user_mapping *m = user_map_at(&user->map, address);
    if (m && m->prot & PROT_EXEC) {
        kind = ENGINE_PAGE_EXEC;
        if (m->shared) {
            kind |= ENGINE_PAGE_CHECKED;
        } else if (m->prot & PROT_WRITE) {
            kind |= watchable(&user->map, m, address) ? ENGINE_PAGE_WATCH : ENGINE_PAGE_CHECKED;
        }
    }
    user_map_unlock(user, &saved);
    return kind;
}

static void protect_page(uint64_t address, int prot)
{
    mprotect((void *)(uintptr_t)(address & -(uint64_t)USER_PAGE), USER_PAGE, prot);
}

static void watch_stores(void *opaque, uint64_t address, bool on)
{
    struct user *user = opaque;
    sigset_t saved;

    user_map_lock(user, &saved);
    const struct user_mapping *m = user_map_at(&user->map, address);
    if (!on) {
        if (user_watch_off(user->map.watch, address, false) && m) {
            protect_page(address, user_host_prot(m->prot));
        }
    } else if (m && !m->shared && m->prot & PROT_WRITE) {
        user_watch_on(user->map.watch, address);
        protect_page(address, user_host_prot(m->prot) & ~PROT_WRITE);
    }
    user_map_unlock(user, &saved);
}

static bool read_code(void *opaque, uint64_t address, void *to, size_t size)
{
    (void)opaque;
    return user_copy_in(to, address, size);
}

static bool touch(void *opaque, uint64_t address, bool write, struct vcpu_fault *fault)
{
    (void)opaque;
    return user_touch(address, write, fault);
}

struct engine_memory user_memory_callbacks(struct user *user)
{
    return (struct engine_memory){.opaque = user,
                                  .page = page,
                                  .watch_stores = watch_stores,
                                  .read = read_code,
                                  .touch = touch};
}

static uint64_t guest_pc(void *opaque, uint64_t host_pc)
{
    const struct user *user = opaque;

    return engine_guest_pc(user->engine, host_pc);
}

void user_memory_access(struct user *user)
{
    user->memory_access = user_guest_memory;
    user->memory_access.opaque = user;
    user->memory_access.guest_pc = guest_pc;
}

/* --- stores --- */

/* Makes the engine forget [start, end), which gives the watched pages there back, because something
 * is stored there. Pages that the engine does not know of (after a fork it begins anew) are given
 * back here, unless they were switched on again meanwhile. */
static void forget_stored(struct user *user, uint64_t start, uint64_t end)
{
    struct user_map *map = &user->map;
    struct user_watch *watch = map->watch;
    sigset_t saved;

    user_map_lock(user, &saved);
    const uint64_t turn = watch->turn;
    for (uint64_t at = start; (at = user_watch_next(watch, at, end)) < end; at += USER_PAGE) {
        struct user_watch_page *row = user_watch_find(watch, at);
        row->stores += row->stores < USER_WATCH_STORES_MAX;
    }
    user_map_unlock(user, &saved);
    map->forget(map->forget_opaque, start, end);
    user_map_lock(user, &saved);
    for (uint64_t at = start; (at = user_watch_next(watch, at, end)) < end; at += USER_PAGE) {
        const struct user_mapping *m = user_map_at(map, at);
        if (m && user_watch_find(watch, at)->turn <= turn) {
            user_watch_off(watch, at, false);
            protect_page(at, user_host_prot(m->prot));
        }
    }
    user_map_unlock(user, &saved);
}

bool user_store_fault(struct user *user, uint64_t address)
{
    struct user_map *map = &user->map;
    sigset_t saved;

    address &= -(uint64_t)USER_PAGE;
    user_map_lock(user, &saved);
    const struct user_mapping *m = user_map_at(map, address);
    const struct user_watch_page *row = user_watch_find(map->watch, address);
    /* Not watched any more, but it was: another thread's store came first. */
    bool ours = m && m->prot & PROT_WRITE && row && (row->on || row->stores);
    user_map_unlock(user, &saved);
    if (ours) {
        forget_stored(user, address, address + USER_PAGE);
    }
    return ours;
}

void user_unwatch(struct user *user, uint64_t start, uint64_t length)
{
    struct user_map *map = &user->map;
    uint64_t end = start + length < start ? UINT64_MAX & -(uint64_t)USER_PAGE : start + length;

    while (user_watch_may_touch(map->watch, start, end)) {
        sigset_t saved;
        user_map_lock(user, &saved);
        uint64_t low = user_watch_next(map->watch, start, end), high = low;
        while (high < end && user_watch_next(map->watch, high, high + USER_PAGE) == high) {
            high += USER_PAGE;
        }
        user_map_unlock(user, &saved);
        if (low >= end) {
            return;
        }
        forget_stored(user, low, high);
        start = high;
    }
}
