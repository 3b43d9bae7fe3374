/* SPDX-License-Identifier: MIT
 *
 * Making a CPU model: the row, what the user adds and takes away, what the translator executes,
 * what the host has. */
#include <cpuid.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/guess.h"
#include "base/memory.h"
#include "base/strbuf.h"
#include "guest/x86/cpuid.h"

enum { X86_REG_EAX, X86_REG_EBX, X86_REG_ECX, X86_REG_EDX };

enum needs { NOT_EXECUTED, OURS, HOST, HOST_YMM };

static const uint8_t executed[X86_FEATURE_COUNT] = {
#define X86_EXECUTED(feature, needs) [X86_FEATURE_##feature] = needs,
#include "guest/x86/models.def"
};

static const bool executed_system[X86_FEATURE_COUNT] = {
#define X86_EXECUTED_SYSTEM(feature) [X86_FEATURE_##feature] = true,
#include "guest/x86/models.def"
};

static const struct {
    uint8_t feature, on;
} depends[] = {
#define X86_DEPENDS(feature, on) {X86_FEATURE_##feature, X86_FEATURE_##on},
#include "guest/x86/models.def"
};

static const struct x86_feature_place absent[] = {
#define X86_ABSENT(name, leaf, subleaf, reg, bit) {name, leaf, subleaf, reg, bit},
#include "guest/x86/models.def"
};

struct feature_set {
    const struct feature_set *parent;
    uint8_t features[32]; /* ends with X86_FEATURE_NONE */
};
#define X86_SET(set, parent, features) \
    static const struct feature_set set_##set = {parent, {features X86_FEATURE_NONE}};
#include "guest/x86/models.def"

