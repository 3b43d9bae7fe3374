/* SPDX-License-Identifier: MIT
 *
 * One instruction of 64-bit code on the real CPU, with all general registers, the arithmetic flags
 * and DF as given: what the same instruction in C is compared with. Not for several threads, and
 * not for instructions that branch or fault. */
#ifndef X86_NATIVE_H
#define X86_NATIVE_H

#include <stddef.h>
#include <stdint.h>

struct native_registers {
    uint64_t reg[16]; /* as encoded */
    uint64_t flags;   /* enum native_flag */
};

/* Executes the bytes, fewer than 16, on `registers`. */
void native_run(struct native_registers *registers, const void *bytes, size_t size);

/* Maps `size` bytes of zeros where a guest of machine_open() has RAM too: addresses are the same
 * for both. To be unmapped by the caller. */
uint8_t *native_map(uint64_t address, size_t size);

#endif
