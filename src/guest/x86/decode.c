/* SPDX-License-Identifier: MIT
 *
 * The decoder: prefixes, opcode, the row that fits, modrm and immediates, and then what the row and
 * the operands say of registers, memory and flags (SDM vol. 2, chapter 2).
 *
 * Where processors differ: near branches ignore 66 in 64-bit mode, as Intel's do (AMD's truncate
 * RIP to 16 bits). A segment override other than FS and GS is ignored in 64-bit mode and does not
 * undo an earlier FS or GS.
 */
#include "guest/x86/x86.h"

#include <string.h>

#include "guest/x86/rows.h"

enum { LONGEST = 15 };

/* What a byte is before the opcode. */
enum byte_class {
    OPCODE,
    ESCAPE,     /* 0F */
    VEX,        /* C4, C5 */
    PREFIX_REX, /* in 64-bit mode; from here on prefixes */
    PREFIX_SEGMENT,
    PREFIX_66,
    PREFIX_67,
    PREFIX_LOCK,
    PREFIX_REP,
};

static const uint8_t byte_classes[256] = {
    [0x0f] = ESCAPE,
    [0x26] = PREFIX_SEGMENT,
    [0x2e] = PREFIX_SEGMENT,
    [0x36] = PREFIX_SEGMENT,
    [0x3e] = PREFIX_SEGMENT,
    [0x40 ... 0x4f] = PREFIX_REX,
    [0x64] = PREFIX_SEGMENT,
    [0x65] = PREFIX_SEGMENT,
    [0x66] = PREFIX_66,
    [0x67] = PREFIX_67,
    [0xc4] = VEX,
    [0xc5] = VEX,
    [0xf0] = PREFIX_LOCK,
    [0xf2] = PREFIX_REP,
    [0xf3] = PREFIX_REP,
};

/* Everything that is known while an instruction is decoded. */
struct decoder {
    const uint8_t *start, *at, *end; /* end: of what counts, at most 15 bytes */
    const uint8_t *limit;            /* of what may be read */
    enum x86_mode mode;
    bool prefixed; /* a prefix other than REX was there */
    bool has_66, has_67, lock;
    uint8_t rep;      /* 0, F2, F3 */
    uint8_t override; /* enum native_segment + 1; 0: none */
    uint8_t rex;      /* the byte; 0: none. For VEX its bits as in REX, without 0x40 */
    uint8_t table;    /* enum x86_table */
    uint8_t opcode;
    bool vex, vex_l;
    uint8_t pp; /* of VEX */
    uint8_t vvvv;
    uint8_t modrm;
    uint8_t address_size; /* bytes */
    uint8_t opsize;       /* bytes */
    const struct x86_row *row;
    struct native_insn *native;
};

enum { REX_B = 1, REX_X = 2, REX_R = 4, REX_W = 8 };

/* The bytes are at their end: there were 15, or too few were given. */
static enum x86_decode out_of_bytes(const struct decoder *d)
{
    return d->end - d->start >= LONGEST ? X86_DECODE_TOO_LONG : X86_DECODE_SHORT;
}

/* Legacy prefixes and REX. Leaves `at` behind them; false if the bytes end there. */
static bool read_prefixes(struct decoder *d)
{

    for (; d->at < d->end; d->at++) {
        uint8_t byte = *d->at, class = byte_classes[byte];

        if (class <= VEX)
            return true;
        if (class == PREFIX_REX) {
            if (d->mode != X86_MODE_64)
                return true;
            d->rex = byte; /* counts if the opcode follows */
            continue;
        }
        d->rex = 0;
        d->prefixed = true;
        switch (class) {
        case PREFIX_SEGMENT:
            if (byte >= 0x64)
                d->override = (uint8_t)(byte - 0x64 + NATIVE_FS + 1);
            else if (d->mode != X86_MODE_64)
                d->override = (uint8_t)((byte >> 3 & 3) + NATIVE_ES + 1);
            break;
        case PREFIX_66: d->has_66 = true; break;
        case PREFIX_67: d->has_67 = true; break;
        case PREFIX_LOCK: d->lock = true; break;
        default: d->rep = byte; break;
        }
    }
    return false;
}

