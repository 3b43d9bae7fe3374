/* SPDX-License-Identifier: MIT
 *
 * Call gates, interrupt gates and the stacks they switch to, in 32-bit protected mode: parameters,
 * gates of 16 bits, what is checked in which order (SDM vol. 3, 5.8 and 6.12).
 */
#include "runtime/bare.h"

enum {
    GATE = 0x78,
    CONFORMING = 0x80,
    ABSENT = 0x88,
    BAD_STACK = 0x90,
    CODE1 = 0x98,
    STACK1 = 0xa0,
    STACK16 = 0xa8,
    SMALL = 0xb0
};

static struct event event;

CODE(32, arrive, "mov (%esp), %eax");
CODE(32, arrive_return, "mov $77, %ecx; lret $8");
CODE(16, arrive16, "mov $16, %ax");
CODE(32, call_gate,
     "push $0x1111; push $0x2222; .globl call_gate_at; call_gate_at: lcall $0x7b, $0x12345678\n"
     ".globl call_gate_next; call_gate_next: mov %esp, %ebx");
MARK(call_gate_at);
MARK(call_gate_next);
CODE(32, jump_gate, ".globl jump_gate_at; jump_gate_at: ljmp $0x7b, $0");
MARK(jump_gate_at);
CODE(32, call_gate0, "push $0x2222; .globl call_gate0_at; call_gate0_at: lcall $0x78, $0");
MARK(call_gate0_at);
CODE(32, interrupt,
     ".globl interrupt_at; interrupt_at: int $0x40\n.globl interrupt_next; interrupt_next: nop");
MARK(interrupt_at);
MARK(interrupt_next);
CODE(32, invalid, ".globl invalid_at; invalid_at: ud2");
MARK(invalid_at);
CODE(32, iret_now, "mov (%esp), %eax; mov %esp, %ebx; iret");
CODE(16, iret_now16, "mov %esp, %ebx; iretw");

static uint64_t gate(unsigned selector, word to, enum gate_type type, unsigned dpl,
                     unsigned parameters)
{
    return (to & 0xffff) | (uint64_t)selector << 16 | (uint64_t)parameters << 32 |
           (uint64_t)(0x80 | dpl << 5 | type) << 40 | (uint64_t)(to >> 16) << 48;
}

static void set_call_gate(unsigned selector, const void *to, unsigned dpl, unsigned parameters)
{
    set_descriptor(GATE, gate(selector, (word)to, GATE_CALL, dpl, parameters));
}

static void go(const char *code, bool user)
{
    struct context context = user ? user_context(code) : kernel_context(code);
    run(&context, &event);
}

static uint32_t stack(unsigned index)
{
    return ((volatile uint32_t *)event.at.sp)[index];
}

