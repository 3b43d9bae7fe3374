/* build: 64 */
/* SPDX-License-Identifier: MIT
 *
 * Segmentation in long mode: what is left of it in 64-bit mode, compatibility mode with all of it,
 * call gates and system descriptors of 16 bytes, far transfers and IRET (SDM vol.
 * 3, 3.4, 5.8, 7.7).
 */
#include "runtime/bare.h"

#define NO_LIMITS "qemu: limits of segments are not checked"

enum { MEMORY = 0x80000 };
enum {
    GATE = 0x100,
    LONG_BOTH = 0x110,
    CODE_SMALL = 0x118,
    DATA_SMALL = 0x120,
    ABSENT = 0x128,
    CONFORMING = 0x130,
    BUSY = 0x138,
    LOCAL = 0x148,
    BAD_UPPER = 0x158,
    CODE1 = 0x168,
    READ_ONLY = 0x170,
    OLD_GATE = 0x178
};

static uint64_t local_table[2];
static struct event event;
LOW uint64_t segment_far[2] = {0};

static void prepare(void)
{
    set_descriptor(LONG_BOTH, descriptor(0, 0xfffff, SEGMENT_CODE,
                                         SEGMENT_GRANULAR | SEGMENT_BIG | SEGMENT_LONG));
    set_descriptor(CODE_SMALL, descriptor(0, 0xffff, SEGMENT_CODE, SEGMENT_BIG));
    set_descriptor(DATA_SMALL, descriptor(MEMORY, 0xff, SEGMENT_DATA | SEGMENT_USER, SEGMENT_BIG));
    set_descriptor(ABSENT,
                   descriptor(0, 0xfffff, SEGMENT_CODE & ~0x80, SEGMENT_GRANULAR | SEGMENT_LONG));
    set_descriptor(CONFORMING,
                   descriptor(0, 0xfffff, SEGMENT_CONFORMING, SEGMENT_GRANULAR | SEGMENT_LONG));
    set_descriptor(BUSY, descriptor(MEMORY, 0x67, 0x8b, 0));
    set_descriptor(LOCAL, descriptor((uint32_t)(word)local_table, 15, 0x82, 0));
    set_descriptor(BAD_UPPER, descriptor((uint32_t)(word)local_table, 15, 0x82, 0));
    gdt[BAD_UPPER / 8 + 1] = BIT(40);
    set_descriptor(CODE1,
                   descriptor(0, 0xfffff, SEGMENT_CODE | 0x20, SEGMENT_GRANULAR | SEGMENT_LONG));
    set_descriptor(READ_ONLY, descriptor(MEMORY, 0xff, SEGMENT_DATA_READ, SEGMENT_BIG));
    set_descriptor(OLD_GATE, (uint64_t)(0x80 | GATE_CALL16) << 40);
    local_table[1] = descriptor(MEMORY, 0xff, SEGMENT_DATA, SEGMENT_BIG);
}

static void local_table_off(struct event *unused)
{
    (void)unused;
    __asm__ volatile("lldt %w0" : : "r"(0));
}

static void task_again(struct event *unused)
{
    (void)unused;
    load_task();
}

/* clang-format off */

#define MODE MODE_KERNEL
CASE(64, bases, "bases and limits of CS, DS, ES and SS do not count", (AX(0x4711), DEVIATION("qemu: an ES prefix adds the base")),
     "movl $0x4711, segment_far(%rip); mov $0x120, %eax; mov %eax, %es; xor %eax, %eax; mov $segment_far, %ebx; mov %es:(%rbx), %eax")
