/* SPDX-License-Identifier: MIT
 *
 * Runs the rows of a program's table: struct row.
 */
#include "bare.h"

extern const struct row *const rows_start[], *const rows_end[];

static struct context context_of(const struct row *row)
{
    struct context context = kernel_context(row->code);
    switch (row->mode) {
    case MODE_KERNEL: break;
    case MODE_USER: return user_context(row->code);
    case MODE_KERNEL16: return kernel_context16(row->code);
    case MODE_USER16:
        context.cs = USER_CODE16;
        context.ss = context.ds = context.es = USER_DATA16;
        break;
#ifdef __x86_64__
    case MODE_KERNEL32: return kernel_context32(row->code);
    case MODE_USER32: return user_context32(row->code);
#else
    case MODE_REAL: return real_context(row->code);
    case MODE_V86:
        context = real_context(row->code);
        context.flags |= FLAG_VM | FLAG_IOPL;
        break;
#endif
    default: give_up("a row has a mode that this program does not know");
    }
    return context;
}

void run_rows(void)
{
    for (const struct row *const *at = rows_start; at < rows_end; at++) {
        const struct row *row = *at;
        static struct event event;
        struct context context = context_of(row);
        test(row->name);
        if (row->deviation) {
            deviation(row->deviation);
        }
        if (row->before) {
            row->before(&context);
        }
#ifndef __x86_64__
        if (row->mode == MODE_REAL) {
            run_real(&context, &event);
        } else
#endif
            run(&context, &event);
        expect_event(&event, row->vector, row->error, row->at);
        if (row->checks_ax) {
            expect_same("ax", event.at.ax, row->ax);
        }
        if (row->checks_dx) {
            expect_same("dx", event.at.dx, row->dx);
        }
        if (row->checks_sp) {
            expect_same("sp", event.at.sp, context.sp + (word)row->sp);
        }
        if (row->flags_mask) {
            expect_same("flags", event.at.flags & row->flags_mask, row->flags);
        }
        if (row->after) {
            row->after(&event);
        }
    }
}
