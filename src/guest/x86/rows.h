/* SPDX-License-Identifier: MIT
 *
 * The opcode rows: what opcodes_*.def say, as data. Everything that is known of an instruction is
 * in its row; decoder, mnemonics, flag liveness, CPUID gating and the random tests read it from
 * here.
 *
 * How to read a row of opcodes_*.def:
 *
 *     OP  (0x01, "add",  0,         NATIVE, ARITH, NONE, LOCK, RW(Ev), R(Gv))
 *     ALSO(0xbc, "bsf",  0,         NATIVE, ...)
 *
 * opcode, mnemonic, pattern, lowering (enum x86_lowering), flags, feature (enum x86_feature),
 * traits, operands. OP is the first row of an opcode (a second one does not compile), ALSO a
 * further one; the decoder takes the first row of the opcode whose pattern fits, so special forms
 * stand before general ones. OP8 is eight opcodes with a register in the low three bits.
 *
 * Pattern: a set of what must hold, 0 for nothing. NP, P66, PF3, PF2: the mandatory prefix (NP:
 * none of the three; PF3 and PF2 win over 66, and the last of F2 and F3 wins); NOREP: neither F2
 * nor F3. REG, MEM: modrm.rm is a register, memory. EXT(n): modrm.reg is n; RM(n): modrm.rm is n.
 * W0 W1: REX.W or VEX.W. L0 L1: VEX.L. O16 O32 O64: operand size; A16 A32 A64: address size. M64,
 * NO64: mode. REXB: REX.B is set. A pattern that says nothing of prefixes ignores them where they
 * have no meaning.
 *
 * Operands are in the notation of the SDM (vol. 2, appendix A.2): a method and a type.
 *     E modrm.rm, general register or memory   G modrm.reg, general   R modrm.rm, general, no
 * memory M memory only   B VEX.vvvv, general      Z general register in the opcode W modrm.rm,
 * XMM/YMM or memory   V modrm.reg, XMM/YMM   U modrm.rm, XMM/YMM, no memory H VEX.vvvv, XMM/YMM   L
 * high half of an immediate byte, XMM/YMM   X0 XMM0, implicit Q modrm.rm, MMX or memory   P
 * modrm.reg, MMX   N modrm.rm, MMX, no memory S segment   C control   D debug register   I
 * immediate   J relative target   O offset in memory A far pointer as immediate   X memory at rSI
 * Y memory at ES:rDI   K the stack F a frame or the like, memory that no other method describes
 * (ENTER, LEAVE, PUSHA, POPA) rAX, rCX, ... a fixed register   ST0 STi x87 registers   VM memory
 * with a vector index Types: b w d q dq qq are 1, 2, 4, 8, 16 and 32 bytes; v 2, 4 or 8 by operand
 * size; z 2 or 4; y 4 or 8; x 16 or 32 by VEX.L, hx half, fx a quarter and ex an eighth of that; ss
 * sd scalars; t ten bytes; p far pointer; s descriptor table register. vMw: a register of v, memory
 * of w; dMb, dMw, alike. Ib is zero-extended, Is a sign-extended byte, Iw zero-extended; Iz is
 * sign-extended. R W RW say the direction; CW is a write that may not happen (the old value stays),
 * RCW a read and such a write; N neither (LEA, NOP). Implicit operands follow the explicit ones.
 *
 * Flags: FR() read, FW() always written with a defined value, FM() may be written, FU() undefined.
 *
 * Traits: LOCK may be locked when the destination is memory. REPS a string instruction. D64 the
 * operand size is 64 bits by default in 64-bit mode (66: 16); F64 it is 64 bits always. FALL:
 * without the feature the next fitting row holds. FP: raises SIMD exceptions. FAULT: may raise an
 * exception beside those of memory. SERIAL: ends the block. OTHER: memory as no operand says, or
 * not all of the operand. SIGNED: what is read from memory is sign-extended. COUNT: a shift by an
 * immediate, whose flags follow from the count. NOALIGN, ALIGN: legacy 16-byte memory operands are
 * aligned, VEX ones not, except these. DISTINCT: the three registers must differ. ALLREG: modrm.mod
 * is ignored and modrm.rm a register. WIDE(f): with VEX.L the feature is f.
 */
#ifndef GUEST_X86_ROWS_H
#define GUEST_X86_ROWS_H

#include <stdint.h>

#include "guest/x86/x86.h"

/* The tables that an opcode can be in: the maps, legacy and VEX. */
enum x86_table {
    X86_TABLE_ONE,
    X86_TABLE_0F,
    X86_TABLE_0F38,
    X86_TABLE_0F3A,
    X86_TABLE_VEX_0F,
    X86_TABLE_VEX_0F38,
    X86_TABLE_VEX_0F3A,
    X86_TABLE_COUNT,
};

