/* SPDX-License-Identifier: MIT
 *
 * Options about what the machine is made of. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/option.h"
#include "base/strbuf.h"
#include "cmd/vitrine/take.h"
#include "guest/x86/cpuid.h"

#define MIB     (UINT64_C(1) << 20)
#define RAM_MAX (UINT64_C(1) << 40)
#define PAGE    UINT64_C(4096)

enum { CACHE_MIB_MAX = 1024 };

/* --- -machine --- */

static bool set_executor(const struct options *o, const char *names, struct error *err);

enum machine_effect {
    EFFECT_NONE, /* taken, and nothing follows from it */
    EFFECT_OFF,  /* only off: on is what there is not */
    EFFECT_HPET,
    EFFECT_ACPI,
    EFFECT_I8042,
    EFFECT_GRAPHICS,
    EFFECT_KERNEL,
    EFFECT_INITRD,
    EFFECT_APPEND,
    EFFECT_FIRMWARE,
    EFFECT_EXECUTOR,
};

static const struct {
    const char *word;
    enum machine_effect effect;
} machine_words[] = {
    {"accel", EFFECT_EXECUTOR},
    {"usb", EFFECT_OFF},
    {"hpet", EFFECT_HPET},
    {"acpi", EFFECT_ACPI},
    {"i8042", EFFECT_I8042},
    {"graphics", EFFECT_GRAPHICS},
    {"kernel", EFFECT_KERNEL},
    {"initrd", EFFECT_INITRD},
    {"append", EFFECT_APPEND},

    {"firmware", EFFECT_FIRMWARE},
    {"smm", EFFECT_NONE},
    {"vmport", EFFECT_NONE},
    {"dump-guest-core", EFFECT_NONE},
    {"mem-merge", EFFECT_NONE},
    {"kernel-irqchip", EFFECT_NONE},
    {"kernel_irqchip", EFFECT_NONE},
    {"suppress-vmdesc", EFFECT_NONE},
    {"pcspk-audiodev", EFFECT_NONE},
    {"nvdimm", EFFECT_OFF},
    {"sata", EFFECT_OFF},
    {"default-bus-bypass-iommu", EFFECT_OFF},
    {"fd-bootchk", EFFECT_NONE},
    {"pit", EFFECT_NONE},
    {"hmat", EFFECT_OFF},
    {"smbus", EFFECT_NONE},
};

static bool take_machine_name(const char *name, struct error *err)
{
    static const char pc[] = "pc-i440fx-";

    if (is_help(name)) {
        puts("Supported machines are:\n"
             "pc                   Standard PC (i440FX + PIIX, 1996) (default)");
        return help_was_printed(err);
    }
    if (!strcmp(name, "pc") || !strncmp(name, pc, strlen(pc))) {
        return true;
    }
    return error_set(err, "unsupported machine type '%s'; there is pc (i440FX + PIIX)", name);
}

static bool flag(const char *key, const char *value, bool *to, bool turn, struct error *err)
{
    bool on;

    if (!option_bool(key, value, &on, err)) {
        return false;
    }
    *to = turn ? !on : on;
    return true;
}

static bool machine_word(void *opaque, const char *key, const char *value, struct error *err)
{
    struct options *o = opaque;
    struct machine_options *m = &o->machine;
    bool on;

    if (!strcmp(key, "type")) {
        return take_machine_name(value, err);
    }
    for (size_t i = 0; i < sizeof machine_words / sizeof machine_words[0]; i++) {
        if (strcmp(key, machine_words[i].word) != 0) {
            continue;
        }
        switch (machine_words[i].effect) {
        case EFFECT_NONE: return true;
        case EFFECT_OFF:
            return option_bool(key, value, &on, err) &&
                   (!on || error_set(err, "%s=on: there is nothing of the kind", key));
        case EFFECT_HPET: return flag(key, value, &m->no_hpet, true, err);
        case EFFECT_ACPI: return flag(key, value, &m->no_acpi, true, err);
        case EFFECT_I8042: return flag(key, value, &m->no_i8042, true, err);
        case EFFECT_GRAPHICS: return flag(key, value, &m->nographic, true, err);
        case EFFECT_KERNEL: m->kernel = mem_string(value); return true;
        case EFFECT_INITRD: m->initrd = mem_string(value); return true;
        case EFFECT_APPEND: m->append = mem_string(value); return true;
        case EFFECT_FIRMWARE: m->firmware = mem_string(value); return true;
        case EFFECT_EXECUTOR: return set_executor(o, value, err);
        }
    }
    return error_set(err, "Property 'pc.%s' not found", key);
}

