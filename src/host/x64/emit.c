/* SPDX-License-Identifier: MIT
 *
 * A block of IR to code. One pass, in order; stubs and constants go behind the last block of the
 * group, out of the way of what runs.
 *
 *     [indirect entry]  entry: body ... jumps | entry: body ...   | stubs | constants
 *
 * Indirect jumps. TARGET loads the guest's target into RCX (the guest's RCX is stored before), and
 * JUMP_TARGET jumps through the vCPU's jump table with its low bits, RAX stored too. What is found
 * there is the indirect entry of some block, which knows its own pc and compares:
 *
 *     mov rax, -pc ; lea rcx, [rcx+rax] ; jrcxz +5 ; jmp glue.lookup
 *     mov rax, gs:[reg.rax] ; mov rcx, gs:[reg.rcx]
 *
 * No flag is touched on the way, so returns and indirect calls need no saving of flags. Empty
 * places of the table lead to the same glue.
 *
 * Direct jumps end in a displacement of 4 bytes that lies within one aligned word of 8, so that it
 * can be changed by one store while others run it.
 */
#include <string.h>

#include "base/error.h"
#include "host/x64/internal.h"

void x64_point(struct x64_emit *e, unsigned flags)
{
    struct ir_code *code = e->code;
    uint16_t begun = e->run.records;
    struct ir_point *point;

    if (code->point_count == IR_GROUP_POINTS) {
        code->full = true;
        return;
    }
    point = &code->point[code->point_count];
    if (code->point_count > code->block[code->block_count].point && point[-1].host == code->size &&
        point[-1].insn == e->insn) {
        /* Nothing has been emitted since: what was said of this place still holds. */
        flags |= point[-1].flags & (IR_POINT_BOUNDARY | IR_POINT_AGAIN);
        begun = point[-1].begun;
        code->point_count--;
        point--;
    }
    point->host = (uint32_t)code->size;
    point->saved = e->saved;
    point->insn = (uint8_t)e->insn;
    point->flags = (uint8_t)(e->flags | flags);
    point->records = e->run.records;
    point->begun = begun;
    point->words = e->run.records ? e->run.words : 0;
    code->point_count++;
}

unsigned x64_site(struct x64_emit *e, unsigned cause, uint64_t target)
{
    struct ir_code *code = e->code;

    if (code->site_count == IR_GROUP_SITES) {
        code->full = true;
        return 0;
    }
    code->site[code->site_count] = (struct ir_site){
        .cause = (uint8_t)cause,
        .insn = (uint8_t)e->insn,
        .block = (uint16_t)code->block_count,
        .target = target,
    };
    return code->site_count++;
}

void x64_leave(struct x64_emit *e, unsigned site)
{
    x64_store_state32(e->code, X64_STATE(exit_arg), e->code->first_site + site);
    x64_jump(e->code, e->glue->leave);
}

/* Makes room so that 4 bytes at `ahead` from here do not cross an aligned word of 8. */
void x64_align_patch(struct ir_code *code, unsigned ahead)
{
    unsigned place = (unsigned)(x64_here(code) + ahead) & 7;

    if (place > 4)
        x64_nops(code, 8 - place);
}

/* The displacement of a jump to a site: filled in with its stub later. */
static void link_here(struct x64_emit *e, uint64_t target)
{
    unsigned site = x64_site(e, IR_EXIT_LINK, target);

    e->code->site[site].patch = (uint32_t)e->code->size;
    x64_u32(e->code, 0);
}

static void emit_jump(struct x64_emit *e, const struct ir_op *op, bool falls_through)
{
    x64_run_leave(e);
    if (falls_through)
        return;
    x64_align_patch(e->code, 1);
    x64_byte(e->code, 0xe9);
    link_here(e, op->imm);
}

static void emit_jump_if(struct x64_emit *e, const struct ir_op *op)
{
    x64_align_patch(e->code, 2);
    x64_byte(e->code, 0x0f);
    x64_byte(e->code, 0x80 | op->cond);
    link_here(e, op->imm);
}

/* Something is done on the taken way first: over it if it is not taken. */
static void emit_long_jump_if(struct x64_emit *e, const struct ir_op *op, unsigned first)
{
    uint32_t over, disp;

    x64_byte(e->code, 0x0f);
    x64_byte(e->code, 0x80 | (op->cond ^ 1));
    over = (uint32_t)e->code->size;
    x64_u32(e->code, 0);
    x64_point(e, 0);
    if (op->reg > 0) {
        x64_region(e, first, first + op->reg);
        x64_point(e, 0);
    }
    emit_jump(e, op, false);
    disp = (uint32_t)e->code->size - (over + 4);
    if (!e->code->full)
        memcpy(e->code->write + over, &disp, sizeof(disp));
}

