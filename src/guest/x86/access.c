/* SPDX-License-Identifier: MIT
 *
 * Accesses of system mode: segments (SDM vol. 3, 5.3 to 5.5), pages, stacks. */
#include "guest/x86/access.h"

#include <string.h>

#include "guest/x86/bus.h"
#include "guest/x86/helpers.h"
#include "ir/guest.h"

enum { PAGE = 4096, FEW_BYTES = 64 };

enum x86_mode x86_code_mode(const struct x86_cpu *cpu)
{
    if (x86_code64(cpu)) {
        return X86_MODE_64;
    }
    return cpu->system.segment[NATIVE_CS].attributes & X86_SEG_BIG ? X86_MODE_32 : X86_MODE_16;
}

/* --- linear addresses */

/* An access in one or two pieces, each within a page. */
struct piece {
    uint8_t *host; /* NULL: not RAM */
    uint64_t physical;
    size_t size;
};

static bool find_piece(struct x86_cpu *cpu, uint64_t linear, size_t size, unsigned access,
                       struct piece *piece, struct x86_fault *fault)
{
    const struct cpu_bus *bus = cpu->system.bus;
    const struct ir_tlb *tlb = cpu->system.tlb;
    struct x86_walk walk;

    piece->size = size;
    piece->host = tlb && !(access & ~X86_ACCESS_WRITE)
                      ? tlb->cached(tlb->opaque, linear, access & X86_ACCESS_WRITE)
                      : NULL;
    if (piece->host) {
        return true;
    }
    if (!x86_walk(cpu, linear, access, &walk, fault)) {
        return false;
    }
    piece->physical = walk.physical;
    if (tlb && access & X86_ACCESS_WRITE && size <= FEW_BYTES &&
        tlb->has_code(tlb->opaque, walk.physical)) {
        return true; /* through the bus: only the code that these bytes are dies */
    }
    piece->host = bus->host(bus->opaque, walk.physical, access & X86_ACCESS_WRITE);
    return true;
}

/* Addresses wrap at 4 GiB outside 64-bit code. */
static bool find_pieces(struct x86_cpu *cpu, uint64_t linear, size_t size, unsigned access,
                        struct piece piece[2], struct x86_fault *fault)
{
    size_t first = PAGE - (linear & (PAGE - 1));
    uint64_t second;

    piece[1].size = 0;
    if (size <= first) {
        return find_piece(cpu, linear, size, access, &piece[0], fault);
    }
    second = linear + first;
    if (!x86_code64(cpu) && !(linear >> 32)) {
        second = (uint32_t)second;
    }
    return find_piece(cpu, linear, first, access, &piece[0], fault) &&
           find_piece(cpu, second, size - first, access, &piece[1], fault);
}

bool x86_linear_read(struct x86_cpu *cpu, uint64_t linear, void *to, size_t size, unsigned access,
                     struct x86_fault *fault)
{
    struct piece piece[2];
    uint8_t *at = to;

    if (!find_pieces(cpu, linear, size, access, piece, fault)) {
        return false;
    }
    for (unsigned i = 0; i < 2 && piece[i].size; i++) {
        if (piece[i].host) {
            memcpy(at, piece[i].host, piece[i].size);
        } else {
            x86_physical_read(cpu, piece[i].physical, at, piece[i].size);
        }
        at += piece[i].size;
    }
    if (cpu->system.mode & X86_MODE_WATCH &&
        !(access & (X86_ACCESS_IMPLICIT | X86_ACCESS_EXECUTE))) {
        x86_debug_data(cpu, linear, size, false);
    }
    return true;
}

