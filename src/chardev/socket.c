/* SPDX-License-Identifier: MIT
 *
 * Sockets: TCP and Unix, as server (one client at a time) and as client, with TELNET (RFC 854) on
 * top if wanted; and UDP.
 *
 * Without a host, servers listen at 127.0.0.1 only. Unix sockets are made so that only this user
 * can connect. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "base/memory.h"
#include "chardev/internal.h"

enum { BACKLOG = 1, RECONNECT_MAX = 86400 };

static const char localhost[] = "127.0.0.1";

/* RFC 854, 856, 857, 858. */
enum telnet {
    TELNET_SUBOPTION_END = 240,
    TELNET_BREAK = 243,
    TELNET_SUBOPTION = 250,
    TELNET_WILL = 251,
    TELNET_DO = 253,
    TELNET_DONT = 254,
    TELNET_IAC = 255,
    TELNET_BINARY = 0,
    TELNET_ECHO = 1,
    TELNET_GO_AHEAD = 3, /* to suppress it */
};

enum telnet_state { TELNET_DATA, TELNET_COMMAND, TELNET_OPTION, TELNET_SKIP, TELNET_SKIP_IAC };

struct address {
    struct sockaddr_storage bytes;
    socklen_t length;
};

struct socket_chardev {
    struct stream stream;
    struct address address;
    bool server, wait, no_delay, telnet, unlink;
    bool half; /* the first of two IAC went out */
    uint8_t telnet_state;
    uint64_t reconnect;    /* seconds; 0: never */
    int listener, pending; /* -1: none. pending: while it connects */
    struct loop_watch *listener_watch, *pending_watch;
    struct timer retry;
    bool have_timer;
    char *name; /* "tcp:HOST:PORT,server=on" */
};

/* --- addresses --- */

static bool resolve(const char *host, const char *port, int type, bool to_listen,
                    struct address *address, struct error *err)
{
    struct addrinfo hints = {.ai_socktype = type, .ai_flags = to_listen ? AI_PASSIVE : 0}, *found;

    int failed = getaddrinfo(host && host[0] ? host : localhost, port, &hints, &found);
    if (failed) {
        return error_set(err, "%s:%s: %s", host && host[0] ? host : localhost, port,
                         gai_strerror(failed));
    }
    memcpy(&address->bytes, found->ai_addr, found->ai_addrlen);
    address->length = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

static bool unix_address(const char *path, struct address *address, struct error *err)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&address->bytes;

    if (!path[0] || strlen(path) >= sizeof un->sun_path) {
        return error_set(err, "the path of a socket has from 1 to %zu bytes",
                         sizeof un->sun_path - 1);
    }
    un->sun_family = AF_UNIX;
    strcpy(un->sun_path, path);
    address->length = sizeof *un;
    return true;
}

/* "tcp:HOST:PORT" or "unix:PATH". */
static char *address_text(const struct address *address)
{
    char host[128], port[16];

    if (address->bytes.ss_family == AF_UNIX) {
        return mem_format("unix:%s", ((const struct sockaddr_un *)&address->bytes)->sun_path);
    }
    if (getnameinfo((const struct sockaddr *)&address->bytes, address->length, host, sizeof host,
                    port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV)) {
        return mem_string("socket");
    }
    return mem_format(address->bytes.ss_family == AF_INET6 ? "tcp:[%s]:%s" : "tcp:%s:%s", host,
                      port);
}

static void show(struct socket_chardev *chardev, bool connected)
{
    struct chardev *own = &chardev->stream.chardev;

    free(own->where);
    own->where = mem_format("%s%s", connected ? "" : "disconnected:", chardev->name);
}

/* --- TELNET --- */