bool take_machine(struct options *o, const char *value, struct error *err)
{
    return each_word(value, "type", machine_word, o, err);
}

/* --- -accel, -enable-kvm --- */

static void warn_of_kvm(const struct options *o)
{
    fprintf(stderr, "%s: warning: there is no KVM here: the guest is translated\n", o->program);
}

/* Names with colons between: the first that can be had. */
static bool set_executor(const struct options *o, const char *names, struct error *err)
{
    static const char *const hardware[] = {"kvm", "hvf", "whpx", "nvmm", "hax", "xen", NULL};
    bool is_hardware = false;

    for (const char *at = names; *at;) {
        size_t length = strcspn(at, ":");
        char *name = mem_stringn(at, length);
        bool tcg = !strcmp(name, "tcg"), known = tcg || word_index(name, hardware) >= 0;
        if (!known) {
            error_set(err, "invalid accelerator %s; there is tcg, the translator", name);
        }
        free(name);
        if (!known || tcg) {
            return known;
        }
        is_hardware = true;
        at += length + (at[length] == ':');
    }
    if (is_hardware) {
        warn_of_kvm(o);
    }
    return is_hardware || error_set(err, "no accelerator is named; there is tcg");
}

static bool accel_word(void *opaque, const char *key, const char *value, struct error *err)
{
    struct options *o = opaque;
    uint64_t size;

    if (!strcmp(key, "accel")) {
        return set_executor(o, value, err);
    }
    if (!strcmp(key, "thread")) {
        return !strcmp(value, "multi") || !strcmp(value, "single") ||
               error_set(err, "Invalid 'thread' setting %s; there is multi", value);
    }
    if (!strcmp(key, "tb-size")) {
        if (!option_number(key, value, 0, CACHE_MIB_MAX, &size, err)) {
            return false;
        }
        o->engine.cache_size = size * MIB;
        return true;
    }
    if (!strcmp(key, "one-insn-per-tb")) {
        return option_bool(key, value, &o->engine.one_instruction, err);
    }
    static const char *const of_hardware[] = {"kernel-irqchip", "kvm-shadow-mem", "dirty-ring-size",
                                              "split-wx",       "igd-passthru",   NULL};
    return word_index(key, of_hardware) >= 0 ||
           error_set(err, "Property 'tcg-accel.%s' not found", key);
}

bool take_accel(struct options *o, const char *value, struct error *err)
{
    if (is_help(value)) {
        puts("Accelerators supported in vitrine:\ntcg");
        return help_was_printed(err);
    }
    return each_word(value, "accel", accel_word, o, err);
}

bool take_kvm(struct options *o, const char *value, struct error *err)
{
    (void)value, (void)err;
    warn_of_kvm(o);
    return true;
}

/* --- -cpu, -smp, -m --- */

bool take_cpu(struct options *o, const char *value, struct error *err)
{
    if (is_help(value)) {
        x86_model_help(stdout);
        return help_was_printed(err);
    }
    o->cpu = value;
    return true;
}

/* 0: not given. */
struct topology {
    uint64_t cpus, maxcpus, sockets, dies, cores, threads;
};

static bool smp_word(void *opaque, const char *key, const char *value, struct error *err)
{
    struct topology *t = opaque;
    const struct {
        const char *key;
        uint64_t *to;
    } words[] = {{"cpus", &t->cpus}, {"maxcpus", &t->maxcpus}, {"sockets", &t->sockets},
                 {"dies", &t->dies}, {"cores", &t->cores},     {"threads", &t->threads}};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(key, words[i].key) != 0) {
            continue;
        }
        if (!option_number(key, value, 0, UINT32_MAX, words[i].to, err)) {
            return false;
        }
        return *words[i].to || error_set(err, "Invalid CPU topology: CPU topology parameters must "
                                              "be greater than zero");
    }
    return error_set(err,
                     "Invalid parameter '%s'; there are cpus, maxcpus, sockets, dies, cores, "
                     "threads",
                     key);
}

