/* SPDX-License-Identifier: MIT
 *
 * Memory for code: one memfd, mapped twice. Code is written through one mapping and executed
 * through the other, and no page is both (W^X). Neither is inherited by a fork's child, which would
 * share them with the parent: it gets a copy of its own (engine_fork_child()).
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
};

/* The executed view, near the wanted address if that can be had. */
static void *map_near(struct engine *engine, uint64_t wanted)
{
    for (uint64_t away = 0; wanted != 0 && away < NEAR_REACH; away += NEAR_STEP) {
        void *at = mmap((void *)(uintptr_t)(wanted - away), engine->cache_size, // NOLINT
                        PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED_NOREPLACE, engine->memfd, 0);

        if (at != MAP_FAILED)
            return at;
    }
    return mmap(NULL, engine->cache_size, PROT_READ | PROT_EXEC, MAP_SHARED, engine->memfd, 0);
}

static int new_memfd(size_t size)
{
    int fd = memfd_create("vitrine-code", MFD_CLOEXEC);

    if (fd >= 0 && ftruncate(fd, (off_t)size) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void keep_from_children(struct engine *engine)
{
    madvise(engine->write, engine->cache_size, MADV_DONTFORK);
    madvise((void *)(uintptr_t)engine->exec, engine->cache_size, MADV_DONTFORK);
}

/* The mappings keep the memory; a descriptor would be in the guest's way. */
static void close_memfd(struct engine *engine)
{
    close(engine->memfd);
    engine->memfd = -1;
}

bool cache_new(struct engine *engine, struct error *err)
{
    void *exec;

    engine->cache_size = engine->options.cache_size ? engine->options.cache_size : CACHE_DEFAULT;
    if (engine->cache_size < CACHE_MIN)
        engine->cache_size = CACHE_MIN;
    engine->cache_size = (engine->cache_size + 4095) & ~(size_t)4095;
    engine->fork_memfd = -1;
    engine->memfd = new_memfd(engine->cache_size);
    if (engine->memfd < 0)
        return error_set(err, "no memory for translated code (%zu bytes): %s", engine->cache_size,
                         strerror(errno));
    engine->write =
        mmap(NULL, engine->cache_size, PROT_READ | PROT_WRITE, MAP_SHARED, engine->memfd, 0);
    exec = map_near(engine, engine->options.code_near);
    if (engine->write == MAP_FAILED || exec == MAP_FAILED) {
        close(engine->memfd);
        return error_set(err, "translated code cannot be mapped: %s", strerror(errno));
    }
    engine->exec = (uint64_t)(uintptr_t)exec;
    close_memfd(engine);
    keep_from_children(engine);
    cache_reset(engine);
    engine->glue_size = engine->used;
    return true;
}

void cache_free(struct engine *engine)
{
    munmap(engine->write, engine->cache_size);
    munmap((void *)(uintptr_t)engine->exec, engine->cache_size);
}

uint8_t *cache_writable(const struct engine *engine, uint64_t exec)
{
    return engine->write + (exec - engine->exec);
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

static bool copy_bytes(int fd, const uint8_t *from, size_t size)
{
    while (size > 0) {
        ssize_t done = write(fd, from, size);

        if (done < 0 && errno != EINTR)
            return false;
        if (done > 0) {
            from += done;
            size -= (size_t)done;
        }
    }
    return true;
}

void engine_fork_prepare(struct engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    drain_wait(engine);
    engine->fork_memfd = new_memfd(engine->cache_size);
    if (engine->fork_memfd >= 0 && !copy_bytes(engine->fork_memfd, engine->write, engine->used)) {
        close(engine->fork_memfd);
        engine->fork_memfd = -1;
    }
}

void engine_fork_parent(struct engine *engine)
{
    if (engine->fork_memfd >= 0)
        close(engine->fork_memfd);
    engine->fork_memfd = -1;
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
    bool copied = engine->fork_memfd >= 0;
    void *view[2];

    forget_others(engine, self);
    drain_fork_child(engine, self);
    engine->memfd = copied ? engine->fork_memfd : new_memfd(engine->cache_size);
    engine->fork_memfd = -1;
    view[0] = mmap(engine->write, engine->cache_size, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_FIXED, engine->memfd, 0);
    view[1] = mmap((void *)(uintptr_t)engine->exec, engine->cache_size, PROT_READ | PROT_EXEC,
                   MAP_SHARED | MAP_FIXED, engine->memfd, 0);
    if (engine->memfd < 0 || view[0] == MAP_FAILED || view[1] == MAP_FAILED)
        bug("a forked child has no memory for translated code: %s", strerror(errno));
    close_memfd(engine);
    keep_from_children(engine);
    if (!copied)
        engine_flush(engine);
}
