/* SPDX-License-Identifier: MIT
 *
 * What a guest offers to the engine: one struct of functions. A second guest is a folder that fills
 * in another.
 *
 * `config` is the guest's own description of the CPU (a model); it outlives the engine. `state` is
 * the CPU record, which begins with a struct ir_state. All functions may be called by several
 * threads at once, each with a block and a state of its own.
 */
#ifndef IR_GUEST_H
#define IR_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ir/block.h"
#include "ir/state.h"

struct strbuf;

/* A guest's exception, from a helper. */
struct ir_fault {
    uint32_t vector;
    uint32_t error;   /* error code, 0 where there is none */
    uint64_t address; /* of a page fault */
};

/* What an instruction does to memory: one access. Those of other sizes than a power of two up to 32
 * are told in pieces of such sizes, from the first byte on. */
struct ir_access_at {
    uint64_t address;
    uint8_t size; /* bytes */
    bool write;
};
enum { IR_ACCESSES_MAX = 72 };

enum ir_translated {
    IR_TRANSLATED, /* the block holds at least one instruction and is ended */
    IR_SHORT,      /* the first instruction goes on behind `size` bytes */
};

/* Whether a branch has led to state.pc. */
enum ir_led {
    IR_LED_NOT,
    IR_LED_MAYBE,
    IR_LED_SURELY, /* there is more to tell by than the target */
};

/* --- system mode --- */

enum ir_flush {
    IR_FLUSH_ALL,    /* everything */
    IR_FLUSH_LOCAL,  /* what is not global */
    IR_FLUSH_PAGE,   /* one address */
    IR_FLUSH_RIGHTS, /* nothing moved, but rights are decided anew */
};

/* Who is told what an instruction that C executes does to memory: each access before it is made,
 * and behind it, in order. Linear addresses. */
struct ir_told {
    void *opaque;
    void (*before)(void *opaque, uint64_t linear, size_t size, bool write);
    void (*after)(void *opaque, uint64_t linear, size_t size, bool write, const void *value);
    /* A repeated instruction has come to the end of one turn. */
    void (*turn)(void *opaque);
};

/* What a guest's memory management is to the engine's TLB, and asks of it. */
struct ir_tlb {
    void *opaque;
    void (*flush)(void *opaque, enum ir_flush what, uint64_t address);
    /* The host address of a byte that the guest may access in its current mode, if the TLB knows;
     * else NULL. */
    uint8_t *(*cached)(void *opaque, uint64_t linear, bool write);
    /* Whether code was made from the page of RAM. */
    bool (*has_code)(void *opaque, uint64_t physical);
    /* What addresses of the host, which its unit has kept of the last instruction, are to the
     * guest: of code its pc, of data the linear address by which the TLB knows it; themselves if
     * they are neither. NULL: none are. */
    uint64_t (*guest_pc)(void *opaque, uint64_t host);
    uint64_t (*guest_data)(void *opaque, uint64_t host);
    const struct ir_told *told; /* NULL: nobody */
};

/* What translated code depends on. Two that are equal share code. */
struct ir_context {
    uint64_t base;  /* of code: linear address minus pc */
    uint64_t limit; /* of code: the last byte, where that is not the end of addresses */
    uint32_t mode;  /* the guest's own */
    uint8_t view;   /* which rights of pages hold: 0 to IR_VIEWS - 1 */
    uint8_t code;   /* bytes of an address by default: 2, 4, 8 */
    bool single;    /* one instruction a block, and C looks behind it */
};
enum { IR_VIEWS = 3 };

enum ir_right { IR_RIGHT_READ = 1, IR_RIGHT_WRITE = 2, IR_RIGHT_EXECUTE = 4 };

/* Where a linear address leads. */
struct ir_page {
    uint64_t physical; /* of the byte */
    uint64_t size;     /* of the page */
    uint8_t rights;    /* enum ir_right, a set: what needs no other walk (A and D are set) */
    bool global;
};

enum ir_event { IR_EVENT_NONE, IR_EVENT_TAKEN, IR_EVENT_WAIT };

/* What became of an instruction that C executes. */
enum ir_executed {
    IR_EXECUTED,
    IR_EXECUTED_PART, /* of a repeated one: state.pc is still there */
    IR_RAISED,        /* its exception has been delivered */
    IR_WANTS_ALONE,   /* nobody else may store meanwhile: nothing was done */
    IR_BROUGHT,       /* C does not execute it, but has brought its operand */
};

/* A slow access: what an instruction, whose operand C brings, does to memory. */
struct ir_operand {
    uint64_t linear;
    uint16_t size; /* bytes, up to IR_BOUNCE_BYTES */
    bool read, write;
    bool doubtful; /* whether it is written bounced() finds out */
    bool alone;    /* given: nobody else stores meanwhile */
    bool extends;  /* what is read is sign-extended */
    uint8_t kind;  /* enum ir_jump_kind of the instruction */
};

