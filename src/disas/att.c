/* SPDX-License-Identifier: MIT
 *
 * AT&T syntax from Zydis' decoded form: the order of operands is turned round, integer instructions
 * get a size suffix, and some have names of their own. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "disas/internal.h"

struct alias {
    ZydisMnemonic mnemonic;
    const char *name;
};

/* clang-format off */
static const struct alias aliases[] = {
#define X_CONDITION(zydis, att) \
    {ZYDIS_MNEMONIC_J##zydis, "j" att}, \
    {ZYDIS_MNEMONIC_SET##zydis, "set" att}, \
    {ZYDIS_MNEMONIC_CMOV##zydis, "cmov" att},
    X_CONDITION(NB, "ae") X_CONDITION(Z, "e") X_CONDITION(NZ, "ne") X_CONDITION(NBE, "a")
    X_CONDITION(NL, "ge") X_CONDITION(NLE, "g")
#undef X_CONDITION
    {ZYDIS_MNEMONIC_CBW, "cbtw"}, {ZYDIS_MNEMONIC_CWDE, "cwtl"}, {ZYDIS_MNEMONIC_CDQE, "cltq"},
    {ZYDIS_MNEMONIC_CWD, "cwtd"}, {ZYDIS_MNEMONIC_CDQ, "cltd"}, {ZYDIS_MNEMONIC_CQO, "cqto"},
    {ZYDIS_MNEMONIC_XLAT, "xlatb"}, {ZYDIS_MNEMONIC_IRETD, "iretl"}, {ZYDIS_MNEMONIC_IRET, "iretw"},
};

/* Instructions of these categories have a size suffix, unless an operand is a vector. */
static const ZydisInstructionCategory suffixed[] = {
    ZYDIS_CATEGORY_ADOX_ADCX, ZYDIS_CATEGORY_BINARY, ZYDIS_CATEGORY_BITBYTE, ZYDIS_CATEGORY_BMI1,
    ZYDIS_CATEGORY_BMI2, ZYDIS_CATEGORY_CALL, ZYDIS_CATEGORY_CMOV, ZYDIS_CATEGORY_CONVERT,
    ZYDIS_CATEGORY_DATAXFER, ZYDIS_CATEGORY_IO, ZYDIS_CATEGORY_IOSTRINGOP, ZYDIS_CATEGORY_LOGICAL,
    ZYDIS_CATEGORY_LZCNT, ZYDIS_CATEGORY_MOVDIR, ZYDIS_CATEGORY_NOP, ZYDIS_CATEGORY_POP,
    ZYDIS_CATEGORY_PUSH, ZYDIS_CATEGORY_RDRAND, ZYDIS_CATEGORY_RDSEED, ZYDIS_CATEGORY_RDWRFSGS,
    ZYDIS_CATEGORY_RET, ZYDIS_CATEGORY_ROTATE, ZYDIS_CATEGORY_SEMAPHORE, ZYDIS_CATEGORY_SHIFT,
    ZYDIS_CATEGORY_SSE, ZYDIS_CATEGORY_STRINGOP, ZYDIS_CATEGORY_TBM, ZYDIS_CATEGORY_UNCOND_BR,
    ZYDIS_CATEGORY_WIDENOP,
};

/* ...and these. */
static const ZydisMnemonic also[] = {ZYDIS_MNEMONIC_LEA, ZYDIS_MNEMONIC_LSL, ZYDIS_MNEMONIC_LAR};

/* ...but not these. */
static const ZydisMnemonic plain[] = {
    ZYDIS_MNEMONIC_CMPXCHG8B, ZYDIS_MNEMONIC_CMPXCHG16B, ZYDIS_MNEMONIC_LDMXCSR,
    ZYDIS_MNEMONIC_STMXCSR, ZYDIS_MNEMONIC_VLDMXCSR, ZYDIS_MNEMONIC_VSTMXCSR,
    ZYDIS_MNEMONIC_MOVDIR64B, ZYDIS_MNEMONIC_MOVSXD, ZYDIS_MNEMONIC_FXSAVE, ZYDIS_MNEMONIC_FXRSTOR,
};

/* These take one although they work on vectors, for the size of their integer source. */
static const ZydisMnemonic converting[] = {
    ZYDIS_MNEMONIC_CVTSI2SD, ZYDIS_MNEMONIC_CVTSI2SS, ZYDIS_MNEMONIC_VCVTSI2SD,
    ZYDIS_MNEMONIC_VCVTSI2SS,
};

/* These tell the size of a vector in memory. */
static const ZydisMnemonic narrowing[] = {
    ZYDIS_MNEMONIC_VCVTPD2PS, ZYDIS_MNEMONIC_VCVTPD2DQ, ZYDIS_MNEMONIC_VCVTTPD2DQ,
};
/* clang-format on */

#define HAS(array, value) has(array, sizeof(array) / sizeof((array)[0]), (int)(value))
static bool has(const void *array, size_t count, int value)
{
    const int *row = array;
    for (size_t i = 0; i < count; i++) {
        if (row[i] == value) {
            return true;
        }
    }
    return false;
}
_Static_assert(sizeof(ZydisMnemonic) == sizeof(int), "has()");
_Static_assert(sizeof(ZydisInstructionCategory) == sizeof(int), "has()");

static const char *name_of(ZydisMnemonic mnemonic)
{
    for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++) {
        if (aliases[i].mnemonic == mnemonic) {
            return aliases[i].name;
        }
    }
    return ZydisMnemonicGetString(mnemonic);
}

static bool is_vector(const ZydisDecodedOperand *operand)
{
    if (operand->type != ZYDIS_OPERAND_TYPE_REGISTER) {
        return false;
    }
    switch (ZydisRegisterGetClass(operand->reg.value)) {
    case ZYDIS_REGCLASS_MMX:
    case ZYDIS_REGCLASS_XMM:
    case ZYDIS_REGCLASS_YMM:
    case ZYDIS_REGCLASS_ZMM:
    case ZYDIS_REGCLASS_MASK: return true;
    default: return false;
    }
}

static const char *integer_suffix(unsigned bits)
{
    return bits == 8 ? "b" : bits == 16 ? "w" : bits == 32 ? "l" : bits == 64 ? "q" : "";
}

static bool is_string_operation(const ZydisDecodedInstruction *insn)
{
    return insn->meta.category == ZYDIS_CATEGORY_STRINGOP ||
           insn->meta.category == ZYDIS_CATEGORY_IOSTRINGOP;
}

/* An operand whose size is the instruction's: the first one, but the source of what widens or
 * counts another size. */
static unsigned size_of(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand)
{
    switch (insn->mnemonic) {
    case ZYDIS_MNEMONIC_CRC32:
    case ZYDIS_MNEMONIC_CVTSI2SD:
    case ZYDIS_MNEMONIC_CVTSI2SS: return operand[1].size;
    case ZYDIS_MNEMONIC_VCVTSI2SD:
    case ZYDIS_MNEMONIC_VCVTSI2SS: return operand[2].size;
    case ZYDIS_MNEMONIC_OUT: return operand[1].size;
    case ZYDIS_MNEMONIC_OUTSB: return 8;
    case ZYDIS_MNEMONIC_OUTSW: return 16;
    case ZYDIS_MNEMONIC_OUTSD: return 32;
    default: break;
    }
    /* mov %ds: the other side tells. */
    if (operand[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
        ZydisRegisterGetClass(operand[0].reg.value) == ZYDIS_REGCLASS_SEGMENT &&
        insn->operand_count_visible > 1) {
        return operand[1].size;
    }
    return operand[0].size;
}

/* x87 memory operands: s, l, t for 32, 64, 80 bits; integers s, l, ll for 16, 32, 64. */
static const char *x87_suffix(const ZydisDecodedOperand *operand)
{
    if (operand->type != ZYDIS_OPERAND_TYPE_MEMORY) {
        return "";
    }
    bool integer = operand->element_type == ZYDIS_ELEMENT_TYPE_INT;
    switch (operand->size) {
    case 16: return integer ? "s" : "";
    case 32: return integer ? "l" : "s";
    case 64: return integer ? "ll" : "l";
    case 80: return integer || operand->element_type == ZYDIS_ELEMENT_TYPE_LONGBCD ? "" : "t";
    default: return "";
    }
}

static bool is_x87(const ZydisDecodedInstruction *insn)
{
    return insn->meta.isa_ext == ZYDIS_ISA_EXT_X87 || insn->mnemonic == ZYDIS_MNEMONIC_FISTTP;
}

/* Arithmetic with the result elsewhere than at the top of the x87 stack (DC and DE with registers).
 */
static bool is_x87_turned(const ZydisDecodedInstruction *insn)
{
    return is_x87(insn) && (insn->opcode == 0xdc || insn->opcode == 0xde) &&
           insn->raw.modrm.mod == 3;
}

/* There, assemblers of this syntax have fsub and fsubr, fdiv and fdivr exchanged since long ago. */
static ZydisMnemonic turned(ZydisMnemonic mnemonic)
{
    static const ZydisMnemonic pair[][2] = {
        {ZYDIS_MNEMONIC_FSUB, ZYDIS_MNEMONIC_FSUBR},
        {ZYDIS_MNEMONIC_FDIV, ZYDIS_MNEMONIC_FDIVR},
        {ZYDIS_MNEMONIC_FSUBP, ZYDIS_MNEMONIC_FSUBRP},
        {ZYDIS_MNEMONIC_FDIVP, ZYDIS_MNEMONIC_FDIVRP},
    };
    for (size_t i = 0; i < sizeof pair / sizeof pair[0]; i++) {
        for (unsigned side = 0; side < 2; side++) {
            if (pair[i][side] == mnemonic) {
                return pair[i][!side];
            }
        }
    }
    return mnemonic;
}

static const char *suffix_of(const ZydisDecodedInstruction *insn,
                             const ZydisDecodedOperand *operand)
{
    if (insn->operand_count_visible == 0 && !is_string_operation(insn)) {
        return insn->meta.category == ZYDIS_CATEGORY_RET && insn->mnemonic == ZYDIS_MNEMONIC_RET
                   ? integer_suffix(insn->operand_width)
                   : "";
    }
    if (is_x87(insn)) {
        return x87_suffix(operand);
    }
    if (HAS(converting, insn->mnemonic)) {
        return integer_suffix(size_of(insn, operand));
    }
    if (HAS(narrowing, insn->mnemonic) && operand[1].type == ZYDIS_OPERAND_TYPE_MEMORY) {
        return operand[1].size == 256 ? "y" : operand[1].size == 128 ? "x" : "";
    }
    bool wanted = HAS(suffixed, insn->meta.category) || HAS(also, insn->mnemonic);
    if (!wanted || HAS(plain, insn->mnemonic)) {
        return "";
    }
    for (unsigned i = 0; i < insn->operand_count_visible; i++) {
        if (is_vector(&operand[i])) {
            return "";
        }
    }
    if (insn->meta.category == ZYDIS_CATEGORY_UNCOND_BR ||
        insn->meta.category == ZYDIS_CATEGORY_CALL || insn->meta.category == ZYDIS_CATEGORY_RET) {
        bool direct = insn->meta.category == ZYDIS_CATEGORY_UNCOND_BR &&
                      operand[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
        return direct ? "" : integer_suffix(insn->operand_width);
    }
    if (insn->meta.category == ZYDIS_CATEGORY_PUSH || insn->meta.category == ZYDIS_CATEGORY_POP) {
        return integer_suffix(insn->operand_width);
    }
    return integer_suffix(size_of(insn, operand));
}

static bool is_far(const ZydisDecodedInstruction *insn)
{
    return insn->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;
}

static bool is_widening(const ZydisDecodedInstruction *insn)
{
    return insn->mnemonic == ZYDIS_MNEMONIC_MOVZX || insn->mnemonic == ZYDIS_MNEMONIC_MOVSX ||
           insn->mnemonic == ZYDIS_MNEMONIC_MOVSXD;
}

/* mov with a 64-bit constant or a 64-bit address. */
static bool is_movabs(const ZydisDecodedInstruction *insn)
{
    return insn->mnemonic == ZYDIS_MNEMONIC_MOV &&
           (insn->raw.imm[0].size == 64 || insn->raw.disp.size == 64);
}

static const struct {
    ZydisInstructionAttributes attribute;
    const char *name;
} prefixes[] = {
    {ZYDIS_ATTRIB_HAS_XACQUIRE, "xacquire "}, {ZYDIS_ATTRIB_HAS_XRELEASE, "xrelease "},
    {ZYDIS_ATTRIB_HAS_NOTRACK, "notrack "},   {ZYDIS_ATTRIB_HAS_BND, "bnd "},
    {ZYDIS_ATTRIB_HAS_LOCK, "lock "},         {ZYDIS_ATTRIB_HAS_REPE, "repe "},
    {ZYDIS_ATTRIB_HAS_REPNE, "repne "},       {ZYDIS_ATTRIB_HAS_REP, "rep "},
};

static void put_mnemonic(struct strbuf *text, const ZydisDecodedInstruction *insn,
                         const ZydisDecodedOperand *operand)
{
    char name[64];
    const char *suffix = suffix_of(insn, operand);
    if (is_widening(insn) && operand[0].size > operand[1].size) {
        snprintf(name, sizeof name, "mov%c%s%s", insn->mnemonic == ZYDIS_MNEMONIC_MOVZX ? 'z' : 's',
                 integer_suffix(operand[1].size), integer_suffix(operand[0].size));
    } else if (is_movabs(insn)) {
        snprintf(name, sizeof name, "movabs%s", suffix);
    } else if (is_string_operation(insn)) {
        const char *word = ZydisMnemonicGetString(insn->mnemonic);
        snprintf(name, sizeof name, "%.*s%s", (int)strlen(word) - 1, word,
                 integer_suffix(size_of(insn, operand)));
    } else {
        const char *word =
            is_far(insn) && insn->mnemonic == ZYDIS_MNEMONIC_RET
                ? "lret"
                : name_of(is_x87_turned(insn) ? turned(insn->mnemonic) : insn->mnemonic);
        bool far = is_far(insn) &&
                   (insn->mnemonic == ZYDIS_MNEMONIC_JMP || insn->mnemonic == ZYDIS_MNEMONIC_CALL);
        snprintf(name, sizeof name, "%s%s%s", far ? "l" : "", word, suffix);
    }
    size_t before = text->len;
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        strbuf_puts(text, insn->attributes & prefixes[i].attribute ? prefixes[i].name : "");
    }
    strbuf_puts(text, name);
    strbuf_printf(text, "%*s", text->len - before < 8 ? 9 - (int)(text->len - before) : 1, "");
}

/* --- operands --- */

static void put_number(struct strbuf *text, uint64_t value)
{
    strbuf_printf(text, value > 9 ? "0x%" PRIx64 : "%" PRIu64, value);
}

static void put_signed(struct strbuf *text, int64_t value)
{
    if (value < 0) {
        strbuf_putc(text, '-');
    }
    put_number(text, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

static void put_register(struct strbuf *text, ZydisRegister reg)
{
    if (ZydisRegisterGetClass(reg) == ZYDIS_REGCLASS_X87) {
        strbuf_printf(text, "%%st(%d)", ZydisRegisterGetId(reg));
    } else {
        strbuf_printf(text, "%%%s", ZydisRegisterGetString(reg));
    }
}

/* The segment that a prefix names, also where 64-bit code ignores it. */
static ZydisRegister override_of(const ZydisDecodedInstruction *insn)
{
    ZydisRegister segment = ZYDIS_REGISTER_NONE;
    for (unsigned i = 0; i < insn->raw.prefix_count; i++) {
        switch (insn->raw.prefixes[i].value) {
        case 0x26: segment = ZYDIS_REGISTER_ES; break;
        case 0x2e: segment = ZYDIS_REGISTER_CS; break;
        case 0x36: segment = ZYDIS_REGISTER_SS; break;
        case 0x3e: segment = ZYDIS_REGISTER_DS; break;
        case 0x64: segment = ZYDIS_REGISTER_FS; break;
        case 0x65: segment = ZYDIS_REGISTER_GS; break;
        default: break;
        }
    }
    return insn->attributes & ZYDIS_ATTRIB_HAS_NOTRACK ? ZYDIS_REGISTER_NONE : segment;
}

static void put_memory(struct strbuf *text, const ZydisDecodedInstruction *insn,
                       const ZydisDecodedOperand *operand)
{
    const ZydisDecodedOperandMem *mem = &operand->mem;
    int64_t disp = mem->disp.has_displacement ? mem->disp.value : 0;
    bool registers = mem->base || mem->index;
    ZydisRegister segment = override_of(insn);
    bool fixed = mem->segment == ZYDIS_REGISTER_ES && is_string_operation(insn);
    if (segment && !fixed) {
        put_register(text, segment);
        strbuf_putc(text, ':');
    }
    if (!registers) {
        uint64_t mask =
            insn->address_width == 64 ? UINT64_MAX : (UINT64_C(1) << insn->address_width) - 1;
        put_number(text, (uint64_t)disp & mask);
        return;
    }
    if (disp) {
        put_signed(text, disp);
    }
    strbuf_putc(text, '(');
    if (mem->base) {
        put_register(text, mem->base);
    }
    if (mem->index) {
        strbuf_puts(text, ", ");
        put_register(text, mem->index);
        if (mem->scale > 1) {
            strbuf_printf(text, ", %u", mem->scale);
        }
    }
    strbuf_putc(text, ')');
    if (insn->avx.broadcast.mode && !insn->avx.broadcast.is_static && operand->element_size) {
        strbuf_printf(text, "{1to%u}", insn->avx.vector_length / operand->element_size);
    }
}

/* Constants of bit operations are shown as bits, others with their sign where the processor extends
 * it. */
static void put_immediate(struct strbuf *text, const ZydisDecodedInstruction *insn,
                          const ZydisDecodedOperand *operand, const ZydisDecodedOperand *first)
{
    bool bits = insn->mnemonic == ZYDIS_MNEMONIC_AND || insn->mnemonic == ZYDIS_MNEMONIC_OR ||
                insn->mnemonic == ZYDIS_MNEMONIC_XOR || insn->mnemonic == ZYDIS_MNEMONIC_TEST;
    unsigned width = operand == first ? insn->operand_width : first->size;
    bool extended = operand->imm.is_signed && insn->raw.imm[0].size < width;
    strbuf_putc(text, '$');
    if (extended && !bits) {
        put_signed(text, operand->imm.value.s);
    } else {
        width = operand->imm.is_signed ? width : operand->size > 0 ? operand->size : 8;
        uint64_t mask = width && width < 64 ? (UINT64_C(1) << width) - 1 : UINT64_MAX;
        put_number(text, operand->imm.value.u & mask);
    }
}

static void put_operand(struct strbuf *text, const ZydisDecodedInstruction *insn,
                        const ZydisDecodedOperand *operand, const ZydisDecodedOperand *first,
                        uint64_t pc)
{
    uint64_t target;
    bool branch = insn->meta.category == ZYDIS_CATEGORY_UNCOND_BR ||
                  insn->meta.category == ZYDIS_CATEGORY_CALL;
    switch (operand->type) {
    case ZYDIS_OPERAND_TYPE_REGISTER:
        strbuf_puts(text, branch ? "*" : "");
        put_register(text, operand->reg.value);
        break;
    case ZYDIS_OPERAND_TYPE_MEMORY:
        strbuf_puts(text, branch ? "*" : "");
        put_memory(text, insn, operand);
        break;
    case ZYDIS_OPERAND_TYPE_POINTER:
        strbuf_printf(text, "$0x%x, $0x%x", operand->ptr.segment, operand->ptr.offset);
        break;
    default:
        if (operand->imm.is_relative &&
            ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(insn, operand, pc, &target))) {
            strbuf_printf(text, "0x%" PRIx64, target);
        } else {
            put_immediate(text, insn, operand, first);
        }
        break;
    }
}

/* How many operands are shown: of x87 instructions not the top of the stack where it is understood,
 * of string instructions also what they imply, of a long NOP the memory. */
static void shown_operands(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand,
                           unsigned *first, unsigned *end)
{
    *first = 0;
    *end = insn->operand_count_visible;
    if (is_string_operation(insn)) {
        *end = 2;
    } else if (insn->mnemonic == ZYDIS_MNEMONIC_NOP && *end == 2) {
        *end = 1;
    } else if (is_x87(insn) && *end == 2 && insn->meta.category != ZYDIS_CATEGORY_FCMOV &&
               !(is_x87_turned(insn) && insn->opcode == 0xdc)) {
        bool top = operand[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
                   operand[0].reg.value == ZYDIS_REGISTER_ST0;
        *first = top;
        *end = top ? 2 : 1;
    }
}

/* A mask is shown at the operand that it works on, which is the first. */
static void put_mask(struct strbuf *text, const ZydisDecodedInstruction *insn)
{
    if (insn->avx.mask.mode > ZYDIS_MASK_MODE_DISABLED && insn->avx.mask.reg) {
        strbuf_puts(text, " {");
        put_register(text, insn->avx.mask.reg);
        strbuf_putc(text, '}');
        if (insn->avx.mask.mode == ZYDIS_MASK_MODE_ZEROING ||
            insn->avx.mask.mode == ZYDIS_MASK_MODE_CONTROL_ZEROING) {
            strbuf_puts(text, " {z}");
        }
    }
}

void disas_att(struct strbuf *text, const ZydisDecodedInstruction *insn,
               const ZydisDecodedOperand *operand, uint64_t pc)
{
    unsigned first, end;
    const char *between = "";
    put_mnemonic(text, insn, operand);
    shown_operands(insn, operand, &first, &end);
    bool in_order = insn->mnemonic == ZYDIS_MNEMONIC_ENTER;
    for (unsigned i = first; i < end; i++) {
        unsigned which = in_order ? i : end - 1 - (i - first);
        if (operand[which].encoding == ZYDIS_OPERAND_ENCODING_MASK) {
            continue;
        }
        strbuf_puts(text, between);
        between = ", ";
        put_operand(text, insn, &operand[which], &operand[0], pc);
    }
    if (insn->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX) {
        put_mask(text, insn);
    }
}