/* The bytes behind C4 or C5, and the opcode. UNDEFINED also for prefixes that VEX forbids. */
static enum x86_decode read_vex(struct decoder *d)
{
    bool three = *d->at == 0xc4;
    uint8_t map = 1, last;

    if (d->end - d->at < 2 + three + 1)
        return out_of_bytes(d);
    if (d->rex || d->has_66 || d->rep || d->lock)
        return X86_DECODE_UNDEFINED;
    d->rex = (uint8_t)(~d->at[1] >> 5 & REX_R);
    last = d->at[1 + three];
    if (three) {
        d->rex = (uint8_t)(~d->at[1] >> 5 & (REX_R | REX_X | REX_B)) | (last >> 4 & REX_W);
        map = d->at[1] & 31;
        if (map < 1 || map > 3)
            return X86_DECODE_UNDEFINED;
    }
    d->vvvv = ~last >> 3 & 15;
    if (d->mode != X86_MODE_64)
        d->rex &= REX_W;
    d->vex = true;
    d->vex_l = last & 4;
    d->pp = last & 3;
    d->table = (uint8_t)(X86_TABLE_VEX_0F - 1 + map);
    d->at += 2 + three;
    d->opcode = *d->at++;
    return X86_DECODE_OK;
}

/* From the first byte that is no prefix to behind the opcode. */
static enum x86_decode read_opcode(struct decoder *d)
{
    uint8_t byte = *d->at;
    bool wide = d->mode == X86_MODE_64;

    if (byte_classes[byte] == VEX) {
        if (!wide && d->end - d->at < 2)
            return out_of_bytes(d);
        if (wide || d->at[1] >= 0xc0) /* else LES, LDS */
            return read_vex(d);
    }
    if (byte == 0x62 && (wide || (d->end - d->at >= 2 && d->at[1] >= 0xc0)))
        return X86_DECODE_UNDEFINED; /* EVEX */
    d->at++;
    d->table = X86_TABLE_ONE;
    if (byte_classes[byte] == ESCAPE) {
        if (d->at == d->end)
            return out_of_bytes(d);
        byte = *d->at++;
        d->table = X86_TABLE_0F;
        if (byte == 0x38 || byte == 0x3a) {
            if (d->at == d->end)
                return out_of_bytes(d);
            d->table = byte == 0x38 ? X86_TABLE_0F38 : X86_TABLE_0F3A;
            byte = *d->at++;
        }
    }
    d->opcode = byte;
    return X86_DECODE_OK;
}

static bool available(const struct x86_features *features, const struct decoder *d,
                      const struct x86_row *row)
{
    if (!features)
        return true;
    if (d->vex && row->native & NATIVE_VECTOR && !x86_has(features, X86_FEATURE_AVX))
        return false;
    if (d->vex_l && row->feature_wide)
        return x86_has(features, row->feature_wide);
    return row->feature == X86_FEATURE_NONE || x86_has(features, row->feature);
}

/* Operand and address size by mode and prefixes, before the row has its say. */
static void find_sizes(struct decoder *d)
{
    switch (d->mode) {
    case X86_MODE_64:
        d->address_size = d->has_67 ? 4 : 8;
        d->opsize = d->rex & REX_W ? 8 : d->has_66 ? 2 : 4;
        break;
    case X86_MODE_32:
        d->address_size = d->has_67 ? 2 : 4;
        d->opsize = d->has_66 ? 2 : 4;
        break;
    default:
        d->address_size = d->has_67 ? 4 : 2;
        d->opsize = d->has_66 ? 4 : 2;
        break;
    }
}

static inline uint32_t selector(const struct decoder *d)
{
    uint32_t s = d->modrm | (d->modrm >= 0xc0 ? X86_SELECT_REG : 0);

    if (d->vex) {
        static const uint16_t pp[4] = {0, X86_SELECT_66, X86_SELECT_F3, X86_SELECT_F2};

        s |= pp[d->pp];
        s |= d->vex_l ? X86_SELECT_L : 0;
        s |= d->vvvv ? X86_SELECT_VVVV : 0;
    } else if (d->prefixed) {
        if (d->rep)
            s |= d->rep == 0xf3 ? X86_SELECT_F3 : X86_SELECT_F2;
        s |= d->has_66 ? X86_SELECT_66 : 0;
    }
    s |= d->rex & REX_W ? X86_SELECT_W : 0;
    s |= d->rex & REX_B ? X86_SELECT_REX_B : 0;
    s |= d->mode == X86_MODE_64 ? X86_SELECT_64 : 0;
    return s | (uint32_t)(d->opsize >> 2) << X86_SELECT_OPSIZE_SHIFT |
           (uint32_t)(d->address_size >> 2) << X86_SELECT_ADDRESS_SHIFT;
}

/* Reads the modrm byte, if the opcode has one, and finds the row. */
static enum x86_decode find_row(struct decoder *d, const struct x86_features *features)
{
    unsigned number = x86_row_index[d->table][d->opcode];
    const struct x86_row *row;
    uint8_t opcode;
    uint32_t select;

    if (!number)
        return X86_DECODE_UNDEFINED;
    row = &x86_row_table[number - 1];
    if (row->traits & X86_TRAIT_MODRM) { /* all rows of an opcode agree in this */
        if (d->at == d->end)
            return out_of_bytes(d);
        d->modrm = *d->at++;
    }
    select = selector(d);
    opcode = row->opcode;
    for (;; row++) {
        if (row->opcode != opcode || row->table != d->table)
            return X86_DECODE_UNDEFINED;
        if ((select & row->mask) != row->match)
            continue;
        if (available(features, d, row))
            break;
        if (!(row->traits & X86_TRAIT_FALL))
            return X86_DECODE_UNDEFINED;
    }
    d->row = row;
    return X86_DECODE_OK;
}

/* `size` bytes, 1 to 8, little-endian, sign-extended; the caller has seen to it that they are
 * there. */
static inline int64_t take(struct decoder *d, unsigned size)
{
    uint64_t value = 0;
    unsigned unused = 64 - 8 * size;

    if (d->limit - d->at >= 8)
        memcpy(&value, d->at, 8);
    else
        memcpy(&value, d->at, size);
    d->at += size;
    return (int64_t)(value << unused) >> unused;
}

static inline bool have(const struct decoder *d, unsigned size)
{
    return d->end - d->at >= (ptrdiff_t)size;
}

/* Memory operand with 16-bit addresses (SDM vol. 2, table 2-1). */
static bool read_memory16(struct decoder *d)
{
    static const uint8_t base[8] = {X86_RBX, X86_RBX, X86_RBP, X86_RBP,
                                    X86_RSI, X86_RDI, X86_RBP, X86_RBX};
    static const uint8_t index[8] = {X86_RSI,     X86_RDI,     X86_RSI,     X86_RDI,
                                     NATIVE_NONE, NATIVE_NONE, NATIVE_NONE, NATIVE_NONE};
    struct native_insn *n = d->native;
    unsigned mod = d->modrm >> 6, rm = d->modrm & 7, size = mod;

    n->base = base[rm];
    n->index = index[rm];
    n->scale = 1;
    if (mod == 0 && rm == 6) {
        n->base = NATIVE_NONE;
        size = 2;
    }
    if (!have(d, size))
        return false;
    if (size)
        n->disp = (int32_t)take(d, size);
    return true;
}

/* Memory operand with 32 and 64-bit addresses. For NATIVE_RIP `address` holds the displacement
 * until the length is known. */
static bool read_memory(struct decoder *d)
{
    static const uint8_t sizes[3] = {0, 1, 4};
    struct native_insn *n = d->native;
    unsigned mod = d->modrm >> 6, base = d->modrm & 7, size = sizes[mod];

    n->scale = 1;
    n->index = NATIVE_NONE;
    if (base == 4) {
        if (!have(d, 1))
            return false;
        uint8_t sib = *d->at++;
        unsigned index = (sib >> 3 & 7) | (d->rex & REX_X) << 2;

        base = sib & 7;
        if (index != 4 || d->row->native & NATIVE_VSIB) {
            n->index = (uint8_t)index;
            n->scale = (uint8_t)(1 << (sib >> 6));
        }
        if (base == 5 && mod == 0) {
            base = NATIVE_NONE;
            size = 4;
        } else {
            base |= (d->rex & REX_B) << 3;
        }
    } else if (base == 5 && mod == 0) {
        base = d->mode == X86_MODE_64 ? NATIVE_RIP : NATIVE_NONE;
        size = 4;
    } else {
        base |= (d->rex & REX_B) << 3;
    }
    n->base = (uint8_t)base;
    if (!have(d, size))
        return false;
    if (size)
        n->disp = (int32_t)take(d, size);
    return true;
}

static bool read_modrm(struct decoder *d)
{
    struct native_insn *n = d->native;

    n->reg = d->modrm >> 3 & 7;
    if (d->modrm >= 0xc0 || d->row->traits & X86_TRAIT_ALLREG) {
        n->modrm = NATIVE_MODRM_REG;
        n->rm = d->modrm & 7;
        return true;
    }
    n->modrm = NATIVE_MODRM_MEM;
    return d->address_size == 2 ? read_memory16(d) : read_memory(d);
}

/* Bytes of each kind of immediate by operand size (16, 32, 64 bits). */
static const uint8_t immediate_sizes[][3] = {
    [X86_IMM_NONE] = {0, 0, 0}, [X86_IMM_BYTE] = {1, 1, 1},  [X86_IMM_SIGNED] = {1, 1, 1},
    [X86_IMM_WORD] = {2, 2, 2}, [X86_IMM_Z] = {2, 4, 4},     [X86_IMM_V] = {2, 4, 8},
    [X86_IMM_FAR] = {4, 6, 6},  [X86_IMM_ENTER] = {3, 3, 3}, [X86_IMM_TWO] = {2, 2, 2},
    [X86_IMM_REL8] = {1, 1, 1}, [X86_IMM_REL] = {2, 4, 4},   [X86_IMM_OFFSET] = {0, 0, 0},
};

static inline bool read_immediate(struct decoder *d)
{
    const uint32_t extended = 1 << X86_IMM_SIGNED | 1 << X86_IMM_Z | 1 << X86_IMM_V |
                              1 << X86_IMM_REL8 | 1 << X86_IMM_REL;
    struct native_insn *n = d->native;
    unsigned kind = d->row->immediate, size;

    if (kind == X86_IMM_NONE)
        return true;
    size = kind == X86_IMM_OFFSET ? d->address_size : immediate_sizes[kind][d->opsize >> 2];
    if (!have(d, size))
        return false;
    n->imm_size = (uint8_t)size;
    n->imm = (uint64_t)take(d, size);
    if (!(extended >> kind & 1))
        n->imm &= ~UINT64_C(0) >> (64 - 8 * size);
    return true;
}

/* What the size of a type follows from. */
enum size_by { BY_NOTHING, BY_OPSIZE, BY_W, BY_L, BY_MODE, BY_ADDRESS, BY_COUNT };

