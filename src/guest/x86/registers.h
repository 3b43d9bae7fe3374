/* SPDX-License-Identifier: MIT
 *
 * Registers by name, and the register dump. For the thread that runs the vCPU, outside translated
 * code; the table itself for any.
 */
#ifndef GUEST_X86_REGISTERS_H
#define GUEST_X86_REGISTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest/x86/x86.h"

struct strbuf;

enum x86_register_group {
    X86_GROUP_GENERAL,
    X86_GROUP_SEGMENT,
    X86_GROUP_FLOAT,
    X86_GROUP_VECTOR,
    X86_GROUP_PART, /* a part of another register */
};

/* Where the value is; `at` means: */
enum x86_register_kind {
    X86_REGISTER_PLAIN,    /* an offset in struct x86_cpu */
    X86_REGISTER_RFLAGS,   /* nothing: it is put together */
    X86_REGISTER_SELECTOR, /* the segment, enum native_segment */
    X86_REGISTER_ST,       /* i of ST(i) */
    X86_REGISTER_MM,       /* the physical x87 register */
    X86_REGISTER_FPU_WORD, /* an offset in the XSAVE image: 16 bits */
    X86_REGISTER_FPU_LOW,  /* alike: low half of a pointer of 64 bits */
    X86_REGISTER_FPU_HIGH, /* alike: its high half */
    X86_REGISTER_FPU_64,   /* alike: all of it */
    X86_REGISTER_FPU_TAGS, /* nothing: the tag word in full */
    X86_REGISTER_MXCSR,
    X86_REGISTER_XMM, /* the number */
    X86_REGISTER_YMM,
    X86_REGISTER_YMM_HIGH,
};

struct x86_register {
    const char *name; /* lower case */
    uint16_t bits;    /* a multiple of 8, at most 256 */
    uint16_t at;
    uint8_t kind;  /* enum x86_register_kind */
    uint8_t group; /* enum x86_register_group */
    int16_t gdb;   /* number in gdb's protocol; -1: none */
    int16_t dwarf; /* number in DWARF; -1: none */
};

enum { X86_REGISTER_BYTES = 32 }; /* of the longest */

extern const struct x86_register x86_registers[];
extern const size_t x86_register_count;

/* NULL: there is none of this name. */
const struct x86_register *x86_register_find(const char *name);

/* The value in little-endian order; returns its size in bytes. */
size_t x86_register_read(const struct x86_cpu *cpu, const struct x86_register *reg,
                         uint8_t value[X86_REGISTER_BYTES]);

/* Sets reg from bits / 8 bytes. Parts leave the rest of their register alone; bits that user mode
 * cannot change keep their value (RFLAGS, reserved bits of MXCSR and of the x87 control word). A
 * selector is taken as it is. */
void x86_register_write(struct x86_cpu *cpu, const struct x86_register *reg, const uint8_t *value);

enum { X86_PRINT_FPU = 1 }; /* x87 and vector registers too: -d fpu */

/* Appends the block of -d cpu: lines in QEMU's form. */
void x86_print_state(const struct x86_cpu *cpu, struct strbuf *text, unsigned flags);

#endif
