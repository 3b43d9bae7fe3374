/* SPDX-License-Identifier: MIT
 *
 * The form for -bios: an image of 64 or 128 KiB that ends at 4 GiB and, as a PC shows its last 128
 * KiB, at 1 MiB. It begins at the reset vector, copies the program to 1000 and starts it there, all
 * in real mode. PAYLOAD names the program.
 */
    .code16
    .text
    .globl _start
payload:
    .incbin PAYLOAD
    .balign 16
payload_end:

#if IMAGE_SIZE == 0x20000
#define FIRST_SEGMENT 0xe000
    .org 0x1ff00
#else
#define FIRST_SEGMENT 0xf000
    .org 0xff00
#endif
#define AT(label) ((label) - payload - IMAGE_SIZE + 0x10000) /* in segment f000 */
start:
    cli
    cld
    movw $FIRST_SEGMENT, %ax
    movw %ax, %ds
    movw $0x100, %ax
    movw %ax, %es
    movw $((payload_end - payload + 4095) / 4096), %dx
1:  xorw %si, %si
    xorw %di, %di
    movw $2048, %cx
    rep movsw
    movw %ds, %ax
    addw $0x100, %ax
    movw %ax, %ds
    movw %es, %ax
    addw $0x100, %ax
    movw %ax, %es
    decw %dx
    jnz 1b
    ljmp $0, $0x1000

    .org IMAGE_SIZE - 16, 0xff
_start: /* FFFFFFF0 */
    ljmp $0xf000, $AT(start)
    .org IMAGE_SIZE, 0