static void call_gates(void)
{
    word user_sp = (word)low_stack_end - 8;
    test("call gate from CPL 3: stack of CPL 0 with two parameters");
    set_call_gate(CODE32, arrive, 3, 2);
    go(call_gate, true);
    expect_done(&event);
    expect(event.at.cs, CODE32);
    expect(event.at.ss, KERNEL_DATA);
    expect(event.at.sp, (word)trap_stack_end - 24);
    expect(stack(0), (word)call_gate_next);
    expect(stack(1), USER_CODE32);
    expect(stack(2), 0x2222);
    expect(stack(3), 0x1111);
    expect(stack(4), user_sp);
    expect(stack(5), USER_DATA);
    test("call gate: far RET n to the outer level");
    set_call_gate(CODE32, arrive_return, 3, 2);
    go(call_gate, true);
    expect_done(&event);
    expect(event.at.cs, USER_CODE32);
    expect(event.at.cx, 77);
    expect(event.at.bx, user_sp + 8);
    test("call gate: 31 parameters");
    set_call_gate(CODE32, arrive, 3, 31);
    go(call_gate, true);
    expect_done(&event);
    expect(event.at.sp, (word)trap_stack_end - 4 * 35);
    expect(stack(2), 0x2222);
    expect(stack(34), USER_DATA);
    test("call gate: RPL of the target's selector does not matter");
    set_call_gate(CODE32 | 3, arrive, 3, 0);
    go(call_gate, true);
    expect_done(&event);
    expect(event.at.cs, CODE32);
    test("call gate at CPL 0: no stack switch, no parameters");
    set_call_gate(CODE32, arrive, 0, 2);
    go(call_gate0, false);
    expect_done(&event);
    expect(event.at.sp, (word)low_stack_end - 12);
    expect(stack(1), CODE32);
    expect(stack(2), 0x2222);
    test("call gate of 16 bits from CPL 3");
    set_descriptor(GATE, gate(CODE16, (word)arrive16, GATE_CALL16, 3, 2));
    go(call_gate, true);
    expect_done(&event);
    expect(event.at.cs, CODE16);
    expect(event.at.sp, (word)trap_stack_end - 12);
    expect(stack(0), ((word)call_gate_next & 0xffff) | USER_CODE32 << 16);
    expect(stack(1), 0x2222); /* two words: 2222 and 0 */
    expect(stack(2) >> 16, USER_DATA);
    test("call gate to conforming code: CPL and stack stay");
    deviation("qemu: to CPL 0");
    set_call_gate(CONFORMING, arrive, 3, 2);
    go(call_gate, true);
    expect_done(&event);
    expect(event.at.cs, CONFORMING | 3);
    expect(event.at.ss, USER_DATA);
    expect(event.at.sp, user_sp - 8);
    test("call gate to CPL 1: the stack of CPL 1");
    task_state.ss1 = STACK1 | 1;
    task_state.sp1 = 0x9000;
    set_call_gate(CODE1, arrive, 3, 0);
    go(call_gate, true);
    expect_done(&event);
    expect(event.at.cs, CODE1 | 1);
    expect(event.at.ss, STACK1 | 1);
    expect(event.at.sp, 0x9000 - 16);
    test("JMP through a call gate to conforming code");
    set_call_gate(CONFORMING, arrive, 3, 0);
    go(jump_gate, true);
    expect_done(&event);
    expect(event.at.cs, CONFORMING | 3);
    test("JMP through a call gate to inner code");
    set_call_gate(CODE32, arrive, 3, 0);
    go(jump_gate, true);
    expect_event(&event, VECTOR_GP, CODE32, jump_gate_at);
}

static void call_gate_faults(void)
{
    static const struct {
        const char *name;
        unsigned selector, dpl;
        bool absent;
        unsigned vector;
        word error;
    } rows[] = {
        {"call gate of DPL 2", CODE32, 2, false, VECTOR_GP, GATE},
        {"call gate of DPL 0, not present: DPL first", CODE32, 0, true, VECTOR_GP, GATE},
        {"call gate that is not present", CODE32, 3, true, VECTOR_NP, GATE},
        {"call gate with a null selector", 0, 3, false, VECTOR_GP, 0},
        {"call gate with a selector beyond the GDT", 0x400, 3, false, VECTOR_GP, 0x400},
        {"call gate to data", KERNEL_DATA, 3, false, VECTOR_GP, KERNEL_DATA},
        {"call gate to a call gate", GATE, 3, false, VECTOR_GP, GATE},
        {"call gate to code that is not present", ABSENT, 3, false, VECTOR_NP, ABSENT},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test(rows[i].name);
        set_call_gate(rows[i].selector, arrive, rows[i].dpl, 0);
        if (rows[i].absent) {
            gdt[GATE / 8] &= ~BIT(47);
        }
        go(call_gate, true);
        expect_event(&event, rows[i].vector, rows[i].error, call_gate_at);
        expect(event.at.sp, (word)low_stack_end - 8);
    }
    test("call gate to code of less privilege");
    set_call_gate(USER_CODE32 & ~3, arrive, 0, 0);
    go(call_gate0, false);
    expect_event(&event, VECTOR_GP, USER_CODE32 & ~3, call_gate0_at);
    test("call gate to an offset beyond the limit");
    deviation("qemu: not checked");
    set_call_gate(SMALL, (void *)0x5000, 3, 0);
    go(call_gate, true);
    expect_event(&event, VECTOR_GP, 0, call_gate_at);
}

