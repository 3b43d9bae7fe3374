/* SPDX-License-Identifier: MIT
 *
 * The notation of the opcode rows, and the two tables that they expand to: the rows themselves, and
 * the first row of each opcode. rows.h tells how to read a row.
 */
#include "guest/x86/rows.h"

// clang-format off

/* Patterns: the mask in the upper half, the value in the lower one. */
#define BITS(mask, value) ((uint64_t)(mask) << 32 | (uint64_t)(value))
#define SET(bit)   BITS(X86_SELECT_##bit, X86_SELECT_##bit)
#define CLEAR(bit) BITS(X86_SELECT_##bit, 0)

#define NOREP  (CLEAR(F3) | CLEAR(F2))
#define NP     (NOREP | CLEAR(66))
#define P66    (NOREP | SET(66))
#define PF3    SET(F3)
#define PF2    SET(F2)
#define REG    SET(REG)
#define MEM    CLEAR(REG)
#define EXT(n) BITS(0x38, (n) << 3)
#define EXT_0_TO_3 BITS(0x20, 0)
#define EXT_2_TO_3 BITS(0x30, 0x10)
#define EXT_4_TO_5 BITS(0x30, 0x20)
#define RM(n)  BITS(0x07, n)
#define W0     CLEAR(W)
#define W1     SET(W)
#define L0     CLEAR(L)
#define L1     SET(L)
#define M64    SET(64)
#define NO64   CLEAR(64)
#define REXB   SET(REX_B)
#define O16    BITS(X86_SELECT_OPSIZE, 0 << X86_SELECT_OPSIZE_SHIFT)
#define O32    BITS(X86_SELECT_OPSIZE, 1 << X86_SELECT_OPSIZE_SHIFT)
#define O64    BITS(X86_SELECT_OPSIZE, 2 << X86_SELECT_OPSIZE_SHIFT)
#define A16    BITS(X86_SELECT_ADDRESS, 0 << X86_SELECT_ADDRESS_SHIFT)
#define A32    BITS(X86_SELECT_ADDRESS, 1 << X86_SELECT_ADDRESS_SHIFT)
#define A64    BITS(X86_SELECT_ADDRESS, 2 << X86_SELECT_ADDRESS_SHIFT)

/* Flags: four sets of 16 bits. */
#define CF NATIVE_CF
#define PF NATIVE_PF
#define AF NATIVE_AF
#define ZF NATIVE_ZF
#define SF NATIVE_SF
#define DF NATIVE_DF
#define OF NATIVE_OF
#define FR(set) ((uint64_t)(set))
#define FW(set) ((uint64_t)(set) << 16)
#define FM(set) ((uint64_t)(set) << 32)
#define FU(set) ((uint64_t)(set) << 48)
#define ALL     NATIVE_ARITH
#define ARITH   FW(ALL)
#define CARRY   (FR(CF) | FW(ALL))
#define LOGIC   (FW(ALL & ~AF) | FU(AF))
#define INCDEC  FW(ALL & ~CF)
#define SHIFT   (FM(ALL & ~AF) | FU(AF))        /* by a count that may be 0 */
#define SHIFT1  (FW(ALL & ~AF) | FU(AF))        /* by 1 */
#define ROTATE  FM(CF | OF)
#define ROTATE1 FW(CF | OF)
#define ROTATEC  (FR(CF) | FM(CF | OF))
#define ROTATEC1 (FR(CF) | FW(CF | OF))
#define MULTIPLY (FW(CF | OF) | FU(SF | ZF | AF | PF))
#define CMPI    (FW(ZF | PF | CF) | FM(OF | SF | AF)) /* FCOMI */
#define BITTEST (FW(CF) | FU(OF | SF | AF | PF))
#define BITSCAN (FW(ZF) | FU(ALL & ~ZF))
#define BITCOUNT (FW(CF | ZF) | FU(OF | SF | PF | AF))

/* Operands: 16 bits that the row stores; above them what the operand means for the row: 16 bits of
 * native attributes, 22 of traits, REG and MEM of the pattern, the immediate. */