/* What was left open follows from the rest: cores first, as QEMU's machines since 6.2. */
static bool complete(struct topology *t, struct error *err)
{
    uint64_t wanted = t->maxcpus ? t->maxcpus : t->cpus;

    t->dies = t->dies ? t->dies : 1;
    if (!wanted) {
        t->sockets = t->sockets ? t->sockets : 1;
        t->cores = t->cores ? t->cores : 1;
        t->threads = t->threads ? t->threads : 1;
    } else if (!t->cores) {
        t->sockets = t->sockets ? t->sockets : 1;
        t->threads = t->threads ? t->threads : 1;
        t->cores = wanted / (t->sockets * t->dies * t->threads);
    } else if (!t->sockets) {
        t->threads = t->threads ? t->threads : 1;
        t->sockets = wanted / (t->dies * t->cores * t->threads);
    } else if (!t->threads) {
        t->threads = wanted / (t->sockets * t->dies * t->cores);
    }
    uint64_t product = t->sockets * t->dies * t->cores * t->threads;
    t->maxcpus = t->maxcpus ? t->maxcpus : wanted ? wanted : product;
    t->cpus = t->cpus ? t->cpus : t->maxcpus;
    if (product != t->maxcpus) {
        return error_set(err,
                         "Invalid CPU topology: product of the hierarchy must match maxcpus: "
                         "sockets (%llu) * dies (%llu) * cores (%llu) * threads (%llu) != maxcpus "
                         "(%llu)",
                         (unsigned long long)t->sockets, (unsigned long long)t->dies,
                         (unsigned long long)t->cores, (unsigned long long)t->threads,
                         (unsigned long long)t->maxcpus);
    }
    return t->cpus <= t->maxcpus ||
           error_set(err, "Invalid CPU topology: maxcpus must be equal to or greater than smp");
}

bool take_smp(struct options *o, const char *value, struct error *err)
{
    struct topology t = {0};

    if (!each_word(value, "cpus", smp_word, &t, err) || !complete(&t, err)) {
        return false;
    }
    if (t.maxcpus > MACHINE_CPUS_MAX) {
        return error_set(err, "Invalid SMP CPUs %llu. The max CPUs supported by machine 'pc' is %d",
                         (unsigned long long)t.maxcpus, MACHINE_CPUS_MAX);
    }
    o->machine.cpus = (unsigned)t.cpus;
    o->machine.cpus_max = (unsigned)t.maxcpus;
    o->machine.sockets = (unsigned)t.sockets;
    o->machine.cores = (unsigned)(t.cores * t.dies);
    o->machine.threads = (unsigned)t.threads;
    return true;
}

/* A number alone is MiB. */
static bool memory_word(void *opaque, const char *key, const char *value, struct error *err)
{
    struct options *o = opaque;
    bool bare = value[strspn(value, "0123456789")] == '\0';
    uint64_t size;

    if (!strcmp(key, "slots") || !strcmp(key, "maxmem")) {
        return error_set(err, "%s=%s: memory cannot be added while the machine runs", key, value);
    }
    if (strcmp(key, "size") != 0) {
        return error_set(err, "Invalid parameter '%s'; there is size", key);
    }
    char *text = bare && *value ? mem_format("%sM", value) : mem_string(value);
    bool good = option_size("size", text, 0, RAM_MAX, &size, err);
    free(text);
    if (!good) {
        return false;
    }
    size = (size + 2 * PAGE - 1) & ~(2 * PAGE - 1);
    o->machine.ram_size = size;
    return size == 0 || size >= MIB || error_set(err, "a PC has at least 1 MiB of memory");
}

bool take_memory(struct options *o, const char *value, struct error *err)
{
    return each_word(value, "size", memory_word, o, err);
}

/* --- -vga, -display --- */

bool take_vga(struct options *o, const char *value, struct error *err)
{
    static const char *const absent[] = {"cirrus", "vmware", "qxl", "virtio",
                                         "xenfb",  "tcx",    "cg3", NULL};

    if (is_help(value)) {
        puts("none                 no graphic card\n"
             "std                  standard VGA (default)");
        return help_was_printed(err);
    }
    o->has_vga = true;
    if (!strcmp(value, "none")) {
        o->machine.vga = VGA_NONE;
        return true;
    }
    if (!strcmp(value, "std")) {
        o->machine.vga = VGA_STD;
        return true;
    }
    return word_index(value, absent) >= 0
               ? error_set(err, "this graphics card is not available; there is std")
               : error_set(err, "unknown vga type: %s; there are std and none", value);
}

