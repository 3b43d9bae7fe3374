/* SPDX-License-Identifier: MIT
 *
 * Selectors of the descriptors that every program has. The order suits SYSCALL (38), SYSRET (1b)
 * and SYSENTER (8).
 */
#ifndef TESTS_BARE_SELECTORS_H
#define TESTS_BARE_SELECTORS_H

#define CODE32      0x08
#define DATA32      0x10
#define USER_CODE32 0x1b
#define USER_DATA   0x23
#define USER_CODE64 0x2b
#define CODE64      0x38
#define CODE16      0x48
#define DATA16      0x50
#define USER_CODE16 0x5b
#define USER_DATA16 0x63
#define TASK        0x68 /* two descriptors in long mode */
#define FREE        0x78 /* from here on to 3f8 for the tests */

/* Of the C code. */
#ifdef __x86_64__
#define KERNEL_CODE CODE64
#else
#define KERNEL_CODE CODE32
#endif
#define KERNEL_DATA DATA32

/* The vector by which code in a test ends. */
#define DONE 0x30

#endif
