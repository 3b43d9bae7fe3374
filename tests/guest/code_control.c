/* SPDX-License-Identifier: MIT
 *
 * Control transfer: indirect calls through large tables, a computed-goto interpreter, returns that
 * do not match their calls (longjmp, contexts, own stacks, changed return addresses, returns as
 * jumps), far returns and IRETQ within user code. */
#include <setjmp.h>
#include <ucontext.h>

#include "expect.h"

/* --- tables */

enum { TABLE = 6000, STUB = 16, PAGES = TABLE * STUB / EXPECT_PAGE + 1 };

static void tables(void)
{
    uint8_t *code = expect_pages(PAGES, PROT_READ | PROT_WRITE);
    for (uint32_t i = 0; i < TABLE; i++) { /* lea i(%rdi), %eax; ret */
        uint8_t *p = code + i * STUB;
        p[0] = 0x8d, p[1] = 0x87;
        memcpy(p + 2, &i, 4);
        p[6] = 0xc3;
    }
    EXPECT(mprotect(code, PAGES * EXPECT_PAGE, PROT_READ | PROT_EXEC) == 0);
    uint32_t x = 1;
    for (int i = 0; i < 60000; i++) {
        x = x * 1664525 + 1013904223;
        uint32_t number = (x >> 8) % TABLE;
        uint32_t (*f)(uint32_t) = (uint32_t(*)(uint32_t))(uintptr_t)(code + number * STUB);
        EXPECT_SAME(f((uint32_t)i), (uint32_t)i + number);
    }
    munmap(code, PAGES * EXPECT_PAGE);
}

/* A stack machine: each operation jumps to the next through a table. */
static int64_t interpret(const uint8_t *program, int64_t counter)
{
    static const void *const operation[] = {&&push, &&add, &&dup, &&less, &&branch, &&end, &&swap};
    int64_t stack[32], *sp = stack;
    const uint8_t *pc = program;
#define NEXT goto *operation[*pc++]
    *sp = counter;
    NEXT;
push:
    *++sp = (int8_t)*pc++;
    NEXT;
add:
    sp--;
    *sp += sp[1];
    NEXT;
dup:
    sp++;
    *sp = sp[-1];
    NEXT;
less:
    *sp = *sp > 0;
    NEXT;
branch:
    pc += *sp-- ? (int8_t)*pc : 1;
    NEXT;
swap : {
    int64_t t = *sp;
    *sp = sp[-1];
    sp[-1] = t;
    NEXT;
}
end:
    return sp[-1];
#undef NEXT
}

static void computed_goto(void)
{
    enum { PUSH, ADD, DUP, LESS, BRANCH, END, SWAP };
    /* sum under the counter: s n -> s+3 n-1 until n is 0 */
    static const uint8_t program[] = {PUSH, 0,    SWAP, /* 0 n */
                                      SWAP, PUSH, 3,      ADD,          SWAP,
                                      PUSH, 0xff, ADD, /* loop */
                                      DUP,  LESS, BRANCH, (uint8_t)-11, END};
    EXPECT_SAME(interpret(program, 20000), 60000);
}

/* --- returns that match no call */

static jmp_buf back;

static volatile bool leave = true;

static int descend(int depth)
{
    if (depth == 0) {
        if (leave) {
            longjmp(back, 7);
        }
        return 0;
    }
    int below = descend(depth - 1);
    __asm__ volatile("" : "+r"(below)); /* a call, no loop */
    return below + 1;
}

static void long_jumps(void)
{
    for (volatile int i = 0; i < 500; i++) {
        int got = setjmp(back);
        if (got == 0) {
            descend(i % 90);
            EXPECT_THAT(false, "longjmp returned");
        }
        EXPECT_SAME(got, 7);
    }
}

static ucontext_t main_context, one, two;
static int steps[2];

static void player(int number)
{
    for (int i = 0; i < 200; i++) {
        steps[number]++;
        EXPECT(swapcontext(number ? &two : &one, number ? &one : &two) == 0);
    }
}

