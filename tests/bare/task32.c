/* SPDX-License-Identifier: MIT
 *
 * Hardware task switches: by JMP, CALL, IRET, task gates and interrupts; busy bits, back links, NT,
 * CR0.TS, what is saved and loaded, and what is checked (SDM vol. 3, chapter 7).
 */
#include "runtime/bare.h"

enum {
    OTHER = 0x78,
    GATE = 0x80,
    OTHER16 = 0x88,
    LOCAL = 0x90,
    ABSENT = 0x98,
    SHORT = 0xa0,
    GATE16 = 0xa8
};
enum { AVAILABLE = 0x89, BUSY = 0x8b };

static struct event event;
static struct task_state other;
static struct __attribute__((packed)) {
    uint16_t back, sp0, ss0, sp1, ss1, sp2, ss2;
    uint16_t ip, flags, ax, cx, dx, bx, sp, bp, si, di, es, cs, ss, ds, ldt;
} other16;
static char other_stack[1024];
static uint64_t local_table[2];

/* What the other task does. */
CODE(32, other_jumps,
     "mov %esp, %ebx; mov $0x99, %ecx; pushf; pop %edx; mov %cr0, %esi; ljmp $0x68, $0\n"
     ".globl other_again; other_again: mov $0x55, %ecx; ljmp $0x68, $0");
MARK(other_again);
CODE(32, other_returns,
     "mov $0x99, %ecx; pushf; pop %edx; iret; .globl other_entered_again; other_entered_again: mov "
     "$0x77, %ecx; iret");
MARK(other_entered_again);
CODE(32, other_stays, "mov $0x99, %ecx");
CODE(16, other_16, "mov $0x9999, %cx; pushfw; popw %dx; iretw");
/* With an error code on the stack. */
CODE(32, other_error, "pop %eax; mov $0x99, %ecx");

/* What the first task does. */
CODE(32, jump,
     "mov $0x12345678, %eax; stc; .globl jump_at; jump_at: ljmp $0x78, $0; .globl jump_next; "
     "jump_next: nop");
MARK(jump_at);
MARK(jump_next);
CODE(32, jump_16, "mov $0x12345678, %eax; ljmp $0x88, $0");
CODE(32, call,
     "stc; .globl call_at; call_at: lcall $0x78, $0; .globl call_next; call_next: setc %al");
MARK(call_at);
MARK(call_next);
CODE(32, call_twice, "lcall $0x78, $0; lcall $0x78, $0");
CODE(32, call_gate, ".globl call_gate_at; call_gate_at: lcall $0x80, $0; nop");
MARK(call_gate_at);
CODE(32, call_gate_user, ".globl call_gate_user_at; call_gate_user_at: lcall $0x83, $0; nop");
MARK(call_gate_user_at);
CODE(32, jump_gate, "ljmp $0x80, $0; nop");
CODE(32, call_16, "lcall $0x88, $0; nop");
CODE(32, call_rpl, ".globl call_rpl_at; call_rpl_at: lcall $0x7b, $0");
MARK(call_rpl_at);
CODE(32, call_absent, ".globl call_absent_at; call_absent_at: lcall $0x98, $0");
MARK(call_absent_at);
CODE(32, call_short, ".globl call_short_at; call_short_at: lcall $0xa0, $0");
MARK(call_short_at);
CODE(32, call_self, ".globl call_self_at; call_self_at: lcall $0x68, $0");
MARK(call_self_at);
CODE(32, interrupt, "int $0x40; .globl interrupt_next; interrupt_next: nop");
MARK(interrupt_next);
CODE(32, invalid, ".globl invalid_at; invalid_at: ud2");
MARK(invalid_at);
CODE(32, general, ".globl general_at; general_at: mov %bx, %ds");
MARK(general_at);
CODE(32, return_nt, "pushf; orl $0x4000, (%esp); popf; .globl return_nt_at; return_nt_at: iret");
MARK(return_nt_at);

static unsigned access_of(unsigned selector)
{
    return gdt[selector / 8] >> 40 & 0xff;
}

/* The other task, not busy, that begins with this code. */
static void prepare(const char *code)
{
    memory_set(&other, 0, 104);
    other.ip = (word)code;
    other.flags = FLAG_ONE;
    other.sp = (word)other_stack + sizeof other_stack;
    other.cs = CODE32;
    other.ss = other.ds = other.es = other.fs = other.gs = KERNEL_DATA;
    other.sp0 = (word)trap_stack_end;
    other.ss0 = KERNEL_DATA;
    other.io_base = 104;
    other.si = 0x5151;
    set_descriptor(OTHER, descriptor((word)&other, 103, AVAILABLE, 0));
    set_descriptor(GATE, (uint64_t)OTHER << 16 | (uint64_t)(0x80 | GATE_TASK) << 40);
    task_state.back = 0x1234;
    load_task();
    write_cr0(read_cr0() & ~(word)CR0_TS);
}

