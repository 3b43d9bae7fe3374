/* SPDX-License-Identifier: MIT
 *
 * Arguments that are numbers and addresses. */
#include "syscall/internal.h"

void syscall_add_pointer(struct strbuf *to, uint64_t address)
{
    if (address) {
        strbuf_printf(to, "0x%016lx", (unsigned long)address);
    } else {
        strbuf_puts(to, "NULL");
    }
}

void syscall_show_nothing(struct syscall_decoder *d)
{
    (void)d;
}

void syscall_show_int(struct syscall_decoder *d)
{
    strbuf_printf(d->to, "%d", (int)syscall_own(d));
}

void syscall_show_uint(struct syscall_decoder *d)
{
    strbuf_printf(d->to, "%u", (unsigned)syscall_own(d));
}

void syscall_show_long(struct syscall_decoder *d)
{
    strbuf_printf(d->to, "%ld", (long)syscall_own(d));
}

void syscall_show_size(struct syscall_decoder *d)
{
    strbuf_printf(d->to, "%lu", (unsigned long)syscall_own(d));
}

void syscall_show_hex(struct syscall_decoder *d)
{
    strbuf_printf(d->to, syscall_own(d) ? "%#lx" : "0", (unsigned long)syscall_own(d));
}

void syscall_show_octal(struct syscall_decoder *d)
{
    strbuf_printf(d->to, "%#o", (unsigned)syscall_own(d));
}

void syscall_show_pointer(struct syscall_decoder *d)
{
    syscall_add_pointer(d->to, syscall_own(d));
}

void syscall_show_at_fd(struct syscall_decoder *d)
{
    if ((int)syscall_own(d) == -100) {
        strbuf_puts(d->to, "AT_FDCWD");
    } else {
        syscall_show_int(d);
    }
}
