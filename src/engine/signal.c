/* SPDX-License-Identifier: MIT
 *
 * Host signals that interrupt translated code.
 *
 * A fault of a guest instruction: the side table says which instruction it is and which registers
 * are not in place; these are put back into the context, and the thread goes on at glue.redirect,
 * which stores everything and leaves.
 *
 * An asynchronous signal, or a request to come out: at a boundary (exactly at the start of a guest
 * instruction) the same. Elsewhere, inside of what one guest instruction has become, the thread
 * goes on in single steps until it is at one; these are few, since only control transfers and
 * probes are more than one host instruction.
 *
 * Everything here is async-signal-safe: it reads the tables without the lock.
 */
#include <string.h>

#include "base/error.h"
#include "engine/internal.h"

enum { ERROR_FETCH = 16 }; /* of a page fault */

enum { TRAP_OVERFLOW = 4 }; /* INT 4 */

enum { TRAP_TRACE_CODE = 2 /* TRAP_TRACE of <signal.h>, by value: also without feature macros */ };

static bool in_cache(const struct engine *engine, uint64_t pc)
{
    return pc >= engine->exec && pc < engine->exec + engine->cache_size;
}

/* In glue that is on its way in or out. The lookup is not: it may go on in translated code. */
static bool in_glue(const struct engine *engine, uint64_t pc)
{
    return !(pc >= engine->glue.inside && pc < engine->glue.inside_end) &&
           pc >= engine->glue.start && pc < engine->glue.end;
}

/* Sends the thread to the engine, or towards the next boundary. `pc` is in the cache. */
static void come_out_at_boundary(struct vcpu *vcpu, void *ucontext)
{
    struct engine *engine = vcpu->engine;
    uint64_t pc = engine->host->context_pc(ucontext);
    struct ir_point point;
    struct block *block;

    if (in_glue(engine, pc)) {
        vcpu->stepping = false;
        engine->host->context_step(ucontext, false);
        engine->host->set_entry(vcpu->state, engine->glue.redirect);
        return;
    }
    if (block_at(engine, pc, &block, &point) && (point.flags & IR_POINT_BOUNDARY)) {
        vcpu->stepping = false;
        vcpu->state->pc = side_pc(engine, block, point.insn);
        vcpu->state->begun = (point.flags & IR_POINT_AGAIN) ||
                             ((block->set & SET_BEGUN) && point.insn == 0 && block->insns > 0);
        if (point.insn > 0 || (point.flags & IR_POINT_AGAIN)) /* at the head it has not counted */
            counts_correct(vcpu, block, point.insn, false);
        if (point.insn > 0)
            budget_return(vcpu, block->insns - point.insn);
        engine->host->context_step(ucontext, false);
        engine->host->context_recover(ucontext, vcpu->state, &point);
        point.records = point.begun; /* it has not begun */
        stream_cut(vcpu, block, &point);
        engine->host->context_go(ucontext, engine->glue.redirect);
        return;
    }
    vcpu->stepping = true;
    engine->host->context_step(ucontext, true);
}

static bool is_synchronous(int signal, const siginfo_t *info)
{
    switch (signal) {
    case SIGSEGV:
    case SIGBUS:
    case SIGILL:
    case SIGFPE:
    case SIGTRAP: return info->si_code > 0;
    default: return false;
    }
}

