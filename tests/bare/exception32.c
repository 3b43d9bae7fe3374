/* SPDX-License-Identifier: MIT
 *
 * Exceptions in 32-bit protected mode: vectors, error codes, what comes first, double faults, x87
 * with CR0.NE clear (SDM vol. 3, chapter 6).
 */
#include "runtime/interrupt.h"

LOW uint32_t exception_bounds[2] = {5, 10};
static struct event event;

static void set_cr0(struct context *context, word bits)
{
    (void)context;
    write_cr0(read_cr0() | bits);
}

static void em(struct context *context)
{
    set_cr0(context, CR0_EM);
}

static void ts(struct context *context)
{
    set_cr0(context, CR0_TS);
}

static void ts_mp(struct context *context)
{
    set_cr0(context, CR0_TS | CR0_MP);
}

static void em_mp(struct context *context)
{
    set_cr0(context, CR0_EM | CR0_MP);
}

static void numeric(struct context *context)
{
    __asm__ volatile("fninit");
    set_cr0(context, CR0_NE);
}

static void sse(struct context *context)
{
    (void)context;
    write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT);
}

static void align(struct context *context)
{
    set_cr0(context, CR0_AM);
    context->flags |= FLAG_AC;
    context->bx = 0x500;
}

static void align_only_am(struct context *context)
{
    set_cr0(context, CR0_AM);
    context->bx = 0x500;
}

static void time_stamp_off(struct context *context)
{
    (void)context;
    write_cr4(read_cr4() | CR4_TSD);
}

static void again(struct event *unused)
{
    (void)unused;
    write_cr0(CR0_PE | CR0_ET);
    __asm__ volatile("fninit");
    write_cr4(0);
    default_gates();
}

static void rf(struct event *e)
{
    expect(e->at.flags & FLAG_RF, FLAG_RF);
}

static void no_rf(struct event *e)
{
    expect(e->at.flags & FLAG_RF, 0);
}

static void gp_gate_null(struct context *context)
{
    (void)context;
    set_gate(VECTOR_GP, GATE_INTERRUPT, 0, 0, 0, 0);
}

static void ud_gate_null(struct context *context)
{
    (void)context;
    set_gate(VECTOR_UD, GATE_INTERRUPT, 0, 0, 0, 0);
}

static void de_gate_absent(struct context *context)
{
    (void)context;
    idt[VECTOR_DE] &= ~BIT(47);
}

static void bp_gate_absent(struct context *context)
{
    (void)context;
    idt[VECTOR_BP] &= ~BIT(47);
}

/* clang-format off */

#define MODE MODE_KERNEL
FAULT(32, de, "#DE", VECTOR_DE, 0, (AFTER(rf), DEVIATION("qemu: RF is not saved")), "xor %ecx, %ecx; 9: div %ecx")
FAULT(32, de_idiv, "#DE by IDIV", VECTOR_DE, 0, (AX(0x80000000)), "mov $0x80000000, %eax; cdq; mov $-1, %ecx; 9: idiv %ecx")
FAULT(32, de_aam, "#DE by AAM 0", VECTOR_DE, 0, (), "9: aam $0")
FAULT(32, icebp, "#DB by INT1", VECTOR_DB, 0, (DEVIATION("qemu: INT1 is invalid")), "int1; 9:")
FAULT(32, bp, "#BP", VECTOR_BP, 0, (AFTER(no_rf)), "int3; 9:")
FAULT(32, of, "#OF", VECTOR_OF, 0, (), "mov $0x7fffffff, %eax; inc %eax; into; 9:")
CASE(32, of_not, "INTO without OF", (), "xor %eax, %eax; into")
FAULT(32, br, "#BR above", VECTOR_BR, 0, (), "mov $11, %eax; 9: bound %eax, exception_bounds")
FAULT(32, br_below, "#BR below", VECTOR_BR, 0, (), "mov $4, %eax; 9: bound %eax, exception_bounds")
CASE(32, br_not, "BOUND within", (), "mov $5, %eax; bound %eax, exception_bounds; mov $10, %eax; bound %eax, exception_bounds")
FAULT(32, ud, "#UD by UD2", VECTOR_UD, 0, (), "9: ud2")
FAULT(32, ud_lock, "#UD by LOCK NOP", VECTOR_UD, 0, (), "9: .byte 0xf0, 0x90")
FAULT(32, ud_lock_cmp, "#UD by LOCK CMP", VECTOR_UD, 0, (), "9: .byte 0xf0, 0x39, 0x03")
FAULT(32, ud_syscall, "#UD by SYSCALL without EFER.SCE", VECTOR_UD, 0, (), "9: syscall")
FAULT(32, ud_swapgs, "#UD by SWAPGS outside 64-bit mode", VECTOR_UD, 0, (), "9: .byte 0x0f, 0x01, 0xf8")
FAULT(32, ud_cmpxchg16b, "REX is INC in 32-bit mode", VECTOR_UD, 0, (AX(1)), ".byte 0x40; 9: ud2")
FAULT(32, nm_em, "#NM with EM", VECTOR_NM, 0, (BEFORE(em), AFTER(again)), "9: fnop")
FAULT(32, nm_ts, "#NM with TS", VECTOR_NM, 0, (BEFORE(ts), AFTER(again)), "9: fnop")
FAULT(32, nm_wait, "#NM by WAIT with TS and MP", VECTOR_NM, 0, (BEFORE(ts_mp), AFTER(again)), "9: fwait")
CASE(32, wait_ts, "WAIT with TS alone", (BEFORE(ts), AFTER(again)), "fwait")
CASE(32, wait_em, "WAIT with EM and MP", (BEFORE(em_mp), AFTER(again)), "fwait")
FAULT(32, nm_fninit, "#NM by FNINIT with TS", VECTOR_NM, 0, (BEFORE(ts), AFTER(again)), "9: fninit")
FAULT(32, ud_mmx_em, "#UD by MMX with EM", VECTOR_UD, 0, (BEFORE(em), AFTER(again)), "9: pxor %mm0, %mm0")
FAULT(32, nm_mmx_ts, "#NM by MMX with TS", VECTOR_NM, 0, (BEFORE(ts), AFTER(again), DEVIATION("qemu: EMMS is let through")), "9: emms")
FAULT(32, ud_sse, "#UD by SSE without OSFXSR", VECTOR_UD, 0, (), "9: xorps %xmm0, %xmm0")
FAULT(32, mf, "#MF with NE", VECTOR_MF, 0, (BEFORE(numeric), AFTER(again), DEVIATION("qemu: at FWAIT only")),
      "push $0x37b; fldcw (%esp); pop %eax; fldz; fld1; fdiv %st(1), %st; 9: fld1")
