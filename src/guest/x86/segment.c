/* SPDX-License-Identifier: MIT
 *
 * Instructions that load and store segment registers and descriptor tables, or ask what a
 * descriptor would allow (SDM vol. 2, MOV, POP, LDS, LGDT, LLDT, LTR, LAR, LSL, VERR, ARPL). */
#include <string.h>

#include "guest/x86/internal.h"

/* Operand size 2, or what the mode has. */
static unsigned stack_operand(const struct x86_cpu *cpu, const struct x86_insn *insn)
{
    if (x86_code64(cpu)) {
        return insn->native.opsize == 2 ? 2 : 8;
    }
    return insn->native.opsize == 2 ? 2 : 4;
}

/* --- segment registers */

static void loaded_ss(struct x86_cpu *cpu, unsigned segment)
{
    if (segment == NATIVE_SS) {
        cpu->system.shadow |= X86_SHADOW_SS;
    }
}

bool x86_sys_mov_to_seg(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    unsigned segment = insn->native.reg & 7;
    uint16_t selector;

    if (segment == NATIVE_CS || segment > NATIVE_GS) {
        return x86_raise_ud(fault);
    }
    if (!x86_operand_word(cpu, insn, &selector, fault) ||
        !x86_load_segment(cpu, segment, selector, fault)) {
        return false;
    }
    loaded_ss(cpu, segment);
    return x86_done(cpu, insn);
}

/* Of PUSH and POP. */
static unsigned segment_in_opcode(const struct native_insn *native)
{
    if (native->map == NATIVE_MAP_0F) {
        return native->opcode < 0xa8 ? NATIVE_FS : NATIVE_GS;
    }
    return native->opcode >> 3 & 3;
}

bool x86_sys_pop_seg(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    unsigned segment = segment_in_opcode(&insn->native);
    struct x86_stack stack;
    uint64_t value;

    x86_stack_open(cpu, &stack);
    if (!x86_pop(cpu, &stack, stack_operand(cpu, insn), &value, 1, fault) ||
        !x86_load_segment(cpu, segment, (uint16_t)value, fault)) {
        return false;
    }
    x86_stack_close(cpu, &stack); /* with the width that SS had */
    loaded_ss(cpu, segment);
    return x86_done(cpu, insn);
}

bool x86_sys_far_pointer(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    const struct native_insn *native = &insn->native;
    unsigned size = native->opsize, segment;
    uint64_t offset = 0;
    uint8_t pointer[10];
    uint16_t selector;

    if (native->map == NATIVE_MAP_ONE) {
        segment = native->opcode == 0xc4 ? NATIVE_ES : NATIVE_DS;
    } else {
        segment = native->opcode == 0xb2   ? NATIVE_SS
                  : native->opcode == 0xb4 ? NATIVE_FS
                                           : NATIVE_GS;
    }
    if (!x86_operand_read(cpu, insn, 0, pointer, size + 2, fault)) {
        return false;
    }
    memcpy(&offset, pointer, size);
    memcpy(&selector, pointer + size, 2);
    if (!x86_load_segment(cpu, segment, selector, fault)) {
        return false;
    }
    x86_set_gpr(cpu, native->reg, size, offset);
    return x86_done(cpu, insn);
}

bool x86_sys_mov_seg(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    const struct native_insn *native = &insn->native;
    unsigned segment = native->reg & 7;

    if (segment > NATIVE_GS) {
        return x86_raise_ud(fault);
    }
    if (native->modrm == NATIVE_MODRM_REG) {
        x86_set_gpr(cpu, native->rm, native->opsize, cpu->segment[segment]);
    } else if (!x86_operand_write(cpu, insn, 0, &cpu->segment[segment], 2, fault)) {
        return false;
    }
    return x86_done(cpu, insn);
}

bool x86_sys_push_seg(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    uint64_t value = cpu->segment[segment_in_opcode(&insn->native)];
    struct x86_stack stack;

    x86_stack_open(cpu, &stack);
    if (!x86_push(cpu, &stack, stack_operand(cpu, insn), &value, 1, fault)) {
        return false;
    }
    x86_stack_close(cpu, &stack);
    return x86_done(cpu, insn);
}

bool x86_sys_seg_base(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    const struct native_insn *native = &insn->native;
    unsigned segment = native->reg & 1 ? NATIVE_GS : NATIVE_FS, size = native->w ? 8 : 4;
    uint64_t value;

    if (!(cpu->system.cr4 & X86_CR4_FSGSBASE) || !x86_code64(cpu)) {
        return x86_raise_ud(fault);
    }
    if (!(native->reg & 2)) {
        x86_set_gpr(cpu, native->rm, size, cpu->system.segment[segment].base);
        return x86_done(cpu, insn);
    }
    value = x86_get_gpr(cpu, native->rm, size);
    if (!x86_is_canonical(value)) {
        return x86_raise_error(fault, X86_VECTOR_GP, 0);
    }
    x86_set_segment_base(cpu, segment, value);
    return x86_done(cpu, insn);
}

