/* SPDX-License-Identifier: MIT
 *
 * Input streams: files, pipes and memory, plain and compressed; windows, offsets, damage. */
#include "base/input.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zstd.h>

#include <cmocka.h>

#include "base/memory.h"

enum { LONG = 3 << 20 };

/* Bytes that differ by position, so that a wrong move shows. */
static uint8_t *pattern(size_t len)
{
    uint8_t *bytes = mem_alloc(len);
    uint32_t x = 1;
    for (size_t i = 0; i < len; i++) {
        x = x * 1664525 + 1013904223;
        bytes[i] = (uint8_t)(x >> 24);
    }
    return bytes;
}

/* Reads the stream in steps of changing size, taking less than was asked for. */
static void read_and_compare(struct input *in, const uint8_t *bytes, size_t len)
{
    size_t at = 0, want = 1;
    for (;;) {
        size_t have = input_need(in, want);
        assert_int_equal(input_offset(in), at);
        assert_true(have >= want || have == len - at);
        assert_true(have <= len - at);
        assert_memory_equal(in->cur, bytes + at, have);
        if (!have) {
            break;
        }
        size_t taken = have < want ? have : (want + 1) / 2;
        in->cur += taken;
        at += taken;
        want = want * 3 + 1 > INPUT_WINDOW_MAX ? 7 : want * 3 + 1;
    }
    assert_int_equal(at, len);
    assert_false(input_failed(in, NULL));
}

