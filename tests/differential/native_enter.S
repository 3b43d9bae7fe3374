/* SPDX-License-Identifier: MIT
 *
 * Native runs: loading a whole state, and back. native_state is a struct machine (machine.h). */

#define GPR(n)    native_state+8*(n)(%rip)
#define RIP       native_state+128(%rip)
#define FLAGS     native_state+136(%rip)
#define FS_BASE   native_state+144(%rip)
#define GS_BASE   native_state+152(%rip)
#define VECTOR    native_state+192(%rip)

        .text
        .globl  native_enter
        .type   native_enter, @function
native_enter:
        pushq   %rbx
        pushq   %rbp
        pushq   %r12
        pushq   %r13
        pushq   %r14
        pushq   %r15
        movq    %rsp, host_stack(%rip)
        rdfsbase %rax
        movq    %rax, native_host_fs(%rip)
        rdgsbase %rax
        movq    %rax, native_host_gs(%rip)
        movl    $7, %eax
        xorl    %edx, %edx
        xrstor64 VECTOR
        xorl    %eax, %eax              /* selectors that an earlier run has loaded */
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %fs
        movl    %eax, %gs
        movq    FS_BASE, %rax
        wrfsbase %rax
        movq    GS_BASE, %rax
        wrgsbase %rax
        pushq   FLAGS
        popfq
        movq    GPR(0), %rax
        movq    GPR(1), %rcx
        movq    GPR(2), %rdx
        movq    GPR(3), %rbx
        movq    GPR(4), %rsp
        movq    GPR(5), %rbp
        movq    GPR(6), %rsi
        movq    GPR(7), %rdi
        movq    GPR(8), %r8
        movq    GPR(9), %r9
        movq    GPR(10), %r10
        movq    GPR(11), %r11
        movq    GPR(12), %r12
        movq    GPR(13), %r13
        movq    GPR(14), %r14
        movq    GPR(15), %r15
        jmp     *RIP
        .size   native_enter, .-native_enter

        /* The kernel has cleared DF and given the handler fresh x87 and vector units. */
        .globl  native_signal_entry
        .type   native_signal_entry, @function
native_signal_entry:
        pushfq
        andl    $~0x40000, (%rsp)       /* AC */
        popfq
        rdfsbase %rax
        movq    %rax, native_guest_fs(%rip)
        rdgsbase %rax
        movq    %rax, native_guest_gs(%rip)
        movq    native_host_fs(%rip), %rax
        wrfsbase %rax
        movq    native_host_gs(%rip), %rax
        wrgsbase %rax
        jmp     native_signal
        .size   native_signal_entry, .-native_signal_entry

        .globl  native_leave
        .type   native_leave, @function
native_leave:
        movq    host_stack(%rip), %rsp
        popq    %r15
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %rbp
        popq    %rbx
        ret
        .size   native_leave, .-native_leave

        /* The kernel wants one; nothing returns through it. */
        .globl  native_restorer
        .type   native_restorer, @function
native_restorer:
        movl    $15, %eax               /* rt_sigreturn */
        syscall
        .size   native_restorer, .-native_restorer

        .bss
        .balign 8
        .globl  native_host_fs, native_host_gs, native_guest_fs, native_guest_gs
native_host_fs:  .zero 8
native_host_gs:  .zero 8
native_guest_fs: .zero 8
native_guest_gs: .zero 8
host_stack:      .zero 8

        .section .note.GNU-stack, "", @progbits
