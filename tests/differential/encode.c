/* SPDX-License-Identifier: MIT
 *
 * Bytes for an opcode row: prefixes, opcode, modrm and what follows. */
#include <string.h>

#include "encode.h"

static bool open_bit(const struct x86_row *row, uint32_t bit)
{
    return !(row->mask & bit);
}

static bool is_vex(const struct x86_row *row)
{
    return row->table >= X86_TABLE_VEX_0F;
}

static bool has_modrm(const struct x86_row *row)
{
    return row->traits & X86_TRAIT_MODRM || row->mask & (X86_SELECT_MODRM | X86_SELECT_REG);
}

/* True if whatever fits the row fits an earlier one too. */
static bool is_shadowed(const struct x86_row *row)
{
    const struct x86_row *first = x86_row_table;

    for (const struct x86_row *other = row; other-- > first;) {
        uint32_t mask = other->mask & ~(uint32_t)X86_SELECT_64;

        if (other->table != row->table || other->opcode != row->opcode)
            break;
        if ((open_bit(other, X86_SELECT_64) || other->match & X86_SELECT_64) &&
            (mask & ~row->mask) == 0 && ((other->match ^ row->match) & mask) == 0)
            return true;
    }
    return false;
}

bool encode_possible(const struct x86_row *row)
{
    if (is_shadowed(row))
        return false;
    if (!open_bit(row, X86_SELECT_64) && !(row->match & X86_SELECT_64))
        return false;
    return open_bit(row, X86_SELECT_ADDRESS) || row->match & X86_SELECT_ADDRESS;
}

bool encode_both_forms(const struct x86_row *row, bool *memory)
{
    *memory = has_modrm(row) && !(row->match & X86_SELECT_REG);
    return has_modrm(row) && open_bit(row, X86_SELECT_REG) && !(row->traits & X86_TRAIT_ALLREG);
}

static void put(struct encoding *e, unsigned byte)
{
    e->bytes[e->size++] = byte;
}

/* A bit of the selector: as the row wants, else set in `percent` of 100 cases. */
static bool choose(struct random *r, const struct x86_row *row, uint32_t bit, unsigned percent)
{
    return open_bit(row, bit) ? random_chance(r, percent) : row->match & bit;
}

/* 66 and REX.W for the operand size that the row wants; both are chances where it does not care. */
static void choose_size(struct random *r, const struct x86_row *row, bool plain, bool *data16,
                        bool *wide)
{
    unsigned wanted = (row->match & X86_SELECT_OPSIZE) >> X86_SELECT_OPSIZE_SHIFT;
    bool default64 = row->traits & (X86_TRAIT_D64 | X86_TRAIT_F64);
    bool matters = row->traits & (X86_TRAIT_OPSIZE | X86_TRAIT_W);

    *data16 = choose(r, row, X86_SELECT_66, matters ? 25 : plain ? 0 : 8);
    *wide = choose(r, row, X86_SELECT_W, matters ? 35 : plain ? 0 : 10);
    if (open_bit(row, X86_SELECT_OPSIZE))
        return;
    if (wanted == 0) {
        *data16 = true;
        *wide = false;
    } else if (wanted == 1) {
        *data16 = *wide = false;
    } else if (!default64) {
        *wide = true;
    } else {
        *data16 = !open_bit(row, X86_SELECT_66) && row->match & X86_SELECT_66;
    }
}

/* What Intel's and AMD's processors do differently, and guests get Intel's way: 66 with near
 * branches (AMD: the target has 16 bits), F2 and F3 with LOOPE and LOOPNE (AMD: they change the
 * condition), REX.W with far pointers (AMD: ignored). The set of prefixes to leave out. */
enum { MAKERS_66 = 1, MAKERS_REPEAT = 2, MAKERS_W = 4, MAKERS_SEGMENT = 8 };

static unsigned makers_differ(const struct x86_row *row)
{
    switch (row->lowering) {
    case X86_LOWER_LOOP: return MAKERS_66 | MAKERS_REPEAT;
    case X86_LOWER_JCC:
    case X86_LOWER_JMP:
    case X86_LOWER_CALL:
    case X86_LOWER_JMP_R:
    case X86_LOWER_CALL_R:
    case X86_LOWER_RET: return MAKERS_66;
    case X86_LOWER_NATIVE: /* UMIP: Linux executes SGDT and its like, but not with all prefixes */
        return row->table == X86_TABLE_0F && row->opcode <= 1 ? MAKERS_REPEAT | MAKERS_SEGMENT : 0;
    case X86_LOWER_FAR:
    case X86_LOWER_MOV_TO_SEG: return row->traits & X86_TRAIT_MODRM ? MAKERS_W : 0;
    default: return 0;
    }
}

