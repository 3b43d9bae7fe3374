/* SPDX-License-Identifier: MIT
 *
 * The x86 guest as the engine gets it, and what its files share for that.
 */
#ifndef GUEST_X86_GUEST_H
#define GUEST_X86_GUEST_H

#include "ir/guest.h"

/* Its config is a struct x86_model, its state a struct x86_cpu. */
extern const struct ir_guest x86_guest;

/* The same for system mode. */
extern const struct ir_guest x86_system_guest;

/* In ir_block.mode and ir_context.mode, beside the bits of the mode word: DF is set. Code does not
 * depend on A20, whose bit this is in the mode word. */
enum { X86_CODE_DOWN = 1 << 24 };

/* translate_system.c */
enum ir_translated x86_translate_system(const void *config, struct ir_block *block,
                                        const uint8_t *bytes, size_t size, unsigned limit);
/* Whether the instruction's memory is just the operand of modrm or of its address. */
struct native_insn;
bool x86_plain_memory(const struct native_insn *native);

/* branch.c, translate.c: see struct ir_guest. */
enum ir_translated x86_translate(const void *config, struct ir_block *block, const uint8_t *bytes,
                                 size_t size, unsigned limit);
bool x86_impossible_pc(uint64_t pc);
enum ir_led x86_led_there(const void *config, void *state, const uint8_t *bytes, size_t size,
                          uint64_t pc, bool undo, struct ir_fault *fault);

#endif
