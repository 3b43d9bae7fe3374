/* SPDX-License-Identifier: MIT
 *
 * Operands for a decoded instruction: first the memory operand of modrm, then implicit memory, then
 * what single instructions want. A register that has its value keeps it. */
#include <string.h>

#include "engine_side.h"
#include "operands.h"

bool operands_decode(const uint8_t *bytes, unsigned size, uint64_t pc, struct x86_insn *insn)
{
    return x86_decode(X86_MODE_64, NULL, bytes, size, pc, insn) == X86_DECODE_OK;
}

static bool is_fixed(const struct operands *o, unsigned gpr)
{
    return o->fixed >> gpr & 1;
}

static void set_gpr(struct operands *o, unsigned gpr, uint64_t value)
{
    if (!is_fixed(o, gpr))
        o->machine->gpr[gpr] = value;
    o->fixed |= 1u << gpr;
}

static enum scratch_place choose_place(struct operands *o)
{
    unsigned n = random_below(o->random, 100);

    if (n < 42)
        return SCRATCH_ALIGNED;
    if (n < 58)
        return SCRATCH_ANYWHERE;
    if (n < 75 || o->good)
        return random_below(o->random, SCRATCH_GOOD);
    return random_below(o->random, SCRATCH_PLACES);
}

static bool is_canonical(uint64_t address)
{
    return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

/* With a segment base: shares `target` among base and offset; the offset is what is left. */
static uint64_t split_segment(struct operands *o, uint64_t target)
{
    const struct native_insn *n = &o->insn->native;
    uint64_t offset = random_integer(o->random);
    uint64_t *base = n->segment == NATIVE_FS ? &o->machine->fs_base : &o->machine->gs_base;

    if (n->segment != NATIVE_FS && n->segment != NATIVE_GS)
        return target;
    if (n->base == NATIVE_RIP)
        offset = o->insn->pc + random_below(o->random, 0x10000);
    else if (n->base == NATIVE_NONE && n->index == NATIVE_NONE)
        offset = (int64_t)(int32_t)offset;
    if (n->prefix & NATIVE_67)
        offset = (uint32_t)offset;
    /* The operand's end must not go over the end of what an offset can be: makers differ. */
    if (n->prefix & NATIVE_67 && offset > 0xfffff000)
        offset -= 0x1000;
    if (is_canonical(offset) && is_canonical(offset + 0x1000) && is_canonical(target - offset)) {
        *base = target - offset;
        return offset;
    }
    *base = is_canonical(target) ? target - (random_bits(o->random) & 0xffffff)
                                 : random_bits(o->random) >> 17;
    return target - *base;
}

static void put_displacement(struct operands *o, uint64_t value)
{
    for (unsigned i = 0; i < o->encoding->disp_size; i++)
        o->bytes[o->encoding->disp_at + i] = value >> 8 * i;
    if (o->encoding->disp_size == 1)
        value = (int8_t)value;
    o->insn->native.disp = value;
}

/* Upper halves that a 32-bit address does not look at. */
static uint64_t address_noise(struct operands *o, uint64_t value)
{
    if (o->insn->native.prefix & NATIVE_67)
        return (uint32_t)value | random_bits(o->random) << 32;
    return value;
}

static void aim_without_base(struct operands *o, uint64_t offset)
{
    const struct native_insn *n = &o->insn->native;
    uint64_t rest;

    if (n->base == NATIVE_RIP) {
        rest = offset - o->insn->pc - o->insn->length;
        if (rest != (uint64_t)(int32_t)rest) /* out of reach: nowhere, but not just anywhere */
            rest = scratch_address(o->random, o->layout, SCRATCH_NOWHERE, 1) - o->insn->pc;
        put_displacement(o, rest);
    } else if (n->index == NATIVE_NONE) {
        put_displacement(o, offset);
    } else {
        rest = (offset - n->disp) % n->scale;
        if (n->disp < INT32_MAX - 8)
            put_displacement(o, n->disp + rest);
        rest = (offset - n->disp) / n->scale;
        set_gpr(o, n->index, address_noise(o, rest));
    }
}

/* Vector indices: small ones of both widths. */
static void aim_vector(struct operands *o)
{
    uint8_t *image = o->machine->vector;
    unsigned index = o->insn->native.index;
    bool quad = strstr(o->insn->row->mnemonic, "gatherq") != NULL;

    for (int i = 0; i < 4; i++) {
        uint64_t a = (int64_t)random_below(o->random, 400) - 200;
        uint64_t b = (int64_t)random_below(o->random, 400) - 200;
        uint64_t word = quad ? a : (uint32_t)a | b << 32;

        if (random_chance(o->random, 2))
            word = random_bits(o->random);
        memcpy(image + (i < 2 ? MACHINE_XMM + 8 * i : MACHINE_YMM + 8 * (i - 2)) + 16 * index,
               &word, 8);
    }
}

static void aim(struct operands *o, uint64_t target)
{
    const struct native_insn *n = &o->insn->native;
    uint64_t offset = split_segment(o, target), index = 0;

    if (n->base == NATIVE_RIP || n->base == NATIVE_NONE) {
        if (n->attributes & NATIVE_VSIB) {
            put_displacement(o, offset);
            aim_vector(o);
        } else {
            aim_without_base(o, offset);
        }
        return;
    }
    if (n->attributes & NATIVE_VSIB) {
        aim_vector(o);
    } else if (n->index == n->base) {
        set_gpr(o, n->base, address_noise(o, (offset - n->disp) / (1 + n->scale)));
        return;
    } else if (n->index != NATIVE_NONE) {
        o->fixed |= 1u << n->index;
        index = o->machine->gpr[n->index] * n->scale;
    }
    if (is_fixed(o, n->base) && o->encoding->disp_size > 0) {
        uint64_t away = offset - o->machine->gpr[n->base] - index;

        if (away == (uint64_t)(int64_t)(o->encoding->disp_size == 1 ? (int8_t)away : (int32_t)away))
            put_displacement(o, away);
        return;
    }
    set_gpr(o, n->base, address_noise(o, offset - n->disp - index));
}

static void put_vector(struct operands *o, uint64_t address, unsigned size)
{
    uint8_t bytes[128];

    size = (size + 7) & ~7u;
    if (size > sizeof bytes)
        size = sizeof bytes;
    random_vector(o->random, bytes, size);
    scratch_put(address, bytes, size);
}

/* --- images that XRSTOR and its relatives accept */

enum image_kind { IMAGE_NONE, IMAGE_MXCSR, IMAGE_FXSAVE, IMAGE_XSAVE, IMAGE_ENVIRONMENT };

static enum image_kind image_kind(const struct x86_insn *insn)
{
    static const struct {
        const char *mnemonic;
        enum image_kind kind;
    } kinds[] = {
        {"ldmxcsr", IMAGE_MXCSR},      {"vldmxcsr", IMAGE_MXCSR},  {"fxrstor", IMAGE_FXSAVE},
        {"fxrstor64", IMAGE_FXSAVE},   {"xrstor", IMAGE_XSAVE},    {"xrstor64", IMAGE_XSAVE},
        {"xsave", IMAGE_XSAVE},        {"xsave64", IMAGE_XSAVE},   {"xsavec", IMAGE_XSAVE},
        {"xsavec64", IMAGE_XSAVE},     {"xsaveopt", IMAGE_XSAVE},  {"xsaveopt64", IMAGE_XSAVE},
        {"fxsave", IMAGE_FXSAVE},      {"fxsave64", IMAGE_FXSAVE}, {"fldenv", IMAGE_ENVIRONMENT},
        {"frstor", IMAGE_ENVIRONMENT},
    };

    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(insn->row->mnemonic, kinds[i].mnemonic) == 0)
            return kinds[i].kind;
    return IMAGE_NONE;
}

