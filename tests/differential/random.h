/* SPDX-License-Identifier: MIT
 *
 * Random numbers and states. Everything is a function of the seed. One struct, one thread.
 */
#ifndef DIFFERENTIAL_RANDOM_H
#define DIFFERENTIAL_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "machine.h"

struct random {
    uint64_t state;
};

/* A stream of numbers for this seed and these two numbers. */
struct random random_stream(uint64_t seed, uint64_t a, uint64_t b);

uint64_t random_bits(struct random *r);
/* 0 to limit - 1; limit is at least 1. */
unsigned random_below(struct random *r, unsigned limit);
/* True in `percent` of 100 cases. */
bool random_chance(struct random *r, unsigned percent);

/* An integer as programs and border cases have it: small, a power of two, all bits, few bits... */
uint64_t random_integer(struct random *r);

/* Bytes as vector registers and memory hold them: floating-point numbers of one width with their
 * special values, integers of one width, text, or anything. `size` is a multiple of 8. */
void random_vector(struct random *r, void *bytes, size_t size);

/* A legal MXCSR: each rounding mode, flush to zero, denormals are zero, masks and flags. */
uint32_t random_mxcsr(struct random *r);

/* x87: control, status and tag words and the registers, at their places in an XSAVE image. */
void random_x87(struct random *r, uint8_t *image);

/* The whole state but rip and what addresses want. */
void random_machine(struct random *r, struct machine *m);

#endif
