/* SPDX-License-Identifier: MIT
 *
 * The stream buffer of a vCPU, and from its records to events.
 */
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "engine/filter.h"
#include "engine/internal.h"
#include "trace-engine.h"

enum {
    GUARD = 256 << 10, /* as long as what a block can write: see STREAM_OPEN */
    TIME_STEP = 16,    /* records that share a reading of the clock */
};

bool stream_new(struct vcpu *vcpu)
{
    uint8_t *memory = mmap(NULL, STREAM_BYTES + GUARD, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (memory == MAP_FAILED)
        return false;
    mprotect(memory + STREAM_BYTES, GUARD, PROT_NONE);
    vcpu->stream = (uint64_t *)(void *)memory;
    vcpu->state->stream = vcpu->stream;
    return true;
}

void stream_free(struct vcpu *vcpu)
{
    munmap(vcpu->stream, STREAM_BYTES + GUARD);
}

bool stream_guards(const struct vcpu *vcpu, uint64_t address)
{
    uint64_t guard = (uint64_t)(uintptr_t)vcpu->stream + STREAM_BYTES;

    return address >= guard && address < guard + GUARD;
}

static void value_of(const struct probe_site *site, const uint64_t *words, uint64_t value[4])
{
    memset(value, 0, 4 * sizeof(*value));
    memcpy(value, words, (site->bytes + 7u) / 8 * sizeof(*value));
}

static void fire(const struct probe_site *site, const uint64_t *word)
{
    uint64_t value[4];
    struct probe_site known;

    if (site->loose) {
        known = *site;
        known.pc = engine_filter_pc = word[0];
        known.info = (uint16_t)word[1];
        word += 2;
        if (site->probe == PROBE_CALL)
            known.block = word[1];
        site = &known;
    }
    switch ((enum guest_probe)site->probe) {
    case PROBE_INSN: trace_guest_insn(site->pc, site->size); break;
    case PROBE_BLOCK: trace_guest_block(site->pc, site->info, site->size); break;
    case PROBE_EXEC_TB:
        trace_exec_tb((void *)(uintptr_t)site->block, (uintptr_t)site->block);
        break;
    case PROBE_MEM_BEFORE: trace_guest_mem_before_exec(word[0], site->info); break;
    case PROBE_MEM_AFTER:
        value_of(site, word + 1, value);
        trace_guest_mem_after(word[0], site->info, value[0], value[1], value[2], value[3]);
        break;
    case PROBE_BRANCH:
        trace_guest_branch(site->pc, site->words ? word[0] : site->target, site->taken);
        break;
    case PROBE_CALL:
        trace_guest_call(site->pc, site->words ? word[0] : site->target, site->block);
        break;
    case PROBE_RET: trace_guest_ret(site->pc, word[0]); break;
    case PROBE_COUNT: break;
    }
}

void stream_put(struct vcpu *vcpu, enum guest_probe probe, const uint64_t *words)
{
    unsigned count = vcpu->engine->probe_site[probe].words;

    if (vcpu->state->stream + 1 + count > vcpu->stream + STREAM_BYTES / sizeof(uint64_t))
        stream_flush(vcpu);
    *vcpu->state->stream++ = IR_STREAM_HEADER((uint64_t)probe, 1);
    memcpy(vcpu->state->stream, words, count * sizeof(*words));
    vcpu->state->stream += count;
}

void stream_cut(struct vcpu *vcpu, const struct block *block, const struct ir_point *point)
{
    if (point->records == 0)
        return;
    *vcpu->state->stream = IR_STREAM_HEADER(block->run_first, point->records);
    vcpu->state->stream += point->words;
}

void stream_flush(struct vcpu *vcpu)
{
    const uint64_t *word = vcpu->stream;
    const uint64_t *end = vcpu->state->stream;
    uint32_t counted = probes_only_counted();
    bool all_counted =
        (__atomic_load_n(&vcpu->engine->set_mask[vcpu->set & ~SET_FLAGS], __ATOMIC_RELAXED) &
         ~counted) == 0;
    uint64_t count[PROBE_COUNT] = {0};
    unsigned n = 0;

    while (word < end) {
        const struct probe_site *site = &vcpu->engine->probe_site[*word & (PROBE_SITES_MAX - 1)];
        uint64_t records = *word++ >> PROBE_SITE_BITS;

        if (all_counted && records == site->run_records && records > 0) {
            for (unsigned i = 0; i < PROBE_COUNT; i++)
                count[i] += site->run_count[i];
            word += site->run_words;
            continue;
        }
        for (; records > 0; records--, site++) {
            if (counted >> site->probe & 1) {
                count[site->probe]++;
                word += site->words;
                continue;
            }
            if (n++ % TIME_STEP == 0)
                trace_batch_time = clock_monotonic();
            engine_filter_pc = site->pc;
            fire(site, word);
            word += site->words;
        }
    }
    trace_batch_time = 0;
    probes_count(count);
    vcpu->state->stream = vcpu->stream;
}
