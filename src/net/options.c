/* SPDX-License-Identifier: MIT
 *
 * -netdev, -nic and -net: what they open, and the NICs that they ask for. Back ends come first,
 * whatever the order of the options, so that -net nic,netdev=ID finds its own. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/strbuf.h"
#include "net/internal.h"

static const char *const option_words[] = {
    [NET_OPTION_NETDEV] = "-netdev",
    [NET_OPTION_NIC] = "-nic",
    [NET_OPTION_NET] = "-net",
    [NET_OPTION_OBJECT] = "-object",
};

void nets_option(struct nets *nets, enum net_option which, const char *text)
{
    struct net_option_text *option = mem_alloc(sizeof *option);

    option->which = which;
    option->text = mem_string(text);
    *nets->last_option = option;
    nets->last_option = &option->next;
}

/* --- words --- */

const char *net_option_value(const struct option_list *options, const char *key)
{
    const char *value = NULL;

    for (size_t i = 0; i < options->count; i++) {
        if (!strcmp(options->pair[i].key, key)) {
            value = options->pair[i].value ? options->pair[i].value : "on";
        }
    }
    return value;
}

static bool check_id(const char *id, struct error *err)
{
    bool good = isalpha((unsigned char)id[0]);

    for (const char *at = id; *at; at++) {
        good &= isalnum((unsigned char)*at) || *at == '-' || *at == '.' || *at == '_';
    }
    return good || error_set(err, "Parameter 'id' expects an identifier: letters, digits, '-', '.' "
                                  "and '_', with a letter first");
}

static bool is_among(const char *key, const char *const *words)
{
    while (*words && strcmp(*words, key)) {
        words++;
    }
    return *words;
}

static bool check_keys(const struct option_list *options, const char *const *words,
                       struct error *err)
{
    for (size_t i = 0; i < options->count; i++) {
        if (!is_among(options->pair[i].key, words)) {
            return error_set(err, "Invalid parameter '%s'", options->pair[i].key);
        }
    }
    return true;
}

bool net_option_help(enum net_option which, const char *option, struct strbuf *text, bool *models)
{
    struct option_list options;
    bool help = false;

    *models = false;
    if (which == NET_OPTION_OBJECT || !option_list_parse(&options, option, "type", NULL)) {
        return false;
    }
    const char *type = net_option_value(&options, "type");
    const char *model = net_option_value(&options, "model");
    if (type && (!strcmp(type, "help") || !strcmp(type, "?"))) {
        strbuf_printf(text, "Available netdev backend types:\n%shubport\nuser\n",
                      which == NET_OPTION_NETDEV ? ""
                      : which == NET_OPTION_NET  ? "none\nnic\n"
                                                 : "none\n");
        help = true;
    } else if (which != NET_OPTION_NETDEV && model &&
               (!strcmp(model, "help") || !strcmp(model, "?"))) {
        *models = help = true;
    }
    option_list_free(&options);
    return help;
}

/* --- back ends --- */

static struct net_end *open_port(struct nets *nets, const char *name,
                                 const struct option_list *options, struct error *err)
{
    static const char *const words[] = {"type", "id", "hubid", "netdev", NULL};
    const char *id = net_option_value(options, "hubid");
    const char *netdev = net_option_value(options, "netdev");
    struct net_end *behind = NULL;
    uint64_t number;

    if (!check_keys(options, words, err)) {
        return NULL;
    }
    if (!id) {
        error_set(err, "Parameter 'hubid' is missing");
        return NULL;
    }
    if (!option_number("hubid", id, 0, INT32_MAX, &number, err)) {
        return NULL;
    }
    if (netdev && !(behind = net_find(nets, netdev))) {
        error_set(err, "netdev '%s' not found", netdev);
        return NULL;
    }
    if (behind && (behind->peer || net_is_port(behind))) {
        error_set(err, "netdev '%s' %s", netdev,
                  behind->peer ? "is in use" : "is a port of a hub itself");
        return NULL;
    }
    struct net_end *port = net_hub_port(nets, (int)number, name);
    if (behind) {
        net_connect(port, behind);
    }
    return port;
}

