/* SPDX-License-Identifier: MIT
 *
 * The table of how system calls are carried out: it has the rows of the calls that there are; and
 * the words of their events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "trace/probe/event.h"
#include "user/syscalls.h"

static void every_call_is_carried_out(void **state)
{
    (void)state;
    for (uint64_t number = 0; number < 2 * SYSCALL_MAX; number++) {
        const struct user_syscall *row = user_syscall_row(number);
        assert_int_equal(row != NULL, syscall_row(number) != NULL);
        if (row) {
            assert_non_null(row->carry_out);
            assert_true(row->sleeps && strchr("_SE", row->sleeps));
        }
    }
    assert_null(user_syscall_row(UINT64_MAX));
    assert_ptr_equal(user_syscall_row(SYSCALL_getpid)->carry_out, call_pass);
    assert_ptr_equal(user_syscall_row(SYSCALL_clone3)->carry_out, call_clone3);
    assert_ptr_equal(user_syscall_row(SYSCALL_rseq)->carry_out, call_nosys);
}

/* What filters and recordings find: the words of the arguments, and nothing else has changed. */
static void events_have_words(void **state)
{
    (void)state;
    static const struct {
        const char *event, *argument, *set;
    } rows[] = {
        {"guest_user_syscall", "num", "syscall"},     {"guest_user_syscall", "arg1", NULL},
        {"guest_user_syscall_ret", "num", "syscall"}, {"guest_user_syscall_ret", "ret", "errno"},
        {"guest_user_string", "num", "syscall"},      {"guest_user_memory", "num", "syscall"},
        {"guest_user_memory", "size", NULL},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct trace_event *event = trace_event_find(rows[i].event);
        assert_non_null(event);
        assert_string_equal(event->decl->name, rows[i].event);
        const struct trace_arg *found = NULL;
        for (unsigned k = 0; k < event->decl->nargs; k++) {
            found =
                strcmp(event->decl->arg[k].name, rows[i].argument) ? found : &event->decl->arg[k];
        }
        assert_non_null(found);
        assert_int_equal(found->words != NULL, rows[i].set != NULL);
        assert_string_equal(found->words ? found->words->name : "", rows[i].set ? rows[i].set : "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_is_carried_out),
        cmocka_unit_test(events_have_words),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
