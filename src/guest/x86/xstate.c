/* SPDX-License-Identifier: MIT
 *
 * Access to the XSAVE image of a CPU record. */
#include "guest/x86/xstate.h"

#include <string.h>

enum {
    FSW_ERRORS = 0x003f,
    FSW_ES = 0x0080,
    FSW_TOP = 0x3800,
    FSW_B = 0x8000,
    FCW_VALID = 0x1f3f,
    FCW_ALWAYS = 0x0040,
};

/* The bytes of each component beside MXCSR. */
static const struct range {
    uint8_t component;
    uint16_t at, size;
} ranges[] = {
    {X86_XSTATE_X87, X86_XSTATE_FCW, 24},
    {X86_XSTATE_X87, X86_XSTATE_ST, 128},
    {X86_XSTATE_SSE, X86_XSTATE_XMM, 256},
    {X86_XSTATE_AVX, X86_XSTATE_YMM, 256},
};
static const unsigned range_count = sizeof ranges / sizeof *ranges;

uint64_t x86_xstate_bv(const uint8_t *image)
{
    uint64_t bv;

    memcpy(&bv, image + X86_XSTATE_HEADER, sizeof bv);
    return bv;
}

static void set_bv(uint8_t *image, uint64_t bv)
{
    memcpy(image + X86_XSTATE_HEADER, &bv, sizeof bv);
}

/* Gives the component its initial configuration as bytes; the bit is left to the caller. */
static void fill_initial(uint8_t *image, uint64_t component)
{
    for (unsigned i = 0; i < range_count; i++) {
        if (ranges[i].component == component) {
            memset(image + ranges[i].at, 0, ranges[i].size);
        }
    }
    if (component == X86_XSTATE_X87) {
        uint16_t fcw = X86_FCW_INIT;
        memcpy(image + X86_XSTATE_FCW, &fcw, sizeof fcw);
    }
}

/* Makes the bytes of the component valid before they are written. */
static void use(uint8_t *image, uint64_t component)
{
    uint64_t bv = x86_xstate_bv(image);

    if (!(bv & component)) {
        fill_initial(image, component);
        set_bv(image, bv | component);
    }
}

void x86_xstate_reset(uint8_t *image)
{
    memset(image, 0, X86_XSTATE_SIZE);
    fill_initial(image, X86_XSTATE_X87);
    x86_xstate_set_mxcsr(image, X86_MXCSR_INIT);
}

void x86_xstate_normalise(uint8_t *image)
{
    use(image, X86_XSTATE_X87);
    use(image, X86_XSTATE_SSE);
    use(image, X86_XSTATE_AVX);
}

static bool is_initial(const uint8_t *image, const struct range *range)
{
    for (unsigned i = range->at; i < range->at + range->size; i++) {
        if (image[i] != (i == X86_XSTATE_FCW       ? X86_FCW_INIT & 255
                         : i == X86_XSTATE_FCW + 1 ? X86_FCW_INIT >> 8
                                                   : 0)) {
            return false;
        }
    }
    return true;
}

uint64_t x86_xstate_in_use(const uint8_t *image)
{
    uint64_t bv = x86_xstate_bv(image), used = 0;

    for (unsigned i = 0; i < range_count; i++) {
        if (bv & ranges[i].component && !is_initial(image, &ranges[i])) {
            used |= ranges[i].component;
        }
    }
    return used;
}

/* Reads `size` bytes of a component; an initial one is zeros but for FCW. */
static void get(const uint8_t *image, uint64_t component, unsigned at, void *to, unsigned size)
{
    if (x86_xstate_bv(image) & component) {
        memcpy(to, image + at, size);
        return;
    }
    memset(to, 0, size);
    if (at == X86_XSTATE_FCW) {
        uint16_t fcw = X86_FCW_INIT;
        memcpy(to, &fcw, sizeof fcw);
    }
}

static void set(uint8_t *image, uint64_t component, unsigned at, const void *from, unsigned size)
{
    use(image, component);
    memcpy(image + at, from, size);
}

