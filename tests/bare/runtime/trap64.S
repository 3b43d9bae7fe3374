/* SPDX-License-Identifier: MIT
 *
 * Exceptions and interrupts of 64-bit programs: the entries of the 256 vectors, run(), which starts
 * code of a test, and resume(), which ends it. trap.c has the rest.
 */
#include "selectors.h"

    .text
    .code64
    .balign 16
    .globl trap_entries
trap_entries:
    vector = 0
    .rept 256
    .balign 16
    .if vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21
    .else
    pushq $0
    .endif
    pushq $vector
    jmp trapped
    vector = vector + 1
    .endr

trapped:
    pushq %rax
    pushq %rcx
    pushq %rdx
    pushq %rbx
    pushq %rbp
    pushq %rsi
    pushq %rdi
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movl %ds, %eax
    pushq %rax
    movl %es, %eax
    pushq %rax
    movl %fs, %eax
    pushq %rax
    movl %gs, %eax
    pushq %rax
    cld
    movq %rsp, %rdi
    movq %rsp, %rbx
    andq $-16, %rsp
    call trap
    movq %rbx, %rsp
    addq $32, %rsp /* the segments stay as the hook left them */
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rdi
    popq %rsi
    popq %rbp
    popq %rbx
    popq %rdx
    popq %rcx
    popq %rax
    addq $16, %rsp
    iretq

    /* void run(const struct context *context, struct event *event) */
    .globl run
run:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    pushfq
    pushq run_stack
    pushq run_event
    movq %rsp, run_stack
    movq %rsi, run_event
    pushq 19*8(%rdi) /* ss */
    pushq 4*8(%rdi)
    pushq 17*8(%rdi)
    pushq 18*8(%rdi)
    pushq 16*8(%rdi)
    movq 23*8(%rdi), %rax
    movl %eax, %gs
    movq 22*8(%rdi), %rax
    movl %eax, %fs
    movq 21*8(%rdi), %rax
    movl %eax, %es
    movq 20*8(%rdi), %rax
    movl %eax, %ds
    movq 0*8(%rdi), %rax
    movq 1*8(%rdi), %rcx
    movq 2*8(%rdi), %rdx
    movq 3*8(%rdi), %rbx
    movq 5*8(%rdi), %rbp
    movq 6*8(%rdi), %rsi
    movq 8*8(%rdi), %r8
    movq 9*8(%rdi), %r9
    movq 10*8(%rdi), %r10
    movq 11*8(%rdi), %r11
    movq 12*8(%rdi), %r12
    movq 13*8(%rdi), %r13
    movq 14*8(%rdi), %r14
    movq 15*8(%rdi), %r15
    movq 7*8(%rdi), %rdi
    .globl run_return
run_return:
    iretq

    .globl resume
resume:
    movl $DATA32, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs
    movq run_stack, %rsp
    popq run_event
    popq run_stack
    popfq
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret

    .bss
    .balign 16
    .globl run_stack, run_event
run_stack:
    .quad 0
run_event:
    .quad 0
    .balign 16
    .skip 4096
    .globl trap_stack_end, double_stack_end
trap_stack_end:
    .skip 4096
double_stack_end:
