/* SPDX-License-Identifier: MIT
 *
 * See soft_side.h. Physical memory: 1 MiB of RAM, of which SCRATCH_AT and up is the scratch memory,
 * page by page; from DEVICE_AT on the same bytes as registers of a device. Linearly all RAM is also
 * at KERNEL, for the supervisor: tables and handlers are there. */
#include "soft_side.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "compare.h"
#include "engine/engine.h"
#include "engine/system.h"
#include "guest/x86/bus.h"
#include "guest/x86/helpers.h"
#include "guest/x86/internal.h"
#include "guest/x86/x86.h"
#include "memory/memory.h"

enum {
    PAGE = SCRATCH_PAGE,
    RAM_SIZE = 1 << 20,
    GDT_AT = 0x1000,
    IDT_AT = 0x2000,
    TSS_AT = 0x3000,
    STACK_END = 0x5000,
    HANDLERS_AT = 0x6000,
    TABLES_AT = 0x8000,
    SCRATCH_AT = 0x80000,
    DEVICE_AT = 0x200000,
    VECTORS = 256,
    BREAKPOINT = 0xcc,
};
#define KERNEL UINT64_C(0xffff800000000000)

/* Selectors as Linux has them: programs can see them. */
enum {
    KERNEL_CODE = 0x10,
    KERNEL_DATA = 0x18,
    USER_CODE_32 = 0x23,
    USER_DATA = 0x2b,
    USER_CODE = 0x33,
    TSS = 0x40,
    CPU_NUMBER = 0x78,
};

enum pte { PRESENT = 1, WRITABLE = 2, USER = 4, ACCESSED = 0x20, DIRTY = 0x40 };
#define NOT_EXECUTABLE (UINT64_C(1) << 63)

struct soft_machine {
    struct mem_region root, ram, device;
    struct mem_space *space;
    struct cpu_bus bus;
    struct vcpu *vcpu;
    uint64_t next_table;
    uint64_t *entry[SCRATCH_LAYOUTS][SCRATCH_PAGES];
};

static uint8_t *ram(struct soft_machine *m, uint64_t physical)
{
    return mem_host(&m->ram) + physical;
}

/* --- the device: bytes are where the RAM has them --- */

static uint64_t device_read(void *opaque, uint64_t offset, unsigned size)
{
    uint64_t value = 0;

    memcpy(&value, ram(opaque, SCRATCH_AT + offset), size);
    return value;
}

static void device_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    memcpy(ram(opaque, SCRATCH_AT + offset), &value, size);
}

static const struct mem_ops device_ops = {
    .read = device_read,
    .write = device_write,
    .valid_unaligned = true,
    .impl_unaligned = true,
};

/* --- the bus --- */

static uint8_t *bus_host(void *opaque, uint64_t physical, bool write)
{
    struct soft_machine *m = opaque;

    if (physical >= RAM_SIZE)
        return NULL;
    if (write && mem_marks(&m->ram, physical))
        mem_written(&m->ram, physical & ~(uint64_t)(PAGE - 1), PAGE);
    return ram(m, physical);
}

static void bus_read(void *opaque, uint64_t physical, void *to, size_t size)
{
    mem_read(((struct soft_machine *)opaque)->space, 0, physical, to, size);
}

static void bus_write(void *opaque, uint64_t physical, const void *from, size_t size)
{
    mem_write(((struct soft_machine *)opaque)->space, 0, physical, from, size);
}

static uint32_t bus_in(void *opaque, uint16_t port, unsigned size)
{
    (void)opaque, (void)port;
    return UINT32_MAX >> (32 - 8 * size);
}

static void bus_out(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    (void)opaque, (void)port, (void)value, (void)size;
}

static uint8_t bus_read_tpr(void *opaque)
{
    (void)opaque;
    return 0;
}

static void bus_write_tpr(void *opaque, uint8_t value)
{
    (void)opaque, (void)value;
}

static bool bus_read_msr(void *opaque, uint32_t number, uint64_t *value)
{
    (void)opaque, (void)number, (void)value;
    return false;
}

static bool bus_write_msr(void *opaque, uint32_t number, uint64_t value)
{
    (void)opaque, (void)number, (void)value;
    return false;
}

static int bus_acknowledge(void *opaque)
{
    (void)opaque;
    return -1;
}

static uint64_t bus_tsc(void *opaque)
{
    (void)opaque;
    return 0;
}

static void bus_nothing(void *opaque)
{
    (void)opaque;
}

/* --- tables --- */

static void put64(struct soft_machine *m, uint64_t at, uint64_t value)
{
    memcpy(ram(m, at), &value, sizeof value);
}

