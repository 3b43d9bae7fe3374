/* SPDX-License-Identifier: MIT
 *
 * The options of user networking, as SlirpConfig. Sentences are QEMU's where it has one. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "net/user.h"

/* All there are. */
static const char *const words[] = {
    "type",
    "id",
    "hostname",
    "restrict",
    "ipv4",
    "ipv6",
    "net",
    "host",
    "tftp",
    "bootfile",
    "dhcpstart",
    "dns",
    "dnssearch",
    "ipv6-net",
    "domainname",
    "ipv6-prefix",
    "ipv6-prefixlen",
    "ipv6-host",
    "ipv6-dns",
    "smb",
    "smbserver",
    "hostfwd",
    "guestfwd",
    "ip",
    "tftp-server-name",
    NULL,
};

enum { NAME_MAX_SIZE = 255, BOOTFILE_MAX = 127, PREFIX_MAX = 126 };

static bool check_words(const struct option_list *options, struct error *err)
{
    for (size_t i = 0; i < options->count; i++) {
        unsigned word = 0;
        while (words[word] && strcmp(words[word], options->pair[i].key)) {
            word++;
        }
        if (!words[word]) {
            return error_set(err, "Invalid parameter '%s'", options->pair[i].key);
        }
    }
    if (net_option_value(options, "smb") || net_option_value(options, "smbserver")) {
        return error_set(err, "a folder cannot be shared over SMB; tftp=FOLDER shares one over "
                              "TFTP");
    }
    return true;
}

/* `given` may be NULL. */
static bool get_bool(const struct option_list *options, const char *key, bool *value, bool *given,
                     struct error *err)
{
    const char *text = net_option_value(options, key);

    if (given) {
        *given = text;
    }
    if (text && !option_bool(key, text, value, NULL)) {
        return error_set(err, "Parameter '%s' expects 'on' or 'off'", key);
    }
    return true;
}

static bool get_name(const struct option_list *options, const char *key, const char *called,
                     size_t most, const char **value, struct error *err)
{
    *value = net_option_value(options, key);
    if (*value && strlen(*value) > most) {
        return error_set(err, "'%s' parameter cannot exceed %zu bytes", called, most);
    }
    return true;
}

/* --- IPv4 --- */

/* The mask of an address that is given without one: classes, and the blocks of RFC 1918. */
static uint32_t mask_of(uint32_t address)
{
    if (!(address & 0x80000000)) {
        return 0xff000000;
    }
    if ((address & 0xfff00000) == 0xac100000) {
        return 0xfff00000;
    }
    if ((address & 0xc0000000) == 0x80000000 || (address & 0xffff0000) == 0xc0a80000) {
        return 0xffff0000;
    }
    return (address & 0xe0000000) == 0xc0000000 ? 0xffffff00 : 0xfffffff0;
}

/* "10.0.2.0", "10.0.2.0/24", "10.0.2.0/255.255.255.0" */
static bool parse_net(const char *text, struct in_addr *net, struct in_addr *mask,
                      struct error *err)
{
    char *address = mem_string(text), *slash = strchr(address, '/'), *end;
    bool good = true;

    if (slash) {
        *slash++ = '\0';
    }
    if (!inet_aton(address, net)) {
        good = error_set(err, "Failed to parse netmask");
    } else if (!slash) {
        mask->s_addr = htonl(mask_of(ntohl(net->s_addr)));
    } else if (strchr(slash, '.')) {
        good = inet_aton(slash, mask) || error_set(err, "Failed to parse netmask");
    } else {
        unsigned long bits = strtoul(slash, &end, 10);
        if (end == slash || *end) {
            good = error_set(err, "Failed to parse netmask (trailing chars)");
        } else if (bits < 4 || bits > 32) {
            good = error_set(err, "Invalid netmask provided (must be in range 4-32)");
        } else {
            mask->s_addr = htonl((uint32_t)(UINT64_C(0xffffffff) << (32 - bits)));
        }
    }
    net->s_addr &= mask->s_addr;
    free(address);
    return good;
}

static bool get_address(const struct option_list *options, const char *key, const char *called,
                        struct in_addr *address, struct error *err)
{
    const char *text = net_option_value(options, key);
    return !text || inet_aton(text, address) || error_set(err, "Failed to parse %s", called);
}

