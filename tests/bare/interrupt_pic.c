/* SPDX-License-Identifier: MIT
 *
 * Interrupts through the 8259 pair: of the 8254, the RTC, the serial port, the keyboard controller;
 * when they are taken: shadows of STI and MOV SS, HLT, REP.
 */

/* options: -serial null */

#include "runtime/interrupt.h"

static struct event event;

enum {
    TIMER = PIC_BASE,
    KEYBOARD = PIC_BASE + 1,
    SERIAL = PIC_BASE + 4,
    RTC = PIC_BASE + 8,
    MOUSE = PIC_BASE + 12
};

static void quiet(void)
{
    interrupts_off();
    pic_mask_all();
    timer_start(0, 0xffff);
    for (unsigned i = 0; i < 16; i++) { /* what is still latched */
        pic_end(8);
    }
    outb(0x20, 0x11);
    outb(0x21, PIC_BASE);
    outb(0x21, 4);
    outb(0x21, 1);
    outb(0xa0, 0x11);
    outb(0xa1, PIC_BASE + 8);
    outb(0xa1, 2);
    outb(0xa1, 1);
    pic_mask_all();
    for (unsigned i = 0; i < 256; i++) {
        trap_hook[i] = NULL;
    }
}

/* IRQ 0 is pending, once. */
static void pend(void)
{
    quiet();
    timer_start(0, 20);
    for (int i = 0; i < 1000000 && !(pic_requests(false) & 1); i++) {
    }
    pic_unmask(0);
}

static void timer(void)
{
    test("8254: mode 2, 1 kHz");
    quiet();
    count_interrupt(TIMER, END_PIC, NULL);
    timer_start(2, TIMER_HZ / 1000);
    pic_unmask(0);
    expect_true(wait_interrupts(TIMER, 20, 200000));
    unsigned passed = time_passed();
    expect_true(passed >= 15000);
    quiet();
    test("8254: mode 0, one interrupt");
    count_interrupt(TIMER, END_PIC, NULL);
    timer_start(0, 1193);
    pic_unmask(0);
    expect_true(wait_interrupts(TIMER, 1, 100000));
    expect_true(time_passed() >= 500);
    wait_time(10000, true);
    expect(interrupt_count[TIMER], 1);
    test("8254: mode 3");
    quiet();
    count_interrupt(TIMER, END_PIC, NULL);
    timer_start(3, TIMER_HZ / 1000);
    pic_unmask(0);
    expect_true(wait_interrupts(TIMER, 5, 100000));
    test("8259: a masked line waits as a request");
    pend();
    count_interrupt(TIMER, END_PIC, NULL);
    outb(0x21, 0xff);
    interrupts_on();
    interrupts_off();
    expect(interrupt_count[TIMER], 0);
    expect(pic_requests(false) & 1, 1);
    pic_unmask(0);
    interrupts_on();
    interrupts_off();
    expect(interrupt_count[TIMER], 1);
    expect(pic_requests(false) & 1, 0);
    test("8259: without an end of interrupt the next waits");
    quiet();
    count_interrupt(TIMER, END_NONE, NULL);
    timer_start(2, TIMER_HZ / 1000);
    pic_unmask(0);
    expect_true(wait_interrupts(TIMER, 1, 100000));
    wait_time(5000, true);
    expect(interrupt_count[TIMER], 1);
    expect(pic_in_service(false), 1);
    pic_end(0);
    expect(pic_in_service(false), 0);
    expect_true(wait_interrupts(TIMER, 2, 100000));
    test("8259: poll mode takes the request without an interrupt");
    deviation("bochs: nothing is polled");
    pend();
    outb(0x20, 0x0c);
    expect(inb(0x20), 0x80);
    expect(pic_in_service(false), 1);
    pic_end(0);
    test("8259: automatic end of interrupt");
    quiet();
    outb(0x20, 0x11);
    outb(0x21, PIC_BASE);
    outb(0x21, 4);
    outb(0x21, 3);
    count_interrupt(TIMER, END_NONE, NULL);
    timer_start(2, TIMER_HZ / 1000);
    outb(0x21, 0xfe);
    expect_true(wait_interrupts(TIMER, 3, 100000));
    expect(pic_in_service(false), 0);
    quiet();
}

