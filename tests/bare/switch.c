/* SPDX-License-Identifier: MIT
 *
 * Mode changes: real mode to protected mode of 16 and 32 bits, unreal mode, long mode and its
 * compatibility mode, and back, in the orders the manuals allow (SDM vol. 3, 10.8.5 and 10.9).
 *
 * Each case is real-mode code that comes back to real mode by itself.
 */
#include "runtime/bare.h"

#define MODE      MODE_REAL
#define NO_LIMITS "qemu: limits of segments are not checked"

/* Page tables at fixed places: 4 GiB one to one. */
enum { PML4 = 0x60000, PDPT = 0x61000, PD = 0x62000, PD32 = 0x66000, PDPT_PAE = 0x67000 };

LOW uint32_t switch_far[2];
LOW uint64_t switch_result[4];
#define SMALL_DATA  (FREE)      /* limit ff, base 0 */
#define BIG_DATA16  (FREE + 8)  /* limit 4 GiB, base 500 */
#define CODE16_BASE (FREE + 16) /* 16-bit code at base 1000 */

/* Pieces of code. Registers EAX is lost. */
#define SET_PE     "mov %cr0, %eax; or $1, %al; mov %eax, %cr0\n"
#define CLEAR_PE   "mov %cr0, %eax; and $0xfe, %al; mov %eax, %cr0\n"
#define CLEAR_PG   "mov %cr0, %eax; and $0x7fffffff, %eax; mov %eax, %cr0\n"
#define SET_PG_PE  "mov %cr0, %eax; or $0x80000001, %eax; mov %eax, %cr0\n"
#define CR3(table) "mov $" #table ", %eax; mov %eax, %cr3\n"
#define PAE_ON     "mov %cr4, %eax; or $0x20, %eax; mov %eax, %cr4\n"
#define PAE_OFF    "mov %cr4, %eax; and $~0x30, %eax; mov %eax, %cr4\n"
#define PSE_ON     "mov %cr4, %eax; or $0x10, %eax; mov %eax, %cr4\n"
#define LME_ON     "mov $0xc0000080, %ecx; rdmsr; or $0x100, %eax; wrmsr\n"
#define LME_OFF \
    "mov %edx, %esi; mov $0xc0000080, %ecx; rdmsr; and $~0x100, %eax; wrmsr; mov %esi, %edx\n"
#define GDT            "lgdtl %cs:gdt_register\n"
#define DATA(selector) "mov $" #selector ", %ax; mov %ax, %ds; mov %ax, %es; mov %ax, %ss\n"
/* From 16-bit protected mode to real mode, segments of 0 again. */
#define REAL \
    CLEAR_PE "ljmp $0, $77f; 77: xor %eax, %eax; mov %ax, %ds; mov %ax, %es; mov %ax, %ss\n"
/* From 32-bit code, too. */
#define REAL_FROM_32                                                                       \
    "ljmp $0x48, $78f\n.code16\n78: mov $0x50, %ax; mov %ax, %ds; mov %ax, %es; mov %ax, " \
    "%ss\n" REAL
/* Real mode to 64-bit mode at once, with CS 38 (SDM vol. 3, 10.8.5.4 has a way over protected
 * mode). */
#define TO_LONG                              \
    GDT PAE_ON CR3(0x60000) LME_ON SET_PG_PE \
        "ljmp $0x38, $79f\n.code64\n79: "    \
        "mov $0x10, %eax; mov %eax, %ds; mov %eax, %es; mov %eax, %ss\n"
/* 64-bit mode to real mode, through compatibility mode of 16 bits. */
#define FROM_LONG                                                                                \
    "pushq $0x48; mov $80f, %eax; push %rax; lretq\n.code16\n80: mov $0x50, %ax; mov %ax, %ds; " \
    "mov %ax, %es; mov %ax, %ss\n" CLEAR_PG LME_OFF PAE_OFF REAL

/* clang-format off */

/* --- PE */