static bool belongs(struct in_addr address, const SlirpConfig *config)
{
    return (address.s_addr & config->vnetmask.s_addr) == config->vnetwork.s_addr;
}

static bool get_ipv4(const struct option_list *options, SlirpConfig *config, struct error *err)
{
    const char *net = net_option_value(options, "net");
    uint32_t free_bits;

    if (!config->in_enabled) {
        return !(net || net_option_value(options, "host") || net_option_value(options, "dns") ||
                 net_option_value(options, "dhcpstart")) ||
               error_set(err, "IPv4 disabled but netmask/host/dns provided");
    }
    if (!parse_net(net ? net : "10.0.2.0/24", &config->vnetwork, &config->vnetmask, err)) {
        return false;
    }
    free_bits = ~config->vnetmask.s_addr;
    config->vhost.s_addr = config->vnetwork.s_addr | (htonl(0x0202) & free_bits);
    config->vdhcp_start.s_addr = config->vnetwork.s_addr | (htonl(0x020f) & free_bits);
    config->vnameserver.s_addr = config->vnetwork.s_addr | (htonl(0x0203) & free_bits);
    if (!get_address(options, "host", "host", &config->vhost, err) ||
        !get_address(options, "dhcpstart", "DHCP start address", &config->vdhcp_start, err) ||
        !get_address(options, "dns", "DNS", &config->vnameserver, err)) {
        return false;
    }
    if (!belongs(config->vhost, config)) {
        return error_set(err, "Host doesn't belong to network");
    }
    if (config->restricted && !belongs(config->vnameserver, config)) {
        return error_set(err, "DNS doesn't belong to network");
    }
    if (config->vnameserver.s_addr == config->vhost.s_addr) {
        return error_set(err, "DNS must be different from host");
    }
    if (!belongs(config->vdhcp_start, config)) {
        return error_set(err, "DHCP doesn't belong to network");
    }
    if (config->vdhcp_start.s_addr == config->vhost.s_addr ||
        config->vdhcp_start.s_addr == config->vnameserver.s_addr) {
        return error_set(err, "DHCP must be different from host and DNS");
    }
    return true;
}

/* --- IPv6 --- */

static bool get_address6(const char *text, const char *called, struct in6_addr *address,
                         struct error *err)
{
    return inet_pton(AF_INET6, text, address) == 1 ||
           error_set(err, "Failed to parse IPv6 %s", called);
}

static bool parse_prefix_length(const char *key, const char *text, uint8_t *length,
                                struct error *err)
{
    char *end;
    long number = strtol(text, &end, 10);

    if (end == text || *end) {
        return error_set(err, "Parameter '%s' expects an int64 value", key);
    }
    if (number < 0 || number > PREFIX_MAX) {
        return error_set(err, "Invalid IPv6 prefix provided (IPv6 prefix length must be between 0 "
                              "and 126)");
    }
    *length = (uint8_t)number;
    return true;
}

/* ipv6-net=PREFIX/LENGTH, or ipv6-prefix= and ipv6-prefixlen=. */
static bool get_prefix(const struct option_list *options, SlirpConfig *config, struct error *err)
{
    const char *net = net_option_value(options, "ipv6-net");
    const char *prefix = net_option_value(options, "ipv6-prefix");
    const char *length = net_option_value(options, "ipv6-prefixlen");
    char *copy = mem_string(net ? net : prefix ? prefix : "fec0::"), *slash = strchr(copy, '/');
    bool good = true;

    config->vprefix_len = 64;
    if (net && slash) {
        *slash = '\0';
        good = parse_prefix_length("ipv6-net", slash + 1, &config->vprefix_len, err);
    }
    good = good && get_address6(copy, "prefix", &config->vprefix_addr6, err) &&
           (!length || parse_prefix_length("ipv6-prefixlen", length, &config->vprefix_len, err));
    free(copy);
    return good;
}

static bool in_prefix(const struct in6_addr *address, const SlirpConfig *config)
{
    for (unsigned bit = 0; bit < config->vprefix_len; bit++) {
        unsigned mask = 0x80u >> bit % 8;
        if ((address->s6_addr[bit / 8] ^ config->vprefix_addr6.s6_addr[bit / 8]) & mask) {
            return false;
        }
    }
    return true;
}