static const struct {
    uint8_t by;       /* enum size_by */
    uint16_t size[3]; /* in memory */
} types[X86_TYPE_COUNT] = {
    [X86_TYPE_B] = {BY_NOTHING, {1}},
    [X86_TYPE_W] = {BY_NOTHING, {2}},
    [X86_TYPE_D] = {BY_NOTHING, {4}},
    [X86_TYPE_Q] = {BY_NOTHING, {8}},
    [X86_TYPE_DQ] = {BY_NOTHING, {16}},
    [X86_TYPE_QQ] = {BY_NOTHING, {32}},
    [X86_TYPE_V] = {BY_OPSIZE, {2, 4, 8}},
    [X86_TYPE_Z] = {BY_OPSIZE, {2, 4, 4}},
    [X86_TYPE_Y] = {BY_W, {4, 8}},
    [X86_TYPE_X] = {BY_L, {16, 32}},
    [X86_TYPE_HX] = {BY_L, {8, 16}},
    [X86_TYPE_FX] = {BY_L, {4, 8}},
    [X86_TYPE_EX] = {BY_L, {2, 4}},
    [X86_TYPE_T] = {BY_NOTHING, {10}},
    [X86_TYPE_P] = {BY_OPSIZE, {4, 6, 10}},
    [X86_TYPE_S] = {BY_MODE, {6, 10}},
    [X86_TYPE_A] = {BY_OPSIZE, {4, 8, 16}},
    [X86_TYPE_VMW] = {BY_NOTHING, {2}},
    [X86_TYPE_DMB] = {BY_NOTHING, {1}},
    [X86_TYPE_DMW] = {BY_NOTHING, {2}},
    [X86_TYPE_ENV] = {BY_OPSIZE, {14, 28, 28}},
    [X86_TYPE_SAVE] = {BY_OPSIZE, {94, 108, 108}},
    [X86_TYPE_64] = {BY_NOTHING, {64}},
    [X86_TYPE_512] = {BY_NOTHING, {512}},
    [X86_TYPE_ADDR] = {BY_ADDRESS, {2, 4, 8}},
    [X86_TYPE_MODE] = {BY_MODE, {4, 8}},
};

static inline bool wide_y(const struct decoder *d)
{
    return d->rex & REX_W && d->mode == X86_MODE_64;
}

/* Bytes of an operand of this type, as memory. */
static inline uint16_t type_size(const struct decoder *d, unsigned type)
{
    const uint8_t column[BY_COUNT] = {
        [BY_OPSIZE] = d->opsize >> 2,
        [BY_W] = wide_y(d),
        [BY_L] = d->vex_l,
        [BY_MODE] = d->mode == X86_MODE_64,
        [BY_ADDRESS] = d->address_size >> 2,
    };

    return types[type].size[column[types[type].by]];
}

/* Without REX, 4 to 7 as byte registers are AH, CH, DH and BH. */
static inline unsigned encoded_register(const struct decoder *d, unsigned number, unsigned byte)
{
    return d->row->native & byte && !d->rex ? number & 3 : number;
}

/* Moves bits 0, 4 and 8 to 0, 16 and 32. */
static inline uint64_t spread(unsigned sets)
{
    return (sets & 0x111) * UINT64_C(0x1001001) & UINT64_C(0x100010001);
}

/* The general registers of the operands: which are read, written, overwritten. */
static inline void use_registers(struct decoder *d)
{
    uint64_t sets = d->row->fixed_registers;
    unsigned encoded = d->row->encoded_registers;
    struct native_insn *n = d->native;

    if (d->opsize != 2) {
        sets |= sets >> 16 & UINT64_C(0xffff00000000);
        encoded |= encoded >> 4 & 0xf00;
    }
    if (n->modrm != NATIVE_MODRM_MEM)
        sets |= spread(encoded) << encoded_register(d, n->rm, NATIVE_RM_BYTE);
    sets |= spread(encoded >> 1) << encoded_register(d, n->reg, NATIVE_REG_BYTE);
    sets |= spread(encoded >> 2) << n->vvvv;
    n->gpr_read = (uint16_t)sets;
    n->gpr_written = (uint16_t)(sets >> 16);
    n->gpr_killed = (uint16_t)(sets >> 32);
}

