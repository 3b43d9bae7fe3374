/* SPDX-License-Identifier: MIT
 *
 * The x86 decoder against a second opinion, Zydis: encodings made from every row, and random bytes.
 * Compared are acceptance, length, name, memory operand, general registers and flags. Where the two
 * differ for a reason, the tables below name it; the manuals (SDM, APM) decide.
 */
#include "guest/x86/rows.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <Zydis/Zydis.h>

enum { PC = 0x401000, ROW_TRIES = 40, RANDOM_TRIES = 500000, RANDOM_TRIES_LONG = 20000000 };

/* What can differ. */
enum aspect {
    NAME = 1,
    MEMORY = 2, /* size and direction of the memory operand */
    READS = 4,  /* general registers */
    WRITES = 8,
    KILLS = 16,
    FLAGS_READ = 32,
    FLAGS = 64, /* written, perhaps written, undefined */
    ACCEPT = 128,
    ADDRESS = 256, /* base, index, scale, displacement, segment */
    LENGTH = 512,
};

static const char *const aspects[] = {"name",       "memory", "reads",  "writes",  "kills",
                                      "flags read", "flags",  "accept", "address", "length"};

struct opinion {
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
};

static ZydisDecoder zydis[3];

static int set_up(void **state)
{
    static const struct {
        ZydisMachineMode mode;
        ZydisStackWidth stack;
    } modes[3] = {
        [X86_MODE_16] = {ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16},
        [X86_MODE_32] = {ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32},
        [X86_MODE_64] = {ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64},
    };
    static const ZydisDecoderMode off[] = {ZYDIS_DECODER_MODE_MPX, ZYDIS_DECODER_MODE_CET,
                                           ZYDIS_DECODER_MODE_CLDEMOTE};

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        if (!ZYAN_SUCCESS(ZydisDecoderInit(&zydis[i], modes[i].mode, modes[i].stack)))
            return -1;
        for (unsigned k = 0; k < sizeof(off) / sizeof(off[0]); k++) {
            if (!ZYAN_SUCCESS(ZydisDecoderEnableMode(&zydis[i], off[k], ZYAN_FALSE)))
                return -1;
        }
    }
    return 0;
}

static uint64_t random_state = 0x9e3779b97f4a7c15;

static uint64_t random64(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state * UINT64_C(0x2545f4914f6cdd1d);
}

static unsigned random_below(unsigned limit)
{
    return (unsigned)(random64() >> 33) % limit;
}

/* Extensions that no model of ours has, or that are undefined outside CPL 0 or a mode of their own:
 * no rows, so that these encodings are undefined (or hints where the manual says so). */
static const ZydisISAExt absent[] = {
    ZYDIS_ISA_EXT_AMD3DNOW,  ZYDIS_ISA_EXT_AMD_INVLPGB,
    ZYDIS_ISA_EXT_AMX_BF16,  ZYDIS_ISA_EXT_AMX_INT8,
    ZYDIS_ISA_EXT_AMX_TILE,  ZYDIS_ISA_EXT_AVX512EVEX,
    ZYDIS_ISA_EXT_AVX512VEX, ZYDIS_ISA_EXT_AVX_VNNI,
    ZYDIS_ISA_EXT_CET,       ZYDIS_ISA_EXT_ENQCMD,
    ZYDIS_ISA_EXT_FMA4,      ZYDIS_ISA_EXT_HRESET,
    ZYDIS_ISA_EXT_KEYLOCKER, ZYDIS_ISA_EXT_KEYLOCKER_WIDE,
    ZYDIS_ISA_EXT_KNC,       ZYDIS_ISA_EXT_KNCE,
    ZYDIS_ISA_EXT_KNCV,      ZYDIS_ISA_EXT_MCOMMIT,
    ZYDIS_ISA_EXT_MONITOR,   ZYDIS_ISA_EXT_MONITORX,
    ZYDIS_ISA_EXT_MOVDIR,    ZYDIS_ISA_EXT_PADLOCK,
    ZYDIS_ISA_EXT_PCONFIG,   ZYDIS_ISA_EXT_PT,
    ZYDIS_ISA_EXT_RDPRU,     ZYDIS_ISA_EXT_RTM,
    ZYDIS_ISA_EXT_SGX,       ZYDIS_ISA_EXT_SGX_ENCLV,
    ZYDIS_ISA_EXT_SMAP,      ZYDIS_ISA_EXT_SMX,
    ZYDIS_ISA_EXT_SNP,       ZYDIS_ISA_EXT_SVM,
    ZYDIS_ISA_EXT_TBM,       ZYDIS_ISA_EXT_TDX,
    ZYDIS_ISA_EXT_TSX_LDTRK, ZYDIS_ISA_EXT_UINTR,
    ZYDIS_ISA_EXT_VMFUNC,    ZYDIS_ISA_EXT_VTX,
    ZYDIS_ISA_EXT_WAITPKG,   ZYDIS_ISA_EXT_XOP,
};

