/* SPDX-License-Identifier: MIT
 *
 * From options to a machine that runs.
 */
#ifndef VITRINE_SETUP_H
#define VITRINE_SETUP_H

#include "cmd/vitrine/options.h"
#include "machine/machine.h"

enum { MONITORS_MAX = 16 };

struct setup {
    struct options *options;
    struct machine *machine;
    struct x86_model *model; /* a copy: how many CPUs it says, and so on */
    bool option_roms;        /* there are some */
    unsigned serials;        /* of -serial, so far */
    unsigned debugcons;
    /* What monitors are to be put on when all is ready. */
    struct chardev *monitor[MONITORS_MAX];
    unsigned monitors, monitors_named;
    struct machine_monitors *faces;
};

/* Makes and builds the machine. */
bool setup_machine(struct setup *setup, struct options *options, struct error *err);
void setup_free(struct setup *setup);

/* lines.c: serial ports and monitors that nobody asked for. With the lock. */
bool setup_default_lines(struct setup *setup, struct error *err);
/* A monitor on a back end. */
bool setup_add_monitor(struct setup *setup, struct chardev *chardev, struct error *err);

/* monitors.c: puts the monitors on; a hook. */
bool setup_monitors(void *opaque, struct machine *machine, struct error *err);

#endif
