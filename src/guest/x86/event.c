/* SPDX-License-Identifier: MIT
 *
 * Exceptions of instructions, double and triple faults, and what is pending at a boundary: traps,
 * NMI, interrupts, INIT (SDM vol. 3, 6.7 to 6.9, 6.15); INT n and its relatives. */
#include <string.h>

#include "guest/x86/internal.h"
#include "trace-guest_x86.h"

/* --- double faults (SDM vol. 3, table 6-5) */

enum severity { BENIGN, CONTRIBUTORY, PAGE_FAULT, DOUBLE };

static enum severity severity_of(unsigned kind, unsigned vector)
{
    if (kind != X86_EVENT_EXCEPTION) {
        return BENIGN;
    }
    switch (vector) {
    case X86_VECTOR_DE:
    case X86_VECTOR_TS:
    case X86_VECTOR_NP:
    case X86_VECTOR_SS:
    case X86_VECTOR_GP: return CONTRIBUTORY;
    case X86_VECTOR_PF: return PAGE_FAULT;
    case X86_VECTOR_DF: return DOUBLE;
    default: return BENIGN;
    }
}

static bool makes_double(enum severity first, enum severity second)
{
    return (first == CONTRIBUTORY && second == CONTRIBUTORY) ||
           (first == PAGE_FAULT && (second == CONTRIBUTORY || second == PAGE_FAULT));
}

static void shut_down(struct x86_cpu *cpu, unsigned vector)
{
    const struct cpu_bus *bus = cpu->system.bus;

    trace_guest_triple_fault(cpu->system.number, cpu->segment[NATIVE_CS], cpu->state.pc,
                             (uint8_t)vector);
    x86_set_activity(cpu, X86_SHUTDOWN);
    bus->shutdown(bus->opaque);
}

/* What an exception leaves in registers, whether or not it can be delivered. */
static void note(struct x86_cpu *cpu, const struct x86_fault *fault)
{
    if (fault->vector == X86_VECTOR_PF) {
        cpu->system.cr2 = fault->address;
        trace_guest_page_fault(cpu->system.number, fault->address, fault->error,
                               cpu->segment[NATIVE_CS], cpu->state.pc, cpu->system.cpl);
    } else if (fault->vector == X86_VECTOR_DB) {
        cpu->system.dr6 = (cpu->system.dr6 & ~(uint64_t)X86_DR6_B) | fault->address;
        cpu->system.dr7 &= ~(uint64_t)X86_DR7_GD;
    }
}

static struct x86_event event_of(const struct x86_cpu *cpu, const struct x86_fault *fault)
{
    return (struct x86_event){
        .vector = (uint8_t)fault->vector,
        .kind = X86_EVENT_EXCEPTION,
        .raised = (uint8_t)fault->vector,
        .during = X86_DURING_NONE,
        .has_error = fault->has_error && x86_protected(cpu),
        .error = fault->error,
        .next = cpu->state.pc,
    };
}

/* Benign exceptions that raise benign ones, as #AC at a misaligned stack does, would follow each
 * other for ever on a processor. Nothing could end that, so the CPU shuts down. */
enum { ROUNDS = 64 };

static void deliver(struct x86_cpu *cpu, struct x86_event event)
{
    struct x86_fault fault;

    for (unsigned round = 0; !x86_enter(cpu, &event, &fault); round++) {
        enum severity first = severity_of(event.kind, event.vector);
        struct x86_event second;

        if (first == DOUBLE || round == ROUNDS) {
            shut_down(cpu, fault.vector);
            return;
        }
        note(cpu, &fault);
        second = event_of(cpu, &fault);
        if (makes_double(first, severity_of(X86_EVENT_EXCEPTION, fault.vector))) {
            second.vector = X86_VECTOR_DF;
            second.error = 0;
            second.has_error = x86_protected(cpu);
        }
        second.during = first == BENIGN ? X86_DURING_NONE : event.vector;
        event = second;
    }
    x86_set_activity(cpu, X86_RUNNING);
}

void x86_raise(struct x86_cpu *cpu, const struct x86_fault *fault)
{
    note(cpu, fault);
    deliver(cpu, event_of(cpu, fault));
}

/* --- at a boundary */

static uint32_t requests(const struct x86_cpu *cpu)
{
    return __atomic_load_n(&cpu->system.requests, __ATOMIC_SEQ_CST);
}

static bool take_request(struct x86_cpu *cpu, uint32_t request)
{
    return __atomic_fetch_and(&cpu->system.requests, ~request, __ATOMIC_SEQ_CST) & request;
}

static bool interrupts_on(const struct x86_cpu *cpu)
{
    return cpu->system_flags & X86_FLAG_IF && !cpu->system.shadow;
}

/* Of the requests, those that would be heard now. */
static uint32_t heard(const struct x86_cpu *cpu)
{
    uint32_t all = requests(cpu), result = all & X86_REQUEST_INIT;

    switch (cpu->system.activity) {
    case X86_WAITING_FOR_SIPI: return all & (X86_REQUEST_INIT | X86_REQUEST_SIPI);
    case X86_SHUTDOWN: return all & (X86_REQUEST_INIT | X86_REQUEST_NMI);
    default: break;
    }
    if (!cpu->system.nmi_blocked && !(cpu->system.shadow & X86_SHADOW_SS)) {
        result |= all & X86_REQUEST_NMI;
    }
    if (interrupts_on(cpu)) {
        result |= all & X86_REQUEST_INTERRUPT;
    }
    return result;
}