#define O_NATIVE(bits)  ((uint64_t)(bits) << 16)
#define O_TRAIT(bits)   ((uint64_t)(bits) << 32)
#define O_REG           (UINT64_C(1) << 54)
#define O_MEM           (UINT64_C(1) << 55)
#define O_IMM(kind)     ((uint64_t)X86_IMM_##kind << 56)

#define MODRM   O_TRAIT(X86_TRAIT_MODRM)
#define MODREG  O_TRAIT(X86_TRAIT_MODRM | X86_TRAIT_REG_EXT)
#define MODRM_R O_TRAIT(X86_TRAIT_MODRM | X86_TRAIT_RM_EXT)
#define ADDRESS O_TRAIT(X86_TRAIT_ADDRESS)
#define OVERRIDE O_TRAIT(X86_TRAIT_ADDRESS | X86_TRAIT_SEGMENT)
#define VECTOR  O_NATIVE(NATIVE_VECTOR)
#define MMX_UNIT O_NATIVE(NATIVE_X87 | NATIVE_MAY_FAULT)

#define M_E  (X86_METHOD_E | MODRM_R | O_NATIVE(NATIVE_RM_GPR))
#define M_G  (X86_METHOD_G | MODREG | O_NATIVE(NATIVE_REG_GPR))
#define M_R  (X86_METHOD_R | MODRM_R | O_NATIVE(NATIVE_RM_GPR) | O_REG)
#define M_M  (X86_METHOD_M | MODRM | O_MEM)
#define M_B  (X86_METHOD_B | O_NATIVE(NATIVE_V_GPR) | O_TRAIT(X86_TRAIT_VVVV))
#define M_Z  (X86_METHOD_Z | O_NATIVE(NATIVE_OPCODE_REG))
#define M_W  (X86_METHOD_W | MODRM_R | VECTOR)
#define M_V  (X86_METHOD_V | MODREG | VECTOR)
#define M_U  (X86_METHOD_U | MODRM_R | VECTOR | O_REG)
#define M_H  (X86_METHOD_H | VECTOR | O_TRAIT(X86_TRAIT_VVVV))
#define M_L  (X86_METHOD_L | VECTOR | O_IMM(BYTE))
#define M_Q  (X86_METHOD_Q | MODRM | MMX_UNIT)
#define M_P  (X86_METHOD_P | MODRM | MMX_UNIT)
#define M_N  (X86_METHOD_N | MODRM | MMX_UNIT | O_REG)
#define M_VM (X86_METHOD_VM | MODRM | O_MEM | O_NATIVE(NATIVE_VSIB))

#define T(type) ((uint64_t)X86_TYPE_##type << 6)
#define T_b  (T(B) | O_TRAIT(X86_TRAIT_BYTE))
#define T_w  T(W)
#define T_d  T(D)
#define T_q  T(Q)
#define T_dq T(DQ)
#define T_v  (T(V) | O_TRAIT(X86_TRAIT_OPSIZE))
#define T_z  (T(Z) | O_TRAIT(X86_TRAIT_OPSIZE))
#define T_y  (T(Y) | O_TRAIT(X86_TRAIT_W))
#define T_x  (T(X) | O_TRAIT(X86_TRAIT_L))
#define T_hx (T(HX) | O_TRAIT(X86_TRAIT_L))
#define T_fx (T(FX) | O_TRAIT(X86_TRAIT_L))
#define T_ex (T(EX) | O_TRAIT(X86_TRAIT_L))

