/* SPDX-License-Identifier: MIT
 *
 * Mappings of the guest: the table, what the host has for it, and pages that are watched. The
 * engine is played by forget(). */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "user/internal.h"
#include "user/place.h"
#include "user/watch.h"

#define AT(x)    ((uint64_t)(uintptr_t)(x))
#define BYTES(x) ((volatile uint8_t *)(uintptr_t)(x))
#define P        ((uint64_t)USER_PAGE)
#define RW       (PROT_READ | PROT_WRITE)
#define RWX      (RW | PROT_EXEC)
#define PLAIN    (MAP_PRIVATE | MAP_ANONYMOUS)
#define NO_FILE  ((uint64_t)-1)

static struct user *user;

/* What the engine does in engine_invalidate(): watched pages are given back. */
static unsigned forgotten;

static void forget(void *opaque, uint64_t start, uint64_t end)
{
    struct engine_memory memory = user_memory_callbacks(opaque);

    forgotten++;
    for (; start < end; start += P) {
        memory.watch_stores(memory.opaque, start, false);
    }
}

static uint64_t free_range(uint64_t size)
{
    /* Where the thread sanitizer, too, lets programs have memory. */
    for (uint64_t at = UINT64_C(0x7e8000000000); at < UINT64_C(0x7f8000000000); at += size) {
        if (user_host_free(at, at + size)) {
            return at;
        }
    }
    fail_msg("no free range");
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    user = mem_alloc(sizeof *user);
    user_memory_init(user);
    user->map.forget = forget;
    user->map.near_low = free_range(UINT64_C(1) << 32);
    user->map.near_high = user->map.near_low + (UINT64_C(1) << 31);
    user->map.hint = user->map.near_high;
    user->map.brk_start = user->map.brk = user->map.near_high + (UINT64_C(1) << 24);
    forgotten = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    while (user->map.count) {
        const struct user_mapping m = user->map.mapping[0];
        if (m.area >= USER_AREA_VDSO) {
            user_map_remove(&user->map, m.start, m.end);
        } else if (user_munmap(user, m.start, m.end - m.start)) {
            return -1;
        }
    }
    user_map_free(&user->map);
    user_watch_free(user->map.watch);
    free(user);
    return 0;
}

/* --- what the host has --- */

struct question {
    uint64_t address;
    int prot; /* -1: nothing */
};

static bool answer(void *opaque, const struct user_host_range *range)
{
    struct question *q = opaque;

    if (range->start <= q->address && q->address < range->end) {
        q->prot = range->prot;
    }
    return range->start <= q->address;
}

static int host_prot(uint64_t address)
{
    struct question q = {address, -1};

    assert_true(user_host_ranges(answer, &q));
    return q.prot;
}

static uint64_t map_pages(unsigned pages, int prot)
{
    int64_t at = user_mmap(user, 0, pages * P, (uint64_t)prot, PLAIN, NO_FILE, 0);

    assert_true(at > 0);
    return (uint64_t)at;
}

static int guest_prot(uint64_t address)
{
    const struct user_mapping *m = user_map_at(&user->map, address);

    return m ? m->prot : -1;
}

/* --- tests --- */

static void test_map_and_unmap(void **state)
{
    (void)state;
    uint64_t at = map_pages(4, RW);
    assert_in_range(at, user->map.near_low, user->map.near_high - 1);
    BYTES(at)[0] = 1;
    assert_int_equal(host_prot(at), RW);
    assert_int_equal(user_munmap(user, at + P, P), 0);
    assert_int_equal(host_prot(at + P), -1);
    assert_int_equal(guest_prot(at + P), -1);
    assert_int_equal(guest_prot(at + 2 * P), RW);
    assert_int_equal(user->map.count, 2);
    /* The hole is found again, as it is the highest gap. */
    assert_int_equal(map_pages(1, RW), at + P);
    assert_int_equal(user->map.count, 1);
    assert_int_equal(user_munmap(user, at + 1, P), -EINVAL);
    assert_int_equal(user_munmap(user, at, 0), -EINVAL);
    assert_int_equal(user_munmap(user, at, UINT64_C(1) << 60), -EINVAL);
}