/* Takes components out of a header that the host's XCR0 has and the guest's does not: these are
 * refused only there. */
static void leave_out_host_only(uint8_t *header)
{
    uint64_t word[2];
    uint32_t low, high;

    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    memcpy(word, header, sizeof word);
    for (unsigned i = 0; i < 2; i++)
        word[i] &= ~((uint64_t)high << 32 | low) | engine_side_xcr0();
    memcpy(header, word, sizeof word);
}

static void put_image(struct operands *o, uint64_t address, enum image_kind kind)
{
    struct machine m;
    struct random *r = o->random;

    random_machine(r, &m);
    if (random_chance(r, 10))
        m.vector[MACHINE_MXCSR + 2] = random_bits(r); /* reserved bits */
    switch (kind) {
    case IMAGE_MXCSR: scratch_put(address, m.vector + MACHINE_MXCSR, 4); break;
    case IMAGE_FXSAVE: scratch_put(address, m.vector, 512); break;
    case IMAGE_ENVIRONMENT: {
        uint8_t bytes[16] = {0};

        memcpy(bytes, m.vector, 2);
        memcpy(bytes + 4, m.vector + MACHINE_FSW, 2);
        memcpy(bytes + 8, &m.gpr[0], 2);
        scratch_put(address, bytes, 12);
        break;
    }
    default:
        m.vector[MACHINE_XSTATE_BV] = random_chance(r, 60) ? 7 : random_below(r, 8);
        if (random_chance(r, 5))
            m.vector[MACHINE_XSTATE_BV + random_below(r, 24)] = random_bits(r);
        if (x86_has(engine_side_features(), X86_FEATURE_XSAVEC) &&
            random_chance(r, 15)) { /* compacted */
            m.vector[MACHINE_XSTATE_BV + 8] = 7;
            m.vector[MACHINE_XSTATE_BV + 15] = 0x80;
        }
        leave_out_host_only(m.vector + MACHINE_XSTATE_BV);
        scratch_put(address, m.vector, MACHINE_VECTOR_BYTES);
    }
}

