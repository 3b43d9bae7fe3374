/* SPDX-License-Identifier: MIT
 *
 * System calls as text: "openat(AT_FDCWD,"/etc/passwd",O_RDONLY|O_CLOEXEC) = 3". What the arguments
 * mean is told by the rows of syscalls.def; words for numbers are in strace_words.def.
 *
 * Nothing here makes system calls of its own or needs a guest: memory is read through a function,
 * so that a reader of recordings can use it, too. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/strbuf.h"
#include "user/syscalls.h"

enum {
    STRING_SHOWN = 512, /* of paths and other strings */
    BUFFER_SHOWN = 32,  /* of data */
    STRINGS_SHOWN = 16, /* of argv */
    VECTORS_SHOWN = 8,
    ERRORS = 4095,
};

struct decoder {
    struct strbuf *to;
    const uint64_t *args;
    const int64_t *result; /* NULL: before the call */
    unsigned i;            /* which argument */
    user_read_fn *read;
    void *opaque;
};

/* --- words --- */

struct word {
    uint64_t mask, value;
    const char *text;
};

#define SET(name)                static const struct word words_##name[] = {
#define ENUM(name)               static const struct word words_##name[] = {
#define WORD(value, text)        {value, value, text},
#define FIELD(mask, value, text) {mask, value, text},
#define END        \
    {              \
        0, 0, NULL \
    }              \
    }              \
    ;
#include "user/strace_words.def"
#undef SET
#undef ENUM
#undef WORD
#undef FIELD
#undef END

static void add_flags(struct strbuf *to, const struct word *word, uint64_t value)
{
    uint64_t left = value;
    bool first = true;

    for (; word->text; word++) {
        if ((value & word->mask) == word->value && (left & word->value) == word->value) {
            strbuf_printf(to, "%s%s", first ? "" : "|", word->text);
            left &= ~word->mask;
            first = false;
        }
    }
    if (left || first) {
        strbuf_printf(to, first ? "%#lx" : "|%#lx", (unsigned long)left);
    }
}

static void add_word(struct strbuf *to, const struct word *word, uint64_t value)
{
    for (; word->text; word++) {
        if (word->value == value) {
            strbuf_puts(to, word->text);
            return;
        }
    }
    strbuf_printf(to, "%#lx", (unsigned long)value);
}

/* --- memory --- */

static bool fetch(const struct decoder *d, uint64_t address, void *to, size_t size)
{
    return d->read(d->opaque, address, to, size) == size;
}

static uint64_t arg(const struct decoder *d, unsigned i)
{
    return i < USER_SYSCALL_ARGS ? d->args[i] : 0;
}

static uint64_t own(const struct decoder *d)
{
    return arg(d, d->i);
}

static void add_pointer(struct strbuf *to, uint64_t address)
{
    if (address) {
        strbuf_printf(to, "0x%016lx", (unsigned long)address);
    } else {
        strbuf_puts(to, "NULL");
    }
}

/* True if what the kernel has written can be looked at. */
static bool written(const struct decoder *d)
{
    return d->result && *d->result >= 0 && own(d);
}

static void add_quoted(struct strbuf *to, const char *bytes, size_t size, bool cut)
{
    static const char plain[] = "\a\b\t\n\v\f\r\"\\", letter[] = "abtnvfr\"\\";

    strbuf_putc(to, '"');
    for (size_t i = 0; i < size; i++) {
        const char *known = bytes[i] ? strchr(plain, bytes[i]) : NULL;
        if (known) {
            strbuf_printf(to, "\\%c", letter[known - plain]);
        } else if (bytes[i] >= ' ' && bytes[i] <= '~') {
            strbuf_putc(to, bytes[i]);
        } else {
            strbuf_printf(to, "\\%03o", (unsigned char)bytes[i]);
        }
    }
    strbuf_puts(to, cut ? "\"..." : "\"");
}

static void add_string(const struct decoder *d, uint64_t address)
{
    char text[STRING_SHOWN];
    size_t there = address ? d->read(d->opaque, address, text, sizeof text) : 0;
    const char *end = memchr(text, 0, there);

    if (there == 0) {
        add_pointer(d->to, address);
    } else {
        add_quoted(d->to, text, end ? (size_t)(end - text) : there, !end);
    }
}

