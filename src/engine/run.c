/* SPDX-License-Identifier: MIT
 *
 * The loop: find the block at pc, run until translated code leaves, see why.
 *
 * The order at the way in matters. The entry is set first; then this thread looks whether somebody
 * wants it to stop; then it goes in. A signal handler that comes before the look is seen by it, one
 * that comes after sets another entry (vcpu_interrupt(), signal.c), and inside the handler finds
 * translated code. So no request is lost, and nothing is tested in translated code.
 */
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "base/logitems.h"
#include "engine/filter.h"
#include "engine/internal.h"
#include "trace-engine.h"

enum {
    TRAP_DEBUG = 1,
    TRAP_TRACE_CODE = 2, /* TRAP_TRACE of <signal.h> */
    TRAP_GENERAL_PROTECTION = 13,
    PAGE = 1 << PAGE_BITS,
};

/* How the block that comes next was reached. */
struct arrival {
    uint32_t site; /* number of the site whose jump may be linked */
    bool by_site;
    bool by_lookup; /* an indirect jump: the jump table wants it */
};

void engine_flush(struct engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    drain_wait(engine); /* sites are numbered anew */
    blocks_reset(engine);
    engine->counts.flushes++;
    __atomic_fetch_add(&engine->generation, 1, __ATOMIC_SEQ_CST);
    for (struct vcpu *vcpu = engine->vcpus; vcpu; vcpu = vcpu->next)
        vcpu_forget(vcpu);
    pthread_mutex_unlock(&engine->lock);
}

static void wait_for_flush(struct engine *engine)
{
    pthread_mutex_lock(&engine->stop_lock);
    while (engine->stop)
        pthread_cond_wait(&engine->stop_over, &engine->stop_lock);
    pthread_mutex_unlock(&engine->stop_lock);
}

static void come_out(struct vcpu *vcpu)
{
    struct engine *engine = vcpu->engine;

    __atomic_store_n(&vcpu->in_code, 0, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&engine->stop, __ATOMIC_SEQ_CST)) {
        __atomic_fetch_add(&engine->left_code, 1, __ATOMIC_SEQ_CST);
        syscall(SYS_futex, &engine->left_code, FUTEX_WAKE_PRIVATE, 1 << 30, NULL, NULL, 0);
    }
}

/* A search counts as being in translated code, so that no flush overwrites what is looked at. */
void vcpu_look_begin(struct vcpu *vcpu)
{
    struct engine *engine = vcpu->engine;

    __atomic_store_n(&vcpu->in_code, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&engine->stop, __ATOMIC_SEQ_CST)) {
        come_out(vcpu);
        wait_for_flush(engine);
        __atomic_store_n(&vcpu->in_code, 1, __ATOMIC_SEQ_CST);
    }
    vcpu->generation = __atomic_load_n(&engine->generation, __ATOMIC_SEQ_CST);
}

void vcpu_look_end(struct vcpu *vcpu)
{
    come_out(vcpu);
}

/* The block at pc, or NULL. */
static struct block *find(struct vcpu *vcpu, uint64_t pc)
{
    struct block *block;

    vcpu_look_begin(vcpu);
    block = block_find(vcpu->engine, pc, vcpu->set, 0);
    vcpu_look_end(vcpu);
    return block;
}

static struct block *find_or_make(struct vcpu *vcpu, struct arrival *arrival)
{
    struct engine *engine = vcpu->engine;
    uint64_t pc = vcpu->state->pc;
    struct block *block = find(vcpu, pc);

    while (!block) {
        enum block_made made = block_make(vcpu, pc, arrival->by_lookup, &block);

        if (made == BLOCK_FAULT)
            return NULL;
        if (made == BLOCK_FULL) {
            engine_stop_others(engine, vcpu);
            if (engine->generation == vcpu->generation) /* else another thread was first */
                engine_flush(engine);
            engine_go_on(engine);
            arrival->by_site = false; /* sites have new numbers */
            vcpu->generation = __atomic_load_n(&engine->generation, __ATOMIC_SEQ_CST);
            block = NULL;
        }
    }
    return block;
}

bool vcpu_chains(const struct vcpu *vcpu)
{
    return !vcpu->engine->options.no_chain && !(vcpu->set & SET_FLAGS) && !log_item_on(LOG_NOCHAIN);
}

static bool random_exit(struct vcpu *vcpu)
{
    uint64_t x = vcpu->random;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    vcpu->random = x;
    return (x & 7) == 0;
}