static void contexts(void)
{
    static uint8_t stack[2][65536];
    for (int i = 0; i < 2; i++) {
        ucontext_t *c = i ? &two : &one;
        getcontext(c);
        c->uc_stack.ss_sp = stack[i];
        c->uc_stack.ss_size = sizeof stack[i];
        c->uc_link = &main_context;
        makecontext(c, (void (*)(void))player, 1, i);
    }
    EXPECT(swapcontext(&main_context, &one) == 0);
    EXPECT_SAME(steps[0], 200);
    EXPECT_SAME(steps[1], 200);
}

/* Two coroutines of our own: switch(from, to) leaves with the other's return address. */
void code_control_switch(uint64_t **from, uint64_t *to);
__asm__(".globl code_control_switch\n"
        "code_control_switch:\n\t"
        "push %rbx\n\tpush %rbp\n\tpush %r12\n\tpush %r13\n\tpush %r14\n\tpush %r15\n\t"
        "mov %rsp, (%rdi)\n\t"
        "mov %rsi, %rsp\n\t"
        "pop %r15\n\tpop %r14\n\tpop %r13\n\tpop %r12\n\tpop %rbp\n\tpop %rbx\n\t"
        "ret\n");

static uint64_t *sp_main, *sp_other, other_count;

static void coroutine(void)
{
    for (;;) {
        other_count++;
        code_control_switch(&sp_other, sp_main);
    }
}

static void own_stacks(void)
{
    static uint64_t stack[8192] __attribute__((aligned(16)));
    sp_other = &stack[8192 - 8 - 1];
    sp_other[6] = (uintptr_t)coroutine;
    for (int i = 0; i < 2000; i++) {
        code_control_switch(&sp_main, sp_other);
    }
    EXPECT_SAME(other_count, 2000);
}

#define ASM(result, text)                                                   \
    __asm__ volatile("sub $256, %%rsp\n\t" text "\n\tlea 256(%%rsp), %%rsp" \
                     : "=a"(result)                                         \
                     :                                                      \
                     : "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc")

