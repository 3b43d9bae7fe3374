/* SPDX-License-Identifier: MIT
 *
 * Scalar double arithmetic with divisions and conversions: the largest eigenvalue of an endless
 * matrix, by power iteration. */
#include <math.h>
#include <stdio.h>

enum { SIZE = 2000, TURNS = 90 };

static double element(int i, int j)
{
    return 1.0 / ((i + j) * (i + j + 1) / 2 + i + 1);
}

static void multiply(const double *v, double *to, int transposed)
{
    for (int i = 0; i < SIZE; i++) {
        double sum = 0;
        for (int j = 0; j < SIZE; j++) {
            sum += (transposed ? element(j, i) : element(i, j)) * v[j];
        }
        to[i] = sum;
    }
}

int main(void)
{
    static double u[SIZE], v[SIZE], t[SIZE];
    double uv = 0, vv = 0;
    for (int i = 0; i < SIZE; i++) {
        u[i] = 1;
    }
    for (int i = 0; i < TURNS; i++) {
        multiply(u, t, 0), multiply(t, v, 1);
        multiply(v, t, 0), multiply(t, u, 1);
    }
    for (int i = 0; i < SIZE; i++) {
        uv += u[i] * v[i];
        vv += v[i] * v[i];
    }
    printf("%.9f\n", sqrt(uv / vv));
    return 0;
}
