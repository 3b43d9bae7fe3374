/* SPDX-License-Identifier: MIT
 *
 * Instructions to IR: most are native operations, and each lowering of x86.h that is not has its
 * function in the table below.
 *
 * In user mode what faults by itself needs nothing: privileged instructions raise #GP on the host
 * as they should in the guest, and an undefined opcode becomes UD2.
 */
#include "guest/x86/cpuid.h"
#include "guest/x86/guest.h"
#include "guest/x86/helpers.h"
#include "guest/x86/x86.h"
#include "ir/block.h"
#include "ir/guest.h"

typedef void lower_fn(struct ir_block *block, const struct x86_insn *insn);

static void jump(struct ir_block *block, uint64_t target, enum ir_jump_kind kind)
{
    struct ir_op *op = ir_append_jump(block, target);

    op->reg = kind;
}

static void jump_target(struct ir_block *block, enum ir_jump_kind kind)
{
    struct ir_op *op = ir_append(block, IR_JUMP_TARGET);

    op->reg = kind;
}

static uint64_t behind(const struct x86_insn *insn)
{
    return insn->pc + insn->length;
}

/* A repeated string instruction as a loop: each time one access or two, with RCX, RSI and RDI as
 * they are between the times (SDM vol. 2, REP).
 *
 *     top: JRCXZ out ; MOVSB ; LEA RCX, [RCX-1] ; (Jcc out, for CMPS and SCAS) ; jump top ; out:
 */
static void repeat(struct ir_block *block, const struct x86_insn *insn)
{
    struct native_insn once = insn->native;
    bool compares = (once.opcode & 0xfe) == 0xa6 || (once.opcode & 0xfe) == 0xae;
    struct native_insn empty = {
        .opcode = 0xe3,
        .prefix = once.prefix & NATIVE_67,
        .segment = NATIVE_DS,
        .base = NATIVE_NONE,
        .index = NATIVE_NONE,
        .imm_size = 1,
        .gpr_read = 1 << X86_RCX,
    };
    struct native_insn count = {
        .opcode = 0x8d,
        .modrm = NATIVE_MODRM_MEM,
        .reg = X86_RCX,
        .w = !(once.prefix & NATIVE_67),
        .segment = NATIVE_DS,
        .base = X86_RCX,
        .index = NATIVE_NONE,
        .scale = 1,
        .disp = -1,
        .attributes = NATIVE_REG_GPR,
        .gpr_read = 1 << X86_RCX,
        .gpr_written = 1 << X86_RCX,
        .gpr_killed = 1 << X86_RCX,
    };
    unsigned top = block->anchor_count++, out = block->anchor_count++;
    struct ir_op *op;

    once.prefix &= (uint8_t) ~(NATIVE_F2 | NATIVE_F3);
    once.attributes &= (uint16_t)~NATIVE_REP;
    block->goes_on = block->begun && block->insn_count == 1;
    op = ir_append(block, IR_ANCHOR);
    op->reg = IR_ANCHOR_AGAIN;
    op->imm = top;
    op = ir_append_native(block, IR_ANCHOR_JUMP, &empty);
    op->reg = IR_ANCHOR_NATIVE;
    op->imm = out;
    ir_append_native(block, IR_NATIVE, &once);
    ir_append_native(block, IR_NATIVE, &count);
    if (compares) {
        op = ir_append(block, IR_ANCHOR_JUMP);
        op->reg = IR_ANCHOR_COND;
        op->cond = insn->native.prefix & NATIVE_F3 ? 5 : 4; /* NZ ends REPE, Z ends REPNE */
        op->imm = out;
    }
    ir_append(block, IR_ANCHOR_JUMP)->imm = top;
    ir_append(block, IR_ANCHOR)->imm = out;
}

/* Whether a string instruction is to be repeated here: for records of each access, or because the
 * host does not have this one with REP (GS with addresses of 32 bits). INS and OUTS only fault. */
static bool repeats_here(const struct ir_block *block, const struct native_insn *native)
{
    bool gs = native->segment == NATIVE_GS && (native->prefix & NATIVE_67);

    return (native->attributes & NATIVE_REP) && (native->opcode & 0xfc) != 0x6c &&
           (block->each_access || (gs && (native->mem_implicit & NATIVE_STRING_SI)));
}