/* What the site said, copied while nobody can flush. */
static void note_site(struct vcpu *vcpu)
{
    const struct engine *engine = vcpu->engine;
    const struct site *site = &engine->site[vcpu->state->exit_arg];
    const struct block *block;

    if (vcpu->state->exit != IR_EXIT_LINK && !(vcpu->soft && vcpu->state->exit == IR_EXIT_LOOKUP))
        return;
    block = &engine->block[site->block];
    /* What does not change: others link the site under the lock. */
    vcpu->left = (struct site){
        .block = site->block, .target = site->target, .cause = site->cause, .insn = site->insn};
    vcpu->left_pc = side_pc(engine, block, site->insn);
    if (site->insn < block->insns)
        vcpu->left_next = side_pc(engine, block, site->insn + 1u);
    if (site->cause == IR_EXIT_ACCESS && !vcpu->soft) /* the block that executes it counts it */
        counts_correct(vcpu, block, site->insn, false);
}

static uint32_t wanted_set(struct vcpu *vcpu)
{
    const struct ir_guest *guest = vcpu->engine->guest;
    uint32_t set = probes_wanted(vcpu->engine);

    if (vcpu->state->begun && probes_each_access(vcpu->engine, set))
        set |= SET_BEGUN;
    return guest->single_step && guest->single_step(vcpu->state) ? set | SET_STEP : set;
}

/* Sets the entry, then looks whether somebody wants this thread to stop: see above. False: not now,
 * or the block is gone. */
static bool set_out(struct vcpu *vcpu, const struct block *block, uint64_t entry, uint64_t *pc)
{
    struct engine *engine = vcpu->engine;

    if (__atomic_load_n(&engine->stop, __ATOMIC_SEQ_CST) ||
        __atomic_load_n(&engine->generation, __ATOMIC_SEQ_CST) != vcpu->generation)
        return false;
    *pc = block->pc; /* nobody flushes from here on */
    engine->host->set_entry(vcpu->state, entry);
    return !__atomic_load_n(&engine->stop, __ATOMIC_SEQ_CST) &&
           !__atomic_load_n(&block->dead, __ATOMIC_RELAXED) &&
           (vcpu->soft ? soft_settled(vcpu)
                       : !__atomic_load_n(&vcpu->interrupt, __ATOMIC_SEQ_CST) &&
                             wanted_set(vcpu) == vcpu->set);
}

/* Others look which sets are in use: at the number, whose flags are this thread's own affair. */
static void put_set(struct vcpu *vcpu, uint32_t set)
{
    if (vcpu->set != set)
        __atomic_store_n(&vcpu->set, set, __ATOMIC_RELAXED);
}

bool vcpu_enter(struct vcpu *vcpu, const struct block *block, uint64_t entry)
{
    struct engine *engine = vcpu->engine;
    uint64_t pc;

    __atomic_store_n(&vcpu->in_code, 1, __ATOMIC_SEQ_CST);
    if (!set_out(vcpu, block, entry, &pc)) {
        come_out(vcpu);
        wait_for_flush(engine);
        return false;
    }
    engine->host->enter(&engine->glue);
    if (vcpu->state->exit != IR_EXIT_INTERRUPT) /* else signal.c knows */
        vcpu->state->begun = 0;
    /* Translated code may come back with sites and probes that other threads have made meanwhile.
     */
    (void)__atomic_load_n(&engine->block_count, __ATOMIC_ACQUIRE);
    if (vcpu->state->stream != vcpu->stream || vcpu->large)
        stream_flush(vcpu);
    note_site(vcpu);
    come_out(vcpu);
    if (!vcpu->soft)
        put_set(vcpu, vcpu->set & ~SET_BEGUN);
    vcpu->stepping = false;
    engine_filter_pc = vcpu->state->pc;
    engine_filter_space = engine->config.symbols;
    trace_exec_tb_exit((void *)(uintptr_t)pc, vcpu->state->exit);
    return true;
}

static void set_fault(struct vcpu *vcpu, int signal, int code, uint64_t address, uint32_t trap,
                      uint32_t error)
{
    vcpu->fault = (struct vcpu_fault){signal, code, address, trap, error};
}

/* The Linux signal of an exception that a helper raised. */
static void helper_fault(struct vcpu *vcpu, const struct ir_fault *fault)
{
    switch (fault->vector) {
    case 6: set_fault(vcpu, SIGILL, ILL_ILLOPN, vcpu->state->pc, 6, 0); break;
    case 14: access_fault(vcpu, fault->address, fault->error); break;
    case 17: set_fault(vcpu, SIGBUS, BUS_ADRALN, 0, 17, 0); break;
    case 12: set_fault(vcpu, SIGBUS, SI_KERNEL, 0, 12, fault->error); break;
    default: set_fault(vcpu, SIGSEGV, SI_KERNEL, 0, fault->vector, fault->error); break;
    }
}

