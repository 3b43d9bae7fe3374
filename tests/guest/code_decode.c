/* SPDX-License-Identifier: MIT
 *
 * Encodings that compilers do not make: prefixes that change nothing or are repeated, instructions
 * of 15 bytes and one byte too many, every no-operation, hints, address-size prefixes, reserved
 * encodings. Each is put between two known instructions, so that a wrong length shows. */
#include <setjmp.h>
#include <ucontext.h>

#include "expect.h"

static uint8_t *page;
static sigjmp_buf out;
static int got_signal;
static uint64_t got_pc;

static void on_fault(int signal, siginfo_t *info, void *opaque)
{
    (void)info;
    got_signal = signal;
    got_pc = (uint64_t)((ucontext_t *)opaque)->uc_mcontext.gregs[REG_RIP] - (uintptr_t)page;
    siglongjmp(out, 1);
}

enum { HEAD = 5, ANY = 0 };

struct row {
    const char *name;
    uint8_t length; /* of the instruction; of it and what belongs to it */
    uint8_t bytes[20];
    uint64_t expected; /* RAX after it, which is 100 before it; RDX is 7, RCX 3 */
    int signal;
};

/* RDI points to 64 bytes of 1, RSI to the page. */
static const struct row rows[] = {
    {"nop", 1, {0x90}, 100, 0},
    {"66 nop", 2, {0x66, 0x90}, 100, 0},
    {"pause", 2, {0xf3, 0x90}, 100, 0},
    {"f2 nop", 2, {0xf2, 0x90}, 100, 0},
    {"rex nop", 2, {0x40, 0x90}, 100, 0},
    {"rex.w nop", 2, {0x48, 0x90}, 100, 0},
    {"66 x 11 nop",
     12,
     {0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90},
     100,
     0},
    {"66 x 14 nop",
     15,
     {0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90},
     100,
     0},
    {"66 x 15 nop",
     16,
     {0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
      0x90},
     100,
     SIGSEGV},
    {"nopl (rax)", 3, {0x0f, 0x1f, 0x00}, 100, 0},
    {"nopl 0(rax)", 4, {0x0f, 0x1f, 0x40, 0x00}, 100, 0},
    {"nopl 0(rax,rax)", 5, {0x0f, 0x1f, 0x44, 0x00, 0x00}, 100, 0},
    {"nopw 0(rax,rax)", 6, {0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00}, 100, 0},
    {"nopl 0L(rax)", 7, {0x0f, 0x1f, 0x80, 0, 0, 0, 0}, 100, 0},
    {"nopl 0L(rax,rax)", 8, {0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0}, 100, 0},
    {"nopw cs:0L(rax,rax)", 10, {0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0}, 100, 0},
    {"six 66 and nopw cs:",
     15,
     {0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0},
     100,
     0},
    {"nop rax", 3, {0x0f, 0x1f, 0xc0}, 100, 0},
    {"hint 0f 19", 3, {0x0f, 0x19, 0xc0}, 100, 0},
    {"hint 0f 1c", 3, {0x0f, 0x1c, 0xc1}, 100, 0},
    {"hint 0f 1d", 4, {0x0f, 0x1d, 0x47, 0x08}, 100, 0},
    {"endbr64", 4, {0xf3, 0x0f, 0x1e, 0xfa}, 100, 0},
    {"endbr32", 4, {0xf3, 0x0f, 0x1e, 0xfb}, 100, 0},
    {"rdsspq, a hint without shadow stack", 5, {0xf3, 0x48, 0x0f, 0x1e, 0xc8}, 100, 0},
    {"prefetchnta", 3, {0x0f, 0x18, 0x07}, 100, 0},
    {"prefetcht0 of nothing", 3, {0x0f, 0x18, 0x08}, 100, 0},
    {"prefetch 0f 18 /7", 3, {0x0f, 0x18, 0x3f}, 100, 0},
    {"prefetchw", 3, {0x0f, 0x0d, 0x0f}, 100, 0},
    {"lfence", 3, {0x0f, 0xae, 0xe8}, 100, 0},
    {"mfence", 3, {0x0f, 0xae, 0xf0}, 100, 0},
    {"sfence", 3, {0x0f, 0xae, 0xf8}, 100, 0},
    {"clflush (rdi)", 3, {0x0f, 0xae, 0x3f}, 100, 0},
    {"xchg eax,eax as 87 clears the upper half only", 2, {0x87, 0xc0}, 100, 0},
    {"mov edx,eax", 2, {0x89, 0xd0}, 7, 0},
    {"mov edx,eax the other way", 2, {0x8b, 0xc2}, 7, 0},
    {"cs mov edx,eax", 3, {0x2e, 0x89, 0xd0}, 7, 0},
    {"f2 mov edx,eax", 3, {0xf2, 0x89, 0xd0}, 7, 0},
    {"f3 mov edx,eax", 3, {0xf3, 0x89, 0xd0}, 7, 0},
    {"rex behind 66 has effect", 4, {0x66, 0x48, 0x89, 0xd0}, 7, 0},
    {"66 behind rex takes its effect", 4, {0x48, 0x66, 0x89, 0xd0}, 7, 0},
    {"two rex, the last counts", 4, {0x4f, 0x40, 0x89, 0xd0}, 7, 0},
    {"all prefixes", 9, {0x2e, 0x36, 0x3e, 0x26, 0x66, 0x67, 0xf2, 0x40, 0x90}, 100, 0},
    {"mov (rdi),eax", 2, {0x8b, 0x07}, 0x01010101, 0},
    {"ds ss es mov (rdi),eax", 5, {0x3e, 0x36, 0x26, 0x8b, 0x07}, 0x01010101, 0},
    {"ds gs mov (rdi),eax, gs base 0", 4, {0x3e, 0x65, 0x8b, 0x07}, 0x01010101, 0},
    {"mov 0(rdi,riz) by SIB", 3, {0x8b, 0x04, 0x27}, 0x01010101, 0},
    {"mov 0(rdi) disp32", 6, {0x8b, 0x87, 0, 0, 0, 0}, 0x01010101, 0},
    {"mov (rdi,r12)", 4, {0x42, 0x8b, 0x04, 0x27}, 0x01010101, 0},
    {"movabs moffs32 with 67", 6, {0x67, 0xa1, 0x10, 0, 0, 0}, ANY, SIGSEGV},
    {"add, 83 with 80 of the same", 3, {0x83, 0xc0, 0xff}, 99, 0},
    {"add 81", 6, {0x81, 0xc0, 0xff, 0xff, 0xff, 0xff}, 99, 0},
    {"add 05", 5, {0x05, 1, 0, 0, 0}, 101, 0},
    {"inc ff /0", 2, {0xff, 0xc0}, 101, 0},
    {"shl c1 /6 is shl", 3, {0xc1, 0xf0, 0x02}, 400, 0},
    {"test f7 /1 is test", 6, {0xf7, 0xc8, 1, 0, 0, 0}, 100, 0},
    {"add $imm32, disp32(sib) with three prefixes",
     15,
     {0x3e, 0x3e, 0x3e, 0x48, 0x81, 0x84, 0x27, 0x10, 0, 0, 0, 1, 0, 0, 0},
     100,
     0},
    {"lock add $imm32, disp32(sib), 15 bytes",
     15,
     {0xf0, 0x3e, 0x3e, 0x48, 0x81, 0x84, 0x27, 0x10, 0, 0, 0, 1, 0, 0, 0},
     100,
     0},
    {"16 bytes",
     16,
     {0xf0, 0x3e, 0x3e, 0x3e, 0x48, 0x81, 0x84, 0x27, 0x10, 0, 0, 0, 1, 0, 0, 0},
     ANY,
     SIGSEGV},
    {"xacquire lock inc (rdi)", 4, {0xf2, 0xf0, 0xff, 0x07}, 100, 0},
    {"xrelease mov to (rdi)", 3, {0xf3, 0x89, 0x07}, 100, 0},
    {"bnd jmp", 3, {0xf2, 0xeb, 0x00}, 100, 0},
    {"taken-hint jmp", 3, {0x3e, 0xeb, 0x00}, 100, 0},
    {"taken jz with hint", 3, {0x3e, 0x74, 0x00}, 100, 0},
    {"rep ret in a call", 9, {0xe8, 2, 0, 0, 0, 0xeb, 2, 0xf3, 0xc3}, 100, 0},
    {"bnd call, bnd ret", 10, {0xf2, 0xe8, 2, 0, 0, 0, 0xeb, 2, 0xf2, 0xc3}, 100, 0},
    {"loop with ecx", 3, {0x67, 0xe2, 0xfd}, 100, 0},
    {"jecxz not taken", 3, {0x67, 0xe3, 0x00}, 100, 0},
    {"mov ah: spl with rex is another register", 3, {0x88, 0xd4, 0x90}, 0x764, 0},
    {"push16 pop16", 4, {0x66, 0x52, 0x66, 0x58}, 7, 0},
    {"push imm16", 6, {0x66, 0x68, 0x39, 0x05, 0x66, 0x58}, 1337, 0},
    {"push imm8 sign", 3, {0x6a, 0xfe, 0x58}, 0xfffffffffffffffe, 0},
    {"lea with 67", 5, {0x67, 0x8d, 0x42, 0x05, 0x90}, 12, 0},
    {"lea with 66", 4, {0x66, 0x8d, 0x42, 0x05}, 12, 0},
    {"movsxd without rex.w", 2, {0x63, 0xc2}, 7, 0},
    {"bswap", 2, {0x0f, 0xc8}, 0x64000000, 0},
    {"imul 69", 6, {0x69, 0xc2, 9, 0, 0, 0}, 63, 0},
    {"fwait", 1, {0x9b}, 100, 0},
    {"fnop", 2, {0xd9, 0xd0}, 100, 0},
    {"emms", 2, {0x0f, 0x77}, 100, 0},
    {"int3", 1, {0xcc}, ANY, SIGTRAP},
    {"ud2", 2, {0x0f, 0x0b}, ANY, SIGILL},
    {"lock nop", 2, {0xf0, 0x90}, ANY, SIGILL},
    {"lock add to a register", 3, {0xf0, 0x01, 0xd0}, ANY, SIGILL},
    {"lock test", 3, {0xf0, 0x85, 0x07}, ANY, SIGILL},
    {"lock cmp", 3, {0xf0, 0x39, 0x07}, ANY, SIGILL},
    {"push cs", 1, {0x0e}, ANY, SIGILL},
    {"pusha", 1, {0x60}, ANY, SIGILL},
    {"82", 3, {0x82, 0xc0, 0x01}, ANY, SIGILL},
    {"9a", 7, {0x9a, 0, 0, 0, 0, 0x33, 0}, ANY, SIGILL},
    {"aaa", 1, {0x37}, ANY, SIGILL},
    {"into", 1, {0xce}, ANY, SIGILL},
    {"fe /2", 2, {0xfe, 0xd0}, ANY, SIGILL},
    {"ff /7", 2, {0xff, 0xf8}, ANY, SIGILL},
    {"c6 /1", 3, {0xc6, 0xc8, 0x01}, ANY, SIGILL},
    {"8f /1, no xop", 3, {0x8f, 0xc8, 0x00}, ANY, SIGILL},
    {"lea of a register", 2, {0x8d, 0xc2}, ANY, SIGILL},
    {"0f 04", 2, {0x0f, 0x04}, ANY, SIGILL},
    {"0f 0a", 2, {0x0f, 0x0a}, ANY, SIGILL},
    {"0f 24", 3, {0x0f, 0x24, 0xc0}, ANY, SIGILL},
    {"0f ff", 3, {0x0f, 0xff, 0xc0}, ANY, SIGILL},
    {"0f 38 7f", 4, {0x0f, 0x38, 0x7f, 0xc0}, ANY, SIGILL},
    {"vex with 66", 5, {0x66, 0xc5, 0xf8, 0x58, 0xc0}, ANY, SIGILL},
    {"vex with rex", 5, {0x40, 0xc5, 0xf8, 0x58, 0xc0}, ANY, SIGILL},
    {"lock vex", 5, {0xf0, 0xc5, 0xf8, 0x58, 0xc0}, ANY, SIGILL},
};