/* The options without the keys of `words`: what a back end gets. */
static struct option_list without(const struct option_list *options, const char *const *words)
{
    struct option_list some = {mem_alloc((options->count + 1) * sizeof(struct option_pair)), 0};

    for (size_t i = 0; i < options->count; i++) {
        if (!is_among(options->pair[i].key, words)) {
            some.pair[some.count++] = options->pair[i];
        }
    }
    return some;
}

/* `id` NULL: a name is made up. */
static struct net_end *open_back_end(struct nets *nets, const char *id,
                                     const struct option_list *options, struct error *err)
{
    const char *type = net_option_value(options, "type");
    struct net_end *end = NULL;
    char *made = NULL;

    if (!type) {
        error_set(err, "Parameter 'type' is missing");
        return NULL;
    }
    if (id && !check_id(id, err)) {
        return NULL;
    }
    if (id && net_find(nets, id)) {
        error_set(err, "Duplicate ID '%s' for netdev", id);
        return NULL;
    }
    if (!id) {
        id = made = mem_format("#net%03u", nets->names++);
    }
    if (!strcmp(type, "user")) {
        end = net_user_open(nets, id, options, err);
    } else if (!strcmp(type, "hubport")) {
        end = open_port(nets, id, options, err);
    } else {
        error_set(err,
                  "Parameter 'type' does not accept value '%s'; there are 'user' and "
                  "'hubport'",
                  type);
    }
    free(made);
    return end;
}

static bool open_netdev(struct nets *nets, const struct option_list *options, struct error *err)
{
    const char *id = net_option_value(options, "id");

    if (!net_option_value(options, "type")) {
        return error_set(err, "Parameter 'type' is missing");
    }
    if (!id) {
        return error_set(err, "Parameter 'id' is missing");
    }
    return open_back_end(nets, id, options, err) != NULL;
}

bool nets_add(struct nets *nets, const char *text, struct error *err)
{
    struct option_list options;
    bool good;

    if (!option_list_parse(&options, text, "type", err)) {
        return false;
    }
    good = open_netdev(nets, &options, err);
    option_list_free(&options);
    return good;
}

/* --- NICs --- */

const struct net_nic *nets_nic(const struct nets *nets, size_t i)
{
    return i < nets->nics ? &nets->nic[i] : NULL;
}

/* Takes the values of "model", `mac_key` and, of -net nic, "id" and "addr". */
static struct net_nic *new_nic(struct nets *nets, const char *what,
                               const struct option_list *options, const char *mac_key,
                               struct error *err)
{
    const char *mac = options ? net_option_value(options, mac_key) : NULL;
    bool of_net = !strcmp(mac_key, "macaddr");

    if (nets->nics == NET_NICS_MAX) {
        error_set(err, "no more on-board/default NIC slots available");
        return NULL;
    }
    struct net_nic *nic = &nets->nic[nets->nics];
    memset(nic, 0, sizeof *nic);
    if (mac && !net_mac_parse(mac, nic->mac)) {
        error_set(err, "invalid syntax for ethernet address");
        return NULL;
    }
    if (nic->mac[0] & 1) {
        error_set(err, "NIC cannot have multicast MAC address");
        return NULL;
    }
    net_nic_choose_mac(nets, nic->mac);
    nic->option = mem_string(what);
    nic->model = options ? mem_string(net_option_value(options, "model")) : NULL;
    nic->name = options && of_net ? mem_string(net_option_value(options, "id")) : NULL;
    nic->address = options && of_net ? mem_string(net_option_value(options, "addr")) : NULL;
    nets->nics++;
    return nic;
}

static bool open_nic(struct nets *nets, const char *what, const struct option_list *options,
                     struct error *err)
{
    static const char *const words[] = {"model", "mac", NULL};
    const char *type = net_option_value(options, "type");

    if (type && !strcmp(type, "none")) {
        return true;
    }
    struct net_nic *nic = new_nic(nets, what, options, "mac", err);
    if (!nic) {
        return false;
    }
    struct option_list rest = without(options, words);
    nic->netdev = open_back_end(nets, net_option_value(&rest, "id"), &rest, err);
    free(rest.pair);
    return nic->netdev;
}