/* Memory that modrm does not name, and the pointers to it, which mostly move. */
static void use_implicit(struct decoder *d)
{
    const struct x86_row *row = d->row;
    struct native_insn *n = d->native;
    uint16_t moved = 0, stack = 0;

    n->mem_implicit = row->implicit;
    n->mem_access |= row->implicit_access;
    if (row->implicit_access)
        n->mem_size = type_size(d, row->implicit_type);
    if (row->implicit & (NATIVE_PUSH | NATIVE_POP))
        stack = 1 << X86_RSP;
    if (row->implicit & NATIVE_STRING_SI)
        moved |= 1 << X86_RSI;
    if (row->implicit & (NATIVE_STRING_DI_R | NATIVE_STRING_DI_W))
        moved |= 1 << X86_RDI;
    n->gpr_read |= moved | stack;
    n->gpr_written |= moved | stack;
    n->gpr_killed |= (d->address_size != 2 ? moved : 0) | (d->mode != X86_MODE_16 ? stack : 0);
    if (row->implicit & NATIVE_XLAT)
        n->gpr_read |= 1 << X86_RBX;
    if (row->implicit & NATIVE_MASKMOV)
        n->gpr_read |= 1 << X86_RDI;
}

/* The operand of modrm in memory: the registers of the address. */
static inline void use_memory(struct decoder *d)
{
    const struct x86_row *row = d->row;
    struct native_insn *n = d->native;

    n->mem_access = row->memory_access;
    n->mem_size = row->memory_access ? type_size(d, row->memory_type) : 0;
    /* NATIVE_RIP and NATIVE_NONE are beyond the 16 bits of the set. */
    n->gpr_read |= (uint16_t)(UINT32_C(1) << n->base);
    if (!(row->native & NATIVE_VSIB))
        n->gpr_read |= (uint16_t)(UINT32_C(1) << n->index);
    if (row->traits & X86_TRAIT_OTHER)
        n->mem_implicit |= NATIVE_OTHER;
    if (d->mode != X86_MODE_64 && (n->base == X86_RSP || n->base == X86_RBP) &&
        !(row->traits & X86_TRAIT_ADDRESS_ONLY))
        n->segment = NATIVE_SS;
}

/* Prefixes that were there and mean something. */
static void use_prefixes(struct decoder *d)
{
    const struct x86_row *row = d->row;
    struct native_insn *n = d->native;
    bool modrm = n->modrm == NATIVE_MODRM_MEM;

    if (row->traits & X86_TRAIT_OPSIZE && d->has_66 && (d->mode != X86_MODE_64 || d->opsize == 2))
        n->prefix |= NATIVE_66;
    if (row->traits & X86_TRAIT_REPS && d->rep) {
        n->prefix |= d->rep == 0xf3 ? NATIVE_F3 : NATIVE_F2;
        n->attributes |= NATIVE_REP;
    }
    if (d->lock)
        n->prefix |= NATIVE_LOCK;
    if (d->has_67 && ((modrm && n->base != NATIVE_RIP) || row->traits & X86_TRAIT_ADDRESS))
        n->prefix |= NATIVE_67;
    if (d->override &&
        ((modrm && !(row->traits & X86_TRAIT_ADDRESS_ONLY)) || row->traits & X86_TRAIT_SEGMENT))
        n->segment = d->override - 1;
}

/* W, as far as it means something. */
static bool meant_w(const struct decoder *d)
{
    uint32_t traits = d->row->traits;

    if (d->row->mask & X86_SELECT_W)
        return true;
    if (d->mode != X86_MODE_64)
        return false;
    return traits & X86_TRAIT_W ||
           (traits & X86_TRAIT_OPSIZE && !(traits & (X86_TRAIT_D64 | X86_TRAIT_F64)));
}

/* Flags of a shift by an immediate follow from the count: 0 leaves all alone; 1 to width - 1 writes
 * what a row for any count has as "perhaps", but OF is defined for 1 only. */
static void shift_flags(struct native_insn *n)
{
    unsigned width = n->opsize * 8u;
    unsigned count = n->imm & (width == 64 ? 63 : 31);

    if (count == 0) {
        n->flags_read = n->flags_may = n->flags_undefined = 0;
    } else if (count < width) {
        n->flags_written = n->flags_may;
        n->flags_may = 0;
        if (count != 1) {
            n->flags_written &= (uint16_t)~NATIVE_OF;
            n->flags_undefined |= NATIVE_OF;
        }
    }
}

