/* SPDX-License-Identifier: MIT
 *
 * The drain thread of an engine: adds up stream records for its vCPUs, so that the program goes on
 * meanwhile. Only where records are added up: sums do not depend on order, nor on who adds. Records
 * that become events stay with their own thread.
 *
 * A vCPU whose own buffer was full goes on with a large one of the engine's, if one is free, and
 * hands that over when it is full and when translated code is left. If none is free it does not
 * wait, but goes on with its own, which it adds up itself. The large ones are larger than caches: a
 * processor that reads what another has just written waits for each line, and so does that one when
 * it writes there again.
 *
 * Buffers are handed over in the handler of the guard page's fault, by a push to a list of the
 * engine; the thread takes the whole list. Nothing is locked, so that fork() finds nothing locked
 * either: the child has no thread, and starts one when it needs one.
 *
 * The thread blocks all signals and has no vCPU.
 */
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "engine/internal.h"

enum {
    TURNS = 2000,      /* looks at the list before it sleeps, some tens of microseconds */
    MOMENT_NS = 20000, /* between two looks of who waits for the thread */
};

/* --- the vCPU's side --- */

void drain_take(struct vcpu *vcpu)
{
    struct drain *drain = &vcpu->engine->drain;

    if (!__atomic_load_n(&drain->runs, __ATOMIC_ACQUIRE))
        return;
    for (unsigned i = 0; i < DRAIN_BUFFERS; i++) {
        uint32_t expected = DRAIN_FREE;

        if (__atomic_compare_exchange_n(&drain->buffer[i].state, &expected, DRAIN_FILLED, false,
                                        __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
            vcpu->large = &drain->buffer[i];
            return;
        }
    }
}

void drain_hand_over(struct vcpu *vcpu, enum stream_use use)
{
    struct drain *drain = &vcpu->engine->drain;
    struct stream_buffer *full = vcpu->large;

    vcpu->large = NULL;
    if (use == STREAM_EVENTS) { /* somebody else listens now, and has them */
        __atomic_store_n(&full->state, DRAIN_FREE, __ATOMIC_RELEASE);
        return;
    }
    full->end = vcpu->state->stream;
    full->use = use;
    __atomic_store_n(&full->state, DRAIN_HANDED_OVER, __ATOMIC_RELAXED);
    __atomic_fetch_add(&full->turn, 1, __ATOMIC_RELAXED);
    full->next = __atomic_load_n(&drain->full, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&drain->full, &full->next, full, true, __ATOMIC_SEQ_CST,
                                        __ATOMIC_RELAXED)) {
    }
    if (__atomic_load_n(&drain->sleeps, __ATOMIC_SEQ_CST) &&
        __atomic_exchange_n(&drain->sleeps, 0, __ATOMIC_SEQ_CST))
        syscall(SYS_futex, &drain->sleeps, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void drain_wait(struct engine *engine)
{
    const struct timespec moment = {0, MOMENT_NS};

    for (unsigned i = 0; i < DRAIN_BUFFERS; i++) {
        struct stream_buffer *buffer = &engine->drain.buffer[i];
        uint32_t turn = __atomic_load_n(&buffer->turn, __ATOMIC_RELAXED);

        while (__atomic_load_n(&buffer->state, __ATOMIC_ACQUIRE) == DRAIN_HANDED_OVER &&
               __atomic_load_n(&buffer->turn, __ATOMIC_RELAXED) == turn)
            nanosleep(&moment, NULL);
    }
}

/* --- the thread --- */

static void rest(struct drain *drain)
{
    for (unsigned i = 0; i < TURNS; i++) {
        if (__atomic_load_n(&drain->full, __ATOMIC_RELAXED))
            return;
        __builtin_ia32_pause();
    }
    __atomic_store_n(&drain->sleeps, 1, __ATOMIC_SEQ_CST);
    if (!__atomic_load_n(&drain->full, __ATOMIC_SEQ_CST) &&
        !__atomic_load_n(&drain->ends, __ATOMIC_SEQ_CST))
        syscall(SYS_futex, &drain->sleeps, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
    __atomic_store_n(&drain->sleeps, 0, __ATOMIC_SEQ_CST);
}

static void *drain_main(void *opaque)
{
    struct engine *engine = opaque;
    struct drain *drain = &engine->drain;

    engine->host->bind(NULL, NULL); /* what it has from the thread that made it */
    while (!__atomic_load_n(&drain->ends, __ATOMIC_SEQ_CST)) {
        struct stream_buffer *buffer = __atomic_exchange_n(&drain->full, NULL, __ATOMIC_ACQUIRE);

        /* The sites of these records were made before. */
        (void)__atomic_load_n(&engine->block_count, __ATOMIC_ACQUIRE);
        if (!buffer)
            rest(drain);
        while (buffer) {
            struct stream_buffer *next = buffer->next;

            stream_sum(engine, buffer->use, buffer->words, buffer->end);
            __atomic_store_n(&buffer->state, DRAIN_FREE, __ATOMIC_RELEASE);
            buffer = next;
        }
    }
    return NULL;
}

static bool make_buffers(struct drain *drain)
{
    const size_t each = DRAIN_BYTES + STREAM_GUARD;
    uint8_t *memory;

    if (drain->buffer[0].words) /* of the process that we were forked from */
        return true;
    memory = mmap(NULL, DRAIN_BUFFERS * each, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return false;
    for (unsigned i = 0; i < DRAIN_BUFFERS; i++) {
        mprotect(memory + i * each + DRAIN_BYTES, STREAM_GUARD, PROT_NONE);
        drain->buffer[i].words = (uint64_t *)(void *)(memory + i * each);
    }
    return true;
}

/* Without memory, or where threads are limited, each vCPU adds up its own. */
static void start(struct engine *engine)
{
    struct drain *drain = &engine->drain;
    sigset_t all, old;

    if (drain->runs || !make_buffers(drain))
        return;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    if (pthread_create(&drain->thread, NULL, drain_main, engine) == 0) {
        pthread_setname_np(drain->thread, "probe-drain");
        __atomic_store_n(&drain->runs, 1, __ATOMIC_RELEASE);
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void drain_begin(struct vcpu *vcpu)
{
    struct engine *engine = vcpu->engine;

    vcpu->looked_set = vcpu->set + 1;
    /* A child of vfork() would have it in its own process, and take it along when it ends. */
    if (vcpu->pid != engine->drain.process ||
        __atomic_load_n(&engine->set_mask[vcpu->set & SET_PROBES], __ATOMIC_RELAXED) == 0 ||
        stream_use(vcpu) == STREAM_EVENTS)
        return;
    pthread_mutex_lock(&engine->lock);
    start(engine);
    pthread_mutex_unlock(&engine->lock);
}

void drain_end(struct engine *engine)
{
    struct drain *drain = &engine->drain;

    if (drain->runs && drain->process == getpid()) {
        __atomic_store_n(&drain->ends, 1, __ATOMIC_SEQ_CST);
        __atomic_store_n(&drain->sleeps, 0, __ATOMIC_SEQ_CST);
        syscall(SYS_futex, &drain->sleeps, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
        pthread_join(drain->thread, NULL);
        drain->runs = 0;
    }
    if (drain->buffer[0].words)
        munmap(drain->buffer[0].words, DRAIN_BUFFERS * (size_t)(DRAIN_BYTES + STREAM_GUARD));
}

void drain_fork_child(struct engine *engine, struct vcpu *self)
{
    struct drain *drain = &engine->drain;

    drain->process = getpid();
    drain->runs = drain->ends = drain->sleeps = 0;
    drain->full = NULL;
    for (unsigned i = 0; i < DRAIN_BUFFERS; i++)
        drain->buffer[i].state = DRAIN_FREE;
    self->looked_set = 0;
}
