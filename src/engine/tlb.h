/* SPDX-License-Identifier: MIT
 *
 * What a vCPU has beside in system mode: the soft TLB that translated code looks into, jump tables
 * of contexts, and where code is. All of it belongs to the vCPU's thread, except where others are
 * said to change it; they hold the engine's lock, and translated code is not running.
 *
 * Whatever is filled is logged, so that to flush costs as much as was filled.
 */
#ifndef ENGINE_TLB_H
#define ENGINE_TLB_H

#include "engine/internal.h"

enum {
    TLB_ENTRIES = 1 << IR_TLB_BITS,
    CODE_ENTRIES = 1024, /* pages of code */
    JUMP_ENTRIES = 1 << IR_JUMP_BITS,
    JUMPED_BITS = 4096,
};

/* What is known of an entry of the TLB or a jump table. */
enum { ENTRY_LOGGED = 1, ENTRY_GLOBAL = 2 };

struct tlb_view {
    uint64_t *read, *write, *addend; /* what struct ir_soft names */
    uint8_t *known;
    uint16_t *log;
    unsigned logged;
};

struct jump_table {
    uint64_t *entry;
    struct ir_second *second; /* for what shares a place with others */
    uint8_t *known, *known_second;
    uint16_t *log, *log_second;
    unsigned logged, logged_second;
    uint32_t owner; /* context + 1 */
};

/* A page that was executed. */
struct code_entry {
    uint64_t page; /* of the linear address, + 1; 0: empty */
    struct code_page *code;
    uint8_t view;
    bool global;
};

struct soft_cpu {
    /* Of `view`: its entries are the vCPU's, but whoever translates code of a page takes the right
     * to store to it from all, also from one that is in C. Inside the engine's lock. */
    pthread_mutex_t lock;
    /* The last two misses: where the instruction was, and the pages. */
    uint64_t missed_pc, missed[2];
    struct tlb_view view[IR_VIEWS];
    struct jump_table jump[JUMP_TABLES];
    struct code_entry code[CODE_ENTRIES];
    uint64_t jumped[JUMPED_BITS / 64]; /* pages that jump tables lead to, hashed */
    uint64_t large;                    /* regions of 1 GiB, hashed, with entries of large pages */
    struct ir_tlb tlb;                 /* what the guest gets */
    struct ir_context context;
    uint32_t context_number;
    uint32_t probes;           /* set of probes that is taken up, +1 */
    unsigned table;            /* of the context: which of `jump` */
    struct mem_range range;    /* of RAM or ROM that was found last; region NULL: none */
    uint32_t attend, flush;    /* wanted by others */
    struct ir_operand operand; /* while a slow instruction is under way */
    uint64_t linear;           /* its address */
    struct ir_told told;
    bool waiting; /* the guest may wait for an event */
    /* The block that was left in the middle, as it was then, and its number. */
    struct block block;
    uint32_t block_number;
    unsigned insn;
    uint64_t resume_entry; /* of that instruction; 0: it has none */
    bool resumes;          /* it is to be gone on with there: the TLB has been filled */
    /* What the TLB was last filled for. */
    uint64_t filled;
    uint32_t filled_block, filled_insn;
};

/* Makes an entry. `host`: of the byte at `linear`. Lock held. */
void tlb_fill(struct soft_cpu *soft, unsigned view, uint64_t linear, uint8_t *host, unsigned rights,
              const struct ir_page *page);
void tlb_flush(struct soft_cpu *soft, enum ir_flush what, uint64_t address, uint64_t empty);
/* Lets no store pass to the page of RAM any more. */
void tlb_protect(struct soft_cpu *soft, const uint8_t *host);
/* Whether only one of the two addresses can be known, since they are of different pages that share
 * an entry. */
bool tlb_contend(uint64_t linear, uint64_t other);
uint8_t *tlb_cached(const struct soft_cpu *soft, unsigned view, uint64_t linear, bool write);

/* The linear address of a byte that an entry of any view leads to; false: there is none. */
bool tlb_linear(const struct soft_cpu *soft, uint64_t host, uint64_t *linear);

struct code_entry *tlb_code(struct soft_cpu *soft, uint64_t linear);

void tlb_new(struct soft_cpu *soft, uint8_t *tables, uint64_t empty);
void tlb_free(struct soft_cpu *soft);

/* Tables lead to the page from now on: it counts when the page is flushed. */
void jumped(struct soft_cpu *soft, uint64_t linear);
void jump_remember(struct jump_table *table, uint64_t pc, uint64_t exec, bool global);
void jump_remember_second(struct jump_table *table, unsigned index, uint64_t pc, uint64_t exec,
                          bool global);
void jump_clear(struct jump_table *table, uint64_t empty);

#endif