/* Differences with a reason; the name is Zydis's, a star at its end stands for anything. */
static const struct difference {
    const char *name;
    unsigned aspects;
    const char *reason;
} differences[] = {
    {"rsm", ACCEPT, "undefined outside system management mode"},
    {"sbb", FLAGS, "the manual defines AF; Zydis has it undefined in some forms"},
    {"rol", FLAGS | FLAGS_READ, "the count is an immediate: test_shift_flags"},
    {"ror", FLAGS | FLAGS_READ, "alike"},
    {"rcl", FLAGS | FLAGS_READ, "alike"},
    {"rcr", FLAGS | FLAGS_READ, "alike"},
    {"shl", FLAGS, "alike"},
    {"shr", FLAGS, "alike"},
    {"sar", FLAGS, "alike"},
    {"shld", FLAGS | KILLS, "alike; the upper half is cleared whatever the count"},
    {"shrd", FLAGS | KILLS, "alike"},
    {"ins*", WRITES | KILLS, "Zydis does not tell of moved pointers"},
    {"outs*", WRITES | KILLS, "alike"},
    {"cmps*", WRITES | KILLS | FLAGS_READ, "alike; REPE looks at the ZF of the comparison itself"},
    {"scas*", WRITES | KILLS | FLAGS_READ, "alike"},
    {"lods*", KILLS, "Zydis does not say that RSI is written always"},
    {"xlat", READS, "AL is an index"},
    {"loop*", KILLS, "outside 64-bit mode told by the operand size; the counter is read anyway"},
    {"leave", READS | KILLS, "RSP is overwritten before use, wholly whatever the operand size"},
    {"enter", KILLS, "alike"},
    {"pusha*", KILLS, "alike"},
    {"popa*", KILLS, "alike"},
    {"pause", NAME | READS | WRITES | KILLS, "F3 41 90 exchanges R8 and RAX, as on processors"},
    {"nop", MEMORY | READS, "operands of hints are not used"},
    {"prefetch*", MEMORY, "a hint accesses nothing"},
    {"invlpg", MEMORY, "takes an address, accesses nothing"},
    {"clflush*", MEMORY, "counts as a load: it can fault"},
    {"clwb", MEMORY, "alike"},
    {"ud*", MEMORY | READS, "operands are not used"},
    {"mov", FLAGS, "to and from CR and DR: the manual has the flags undefined"},
    {"cmov*", READS | KILLS, "the old value is an operand, the upper half is cleared always"},
    {"syscall", KILLS | FLAGS | FLAGS_READ,
     "R11 takes the flags; what SYSRET brings is not its effect"},
    {"sysenter", READS | WRITES | KILLS | FLAGS_READ, "the kernel's side of it"},
    {"sysret", FLAGS, "all flags come from R11"},
    {"sysexit", KILLS, "alike"},
    {"vtestps", FLAGS, "OF, AF, PF and SF are cleared, which Zydis does not tell"},
    {"vtestpd", FLAGS, "alike"},
    {"vptest", FLAGS, "alike"},
    {"ptest", FLAGS, "alike"},
    {"bextr", FLAGS, "CF and OF are cleared, only AF, SF and PF are undefined"},
    {"sldt", KILLS, "Linux, executing it under UMIP, leaves the upper half of 32 bits alone"},
    {"str", KILLS, "alike"},
    {"smsw", KILLS, "alike"},
    {"lar", READS | KILLS, "a selector is 16 bits; nothing is written if ZF becomes 0"},
    {"lsl", READS | KILLS, "alike"},
    {"bsf", KILLS, "nothing is written if the source is 0"},
    {"bsr", KILLS, "alike"},
    {"movsxd", MEMORY, "with 66 the source has 16 bits (SDM)"},
};

static bool name_fits(const char *pattern, const char *name)
{
    size_t length = strlen(pattern);

    if (length && pattern[length - 1] == '*')
        return !strncmp(pattern, name, length - 1);
    return !strcmp(pattern, name);
}

static unsigned excused(const char *name)
{
    unsigned found = 0;

    for (size_t i = 0; i < sizeof(differences) / sizeof(differences[0]); i++) {
        if (name_fits(differences[i].name, name))
            found |= differences[i].aspects;
    }
    return found;
}

/* Names that only differ in spelling: ours, Zydis's. */
static const char *const spelling[][2] = {
    {"ae", "nb"}, {"e", "z"}, {"ne", "nz"}, {"a", "nbe"}, {"ge", "nl"}, {"g", "nle"},
};

/* Alike, whole names. */
static const char *const names[][2] = {
    {"retf", "ret"},    {"pushf", "pushfq"},    {"pushf", "pushfd"}, {"popf", "popfq"},
    {"popf", "popfd"},  {"endbr64", "nop"}, /* Zydis without CET, which would have shadow stacks too
                                             */
    {"endbr32", "nop"}, {"wbnoinvd", "wbinvd"},
};

static bool same_name(const char *ours, const char *theirs)
{
    static const char *const stems[] = {"j", "set", "cmov"};

    if (!strcmp(ours, theirs))
        return true;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (!strcmp(ours, names[i][0]) && !strcmp(theirs, names[i][1]))
            return true;
    }
    for (unsigned i = 0; i < 3; i++) {
        size_t length = strlen(stems[i]);

        if (strncmp(ours, stems[i], length) || strncmp(theirs, stems[i], length))
            continue;
        for (unsigned k = 0; k < sizeof(spelling) / sizeof(spelling[0]); k++) {
            if (!strcmp(ours + length, spelling[k][0]) && !strcmp(theirs + length, spelling[k][1]))
                return true;
        }
    }
    return false;
}

/* The number of a general register by any of its names; NATIVE_NONE for other registers. */
static unsigned gpr_number(ZydisRegister reg)
{
    ZydisRegister largest = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);

    if (largest < ZYDIS_REGISTER_RAX || largest > ZYDIS_REGISTER_R15)
        return NATIVE_NONE;
    return (unsigned)(largest - ZYDIS_REGISTER_RAX);
}

struct sets {
    uint16_t read, written, killed;
};

static void add_address(struct sets *sets, ZydisRegister reg)
{
    unsigned number = gpr_number(reg);

    if (number < 16)
        sets->read |= (uint16_t)(1 << number);
}

