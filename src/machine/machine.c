/* SPDX-License-Identifier: MIT
 *
 * Making and freeing a machine; its lock; its clock.
 *
 * The machine's clock counts nanoseconds while the machine runs. Its timers fire on the loop's
 * thread: the earliest of them is a timer of the loop's own clock, which follows the host's. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "machine/internal.h"
#include "net/net.h"

enum { BLOCK_THREADS = 4, NANOSECONDS = 1000000000 };

#define BLOCK_LATENCY UINT64_C(100000) /* of a drive whose time is the machine's */

void machine_warn(const struct machine *machine, const char *format, ...)
{
    va_list arguments;
    struct strbuf line;
    char text[1024];

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    strbuf_init(&line);
    strbuf_printf(&line, "%s: %s\n",
                  machine->options->program ? machine->options->program : "vitrine", text);
    fwrite(line.data, 1, line.len, stderr);
    strbuf_free(&line);
}

/* --- the lock --- */

/* An address that no other thread has. */
static const void *this_thread(void)
{
    static _Thread_local char place;

    return &place;
}

static void take(struct machine *machine)
{
    pthread_mutex_lock(&machine->lock);
    __atomic_store_n(&machine->own->owner, this_thread(), __ATOMIC_RELAXED);
}

void machine_lock(struct machine *machine)
{
    struct machine_private *own = machine->own;

    if (pthread_equal(pthread_self(), own->loop_thread)) {
        if (pthread_mutex_trylock(&machine->lock)) {
            pthread_mutex_lock(&own->gate);
            __atomic_store_n(&own->loop_waits, true, __ATOMIC_RELAXED);
            pthread_mutex_lock(&machine->lock);
            __atomic_store_n(&own->loop_waits, false, __ATOMIC_RELAXED);
            pthread_mutex_unlock(&own->gate);
        }
        __atomic_store_n(&own->owner, this_thread(), __ATOMIC_RELAXED);
        return;
    }
    if (__atomic_load_n(&own->loop_waits, __ATOMIC_RELAXED)) {
        pthread_mutex_lock(&own->gate);
        pthread_mutex_unlock(&own->gate);
    }
    take(machine);
}

void machine_unlock(struct machine *machine)
{
    __atomic_store_n(&machine->own->owner, NULL, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&machine->lock);
}

bool machine_is_locked(const struct machine *machine)
{
    return __atomic_load_n(&machine->own->owner, __ATOMIC_RELAXED) == this_thread();
}

void machine_wait(struct machine *machine, pthread_cond_t *condition, uint64_t nanoseconds)
{
    __atomic_store_n(&machine->own->owner, NULL, __ATOMIC_RELAXED);
    if (nanoseconds == TIMER_NEVER) {
        pthread_cond_wait(condition, &machine->lock);
    } else {
        uint64_t until = clock_monotonic() + nanoseconds;
        struct timespec at = {.tv_sec = (time_t)(until / NANOSECONDS),
                              .tv_nsec = (long)(until % NANOSECONDS)};
        pthread_cond_timedwait(condition, &machine->lock, &at);
    }
    __atomic_store_n(&machine->own->owner, this_thread(), __ATOMIC_RELAXED);
}

static void loop_lock(void *opaque)
{
    machine_lock(opaque);
}

static void loop_unlock(void *opaque)
{
    machine_unlock(opaque);
}

/* --- the clock --- */

/* Also without the lock, by vCPUs that are inside: the clock is started and stopped while they
 * stand. */
static uint64_t clock_source(void *opaque)
{
    const struct machine *machine = opaque;
    const struct machine_private *own = machine->own;

    if (machine->options->count_instructions) {
        return machine_icount_now(machine);
    }

    return own->ran + (own->clock_runs ? clock_monotonic() - own->since : 0);
}

