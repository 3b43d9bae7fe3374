/* SPDX-License-Identifier: MIT
 *
 * Real mode: segments and their limits, the vectors, prefixes, what only old programs use.
 */
#include "runtime/bare.h"

#define MODE      MODE_REAL
#define NO_LIMITS "qemu: limits of segments are not checked"

LOW uint32_t low_a = 0x11223344, low_b = 0x55667788;
LOW uint8_t low_table[256];
LOW uint16_t low_far[4] = {0x1234, 0x5678, 0x9abc, 0xdef0};
LOW int16_t low_bounds[2] = {-5, 10};
LOW int32_t low_bounds32[2] = {-5, 0x10000};
extern struct {
    uint16_t limit;
    uint32_t base;
} __attribute__((packed)) real_table;

/* clang-format off */

/* --- segments */

CASE(16, segment_base, "a segment's base is 16 times its selector", (AX(0x3344), DX(0x20)),
     "mov $0x20, %dx; mov %dx, %ds; mov low_a - 0x200, %ax")
CASE(16, segment_fs, "FS and GS", (AX(0x3344), DX(0x7788)),
     "mov $0x10, %ax; mov %ax, %fs; mov $0x11, %ax; mov %ax, %gs\n"
     "mov %fs:low_a - 0x100, %ax; mov %gs:low_b - 0x110, %dx")
CASE(16, segment_bp, "BP goes with SS, an override with its own", (AX(0x3344), DX(0x7788)),
     "mov $0x10, %ax; mov %ax, %ds; mov $low_a, %bp; mov (%bp), %ax; sub $0x100, %bp\n"
     "mov %ds:4(%bp), %dx")
CASE(16, segment_ebp, "EBP and ESP as base go with SS, EBP as index does not", (AX(0x3344), DX(0x7788)),
     "mov $0x10, %ax; mov %ax, %ds; mov $low_a, %ebp; mov (%ebp), %ax; mov $low_b - 0x100, %ebp\n"
     "mov (,%ebp,1), %dx")
CASE(16, wrap_index, "an address of 16 bits wraps", (AX(0x3344)),
     "mov $low_a + 0x100, %bx; mov $0xff00, %si; mov (%bx,%si), %ax")
CASE(16, byte_at_end, "a byte at FFFF", (AX(0x77)),
     "mov $0x3000, %ax; mov %ax, %ds; mov $0xffff, %bx; movb $0x77, (%bx); xor %ax, %ax; mov (%bx), %al")
FAULT(16, word_at_end, "a word at FFFF", VECTOR_GP, 0, (DEVIATION(NO_LIMITS)),
      "mov $0xffff, %bx; 9: mov (%bx), %ax")
FAULT(16, store_at_end, "a store of a doubleword at FFFD", VECTOR_GP, 0, (DEVIATION(NO_LIMITS)),
      "mov $0x3000, %ax; mov %ax, %ds; mov $0xfffd, %bx; 9: mov %eax, (%bx)")
FAULT(16, stack_at_end, "a word at FFFF of the stack segment", VECTOR_SS, 0, (DEVIATION(NO_LIMITS)),
      "mov $0xffff, %bp; 9: mov (%bp), %ax")
FAULT(16, beyond, "a 32-bit address beyond FFFF", VECTOR_GP, 0, (DEVIATION(NO_LIMITS)),
      "mov $0x10000, %ebx; 9: mov (%ebx), %al")
FAULT(16, rmw_at_end, "read-modify-write at FFFF", VECTOR_GP, 0, (DEVIATION(NO_LIMITS)),
      "mov $0xffff, %bx; 9: addw $1, (%bx)")
FAULT(16, jump_beyond, "a jump with 32-bit operand beyond FFFF", VECTOR_GP, 0, (DEVIATION(NO_LIMITS)),
      "mov $0x5000, %ax; mov %ax, %ds; movw $0x30cd, 0; mov $0x50000, %eax; 9: jmp *%eax")
FAULT(16, string_at_end, "REP MOVSW stops at FFFF", VECTOR_GP, 0, (AX(0), DX(0x3000), DEVIATION(NO_LIMITS)),
      "mov $0x3000, %dx; mov %dx, %ds; mov %dx, %es; mov $4, %cx; mov $0xfffb, %si; mov $0x100, %di\n"
      "9: rep movsw")
