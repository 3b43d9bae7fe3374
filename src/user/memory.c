/* SPDX-License-Identifier: MIT
 *
 * System calls on mappings. Each does what the guest asks for on the host, minus execution, and
 * keeps the table. Translations of what changes are forgotten twice: before, so that nothing old
 * runs on what is new; after, because another thread may have translated in between. */
#include "user/memory.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/log.h"
#include "base/logitems.h"
#include "guest/x86/cpuid.h"
#include "user/internal.h"
#include "user/place.h"
#include "user/watch.h"

#include "trace-user.h"
#include "trace/probe/event.h"

/* linux/mman.h; not in every libc's headers. */
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#ifndef SHM_EXEC
#define SHM_EXEC 0100000
#endif

#define TASK_SIZE   (UINT64_C(0x800000000000) - USER_PAGE)
#define PROT_RWX    (PROT_READ | PROT_WRITE | PROT_EXEC)
#define PROT_SEM    8
#define PAGE_MASK   ((uint64_t)USER_PAGE - 1)
#define PAGE_UP(x)  (((x) + PAGE_MASK) & ~PAGE_MASK)
#define HOST(x)     ((void *)(uintptr_t)(x))
#define HUGE_SHIFT  26 /* MAP_HUGE_SHIFT: log2 of the page size above the flags */
#define HUGE_COMMON 21

/* --- set-up --- */

static void forget_through_engine(void *opaque, uint64_t start, uint64_t end)
{
    struct user *user = opaque;

    if (user->engine) {
        engine_invalidate(user->engine, start, end);
    }
}

void user_memory_init(struct user *user)
{
    struct user_map *map = &user->map;

    pthread_mutex_init(&map->lock, NULL);
    map->watch = user_watch_new();
    map->forget = forget_through_engine;
    map->forget_opaque = user;
    map->modules = user->options.modules;
    map->read_executes = personality(0xffffffff) & READ_IMPLIES_EXEC;
    user_memory_access(user);
}

/* The vDSO is the host's, and the guest's too: it is code like any other, and is translated. */
static bool note_vdso(void *opaque, const struct user_host_range *range)
{
    struct user *user = opaque;
    struct user_map *map = &user->map;
    const bool code = !strcmp(range->name, "[vdso]");

    if (code || !strncmp(range->name, "[vvar", 5)) {
        struct user_mapping m = {.start = range->start,
                                 .end = range->end,
                                 .prot = (uint8_t)range->prot,
                                 .area = code ? USER_AREA_VDSO : USER_AREA_VVAR};
        user_map_insert(map, &m);
        if (code) {
            map->vdso = range->start;
            if (user->options.model) {
                x86_model_system_code(user->options.model, range->start, range->end);
            }
        }
    }
    return true;
}

void user_memory_engine(struct user *user)
{
    struct user_map *map = &user->map;

    if (user->engine) {
        engine_cache_ranges(user->engine, map->engine_start, map->engine_end);
    }
    user_host_ranges(note_vdso, user);
}

/* --- -d page --- */

static void log_change(const char *call, uint64_t start, uint64_t end, int64_t result, int prot)
{
    char line[128];

    if (log_item_on(LOG_PAGE) && result >= 0) {
        int len = snprintf(line, sizeof line, "%-8s %012" PRIx64 "-%012" PRIx64 " %c%c%c\n", call,
                           start, end, prot & PROT_READ ? 'r' : '-', prot & PROT_WRITE ? 'w' : '-',
                           prot & PROT_EXEC ? 'x' : '-');
        log_text(line, (size_t)len);
    }
}

/* --- forgetting --- */

/* Forgets translations of the range, where there can be any; true if there can. */
static bool forget(struct user *user, uint64_t start, uint64_t end)
{
    struct user_map *map = &user->map;
    bool code = false;
    sigset_t saved;

    user_map_lock(user, &saved);
    for (size_t i = user_map_position(map, start);
         !code && i < map->count && map->mapping[i].start < end; i++) {
        code = map->mapping[i].prot & PROT_EXEC;
    }
    user_map_unlock(user, &saved);
    if (code) {
        map->forget(map->forget_opaque, start, end);
    }
    return code;
}