static size_t telnet_filter(struct stream *stream, uint8_t *bytes, size_t count)
{
    struct socket_chardev *chardev = (struct socket_chardev *)stream;
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        uint8_t byte = bytes[i];
        switch ((enum telnet_state)chardev->telnet_state) {
        case TELNET_DATA:
            if (byte == TELNET_IAC) {
                chardev->telnet_state = TELNET_COMMAND;
            } else {
                bytes[kept++] = byte;
            }
            break;
        case TELNET_COMMAND:
            chardev->telnet_state = TELNET_DATA;
            if (byte == TELNET_IAC) {
                bytes[kept++] = byte;
            } else if (byte == TELNET_BREAK) {
                chardev_tell(&stream->chardev, CHARDEV_BREAK);
            } else if (byte == TELNET_SUBOPTION) {
                chardev->telnet_state = TELNET_SKIP;
            } else if (byte >= TELNET_WILL && byte <= TELNET_DONT) {
                chardev->telnet_state = TELNET_OPTION;
            }
            break;
        case TELNET_OPTION: chardev->telnet_state = TELNET_DATA; break;
        case TELNET_SKIP:
            if (byte == TELNET_IAC) {
                chardev->telnet_state = TELNET_SKIP_IAC;
            }
            break;
        case TELNET_SKIP_IAC:
            chardev->telnet_state = byte == TELNET_SUBOPTION_END ? TELNET_DATA : TELNET_SKIP;
            break;
        }
    }
    return kept;
}

static ssize_t telnet_write(struct socket_chardev *chardev, const uint8_t *bytes, size_t count)
{
    static const uint8_t both[2] = {TELNET_IAC, TELNET_IAC};
    struct chardev *own = &chardev->stream.chardev;
    const uint8_t *iac = memchr(bytes, TELNET_IAC, count);

    if (iac != bytes) {
        return stream_write(own, bytes, iac ? (size_t)(iac - bytes) : count);
    }
    ssize_t n = stream_write(own, both, chardev->half ? 1 : 2);
    if (n <= 0) {
        return n;
    }
    chardev->half = n == 1 && !chardev->half;
    return chardev->half ? -1 : 1;
}

static ssize_t socket_write(struct chardev *own, const void *bytes, size_t count)
{
    struct socket_chardev *chardev = (struct socket_chardev *)own;

    if (!chardev->telnet) {
        return stream_write(own, bytes, count);
    }
    size_t done = 0;
    while (done < count) {
        ssize_t n = telnet_write(chardev, (const uint8_t *)bytes + done, count - done);
        if (n <= 0) {
            break;
        }
        done += (size_t)n;
    }
    return done ? (ssize_t)done : -1;
}

/* --- connections --- */

static void try_again_later(struct socket_chardev *chardev)
{
    if (chardev->reconnect) {
        timer_set(&chardev->retry,
                  clock_now(chardev->retry.clock) + chardev->reconnect * 1000000000u);
    }
}

static void gone(struct stream *stream)
{
    struct socket_chardev *chardev = (struct socket_chardev *)stream;

    stream_stop(stream);
    show(chardev, false);
    chardev_set_open(&stream->chardev, false);
    if (chardev->server) {
        loop_watch_set(chardev->listener_watch, LOOP_IN);
    } else {
        try_again_later(chardev);
    }
}

