/* build: 64 */
/* SPDX-License-Identifier: MIT
 *
 * MSRs: known ones and what they hold, reserved bits, unknown ones; the TSC with its offset; MTRR
 * and PAT; RDTSCP, RDPID; MONITOR and MWAIT (SDM vol. 3, chapters 2 and 12; vol. 4).
 */
#include "runtime/interrupt.h"

static struct event event;

CODE(64, do_rdmsr, "rdmsr");
CODE(64, do_wrmsr, "wrmsr");
CODE(64, do_rdtscp, "rdtscp");
CODE(64, do_rdpid, "rdpid %rax");
CODE(64, do_monitor, "monitor");
CODE(64, do_mwait, ".globl do_mwait_at; do_mwait_at: mwait");
MARK(do_mwait_at);
CODE(64, do_rdpmc, "rdpmc");

static void try_read(uint32_t number)
{
    struct context context = kernel_context(do_rdmsr);
    context.cx = number;
    run(&context, &event);
}

static void try_write(uint32_t number, uint64_t value)
{
    struct context context = kernel_context(do_wrmsr);
    context.cx = number;
    context.ax = (uint32_t)value;
    context.dx = value >> 32;
    run(&context, &event);
}

/* What is written is read; then the value it had comes back. */
static void known(void)
{
    static const struct {
        const char *name;
        uint32_t number;
        uint64_t value;
    } rows[] = {
        {"SYSENTER_CS", MSR_SYSENTER_CS, 0x1234},
        {"SYSENTER_ESP", MSR_SYSENTER_ESP, 0xffff800012345678},
        {"SYSENTER_EIP", MSR_SYSENTER_EIP, 0x00007fff12345678},
        {"STAR", MSR_STAR, 0x0123456789abcdef},
        {"LSTAR", MSR_LSTAR, 0xffffffff81000000},
        {"CSTAR", MSR_CSTAR, 0xffffffff82000000},
        {"SFMASK", MSR_SFMASK, 0x47700},
        {"KERNEL_GS_BASE", MSR_KERNEL_GS_BASE, 0xffff888000000000},
        {"TSC_AUX", MSR_TSC_AUX, 0x12345678},
        {"PAT", MSR_PAT, 0x0007040600070406},
        {"MTRRphysBase0", 0x200, 0xc0000000 | 0},
        {"MTRRphysMask0", 0x201, 0xc0000800},
        {"MTRRphysBase7", 0x20e, 0x10000 | 6},
        {"MTRRfix64K_00000", 0x250, 0x0606060606060606},
        {"MTRRfix4K_F8000", 0x26f, 0x0505050505050505},
        {"MTRRdefType", 0x2ff, 0xc06},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test(rows[i].name);
        uint64_t old = rdmsr(rows[i].number);
        try_write(rows[i].number, rows[i].value);
        expect_done(&event);
        expect(rdmsr(rows[i].number), rows[i].value);
        wrmsr(rows[i].number, old);
    }
    test("PAT after reset");
    expect(rdmsr(MSR_PAT), 0x0007040600070406);
    test("MTRRcap: variable ranges, fixed ranges, WC");
    expect(rdmsr(0xfe) & 0xff, 8);
    expect(rdmsr(0xfe) & 0x500, 0x500);
    test("read-only, or readable at all");
    deviation("bochs: 8B and 1D9 are missing");
    static const uint32_t readable[] = {0x8b, 0xfe, 0x1d9};
    for (unsigned i = 0; i < sizeof readable / sizeof readable[0]; i++) {
        try_read(readable[i]);
        expect_same("vector", event.vector, DONE);
        expect_same("number", event.at.cx, readable[i]);
    }
}