CASE(16, string_wraps, "REP MOVSB wraps from FFFF to 0", (AX(0x2211), DX(2)),
     "mov $0x3000, %ax; mov %ax, %ds; mov %ax, %es; movb $0x11, 0xffff; movb $0x22, 0\n"
     "mov $0xffff, %si; mov $0x100, %di; mov $2, %cx; rep movsb; mov 0x100, %ax; mov %si, %dx; inc %dx")
CASE(16, push_wraps, "PUSH at SP 0 goes to FFFE", (AX(0x1357), DX(0xfffe)),
     "mov %sp, %bp; mov $0x3000, %ax; mov %ax, %ss; xor %sp, %sp; push $0x1357; mov %sp, %dx\n"
     "pop %ax; mov $0, %cx; mov %cx, %ss; mov %bp, %sp")
CASE(16, push_sp, "PUSH SP pushes the old SP", (AX(0)), "mov %sp, %cx; push %sp; pop %ax; sub %cx, %ax")
CASE(16, pop_sp, "POP SP", (AX(0x1234), SP(0)),
     "mov %sp, %cx; pushw $0x1234; pop %sp; mov %sp, %ax; mov %cx, %sp")
CASE(16, pop_esp_base, "POP with ESP as base uses the ESP after", (AX(0x2468), SP(-2)),
     "pushw $0; pushw $0x2468; popw (%esp); mov %esp, %ebx; movw %ss:(%bx), %ax")
CASE(16, pusha, "PUSHA and POPA leave SP", (AX(5), DX(8), SP(0)),
     "mov $5, %ax; mov $8, %dx; mov $0x77, %di; pusha; xor %ax, %ax; xor %dx, %dx; popa")
CASE(16, pushad, "PUSHAD is 32 bytes with ESP before it", (AX(32), DX(0)),
     "mov %sp, %bp; pushal; mov %sp, %ax; sub %bp, %ax; neg %ax; mov 12 - 32(%bp), %edx; sub %ebp, %edx; mov %bp, %sp")
CASE(16, lds, "LDS", (AX(0x5678), DX(0x1234)), "lds low_far, %dx; mov %ds, %ax")
CASE(16, lss, "LSS", (AX(0x9abc), DX(0x5678)),
     "mov %sp, %bp; lss low_far + 2, %sp; mov %sp, %dx; mov %ss, %ax; mov $0, %cx; mov %cx, %ss; mov %bp, %sp")
CASE(16, lgs, "LFS and LGS with 32-bit offset", (AX(0x9abc), DX(0x56781234)),
     "lfs low_far + 2, %bx; lgsl low_far, %edx; mov %gs, %ax")
CASE(16, mov_sreg_high, "MOV from a segment to a 32-bit register clears its upper half", (AX(0x30)),
     "mov $0x30, %ax; mov %ax, %gs; mov $-1, %eax; mov %gs, %eax")

/* --- vectors */

CASE(16, int_flags, "INT clears IF and TF in the handler", (AX(0x0002), DX(0x0202)),
     "movw $1f, 0x60 * 4; movw $0, 0x60 * 4 + 2; sti; int $0x60; jmp 2f\n"
     "1: pushf; pop %ax; and $0x302, %ax; mov %sp, %bp; mov 4(%bp), %dx; and $0x302, %dx; iret; 2: cli")
CASE(16, int_frame, "INT pushes FLAGS, CS and IP", (AX(0), DX(0)),
     "movw $1f, 0x60 * 4; movw $0, 0x60 * 4 + 2; mov %sp, %cx; int $0x60; 3: jmp 2f\n"
     "1: mov %sp, %bp; mov (%bp), %ax; sub $3b, %ax; mov 2(%bp), %dx; sub %sp, %cx; sub $6, %cx; or %cx, %dx; iret; 2:")
CASE(16, iret_flags, "IRET loads all flags", (AX(0x7ed7)),
     "pushw $0x7ed7; push %cs; pushw $1f; iret; 1: pushf; pop %ax; cld; cli; pushw $2; popf")
