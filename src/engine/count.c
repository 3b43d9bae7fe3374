/* SPDX-License-Identifier: MIT
 *
 * Counting executions of blocks, and what follows from them; see internal.h.
 */
#include <string.h>

#include "engine/internal.h"
#include "trace-engine.h"
#include "trace/write/count.h"

uint32_t count_slot_new(struct engine *engine, unsigned insns, unsigned kinds)
{
    uint32_t slot = engine->count_slots++;

    engine->count_slot[slot] = (struct count_slot){(uint8_t)insns, (uint8_t)kinds};
    return COUNT_AT + 8 * slot;
}

void vcpu_counts(const struct vcpu *vcpu, uint64_t sum[COUNTED_KINDS])
{
    const struct engine *engine = vcpu->engine;

    memcpy(sum, vcpu->counted, sizeof(vcpu->counted));
    for (uint32_t i = 0; i < engine->count_slots; i++) {
        uint64_t times = __atomic_load_n(&vcpu->count[i], __ATOMIC_RELAXED);
        struct count_slot slot = engine->count_slot[i];

        if (times == 0)
            continue;
        for (unsigned kind = 0; kind < COUNTED_KINDS; kind++)
            if (slot.kinds >> kind & 1)
                sum[kind] += kind <= COUNTED_INSN ? times * slot.insns : times;
    }
}

void counts_reset(struct engine *engine)
{
    for (struct vcpu *vcpu = engine->vcpus; vcpu; vcpu = vcpu->next) {
        uint64_t sum[COUNTED_KINDS];

        vcpu_counts(vcpu, sum);
        memcpy(vcpu->counted, sum, sizeof(sum));
        memset(vcpu->count, 0, engine->count_slots * sizeof(*vcpu->count));
    }
    engine->count_slots = 0;
}

void counts_report(struct vcpu *vcpu)
{
    static struct trace_event *const event[COUNTED_KINDS] = {
        [COUNTED_INSN] = &_TRACE_GUEST_INSN_EVENT,
        [COUNTED_BLOCK] = &_TRACE_GUEST_BLOCK_EVENT,
        [COUNTED_TB] = &_TRACE_EXEC_TB_EVENT,
    };
    uint64_t sum[COUNTED_KINDS];

    vcpu_counts(vcpu, sum);
    for (unsigned kind = 0; kind < COUNTED_KINDS; kind++) {
        if (event[kind] && sum[kind] != vcpu->reported[kind])
            trace_count_add(event[kind], sum[kind] - vcpu->reported[kind]);
        vcpu->reported[kind] = sum[kind];
    }
}

void counts_correct(struct vcpu *vcpu, const struct block *block, unsigned insn, bool started)
{
    uint64_t left = block->insns - insn;

    if (block->counted >> COUNTED_INSTRUCTIONS & 1)
        vcpu->counted[COUNTED_INSTRUCTIONS] -= left;
    if (block->counted >> COUNTED_INSN & 1) /* the event is fired before the instruction */
        vcpu->counted[COUNTED_INSN] -= left - (started ? 1 : 0);
}

uint64_t counts_instructions(const struct vcpu *vcpu)
{
    uint64_t sum[COUNTED_KINDS];

    vcpu_counts(vcpu, sum);
    return sum[COUNTED_INSTRUCTIONS];
}

uint64_t vcpu_instructions(const struct vcpu *vcpu)
{
    uint64_t count;

    pthread_mutex_lock(&vcpu->engine->lock); /* a flush adds up and begins anew */
    count = counts_instructions(vcpu);
    pthread_mutex_unlock(&vcpu->engine->lock);
    return count;
}

void counts_take_back(struct vcpu *vcpu)
{
    if (!vcpu->engine->options.count)
        return;
    pthread_mutex_lock(&vcpu->engine->lock);
    vcpu->counted[COUNTED_INSTRUCTIONS]--;
    pthread_mutex_unlock(&vcpu->engine->lock);
}
