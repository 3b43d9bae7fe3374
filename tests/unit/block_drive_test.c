/* SPDX-License-Identifier: MIT
 *
 * Drives: what -drive says, images, locks, snapshots, requests on threads and on a clock, errors
 * and what becomes of them, geometry.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/strbuf.h"
#include "block/block.h"

enum { SIZE = 1 << 20 };

static char *make_file(size_t size, const void *head, size_t head_size)
{
    char *path = mem_string("/tmp/vitrine-block-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    uint8_t *bytes = mem_alloc(size + 1);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)(i * 5 + (i >> 9));
    }
    memcpy(bytes, head, head_size);
    assert_int_equal(write(fd, bytes, size), (ssize_t)size);
    free(bytes);
    close(fd);
    return path;
}

static void drop_file(char *path)
{
    unlink(path);
    free(path);
}

static bool open_text(struct drive *drive, const char *text, struct strbuf *warnings,
                      struct error *err)
{
    struct drive_options options;
    bool good = drive_options_parse(&options, text, DRIVE_IDE, DRIVE_DISK, err) &&
                drive_open(drive, &options, warnings, err);
    drive_options_free(&options);
    return good;
}

static void open_file(struct drive *drive, const char *file, const char *more)
{
    struct error err;
    char *text = mem_format("file=%s%s", file, more);
    if (!open_text(drive, text, NULL, &err)) {
        fail_msg("%s", err.text);
    }
    free(text);
}

/* --- options --- */

