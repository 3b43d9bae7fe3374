/* SPDX-License-Identifier: MIT
 *
 * What control registers must not become in 32-bit protected mode. A CPU that takes it may not come
 * back.
 */

/* qemu: no, it takes most of it */

#include "runtime/bare.h"

static void no_lme(struct event *event)
{
    (void)event;
    wrmsr(MSR_EFER, 0);
    write_cr4(0);
}

static void long_code(struct context *context)
{
    (void)context;
    set_descriptor(
        FREE, descriptor(0, 0xfffff, SEGMENT_CODE, SEGMENT_GRANULAR | SEGMENT_BIG | SEGMENT_LONG));
}

/* clang-format off */

#define MODE MODE_KERNEL
FAULT(32, cr4, "#GP by a reserved bit of CR4", VECTOR_GP, 0, (), "mov %cr4, %eax; bts $31, %eax; 9: mov %eax, %cr4")
FAULT(32, pg, "#GP by CR0.PG without PE", VECTOR_GP, 0, (), "mov $0x80000010, %eax; 9: mov %eax, %cr0")
FAULT(32, nw, "#GP by CR0.NW without CD", VECTOR_GP, 0, (DEVIATION("bochs: accepted")), "mov %cr0, %eax; or $0x20000000, %eax; and $~0x40000000, %eax; 9: mov %eax, %cr0")
FAULT(32, pcide, "#GP by CR4.PCIDE outside long mode", VECTOR_GP, 0, (), "mov %cr4, %eax; bts $17, %eax; 9: mov %eax, %cr4")
FAULT(32, lme_pae, "#GP by CR0.PG with EFER.LME and without CR4.PAE", VECTOR_GP, 0, (AFTER(no_lme)), "mov $0xc0000080, %ecx; xor %edx, %edx; mov $0x100, %eax; wrmsr; mov %cr0, %eax; bts $31, %eax; 9: mov %eax, %cr0")
FAULT(32, cs_long, "#GP by CR0.PG with EFER.LME while CS.L is set", VECTOR_GP, 0, (BEFORE(long_code), AFTER(no_lme)),
      "ljmp $0x78, $1f; 1: mov %cr4, %eax; bts $5, %eax; mov %eax, %cr4; mov $0xc0000080, %ecx; xor %edx, %edx; mov $0x100, %eax; wrmsr; mov %cr0, %eax; bts $31, %eax; 9: mov %eax, %cr0")

/* clang-format on */

void program(void)
{
    run_rows();
}
