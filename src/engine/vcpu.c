/* SPDX-License-Identifier: MIT
 *
 * Engines and vCPUs: made, bound to threads, held, freed.
 */
#include <errno.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/memory.h"
#include "engine/internal.h"
#include "trace-engine.h"

enum {
    VCPU_BYTES = SYSTEM_AT, /* in user mode */
    HUGE_VCPUS = 8, /* so many have a huge page for their tables: indirect jumps use all of them */
};

/* Which state block is bound to a thread: a question to the machine that the program runs on, so it
 * is the same function for all engines. */
static struct ir_state *(*current_state)(void);

static bool tables_new(struct engine *engine)
{
    if (!table_new_whole(&engine->hash_table, sizeof(*engine->hash) << ENGINE_HASH_BITS) ||
        !table_new(&engine->block_table, sizeof(struct block) * engine->block_max) ||
        !table_new(&engine->site_table, sizeof(struct site) * engine->site_max) ||
        !table_new(&engine->arena_table, engine->cache_size * 8 + (8 << 20)) ||
        !table_new(&engine->count_table, sizeof(*engine->count_slot) * COUNT_SLOTS))
        return false;
    engine->hash = (struct hash_place *)(void *)engine->hash_table.at;
    engine->block = (struct block *)(void *)engine->block_table.at;
    engine->site = (struct site *)(void *)engine->site_table.at;
    engine->arena = engine->arena_table.at;
    engine->count_slot = (struct count_slot *)(void *)engine->count_table.at;
    return true;
}

/* Also of those that could not all be made. */
static void tables_free(struct engine *engine)
{
    table_free(&engine->hash_table);
    table_free(&engine->block_table);
    table_free(&engine->site_table);
    table_free(&engine->arena_table);
    table_free(&engine->count_table);
}

struct engine *engine_new(const struct engine_config *config, struct error *err)
{
    struct engine *engine;

    if (!config->host->usable(err))
        return NULL;
    engine = mem_alloc(sizeof(*engine));
    engine->config = *config;
    __atomic_store_n(&current_state, config->host->current, __ATOMIC_RELAXED);
    engine->guest = config->guest;
    engine->host = config->host;
    engine->options = config->options;
    engine->drain.process = getpid();
    if (engine->options.one_instruction)
        engine->options.block_limit = 1;
    if (engine->options.block_limit == 0 || engine->options.block_limit > IR_BLOCK_INSNS)
        engine->options.block_limit = 64;
    pthread_mutex_init(&engine->lock, NULL);
    pthread_mutex_init(&engine->stop_lock, NULL);
    pthread_cond_init(&engine->stop_over, NULL);
    engine->ir = mem_alloc(sizeof(*engine->ir));
    engine->code = mem_alloc(sizeof(*engine->code));
    if (!cache_new(engine, err))
        goto fail;
    /* One block takes at least 32 bytes of code; what lies beside it, about ten times that. */
    engine->block_max = (uint32_t)(engine->cache_size / 32) + 64;
    engine->site_max = (uint32_t)(engine->cache_size / 16) + 1024;
    if (!tables_new(engine)) {
        error_set(err, "no address space for the engine's tables: %s", strerror(errno));
        cache_free(engine);
        goto fail;
    }
    if (!probes_init(engine)) {
        error_set(err, "no address space for guest probes: %s", strerror(errno));
        cache_free(engine);
        goto fail;
    }
    if (config->space)
        system_new(engine);
    return engine;
fail:
    tables_free(engine);
    free(engine->ir);
    free(engine->code);
    free(engine);
    return NULL;
}

void engine_free(struct engine *engine)
{
    drain_end(engine);
    system_free(engine);
    while (engine->spares > 0)
        table_free(&engine->spare[--engine->spares]);
    probes_free(engine);
    tables_free(engine);
    cache_free(engine);
    free(engine->ir);
    free(engine->code);
    free(engine);
}

static void empty_jump_table(struct vcpu *vcpu)
{
    for (size_t i = 0; i < (size_t)1 << IR_JUMP_BITS; i++)
        __atomic_store_n(&vcpu->jump_table[i], vcpu->engine->glue.empty, __ATOMIC_RELAXED);
}

void vcpu_forget(struct vcpu *vcpu)
{
    if (vcpu->soft) {
        soft_forget(vcpu);
        return;
    }
    empty_jump_table(vcpu);
    madvise(vcpu->second_table, IR_SECOND_END - IR_SECOND_AT, MADV_DONTNEED);
}

/* The memory of a vCPU that is gone, if there is any; and how many vCPUs there are. */
static bool take_spare(struct engine *engine, struct table *memory, unsigned *others)
{
    bool spare;

    *others = 0;
    pthread_mutex_lock(&engine->lock);
    for (const struct vcpu *other = engine->vcpus; other; other = other->next)
        ++*others;
    spare = engine->spares > 0;
    if (spare)
        *memory = engine->spare[--engine->spares];
    pthread_mutex_unlock(&engine->lock);
    return spare;
}

static size_t bytes_of(const struct engine *engine)
{
    return engine->config.space ? SYSTEM_END : VCPU_BYTES;
}

/* A vCPU's state block, and its tables behind it: all 0. The memory of one that is gone is taken
 * again, since the page faults of the tables are most of what a vCPU costs. */
static bool memory_new(struct vcpu *vcpu, struct engine *engine)
{
    struct table *memory = &vcpu->memory;
    unsigned others;

    if (take_spare(engine, memory, &others)) {
        memset(memory->at, 0, IR_STATE_SIZE);
        madvise(memory->at + IR_SECOND_AT, bytes_of(engine) - IR_SECOND_AT, MADV_DONTNEED);
    } else {
        if (!table_new(memory, bytes_of(engine)))
            return false;
        if (others < HUGE_VCPUS)
            madvise(memory->at, HUGE_PAGE, MADV_HUGEPAGE);
        madvise(memory->at, IR_SECOND_AT, MADV_POPULATE_WRITE);
    }
    vcpu->state = (struct ir_state *)(void *)memory->at;
    vcpu->jump_table = (uint64_t *)(void *)(memory->at + IR_STATE_SIZE);
    vcpu->second_table = (struct ir_second *)(void *)(memory->at + IR_SECOND_AT);
    vcpu->count = (uint64_t *)(void *)(memory->at + COUNT_AT);
    return true;
}

static void memory_free(struct vcpu *vcpu, struct engine *engine)
{
    bool kept;

    pthread_mutex_lock(&engine->lock);
    kept = engine->spares < ENGINE_SPARE_VCPUS;
    if (kept)
        engine->spare[engine->spares++] = vcpu->memory;
    pthread_mutex_unlock(&engine->lock);
    if (!kept)
        table_free(&vcpu->memory);
}

struct vcpu *vcpu_new(struct engine *engine, int number, struct error *err)
{
    struct vcpu *vcpu = mem_alloc(sizeof(*vcpu));

    if (!memory_new(vcpu, engine)) {
        error_set(err, "no memory for a CPU: %s", strerror(errno));
        free(vcpu);
        return NULL;
    }
    vcpu->engine = engine;
    vcpu->number = number;
    vcpu->random = (uint64_t)number + 88172645463325252U;
    engine->guest->reset(engine->config.guest_config, vcpu->state);
    vcpu->state->owner = vcpu;
    vcpu->set = probes_wanted(engine);
    if (engine->config.space)
        soft_new(vcpu);
    if (!stream_new(vcpu)) {
        error_set(err, "no memory for a CPU's stream buffer: %s", strerror(errno));
        memory_free(vcpu, engine);
        free(vcpu);
        return NULL;
    }
    empty_jump_table(vcpu);
    trace_guest_cpu_enter(number);
    if (!engine->config.space) /* else its board resets it */
        trace_guest_cpu_reset(number);
    pthread_mutex_lock(&engine->lock);
    vcpu->next = engine->vcpus;
    engine->vcpus = vcpu;
    pthread_mutex_unlock(&engine->lock);
    return vcpu;
}

static void add_counts(struct engine_counts *to, const struct engine_counts *from)
{
    for (unsigned i = 0; i < IR_EXIT_COUNT; i++)
        to->exits[i] += from->exits[i];
}

