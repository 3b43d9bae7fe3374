/* SPDX-License-Identifier: MIT
 *
 * Memory for code: shared memory without a file, mapped twice. Code is written through one mapping
 * and executed through the other, and no page is both (W^X). Neither is inherited by a fork's
 * child, which would share them with the parent: it gets a copy of its own (engine_fork_child()).
 *
 * A memfd would do as well, but perf takes names from its map file (perf.h) only for code that has
 * no file.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/internal.h"

enum {
    CACHE_DEFAULT = 128 << 20,
    CACHE_MIN = 64 << 10,
    NEAR_STEP = 16 << 20,
    NEAR_REACH = 1 << 30,
    PIECE = 256 << 10, /* memory is asked for in such pieces */
};

static void *address_of(uint64_t address)
{
    return (void *)(uintptr_t)address; // NOLINT: an address is what it is
}

/* New memory, near the wanted address if that can be had: MAP_FAILED. `extra`: MAP_FIXED. */
static void *map_memory(size_t size, uint64_t wanted, int prot, int extra)
{
    return mmap(address_of(wanted), size, prot, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE | extra,
                -1, 0);
}

/* The same anywhere, such that huge pages can be used. */
static void *map_anywhere(size_t size, int prot)
{
    uint8_t *space = map_memory(size + HUGE_PAGE, 0, prot, 0);
    size_t before = -(uintptr_t)space & (HUGE_PAGE - 1);

    if (space == MAP_FAILED)
        return MAP_FAILED;
    if (before > 0)
        munmap(space, before);
    munmap(space + before + size, HUGE_PAGE - before);
    return space + before;
}

static void *map_near(struct engine *engine, uint64_t wanted)
{
    const int prot = PROT_READ | PROT_EXEC;

    for (uint64_t away = 0; wanted != 0 && away < NEAR_REACH; away += NEAR_STEP) {
        void *at = map_memory(engine->cache_size, wanted - away, prot, MAP_FIXED_NOREPLACE);

        if (at != MAP_FAILED)
            return at;
    }
    return map_anywhere(engine->cache_size, prot);
}

/* The same memory once more, with another protection: at `wanted`, or anywhere where that is 0.
 * mremap(2): of a shared mapping, an old size of zero makes a new one of the same pages. */
static void *map_again(void *memory, size_t size, uint64_t wanted, int prot)
{
    void *at =
        mremap(memory, 0, size, MREMAP_MAYMOVE | (wanted ? MREMAP_FIXED : 0), address_of(wanted));

    if (at != MAP_FAILED && mprotect(at, size, prot) != 0) {
        munmap(at, size);
        return MAP_FAILED;
    }
    return at;
}

static void advise(struct engine *engine, int advice)
{
    madvise(engine->write, engine->cache_size, advice);
    madvise(address_of(engine->exec), engine->cache_size, advice);
}

/* Children share neither view; huge pages serve where there are any. */
static void advise_views(struct engine *engine)
{
    advise(engine, MADV_DONTFORK);
    advise(engine, MADV_HUGEPAGE);
}

void cache_ready(struct engine *engine)
{
    size_t size = engine->cache_size - engine->ready;

    if (engine->used + PIECE / 2 <= engine->ready || size == 0)
        return;
    if (size > PIECE)
        size = PIECE;
    /* Where the kernel does not know this (before 5.14), memory comes page by page. The executed
     * view takes up what is there in larger steps by itself. */
    madvise(engine->write + engine->ready, size, MADV_POPULATE_WRITE);
    engine->ready += size;
}

bool cache_new(struct engine *engine, struct error *err)
{
    void *exec, *write = MAP_FAILED;

    engine->cache_size = engine->options.cache_size ? engine->options.cache_size : CACHE_DEFAULT;
    if (engine->cache_size < CACHE_MIN)
        engine->cache_size = CACHE_MIN;
    engine->cache_size = (engine->cache_size + 4095) & ~(size_t)4095;
    exec = map_near(engine, engine->options.code_near);
    if (exec != MAP_FAILED)
        write = map_again(exec, engine->cache_size, 0, PROT_READ | PROT_WRITE);
    if (write == MAP_FAILED) {
        error_set(err, "no memory for translated code (%zu bytes): %s", engine->cache_size,
                  strerror(errno));
        if (exec != MAP_FAILED)
            munmap(exec, engine->cache_size);
        return false;
    }
    engine->exec = (uint64_t)(uintptr_t)exec;
    engine->write = write;
    advise_views(engine);
    cache_ready(engine);
    cache_reset(engine);
    engine->glue_size = engine->used;
    return true;
}

void cache_free(struct engine *engine)
{
    munmap(engine->write, engine->cache_size);
    munmap(address_of(engine->exec), engine->cache_size);
}

void cache_reset(struct engine *engine)
{
    struct ir_code *code = engine->code;

    code->write = engine->write;
    code->exec = engine->exec;
    code->room = engine->cache_size;
    code->size = 0;
    code->full = false;
    engine->host->glue(code, &engine->glue);
    engine->used = code->size;
}

void engine_cache_ranges(const struct engine *engine, uint64_t start[2], uint64_t end[2])
{
    start[0] = engine->exec;
    start[1] = (uint64_t)(uintptr_t)engine->write;
    for (unsigned i = 0; i < 2; i++)
        end[i] = start[i] + engine->cache_size;
}

/* --- fork --- */

void engine_fork_prepare(struct engine *engine)
{
    void *copy;

    pthread_mutex_lock(&engine->lock);
    drain_wait(engine);
    copy = map_memory(engine->cache_size, 0, PROT_READ | PROT_WRITE, 0);
    if (copy != MAP_FAILED)
        memcpy(copy, engine->write, engine->used);
    engine->fork_copy = copy != MAP_FAILED ? copy : NULL;
}

void engine_fork_parent(struct engine *engine)
{
    if (engine->fork_copy)
        munmap(engine->fork_copy, engine->cache_size);
    engine->fork_copy = NULL;
    pthread_mutex_unlock(&engine->lock);
}

/* The other threads' vCPUs did not come along. */
static void forget_others(struct engine *engine, struct vcpu *self)
{
    engine->vcpus = self;
    self->next = NULL;
    self->tid = gettid();
    self->pid = getpid();
    engine->stop = 0;
    pthread_mutex_init(&engine->lock, NULL);
    pthread_mutex_init(&engine->stop_lock, NULL);
    pthread_cond_init(&engine->stop_over, NULL);
}

void engine_fork_child(struct engine *engine, struct vcpu *self)
{
    const size_t size = engine->cache_size;
    const bool copied = engine->fork_copy != NULL;
    void *view;

    forget_others(engine, self);
    drain_fork_child(engine, self);
    view = copied
               ? mremap(engine->fork_copy, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, engine->write)
               : map_memory(size, (uint64_t)(uintptr_t)engine->write, PROT_READ | PROT_WRITE,
                            MAP_FIXED);
    engine->fork_copy = NULL;
    if (view == MAP_FAILED ||
        map_again(view, size, engine->exec, PROT_READ | PROT_EXEC) == MAP_FAILED)
        bug("a forked child has no memory for translated code: %s", strerror(errno));
    advise_views(engine);
    engine->ready = (engine->used + PIECE - 1) & ~(size_t)(PIECE - 1); /* mapped as they are used */
    if (!copied)
        engine_flush(engine);
    if (engine->listener.forked) {
        engine->listener.forked(engine->listener.opaque);
        tell_all(engine);
    }
}