/* What an inner stack must be; `interrupt`: INT, otherwise a call through a gate to CPL 1. */
static void inner_stacks(void)
{
    static const struct {
        const char *name, *deviation;
        unsigned ss, vector;
        word error;
    } rows[] = {
        {"inner stack: null", "qemu: EXT is missing", 0, VECTOR_TS, 0},
        {"inner stack: beyond the GDT", "qemu: EXT is missing", 0x401, VECTOR_TS, 0x400},
        {"inner stack: RPL is not the new CPL", "qemu: EXT is missing", STACK1, VECTOR_TS, STACK1},
        {"inner stack: DPL is not the new CPL", "qemu: EXT is missing", KERNEL_DATA | 1, VECTOR_TS,
         KERNEL_DATA},
        {"inner stack: code", "qemu: EXT is missing", CODE1 | 1, VECTOR_TS, CODE1},
        {"inner stack: read-only", "qemu: EXT is missing", BAD_STACK | 1, VECTOR_TS, BAD_STACK},
        {"inner stack: not present", "qemu: #TS", (BAD_STACK + 0x28) | 1, VECTOR_SS,
         BAD_STACK + 0x28},
    };
    set_descriptor(BAD_STACK, descriptor(0, 0xfffff, SEGMENT_DATA_READ | 0x20, 12));
    set_descriptor(BAD_STACK + 0x28, descriptor(0, 0xfffff, 0x33, 12));
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test(rows[i].name);
        if (rows[i].deviation) {
            deviation(rows[i].deviation);
        }
        task_state.ss1 = rows[i].ss;
        set_call_gate(CODE1, arrive, 3, 0);
        go(call_gate, true);
        expect_event(&event, rows[i].vector, rows[i].error, call_gate_at);
        set_gate(0x40, GATE_INTERRUPT, CODE1, (word)arrive, 3, 0);
        go(interrupt, true);
        expect_event(&event, rows[i].vector, rows[i].error, interrupt_at);
        set_gate(VECTOR_UD, GATE_INTERRUPT, CODE1, (word)arrive, 0, 0);
        go(invalid, true);
        expect_event(&event, rows[i].vector, rows[i].error | 1, invalid_at);
        default_gates();
    }
    test("inner stack: beyond the TSS's limit");
    task_state.ss1 = STACK1 | 1;
    set_descriptor(TASK, descriptor((word)&task_state, 0x0f, 0x89, 0));
    __asm__ volatile("ltr %w0" : : "r"(TASK));
    set_call_gate(CODE1, arrive, 3, 0);
    go(call_gate, true);
    expect_event(&event, VECTOR_TS, TASK, call_gate_at);
    load_task();
    test("inner stack: too small for the frame");
    deviation("qemu: limits of segments are not checked");
    set_descriptor(BAD_STACK, descriptor(0, 0xff, SEGMENT_DATA | 0x20, 4));
    task_state.ss1 = BAD_STACK | 1;
    task_state.sp1 = 8;
    go(call_gate, true);
    expect_event(&event, VECTOR_SS, BAD_STACK, call_gate_at);
}