uint16_t x86_xstate_word(const uint8_t *image, unsigned at)
{
    uint16_t value;

    get(image, X86_XSTATE_X87, at, &value, sizeof value);
    return value;
}

void x86_xstate_set_word(uint8_t *image, unsigned at, uint16_t value)
{
    set(image, X86_XSTATE_X87, at, &value, sizeof value);
}

uint64_t x86_xstate_pointer(const uint8_t *image, unsigned at)
{
    uint64_t value;

    get(image, X86_XSTATE_X87, at, &value, sizeof value);
    return value;
}

void x86_xstate_set_pointer(uint8_t *image, unsigned at, uint64_t value)
{
    set(image, X86_XSTATE_X87, at, &value, sizeof value);
}

/* SDM vol. 1, 8.1.7: zero; special: NaN, infinity, denormal, unsupported; else valid. */
static unsigned classify(const uint8_t value[10])
{
    uint64_t significand;
    uint16_t exponent;

    memcpy(&significand, value, sizeof significand);
    memcpy(&exponent, value + 8, sizeof exponent);
    exponent &= 0x7fff;
    if (exponent == 0 && significand == 0) {
        return 1;
    }
    return exponent == 0 || exponent == 0x7fff || !(significand >> 63) ? 2 : 0;
}

static unsigned top_of(const uint8_t *image)
{
    return x86_xstate_word(image, X86_XSTATE_FSW) >> 11 & 7;
}

uint16_t x86_xstate_tags(const uint8_t *image)
{
    uint16_t abridged = x86_xstate_word(image, X86_XSTATE_FTW), tags = 0;
    unsigned top = top_of(image);

    for (unsigned i = 0; i < 8; i++) {
        unsigned tag = 3;
        if (abridged >> i & 1) {
            uint8_t value[10];
            x86_xstate_get_st(image, (i - top) & 7, value);
            tag = classify(value);
        }
        tags |= (uint16_t)(tag << 2 * i);
    }
    return tags;
}

void x86_xstate_set_tags(uint8_t *image, uint16_t tags)
{
    uint16_t abridged = 0;

    for (unsigned i = 0; i < 8; i++) {
        abridged |= (uint16_t)(((tags >> 2 * i & 3) != 3) << i);
    }
    x86_xstate_set_word(image, X86_XSTATE_FTW, abridged);
}

void x86_xstate_get_st(const uint8_t *image, unsigned i, uint8_t value[10])
{
    get(image, X86_XSTATE_X87, X86_XSTATE_ST + 16 * i, value, 10);
}

void x86_xstate_set_st(uint8_t *image, unsigned i, const uint8_t value[10])
{
    set(image, X86_XSTATE_X87, X86_XSTATE_ST + 16 * i, value, 10);
}

void x86_xstate_get_mm(const uint8_t *image, unsigned n, uint8_t value[8])
{
    unsigned st = (n - top_of(image)) & 7;

    get(image, X86_XSTATE_X87, X86_XSTATE_ST + 16 * st, value, 8);
}

/* The image has the registers in the order of the stack: with TOP = 0 that is the physical one. */
static void unroll_stack(uint8_t *image)
{
    uint8_t old[128];
    unsigned top = top_of(image);

    use(image, X86_XSTATE_X87);
    memcpy(old, image + X86_XSTATE_ST, sizeof old);
    for (unsigned i = 0; i < 8; i++) {
        memcpy(image + X86_XSTATE_ST + 16 * i, old + 16 * ((i - top) & 7), 16);
    }
}

void x86_xstate_enter_mmx(uint8_t *image)
{
    unroll_stack(image);
    x86_xstate_set_word(image, X86_XSTATE_FSW,
                        x86_xstate_word(image, X86_XSTATE_FSW) & (uint16_t)~FSW_TOP);
    x86_xstate_set_word(image, X86_XSTATE_FTW, 0xff);
}

uint32_t x86_xstate_mxcsr(const uint8_t *image)
{
    uint32_t value;

    memcpy(&value, image + X86_XSTATE_MXCSR, sizeof value);
    return value;
}

