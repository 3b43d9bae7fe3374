/* SPDX-License-Identifier: MIT
 *
 * Control and debug registers, and the changes of mode that come with them (SDM vol. 3, 2.5, 9.8,
 * 17.2; vol. 2, MOV). */
#include <string.h>

#include "guest/x86/cpuid.h"
#include "guest/x86/internal.h"
#include "trace-guest_x86.h"

static bool has(const struct x86_cpu *cpu, enum x86_feature feature)
{
    return x86_has(&cpu->model->features, feature);
}

static bool refuse(struct x86_fault *fault)
{
    return x86_raise_error(fault, X86_VECTOR_GP, 0);
}

/* Whether CR3 points to four PDPTEs. */
static bool uses_pdptes(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
    return cr0 & X86_CR0_PG && cr4 & X86_CR4_PAE && !(efer & X86_EFER_LME);
}

/* --- CR0 */

static bool check_cr0(const struct x86_cpu *cpu, uint64_t value)
{
    const struct x86_system *system = &cpu->system;
    uint32_t cs = system->segment[NATIVE_CS].attributes;

    if (value >> 32 || (value & X86_CR0_PG && !(value & X86_CR0_PE)) ||
        (value & X86_CR0_NW && !(value & X86_CR0_CD))) {
        return false;
    }
    if (value & X86_CR0_PG && !(system->cr0 & X86_CR0_PG) && system->efer & X86_EFER_LME) {
        return system->cr4 & X86_CR4_PAE && !(cs & X86_SEG_LONG) &&
               x86_type(system->segment[X86_TR].attributes) != X86_TYPE_TSS16_BUSY;
    }
    if (!(value & X86_CR0_PG) && system->cr0 & X86_CR0_PG) {
        return !x86_code64(cpu) && !(system->cr4 & X86_CR4_PCIDE);
    }
    return true;
}

bool x86_write_cr0(struct x86_cpu *cpu, uint64_t value, struct x86_fault *fault)
{
    const uint64_t bits = X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_ET |
                          X86_CR0_NE | X86_CR0_WP | X86_CR0_AM | X86_CR0_NW | X86_CR0_CD |
                          X86_CR0_PG;
    struct x86_system *system = &cpu->system;
    uint64_t old = system->cr0, pdpte[4];

    if (!check_cr0(cpu, value)) {
        return refuse(fault);
    }
    value = (value & bits) | X86_CR0_ET;
    if (uses_pdptes(value, system->cr4, system->efer) && (old ^ value) & X86_CR0_PG) {
        if (!x86_load_pdptes(cpu, system->cr3, pdpte)) {
            return refuse(fault);
        }
        memcpy(system->pdpte, pdpte, sizeof pdpte);
    }
    system->cr0 = value;
    if ((old ^ value) & X86_CR0_PG) {
        system->efer &= ~(uint64_t)X86_EFER_LMA;
        system->efer |= value & X86_CR0_PG && system->efer & X86_EFER_LME ? X86_EFER_LMA : 0;
    }
    trace_guest_cr_write(system->number, 0, old, value);
    x86_update_mode(cpu);
    if ((old ^ value) & (X86_CR0_PG | X86_CR0_PE)) {
        x86_flush(cpu, CPU_FLUSH_ALL, 0);
    } else if ((old ^ value) & X86_CR0_WP) {
        x86_flush(cpu, CPU_FLUSH_RIGHTS, 0);
    }
    return true;
}

/* --- CR3 */

bool x86_write_cr3(struct x86_cpu *cpu, uint64_t value, struct x86_fault *fault)
{
    struct x86_system *system = &cpu->system;
    uint64_t old = system->cr3, pdpte[4];
    bool keep = value >> 63 && system->cr4 & X86_CR4_PCIDE;

    if (keep) {
        value &= ~(UINT64_C(1) << 63);
    }
    if (x86_long(cpu) && value >> system->physical_bits) {
        return refuse(fault);
    }
    if (uses_pdptes(system->cr0, system->cr4, system->efer)) {
        if (!x86_load_pdptes(cpu, value, pdpte)) {
            return refuse(fault);
        }
        memcpy(system->pdpte, pdpte, sizeof pdpte);
    }
    system->cr3 = value;
    trace_guest_cr_write(system->number, 3, old, value);
    if (keep) {
        x86_space_changed(cpu);
    } else {
        x86_flush(cpu, CPU_FLUSH_SPACE, 0);
    }
    return true;
}

/* --- CR4 */