/* The entry for a page of 4 KiB, with tables down to it. */
static uint64_t *page_entry(struct soft_machine *m, uint64_t linear)
{
    uint64_t table = TABLES_AT;

    for (unsigned shift = 39;; shift -= 9) {
        uint64_t *entry = (uint64_t *)(void *)ram(m, table + (linear >> shift & 511) * 8);

        if (shift == 12)
            return entry;
        if (*entry == 0) {
            if (m->next_table == SCRATCH_AT)
                bug("no room for page tables");
            *entry = m->next_table | PRESENT | WRITABLE | USER;
            m->next_table += PAGE;
        }
        table = *entry & ~(uint64_t)(PAGE - 1);
    }
}

/* Linux tells the number of the CPU and of its node by the limit of a segment. */
static unsigned stay_on_cpu(void)
{
    unsigned cpu, node;
    cpu_set_t set;

    if (getcpu(&cpu, &node) != 0)
        bug("the kernel does not tell which CPU this is");
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
    return cpu | node << 12;
}

static void build_tables(struct soft_machine *m)
{
    static const uint8_t codes_with_gates_for_all[] = {3, 4, 0x80};
    static const struct {
        unsigned selector;
        uint64_t value;
    } descriptors[] = {
        {KERNEL_CODE, UINT64_C(0x00af9b000000ffff)},
        {KERNEL_DATA, UINT64_C(0x00cf93000000ffff)},
        {USER_CODE_32, UINT64_C(0x00cffb000000ffff)},
        {USER_DATA, UINT64_C(0x00cff3000000ffff)},
        {USER_CODE, UINT64_C(0x00affb000000ffff)},
        {TSS, UINT64_C(0x00008b0000000067) | (uint64_t)TSS_AT << 16},
        {TSS + 8, KERNEL >> 32},
    };
    uint64_t stack = KERNEL + STACK_END;

    for (unsigned i = 0; i < sizeof descriptors / sizeof *descriptors; i++)
        put64(m, GDT_AT + (descriptors[i].selector & ~7u), descriptors[i].value);
    put64(m, GDT_AT + CPU_NUMBER, UINT64_C(0x0040f50000000000) | stay_on_cpu());
    for (unsigned vector = 0; vector < VECTORS; vector++) {
        uint64_t handler = KERNEL + HANDLERS_AT + vector;
        bool all = memchr(codes_with_gates_for_all, (int)vector, 3) != NULL;

        put64(m, IDT_AT + 16 * vector,
              (handler & 0xffff) | KERNEL_CODE << 16 |
                  (all ? UINT64_C(0xee01) : UINT64_C(0x8e01)) << 32 |
                  (handler >> 16 & 0xffff) << 48);
        put64(m, IDT_AT + 16 * vector + 8, handler >> 32);
    }
    memset(ram(m, HANDLERS_AT), 0xf4, VECTORS + 1);    /* HLT */
    memcpy(ram(m, TSS_AT) + 36, &stack, sizeof stack); /* IST 1 */
    memset(ram(m, TSS_AT) + 102, 0xff, 2);             /* no bitmap of ports */
    for (uint64_t at = 0; at < TABLES_AT; at += PAGE)
        *page_entry(m, KERNEL + at) = at | PRESENT | WRITABLE;
    for (int layout = 0; layout < SCRATCH_LAYOUTS; layout++)
        for (unsigned page = 0; page < SCRATCH_PAGES; page++)
            m->entry[layout][page] = page_entry(m, scratch_page_address(layout, page));
}

struct soft_machine *soft_new_machine(void)
{
    struct soft_machine *m = mem_alloc(sizeof *m);
    struct error err;

    mem_init_container(&m->root, "memory", UINT64_C(1) << 40);
    if (!mem_init_ram(&m->ram, "ram", RAM_SIZE, &err))
        bug("no memory for the machine: %s", err.text);
    mem_init_io(&m->device, "device", SCRATCH_LAYOUTS * SCRATCH_PAGES * PAGE, &device_ops, m);
    mem_add(&m->root, &m->ram, 0, 0);
    mem_add(&m->root, &m->device, DEVICE_AT, 0);
    m->space = mem_space_new("memory", &m->root);
    m->next_table = TABLES_AT + PAGE;
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
        .shutdown = bus_nothing,
        .float_error = bus_nothing,
    };
    build_tables(m);
    return m;
}

struct mem_space *soft_space(struct soft_machine *m)
{
    return m->space;
}

/* --- the CPU --- */

static struct x86_cpu *cpu_of(const struct soft_machine *m)
{
    return vcpu_state(m->vcpu);
}

