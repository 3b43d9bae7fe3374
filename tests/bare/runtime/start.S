/* SPDX-License-Identifier: MIT
 *
 * Where a program begins, at 1000 in real mode; on to 32-bit protected mode and, where the C code is
 * for 64 bits, to long mode; and the descriptor table. A program that defines real_main has it
 * called in real mode before.
 */
#include "selectors.h"

    .section .low.entry, "awx"
    .code16
    .globl entry
entry:
    cli
    cld
    ljmp $0, $1f
1:  xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw $low_stack_end, %sp
    .weak real_main
    movw $real_main, %ax
    testw %ax, %ax
    jz 2f
    call *%ax
2:  lgdtl gdt_register
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    ljmpl $CODE32, $start32

    .code32
start32:
    movl $DATA32, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %fs
    movl %eax, %gs
    movl %eax, %ss
    inb $0x92, %al /* A20 on */
    orb $2, %al
    andb $0xfe, %al
    outb %al, $0x92
    xorl %eax, %eax
    movl $bss_start, %edi
    movl $bss_end, %ecx
    subl %edi, %ecx
    shrl $2, %ecx
    rep stosl
    movl $main_stack_end, %esp
#ifndef __x86_64__
    call runtime_main
#else
    /* 4 GiB one to one, in pages of 2 MiB. */
    movl $(first_tables + 0x1007), first_tables
    movl $(first_tables + 0x2007), %eax
    movl $(first_tables + 0x1000), %edi
    movl $4, %ecx
1:  movl %eax, (%edi)
    addl $0x1000, %eax
    addl $8, %edi
    loop 1b
    movl $0x87, %eax
    movl $(first_tables + 0x2000), %edi
    movl $2048, %ecx
1:  movl %eax, (%edi)
    addl $0x200000, %eax
    addl $8, %edi
    loop 1b
    movl %cr4, %eax
    orl $0x20, %eax
    movl %eax, %cr4
    movl $first_tables, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x100, %eax
    wrmsr
    movl %cr0, %eax
    orl $0x80000000, %eax
    movl %eax, %cr0
    ljmp $CODE64, $start64
    .code64
start64:
    movl $main_stack_end, %esp
    call runtime_main
#endif
1:  hlt
    jmp 1b

    .balign 8
    .globl gdt, gdt_register
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff /* CODE32 */
    .quad 0x00cf93000000ffff /* DATA32 */
    .quad 0x00cffb000000ffff /* USER_CODE32 */
    .quad 0x00cff3000000ffff /* USER_DATA */
    .quad 0x00affb000000ffff /* USER_CODE64 */
    .quad 0x00cff3000000ffff /* USER_DATA again */
    .quad 0x00af9b000000ffff /* CODE64 */
    .quad 0x00cf93000000ffff /* DATA32 again */
    .quad 0x00009b000000ffff /* CODE16 */
    .quad 0x000093000000ffff /* DATA16 */
    .quad 0x0000fb000000ffff /* USER_CODE16 */
    .quad 0x0000f3000000ffff /* USER_DATA16 */
    .fill 128 - 13, 8, 0
gdt_register:
    .word 128 * 8 - 1
    .long gdt, 0

    .balign 16
low_stack:
    .fill 2048, 1, 0
    .globl low_stack_end
low_stack_end:

    .bss
    .balign 4096
    .globl first_tables
#ifdef __x86_64__
first_tables:
    .skip 6 * 4096
#endif
    .balign 16
    .skip 8192
    .globl main_stack_end
main_stack_end:
