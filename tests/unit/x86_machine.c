/* SPDX-License-Identifier: MIT
 *
 * See x86_machine.h. */
#include "x86_machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "guest/x86/xstate.h"

static struct machine *only;

/* --- the bus */

static uint8_t *bus_host(void *opaque, uint64_t physical, bool write)
{
    struct machine *m = opaque;

    m->stores += write;
    return physical < MACHINE_RAM ? m->ram + physical : NULL;
}

static void bus_read(void *opaque, uint64_t physical, void *to, size_t size)
{
    (void)opaque;
    memcpy(to, &physical, size);
}

static void bus_write(void *opaque, uint64_t physical, const void *from, size_t size)
{
    (void)opaque;
    (void)physical;
    (void)from;
    (void)size;
}

static uint32_t bus_in(void *opaque, uint16_t port, unsigned size)
{
    struct machine *m = opaque;

    m->port = port;
    m->ports++;
    return m->port_value & (uint32_t)x86_size_mask(size);
}

static void bus_out(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    struct machine *m = opaque;

    m->port = port;
    m->ports++;
    m->port_value = value & (uint32_t)x86_size_mask(size);
}

static uint8_t bus_read_tpr(void *opaque)
{
    return ((struct machine *)opaque)->tpr;
}

static void bus_write_tpr(void *opaque, uint8_t value)
{
    ((struct machine *)opaque)->tpr = value;
}

static bool bus_read_msr(void *opaque, uint32_t number, uint64_t *value)
{
    *value = ((struct machine *)opaque)->bus_msr;
    return number != 0x8ff;
}

static bool bus_write_msr(void *opaque, uint32_t number, uint64_t value)
{
    ((struct machine *)opaque)->bus_msr = value;
    return number != 0x8ff;
}

static int bus_acknowledge(void *opaque)
{
    struct machine *m = opaque;
    int vector = m->vector;

    m->vector = -1;
    x86_withdraw(&m->cpu, X86_REQUEST_INTERRUPT);
    return vector;
}

static uint64_t bus_tsc(void *opaque)
{
    return ((struct machine *)opaque)->ticks;
}

static void bus_flush(void *opaque, enum cpu_flush what, uint64_t address, uint16_t pcid)
{
    struct machine *m = opaque;

    m->flushes++;
    m->flushed = what;
    m->flushed_address = address;
    m->flushed_pcid = pcid;
}

static void bus_shutdown(void *opaque)
{
    ((struct machine *)opaque)->shutdowns++;
}

static void bus_float_error(void *opaque)
{
    ((struct machine *)opaque)->float_errors++;
}

static void bus_activity(void *opaque)
{
    ((struct machine *)opaque)->activities++;
}

/* --- memory */

void poke(struct machine *m, uint64_t at, const void *bytes, size_t size)
{
    memcpy(m->ram + at, bytes, size);
}

void poke32(struct machine *m, uint64_t at, uint32_t value)
{
    poke(m, at, &value, sizeof value);
}

void poke64(struct machine *m, uint64_t at, uint64_t value)
{
    poke(m, at, &value, sizeof value);
}

uint16_t peek16(struct machine *m, uint64_t at)
{
    return (uint16_t)peek32(m, at);
}

uint32_t peek32(struct machine *m, uint64_t at)
{
    return (uint32_t)peek64(m, at);
}

uint64_t peek64(struct machine *m, uint64_t at)
{
    uint64_t value;

    memcpy(&value, m->ram + at, sizeof value);
    return value;
}

/* --- descriptors */

void put_descriptor(struct machine *m, unsigned selector, uint32_t base, uint32_t limit,
                    uint32_t attributes)
{
    uint64_t at = GDT_AT + (selector & ~7u);

    poke32(m, at, (limit & 0xffff) | base << 16);
    poke32(m, at + 4,
           (base >> 16 & 0xff) | (base & 0xff000000) | (limit & 0xf0000) | (attributes & 0xf0ff00));
}

static void put_gate_at(struct machine *m, uint64_t at, uint16_t selector, uint64_t offset,
                        uint32_t attributes, unsigned low_count, bool wide)
{
    poke32(m, at, (offset & 0xffff) | (uint32_t)selector << 16);
    poke32(m, at + 4, (uint32_t)(offset & 0xffff0000) | attributes | low_count);
    if (wide) {
        poke64(m, at + 8, offset >> 32);
    }
}