/* General registers as Zydis sees them. */
static struct sets their_registers(const struct opinion *z)
{
    struct sets sets = {0};

    for (unsigned i = 0; i < z->insn.operand_count; i++) {
        const ZydisDecodedOperand *operand = &z->operand[i];
        unsigned number;

        if (operand->type == ZYDIS_OPERAND_TYPE_MEMORY) {
            add_address(&sets, operand->mem.base);
            add_address(&sets, operand->mem.index);
            continue;
        }
        if (operand->type != ZYDIS_OPERAND_TYPE_REGISTER)
            continue;
        number = gpr_number(operand->reg.value);
        if (number >= 16)
            continue;
        if (operand->actions & ZYDIS_OPERAND_ACTION_MASK_READ)
            sets.read |= (uint16_t)(1 << number);
        if (operand->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
            sets.written |= (uint16_t)(1 << number);
        if (operand->actions & ZYDIS_OPERAND_ACTION_WRITE && operand->size >= 32)
            sets.killed |= (uint16_t)(1 << number);
    }
    return sets;
}

static unsigned compare_registers(const struct x86_insn *insn, const struct opinion *z)
{
    struct sets theirs = their_registers(z);
    const struct native_insn *n = &insn->native;
    unsigned found = 0;

    if (theirs.read != n->gpr_read)
        found |= READS;
    if (theirs.written != n->gpr_written)
        found |= WRITES;
    if (theirs.killed != n->gpr_killed)
        found |= KILLS;
    if (n->gpr_killed & ~n->gpr_written)
        found |= KILLS;
    return found;
}

static unsigned compare_flags(const struct x86_insn *insn, const struct opinion *z)
{
    const struct native_insn *n = &insn->native;
    const ZydisAccessedFlags *theirs = z->insn.cpu_flags;
    const unsigned mask = NATIVE_ARITH | NATIVE_DF;
    unsigned touched =
        (theirs->modified | theirs->set_0 | theirs->set_1 | theirs->undefined) & mask;
    unsigned ours = n->flags_written | n->flags_may | n->flags_undefined;
    unsigned found = 0;

    if ((theirs->tested & mask) != n->flags_read)
        found |= FLAGS_READ;
    if (touched != ours || n->flags_written & (n->flags_may | n->flags_undefined))
        found |= FLAGS;
    if (n->flags_written & theirs->undefined)
        found |= FLAGS;
    return found;
}

static unsigned address_register(ZydisRegister reg)
{
    if (reg == ZYDIS_REGISTER_NONE)
        return NATIVE_NONE;
    if (reg == ZYDIS_REGISTER_RIP || reg == ZYDIS_REGISTER_EIP)
        return NATIVE_RIP;
    if (reg >= ZYDIS_REGISTER_XMM0 && reg <= ZYDIS_REGISTER_XMM31)
        return (unsigned)(reg - ZYDIS_REGISTER_XMM0);
    if (reg >= ZYDIS_REGISTER_YMM0 && reg <= ZYDIS_REGISTER_YMM31)
        return (unsigned)(reg - ZYDIS_REGISTER_YMM0);
    return gpr_number(reg);
}

static unsigned compare_address(const struct native_insn *n, const ZydisDecodedOperandMem *mem)
{
    unsigned segment = mem->segment == ZYDIS_REGISTER_FS   ? NATIVE_FS
                       : mem->segment == ZYDIS_REGISTER_GS ? NATIVE_GS
                                                           : NATIVE_DS;
    bool same_segment = n->segment == segment || n->segment <= NATIVE_DS;

    if (mem->type == ZYDIS_MEMOP_TYPE_AGEN)
        same_segment = n->segment == NATIVE_DS;
    if (address_register(mem->base) != n->base || address_register(mem->index) != n->index ||
        !same_segment)
        return ADDRESS;
    if (mem->index != ZYDIS_REGISTER_NONE && mem->scale != n->scale)
        return ADDRESS;
    if (n->base != NATIVE_RIP && (int32_t)mem->disp.value != n->disp)
        return ADDRESS;
    return 0;
}

/* The operand of the modrm byte; implicit memory is not compared. */
static unsigned compare_memory(const struct x86_insn *insn, const struct opinion *z)
{
    const struct native_insn *n = &insn->native;

    for (unsigned i = 0; i < z->insn.operand_count; i++) {
        const ZydisDecodedOperand *operand = &z->operand[i];
        unsigned access = 0, found;

        if (operand->type != ZYDIS_OPERAND_TYPE_MEMORY ||
            operand->encoding != ZYDIS_OPERAND_ENCODING_MODRM_RM)
            continue;
        if (n->modrm != NATIVE_MODRM_MEM)
            return MEMORY;
        found = compare_address(n, &operand->mem);
        if (n->base == NATIVE_RIP) {
            ZyanU64 address;

            if (!ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(&z->insn, operand, PC, &address)) ||
                address != n->address)
                found |= ADDRESS;
        }
        if (n->mem_implicit & (NATIVE_PUSH | NATIVE_POP | NATIVE_OTHER))
            return found;
        if (operand->mem.type == ZYDIS_MEMOP_TYPE_MEM) {
            access |= operand->actions & ZYDIS_OPERAND_ACTION_MASK_READ ? NATIVE_READ : 0;
            access |= operand->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE ? NATIVE_WRITE : 0;
        }
        if (access != n->mem_access || (access && operand->size != n->mem_size * 8u))
            found |= MEMORY;
        return found;
    }
    return n->modrm == NATIVE_MODRM_MEM ? MEMORY : 0;
}

static void print_bytes(const uint8_t *bytes, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        print_error("%02x ", bytes[i]);
}

