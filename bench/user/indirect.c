/* SPDX-License-Identifier: MIT
 *
 * Indirect calls: objects of many classes with virtual functions, visited in an order that cannot
 * be foreseen, and a sort with a comparison function. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { CLASSES = 32, OBJECTS = 4096, TURNS = 130000, SORTED = 1 << 16, SORTS = 90 };

struct object;

struct class
{
    uint32_t (*visit)(struct object *, uint32_t);
    uint32_t (*weight)(const struct object *);
};

struct object {
    const struct class *class;
    uint32_t value;
};

#define CLASS(n)                                            \
    static uint32_t visit_##n(struct object *o, uint32_t x) \
    {                                                       \
        o->value += x ^ n;                                  \
        return x * (2 * n + 3) + o->class->weight(o);       \
    }                                                       \
    static uint32_t weight_##n(const struct object *o)      \
    {                                                       \
        return o->value >> (n & 7);                         \
    }
#define EIGHT(X, a, b, c, d, e, f, g, h) X(a) X(b) X(c) X(d) X(e) X(f) X(g) X(h)
#define LOW_HALF(X)                      EIGHT(X, 0, 1, 2, 3, 4, 5, 6, 7) EIGHT(X, 8, 9, 10, 11, 12, 13, 14, 15)
#define HIGH_HALF(X) \
    EIGHT(X, 16, 17, 18, 19, 20, 21, 22, 23) EIGHT(X, 24, 25, 26, 27, 28, 29, 30, 31)
#define EACH(X) LOW_HALF(X) HIGH_HALF(X)
EACH(CLASS)

#define ROW(n) {visit_##n, weight_##n},
static const struct class classes[CLASSES] = {EACH(ROW)};

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

int main(void)
{
    static struct object objects[OBJECTS];
    static uint32_t numbers[SORTED];
    uint32_t x = 1, random = 7, check = 0;
    for (int i = 0; i < OBJECTS; i++) {
        random = random * 1664525 + 1013904223;
        objects[i] = (struct object){&classes[random >> 27], random};
    }
    for (int turn = 0; turn < TURNS; turn++) {
        for (int i = 0; i < OBJECTS; i += 4) {
            struct object *o = &objects[(unsigned)(i + turn * 61) % OBJECTS];
            x = o->class->visit(o, x);
        }
    }
    for (int i = 0; i < SORTS; i++) {
        for (int j = 0; j < SORTED; j++) {
            random = random * 1664525 + 1013904223;
            numbers[j] = random;
        }
        qsort(numbers, SORTED, sizeof numbers[0], compare);
        check ^= numbers[1000] + numbers[SORTED - 5];
    }
    printf("%u %u\n", x, check);
    return 0;
}
