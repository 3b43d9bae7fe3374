/* SPDX-License-Identifier: MIT
 *
 * Interrupt sources and controllers for tests: hooks that count, time, the 8259 pair, the 8254 and
 * the local APIC.
 */
#ifndef TESTS_BARE_INTERRUPT_H
#define TESTS_BARE_INTERRUPT_H

#include "bare.h"

enum { PIC_BASE = 0x20, TIMER_HZ = 1193182 };

/* --- counting */

/* How often each vector came, and the RIP it came to last. */
extern volatile unsigned interrupt_count[256];
extern volatile word interrupt_ip[256];

enum end { END_NONE, END_PIC, END_APIC };
/* From now on the vector is counted, `also` (may be NULL) is called, and the interrupt is ended. */
void count_interrupt(unsigned vector, enum end end, void (*also)(struct frame *frame));

/* --- time: channel 2 of the 8254, which needs no interrupt */

void time_start(void);
/* Microseconds since time_start(); to be called at least each 50 ms. */
unsigned time_passed(void);

/* Waits with interrupts on until a vector was counted so often, or `limit` microseconds. */
bool wait_interrupts(unsigned vector, unsigned count, unsigned limit);
/* Waits so long with interrupts on, or off. */
void wait_time(unsigned microseconds, bool interrupts);

static inline void interrupts_on(void)
{
    __asm__ volatile("sti; nop" : : : "memory");
}

static inline void interrupts_off(void)
{
    __asm__ volatile("cli" : : : "memory");
}

/* --- 8259 */

void pic_unmask(unsigned line);
void pic_mask_all(void);
void pic_end(unsigned line);
uint8_t pic_requests(bool slave);
uint8_t pic_in_service(bool slave);

/* --- 8254, channel 0 */

void timer_start(unsigned mode, unsigned count);

/* --- local APIC */

enum apic {
    APIC_ID = 0x20,
    APIC_VERSION = 0x30,
    APIC_TPR = 0x80,
    APIC_PPR = 0xa0,
    APIC_EOI = 0xb0,
    APIC_LDR = 0xd0,
    APIC_DFR = 0xe0,
    APIC_SVR = 0xf0,
    APIC_ISR = 0x100,
    APIC_TMR = 0x180,
    APIC_IRR = 0x200,
    APIC_ESR = 0x280,
    APIC_ICR = 0x300,
    APIC_ICR_HIGH = 0x310,
    APIC_TIMER = 0x320,
    APIC_LINT0 = 0x350,
    APIC_LINT1 = 0x360,
    APIC_ERROR = 0x370,
    APIC_INITIAL = 0x380,
    APIC_CURRENT = 0x390,
    APIC_DIVIDE = 0x3e0,
};

enum {
    LVT_MASKED = 1 << 16,
    LVT_EXTINT = 7 << 8,
    LVT_NMI = 4 << 8,
    LVT_PERIODIC = 1 << 17,
    LVT_DEADLINE = 2 << 17,
    ICR_NMI = 4 << 8,
    ICR_INIT = 5 << 8,
    ICR_STARTUP = 6 << 8,
    ICR_LOGICAL = 1 << 11,
    ICR_PENDING = 1 << 12,
    ICR_ASSERT = 1 << 14,
    ICR_LEVEL = 1 << 15,
    ICR_SELF = 1 << 18,
    ICR_ALL = 2 << 18,
    ICR_OTHERS = 3 << 18,
};

uint32_t apic_read(enum apic offset);
void apic_write(enum apic offset, uint32_t value);
/* On, with spurious vector ff, LINT0 as ExtINT unmasked, LINT1 as NMI, nothing else unmasked. */
void apic_start(void);
bool apic_requested(unsigned vector);
bool apic_in_service(unsigned vector);

/* --- I/O APIC */

uint32_t ioapic_read(unsigned index);
void ioapic_write(unsigned index, uint32_t value);
/* The entry of a line; `low`: vector, mode, polarity (bit 13), trigger (bit 15), mask (bit 16). */
void ioapic_route(unsigned line, uint32_t low, unsigned destination);

#endif
