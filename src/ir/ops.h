/* SPDX-License-Identifier: MIT
 *
 * The operations of the intermediate representation: one list. From it come the enum, the names in
 * dumps, the verifier's signatures and what passes ask (flags, not the operation).
 *
 * NATIVE carries one decoded guest instruction that the host executes as it is; all others are
 * generic and belong to every guest. Sizes are an operand (`size`, in bytes), not part of the name.
 * Values are temporaries of one guest instruction: they do not live into the next.
 */
#ifndef IR_OPS_H
#define IR_OPS_H

#include <stdbool.h>

enum ir_op_flag {
    IR_PURE = 1,      /* only makes its output; may be dropped when nobody reads it */
    IR_ENDS = 2,      /* ends the block */
    IR_LEAVES = 4,    /* may leave translated code or the block */
    IR_MEMORY = 8,    /* touches guest memory, may fault */
    IR_CLOBBERS = 16, /* a host may change the arithmetic flags for it */
    IR_MARK = 32,     /* makes no code by itself */
};

/* clang-format off */
#define IR_OPS(_)                                                                                  \
    /* op            name             out in  flags                                             */ \
    _(INSN,          "insn",           0, 0,  IR_MARK)       /* a guest instruction begins: insn */ \
    _(NATIVE,        "native",         0, 0,  IR_MEMORY)     /* native                           */ \
    /* values */                                                                                   \
    _(CONST,         "const",          1, 0,  IR_PURE)       /* imm                              */ \
    _(GET,           "get",            1, 0,  IR_PURE)       /* guest register `reg`             */ \
    _(PUT,           "put",            0, 1,  0)             /* guest register `reg`             */ \
    _(LOAD_STATE,    "load_state",     1, 0,  IR_PURE)       /* state block at imm, zero-extended */ \
    _(STORE_STATE,   "store_state",    0, 1,  0)             /* state block at imm               */ \
    _(ADDRESS,       "address",        1, 0,  IR_PURE)       /* linear address of native's memory */ \
                                                             /* reg, imm as STREAM_ADDRESS       */ \
    _(LOAD,          "load",           1, 1,  IR_MEMORY)     /* zero-extended                    */ \
    _(STORE,         "store",          0, 2,  IR_MEMORY)     /* in[0] address, in[1] value       */ \
    _(MOVE,          "move",           1, 1,  IR_PURE)                                             \
    _(ADD,           "add",            1, 2,  IR_PURE | IR_CLOBBERS)                               \
    _(SUB,           "sub",            1, 2,  IR_PURE | IR_CLOBBERS)                               \
    _(MUL,           "mul",            1, 2,  IR_PURE | IR_CLOBBERS)                               \
    _(AND,           "and",            1, 2,  IR_PURE | IR_CLOBBERS)                               \
    _(OR,            "or",             1, 2,  IR_PURE | IR_CLOBBERS)                               \
    _(XOR,           "xor",            1, 2,  IR_PURE | IR_CLOBBERS)                               \
    _(SHL,           "shl",            1, 2,  IR_PURE | IR_CLOBBERS) /* count: in[1], modulo size */ \
    _(SHR,           "shr",            1, 2,  IR_PURE | IR_CLOBBERS)                               \
    _(SAR,           "sar",            1, 2,  IR_PURE | IR_CLOBBERS)                               \
    _(NOT,           "not",            1, 1,  IR_PURE)                                             \
    _(NEG,           "neg",            1, 1,  IR_PURE | IR_CLOBBERS)                               \
    _(SIGN,          "sign",           1, 1,  IR_PURE)       /* sign-extend `size` to 8 bytes    */ \
    _(ZERO,          "zero",           1, 1,  IR_PURE)       /* zero-extend                      */ \
    _(COMPARE,       "compare",        1, 2,  IR_PURE | IR_CLOBBERS) /* cond: 1 or 0             */ \
    /* within one guest instruction */                                                             \
    _(LABEL,         "label",          0, 0,  IR_MARK)       /* imm: number                      */ \
    _(BRANCH_ZERO,   "branch_zero",    0, 1,  IR_CLOBBERS)   /* to label imm if in[0] is 0       */ \
    _(BRANCH,        "branch",         0, 0,  0)             /* to label imm                     */ \
    /* repetition within one guest instruction; the state is the guest's at each */                \
    _(ANCHOR,        "anchor",         0, 0,  0)             /* imm: number; reg: ir_anchor_kind */ \
    _(ANCHOR_JUMP,   "anchor_jump",    0, 0,  0)             /* to anchor imm: reg, see below    */ \
    /* counting and records of guest probes */                                                     \
    _(COUNT,         "count",          0, 0,  IR_CLOBBERS)   /* state word at `reg` += imm       */ \
    _(STREAM_OPEN,   "stream_open",    0, 0,  0)             /* room for imm words? cond 1: all  */ \
                                                             /* that follows is one run, from    */ \
                                                             /* site reg on                      */ \
    _(STREAM_RECORD, "stream_record",  0, 0,  0)             /* of a run: the next site's        */ \
    _(STREAM_CONST,  "stream_const",   0, 0,  0)             /* imm, the next word               */ \
    _(STREAM_VALUE,  "stream_value",   0, 1,  0)             /* in[0], the next word             */ \
    _(STREAM_ADDRESS,"stream_address", 0, 0,  0)             /* address of native's memory: reg, */ \
                                                             /* imm bytes further               */ \
    _(STREAM_TARGET, "stream_target",  0, 0,  0)             /* what TARGET has loaded           */ \
    _(STREAM_MEMORY, "stream_memory",  0, 0,  IR_MEMORY)     /* imm bytes at the address in the  */ \
                                                             /* word before it, as words; cond 1: */ \
                                                             /* where it can be read             */ \
    _(STREAM_SKIP,   "stream_skip",    0, 0,  0)             /* over imm words                   */ \
    _(STREAM_CLOSE,  "stream_close",   0, 0,  0)             /* what was written is there        */ \
    _(CHECK_CODE,    "check_code",     0, 0,  IR_LEAVES | IR_CLOBBERS) /* source bytes unchanged? */ \
    _(KEEP_X87,      "keep_x87",       0, 0,  0)             /* FNSTENV to state.environment     */ \
    /* system mode: flags and words of the CPU record that the host does not hold */               \
    _(CHANGE_BIT,    "change_bit",     0, 0,  0)             /* bit `reg` of the state word at imm:  */ \
                                                             /* cleared; cond 1: set             */ \
    _(STORE_BYTE,    "store_byte",     0, 0,  0)             /* reg to the state byte at imm     */ \
    _(GET_WORD,      "get_word",       0, 0,  0)             /* register reg from 2 bytes at imm */ \
    _(PUSH_FLAGS,    "push_flags",     0, 0,  IR_MEMORY)     /* with those in the word at imm    */ \
    _(POP_FLAGS,     "pop_flags",      0, 0,  IR_MEMORY)     /* and bits `reg` to the word at imm */ \
    _(BUDGET,        "budget",         0, 0,  IR_LEAVES)     /* imm off state.budget; not so many    */ \
                                                             /* there: leaves with BUDGET        */ \
    _(LEAVE_IF,      "leave_if",       0, 0,  IR_LEAVES)     /* 4 bytes at imm are not 0: EVENT  */ \
    /* control */                                                                                  \
    _(JUMP,          "jump",           0, 0,  IR_ENDS | IR_LEAVES) /* to imm; reg: ir_jump_kind  */ \
                                                             /* cond 1: to what may go away      */ \
    _(JUMP_IF,       "jump_if",        0, 0,  IR_LEAVES)     /* cond on the live flags: to imm;  */ \
                                                             /* the next reg operations are done */ \
                                                             /* only then, before it             */ \
    _(JUMP_LOOP,     "jump_loop",      0, 0,  IR_LEAVES)     /* native LOOP or JRCXZ: likewise   */ \
    _(TARGET,        "target",         0, 0,  IR_MEMORY)     /* native loads NATIVE_TARGET       */ \
    _(JUMP_TARGET,   "jump_target",    0, 0,  IR_ENDS | IR_LEAVES) /* where TARGET said          */ \
    _(EXIT,          "exit",           0, 0,  IR_ENDS | IR_LEAVES) /* cause reg, argument imm    */
