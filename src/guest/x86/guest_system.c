/* SPDX-License-Identifier: MIT
 *
 * What the engine gets of the x86 guest for system mode (struct ir_system): a thin layer over
 * system.h, where everything is.
 */
#include <string.h>

#include "guest/x86/access.h"
#include "guest/x86/bus.h"
#include "guest/x86/cpuid.h"
#include "guest/x86/guest.h"
#include "guest/x86/internal.h"
#include "guest/x86/registers.h"
#include "guest/x86/rows.h"
#include "guest/x86/unit.h"
#include "guest/x86/xstate.h"

/* Of the mode word, what code depends on; the rest decides what C does. */
static const uint32_t code_bits =
    X86_MODE_CODE | X86_MODE_STACK32 | X86_MODE_CPL | X86_MODE_PROTECTED | X86_MODE_V86 |
    X86_MODE_SMAP | X86_MODE_AC | 63u << X86_MODE_FLAT_SHIFT | X86_MODE_TS | X86_MODE_EM |
    X86_MODE_MP | X86_MODE_OSFXSR | X86_MODE_OSXSAVE | 3u << X86_MODE_XCR0_SHIFT | X86_MODE_TF |
    X86_MODE_SHADOW | X86_MODE_RF | X86_MODE_BREAK | X86_MODE_ALIGN | X86_MODE_WATCH;
static const uint32_t single_bits = X86_MODE_TF | X86_MODE_SHADOW | X86_MODE_RF | X86_MODE_BREAK;
static const uint32_t flat_fs_gs = 3u << (X86_MODE_FLAT_SHIFT + NATIVE_FS);

static void reset(const void *config, void *state)
{
    struct x86_cpu *cpu = state;

    memset(cpu, 0, sizeof *cpu);
    cpu->model = config;
}

static void connect(const void *config, void *state, const void *bus, const struct ir_tlb *tlb,
                    unsigned number)
{
    struct x86_cpu *cpu = state;

    cpu->system.tlb = tlb;
    x86_system_reset(cpu, config, bus, number);
}

static void context(const void *state, struct ir_context *context)
{
    const struct x86_cpu *cpu = state;
    uint32_t mode =
        (cpu->system.mode & code_bits) | (cpu->state.flags & NATIVE_DF ? X86_CODE_DOWN : 0);
    bool wide = (mode & X86_MODE_CODE) == X86_MODE_64;

    /* In 64-bit code FS and GS have bases anyway. */
    context->mode = wide ? mode & ~flat_fs_gs : mode;
    context->base = wide ? 0 : cpu->system.segment[NATIVE_CS].base;
    context->limit = wide ? 0 : cpu->system.segment[NATIVE_CS].limit;
    context->view = (uint8_t)x86_view(cpu, X86_ACCESS_READ);
    context->code = (uint8_t)(2u << (mode & X86_MODE_CODE));
    context->single = mode & single_bits;
}

/* The numbers of enum disas_mode are those of enum x86_mode. */
static int disas_mode(const struct ir_context *context)
{
    return context->mode & X86_MODE_CODE;
}

static void soft(const void *state, const struct ir_context *context, struct ir_block *block)
{
    uint32_t mode = context->mode;
    bool wide = (mode & X86_MODE_CODE) == X86_MODE_64;
    unsigned flat = mode >> X86_MODE_FLAT_SHIFT & 63;

    (void)state;
    block->mode = mode;
    block->soft.base = context->base;
    block->soft.code = context->code;
    block->soft.stack = wide ? 8 : mode & X86_MODE_STACK32 ? 4 : 2;
    block->soft.based = (uint8_t)(~flat & 63);
    block->soft.no_tlb = mode & (X86_MODE_ALIGN | X86_MODE_WATCH);
    block->soft.stepped = context->single;
}

static void fill_page(const struct x86_cpu *cpu, const struct x86_walk *walk, struct ir_page *page)
{
    uint8_t rights = walk->rights[x86_view(cpu, X86_ACCESS_READ)];

    page->physical = walk->physical;
    page->size = walk->page_size;
    page->rights = (uint8_t)((rights & X86_RIGHT_READ ? IR_RIGHT_READ : 0) |
                             (rights & X86_RIGHT_WRITE && walk->dirty ? IR_RIGHT_WRITE : 0) |
                             (rights & X86_RIGHT_EXECUTE ? IR_RIGHT_EXECUTE : 0));
    page->global = walk->global;
}

