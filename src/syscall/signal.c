/* SPDX-License-Identifier: MIT
 *
 * Signals, sets of them, and what is told about them. */
#include "syscall/internal.h"

void syscall_add_signal(struct strbuf *to, unsigned signal)
{
    enum { REALTIME = 32, LAST = 64 };

    if (signal >= REALTIME && signal <= LAST) {
        strbuf_printf(to, "SIGRT_%u", signal - REALTIME);
    } else if (signal == 0) {
        strbuf_putc(to, '0');
    } else {
        syscall_add_word(to, syscall_words_signal, signal);
    }
}

void syscall_show_signal(struct syscall_decoder *d)
{
    syscall_add_signal(d->to, (unsigned)syscall_own(d));
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
            syscall_add_signal(to, signal);
            first = false;
        }
    }
    strbuf_putc(to, ']');
}

void syscall_show_sigset(struct syscall_decoder *d)
{
    uint64_t set;

    if (syscall_fetch_own(d, &set, sizeof set)) {
        add_sigset(d->to, set);
    }
}

void syscall_show_sigset_out(struct syscall_decoder *d)
{
    uint64_t set;

    if (syscall_fetch_written(d, &set, sizeof set)) {
        add_sigset(d->to, set);
    }
}

void syscall_show_siginfo_out(struct syscall_decoder *d)
{
    int32_t info[3];

    if (syscall_fetch_written(d, info, sizeof info)) {
        strbuf_puts(d->to, "{");
        syscall_add_signal(d->to, (unsigned)info[0]);
        strbuf_printf(d->to, ",si_code=%d}", info[2]);
    }
}

static void add_sigaction(struct syscall_decoder *d, const uint64_t action[4])
{
    strbuf_putc(d->to, '{');
    if (action[0] == 0 || action[0] == 1) {
        strbuf_puts(d->to, action[0] ? "SIG_IGN" : "SIG_DFL");
    } else {
        syscall_add_pointer(d->to, action[0]);
    }
    strbuf_putc(d->to, ',');
    add_sigset(d->to, action[3]);
    strbuf_putc(d->to, ',');
    if (action[1]) {
        syscall_add_flags(d->to, syscall_words_sa_flags, action[1]);
    } else {
        strbuf_putc(d->to, '0');
    }
    strbuf_putc(d->to, '}');
}

void syscall_show_sigaction(struct syscall_decoder *d)
{
    uint64_t action[4];

    if (syscall_fetch_own(d, action, sizeof action)) {
        add_sigaction(d, action);
    }
}

void syscall_show_sigaction_out(struct syscall_decoder *d)
{
    uint64_t action[4];

    if (syscall_fetch_written(d, action, sizeof action)) {
        add_sigaction(d, action);
    }
}

static void add_stack(struct syscall_decoder *d, const uint64_t stack[3])
{
    strbuf_puts(d->to, "{");
    syscall_add_pointer(d->to, stack[0]);
    strbuf_putc(d->to, ',');
    if ((uint32_t)stack[1]) {
        syscall_add_flags(d->to, syscall_words_stack_flags, (uint32_t)stack[1]);
    } else {
        strbuf_putc(d->to, '0');
    }
    strbuf_printf(d->to, ",%lu}", (unsigned long)stack[2]);
}

void syscall_show_stack(struct syscall_decoder *d)
{
    uint64_t stack[3];

    if (syscall_fetch_own(d, stack, sizeof stack)) {
        add_stack(d, stack);
    }
}

void syscall_show_stack_out(struct syscall_decoder *d)
{
    uint64_t stack[3];

    if (syscall_fetch_written(d, stack, sizeof stack)) {
        add_stack(d, stack);
    }
}

void syscall_show_status(struct syscall_decoder *d)
{
    int32_t status;

    if (!d->result || *d->result <= 0) {
        syscall_show_pointer(d);
    } else if (syscall_fetch_own(d, &status, sizeof status)) {
        unsigned signal = (unsigned)status & 0x7f, code = (unsigned)status >> 8 & 0xff;
        if (signal == 0) {
            strbuf_printf(d->to, "[exited %u]", code);
        } else if (signal == 0x7f) {
            strbuf_puts(d->to, "[stopped ");
            syscall_add_word(d->to, syscall_words_signal, code);
            strbuf_putc(d->to, ']');
        } else {
            strbuf_puts(d->to, "[killed ");
            syscall_add_word(d->to, syscall_words_signal, signal);
            strbuf_puts(d->to, status & 0x80 ? " core]" : "]");
        }
    }
}
