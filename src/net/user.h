/* SPDX-License-Identifier: MIT
 *
 * User networking: what user.c, user_options.c and forward.c share. */
#ifndef NET_USER_H
#define NET_USER_H

#include <netinet/in.h>
#include <poll.h>
#include <slirp/libslirp.h>

#include "net/internal.h"

/* What the options say, in the form of libslirp. The strings are those of the options. */
struct net_user_config {
    SlirpConfig slirp;
    const char **search; /* ends with NULL; to be freed */
    struct in_addr net;
    bool restricted;
};

struct net_user_watch {
    struct loop_watch *watch; /* NULL: the descriptor is not slirp's */
    bool wanted;              /* by the last filling */
};

struct net_user {
    struct net_end end;
    struct nets *nets;
    Slirp *slirp;
    SlirpCb callbacks;
    struct in_addr net;
    bool restricted;
    bool busy; /* slirp is running: it must not be entered a second time */
    struct pollfd *fds;
    unsigned fd_count, fd_room;
    struct net_user_watch *watches; /* by descriptor */
    unsigned watch_count;
    struct timer kick; /* of the loop's clock: look after slirp, soon */
    struct timer poll; /* of the machine's: its time-outs */
};

/* --- user_options.c --- */

bool net_user_options(const struct option_list *options, struct net_user_config *config,
                      struct error *err);

/* --- forward.c --- */

struct net_forward {
    bool udp;
    struct in_addr host, guest; /* guest 0: the first address of DHCP */
    uint16_t host_port, guest_port;
};

/* "tcp:HOST:PORT-GUEST:PORT" */
bool net_forward_parse(const char *rule, struct net_forward *forward, struct error *err);
/* All rules of the options. */
bool net_user_forwards(struct net_user *user, const struct option_list *options, struct error *err);

#endif
