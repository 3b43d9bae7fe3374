/* SPDX-License-Identifier: MIT
 *
 * Random states: integers and floating-point numbers that are often near a border. */
#include <string.h>

#include "random.h"

uint64_t random_bits(struct random *r)
{
    uint64_t x = r->state += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

struct random random_stream(uint64_t seed, uint64_t a, uint64_t b)
{
    struct random r = {seed};

    r.state = random_bits(&r) ^ a;
    r.state = random_bits(&r) ^ b;
    r.state = random_bits(&r);
    return r;
}

unsigned random_below(struct random *r, unsigned limit)
{
    return (random_bits(r) >> 32) * limit >> 32;
}

bool random_chance(struct random *r, unsigned percent)
{
    return random_below(r, 100) < percent;
}

uint64_t random_integer(struct random *r)
{
    uint64_t x = random_bits(r);

    switch (random_below(r, 10)) {
    case 0: return x & 0xff;
    case 1: return -(x & 0xff);
    case 2: return UINT64_C(1) << (x & 63);
    case 3: return (UINT64_C(1) << (x & 63)) - 1 + (x >> 62);
    case 4: return (int64_t)x >> (x & 63);
    case 5: return x >> (x & 63);
    case 6: return x & random_bits(r) & random_bits(r);
    case 7: return (uint32_t)x;
    default: return x;
    }
}

/* The bits of a number with `fraction` and `exponent` bits below a sign. */
static uint64_t random_float(struct random *r, unsigned exponent, unsigned fraction)
{
    uint64_t x = random_bits(r);
    uint64_t sign = x >> 63 << (exponent + fraction);
    uint64_t low = random_bits(r) & ((UINT64_C(1) << fraction) - 1);
    uint64_t top = (UINT64_C(1) << exponent) - 1;
    uint64_t power = x & top;

    switch (random_below(r, 12)) {
    case 0: power = 0, low = 0; break;
    case 1: power = 0; break; /* denormal */
    case 2: power = top, low = 0; break;
    case 3: power = top, low = low | 1; break; /* NaN, quiet or not */
    case 4: power = top - random_below(r, 3); break;
    case 5: power = 1 + random_below(r, fraction + 2); break;
    case 6: break;
    case 7: power = top / 2, low = 0; break;
    default: /* sizes that meet each other, and integers */
        power = top / 2 - 4 + random_below(r, 40 < top / 2 ? 40 : top / 2);
        if (random_chance(r, 50))
            low &= ~UINT64_C(0) << random_below(r, fraction);
        low &= (UINT64_C(1) << fraction) - 1;
    }
    return sign | (power & top) << fraction | low;
}

/* Eight bytes of the given flavour. */
static uint64_t random_word(struct random *r, unsigned flavour)
{
    uint64_t x = 0;

    switch (flavour) {
    case 0: return random_float(r, 11, 52);
    case 1: return random_float(r, 8, 23) | random_float(r, 8, 23) << 32;
    case 2:
        for (int i = 0; i < 64; i += 16)
            x |= random_float(r, 5, 10) << i;
        return x;
    case 3: /* text with ends, for the string instructions */
        for (int i = 0; i < 64; i += 8)
            x |= (uint64_t)(random_chance(r, 10) ? 0 : 'a' + random_below(r, 5)) << i;
        return x;
    case 4:
        for (int i = 0; i < 64; i += 8)
            x |= (random_integer(r) & 0xff) << i;
        return x;
    case 5:
        for (int i = 0; i < 64; i += 16)
            x |= (random_integer(r) & 0xffff) << i;
        return x;
    case 6: return (uint32_t)random_integer(r) | random_integer(r) << 32;
    case 7: return random_integer(r);
    case 8: return random_chance(r, 50) ? 0 : ~UINT64_C(0);
    default: return random_bits(r);
    }
}

void random_vector(struct random *r, void *bytes, size_t size)
{
    unsigned flavour = random_below(r, 12);

    for (size_t i = 0; i + 8 <= size; i += 8) {
        uint64_t x = random_word(r, flavour);
        memcpy((uint8_t *)bytes + i, &x, 8);
    }
}

uint32_t random_mxcsr(struct random *r)
{
    uint32_t x = random_bits(r) & 0xffff;

    return random_chance(r, 70) ? x | 0x1f80 : x;
}

static void random_extended(struct random *r, uint8_t bytes[10])
{
    uint64_t fraction = random_bits(r) | UINT64_C(1) << 63;
    uint16_t power = random_bits(r) & 0x7fff;
    uint16_t sign = random_bits(r) & 0x8000;

    switch (random_below(r, 12)) {
    case 0: power = 0, fraction = 0; break;
    case 1: power = 0, fraction &= ~(UINT64_C(1) << 63); break;
    case 2: power = 0x7fff, fraction = UINT64_C(1) << 63; break;
    case 3: power = 0x7fff; break;
    case 4: fraction &= ~(UINT64_C(1) << 63); break; /* unsupported */
    case 5: power = 0x7fff - random_below(r, 3); break;
    case 6: break;
    case 7: power = random_below(r, 80); break;
    default:
        power = 0x3fff - 10 + random_below(r, 80);
        fraction &= ~UINT64_C(0) << random_below(r, 64);
    }
    power |= sign;
    memcpy(bytes, &fraction, 8);
    memcpy(bytes + 8, &power, 2);
}

static void put16(uint8_t *image, int place, unsigned value)
{
    image[place] = value;
    image[place + 1] = value >> 8;
}

void random_x87(struct random *r, uint8_t *image)
{
    unsigned control = (random_bits(r) & 0x0f3f) | 0x40;
    unsigned status = random_bits(r) & 0x7f7f;

    if (random_chance(r, 80))
        control |= 0x3f;
    if (random_chance(r, 60))
        control |= 0x300;
    if (status & ~control & 0x3f) {
        if (random_chance(r, 80))
            status &= ~0x3f;
        else
            status |= 0x8080; /* ES and B: the next waiting instruction raises #MF */
    }
    put16(image, MACHINE_FCW, control);
    put16(image, MACHINE_FSW, status);
    image[MACHINE_FTW] = random_chance(r, 30) ? 0 : random_chance(r, 60) ? 0xff : random_bits(r);
    for (int i = 0; i < 8; i++)
        random_extended(r, image + MACHINE_ST + 16 * i);
}

void random_machine(struct random *r, struct machine *m)
{
    uint32_t mxcsr = random_mxcsr(r);

    memset(m, 0, sizeof *m);
    for (int i = 0; i < 16; i++)
        m->gpr[i] = random_integer(r);
    m->flags = MACHINE_FIXED | (random_bits(r) & (MACHINE_ARITH | MACHINE_ID));
    if (random_chance(r, 10))
        m->flags |= MACHINE_DF;
    m->fs_base = random_bits(r) >> 17;
    m->gs_base = random_bits(r) >> 17;
    random_x87(r, m->vector);
    memcpy(m->vector + MACHINE_MXCSR, &mxcsr, sizeof mxcsr);
    for (int i = 0; i < 16; i++) {
        if (i > 0 && random_chance(r, 15)) { /* equal operands */
            memcpy(m->vector + MACHINE_XMM + 16 * i, m->vector + MACHINE_XMM, 16);
            memcpy(m->vector + MACHINE_YMM + 16 * i, m->vector + MACHINE_YMM, 16);
            continue;
        }
        random_vector(r, m->vector + MACHINE_XMM + 16 * i, 16);
        random_vector(r, m->vector + MACHINE_YMM + 16 * i, 16);
    }
    m->vector[MACHINE_XSTATE_BV] = MACHINE_XCR0;
}
