/* SPDX-License-Identifier: MIT
 *
 * Hubs: what comes in at a port goes out of all others. `-net` knows no other wires. */
#include <stdlib.h>

#include "base/memory.h"
#include "base/strbuf.h"
#include "net/internal.h"

/* A frame is taken when any other port can send it on; those that cannot let it wait. */
static bool can_receive(void *opaque)
{
    const struct net_port *from = opaque;
    bool others = false;

    for (struct net_port *port = from->hub->first; port; port = port->next) {
        if (port != from && port->end.peer) {
            if (port->end.peer->queued < NET_QUEUE_MANY) {
                return true;
            }
            others = true;
        }
    }
    return !others;
}

static void receive(void *opaque, const uint8_t *frame, size_t size)
{
    const struct net_port *from = opaque;

    for (struct net_port *port = from->hub->first; port; port = port->next) {
        if (port != from) {
            net_send(&port->end, frame, size);
            net_can_send(&port->end); /* says that writable() is wanted */
        }
    }
}

static void writable(void *opaque)
{
    const struct net_port *to = opaque;

    for (struct net_port *port = to->hub->first; port; port = port->next) {
        if (port != to) {
            net_accept(&port->end);
        }
    }
}

static void describe(void *opaque, struct strbuf *text)
{
    strbuf_printf(text, "hubid=%d", ((const struct net_port *)opaque)->hub->id);
}

static void free_port(void *opaque)
{
    struct net_port *port = opaque;

    for (struct net_port **at = &port->hub->first; *at; at = &(*at)->next) {
        if (*at == port) {
            *at = port->next;
            break;
        }
    }
    free(port);
}

static const struct net_ops port_ops = {
    .type = "hubport",
    .can_receive = can_receive,
    .receive = receive,
    .writable = writable,
    .describe = describe,
    .free = free_port,
};

static struct net_hub *find_hub(struct nets *nets, int id)
{
    struct net_hub **at = &nets->hubs;

    while (*at && (*at)->id != id) {
        at = &(*at)->next;
    }
    if (!*at) {
        *at = mem_alloc(sizeof **at);
        (*at)->id = id;
    }
    return *at;
}

struct net_end *net_hub_port(struct nets *nets, int id, const char *name)
{
    struct net_hub *hub = find_hub(nets, id);
    struct net_port *port = mem_alloc(sizeof *port);
    char *made = name ? NULL : mem_format("hub%dport%u", id, hub->ports);

    hub->ports++;
    port->hub = hub;
    port->next = hub->first;
    hub->first = port;
    port->end.ops = &port_ops;
    port->end.opaque = port;
    net_end_add(nets, &port->end, name ? name : made);
    free(made);
    return &port->end;
}

bool net_is_port(const struct net_end *end)
{
    return end->ops == &port_ops;
}

int net_hub_of(const struct net_end *end)
{
    const struct net_end *port = net_is_port(end) ? end : end->peer;

    return port && net_is_port(port) ? ((const struct net_port *)port->opaque)->hub->id : -1;
}

void net_hubs_free(struct nets *nets)
{
    while (nets->hubs) {
        struct net_hub *hub = nets->hubs;
        nets->hubs = hub->next;
        free(hub);
    }
}
