/* SPDX-License-Identifier: MIT
 *
 * x87, MMX, SSE and AVX state: kept over system calls, signals, traps and threads; rounding modes,
 * denormals, precision; exceptions that are unmasked; a handler that changes what it was given. */
#include <fenv.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>

#include "expect.h"

struct vectors {
    uint8_t ymm[16][32];
    uint8_t fx[512];
} __attribute__((aligned(64)));

static bool avx;
static volatile int signals;

#define LOADY(n)  "vmovdqu 32*" #n "(%0), %%ymm" #n "\n\t"
#define STOREY(n) "vmovdqu %%ymm" #n ", 32*" #n "(%1)\n\t"
#define LOADX(n)  "movdqu 32*" #n "(%0), %%xmm" #n "\n\t"
#define STOREX(n) "movdqu %%xmm" #n ", 32*" #n "(%1)\n\t"
#define SIXTEEN(op)                                                                                \
    op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11) op(12) op(13) op(14) \
        op(15)
#define CLOBBERS                                                                                 \
    "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "xmm0", "xmm1", "xmm2", "xmm3", \
        "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13",      \
        "xmm14", "xmm15", "memory", "cc"

/* Loads everything, does `body`, stores everything; what comes out is what went in. */
#define AROUND(in, out, body)                                                                  \
    do {                                                                                       \
        uint8_t *in_ = (uint8_t *)(in), *out_ = (uint8_t *)(out);                              \
        if (avx) {                                                                             \
            __asm__ volatile("fxrstor64 512(%0)\n\t" SIXTEEN(LOADY) body                       \
                             "\n\t" SIXTEEN(STOREY) "fxsave64 512(%1)\n\tvzeroupper\n\tfninit" \
                             :                                                                 \
                             : "b"(in_), "r"(out_)                                             \
                             : CLOBBERS);                                                      \
        } else {                                                                               \
            __asm__ volatile("fxrstor64 512(%0)\n\t" SIXTEEN(LOADX) body                       \
                             "\n\t" SIXTEEN(STOREX) "fxsave64 512(%1)\n\tfninit"               \
                             :                                                                 \
                             : "b"(in_), "r"(out_)                                             \
                             : CLOBBERS);                                                      \
        }                                                                                      \
    } while (0)

static void fill(struct vectors *v, unsigned seed)
{
    for (unsigned i = 0; i < sizeof v->ymm; i++) {
        ((uint8_t *)v->ymm)[i] = (uint8_t)(i * 7 + seed * 13 + (i >> 5));
    }
    __asm__ volatile("fninit\n\tfldpi\n\tfldl2e\n\tfld1\n\tfchs\n\tfxsave64 %0\n\tfninit"
                     : "=m"(v->fx));
    v->fx[0] = 0x7f; /* x87: all masked, 53 bits, round up */
    v->fx[1] = 0x0a;
    uint32_t mxcsr = 0x1f80 | 3 << 13 | 0x21; /* round to zero; two exceptions have been */
    memcpy(v->fx + 24, &mxcsr, 4);
}

static void compare(const char *when, const struct vectors *in, const struct vectors *out)
{
    for (int i = 0; i < 16; i++) {
        EXPECT_THAT(!memcmp(in->ymm[i], out->ymm[i], avx ? 32 : 16), "%s: vector %d", when, i);
    }
    EXPECT_THAT(!memcmp(in->fx, out->fx, 6), "%s: x87 control, status or tags", when);
    EXPECT_THAT(!memcmp(in->fx + 24, out->fx + 24, 4), "%s: mxcsr", when);
    for (int i = 0; i < 8; i++) {
        EXPECT_THAT(!memcmp(in->fx + 32 + 16 * i, out->fx + 32 + 16 * i, 10), "%s: st(%d)", when,
                    i);
    }
}