static void test_sentences(void **state)
{
    (void)state;
    static const struct {
        const char *text, *sentence;
    } rows[] = {
        {"file=a,if=foo", "unsupported bus type 'foo'"},
        {"file=a,media=foo", "'foo' invalid media"},
        {"file=a,index=1,unit=1", "index cannot be used with bus and unit"},
        {"file=a,cache=foo", "invalid cache option"},
        {"file=a,werror=foo", "'foo' invalid write error action"},
        {"file=a,rerror=enospc", "'enospc' invalid read error action"},
        {"file=a,if=floppy,werror=stop", "werror is not supported by this bus type"},
        {"file=a,format=foo", "Unknown driver 'foo'"},
        {"file=a,bogus=1", "Block format 'raw' does not support the option 'bogus'"},
        {"file=a,bus=0,unit=7", "unit 7 too big (max is 1)"},
        {"file=a,index=x", "Parameter 'index' expects a number"},
        {"file=a,aio=foo", "invalid aio option"},
        {"file=a,discard=foo", "Invalid discard option"},
        {"file=a,detect-zeroes=foo", "invalid parameter value: foo"},
        {"file=a,readonly=foo", "Parameter 'read-only' expects 'on' or 'off'"},
        {"file=a,snapshot=foo", "Parameter 'snapshot' expects 'on' or 'off'"},
        {"file=", "A block device must be specified for \"file\""},
        {"format=raw", "A block device must be specified for \"file\""},
        {"file=a,format=qcow2", "format qcow2 is not supported yet: only raw images are. "
                                "`qemu-img convert -O raw` makes one"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct drive_options options;
        struct error err;
        assert_false(drive_options_parse(&options, rows[i].text, DRIVE_IDE, DRIVE_DISK, &err));
        assert_string_equal(err.text, rows[i].sentence);
        drive_options_free(&options);
    }
}

static void test_words(void **state)
{
    (void)state;
    struct drive_options options;
    assert_true(drive_options_parse(
        &options,
        "file=/tmp/a,,b,format=raw,if=ide,index=3,media=cdrom,id=x,snapshot=on,cache=unsafe,"
        "werror=stop,rerror=ignore,aio=native,discard=unmap,file.locking=off",
        DRIVE_IDE, DRIVE_DISK, NULL));
    assert_string_equal(options.file, "/tmp/a,b");
    assert_string_equal(options.id, "x");
    assert_int_equal(options.bus, 1);
    assert_int_equal(options.unit, 1);
    assert_int_equal(options.media, DRIVE_CDROM);
    assert_true(options.readonly && options.snapshot && options.discards);
    assert_false(options.flushes || options.locks || options.write_through);
    assert_int_equal(options.on_write_error, DRIVE_STOP);
    assert_int_equal(options.on_read_error, DRIVE_IGNORE);
    drive_options_free(&options);
    assert_true(drive_options_parse(&options, "if=none,snapshot", DRIVE_IDE, DRIVE_DISK, NULL));
    assert_null(options.file);
    assert_true(options.snapshot);
    drive_options_free(&options);
}

static void test_places(void **state)
{
    (void)state;
    static const struct {
        const char *text, *id;
        unsigned bus, unit;
    } rows[] = {
        {"file=a,index=1", "ide0-hd1", 0, 1},     {"file=b", "ide0-hd0", 0, 0},
        {"file=c,media=cdrom", "ide1-cd0", 1, 0}, {"file=d,if=floppy", "floppy0", 0, 0},
        {"file=e,if=none", "none0", 0, 0},        {"file=f,if=none", "none1", 0, 1},
        {"file=g,if=none,id=mine", "mine", 0, 2},
    };
    enum { COUNT = sizeof(rows) / sizeof(rows[0]) };
    struct drive_options all[COUNT + 1];
    const struct drive_options *others[COUNT + 1];
    struct error err;
    for (size_t i = 0; i < COUNT; i++) {
        assert_true(drive_options_parse(&all[i], rows[i].text, DRIVE_IDE, DRIVE_DISK, NULL));
        assert_true(drive_options_place(&all[i], others, i, NULL));
        assert_string_equal(all[i].id, rows[i].id);
        assert_int_equal(all[i].bus, rows[i].bus);
        assert_int_equal(all[i].unit, rows[i].unit);
        others[i] = &all[i];
    }
    assert_true(drive_options_parse(&all[COUNT], "file=b,index=0", DRIVE_IDE, DRIVE_DISK, NULL));
    assert_false(drive_options_place(&all[COUNT], others, COUNT, &err));
    assert_string_equal(err.text, "drive with bus=0, unit=0 (index=0) exists");
    drive_options_free(&all[COUNT]);
    assert_true(
        drive_options_parse(&all[COUNT], "file=b,if=none,id=mine", DRIVE_IDE, DRIVE_DISK, NULL));
    assert_false(drive_options_place(&all[COUNT], others, COUNT, &err));
    assert_string_equal(err.text, "Duplicate ID 'mine' for drive");
    for (size_t i = 0; i <= COUNT; i++) {
        drive_options_free(&all[i]);
    }
}

/* --- opening --- */

static void test_opening(void **state)
{
    (void)state;
    struct error err;
    struct strbuf warnings;
    struct drive *drive = drive_new("d", NULL);
    strbuf_init(&warnings);
    assert_false(open_text(drive, "file=/tmp/no-such-image,format=raw", NULL, &err));
    assert_string_equal(err.text, "Could not open '/tmp/no-such-image': No such file or directory");
    assert_false(open_text(drive, "file=/tmp,format=raw", NULL, &err));
    assert_string_equal(err.text, "'file' driver requires '/tmp' to be a regular file");
    assert_false(open_text(drive, "file=foo:bar,format=raw", NULL, &err));
    assert_string_equal(err.text, "Unknown protocol 'foo'");
    assert_false(open_text(drive, "file=nbd:localhost,format=raw", NULL, &err));
    assert_non_null(strstr(err.text, "nbd: is not supported"));
    assert_false(drive_has_medium(drive));

    char *other = make_file(SIZE, "QFI\xfb\0\0\0\3", 8);
    char *text = mem_format("file=%s", other);
    assert_false(open_text(drive, text, NULL, &err));
    assert_non_null(strstr(err.text, "is a qcow2 image"));
    free(text);
    text = mem_format("file=%s,format=raw", other);
    assert_true(open_text(drive, text, &warnings, &err));
    assert_int_equal(warnings.len, 0);
    free(text);
    drop_file(other);

    char *odd = make_file(1000, "", 0);
    text = mem_format("file=%s", odd);
    assert_true(open_text(drive, text, &warnings, &err));
    assert_non_null(strstr(warnings.data, "probing guessed raw"));
    assert_int_equal(drive_size(drive), 1024);
    uint8_t bytes[512];
    assert_int_equal(block_now(drive, BLOCK_READ, 512, bytes, 512), 0);
    assert_int_equal(bytes[487], (uint8_t)(999 * 5 + 1));
    assert_int_equal(bytes[488], 0);
    assert_int_equal(block_now(drive, BLOCK_READ, 1024, bytes, 512), -EIO);
    assert_int_equal(block_now(drive, BLOCK_READ, 0xfffffffffffffe00u, bytes, 512), -EIO);
    strbuf_clear(&warnings);
    free(text);
    text = mem_format("file=%s,readonly=on", odd);
    assert_true(open_text(drive, text, &warnings, &err));
    assert_int_equal(warnings.len, 0);
    assert_int_equal(block_now(drive, BLOCK_WRITE, 0, bytes, 512), -EACCES);
    free(text);
    drop_file(odd);
    drive_free(drive);
    strbuf_free(&warnings);
}

static void test_locks(void **state)
{
    (void)state;
    static const struct {
        const char *first, *second;
        bool good;
    } rows[] = {
        {"", "", false},
        {"", ",readonly=on", false},
        {",readonly=on", "", false},
        {",readonly=on", ",readonly=on", true},
        {",snapshot=on", ",snapshot=on", true},
        {",snapshot=on", "", false},
        {"", ",file.locking=off", true},
    };
    char *file = make_file(SIZE, "", 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct error err;
        struct drive *first = drive_new("a", NULL), *second = drive_new("b", NULL);
        open_file(first, file, rows[i].first);
        char *text = mem_format("file=%s,format=raw%s", file, rows[i].second);
        assert_int_equal(open_text(second, text, NULL, &err), rows[i].good);
        if (!rows[i].good) {
            assert_non_null(strstr(err.text, "Is another process using the image"));
            assert_true(drive_eject(first, false, &err));
            assert_true(open_text(second, text, NULL, &err));
        }
        free(text);
        drive_free(first);
        drive_free(second);
    }
    drop_file(file);
}

static void test_snapshot(void **state)
{
    (void)state;
    char *file = make_file(SIZE, "", 0);
    struct drive *drive = drive_new("d", NULL), *plain = drive_new("e", NULL);
    static uint8_t model[SIZE], bytes[SIZE];
    uint32_t x = 1;
    open_file(drive, file, ",snapshot=on");
    assert_int_equal(block_now(drive, BLOCK_READ, 0, model, SIZE), 0);
    for (int i = 0; i < 500; i++) {
        x = x * 1664525 + 1013904223;
        uint32_t offset = (x >> 8) % (SIZE / 512) * 512;
        uint32_t size = ((x >> 3) % 40 + 1) * 512;
        if (size > SIZE - offset) {
            size = SIZE - offset;
        }
        memset(model + offset, i, size);
        enum block_op op = i % 16 ? BLOCK_WRITE : BLOCK_ZERO;
        if (op == BLOCK_ZERO) {
            memset(model + offset, 0, size);
        }
        assert_int_equal(block_now(drive, op, offset, model + offset, size), 0);
        offset = (x >> 5) % (SIZE / 512) * 512;
        assert_int_equal(block_now(drive, BLOCK_READ, offset, bytes, SIZE - offset), 0);
        assert_memory_equal(bytes, model + offset, SIZE - offset);
    }
    drive_free(drive);
    open_file(plain, file, "");
    assert_int_equal(block_now(plain, BLOCK_READ, 0, bytes, SIZE), 0);
    for (size_t i = 0; i < SIZE; i++) {
        assert_int_equal(bytes[i], (uint8_t)(i * 5 + (i >> 9)));
    }
    drive_free(plain);
    drop_file(file);
}

/* --- requests --- */

/* The machine's loop: told by any thread that there are results. */
struct loop {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool ready;
};

static void loop_ready(void *opaque)
{
    struct loop *loop = opaque;
    pthread_mutex_lock(&loop->lock);
    loop->ready = true;
    pthread_cond_signal(&loop->wake);
    pthread_mutex_unlock(&loop->lock);
}

static void loop_wait(struct loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    while (!loop->ready) {
        pthread_cond_wait(&loop->wake, &loop->lock);
    }
    loop->ready = false;
    pthread_mutex_unlock(&loop->lock);
}

struct work {
    struct block_request request;
    uint8_t bytes[4096];
    unsigned done;
    int result;
    unsigned again; /* times it is sent again from done() */
};

static void work_done(void *opaque, int result)
{
    struct work *work = opaque;
    work->done++;
    work->result = result;
    if (work->again) {
        work->again--;
        block_submit(&work->request);
    }
}

static void submit(struct work *work, struct drive *drive, enum block_op op, uint64_t offset)
{
    work->request.drive = drive;
    work->request.op = op;
    work->request.offset = offset;
    work->request.bytes = sizeof(work->bytes);
    work->request.buffer = work->bytes;
    work->request.done = work_done;
    work->request.opaque = work;
    block_submit(&work->request);
}

static void test_threads(void **state)
{
    (void)state;
    enum { COUNT = 64 };
    static struct work work[COUNT];
    struct loop loop = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
    struct block_pool *pool = block_pool_new(3, loop_ready, &loop);
    struct drive *drive = drive_new("d", pool);
    char *file = make_file(SIZE, "", 0);
    open_file(drive, file, "");
    memset(work, 0, sizeof(work));
    for (unsigned i = 0; i < COUNT; i++) {
        memset(work[i].bytes, (int)i, sizeof(work[i].bytes));
        submit(&work[i], drive, BLOCK_WRITE, i * sizeof(work[i].bytes));
        assert_int_equal(work[i].done, 0);
    }
    while (block_pool_busy(pool)) {
        loop_wait(&loop);
        block_pool_deliver(pool);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(work[i].done, 1);
        assert_int_equal(work[i].result, 0);
        work[i].again = i;
        submit(&work[i], drive, BLOCK_READ, (COUNT - 1 - i) * sizeof(work[i].bytes));
    }
    block_pool_drain(pool);
    assert_int_equal(block_pool_busy(pool), 0);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(work[i].done, 2 + i);
        assert_int_equal(work[i].bytes[4095], COUNT - 1 - i);
    }
    /* Cancelled in whatever state they are: no result comes. */
    for (unsigned i = 0; i < COUNT; i++) {
        work[i].done = 0;
        submit(&work[i], drive, i % 2 ? BLOCK_READ : BLOCK_WRITE, 0);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        block_cancel(&work[i].request);
        block_cancel(&work[i].request);
        assert_false(block_is_busy(&work[i].request));
    }
    assert_int_equal(block_pool_busy(pool), 0);
    block_pool_drain(pool);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(work[i].done, 0);
    }
    /* A medium that goes while it is read stays open until that is done. */
    submit(&work[0], drive, BLOCK_READ, 0);
    assert_true(drive_eject(drive, true, NULL));
    submit(&work[1], drive, BLOCK_READ, 0);
    block_pool_drain(pool);
    assert_int_equal(work[0].result, 0);
    assert_int_equal(work[1].result, -ENOMEDIUM);
    drive_free(drive);
    block_pool_free(pool);
    drop_file(file);
}

