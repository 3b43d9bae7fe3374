/* SPDX-License-Identifier: MIT
 *
 * Output streams: files, compressed files, memory, pipes that break, numbers as text. */
#include "base/output.h"

#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/digits.h"
#include "base/input.h"
#include "base/memory.h"

static char folder[] = "/tmp/vitrine-output-XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

/* Writes the lines "0\n" to "499999\n" by every means there is. */
enum { LINES = 500000 };

static void write_lines(struct output *out)
{
    uint64_t len = 0;
    for (unsigned i = 0; i < LINES; i++) {
        char text[16];
        int digits = snprintf(text, sizeof text, "%u", i);
        switch (i % 4) {
        case 0: output_decimal(out, i); break;
        case 1: output_puts(out, text); break;
        case 2: output_printf(out, "%u", i); break;
        default: output_add(out, text, (size_t)digits); break;
        }
        output_putc(out, '\n');
        len += (uint64_t)digits + 1;
        assert_int_equal(output_offset(out), len);
        if (i == 1000) {
            output_flush(out);
        }
    }
}

static void check_lines(struct input *in)
{
    for (unsigned i = 0; i < LINES; i++) {
        char text[16];
        int digits = snprintf(text, sizeof text, "%u\n", i);
        assert_true(input_need(in, (size_t)digits) >= (size_t)digits);
        assert_memory_equal(in->cur, text, (size_t)digits);
        in->cur += digits;
    }
    assert_int_equal(input_need(in, 1), 0);
    assert_false(input_failed(in, NULL));
}

static void test_file(void **state)
{
    (void)state;
    static const char *const names[] = {"lines", "lines.zst"};
    for (unsigned i = 0; i < 2; i++) {
        struct error err;
        struct stat st;
        char *path = mem_format("%s/%s", folder, names[i]);
        struct output *out = output_open(path, &err);
        assert_non_null(out);
        write_lines(out);
        assert_true(output_close(out, &err));
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        if (i == 1) {
            assert_true(st.st_size < 2000000); /* half of the text */
        }
        struct input *in = input_open(path, &err);
        assert_non_null(in);
        check_lines(in);
        input_close(in);
        unlink(path);
        free(path);
    }
}

static void test_memory(void **state)
{
    (void)state;
    struct error err;
    size_t len;
    struct output *out = output_memory();
    write_lines(out);
    void *bytes = output_memory_take(out, &len);
    struct input *in = input_memory(bytes, len);
    check_lines(in);
    input_close(in);
    free(bytes);
    output_puts(out, "again");
    bytes = output_memory_take(out, &len);
    assert_int_equal(len, 5);
    assert_memory_equal(bytes, "again", 5);
    free(bytes);
    assert_true(output_close(out, &err));
}

/* A long text is longer than any buffer; output_printf takes any length. */
static void test_long(void **state)
{
    (void)state;
    struct error err;
    enum { LEN = 1000000 };
    char *text = mem_alloc(LEN + 1);
    memset(text, 'x', LEN);
    char *path = mem_format("%s/long", folder);
    struct output *out = output_open(path, &err);
    output_puts(out, text);
    output_printf(out, "%s!", text);
    memset(output_room(out, 65536), 'y', 65536);
    out->cur += 65536;
    assert_true(output_close(out, &err));
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 2 * LEN + 1 + 65536);
    unlink(path);
    free(path);
    free(text);
}

static void test_errors(void **state)
{
    (void)state;
    struct error err;
    assert_null(output_open("/nonexistent/file", &err));
    assert_string_equal(err.text,
                        "/nonexistent/file: cannot be created: No such file or directory");

    /* A full disk shows when the buffer leaves, and is told when the stream is closed. */
    struct output *out = output_open("/dev/full", &err);
    assert_non_null(out);
    write_lines(out);
    output_flush(out);
    assert_true(output_failed(out, NULL));
    assert_false(output_close(out, &err));
    assert_string_equal(err.text, "/dev/full: No space left on device");
}

/* Nobody reads standard output any more: the work may stop, but nothing is wrong. */
static void test_broken_pipe(void **state)
{
    (void)state;
    struct error err;
    int ends[2], kept = dup(STDOUT_FILENO);
    fflush(stdout);
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    dup2(ends[1], STDOUT_FILENO);
    struct output *out = output_open("-", &err);
    output_puts(out, "lost");
    output_flush(out);
    bool failed = output_failed(out, NULL);
    bool closed = output_close(out, &err);
    dup2(kept, STDOUT_FILENO);
    close(kept);
    close(ends[1]);
    assert_true(failed);
    assert_true(closed);
}

/* Numbers against printf. */
static void check_number(uint64_t value)
{
    uint8_t to[DIGITS_ROOM];
    char text[64];
    int len = snprintf(text, sizeof text, "0x%" PRIx64, value);
    assert_int_equal(digits_hex(to, value) - to, len);
    assert_memory_equal(to, text, (size_t)len);
    len = snprintf(text, sizeof text, "%" PRIu64, value);
    assert_int_equal(digits_decimal(to, value) - to, len);
    assert_memory_equal(to, text, (size_t)len);
    int64_t ns = (int64_t)value;
    uint64_t size = ns < 0 ? -value : value;
    len = snprintf(text, sizeof text, "%s%" PRIu64 ".%03u", ns < 0 ? "-" : "", size / 1000,
                   (unsigned)(size % 1000));
    assert_int_equal(digits_micros(to, ns) - to, len);
    assert_memory_equal(to, text, (size_t)len);
}

static void test_digits(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 64; bit++) {
        for (int64_t near = -2; near <= 2; near++) {
            check_number((UINT64_C(1) << bit) + (uint64_t)near);
        }
    }
    for (uint64_t power = 1; power <= UINT64_C(1000000000000000000); power *= 10) {
        check_number(power - 1);
        check_number(power);
        check_number(power * 9 + 7);
        check_number(-power);
    }
    uint64_t x = 1;
    for (unsigned i = 0; i < 100000; i++) {
        x = x * UINT64_C(6364136223846793005) + 1442695040888963407;
        check_number(x >> (x & 63));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file),   cmocka_unit_test(test_memory),
        cmocka_unit_test(test_long),   cmocka_unit_test(test_errors),
        cmocka_unit_test(test_digits), cmocka_unit_test(test_broken_pipe),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
