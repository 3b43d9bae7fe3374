/* SPDX-License-Identifier: MIT
 *
 * Descriptors that a program keeps for itself. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/descriptor.h"

static int null_device(void)
{
    int fd = open("/dev/null", O_RDONLY);

    assert_true(fd >= 0);
    return fd;
}

static void stay_where_they_are(void **state)
{
    (void)state;
    int fd = null_device();

    assert_int_equal(descriptor_own(fd), fd);
    assert_false(descriptor_is_own(fd));
    assert_int_equal(descriptor_next_own(0), -1);
    assert_int_equal(descriptor_own(-1), -1);
    close(fd);
}

static void move_away(void **state)
{
    (void)state;
    descriptor_keep_away();
    int low = null_device(), other = null_device();
    int one = descriptor_own(low), two = descriptor_own(other);

    assert_true(one > 100 && two > one);
    assert_int_equal(fcntl(low, F_GETFD), -1);
    assert_int_equal(fcntl(one, F_GETFD), FD_CLOEXEC);
    assert_true(descriptor_is_own(one));
    assert_false(descriptor_is_own(low));
    assert_int_equal(descriptor_next_own(0), one);
    assert_int_equal(descriptor_next_own(one), one);
    assert_int_equal(descriptor_next_own(one + 1), two);
    assert_int_equal(descriptor_next_own(two + 1), -1);
    assert_int_equal(null_device(), low); /* the number is free again */
    close(low);

    /* Closed by its owner, and now somebody else's. */
    close(two);
    assert_false(descriptor_is_own(two));
    int pipe_fd[2];
    assert_int_equal(pipe(pipe_fd), 0);
    assert_int_equal(dup2(pipe_fd[0], two), two);
    assert_false(descriptor_is_own(two));
    assert_int_equal(descriptor_next_own(one + 1), -1);
    close(two);
    close(pipe_fd[0]);
    close(pipe_fd[1]);
    /* More than there are rows: rows of closed ones are used again. */
    for (int i = 0; i < 1000; i++) {
        int fd = descriptor_own(null_device());
        assert_true(descriptor_is_own(fd));
        close(fd);
    }
    assert_true(descriptor_is_own(one));
    close(one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stay_where_they_are),
        cmocka_unit_test(move_away),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
