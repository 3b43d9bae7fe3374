/* SPDX-License-Identifier: MIT
 *
 * Reading and writing registers as the table says; the dump of -d cpu. */
#include "guest/x86/registers.h"

#include <string.h>

#include "base/strbuf.h"
#include "guest/x86/access.h"
#include "guest/x86/cpuid.h"
#include "guest/x86/helpers.h"
#include "guest/x86/xstate.h"

const struct x86_register x86_registers[] = {
#define X86_REGISTER(name, bits, kind, at, group, gdb, dwarf) \
    {name, bits, at, X86_REGISTER_##kind, X86_GROUP_##group, gdb, dwarf},
#include "guest/x86/registers.def"
};
const size_t x86_register_count = sizeof x86_registers / sizeof *x86_registers;

const struct x86_register *x86_register_find(const char *name)
{
    for (size_t i = 0; i < x86_register_count; i++) {
        if (strcmp(x86_registers[i].name, name) == 0) {
            return &x86_registers[i];
        }
    }
    return NULL;
}

/* The stack index of a physical x87 register. */
static unsigned stack_index(const uint8_t *image, unsigned physical)
{
    return (physical - (x86_xstate_word(image, X86_XSTATE_FSW) >> 11)) & 7;
}

static uint64_t small_value(const struct x86_cpu *cpu, const struct x86_register *reg)
{
    const uint8_t *image = cpu->state.vector;

    switch ((enum x86_register_kind)reg->kind) {
    case X86_REGISTER_RFLAGS: return x86_get_rflags(cpu);
    case X86_REGISTER_SELECTOR: return cpu->segment[reg->at];
    case X86_REGISTER_FPU_WORD: return x86_xstate_word(image, reg->at);
    case X86_REGISTER_FPU_LOW: return (uint32_t)x86_xstate_pointer(image, reg->at);
    case X86_REGISTER_FPU_HIGH: return x86_xstate_pointer(image, reg->at) >> 32;
    case X86_REGISTER_FPU_64: return x86_xstate_pointer(image, reg->at);
    case X86_REGISTER_FPU_TAGS: return x86_xstate_tags(image);
    case X86_REGISTER_MXCSR: return x86_xstate_mxcsr(image);
    default: return 0;
    }
}

size_t x86_register_read(const struct x86_cpu *cpu, const struct x86_register *reg,
                         uint8_t value[X86_REGISTER_BYTES])
{
    const uint8_t *image = cpu->state.vector;
    size_t size = reg->bits / 8;
    uint8_t st[10];
    uint64_t small;

    switch ((enum x86_register_kind)reg->kind) {
    case X86_REGISTER_PLAIN: memcpy(value, (const uint8_t *)cpu + reg->at, size); break;
    case X86_REGISTER_ST: x86_xstate_get_st(image, reg->at, value); break;
    case X86_REGISTER_MM:
        x86_xstate_get_st(image, stack_index(image, reg->at), st);
        memcpy(value, st, size);
        break;
    case X86_REGISTER_XMM: x86_xstate_get_xmm(image, reg->at, value); break;
    case X86_REGISTER_YMM: x86_xstate_get_ymm(image, reg->at, value); break;
    case X86_REGISTER_YMM_HIGH: x86_xstate_get_ymm_high(image, reg->at, value); break;
    default: small = small_value(cpu, reg); memcpy(value, &small, size);
    }
    return size;
}

/* Half of an x87 pointer. */
static void set_half(uint8_t *image, unsigned at, bool high, uint32_t value)
{
    uint64_t pointer = x86_xstate_pointer(image, at);

    pointer = high ? (uint32_t)pointer | (uint64_t)value << 32
                   : (pointer & ~UINT64_C(0xffffffff)) | value;
    x86_xstate_set_pointer(image, at, pointer);
}

static void set_small(struct x86_cpu *cpu, const struct x86_register *reg, uint64_t value)
{
    uint8_t *image = cpu->state.vector;

    switch ((enum x86_register_kind)reg->kind) {
    case X86_REGISTER_RFLAGS: x86_set_rflags(cpu, value); break;
    case X86_REGISTER_SELECTOR: cpu->segment[reg->at] = (uint16_t)value; break;
    case X86_REGISTER_FPU_WORD:
        x86_xstate_set_word(image, reg->at, (uint16_t)value);
        x86_xstate_settle_x87(image);
        break;
    case X86_REGISTER_FPU_LOW: set_half(image, reg->at, false, (uint32_t)value); break;
    case X86_REGISTER_FPU_HIGH: set_half(image, reg->at, true, (uint32_t)value); break;
    case X86_REGISTER_FPU_64: x86_xstate_set_pointer(image, reg->at, value); break;
    case X86_REGISTER_FPU_TAGS: x86_xstate_set_tags(image, (uint16_t)value); break;
    case X86_REGISTER_MXCSR:
        x86_xstate_set_mxcsr(image, (uint32_t)value & cpu->model->mxcsr_mask);
        break;
    default: break;
    }
}

void x86_register_write(struct x86_cpu *cpu, const struct x86_register *reg, const uint8_t *value)
{
    uint8_t *image = cpu->state.vector;
    size_t size = reg->bits / 8;
    uint8_t st[10] = {[8] = 0xff, [9] = 0xff}; /* above an MMX register there are ones */
    uint64_t small = 0;

    switch ((enum x86_register_kind)reg->kind) {
    case X86_REGISTER_PLAIN: memcpy((uint8_t *)cpu + reg->at, value, size); break;
    case X86_REGISTER_ST: x86_xstate_set_st(image, reg->at, value); break;
    case X86_REGISTER_MM:
        memcpy(st, value, size);
        x86_xstate_set_st(image, stack_index(image, reg->at), st);
        break;
    case X86_REGISTER_XMM: x86_xstate_set_xmm(image, reg->at, value); break;
    case X86_REGISTER_YMM: x86_xstate_set_ymm(image, reg->at, value); break;
    case X86_REGISTER_YMM_HIGH: x86_xstate_set_ymm_high(image, reg->at, value); break;
    default: memcpy(&small, value, size); set_small(cpu, reg, small);
    }
}

/* --- the dump */

static void print_general(const struct x86_cpu *cpu, struct strbuf *text)
{
    static const struct {
        const char *name;
        uint8_t number;
    } order[] = {
        {"RAX", X86_RAX}, {"RBX", X86_RBX}, {"RCX", X86_RCX}, {"RDX", X86_RDX},
        {"RSI", X86_RSI}, {"RDI", X86_RDI}, {"RBP", X86_RBP}, {"RSP", X86_RSP},
        {"R8 ", 8},       {"R9 ", 9},       {"R10", 10},      {"R11", 11},
        {"R12", 12},      {"R13", 13},      {"R14", 14},      {"R15", 15},
    };

    for (unsigned i = 0; i < 16; i++) {
        strbuf_printf(text, "%s=%016lx%c", order[i].name, cpu->state.reg[order[i].number],
                      i % 4 == 3 ? '\n' : ' ');
    }
}

static void print_flags(const struct x86_cpu *cpu, struct strbuf *text)
{
    uint64_t rflags = x86_get_rflags(cpu);

    strbuf_printf(text, "RIP=%016lx RFL=%08x [%c%c%c%c%c%c%c] CPL=3 II=0 A20=1 SMM=0 HLT=0\n",
                  cpu->state.pc, (unsigned)rflags, rflags & NATIVE_DF ? 'D' : '-',
                  rflags & NATIVE_OF ? 'O' : '-', rflags & NATIVE_SF ? 'S' : '-',
                  rflags & NATIVE_ZF ? 'Z' : '-', rflags & NATIVE_AF ? 'A' : '-',
                  rflags & NATIVE_PF ? 'P' : '-', rflags & NATIVE_CF ? 'C' : '-');
}

static void print_segment(const struct x86_cpu *cpu, struct strbuf *text, const char *name,
                          unsigned segment)
{
    uint16_t selector = cpu->segment[segment];
    uint64_t base = segment == NATIVE_FS   ? cpu->state.thread_base
                    : segment == NATIVE_GS ? cpu->state.other_base
                                           : 0;
    const char *rest = "00000000 00000000";

    switch (selector & 0xfffc) {
    case 0x20: rest = "ffffffff 00cffb00 DPL=3 CS32 [-RA]"; break;
    case 0x28: rest = "ffffffff 00cff300 DPL=3 DS   [-WA]"; break;
    case 0x30: rest = "ffffffff 00effb00 DPL=3 CS64 [-RA]"; break;
    }
    strbuf_printf(text, "%s=%04x %016lx %s\n", name, selector, base, rest);
}

/* What user mode has no access to has the values that QEMU's user mode shows; descriptor tables are
 * at 0. */
static void print_system(const struct x86_cpu *cpu, struct strbuf *text)
{
    unsigned cr4 = 0x220; /* PAE, OSFXSR */

    cr4 |= x86_has(&cpu->model->features, X86_FEATURE_FSGSBASE) ? 1u << 16 : 0;
    cr4 |= x86_has(&cpu->model->features, X86_FEATURE_OSXSAVE) ? 1u << 18 : 0;
    strbuf_puts(text, "LDT=0000 0000000000000000 00000000 00008200 DPL=0 LDT\n"
                      "TR =0000 0000000000000000 0000ffff 00008b00 DPL=0 TSS64-busy\n"
                      "GDT=     0000000000000000 0000007f\n"
                      "IDT=     0000000000000000 000001ff\n");
    strbuf_printf(text, "CR0=80010001 CR2=0000000000000000 CR3=0000000000000000 CR4=%08x\n", cr4);
    strbuf_puts(text, "DR0=0000000000000000 DR1=0000000000000000 DR2=0000000000000000 "
                      "DR3=0000000000000000 \n"
                      "DR6=00000000ffff0ff0 DR7=0000000000000400\n"
                      "CCS=0000000000000000 CCD=0000000000000000 CCO=EFLAGS\n"
                      "EFER=0000000000000500\n");
}

static uint64_t word_of(const uint8_t *bytes)
{
    uint64_t word;

    memcpy(&word, bytes, sizeof word);
    return word;
}

/* x87 registers by their physical numbers. */
static void print_x87(const uint8_t *image, struct strbuf *text)
{
    uint16_t fsw = x86_xstate_word(image, X86_XSTATE_FSW);

    strbuf_printf(text, "FCW=%04x FSW=%04x [ST=%d] FTW=%02x MXCSR=%08x\n",
                  x86_xstate_word(image, X86_XSTATE_FCW), fsw, fsw >> 11 & 7,
                  x86_xstate_word(image, X86_XSTATE_FTW) & 255, x86_xstate_mxcsr(image));
    for (unsigned i = 0; i < 8; i++) {
        uint8_t st[10];
        x86_xstate_get_st(image, stack_index(image, i), st);
        strbuf_printf(text, "FPR%u=%016lx %04x%c", i, word_of(st), st[8] | st[9] << 8,
                      i % 2 ? '\n' : ' ');
    }
}

static void print_vectors(const struct x86_cpu *cpu, struct strbuf *text)
{
    const bool system = x86_system_mode(&cpu->system);
    const bool avx = x86_has(&cpu->model->features, X86_FEATURE_AVX) &&
                     (!system || (cpu->system.cr4 & X86_CR4_OSXSAVE && cpu->xcr0 & X86_XSTATE_AVX));
    const unsigned count = system && !x86_code64(cpu) ? 8 : 16;

    for (unsigned i = 0; i < count; i++) {
        uint8_t ymm[32];
        x86_xstate_get_ymm(cpu->state.vector, i, ymm);
        if (avx) {
            strbuf_printf(text, "YMM%02u=%016lx %016lx %016lx %016lx\n", i, word_of(ymm + 24),
                          word_of(ymm + 16), word_of(ymm + 8), word_of(ymm));
        } else {
            strbuf_printf(text, "XMM%02u=%016lx %016lx%c", i, word_of(ymm + 8), word_of(ymm),
                          i % 2 ? '\n' : ' ');
        }
    }
}

void x86_print_state(const struct x86_cpu *cpu, struct strbuf *text, unsigned flags)
{
    static const char names[6][4] = {"ES ", "CS ", "SS ", "DS ", "FS ", "GS "};

    if (x86_system_mode(&cpu->system)) {
        x86_print_system(cpu, text);
    } else {
        print_general(cpu, text);
        print_flags(cpu, text);
        for (unsigned i = 0; i < 6; i++) {
            print_segment(cpu, text, names[i], i);
        }
        print_system(cpu, text);
    }
    if (flags & X86_PRINT_FPU) {
        print_x87(cpu->state.vector, text);
        print_vectors(cpu, text);
    }
}