struct ir_system {
    /* Connects the record to its bus and to the TLB, and resets it. */
    void (*connect)(const void *config, void *state, const void *bus, const struct ir_tlb *tlb,
                    unsigned number);
    void (*context)(const void *state, struct ir_context *context);
    /* How its code is read by people: enum disas_mode. */
    int (*disas)(const struct ir_context *context);
    /* Fills in what the guest knows of the block: sizes, segments, whether accesses are for C. */
    void (*soft)(const void *state, const struct ir_context *context, struct ir_block *block);
    /* False: there is never anything at the linear address, and what an access raises depends on
     * the instruction (x86: not canonical). */
    bool (*possible)(uint64_t linear);
    /* Walks for an access (enum ir_right, one). False: it raises an exception, which for code has
     * been delivered; for data execute() finds it, or another that comes first. */
    bool (*walk)(void *state, uint64_t linear, enum ir_right access, struct ir_page *page);
    /* The same without an effect. */
    bool (*look)(void *state, uint64_t linear, struct ir_page *page);
    /* The linear address of code at state.pc; false: it is outside the segment, and the exception
     * has been delivered. `room`: bytes of the segment from there on, at most 16. */
    bool (*code)(void *state, uint64_t *linear, unsigned *room);
    /* Whether code can be at state.pc. */
    bool (*inside)(const void *state);
    /* It cannot, and the instruction at `pc` led there. If that is a branch, it is the branch that
     * raises an exception, which is delivered: what it did is taken back. False: it is not. */
    bool (*refuse_branch)(const void *config, void *state, const uint8_t *bytes, size_t size,
                          uint64_t pc);
    /* The linear address of an offset in the code segment. */
    uint64_t (*linear)(const void *state, uint64_t pc);
    /* Executes the instruction at state.pc in C, or delivers its exception. BROUGHT: its operand is
     * in state.bounce, from byte (linear & 63) on, and temp[1] says where that is; it can be
     * written too: translated code with soft.bounced goes on. WANTS_ALONE: it is locked, and the
     * CPU not `alone`: nothing was done yet. */
    enum ir_executed (*execute)(const void *config, void *state, const uint8_t *bytes, size_t size,
                                struct ir_operand *operand);
    /* An instruction with its operand in state.bounce has been executed: whether it has stored. */
    bool (*bounced)(void *state, const struct ir_operand *operand);
    /* Puts the operand from state.bounce where it belongs. */
    void (*take_away)(void *state, const struct ir_operand *operand);
    /* The single instruction of a block has been executed. */
    void (*stepped)(void *state);
    /* An exception that the host raised in translated code: state.pc is the instruction. */
    void (*raise)(void *state, unsigned vector, uint32_t error);
    /* Something is to be done by take_event(). Asked whenever translated code was left. */
    bool (*pending)(void *state);
    enum ir_event (*take_event)(void *state);
    /* The fetch of the instruction at state.pc has not enough bytes: delivers what that raises. */
    void (*fetch_fault)(void *state);
};

struct ir_guest {
    const char *name;
    size_t state_size;

    /* Puts a record into the state after power-up (user mode: what a new program finds). */
    void (*reset)(const void *config, void *state);

    /* Appends the instructions at `pc` to an empty block, up to a control transfer or `limit`
     * instructions. `bytes` are the guest's, of which `size` (at least 1) may be read. */
    enum ir_translated (*translate)(const void *config, struct ir_block *block,
                                    const uint8_t *bytes, size_t size, unsigned limit);

    /* Executes the instruction at state.pc in C, for those that IR_EXIT_HELPER leaves for. `bytes`
     * as above. True: done, state.pc is the next. False: `fault`; nothing has changed. */
    bool (*help)(const void *config, void *state, const uint8_t *bytes, size_t size,
                 struct ir_fault *fault);

    /* What the instruction at state.pc is going to do to memory, in its order: for those that leave
     * with IR_EXIT_HELPER or IR_EXIT_ACCESS. `bytes` as above. Returns how many. */
    unsigned (*accesses)(const void *config, void *state, const uint8_t *bytes, size_t size,
                         struct ir_access_at access[IR_ACCESSES_MAX]);

    /* True where no instruction can lie, so that a branch faults itself instead of leading there.
     * NULL: there is no such place. */
    bool (*impossible_pc)(uint64_t pc);

    /* state.pc is such a place: whether the branch at `pc` can have led there. If `undo`, takes
     * back what it did: state.pc is `pc` then, and `fault` what it raised. NULL if impossible_pc
     * is. */
    enum ir_led (*led_there)(const void *config, void *state, const uint8_t *bytes, size_t size,
                             uint64_t pc, bool undo, struct ir_fault *fault);

    /* A system call instruction has been executed: its effects on registers (x86: RCX, R11). */
    void (*syscall)(void *state);

    /* True while the guest wants a debug trap behind every instruction (x86: TF). */
    bool (*single_step)(const void *state);

    /* System mode; NULL in user mode. */
    const struct ir_system *system;

    /* Adds the register dump of -d cpu; with `fpu` that of -d fpu too. */
    void (*print_state)(const void *state, bool fpu, struct strbuf *text);
};

#endif
