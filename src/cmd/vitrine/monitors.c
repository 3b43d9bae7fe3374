/* SPDX-License-Identifier: MIT
 *
 * The machine's monitors, once all is ready, and what they want of other rooms. */
#include "cmd/vitrine/setup.h"
#include "monitor/machine/attach.h"
#include "net/net.h"

static void network(void *opaque, struct strbuf *text)
{
    nets_print(((struct machine *)opaque)->nets, text);
}

static void user_network(void *opaque, struct strbuf *text)
{
    nets_print_user(((struct machine *)opaque)->nets, text);
}

bool setup_monitors(void *opaque, struct machine *machine, struct error *err)
{
    struct setup *setup = opaque;
    const struct machine_monitor_parts parts = {
        .opaque = machine, .network = network, .user_network = user_network};

    setup->faces = machine_monitors_new(machine, "vitrine " VITRINE_VERSION, &parts);
    for (unsigned i = 0; i < setup->monitors; i++) {
        if (!machine_monitors_add(setup->faces, setup->monitor[i], err)) {
            return error_prefix(err, "-monitor: ");
        }
    }
    return true;
}