void soft_connect(struct soft_machine *m, struct vcpu *vcpu)
{
    struct x86_system *system;

    m->vcpu = vcpu;
    vcpu_connect(vcpu, &m->bus);
    system = &cpu_of(m)->system;
    system->gdt = (struct x86_table_register){KERNEL + GDT_AT, 0x7f};
    system->idt = (struct x86_table_register){KERNEL + IDT_AT, 16 * VECTORS - 1};
    system->segment[X86_TR] = (struct x86_segment){KERNEL + TSS_AT, 0x67, 0x8b00, TSS};
    system->cr0 =
        X86_CR0_PG | X86_CR0_PE | X86_CR0_MP | X86_CR0_ET | X86_CR0_NE | X86_CR0_WP | X86_CR0_AM;
    system->cr3 = TABLES_AT;
    system->cr4 = X86_CR4_PAE | X86_CR4_PGE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT |
                  X86_CR4_FSGSBASE | X86_CR4_OSXSAVE;
    system->efer = X86_EFER_SCE | X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE;
    cpu_of(m)->xcr0 = MACHINE_XCR0;
}

static void set_segment(struct x86_cpu *cpu, unsigned number, uint16_t selector,
                        uint32_t attributes, uint64_t base)
{
    struct x86_segment segment = {base, attributes ? UINT32_MAX : 0, attributes, selector};

    x86_set_segment(cpu, number, &segment);
}

static void put(struct soft_machine *m, unsigned cpl, const struct machine *in)
{
    struct x86_cpu *cpu = cpu_of(m);
    unsigned level = cpl << X86_SEG_DPL_SHIFT;

    memcpy(cpu->state.reg, in->gpr, sizeof in->gpr);
    memcpy(cpu->state.vector, in->vector, sizeof in->vector);
    cpu->state.pc = in->rip;
    cpu->state.flags = in->flags & (MACHINE_ARITH | MACHINE_DF);
    cpu->system_flags = in->flags & ~(uint64_t)(MACHINE_ARITH | MACHINE_DF | X86_FLAG_ONE);
    set_segment(cpu, NATIVE_CS, cpl ? USER_CODE : KERNEL_CODE, 0xa09b00 | level, 0);
    set_segment(cpu, NATIVE_SS, cpl ? USER_DATA : KERNEL_DATA, 0xc09300 | level, 0);
    set_segment(cpu, NATIVE_DS, 0, 0, 0);
    set_segment(cpu, NATIVE_ES, 0, 0, 0);
    set_segment(cpu, NATIVE_FS, 0, 0, in->fs_base);
    set_segment(cpu, NATIVE_GS, 0, 0, in->gs_base);
    cpu->system.cpl = (uint8_t)cpl;
    cpu->system.cr2 = 0;
    cpu->system.activity = X86_RUNNING;
    cpu->system.shadow = 0;
    cpu->system.pending_debug = 0;
    cpu->system.records = 0;
    x86_update_mode(cpu);
}

static int signal_of(unsigned vector)
{
    switch (vector) {
    case X86_VECTOR_DE:
    case X86_VECTOR_MF:
    case X86_VECTOR_XM: return SIGFPE;
    case X86_VECTOR_DB:
    case X86_VECTOR_BP: return SIGTRAP;
    case X86_VECTOR_UD: return SIGILL;
    case X86_VECTOR_NP:
    case X86_VECTOR_SS:
    case X86_VECTOR_AC: return SIGBUS;
    default: return SIGSEGV;
    }
}

/* The frame on the handler's stack, and what is as it was. */
static void get(struct soft_machine *m, struct outcome *out)
{
    struct x86_cpu *cpu = cpu_of(m);
    const struct x86_event_record *record =
        &cpu->system.record[(cpu->system.records - 1) % X86_RECORDS];
    struct machine *machine = &out->machine;
    uint64_t frame[6], rsp = cpu->state.reg[X86_RSP], fip, fdp;
    unsigned vector = (unsigned)(cpu->state.pc - KERNEL - HANDLERS_AT - 1);
    const uint64_t *at = frame;

    memset(&out->fault, 0, sizeof out->fault);
    memset(machine, 0, sizeof *machine);
    if (cpu->system.activity != X86_HALTED || vector >= VECTORS || cpu->system.records == 0 ||
        record->vector != vector || rsp - (KERNEL + STACK_END - sizeof frame) > 8) {
        out->fault.code = (int)cpu->system.records;
        out->fault.trap = record->vector;
        return;
    }
    memcpy(frame, ram(m, rsp - KERNEL), KERNEL + STACK_END - rsp);
    out->fault.trap = vector;
    out->fault.signal = signal_of(vector);
    if (rsp == KERNEL + STACK_END - sizeof frame)
        out->fault.error = (uint32_t)*at++;
    out->fault.address = vector == X86_VECTOR_PF ? cpu->system.cr2 : 0;
    memcpy(machine->gpr, cpu->state.reg, sizeof machine->gpr);
    machine->rip = at[0];
    machine->flags = at[2];
    machine->gpr[X86_RSP] = at[3];
    machine->fs_base = cpu->state.thread_base;
    machine->gs_base = cpu->state.other_base;
    memcpy(machine->vector, cpu->state.vector, sizeof machine->vector);
    memcpy(&fip, machine->vector + MACHINE_FIP, sizeof fip);
    memcpy(&fdp, machine->vector + MACHINE_FDP, sizeof fdp);
    x86_guest_pointers(cpu, &fip, &fdp);
    memcpy(machine->vector + MACHINE_FIP, &fip, sizeof fip);
    memcpy(machine->vector + MACHINE_FDP, &fdp, sizeof fdp);
    machine_normalize(machine->vector);
}