static void native(struct ir_block *block, const struct x86_insn *insn)
{
    if (repeats_here(block, &insn->native)) {
        repeat(block, insn);
        return;
    }
    ir_append_native(block, IR_NATIVE, &insn->native);
}

static void undefined(struct ir_block *block)
{
    static const struct native_insn ud2 = {
        .opcode = 0x0b,
        .map = NATIVE_MAP_0F,
        .segment = NATIVE_DS,
        .base = NATIVE_NONE,
        .index = NATIVE_NONE,
        .attributes = NATIVE_MAY_FAULT,
    };

    ir_append_native(block, IR_NATIVE, &ud2);
    ir_append_jump(block, block->pc + block->bytes);
}

static void lower_ud(struct ir_block *block, const struct x86_insn *insn)
{
    (void)insn;
    undefined(block);
}

/* INT3 and what is privileged: native, and the block ends, since execution does not go on. They
 * fault before they touch memory. */
static void lower_trap(struct ir_block *block, const struct x86_insn *insn)
{
    struct native_insn trap = insn->native;

    trap.mem_access = 0;
    ir_append_native(block, IR_NATIVE, &trap);
    ir_append_jump(block, behind(insn));
}

static void lower_jcc(struct ir_block *block, const struct x86_insn *insn)
{
    struct ir_op *op = ir_append(block, IR_JUMP_IF);

    op->cond = insn->native.opcode & 15;
    op->imm = insn->target;
    jump(block, behind(insn), IR_KIND_NOT_TAKEN);
}

static void lower_loop(struct ir_block *block, const struct x86_insn *insn)
{
    struct ir_op *op = ir_append_native(block, IR_JUMP_LOOP, &insn->native);

    op->imm = insn->target;
    jump(block, behind(insn), IR_KIND_NOT_TAKEN);
}

static void lower_jmp(struct ir_block *block, const struct x86_insn *insn)
{
    jump(block, insn->target, IR_KIND_JUMP);
}

/* PUSH of the return address: an immediate where it fits, else a constant from memory. */
static void push_return(struct ir_block *block, const struct x86_insn *insn)
{
    uint64_t address = behind(insn);
    struct native_insn push = {
        .segment = NATIVE_DS,
        .base = NATIVE_NONE,
        .index = NATIVE_NONE,
        .opsize = 8,
        .mem_access = NATIVE_WRITE,
        .mem_size = 8,
        .mem_implicit = NATIVE_PUSH,
        .attributes = NATIVE_MAY_FAULT,
        .gpr_read = 1 << X86_RSP,
        .gpr_written = 1 << X86_RSP,
    };

    if ((int64_t)address == (int32_t)address) {
        push.opcode = 0x68;
        push.imm_size = 4;
        push.imm = address;
    } else {
        push.opcode = 0xff;
        push.modrm = NATIVE_MODRM_MEM;
        push.reg = 6;
        push.base = NATIVE_POOL;
        push.address = address;
    }
    ir_append_native(block, IR_NATIVE, &push);
}

static void lower_call(struct ir_block *block, const struct x86_insn *insn)
{
    push_return(block, insn);
    jump(block, insn->target, IR_KIND_CALL);
}

/* FF /2 and /4 become MOV target, r/m64. */
static void load_target(struct ir_block *block, const struct x86_insn *insn)
{
    struct native_insn load = insn->native;

    load.opcode = 0x8b;
    load.reg = NATIVE_TARGET;
    load.w = true;
    load.prefix &= NATIVE_67;
    load.mem_implicit = 0;
    load.mem_access = load.modrm == NATIVE_MODRM_MEM ? NATIVE_READ : 0;
    load.mem_size = 8;
    load.gpr_read &=
        (uint16_t) ~(load.modrm == NATIVE_MODRM_MEM && load.base != X86_RSP ? 1u << X86_RSP : 0);
    load.gpr_written = 0;
    load.attributes |= NATIVE_REG_GPR | NATIVE_RM_GPR;
    ir_append_native(block, IR_TARGET, &load);
}

static void lower_jmp_r(struct ir_block *block, const struct x86_insn *insn)
{
    load_target(block, insn);
    jump_target(block, IR_KIND_JUMP);
}