static void test_clock(void **state)
{
    (void)state;
    struct clock clock;
    struct work a = {0}, b = {0};
    clock_init(&clock);
    struct block_pool *pool = block_pool_new_timed(&clock, 1000);
    struct drive *drive = drive_new("d", pool);
    char *file = make_file(SIZE, "", 0);
    open_file(drive, file, "");
    submit(&a, drive, BLOCK_READ, 0);
    clock_advance(&clock, 10);
    submit(&b, drive, BLOCK_READ, 4096);
    clock_advance(&clock, 1000 + 512 - 11);
    assert_int_equal(a.done, 0);
    clock_advance(&clock, 1);
    assert_int_equal(a.done, 1);
    assert_int_equal(b.done, 0);
    clock_advance(&clock, 10);
    assert_int_equal(b.done, 1);
    assert_int_equal(b.bytes[1], (uint8_t)(4097 * 5 + 8));
    submit(&a, drive, BLOCK_FLUSH, 0);
    submit(&b, drive, BLOCK_READ, 0);
    block_cancel(&a.request);
    block_pool_drain(pool);
    clock_advance(&clock, 1000000);
    assert_int_equal(a.done, 1);
    assert_int_equal(b.done, 2);
    drive_free(drive);
    block_pool_free(pool);
    clock_free(&clock);
    drop_file(file);
}