/* Takes the descriptor over. */
static bool connected(struct socket_chardev *chardev, int fd, struct error *err)
{
    static const uint8_t greeting[] = {TELNET_IAC,    TELNET_WILL,     TELNET_ECHO, TELNET_IAC,
                                       TELNET_WILL,   TELNET_GO_AHEAD, TELNET_IAC,  TELNET_WILL,
                                       TELNET_BINARY, TELNET_IAC,      TELNET_DO,   TELNET_BINARY};
    int one = 1, flags = fcntl(fd, F_GETFL);

    if (flags >= 0) {
        fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    }
    if (chardev->no_delay) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    if (chardev->server && chardev->telnet) {
        send(fd, greeting, sizeof greeting, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    if (chardev->listener_watch) {
        loop_watch_set(chardev->listener_watch, 0);
    }
    chardev->telnet_state = TELNET_DATA;
    chardev->half = false;
    show(chardev, true);
    return stream_start(&chardev->stream, fd, fcntl(fd, F_DUPFD_CLOEXEC, 3), err);
}

static void acceptable(void *opaque, unsigned events)
{
    struct socket_chardev *chardev = opaque;

    (void)events;
    int fd = accept4(chardev->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
        connected(chardev, fd, NULL);
    }
}

static void stop_pending(struct socket_chardev *chardev)
{
    loop_unwatch(chardev->pending_watch);
    chardev->pending_watch = NULL;
    if (chardev->pending >= 0) {
        close(chardev->pending);
    }
    chardev->pending = -1;
}

static void decided(void *opaque, unsigned events)
{
    struct socket_chardev *chardev = opaque;
    int failed = 0, fd = chardev->pending;
    socklen_t length = sizeof failed;

    (void)events;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &length);
    if (!failed) {
        chardev->pending = -1;
    }
    stop_pending(chardev);
    if (failed || !connected(chardev, fd, NULL)) {
        try_again_later(chardev);
    }
}

static void retry(void *opaque, uint64_t now)
{
    struct socket_chardev *chardev = opaque;
    struct loop *loop = chardev->stream.chardev.set->loop;

    (void)now;
    int fd =
        socket(chardev->address.bytes.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    chardev->pending = fd;
    if (fd >= 0 &&
        (!connect(fd, (struct sockaddr *)&chardev->address.bytes, chardev->address.length) ||
         errno == EINPROGRESS)) {
        chardev->pending_watch = loop_watch(loop, fd, LOOP_OUT, decided, chardev, NULL);
    }
    if (!chardev->pending_watch) {
        stop_pending(chardev);
        try_again_later(chardev);
    }
}

/* --- opening --- */

static bool nobody_listens(const struct address *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct stat status;
    bool stale = fd >= 0 &&
                 !lstat(((const struct sockaddr_un *)&address->bytes)->sun_path, &status) &&
                 S_ISSOCK(status.st_mode) &&
                 connect(fd, (const struct sockaddr *)&address->bytes, address->length) &&
                 errno == ECONNREFUSED;

    if (fd >= 0) {
        close(fd);
    }
    return stale;
}

static bool bind_and_listen(struct socket_chardev *chardev, struct error *err)
{
    const struct sockaddr *address = (const struct sockaddr *)&chardev->address.bytes;
    bool is_unix = address->sa_family == AF_UNIX;
    int one = 1;

    chardev->listener =
        descriptor_own(socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (chardev->listener < 0) {
        return error_set(err, "no socket can be made: %s", strerror(errno));
    }
    if (!is_unix) {
        setsockopt(chardev->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    } else if (nobody_listens(&chardev->address)) {
        unlink(((const struct sockaddr_un *)address)->sun_path);
    }
    mode_t mask = umask(0177);
    int failed = bind(chardev->listener, address, chardev->address.length) ? errno : 0;
    umask(mask);
    chardev->unlink = is_unix && !failed;
    if (!failed && listen(chardev->listener, BACKLOG)) {
        failed = errno;
    }
    if (failed) {
        char *text = address_text(&chardev->address);
        error_set(err, "%s: %s", text, strerror(failed));
        free(text);
        return false;
    }
    /* Port 0: the kernel chose one. */
    if (!is_unix) {
        chardev->address.length = sizeof chardev->address.bytes;
        getsockname(chardev->listener, (struct sockaddr *)&chardev->address.bytes,
                    &chardev->address.length);
    }
    return true;
}

static bool open_server(struct socket_chardev *chardev, int fd, struct error *err)
{
    struct chardev *own = &chardev->stream.chardev;

    if (fd >= 0) {
        chardev->listener = descriptor_own(fd);
        chardev->address.length = sizeof chardev->address.bytes;
        getsockname(fd, (struct sockaddr *)&chardev->address.bytes, &chardev->address.length);
    } else if (!bind_and_listen(chardev, err)) {
        return false;
    }
    char *text = address_text(&chardev->address);
    chardev->name = mem_format("%s,server=on", text);
    free(text);
    show(chardev, false);
    chardev->listener_watch =
        loop_watch(own->set->loop, chardev->listener, LOOP_IN, acceptable, chardev, err);
    if (!chardev->listener_watch) {
        return false;
    }
    if (chardev->wait) {
        struct pollfd ready = {.fd = chardev->listener, .events = POLLIN};
        fprintf(stderr, "waiting for connection on: %s\n", own->where);
        while (!chardev->stream.running && (poll(&ready, 1, -1) > 0 || errno == EINTR)) {
            acceptable(chardev, LOOP_IN);
        }
    }
    return true;
}

static bool open_client(struct socket_chardev *chardev, struct error *err)
{
    const struct sockaddr *address = (const struct sockaddr *)&chardev->address.bytes;

    chardev->name = address_text(&chardev->address);
    show(chardev, false);
    if (chardev->reconnect) {
        retry(chardev, 0);
        return true;
    }
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, address, chardev->address.length)) {
        error_set(err, "%s: %s", chardev->name, strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return false;
    }
    return connected(chardev, fd, err);
}

static bool read_options(struct socket_chardev *chardev, const struct option_list *options, int *fd,
                         struct error *err)
{
    const char *path = chardev_option(options, "path"), *port = chardev_option(options, "port");
    const char *descriptor = chardev_option(options, "fd");
    const char *reconnect = chardev_option(options, "reconnect");
    uint64_t number;
    bool delay;

    if (!chardev_option_bool(options, "server", false, &chardev->server, err) ||
        !chardev_option_bool(options, "wait", chardev->server, &chardev->wait, err) ||
        !chardev_option_bool(options, "telnet", false, &chardev->telnet, err) ||
        !chardev_option_bool(options, "delay", true, &delay, err) ||
        !chardev_option_bool(options, "nodelay", !delay, &chardev->no_delay, err) ||
        (reconnect &&
         !option_number("reconnect", reconnect, 0, RECONNECT_MAX, &chardev->reconnect, err))) {
        return false;
    }
    if (chardev->wait && !chardev->server) {
        return error_set(err, "'wait' option is incompatible with socket in client connect mode");
    }
    if (chardev->reconnect && chardev->server) {
        return error_set(err,
                         "'reconnect' option is incompatible with socket in server listen mode");
    }
    if (descriptor) {
        if (!option_number("fd", descriptor, 0, INT32_MAX, &number, err)) {
            return false;
        }
        *fd = (int)number;
        return fcntl(*fd, F_GETFD) >= 0 || error_set(err, "fd=%d is not open", *fd);
    }
    if (path) {
        return unix_address(path, &chardev->address, err);
    }
    if (!port) {
        return error_set(err, "socket needs path=FILE for a Unix socket, or port=NUMBER (and "
                              "host=NAME) for TCP, or fd=NUMBER");
    }
    return resolve(chardev_option(options, "host"), port, SOCK_STREAM, chardev->server,
                   &chardev->address, err);
}

static bool socket_open(struct chardev *own, const struct option_list *options, struct error *err)
{
    struct socket_chardev *chardev = (struct socket_chardev *)own;
    int fd = -1;

    chardev->listener = chardev->pending = chardev->stream.in = chardev->stream.out = -1;
    chardev->stream.is_socket = true;
    chardev->stream.ended = gone;
    timer_init(&chardev->retry, loop_clock(own->set->loop), retry, chardev);
    chardev->have_timer = true;
    if (!read_options(chardev, options, &fd, err)) {
        return false;
    }
    chardev->stream.filter = chardev->telnet ? telnet_filter : NULL;
    own->terminal = chardev->telnet;
    if (chardev->server) {
        return open_server(chardev, fd, err);
    }
    if (fd >= 0) {
        chardev->name = mem_format("fd:%d", fd);
        return connected(chardev, fd, err);
    }
    return open_client(chardev, err);
}

static void socket_close(struct chardev *own)
{
    struct socket_chardev *chardev = (struct socket_chardev *)own;

    if (chardev->have_timer) {
        timer_stop(&chardev->retry);
    }
    stop_pending(chardev);
    stream_close(own);
    loop_unwatch(chardev->listener_watch);
    if (chardev->listener >= 0) {
        close(chardev->listener);
    }
    if (chardev->unlink) {
        unlink(((struct sockaddr_un *)&chardev->address.bytes)->sun_path);
    }
    free(chardev->name);
}

const struct chardev_kind chardev_socket = {
    .name = "socket",
    .options = "path host port fd server wait telnet nodelay delay reconnect",
    .help = "path=FILE, or host=NAME,port=NUMBER; server=on waits for a client unless wait=off",
    .size = sizeof(struct socket_chardev),
    .open = socket_open,
    .write = socket_write,
    .want_room = stream_want_room,
    .want_input = stream_want_input,
    .wait = stream_wait,
    .close = socket_close,
};

/* --- UDP --- */

enum { DATAGRAM_SIZE = 4096 };

struct udp {
    struct chardev chardev;
    int fd;
    struct loop_watch *watch;
    uint8_t kept[DATAGRAM_SIZE]; /* what came and the front end has no room for yet */
    size_t first, count;
};

static void udp_give(struct udp *udp)
{
    while (udp->count) {
        size_t room = chardev_can_receive(&udp->chardev);
        size_t count = room < udp->count ? room : udp->count;
        if (!count) {
            return;
        }
        const uint8_t *bytes = udp->kept + udp->first;
        udp->first += count;
        udp->count -= count;
        chardev_receive(&udp->chardev, bytes, count);
    }
}

static void udp_ready(void *opaque, unsigned events)
{
    struct udp *udp = opaque;

    (void)events;
    udp_give(udp);
    if (!udp->count) {
        ssize_t n = recv(udp->fd, udp->kept, sizeof udp->kept, MSG_DONTWAIT);
        udp->first = 0;
        udp->count = n > 0 ? (size_t)n : 0;
        udp_give(udp);
    }
    if (udp->count) {
        loop_watch_set(udp->watch, 0);
    }
}

static bool udp_open(struct chardev *chardev, const struct option_list *options, struct error *err)
{
    struct udp *udp = (struct udp *)chardev;
    const char *port = chardev_option(options, "port");
    const char *local = chardev_option(options, "localport");
    struct address to, from;

    udp->fd = -1;
    if (!port) {
        return error_set(err, "udp needs port=NUMBER");
    }
    if (!resolve(chardev_option(options, "host"), port, SOCK_DGRAM, false, &to, err) ||
        !resolve(chardev_option(options, "localaddr"), local ? local : "0", SOCK_DGRAM, true, &from,
                 err)) {
        return false;
    }
    udp->fd =
        descriptor_own(socket(to.bytes.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (udp->fd < 0 || (local && bind(udp->fd, (struct sockaddr *)&from.bytes, from.length)) ||
        connect(udp->fd, (struct sockaddr *)&to.bytes, to.length)) {
        return error_set(err, "udp: %s", strerror(errno));
    }
    udp->watch = loop_watch(chardev->set->loop, udp->fd, 0, udp_ready, udp, err);
    if (!udp->watch) {
        return false;
    }
    free(chardev->where);
    char *text = address_text(&to);
    chardev->where = mem_format("udp:%s", text + strlen("tcp:"));
    free(text);
    chardev_set_open(chardev, true);
    return true;
}

static ssize_t udp_write(struct chardev *chardev, const void *bytes, size_t count)
{
    struct udp *udp = (struct udp *)chardev;

    count = count < DATAGRAM_SIZE ? count : DATAGRAM_SIZE;
    /* What the network does not take is lost, as datagrams are. */
    send(udp->fd, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT);
    return (ssize_t)count;
}

static void udp_want_input(struct chardev *chardev, bool wanted)
{
    struct udp *udp = (struct udp *)chardev;

    if (udp->watch) {
        if (wanted) {
            udp_give(udp);
        }
        loop_watch_set(udp->watch, wanted && !udp->count ? LOOP_IN : 0);
    }
}

static void udp_close(struct chardev *chardev)
{
    struct udp *udp = (struct udp *)chardev;

    loop_unwatch(udp->watch);
    if (udp->fd >= 0) {
        close(udp->fd);
    }
}

const struct chardev_kind chardev_udp = {
    .name = "udp",
    .options = "host port localaddr localport",
    .help = "datagrams to host=NAME,port=NUMBER, and from there to localport=NUMBER",
    .size = sizeof(struct udp),
    .open = udp_open,
    .write = udp_write,
    .want_input = udp_want_input,
    .close = udp_close,
};