static bool walk(void *state, uint64_t linear, enum ir_right access, struct ir_page *page)
{
    struct x86_cpu *cpu = state;
    struct x86_walk walk;
    struct x86_fault fault;
    unsigned how = access == IR_RIGHT_EXECUTE ? X86_ACCESS_EXECUTE
                   : access == IR_RIGHT_WRITE ? X86_ACCESS_WRITE
                                              : X86_ACCESS_READ;

    memset(&walk, 0, sizeof walk);
    if (!x86_walk(cpu, linear, how, &walk, &fault)) {
        if (access == IR_RIGHT_EXECUTE) {
            x86_raise(cpu, &fault);
        }
        return false;
    }
    if (!(cpu->system.cr0 & X86_CR0_PG)) {
        walk.dirty = true;
    }
    fill_page(cpu, &walk, page);
    return true;
}

static bool look(void *state, uint64_t linear, struct ir_page *page)
{
    struct x86_cpu *cpu = state;
    struct x86_walk walk;

    memset(&walk, 0, sizeof walk);
    if (!x86_look(cpu, linear, &walk)) {
        return false;
    }
    fill_page(cpu, &walk, page);
    return true;
}

static bool code(void *state, uint64_t *linear, unsigned *room)
{
    struct x86_cpu *cpu = state;
    const struct x86_segment *cs = &cpu->system.segment[NATIVE_CS];
    uint64_t pc = cpu->state.pc;
    struct x86_fault fault;
    bool inside;

    if (x86_code64(cpu)) {
        *linear = pc;
        *room = X86_FETCH + 1;
        inside = x86_is_canonical(pc);
    } else {
        *linear = (uint32_t)(cs->base + pc);
        inside = pc <= cs->limit;
        *room =
            inside && cs->limit - pc < X86_FETCH ? (unsigned)(cs->limit - pc) + 1 : X86_FETCH + 1;
    }
    if (!inside) {
        x86_raise_error(&fault, X86_VECTOR_GP, 0);
    } else if (!(cpu->system.mode & X86_MODE_BREAK) || !x86_debug_execute(cpu, *linear, &fault)) {
        return true;
    }
    x86_raise(cpu, &fault);
    return false;
}

static uint64_t linear(const void *state, uint64_t pc)
{
    const struct x86_cpu *cpu = state;

    return x86_code64(cpu) ? pc : (uint32_t)(cpu->system.segment[NATIVE_CS].base + pc);
}

static bool inside(const void *state)
{
    const struct x86_cpu *cpu = state;
    struct x86_fault ignored;

    return x86_check_target(cpu, &cpu->system.segment[NATIVE_CS], cpu->state.pc, 0, &ignored);
}

/* How far a near branch moves the stack pointer. */
static int64_t stack_moved(const struct x86_cpu *cpu, const struct x86_insn *insn)
{
    int64_t size = x86_code64(cpu) ? 8 : insn->native.opsize;

    switch (insn->lowering) {
    case X86_LOWER_CALL:
    case X86_LOWER_CALL_R: return -size;
    case X86_LOWER_RET:
        return size + (insn->native.imm_size ? (int64_t)(insn->native.imm & 0xffff) : 0);
    default: return 0;
    }
}

/* SDM vol. 2, JMP, Jcc, LOOP, CALL, RET: #GP(0) at the branch. A branch that is not taken goes on
 * behind it. */
static bool refuse_branch(const void *config, void *state, const uint8_t *bytes, size_t size,
                          uint64_t pc)
{
    enum { LOOP_LAST = 0xe2 };
    const struct x86_model *model = config;
    struct x86_cpu *cpu = state;
    struct x86_fault fault;
    struct x86_insn insn;
    struct x86_stack stack;

    if (x86_decode(x86_code_mode(cpu), &model->features, bytes, size, pc, &insn) != X86_DECODE_OK) {
        return false;
    }
    switch (insn.lowering) {
    case X86_LOWER_JMP:
    case X86_LOWER_JMP_R:
    case X86_LOWER_CALL:
    case X86_LOWER_CALL_R:
    case X86_LOWER_RET: break;
    case X86_LOWER_JCC:
    case X86_LOWER_LOOP:
        if (cpu->state.pc == pc + insn.length) {
            return false;
        }
        break;
    default: return false;
    }
    x86_stack_open(cpu, &stack);
    stack.sp -= (uint64_t)stack_moved(cpu, &insn);
    x86_stack_close(cpu, &stack);
    if (insn.lowering == X86_LOWER_LOOP && insn.native.opcode <= LOOP_LAST) {
        unsigned width = x86_address_size(cpu, &insn);

        x86_set_gpr(cpu, X86_RCX, width, x86_get_gpr(cpu, X86_RCX, width) + 1);
    }
    cpu->state.pc = pc;
    x86_raise_error(&fault, X86_VECTOR_GP, 0);
    x86_raise(cpu, &fault);
    return true;
}

