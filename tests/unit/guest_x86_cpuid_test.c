/* SPDX-License-Identifier: MIT
 *
 * CPU models: what they show, what they never show, what -cpu takes; and the register dump. */
#include <cpuid.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/strbuf.h"
#include "guest/x86/cpuid.h"
#include "guest/x86/helpers.h"
#include "guest/x86/registers.h"
#include "guest/x86/xstate.h"

enum { X86_REG_EAX, X86_REG_EBX, X86_REG_ECX, X86_REG_EDX };

enum { NOT_EXECUTED, OURS, HOST, HOST_YMM };
static const uint8_t executed[X86_FEATURE_COUNT] = {
#define X86_EXECUTED(feature, needs) [X86_FEATURE_##feature] = needs,
#include "guest/x86/models.def"
};

static const char *const model_names[] = {
#define X86_MODEL(name, set, vendor, family, model, stepping, level, xlevel, brand, text) name,
#include "guest/x86/models.def"
};
static const char *const alias_names[] = {
#define X86_MODEL_ALIAS(alias, name, text) alias,
#include "guest/x86/models.def"
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static struct strbuf warnings;

static void note_warning(void *opaque, const char *sentence)
{
    (void)opaque;
    strbuf_printf(&warnings, "%s\n", sentence);
}

/* The model, with `warnings` as they were; fails the test where there is none. */
static const struct x86_model *parse(const char *text)
{
    struct error err = {"no sentence"};
    const struct x86_model *model;

    strbuf_clear(&warnings);
    model = x86_model_parse_warn(text, note_warning, NULL, &err);
    if (!model) {
        fail_msg("-cpu %s: %s", text, err.text);
    }
    return model;
}

static void host_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    memset(out, 0, 16);
    if (leaf <= (uint32_t)__get_cpuid_max(leaf & 0x80000000, NULL)) {
        __cpuid_count(leaf, subleaf, out[0], out[1], out[2], out[3]);
    }
}

static bool host_has(enum x86_feature feature)
{
    const struct x86_feature_place *place = x86_feature_place(feature);
    uint32_t out[4];

    host_cpuid(place->leaf, place->subleaf, out);
    return out[place->reg] >> place->bit & 1;
}

static bool shows(const struct x86_model *model, enum x86_feature feature)
{
    const struct x86_feature_place *place = x86_feature_place(feature);
    uint32_t out[4];

    x86_cpuid(model, NULL, place->leaf, place->subleaf, out);
    return out[place->reg] >> place->bit & 1;
}

/* Not even when asked: what is not executed, and what the host needs and lacks. */
static void nothing_is_promised_in_vain(void **state)
{
    (void)state;
    for (size_t m = 0; m < COUNT(model_names); m++) {
        struct strbuf text;
        strbuf_init(&text);
        strbuf_puts(&text, model_names[m]);
        for (enum x86_feature f = X86_FEATURE_NONE + 1; f < X86_FEATURE_COUNT; f++) {
            strbuf_printf(&text, ",+%s", x86_feature_place(f)->name);
        }
        const struct x86_model *model = parse(text.data);
        for (enum x86_feature f = X86_FEATURE_NONE + 1; f < X86_FEATURE_COUNT; f++) {
            bool possible = executed[f] == OURS || (executed[f] && host_has(f));
            if (shows(model, f) && !possible) {
                fail_msg("%s shows %s", model_names[m], x86_feature_place(f)->name);
            }
            if (!possible && f != X86_FEATURE_OSXSAVE) {
                char sentence[64];
                snprintf(sentence, sizeof sentence, ".%s [bit %d]\n", x86_feature_place(f)->name,
                         x86_feature_place(f)->bit);
                assert_non_null(strstr(warnings.data, sentence));
            }
        }
        x86_model_free(model);
        strbuf_free(&text);
    }
}