/* A string instruction with REP: perhaps it does not happen once. */
static void use_rep(struct native_insn *n)
{
    n->gpr_read |= 1 << X86_RCX;
    n->gpr_written |= 1 << X86_RCX;
    n->gpr_killed = 0;
    n->flags_may |= n->flags_written;
    n->flags_written = 0;
}

/* The operand size as the row has it. */
static void settle_opsize(struct decoder *d)
{
    uint32_t traits = d->row->traits;

    if (d->mode == X86_MODE_64) {
        if (traits & X86_TRAIT_F64)
            d->opsize = 8;
        else if (traits & X86_TRAIT_D64)
            d->opsize = d->opsize == 2 ? 2 : 8;
    }
    if (traits & X86_TRAIT_OPSIZE)
        d->native->opsize = d->opsize;
    else if (traits & X86_TRAIT_BYTE)
        d->native->opsize = 1;
    else if (traits & X86_TRAIT_W)
        d->native->opsize = wide_y(d) ? 8 : 4;
}

/* The three registers of a gather must differ. */
static bool distinct(const struct native_insn *n)
{
    return n->reg != n->vvvv && n->reg != n->index && n->vvvv != n->index;
}

/* The upper bits of register numbers, where the operands are registers of sixteen. */
static inline void extend_numbers(struct decoder *d)
{
    const struct x86_row *row = d->row;
    struct native_insn *n = d->native;

    if (row->traits & X86_TRAIT_REG_EXT)
        n->reg |= (d->rex & REX_R) << 1;
    if (row->traits & X86_TRAIT_RM_EXT && n->modrm == NATIVE_MODRM_REG)
        n->rm |= (d->rex & REX_B) << 3;
    if (row->native & NATIVE_OPCODE_REG) {
        n->opcode &= 0xf8;
        n->rm = (d->opcode & 7) | (d->rex & REX_B) << 3;
    }
}

/* Rules that no pattern holds. */
static bool legal(const struct decoder *d)
{
    const struct native_insn *n = d->native;
    uint32_t traits = d->row->traits;

    if (traits & X86_TRAIT_DISTINCT && (d->address_size == 2 || !distinct(n)))
        return false;
    if (traits & X86_TRAIT_ALLREG) { /* CR0, CR2, CR3, CR4, CR8; DR0 to DR7 */
        bool control = X86_OPERAND_METHOD(d->row->operand[0]) == X86_METHOD_C ||
                       X86_OPERAND_METHOD(d->row->operand[1]) == X86_METHOD_C;

        return (control ? 0x11d : 0xff) >> n->reg & 1 && !d->lock;
    }
    return !d->lock || (traits & X86_TRAIT_LOCK && n->modrm == NATIVE_MODRM_MEM);
}