FAULT(32, mf_invalid, "#MF: invalid operation", VECTOR_MF, 0, (BEFORE(numeric), AFTER(again)), "push $0x37e; fldcw (%esp); pop %eax; fldz; fchs; fsqrt; fldz; fld1; fchs; fsqrt; 9: fwait")
CASE(32, mf_not, "FN instructions do not raise #MF", (BEFORE(numeric), AFTER(again), AX(0x3004)), "push $0x37b; fldcw (%esp); pop %eax; fldz; fld1; fdiv %st(1), %st; xor %eax, %eax; fnstsw %ax; fnclex; fwait; and $0x3007, %eax")
FAULT(32, xm, "#XM", VECTOR_XM, 0, (BEFORE(sse), AFTER(again), DEVIATION("qemu: SSE exceptions are not raised")),
      "push $0x1d00; ldmxcsr (%esp); pop %eax; mov $1, %eax; cvtsi2ss %eax, %xmm0; xorps %xmm1, %xmm1; 9: divss %xmm1, %xmm0")
FAULT(32, gp_movaps, "#GP by MOVAPS not aligned", VECTOR_GP, 0, (BEFORE(sse), AFTER(again), DEVIATION("qemu: not checked")), "9: movaps 0x504, %xmm0")
ENDS(32, df_gp_gp, "#DF: #GP while #GP is delivered", VECTOR_DF, 0, (BEFORE(gp_gate_null), AFTER(again)), "mov $0x8000, %eax; mov %eax, %ds")
ENDS(32, df_de_np, "#DF: #NP while #DE is delivered", VECTOR_DF, 0, (BEFORE(de_gate_absent), AFTER(again)), "xor %ecx, %ecx; div %ecx")
FAULT(32, ud_gp, "no #DF: #GP while #UD is delivered", VECTOR_GP, 1, (BEFORE(ud_gate_null), AFTER(again), DEVIATION("qemu: error code 0")), "9: ud2")
FAULT(32, bp_np, "#NP while #BP is delivered: at INT3, bit EXT clear", VECTOR_NP, 3 * 8 + 2, (BEFORE(bp_gate_absent), AFTER(again)), "9: int3")
FAULT(32, rdtsc_ok, "#GP by RDPMC of a counter that is not there", VECTOR_GP, 0, (DEVIATION("qemu: #UD")), "mov $0x20000, %ecx; 9: rdpmc")
CASE(32, cr0_et, "CR0.ET is always set, reserved bits stay clear", (AX(0x11), DEVIATION("qemu: reserved bits are kept")), "mov %cr0, %eax; and $~0x10, %eax; or $0x40, %eax; mov %eax, %cr0; mov %cr0, %eax; and $0x1fffffff, %eax; and $~0x60000000, %eax")