struct stops {
    unsigned count;
    int error;
};

static void stopped(void *opaque, struct drive *drive, int error)
{
    struct stops *stops = opaque;
    assert_string_equal(drive_id(drive), "d");
    stops->count++;
    stops->error = error;
}

static void test_policies(void **state)
{
    (void)state;
    static const struct {
        const char *words;
        enum block_op op;
        int error, result;
        unsigned stops;
    } rows[] = {
        {"", BLOCK_READ, EIO, -EIO, 0},
        {",rerror=ignore", BLOCK_READ, EIO, 0, 0},
        {",rerror=stop", BLOCK_READ, EIO, 0, 1},
        {"", BLOCK_WRITE, EIO, -EIO, 0},
        {"", BLOCK_WRITE, ENOSPC, 0, 1},
        {",werror=report", BLOCK_WRITE, ENOSPC, -ENOSPC, 0},
        {",werror=ignore", BLOCK_FLUSH, EIO, 0, 0},
    };
    char *file = make_file(SIZE, "", 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct stops stops = {0, 0};
        struct work work = {0};
        struct clock clock;
        clock_init(&clock);
        struct block_pool *pool = block_pool_new_timed(&clock, 1000);
        struct drive *drive = drive_new("d", pool);
        block_pool_on_stop(pool, stopped, &stops);
        open_file(drive, file, rows[i].words);
        drive_inject(drive, rows[i].op, 100, rows[i].error, 1);
        submit(&work, drive, rows[i].op, 0);
        block_pool_drain(pool);
        assert_int_equal(stops.count, rows[i].stops);
        assert_int_equal(work.done, !rows[i].stops);
        if (rows[i].stops) {
            assert_int_equal(stops.error, rows[i].error);
            block_pool_resume(pool);
            block_pool_drain(pool);
            assert_int_equal(work.done, 1);
        }
        assert_int_equal(work.result, rows[i].result);
        assert_int_equal(drive_counts(drive)->errors, 1);
        drive_free(drive);
        block_pool_free(pool);
        clock_free(&clock);
    }
    drop_file(file);
}