/* max has all that is possible; and no feature word has a bit that the table does not know. */
static void max_shows_what_is_possible(void **state)
{
    (void)state;
    const struct x86_model *model = parse("max");
    uint32_t words[X86_FEATURE_COUNT] = {0}, out[4];

    assert_string_equal(warnings.data, "");
    for (enum x86_feature f = X86_FEATURE_NONE + 1; f < X86_FEATURE_COUNT; f++) {
        bool possible = executed[f] == OURS || (executed[f] && host_has(f));
        if (f == X86_FEATURE_HYPERVISOR) {
            possible = false; /* only when asked for */
        } else if (f == X86_FEATURE_HT || f == X86_FEATURE_CMP_LEGACY) {
            continue; /* depends on the number of CPUs */
        }
        if (shows(model, f) != possible) {
            fail_msg("%s: expected %d", x86_feature_place(f)->name, possible);
        }
    }
    for (enum x86_feature f = X86_FEATURE_NONE + 1; f < X86_FEATURE_COUNT; f++) {
        for (enum x86_feature g = X86_FEATURE_NONE + 1; g < X86_FEATURE_COUNT; g++) {
            const struct x86_feature_place *p = x86_feature_place(f), *q = x86_feature_place(g);
            if (p->leaf == q->leaf && p->subleaf == q->subleaf && p->reg == q->reg) {
                words[f] |= UINT32_C(1) << q->bit;
            }
        }
        const struct x86_feature_place *place = x86_feature_place(f);
        x86_cpuid(model, NULL, place->leaf, place->subleaf, out);
        if (place->leaf != 0x80000001 || place->reg != X86_REG_EDX) { /* AMD repeats bits there */
            assert_int_equal(out[place->reg] & ~words[f], 0);
        }
    }
    x86_model_free(model);
}

static void max_is_the_hosts_family(void **state)
{
    (void)state;
    const struct x86_model *model = parse(NULL);
    uint32_t ours[4], host[4];

    assert_string_equal(model->name, "max");
    x86_cpuid(model, NULL, 0, 0, ours);
    host_cpuid(0, 0, host);
    assert_memory_equal(&ours[1], &host[1], 12);
    x86_cpuid(model, NULL, 1, 0, ours);
    host_cpuid(1, 0, host);
    assert_int_equal(ours[0], host[0] & 0x0fff0fff);
    x86_cpuid(model, NULL, 0x80000006, 0, ours);
    host_cpuid(0x80000006, 0, host);
    assert_memory_equal(ours, host, 16);
    x86_model_free(model);
    model = parse("host");
    assert_string_equal(model->name, "max");
    assert_non_null(strstr(warnings.data, "max"));
    x86_model_free(model);
}

/* Signatures and feature words of leaf 1 and 7, as the same names have them elsewhere. */
static void models_are_what_their_name_says(void **state)
{
    (void)state;
    static const struct {
        const char *name, *vendor, *brand;
        uint32_t signature, leaf1_ecx, leaf7_ebx;
    } known[] = {
        {"qemu64", "AuthenticAMD", "QEMU Virtual CPU version 2.5+", 0x60fb1, 0x00002001, 0},
        {"Nehalem", "GenuineIntel", "Intel Core i7 9xx (Nehalem Class Core i7)", 0x106a3,
         0x00982201, 0},
        {"Westmere-IBRS", "GenuineIntel", "Westmere E56xx/L56xx/X56xx (Nehalem-C)", 0x206c1,
         0x02982203, 0},
        {"SandyBridge", "GenuineIntel", "Intel Xeon E312xx (Sandy Bridge)", 0x206a1, 0x1e982203, 0},
        {"IvyBridge", "GenuineIntel", "Intel Xeon E3-12xx v2 (Ivy Bridge)", 0x306a9, 0x7e982203,
         0x201},
        {"Haswell-noTSX", "GenuineIntel", "Intel Core Processor (Haswell)", 0x306c4, 0x7ed83203,
         0x329},
        {"Broadwell", "GenuineIntel", "Intel Core Processor (Broadwell)", 0x306d2, 0x7ed83203,
         0x0c0329},
        {"Skylake-Client-v1", "GenuineIntel", "Intel Core Processor (Skylake)", 0x506e3, 0x7ed83203,
         0x0c0329},
    };
    uint32_t out[4], host[4];

    for (size_t i = 0; i < COUNT(known); i++) {
        const struct x86_model *model = parse(known[i].name);
        char text[49] = {0};
        assert_string_equal(warnings.data, "");
        x86_cpuid(model, NULL, 0, 0, out);
        memcpy(text, &out[1], 4);
        memcpy(text + 4, &out[3], 4);
        memcpy(text + 8, &out[2], 4);
        assert_string_equal(text, known[i].vendor);
        x86_cpuid(model, NULL, 1, 0, out);
        host_cpuid(1, 0, host);
        assert_int_equal(out[0], known[i].signature);
        assert_int_equal(out[2], known[i].leaf1_ecx & host[2]);
        x86_cpuid(model, NULL, 7, 0, out);
        host_cpuid(7, 0, host);
        assert_int_equal(out[1], known[i].leaf7_ebx & host[1]);
        for (unsigned part = 0; part < 3; part++) {
            x86_cpuid(model, NULL, 0x80000002 + part, 0, out);
            memcpy(text + 16 * part, out, 16);
        }
        assert_string_equal(text, known[i].brand);
        x86_model_free(model);
    }
}