CASE(16, pe_only, "PE without a far jump goes on with the old CS", (AX(0x11), DX(1)),
     GDT SET_PE "mov %cr0, %edx; and $1, %edx\n" CLEAR_PE "mov $0x11, %eax")
CASE(16, pe_16, "16-bit protected mode and back", (AX(0), DX(0x48)),
     GDT SET_PE "ljmp $0x48, $1f; 1: mov %cs, %dx\n" DATA(0x50) REAL)
CASE(16, pe_16_base, "16-bit protected mode with a base", (AX(0x9988), DX(0x88)),
     GDT SET_PE "ljmp $0x88, $1f - 0x1000; 1: mov %cs, %dx\n" DATA(0x50) "ljmp $0x48, $1f; 1:\n" REAL "mov $0x9988, %ax")
CASE(16, pe_32, "32-bit protected mode and back", (AX(0), DX(0x12345678)),
     GDT SET_PE "ljmp $8, $1f\n.code32\n1:" DATA(0x10) "mov $0x12345678, %edx\n" REAL_FROM_32)
CASE(16, pe_32_stack, "the stack of 32-bit protected mode", (AX(0), DX(0x9abcdef0), SP(0)),
     GDT SET_PE "ljmp $8, $1f\n.code32\n1:" DATA(0x10) "mov %esp, %ecx; mov $0x90000, %esp; push $0x9abcdef0; pop %edx; mov %ecx, %esp\n"
     REAL_FROM_32)
CASE(16, pe_lmsw, "LMSW sets PE and cannot clear it", (AX(0), DX(0x10001)),
     GDT "mov $0x10000, %edx; smsw %ax; or $1, %al; lmsw %ax; and $0xfe, %al; lmsw %ax; mov %cr0, %eax; and $1, %eax; or %eax, %edx\n"
     "ljmp $0x48, $1f; 1:\n" DATA(0x50) REAL)
CASE(16, pe_o32_jump, "a far jump with 32-bit offset", (AX(0), DX(5)),
     GDT SET_PE "ljmpl $8, $1f\n.code32\n1:" DATA(0x10) "mov $5, %edx\n" REAL_FROM_32)
CASE(16, pe_far_memory, "far jump and call through memory, far return, between sizes", (AX(0), DX(0x321), SP(0)),
     GDT "movw $1f, switch_far; movw $8, switch_far + 2\n" SET_PE "ljmp *switch_far\n.code32\n1:" DATA(0x10)
     "movl $2f, switch_far; movw $0x48, switch_far + 4; xor %edx, %edx; lcall *switch_far; or $0x300, %edx; jmp 3f\n"
     ".code16\n2: or $1, %dx; lcalll $8, $4f; lretl\n"
     ".code32\n4: or $0x20, %edx; lret\n"
     "3:" REAL_FROM_32)
CASE(16, pe_iret, "IRET between 16 and 32 bits", (AX(0), DX(0x48), SP(0)),
     GDT SET_PE "ljmp $8, $1f\n.code32\n1:" DATA(0x10) "pushl $2; pushl $0x48; pushl $1f; iretl\n"
     ".code16\n1: mov %cs, %dx; pushw $2; pushw $8; pushw $1f; iretw\n.code32\n1:" REAL_FROM_32)

/* --- what stays behind: hidden parts of segment registers */

CASE(16, unreal, "unreal mode: a limit of 4 GiB stays in real mode", (AX(0), DX(0x5a)),
     "mov $0x200000, %ebx\n" GDT SET_PE "mov $0x80, %ax; mov %ax, %ds\n" CLEAR_PE
     "movb $0x5a, (%ebx); xor %edx, %edx; mov (%ebx), %dl; xor %eax, %eax; mov %ax, %ds")
CASE(16, unreal_base, "unreal mode: the base stays until the register is loaded", (AX(0), DX(0x7700)),
     "movw $0x7700, 0x510\n" GDT SET_PE "mov $0x80, %ax; mov %ax, %fs\n" CLEAR_PE "mov %fs:0x10, %dx; xor %eax, %eax; mov %ax, %fs")
