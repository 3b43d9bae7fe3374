/* SPDX-License-Identifier: MIT
 *
 * The first steps of a CPU: plain 8086 code in real mode, each step telling by itself, before the
 * runtime's way to protected mode. It needs no stack until it tests one, and no interrupts.
 *
 * What fails says so at the console at port e9 and is counted; program() tells the sum.
 */
#include "runtime/bare.h"

/* Each case compares AX with a number: STEP(name, code, expected AX). It may use all registers but
 * SP, SS and CS; DS and ES are 0 before. */
#define STEP(number, name, expected, ...)                                                 \
    "movw $first_name" #number ", %bp\n"                                                  \
    ".pushsection .low.data\nfirst_name" #number ": .asciz \"" name "\"\n.popsection\n"   \
    "xorw %ax, %ax\nmovw %ax, %ds\nmovw %ax, %es\ncld\n" __VA_ARGS__ "\nmovw $" #expected \
    ", %dx\ncall first_tell\n"

LOW uint16_t first_passed = 0, first_failed = 0;
LOW uint16_t first_word = 0x1234;
LOW uint8_t first_bytes[16] = {0};

/* clang-format off */
__asm__(".pushsection .low.text, \"awx\"\n.code16\n"
        /* bp: name, ax: got, dx: expected */
        "first_tell:\n"
        "movw $0, %cx\n"
        "movw %cx, %ds\n"
        "cmpw %dx, %ax\n"
        "je 1f\n"
        "incw first_failed\n"
        "pushw %ax\n"
        "movw $first_fail, %si\n"
        "call first_print\n"
        "movw %bp, %si\n"
        "call first_print\n"
        "movw $first_got, %si\n"
        "call first_print\n"
        "popw %ax\n"
        "call first_hex\n"
        "movw $first_expected, %si\n"
        "call first_print\n"
        "movw %dx, %ax\n"
        "call first_hex\n"
        "movb $10, %al\n"
        "outb %al, $0xe9\n"
        "ret\n"
        "1: incw first_passed\n"
        "movw $first_ok, %si\n"
        "call first_print\n"
        "movw %bp, %si\n"
        "call first_print\n"
        "movb $10, %al\n"
        "outb %al, $0xe9\n"
        "ret\n"
        "first_print: cs lodsb\n"
        "testb %al, %al\n"
        "jz 1f\n"
        "outb %al, $0xe9\n"
        "jmp first_print\n"
        "1: ret\n"
        "first_hex: movw $4, %cx\n"
        "movw %ax, %bx\n"
        "1: rolw $1, %bx\nrolw $1, %bx\nrolw $1, %bx\nrolw $1, %bx\n"
        "movw %bx, %ax\n"
        "andb $15, %al\n"
        "addb $'0', %al\n"
        "cmpb $'9', %al\n"
        "jbe 2f\n"
        "addb $39, %al\n"
        "2: outb %al, $0xe9\n"
        "loop 1b\n"
        "ret\n"
        "first_ok: .asciz \"ok \"\n"
        "first_fail: .asciz \"FAIL \"\n"
        "first_got: .asciz \": ax: got \"\n"
        "first_expected: .asciz \" expected \"\n"

        ".globl real_main\n"
        "real_main:\n"
        STEP(1, "MOV with an immediate", 0x1234, "movw $0x1234, %ax")
        STEP(2, "ADD with carry into the upper half", 0x0100, "movw $0xff, %ax\naddw $1, %ax")
        STEP(3, "Jcc taken and not", 3, "xorw %ax, %ax\njnz 1f\nincw %ax\nstc\njnc 1f\nincw %ax\njc 2f\n"
             "1: movw $99, %ax\n2: incw %ax")
        STEP(4, "CALL and RET", 7, "movw $5, %ax\npushw %ax\ncall 1f\njmp 2f\n1: addw $2, %ax\nret\n2: popw %cx")
        STEP(5, "PUSH and POP", 0x5678, "movw $0x5678, %ax\npushw %ax\nxorw %ax, %ax\npopw %ax")
        STEP(6, "load from memory", 0x1234, "movw first_word, %ax")
        STEP(7, "store and load", 0xabcd, "movw $0xabcd, first_bytes\nmovb first_bytes + 1, %ah\nmovb first_bytes, %al")
        STEP(8, "addresses BX+SI and BP+DI", 0x1234, "movw $first_word - 3, %bx\nmovw $3, %si\nmovb (%bx,%si), %al\n"
             "pushw %bp\nmovw %bx, %bp\nmovw $4, %di\nmovb %ds:(%bp,%di), %ah\npopw %bp")
        STEP(9, "address of 16 bits wraps", 0x1234, "movw $first_word + 8, %bx\nmovw $0xfff8, %si\nmovw (%bx,%si), %ax")
        STEP(10, "DS base", 0x1234, "movw $0x10, %ax\nmovw %ax, %ds\nmovw %ds:first_word - 0x100, %ax")
        STEP(11, "segment prefixes", 0x1234, "movw $0x20, %ax\nmovw %ax, %es\nmovw %es:first_word - 0x200, %ax")
        STEP(12, "SS is the segment of BP", 0x4321, "pushw %bp\nmovw $0x4321, %ax\npushw %ax\nmovw %sp, %bp\n"
             "movw $0xffff, %cx\nmovw %cx, %ds\nmovw (%bp), %ax\npopw %cx\npopw %bp")
        STEP(13, "MUL", 0x0006, "movw $0x300, %ax\nmovw $0x200, %cx\nmulw %cx\nmovw %dx, %ax")
        STEP(14, "DIV", 0x0305, "movw $35, %ax\nmovb $10, %cl\ndivb %cl\nxchgb %al, %ah\nxchgb %al, %ah\nxchgb %ah, %al")
        STEP(15, "shifts", 0x8080, "movw $0x0101, %ax\nmovb $7, %cl\nshlw %cl, %ax")
        STEP(16, "REP STOSB and LOOP", 16 * 3, "movw $first_bytes, %di\nmovw $16, %cx\nmovb $3, %al\nrep stosb\n"
             "movw $first_bytes, %si\nmovw $16, %cx\nxorw %ax, %ax\n1: addb (%si), %al\nincw %si\nloop 1b")
        STEP(17, "REP MOVSW backwards", 0x1234, "std\nmovw $first_word, %si\nmovw $first_bytes + 2, %di\nmovw $1, %cx\n"
             "rep movsw\nmovw first_bytes + 2, %ax\ncld")
        STEP(18, "REPNE SCASB", 5, "movw $first_bytes, %di\nmovb $9, first_bytes + 4\nmovb $9, %al\nmovw $16, %cx\n"
             "repne scasb\nmovw %di, %ax\nsubw $first_bytes, %ax")
        STEP(19, "far CALL and far RET", 0x0042, "lcall $0x10, $1f - 0x100\njmp 2f\n1: movw $0x42, %ax\nlret\n2:")
        STEP(20, "far JMP", 0x0020, "ljmp $0x20, $1f - 0x200\n1: movw %cs, %ax\nljmp $0, $2f\n2:")
        STEP(21, "LES", 0x5555, "movw $0x5555, first_bytes + 2\nlesw first_bytes, %di\nmovw %es, %ax")
        STEP(22, "PUSHF and POPF", 0x0cd7, "movw $0x0cd5, %ax\npushw %ax\npopfw\npushfw\npopw %ax\nandw $0x0fff, %ax\ncld")
        STEP(23, "INT and IRET", 0x0777, "movw $1f, 0x40 * 4\nmovw $0, 0x40 * 4 + 2\nmovw $0x770, %ax\nint $0x40\njmp 2f\n"
             "1: addw $7, %ax\niret\n2:")
        STEP(24, "#DE comes to vector 0", 0x0de0, "movw $1f, 0\nmovw $0, 2\nmovb $0, %cl\nmovw $1, %ax\n"
             "3: divb %cl\njmp 2f\n1: popw %ax\nsubw $3b, %ax\njnz 2f\nmovw $0xde0, %ax\naddw $4, %sp\n2:")
        STEP(25, "XLAT", 0x0009, "movw $first_bytes, %bx\nmovw $4, %ax\nmovb $9, first_bytes + 4\nxlatb")
        STEP(26, "32-bit operands", 0x8765, "movl $0x87654321, %eax\nmovl %eax, first_bytes\nmovw first_bytes + 2, %ax")
        STEP(27, "32-bit addresses", 0x1234, "movl $first_word - 8, %eax\nmovl $2, %ecx\nmovw (%eax,%ecx,4), %ax")
        STEP(28, "code changed before it runs", 0x0055, "movb $0x55, 1f + 1\njmp 1f\n1: movb $0x11, %al\nxorb %ah, %ah")
        "ret\n"
        ".popsection\n" CODE_AGAIN);
/* clang-format on */

void program(void)
{
    test("real mode was left");
    expect_true(read_cr0() & CR0_PE);
    test("nothing failed in real mode");
    expect(first_failed, 0);
    expect(first_passed, 28);
}
