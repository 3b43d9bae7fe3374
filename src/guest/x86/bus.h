/* SPDX-License-Identifier: MIT
 *
 * What leaves the CPU: memory, ports, its local APIC, time. A board fills in the functions; they
 * take the machine's lock where they need it. All are called by the thread that runs the vCPU and
 * must not call back into it, except x86_request() and x86_withdraw().
 */
#ifndef GUEST_X86_BUS_H
#define GUEST_X86_BUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct x86_event_record; /* system.h */

enum cpu_flush {
    CPU_FLUSH_ALL,     /* everything, global pages too */
    CPU_FLUSH_SPACE,   /* what is not global and of this PCID */
    CPU_FLUSH_SPACES,  /* what is not global */
    CPU_FLUSH_PAGE,    /* one address, of this PCID or global */
    CPU_FLUSH_PAGE_OF, /* one address, of this PCID, global ones may stay */
    CPU_FLUSH_RIGHTS,  /* nothing moved, but what may be accessed is decided anew: WP, PKRU... */
};

struct cpu_bus {
    void *opaque;

    /* The host address of the byte of RAM at a physical address, from which the rest of its page
     * of 4 KiB follows; NULL: there is no RAM, or, for `write`, none that can be written. With
     * `write` the page is going to be written to: whoever must know has been told. */
    uint8_t *(*host)(void *opaque, uint64_t physical, bool write);
    /* What is not RAM; at most 8 bytes at once, within a page. */
    void (*read)(void *opaque, uint64_t physical, void *to, size_t size);
    void (*write)(void *opaque, uint64_t physical, const void *from, size_t size);

    /* 1, 2 or 4 bytes. */
    uint32_t (*in)(void *opaque, uint16_t port, unsigned size);
    void (*out)(void *opaque, uint16_t port, uint32_t value, unsigned size);

    /* Local APIC. CR8: bits 4 to 7 of the task priority. */
    uint8_t (*read_tpr)(void *opaque);
    void (*write_tpr)(void *opaque, uint8_t cr8);
    /* APIC_BASE, TSC_DEADLINE, 800 to 8FF; false: #GP. */
    bool (*read_msr)(void *opaque, uint32_t number, uint64_t *value);
    bool (*write_msr)(void *opaque, uint32_t number, uint64_t value);
    /* The vector of the pending interrupt, which is in service then; -1: there is none any more. */
    int (*acknowledge)(void *opaque);

    /* Ticks of the TSC since the machine's reset, the same for all CPUs. */
    uint64_t (*tsc)(void *opaque);

    /* Translations are void. Called after the registers have changed. NULL: nobody wants to know.
     */
    void (*flush)(void *opaque, enum cpu_flush what, uint64_t address, uint16_t pcid);

    /* The CPU is in shutdown: a board resets the machine. May be called once a shutdown. */
    void (*shutdown)(void *opaque);
    /* An x87 exception while CR0.NE is clear: FERR# is asserted, which a PC makes IRQ 13 of. */
    void (*float_error)(void *opaque);
    /* x86_system.activity is another. NULL: nobody wants to know. */
    void (*activity)(void *opaque);

    /* An exception or interrupt is about to be delivered: for -d int (x86_print_event()). `to` is
     * not known yet. NULL: nobody wants to know. */
    void (*entering)(void *opaque, const struct x86_event_record *record);

    /* WBINVD, INVD, CLFLUSH reach nobody: there are no caches. */
};

#endif