/* CMPXCHG and its wide forms: what is in memory, so that it is exchanged. */
static void want_equal(struct operands *o, uint64_t address)
{
    uint64_t low, high;
    const uint8_t *at = scratch_writable(address);

    if (strncmp(o->insn->row->mnemonic, "cmpxchg", 7) != 0 || random_chance(o->random, 50) ||
        at == NULL || scratch_writable(address + 15) != at + 15)
        return;
    memcpy(&low, at, 8);
    memcpy(&high, at + 8, 8);
    set_gpr(o, X86_RAX, low);
    if (strcmp(o->insn->row->mnemonic, "cmpxchg") != 0)
        set_gpr(o, X86_RDX, o->insn->native.mem_size == 16 ? high : low >> 32);
}

/* Offset and selector, or what IRET pops, in units of the operand size: mostly good ones. The
 * 32-bit code segment is left out: the test's code is 64-bit code. */
static unsigned far_image(struct operands *o, uint8_t *bytes)
{
    static const uint16_t data[] = {0x2b, 0x2b, 0x2b, 0, 3, 0x33};
    struct random *r = o->random;
    unsigned unit = o->insn->native.opsize >= 2 ? o->insn->native.opsize : 8;
    uint64_t word[5] = {
        operands_target(r, o->layout, o->insn->pc, o->insn->length),
        random_chance(r, 80) ? 0x33 : random_bits(r) & 0xff83,
        (random_bits(r) & 0x200cd5) | 0x202,
        random_integer(r),
        random_chance(r, 80) ? 0x2b : random_bits(r) & 0xffff,
    };

    if (o->insn->lowering == X86_LOWER_MOV_TO_SEG)
        word[1] = random_chance(r, 80) ? data[random_below(r, 6)] : random_bits(r);
    for (unsigned i = 0; i < 5; i++)
        memcpy(bytes + i * unit, &word[i], unit);
    return 5 * unit;
}

