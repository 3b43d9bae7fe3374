/* SPDX-License-Identifier: MIT
 *
 * Segment registers, their bases, far transfers and IRET, as a 64-bit program of Linux meets them:
 * flat segments from a descriptor table of which it can use four rows (SDM vol. 2, MOV, and vol. 3,
 * 3.4 and 5.5). A transfer into another mode than 64-bit does not work: such a selector faults. */
#include "guest/x86/helpers.h"

enum { SELECTOR_CODE = 0x33, SELECTOR_DATA = 0x2b };

/* Rows of Linux's descriptor table with privilege level 3, by selector without RPL. */
static const struct descriptor {
    uint16_t selector;
    bool readable, writable;
} descriptors[] = {
    {0x20, true, false}, /* 32-bit code */
    {0x28, true, true},  /* data */
    {0x30, true, false}, /* 64-bit code */
    {0x78, true, false}, /* data: its limit tells the number of the CPU */
};

static const struct descriptor *find_descriptor(uint16_t selector)
{
    for (size_t i = 0; i < sizeof descriptors / sizeof *descriptors; i++) {
        if ((selector & 0xfffc) == descriptors[i].selector) {
            return &descriptors[i];
        }
    }
    return NULL;
}

static bool is_null(uint16_t selector)
{
    return !(selector & 0xfffc);
}

static bool check_selector(unsigned segment, uint16_t selector, struct x86_fault *fault)
{
    const struct descriptor *row = find_descriptor(selector);

    if (segment == NATIVE_SS) {
        return (row && row->writable && (selector & 3) == 3) ||
               x86_raise_gp(fault, selector & 0xfffc);
    }
    return is_null(selector) || (row && row->readable) || x86_raise_gp(fault, selector & 0xfffc);
}

/* Every descriptor's base is 0, and so is a null selector's. */
static void set_segment(struct x86_cpu *cpu, unsigned segment, uint16_t selector)
{
    cpu->segment[segment] = selector;
    if (segment == NATIVE_FS) {
        cpu->state.thread_base = 0;
    } else if (segment == NATIVE_GS) {
        cpu->state.other_base = 0;
    }
}

/* LES, LDS, LSS, LFS, LGS: an offset for a register and a selector behind it. */
static bool load_far_pointer(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned segment,
                             struct x86_fault *fault)
{
    unsigned size = insn->native.opsize;
    uint64_t address = x86_effective_address(cpu, insn), offset = 0;
    uint16_t selector;

    if (!x86_read(cpu, insn, address, &offset, size, fault) ||
        !x86_read(cpu, insn, address + size, &selector, 2, fault) ||
        !check_selector(segment, selector, fault)) {
        return false;
    }
    x86_set_gpr(cpu, insn->native.reg, size, offset);
    set_segment(cpu, segment, selector);
    return x86_done(cpu, insn);
}

static bool pop_segment(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned segment,
                        struct x86_fault *fault)
{
    unsigned size = insn->native.opsize == 2 ? 2 : 8;
    uint64_t value = 0;

    if (!x86_read_stack(cpu, cpu->state.reg[X86_RSP], &value, size, fault) ||
        !check_selector(segment, (uint16_t)value, fault)) {
        return false;
    }
    cpu->state.reg[X86_RSP] += size;
    set_segment(cpu, segment, (uint16_t)value);
    return x86_done(cpu, insn);
}

bool x86_help_mov_to_seg(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    const struct native_insn *native = &insn->native;
    unsigned segment = native->reg & 7;
    uint16_t selector;

    if (native->map == NATIVE_MAP_0F) {
        switch (native->opcode) {
        case 0xa1: return pop_segment(cpu, insn, NATIVE_FS, fault);
        case 0xa9: return pop_segment(cpu, insn, NATIVE_GS, fault);
        case 0xb2: return load_far_pointer(cpu, insn, NATIVE_SS, fault);
        case 0xb4: return load_far_pointer(cpu, insn, NATIVE_FS, fault);
        default: return load_far_pointer(cpu, insn, NATIVE_GS, fault);
        }
    }
    if (native->opcode != 0x8e || segment == NATIVE_CS || segment > NATIVE_GS) {
        return x86_raise_ud(fault);
    }
    if (native->modrm == NATIVE_MODRM_REG) {
        selector = (uint16_t)cpu->state.reg[native->rm];
    } else if (!x86_read(cpu, insn, x86_effective_address(cpu, insn), &selector, 2, fault)) {
        return false;
    }
    if (!check_selector(segment, selector, fault)) {
        return false;
    }
    set_segment(cpu, segment, selector);
    return x86_done(cpu, insn);
}

static bool push_segment(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned segment,
                         struct x86_fault *fault)
{
    unsigned size = insn->native.opsize == 2 ? 2 : 8;
    uint64_t value = cpu->segment[segment], at = cpu->state.reg[X86_RSP] - size;

    if (!x86_write_stack(cpu, at, &value, size, fault)) {
        return false;
    }
    cpu->state.reg[X86_RSP] = at;
    return x86_done(cpu, insn);
}

