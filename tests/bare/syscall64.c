/* build: 64 */
/* SPDX-License-Identifier: MIT
 *
 * SYSCALL, SYSRET, SYSENTER, SYSEXIT, SWAPGS and the FS and GS bases. Where makers differ, CPUID's
 * vendor decides what is expected (SDM vol. 2; AMD64 APM vol. 2, 6.1).
 */
#include "runtime/bare.h"

static struct event event;
static bool amd;

CODE(64, do_syscall, "mov $0x11, %eax; syscall; .globl syscall_next; syscall_next: nop");
MARK(syscall_next);
CODE(64, do_syscall_only, ".globl do_syscall_only_at; do_syscall_only_at: syscall");
MARK(do_syscall_only_at);
CODE(
    32, do_syscall32,
    ".globl do_syscall32_at; do_syscall32_at: syscall; .globl syscall32_next; syscall32_next: nop");
MARK(do_syscall32_at);
MARK(syscall32_next);
CODE(64, arrive, "mov $0x77, %ebx");
CODE(64, arrive32, "mov $0x32, %ebx");
CODE(64, arrive_sysretq, "sysretq");
CODE(64, arrive_sysretl, "sysretl");
CODE(64, do_sysret,
     "mov $user_code, %ecx; mov $0x202, %r11d; .globl do_sysret_at; do_sysret_at: sysretq");
CODE(64, do_sysretl, "mov $user_code32, %ecx; mov $0x202, %r11d; sysretl");
CODE(64, do_sysret_bad,
     "mov $1, %ecx; shl $62, %rcx; mov $0x202, %r11d; .globl do_sysret_bad_at; do_sysret_bad_at: "
     "sysretq");
CODE(64, do_sysret_rf, "mov $user_code, %ecx; mov $0x257ed7, %r11d; sysretq");
MARK(do_sysret_at);
MARK(do_sysret_bad_at);
CODE(64, user_code, "mov %cs, %eax; mov %ss, %edx; pushfq; pop %rbx");
CODE(32, user_code32, "mov %cs, %eax; mov %ss, %edx");
CODE(64, do_sysenter, ".globl do_sysenter_at; do_sysenter_at: sysenter");
MARK(do_sysenter_at);
CODE(32, do_sysenter32, ".globl do_sysenter32_at; do_sysenter32_at: sysenter");
MARK(do_sysenter32_at);
CODE(64, do_sysexit,
     "mov $user_code, %edx; mov %rsp, %rcx; .globl do_sysexit_at; do_sysexit_at: rex.w sysexit");
CODE(64, do_sysexit32,
     "mov $user_code32, %edx; mov %rsp, %rcx; .globl do_sysexit32_at; do_sysexit32_at: .byte 0x0f, "
     "0x35");
MARK(do_sysexit_at);
MARK(do_sysexit32_at);
CODE(64, do_wrfsbase, ".globl do_wrfsbase_at; do_wrfsbase_at: wrfsbase %rcx; rdfsbase %rax");
MARK(do_wrfsbase_at);

CODE(64, do_wrmsr, "wrmsr");

static void go(const char *code, bool user, bool compat)
{
    struct context context =
        user ? compat ? user_context32(code) : user_context(code) : kernel_context(code);
    run(&context, &event);
}

