/* SPDX-License-Identifier: MIT
 *
 * Sets of flags and enumerations: the tables of words.def, and what shows them. */
#include "syscall/internal.h"

#define SET(name)                const struct syscall_word syscall_words_##name[] = {
#define ENUM(name)               const struct syscall_word syscall_words_##name[] = {
#define WORD(value, text)        {value, value, text},
#define FIELD(mask, value, text) {mask, value, text},
#define END        \
    {              \
        0, 0, NULL \
    }              \
    }              \
    ;
#include "syscall/words.def"
#undef SET
#undef ENUM
#undef WORD
#undef FIELD
#undef END

void syscall_add_flags(struct strbuf *to, const struct syscall_word *word, uint64_t value)
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

void syscall_add_word(struct strbuf *to, const struct syscall_word *word, uint64_t value)
{
    for (; word->text; word++) {
        if (word->value == value) {
            strbuf_puts(to, word->text);
            return;
        }
    }
    strbuf_printf(to, "%#lx", (unsigned long)value);
}

void syscall_show_clone_flags(struct syscall_decoder *d)
{
    enum { EXIT_SIGNAL = 0xff, PLAIN = -256 };
    uint64_t flags = syscall_own(d) & (uint64_t)(int64_t)PLAIN;

    if (flags) {
        syscall_add_flags(d->to, syscall_words_clone_flags, flags);
    }
    if ((syscall_own(d) & EXIT_SIGNAL) || !flags) {
        strbuf_puts(d->to, flags ? "|" : "");
        syscall_add_signal(d->to, (unsigned)(syscall_own(d) & EXIT_SIGNAL));
    }
}

/* A set of which 0 has no word of its own is 0. */
static void add_set(struct syscall_decoder *d, const struct syscall_word *words)
{
    bool zero_has_word = words->mask != words->value || words->value == 0;

    if ((uint32_t)syscall_own(d) == 0 && !zero_has_word && words != syscall_words_access) {
        strbuf_putc(d->to, '0');
    } else {
        syscall_add_flags(d->to, words, (uint32_t)syscall_own(d));
    }
}

#define SHOW_SET(name)                                  \
    void syscall_show_##name(struct syscall_decoder *d) \
    {                                                   \
        add_set(d, syscall_words_##name);               \
    }
#define SHOW_ENUM(name)                                                          \
    void syscall_show_##name(struct syscall_decoder *d)                          \
    {                                                                            \
        syscall_add_word(d->to, syscall_words_##name, (uint32_t)syscall_own(d)); \
    }

// clang-format off
SHOW_SET(open_flags) SHOW_SET(at_flags) SHOW_SET(access) SHOW_SET(prot) SHOW_SET(map_flags)
SHOW_SET(mremap_flags) SHOW_SET(msync_flags) SHOW_SET(msg_flags) SHOW_SET(memfd_flags)
SHOW_SET(wait_options) SHOW_SET(socket_type) SHOW_SET(futex)
SHOW_ENUM(seek) SHOW_ENUM(madvice) SHOW_ENUM(address_family) SHOW_ENUM(sig_how) SHOW_ENUM(itimer)
SHOW_ENUM(clock) SHOW_ENUM(fcntl) SHOW_ENUM(ioctl) SHOW_ENUM(rlimit_name) SHOW_ENUM(prctl)
SHOW_ENUM(arch_prctl) SHOW_ENUM(epoll_op) SHOW_ENUM(seccomp_op)
    // clang-format on