static char *make_file(const void *bytes, size_t len)
{
    char *path = mem_string("/tmp/vitrine-input-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
    close(fd);
    return path;
}

static void check_file(const void *stored, size_t stored_len, const uint8_t *bytes, size_t len)
{
    struct error err;
    uint64_t done, size;
    char *path = make_file(stored, stored_len);
    struct input *in = input_open(path, &err);
    assert_non_null(in);
    read_and_compare(in, bytes, len);
    input_progress(in, &done, &size);
    assert_int_equal(done, stored_len);
    assert_int_equal(size, stored_len);
    input_close(in);
    unlink(path);
    free(path);
}

/* Compresses as one frame. */
static uint8_t *packed(const uint8_t *bytes, size_t len, size_t *packed_len)
{
    size_t room = ZSTD_compressBound(len);
    uint8_t *to = mem_alloc(room);
    *packed_len = ZSTD_compress(to, room, bytes, len, 1);
    assert_false(ZSTD_isError(*packed_len));
    return to;
}

static void test_plain(void **state)
{
    (void)state;
    static const size_t lens[] = {0, 1, 3, 4, 5, 131072, 131073, LONG};
    uint8_t *bytes = pattern(LONG);
    for (unsigned i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        check_file(bytes, lens[i], bytes, lens[i]);
        struct input *in = input_memory(bytes, lens[i]);
        read_and_compare(in, bytes, lens[i]);
        input_close(in);
    }
    free(bytes);
}

static void test_compressed(void **state)
{
    (void)state;
    uint8_t *bytes = pattern(LONG);
    memset(bytes + 1000, 7, LONG - 2000); /* some of it packs well */
    size_t len;
    uint8_t *stored = packed(bytes, LONG, &len);
    check_file(stored, len, bytes, LONG);
    struct input *in = input_memory(stored, len);
    read_and_compare(in, bytes, LONG);
    input_close(in);
    free(stored);
    free(bytes);
}

/* Several frames follow one another; one of them is empty. */
static void test_frames(void **state)
{
    (void)state;
    static const size_t parts[] = {100000, 0, 1, 200000, 5};
    uint8_t *bytes = pattern(300006), *stored = mem_alloc(400000);
    size_t at = 0, len = 0;
    for (unsigned i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        size_t part;
        uint8_t *frame = packed(bytes + at, parts[i], &part);
        memcpy(stored + len, frame, part);
        free(frame);
        at += parts[i];
        len += part;
    }
    assert_int_equal(at, 300006);
    check_file(stored, len, bytes, at);
    free(stored);
    free(bytes);
}

/* A pipe hands out few bytes at a time, and none is waited for that was not asked for. */
static void test_pipe(void **state)
{
    (void)state;
    int ends[2];
    struct error err;
    char path[64];
    assert_int_equal(pipe(ends), 0);
    snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
    struct input *in = input_open(path, &err);
    assert_non_null(in);
    assert_int_equal(write(ends[1], "abcdef", 6), 6);
    assert_int_equal(input_need(in, 5), 6);
    in->cur += 4;
    assert_int_equal(write(ends[1], "ghi", 3), 3);
    assert_int_equal(input_need(in, 3), 5);
    assert_memory_equal(in->cur, "efghi", 5);
    close(ends[1]);
    assert_int_equal(input_need(in, 6), 5);
    assert_int_equal(input_offset(in), 4);
    assert_false(input_failed(in, NULL));
    uint64_t done, size;
    input_progress(in, &done, &size);
    assert_int_equal(done, 9);
    assert_int_equal(size, 0);
    input_close(in);
    close(ends[0]);
}

/* However a compressed stream is cut or bent, what comes out is a prefix or the check sees it. */
static void test_damage(void **state)
{
    (void)state;
    uint8_t *bytes = pattern(3000);
    size_t len;
    uint8_t *stored = packed(bytes, 3000, &len);
    for (size_t cut = 4; cut < len; cut += cut < 40 ? 1 : 97) {
        struct error err = {0};
        struct input *in = input_memory(stored, cut);
        size_t have = input_need(in, 3000);
        assert_true(have < 3000);
        assert_memory_equal(in->cur, bytes, have);
        assert_true(input_failed(in, &err));
        assert_non_null(strstr(err.text, "zstd"));
        assert_int_equal(input_need(in, 3000), have);
        input_close(in);
    }
    /* Bytes behind the last frame that begin no other one. */
    uint8_t *longer = mem_alloc(len + 8);
    memcpy(longer, stored, len);
    memcpy(longer + len, "garbage!", 8);
    struct input *in = input_memory(longer, len + 8);
    assert_int_equal(input_need(in, 4000), 3000);
    assert_true(input_failed(in, NULL));
    input_close(in);
    free(longer);
    free(stored);
    free(bytes);
}

/* A frame may not ask for more memory than we are ready to give: this one wants 2^28 bytes. */
static void test_window_too_large(void **state)
{
    (void)state;
    static const uint8_t frame[] = {0x28, 0xb5, 0x2f, 0xfd, 0x00, (28 - 10) << 3, 1, 0, 0};
    static const uint8_t fits[] = {0x28, 0xb5, 0x2f, 0xfd, 0x00, (20 - 10) << 3, 1, 0, 0};
    struct error err;
    struct input *in = input_memory(frame, sizeof frame);
    assert_int_equal(input_need(in, 1), 0);
    assert_true(input_failed(in, &err));
    assert_non_null(strstr(err.text, "memory"));
    input_close(in);
    in = input_memory(fits, sizeof fits);
    assert_int_equal(input_need(in, 1), 0);
    assert_false(input_failed(in, NULL));
    input_close(in);
}

static void test_open_errors(void **state)
{
    (void)state;
    struct error err;
    assert_null(input_open("/nonexistent/file", &err));
    assert_string_equal(err.text, "/nonexistent/file: No such file or directory");
    assert_null(input_open("/tmp", &err));
    assert_string_equal(err.text, "/tmp: is a directory, expected a file");
    assert_null(input_open("/nonexistent/file", NULL));
    input_close(NULL);
}

/* Where the bytes of a stream can be read by their place. */
static void test_file(void **state)
{
    (void)state;
    static const char text[] = "some bytes of a plain file";
    char back[sizeof text] = "";
    char *path = make_file(text, sizeof text);
    struct input *in = input_open(path, NULL);
    assert_int_equal(input_need(in, 4), sizeof text);
    assert_true(input_file(in) >= 0);
    assert_int_equal(pread(input_file(in), back, sizeof back, 0), sizeof text);
    assert_string_equal(back, text);
    input_close(in);

    /* As standard input: from the beginning, and from further on. */
    int saved = dup(STDIN_FILENO), fd = open(path, O_RDONLY);
    for (int at = 0; at < 2; at++) {
        assert_int_equal(lseek(fd, at, SEEK_SET), at);
        assert_true(dup2(fd, STDIN_FILENO) >= 0);
        in = input_open("-", NULL);
        assert_int_equal(input_need(in, 4), sizeof text - (size_t)at);
        assert_int_equal(input_file(in), at ? -1 : STDIN_FILENO);
        input_close(in);
    }
    dup2(saved, STDIN_FILENO);
    close(saved);
    close(fd);
    unlink(path);
    free(path);

    char packed[256];
    size_t len = ZSTD_compress(packed, sizeof packed, text, sizeof text, 1);
    path = make_file(packed, len);
    in = input_open(path, NULL);
    assert_int_equal(input_need(in, 4), sizeof text);
    assert_int_equal(input_file(in), -1);
    input_close(in);
    unlink(path);
    free(path);
    in = input_memory(text, sizeof text);
    assert_int_equal(input_need(in, 4), sizeof text);
    assert_int_equal(input_file(in), -1);
    input_close(in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),       cmocka_unit_test(test_compressed),
        cmocka_unit_test(test_frames),      cmocka_unit_test(test_pipe),
        cmocka_unit_test(test_damage),      cmocka_unit_test(test_window_too_large),
        cmocka_unit_test(test_open_errors), cmocka_unit_test(test_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
