/* SPDX-License-Identifier: MIT
 *
 * What the files of system mode share (soft.c says how registers are used): addresses, the TLB,
 * guest registers, the stack. Everything here leaves the flags alone.
 */
#ifndef HOST_X64_SOFT_H
#define HOST_X64_SOFT_H

#include "host/x64/internal.h"

enum { PAGE_SHIFT = 12, NO_HOME = 0xff, LONG = 8 };

/* Scratch registers; R8 is the home of the guest's RCX, R11 holds PAGE_SHIFT. */
enum { RCX = X64_RCX, GUEST_RCX = 8, R9 = 9, R10 = 10, R11 = 11 };

/* The home of a guest register; NO_HOME: the state block. */
unsigned x64_soft_home(unsigned reg);
/* The guest's register in a host register: its home, or loaded into `temp`. */
unsigned x64_soft_value_of(struct ir_code *code, unsigned reg, unsigned temp);

void x64_soft_shift_page(struct ir_code *code, unsigned to, unsigned from); /* SHRX by R11 */
void x64_soft_low_word(struct ir_code *code, unsigned to, unsigned from);   /* MOVZX */
/* MOV of 2, 4 or 8 bytes between registers; LEA; NOT. */
void x64_soft_move_sized(struct ir_code *code, unsigned to, unsigned from, unsigned size);
void x64_soft_sum(struct ir_code *code, unsigned to, unsigned base, unsigned index, int32_t disp,
                  bool wide);
void x64_soft_invert(struct ir_code *code, unsigned reg);
/* MOV reg, GS:[table + index*8]. */
void x64_soft_load_table(struct ir_code *code, unsigned reg, uint32_t table, unsigned index);
/* MOV of `size` bytes, zero-extended where it loads, between a register and [R9+R10]. */
void x64_soft_host_access(struct ir_code *code, unsigned reg, unsigned size, bool write);
void x64_soft_set_shift_count(struct ir_code *code);

/* Goes on right behind where RCX is 0; else leaves. */
void x64_soft_or_leave(struct x64_emit *e, unsigned cause, uint64_t target);

/* Bytes of the addresses that an instruction makes. */
unsigned x64_soft_address_size(const struct x64_emit *e, const struct native_insn *n);

/* The offset of the operand of modrm, zero-extended, into R9; the same as a linear address, for
 * `size` bytes; looked up: R9 + R10 is the host's. `last`: a register (not RCX) with the address of
 * the last byte. RCX, R9 and R10 are used up. */
void x64_soft_offset(struct x64_emit *e, const struct native_insn *n);
void x64_soft_add_segment(struct x64_emit *e, unsigned segment, unsigned size, bool write);
void x64_soft_look_up(struct x64_emit *e, unsigned size, bool write);
void x64_soft_look_up_to(struct x64_emit *e, unsigned last, unsigned size, bool write);
void x64_soft_operand(struct x64_emit *e, const struct native_insn *n);

/* RSP plus `change` as an offset into R9; RSP moved (RCX may be used up). */
void x64_soft_stack_offset(struct x64_emit *e, int32_t change);
void x64_soft_stack_move(struct x64_emit *e, int32_t change);

/* soft_string.c: string instructions, going up; bit strings. */
void x64_soft_string(struct x64_emit *e, const struct native_insn *n);
void x64_soft_bit_string(struct x64_emit *e, const struct native_insn *n);

/* soft_flags.c: operations on the guest's system flags. */
void x64_soft_change_bits(struct x64_emit *e, const struct ir_op *op);
void x64_soft_push_flags(struct x64_emit *e, const struct ir_op *op);
void x64_soft_pop_flags(struct x64_emit *e, const struct ir_op *op);
void x64_soft_get_word(struct x64_emit *e, const struct ir_op *op);
void x64_soft_store_byte(struct x64_emit *e, const struct ir_op *op);
void x64_soft_budget(struct x64_emit *e, const struct ir_op *op);
void x64_soft_leave_if(struct x64_emit *e, const struct ir_op *op);

#endif