/* SDM vol. 3, 6.15, vector 19: #UD where the operating system has not said that it knows #XM. */
static void raise(void *state, unsigned vector, uint32_t error)
{
    struct x86_cpu *cpu = state;
    struct x86_fault fault;

    if (vector == X86_VECTOR_MF) {
        if (x86_float_error(cpu, &fault)) { /* it waits for the interrupt */
            cpu->system.shadow = 0;
            x86_update_mode(cpu);
            return;
        }
    } else if (vector == X86_VECTOR_XM && !(cpu->system.cr4 & X86_CR4_OSXMMEXCPT)) {
        x86_raise_plain(&fault, X86_VECTOR_UD);
    } else if (vector == X86_VECTOR_GP || vector == X86_VECTOR_SS) {
        x86_raise_error(&fault, vector, error);
    } else {
        x86_raise_plain(&fault, vector);
    }
    x86_raise(cpu, &fault);
}

/* What cannot be decoded: more bytes could not be fetched, or it is too long, or undefined. */
static void raise_undecoded(struct x86_cpu *cpu, enum x86_decode why)
{
    uint8_t bytes[X86_FETCH];
    struct x86_fault fault;

    if (why == X86_DECODE_SHORT) {
        x86_fetch(cpu, bytes, &fault);
    } else if (why == X86_DECODE_TOO_LONG) {
        x86_raise_error(&fault, X86_VECTOR_GP, 0);
    } else {
        x86_raise_plain(&fault, X86_VECTOR_UD);
    }
    x86_raise(cpu, &fault);
}

static void fetch_fault(void *state)
{
    raise_undecoded(state, X86_DECODE_SHORT);
}

/* SDM vol. 1, 8.6: what waits for exceptions that are pending, before it does anything else.
 * CVTPI2PD with memory has nothing to do with the unit, CVTPI2PS not on AMD's processors: the host
 * knows. */
static bool waits_for_x87(const struct native_insn *native)
{
    enum { FNSTENV = 6, FNSTCW = 7, FNSAVE = 6, FNSTSW = 7 };

    if (!(native->attributes & NATIVE_X87) ||
        (native->map == NATIVE_MAP_0F && native->opcode == 0x2a)) {
        return false;
    }
    switch (native->map == NATIVE_MAP_ONE ? native->opcode : 0) {
    case 0xd9: return native->reg != FNSTENV && native->reg != FNSTCW;
    case 0xdd: return native->reg != FNSAVE && native->reg != FNSTSW;
    default: return true;
    }
}

/* Vectors that must lie on a multiple of their size, and do not (SDM vol. 3, 6.15, #GP). Those of
 * SHA must on Intel's processors, need not on AMD's: the host knows. */
static bool is_misaligned(const struct x86_insn *insn, uint64_t linear)
{
    return insn->row->traits & X86_TRAIT_ALIGN && insn->feature != X86_FEATURE_SHA &&
           linear & (insn->native.mem_size - 1u);
}

/* FXRSTOR: the address is looked at first. */
static bool is_misaligned_area(const struct x86_insn *insn, uint64_t linear)
{
    enum { SIZE = 512, ALIGNMENT = 16 };

    return insn->native.mem_size == SIZE && linear & (ALIGNMENT - 1);
}

/* Brings the operand of an instruction that the host executes. */
static bool bring(struct x86_cpu *cpu, const struct x86_insn *insn, struct ir_operand *operand,
                  struct x86_fault *fault)
{
    const struct native_insn *native = &insn->native;
    struct x86_insn other = *insn;
    unsigned access = native->mem_access & NATIVE_WRITE ? X86_ACCESS_WRITE : X86_ACCESS_READ;
    uint8_t *at;

