/* SPDX-License-Identifier: MIT
 *
 * What CPUID says of a model: a table of leaves, and the feature bits where features.def places
 * them (SDM vol. 2, CPUID; APM vol. 3, appendix E). model.c makes models. */
#include "guest/x86/cpuid.h"

#include <string.h>

enum { X86_REG_EAX, X86_REG_EBX, X86_REG_ECX, X86_REG_EDX };

static const struct x86_feature_place feature_places[X86_FEATURE_COUNT] = {
#define X86_FEATURE(id, name, leaf, subleaf, reg, bit) \
    [X86_FEATURE_##id] = {name, leaf, subleaf, reg, bit},
#include "guest/x86/features.def"
#undef X86_FEATURE
};

const struct x86_feature_place *x86_feature_place(enum x86_feature feature)
{
    return &feature_places[feature];
}

struct query {
    const struct x86_model *model;
    const struct x86_cpuid_place *place;
    uint32_t leaf, subleaf;
    uint32_t *out;
};

static bool is_amd(const struct x86_model *model)
{
    return strcmp(model->vendor, "AuthenticAMD") == 0 || strcmp(model->vendor, "HygonGenuine") == 0;
}

static void put(uint32_t out[4], uint32_t eax, uint32_t ebx, uint32_t ecx, uint32_t edx)
{
    out[0] = eax;
    out[1] = ebx;
    out[2] = ecx;
    out[3] = edx;
}

/* Highest leaf and vendor; the order of the words is EBX, EDX, ECX. */
static void leaf_vendor(const struct query *q)
{
    q->out[0] = q->leaf ? q->model->xlevel : q->model->level;
    memcpy(&q->out[1], q->model->vendor, 4);
    memcpy(&q->out[3], q->model->vendor + 4, 4);
    memcpy(&q->out[2], q->model->vendor + 8, 4);
}

/* Family and model as leaf 1 packs them: what does not fit goes to the extended fields. */
static uint32_t signature(const struct x86_model *model)
{
    uint32_t family = model->family < 15 ? model->family : 15;
    uint32_t more = model->family - family;

    return model->stepping | (model->model & 15) << 4 | family << 8 | model->model >> 4 << 16 |
           more << 20;
}

static void leaf_version(const struct query *q)
{
    q->out[0] = signature(q->model);
    q->out[1] = (q->place->apic_id & 255) << 24 | q->model->cpus << 16 | 64 / 8 << 8;
}

/* One descriptor: ask leaf 4. And prefetches are of 64 bytes. */
static void leaf_descriptors(const struct query *q)
{
    if (!is_amd(q->model)) {
        put(q->out, 0x0000ff01, 0x000000f0, 0, 0);
    }
}

static void leaf_caches(const struct query *q)
{
    if (q->subleaf < X86_CACHE_SUBLEAVES) {
        memcpy(q->out, q->model->cache[q->subleaf], sizeof q->model->cache[0]);
    }
}

/* Threads of a core: 1. Cores of the package: all CPUs. */
static void leaf_topology(const struct query *q)
{
    uint32_t shift = 0;

    while (UINT32_C(1) << shift < q->model->cpus) {
        shift++;
    }
    switch (q->subleaf) {
    case 0: put(q->out, 0, 1, 1 << 8 | 0, 0); break;
    case 1: put(q->out, shift, q->model->cpus, 2 << 8 | 1, 0); break;
    default: put(q->out, 0, 0, q->subleaf & 255, 0);
    }
    q->out[3] = q->place->apic_id;
}

/* Bytes of the XSAVE area in standard form for a set of components: x87 and SSE are in the legacy
 * part. The compacted form is as long, since AVX is the only component behind the header. */
static uint32_t xsave_size(uint64_t components)
{
    return components & 4 ? 576 + 256 : 576;
}

static void leaf_xsave(const struct query *q)
{
    uint64_t all = q->model->xcr0;

    if (!x86_has(&q->model->features, X86_FEATURE_XSAVE)) {
        return;
    }
    switch (q->subleaf) {
    case 0:
        put(q->out, (uint32_t)all, xsave_size(q->place->xcr0), xsave_size(all),
            (uint32_t)(all >> 32));
        break;
    case 1:
        if (x86_has(&q->model->features, X86_FEATURE_XSAVEC)) {
            q->out[1] = xsave_size(q->place->xcr0);
        }
        break;
    case 2:
        if (all & 4) {
            put(q->out, 256, 576, 0, 0);
        }
        break;
    }
}

static void leaf_hypervisor(const struct query *q)
{
    if (x86_has(&q->model->features, X86_FEATURE_HYPERVISOR)) {
        q->out[0] = 0x40000000;
        memcpy(&q->out[1], "VitrineVitri", 12);
    }
}

static void leaf_extended(const struct query *q)
{
    if (is_amd(q->model)) {
        q->out[0] = signature(q->model);
    }
}

static void leaf_brand(const struct query *q)
{
    memcpy(q->out, q->model->brand + 16 * (q->leaf - 0x80000002), 16);
}

static void leaf_caches_amd(const struct query *q)
{
    memcpy(q->out, q->model->cache_amd[q->leaf - 0x80000005], sizeof q->model->cache_amd[0]);
}

/* 48 bits of linear and physical addresses; the number of cores (AMD). */
static void leaf_addresses(const struct query *q)
{
    q->out[0] = 48 << 8 | 48;
    q->out[2] = is_amd(q->model) ? q->model->cpus - 1 : 0;
}

/* MONITOR's line; no extensions and no states below C0. */
static void leaf_monitor(const struct query *q)
{
    enum { LINE = 64 };

    if (x86_has(&q->model->features, X86_FEATURE_MONITOR)) {
        put(q->out, LINE, LINE, 0, 0);
    }
}

static const struct {
    uint32_t first, last;
    void (*fill)(const struct query *q);
} leaves[] = {
    {0x00000000, 0x00000000, leaf_vendor},      {0x00000001, 0x00000001, leaf_version},
    {0x00000002, 0x00000002, leaf_descriptors}, {0x00000004, 0x00000004, leaf_caches},
    {0x00000005, 0x00000005, leaf_monitor},     {0x0000000b, 0x0000000b, leaf_topology},
    {0x0000000d, 0x0000000d, leaf_xsave},       {0x40000000, 0x40000000, leaf_hypervisor},
    {0x80000000, 0x80000000, leaf_vendor},      {0x80000001, 0x80000001, leaf_extended},
    {0x80000002, 0x80000004, leaf_brand},       {0x80000005, 0x80000006, leaf_caches_amd},
    {0x80000008, 0x80000008, leaf_addresses},
};

/* Features that the model has and this place of execution shows. */
static bool shown(const struct query *q, enum x86_feature feature)
{
    switch (feature) {
    case X86_FEATURE_OSXSAVE: return q->place->osxsave && q->model->xcr0;
    case X86_FEATURE_OSPKE: return q->place->ospke && x86_has(&q->model->features, feature);
    case X86_FEATURE_APIC: return !q->place->no_apic && x86_has(&q->model->features, feature);
    case X86_FEATURE_HT: return x86_has(&q->model->features, feature) && q->model->cpus > 1;
    case X86_FEATURE_CMP_LEGACY:
        return x86_has(&q->model->features, feature) && q->model->cpus > 1 && is_amd(q->model);
    default: return x86_has(&q->model->features, feature);
    }
}

static void add_features(const struct query *q, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    for (enum x86_feature f = X86_FEATURE_NONE + 1; f < X86_FEATURE_COUNT; f++) {
        const struct x86_feature_place *place = &feature_places[f];
        if (place->leaf == leaf && place->subleaf == subleaf && shown(q, f)) {
            out[place->reg] |= UINT32_C(1) << place->bit;
        }
    }
}

void x86_cpuid(const struct x86_model *model, const struct x86_cpuid_place *place, uint32_t leaf,
               uint32_t subleaf, uint32_t out[4])
{
    struct x86_cpuid_place first = {.xcr0 = model->xcr0, .osxsave = true};
    struct query q = {model, place ? place : &first, leaf, subleaf, out};
    bool hypervisor = leaf >> 28 == 4;

    put(out, 0, 0, 0, 0);
    if (!hypervisor && leaf > (leaf >> 31 ? model->xlevel : model->level)) {
        return;
    }
    for (size_t i = 0; i < sizeof leaves / sizeof *leaves; i++) {
        if (leaf >= leaves[i].first && leaf <= leaves[i].last) {
            leaves[i].fill(&q);
        }
    }
    /* Only some leaves have subleaves; the others ignore ECX. */
    add_features(&q, leaf, leaf == 7 || leaf == 0xd ? subleaf : 0, out);
    if (leaf == 0x80000001 && is_amd(model)) {
        uint32_t one[4] = {0, 0, 0, 0};
        add_features(&q, 1, 0, one);
        out[3] |= one[3] & 0x0183f3ff; /* the bits that AMD repeats */
    }
}
