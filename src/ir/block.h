/* SPDX-License-Identifier: MIT
 *
 * A block on its way from guest to host: operations in order, the decoded instructions they carry,
 * and the guest instructions they came from.
 *
 * The room ir is what guests and hosts meet in. Read in this order: ops.h (the operations),
 * native.h (a decoded instruction), this header, state.h (the state block), guest.h and host.h
 * (what a guest and a host offer), block.c, liveness.c, print.c.
 *
 * A block is built by one thread and reused; nothing in it is allocated apart.
 */
#ifndef IR_BLOCK_H
#define IR_BLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "ir/native.h"
#include "ir/ops.h"
#include "ir/state.h"

enum {
    IR_BLOCK_INSNS = 128,  /* guest instructions in a block */
    IR_BLOCK_OPS = 4096,   /* operations */
    IR_BLOCK_TEMPS = 48,   /* values of one guest instruction */
    IR_BLOCK_LABELS = 64,  /* labels of one guest instruction */
    IR_OPS_AN_INSN = 24,   /* what a guest may append for one instruction */
    IR_BLOCK_BYTES = 2048, /* guest bytes */
    IR_BLOCK_ANCHORS = 16, /* anchors of a block */
};

struct ir_op {
    uint8_t op;   /* enum ir_opcode */
    uint8_t size; /* of the value: 1, 2, 4, 8 bytes */
    uint8_t cond; /* enum ir_cond; of JUMP_IF the condition code of the guest */
    uint8_t out;  /* temporary */
    uint8_t in[2];
    uint8_t insn;      /* guest instruction: index into insn[] */
    bool flags_live;   /* liveness.c: the flags' value before this operation is wanted later */
    uint16_t gpr_free; /* liveness.c: registers whose value before it is not */
    uint16_t native;   /* index into native[] */
    uint32_t reg;      /* see ops.h */
    uint64_t imm;
};

/* System mode: how translated code reaches memory. Offsets are from the state block.
 *
 * The soft TLB is three arrays of 2^16 words, indexed by the low bits of the page number of a
 * linear address: -(page number) - 1 for pages that may be read and for those that may be written,
 * else 0; and what is added to a linear address to make the host's. */
struct ir_soft {
    uint32_t read, write, addend;
    uint32_t jump_table; /* of the context: 2^IR_JUMP_BITS code addresses */
    uint64_t base; /* linear address of code: pc plus this, in as many bits as addresses have */
    uint8_t code;  /* bytes of an address, by default: 2, 4, 8 */
    uint8_t stack; /* bytes of the stack pointer */
    uint8_t based; /* segments with a base, or limits to be asked: a set of 1 << number */
    bool no_tlb;   /* every access is for C */
    bool bounced;  /* the one instruction's memory operand is state.bounce */
    bool stepped;  /* end with IR_EXIT_STEPPED behind the one instruction */
};
enum { IR_TLB_BITS = 16 };

struct ir_insn {
    uint16_t offset; /* from the block's pc */
    uint8_t length;
};

struct ir_block {
    uint64_t pc;
    unsigned bytes; /* guest bytes */
    unsigned insn_count;
    unsigned op_count;
    unsigned native_count;
    unsigned temp_count;  /* of the current instruction */
    unsigned label_count; /* of the current instruction */
    bool ended;           /* an operation that ends the block is there */
    bool generic;         /* one is there whose code needs registers or flags: liveness is wanted */
    bool each_access;     /* wanted: every access to memory as an instruction of its own, so no
                             instruction that repeats */
    bool begun;           /* wanted: the first instruction goes on where it was interrupted */
    bool goes_on;         /* with `begun`: it is one that can, and the only one of the block */
    bool told;            /* what the block does to memory is told by the guest's accesses() */
    bool ends_at_stores;  /* wanted: the block ends behind an instruction that stores, which may
                             have changed the next */
    unsigned anchor_count;
    bool indirect_entry;   /* wanted: an entry for indirect jumps, in front */
    bool falls_through;    /* the last JUMP goes to the block that is emitted next */
    const uint8_t *source; /* the guest bytes, for CHECK_CODE */
    struct ir_soft soft;   /* system mode */
    unsigned page_room;    /* system mode: bytes from pc to the end of its page */
    uint32_t mode;         /* system mode: the guest's own word of what its code depends on */
    struct ir_insn insn[IR_BLOCK_INSNS];
    struct ir_op op[IR_BLOCK_OPS];
    struct native_insn native[IR_BLOCK_INSNS * 4];
};

void ir_block_begin(struct ir_block *block, uint64_t pc);

/* A guest instruction begins: appends its mark. False when the block is full (end it then). */
bool ir_block_insn(struct ir_block *block, unsigned length);

/* Appends an operation; the caller fills in the rest. Never NULL: the room for what a guest appends
 * to one instruction (IR_OPS_AN_INSN) is kept free. */
struct ir_op *ir_append(struct ir_block *block, enum ir_opcode op);

/* A copy of a decoded instruction; returns its index. */
unsigned ir_native_add(struct ir_block *block, const struct native_insn *native);

/* Shorthands. */
struct ir_op *ir_append_native(struct ir_block *block, enum ir_opcode op,
                               const struct native_insn *native);
struct ir_op *ir_append_jump(struct ir_block *block, uint64_t target);
struct ir_op *ir_append_exit(struct ir_block *block, unsigned cause, uint64_t argument);
/* A new value; appends an operation that makes it. */
unsigned ir_value(struct ir_block *block, enum ir_opcode op, unsigned size, unsigned in0,
                  unsigned in1, uint64_t imm);

/* Fills in flags_live and gpr_free of every operation. With `keep` flags always count as live. What
 * may fault counts as a reader of everything: a fault shows the guest exact registers. */
void ir_liveness(struct ir_block *block, bool keep);

/* Compares every operation with its row; the sentence says which is wrong. */
struct error;
bool ir_verify(const struct ir_block *block, struct error *err);

/* One line an operation, as -d op shows it, into `text` (a strbuf). */
struct strbuf;
void ir_print(const struct ir_block *block, struct strbuf *text);

const char *ir_op_name(enum ir_opcode op);
unsigned ir_op_flags(enum ir_opcode op);
unsigned ir_op_outputs(enum ir_opcode op);
unsigned ir_op_inputs(enum ir_opcode op);

#endif
