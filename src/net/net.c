/* SPDX-License-Identifier: MIT
 *
 * Ends of wires: who is at the other one, what waits for whom; the set of them. */
#include "net/net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/strbuf.h"
#include "net/internal.h"
#include "trace-net.h"

/* Of the addresses that are made up; the last byte counts on. */
static const uint8_t first_mac[NET_MAC_SIZE] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};

/* --- the set --- */

struct nets *nets_new(struct loop *loop, struct clock *clock)
{
    struct nets *nets = mem_alloc(sizeof *nets);

    nets->loop = loop;
    nets->clock = clock;
    nets->running = true;
    nets->last = &nets->first;
    nets->last_option = &nets->options;
    return nets;
}

void nets_free(struct nets *nets)
{
    if (!nets) {
        return;
    }
    while (nets->first) {
        struct net_end *end = nets->first;
        net_end_remove(end);
        if (end->ops->free) {
            end->ops->free(end->opaque);
        }
    }
    net_hubs_free(nets);
    while (nets->options) {
        struct net_option_text *option = nets->options;
        nets->options = option->next;
        free(option->text);
        free(option);
    }
    for (size_t i = 0; i < nets->nics; i++) {
        free((char *)(uintptr_t)nets->nic[i].option);
        free((char *)(uintptr_t)nets->nic[i].model);
        free((char *)(uintptr_t)nets->nic[i].name);
        free((char *)(uintptr_t)nets->nic[i].address);
    }
    free(nets);
}

void net_end_add(struct nets *nets, struct net_end *end, const char *name)
{
    end->nets = nets;
    end->name = mem_string(name);
    end->next = NULL;
    end->last = &end->first;
    if (nets) {
        *nets->last = end;
        nets->last = &end->next;
    }
}

static void forget_frames(struct net_end *end)
{
    while (end->first) {
        struct net_frame *frame = end->first;
        end->first = frame->next;
        free(frame);
    }
    end->last = &end->first;
    end->queued = 0;
}

static void disconnect(struct net_end *end)
{
    struct net_end *peer = end->peer;

    if (!peer) {
        return;
    }
    forget_frames(end);
    forget_frames(peer);
    end->peer = peer->peer = NULL;
    end->peer_pauses = peer->peer_pauses = false;
}

void net_end_remove(struct net_end *end)
{
    struct nets *nets = end->nets;

    disconnect(end);
    forget_frames(end);
    net_dump_close(end);
    for (struct net_end **at = nets ? &nets->first : NULL; at && *at; at = &(*at)->next) {
        if (*at == end) {
            *at = end->next;
            break;
        }
    }
    if (nets) {
        nets->last = &nets->first;
        while (*nets->last) {
            nets->last = &(*nets->last)->next;
        }
    }
    free(end->name);
    end->name = NULL;
    end->nets = NULL;
}

void net_connect(struct net_end *a, struct net_end *b)
{
    a->peer = b;
    b->peer = a;
}

const char *net_name(const struct net_end *end)
{
    return end->name;
}

struct net_end *net_find(struct nets *nets, const char *id)
{
    struct net_end *end = nets->first;

    while (end && (end->is_nic || strcmp(end->name, id))) {
        end = end->next;
    }
    return end;
}

/* --- frames --- */

static bool takes(const struct net_end *end)
{
    if (end->is_nic && end->nets && !end->nets->running) {
        return false;
    }
    return !end->ops->can_receive || end->ops->can_receive(end->opaque);
}

static void receive(struct net_end *end, const uint8_t *frame, size_t size)
{
    end->delivering = true;
    end->ops->receive(end->opaque, frame, size);
    end->delivering = false;
}

static bool enqueue(struct net_end *end, const void *bytes, size_t size)
{
    if (end->queued >= NET_QUEUE_MAX) {
        return false;
    }
    struct net_frame *frame = mem_alloc(sizeof *frame + size);
    frame->size = size;
    memcpy(frame->bytes, bytes, size);
    *end->last = frame;
    end->last = &frame->next;
    end->queued++;
    trace_net_queue(end->name, size, end->queued);
    return true;
}