/* Whether the branch at `pc` has led to state.pc, where no instruction can lie. */
static enum ir_led led_there(struct vcpu *vcpu, uint64_t pc, bool undo)
{
    struct engine *engine = vcpu->engine;
    size_t first = PAGE - (pc & (PAGE - 1)), size;
    uint8_t bytes[BYTES_AHEAD];
    struct ir_fault fault;
    enum ir_led led;

    size = guest_read_code(engine, pc, bytes, first, BYTES_AHEAD);
    if (size == 0)
        return IR_LED_NOT;
    led = engine->guest->led_there(engine->config.guest_config, vcpu->state, bytes, size, pc, undo,
                                   &fault);
    if (undo && led != IR_LED_NOT)
        helper_fault(vcpu, &fault);
    return led;
}

/* The indirect branch that has led to state.pc: one that surely has, or the only one of all that
 * are translated that may have. Which one was executed is not recorded: that would cost each a
 * store. */
static bool find_branch(struct vcpu *vcpu, uint64_t *pc)
{
    struct engine *engine = vcpu->engine;
    enum ir_led led = IR_LED_NOT;
    unsigned found = 0;

    pthread_mutex_lock(&engine->lock);
    for (uint32_t i = 0; i < engine->block_count && led != IR_LED_SURELY; i++) {
        const struct block *block = &engine->block[i];
        uint64_t last;

        if (block->dead || block->insns == 0)
            continue;
        last = side_pc(engine, block, block->insns - 1u);
        if (found > 0 && last == *pc)
            continue;
        led = led_there(vcpu, last, false);
        if (led == IR_LED_NOT)
            continue;
        *pc = last;
        found++;
    }
    pthread_mutex_unlock(&engine->lock);
    return found == 1 || led == IR_LED_SURELY;
}

/* There is no block at pc, and vcpu->fault says so: if no instruction can lie there, the fault is
 * that of the branch. */
static void blame_branch(struct vcpu *vcpu, const struct arrival *arrival)
{
    const struct ir_guest *guest = vcpu->engine->guest;
    uint64_t pc = vcpu->left_pc;

    if (!guest->impossible_pc || !guest->impossible_pc(vcpu->state->pc) ||
        !(arrival->by_site || (arrival->by_lookup && find_branch(vcpu, &pc))))
        return;
    if (led_there(vcpu, pc, true) != IR_LED_NOT && vcpu->engine->options.count)
        vcpu->counted[COUNTED_INSTRUCTIONS]--;
}

static bool help(struct vcpu *vcpu)
{
    struct engine *engine = vcpu->engine;
    uint8_t bytes[BYTES_AHEAD];
    size_t size = bytes_at_pc(vcpu, bytes);
    struct ir_fault fault;

    if (size == 0) {
        fetch_fault(vcpu, vcpu->state->pc);
        return false;
    }
    if (engine->guest->help(engine->config.guest_config, vcpu->state, bytes, size, &fault))
        return true;
    helper_fault(vcpu, &fault);
    return false;
}

enum next { NEXT_BLOCK, NEXT_SYSCALL, NEXT_FAULT };

static enum next left_at_site(struct vcpu *vcpu, struct arrival *arrival)
{
    struct engine *engine = vcpu->engine;
    const struct site *site = &vcpu->left;

    vcpu->counts.exits[site->cause]++;
    switch (site->cause) {
    case IR_EXIT_LINK:
        vcpu->state->pc = site->target;
        arrival->site = vcpu->state->exit_arg;
        arrival->by_site = true;
        return NEXT_BLOCK;
    case IR_EXIT_HELPER:
        vcpu->state->pc = vcpu->left_pc;
        accesses_note(vcpu);
        accesses_before(vcpu);
        if (help(vcpu)) {
            accesses_after(vcpu, vcpu->left_pc);
            branch_executed(vcpu, (unsigned)site->target, vcpu->left_pc, vcpu->left_next);
            return NEXT_BLOCK;
        }
        counts_take_back(vcpu);
        return NEXT_FAULT;
    case IR_EXIT_SYSCALL:
        vcpu->state->pc = vcpu->left_next;
        engine->guest->syscall(vcpu->state);
        return NEXT_SYSCALL;
    case IR_EXIT_TRAP:
        vcpu->state->pc = vcpu->left_pc;
        counts_take_back(vcpu);
        set_fault(vcpu, SIGSEGV, SI_KERNEL, 0, TRAP_GENERAL_PROTECTION, (uint32_t)site->target);
        return NEXT_FAULT;
    case IR_EXIT_ACCESS:
        vcpu->state->pc = vcpu->left_pc;
        vcpu->state->begun = 1;
        accesses_note(vcpu);
        accesses_before(vcpu);
        return NEXT_BLOCK;
    case IR_EXIT_ACCESSED:
        vcpu->state->pc = vcpu->left_next;
        accesses_after(vcpu, vcpu->left_pc);
        return NEXT_BLOCK;
    case IR_EXIT_STALE:
        vcpu->state->pc = vcpu->left_pc;
        block_stale(vcpu, &engine->block[site->block]);
        return NEXT_BLOCK;
    default: bug("translated code left for an unknown reason (%u)", site->cause);
    }
}