/* Uses everything itself, and sees the modes a handler starts with. */
static void on_signal(int signal)
{
    uint16_t control;
    uint32_t mxcsr;
    (void)signal;
    __asm__ volatile("fnstcw %0\n\tstmxcsr %1" : "=m"(control), "=m"(mxcsr));
    EXPECT_SAME(control, 0x37f);
    EXPECT_SAME(mxcsr, 0x1f80);
    __asm__ volatile(
        "fldz\n\tfldz\n\tfldln2\n\tpcmpeqd %%xmm0, %%xmm0\n\tmovdqa %%xmm0, %%xmm15\n\t"
        "pxor %%xmm7, %%xmm7\n\tmovdqa %%xmm7, %%xmm3"
        :
        :
        : "xmm0", "xmm15", "xmm7", "xmm3");
    if (avx) {
        __asm__ volatile("vxorps %%ymm5, %%ymm5, %%ymm5\n\tvmovaps %%ymm5, %%ymm6\n\tvzeroupper"
                         :
                         :
                         : "xmm5", "xmm6");
    }
    signals++;
}

static void over_calls_and_signals(void)
{
    struct vectors in, out;
    for (unsigned i = 0; i < 50; i++) {
        fill(&in, i);
        AROUND(&in, &out, "nop");
        compare("nothing", &in, &out);
        AROUND(&in, &out, "mov $39, %%eax\n\tsyscall");
        compare("getpid", &in, &out);
        AROUND(&in, &out, "mov $24, %%eax\n\tsyscall");
        compare("sched_yield", &in, &out);
        AROUND(&in, &out,
               "mov $39, %%eax\n\tsyscall\n\tmov %%eax, %%edi\n\tmov $10, %%esi\n\t"
               "mov $62, %%eax\n\tsyscall");
        compare("kill(self)", &in, &out);
        AROUND(&in, &out,
               "xor %%eax, %%eax\n\txor %%ecx, %%ecx\n\tpush %%rbx\n\tcpuid\n\tpop %%rbx");
        compare("cpuid", &in, &out);
    }
    EXPECT_SAME(signals, 50);

    /* Signals at any place, for 60 ms. */
    struct itimerval each = {{0, 500}, {0, 500}}, none = {0};
    signals = 0;
    setitimer(ITIMER_REAL, &each, NULL);
    for (unsigned i = 0; signals < 100 && i < 2000000; i++) {
        fill(&in, i);
        AROUND(&in, &out, "mov $2000, %%ecx\n\t1: dec %%ecx\n\tjnz 1b");
        compare("a timer", &in, &out);
    }
    setitimer(ITIMER_REAL, &none, NULL);
    EXPECT_THAT(signals >= 100, "%d signals", signals);
}

static void *other_thread(void *opaque)
{
    unsigned seed = (unsigned)(uintptr_t)opaque;
    struct vectors in, out;
    for (unsigned i = 0; i < 300; i++) {
        fill(&in, seed + i);
        AROUND(&in, &out, "mov $24, %%eax\n\tsyscall");
        compare("another thread", &in, &out);
    }
    return NULL;
}

static void over_threads(void)
{
    pthread_t thread[3];
    for (uintptr_t i = 0; i < 3; i++) {
        EXPECT_OR_END(pthread_create(&thread[i], NULL, other_thread, (void *)(i * 77)) == 0);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(thread[i], NULL);
    }
}

/* --- modes */

static double divide(double a, double b)
{
    __asm__ volatile("divsd %1, %0" : "+x"(a) : "x"(b));
    return a;
}

