/* SPDX-License-Identifier: MIT
 *
 * Segmentation in 32-bit protected mode: limits, types, rights, LDT, what loads of segment
 * registers check, far transfers without gates, LAR, LSL, VERR, VERW and ARPL (SDM vol. 3, chapters
 * 3 and 5).
 */
#include "runtime/bare.h"

#define NO_LIMITS "qemu: limits of segments are not checked"
#define NO_RIGHTS "qemu: rights of segments are not checked"

/* Selectors of the segments that prepare() makes. MEMORY is the base of those that are small. */
#define MEMORY 0x80000

static uint64_t local_table[4] __attribute__((aligned(8)));
LOW uint32_t segment_far[2];

static void prepare(void)
{
    static const struct {
        unsigned selector;
        uint32_t base, limit;
        unsigned access, flags;
    } rows[] = {
        {0x78, MEMORY, 0xff, SEGMENT_DATA, SEGMENT_BIG},
        {0x80, MEMORY, 0xff, SEGMENT_DATA_READ, SEGMENT_BIG},
        {0x88, MEMORY, 0xfff, SEGMENT_DOWN, SEGMENT_BIG},
        {0x90, MEMORY, 0xfff, SEGMENT_DOWN, 0},
        {0x98, 0, 0xfffff, SEGMENT_CODE_EXECUTE, SEGMENT_BIG | SEGMENT_GRANULAR},
        {0xa0, MEMORY, 0xff, SEGMENT_CODE, SEGMENT_BIG},
        {0xa8, 0, 0xfffff, SEGMENT_CONFORMING, SEGMENT_BIG | SEGMENT_GRANULAR},
        {0xb0, MEMORY, 0xff, SEGMENT_DATA | SEGMENT_USER, SEGMENT_BIG},
        {0xb8, MEMORY, 0xff, SEGMENT_DATA & ~0x80, SEGMENT_BIG},
        {0xc0, MEMORY, 0xff, SEGMENT_DATA & ~1, SEGMENT_BIG},
        {0xc8, MEMORY, 0, SEGMENT_DATA, SEGMENT_BIG | SEGMENT_GRANULAR},
        {0xd0, 0, 0xfffff, SEGMENT_CODE & ~0x80, SEGMENT_BIG | SEGMENT_GRANULAR},
        {0xd8, 0, 0x5ff, SEGMENT_CODE, SEGMENT_BIG},
        {0xe0, MEMORY, 0xff, SEGMENT_DATA | 0x20, SEGMENT_BIG},
        {0xe8, 0, 0xffff, SEGMENT_DATA, 0},
        {0xf0, 0, 0xfffff, SEGMENT_CODE | SEGMENT_USER, SEGMENT_BIG | SEGMENT_GRANULAR},
        {0xf8, 0, 0xfffff, SEGMENT_CONFORMING | SEGMENT_USER, SEGMENT_BIG | SEGMENT_GRANULAR},
        {0x100, 0, sizeof local_table - 1, 0x82, 0},
        {0x108, 0, sizeof local_table - 1, 0x02, 0},
        {0x110, MEMORY, 0xff, SEGMENT_DATA & ~0x83, SEGMENT_BIG},
        {0x118, 0, 0x67, 0x80 | 11, 0},
        {0x120, 0, 0x67, 0x80 | 1, 0},
        {0x128, 0, 0, 0x80 | GATE_CALL, 0},
        {0x130, 0, 0, 0x80 | GATE_TASK, 0},
        {0x138, 0, 0, 0x80 | GATE_INTERRUPT, 0},
        {0x140, 0, 0, 0x80 | 8, 0},
        {0x148, 0, 0xfffff, SEGMENT_CODE & ~1, SEGMENT_BIG | SEGMENT_GRANULAR},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint32_t base = rows[i].base;
        if ((rows[i].access & 0x1f) == 2) {
            base = (word)local_table;
        }
        set_descriptor(rows[i].selector,
                       descriptor(base, rows[i].limit, rows[i].access, rows[i].flags));
    }
    local_table[1] = descriptor(MEMORY, 0x1f, SEGMENT_DATA & ~1, SEGMENT_BIG);
    local_table[2] = descriptor(0, 0xfffff, SEGMENT_CODE, SEGMENT_BIG | SEGMENT_GRANULAR);
    for (unsigned i = 0; i < 0x2000; i++) {
        ((volatile uint8_t *)MEMORY)[i] = (uint8_t)(i + 1);
    }
}

static void was_accessed(struct event *event)
{
    (void)event;
    expect(gdt[0xc0 / 8] >> 40 & 0xff, SEGMENT_DATA);
    expect(gdt[0x148 / 8] >> 40 & 1, 0);
}

static void code_accessed(struct event *event)
{
    (void)event;
    expect(gdt[0x148 / 8] >> 40 & 1, 1);
}

static void was_not_accessed(struct event *event)
{
    (void)event;
    expect(gdt[0x110 / 8] >> 40 & 1, 0);
}

static void local_accessed(struct event *event)
{
    (void)event;
    expect(local_table[1] >> 40 & 0xff, SEGMENT_DATA);
    __asm__ volatile("lldt %w0" : : "r"(0));
}

static void with_local(struct context *context)
{
    (void)context;
    __asm__ volatile("lldt %w0" : : "r"(0x100));
}

static void nulled(struct event *event)
{
    expect(event->at.ds, 0);
    expect(event->at.es, USER_DATA);
    expect(event->at.fs, 0xf8);
    expect(event->at.cs, USER_CODE32);
    expect(event->at.ss, USER_DATA);
}

static void short_table(struct event *event)
{
    (void)event;
    __asm__ volatile("lgdt gdt_register");
}

static void kept_ds(struct event *event)
{
    expect(event->at.ds, KERNEL_DATA);
}

static void task_again(struct event *event)
{
    (void)event;
    load_task();
}

/* clang-format off */

#define MODE MODE_KERNEL

/* --- limits */
CASE(32, limit_last, "the last byte within the limit", (AX(0)), "mov $0x78, %eax; mov %eax, %fs; xor %eax, %eax; mov %fs:0xff, %al")
FAULT(32, limit_byte, "a byte beyond the limit", VECTOR_GP, 0, (DEVIATION(NO_LIMITS)), "mov $0x78, %eax; mov %eax, %fs; 9: mov %fs:0x100, %al")
FAULT(32, limit_dword, "a doubleword partly beyond the limit", VECTOR_GP, 0, (DEVIATION(NO_LIMITS)), "mov $0x78, %eax; mov %eax, %fs; 9: mov %fs:0xfd, %eax")
CASE(32, limit_dword_ok, "a doubleword up to the limit", (AX(0x00fffefd)), "mov $0x78, %eax; mov %eax, %fs; mov %fs:0xfc, %eax")
FAULT(32, limit_store, "a store beyond the limit", VECTOR_GP, 0, (DEVIATION(NO_LIMITS)), "mov $0x78, %eax; mov %eax, %gs; 9: mov %al, %gs:0x100")
FAULT(32, limit_wrap, "an offset that wraps", VECTOR_GP, 0, (DEVIATION(NO_LIMITS)), "mov $0x78, %eax; mov %eax, %gs; 9: mov %gs:-1, %ax")
FAULT(32, limit_granular, "a limit in pages", VECTOR_GP, 0, (DEVIATION(NO_LIMITS)), "mov $0xc8, %eax; mov %eax, %gs; mov %gs:0xffc, %eax; 9: mov %gs:0x1000, %al")
FAULT(32, limit_string, "REP MOVSB up to the limit of ES", VECTOR_GP, 0, (AX(4), DEVIATION(NO_LIMITS)),
      "mov $0x78, %eax; mov %eax, %es; mov $0x1000, %esi; mov $0xfc, %edi; mov $9, %ecx; mov $4, %eax; 9: rep movsb")
