/* SPDX-License-Identifier: MIT
 *
 * CPU models and CPUID.
 *
 * A model says who the CPU is and what it has. What a model shows is its row in models.def, without
 * what the translator does not execute (X86_EXECUTED in models.def) and without what the host's CPU
 * lacks, since most instructions are executed by it. So CPUID never promises what would fault.
 */
#ifndef GUEST_X86_CPUID_H
#define GUEST_X86_CPUID_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "guest/x86/x86.h"

/* Leaves about caches that can be the host's. */
enum { X86_CACHE_SUBLEAVES = 5 };

struct x86_model {
    const char *name;
    char vendor[13]; /* 12 characters: "GenuineIntel" */
    char brand[49];
    uint32_t family, model, stepping; /* displayed values: family 25 is 0xf + 0xa */
    uint32_t level, xlevel;           /* highest basic and extended leaf */
    struct x86_features features;     /* what the guest has */
    uint64_t xcr0;                    /* state components that XCR0 may have; 0 without XSAVE */
    uint32_t cpus;                    /* of the package */

    /* Caches: leaf 4 and 80000005, 80000006. */
    uint32_t cache[X86_CACHE_SUBLEAVES][4];
    uint32_t cache_amd[2][4];

    /* Code in [start, end) is the host's system's; see x86_model_system_code. Both 0: none. */
    uint64_t system_code_start, system_code_end;

    /* How the host's CPU executes the natively executed part. */
    uint32_t mxcsr_mask;        /* bits of MXCSR that may be set */
    bool pointers_when_pending; /* FXSAVE and XSAVE store FIP, FDP, FOP only with an exception
                                   pending (AMD) */
};

/* Receives a warning: a sentence without newline. */
typedef void x86_warn_fn(void *opaque, const char *sentence);

/* The model that the argument of -cpu names: NAME[,+feature,-feature,feature=on|off,...]; NULL:
 * max. What is asked for and cannot be had stays off, with a warning on standard error. NULL with a
 * sentence in `err` where a name is unknown. Any thread. */
const struct x86_model *x86_model_parse(const char *text, struct error *err);

/* The same with the warnings going to `warn`. */
const struct x86_model *x86_model_parse_warn(const char *text, x86_warn_fn *warn, void *opaque,
                                             struct error *err);

/* The same for a whole machine: with what only a system meets (SMEP, PCID and so on). `warn` NULL:
 * standard error. */
const struct x86_model *x86_model_parse_system(const char *text, x86_warn_fn *warn, void *opaque,
                                               struct error *err);

/* Nothing may use the model any more. */
void x86_model_free(const struct x86_model *model);

/* What lies in [start, end) may use all that is executed, whatever the model has: the host's vDSO,
 * which the host's kernel has made for the host's CPU. Before anything is translated for the model.
 */
void x86_model_system_code(const struct x86_model *model, uint64_t start, uint64_t end);

/* The features for x86_decode() of code at `pc`. Pure; any thread. */
static inline const struct x86_features *x86_features_at(const struct x86_model *model, uint64_t pc)
{
    return pc - model->system_code_start < model->system_code_end - model->system_code_start
               ? NULL
               : &model->features;
}

/* Prints the list of models and of features, as -cpu help does. */
void x86_model_help(FILE *out);

/* What CPUID tells beside the model: where the CPU is and what the system has switched on. */
struct x86_cpuid_place {
    uint32_t apic_id;
    uint64_t xcr0;
    bool osxsave; /* CR4.OSXSAVE */
    bool ospke;   /* CR4.PKE */
    bool no_apic; /* the local APIC is off */
};

/* CPUID: EAX, EBX, ECX, EDX in `out`. Leaves that are not there are 0. `place` NULL: CPU 0 with all
 * of its state components switched on. Pure; any thread. */
void x86_cpuid(const struct x86_model *model, const struct x86_cpuid_place *place, uint32_t leaf,
               uint32_t subleaf, uint32_t out[4]);

/* Where a feature is told, and its name. */
struct x86_feature_place {
    const char *name;
    uint32_t leaf, subleaf;
    uint8_t reg; /* 0 to 3: EAX, EBX, ECX, EDX */
    uint8_t bit;
};

/* Of one feature other than X86_FEATURE_NONE; static. */
const struct x86_feature_place *x86_feature_place(enum x86_feature feature);

#endif