CASE(16, iretd, "IRETD loads RF not as a flag one sees, and ID", (AX(0x00200002)),
     "pushl $0x00210002; pushl $0; pushl $1f; iretl; 1: pushfl; pop %eax; pushl $2; popfl")
CASE(16, popf_iopl, "POPF changes IOPL and NT", (AX(0x7002)),
     "pushw $0x7002; popf; pushf; pop %ax; pushw $2; popf")
CASE(16, popf_fixed, "bit 1 stays set, bits 3, 5 and 15 stay clear", (AX(0x0002), DX(0x7cd7)),
     "pushw $0; popf; pushf; pop %ax; pushw $0xfcff; popf; pushf; pop %dx; pushw $2; popf")
FAULT(16, int3, "INT3", VECTOR_BP, 0, (), "int3; 9:")
FAULT(16, into, "INTO with OF", VECTOR_OF, 0, (), "mov $0x7f, %al; inc %al; into; 9:")
CASE(16, into_not, "INTO without OF", (), "into")
FAULT(16, icebp, "INT1", VECTOR_DB, 0, (DEVIATION("qemu: INT1 is invalid")), ".byte 0xf1; 9:")
FAULT(16, int_number, "INT n", 0xfe, 0, (), "int $0xfe; 9:")

static void short_vectors(struct context *context)
{
    (void)context;
    real_table.limit = 16 * 4 - 1;
}

static void all_vectors(struct event *event)
{
    (void)event;
    real_table.limit = 0x3ff;
}

FAULT(16, vector_limit, "a vector beyond the IDT's limit", VECTOR_GP, 0,
      (BEFORE(short_vectors), AFTER(all_vectors)), "9: int $0x20")
FAULT(16, vector_limit_partly, "a vector partly beyond the IDT's limit", VECTOR_GP, 0,
      (BEFORE(short_vectors), AFTER(all_vectors)),
      "movw $16 * 4 + 1, real_table; lidtl real_table; 9: int $0x10")
CASE(16, vectors_elsewhere, "LIDT moves the vectors", (AX(0x99)),
     "movl $0x70000, real_table + 2; movw $0x3ff, real_table; mov $0x7000, %ax; mov %ax, %es\n"
     "movw $1f, %es:0x42 * 4; movw $0, %es:0x42 * 4 + 2; lidtl real_table; int $0x42; jmp 2f; 1: mov $0x99, %ax; iret\n"
     "2: movl $0, real_table + 2; lidtl real_table")

/* --- exceptions */

FAULT(16, de_zero, "DIV by 0", VECTOR_DE, 0, (), "xor %cx, %cx; 9: div %cx")
FAULT(16, de_large, "DIV whose quotient is too large", VECTOR_DE, 0, (AX(0), DX(5)),
      "mov $5, %dx; mov $5, %cx; 9: div %cx")
