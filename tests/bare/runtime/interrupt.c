/* SPDX-License-Identifier: MIT
 *
 * Interrupt sources and controllers for tests: see interrupt.h.
 */
#include "interrupt.h"

#define APIC   UINT32_C(0xfee00000)
#define IOAPIC UINT32_C(0xfec00000)

volatile unsigned interrupt_count[256];
volatile word interrupt_ip[256];
static uint8_t ends[256];
static void (*more[256])(struct frame *frame);

static void counted(struct frame *frame)
{
    unsigned vector = (unsigned)frame->vector;
    interrupt_count[vector]++;
    interrupt_ip[vector] = frame->ip;
    if (more[vector]) {
        more[vector](frame);
    }
    if (ends[vector] == END_PIC) {
        pic_end(vector - PIC_BASE);
    } else if (ends[vector] == END_APIC) {
        apic_write(APIC_EOI, 0);
    }
}

void count_interrupt(unsigned vector, enum end end, void (*also)(struct frame *frame))
{
    interrupt_count[vector] = 0;
    ends[vector] = (uint8_t)end;
    more[vector] = also;
    trap_hook[vector] = counted;
}

static unsigned last, total;

static unsigned channel_2(void)
{
    outb(0x43, 0x80);
    unsigned low = inb(0x42);
    return low | (unsigned)inb(0x42) << 8;
}

void time_start(void)
{
    outb(0x61, (inb(0x61) & ~2) | 1);
    outb(0x43, 0xb4);
    outb(0x42, 0);
    outb(0x42, 0);
    last = channel_2();
    total = 0;
}

unsigned time_passed(void)
{
    unsigned now = channel_2();
    total += (last - now) & 0xffff;
    last = now;
    return total / 1193 * 1000 + total % 1193 * 1000 / 1193;
}

bool wait_interrupts(unsigned vector, unsigned count, unsigned limit)
{
    time_start();
    while (interrupt_count[vector] < count) {
        interrupts_on();
        interrupts_off();
        if (time_passed() > limit) {
            return false;
        }
    }
    return true;
}

void wait_time(unsigned microseconds, bool interrupts)
{
    time_start();
    while (time_passed() < microseconds) {
        if (interrupts) {
            interrupts_on();
            interrupts_off();
        }
    }
}

void pic_unmask(unsigned line)
{
    uint16_t port = line < 8 ? 0x21 : 0xa1;
    outb(port, inb(port) & ~(1 << (line & 7)));
    if (line >= 8) {
        outb(0x21, inb(0x21) & ~4);
    }
}

void pic_mask_all(void)
{
    outb(0x21, 0xff);
    outb(0xa1, 0xff);
}

void pic_end(unsigned line)
{
    if (line >= 8) {
        outb(0xa0, 0x20);
    }
    outb(0x20, 0x20);
}

uint8_t pic_requests(bool slave)
{
    uint16_t port = slave ? 0xa0 : 0x20;
    outb(port, 0x0a);
    return inb(port);
}

uint8_t pic_in_service(bool slave)
{
    uint16_t port = slave ? 0xa0 : 0x20;
    outb(port, 0x0b);
    return inb(port);
}

void timer_start(unsigned mode, unsigned count)
{
    outb(0x43, (uint8_t)(0x30 | mode << 1));
    outb(0x40, (uint8_t)count);
    outb(0x40, (uint8_t)(count >> 8));
}

uint32_t apic_read(enum apic offset)
{
    return *(volatile uint32_t *)(word)(APIC + offset);
}

void apic_write(enum apic offset, uint32_t value)
{
    *(volatile uint32_t *)(word)(APIC + offset) = value;
}

void apic_start(void)
{
    apic_write(APIC_SVR, 0x1ff);
    apic_write(APIC_TPR, 0);
    apic_write(APIC_TIMER, LVT_MASKED);
    apic_write(APIC_LINT0, LVT_EXTINT);
    apic_write(APIC_LINT1, LVT_NMI);
}

static bool bit_of(enum apic first, unsigned vector)
{
    return apic_read(first + (vector >> 5 << 4)) >> (vector & 31) & 1;
}

bool apic_requested(unsigned vector)
{
    return bit_of(APIC_IRR, vector);
}

bool apic_in_service(unsigned vector)
{
    return bit_of(APIC_ISR, vector);
}

uint32_t ioapic_read(unsigned index)
{
    *(volatile uint32_t *)(word)IOAPIC = index;
    return *(volatile uint32_t *)(word)(IOAPIC + 0x10);
}

void ioapic_write(unsigned index, uint32_t value)
{
    *(volatile uint32_t *)(word)IOAPIC = index;
    *(volatile uint32_t *)(word)(IOAPIC + 0x10) = value;
}

void ioapic_route(unsigned line, uint32_t low, unsigned destination)
{
    ioapic_write(0x10 + 2 * line, LVT_MASKED);
    ioapic_write(0x11 + 2 * line, destination << 24);
    ioapic_write(0x10 + 2 * line, low);
}