CASE(64, fs_limit, "the limit of FS does not count, its base does", (AX(0x5a)), "movb $0x5a, 0x81000; mov $0x120, %eax; mov %eax, %fs; xor %eax, %eax; mov %fs:0x1000, %al")
CASE(64, read_only, "a store through FS of read-only data is allowed", (), "mov $0x170, %eax; mov %eax, %fs; movb $1, %fs:0")
CASE(64, null_all, "null in DS, ES, FS, GS is harmless", (AX(0x4711)), "movl $0x4711, segment_far(%rip); xor %eax, %eax; mov %eax, %ds; mov %eax, %es; mov %eax, %fs; mov %eax, %gs; mov segment_far(%rip), %eax")
CASE(64, null_ss, "a null SS at CPL 0", (AX(0x33), SP(0)), "xor %eax, %eax; mov %eax, %ss; push $0x33; pop %rax; mov $0x10, %ecx; mov %ecx, %ss")
FAULT(64, null_ss_rpl, "a null SS with an RPL that is not CPL", VECTOR_GP, 0, (DEVIATION("qemu: not checked")), "mov $3, %eax; 9: mov %eax, %ss")
CASE(64, push_fs, "PUSH FS and POP FS take 8 bytes", (AX(8), SP(0)), "mov %rsp, %rax; push %fs; sub %rsp, %rax; pop %fs")
FAULT(64, cs_both, "CS with L and D is #GP", VECTOR_GP, 0x110, (DEVIATION("qemu: not checked")), "pushq $0x110; mov $0x1000, %eax; push %rax; 9: lretq")
FAULT(64, far_absent, "a far return to what is not present", VECTOR_NP, 0x128, (), "pushq $0x128; pushq $0x1000; 9: lretq")
CASE(64, far_jump, "a far jump through 16:32", (AX(0x130)), "movl $1f, segment_far(%rip); movw $0x130, segment_far + 4(%rip); ljmp *segment_far(%rip); 1: mov %cs, %eax; pushq $0x38; mov $2f, %ecx; push %rcx; lretq; 2:")
CASE(64, far_call, "a far call with REX.W pushes 16 bytes", (AX(16), SP(0)), "movl $1f, segment_far(%rip); movl $0, segment_far + 4(%rip); movw $0x38, segment_far + 8(%rip); mov %rsp, %rax\n"
     "rex.w lcall *segment_far(%rip); jmp 2f; 1: sub %rsp, %rax; lretq; 2:")
CASE(64, far_call32, "a far call without it pushes 8", (AX(8), SP(0)), "movl $1f, segment_far(%rip); movw $0x38, segment_far + 4(%rip); mov %rsp, %rax\n"
     "lcall *segment_far(%rip); jmp 2f; 1: sub %rsp, %rax; lretl; 2:")
FAULT(64, task_jump, "a far jump to a TSS is #GP in long mode", VECTOR_GP, 0x68, (), "movl $0, segment_far(%rip); movw $0x68, segment_far + 4(%rip); 9: ljmp *segment_far(%rip)")
FAULT(64, old_gate, "a 16-bit call gate is #GP in long mode", VECTOR_GP, 0x178, (), "movl $0, segment_far(%rip); movw $0x178, segment_far + 4(%rip); 9: lcall *segment_far(%rip)")
CASE(64, lldt, "LLDT of 16 bytes, a segment of it", (AX(0x148), AFTER(local_table_off)), "mov $0x148, %eax; lldt %ax; mov $0xc, %ecx; mov %ecx, %fs; xor %eax, %eax; sldt %eax")
FAULT(64, lldt_upper, "LLDT: the type in the upper half is not 0", VECTOR_GP, 0x158, (DEVIATION("qemu: not checked"), AFTER(local_table_off)), "mov $0x158, %eax; 9: lldt %ax")
CASE(64, lldt_null, "LLDT of null", (AX(0)), "xor %eax, %eax; lldt %ax; sldt %eax")
FAULT(64, ltr_busy, "LTR of a busy TSS", VECTOR_GP, 0x138, (AFTER(task_again)), "mov $0x138, %eax; 9: ltr %ax")
FAULT(64, ltr_null, "LTR of null", VECTOR_GP, 0, (AFTER(task_again), DEVIATION("qemu: accepted")), "xor %eax, %eax; 9: ltr %ax")
CASE(64, sgdt, "SGDT stores 10 bytes", (AX(0x3ff), DX(0)), "movq $-1, segment_far + 2(%rip); sgdt segment_far(%rip); movzwl segment_far(%rip), %eax; mov segment_far + 6(%rip), %edx")
CASE(64, lar_long, "LAR of 64-bit code", (AX(0x00a09b00)), "mov $0x38, %ecx; lar %ecx, %eax; and $0xfff0ff00, %eax")
CASE(64, lar_tss16, "LAR of a call gate of 16 bits fails in long mode", (AX(5), FLAGS(FLAG_ZF, 0), DEVIATION("qemu: it works")), "mov $5, %eax; mov $0x178, %ecx; lar %ecx, %eax")
CASE(64, lsl_tss, "LSL of a TSS", (AX(0x67), FLAGS(FLAG_ZF, FLAG_ZF)), "mov $0x138, %ecx; lsl %ecx, %eax")
CASE(64, iretq_same, "IRETQ pops SS and RSP at the same level, too", (AX(0x1234)), "mov %rsp, %rcx; pushq $0x10; mov $0x9000, %eax; push %rax; pushq $2; pushq $0x38; mov $1f, %eax; push %rax; iretq\n"
     "1: cmp $0x9000, %rsp; mov %rcx, %rsp; jne 2f; mov $0x1234, %eax; 2:")