static void syscalls(void)
{
    word efer = rdmsr(MSR_EFER);
    test("SYSCALL without EFER.SCE is #UD");
    go(do_syscall_only, true, false);
    expect_event(&event, VECTOR_UD, 0, do_syscall_only_at);
    test("EFER.SCE");
    wrmsr(MSR_EFER, efer | 1);
    expect(rdmsr(MSR_EFER), efer | 1);
    wrmsr(MSR_STAR, (uint64_t)CODE64 << 32 | (uint64_t)USER_CODE32 << 48);
    wrmsr(MSR_LSTAR, (word)arrive);
    wrmsr(MSR_CSTAR, (word)arrive32);
    wrmsr(MSR_SFMASK, FLAG_IF | FLAG_DF | FLAG_CF);
    test("SYSCALL: RIP, CS, SS, RCX, R11, flags");
    deviation("qemu: status flags are lost");
    struct context context = user_context(do_syscall);
    context.flags |= FLAG_IF | FLAG_DF | FLAG_CF | FLAG_ZF;
    run(&context, &event);
    expect_done(&event);
    expect(event.at.bx, 0x77);
    expect(event.at.cs, CODE64);
    expect(event.at.ss, CODE64 + 8);
    expect(event.at.cx, (word)syscall_next);
    expect(event.at.r11, FLAG_IF | FLAG_DF | FLAG_CF | FLAG_ZF | FLAG_ONE);
    expect(event.at.flags & (FLAG_IF | FLAG_DF | FLAG_CF | FLAG_ZF), FLAG_ZF);
    expect(event.at.sp, (word)low_stack_end);
    test("SYSCALL: segments do not come from the GDT");
    uint64_t kept = gdt[CODE64 / 8];
    set_descriptor(CODE64, 0);
    wrmsr(MSR_STAR, (uint64_t)0x300 << 32 | (uint64_t)USER_CODE32 << 48);
    set_descriptor(CODE64, kept);
    go(do_syscall, true, false);
    expect_done(&event);
    expect(event.at.cs, 0x300);
    expect(event.at.ss, 0x308);
    wrmsr(MSR_STAR, (uint64_t)CODE64 << 32 | (uint64_t)USER_CODE32 << 48);
    test("SYSCALL and SYSRETQ");
    wrmsr(MSR_LSTAR, (word)arrive_sysretq);
    context.flags = FLAG_ONE | FLAG_CF | FLAG_IF;
    run(&context, &event);
    expect_done(&event);
    expect(event.at.cs, USER_CODE64);
    expect(event.at.ss, USER_DATA);
    expect(event.at.flags & (FLAG_CF | FLAG_IF), FLAG_CF | FLAG_IF);
    expect(event.at.ax, 0x11);
    test("SYSCALL from compatibility mode: to CSTAR, or #UD");
    go(do_syscall32, true, true);
    if (amd) {
        expect_done(&event);
        expect(event.at.bx, 0x32);
        expect(event.at.cx, (word)syscall32_next);
    } else {
        expect_event(&event, VECTOR_UD, 0, do_syscall32_at);
    }
    test("SYSRETQ");
    go(do_sysret, false, false);
    expect_done(&event);
    expect(event.at.cs, USER_CODE64);
    expect(event.at.ax, USER_CODE64);
    expect(event.at.dx, USER_DATA);
    test("SYSRETL to compatibility mode");
    go(do_sysretl, false, false);
    expect_done(&event);
    expect(event.at.cs, USER_CODE32);
    expect(event.at.ax, USER_CODE32);
    expect(event.at.dx, USER_DATA);
    test("SYSRETQ loads all flags but RF and VM");
    go(do_sysret_rf, false, false);
    expect(event.at.bx & (FLAG_RF | FLAG_VM | FLAG_ID | FLAG_AC | FLAG_NT | FLAG_IOPL),
           (FLAG_ID | FLAG_AC | FLAG_NT | FLAG_IOPL) & 0x257ed7);
    test("SYSRETQ to what is not canonical");
    deviation("qemu: at the target, at CPL 3");
    go(do_sysret_bad, false, false);
    expect_event(&event, VECTOR_GP, 0, NULL);
    if (event.at.ip != BIT(62) || !amd) { /* AMD's may fault at the target, at CPL 3 */
        expect(event.at.ip, (word)do_sysret_bad_at);
        expect(event.at.cs, CODE64);
    }
    test("SYSRET at CPL 3 is #GP");
    go(do_sysret, true, false);
    expect_event(&event, VECTOR_GP, 0, do_sysret_at);
    test("LSTAR must be canonical");
    static const unsigned msrs[] = {MSR_LSTAR,       MSR_CSTAR,          MSR_FS_BASE,
                                    MSR_GS_BASE,     MSR_KERNEL_GS_BASE, MSR_SYSENTER_EIP,
                                    MSR_SYSENTER_ESP};
    deviation("qemu: not checked");
    for (unsigned i = 0; i < sizeof msrs / sizeof msrs[0]; i++) {
        context = kernel_context(do_wrmsr);
        context.cx = msrs[i];
        context.dx = 0x10000000;
        run(&context, &event);
        expect_event(&event, VECTOR_GP, 0, do_wrmsr);
    }
    wrmsr(MSR_EFER, efer);
    test("SYSRET without EFER.SCE is #UD");
    go(do_sysret, false, false);
    expect_event(&event, VECTOR_UD, 0, do_sysret_at);
}

