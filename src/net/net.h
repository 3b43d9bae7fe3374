/* SPDX-License-Identifier: MIT
 *
 * Networks: Ethernet frames between the NICs of a machine and what is behind them. A wire has two
 * ends: a NIC's and a back end's (user networking, a port of a hub). A frame goes to the other end
 * at once; where that cannot take it now it waits in a queue of bounded size, and when much waits
 * the sender is asked to pause. What does not fit is lost, as on any Ethernet.
 *
 * Frames begin with the destination address and have no FCS.
 *
 * Everything here is called with the loop's lock (the machine's) held, and calls NICs so: on the
 * loop's thread, or inside of a call of theirs.
 *
 * Read in this order: this header, internal.h, net.c (ends, queues, `info network`), hub.c,
 * options.c (-netdev, -nic, -net), user.c (libslirp in the loop), user_options.c (its words),
 * forward.c (hostfwd, guestfwd), dump.c (frames into a file).
 */
#ifndef NET_NET_H
#define NET_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct clock;
struct loop;
struct nets; /* the networks of a machine */
struct strbuf;

enum {
    NET_MAC_SIZE = 6,
    NET_HEADER_SIZE = 14, /* destination, source, type */
    NET_FRAME_MIN = 60,   /* what a NIC pads short ones to */
    NET_FRAME_MAX = 16384,
    NET_NICS_MAX = 8, /* of -nic and -net nic */
};

/* What an end does. Each but `type` and `receive` may be NULL. */
struct net_ops {
    const char *type; /* "nic", "user": as `info network` says it */
    /* False: frames wait until net_accept(). */
    bool (*can_receive)(void *opaque);
    /* NET_HEADER_SIZE to NET_FRAME_MAX bytes, which are the caller's. */
    void (*receive)(void *opaque, const uint8_t *frame, size_t size);
    /* net_link_is_up() says something else than before. */
    void (*link_changed)(void *opaque);
    /* net_can_send() is true again. */
    void (*writable)(void *opaque);
    /* More than "index=0,type=TYPE," for `info network`. */
    void (*describe)(void *opaque, struct strbuf *text);
    /* The set ends, or netdev_del. */
    void (*free)(void *opaque);
};

/* An end of a wire; lies in the memory of whoever it is, all zeros at first. The fields are the
 * room's. */
struct net_end {
    const struct net_ops *ops;
    void *opaque;
    struct nets *nets;
    char *name;
    struct net_end *peer;
    bool is_nic, link_down;
    bool delivering;   /* receive() is running */
    bool peer_pauses;  /* the other side was told to */
    bool hidden;       /* no netdev of its own: a default's port of the hub */
    uint8_t mac[6];    /* of a NIC */
    const char *model; /* of a NIC */
    struct net_frame *first, **last;
    unsigned queued;
    struct net_dump *dumps;
    struct net_end *next;
};

/* `clock`: the machine's, by which connections time out. */
struct nets *nets_new(struct loop *loop, struct clock *clock);
/* Behind the devices, before the loop. NULL: nothing. */
void nets_free(struct nets *nets);

/* While the machine stands frames for it wait. It runs at first. */
void nets_run(struct nets *nets, bool running);

/* --- options --- */

enum net_option {
    NET_OPTION_NETDEV, /* -netdev user,id=ID,... */
    NET_OPTION_NIC,    /* -nic user,model=NAME,mac=ADDRESS,... and -nic none */
    NET_OPTION_NET,    /* -net nic,..., -net user,..., -net none */
    NET_OPTION_OBJECT, /* -object filter-dump,id=ID,netdev=ID,file=PATH,maxlen=BYTES */
};

/* Notes an option of the command line; nothing is opened yet. */
void nets_option(struct nets *nets, enum net_option which, const char *text);
/* True if the option asks for help (`-netdev help`), which is added to `text`. What `model=help`
 * shows belongs to those who know NICs: `models`. */
bool net_option_help(enum net_option which, const char *option, struct strbuf *text, bool *models);
/* Opens all that was noted. `defaults`: without any -nic and -net, and without -netdev, there is
 * one NIC (`model`) on a hub with user networking; -nodefaults makes it false. The sentence begins
 * with the option. */