static bool trap_pending(const struct x86_cpu *cpu)
{
    return cpu->system.pending_debug && !(cpu->system.shadow & X86_SHADOW_SS);
}

bool x86_event_pending(const struct x86_cpu *cpu)
{
    return x86_event_wakes(cpu) || cpu->system.activity != X86_RUNNING;
}

bool x86_event_wakes(const struct x86_cpu *cpu)
{
    return heard(cpu) || trap_pending(cpu);
}

static bool take_interrupt(struct x86_cpu *cpu)
{
    const struct cpu_bus *bus = cpu->system.bus;
    int vector = bus->acknowledge(bus->opaque);

    if (vector < 0) {
        return false;
    }
    deliver(cpu, (struct x86_event){.vector = (uint8_t)vector,
                                    .kind = X86_EVENT_INTERRUPT,
                                    .next = cpu->state.pc});
    return true;
}

static void take_nmi(struct x86_cpu *cpu)
{
    cpu->system.nmi_blocked = true;
    deliver(cpu, (struct x86_event){
                     .vector = X86_VECTOR_NMI, .kind = X86_EVENT_NMI, .next = cpu->state.pc});
}

static void take_trap(struct x86_cpu *cpu)
{
    struct x86_fault fault;

    x86_raise_db(&fault, cpu->system.pending_debug);
    cpu->system.pending_debug = 0;
    x86_raise(cpu, &fault);
}

enum x86_taken x86_take_event(struct x86_cpu *cpu)
{
    uint32_t wanted = heard(cpu);

    if (wanted & X86_REQUEST_INIT && take_request(cpu, X86_REQUEST_INIT)) {
        x86_system_init(cpu);
        return cpu->system.activity == X86_RUNNING ? X86_TAKEN_DELIVERED : X86_TAKEN_WAIT;
    }
    if (wanted & X86_REQUEST_SIPI && take_request(cpu, X86_REQUEST_SIPI)) {
        x86_system_sipi(cpu, __atomic_load_n(&cpu->system.sipi_vector, __ATOMIC_SEQ_CST));
        return X86_TAKEN_DELIVERED;
    }
    if (cpu->system.activity != X86_WAITING_FOR_SIPI) {
        take_request(cpu, X86_REQUEST_SIPI); /* it is for those that wait */
    }
    if (trap_pending(cpu) && cpu->system.activity <= X86_MWAITING) {
        take_trap(cpu);
        return X86_TAKEN_DELIVERED;
    }
    if (wanted & X86_REQUEST_NMI && take_request(cpu, X86_REQUEST_NMI)) {
        take_nmi(cpu);
        return X86_TAKEN_DELIVERED;
    }
    if (wanted & X86_REQUEST_INTERRUPT && take_interrupt(cpu)) {
        return X86_TAKEN_DELIVERED;
    }
    return cpu->system.activity == X86_RUNNING ? X86_TAKEN_NONE : X86_TAKEN_WAIT;
}

void x86_instruction_done(struct x86_cpu *cpu, bool trap_flag)
{
    cpu->system.shadow = 0;
    cpu->system_flags &= ~(uint64_t)X86_FLAG_RF;
    if (trap_flag) {
        cpu->system.pending_debug |= X86_DR6_BS;
    }
    x86_update_mode(cpu);
}

bool x86_float_error(struct x86_cpu *cpu, struct x86_fault *fault)
{
    const struct cpu_bus *bus = cpu->system.bus;

    if (cpu->system.cr0 & X86_CR0_NE) {
        return x86_raise_plain(fault, X86_VECTOR_MF);
    }
    bus->float_error(bus->opaque);
    return true;
}

/* --- instructions that enter a handler; single step ends with them */

static bool software(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned vector,
                     enum x86_event_kind kind, struct x86_fault *fault)
{
    struct x86_event event = {
        .vector = (uint8_t)vector,
        .kind = (uint8_t)kind,
        .next = insn->pc + insn->length,
    };

    return x86_enter(cpu, &event, fault);
}

bool x86_sys_int(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    return software(cpu, insn, insn->native.imm & 0xff, X86_EVENT_INT, fault);
}

bool x86_sys_int3(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    return software(cpu, insn, X86_VECTOR_BP, X86_EVENT_TRAP, fault);
}

bool x86_sys_into(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    if (!(cpu->state.flags & NATIVE_OF)) {
        return x86_done(cpu, insn);
    }
    return software(cpu, insn, X86_VECTOR_OF, X86_EVENT_TRAP, fault);
}

bool x86_sys_int1(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    return software(cpu, insn, X86_VECTOR_DB, X86_EVENT_ICEBP, fault);
}

/* A signed index beside its two bounds; the upper one counts. */
bool x86_sys_bound(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    unsigned size = insn->native.opsize == 2 ? 2 : 4;
    int64_t low, high, index;
    uint8_t bounds[8];

    if (!x86_operand_read(cpu, insn, 0, bounds, 2 * size, fault)) {
        return false;
    }
    if (size == 2) {
        int16_t value[2];

        memcpy(value, bounds, sizeof value);
        low = value[0];
        high = value[1];
        index = (int16_t)cpu->state.reg[insn->native.reg & 7];
    } else {
        int32_t value[2];

        memcpy(value, bounds, sizeof value);
        low = value[0];
        high = value[1];
        index = (int32_t)cpu->state.reg[insn->native.reg & 7];
    }
    if (index < low || index > high) {
        return x86_raise_plain(fault, X86_VECTOR_BR);
    }
    return x86_done(cpu, insn);
}
