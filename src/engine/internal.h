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
#include "memory/memory.h"

enum {
    PAGE_BITS = 12,
    ENGINE_HASH_BITS = 17,
    ENGINE_PAGES_BITS = 12,
    HUGE_PAGE = 2 << 20,
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

/* Behind that, in system mode: the jump tables of contexts, and the TLB of each view. */
enum {
    JUMP_TABLES = 8,
    SOFT_TABLE = 8 << 16,
    SYSTEM_AT = COUNT_AT + 8 * COUNT_SLOTS,
    SECOND_AT = SYSTEM_AT + JUMP_TABLES * SOFT_TABLE, /* of struct ir_second */
    TLB_AT = SECOND_AT + JUMP_TABLES * 2 * SOFT_TABLE,
    SYSTEM_END = TLB_AT + IR_VIEWS * 3 * SOFT_TABLE,
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

/* A large stream buffer; see drain.c. */
struct stream_buffer {
    uint64_t *words;
    const uint64_t *end; /* of what was handed over */
    struct stream_buffer *next;
    enum stream_use use;
    uint32_t state; /* DRAIN_FREE, ... */
    uint32_t turn;  /* goes up each time that it is handed over */
};

enum {
    DRAIN_BUFFERS = 4,
    DRAIN_BYTES = 16 << 20,
};

/* Of a stream buffer. */
enum { DRAIN_FREE, DRAIN_FILLED, DRAIN_HANDED_OVER };

struct drain {
    pthread_t thread;
    pid_t process;              /* whose it is */
    uint32_t runs, ends;        /* the thread is there; it shall end */
    uint32_t sleeps;            /* what it sleeps on */
    struct stream_buffer *full; /* handed over, the last one first */
    struct stream_buffer buffer[DRAIN_BUFFERS];
};

/* In the number of a probe set: blocks of one instruction, for a guest that single-steps. */
#define SET_STEP 0x80000000u
/* The same, of one instruction alone that goes on where it was interrupted. */
#define SET_BEGUN 0x40000000u
#define SET_FLAGS (SET_STEP | SET_BEGUN)
/* The number itself; and in system mode that of the context (system.c), which is 0 in user mode. */
enum { SET_PROBES = PROBE_SETS_MAX - 1, SET_CONTEXT_SHIFT = 10, SET_CONTEXTS_MAX = 1 << 16 };
_Static_assert(PROBE_SETS_MAX == 1 << SET_CONTEXT_SHIFT, "a mask");

/* Blocks and sites are many, and each is looked at a few times: so they are small, lie in arrays in
 * the order of their code, and name each other by number. Addresses of code are offsets from
 * engine.exec. Numbers marked +1 are 0 for none. */
struct block {
    uint64_t pc;
    uint32_t next;         /* in its chain of the hash, +1 */
    uint32_t next_on_page; /* among those that begin on its page, +1 */
    uint32_t exec;         /* direct entry */
    uint32_t indirect;     /* indirect entry; 0: none yet */
    uint32_t start;        /* of its code, and behind its hot part */
    uint32_t end;
    uint32_t base;      /* its group's code: offsets of points count from it */
    uint32_t table;     /* side table, in the arena: side_table.c */
    uint32_t incoming;  /* first site that is linked to it, +1 */
    uint32_t set;       /* number of the probe set it was made for, and of its context */
    uint32_t frame;     /* system mode: of the page of RAM it comes from, or of a pair of them */
    uint32_t run_first; /* site of its run of stream records */
    uint16_t bytes;
    uint8_t insns;
    uint8_t counted;  /* set of 1 << enum counted */
    uint8_t count_at; /* instruction before which that is done, or behind the last */
    bool dead;
    bool falls_into; /* the one made before it runs into it without a jump */
};

struct site {
    uint64_t target;
    uint32_t block;
    uint32_t linked; /* +1 */
    uint32_t patch;  /* the displacement */
    uint32_t stub;
    uint32_t next; /* in the linked block's list or, where it `waits`, in the hash, +1 */
    uint8_t cause;
    uint8_t insn;
    bool waits;
};

_Static_assert(sizeof(struct block) <= 64 && sizeof(struct site) <= 32, "see above");

/* A place of the hash: two chains. In the low half of each the number of its first, +1; in the high
 * half a mark of each that was ever put in, by which most searches end here. */
struct hash_place {
    uint64_t blocks;
    uint64_t waiting; /* sites that wait for a block */
};

/* A table of the engine that grows, address space reserved: memory is asked for ahead, in pieces,
 * for a page fault costs more than what is written there. */
struct table {
    uint8_t *at;
    size_t size;  /* bytes reserved */
    void *mapped; /* what is mapped: more, for `at` is aligned for huge pages */
    size_t mapped_size;
    size_t ready; /* bytes that have memory already */
};

/* The blocks that come from another page and end on this one. */
struct page_blocks {
    struct page_blocks *next;
    struct block *block;
};

/* Two pages of RAM that one instruction lies on. */
struct page_pair {
    struct page_pair *next;
    struct code_page *first, *second;
    uint32_t number; /* with FRAME_PAIR */
};
#define FRAME_PAIR 0x80000000u

struct code_page {
    struct code_page *next;
    uint64_t address;        /* the guest's; in system mode that of the RAM in this process */
    struct page_pair *pairs; /* system mode, from here on: those that begin here */
    const struct mem_region *region;
    uint64_t offset; /* in the region */
    uint32_t number; /* frame: from 1 on */
    uint32_t first;  /* of the blocks that begin here, +1 */
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
    struct engine_listener listener; /* `made` NULL: nobody listens */

