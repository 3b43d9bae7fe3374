/* build: 64 */
/* SPDX-License-Identifier: MIT
 *
 * Interrupts through the local APIC and the I/O APIC: IPIs to oneself, priorities with TPR and CR8,
 * the timer in its three modes, LINT0 as ExtINT, edges and levels, the HPET, NMI, x2APIC (SDM vol.
 * 3, chapter 10).
 */
#include "runtime/interrupt.h"

static struct event event;

enum {
    LOW_VECTOR = 0x51,
    HIGH_VECTOR = 0x91,
    TIMER_VECTOR = 0x61,
    LINE_VECTOR = 0x71,
    SPURIOUS = 0xff
};
#define HPET UINT32_C(0xfed00000)

static void settle(void)
{
    interrupts_on();
    interrupts_off();
}

static void send_self(unsigned vector)
{
    apic_write(APIC_ICR, ICR_SELF | ICR_ASSERT | vector);
}

static uint8_t order[8];
static unsigned arrived;

static void note_order(struct frame *frame)
{
    order[arrived++ & 7] = (uint8_t)frame->vector;
}

static void local(void)
{
    test("APIC base: enabled, BSP, FEE00000");
    expect(rdmsr(MSR_APIC_BASE), 0xfee00900);
    test("APIC: version, ID as CPUID says");
    expect(apic_read(APIC_VERSION) & 0xf0, 0x10);
    expect(apic_read(APIC_ID) >> 24, cpuid(1, 0).b >> 24);
    test("IPI to itself by shorthand");
    count_interrupt(LOW_VECTOR, END_APIC, NULL);
    send_self(LOW_VECTOR);
    expect_true(apic_requested(LOW_VECTOR));
    settle();
    expect(interrupt_count[LOW_VECTOR], 1);
    expect_true(!apic_requested(LOW_VECTOR) && !apic_in_service(LOW_VECTOR));
    test("IPI to itself by ID");
    apic_write(APIC_ICR_HIGH, apic_read(APIC_ID));
    apic_write(APIC_ICR, ICR_ASSERT | LOW_VECTOR);
    settle();
    expect(interrupt_count[LOW_VECTOR], 2);
    test("IPI by logical destination, flat");
    apic_write(APIC_DFR, 0xffffffff);
    apic_write(APIC_LDR, 0x04000000);
    apic_write(APIC_ICR_HIGH, 0x06000000);
    apic_write(APIC_ICR, ICR_LOGICAL | ICR_ASSERT | LOW_VECTOR);
    settle();
    expect(interrupt_count[LOW_VECTOR], 3);
    apic_write(APIC_ICR_HIGH, 0x03000000);
    apic_write(APIC_ICR, ICR_LOGICAL | ICR_ASSERT | LOW_VECTOR);
    settle();
    expect(interrupt_count[LOW_VECTOR], 3);
    test("IPI to all: itself too");
    apic_write(APIC_ICR, ICR_ALL | ICR_ASSERT | LOW_VECTOR);
    settle();
    expect(interrupt_count[LOW_VECTOR], 4);
    test("IPI: not delivered with IF clear, once for two requests");
    send_self(LOW_VECTOR);
    send_self(LOW_VECTOR);
    wait_time(1000, false);
    expect(interrupt_count[LOW_VECTOR], 4);
    settle();
    settle();
    expect(interrupt_count[LOW_VECTOR], 5);
}

