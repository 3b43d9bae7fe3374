/* SPDX-License-Identifier: MIT
 *
 * What instructions do that translated code cannot tell of: those that C executes, and those whose
 * accesses to memory follow from more than their operands. The latter leave translated code twice:
 * before them, and when they have been executed in a block of their own.
 */
#include <string.h>

#include "engine/internal.h"
#include "engine/tlb.h"

enum { PAGE = 1 << PAGE_BITS, INFO_EXTENDS = 1 << 4, INFO_STORE = 1 << 6 };

static uint32_t set_of(const struct vcpu *vcpu)
{
    return vcpu->set & SET_PROBES;
}

size_t bytes_at_pc(struct vcpu *vcpu, uint8_t bytes[BYTES_AHEAD])
{
    const struct engine_memory *memory = &vcpu->engine->config.memory;
    uint64_t pc = vcpu->state->pc;
    size_t first = PAGE - (pc & (PAGE - 1)), size = first;

    if (size > BYTES_AHEAD || (memory->page(memory->opaque, pc + size) & ENGINE_PAGE_EXEC))
        size = BYTES_AHEAD;
    return guest_read_code(vcpu->engine, pc, bytes, first, size);
}

static void read_value(struct vcpu *vcpu, const struct ir_access_at *access, uint64_t value[4])
{
    memset(value, 0, 4 * sizeof(*value));
    guest_read(vcpu->engine, access->address, value, access->size);
}

void accesses_note(struct vcpu *vcpu)
{
    const struct engine *engine = vcpu->engine;
    uint8_t bytes[BYTES_AHEAD];
    size_t size;

    vcpu->access_count = 0;
    if (!probes_each_access(engine, set_of(vcpu)) || !engine->guest->accesses)
        return;
    size = bytes_at_pc(vcpu, bytes);
    if (size == 0)
        return;
    vcpu->access_count = engine->guest->accesses(engine->config.guest_config, vcpu->state, bytes,
                                                 size, vcpu->access);
    for (unsigned i = 0; i < vcpu->access_count; i++)
        if (!vcpu->access[i].write)
            read_value(vcpu, &vcpu->access[i], vcpu->access_value[i]);
}

static uint64_t info_of(const struct ir_access_at *access)
{
    return (unsigned)__builtin_ctz(access->size) | (access->write ? INFO_STORE : 0u);
}

void accesses_before(struct vcpu *vcpu)
{
    if (vcpu->access_count == 0 || !probes_has(vcpu->engine, set_of(vcpu), PROBE_MEM_BEFORE))
        return;
    for (unsigned i = 0; i < vcpu->access_count; i++) {
        const struct ir_access_at *access = &vcpu->access[i];

        stream_put(vcpu, PROBE_MEM_BEFORE,
                   (const uint64_t[]){vcpu->state->pc, info_of(access), access->address});
    }
    stream_flush(vcpu);
}

/* What a read has of stores before it in the same instruction: ENTER copies frame pointers, which
 * may lie where it pushes. */
static void take_own_stores(struct vcpu *vcpu, unsigned number)
{
    const struct ir_access_at *read = &vcpu->access[number];
    uint8_t *value = (uint8_t *)vcpu->access_value[number];

    for (unsigned i = 0; i < number; i++) {
        const struct ir_access_at *store = &vcpu->access[i];
        const uint8_t *stored = (const uint8_t *)vcpu->access_value[i];

        for (unsigned k = 0; store->write && k < read->size; k++)
            if (read->address + k - store->address < store->size)
                value[k] = stored[read->address + k - store->address];
    }
}

void accesses_after(struct vcpu *vcpu, uint64_t pc)
{
    if (vcpu->access_count == 0 || !probes_has(vcpu->engine, set_of(vcpu), PROBE_MEM_AFTER))
        return;
    for (unsigned i = 0; i < vcpu->access_count; i++) {
        const struct ir_access_at *access = &vcpu->access[i];
        uint64_t words[7] = {pc, info_of(access), access->address};

        if (access->write)
            read_value(vcpu, access, vcpu->access_value[i]);
        else
            take_own_stores(vcpu, i);
        memcpy(words + 3, vcpu->access_value[i], sizeof(vcpu->access_value[i]));
        stream_put(vcpu, PROBE_MEM_AFTER, words);
    }
    stream_flush(vcpu);
}