static void legacy_prefixes(struct random *r, const struct x86_row *row, unsigned how, bool data16,
                            struct encoding *e)
{
    static const uint8_t segments[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x64, 0x65};
    bool plain = how & ENCODE_PLAIN;
    bool vex = is_vex(row), string = row->traits & X86_TRAIT_REPS;
    bool f3 = choose(r, row, X86_SELECT_F3, string ? 40 : plain ? 0 : 6);
    bool f2 = !f3 && choose(r, row, X86_SELECT_F2, string ? 20 : plain ? 0 : 6);
    bool address32 = !plain && random_chance(r, 12);
    unsigned differ = makers_differ(row);
    uint8_t list[5];
    unsigned count = 0;

    if (!open_bit(row, X86_SELECT_ADDRESS))
        address32 = (row->match & X86_SELECT_ADDRESS) >> X86_SELECT_ADDRESS_SHIFT == 1;
    if (address32)
        list[count++] = 0x67;
    if (!plain && !(differ & MAKERS_SEGMENT) && random_chance(r, 15))
        list[count++] = segments[random_below(r, sizeof segments)];
    if (!vex && data16 && !(differ & MAKERS_66))
        list[count++] = 0x66;
    if (!vex && (f3 || f2) && !(differ & MAKERS_REPEAT))
        list[count++] = f3 ? 0xf3 : 0xf2;
    if (row->traits & X86_TRAIT_LOCK && how & ENCODE_MEMORY && random_chance(r, 30))
        list[count++] = 0xf0;
    while (count > 0) { /* in any order */
        unsigned i = random_below(r, count);

        put(e, list[i]);
        list[i] = list[--count];
    }
}

/* The opcode with what stands before it. `rex`: W, R, X, B as in a REX prefix. */
static void opcode(struct random *r, const struct x86_row *row, unsigned rex, struct encoding *e)
{
    unsigned byte = row->opcode;

    if (row->native & NATIVE_OPCODE_REG)
        byte |= random_below(r, 8);
    if (is_vex(row)) {
        unsigned map = row->table - X86_TABLE_VEX_0F + 1;
        unsigned pp = row->match & X86_SELECT_66   ? 1
                      : row->match & X86_SELECT_F3 ? 2
                      : row->match & X86_SELECT_F2 ? 3
                                                   : 0;
        bool l = choose(r, row, X86_SELECT_L, row->traits & X86_TRAIT_L ? 50 : 3);
        bool named = row->traits & X86_TRAIT_VVVV || random_chance(r, 1);
        unsigned vvvv = named ? random_below(r, 16) : 0;
        unsigned low = (~vvvv & 15) << 3 | l << 2 | pp;

        if (map == 1 && !(rex & 11) && random_chance(r, 60)) {
            put(e, 0xc5);
            put(e, (rex & 4 ? 0 : 0x80) | low);
        } else {
            put(e, 0xc4);
            put(e, (~rex & 7) << 5 | map);
            put(e, (rex & 8 ? 0x80 : 0) | low);
        }
    } else {
        if (rex != 0)
            put(e, 0x40 | (rex & 15));
        if (row->table != X86_TABLE_ONE)
            put(e, 0x0f);
        if (row->table == X86_TABLE_0F38)
            put(e, 0x38);
        if (row->table == X86_TABLE_0F3A)
            put(e, 0x3a);
    }
    put(e, byte);
}

static void put_displacement(struct random *r, unsigned size, struct encoding *e)
{
    e->disp_at = e->size;
    e->disp_size = size;
    for (unsigned i = 0; i < size; i++)
        put(e, random_bits(r));
    if (size == 4 && random_chance(r, 50)) /* a small one */
        e->bytes[e->size - 1] = e->bytes[e->size - 2] = random_chance(r, 50) ? 0 : 0xff;
}

static unsigned pick(struct random *r, unsigned set)
{
    unsigned n;

    do
        n = random_below(r, 16);
    while (!(set >> n & 1));
    return n;
}

/* A memory operand: modrm with `reg`, SIB, displacement. Sets X and B in `rex`. */
static unsigned memory(struct random *r, const struct x86_row *row, unsigned how, unsigned reg,
                       unsigned rex, uint8_t *modrm, uint8_t *sib, unsigned pins)
{
    static const uint8_t mods[] = {0, 1, 2, 1};
    bool vector = row->native & NATIVE_VSIB;
    unsigned base = how & ENCODE_PINNED ? pick(r, pins) : random_below(r, 16);
    unsigned index = how & ENCODE_PINNED ? 4 : random_below(r, 16);
    unsigned mod = mods[random_below(r, 4)];
    bool bare = random_chance(r, 15); /* neither base nor index */

    if (!open_bit(row, X86_SELECT_REX_B))
        base = (base & 7) | (row->match & X86_SELECT_REX_B ? 8 : 0);
    rex &= ~3u;
    if (bare && !vector) {
        if (how & ENCODE_ABSOLUTE) {
            *modrm = reg << 3 | 4;
            *sib = random_below(r, 4) << 6 | 4 << 3 | 5;
            return rex;
        }
        *modrm = reg << 3 | 5;
        return rex | (base >> 3 & 1);
    }
    if (base % 8 == 5 && mod == 0 && how & ENCODE_PINNED)
        mod = 1; /* else there would be no base */
    if (vector || random_chance(r, 45)) {
        if (index == base && !(how & ENCODE_PINNED))
            index ^= 1;
        *modrm = mod << 6 | reg << 3 | 4;
        *sib = random_below(r, 4) << 6 | (index & 7) << 3 | (base & 7);
        return rex | (index >> 3) << 1 | base >> 3;
    }
    *modrm = mod << 6 | reg << 3 | (base & 7);
    *sib = 4 << 3 | (base & 7); /* where base is 4 or 12 */
    return rex | base >> 3;
}

static unsigned displacement_size(unsigned modrm, unsigned sib)
{
    switch (modrm >> 6) {
    case 0:
        if ((modrm & 7) == 5)
            return 4;
        return (modrm & 7) == 4 && (sib & 7) == 5 ? 4 : 0;
    case 1: return 1;
    case 2: return 4;
    default: return 0;
    }
}

void encode(struct random *r, const struct x86_row *row, unsigned how, struct encoding *e)
{
    unsigned rex = random_chance(r, 60) ? random_below(r, 8) : 0;
    unsigned reg = random_below(r, 8), pins = e->pins;
    uint8_t modrm = 0, sib = 0;
    bool data16, wide, is_memory;

    memset(e, 0, sizeof *e);
    e->pins = pins;
    choose_size(r, row, how & ENCODE_PLAIN, &data16, &wide);
    rex |= wide && !(makers_differ(row) & MAKERS_W) ? 8 : 0;
    if (row->mask & 0x38)
        reg = (row->match >> 3 & 7) | (reg & ~(row->mask >> 3) & 7);
    if (!open_bit(row, X86_SELECT_REX_B))
        rex = (rex & ~1u) | (row->match & X86_SELECT_REX_B ? 1 : 0);
    is_memory = how & ENCODE_MEMORY;
    if (has_modrm(row)) {
        if (!open_bit(row, X86_SELECT_REG))
            is_memory = !(row->match & X86_SELECT_REG);
        if (row->traits & X86_TRAIT_ALLREG)
            is_memory = false;
        if (is_memory)
            rex = memory(r, row, how, reg, rex, &modrm, &sib, pins);
        else
            modrm = 0xc0 | reg << 3 | random_below(r, 8);
        if (row->mask & 7)
            modrm = (modrm & ~(row->mask & 7)) | (row->match & row->mask & 7);
    }
    /* A REX prefix of 40 matters for byte registers. */
    legacy_prefixes(r, row, how, data16, e);
    if (rex == 0 && !is_vex(row) && random_chance(r, 10))
        put(e, 0x40);
    opcode(r, row, rex, e);
    if (has_modrm(row)) {
        put(e, modrm);
        if (is_memory && (modrm & 7) == 4)
            put(e, sib);
        if (is_memory)
            put_displacement(r, displacement_size(modrm, sib), e);
    }
    for (int i = 0; i < 8; i++)
        put(e, random_bits(r));
}
