/* SPDX-License-Identifier: MIT
 *
 * The machine's monitors, once all is ready, and what they want of other rooms. */
#include "cmd/vitrine/setup.h"
#include "display/display.h"
#include "monitor/machine/attach.h"
#include "net/net.h"

static void network(void *opaque, struct strbuf *text)
{
    nets_print(((struct machine *)opaque)->nets, text);
}

static bool screendump(void *opaque, const char *device, const char *file, const char *format,
                       struct error *err)
{
    const struct machine *machine = opaque;
    struct display_console *console = display_console_find(machine->board.consoles, device);
    enum display_format what = DISPLAY_PPM;

    if (!console) {
        return device ? error_set(err, "there is no screen of a device '%s'", device)
                      : error_set(err, "There is no console to take a screendump from");
    }
    return display_format_parse(format ? format : "ppm", &what, err) &&
           display_screendump(console, file, what, err);
}

bool setup_monitors(void *opaque, struct machine *machine, struct error *err)
{
    struct setup *setup = opaque;
    const struct machine_monitor_parts parts = {
        .opaque = machine, .network = network, .screendump = screendump};

    setup->faces = machine_monitors_new(machine, "vitrine " VITRINE_VERSION, &parts);
    for (unsigned i = 0; i < setup->monitors; i++) {
        if (!machine_monitors_add(setup->faces, setup->monitor[i], err)) {
            return error_prefix(err, "-monitor: ");
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