static void rounding(void)
{
    static const struct {
        int mode;
        uint64_t third, minus_third;
        int64_t integer;
    } row[] = {
        {FE_TONEAREST, 0x3fd5555555555555, 0xbfd5555555555555, 2},
        {FE_DOWNWARD, 0x3fd5555555555555, 0xbfd5555555555556, 2},
        {FE_UPWARD, 0x3fd5555555555556, 0xbfd5555555555555, 3},
        {FE_TOWARDZERO, 0x3fd5555555555555, 0xbfd5555555555555, 2},
    };
    for (int i = 0; i < 4; i++) {
        EXPECT(fesetround(row[i].mode) == 0);
        EXPECT(fegetround() == row[i].mode);
        double third = divide(1, 3), minus = divide(-1, 3);
        EXPECT(!memcmp(&third, &row[i].third, 8));
        EXPECT(!memcmp(&minus, &row[i].minus_third, 8));
        volatile double half = 2.5;
        EXPECT_SAME(lrint(half), row[i].integer);
        volatile long double half87 = 2.5L;
        EXPECT_SAME(lrintl(half87), row[i].integer);
        getpid();
        sched_yield();
        EXPECT(fegetround() == row[i].mode);
    }
    fesetround(FE_TONEAREST);
}

static void denormals(void)
{
    uint32_t mode, old;
    double tiny = 0x1p-1040, result;
    __asm__ volatile("stmxcsr %0" : "=m"(old));
    result = divide(tiny, 2);
    EXPECT(result == 0x1p-1041);
    mode = 0x1f80 | 1 << 15; /* flush to zero */
    __asm__ volatile("ldmxcsr %0" : : "m"(mode));
    result = divide(0x1p-1022, 2);
    __asm__ volatile("ldmxcsr %0" : : "m"(old));
    EXPECT(result == 0);
    mode = 0x1f80 | 1 << 6; /* denormals are zero */
    __asm__ volatile("ldmxcsr %0" : : "m"(mode));
    result = divide(tiny, 0x1p-100);
    __asm__ volatile("ldmxcsr %0" : : "m"(old));
    EXPECT(result == 0);
    result = divide(tiny, 0x1p-100);
    EXPECT(result == 0x1p-940);
}

static void precision(void)
{
    uint16_t control = 0x037f & ~0x300;
    float one = 1, three = 3;
    double third;
    __asm__ volatile("fldcw %1\n\tflds %2\n\tfdivs %3\n\tfstpl %0\n\tfninit"
                     : "=m"(third)
                     : "m"(control), "m"(one), "m"(three));
    EXPECT(third == (double)(1.0f / 3.0f));
    volatile long double exact = 1.0L;
    exact /= 3;
    EXPECT(exact != (double)exact);
}

static void mmx(void)
{
    uint64_t a = 0x0102030405060708, b = 0xff01ff01ff01ff01, sum, kept;
    uint16_t tags;
    uint8_t environment[28];
    __asm__ volatile("movq %2, %%mm0\n\tmovq %3, %%mm7\n\tpaddb %%mm7, %%mm0\n\t"
                     "mov $39, %%eax\n\tsyscall\n\t"
                     "movq %%mm0, %0\n\tmovq %%mm7, %1\n\tfnstenv %4\n\temms"
                     : "=m"(sum), "=m"(kept), "+m"(a), "+m"(b), "=m"(environment)
                     :
                     : "rax", "rcx", "r11", "memory");
    EXPECT_SAME(sum, 0x0003020504070609);
    EXPECT_SAME(kept, b);
    memcpy(&tags, environment + 8, 2);
    for (int i = 0; i < 8; i++) {
        EXPECT_THAT((tags >> 2 * i & 3) != 3, "mm%d is empty: tags %#x", i, tags);
    }
}

/* --- exceptions */

static volatile int seen_code, seen_signal;
static volatile uint64_t seen_pc;
static volatile uint32_t seen_mxcsr;

static void on_exception(int signal, siginfo_t *info, void *opaque)
{
    ucontext_t *context = opaque;
    seen_signal = signal;
    seen_code = info->si_code;
    seen_pc = (uint64_t)context->uc_mcontext.gregs[REG_RIP];
    seen_mxcsr = context->uc_mcontext.fpregs->mxcsr;
    EXPECT_SAME((uintptr_t)info->si_addr, seen_pc);
    /* Mask everything and go on. */
    context->uc_mcontext.fpregs->mxcsr = 0x1f80;
    context->uc_mcontext.fpregs->cwd = 0x37f;
    context->uc_mcontext.fpregs->swd = 0;
}

