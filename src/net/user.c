/* SPDX-License-Identifier: MIT
 *
 * User networking: libslirp, a router with DHCP, DNS and TFTP that makes connections of the host's
 * out of the guest's frames, in the event loop.
 *
 * slirp wants to be asked which descriptors it waits for, and to be told which are ready. It is
 * asked after whatever may have changed that: frames, descriptors, its time-outs, which go by the
 * machine's clock. All of this happens in look_after(), on the loop's thread, for which the timer
 * `kick` is set to a time that is over. slirp is never entered while it runs: frames for it wait
 * then. While the guest takes no more frames, slirp's descriptors are not looked at, so that
 * senders outside wait, too. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/logitems.h"
#include "base/loop.h"
#include "base/memory.h"
#include "base/strbuf.h"
#include "net/user.h"
#include "trace-net.h"

enum { MILLISECOND = 1000000 };

struct user_timer {
    struct net_user *user;
    struct timer timer;
    SlirpTimerId id;
    void *opaque;
};

static void kick(struct net_user *user)
{
    if (!timer_is_set(&user->kick)) {
        timer_set(&user->kick, 0);
    }
}

static void enter(struct net_user *user)
{
    user->busy = true;
}

static void leave(struct net_user *user)
{
    user->busy = false;
    kick(user);
}

/* --- descriptors --- */

static void fd_ready(void *opaque, unsigned events)
{
    (void)events;
    kick(opaque);
}

static void watch_fd(struct net_user *user, int fd, unsigned events)
{
    if ((unsigned)fd >= user->watch_count) {
        unsigned count = ((unsigned)fd / 64 + 1) * 64;
        user->watches = mem_resize(user->watches, count, sizeof *user->watches);
        memset(user->watches + user->watch_count, 0,
               (count - user->watch_count) * sizeof *user->watches);
        user->watch_count = count;
    }
    struct net_user_watch *watch = &user->watches[fd];
    watch->wanted = true;
    if (watch->watch) {
        loop_watch_set(watch->watch, events);
    } else if (events) {
        /* Without a watch it is looked at with the time-outs. */
        watch->watch = loop_watch(user->nets->loop, fd, events, fd_ready, user, NULL);
    }
}

static void unwatch_fd(int fd, void *opaque)
{
    struct net_user *user = opaque;

    if (fd >= 0 && (unsigned)fd < user->watch_count) {
        loop_unwatch(user->watches[fd].watch);
        user->watches[fd].watch = NULL;
    }
    for (unsigned i = 0; i < user->fd_count; i++) {
        if (user->fds[i].fd == fd) {
            user->fds[i].fd = -1;
            user->fds[i].revents = 0;
        }
    }
}

static const struct {
    int slirp;
    short poll;
} event_words[] = {
    {SLIRP_POLL_IN, POLLIN},   {SLIRP_POLL_OUT, POLLOUT}, {SLIRP_POLL_PRI, POLLPRI},
    {SLIRP_POLL_ERR, POLLERR}, {SLIRP_POLL_HUP, POLLHUP},
};
enum { EVENT_WORDS = sizeof event_words / sizeof event_words[0] };

static int add_poll(int fd, int events, void *opaque)
{
    struct net_user *user = opaque;
    struct pollfd wanted = {.fd = fd};

    for (unsigned i = 0; i < EVENT_WORDS; i++) {
        wanted.events |= events & event_words[i].slirp ? event_words[i].poll : (short)0;
    }
    if (user->fd_count == user->fd_room) {
        user->fd_room = user->fd_room ? user->fd_room * 2 : 16;
        user->fds = mem_resize(user->fds, user->fd_room, sizeof *user->fds);
    }
    user->fds[user->fd_count] = wanted;
    return (int)user->fd_count++;
}

static int get_revents(int index, void *opaque)
{
    const struct net_user *user = opaque;
    int events = 0;

    for (unsigned i = 0; index >= 0 && (unsigned)index < user->fd_count && i < EVENT_WORDS; i++) {
        events |= user->fds[index].revents & event_words[i].poll ? event_words[i].slirp : 0;
    }
    return events;
}