static uint64_t cr4_bits(const struct x86_cpu *cpu)
{
    static const struct {
        uint32_t bits;
        uint8_t feature;
    } rows[] = {
        {X86_CR4_VME | X86_CR4_PVI, X86_FEATURE_VME},
        {X86_CR4_TSD, X86_FEATURE_TSC},
        {X86_CR4_DE, X86_FEATURE_DE},
        {X86_CR4_PSE, X86_FEATURE_PSE},
        {X86_CR4_PAE, X86_FEATURE_PAE},
        {X86_CR4_MCE, X86_FEATURE_MCE},
        {X86_CR4_PGE, X86_FEATURE_PGE},
        {X86_CR4_PCE, X86_FEATURE_NONE},
        {X86_CR4_OSFXSR, X86_FEATURE_FXSR},
        {X86_CR4_OSXMMEXCPT, X86_FEATURE_SSE},
        {X86_CR4_UMIP, X86_FEATURE_UMIP},
        {X86_CR4_FSGSBASE, X86_FEATURE_FSGSBASE},
        {X86_CR4_PCIDE, X86_FEATURE_PCID},
        {X86_CR4_OSXSAVE, X86_FEATURE_XSAVE},
        {X86_CR4_SMEP, X86_FEATURE_SMEP},
        {X86_CR4_SMAP, X86_FEATURE_SMAP},
        {X86_CR4_PKE, X86_FEATURE_PKU},
    };
    uint64_t result = 0;

    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].feature == X86_FEATURE_NONE || has(cpu, rows[i].feature)) {
            result |= rows[i].bits;
        }
    }
    return result;
}

static bool check_cr4(const struct x86_cpu *cpu, uint64_t value)
{
    const struct x86_system *system = &cpu->system;
    uint64_t set = value & ~system->cr4;

    if (value & ~cr4_bits(cpu) || (x86_long(cpu) && !(value & X86_CR4_PAE))) {
        return false;
    }
    return !(set & X86_CR4_PCIDE) || (x86_long(cpu) && !(system->cr3 & 0xfff));
}

bool x86_write_cr4(struct x86_cpu *cpu, uint64_t value, struct x86_fault *fault)
{
    const uint64_t all = X86_CR4_PSE | X86_CR4_PAE | X86_CR4_PGE | X86_CR4_PCIDE;
    struct x86_system *system = &cpu->system;
    uint64_t old = system->cr4, change = old ^ value, pdpte[4];

    if (!check_cr4(cpu, value)) {
        return refuse(fault);
    }
    if (uses_pdptes(system->cr0, value, system->efer) && change & (all | X86_CR4_SMEP)) {
        if (!x86_load_pdptes(cpu, system->cr3, pdpte)) {
            return refuse(fault);
        }
        memcpy(system->pdpte, pdpte, sizeof pdpte);
    }
    system->cr4 = value;
    trace_guest_cr_write(system->number, 4, old, value);
    x86_update_mode(cpu);
    if (change & all) {
        x86_flush(cpu, CPU_FLUSH_ALL, 0);
    } else if (change & (X86_CR4_SMEP | X86_CR4_SMAP | X86_CR4_PKE)) {
        x86_flush(cpu, CPU_FLUSH_RIGHTS, 0);
    }
    return true;
}

/* --- EFER */

bool x86_write_efer(struct x86_cpu *cpu, uint64_t value)
{
    struct x86_system *system = &cpu->system;
    uint64_t old = system->efer, bits = X86_EFER_LMA;

    bits |= has(cpu, X86_FEATURE_SYSCALL) ? X86_EFER_SCE : 0;
    bits |= has(cpu, X86_FEATURE_LM) ? X86_EFER_LME : 0;
    bits |= has(cpu, X86_FEATURE_NX) ? X86_EFER_NXE : 0;
    if (value & ~bits || ((old ^ value) & X86_EFER_LME && system->cr0 & X86_CR0_PG)) {
        return false;
    }
    system->efer = (value & ~(uint64_t)X86_EFER_LMA) | (old & X86_EFER_LMA);
    if ((old ^ value) & X86_EFER_NXE) {
        x86_flush(cpu, CPU_FLUSH_ALL, 0);
    }
    return true;
}

/* --- the instructions */

static unsigned word_size(const struct x86_cpu *cpu)
{
    return x86_code64(cpu) ? 8 : 4;
}

bool x86_sys_mov_from_cr(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    const struct x86_system *system = &cpu->system;
    const struct cpu_bus *bus = system->bus;
    uint64_t value;

    if (system->cpl) {
        return refuse(fault);
    }
    switch (insn->native.reg) {
    case 0: value = system->cr0; break;
    case 2: value = system->cr2; break;
    case 3: value = system->cr3; break;
    case 4: value = system->cr4; break;
    case 8: value = bus->read_tpr(bus->opaque); break;
    default: return x86_raise_ud(fault);
    }
    x86_set_gpr(cpu, insn->native.rm, word_size(cpu), value);
    return x86_done(cpu, insn);
}

