/* SPDX-License-Identifier: MIT
 *
 * Runs: a block whose records all come one after the other, whichever way it is left early. One
 * header word says which sites they are (the first, and how many), and is written when the block is
 * left; so a record is only its own words, and state.stream is stored once a block.
 *
 *     mov S, gs:[stream] ; mov [S+8*most], S     is there room?
 *     lea T, [address] ; mov [S+8], T            a record of one word
 *     ...
 *     mov qword [S], header ; lea T, [S+8*words] ; mov gs:[stream], T     at each way out
 *
 * S and T are registers that nothing in the block uses; they are borrowed for all of it. Where
 * there are none, two are borrowed for each record.
 *
 * At a fault, or a boundary in the middle, state.stream is still where the run began, and the side
 * table has the records and words so far: the engine writes the header then.
 */
#include "host/x64/internal.h"

static unsigned used_registers(const struct ir_block *block)
{
    unsigned used = 1u << X64_RSP | 1u << X64_RAX | 1u << X64_RCX;

    for (unsigned i = 0; i < block->native_count; i++)
        used |= block->native[i].gpr_read | block->native[i].gpr_written;
    return used;
}

bool x64_is_stream(enum ir_opcode op)
{
    return op >= IR_STREAM_OPEN && op <= IR_STREAM_CLOSE;
}

/* S and T for one use; they are free already if the block keeps them. `avoid`: what is read. */
static void take(struct x64_emit *e, unsigned avoid)
{
    struct x64_run *run = &e->run;

    if (run->kept)
        return;
    avoid |= e->saved | 1u << X64_RSP;
    run->pointer = x64_pick(&avoid, 0);
    run->value = x64_pick(&avoid, 0);
    x64_borrow(e, run->pointer);
    x64_borrow(e, run->value);
    x64_point(e, 0);
    x64_load_state(e->code, run->pointer, X64_STATE(stream));
}

static void let_go(struct x64_emit *e)
{
    struct x64_run *run = &e->run;

    x64_give_back(e, run->pointer);
    x64_give_back(e, run->value);
}

static void give(struct x64_emit *e)
{
    if (e->run.kept)
        return;
    let_go(e);
    e->saved &= (uint16_t) ~(1u << e->run.pointer | 1u << e->run.value);
}

static void open_run(struct x64_emit *e, const struct ir_op *op)
{
    struct x64_run *run = &e->run;
    unsigned used = used_registers(e->block);

    *run = (struct x64_run){.on = true, .first = op->reg, .words = 1};
    for (unsigned i = 0; i < e->block->op_count; i++)
        run->total += e->block->op[i].op == IR_STREAM_RECORD;
    if (__builtin_popcount(used & 0xffff) <= 14) {
        run->pointer = x64_pick(&used, 0);
        run->value = x64_pick(&used, 0);
        x64_borrow(e, run->pointer);
        x64_borrow(e, run->value);
        run->kept = true;
    } else {
        unsigned avoid = e->saved | 1u << X64_RSP;

        run->pointer = x64_pick(&avoid, op->gpr_free);
        x64_borrow(e, run->pointer);
    }
    x64_point(e, IR_POINT_STREAM);
    x64_load_state(e->code, run->pointer, X64_STATE(stream));
    x64_store(e->code, run->pointer, (int32_t)(8 * op->imm), run->pointer);
    if (!run->kept) {
        x64_give_back(e, run->pointer);
        e->saved &= (uint16_t) ~(1u << run->pointer);
    }
}

static void word(struct x64_emit *e, unsigned reg)
{
    x64_store(e->code, e->run.pointer, (int32_t)(8 * e->run.words), reg);
    e->run.words++;
}

void x64_run_op(struct x64_emit *e, const struct ir_op *op)
{
    const struct native_insn *native = &e->block->native[op->native];

    switch (op->op) {
    case IR_STREAM_OPEN: open_run(e, op); break;
    case IR_STREAM_RECORD: e->run.records++; break;
    case IR_STREAM_ADDRESS:
        take(e, native->gpr_read);
        x64_linear_address(e, native, op->reg, e->run.value);
        if (op->imm != 0)
            x64_lea(e->code, e->run.value, e->run.value, (int32_t)op->imm);
        word(e, e->run.value);
        give(e);
        break;
    case IR_STREAM_TARGET:
        take(e, 1u << X64_RCX);
        word(e, X64_RCX);
        give(e);
        break;
    default: break;
    }
}

/* The header of what was recorded up to here. */
static void header(struct x64_emit *e)
{
    struct x64_run *run = &e->run;
    unsigned words = run->words - 1u;
    struct native_insn store = {.opcode = 0xc7,
                                .modrm = NATIVE_MODRM_MEM,
                                .w = true,
                                .segment = NATIVE_DS,
                                .base = run->pointer,
                                .index = NATIVE_NONE,
                                .scale = 1,
                                .imm = IR_STREAM_HEADER(run->first, words),
                                .imm_size = 4};

    if (run->records == run->total) {
        x64_encode(e->code, &store);
        return;
    }
    x64_move_imm(e->code, run->value, IR_STREAM_CUT(run->first, words, run->records));
    x64_store(e->code, run->pointer, 0, run->value);
}

void x64_run_leave(struct x64_emit *e)
{
    struct x64_run *run = &e->run;
    uint16_t saved = e->saved;

    if (!run->on)
        return;
    if (run->records > 0) {
        take(e, e->saved & ~(run->kept ? 1u << run->pointer | 1u << run->value : 0));
        header(e);
        x64_lea(e->code, run->value, run->pointer, (int32_t)(8 * run->words));
        x64_store_state(e->code, X64_STATE(stream), run->value);
        give(e);
    }
    if (run->kept)
        let_go(e);
    e->saved = saved;
}

uint16_t x64_run_saved(const struct x64_emit *e)
{
    return e->run.kept ? (uint16_t)(1u << e->run.pointer | 1u << e->run.value) : 0;
}
