/* SPDX-License-Identifier: MIT
 *
 * What CPUID promises is there: an instruction of every promised feature is executed; CPUID,
 * XGETBV, XSAVE's sizes and the auxiliary vector agree. Counters go forward. */
#include <cpuid.h>
#include <sched.h>
#include <setjmp.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <x86intrin.h>

#include "expect.h"

static sigjmp_buf out;

static void on_illegal(int signal)
{
    siglongjmp(out, signal);
}

static void leaf(unsigned number, unsigned sub, unsigned r[4])
{
    __cpuid_count(number, sub, r[0], r[1], r[2], r[3]);
}

/* X(name, leaf, subleaf, register, bit, needs AVX state, code) */
#define FEATURES                                                                \
    X(fpu, 1, 0, 3, 0, 0, "fnop")                                               \
    X(tsc, 1, 0, 3, 4, 0, "rdtsc")                                              \
    X(cx8, 1, 0, 3, 8, 0, "cmpxchg8b (%0)")                                     \
    X(cmov, 1, 0, 3, 15, 0, "cmovz %%eax, %%ecx")                               \
    X(clflush, 1, 0, 3, 19, 0, "clflush (%0)")                                  \
    X(mmx, 1, 0, 3, 23, 0, "paddb %%mm0, %%mm1\n\temms")                        \
    X(fxsr, 1, 0, 3, 24, 0, "fxsave (%0)")                                      \
    X(sse, 1, 0, 3, 25, 0, "addps %%xmm0, %%xmm1")                              \
    X(sse2, 1, 0, 3, 26, 0, "paddq %%xmm0, %%xmm1")                             \
    X(sse3, 1, 0, 2, 0, 0, "haddps %%xmm0, %%xmm1")                             \
    X(pclmulqdq, 1, 0, 2, 1, 0, "pclmulqdq $0, %%xmm0, %%xmm1")                 \
    X(ssse3, 1, 0, 2, 9, 0, "pshufb %%xmm0, %%xmm1")                            \
    X(fma, 1, 0, 2, 12, 1, "vfmadd213ps %%ymm0, %%ymm1, %%ymm2")                \
    X(cx16, 1, 0, 2, 13, 0, "cmpxchg16b (%0)")                                  \
    X(sse4_1, 1, 0, 2, 19, 0, "pmulld %%xmm0, %%xmm1")                          \
    X(sse4_2, 1, 0, 2, 20, 0, "pcmpgtq %%xmm0, %%xmm1")                         \
    X(movbe, 1, 0, 2, 22, 0, "movbe (%0), %%eax")                               \
    X(popcnt, 1, 0, 2, 23, 0, "popcnt %%eax, %%eax")                            \
    X(aes, 1, 0, 2, 25, 0, "aesenc %%xmm0, %%xmm1")                             \
    X(avx, 1, 0, 2, 28, 1, "vaddps %%ymm0, %%ymm1, %%ymm2")                     \
    X(f16c, 1, 0, 2, 29, 1, "vcvtph2ps %%xmm0, %%ymm1")                         \
    X(rdrand, 1, 0, 2, 30, 0, "rdrand %%eax")                                   \
    X(fsgsbase, 7, 0, 1, 0, 0, "rdgsbase %%rax")                                \
    X(bmi1, 7, 0, 1, 3, 0, "andn %%eax, %%ecx, %%edx")                          \
    X(avx2, 7, 0, 1, 5, 1, "vpaddd %%ymm0, %%ymm1, %%ymm2")                     \
    X(bmi2, 7, 0, 1, 8, 0, "pext %%eax, %%ecx, %%edx")                          \
    X(rdseed, 7, 0, 1, 18, 0, "rdseed %%eax")                                   \
    X(adx, 7, 0, 1, 19, 0, "adcx %%eax, %%ecx")                                 \
    X(clflushopt, 7, 0, 1, 23, 0, "clflushopt (%0)")                            \
    X(clwb, 7, 0, 1, 24, 0, "clwb (%0)")                                        \
    X(sha, 7, 0, 1, 29, 0, "sha256rnds2 %%xmm0, %%xmm1, %%xmm2")                \
    X(gfni, 7, 0, 2, 8, 0, "gf2p8mulb %%xmm0, %%xmm1")                          \
    X(vaes, 7, 0, 2, 9, 1, "vaesenc %%ymm0, %%ymm1, %%ymm2")                    \
    X(vpclmulqdq, 7, 0, 2, 10, 1, "vpclmulqdq $0, %%ymm0, %%ymm1, %%ymm2")      \
    X(rdpid, 7, 0, 2, 22, 0, "rdpid %%rax")                                     \
    X(avx512f, 7, 0, 1, 16, 2, "vaddps %%zmm0, %%zmm1, %%zmm2")                 \
    X(lahf, 0x80000001, 0, 2, 0, 0, "lahf")                                     \
    X(lzcnt, 0x80000001, 0, 2, 5, 0, "lzcnt %%eax, %%eax")                      \
    X(sse4a, 0x80000001, 0, 2, 6, 0, "extrq $1, $1, %%xmm0")                    \
    X(prefetchw, 0x80000001, 0, 2, 8, 0, "prefetchw (%0)")                      \
    X(xop, 0x80000001, 0, 2, 11, 1, ".byte 0x8f, 0xe9, 0x78, 0x81, 0xc0")       \
    X(fma4, 0x80000001, 0, 2, 16, 1, "vfmaddps %%ymm0, %%ymm1, %%ymm2, %%ymm3") \
    X(tbm, 0x80000001, 0, 2, 21, 0, ".byte 0x8f, 0xe9, 0x78, 0x01, 0xc8")       \
    X(rdtscp, 0x80000001, 0, 3, 27, 0, "rdtscp")                                \
    X(threednow, 0x80000001, 0, 3, 31, 0, "pfadd %%mm0, %%mm1\n\tfemms")

