/* SPDX-License-Identifier: MIT
 *
 * Exceptions and interrupts of 32-bit programs: the entries of the 256 vectors, run(), which starts
 * code of a test, and resume(), which ends it. trap.c has the rest.
 */
#include "selectors.h"

    .text
    .code32
    .balign 16
    .globl trap_entries
trap_entries:
    vector = 0
    .rept 256
    .balign 16
    .if vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21
    .else
    pushl $0
    .endif
    pushl $vector
    jmp trapped
    vector = vector + 1
    .endr

trapped:
    pushal
    xorl %eax, %eax
    movw %ds, %ax
    pushl %eax
    movw %es, %ax
    pushl %eax
    movw %fs, %ax
    pushl %eax
    movw %gs, %ax
    pushl %eax
    movl $DATA32, %eax
    movl %eax, %ds
    movl %eax, %es
    cld
    movw %ss, %ax
    cmpw $DATA32, %ax
    jne strange_stack
    movl %esp, %eax
    pushl %eax
    call trap
    addl $4, %esp
    popl %gs
    popl %fs
    popl %es
    popl %ds
    popal
    addl $8, %esp
    iretl

strange_stack: /* which C code cannot run on: there is no way back */
    movl $spare_frame, %edi
    movl %esp, %esi
    movl $23, %ecx
1:  movl %ss:(%esi), %ebx
    movl %ebx, (%edi)
    addl $4, %esi
    addl $4, %edi
    loop 1b
    movw %ax, strange_ss
    movl %esp, strange_sp
    movl $DATA32, %eax
    movl %eax, %ss
    movl $trap_stack_end, %esp
    pushl $spare_frame
    call trap
    call trap_lost

    /* void run(const struct context *context, struct event *event) */
    .globl run
run:
    pushl %ebp
    pushl %ebx
    pushl %esi
    pushl %edi
    pushfl
    pushl run_stack
    pushl run_event
    movl %esp, run_stack
    movl 36(%esp), %eax
    movl %eax, run_event
    movl 32(%esp), %eax
    testl $0x20000, 36(%eax) /* VM */
    jnz 1f
    testl $3, 40(%eax)
    jnz 2f
    movw 44(%eax), %ss
    movl 16(%eax), %esp
    jmp 3f
1:  pushl 60(%eax) /* gs */
    pushl 56(%eax)
    pushl 48(%eax)
    pushl 52(%eax)
2:  pushl 44(%eax)
    pushl 16(%eax)
3:  pushl 36(%eax)
    pushl 40(%eax)
    pushl 32(%eax)
    testl $0x20000, 36(%eax)
    jnz 4f
    pushl 48(%eax)
    pushl 52(%eax)
    pushl 56(%eax)
    pushl 60(%eax)
    jmp 5f
4:  pushl $DATA32
    pushl $DATA32
    pushl $DATA32
    pushl $DATA32
5:  pushl 0(%eax)
    pushl 4(%eax)
    pushl 8(%eax)
    pushl 12(%eax)
    pushl $0
    pushl 20(%eax)
    pushl 24(%eax)
    pushl 28(%eax)
    popal
    popl %gs
    popl %fs
    popl %es
    popl %ds
    .globl run_return
run_return:
    iretl

    .globl resume
resume:
    movl $DATA32, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %fs
    movl %eax, %gs
    movl %eax, %ss
    movl run_stack, %esp
    popl run_event
    popl run_stack
    popfl
    popl %edi
    popl %esi
    popl %ebx
    popl %ebp
    ret

    .bss
    .balign 16
    .globl run_stack, run_event, strange_ss, strange_sp
run_stack:
    .long 0
run_event:
    .long 0
strange_ss:
    .long 0
strange_sp:
    .long 0
spare_frame:
    .skip 23 * 4
    .balign 16
    .skip 4096
    .globl trap_stack_end, double_stack_end
trap_stack_end:
    .skip 2048
double_stack_end:
