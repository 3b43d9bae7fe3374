/* build: 64 */
/* SPDX-License-Identifier: MIT
 *
 * Exceptions in long mode: vectors, error codes, what is saved and which comes first; IST, double
 * faults, gates; 64-bit and compatibility mode, at CPL 0 and 3 (SDM vol. 3, chapter 6).
 */
#include "runtime/bare.h"

static void no_change(struct context *context)
{
    (void)context;
}

static void restore_gates(struct event *event)
{
    (void)event;
    default_gates();
}

static void restore_cr0(struct event *event)
{
    (void)event;
    write_cr0(CR0_PE | CR0_PG | CR0_ET | CR0_NE);
    write_cr4(CR4_PAE);
    __asm__ volatile("fninit");
}

static void set_em(struct context *context)
{
    (void)context;
    write_cr0(read_cr0() | CR0_EM);
}

static void set_ts(struct context *context)
{
    (void)context;
    write_cr0(read_cr0() | CR0_TS);
}

static void set_sse(struct context *context)
{
    (void)context;
    write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT);
}

static void set_sse_no_xm(struct context *context)
{
    (void)context;
    write_cr4(read_cr4() | CR4_OSFXSR);
}

static void set_sse_em(struct context *context)
{
    set_sse(context);
    set_em(context);
}

static void set_sse_ts(struct context *context)
{
    set_sse(context);
    set_ts(context);
}

static void set_am(struct context *context)
{
    write_cr0(read_cr0() | CR0_AM);
    context->flags |= FLAG_AC;
    context->bx = 0x500;
}

static void set_ac_only(struct context *context)
{
    context->flags |= FLAG_AC;
    context->bx = 0x500;
}

static void not_present(struct context *context)
{
    (void)context;
    set_descriptor(FREE, descriptor(0, 0xfffff, 0x13, 0xc));
    set_descriptor(FREE + 8, descriptor(0, 0xfffff, SEGMENT_CODE & ~0x80, 0xa));
}

static void gate_not_present(struct context *context)
{
    (void)context;
    idt[2 * 0x40] &= ~(UINT64_C(0x80) << 40);
}

static void gate_dpl0(struct context *context)
{
    (void)context;
    set_gate(0x40, GATE_INTERRUPT, KERNEL_CODE, (word)trap_entries + 16 * 0x40, 0, 0);
}

static void gate_null(struct context *context)
{
    (void)context;
    set_gate(0x40, GATE_INTERRUPT, 0, (word)trap_entries + 16 * 0x40, 3, 0);
}

static void gate_beyond(struct context *context)
{
    (void)context;
    set_gate(0x40, GATE_INTERRUPT, 0x400, (word)trap_entries + 16 * 0x40, 3, 0);
}

static void gate_data(struct context *context)
{
    (void)context;
    set_gate(0x40, GATE_INTERRUPT, DATA32, (word)trap_entries + 16 * 0x40, 3, 0);
}

static void gate_code32(struct context *context)
{
    (void)context;
    set_gate(0x40, GATE_INTERRUPT, CODE32, (word)trap_entries + 16 * 0x40, 3, 0);
}

static void gate_user(struct context *context)
{
    (void)context;
    set_gate(0x40, GATE_INTERRUPT, USER_CODE64, (word)trap_entries + 16 * 0x40, 3, 0);
}

static void gate_absent_code(struct context *context)
{
    not_present(context);
    set_gate(0x40, GATE_INTERRUPT, FREE + 8, (word)trap_entries + 16 * 0x40, 3, 0);
}

static void gate_type(struct context *context)
{
    (void)context;
    set_gate(0x40, GATE_CALL, KERNEL_CODE, (word)trap_entries + 16 * 0x40, 3, 0);
}

static void gate_task(struct context *context)
{
    (void)context;
    set_gate(0x40, GATE_TASK, TASK, 0, 3, 0);
}

static void gate_type286(struct context *context)
{
    (void)context;
    set_gate(0x40, GATE_INTERRUPT16, KERNEL_CODE, (word)trap_entries + 16 * 0x40, 3, 0);
}

static void gate_not_canonical(struct context *context)
{
    (void)context;
    set_gate(0x40, GATE_INTERRUPT, KERNEL_CODE, BIT(60), 3, 0);
}

static void gate_trap(struct context *context)
{
    context->flags |= FLAG_IF;
    set_gate(0x40, GATE_TRAP, KERNEL_CODE, (word)trap_entries + 16 * 0x40, 3, 0);
}

static void gate_ist(struct context *context)
{
    (void)context;
    task_state.ist[2] = (word)trap_stack_end - 0x800;
    set_gate(0x40, GATE_INTERRUPT, KERNEL_CODE, (word)trap_entries + 16 * 0x40, 3, 3);
}

static void was_ist(struct event *event)
{
    expect(event->frame, (word)trap_stack_end - 0x800 - 40);
    default_gates();
}

static void was_aligned(struct event *event)
{
    expect(event->frame, (event->at.sp & ~15ul) - 40);
    expect(event->at.sp & 15, 5);
}

static void odd_stack(struct context *context)
{
    context->sp = ((word)low_stack_end & ~15ul) - 0x100 + 5;
}

static void was_user(struct event *event)
{
    expect(event->at.ss, USER_DATA);
    expect(event->at.cs, USER_CODE64);
    expect(event->frame, (word)trap_stack_end - 40);
    expect(event->at.sp, (word)low_stack_end);
}

static void was_user32(struct event *event)
{
    expect(event->at.ss, USER_DATA);
    expect(event->at.cs, USER_CODE32);
    expect(event->frame, (word)trap_stack_end - 40);
}

static void bad_stack(struct context *context)
{
    context->sp = BIT(62);
}

static void bad_df(struct context *context)
{
    bad_stack(context);
    set_gate(VECTOR_PF, GATE_INTERRUPT, 0, (word)trap_entries + 16 * VECTOR_PF, 0, 0);
}

static void unmapped_pf_gate(struct context *context)
{
    (void)context;
    set_gate(VECTOR_PF, GATE_INTERRUPT, 0, (word)trap_entries + 16 * VECTOR_PF, 0, 0);
}

static void gp_gate_null(struct context *context)
{
    (void)context;
    set_gate(VECTOR_GP, GATE_INTERRUPT, 0, (word)trap_entries + 16 * VECTOR_GP, 0, 0);
}

static void de_gate_absent(struct context *context)
{
    (void)context;
    idt[2 * VECTOR_DE] &= ~(UINT64_C(0x80) << 40);
}

static void ud_gate_null(struct context *context)
{
    (void)context;
    set_gate(VECTOR_UD, GATE_INTERRUPT, 0, (word)trap_entries + 16 * VECTOR_UD, 0, 0);
}

static void no_rf(struct event *event)
{
    expect(event->at.flags & FLAG_RF, 0);
}

static void has_rf(struct event *event)
{
    expect(event->at.flags & FLAG_RF, FLAG_RF);
}

/* clang-format off */

#define MODE MODE_KERNEL
FAULT(64, de, "#DE by DIV", VECTOR_DE, 0, (AFTER(has_rf), DEVIATION("qemu: RF is not saved")), "xor %edx, %edx; xor %ecx, %ecx; 9: div %rcx")
FAULT(64, de_idiv, "#DE by IDIV of the least number by -1", VECTOR_DE, 0, (), "movabs $0x8000000000000000, %rax; cqo; mov $-1, %rcx; 9: idiv %rcx")
FAULT(64, db_icebp, "#DB by INT1", VECTOR_DB, 0, (DEVIATION("qemu: INT1 is invalid")), "int1; 9:")
FAULT(64, bp, "#BP by INT3", VECTOR_BP, 0, (AFTER(no_rf)), "int3; 9:")
FAULT(64, bp_cd, "#BP by INT 3", VECTOR_BP, 0, (), ".byte 0xcd, 3; 9:")
FAULT(64, ud, "#UD by UD2", VECTOR_UD, 0, (AFTER(has_rf), DEVIATION("qemu: RF is not saved")), "9: ud2")
FAULT(64, ud1, "#UD by UD1", VECTOR_UD, 0, (), "9: .byte 0x0f, 0xb9, 0xc0")
FAULT(64, ud0, "#UD by UD0", VECTOR_UD, 0, (), "9: .byte 0x0f, 0xff, 0xc0")
FAULT(64, ud_lock, "#UD by LOCK MOV", VECTOR_UD, 0, (DEVIATION("qemu: ignored")), "9: .byte 0xf0, 0x89, 0x03")
FAULT(64, ud_into, "#UD by INTO in 64-bit mode", VECTOR_UD, 0, (), "9: .byte 0xce")
FAULT(64, ud_daa, "#UD by DAA in 64-bit mode", VECTOR_UD, 0, (), "9: .byte 0x27")
FAULT(64, ud_aam, "#UD by AAM in 64-bit mode", VECTOR_UD, 0, (), "9: .byte 0xd4, 0x0a")
FAULT(64, ud_push_es, "#UD by PUSH ES in 64-bit mode", VECTOR_UD, 0, (), "9: .byte 0x06")
FAULT(64, ud_pusha, "#UD by PUSHA in 64-bit mode", VECTOR_UD, 0, (), "9: .byte 0x60")
FAULT(64, ud_lcall, "#UD by far CALL with immediate in 64-bit mode", VECTOR_UD, 0, (), "9: .byte 0x9a, 0, 0, 0, 0, 0, 0")
FAULT(64, ud_ljmp, "#UD by far JMP with immediate in 64-bit mode", VECTOR_UD, 0, (), "9: .byte 0xea, 0, 0, 0, 0, 0, 0")
FAULT(64, ud_82, "#UD by opcode 82 in 64-bit mode", VECTOR_UD, 0, (), "9: .byte 0x82, 0xc0, 0")
FAULT(64, ud_lds, "#UD by VEX with a bad map", VECTOR_UD, 0, (), "9: .byte 0xc4, 0x1f, 0x78, 0x77, 0")
FAULT(64, ud_salc, "#UD by SALC in 64-bit mode", VECTOR_UD, 0, (), "9: .byte 0xd6")
FAULT(64, ud_cr1, "#UD by MOV from CR1", VECTOR_UD, 0, (), "9: .byte 0x0f, 0x20, 0xc8")
FAULT(64, ud_cr5, "#UD by MOV to CR5", VECTOR_UD, 0, (), "9: .byte 0x0f, 0x22, 0xe8")
FAULT(64, ud_mov_cs, "#UD by MOV to CS", VECTOR_UD, 0, (), "9: .byte 0x8e, 0xc8")
FAULT(64, ud_segment6, "#UD by MOV from segment register 6", VECTOR_UD, 0, (), "9: .byte 0x8c, 0xf0")
FAULT(64, ud_cmpxchg8b, "#UD by CMPXCHG8B of a register", VECTOR_UD, 0, (), "9: .byte 0x0f, 0xc7, 0xc8")
FAULT(64, nm_em, "#NM by x87 with EM", VECTOR_NM, 0, (BEFORE(set_em), AFTER(restore_cr0)), "9: fldz")
FAULT(64, nm_ts, "#NM by x87 with TS", VECTOR_NM, 0, (BEFORE(set_ts), AFTER(restore_cr0)), "9: fldz")
FAULT(64, nm_sse, "#NM by SSE with TS", VECTOR_NM, 0, (BEFORE(set_sse_ts), AFTER(restore_cr0)), "9: xorps %xmm0, %xmm0")
FAULT(64, nm_fxsave, "#NM by FXSAVE with TS", VECTOR_NM, 0, (BEFORE(set_sse_ts), AFTER(restore_cr0)), "9: fxsave 0x80000")
FAULT(64, ud_sse_em, "#UD by SSE with EM", VECTOR_UD, 0, (BEFORE(set_sse_em), AFTER(restore_cr0)), "9: xorps %xmm0, %xmm0")
FAULT(64, ud_sse_os, "#UD by SSE without CR4.OSFXSR", VECTOR_UD, 0, (AFTER(restore_cr0)), "9: xorps %xmm0, %xmm0")
FAULT(64, ud_avx_os, "#UD by AVX without CR4.OSXSAVE", VECTOR_UD, 0, (BEFORE(set_sse), AFTER(restore_cr0)), "9: vxorps %xmm0, %xmm0, %xmm0")
FAULT(64, ud_xgetbv, "#UD by XGETBV without CR4.OSXSAVE", VECTOR_UD, 0, (), "xor %ecx, %ecx; 9: xgetbv")
FAULT(64, mf, "#MF at the next x87 instruction", VECTOR_MF, 0, (AFTER(restore_cr0), DEVIATION("qemu: at FWAIT only")),
      "fninit; pushq $0x37b; fldcw (%rsp); pop %rax; fldz; fld1; fdiv %st(1), %st; nop; 9: fld1")
FAULT(64, mf_wait, "#MF at FWAIT", VECTOR_MF, 0, (AFTER(restore_cr0)),
      "fninit; pushq $0x37b; fldcw (%rsp); pop %rax; fldz; fld1; fdiv %st(1), %st; fnstsw %ax; 9: fwait")
FAULT(64, xm, "#XM", VECTOR_XM, 0, (BEFORE(set_sse), AFTER(restore_cr0), DEVIATION("qemu: SSE exceptions are not raised")),
      "pushq $0x1d00; ldmxcsr (%rsp); mov $1, %eax; cvtsi2ss %eax, %xmm0; xorps %xmm1, %xmm1; 9: divss %xmm1, %xmm0")
FAULT(64, xm_ud, "#UD instead of #XM without OSXMMEXCPT", VECTOR_UD, 0, (BEFORE(set_sse_no_xm), AFTER(restore_cr0), DEVIATION("qemu: SSE exceptions are not raised")),
      "pushq $0x1d00; ldmxcsr (%rsp); mov $1, %eax; cvtsi2ss %eax, %xmm0; xorps %xmm1, %xmm1; 9: divss %xmm1, %xmm0")
FAULT(64, gp_mxcsr, "#GP by LDMXCSR with a reserved bit", VECTOR_GP, 0, (BEFORE(set_sse), AFTER(restore_cr0), DEVIATION("qemu: reserved bits are not checked")), "pushq $0x10000; 9: ldmxcsr (%rsp)")
FAULT(64, gp_movaps, "#GP by MOVAPS of an address that is not aligned", VECTOR_GP, 0, (BEFORE(set_sse), AFTER(restore_cr0), DEVIATION("qemu: not checked")), "9: movaps 0x508, %xmm0")
FAULT(64, gp_fxsave, "#GP by FXSAVE of an address that is not aligned", VECTOR_GP, 0, (BEFORE(set_sse), AFTER(restore_cr0)), "9: fxsave 0x508")
FAULT(64, gp_cmpxchg16b, "#GP by CMPXCHG16B of an address that is not aligned", VECTOR_GP, 0, (), "9: cmpxchg16b 0x508")
FAULT(64, gp_canonical, "#GP by a load whose address is not canonical", VECTOR_GP, 0, (), "movabs $0x0000800000000000, %rbx; 9: mov (%rbx), %al")
FAULT(64, gp_canonical_store, "#GP by a store whose address is not canonical", VECTOR_GP, 0, (), "movabs $0xffff7fffffffffff, %rbx; 9: mov %al, (%rbx)")
FAULT(64, gp_canonical_crossing, "#GP by a load that crosses into what is not canonical", VECTOR_GP, 0, (DEVIATION("qemu: the first byte counts, and #PF")), "movabs $0x00007fffffffffff, %rbx; 9: mov (%rbx), %ax")
FAULT(64, ss_canonical, "#SS by RBP whose address is not canonical", VECTOR_SS, 0, (BEFORE(no_change), DEVIATION("qemu: #GP")), "mov %rsp, %rcx; movabs $0x0000900000000000, %rbp; 9: mov (%rbp), %al")
FAULT(64, gp_jump, "#GP by a jump to what is not canonical", VECTOR_GP, 0, (DEVIATION("qemu: at the target")), "movabs $0x0000900000000000, %rax; 9: jmp *%rax")
FAULT(64, gp_ret, "#GP by a return to what is not canonical", VECTOR_GP, 0, (DEVIATION("qemu: at the target")), "movabs $0x0000900000000000, %rax; push %rax; 9: ret")
FAULT(64, gp_hlt_ok, "#GP by a selector beyond the GDT's limit", VECTOR_GP, 0x8000, (), "mov $0x8003, %eax; 9: mov %eax, %ds")
FAULT(64, gp_selector, "#GP by an empty descriptor", VECTOR_GP, FREE + 16, (), "mov $0x88, %eax; 9: mov %eax, %ds")
FAULT(64, gp_ldt_null, "#GP by a selector of the LDT when there is none", VECTOR_GP, 0xc, (), "mov $0xc, %eax; 9: mov %eax, %es")
FAULT(64, gp_system, "#GP by a system descriptor", VECTOR_GP, TASK, (), "mov $0x68, %eax; 9: mov %eax, %ds")
FAULT(64, np_data, "#NP by a data segment", VECTOR_NP, FREE, (BEFORE(not_present)), "mov $0x78, %eax; 9: mov %eax, %ds")
FAULT(64, ss_data, "#SS by a stack segment that is not present", VECTOR_SS, FREE, (BEFORE(not_present)), "mov $0x78, %eax; 9: mov %eax, %ss")
FAULT(64, gp_ss_code, "#GP by a code segment for SS", VECTOR_GP, CODE64, (), "mov $0x38, %eax; 9: mov %eax, %ss")
FAULT(64, gp_ss_rpl, "#GP by RPL 3 for SS at CPL 0", VECTOR_GP, DATA32, (), "mov $0x13, %eax; 9: mov %eax, %ss")
FAULT(64, np_code, "#NP by a far return to code that is not present", VECTOR_NP, FREE + 8, (BEFORE(not_present)), "pushq $0x80; pushq $0x1000; 9: lretq")
FAULT(64, gp_cs_null, "#GP by a far return to a null selector", VECTOR_GP, 0, (), "pushq $0; pushq $0x1000; 9: lretq")
FAULT(64, gp_cs_data, "#GP by a far return to a data segment", VECTOR_GP, DATA32, (), "pushq $0x10; pushq $0x1000; 9: lretq")
FAULT(64, gp_iret_nt, "#GP by IRET with NT in long mode", VECTOR_GP, 0, (), "pushfq; orq $0x4000, (%rsp); popfq; 9: iretq")
FAULT(64, gp_iret_canonical, "IRETQ to what is not canonical", VECTOR_GP, 0, (DEVIATION("qemu: at the target")), 
      "pushq $0x10; push %rsp; pushq $2; pushq $0x38; movabs $0x0000900000000000, %rax; push %rax; 9: iretq")
FAULT(64, gp_length, "#GP by 16 bytes", VECTOR_GP, 0, (), "9: .fill 15, 1, 0x66; nop; nop")
FAULT(64, gp_gate_type, "#GP by INT through a call gate in the IDT", VECTOR_GP, 0x202, (BEFORE(gate_type), AFTER(restore_gates), DEVIATION("qemu: 16 times the vector")), "9: int $0x40")
FAULT(64, gp_gate_task, "#GP by INT through a task gate in long mode", VECTOR_GP, 0x202, (BEFORE(gate_task), AFTER(restore_gates), DEVIATION("qemu: 16 times the vector")), "9: int $0x40")
FAULT(64, gp_gate_286, "#GP by INT through a 16-bit gate in long mode", VECTOR_GP, 0x202, (BEFORE(gate_type286), AFTER(restore_gates), DEVIATION("qemu: 16 times the vector")), "9: int $0x40")
FAULT(64, np_gate, "#NP by INT through a gate that is not present", VECTOR_NP, 0x202, (BEFORE(gate_not_present), AFTER(restore_gates), DEVIATION("qemu: 16 times the vector")), "9: int $0x40")
FAULT(64, gp_gate_null, "#GP by a gate with a null selector", VECTOR_GP, 0, (BEFORE(gate_null), AFTER(restore_gates)), "9: int $0x40")
FAULT(64, gp_gate_beyond, "#GP by a gate whose selector is beyond the GDT", VECTOR_GP, 0x400, (BEFORE(gate_beyond), AFTER(restore_gates)), "9: int $0x40")
FAULT(64, gp_gate_data, "#GP by a gate to a data segment", VECTOR_GP, DATA32, (BEFORE(gate_data), AFTER(restore_gates)), "9: int $0x40")
FAULT(64, gp_gate_32, "#GP by a gate to 32-bit code", VECTOR_GP, CODE32, (BEFORE(gate_code32), AFTER(restore_gates)), "9: int $0x40")
FAULT(64, gp_gate_user, "#GP by a gate to code of less privilege", VECTOR_GP, USER_CODE64 & ~3, (BEFORE(gate_user), AFTER(restore_gates)), "9: int $0x40")
FAULT(64, np_gate_code, "#NP by a gate to code that is not present", VECTOR_NP, FREE + 8, (BEFORE(gate_absent_code), AFTER(restore_gates)), "9: int $0x40")
FAULT(64, gp_gate_canonical, "#GP by a gate to what is not canonical", VECTOR_GP, 0, (BEFORE(gate_not_canonical), AFTER(restore_gates), DEVIATION("qemu: at the target")), "9: int $0x40")
FAULT(64, trap_gate, "a trap gate leaves IF", 0x40, 0, (BEFORE(gate_trap), AFTER(restore_gates)), "int $0x40; 9:")
FAULT(64, ist, "IST switches at CPL 0 too", 0x40, 0, (BEFORE(gate_ist), AFTER(was_ist)), "int $0x40; 9:")
FAULT(64, aligned, "the frame is aligned to 16", 0x41, 0, (BEFORE(odd_stack), AFTER(was_aligned)), "int $0x41; 9:")
FAULT(64, int_software_exception, "INT 14 pushes no error code", 0x42, 0, (), "mov %cr2, %rax; int $0x42; 9:")
ENDS(64, df_stack, "#DF: #SS because the stack is not canonical, comes on IST", VECTOR_DF, 0, (BEFORE(bad_stack)), "ud2")
ENDS(64, df_pf_gp, "#DF: #GP while #PF is delivered", VECTOR_DF, 0, (BEFORE(unmapped_pf_gate), AFTER(restore_gates)), "movabs $0x7f0000000000, %rbx; mov (%rbx), %al")
ENDS(64, df_gp_gp, "#DF: #GP while #GP is delivered", VECTOR_DF, 0, (BEFORE(gp_gate_null), AFTER(restore_gates)), "mov $0x8003, %eax; mov %eax, %ds")
ENDS(64, df_de_np, "#DF: #NP while #DE is delivered", VECTOR_DF, 0, (BEFORE(de_gate_absent), AFTER(restore_gates)), "xor %ecx, %ecx; div %ecx")
FAULT(64, ud_gp, "no #DF: #GP while #UD, which is benign, is delivered", VECTOR_GP, 1, (BEFORE(ud_gate_null), AFTER(restore_gates), DEVIATION("qemu: error code 0")), "9: ud2")
ENDS(64, df_bad_df, "#DF through IST though its cause was the stack and a bad gate", VECTOR_DF, 0, (BEFORE(bad_df), AFTER(restore_gates)), "push %rax")