static void arm(struct machine *machine)
{
    struct machine_private *own = machine->own;
    uint64_t next = clock_next(&machine->clock);

    if (!own->clock_runs || next == TIMER_NEVER) {
        timer_stop(&own->clock_timer);
    } else if (next <= own->ran) {
        timer_set(&own->clock_timer, own->since);
    } else {
        uint64_t from_start = next - own->ran;
        timer_set(&own->clock_timer, from_start > UINT64_MAX - 1 - own->since
                                         ? UINT64_MAX - 1
                                         : own->since + from_start);
    }
}

static void clock_changed(void *opaque)
{
    struct machine *machine = opaque;

    if (machine->options->count_instructions) {
        machine_icount_changed(machine);
    } else {
        arm(machine);
    }
}

static void clock_timer_fires(void *opaque, uint64_t now)
{
    struct machine *machine = opaque;

    (void)now;
    clock_run(&machine->clock);
    arm(machine);
}

void machine_clock_start(struct machine *machine)
{
    struct machine_private *own = machine->own;

    if (!own->clock_runs && !machine->options->count_instructions) {
        own->since = clock_monotonic();
        own->clock_runs = true;
        arm(machine);
    }
}

void machine_clock_stop(struct machine *machine)
{
    struct machine_private *own = machine->own;

    if (own->clock_runs) {
        own->ran += clock_monotonic() - own->since;
        own->clock_runs = false;
        arm(machine);
    }
}

/* --- randomness --- */

/* SplitMix64: any seed gives a good sequence. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static void board_random(struct board *board, void *to, size_t size)
{
    struct machine *machine = board->opaque;
    uint8_t *bytes = to;

    if (!machine->options->seeded) {
        while (size && getrandom(bytes, size, 0) < 0) {
        }
        return;
    }
    for (size_t done = 0; done < size; done += sizeof(uint64_t)) {
        uint64_t value = next_random(&machine->own->random);
        memcpy(bytes + done, &value, size - done < sizeof value ? size - done : sizeof value);
    }
}

/* --- drives --- */

static void deliver(void *opaque)
{
    struct machine *machine = opaque;

    __atomic_store_n(&machine->own->deliver_posted, false, __ATOMIC_SEQ_CST);
    block_pool_deliver(machine->pool);
}

static void results_are_there(void *opaque)
{
    struct machine *machine = opaque;

    if (!__atomic_exchange_n(&machine->own->deliver_posted, true, __ATOMIC_SEQ_CST)) {
        loop_post(machine->loop, deliver, machine);
    }
}

static void drive_stops(void *opaque, struct drive *drive, int error)
{
    struct machine *machine = opaque;

    machine_warn(machine, "drive %s: %s; the machine is stopped, cont tries again", drive_id(drive),
                 strerror(error));
    machine_request_stop(machine, RUN_STATE_IO_ERROR);
}

/* --- making --- */

/* -rtc base=: what the clock shows at time 0. Local time is told as if it were UTC. */
static int64_t rtc_base(const struct machine_options *options)
{
    time_t now = (time_t)(clock_realtime() / NANOSECONDS);
    struct tm local;

    switch (options->rtc_base) {
    case RTC_DATE: return options->rtc_date;
    case RTC_LOCALTIME: return localtime_r(&now, &local) ? timegm(&local) : now;
    case RTC_UTC: break;
    }
    return now;
}

