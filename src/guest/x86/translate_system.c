/* SPDX-License-Identifier: MIT
 *
 * Instructions to IR in system mode, for all modes of the CPU. What the host executes as it is, and
 * near branches and the stack, is translated; everything else is left to x86_execute().
 *
 * Whoever asks for a block says in it what the code depends on (ir_block.mode, the mode word), and
 * how many bytes of the page are left (ir_block.page_room): an instruction that goes on in the next
 * page has a block of its own.
 */
#include "guest/x86/cpuid.h"
#include "guest/x86/guest.h"
#include "guest/x86/helpers.h"
#include "guest/x86/rows.h"
#include "guest/x86/system.h"
#include "guest/x86/unit.h"
#include "guest/x86/x86.h"
#include "ir/block.h"

#include <stddef.h>

enum {
    OPCODE_PUSH = 0x50,
    OPCODE_POP = 0x58,
    OPCODE_PUSH_Z = 0x68,
    OPCODE_PUSH_B = 0x6a,
    OPCODE_LEAVE = 0xc9,
    OPCODE_GROUP5 = 0xff,
    GROUP5_PUSH = 6,
};

static unsigned code_mode(const struct ir_block *block)
{
    return block->mode & X86_MODE_CODE;
}

static uint64_t behind(const struct ir_block *block, const struct x86_insn *insn)
{
    uint64_t pc = insn->pc + insn->length;

    return code_mode(block) == X86_MODE_64 ? pc : (uint32_t)pc;
}

/* To C, which executes it. */
static void leave(struct ir_block *block)
{
    ir_append_exit(block, IR_EXIT_HELPER, 0);
}

/* Where a near branch leads, or a return: the instruction pointer as wide as the operand. */
static uint64_t truncated(uint64_t target, unsigned opsize)
{
    return opsize == 2 ? (uint16_t)target : opsize == 4 ? (uint32_t)target : target;
}

static unsigned branch_size(const struct ir_block *block, const struct x86_insn *insn)
{
    return code_mode(block) == X86_MODE_64 ? 8 : insn->native.opsize;
}

static uint64_t target_of(const struct ir_block *block, const struct x86_insn *insn)
{
    return truncated(insn->target, branch_size(block, insn));
}

static void jump(struct ir_block *block, uint64_t target, enum ir_jump_kind kind)
{
    ir_append_jump(block, target)->reg = kind;
}

static void lower_jcc(struct ir_block *block, const struct x86_insn *insn)
{
    struct ir_op *op = ir_append(block, IR_JUMP_IF);

    op->cond = insn->native.opcode & 15;
    op->imm = target_of(block, insn);
    jump(block, behind(block, insn), IR_KIND_NOT_TAKEN);
}

static void lower_loop(struct ir_block *block, const struct x86_insn *insn)
{
    struct ir_op *op = ir_append_native(block, IR_JUMP_LOOP, &insn->native);

    op->imm = target_of(block, insn);
    jump(block, behind(block, insn), IR_KIND_NOT_TAKEN);
}

static void push_return(struct ir_block *block, const struct x86_insn *insn)
{
    unsigned size = branch_size(block, insn);
    struct native_insn push = {
        .opcode = OPCODE_PUSH_Z,
        .segment = NATIVE_SS,
        .base = NATIVE_NONE,
        .index = NATIVE_NONE,
        .imm_size = 8,
        .imm = truncated(behind(block, insn), size),
        .opsize = (uint8_t)size,
        .mem_access = NATIVE_WRITE,
        .mem_size = (uint16_t)size,
        .mem_implicit = NATIVE_PUSH,
        .attributes = NATIVE_MAY_FAULT,
        .gpr_read = 1 << X86_RSP,
        .gpr_written = 1 << X86_RSP,
    };

    ir_append_native(block, IR_NATIVE, &push);
}

static void lower_call(struct ir_block *block, const struct x86_insn *insn)
{
    push_return(block, insn);
    jump(block, target_of(block, insn), IR_KIND_CALL);
}

static void lower_indirect(struct ir_block *block, const struct x86_insn *insn, bool call)
{
    struct native_insn load = insn->native;
    struct ir_op *op;

    load.mem_size = (uint16_t)branch_size(block, insn);
    load.mem_implicit = 0;
    load.mem_access = load.modrm == NATIVE_MODRM_MEM ? NATIVE_READ : 0;
    op = ir_append_native(block, IR_TARGET, &load);
    op->cond = call;
    if (call)
        push_return(block, insn);
    op = ir_append(block, IR_JUMP_TARGET);
    op->reg = call ? IR_KIND_CALL : IR_KIND_JUMP;
    op->cond = call;
}

