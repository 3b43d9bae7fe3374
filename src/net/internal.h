/* SPDX-License-Identifier: MIT
 *
 * What the sources of the room share. */
#ifndef NET_INTERNAL_H
#define NET_INTERNAL_H

#include "base/option.h"
#include "base/timer.h"
#include "net/net.h"

enum {
    NET_QUEUE_MAX = 512,  /* frames that wait for an end; more are lost */
    NET_QUEUE_MANY = 128, /* the sender is asked to pause */
};

struct net_frame {
    struct net_frame *next;
    size_t size;
    uint8_t bytes[];
};

struct net_hub {
    int id;
    unsigned ports; /* made so far: they give names */
    struct net_port *first;
    struct net_hub *next;
};

struct net_port {
    struct net_end end;
    struct net_hub *hub;
    struct net_port *next; /* the one made before it */
};

struct net_option_text {
    enum net_option which;
    char *text;
    struct net_option_text *next;
};

struct nets {
    struct loop *loop;
    struct clock *clock;
    bool running;
    struct net_end *first, **last; /* as they were made; NICs too */
    struct net_hub *hubs;
    struct net_option_text *options, **last_option;
    struct net_nic nic[NET_NICS_MAX];
    size_t nics;
    unsigned names;     /* of those made up */
    uint16_t macs[256]; /* NICs by the last byte of the address, in the range of those made up */
};

/* --- net.c --- */

/* Registers an end; `name` is copied. */
void net_end_add(struct nets *nets, struct net_end *end, const char *name);
/* Takes it off its wire and out of the set, which forgets what waits for it. */
void net_end_remove(struct net_end *end);
/* Makes two ends a wire. */
void net_connect(struct net_end *a, struct net_end *b);
bool net_mac_parse(const char *text, uint8_t mac[6]);

/* The last value of an option; "on" for one without; NULL: it is not there. */
const char *net_option_value(const struct option_list *options, const char *key);

/* --- hub.c --- */

/* A new port of hub `id`, which is made if there is none. `name` NULL: hubNportM. Its end. */
struct net_end *net_hub_port(struct nets *nets, int id, const char *name);
/* The hub that the end is wired to; -1: none. */
int net_hub_of(const struct net_end *end);
bool net_is_port(const struct net_end *end);
void net_hubs_free(struct nets *nets);

/* --- user.c, user_options.c, forward.c --- */

/* "user" with its options; the end, or NULL and a sentence. */
struct net_end *net_user_open(struct nets *nets, const char *name,
                              const struct option_list *options, struct error *err);
bool net_is_user(const struct net_end *end);

/* --- dump.c --- */

bool net_dump_open(struct nets *nets, const struct option_list *options, struct error *err);
/* `sent`: by the end, else to it. */
void net_dump(struct net_end *end, const uint8_t *frame, size_t size);
void net_dump_close(struct net_end *end);

#endif