static void watch_all(struct net_user *user, bool on)
{
    for (unsigned i = 0; i < user->watch_count; i++) {
        user->watches[i].wanted = false;
    }
    for (unsigned i = 0; on && i < user->fd_count; i++) {
        const struct pollfd *fd = &user->fds[i];
        watch_fd(user, fd->fd,
                 (fd->events & POLLIN ? (unsigned)LOOP_IN : 0) |
                     (fd->events & POLLOUT ? (unsigned)LOOP_OUT : 0));
    }
    for (unsigned i = 0; i < user->watch_count; i++) {
        if (user->watches[i].watch && !user->watches[i].wanted) {
            loop_watch_set(user->watches[i].watch, 0);
        }
    }
}

/* --- looking after it --- */

static void tell_ready(struct net_user *user)
{
    int ready = user->fd_count ? poll(user->fds, user->fd_count, 0) : 0;

    for (unsigned i = 0; ready < 0 && i < user->fd_count; i++) {
        user->fds[i].revents = 0;
    }
    trace_slirp_poll(user->end.name, user->fd_count, ready > 0 ? (unsigned)ready : 0);
    enter(user);
    slirp_pollfds_poll(user->slirp, ready < 0, get_revents, user);
    leave(user);
}

static void ask_wanted(struct net_user *user)
{
    uint32_t milliseconds = UINT32_MAX;

    user->fd_count = 0;
    slirp_pollfds_fill(user->slirp, &milliseconds, add_poll, user);
    watch_all(user, true);
    timer_set(&user->poll, milliseconds == UINT32_MAX ? TIMER_NEVER
                                                      : clock_now(user->nets->clock) +
                                                            (uint64_t)milliseconds * MILLISECOND);
}

static void look_after(void *opaque, uint64_t now)
{
    struct net_user *user = opaque;

    (void)now;
    if (net_can_send(&user->end)) {
        tell_ready(user);
        net_accept(&user->end);
    }
    if (net_can_send(&user->end)) {
        ask_wanted(user);
    } else {
        watch_all(user, false);
        timer_stop(&user->poll);
    }
    timer_stop(&user->kick);
}

static void timed_out(void *opaque, uint64_t now)
{
    (void)now;
    kick(opaque);
}

/* --- what slirp calls --- */

static ssize_t send_packet(const void *frame, size_t size, void *opaque)
{
    struct net_user *user = opaque;

    trace_slirp_output(user->end.name, size);
    net_send(&user->end, frame, size);
    return (ssize_t)size;
}

static void guest_error(const char *message, void *opaque)
{
    const struct net_user *user = opaque;

    trace_slirp_guest_error(user->end.name, message);
    if (log_item_on(LOG_GUEST_ERRORS)) {
        char *line = mem_format("slirp: %s\n", message);
        log_text(line, strlen(line));
        free(line);
    }
}

static int64_t clock_get_ns(void *opaque)
{
    return (int64_t)clock_now(((const struct net_user *)opaque)->nets->clock);
}

static void timer_fires(void *opaque, uint64_t now)
{
    const struct user_timer *timer = opaque;

    (void)now;
    enter(timer->user);
    slirp_handle_timer(timer->user->slirp, timer->id, timer->opaque);
    leave(timer->user);
}

static void *timer_new(SlirpTimerId id, void *cb_opaque, void *opaque)
{
    struct user_timer *timer = mem_alloc(sizeof *timer);

    timer->user = opaque;
    timer->id = id;
    timer->opaque = cb_opaque;
    timer_init(&timer->timer, timer->user->nets->clock, timer_fires, timer);
    return timer;
}

static void timer_free(void *timer, void *opaque)
{
    (void)opaque;
    timer_stop(&((struct user_timer *)timer)->timer);
    free(timer);
}

static void timer_mod(void *timer, int64_t milliseconds, void *opaque)
{
    (void)opaque;
    timer_set(&((struct user_timer *)timer)->timer,
              milliseconds > 0 ? (uint64_t)milliseconds * MILLISECOND : 0);
}