static void changed_returns(void)
{
    uint64_t got;
    for (int i = 0; i < 300; i++) {
        /* The callee moves its return address on by the two bytes of UD2. */
        ASM(got, "call 1f\n\tud2\n\tmov $5, %%eax\n\tjmp 2f\n\t1: addq $2, (%%rsp)\n\tret\n\t2:");
        EXPECT_SAME(got, 5);
        /* A return as a jump. */
        ASM(got, "lea 1f(%%rip), %%rcx\n\tpush %%rcx\n\tmov $6, %%eax\n\tret\n\tud2\n\t1:");
        EXPECT_SAME(got, 6);
        /* A call that never returns, only asks where it is. */
        ASM(got, "call 1f\n\t2: nop\n\t1: pop %%rcx\n\tlea 2b(%%rip), %%rax\n\tsub %%rcx, %%rax");
        EXPECT_SAME(got, 0);
        /* An indirect jump through RET, as protected code does. */
        ASM(got, "lea 3f(%%rip), %%rcx\n\tcall 1f\n\t2: pause\n\tjmp 2b\n\t"
                 "1: mov %%rcx, (%%rsp)\n\tret\n\t3: mov $8, %%eax");
        EXPECT_SAME(got, 8);
        /* RET that pops arguments. */
        ASM(got, "mov %%rsp, %%rdx\n\tpush $1\n\tpush $2\n\tcall 1f\n\tsub %%rsp, %%rdx\n\t"
                 "mov %%rdx, %%rax\n\tjmp 2f\n\t1: ret $16\n\t2:");
        EXPECT_SAME(got, 0);
        /* Two levels at once, ten times. */
        ASM(got, "xor %%eax, %%eax\n\tmov $10, %%ecx\n\t0: call 1f\n\tinc %%eax\n\tdec %%ecx\n\t"
                 "jnz 0b\n\tjmp 3f\n\t1: call 2f\n\tud2\n\t2: add $8, %%rsp\n\tret\n\t3:");
        EXPECT_SAME(got, 10);
        /* Calls and jumps through the stack pointer. */
        ASM(got, "lea 1f(%%rip), %%rcx\n\tpush %%rcx\n\tcall *(%%rsp)\n\tpop %%rcx\n\tjmp 2f\n\t"
                 "1: mov $9, %%eax\n\tret\n\t2:");
        EXPECT_SAME(got, 9);
        ASM(got, "lea 1f(%%rip), %%rcx\n\tpush %%rcx\n\tjmp *(%%rsp)\n\tud2\n\t1: pop %%rax\n\t"
                 "sub %%rcx, %%rax");
        EXPECT_SAME(got, 0);
        ASM(got, "lea 1f(%%rip), %%rax\n\tmov %%rsp, %%rdx\n\tcall *%%rax\n\tjmp 2f\n\t"
                 "1: pop %%rax\n\tpush %%rax\n\tret\n\t2: xor %%eax, %%eax");
        EXPECT_SAME(got, 0);
        /* PUSH RSP stores the old value, POP RSP the popped one. */
        ASM(got, "mov %%rsp, %%rcx\n\tpush %%rsp\n\tpop %%rax\n\tsub %%rcx, %%rax");
        EXPECT_SAME(got, 0);
        ASM(got, "mov %%rsp, %%rcx\n\tpush %%rcx\n\tpop %%rsp\n\tmov %%rsp, %%rax\n\t"
                 "sub %%rcx, %%rax");
        EXPECT_SAME(got, 0);
        ASM(got, "mov %%rsp, %%rcx\n\tpushq $3\n\tpushq 0(%%rsp)\n\tpopq 0(%%rsp)\n\tpop %%rax\n\t"
                 "sub %%rcx, %%rsp\n\tadd %%rcx, %%rsp");
        EXPECT_SAME(got, 3);
    }
}

/* LEAVE, ENTER with levels, frames. */
static void frames(void)
{
    uint64_t got;
    ASM(got, "push %%rbp\n\tmov %%rsp, %%rcx\n\tenter $32, $0\n\tmov %%rcx, %%rax\n\t"
             "sub %%rsp, %%rax\n\tleave\n\tpop %%rbp");
    EXPECT_SAME(got, 40);
    ASM(got, "push %%rbp\n\tmov %%rsp, %%rbp\n\tmov %%rsp, %%rcx\n\tenter $16, $2\n\t"
             "mov %%rcx, %%rax\n\tsub %%rsp, %%rax\n\tleave\n\tpop %%rbp");
    EXPECT_SAME(got, 8 + 16 + 16);
}

static void far_returns(void)
{
    uint64_t got;
    for (int i = 0; i < 50; i++) {
        ASM(got, "mov %%cs, %%ecx\n\tpush %%rcx\n\tlea 1f(%%rip), %%rcx\n\tpush %%rcx\n\t"
                 "mov $3, %%eax\n\tlretq\n\tud2\n\t1:");
        EXPECT_SAME(got, 3);
        ASM(got, "mov %%rsp, %%rdx\n\tmov %%ss, %%ecx\n\tpush %%rcx\n\tpush %%rdx\n\tpushfq\n\t"
                 "mov %%cs, %%ecx\n\tpush %%rcx\n\tlea 1f(%%rip), %%rcx\n\tpush %%rcx\n\t"
                 "mov $4, %%eax\n\tiretq\n\tud2\n\t1: sub %%rsp, %%rdx\n\tadd %%edx, %%eax");
        EXPECT_SAME(got, 4);
    }
}

int main(void)
{
    alarm(60);
    tables();
    computed_goto();
    long_jumps();
    contexts();
    own_stacks();
    changed_returns();
    frames();
    far_returns();
    return expect_done();
}