void put_gate(struct machine *m, unsigned vector, uint16_t selector, uint64_t offset,
              uint32_t attributes, unsigned low_count)
{
    bool wide = x86_long(&m->cpu);

    put_gate_at(m, IDT_AT + vector * (wide ? 16 : 8), selector, offset, attributes, low_count,
                wide);
}

void put_call_gate(struct machine *m, unsigned selector, uint16_t target, uint64_t offset,
                   uint32_t attributes, unsigned count)
{
    put_gate_at(m, GDT_AT + (selector & ~7u), target, offset, attributes, count, x86_long(&m->cpu));
}

static void put_tables(struct machine *m, bool wide)
{
    static const struct {
        uint16_t selector;
        uint32_t limit, attributes;
    } rows[] = {
        {CODE0_32, 0xfffff, 0xc09b00},   {DATA0, 0xfffff, 0xc09300},
        {CODE3_32, 0xfffff, 0xc0fb00},   {DATA3, 0xfffff, 0xc0f300},
        {CODE0_64, 0xfffff, 0xa09b00},   {CODE3_64, 0xfffff, 0xa0fb00},
        {CONFORMING, 0xfffff, 0xc09f00}, {EXECUTE_ONLY, 0xfffff, 0xc0f900},
        {READ_ONLY, 0xfffff, 0xc0f100},  {DOWN, 0xfff, 0x409700},
        {ABSENT, 0xfffff, 0xc01300},     {CODE0_16, 0xffff, 0x009b00},
        {DATA0_16, 0xffff, 0x009300},    {ABSENT_CODE, 0xfffff, 0xc01b00},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        put_descriptor(m, rows[i].selector, 0, rows[i].limit, rows[i].attributes);
    }
    if (wide) { /* a code segment of long mode where CONFORMING is */
        put_descriptor(m, CONFORMING, 0, 0xfffff, 0xa09f00);
    }
    put_descriptor(m, TSS_SELECTOR, TSS_AT, 0x1fff, 0x8b00);
    put_descriptor(m, LDT_SELECTOR, LDT_AT, 0xff, 0x8200);
    for (unsigned i = 0; i < 256; i++) {
        put_gate(m, i, wide ? CODE0_64 : CODE0_32, 0x100000 + i * 16, i == 0x80 ? 0xee00 : 0x8e00,
                 0);
    }
    if (wide) {
        poke64(m, TSS_AT + 4, STACK_END);
        for (unsigned i = 0; i < 7; i++) {
            poke64(m, TSS_AT + 0x24 + 8 * i, 0x1000 * (i + 0x40));
        }
    } else {
        poke32(m, TSS_AT + 4, STACK_END);
        poke32(m, TSS_AT + 8, DATA0);
    }
    poke32(m, TSS_AT + 100, 0x100u << 16); /* the bitmap, of zeros but for its end */
    poke32(m, TSS_AT + 0x100 + 0x1000, 0xffffffff);
}

/* --- paging */

enum { ALL = 7 };

static uint64_t pml4(void)
{
    return TABLES_AT;
}

uint64_t *page_entry(struct machine *m, uint64_t linear)
{
    bool pae = m->cpu.system.cr4 & X86_CR4_PAE;
    size_t page = linear >> 12 & 0x3ff;

    return (uint64_t *)(void *)(m->ram + TABLES_AT + 0x3000 + (pae ? page * 8 : page * 4));
}

static void build_tables(struct machine *m, bool pae)
{
    uint64_t pdpt = TABLES_AT + 0x1000, directory = TABLES_AT + 0x2000, tables = TABLES_AT + 0x3000;
    unsigned present = x86_long(&m->cpu) || m->cpu.system.efer & X86_EFER_LME ? ALL : 1;

    for (unsigned page = 0; page < 1024; page++) {
        if (pae) {
            poke64(m, tables + page * 8, page << 12 | ALL);
        } else {
            poke32(m, tables + page * 4, page << 12 | ALL);
        }
    }
    if (!pae) {
        poke32(m, directory, (uint32_t)tables | ALL);
        return;
    }
    poke64(m, directory, tables | ALL);
    poke64(m, directory + 8, (tables + 0x1000) | ALL);
    poke64(m, pdpt, directory | present);
    poke64(m, pml4(), pdpt | ALL);
    poke64(m, pml4() + 511 * 8, pdpt | ALL); /* the last 512 GiB show the same */
}