static void interrupt_gates(void)
{
    test("INT from CPL 3: SS, ESP, EFLAGS, CS, EIP");
    set_gate(0x40, GATE_INTERRUPT, CODE32, (word)arrive, 3, 0);
    struct context context = user_context(interrupt);
    context.flags |= FLAG_IF | FLAG_CF;
    run(&context, &event);
    expect_done(&event);
    expect(event.at.flags & FLAG_IF, 0);
    expect(event.at.sp, (word)trap_stack_end - 20);
    expect(stack(0), (word)interrupt_next);
    expect(stack(1), USER_CODE32);
    expect(stack(2), FLAG_IF | FLAG_CF | FLAG_ONE);
    expect(stack(3), (word)low_stack_end);
    expect(stack(4), USER_DATA);
    test("a trap gate leaves IF");
    set_gate(0x40, GATE_TRAP, CODE32, (word)arrive, 3, 0);
    run(&context, &event);
    expect_done(&event);
    expect(event.at.flags & FLAG_IF, FLAG_IF);
    test("IRET to the outer level");
    set_gate(0x40, GATE_INTERRUPT, CODE32, (word)iret_now, 3, 0);
    run(&context, &event);
    expect_done(&event);
    expect(event.at.cs, USER_CODE32);
    expect(event.at.sp, (word)low_stack_end);
    expect(event.at.flags & (FLAG_IF | FLAG_CF), FLAG_IF | FLAG_CF);
    test("an interrupt gate of 16 bits");
    set_gate(0x40, GATE_INTERRUPT16, CODE16, (word)iret_now16, 3, 0);
    go(interrupt, false);
    expect_done(&event);
    expect(event.at.bx, (word)low_stack_end - 6);
    expect(event.at.cs, CODE32);
    test("a gate to conforming code: CPL and stack stay");
    set_gate(0x40, GATE_INTERRUPT, CONFORMING, (word)arrive, 3, 0);
    go(interrupt, true);
    expect_done(&event);
    expect(event.at.cs, CONFORMING | 3);
    expect(event.at.sp, (word)low_stack_end - 12);
    static const struct {
        const char *name;
        enum gate_type type;
        unsigned selector, dpl;
        bool user, absent;
        unsigned vector;
        word error;
    } rows[] = {
        {"INT: DPL below CPL", GATE_INTERRUPT, CODE32, 0, true, false, VECTOR_GP, 0x202},
        {"INT: not present", GATE_INTERRUPT, CODE32, 3, true, true, VECTOR_NP, 0x202},
        {"INT: DPL is checked before presence", GATE_INTERRUPT, CODE32, 0, true, true, VECTOR_GP,
         0x202},
        {"INT: a call gate", GATE_CALL, CODE32, 3, false, false, VECTOR_GP, 0x202},
        {"INT: a null selector", GATE_INTERRUPT, 0, 3, false, false, VECTOR_GP, 0},
        {"INT: data", GATE_INTERRUPT, KERNEL_DATA, 3, false, false, VECTOR_GP, KERNEL_DATA},
        {"INT: code of less privilege", GATE_INTERRUPT, USER_CODE32 & ~3, 3, false, false,
         VECTOR_GP, USER_CODE32 & ~3},
        {"INT: code that is not present", GATE_INTERRUPT, ABSENT, 3, false, false, VECTOR_NP,
         ABSENT},
        {"INT: a selector beyond the GDT", GATE_INTERRUPT, 0x400, 3, false, false, VECTOR_GP,
         0x400},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test(rows[i].name);
        set_gate(0x40, rows[i].type, rows[i].selector, (word)arrive, rows[i].dpl, 0);
        if (rows[i].absent) {
            idt[0x40] &= ~BIT(47);
        }
        go(interrupt, rows[i].user);
        expect_event(&event, rows[i].vector, rows[i].error, interrupt_at);
    }
    test("INT: beyond the IDT's limit");
    struct table_register table = {0x40 * 8 + 6, (word)idt};
    __asm__ volatile("lidt %0" : : "m"(table));
    go(interrupt, false);
    expect_event(&event, VECTOR_GP, 0x202, interrupt_at);
    table.limit = 256 * 8 - 1;
    __asm__ volatile("lidt %0" : : "m"(table));
    test("an exception whose gate is not present: bit EXT");
    deviation("qemu: EXT is missing");
    idt[VECTOR_UD] &= ~BIT(47);
    go(invalid, false);
    expect_event(&event, VECTOR_NP, VECTOR_UD * 8 + 3, invalid_at);
    default_gates();
    test("an exception does not look at the gate's DPL");
    go(invalid, true);
    expect_event(&event, VECTOR_UD, 0, invalid_at);
}

void program(void)
{
    set_descriptor(CONFORMING, descriptor(0, 0xfffff, SEGMENT_CONFORMING, 12));
    set_descriptor(ABSENT, descriptor(0, 0xfffff, SEGMENT_CODE & ~0x80, 12));
    set_descriptor(CODE1, descriptor(0, 0xfffff, SEGMENT_CODE | 0x20, 12));
    set_descriptor(STACK1, descriptor(0, 0xfffff, SEGMENT_DATA | 0x20, 12));
    set_descriptor(SMALL, descriptor(0, 0xfff, SEGMENT_CODE, 4));
    call_gates();
    call_gate_faults();
    inner_stacks();
    interrupt_gates();
}