/* clang-format on */

enum ir_opcode {
#define IR_OP_ENUM(op, name, out, in, flags) IR_##op,
    IR_OPS(IR_OP_ENUM)
#undef IR_OP_ENUM
        IR_OP_COUNT,
};

/* Values, what repeats aside, and records: code beside the guest's own instructions, which borrows
 * registers and flags. */
static inline bool ir_op_is_generic(unsigned op)
{
    return op >= IR_CONST && op <= IR_CHECK_CODE && op != IR_ANCHOR && op != IR_ANCHOR_JUMP;
}

/* What a JUMP or JUMP_TARGET is to the guest. */
enum ir_jump_kind {
    IR_KIND_NONE, /* no instruction: the block just ends */
    IR_KIND_JUMP,
    IR_KIND_CALL,
    IR_KIND_RET,
    IR_KIND_NOT_TAKEN, /* the other way of a JUMP_IF */
};

/* Which of an instruction's accesses ADDRESS and STREAM_ADDRESS mean. */
enum ir_access {
    IR_ACCESS_OPERAND, /* of the modrm byte, or the address in the instruction */
    IR_ACCESS_PUSH,
    IR_ACCESS_POP,
    IR_ACCESS_SOURCE,      /* of a string instruction */
    IR_ACCESS_DESTINATION, /* of a string instruction, or of a masked store */
    IR_ACCESS_TABLE,       /* XLAT */
    IR_ACCESS_FRAME,       /* LEAVE */
};

/* What an ANCHOR is. */
enum ir_anchor_kind {
    IR_ANCHOR_PLACE, /* only where jumps lead */
    IR_ANCHOR_AGAIN, /* here the state is that of the instruction's beginning, but it has begun: it
                        may be interrupted */
};

/* When an ANCHOR_JUMP jumps. */
enum ir_anchor_jump {
    IR_ANCHOR_ALWAYS,
    IR_ANCHOR_COND,   /* the guest's condition code `cond` holds */
    IR_ANCHOR_NATIVE, /* native, a short jump of the guest, does */
};

/* Conditions of COMPARE. */
enum ir_cond {
    IR_EQ,
    IR_NE,
    IR_LTU,
    IR_GEU,
    IR_LEU,
    IR_GTU,
    IR_LTS,
    IR_GES,
    IR_LES,
    IR_GTS,
};

#endif
