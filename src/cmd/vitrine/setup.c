/* SPDX-License-Identifier: MIT
 *
 * From options to a machine. */
#include "cmd/vitrine/setup.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "cmd/vitrine/take.h"
#include "guest/x86/cpuid.h"
#include "machine/boot.h"
#include "monitor/machine/attach.h"

enum { FW_CFG_FILE_MAX = 64 << 20 };

/* --- the CPU --- */

/* A copy of the model, which the options change: packages, and no 64-bit mode for i386. */
static bool make_model(struct setup *setup, struct error *err)
{
    const struct options *o = setup->options;
    const char *name = o->cpu ? o->cpu : o->guest == GUEST_I386 ? "qemu32" : "qemu64";

    const struct x86_model *model = x86_model_parse_system(name, NULL, NULL, err);
    if (!model) {
        return error_prefix(err, "-cpu %s: ", name);
    }
    setup->model = mem_alloc(sizeof *setup->model);
    *setup->model = *model;
    unsigned threads = o->machine.threads ? o->machine.threads : 1;
    setup->model->cpus = (o->machine.cores ? o->machine.cores : 1) * threads;
    if (o->guest == GUEST_I386) {
        x86_feature_set(&setup->model->features, X86_FEATURE_LM, false);
    }
    return true;
}

/* --- rows that name things of the machine --- */

bool apply_device(struct setup *setup, const char *value, struct error *err)
{
    return machine_add_device(setup->machine, value, err);
}

bool apply_global(struct setup *setup, const char *value, struct error *err)
{
    return machine_add_global(setup->machine, value, err);
}

struct fw_cfg_file {
    char *name, *file, *text;
};

static bool fw_cfg_word(void *opaque, const char *key, const char *value, struct error *err)
{
    struct fw_cfg_file *f = opaque;
    char **to = !strcmp(key, "name")     ? &f->name
                : !strcmp(key, "file")   ? &f->file
                : !strcmp(key, "string") ? &f->text
                                         : NULL;

    if (!to) {
        return error_set(err, "Invalid parameter '%s'; there are name, file, string", key);
    }
    free(*to);
    *to = mem_string(value);
    return true;
}

static bool add_fw_cfg(struct setup *setup, const struct fw_cfg_file *f, struct error *err)
{
    size_t size;

    if (!f->name || !f->file == !f->text) {
        return error_set(err, "a name and either file= or string= are wanted");
    }
    if (strncmp(f->name, "opt/", 4) != 0) {
        fprintf(stderr,
                "%s: -fw_cfg: warning: externally provided fw_cfg item names should be prefixed "
                "with \"opt/\"\n",
                setup->options->program);
    }
    if (f->text) {
        return machine_add_fw_cfg(setup->machine, f->name, f->text, strlen(f->text), err);
    }
    uint8_t *bytes = machine_read_file(setup->machine, f->file, false, FW_CFG_FILE_MAX, &size, err);
    bool good = bytes && machine_add_fw_cfg(setup->machine, f->name, bytes, size, err);
    free(bytes);
    return good;
}

bool apply_fw_cfg(struct setup *setup, const char *value, struct error *err)
{
    struct fw_cfg_file f = {NULL, NULL, NULL};
    bool good = each_word(value, "name", fw_cfg_word, &f, err) && add_fw_cfg(setup, &f, err);

    free(f.name);
    free(f.file);
    free(f.text);
    return good;
}

/* -option-rom FILE: for later, when there is firmware to be told. */
static bool add_option_roms(void *opaque, struct machine *machine, struct error *err)
{
    const struct options *o = ((struct setup *)opaque)->options;

    for (size_t i = 0; i < o->words; i++) {
        if (o->word[i].row->apply == apply_option_rom &&
            !boot_add_option_rom(machine, o->word[i].value, -1, err)) {
            return option_prefix(&o->word[i], err);
        }
    }
    return true;
}

bool apply_option_rom(struct setup *setup, const char *value, struct error *err)
{
    (void)value, (void)err;
    if (!setup->option_roms) {
        setup->option_roms = true;
        machine_hook(setup->machine, MACHINE_STAGE_KERNEL, add_option_roms, setup);
    }
    return true;
}

/* --- */

static void quit(void *opaque)
{
    machine_request_shutdown(opaque, SHUTDOWN_CAUSE_HOST_QMP_QUIT);
}

static bool apply_words(struct setup *setup, struct error *err)
{
    const struct options *o = setup->options;

    for (int turn = TURN_NOW + 1; turn < TURNS; turn++) {
        for (size_t i = 0; i < o->words; i++) {
            const struct option_word *word = &o->word[i];
            if ((int)word->row->turn == turn && !word->row->apply(setup, word->value, err)) {
                /* Drives say themselves where they come from. */
                return turn == TURN_DRIVES ? false : option_prefix(word, err);
            }
        }
    }
    return setup_default_lines(setup, err);
}

bool setup_machine(struct setup *setup, struct options *options, struct error *err)
{
    setup->options = options;
    if (options->machine.count_instructions && options->machine.cpus > 1) {
        return error_set(err, "-icount: time by instructions is that of one CPU; leave out -smp");
    }
    if (!make_model(setup, err)) {
        return false;
    }
    options->machine.model = setup->model;
    options->machine.engine = &options->engine;
    setup->machine = machine_new(&options->machine, err);
    if (!setup->machine) {
        return false;
    }
    machine_lock(setup->machine);
    chardevs_on_quit(setup->machine->chardevs, quit, setup->machine);
    machine_hook(setup->machine, MACHINE_STAGE_READY, setup_monitors, setup);
    bool good = apply_words(setup, err);
    machine_unlock(setup->machine);
    return good && machine_build(setup->machine, err);
}

void setup_free(struct setup *setup)
{
    if (setup->faces) {
        machine_lock(setup->machine);
        machine_monitors_free(setup->faces);
        machine_unlock(setup->machine);
    }
    machine_free(setup->machine);
    free(setup->model);
}
