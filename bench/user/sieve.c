/* SPDX-License-Identifier: MIT
 *
 * Loads, stores and short loops: the sieve of Eratosthenes, small enough for a near cache, again
 * and again, then once large. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned count(uint8_t *composite, unsigned limit)
{
    unsigned found = 0;
    memset(composite, 0, limit);
    for (unsigned i = 2; i < limit; i++) {
        if (!composite[i]) {
            found++;
            for (unsigned j = i * 2; j < limit; j += i) {
                composite[j] = 1;
            }
        }
    }
    return found;
}

int main(void)
{
    enum { SMALL = 100000, LARGE = 40000000, TURNS = 9000 };
    uint8_t *composite = malloc(LARGE);
    unsigned long sum = 0;
    if (!composite) {
        return 1;
    }
    for (int i = 0; i < TURNS; i++) {
        sum += count(composite, SMALL - (unsigned)i);
    }
    printf("%lu %u\n", sum, count(composite, LARGE));
    free(composite);
    return 0;
}