#define Eb   (M_E | T_b | O_NATIVE(NATIVE_RM_BYTE))
#define Ew   (M_E | T_w)
#define Ed   (M_E | T_d)
#define Eq   (M_E | T_q)
#define Ev   (M_E | T_v)
#define Ey   (M_E | T_y)
#define EvMw (M_E | T(VMW) | O_TRAIT(X86_TRAIT_OPSIZE))
#define EdMb (M_E | T(DMB))
#define EdMw (M_E | T(DMW))
#define Gb   (M_G | T_b | O_NATIVE(NATIVE_REG_BYTE))
#define Gw   (M_G | T_w)
#define Gd   (M_G | T_d)
#define Gq   (M_G | T_q)
#define Gv   (M_G | T_v)
#define Gy   (M_G | T_y)
#define By   (M_B | T_y)
#define Rd   (M_R | T_d)
#define Rq   (M_R | T_q)
#define Rv   (M_R | T_v)
#define Ry   (M_R | T_y)
/* MOV to and from control and debug registers: the word size of the mode, whatever modrm.mod is. */
#define Rc   (X86_METHOD_R | MODRM_R | O_NATIVE(NATIVE_RM_GPR) | T(MODE))
#define Cc   (X86_METHOD_C | MODREG)
#define Dc   (X86_METHOD_D | MODREG)
#define Sw   (X86_METHOD_S | MODRM | T_w)
#define Zb   (M_Z | T_b | O_NATIVE(NATIVE_RM_BYTE))
#define Zv   (M_Z | T_v)

#define M0    (M_M | T(NONE))
#define Maddr (M_M | T(NONE) | O_TRAIT(X86_TRAIT_ADDRESS_ONLY) | O_TRAIT(X86_TRAIT_OPSIZE))
#define Mb    (M_M | T_b)
#define Mw    (M_M | T_w)
#define Md    (M_M | T_d)
#define Mq    (M_M | T_q)
#define Mdq   (M_M | T_dq)
#define Mqq   (M_M | T(QQ))
#define Mv    (M_M | T_v)
#define My    (M_M | T_y)
#define Mx    (M_M | T_x)
#define Mt    (M_M | T(T))
#define Mp    (M_M | T(P) | O_TRAIT(X86_TRAIT_OPSIZE))
#define Ms    (M_M | T(S))
#define Ma    (M_M | T(A) | O_TRAIT(X86_TRAIT_OPSIZE))
#define Menv  (M_M | T(ENV) | O_TRAIT(X86_TRAIT_OPSIZE))
#define Msave (M_M | T(SAVE) | O_TRAIT(X86_TRAIT_OPSIZE))
#define M512  (M_M | T(512))
#define VMd   (M_VM | T_d)
#define VMq   (M_VM | T_q)

#define Wx   (M_W | T_x)
#define Whx  (M_W | T_hx)
#define Wfx  (M_W | T_fx)
#define Wex  (M_W | T_ex)
#define Wdq  (M_W | T_dq)
#define Wss  (M_W | T_d)
#define Wsd  (M_W | T_q)
#define Wb   (M_W | T(B))
#define Ww   (M_W | T_w)
#define Wd   (M_W | T_d)
#define Wq   (M_W | T_q)
#define Vx   (M_V | T_x)
#define Vhx  (M_V | T_hx)
#define Vdq  (M_V | T_dq)
#define Vqq  (M_V | T(QQ))
#define Vss  (M_V | T_d)
#define Vsd  (M_V | T_q)
#define Vd   (M_V | T_d)
#define Vq   (M_V | T_q)
#define Ux   (M_U | T_x)
#define Udq  (M_U | T_dq)
#define Uss  (M_U | T_d)
#define Usd  (M_U | T_q)
#define Uq   (M_U | T_q)
#define Hx   (M_H | T_x)
#define Hdq  (M_H | T_dq)
#define Hqq  (M_H | T(QQ))
#define Hss  (M_H | T_d)
#define Hsd  (M_H | T_q)
#define Hq   (M_H | T_q)
#define Lx   (M_L | T_x)
#define XMM0 (X86_METHOD_X0 | VECTOR | T_dq)
#define Pq   (M_P | T_q)
#define Pd   (M_P | T_d)
#define Qq   (M_Q | T_q)
#define Qd   (M_Q | T_d)
#define Nq   (M_N | T_q)
#define ST0  (X86_METHOD_ST0 | T(T) | O_NATIVE(NATIVE_X87))
#define STi  (X86_METHOD_STI | T(T) | MODRM | O_NATIVE(NATIVE_X87))