static void go(const char *code)
{
    struct context context = kernel_context(code);
    run(&context, &event);
}

static word task_register(void)
{
    word selector;
    __asm__ volatile("str %0" : "=r"(selector));
    return selector;
}

static void switches(void)
{
    test("JMP: the first task is saved");
    prepare(other_stays);
    go(jump);
    expect_done(&event);
    expect(event.at.cx, 0x99);
    expect(event.at.si, 0x5151);
    expect(event.at.sp, (word)other_stack + sizeof other_stack);
    expect(task_state.ip, (word)jump_next);
    expect(task_state.ax, 0x12345678);
    expect(task_state.sp, (word)low_stack_end);
    expect(task_state.cs & 0xffff, CODE32);
    expect(task_state.ss & 0xffff, KERNEL_DATA);
    expect(task_state.flags & (FLAG_CF | FLAG_NT), FLAG_CF);
    test("JMP: busy bits, back link, NT, TS, TR");
    expect(task_register(), OTHER);
    expect(access_of(OTHER), BUSY);
    expect(access_of(TASK), AVAILABLE);
    expect(other.back, 0);
    expect(event.at.flags & FLAG_NT, 0);
    expect(read_cr0() & CR0_TS, CR0_TS);
    test("JMP there and back");
    prepare(other_jumps);
    go(jump);
    expect_done(&event);
    expect(event.at.ax, 0x12345678);
    expect(event.at.cx, 0);
    expect(event.at.flags & FLAG_CF, FLAG_CF);
    expect(task_register(), TASK);
    expect(access_of(TASK), BUSY);
    expect(access_of(OTHER), AVAILABLE);
    expect(other.cx, 0x99);
    expect(other.ip, (word)other_again);
    expect(other.dx & FLAG_NT, 0);
    expect(other.si & CR0_TS, CR0_TS);
    test("CALL: back link, NT, both busy");
    prepare(other_stays);
    go(call);
    expect_done(&event);
    expect(other.back, TASK);
    expect(event.at.flags & FLAG_NT, FLAG_NT);
    expect(access_of(TASK), BUSY);
    expect(access_of(OTHER), BUSY);
    expect(task_state.ip, (word)call_next);
    __asm__ volatile("pushf; andl $~0x4000, (%%esp); popf" : : : "cc");
    test("CALL and IRET");
    prepare(other_returns);
    go(call);
    expect_done(&event);
    expect(event.at.ax & 1, 1);
    expect(access_of(OTHER), AVAILABLE);
    expect(access_of(TASK), BUSY);
    expect(event.at.flags & FLAG_NT, 0);
    expect(other.dx & FLAG_NT, FLAG_NT);
    expect(other.flags & FLAG_NT, 0);
    expect(other.ip, (word)other_entered_again);
    test("CALL again goes on behind the IRET");
    prepare(other_returns);
    go(call_twice);
    expect_done(&event);
    expect(other.cx, 0x77);
    test("CALL through a task gate");
    prepare(other_returns);
    go(call_gate);
    expect_done(&event);
    expect(other.cx, 0x99);
    expect(task_register(), TASK);
    test("JMP through a task gate");
    prepare(other_stays);
    go(jump_gate);
    expect_done(&event);
    expect(event.at.cx, 0x99);
    expect(access_of(TASK), AVAILABLE);
    test("CALL through a task gate from CPL 3");
    prepare(other_stays);
    gdt[GATE / 8] |= (uint64_t)0x60 << 40;
    struct context context = user_context(call_gate_user);
    run(&context, &event);
    expect_done(&event);
    expect(event.at.cs, CODE32);
    expect(other.back, TASK);
    expect(task_state.cs & 0xffff, USER_CODE32);
    __asm__ volatile("pushf; andl $~0x4000, (%%esp); popf" : : : "cc");
    test("CPL 3: a task gate of DPL 0");
    prepare(other_stays);
    context = user_context(call_gate_user);
    run(&context, &event);
    expect_event(&event, VECTOR_GP, GATE, call_gate_user_at);
    test("CPL 3: a TSS of DPL 0");
    context = user_context(call_rpl);
    run(&context, &event);
    expect_event(&event, VECTOR_GP, OTHER, call_rpl_at);
    test("the LDT is loaded");
    prepare(other_stays);
    local_table[1] = descriptor(0, 0xfffff, SEGMENT_DATA, 12);
    set_descriptor(LOCAL, descriptor((word)local_table, 15, 0x82, 0));
    other.ldt = LOCAL;
    other.fs = 12;
    go(jump);
    expect_done(&event);
    expect(event.at.fs, 12);
    word local;
    __asm__ volatile("sldt %0" : "=r"(local));
    expect(local, LOCAL);
    __asm__ volatile("lldt %w0" : : "r"(0));
    test("a task of 16 bits");
    prepare(other_stays);
    memory_set(&other16, 0, sizeof other16);
    other16.ip = (uint16_t)(word)other_16;
    other16.flags = FLAG_ONE;
    other16.sp = 0x9000;
    other16.cs = CODE16;
    other16.ss = other16.ds = other16.es = DATA16;
    set_descriptor(OTHER16, descriptor((word)&other16, sizeof other16 - 1, 0x81, 0));
    go(call_16);
    expect_done(&event);
    expect(other16.cx, 0x9999);
    expect(other16.back, TASK);
    expect(other16.dx & FLAG_NT, FLAG_NT);
    expect(event.at.cs, CODE32);
    test("a task in virtual-8086 mode");
    prepare(other_16);
    other.flags = FLAG_ONE | FLAG_VM;
    other.cs = other.ss = other.ds = other.es = other.fs = other.gs = 0;
    other.sp = 0x9000;
    other.fs = 0x1234;
    go(jump);
    /* IRET needs IOPL 3 there. */
    expect_event(&event, VECTOR_GP, 0, NULL);
    expect(event.at.flags & FLAG_VM, FLAG_VM);
    expect(event.at.cx & 0xffff, 0x9999);
    expect(event.at.fs, 0x1234);
    expect(event.at.sp, 0x9000);
    test("the trap bit: #DB before the first instruction");
    deviation("qemu: the trap bit is ignored");
    prepare(other_stays);
    other.trap = 1;
    write_dr6(0);
    go(jump);
    expect_event(&event, VECTOR_DB, 0, other_stays);
    expect(read_dr6() & 0xe00f, BIT(15));
    write_dr6(0);
}

