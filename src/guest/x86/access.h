/* SPDX-License-Identifier: MIT
 *
 * Memory as instructions of system mode reach it: through segments with their limits and rights,
 * and by linear addresses; stacks. All return false with the exact fault, and then no byte has
 * changed: both pages of an access that crosses are translated before.
 */
#ifndef GUEST_X86_ACCESS_H
#define GUEST_X86_ACCESS_H

#include "guest/x86/helpers.h"
#include "guest/x86/paging.h"
#include "guest/x86/system.h"
#include "guest/x86/x86.h"

/* --- what mode is it */

static inline bool x86_protected(const struct x86_cpu *cpu)
{
    return cpu->system.cr0 & X86_CR0_PE;
}

static inline bool x86_v86(const struct x86_cpu *cpu)
{
    return cpu->system_flags & X86_FLAG_VM;
}

/* Segments are 16 times their selector. */
static inline bool x86_real(const struct x86_cpu *cpu)
{
    return !x86_protected(cpu) || x86_v86(cpu);
}

static inline bool x86_long(const struct x86_cpu *cpu)
{
    return cpu->system.efer & X86_EFER_LMA;
}

static inline bool x86_code64(const struct x86_cpu *cpu)
{
    return x86_long(cpu) && cpu->system.segment[NATIVE_CS].attributes & X86_SEG_LONG;
}

enum x86_mode x86_code_mode(const struct x86_cpu *cpu);

static inline unsigned x86_iopl(const struct x86_cpu *cpu)
{
    return cpu->system_flags >> 12 & 3;
}

/* --- faults: fill it, return false */

static inline bool x86_raise_error(struct x86_fault *fault, unsigned vector, uint32_t error)
{
    *fault = (struct x86_fault){.vector = vector, .error = error, .has_error = true};
    return false;
}

/* Without error code. */
static inline bool x86_raise_plain(struct x86_fault *fault, unsigned vector)
{
    *fault = (struct x86_fault){.vector = vector};
    return false;
}

static inline bool x86_raise_db(struct x86_fault *fault, uint64_t dr6)
{
    *fault = (struct x86_fault){.vector = X86_VECTOR_DB, .address = dr6};
    return false;
}

/* --- linear addresses */

/* Somebody sees each access by itself: they are made one by one. */
static inline bool x86_watched(const struct x86_cpu *cpu)
{
    return cpu->system.telling || cpu->system.mode & X86_MODE_WATCH;
}

/* A repeated instruction has come to the end of one turn. */
void x86_turn_done(const struct x86_cpu *cpu);

/* An access that is made without the functions below: tells of it before; or of both of a read and
 * a write when they are done. */
void x86_tell_before(const struct x86_cpu *cpu, uint64_t linear, size_t size, bool write);
void x86_tell(const struct x86_cpu *cpu, uint64_t linear, size_t size, const void *was,
              const void *is);

/* Up to 4096 bytes. */
bool x86_linear_read(struct x86_cpu *cpu, uint64_t linear, void *to, size_t size, unsigned access,
                     struct x86_fault *fault);
bool x86_linear_write(struct x86_cpu *cpu, uint64_t linear, const void *from, size_t size,
                      unsigned access, struct x86_fault *fault);
bool x86_linear_probe(struct x86_cpu *cpu, uint64_t linear, size_t size, unsigned access,
                      struct x86_fault *fault);

/* Sets bits of a byte, or clears them, atomically, as the system (descriptors). */
bool x86_linear_change(struct x86_cpu *cpu, uint64_t linear, uint8_t set, uint8_t clear,
                       struct x86_fault *fault);

/* The bytes of the instruction at CS:RIP, as many as can be fetched, up to 15; fewer: `fault` is
 * what the fetch of the next one would raise (#GP beyond the limit, #PF). A and the rights are
 * those of an instruction fetch. */
enum { X86_FETCH = 15 };
size_t x86_fetch(struct x86_cpu *cpu, uint8_t bytes[X86_FETCH], struct x86_fault *fault);

/* --- through segments */

/* The linear address of `size` bytes at an offset; `stack`: faults are #SS, else #GP, with `error`.
 * In 64-bit mode canonical, else within limit and rights. `access` says which. */