bool x86_linear_write(struct x86_cpu *cpu, uint64_t linear, const void *from, size_t size,
                      unsigned access, struct x86_fault *fault)
{
    struct piece piece[2];
    const uint8_t *at = from;

    if (!find_pieces(cpu, linear, size, access | X86_ACCESS_WRITE, piece, fault)) {
        return false;
    }
    for (unsigned i = 0; i < 2 && piece[i].size; i++) {
        if (piece[i].host) {
            memcpy(piece[i].host, at, piece[i].size);
        } else {
            x86_physical_write(cpu, piece[i].physical, at, piece[i].size);
        }
        at += piece[i].size;
    }
    if (cpu->system.mode & X86_MODE_WATCH && !(access & X86_ACCESS_IMPLICIT)) {
        x86_debug_data(cpu, linear, size, true);
    }
    return true;
}

bool x86_linear_probe(struct x86_cpu *cpu, uint64_t linear, size_t size, unsigned access,
                      struct x86_fault *fault)
{
    struct piece piece[2];

    return find_pieces(cpu, linear, size, access, piece, fault);
}

bool x86_linear_change(struct x86_cpu *cpu, uint64_t linear, uint8_t set, uint8_t clear,
                       struct x86_fault *fault)
{
    struct piece piece;
    uint8_t value;

    if (!find_piece(cpu, linear, 1, X86_ACCESS_WRITE | X86_ACCESS_IMPLICIT, &piece, fault)) {
        return false;
    }
    if (piece.host) {
        if (set) {
            __atomic_fetch_or(piece.host, set, __ATOMIC_SEQ_CST);
        }
        if (clear) {
            __atomic_fetch_and(piece.host, (uint8_t)~clear, __ATOMIC_SEQ_CST);
        }
        return true;
    }
    x86_physical_read(cpu, piece.physical, &value, 1);
    value = (uint8_t)((value | set) & ~clear);
    x86_physical_write(cpu, piece.physical, &value, 1);
    return true;
}

/* --- segments */

/* Rights count only in protected mode; a segment that may be executed only cannot be read. */
static bool right_to(const struct x86_cpu *cpu, const struct x86_segment *segment, unsigned access)
{
    uint32_t bits = segment->attributes;

    if (x86_real(cpu) || access & X86_ACCESS_EXECUTE) {
        return true;
    }
    if (!(bits & X86_SEG_PRESENT)) {
        return false;
    }
    if (access & X86_ACCESS_WRITE) {
        return !(bits & X86_SEG_CODE) && bits & X86_SEG_WRITABLE;
    }
    return !(bits & X86_SEG_CODE) || bits & X86_SEG_READABLE;
}

static bool within_limit(const struct x86_segment *segment, uint64_t offset, size_t size)
{
    uint64_t last = offset + size - 1;
    uint32_t bits = segment->attributes;

    if ((bits & (X86_SEG_CODE | X86_SEG_DOWN | X86_SEG_S)) == (X86_SEG_DOWN | X86_SEG_S)) {
        uint64_t top = bits & X86_SEG_BIG ? 0xffffffff : 0xffff;
        return offset > segment->limit && last <= top;
    }
    return last <= segment->limit;
}

bool x86_segment_linear(const struct x86_cpu *cpu, const struct x86_segment *segment, bool stack,
                        uint32_t error, bool wide, uint64_t offset, size_t size, unsigned access,
                        uint64_t *linear, struct x86_fault *fault)
{
    unsigned vector = stack ? X86_VECTOR_SS : X86_VECTOR_GP;

    if (wide) {
        *linear = offset + segment->base;
        if (x86_is_canonical(*linear) && x86_is_canonical(*linear + size - 1)) {
            return true;
        }
        return x86_raise_error(fault, vector, error);
    }
    if (!right_to(cpu, segment, access) || !within_limit(segment, offset, size)) {
        return x86_raise_error(fault, vector, error);
    }
    *linear = (uint32_t)(segment->base + offset);
    return true;
}

/* SDM vol. 3, 6.15, #AC: natural alignment of what is not longer than 8 bytes. */
static bool check_alignment(const struct x86_cpu *cpu, uint64_t linear, size_t size,
                            struct x86_fault *fault)
{
    if (!(cpu->system.mode & X86_MODE_ALIGN) || size > 8 || size & (size - 1) ||
        !(linear & (size - 1))) {
        return true;
    }
    return x86_raise_error(fault, X86_VECTOR_AC, 0);
}