static void interrupts(void)
{
    test("INT through a task gate");
    prepare(other_stays);
    set_gate(0x40, GATE_TASK, OTHER, 0, 3, 0);
    go(interrupt);
    expect_done(&event);
    expect(event.at.cx, 0x99);
    expect(other.back, TASK);
    expect(event.at.flags & FLAG_NT, FLAG_NT);
    expect(task_state.ip, (word)interrupt_next);
    __asm__ volatile("pushf; andl $~0x4000, (%%esp); popf" : : : "cc");
    test("INT through a task gate and IRET");
    prepare(other_returns);
    go(interrupt);
    expect_done(&event);
    expect(other.cx, 0x99);
    expect(event.at.ip, (word)interrupt_next + 3);
    expect(event.at.flags & FLAG_NT, 0);
    test("#UD through a task gate");
    prepare(other_stays);
    set_gate(VECTOR_UD, GATE_TASK, OTHER, 0, 0, 0);
    go(invalid);
    expect_done(&event);
    expect(task_state.ip, (word)invalid_at);
    expect(event.at.sp, (word)other_stack + sizeof other_stack);
    __asm__ volatile("pushf; andl $~0x4000, (%%esp); popf" : : : "cc");
    test("#GP through a task gate: the error code is on the new stack");
    prepare(other_error);
    set_gate(VECTOR_GP, GATE_TASK, OTHER, 0, 0, 0);
    struct context context = kernel_context(general);
    context.bx = 0x400;
    run(&context, &event);
    expect_done(&event);
    expect(event.at.ax, 0x400);
    expect(event.at.sp, (word)other_stack + sizeof other_stack);
    expect(task_state.ip, (word)general_at);
    __asm__ volatile("pushf; andl $~0x4000, (%%esp); popf" : : : "cc");
    default_gates();
    test("#DF through a task gate");
    prepare(other_error);
    set_gate(VECTOR_DF, GATE_TASK, OTHER, 0, 0, 0);
    set_gate(VECTOR_GP, GATE_INTERRUPT, 0, 0, 0, 0);
    run(&context, &event);
    expect_done(&event);
    expect(event.at.ax, 0);
    expect(event.at.cx, 0x99);
    expect(task_state.ip, (word)general_at);
    __asm__ volatile("pushf; andl $~0x4000, (%%esp); popf" : : : "cc");
    default_gates();
    test("a task gate to a busy task");
    prepare(other_stays);
    gdt[OTHER / 8] |= (uint64_t)2 << 40;
    set_gate(0x40, GATE_TASK, OTHER, 0, 3, 0);
    go(interrupt);
    expect_event(&event, VECTOR_GP, OTHER, NULL);
    default_gates();
}