    /* cache.c */
    void *fork_copy; /* while a fork is under way: what the child gets; NULL: nothing */
    uint8_t *write;
    uint64_t exec;
    size_t cache_size;
    size_t used;
    size_t ready; /* bytes that have memory already */
    size_t glue_size;
    struct ir_glue glue;

    pthread_mutex_t lock;

    /* block.c */
    struct hash_place *hash;
    struct block *block; /* all, in the order of their code */
    uint32_t block_count, block_max;
    struct site *site;
    uint32_t site_count, site_max;
    uint8_t *arena;
    size_t arena_used;
    struct table hash_table, block_table, site_table, arena_table, count_table;
    struct code_page *pages[1 << ENGINE_PAGES_BITS];
    struct ir_block *ir;
    struct ir_code *code;
    uint64_t group_pc[IR_GROUP_BLOCKS];
    const struct code_place *group_place; /* system mode: where the group's code is */
    uint32_t frames, pairs;               /* system mode: the last numbers given */
    struct page_pair **pair;              /* by number */
    uint32_t pairs_max;
    struct ir_context *context;                   /* system mode: by number */
    uint8_t *context_table;                       /* which of the jump tables it uses */
    uint64_t table_used[JUMP_TABLES], table_uses; /* when each was taken up last */
    uint32_t contexts, contexts_max;
    struct mem_listener space_listener;
    struct mem_code_listener code_listener;
    const struct mem_region *heard;         /* the last region that the listener was given */
    pthread_mutex_t store_lock;             /* system mode: who stores without the TLB */
    uint64_t group_return[IR_GROUP_BLOCKS]; /* where its call will return to; 0: no call */
    uint8_t group_counted[IR_GROUP_BLOCKS];
    uint8_t group_count_at[IR_GROUP_BLOCKS];
    uint32_t group_run[IR_GROUP_BLOCKS];
    uint8_t source[SOURCE_BYTES]; /* guest bytes of the block that is being made */

    /* probes.c */
    struct engine *next; /* of the process's engines */
    struct probe_site *probe_site;
    uint32_t *probe_run_info; /* by the first site of a run: the sum of info of its accesses */
    uint32_t probe_site_count;
    uint32_t set_count, wanted_set;
    uint32_t set_mask[PROBE_SETS_MAX];
    uint32_t set_counted[PROBE_SETS_MAX]; /* of the mask: only counted */
    bool set_filtered[PROBE_SETS_MAX];
    uint32_t set_blocks[PROBE_SETS_MAX]; /* living blocks that were made for it */
    uint32_t set_next;                   /* where to look for a number to use again */
    struct count_slot *count_slot;
    uint32_t count_slots;
    struct ir_op old_op[IR_BLOCK_OPS];

    /* vcpu.c */
    struct vcpu *vcpus;
    struct table spare[ENGINE_SPARE_VCPUS]; /* memory of vCPUs that are gone; under the lock */
    unsigned spares;
    pthread_mutex_t stop_lock;
    pthread_cond_t stop_over;
    uint64_t generation; /* of blocks: a flush begins the next; changes under the lock */
    uint32_t stop;       /* number of threads that want all others outside */
    uint32_t left_code;  /* changes whenever a vCPU comes out: what a waiting thread sleeps on */
    uint64_t dead_instructions; /* executed by vCPUs that are gone */