/* Says what differs; false if anything does that has no reason. */
static bool report(const uint8_t *bytes, enum x86_mode mode, const struct x86_insn *insn,
                   const struct opinion *z, unsigned found, enum x86_decode ours, bool theirs)
{
    const char *name = theirs ? ZydisMnemonicGetString(z->insn.mnemonic) : "(bad)";
    static unsigned reported;

    if (!found || reported++ > 200)
        return !found;
    print_error("%u-bit ", 16u << mode);
    print_bytes(bytes, 15);
    print_error(": %s/%s:", ours == X86_DECODE_OK ? x86_mnemonic(insn) : "(bad)", name);
    for (unsigned i = 0; i < sizeof(aspects) / sizeof(aspects[0]); i++) {
        if (found >> i & 1)
            print_error(" %s", aspects[i]);
    }
    if (theirs && ours == X86_DECODE_OK) {
        struct sets sets = their_registers(z);
        const struct native_insn *n = &insn->native;

        print_error(" len %u/%u r %x/%x w %x/%x k %x/%x mem %u*%x fr %x/%x fw %x/%x may %x u %x/%x",
                    insn->length, z->insn.length, n->gpr_read, sets.read, n->gpr_written,
                    sets.written, n->gpr_killed, sets.killed, n->mem_size, n->mem_access,
                    n->flags_read, z->insn.cpu_flags->tested, n->flags_written,
                    z->insn.cpu_flags->modified | z->insn.cpu_flags->set_0 |
                        z->insn.cpu_flags->set_1,
                    n->flags_may, n->flags_undefined, z->insn.cpu_flags->undefined);
    }
    print_error("\n");
    return false;
}

static bool is_absent(ZydisISAExt extension)
{
    for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++) {
        if (absent[i] == extension)
            return true;
    }
    return false;
}

/* SIB.base = 101 with mod = 00 has no base register, whatever REX.B is (SDM vol. 2, table 2-5);
 * with 67 Zydis takes R13D. */
static bool odd_address(const ZydisDecodedInstruction *insn)
{
    return insn->address_width == 32 && insn->raw.sib.offset && insn->raw.sib.base == 5 &&
           insn->raw.modrm.mod == 0;
}

/* Decodes 15 bytes both ways. */
static bool compare(const uint8_t *bytes, enum x86_mode mode, struct x86_insn *insn)
{
    struct opinion z;
    enum x86_decode ours = x86_decode(mode, NULL, bytes, 15, PC, insn);
    bool theirs = ZYAN_SUCCESS(ZydisDecoderDecodeFull(&zydis[mode], bytes, 15, &z.insn, z.operand));
    unsigned found = 0, reasons = 0;

    if (theirs && odd_address(&z.insn))
        reasons = ADDRESS | READS;
    if (theirs)
        reasons |= excused(ZydisMnemonicGetString(z.insn.mnemonic));
    if ((ours == X86_DECODE_OK) != theirs) {
        if (theirs && is_absent(z.insn.meta.isa_ext))
            return true;
        found = ACCEPT;
    } else if (theirs) {
        if (insn->length != z.insn.length)
            found |= LENGTH;
        if (!same_name(x86_mnemonic(insn), ZydisMnemonicGetString(z.insn.mnemonic)))
            found |= NAME;
        found |= compare_memory(insn, &z) | compare_registers(insn, &z) | compare_flags(insn, &z);
    }
    return report(bytes, mode, insn, &z, found & ~reasons, ours, theirs);
}

static uint8_t *put_prefixes(uint8_t *p, const struct x86_row *row)
{
    uint32_t fixed = row->match, mask = row->mask;

    if (!random_below(4))
        *p++ = (uint8_t)(0x64 + random_below(2));
    if (mask & X86_SELECT_ADDRESS ? fixed >> X86_SELECT_ADDRESS_SHIFT != 2 : !random_below(8))
        *p++ = 0x67;
    if (mask & X86_SELECT_66 ? fixed & X86_SELECT_66 : !random_below(4))
        *p++ = 0x66;
    if (fixed & X86_SELECT_F3)
        *p++ = 0xf3;
    else if (fixed & X86_SELECT_F2)
        *p++ = 0xf2;
    else if (!(mask & (X86_SELECT_F3 | X86_SELECT_F2)) && !random_below(6))
        *p++ = random_below(2) ? 0xf2 : 0xf3;
    return p;
}

static uint8_t *put_rex(uint8_t *p, const struct x86_row *row)
{
    uint8_t rex = 0x40 | (uint8_t)random_below(16);

    if (row->mask & X86_SELECT_W)
        rex = (rex & ~8) | (row->match & X86_SELECT_W ? 8 : 0);
    if ((row->mask & X86_SELECT_OPSIZE) == X86_SELECT_OPSIZE)
        rex = (rex & ~8) | (row->match >> X86_SELECT_OPSIZE_SHIFT == 2 ? 8 : 0);
    if (row->match & X86_SELECT_REX_B)
        rex |= 1;
    if (rex & 8 || row->match & X86_SELECT_REX_B || random_below(2))
        *p++ = rex;
    return p;
}