/* What patterns are about: the bits of a selector that the decoder makes of each instruction. A row
 * fits if (selector & mask) == match. */
enum x86_selector {
    X86_SELECT_MODRM = 0xff,      /* the modrm byte: rm, reg << 3, mod << 6 */
    X86_SELECT_REG = 1 << 8,      /* modrm.mod is 3 */
    X86_SELECT_F3 = 1 << 9,       /* F3 is there and no F2 behind it; VEX.pp = 2 */
    X86_SELECT_F2 = 1 << 10,      /* the other way around; VEX.pp = 3 */
    X86_SELECT_66 = 1 << 11,      /* 66 is there; VEX.pp = 1 */
    X86_SELECT_W = 1 << 12,       /* REX.W, VEX.W */
    X86_SELECT_L = 1 << 13,       /* VEX.L */
    X86_SELECT_VVVV = 1 << 14,    /* VEX.vvvv is not 1111 */
    X86_SELECT_64 = 1 << 15,      /* 64-bit mode */
    X86_SELECT_REX_B = 1 << 16,   /* REX.B */
    X86_SELECT_OPSIZE = 3 << 17,  /* operand size: 0, 1, 2 are 16, 32, 64 bits */
    X86_SELECT_ADDRESS = 3 << 19, /* address size, alike */
};

enum { X86_SELECT_OPSIZE_SHIFT = 17, X86_SELECT_ADDRESS_SHIFT = 19 };

enum x86_method {
    X86_NO_OPERAND,
    X86_METHOD_E,
    X86_METHOD_G,
    X86_METHOD_R,
    X86_METHOD_M,
    X86_METHOD_B,
    X86_METHOD_Z,
    X86_METHOD_W,
    X86_METHOD_V,
    X86_METHOD_U,
    X86_METHOD_H,
    X86_METHOD_L,
    X86_METHOD_X0, /* XMM0 */
    X86_METHOD_Q,
    X86_METHOD_P,
    X86_METHOD_N,
    X86_METHOD_S,
    X86_METHOD_C,
    X86_METHOD_D,
    X86_METHOD_I,
    X86_METHOD_J,
    X86_METHOD_O,
    X86_METHOD_A,
    X86_METHOD_X,
    X86_METHOD_Y,
    X86_METHOD_K,    /* stack */
    X86_METHOD_VM,   /* memory with a vector index */
    X86_METHOD_ONE,  /* the constant 1 */
    X86_METHOD_XLAT, /* memory at rBX + AL */
    X86_METHOD_MASK, /* memory at rDI under a mask */
    X86_METHOD_ST0,
    X86_METHOD_STI,
    X86_METHOD_OTHER,    /* memory as only the lowering or the host knows: ENTER, LEAVE, PUSHA */
    X86_METHOD_ALL,      /* the eight registers of PUSHA and POPA */
    X86_METHOD_GPR = 48, /* RAX; + 1 RCX, and so on up to R15 */
    X86_METHOD_COUNT = X86_METHOD_GPR + 16,
};

enum x86_type {
    X86_TYPE_NONE,
    X86_TYPE_B,
    X86_TYPE_W,
    X86_TYPE_D,
    X86_TYPE_Q,
    X86_TYPE_DQ,
    X86_TYPE_QQ,
    X86_TYPE_V,
    X86_TYPE_Z,
    X86_TYPE_Y,
    X86_TYPE_X,
    X86_TYPE_HX,
    X86_TYPE_FX,
    X86_TYPE_EX,
    X86_TYPE_T,
    X86_TYPE_P,    /* far pointer in memory */
    X86_TYPE_S,    /* pseudo descriptor */
    X86_TYPE_A,    /* pair of words or doublewords, BOUND */
    X86_TYPE_VMW,  /* register v, memory w */
    X86_TYPE_DMB,  /* register d, memory b */
    X86_TYPE_DMW,  /* register d, memory w */
    X86_TYPE_ENV,  /* FNSTENV: 14 or 28 bytes */
    X86_TYPE_SAVE, /* FNSAVE: 94 or 108 bytes */
    X86_TYPE_64,   /* a cache line, CLZERO */
    X86_TYPE_512,  /* FXSAVE */
    X86_TYPE_ADDR, /* of the address size: the counter of LOOP; the operand of LEA */
    X86_TYPE_MODE, /* 8 bytes in 64-bit mode, else 4: with control and debug registers */
    X86_TYPE_COUNT,
};

/* An operand as a row stores it: method, type, direction. */
#define X86_OPERAND_METHOD(operand) ((operand)&63)
#define X86_OPERAND_TYPE(operand)   ((operand) >> 6 & 31)