static void forget_again(struct user *user, bool code, uint64_t start, uint64_t end)
{
    if (code) {
        user->map.forget(user->map.forget_opaque, start, end);
    }
}

/* --- mmap --- */

/* What /proc/PID/maps calls the file of a descriptor. */
static struct user_file *describe_file(int fd)
{
    char link[64], path[4096 + 16];
    struct stat status;

    snprintf(link, sizeof link, "/proc/thread-self/fd/%d", fd);
    if (fstat(fd, &status)) {
        return NULL;
    }
    ssize_t len = readlink(link, path, sizeof path - 1);
    path[len > 0 ? len : 0] = 0;
    struct user_file *file = user_file_new(status.st_dev, status.st_ino, path);
    struct statvfs place;
    file->no_exec = !fstatvfs(fd, &place) && place.f_flag & ST_NOEXEC;
    return file;
}

/* Memory that is shared but has no name: the kernel makes a file for it. */
static struct user_file *describe_nameless(const char *name)
{
    static ino_t number; /* any will do, as long as no two are the same */

    return user_file_new(makedev(0, 1), __atomic_add_fetch(&number, 1, __ATOMIC_RELAXED), name);
}

static struct user_file *describe(const struct user_mapping *m, int flags, int fd)
{
    if (!(flags & MAP_ANONYMOUS)) {
        return describe_file(fd);
    }
    return m->huge     ? describe_nameless("/anon_hugepage (deleted)")
           : m->shared ? describe_nameless("/dev/zero (deleted)")
                       : NULL;
}

static uint64_t huge_size(int flags)
{
    unsigned shift = (unsigned)flags >> HUGE_SHIFT & 63;

    return UINT64_C(1) << (shift ? shift : HUGE_COMMON);
}

static int64_t place(struct user *user, uint64_t address, int flags, uint64_t length,
                     const struct user_request *request)
{
    struct user_map *map = &user->map;

    if (flags & MAP_FIXED_NOREPLACE && user_map_touches(map, address, address + length)) {
        return -EEXIST;
    }
    if (flags & MAP_FIXED_NOREPLACE) {
        int64_t got = user_place_fixed(map, address, request);
        return got == -ENOMEM ? -EEXIST : got;
    }
    if (flags & MAP_FIXED) {
        return user_place_fixed(map, address, request);
    }
    const bool file = !(flags & MAP_ANONYMOUS);
    const bool near = !(flags & (MAP_32BIT | MAP_HUGETLB)) &&
                      (file || (length < USER_NEAR_SIZE_MAX && !(flags & MAP_STACK)));
    return user_place_anywhere(map, address & ~PAGE_MASK, near, request);
}

int64_t user_mmap(struct user *user, uint64_t address, uint64_t length, uint64_t prot,
                  uint64_t flags, uint64_t fd, uint64_t offset)
{
    struct user_map *map = &user->map;
    const int kind = (int)flags;
    const bool fixed = kind & (MAP_FIXED | MAP_FIXED_NOREPLACE);
    sigset_t saved;

    if (length == 0) {
        return -EINVAL;
    }
    length = kind & MAP_HUGETLB && kind & MAP_ANONYMOUS
                 ? (length + huge_size(kind) - 1) & ~(huge_size(kind) - 1)
                 : PAGE_UP(length);
    if (offset & PAGE_MASK || (fixed && address & PAGE_MASK)) {
        return -EINVAL;
    }
    if (length == 0 || length > TASK_SIZE || (fixed && address > TASK_SIZE - length)) {
        return -ENOMEM;
    }
    if (address > TASK_SIZE - length) {
        address = 0;
    }
    prot &= PROT_RWX;
    if (map->read_executes && prot & PROT_READ) {
        prot |= PROT_EXEC;
    }
    struct user_mapping m = {.prot = (uint8_t)prot,
                             .offset = offset,
                             .shared = (kind & MAP_TYPE) != MAP_PRIVATE,
                             .grows_down = kind & MAP_GROWSDOWN,
                             .huge = kind & MAP_HUGETLB};
    m.file = describe(&m, kind, (int)fd);
    if (!m.file && !(kind & MAP_ANONYMOUS)) {
        return -EBADF;
    }
    if (kind & MAP_ANONYMOUS) {
        m.offset = 0;
    }
    if (prot & PROT_EXEC && m.file && m.file->no_exec) {
        user_file_drop(m.file);
        return -EPERM;
    }
    const struct user_request request = {.length = length,
                                         .prot = user_host_prot((int)prot),
                                         .flags = kind & ~(MAP_FIXED | MAP_FIXED_NOREPLACE),
                                         .fd = (int)fd,
                                         .offset = offset};
    bool code = kind & MAP_FIXED && forget(user, address, address + length);
    user_map_lock(user, &saved);
    int64_t at = place(user, address, kind, length, &request);
    if (at >= 0) {
        m.start = (uint64_t)at;
        m.end = m.start + length;
        user_watch_clear(map->watch, m.start, m.end);
        user_map_insert(map, &m);
    } else {
        user_file_drop(m.file);
    }
    user_map_unlock(user, &saved);
    forget_again(user, code, address, address + length);
    log_change("mmap", m.start, m.end, at, m.prot);
    return at;
}