static uint8_t *put_vex(uint8_t *p, const struct x86_row *row)
{
    static const uint8_t pp[4] = {0, 2, 3, 1}; /* by F2 << 1 | F3 */
    unsigned bits =
        row->match & X86_SELECT_66
            ? 1
            : pp[(row->match & X86_SELECT_F3 ? 1 : 0) | (row->match & X86_SELECT_F2 ? 2 : 0)];
    unsigned w = row->mask & X86_SELECT_W ? !!(row->match & X86_SELECT_W) : random_below(2);
    unsigned l = row->mask & X86_SELECT_L ? !!(row->match & X86_SELECT_L) : random_below(2);
    unsigned vvvv = row->mask & X86_SELECT_VVVV ? 15 : random_below(16);
    unsigned map = row->table - X86_TABLE_VEX_0F + 1u;

    if (map == 1 && !w && random_below(2)) {
        *p++ = 0xc5;
        *p++ = (uint8_t)(random_below(2) << 7 | vvvv << 3 | l << 2 | bits);
        return p;
    }
    *p++ = 0xc4;
    *p++ = (uint8_t)(random_below(8) << 5 | map);
    *p++ = (uint8_t)(w << 7 | vvvv << 3 | l << 2 | bits);
    return p;
}

/* A mode that has the row. */
static enum x86_mode row_mode(const struct x86_row *row)
{
    bool a16 = row->mask & X86_SELECT_ADDRESS && !(row->match & X86_SELECT_ADDRESS);

    return a16 || row->mask & ~row->match & X86_SELECT_64 ? X86_MODE_32 : X86_MODE_64;
}

/* 15 bytes that start with an encoding of the row. */
static void make_encoding(uint8_t bytes[15], const struct x86_row *row)
{
    uint8_t *p = bytes;

    for (unsigned i = 0; i < 15; i++)
        bytes[i] = (uint8_t)random_below(256);
    if (row->table >= X86_TABLE_VEX_0F) {
        p = put_vex(p, row);
    } else {
        p = put_prefixes(p, row);
        if (row_mode(row) == X86_MODE_64)
            p = put_rex(p, row);
        if (row->table != X86_TABLE_ONE)
            *p++ = 0x0f;
        if (row->table == X86_TABLE_0F38)
            *p++ = 0x38;
        if (row->table == X86_TABLE_0F3A)
            *p++ = 0x3a;
    }
    *p++ = row->opcode;
    if (row->traits & X86_TRAIT_MODRM) {
        uint8_t modrm = (uint8_t)random_below(256);

        if (row->mask & X86_SELECT_REG) {
            modrm &= 0x3f;
            modrm |= row->match & X86_SELECT_REG ? 0xc0 : (uint8_t)(random_below(3) << 6);
        }
        modrm &= (uint8_t)~row->mask;
        modrm |= (uint8_t)(row->match & X86_SELECT_MODRM);
        *p++ = modrm;
    }
}

/* Each row is reached by its own encodings, and they mean the same to Zydis. */
static void test_rows(void **state)
{
    unsigned count, failures = 0;
    const struct x86_row *row = x86_rows(&count);

    (void)state;
    for (unsigned i = 0; i < count; i++, row++) {
        unsigned reached = 0;

        for (unsigned k = 0; k < ROW_TRIES; k++) {
            uint8_t bytes[15];
            struct x86_insn insn;

            make_encoding(bytes, row);
            if (!compare(bytes, row_mode(row), &insn))
                failures++;
            reached += insn.row == row;
        }
        if (!reached) {
            print_error("row %u, %s, is never reached\n", i, row->mnemonic);
            failures++;
        }
    }
    assert_int_equal(failures, 0);
}

/* Random bytes; every second one with a likely beginning: prefixes, escapes, VEX. */
static void random_bytes(uint8_t bytes[16])
{
    static const uint8_t likely[] = {0x66, 0xf2, 0xf3, 0x48, 0x41, 0x67, 0x64, 0xf0, 0x0f, 0x0f,
                                     0x0f, 0x0f, 0xc4, 0xc5, 0x2e, 0x65, 0x4f, 0x36, 0x44, 0x45};
    uint64_t r[2] = {random64(), random64()};
    unsigned count = random_below(6);

    memcpy(bytes, r, 16);
    if (random_below(2))
        return;
    for (unsigned i = 0; i < count; i++)
        bytes[i] = likely[random_below(sizeof(likely))];
    if (count && bytes[count - 1] == 0x0f && random_below(2))
        bytes[count] = random_below(2) ? 0x38 : 0x3a;
}

static void compare_random(enum x86_mode mode)
{
    const char *check = getenv("VITRINE_CHECK");
    unsigned tries = check && !strcmp(check, "long") ? RANDOM_TRIES_LONG : RANDOM_TRIES;
    unsigned failures = 0, good = 0;

    for (unsigned i = 0; i < tries; i++) {
        uint8_t bytes[16];
        struct x86_insn insn;

        random_bytes(bytes);
        if (!compare(bytes, mode, &insn))
            failures++;
        good += insn.row != NULL;
    }
    assert_true(good > tries / 2);
    assert_int_equal(failures, 0);
}

static void test_random64(void **state)
{
    (void)state;
    compare_random(X86_MODE_64);
}

static void test_random32(void **state)
{
    (void)state;
    compare_random(X86_MODE_32);
}

static void test_random16(void **state)
{
    (void)state;
    compare_random(X86_MODE_16);
}

