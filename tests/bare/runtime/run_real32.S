/* SPDX-License-Identifier: MIT
 *
 * run_real(): from 32-bit protected mode to real mode, there the code of a test, and back when an
 * interrupt or exception ends it. real_stubs are what the 256 vectors point to.
 */
#include "selectors.h"

    .section .low.text, "awx"
    .code16
    .balign 8
    .globl real_stubs
real_stubs:
    vector = 0
    .rept 256
    .balign 8
    pushw $vector
    jmp real_trapped
    vector = vector + 1
    .endr

real_trapped:
    movl %eax, %cs:real_event + 0
    movl %ecx, %cs:real_event + 4
    movl %edx, %cs:real_event + 8
    movl %ebx, %cs:real_event + 12
    movl %ebp, %cs:real_event + 20
    movl %esi, %cs:real_event + 24
    movl %edi, %cs:real_event + 28
    xorl %eax, %eax
    movw %ds, %ax
    movl %eax, %cs:real_event + 48
    movw %es, %ax
    movl %eax, %cs:real_event + 52
    movw %fs, %ax
    movl %eax, %cs:real_event + 56
    movw %gs, %ax
    movl %eax, %cs:real_event + 60
    popw %ax
    movl %eax, %cs:real_event + 64
    popw %ax
    movl %eax, %cs:real_event + 32
    popw %ax
    movl %eax, %cs:real_event + 40
    pushfl /* the upper half is still the code's */
    popl %eax
    popw %ax
    movl %eax, %cs:real_event + 36
    xorl %eax, %eax
    movw %ss, %ax
    movl %eax, %cs:real_event + 44
    movl %esp, %cs:real_event + 16
    /* fall into the way back */
    .globl real_return
real_return: /* from real mode, with any registers */
    cli
    lgdtl %cs:gdt_register
    movl %cr0, %eax
    orl $1, %eax
    movl %eax, %cr0
    ljmpl $CODE32, $back
    .code32
back:
    movl $DATA32, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %fs
    movl %eax, %gs
    movl %eax, %ss
    movl real_stack, %esp
    lidt real_old_table
    movl 40(%esp), %edi
    movl $real_event, %esi
    movl $20, %ecx
    cld
    rep movsl
    popfl
    popal
    ret

    /* void run_real(const struct context *context, struct event *event) */
    .globl run_real
run_real:
    pushal
    pushfl
    cld
    cli
    movl 40(%esp), %esi
    movl $real_context_copy, %edi
    movl $16, %ecx
    rep movsl
    movl 44(%esp), %eax
    movl %eax, 40(%esp)
    movl %esp, real_stack
    sidt real_old_table
    ljmp $CODE16, $1f
    .code16
1:  movw $DATA16, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %fs
    movw %ax, %gs
    movw %ax, %ss
    lidtl real_table
    movl %cr0, %eax
    andl $0xfffffffe, %eax
    movl %eax, %cr0
    ljmp $0, $1f
1:  movw %cs:real_context_copy + 44, %ss
    movl %cs:real_context_copy + 16, %esp
    pushl %cs:real_context_copy + 36
    pushl %cs:real_context_copy + 40
    pushl %cs:real_context_copy + 32
    movw %cs:real_context_copy + 48, %ds
    movw %cs:real_context_copy + 52, %es
    movw %cs:real_context_copy + 56, %fs
    movw %cs:real_context_copy + 60, %gs
    movl %cs:real_context_copy + 0, %eax
    movl %cs:real_context_copy + 4, %ecx
    movl %cs:real_context_copy + 8, %edx
    movl %cs:real_context_copy + 12, %ebx
    movl %cs:real_context_copy + 20, %ebp
    movl %cs:real_context_copy + 24, %esi
    movl %cs:real_context_copy + 28, %edi
    iretl

    .balign 16
    .globl real_event, real_table
real_context_copy:
    .fill 16, 4, 0
real_event:
    .fill 20, 4, 0
real_stack:
    .long 0
real_table: /* a test may change its limit */
    .word 0x3ff
    .long 0
real_old_table:
    .word 0
    .long 0
