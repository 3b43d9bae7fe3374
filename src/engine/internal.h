/* SPDX-License-Identifier: MIT
 *
 * What the files of the engine share.
 *
 * Who owns what
 *
 *   Blocks, sites, the page table and the code cache belong to the engine and change only under
 *   `lock`. A block is found without it: the hash's chains are read as they are, new blocks are
 *   published with a release store, and the memory of dead ones is not used again before a flush.
 *   A vCPU's jump table is written by its own thread under the lock, and by others, under the lock,
 *   only to empty places.
 *
 * How other threads are held
 *
 *   A flush reuses memory that other threads may be executing, so it needs them all outside:
 *   engine_stop_others() sets `stop`, kicks every vCPU that is in translated code, and waits until
 *   none is. A thread announces itself (in_code) before it looks at `stop`, so one of the two sees
 *   the other. Nobody holds `lock` while waiting: the handler of a store into watched code takes
 * it.
 *
 * What dies how
 *
 *   A block whose source changes is taken out of the hash, every jump to it is pointed back to its
 *   stub, and jump-table places that lead to it are emptied. A thread that is inside goes on to the
 *   block's end, as a processor may with instructions that it has fetched; the thread that made the
 *   change itself leaves at the next instruction.
 */
#ifndef ENGINE_INTERNAL_H
#define ENGINE_INTERNAL_H

#include <pthread.h>

#include "engine/engine.h"
#include "engine/probes.h"

enum {
    PAGE_BITS = 12,
    ENGINE_HASH_BITS = 16,
    ENGINE_PAGES_BITS = 12,
    SOURCE_BYTES = 512, /* of guest code looked at for one block */
};

enum { ENGINE_SPARE_VCPUS = 4 }; /* whose memory is kept for the next ones */

/* Executions of blocks are counted where somebody wants to know, each block in a word of its own in
 * each vCPU, behind the jump tables: so no two threads share a counter, and a loop over several
 * blocks does not wait for one. Everything else that is counted is a multiple of these. */
enum {
    COUNT_SLOTS = 1 << 19,
    COUNT_AT = IR_SECOND_END, /* from the state block */
};

enum counted {
    COUNTED_INSTRUCTIONS, /* options.count */
    COUNTED_INSN,         /* guest_insn */
    COUNTED_BLOCK,        /* guest_block */
    COUNTED_TB,           /* exec_tb */
    COUNTED_KINDS,
};

struct count_slot {
    uint8_t insns;
    uint8_t kinds; /* set of 1 << enum counted */
};

/* In the number of a probe set: blocks of one instruction, for a guest that single-steps. */
#define SET_STEP 0x80000000u

struct block {
    uint64_t pc;
    struct block *next;       /* in its chain of the hash */
    struct block *falls_from; /* the block that runs into this one without a jump */
    uint64_t exec;            /* executed address of the direct entry */
    uint64_t indirect;        /* of the indirect entry; 0: none yet */
    uint64_t start;           /* of its code, and behind its hot part */
    uint64_t end;
    uint64_t base; /* executed address that the offsets of points count from */
    const struct ir_point *point;
    const uint16_t *insn; /* offsets of the instructions, and behind the last one */
    uint32_t points;
    uint32_t incoming;  /* first site that is linked to it, +1; 0: none */
    uint32_t set;       /* number of the probe set it was made for */
    uint8_t counted;    /* set of 1 << enum counted */
    uint32_t run_first; /* site of its run of stream records */
    uint16_t bytes;
    uint8_t insns;
    bool dead;
};

struct site {
    struct block *block;
    struct block *linked;
    uint64_t target;
    uint64_t patch; /* executed address of the displacement */
    uint64_t stub;
    uint32_t next;         /* in the linked block's list, +1 */
    uint32_t next_waiting; /* in the list of sites whose target was not there, +1 */
    uint8_t cause;
    uint8_t insn;
};

/* The blocks that have bytes on a page. */
struct page_blocks {
    struct page_blocks *next;
    struct block *block;
};

