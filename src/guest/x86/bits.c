/* SPDX-License-Identifier: MIT
 *
 * BT, BTS, BTR, BTC on memory with the number of the bit in a register: it is signed, and goes
 * beyond the operand (SDM vol. 1, 3.7; vol. 2, BT). */
#include "guest/x86/internal.h"

struct bit {
    unsigned segment;
    uint64_t offset; /* of the operand that it is in */
    unsigned size;   /* of that, in bytes */
    unsigned number; /* within it */
};

static struct bit find_bit(const struct x86_cpu *cpu, const struct x86_insn *insn)
{
    unsigned size = insn->native.opsize, unused = 64 - 8 * size;
    int64_t number = (int64_t)(cpu->state.reg[insn->native.reg] << unused) >> unused;
    uint64_t bytes = (uint64_t)(number >> 3) & -(uint64_t)size;
    uint64_t mask = x86_size_mask(x86_address_size(cpu, insn));

    return (struct bit){
        .segment = x86_operand_segment(cpu, insn),
        .offset = (x86_operand_offset(cpu, insn) + bytes) & mask,
        .size = size,
        .number = number & (8 * size - 1),
    };
}

enum change { TEST, SET, RESET, COMPLEMENT };

static enum change change_of(const struct x86_insn *insn)
{
    return insn->native.opcode >> 3 & 3; /* A3, AB, B3, BB */
}

/* Of a byte, atomically, with or without LOCK. */
static uint8_t change_byte(uint8_t *host, enum change change, uint8_t mask)
{
    switch (change) {
    case SET: return __atomic_fetch_or(host, mask, __ATOMIC_SEQ_CST);
    case RESET: return __atomic_fetch_and(host, (uint8_t)~mask, __ATOMIC_SEQ_CST);
    default: return __atomic_fetch_xor(host, mask, __ATOMIC_SEQ_CST);
    }
}

static uint64_t changed(uint64_t value, enum change change, uint64_t mask)
{
    return change == SET ? value | mask : change == RESET ? value & ~mask : value ^ mask;
}

/* The operand is read and written again where it is no RAM. */
static bool change_device(struct x86_cpu *cpu, const struct bit *bit, enum change change,
                          uint64_t *value, struct x86_fault *fault)
{
    uint64_t after;

    if (!x86_seg_read(cpu, bit->segment, bit->offset, value, bit->size, fault)) {
        return false;
    }
    after = changed(*value, change, UINT64_C(1) << bit->number);
    return x86_seg_write(cpu, bit->segment, bit->offset, &after, bit->size, fault);
}

/* The operand as it is, for who watches. */
static bool look_before(struct x86_cpu *cpu, const struct bit *bit, uint64_t *linear,
                        uint64_t *value, struct x86_fault *fault)
{
    bool telling = cpu->system.telling, good;

    cpu->system.telling = false; /* that is told when it is done */
    good = x86_seg_linear(cpu, bit->segment, bit->offset, bit->size, X86_ACCESS_WRITE, linear,
                          fault) &&
           x86_seg_read(cpu, bit->segment, bit->offset, value, bit->size, fault);
    cpu->system.telling = telling;
    return good;
}

/* In RAM, with the operand's rights: only the byte with the bit is changed. */
static bool change_bit(struct x86_cpu *cpu, const struct bit *bit, enum change change,
                       uint64_t *value, struct x86_fault *fault)
{
    unsigned byte = bit->number / 8;
    uint64_t linear, after;
    uint8_t *host;

    if (!x86_seg_probe(cpu, bit->segment, bit->offset, bit->size, fault)) {
        return false;
    }
    if (!x86_seg_run(cpu, bit->segment, bit->offset + byte, 1, X86_ACCESS_WRITE, &host)) {
        return change_device(cpu, bit, change, value, fault);
    }
    if (x86_watched(cpu) && !look_before(cpu, bit, &linear, value, fault)) {
        return false;
    }
    *value = (*value & ~(UINT64_C(0xff) << 8 * byte)) |
             (uint64_t)change_byte(host, change, (uint8_t)(1u << bit->number % 8)) << 8 * byte;
    if (!x86_watched(cpu)) {
        return true;
    }
    after = changed(*value, change, UINT64_C(1) << bit->number);
    x86_tell(cpu, linear, bit->size, value, &after);
    if (cpu->system.mode & X86_MODE_WATCH) {
        x86_debug_data(cpu, linear, bit->size, true);
    }
    return true;
}

bool x86_sys_bit_string(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    struct bit bit = find_bit(cpu, insn);
    enum change change = change_of(insn);
    uint64_t value = 0;

    if (!(change == TEST ? x86_seg_read(cpu, bit.segment, bit.offset, &value, bit.size, fault)
                         : change_bit(cpu, &bit, change, &value, fault))) {
        return false;
    }
    cpu->state.flags = (cpu->state.flags & ~(uint64_t)NATIVE_CF) | (value >> bit.number & 1);
    return x86_done(cpu, insn);
}