static const struct model_row {
    const char *name;
    const struct feature_set *set;
    const char *vendor; /* NULL: the host's, and all that is executed */
    uint32_t family, model, stepping, level, xlevel;
    const char *brand, *text;
} rows[] = {
#define X86_MODEL(name, set, vendor, family, model, stepping, level, xlevel, brand, text) \
    {name, &set_##set, vendor, family, model, stepping, level, xlevel, brand, text},
#include "guest/x86/models.def"
};

static const struct {
    const char *alias, *name, *text;
} aliases[] = {
#define X86_MODEL_ALIAS(alias, name, text) {alias, name, text},
#include "guest/x86/models.def"
};

static const struct {
    const char *alias, *name;
} feature_aliases[] = {
#define X86_FEATURE_ALIAS(alias, name) {alias, name},
#include "guest/x86/models.def"
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* --- the host */

static void host_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    memset(out, 0, 4 * sizeof *out);
    if (leaf <= (uint32_t)__get_cpuid_max(leaf & 0x80000000, NULL)) {
        __cpuid_count(leaf, subleaf, out[0], out[1], out[2], out[3]);
    }
}

/* State components that the host's system has switched on; 0 without XSAVE. */
static uint64_t host_xcr0(void)
{
    uint32_t out[4], low, high;

    host_cpuid(1, 0, out);
    if (!(out[2] >> 27 & 1)) {
        return 0;
    }
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

/* The features that are executed and that the host has; `system`: by a whole machine. */
static void available_features(struct x86_features *features, bool system)
{
    bool ymm = (host_xcr0() & 6) == 6;
    uint32_t leaf = UINT32_MAX, subleaf = 0, out[4] = {0};

    memset(features, 0, sizeof *features);
    for (enum x86_feature f = X86_FEATURE_NONE + 1; f < X86_FEATURE_COUNT; f++) {
        const struct x86_feature_place *place = x86_feature_place(f);
        if (place->leaf != leaf || place->subleaf != subleaf) {
            leaf = place->leaf;
            subleaf = place->subleaf;
            host_cpuid(leaf, subleaf, out);
        }
        bool host = out[place->reg] >> place->bit & 1;
        bool on = executed[f] == OURS || (system && executed_system[f]) ||
                  (executed[f] == HOST && host) || (executed[f] == HOST_YMM && host && ymm);
        x86_feature_set(features, f, on);
    }
}

static uint32_t host_cpus(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);

    return count < 1 ? 1 : count > 255 ? 255 : (uint32_t)count;
}

/* The valid bits of MXCSR, as FXSAVE stores them; 0 stands for ffbf (SDM vol. 1, 11.6.6). */
static uint32_t host_mxcsr_mask(void)
{
    _Alignas(16) uint8_t image[512] = {0};
    uint32_t mask;

    __asm__ volatile("fxsave %0" : "+m"(image));
    memcpy(&mask, image + 28, sizeof mask);
    return mask ? mask : 0xffbf;
}

static void take_host_identity(struct x86_model *model)
{
    uint32_t out[4], version;

    host_cpuid(0, 0, out);
    memcpy(model->vendor, &out[1], 4);
    memcpy(model->vendor + 4, &out[3], 4);
    memcpy(model->vendor + 8, &out[2], 4);
    host_cpuid(1, 0, out);
    version = out[0];
    model->stepping = version & 15;
    model->family = version >> 8 & 15;
    model->model = version >> 4 & 15;
    if (model->family == 6 || model->family == 15) {
        model->model |= version >> 12 & 0xf0;
    }
    if (model->family == 15) {
        model->family += version >> 20 & 255;
    }
    for (uint32_t i = 0; i < X86_CACHE_SUBLEAVES; i++) {
        host_cpuid(4, i, model->cache[i]);
        if (!(model->cache[i][0] & 31)) {
            break;
        }
    }
    host_cpuid(0x80000005, 0, model->cache_amd[0]);
    host_cpuid(0x80000006, 0, model->cache_amd[1]);
}

/* Level 1: 32 KiB, 8 ways, both; level 2: 256 KiB, 8 ways; level 3: 8 MiB, 16 ways, for all. */
static void take_usual_caches(struct x86_model *model)
{
    uint32_t cores = model->cpus > 64 ? 63 : model->cpus - 1;
    uint32_t package = cores << 26;
    static const uint32_t way8 = 7 << 22 | 63, way16 = 15 << 22 | 63;

    if (strcmp(model->vendor, "GenuineIntel") == 0) {
        uint32_t caches[4][4] = {
            {package | 1 << 8 | 1 << 5 | 1, way8, 63, 0},
            {package | 1 << 8 | 1 << 5 | 2, way8, 63, 0},
            {package | 1 << 8 | 2 << 5 | 3, way8, 511, 0},
            {package | cores << 14 | 1 << 8 | 3 << 5 | 3, way16, 8191, 2},
        };
        memcpy(model->cache, caches, sizeof caches);
        model->cache_amd[1][2] = 256 << 16 | 6 << 12 | 64;
    } else {
        model->cache_amd[0][2] = 32 << 24 | 8 << 16 | 1 << 8 | 64;
        model->cache_amd[0][3] = 32 << 24 | 8 << 16 | 1 << 8 | 64;
        model->cache_amd[1][2] = 256 << 16 | 6 << 12 | 1 << 8 | 64;
        model->cache_amd[1][3] = 16 << 18 | 8 << 12 | 1 << 8 | 64;
    }
}

/* --- names */

/* Feature names are the same in small and capital letters and with - for . and _. */
static bool same_feature(const char *name, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        char c = text[i] == '_' || text[i] == '.' ? '-' : text[i];
        char d = name[i] == '_' || name[i] == '.' ? '-' : name[i];
        if (c >= 'A' && c <= 'Z') {
            c = (char)(c - 'A' + 'a');
        }
        if (c != d) {
            return false;
        }
    }
    return name[length] == 0;
}

/* Up to three names that were perhaps meant. */
struct near {
    const char *text;
    size_t length;
    const char *name[3];
    unsigned distance[3];
};

static void near_offer(struct near *near, const char *name)
{
    unsigned limit = near->length < 4 ? 1 : near->length < 9 ? 2 : 4;
    unsigned distance = guess_distance(near->text, near->length, name, strlen(name));

    if (distance > limit) {
        return;
    }
    for (int i = 0; i < 3; i++) {
        if (!near->name[i] || distance < near->distance[i]) {
            for (int j = 2; j > i; j--) {
                near->name[j] = near->name[j - 1];
                near->distance[j] = near->distance[j - 1];
            }
            near->name[i] = name;
            near->distance[i] = distance;
            return;
        }
    }
}

static void near_add(const struct near *near, struct strbuf *text)
{
    for (int i = 0; i < 3 && near->name[i]; i++) {
        strbuf_printf(text, "%s%s", i ? ", " : "; near names: ", near->name[i]);
    }
    strbuf_puts(text, " (-cpu help lists all)");
}