CASE(64, iretq_null_ss, "IRETQ to a null SS at CPL 0", (AX(0)), "mov %rsp, %rcx; pushq $0; push %rcx; pushq $2; pushq $0x38; mov $1f, %eax; push %rax; iretq; 1: mov %ss, %eax; mov $0x10, %ecx; mov %ecx, %ss")
FAULT(64, iretq_null_ss3, "IRETQ to a null SS at CPL 3", VECTOR_GP, 0, (), "pushq $3; pushq $0x9000; pushq $2; pushq $0x2b; pushq $0x1000; 9: iretq")
CASE(64, jmp_wide, "operand-size prefixes do not narrow near jumps", (AX(1)), "mov $1f, %ecx; .byte 0x48; jmp *%rcx; 1: mov $1, %eax")

#undef MODE
#define MODE MODE_KERNEL32
CASE(32, compat_base, "compatibility mode: bases count", (AX(0x77)), "movb $0x77, 0x80005; mov $0x120, %eax; mov %eax, %ds; xor %eax, %eax; mov 5, %al; mov $0x10, %ecx; mov %ecx, %ds")
FAULT(32, compat_limit, "compatibility mode: limits count", VECTOR_GP, 0, (DEVIATION(NO_LIMITS)), "mov $0x120, %eax; mov %eax, %fs; 9: mov %fs:0x100, %al")
FAULT(32, compat_read_only, "compatibility mode: rights count", VECTOR_GP, 0, (DEVIATION("qemu: rights of segments are not checked")), "mov $0x170, %eax; mov %eax, %fs; 9: mov %al, %fs:0")
FAULT(32, compat_null, "compatibility mode: a null DS", VECTOR_GP, 0, (DEVIATION("qemu: rights of segments are not checked")), "xor %eax, %eax; mov %eax, %fs; 9: mov %fs:0, %al")
FAULT(32, compat_null_ss, "compatibility mode: a null SS", VECTOR_GP, 0, (), "xor %eax, %eax; 9: mov %eax, %ss")
CASE(32, compat_wrap, "compatibility mode: addresses are of 32 bits", (AX(0x4711)), "movl $0x4711, segment_far; mov $segment_far + 16, %ebx; mov $-8, %ecx; mov -8(%ebx,%ecx), %eax")
CASE(32, compat_far, "compatibility mode: far call to 64-bit code", (AX(0x38)), "lcall $0x38, $1f; jmp 2f\n.code64\n1: mov %cs, %eax; lretl\n.code32\n2:")

/* clang-format on */

CODE(64, arrive, "mov (%rsp), %rax");
CODE(64, arrive_return, "mov $77, %r9d; lretq");
CODE(64, call_gate,
     ".globl call_gate_at; call_gate_at: lcall *segment_gate(%rip); .globl call_gate_next; "
     "call_gate_next: mov %rsp, %rbx");
MARK(call_gate_at);
MARK(call_gate_next);
CODE(32, call_gate32,
     ".globl call_gate32_at; call_gate32_at: lcall $0x103, $0; .globl call_gate32_next; "
     "call_gate32_next: nop");
MARK(call_gate32_at);
MARK(call_gate32_next);
LOW struct __attribute__((packed)) {
    uint32_t offset;
    uint16_t selector;
} segment_gate = {0x12345678, GATE | 3};

