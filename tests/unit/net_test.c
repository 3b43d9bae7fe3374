/* SPDX-License-Identifier: MIT
 *
 * Networks: the words of -netdev, -nic and -net, hubs, dumps, and user networking with frames that
 * are made here: DHCP, ARP, ICMP, TCP out of the guest and into it.
 */
#include "net/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/memory.h"
#include "base/strbuf.h"
#include "base/timer.h"

enum { MS = 1000000, PATIENCE_MS = 10000 };

/* --- a machine without devices --- */

enum { KEPT = 256 };

/* A NIC that keeps what comes. */
struct nic {
    struct net_end end;
    bool deaf;
    unsigned count, links;
    struct {
        size_t size;
        uint8_t bytes[2048];
    } frame[KEPT];
};

struct fixture {
    struct loop *loop;
    struct clock clock;
    struct nets *nets;
    struct nic nic, other;
    uint64_t began;
};

static uint64_t machine_time(void *opaque)
{
    return clock_monotonic() - ((struct fixture *)opaque)->began;
}

static bool nic_can_receive(void *opaque)
{
    return !((struct nic *)opaque)->deaf;
}

static void nic_receive(void *opaque, const uint8_t *frame, size_t size)
{
    struct nic *nic = opaque;
    assert_true(size <= sizeof nic->frame[0].bytes);
    memcpy(nic->frame[nic->count % KEPT].bytes, frame, size);
    nic->frame[nic->count++ % KEPT].size = size;
}

static void nic_link_changed(void *opaque)
{
    ((struct nic *)opaque)->links++;
}

static const struct net_ops nic_ops = {
    .type = "nic",
    .can_receive = nic_can_receive,
    .receive = nic_receive,
    .link_changed = nic_link_changed,
};

static void begin(struct fixture *f)
{
    struct error err;
    memset(f, 0, sizeof *f);
    f->loop = loop_new(&err);
    assert_non_null(f->loop);
    f->began = clock_monotonic();
    clock_init(&f->clock);
    f->clock.source = machine_time;
    f->clock.opaque = f;
    f->nets = nets_new(f->loop, &f->clock);
}

static void end(struct fixture *f)
{
    net_nic_detach(&f->nic.end);
    net_nic_detach(&f->other.end);
    nets_free(f->nets);
    clock_free(&f->clock);
    loop_free(f->loop);
}

static void attach(struct fixture *f, struct nic *nic, struct net_end *netdev)
{
    struct error err;
    uint8_t mac[6] = {0};
    net_nic_choose_mac(f->nets, mac);
    nic->end.ops = &nic_ops;
    nic->end.opaque = nic;
    if (!net_nic_attach(&nic->end, f->nets, "e1000", NULL, netdev, mac, &err))
        fail_msg("%s", err.text);
}

/* One round of the loop, and of the machine's clock. */
static void step(struct fixture *f)
{
    loop_step(f->loop, 2 * MS);
    clock_run(&f->clock);
}

/* --- words --- */

/* What nets_open() says of an option; "" if it is good. */
static const char *opens(enum net_option which, const char *text)
{
    static struct error err;
    static struct fixture f;
    begin(&f);
    nets_option(f.nets, which, text);
    bool good = nets_open(f.nets, true, "e1000", &err);
    end(&f);
    return good ? "" : err.text;
}