/* Rows of an opcode are neighbours, agree about modrm, and the index leads to the first. */
static void test_table(void **state)
{
    unsigned count;
    const struct x86_row *row = x86_rows(&count);

    (void)state;
    for (unsigned i = 0; i < count; i++) {
        bool first = !i || row[i].table != row[i - 1].table || row[i].opcode != row[i - 1].opcode;

        assert_int_equal(row[i].match & ~row[i].mask, 0);
        assert_int_equal(row[i].flags_written & (row[i].flags_may | row[i].flags_undefined), 0);
        if (first)
            assert_int_equal(x86_row_index[row[i].table][row[i].opcode], i + 1);
        else
            assert_int_equal((row[i].traits ^ row[i - 1].traits) & X86_TRAIT_MODRM, 0);
    }
    for (unsigned table = 0; table < X86_TABLE_COUNT; table++) {
        for (unsigned opcode = 0; opcode < 256; opcode++) {
            unsigned number = x86_row_index[table][opcode];
            const struct x86_row *found = &row[number - 1];

            if (!number)
                continue;
            assert_int_equal(found->table, table);
            if (found->native & NATIVE_OPCODE_REG && !(found->opcode & 7))
                assert_int_equal(found->opcode, opcode & (opcode == found->opcode ? 0xff : 0xf8));
            else
                assert_int_equal(found->opcode, opcode);
        }
    }
}

static enum x86_decode decode(struct x86_insn *insn, const struct x86_features *features,
                              const char *hex)
{
    uint8_t bytes[32];
    size_t size = 0;
    int used;

    for (unsigned byte; sscanf(hex, "%2x%n", &byte, &used) == 1; hex += used)
        bytes[size++] = (uint8_t)byte;
    return x86_decode(X86_MODE_64, features, bytes, size, PC, insn);
}

/* SDM vol. 2, SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR, SHLD: flags by count. */
static void test_shift_flags(void **state)
{
    enum { RESULT = NATIVE_CF | NATIVE_PF | NATIVE_ZF | NATIVE_SF };
    static const struct {
        const char *hex;
        uint16_t read, written, may, undefined;
    } cases[] = {
        {"c1 e0 00", 0, 0, 0, 0},                                /* shl eax, 0 */
        {"c1 e0 20", 0, 0, 0, 0},                                /* 32: masked */
        {"c1 e0 01", 0, RESULT | NATIVE_OF, 0, NATIVE_AF},       /* 1 */
        {"c1 e0 05", 0, RESULT, 0, NATIVE_AF | NATIVE_OF},       /* 5 */
        {"48 c1 e0 20", 0, RESULT, 0, NATIVE_AF | NATIVE_OF},    /* rax, 32 */
        {"c0 e0 09", 0, 0, RESULT | NATIVE_OF, NATIVE_AF},       /* al, 9 */
        {"d1 e8", 0, RESULT | NATIVE_OF, 0, NATIVE_AF},          /* shr eax, 1 */
        {"d3 e8", 0, 0, RESULT | NATIVE_OF, NATIVE_AF},          /* shr eax, cl */
        {"c1 c0 03", 0, NATIVE_CF, 0, NATIVE_OF},                /* rol eax, 3 */
        {"c1 d0 03", NATIVE_CF, NATIVE_CF, 0, NATIVE_OF},        /* rcl eax, 3 */
        {"d3 d0", NATIVE_CF, 0, NATIVE_CF | NATIVE_OF, 0},       /* rcl eax, cl */
        {"0f a4 d8 04", 0, RESULT, 0, NATIVE_AF | NATIVE_OF},    /* shld, 4 */
        {"66 0f a4 d8 14", 0, 0, RESULT | NATIVE_OF, NATIVE_AF}, /* 16 bits, 20 */
        {"0f a4 d8 00", 0, 0, 0, 0},                             /* shld, 0 */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct x86_insn insn;

        assert_int_equal(decode(&insn, NULL, cases[i].hex), X86_DECODE_OK);
        assert_int_equal(insn.native.flags_read, cases[i].read);
        assert_int_equal(insn.native.flags_written, cases[i].written);
        assert_int_equal(insn.native.flags_may, cases[i].may);
        assert_int_equal(insn.native.flags_undefined, cases[i].undefined);
    }
}