static void lower_ret(struct ir_block *block, const struct x86_insn *insn)
{
    unsigned size = branch_size(block, insn);
    struct native_insn pop = {
        .opcode = OPCODE_POP,
        .rm = NATIVE_TARGET,
        .segment = NATIVE_SS,
        .base = NATIVE_NONE,
        .index = NATIVE_NONE,
        .imm = insn->native.imm_size ? insn->native.imm & 0xffff : 0,
        .opsize = (uint8_t)size,
        .mem_access = NATIVE_READ,
        .mem_size = (uint16_t)size,
        .mem_implicit = NATIVE_POP,
        .attributes = NATIVE_MAY_FAULT | NATIVE_OPCODE_REG | NATIVE_RM_GPR,
        .gpr_read = 1 << X86_RSP,
        .gpr_written = 1 << X86_RSP,
    };

    ir_append_native(block, IR_TARGET, &pop);
    ir_append(block, IR_JUMP_TARGET)->reg = IR_KIND_RET;
}

/* Stack instructions that translated code does; 86 others that push and pop are for C. */
static bool is_plain_stack(const struct native_insn *n)
{
    if (n->map != NATIVE_MAP_ONE || n->vex)
        return false;
    switch (n->opcode) {
    case OPCODE_PUSH:
    case OPCODE_POP: return n->attributes & NATIVE_OPCODE_REG;
    case OPCODE_PUSH_Z:
    case OPCODE_PUSH_B:
    case OPCODE_LEAVE: return true;
    case OPCODE_GROUP5: return n->modrm == NATIVE_MODRM_REG && (n->reg & 7) == GROUP5_PUSH;
    default: return false;
    }
}

/* BT and its relatives with a bit offset in a register reach beyond their operand. */
static bool is_bit_string(const struct native_insn *n)
{
    return n->map == NATIVE_MAP_0F && !n->vex && n->modrm == NATIVE_MODRM_MEM &&
           (n->opcode == 0xa3 || n->opcode == 0xab || n->opcode == 0xb3 || n->opcode == 0xbb);
}

bool x86_plain_memory(const struct native_insn *n)
{
    const uint16_t strange = NATIVE_STRING_SI | NATIVE_STRING_DI_R | NATIVE_STRING_DI_W |
                             NATIVE_XLAT | NATIVE_MASKMOV | NATIVE_OTHER | NATIVE_PUSH | NATIVE_POP;

    return !(n->mem_implicit & strange) && !(n->attributes & NATIVE_VSIB) && !is_bit_string(n) &&
           n->mem_size <= IR_BOUNCE_BYTES;
}

static bool touches_memory(const struct native_insn *n)
{
    return n->mem_access || n->mem_implicit;
}

enum { STRINGS = NATIVE_STRING_SI | NATIVE_STRING_DI_R | NATIVE_STRING_DI_W };

/* String instructions that the host does: going up, with pointers as wide as the code's and
 * segments without a base; a single step ends behind each turn. */
static bool is_plain_string(const struct ir_block *block, const struct native_insn *n)
{
    unsigned used = 1u << NATIVE_ES | 1u << n->segment;

    return (n->opcode & 0xfc) != 0x6c &&
           !(block->soft.stepped && n->attributes & NATIVE_REP) && code_mode(block) != X86_MODE_16 &&
           !(block->mode & X86_CODE_DOWN) && !(n->prefix & NATIVE_67) &&
           !(block->soft.based & used) && !block->soft.bounced;
}

/* Protected mode never allows stores through CS, also where it is flat for loads. */
static bool stores_to_code(const struct ir_block *block, const struct native_insn *n)
{
    return code_mode(block) != X86_MODE_64 && block->mode & X86_MODE_PROTECTED &&
           !(block->mode & X86_MODE_V86) && n->segment == NATIVE_CS &&
           n->mem_access & NATIVE_WRITE && !block->soft.bounced;
}

/* Whether translated code does it. */
static bool is_native(const struct ir_block *block, const struct x86_insn *insn)
{
    const struct native_insn *n = &insn->native;

    if (block->soft.no_tlb && touches_memory(n) && !block->soft.bounced)
        return false;
    if (stores_to_code(block, n))
        return false;
    if (is_plain_stack(n))
        return true;
    if (n->mem_implicit & STRINGS)
        return is_plain_string(block, n);
    if (is_bit_string(n))
        return true;
    return x86_plain_memory(n) && !x86_executes(insn);
}

