/* SPDX-License-Identifier: MIT
 *
 * The form for -kernel: an ELF file for multiboot (version 1) that lies at 4 MiB. It copies the
 * program to 1000 and starts it there in real mode, as after a reset. PAYLOAD names the program.
 */
    .code32
    .text
    .balign 4
    .long 0x1badb002, 0, -0x1badb002

    .globl _start
_start:
    cli
    cld
    lgdt table_register
    movl $payload, %esi
    movl $0x1000, %edi
    movl $((payload_end - payload + 3) / 4), %ecx
    rep movsl
    movl $real, %esi
    movl $0x600, %edi
    movl $(real_end - real), %ecx
    rep movsb
    ljmp $8, $0x600

real: /* at 600, in a code segment of 16 bits */
    .code16
    movw $16, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %fs
    movw %ax, %gs
    movw %ax, %ss
    lidtl %cs:(vectors - real + 0x600)
    movl %cr0, %eax
    andb $0xfe, %al
    movl %eax, %cr0
    ljmp $0, $0x1000
vectors:
    .word 0x3ff
    .long 0
real_end:

    .balign 8
table:
    .quad 0
    .quad 0x00009b000000ffff
    .quad 0x000093000000ffff
table_register:
    .word 23
    .long table

payload:
    .incbin PAYLOAD
    .balign 4
payload_end:
