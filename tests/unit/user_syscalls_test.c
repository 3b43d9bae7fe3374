/* SPDX-License-Identifier: MIT
 *
 * The table of how system calls are carried out: it has the rows of the calls that there are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_is_carried_out),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