/* LOOP and JRCXZ have only short forms: over a jump to what follows. */
static void emit_jump_loop(struct x64_emit *e, const struct ir_op *op, unsigned first)
{
    struct native_insn native = e->block->native[op->native];
    uint32_t over, disp;

    native.imm_size = 1;
    native.imm = 5;
    x64_encode(e->code, &native); /* taken: over the next */
    x64_point(e, 0);
    x64_byte(e->code, 0xe9);
    over = (uint32_t)e->code->size;
    x64_u32(e->code, 0);
    if (op->reg > 0) {
        x64_region(e, first, first + op->reg);
        x64_point(e, 0);
    }
    emit_jump(e, op, false);
    disp = (uint32_t)e->code->size - (over + 4);
    if (!e->code->full)
        memcpy(e->code->write + over, &disp, sizeof(disp));
}

static void emit_anchor_jump(struct x64_emit *e, const struct ir_op *op)
{
    struct ir_code *code = e->code;

    if (e->anchor_jumps == sizeof(e->anchor_jump) / sizeof(e->anchor_jump[0]))
        bug("a block has more than %u jumps to anchors", e->anchor_jumps);
    if (op->reg == IR_ANCHOR_NATIVE) {
        struct native_insn native = e->block->native[op->native];

        native.imm_size = 1;
        native.imm = 2;
        x64_encode(code, &native); /* over the jump over the jump */
        x64_byte(code, 0xeb);
        x64_byte(code, 5);
    }
    if (op->reg == IR_ANCHOR_COND) {
        x64_byte(code, 0x0f);
        x64_byte(code, 0x80 | op->cond);
    } else {
        x64_byte(code, 0xe9);
    }
    e->anchor_jump[e->anchor_jumps].patch = (uint32_t)code->size;
    e->anchor_jump[e->anchor_jumps++].anchor = (uint8_t)op->imm;
    x64_u32(code, 0);
}

static void finish_anchors(struct x64_emit *e)
{
    for (unsigned i = 0; i < e->anchor_jumps && !e->code->full; i++) {
        uint32_t patch = e->anchor_jump[i].patch;
        uint32_t disp = e->anchor[e->anchor_jump[i].anchor] - (patch + 4);

        memcpy(e->code->write + patch, &disp, sizeof(disp));
    }
}

static void native_or_far(struct x64_emit *e, const struct native_insn *native)
{
    if (x64_reaches(e->code, native))
        x64_encode(e->code, native);
    else
        x64_native_far(e, native);
}

/* With RCX for NATIVE_TARGET. */
static void emit_target(struct x64_emit *e, const struct ir_op *op)
{
    struct native_insn native = e->block->native[op->native];

    if (native.modrm != NATIVE_MODRM_NONE && native.reg == NATIVE_TARGET)
        native.reg = X64_RCX;
    if (native.rm == NATIVE_TARGET)
        native.rm = X64_RCX;
    x64_store_state(e->code, X64_REG(X64_RCX), X64_RCX);
    e->saved |= 1u << X64_RCX;
    x64_point(e, 0);
    native_or_far(e, &native);
}

static void emit_jump_target(struct x64_emit *e)
{
    static const uint8_t movzx_eax_cx[] = {0x0f, 0xb7, 0xc1};
    static const uint8_t jump_table[] = {0x65, 0xff, 0x24, 0xc5};

    x64_run_leave(e);
    e->saved &= (uint16_t)~x64_run_saved(e);
    x64_store_state(e->code, X64_REG(X64_RAX), X64_RAX);
    e->saved |= 1u << X64_RAX;
    x64_point(e, 0);
    if (e->count) {
        x64_load_state(e->code, X64_RAX, e->count->reg);
        x64_lea(e->code, X64_RAX, X64_RAX, (int32_t)e->count->imm);
        x64_store_state(e->code, e->count->reg, X64_RAX);
    }
    x64_bytes(e->code, movzx_eax_cx, sizeof(movzx_eax_cx));
    x64_bytes(e->code, jump_table, sizeof(jump_table));
    x64_u32(e->code, IR_STATE_SIZE);
    e->saved = 0;
}