static void priorities(void)
{
    count_interrupt(LOW_VECTOR, END_APIC, note_order);
    count_interrupt(HIGH_VECTOR, END_APIC, note_order);
    test("priority: the higher vector first");
    arrived = 0;
    send_self(LOW_VECTOR);
    send_self(HIGH_VECTOR);
    settle();
    settle();
    expect(order[0], HIGH_VECTOR);
    expect(order[1], LOW_VECTOR);
    test("priority: TPR holds back its class and below");
    apic_write(APIC_TPR, 0x50);
    send_self(LOW_VECTOR);
    settle();
    expect(interrupt_count[LOW_VECTOR], 1);
    expect(apic_read(APIC_PPR), 0x50);
    send_self(HIGH_VECTOR);
    settle();
    expect(interrupt_count[HIGH_VECTOR], 2);
    apic_write(APIC_TPR, 0x4f);
    settle();
    expect(interrupt_count[LOW_VECTOR], 2);
    test("priority: CR8 is bits 4 to 7 of TPR");
    word value = 9;
    __asm__ volatile("mov %0, %%cr8" : : "r"(value));
    expect(apic_read(APIC_TPR), 0x90);
    send_self(HIGH_VECTOR);
    settle();
    expect(interrupt_count[HIGH_VECTOR], 2);
    apic_write(APIC_TPR, 0x35);
    __asm__ volatile("mov %%cr8, %0" : "=r"(value));
    expect(value, 3);
    settle();
    expect(interrupt_count[HIGH_VECTOR], 3);
    value = 0;
    __asm__ volatile("mov %0, %%cr8" : : "r"(value));
    test("priority: what is in service holds back its class and below");
    count_interrupt(HIGH_VECTOR, END_NONE, NULL);
    count_interrupt(LOW_VECTOR, END_APIC, NULL);
    send_self(HIGH_VECTOR);
    settle();
    expect(interrupt_count[HIGH_VECTOR], 1);
    expect_true(apic_in_service(HIGH_VECTOR));
    expect(apic_read(APIC_PPR), HIGH_VECTOR & 0xf0);
    send_self(LOW_VECTOR);
    send_self(HIGH_VECTOR);
    settle();
    expect(interrupt_count[LOW_VECTOR], 0);
    expect(interrupt_count[HIGH_VECTOR], 1);
    apic_write(APIC_EOI, 0);
    settle();
    expect(interrupt_count[HIGH_VECTOR], 2);
    expect(interrupt_count[LOW_VECTOR], 0);
    apic_write(APIC_EOI, 0);
    settle();
    expect(interrupt_count[LOW_VECTOR], 1);
    test("an illegal vector is told by ESR");
    deviation("qemu: the vector is delivered");
    count_interrupt(5, END_APIC, NULL);
    apic_write(APIC_ESR, 0);
    send_self(5);
    apic_write(APIC_ESR, 0);
    expect_true(apic_read(APIC_ESR) & 0x60);
    apic_write(APIC_ESR, 0);
    apic_write(APIC_ESR, 0);
    expect(apic_read(APIC_ESR), 0);
    settle();
    expect(interrupt_count[5], 0);
    test("an interrupt wakes HLT");
    count_interrupt(LOW_VECTOR, END_APIC, NULL);
    send_self(LOW_VECTOR);
    __asm__ volatile("sti; hlt; cli");
    expect(interrupt_count[LOW_VECTOR], 1);
    test("software disabled: no interrupt is taken, LVTs are masked");
    deviation("qemu: LVTs stay");
    apic_write(APIC_SVR, 0xff);
    expect(apic_read(APIC_LINT0) & LVT_MASKED, LVT_MASKED);
    apic_write(APIC_TIMER, TIMER_VECTOR);
    expect(apic_read(APIC_TIMER) & LVT_MASKED, LVT_MASKED);
    apic_start();
}

static void timer(void)
{
    test("APIC timer: one-shot");
    count_interrupt(TIMER_VECTOR, END_APIC, NULL);
    apic_write(APIC_DIVIDE, 3); /* by 16 */
    apic_write(APIC_TIMER, TIMER_VECTOR);
    apic_write(APIC_INITIAL, 0x400000);
    expect_true(apic_read(APIC_CURRENT) > 0);
    expect_true(apic_read(APIC_CURRENT) <= 0x400000);
    expect_true(wait_interrupts(TIMER_VECTOR, 1, 5000000));
    expect(apic_read(APIC_CURRENT), 0);
    wait_time(5000, true);
    expect(interrupt_count[TIMER_VECTOR], 1);
    test("APIC timer: periodic");
    apic_write(APIC_TIMER, TIMER_VECTOR | LVT_PERIODIC);
    apic_write(APIC_INITIAL, 0x4000);
    expect_true(wait_interrupts(TIMER_VECTOR, 6, 2000000));
    test("APIC timer: masked");
    apic_write(APIC_TIMER, TIMER_VECTOR | LVT_PERIODIC | LVT_MASKED);
    settle();
    unsigned count = interrupt_count[TIMER_VECTOR];
    wait_time(20000, true);
    expect(interrupt_count[TIMER_VECTOR], count);
    test("APIC timer: an initial count of 0 stops it");
    apic_write(APIC_TIMER, TIMER_VECTOR | LVT_PERIODIC);
    apic_write(APIC_INITIAL, 0);
    wait_time(10000, true);
    expect_true(interrupt_count[TIMER_VECTOR] <= count + 1);
    expect(apic_read(APIC_CURRENT), 0);
    test("APIC timer: TSC deadline, or the mode is reserved");
    deviation("bochs: the MSR stays");
    if (cpuid(1, 0).c >> 24 & 1) {
        count_interrupt(TIMER_VECTOR, END_APIC, NULL);
        apic_write(APIC_TIMER, TIMER_VECTOR | LVT_DEADLINE);
        __asm__ volatile("mfence");
        uint64_t deadline = rdtsc() + 1000000000000;
        wrmsr(MSR_TSC_DEADLINE, deadline);
        expect(rdmsr(MSR_TSC_DEADLINE), deadline);
        deadline = rdtsc() + 1000000;
        wrmsr(MSR_TSC_DEADLINE, deadline);
        expect_true(wait_interrupts(TIMER_VECTOR, 1, 2000000));
        expect_true(rdtsc() >= deadline);
        expect(rdmsr(MSR_TSC_DEADLINE), 0);
        wait_time(5000, true);
        expect(interrupt_count[TIMER_VECTOR], 1);
        wrmsr(MSR_TSC_DEADLINE, 1); /* long past */
        expect_true(wait_interrupts(TIMER_VECTOR, 2, 100000));
        wrmsr(MSR_TSC_DEADLINE, rdtsc() + 100000000000);
        wrmsr(MSR_TSC_DEADLINE, 0);
        wait_time(5000, true);
        expect(interrupt_count[TIMER_VECTOR], 2);
        apic_write(APIC_INITIAL, 0x1000); /* ignored in this mode */
        expect(apic_read(APIC_CURRENT), 0);
    } else {
        expect_true(!(apic_read(APIC_TIMER) & LVT_DEADLINE));
    }
    apic_write(APIC_TIMER, LVT_MASKED);
}

