/* SPDX-License-Identifier: MIT
 *
 * System calls as text: "openat(AT_FDCWD,"/etc/passwd",O_RDONLY|O_CLOEXEC) = 3". What the arguments
 * mean is told by the rows of calls.def, how each is shown by kinds.def. */
#include "syscall/internal.h"

#include <string.h>

static void (*const shows[SYSCALL_KINDS])(struct syscall_decoder *d) = {
#define KIND(name, show, writes, size) syscall_show_##show,
#include "syscall/kinds.def"
#undef KIND
};

static void add_arguments(struct strbuf *to, const struct syscall_row *row,
                          const struct syscall_call *call)
{
    struct syscall_decoder d = {to, call->args, call->result, 0, call->memory};

    for (; d.i < SYSCALL_ARGS && row->kind[d.i] != SYSCALL_KIND_NONE; d.i++) {
        strbuf_puts(to, d.i ? "," : "");
        shows[row->kind[d.i]](&d);
    }
}

static void add_numbers(struct strbuf *to, const uint64_t *args)
{
    for (unsigned i = 0; i < SYSCALL_ARGS; i++) {
        strbuf_printf(to, i ? ",%#lx" : "%#lx", (unsigned long)args[i]);
    }
}

static void add_result(struct strbuf *to, char kind, int64_t result)
{
    if (result < 0 && result >= -SYSCALL_ERRORS) {
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

void syscall_text(struct strbuf *to, const struct syscall_call *call)
{
    const struct syscall_row *row = syscall_row(call->number);

    if (row) {
        strbuf_printf(to, "%s(", row->name);
    } else {
        strbuf_printf(to, "syscall_%lu(", (unsigned long)call->number);
    }
    if (!call->args) {
        strbuf_puts(to, "...");
    } else if (row) {
        add_arguments(to, row, call);
    } else {
        add_numbers(to, call->args);
    }
    strbuf_putc(to, ')');
    if (call->result) {
        add_result(to, row ? row->result : 'I', *call->result);
    }
}

void syscall_argument_text(struct strbuf *to, const struct syscall_call *call, unsigned i)
{
    const struct syscall_row *row = syscall_row(call->number);

    if (row && i < SYSCALL_ARGS) {
        struct syscall_decoder d = {to, call->args, call->result, i, call->memory};
        shows[row->kind[i]](&d);
    }
}
