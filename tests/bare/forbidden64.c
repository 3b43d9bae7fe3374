/* build: 64 */
/* SPDX-License-Identifier: MIT
 *
 * What a control register must not become in long mode. A CPU that takes it does not come back.
 */

/* qemu: no, it takes them all */

#include "runtime/bare.h"

/* clang-format off */

#define MODE MODE_KERNEL
FAULT(64, pg, "#GP: CR0.PG cleared in 64-bit mode", VECTOR_GP, 0, (), "mov %cr0, %rax; btr $31, %rax; 9: mov %rax, %cr0")
FAULT(64, pe, "#GP: CR0.PE cleared while paging", VECTOR_GP, 0, (), "mov %cr0, %rax; btr $0, %rax; 9: mov %rax, %cr0")
FAULT(64, pae, "#GP: CR4.PAE cleared in long mode", VECTOR_GP, 0, (), "mov %cr4, %rax; btr $5, %rax; 9: mov %rax, %cr4")
FAULT(64, la57, "#GP: CR4.LA57 changed in long mode", VECTOR_GP, 0, (), "mov %cr4, %rax; btc $12, %rax; 9: mov %rax, %cr4")
FAULT(64, pcide, "#GP: CR0.PG cleared, whatever else", VECTOR_GP, 0, (), "xor %eax, %eax; 9: mov %rax, %cr0")

FAULT(64, nw, "#GP: CR0.NW without CD", VECTOR_GP, 0, (DEVIATION("bochs: accepted")), "mov %cr0, %rax; bts $29, %rax; btr $30, %rax; 9: mov %rax, %cr0")
FAULT(64, cr0_upper, "#GP: a bit of CR0's upper half", VECTOR_GP, 0, (), "mov %cr0, %rax; bts $32, %rax; 9: mov %rax, %cr0")
FAULT(64, cr4_reserved, "#GP: a reserved bit of CR4", VECTOR_GP, 0, (), "mov %cr4, %rax; bts $31, %rax; 9: mov %rax, %cr4")
FAULT(64, cr4_upper, "#GP: a bit of CR4's upper half", VECTOR_GP, 0, (), "mov %cr4, %rax; bts $40, %rax; 9: mov %rax, %cr4")
FAULT(64, lme, "#GP: EFER.LME cleared while paging", VECTOR_GP, 0, (), "mov $0xc0000080, %ecx; rdmsr; btr $8, %eax; 9: wrmsr")
FAULT(64, efer, "#GP: a reserved bit of EFER", VECTOR_GP, 0, (), "mov $0xc0000080, %ecx; rdmsr; bts $9, %eax; 9: wrmsr")
FAULT(64, cr8, "#GP: CR8 above 15", VECTOR_GP, 0, (), "mov $16, %eax; 9: mov %rax, %cr8")

FAULT(64, lgdt, "#GP: LGDT of a base that is not canonical", VECTOR_GP, 0, (), "movw $0x3ff, -16(%rsp); movl $0, -14(%rsp); movl $0x10000000, -10(%rsp); 9: lgdt -16(%rsp)")
FAULT(64, lidt, "#GP: LIDT of a base that is not canonical", VECTOR_GP, 0, (), "movw $0xfff, -16(%rsp); movl $0, -14(%rsp); movl $0x10000000, -10(%rsp); 9: lidt -16(%rsp)")

#undef MODE
#define MODE MODE_KERNEL32
FAULT(32, compat_pe, "#GP: CR0.PE cleared while paging, in compatibility mode", VECTOR_GP, 0, (), "mov %cr0, %eax; btr $0, %eax; 9: mov %eax, %cr0")
FAULT(32, compat_pae, "#GP: CR4.PAE cleared in compatibility mode", VECTOR_GP, 0, (), "mov %cr4, %eax; btr $5, %eax; 9: mov %eax, %cr4")
FAULT(32, compat_lme, "#GP: EFER.LME cleared in compatibility mode", VECTOR_GP, 0, (), "mov $0xc0000080, %ecx; rdmsr; btr $8, %eax; 9: wrmsr")

/* clang-format on */

void program(void)
{
    run_rows();
}