static void test_errors_of_mmap(void **state)
{
    (void)state;
    assert_int_equal(user_mmap(user, 0, 0, RW, PLAIN, NO_FILE, 0), -EINVAL);
    assert_int_equal(user_mmap(user, 0, P, RW, MAP_PRIVATE, NO_FILE, 0), -EBADF);
    assert_int_equal(user_mmap(user, 0, P, RW, PLAIN, NO_FILE, 1), -EINVAL);
    assert_int_equal(user_mmap(user, 123, P, RW, PLAIN | MAP_FIXED, NO_FILE, 0), -EINVAL);
    assert_int_equal(user_mmap(user, 0, UINT64_MAX, RW, PLAIN, NO_FILE, 0), -ENOMEM);
    assert_int_equal(user_mmap(user, 0, UINT64_C(1) << 50, RW, PLAIN, NO_FILE, 0), -ENOMEM);
    assert_int_equal(user_mmap(user, UINT64_MAX & -P, P, RW, PLAIN | MAP_FIXED, NO_FILE, 0),
                     -ENOMEM);
    uint64_t at = map_pages(1, RW);
    assert_int_equal(user_mmap(user, at, P, RW, PLAIN | MAP_FIXED_NOREPLACE, NO_FILE, 0), -EEXIST);
    assert_int_equal(user->map.count, 1);
}

static void test_nothing_is_executable_on_the_host(void **state)
{
    (void)state;
    uint64_t at = map_pages(3, RWX);
    assert_int_equal(host_prot(at), RW);
    assert_int_equal(guest_prot(at), RWX);
    assert_int_equal(user_mprotect(user, at + P, P, PROT_EXEC), 0);
    assert_int_equal(host_prot(at + P), PROT_READ); /* so that it can be translated */
    assert_int_equal(guest_prot(at + P), PROT_EXEC);
    assert_int_equal(user_mprotect(user, at, 3 * P, PROT_READ | PROT_EXEC), 0);
    assert_int_equal(host_prot(at + P), PROT_READ);
    assert_int_equal(user->map.count, 1);
    assert_int_equal(user_mprotect(user, at, P, 0x40), -EINVAL);
    assert_int_equal(user_mprotect(user, at + 1, P, RW), -EINVAL);
    assert_int_equal(user_mprotect(user, at + 2 * P, 2 * P, PROT_NONE), -ENOMEM);
    assert_int_equal(host_prot(at + 2 * P),
                     PROT_NONE); /* what was there has changed, as in Linux */
    assert_int_equal(user_mprotect(user, at + 3 * P, P, RW), -ENOMEM);
}

static void test_memory_of_ours_is_safe(void **state)
{
    (void)state;
    char *ours = mmap(NULL, 4 * P, RW, PLAIN, -1, 0);
    assert_ptr_not_equal(ours, MAP_FAILED);
    strcpy(ours, "ours");
    assert_int_equal(user_mmap(user, AT(ours), P, RW, PLAIN | MAP_FIXED, NO_FILE, 0), -ENOMEM);
    /* Where the guest has a part of the range, too, and then all stays as it was. */
    uint64_t beside = free_range(1 << 20);
    assert_int_equal(user_mmap(user, beside, P, RW, PLAIN | MAP_FIXED, NO_FILE, 0), beside);
    BYTES(beside)[0] = 42;
    char *next =
        mmap((void *)(uintptr_t)(beside + 2 * P), P, RW, PLAIN | MAP_FIXED_NOREPLACE, -1, 0);
    assert_ptr_not_equal(next, MAP_FAILED);
    assert_int_equal(user_mmap(user, beside, 3 * P, RW, PLAIN | MAP_FIXED, NO_FILE, 0), -ENOMEM);
    assert_int_equal(BYTES(beside)[0], 42);
    assert_int_equal(host_prot(beside + P), -1);
    munmap(next, P);
    assert_int_equal(user_munmap(user, AT(ours), 4 * P), 0);
    assert_int_equal(user_mprotect(user, AT(ours), P, PROT_NONE), -ENOMEM);
    assert_int_equal(user_mremap(user, AT(ours), P, 2 * P, MREMAP_MAYMOVE, 0), -EFAULT);
    assert_int_equal(user_mremap(user, beside, P, P, MREMAP_MAYMOVE | MREMAP_FIXED, AT(ours)),
                     -ENOMEM);
    assert_int_equal(user_madvise(user, AT(ours), P, MADV_DONTNEED), -ENOMEM);
    assert_string_equal(ours, "ours");
    munmap(ours, 4 * P);
}

static void test_hint(void **state)
{
    (void)state;
    uint64_t place = free_range(1 << 24);
    assert_int_equal(user_mmap(user, place + 5, 2 * P, RW, PLAIN, NO_FILE, 0), place);
    uint64_t other = (uint64_t)user_mmap(user, place + P, 2 * P, RW, PLAIN, NO_FILE, 0);
    assert_in_range(other, user->map.near_low, user->map.near_high);
    int64_t low = user_mmap(user, 0, P, RW, PLAIN | MAP_32BIT, NO_FILE, 0);
    assert_in_range(low, P, UINT32_MAX);
}

/* --- watched pages --- */

static void test_watch(void **state)
{
    struct engine_memory memory = user_memory_callbacks(user);
    uint64_t at = map_pages(4, RWX);

    (void)state;
    assert_int_equal(memory.page(memory.opaque, at + P + 7), ENGINE_PAGE_EXEC | ENGINE_PAGE_WATCH);
    assert_int_equal(memory.page(memory.opaque, at + 4 * P), 0);
    assert_false(user_store_fault(user, at + P));
    memory.watch_stores(memory.opaque, at + P, true);
    assert_int_equal(host_prot(at + P), PROT_READ);
    assert_int_equal(host_prot(at), RW);
    assert_int_equal(guest_prot(at + P), RWX);
    assert_true(user_store_fault(user, at + P + 100));
    assert_int_equal(forgotten, 1);
    assert_int_equal(host_prot(at + P), RW);
    assert_true(user_store_fault(user, at + P + 100)); /* another thread was first */

    /* The guest's own protection counts. */
    memory.watch_stores(memory.opaque, at + P, true);
    assert_int_equal(user_mprotect(user, at, 4 * P, PROT_READ | PROT_EXEC), 0);
    assert_false(user_store_fault(user, at + P));
    assert_int_equal(memory.page(memory.opaque, at + P), ENGINE_PAGE_EXEC);
    assert_int_equal(user_mprotect(user, at, 4 * P, RWX), 0);
    assert_int_equal(host_prot(at + P), RW);
    assert_int_equal(user_mprotect(user, at, 4 * P, RW), 0);
    assert_int_equal(memory.page(memory.opaque, at + P), 0);
}

static void test_mixed_page(void **state)
{
    struct engine_memory memory = user_memory_callbacks(user);
    uint64_t at = map_pages(1, RWX);

    (void)state;
    for (int i = 0; i < USER_WATCH_STORES_MAX; i++) {
        assert_int_equal(memory.page(memory.opaque, at), ENGINE_PAGE_EXEC | ENGINE_PAGE_WATCH);
        memory.watch_stores(memory.opaque, at, true);
        assert_true(user_store_fault(user, at));
        BYTES(at)[0] = (uint8_t)i;
    }
    assert_int_equal(memory.page(memory.opaque, at), ENGINE_PAGE_EXEC | ENGINE_PAGE_CHECKED);
    /* A new mapping there begins anew. */
    assert_int_equal(user_mmap(user, at, P, RWX, PLAIN | MAP_FIXED, NO_FILE, 0), at);
    assert_int_equal(memory.page(memory.opaque, at), ENGINE_PAGE_EXEC | ENGINE_PAGE_WATCH);
    int64_t shared = user_mmap(user, 0, P, RWX, MAP_SHARED | MAP_ANONYMOUS, NO_FILE, 0);
    assert_true(shared > 0);
    assert_int_equal(memory.page(memory.opaque, (uint64_t)shared),
                     ENGINE_PAGE_EXEC | ENGINE_PAGE_CHECKED);
}

static void forget_nothing(void *opaque, uint64_t start, uint64_t end)
{
    (void)opaque, (void)start, (void)end;
    forgotten++;
}

/* After a fork the engine does not know of what was watched before. */
static void test_watched_before_fork(void **state)
{
    struct engine_memory memory = user_memory_callbacks(user);
    uint64_t at = map_pages(3, RWX);

    (void)state;
    for (uint64_t i = 0; i < 3; i++) {
        memory.watch_stores(memory.opaque, at + i * P, true);
    }
    user->map.forget = forget_nothing;
    assert_true(user_store_fault(user, at + 3));
    assert_int_equal(host_prot(at), RW);
    user_unwatch(user, at + P, 2 * P);
    assert_int_equal(forgotten, 2);
    assert_int_equal(host_prot(at + 2 * P), RW);
    assert_int_equal(user->map.watch->count, 0);
}