#undef MODE
#define MODE MODE_USER
FAULT(64, user_de, "from CPL 3: the stack of the TSS, SS and RSP saved", VECTOR_DE, 0, (AFTER(was_user)), "xor %ecx, %ecx; 9: div %ecx")
FAULT(64, user_bp, "INT3 from CPL 3", VECTOR_BP, 0, (AFTER(was_user)), "int3; 9:")
FAULT(64, user_int_dpl, "#GP by INT through a gate of DPL 0", VECTOR_GP, 0x202, (BEFORE(gate_dpl0), AFTER(restore_gates), DEVIATION("qemu: 16 times the vector")), "9: int $0x40")
FAULT(64, user_int_dpl_np, "DPL is checked before presence", VECTOR_GP, 0x202, (BEFORE(gate_not_present), AFTER(restore_gates), DEVIATION("qemu: 16 times the vector")), "9: int $0x40")
FAULT(64, user_ist, "IST from CPL 3", 0x40, 0, (BEFORE(gate_ist), AFTER(was_ist)), "int $0x40; 9:")
FAULT(64, user_hlt, "#GP by HLT", VECTOR_GP, 0, (), "9: hlt")
FAULT(64, user_cli, "#GP by CLI", VECTOR_GP, 0, (), "9: cli")
FAULT(64, user_sti, "#GP by STI", VECTOR_GP, 0, (), "9: sti")
FAULT(64, user_cr0, "#GP by MOV from CR0", VECTOR_GP, 0, (), "9: mov %cr0, %rax")
FAULT(64, user_cr8, "#GP by MOV from CR8", VECTOR_GP, 0, (), "9: mov %cr8, %rax")
FAULT(64, user_dr7, "#GP by MOV from DR7", VECTOR_GP, 0, (), "9: mov %dr7, %rax")
FAULT(64, user_rdmsr, "#GP by RDMSR", VECTOR_GP, 0, (), "mov $0x10, %ecx; 9: rdmsr")
FAULT(64, user_wrmsr, "#GP by WRMSR", VECTOR_GP, 0, (), "mov $0x10, %ecx; 9: wrmsr")
FAULT(64, user_lgdt, "#GP by LGDT", VECTOR_GP, 0, (), "9: lgdt 0x500")
FAULT(64, user_lidt, "#GP by LIDT", VECTOR_GP, 0, (), "9: lidt 0x500")
FAULT(64, user_lldt, "#GP by LLDT", VECTOR_GP, 0, (), "9: lldt %ax")
FAULT(64, user_ltr, "#GP by LTR", VECTOR_GP, 0, (), "9: ltr %ax")
FAULT(64, user_lmsw, "#GP by LMSW", VECTOR_GP, 0, (), "9: lmsw %ax")
FAULT(64, user_clts, "#GP by CLTS", VECTOR_GP, 0, (), "9: clts")
FAULT(64, user_invlpg, "#GP by INVLPG", VECTOR_GP, 0, (), "9: invlpg 0x500")
FAULT(64, user_invd, "#GP by INVD", VECTOR_GP, 0, (), "9: invd")
FAULT(64, user_wbinvd, "#GP by WBINVD", VECTOR_GP, 0, (), "9: wbinvd")
FAULT(64, user_swapgs, "#GP by SWAPGS", VECTOR_GP, 0, (), "9: swapgs")
FAULT(64, user_in, "#GP by IN", VECTOR_GP, 0, (), "9: in $0x80, %al")
FAULT(64, user_out, "#GP by OUT", VECTOR_GP, 0, (), "9: out %al, $0x80")
FAULT(64, user_ins, "#GP by INSB", VECTOR_GP, 0, (), "mov $0x500, %edi; mov $0x80, %edx; 9: insb")
FAULT(64, user_cs0, "#GP by a far return to CPL 0", VECTOR_GP, CODE64, (), "pushq $0x38; pushq $0x1000; 9: lretq")
FAULT(64, user_ds0, "#GP by a data segment of DPL 0", VECTOR_GP, DATA32, (), "mov $0x10, %eax; 9: mov %eax, %ds")
FAULT(64, user_ss0, "#GP by a null SS at CPL 3", VECTOR_GP, 0, (), "xor %eax, %eax; 9: mov %eax, %ss")
FAULT(64, user_gp_before_pf, "#GP of IN comes before #PF of its store", VECTOR_GP, 0, (), "movabs $0x7f0000000000, %rdi; mov $0x80, %edx; 9: insb")
FAULT(64, user_ac, "#AC by a word at an odd address", VECTOR_AC, 0, (BEFORE(set_am), AFTER(restore_cr0), DEVIATION("qemu: not checked")), "9: mov 1(%rbx), %ax")
FAULT(64, user_ac_dword, "#AC by a doubleword", VECTOR_AC, 0, (BEFORE(set_am), AFTER(restore_cr0), DEVIATION("qemu: not checked")), "9: mov %eax, 2(%rbx)")
FAULT(64, user_ac_qword, "#AC by a quadword", VECTOR_AC, 0, (BEFORE(set_am), AFTER(restore_cr0), DEVIATION("qemu: not checked")), "9: add %rax, 4(%rbx)")
FAULT(64, user_ac_push, "#AC by PUSH", VECTOR_AC, 0, (BEFORE(set_am), AFTER(restore_cr0), DEVIATION("qemu: not checked")), "inc %rsp; 9: push %rax")
CASE(64, user_ac_ok, "no #AC where all is aligned", (BEFORE(set_am), AFTER(restore_cr0)), "mov (%rbx), %rax; mov 4(%rbx), %eax; mov 2(%rbx), %ax; mov 1(%rbx), %al")
CASE(64, user_ac_am, "no #AC without CR0.AM", (BEFORE(set_ac_only), AFTER(restore_cr0)), "mov 1(%rbx), %ax")
CASE(64, user_popf, "POPF at CPL 3 leaves IF and IOPL", (FLAGS(FLAG_IF | FLAG_IOPL, 0)), "pushq $0x3202; popfq")