/* --- munmap --- */

/* Lock held. Takes what the guest has in the range away, on the host and in the table. */
static int unmap(struct user_map *map, uint64_t start, uint64_t end)
{
    for (size_t i = user_map_position(map, start); i < map->count && map->mapping[i].start < end;
         i++) {
        const struct user_mapping *m = &map->mapping[i];
        uint64_t low = m->start > start ? m->start : start, high = m->end < end ? m->end : end;
        if (m->area < USER_AREA_VDSO && munmap(HOST(low), high - low)) {
            int failed = errno;
            user_map_remove(map, start, low);
            return -failed;
        }
    }
    user_watch_clear(map->watch, start, end);
    user_map_remove(map, start, end);
    return 0;
}

int64_t user_munmap(struct user *user, uint64_t address, uint64_t length)
{
    sigset_t saved;

    if (address & PAGE_MASK || length == 0 || length > TASK_SIZE ||
        address > TASK_SIZE - PAGE_UP(length)) {
        return -EINVAL;
    }
    const uint64_t end = address + PAGE_UP(length);
    bool code = forget(user, address, end);
    user_map_lock(user, &saved);
    int result = unmap(&user->map, address, end);
    user_map_unlock(user, &saved);
    forget_again(user, code, address, end);
    log_change("munmap", address, end, result, 0);
    return result;
}

/* --- mprotect --- */

/* Lock held; all of the range is the guest's. */
static int protect(struct user_map *map, uint64_t start, uint64_t end, int prot)
{
    for (size_t i = user_map_position(map, start); i < map->count && map->mapping[i].start < end;
         i++) {
        const struct user_mapping *m = &map->mapping[i];
        uint64_t low = m->start > start ? m->start : start, high = m->end < end ? m->end : end;
        int failed = 0;
        if (prot & PROT_EXEC && m->file && m->file->no_exec) {
            failed = EACCES;
        } else if (m->area < USER_AREA_VDSO &&
                   mprotect(HOST(low), high - low, user_host_prot(prot))) {
            failed = errno;
        }
        if (failed) {
            end = low; /* as the kernel: what came before stays changed */
            if (start < end) {
                user_watch_clear(map->watch, start, end);
                user_map_protect(map, start, end, prot);
            }
            return -failed;
        }
    }
    user_watch_clear(map->watch, start, end);
    user_map_protect(map, start, end, prot);
    return 0;
}