static const struct model_row *find_row(const char *name, size_t length)
{
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (strlen(rows[i].name) == length && memcmp(rows[i].name, name, length) == 0) {
            return &rows[i];
        }
    }
    for (size_t i = 0; i < COUNT(aliases); i++) {
        if (strlen(aliases[i].alias) == length && memcmp(aliases[i].alias, name, length) == 0) {
            return find_row(aliases[i].name, strlen(aliases[i].name));
        }
    }
    return NULL;
}

static bool unknown_model(const char *name, size_t length, struct error *err)
{
    struct near near = {.text = name, .length = length};
    struct strbuf text;

    for (size_t i = 0; i < COUNT(rows); i++) {
        near_offer(&near, rows[i].name);
    }
    for (size_t i = 0; i < COUNT(aliases); i++) {
        near_offer(&near, aliases[i].alias);
    }
    strbuf_init(&text);
    near_add(&near, &text);
    error_set(err, "unable to find CPU model '%.*s'%s", (int)(length < 80 ? length : 80), name,
              text.data);
    strbuf_free(&text);
    return false;
}

static bool unknown_feature(const char *name, size_t length, struct error *err)
{
    struct near near = {.text = name, .length = length};
    struct strbuf text;

    for (enum x86_feature f = X86_FEATURE_NONE + 1; f < X86_FEATURE_COUNT; f++) {
        near_offer(&near, x86_feature_place(f)->name);
    }
    for (size_t i = 0; i < COUNT(absent); i++) {
        near_offer(&near, absent[i].name);
    }
    strbuf_init(&text);
    near_add(&near, &text);
    error_set(err, "CPU feature '%.*s' is not known%s", (int)(length < 80 ? length : 80), name,
              text.data);
    strbuf_free(&text);
    return false;
}

/* --- what the user asks for */

struct request {
    struct x86_features want;  /* of the row, and asked for */
    struct x86_features asked; /* asked for by name */
    x86_warn_fn *warn;
    void *opaque;
    bool system; /* for a whole machine */
};

static bool is_executed(const struct request *request, enum x86_feature feature)
{
    return executed[feature] || (request->system && executed_system[feature]);
}

__attribute__((format(printf, 2, 3))) static void warn(const struct request *request,
                                                       const char *format, ...)
{
    char sentence[256];
    va_list ap;

    va_start(ap, format);
    vsnprintf(sentence, sizeof sentence, format, ap);
    va_end(ap);
    request->warn(request->opaque, sentence);
}

static void warn_not_there(const struct request *request, const char *who,
                           const struct x86_feature_place *place)
{
    static const char *const registers[] = {"EAX", "EBX", "ECX", "EDX"};

    warn(request, "%s doesn't support requested feature: CPUID.%02XH:%s.%s [bit %d]", who,
         place->leaf, registers[place->reg], place->name, place->bit);
}

static bool ask_feature(struct request *request, const char *name, size_t length, bool on,
                        struct error *err)
{
    for (size_t i = 0; i < COUNT(feature_aliases); i++) {
        if (same_feature(feature_aliases[i].alias, name, length)) {
            name = feature_aliases[i].name;
            length = strlen(name);
        }
    }
    for (enum x86_feature f = X86_FEATURE_NONE + 1; f < X86_FEATURE_COUNT; f++) {
        if (same_feature(x86_feature_place(f)->name, name, length)) {
            x86_feature_set(&request->want, f, on);
            x86_feature_set(&request->asked, f, on);
            return true;
        }
    }
    for (size_t i = 0; i < COUNT(absent); i++) {
        if (same_feature(absent[i].name, name, length)) {
            if (on) {
                warn_not_there(request, "Vitrine", &absent[i]);
            }
            return true;
        }
    }
    return unknown_feature(name, length, err);
}

/* +f, -f, f, f=on, f=off */
static bool ask(struct request *request, const char *item, size_t length, struct error *err)
{
    const char *equals = memchr(item, '=', length);
    bool on = true;

    if (length && (*item == '+' || *item == '-') && !equals) {
        return ask_feature(request, item + 1, length - 1, *item == '+', err);
    }
    if (equals) {
        size_t rest = length - (size_t)(equals + 1 - item);
        on = rest == 2 && memcmp(equals + 1, "on", 2) == 0;
        if (!on && !(rest == 3 && memcmp(equals + 1, "off", 3) == 0)) {
            return error_set(err, "CPU feature '%.*s': expected on or off, not '%.*s'",
                             (int)(equals - item < 80 ? equals - item : 80), item,
                             (int)(rest < 80 ? rest : 80), equals + 1);
        }
        length = (size_t)(equals - item);
    }
    return ask_feature(request, item, length, on, err);
}

