/* SPDX-License-Identifier: MIT
 *
 * The drain thread of an engine: takes full stream buffers of its vCPUs whose records are only
 * added up, so that the program goes on meanwhile. Sums do not depend on order, nor on who adds: a
 * vCPU that finds no free buffer adds up the full one itself instead of waiting, and what is left
 * when it leaves translated code too. Records that become events stay with their own thread.
 *
 * A vCPU hands over in the handler of the guard page's fault, by a push to a list of the engine;
 * the thread takes the whole list. Nothing is locked, so that fork() finds nothing locked either:
 * the child has no thread, and starts one when it needs one.
 *
 * The thread blocks all signals and has no vCPU.
 */
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "engine/internal.h"

enum {
    TURNS = 2000,      /* looks at the list before it sleeps, some tens of microseconds */
    MOMENT_NS = 20000, /* between two looks of who waits for the thread */
};

/* --- the vCPU's side --- */

bool drain_hand_over(struct vcpu *vcpu, enum stream_use use)
{
    struct drain *drain = &vcpu->engine->drain;
    struct stream_buffer *full = &vcpu->buffer[vcpu->filling];
    unsigned next = (vcpu->filling + 1) % STREAM_BUFFERS;

    if (!__atomic_load_n(&drain->runs, __ATOMIC_ACQUIRE) ||
        __atomic_load_n(&vcpu->buffer[next].busy, __ATOMIC_ACQUIRE))
        return false;
    full->end = vcpu->state->stream;
    full->use = use;
    __atomic_store_n(&full->busy, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&full->turn, 1, __ATOMIC_RELAXED);
    full->next = __atomic_load_n(&drain->full, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&drain->full, &full->next, full, true, __ATOMIC_SEQ_CST,
                                        __ATOMIC_RELAXED)) {
    }
    vcpu->filling = next;
    vcpu->stream = vcpu->buffer[next].words;
    vcpu->state->stream = vcpu->stream;
    if (__atomic_load_n(&drain->sleeps, __ATOMIC_SEQ_CST) &&
        __atomic_exchange_n(&drain->sleeps, 0, __ATOMIC_SEQ_CST))
        syscall(SYS_futex, &drain->sleeps, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    return true;
}

void drain_wait(struct vcpu *vcpu)
{
    const struct timespec moment = {0, MOMENT_NS};

    for (unsigned i = 0; i < STREAM_BUFFERS; i++) {
        struct stream_buffer *buffer = &vcpu->buffer[i];
        uint32_t turn = __atomic_load_n(&buffer->turn, __ATOMIC_RELAXED);

        while (__atomic_load_n(&buffer->busy, __ATOMIC_ACQUIRE) &&
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
        (void)__atomic_load_n(&engine->by_code_count, __ATOMIC_ACQUIRE);
        if (!buffer)
            rest(drain);
        while (buffer) {
            struct stream_buffer *next = buffer->next;

            stream_sum(engine, buffer->use, buffer->words, buffer->end);
            __atomic_store_n(&buffer->busy, 0, __ATOMIC_RELEASE);
            buffer = next;
        }
    }
    return NULL;
}

void drain_begin(struct vcpu *vcpu)
{
    struct drain *drain = &vcpu->engine->drain;
    sigset_t all, old;

    vcpu->looked_set = vcpu->set + 1;
    /* A child of vfork() would have it in its own process, and take it along when it ends. */
    if (vcpu->pid != drain->process || vcpu->engine->set_mask[vcpu->set & ~SET_STEP] == 0 ||
        stream_use(vcpu) == STREAM_EVENTS)
        return;
    pthread_mutex_lock(&vcpu->engine->lock);
    if (!drain->runs) {
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &old);
        if (pthread_create(&drain->thread, NULL, drain_main, vcpu->engine) == 0) {
            pthread_setname_np(drain->thread, "probe-drain");
            __atomic_store_n(&drain->runs, 1, __ATOMIC_RELEASE);
        }
        pthread_sigmask(SIG_SETMASK, &old, NULL);
    }
    pthread_mutex_unlock(&vcpu->engine->lock);
}

void drain_end(struct engine *engine)
{
    struct drain *drain = &engine->drain;

    if (!drain->runs || drain->process != getpid())
        return;
    __atomic_store_n(&drain->ends, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&drain->sleeps, 0, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &drain->sleeps, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    pthread_join(drain->thread, NULL);
    drain->runs = 0;
}

void drain_fork_child(struct engine *engine, struct vcpu *self)
{
    engine->drain = (struct drain){.process = getpid()};
    for (unsigned i = 0; i < STREAM_BUFFERS; i++)
        self->buffer[i].busy = 0;
    self->looked_set = 0;
}