#undef MODE
#define MODE MODE_USER32
FAULT(32, compat_de, "from compatibility mode", VECTOR_DE, 0, (AFTER(was_user32)), "xor %ecx, %ecx; 9: div %ecx")
FAULT(32, compat_of, "#OF by INTO in compatibility mode", VECTOR_OF, 0, (), "mov $0x7fffffff, %eax; inc %eax; into; 9:")
FAULT(32, compat_br, "#BR by BOUND in compatibility mode", VECTOR_BR, 0, (), "movl $1, -64(%esp); movl $2, -60(%esp); mov $3, %eax; 9: bound %eax, -64(%esp)")
FAULT(32, compat_bp, "#BP in compatibility mode", VECTOR_BP, 0, (), "int3; 9:")
FAULT(32, compat_pf, "#PF with an address of 32 bits", VECTOR_UD, 0, (), "9: ud2")
FAULT(32, compat_syscall_gp, "#GP by a selector", VECTOR_GP, 0x8000, (), "mov $0x8000, %eax; 9: mov %eax, %ds")

#undef MODE
#define MODE MODE_USER16
FAULT(16, compat16_de, "from 16-bit compatibility mode", VECTOR_DE, 0, (), "xor %cx, %cx; 9: div %cx")
FAULT(16, compat16_ud, "#UD from 16-bit compatibility mode", VECTOR_UD, 0, (), "9: ud2")

#undef MODE
#define MODE MODE_KERNEL32
FAULT(32, kernel32_gp, "#GP from compatibility mode at CPL 0", VECTOR_GP, 0x8000, (), "mov $0x8000, %eax; 9: mov %eax, %ds")
FAULT(32, kernel32_lds, "LDS in compatibility mode", VECTOR_GP, 0x8000, (), "movl $0, -64(%esp); movl $0x8000, -60(%esp); 9: lds -64(%esp), %eax")

/* clang-format on */

void program(void)
{
    run_rows();
}
