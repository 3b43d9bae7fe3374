/* build: 64 */
/* SPDX-License-Identifier: MIT
 *
 * Single step and the debug registers (SDM vol. 3, chapter 17).
 */
#include "runtime/bare.h"

enum { B0 = 1, B1 = 2, B3 = 8, BD = 1 << 13, BS = 1 << 14 };
enum { DR6_FIXED = 0xffff0ff0 };
enum { EXECUTE = 0, WRITE = 1, IO = 2, ACCESS = 3 };
/* Of DR7: breakpoint n, of a kind and length (0: 1 byte, 1: 2, 3: 4, 2: 8). */
#define BREAK(n, kind, length)                                              \
    (BIT(2 * (n)) | BIT(2 * (n) + 1) | (uint64_t)(kind) << (16 + 4 * (n)) | \
     (uint64_t)(length) << (18 + 4 * (n)))

static struct event event;
static volatile uint64_t buffer[512] __attribute__((aligned(64)));
static volatile uint64_t *const watched = &buffer[256];

static void arm(word address, word control)
{
    write_dr7(0);
    write_dr6(0);
    write_dr0(address);
    write_dr7(control);
}

static void go(const char *code, word flags)
{
    struct context context = kernel_context(code);
    context.flags |= flags;
    context.bx = (word)watched;
    context.si = (word)watched;
    context.di = (word)watched + 64;
    context.cx = 3;
    run(&context, &event);
}

/* #DB at a place, with these bits of DR6. */
static void expect_debug(const char *ip, word bits)
{
    word dr6 = read_dr6();
    write_dr7(0);
    expect_event(&event, VECTOR_DB, 0, ip);
    expect_same("dr6", dr6, DR6_FIXED | bits);
    write_dr6(0);
}

CODE(64, two_nops, "nop; .globl nop_second; nop_second: nop; .globl nop_end; nop_end: nop");
MARK(nop_second);
MARK(nop_end);
CODE(64, popf_tf,
     "pushfq; orq $0x100, (%rsp); popfq; .globl popf_next; popf_next: nop; .globl popf_trap; "
     "popf_trap: nop");
MARK(popf_trap);
CODE(64, popf_clear, "pushfq; andq $~0x100, (%rsp); popfq; nop; nop");
CODE(64, rep, ".globl rep_at; rep_at: rep movsb; .globl rep_end; rep_end: nop");
MARK(rep_at);
MARK(rep_end);
CODE(64, rep_none,
     "xor %ecx, %ecx; .globl rep_none_at; rep_none_at: rep movsb; .globl rep_none_end; "
     "rep_none_end: nop");
MARK(rep_none_at);
MARK(rep_none_end);
CODE(64, mov_ss,
     "mov %ss, %eax; .globl mov_ss_at; mov_ss_at: mov %eax, %ss; nop; .globl mov_ss_end; "
     "mov_ss_end: nop");
MARK(mov_ss_at);
MARK(mov_ss_end);
CODE(64, int_step,
     "int $0x40; .globl int_step_next; int_step_next: nop; .globl int_step_end; int_step_end: nop");
MARK(int_step_next);
MARK(int_step_end);
CODE(64, int_handler, "pushfq; pop %rax; iretq");
CODE(64, faults_step, ".globl faults_step_at; faults_step_at: ud2");
MARK(faults_step_at);
CODE(64, jump_step, "jmp jump_target; nop; .globl jump_target; jump_target: nop");
MARK(jump_target);
CODE(64, store,
     "movq $1, (%rbx); .globl store_end; store_end: mov (%rbx), %rax; .globl load_end; load_end: "
     "nop");
MARK(store_end);
MARK(load_end);
CODE(64, load_only,
     "mov (%rbx), %rax; nop; .globl load_only_next; load_only_next: movb $1, 7(%rbx); .globl "
     "byte_end; byte_end: nop");
MARK(byte_end);
CODE(64, crossing, "movl $1, 6(%rbx); .globl crossing_end; crossing_end: nop");
MARK(crossing_end);
CODE(64, push_pop,
     "mov %rsp, %rax; lea 16(%rbx), %rsp; push %rcx; .globl push_end; push_end: mov %rax, %rsp");
MARK(push_end);
CODE(64, locked, "lock incl (%rbx); .globl locked_end; locked_end: nop");
MARK(locked_end);
CODE(64, shadow,
     "mov %ss, %eax; mov %eax, (%rbx); nop; mov (%rbx), %ss; nop; .globl shadow_end; shadow_end: "
     "nop");
MARK(shadow_end);
CODE(64, out_port, "out %al, $0x80; .globl out_end; out_end: nop");
MARK(out_end);
CODE(64, read_dr, ".globl read_dr_at; read_dr_at: mov %dr0, %rax; nop");
MARK(read_dr_at);
CODE(64, dr4, ".globl dr4_at; dr4_at: mov %dr4, %rax");
MARK(dr4_at);
CODE(64, set_dr7, ".globl set_dr7_at; set_dr7_at: mov %rcx, %dr7");
MARK(set_dr7_at);
CODE(64, set_dr6, ".globl set_dr6_at; set_dr6_at: mov %rcx, %dr6");
MARK(set_dr6_at);
CODE(64, syscall_step, "mov $syscall_back, %ecx; syscall; .globl syscall_back; syscall_back: nop");