    struct drain drain;
    struct engine_counts counts;
};

struct vcpu {
    struct ir_state *state; /* and the tables behind it: all of `memory` */
    struct table memory;
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
    uint32_t looked_set;             /* drain_begin() has seen it, +1 */
    uint64_t *stream;                /* the stream buffer that is being filled */
    uint64_t *own_stream;            /* its own buffer, where that is none of the engine's */
    struct stream_buffer *large;     /* the engine's, or NULL */
    uint64_t *count;                 /* executions of blocks, by slot */
    uint64_t counted[COUNTED_KINDS]; /* by blocks that are no more, and corrections */
    uint64_t reported[COUNTED_KINDS];
    bool stream_full;
    unsigned access_count; /* of the instruction that access.c tells of */
    struct ir_access_at access[IR_ACCESSES_MAX];
    uint64_t access_value[IR_ACCESSES_MAX][4]; /* as read before it, as stored behind it */
    uint64_t random;                           /* for random_exits */
    struct soft_cpu *soft;                     /* of system mode; NULL */
    struct vcpu_fault fault;
    struct engine_counts counts;
};

/* System mode: where the code at a pc is. */
struct code_place {
    struct code_page *page;   /* of its first byte */
    struct code_page *second; /* the page behind, if it is known */
    unsigned offset;          /* in the page */
    unsigned room;            /* bytes that the code segment has from there on, if fewer than 16 */
};

/* --- cache.c --- */

bool cache_new(struct engine *engine, struct error *err);
void cache_free(struct engine *engine);
/* Writes the glue into an empty cache. */
void cache_reset(struct engine *engine);

/* Memory for the part of the cache that is written next. */
void cache_ready(struct engine *engine);

/* --- table.c --- */

bool table_new(struct table *table, size_t size);
/* One that is used all over from the beginning: all its memory now, huge pages where there are any.
 */
bool table_new_whole(struct table *table, size_t size);
/* Makes all its bytes 0. */
void table_clear(struct table *table);
void table_free(struct table *table);
/* The table is about to be used as far as `used` bytes, and a little further. */
void table_ready(struct table *table, size_t used);

/* --- side_table.c --- */

/* The longest that side_table_pack() can write. */
#define SIDE_TABLE_MAX(points, insns) ((points) * (1 + sizeof(struct ir_point)) + (insns) + 1)

/* Packs the points of a block, `start` being the offset of its code in its group's, and the lengths
 * of its instructions. Returns the number of bytes. */
size_t side_table_pack(uint8_t *to, const struct ir_point *point, unsigned points, uint32_t start,
                       const uint8_t *length, unsigned insns);

/* The points of a block one after the other. Async-signal-safe. */
struct side_cursor {
    const uint8_t *at;
    struct ir_point point;
};
void side_begin(const struct engine *engine, const struct block *block, struct side_cursor *cursor);
bool side_next(struct side_cursor *cursor);

/* Guest address of the instruction; of the end of the block for the number behind the last. */
uint64_t side_pc(const struct engine *engine, const struct block *block, unsigned insn);

/* --- block.c --- */

/* Executed address of the direct entry. */
static inline uint64_t block_exec(const struct engine *engine, const struct block *block)
{
    return engine->exec + block->exec;
}

static inline uint32_t block_number(const struct engine *engine, const struct block *block)
{
    return (uint32_t)(block - engine->block);
}

/* The live block at pc, or NULL. Without the lock. */
struct block *block_find(struct engine *engine, uint64_t pc, uint32_t set, uint32_t frame);
/* The same in system mode. */
struct block *block_find_at(struct engine *engine, uint64_t pc, uint32_t set,
                            const struct code_place *place);

enum block_made {
    BLOCK_MADE,
    BLOCK_FAULT, /* vcpu->fault says why pc cannot be executed */
    BLOCK_FULL,  /* the cache is full: flush, then try again */
    BLOCK_AGAIN, /* system mode: the page was written to meanwhile */
};

/* Makes the block at pc, and perhaps some that follow. Takes the lock. */
enum block_made block_make(struct vcpu *vcpu, uint64_t pc, bool indirect, struct block **made);
/* The same in system mode. FAULT: the instruction goes on behind the bytes of the place. */
enum block_made block_make_at(struct vcpu *vcpu, uint64_t pc, const struct code_place *place,
                              struct block **made);
/* System mode, lock held: the record of the page of RAM at this address in the process, made if
 * need be. NULL: no memory for it. */
struct code_page *block_page(struct engine *engine, const struct mem_region *region,
                             uint64_t offset, uint64_t address);
/* System mode, lock held: bytes of the page have changed. */
void block_written(struct engine *engine, struct code_page *page, unsigned offset, size_t size);
struct code_page *page_find(struct engine *engine, uint64_t address);

/* Points the jump of a site to the block. Takes the lock; nothing happens if either has died. */
void block_link(struct vcpu *vcpu, uint32_t site, struct block *block);

/* Puts the block into the vCPU's jump table, with an indirect entry. Takes the lock. */
void block_remember(struct vcpu *vcpu, struct block *block);

/* The block's source bytes have changed. Takes the lock. */
void block_stale(struct vcpu *vcpu, struct block *block);

/* Lock held. */
void block_kill(struct engine *engine, struct block *block);
/* Kills the blocks of all sets of probes with filters but the one that is wanted. Lock held. */
void blocks_kill_filtered(struct engine *engine);
void blocks_reset(struct engine *engine);

/* The block whose code has this executed address, and the point of its side table; false for glue
 * and free space. Async-signal-safe. `cold` is set where the address is in stubs. */
bool block_at(struct engine *engine, uint64_t exec, struct block **block, struct ir_point *point);
/* Where the next point behind an address of the block's code is. Async-signal-safe. */
uint64_t block_next_point(const struct engine *engine, const struct block *block, uint64_t exec);

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

/* --- access.c --- */

/* What the instruction at state.pc is going to do to memory: for one that leaves translated code to
 * have it told. note() looks, before() and after() tell, where somebody listens. */
void accesses_note(struct vcpu *vcpu);
void accesses_before(struct vcpu *vcpu);
void accesses_after(struct vcpu *vcpu, uint64_t pc);
/* A branch at `pc` that C has executed led to state.pc; `kind`: enum ir_jump_kind. */
void branch_executed(struct vcpu *vcpu, unsigned kind, uint64_t pc, uint64_t behind);
/* The guest's bytes at state.pc, for its functions: how many of the 16; 0: they cannot be read. */
enum { BYTES_AHEAD = 16 };
size_t bytes_at_pc(struct vcpu *vcpu, uint8_t bytes[BYTES_AHEAD]);

/* --- count.c --- */

/* Counts executions of the block that is being made, where group_counted says that it is wanted:
 * with a slot of its own, in the place where that costs least. Behind ir_liveness(). Lock held. */
void count_plant(struct engine *engine, struct ir_block *ir);
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

/* --- drain.c --- */

/* Starts the thread if the vCPU's set has use for it. Its thread, outside translated code. */
void drain_begin(struct vcpu *vcpu);
/* Takes a large buffer if one is free: vcpu->large. The vCPU's thread. Async-signal-safe. */
void drain_take(struct vcpu *vcpu);
/* Hands vcpu->large over, or, where its records have become events, gives it back. The same. */
void drain_hand_over(struct vcpu *vcpu, enum stream_use use);
/* Returns when all that was handed over before is drained. Any thread. */
void drain_wait(struct engine *engine);
/* Ends the thread. */
void drain_end(struct engine *engine);
/* The thread has not come along. */
void drain_fork_child(struct engine *engine, struct vcpu *self);

/* Whether blocks are linked: not with -d nochain, nor while the guest single-steps. */
bool vcpu_chains(const struct vcpu *vcpu);

/* --- listen.c: only where somebody listens, lock held --- */

/* Of a group, whose exits end at `end` (offsets, as in struct block). */
void tell_blocks(const struct engine *engine, const struct block *block, unsigned count,
                 uint32_t end);
/* Of the indirect entry that the block has got. */
void tell_entry(const struct engine *engine, const struct block *block, uint32_t end);
/* Of everything that is in the cache. */
void tell_all(const struct engine *engine);

/* --- looking.c --- */

/* What -d says about blocks that were made, and about one that is about to run. */
void log_blocks(struct engine *engine, const struct block *block, unsigned count);
void log_ir(const struct ir_block *ir);
void log_entry(struct vcpu *vcpu, const struct block *block);
void log_fault(struct vcpu *vcpu);

/* --- run.c: what the loop of system mode shares --- */

/* The block at pc is run, from its entry or from further on (`entry`, executed address). False: it
 * was not, for somebody wants this thread to stop. */
bool vcpu_enter(struct vcpu *vcpu, const struct block *block, uint64_t entry);
void vcpu_look_begin(struct vcpu *vcpu);
void vcpu_look_end(struct vcpu *vcpu);

/* --- system.c, tlb.c: system mode --- */

enum vcpu_event system_run(struct vcpu *vcpu);
void system_new(struct engine *engine);
void system_free(struct engine *engine);
void soft_new(struct vcpu *vcpu);
void soft_free(struct vcpu *vcpu);
/* Nothing is wanted that keeps the thread from going in. */
bool soft_settled(const struct vcpu *vcpu);
/* What a block of the vCPU's context is made for. */
void soft_prepare(const struct vcpu *vcpu, struct ir_block *ir);
/* An entry of the jump table of its context; taken out of all tables. Lock held. */
void soft_remember(struct vcpu *vcpu, const struct block *block);
void soft_forget_entry(struct vcpu *vcpu, const struct block *block);
/* All blocks are gone. Lock held. */
void soft_forget(struct vcpu *vcpu);

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