static void forbidden(void)
{
    static const struct {
        const char *name;
        uint32_t number;
        uint64_t value;
        const char *deviation;
    } rows[] = {
        {"#GP: PAT of type 2", MSR_PAT, 0x0007040600070402, "qemu: not checked"},
        {"#GP: PAT of type 3", MSR_PAT, 0x0307040600070406, "qemu: not checked"},
        {"#GP: PAT of type 8", MSR_PAT, 0x0007040800070406, "qemu: not checked"},
        {"#GP: MTRRphysBase of type 2", 0x200, 2, "qemu: not checked"},
        {"#GP: MTRRphysMask above the physical addresses", 0x201, BIT(60), "qemu: not checked"},
        {"#GP: MTRRfix of type 7", 0x250, 7, "qemu: not checked"},
        {"#GP: MTRRdefType of type 3", 0x2ff, 3, "qemu: not checked"},
        {"#GP: MTRRdefType, reserved bit", 0x2ff, 0x1006, "qemu: not checked"},
        {"#GP: MTRRcap is read-only", 0xfe, 0, "qemu: ignored"},
        {"#GP: LSTAR not canonical", MSR_LSTAR, BIT(60), "qemu: not checked"},
        {"#GP: FS_BASE not canonical", MSR_FS_BASE, BIT(60), "qemu: not checked"},
        {"#GP: GS_BASE not canonical", MSR_GS_BASE, BIT(60), "qemu: not checked"},
        {"#GP: KERNEL_GS_BASE not canonical", MSR_KERNEL_GS_BASE, BIT(60), "qemu: not checked"},
        {"#GP: EFER, a reserved bit", MSR_EFER, BIT(20) | 0x500, "qemu: ignored"},
        {"#GP: EFER, LMA changed is ignored, upper half", MSR_EFER, BIT(40) | 0x500,
         "qemu: ignored"},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test(rows[i].name);
        deviation(rows[i].deviation);
        uint64_t old = rdmsr(rows[i].number);
        try_write(rows[i].number, rows[i].value);
        expect_event(&event, VECTOR_GP, 0, do_wrmsr);
        if (rdmsr(rows[i].number) != old) {
            wrmsr(rows[i].number, old);
        }
    }
    test("#GP by an unknown MSR: read");
    deviation("qemu: unknown ones read as 0");
    static const uint32_t unknown[] = {0x12345678, 0x3, 0xc0001234, 0x40000001, 0xffffffff};
    for (unsigned i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        try_read(unknown[i]);
        expect_event(&event, VECTOR_GP, 0, do_rdmsr);
    }
    test("#GP by an unknown MSR: write");
    deviation("qemu: ignored");
    for (unsigned i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        try_write(unknown[i], 0);
        expect_event(&event, VECTOR_GP, 0, do_wrmsr);
    }
}

static void time_stamp(void)
{
    test("TSC: goes on");
    uint64_t first = rdtsc();
    wait_time(1000, false);
    expect_true(rdtsc() > first);
    test("TSC: written");
    deviation("qemu: ignored");
    wrmsr(MSR_TSC, 0x1000000000);
    uint64_t now = rdtsc();
    expect_true(now >= 0x1000000000 && now < 0x1100000000);
    expect_true(rdmsr(MSR_TSC) >= now);
    test("TSC_ADJUST: moves with a write of the TSC, and moves it");
    deviation("qemu: TSC_ADJUST reads as 0 where CPUID has none");
    if (cpuid(7, 0).b >> 1 & 1) {
        wrmsr(MSR_TSC_ADJUST, 0);
        now = rdtsc();
        wrmsr(MSR_TSC_ADJUST, 0x100000000000);
        uint64_t moved = rdtsc() - now;
        expect_true(moved >= 0x100000000000 && moved < 0x110000000000);
        wrmsr(MSR_TSC, rdtsc() - 0x80000000000);
        uint64_t adjust = rdmsr(MSR_TSC_ADJUST);
        expect_true(adjust < 0x80000000000 + 0x1000000000 && adjust > 0x80000000000 - 0x1000000000);
        wrmsr(MSR_TSC_ADJUST, 0);
        expect_true(rdtsc() - now < 0x1000000000);
    } else {
        try_read(MSR_TSC_ADJUST);
        expect_event(&event, VECTOR_GP, 0, do_rdmsr);
    }
    test("RDTSCP and RDPID: TSC_AUX");
    wrmsr(MSR_TSC_AUX, 0x4711);
    struct context context = user_context(do_rdtscp);
    context.cx = ~0ul;
    run(&context, &event);
    expect_done(&event);
    expect(event.at.cx, 0x4711);
    context = user_context(do_rdpid);
    run(&context, &event);
    if (cpuid(7, 0).c >> 22 & 1) {
        expect_done(&event);
        expect(event.at.ax, 0x4711);
    } else {
        expect_event(&event, VECTOR_UD, 0, do_rdpid);
    }
    test("RDPMC at CPL 3 without CR4.PCE");
    context = user_context(do_rdpmc);
    run(&context, &event);
    expect_event(&event, VECTOR_GP, 0, do_rdpmc);
}