void net_accept(struct net_end *end)
{
    if (end->delivering) {
        return;
    }
    while (end->first && takes(end)) {
        struct net_frame *frame = end->first;
        end->first = frame->next;
        end->queued--;
        if (!end->first) {
            end->last = &end->first;
        }
        receive(end, frame->bytes, frame->size);
        free(frame);
    }
    if (end->peer_pauses && !end->queued && end->peer) {
        end->peer_pauses = false;
        trace_net_pause(end->peer->name, false);
        if (end->peer->ops->writable) {
            end->peer->ops->writable(end->peer->opaque);
        }
    }
}

static bool lost(const struct net_end *end, size_t size, const char *why)
{
    trace_net_lost(end->name ? end->name : "", size, why);
    return false;
}

bool net_send(struct net_end *end, const void *frame, size_t size)
{
    struct net_end *peer = end->peer;

    if (size < NET_HEADER_SIZE || size > NET_FRAME_MAX) {
        return lost(end, size, "its size");
    }
    if (!peer) {
        return lost(end, size, "nobody is there");
    }
    if (end->link_down || peer->link_down) {
        return lost(end, size, "no link");
    }
    trace_net_send(end->name, peer->name, size);
    net_dump(end, frame, size);
    net_dump(peer, frame, size);
    /* What waits goes first; who is receiving gets no frame on top of the one it has. */
    if (peer->first || peer->delivering || !takes(peer)) {
        return enqueue(peer, frame, size) || lost(end, size, "too many wait");
    }
    receive(peer, frame, size);
    /* What came in meanwhile. */
    if (peer->first) {
        net_accept(peer);
    }
    return true;
}

bool net_can_send(struct net_end *end)
{
    struct net_end *peer = end->peer;

    if (!peer || peer->queued < NET_QUEUE_MANY) {
        return true;
    }
    if (!peer->peer_pauses) {
        peer->peer_pauses = true;
        trace_net_pause(end->name, true);
    }
    return false;
}

void nets_run(struct nets *nets, bool running)
{
    nets->running = running;
    for (struct net_end *end = running ? nets->first : NULL; end; end = end->next) {
        net_accept(end);
    }
}

/* --- NICs --- */

bool net_mac_parse(const char *text, uint8_t mac[6])
{
    unsigned byte[NET_MAC_SIZE];
    int end = 0;

    for (const char *at = text; *at; at++) {
        if (!strchr("0123456789abcdefABCDEF:-", *at)) {
            return false;
        }
    }
    if ((sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &byte[0], &byte[1], &byte[2], &byte[3], &byte[4],
                &byte[5], &end) != NET_MAC_SIZE &&
         sscanf(text, "%2x-%2x-%2x-%2x-%2x-%2x%n", &byte[0], &byte[1], &byte[2], &byte[3], &byte[4],
                &byte[5], &end) != NET_MAC_SIZE) ||
        text[end]) {
        return false;
    }
    for (unsigned i = 0; i < NET_MAC_SIZE; i++) {
        mac[i] = (uint8_t)byte[i];
    }
    return true;
}

static bool is_made_up(const uint8_t mac[6])
{
    return !memcmp(mac, first_mac, NET_MAC_SIZE - 1);
}

void net_nic_choose_mac(struct nets *nets, uint8_t mac[6])
{
    static const uint8_t none[NET_MAC_SIZE];

    if (!memcmp(mac, none, NET_MAC_SIZE)) {
        memcpy(mac, first_mac, NET_MAC_SIZE);
        for (unsigned i = 0; nets && i < 256; i++) {
            uint8_t last = (uint8_t)(first_mac[NET_MAC_SIZE - 1] + i);
            if (!nets->macs[last]) {
                mac[NET_MAC_SIZE - 1] = last;
                break;
            }
        }
    }
    if (nets && is_made_up(mac) && nets->macs[mac[NET_MAC_SIZE - 1]] < UINT16_MAX) {
        nets->macs[mac[NET_MAC_SIZE - 1]]++;
    }
}

void net_nic_set_mac(struct net_end *nic, const uint8_t mac[6])
{
    memcpy(nic->mac, mac, NET_MAC_SIZE);
}

static char *nic_name(const struct nets *nets, const char *model)
{
    unsigned number = 0;

    for (const struct net_end *end = nets ? nets->first : NULL; end; end = end->next) {
        number += end->is_nic && !strcmp(end->model, model);
    }
    return mem_format("%s.%u", model, number);
}

