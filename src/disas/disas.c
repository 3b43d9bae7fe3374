/* SPDX-License-Identifier: MIT
 *
 * One instruction: decoding, Intel syntax, names behind it. */
#include "disas/disas.h"

#include <string.h>

#include "disas/internal.h"

static bool decode(enum disas_mode mode, const void *bytes, size_t size,
                   ZydisDecodedInstruction *insn, ZydisDecodedOperand *operand)
{
    static const struct {
        ZydisMachineMode machine;
        ZydisStackWidth stack;
    } modes[] = {
        [DISAS_16] = {ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16},
        [DISAS_32] = {ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32},
        [DISAS_64] = {ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64},
    };
    ZydisDecoder decoder;
    return ZYAN_SUCCESS(ZydisDecoderInit(&decoder, modes[mode].machine, modes[mode].stack)) &&
           ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, size, insn, operand));
}

static void intel(struct strbuf *text, const ZydisDecodedInstruction *insn,
                  const ZydisDecodedOperand *operand, uint64_t pc)
{
    char line[256];
    ZydisFormatter formatter;
    ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
    ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_HEX_UPPERCASE, ZYAN_FALSE);
    ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_FORCE_RELATIVE_RIPREL, ZYAN_TRUE);
    static const ZydisFormatterProperty padding[] = {
        ZYDIS_FORMATTER_PROP_ADDR_PADDING_ABSOLUTE, ZYDIS_FORMATTER_PROP_ADDR_PADDING_RELATIVE,
        ZYDIS_FORMATTER_PROP_DISP_PADDING, ZYDIS_FORMATTER_PROP_IMM_PADDING};
    for (unsigned i = 0; i < sizeof padding / sizeof padding[0]; i++) {
        ZydisFormatterSetProperty(&formatter, padding[i], ZYDIS_PADDING_DISABLED);
    }
    if (ZYAN_SUCCESS(ZydisFormatterFormatInstruction(
            &formatter, insn, operand, insn->operand_count_visible, line, sizeof line, pc, NULL))) {
        size_t word = strcspn(line, " ");
        strbuf_printf(text, "%-8.*s %s", (int)word, line, line + word + (line[word] == ' '));
    }
}

/* The address that the instruction names outright; false if there is none. */
static bool target_of(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand,
                      uint64_t pc, uint64_t *target)
{
    for (unsigned i = 0; i < insn->operand_count_visible; i++) {
        const ZydisDecodedOperand *one = &operand[i];
        bool relative =
            (one->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && one->imm.is_relative) ||
            (one->type == ZYDIS_OPERAND_TYPE_MEMORY && one->mem.base == ZYDIS_REGISTER_RIP);
        if (relative && ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(insn, one, pc, target))) {
            return true;
        }
    }
    return false;
}

unsigned disas_insn(const struct disas_style *style, const void *bytes, size_t size, uint64_t pc,
                    struct strbuf *text)
{
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
    uint64_t target;
    if (!size) {
        return 0;
    }
    if (!decode(style->mode, bytes, size, &insn, operand)) {
        strbuf_printf(text, "%-8s 0x%02x", ".byte", *(const uint8_t *)bytes);
        return 1;
    }
    if (style->syntax == DISAS_ATT) {
        disas_att(text, &insn, operand, pc);
    } else {
        intel(text, &insn, operand, pc);
    }
    if (style->name && target_of(&insn, operand, pc, &target)) {
        struct strbuf name;
        strbuf_init(&name);
        if (style->name(style->opaque, target, &name)) {
            strbuf_printf(text, " <%s>", name.data);
        }
        strbuf_free(&name);
    }
    return insn.length;
}