/* To a register, the selector is zero-extended to the operand size; to memory, it is two bytes. */
bool x86_help_mov_seg(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    const struct native_insn *native = &insn->native;
    unsigned segment = native->reg & 7;

    if (native->map == NATIVE_MAP_0F) {
        return push_segment(cpu, insn, native->opcode == 0xa0 ? NATIVE_FS : NATIVE_GS, fault);
    }
    if (native->opcode != 0x8c || segment > NATIVE_GS) {
        return x86_raise_ud(fault);
    }
    if (native->modrm == NATIVE_MODRM_REG) {
        x86_set_gpr(cpu, native->rm, native->opsize, cpu->segment[segment]);
    } else if (!x86_write(cpu, insn, x86_effective_address(cpu, insn), &cpu->segment[segment], 2,
                          fault)) {
        return false;
    }
    return x86_done(cpu, insn);
}

/* F3 0F AE: /0 RDFSBASE, /1 RDGSBASE, /2 WRFSBASE, /3 WRGSBASE. */
bool x86_help_seg_base(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    const struct native_insn *native = &insn->native;
    uint64_t *base = native->reg & 1 ? &cpu->state.other_base : &cpu->state.thread_base;
    uint64_t value;

    if (!(native->reg & 2)) {
        cpu->state.reg[native->rm] = native->w ? *base : (uint32_t)*base;
        return x86_done(cpu, insn);
    }
    value = native->w ? cpu->state.reg[native->rm] : (uint32_t)cpu->state.reg[native->rm];
    if (!x86_is_canonical(value)) {
        return x86_raise_gp(fault, 0);
    }
    *base = value;
    return x86_done(cpu, insn);
}

/* JMP and CALL take any RPL up to 3, returns only 3. */
static bool check_code(uint16_t selector, bool returns, uint64_t pc, struct x86_fault *fault)
{
    if ((selector & 0xfffc) != (SELECTOR_CODE & 0xfffc) || (returns && (selector & 3) != 3)) {
        return x86_raise_gp(fault, selector & 0xfffc);
    }
    return x86_is_canonical(pc) || x86_raise_gp(fault, 0);
}

/* Reads `count` stack slots of `size` bytes, zero-extended. */
static bool read_slots(struct x86_cpu *cpu, unsigned size, unsigned count, uint64_t *slot,
                       struct x86_fault *fault)
{
    for (unsigned i = 0; i < count; i++) {
        slot[i] = 0;
        if (!x86_read_stack(cpu, cpu->state.reg[X86_RSP] + size * i, &slot[i], size, fault)) {
            return false;
        }
    }
    return true;
}

static bool far_return(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    unsigned size = insn->native.opsize;
    uint64_t slot[2], more = insn->native.opcode == 0xca ? (uint16_t)insn->native.imm : 0;

    if (!read_slots(cpu, size, 2, slot, fault) ||
        !check_code((uint16_t)slot[1], true, slot[0], fault)) {
        return false;
    }
    cpu->state.reg[X86_RSP] += 2 * size + more;
    cpu->segment[NATIVE_CS] = SELECTOR_CODE;
    cpu->state.pc = slot[0];
    return true;
}

/* CA, CB RETF; FF /3 CALL, FF /5 JMP through memory. */
bool x86_help_far(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    const struct native_insn *native = &insn->native;
    unsigned size = native->opsize;
    uint64_t address, pc = 0, at, slot[2];
    uint16_t selector;

    if (native->opcode != 0xff) {
        return far_return(cpu, insn, fault);
    }
    address = x86_effective_address(cpu, insn);
    if (!x86_read(cpu, insn, address, &pc, size, fault) ||
        !x86_read(cpu, insn, address + size, &selector, 2, fault) ||
        !check_code(selector, false, pc, fault)) {
        return false;
    }
    if ((native->reg & 7) == 3) {
        slot[0] = insn->pc + insn->length;
        slot[1] = cpu->segment[NATIVE_CS];
        if (size != 8) { /* pack the two */
            slot[0] = (size == 2 ? (uint16_t)slot[0] : (uint32_t)slot[0]) | slot[1] << 8 * size;
        }
        at = cpu->state.reg[X86_RSP] - 2 * size;
        if (!x86_write_stack(cpu, at, slot, 2 * size, fault)) {
            return false;
        }
        cpu->state.reg[X86_RSP] = at;
    }
    cpu->segment[NATIVE_CS] = SELECTOR_CODE;
    cpu->state.pc = pc;
    return true;
}

/* In 64-bit mode all five are popped, whatever the operand size (SDM vol. 2, IRET). */
bool x86_help_iret(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    unsigned size = insn->native.opsize;
    uint64_t slot[5], rflags = x86_get_rflags(cpu);

    if (rflags & X86_FLAG_NT) {
        return x86_raise_gp(fault, 0);
    }
    if (!read_slots(cpu, size, 5, slot, fault) ||
        !check_code((uint16_t)slot[1], true, slot[0], fault)) {
        return false;
    }
    if ((uint16_t)slot[4] != SELECTOR_DATA) {
        return x86_raise_gp(fault, (uint32_t)slot[4] & 0xfffc);
    }
    if (size == 2) {
        slot[2] = (rflags & ~UINT64_C(0xffff)) | slot[2];
    }
    x86_set_rflags(cpu, slot[2]);
    x86_set_gpr(cpu, X86_RSP, 8, slot[3]);
    cpu->segment[NATIVE_CS] = SELECTOR_CODE;
    cpu->segment[NATIVE_SS] = SELECTOR_DATA;
    cpu->state.pc = slot[0];
    return true;
}