static void bad_words(void **state)
{
    static const struct {
        enum net_option which;
        const char *text, *sentence;
    } rows[] = {
        {NET_OPTION_NETDEV, "tap,id=x",
         "-netdev tap,id=x: Parameter 'type' does not accept value 'tap'; there are 'user' and "
         "'hubport'"},
        {NET_OPTION_NETDEV, "user", "-netdev user: Parameter 'id' is missing"},
        {NET_OPTION_NETDEV, "id=a", "-netdev id=a: Parameter 'type' is missing"},
        {NET_OPTION_NETDEV, "user,id=1a",
         "-netdev user,id=1a: Parameter 'id' expects an identifier: letters, digits, '-', '.' and "
         "'_', with a letter first"},
        {NET_OPTION_NETDEV, "user,id=a,bogus=1",
         "-netdev user,id=a,bogus=1: Invalid parameter 'bogus'"},
        {NET_OPTION_NETDEV, "user,id=a,net=x", "-netdev user,id=a,net=x: Failed to parse netmask"},
        {NET_OPTION_NETDEV, "user,id=a,net=10.0.0.0/40",
         "-netdev user,id=a,net=10.0.0.0/40: Invalid netmask provided (must be in range 4-32)"},
        {NET_OPTION_NETDEV, "user,id=a,net=10.0.2.0/24x",
         "-netdev user,id=a,net=10.0.2.0/24x: Failed to parse netmask (trailing chars)"},
        {NET_OPTION_NETDEV, "user,id=a,host=10.0.9.9",
         "-netdev user,id=a,host=10.0.9.9: Host doesn't belong to network"},
        {NET_OPTION_NETDEV, "user,id=a,host=x", "-netdev user,id=a,host=x: Failed to parse host"},
        {NET_OPTION_NETDEV, "user,id=a,dns=x", "-netdev user,id=a,dns=x: Failed to parse DNS"},
        {NET_OPTION_NETDEV, "user,id=a,dns=10.0.2.2",
         "-netdev user,id=a,dns=10.0.2.2: DNS must be different from host"},
        {NET_OPTION_NETDEV, "user,id=a,dhcpstart=x",
         "-netdev user,id=a,dhcpstart=x: Failed to parse DHCP start address"},
        {NET_OPTION_NETDEV, "user,id=a,dhcpstart=10.0.3.2",
         "-netdev user,id=a,dhcpstart=10.0.3.2: DHCP doesn't belong to network"},
        {NET_OPTION_NETDEV, "user,id=a,dhcpstart=10.0.2.3",
         "-netdev user,id=a,dhcpstart=10.0.2.3: DHCP must be different from host and DNS"},
        {NET_OPTION_NETDEV, "user,id=a,restrict=maybe",
         "-netdev user,id=a,restrict=maybe: Parameter 'restrict' expects 'on' or 'off'"},
        {NET_OPTION_NETDEV, "user,id=a,ipv4=off,ipv6=off",
         "-netdev user,id=a,ipv4=off,ipv6=off: IPv4 and IPv6 disabled"},
        {NET_OPTION_NETDEV, "user,id=a,ipv4=off,net=10.0.5.0/24",
         "-netdev user,id=a,ipv4=off,net=10.0.5.0/24: IPv4 disabled but netmask/host/dns provided"},
        {NET_OPTION_NETDEV, "user,id=a,ipv6=off,ipv6-dns=fec0::3",
         "-netdev user,id=a,ipv6=off,ipv6-dns=fec0::3: IPv6 disabled but prefix/host6/dns6 "
         "provided"},
        {NET_OPTION_NETDEV, "user,id=a,ipv6-net=x",
         "-netdev user,id=a,ipv6-net=x: Failed to parse IPv6 prefix"},
        {NET_OPTION_NETDEV, "user,id=a,ipv6-host=x",
         "-netdev user,id=a,ipv6-host=x: Failed to parse IPv6 host"},
        {NET_OPTION_NETDEV, "user,id=a,ipv6-dns=x",
         "-netdev user,id=a,ipv6-dns=x: Failed to parse IPv6 DNS"},
        {NET_OPTION_NETDEV, "user,id=a,ipv6-prefixlen=x",
         "-netdev user,id=a,ipv6-prefixlen=x: Parameter 'ipv6-prefixlen' expects an int64 value"},
        {NET_OPTION_NETDEV, "user,id=a,ipv6-prefixlen=200",
         "-netdev user,id=a,ipv6-prefixlen=200: Invalid IPv6 prefix provided (IPv6 prefix length "
         "must be between 0 and 126)"},
        {NET_OPTION_NETDEV, "user,id=a,ipv6-host=fec1::2",
         "-netdev user,id=a,ipv6-host=fec1::2: IPv6 Host doesn't belong to network"},
        {NET_OPTION_NETDEV, "user,id=a,domainname=",
         "-netdev user,id=a,domainname=: 'domainname' parameter cannot be empty"},
        {NET_OPTION_NETDEV, "user,id=a,smb=/tmp",
         "-netdev user,id=a,smb=/tmp: a folder cannot be shared over SMB; tftp=FOLDER shares one "
         "over TFTP"},
        {NET_OPTION_NETDEV, "user,id=a,hostfwd=foo",
         "-netdev user,id=a,hostfwd=foo: Invalid host forwarding rule 'foo' (No : separators)"},
        {NET_OPTION_NETDEV, "user,id=a,hostfwd=sctp::5-:22",
         "-netdev user,id=a,hostfwd=sctp::5-:22: Invalid host forwarding rule 'sctp::5-:22' (Bad "
         "protocol name)"},
        {NET_OPTION_NETDEV, "user,id=a,hostfwd=tcp::x-:22",
         "-netdev user,id=a,hostfwd=tcp::x-:22: Invalid host forwarding rule 'tcp::x-:22' (Bad "
         "host port)"},
        {NET_OPTION_NETDEV, "user,id=a,hostfwd=tcp::5555",
         "-netdev user,id=a,hostfwd=tcp::5555: Invalid host forwarding rule 'tcp::5555' (Bad host "
         "port separator)"},
        {NET_OPTION_NETDEV, "user,id=a,hostfwd=tcp::5555-",
         "-netdev user,id=a,hostfwd=tcp::5555-: Invalid host forwarding rule 'tcp::5555-' (Missing "
         "guest address)"},
        {NET_OPTION_NETDEV, "user,id=a,hostfwd=tcp:bad:5555-:22",
         "-netdev user,id=a,hostfwd=tcp:bad:5555-:22: Invalid host forwarding rule "
         "'tcp:bad:5555-:22' (Bad host address)"},
        {NET_OPTION_NETDEV, "user,id=a,hostfwd=tcp::5555-bad:22",
         "-netdev user,id=a,hostfwd=tcp::5555-bad:22: Invalid host forwarding rule "
         "'tcp::5555-bad:22' (Bad guest address)"},
        {NET_OPTION_NETDEV, "user,id=a,hostfwd=tcp::5555-:0",
         "-netdev user,id=a,hostfwd=tcp::5555-:0: Invalid host forwarding rule 'tcp::5555-:0' (Bad "
         "guest port)"},
        {NET_OPTION_NETDEV, "user,id=a,hostfwd=tcp:8.8.8.8:5555-:22",
         "-netdev user,id=a,hostfwd=tcp:8.8.8.8:5555-:22: Could not set up host forwarding rule "
         "'tcp:8.8.8.8:5555-:22': Cannot assign requested address"},
        {NET_OPTION_NETDEV, "user,id=a,guestfwd=foo",
         "-netdev user,id=a,guestfwd=foo: Invalid guest forwarding rule 'foo'"},
        {NET_OPTION_NETDEV, "user,id=a,guestfwd=tcp:10.0.2.100:80-null",
         "-netdev user,id=a,guestfwd=tcp:10.0.2.100:80-null: guest forwarding to 'null' is not "
         "possible; there are cmd:COMMAND and unix:PATH"},
        {NET_OPTION_NETDEV, "hubport,id=a", "-netdev hubport,id=a: Parameter 'hubid' is missing"},
        {NET_OPTION_NETDEV, "hubport,id=a,hubid=0,netdev=b",
         "-netdev hubport,id=a,hubid=0,netdev=b: netdev 'b' not found"},
        {NET_OPTION_NIC, "user,mac=foo", "-nic user,mac=foo: invalid syntax for ethernet address"},
        {NET_OPTION_NIC, "user,mac=01:00:5e:00:00:01",
         "-nic user,mac=01:00:5e:00:00:01: NIC cannot have multicast MAC address"},
        {NET_OPTION_NIC, "user,addr=7", "-nic user,addr=7: Invalid parameter 'addr'"},
        {NET_OPTION_NET, "nic,netdev=x", "-net nic,netdev=x: netdev 'x' not found"},
        {NET_OPTION_NET, "nic,vlan=1", "-net nic,vlan=1: Invalid parameter 'vlan'"},
        {NET_OPTION_NET, "foo",
         "-net foo: Parameter 'type' does not accept value 'foo'; there are 'user' and 'hubport'"},
        {NET_OPTION_OBJECT, "filter-dump,id=f,file=/tmp/x",
         "-object filter-dump,id=f,file=/tmp/x: Parameter 'netdev' is missing"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_string_equal(opens(rows[i].which, rows[i].text), rows[i].sentence);
    }
    /* What slirp would end the program for. */
    char *text = mem_format("user,id=a,bootfile=%0128d", 0);
    assert_non_null(
        strstr(opens(NET_OPTION_NETDEV, text), "'bootfile' parameter cannot exceed 127"));
    free(text);
}

/* All that slirp can be told; "" for no error. */
static void good_words(void **state)
{
    static const char *const rows[] = {
        "user,id=a",
        ("user,id=a,net=192.168.76.0/24,host=192.168.76.9,dhcpstart=192.168.76.20,"
         "dns=192.168.76.4,hostname=glass,restrict=on"),
        "user,id=a,net=172.20.0.0,ipv6=off",
        "user,id=a,net=10.0.2.0/255.255.255.0,dns=10.0.3.2",
        "user,id=a,dnssearch=example.org,dnssearch=example.com,domainname=example.net",
        "user,id=a,tftp=/tmp,bootfile=pxelinux.0",
        "user,id=a,ipv6-net=fd00:1::/48,ipv6-host=fd00:1::9,ipv6-dns=fd00:1::7",
        "user,id=a,ipv6-prefix=fd00:2::,ipv6-prefixlen=64,ipv4=off",
        "user,id=a,guestfwd=tcp:10.0.2.100:80-cmd:cat,guestfwd=tcp::81-unix:/tmp/x",
        "user,id=a,hostfwd=tcp::0-:22,hostfwd=udp:127.0.0.1:0-10.0.2.20:53,hostfwd=::0-:80",
        "hubport,id=a,hubid=3",
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_string_equal(opens(NET_OPTION_NETDEV, rows[i]), "");
    }
}

/* libslirp 4.7 forgets to free this name; LeakSanitizer, where there is one, is told. */
void __lsan_disable(void) __attribute__((weak));
void __lsan_enable(void) __attribute__((weak));

static void name_of_tftp(void **state)
{
    (void)state;
    if (__lsan_disable) {
        __lsan_disable();
    }
    assert_string_equal(opens(NET_OPTION_NETDEV, "user,id=a,tftp-server-name=boot"), "");
    if (__lsan_enable) {
        __lsan_enable();
    }
}

/* What `info network` shows and what is warned of, with the NICs that a board would make. */
static void assert_network(const char *const *options, bool defaults, const char *expected,
                           const char *warnings)
{
    static struct nic nics[NET_NICS_MAX];
    static struct fixture f;
    struct error err = {""};
    struct strbuf text;
    const struct net_nic *nic;
    size_t count = 0;

    begin(&f);
    for (; *options; options += 2) {
        nets_option(f.nets,
                    !strcmp(options[0], "-netdev") ? NET_OPTION_NETDEV
                    : !strcmp(options[0], "-nic")  ? NET_OPTION_NIC
                                                   : NET_OPTION_NET,
                    options[1]);
    }
    if (!nets_open(f.nets, defaults, "e1000", &err)) {
        fail_msg("%s", err.text);
    }
    memset(nics, 0, sizeof nics);
    for (; (nic = nets_nic(f.nets, count)); count++) {
        nics[count].end.ops = &nic_ops;
        nics[count].end.opaque = &nics[count];
        assert_true(net_nic_attach(&nics[count].end, f.nets, nic->model ? nic->model : "e1000",
                                   nic->name, nic->netdev, nic->mac, &err));
    }
    strbuf_init(&text);
    nets_print(f.nets, &text);
    assert_string_equal(text.data, expected);
    strbuf_clear(&text);
    nets_check(f.nets, &text);
    assert_string_equal(text.data, warnings);
    strbuf_free(&text);
    while (count) {
        net_nic_detach(&nics[--count].end);
    }
    end(&f);
}

static void networks(void **state)
{
    static const char hub[] =
        "hub 0\n"
        " \\ hub0port1: #net000: index=0,type=user,net=10.0.2.0,restrict=off\n"
        " \\ hub0port0: e1000.0: index=0,type=nic,model=e1000,"
        "macaddr=52:54:00:12:34:56\n";

    (void)state;
    assert_network((const char *[]){NULL}, true, hub, "");
    assert_network((const char *[]){NULL}, false, "", "");
    assert_network((const char *[]){"-nic", "none", NULL}, true, "", "");
    assert_network((const char *[]){"-net", "none", NULL}, true, "", "");
    assert_network((const char *[]){"-net", "nic", "-net", "user", NULL}, true, hub, "");
    assert_network((const char *[]){"-nic", "user,id=foo,net=10.9.0.0/16,restrict=on", NULL}, true,
                   "e1000.0: index=0,type=nic,model=e1000,macaddr=52:54:00:12:34:56\n"
                   " \\ foo: index=0,type=user,net=10.9.0.0,restrict=on\n",
                   "");
    assert_network((const char *[]){"-nic", "user,mac=52:54:00:aa:bb:cc", "-nic", "user", "-nic",
                                    "user,model=e2000", NULL},
                   true,
                   "e1000.0: index=0,type=nic,model=e1000,macaddr=52:54:00:aa:bb:cc\n"
                   " \\ #net000: index=0,type=user,net=10.0.2.0,restrict=off\n"
                   "e1000.1: index=0,type=nic,model=e1000,macaddr=52:54:00:12:34:56\n"
                   " \\ #net001: index=0,type=user,net=10.0.2.0,restrict=off\n"
                   "e2000.0: index=0,type=nic,model=e2000,macaddr=52:54:00:12:34:57\n"
                   " \\ #net002: index=0,type=user,net=10.0.2.0,restrict=off\n",
                   "");
    assert_network((const char *[]){"-net", "nic,netdev=n0,macaddr=52:54:00:12:34:60,id=mine",
                                    "-netdev", "user,id=n0", NULL},
                   true,
                   "mine: index=0,type=nic,model=e1000,macaddr=52:54:00:12:34:60\n"
                   " \\ n0: index=0,type=user,net=10.0.2.0,restrict=off\n",
                   "");
    assert_network((const char *[]){"-netdev", "user,id=n0", NULL}, true,
                   "n0: index=0,type=user,net=10.0.2.0,restrict=off\n", "netdev n0 has no peer\n");
    assert_network((const char *[]){"-net", "user", NULL}, true,
                   "hub 0\n \\ hub0port0: #net000: index=0,type=user,net=10.0.2.0,restrict=off\n",
                   "hub 0 with no nics\n");
    assert_network((const char *[]){"-net", "nic", NULL}, true,
                   "hub 0\n \\ hub0port0: e1000.0: index=0,type=nic,model=e1000,"
                   "macaddr=52:54:00:12:34:56\n",
                   "hub 0 is not connected to host network\n");
    assert_network((const char *[]){"-netdev", "user,id=u", "-netdev",
                                    "hubport,hubid=2,id=p,netdev=u", "-nic", "hubport,hubid=2,id=q",
                                    NULL},
                   true,
                   "hub 2\n \\ q: e1000.0: index=0,type=nic,model=e1000,"
                   "macaddr=52:54:00:12:34:56\n"
                   " \\ p: u: index=0,type=user,net=10.0.2.0,restrict=off\n",
                   "");
}

static void help(void **state)
{
    struct strbuf text;
    bool models;

    (void)state;
    strbuf_init(&text);
    assert_true(net_option_help(NET_OPTION_NETDEV, "help", &text, &models));
    assert_false(models);
    assert_string_equal(text.data, "Available netdev backend types:\nhubport\nuser\n");
    assert_true(net_option_help(NET_OPTION_NIC, "user,model=help", &text, &models));
    assert_true(models);
    assert_false(net_option_help(NET_OPTION_NIC, "user", &text, &models));
    strbuf_free(&text);
}

static void too_many_nics(void **state)
{
    static struct fixture f;
    struct error err;

    (void)state;
    begin(&f);
    for (unsigned i = 0; i <= NET_NICS_MAX; i++) {
        nets_option(f.nets, NET_OPTION_NIC, "user");
    }
    assert_false(nets_open(f.nets, true, "e1000", &err));
    assert_string_equal(err.text, "-nic user: no more on-board/default NIC slots available");
    end(&f);
}

/* --- wires --- */

static const uint8_t nobody[6] = {0x52, 0x54, 0, 9, 9, 9};

static size_t plain(uint8_t *frame, size_t size)
{
    memset(frame, 0, size);
    memcpy(frame, nobody, 6);
    frame[12] = 0x88;
    frame[13] = 0xb5;
    frame[14] = (uint8_t)size;
    return size;
}

/* Two NICs on a hub: each hears the other; who is deaf hears it later, or not at all. */
static void hubs(void **state)
{
    static struct fixture f;
    static uint8_t frame[NET_FRAME_MAX + 1];
    struct error err;

    (void)state;
    begin(&f);
    assert_true(nets_add(f.nets, "hubport,id=a,hubid=0", &err));
    assert_true(nets_add(f.nets, "hubport,id=b,hubid=0", &err));
    assert_false(nets_add(f.nets, "hubport,id=b,hubid=0", &err));
    assert_string_equal(err.text, "Duplicate ID 'b' for netdev");
    assert_false(nets_add(f.nets, "hubport,id=c,hubid=1,netdev=b", &err));
    assert_string_equal(err.text, "netdev 'b' is a port of a hub itself");
    attach(&f, &f.nic, net_find(f.nets, "a"));
    attach(&f, &f.other, net_find(f.nets, "b"));
    assert_true(net_send(&f.nic.end, frame, plain(frame, 60)));
    assert_int_equal(f.other.count, 1);
    assert_int_equal(f.nic.count, 0);
    assert_false(net_send(&f.nic.end, frame, 13));
    assert_false(net_send(&f.nic.end, frame, NET_FRAME_MAX + 1));

    f.other.deaf = true;
    for (unsigned i = 0; i < 2000; i++) {
        net_send(&f.nic.end, frame, plain(frame, 100));
    }
    assert_false(net_can_send(&f.nic.end));
    assert_int_equal(f.other.count, 1);
    f.other.deaf = false;
    net_accept(&f.other.end);
    assert_in_range(f.other.count, 100, 1100); /* what two queues hold */
    assert_true(net_can_send(&f.nic.end));

    /* The machine stands: frames wait. */
    unsigned count = f.other.count;
    nets_run(f.nets, false);
    assert_true(net_send(&f.nic.end, frame, plain(frame, 60)));
    assert_int_equal(f.other.count, count);
    nets_run(f.nets, true);
    assert_int_equal(f.other.count, count + 1);

    /* Links, also of back ends. */
    assert_true(nets_set_link(f.nets, "e1000.0", false, &err));
    assert_int_equal(f.nic.links, 1);
    assert_false(net_send(&f.nic.end, frame, 60));
    assert_true(nets_set_link(f.nets, "e1000.0", true, &err));
    assert_true(nets_set_link(f.nets, "b", false, &err));
    assert_int_equal(f.other.links, 1);
    assert_false(net_link_is_up(&f.other.end));
    assert_true(nets_remove(f.nets, "a", &err));
    assert_false(net_link_is_up(&f.nic.end));
    assert_false(net_send(&f.nic.end, frame, 60));
    assert_false(nets_remove(f.nets, "a", &err));
    assert_string_equal(err.text, "Device 'a' not found");
    end(&f);
}

static void dump(void **state)
{
    static struct fixture f;
    struct error err;
    uint8_t frame[100], header[24 + 16];
    char path[] = "/tmp/vitrine-net-XXXXXX";
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    begin(&f);
    char *option = mem_format("filter-dump,id=f0,netdev=a,file=%s,maxlen=80", path);
    nets_option(f.nets, NET_OPTION_OBJECT, option);
    nets_option(f.nets, NET_OPTION_NETDEV, "hubport,id=a,hubid=0");
    free(option);
    if (!nets_open(f.nets, false, "e1000", &err)) {
        fail_msg("%s", err.text);
    }
    attach(&f, &f.nic, net_find(f.nets, "a"));
    assert_true(net_send(&f.nic.end, frame, plain(frame, 60)));
    assert_true(net_send(&f.nic.end, frame, plain(frame, 100)));
    end(&f);
    assert_int_equal(lseek(fd, 0, SEEK_END), 24 + 16 + 60 + 16 + 80);
    assert_int_equal(pread(fd, header, sizeof header, 0), sizeof header);
    static const uint8_t expected[] = {0xd4, 0xc3, 0xb2, 0xa1, 2,  0, 4, 0, 0, 0, 0, 0,
                                       0,    0,    0,    0,    80, 0, 0, 0, 1, 0, 0, 0};
    assert_memory_equal(header, expected, sizeof expected);
    assert_int_equal(header[24 + 8], 60);
    assert_int_equal(pread(fd, header, 16, 24 + 16 + 60), 16);
    assert_int_equal(header[8], 80);
    assert_int_equal(header[12], 100);
    close(fd);
    unlink(path);
}

/* --- user networking: a small guest --- */

static unsigned get16(const uint8_t *at)
{
    return (unsigned)(at[0] << 8 | at[1]);
}

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static void put16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
    put16(at, value >> 16);
    put16(at + 2, value & 0xffff);
}