#define Ib   (X86_METHOD_I | T(B) | O_IMM(BYTE))
#define Is   (X86_METHOD_I | T(B) | O_IMM(SIGNED))
#define Iw   (X86_METHOD_I | T_w | O_IMM(WORD))
#define Iz   (X86_METHOD_I | T_z | O_IMM(Z))
#define Iv   (X86_METHOD_I | T_v | O_IMM(V))
#define Iwb  (X86_METHOD_I | T(NONE) | O_IMM(ENTER))
#define Ibb  (X86_METHOD_I | T(NONE) | O_IMM(TWO))
#define Jb   (X86_METHOD_J | T(B) | O_IMM(REL8) | O_TRAIT(X86_TRAIT_OPSIZE))
#define Jz   (X86_METHOD_J | T_z | O_IMM(REL))
#define Ap   (X86_METHOD_A | T(P) | O_IMM(FAR) | O_TRAIT(X86_TRAIT_OPSIZE))
#define Ob   (X86_METHOD_O | T_b | O_IMM(OFFSET) | OVERRIDE)
#define Ov   (X86_METHOD_O | T_v | O_IMM(OFFSET) | OVERRIDE)
#define Xb   (X86_METHOD_X | T_b | OVERRIDE)
#define Xv   (X86_METHOD_X | T_v | OVERRIDE)
#define Yb   (X86_METHOD_Y | T_b | ADDRESS)
#define Yv   (X86_METHOD_Y | T_v | ADDRESS)
#define Xz   (X86_METHOD_X | T_z | OVERRIDE)
#define Yz   (X86_METHOD_Y | T_z | ADDRESS)
#define Kv   (X86_METHOD_K | T_v)
#define Fv   (X86_METHOD_OTHER | T_v)
#define F64B (X86_METHOD_OTHER | T(64))
#define Mxlat (X86_METHOD_XLAT | T_b | OVERRIDE)
#define Mmask (X86_METHOD_MASK | T_dq | OVERRIDE)
#define Mmaskq (X86_METHOD_MASK | T_q | OVERRIDE)

#define GPR(name, type) ((X86_METHOD_GPR + X86_##name) | T_##type)
#define AL    GPR(RAX, b)
#define AH    GPR(RAX, b)
#define AX    GPR(RAX, w)
#define DX    GPR(RDX, w)
#define CL    GPR(RCX, b)
#define EAX   GPR(RAX, d)
#define EBX   GPR(RBX, d)
#define ECX   GPR(RCX, d)
#define EDX   GPR(RDX, d)
#define rAX   GPR(RAX, v)
#define rCX   GPR(RCX, v)
#define rDX   GPR(RDX, v)
#define rBX   GPR(RBX, v)
#define rSP   GPR(RSP, v)
#define rBP   GPR(RBP, v)
#define rSI   GPR(RSI, v)
#define rDI   GPR(RDI, v)
#define RCX   GPR(RCX, q)
#define R11   GPR(R11, q)
#define yAX   GPR(RAX, y)
#define yBX   GPR(RBX, y)
#define yCX   GPR(RCX, y)
#define yDX   GPR(RDX, y)
#define aCX   ((X86_METHOD_GPR + X86_RCX) | T(ADDR) | ADDRESS) /* the counter of LOOP */
#define RSP   GPR(RSP, q)
#define RDX   GPR(RDX, q)
#define aAX   ((X86_METHOD_GPR + X86_RAX) | T(ADDR) | ADDRESS)
#define ALLGPR (X86_METHOD_ALL | T_v)
#define K1    X86_METHOD_ONE

#define R(operand)   ((operand) | X86_READS)
#define W(operand)   ((operand) | X86_WRITES)
#define RW(operand)  ((operand) | X86_READS | X86_WRITES)
#define CW(operand)  ((operand) | X86_WRITES | X86_MAYBE)
#define RCW(operand) ((operand) | X86_READS | X86_WRITES | X86_MAYBE)
#define N(operand)   (operand)