/* One SSE operation with one exception unmasked. */
static void unmasked(double a, double b, uint32_t exception, int code)
{
    uint32_t mode = 0x1f80 & ~(exception << 7);
    uint64_t place;
    seen_signal = 0;
    __asm__ volatile("lea 1f(%%rip), %1\n\t"
                     "ldmxcsr %2\n\t"
                     "1: divsd %3, %0"
                     : "+x"(a), "=&r"(place)
                     : "m"(mode), "x"(b));
    EXPECT_SAME(seen_signal, SIGFPE);
    EXPECT_SAME(seen_code, code);
    EXPECT_SAME(seen_pc, place);
    EXPECT_SAME(seen_mxcsr & exception, exception);
}

static void exceptions(void)
{
    struct sigaction action = {.sa_sigaction = on_exception, .sa_flags = SA_SIGINFO};
    sigaction(SIGFPE, &action, NULL);
    unmasked(1, 0, 4, FPE_FLTDIV);
    unmasked(0, 0, 1, FPE_FLTINV);
    unmasked(1, 3, 0x20, FPE_FLTRES);
    unmasked(1e308, 1e-308, 8, FPE_FLTOVF);
    unmasked(1e-308, 1e308, 0x10, FPE_FLTUND);
    uint32_t normal = 0x1f80;
    __asm__ volatile("ldmxcsr %0" : : "m"(normal));

    /* x87 reports it at the next instruction that waits. */
    uint16_t control = 0x037f & ~4;
    uint64_t place;
    seen_signal = 0;
    __asm__ volatile(
        "lea 1f(%%rip), %0\n\tfldcw %1\n\tfld1\n\tfldz\n\tfdivrp\n\tnop\n\t1: fwait\n\t"
        "fninit"
        : "=&r"(place)
        : "m"(control));
    EXPECT_SAME(seen_signal, SIGFPE);
    EXPECT_SAME(seen_code, FPE_FLTDIV);
    EXPECT_SAME(seen_pc, place);
}

/* What the handler puts into the frame is what the program goes on with. */
static void on_change(int signal, siginfo_t *info, void *opaque)
{
    struct _libc_fpstate *fp = ((ucontext_t *)opaque)->uc_mcontext.fpregs;
    (void)signal;
    (void)info;
    memset(&fp->_xmm[4], 0x77, 16);
    fp->mxcsr = 0x1f80 | 2 << 13;
    if (avx) {
        uint64_t features;
        memcpy(&features, (uint8_t *)fp + 512, 8);
        if (features & 4) {
            memset((uint8_t *)fp + 576 + 16 * 4, 0x66, 16);
        }
    }
}

static void changed_by_handler(void)
{
    struct sigaction action = {.sa_sigaction = on_change, .sa_flags = SA_SIGINFO};
    struct vectors in, out;
    sigaction(SIGUSR2, &action, NULL);
    fill(&in, 5);
    AROUND(&in, &out,
           "mov $39, %%eax\n\tsyscall\n\tmov %%eax, %%edi\n\tmov $12, %%esi\n\t"
           "mov $62, %%eax\n\tsyscall");
    memset(in.ymm[4], 0x77, 16);
    if (avx) {
        memset(in.ymm[4] + 16, 0x66, 16);
    }
    uint32_t mxcsr = 0x1f80 | 2 << 13;
    memcpy(in.fx + 24, &mxcsr, 4);
    compare("a handler that changes it", &in, &out);
}

int main(void)
{
    alarm(60);
    avx = __builtin_cpu_supports("avx");
    signal(SIGUSR1, on_signal);
    signal(SIGALRM, on_signal);
    over_calls_and_signals();
    signal(SIGALRM, SIG_DFL);
    alarm(60);
    over_threads();
    rounding();
    denormals();
    precision();
    mmx();
    exceptions();
    changed_by_handler();
    return expect_done();
}