    if (native->mem_implicit & NATIVE_MOFFS) { /* an address in the instruction */
        other.native.base = NATIVE_RIP;
        other.native.address = native->imm;
    }
    operand->linear = x86_operand_linear(cpu, &other);
    operand->size = native->mem_size;
    operand->read = native->mem_access & NATIVE_READ;
    operand->write = native->mem_access & NATIVE_WRITE;
    operand->extends = native->attributes & NATIVE_SIGNED;
    operand->doubtful = waits_for_x87(native);
    at = cpu->state.bounce + (operand->linear & 63);
    cpu->state.temp[1] = (uint64_t)(uintptr_t)at;
    if (is_misaligned(insn, operand->linear)) {
        return x86_raise_error(fault, X86_VECTOR_GP, 0);
    }
    if (!x86_system_operand(cpu, &other, operand->linear, operand->size, access, fault)) {
        return false;
    }
    if (is_misaligned_area(insn, operand->linear)) {
        return x86_raise_error(fault, X86_VECTOR_GP, 0);
    }
    if (operand->read) {
        x86_tell_before(cpu, operand->linear, operand->size, false);
    }
    if (operand->write) {
        x86_tell_before(cpu, operand->linear, operand->size, true);
    }
    cpu->system.telling = false;
    return (!operand->write ||
            x86_linear_probe(cpu, operand->linear, operand->size, X86_ACCESS_WRITE, fault)) &&
           (!operand->read ||
            x86_linear_read(cpu, operand->linear, at, operand->size, X86_ACCESS_READ, fault));
}

/* SDM vol. 3, 8.1.2: XCHG with memory needs no prefix. */
static bool is_locked(const struct x86_insn *insn)
{
    enum { XCHG_BYTE = 0x86, XCHG = 0x87 };
    const struct native_insn *native = &insn->native;

    return native->modrm == NATIVE_MODRM_MEM &&
           (native->prefix & NATIVE_LOCK ||
            (native->map == NATIVE_MAP_ONE && !native->vex &&
             (native->opcode == XCHG_BYTE || native->opcode == XCHG)));
}

/* What a branch is to who traces them (enum ir_jump_kind). */
static uint8_t kind_of(const struct x86_insn *insn)
{
    enum { CALL_9A = 0x9a, JMP_EA = 0xea, GROUP5 = 0xff, GROUP5_CALL = 3 };
    const struct native_insn *native = &insn->native;

    switch (insn->lowering) {
    case X86_LOWER_JMP:
    case X86_LOWER_JMP_R: return IR_KIND_JUMP;
    case X86_LOWER_CALL:
    case X86_LOWER_CALL_R: return IR_KIND_CALL;
    case X86_LOWER_RET:
    case X86_LOWER_IRET: return IR_KIND_RET;
    case X86_LOWER_FAR:
        if (native->opcode == CALL_9A ||
            (native->opcode == GROUP5 && (native->reg & 7) == GROUP5_CALL)) {
            return IR_KIND_CALL;
        }
        return native->opcode == JMP_EA || native->opcode == GROUP5 ? IR_KIND_JUMP : IR_KIND_RET;
    default: return IR_KIND_NONE;
    }
}

/* In C; true if it has to be translated code. */
static bool execute_insn(struct x86_cpu *cpu, const struct x86_insn *insn,
                         struct ir_operand *operand, bool *done, struct x86_fault *fault)
{
    if (!x86_executes(insn) && insn->lowering == X86_LOWER_NATIVE &&
        x86_plain_memory(&insn->native) && insn->native.mem_access) {
        *done = bring(cpu, insn, operand, fault);
        return *done;
    }
    *done = x86_execute(cpu, insn, fault);
    return false;
}

static enum ir_executed execute(const void *config, void *state, const uint8_t *bytes, size_t size,
                                struct ir_operand *operand)
{
    const struct x86_model *model = config;
    struct x86_cpu *cpu = state;
    struct x86_fault fault;
    struct x86_insn insn;
    enum x86_decode result =
        x86_decode(x86_code_mode(cpu), &model->features, bytes, size, cpu->state.pc, &insn);
    bool done = false, brought = false;
    unsigned vector;