static void extint(void)
{
    test("LINT0 as ExtINT: the 8259's vector");
    count_interrupt(PIC_BASE, END_PIC, NULL);
    timer_start(2, TIMER_HZ / 1000);
    pic_unmask(0);
    expect_true(wait_interrupts(PIC_BASE, 2, 100000));
    test("LINT0 masked: none");
    deviation("bochs: LINT0 is not looked at");
    pic_mask_all();
    settle();
    unsigned count = interrupt_count[PIC_BASE];
    apic_write(APIC_LINT0, LVT_EXTINT | LVT_MASKED);
    pic_unmask(0);
    wait_time(10000, true);
    expect(interrupt_count[PIC_BASE], count);
    apic_write(APIC_LINT0, LVT_EXTINT);
    expect_true(wait_interrupts(PIC_BASE, count + 1, 100000));
    pic_mask_all();
    test("LINT0 as a fixed interrupt");
    deviation("bochs: LINT0 is not looked at");
    apic_write(APIC_LINT0, LINE_VECTOR);
    count_interrupt(LINE_VECTOR, END_APIC, NULL);
    timer_start(0, 100);
    pic_unmask(0);
    expect_true(wait_interrupts(LINE_VECTOR, 1, 100000));
    pic_mask_all();
    outb(0x20, 0x0c); /* takes the request off */
    inb(0x20);
    outb(0x20, 0x20);
    apic_write(APIC_LINT0, LVT_EXTINT | LVT_MASKED);
}

static uint8_t cmos(uint8_t index)
{
    outb(0x70, index);
    return inb(0x71);
}

static void set_cmos(uint8_t index, uint8_t value)
{
    outb(0x70, index);
    outb(0x71, value);
}

static void read_rtc(struct frame *frame)
{
    (void)frame;
    cmos(0x0c);
}

static void third_reads(struct frame *frame)
{
    (void)frame;
    if (interrupt_count[LINE_VECTOR] >= 3) {
        cmos(0x0c);
        set_cmos(0x0b, cmos(0x0b) & 0x0f);
        cmos(0x0c);
    }
}