/* --- memory --- */

static uint64_t place_of(enum scratch_layout layout, unsigned page)
{
    return ((uint64_t)layout * SCRATCH_PAGES + page) * PAGE;
}

static enum soft_backing backing_of(const struct soft_run *how, unsigned page)
{
    return how->backing == SOFT_MIXED ? how->mixed >> 2 * page & 3 : how->backing;
}

static void map(struct soft_machine *m, const struct soft_run *how, enum scratch_layout layout)
{
    for (unsigned page = 0; page < SCRATCH_PAGES; page++) {
        unsigned rights = scratch_page_rights(page);
        uint64_t place = place_of(layout, page), entry = 0;
        bool device = backing_of(how, page) == SOFT_DEVICE && !(rights & SCRATCH_EXECUTE);

        if (rights)
            entry = PRESENT | USER | (rights & SCRATCH_WRITE ? WRITABLE : 0) |
                    (rights & SCRATCH_EXECUTE ? 0 : NOT_EXECUTABLE) |
                    (place + (device ? DEVICE_AT : SCRATCH_AT));
        *m->entry[layout][page] = entry;
    }
}

/* Has code made from the page: it is executed where it holds breakpoints. */
static void make_code(struct soft_machine *m, const struct soft_run *how, const struct machine *in,
                      enum scratch_layout layout, unsigned page)
{
    uint8_t *bytes = ram(m, SCRATCH_AT + place_of(layout, page));
    struct machine start = *in;

    memset(bytes, BREAKPOINT, PAGE);
    mem_written(&m->ram, SCRATCH_AT + place_of(layout, page), PAGE);
    *m->entry[layout][page] &= ~NOT_EXECUTABLE;
    vcpu_changed(m->vcpu);
    start.flags = MACHINE_FIXED;
    for (unsigned at = 0; at < PAGE; at += PAGE / 4) {
        start.rip = scratch_page_address(layout, page) + at;
        put(m, how->cpl, &start);
        while (vcpu_run(m->vcpu) == VCPU_INTERRUPTED)
            ;
    }
    *m->entry[layout][page] |= NOT_EXECUTABLE;
}

/* Code is told of where it changes; data is not, so that the code made from it stays. */
static void load(struct soft_machine *m, enum scratch_layout layout)
{
    for (unsigned page = 0; page < SCRATCH_PAGES; page++) {
        const uint8_t *from = scratch_page_bytes(layout, page);
        uint64_t at = SCRATCH_AT + place_of(layout, page);

        if (from == NULL || memcmp(ram(m, at), from, PAGE) == 0)
            continue;
        memcpy(ram(m, at), from, PAGE);
        if (scratch_page_rights(page) & SCRATCH_EXECUTE)
            mem_written(&m->ram, at, PAGE);
    }
}

static void store(struct soft_machine *m, enum scratch_layout layout)
{
    for (unsigned page = 0; page < SCRATCH_PAGES; page++)
        if (scratch_page_rights(page) & SCRATCH_WRITE)
            memcpy(scratch_page_bytes(layout, page), ram(m, SCRATCH_AT + place_of(layout, page)),
                   PAGE);
}

void soft_side_run(struct soft_machine *m, const struct soft_run *how, enum scratch_layout layout,
                   const struct machine *in, struct outcome *out)
{
    if (!how->warm) {
        map(m, how, layout);
        for (unsigned page = 0; page < SCRATCH_PAGES; page++)
            if (backing_of(how, page) == SOFT_CODE && scratch_page_rights(page) & SCRATCH_WRITE)
                make_code(m, how, in, layout, page);
        vcpu_changed(m->vcpu);
    }
    load(m, layout);
    put(m, how->cpl, in);
    while (vcpu_run(m->vcpu) == VCPU_INTERRUPTED)
        ;
    get(m, out);
    store(m, layout);
}