bool nets_open(struct nets *nets, bool defaults, const char *model, struct error *err);
/* What is odd, once the devices are made: a line each ("netdev n0 has no peer"). */
void nets_check(const struct nets *nets, struct strbuf *lines);

/* A NIC that the board has to make, from -nic, -net nic and the default. */
struct net_nic {
    const char *option;  /* "-nic user,model=x": for errors */
    const char *model;   /* NULL: the board's own */
    const char *name;    /* id=, of -net nic; NULL: none */
    const char *address; /* addr=, of -net nic; NULL: none */
    uint8_t mac[6];
    struct net_end *netdev; /* NULL: on no wire */
};
/* `i` from 0 on; NULL at the end. */
const struct net_nic *nets_nic(const struct nets *nets, size_t i);

/* --- for boards and the monitor --- */

/* A back end by its id, for properties of NICs; NULL: there is none. */
struct net_end *net_find(struct nets *nets, const char *id);
const char *net_name(const struct net_end *end);

/* `info network`, `info usernet`, in QEMU's shape. */
void nets_print(const struct nets *nets, struct strbuf *text);
void nets_print_user(const struct nets *nets, struct strbuf *text);

/* netdev_add, netdev_del. A NIC that loses its back end has no link from then on. */
bool nets_add(struct nets *nets, const char *text, struct error *err);
bool nets_remove(struct nets *nets, const char *id, struct error *err);

/* set_link: of a NIC or back end by its name. A back end's counts for the NIC at its other end. */
bool nets_set_link(struct nets *nets, const char *name, bool up, struct error *err);

/* hostfwd_add, hostfwd_remove: "tcp:127.0.0.1:2222-10.0.2.15:22"; "tcp:127.0.0.1:2222". Without an
 * address of the host it is 127.0.0.1. `id`: of the back end; NULL: the first with user networking.
 */
bool nets_forward(struct nets *nets, const char *id, const char *rule, struct error *err);
bool nets_forward_no_more(struct nets *nets, const char *id, const char *rule, struct error *err);

/* --- for NICs --- */

/* Puts a NIC on a wire: `nic` has its ops and opaque. It is called `id`, or MODEL.NUMBER. `netdev`
 * may be NULL (nobody is at the other end), `nets` too. A multicast address, or a back end that has
 * a NIC, is a sentence. */
bool net_nic_attach(struct net_end *nic, struct nets *nets, const char *model, const char *id,
                    struct net_end *netdev, const uint8_t mac[6], struct error *err);
/* Takes it off. Never attached: nothing. */
void net_nic_detach(struct net_end *nic);
/* An address that is all zeros becomes 52:54:00:12:34:56 or the next that no NIC has. Counts as
 * used until the set ends. */
void net_nic_choose_mac(struct nets *nets, uint8_t mac[6]);
/* What `info network` shows. */
void net_nic_set_mac(struct net_end *nic, const uint8_t mac[6]);

/* Whether somebody is told to be at the other end of the wire. */
static inline bool net_link_is_up(const struct net_end *end)
{
    return !end->link_down;
}

/* Sends a frame. False: it is lost (nobody there, no link, queue full, or its size). */
bool net_send(struct net_end *end, const void *frame, size_t size);
/* False: much waits at the other end; what is sent now may be lost. writable() comes later. */
bool net_can_send(struct net_end *end);
/* can_receive() has become true: takes what waits. */
void net_accept(struct net_end *end);

/* --- checksums --- */

/* The ones' complement sum of 16-bit words, highest byte first, on top of `start` (RFC 1071); a
 * last odd byte is a high one. Its complement is the checksum. */
uint16_t net_sum(const void *bytes, size_t size, uint16_t start);

/* CRC-32 of IEEE 802.3. */

struct net_crc {
    uint32_t row[4][256];
};
void net_crc_init(struct net_crc *crc);
/* The FCS of a frame, as it is sent: lowest byte first. */
uint32_t net_crc(const struct net_crc *crc, const void *frame, size_t size);

#endif