static const uint8_t guest_mac[6] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};
static const uint8_t guest_ip[4] = {10, 0, 2, 15}, host_ip[4] = {10, 0, 2, 2};
static const uint8_t everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static void ethernet(uint8_t *frame, const uint8_t to[6], unsigned type)
{
    memcpy(frame, to, 6);
    memcpy(frame + 6, guest_mac, 6);
    put16(frame + 12, type);
}

/* `size` bytes follow the 20 of this header. */
static void ipv4(uint8_t *frame, unsigned protocol, const uint8_t from[4], const uint8_t to[4],
                 size_t size)
{
    uint8_t *ip = frame + 14;
    memset(ip, 0, 20);
    ip[0] = 0x45;
    put16(ip + 2, (unsigned)(20 + size));
    ip[8] = 64;
    ip[9] = (uint8_t)protocol;
    memcpy(ip + 12, from, 4);
    memcpy(ip + 16, to, 4);
    put16(ip + 10, (uint16_t)~net_sum(ip, 20, 0));
}

/* Runs until a frame fits, which is returned; those before are passed over. NULL: none came. */
static const uint8_t *await(struct fixture *f, unsigned *seen,
                            bool (*fits)(const uint8_t *frame, size_t size))
{
    uint64_t limit = clock_monotonic() + (uint64_t)PATIENCE_MS * MS;
    while (clock_monotonic() < limit) {
        for (; *seen < f->nic.count; (*seen)++) {
            const uint8_t *bytes = f->nic.frame[*seen % KEPT].bytes;
            if (fits(bytes, f->nic.frame[*seen % KEPT].size)) {
                (*seen)++;
                return bytes;
            }
        }
        step(f);
    }
    return NULL;
}

