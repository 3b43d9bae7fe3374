/* SPDX-License-Identifier: MIT
 *
 * Making NICs by the names of their models, which are those of their classes. */
#include "device/nic.h"

#include <stdio.h>
#include <string.h>

#include "base/strbuf.h"
#include "net/net.h"

static bool is_nic(const struct device_class *class)
{
    return class->category && !strcmp(class->category, "Network");
}

static bool new_one(struct board *board, const struct net_nic *nic, const char *model,
                    struct error *err)
{
    const struct device_class *class = device_class_find(nic->model ? nic->model : model);
    const uint8_t *mac = nic->mac;
    char text[sizeof("00:00:00:00:00:00")];

    if (!class || !is_nic(class))
        return error_set(err, "Unsupported NIC model: %s", nic->model ? nic->model : model);
    snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
             mac[4], mac[5]);
    struct device *device = device_new(class, board);
    bool good = device_set(device, "mac", text, err) &&
                (!nic->name || device_set(device, "id", nic->name, err)) &&
                (!nic->address || device_set(device, "addr", nic->address, err));
    if (!good) {
        device_free(device);
        return error_prefix(err, "%s: ", nic->option);
    }
    if (nic->netdev)
        device_set_pointer(device, "netdev", nic->netdev);
    return device_realize(device, err) || error_prefix(err, "%s: ", nic->option);
}

bool nics_new(struct board *board, const char *model, struct error *err)
{
    const struct net_nic *nic;

    for (size_t i = 0; (nic = nets_nic(board->nets, i)); i++) {
        if (!new_one(board, nic, model, err))
            return false;
    }
    return true;
}

void nics_print_models(struct strbuf *text)
{
    const struct device_class *class;

    strbuf_puts(text, "Supported NIC models:\n");
    for (size_t i = 0; (class = device_class_at(i)); i++) {
        if (is_nic(class))
            strbuf_printf(text, "%s\n", class->name);
    }
}
