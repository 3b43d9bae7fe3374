/* SPDX-License-Identifier: MIT
 *
 * What an instruction is going to do to memory, by its row, its operands and the state: for those
 * of which translated code itself does not tell (SDM vol. 2, under each instruction).
 */
#include <string.h>

#include "guest/x86/cpuid.h"
#include "guest/x86/helpers.h"
#include "guest/x86/rows.h"
#include "guest/x86/xstate.h"

enum { PIECE = 32, POINTER_SELECTOR = 2 };

struct list {
    struct x86_cpu *cpu;
    const struct x86_insn *insn;
    struct ir_access_at *access;
    unsigned count;
};

static void add(void *opaque, uint64_t address, size_t size, bool write)
{
    struct list *list = opaque;

    while (size > 0 && list->count < IR_ACCESSES_MAX) {
        unsigned piece = PIECE;

        while (piece > size)
            piece /= 2;
        list->access[list->count++] = (struct ir_access_at){address, (uint8_t)piece, write};
        address += piece;
        size -= piece;
    }
}

static uint64_t *reg(const struct list *list, unsigned number)
{
    return &list->cpu->state.reg[number];
}

/* An offset of the instruction's address size, with the base of its segment. */
static uint64_t linear(const struct list *list, uint64_t offset)
{
    const struct native_insn *native = &list->insn->native;

    if (native->prefix & NATIVE_67)
        offset = (uint32_t)offset;
    if (native->segment == NATIVE_FS)
        offset += list->cpu->state.thread_base;
    else if (native->segment == NATIVE_GS)
        offset += list->cpu->state.other_base;
    return offset;
}

/* The address of the modrm operand without the base of its segment, and without an index that is a
 * vector. */
static uint64_t operand_offset(const struct list *list)
{
    const struct native_insn *native = &list->insn->native;
    uint64_t offset = (uint64_t)(int64_t)native->disp;

    if (native->base == NATIVE_RIP)
        return native->address;
    if (native->base != NATIVE_NONE)
        offset += *reg(list, native->base);
    if (native->index != NATIVE_NONE && !(native->attributes & NATIVE_VSIB))
        offset += *reg(list, native->index) * native->scale;
    return offset;
}

static void operand(struct list *list, size_t size, bool write)
{
    add(list, linear(list, operand_offset(list)), size, write);
}

/* Slots of the stack, downward for pushes and upward for pops. */
static void pushes(struct list *list, unsigned size, unsigned count)
{
    for (unsigned i = 1; i <= count; i++)
        add(list, *reg(list, X86_RSP) - (uint64_t)size * i, size, true);
}

static void pops(struct list *list, unsigned size, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        add(list, *reg(list, X86_RSP) + (uint64_t)size * i, size, false);
}

/* --- shapes of their own --- */

typedef void shape_fn(struct list *list);

/* ENTER: RBP, copies of frame pointers above, and the new one. */
static void enter(struct list *list)
{
    const struct native_insn *native = &list->insn->native;
    unsigned size = native->mem_size, level = native->imm >> 16 & 31;
    uint64_t sp = *reg(list, X86_RSP) - size, bp = *reg(list, X86_RBP);

    add(list, sp, size, true);
    for (unsigned i = 1; i < level; i++) {
        bp -= size;
        sp -= size;
        add(list, bp, size, false);
        add(list, sp, size, true);
    }
    if (level > 0)
        add(list, sp - size, size, true);
}

/* BT, BTS, BTR, BTC with a bit offset in a register: it is signed, and goes beyond the operand. */
static void bit_string(struct list *list)
{
    const struct native_insn *native = &list->insn->native;
    unsigned unused = 64 - 8u * native->opsize;
    int64_t bit = (int64_t)(*reg(list, native->reg) << unused) >> unused;
    int64_t byte = (bit >> 3) & -(int64_t)native->opsize;
    uint64_t address = linear(list, operand_offset(list) + (uint64_t)byte);

    add(list, address, native->opsize, false);
    if (native->mem_access & NATIVE_WRITE)
        add(list, address, native->opsize, true);
}

/* The sign bit of each lane of `size` bytes. */
static bool is_active(const uint8_t *mask, unsigned lane, unsigned size)
{
    return mask[(lane + 1) * size - 1] & 0x80;
}

static void vector(const struct list *list, unsigned number, uint8_t value[32])
{
    x86_xstate_get_ymm(list->cpu->state.vector, number, value);
}

/* VMASKMOVPS, VMASKMOVPD, VPMASKMOVD, VPMASKMOVQ. */
static void masked_lanes(struct list *list)
{
    const struct native_insn *native = &list->insn->native;
    bool pd = native->opcode == 0x2d || native->opcode == 0x2f;
    unsigned size = pd || native->w ? 8 : 4;
    uint64_t offset = operand_offset(list);
    uint8_t mask[32];

    vector(list, native->vvvv, mask);
    for (unsigned i = 0; i < native->mem_size / size; i++)
        if (is_active(mask, i, size))
            add(list, linear(list, offset + (uint64_t)i * size), size,
                native->mem_access & NATIVE_WRITE);
}

/* MASKMOVQ, MASKMOVDQU: bytes at rDI. MM0 to MM7 are the physical registers of the x87 unit. */
static void masked_bytes(struct list *list)
{
    const struct native_insn *native = &list->insn->native;
    const uint8_t *image = list->cpu->state.vector;
    unsigned top = x86_xstate_word(image, X86_XSTATE_FSW) >> 11 & 7;
    uint8_t mask[32];

    if (native->mem_size == 8)
        x86_xstate_get_st(image, (native->rm - top) & 7, mask);
    else
        vector(list, native->rm, mask);
    for (unsigned i = 0; i < native->mem_size; i++)
        if (is_active(mask, i, 1))
            add(list, linear(list, *reg(list, X86_RDI) + i), 1, true);
}

