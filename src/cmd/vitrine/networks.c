/* SPDX-License-Identifier: MIT
 *
 * Options about networks, whose words the room net knows. */
#include <stdio.h>

#include "base/strbuf.h"
#include "cmd/vitrine/take.h"
#include "net/net.h"

static bool take_any(enum net_option which, const char *value, struct error *err)
{
    struct strbuf text;
    bool models = false;

    strbuf_init(&text);
    bool help = net_option_help(which, value, &text, &models);
    if (help && models) {
        machine_print_nics(&text);
    }
    if (help) {
        fputs(text.data, stdout);
    }
    strbuf_free(&text);
    return help ? help_was_printed(err) : true;
}

bool take_netdev(struct options *o, const char *value, struct error *err)
{
    (void)o;
    return take_any(NET_OPTION_NETDEV, value, err);
}

bool take_nic(struct options *o, const char *value, struct error *err)
{
    (void)o;
    return take_any(NET_OPTION_NIC, value, err);
}

bool take_net(struct options *o, const char *value, struct error *err)
{
    (void)o;
    return take_any(NET_OPTION_NET, value, err);
}

/* They are opened all together, when devices are made. */
static bool note(struct setup *setup, enum net_option which, const char *value)
{
    nets_option(setup->machine->nets, which, value);
    return true;
}

bool apply_netdev(struct setup *setup, const char *value, struct error *err)
{
    (void)err;
    return note(setup, NET_OPTION_NETDEV, value);
}

bool apply_nic(struct setup *setup, const char *value, struct error *err)
{
    (void)err;
    return note(setup, NET_OPTION_NIC, value);
}

bool apply_net(struct setup *setup, const char *value, struct error *err)
{
    (void)err;
    return note(setup, NET_OPTION_NET, value);
}

bool apply_object(struct setup *setup, const char *value, struct error *err)
{
    (void)err;
    return note(setup, NET_OPTION_OBJECT, value);
}