/* --- 0F 00: SLDT, STR, LLDT, LTR, VERR, VERW */

static bool umip_forbids(const struct x86_cpu *cpu)
{
    return cpu->system.cr4 & X86_CR4_UMIP && cpu->system.cpl > 0;
}

static bool store_word(struct x86_cpu *cpu, const struct x86_insn *insn, uint64_t value,
                       struct x86_fault *fault)
{
    uint16_t word = (uint16_t)value;

    if (insn->native.modrm == NATIVE_MODRM_REG) {
        x86_set_gpr(cpu, insn->native.rm, insn->native.opsize, value);
    } else if (!x86_operand_write(cpu, insn, 0, &word, 2, fault)) {
        return false;
    }
    return x86_done(cpu, insn);
}

static bool store_selector(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned segment,
                           struct x86_fault *fault)
{
    if (umip_forbids(cpu)) {
        return x86_raise_error(fault, X86_VECTOR_GP, 0);
    }
    return store_word(cpu, insn, cpu->system.segment[segment].selector, fault);
}

/* The descriptor of an LDT or TSS; `type` is what it must have, without the bits of `but`. */
static bool find_system(struct x86_cpu *cpu, uint16_t selector, unsigned type, unsigned but,
                        struct x86_descriptor *descriptor, struct x86_segment *segment,
                        struct x86_fault *fault)
{
    uint32_t error = x86_selector_error(selector, 0), high = 0, bits;

    if (selector & 4) {
        return x86_raise_error(fault, X86_VECTOR_GP, error);
    }
    if (!x86_read_descriptor(cpu, selector, X86_VECTOR_GP, 0, descriptor, fault)) {
        return false;
    }
    *segment = x86_segment_of(descriptor);
    bits = segment->attributes;
    if (bits & X86_SEG_S || (x86_type(bits) & ~but) != type ||
        (x86_long(cpu) && but && x86_type(bits) != X86_TYPE_TSS32)) {
        return x86_raise_error(fault, X86_VECTOR_GP, error);
    }
    if (!(bits & X86_SEG_PRESENT)) {
        return x86_raise_error(fault, X86_VECTOR_NP, error);
    }
    if (!x86_long(cpu)) {
        return true;
    }
    if (!x86_read_upper(cpu, descriptor, X86_VECTOR_GP, 0, &high, fault)) {
        return false;
    }
    segment->base |= (uint64_t)high << 32;
    return x86_is_canonical(segment->base) || x86_raise_error(fault, X86_VECTOR_GP, error);
}

static bool load_ldt(struct x86_cpu *cpu, uint16_t selector, struct x86_fault *fault)
{
    struct x86_segment ldt = {.selector = selector};
    struct x86_descriptor descriptor;

    if (!x86_null(selector) &&
        !find_system(cpu, selector, X86_TYPE_LDT, 0, &descriptor, &ldt, fault)) {
        return false;
    }
    x86_set_segment(cpu, X86_LDTR, &ldt);
    return true;
}

static bool load_task(struct x86_cpu *cpu, uint16_t selector, struct x86_fault *fault)
{
    enum { BUSY = 2, BIT_32 = 8 };
    struct x86_descriptor descriptor;
    struct x86_segment tss;

    if (x86_null(selector)) {
        return x86_raise_error(fault, X86_VECTOR_GP, 0);
    }
    if (!find_system(cpu, selector, X86_TYPE_TSS16, BIT_32, &descriptor, &tss, fault) ||
        !x86_linear_change(cpu, descriptor.address + 5, BUSY, 0, fault)) {
        return false;
    }
    tss.attributes |= BUSY << 8;
    x86_set_segment(cpu, X86_TR, &tss);
    return true;
}

static void set_zf(struct x86_cpu *cpu, bool on)
{
    x86_change_rflags(cpu, on ? NATIVE_ZF : 0, NATIVE_ZF);
}

/* Reads a descriptor for those that do not fault for what it says; `found`: there is one. */
static bool peek(struct x86_cpu *cpu, uint16_t selector, struct x86_descriptor *descriptor,
                 bool *found, struct x86_fault *fault)
{
    *found = x86_has_descriptor(cpu, selector);
    return !*found || x86_read_descriptor(cpu, selector, X86_VECTOR_GP, 0, descriptor, fault);
}

