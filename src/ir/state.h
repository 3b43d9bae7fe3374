/* SPDX-License-Identifier: MIT
 *
 * The state block: what translated code reaches without a register. It is the front of the guest's
 * canonical CPU record (struct x86_cpu begins with one), so that a guest register has one place in
 * memory, whoever asks for it. Emitted code uses the offsets, so this is the one header that guest,
 * host and engine agree on; `host` knows nothing else of a vCPU.
 *
 * While translated code runs, the registers with a home in a host register are there, and their
 * fields here are stale, except where the side table of the block says `saved` (a scratch use of
 * the home). Outside translated code everything is here.
 *
 * One-to-one mode on x86-64 (vitrine-user): every general register of the guest, RSP too, is in the
 * host register of its own name, the guest's FS base in the host's, and this block at the host's GS
 * base. Each vCPU's block is followed by its jump table, at a constant distance.
 */
#ifndef IR_STATE_H
#define IR_STATE_H

#include <stddef.h>
#include <stdint.h>

enum {
    IR_STATE_REGISTERS = 32,
    IR_STATE_HOST_WORDS = 32,
    IR_STATE_VECTOR_BYTES = 2752, /* an XSAVE image in standard form with x87, SSE, AVX (832), room
                                     for what later guests need */
    IR_STATE_SIZE = 16384, /* bytes that a CPU record may take: the jump table is behind it */
    IR_JUMP_BITS = 16,     /* the jump table: 2^16 code addresses, index = low bits of pc */
    /* The second table, for what shares a place in the first: struct ir_second by a hash of pc. */
    IR_SECOND_AT = IR_STATE_SIZE + (8 << IR_JUMP_BITS),
    IR_SECOND_BITS = 16,
    IR_SECOND_END = IR_SECOND_AT + (16 << IR_SECOND_BITS),
};

/* A place of the second table. Empty places are 0. */
struct ir_second {
    uint64_t tag;  /* -pc - 1 */
    uint64_t exec; /* direct entry */
};

/* Why translated code was left; `exit_arg` beside it. */
enum ir_exit {
    IR_EXIT_NONE,
    IR_EXIT_LINK,      /* a direct jump without a link; arg: number of the link */
    IR_EXIT_LOOKUP,    /* an indirect jump that the jump table did not know; target in `pc`; system
                          mode: arg: number of the site */
    IR_EXIT_HELPER,    /* the guest's help() executes the instruction; arg: enum ir_jump_kind */
    IR_EXIT_TRAP,      /* arg: enum ir_trap; pc is the instruction */
    IR_EXIT_SYSCALL,   /* pc is behind the instruction */
    IR_EXIT_FAULT,     /* a host signal was turned into a guest fault; the engine knows which */
    IR_EXIT_INTERRUPT, /* somebody asked this vCPU to stop, at an instruction boundary */
    IR_EXIT_ACCESS,    /* the guest's accesses() tells what the instruction will do to memory */
    IR_EXIT_ACCESSED,  /* it has been executed */
    IR_EXIT_MISS, /* the soft TLB does not know an address (state.miss) of the instruction; arg: its
                     size in bytes, twice, and 1 for a write */
    IR_EXIT_EVENT,   /* the instruction has been executed, and something may be pending */
    IR_EXIT_BUDGET,  /* fewer instructions are left than the block has, which has not begun */
    IR_EXIT_STEPPED, /* system mode: the block's one instruction has been executed, and C wants to
                        look */
    IR_EXIT_STALE,   /* the source bytes of a self-checking block have changed; pc is its start */
    IR_EXIT_COUNT,
};

/* A segment as translated code uses it in system mode, where it is not flat. An access of `size`
 * bytes passes if offset + size - 1 is not above the limit of its kind; limits that are negative
 * let nothing pass, and C finds out why. */
struct ir_segment {
    uint64_t base;
    int64_t read_limit, write_limit;
};

enum { IR_STATE_SEGMENTS = 6, IR_BOUNCE_BYTES = 512 };

struct ir_state {
    uint64_t reg[IR_STATE_REGISTERS]; /* the guest's general registers, in its own numbering */
    uint64_t pc;
    uint64_t
        flags; /* RFLAGS for x86: arithmetic flags and DF; system flags are the guest's affair */
    uint64_t
        thread_base; /* the segment base or thread pointer that the host keeps in hardware: FS */
    uint64_t other_base; /* the guest's GS base in one-to-one mode: added by emitted code */

    void *owner;       /* the engine's vCPU */
    uint32_t exit;     /* enum ir_exit */
    uint32_t exit_arg; /* written by the exit stub */
    uint32_t begun;    /* 1: the instruction at pc was interrupted in the middle, and what is told
                          before it has been told (x86: RF of a signal frame) */

    uint32_t environment[7]; /* of x87, where KEEP_X87 has stored it: addresses are the host's, of
                                32 bits */
    uint64_t environment_at; /* where that code is; 0: nothing is kept */

    uint64_t temp[48]; /* of emitted code: values of generic operations */

    uint64_t *stream; /* next word of the stream buffer (engine/stream.c) */

    struct ir_segment segment[IR_STATE_SEGMENTS]; /* of system mode */
    int64_t budget;  /* instructions that may still be executed, if the engine counts them so */
    uint64_t second; /* address of the context's second jump table */
    uint64_t miss;   /* linear address of an IR_EXIT_MISS */

    uint64_t host[IR_STATE_HOST_WORDS]; /* the host's own: stack pointer, bases, control words */

    _Alignas(64) uint8_t bounce[IR_BOUNCE_BYTES + 64]; /* the memory operand, while C brings it and
                                                     takes it away */
    _Alignas(64) uint8_t vector[IR_STATE_VECTOR_BYTES];
};

_Static_assert(offsetof(struct ir_state, vector) % 64 == 0, "XSAVE wants 64 bytes");
_Static_assert(offsetof(struct ir_state, reg) == 0, "short displacements");

#endif