int64_t user_mprotect(struct user *user, uint64_t address, uint64_t length, uint64_t prot)
{
    struct user_map *map = &user->map;
    const uint64_t grows = prot & (PROT_GROWSDOWN | PROT_GROWSUP);
    sigset_t saved;

    prot &= ~grows;
    if (address & PAGE_MASK || grows == (PROT_GROWSDOWN | PROT_GROWSUP) ||
        prot & ~(uint64_t)(PROT_RWX | PROT_SEM)) {
        return -EINVAL;
    }
    if (length == 0) {
        return 0;
    }
    if (length > TASK_SIZE || address > TASK_SIZE - PAGE_UP(length)) {
        return -ENOMEM;
    }
    prot &= PROT_RWX;
    uint64_t start = address, end = address + PAGE_UP(length);
    user_map_lock(user, &saved);
    const struct user_mapping *m = user_map_at(map, start);
    int result = !m ? -ENOMEM : 0;
    if (m && grows) {
        result =
            grows == PROT_GROWSDOWN && (m->grows_down || m->area == USER_AREA_STACK) ? 0 : -EINVAL;
        start = m->start;
    }
    if (map->read_executes && prot & PROT_READ) {
        prot |= PROT_EXEC;
    }
    user_map_unlock(user, &saved);
    if (result) {
        return result;
    }
    bool code = forget(user, start, end);
    user_map_lock(user, &saved);
    const uint64_t mapped = user_map_run(map, start, end);
    result = mapped > start ? protect(map, start, mapped, (int)prot) : 0;
    if (!result && mapped < end) {
        result = -ENOMEM;
    }
    user_map_unlock(user, &saved);
    forget_again(user, code, start, end);
    log_change("mprotect", start, end, result, (int)prot);
    return result;
}

/* --- mremap --- */

/* Lock held. The host call, with places chosen by us where the kernel would not know better. */
static int64_t host_remap(struct user_map *map, const struct user_mapping *old, uint64_t old_size,
                          uint64_t new_size, int flags, uint64_t new_address)
{
    const uint64_t from = old->start;
    void *at;

    if (flags & MREMAP_FIXED) {
        int failed = user_place_reserve(map, new_address, new_address + new_size);
        if (failed) {
            return failed;
        }
        at = mremap(HOST(from), old_size, new_size, flags, HOST(new_address));
        if (at == MAP_FAILED) {
            failed = -errno;
            user_place_release(map, new_address, new_address + new_size);
            return failed;
        }
        return (int64_t)(uintptr_t)at;
    }
    const bool near = from >= map->near_low && from < map->near_high &&
                      (new_size < USER_NEAR_SIZE_MAX || (old->file && !old->segment));
    if (!(flags & MREMAP_MAYMOVE) || !near || flags & MREMAP_DONTUNMAP) {
        at = mremap(HOST(from), old_size, new_size, flags, NULL);
        return at == MAP_FAILED ? -errno : (int64_t)(uintptr_t)at;
    }
    at = old_size ? mremap(HOST(from), old_size, new_size, 0, NULL) : MAP_FAILED;
    if (at == MAP_FAILED && (!old_size || errno == ENOMEM)) {
        uint64_t gap = user_map_near_gap(map, map->near_low, new_size);
        if (gap && !user_place_reserve(map, gap, gap + new_size)) {
            at = mremap(HOST(from), old_size, new_size, flags | MREMAP_FIXED, HOST(gap));
            if (at == MAP_FAILED) {
                user_place_release(map, gap, gap + new_size);
            }
        }
        if (at == MAP_FAILED) {
            at = mremap(HOST(from), old_size, new_size, flags, NULL);
        }
    }
    return at == MAP_FAILED ? -errno : (int64_t)(uintptr_t)at;
}

/* Lock held. The table after a successful call. */
static void note_remap(struct user_map *map, const struct user_mapping *old, uint64_t old_size,
                       uint64_t new_start, uint64_t new_size, int flags)
{
    struct user_mapping fresh = *old;

    fresh.start = new_start;
    fresh.end = new_start + new_size;
    user_file_keep(fresh.file);
    if (old_size && !(flags & MREMAP_DONTUNMAP)) {
        user_map_remove(map, old->start, old->start + old_size);
        user_watch_clear(map->watch, old->start, old->start + old_size);
    }
    user_watch_clear(map->watch, fresh.start, fresh.end);
    user_map_insert(map, &fresh);
}