enum x86_direction {
    X86_READS = 1 << 11,
    X86_WRITES = 1 << 12,
    X86_MAYBE = 1 << 13, /* with WRITES: may not happen */
};

enum x86_immediate {
    X86_IMM_NONE,
    X86_IMM_BYTE,   /* zero-extended */
    X86_IMM_SIGNED, /* a byte, sign-extended */
    X86_IMM_WORD,   /* zero-extended */
    X86_IMM_Z,      /* 2 or 4 bytes, sign-extended */
    X86_IMM_V,      /* 2, 4 or 8 bytes */
    X86_IMM_FAR,    /* 2 or 4 bytes of offset, 2 of selector */
    X86_IMM_ENTER,  /* a word, a byte */
    X86_IMM_TWO,    /* two bytes */
    X86_IMM_REL8,
    X86_IMM_REL,    /* 4 bytes; 2 with operand size 16 outside 64-bit mode */
    X86_IMM_OFFSET, /* as many bytes as an address has */
};

enum x86_trait {
    X86_TRAIT_LOCK = 1 << 0,
    X86_TRAIT_REPS = 1 << 1,
    X86_TRAIT_D64 = 1 << 2,
    X86_TRAIT_F64 = 1 << 3,
    X86_TRAIT_FALL = 1 << 4,
    X86_TRAIT_OTHER = 1 << 5,
    X86_TRAIT_COUNT = 1 << 6,
    X86_TRAIT_ALIGN = 1 << 7, /* a 16 or 32-byte memory operand must be aligned */
    X86_TRAIT_NOALIGN = 1 << 8,
    X86_TRAIT_DISTINCT = 1 << 9,
    X86_TRAIT_ALLREG = 1 << 10,
    /* These follow from the operands. */
    X86_TRAIT_MODRM = 1 << 11,        /* there is a modrm byte */
    X86_TRAIT_OPSIZE = 1 << 12,       /* operand size matters: 66 and W have a meaning */
    X86_TRAIT_W = 1 << 13,            /* W matters, 66 does not: an operand of type y */
    X86_TRAIT_L = 1 << 14,            /* VEX.L matters */
    X86_TRAIT_ADDRESS = 1 << 15,      /* address size matters beside a modrm operand */
    X86_TRAIT_VVVV = 1 << 16,         /* VEX.vvvv names a register */
    X86_TRAIT_BYTE = 1 << 17,         /* an operand of type b in general registers or memory */
    X86_TRAIT_ADDRESS_ONLY = 1 << 21, /* the address is the operand: LEA */
    X86_TRAIT_REG_EXT = 1 << 19,      /* modrm.reg names a register of sixteen */
    X86_TRAIT_RM_EXT = 1 << 20,       /* modrm.rm does */
    X86_TRAIT_SEGMENT = 1 << 18,      /* a segment override has a meaning beside a modrm operand */
};

enum { X86_OPERANDS = 6 };

struct x86_row {
    uint32_t match, mask; /* of enum x86_selector */
    uint32_t traits;      /* enum x86_trait */
    uint16_t operand[X86_OPERANDS];
    uint16_t native;          /* enum native_attribute, as far as the row says */
    uint8_t table;            /* enum x86_table */
    uint8_t opcode;           /* with OPCODE_REG the first of eight */
    uint16_t flags_read;      /* enum native_flag, sets, in the order of struct native_insn */
    uint16_t flags_written;   /* always, with a defined value */
    uint16_t flags_may;       /* perhaps */
    uint16_t flags_undefined; /* left undefined */
    uint16_t implicit;        /* enum native_implicit */
    uint8_t memory_type;      /* enum x86_type of the operand that modrm can have in memory */
    uint8_t memory_access;    /* enum native_access */
    uint8_t implicit_type;    /* the same for memory that modrm does not name */
    uint8_t implicit_access;
    uint8_t lowering;     /* enum x86_lowering */
    uint8_t feature;      /* enum x86_feature */
    uint8_t feature_wide; /* the same for VEX.L = 1, where it differs; else 0 */
    uint8_t immediate;    /* enum x86_immediate */
    const char *mnemonic;
    /* General registers, from the operands. Four sets of 16 bits: read, written, overwritten
     * wholly, overwritten wholly if the operand size is not 16. The same for registers that the
     * encoding names, in four sets of 4 bits: 1 modrm.rm or the opcode, 2 modrm.reg, 4 VEX.vvvv. */
    uint64_t fixed_registers;
    uint16_t encoded_registers;
};

/* All rows, in the order of tables and opcodes; rows of an opcode are neighbours. Constant. */
const struct x86_row *x86_rows(unsigned *count);

/* The first row of each opcode: number + 1; 0: undefined. */
extern const uint16_t x86_row_index[X86_TABLE_COUNT][256];
extern const struct x86_row x86_row_table[];

#endif
