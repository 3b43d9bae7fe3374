/* SPDX-License-Identifier: MIT
 *
 * A machine for tests of the CPU in system mode: 4 MiB of memory, a bus that notes what happens on
 * it, descriptor tables, page tables. Instructions are given as bytes and executed by C, one at a
 * time. Not for several threads.
 *
 * Where things lie, physically and, while nothing else is said, linearly:
 *   1000 GDT   2000 LDT   3000 IDT   5000 TSS (two pages, with its bitmaps)   8000 code
 *   9000 stack of CPL 0, ends at a000   a000 user stack, ends at b000   b000 data
 *   20000 and up: page tables, all of memory one to one
 */
#ifndef X86_MACHINE_H
#define X86_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest/x86/access.h"
#include "guest/x86/bus.h"
#include "guest/x86/cpuid.h"
#include "guest/x86/helpers.h"
#include "guest/x86/paging.h"
#include "guest/x86/system.h"
#include "guest/x86/x86.h"

enum {
    MACHINE_RAM = 4 << 20,
    GDT_AT = 0x1000,
    LDT_AT = 0x2000,
    IDT_AT = 0x3000,
    TSS_AT = 0x5000,
    CODE_AT = 0x8000,
    STACK_END = 0xa000,
    USER_STACK_END = 0xb000,
    DATA_AT = 0xb000,
    TABLES_AT = 0x20000,
    MMIO_AT = 0x500000, /* beyond memory: answers with its address */
};

/* Selectors. */
enum {
    CODE0_32 = 0x08,
    DATA0 = 0x10,
    CODE3_32 = 0x1b,
    DATA3 = 0x23,
    TSS_SELECTOR = 0x28, /* two rows */
    CODE0_64 = 0x38,
    CODE3_64 = 0x43,
    LDT_SELECTOR = 0x48, /* two rows */
    CONFORMING = 0x58,
    EXECUTE_ONLY = 0x60,
    READ_ONLY = 0x68,
    DOWN = 0x70,   /* expands down, limit fff, 32 bits */
    ABSENT = 0x78, /* data */
    CODE0_16 = 0x80,
    DATA0_16 = 0x88,
    ABSENT_CODE = 0x90,
    FREE = 0x98, /* for tests */
    BEYOND = 0x200,
};

enum machine_mode { REAL, PROTECTED16, PROTECTED32, V86, LONG64, COMPATIBLE32, MACHINE_MODES };

struct machine {
    struct x86_cpu cpu;
    struct x86_model model;
    struct cpu_bus bus;
    uint8_t *ram;
    uint8_t *before; /* memory before the last instruction */
    struct x86_cpu cpu_before;
    uint64_t ticks;
    uint8_t tpr;
    int vector; /* what acknowledge gives */
    unsigned flushes, shutdowns, stores, activities, float_errors;
    enum cpu_flush flushed;
    uint64_t flushed_address;
    uint16_t flushed_pcid;
    uint32_t port_value;
    uint16_t port, ports; /* the last; accesses */
    uint64_t bus_msr;
    struct x86_fault fault;
};

/* One for a program; each open begins anew. */
struct machine *machine_open(enum machine_mode mode, unsigned cpl);

/* Memory, physically. */
void poke(struct machine *m, uint64_t at, const void *bytes, size_t size);
void poke32(struct machine *m, uint64_t at, uint32_t value);
void poke64(struct machine *m, uint64_t at, uint64_t value);
uint16_t peek16(struct machine *m, uint64_t at);
uint32_t peek32(struct machine *m, uint64_t at);
uint64_t peek64(struct machine *m, uint64_t at);

/* Descriptors: `attributes` as in the upper doubleword (9b, cf93 << 8 and so on are bits 8 to 23).
 */
void put_descriptor(struct machine *m, unsigned selector, uint32_t base, uint32_t limit,
                    uint32_t attributes);
/* A gate in the IDT or GDT: type and DPL and P are attributes; `low_count` IST or parameters. */
void put_gate(struct machine *m, unsigned vector, uint16_t selector, uint64_t offset,
              uint32_t attributes, unsigned low_count);
void put_call_gate(struct machine *m, unsigned selector, uint16_t target, uint64_t offset,
                   uint32_t attributes, unsigned count);

/* The entry of the page table for a page of 4 KiB of the first 4 MiB. */
uint64_t *page_entry(struct machine *m, uint64_t linear);

/* Switches paging on, all pages for all: 2 levels, PAE, or as the mode has it. */
void paging_on(struct machine *m, bool pae);

/* Executes the bytes at CS:RIP; -1, or the vector of the fault, which is in m->fault. Fails the
 * test if a fault has changed something, but for instructions that do a part before it. */
int run(struct machine *m, const void *bytes, size_t size);
#define RUN(m, ...) run((m), (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* The same, and the exception is delivered. */
void run_and_raise(struct machine *m, const void *bytes, size_t size);
#define RAISE(m, ...) \
    run_and_raise((m), (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

#endif