static void lower_call_r(struct ir_block *block, const struct x86_insn *insn)
{
    load_target(block, insn);
    push_return(block, insn);
    jump_target(block, IR_KIND_CALL);
}

static void lower_ret(struct ir_block *block, const struct x86_insn *insn)
{
    struct native_insn pop = {
        .opcode = 0x58,
        .rm = NATIVE_TARGET,
        .segment = NATIVE_DS,
        .base = NATIVE_NONE,
        .index = NATIVE_NONE,
        .opsize = 8,
        .mem_access = NATIVE_READ,
        .mem_size = 8,
        .mem_implicit = NATIVE_POP,
        .attributes = NATIVE_MAY_FAULT | NATIVE_OPCODE_REG | NATIVE_RM_GPR,
        .gpr_read = 1 << X86_RSP,
        .gpr_written = 1 << X86_RSP,
    };
    struct native_insn release = {
        .opcode = 0x8d, /* LEA RSP, [RSP + imm16]: RET's flags stay as they are */
        .modrm = NATIVE_MODRM_MEM,
        .w = true,
        .reg = X86_RSP,
        .segment = NATIVE_DS,
        .base = X86_RSP,
        .index = NATIVE_NONE,
        .scale = 1,
        .disp = (int32_t)(insn->native.imm & 0xffff),
        .attributes = NATIVE_REG_GPR,
        .gpr_read = 1 << X86_RSP,
        .gpr_written = 1 << X86_RSP,
    };

    ir_append_native(block, IR_TARGET, &pop);
    if (insn->native.imm_size != 0)
        ir_append_native(block, IR_NATIVE, &release);
    jump_target(block, IR_KIND_RET);
}

static void lower_syscall(struct ir_block *block, const struct x86_insn *insn)
{
    (void)insn;
    ir_append_exit(block, IR_EXIT_SYSCALL, 0);
}

/* INT n raises #GP with the vector in the error code; only INT 80h would reach the host's kernel.
 */
static void lower_int(struct ir_block *block, const struct x86_insn *insn)
{
    uint64_t vector = insn->native.imm & 0xff;

    if (vector == 0x80)
        ir_append_exit(block, IR_EXIT_TRAP, vector << 3 | 2);
    else
        lower_trap(block, insn);
}

static void lower_help(struct ir_block *block, const struct x86_insn *insn)
{
    (void)insn;
    ir_append_exit(block, IR_EXIT_HELPER, 0);
}

/* For who wants to know of each access: it is executed in a block of its own, when the accesses
 * have been told. */
static void lower_apart(struct ir_block *block, const struct x86_insn *insn)
{
    if (!block->begun || block->insn_count > 1) {
        ir_append_exit(block, IR_EXIT_ACCESS, 0);
        return;
    }
    block->goes_on = block->told = true;
    ir_append_native(block, IR_NATIVE, &insn->native);
    ir_append_exit(block, IR_EXIT_ACCESSED, 0);
}

/* The environment is kept while the x87 unit still has it: leaving translated code saves its state
 * by XSAVE, which on AMD's processors forgets the last instruction. */
static void lower_fnstenv(struct ir_block *block, const struct x86_insn *insn)
{
    ir_append(block, IR_KEEP_X87);
    lower_help(block, insn);
}

/* FF /3 CALL, FF /5 JMP; all others return. */
static void lower_far(struct ir_block *block, const struct x86_insn *insn)
{
    bool returns = insn->native.opcode != 0xff;

    ir_append_exit(block, IR_EXIT_HELPER,
                   returns                       ? IR_KIND_RET
                   : (insn->native.reg & 7) == 3 ? IR_KIND_CALL
                                                 : IR_KIND_JUMP);
}

/* FS is the host's own; GS is ours. /0 and /2 are FS, /1 and /3 GS. */
static void lower_seg_base(struct ir_block *block, const struct x86_insn *insn)
{
    if (insn->native.reg & 1)
        lower_help(block, insn);
    else
        native(block, insn);
}