static void set_call_gate(unsigned selector, word to, unsigned dpl, uint64_t upper)
{
    gdt[GATE / 8] = (to & 0xffff) | (uint64_t)selector << 16 |
                    (uint64_t)(0x80 | dpl << 5 | GATE_CALL) << 40 |
                    (uint64_t)(to >> 16 & 0xffff) << 48;
    gdt[GATE / 8 + 1] = to >> 32 | upper;
}

static void call_gates(void)
{
    struct context user = user_context(call_gate);
    test("call gate from CPL 3: a null SS, 32 bytes on the stack of CPL 0");
    set_call_gate(CODE64, (word)arrive, 3, 0);
    run(&user, &event);
    expect_done(&event);
    expect(event.at.cs, CODE64);
    expect(event.at.ss, 0);
    expect(event.at.sp, (word)trap_stack_end - 32);
    uint64_t *stack = (uint64_t *)event.at.sp;
    expect(stack[0], (word)call_gate_next);
    expect(stack[1], USER_CODE64);
    expect(stack[2], (word)low_stack_end);
    expect(stack[3], USER_DATA);
    test("call gate and far return to CPL 3");
    set_call_gate(CODE64, (word)arrive_return, 3, 0);
    run(&user, &event);
    expect_done(&event);
    expect(event.at.r9, 77);
    expect(event.at.cs, USER_CODE64);
    expect(event.at.ss, USER_DATA);
    expect(event.at.bx, (word)low_stack_end);
    test("call gate from compatibility mode");
    set_call_gate(CODE64, (word)arrive, 3, 0);
    struct context user32 = user_context32(call_gate32);
    run(&user32, &event);
    expect_done(&event);
    expect(event.at.cs, CODE64);
    expect(*(uint64_t *)event.at.sp, (word)call_gate32_next);
    test("call gate to conforming code");
    deviation("qemu: to CPL 0");
    set_call_gate(CONFORMING, (word)arrive, 3, 0);
    run(&user, &event);
    expect_done(&event);
    expect(event.at.cs, CONFORMING | 3);
    expect(event.at.sp, (word)low_stack_end - 16);
    test("call gate to CPL 1: RSP1, a null SS of RPL 1");
    task_state.sp[1] = 0x9000;
    set_call_gate(CODE1, (word)arrive, 3, 0);
    run(&user, &event);
    expect_done(&event);
    expect(event.at.cs, CODE1 | 1);
    expect(event.at.ss, 1);
    expect(event.at.sp, 0x9000 - 32);
    static const struct {
        const char *name;
        unsigned selector, dpl;
        word to;
        uint64_t upper;
        unsigned vector;
        word error;
        const char *deviation;
    } rows[] = {
        {"call gate of DPL 2", CODE64, 2, 0x1000, 0, VECTOR_GP, GATE, NULL},
        {"call gate to 32-bit code", CODE32, 3, 0x1000, 0, VECTOR_GP, CODE32, NULL},
        {"call gate to L and D", LONG_BOTH, 3, 0x1000, 0, VECTOR_GP, LONG_BOTH, NULL},
        {"call gate to null", 0, 3, 0x1000, 0, VECTOR_GP, 0, NULL},
        {"call gate to data", DATA32, 3, 0x1000, 0, VECTOR_GP, DATA32, NULL},
        {"call gate to what is not present", ABSENT, 3, 0x1000, 0, VECTOR_NP, ABSENT, NULL},
        {"call gate to what is not canonical", CODE64, 3, BIT(60), 0, VECTOR_GP, 0,
         "qemu: at the target"},
        {"call gate whose upper half has a type", CODE64, 3, 0x1000, BIT(40), VECTOR_GP, GATE,
         "qemu: not checked"},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test(rows[i].name);
        if (rows[i].deviation) {
            deviation(rows[i].deviation);
        }
        set_call_gate(rows[i].selector, rows[i].to == 0x1000 ? (word)arrive : rows[i].to,
                      rows[i].dpl, rows[i].upper);
        run(&user, &event);
        expect_event(&event, rows[i].vector, rows[i].error, call_gate_at);
    }
}

void program(void)
{
    prepare();
    run_rows();
    call_gates();
}