static void io(void)
{
    uint8_t b = cmos(0x0b) & 0x0f;
    test("I/O APIC: version, 24 entries, masked at reset");
    expect(ioapic_read(1) >> 16 & 0xff, 23);
    expect(ioapic_read(0x10 + 2 * 5) & LVT_MASKED, LVT_MASKED);
    test("I/O APIC: the 8254 at pin 2, edge");
    count_interrupt(LINE_VECTOR, END_APIC, NULL);
    timer_start(2, TIMER_HZ / 1000);
    ioapic_route(2, LINE_VECTOR, apic_read(APIC_ID) >> 24);
    expect_true(wait_interrupts(LINE_VECTOR, 5, 200000));
    test("I/O APIC: masked");
    ioapic_route(2, LVT_MASKED | LINE_VECTOR, 0);
    settle();
    unsigned count = interrupt_count[LINE_VECTOR];
    wait_time(10000, true);
    expect(interrupt_count[LINE_VECTOR], count);
    test("I/O APIC: logical destination, lowest priority");
    apic_write(APIC_DFR, 0xffffffff);
    apic_write(APIC_LDR, 0x01000000);
    ioapic_route(2, LINE_VECTOR | ICR_LOGICAL | 1 << 8, 1);
    expect_true(wait_interrupts(LINE_VECTOR, count + 2, 200000));
    ioapic_route(2, LVT_MASKED, 0);
    timer_start(0, 0xffff);
    settle();
    test("I/O APIC: an edge while masked, of the RTC, is lost or comes late, once");
    count_interrupt(LINE_VECTOR, END_APIC, read_rtc);
    ioapic_route(8, LVT_MASKED | LINE_VECTOR, 0);
    cmos(0x0c);
    set_cmos(0x0a, 0x26);
    set_cmos(0x0b, b | 0x40);
    wait_time(10000, true);
    expect(interrupt_count[LINE_VECTOR], 0);
    ioapic_route(8, LINE_VECTOR, 0);
    cmos(0x0c);
    expect_true(wait_interrupts(LINE_VECTOR, 5, 300000));
    set_cmos(0x0b, b);
    cmos(0x0c);
    settle();
    test("I/O APIC: a level comes again after each EOI while it is there");
    deviation("bochs: not from the RTC");
    count_interrupt(LINE_VECTOR, END_APIC, third_reads);
    ioapic_route(8, LINE_VECTOR | ICR_LEVEL, 0);
    set_cmos(0x0b, b | 0x40);
    expect_true(wait_interrupts(LINE_VECTOR, 3, 300000));
    wait_time(5000, true);
    expect(interrupt_count[LINE_VECTOR], 3);
    test("I/O APIC: remote IRR until EOI, TMR");
    deviation("bochs: not from the RTC");
    count_interrupt(LINE_VECTOR, END_NONE, NULL);
    set_cmos(0x0b, b | 0x40);
    expect_true(wait_interrupts(LINE_VECTOR, 1, 300000));
    expect(ioapic_read(0x10 + 2 * 8) >> 14 & 1, 1);
    expect(apic_read(APIC_TMR + (LINE_VECTOR >> 5 << 4)) >> (LINE_VECTOR & 31) & 1, 1);
    set_cmos(0x0b, b);
    cmos(0x0c);
    apic_write(APIC_EOI, 0);
    expect(ioapic_read(0x10 + 2 * 8) >> 14 & 1, 0);
    settle();
    expect(interrupt_count[LINE_VECTOR], 1);
    ioapic_route(8, LVT_MASKED, 0);
}

static uint32_t hpet_read(unsigned offset)
{
    return *(volatile uint32_t *)(word)(HPET + offset);
}

static void hpet_write(unsigned offset, uint32_t value)
{
    *(volatile uint32_t *)(word)(HPET + offset) = value;
}

/* Its output stays low: in mode 0 it does until a count was written. */
static void timer_still(void)
{
    timer_start(0, 20);
    wait_time(1000, false);
    outb(0x43, 0x30);
}

