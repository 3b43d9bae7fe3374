/* SPDX-License-Identifier: MIT
 *
 * The C half of run_real(): vectors and contexts of real mode.
 */
#include "bare.h"

extern const char real_stubs[];

void real_vectors(void)
{
    volatile uint32_t *table = NULL;
    __asm__("" : "+r"(table)); /* at 0, which the compiler need not know */
    for (unsigned i = 0; i < 256; i++) {
        table[i] = (uint32_t)real_stubs + 8 * i;
    }
}

struct context real_context(const void *ip)
{
    return (struct context){.ip = (word)ip, .flags = FLAG_ONE, .sp = (word)low_stack_end};
}