static void test_unwatch(void **state)
{
    struct engine_memory memory = user_memory_callbacks(user);
    uint64_t at = map_pages(8, RWX);

    (void)state;
    user_unwatch(user, at, 8 * P);
    assert_int_equal(forgotten, 0);
    for (int i = 0; i < 8; i += i == 3 ? 2 : 1) {
        memory.watch_stores(memory.opaque, at + (uint64_t)i * P, true);
    }
    user_unwatch(user, at + 2 * P + 4090, 10); /* two pages */
    assert_int_equal(forgotten, 1);
    assert_int_equal(host_prot(at + P), PROT_READ);
    assert_int_equal(host_prot(at + 2 * P), RW);
    assert_int_equal(host_prot(at + 3 * P), RW);
    assert_int_equal(host_prot(at + 5 * P), PROT_READ);
    user_unwatch(user, at + 5, UINT64_MAX);
    for (uint64_t i = 0; i < 8; i++) {
        assert_int_equal(host_prot(at + i * P), RW);
    }
    assert_int_equal(user->map.watch->count, 0);
}

/* --- moving, growing --- */

static void test_mremap(void **state)
{
    struct engine_memory memory = user_memory_callbacks(user);
    uint64_t below = map_pages(1, RW), at = map_pages(2, RWX);

    (void)state;
    assert_int_equal(at + 2 * P, below);
    memset((void *)(uintptr_t)at, 7, 2 * P);
    memory.watch_stores(memory.opaque, at + P, true);
    assert_int_equal(user_mremap(user, at, 2 * P, 4 * P, 0, 0), -ENOMEM);
    int64_t moved = user_mremap(user, at, 2 * P, 4 * P, MREMAP_MAYMOVE, 0);
    assert_true(moved > 0 && (uint64_t)moved != at);
    assert_in_range(moved, user->map.near_low, user->map.near_high);
    assert_int_equal(host_prot(at), -1);
    assert_int_equal(guest_prot(at), -1);
    assert_int_equal(BYTES(moved)[2 * P - 1], 7);
    BYTES(moved)[3 * P] = 1;
    assert_int_equal(guest_prot((uint64_t)moved + 3 * P), RWX);
    assert_int_equal(user_mremap(user, (uint64_t)moved, 4 * P, P, 0, 0), moved);
    assert_int_equal(host_prot((uint64_t)moved + P), -1);
    /* Onto what the guest has, and where there is nothing. */
    assert_int_equal(
        user_mremap(user, (uint64_t)moved, P, 2 * P, MREMAP_MAYMOVE | MREMAP_FIXED, below - P),
        below - P);
    assert_int_equal(BYTES(below - P)[0], 7);
    assert_int_equal(guest_prot(below), RWX);
    assert_int_equal(user->map.count, 1);
    assert_int_equal(user_mremap(user, below, P, P, MREMAP_FIXED, at), -EINVAL);
    assert_int_equal(user_mremap(user, below + 64 * P, P, P, 0, 0), -EFAULT);
}

static void test_brk(void **state)
{
    const uint64_t start = user->map.brk_start;

    (void)state;
    assert_int_equal(user_brk(user, 0), start);
    assert_int_equal(user_brk(user, start + 10), start + 10);
    BYTES(start)[9] = 3;
    assert_int_equal(user_brk(user, start + 3 * P), start + 3 * P);
    assert_int_equal(user_map_at(&user->map, start)->area, USER_AREA_HEAP);
    assert_int_equal(user->map.count, 1);
    assert_int_equal(user_brk(user, start + P), start + P);
    assert_int_equal(host_prot(start + P), -1);
    /* Something in the way: as it was. */
    assert_int_equal(user_mmap(user, start + 4 * P, P, RW, PLAIN | MAP_FIXED, NO_FILE, 0),
                     start + 4 * P);
    assert_int_equal(user_brk(user, start + 16 * P), start + P);
    assert_int_equal(user_brk(user, UINT64_C(1) << 60), start + P);
    assert_int_equal(user_brk(user, start - P), start + P);
}