static enum engine_signal fault(struct vcpu *vcpu, int signal, const siginfo_t *info,
                                void *ucontext)
{
    struct engine *engine = vcpu->engine;
    uint64_t pc = engine->host->context_pc(ucontext);
    struct ir_point point;
    struct block *block;
    uint32_t trap, error;
    bool behind;

    engine->host->context_fault(ucontext, &trap, &error);
    behind = signal == SIGTRAP || trap == TRAP_OVERFLOW; /* a trap: pc is behind the instruction */
    if (in_glue(engine, pc) || !block_at(engine, behind ? pc - 1 : pc, &block, &point))
        return ENGINE_SIGNAL_HOST;
    if (signal == SIGSEGV && (point.flags & IR_POINT_STREAM) &&
        stream_guards(vcpu, (uint64_t)(uintptr_t)info->si_addr)) {
        stream_full(vcpu);
        engine->host->context_go(ucontext, engine->exec + block->base + point.host);
        return ENGINE_SIGNAL_TAKEN;
    }
    if (point.flags & IR_POINT_PEEK) { /* the instruction itself will fault, or not */
        engine->host->context_go(ucontext, block_next_point(engine, block, pc));
        return ENGINE_SIGNAL_TAKEN;
    }
    vcpu->stepping = false;
    engine->host->context_step(ucontext, false);
    engine->host->context_recover(ucontext, vcpu->state, &point);
    stream_cut(vcpu, block, &point);
    vcpu->state->pc = side_pc(engine, block, point.insn + (behind ? 1u : 0));
    if (!(point.flags & IR_POINT_FETCH)) /* else the block has not begun */
        counts_correct(vcpu, block, point.insn + (behind ? 1u : 0), !behind);
    budget_return(vcpu, block->insns - point.insn - 1);
    vcpu->state->begun = 0;
    vcpu->fault = (struct vcpu_fault){
        .signal = signal,
        .code = info->si_code,
        .address = (uint64_t)(uintptr_t)info->si_addr,
        .trap = trap,
        .error = error,
    };
    if (point.flags & IR_POINT_FETCH)
        vcpu->fault.error |= ERROR_FETCH;
    /* The address of the instruction itself; an access may have hit the cache by chance. */
    if ((signal == SIGILL || signal == SIGFPE || signal == SIGTRAP) &&
        in_cache(engine, vcpu->fault.address))
        vcpu->fault.address = vcpu->state->pc;
    vcpu->fault_pending = true;
    engine->host->context_go(ucontext, engine->glue.redirect);
    return ENGINE_SIGNAL_FAULT;
}

enum engine_signal engine_signal(int signal, siginfo_t *info, void *ucontext)
{
    struct vcpu *vcpu = vcpu_current();
    struct engine *engine;
    uint64_t pc;
    bool inside;

    if (!vcpu)
        return ENGINE_SIGNAL_HOST;
    engine = vcpu->engine;
    pc = engine->host->context_pc(ucontext);
    inside = in_cache(engine, pc);
    if (signal == SIGTRAP && vcpu->stepping && info->si_code == TRAP_TRACE_CODE) {
        come_out_at_boundary(vcpu, ucontext);
        return ENGINE_SIGNAL_TAKEN;
    }
    if (is_synchronous(signal, info))
        return inside ? fault(vcpu, signal, info, ucontext) : ENGINE_SIGNAL_HOST;
    if (inside)
        come_out_at_boundary(vcpu, ucontext);
    if (signal == engine->config.kick_signal && info->si_code == SI_QUEUE &&
        info->si_ptr == engine) {
        engine->host->set_entry(vcpu->state, engine->glue.redirect);
        return ENGINE_SIGNAL_TAKEN;
    }
    return inside ? ENGINE_SIGNAL_CODE : ENGINE_SIGNAL_HOST;
}

void engine_code_changed(void *ucontext)
{
    struct vcpu *vcpu = vcpu_current();

    if (!vcpu || !in_cache(vcpu->engine, vcpu->engine->host->context_pc(ucontext)))
        return;
    vcpu->stepping = true;
    vcpu->engine->host->context_step(ucontext, true);
}

void vcpu_interrupt(struct vcpu *vcpu)
{
    __atomic_store_n(&vcpu->interrupt, 1, __ATOMIC_SEQ_CST);
    if (vcpu == vcpu_current())
        vcpu->engine->host->set_entry(vcpu->state, vcpu->engine->glue.redirect);
    else if (__atomic_load_n(&vcpu->in_code, __ATOMIC_SEQ_CST))
        vcpu_kick(vcpu);
}

bool engine_sigaction(struct engine *engine, int signal, engine_handler_fn *handler)
{
    engine->handler = handler;
    pthread_mutex_lock(&engine->lock);
    for (struct vcpu *vcpu = engine->vcpus; vcpu; vcpu = vcpu->next)
        if (vcpu->tid != 0)
            engine->host->set_handler(vcpu->state, handler);
    pthread_mutex_unlock(&engine->lock);
    return engine->host->sigaction(signal);
}
