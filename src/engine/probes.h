/* SPDX-License-Identifier: MIT
 *
 * Guest probes: planted in blocks that are made while somebody listens.
 *
 * The set of probes that somebody listens to is part of a block's key, by a number: a vCPU that
 * takes up another set finds, or makes, other blocks, and the old ones stay for when the set comes
 * back.
 *
 * A planted probe appends a record to the vCPU's stream buffer with plain stores: a word that says
 * which place in the code it is (the number of a struct probe_site), then what is only known then:
 * addresses, values, targets. Nothing is called. When the buffer is full, and whenever the vCPU
 * leaves translated code for a reason that can be seen in traces, its thread goes through the
 * buffer and hands each record to its listeners.
 *
 *     | header | address |  header | header | address | value ... |     ^ state.stream     | guard
 * page
 *
 * The header is IR_STREAM_HEADER: a first site, and how many words of it and of the sites that
 * follow it come behind, in order. In most blocks all records are one run with one header
 * (host/x64/stream_run.c); where it is not known beforehand which will be made, because a filter is
 * asked or there are several ways, and in system mode, each has its own.
 *
 * A block begins with a store to where its last word could come to lie; that touches the guard page
 * if there is no room. The handler of the fault empties the buffer (firing probes is
 * async-signal-safe), and the store is made again.
 *
 * Where all who listen only count records, or add up their arguments, another thread can do that:
 * the vCPU then fills large buffers that it hands over (drain.c).
 */
#ifndef ENGINE_PROBES_H
#define ENGINE_PROBES_H

#include <stdbool.h>
#include <stdint.h>

struct engine;
struct ir_block;
struct vcpu;

/* Guest probes that are planted, as a set. Our name, and the event's. */
#define GUEST_PROBES(_)                  \
    _(INSN, GUEST_INSN)                  \
    _(BLOCK, GUEST_BLOCK)                \
    _(MEM_BEFORE, GUEST_MEM_BEFORE_EXEC) \
    _(MEM_AFTER, GUEST_MEM_AFTER)        \
    _(BRANCH, GUEST_BRANCH)              \
    _(CALL, GUEST_CALL)                  \
    _(RET, GUEST_RET)                    \
    _(EXEC_TB, EXEC_TB)

enum guest_probe {
#define GUEST_PROBE_ENUM(id, event) PROBE_##id,
    GUEST_PROBES(GUEST_PROBE_ENUM)
#undef GUEST_PROBE_ENUM
        PROBE_COUNT,
};

enum {
    STREAM_BYTES = 256 << 10,
    STREAM_GUARD = 256 << 10, /* behind it, as long as what a block can write: see STREAM_OPEN */
    PROBE_SITE_BITS = 20,
    PROBE_SITES_MAX = 1 << PROBE_SITE_BITS,
    PROBE_SETS_MAX = 1024,           /* without filters there are at most 864: 2^5 * 3^3 */
    PROBE_SITES_LOOSE = PROBE_COUNT, /* the first: one of each probe, for records that C makes */
};

/* A place in translated code that makes records. */
struct probe_site {
    uint64_t pc;     /* of the instruction */
    uint64_t target; /* BRANCH, CALL: where it goes if that is known; RET: 0 */
    uint64_t block;  /* pc of the block */
    uint32_t size;   /* bytes of the instruction, of the block for BLOCK */
    uint16_t info;   /* of a memory access: QEMU's bits; BLOCK: number of instructions */
    uint8_t probe;   /* enum guest_probe */
    uint8_t words;   /* dynamic words behind the site's number */
    uint8_t taken;   /* BRANCH */
    uint8_t bytes;   /* MEM_AFTER: of the value */
    bool loose;      /* pc and info are the first two words of the record */
    /* Of the first site of a run, or the only one: all of it, when the block is not left early. */
    uint16_t run_records;
    uint16_t run_count[PROBE_COUNT]; /* how many are of which probe */
};

/* Makes the room for sites, and begins to follow who listens. */
bool probes_init(struct engine *engine);
void probes_free(struct engine *engine);

/* The number of the set that is wanted now; 0 is the empty one. Any thread. */
uint32_t probes_wanted(const struct engine *engine);

/* Plants the probes of the set into a block that the guest has made. Lock held. */
void probes_plant(struct engine *engine, struct ir_block *ir, uint32_t set);

/* Whether the set has the probe, and not only counts it. */
bool probes_has(const struct engine *engine, uint32_t set, enum guest_probe probe);

/* What of the set is only counted, as a set of 1 << enum counted. */
unsigned probes_counted(const struct engine *engine, uint32_t set);

/* Whether the set wants to see each access to memory. */
bool probes_each_access(const struct engine *engine, uint32_t set);

/* True if there may not be room for the sites of another group. */
bool probes_full(const struct engine *engine);
/* Forgets all sites: no block has them any more, no stream mentions them. */
void probes_reset(struct engine *engine);

/* The probes whose listeners only count, as a set. Any thread. */
uint32_t probes_only_counted(void);
/* Whether the listeners of all in the set only count, or add up the arguments. Any thread. */
bool probes_only_summed(uint32_t set);

/* What records come to for such listeners: how many of each, and of MEM_BEFORE its arguments. */
struct probe_sums {
    uint64_t count[PROBE_COUNT];
    uint64_t address, info;
};
void probes_add(const struct probe_sums *sums);

/* The stream buffer of a vCPU; false: no memory. */
bool stream_new(struct vcpu *vcpu);
void stream_free(struct vcpu *vcpu);
/* Appends a record of a loose site: pc, info, and the words that planted ones have; for CALL the
 * return address behind them; for INSN pc and size, for BLOCK pc, instructions and size, for
 * EXEC_TB pc and 0. Outside translated code. */
void stream_put(struct vcpu *vcpu, enum guest_probe probe, const uint64_t *words);
/* Hands what is in the buffer to the listeners, or to the thread that drains, and empties it. The
 * vCPU's thread, outside translated code or in the handler of a fault in it. */
void stream_flush(struct vcpu *vcpu);
/* The same in the handler, when the buffer is full: what comes may go to a large one. */
void stream_full(struct vcpu *vcpu);

/* What becomes of the records. */
enum stream_use {
    STREAM_EVENTS,    /* each is an event for somebody */
    STREAM_COUNTS,    /* they are only counted */
    STREAM_ADDRESSES, /* only MEM_BEFORE: counted and added up */
};
/* By who listens now, of the vCPU's set. Its thread. */
enum stream_use stream_use(const struct vcpu *vcpu);
/* Adds up the words [word, end) of a buffer for the listeners. Not with STREAM_EVENTS. Any thread.
 */
void stream_sum(const struct engine *engine, enum stream_use use, const uint64_t *word,
                const uint64_t *end);
/* A block was left in the middle of a run: what it has recorded so far counts. */
struct block;
struct ir_point;
void stream_cut(struct vcpu *vcpu, const struct block *block, const struct ir_point *point);
/* True if the address is in the guard page. Async-signal-safe. */
bool stream_guards(const struct vcpu *vcpu, uint64_t address);

#endif