CODE(64, icebp, "int1; .globl icebp_next; icebp_next: nop");
MARK(icebp_next);

static void single_step(void)
{
    test("TF: the trap comes behind the first instruction");
    arm(0, 0);
    go(two_nops, FLAG_TF);
    expect_debug(nop_second, BS);
    expect(event.at.flags & FLAG_TF, FLAG_TF);
    test("TF set by POPF: the trap comes behind the next instruction");
    go(popf_tf, 0);
    expect_debug(popf_trap, BS);
    test("TF cleared by POPF: there is a trap behind it");
    struct context context = kernel_context(popf_clear);
    context.flags |= FLAG_TF;
    unsigned traps = 0;
    for (; traps < 20; traps++) {
        run(&context, &event);
        if (event.vector != VECTOR_DB) {
            break;
        }
        context = event.at;
    }
    expect_done(&event);
    expect(traps, 3);
    write_dr6(0);
    test("TF: REP MOVSB traps after each element");
    go(rep, FLAG_TF);
    expect_debug(rep_at, BS);
    expect(event.at.cx, 2);
    context = event.at;
    run(&context, &event);
    expect_debug(rep_at, BS);
    expect(event.at.cx, 1);
    context = event.at;
    run(&context, &event);
    expect_debug(rep_end, BS);
    expect(event.at.cx, 0);
    test("TF: REP with count 0 traps once");
    go(rep_none, FLAG_TF);
    write_dr6(0);
    context = event.at;
    run(&context, &event);
    expect_debug(rep_none_end, BS);
    test("TF: MOV SS holds the trap back for an instruction");
    go(mov_ss, FLAG_TF);
    write_dr6(0);
    context = event.at;
    run(&context, &event);
    expect_debug(mov_ss_end, BS);
    test("TF: INT n clears it, and the trap comes behind the instruction after IRET");
    set_gate(0x40, GATE_INTERRUPT, KERNEL_CODE, (word)int_handler, 0, 0);
    go(int_step, FLAG_TF);
    expect_debug(int_step_end, BS);
    expect(event.at.ax & FLAG_TF, 0);
    default_gates();
    test("TF: an instruction that faults does not trap");
    go(faults_step, FLAG_TF);
    expect_event(&event, VECTOR_UD, 0, faults_step_at);
    expect(read_dr6() & BS, 0);
    test("TF: a jump");
    go(jump_step, FLAG_TF);
    expect_debug(jump_target, BS);
    test("TF at CPL 3");
    context = user_context(two_nops);
    context.flags |= FLAG_TF;
    run(&context, &event);
    expect_debug(nop_second, BS);
    test("TF: SYSCALL clears what SFMASK names");
    word efer = rdmsr(MSR_EFER);
    wrmsr(MSR_EFER, efer | 1);
    wrmsr(MSR_STAR, (uint64_t)CODE64 << 32 | (uint64_t)USER_CODE32 << 48);
    wrmsr(MSR_LSTAR, (word)two_nops);
    wrmsr(MSR_SFMASK, FLAG_TF);
    go(syscall_step, 0);
    expect_done(&event);
    expect(event.at.flags & FLAG_TF, 0);
    wrmsr(MSR_EFER, efer);
}

static void execution(void)
{
    test("execution: before the instruction");
    arm((word)nop_second, BREAK(0, EXECUTE, 0));
    go(two_nops, 0);
    expect_debug(nop_second, B0);
    test("execution: RF lets it pass once");
    deviation("qemu: RF stays");
    arm((word)two_nops, BREAK(0, EXECUTE, 0));
    go(two_nops, FLAG_RF);
    expect_done(&event);
    expect(event.at.flags & FLAG_RF, 0);
    write_dr7(0);
    test("execution: RF is gone after an instruction");
    arm((word)nop_second, BREAK(0, EXECUTE, 0));
    go(two_nops, FLAG_RF);
    expect_debug(nop_second, B0);
    test("execution: the global bit alone is enough, none is not");
    arm((word)nop_second, BIT(1));
    go(two_nops, 0);
    expect_debug(nop_second, B0);
    arm((word)nop_second, 0);
    go(two_nops, 0);
    expect_done(&event);
    test("execution: two breakpoints, both bits");
    arm((word)nop_second, BREAK(0, EXECUTE, 0) | BREAK(3, EXECUTE, 0));
    write_dr3((word)nop_second);
    go(two_nops, 0);
    expect_debug(nop_second, B0 | B3);
    write_dr3(0);
    test("execution: comes before the fault of the instruction");
    arm((word)faults_step_at, BREAK(0, EXECUTE, 0));
    go(faults_step, 0);
    expect_debug(faults_step_at, B0);
    test("execution: together with single step of the one before");
    arm((word)nop_second, BREAK(0, EXECUTE, 0));
    go(two_nops, FLAG_TF);
    word dr6 = read_dr6();
    write_dr7(0);
    expect_event(&event, VECTOR_DB, 0, nop_second);
    expect(dr6 & BS, BS);
    write_dr6(0);
    test("execution: code that was translated without it");
    go(two_nops, 0);
    expect_done(&event);
    arm((word)nop_second, BREAK(0, EXECUTE, 0));
    go(two_nops, 0);
    expect_debug(nop_second, B0);
    go(two_nops, 0);
    expect_done(&event);
}

