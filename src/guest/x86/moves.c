/* SPDX-License-Identifier: MIT
 *
 * Moves whose places in memory depend on what is in registers: XLAT, MASKMOVQ and MASKMOVDQU,
 * VMASKMOV and VPMASKMOV, gathers (SDM vol. 2).
 *
 * Elements whose mask bit is clear are not touched and do not fault. None of the vector ones checks
 * alignment. */
#include <string.h>

#include "guest/x86/internal.h"
#include "guest/x86/xstate.h"

enum { YMM = 32, XMM = 16, MM = 8 };

bool x86_sys_xlat(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    uint64_t mask = x86_size_mask(x86_address_size(cpu, insn));
    uint64_t offset = cpu->state.reg[X86_RBX] + (uint8_t)cpu->state.reg[X86_RAX];
    uint8_t value;

    if (!x86_seg_read(cpu, insn->native.segment, offset & mask, &value, 1, fault)) {
        return false;
    }
    cpu->state.reg[X86_RAX] = (cpu->state.reg[X86_RAX] & ~UINT64_C(0xff)) | value;
    return x86_done(cpu, insn);
}

/* --- elements in memory */

/* What is moved, and where its first element is. */
struct vector_move {
    struct x86_cpu *cpu;
    uint8_t data[YMM], mask[YMM];
    unsigned size, count; /* of elements */
    unsigned segment;
    uint64_t offset, offset_mask;
};

static bool selected(const struct vector_move *v, unsigned i)
{
    return v->mask[(i + 1) * v->size - 1] & 0x80;
}

static bool locate(const struct vector_move *v, uint64_t offset, unsigned access, uint64_t *linear,
                   struct x86_fault *fault)
{
    return x86_seg_linear(v->cpu, v->segment, offset & v->offset_mask, v->size, access, linear,
                          fault);
}

static bool read_element(struct vector_move *v, unsigned i, uint64_t offset,
                         struct x86_fault *fault)
{
    uint64_t linear;

    return locate(v, offset, X86_ACCESS_READ, &linear, fault) &&
           x86_linear_read(v->cpu, linear, v->data + i * v->size, v->size, X86_ACCESS_READ, fault);
}

/* Selected elements; others become zero. */
static bool load(struct vector_move *v, struct x86_fault *fault)
{
    memset(v->data, 0, sizeof v->data);
    for (unsigned i = 0; i < v->count; i++) {
        if (selected(v, i) && !read_element(v, i, v->offset + i * v->size, fault)) {
            return false;
        }
    }
    return true;
}

/* Selected elements, when all of them have been asked for. */
static bool store(struct vector_move *v, struct x86_fault *fault)
{
    uint64_t linear[YMM];

    for (unsigned i = 0; i < v->count; i++) {
        if (selected(v, i) &&
            (!locate(v, v->offset + i * v->size, X86_ACCESS_WRITE, &linear[i], fault) ||
             !x86_linear_probe(v->cpu, linear[i], v->size, X86_ACCESS_WRITE, fault))) {
            return false;
        }
    }
    for (unsigned i = 0; i < v->count; i++) {
        if (selected(v, i) && !x86_linear_write(v->cpu, linear[i], v->data + i * v->size, v->size,
                                                X86_ACCESS_WRITE, fault)) {
            return false;
        }
    }
    return true;
}

/* --- masked moves */

/* Bytes, at rDI. */
static struct vector_move open_bytes(struct x86_cpu *cpu, const struct x86_insn *insn,
                                     unsigned count)
{
    return (struct vector_move){
        .cpu = cpu,
        .size = 1,
        .count = count,
        .segment = insn->native.segment,
        .offset = cpu->state.reg[X86_RDI],
        .offset_mask = x86_size_mask(x86_address_size(cpu, insn)),
    };
}

static bool maskmovdqu(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    struct vector_move v = open_bytes(cpu, insn, XMM);

    x86_xstate_get_xmm(cpu->state.vector, insn->native.reg, v.data);
    x86_xstate_get_xmm(cpu->state.vector, insn->native.rm, v.mask);
    return store(&v, fault) && x86_done(cpu, insn);
}