static bool get_ipv6(const struct option_list *options, SlirpConfig *config, struct error *err)
{
    const char *host = net_option_value(options, "ipv6-host");
    const char *dns = net_option_value(options, "ipv6-dns");

    if (!config->in6_enabled) {
        return !(host || dns || net_option_value(options, "ipv6-net") ||
                 net_option_value(options, "ipv6-prefix") ||
                 net_option_value(options, "ipv6-prefixlen")) ||
               error_set(err, "IPv6 disabled but prefix/host6/dns6 provided");
    }
    if (!get_prefix(options, config, err)) {
        return false;
    }
    config->vhost6 = config->vnameserver6 = config->vprefix_addr6;
    config->vhost6.s6_addr[15] |= 2;
    config->vnameserver6.s6_addr[15] |= 3;
    if ((host && !get_address6(host, "host", &config->vhost6, err)) ||
        (dns && !get_address6(dns, "DNS", &config->vnameserver6, err))) {
        return false;
    }
    if (!in_prefix(&config->vhost6, config)) {
        return error_set(err, "IPv6 Host doesn't belong to network");
    }
    if (config->restricted && !in_prefix(&config->vnameserver6, config)) {
        return error_set(err, "IPv6 DNS doesn't belong to network");
    }
    return true;
}

/* --- all --- */

/* Both protocols are there unless options say so; one that is asked for alone is alone. */
static bool get_protocols(const struct option_list *options, SlirpConfig *config, struct error *err)
{
    bool ipv4 = true, ipv6 = true, ip = true, has_ipv4, has_ipv6, has_ip;

    if (!get_bool(options, "ipv4", &ipv4, &has_ipv4, err) ||
        !get_bool(options, "ipv6", &ipv6, &has_ipv6, err) ||
        !get_bool(options, "ip", &ip, &has_ip, err)) {
        return false;
    }
    if (has_ip && !has_ipv4) { /* the old name */
        ipv4 = ip;
        has_ipv4 = true;
    }
    config->in_enabled = has_ipv4 ? ipv4 : !(has_ipv6 && ipv6);
    config->in6_enabled = has_ipv6 ? ipv6 : !(has_ipv4 && ipv4);
    return config->in_enabled || config->in6_enabled || error_set(err, "IPv4 and IPv6 disabled");
}

static bool get_names(const struct option_list *options, SlirpConfig *config, struct error *err)
{
    if (!get_name(options, "hostname", "vhostname", NAME_MAX_SIZE, &config->vhostname, err) ||
        !get_name(options, "domainname", "domainname", NAME_MAX_SIZE, &config->vdomainname, err) ||
        !get_name(options, "tftp-server-name", "tftp-server-name", NAME_MAX_SIZE,
                  &config->tftp_server_name, err) ||
        !get_name(options, "bootfile", "bootfile", BOOTFILE_MAX, &config->bootfile, err) ||
        !get_name(options, "tftp", "tftp", PATH_MAX, &config->tftp_path, err)) {
        return false;
    }
    if (config->vdomainname && !*config->vdomainname) {
        return error_set(err, "'domainname' parameter cannot be empty");
    }
    return true;
}

static const char **get_search(const struct option_list *options)
{
    const char **list = mem_alloc((options->count + 1) * sizeof *list);
    size_t count = 0;

    for (size_t i = 0; i < options->count; i++) {
        if (!strcmp(options->pair[i].key, "dnssearch") && options->pair[i].value) {
            list[count++] = options->pair[i].value;
        }
    }
    if (!count) {
        free(list);
        return NULL;
    }
    return list;
}

bool net_user_options(const struct option_list *options, struct net_user_config *config,
                      struct error *err)
{
    SlirpConfig *slirp = &config->slirp;

    memset(config, 0, sizeof *config);
    slirp->version = SLIRP_CONFIG_VERSION_MAX;
    if (!check_words(options, err) || !get_protocols(options, slirp, err) ||
        !get_bool(options, "restrict", &config->restricted, NULL, err)) {
        return false;
    }
    slirp->restricted = config->restricted;
    if (!get_names(options, slirp, err) || !get_ipv4(options, slirp, err) ||
        !get_ipv6(options, slirp, err)) {
        return false;
    }
    config->net = slirp->vnetwork;
    config->search = slirp->vdnssearch = get_search(options);
    return true;
}