FAULT(32, limit_rmw, "read-modify-write beyond the limit", VECTOR_GP, 0, (DEVIATION(NO_LIMITS)), "mov $0x78, %eax; mov %eax, %fs; 9: incl %fs:0xfd")
FAULT(32, limit_bt, "BTS beyond the limit", VECTOR_GP, 0, (DEVIATION(NO_LIMITS)), "mov $0x78, %eax; mov %eax, %fs; mov $2048, %eax; 9: bts %eax, %fs:0")
FAULT(32, limit_x87, "FSTP of ten bytes partly beyond the limit", VECTOR_GP, 0, (DEVIATION(NO_LIMITS)), "fninit; fldz; mov $0x78, %eax; mov %eax, %fs; 9: fstpt %fs:0xf8")
CASE(32, lea_no_limit, "LEA knows no limit", (AX(0x12345678)), "mov $0x78, %eax; mov %eax, %fs; .byte 0x64; lea 0x12345678, %eax")
CASE(32, base_added, "the base is added", (AX(0x06)), "mov $0x78, %eax; mov %eax, %fs; mov $5, %ebx; xor %eax, %eax; mov %fs:(%ebx), %al")
CASE(32, base_wraps, "base and offset are added modulo 4 GiB", (AX(0x21)), "mov $0xc8, %eax; mov %eax, %fs; xor %eax, %eax; mov $0x20, %ebx; mov %fs:(%ebx), %al")
FAULT(32, down_below, "expand-down: at the limit", VECTOR_GP, 0, (DEVIATION(NO_LIMITS)), "mov $0x88, %eax; mov %eax, %fs; 9: mov %fs:0xfff, %al")
CASE(32, down_ok, "expand-down: above the limit", (AX(0x01)), "mov $0x88, %eax; mov %eax, %fs; xor %eax, %eax; mov %fs:0x1000, %al; mov $1, %eax")
FAULT(32, down_partly, "expand-down: partly below", VECTOR_GP, 0, (DEVIATION(NO_LIMITS)), "mov $0x88, %eax; mov %eax, %fs; 9: mov %fs:0xffe, %eax")
FAULT(32, down_wrap, "expand-down: beyond 4 GiB", VECTOR_GP, 0, (DEVIATION(NO_LIMITS)), "mov $0x88, %eax; mov %eax, %fs; 9: mov %fs:-2, %eax")
CASE(32, down_16_ok, "expand-down of 16 bits: FFFE", (), "mov $0x90, %eax; mov %eax, %fs; mov %fs:0xfffe, %ax")
FAULT(32, down_16, "expand-down of 16 bits: partly above FFFF", VECTOR_GP, 0, (DEVIATION(NO_LIMITS)), "mov $0x90, %eax; mov %eax, %fs; 9: mov %fs:0xffff, %ax")

/* --- rights */
FAULT(32, write_read_only, "a store to a read-only segment", VECTOR_GP, 0, (DEVIATION(NO_RIGHTS)), "mov $0x80, %eax; mov %eax, %fs; 9: mov %al, %fs:0")
CASE(32, read_read_only, "a load from a read-only segment", (AX(1), DEVIATION("qemu: written before")), "mov $0x80, %eax; mov %eax, %fs; xor %eax, %eax; mov %fs:0, %al")
FAULT(32, cmpxchg_read_only, "CMPXCHG that does not exchange, to a read-only segment", VECTOR_GP, 0, (DEVIATION(NO_RIGHTS)), "mov $0x80, %eax; mov %eax, %fs; 9: cmpxchg %ecx, %fs:0")
CASE(32, read_code, "a load from readable code", (AX(2)), "mov $0xa0, %eax; mov %eax, %fs; xor %eax, %eax; mov %fs:1, %al")
FAULT(32, write_code, "a store to code", VECTOR_GP, 0, (DEVIATION(NO_RIGHTS)), "mov $0xa0, %eax; mov %eax, %fs; 9: mov %al, %fs:0")
FAULT(32, write_cs, "a store through CS", VECTOR_GP, 0, (DEVIATION(NO_RIGHTS)), "9: mov %al, %cs:0x500")
CASE(32, read_cs, "a load through CS", (AX(0x78)), ".byte 0xeb, 1; 1: .byte 0x78; xor %eax, %eax; mov %cs:1b, %al")
FAULT(32, null_load, "a load through a null selector", VECTOR_GP, 0, (DEVIATION(NO_RIGHTS)), "xor %eax, %eax; mov %eax, %fs; 9: mov %fs:0x500, %al")
FAULT(32, null_load3, "a load through null selector 3", VECTOR_GP, 0, (DEVIATION(NO_RIGHTS)), "mov $3, %eax; mov %eax, %fs; 9: mov %fs:0x500, %al")
FAULT(32, read_execute_only, "a load from code that may only be executed", VECTOR_GP, 0, (DEVIATION(NO_RIGHTS)), "ljmp $0x98, $1f; 1: 9: mov %cs:0x500, %al; .byte 0")

