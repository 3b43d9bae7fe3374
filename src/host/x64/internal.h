/* SPDX-License-Identifier: MIT
 *
 * What the files of host/x64 share.
 */
#ifndef HOST_X64_INTERNAL_H
#define HOST_X64_INTERNAL_H

#include <stddef.h>
#include <string.h>

#include "ir/host.h"

enum {
    X64_RAX,
    X64_RCX,
    X64_RDX,
    X64_RBX,
    X64_RSP,
    X64_RBP,
    X64_RSI,
    X64_RDI,
};

/* Our words in ir_state.host. */
enum x64_word {
    X64_HOST_SP,
    X64_HOST_FS,
    X64_ENTRY,   /* where enter goes */
    X64_MXCSR,   /* of the host's C code */
    X64_FLAGS,   /* the guest's, while a region has them: AH of LAHF, AL of SETO */
    X64_HANDLER, /* function of the signal entry */
    X64_TARGET,  /* where the lookup found the block */
};

#define X64_STATE(field) ((uint32_t)offsetof(struct ir_state, field))
#define X64_REG(n)       ((uint32_t)(offsetof(struct ir_state, reg) + 8 * (n)))
#define X64_WORD(n)      ((uint32_t)(offsetof(struct ir_state, host) + 8 * (n)))

/* --- encode.c: bytes --- */

/* Longest piece that is written without asking, and what is kept free behind. */
enum { X64_MARGIN = 64 };

static inline void x64_bytes(struct ir_code *code, const void *bytes, size_t count)
{
    if (__builtin_expect(code->size + X64_MARGIN > code->room, 0)) {
        code->full = true;
        return;
    }
    memcpy(code->write + code->size, bytes, count);
    code->size += count;
}

static inline void x64_byte(struct ir_code *code, unsigned byte)
{
    uint8_t value = (uint8_t)byte;

    x64_bytes(code, &value, 1);
}

static inline void x64_u32(struct ir_code *code, uint32_t value)
{
    x64_bytes(code, &value, sizeof(value));
}

static inline void x64_u64(struct ir_code *code, uint64_t value)
{
    x64_bytes(code, &value, sizeof(value));
}

static inline uint64_t x64_here(const struct ir_code *code)
{
    return code->exec + code->size;
}

/* One instruction. Its memory operand must be within reach (x64_reaches()). */
void x64_encode(struct ir_code *code, const struct native_insn *native);

/* True if the memory operand can be addressed from here: no GS, and RIP-relative ones not too far.
 */
bool x64_reaches(const struct ir_code *code, const struct native_insn *native);

/* Instructions on 64-bit registers that engine code is made of. None changes flags, except where it
 * says so. `state` is an offset in the state block. */
void x64_store_state(struct ir_code *code, uint32_t state, unsigned reg); /* mov gs:[state], reg */
void x64_load_state(struct ir_code *code, unsigned reg, uint32_t state);
void x64_store_state32(struct ir_code *code, uint32_t state, uint32_t value);
void x64_move(struct ir_code *code, unsigned to, unsigned from);
void x64_move_imm(struct ir_code *code, unsigned to, uint64_t value);
void x64_lea(struct ir_code *code, unsigned to, unsigned base, int32_t disp);
void x64_lea_sum(struct ir_code *code, unsigned to, unsigned base, unsigned index);
void x64_store(struct ir_code *code, unsigned base, int32_t disp, unsigned reg);
void x64_load(struct ir_code *code, unsigned reg, unsigned base, int32_t disp);
/* op r64, r64 with the opcode of the r/m, r form: flags change. */
void x64_alu(struct ir_code *code, unsigned opcode, unsigned to, unsigned from);
/* jmp rel32 to an executed address. */
void x64_jump(struct ir_code *code, uint64_t target);
/* nops, so many bytes. */
void x64_nops(struct ir_code *code, unsigned count);

/* --- emit.c --- */

/* stream_run.c: the run of the block being emitted. */
struct x64_run {
    bool on;
    bool kept; /* pointer and value are borrowed for the whole block */
    uint8_t pointer, value;
    uint32_t first;   /* site */
    uint16_t total;   /* records of the whole run */
    uint16_t records; /* so far */
    uint16_t words;   /* so far, the header too */
};