/* The psABI's levels (x86-64 psABI, table 3.1), on hosts that have them. */
static void levels_have_their_features(void **state)
{
    (void)state;
    static const uint8_t v2[] = {X86_FEATURE_CX16, X86_FEATURE_LAHF_LM, X86_FEATURE_POPCNT,
                                 X86_FEATURE_SSE3, X86_FEATURE_SSE4_1,  X86_FEATURE_SSE4_2,
                                 X86_FEATURE_SSSE3};
    static const uint8_t v3[] = {X86_FEATURE_AVX,   X86_FEATURE_AVX2,  X86_FEATURE_BMI1,
                                 X86_FEATURE_BMI2,  X86_FEATURE_F16C,  X86_FEATURE_FMA,
                                 X86_FEATURE_LZCNT, X86_FEATURE_MOVBE, X86_FEATURE_OSXSAVE};
    static const char *const levels[] = {"x86-64-v1", "x86-64-v2", "x86-64-v3"};

    for (unsigned level = 0; level < 3; level++) {
        const struct x86_model *model = parse(levels[level]);
        for (size_t i = 0; i < COUNT(v2); i++) {
            assert_int_equal(shows(model, v2[i]), level >= 1 && host_has(v2[i]));
        }
        for (size_t i = 0; i < COUNT(v3); i++) {
            assert_int_equal(shows(model, v3[i]), level >= 2 && host_has(v3[i]));
        }
        assert_true(shows(model, X86_FEATURE_SSE2) && shows(model, X86_FEATURE_SYSCALL));
        x86_model_free(model);
    }
}

static void features_are_added_and_taken_away(void **state)
{
    (void)state;
    const struct x86_model *model;
    uint32_t out[4];

    model = parse("max,-sse4.2,sse4_1=off,+hypervisor");
    assert_string_equal(warnings.data, "");
    assert_false(shows(model, X86_FEATURE_SSE4_1) || shows(model, X86_FEATURE_SSE4_2));
    assert_false(shows(model, X86_FEATURE_AVX) || shows(model, X86_FEATURE_AVX2));
    assert_true(shows(model, X86_FEATURE_SSSE3));
    assert_int_equal(model->xcr0 & 4, 0);
    x86_cpuid(model, NULL, 0x40000000, 0, out);
    assert_memory_equal(&out[1], "VitrineVitri", 12);
    x86_model_free(model);

    model = parse("qemu64,+avx2");
    assert_non_null(strstr(warnings.data, "avx2 needs avx, which is off"));
    assert_false(shows(model, X86_FEATURE_AVX2));
    x86_cpuid(model, NULL, 0x40000000, 0, out);
    assert_int_equal(out[0] | out[1], 0);
    x86_model_free(model);

    model = parse("Nehalem,+vmx,+avx512f,lzcnt=on,+svm");
    assert_string_equal(
        warnings.data,
        "Vitrine doesn't support requested feature: CPUID.07H:EBX.avx512f [bit 16]\n"
        "Vitrine doesn't support requested feature: CPUID.01H:ECX.vmx [bit 5]\n"
        "Vitrine doesn't support requested feature: CPUID.80000001H:ECX.svm [bit 2]\n");
    assert_int_equal(shows(model, X86_FEATURE_LZCNT), host_has(X86_FEATURE_LZCNT));
    x86_model_free(model);

    /* A leaf above the model's level: the level rises with it. */
    model = parse("qemu32,+fsgsbase");
    assert_int_equal(shows(model, X86_FEATURE_FSGSBASE), host_has(X86_FEATURE_FSGSBASE));
    assert_false(shows(model, X86_FEATURE_LM));
    x86_model_free(model);
}