static void set_modrm(struct operands *o)
{
    const struct native_insn *n = &o->insn->native;
    enum image_kind kind = image_kind(o->insn);
    unsigned size = kind == IMAGE_XSAVE    ? MACHINE_VECTOR_BYTES
                    : kind == IMAGE_FXSAVE ? 512
                    : n->mem_size > 0      ? n->mem_size
                                           : 1;
    uint64_t target = scratch_address(o->random, o->layout, choose_place(o), size);

    if (kind == IMAGE_XSAVE) { /* components that only the host's XCR0 has are left out */
        uint64_t components = random_chance(o->random, 50) ? 7 : random_below(o->random, 8);

        set_gpr(o, X86_RAX, components & engine_side_xcr0());
        set_gpr(o, X86_RDX, 0);
    }
    if (o->insn->row->flags_written == NATIVE_CF && n->attributes & NATIVE_REG_GPR &&
        strncmp(o->insn->row->mnemonic, "bt", 2) == 0) /* bit offsets reach beyond the operand */
        set_gpr(o, n->reg,
                n->prefix & NATIVE_67 ? random_below(o->random, 16) /* no carry out of 32 bits */
                                      : (int64_t)random_below(o->random, 4000) - 2000);
    aim(o, target);
    if (kind != IMAGE_NONE)
        put_image(o, target, kind);
    else
        put_vector(o, target, size);
    if (o->insn->lowering == X86_LOWER_JMP_R || o->insn->lowering == X86_LOWER_CALL_R) {
        uint64_t to = operands_target(o->random, o->layout, o->insn->pc, o->insn->length);

        scratch_put(target, &to, sizeof to);
    }
    if (o->insn->lowering == X86_LOWER_FAR || o->insn->lowering == X86_LOWER_MOV_TO_SEG) {
        uint8_t bytes[40];

        far_image(o, bytes);
        if (n->mem_size == 2) /* MOV: only a selector */
            memcpy(bytes, bytes + (n->opsize >= 2 ? n->opsize : 8), 2);
        scratch_put(target, bytes,
                    o->insn->lowering == X86_LOWER_FAR ? n->opsize + 2 : n->mem_size);
    }
    want_equal(o, target);
}

/* --- implicit memory */

static void set_count(struct operands *o)
{
    struct random *r = o->random;
    uint64_t count = random_chance(r, 90) ? random_below(r, 40) : random_bits(r) >> 16;

    set_gpr(o, X86_RCX, address_noise(o, count));
}

static void set_string(struct operands *o)
{
    const struct native_insn *n = &o->insn->native;
    unsigned size = n->mem_size > 0 ? n->mem_size : 1;
    uint64_t target;

    if (n->attributes & NATIVE_REP)
        set_count(o);
    if (n->mem_implicit & NATIVE_STRING_SI) {
        target = scratch_address(o->random, o->layout, choose_place(o), size);
        set_gpr(o, X86_RSI, address_noise(o, split_segment(o, target)));
        put_vector(o, target, 8);
    }
    if (n->mem_implicit & (NATIVE_STRING_DI_R | NATIVE_STRING_DI_W)) {
        target = scratch_address(o->random, o->layout, choose_place(o), size);
        set_gpr(o, X86_RDI, address_noise(o, target));
        if (random_chance(o->random, 50))
            put_vector(o, target, 8);
    }
}

