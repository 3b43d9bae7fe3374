/* SPDX-License-Identifier: MIT
 *
 * Networks of the machine, and the NICs that -nic, -net and the default ask for.
 */
#include <stdio.h>
#include <string.h>

#include "machine/internal.h"
#include "net/net.h"

#define DEFAULT_NIC "e1000"

static bool is_nic(const struct device_class *class)
{
    return class->by_user && class->category && !strcmp(class->category, "Network");
}

void machine_print_nics(struct strbuf *text)
{
    const struct device_class *class;

    strbuf_puts(text, "Available NIC models:\n");
    for (size_t i = 0; (class = device_class_at(i)); i++) {
        if (is_nic(class)) {
            strbuf_printf(text, "%s\n", class->name);
        }
    }
}

static bool make_nic(struct machine *machine, const struct net_nic *nic, struct error *err)
{
    const char *model = nic->model ? nic->model : DEFAULT_NIC;
    const struct device_class *class = device_class_find(model);
    char mac[18];

    if (!class || !is_nic(class)) {
        return error_set(err, "Unsupported NIC model: %s (model=help lists them)", model);
    }
    struct device *device = machine_begin_device(machine, model, err);
    if (!device) {
        return false;
    }
    snprintf(mac, sizeof mac, "%02x:%02x:%02x:%02x:%02x:%02x", nic->mac[0], nic->mac[1],
             nic->mac[2], nic->mac[3], nic->mac[4], nic->mac[5]);
    if (!device_set(device, "mac", mac, err) ||
        (nic->name && !device_set(device, "id", nic->name, err)) ||
        (nic->address && !device_set(device, "addr", nic->address, err))) {
        device_free(device);
        return false;
    }
    device_set_pointer(device, "netdev", nic->netdev);
    return machine_end_device(machine, device, err);
}

bool machine_nics_make(struct machine *machine, struct error *err)
{
    const struct net_nic *nic;

    if (!nets_open(machine->nets, !machine->options->no_default_devices, DEFAULT_NIC, err)) {
        return false;
    }
    for (size_t i = 0; (nic = nets_nic(machine->nets, i)); i++) {
        if (!make_nic(machine, nic, err)) {
            return nic->option ? error_prefix(err, "%s: ", nic->option) : false;
        }
    }
    return true;
}

void machine_nics_warn(const struct machine *machine)
{
    struct strbuf lines;

    strbuf_init(&lines);
    nets_check(machine->nets, &lines);
    for (char *at = lines.data; *at;) {
        size_t length = strcspn(at, "\n");
        machine_warn(machine, "warning: %.*s", (int)length, at);
        at += length + (at[length] == '\n');
    }
    strbuf_free(&lines);
}