/* In 64-bit mode the others have no base. */
static struct x86_segment effective_segment(const struct x86_cpu *cpu, unsigned segment)
{
    struct x86_segment result = cpu->system.segment[segment];

    if (x86_code64(cpu) && segment != NATIVE_FS && segment != NATIVE_GS) {
        result.base = 0;
    }
    return result;
}

bool x86_seg_linear(const struct x86_cpu *cpu, unsigned segment, uint64_t offset, size_t size,
                    unsigned access, uint64_t *linear, struct x86_fault *fault)
{
    struct x86_segment used = effective_segment(cpu, segment);

    return x86_segment_linear(cpu, &used, segment == NATIVE_SS, 0, x86_code64(cpu), offset, size,
                              access, linear, fault);
}

static bool locate(struct x86_cpu *cpu, unsigned segment, uint64_t offset, size_t size,
                   unsigned access, uint64_t *linear, struct x86_fault *fault)
{
    return x86_seg_linear(cpu, segment, offset, size, access, linear, fault) &&
           check_alignment(cpu, *linear, size, fault);
}

bool x86_seg_read(struct x86_cpu *cpu, unsigned segment, uint64_t offset, void *to, size_t size,
                  struct x86_fault *fault)
{
    uint64_t linear;

    return locate(cpu, segment, offset, size, X86_ACCESS_READ, &linear, fault) &&
           x86_linear_read(cpu, linear, to, size, X86_ACCESS_READ, fault);
}

bool x86_seg_write(struct x86_cpu *cpu, unsigned segment, uint64_t offset, const void *from,
                   size_t size, struct x86_fault *fault)
{
    uint64_t linear;

    return locate(cpu, segment, offset, size, X86_ACCESS_WRITE, &linear, fault) &&
           x86_linear_write(cpu, linear, from, size, X86_ACCESS_WRITE, fault);
}

bool x86_seg_probe(struct x86_cpu *cpu, unsigned segment, uint64_t offset, size_t size,
                   struct x86_fault *fault)
{
    uint64_t linear;

    return locate(cpu, segment, offset, size, X86_ACCESS_WRITE, &linear, fault) &&
           x86_linear_probe(cpu, linear, size, X86_ACCESS_WRITE, fault);
}

size_t x86_seg_run(struct x86_cpu *cpu, unsigned segment, uint64_t offset, size_t most,
                   unsigned access, uint8_t **host)
{
    struct x86_fault ignored;
    struct piece piece;
    uint64_t linear;
    size_t room;

    if (!x86_seg_linear(cpu, segment, offset, 1, access, &linear, &ignored)) {
        return 0;
    }
    room = PAGE - (linear & (PAGE - 1));
    room = room < most ? room : most;
    if (!x86_seg_linear(cpu, segment, offset, room, access, &linear, &ignored) ||
        !find_piece(cpu, linear, room, access, &piece, &ignored) || !piece.host) {
        return 0;
    }
    *host = piece.host;
    return room;
}

/* --- operands */

unsigned x86_address_size(const struct x86_cpu *cpu, const struct x86_insn *insn)
{
    bool other = insn->native.prefix & NATIVE_67;

    switch (x86_code_mode(cpu)) {
    case X86_MODE_64: return other ? 4 : 8;
    case X86_MODE_32: return other ? 2 : 4;
    default: return other ? 4 : 2;
    }
}

/* The decoder says DS for the stack in 64-bit code, where it makes a difference to the vector. */
unsigned x86_operand_segment(const struct x86_cpu *cpu, const struct x86_insn *insn)
{
    const struct native_insn *native = &insn->native;

    if (x86_code64(cpu) && native->segment == NATIVE_DS &&
        (native->base == X86_RSP || native->base == X86_RBP)) {
        return NATIVE_SS;
    }
    return native->segment;
}

