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

    /* Adds the register dump of -d cpu; with `fpu` that of -d fpu too. */
    void (*print_state)(const void *state, bool fpu, struct strbuf *text);
};

#endif