static bool open_net_nic(struct nets *nets, const char *what, const struct option_list *options,
                         struct error *err)
{
    static const char *const words[] = {"type",  "id",   "netdev",  "macaddr",
                                        "model", "addr", "vectors", NULL};
    const char *netdev = net_option_value(options, "netdev");
    const char *vectors = net_option_value(options, "vectors");
    struct net_end *end = NULL;
    uint64_t number;

    if (!check_keys(options, words, err) ||
        (vectors && !option_number("vectors", vectors, 0, 0x7ffffff, &number, err))) {
        return false;
    }
    if (netdev && !(end = net_find(nets, netdev))) {
        return error_set(err, "netdev '%s' not found", netdev);
    }
    struct net_nic *nic = new_nic(nets, what, options, "macaddr", err);
    if (!nic) {
        return false;
    }
    nic->netdev = end ? end : net_hub_port(nets, 0, NULL);
    return true;
}

/* A back end on hub 0. */
static bool open_net(struct nets *nets, const char *what, const struct option_list *options,
                     struct error *err)
{
    const char *type = net_option_value(options, "type");

    if (type && !strcmp(type, "none")) {
        return true;
    }
    if (type && !strcmp(type, "nic")) {
        return open_net_nic(nets, what, options, err);
    }
    if (type && !strcmp(type, "hubport")) {
        return error_set(err, "Parameter 'type' does not accept value 'hubport'; -netdev does");
    }
    struct net_end *end = open_back_end(nets, net_option_value(options, "id"), options, err);
    if (!end) {
        return false;
    }
    net_connect(net_hub_port(nets, 0, NULL), end);
    return true;
}

static bool open_default(struct nets *nets, const char *model, struct error *err)
{
    struct option_list user;
    struct net_nic *nic =
        new_nic(nets, "the network that is there without options", NULL, "mac", err);

    if (!nic) {
        return false;
    }
    nic->model = mem_string(model);
    nic->netdev = net_hub_port(nets, 0, NULL);
    bool good = option_list_parse(&user, "user", "type", err);
    if (good) {
        good = open_net(nets, "", &user, err);
        option_list_free(&user);
    }
    return good;
}

/* --- all --- */

static bool open_one(struct nets *nets, const struct net_option_text *option, struct error *err)
{
    char *what = mem_format("%s %s", option_words[option->which], option->text);
    const char *implied = option->which == NET_OPTION_OBJECT ? "qom-type" : "type";
    struct option_list options;
    bool good = option_list_parse(&options, option->text, implied, err);

    if (good) {
        switch (option->which) {
        case NET_OPTION_NETDEV: good = open_netdev(nets, &options, err); break;
        case NET_OPTION_NIC: good = open_nic(nets, what, &options, err); break;
        case NET_OPTION_NET: good = open_net(nets, what, &options, err); break;
        case NET_OPTION_OBJECT: good = net_dump_open(nets, &options, err); break;
        }
        option_list_free(&options);
    }
    if (!good) {
        error_prefix(err, "%s: ", what);
    }
    free(what);
    return good;
}

bool nets_open(struct nets *nets, bool defaults, const char *model, struct error *err)
{
    static const enum net_option order[] = {NET_OPTION_NETDEV, NET_OPTION_NIC, NET_OPTION_NET};

    for (const struct net_option_text *option = nets->options; option; option = option->next) {
        defaults &= option->which == NET_OPTION_OBJECT;
    }
    for (unsigned i = 0; i < sizeof order / sizeof order[0]; i++) {
        for (const struct net_option_text *option = nets->options; option; option = option->next) {
            if (option->which == order[i] && !open_one(nets, option, err)) {
                return false;
            }
        }
    }
    if (defaults && !open_default(nets, model, err)) {
        return false;
    }
    /* Dumps name back ends, which are there now. */
    for (const struct net_option_text *option = nets->options; option; option = option->next) {
        if (option->which == NET_OPTION_OBJECT && !open_one(nets, option, err)) {
            return false;
        }
    }
    return true;
}
