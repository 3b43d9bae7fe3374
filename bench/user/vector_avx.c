/* SPDX-License-Identifier: MIT
 *
 * AVX2 and FMA: a product of matrices in single precision, eight at once, and a transformation of
 * packed bytes. */
#include <immintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { SIZE = 512, PRODUCTS = 140, BYTES = 1 << 16, BYTE_TURNS = 20000 };

static float a[SIZE][SIZE], b[SIZE][SIZE], c[SIZE][SIZE];

__attribute__((target("avx2,fma"))) static void product(void)
{
    for (int i = 0; i < SIZE; i += 4) {
        for (int j = 0; j < SIZE; j += 16) {
            __m256 sum[4][2];
            memset(sum, 0, sizeof sum);
            for (int k = 0; k < SIZE; k++) {
                __m256 low = _mm256_loadu_ps(&b[k][j]), high = _mm256_loadu_ps(&b[k][j + 8]);
                for (int n = 0; n < 4; n++) {
                    __m256 factor = _mm256_broadcast_ss(&a[i + n][k]);
                    sum[n][0] = _mm256_fmadd_ps(factor, low, sum[n][0]);
                    sum[n][1] = _mm256_fmadd_ps(factor, high, sum[n][1]);
                }
            }
            for (int n = 0; n < 4; n++) {
                _mm256_storeu_ps(&c[i + n][j], sum[n][0]);
                _mm256_storeu_ps(&c[i + n][j + 8], sum[n][1]);
            }
        }
    }
}

__attribute__((target("avx2"))) static void transform(uint8_t *bytes)
{
    const __m256i table = _mm256_setr_epi8(9, 4, 1, 15, 12, 0, 7, 3, 2, 14, 8, 5, 11, 6, 13, 10, 9,
                                           4, 1, 15, 12, 0, 7, 3, 2, 14, 8, 5, 11, 6, 13, 10);
    const __m256i low = _mm256_set1_epi8(15);
    for (int i = 0; i < BYTES; i += 32) {
        __m256i x = _mm256_loadu_si256((const __m256i *)(bytes + i));
        __m256i first = _mm256_shuffle_epi8(table, _mm256_and_si256(x, low));
        __m256i second = _mm256_and_si256(_mm256_srli_epi16(x, 4), low);
        x = _mm256_add_epi8(_mm256_slli_epi16(first, 4), _mm256_xor_si256(second, first));
        x = _mm256_permute4x64_epi64(x, 0x39);
        _mm256_storeu_si256((__m256i *)(bytes + i), x);
    }
}

int main(void)
{
    static uint8_t bytes[BYTES];
    double sum = 0;
    unsigned check = 0;
    for (int i = 0; i < SIZE; i++) {
        for (int j = 0; j < SIZE; j++) {
            a[i][j] = (float)((i * 7 + j) % 13) / 13;
            b[i][j] = (float)((i + j * 3) % 11) / 11;
        }
    }
    for (int i = 0; i < PRODUCTS; i++) {
        product();
        a[i % SIZE][i % 7] += c[i % SIZE][3] / 1000;
    }
    for (int i = 0; i < SIZE; i++) {
        sum += c[i][i * 5 % SIZE];
    }
    for (int i = 0; i < BYTES; i++) {
        bytes[i] = (uint8_t)(i ^ i >> 8);
    }
    for (int i = 0; i < BYTE_TURNS; i++) {
        transform(bytes);
    }
    for (int i = 0; i < BYTES; i++) {
        check = check * 31 + bytes[i];
    }
    printf("%.3f %u\n", sum, check);
    return 0;
}
