/* SPDX-License-Identifier: MIT
 *
 * Test cases of one instruction. */
#include <string.h>

#include "engine_side.h"
#include "operands.h"

/* Rows that do not run natively here, or that no run can repeat. */
static const struct {
    uint8_t lowering;
    const char *mnemonic; /* NULL: all of the lowering */
    const char *reason;
} EXCLUDED[] = {
    {X86_LOWER_SYSCALL, NULL, "asks the kernel for something"},
    {X86_LOWER_SYSENTER, NULL, "enters the kernel on Intel's processors, is undefined on AMD's"},
    {X86_LOWER_CPUID, NULL, "tells of the model, not of the processor"},
    {X86_LOWER_XGETBV, NULL, "tells of the model, not of the processor"},
    {X86_LOWER_RDTSC, NULL, "never the same twice"},
    {X86_LOWER_RANDOM, NULL, "never the same twice"},
    {X86_LOWER_INT3, "int1", "hypervisors disagree on its rip"},
    {X86_LOWER_PRIVILEGED, "vmcall", "asks the hypervisor for something"},
    {X86_LOWER_PRIVILEGED, "vmmcall", "asks the hypervisor for something"},
};

const char *generate_excluded(const struct x86_row *row)
{
    /* What the guest lacks is undefined there, and not run natively. */
    if (row->feature != X86_FEATURE_NONE && !x86_has(engine_side_features(), row->feature))
        return NULL;
    if (engine_side_is_soft() && soft_excluded(row) != NULL)
        return soft_excluded(row);
    if (row->table == X86_TABLE_0F && row->opcode == 0x0d && row->match & X86_SELECT_REG)
        return "defined on Intel's processors, undefined on AMD's";
    for (unsigned i = 0; i < sizeof EXCLUDED / sizeof *EXCLUDED; i++)
        if (row->lowering == EXCLUDED[i].lowering &&
            (EXCLUDED[i].mnemonic == NULL || strcmp(row->mnemonic, EXCLUDED[i].mnemonic) == 0))
            return EXCLUDED[i].reason;
    return NULL;
}

/* Where an instruction of this length lies: mostly anywhere, sometimes over a page's end. */
static uint64_t choose_pc(struct random *r, enum scratch_layout layout, unsigned length)
{
    unsigned pages, n = random_below(r, 100);
    uint64_t code = scratch_code(layout, &pages);
    uint64_t end = code + pages * SCRATCH_PAGE;

    if (n < 80)
        return code + 64 + random_below(r, (pages - 1) * SCRATCH_PAGE);
    if (n < 92)
        return code + SCRATCH_PAGE - random_below(r, length + 1);
    if (n < 97)
        return end - length; /* what follows is not there */
    return end - 1 - (length > 1 ? random_below(r, length - 1) : 0);
}

static bool fetched(enum scratch_layout layout, uint64_t pc, unsigned length)
{
    unsigned pages;
    uint64_t code = scratch_code(layout, &pages);

    return pc + length <= code + pages * SCRATCH_PAGE;
}

bool generate_fetched(const struct test_case *c)
{
    return fetched(c->layout, c->code, c->size);
}

static bool compares_strings(const struct native_insn *native)
{
    return native->attributes & NATIVE_REP && native->mem_implicit & NATIVE_STRING_SI &&
           native->mem_implicit & NATIVE_STRING_DI_R;
}

/* A segment whose base is within FDP, or not: how the engine adds it decides. */
static bool hides_base(unsigned segment)
{
    return segment == NATIVE_GS || (segment == NATIVE_FS && engine_side_is_soft());
}

static bool has_several(const struct x86_insn *insn)
{
    switch (insn->lowering) {
    case X86_LOWER_XSAVE:
    case X86_LOWER_XRSTOR:
    case X86_LOWER_FXSAVE:
    case X86_LOWER_FNSTENV:
    case X86_LOWER_FAR:
    case X86_LOWER_IRET: return true;
    case X86_LOWER_MOV_TO_SEG: return insn->native.modrm == NATIVE_MODRM_MEM;
    default: return false;
    }
}

/* A gather through GS with a 32-bit address: the sum of a lane is cut to 32 bits before the base is
 * added, and there is no other instruction that does both. */
static bool is_left_out(const struct x86_insn *insn)
{
    return insn->native.attributes & NATIVE_VSIB && insn->native.prefix & NATIVE_67 &&
           insn->native.segment == NATIVE_GS;
}

bool generate_instruction(struct random *r, const struct x86_row *row, bool memory,
                          struct test_case *c)
{
    bool absolute = random_chance(r, 50);
    unsigned how = (memory ? ENCODE_MEMORY : 0) | (absolute ? ENCODE_ABSOLUTE : 0) |
                   (random_chance(r, 30) ? ENCODE_PLAIN : 0);
    struct encoding e = {0};
    struct x86_insn insn;
    struct operands o = {.random = r, .machine = &c->machine, .insn = &insn, .encoding = &e};

