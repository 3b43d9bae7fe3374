/* SPDX-License-Identifier: MIT
 *
 * Monitors: put on the back ends that options named, when the machine is ready. */
#include "cmd/vitrine/setup.h"
#include "monitor/machine/attach.h"

static bool attach(void *opaque, struct machine *machine, struct error *err)
{
    struct setup *setup = opaque;

    setup->machine_monitors = machine_monitors_new(machine, "Vitrine " VITRINE_VERSION, NULL);
    for (unsigned i = 0; i < setup->monitors; i++) {
        if (!machine_monitors_add(setup->machine_monitors, setup->monitor[i], err)) {
            return false;
        }
    }
    return true;
}

void setup_monitors(struct setup *setup)
{
    machine_hook(setup->machine, MACHINE_STAGE_READY, attach, setup);
}

void setup_free_monitors(struct setup *setup)
{
    if (setup->machine_monitors) {
        machine_lock(setup->machine);
        machine_monitors_free(setup->machine_monitors);
        machine_unlock(setup->machine);
        setup->machine_monitors = NULL;
    }
}
