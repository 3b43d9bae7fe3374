/* SPDX-License-Identifier: MIT
 *
 * Long double arithmetic, which is x87 code: a pendulum swings, and an integral is added up.
 * Prints both. */
#include <math.h>
#include <stdio.h>

enum { STEPS = 40000000, PARTS = 30000000 };

static long double swing(void)
{
    long double angle = 0.5L, speed = 0, dt = 1e-7L;
    for (int i = 0; i < STEPS; i++) {
        long double square = angle * angle;
        speed -= angle * (1 - square / 6 * (1 - square / 20)) * dt;
        angle += speed * dt;
    }
    return angle;
}

static long double integral(void)
{
    long double sum = 0, width = 1.0L / PARTS;
    for (int i = 0; i < PARTS; i++) {
        long double x = i * width;
        sum += sqrtl(1 - x * x) + 4 / (1 + x * x);
    }
    return sum * width;
}

int main(void)
{
    printf("%.12Lf %.12Lf\n", swing(), integral());
    return 0;
}