static void init_locks(struct machine *machine)
{
    pthread_condattr_t monotonic;

    pthread_mutex_init(&machine->lock, NULL);
    pthread_mutex_init(&machine->own->gate, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&machine->stood, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

static void init_board(struct machine *machine)
{
    struct board *board = &machine->board;

    mem_init_container(&machine->memory_root, "system", UINT64_MAX);
    mem_init_container(&machine->port_root, "io", 0x10000);
    board->name = "pc";
    board->memory_root = &machine->memory_root;
    board->port_root = &machine->port_root;
    board->memory = mem_space_new("memory", &machine->memory_root);
    board->ports = mem_space_new("I/O", &machine->port_root);
    board->clock = &machine->clock;
    board->opaque = machine;
    board->request = machine_board_request;
    board->random = board_random;
    board->rtc_base = rtc_base(machine->options);
    board->back_end = machine_back_end;
    board->back_end_id = machine_back_end_id;
}

static void init_clock(struct machine *machine)
{
    clock_init(&machine->clock);
    machine->clock.source = clock_source;
    machine->clock.changed = clock_changed;
    machine->clock.opaque = machine;
    timer_init(&machine->own->clock_timer, loop_clock(machine->loop), clock_timer_fires, machine);
}

struct machine *machine_new(const struct machine_options *options, struct error *err)
{
    struct loop *loop = loop_new(err);
    if (!loop) {
        return NULL;
    }
    struct machine *machine = mem_alloc(sizeof *machine);
    machine->own = mem_alloc(sizeof *machine->own);
    machine->options = options;
    machine->loop = loop;
    machine->state = RUN_STATE_PRELAUNCH;
    machine->own->loop_thread = pthread_self();
    machine->own->quit = MACHINE_NO_QUIT;
    machine->own->random = options->seed;
    init_locks(machine);
    loop_set_lock(loop, loop_lock, loop_unlock, machine);
    init_clock(machine);
    machine_lock(machine);
    init_board(machine);
    machine->chardevs = chardevs_new(loop);
    machine->pool = options->count_instructions
                        ? block_pool_new_timed(&machine->clock, BLOCK_LATENCY)
                        : block_pool_new(BLOCK_THREADS, results_are_there, machine);
    block_pool_on_stop(machine->pool, drive_stops, machine);
    machine->nets = machine->board.nets = nets_new(loop, &machine->clock);
    nets_run(machine->nets, false);
    machine_unlock(machine);
    return machine;
}

bool machine_build(struct machine *machine, struct error *err)
{
    bool good;

    machine_lock(machine);
    good = machine_build_pc(machine, err);
    if (good) {
        machine->own->built = true;
        machine_reset(machine, SHUTDOWN_CAUSE_NONE);
        good = machine_run_hooks(machine, MACHINE_STAGE_READY, err);
    }
    machine_unlock(machine);
    return good;
}

void machine_free(struct machine *machine)
{
    if (!machine) {
        return;
    }
    struct machine_private *own = machine->own;
    machine_cpus_end(machine);
    machine_lock(machine);
    block_pool_drain(machine->pool);
    device_free_all(&machine->board);
    nets_free(machine->nets);
    machine_roms_free(machine);
    machine_cpus_free(machine);
    machine_drives_free(machine);
    block_pool_free(machine->pool);
    chardevs_free(machine->chardevs);
    machine_devices_free(machine);
    mem_space_free(machine->board.memory);
    mem_space_free(machine->board.ports);
    mem_free(&machine->ram);
    mem_free(&machine->memory_root);
    mem_free(&machine->port_root);
    timer_stop(&own->clock_timer);
    clock_free(&machine->clock);
    machine_unlock(machine);
    loop_free(machine->loop);
    pthread_cond_destroy(&machine->stood);
    pthread_mutex_destroy(&machine->lock);
    pthread_mutex_destroy(&own->gate);
    free(own);
    free(machine);
}

/* --- hooks --- */

void machine_hook(struct machine *machine, enum machine_stage stage, machine_hook_fn *hook,
                  void *opaque)
{
    struct machine_private *own = machine->own;

    if (own->hooks == MACHINE_HOOKS) {
        bug("more than %d hooks of a machine", MACHINE_HOOKS);
    }
    own->hook[own->hooks++] = (struct machine_hook){stage, hook, opaque};
}

bool machine_run_hooks(struct machine *machine, enum machine_stage stage, struct error *err)
{
    struct machine_private *own = machine->own;

    for (unsigned i = 0; i < own->hooks; i++) {
        if (own->hook[i].stage == stage &&
            !own->hook[i].function(own->hook[i].opaque, machine, err)) {
            return false;
        }
    }
    return true;
}