/* The x87 unit may have an exception pending; then it is MMX's. */
static bool maskmovq(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    struct vector_move v = open_bytes(cpu, insn, MM);

    if (x86_xstate_pending(cpu->state.vector)) {
        return x86_float_error(cpu, fault);
    }
    x86_xstate_get_mm(cpu->state.vector, insn->native.reg & 7, v.data);
    x86_xstate_get_mm(cpu->state.vector, insn->native.rm & 7, v.mask);
    if (!store(&v, fault)) {
        return false;
    }
    x86_xstate_enter_mmx(cpu->state.vector);
    return x86_done(cpu, insn);
}

bool x86_sys_maskmov(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    return insn->native.attributes & NATIVE_X87 ? maskmovq(cpu, insn, fault)
                                                : maskmovdqu(cpu, insn, fault);
}

static struct vector_move open_operand(struct x86_cpu *cpu, const struct x86_insn *insn,
                                       unsigned size)
{
    struct vector_move v = {
        .cpu = cpu,
        .size = size,
        .count = (insn->native.vex_l ? YMM : XMM) / size,
        .segment = x86_operand_segment(cpu, insn),
        .offset_mask = x86_size_mask(x86_address_size(cpu, insn)),
    };
    struct x86_insn plain = *insn;

    if (insn->native.attributes & NATIVE_VSIB) {
        plain.native.index = NATIVE_NONE; /* a vector register */
    }
    v.offset = x86_operand_offset(cpu, &plain);
    x86_xstate_get_ymm(cpu->state.vector, insn->native.vvvv, v.mask);
    x86_xstate_get_ymm(cpu->state.vector, insn->native.reg, v.data);
    return v;
}

/* VMASKMOVPS 2C, 2E; VMASKMOVPD 2D, 2F; VPMASKMOVD and Q 8C, 8E. The second of each pair stores. */
bool x86_sys_vmaskmov(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    const struct native_insn *native = &insn->native;
    bool wide = native->opcode & 0x80 ? native->w : native->opcode & 1;
    struct vector_move v = open_operand(cpu, insn, wide ? 8 : 4);

    if (native->mem_access & NATIVE_WRITE) {
        return store(&v, fault) && x86_done(cpu, insn);
    }
    if (!load(&v, fault)) {
        return false;
    }
    x86_xstate_set_ymm(cpu->state.vector, native->reg, v.data);
    return x86_done(cpu, insn);
}

/* --- gathers */

static int64_t index_at(const uint8_t *indices, unsigned i, unsigned size)
{
    int64_t wide;
    int32_t narrow;

    if (size == 8) {
        memcpy(&wide, indices + 8 * i, 8);
        return wide;
    }
    memcpy(&narrow, indices + 4 * i, 4);
    return narrow;
}

/* What has been done counts: elements that are behind us have no mask any more. What is left of the
 * mask stays as it is, where the SDM makes it all ones or zeros: only its upper bits mean
 * something, and AMD's processors do so. */
static void keep_gathered(const struct vector_move *v, const struct x86_insn *insn)
{
    x86_xstate_set_ymm(v->cpu->state.vector, insn->native.reg, v->data);
    x86_xstate_set_ymm(v->cpu->state.vector, insn->native.vvvv, v->mask);
}

/* 90, 92: indices of 4 bytes, 91, 93: of 8. Elements are gathered from the lowest on; a fault, or a
 * trap of an element before, ends it in the middle. */
bool x86_sys_gather(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    const struct native_insn *native = &insn->native;
    struct vector_move v = open_operand(cpu, insn, native->w ? 8 : 4);
    unsigned index_size = native->opcode & 1 ? 8 : 4;
    uint64_t pending = cpu->system.pending_debug;
    uint8_t indices[YMM];

    if (v.size < index_size) {
        v.count /= 2; /* as many as there are indices */
    }
    x86_xstate_get_ymm(cpu->state.vector, native->index, indices);
    for (unsigned i = 0; i < v.count; i++) {
        uint64_t index = (uint64_t)index_at(indices, i, index_size) * native->scale;

        if (selected(&v, i) && cpu->system.pending_debug != pending) {
            keep_gathered(&v, insn);
            return x86_again(cpu);
        }
        if (selected(&v, i) && !read_element(&v, i, v.offset + index, fault)) {
            keep_gathered(&v, insn);
            return false;
        }
        memset(v.mask + i * v.size, 0, v.size);
    }
    memset(v.mask, 0, sizeof v.mask);
    memset(v.data + v.count * v.size, 0, YMM - v.count * v.size);
    keep_gathered(&v, insn);
    return x86_done(cpu, insn);
}