void paging_on(struct machine *m, bool pae)
{
    struct x86_system *system = &m->cpu.system;
    bool wide = system->efer & X86_EFER_LME;

    build_tables(m, pae || wide);
    system->cr4 |= pae || wide ? X86_CR4_PAE : 0;
    system->cr3 = wide ? pml4() : pae ? TABLES_AT + 0x1000 : TABLES_AT + 0x2000;
    if (pae && !wide && !x86_load_pdptes(&m->cpu, system->cr3, system->pdpte))
        bug("the tables of the test have reserved bits");
    system->cr0 |= X86_CR0_PG | X86_CR0_WP;
    system->efer |= wide ? X86_EFER_LMA : 0;
    x86_update_mode(&m->cpu);
}

/* --- modes */

static void load(struct machine *m, unsigned number, uint16_t selector)
{
    uint32_t low = peek32(m, GDT_AT + (selector & ~7u)),
             high = peek32(m, GDT_AT + (selector | 7) - 3);
    struct x86_segment *segment = &m->cpu.system.segment[number];
    uint32_t limit = (low & 0xffff) | (high & 0xf0000);

    *segment = (struct x86_segment){
        .base = low >> 16 | (high & 0xff) << 16 | (high & 0xff000000),
        .limit = high & X86_SEG_GRANULAR ? limit << 12 | 0xfff : limit,
        .attributes = high & X86_SEG_KEPT,
        .selector = selector,
    };
    if (number < 6)
        m->cpu.segment[number] = selector;
}

static void load_all(struct machine *m, uint16_t code, uint16_t data)
{
    for (unsigned i = 0; i < 6; i++)
        load(m, i, i == NATIVE_CS ? code : data);
    load(m, X86_TR, TSS_SELECTOR);
    load(m, X86_LDTR, LDT_SELECTOR);
}

static void load_v86(struct machine *m)
{
    for (unsigned i = 0; i < 6; i++) {
        uint16_t selector = i == NATIVE_CS ? CODE_AT >> 4 : 0x100 * (i + 1);

        m->cpu.system.segment[i] =
            (struct x86_segment){(uint32_t)selector << 4, 0xffff, 0xf300, selector};
        m->cpu.segment[i] = selector;
    }
}

static void enter_mode(struct machine *m, enum machine_mode mode, unsigned cpl)
{
    struct x86_system *system = &m->cpu.system;
    bool wide = mode == LONG64 || mode == COMPATIBLE32;

    system->cr0 = X86_CR0_ET | X86_CR0_NE;
    system->gdt = (struct x86_table_register){GDT_AT, BEYOND - 1};
    system->idt = (struct x86_table_register){mode == REAL ? 0 : IDT_AT, 0xfff};
    m->cpu.state.pc = CODE_AT;
    m->cpu.state.reg[X86_RSP] = cpl == 3 ? USER_STACK_END : STACK_END;
    if (mode == REAL) {
        for (unsigned i = 0; i < 6; i++) {
            system->segment[i] = (struct x86_segment){0, 0xffff, 0x9300, 0};
            m->cpu.segment[i] = 0;
        }
        return;
    }
    system->cr0 |= X86_CR0_PE;
    system->efer = wide ? X86_EFER_LME | X86_EFER_SCE : 0;
    if (wide)
        paging_on(m, true);
    put_tables(m, wide);
    switch (mode) {
    case PROTECTED16: load_all(m, CODE0_16, DATA0_16); break;
    case LONG64: load_all(m, cpl ? CODE3_64 : CODE0_64, cpl ? DATA3 : DATA0); break;
    default: load_all(m, cpl ? CODE3_32 : CODE0_32, cpl ? DATA3 : DATA0); break;
    }
    system->cpl = (uint8_t)cpl;
    if (mode == V86) {
        m->cpu.system_flags |= X86_FLAG_VM;
        m->cpu.state.pc = 0;
        m->cpu.state.reg[X86_RSP] = 0x1000;
        system->cpl = 3;
        load_v86(m);
    }
}