/* Without a feature an encoding is undefined, or what it was before the feature came. */
static void test_features(void **state)
{
    static const struct {
        const char *hex;
        enum x86_feature absent;
        const char *name; /* NULL: undefined */
    } cases[] = {
        {"f3 0f bc c1", X86_FEATURE_BMI1, "bsf"},
        {"f3 0f bd c1", X86_FEATURE_LZCNT, "bsr"},
        {"f3 0f bc c1", X86_FEATURE_NONE, "tzcnt"},
        {"f3 0f 1e fa", X86_FEATURE_CET_IBT, "nop"},
        {"f3 0f b8 c1", X86_FEATURE_POPCNT, NULL},
        {"c5 f5 fe c2", X86_FEATURE_AVX2, NULL},     /* vpaddd ymm */
        {"c5 f1 fe c2", X86_FEATURE_AVX2, "vpaddd"}, /* vpaddd xmm */
        {"c5 f1 fe c2", X86_FEATURE_AVX, NULL},
        {"c4 e2 79 98 c1", X86_FEATURE_AVX, NULL}, /* FMA is of no use without AVX */
        {"c4 e2 78 f2 c1", X86_FEATURE_AVX, "andn"},
        {"66 0f 38 f6 c1", X86_FEATURE_ADX, NULL},
        {"0f 05", X86_FEATURE_SYSCALL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct x86_features features;
        struct x86_insn insn;
        enum x86_decode result;

        memset(&features, 0xff, sizeof(features));
        x86_feature_set(&features, cases[i].absent, false);
        result = decode(&insn, &features, cases[i].hex);
        assert_int_equal(result, cases[i].name ? X86_DECODE_OK : X86_DECODE_UNDEFINED);
        if (cases[i].name)
            assert_string_equal(x86_mnemonic(&insn), cases[i].name);
    }
}

/* Whatever an instruction lacks at its end, it is SHORT; more than 15 bytes are TOO_LONG. */
static void test_short(void **state)
{
    struct x86_insn insn, part;
    unsigned good = 0;

    (void)state;
    for (unsigned i = 0; i < 50000; i++) {
        uint8_t bytes[16];

        random_bytes(bytes);
        if (x86_decode(X86_MODE_64, NULL, bytes, 16, PC, &insn) != X86_DECODE_OK)
            continue;
        good++;
        for (unsigned size = 0; size < insn.length; size++)
            assert_int_equal(x86_decode(X86_MODE_64, NULL, bytes, size, PC, &part),
                             X86_DECODE_SHORT);
        assert_int_equal(x86_decode(X86_MODE_64, NULL, bytes, insn.length, PC, &part),
                         X86_DECODE_OK);
        assert_memory_equal(&part.native, &insn.native, sizeof(part.native));
    }
    assert_true(good > 10000);
    assert_int_equal(decode(&insn, NULL, "66666666 66666666 66666666 66 66 90"), X86_DECODE_OK);
    assert_int_equal(insn.length, 15);
    assert_int_equal(decode(&insn, NULL, "66666666 66666666 66666666 66 66 66 90"),
                     X86_DECODE_TOO_LONG);
    assert_int_equal(decode(&insn, NULL, "66666666 66666666 66666666 48 b8 00 00"),
                     X86_DECODE_TOO_LONG);
}

/* What the rules of prefixes leave over. */
static void test_prefixes(void **state)
{
    static const struct {
        const char *hex;
        enum x86_decode result;
        uint8_t prefix;
        bool w, rex;
        uint8_t segment;
    } cases[] = {
        {"f0 01 00", X86_DECODE_OK, NATIVE_LOCK, false, false, NATIVE_DS},
        {"f0 01 c0", X86_DECODE_UNDEFINED, 0, false, false, 0}, /* not memory */
        {"f0 03 00", X86_DECODE_UNDEFINED, 0, false, false, 0}, /* not the destination */
        {"f0 39 00", X86_DECODE_UNDEFINED, 0, false, false, 0}, /* CMP writes nothing */
        {"f2 f0 01 00", X86_DECODE_OK, NATIVE_LOCK, false, false, NATIVE_DS}, /* XACQUIRE */
        {"f3 c3", X86_DECODE_OK, 0, false, false, NATIVE_DS},                 /* REP RET */
        {"66 e8 00 00 00 00", X86_DECODE_OK, 0, false, false, NATIVE_DS},
        {"48 66 01 00", X86_DECODE_OK, NATIVE_66, false, false, NATIVE_DS}, /* REX before 66 */
        {"66 48 01 00", X86_DECODE_OK, 0, true, false, NATIVE_DS},
        {"40 88 e0", X86_DECODE_OK, 0, false, true, NATIVE_DS}, /* SPL */
        {"88 e0", X86_DECODE_OK, 0, false, false, NATIVE_DS},   /* AH */
        {"64 2e 8b 00", X86_DECODE_OK, 0, false, false, NATIVE_FS},
        {"64 65 8b 00", X86_DECODE_OK, 0, false, false, NATIVE_GS},
        {"65 8d 00", X86_DECODE_OK, 0, false, false, NATIVE_DS}, /* LEA */
        {"66 f2 0f 10 00", X86_DECODE_OK, NATIVE_F2, false, false, NATIVE_DS},
        {"f2 f3 0f 10 00", X86_DECODE_OK, NATIVE_F3, false, false, NATIVE_DS},
        {"48 0f 28 00", X86_DECODE_OK, 0, false, false, NATIVE_DS}, /* W without meaning */
        {"66 c5 f8 28 00", X86_DECODE_UNDEFINED, 0, false, false, 0},
        {"48 c5 f8 28 00", X86_DECODE_UNDEFINED, 0, false, false, 0},
        {"67 8b 00", X86_DECODE_OK, NATIVE_67, false, false, NATIVE_DS},
        {"67 8b c0", X86_DECODE_OK, 0, false, false, NATIVE_DS},
        {"66 f2 0f 38 f1 c0", X86_DECODE_OK, NATIVE_66 | NATIVE_F2, false, false, NATIVE_DS},
        {"f3 48 a5", X86_DECODE_OK, NATIVE_F3, true, false, NATIVE_DS},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct x86_insn insn;

        assert_int_equal(decode(&insn, NULL, cases[i].hex), cases[i].result);
        if (cases[i].result != X86_DECODE_OK)
            continue;
        assert_int_equal(insn.native.prefix, cases[i].prefix);
        assert_int_equal(insn.native.w, cases[i].w);
        assert_int_equal(insn.native.rex, cases[i].rex);
        assert_int_equal(insn.native.segment, cases[i].segment);
    }
}

/* Registers, memory and targets of instructions whose facts are easy to get wrong. */
static void test_meaning(void **state)
{
    enum { A = 1, C = 2, D = 4, B = 8, SP = 16, BP = 32, SI = 64, DI = 128 };
    static const struct {
        const char *hex;
        uint16_t read, written, killed;
        uint16_t size, implicit;
        uint8_t access;
    } cases[] = {
        {"50", A | SP, SP, SP, 8, NATIVE_PUSH, NATIVE_WRITE},                  /* push rax */
        {"66 50", A | SP, SP, SP, 2, NATIVE_PUSH, NATIVE_WRITE},               /* push ax */
        {"58", SP, A | SP, A | SP, 8, NATIVE_POP, NATIVE_READ},                /* pop rax */
        {"c3", SP, SP, SP, 8, NATIVE_POP, NATIVE_READ},                        /* ret */
        {"ff 10", A | SP, SP, SP, 8, NATIVE_PUSH, NATIVE_READ | NATIVE_WRITE}, /* call [rax] */
        {"88 e3", A, B, 0, 0, 0, 0},                                           /* mov bl, ah */
        {"89 c3", A, B, B, 0, 0, 0},                                           /* mov ebx, eax */
        {"66 89 c3", A, B, 0, 0, 0, 0},                                        /* mov bx, ax */
        {"f7 e3", A | B, A | D, A | D, 0, 0, 0},                               /* mul ebx */
        {"f6 e3", A | B, A, 0, 0, 0, 0},                                       /* mul bl */
        {"99", A, D, D, 0, 0, 0},                                              /* cdq */
        {"0f 44 c3", A | B, A, A, 0, 0, 0},                                    /* cmove eax, ebx */
        {"0f bc c3", B, A, 0, 0, 0, 0},                                        /* bsf eax, ebx */
        {"f3 48 ab", A | C | DI, C | DI, 0, 8, NATIVE_STRING_DI_W, NATIVE_WRITE},
        {"48 a5", SI | DI, SI | DI, SI | DI, 8, NATIVE_STRING_SI | NATIVE_STRING_DI_W,
         NATIVE_READ | NATIVE_WRITE},
        {"f0 48 0f c7 09", A | B | C | D, A | D, 0, 16, 0, NATIVE_READ | NATIVE_WRITE},
        {"0f a3 03", A | B, 0, 0, 4, NATIVE_OTHER, NATIVE_READ},  /* bt [rbx], eax */
        {"d9 30", A, 0, 0, 28, 0, NATIVE_WRITE},                  /* fnstenv [rax] */
        {"dd 30", A, 0, 0, 108, 0, NATIVE_WRITE},                 /* fnsave [rax] */
        {"db 28", A, 0, 0, 10, 0, NATIVE_READ},                   /* fld tbyte */
        {"0f ae 00", A, 0, 0, 512, 0, NATIVE_WRITE},              /* fxsave */
        {"0f ae 20", A | D, 0, 0, 0, NATIVE_OTHER, NATIVE_WRITE}, /* xsave */
        {"66 0f f7 c1", DI, 0, 0, 16, NATIVE_MASKMOV, NATIVE_WRITE},
        {"0f 18 08", A, 0, 0, 0, 0, 0},                                            /* prefetcht0 */
        {"c9", BP, SP | BP, SP | BP, 8, NATIVE_OTHER | NATIVE_FRAME, NATIVE_READ}, /* leave */
    };
    struct x86_insn insn;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct native_insn *n = &insn.native;

        assert_int_equal(decode(&insn, NULL, cases[i].hex), X86_DECODE_OK);
        if (cases[i].killed != n->gpr_killed || cases[i].read != n->gpr_read)
            print_error("%s\n", cases[i].hex);
        assert_int_equal(n->gpr_read, cases[i].read);
        assert_int_equal(n->gpr_written, cases[i].written);
        assert_int_equal(n->gpr_killed, cases[i].killed);
        assert_int_equal(n->mem_size, cases[i].size);
        assert_int_equal(n->mem_implicit, cases[i].implicit);
        assert_int_equal(n->mem_access, cases[i].access);
    }
    assert_int_equal(decode(&insn, NULL, "75 fe"), X86_DECODE_OK);
    assert_int_equal(insn.target, PC);
    assert_int_equal(decode(&insn, NULL, "8b 05 10 00 00 00"), X86_DECODE_OK);
    assert_int_equal(insn.native.base, NATIVE_RIP);
    assert_int_equal(insn.native.address, PC + 6 + 0x10);
    assert_int_equal(insn.native.disp, 0);
    assert_int_equal(decode(&insn, NULL, "67 8b 05 00 00 00 80"), X86_DECODE_OK);
    assert_int_equal(insn.native.address, (uint32_t)(PC + 7 + 0x80000000));
    assert_int_equal(insn.native.prefix, 0);
}