static int64_t remap_locked(struct user_map *map, uint64_t old_address, uint64_t old_size,
                            uint64_t new_size, int flags, uint64_t new_address)
{
    const struct user_mapping *m = user_map_at(map, old_address);

    /* One mapping, as the kernel wants it; the vDSO is the host's too. */
    if (!m || m->end < old_address + old_size) {
        return -EFAULT;
    }
    if (m->area >= USER_AREA_VDSO || (!old_size && !m->shared)) {
        return -EINVAL;
    }
    struct user_mapping old = *m;
    old.offset += old.file ? old_address - old.start : 0;
    old.start = old_address;
    user_file_keep(old.file);
    int64_t at = host_remap(map, &old, old_size, new_size, flags, new_address);
    if (at >= 0) {
        note_remap(map, &old, old_size, (uint64_t)at, new_size, flags);
    }
    user_file_drop(old.file);
    return at;
}

int64_t user_mremap(struct user *user, uint64_t old_address, uint64_t old_size, uint64_t new_size,
                    uint64_t flags, uint64_t new_address)
{
    struct user_map *map = &user->map;
    const bool fixed = flags & MREMAP_FIXED;
    sigset_t saved;

    old_size = PAGE_UP(old_size);
    new_size = PAGE_UP(new_size);
    if (flags & ~(uint64_t)(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP) ||
        old_address & PAGE_MASK || new_size == 0 || old_size > TASK_SIZE || new_size > TASK_SIZE ||
        old_address > TASK_SIZE - old_size ||
        (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP) && !(flags & MREMAP_MAYMOVE)) ||
        (flags & MREMAP_DONTUNMAP && old_size != new_size) ||
        (fixed &&
         (new_address & PAGE_MASK || new_address > TASK_SIZE - new_size ||
          (new_address < old_address + old_size && old_address < new_address + new_size)))) {
        return -EINVAL;
    }
    if (!fixed && old_size >= new_size && old_size && !(flags & MREMAP_DONTUNMAP)) {
        user_map_lock(user, &saved);
        bool mapped = user_map_run(map, old_address, old_address + old_size) > old_address;
        user_map_unlock(user, &saved);
        if (!mapped) {
            return -EFAULT;
        }
        int64_t failed = old_size > new_size
                             ? user_munmap(user, old_address + new_size, old_size - new_size)
                             : 0;
        return failed ? failed : (int64_t)old_address;
    }
    /* What is watched is given back first: the host must see one mapping. */
    bool old_code = forget(user, old_address, old_address + old_size);
    bool new_code = fixed && forget(user, new_address, new_address + new_size);
    user_map_lock(user, &saved);
    int64_t at = remap_locked(map, old_address, old_size, new_size, (int)flags, new_address);
    const int prot = at >= 0 ? user_map_at(map, (uint64_t)at)->prot : 0;
    user_map_unlock(user, &saved);
    forget_again(user, old_code, old_address, old_address + old_size);
    forget_again(user, new_code, new_address, new_address + new_size);
    log_change("mremap", (uint64_t)at, (uint64_t)at + new_size, at, prot);
    return at;
}

/* --- brk --- */

static bool heap_allowed(const struct user_map *map, uint64_t address)
{
    struct rlimit limit;

    return address <= TASK_SIZE &&
           (getrlimit(RLIMIT_DATA, &limit) || limit.rlim_cur == RLIM_INFINITY ||
            address - map->brk_start <= limit.rlim_cur);
}