static uint64_t xcr0(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

#define X(name, number, sub, reg, bit, state, code)                                      \
    static void use_##name(void *memory)                                                 \
    {                                                                                    \
        __asm__ volatile(code                                                            \
                         :                                                               \
                         : "r"(memory)                                                   \
                         : "rax", "rcx", "rdx", "xmm0", "xmm1", "xmm2", "memory", "cc"); \
    }
FEATURES
#undef X

static const struct feature {
    const char *name;
    unsigned leaf, sub, reg, bit, state;
    void (*use)(void *memory);
} features[] = {
#define X(name, number, sub, reg, bit, state, code) \
    {#name, number, sub, reg, bit, state, use_##name},
    FEATURES
#undef X
};

static void promised(const struct feature *f, uint64_t state)
{
    static uint8_t memory[1024] __attribute__((aligned(64)));
    static const uint64_t needed[] = {0, 6, 0xe6};
    EXPECT_THAT((state & needed[f->state]) == needed[f->state],
                "%s is promised, but the system does not keep its state", f->name);
    if (sigsetjmp(out, 1) == 0) {
        f->use(memory);
    } else {
        EXPECT_THAT(false, "%s is promised and faults", f->name);
    }
}

static void promises(void)
{
    unsigned r[4], most, most_extended;
    leaf(0, 0, r);
    most = r[0];
    leaf(0x80000000, 0, r);
    most_extended = r[0];
    leaf(1, 0, r);
    uint64_t state = r[2] >> 27 & 1 ? xcr0() : 0;
    signal(SIGILL, on_illegal);
    for (size_t i = 0; i < sizeof features / sizeof features[0]; i++) {
        const struct feature *f = &features[i];
        if (f->leaf <= (f->leaf >> 31 ? most_extended : most)) {
            leaf(f->leaf, f->sub, r);
            if (r[f->reg] >> f->bit & 1) {
                promised(f, state);
            }
        }
    }
}

static void xsave_sizes(void)
{
    unsigned r[4], s[4];
    leaf(1, 0, r);
    EXPECT_SAME(r[2] >> 26 & 1, r[2] >> 27 & 1); /* Linux switches on what there is */
    if (!(r[2] >> 27 & 1)) {
        return;
    }
    uint64_t state = xcr0();
    EXPECT(state & 1 && state & 2);
    leaf(13, 0, r);
    EXPECT_SAME(state & ~((uint64_t)r[3] << 32 | r[0]), 0);
    unsigned needed = 576;
    for (unsigned i = 2; i < 63; i++) {
        if (state >> i & 1) {
            leaf(13, i, s);
            EXPECT_THAT(s[0] && s[1], "component %u has no size", i);
            needed = s[0] + s[1] > needed ? s[0] + s[1] : needed;
        }
    }
    EXPECT_SAME(r[1], needed);
    EXPECT(r[2] >= r[1]);

    /* XSAVE writes no further than that, and XRSTOR brings back what was there. */
    uint8_t *area = aligned_alloc(64, (needed + 127) & ~63u);
    EXPECT_OR_END(area);
    memset(area, 0xa5, (needed + 127) & ~63u);
    memset(area + 512, 0, 64);
    uint64_t before = 0x123456789abcdef, after = 0;
    __asm__ volatile("movq %2, %%xmm9\n\t"
                     "xsave64 (%1)\n\t"
                     "pxor %%xmm9, %%xmm9\n\t"
                     "xrstor64 (%1)\n\t"
                     "movq %%xmm9, %0"
                     : "=r"(after)
                     : "r"(area), "r"(before), "a"((uint32_t)state), "d"((uint32_t)(state >> 32))
                     : "xmm9", "memory");
    EXPECT_SAME(after, before);
    for (unsigned i = needed; i < ((needed + 127) & ~63u); i++) {
        EXPECT_SAME(area[i], 0xa5);
    }
    uint64_t in_use;
    memcpy(&in_use, area + 512, 8);
    EXPECT_SAME(in_use & ~state, 0);
    leaf(13, 1, s);
    if (s[0] & 1) { /* XSAVEOPT */
        __asm__ volatile("xsaveopt64 (%0)" : : "r"(area), "a"(7), "d"(0) : "memory");
    }
    if (s[0] & 2) { /* XSAVEC */
        memset(area + 512, 0, 64);
        __asm__ volatile("xsavec64 (%0)" : : "r"(area), "a"(7), "d"(0) : "memory");
        uint64_t compact;
        memcpy(&compact, area + 520, 8);
        EXPECT_SAME(compact, 1ull << 63 | (state & 7));
        __asm__ volatile("xrstor64 (%0)" : : "r"(area), "a"(7), "d"(0) : "memory");
    }
    if (s[0] & 4) { /* XGETBV with ECX 1 */
        uint32_t low, high;
        __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(1));
        EXPECT_SAME(low & ~(uint32_t)state, 0);
    }
    free(area);
}

/* From the kernel's vector: libc has another idea of AT_HWCAP. */
static uint64_t auxiliary(uint64_t wanted)
{
    uint64_t pair[2], found = 0;
    FILE *file = fopen("/proc/self/auxv", "r");
    EXPECT_OR_END(file);
    while (fread(pair, sizeof pair, 1, file) == 1) {
        found = pair[0] == wanted ? pair[1] : found;
    }
    fclose(file);
    return found;
}

static void agreement(void)
{
    unsigned r[4];
    leaf(1, 0, r);
    EXPECT_SAME(auxiliary(AT_HWCAP), r[3]);
    leaf(7, 0, r);
    if (getauxval(AT_HWCAP2) & 2) {
        EXPECT(r[1] & 1); /* FSGSBASE */
    }
    EXPECT(!strcmp((const char *)getauxval(AT_PLATFORM), "x86_64"));
    /* Leaves beyond the last show no features; the same question has the same answer. */
    unsigned again[4];
    leaf(0x80000000, 0, r);
    EXPECT(r[0] >= 0x80000008);
    for (unsigned i = 0; i < 100; i++) {
        leaf(7, 0, r);
        leaf(7, 0, again);
        EXPECT(!memcmp(r, again, sizeof r));
    }
    char brand[49] = "";
    for (unsigned i = 0; i < 3; i++) {
        leaf(0x80000002 + i, 0, r);
        memcpy(brand + 16 * i, r, 16);
    }
    EXPECT_THAT(brand[0] >= ' ' && brand[0] < 127, "no brand string");
    /* CPUID in 32-bit registers: upper halves become zero. */
    uint64_t a = ~0ull, b, c = 0xffffffff00000000, d = ~0ull;
    a = 0xffffffff00000001;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "+d"(d));
    EXPECT((a | b | c | d) >> 32 == 0);
}