static void add_bytes(const struct decoder *d, uint64_t address, uint64_t size)
{
    char bytes[BUFFER_SHOWN];
    size_t shown = size < sizeof bytes ? size : sizeof bytes;
    size_t there = address ? d->read(d->opaque, address, bytes, shown) : 0;

    if (there < shown || !address) {
        add_pointer(d->to, address);
    } else {
        add_quoted(d->to, bytes, there, size > there);
    }
}

/* --- how kinds are shown --- */

static void show_nothing(struct decoder *d)
{
    (void)d;
}

static void show_int(struct decoder *d)
{
    strbuf_printf(d->to, "%d", (int)own(d));
}

static void show_uint(struct decoder *d)
{
    strbuf_printf(d->to, "%u", (unsigned)own(d));
}

static void show_long(struct decoder *d)
{
    strbuf_printf(d->to, "%ld", (long)own(d));
}

static void show_size(struct decoder *d)
{
    strbuf_printf(d->to, "%lu", (unsigned long)own(d));
}

static void show_hex(struct decoder *d)
{
    strbuf_printf(d->to, own(d) ? "%#lx" : "0", (unsigned long)own(d));
}

static void show_octal(struct decoder *d)
{
    strbuf_printf(d->to, "%#o", (unsigned)own(d));
}

static void show_pointer(struct decoder *d)
{
    add_pointer(d->to, own(d));
}

static void show_at_fd(struct decoder *d)
{
    if ((int)own(d) == -100) {
        strbuf_puts(d->to, "AT_FDCWD");
    } else {
        show_int(d);
    }
}

static void show_string(struct decoder *d)
{
    add_string(d, own(d));
}

static void show_strings(struct decoder *d)
{
    uint64_t address;
    unsigned i = 0;

    if (!own(d)) {
        add_pointer(d->to, 0);
        return;
    }
    strbuf_putc(d->to, '{');
    for (; i < STRINGS_SHOWN && fetch(d, own(d) + i * sizeof address, &address, sizeof address) &&
           address;
         i++) {
        strbuf_puts(d->to, i ? "," : "");
        add_string(d, address);
    }
    strbuf_puts(d->to, i == STRINGS_SHOWN ? ",...}" : "}");
}

static void show_strings_count(struct decoder *d)
{
    enum { COUNTED = 100000 };
    uint64_t address;
    unsigned i = 0;

    while (i < COUNTED && own(d) &&
           fetch(d, own(d) + i * sizeof address, &address, sizeof address) && address) {
        i++;
    }
    add_pointer(d->to, own(d));
    if (own(d)) {
        strbuf_printf(d->to, " /* %u vars */", i);
    }
}

static void show_buffer_in(struct decoder *d)
{
    add_bytes(d, own(d), arg(d, d->i + 1));
}

static void show_buffer_out(struct decoder *d)
{
    if (written(d)) {
        add_bytes(d, own(d), (uint64_t)*d->result);
    } else {
        show_pointer(d);
    }
}

/* `size`: bytes in all that count. */
static void add_vectors(const struct decoder *d, uint64_t size)
{
    uint64_t vector[2], count = arg(d, d->i + 1);
    unsigned i = 0;

    strbuf_putc(d->to, '[');
    for (; i < count && i < VECTORS_SHOWN; i++) {
        if (!fetch(d, own(d) + i * sizeof vector, vector, sizeof vector)) {
            break;
        }
        uint64_t length = vector[1] < size ? vector[1] : size;
        strbuf_puts(d->to, i ? ",{" : "{");
        add_bytes(d, vector[0], length);
        strbuf_printf(d->to, ",%lu}", (unsigned long)vector[1]);
        size -= length;
    }
    strbuf_puts(d->to, i < count ? ",...]" : "]");
}

static void show_iov_in(struct decoder *d)
{
    add_vectors(d, UINT64_MAX);
}

static void show_iov_out(struct decoder *d)
{
    if (written(d)) {
        add_vectors(d, (uint64_t)*d->result);
    } else {
        show_pointer(d);
    }
}