int64_t user_brk(struct user *user, uint64_t address)
{
    struct user_map *map = &user->map;
    sigset_t saved;
    bool code = false;

    if (address >= map->brk_start && PAGE_UP(address) < PAGE_UP(map->brk)) {
        code = forget(user, PAGE_UP(address), PAGE_UP(map->brk));
    }
    user_map_lock(user, &saved);
    const uint64_t now = PAGE_UP(map->brk), wanted = PAGE_UP(address);
    if (address >= map->brk_start && heap_allowed(map, address)) {
        bool done = true;
        if (wanted > now) {
            const int prot = PROT_READ | PROT_WRITE | (map->read_executes ? PROT_EXEC : 0);
            const struct user_request request = {.length = wanted - now,
                                                 .prot = user_host_prot(prot),
                                                 .flags = MAP_PRIVATE | MAP_ANONYMOUS,
                                                 .fd = -1};
            done = !user_map_touches(map, now, wanted) && user_place_fixed(map, now, &request) >= 0;
            struct user_mapping m = {
                .start = now, .end = wanted, .prot = (uint8_t)prot, .area = USER_AREA_HEAP};
            if (done) {
                user_map_insert(map, &m);
            }
        } else if (wanted < now) {
            done = unmap(map, wanted, now) == 0;
        }
        map->brk = done ? address : map->brk;
    }
    int64_t result = (int64_t)map->brk;
    user_map_unlock(user, &saved);
    if (code) {
        forget_again(user, code, wanted, now);
    }
    return result;
}

/* --- System V shared memory --- */

static int64_t attach(struct user_map *map, int id, uint64_t address, uint64_t size, int flags)
{
    const bool replace = flags & SHM_REMAP;

    if (replace) {
        int failed = user_place_reserve(map, address, address + size);
        if (failed) {
            return failed;
        }
    }
    void *at = shmat(id, address ? HOST(address) : NULL, flags & ~SHM_EXEC);
    if (at == (void *)-1) {
        int failed = -errno;
        if (replace) {
            user_place_release(map, address, address + size);
        }
        return failed;
    }
    return (int64_t)(uintptr_t)at;
}

int64_t user_shmat(struct user *user, uint64_t id, uint64_t address, uint64_t flags)
{
    struct user_map *map = &user->map;
    struct shmid_ds status;
    sigset_t saved;

    if (address & PAGE_MASK) {
        if (!(flags & SHM_RND)) {
            return -EINVAL;
        }
        address &= ~PAGE_MASK;
    }
    if (!address && flags & SHM_REMAP) {
        return -EINVAL;
    }
    if (shmctl((int)id, IPC_STAT, &status)) {
        return -errno;
    }
    const uint64_t size = PAGE_UP(status.shm_segsz);
    if (size > TASK_SIZE || address > TASK_SIZE - size) {
        return -EINVAL;
    }
    bool code = flags & SHM_REMAP && forget(user, address, address + size);
    char name[32];
    snprintf(name, sizeof name, "/SYSV%08x (deleted)", (unsigned)status.shm_perm.__key);
    user_map_lock(user, &saved);
    int64_t at = attach(map, (int)id, address, size, (int)flags);
    if (at >= 0) {
        struct user_mapping m = {.start = (uint64_t)at,
                                 .end = (uint64_t)at + size,
                                 .prot = PROT_READ,
                                 .shared = true,
                                 .segment = true,
                                 .file = user_file_new(makedev(0, 1), (ino_t)id, name)};
        m.prot |= flags & SHM_RDONLY ? 0 : PROT_WRITE;
        m.prot |= flags & SHM_EXEC ? PROT_EXEC : 0;
        user_watch_clear(map->watch, m.start, m.end);
        user_map_insert(map, &m);
    }
    user_map_unlock(user, &saved);
    forget_again(user, code, address, address + size);
    return at;
}

/* The mapping that is the first left of an attachment that began at `address`. */
static const struct user_mapping *attachment(const struct user_map *map, uint64_t address)
{
    for (size_t i = user_map_position(map, address); i < map->count; i++) {
        const struct user_mapping *m = &map->mapping[i];
        if (m->segment && m->start - m->offset == address) {
            return m;
        }
    }
    return NULL;
}

int64_t user_shmdt(struct user *user, uint64_t address)
{
    struct user_map *map = &user->map;
    sigset_t saved;
    uint64_t end = address;

    user_map_lock(user, &saved);
    const struct user_mapping *m = attachment(map, address);
    if (m) {
        for (const struct user_mapping *last = map->mapping + map->count; m < last; m++) {
            end = m->segment && m->start - m->offset == address ? m->end : end;
        }
    }
    user_map_unlock(user, &saved);
    if (end == address) {
        return -EINVAL;
    }
    bool code = forget(user, address, end);
    user_map_lock(user, &saved);
    int result = shmdt(HOST(address)) ? -errno : 0;
    while (!result && (m = attachment(map, address))) {
        user_map_remove(map, m->start, m->end);
    }
    user_map_unlock(user, &saved);
    forget_again(user, code, address, end);
    return result;
}

