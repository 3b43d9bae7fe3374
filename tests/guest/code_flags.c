/* SPDX-License-Identifier: MIT
 *
 * Flags that live across blocks: over jumps, calls, returns, indirect branches, loops and system
 * calls; flags of which instructions write only some; shifts by nothing. */
#include "expect.h"

enum { CF = 1, PF = 4, AF = 0x10, ZF = 0x40, SF = 0x80, DF = 0x400, OF = 0x800 };
enum { ALL = CF | PF | AF | ZF | SF | OF };

/* Runs `body` with the arithmetic flags set to `in`; returns them after it. */
#define RUN(in, body)                                                                             \
    ({                                                                                            \
        uint64_t flags_ = (in);                                                                   \
        __asm__ volatile("sub $256, %%rsp\n\t"                                                    \
                         "push %0\n\tpopfq\n\t" body "\n\t"                                       \
                         "pushfq\n\tpop %0\n\t"                                                   \
                         "lea 256(%%rsp), %%rsp"                                                  \
                         : "+r"(flags_)                                                           \
                         :                                                                        \
                         : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", \
                           "cc");                                                                 \
        flags_ &ALL;                                                                              \
    })

#define KEEPS(body)                                                                \
    for (unsigned f_ = 0; f_ < 64; f_++) {                                         \
        uint64_t in_ = pattern(f_), out_ = RUN(in_, body);                         \
        EXPECT_THAT(out_ == in_, "%s: flags %#x became %#x", #body, (unsigned)in_, \
                    (unsigned)out_);                                               \
    }

static uint64_t pattern(unsigned bits)
{
    static const uint16_t flag[6] = {CF, PF, AF, ZF, SF, OF};
    uint64_t flags = 0;
    for (int i = 0; i < 6; i++) {
        flags |= bits >> i & 1 ? flag[i] : 0u;
    }
    return flags;
}

static void kept_by_branches(void)
{
    KEEPS("jmp 1f\n\t1:");
    KEEPS("lea 1f(%%rip), %%rax\n\tjmp *%%rax\n\t1:");
    KEEPS("call 1f\n\tjmp 2f\n\t1: ret\n\t2:");
    KEEPS("lea 1f(%%rip), %%rax\n\tcall *%%rax\n\tjmp 2f\n\t1: ret\n\t2:");
    KEEPS("lea 1f(%%rip), %%rax\n\tpush %%rax\n\tret\n\t1:");
    KEEPS("lea 1f(%%rip), %%rax\n\tpush %%rax\n\tpush %%rax\n\tret $8\n\t1:");
    KEEPS("mov $5, %%ecx\n\t1: loop 1b");
}

static void kept_by_others(void)
{
    KEEPS("mov $0, %%ecx\n\tjrcxz 1f\n\tud2\n\t1:");
    KEEPS("mov $0, %%eax\n\tnot %%eax\n\tlea (%%rax,%%rax), %%rcx\n\tbswap %%rcx");
    KEEPS("mov $3, %%eax\n\tmov $0, %%ecx\n\tshl %%cl, %%eax");
    KEEPS("mov $3, %%eax\n\tmov $32, %%ecx\n\tsar %%cl, %%eax");
    KEEPS("mov $3, %%eax\n\tmov $64, %%ecx\n\tror %%cl, %%rax\n\trcl %%cl, %%rax");
    KEEPS("mov $3, %%eax\n\tmov $0, %%ecx\n\tshld %%cl, %%eax, %%edx\n\tshrd %%cl, %%eax, %%edx");
    KEEPS("mov $5, %%eax\n\tmov $7, %%ecx\n\trorx $3, %%eax, %%edx\n\tshlx %%ecx, %%eax, %%edx");
    KEEPS("mov $0, %%ecx\n\tmov %%rsp, %%rsi\n\tmov %%rsp, %%rdi\n\trepe cmpsb\n\trepne scasb");
    KEEPS("lea -128(%%rsp), %%rdi\n\tmov $4, %%ecx\n\trep stosb");
    KEEPS("lahf\n\tsahf");
    KEEPS("mov $1, %%eax\n\txchg %%rax, (%%rsp)\n\tcmovz %%rax, %%rdx\n\tsetnz %%cl");
    KEEPS("mov $39, %%eax\n\tsyscall");
    KEEPS("mov $24, %%eax\n\tsyscall\n\tmov $39, %%eax\n\tsyscall");
    KEEPS("pxor %%xmm0, %%xmm0\n\taddps %%xmm0, %%xmm0\n\tfld1\n\tfstp %%st(0)");
    KEEPS("push %%rbx\n\tmov $0, %%eax\n\tcpuid\n\tpop %%rbx");
    KEEPS("rdtsc\n\tlfence\n\tpause\n\tnop");
    KEEPS("mov $9, %%eax\n\tmov $9, %%edx\n\tmulx %%rax, %%rcx, %%rsi");
}

/* Some flags from one instruction, the others from another block. */
static void written_in_part(void)
{
    EXPECT_SAME(RUN(0, "stc\n\tjmp 1f\n\t1: mov $1, %%eax\n\tinc %%eax"), CF);
    EXPECT_SAME(RUN(CF, "mov $0, %%eax\n\tdec %%eax\n\tjmp 1f\n\t1:"), CF | PF | AF | SF);
    EXPECT_SAME(RUN(ALL, "clc\n\tcall 1f\n\tjmp 2f\n\t1: ret\n\t2:"), ALL & ~CF);
    EXPECT_SAME(RUN(ALL, "cmc\n\tjmp 1f\n\t1: cmc\n\tjmp 1f\n\t1: cmc"), ALL & ~CF);
    EXPECT_SAME(RUN(ALL, "mov $1, %%eax\n\tbt $4, %%eax") & (CF | ZF), ZF);
    EXPECT_SAME(RUN(0, "mov $0x80, %%al\n\trol $1, %%al") & (CF | OF | ZF), CF | OF);
    EXPECT_SAME(RUN(ZF | SF, "mov $0x80, %%al\n\trcr $1, %%al") & (CF | ZF | SF), ZF | SF);
    EXPECT_SAME(RUN(SF | OF | AF, "mov $-1, %%ecx\n\tmov $1, %%eax\n\tadcx %%ecx, %%eax"),
                SF | OF | AF | CF);
    EXPECT_SAME(RUN(SF | CF | AF, "mov $-1, %%ecx\n\tmov $1, %%eax\n\tadox %%ecx, %%eax"),
                SF | OF | AF | CF);
    EXPECT_SAME(RUN(OF, "mov $0xff00, %%eax\n\tsahf"), OF | SF | ZF | AF | PF | CF);
    EXPECT_SAME(RUN(ALL, "mov $6, %%eax\n\tucomisd %%xmm0, %%xmm0") & (OF | SF | AF), 0);
    /* Conditions over a branch: jumps taken on flags made before a call. */
    EXPECT_SAME(RUN(0, "mov $3, %%eax\n\tcmp $4, %%eax\n\tcall 1f\n\tjb 2f\n\tud2\n\t1: ret\n\t2:"),
                CF | AF | SF | PF);
}

/* A chain of carries over calls, returns and indirect jumps: a long addition. */
static void long_addition(void)
{
    uint64_t a[8], b[8], sum[8];
    for (int i = 0; i < 8; i++) {
        a[i] = ~0ull;
        b[i] = i == 0;
    }
    __asm__ volatile("sub $128, %%rsp\n\t"
                     "xor %%ecx, %%ecx\n\t"
                     "lea 3f(%%rip), %%r8\n\t"
                     "1: mov (%0,%%rcx,8), %%rax\n\t"
                     "call 2f\n\t"
                     "jmp *%%r8\n\t"
                     "2: adc (%1,%%rcx,8), %%rax\n\t"
                     "ret\n\t"
                     "3: mov %%rax, (%2,%%rcx,8)\n\t"
                     "lea 1(%%rcx), %%rcx\n\t"
                     "lea -8(%%rcx), %%rdx\n\t"
                     "xchg %%rcx, %%rdx\n\t"
                     "jrcxz 4f\n\t"
                     "xchg %%rcx, %%rdx\n\t"
                     "jmp 1b\n\t"
                     "4: setc %%al\n\t"
                     "movzbl %%al, %%eax\n\t"
                     "mov %%rax, %%r9\n\t"
                     "lea 128(%%rsp), %%rsp"
                     :
                     : "r"(a), "r"(b), "r"(sum)
                     : "rax", "rcx", "rdx", "r8", "r9", "memory", "cc");
    for (int i = 0; i < 8; i++) {
        EXPECT_SAME(sum[i], 0);
    }
}

/* R11 holds the flags after SYSCALL, RCX the return address; the flags themselves stay. */
static void after_system_call(void)
{
    for (unsigned i = 0; i < 64; i++) {
        uint64_t flags = pattern(i), r11, rcx, place, number = 39;
        __asm__ volatile("push %4\n\tpopfq\n\t"
                         "lea 1f(%%rip), %3\n\t"
                         "syscall\n\t"
                         "1: mov %%r11, %1\n\tmov %%rcx, %2"
                         : "+a"(number), "=&r"(r11), "=&r"(rcx), "=&r"(place)
                         : "r"(flags)
                         : "rcx", "r11", "memory", "cc");
        EXPECT_SAME(r11 & (ALL | DF), flags);
        EXPECT_SAME(rcx, place);
        EXPECT_SAME(number, getpid());
    }
}

static void direction(void)
{
    uint64_t flags;
    __asm__ volatile("sub $128, %%rsp\n\tstd\n\tcall 1f\n\tjmp 2f\n\t1: ret\n\t2: pushfq\n\t"
                     "pop %0\n\tcld\n\tlea 128(%%rsp), %%rsp"
                     : "=r"(flags)
                     :
                     : "memory", "cc");
    EXPECT(flags & DF);
    __asm__ volatile("pushfq\n\tpop %0" : "=r"(flags));
    EXPECT(!(flags & DF));
    /* Flags that user code may switch: AC and ID; others stay what they are. */
    uint64_t before;
    __asm__ volatile("pushfq\n\tpop %0" : "=r"(before));
    __asm__ volatile("push %1\n\tpopfq\n\tpushfq\n\tpop %0\n\tpush %2\n\tpopfq"
                     : "=&r"(flags)
                     : "r"(before | 1 << 21 | 3 << 12), "r"(before)
                     : "memory", "cc");
    EXPECT((flags & 1 << 21) && !(flags & 3 << 12) && (flags & 1 << 9));
}

int main(void)
{
    alarm(60);
    kept_by_branches();
    kept_by_others();
    written_in_part();
    long_addition();
    after_system_call();
    direction();
    return expect_done();
}
