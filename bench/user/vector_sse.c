/* SPDX-License-Identifier: MIT
 *
 * SSE: single-precision complex arithmetic, four points at once (a fractal's escape times), and
 * packed integers (sums of absolute differences). */
#include <emmintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH = 1280, HEIGHT = 960, LIMIT = 5000, SAD_TURNS = 150000, SAD_BYTES = 1 << 16 };

static long fractal(void)
{
    long sum = 0;
    for (int y = 0; y < HEIGHT; y++) {
        for (int x = 0; x < WIDTH; x += 4) {
            __m128 cr = _mm_add_ps(_mm_set1_ps(-2.0f + 3.0f * (float)x / WIDTH),
                                   _mm_mul_ps(_mm_set_ps(3, 2, 1, 0), _mm_set1_ps(3.0f / WIDTH)));
            __m128 ci = _mm_set1_ps(-1.2f + 2.4f * (float)y / HEIGHT);
            __m128 zr = cr, zi = ci;
            __m128i count = _mm_setzero_si128();
            for (int i = 0; i < LIMIT; i++) {
                __m128 rr = _mm_mul_ps(zr, zr), ii = _mm_mul_ps(zi, zi);
                __m128 inside = _mm_cmple_ps(_mm_add_ps(rr, ii), _mm_set1_ps(4));
                if (!_mm_movemask_ps(inside)) {
                    break;
                }
                count = _mm_sub_epi32(count, _mm_castps_si128(inside));
                zi = _mm_add_ps(_mm_mul_ps(_mm_add_ps(zr, zr), zi), ci);
                zr = _mm_add_ps(_mm_sub_ps(rr, ii), cr);
            }
            uint32_t each[4];
            _mm_storeu_si128((__m128i *)each, count);
            sum += each[0] + each[1] + each[2] + each[3];
        }
    }
    return sum;
}

static long differences(void)
{
    static uint8_t a[SAD_BYTES], b[SAD_BYTES];
    __m128i sum = _mm_setzero_si128();
    for (int i = 0; i < SAD_BYTES; i++) {
        a[i] = (uint8_t)(i * 7), b[i] = (uint8_t)(i * 13);
    }
    for (int turn = 0; turn < SAD_TURNS; turn++) {
        for (int i = 0; i < SAD_BYTES; i += 16) {
            __m128i x = _mm_loadu_si128((const __m128i *)(a + i));
            __m128i y = _mm_loadu_si128((const __m128i *)(b + i));
            sum = _mm_add_epi64(sum, _mm_sad_epu8(x, y));
            _mm_storeu_si128((__m128i *)(a + i), _mm_add_epi8(x, _mm_set1_epi8(3)));
        }
    }
    uint64_t each[2];
    memcpy(each, &sum, sizeof each);
    return (long)(each[0] + each[1]);
}

int main(void)
{
    long escape = fractal(), sad = differences();
    printf("%ld %ld\n", escape, sad);
    return 0;
}