uint64_t x86_operand_offset(const struct x86_cpu *cpu, const struct x86_insn *insn)
{
    const struct native_insn *native = &insn->native;
    uint64_t offset = (uint64_t)(int64_t)native->disp;

    if (native->base == NATIVE_RIP) {
        offset = native->address;
    } else {
        if (native->base != NATIVE_NONE) {
            offset += cpu->state.reg[native->base & 15];
        }
        if (native->index != NATIVE_NONE) {
            offset += cpu->state.reg[native->index & 15] * native->scale;
        }
    }
    return offset & x86_size_mask(x86_address_size(cpu, insn));
}

uint64_t x86_operand_linear(const struct x86_cpu *cpu, const struct x86_insn *insn)
{
    struct x86_segment segment = effective_segment(cpu, x86_operand_segment(cpu, insn));
    uint64_t linear = segment.base + x86_operand_offset(cpu, insn);

    return x86_code64(cpu) ? linear : (uint32_t)linear;
}

bool x86_operand_read(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned more, void *to,
                      size_t size, struct x86_fault *fault)
{
    uint64_t offset = x86_operand_offset(cpu, insn) + more;

    return x86_seg_read(cpu, x86_operand_segment(cpu, insn),
                        offset & x86_size_mask(x86_address_size(cpu, insn)), to, size, fault);
}

bool x86_operand_write(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned more,
                       const void *from, size_t size, struct x86_fault *fault)
{
    uint64_t offset = x86_operand_offset(cpu, insn) + more;

    return x86_seg_write(cpu, x86_operand_segment(cpu, insn),
                         offset & x86_size_mask(x86_address_size(cpu, insn)), from, size, fault);
}

bool x86_operand_word(struct x86_cpu *cpu, const struct x86_insn *insn, uint16_t *value,
                      struct x86_fault *fault)
{
    if (insn->native.modrm == NATIVE_MODRM_REG) {
        *value = (uint16_t)cpu->state.reg[insn->native.rm];
        return true;
    }
    return x86_operand_read(cpu, insn, 0, value, sizeof *value, fault);
}

bool x86_system_operand(struct x86_cpu *cpu, const struct x86_insn *insn, uint64_t linear,
                        size_t size, unsigned access, struct x86_fault *fault)
{
    unsigned segment = x86_operand_segment(cpu, insn);
    uint64_t offset = linear - effective_segment(cpu, segment).base, again;

    if (!x86_code64(cpu)) {
        offset = (uint32_t)offset;
    }
    return locate(cpu, segment, offset, size, access, &again, fault);
}

/* --- code */

/* The bytes from RIP to the end of the segment, at most those of an instruction. */
static size_t code_room(const struct x86_cpu *cpu)
{
    uint64_t pc = cpu->state.pc, limit = cpu->system.segment[NATIVE_CS].limit;

    if (x86_code64(cpu)) {
        return x86_is_canonical(pc) ? X86_FETCH : 0;
    }
    return pc > limit ? 0 : limit - pc + 1 < X86_FETCH ? limit - pc + 1 : X86_FETCH;
}

size_t x86_fetch(struct x86_cpu *cpu, uint8_t bytes[X86_FETCH], struct x86_fault *fault)
{
    struct x86_segment cs = effective_segment(cpu, NATIVE_CS);
    uint64_t linear = cs.base + cpu->state.pc;
    size_t room = code_room(cpu), first, done;

    x86_raise_error(fault, X86_VECTOR_GP, 0);
    if (!x86_code64(cpu)) {
        linear = (uint32_t)linear;
    }
    first = PAGE - (linear & (PAGE - 1));
    done = room < first ? room : first;
    if (done == 0 || !x86_linear_read(cpu, linear, bytes, done, X86_ACCESS_EXECUTE, fault)) {
        return 0;
    }
    if (done < room) {
        linear += done;
        if (!x86_code64(cpu)) {
            linear = (uint32_t)linear;
        }
        if (x86_linear_read(cpu, linear, bytes + done, room - done, X86_ACCESS_EXECUTE, fault)) {
            done = room;
        }
    }
    if (done == room) {
        x86_raise_error(fault, X86_VECTOR_GP, 0);
    }
    return done;
}

