/* SPDX-License-Identifier: MIT
 *
 * The table of helpers; what they share; the small ones. */
#include "guest/x86/helpers.h"

#include <sched.h>
#include <string.h>
#include <x86intrin.h>

#include "guest/x86/access.h"
#include "guest/x86/bus.h"
#include "guest/x86/cpuid.h"

/* --- shared */

bool x86_is_canonical(uint64_t address)
{
    return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

bool x86_done(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    cpu->state.pc = insn->pc + insn->length;
    return true;
}

static bool raise_vector(struct x86_fault *fault, uint32_t vector, uint32_t error)
{
    *fault = (struct x86_fault){.vector = vector, .error = error, .has_error = true};
    return false;
}

bool x86_raise_gp(struct x86_fault *fault, uint32_t error)
{
    return raise_vector(fault, X86_VECTOR_GP, error);
}

bool x86_raise_ud(struct x86_fault *fault)
{
    *fault = (struct x86_fault){.vector = X86_VECTOR_UD};
    return false;
}

void x86_set_gpr(struct x86_cpu *cpu, unsigned number, unsigned size, uint64_t value)
{
    if (size == 2) {
        value = (cpu->state.reg[number] & ~UINT64_C(0xffff)) | (value & 0xffff);
    } else if (size == 4) {
        value = (uint32_t)value;
    }
    cpu->state.reg[number] = value;
}

uint64_t x86_effective_address(const struct x86_cpu *cpu, const struct x86_insn *insn)
{
    const struct native_insn *native = &insn->native;
    uint64_t address = (uint64_t)(int64_t)native->disp;

    if (x86_system_mode(&cpu->system)) {
        return x86_operand_linear(cpu, insn);
    }
    if (native->base == NATIVE_RIP) {
        address = native->address;
    } else if (native->base != NATIVE_NONE) {
        address += cpu->state.reg[native->base];
    }
    if (native->index != NATIVE_NONE && native->base != NATIVE_RIP) {
        address += cpu->state.reg[native->index] * native->scale;
    }
    if (native->prefix & NATIVE_67) {
        address = (uint32_t)address;
    }
    if (native->segment == NATIVE_FS) {
        address += cpu->state.thread_base;
    } else if (native->segment == NATIVE_GS) {
        address += cpu->state.other_base;
    }
    return address;
}

const struct x86_memory_access *x86_memory_of(const struct x86_cpu *cpu)
{
    return cpu->memory ? cpu->memory : &x86_direct_memory;
}

/* Neither end of the access leaves the canonical addresses. */
static bool check_canonical(uint64_t address, size_t size, uint32_t vector, struct x86_fault *fault)
{
    if (x86_is_canonical(address) && x86_is_canonical(address + size - 1)) {
        return true;
    }
    return raise_vector(fault, vector, 0);
}

static bool page_fault(const struct x86_cpu *cpu, uint64_t address, uint32_t error,
                       struct x86_fault *fault)
{
    const struct x86_memory_access *memory = x86_memory_of(cpu);

    if (memory->present && memory->present(memory->opaque, address)) {
        error |= X86_PF_PRESENT;
    }
    raise_vector(fault, X86_VECTOR_PF, error | X86_PF_USER);
    fault->address = address;
    return false;
}

static bool read_memory(struct x86_cpu *cpu, uint64_t address, void *to, size_t size,
                        uint32_t vector, struct x86_fault *fault)
{
    const struct x86_memory_access *memory = x86_memory_of(cpu);
    uint64_t bad;

    if (!check_canonical(address, size, vector, fault)) {
        return false;
    }
    return memory->read(memory->opaque, address, to, size, &bad) || page_fault(cpu, bad, 0, fault);
}

static bool probe_memory(struct x86_cpu *cpu, uint64_t address, size_t size, uint32_t vector,
                         struct x86_fault *fault)
{
    const struct x86_memory_access *memory = x86_memory_of(cpu);
    uint64_t bad;

    if (!check_canonical(address, size, vector, fault)) {
        return false;
    }
    return memory->probe_write(memory->opaque, address, size, &bad) ||
           page_fault(cpu, bad, X86_PF_WRITE, fault);
}

/* SDM vol. 1, 3.7.4: the stack segment is the one of such bases if no prefix names FS or GS. */
static uint32_t operand_vector(const struct x86_insn *insn)
{
    const struct native_insn *native = &insn->native;
    bool stack = native->base == X86_RSP || native->base == X86_RBP;

    return stack && native->segment == NATIVE_DS ? X86_VECTOR_SS : X86_VECTOR_GP;
}

bool x86_read(struct x86_cpu *cpu, const struct x86_insn *insn, uint64_t address, void *to,
              size_t size, struct x86_fault *fault)
{
    if (x86_system_mode(&cpu->system)) {
        return x86_system_operand(cpu, insn, address, size, X86_ACCESS_READ, fault) &&
               x86_linear_read(cpu, address, to, size, X86_ACCESS_READ, fault);
    }
    return read_memory(cpu, address, to, size, operand_vector(insn), fault);
}

bool x86_write_probed(struct x86_cpu *cpu, uint64_t address, const void *from, size_t size,
                      struct x86_fault *fault)
{
    const struct x86_memory_access *memory = x86_memory_of(cpu);
    uint64_t bad;

    if (x86_system_mode(&cpu->system)) {
        return x86_linear_write(cpu, address, from, size, X86_ACCESS_WRITE, fault);
    }
    return memory->write(memory->opaque, address, from, size, &bad) ||
           page_fault(cpu, bad, X86_PF_WRITE, fault);
}

bool x86_write(struct x86_cpu *cpu, const struct x86_insn *insn, uint64_t address, const void *from,
               size_t size, struct x86_fault *fault)
{
    return x86_probe_write(cpu, insn, address, size, fault) &&
           x86_write_probed(cpu, address, from, size, fault);
}

bool x86_read_stack(struct x86_cpu *cpu, uint64_t address, void *to, size_t size,
                    struct x86_fault *fault)
{
    return read_memory(cpu, address, to, size, X86_VECTOR_SS, fault);
}

bool x86_write_stack(struct x86_cpu *cpu, uint64_t address, const void *from, size_t size,
                     struct x86_fault *fault)
{
    return probe_memory(cpu, address, size, X86_VECTOR_SS, fault) &&
           x86_write_probed(cpu, address, from, size, fault);
}

/* FXSAVE's order is another than XSAVE's: first the address, then its alignment, and the last byte
 * before the first. What begins in the kernel's half faults there, wherever it ends. */
bool x86_check_area(struct x86_cpu *cpu, const struct x86_insn *insn, uint64_t address, size_t size,
                    unsigned alignment, struct x86_fault *fault)
{
    bool write = insn->native.mem_access & NATIVE_WRITE;
    uint64_t last = address + size - 1;
    uint64_t byte[2] = {alignment == 16 ? last : address, alignment == 16 ? address : last};
    uint8_t value;

    if (alignment == 64 && (address & 63)) {
        return x86_raise_gp(fault, 0);
    }
    if (x86_system_mode(&cpu->system)
            ? !x86_system_operand(cpu, insn, address, size,
                                  write ? X86_ACCESS_WRITE : X86_ACCESS_READ, fault)
            : !check_canonical(address, 1, operand_vector(insn), fault)) {
        return false;
    }
    if (address & (alignment - 1)) {
        return x86_raise_gp(fault, 0);
    }
    if (address >> 63) {
        byte[0] = address;
    }
    for (unsigned i = 0; i < 2; i++) {
        if (write ? !x86_probe_write(cpu, insn, byte[i], 1, fault)
                  : !x86_read(cpu, insn, byte[i], &value, 1, fault)) {
            return false;
        }
    }
    return true;
}

bool x86_probe_write(struct x86_cpu *cpu, const struct x86_insn *insn, uint64_t address,
                     size_t size, struct x86_fault *fault)
{
    if (x86_system_mode(&cpu->system)) {
        return x86_system_operand(cpu, insn, address, size, X86_ACCESS_WRITE, fault) &&
               x86_linear_probe(cpu, address, size, X86_ACCESS_WRITE, fault);
    }
    return probe_memory(cpu, address, size, operand_vector(insn), fault);
}

/* --- flags */

uint64_t x86_get_rflags(const struct x86_cpu *cpu)
{
    if (x86_system_mode(&cpu->system)) {
        return (cpu->state.flags & (NATIVE_ARITH | NATIVE_DF)) |
               (cpu->system_flags & X86_FLAGS_KEPT) | X86_FLAG_ONE;
    }
    return (cpu->state.flags & (NATIVE_ARITH | NATIVE_DF)) |
           (cpu->system_flags & X86_FLAGS_SYSTEM) | X86_FLAG_IF | X86_FLAG_ONE;
}

void x86_set_rflags(struct x86_cpu *cpu, uint64_t rflags)
{
    cpu->state.flags = (rflags & (NATIVE_ARITH | NATIVE_DF)) | X86_FLAG_IF | X86_FLAG_ONE;
    cpu->system_flags =
        rflags & (x86_system_mode(&cpu->system) ? X86_FLAGS_KEPT : X86_FLAGS_SYSTEM);
}

static bool help_pushf(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    unsigned size = insn->native.opsize == 2 ? 2 : 8;
    uint64_t rflags = x86_get_rflags(cpu), at = cpu->state.reg[X86_RSP] - size;

    if (!x86_write_stack(cpu, at, &rflags, size, fault)) {
        return false;
    }
    cpu->state.reg[X86_RSP] = at;
    return x86_done(cpu, insn);
}

/* SDM vol. 2, POPF: at CPL 3 neither IF nor IOPL change, without an exception. */
static bool help_popf(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    unsigned size = insn->native.opsize == 2 ? 2 : 8;
    uint64_t rflags = x86_get_rflags(cpu);

    if (!x86_read_stack(cpu, cpu->state.reg[X86_RSP], &rflags, size, fault)) {
        return false;
    }
    cpu->state.reg[X86_RSP] += size;
    x86_set_rflags(cpu, rflags);
    return x86_done(cpu, insn);
}

/* --- what the CPU is */

/* The host's CPU that runs this thread: in user mode, what a program means when it asks. */
static uint32_t apic_id(const struct x86_cpu *cpu)
{
    int number = sched_getcpu();

    return number < 0 ? 0 : (uint32_t)number % cpu->model->cpus;
}

/* SDM vol. 3, 11.4.3: CPUID tells of the APIC only while it is enabled. */
static bool apic_is_off(const struct x86_cpu *cpu)
{
    enum { APIC_BASE = 0x1b, ENABLED = 1 << 11 };
    const struct cpu_bus *bus = cpu->system.bus;
    uint32_t leaf = (uint32_t)cpu->state.reg[X86_RAX];
    uint64_t base = 0;

    return (leaf == 1 || leaf == 0x80000001) && bus->read_msr &&
           bus->read_msr(bus->opaque, APIC_BASE, &base) && !(base & ENABLED);
}

static bool help_cpuid(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    struct x86_cpuid_place place = {.xcr0 = cpu->xcr0, .osxsave = true};
    uint32_t out[4];

    (void)fault;
    if (x86_system_mode(&cpu->system)) {
        place.apic_id = cpu->system.number;
        place.osxsave = cpu->system.cr4 & X86_CR4_OSXSAVE;
        place.ospke = cpu->system.cr4 & X86_CR4_PKE;
        place.no_apic = apic_is_off(cpu);
    } else {
        place.apic_id = apic_id(cpu);
    }
    x86_cpuid(cpu->model, &place, (uint32_t)cpu->state.reg[X86_RAX],
              (uint32_t)cpu->state.reg[X86_RCX], out);
    cpu->state.reg[X86_RAX] = out[0];
    cpu->state.reg[X86_RBX] = out[1];
    cpu->state.reg[X86_RCX] = out[2];
    cpu->state.reg[X86_RDX] = out[3];
    return x86_done(cpu, insn);
}

/* --- time and chance */

/* What Linux puts into TSC_AUX: the node above 12 bits of CPU number. */
static uint32_t tsc_aux(void)
{
    unsigned number = 0, node = 0;

    getcpu(&number, &node);
    return node << 12 | number;
}

static bool help_rdtsc(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    const struct native_insn *native = &insn->native;
    uint64_t time;

    (void)fault;
    if (native->opcode == 0xc7) { /* RDPID */
        cpu->state.reg[native->rm] = tsc_aux();
        return x86_done(cpu, insn);
    }
    time = __rdtsc();
    cpu->state.reg[X86_RAX] = (uint32_t)time;
    cpu->state.reg[X86_RDX] = time >> 32;
    if (native->opcode == 0x01) { /* RDTSCP */
        cpu->state.reg[X86_RCX] = tsc_aux();
    }
    return x86_done(cpu, insn);
}

static bool draw(bool seed, uint64_t *value)
{
    bool carry;

    if (seed) {
        __asm__ volatile("rdseed %0" : "=r"(*value), "=@ccc"(carry));
    } else {
        __asm__ volatile("rdrand %0" : "=r"(*value), "=@ccc"(carry));
    }
    return carry;
}

/* RDRAND is /6, RDSEED /7 of 0F C7. CF says whether there was a number, which is 0 otherwise. */
static bool help_random(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    bool seed = (insn->native.reg & 7) == 7;
    uint64_t value;

    if (!x86_has(&cpu->model->features, seed ? X86_FEATURE_RDSEED : X86_FEATURE_RDRAND)) {
        return x86_raise_ud(fault);
    }
    bool there = draw(seed, &value);
    x86_set_gpr(cpu, insn->native.rm, insn->native.opsize, there ? value : 0);
    cpu->state.flags = (cpu->state.flags & ~(uint64_t)NATIVE_ARITH) | (there ? NATIVE_CF : 0);
    return x86_done(cpu, insn);
}

x86_helper_fn *const x86_helpers[X86_LOWERINGS_COUNT] = {
    [X86_LOWER_FAR] = x86_help_far,
    [X86_LOWER_IRET] = x86_help_iret,
    [X86_LOWER_CPUID] = help_cpuid,
    [X86_LOWER_XGETBV] = x86_help_xgetbv,
    [X86_LOWER_XSAVE] = x86_help_xsave,
    [X86_LOWER_XRSTOR] = x86_help_xrstor,
    [X86_LOWER_FXSAVE] = x86_help_fxsave,
    [X86_LOWER_FNSTENV] = x86_help_fnstenv,
    [X86_LOWER_PUSHF] = help_pushf,
    [X86_LOWER_POPF] = help_popf,
    [X86_LOWER_MOV_TO_SEG] = x86_help_mov_to_seg,
    [X86_LOWER_MOV_SEG] = x86_help_mov_seg,
    [X86_LOWER_SEG_BASE] = x86_help_seg_base,
    [X86_LOWER_RDTSC] = help_rdtsc,
    [X86_LOWER_RANDOM] = help_random,
};
