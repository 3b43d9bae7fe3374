/* SPDX-License-Identifier: MIT
 *
 * Ports: IN, OUT, INS, OUTS (SDM vol. 1, chapter 19). */
#include "guest/x86/internal.h"

/* Elements of a repeated instruction between two looks at what is pending. */
enum { AT_ONCE = 1024 };

/* Of IN and OUT: a byte for even opcodes, else by operand size, never 8. */
static unsigned io_size(const struct native_insn *native)
{
    return !(native->opcode & 1) ? 1 : native->opsize == 2 ? 2 : 4;
}

static uint16_t port_of(const struct x86_cpu *cpu, const struct native_insn *native)
{
    return native->opcode & 8 ? (uint16_t)cpu->state.reg[X86_RDX] : native->imm & 0xff;
}

bool x86_sys_in(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    const struct cpu_bus *bus = cpu->system.bus;
    unsigned size = io_size(&insn->native);
    uint16_t port = port_of(cpu, &insn->native);
    uint32_t value;

    if (!x86_io_allowed(cpu, port, size, fault)) {
        return false;
    }
    value = bus->in(bus->opaque, port, size);
    if (size == 1) {
        cpu->state.reg[X86_RAX] = (cpu->state.reg[X86_RAX] & ~UINT64_C(0xff)) | (value & 0xff);
    } else {
        x86_set_gpr(cpu, X86_RAX, size, value);
    }
    x86_debug_io(cpu, port, size);
    return x86_done(cpu, insn);
}

bool x86_sys_out(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    const struct cpu_bus *bus = cpu->system.bus;
    unsigned size = io_size(&insn->native);
    uint16_t port = port_of(cpu, &insn->native);

    if (!x86_io_allowed(cpu, port, size, fault)) {
        return false;
    }
    bus->out(bus->opaque, port, (uint32_t)x86_get_gpr(cpu, X86_RAX, size), size);
    x86_debug_io(cpu, port, size);
    return x86_done(cpu, insn);
}

/* --- strings */

static void advance(struct x86_cpu *cpu, unsigned number, unsigned address_size, unsigned size)
{
    uint64_t step = cpu->state.flags & NATIVE_DF ? -(uint64_t)size : size;

    x86_set_gpr(cpu, number, address_size, cpu->state.reg[number] + step);
}

static bool in_once(struct x86_cpu *cpu, const struct x86_insn *insn, uint16_t port, unsigned size,
                    struct x86_fault *fault)
{
    const struct cpu_bus *bus = cpu->system.bus;
    unsigned address_size = x86_address_size(cpu, insn);
    uint64_t offset = x86_get_gpr(cpu, X86_RDI, address_size);
    uint32_t value;

    if (!x86_seg_probe(cpu, NATIVE_ES, offset, size, fault)) {
        return false;
    }
    value = bus->in(bus->opaque, port, size);
    if (!x86_seg_write(cpu, NATIVE_ES, offset, &value, size, fault)) {
        return false;
    }
    advance(cpu, X86_RDI, address_size, size);
    return true;
}

static bool out_once(struct x86_cpu *cpu, const struct x86_insn *insn, uint16_t port, unsigned size,
                     struct x86_fault *fault)
{
    const struct cpu_bus *bus = cpu->system.bus;
    unsigned address_size = x86_address_size(cpu, insn);
    uint64_t offset = x86_get_gpr(cpu, X86_RSI, address_size);
    uint32_t value = 0;

    if (!x86_seg_read(cpu, insn->native.segment, offset, &value, size, fault)) {
        return false;
    }
    bus->out(bus->opaque, port, value, size);
    advance(cpu, X86_RSI, address_size, size);
    return true;
}

typedef bool once_fn(struct x86_cpu *cpu, const struct x86_insn *insn, uint16_t port, unsigned size,
                     struct x86_fault *fault);

/* Stops before the end for debug traps, and to let others in: the instruction is begun again. */
static bool string(struct x86_cpu *cpu, const struct x86_insn *insn, once_fn *once,
                   struct x86_fault *fault)
{
    unsigned size = io_size(&insn->native), address_size = x86_address_size(cpu, insn);
    bool repeat = insn->native.attributes & NATIVE_REP;
    uint16_t port = (uint16_t)cpu->state.reg[X86_RDX];
    unsigned most = cpu->system_flags & X86_FLAG_TF ? 1 : AT_ONCE;

    if (!x86_io_allowed(cpu, port, size, fault)) {
        return false;
    }
    if (!repeat) {
        if (!once(cpu, insn, port, size, fault)) {
            return false;
        }
        x86_debug_io(cpu, port, size);
        return x86_done(cpu, insn);
    }
    for (unsigned i = 0; i < most && !cpu->system.pending_debug; i++) {
        uint64_t count = x86_get_gpr(cpu, X86_RCX, address_size);

        if (count == 0) {
            return x86_done(cpu, insn);
        }
        if (!once(cpu, insn, port, size, fault)) {
            return false;
        }
        x86_turn_done(cpu);
        x86_set_gpr(cpu, X86_RCX, address_size, count - 1);
        x86_debug_io(cpu, port, size);
    }
    return x86_get_gpr(cpu, X86_RCX, address_size) ? x86_again(cpu) : x86_done(cpu, insn);
}

bool x86_sys_ins(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    return string(cpu, insn, in_once, fault);
}

bool x86_sys_outs(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    return string(cpu, insn, out_once, fault);
}