/* --- loads of segment registers */
FAULT(32, load_execute_only, "DS: execute-only code", VECTOR_GP, 0x98, (AFTER(kept_ds)), "mov $0x98, %eax; 9: mov %eax, %ds")
FAULT(32, load_beyond, "DS: beyond the GDT's limit", VECTOR_GP, 0x400, (), "mov $0x400, %eax; 9: mov %eax, %ds")
FAULT(32, load_partly, "DS: partly beyond the GDT's limit", VECTOR_GP, 0x78, (AFTER(short_table)),
      "sgdt -8(%esp); movw $0x7e, -8(%esp); lgdt -8(%esp); mov $0x70, %eax; mov $0x78, %eax; 9: mov %eax, %ds")
FAULT(32, load_np, "DS: not present", VECTOR_NP, 0xb8, (), "mov $0xb8, %eax; 9: mov %eax, %ds")
FAULT(32, load_np_rpl, "ES: not present, RPL not in the error code", VECTOR_NP, 0xb8, (), "mov $0xbb, %eax; mov $0xb8, %eax; 9: mov %eax, %es")
FAULT(32, load_system, "DS: a TSS", VECTOR_GP, 0x68, (), "mov $0x68, %eax; 9: mov %eax, %ds")
FAULT(32, load_gate, "DS: a call gate", VECTOR_GP, 0x128, (), "mov $0x128, %eax; 9: mov %eax, %ds")
FAULT(32, load_empty, "DS: an empty descriptor", VECTOR_GP, 0x200, (), "mov $0x200, %eax; 9: mov %eax, %ds")
FAULT(32, load_no_ldt, "DS: of the LDT when there is none", VECTOR_GP, 0xc, (), "mov $0xc, %eax; 9: mov %eax, %ds")
FAULT(32, load_type_first, "the type is checked before presence", VECTOR_GP, 0x108, (), "mov $0x108, %eax; 9: mov %eax, %ds")
CASE(32, load_conforming, "DS: conforming code", (), "mov $0xab, %eax; mov %eax, %ds; mov $0x10, %eax; mov %eax, %ds")
FAULT(32, load_rpl, "DS: RPL above DPL", VECTOR_GP, 0x10, (), "mov $0x13, %eax; 9: mov %eax, %ds")
CASE(32, load_rpl_ok, "DS: RPL up to DPL", (), "mov $0xb3, %eax; mov %eax, %ds")
FAULT(32, load_ss_null, "SS: null", VECTOR_GP, 0, (), "xor %eax, %eax; 9: mov %eax, %ss")
FAULT(32, load_ss_read_only, "SS: read-only", VECTOR_GP, 0x80, (), "mov $0x80, %eax; 9: mov %eax, %ss")
FAULT(32, load_ss_code, "SS: code", VECTOR_GP, 0x08, (), "mov $0x8, %eax; 9: mov %eax, %ss")
FAULT(32, load_ss_rpl, "SS: RPL is not CPL", VECTOR_GP, 0x20, (), "mov $0x23, %eax; 9: mov %eax, %ss")
FAULT(32, load_ss_dpl, "SS: DPL is not CPL", VECTOR_GP, 0x20, (), "mov $0x20, %eax; 9: mov %eax, %ss")
FAULT(32, load_ss_np, "SS: not present is #SS", VECTOR_SS, 0xb8, (), "mov $0xb8, %eax; 9: mov %eax, %ss")
FAULT(32, pop_ds, "POP DS that faults leaves ESP", VECTOR_NP, 0xb8, (SP(-4)), "push $0xb8; 9: pop %ds")
FAULT(32, lds_faults, "LDS that faults leaves its register", VECTOR_NP, 0xb8, (AX(7), AFTER(kept_ds)),
      "movl $0x500, segment_far; movl $0xb8, segment_far + 4; mov $7, %eax; 9: lds segment_far, %eax")