static lower_fn *const lowering[] = {
    [X86_LOWER_NATIVE] = native,         [X86_LOWER_JCC] = lower_jcc,
    [X86_LOWER_LOOP] = lower_loop,       [X86_LOWER_JMP] = lower_jmp,
    [X86_LOWER_CALL] = lower_call,       [X86_LOWER_JMP_R] = lower_jmp_r,
    [X86_LOWER_CALL_R] = lower_call_r,   [X86_LOWER_RET] = lower_ret,
    [X86_LOWER_FAR] = lower_far,         [X86_LOWER_IRET] = lower_far,
    [X86_LOWER_SYSCALL] = lower_syscall, [X86_LOWER_SYSENTER] = lower_ud,
    [X86_LOWER_INT] = lower_int,         [X86_LOWER_INT3] = lower_trap,
    [X86_LOWER_UD] = lower_ud,           [X86_LOWER_CPUID] = lower_help,
    [X86_LOWER_XGETBV] = lower_help,     [X86_LOWER_XSAVE] = lower_help,
    [X86_LOWER_XRSTOR] = lower_help,     [X86_LOWER_FXSAVE] = lower_help,
    [X86_LOWER_FNSTENV] = lower_fnstenv, [X86_LOWER_PUSHF] = lower_help,
    [X86_LOWER_POPF] = lower_help,       [X86_LOWER_MOV_TO_SEG] = lower_help,
    [X86_LOWER_MOV_SEG] = lower_help,    [X86_LOWER_SEG_BASE] = lower_seg_base,
    [X86_LOWER_RDTSC] = native,          [X86_LOWER_RANDOM] = native,
    [X86_LOWER_PRIVILEGED] = lower_trap,
};

/* What cannot be decoded: undefined, or too long, which is #GP: HLT raises it. */
static void refuse(struct ir_block *block, enum x86_decode why)
{
    static const struct native_insn hlt = {
        .opcode = 0xf4,
        .segment = NATIVE_DS,
        .base = NATIVE_NONE,
        .index = NATIVE_NONE,
        .attributes = NATIVE_MAY_FAULT,
    };

    if (why == X86_DECODE_UNDEFINED) {
        undefined(block);
        return;
    }
    ir_append_native(block, IR_NATIVE, &hlt);
    ir_append_jump(block, block->pc + block->bytes);
}

/* The bytes that the meaning depends on, also of what is refused: the block holds as long as they
 * do. */
static unsigned bytes_used(const struct x86_insn *insn, enum x86_decode result, size_t size)
{
    enum { LONGEST = 15 };
    unsigned used = result == X86_DECODE_TOO_LONG ? LONGEST : insn->length;

    if (used == 0)
        used = 1;
    return used < size ? used : (unsigned)size;
}

static bool stores(const struct native_insn *native)
{
    return (native->mem_access & NATIVE_WRITE) ||
           (native->mem_implicit &
            (NATIVE_PUSH | NATIVE_STRING_DI_W | NATIVE_MASKMOV | NATIVE_OTHER));
}

enum ir_translated x86_translate(const void *config, struct ir_block *block, const uint8_t *bytes,
                                 size_t size, unsigned limit)
{
    const struct x86_model *model = config;
    const struct x86_features *features = x86_features_at(model, block->pc);
    struct x86_insn insn;

    while (!block->ended) {
        uint64_t pc = block->pc + block->bytes;
        enum x86_decode result = X86_DECODE_SHORT;

        if (block->bytes < size)
            result = x86_decode(X86_MODE_64, features, bytes + block->bytes, size - block->bytes,
                                pc, &insn);
        if (result == X86_DECODE_SHORT && block->insn_count == 0)
            return IR_SHORT;
        if (result == X86_DECODE_SHORT || block->insn_count == limit ||
            block->anchor_count + 2 > IR_BLOCK_ANCHORS ||
            !ir_block_insn(block, bytes_used(&insn, result, size - block->bytes))) {
            ir_append_jump(block, pc);
            break;
        }
        if (result != X86_DECODE_OK) {
            refuse(block, result);
            break;
        }
        if (block->each_access && insn.lowering == X86_LOWER_NATIVE && x86_accesses_apart(&insn))
            lower_apart(block, &insn);
        else
            lowering[insn.lowering](block, &insn);
        if (!block->ended && ((insn.native.attributes & NATIVE_SERIALIZES_CODE) ||
                              (block->ends_at_stores && stores(&insn.native))))
            ir_append_jump(block, behind(&insn));
    }
    return IR_TRANSLATED;
}