void vcpu_free(struct vcpu *vcpu)
{
    struct engine *engine = vcpu->engine;

    stream_flush(vcpu);
    trace_guest_cpu_exit(vcpu->number);
    pthread_mutex_lock(&engine->lock);
    for (struct vcpu **at = &engine->vcpus; *at; at = &(*at)->next) {
        if (*at == vcpu) {
            *at = vcpu->next;
            break;
        }
    }
    add_counts(&engine->counts, &vcpu->counts);
    counts_report(vcpu);
    engine->dead_instructions += counts_instructions(vcpu);
    pthread_mutex_unlock(&engine->lock);
    if (vcpu_current() == vcpu)
        engine->host->bind(NULL, NULL);
    stream_free(vcpu);
    if (vcpu->soft)
        soft_free(vcpu);
    memory_free(vcpu, engine);
    free(vcpu);
}

void *vcpu_state(struct vcpu *vcpu)
{
    return vcpu->state;
}

struct engine *vcpu_engine(struct vcpu *vcpu)
{
    return vcpu->engine;
}

int vcpu_number(const struct vcpu *vcpu)
{
    return vcpu->number;
}

struct vcpu *vcpu_current(void)
{
    struct ir_state *(*current)(void) = __atomic_load_n(&current_state, __ATOMIC_RELAXED);
    struct ir_state *state = current ? current() : NULL;

    return state ? state->owner : NULL;
}

void vcpu_bind(struct vcpu *vcpu)
{
    vcpu->tid = gettid();
    vcpu->pid = getpid();
    vcpu->engine->host->bind(vcpu->state, vcpu->engine->handler);
}

const struct vcpu_fault *vcpu_fault(const struct vcpu *vcpu)
{
    return &vcpu->fault;
}

/* --- holding others --- */

void vcpu_kick(struct vcpu *vcpu)
{
    siginfo_t info = {0};

    info.si_signo = vcpu->engine->config.kick_signal;
    info.si_code = SI_QUEUE;
    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_ptr = vcpu->engine;
    syscall(SYS_rt_tgsigqueueinfo, vcpu->pid, vcpu->tid, info.si_signo, &info);
}

/* The first other vCPU inside is kicked if asked for; true if there is one. Under the lock, since
 * vCPUs come and go. */
static bool others_inside(struct engine *engine, struct vcpu *self, bool kick)
{
    bool inside = false;

    pthread_mutex_lock(&engine->lock);
    for (struct vcpu *vcpu = engine->vcpus; vcpu; vcpu = vcpu->next) {
        if (vcpu == self || !__atomic_load_n(&vcpu->in_code, __ATOMIC_SEQ_CST))
            continue;
        inside = true;
        if (kick)
            vcpu_kick(vcpu);
    }
    pthread_mutex_unlock(&engine->lock);
    return inside;
}

void engine_stop_others(struct engine *engine, struct vcpu *self)
{
    pthread_mutex_lock(&engine->stop_lock);
    while (engine->stop)
        pthread_cond_wait(&engine->stop_over, &engine->stop_lock);
    __atomic_store_n(&engine->stop, 1, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&engine->stop_lock);

    for (bool kick = true;;) {
        struct timespec limit = {0, 10 * 1000 * 1000};
        uint32_t seen = __atomic_load_n(&engine->left_code, __ATOMIC_SEQ_CST);

        if (!others_inside(engine, self, kick))
            return;
        /* Again after a while: a signal cannot be sent while too many are pending. */
        kick = syscall(SYS_futex, &engine->left_code, FUTEX_WAIT_PRIVATE, seen, &limit, NULL, 0) !=
                   0 &&
               errno == ETIMEDOUT;
    }
}

void engine_go_on(struct engine *engine)
{
    pthread_mutex_lock(&engine->stop_lock);
    __atomic_store_n(&engine->stop, 0, __ATOMIC_SEQ_CST);
    pthread_cond_broadcast(&engine->stop_over);
    pthread_mutex_unlock(&engine->stop_lock);
}