static void indirect_prologue(struct ir_code *code, const struct ir_glue *glue, uint64_t pc)
{
    static const uint8_t mov_rax[] = {0x48, 0xb8};
    static const uint8_t compare[] = {0x48, 0x8d, 0x0c, 0x01, 0xe3, 0x05};

    x64_bytes(code, mov_rax, sizeof(mov_rax));
    x64_u64(code, -pc);
    x64_bytes(code, compare, sizeof(compare));
    x64_jump(code, glue->lookup);
    x64_load_state(code, X64_RAX, X64_REG(X64_RAX));
    x64_load_state(code, X64_RCX, X64_REG(X64_RCX));
}

/* FNSTENV GS:[environment]; MOV of both halves of where this is. FNSTENV masks all exceptions; who
 * reads what it stored takes that back. */
static void keep_x87(struct ir_code *code)
{
    static const uint8_t fnstenv[] = {0x65, 0xd9, 0x34, 0x25}, mov[] = {0x65, 0xc7, 0x04, 0x25};
    uint64_t here = x64_here(code);

    x64_bytes(code, fnstenv, sizeof(fnstenv));
    x64_u32(code, X64_STATE(environment));
    for (unsigned half = 0; half < 2; half++) {
        x64_bytes(code, mov, sizeof(mov));
        x64_u32(code, X64_STATE(environment_at) + 4 * half);
        x64_u32(code, (uint32_t)(here >> 32 * half));
    }
}

/* Returns how many operations behind it are done with. */
static unsigned emit_op(struct x64_emit *e, unsigned index)
{
    const struct ir_block *block = e->block;
    const struct ir_op *op = &block->op[index];

    switch (op->op) {
    case IR_NATIVE: native_or_far(e, &block->native[op->native]); break;
    case IR_TARGET: emit_target(e, op); break;
    case IR_JUMP_TARGET: emit_jump_target(e); break;
    case IR_JUMP: emit_jump(e, op, block->falls_through); break;
    case IR_JUMP_IF:
        if (op->reg > 0 || e->run.on)
            emit_long_jump_if(e, op, index + 1);
        else
            emit_jump_if(e, op);
        return op->reg;
    case IR_JUMP_LOOP: emit_jump_loop(e, op, index + 1); return op->reg;
    case IR_ANCHOR: /* an instruction that repeats may be interrupted between two times */
        e->anchor[op->imm] = (uint32_t)e->code->size;
        x64_point(e, op->reg == IR_ANCHOR_AGAIN ? IR_POINT_BOUNDARY | IR_POINT_AGAIN : 0);
        break;
    case IR_ANCHOR_JUMP: emit_anchor_jump(e, op); break;
    case IR_KEEP_X87: keep_x87(e->code); break;
    case IR_EXIT:
        x64_run_leave(e);
        x64_leave(e, x64_site(e, op->reg, op->imm));
        break;
    default: bug("x64: no code for operation %s", ir_op_name(op->op));
    }
    return 0;
}

/* What is counted decides what of the arrays is looked at: they are not cleared. */
static void emit_begin(struct x64_emit *e, struct ir_code *code, const struct ir_glue *glue,
                       const struct ir_block *block)
{
    e->code = code;
    e->glue = glue;
    e->block = block;
    e->insn = 0;
    e->saved = 0;
    e->flags = 0;
    e->run = (struct x64_run){0};
    e->anchor_jumps = 0;
    e->count = NULL;
}

static void begin_block(struct x64_emit *e)
{
    struct ir_code *code = e->code;
    struct ir_entry *entry = &code->block[code->block_count];

    *entry = (struct ir_entry){.start = (uint32_t)code->size, .point = code->point_count};
    if (e->block->indirect_entry) {
        entry->indirect = (uint32_t)code->size;
        e->saved = 1u << X64_RAX | 1u << X64_RCX;
        x64_point(e, 0);
        indirect_prologue(code, e->glue, e->block->pc);
        e->saved = 0;
    }
    entry->entry = (uint32_t)code->size;
}

static bool of_run(const struct x64_emit *e, const struct ir_op *op)
{
    return x64_is_stream(op->op) && (e->run.on || (op->op == IR_STREAM_OPEN && op->cond));
}

