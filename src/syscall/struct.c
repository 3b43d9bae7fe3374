/* SPDX-License-Identifier: MIT
 *
 * Structures behind arguments: times, limits, addresses of sockets, sets of descriptors, what
 * clone3 and openat2 are asked for. */
#include "syscall/internal.h"

#include <string.h>
#include <sys/socket.h>

enum { STRUCTS_SHOWN = 8 };

void syscall_show_sockaddr_in(struct syscall_decoder *d)
{
    uint8_t bytes[128] = {0};
    uint64_t size =
        syscall_arg(d, d->i + 1) < sizeof bytes - 1 ? syscall_arg(d, d->i + 1) : sizeof bytes - 1;
    uint16_t family = 0;

    if (!syscall_own(d) || size < sizeof family || !syscall_fetch(d, syscall_own(d), bytes, size)) {
        syscall_show_pointer(d);
        return;
    }
    memcpy(&family, bytes, sizeof family);
    strbuf_puts(d->to, "{");
    syscall_add_word(d->to, syscall_words_address_family, family);
    if (family == AF_UNIX) {
        const char *path = (const char *)bytes + sizeof family;
        bool abstract = size > sizeof family && !*path;
        strbuf_puts(d->to, abstract ? ",@" : ",");
        syscall_add_quoted(d->to, path + abstract, strlen(path + abstract), false);
    } else if (family == AF_INET && size >= 8) {
        strbuf_printf(d->to, ",port=%u,%u.%u.%u.%u", bytes[2] << 8 | bytes[3], bytes[4], bytes[5],
                      bytes[6], bytes[7]);
    } else if (family == AF_INET6 && size >= 24) {
        strbuf_printf(d->to, ",port=%u,", bytes[2] << 8 | bytes[3]);
        for (unsigned i = 8; i < 24; i += 2) {
            strbuf_printf(d->to, i > 8 ? ":%x" : "%x", bytes[i] << 8 | bytes[i + 1]);
        }
    }
    strbuf_puts(d->to, "}");
}

void syscall_show_fds(struct syscall_decoder *d)
{
    int32_t fd[2];

    if (syscall_fetch_written(d, fd, sizeof fd)) {
        strbuf_printf(d->to, "[%d,%d]", fd[0], fd[1]);
    }
}

static void add_one_int(struct syscall_decoder *d, bool there)
{
    int32_t value;

    if (there ? syscall_fetch_own(d, &value, sizeof value)
              : syscall_fetch_written(d, &value, sizeof value)) {
        strbuf_printf(d->to, "[%d]", value);
    }
}

void syscall_show_int_in(struct syscall_decoder *d)
{
    add_one_int(d, true);
}

void syscall_show_int_out(struct syscall_decoder *d)
{
    add_one_int(d, false);
}

void syscall_show_long_in(struct syscall_decoder *d)
{
    int64_t value;

    if (syscall_fetch_own(d, &value, sizeof value)) {
        strbuf_printf(d->to, "[%ld]", (long)value);
    }
}

void syscall_show_long_out(struct syscall_decoder *d)
{
    int64_t value;

    if (syscall_fetch_written(d, &value, sizeof value)) {
        strbuf_printf(d->to, "[%ld]", (long)value);
    }
}

void syscall_show_stat(struct syscall_decoder *d)
{
    uint64_t stat[18]; /* struct stat: mode in the upper half of word 3, low half; size word 6 */

    if (syscall_fetch_written(d, stat, sizeof stat)) {
        strbuf_printf(d->to, "{st_mode=%#o,st_size=%lu}", (unsigned)stat[3],
                      (unsigned long)stat[6]);
    }
}

/* Pairs of seconds and parts of them: {s,p} or {{s,p},{s,p}}. */
static void add_times(struct syscall_decoder *d, unsigned pairs, bool there)
{
    int64_t time[4];
    size_t size = pairs * 2 * sizeof *time;

    if (!(there ? syscall_fetch_own(d, time, size) : syscall_fetch_written(d, time, size))) {
        return;
    }
    if (pairs == 1) {
        strbuf_printf(d->to, "{%ld,%ld}", (long)time[0], (long)time[1]);
    } else {
        strbuf_printf(d->to, "{{%ld,%ld},{%ld,%ld}}", (long)time[0], (long)time[1], (long)time[2],
                      (long)time[3]);
    }
}

void syscall_show_timeval(struct syscall_decoder *d)
{
    add_times(d, 1, true);
}

void syscall_show_timeval_out(struct syscall_decoder *d)
{
    add_times(d, 1, false);
}

void syscall_show_timespec(struct syscall_decoder *d)
{
    add_times(d, 1, true);
}

void syscall_show_timespec_out(struct syscall_decoder *d)
{
    add_times(d, 1, false);
}

void syscall_show_itimerval(struct syscall_decoder *d)
{
    add_times(d, 2, true);
}