FAULT(16, de_idiv, "IDIV of -32768 by -1", VECTOR_DE, 0, (AX(0x8000)), "mov $0x8000, %ax; cwd; mov $-1, %cx; 9: idiv %cx")
CASE(16, idiv_least, "IDIV to -128", (AX(0x0080)), "mov $-128, %ax; mov $1, %cl; idiv %cl")
FAULT(16, de_aam, "AAM 0", VECTOR_DE, 0, (), "mov $5, %ax; 9: aam $0")
CASE(16, bound_in, "BOUND within", (), "mov $-5, %ax; bound %ax, low_bounds; mov $10, %ax; bound %ax, low_bounds")
FAULT(16, bound_below, "BOUND below", VECTOR_BR, 0, (), "mov $-6, %ax; 9: bound %ax, low_bounds")
FAULT(16, bound_above, "BOUND above", VECTOR_BR, 0, (), "mov $11, %ax; 9: bound %ax, low_bounds")
FAULT(16, bound_32, "BOUND with 32 bits", VECTOR_BR, 0, (), "mov $0x10001, %eax; 9: bound %eax, low_bounds32")
FAULT(16, ud2, "UD2", VECTOR_UD, 0, (), "9: ud2")
FAULT(16, ud_bound, "BOUND of registers", VECTOR_UD, 0, (), "9: .byte 0x62, 0xc0, 0, 0, 0, 0")
FAULT(16, ud_mov_cs, "MOV to CS", VECTOR_UD, 0, (), "9: .byte 0x8e, 0xc8")
FAULT(16, ud_les, "LES of a register", VECTOR_UD, 0, (), "9: .byte 0xc4, 0xc0, 0, 0")
FAULT(16, ud_lea, "LEA of a register", VECTOR_UD, 0, (), "9: .byte 0x8d, 0xc0")
FAULT(16, ud_lock, "LOCK before a load", VECTOR_UD, 0, (DEVIATION("qemu: LOCK before a load is ignored")), "9: .byte 0xf0, 0x8b, 0x07")
FAULT(16, ud_lock_register, "LOCK INC of a register", VECTOR_UD, 0, (), "9: .byte 0xf0, 0xfe, 0xc0")
FAULT(16, ud_arpl, "ARPL in real mode", VECTOR_UD, 0, (), "9: arpl %ax, %cx")
FAULT(16, ud_lar, "LAR in real mode", VECTOR_UD, 0, (), "9: lar %ax, %cx")
FAULT(16, ud_lsl, "LSL in real mode", VECTOR_UD, 0, (), "9: lsl %ax, %cx")
FAULT(16, ud_verr, "VERR in real mode", VECTOR_UD, 0, (), "9: verr %ax")
FAULT(16, ud_verw, "VERW in real mode", VECTOR_UD, 0, (), "9: verw %ax")
FAULT(16, ud_sldt, "SLDT in real mode", VECTOR_UD, 0, (), "9: sldt %ax")
FAULT(16, ud_lldt, "LLDT in real mode", VECTOR_UD, 0, (), "9: lldt %ax")
FAULT(16, ud_str, "STR in real mode", VECTOR_UD, 0, (), "9: str %ax")
FAULT(16, ud_ltr, "LTR in real mode", VECTOR_UD, 0, (), "9: ltr %ax")
FAULT(16, ud_sysenter, "SYSENTER in real mode is #GP", VECTOR_GP, 0, (), "9: sysenter")
FAULT(16, ud_sysexit, "SYSEXIT in real mode is #GP", VECTOR_GP, 0, (), "9: sysexit")
FAULT(16, ud_vex, "VEX in real mode", VECTOR_UD, 0, (), "9: .byte 0xc5, 0xf8, 0x77; nop; nop")
FAULT(16, too_long, "an instruction of 16 bytes", VECTOR_GP, 0, (),
      "9: .byte 0x26, 0x26, 0x26, 0x26, 0x26, 0x26, 0x26, 0x26, 0x26, 0x26, 0x26, 0x26, 0x26, 0x26, 0x26, 0x90")
CASE(16, longest, "an instruction of 15 bytes", (),
     ".byte 0x26, 0x26, 0x26, 0x26, 0x26, 0x26, 0x26, 0x26, 0x26, 0x26, 0x26, 0x26, 0x26, 0x26, 0x90")
FAULT(16, nm_em, "an x87 instruction with CR0.EM", VECTOR_NM, 0, (AFTER(NULL)),
      "mov %cr0, %eax; or $4, %al; mov %eax, %cr0; 9: fldz")
CASE(16, nm_em_end, "CR0.EM is cleared", (), "mov %cr0, %eax; and $0xfb, %al; mov %eax, %cr0; fninit")
FAULT(16, nm_wait, "WAIT with CR0.TS and MP", VECTOR_NM, 0, (), "mov $0xb, %ax; and $0xfe, %al; lmsw %ax; 9: fwait")
CASE(16, nm_wait_end, "CLTS", (AX(0)), "clts; fwait; mov %cr0, %eax; and $8, %eax")
FAULT(16, step, "single step by POPF", VECTOR_DB, 0, (FLAGS(FLAG_TF, FLAG_TF)), "pushw $0x102; popf; nop; 9: nop")
CASE(16, step_cleared, "the handler of single step runs without", (AX(3)),
     "movw 4, %cx; movw $1f, 4; pushw $0x102; popf; inc %ax; jmp 2f\n"
     "1: inc %ax; mov %sp, %bp; andw $0xfeff, 4(%bp); inc %ax; iret; 2: mov %cx, 4")

