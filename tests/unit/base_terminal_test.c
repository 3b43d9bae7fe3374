/* SPDX-License-Identifier: MIT
 *
 * What goes to standard error: the progress bar on a terminal, and the log when its reader is slow.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/progress.h"

static int saved = -1;

/* Standard error leads there until it is given back. */
static void take_stderr(int fd)
{
    saved = dup(STDERR_FILENO);
    assert_true(saved >= 0 && dup2(fd, STDERR_FILENO) >= 0);
}

static void give_back(void)
{
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
}

/* Reads until the bar was removed: a terminal may hand out its text in pieces. */
static void read_terminal(int master, char *text, size_t size)
{
    static const char erase[] = "\r\x1b[K";
    struct pollfd wait = {.fd = master, .events = POLLIN};
    size_t len = 0;
    const char *drawing;
    do {
        assert_int_equal(poll(&wait, 1, 10000), 1);
        ssize_t got = read(master, text + len, size - 1 - len);
        assert_true(got > 0);
        len += (size_t)got;
        text[len] = 0;
        drawing = strstr(text, erase);
    } while (!drawing || !strstr(drawing + 1, erase));
}

/* What is drawn once the work has lasted longer than a second. */
static void drawn(const char *what, uint64_t done, uint64_t total, char *text, size_t size)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    int terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
    assert_true(terminal >= 0);
    take_stderr(terminal);
    struct progress p;
    progress_begin(&p, what);
    progress_step(&p, done, total); /* too early */
    p.started -= UINT64_C(3000000000);
    progress_step(&p, done, total);
    progress_step(&p, done, total); /* too soon again */
    progress_end(&p);
    give_back();
    read_terminal(master, text, size);
    close(terminal);
    close(master);
}

static void test_bar(void **state)
{
    (void)state;
    char text[512];
    setenv("TERM", "xterm", 1);
    drawn("trace-1", 50, 100, text, sizeof text);
    assert_string_equal(text, "\r\x1b[Ktrace-1  [############------------]  50%  3 s left\r\x1b[K");
    drawn("trace-1", 2500000, 0, text, sizeof text);
    assert_string_equal(text, "\r\x1b[Ktrace-1  2.5 MB\r\x1b[K");
}

/* A name neither steers the terminal nor fills it. */
static void test_bar_with_a_strange_name(void **state)
{
    (void)state;
    char text[512];
    setenv("TERM", "xterm", 1);
    drawn("a\x1b]0;x\a\n\xc2\x9b", 0, 0, text, sizeof text);
    assert_string_equal(text, "\r\x1b[Ka?]0;x????  0.0 MB\r\x1b[K");
    drawn("/a/very/long/path/that/does/not/fit/beside/a/bar/trace-12345", 0, 0, text, sizeof text);
    assert_string_equal(text, "\r\x1b[Kat/does/not/fit/beside/a/bar/trace-12345  0.0 MB\r\x1b[K");
}

static void *drain(void *opaque)
{
    static char text[4096];
    size_t *total = opaque;
    ssize_t len;
    usleep(50000); /* until the pipe is full */
    while ((len = read((int)*total, text, sizeof text)) > 0) {
        total[1] += (size_t)len;
    }
    return NULL;
}

/* Standard error may have been set not to wait, by whoever shares it: no line is lost then. */
static void test_log_waits(void **state)
{
    (void)state;
    enum { LINES = 20000 };
    static const char line[] = "a line of the log\n";
    int ends[2];
    pthread_t thread;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    size_t total[2] = {(size_t)ends[0], 0};
    assert_int_equal(pthread_create(&thread, NULL, drain, total), 0);
    take_stderr(ends[1]);
    for (int i = 0; i < LINES; i++) {
        log_text(line, sizeof line - 1);
    }
    give_back();
    close(ends[1]);
    pthread_join(thread, NULL);
    close(ends[0]);
    assert_int_equal(total[1], LINES * (sizeof line - 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bar),
        cmocka_unit_test(test_bar_with_a_strange_name),
        cmocka_unit_test(test_log_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