static void show_sockaddr_in(struct decoder *d)
{
    uint8_t bytes[128] = {0};
    uint64_t size = arg(d, d->i + 1) < sizeof bytes - 1 ? arg(d, d->i + 1) : sizeof bytes - 1;
    uint16_t family = 0;

    if (!own(d) || size < sizeof family || !fetch(d, own(d), bytes, size)) {
        show_pointer(d);
        return;
    }
    memcpy(&family, bytes, sizeof family);
    strbuf_puts(d->to, "{");
    add_word(d->to, words_address_family, family);
    if (family == AF_UNIX) {
        const char *path = (const char *)bytes + sizeof family;
        bool abstract = size > sizeof family && !*path;
        strbuf_puts(d->to, abstract ? ",@" : ",");
        add_quoted(d->to, path + abstract, strlen(path + abstract), false);
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

/* An array of numbers that is at the argument: {a,b}, or the address where it cannot be read. */
static bool fetch_own(struct decoder *d, void *to, size_t size)
{
    if (own(d) && fetch(d, own(d), to, size)) {
        return true;
    }
    show_pointer(d);
    return false;
}

static bool fetch_written(struct decoder *d, void *to, size_t size)
{
    if (!written(d)) {
        show_pointer(d);
        return false;
    }
    return fetch_own(d, to, size);
}

static void show_fds(struct decoder *d)
{
    int32_t fd[2];

    if (fetch_written(d, fd, sizeof fd)) {
        strbuf_printf(d->to, "[%d,%d]", fd[0], fd[1]);
    }
}

static void add_one_int(struct decoder *d, bool there)
{
    int32_t value;

    if (there ? fetch_own(d, &value, sizeof value) : fetch_written(d, &value, sizeof value)) {
        strbuf_printf(d->to, "[%d]", value);
    }
}

static void show_int_in(struct decoder *d)
{
    add_one_int(d, true);
}

static void show_int_out(struct decoder *d)
{
    add_one_int(d, false);
}

static void show_long_in(struct decoder *d)
{
    int64_t value;

    if (fetch_own(d, &value, sizeof value)) {
        strbuf_printf(d->to, "[%ld]", (long)value);
    }
}

static void show_long_out(struct decoder *d)
{
    int64_t value;

    if (fetch_written(d, &value, sizeof value)) {
        strbuf_printf(d->to, "[%ld]", (long)value);
    }
}

static void show_status(struct decoder *d)
{
    int32_t status;

    if (!d->result || *d->result <= 0) {
        show_pointer(d);
    } else if (fetch_own(d, &status, sizeof status)) {
        unsigned signal = (unsigned)status & 0x7f, code = (unsigned)status >> 8 & 0xff;
        if (signal == 0) {
            strbuf_printf(d->to, "[exited %u]", code);
        } else if (signal == 0x7f) {
            strbuf_puts(d->to, "[stopped ");
            add_word(d->to, words_signal, code);
            strbuf_putc(d->to, ']');
        } else {
            strbuf_puts(d->to, "[killed ");
            add_word(d->to, words_signal, signal);
            strbuf_puts(d->to, status & 0x80 ? " core]" : "]");
        }
    }
}

static void show_stat(struct decoder *d)
{
    uint64_t stat[18]; /* struct stat: mode in the upper half of word 3, low half; size word 6 */

    if (fetch_written(d, stat, sizeof stat)) {
        strbuf_printf(d->to, "{st_mode=%#o,st_size=%lu}", (unsigned)stat[3],
                      (unsigned long)stat[6]);
    }
}

/* Pairs of seconds and parts of them: {s,p} or {{s,p},{s,p}}. */
static void add_times(struct decoder *d, unsigned pairs, bool there)
{
    int64_t time[4];
    size_t size = pairs * 2 * sizeof *time;

    if (!(there ? fetch_own(d, time, size) : fetch_written(d, time, size))) {
        return;
    }
    if (pairs == 1) {
        strbuf_printf(d->to, "{%ld,%ld}", (long)time[0], (long)time[1]);
    } else {
        strbuf_printf(d->to, "{{%ld,%ld},{%ld,%ld}}", (long)time[0], (long)time[1], (long)time[2],
                      (long)time[3]);
    }
}

static void show_timeval(struct decoder *d)
{
    add_times(d, 1, true);
}

static void show_timeval_out(struct decoder *d)
{
    add_times(d, 1, false);
}

static void show_timespec(struct decoder *d)
{
    add_times(d, 1, true);
}

static void show_timespec_out(struct decoder *d)
{
    add_times(d, 1, false);
}

static void show_itimerval(struct decoder *d)
{
    add_times(d, 2, true);
}

static void show_itimerval_out(struct decoder *d)
{
    add_times(d, 2, false);
}

static void show_itimerspec(struct decoder *d)
{
    add_times(d, 2, true);
}

static void show_itimerspec_out(struct decoder *d)
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

static void add_limits(struct decoder *d, const uint64_t limit[2])
{
    strbuf_putc(d->to, '{');
    add_limit(d->to, limit[0]);
    strbuf_putc(d->to, ',');
    add_limit(d->to, limit[1]);
    strbuf_putc(d->to, '}');
}

static void show_rlimit(struct decoder *d)
{
    uint64_t limit[2];

    if (fetch_own(d, limit, sizeof limit)) {
        add_limits(d, limit);
    }
}

static void show_rlimit_out(struct decoder *d)
{
    uint64_t limit[2];

    if (fetch_written(d, limit, sizeof limit)) {
        add_limits(d, limit);
    }
}

static void add_signal(struct strbuf *to, unsigned signal)
{
    enum { REALTIME = 32, LAST = 64 };

    if (signal >= REALTIME && signal <= LAST) {
        strbuf_printf(to, "SIGRT_%u", signal - REALTIME);
    } else if (signal == 0) {
        strbuf_putc(to, '0');
    } else {
        add_word(to, words_signal, signal);
    }
}

static void show_signal(struct decoder *d)
{
    add_signal(d->to, (unsigned)own(d));
}

/* [USR1 CHLD], or ~[...] of what is missing where that is shorter. */
static void add_sigset(struct strbuf *to, uint64_t set)
{
    enum { MANY = 32 };
    bool most = __builtin_popcountll(set) > MANY;
    bool first = true;

    set = most ? ~set : set;
    strbuf_puts(to, most ? "~[" : "[");
    for (unsigned signal = 1; signal <= 64; signal++) {
        if (set >> (signal - 1) & 1) {
            strbuf_puts(to, first ? "" : " ");
            add_signal(to, signal);
            first = false;
        }
    }
    strbuf_putc(to, ']');
}

static void show_sigset(struct decoder *d)
{
    uint64_t set;

    if (fetch_own(d, &set, sizeof set)) {
        add_sigset(d->to, set);
    }
}

static void show_sigset_out(struct decoder *d)
{
    uint64_t set;

    if (fetch_written(d, &set, sizeof set)) {
        add_sigset(d->to, set);
    }
}

static void show_siginfo_out(struct decoder *d)
{
    int32_t info[3];

    if (fetch_written(d, info, sizeof info)) {
        strbuf_puts(d->to, "{");
        add_signal(d->to, (unsigned)info[0]);
        strbuf_printf(d->to, ",si_code=%d}", info[2]);
    }
}

static void add_sigaction(struct decoder *d, const uint64_t action[4])
{
    strbuf_putc(d->to, '{');
    if (action[0] == 0 || action[0] == 1) {
        strbuf_puts(d->to, action[0] ? "SIG_IGN" : "SIG_DFL");
    } else {
        add_pointer(d->to, action[0]);
    }
    strbuf_putc(d->to, ',');
    add_sigset(d->to, action[3]);
    strbuf_putc(d->to, ',');
    if (action[1]) {
        add_flags(d->to, words_sa_flags, action[1]);
    } else {
        strbuf_putc(d->to, '0');
    }
    strbuf_putc(d->to, '}');
}

static void show_sigaction(struct decoder *d)
{
    uint64_t action[4];

    if (fetch_own(d, action, sizeof action)) {
        add_sigaction(d, action);
    }
}

static void show_sigaction_out(struct decoder *d)
{
    uint64_t action[4];

    if (fetch_written(d, action, sizeof action)) {
        add_sigaction(d, action);
    }
}

static void add_stack(struct decoder *d, const uint64_t stack[3])
{
    strbuf_puts(d->to, "{");
    add_pointer(d->to, stack[0]);
    strbuf_putc(d->to, ',');
    if ((uint32_t)stack[1]) {
        add_flags(d->to, words_stack_flags, (uint32_t)stack[1]);
    } else {
        strbuf_putc(d->to, '0');
    }
    strbuf_printf(d->to, ",%lu}", (unsigned long)stack[2]);
}

static void show_stack(struct decoder *d)
{
    uint64_t stack[3];

    if (fetch_own(d, stack, sizeof stack)) {
        add_stack(d, stack);
    }
}

static void show_stack_out(struct decoder *d)
{
    uint64_t stack[3];

    if (fetch_written(d, stack, sizeof stack)) {
        add_stack(d, stack);
    }
}

static void show_pollfds(struct decoder *d)
{
    struct {
        int32_t fd;
        int16_t events, revents;
    } poll;
    uint64_t count = arg(d, d->i + 1);
    unsigned i = 0;

    strbuf_putc(d->to, '[');
    for (; i < count && i < VECTORS_SHOWN; i++) {
        if (!fetch(d, own(d) + i * sizeof poll, &poll, sizeof poll)) {
            break;
        }
        strbuf_printf(d->to, i ? ",{%d," : "{%d,", poll.fd);
        add_flags(d->to, words_poll_events, (uint16_t)poll.events);
        if (d->result && *d->result > 0 && poll.revents) {
            strbuf_puts(d->to, ":");
            add_flags(d->to, words_poll_events, (uint16_t)poll.revents);
        }
        strbuf_putc(d->to, '}');
    }
    strbuf_puts(d->to, i < count ? ",...]" : "]");
}

static void show_fdset(struct decoder *d)
{
    uint8_t set[128] = {0};
    uint64_t count = arg(d, 0) < sizeof set * 8 ? arg(d, 0) : sizeof set * 8;
    bool first = true;

    if (!own(d) || !fetch(d, own(d), set, (count + 7) / 8)) {
        show_pointer(d);
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

static void show_epoll_event(struct decoder *d)
{
    uint32_t event[3];

    if (fetch_own(d, event, sizeof event)) {
        strbuf_putc(d->to, '{');
        add_flags(d->to, words_epoll_events, event[0]);
        strbuf_printf(d->to, ",%#lx}", (unsigned long)event[1] | (unsigned long)event[2] << 32);
    }
}

static void show_clone_args(struct decoder *d)
{
    uint64_t clone[8];

    if (fetch_own(d, clone, sizeof clone)) {
        strbuf_puts(d->to, "{flags=");
        if (clone[0]) {
            add_flags(d->to, words_clone_flags, clone[0]);
        } else {
            strbuf_putc(d->to, '0');
        }
        strbuf_puts(d->to, ",exit_signal=");
        add_signal(d->to, (unsigned)clone[4]);
        strbuf_printf(d->to, ",stack=%#lx,stack_size=%#lx,tls=%#lx}", (unsigned long)clone[5],
                      (unsigned long)clone[6], (unsigned long)clone[7]);
    }
}

static void show_open_how(struct decoder *d)
{
    uint64_t how[3];

    if (fetch_own(d, how, sizeof how)) {
        strbuf_puts(d->to, "{");
        add_flags(d->to, words_open_flags, how[0]);
        strbuf_printf(d->to, ",%#o,%#lx}", (unsigned)how[1], (unsigned long)how[2]);
    }
}

static void show_clone_flags(struct decoder *d)
{
    enum { EXIT_SIGNAL = 0xff, PLAIN = -256 };
    uint64_t flags = own(d) & (uint64_t)(int64_t)PLAIN;

    if (flags) {
        add_flags(d->to, words_clone_flags, flags);
    }
    if ((own(d) & EXIT_SIGNAL) || !flags) {
        strbuf_puts(d->to, flags ? "|" : "");
        add_signal(d->to, (unsigned)(own(d) & EXIT_SIGNAL));
    }
}

/* A set of which 0 has no word of its own is 0. */
static void show_set(struct decoder *d, const struct word *words)
{
    bool zero_has_word = words->mask != words->value || words->value == 0;

    if ((uint32_t)own(d) == 0 && !zero_has_word && words != words_access) {
        strbuf_putc(d->to, '0');
    } else {
        add_flags(d->to, words, (uint32_t)own(d));
    }
}

#define SHOW_SET(name)                         \
    static void show_##name(struct decoder *d) \
    {                                          \
        show_set(d, words_##name);             \
    }
#define SHOW_ENUM(name)                                  \
    static void show_##name(struct decoder *d)           \
    {                                                    \
        add_word(d->to, words_##name, (uint32_t)own(d)); \
    }

// clang-format off
SHOW_SET(open_flags) SHOW_SET(at_flags) SHOW_SET(access) SHOW_SET(prot) SHOW_SET(map_flags)
SHOW_SET(mremap_flags) SHOW_SET(msync_flags) SHOW_SET(msg_flags) SHOW_SET(memfd_flags)
SHOW_SET(wait_options) SHOW_SET(socket_type) SHOW_SET(futex)
SHOW_ENUM(seek) SHOW_ENUM(madvice) SHOW_ENUM(address_family) SHOW_ENUM(sig_how) SHOW_ENUM(itimer)
SHOW_ENUM(clock) SHOW_ENUM(fcntl) SHOW_ENUM(ioctl) SHOW_ENUM(rlimit_name) SHOW_ENUM(prctl)
SHOW_ENUM(arch_prctl) SHOW_ENUM(epoll_op) SHOW_ENUM(seccomp_op)
    // clang-format on

    static void (*const shows[USER_KIND_COUNT])(struct decoder *d) = {
#define KIND(name, show, writes, size) show_##show,
#include "user/syscall_kinds.def"
#undef KIND
};

/* --- the whole --- */

static const struct {
    const char *name;
    char result;
    uint8_t kind[USER_SYSCALL_ARGS];
} rows[USER_SYSCALL_MAX] = {
#define KINDS(a, b, c, d, e, f, ...)                                                             \
    {                                                                                            \
        USER_KIND_##a, USER_KIND_##b, USER_KIND_##c, USER_KIND_##d, USER_KIND_##e, USER_KIND_##f \
    }
#define SYS(number, name, how, result, sleeps, ...) \
    [number] = {#name, #result[0], KINDS(__VA_ARGS__, NONE, NONE, NONE, NONE, NONE, NONE)},
#include "user/syscalls.def"
#undef SYS
#undef KINDS
};

static void add_unknown(struct strbuf *to, uint64_t number, const uint64_t *args)
{
    strbuf_printf(to, "syscall_%lu(", (unsigned long)number);
    for (unsigned i = 0; i < USER_SYSCALL_ARGS; i++) {
        strbuf_printf(to, i ? ",%#lx" : "%#lx", (unsigned long)args[i]);
    }
}

static void add_result(struct strbuf *to, char kind, int64_t result)
{
    if (result < 0 && result >= -ERRORS) {
        int number = (int)-result;
        const char *name = strerrorname_np(number);
        strbuf_printf(to, " = -1 errno=%d (", number);
        if (name) {
            strbuf_printf(to, "%s, %s)", name, strerrordesc_np(number));
        } else {
            strbuf_puts(to, "unknown)");
        }
    } else if (kind == 'H') {
        strbuf_printf(to, " = 0x%016lx", (unsigned long)result);
    } else {
        strbuf_printf(to, " = %ld", (long)result);
    }
}

void user_strace(struct strbuf *to, uint64_t number, const uint64_t *args, const int64_t *result,
                 user_read_fn *read, void *opaque)
{
    struct decoder d = {to, args, result, 0, read, opaque};
    char kind = 'I';

    if (number >= USER_SYSCALL_MAX || !rows[number].name) {
        add_unknown(to, number, args);
    } else {
        kind = rows[number].result;
        strbuf_printf(to, "%s(", rows[number].name);
        for (; d.i < USER_SYSCALL_ARGS && rows[number].kind[d.i] != USER_KIND_NONE; d.i++) {
            strbuf_puts(to, d.i ? "," : "");
            shows[rows[number].kind[d.i]](&d);
        }
    }
    strbuf_putc(to, ')');
    if (result) {
        add_result(to, kind, *result);
    }
}