static bool visible(const struct x86_cpu *cpu, uint16_t selector, uint32_t bits)
{
    bool conforming = x86_is_code(bits) && bits & X86_SEG_CONFORMING;

    return conforming || (cpu->system.cpl <= x86_dpl(bits) && (selector & 3u) <= x86_dpl(bits));
}

static bool verify(struct x86_cpu *cpu, uint16_t selector, bool write, struct x86_fault *fault)
{
    struct x86_descriptor descriptor;
    bool ok;

    if (!peek(cpu, selector, &descriptor, &ok, fault)) {
        return false;
    }
    if (ok) {
        uint32_t bits = descriptor.high;

        ok = bits & X86_SEG_S && visible(cpu, selector, bits) &&
             (write ? x86_is_writable_data(bits) : x86_is_data(bits) || bits & X86_SEG_READABLE);
    }
    set_zf(cpu, ok);
    return true;
}

bool x86_sys_group6(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    unsigned which = insn->native.reg & 7;
    uint16_t selector;
    bool ok;

    if (x86_real(cpu)) {
        return x86_raise_ud(fault);
    }
    if (which < 2) {
        return store_selector(cpu, insn, which ? X86_TR : X86_LDTR, fault);
    }
    if (which < 4 && cpu->system.cpl) {
        return x86_raise_error(fault, X86_VECTOR_GP, 0);
    }
    if (!x86_operand_word(cpu, insn, &selector, fault)) {
        return false;
    }
    switch (which) {
    case 2: ok = load_ldt(cpu, selector, fault); break;
    case 3: ok = load_task(cpu, selector, fault); break;
    default: ok = verify(cpu, selector, which == 5, fault); break;
    }
    return ok && x86_done(cpu, insn);
}

/* --- 0F 01: SGDT, SIDT, LGDT, LIDT, SMSW, LMSW, INVLPG */

static bool store_table(struct x86_cpu *cpu, const struct x86_insn *insn,
                        const struct x86_table_register *table, struct x86_fault *fault)
{
    uint8_t bytes[10];

    if (umip_forbids(cpu)) {
        return x86_raise_error(fault, X86_VECTOR_GP, 0);
    }
    memcpy(bytes, &table->limit, 2);
    memcpy(bytes + 2, &table->base, 8);
    return x86_operand_write(cpu, insn, 0, bytes, x86_code64(cpu) ? 10 : 6, fault) &&
           x86_done(cpu, insn);
}

/* With an operand size of 16 bits the base has 24 bits. */
static bool load_table(struct x86_cpu *cpu, const struct x86_insn *insn,
                       struct x86_table_register *table, struct x86_fault *fault)
{
    struct x86_table_register loaded = {0};
    bool wide = x86_code64(cpu);
    uint8_t bytes[10];

    if (cpu->system.cpl) {
        return x86_raise_error(fault, X86_VECTOR_GP, 0);
    }
    if (!x86_operand_read(cpu, insn, 0, bytes, wide ? 10 : 6, fault)) {
        return false;
    }
    memcpy(&loaded.limit, bytes, 2);
    memcpy(&loaded.base, bytes + 2, wide ? 8 : 4);
    if (!wide && insn->native.opsize == 2) {
        loaded.base &= 0xffffff;
    }
    if (!x86_is_canonical(loaded.base)) {
        return x86_raise_error(fault, X86_VECTOR_GP, 0);
    }
    *table = loaded;
    return x86_done(cpu, insn);
}

/* PE can be set, not cleared. */
static bool load_status(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    enum { LOADED = 15 };
    uint64_t cr0 = cpu->system.cr0;
    uint16_t value;

    if (cpu->system.cpl) {
        return x86_raise_error(fault, X86_VECTOR_GP, 0);
    }
    if (!x86_operand_word(cpu, insn, &value, fault)) {
        return false;
    }
    cr0 = (cr0 & ~(uint64_t)(LOADED & ~X86_CR0_PE)) | (value & LOADED);
    return x86_write_cr0(cpu, cr0, fault) && x86_done(cpu, insn);
}

static bool invalidate(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    if (cpu->system.cpl) {
        return x86_raise_error(fault, X86_VECTOR_GP, 0);
    }
    x86_flush(cpu, CPU_FLUSH_PAGE, x86_operand_linear(cpu, insn));
    return x86_done(cpu, insn);
}