/* The instruction as 64-bit code has it: prefixes, and INC and DEC of one byte. */
static void as_long(const struct ir_block *block, struct x86_insn *insn)
{
    struct native_insn *n = &insn->native;
    bool sized = insn->row->traits & X86_TRAIT_OPSIZE && !(insn->row->mask & X86_SELECT_66);

    if (code_mode(block) == X86_MODE_64)
        return;
    if (code_mode(block) == X86_MODE_16 && sized)
        n->prefix = (uint8_t)((n->prefix & ~NATIVE_66) | (n->opsize == 2 ? NATIVE_66 : 0));
    if (n->map == NATIVE_MAP_ONE && !n->vex && (n->opcode & 0xf0) == 0x40) {
        n->reg = n->opcode >> 3 & 1;
        n->opcode = OPCODE_GROUP5;
        n->modrm = NATIVE_MODRM_REG;
        n->attributes = (uint16_t)((n->attributes & ~NATIVE_OPCODE_REG) | NATIVE_RM_GPR);
    }
    if (n->map == NATIVE_MAP_ONE && !n->vex && n->opcode == 0x82) /* an alias of 80 */
        n->opcode = 0x80;
}

/* --- flags that the host does not hold */

static const uint64_t system_flags_at = offsetof(struct x86_cpu, system_flags);

static void append(struct ir_block *block, enum ir_opcode what, uint64_t at, unsigned reg,
                   bool cond, unsigned size)
{
    struct ir_op *op = ir_append(block, what);

    op->imm = at;
    op->reg = reg;
    op->cond = cond;
    op->size = (uint8_t)size;
}

/* Without checks: IOPL does not matter, virtual-8086 mode does not either. */
static bool flags_are_free(const struct ir_block *block)
{
    return !(block->mode & (X86_MODE_CPL | X86_MODE_V86 | X86_CODE_DOWN)) && !block->soft.stepped &&
           !block->soft.no_tlb;
}

static void lower_pushf(struct ir_block *block, const struct x86_insn *insn)
{
    if (block->mode & X86_MODE_V86 || block->soft.stepped || block->soft.no_tlb ||
        insn->native.opsize == 2)
        leave(block);
    else
        append(block, IR_PUSH_FLAGS, system_flags_at, 0, false, insn->native.opsize);
}

static void look_for_events(struct ir_block *block)
{
    append(block, IR_LEAVE_IF, offsetof(struct x86_cpu, system.requests), 0, false, 4);
}

static void lower_popf(struct ir_block *block, const struct x86_insn *insn)
{
    if (!flags_are_free(block) || insn->native.opsize == 2) {
        leave(block);
        return;
    }
    append(block, IR_POP_FLAGS, system_flags_at, X86_FLAG_IF, false, insn->native.opsize);
    look_for_events(block);
}

/* STI: what follows is executed before an interrupt is taken. */
static void begin_shadow(struct ir_block *block)
{
    append(block, IR_CHANGE_BIT, system_flags_at, X86_FLAG_IF, true, 8);
    append(block, IR_STORE_BYTE, offsetof(struct x86_cpu, system.shadow), X86_SHADOW_STI, false, 1);
}

static void end_shadow(struct ir_block *block)
{
    append(block, IR_STORE_BYTE, offsetof(struct x86_cpu, system.shadow), 0, false, 1);
    look_for_events(block);
}

enum { OPCODE_CLI = 0xfa, OPCODE_STI = 0xfb, OPCODE_CLD = 0xfc, OPCODE_STD = 0xfd };

static bool is_opcode(const struct x86_insn *insn, unsigned opcode)
{
    return insn->native.map == NATIVE_MAP_ONE && !insn->native.vex && insn->native.opcode == opcode;
}

/* MOV from a segment register to a general one. */
static bool lower_mov_segment(struct ir_block *block, const struct x86_insn *insn)
{
    const struct native_insn *n = &insn->native;

    if (!is_opcode(insn, 0x8c) || n->modrm != NATIVE_MODRM_REG || (n->reg & 7) > NATIVE_GS)
        return false;
    append(block, IR_GET_WORD, offsetof(struct x86_cpu, segment) + 2u * (n->reg & 7), n->rm, false,
           n->opsize ? n->opsize : 4);
    return true;
}

static void lower_native(struct ir_block *block, struct x86_insn *insn)
{
    if (is_opcode(insn, OPCODE_CLD) && !(block->mode & X86_CODE_DOWN))
        return; /* DF is clear */
    if (is_opcode(insn, OPCODE_CLD) || is_opcode(insn, OPCODE_STD)) {
        leave(block);
        return;
    }
    if (!is_native(block, insn)) {
        leave(block);
        return;
    }
    as_long(block, insn);
    ir_append_native(block, IR_NATIVE, &insn->native);
    if (block->soft.bounced)
        ir_append_exit(block, IR_EXIT_ACCESSED, 0);
}

/* `ahead`: the instruction behind it, which is on the page and in the block too; NULL: there is no
 * such. Returns whether the next one is in the shadow of this one. */
