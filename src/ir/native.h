/* SPDX-License-Identifier: MIT
 *
 * The decoded instruction of a native operation: the one type that guests and hosts of the same
 * instruction set share. A guest's decoder fills it from the opcode row; a host writes the same
 * instruction again, with other registers where the homes of the guest's differ and with another
 * memory operand where addresses do.
 *
 * What is in it is meaning, not bytes: redundant prefixes are gone, and a field that the
 * instruction does not have is 0. So the host emits one canonical encoding (Intel SDM vol. 2,
 * chapter 2).
 */
#ifndef IR_NATIVE_H
#define IR_NATIVE_H

#include <stdbool.h>
#include <stdint.h>

/* Registers as numbers: 0 to 15 as encoded (RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 to R15). */
enum {
    NATIVE_TARGET = 16, /* where the host keeps the target of an indirect jump (IR_JUMP_INDIRECT) */
    NATIVE_RIP = 17,    /* as base: the address is `address`, and there is no index */
    NATIVE_POOL = 18,   /* as base: a constant of 8 bytes whose value is `address` */
    NATIVE_NONE = 31,   /* no base, no index */
};

enum native_map {
    NATIVE_MAP_ONE,  /* one-byte opcodes */
    NATIVE_MAP_0F,   /* 0F xx; VEX.mmmmm = 1 */
    NATIVE_MAP_0F38, /* VEX.mmmmm = 2 */
    NATIVE_MAP_0F3A, /* VEX.mmmmm = 3 */
};

/* Prefixes that have a meaning for this instruction. For VEX, 66, F2 and F3 stand for VEX.pp. */
enum native_prefix {
    NATIVE_66 = 1,
    NATIVE_F2 = 2,
    NATIVE_F3 = 4,
    NATIVE_LOCK = 8,
    NATIVE_67 = 16, /* address size 32 in 64-bit code (16 in 32-bit code, 32 in 16-bit code) */
};

enum native_modrm { NATIVE_MODRM_NONE, NATIVE_MODRM_REG, NATIVE_MODRM_MEM };

enum native_segment {
    NATIVE_ES,
    NATIVE_CS,
    NATIVE_SS,
    NATIVE_DS,
    NATIVE_FS,
    NATIVE_GS,
};

/* How the memory operand is used. A stack access of PUSH, CALL and the like and the operands of
 * string instructions are memory operands too (`mem_implicit`). */
enum native_access {
    NATIVE_READ = 1,
    NATIVE_WRITE = 2,
};

/* Memory that the instruction touches beside, or instead of, the operand of its modrm byte. Each
 * member is one access; `mem_size` is the size of one. */
enum native_implicit {
    NATIVE_PUSH = 1,         /* write at RSP - mem_size, then RSP goes there */
    NATIVE_POP = 2,          /* read at RSP, then RSP goes up */
    NATIVE_STRING_SI = 4,    /* read at segment:RSI */
    NATIVE_STRING_DI_R = 8,  /* read at ES:RDI */
    NATIVE_STRING_DI_W = 16, /* write at ES:RDI */
    NATIVE_MOFFS = 32,       /* the address is `imm` (A0 to A3); read or write as mem_access says */
    NATIVE_XLAT = 64,        /* read at segment:RBX+AL */
    NATIVE_MASKMOV = 128,    /* write of 8 or 16 bytes under a mask at segment:RDI */
    NATIVE_OTHER = 256,      /* something else (ENTER, far transfers, gathers): ask the row */
    NATIVE_FRAME = 512,      /* with OTHER: LEAVE, a read at RBP */
};