/* Traits; the upper half holds native attributes and the feature of VEX.L = 1. */
#define LOCK     X86_TRAIT_LOCK
#define REPS     X86_TRAIT_REPS
#define D64      X86_TRAIT_D64
#define F64      X86_TRAIT_F64
#define FALL     X86_TRAIT_FALL
#define OTHER    X86_TRAIT_OTHER
#define COUNT    X86_TRAIT_COUNT
#define ALIGN    X86_TRAIT_ALIGN
#define NOALIGN  X86_TRAIT_NOALIGN
#define DISTINCT X86_TRAIT_DISTINCT
#define ALLREG   X86_TRAIT_ALLREG
#define OPSIZE   X86_TRAIT_OPSIZE
#define WMATTERS X86_TRAIT_W
#define MODBYTE  X86_TRAIT_MODRM
#define ADDRSIZE X86_TRAIT_ADDRESS
#define FAULT    ((uint64_t)NATIVE_MAY_FAULT << 32)
#define FP       ((uint64_t)(NATIVE_MAY_FAULT | NATIVE_VECTOR) << 32)
#define VEC      ((uint64_t)NATIVE_VECTOR << 32)
#define X87      ((uint64_t)(NATIVE_X87 | NATIVE_MAY_FAULT) << 32)
#define SERIAL   ((uint64_t)NATIVE_SERIALIZES_CODE << 32)
#define SIGNED   ((uint64_t)NATIVE_SIGNED << 32)
#define WIDE(feature) ((uint64_t)X86_FEATURE_##feature << 48)

/* One row. Operands that are not there are 0. */
#define MERGE_(a, b, c, d, e, f, ...) (UINT64_C(0) | (a) | (b) | (c) | (d) | (e) | (f))
#define MERGE(...) MERGE_(__VA_ARGS__)
#define STORED_(a, b, c, d, e, f, ...) {(a) & 0xffff, (b) & 0xffff, (c) & 0xffff, (d) & 0xffff, \
                                        (e) & 0xffff, (f) & 0xffff}
#define STORED(...) STORED_(__VA_ARGS__)

/* Memory: sets of methods; of the operands with such a method (one, or several alike) the type and
 * the access; what the others touch. */
#define METHOD_BIT(method) (UINT64_C(1) << X86_METHOD_##method)
#define BY_MODRM  (METHOD_BIT(E) | METHOD_BIT(M) | METHOD_BIT(W) | METHOD_BIT(Q) | METHOD_BIT(VM))
#define BY_ITSELF                                                                                  \
    (METHOD_BIT(X) | METHOD_BIT(Y) | METHOD_BIT(K) | METHOD_BIT(O) | METHOD_BIT(XLAT) |            \
     METHOD_BIT(MASK) | METHOD_BIT(OTHER))
#define IN(set, o) ((set) >> X86_OPERAND_METHOD(o) & ((o) & (X86_READS | X86_WRITES) ? 1 : 0))
#define TYPE_ONE(set, o)   (IN(set, o) * X86_OPERAND_TYPE(o))
#define ACCESS_ONE(set, o) (IN(set, o) * ((o) >> 11 & 3))
#define TYPE_(set, a, b, c, d, e, f, ...)                                                          \
    (TYPE_ONE(set, a) | TYPE_ONE(set, b) | TYPE_ONE(set, c) | TYPE_ONE(set, d) |                   \
     TYPE_ONE(set, e) | TYPE_ONE(set, f))
#define TYPE_IN(...) TYPE_(__VA_ARGS__)
#define ACCESS_(set, a, b, c, d, e, f, ...)                                                        \
    (ACCESS_ONE(set, a) | ACCESS_ONE(set, b) | ACCESS_ONE(set, c) | ACCESS_ONE(set, d) |           \
     ACCESS_ONE(set, e) | ACCESS_ONE(set, f))
#define ACCESS_IN(...) ACCESS_(__VA_ARGS__)
#define TOUCHES(o, method, bit) (X86_OPERAND_METHOD(o) == X86_METHOD_##method ? (bit) : 0)
#define IMPLICIT_ONE(o)                                                                            \
    (TOUCHES(o, X, NATIVE_STRING_SI) | TOUCHES(o, O, NATIVE_MOFFS) |                               \
     TOUCHES(o, Y, (o) & X86_WRITES ? NATIVE_STRING_DI_W : NATIVE_STRING_DI_R) |                   \
     TOUCHES(o, K, (o) & X86_WRITES ? NATIVE_PUSH : NATIVE_POP) |                                  \
     TOUCHES(o, XLAT, NATIVE_XLAT) | TOUCHES(o, MASK, NATIVE_MASKMOV) |                            \
     TOUCHES(o, OTHER, NATIVE_OTHER) | TOUCHES(o, VM, NATIVE_OTHER))
