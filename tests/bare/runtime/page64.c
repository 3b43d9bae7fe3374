/* SPDX-License-Identifier: MIT
 *
 * Page tables of 64-bit programs, on top of those that start.S has made.
 */
#include "bare.h"

enum { POOL = 0x200000, TABLES = 60 };

extern uint64_t first_tables[];
static unsigned used;

volatile uint64_t *page_entry(word linear, unsigned level)
{
    volatile uint64_t *table = first_tables;
    for (unsigned at = 4;; at--) {
        volatile uint64_t *entry = &table[linear >> (12 + 9 * (at - 1)) & 511];
        if (at == level) {
            return entry;
        }
        if (!(*entry & PAGE_FRAME)) {
            if (used == TABLES) {
                give_up("no page tables are left");
            }
            word new = POOL + 4096 * used++;
            memory_set((void *)new, 0, 4096);
            *entry = new | PAGE_ALL;
        }
        table = (volatile uint64_t *)(*entry & PAGE_FRAME);
    }
}

void map_page(word linear, uint64_t physical, uint64_t flags)
{
    *page_entry(linear, 1) = physical | flags;
    invlpg((void *)linear);
}

void flush_all(void)
{
    word cr4 = read_cr4();
    write_cr4(cr4 ^ CR4_PGE);
    write_cr4(cr4);
    write_cr3(read_cr3());
}