    memset(c->bytes, 0, 32);
    for (int i = 0;; i++) {
        encode(r, row, i < 100 ? how : how | ENCODE_PLAIN, &e);
        if (operands_decode(e.bytes, e.size < 15 ? e.size : 15, 0x1000, &insn) && insn.row == row &&
            !is_left_out(&insn))
            break;
        if (i == 300)
            return false;
    }
    /* Absolute addresses and those of 32 bits reach only the low layout. */
    c->layout = random_chance(r, 50) ? SCRATCH_LOW : SCRATCH_HIGH;
    if ((insn.native.prefix & NATIVE_67 ||
         (insn.native.modrm == NATIVE_MODRM_MEM && insn.native.base == NATIVE_NONE)) &&
        random_chance(r, 95))
        c->layout = SCRATCH_LOW;
    random_machine(r, &c->machine);
    scratch_begin(c->layout);
    c->code = c->machine.rip = choose_pc(r, c->layout, insn.length);
    if (insn.lowering == X86_LOWER_UD) /* is modrm fetched? Makers differ */
        c->code = c->machine.rip &= ~UINT64_C(63);
    c->size = insn.length;
    memcpy(c->bytes, e.bytes, insn.length);
    operands_decode(c->bytes, c->size, c->code, &insn);
    o.layout = c->layout;
    o.bytes = c->bytes;
    operands_set(&o);
    c->undefined = insn.native.flags_undefined;
    c->several = has_several(&insn);
    c->two_strings = compares_strings(&insn.native);
    c->x87_gs = insn.native.attributes & NATIVE_X87 && hides_base(insn.native.segment);
    c->calls = insn.lowering == X86_LOWER_CALL_R;
    c->selectors = insn.lowering == X86_LOWER_FAR || insn.lowering == X86_LOWER_IRET;
    scratch_put(c->code, c->bytes, c->size);
    return operands_decode(c->bytes, c->size, c->code, &insn) && insn.length == c->size &&
           (insn.row == row || !fetched(c->layout, c->code, c->size));
}

/* What the host may execute though the guest's manual calls it undefined: EVEX and the instructions
 * on mask registers (AVX-512), those of SVM, MONITORX and MWAITX, VMCALL (hypervisors emulate it),
 * MOV to CR8 spelt with LOCK (AMD); VPERMQ and VPERMPD with W clear (AMD); and what faults
 * otherwise before it is undefined: LOCK with VERR and its like (memory is read first), XOP (its
 * length counts). */
static bool is_host_only(const uint8_t *bytes)
{
    static const uint8_t prefixes[] = {0x66, 0xf2, 0xf3, 0xf0, 0x67, 0x2e,
                                       0x36, 0x3e, 0x26, 0x64, 0x65, 0x00};
    unsigned i = 0, map, opcode;

    while (i < 12 &&
           (strchr((const char *)prefixes, bytes[i]) != NULL || (bytes[i] & 0xf0) == 0x40) &&
           bytes[i] != 0)
        i++;
    if (bytes[i] == 0x8f)
        return (bytes[i + 1] & 0x1f) >= 8;
    if (bytes[i] == 0x0f && bytes[i + 1] == 0x01) {
        unsigned modrm = bytes[i + 2];

        return (modrm >= 0xd8 && modrm <= 0xdf) || modrm == 0xc1 || modrm == 0xfa || modrm == 0xfb;
    }
    if (bytes[i] == 0x0f)
        return bytes[i + 1] == 0x00 || bytes[i + 1] == 0x20 || bytes[i + 1] == 0x22;
    if (bytes[i] != 0xc4 && bytes[i] != 0xc5)
        return bytes[i] == 0x62;
    map = bytes[i] == 0xc5 ? 1 : bytes[i + 1] & 31;
    opcode = bytes[i] == 0xc5 ? bytes[i + 2] : bytes[i + 3];
    if (map == 1)
        return (opcode >= 0x41 && opcode <= 0x4b) || (opcode >= 0x90 && opcode <= 0x99);
    return map == 3 && ((opcode >= 0x30 && opcode <= 0x33) || opcode <= 1);
}

bool generate_undefined(struct random *r, struct test_case *c)
{
    static const uint8_t prefixes[] = {0x66, 0xf2, 0xf3, 0xf0, 0x67, 0x2e, 0x48, 0x41};
    uint8_t bytes[16];
    unsigned size = 0;
    struct x86_insn insn;

    /* Few, or else bytes that only might be an instruction are too long for one: #GP. */
    while (size < 2 && random_chance(r, 60))
        bytes[size++] = prefixes[random_below(r, sizeof prefixes)];
    switch (random_below(r, 4)) {
    case 0:
        bytes[size++] = 0xc4;
        bytes[size++] = (random_bits(r) & 0xe0) | (1 + random_below(r, 3));
        break;
    case 1: bytes[size++] = 0xc5; break;
    case 2:
        bytes[size++] = 0x0f;
        if (random_chance(r, 60))
            bytes[size++] = random_chance(r, 50) ? 0x38 : 0x3a;
        break;
    default: break;
    }
    while (size < sizeof bytes)
        bytes[size++] = random_bits(r);
    if (x86_decode(X86_MODE_64, NULL, bytes, 15, 0x1000, &insn) != X86_DECODE_UNDEFINED ||
        is_host_only(bytes))
        return false;
    random_machine(r, &c->machine);
    c->layout = random_chance(r, 50) ? SCRATCH_LOW : SCRATCH_HIGH;
    scratch_begin(c->layout);
    c->size = 15;
    c->code = c->machine.rip = choose_pc(r, c->layout, c->size) & ~UINT64_C(63);
    c->undefined = 0;
    c->several = c->two_strings = c->calls = c->selectors = c->x87_gs = false;
    memcpy(c->bytes, bytes, c->size);
    scratch_put(c->code, c->bytes, c->size);
    return true;
}