/* --- stacks */

unsigned x86_stack_width(const struct x86_segment *ss, bool wide)
{
    return wide ? 8 : ss->attributes & X86_SEG_BIG ? 4 : 2;
}

void x86_stack_open(const struct x86_cpu *cpu, struct x86_stack *stack)
{
    stack->ss = effective_segment(cpu, NATIVE_SS);
    stack->width = (uint8_t)x86_stack_width(&stack->ss, x86_code64(cpu));
    stack->sp = x86_get_gpr(cpu, X86_RSP, stack->width);
    stack->access = 0;
    stack->error = 0;
}

void x86_stack_close(struct x86_cpu *cpu, const struct x86_stack *stack)
{
    x86_set_gpr(cpu, X86_RSP, stack->width, stack->sp);
}

static bool stack_linear(struct x86_cpu *cpu, const struct x86_stack *stack, uint64_t sp,
                         size_t size, unsigned access, uint64_t *linear, struct x86_fault *fault)
{
    if (!x86_segment_linear(cpu, &stack->ss, true, stack->error, stack->width == 8, sp, size,
                            access, linear, fault)) {
        return false;
    }
    return stack->access & X86_ACCESS_IMPLICIT || check_alignment(cpu, *linear, size, fault);
}

/* All in one piece, where nothing wraps and nothing is in the way. False: try one by one. */
static bool push_at_once(struct x86_cpu *cpu, struct x86_stack *stack, unsigned size,
                         const uint64_t *values, unsigned count)
{
    uint8_t bytes[X86_PUSHES * 8];
    unsigned total = size * count;
    struct x86_fault fault;
    uint64_t linear;

    if (stack->sp < total || cpu->system.mode & X86_MODE_WATCH ||
        !stack_linear(cpu, stack, stack->sp - total, total, X86_ACCESS_WRITE, &linear, &fault) ||
        (cpu->system.mode & X86_MODE_ALIGN && linear & (size - 1))) {
        return false;
    }
    for (unsigned i = 0; i < count; i++) {
        memcpy(bytes + size * (count - 1 - i), &values[i], size);
    }
    if (!x86_linear_write(cpu, linear, bytes, total, stack->access | X86_ACCESS_WRITE, &fault)) {
        return false;
    }
    stack->sp -= total;
    return true;
}

bool x86_push(struct x86_cpu *cpu, struct x86_stack *stack, unsigned size, const uint64_t *values,
              unsigned count, struct x86_fault *fault)
{
    uint64_t mask = x86_size_mask(stack->width), sp = stack->sp, linear[X86_PUSHES];

    if (push_at_once(cpu, stack, size, values, count)) {
        return true;
    }
    for (unsigned i = 0; i < count; i++) {
        sp = (sp - size) & mask;
        if (!stack_linear(cpu, stack, sp, size, X86_ACCESS_WRITE, &linear[i], fault) ||
            !x86_linear_probe(cpu, linear[i], size, stack->access | X86_ACCESS_WRITE, fault)) {
            return false;
        }
    }
    for (unsigned i = 0; i < count; i++) {
        if (!x86_linear_write(cpu, linear[i], &values[i], size, stack->access | X86_ACCESS_WRITE,
                              fault)) {
            return false;
        }
    }
    stack->sp = sp;
    return true;
}

bool x86_pop(struct x86_cpu *cpu, struct x86_stack *stack, unsigned size, uint64_t *values,
             unsigned count, struct x86_fault *fault)
{
    uint64_t mask = x86_size_mask(stack->width), sp = stack->sp, linear;

    for (unsigned i = 0; i < count; i++) {
        values[i] = 0;
        if (!stack_linear(cpu, stack, sp, size, X86_ACCESS_READ, &linear, fault) ||
            !x86_linear_read(cpu, linear, &values[i], size, stack->access, fault)) {
            return false;
        }
        sp = (sp + size) & mask;
    }
    stack->sp = sp;
    return true;
}
