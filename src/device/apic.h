/* SPDX-License-Identifier: MIT
 *
 * Local APICs, one for each vCPU, and the bus on which they, the IOAPIC and devices (MSI) send
 * messages to them.
 *
 * All functions are called with the machine's lock held, by any thread: a vCPU's for its own APIC
 * (which may deliver to others'), a device's, the main loop's. A CPU is told by `notify` that
 * something is waiting for it, also on another vCPU's thread: it sets a flag that its CPU looks at,
 * and no more. When the CPU gets to it, it takes the lock and asks local_apic_pending() and
 * local_apic_acknowledge(); the answer may have become "nothing" meanwhile.
 */
#ifndef DEVICE_APIC_H
#define DEVICE_APIC_H

#include "device/device.h"

enum { APIC_MAX = 256, APIC_BASE = 0xfee00000 };

/* How a message is delivered: the numbers of the interrupt command register, of local vector table
 * entries and of the IOAPIC. */
enum apic_delivery {
    APIC_FIXED = 0,
    APIC_LOWEST_PRIORITY = 1,
    APIC_SMI = 2,
    APIC_NMI = 4,
    APIC_INIT = 5,
    APIC_STARTUP = 6,
    APIC_EXTINT = 7, /* the vector is the 8259's */
};

#define APIC_BROADCAST UINT32_MAX

struct apic_message {
    uint32_t destination; /* an APIC's id, APIC_BROADCAST; or a logical destination */
    bool logical;
    bool level;       /* triggered: its end is told to the IOAPIC */
    bool deassert;    /* of INIT: does nothing but synchronise arbitration */
    uint8_t delivery; /* enum apic_delivery */
    uint8_t vector;
};

/* What a CPU is told. */
enum apic_notice {
    APIC_NOTICE_INTERRUPT, /* value 1: one is pending; 0: none any more */
    APIC_NOTICE_NMI,
    APIC_NOTICE_SMI,
    APIC_NOTICE_INIT, /* its APIC has been reset; see local_apic_waits_for_sipi() */
    APIC_NOTICE_SIPI, /* value: the vector, which says where to begin: vector << 12 */
};

/* A CPU, for its APIC. */
struct apic_cpu {
    void *opaque;
    void (*notify)(void *opaque, enum apic_notice what, unsigned value);
    /* The time of the machine's clock at which the CPU's time-stamp counter gets to the value, 0 if
     * that is over; TIMER_NEVER. NULL: there is no TSC-deadline mode. */
    uint64_t (*tsc_time)(void *opaque, uint64_t tsc);
};

struct local_apic;

struct apic_bus {
    struct board *board;
    struct local_apic *apic[APIC_MAX]; /* by the number of the vCPU */
    unsigned count;
    struct mem_region region; /* at APIC_BASE, 1 MiB: each CPU's own APIC, and MSI for devices */
    /* The number of the vCPU that is accessing memory now; negative: it is a device. */
    int (*current)(void *opaque);
    void *current_opaque;
    /* A level-triggered interrupt has ended: ioapic_eoi(). Or NULL. */
    void (*eoi)(void *opaque, uint8_t vector);
    void *eoi_opaque;
    /* The interrupt that LINT0 stands for: i8259_acknowledge(). Or NULL: spurious. */
    uint8_t (*acknowledge_external)(void *opaque);
    void *external_opaque;
    unsigned last; /* who got the last message of lowest priority */
};

/* Begins a bus without APICs, and maps its region into the board's memory. The functions behind
 * `current` may be filled in later. */
void apic_bus_init(struct apic_bus *bus, struct board *board, int (*current)(void *opaque),
                   void *opaque);
void apic_bus_free(struct apic_bus *bus);

/* Makes the APIC of vCPU `bus->count`. CPU 0 is the boot processor. The device is the board's. NULL
 * with a sentence. */
struct local_apic *local_apic_new(struct apic_bus *bus, uint32_t id, const struct apic_cpu *cpu,
                                  struct error *err);

/* --- messages --- */

void apic_bus_deliver(struct apic_bus *bus, const struct apic_message *message);

/* A message-signalled interrupt: a store of `data` at `address`, in the bus's region. */
void apic_bus_message(struct apic_bus *bus, uint64_t address, uint32_t data);

/* The lines that all APICs have in common: 0 is INTR of the 8259, 1 is NMI. */
struct irq apic_bus_line(struct apic_bus *bus, unsigned lint);

/* --- for the CPU --- */

/* Whether an interrupt is to be taken as soon as the CPU lets one in. */
bool local_apic_pending(const struct local_apic *apic);

/* Takes it: its vector, or -1 if there is none any more. */
int local_apic_acknowledge(struct local_apic *apic);

/* CR8: the upper half of the task priority, 0 to 15. */
unsigned local_apic_cr8(const struct local_apic *apic);
void local_apic_set_cr8(struct local_apic *apic, unsigned priority);

/* IA32_APIC_BASE. Setting: false if the CPU is to raise #GP. `address_bits`: of physical addresses.
 * The region stays where it is; another address is kept, and logged as a guest's error. */
uint64_t local_apic_base(const struct local_apic *apic);
bool local_apic_set_base(struct local_apic *apic, uint64_t value, unsigned address_bits);

/* Whether the APIC is enabled in IA32_APIC_BASE, which CPUID shows as a feature bit. */
bool local_apic_enabled(const struct local_apic *apic);
bool local_apic_is_x2apic(const struct local_apic *apic);
uint32_t local_apic_id(const struct local_apic *apic);

/* Model-specific registers 0x800 to 0x8ff. False: the CPU is to raise #GP. */
bool local_apic_read_msr(struct local_apic *apic, uint32_t msr, uint64_t *value);
bool local_apic_write_msr(struct local_apic *apic, uint32_t msr, uint64_t value);

/* IA32_TSC_DEADLINE. */
uint64_t local_apic_deadline(const struct local_apic *apic);
void local_apic_set_deadline(struct local_apic *apic, uint64_t tsc);

/* The relation between clock and time-stamp counter has changed (WRMSR to TSC or TSC_ADJUST). */
void local_apic_tsc_changed(struct local_apic *apic);

/* Whether the CPU stands until a start-up message: an application processor after reset or INIT. */
bool local_apic_waits_for_sipi(const struct local_apic *apic);

/* The performance counters' and the thermal sensor's entries. */
enum apic_local { APIC_LOCAL_PERFORMANCE, APIC_LOCAL_THERMAL };
void local_apic_raise(struct local_apic *apic, enum apic_local source);

/* `info lapic`, in QEMU's shape. */
void local_apic_print(struct local_apic *apic, struct strbuf *text);

#endif
