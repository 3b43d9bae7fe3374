/* SPDX-License-Identifier: MIT
 *
 * From Zydis's sets of instructions to features of CPUID. */
#include <string.h>

#include <Zydis/Zydis.h>

#include "base/error.h"
#include "offered.h"

/* A set and what it needs: two features at most. Sets that are not here need none. */
#define NEEDS(_)                    \
    _(ADOX_ADCX, ADX, NONE)         \
    _(AES, AES, NONE)               \
    _(AMD3DNOW, 3DNOW, NONE)        \
    _(AVX, AVX, NONE)               \
    _(AVX2, AVX2, AVX)              \
    _(AVX2GATHER, AVX2, AVX)        \
    _(AVXAES, AES, AVX)             \
    _(AVX_GFNI, GFNI, AVX)          \
    _(BMI1, BMI1, NONE)             \
    _(BMI2, BMI2, NONE)             \
    _(CLFLUSHOPT, CLFLUSHOPT, NONE) \
    _(CLFSH, CLFLUSH, NONE)         \
    _(CLWB, CLWB, NONE)             \
    _(CLZERO, CLZERO, NONE)         \
    _(CMOV, CMOV, NONE)             \
    _(CMPXCHG16B, CX16, NONE)       \
    _(F16C, F16C, AVX)              \
    _(FCMOV, CMOV, NONE)            \
    _(FMA, FMA, AVX)                \
    _(FMA4, FMA4, AVX)              \
    _(FXSAVE, FXSR, NONE)           \
    _(FXSAVE64, FXSR, NONE)         \
    _(GFNI, GFNI, NONE)             \
    _(INVPCID, INVPCID, NONE)       \
    _(LAHF, LAHF_LM, NONE)          \
    _(LZCNT, LZCNT, NONE)           \
    _(MONITOR, MONITOR, NONE)       \
    _(MOVBE, MOVBE, NONE)           \
    _(PCLMULQDQ, PCLMULQDQ, NONE)   \
    _(PENTIUMMMX, MMX, NONE)        \
    _(PKU, OSPKE, NONE)             \
    _(POPCNT, POPCNT, NONE)         \
    _(RDPID, RDPID, NONE)           \
    _(RDRAND, RDRAND, NONE)         \
    _(RDSEED, RDSEED, NONE)         \
    _(RDTSCP, RDTSCP, NONE)         \
    _(RDWRFSGS, FSGSBASE, NONE)     \
    _(RTM, RTM, NONE)               \
    _(SERIALIZE, SERIALIZE, NONE)   \
    _(SHA, SHA, NONE)               \
    _(SMAP, SMAP, NONE)             \
    _(SSE, SSE, NONE)               \
    _(SSE2, SSE2, NONE)             \
    _(SSE2MMX, SSE2, NONE)          \
    _(SSE3, SSE3, NONE)             \
    _(SSE3X87, SSE3, NONE)          \
    _(SSE4, SSE4_1, NONE)           \
    _(SSE42, SSE4_2, NONE)          \
    _(SSE4A, SSE4A, NONE)           \
    _(SSEMXCSR, SSE, NONE)          \
    _(SSSE3, SSSE3, NONE)           \
    _(SSSE3MMX, SSSE3, NONE)        \
    _(SVM, SVM, NONE)               \
    _(TBM, TBM, NONE)               \
    _(VAES, VAES, AVX)              \
    _(VPCLMULQDQ, VPCLMULQDQ, AVX)  \
    _(VTX, VMX, NONE)               \
    _(X87, FPU, NONE)               \
    _(XOP, XOP, AVX)                \
    _(XSAVE, XSAVE, NONE)           \
    _(XSAVEC, XSAVEC, NONE)         \
    _(XSAVEOPT, XSAVEOPT, NONE)     \
    _(XSAVES, XSAVES, NONE)