static void x64_emit_block(struct ir_code *code, const struct ir_glue *glue,
                           const struct ir_block *block)
{
    struct x64_emit e;
    unsigned i = 0;

    emit_begin(&e, code, glue, block);
    if (code->block_count == IR_GROUP_BLOCKS) {
        code->full = true;
        return;
    }
    begin_block(&e);
    while (i < block->op_count && !code->full) {
        const struct ir_op *op = &block->op[i];

        if (op->op == IR_INSN) {
            e.insn = op->insn;
            e.saved = x64_run_saved(&e);
            e.flags = 0;
            x64_point(&e, IR_POINT_BOUNDARY);
            i++;
            continue;
        }
        if (of_run(&e, op)) {
            x64_run_op(&e, op);
            x64_point(&e, 0);
            i++;
            continue;
        }
        if (op->op == IR_COUNT && block->op[i + 1].op == IR_JUMP_TARGET) {
            e.count = op;
            i++;
            continue;
        }
        if (ir_op_is_generic(op->op)) {
            unsigned last = i;

            while (last < block->op_count && ir_op_is_generic(block->op[last].op) &&
                   !of_run(&e, &block->op[last]))
                last++;
            x64_region(&e, i, last);
            x64_point(&e, 0);
            i = last;
            continue;
        }
        i += 1 + emit_op(&e, i);
        /* Between the operations of one instruction the state is not at a boundary. */
        if (i < block->op_count && block->op[i].op != IR_INSN && op->op != IR_ANCHOR)
            x64_point(&e, 0);
    }
    finish_anchors(&e);
    code->block[code->block_count].end = (uint32_t)code->size;
    code->block[code->block_count].points =
        code->point_count - code->block[code->block_count].point;
    code->block_count++;
}

static void finish_links(struct ir_code *code, const struct ir_glue *glue)
{
    struct x64_emit e;

    emit_begin(&e, code, glue, NULL);
    for (unsigned i = 0; i < code->site_count; i++) {
        struct ir_site *site = &code->site[i];
        uint32_t disp;

        if (site->cause != IR_EXIT_LINK)
            continue;
        site->stub = (uint32_t)code->size;
        x64_leave(&e, i);
        disp = site->stub - (site->patch + 4);
        if (!code->full)
            memcpy(code->write + site->patch, &disp, sizeof(disp));
    }
}

static void finish_pool(struct ir_code *code)
{
    if (code->pool_count > 0)
        x64_nops(code, (unsigned)(-x64_here(code) & 7));
    for (unsigned i = 0; i < code->pool_count && !code->full; i++) {
        uint32_t patch = code->pool[i].patch, disp;
        uint32_t behind; /* what followed the displacement, negative */

        memcpy(&behind, code->write + patch, sizeof(behind));
        disp = (uint32_t)(code->size - (patch + 4)) + behind;
        memcpy(code->write + patch, &disp, sizeof(disp));
        x64_u64(code, code->pool[i].value);
    }
}

static void x64_finish(struct ir_code *code, const struct ir_glue *glue)
{
    finish_links(code, glue);
    finish_pool(code);
    x64_nops(code, (unsigned)(-x64_here(code) & 15));
}

static void x64_indirect_entry(struct ir_code *code, const struct ir_glue *glue, uint64_t pc,
                               uint64_t entry)
{
    indirect_prologue(code, glue, pc);
    x64_jump(code, entry);
    x64_nops(code, (unsigned)(-x64_here(code) & 15));
}

void x64_patch(uint8_t *patch, uint64_t exec, uint64_t target)
{
    uint32_t disp = (uint32_t)(target - (exec + 4));

    __atomic_store_n((uint32_t *)(void *)patch, disp, __ATOMIC_RELEASE);
}

void x64_set_entry(struct ir_state *state, uint64_t entry)
{
    /* Only this thread and its signal handlers read and write it. */
    __atomic_store_n(&state->host[X64_ENTRY], entry, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

void x64_set_handler(struct ir_state *state, ir_handler_fn *handler)
{
    state->host[X64_HANDLER] = (uint64_t)(uintptr_t)handler;
}

const struct ir_host x64_host = {
    .name = "x86-64",
    .usable = x64_usable,
    .glue = x64_glue,
    .emit = x64_emit_block,
    .finish = x64_finish,
    .indirect_entry = x64_indirect_entry,
    .patch = x64_patch,
    .bind = x64_bind,
    .enter = x64_enter,
    .set_entry = x64_set_entry,
    .sigaction = x64_sigaction,
    .set_handler = x64_set_handler,
    .second = x64_second,
    .current = x64_current,
    .context_pc = x64_context_pc,
    .context_recover = x64_context_recover,
    .context_go = x64_context_go,
    .context_step = x64_context_step,
    .context_fault = x64_context_fault,
};