static void test_shared_memory(void **state)
{
    int id = shmget(IPC_PRIVATE, 3 * P, IPC_CREAT | 0600);

    (void)state;
    assert_true(id >= 0);
    int64_t at = user_shmat(user, (uint64_t)id, 0, 0);
    uint64_t fixed = map_pages(4, RW);
    assert_int_equal(user_shmat(user, (uint64_t)id, fixed, 0), -EINVAL);
    assert_int_equal(user_shmat(user, (uint64_t)id, fixed + 5, SHM_REMAP | SHM_RND), fixed);
    shmctl(id, IPC_RMID, NULL);
    assert_true(at > 0);
    BYTES(at)[P] = 9;
    assert_int_equal(BYTES(fixed)[P], 9);
    assert_int_equal(user_munmap(user, fixed + P, P), 0);
    assert_int_equal(user_shmdt(user, fixed), 0);
    assert_int_equal(guest_prot(fixed), -1);
    assert_int_equal(guest_prot(fixed + 2 * P), -1);
    assert_int_equal(guest_prot(fixed + 3 * P), RW);
    assert_int_equal(user_shmdt(user, fixed), -EINVAL);
    assert_int_equal(guest_prot((uint64_t)at), RW);
}

static void test_vdso_stays(void **state)
{
    (void)state;
    user_memory_engine(user);
    const uint64_t vdso = user->map.vdso;
    if (!vdso) {
        return; /* this kernel gives none */
    }
    assert_int_equal(guest_prot(vdso), PROT_READ | PROT_EXEC);
    assert_int_equal(user_mmap(user, vdso, P, RW, PLAIN | MAP_FIXED, NO_FILE, 0), -ENOMEM);
    assert_int_equal(user_munmap(user, vdso, P), 0);
    assert_int_equal(guest_prot(vdso), -1);
    assert_int_equal(host_prot(vdso), PROT_READ | PROT_EXEC);
}

static void test_questions(void **state)
{
    uint64_t at = map_pages(4, RW);

    (void)state;
    assert_int_equal(user_mprotect(user, at + 2 * P, P, PROT_READ), 0);
    assert_true(user_memory_allows(user, at, 4 * P, PROT_READ));
    assert_false(user_memory_allows(user, at, 4 * P + 1, PROT_READ));
    assert_true(user_memory_allows(user, at, 2 * P, PROT_WRITE));
    assert_false(user_memory_allows(user, at, 2 * P + 1, PROT_WRITE));
    assert_true(user_memory_allows(user, at, 0, PROT_WRITE));
    assert_false(user_memory_allows(user, at, UINT64_MAX, PROT_READ));
}

static void test_maps_text(void **state)
{
    char text[4096], path[] = "/tmp/vitrine-unit-XXXXXX";
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 3 * (off_t)P), 0);
    int64_t at = user_mmap(user, 0, 2 * P, PROT_READ | PROT_EXEC, MAP_PRIVATE, (uint64_t)fd, P);
    unlink(path);
    close(fd);
    assert_true(at > 0);
    int64_t maps = user_proc_open(user, AT_FDCWD, "/proc/self/../self//maps", O_RDONLY, 0);
    assert_true(maps >= 0);
    ssize_t len = read((int)maps, text, sizeof text - 1);
    close((int)maps);
    assert_true(len > 0);
    text[len] = 0;
    uint64_t start, end;
    unsigned offset;
    int name = 0;
    assert_int_equal(
        sscanf(text, "%" SCNx64 "-%" SCNx64 " r-xp %x %*s %*u %n", &start, &end, &offset, &name),
        3);
    assert_int_equal(start, at);
    assert_int_equal(end, at + 2 * (int64_t)P);
    assert_int_equal(offset, P);
    assert_int_equal(name, 73); /* where the kernel begins names */
    assert_memory_equal(text + name, path, strlen(path));
    assert_int_equal(user_proc_open(user, AT_FDCWD, "/proc/self/maps", O_RDWR, 0), -EACCES);
    assert_int_equal(user_proc_open(user, AT_FDCWD, "/proc/1/maps", O_RDONLY, 0),
                     getpid() == 1 ? 0 : USER_NOT_MINE);
    assert_int_equal(user_proc_open(user, AT_FDCWD, "maps", O_RDONLY, 0), USER_NOT_MINE);
    assert_int_equal(user_proc_open(user, AT_FDCWD, "/etc/maps", O_RDONLY, 0), USER_NOT_MINE);
}

/* --- the table against a plain one --- */

enum { WORLD = 64, STEPS = 4000 };

static uint64_t random_state;

static unsigned pick(unsigned n)
{
    random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (unsigned)(random_state >> 33) % n;
}