/* MOV with an address in the instruction: it is never negative. */
static void test_offsets(void **state)
{
    static const struct {
        enum x86_mode mode;
        uint8_t bytes[10];
        uint8_t size;
        uint64_t offset;
    } cases[] = {
        {X86_MODE_16, {0xa1, 0xd0, 0xf4}, 3, 0xf4d0},
        {X86_MODE_16, {0x67, 0xa1, 0x00, 0x00, 0x00, 0x80}, 6, 0x80000000},
        {X86_MODE_32, {0x67, 0xa2, 0xff, 0xff}, 4, 0xffff},
        {X86_MODE_32, {0xa3, 0xff, 0xff, 0xff, 0xff}, 5, 0xffffffff},
        {X86_MODE_64, {0x67, 0xa1, 0x00, 0x00, 0x00, 0x80}, 6, 0x80000000},
        {X86_MODE_64, {0xa0, 1, 0, 0, 0, 0, 0, 0, 0x80}, 9, 0x8000000000000001},
    };
    struct x86_insn insn;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(x86_decode(cases[i].mode, NULL, cases[i].bytes, cases[i].size, PC, &insn),
                         X86_DECODE_OK);
        assert_int_equal(insn.length, cases[i].size);
        assert_int_equal(insn.native.mem_implicit, NATIVE_MOFFS);
        assert_true(insn.native.imm == cases[i].offset);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),    cmocka_unit_test(test_shift_flags),
        cmocka_unit_test(test_features), cmocka_unit_test(test_short),
        cmocka_unit_test(test_prefixes), cmocka_unit_test(test_meaning),
        cmocka_unit_test(test_rows),     cmocka_unit_test(test_random64),
        cmocka_unit_test(test_random32), cmocka_unit_test(test_random16),
        cmocka_unit_test(test_offsets),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