static enum next why_left(struct vcpu *vcpu, struct arrival *arrival)
{
    switch (vcpu->state->exit) {
    case IR_EXIT_LINK: return left_at_site(vcpu, arrival);
    case IR_EXIT_LOOKUP:
        vcpu->counts.exits[IR_EXIT_LOOKUP]++;
        arrival->by_lookup = true;
        return NEXT_BLOCK;
    case IR_EXIT_INTERRUPT:
        if (vcpu->fault_pending) {
            vcpu->counts.exits[IR_EXIT_FAULT]++;
            vcpu->fault_pending = false;
            return NEXT_FAULT;
        }
        vcpu->counts.exits[IR_EXIT_INTERRUPT]++;
        return NEXT_BLOCK;
    default: bug("translated code left with %u", vcpu->state->exit);
    }
}

/* Whether a block of one instruction came to its end. */
static bool has_executed(const struct vcpu *vcpu)
{
    return vcpu->state->exit != IR_EXIT_INTERRUPT &&
           (vcpu->state->exit != IR_EXIT_LINK ||
            (vcpu->left.cause != IR_EXIT_STALE && vcpu->left.cause != IR_EXIT_ACCESS));
}

static void prepare_arrival(struct vcpu *vcpu, const struct arrival *arrival, struct block *block)
{
    if (!vcpu_chains(vcpu) || (vcpu->engine->options.random_exits && random_exit(vcpu)))
        return;
    if (arrival->by_site)
        block_link(vcpu, arrival->site, block);
    if (arrival->by_lookup)
        block_remember(vcpu, block);
}

/* The set of guest probes has changed: other blocks from here on. */
static void take_up_set(struct vcpu *vcpu, uint32_t set, struct arrival *arrival)
{
    pthread_mutex_lock(&vcpu->engine->lock);
    put_set(vcpu, set);
    vcpu_forget(vcpu);
    pthread_mutex_unlock(&vcpu->engine->lock);
    *arrival = (struct arrival){0};
}

enum vcpu_event vcpu_run(struct vcpu *vcpu)
{
    struct arrival arrival = {0};

    if (vcpu->soft)
        return system_run(vcpu);
    for (;;) {
        struct block *block;
        enum next next;
        uint32_t set;

        if (__atomic_exchange_n(&vcpu->interrupt, 0, __ATOMIC_SEQ_CST))
            return VCPU_INTERRUPTED;
        set = wanted_set(vcpu);
        if ((set ^ vcpu->set) & ~SET_BEGUN)
            take_up_set(vcpu, set, &arrival);
        put_set(vcpu, set);
        if (vcpu->looked_set != vcpu->set + 1)
            drain_begin(vcpu);
        block = find_or_make(vcpu, &arrival);
        if (!block) {
            blame_branch(vcpu, &arrival);
            return VCPU_FAULT;
        }
        prepare_arrival(vcpu, &arrival, block);
        if (set & SET_BEGUN) /* others may have been told of since */
            accesses_note(vcpu);
        arrival = (struct arrival){0};
        if (log_item_on(LOG_EXEC) || log_item_on(LOG_CPU))
            log_entry(vcpu, block);
        if (!vcpu_enter(vcpu, block, block_exec(vcpu->engine, block)))
            continue;
        next = why_left(vcpu, &arrival);
        if (next == NEXT_BLOCK && (vcpu->set & SET_STEP) && has_executed(vcpu)) {
            set_fault(vcpu, SIGTRAP, TRAP_TRACE_CODE, vcpu->state->pc, TRAP_DEBUG, 0);
            next = NEXT_FAULT;
        }
        if (next == NEXT_FAULT && log_item_on(LOG_INT))
            log_fault(vcpu);
        if (next == NEXT_SYSCALL)
            return VCPU_SYSCALL;
        if (next == NEXT_FAULT)
            return VCPU_FAULT;
    }
}