static void mistakes_are_explained(void **state)
{
    (void)state;
    static const struct {
        const char *text, *sentence;
    } wrong[] = {
        {"Hasswell", "unable to find CPU model 'Hasswell'; near names: Haswell"},
        {"", "unable to find CPU model ''"},
        {"max,+avxx2", "CPU feature 'avxx2' is not known; near names: avx2"},
        {"max,avx=yes", "CPU feature 'avx': expected on or off, not 'yes'"},
        {"max,+", "CPU feature '' is not known"},
        {"max,=on", "CPU feature '' is not known"},
    };

    for (size_t i = 0; i < COUNT(wrong); i++) {
        struct error err = {""};
        assert_null(x86_model_parse_warn(wrong[i].text, note_warning, NULL, &err));
        if (!strstr(err.text, wrong[i].sentence)) {
            fail_msg("-cpu %s: %s", wrong[i].text, err.text);
        }
    }
    x86_model_free(parse("max,,")); /* empty items are nothing */
}

static void saved_state_has_its_size(void **state)
{
    (void)state;
    const struct x86_model *model = parse("max");
    struct x86_cpuid_place place = {.xcr0 = 3};
    uint32_t out[4], host[4];

    assert_int_equal(model->xcr0, 7);
    x86_cpuid(model, NULL, 0xd, 0, out);
    assert_int_equal(out[0], 7);
    assert_int_equal(out[1], X86_XSTATE_SIZE);
    assert_int_equal(out[2], X86_XSTATE_SIZE);
    x86_cpuid(model, &place, 0xd, 0, out);
    assert_int_equal(out[1], X86_XSTATE_YMM);
    assert_int_equal(out[2], X86_XSTATE_SIZE);
    x86_cpuid(model, NULL, 0xd, 2, out);
    host_cpuid(0xd, 2, host);
    assert_memory_equal(out, host, 16);
    x86_cpuid(model, NULL, 0xd, 5, out);
    assert_int_equal(out[0] | out[1] | out[2] | out[3], 0);
    x86_cpuid(model, &place, 1, 0, out);
    assert_false(out[2] >> 27 & 1); /* OSXSAVE */
    x86_model_free(model);

    model = parse("max,-xsave");
    assert_int_equal(model->xcr0, 0);
    for (uint32_t subleaf = 0; subleaf < 4; subleaf++) {
        x86_cpuid(model, NULL, 0xd, subleaf, out);
        assert_int_equal(out[0] | out[1] | out[2] | out[3], 0);
    }
    assert_false(shows(model, X86_FEATURE_OSXSAVE) || shows(model, X86_FEATURE_AVX));
    x86_model_free(model);
}