static void data(void)
{
    const struct {
        const char *name, *code, *at;
        word address, control;
    } rows[] = {
        {"data: a store", store, store_end, (word)watched, BREAK(0, WRITE, 2)},
        {"data: a byte store, of the last byte", load_only, byte_end, (word)watched,
         BREAK(0, WRITE, 2)},
        {"data: a byte", load_only, byte_end, (word)watched + 7, BREAK(0, WRITE, 0)},
        {"data: an access that touches it only partly", crossing, crossing_end, (word)watched + 8,
         BREAK(0, WRITE, 0)},
        {"data: PUSH", push_pop, push_end, (word)watched + 8, BREAK(0, WRITE, 2)},
        {"data: a locked add", locked, locked_end, (word)watched, BREAK(0, WRITE, 3)},
        {"data: reads count for kind 3", load_only, load_only + 3, (word)watched,
         BREAK(0, ACCESS, 2)},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test(rows[i].name);
        arm(rows[i].address, rows[i].control);
        go(rows[i].code, 0);
        expect_debug(rows[i].at, B0);
    }
    test("data: a byte beside does not count");
    arm((word)watched + 12, BREAK(0, WRITE, 3));
    go(store, 0);
    write_dr7(0);
    expect_done(&event);
    test("data: the second breakpoint");
    arm(0, BREAK(1, WRITE, 2));
    write_dr1((word)watched);
    go(store, 0);
    expect_debug(store_end, B1);
    test("data: REP MOVSB stops after the element");
    arm((word)watched + 65, BREAK(0, WRITE, 0));
    go(rep, 0);
    expect_debug(rep_at, B0);
    expect(event.at.cx, 1);
    test("data: a store that faults does not trap");
    arm((word)watched, BREAK(0, WRITE, 2));
    go(faults_step, 0);
    write_dr7(0);
    expect_event(&event, VECTOR_UD, 0, faults_step_at);
    expect(read_dr6(), DR6_FIXED);
    test("data: MOV SS holds the trap back");
    deviation("qemu: it does not");
    watched[0] = KERNEL_DATA;
    arm((word)watched, BREAK(0, ACCESS, 3));
    struct context context = kernel_context(shadow);
    context.bx = (word)watched;
    run(&context, &event); /* the store */
    write_dr6(0);
    context = event.at;
    run(&context, &event);
    expect_debug(shadow_end, B0);
    test("data: at CPL 3");
    arm((word)watched, BREAK(0, WRITE, 2));
    context = user_context(store);
    context.bx = (word)watched;
    run(&context, &event);
    expect_debug(store_end, B0);
}

static void registers(void)
{
    test("I/O with CR4.DE");
    word cr4 = read_cr4();
    write_cr4(cr4 | CR4_DE);
    arm(0x80, BREAK(0, IO, 0));
    go(out_port, 0);
    expect_debug(out_end, B0);
    test("DR4 and DR5 with CR4.DE");
    go(dr4, 0);
    expect_event(&event, VECTOR_UD, 0, dr4_at);
    write_cr4(cr4);
    test("DR4 is DR6 without CR4.DE");
    go(dr4, 0);
    expect_done(&event);
    expect(event.at.ax, DR6_FIXED);
    test("DR7.GD: #DB before an access, GD cleared");
    deviation("qemu: GD is ignored");
    arm(0, BD);
    go(read_dr, 0);
    word dr7 = read_dr7();
    expect_debug(read_dr_at, BD);
    expect(dr7, 0x400);
    test("DR6 and DR7: fixed bits");
    deviation("qemu: bit 12 of DR6 can be set");
    write_dr6(0xffffffff);
    word all = read_dr6();
    expect(all & ~0x10000ul, 0xffffefff & ~0x10000ul);
    write_dr6(0);
    expect(read_dr6(), DR6_FIXED);
    write_dr7(0);
    expect(read_dr7(), 0x400);
    test("DR6 and DR7: #GP by upper bits");
    struct context context = kernel_context(set_dr7);
    context.cx = BIT(32);
    run(&context, &event);
    expect_event(&event, VECTOR_GP, 0, set_dr7_at);
    context.ip = (word)set_dr6;
    run(&context, &event);
    expect_event(&event, VECTOR_GP, 0, set_dr6_at);
    test("DR0 holds 64 bits");
    write_dr0(0x123456789abcdef0);
    expect(read_dr0(), 0x123456789abcdef0);
    write_dr0(0);
    test("INT1 sets no bit of DR6");
    deviation("qemu: INT1 is invalid");
    go(icebp, 0);
    expect_debug(icebp_next, 0);
}

void program(void)
{
    single_step();
    execution();
    data();
    registers();
}
