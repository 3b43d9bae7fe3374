/* SPDX-License-Identifier: MIT
 *
 * Scalar double arithmetic: planets that attract one another, stepped on. Prints the energy. */
#include <math.h>
#include <stdio.h>

enum { BODIES = 5, STEPS = 26000000 };

struct body {
    double x[3], v[3], mass;
};

static void step(struct body *b, double dt)
{
    for (int i = 0; i < BODIES; i++) {
        for (int j = i + 1; j < BODIES; j++) {
            double d[3], square = 0;
            for (int k = 0; k < 3; k++) {
                d[k] = b[i].x[k] - b[j].x[k];
                square += d[k] * d[k];
            }
            double pull = dt / (square * sqrt(square));
            for (int k = 0; k < 3; k++) {
                b[i].v[k] -= d[k] * b[j].mass * pull;
                b[j].v[k] += d[k] * b[i].mass * pull;
            }
        }
    }
    for (int i = 0; i < BODIES; i++) {
        for (int k = 0; k < 3; k++) {
            b[i].x[k] += dt * b[i].v[k];
        }
    }
}

static double energy(const struct body *b)
{
    double sum = 0;
    for (int i = 0; i < BODIES; i++) {
        double square = 0;
        for (int k = 0; k < 3; k++) {
            square += b[i].v[k] * b[i].v[k];
        }
        sum += b[i].mass * square / 2;
        for (int j = i + 1; j < BODIES; j++) {
            double distance = 0;
            for (int k = 0; k < 3; k++) {
                distance += (b[i].x[k] - b[j].x[k]) * (b[i].x[k] - b[j].x[k]);
            }
            sum -= b[i].mass * b[j].mass / sqrt(distance);
        }
    }
    return sum;
}

int main(void)
{
    struct body b[BODIES];
    for (int i = 0; i < BODIES; i++) {
        b[i] = (struct body){.x = {i ? 5.0 * i : 0, 0.3 * i, -0.1 * i * i},
                             .v = {0, i ? 2.8 / sqrt(i) : 0, 0.01 * i},
                             .mass = i ? 0.001 * i : 39.5};
    }
    for (int i = 0; i < STEPS; i++) {
        step(b, 0.001);
    }
    printf("%.9f\n", energy(b));
    return 0;
}