static void topology_counts_cpus(void **state)
{
    (void)state;
    const struct x86_model *model = parse("Haswell");
    struct x86_cpuid_place place = {.apic_id = 1, .xcr0 = 7, .osxsave = true};
    uint32_t out[4], level = 0, seen = 0;

    x86_cpuid(model, &place, 1, 0, out);
    assert_int_equal(out[1] >> 24, 1);
    assert_int_equal(out[1] >> 16 & 255, model->cpus);
    assert_int_equal(out[1] >> 8 & 255, 8);
    x86_cpuid(model, &place, 0xb, 0, out);
    assert_int_equal(out[1], 1);
    assert_int_equal(out[3], 1);
    x86_cpuid(model, &place, 0xb, 1, out);
    assert_int_equal(out[1], model->cpus);
    assert_true(UINT32_C(1) << out[0] >= model->cpus);
    x86_cpuid(model, &place, 0xb, 2, out);
    assert_int_equal(out[0] | out[1], 0);
    assert_int_equal(out[2], 2);
    /* Caches by level, none forgotten, and then the end. */
    for (uint32_t i = 0; i < 4; i++) {
        x86_cpuid(model, &place, 4, i, out);
        level = out[0] >> 5 & 7;
        seen |= 1u << level;
        assert_in_range(out[0] & 31, 1, 3);
    }
    assert_int_equal(seen, 0xe);
    x86_cpuid(model, &place, 4, 4, out);
    assert_int_equal(out[0] & 31, 0);
    x86_model_free(model);
}

static void leaves_that_are_not_there_are_zero(void **state)
{
    (void)state;
    static const uint32_t leaves[] = {0x14,       0x1f,       0x20000000, 0x40000001,
                                      0x4fffffff, 0x8000001d, 0x80000fff, 0xffffffff};
    const struct x86_model *model = parse("max");
    uint32_t out[4];

    for (size_t i = 0; i < COUNT(leaves); i++) {
        x86_cpuid(model, NULL, leaves[i], 0, out);
        assert_int_equal(out[0] | out[1] | out[2] | out[3], 0);
    }
    x86_model_free(model);
}

static void help_names_all_models(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    x86_model_help(out);
    fclose(out);
    assert_memory_equal(text, "Available CPUs:\nx86 ", 20);
    for (size_t i = 0; i < COUNT(model_names) + COUNT(alias_names); i++) {
        const char *name =
            i < COUNT(model_names) ? model_names[i] : alias_names[i - COUNT(model_names)];
        char line[64];
        snprintf(line, sizeof line, "\nx86 %-20s  ", name);
        assert_non_null(strstr(text, line));
        x86_model_free(parse(name));
    }
    const char *flags = strstr(text, "\n\nRecognized CPUID flags:\n  ");
    assert_non_null(flags);
    assert_non_null(strstr(flags, " avx2 "));
    for (const char *line = flags + 2; *line; line += strcspn(line, "\n") + 1) {
        assert_true(strcspn(line, "\n") <= 75);
    }
    free(text);
}

/* The helper takes leaf and subleaf from the registers and fills all four. */
static void helper_asks_the_model(void **state)
{
    (void)state;
    const struct x86_model *model = parse("Haswell");
    static struct x86_cpu cpu;
    struct x86_insn insn;
    struct x86_fault fault;
    uint32_t out[4];

    memset(&cpu, 0, sizeof cpu);
    cpu.model = model;
    cpu.xcr0 = model->xcr0;
    cpu.state.pc = 0x1000;
    cpu.state.reg[X86_RAX] = 0xffffffff00000007;
    cpu.state.reg[X86_RCX] = 0xffffffff00000000;
    assert_int_equal(x86_decode(X86_MODE_64, &model->features, (const uint8_t[]){0x0f, 0xa2}, 2,
                                cpu.state.pc, &insn),
                     X86_DECODE_OK);
    assert_true(x86_helpers[X86_LOWER_CPUID](&cpu, &insn, &fault));
    x86_cpuid(model, NULL, 7, 0, out);
    assert_int_equal(cpu.state.reg[X86_RAX], out[0]);
    assert_int_equal(cpu.state.reg[X86_RBX], out[1]);
    assert_int_equal(cpu.state.reg[X86_RCX], out[2]);
    assert_int_equal(cpu.state.reg[X86_RDX], out[3]);
    assert_int_equal(cpu.state.pc, 0x1002);
    x86_model_free(model);
}

/* The block of -d cpu, as qemu-x86_64 -cpu qemu64 -d cpu,fpu printed it, descriptor tables aside.
 */