static void register_fd(int fd, void *opaque)
{
    (void)fd;
    (void)opaque;
}

static void notify(void *opaque)
{
    kick(opaque);
}

static void init_completed(Slirp *slirp, void *opaque)
{
    ((struct net_user *)opaque)->slirp = slirp;
}

static const SlirpCb callbacks = {
    .send_packet = send_packet,
    .guest_error = guest_error,
    .clock_get_ns = clock_get_ns,
    .timer_free = timer_free,
    .timer_mod = timer_mod,
    .register_poll_fd = register_fd,
    .unregister_poll_fd = unwatch_fd,
    .notify = notify,
    .init_completed = init_completed,
    .timer_new_opaque = timer_new,
};

/* --- the end of the wire --- */

static bool can_receive(void *opaque)
{
    return !((const struct net_user *)opaque)->busy;
}

static void receive(void *opaque, const uint8_t *frame, size_t size)
{
    struct net_user *user = opaque;

    trace_slirp_input(user->end.name, size);
    enter(user);
    slirp_input(user->slirp, frame, (int)size);
    leave(user);
}

static void writable(void *opaque)
{
    kick(opaque);
}

static void describe(void *opaque, struct strbuf *text)
{
    const struct net_user *user = opaque;
    char net[INET_ADDRSTRLEN];

    inet_ntop(AF_INET, &user->net, net, sizeof net);
    strbuf_printf(text, "net=%s,restrict=%s", net, user->restricted ? "on" : "off");
}

static void free_user(void *opaque)
{
    struct net_user *user = opaque;

    timer_stop(&user->kick);
    timer_stop(&user->poll);
    if (user->slirp) {
        slirp_cleanup(user->slirp);
    }
    for (unsigned i = 0; i < user->watch_count; i++) {
        loop_unwatch(user->watches[i].watch);
    }
    free(user->watches);
    free(user->fds);
    free(user);
}

static const struct net_ops user_ops = {
    .type = "user",
    .can_receive = can_receive,
    .receive = receive,
    .writable = writable,
    .describe = describe,
    .free = free_user,
};

bool net_is_user(const struct net_end *end)
{
    return end->ops == &user_ops;
}

/* A connection whose other side went away must not end the program. Whoever has a handler of his
 * own keeps it. */
static void ignore_broken_pipes(void)
{
    struct sigaction old, ignore = {.sa_handler = SIG_IGN};

    if (!sigaction(SIGPIPE, NULL, &old) && old.sa_handler == SIG_DFL) {
        sigaction(SIGPIPE, &ignore, NULL);
    }
}

struct net_end *net_user_open(struct nets *nets, const char *name,
                              const struct option_list *options, struct error *err)
{
    struct net_user_config config;

    if (!net_user_options(options, &config, err)) {
        return NULL;
    }
    struct net_user *user = mem_alloc(sizeof *user);
    ignore_broken_pipes();
    user->nets = nets;
    user->callbacks = callbacks;
    user->net = config.net;
    user->restricted = config.restricted;
    user->end.ops = &user_ops;
    user->end.opaque = user;
    timer_init(&user->kick, loop_clock(nets->loop), look_after, user);
    timer_init(&user->poll, nets->clock, timed_out, user);
    net_end_add(nets, &user->end, name);
    user->slirp = slirp_new(&config.slirp, &user->callbacks, user);
    free(config.search);
    bool good = user->slirp ? net_user_forwards(user, options, err)
                            : error_set(err, "libslirp does not start with these options");
    if (!good) {
        net_end_remove(&user->end);
        free_user(user);
        return NULL;
    }
    kick(user);
    return &user->end;
}

void nets_print_user(const struct nets *nets, struct strbuf *text)
{
    for (const struct net_end *end = nets->first; end; end = end->next) {
        if (!net_is_user(end)) {
            continue;
        }
        char *connections = slirp_connection_info(((struct net_user *)end->opaque)->slirp);
        strbuf_printf(text, "Hub %d (%s):\n%s", net_hub_of(end), end->name, connections);
        free(connections); /* GLib's memory is malloc()'s */
    }
}