/* --- madvise --- */

enum { ADVICE_POPULATE_WRITE = 23, ADVICE_GUARD_INSTALL = 102 }; /* of later C libraries */

/* Advice that changes what is in memory, or writes to it. */
static bool changes_contents(int advice)
{
    switch (advice) {
    case MADV_DONTNEED:
    case MADV_FREE:
    case MADV_REMOVE:
    case ADVICE_POPULATE_WRITE:
    case ADVICE_GUARD_INSTALL:
#ifdef MADV_DONTNEED_LOCKED
    case MADV_DONTNEED_LOCKED:
#endif
        return true;
    default: return false;
    }
}

int64_t user_madvise(struct user *user, uint64_t address, uint64_t length, uint64_t advice)
{
    struct user_map *map = &user->map;
    sigset_t saved;

    if (address & PAGE_MASK || length > TASK_SIZE || address > TASK_SIZE - PAGE_UP(length)) {
        return -EINVAL;
    }
    const uint64_t end = address + PAGE_UP(length);
    if (length == 0) { /* only whether the advice exists */
        return madvise(NULL, 0, (int)advice) ? -errno : 0;
    }
    bool code = changes_contents((int)advice) && forget(user, address, end);
    int result = 0;
    uint64_t done = address;
    user_map_lock(user, &saved);
    for (size_t i = user_map_position(map, address);
         result == 0 && i < map->count && map->mapping[i].start < end; i++) {
        const struct user_mapping *m = &map->mapping[i];
        uint64_t low = m->start > address ? m->start : address;
        uint64_t high = m->end < end ? m->end : end;
        if (m->area < USER_AREA_VDSO && madvise(HOST(low), high - low, (int)advice)) {
            result = -errno;
        }
        done = done == low ? high : done;
    }
    user_map_unlock(user, &saved);
    forget_again(user, code, address, end);
    return result == 0 && done < end ? -ENOMEM : result;
}

/* --- questions --- */

bool user_memory_allows(struct user *user, uint64_t start, uint64_t length, int prot)
{
    struct user_map *map = &user->map;
    const uint64_t end = start + length;
    sigset_t saved;

    if (length == 0) {
        return true;
    }
    if (end < start) {
        return false;
    }
    user_map_lock(user, &saved);
    uint64_t at = start;
    for (size_t i = user_map_position(map, start); at < end && i < map->count; i++) {
        const struct user_mapping *m = &map->mapping[i];
        if (m->start > at || (m->prot & prot) != prot) {
            break;
        }
        at = m->end;
    }
    user_map_unlock(user, &saved);
    return at >= end;
}

bool user_memory_is_ours(struct user *user, uint64_t start, uint64_t length)
{
    const uint64_t end = start + length < start ? UINT64_MAX : start + length;

    for (int i = 0; i < 2; i++) {
        if (start < user->map.engine_end[i] && end > user->map.engine_start[i]) {
            return true;
        }
    }
    return false;
}

/* --- fork --- */

static struct user *told_of; /* the process's one */

static void tell_modules(void)
{
    sigset_t saved;

    user_map_lock(told_of, &saved);
    user_map_tell(&told_of->map);
    user_map_unlock(told_of, &saved);
}

void user_memory_tell_late(struct user *user)
{
    told_of = user;
    trace_control_lock();
    trace_late_event = &_TRACE_GUEST_MODULE_EVENT;
    trace_late_tell = tell_modules;
    trace_control_unlock();
}

void user_memory_fork_prepare(struct user *user)
{
    pthread_mutex_lock(&user->map.lock);
}

void user_memory_fork_parent(struct user *user)
{
    pthread_mutex_unlock(&user->map.lock);
}

void user_memory_fork_child(struct user *user)
{
    pthread_mutex_init(&user->map.lock, NULL);
}