FAULT(32, lss_faults, "LSS that faults leaves ESP", VECTOR_GP, 0, (SP(0)), "movl $0x500, segment_far; movl $0, segment_far + 4; 9: lss segment_far, %esp")
CASE(32, accessed, "a load sets the accessed bit", (AFTER(was_accessed)), "mov $0xc0, %eax; mov %eax, %fs")
CASE(32, code_accessed_row, "a far jump sets the accessed bit", (AFTER(code_accessed), DEVIATION("qemu: it does not")), "ljmp $0x148, $1f; 1: ljmp $8, $1f; 1:")
FAULT(32, not_accessed, "a load that faults does not", VECTOR_NP, 0x110, (AFTER(was_not_accessed)), "mov $0x110, %eax; 9: mov %eax, %fs")
CASE(32, local_load, "a segment of the LDT", (AX(0x08), BEFORE(with_local), AFTER(local_accessed)), "mov $0xc, %eax; mov %eax, %fs; xor %eax, %eax; mov %fs:7, %al")
CASE(32, local_code, "code of the LDT", (AX(0x14), BEFORE(with_local)), "ljmp $0x14, $1f; 1: mov %cs, %eax; ljmp $8, $1f; 1: xor %ecx, %ecx; lldt %cx")
FAULT(32, local_beyond, "beyond the LDT's limit", VECTOR_GP, 0x24, (BEFORE(with_local)), "mov $0x24, %eax; 9: mov %eax, %fs")
FAULT(32, lldt_type, "LLDT: not an LDT", VECTOR_GP, 0x78, (), "mov $0x78, %eax; 9: lldt %ax")
FAULT(32, lldt_np, "LLDT: not present", VECTOR_NP, 0x108, (), "mov $0x108, %eax; 9: lldt %ax")
FAULT(32, lldt_local, "LLDT: a selector of the LDT", VECTOR_GP, 0x104, (), "mov $0x104, %eax; 9: lldt %ax")
CASE(32, sldt, "SLDT", (AX(0x100)), "mov $0x100, %eax; lldt %ax; xor %eax, %eax; sldt %eax; xor %ecx, %ecx; lldt %cx")
FAULT(32, ltr_busy, "LTR: busy", VECTOR_GP, 0x118, (), "mov $0x118, %eax; 9: ltr %ax")
FAULT(32, ltr_null, "LTR: null", VECTOR_GP, 0, (AFTER(task_again), DEVIATION("qemu: accepted")), "xor %eax, %eax; 9: ltr %ax")
FAULT(32, ltr_type, "LTR: data", VECTOR_GP, 0x78, (), "mov $0x78, %eax; 9: ltr %ax")
CASE(32, str, "STR", (AX(0x68)), "mov $-1, %eax; str %eax")

/* --- 16-bit stacks */
CASE(32, stack16, "a 16-bit stack uses SP and leaves the upper half of ESP", (AX(0x12340000 - 0x12340000 + 0xfffc), DX(0x1234)),
     "mov %esp, %ebp; mov $0xe8, %eax; mov %eax, %ss; mov $0x12340000, %esp; push $7; mov %esp, %eax; pop %ecx; mov %eax, %edx\n"
     "shr $16, %edx; movzwl %ax, %eax; mov $0x10, %ecx; mov %ecx, %ss; mov %ebp, %esp")
CASE(32, stack16_leave, "LEAVE and ENTER on a 16-bit stack", (AX(0x5555)),
     "mov %esp, %esi; mov $0xe8, %eax; mov %eax, %ss; mov $0x00000ff0, %esp; mov $0x5555, %ebp; enter $4, $0; leave; mov %ebp, %eax\n"
     "mov $0x10, %ecx; mov %ecx, %ss; mov %esi, %esp")
CASE(32, operand16, "16-bit PUSH and POP on a 32-bit stack", (AX(0x1234), SP(0)), "pushw $0x1234; xor %eax, %eax; popw %ax")
CASE(32, push_segment, "PUSH of a segment register takes four bytes", (AX(4), SP(0)), "mov %esp, %eax; push %ds; sub %esp, %eax; pop %ds")