/* Fills in what the row and the operands say. False: undefined after all. */
static inline bool use_row(struct decoder *d)
{
    const struct x86_row *row = d->row;
    struct native_insn *n = d->native;
    uint32_t fixed = row->mask & row->match;

    n->opcode = d->opcode;
    n->map = d->table;
    n->attributes = row->native;
    n->prefix = (fixed & X86_SELECT_66 ? NATIVE_66 : 0) | (fixed & X86_SELECT_F3 ? NATIVE_F3 : 0) |
                (fixed & X86_SELECT_F2 ? NATIVE_F2 : 0);
    extend_numbers(d);
    if (d->vex) {
        n->vex = true;
        n->map = d->table - X86_TABLE_VEX_0F + NATIVE_MAP_0F;
        n->vex_l = d->vex_l && (row->traits & X86_TRAIT_L || row->mask & X86_SELECT_L);
        if (row->traits & X86_TRAIT_VVVV)
            n->vvvv = d->mode == X86_MODE_64 ? d->vvvv : d->vvvv & 7;
    } else {
        n->rex = d->rex && row->native & (NATIVE_REG_BYTE | NATIVE_RM_BYTE);
    }
    if (d->rex & REX_W)
        n->w = meant_w(d);
    use_registers(d);
    if (n->modrm == NATIVE_MODRM_MEM)
        use_memory(d);
    else if (row->traits & X86_TRAIT_OTHER && !(row->traits & X86_TRAIT_MODRM))
        n->mem_implicit = NATIVE_OTHER;
    if (row->implicit)
        use_implicit(d);
    if (n->opcode == 0xc9 && n->map == NATIVE_MAP_ONE) /* LEAVE */
        n->mem_implicit |= NATIVE_FRAME;
    if (n->mem_access)
        n->attributes |= NATIVE_MAY_FAULT;
    n->flags_read = row->flags_read;
    n->flags_written = row->flags_written;
    n->flags_may = row->flags_may;
    n->flags_undefined = row->flags_undefined;
    if (row->traits & X86_TRAIT_COUNT)
        shift_flags(n);
    if (d->prefixed) {
        use_prefixes(d);
        if (n->attributes & NATIVE_REP)
            use_rep(n);
    }
    return !(d->lock || row->traits & (X86_TRAIT_DISTINCT | X86_TRAIT_ALLREG)) || legal(d);
}

/* What depends on where the instruction ends. */
static void settle_targets(const struct decoder *d, struct x86_insn *insn)
{
    struct native_insn *n = d->native;
    uint64_t next = insn->pc + insn->length;

    if (n->base == NATIVE_RIP) {
        n->address = next + (uint64_t)(int64_t)n->disp;
        if (d->address_size == 4)
            n->address = (uint32_t)n->address;
        n->disp = 0;
    }
    if (d->row->immediate == X86_IMM_REL8 || d->row->immediate == X86_IMM_REL) {
        insn->target = next + n->imm;
        if (d->mode != X86_MODE_64)
            insn->target = (uint32_t)insn->target;
    }
}

static enum x86_decode decode(struct decoder *d, const struct x86_features *features)
{
    enum x86_decode result;

    if (!read_prefixes(d))
        return out_of_bytes(d);
    result = read_opcode(d);
    if (result != X86_DECODE_OK)
        return result;
    find_sizes(d);
    result = find_row(d, features);
    if (result != X86_DECODE_OK)
        return result;
    settle_opsize(d);
    if (d->row->traits & X86_TRAIT_MODRM && !read_modrm(d))
        return out_of_bytes(d);
    if (!read_immediate(d))
        return out_of_bytes(d);
    return use_row(d) ? X86_DECODE_OK : X86_DECODE_UNDEFINED;
}

/* In pieces: a memset() of this size becomes REP STOS, which takes as long as half a decoding. */
static inline void clear(struct x86_insn *insn)
{
    enum { PIECE = 32 };

    _Static_assert(sizeof(*insn) % PIECE == 0, "whole pieces");
    for (size_t i = 0; i < sizeof(*insn); i += PIECE)
        memset((uint8_t *)insn + i, 0, PIECE);
}

enum x86_decode x86_decode(enum x86_mode mode, const struct x86_features *features,
                           const uint8_t *bytes, size_t size, uint64_t pc, struct x86_insn *insn)
{
    struct decoder d = {
        .start = bytes,
        .at = bytes,
        .end = bytes + (size < LONGEST ? size : LONGEST),
        .limit = bytes + size,
        .mode = mode,
        .native = &insn->native,
    };
    enum x86_decode result;

    clear(insn);
    insn->native.base = NATIVE_NONE;
    insn->native.index = NATIVE_NONE;
    insn->native.segment = NATIVE_DS;
    insn->pc = pc;
    result = decode(&d, features);
    insn->length = (uint8_t)(d.at - d.start);
    if (result != X86_DECODE_OK)
        return result;
    insn->row = d.row;
    insn->lowering = d.row->lowering;
    insn->feature = d.vex_l && d.row->feature_wide ? d.row->feature_wide : d.row->feature;
    settle_targets(&d, insn);
    return X86_DECODE_OK;
}
