/* SPDX-License-Identifier: MIT
 *
 * The x87, SSE and AVX state of a CPU record: an XSAVE image in standard form (SDM vol. 1, 13.4).
 *
 *      0  FCW  FSW  FTW  -  FOP    FIP          x87
 *     16  FDP             MXCSR    MXCSR_MASK
 *     32  ST(0) to ST(7), 16 bytes each         x87
 *    160  XMM0 to XMM15                         SSE
 *    512  XSTATE_BV  XCOMP_BV = 0  ...          header
 *    576  upper halves of YMM0 to YMM15         AVX
 *
 * A component whose bit in XSTATE_BV is clear is in its initial configuration, whatever its bytes
 * are; reading functions know that, writing ones set the bit. MXCSR is always valid. FTW is the
 * abridged form, a bit a physical register, 1: not empty. FIP and FDP are of 64 bits (REX.W).
 *
 * All take the image (state.vector) and are for the thread that runs the vCPU, outside translated
 * code.
 */
#ifndef GUEST_X86_XSTATE_H
#define GUEST_X86_XSTATE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    X86_XSTATE_X87 = 1,
    X86_XSTATE_SSE = 2,
    X86_XSTATE_AVX = 4,
    X86_XSTATE_ALL = 7,

    X86_XSTATE_FCW = 0,
    X86_XSTATE_FSW = 2,
    X86_XSTATE_FTW = 4,
    X86_XSTATE_FOP = 6,
    X86_XSTATE_FIP = 8,
    X86_XSTATE_FDP = 16,
    X86_XSTATE_MXCSR = 24,
    X86_XSTATE_MXCSR_MASK = 28,
    X86_XSTATE_ST = 32,
    X86_XSTATE_XMM = 160,
    X86_XSTATE_FXSAVE_WRITES = 416, /* bytes that FXSAVE stores */
    X86_XSTATE_HEADER = 512,
    X86_XSTATE_YMM = 576,
    X86_XSTATE_SIZE = 832,

    X86_FCW_INIT = 0x37f,
    X86_MXCSR_INIT = 0x1f80,
};

/* The image of a CPU after reset, as user mode finds it: all components initial. */
void x86_xstate_reset(uint8_t *image);

uint64_t x86_xstate_bv(const uint8_t *image);

/* Gives components in initial configuration the bytes of it, and sets their bits: everything can be
 * read and written directly then. */
void x86_xstate_normalise(uint8_t *image);

/* The components that differ from their initial configuration, by value. MXCSR does not count. */
uint64_t x86_xstate_in_use(const uint8_t *image);

/* 16-bit x87 registers: `at` is X86_XSTATE_FCW, FSW, FTW (abridged) or FOP. */
uint16_t x86_xstate_word(const uint8_t *image, unsigned at);
void x86_xstate_set_word(uint8_t *image, unsigned at, uint16_t value);

/* X86_XSTATE_FIP, FDP. */
uint64_t x86_xstate_pointer(const uint8_t *image, unsigned at);
void x86_xstate_set_pointer(uint8_t *image, unsigned at, uint64_t value);

/* The tag word in full, two bits a physical register: 0 valid, 1 zero, 2 special, 3 empty. The
 * abridged form only knows empty or not. */
uint16_t x86_xstate_tags(const uint8_t *image);
void x86_xstate_set_tags(uint8_t *image, uint16_t tags);

/* ST(i), 0 to 7: 10 bytes. Setting leaves the tag alone. */
void x86_xstate_get_st(const uint8_t *image, unsigned i, uint8_t value[10]);
void x86_xstate_set_st(uint8_t *image, unsigned i, const uint8_t value[10]);

/* MM0 to MM7. */
void x86_xstate_get_mm(const uint8_t *image, unsigned n, uint8_t value[8]);
/* What every MMX instruction does: TOP is 0, and no register empty. The physical registers keep
 * their contents. */
void x86_xstate_enter_mmx(uint8_t *image);

uint32_t x86_xstate_mxcsr(const uint8_t *image);
void x86_xstate_set_mxcsr(uint8_t *image, uint32_t value);

/* XMM n and YMM n, 0 to 15. Setting XMM leaves the upper half alone. */
void x86_xstate_get_xmm(const uint8_t *image, unsigned n, uint8_t value[16]);
void x86_xstate_set_xmm(uint8_t *image, unsigned n, const uint8_t value[16]);
void x86_xstate_get_ymm(const uint8_t *image, unsigned n, uint8_t value[32]);
void x86_xstate_set_ymm(uint8_t *image, unsigned n, const uint8_t value[32]);
void x86_xstate_get_ymm_high(const uint8_t *image, unsigned n, uint8_t value[16]);
void x86_xstate_set_ymm_high(uint8_t *image, unsigned n, const uint8_t value[16]);

/* FNINIT: the registers keep their contents, but TOP is 0 and all are empty. */
void x86_xstate_fninit(uint8_t *image);

/* What the x87 unit makes of control and status word when they are loaded: reserved bits, and ES
 * and B, which say whether an unmasked exception is pending. */
void x86_xstate_settle_x87(uint8_t *image);

/* True while an unmasked x87 exception is pending. */
bool x86_xstate_pending(const uint8_t *image);

/* The 512 bytes of FXSAVE64 of this state; MXCSR_MASK is the image's. */
void x86_xstate_to_fxsave(const uint8_t *image, uint8_t fxsave[512]);

/* Takes x87, XMM and MXCSR from an FXSAVE64 image; the upper halves of YMM stay. */
void x86_xstate_from_fxsave(uint8_t *image, const uint8_t fxsave[512]);

#endif
