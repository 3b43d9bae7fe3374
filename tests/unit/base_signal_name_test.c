/* SPDX-License-Identifier: MIT
 *
 * Names of signals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>

#include "base/signal_name.h"

static void names_and_numbers(void **state)
{
    (void)state;
    assert_int_equal(signal_number("USR2"), SIGUSR2);
    assert_int_equal(signal_number("SIGUSR2"), SIGUSR2);
    assert_int_equal(signal_number("sigusr2"), SIGUSR2);
    assert_int_equal(signal_number("12"), 12);
    assert_int_equal(signal_number("64"), 64);
    assert_int_equal(signal_number("HUP"), SIGHUP);
    assert_int_equal(signal_number("SYS"), SIGSYS);
    assert_int_equal(signal_number("RTMIN"), SIGRTMIN);
    assert_int_equal(signal_number("SIGRTMIN+3"), SIGRTMIN + 3);
    assert_int_equal(signal_number("rtmax-2"), SIGRTMAX - 2);
    assert_int_equal(signal_number("RTMIN+30"), SIGRTMAX);
}

static void others_are_refused(void **state)
{
    static const char *const wrong[] = {"",        "0",       "65",       "100",       "-1",
                                        "12x",     "FOO",     "SIG",      "SIGSIGHUP", "RTMIN+",
                                        "RTMIN-1", "RTMAX+1", "RTMIN+31", "RTMIN+x",   "RTMIN+123",
                                        " USR2",   "USR2 ",   "1 "};

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(signal_number(wrong[i]), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_numbers),
        cmocka_unit_test(others_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