void branch_executed(struct vcpu *vcpu, unsigned kind, uint64_t pc, uint64_t behind)
{
    uint64_t target = vcpu->state->pc;
    static const uint8_t probes[] = {
        [IR_KIND_JUMP] = PROBE_BRANCH, [IR_KIND_CALL] = PROBE_CALL, [IR_KIND_RET] = PROBE_RET};

    if (kind == IR_KIND_NONE || !probes_has(vcpu->engine, set_of(vcpu), probes[kind]))
        return;
    if (vcpu->soft)
        target = soft_linear(vcpu, target);
    stream_put(vcpu, probes[kind], (const uint64_t[]){pc, 0, target, behind});
    stream_flush(vcpu);
}

/* --- system mode --- */

/* The next piece of an access: its size. */
static unsigned piece_of(size_t left)
{
    unsigned size = 32;

    while (size > left)
        size /= 2;
    return size;
}

static uint64_t told_info(const struct vcpu *vcpu, const struct ir_access_at *access)
{
    bool extends = !access->write && vcpu->soft->operand.extends;

    return info_of(access) | (extends ? INFO_EXTENDS : 0u);
}

void told_before(struct vcpu *vcpu, uint64_t linear, size_t size, bool write)
{
    if (!probes_has(vcpu->engine, set_of(vcpu), PROBE_MEM_BEFORE))
        return;
    for (size_t at = 0; at < size;) {
        struct ir_access_at access = {linear + at, (uint8_t)piece_of(size - at), write};

        stream_put(
            vcpu, PROBE_MEM_BEFORE,
            (const uint64_t[]){vcpu->soft->linear, told_info(vcpu, &access), access.address});
        at += access.size;
    }
    stream_flush(vcpu);
}

void told_after(struct vcpu *vcpu, uint64_t linear, size_t size, bool write, const void *value)
{
    if (!probes_has(vcpu->engine, set_of(vcpu), PROBE_MEM_AFTER))
        return;
    for (size_t at = 0; at < size;) {
        struct ir_access_at access = {linear + at, (uint8_t)piece_of(size - at), write};

        if (vcpu->access_count == IR_ACCESSES_MAX)
            told_end(vcpu, true);
        memset(vcpu->access_value[vcpu->access_count], 0, sizeof(vcpu->access_value[0]));
        memcpy(vcpu->access_value[vcpu->access_count], (const uint8_t *)value + at, access.size);
        vcpu->access[vcpu->access_count++] = access;
        at += access.size;
    }
}

void told_end(struct vcpu *vcpu, bool executed)
{
    for (unsigned i = 0; i < vcpu->access_count && executed; i++) {
        const struct ir_access_at *access = &vcpu->access[i];
        uint64_t words[7] = {vcpu->soft->linear, told_info(vcpu, access), access->address};

        memcpy(words + 3, vcpu->access_value[i], sizeof(vcpu->access_value[i]));
        stream_put(vcpu, PROBE_MEM_AFTER, words);
    }
    vcpu->access_count = 0;
    stream_flush(vcpu);
}

void insn_begun(struct vcpu *vcpu, const struct block *block, unsigned insn, uint64_t linear,
                unsigned size)
{
    const struct engine *engine = vcpu->engine;
    uint32_t set = set_of(vcpu);

    if (insn == 0 && probes_has(engine, set, PROBE_EXEC_TB))
        stream_put(vcpu, PROBE_EXEC_TB, (const uint64_t[]){linear, 0});
    if (insn == 0 && probes_has(engine, set, PROBE_BLOCK))
        stream_put(vcpu, PROBE_BLOCK, (const uint64_t[]){linear, block->insns, block->bytes});
    if (probes_has(engine, set, PROBE_INSN))
        stream_put(vcpu, PROBE_INSN, (const uint64_t[]){linear, size});
    stream_flush(vcpu);
}
