/* SPDX-License-Identifier: MIT
 *
 * The stream buffers of a vCPU, and from their records to events, or to sums.
 */
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "engine/filter.h"
#include "engine/internal.h"
#include "trace-engine.h"

enum {
    TIME_STEP = 16, /* records that share a reading of the clock */
};

bool stream_new(struct vcpu *vcpu)
{
    uint8_t *memory = mmap(NULL, STREAM_BYTES + STREAM_GUARD, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (memory == MAP_FAILED)
        return false;
    mprotect(memory + STREAM_BYTES, STREAM_GUARD, PROT_NONE);
    vcpu->own_stream = (uint64_t *)(void *)memory;
    vcpu->stream = vcpu->own_stream;
    vcpu->state->stream = vcpu->stream;
    return true;
}

void stream_free(struct vcpu *vcpu)
{
    munmap(vcpu->own_stream, STREAM_BYTES + STREAM_GUARD);
}

bool stream_guards(const struct vcpu *vcpu, uint64_t address)
{
    uint64_t guard = (uint64_t)(uintptr_t)vcpu->stream + (vcpu->large ? DRAIN_BYTES : STREAM_BYTES);

    return address >= guard && address < guard + STREAM_GUARD;
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
        known.pc = known.block = engine_filter_pc = word[0];
        known.info = (uint16_t)word[1];
        known.size = (uint32_t)word[site->probe == PROBE_BLOCK ? 2 : 1];
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
    *vcpu->state->stream++ = IR_STREAM_CUT((uint64_t)probe, count, 1);
    memcpy(vcpu->state->stream, words, count * sizeof(*words));
    vcpu->state->stream += count;
}

void stream_cut(struct vcpu *vcpu, const struct block *block, const struct ir_point *point)
{
    if (point->records == 0)
        return;
    *vcpu->state->stream = IR_STREAM_CUT(block->run_first, point->words - 1u, point->records);
    vcpu->state->stream += point->words;
}

/* --- a header --- */

static uint32_t first_of(uint64_t header)
{
    return header & (PROBE_SITES_MAX - 1);
}

static unsigned words_of(uint64_t header)
{
    return header >> PROBE_SITE_BITS & IR_STREAM_WORDS_MAX;
}

static bool is_cut(uint64_t header)
{
    return (int64_t)header >= 0;
}

/* Records of a run that was left before its end. */
static unsigned cut_of(uint64_t header)
{
    return (unsigned)(header >> 32);
}

/* --- sums --- */

static void count_records(const struct probe_site *site, unsigned records, struct probe_sums *sums)
{
    for (; records > 0; records--, site++)
        sums->count[site->probe]++;
}

static void count_words(const struct engine *engine, const uint64_t *word, const uint64_t *end,
                        struct probe_sums *sums)
{
    while (word < end) {
        const struct probe_site *site = &engine->probe_site[first_of(*word)];

        if (is_cut(*word))
            count_records(site, cut_of(*word), sums);
        else
            for (unsigned i = 0; i < PROBE_COUNT; i++)
                sums->count[i] += site->run_count[i];
        word += 1 + words_of(*word);
    }
}

/* Each of its records has one word. A wrong guess (see below) may take anything for a header. */
static uint64_t cut_info(const struct engine *engine, uint64_t header)
{
    uint32_t first = first_of(header), end = first + words_of(header);
    uint64_t info = 0;

    for (uint32_t i = first; i < end && i < PROBE_SITES_MAX; i++)
        info += engine->probe_site[i].info;
    return info;
}

/* Addresses only: what is not a header is one. So all words are added up, and the headers are taken
 * off again, which need not be told from addresses then.
 *
 * Where the next header is says this one, so a walk from header to header waits for each. Several
 * walks go on at a time, from several places: a place is guessed, a word that looks like a header,
 * and right if the walk before it ends there. If it does not, that one goes on. */
struct walk {
    const uint64_t *word, *begin, *end;
    const uint64_t *limit; /* of the buffer */
    uint64_t headers, info, count;
};

enum { WALKS = 4 };

static inline void step(const struct engine *engine, struct walk *walk)
{
    uint64_t header = *walk->word;

    if (__builtin_expect(is_cut(header) && first_of(header) < PROBE_SITES_LOOSE, 0)) {
        if (walk->word + 3 < walk->limit) { /* else a wrong guess */
            walk->info += walk->word[2];
            walk->headers += walk->word[1] + walk->word[2];
            walk->count += 2;
        }
    } else if (__builtin_expect(is_cut(header), 0))
        walk->info += cut_info(engine, header);
    else
        walk->info += __atomic_load_n(&engine->probe_run_info[first_of(header)], __ATOMIC_RELAXED);
    walk->headers += header;
    walk->count++;
    walk->word += 1 + words_of(header);
}

static const uint64_t *guess_header(const uint64_t *word, const uint64_t *end)
{
    while (word < end && *word < IR_STREAM_HEADER(0, 0))
        word++;
    return word;
}

/* All walks to their ends, or behind. */
static void go(const struct engine *engine, struct walk walk[WALKS])
{
    struct walk a = walk[0], b = walk[1], c = walk[2], d = walk[3];

    while (a.word < a.end && b.word < b.end && c.word < c.end && d.word < d.end) {
        step(engine, &a);
        step(engine, &b);
        step(engine, &c);
        step(engine, &d);
    }
    walk[0] = a, walk[1] = b, walk[2] = c, walk[3] = d;
    for (unsigned i = 0; i < WALKS; i++)
        while (walk[i].word < walk[i].end)
            step(engine, &walk[i]);
}

static uint64_t add_words(const uint64_t *word, size_t count)
{
    uint64_t sum[4] = {0};
    size_t i = 0;

    for (; i + 4 <= count; i += 4) {
        sum[0] += word[i];
        sum[1] += word[i + 1];
        sum[2] += word[i + 2];
        sum[3] += word[i + 3];
    }
    for (; i < count; i++)
        sum[0] += word[i];
    return sum[0] + sum[1] + sum[2] + sum[3];
}

static void add_addresses(const struct engine *engine, const uint64_t *word, const uint64_t *end,
                          struct probe_sums *sums)
{
    const size_t count = (size_t)(end - word);
    struct walk walk[WALKS] = {{0}};
    const uint64_t *reached = word;

    sums->address += add_words(word, count);
    sums->count[PROBE_MEM_BEFORE] += count;
    walk[0].begin = word;
    for (unsigned i = 1; i < WALKS; i++)
        walk[i].begin = guess_header(word + count / WALKS * i, end);
    for (unsigned i = 0; i < WALKS; i++) {
        walk[i].word = walk[i].begin;
        walk[i].limit = end;
        walk[i].end = i + 1 < WALKS ? walk[i + 1].begin : end;
    }
    go(engine, walk);
    for (unsigned i = 0; i < WALKS; i++) {
        if (walk[i].begin != reached) { /* a wrong guess */
            walk[i] = (struct walk){.word = reached, .end = walk[i].end, .limit = end};
            while (walk[i].word < walk[i].end)
                step(engine, &walk[i]);
        }
        reached = walk[i].word;
        sums->address -= walk[i].headers;
        sums->info += walk[i].info;
        sums->count[PROBE_MEM_BEFORE] -= walk[i].count;
    }
}

enum stream_use stream_use(const struct vcpu *vcpu)
{
    const struct engine *engine = vcpu->engine;
    uint32_t set = vcpu->set & SET_PROBES;
    uint32_t mask = __atomic_load_n(&engine->set_mask[set], __ATOMIC_RELAXED) &
                    ~__atomic_load_n(&engine->set_counted[set], __ATOMIC_RELAXED);

    if (mask == 1u << PROBE_MEM_BEFORE && probes_only_summed(mask))
        return STREAM_ADDRESSES;
    return mask & ~probes_only_counted() ? STREAM_EVENTS : STREAM_COUNTS;
}

void stream_sum(const struct engine *engine, enum stream_use use, const uint64_t *word,
                const uint64_t *end)
{
    struct probe_sums sums = {0};

    if (use == STREAM_ADDRESSES)
        add_addresses(engine, word, end, &sums);
    else
        count_words(engine, word, end, &sums);
    probes_add(&sums);
}

/* --- events --- */

static void fire_all(const struct engine *engine, const uint64_t *word, const uint64_t *end)
{
    uint32_t counted = probes_only_counted();
    struct probe_sums sums = {0};
    unsigned n = 0;

    while (word < end) {
        uint64_t header = *word++;
        const struct probe_site *site = &engine->probe_site[first_of(header)];
        unsigned records = is_cut(header) ? cut_of(header) : site->run_records;

        for (; records > 0; records--, site++) {
            if (counted >> site->probe & 1) {
                sums.count[site->probe]++;
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
    probes_add(&sums);
}

static void fill(struct vcpu *vcpu, uint64_t *words)
{
    vcpu->stream = words;
    vcpu->state->stream = words;
}

static void empty(struct vcpu *vcpu, enum stream_use use)
{
    if (use == STREAM_EVENTS)
        fire_all(vcpu->engine, vcpu->stream, vcpu->state->stream);
    else if (!vcpu->large)
        stream_sum(vcpu->engine, use, vcpu->stream, vcpu->state->stream);
    if (vcpu->large)
        drain_hand_over(vcpu, use);
    fill(vcpu, vcpu->own_stream);
}

void stream_flush(struct vcpu *vcpu)
{
    empty(vcpu, stream_use(vcpu));
}

void stream_full(struct vcpu *vcpu)
{
    enum stream_use use = stream_use(vcpu);

    empty(vcpu, use);
    if (use != STREAM_EVENTS)
        drain_take(vcpu);
    if (vcpu->large)
        fill(vcpu, vcpu->large->words);
}