static void counters(void)
{
    uint64_t last = 0;
    unsigned processor, core, node, r[4];
    leaf(0x80000001, 0, r);
    bool rdtscp = r[3] >> 27 & 1;
    for (int i = 0; i < 1000; i++) {
        uint64_t now = __rdtsc();
        EXPECT(now >= last);
        last = now;
        uint64_t serial = rdtscp ? __rdtscp(&processor) : now;
        EXPECT(serial >= last);
        last = serial;
    }
    usleep(2000);
    EXPECT(__rdtsc() - last > 100000);
    /* Pinned, RDTSCP and RDPID tell the processor that getcpu tells. */
    cpu_set_t all, one;
    EXPECT(sched_getaffinity(0, sizeof all, &all) == 0);
    for (unsigned i = 0; i < 64; i++) {
        if (CPU_ISSET(i, &all)) {
            CPU_ZERO(&one);
            CPU_SET(i, &one);
            EXPECT(sched_setaffinity(0, sizeof one, &one) == 0);
            EXPECT(syscall(SYS_getcpu, &core, &node, NULL) == 0);
            EXPECT_SAME(core, i);
            EXPECT_SAME(sched_getcpu(),
                        i); /* the vDSO: its RDPID is the host's, whatever CPUID says */
            if (rdtscp) {
                __rdtscp(&processor);
                EXPECT_SAME(processor & 0xfff, i);
            }
        }
    }
    sched_setaffinity(0, sizeof all, &all);
}

int main(void)
{
    alarm(60);
    promises();
    xsave_sizes();
    agreement();
    counters();
    return expect_done();
}