static void set_stack(struct operands *o)
{
    const struct native_insn *n = &o->insn->native;
    unsigned size = n->mem_size > 0 ? n->mem_size : 8;
    uint64_t target = scratch_address(o->random, o->layout, choose_place(o), size), value;
    unsigned pointer = X86_RSP;

    if (strcmp(o->insn->row->mnemonic, "leave") == 0) {
        pointer = X86_RBP;
    } else if (strcmp(o->insn->row->mnemonic, "enter") == 0) {
        set_gpr(o, X86_RBP,
                target + (random_chance(o->random, 60) ? 256 : random_below(o->random, 40)));
        set_gpr(o, X86_RSP, target + size);
        if (random_chance(o->random, 80)) /* little room, so that the stack ends where data is */
            o->bytes[o->insn->length - 2] = 0;
        return;
    }
    if (is_fixed(o, pointer))
        return;
    set_gpr(o, pointer, n->mem_implicit & NATIVE_PUSH ? target + size : target);
    value = random_integer(o->random);
    switch (o->insn->lowering) {
    case X86_LOWER_POPF:
        value &= ~UINT64_C(0x40100); /* TF, AC */
        break;
    case X86_LOWER_RET:
        value = operands_target(o->random, o->layout, o->insn->pc, o->insn->length);
        break;
    default: break;
    }
    if (o->insn->lowering == X86_LOWER_IRET || o->insn->lowering == X86_LOWER_FAR) {
        uint8_t bytes[40];

        scratch_put(target, bytes, far_image(o, bytes));
    } else if (!(n->mem_implicit & NATIVE_PUSH)) {
        scratch_put(target, &value, 8);
    }
}

static void set_other(struct operands *o)
{
    const struct native_insn *n = &o->insn->native;
    uint64_t target =
        scratch_address(o->random, o->layout, choose_place(o), n->mem_size > 0 ? n->mem_size : 1);
    unsigned width = n->prefix & NATIVE_67 ? 4 : 8;

    if (n->mem_implicit & NATIVE_MOFFS) {
        uint64_t offset = split_segment(o, target);

        memcpy(o->bytes + o->insn->length - width, &offset, width);
        put_vector(o, target, 8);
    } else if (n->mem_implicit & NATIVE_XLAT) {
        uint64_t offset = split_segment(o, target) - (o->machine->gpr[X86_RAX] & 0xff);

        o->fixed |= 1u << X86_RAX;
        set_gpr(o, X86_RBX, address_noise(o, offset));
    } else if (n->mem_implicit & NATIVE_MASKMOV) {
        set_gpr(o, X86_RDI, address_noise(o, split_segment(o, target)));
    } else if (n->mem_implicit & NATIVE_OTHER && strcmp(o->insn->row->mnemonic, "clzero") == 0) {
        set_gpr(o, X86_RAX, address_noise(o, split_segment(o, target)));
    }
}

/* --- control transfers */

uint64_t operands_target(struct random *r, enum scratch_layout layout, uint64_t pc, unsigned length)
{
    unsigned pages;
    uint64_t code = scratch_code(layout, &pages), target;

    if (random_chance(r, 12))
        return scratch_address(r, layout, random_below(r, SCRATCH_PLACES), 8);
    if (random_chance(r, 3))
        return random_integer(r);
    do
        target = code + random_below(r, pages * SCRATCH_PAGE);
    while (target - pc < length);
    return target;
}

static void set_relative(struct operands *o)
{
    unsigned length = o->insn->length;
    unsigned size = o->insn->row->immediate == X86_IMM_REL8 ? 1 : 4;
    uint64_t next = o->insn->pc + length;
    int64_t away;

    if (size == 4 && random_chance(o->random, 4)) { /* far away, where nothing is */
        o->bytes[length - 1] = 0xa0 | random_below(o->random, 16);
        return;
    }
    do {
        if (size == 1)
            away = (int8_t)random_bits(o->random);
        else
            away = operands_target(o->random, o->layout, o->insn->pc, length) - next;
    } while ((away >= -(int)length && away < 0) || engine_side_owns(next + (int32_t)away));
    memcpy(o->bytes + length - size, &away, size);
    if (o->insn->lowering == X86_LOWER_LOOP && random_chance(o->random, 60))
        set_gpr(o, X86_RCX, address_noise(o, random_below(o->random, 3)));
}

static void set_indirect(struct operands *o)
{
    const struct native_insn *n = &o->insn->native;
    uint64_t target = operands_target(o->random, o->layout, o->insn->pc, o->insn->length);

    if (n->modrm == NATIVE_MODRM_REG)
        set_gpr(o, n->rm, target);
}

