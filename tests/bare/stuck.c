/* SPDX-License-Identifier: MIT
 *
 * A tight loop with interrupts off, which never ends: whoever watches must still be able to look,
 * to trace and to quit.
 */

/* ends: never */

/* qemu: no, it never ends */

/* bochs: no, it never ends */

#include "runtime/bare.h"

void program(void)
{
    print("ok the loop begins\n");
    __asm__ volatile("cli; 1: jmp 1b");
}