/* Without a modrm of memory the group is other instructions, by modrm.rm. */
static bool group7_register(struct x86_cpu *cpu, const struct x86_insn *insn,
                            struct x86_fault *fault)
{
    static const struct {
        uint8_t reg, rm;
        x86_helper_fn *help;
    } others[] = {
        {1, 0, x86_sys_monitor}, {1, 1, x86_sys_mwait},  {1, 2, x86_sys_ac},   {1, 3, x86_sys_ac},
        {2, 0, x86_sys_xgetbv},  {2, 1, x86_sys_xsetbv}, {5, 6, x86_sys_pkru}, {5, 7, x86_sys_pkru},
        {7, 0, x86_sys_swapgs},  {7, 1, x86_sys_rdtsc},
    };

    for (unsigned i = 0; i < sizeof others / sizeof *others; i++) {
        if (others[i].reg == (insn->native.reg & 7) && others[i].rm == (insn->native.rm & 7)) {
            return others[i].help(cpu, insn, fault);
        }
    }
    return x86_raise_ud(fault);
}

bool x86_sys_group7(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    bool memory = insn->native.modrm == NATIVE_MODRM_MEM;

    switch (insn->native.reg & 7) {
    case 4:
        if (umip_forbids(cpu)) {
            return x86_raise_error(fault, X86_VECTOR_GP, 0);
        }
        return store_word(cpu, insn, cpu->system.cr0, fault);
    case 6: return load_status(cpu, insn, fault);
    default: break;
    }
    if (!memory) {
        return group7_register(cpu, insn, fault);
    }
    switch (insn->native.reg & 7) {
    case 0: return store_table(cpu, insn, &cpu->system.gdt, fault);
    case 1: return store_table(cpu, insn, &cpu->system.idt, fault);
    case 2: return load_table(cpu, insn, &cpu->system.gdt, fault);
    case 3: return load_table(cpu, insn, &cpu->system.idt, fault);
    default: return invalidate(cpu, insn, fault);
    }
}

/* --- LAR, LSL, ARPL */

/* Types of system descriptors that LAR and LSL accept (SDM vol. 2, tables 3-50 and 3-54). */
static bool type_accepted(const struct x86_cpu *cpu, unsigned type, bool limit)
{
    enum {
        LIMITS = 1 << X86_TYPE_TSS16 | 1 << X86_TYPE_LDT | 1 << X86_TYPE_TSS16_BUSY |
                 1 << X86_TYPE_TSS32 | 1 << X86_TYPE_TSS32_BUSY,
        RIGHTS = LIMITS | 1 << X86_TYPE_CALL16 | 1 << X86_TYPE_TASK_GATE | 1 << X86_TYPE_CALL32,
        LIMITS_LONG = 1 << X86_TYPE_LDT | 1 << X86_TYPE_TSS32 | 1 << X86_TYPE_TSS32_BUSY,
        RIGHTS_LONG = LIMITS_LONG | 1 << X86_TYPE_CALL32,
    };

    if (x86_long(cpu)) {
        return (limit ? LIMITS_LONG : RIGHTS_LONG) >> type & 1;
    }
    return (limit ? LIMITS : RIGHTS) >> type & 1;
}

/* 0F 02, 0F 03. */
bool x86_sys_lar_lsl(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    bool limit = insn->native.opcode == 3, ok;
    struct x86_descriptor descriptor;
    uint16_t selector;

    if (x86_real(cpu)) {
        return x86_raise_ud(fault);
    }
    if (!x86_operand_word(cpu, insn, &selector, fault) ||
        !peek(cpu, selector, &descriptor, &ok, fault)) {
        return false;
    }
    ok = ok && visible(cpu, selector, descriptor.high) &&
         (descriptor.high & X86_SEG_S || type_accepted(cpu, x86_type(descriptor.high), limit));
    if (ok) {
        struct x86_segment segment = x86_segment_of(&descriptor);

        x86_set_gpr(cpu, insn->native.reg, insn->native.opsize,
                    limit ? segment.limit : descriptor.high & 0x00ffff00);
    }
    set_zf(cpu, ok);
    return x86_done(cpu, insn);
}

bool x86_sys_arpl(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    uint16_t source = (uint16_t)cpu->state.reg[insn->native.reg & 7], target;
    bool less;

    if (x86_real(cpu)) {
        return x86_raise_ud(fault);
    }
    if (!x86_operand_word(cpu, insn, &target, fault)) {
        return false;
    }
    less = (target & 3) < (source & 3);
    if (less) {
        target = (uint16_t)((target & ~3) | (source & 3));
        if (insn->native.modrm == NATIVE_MODRM_REG) {
            x86_set_gpr(cpu, insn->native.rm, 2, target);
        } else if (!x86_operand_write(cpu, insn, 0, &target, 2, fault)) {
            return false;
        }
    }
    set_zf(cpu, less);
    return x86_done(cpu, insn);
}