void x86_xstate_set_mxcsr(uint8_t *image, uint32_t value)
{
    memcpy(image + X86_XSTATE_MXCSR, &value, sizeof value);
}

void x86_xstate_get_xmm(const uint8_t *image, unsigned n, uint8_t value[16])
{
    get(image, X86_XSTATE_SSE, X86_XSTATE_XMM + 16 * n, value, 16);
}

void x86_xstate_set_xmm(uint8_t *image, unsigned n, const uint8_t value[16])
{
    set(image, X86_XSTATE_SSE, X86_XSTATE_XMM + 16 * n, value, 16);
}

void x86_xstate_get_ymm_high(const uint8_t *image, unsigned n, uint8_t value[16])
{
    get(image, X86_XSTATE_AVX, X86_XSTATE_YMM + 16 * n, value, 16);
}

void x86_xstate_set_ymm_high(uint8_t *image, unsigned n, const uint8_t value[16])
{
    set(image, X86_XSTATE_AVX, X86_XSTATE_YMM + 16 * n, value, 16);
}

void x86_xstate_get_ymm(const uint8_t *image, unsigned n, uint8_t value[32])
{
    x86_xstate_get_xmm(image, n, value);
    x86_xstate_get_ymm_high(image, n, value + 16);
}

void x86_xstate_set_ymm(uint8_t *image, unsigned n, const uint8_t value[32])
{
    x86_xstate_set_xmm(image, n, value);
    x86_xstate_set_ymm_high(image, n, value + 16);
}

void x86_xstate_fninit(uint8_t *image)
{
    unroll_stack(image);
    memset(image, 0, 24);
    x86_xstate_set_word(image, X86_XSTATE_FCW, X86_FCW_INIT);
}

bool x86_xstate_pending(const uint8_t *image)
{
    uint16_t fcw = x86_xstate_word(image, X86_XSTATE_FCW);
    uint16_t fsw = x86_xstate_word(image, X86_XSTATE_FSW);

    return fsw & ~fcw & FSW_ERRORS;
}

void x86_xstate_settle_x87(uint8_t *image)
{
    uint16_t fcw = x86_xstate_word(image, X86_XSTATE_FCW);
    uint16_t fsw = x86_xstate_word(image, X86_XSTATE_FSW);

    fcw = (fcw & FCW_VALID) | FCW_ALWAYS;
    fsw &= (uint16_t) ~(FSW_ES | FSW_B);
    if (fsw & ~fcw & FSW_ERRORS) {
        fsw |= FSW_ES | FSW_B;
    }
    x86_xstate_set_word(image, X86_XSTATE_FCW, fcw);
    x86_xstate_set_word(image, X86_XSTATE_FSW, fsw);
}

void x86_xstate_to_fxsave(const uint8_t *image, uint8_t fxsave[512])
{
    memset(fxsave, 0, 512);
    get(image, X86_XSTATE_X87, X86_XSTATE_FCW, fxsave, 24);
    memcpy(fxsave + X86_XSTATE_MXCSR, image + X86_XSTATE_MXCSR, 8);
    get(image, X86_XSTATE_X87, X86_XSTATE_ST, fxsave + X86_XSTATE_ST, 128);
    get(image, X86_XSTATE_SSE, X86_XSTATE_XMM, fxsave + X86_XSTATE_XMM, 256);
}

void x86_xstate_from_fxsave(uint8_t *image, const uint8_t fxsave[512])
{
    set(image, X86_XSTATE_X87, X86_XSTATE_FCW, fxsave, 24);
    set(image, X86_XSTATE_X87, X86_XSTATE_ST, fxsave + X86_XSTATE_ST, 128);
    set(image, X86_XSTATE_SSE, X86_XSTATE_XMM, fxsave + X86_XSTATE_XMM, 256);
    memcpy(image + X86_XSTATE_MXCSR, fxsave + X86_XSTATE_MXCSR, 4);
    x86_xstate_settle_x87(image);
}