static void want_row(struct request *request, const struct model_row *row)
{
    for (const struct feature_set *set = row->set; set; set = set->parent) {
        for (const uint8_t *f = set->features; *f; f++) {
            x86_feature_set(&request->want, *f, true);
        }
    }
    for (enum x86_feature f = X86_FEATURE_NONE + 1; f < X86_FEATURE_COUNT && !row->vendor; f++) {
        x86_feature_set(&request->want, f, is_executed(request, f) && f != X86_FEATURE_HYPERVISOR);
    }
    /* A machine says what it is, of whatever model: systems then do not take what is missing, as
     * counters of events, for broken. */
    if (request->system) {
        x86_feature_set(&request->want, X86_FEATURE_HYPERVISOR, true);
    }
}

/* Takes away what cannot be had, with warnings where it was asked for. */
static void settle(struct request *request)
{
    struct x86_features available;

    available_features(&available, request->system);
    if (request->system && x86_has(&request->want, X86_FEATURE_PKU)) {
        x86_feature_set(&request->want, X86_FEATURE_OSPKE, true);
    }
    for (enum x86_feature f = X86_FEATURE_NONE + 1; f < X86_FEATURE_COUNT; f++) {
        if (x86_has(&request->want, f) && !x86_has(&available, f)) {
            x86_feature_set(&request->want, f, false);
            if (x86_has(&request->asked, f)) {
                warn_not_there(request, is_executed(request, f) ? "the host's CPU" : "Vitrine",
                               x86_feature_place(f));
            }
        }
    }
    for (size_t i = 0; i < COUNT(depends); i++) {
        enum x86_feature f = depends[i].feature, on = depends[i].on;
        if (x86_has(&request->want, f) && !x86_has(&request->want, on)) {
            x86_feature_set(&request->want, f, false);
            if (x86_has(&request->asked, f)) {
                warn(request, "CPU feature %s needs %s, which is off: it stays off too",
                     x86_feature_place(f)->name, x86_feature_place(on)->name);
            }
        }
    }
    /* The user's system uses XSAVE where there is one. */
    x86_feature_set(&request->want, X86_FEATURE_OSXSAVE,
                    x86_has(&request->want, X86_FEATURE_XSAVE));
}

/* The level covers the leaves of all features: a feature that was added would not be seen else. */
static void raise_levels(struct x86_model *model)
{
    for (enum x86_feature f = X86_FEATURE_NONE + 1; f < X86_FEATURE_COUNT; f++) {
        uint32_t leaf = x86_feature_place(f)->leaf;
        uint32_t *level = leaf >> 31 ? &model->xlevel : &model->level;
        if (x86_has(&model->features, f) && *level < leaf) {
            *level = leaf;
        }
    }
    if (model->xcr0 && model->level < 0xd) {
        model->level = 0xd;
    }
}

static const struct x86_model *make(const struct model_row *row, const struct request *request)
{
    struct x86_model *model = mem_alloc(sizeof *model);
    uint32_t out[4];

    model->name = row->name;
    model->family = row->family;
    model->model = row->model;
    model->stepping = row->stepping;
    model->level = row->level;
    model->xlevel = row->xlevel;
    model->features = request->want;
    model->cpus = host_cpus();
    memcpy(model->brand, row->brand, strlen(row->brand));
    if (row->vendor) {
        memcpy(model->vendor, row->vendor, 12);
        take_usual_caches(model);
    } else {
        take_host_identity(model);
    }
    if (x86_has(&model->features, X86_FEATURE_XSAVE)) {
        model->xcr0 = x86_has(&model->features, X86_FEATURE_AVX) ? 7 : 3;
    }
    raise_levels(model);
    model->mxcsr_mask = host_mxcsr_mask();
    host_cpuid(0, 0, out);
    model->pointers_when_pending =
        memcmp(&out[1], "Auth", 4) == 0 || memcmp(&out[1], "Hygo", 4) == 0;
    return model;
}