static bool is_arp_request(const uint8_t *frame, size_t size)
{
    return size >= 42 && get16(frame + 12) == 0x806 && get16(frame + 20) == 1;
}

static bool is_arp_reply(const uint8_t *frame, size_t size)
{
    return size >= 42 && get16(frame + 12) == 0x806 && get16(frame + 20) == 2;
}

static bool is_udp(const uint8_t *frame, size_t size)
{
    return size >= 42 && get16(frame + 12) == 0x800 && frame[23] == 17;
}

static bool is_icmp(const uint8_t *frame, size_t size)
{
    return size >= 42 && get16(frame + 12) == 0x800 && frame[23] == 1;
}

static bool is_tcp(const uint8_t *frame, size_t size)
{
    return size >= 54 && get16(frame + 12) == 0x800 && frame[23] == 6;
}

static void send_arp(struct fixture *f, unsigned operation, const uint8_t target[4])
{
    uint8_t frame[60] = {0};
    ethernet(frame, everybody, 0x806);
    static const uint8_t start[] = {0, 1, 8, 0, 6, 4};
    memcpy(frame + 14, start, sizeof start);
    put16(frame + 20, operation);
    memcpy(frame + 22, guest_mac, 6);
    memcpy(frame + 28, guest_ip, 4);
    memcpy(frame + 38, target, 4);
    assert_true(net_send(&f->nic.end, frame, sizeof frame));
}