CASE(16, unreal_load, "unreal mode: a load in real mode sets the base and leaves the limit", (AX(0), DX(0x66)),
     "mov $0x200000, %ebx\n" GDT SET_PE "mov $0x80, %ax; mov %ax, %ds\n" CLEAR_PE
     "mov $0x10, %ax; mov %ax, %ds; movb $0x66, 0x100(%ebx); xor %ax, %ax; mov %ax, %es; xor %edx, %edx; mov %ax, %ds\n"
     "mov 0x200(%ebx), %dl; xor %eax, %eax")
ENDS(16, small_limit, "a limit of ff stays in real mode", VECTOR_GP, 0, (DEVIATION(NO_LIMITS)),
     GDT SET_PE "mov $0x78, %ax; mov %ax, %es\n" CLEAR_PE "mov $0xff, %bx; mov %es:(%bx), %al; inc %bx; mov %es:(%bx), %al")
CASE(16, limit_again, "protected mode gives the limit of 64 KiB again", (AX(0)),
     GDT SET_PE "mov $0x50, %ax; mov %ax, %es; mov %ax, %ds\n" CLEAR_PE "xor %eax, %eax; mov %ax, %es; mov %ax, %ds; mov %es:0xffff, %al; xor %eax, %eax")
CASE(16, cs_stays, "CS keeps its base after PE is cleared, until a far jump", (AX(0x11), DX(0x88)),
     GDT SET_PE "ljmp $0x88, $1f - 0x1000; 1:" DATA(0x50) CLEAR_PE "mov %cs, %dx; ljmp $0, $1f; 1: xor %ax, %ax; mov %ax, %ds; mov %ax, %es; mov %ax, %ss\n"
     "mov $0x11, %eax")

/* --- paging without long mode */

CASE(16, pg_32, "32-bit paging on and off", (AX(0), DX(0x80000001)),
     GDT PSE_ON CR3(0x66000) SET_PE "ljmp $8, $1f\n.code32\n1:" DATA(0x10) SET_PG_PE "jmp 1f; 1: mov %cr0, %edx; and $0x80000001, %edx\n"
     CLEAR_PG PAE_OFF REAL_FROM_32)
CASE(16, pg_pe_at_once, "PE and PG set at once", (AX(0), DX(0x80000001)),
     GDT PSE_ON CR3(0x66000) SET_PG_PE "mov %cr0, %edx; and $0x80000001, %edx; ljmp $8, $1f\n.code32\n1:" DATA(0x10)
     CLEAR_PG PAE_OFF REAL_FROM_32)
CASE(16, pg_clear_both, "PE and PG cleared at once", (AX(0), DX(7)),
     GDT PSE_ON CR3(0x66000) SET_PG_PE "ljmp $0x48, $1f; 1:" DATA(0x50) "mov %cr0, %eax; and $0x7ffffffe, %eax; mov %eax, %cr0; ljmp $0, $1f\n"
     "1: xor %eax, %eax; mov %ax, %ds; mov %ax, %es; mov %ax, %ss\n" PAE_OFF "mov $7, %edx; xor %eax, %eax")
CASE(16, pg_pae, "PAE paging on and off", (AX(0), DX(0x20)),
     GDT PAE_ON CR3(0x67000) SET_PG_PE "ljmp $8, $1f\n.code32\n1:" DATA(0x10) "mov %cr4, %edx; and $0x20, %edx\n" CLEAR_PG PAE_OFF REAL_FROM_32)

/* --- long mode */

CASE(16, long_mode, "64-bit mode and back", (AX(0), DX(0x12345678)),
     TO_LONG "movabs $0x1234567800000000, %rdx; shr $32, %rdx\n" FROM_LONG)
