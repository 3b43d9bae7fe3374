/* SPDX-License-Identifier: MIT
 *
 * A round table of philosophers: each thinks, takes the fork on either side, eats, puts them back.
 */
#ifndef DEMO_TABLE_H
#define DEMO_TABLE_H

#include <stdint.h>

enum { SEATS_MIN = 2, SEATS_MAX = 32 };

/* Serves `meals` meals to each of `seats` philosophers, a thread each. `seed` decides how long they
 * think and eat. Returns for how long all of them together waited for forks, in ns. */
uint64_t table_dine(int seats, unsigned meals, unsigned seed);

/* No meal begins any more; table_dine() returns soon. For signal handlers too. */
void table_close(void);

#endif