static void faults(void)
{
    test("a busy TSS");
    prepare(other_stays);
    gdt[OTHER / 8] |= (uint64_t)2 << 40;
    go(call);
    expect_event(&event, VECTOR_GP, OTHER, call_at);
    go(call_self);
    expect_event(&event, VECTOR_GP, TASK, call_self_at);
    test("a TSS that is not present");
    prepare(other_stays);
    set_descriptor(ABSENT, descriptor((word)&other, 103, AVAILABLE & ~0x80, 0));
    go(call_absent);
    expect_event(&event, VECTOR_NP, ABSENT, call_absent_at);
    test("a TSS that is too short");
    set_descriptor(SHORT, descriptor((word)&other, 102, AVAILABLE, 0));
    go(call_short);
    expect_event(&event, VECTOR_TS, SHORT, call_short_at);
    test("a task gate to no TSS");
    set_descriptor(GATE, (uint64_t)CODE32 << 16 | (uint64_t)(0x80 | GATE_TASK) << 40);
    go(call_gate);
    expect_event(&event, VECTOR_GP, CODE32, call_gate_at);
    test("a task gate with a null selector");
    set_descriptor(GATE, (uint64_t)(0x80 | GATE_TASK) << 40);
    go(call_gate);
    expect_event(&event, VECTOR_GP, 0, call_gate_at);
    test("a task gate that is not present");
    set_descriptor(GATE, (uint64_t)OTHER << 16 | (uint64_t)GATE_TASK << 40);
    go(call_gate);
    expect_event(&event, VECTOR_NP, GATE, call_gate_at);
    test("IRET with NT whose back link is not busy");
    prepare(other_stays);
    task_state.back = OTHER;
    go(return_nt);
    expect_event(&event, VECTOR_TS, OTHER, return_nt_at);
    test("IRET with NT whose back link is no TSS");
    prepare(other_stays);
    task_state.back = KERNEL_DATA;
    go(return_nt);
    expect_event(&event, VECTOR_TS, KERNEL_DATA, return_nt_at);
    __asm__ volatile("pushf; andl $~0x4000, (%%esp); popf" : : : "cc");

    /* These come when the new task is loaded: they are its faults, before its first instruction. */
    static const struct {
        const char *name, *deviation;
        unsigned cs, ss, ds, ldt, vector;
        word error;
    } rows[] = {
        {"new task: CS null", "qemu: the fault is not that of the new task", 0, KERNEL_DATA,
         KERNEL_DATA, 0, VECTOR_TS, 0},
        {"new task: CS of data", "qemu: the fault is not that of the new task", KERNEL_DATA,
         KERNEL_DATA, KERNEL_DATA, 0, VECTOR_TS, KERNEL_DATA},
        {"new task: SS null", "qemu: the fault is not that of the new task", CODE32, 0, KERNEL_DATA,
         0, VECTOR_TS, 0},
        {"new task: SS of code", "qemu: the fault is not that of the new task", CODE32, CODE32,
         KERNEL_DATA, 0, VECTOR_TS, CODE32},
        {"new task: DS of a TSS", "qemu: the fault is not that of the new task", CODE32,
         KERNEL_DATA, TASK, 0, VECTOR_TS, TASK},
        {"new task: DS not present", "qemu: the fault is not that of the new task", CODE32,
         KERNEL_DATA, ABSENT, 0, VECTOR_NP, ABSENT},
        {"new task: LDT of data", "qemu: the fault is not that of the new task", CODE32,
         KERNEL_DATA, KERNEL_DATA, KERNEL_DATA, VECTOR_TS, KERNEL_DATA},
        {"new task: LDT not present", "qemu: the fault is not that of the new task", CODE32,
         KERNEL_DATA, KERNEL_DATA, ABSENT, VECTOR_TS, ABSENT},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test(rows[i].name);
        if (rows[i].deviation) {
            deviation(rows[i].deviation);
        }
        prepare(other_stays);
        set_descriptor(ABSENT,
                       descriptor(0, 0xfffff, rows[i].ldt ? 0x02 : SEGMENT_DATA & ~0x80, 12));
        other.cs = rows[i].cs;
        other.ss = rows[i].ss;
        other.ds = rows[i].ds;
        other.ldt = rows[i].ldt;
        /* The new task has no usable stack in some: a task of its own takes the fault. */
        static struct task_state third;
        memory_copy(&third, &other, 104);
        third.cs = CODE32;
        third.ss = third.ds = KERNEL_DATA;
        third.ldt = 0;
        third.sp = (word)double_stack_end;
        third.ip = (word)other_error;
        set_descriptor(GATE16, descriptor((word)&third, 103, AVAILABLE, 0));
        set_gate(rows[i].vector, GATE_TASK, GATE16, 0, 0, 0);
        go(jump);
        expect_done(&event);
        expect(event.at.ax, rows[i].error);
        expect(other.ip, (word)other_stays);
        expect(task_register(), GATE16);
        expect(third.back, OTHER);
        __asm__ volatile("pushf; andl $~0x4000, (%%esp); popf" : : : "cc");
        default_gates();
        load_task();
    }
}

void program(void)
{
    switches();
    interrupts();
    faults();
    prepare(other_stays);
}