#define IMPLICIT_(a, b, c, d, e, f, ...)                                                           \
    (IMPLICIT_ONE(a) | IMPLICIT_ONE(b) | IMPLICIT_ONE(c) | IMPLICIT_ONE(d) | IMPLICIT_ONE(e) |     \
     IMPLICIT_ONE(f))
#define IMPLICIT(...) IMPLICIT_(__VA_ARGS__)

/* Registers: the sets of struct x86_row. A write of 32 bits clears the upper half. */
#define WHOLE_TYPES                                                                                \
    (1u << X86_TYPE_D | 1u << X86_TYPE_Q | 1u << X86_TYPE_Y | 1u << X86_TYPE_DMB |                 \
     1u << X86_TYPE_DMW | 1u << X86_TYPE_MODE)
#define WHOLE_TYPES_V (1u << X86_TYPE_ADDR | 1u << X86_TYPE_V | 1u << X86_TYPE_Z | 1u << X86_TYPE_VMW)
#define SETS(o, set, bits)                                                                         \
    (((o) & X86_READS ? (uint64_t)(set) : 0) |                                                     \
     ((o) & X86_WRITES ? (uint64_t)(set) << (bits) : 0) |                                          \
     (((o) & (X86_WRITES | X86_MAYBE)) == X86_WRITES                                               \
          ? (uint64_t)(set) * (WHOLE_TYPES >> X86_OPERAND_TYPE(o) & 1) << (2 * (bits)) |           \
                (uint64_t)(set) * (WHOLE_TYPES_V >> X86_OPERAND_TYPE(o) & 1) << (3 * (bits))       \
          : 0))
#define FIXED_ONE(o)                                                                               \
    (X86_OPERAND_METHOD(o) >= X86_METHOD_GPR                                                       \
         ? SETS(o, UINT64_C(1) << (X86_OPERAND_METHOD(o) & 15), 16)                           \
     : X86_OPERAND_METHOD(o) == X86_METHOD_ALL ? SETS(o, 0xff & ~(1 << X86_RSP), 16)               \
                                               : 0) /* POPA skips RSP */
#define RM_METHODS  (METHOD_BIT(E) | METHOD_BIT(R) | METHOD_BIT(Z))
#define ENCODED_ONE(o)                                                                             \
    SETS(o,                                                                                        \
         (RM_METHODS >> X86_OPERAND_METHOD(o) & 1) | (METHOD_BIT(G) >> X86_OPERAND_METHOD(o) & 1) * 2 | \
             (METHOD_BIT(B) >> X86_OPERAND_METHOD(o) & 1) * 4,                                     \
         4)
#define FIXED_(a, b, c, d, e, f, ...)                                                              \
    (FIXED_ONE(a) | FIXED_ONE(b) | FIXED_ONE(c) | FIXED_ONE(d) | FIXED_ONE(e) | FIXED_ONE(f))
#define FIXED(...) FIXED_(__VA_ARGS__)
#define ENCODED_(a, b, c, d, e, f, ...)                                                            \
    (ENCODED_ONE(a) | ENCODED_ONE(b) | ENCODED_ONE(c) | ENCODED_ONE(d) | ENCODED_ONE(e) |          \
     ENCODED_ONE(f))
#define ENCODED(...) ENCODED_(__VA_ARGS__)

/* Patterns that follow from operands: REG and MEM; vvvv must be 1111 where it names nothing. */
#define IMPLIED(vex, all)                                                                          \
    (((all) & O_REG ? REG : 0) | ((all) & O_MEM ? MEM : 0) |                                       \
     ((vex) && !((all) & O_TRAIT(X86_TRAIT_VVVV)) ? CLEAR(VVVV) : 0))