static void begin_user(struct fixture *f, const char *options)
{
    struct error err;
    begin(f);
    if (!nets_add(f->nets, options, &err)) {
        fail_msg("%s", err.text);
    }
    attach(f, &f->nic, net_find(f->nets, "u"));
}

static void dhcp(void **state)
{
    static struct fixture f;
    uint8_t frame[14 + 20 + 8 + 300] = {0}, *bootp = frame + 42;
    unsigned seen = 0;
    static const uint8_t zero[4], all[4] = {255, 255, 255, 255};

    (void)state;
    begin_user(&f, "user,id=u,net=192.168.5.0/24,hostname=glass,bootfile=pxe.0");
    ethernet(frame, everybody, 0x800);
    ipv4(frame, 17, zero, all, 308);
    put16(frame + 34, 68);
    put16(frame + 36, 67);
    put16(frame + 38, 308);
    bootp[0] = 1;
    bootp[1] = 1;
    bootp[2] = 6;
    put32(bootp + 4, 0x12345678);
    memcpy(bootp + 28, guest_mac, 6);
    static const uint8_t options[] = {0x63, 0x82, 0x53, 0x63, 53, 1, 1, 255};
    memcpy(bootp + 236, options, sizeof options);
    assert_true(net_send(&f.nic.end, frame, sizeof frame));
    const uint8_t *offer = await(&f, &seen, is_udp);
    assert_non_null(offer);
    assert_int_equal(get16(offer + 36), 68);
    assert_int_equal(get32(offer + 42 + 4), 0x12345678);
    assert_int_equal(get32(offer + 42 + 16), 0xc0a8050f); /* 192.168.5.15 */
    assert_memory_equal(offer + 42 + 236, "\x63\x82\x53\x63\x35\x01\x02", 7);
    assert_string_equal((const char *)offer + 42 + 108, "pxe.0");
    end(&f);
}

