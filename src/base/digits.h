/* SPDX-License-Identifier: MIT
 *
 * Numbers as text, for paths that write millions of them. Both functions may store up to
 * DIGITS_ROOM bytes at `to`, whatever the number's length, and return the end of the text; there is
 * no NUL. Any thread.
 */
#ifndef BASE_DIGITS_H
#define BASE_DIGITS_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

enum { DIGITS_ROOM = 24 };

/* The eight hexadecimal digits of a 32-bit number, the first in the lowest byte. */
static inline uint64_t digits_hex8(uint32_t value)
{
    /* Spread the nibbles, one to a byte, lowest nibble in the lowest byte. */
    uint64_t x = value;
    x = (x << 16 | x) & UINT64_C(0x0000ffff0000ffff);
    x = (x << 8 | x) & UINT64_C(0x00ff00ff00ff00ff);
    x = (x << 4 | x) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    /* A byte above 9 gets 'a' - '0' - 10 = 39 more. */
    uint64_t letters = (x + UINT64_C(0x0606060606060606)) >> 4 & UINT64_C(0x0101010101010101);
    return __builtin_bswap64(x + UINT64_C(0x3030303030303030) + letters * 39);
}

/* 0x and lower-case digits without leading zeros. */
static inline uint8_t *digits_hex(uint8_t *to, uint64_t value)
{
    unsigned count = (67u - (unsigned)__builtin_clzll(value | 1)) / 4;
    to[0] = '0';
    to[1] = 'x';
    to += 2;
    if (count > 8) {
        uint64_t high = htole64(digits_hex8((uint32_t)(value >> 32)) >> (8 * (16 - count)));
        memcpy(to, &high, 8);
        to += count - 8;
        count = 8;
    }
    uint64_t low = htole64(digits_hex8((uint32_t)value) >> (8 * (8 - count)));
    memcpy(to, &low, 8);
    return to + count;
}

static inline uint8_t *digits_decimal(uint8_t *to, uint64_t value)
{
    static const char pair[] = "00010203040506070809101112131415161718192021222324"
                               "25262728293031323334353637383940414243444546474849"
                               "50515253545556575859606162636465666768697071727374"
                               "75767778798081828384858687888990919293949596979899";
    uint8_t text[20];
    unsigned at = sizeof text;
    while (value >= 100) {
        at -= 2;
        memcpy(text + at, pair + 2 * (value % 100), 2);
        value /= 100;
    }
    at -= 2;
    memcpy(text + at, pair + 2 * value, 2);
    at += value < 10;
    memcpy(to, text + at, sizeof text - at);
    return to + (sizeof text - at);
}

/* Nanoseconds as microseconds with three decimals, as printf's %0.3f has them. */
static inline uint8_t *digits_micros(uint8_t *to, int64_t ns)
{
    uint64_t size = (uint64_t)ns;
    if (ns < 0) {
        *to++ = '-';
        size = -size;
    }
    uint64_t whole = size / 1000;
    unsigned part = (unsigned)(size - whole * 1000);
    if (whole < 10) {
        *to++ = (uint8_t)('0' + whole);
    } else {
        to = digits_decimal(to, whole);
    }
    to[0] = '.';
    to[1] = (uint8_t)('0' + part / 100);
    to[2] = (uint8_t)('0' + part / 10 % 10);
    to[3] = (uint8_t)('0' + part % 10);
    return to + 4;
}

#endif