static bool lower(struct ir_block *block, struct x86_insn *insn, const struct x86_insn *ahead)
{
    unsigned vector;
    bool branches_in_c = block->soft.no_tlb && touches_memory(&insn->native);

    if (!x86_unit_allowed(block->mode, insn, &vector)) {
        leave(block);
        return false;
    }
    if (branches_in_c && insn->lowering != X86_LOWER_NATIVE) {
        leave(block);
        return false;
    }
    switch (insn->lowering) {
    case X86_LOWER_NATIVE: lower_native(block, insn); break;
    case X86_LOWER_JCC: lower_jcc(block, insn); break;
    case X86_LOWER_LOOP: lower_loop(block, insn); break;
    case X86_LOWER_JMP: jump(block, target_of(block, insn), IR_KIND_JUMP); break;
    case X86_LOWER_CALL: lower_call(block, insn); break;
    case X86_LOWER_JMP_R: lower_indirect(block, insn, false); break;
    case X86_LOWER_CALL_R: lower_indirect(block, insn, true); break;
    case X86_LOWER_RET: lower_ret(block, insn); break;
    case X86_LOWER_PUSHF: lower_pushf(block, insn); break;
    case X86_LOWER_POPF: lower_popf(block, insn); break;
    case X86_LOWER_MOV_SEG:
        if (!lower_mov_segment(block, insn))
            leave(block);
        break;
    case X86_LOWER_PRIVILEGED:
        if (is_opcode(insn, OPCODE_CLI) && flags_are_free(block)) {
            append(block, IR_CHANGE_BIT, system_flags_at, X86_FLAG_IF, false, 8);
        } else if (is_opcode(insn, OPCODE_STI) && flags_are_free(block) && ahead &&
                   ahead->lowering == X86_LOWER_NATIVE && is_native(block, ahead)) {
            begin_shadow(block);
            return true;
        } else {
            leave(block);
        }
        break;
    default: leave(block); break;
    }
    return false;
}

/* The instruction behind one, if it lies on the page and its bytes are known. */
static const struct x86_insn *look_ahead(const struct ir_block *block,
                                         const struct x86_model *model, const uint8_t *bytes,
                                         size_t size, const struct x86_insn *insn,
                                         struct x86_insn *ahead)
{
    unsigned at = block->bytes; /* `insn` is counted */

    if (!is_opcode(insn, OPCODE_STI) || at >= size || at >= block->page_room ||
        x86_decode(code_mode(block), &model->features, bytes + at, size - at, behind(block, insn),
                   ahead) != X86_DECODE_OK ||
        at + ahead->length > block->page_room)
        return NULL;
    return ahead;
}

enum ir_translated x86_translate_system(const void *config, struct ir_block *block,
                                        const uint8_t *bytes, size_t size, unsigned limit)
{
    const struct x86_model *model = config;
    struct x86_insn insn, ahead;
    bool shadowed = false;

    while (!block->ended) {
        uint64_t pc = block->pc + block->bytes;
        enum x86_decode result = X86_DECODE_SHORT;
        bool crosses, room, shadows = false;

        if (code_mode(block) != X86_MODE_64)
            pc = (uint32_t)pc;
        if (block->bytes < size)
            result = x86_decode(code_mode(block), &model->features, bytes + block->bytes,
                                size - block->bytes, pc, &insn);
        if (result == X86_DECODE_SHORT && block->insn_count == 0)
            return IR_SHORT;
        if (result == X86_DECODE_TOO_LONG)
            insn.length = 15;
        if (insn.length == 0)
            insn.length = 1;
        crosses = result != X86_DECODE_SHORT && block->bytes + insn.length > block->page_room;
        room = result != X86_DECODE_SHORT && block->insn_count < limit &&
               !(crosses && block->insn_count > 0);
        if (!room || !ir_block_insn(block, insn.length)) {
            /* What goes on in the next page is there only as long as that is mapped. */
            ir_append_jump(block, pc)->cond = crosses || result == X86_DECODE_SHORT;
            break;
        }
        if (result == X86_DECODE_OK)
            shadows = lower(block, &insn,
                            block->insn_count < limit
                                ? look_ahead(block, model, bytes, size, &insn, &ahead)
                                : NULL);
        else
            leave(block);
        if (shadowed && !block->ended)
            end_shadow(block);
        shadowed = shadows;
        if (block->ended)
            break;
        if (block->soft.stepped)
            ir_append_exit(block, IR_EXIT_STEPPED, 0);
        else if (crosses || insn.native.attributes & NATIVE_SERIALIZES_CODE)
            ir_append_jump(block, behind(block, &insn));
    }
    return IR_TRANSLATED;
}