/* Bytes of the row, on the page's end or in its middle, behind a known start. */
static uint64_t run(const struct row *row, uint8_t *at)
{
    static uint8_t memory[128] __attribute__((aligned(64)));
    uint8_t *p = at;
    uint64_t rax = 100, rdx = 7, rcx = 3;

    memset(memory, 1, sizeof memory);
    *p++ = 0xb8, *p++ = 100, *p++ = 0, *p++ = 0, *p++ = 0; /* mov $100, %eax */
    memcpy(p, row->bytes, row->length);
    p += row->length;
    *p++ = 0x41, *p++ = 0x80, *p++ = 0xf4, *p++ = 0x5a; /* xor $0x5a, %r12b */
    *p++ = 0xc3;
    got_signal = 0;
    uint64_t mark = 0x11;
    register uint64_t r12 __asm__("r12") = mark;
    __asm__ volatile("call *%4"
                     : "+a"(rax), "+d"(rdx), "+c"(rcx), "+r"(r12)
                     : "r"(at), "D"(memory), "S"(page)
                     : "r8", "r9", "r10", "r11", "xmm0", "memory", "cc");
    EXPECT_THAT(r12 == (mark ^ 0x5a), "%s: what follows did not run as it should", row->name);
    return rax;
}

static void check(const struct row *row, uint8_t *at)
{
    if (sigsetjmp(out, 1) == 0) {
        uint64_t rax = run(row, at);
        EXPECT_THAT(!row->signal, "%s: no signal", row->name);
        EXPECT_THAT(rax == row->expected || row->signal, "%s: eax is %#llx, expected %#llx",
                    row->name, (unsigned long long)rax, (unsigned long long)row->expected);
        return;
    }
    EXPECT_THAT(got_signal == row->signal, "%s: signal %d, expected %d", row->name, got_signal,
                row->signal);
    uint64_t pc = (uint64_t)(at - page) + HEAD + (got_signal == SIGTRAP ? row->length : 0);
    EXPECT_THAT(got_pc == pc, "%s: pc %#llx, expected %#llx", row->name, (unsigned long long)got_pc,
                (unsigned long long)pc);
}