static void monitor(void)
{
    struct context context = kernel_context(do_monitor);
    context.ax = 0x80000;
    test("MONITOR, or #UD where CPUID has none");
    if (!(cpuid(1, 0).c >> 3 & 1)) {
        run(&context, &event);
        expect_event(&event, VECTOR_UD, 0, do_monitor);
        return;
    }
    run(&context, &event);
    expect_done(&event);
    test("MONITOR: #GP with ECX, #PF where there is no page");
    deviation("qemu: no #PF");
    context.cx = 1;
    run(&context, &event);
    expect_event(&event, VECTOR_GP, 0, do_monitor);
    context.cx = 0;
    context.ax = 0x7f0000000000;
    run(&context, &event);
    expect_page_fault(&event, 0, do_monitor, 0x7f0000000000);
    test("MONITOR and MWAIT at CPL 3: #UD");
    context = user_context(do_monitor);
    context.ax = 0x80000;
    run(&context, &event);
    expect_event(&event, VECTOR_UD, 0, do_monitor);
    context.ip = (word)do_mwait;
    run(&context, &event);
    expect_event(&event, VECTOR_UD, 0, do_mwait);
    test("MWAIT: #GP with a reserved bit of ECX");
    context = kernel_context(do_mwait);
    context.cx = 4;
    run(&context, &event);
    expect_event(&event, VECTOR_GP, 0, do_mwait);
    test("MWAIT without MONITOR does not wait");
    deviation("qemu: it does");
    count_interrupt(PIC_BASE, END_PIC, NULL);
    pic_unmask(0);
    context.cx = 0;
    context.flags |= FLAG_IF;
    *(volatile uint8_t *)0x80000 = 1;
    timer_start(0, 0xffff);
    run(&context, &event);
    expect_done(&event);
    expect(interrupt_count[PIC_BASE], 0);
    context.flags &= ~(word)FLAG_IF;
    test("MWAIT ends with an interrupt");
    count_interrupt(PIC_BASE, END_PIC, NULL);
    timer_start(0, 5000);
    pic_unmask(0);
    __asm__ volatile("monitor" : : "a"(0x80000), "c"(0), "d"(0));
    __asm__ volatile("sti; mwait; cli" : : "a"(0), "c"(0));
    expect_true(wait_interrupts(PIC_BASE, 1, 100000));
    test("MWAIT with ECX 1 ends with an interrupt though IF is clear");
    deviation("qemu: #GP");
    if (cpuid(5, 0).c & 2) {
        count_interrupt(PIC_BASE, END_PIC, NULL);
        timer_start(0, 5000);
        __asm__ volatile("monitor" : : "a"(0x80000), "c"(0), "d"(0));
        context.cx = 1;
        run(&context, &event);
        expect_done(&event);
        expect(interrupt_count[PIC_BASE], 0);
        expect_true(wait_interrupts(PIC_BASE, 1, 100000));
    } else {
        context.cx = 1;
        run(&context, &event);
        expect_event(&event, VECTOR_GP, 0, do_mwait);
    }
    pic_mask_all();
}

void program(void)
{
    apic_start();
    known();
    forbidden();
    time_stamp();
    monitor();
}
