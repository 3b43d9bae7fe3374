/* SPDX-License-Identifier: MIT
 *
 * What a host offers to the engine: it turns blocks into code, patches jumps, and enters and leaves
 * translated code.
 *
 * Code is written through one view of the cache and executed through another (W^X): `write` points
 * into the first, `exec` is the address of the same byte in the second.
 */
#ifndef IR_HOST_H
#define IR_HOST_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "ir/block.h"
#include "ir/state.h"

/* A place where translated code leaves for the engine, or jumps to a block that may not exist yet.
 * Sites are numbered through by the engine; emitted code stores the number in state.exit_arg. */
struct ir_site {
    uint8_t cause;   /* enum ir_exit */
    uint8_t insn;    /* guest instruction of the block */
    uint16_t block;  /* which block of the group */
    uint32_t patch;  /* LINK: offset of the jump's displacement in the code */
    uint32_t stub;   /* offset of the stub that the displacement leads to while there is no link */
    uint64_t target; /* LINK: guest pc; else the argument of EXIT */
};

enum ir_point_flag {
    IR_POINT_BOUNDARY = 1,    /* exactly here the state is whole and `insn` has not begun */
    IR_POINT_FLAGS = 2,       /* the guest's flags are in the state block (host's own form) */
    IR_POINT_COLD = 4,        /* not guest code any more: stubs */
    IR_POINT_FETCH = 16,      /* reads the source bytes: a fault here is one of fetching them */
    IR_POINT_BASE_ADDED = 32, /* the host's own: an address register has a segment's base added */
    IR_POINT_STREAM = 8,      /* STREAM_OPEN: to be done again from here when there is room */
    IR_POINT_PEEK = 64,       /* up to the next point: a load that may be left out */
    IR_POINT_AGAIN = 128,     /* with BOUNDARY: the instruction has begun, and goes on from here */
};

/* The side table: from `host` (offset in the code) up to the next point. */
struct ir_point {
    uint32_t host;
    uint16_t saved;          /* registers whose guest value is in state.reg, a set */
    uint8_t insn;            /* guest instruction of the block */
    uint8_t flags;           /* enum ir_point_flag */
    uint16_t records, words; /* of a run of stream records: so far, and not yet in state.stream */
    uint16_t begun; /* at a boundary: records so far without those of the instruction itself */
};

/* The header of a run of records: the first site (20 bits) and how many words follow (11 bits), as
 * a number of 32 bits that is negative. One of a run that was left before its end is positive, and
 * has the number of its records in the upper half. */
#define IR_STREAM_HEADER(first, words) \
    (UINT64_C(0xffffffff80000000) | (uint64_t)(words) << 20 | (first))
#define IR_STREAM_CUT(first, words, records) \
    ((uint64_t)(records) << 32 | (uint64_t)(words) << 20 | (first))
enum { IR_STREAM_WORDS_MAX = 2047 };

struct ir_entry {
    uint32_t start;         /* offset of the block's code, indirect entry included */
    uint32_t entry;         /* direct entry */
    uint32_t indirect;      /* indirect entry; 0: none */
    uint32_t end;           /* of the hot part */
    uint32_t point, points; /* first and number */
};

enum {
    IR_GROUP_BLOCKS = 8,
    IR_GROUP_SITES = IR_GROUP_BLOCKS * 64,
    IR_GROUP_POINTS = IR_GROUP_BLOCKS * IR_BLOCK_INSNS * 4,
    IR_GROUP_POOL = IR_GROUP_BLOCKS * (IR_BLOCK_BYTES / 8 + 4),
};