bool net_nic_attach(struct net_end *nic, struct nets *nets, const char *model, const char *id,
                    struct net_end *netdev, const uint8_t mac[6], struct error *err)
{
    if (mac[0] & 1) {
        return error_set(err, "NIC cannot have multicast MAC address");
    }
    if (netdev && netdev->peer) {
        return error_set(err, "Property '%s.netdev' can't take value '%s', it's in use", model,
                         netdev->name);
    }
    char *name = id ? mem_string(id) : nic_name(nets, model);
    nic->is_nic = true;
    nic->model = model;
    memcpy(nic->mac, mac, NET_MAC_SIZE);
    net_end_add(nets, nic, name);
    free(name);
    if (netdev) {
        nic->link_down = netdev->link_down;
        net_connect(nic, netdev);
    }
    return true;
}

void net_nic_detach(struct net_end *nic)
{
    if (nic->name) {
        net_end_remove(nic);
    }
}

/* --- links --- */

static void set_link(struct net_end *end, bool up)
{
    if (end->link_down == !up) {
        return;
    }
    end->link_down = !up;
    trace_net_link(end->name, up);
    if (!up) {
        forget_frames(end);
    }
    if (end->ops->link_changed) {
        end->ops->link_changed(end->opaque);
    }
}

bool nets_set_link(struct nets *nets, const char *name, bool up, struct error *err)
{
    struct net_end *end = nets->first;

    while (end && strcmp(end->name, name)) {
        end = end->next;
    }
    if (!end) {
        return error_set(err, "Device '%s' not found", name);
    }
    set_link(end, up);
    if (end->peer && end->peer->is_nic && !end->is_nic) {
        set_link(end->peer, up);
    }
    return true;
}

bool nets_remove(struct nets *nets, const char *id, struct error *err)
{
    struct net_end *end = net_find(nets, id);

    if (!end) {
        return error_set(err, "Device '%s' not found", id);
    }
    struct net_end *peer = end->peer;
    net_end_remove(end);
    if (end->ops->free) {
        end->ops->free(end->opaque);
    }
    if (peer) {
        set_link(peer, false);
    }
    return true;
}

/* --- info network --- */

static void print_end(const struct net_end *end, struct strbuf *text)
{
    strbuf_printf(text, "%s: index=0,type=%s,", end->name, end->ops->type);
    if (end->is_nic) {
        const uint8_t *mac = end->mac;
        strbuf_printf(text, "model=%s,macaddr=%02x:%02x:%02x:%02x:%02x:%02x", end->model, mac[0],
                      mac[1], mac[2], mac[3], mac[4], mac[5]);
    } else if (end->ops->describe) {
        end->ops->describe(end->opaque, text);
    }
    strbuf_puts(text, "\n");
}

void nets_print(const struct nets *nets, struct strbuf *text)
{
    for (const struct net_hub *hub = nets->hubs; hub; hub = hub->next) {
        strbuf_printf(text, "hub %d\n", hub->id);
        for (const struct net_port *port = hub->first; port; port = port->next) {
            strbuf_printf(text, " \\ %s", port->end.name);
            if (port->end.peer) {
                strbuf_puts(text, ": ");
                print_end(port->end.peer, text);
            } else {
                strbuf_puts(text, "\n");
            }
        }
    }
    for (const struct net_end *end = nets->first; end; end = end->next) {
        if (net_hub_of(end) >= 0 || (end->peer && !end->is_nic)) {
            continue;
        }
        print_end(end, text);
        if (end->peer) {
            strbuf_puts(text, " \\ ");
            print_end(end->peer, text);
        }
    }
}

void nets_check(const struct nets *nets, struct strbuf *lines)
{
    for (const struct net_hub *hub = nets->hubs; hub; hub = hub->next) {
        bool nic = false, outside = false;
        for (const struct net_port *port = hub->first; port; port = port->next) {
            nic |= port->end.peer && port->end.peer->is_nic;
            outside |= port->end.peer && !port->end.peer->is_nic;
        }
        if (outside && !nic) {
            strbuf_printf(lines, "hub %d with no nics\n", hub->id);
        }
        if (nic && !outside) {
            strbuf_printf(lines, "hub %d is not connected to host network\n", hub->id);
        }
    }
    for (const struct net_end *end = nets->first; end; end = end->next) {
        if (!end->peer && net_hub_of(end) < 0) {
            strbuf_printf(lines, "%s %s has no peer\n", end->is_nic ? "nic" : "netdev", end->name);
        }
    }
}