CASE(16, long_lma, "LMA is set with PG and cleared with it", (AX(0x100), DX(0x500)),
     TO_LONG "mov $0xc0000080, %ecx; rdmsr; and $0x500, %eax; mov %rax, switch_result(%rip)\n" 
     "pushq $0x48; mov $1f, %eax; push %rax; lretq\n.code16\n1: mov $0x50, %ax; mov %ax, %ds; mov %ax, %es; mov %ax, %ss\n" CLEAR_PG
     "mov $0xc0000080, %ecx; rdmsr; and $0x500, %eax; push %eax\n" LME_OFF PAE_OFF REAL "pop %eax; mov switch_result, %edx")
CASE(16, long_r15, "registers of 64 bits", (AX(0), DX(0x9abcdef0)),
     TO_LONG "movabs $0x123456789abcdef0, %r15; mov %r15, %r8; push %r8; pop %rdx; mov %edx, %edx\n" FROM_LONG)
CASE(16, long_upper, "32-bit results clear the upper half", (AX(0), DX(0)),
     TO_LONG "mov $-1, %rdx; mov %edx, %edx; shr $32, %rdx\n" FROM_LONG)
CASE(16, long_compat32, "compatibility mode of 32 bits", (AX(0), DX(0x8)),
     TO_LONG "ljmp *1f(%rip)\n1: .long 2f\n.word 8\n.code32\n2: xor %eax, %eax; .byte 0x40; mov %cs, %edx; cmp $1, %eax; je 3f; xor %edx, %edx\n"
     "3: ljmp $0x38, $4f\n.code64\n4:" FROM_LONG)
CASE(16, long_compat16, "compatibility mode of 16 bits and a far return", (AX(0), DX(0x48)),
     TO_LONG "lcall *1f(%rip); jmp 5f\n1: .long 2f\n.word 0x48\n.code16\n2: mov %cs, %dx; mov $0x1234, %cx; lretl\n.code64\n5:" FROM_LONG)
CASE(16, long_call64, "far CALL from compatibility to 64-bit mode and back", (AX(0), DX(0x38)),
     TO_LONG "pushq $8; mov $1f, %eax; push %rax; lretq\n.code32\n1: lcall $0x38, $2f; ljmp $0x38, $3f\n.code64\n2: mov %cs, %edx; lretl\n3:" FROM_LONG)
CASE(16, long_iretq, "IRETQ to compatibility mode, IRETD back", (AX(0), DX(0x808)),
     TO_LONG "mov %rsp, %rcx; pushq $0x10; push %rcx; pushq $2; pushq $8; mov $1f, %eax; push %rax; iretq\n"
     ".code32\n1: mov %cs, %edx; shl $8, %edx; mov %cs, %eax; or %eax, %edx; pushl $2; pushl $0x38; pushl $2f; iretl\n.code64\n2:" FROM_LONG)
CASE(16, long_ljmp64, "far JMP through 16:64", (AX(0), DX(0x33)),
     TO_LONG "rex.w ljmp *1f(%rip)\n1: .long 2f, 0\n.word 0x38\n2: mov $0x33, %edx\n" FROM_LONG)
CASE(16, long_null_ss, "SS may be null at CPL 0 in 64-bit mode", (AX(0), DX(0x77)),
     TO_LONG "xor %eax, %eax; mov %eax, %ss; push $0x77; pop %rdx; mov $0x10, %eax; mov %eax, %ss\n" FROM_LONG)
CASE(16, long_ds_ignored, "bases of DS and ES do not count in 64-bit mode", (AX(0), DX(0x4711), DEVIATION("qemu: an ES prefix adds the base")),
     "movl $0x4711, switch_result\n" TO_LONG "mov $0x80, %eax; mov %eax, %ds; mov %eax, %es; mov switch_result(%rip), %edx; mov $switch_result, %ebx; cmp %edx, %es:(%rbx)\n"
     "je 1f; xor %edx, %edx; 1:\n" FROM_LONG)