/* Legacy 16-byte memory operands are aligned unless the row says otherwise. */
#define ALIGNED_ONE(vex, o)                                                                        \
    (!(vex) && ((X86_OPERAND_METHOD(o) == X86_METHOD_W || X86_OPERAND_METHOD(o) == X86_METHOD_M) && \
                (X86_OPERAND_TYPE(o) == X86_TYPE_X || X86_OPERAND_TYPE(o) == X86_TYPE_DQ)))
#define ALIGNED_(vex, traits, a, b, c, d, e, f, ...)                                               \
    ((!((traits) & NOALIGN) && (ALIGNED_ONE(vex, a) || ALIGNED_ONE(vex, b))) ? ALIGN : 0)
#define ALIGNED(...) ALIGNED_(__VA_ARGS__)

#define ROW_(tbl, code, name, pattern, lower, flags, feat, trait, ...)                             \
    {                                                                                              \
        .match = (uint32_t)((pattern) | IMPLIED((tbl) >= X86_TABLE_VEX_0F, MERGE(__VA_ARGS__))),   \
        .mask =                                                                                    \
            (uint32_t)(((pattern) | IMPLIED((tbl) >= X86_TABLE_VEX_0F, MERGE(__VA_ARGS__))) >> 32), \
        .traits = (uint32_t)(trait) | (uint32_t)(MERGE(__VA_ARGS__) >> 32 & 0x3fffff) |             \
                  ALIGNED((tbl) >= X86_TABLE_VEX_0F, trait, __VA_ARGS__),                          \
        .operand = STORED(__VA_ARGS__),                                                            \
        .native = (uint16_t)(MERGE(__VA_ARGS__) >> 16 | (uint64_t)(trait) >> 32),                  \
        .table = (tbl), .opcode = (code),                                                          \
        .flags_read = (uint16_t)(flags), .flags_written = (uint16_t)((uint64_t)(flags) >> 16),     \
        .flags_may = (uint16_t)((uint64_t)(flags) >> 32),                                          \
        .flags_undefined = (uint16_t)((uint64_t)(flags) >> 48),                                    \
        .lowering = X86_LOWER_##lower, .feature = X86_FEATURE_##feat,                              \
        .feature_wide = (uint8_t)((uint64_t)(trait) >> 48),                                        \
        .immediate = (uint8_t)(MERGE(__VA_ARGS__) >> 56), .mnemonic = (name),                      \
        .fixed_registers = FIXED(__VA_ARGS__),                                                     \
        .encoded_registers = (uint16_t)(ENCODED(__VA_ARGS__)),                                     \
        .implicit = (uint16_t)(IMPLICIT(__VA_ARGS__)),                                             \
        .memory_type = (uint8_t)(TYPE_IN(BY_MODRM, __VA_ARGS__)),                                  \
        .memory_access = (uint8_t)(ACCESS_IN(BY_MODRM, __VA_ARGS__)),                              \
        .implicit_type = (uint8_t)(TYPE_IN(BY_ITSELF, __VA_ARGS__)),                               \
        .implicit_access = (uint8_t)(ACCESS_IN(BY_ITSELF, __VA_ARGS__)),                           \
    },
#define ROW(tbl, code, name, pattern, lower, flags, feat, trait, ...)                              \
    ROW_(tbl, code, name, pattern, lower, flags, feat, trait, __VA_ARGS__, 0, 0, 0, 0, 0, 0)

/* Numbers of the rows. The name of an OP row holds table and opcode, so that two of them clash. */
#define PASTE_(a, b, c, d) a##b##c##d
#define PASTE(a, b, c, d)  PASTE_(a, b, c, d)
#define OP(code, ...)   PASTE(ROW_, TABLE, _, code),
#define OP8(code, ...)  PASTE(ROW_, TABLE, _, code),
#define ALSO(code, ...) PASTE(ROW_, TABLE, _line_, __LINE__),
enum row_number {
#define TABLE MAP_ONE
#include "guest/x86/opcodes_one.def"
#undef TABLE
#define TABLE MAP_X87
#include "guest/x86/opcodes_x87.def"
#undef TABLE
#define TABLE MAP_0F
#include "guest/x86/opcodes_0f.def"
#undef TABLE
#define TABLE MAP_SSE
#include "guest/x86/opcodes_0f_vector.def"
#undef TABLE
#define TABLE MAP_0F38
#include "guest/x86/opcodes_0f38.def"
#undef TABLE
#define TABLE MAP_0F3A
#include "guest/x86/opcodes_0f3a.def"
#undef TABLE
#define TABLE MAP_VEX_0F
#include "guest/x86/opcodes_vex_0f.def"
#undef TABLE
#define TABLE MAP_VEX_0F38
#include "guest/x86/opcodes_vex_0f38.def"
#undef TABLE
#define TABLE MAP_VEX_0F3A
#include "guest/x86/opcodes_vex_0f3a.def"
#undef TABLE
    ROW_COUNT,
};
#undef OP
#undef OP8
#undef ALSO