/* A group of blocks that are emitted together, each falling through into the next. */
struct ir_code {
    uint8_t *write; /* where to write */
    uint64_t exec;  /* the same place, executed */
    size_t room;    /* bytes */
    size_t size;    /* bytes written so far */
    bool full;      /* it did not fit: nothing of it may be used */
    uint32_t first_site;
    uint32_t jump_table; /* system mode: of the group's context */
    unsigned block_count, site_count, point_count;
    struct ir_entry block[IR_GROUP_BLOCKS];
    struct ir_site site[IR_GROUP_SITES];
    struct ir_point point[IR_GROUP_POINTS];
    /* Constants that go behind the code: value, and offset of the 4 bytes that address it. */
    unsigned pool_count;
    struct {
        uint64_t value;
        uint32_t patch;
    } pool[IR_GROUP_POOL];
};

/* Addresses of the glue, the code that every engine's cache begins with. */
struct ir_glue {
    uint64_t start, end;         /* all of it */
    uint64_t enter, enter_end;   /* the part that goes in */
    uint64_t leave;              /* stubs jump here */
    uint64_t empty;              /* what empty places of the jump table hold */
    uint64_t lookup;             /* where indirect entries go that were not meant */
    uint64_t inside, inside_end; /* the part of the lookup that goes on in translated code */
    uint64_t redirect;           /* where a signal handler sends an interrupted thread */
};

/* What a handler of host signals looks like. */
typedef void ir_handler_fn(int signal, siginfo_t *info, void *ucontext);

struct ir_host {
    const char *name;

    /* True if this processor and kernel can run translated code; else a sentence. */
    bool (*usable)(struct error *err);

    /* Writes the glue at the beginning of a cache; code->size is advanced. */
    void (*glue)(struct ir_code *code, struct ir_glue *glue);

    /* Emits one block behind what is there; then, after the last, the cold parts. */
    void (*emit)(struct ir_code *code, const struct ir_glue *glue, const struct ir_block *block);
    void (*finish)(struct ir_code *code, const struct ir_glue *glue);

    /* Writes an indirect entry for the block at guest `pc` whose direct entry is `entry` (executed
     * address). */
    void (*indirect_entry)(struct ir_code *code, const struct ir_glue *glue, uint64_t pc,
                           uint64_t entry);

    /* Points the jump whose displacement is at `patch` (written view; `exec`, executed) to an
     * executed address. One store; other threads may be running the jump. */
    void (*patch)(uint8_t *patch, uint64_t exec, uint64_t target);

    /* Prepares the state block of a thread, and makes it the calling thread's. `handler` is what
     * the entry of signal handlers calls on this thread. A NULL state: the thread has none any
     * more. */
    void (*bind)(struct ir_state *state, ir_handler_fn *handler);

    /* Where enter() goes: an executed address. May be set again by a signal handler on the same
     * thread, also while enter() is on its way (glue.enter to glue.enter_end): so a request to stop
     * that comes after C has looked is not lost. */
    void (*set_entry)(struct ir_state *state, uint64_t entry);

    /* Runs translated code with the calling thread's state until it leaves: state.exit and
     * state.exit_arg. */
    void (*enter)(const struct ir_glue *glue);

    /* Installs the entry of signal handlers, which restores the host's thread pointer; see
     * engine_sigaction(). */
    bool (*sigaction)(int signal);
    /* Another handler for a state block that is bound already. */
    void (*set_handler)(struct ir_state *state, ir_handler_fn *handler);

    /* The index of a pc in the second table. */
    unsigned (*second)(uint64_t pc);

    /* The calling thread's state block, or NULL where none is bound. Async-signal-safe. */
    struct ir_state *(*current)(void);

    /* The interrupted context: reads the address of the next host instruction; puts the guest's
     * values of `saved` registers and flags back; goes elsewhere; single-steps. */
    uint64_t (*context_pc)(const void *ucontext);
    void (*context_recover)(void *ucontext, const struct ir_state *state,
                            const struct ir_point *point);
    void (*context_go)(void *ucontext, uint64_t pc);
    void (*context_step)(void *ucontext, bool on);
    /* Vector and error code of a fault, as the kernel tells them in the context. */
    void (*context_fault)(const void *ucontext, uint32_t *vector, uint32_t *error);
};

#endif