/* --- prefixes */

CASE(16, operand_32, "66: 32-bit operands", (AX(0x77665544 + 0x01010101)), "mov $0x77665544, %eax; add $0x01010101, %eax")
CASE(16, operand_high_kept, "16-bit results keep the upper half", (AX(0x1234ffff)), "mov $0x12340000, %eax; dec %ax")
CASE(16, address_32, "67: 32-bit addresses with scale", (AX(0x55667788)),
     "mov $low_a - 12, %ebx; mov $2, %ecx; mov 8(%ebx,%ecx,4), %eax")
CASE(16, address_32_esp, "67: ESP as base", (AX(0x4321)), "push $0x4321; mov (%esp), %ax; add $2, %sp")
CASE(16, lea_16, "LEA truncates to the address size, then to the operand's", (AX(0x0002), DX(0x00010002)),
     "mov $0xffff, %bx; lea 3(%bx), %eax; mov $0xffff, %ebx; lea 3(%ebx), %edx")
CASE(16, lea_trunc, "LEA of a 32-bit address to 16 bits", (AX(0xabcd5678)),
     "mov $0xabcd0000, %eax; mov $0x12345600, %ebx; lea 0x78(%ebx), %ax")
CASE(16, rep_cx, "REP counts in CX", (AX(0x00050000), DX(3)),
     "mov $0x00050003, %ecx; mov $low_table, %edi; mov %edi, %edx; rep stosb; sub %edi, %edx; neg %edx; mov %ecx, %eax")
CASE(16, rep_ecx, "67 REP counts in ECX", (AX(0), DX(0x10001)),
     "mov $0x10001, %ecx; mov $0, %esi; xor %ebx, %ebx; mov %bx, %ds; xor %ebp, %ebp; 1: addr32 loop 2f; jmp 3f; 2: inc %ebp; jmp 1b\n"
     "3: mov %ebp, %edx; inc %edx; mov %ecx, %eax")
CASE(16, jcxz, "JCXZ looks at CX, JECXZ at ECX", (AX(2)),
     "mov $0x10000, %ecx; jcxz 1f; jmp 2f; 1: inc %ax; 2: jecxz 3f; inc %ax; 3:")
CASE(16, loop_cx, "LOOP leaves the upper half of ECX", (AX(0x10000)), "mov $0x10001, %ecx; 1: loop 1b; mov %ecx, %eax")
CASE(16, override_source, "an override of MOVSB is for the source", (AX(0x0044)),
     "mov $0x1000, %ax; mov %ax, %ds; mov $low_a, %si; mov $low_table, %di; es movsb; xor %ax, %ax; mov %es:low_table, %al")
CASE(16, last_override, "the last override counts", (AX(0x3344)),
     "mov $0x1000, %ax; mov %ax, %fs; mov $low_a, %bx; .byte 0x64, 0x26, 0x8b, 0x07")
CASE(16, repne_movs, "REPNE before MOVSB repeats", (AX(0)), "mov $3, %cx; mov $low_a, %si; mov $low_table, %di; repne movsb; mov %cx, %ax")
CASE(16, rep_zero, "REP with CX 0 does nothing and leaves the flags", (AX(0x44), FLAGS(FLAG_ZF | FLAG_CF, FLAG_ZF | FLAG_CF)),
     "xor %cx, %cx; mov $low_a, %di; mov $0x44, %al; stc; repne scasb")
CASE(16, call_o32, "66 CALL and RET", (AX(0), DX(4)),
     "mov %sp, %bp; calll 1f; 3: jmp 2f; 1: mov %bp, %dx; sub %sp, %dx; mov (%esp), %eax; sub $3b, %eax; retl; 2:")
CASE(16, ret_n, "RET n", (SP(0), AX(6)), "push $1; push $2; mov $5, %ax; call 1f; jmp 2f; 1: inc %ax; ret $4; 2:")
CASE(16, lret_n, "far RET n", (SP(0), AX(0x10)), "push $1; lcall $0x10, $1f - 0x100; jmp 2f; 1: mov %cs, %ax; lret $2; 2:")
CASE(16, ljmp_memory, "far JMP through memory", (AX(0x20)),
     "movw $1f - 0x200, low_table; movw $0x20, low_table + 2; ljmp *low_table; 1: mov %cs, %ax; ljmp $0, $2f; 2:")