static void arp_and_ping(void **state)
{
    static struct fixture f;
    uint8_t frame[14 + 20 + 8 + 32] = {0};
    unsigned seen = 0;

    (void)state;
    begin_user(&f, "user,id=u");
    send_arp(&f, 1, host_ip);
    const uint8_t *reply = await(&f, &seen, is_arp_reply);
    assert_non_null(reply);
    assert_memory_equal(reply + 28, host_ip, 4);
    uint8_t host_mac[6];
    memcpy(host_mac, reply + 22, 6);
    ethernet(frame, host_mac, 0x800);
    ipv4(frame, 1, guest_ip, host_ip, 40);
    frame[34] = 8;
    put16(frame + 38, 77);
    put16(frame + 40, 1);
    memset(frame + 42, 0x5a, 32);
    put16(frame + 36, (uint16_t)~net_sum(frame + 34, 40, 0));
    assert_true(net_send(&f.nic.end, frame, sizeof frame));
    reply = await(&f, &seen, is_icmp);
    assert_non_null(reply);
    assert_int_equal(reply[34], 0);
    assert_int_equal(get16(reply + 38), 77);
    assert_memory_equal(reply + 42, frame + 42, 32);
    end(&f);
}

/* One TCP connection of the guest. */
struct stream {
    struct fixture *f;
    unsigned seen;
    uint16_t port, other_port;
    uint8_t other[4];
    uint32_t sent, got; /* the next numbers */
};

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

static void send_tcp(struct stream *s, unsigned flags, const void *bytes, size_t size)
{
    uint8_t frame[1514] = {0}, *tcp = frame + 34;
    ethernet(frame, (const uint8_t *)"\x52\x55\x0a\x00\x02\x02", 0x800);
    ipv4(frame, 6, guest_ip, s->other, 20 + size);
    put16(tcp, s->port);
    put16(tcp + 2, s->other_port);
    put32(tcp + 4, s->sent);
    put32(tcp + 8, flags & ACK ? s->got : 0);
    tcp[12] = 0x50;
    tcp[13] = (uint8_t)flags;
    put16(tcp + 14, 16000);
    if (size) {
        memcpy(tcp + 20, bytes, size);
    }
    uint16_t sum = net_sum(frame + 26, 8, (uint16_t)(6 + 20 + size));
    put16(tcp + 16, (uint16_t)~net_sum(tcp, 20 + size, sum));
    assert_true(net_send(&s->f->nic.end, frame, 54 + size));
    s->sent += (uint32_t)size + !!(flags & (SYN | FIN));
}