bool take_display(struct options *o, const char *value, struct error *err)
{
    static const struct {
        const char *word, *name;
    } absent[] = {{"gtk", "GTK"},
                  {"sdl", "SDL"},
                  {"curses", "curses"},
                  {"vnc", "VNC"},
                  {"spice-app", "spice"},
                  {"egl-headless", "EGL"},
                  {"dbus", "D-Bus display"},
                  {"cocoa", "Cocoa"}};
    size_t length = strcspn(value, ",=");

    if (is_help(value)) {
        puts("Available display backend types:\nnone");
        return help_was_printed(err);
    }
    o->has_display = true;
    if (!strcmp(value, "none")) {
        o->display_none = true;
        return true;
    }
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++) {
        if (length == strlen(absent[i].word) && !strncmp(value, absent[i].word, length)) {
            return error_set(err,
                             "%s support is disabled; there is none, and screendump in the "
                             "monitor",
                             absent[i].name);
        }
    }
    return error_set(err, "there is no such display; there is none, and screendump in the monitor");
}

bool take_nographic(struct options *o, const char *value, struct error *err)
{
    (void)value, (void)err;
    o->machine.nographic = true;
    o->display_none = true;
    return true;
}

/* --- switches --- */

bool take_nodefaults(struct options *o, const char *value, struct error *err)
{
    (void)value, (void)err;
    o->machine.no_default_devices = true;
    return true;
}

bool take_no_hpet(struct options *o, const char *value, struct error *err)
{
    (void)value, (void)err;
    o->machine.no_hpet = true;
    return true;
}

bool take_no_acpi(struct options *o, const char *value, struct error *err)
{
    (void)value, (void)err;
    o->machine.no_acpi = true;
    return true;
}

bool take_usb(struct options *o, const char *value, struct error *err)
{
    (void)o, (void)value;
    return error_set(err, "USB support is disabled; there are a PS/2 keyboard and mouse");
}

bool take_sandbox(struct options *o, const char *value, struct error *err)
{
    (void)o;
    return !strncmp(value, "off", 3) ||
           error_set(err, "sandboxing is not there; a container or a user of its own is near it");
}

bool take_ignored(struct options *o, const char *value, struct error *err)
{
    (void)o, (void)value, (void)err;
    return true;
}

/* --- -device, of which only help is for now --- */

bool take_device(struct options *o, const char *value, struct error *err)
{
    const char *comma = strchr(value, ',');
    struct strbuf text;

    strbuf_init(&text);
    if (is_help(value)) {
        device_print_classes(&text);
    } else if (comma && is_help(comma + 1)) {
        char *name = mem_stringn(value, (size_t)(comma - value));
        const struct device_class *class = device_class_find(name);
        if (!class) {
            error_set(err, "'%s' is not a valid device model name ('-device help' lists them)",
                      name);
            free(name);
            return false;
        }
        free(name);
        device_print_properties(class, &text);
    } else {
        /* Graphics cards, serial ports and so on take the place of those that nobody asked for. */
        o->has_vga |= !strncmp(value, "VGA", 3);
        if (!strncmp(value, "VGA", 3)) {
            o->machine.vga = VGA_NONE;
        }
        o->has_serial |= !strncmp(value, "isa-serial", 10);
        return true;
    }
    fputs(text.data, stdout);
    strbuf_free(&text);
    return help_was_printed(err);
}

/* --- -uuid --- */

/* xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx */
bool take_uuid(struct options *o, const char *value, struct error *err)
{
    enum { TEXT = 36 };
    uint8_t *to = o->machine.uuid;
    unsigned digits = 0;

    for (unsigned i = 0; i < TEXT && value[i]; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? value[i] != '-' : !isxdigit((unsigned char)value[i])) {
            break;
        }
        if (!dash) {
            unsigned digit =
                (unsigned)(isdigit((unsigned char)value[i]) ? value[i] - '0'
                                                            : (value[i] | 0x20) - 'a' + 10);
            to[digits / 2] = (uint8_t)(to[digits / 2] << 4 | digit);
            digits++;
        }
    }
    o->machine.has_uuid = true;
    return (digits == 32 && strlen(value) == TEXT) ||
           error_set(err, "failed to parse UUID: xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx is expected");
}