static unsigned changes;

static void changed(void *opaque, bool loaded)
{
    *(bool *)opaque = loaded;
    changes++;
}

static bool locked(void *opaque)
{
    (void)opaque;
    return true;
}

static void test_users(void **state)
{
    (void)state;
    static const struct drive_user user = {changed, locked, NULL};
    struct error err;
    struct strbuf text;
    bool loaded = false;
    char *file = make_file(SIZE, "", 0);
    struct drive *drive = drive_new("d", NULL);
    assert_true(drive_attach(drive, &user, &loaded, &err));
    assert_false(drive_attach(drive, &user, &loaded, &err));
    assert_string_equal(err.text, "Drive 'd' is already in use by another device");
    open_file(drive, file, ",format=raw");
    assert_true(loaded);
    assert_int_equal(changes, 1);
    assert_false(drive_eject(drive, false, &err));
    assert_string_equal(err.text, "Device 'd' is not removable");
    drive_set_removable(drive, true);
    assert_false(drive_eject(drive, false, &err));
    assert_true(drive_eject(drive, true, &err));
    assert_false(loaded);
    strbuf_init(&text);
    drive_print(drive, &text);
    assert_string_equal(text.data,
                        "d: [not inserted]\n    Removable device: locked, tray closed\n");
    strbuf_free(&text);
    drive_free(drive);
    drop_file(file);
}

