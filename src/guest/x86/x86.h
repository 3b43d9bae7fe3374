/* SPDX-License-Identifier: MIT
 *
 * The x86 guest: state, decoder, translation.
 *
 * Read in this order: this header (state and decoded instruction), opcodes*.def (the tables; how to
 * read a row is told in rows.h), decode.c, cpuid.h (models, CPUID), translate.c (instruction to
 * IR).
 */
#ifndef GUEST_X86_X86_H
#define GUEST_X86_X86_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest/x86/system.h"
#include "ir/native.h"
#include "ir/state.h"

/* Numbers of general registers, as encoded. */
enum x86_gpr {
    X86_RAX,
    X86_RCX,
    X86_RDX,
    X86_RBX,
    X86_RSP,
    X86_RBP,
    X86_RSI,
    X86_RDI,
    X86_R8,
    X86_R9,
    X86_R10,
    X86_R11,
    X86_R12,
    X86_R13,
    X86_R14,
    X86_R15,
};

/* Features an instruction can need and CPUID can tell (AMD and Intel, SDM vol. 2, CPUID). One bit
 * each in struct x86_features; the list with CPUID places is in features.def. */
#define X86_FEATURE(id, name, leaf, subleaf, reg, bit) X86_FEATURE_##id,
enum x86_feature {
    X86_FEATURE_NONE, /* every x86-64 processor has it */
#include "guest/x86/features.def"
    X86_FEATURE_COUNT,
};
#undef X86_FEATURE

struct x86_features {
    uint64_t bit[(X86_FEATURE_COUNT + 63) / 64];
};

static inline bool x86_has(const struct x86_features *features, enum x86_feature feature)
{
    return features->bit[feature / 64] >> (feature % 64) & 1;
}

static inline void x86_feature_set(struct x86_features *features, enum x86_feature feature, bool on)
{
    uint64_t mask = UINT64_C(1) << (feature % 64);

    if (on)
        features->bit[feature / 64] |= mask;
    else
        features->bit[feature / 64] &= ~mask;
}

struct x86_model;         /* cpuid.h */
struct x86_memory_access; /* helpers.h */

/* The canonical CPU record. */
struct x86_cpu {
    struct ir_state state; /* must be first */
    uint16_t segment[6];   /* selectors, in the order ES CS SS DS FS GS */
    uint64_t system_flags; /* bits of RFLAGS that translated code does not hold: TF, NT, AC, ID;
                              in system mode all that are not arithmetic nor DF */
    uint64_t xcr0;
    const struct x86_model *model;
    const struct x86_memory_access *memory; /* how helpers reach guest memory; NULL: direct */
    struct x86_system system;               /* of system mode; else zeros */
};

_Static_assert(sizeof(struct x86_cpu) <= IR_STATE_SIZE, "the jump table follows at a fixed place");

/* What the bytes mean depends on this. */
enum x86_mode {
    X86_MODE_16,
    X86_MODE_32,
    X86_MODE_64,
};

/* How an instruction is translated. NATIVE: the host executes it as it is. All others have a case
 * in translate.c. A row names one; new ones are added here. */
#define X86_LOWERINGS(_)                                                   \
    _(NATIVE)     /* re-encoded */                                         \
    _(JCC)        /* Jcc rel: condition in the low 4 bits of the opcode */ \
    _(LOOP)       /* LOOPNE, LOOPE, LOOP, JRCXZ: E0 to E3 */               \
    _(JMP)        /* JMP rel */                                            \
    _(CALL)       /* CALL rel */                                           \
    _(JMP_R)      /* JMP r/m */                                            \
    _(CALL_R)     /* CALL r/m */                                           \
    _(RET)        /* RET, RET imm16 */                                     \
    _(FAR)        /* far JMP, CALL, RET through a descriptor */            \
    _(IRET)       /* IRET */                                               \
    _(SYSCALL)    /* SYSCALL */                                            \
    _(SYSENTER)   /* SYSENTER */                                           \
    _(INT)        /* INT n */                                              \
    _(INT3)       /* INT3, and INT1 */                                     \
    _(UD)         /* UD0, UD1, UD2: always undefined */                    \
    _(CPUID)      /* CPUID */                                              \
    _(XGETBV)     /* XGETBV */                                             \
    _(XSAVE)      /* XSAVE, XSAVEC, XSAVEOPT and 64-bit forms */           \
    _(XRSTOR)     /* XRSTOR, XRSTOR64 */                                   \
    _(FXSAVE)     /* FXSAVE: stores FIP and FDP */                         \
    _(FNSTENV)    /* FNSTENV, FNSAVE: store FIP and FDP */                 \
    _(PUSHF)      /* PUSHF */                                              \
    _(POPF)       /* POPF */                                               \
    _(MOV_TO_SEG) /* MOV Sreg, r/m; POP FS, GS; LFS, LGS, LSS */           \
    _(MOV_SEG)    /* MOV r/m, Sreg; PUSH FS, GS */                         \
    _(SEG_BASE)   /* RDFSBASE, RDGSBASE, WRFSBASE, WRGSBASE */             \
    _(RDTSC)      /* RDTSC, RDTSCP, RDPID */                               \
    _(RANDOM)     /* RDRAND, RDSEED */                                     \
    _(PRIVILEGED) /* #GP outside CPL 0: HLT, MOV CR, IN and OUT without right, and so on */

enum x86_lowering {
#define X86_LOWERING_ENUM(name) X86_LOWER_##name,
    X86_LOWERINGS(X86_LOWERING_ENUM)
#undef X86_LOWERING_ENUM
};

struct x86_row; /* rows.h */

/* One decoded instruction. */
struct x86_insn {
    struct native_insn native;
    const struct x86_row *row;
    uint8_t length;   /* bytes */
    uint8_t lowering; /* enum x86_lowering */
    uint16_t feature; /* enum x86_feature: what it needs; X86_FEATURE_NONE: nothing */
    uint64_t pc;      /* where it lies */
    uint64_t target;  /* of JCC, LOOP, JMP, CALL: the linear address */
};

enum x86_decode {
    X86_DECODE_OK,
    X86_DECODE_UNDEFINED, /* #UD; `length` has what was looked at */
    X86_DECODE_SHORT,     /* the bytes end before the instruction does */
    X86_DECODE_TOO_LONG,  /* more than 15 bytes: #GP */
};

/* Decodes the instruction at `bytes`, of which `size` may be read, and which lies at `pc`. Forms
 * that the manual forbids (LOCK without a memory destination, VEX with 66, reserved extensions,
 * registers that must differ) are UNDEFINED. `features`: an instruction that needs one that is not
 * there is UNDEFINED, or is what its encoding means without it (LZCNT: BSR; TZCNT: BSF; ENDBR:
 * NOP); NULL: all are there. Pure; any thread. */
enum x86_decode x86_decode(enum x86_mode mode, const struct x86_features *features,
                           const uint8_t *bytes, size_t size, uint64_t pc, struct x86_insn *insn);

/* The mnemonic in lower case, as the row has it ("cmovcc" forms with their condition: "cmovne");
 * static storage. */
const char *x86_mnemonic(const struct x86_insn *insn);

#endif