bool x86_segment_linear(const struct x86_cpu *cpu, const struct x86_segment *segment, bool stack,
                        uint32_t error, bool wide, uint64_t offset, size_t size, unsigned access,
                        uint64_t *linear, struct x86_fault *fault);

/* As the program, with its alignment check. */
bool x86_seg_read(struct x86_cpu *cpu, unsigned segment, uint64_t offset, void *to, size_t size,
                  struct x86_fault *fault);
bool x86_seg_write(struct x86_cpu *cpu, unsigned segment, uint64_t offset, const void *from,
                   size_t size, struct x86_fault *fault);
bool x86_seg_probe(struct x86_cpu *cpu, unsigned segment, uint64_t offset, size_t size,
                   struct x86_fault *fault);

/* The linear address, with the checks of the segment but without that of alignment. */
bool x86_seg_linear(const struct x86_cpu *cpu, unsigned segment, uint64_t offset, size_t size,
                    unsigned access, uint64_t *linear, struct x86_fault *fault);

/* How many bytes of RAM, `most` (not 0) at most, follow each other at *host from an offset on: to
 * the end of the page. 0: there is something in the way, which may be a fault; to be found out
 * otherwise. Neither alignment nor breakpoints are looked at. */
size_t x86_seg_run(struct x86_cpu *cpu, unsigned segment, uint64_t offset, size_t most,
                   unsigned access, uint8_t **host);

/* The operand of modrm. */
unsigned x86_operand_segment(const struct x86_cpu *cpu, const struct x86_insn *insn);
uint64_t x86_operand_offset(const struct x86_cpu *cpu, const struct x86_insn *insn);
uint64_t x86_operand_linear(const struct x86_cpu *cpu, const struct x86_insn *insn);
bool x86_operand_read(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned more, void *to,
                      size_t size, struct x86_fault *fault);
bool x86_operand_write(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned more,
                       const void *from, size_t size, struct x86_fault *fault);
/* A register or memory of 2 bytes. */
bool x86_operand_word(struct x86_cpu *cpu, const struct x86_insn *insn, uint16_t *value,
                      struct x86_fault *fault);

/* For helpers.c: the same by linear address, with the checks of the operand's segment. */
bool x86_system_operand(struct x86_cpu *cpu, const struct x86_insn *insn, uint64_t linear,
                        size_t size, unsigned access, struct x86_fault *fault);

/* Address size of the instruction in bytes, and a mask of it. */
unsigned x86_address_size(const struct x86_cpu *cpu, const struct x86_insn *insn);
static inline uint64_t x86_size_mask(unsigned size)
{
    return size >= 8 ? ~UINT64_C(0) : (UINT64_C(1) << 8 * size) - 1;
}

/* Reads a register by size, zero-extended. */
static inline uint64_t x86_get_gpr(const struct x86_cpu *cpu, unsigned number, unsigned size)
{
    return cpu->state.reg[number] & x86_size_mask(size);
}

/* --- stacks */

/* A stack that need not be the current one. */
struct x86_stack {
    struct x86_segment ss;
    uint64_t sp;
    unsigned access; /* 0, or X86_ACCESS_IMPLICIT for the stack of a gate */
    uint32_t error;  /* of #SS */
    uint8_t width;   /* of SP in bytes: 2, 4, 8 */
};

void x86_stack_open(const struct x86_cpu *cpu, struct x86_stack *stack);
/* The width of SP with this segment in SS; `wide`: in 64-bit code. */
unsigned x86_stack_width(const struct x86_segment *ss, bool wide);

/* `count` values of `size` bytes, the first at the highest address. sp moves. */
enum { X86_PUSHES = 40 };
bool x86_push(struct x86_cpu *cpu, struct x86_stack *stack, unsigned size, const uint64_t *values,
              unsigned count, struct x86_fault *fault);
bool x86_pop(struct x86_cpu *cpu, struct x86_stack *stack, unsigned size, uint64_t *values,
             unsigned count, struct x86_fault *fault);
/* Makes sp the register's. */
void x86_stack_close(struct x86_cpu *cpu, const struct x86_stack *stack);

#endif