struct x64_emit {
    struct ir_code *code;
    const struct ir_glue *glue;
    const struct ir_block *block;
    unsigned insn;  /* guest instruction being emitted */
    uint16_t saved; /* registers whose guest value is in the state block now */
    uint8_t flags;  /* IR_POINT_FLAGS: the guest's flags are there */
    bool marked;    /* system mode: state.stream_mark is where the instruction's records begin */
    struct x64_run run;
    const struct ir_op *count;         /* to be done with the indirect jump that follows */
    uint32_t anchor[IR_BLOCK_ANCHORS]; /* where they are */
    struct {
        uint32_t patch;
        uint8_t anchor;
    } anchor_jump[4 * IR_BLOCK_ANCHORS];
    unsigned anchor_jumps;
};

/* A point of the side table, here; `flags` is added to what e has. */
void x64_point(struct x64_emit *e, unsigned flags);

/* A site; returns its index in code->site. */
unsigned x64_site(struct x64_emit *e, unsigned cause, uint64_t target);

/* Makes room so that 4 bytes at `ahead` from here do not cross an aligned word of 8. */
void x64_align_patch(struct ir_code *code, unsigned ahead);

/* Leaves for the engine with this site, and does not come back. */
void x64_leave(struct x64_emit *e, unsigned site);

/* --- scratch.c --- */

/* Emits a native instruction whose memory operand cannot be addressed as it stands. */
void x64_native_far(struct x64_emit *e, const struct native_insn *native);

/* A register that is not in `avoid`, to which it is added; one of `prefer` if there is any. */
unsigned x64_pick(unsigned *avoid, unsigned prefer);
/* Stores the guest's value in the state block, and says so; loads it again. */
void x64_borrow(struct x64_emit *e, unsigned reg);
void x64_give_back(struct x64_emit *e, unsigned reg);

/* The linear address of one of an instruction's accesses into a borrowed register. */
void x64_linear_address(struct x64_emit *e, const struct native_insn *native, enum ir_access access,
                        unsigned to);

/* --- stream_run.c --- */

bool x64_is_stream(enum ir_opcode op);
/* An operation of a run; STREAM_OPEN (with cond 1) begins one. */
void x64_run_op(struct x64_emit *e, const struct ir_op *op);
/* A way out of the block: ends the run there. What is emitted behind is as if it had not been. */
void x64_run_leave(struct x64_emit *e);
/* Registers that the run has borrowed for the whole block. */
uint16_t x64_run_saved(const struct x64_emit *e);

/* --- soft_stream.c: records in system mode --- */

/* Emits the generic operations [first, last) of a block; or as many as there are from `first` on,
 * and returns how many. */
void x64_soft_region(struct x64_emit *e, unsigned first, unsigned last);
unsigned x64_soft_regions(struct x64_emit *e, unsigned first);

/* The arithmetic flags to a word of the state block and back, by way of RAX. scratch.c. */
void x64_flags_out(struct x64_emit *e);
void x64_flags_in(struct x64_emit *e);

/* --- functions of struct ir_host that both memory modes share --- */

void x64_patch(uint8_t *patch, uint64_t exec, uint64_t target);
void x64_set_entry(struct ir_state *state, uint64_t entry);
void x64_set_handler(struct ir_state *state, ir_handler_fn *handler);

/* --- scratch.c again --- */

/* Emits the generic operations [first, last) of a block. */
void x64_region(struct x64_emit *e, unsigned first, unsigned last);

/* --- glue.c, context.c --- */

/* Parts that the glue of both memory modes is made of: an operand GS:[state] for modrm.reg `reg`;
 * vector and x87 state loaded; flags, vector and x87 state stored, and those of C in their place
 * (on the host's stack); back to the caller of x64_enter(). */
void x64_gs_operand(struct ir_code *code, unsigned reg, uint32_t state);
void x64_xrstor(struct ir_code *code);
void x64_store_units(struct ir_code *code);
void x64_return(struct ir_code *code);

void x64_glue(struct ir_code *code, struct ir_glue *glue);
void x64_enter(const struct ir_glue *glue);
void x64_bind(struct ir_state *state, ir_handler_fn *handler);
struct ir_state *x64_current(void);
bool x64_sigaction(int signal);
bool x64_usable(struct error *err);
unsigned x64_second(uint64_t pc);

uint64_t x64_context_pc(const void *ucontext);
void x64_context_recover(void *ucontext, const struct ir_state *state,
                         const struct ir_point *point);
void x64_context_go(void *ucontext, uint64_t pc);
void x64_context_step(void *ucontext, bool on);
void x64_context_fault(const void *ucontext, uint32_t *vector, uint32_t *error);

#endif
