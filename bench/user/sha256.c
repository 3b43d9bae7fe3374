/* SPDX-License-Identifier: MIT
 *
 * Rotations, additions and logic on 32 bits: SHA-256 (FIPS 180-4) of 180 MiB, in plain C. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static uint32_t constants[64], initial[8];

/* The first 32 bits of the fractions of the roots of the primes. */
static void prepare(void)
{
    int found = 0;
    for (int n = 2; found < 64; n++) {
        int prime = 1;
        for (int d = 2; d * d <= n; d++) {
            prime = prime && n % d;
        }
        if (prime) {
            long double cube = cbrtl(n), square = sqrtl(n);
            constants[found] = (uint32_t)((cube - floorl(cube)) * 4294967296.0L);
            if (found < 8) {
                initial[found] = (uint32_t)((square - floorl(square)) * 4294967296.0L);
            }
            found++;
        }
    }
}

static uint32_t right(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

static void block(uint32_t h[8], const uint8_t *p)
{
    uint32_t w[64], s[8];
    for (int i = 0; i < 16; i++, p += 4) {
        w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    }
    for (int i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + w[i - 7] + (right(a, 7) ^ right(a, 18) ^ a >> 3) +
               (right(b, 17) ^ right(b, 19) ^ b >> 10);
    }
    memcpy(s, h, sizeof s);
    for (int i = 0; i < 64; i++) {
        uint32_t one = s[7] + (right(s[4], 6) ^ right(s[4], 11) ^ right(s[4], 25)) +
                       ((s[4] & s[5]) ^ (~s[4] & s[6])) + constants[i] + w[i];
        uint32_t two = (right(s[0], 2) ^ right(s[0], 13) ^ right(s[0], 22)) +
                       ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof s[0]);
        s[4] += one;
        s[0] = one + two;
    }
    for (int i = 0; i < 8; i++) {
        h[i] += s[i];
    }
}

int main(void)
{
    enum { PIECE = 1 << 20, PIECES = 180 };
    static uint8_t data[PIECE];
    uint32_t h[8];
    prepare();
    memcpy(h, initial, sizeof h);
    for (int i = 0; i < PIECE; i++) {
        data[i] = (uint8_t)(i * 37 + (i >> 8));
    }
    for (int i = 0; i < PIECES; i++) {
        data[0] = (uint8_t)i;
        for (int j = 0; j < PIECE; j += 64) {
            block(h, data + j);
        }
    }
    for (int i = 0; i < 8; i++) {
        printf("%08x", h[i]);
    }
    printf("\n");
    return 0;
}