static void keyboard_command(uint8_t command)
{
    for (int i = 0; i < 100000 && inb(0x64) & 2; i++) {
    }
    outb(0x64, command);
}

static void keyboard_data(uint8_t data)
{
    for (int i = 0; i < 100000 && inb(0x64) & 2; i++) {
    }
    outb(0x60, data);
}

static uint8_t keyboard_byte, mouse_byte;

static void read_keyboard(struct frame *frame)
{
    (void)frame;
    keyboard_byte = inb(0x60);
}

static void read_mouse(struct frame *frame)
{
    (void)frame;
    mouse_byte = inb(0x60);
}

static void drain_keyboard(void)
{
    for (int i = 0; i < 100 && inb(0x64) & 1; i++) {
        inb(0x60);
    }
}

static void keyboard(void)
{
    test("keyboard controller: self test");
    quiet();
    drain_keyboard();
    keyboard_command(0xaa);
    for (int i = 0; i < 100000 && !(inb(0x64) & 1); i++) {
    }
    expect(inb(0x60), 0x55);
    test("keyboard: IRQ 1");
    keyboard_command(0x60);
    keyboard_data(0x03 | 0x04);
    drain_keyboard();
    count_interrupt(KEYBOARD, END_PIC, read_keyboard);
    pic_unmask(1);
    keyboard_command(0xd2);
    keyboard_data(0x5a);
    expect_true(wait_interrupts(KEYBOARD, 1, 100000));
    expect(keyboard_byte, 0x5a);
    test("mouse: IRQ 12, through the second controller");
    count_interrupt(MOUSE, END_PIC, read_mouse);
    pic_unmask(12);
    keyboard_command(0xd3);
    keyboard_data(0x5b);
    expect_true(wait_interrupts(MOUSE, 1, 100000));
    expect(mouse_byte, 0x5b);
    test("keyboard: the echo command comes with an interrupt");
    keyboard_byte = 0;
    count_interrupt(KEYBOARD, END_PIC, read_keyboard);
    keyboard_command(0xae);
    keyboard_data(0xee);
    expect_true(wait_interrupts(KEYBOARD, 1, 500000));
    expect(keyboard_byte, 0xee);
    quiet();
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

static volatile uint8_t rtc_flags;

static void read_rtc(struct frame *frame)
{
    (void)frame;
    rtc_flags = cmos(0x0c);
}

/* No source, nothing latched. */
static void rtc_off(uint8_t b)
{
    set_cmos(0x0b, b);
    cmos(0x0c);
    interrupts_on();
    interrupts_off();
    cmos(0x0c);
}

static void clock(void)
{
    uint8_t b = cmos(0x0b);
    test("RTC: periodic, 1024 Hz");
    quiet();
    set_cmos(0x0a, 0x26);
    cmos(0x0c);
    count_interrupt(RTC, END_PIC, read_rtc);
    pic_unmask(8);
    set_cmos(0x0b, (b & 0x0f) | 0x40);
    expect_true(wait_interrupts(RTC, 20, 300000));
    expect_true(time_passed() >= 12000);
    expect(rtc_flags & 0xc0, 0xc0);
    rtc_off(b & 0x0f);
    test("RTC: no more until register C is read");
    count_interrupt(RTC, END_PIC, NULL);
    set_cmos(0x0b, (b & 0x0f) | 0x40);
    expect_true(wait_interrupts(RTC, 1, 300000));
    wait_time(10000, true);
    expect(interrupt_count[RTC], 1);
    expect(cmos(0x0c) & 0xc0, 0xc0);
    rtc_off(b & 0x0f);
    test("RTC: update ended");
    count_interrupt(RTC, END_PIC, read_rtc);
    set_cmos(0x0b, (b & 0x0f) | 0x10);
    expect_true(wait_interrupts(RTC, 1, 2500000));
    expect(rtc_flags & 0x90, 0x90);
    rtc_off(b & 0x0f);
    test("RTC: alarm each second");
    count_interrupt(RTC, END_PIC, read_rtc);
    set_cmos(1, 0xff);
    set_cmos(3, 0xff);
    set_cmos(5, 0xff);
    set_cmos(0x0b, (b & 0x0f) | 0x20);
    expect_true(wait_interrupts(RTC, 1, 2500000));
    expect(rtc_flags & 0xa0, 0xa0);
    set_cmos(0x0b, b);
    cmos(0x0c);
    quiet();
}

static uint8_t serial_reason, serial_received;

static void read_serial(struct frame *frame)
{
    (void)frame;
    serial_reason = inb(0x3fa);
    if ((serial_reason & 0x0f) == 4) {
        serial_received = inb(0x3f8);
    }
}

static void serial(void)
{
    test("serial: the empty transmitter interrupts when that is enabled");
    quiet();
    outb(0x3fb, 3);
    outb(0x3fa, 0);
    outb(0x3f9, 0);
    outb(0x3fc, 0x0b);
    inb(0x3fa);
    count_interrupt(SERIAL, END_PIC, read_serial);
    pic_unmask(4);
    outb(0x3f9, 2);
    expect_true(wait_interrupts(SERIAL, 1, 100000));
    expect(serial_reason & 0x0f, 2);
    test("serial: and again when a byte is gone");
    outb(0x3f8, 'x');
    expect_true(wait_interrupts(SERIAL, 2, 100000));
    expect(serial_reason & 0x0f, 2);
    test("serial: a byte received, in loop-back");
    deviation("bochs: loop-back is missing");
    outb(0x3f9, 0);
    outb(0x3fc, 0x1b);
    count_interrupt(SERIAL, END_PIC, read_serial);
    outb(0x3f9, 1);
    outb(0x3f8, 0x42);
    wait_time(20000, true);
    /* In loop-back OUT2 does not reach the pin: the line may stay silent. */
    expect(inb(0x3f8) | serial_received, 0x42);
    outb(0x3f9, 0);
    outb(0x3fc, 0x0b);
    quiet();
}

/* --- when an interrupt is taken: IRQ 0 is pending, and RIP tells */

CODE(32, sti_one, "sti; inc %eax; .globl sti_one_next; sti_one_next: inc %eax; inc %eax");
MARK(sti_one_next);
CODE(32, sti_cli, "sti; cli; nop; nop");
CODE(32, sti_sti, "sti; sti; .globl sti_sti_next; sti_sti_next: nop; nop");
MARK(sti_sti_next);
CODE(32, sti_hlt, "sti; hlt; .globl sti_hlt_next; sti_hlt_next: nop");
MARK(sti_hlt_next);
CODE(32, popf_on, "pushf; orl $0x200, (%esp); popf; .globl popf_on_next; popf_on_next: nop; nop");
MARK(popf_on_next);

CODE(32, pop_ss, "push %ss; sti; pop %ss; nop; .globl pop_ss_next; pop_ss_next: nop; nop");
MARK(pop_ss_next);
CODE(32, iret_on,
     "pushf; orl $0x200, (%esp); push %cs; push $iret_on_next; iret; .globl iret_on_next; "
     "iret_on_next: nop; nop");
MARK(iret_on_next);
CODE(32, sti_fault, "sti; .globl sti_fault_at; sti_fault_at: ud2");
MARK(sti_fault_at);
CODE(32, halt_only, "hlt; .globl halt_next; halt_next: nop");
MARK(halt_next);
CODE(32, rep_movs, ".globl rep_movs_at; rep_movs_at: rep movsb");
MARK(rep_movs_at);

static void boundaries(void)
{
    static const struct {
        const char *name, *code, *ip;
    } rows[] = {
        {"STI: taken behind the next instruction", sti_one, sti_one_next},
        {"STI, STI: the second casts no shadow", sti_sti, sti_sti_next},
        {"STI, HLT: taken behind HLT", sti_hlt, sti_hlt_next},
        {"POPF: taken at once", popf_on, popf_on_next},
        {"IRET: taken at once", iret_on, iret_on_next},
        {"POP SS: taken behind the next instruction", pop_ss, pop_ss_next},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test(rows[i].name);
        if (rows[i].code == pop_ss) {
            deviation("qemu: not in the shadow of STI");
        }
        pend();
        struct context context = kernel_context(rows[i].code);
        run(&context, &event);
        expect_event(&event, TIMER, 0, rows[i].ip);
        pic_end(0);
    }
    test("STI, CLI: not taken");
    pend();
    struct context context = kernel_context(sti_cli);
    run(&context, &event);
    expect_done(&event);
    test("STI before an instruction that faults: the fault comes first");
    pend();
    context = kernel_context(sti_fault);
    run(&context, &event);
    expect_event(&event, VECTOR_UD, 0, sti_fault_at);
    test("IF at the start: taken before the first instruction");
    pend();
    context = kernel_context(sti_one);
    context.flags |= FLAG_IF;
    run(&context, &event);
    expect_event(&event, TIMER, 0, sti_one);
    pic_end(0);
    test("at CPL 3: taken there, on the stack of CPL 0");
    pend();
    context = user_context(sti_one);
    context.flags |= FLAG_IF;
    run(&context, &event);
    expect_event(&event, TIMER, 0, sti_one);
    expect(event.at.cs, USER_CODE32);
    expect(event.at.sp, (word)low_stack_end);
    pic_end(0);
    test("HLT waits for the interrupt");
    quiet();
    timer_start(0, 5000);
    pic_unmask(0);
    context = kernel_context(halt_only);
    context.flags |= FLAG_IF;
    run(&context, &event);
    expect_event(&event, TIMER, 0, halt_next);
    pic_end(0);
    test("in virtual-8086 mode");
    pend();
    context =
        (struct context){.ip = (word)sti_one, .flags = FLAG_ONE | FLAG_VM | FLAG_IF, .sp = 0x9000};
    run(&context, &event);
    expect_event(&event, TIMER, 0, sti_one);
    expect(event.at.flags & FLAG_VM, FLAG_VM);
    pic_end(0);
    test("REP MOVSB is interrupted and goes on");
    quiet();
    count_interrupt(TIMER, END_PIC, NULL);
    timer_start(2, 1000);
    pic_unmask(0);
    memory_set((void *)0x400000, 0x5a, 0x1000);
    context = kernel_context(rep_movs);
    context.flags |= FLAG_IF;
    context.si = 0x400000;
    context.di = 0x400001;
    context.cx = 0x800000;
    *(volatile uint8_t *)0x400000 = 0x77;
    run(&context, &event);
    expect_done(&event);
    expect(event.at.cx, 0);
    expect(event.at.si, 0xc00000);
    expect(*(volatile uint8_t *)0xc00000, 0x77);
    expect_true(interrupt_count[TIMER] > 0);
    quiet();
    test("in real mode: vector 20 of the table at 0");
    real_vectors();
    pend();
    context = real_context(sti_one);
    context.flags |= FLAG_IF;
    run_real(&context, &event);
    expect(event.vector, TIMER);
    pic_end(0);
    quiet();
}

/* SDM vol. 3, 10.4.3: LINT0 is INTR then. */
static void without_apic(void)
{
    test("the local APIC switched off: INTR reaches the CPU");
    uint64_t base = rdmsr(MSR_APIC_BASE);
    wrmsr(MSR_APIC_BASE, base & ~BIT(11));
    count_interrupt(TIMER, END_PIC, NULL);
    timer_start(2, TIMER_HZ / 1000);
    pic_unmask(0);
    expect_true(wait_interrupts(TIMER, 5, 200000));
    wrmsr(MSR_APIC_BASE, base);
    quiet();
}

void program(void)
{
    apic_start();
    timer();
    keyboard();
    clock();
    serial();
    boundaries();
    without_apic();
}