bool x86_sys_mov_to_cr(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    struct x86_system *system = &cpu->system;
    const struct cpu_bus *bus = system->bus;
    uint64_t value = x86_get_gpr(cpu, insn->native.rm, word_size(cpu));
    bool ok = true;

    if (system->cpl) {
        return refuse(fault);
    }
    switch (insn->native.reg) {
    case 0: ok = x86_write_cr0(cpu, value, fault); break;
    case 2:
        trace_guest_cr_write(system->number, 2, system->cr2, value);
        system->cr2 = value;
        break;
    case 3: ok = x86_write_cr3(cpu, value, fault); break;
    case 4: ok = x86_write_cr4(cpu, value, fault); break;
    case 8:
        if (value > 15) {
            return refuse(fault);
        }
        trace_guest_cr_write(system->number, 8, bus->read_tpr(bus->opaque), value);
        bus->write_tpr(bus->opaque, (uint8_t)value);
        break;
    default: return x86_raise_ud(fault);
    }
    return ok && x86_done(cpu, insn);
}

/* DR4 and DR5 are DR6 and DR7 unless CR4.DE makes them undefined; GD guards them all. */
static bool debug_register(struct x86_cpu *cpu, unsigned *number, struct x86_fault *fault)
{
    struct x86_system *system = &cpu->system;

    if (*number > 7 || ((*number == 4 || *number == 5) && system->cr4 & X86_CR4_DE)) {
        return x86_raise_ud(fault);
    }
    if (system->cpl) {
        return refuse(fault);
    }
    if (system->dr7 & X86_DR7_GD) {
        return x86_raise_db(fault, X86_DR6_BD);
    }
    if (*number == 4 || *number == 5) {
        *number += 2;
    }
    return true;
}

bool x86_sys_mov_from_dr(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    unsigned number = insn->native.reg;
    uint64_t value;

    if (!debug_register(cpu, &number, fault)) {
        return false;
    }
    value = number < 4 ? cpu->system.dr[number] : number == 6 ? cpu->system.dr6 : cpu->system.dr7;
    x86_set_gpr(cpu, insn->native.rm, word_size(cpu), value);
    return x86_done(cpu, insn);
}

bool x86_sys_mov_to_dr(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    enum { DR6_WRITABLE = 0xe00f };
    const uint64_t dr7_writable = 0xffff2bff;
    unsigned number = insn->native.reg;
    uint64_t value = x86_get_gpr(cpu, insn->native.rm, word_size(cpu));

    if (!debug_register(cpu, &number, fault)) {
        return false;
    }
    if (number >= 6 && value >> 32) {
        return refuse(fault);
    }
    if (number < 4) {
        cpu->system.dr[number] = value;
    } else if (number == 6) {
        cpu->system.dr6 = X86_DR6_ONES | (value & DR6_WRITABLE);
    } else {
        cpu->system.dr7 = X86_DR7_ONES | (value & dr7_writable);
    }
    return x86_done(cpu, insn);
}

bool x86_sys_clts(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    if (cpu->system.cpl) {
        return refuse(fault);
    }
    cpu->system.cr0 &= ~(uint64_t)X86_CR0_TS;
    return x86_done(cpu, insn);
}

/* INVD, WBINVD, WBNOINVD: there are no caches. */
bool x86_sys_wbinvd(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    return cpu->system.cpl ? refuse(fault) : x86_done(cpu, insn);
}

/* CLFLUSH, CLFLUSHOPT, CLWB: what a load may not reach they may not either. */
bool x86_sys_clflush(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    uint64_t linear = x86_operand_linear(cpu, insn);

    return x86_system_operand(cpu, insn, linear, 1, X86_ACCESS_READ, fault) &&
           x86_linear_probe(cpu, linear, 1, X86_ACCESS_READ, fault) && x86_done(cpu, insn);
}

bool x86_sys_invpcid(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    enum { ADDRESS, CONTEXT, ALL, ALL_BUT_GLOBAL };
    uint64_t type = x86_get_gpr(cpu, insn->native.reg, word_size(cpu)), descriptor[2];
    static const uint8_t what[] = {CPU_FLUSH_PAGE_OF, CPU_FLUSH_SPACE, CPU_FLUSH_ALL,
                                   CPU_FLUSH_SPACES};

    if (x86_v86(cpu) || cpu->system.cpl) {
        return refuse(fault);
    }
    if (!x86_operand_read(cpu, insn, 0, descriptor, sizeof descriptor, fault)) {
        return false;
    }
    if (type > ALL_BUT_GLOBAL || descriptor[0] >> 12 ||
        (type <= CONTEXT && descriptor[0] && !(cpu->system.cr4 & X86_CR4_PCIDE)) ||
        (type == ADDRESS && !x86_is_canonical(descriptor[1]))) {
        return refuse(fault);
    }
    x86_flush_of(cpu, (enum cpu_flush)what[type], descriptor[1], (uint16_t)descriptor[0]);
    return x86_done(cpu, insn);
}