/* The next segment for the guest; its data and flags. Acknowledged if there is data. */
static unsigned receive_tcp(struct stream *s, char *data, size_t *size)
{
    const uint8_t *frame = await(s->f, &s->seen, is_tcp);
    assert_non_null(frame);
    const uint8_t *tcp = frame + 34;
    size_t length = get16(frame + 16) - 20u, header = (tcp[12] >> 4) * 4u;
    unsigned flags = tcp[13];
    assert_int_equal(net_sum(tcp, length, net_sum(frame + 26, 8, (uint16_t)(6 + length))), 0xffff);
    *size = length - header;
    memcpy(data, tcp + header, *size);
    s->got = get32(tcp + 4) + (uint32_t)*size + !!(flags & (SYN | FIN));
    if (*size || flags & FIN) {
        send_tcp(s, ACK, NULL, 0);
    }
    return flags;
}

/* Answers when the router asks who the guest is. */
static void tell_address(struct fixture *f)
{
    send_arp(f, 2, host_ip);
}

static int listen_here(uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

/* Steps until the descriptor is readable. */
static void await_fd(struct fixture *f, int fd)
{
    uint64_t limit = clock_monotonic() + (uint64_t)PATIENCE_MS * MS;
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    while (poll(&wait, 1, 0) == 0 && clock_monotonic() < limit) {
        step(f);
    }
    assert_true(wait.revents & POLLIN);
}

/* The guest connects to a server of this host, at 10.0.2.2. */
static void tcp_out(void **state)
{
    static struct fixture f;
    uint16_t port;
    char data[1600];
    size_t size;

    (void)state;
    int listener = listen_here(&port);
    begin_user(&f, "user,id=u");
    tell_address(&f);
    struct stream s = {.f = &f, .port = 1025, .other_port = port, .sent = 1000};
    memcpy(s.other, host_ip, 4);
    send_tcp(&s, SYN, NULL, 0);
    assert_int_equal(receive_tcp(&s, data, &size) & (SYN | ACK), SYN | ACK);
    send_tcp(&s, ACK, NULL, 0);
    await_fd(&f, listener);
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fd >= 0);
    send_tcp(&s, ACK | PSH, "hello", 5);
    await_fd(&f, fd);
    assert_int_equal(read(fd, data, sizeof data), 5);
    assert_memory_equal(data, "hello", 5);
    assert_int_equal(write(fd, "world!", 6), 6);
    do {
        receive_tcp(&s, data, &size);
    } while (!size);
    assert_int_equal(size, 6);
    assert_memory_equal(data, "world!", 6);
    struct strbuf text;
    strbuf_init(&text);
    nets_print_user(f.nets, &text);
    assert_non_null(strstr(text.data, "Hub -1 (u):\n  Protocol[State]"));
    assert_non_null(strstr(text.data, "TCP[ESTABLISHED]"));
    strbuf_free(&text);
    close(fd); /* and the guest sees its end */
    unsigned flags;
    do {
        flags = receive_tcp(&s, data, &size);
    } while (!(flags & FIN));
    send_tcp(&s, FIN | ACK, NULL, 0);
    close(listener);
    end(&f);
}

static int connect_here(uint16_t port, uint32_t address)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(address), .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof to)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* A port that nothing listens at now. */
static uint16_t free_port(void)
{
    uint16_t port;
    close(listen_here(&port));
    return port;
}

/* A port of the host leads into the guest, from this host only. Much data, and a guest that does
 * not take it for a while. */