static void hpet(void)
{
    test("HPET: capabilities, counter");
    deviation("bochs: there is none");
    uint32_t period = hpet_read(4);
    expect_true(period > 0 && period <= 100000000);
    expect_true(hpet_read(0) >> 8 & 31);
    hpet_write(0x10, 0);
    hpet_write(0xf0, 0);
    hpet_write(0xf4, 0);
    hpet_write(0x10, 1);
    wait_time(1000, false);
    uint32_t counted = hpet_read(0xf0);
    expect_true(counted > 0);
    wait_time(1000, false);
    expect_true(hpet_read(0xf0) > counted);
    test("HPET: a comparator, once");
    deviation("bochs: there is none");
    uint32_t millisecond = (uint32_t)(1000000000000ull / period);
    /* The first pin it may go to. If it is 2, the 8254 must keep still there. */
    unsigned pin = 0;
    for (uint32_t pins = hpet_read(0x124); !(pins & 1) && pin < 23; pins >>= 1) {
        pin++;
    }
    expect_true(hpet_read(0x124));
    timer_still();
    count_interrupt(LINE_VECTOR, END_APIC, NULL);
    ioapic_route(pin, LINE_VECTOR, 0);
    hpet_write(0x12c, 0);
    hpet_write(0x128, hpet_read(0xf0) + 2 * millisecond);
    hpet_write(0x120, pin << 9 | 1 << 8 | 1 << 2);
    expect_true(wait_interrupts(LINE_VECTOR, 1, 200000));
    wait_time(5000, true);
    expect(interrupt_count[LINE_VECTOR], 1);
    hpet_write(0x120, 0);
    test("HPET: comparator 0, periodic");
    deviation("bochs: there is none");
    timer_still();
    hpet_write(0x10, 0);
    hpet_write(0xf0, 0);
    hpet_write(0xf4, 0);
    count_interrupt(LINE_VECTOR, END_APIC, NULL);
    ioapic_route(pin, LINE_VECTOR, 0);
    hpet_write(0x100, pin << 9 | 1 << 8 | 1 << 6 | 1 << 3 | 1 << 2);
    hpet_write(0x108, millisecond);
    hpet_write(0x108, millisecond);
    hpet_write(0x10, 1);
    expect_true(wait_interrupts(LINE_VECTOR, 5, 300000));
    expect_true(time_passed() >= 3000);
    hpet_write(0x100, 0);
    ioapic_route(pin, LVT_MASKED, 0);
    settle();
    test("HPET: level, until its status is cleared");
    deviation("bochs: there is none");
    timer_still();
    count_interrupt(LINE_VECTOR, END_NONE, NULL);
    ioapic_route(pin, LINE_VECTOR | ICR_LEVEL, 0);
    hpet_write(0x120, pin << 9 | 1 << 8 | 1 << 2 | 1 << 1);
    hpet_write(0x12c, 0);
    hpet_write(0x128, hpet_read(0xf0) + millisecond);
    expect_true(wait_interrupts(LINE_VECTOR, 1, 200000));
    expect(hpet_read(0x20) & 2, 2);
    hpet_write(0x20, 2);
    expect(hpet_read(0x20) & 2, 0);
    apic_write(APIC_EOI, 0);
    settle();
    expect(interrupt_count[LINE_VECTOR], 1);
    hpet_write(0x120, 0);
    ioapic_route(pin, LVT_MASKED, 0);
    test("HPET: legacy replacement, comparator 0 in place of the 8254");
    deviation("bochs: there is none");
    count_interrupt(LINE_VECTOR, END_APIC, NULL);
    timer_still();
    ioapic_route(2, LINE_VECTOR, 0);
    hpet_write(0x100, 1 << 8 | 1 << 2);
    hpet_write(0x10, 3);
    hpet_write(0x10c, 0);
    hpet_write(0x108, hpet_read(0xf0) + millisecond);
    expect_true(wait_interrupts(LINE_VECTOR, 1, 30000));
    hpet_write(0x100, 0);
    hpet_write(0x10, 0);
    ioapic_route(2, LVT_MASKED, 0);
}

/* --- NMI */

static volatile unsigned nmis, nested;

static void nmi_again(struct frame *frame)
{
    (void)frame;
    nmis++;
    if (nmis == 1) {
        apic_write(APIC_ICR_HIGH, apic_read(APIC_ID));
        apic_write(APIC_ICR, ICR_NMI | ICR_ASSERT);
        wait_time(1000, false);
        nested = nmis; /* still 1: blocked until IRET */
    }
}

static void nmi(void)
{
    test("NMI: with IF clear");
    nmis = nested = 0;
    trap_hook[VECTOR_NMI] = nmi_again;
    apic_write(APIC_ICR_HIGH, apic_read(APIC_ID));
    apic_write(APIC_ICR, ICR_NMI | ICR_ASSERT);
    wait_time(1000, false);
    expect_true(nmis > 0);
    test("NMI: blocked until IRET, then delivered");
    expect(nested, 1);
    expect(nmis, 2);
    trap_hook[VECTOR_NMI] = NULL;
    test("NMI: wakes HLT");
    trap_hook[VECTOR_NMI] = nmi_again;
    nmis = 5;
    timer_start(0, 5000);
    ioapic_route(2, LVT_NMI, apic_read(APIC_ID) >> 24);
    __asm__ volatile("cli; hlt");
    expect(nmis, 6);
    ioapic_route(2, LVT_MASKED, 0);
    trap_hook[VECTOR_NMI] = NULL;
}

/* --- x2APIC */

CODE(64, do_rdmsr, "rdmsr");
CODE(64, do_wrmsr, "wrmsr");