static const char dump[] =
    "RAX=0000000000000000 RBX=0000000000000000 RCX=0000000000000000 RDX=0000000000000000\n"
    "RSI=0000000000000000 RDI=000000400280a800 RBP=0000000000000000 RSP=000000400280a7f8\n"
    "R8 =0000000000000000 R9 =0000000000000000 R10=0000000000000000 R11=0000000000000000\n"
    "R12=0000000000000000 R13=0000000000000000 R14=0000000000000000 R15=000000000000000f\n"
    "RIP=0000004002826770 RFL=00000297 [--S-APC] CPL=3 II=0 A20=1 SMM=0 HLT=0\n"
    "ES =0000 0000000000000000 00000000 00000000\n"
    "CS =0033 0000000000000000 ffffffff 00effb00 DPL=3 CS64 [-RA]\n"
    "SS =002b 0000000000000000 ffffffff 00cff300 DPL=3 DS   [-WA]\n"
    "DS =0000 0000000000000000 00000000 00000000\n"
    "FS =0000 0000004002a32740 00000000 00000000\n"
    "GS =0000 0000000000000000 00000000 00000000\n"
    "LDT=0000 0000000000000000 00000000 00008200 DPL=0 LDT\n"
    "TR =0000 0000000000000000 0000ffff 00008b00 DPL=0 TSS64-busy\n"
    "GDT=     0000000000000000 0000007f\n"
    "IDT=     0000000000000000 000001ff\n"
    "CR0=80010001 CR2=0000000000000000 CR3=0000000000000000 CR4=00000220\n"
    "DR0=0000000000000000 DR1=0000000000000000 DR2=0000000000000000 DR3=0000000000000000 \n"
    "DR6=00000000ffff0ff0 DR7=0000000000000400\n"
    "CCS=0000000000000000 CCD=0000000000000000 CCO=EFLAGS\n"
    "EFER=0000000000000500\n"
    "FCW=037f FSW=2800 [ST=5] FTW=e0 MXCSR=00001f80\n"
    "FPR0=0000000000000000 0000 FPR1=0000000000000000 0000\n"
    "FPR2=0000000000000000 0000 FPR3=0000000000000000 0000\n"
    "FPR4=0000000000000000 0000 FPR5=0000000000000000 0000\n"
    "FPR6=8000000000000000 3fff FPR7=c000000000000000 4000\n"
    "XMM00=0000000000000000 0000000000000000 XMM01=0000000000000000 0000000000000000\n"
    "XMM02=0000000000000000 0000000000000000 XMM03=0000000000000000 0000000000000001\n"
    "XMM04=0000000000000000 0000000000000000 XMM05=0000000000000000 0000000000000000\n"
    "XMM06=0000000000000000 0000000000000000 XMM07=0000000000000000 0000000000000000\n"
    "XMM08=0000000000000000 0000000000000000 XMM09=0000000000000000 0000000000000000\n"
    "XMM10=0000000000000000 0000000000000000 XMM11=0000000000000000 0000000000000000\n"
    "XMM12=0000000000000000 0000000000000000 XMM13=0000000000000000 0000000000000000\n"
    "XMM14=0000000000000000 0000000000000000 XMM15=0000000000000000 0000000000000000\n";

