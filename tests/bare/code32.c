/* SPDX-License-Identifier: MIT
 *
 * Code that lies across two pages, cut at each of its bytes in turn: real mode, 16-bit and 32-bit
 * protected mode, with paging and without; code that changes in real mode.
 */
#include "runtime/bare.h"

enum { DATA = 0x7f0000, LARGE = 0x600000, DIRECTORY = 0x200000 };

static struct event event;

/* Copied to where it runs; EDX (DX in real mode) points to data. */
#define BODY(a, d)                                                                        \
    "push %" a "bp; mov %" a "sp, %" a "bp; push %" a "di; push %" a "si; mov $0x77, %" a \
    "si; movl $0x1b, 0x28(%" d "); movl %eax, 0x20(%" d "); addl $5, (%" d                \
    "); lock xaddl %ecx, 4(%" d "); mov 4(%" d                                            \
    "), %eax; call 1f; jmp 2f; 1: add $0x01020304, %eax; ret; 2: pushf; popf; "           \
    "pop %" a "si; pop %" a "di; pop %" a "bp"
CODE(32, body32, BODY("e", "edx") "; int $0x30; .globl body32_end; body32_end:");
CODE(16, body16, BODY("", "bx") "; int $0x30; .globl body16_end; body16_end:");
MARK(body32_end);
MARK(body16_end);

static bool runs(struct context *context, bool real, word data)
{
    volatile uint32_t *at = (uint32_t *)data;
    at[0] = 100;
    at[1] = 1000;
    at[8] = at[10] = 0;
    context->ax = 0x11111111;
    context->cx = 7;
    context->si = 0x5151;
    context->di = 0xd1d1;
    context->bp = 0xb9b9;
    if (real) {
        run_real(context, &event);
    } else {
        run(context, &event);
    }
    return event.vector == DONE && event.at.ax == 1007 + 0x01020304 && event.at.cx == 1000 &&
           event.at.si == 0x5151 && event.at.di == 0xd1d1 && event.at.bp == 0xb9b9 &&
           event.at.sp == context->sp && at[0] == 105 && at[1] == 1007 && at[8] == 0x11111111 &&
           at[10] == 0x1b;
}

/* At each offset before the end of a page; `base` is that of the code segment. */
static void cut(const char *name, struct context context, const char *from, const char *end,
                word page, word base, bool real, word data)
{
    test(name);
    unsigned size = (unsigned)(end - from) + 2, wrong = 0;
    for (unsigned before = 0; before <= size; before++) {
        word at = page + 0x1000 - before;
        memory_copy((void *)at, from, size);
        context.ip = at - base;
        if (!runs(&context, real, data)) {
            print("# %s: cut at byte %u: vector %lx at %lx, ax %lx\n", name, before, event.vector,
                  event.at.ip, event.at.ax);
            wrong++;
        }
    }
    expect(wrong, 0);
}

static struct context with(struct context context, word dx, word bx)
{
    context.dx = dx;
    context.bx = bx;
    return context;
}

CODE(16, change_next, "movb $0x55, 1f + 1; jmp 1f; 1: mov $0x11, %al; xor %ah, %ah");
CODE(16, change_at_once, "movb $0x66, 1f + 1; 1: mov $0x11, %al; xor %ah, %ah");
CODE(16, change_loop, "xor %ax, %ax; mov $10, %cx; 1: .byte 0x05; 2: .word 0; incw 2b; loop 1b");

static void changes(void)
{
    test("code that changes in real mode");
    struct context context = real_context(change_next);
    run_real(&context, &event);
    expect(event.at.ax, 0x55);
    context.ip = (word)change_at_once;
    run_real(&context, &event);
    expect(event.at.ax, 0x66);
    context.ip = (word)change_loop;
    run_real(&context, &event);
    expect(event.at.ax, 45);
}

void program(void)
{
    volatile uint32_t *directory = (uint32_t *)DIRECTORY;
    struct context real = with(real_context(NULL), 0, 0x800);
    real_vectors();
    changes();
    cut("32-bit code across pages", with(kernel_context(NULL), DATA, 0), body32, body32_end, LARGE,
        0, false, DATA);
    cut("32-bit code across pages at CPL 3", with(user_context(NULL), DATA, 0), body32, body32_end,
        LARGE, 0, false, DATA);
    real.cs = 0x4000;
    cut("real mode, across pages", real, body16, body16_end, 0x48000, 0x40000, true, 0x800);
    set_descriptor(FREE, descriptor(0x600000, 0xffff, SEGMENT_CODE, 0));
    struct context code16 = with(kernel_context16(NULL), 0, 0x800);
    code16.cs = FREE;
    cut("16-bit code across pages", code16, body16, body16_end, LARGE, 0x600000, false, 0x800);
    struct context v86 = real;
    v86.flags |= FLAG_VM | FLAG_IOPL;
    cut("virtual-8086 mode, across pages", v86, body16, body16_end, 0x48000, 0x40000, false, 0x800);
    for (unsigned i = 0; i < 1024; i++) {
        directory[i] = i << 22 | 0x87;
    }
    write_cr4(CR4_PSE);
    write_cr3(DIRECTORY);
    write_cr0(read_cr0() | CR0_PG);
    cut("with paging, 32-bit code across pages", with(kernel_context(NULL), DATA, 0), body32,
        body32_end, LARGE, 0, false, DATA);
    cut("with paging, at CPL 3", with(user_context(NULL), DATA, 0), body32, body32_end, LARGE, 0,
        false, DATA);
    write_cr0(read_cr0() & ~CR0_PG);
}