static void try_rdmsr(uint32_t number)
{
    struct context context = kernel_context(do_rdmsr);
    context.cx = number;
    run(&context, &event);
}

static void try_wrmsr(uint32_t number, uint64_t value)
{
    struct context context = kernel_context(do_wrmsr);
    context.cx = number;
    context.ax = (uint32_t)value;
    context.dx = value >> 32;
    run(&context, &event);
}

static void count_x2(struct frame *frame)
{
    (void)frame;
    wrmsr(0x80b, 0);
}

static void x2apic(void)
{
    word base = rdmsr(MSR_APIC_BASE);
    test("x2APIC: its MSRs are #GP before it is switched on");
    deviation("qemu: they read as 0");
    try_rdmsr(0x802);
    expect_event(&event, VECTOR_GP, 0, do_rdmsr);
    if (!(cpuid(1, 0).c >> 21 & 1)) {
        test("x2APIC: #GP where CPUID has none");
        deviation("qemu: accepted");
        try_wrmsr(MSR_APIC_BASE, base | BIT(10));
        expect_event(&event, VECTOR_GP, 0, do_wrmsr);
        return;
    }
    test("x2APIC: ID, version, logical ID");
    wrmsr(MSR_APIC_BASE, base | BIT(10));
    expect(rdmsr(0x802), cpuid(1, 0).b >> 24);
    expect(rdmsr(0x803) & 0xf0, 0x10);
    expect(rdmsr(0x80d), 1);
    test("x2APIC: self IPI");
    count_interrupt(LOW_VECTOR, END_NONE, count_x2);
    wrmsr(0x83f, LOW_VECTOR);
    settle();
    expect(interrupt_count[LOW_VECTOR], 1);
    test("x2APIC: ICR of 64 bits");
    deviation("bochs: reads as 0");
    wrmsr(0x830, rdmsr(0x802) << 32 | ICR_ASSERT | LOW_VECTOR);
    settle();
    expect(interrupt_count[LOW_VECTOR], 2);
    expect(rdmsr(0x830) & 0xff, LOW_VECTOR);
    test("x2APIC: the timer");
    count_interrupt(TIMER_VECTOR, END_NONE, count_x2);
    wrmsr(0x83e, 3);
    wrmsr(0x832, TIMER_VECTOR);
    wrmsr(0x838, 0x8000);
    expect_true(wait_interrupts(TIMER_VECTOR, 1, 1000000));
    test("x2APIC: #GP by EOI of other than 0, by read-only registers, by reserved ones");
    deviation("bochs: not all of them");
    static const struct {
        uint32_t number;
        uint64_t value;
    } rows[] = {{0x80b, 1}, {0x802, 0}, {0x803, 0},     {0x80d, 0},
                {0x80e, 0}, {0x831, 0}, {0x808, 0x100}, {0x83f, 0x100}};
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        try_wrmsr(rows[i].number, rows[i].value);
        expect_event(&event, VECTOR_GP, 0, do_wrmsr);
    }
    try_rdmsr(0x80b);
    expect_event(&event, VECTOR_GP, 0, do_rdmsr);
    try_rdmsr(0x83f);
    expect_event(&event, VECTOR_GP, 0, do_rdmsr);
    test("x2APIC: #GP by going back to xAPIC directly");
    try_wrmsr(MSR_APIC_BASE, base);
    expect_event(&event, VECTOR_GP, 0, do_wrmsr);
    test("x2APIC: off, and xAPIC again");
    deviation("bochs: the APIC stays off");
    try_wrmsr(MSR_APIC_BASE, base & ~BIT(11));
    expect_done(&event);
    expect(cpuid(1, 0).d >> 9 & 1, 0);
    try_wrmsr(MSR_APIC_BASE, base);
    expect_done(&event);
    expect(apic_read(APIC_ID) >> 24, cpuid(1, 0).b >> 24);
    expect(cpuid(1, 0).d >> 9 & 1, 1);
    apic_start();
    test("APIC base: #GP by EXTD without EN, by reserved bits");
    deviation("bochs: accepted");
    try_wrmsr(MSR_APIC_BASE, (base & ~BIT(11)) | BIT(10));
    expect_event(&event, VECTOR_GP, 0, do_wrmsr);
    try_wrmsr(MSR_APIC_BASE, base | 1);
    expect_event(&event, VECTOR_GP, 0, do_wrmsr);
}

void program(void)
{
    apic_start();
    local();
    priorities();
    timer();
    extint();
    io();
    hpet();
    nmi();
    x2apic();
}