static void test_random_calls(void **state)
{
    static const int prots[] = {PROT_NONE, PROT_READ, RW, PROT_READ | PROT_EXEC, RWX, PROT_EXEC};
    struct engine_memory memory = user_memory_callbacks(user);
    const uint64_t base = free_range(1 << 24);
    int world[WORLD]; /* protection, or -1 */
    const char *seed = getenv("VITRINE_SEED");

    (void)state;
    random_state = seed ? strtoull(seed, NULL, 0) : (uint64_t)getpid();
    print_message("VITRINE_SEED=%" PRIu64 "\n", random_state);
    for (int i = 0; i < WORLD; i++) {
        world[i] = -1;
    }
    for (int step = 0; step < STEPS; step++) {
        const unsigned first = pick(WORLD), count = 1 + pick(WORLD - first < 9 ? WORLD - first : 9);
        const uint64_t at = base + first * P;
        const int prot = prots[pick(6)];
        switch (pick(5)) {
        case 0:
        case 1:
            assert_int_equal(
                user_mmap(user, at, count * P, (uint64_t)prot, PLAIN | MAP_FIXED, NO_FILE, 0), at);
            for (unsigned i = first; i < first + count; i++) {
                world[i] = prot;
            }
            break;
        case 2:
            assert_int_equal(user_munmap(user, at, count * P), 0);
            for (unsigned i = first; i < first + count; i++) {
                world[i] = -1;
            }
            break;
        case 3: {
            unsigned i = first;
            for (; i < first + count && world[i] >= 0; i++) {
                world[i] = prot;
            }
            assert_int_equal(user_mprotect(user, at, count * P, (uint64_t)prot),
                             i < first + count ? -ENOMEM : 0);
            break;
        }
        default:
            if (memory.page(memory.opaque, at) & ENGINE_PAGE_WATCH) {
                memory.watch_stores(memory.opaque, at, true);
                assert_int_equal(host_prot(at), PROT_READ);
                if (pick(2)) {
                    assert_true(user_store_fault(user, at));
                }
            }
        }
        const unsigned look = pick(WORLD);
        assert_int_equal(guest_prot(base + look * P), world[look]);
        for (size_t i = 0; i + 1 < user->map.count; i++) {
            const struct user_mapping *m = &user->map.mapping[i];
            assert_true(m->start < m->end && m->end <= m[1].start);
            assert_false(m->end == m[1].start && m->prot == m[1].prot);
        }
    }
    for (unsigned i = 0; i < WORLD; i++) {
        const uint64_t at = base + i * P;
        const struct user_watch_page *row = user_watch_find(user->map.watch, at);
        const int wanted = world[i] < 0 ? -1 : user_host_prot(world[i]);
        assert_int_equal(host_prot(at), row && row->on ? wanted & ~PROT_WRITE : wanted);
    }
}

/* Gaps: first fit from the top, whatever was given back in between. */
static void test_gaps(void **state)
{
    uint64_t at[64];

    (void)state;
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < 64; i++) {
            at[i] = map_pages(1 + pick(3), PROT_NONE);
        }
        for (int i = 0; i < 64; i++) {
            const struct user_mapping m = *user_map_at(&user->map, at[i]);
            if (pick(2) || round % 10 == 9) {
                assert_int_equal(user_munmap(user, m.start, m.end - m.start), 0);
                for (int other = i + 1; other < 64; other++) { /* it may have been joined */
                    if (at[other] >= m.start && at[other] < m.end) {
                        at[other] = map_pages(1, PROT_NONE);
                    }
                }
            }
        }
        uint64_t fit = map_pages(2, PROT_NONE);
        assert_int_equal(user_munmap(user, fit, 2 * P), 0);
        assert_int_equal(
            user_map_gap(&user->map, user->map.near_low, user->map.near_high, 2 * P, P), fit);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_map_and_unmap),
        TEST(test_errors_of_mmap),
        TEST(test_nothing_is_executable_on_the_host),
        TEST(test_memory_of_ours_is_safe),
        TEST(test_hint),
        TEST(test_watch),
        TEST(test_mixed_page),
        TEST(test_watched_before_fork),
        TEST(test_unwatch),
        TEST(test_mremap),
        TEST(test_brk),
        TEST(test_shared_memory),
        TEST(test_vdso_stays),
        TEST(test_questions),
        TEST(test_maps_text),
        TEST(test_random_calls),
        TEST(test_gaps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