/* MOVABS: the only instructions with eight bytes of address. */
static void long_addresses(void)
{
    static uint64_t value = 0x1122334455667788;
    uint64_t address = (uintptr_t)&value, rax = 0;
    uint8_t *p = page;
    *p++ = 0x48, *p++ = 0xa1;
    memcpy(p, &address, 8);
    p += 8;
    *p++ = 0x48, *p++ = 0xff, *p++ = 0xc0; /* inc %rax */
    *p++ = 0x66, *p++ = 0xa3;
    memcpy(p, &address, 8);
    p[8] = 0xc3;
    __asm__ volatile("call *%1" : "=a"(rax) : "r"(page) : "memory", "cc");
    EXPECT_SAME(rax, 0x1122334455667789);
    EXPECT_SAME(value, 0x1122334455667789);
}

int main(void)
{
    alarm(60);
    page = expect_pages(3, PROT_READ | PROT_WRITE | PROT_EXEC);
    stack_t stack = {.ss_sp = malloc(1 << 16), .ss_size = 1 << 16};
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    EXPECT_OR_END(sigaltstack(&stack, NULL) == 0);
    for (const int *s = (const int[]){SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, 0}; *s; s++) {
        sigaction(*s, &action, NULL);
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check(&rows[i], page + 64);
        for (unsigned split = 1; split < rows[i].length; split += 3) { /* over a page end */
            check(&rows[i], page + EXPECT_PAGE - HEAD - split);
        }
    }
    long_addresses();
    return expect_done();
}