void syscall_show_itimerval_out(struct syscall_decoder *d)
{
    add_times(d, 2, false);
}

void syscall_show_itimerspec(struct syscall_decoder *d)
{
    add_times(d, 2, true);
}

void syscall_show_itimerspec_out(struct syscall_decoder *d)
{
    add_times(d, 2, false);
}

static void add_limit(struct strbuf *to, uint64_t value)
{
    if (value == UINT64_MAX) {
        strbuf_puts(to, "RLIM_INFINITY");
    } else {
        strbuf_printf(to, "%lu", (unsigned long)value);
    }
}

static void add_limits(struct syscall_decoder *d, const uint64_t limit[2])
{
    strbuf_putc(d->to, '{');
    add_limit(d->to, limit[0]);
    strbuf_putc(d->to, ',');
    add_limit(d->to, limit[1]);
    strbuf_putc(d->to, '}');
}

void syscall_show_rlimit(struct syscall_decoder *d)
{
    uint64_t limit[2];

    if (syscall_fetch_own(d, limit, sizeof limit)) {
        add_limits(d, limit);
    }
}

void syscall_show_rlimit_out(struct syscall_decoder *d)
{
    uint64_t limit[2];

    if (syscall_fetch_written(d, limit, sizeof limit)) {
        add_limits(d, limit);
    }
}

void syscall_show_pollfds(struct syscall_decoder *d)
{
    struct {
        int32_t fd;
        int16_t events, revents;
    } poll[STRUCTS_SHOWN];
    uint64_t count = syscall_arg(d, d->i + 1);
    uint64_t shown = count < STRUCTS_SHOWN ? count : STRUCTS_SHOWN;
    size_t there = shown ? syscall_read(d, syscall_own(d), poll, shown * sizeof *poll) : 0;

    if (shown && there < sizeof *poll) {
        syscall_show_pointer(d);
        return;
    }
    shown = there / sizeof *poll;
    strbuf_putc(d->to, '[');
    for (unsigned i = 0; i < shown; i++) {
        strbuf_printf(d->to, i ? ",{%d," : "{%d,", poll[i].fd);
        syscall_add_flags(d->to, syscall_words_poll_events, (uint16_t)poll[i].events);
        if (d->result && *d->result > 0 && poll[i].revents) {
            strbuf_puts(d->to, ":");
            syscall_add_flags(d->to, syscall_words_poll_events, (uint16_t)poll[i].revents);
        }
        strbuf_putc(d->to, '}');
    }
    strbuf_puts(d->to, shown < count ? ",...]" : "]");
}

void syscall_show_fdset(struct syscall_decoder *d)
{
    uint8_t set[128] = {0};
    uint64_t count = syscall_arg(d, 0) < sizeof set * 8 ? syscall_arg(d, 0) : sizeof set * 8;
    bool first = true;

    if (!syscall_own(d) || !syscall_fetch(d, syscall_own(d), set, (count + 7) / 8)) {
        syscall_show_pointer(d);
        return;
    }
    strbuf_putc(d->to, '[');
    for (unsigned fd = 0; fd < count; fd++) {
        if (set[fd / 8] >> fd % 8 & 1) {
            strbuf_printf(d->to, first ? "%u" : " %u", fd);
            first = false;
        }
    }
    strbuf_putc(d->to, ']');
}

void syscall_show_epoll_event(struct syscall_decoder *d)
{
    uint32_t event[3];

    if (syscall_fetch_own(d, event, sizeof event)) {
        strbuf_putc(d->to, '{');
        syscall_add_flags(d->to, syscall_words_epoll_events, event[0]);
        strbuf_printf(d->to, ",%#lx}", (unsigned long)event[1] | (unsigned long)event[2] << 32);
    }
}

void syscall_show_clone_args(struct syscall_decoder *d)
{
    uint64_t clone[8];

    if (syscall_fetch_own(d, clone, sizeof clone)) {
        strbuf_puts(d->to, "{flags=");
        if (clone[0]) {
            syscall_add_flags(d->to, syscall_words_clone_flags, clone[0]);
        } else {
            strbuf_putc(d->to, '0');
        }
        strbuf_puts(d->to, ",exit_signal=");
        syscall_add_signal(d->to, (unsigned)clone[4]);
        strbuf_printf(d->to, ",stack=%#lx,stack_size=%#lx,tls=%#lx}", (unsigned long)clone[5],
                      (unsigned long)clone[6], (unsigned long)clone[7]);
    }
}

void syscall_show_open_how(struct syscall_decoder *d)
{
    uint64_t how[3];

    if (syscall_fetch_own(d, how, sizeof how)) {
        strbuf_puts(d->to, "{");
        syscall_add_flags(d->to, syscall_words_open_flags, how[0]);
        strbuf_printf(d->to, ",%#o,%#lx}", (unsigned)how[1], (unsigned long)how[2]);
    }
}