/* --- far transfers */
CASE(32, far_jump, "far JMP and CALL to code of the same level", (AX(0x98), SP(0)), "lcall $0x98, $1f; jmp 2f; 1: mov %cs, %eax; lret; 2:")
FAULT(32, far_null, "far JMP: null", VECTOR_GP, 0, (), "9: ljmp $0, $0x1000")
FAULT(32, far_data, "far JMP: data", VECTOR_GP, 0x78, (), "9: ljmp $0x78, $0x1000")
FAULT(32, far_np, "far JMP: not present", VECTOR_NP, 0xd0, (), "9: ljmp $0xd0, $0x1000")
FAULT(32, far_beyond, "far JMP: beyond the GDT", VECTOR_GP, 0x400, (), "9: ljmp $0x400, $0x1000")
FAULT(32, far_limit, "far JMP: beyond the target's limit", VECTOR_GP, 0, (DEVIATION("bochs: never")), "9: ljmp $0xd8, $0x600")
FAULT(32, far_dpl, "far JMP: code of less privilege", VECTOR_GP, 0xf0, (), "9: ljmp $0xf0, $0x1000")
FAULT(32, far_conforming_dpl, "far JMP: conforming code of less privilege", VECTOR_GP, 0xf8, (), "9: ljmp $0xf8, $0x1000")
FAULT(32, far_rpl, "far JMP: RPL above CPL", VECTOR_GP, 0x98, (), "9: ljmp $0x9b, $0x1000")
FAULT(32, far_call_np, "far CALL that faults leaves ESP", VECTOR_NP, 0xd0, (SP(0)), "9: lcall $0xd0, $0x1000")
FAULT(32, far_interrupt_gate, "far JMP: an interrupt gate", VECTOR_GP, 0x138, (), "9: ljmp $0x138, $0x1000")
FAULT(32, far_reserved, "far JMP: a reserved type", VECTOR_GP, 0x140, (), "9: ljmp $0x140, $0x1000")
FAULT(32, lret_rpl, "far RET to an inner level", VECTOR_GP, 0, (), "push $0; push $0x1000; 9: lret")
ENDS(32, cs_limit, "execution beyond CS's limit", VECTOR_GP, 0, (DEVIATION(NO_LIMITS), .at = (const char *)0x5ff),
     "movl $0x30cd00b0, 0x5ff; ljmp $0xd8, $0x5ff")
ENDS(32, lret_outer, "far RET to CPL 3 makes DS null, leaves ES and conforming FS", VECTOR_GP, 0, (AFTER(nulled)),
     "mov $0x10, %eax; mov %eax, %ds; mov $0x23, %eax; mov %eax, %es; mov $0xf8, %eax; mov %eax, %fs\n"
     "push $0x23; push $0x8000; push $0x1b; push $1f; lret; 1: cli")
ENDS(32, lret_outer_n, "far RET n to CPL 3 adds to both stacks", VECTOR_GP, 0, (AX(0x8008)),
     "push $0x23; push $0x8000; push $1; push $2; mov %esp, %ebx; pop %eax; pop %eax; sub $8, %esp; push $0x1b; push $1f; lret $8; 1: mov %esp, %eax; cli")
FAULT(32, lret_ss, "far RET to CPL 3: SS of CPL 0", VECTOR_GP, 0x10, (), "push $0x10; push $0x8000; push $0x1b; push $0x1000; 9: lret")
FAULT(32, iret_ss_null, "IRET to CPL 3: SS null", VECTOR_GP, 0, (), "push $0; push $0x8000; push $2; push $0x1b; push $0x1000; 9: iret")
FAULT(32, iret_cs_np, "IRET: CS not present", VECTOR_NP, 0xd0, (), "push $2; push $0xd0; push $0x1000; 9: iret")
FAULT(32, lret_ss_np, "far RET to CPL 3: SS not present", VECTOR_SS, 0x110, (DEVIATION("qemu: #NP")), "movb $0x72, gdt + 0x115; push $0x113; push $0x8000; push $0x1b; push $0x1000; 9: lret")