CASE(16, lcall_32, "66 far CALL", (AX(0x30), DX(8)),
     "mov %sp, %bp; lcalll $0x30, $1f - 0x300; jmp 2f; 1: mov %bp, %dx; sub %sp, %dx; mov %cs, %ax; lretl; 2:")

/* --- A20 */

static void a20_data(struct context *context)
{
    (void)context;
    *(volatile uint8_t *)(word)0x100500 = 0x22;
    *(volatile uint8_t *)(word)0x500 = 0x11;
}

/* Two gates lead to A20, and one that is open is enough: port 92 and the keyboard controller. */
static void a20_set(bool open)
{
    static const uint8_t output[2] = {0xdd, 0xdf};
    for (int i = 0; i < 100000 && inb(0x64) & 2; i++) {
    }
    outb(0x64, 0xd1);
    for (int i = 0; i < 100000 && inb(0x64) & 2; i++) {
    }
    outb(0x60, output[open]);
    for (int i = 0; i < 100000 && inb(0x64) & 2; i++) {
    }
    outb(0x92, open ? inb(0x92) | 2 : inb(0x92) & ~2);
}

static void a20_close(struct context *context)
{
    a20_data(context);
    a20_set(false);
}

static void a20_open(struct event *event)
{
    (void)event;
    a20_set(true);
}

static void a20_was_stored(struct event *event)
{
    a20_open(event);
    expect(*(volatile uint8_t *)(word)0x500, 0x77);
    expect(*(volatile uint8_t *)(word)0x100500, 0x22);
}

CASE(16, a20_open, "A20 open: FFFF:0510 is 100500", (AX(0x22), BEFORE(a20_data)),
     "mov $0xffff, %bx; mov %bx, %ds; mov 0x510, %al")
CASE(16, a20_closed, "A20 closed: FFFF:0510 is 500", (AX(0x11), BEFORE(a20_close), AFTER(a20_open)),
     "mov $0xffff, %bx; mov %bx, %ds; mov 0x510, %al")
CASE(16, a20_store, "A20 closed: a store to 100500 lands at 500", (BEFORE(a20_close), AFTER(a20_was_stored)),
     "mov $0xffff, %bx; mov %bx, %ds; movb $0x77, 0x510")
CASE(16, a20_again, "A20 open again", (AX(0x22), BEFORE(a20_data)), "mov $0xffff, %bx; mov %bx, %ds; mov 0x510, %al")

/* --- what is rare elsewhere */

#define ARITHMETIC (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF)
CASE(16, daa, "DAA", (AX(0x34), FLAGS(FLAG_CF | FLAG_AF | FLAG_ZF | FLAG_SF, FLAG_CF | FLAG_AF)), "mov $0x79, %al; add $0x55, %al; daa")
CASE(16, das, "DAS", (AX(0x88), FLAGS(ARITHMETIC, FLAG_AF | FLAG_CF | FLAG_SF | FLAG_PF)), "mov $0x35, %al; sub $0x47, %al; das")
CASE(16, aaa, "AAA", (AX(0x0105), FLAGS(FLAG_CF | FLAG_AF, FLAG_CF | FLAG_AF)), "mov $0x09, %ax; add $6, %al; aaa")
CASE(16, aas, "AAS", (AX(0x0008), FLAGS(FLAG_CF | FLAG_AF, FLAG_CF | FLAG_AF)), "mov $0x0102, %ax; sub $4, %al; aas")
CASE(16, aam, "AAM", (AX(0x0705), FLAGS(FLAG_ZF | FLAG_SF | FLAG_PF, FLAG_PF)), "mov $75, %al; aam")
CASE(16, aam_7, "AAM 7", (AX(0x0a05)), "mov $75, %al; aam $7")
CASE(16, aad, "AAD", (AX(75), FLAGS(FLAG_ZF | FLAG_SF, 0)), "mov $0x0705, %ax; aad")
CASE(16, salc, "SALC", (AX(0xff), DX(0)), "stc; .byte 0xd6; mov %ax, %cx; clc; .byte 0xd6; mov %al, %dl; mov %cx, %ax")
CASE(16, enter_0, "ENTER 8, 0 and LEAVE", (AX(10), SP(0)), "mov %sp, %cx; enter $8, $0; sub %sp, %cx; mov %cx, %ax; leave")
CASE(16, enter_1, "ENTER 4, 1 pushes its frame pointer", (AX(8), DX(0), SP(0)),
     "mov $0x1111, %bp; mov %sp, %cx; enter $4, $1; sub %sp, %cx; mov %cx, %ax; mov -2(%bp), %dx; sub %bp, %dx; leave")