static struct machine *allocate(void)
{
    struct machine *m = aligned_alloc(64, (sizeof *m + 63) / 64 * 64);
    const struct x86_model *model = x86_model_parse("max", &(struct error){0});

    if (!m || !model)
        bug("no machine for the test");
    memset(m, 0, sizeof *m);
    m->ram = aligned_alloc(4096, MACHINE_RAM);
    m->before = malloc(MACHINE_RAM);
    if (!m->ram || !m->before)
        bug("no memory for the test");
    m->model = *model;
    x86_model_free(model);
    memset(&m->model.features, 0xff, sizeof m->model.features);
    snprintf(m->model.vendor, sizeof m->model.vendor, "GenuineIntel");
    m->model.xcr0 = X86_XSTATE_ALL;
    m->bus = (struct cpu_bus){
        .opaque = m,
        .host = bus_host,
        .read = bus_read,
        .write = bus_write,
        .in = bus_in,
        .out = bus_out,
        .read_tpr = bus_read_tpr,
        .write_tpr = bus_write_tpr,
        .read_msr = bus_read_msr,
        .write_msr = bus_write_msr,
        .acknowledge = bus_acknowledge,
        .tsc = bus_tsc,
        .flush = bus_flush,
        .shutdown = bus_shutdown,
        .activity = bus_activity,
        .float_error = bus_float_error,
    };
    return m;
}

struct machine *machine_open(enum machine_mode mode, unsigned cpl)
{
    struct machine *m = only ? only : allocate();

    only = m;
    memset(m->ram, 0, MACHINE_RAM);
    memset(&m->cpu, 0, sizeof m->cpu);
    m->ticks = 0;
    m->tpr = 0;
    m->vector = -1;
    x86_system_reset(&m->cpu, &m->model, &m->bus, 0);
    enter_mode(m, mode, cpl);
    x86_update_mode(&m->cpu);
    m->flushes = m->shutdowns = m->stores = m->activities = m->float_errors = 0;
    m->ports = 0;
    return m;
}

/* --- running */

/* What a fault may change: notes of events; bits A, D and accessed in tables. What is derived from
 * registers is so now: tests change registers behind the CPU's back. */
static void forget(struct x86_cpu *cpu)
{
    memset(cpu->system.record, 0, sizeof cpu->system.record);
    cpu->system.records = 0;
    x86_update_mode(cpu);
}

static void check_unchanged(struct machine *m)
{
    static struct x86_cpu now, then;

    now = m->cpu;
    then = m->cpu_before;
    forget(&now);
    forget(&then);
    if (memcmp(&now, &then, sizeof now))
        bug("a fault (vector %u) has changed the CPU", m->fault.vector);
    if (memcmp(m->ram + IDT_AT, m->before + IDT_AT, TABLES_AT - IDT_AT) ||
        memcmp(m->ram + TABLES_AT + 0x10000, m->before + TABLES_AT + 0x10000,
               MACHINE_RAM - TABLES_AT - 0x10000))
        bug("a fault (vector %u) has changed memory", m->fault.vector);
}

int run(struct machine *m, const void *bytes, size_t size)
{
    struct x86_insn insn;
    enum x86_decode decoded;

    m->fault = (struct x86_fault){0};
    decoded =
        x86_decode(x86_code_mode(&m->cpu), &m->model.features, bytes, size, m->cpu.state.pc, &insn);
    if (decoded == X86_DECODE_UNDEFINED) {
        m->fault.vector = X86_VECTOR_UD;
        return X86_VECTOR_UD;
    }
    if (decoded != X86_DECODE_OK)
        bug("the bytes of the test are no instruction");
    m->cpu_before = m->cpu;
    memcpy(m->before, m->ram, MACHINE_RAM);
    if (x86_execute(&m->cpu, &insn, &m->fault))
        return -1;
    if (!(insn.native.attributes & (NATIVE_REP | NATIVE_VSIB))) /* these do elements before it */
        check_unchanged(m);
    return (int)m->fault.vector;
}

void run_and_raise(struct machine *m, const void *bytes, size_t size)
{
    if (run(m, bytes, size) >= 0)
        x86_raise(&m->cpu, &m->fault);
}