/* --- LAR, LSL, VERR, VERW, ARPL */
#define ZF(set) FLAGS(FLAG_ZF, (set) ? FLAG_ZF : 0)
CASE(32, lar_data, "LAR of data", (AX(0x00409300), ZF(1)), "mov $0x78, %ecx; lar %ecx, %eax")
CASE(32, lar_code, "LAR of conforming code", (AX(0x00c09f00)), "mov $0xa8, %ecx; lar %cx, %eax; and $0xfff0ff00, %eax")
CASE(32, lar_16, "LAR with 16 bits", (AX(0x12349300), ZF(1)), "mov $0x12340000, %eax; mov $0x78, %ecx; lar %cx, %ax")
CASE(32, lar_np, "LAR of what is not present", (AX(0x00401300), ZF(1)), "mov $0xb8, %ecx; lar %ecx, %eax")
CASE(32, lar_tss, "LAR of a busy TSS", (AX(0x00008b00), ZF(1)), "mov $0x118, %ecx; lar %ecx, %eax")
CASE(32, lar_call_gate, "LAR of a call gate", (AX(0x00008c00)), "mov $0x128, %ecx; lar %ecx, %eax; and $0xff00, %eax")
CASE(32, lar_task_gate, "LAR of a task gate", (AX(0x00008500)), "mov $0x130, %ecx; lar %ecx, %eax; and $0xff00, %eax")
CASE(32, lar_interrupt_gate, "LAR of an interrupt gate fails", (AX(5), ZF(0)), "mov $5, %eax; mov $0x138, %ecx; lar %ecx, %eax")
CASE(32, lar_reserved, "LAR of a reserved type fails", (AX(5), ZF(0)), "mov $5, %eax; mov $0x140, %ecx; lar %ecx, %eax")
CASE(32, lar_null, "LAR of null fails", (AX(5), ZF(0)), "mov $5, %eax; xor %ecx, %ecx; lar %ecx, %eax")
CASE(32, lar_beyond, "LAR beyond the GDT fails", (AX(5), ZF(0)), "mov $5, %eax; mov $0x400, %ecx; lar %ecx, %eax")
CASE(32, lar_rpl, "LAR with RPL above DPL fails", (AX(5), ZF(0)), "mov $5, %eax; mov $0x7b, %ecx; lar %ecx, %eax")
CASE(32, lsl_bytes, "LSL in bytes", (AX(0xff), ZF(1)), "mov $0x78, %ecx; lsl %ecx, %eax")
CASE(32, lsl_pages, "LSL in pages", (AX(0xfff), ZF(1)), "mov $0xc8, %ecx; lsl %ecx, %eax")
CASE(32, lsl_flat, "LSL of 4 GiB", (AX(0xffffffff), ZF(1)), "mov $0x10, %ecx; lsl %ecx, %eax")
CASE(32, lsl_16, "LSL with 16 bits", (AX(0x1234ffff), ZF(1)), "mov $0x12340000, %eax; mov $0x10, %ecx; lsl %cx, %ax")
CASE(32, lsl_ldt, "LSL of an LDT", (AX(31), ZF(1)), "mov $0x100, %ecx; lsl %ecx, %eax")
CASE(32, lsl_call_gate, "LSL of a call gate fails", (AX(5), ZF(0)), "mov $5, %eax; mov $0x128, %ecx; lsl %ecx, %eax")
CASE(32, lsl_task_gate, "LSL of a task gate fails", (AX(5), ZF(0)), "mov $5, %eax; mov $0x130, %ecx; lsl %ecx, %eax")
CASE(32, verr_data, "VERR of data", (ZF(1)), "mov $0x78, %ecx; verr %cx")
CASE(32, verr_execute, "VERR of execute-only code fails", (ZF(0)), "mov $0x98, %ecx; verr %cx")
CASE(32, verr_code, "VERR of readable code", (ZF(1)), "mov $0xa0, %ecx; verr %cx")
CASE(32, verr_np, "VERR does not look at presence", (ZF(1)), "mov $0xb8, %ecx; verr %cx")
CASE(32, verr_system, "VERR of a TSS fails", (ZF(0)), "xor %eax, %eax; mov $0x68, %ecx; verr %cx")
CASE(32, verr_conforming, "VERR of conforming code needs no privilege", (ZF(1)), "mov $0xab, %ecx; verr %cx")
CASE(32, verw_data, "VERW of data", (ZF(1)), "mov $0x78, %ecx; verw %cx")
CASE(32, verw_read_only, "VERW of read-only data fails", (ZF(0)), "xor %eax, %eax; mov $0x80, %ecx; verw %cx")
CASE(32, verw_code, "VERW of code fails", (ZF(0)), "xor %eax, %eax; mov $0xa0, %ecx; verw %cx")
CASE(32, verw_rpl, "VERW with RPL above DPL fails", (ZF(0)), "xor %eax, %eax; mov $0x7b, %ecx; verw %cx")
CASE(32, arpl_up, "ARPL raises RPL", (AX(0x13), ZF(1)), "mov $0x10, %eax; mov $3, %ecx; arpl %cx, %ax")
CASE(32, arpl_same, "ARPL leaves RPL", (AX(0x13), ZF(0)), "mov $0x13, %eax; mov $1, %ecx; arpl %cx, %ax")
CASE(32, arpl_memory, "ARPL in memory", (AX(0x12), ZF(1)), "movw $0x10, segment_far; mov $2, %ecx; arpl %cx, segment_far; mov segment_far, %ax; pushf; movzwl %ax, %eax; popf")