CASE(16, enter_3, "ENTER 2, 3 copies frame pointers", (AX(0x2222), DX(0x3333), SP(0)),
     "sub $16, %sp; mov %sp, %bp; add $16, %bp; movw $0x2222, -2(%bp); movw $0x3333, -4(%bp); enter $2, $3\n"
     "mov -2(%bp), %ax; mov -4(%bp), %dx; leave; add $16, %sp")
CASE(16, enter_32, "66 ENTER", (AX(12), SP(0)), "mov %sp, %cx; mov $0x12345, %ebp; enterl $8, $0; sub %sp, %cx; mov %cx, %ax; leavel")
CASE(16, xlat, "XLAT with an override and wrap", (AX(0x44)),
     "mov $0x1000, %ax; mov %ax, %ds; mov $low_a - 0x80, %bx; mov $0x80, %ax; es xlatb; xor %ah, %ah")
CASE(16, bt_memory, "BTS reaches beyond its word, downwards too", (AX(0x0100), FLAGS(FLAG_CF, 0)),
     "movl $0, low_table + 4; movl $0, low_table + 8; mov $-8, %cx; bts %cx, low_table + 8; mov low_table + 6, %ax")
CASE(16, shift_31, "counts of shifts are of 5 bits", (AX(0x8000), FLAGS(FLAG_SF, FLAG_SF)), "mov $0x4000, %ax; mov $33, %cl; shl %cl, %ax")
CASE(16, rcl_17, "RCL of 16 bits by 17 is none", (AX(0x1234), FLAGS(FLAG_CF, FLAG_CF)), "mov $0x1234, %ax; stc; mov $17, %cl; rcl %cl, %ax")
CASE(16, smsw, "SMSW and LMSW cannot clear PE", (AX(0)), "smsw %ax; and $1, %ax")
CASE(16, sgdt, "SGDT and SIDT", (AX(0x3ff), DX(0)),
     "sgdt low_table; mov $gdt, %dx; sub low_table + 2, %dx; sidt low_table; mov low_table, %ax; or low_table + 2, %dx")
CASE(16, cpuid_max, "CPUID and RDMSR are there", (DX(0)), "xor %eax, %eax; cpuid; mov $0x1b, %ecx; rdmsr; xor %edx, %edx")
CASE(16, cmpxchg8b, "CMPXCHG8B", (AX(0x11223344), DX(0x55667788), FLAGS(FLAG_ZF, 0)), "xor %eax, %eax; xor %edx, %edx; cmpxchg8b low_a")
CASE(16, stack_switch, "MOV SS and the next instruction", (AX(0x4444)),
     "mov %sp, %bp; mov $0x3000, %ax; mov %ax, %ss; mov $0x100, %sp; push $0x4444; pop %ax; xor %cx, %cx; mov %cx, %ss; mov %bp, %sp")
ENDS(16, fetch_end, "an instruction that crosses FFFF", VECTOR_GP, 0, (DEVIATION(NO_LIMITS), .at = (const char *)0xffff),
      "mov $0x3000, %ax; mov %ax, %ds; movb $0xb0, 0xffff\n"
      "movw $0xcd11, 0; movb $0x30, 2; mov $0x4000, %ax; mov %ax, %ds; movw $0xcd11, 0; movb $0x30, 2\n"
     "ljmp $0x3000, $0xffff")

/* clang-format on */

void program(void)
{
    real_vectors();
    run_rows();
}