static void tcp_in(void **state)
{
    static struct fixture f;
    static char data[NET_FRAME_MAX], sent[200000];
    struct error err;
    uint16_t port = free_port();
    size_t size;

    (void)state;
    begin_user(&f, "user,id=u");
    char *rule = mem_format("tcp::%u-:22", port), *removal = mem_format("tcp::%u", port);
    if (!nets_forward(f.nets, NULL, rule, &err)) {
        fail_msg("%s", err.text);
    }
    assert_false(nets_forward(f.nets, "u", rule, &err));
    assert_non_null(strstr(err.text, "Could not set up host forwarding rule 'tcp::"));
    assert_false(nets_forward(f.nets, "nobody", rule, &err));
    assert_string_equal(err.text, "unrecognized netdev id 'nobody'");
    tell_address(&f);
    int fd = connect_here(port, INADDR_LOOPBACK);
    assert_true(fd >= 0);
    assert_int_equal(connect_here(port, INADDR_LOOPBACK + 1), -1);

    struct stream s = {.f = &f, .port = 22, .sent = 5000};
    assert_int_equal(receive_tcp(&s, data, &size) & (SYN | ACK), SYN);
    const uint8_t *syn = f.nic.frame[(s.seen - 1) % KEPT].bytes;
    memcpy(s.other, syn + 26, 4);
    s.other_port = (uint16_t)get16(syn + 34);
    assert_memory_equal(s.other, host_ip, 4);
    send_tcp(&s, SYN | ACK, NULL, 0);
    receive_tcp(&s, data, &size);
    send_tcp(&s, ACK | PSH, "SSH-2.0\r\n", 9);
    await_fd(&f, fd);
    assert_int_equal(read(fd, data, sizeof data), 9);

    for (size_t i = 0; i < sizeof sent; i++) {
        sent[i] = (char)(i * 31 + (i >> 9));
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    size_t written = 0, got = 0;
    uint64_t limit = clock_monotonic() + (uint64_t)2 * PATIENCE_MS * MS;
    while (got < sizeof sent && clock_monotonic() < limit) {
        ssize_t n = write(fd, sent + written, sizeof sent - written);
        written += n > 0 ? (size_t)n : 0;
        f.nic.deaf = got > 50000 && got < 51000;
        step(&f);
        f.nic.deaf = false;
        net_accept(&f.nic.end);
        while (s.seen < f.nic.count) {
            uint32_t expected = s.got;
            receive_tcp(&s, data, &size);
            assert_int_equal(s.got - (uint32_t)size, expected);
            assert_true(got + size <= sizeof sent);
            assert_memory_equal(data, sent + got, size);
            got += size;
        }
    }
    assert_int_equal(got, sizeof sent);

    assert_true(nets_forward_no_more(f.nets, NULL, removal, &err));
    assert_false(nets_forward_no_more(f.nets, NULL, removal, &err));
    assert_non_null(strstr(err.text, "host forwarding rule for tcp::"));
    assert_non_null(strstr(err.text, " not found"));
    assert_false(nets_forward_no_more(f.nets, NULL, "bogus", &err));
    assert_string_equal(err.text, "invalid format");
    assert_int_equal(connect_here(port, INADDR_LOOPBACK), -1);
    free(rule);
    free(removal);
    close(fd);
    end(&f);
}

static void udp_in(void **state)
{
    static struct fixture f;
    struct error err;
    struct strbuf text;
    unsigned seen = 0;

    (void)state;
    begin_user(&f, "user,id=u,hostfwd=udp::0-:53");
    tell_address(&f);
    strbuf_init(&text);
    nets_print_user(f.nets, &text);
    const char *line = strstr(text.data, "UDP[HOST_FORWARD]");
    assert_non_null(line);
    unsigned number, port;
    assert_int_equal(sscanf(line, "UDP[HOST_FORWARD] %u 127.0.0.1 %u 10.0.2.15 53", &number, &port),
                     2);
    strbuf_free(&text);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(sendto(fd, "query", 5, 0, (struct sockaddr *)&to, sizeof to), 5);
    const uint8_t *frame = await(&f, &seen, is_udp);
    assert_non_null(frame);
    assert_int_equal(get16(frame + 36), 53);
    assert_memory_equal(frame + 42, "query", 5);
    close(fd);
    assert_false(nets_forward(f.nets, NULL, "udp", &err));
    end(&f);
}

/* The router asks for the guest when somebody wants it, and asks again. */
static void who_has(void **state)
{
    static struct fixture f;
    struct error err;
    uint16_t port = free_port();
    unsigned seen = 0;

    (void)state;
    begin_user(&f, "user,id=u");
    char *rule = mem_format("tcp:127.0.0.1:%u-10.0.2.33:22", port);
    assert_true(nets_forward(f.nets, "u", rule, &err));
    free(rule);
    int fd = connect_here(port, INADDR_LOOPBACK);
    assert_true(fd >= 0);
    const uint8_t *request = await(&f, &seen, is_arp_request);
    assert_non_null(request);
    assert_int_equal(get32(request + 38), 0x0a000221);
    close(fd);
    end(&f);
}

/* No network at all. */
static void monitor_without_user(void **state)
{
    static struct fixture f;
    struct error err;

    (void)state;
    begin(&f);
    assert_false(nets_forward(f.nets, NULL, "tcp::1-:1", &err));
    assert_string_equal(err.text, "user mode network stack not in use");
    end(&f);
}

/* Frames that no guest sends. */
static void nonsense(void **state)
{
    static struct fixture f;
    static uint8_t frame[NET_FRAME_MAX];
    uint32_t random = 1;

    (void)state;
    begin_user(&f, "user,id=u");
    tell_address(&f);
    for (unsigned i = 0; i < 3000; i++) {
        for (unsigned j = 0; j < 200; j++) {
            random = random * 1664525 + 1013904223;
            frame[j] = (uint8_t)(random >> 24);
        }
        size_t size = 14 + random % 180;
        ethernet(frame, everybody, i & 1 ? 0x800 : i & 2 ? 0x86dd : 0x806);
        if (i & 1) {
            ipv4(frame, (unsigned[]){1, 6, 17, 2}[i >> 1 & 3], guest_ip, host_ip,
                 random >> 8 & 255);
        }
        net_send(&f.nic.end, frame, size);
        if (i % 100 == 0) {
            step(&f);
        }
    }
    unsigned seen = f.nic.count;
    send_arp(&f, 1, host_ip);
    assert_non_null(await(&f, &seen, is_arp_reply));
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_words),
        cmocka_unit_test(good_words),
        cmocka_unit_test(name_of_tftp),
        cmocka_unit_test(networks),
        cmocka_unit_test(help),
        cmocka_unit_test(too_many_nics),
        cmocka_unit_test(hubs),
        cmocka_unit_test(dump),
        cmocka_unit_test(dhcp),
        cmocka_unit_test(arp_and_ping),
        cmocka_unit_test(tcp_out),
        cmocka_unit_test(tcp_in),
        cmocka_unit_test(udp_in),
        cmocka_unit_test(who_has),
        cmocka_unit_test(monitor_without_user),
        cmocka_unit_test(nonsense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