static void sysenters(void)
{
    test("SYSENTER with a null CS is #GP");
    wrmsr(MSR_SYSENTER_CS, 0);
    go(do_sysenter, true, false);
    expect_event(&event, amd ? VECTOR_UD : VECTOR_GP, 0, do_sysenter_at);
    wrmsr(MSR_SYSENTER_CS, CODE32);
    wrmsr(MSR_SYSENTER_ESP, (word)trap_stack_end);
    wrmsr(MSR_SYSENTER_EIP, (word)arrive);
    test("SYSENTER from 64-bit mode");
    go(do_sysenter, true, false);
    if (amd) {
        expect_event(&event, VECTOR_UD, 0, do_sysenter_at);
    } else {
        expect_done(&event);
        expect(event.at.cs, CODE32);
        expect(event.at.ss, CODE32 + 8);
        expect(event.at.bx, 0x77);
        expect(event.at.sp, (word)trap_stack_end);
    }
    test("SYSENTER from compatibility mode");
    deviation("qemu: allowed");
    go(do_sysenter32, true, true);
    if (amd) {
        expect_event(&event, VECTOR_UD, 0, do_sysenter32_at);
    } else {
        expect_done(&event);
        expect(event.at.bx, 0x77);
    }
    test("SYSEXIT to 64-bit mode");
    go(do_sysexit, false, false);
    if (amd) {
        expect_event(&event, VECTOR_UD, 0, do_sysexit_at);
    } else {
        expect_done(&event);
        expect(event.at.cs, CODE32 + 32 + 3);
        expect(event.at.ss, CODE32 + 40 + 3);
        expect(event.at.ax, CODE32 + 32 + 3);
    }
    test("SYSEXIT to compatibility mode");
    go(do_sysexit32, false, false);
    if (amd) {
        expect_event(&event, VECTOR_UD, 0, do_sysexit32_at);
    } else {
        expect_done(&event);
        expect(event.at.cs, CODE32 + 16 + 3);
        expect(event.at.ss, CODE32 + 24 + 3);
    }
    test("SYSEXIT at CPL 3");
    go(do_sysexit, true, false);
    expect_event(&event, VECTOR_GP, 0, do_sysexit_at); /* AMD's look at CPL before the mode too */
}

static uint64_t first_word = 0x1111, second_word = 0x2222;

static void bases(void)
{
    test("SWAPGS");
    wrmsr(MSR_GS_BASE, (word)&first_word);
    wrmsr(MSR_KERNEL_GS_BASE, (word)&second_word);
    struct context context;
    uint64_t a, b;
    __asm__ volatile("swapgs; mov %%gs:0, %0; swapgs; mov %%gs:0, %1" : "=r"(a), "=r"(b));
    expect(a, 0x2222);
    expect(b, 0x1111);
    expect(rdmsr(MSR_GS_BASE), (word)&first_word);
    test("a load of GS loads its base from the descriptor");
    set_descriptor(FREE, descriptor(0x12345000, 0xfffff, SEGMENT_DATA, 12));
    __asm__ volatile("mov %0, %%gs" : : "r"(FREE));
    expect(rdmsr(MSR_GS_BASE), 0x12345000);
    expect(rdmsr(MSR_KERNEL_GS_BASE), (word)&second_word);
    __asm__ volatile("mov %0, %%gs" : : "r"(0));
    wrmsr(MSR_KERNEL_GS_BASE, 0);
    test("bases of 64 bits");
    wrmsr(MSR_FS_BASE, 0xffff800000000000);
    expect(rdmsr(MSR_FS_BASE), 0xffff800000000000);
    wrmsr(MSR_FS_BASE, 0);
    test("WRFSBASE without CR4.FSGSBASE is #UD");
    go(do_wrfsbase, true, false);
    expect_event(&event, VECTOR_UD, 0, do_wrfsbase_at);
    test("WRFSBASE and RDFSBASE at CPL 3");
    write_cr4(read_cr4() | CR4_FSGSBASE);
    context = user_context(do_wrfsbase);
    context.cx = 0x123456789000;
    run(&context, &event);
    expect_done(&event);
    expect(event.at.ax, 0x123456789000);
    test("WRFSBASE of what is not canonical");
    deviation("qemu: not checked");
    context.cx = BIT(60);
    run(&context, &event);
    expect_event(&event, VECTOR_GP, 0, do_wrfsbase_at);
    write_cr4(read_cr4() & ~(word)CR4_FSGSBASE);
}

void program(void)
{
    struct cpuid vendor = cpuid(0, 0);
    amd = vendor.b == 0x68747541; /* "Auth" */
    syscalls();
    sysenters();
    bases();
}
