/* SPDX-License-Identifier: MIT
 *
 * Breakpoints in the debug registers (SDM vol. 3, 17.2). */
#include "guest/x86/internal.h"

enum kind { EXECUTE, WRITE, IO, ACCESS };

static bool enabled(const struct x86_cpu *cpu, unsigned i)
{
    return cpu->system.dr7 >> (2 * i) & 3;
}

static enum kind kind_of(const struct x86_cpu *cpu, unsigned i)
{
    return cpu->system.dr7 >> (16 + 4 * i) & 3;
}

/* LEN 2 means 8 bytes; addresses are aligned to it. */
static bool overlaps(const struct x86_cpu *cpu, unsigned i, uint64_t address, size_t size)
{
    static const uint8_t lengths[] = {1, 2, 8, 4};
    unsigned length = lengths[cpu->system.dr7 >> (18 + 4 * i) & 3];
    uint64_t start = cpu->system.dr[i] & ~(uint64_t)(length - 1);

    return address < start + length && start < address + size;
}

/* DR6 tells of breakpoints that are not enabled too, but only enabled ones trap; what is not
 * enabled is left out here, as it may be. */
bool x86_debug_data(struct x86_cpu *cpu, uint64_t linear, size_t size, bool write)
{
    uint64_t hit = 0;

    for (unsigned i = 0; i < 4; i++) {
        enum kind kind = kind_of(cpu, i);

        if (enabled(cpu, i) && (kind == ACCESS || (kind == WRITE && write)) &&
            overlaps(cpu, i, linear, size)) {
            hit |= 1u << i;
        }
    }
    cpu->system.pending_debug |= hit;
    return hit;
}

bool x86_debug_io(struct x86_cpu *cpu, uint16_t port, unsigned size)
{
    uint64_t hit = 0;

    for (unsigned i = 0; i < 4 && cpu->system.cr4 & X86_CR4_DE; i++) {
        if (enabled(cpu, i) && kind_of(cpu, i) == IO && overlaps(cpu, i, port, size)) {
            hit |= 1u << i;
        }
    }
    cpu->system.pending_debug |= hit;
    return hit;
}

bool x86_debug_execute(struct x86_cpu *cpu, uint64_t linear, struct x86_fault *fault)
{
    uint64_t hit = 0;

    if (cpu->system_flags & X86_FLAG_RF || cpu->system.shadow & X86_SHADOW_SS) {
        return false;
    }
    for (unsigned i = 0; i < 4; i++) {
        if (enabled(cpu, i) && kind_of(cpu, i) == EXECUTE && cpu->system.dr[i] == linear) {
            hit |= 1u << i;
        }
    }
    if (hit) {
        x86_raise_db(fault, hit);
    }
    return hit;
}