    *operand = (struct ir_operand){.alone = operand->alone};
    if (result != X86_DECODE_OK) {
        raise_undecoded(cpu, result);
        return IR_RAISED;
    }
    if (is_locked(&insn) && !operand->alone) {
        return IR_WANTS_ALONE;
    }
    operand->kind = kind_of(&insn);
    if (x86_unit_allowed(cpu->system.mode, &insn, &vector)) {
        if (waits_for_x87(&insn.native) && x86_xstate_pending(cpu->state.vector)) {
            if (!x86_float_error(cpu, &fault)) {
                x86_raise(cpu, &fault);
            }
            return IR_RAISED;
        }
        cpu->system.telling = cpu->system.tlb && cpu->system.tlb->told;
        brought = execute_insn(cpu, &insn, operand, &done, &fault);
        cpu->system.telling = false;
    } else {
        x86_raise_plain(&fault, vector);
    }
    if (!done) {
        x86_raise(cpu, &fault);
        return IR_RAISED;
    }
    return brought                                                           ? IR_BROUGHT
           : insn.native.attributes & NATIVE_REP && cpu->state.pc == insn.pc ? IR_EXECUTED_PART
                                                                             : IR_EXECUTED;
}

/* What the x87 unit keeps of the operand's place is made the guest's, and SDM vol. 1, 8.5: an x87
 * instruction that has raised one of these, unmasked, has not stored. */
static bool bounced(void *state, const struct ir_operand *operand)
{
    enum { INVALID = 1, OVERFLOW = 8, UNDERFLOW = 16 };
    struct x86_cpu *cpu = state;
    uint8_t *image = cpu->state.vector;
    unsigned raised = x86_xstate_word(image, X86_XSTATE_FSW),
             masked = x86_xstate_word(image, X86_XSTATE_FCW);

    if (x86_xstate_pointer(image, X86_XSTATE_FDP) == cpu->state.temp[1]) {
        x86_xstate_set_pointer(image, X86_XSTATE_FDP, operand->linear);
    }
    return operand->write &&
           !(operand->doubtful && raised & ~masked & (INVALID | OVERFLOW | UNDERFLOW));
}

static void take_away(void *state, const struct ir_operand *operand)
{
    struct x86_cpu *cpu = state;
    struct x86_fault fault;

    if (operand->write &&
        !x86_linear_write(cpu, operand->linear, cpu->state.bounce + (operand->linear & 63),
                          operand->size, X86_ACCESS_WRITE, &fault)) {
        x86_raise(cpu, &fault); /* another CPU has just taken the page away */
    }
}

static void stepped(void *state)
{
    struct x86_cpu *cpu = state;

    x86_instruction_done(cpu, cpu->system_flags & X86_FLAG_TF);
}

/* Translated code sets the shadow of STI without a word to the mode. */
static bool pending(void *state)
{
    struct x86_cpu *cpu = state;

    if (cpu->system.shadow && !(cpu->system.mode & X86_MODE_SHADOW)) {
        x86_update_mode(cpu);
    }
    return x86_event_pending(cpu);
}

static enum ir_event take_event(void *state)
{
    switch (x86_take_event(state)) {
    case X86_TAKEN_NONE: return IR_EVENT_NONE;
    case X86_TAKEN_DELIVERED: return IR_EVENT_TAKEN;
    default: return IR_EVENT_WAIT;
    }
}

static void print_state(const void *state, bool fpu, struct strbuf *text)
{
    x86_print_state(state, text, fpu ? X86_PRINT_FPU : 0);
}

static const struct ir_system x86_system_functions = {
    .connect = connect,
    .context = context,
    .disas = disas_mode,
    .soft = soft,
    .possible = x86_is_canonical,
    .walk = walk,
    .look = look,
    .code = code,
    .inside = inside,
    .refuse_branch = refuse_branch,
    .linear = linear,
    .execute = execute,
    .bounced = bounced,
    .take_away = take_away,
    .stepped = stepped,
    .raise = raise,
    .pending = pending,
    .take_event = take_event,
    .fetch_fault = fetch_fault,
};

const struct ir_guest x86_system_guest = {
    .name = "x86",
    .state_size = sizeof(struct x86_cpu),
    .reset = reset,
    .translate = x86_translate_system,
    .system = &x86_system_functions,
    .print_state = print_state,
};