/* --- what single instructions want */

/* A quotient that often fits. */
static void want_division(struct operands *o)
{
    struct random *r = o->random;
    unsigned size = o->insn->native.opsize;
    bool is_signed = strcmp(o->insn->row->mnemonic, "idiv") == 0;
    uint64_t low = random_integer(r), high = random_below(r, 3);

    if (random_chance(r, 25))
        return;
    if (size == 1)
        low = random_below(r, 300);
    else if (size < 8)
        low &= (UINT64_C(1) << (8 * size - 1)) - 1;
    if (is_signed)
        high = (int64_t)low >> 63;
    set_gpr(o, X86_RAX, low);
    set_gpr(o, X86_RDX, high);
}

static void want_lengths(struct operands *o)
{
    set_gpr(o, X86_RAX, (int64_t)random_below(o->random, 40) - 20);
    set_gpr(o, X86_RDX, (int64_t)random_below(o->random, 40) - 20);
}

static void want_interrupt(struct operands *o)
{
    uint8_t *vector = &o->bytes[o->insn->length - 1];

    if (*vector == 0x80) /* a system call of Linux */
        *vector = 0x81;
}

static void want_selector(struct operands *o)
{
    static const uint16_t selectors[] = {0, 3, 0x2b, 0x33, 0x28, 0x30, 0x2a};
    const struct native_insn *n = &o->insn->native;
    uint64_t value = selectors[random_below(o->random, 7)];

    if (random_chance(o->random, 70) && n->modrm == NATIVE_MODRM_REG)
        set_gpr(o, n->rm, value | random_bits(o->random) << 16);
}

static const struct {
    const char *mnemonic;
    void (*want)(struct operands *o);
} WANTS[] = {
    {"div", want_division},      {"idiv", want_division},      {"pcmpestri", want_lengths},
    {"pcmpestrm", want_lengths}, {"vpcmpestri", want_lengths}, {"vpcmpestrm", want_lengths},
    {"int", want_interrupt},
};

static void want(struct operands *o)
{
    for (unsigned i = 0; i < sizeof WANTS / sizeof *WANTS; i++)
        if (strcmp(WANTS[i].mnemonic, o->insn->row->mnemonic) == 0)
            WANTS[i].want(o);
    if (o->insn->lowering == X86_LOWER_MOV_TO_SEG)
        want_selector(o);
}

void operands_set(struct operands *o)
{
    const struct native_insn *n = &o->insn->native;

    switch (o->insn->lowering) {
    case X86_LOWER_JCC:
    case X86_LOWER_LOOP:
    case X86_LOWER_JMP:
    case X86_LOWER_CALL: set_relative(o); break;
    case X86_LOWER_JMP_R:
    case X86_LOWER_CALL_R: set_indirect(o); break;
    default: break;
    }
    want(o);
    if (n->modrm == NATIVE_MODRM_MEM)
        set_modrm(o);
    if (n->mem_implicit & (NATIVE_STRING_SI | NATIVE_STRING_DI_R | NATIVE_STRING_DI_W))
        set_string(o);
    if (n->mem_implicit & (NATIVE_PUSH | NATIVE_POP) || o->insn->lowering == X86_LOWER_RET ||
        o->insn->lowering == X86_LOWER_IRET || strcmp(o->insn->row->mnemonic, "retf") == 0 ||
        (o->insn->lowering == X86_LOWER_FAR && strcmp(o->insn->row->mnemonic, "call") == 0) ||
        strcmp(o->insn->row->mnemonic, "enter") == 0 ||
        strcmp(o->insn->row->mnemonic, "leave") == 0)
        set_stack(o);
    if (n->mem_implicit & (NATIVE_MOFFS | NATIVE_XLAT | NATIVE_MASKMOV | NATIVE_OTHER))
        set_other(o);
}
