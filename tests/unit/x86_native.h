/* SPDX-License-Identifier: MIT
 *
 * One instruction on the real CPU, with all general registers, the arithmetic flags and DF, and if
 * wanted the x87, SSE and AVX state as given: what the same instruction in C is compared with. Not
 * for several threads, and not for instructions that branch. */
#ifndef X86_NATIVE_H
#define X86_NATIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct native_registers {
    uint64_t reg[16]; /* as encoded */
    uint64_t flags;   /* enum native_flag */
    uint8_t *image;   /* of XSAVE, with 832 bytes at a multiple of 64; NULL: any state */
    uint64_t address; /* of the page fault */
};

/* Executes the bytes, fewer than 16, as 64-bit code on `registers`. False: it has faulted, and
 * `address` and the registers are as then. */
bool native_run(struct native_registers *registers, const void *bytes, size_t size);

/* The same as 32-bit code, in compatibility mode; it must not fault. Of the registers the lower
 * halves count. */
void native_run32(struct native_registers *registers, const void *bytes, size_t size);

/* Maps `size` bytes of zeros where a guest of machine_open() has RAM too: addresses are the same
 * for both. To be unmapped by the caller. */
uint8_t *native_map(uint64_t address, size_t size);

#endif