CASE(16, long_fs_base, "a load of FS in 64-bit mode loads its base", (AX(0), DX(0x500)),
     TO_LONG "mov $0x80, %eax; mov %eax, %fs; mov $0xc0000100, %ecx; rdmsr; mov %eax, %edx; xor %eax, %eax; mov %eax, %fs\n" FROM_LONG)
CASE(16, long_from_protected, "over 32-bit protected mode without paging", (AX(0), DX(0x64)),
     GDT SET_PE "ljmp $8, $1f\n.code32\n1:" DATA(0x10) PAE_ON CR3(0x60000) LME_ON SET_PG_PE
     "jmp 1f; 1: ljmp $0x38, $2f\n.code64\n2: mov $0x64, %edx\n" FROM_LONG)
CASE(16, long_from_compat, "right after PG the code is compatibility mode", (AX(0), DX(1)),
     GDT SET_PE "ljmp $8, $1f\n.code32\n1:" DATA(0x10) PAE_ON CR3(0x60000) LME_ON SET_PG_PE
     "xor %edx, %edx; .byte 0x42; ljmp $0x38, $2f\n.code64\n2:" FROM_LONG)
CASE(16, long_leave_32, "leaving from 32-bit compatibility mode", (AX(0), DX(0x32)),
     TO_LONG "pushq $8; mov $1f, %eax; push %rax; lretq\n.code32\n1:" CLEAR_PG LME_OFF PAE_OFF "mov $0x32, %edx\n" REAL_FROM_32)
CASE(16, long_again, "long mode, PAE paging, long mode", (AX(0), DX(0x99)),
     TO_LONG "pushq $8; mov $1f, %eax; push %rax; lretq\n.code32\n1:" CLEAR_PG LME_OFF CR3(0x67000) SET_PG_PE "jmp 1f; 1: mov $0x99, %edx; push %edx\n"
     CLEAR_PG LME_ON CR3(0x60000) SET_PG_PE "pop %edx; ljmp $0x38, $2f\n.code64\n2: push %rdx\n"
     "pushq $0x48; mov $1f, %eax; push %rax; lretq\n.code16\n1: mov $0x50, %ax; mov %ax, %ds; mov %ax, %es; mov %ax, %ss\n"
     CLEAR_PG LME_OFF PAE_OFF REAL "pop %edx; pop %eax; xor %eax, %eax")
CASE(16, interrupts_after, "interrupts of real mode after all that", (AX(0x5), DX(0)),
     "movw $1f, 0x61 * 4; movw $0, 0x61 * 4 + 2; int $0x61; jmp 2f; 1: mov $5, %ax; iret; 2:")

/* clang-format on */

static void tables(void)
{
    uint64_t *pml4 = (uint64_t *)PML4, *pdpt = (uint64_t *)PDPT, *pd = (uint64_t *)PD;
    uint64_t *pae = (uint64_t *)PDPT_PAE;
    uint32_t *pd32 = (uint32_t *)PD32;
    memory_set(pml4, 0, 0x8000);
    pml4[0] = PDPT | 3;
    for (unsigned i = 0; i < 4; i++) {
        pdpt[i] = (PD + 0x1000 * i) | 3;
        pae[i] = (PD + 0x1000 * i) | 1;
    }
    for (unsigned i = 0; i < 2048; i++) {
        pd[i] = (uint64_t)i << 21 | 0x83;
    }
    for (unsigned i = 0; i < 1024; i++) {
        pd32[i] = i << 22 | 0x83;
    }
}

void program(void)
{
    real_vectors();
    tables();
    set_descriptor(SMALL_DATA, descriptor(0, 0xff, SEGMENT_DATA, 0));
    set_descriptor(BIG_DATA16, descriptor(0x500, 0xfffff, SEGMENT_DATA, SEGMENT_GRANULAR));
    set_descriptor(CODE16_BASE, descriptor(0x1000, 0xffff, SEGMENT_CODE, 0));
    run_rows();
}