#undef MODE
#define MODE MODE_USER
FAULT(32, user_cli, "CPL 3, IOPL 0: CLI", VECTOR_GP, 0, (), "9: cli")
FAULT(32, user_in, "CPL 3, IOPL 0: IN", VECTOR_GP, 0, (), "9: in $0x80, %al")
FAULT(32, user_hlt, "CPL 3: HLT", VECTOR_GP, 0, (), "9: hlt")
FAULT(32, user_cr3, "CPL 3: MOV to CR3", VECTOR_GP, 0, (), "9: mov %eax, %cr3")
FAULT(32, user_dr, "CPL 3: MOV to DR0", VECTOR_GP, 0, (), "9: mov %eax, %dr0")
FAULT(32, user_rdmsr, "CPL 3: RDMSR", VECTOR_GP, 0, (), "9: rdmsr")
FAULT(32, user_tsd, "CPL 3: RDTSC with TSD", VECTOR_GP, 0, (BEFORE(time_stamp_off), AFTER(again)), "9: rdtsc")
FAULT(32, user_rdtscp, "CPL 3: RDTSCP with TSD", VECTOR_GP, 0, (BEFORE(time_stamp_off), AFTER(again)), "9: rdtscp")
CASE(32, user_rdtsc, "CPL 3: RDTSC", (), "rdtsc")
FAULT(32, user_ac, "CPL 3: #AC by a word", VECTOR_AC, 0, (BEFORE(align), AFTER(again), DEVIATION("qemu: not checked")), "9: mov 1(%ebx), %ax")
FAULT(32, user_ac_dword, "CPL 3: #AC by a doubleword", VECTOR_AC, 0, (BEFORE(align), AFTER(again), DEVIATION("qemu: not checked")), "9: mov %eax, 2(%ebx)")
FAULT(32, user_ac_x87, "CPL 3: #AC by a double", VECTOR_AC, 0, (BEFORE(align), AFTER(again), DEVIATION("qemu: not checked")), "9: fldl 4(%ebx)")
FAULT(32, user_ac_stack, "CPL 3: #AC by CALL", VECTOR_AC, 0, (BEFORE(align), AFTER(again), DEVIATION("qemu: not checked")), "dec %esp; 9: call 1f; 1:")
FAULT(32, user_ac_string, "CPL 3: #AC by MOVSL", VECTOR_AC, 0, (BEFORE(align), AFTER(again), DEVIATION("qemu: not checked")), "mov $0x502, %esi; mov $0x600, %edi; 9: movsl")
CASE(32, user_ac_byte, "CPL 3: no #AC by bytes", (BEFORE(align), AFTER(again)), "mov 1(%ebx), %al")
CASE(32, user_ac_flag, "CPL 3: no #AC without AC", (BEFORE(align_only_am), AFTER(again)), "mov 1(%ebx), %eax")

#undef MODE
#define MODE MODE_KERNEL
CASE(32, kernel_no_ac, "CPL 0: never #AC", (BEFORE(align), AFTER(again)), "mov 1(%ebx), %eax")

/* clang-format on */

CODE(32, stack_fault,
     "mov %bx, %ss; mov $2, %esp; .globl stack_fault_at; stack_fault_at: push %eax");
MARK(stack_fault_at);
static struct task_state fault_task;
CODE(32, task_arrives, "mov $0x99, %ecx");
CODE(32, not_numeric,
     "push $0x37b; fldcw (%esp); pop %eax; fldz; fld1; fdiv %st(1), %st; sti; fld1; nop; nop");

/* A stack on which nothing fits any more: only a task gate can tell. */
static void full_stack(void)
{
    test("#SS on a stack that is full becomes #DF");
    deviation("qemu: limits of segments are not checked");
    set_descriptor(FREE, descriptor(0x80000, 0xff, SEGMENT_DATA, 4));
    memory_set(&fault_task, 0, 104);
    fault_task.ip = (word)task_arrives;
    fault_task.flags = FLAG_ONE;
    fault_task.sp = (word)double_stack_end;
    fault_task.cs = CODE32;
    fault_task.ss = fault_task.ds = fault_task.es = KERNEL_DATA;
    set_descriptor(FREE + 8, descriptor((word)&fault_task, 103, 0x89, 0));
    set_gate(VECTOR_DF, GATE_TASK, FREE + 8, 0, 0, 0);
    struct context context = kernel_context(stack_fault);
    context.bx = FREE;
    run(&context, &event);
    expect_done(&event);
    expect(event.at.cx, 0x99);
    expect(task_state.ip, (word)stack_fault_at);
    expect(task_state.ss & 0xffff, FREE);
    __asm__ volatile("pushf; andl $~0x4000, (%%esp); popf" : : : "cc");
    again(&event);
    load_task();
}

/* With NE clear an x87 exception is IRQ 13: vector 2d here. */
static void numeric_interrupt(void)
{
    test("an x87 exception with CR0.NE clear is IRQ 13");
    deviation("qemu: at FWAIT only");
    apic_start();
    __asm__ volatile("fninit");
    outb(0x21, 0xfb);
    outb(0xa1, 0xdf);
    struct context context = kernel_context(not_numeric);
    run(&context, &event);
    expect_event(&event, 0x2d, 0, NULL);
    test("port F0 takes FERR away, the status goes on");
    word status;
    __asm__ volatile("fnstsw %w0" : "=a"(status));
    expect(status & 0x84, 0x84);
    outb(0xf0, 0);
    __asm__ volatile("fnclex");
    outb(0xa0, 0x65);
    outb(0x20, 0x62);
    outb(0x21, 0xff);
    outb(0xa1, 0xff);
}

void program(void)
{
    run_rows();
    full_stack();
    numeric_interrupt();
}