#define OP(...)   ROW(TABLE, __VA_ARGS__)
#define OP8(...)  ROW(TABLE, __VA_ARGS__)
#define ALSO(...) ROW(TABLE, __VA_ARGS__)
const struct x86_row x86_row_table[ROW_COUNT + 1] = {
#define TABLE X86_TABLE_ONE
#include "guest/x86/opcodes_one.def"
#include "guest/x86/opcodes_x87.def"
#undef TABLE
#define TABLE X86_TABLE_0F
#include "guest/x86/opcodes_0f.def"
#include "guest/x86/opcodes_0f_vector.def"
#undef TABLE
#define TABLE X86_TABLE_0F38
#include "guest/x86/opcodes_0f38.def"
#undef TABLE
#define TABLE X86_TABLE_0F3A
#include "guest/x86/opcodes_0f3a.def"
#undef TABLE
#define TABLE X86_TABLE_VEX_0F
#include "guest/x86/opcodes_vex_0f.def"
#undef TABLE
#define TABLE X86_TABLE_VEX_0F38
#include "guest/x86/opcodes_vex_0f38.def"
#undef TABLE
#define TABLE X86_TABLE_VEX_0F3A
#include "guest/x86/opcodes_vex_0f3a.def"
#undef TABLE
    {.table = X86_TABLE_COUNT}, /* no opcode has it: the decoder's search ends here */
};
#undef OP
#undef OP8
#undef ALSO

#define OP(code, ...)   [code] = PASTE(ROW_, TABLE, _, code) + 1,
#define OP8(code, ...)  [(code) ... (code) + 7] = PASTE(ROW_, TABLE, _, code) + 1,
#define ALSO(code, ...)
const uint16_t x86_row_index[X86_TABLE_COUNT][256] = {
    [X86_TABLE_ONE] = {
#define TABLE MAP_ONE
#include "guest/x86/opcodes_one.def"
#undef TABLE
#define TABLE MAP_X87
#include "guest/x86/opcodes_x87.def"
#undef TABLE
    },
    [X86_TABLE_0F] = {
#define TABLE MAP_0F
#include "guest/x86/opcodes_0f.def"
#undef TABLE
#define TABLE MAP_SSE
#include "guest/x86/opcodes_0f_vector.def"
#undef TABLE
    },
    [X86_TABLE_0F38] = {
#define TABLE MAP_0F38
#include "guest/x86/opcodes_0f38.def"
#undef TABLE
    },
    [X86_TABLE_0F3A] = {
#define TABLE MAP_0F3A
#include "guest/x86/opcodes_0f3a.def"
#undef TABLE
    },
    [X86_TABLE_VEX_0F] = {
#define TABLE MAP_VEX_0F
#include "guest/x86/opcodes_vex_0f.def"
#undef TABLE
    },
    [X86_TABLE_VEX_0F38] = {
#define TABLE MAP_VEX_0F38
#include "guest/x86/opcodes_vex_0f38.def"
#undef TABLE
    },
    [X86_TABLE_VEX_0F3A] = {
#define TABLE MAP_VEX_0F3A
#include "guest/x86/opcodes_vex_0f3a.def"
#undef TABLE
    },
};

// clang-format on

const struct x86_row *x86_rows(unsigned *count)
{
    *count = ROW_COUNT;
    return x86_row_table;
}

const char *x86_mnemonic(const struct x86_insn *insn)
{
    return insn->row ? insn->row->mnemonic : "(bad)";
}
