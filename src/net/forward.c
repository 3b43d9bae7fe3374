/* SPDX-License-Identifier: MIT
 *
 * Ports of the host that lead into the guest (hostfwd), and addresses of the guest's network that
 * lead to something of the host (guestfwd). A port of the host without an address is 127.0.0.1's:
 * who wants others to reach the guest says so. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "net/user.h"
#include "trace-net.h"

/* The text up to the next `end`, which `*at` is moved behind. NULL: there is none. To be freed. */
static char *part(const char **at, char end)
{
    const char *found = strchr(*at, end);

    if (!found) {
        return NULL;
    }
    char *text = mem_stringn(*at, (size_t)(found - *at));
    *at = found + 1;
    return text;
}

static bool parse_port(const char *text, unsigned least, uint16_t *port)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);

    *port = (uint16_t)number;
    return *text >= '0' && *text <= '9' && !*end && number >= least && number <= 65535;
}

/* "tcp:HOST:": the rest is at `*at`. What is wrong; NULL: nothing. */
static const char *parse_host(const char **at, struct net_forward *forward)
{
    char *protocol = part(at, ':'), *host;
    const char *wrong = NULL;

    if (!protocol) {
        return "No : separators";
    }
    forward->udp = !strcmp(protocol, "udp");
    if (*protocol && !forward->udp && strcmp(protocol, "tcp")) {
        wrong = "Bad protocol name";
    }
    free(protocol);
    if (wrong) {
        return wrong;
    }
    host = part(at, ':');
    if (!host) {
        return "Missing : separator";
    }
    forward->host.s_addr = htonl(INADDR_LOOPBACK);
    if (*host && !inet_aton(host, &forward->host)) {
        wrong = "Bad host address";
    }
    free(host);
    return wrong;
}

static const char *parse_rule(const char *rule, struct net_forward *forward)
{
    const char *at = rule, *wrong = parse_host(&at, forward);
    char *text;

    if (wrong) {
        return wrong;
    }
    text = part(&at, '-');
    if (!text) {
        return "Bad host port separator";
    }
    if (!parse_port(text, 0, &forward->host_port)) {
        wrong = "Bad host port";
    }
    free(text);
    if (wrong) {
        return wrong;
    }
    text = part(&at, ':');
    if (!text) {
        return "Missing guest address";
    }
    if (*text && !inet_aton(text, &forward->guest)) {
        wrong = "Bad guest address";
    }
    free(text);
    if (wrong) {
        return wrong;
    }
    return parse_port(at, 1, &forward->guest_port) ? NULL : "Bad guest port";
}

bool net_forward_parse(const char *rule, struct net_forward *forward, struct error *err)
{
    memset(forward, 0, sizeof *forward);
    const char *wrong = parse_rule(rule, forward);
    return !wrong || error_set(err, "Invalid host forwarding rule '%s' (%s)", rule, wrong);
}

static bool add_forward(struct net_user *user, const char *rule, struct error *err)
{
    struct net_forward forward;

    if (!net_forward_parse(rule, &forward, err)) {
        return false;
    }
    errno = 0;
    if (slirp_add_hostfwd(user->slirp, forward.udp, forward.host, forward.host_port, forward.guest,
                          forward.guest_port)) {
        return error_set(err, "Could not set up host forwarding rule '%s'%s%s", rule,
                         errno ? ": " : "", errno ? strerror(errno) : "");
    }
    trace_slirp_forward(user->end.name, forward.udp, ntohl(forward.host.s_addr), forward.host_port,
                        ntohl(forward.guest.s_addr), forward.guest_port);
    timer_set(&user->kick, 0);
    return true;
}

/* "tcp:ADDRESS:PORT-cmd:COMMAND", "tcp:ADDRESS:PORT-unix:PATH" */
static bool add_guest_forward(struct net_user *user, const char *rule, struct error *err)
{
    const char *at = rule;
    char *protocol = part(&at, ':'), *address = part(&at, ':'), *number = part(&at, '-');
    struct in_addr guest = {0};
    uint16_t port;
    bool good = protocol && address && number && (!*protocol || !strcmp(protocol, "tcp")) &&
                (!*address || inet_aton(address, &guest)) && parse_port(number, 1, &port);

    free(protocol);
    free(address);
    free(number);
    if (!good) {
        return error_set(err, "Invalid guest forwarding rule '%s'", rule);
    }
    if (!strncmp(at, "cmd:", 4)) {
        good = at[4] && !slirp_add_exec(user->slirp, at + 4, &guest, port);
    } else if (!strncmp(at, "unix:", 5)) {
        good = at[5] && !slirp_add_unix(user->slirp, at + 5, &guest, port);
    } else {
        return error_set(err,
                         "guest forwarding to '%s' is not possible; there are cmd:COMMAND and "
                         "unix:PATH",
                         at);
    }
    return good ||
           error_set(err, "conflicting/invalid host:port in guest forwarding rule '%s'", rule);
}

bool net_user_forwards(struct net_user *user, const struct option_list *options, struct error *err)
{
    for (size_t i = 0; i < options->count; i++) {
        const char *key = options->pair[i].key, *value = options->pair[i].value;
        if (!strcmp(key, "hostfwd") && !add_forward(user, value ? value : "", err)) {
            return false;
        }
        if (!strcmp(key, "guestfwd") && !add_guest_forward(user, value ? value : "", err)) {
            return false;
        }
    }
    return true;
}

/* --- for the monitor --- */

static struct net_user *find_user(struct nets *nets, const char *id, struct error *err)
{
    for (struct net_end *end = nets->first; end; end = end->next) {
        if (net_is_user(end) && (!id || !strcmp(end->name, id))) {
            return end->opaque;
        }
    }
    if (id) {
        error_set(err, "unrecognized netdev id '%s'", id);
    } else {
        error_set(err, "user mode network stack not in use");
    }
    return NULL;
}

bool nets_forward(struct nets *nets, const char *id, const char *rule, struct error *err)
{
    struct net_user *user = find_user(nets, id, err);
    return user && add_forward(user, rule, err);
}

bool nets_forward_no_more(struct nets *nets, const char *id, const char *rule, struct error *err)
{
    struct net_user *user = find_user(nets, id, err);
    struct net_forward forward = {0};
    const char *at = rule;

    if (!user) {
        return false;
    }
    if (parse_host(&at, &forward) || !parse_port(at, 0, &forward.host_port)) {
        return error_set(err, "invalid format");
    }
    if (slirp_remove_hostfwd(user->slirp, forward.udp, forward.host, forward.host_port)) {
        return error_set(err, "host forwarding rule for %s not found", rule);
    }
    trace_slirp_forward_removed(user->end.name, forward.udp, ntohl(forward.host.s_addr),
                                forward.host_port);
    timer_set(&user->kick, 0);
    return true;
}