static void state_is_printed_in_known_form(void **state)
{
    (void)state;
    const struct x86_model *model = parse("qemu64");
    static struct x86_cpu cpu;
    struct strbuf text;

    memset(&cpu, 0, sizeof cpu);
    cpu.model = model;
    cpu.segment[NATIVE_CS] = 0x33;
    cpu.segment[NATIVE_SS] = 0x2b;
    cpu.state.reg[X86_RDI] = 0x400280a800;
    cpu.state.reg[X86_RSP] = 0x400280a7f8;
    cpu.state.reg[X86_R15] = 15;
    cpu.state.pc = 0x4002826770;
    cpu.state.thread_base = 0x4002a32740;
    x86_set_rflags(&cpu, 0x297);
    x86_xstate_reset(cpu.state.vector);
    x86_xstate_set_word(cpu.state.vector, X86_XSTATE_FSW, 0x2800);
    x86_xstate_set_word(cpu.state.vector, X86_XSTATE_FTW, 0xe0);
    x86_xstate_set_st(cpu.state.vector, 1, (const uint8_t[10]){[7] = 0x80, 0xff, 0x3f});
    x86_xstate_set_st(cpu.state.vector, 2, (const uint8_t[10]){[7] = 0xc0, 0x00, 0x40});
    x86_xstate_set_xmm(cpu.state.vector, 3, (const uint8_t[16]){1});
    strbuf_init(&text);
    x86_print_state(&cpu, &text, X86_PRINT_FPU);
    assert_string_equal(text.data, dump);
    strbuf_clear(&text);
    x86_print_state(&cpu, &text, 0);
    assert_int_equal(text.len, strstr(dump, "FCW=") - dump);
    x86_model_free(model);
    model = parse("max");
    cpu.model = model;
    strbuf_clear(&text);
    x86_print_state(&cpu, &text, X86_PRINT_FPU);
    if (model->xcr0 & 4) {
        assert_non_null(strstr(text.data, "\nYMM03=0000000000000000 0000000000000000 "
                                          "0000000000000000 0000000000000001\n"));
    }
    x86_model_free(model);
    strbuf_free(&text);
}

/* What a program cannot meet is a whole machine's only. */
static void systems_see_more(void **state)
{
    static const uint8_t features[] = {
        X86_FEATURE_VME,  X86_FEATURE_MONITOR,      X86_FEATURE_PCID,       X86_FEATURE_X2APIC,
        X86_FEATURE_SMEP, X86_FEATURE_SMAP,         X86_FEATURE_UMIP,       X86_FEATURE_INVPCID,
        X86_FEATURE_PKU,  X86_FEATURE_TSC_DEADLINE, X86_FEATURE_TSC_ADJUST, X86_FEATURE_MTRR};
    const struct x86_model *program = parse("max"), *system;
    struct x86_cpuid_place place = {.xcr0 = 7, .osxsave = true};
    struct error err = {"no sentence"};
    uint32_t out[4];

    (void)state;
    system = x86_model_parse_system("max", note_warning, NULL, &err);
    assert_non_null(system);
    for (size_t i = 0; i < sizeof features; i++) {
        assert_true(x86_has(&system->features, features[i]));
        if (features[i] != X86_FEATURE_MTRR) {
            assert_false(x86_has(&program->features, features[i]));
        }
    }
    x86_cpuid(system, &place, 7, 0, out);
    assert_false(out[2] >> 4 & 1);
    place.ospke = true;
    x86_cpuid(system, &place, 7, 0, out);
    assert_true(out[2] >> 4 & 1);
    x86_cpuid(system, &place, 5, 0, out);
    assert_int_equal(out[0], 64);
    x86_cpuid(program, &place, 5, 0, out);
    assert_int_equal(out[0], 0);
    x86_model_free(system);
    system = x86_model_parse_system("qemu64", note_warning, NULL, &err);
    assert_non_null(system);
    assert_false(x86_has(&system->features, X86_FEATURE_SMEP));
    x86_model_free(system);
    x86_model_free(program);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_promised_in_vain),
        cmocka_unit_test(max_shows_what_is_possible),
        cmocka_unit_test(max_is_the_hosts_family),
        cmocka_unit_test(models_are_what_their_name_says),
        cmocka_unit_test(levels_have_their_features),
        cmocka_unit_test(features_are_added_and_taken_away),
        cmocka_unit_test(mistakes_are_explained),
        cmocka_unit_test(saved_state_has_its_size),
        cmocka_unit_test(topology_counts_cpus),
        cmocka_unit_test(leaves_that_are_not_there_are_zero),
        cmocka_unit_test(help_names_all_models),
        cmocka_unit_test(helper_asks_the_model),
        cmocka_unit_test(state_is_printed_in_known_form),
        cmocka_unit_test(systems_see_more),
    };

    strbuf_init(&warnings);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    strbuf_free(&warnings);
    return failed;
}