/* --- user mode */
#undef MODE
#define MODE MODE_USER
FAULT(32, user_kernel_data, "CPL 3: DS of DPL 0", VECTOR_GP, 0x10, (), "mov $0x10, %eax; 9: mov %eax, %ds")
FAULT(32, user_dpl1, "CPL 3: DS of DPL 1", VECTOR_GP, 0xe0, (), "mov $0xe3, %eax; 9: mov %eax, %ds")
CASE(32, user_conforming_data, "CPL 3: DS of conforming code", (), "mov $0xab, %eax; mov %eax, %ds")
CASE(32, user_conforming, "CPL 3: a far CALL to conforming code keeps CPL", (AX(0xab), SP(0)), "lcall $0xa8, $1f; jmp 2f; 1: mov %cs, %eax; lret; 2:")
FAULT(32, user_far_kernel, "CPL 3: a far CALL to code of CPL 0", VECTOR_GP, 0x08, (), "9: lcall $8, $0x1000")
FAULT(32, user_lret_kernel, "CPL 3: a far RET to CPL 0", VECTOR_GP, 0x08, (), "push $8; push $0x1000; 9: lret")
FAULT(32, user_iret_kernel, "CPL 3: an IRET to CPL 0", VECTOR_GP, 0x08, (), "push $2; push $8; push $0x1000; 9: iret")
FAULT(32, user_limit, "CPL 3: limit", VECTOR_GP, 0, (DEVIATION(NO_LIMITS)), "mov $0xb3, %eax; mov %eax, %ds; 9: mov 0x100, %eax")
FAULT(32, user_stack_limit, "CPL 3: a push below an expand-up stack's 0", VECTOR_SS, 0, (DEVIATION(NO_LIMITS)), "mov $0xb3, %eax; mov %eax, %ss; xor %esp, %esp; 9: push %eax")
FAULT(32, user_stack_access, "CPL 3: an access beyond SS's limit", VECTOR_SS, 0, (DEVIATION(NO_LIMITS)), "mov $0xb3, %eax; mov %eax, %ss; mov $0x100, %ebp; 9: mov (%ebp), %al")
FAULT(32, user_stack_call, "CPL 3: CALL on a stack that is full", VECTOR_SS, 0, (DEVIATION(NO_LIMITS)), "mov $0xb3, %eax; mov %eax, %ss; mov $2, %esp; 9: call 1f; 1:")
FAULT(32, user_stack_pop, "CPL 3: POP beyond the limit", VECTOR_SS, 0, (DEVIATION(NO_LIMITS)), "mov $0xb3, %eax; mov %eax, %ss; mov $0x100, %esp; 9: pop %eax")
FAULT(32, user_pusha, "CPL 3: PUSHA on a stack too small writes nothing", VECTOR_SS, 0, (DEVIATION(NO_LIMITS)), "mov $0xb3, %eax; mov %eax, %ss; mov $16, %esp; 9: pusha")
CASE(32, user_lar_kernel, "CPL 3: LAR of a segment of CPL 0 fails", (AX(5), ZF(0)), "mov $5, %eax; mov $0x10, %ecx; lar %ecx, %eax")
CASE(32, user_lar_conforming, "CPL 3: LAR of conforming code", (ZF(1)), "mov $0xa8, %ecx; lar %ecx, %eax")
CASE(32, user_verr, "CPL 3: VERR of a segment of CPL 0 fails", (ZF(0)), "mov $0x10, %ecx; test %ecx, %ecx; verr %cx")
CASE(32, user_iopl, "CPL 3: POPF leaves IOPL and IF", (FLAGS(FLAG_IF | FLAG_IOPL, 0)), "push $0x3202; popf")

#undef MODE
#define MODE MODE_KERNEL16
CASE(16, code16, "16-bit protected code: default sizes", (AX(0x5678)), "mov $0x5678, %ax; push %ax; pop %cx")
FAULT(16, code16_limit, "16-bit protected code: beyond FFFF", VECTOR_GP, 0, (DEVIATION(NO_LIMITS)), "mov $0x10000, %ebx; 9: mov (%ebx), %al")
CASE(16, code16_wrap, "16-bit protected code: IP is of 16 bits", (AX(3)), "mov $1f, %eax; or $0, %eax; jmp *%ax; 1: mov $3, %eax")

/* clang-format on */

void program(void)
{
    prepare();
    run_rows();
}
