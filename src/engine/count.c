/* SPDX-License-Identifier: MIT
 *
 * Counting executions of blocks, and what follows from them; see internal.h.
 */
#include <string.h>

#include "engine/internal.h"
#include "trace-engine.h"
#include "trace/write/count.h"

/* A slot for a block; its offset from the state block. */
static uint32_t slot_new(struct engine *engine, unsigned insns, unsigned kinds)
{
    uint32_t slot = engine->count_slots++;

    engine->count_slot[slot] = (struct count_slot){(uint8_t)insns, (uint8_t)kinds};
    return COUNT_AT + 8 * slot;
}

/* --- where to count --- */

/* What counting costs in front of an operation: one instruction, three, five. */
enum cost { COST_FLAGS_FREE, COST_REGISTER_FREE, COST_BORROW };

static enum cost cost_before(const struct ir_op *op)
{
    if (!op->flags_live)
        return COST_FLAGS_FREE;
    /* An indirect jump borrows a register anyway (ir/ops.h: TARGET). */
    return op->gpr_free || op->op == IR_JUMP_TARGET ? COST_REGISTER_FREE : COST_BORROW;
}

/* The operation in front of which it is cheapest: the first of an instruction, or the indirect jump
 * at the end. Not behind one that may go elsewhere or may come again, nor in an instruction whose
 * middle is a boundary (ANCHOR): there it could not be told whether it has been counted. */
static unsigned cheapest_place(const struct ir_block *ir)
{
    enum cost least = COST_BORROW;
    unsigned place = 1, settled = 1; /* settled: in the instructions before this one */

    for (unsigned i = 1; i < ir->op_count; i++) {
        const struct ir_op *op = &ir->op[i];
        bool candidate = ir->op[i - 1].op == IR_INSN || op->op == IR_JUMP_TARGET;

        if (candidate && cost_before(op) < least) {
            least = cost_before(op);
            place = i;
        }
        if (op->op == IR_INSN)
            settled = place;
        if (op->op == IR_ANCHOR || op->op == IR_ANCHOR_JUMP)
            return settled;
        if ((ir_op_flags(op->op) & IR_LEAVES) && op->op != IR_CHECK_CODE)
            break;
    }
    return place;
}

void count_plant(struct engine *engine, struct ir_block *ir)
{
    unsigned index = engine->code->block_count;
    unsigned kinds = engine->group_counted[index];
    unsigned place = ir->op[1].op == IR_CHECK_CODE ? 2 : 1, best;
    struct ir_op count;

    engine->group_count_at[index] = 0;
    if (kinds == 0)
        return;
    best = cheapest_place(ir);
    if (best > place) {
        place = best;
        engine->group_count_at[index] =
            ir->op[place].op == IR_JUMP_TARGET ? (uint8_t)ir->insn_count : ir->op[place].insn;
    }
    count = (struct ir_op){
        .op = IR_COUNT,
        .size = 8,
        .insn = ir->op[place].insn,
        .flags_live = ir->op[place].flags_live,
        .gpr_free = ir->op[place].gpr_free,
        .reg = slot_new(engine, ir->insn_count, kinds),
        .imm = 1,
    };
    memmove(&ir->op[place + 1], &ir->op[place], (ir->op_count - place) * sizeof(count));
    ir->op[place] = count;
    ir->op_count++;
}

/* --- what was counted --- */

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
    uint64_t begun = insn + (started ? 1 : 0); /* an event is fired before its instruction */
    uint64_t *sum = vcpu->counted;

    if (vcpu->engine->options.budget)
        vcpu->state->budget += block->insns - (int)insn;
    if (block->counted == 0)
        return;
    /* All of it has been counted: off again. Who asks has entered the block. */
    if (block->count_at < begun || block->count_at == 0) {
        if (block->counted >> COUNTED_INSTRUCTIONS & 1)
            sum[COUNTED_INSTRUCTIONS] -= block->insns - insn;
        if (block->counted >> COUNTED_INSN & 1)
            sum[COUNTED_INSN] -= block->insns - begun;
        return;
    }
    if (block->counted >> COUNTED_INSTRUCTIONS & 1)
        sum[COUNTED_INSTRUCTIONS] += insn;
    if (block->counted >> COUNTED_INSN & 1)
        sum[COUNTED_INSN] += begun;
    sum[COUNTED_BLOCK] += block->counted >> COUNTED_BLOCK & 1;
    sum[COUNTED_TB] += block->counted >> COUNTED_TB & 1;
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