/* --- judging --- */

const char *soft_excluded(const struct x86_row *row)
{
    static const char *const names[] = {"sgdt", "sidt", "sldt", "str", "smsw"};

    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(row->mnemonic, names[i]) == 0)
            return "tells of the kernel, or is done by it";
    return NULL;
}

/* What the manual leaves open where several bytes of memory are asked for: whether MASKMOV asks for
 * those that it does not write, and has become MMX before; in which order CMPS asks, and ENTER,
 * which reads and writes, and what loads much; whether CALL
 * pushes before it looks where it leads. */
unsigned soft_allowed(const struct x86_row *row, const struct outcome *native,
                      const struct outcome *soft)
{
    bool page = native->fault.trap == X86_VECTOR_PF;
    uint64_t rip = soft->machine.rip;

    if (row != NULL && row->lowering == X86_LOWER_CALL_R && soft->fault.trap == X86_VECTOR_GP)
        return COMPARE_ADDRESS | COMPARE_FAULT;
    if (!page && native->fault.trap != X86_VECTOR_GP)
        return 0;
    if (row == NULL) /* a program, in which there may be any of these */
        return page && soft->fault.trap == X86_VECTOR_PF ? COMPARE_ADDRESS : 0;
    if (strncmp(row->mnemonic, "cmps", 4) == 0 && row->implicit & NATIVE_STRING_SI)
        return soft->fault.signal == SIGTRAP ? 0 : COMPARE_ADDRESS | COMPARE_FAULT;
    if (strstr(row->mnemonic, "maskmov") != NULL && row->implicit & NATIVE_MASKMOV)
        return soft->fault.trap == native->fault.trap && rip == native->machine.rip
                   ? COMPARE_ADDRESS | COMPARE_FAULT | COMPARE_X87
                   : ~0u;
    if (!page)
        return 0;
    if (row->memory_type == X86_TYPE_512 || strcmp(row->mnemonic, "frstor") == 0 ||
        strcmp(row->mnemonic, "fldenv") == 0)
        return COMPARE_ADDRESS;
    if (strcmp(row->mnemonic, "enter") == 0 && soft->fault.trap == X86_VECTOR_PF)
        return COMPARE_ADDRESS | COMPARE_FAULT | COMPARE_MEMORY;
    return 0;
}

static bool asks_for_cpl(const struct x86_row *row)
{
    static const char *const names[] = {"rdpmc", "lar", "lsl", "verr", "verw"};

    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(row->mnemonic, names[i]) == 0)
            return true;
    return false;
}

bool soft_any_cpl(const struct x86_row *row, const struct test_case *c)
{
    if (row == NULL || c->selectors)
        return false;
    switch (row->lowering) {
    case X86_LOWER_NATIVE: return !asks_for_cpl(row);
    case X86_LOWER_JCC:
    case X86_LOWER_LOOP:
    case X86_LOWER_JMP:
    case X86_LOWER_CALL:
    case X86_LOWER_JMP_R:
    case X86_LOWER_CALL_R:
    case X86_LOWER_RET:
    case X86_LOWER_XSAVE:
    case X86_LOWER_XRSTOR:
    case X86_LOWER_FXSAVE:
    case X86_LOWER_FNSTENV:
    case X86_LOWER_PUSHF:
    case X86_LOWER_SEG_BASE: return true;
    default: return false;
    }
}

enum { ERROR_PRESENT = 1, ERROR_USER = 4 };

void soft_settle(const struct soft_run *how, struct outcome *native, struct outcome *soft)
{
    struct machine_fault *a = &native->fault, *b = &soft->fault;

    if (b->signal == 0)
        return;
    a->code = b->code = 0;
    if (a->trap != X86_VECTOR_PF)
        a->address = 0;
    if (a->trap != X86_VECTOR_PF || b->trap != X86_VECTOR_PF)
        return;
    a->signal = b->signal; /* behind a file's end it is SIGBUS */
    if (how->cpl == 0)
        b->error |= ERROR_USER;
    /* Programs are told that what is the kernel's is there. */
    if (b->address >> 47)
        b->error |= ERROR_PRESENT;
}

const char *soft_run_name(const struct soft_run *how)
{
    static const char *const names[] = {"ram", "code", "device", "mixed"};
    static char text[48];

    snprintf(text, sizeof text, "%s%s, CPL %u", how->warm ? "warm " : "", names[how->backing],
             how->cpl);
    return text;
}