struct code_page {
    struct code_page *next;
    uint64_t address;
    struct page_blocks *blocks;
    unsigned how; /* set of enum engine_page; 0: not known */
    bool watched;
};

/* A pointer to a block, found without the lock, is good while the generation is the same: a thread
 * that is in translated code holds it; others look under the lock. */

struct engine_counts {
    uint64_t exits[IR_EXIT_COUNT];
    uint64_t links, made_blocks, made_insns, made_bytes, made_code, kills, flushes, translate_ns;
};

struct engine {
    struct engine_config config;
    const struct ir_guest *guest;
    const struct ir_host *host;
    struct engine_options options;
    ir_handler_fn *handler;

    /* cache.c */
    int memfd, fork_memfd;
    uint8_t *write;
    uint64_t exec;
    size_t cache_size;
    size_t used;
    size_t glue_size;
    struct ir_glue glue;

    pthread_mutex_t lock;

    /* block.c */
    struct block **hash;
    struct block **by_code; /* all blocks by their code's address, which only grows */
    uint32_t by_code_count, by_code_max;
    struct site *site;
    uint32_t site_count, site_max;
    uint32_t *waiting; /* by hash of the target: first site that waits for a block, +1 */
    uint8_t *arena;
    size_t arena_used, arena_size;
    struct code_page *pages[1 << ENGINE_PAGES_BITS];
    struct ir_block *ir;
    struct ir_code *code;
    uint64_t group_pc[IR_GROUP_BLOCKS];
    uint8_t group_counted[IR_GROUP_BLOCKS];
    uint32_t group_run[IR_GROUP_BLOCKS];
    uint8_t source[SOURCE_BYTES]; /* guest bytes of the block that is being made */

    /* probes.c */
    struct engine *next; /* of the process's engines */
    struct probe_site *probe_site;
    uint32_t probe_site_count;
    uint32_t set_count, wanted_set;
    uint32_t set_mask[PROBE_SETS_MAX];
    uint32_t set_counted[PROBE_SETS_MAX]; /* of the mask: only counted */
    bool set_filtered[PROBE_SETS_MAX];
    struct count_slot *count_slot;
    uint32_t count_slots;
    struct ir_op old_op[IR_BLOCK_OPS];

    /* vcpu.c */
    struct vcpu *vcpus;
    void *spare[ENGINE_SPARE_VCPUS]; /* memory of vCPUs that are gone; under the lock */
    unsigned spares;
    pthread_mutex_t stop_lock;
    pthread_cond_t stop_over;
    uint64_t generation; /* of blocks: a flush begins the next; changes under the lock */
    uint32_t stop;       /* number of threads that want all others outside */
    uint32_t left_code;  /* changes whenever a vCPU comes out: what a waiting thread sleeps on */
    uint64_t dead_instructions; /* executed by vCPUs that are gone */

    struct engine_counts counts;
};

struct vcpu {
    struct ir_state *state;
    uint64_t *jump_table;
    struct ir_second *second_table;
    struct engine *engine;
    struct vcpu *next;
    int number;
    int tid;
    int pid; /* of a child of vfork(), which shares the engine: its own */
    uint32_t in_code;
    uint32_t interrupt;
    bool stepping; /* single steps to the next boundary */
    bool fault_pending;
    uint64_t generation;             /* of the blocks when this one was looked up */
    struct site left;                /* the site that translated code left at */
    uint64_t left_pc, left_next;     /* its instruction, and the one behind */
    uint32_t set;                    /* probe set */
    uint64_t *stream;                /* its stream buffer */
    uint64_t *count;                 /* executions of blocks, by slot */
    uint64_t counted[COUNTED_KINDS]; /* by blocks that are no more, and corrections */
    uint64_t reported[COUNTED_KINDS];
    bool stream_full;
    uint64_t random; /* for random_exits */
    struct vcpu_fault fault;
    struct engine_counts counts;
};

/* --- cache.c --- */

bool cache_new(struct engine *engine, struct error *err);
void cache_free(struct engine *engine);
/* Writes the glue into an empty cache. */
void cache_reset(struct engine *engine);
uint8_t *cache_writable(const struct engine *engine, uint64_t exec);