static const struct {
    uint16_t feature, also;
} needs[ZYDIS_ISA_SET_MAX_VALUE + 1] = {
#define NEEDED(set, feature, also) \
    [ZYDIS_ISA_SET_##set] = {X86_FEATURE_##feature, X86_FEATURE_##also},
    NEEDS(NEEDED)
#undef NEEDED
};

/* Instructions that Zydis counts among older ones (SDM vol. 2). On MMX registers: what came with
 * SSE, and with AMD's extensions of MMX (APM vol. 3, appendix D). */
static const struct {
    uint16_t mnemonic, feature, or_feature;
} EXCEPTIONS[] = {
#define EXCEPTION(name, feature)                                       \
    {                                                                  \
        ZYDIS_MNEMONIC_##name, X86_FEATURE_##feature, X86_FEATURE_NONE \
    }
#define ON_MMX(name)                                               \
    {                                                              \
        ZYDIS_MNEMONIC_##name, X86_FEATURE_SSE, X86_FEATURE_MMXEXT \
    }
    EXCEPTION(CMPXCHG8B, CX8),
    EXCEPTION(FCOMI, CMOV),
    EXCEPTION(FCOMIP, CMOV),
    EXCEPTION(FUCOMI, CMOV),
    EXCEPTION(FUCOMIP, CMOV),
    EXCEPTION(RDMSR, MSR),
    EXCEPTION(RDTSC, TSC),
    EXCEPTION(SYSCALL, SYSCALL),
    EXCEPTION(SYSENTER, SEP),
    EXCEPTION(SYSEXIT, SEP),
    EXCEPTION(SYSRET, SYSCALL),
    EXCEPTION(WRMSR, MSR),
    ON_MMX(MASKMOVQ),
    ON_MMX(MOVNTQ),
    ON_MMX(PAVGB),
    ON_MMX(PAVGW),
    ON_MMX(PEXTRW),
    ON_MMX(PINSRW),
    ON_MMX(PMAXSW),
    ON_MMX(PMAXUB),
    ON_MMX(PMINSW),
    ON_MMX(PMINUB),
    ON_MMX(PMOVMSKB),
    ON_MMX(PMULHUW),
    ON_MMX(PSADBW),
    ON_MMX(PSHUFW),
#undef ON_MMX
#undef EXCEPTION
};

static bool has(const struct x86_features *features, unsigned feature)
{
    return feature == X86_FEATURE_NONE || x86_has(features, feature);
}

/* BSF and BSR with F3 before them are what TZCNT and LZCNT are to a processor that does not know
 * them. The F3 makes room for a segment prefix that is there already, or one that says nothing. */
static void leave_out_f3(uint8_t *bytes, unsigned prefixes)
{
    uint8_t other = 0x3e;

    for (unsigned i = 0; i < prefixes; i++)
        if (bytes[i] == 0x64 || bytes[i] == 0x65)
            other = bytes[i];
    for (unsigned i = 0; i < prefixes; i++)
        if (bytes[i] == 0xf3)
            bytes[i] = other;
}

enum offered offered(const struct x86_features *features, const struct test_case *c,
                     uint8_t without[GENERATE_CODE])
{
    ZydisDecodedInstruction insn;
    ZydisDecoder decoder;
    bool has_all;

    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, NULL, c->bytes, c->size, &insn)))
        return OFFERED;
    has_all = has(features, needs[insn.meta.isa_set].feature) &&
              has(features, needs[insn.meta.isa_set].also);
    switch (insn.mnemonic) {
    case ZYDIS_MNEMONIC_TZCNT:
    case ZYDIS_MNEMONIC_LZCNT:
        if (has_all)
            return OFFERED;
        memcpy(without, c->bytes, c->size);
        leave_out_f3(without, insn.raw.prefix_count);
        return OFFERED_ANOTHER;
    case ZYDIS_MNEMONIC_VPCLMULQDQ: /* Zydis: AVX; SDM vol. 2: PCLMULQDQ too, with YMM another */
        if (insn.raw.vex.L == 0)
            return has(features, X86_FEATURE_AVX) && has(features, X86_FEATURE_PCLMULQDQ)
                       ? OFFERED
                       : OFFERED_NOT;
        break;
    case ZYDIS_MNEMONIC_PREFETCHW: /* a NOP where it is not known (SDM vol. 2) */
    case ZYDIS_MNEMONIC_PREFETCH: return OFFERED;
    default: break;
    }
    for (unsigned i = 0; i < sizeof EXCEPTIONS / sizeof *EXCEPTIONS; i++)
        if (insn.mnemonic == EXCEPTIONS[i].mnemonic &&
            (EXCEPTIONS[i].or_feature == X86_FEATURE_NONE ||
             insn.meta.isa_set == ZYDIS_ISA_SET_PENTIUMMMX))
            return x86_has(features, EXCEPTIONS[i].feature) ||
                           (EXCEPTIONS[i].or_feature != X86_FEATURE_NONE &&
                            x86_has(features, EXCEPTIONS[i].or_feature))
                       ? OFFERED
                       : OFFERED_NOT;
    return has_all ? OFFERED : OFFERED_NOT;
}