static void test_geometry(void **state)
{
    (void)state;
    static const struct {
        uint64_t sectors;
        uint8_t heads, last; /* of the partition's end; 0: no table */
        uint32_t cylinders, geometry_heads, geometry_sectors;
        int translation;
    } rows[] = {
        {2048, 0, 0, 2, 16, 63, GEOMETRY_NONE},
        {1008 * 500, 0, 0, 500, 16, 63, GEOMETRY_NONE},
        {1008 * 3000, 0, 0, 3000, 16, 63, GEOMETRY_LARGE},
        {1008 * 20000, 0, 0, 16383, 16, 63, GEOMETRY_LBA},
        {1008 * 3000, 255, 63, 3000, 16, 63, GEOMETRY_LBA},
        {64 * 32 * 100, 15, 32, 400, 16, 32, GEOMETRY_NONE},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t head[512] = {0};
        head[510] = 0x55;
        head[511] = 0xaa;
        head[0x1be + 5] = rows[i].heads;
        head[0x1be + 6] = rows[i].last;
        head[0x1be + 12] = 1;
        char *file = make_file(512, head, rows[i].last ? sizeof(head) : 0);
        assert_int_equal(truncate(file, (off_t)(rows[i].sectors * 512)), 0);
        struct drive *drive = drive_new("d", NULL);
        struct geometry geometry;
        open_file(drive, file, ",readonly=on");
        drive_guess_geometry(drive, &geometry);
        assert_int_equal(geometry.cylinders, rows[i].cylinders);
        assert_int_equal(geometry.heads, rows[i].geometry_heads);
        assert_int_equal(geometry.sectors, rows[i].geometry_sectors);
        assert_int_equal(geometry.translation, rows[i].translation);
        drive_free(drive);
        drop_file(file);
    }
}

static void test_discard(void **state)
{
    (void)state;
    char *file = make_file(SIZE, "", 0);
    struct drive *drive = drive_new("d", NULL);
    uint8_t bytes[8192];
    open_file(drive, file, "");
    assert_int_equal(block_now(drive, BLOCK_DISCARD, 0, NULL, 8192), 0);
    assert_int_equal(block_now(drive, BLOCK_READ, 0, bytes, 8192), 0);
    assert_int_equal(bytes[1], 5); /* discard=ignore */
    assert_int_equal(block_now(drive, BLOCK_ZERO, 512, NULL, 4096), 0);
    assert_int_equal(block_now(drive, BLOCK_READ, 0, bytes, 8192), 0);
    assert_int_equal(bytes[511], (uint8_t)(511 * 5));
    assert_int_equal(bytes[512], 0);
    assert_int_equal(bytes[4607], 0);
    assert_int_equal(bytes[4608], (uint8_t)(4608 * 5 + 9));
    drive_free(drive);
    drop_file(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sentences), cmocka_unit_test(test_words),
        cmocka_unit_test(test_places),    cmocka_unit_test(test_opening),
        cmocka_unit_test(test_locks),     cmocka_unit_test(test_snapshot),
        cmocka_unit_test(test_threads),   cmocka_unit_test(test_clock),
        cmocka_unit_test(test_policies),  cmocka_unit_test(test_users),
        cmocka_unit_test(test_geometry),  cmocka_unit_test(test_discard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