/* Gathers: 90 and 92 have indices of 4 bytes, 91 and 93 of 8; W says how long the elements are. */
static void gather(struct list *list)
{
    const struct native_insn *native = &list->insn->native;
    unsigned index_size = native->opcode & 1 ? 8 : 4, size = native->w ? 8 : 4;
    unsigned lanes = (native->vex_l ? 32 : 16) / (index_size > size ? index_size : size);
    uint64_t offset = operand_offset(list);
    uint8_t mask[32], index[32];

    vector(list, native->vvvv, mask);
    vector(list, native->index, index);
    for (unsigned i = 0; i < lanes; i++) {
        int64_t far = 0;

        memcpy(&far, index + (size_t)i * index_size, index_size);
        if (index_size == 4)
            far = (int32_t)far;
        if (is_active(mask, i, size))
            add(list, linear(list, offset + (uint64_t)far * native->scale), size, false);
    }
}

/* CLZERO: the cache line that rAX points into. */
static void cache_line(struct list *list)
{
    enum { LINE = 64 };

    add(list, linear(list, *reg(list, X86_RAX)) & ~(uint64_t)(LINE - 1), LINE, true);
}

static const struct {
    uint8_t table, opcode, mask; /* opcodes are alike but for the bits of the mask */
    shape_fn *fn;
} shapes[] = {
    {X86_TABLE_ONE, 0xc8, 0, enter},
    {X86_TABLE_0F, 0x01, 0, cache_line},
    {X86_TABLE_0F, 0xa3, 0x18, bit_string},
    {X86_TABLE_0F, 0xf7, 0, masked_bytes},
    {X86_TABLE_VEX_0F, 0xf7, 0, masked_bytes},
    {X86_TABLE_VEX_0F38, 0x2c, 3, masked_lanes},
    {X86_TABLE_VEX_0F38, 0x8c, 2, masked_lanes},
    {X86_TABLE_VEX_0F38, 0x90, 3, gather},
};

static shape_fn *shape_of(const struct x86_insn *insn)
{
    unsigned opcode = insn->native.opcode, table = insn->row->table;

    if (!(insn->native.mem_implicit & (NATIVE_OTHER | NATIVE_MASKMOV)))
        return NULL;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        if (table == shapes[i].table && (opcode & ~(unsigned)shapes[i].mask) == shapes[i].opcode)
            return shapes[i].fn;
    return NULL;
}

/* --- by lowering --- */

/* FF /3 and /5 read a far pointer, and CALL pushes CS and the return address; CA and CB pop both.
 */
static void far_transfer(struct list *list)
{
    const struct native_insn *native = &list->insn->native;

    if (native->opcode != 0xff) {
        pops(list, native->opsize, 2);
        return;
    }
    operand(list, native->opsize + POINTER_SELECTOR, false);
    if ((native->reg & 7) == 3)
        pushes(list, native->opsize, 2);
}

/* What the row says: the operand, a push or a pop. FXSAVE and FXRSTOR leave the end of the area
 * alone. */
static void by_row(struct list *list)
{
    const struct native_insn *native = &list->insn->native;
    enum { FXSAVE_AREA = 512 };
    size_t size = native->mem_size == FXSAVE_AREA ? X86_XSTATE_FXSAVE_WRITES : native->mem_size;

    if (native->mem_implicit & NATIVE_POP)
        pops(list, native->mem_size, 1);
    else if (native->mem_implicit & NATIVE_PUSH)
        pushes(list, native->mem_size, 1);
    else if (native->modrm == NATIVE_MODRM_MEM && native->mem_access & NATIVE_READ)
        operand(list, size, false);
    if (native->modrm == NATIVE_MODRM_MEM && native->mem_access & NATIVE_WRITE)
        operand(list, size, true);
}

unsigned x86_accesses(const void *config, void *state, const uint8_t *bytes, size_t size,
                      struct ir_access_at access[IR_ACCESSES_MAX])
{
    enum { IRET_SLOTS = 5 };
    const struct x86_model *model = config;
    struct x86_cpu *cpu = state;
    struct x86_insn insn;
    struct list list = {.cpu = cpu, .insn = &insn, .access = access};
    shape_fn *shape;

    if (x86_decode(X86_MODE_64, &model->features, bytes, size, cpu->state.pc, &insn) !=
        X86_DECODE_OK)
        return 0;
    shape = shape_of(&insn);
    switch (insn.lowering) {
    case X86_LOWER_FAR: far_transfer(&list); break;
    case X86_LOWER_IRET: pops(&list, insn.native.opsize, IRET_SLOTS); break;
    case X86_LOWER_XSAVE: x86_xsave_accesses(cpu, &insn, add, &list); break;
    case X86_LOWER_XRSTOR: x86_xrstor_accesses(cpu, &insn, add, &list); break;
    default:
        if (shape)
            shape(&list);
        else if (insn.native.mem_access)
            by_row(&list);
    }
    return list.count;
}

bool x86_accesses_apart(const struct x86_insn *insn)
{
    const struct native_insn *native = &insn->native;

    return shape_of(insn) || (native->mem_access && native->mem_size > PIECE) ||
           native->mem_size == 14 || native->mem_size == 28;
}