/* --- block.c --- */

/* The live block at pc, or NULL. Without the lock. */
struct block *block_find(struct engine *engine, uint64_t pc, uint32_t set);

enum block_made {
    BLOCK_MADE,
    BLOCK_FAULT, /* vcpu->fault says why pc cannot be executed */
    BLOCK_FULL,  /* the cache is full: flush, then try again */
};

/* Makes the block at pc, and perhaps some that follow. Takes the lock. */
enum block_made block_make(struct vcpu *vcpu, uint64_t pc, bool indirect, struct block **made);

/* Points the jump of a site to the block. Takes the lock; nothing happens if either has died. */
void block_link(struct vcpu *vcpu, uint32_t site, struct block *block);

/* Puts the block into the vCPU's jump table, with an indirect entry. Takes the lock. */
void block_remember(struct vcpu *vcpu, struct block *block);

/* The block's source bytes have changed. Takes the lock. */
void block_stale(struct vcpu *vcpu, struct block *block);

/* Lock held. */
void block_kill(struct engine *engine, struct block *block);
void blocks_reset(struct engine *engine);

/* The block whose code has this executed address, and the point of its side table; false for glue
 * and free space. Async-signal-safe. `cold` is set where the address is in stubs. */
bool block_at(struct engine *engine, uint64_t exec, struct block **block, struct ir_point *point);

/* Guest bytes, as config.memory.read has them. */
bool guest_read(struct engine *engine, uint64_t address, void *to, size_t size);

/* The same, or only the `first` bytes of it (at least 1) where the rest cannot be read: how many.
 */
size_t guest_read_code(struct engine *engine, uint64_t address, void *to, size_t first,
                       size_t size);

/* Puts into vcpu->fault what Linux tells of a page fault of the vCPU that no host signal told of:
 * of an access, or of fetching an instruction. `error`: error code, as far as it is known. */
void access_fault(struct vcpu *vcpu, uint64_t address, uint32_t error);
void fetch_fault(struct vcpu *vcpu, uint64_t address);

/* --- count.c --- */

/* A slot for a block; its offset from the state block. Lock held. */
uint32_t count_slot_new(struct engine *engine, unsigned insns, unsigned kinds);
/* All that a vCPU has counted, by enum counted. */
void vcpu_counts(const struct vcpu *vcpu, uint64_t sum[COUNTED_KINDS]);
/* What vcpu_instructions() tells. Lock held. */
uint64_t counts_instructions(const struct vcpu *vcpu);
/* An instruction was counted and is not executed. Takes the lock. */
void counts_take_back(struct vcpu *vcpu);
/* Keeps the sums and makes the slots free: no block uses them any more. Lock held. */
void counts_reset(struct engine *engine);
/* Tells the listeners what was counted since they were told last. Lock held. */
void counts_report(struct vcpu *vcpu);
/* A block was left before its instruction `insn`; `started`: that one had begun. */
void counts_correct(struct vcpu *vcpu, const struct block *block, unsigned insn, bool started);

/* Whether blocks are linked: not with -d nochain, nor while the guest single-steps. */
bool vcpu_chains(const struct vcpu *vcpu);

/* --- looking.c --- */

/* What -d says about blocks that were made, and about one that is about to run. */
void log_blocks(struct engine *engine, struct block *const *block, unsigned count);
void log_ir(const struct ir_block *ir);
void log_entry(struct vcpu *vcpu, const struct block *block);
void log_fault(struct vcpu *vcpu);

/* --- run.c, vcpu.c --- */

/* Waits until all other vCPUs are outside translated code, and holds them there until go_on. Not
 * with the lock held. */
void engine_stop_others(struct engine *engine, struct vcpu *self);
void engine_go_on(struct engine *engine);
/* Forgets all blocks. Others stopped. */
void engine_flush(struct engine *engine);
void vcpu_kick(struct vcpu *vcpu);
/* Empties the jump table. */
void vcpu_forget(struct vcpu *vcpu);

#endif