enum native_attribute {
    NATIVE_REG_GPR = 1 << 0,    /* modrm.reg is a general register (else vector, x87, opcode...) */
    NATIVE_RM_GPR = 1 << 1,     /* modrm.rm, when a register, is a general one */
    NATIVE_V_GPR = 1 << 2,      /* VEX.vvvv is a general register */
    NATIVE_OPCODE_REG = 1 << 3, /* the low 3 bits of the opcode (and REX.B) name the general
                                   register `rm`; `opcode` has these bits 0 */
    NATIVE_REG_BYTE = 1 << 4, /* modrm.reg is a byte register: without `rex`, 4 to 7 are AH to BH */
    NATIVE_RM_BYTE = 1 << 5,  /* the same for modrm.rm, or for the register in the opcode */
    NATIVE_VSIB = 1 << 6,     /* the index register is a vector register */
    NATIVE_MAY_FAULT = 1 << 7, /* can raise an exception: memory, divide, SIMD, privilege... */
    NATIVE_X87 = 1 << 8,       /* uses the x87 unit or MMX */
    NATIVE_VECTOR = 1 << 9,    /* uses XMM, YMM or MXCSR */
    NATIVE_REP = 1 << 10,      /* string instruction with F3 or F2 in `prefix` */
    NATIVE_SERIALIZES_CODE = 1 << 11, /* the block ends behind it (CPUID, IRET and the like) */
    NATIVE_SIGNED = 1 << 12,          /* what is read from memory is sign-extended: MOVSX */
};

/* The arithmetic flags as a set; bit positions of RFLAGS, so that CF is 1, ZF 0x40 and so on.
 * DF counts as one of them where an instruction reads or writes it. */
enum native_flag {
    NATIVE_CF = 0x001,
    NATIVE_PF = 0x004,
    NATIVE_AF = 0x010,
    NATIVE_ZF = 0x040,
    NATIVE_SF = 0x080,
    NATIVE_DF = 0x400,
    NATIVE_OF = 0x800,
    NATIVE_ARITH = 0x8d5, /* CF PF AF ZF SF OF */
};

struct native_insn {
    uint8_t opcode;
    uint8_t map;     /* enum native_map */
    uint8_t prefix;  /* enum native_prefix, a set */
    uint8_t modrm;   /* enum native_modrm */
    uint8_t reg;     /* modrm.reg with REX.R: register, or extension of the opcode */
    uint8_t rm;      /* modrm.rm with REX.B when a register; the register of NATIVE_OPCODE_REG */
    uint8_t vvvv;    /* VEX.vvvv as a number (not inverted) */
    bool vex;        /* VEX encoding; else legacy */
    bool vex_l;      /* VEX.L */
    bool w;          /* REX.W or VEX.W */
    bool rex;        /* a REX prefix was there: byte registers 4 to 7 are SPL to DIL */
    uint8_t segment; /* of the memory operand: NATIVE_FS, NATIVE_GS; else NATIVE_DS (all flat) */
    uint8_t base, index;
    uint8_t scale;    /* 1, 2, 4, 8 */
    uint8_t imm_size; /* bytes of `imm`: 0, 1, 2, 4, 8; 3 for ENTER's (2 and 1) */
    int32_t disp;
    uint64_t address; /* NATIVE_RIP: the address itself; NATIVE_POOL: the constant */
    uint64_t imm;     /* sign-extended */

    /* What it does, from the row and the operands. */
    uint8_t mem_access;       /* enum native_access, a set; 0: no memory */
    uint8_t opsize;           /* operand size in bytes: 1, 2, 4, 8 for general registers */
    uint16_t mem_size;        /* bytes of the memory operand (one element of a string) */
    uint16_t mem_implicit;    /* enum native_implicit */
    uint16_t attributes;      /* enum native_attribute */
    uint16_t gpr_read;        /* general registers read, a set of 1 << number; addresses included */
    uint16_t gpr_written;     /* written, wholly or in part */
    uint16_t gpr_killed;      /* written in all 64 bits, always: the old value is gone */
    uint16_t flags_read;      /* enum native_flag, sets */
    uint16_t flags_written;   /* always given a defined value */
    uint16_t flags_may;       /* given one, or left alone (shift by a count that may be 0) */
    uint16_t flags_undefined; /* left undefined by the manual (the host's result is kept) */
};

#endif