static const struct x86_model *parse(const char *text, bool system, x86_warn_fn *warn_fn,
                                     void *opaque, struct error *err)
{
    struct request request = {.warn = warn_fn, .opaque = opaque, .system = system};
    const struct model_row *row;
    size_t length;

    if (!text) {
        text = "max";
    }
    length = strcspn(text, ",");
    row = find_row(text, length);
    if (!row) {
        unknown_model(text, length, err);
        return NULL;
    }
    if (length == 4 && memcmp(text, "host", 4) == 0) {
        warn(&request, "CPU model host is max here: what the host's CPU has, without what is not "
                       "translated");
    }
    want_row(&request, row);
    for (text += length; *text; text += length) {
        text++;
        length = strcspn(text, ",");
        if (length && !ask(&request, text, length, err)) {
            return NULL;
        }
    }
    settle(&request);
    return make(row, &request);
}

static void warn_on_stderr(void *opaque, const char *sentence)
{
    (void)opaque;
    fprintf(stderr, "vitrine: warning: %s\n", sentence);
}

const struct x86_model *x86_model_parse_warn(const char *text, x86_warn_fn *warn_fn, void *opaque,
                                             struct error *err)
{
    return parse(text, false, warn_fn, opaque, err);
}

const struct x86_model *x86_model_parse_system(const char *text, x86_warn_fn *warn_fn, void *opaque,
                                               struct error *err)
{
    return parse(text, true, warn_fn ? warn_fn : warn_on_stderr, opaque, err);
}

const struct x86_model *x86_model_parse(const char *text, struct error *err)
{
    return x86_model_parse_warn(text, warn_on_stderr, NULL, err);
}

void x86_model_system_code(const struct x86_model *model, uint64_t start, uint64_t end)
{
    struct x86_model *changed = (void *)(uintptr_t)model;

    changed->system_code_start = start;
    changed->system_code_end = end;
}

void x86_model_free(const struct x86_model *model)
{
    free((void *)(uintptr_t)model);
}

/* --- help */

struct help_line {
    const char *name, *text, *alias_of;
};

/* By name, but max at the end. */
static int compare_lines(const void *a, const void *b)
{
    const struct help_line *left = a, *right = b;
    int last = (strcmp(left->name, "max") == 0) - (strcmp(right->name, "max") == 0);

    return last ? last : strcmp(left->name, right->name);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void help_models(FILE *out)
{
    struct help_line lines[COUNT(rows) + COUNT(aliases)];
    size_t count = 0;

    for (size_t i = 0; i < COUNT(rows); i++) {
        lines[count++] =
            (struct help_line){rows[i].name, rows[i].text ? rows[i].text : rows[i].brand, NULL};
    }
    for (size_t i = 0; i < COUNT(aliases); i++) {
        lines[count++] = (struct help_line){aliases[i].alias, aliases[i].text, aliases[i].name};
    }
    qsort(lines, count, sizeof *lines, compare_lines);
    fputs("Available CPUs:\n", out);
    for (size_t i = 0; i < count; i++) {
        if (lines[i].text) {
            fprintf(out, "x86 %-20s  %s\n", lines[i].name, lines[i].text);
        } else {
            fprintf(out, "x86 %-20s  (alias of %s)\n", lines[i].name, lines[i].alias_of);
        }
    }
}

static void help_features(FILE *out)
{
    const char *names[X86_FEATURE_COUNT + COUNT(absent)];
    size_t count = 0, column = 0;

    for (enum x86_feature f = X86_FEATURE_NONE + 1; f < X86_FEATURE_COUNT; f++) {
        names[count++] = x86_feature_place(f)->name;
    }
    for (size_t i = 0; i < COUNT(absent); i++) {
        names[count++] = absent[i].name;
    }
    qsort(names, count, sizeof *names, compare_names);
    fputs("\nRecognized CPUID flags:\n", out);
    for (size_t i = 0; i < count; i++) {
        if (column && column + 1 + strlen(names[i]) > 75) {
            fputc('\n', out);
            column = 0;
        }
        fprintf(out, "%s%s", column ? " " : "  ", names[i]);
        column += strlen(names[i]) + (column ? 1 : 2);
    }
    fputs("\n\n", out);
}

void x86_model_help(FILE *out)
{
    help_models(out);
    help_features(out);
}
