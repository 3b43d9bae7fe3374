/* SPDX-License-Identifier: MIT
 *
 * The floppy controller through its ports, as SeaBIOS and Linux drive it. The DMA controller is a
 * few lines of the test's.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "block/block.h"
#include "device/fdc.h"
#include "device_harness.h"

enum {
    DOR = 0x3f2,
    TDR = 0x3f3,
    MSR = 0x3f4,
    FIFO = 0x3f5,
    DIR = 0x3f7,
    SECTOR = 512,
    LATENCY = 1000,
    FLOPPY_BYTES = 1440 << 10,
    MS = 1000000,
};

/* A channel that moves between the device and `memory`. */
struct fake_dma {
    struct isa_dma dma;
    isa_dma_fn *transfer;
    void *device;
    uint8_t memory[FLOPPY_BYTES];
    size_t position, count;
    bool to_memory, open, level, running;
};

struct machine {
    struct harness h;
    struct block_pool *pool;
    struct drive *a;
    char *file;
    struct device *fdc;
    struct fake_dma dma;
};

static void run_dma(struct fake_dma *dma)
{
    while (!dma->running && dma->level && dma->open && dma->position < dma->count) {
        dma->running = true;
        size_t moved = dma->transfer(dma->device, 2, dma->position, dma->count - dma->position);
        dma->running = false;
        if (!moved) {
            break;
        }
        dma->position += moved;
    }
}

static void dma_attach(void *opaque, unsigned channel, isa_dma_fn *transfer, void *device)
{
    struct fake_dma *dma = opaque;
    assert_int_equal(channel, 2);
    dma->transfer = transfer;
    dma->device = device;
}

static void dma_request(void *opaque, unsigned channel, bool level)
{
    struct fake_dma *dma = opaque;
    (void)channel;
    dma->level = level;
    run_dma(dma);
}

static bool fake_read(void *opaque, unsigned channel, void *to, size_t position, size_t size)
{
    struct fake_dma *dma = opaque;
    (void)channel;
    if (dma->to_memory || position + size > dma->count) {
        return false;
    }
    memcpy(to, dma->memory + position, size);
    return true;
}

static bool fake_write(void *opaque, unsigned channel, const void *from, size_t position,
                       size_t size)
{
    struct fake_dma *dma = opaque;
    (void)channel;
    if (!dma->to_memory || position + size > dma->count) {
        return false;
    }
    memcpy(dma->memory + position, from, size);
    return true;
}

static void set_dma(struct machine *m, bool to_memory, size_t count)
{
    m->dma.position = 0;
    m->dma.count = count;
    m->dma.to_memory = to_memory;
    m->dma.open = true;
}

static uint8_t pattern(uint64_t at)
{
    return (uint8_t)(at * 3 + (at >> 9) * 29 + (at >> 16));
}

static void make_image(struct machine *m, size_t size)
{
    m->file = mem_string("/tmp/vitrine-fdc-XXXXXX");
    int fd = mkstemp(m->file);
    assert_true(fd >= 0);
    for (size_t at = 0; at < size; at += SECTOR) {
        uint8_t bytes[SECTOR];
        for (unsigned i = 0; i < SECTOR; i++) {
            bytes[i] = pattern(at + i);
        }
        assert_int_equal(write(fd, bytes, SECTOR), SECTOR);
    }
    close(fd);
}

static void insert(struct machine *m, const char *more)
{
    struct error err;
    struct drive_options options;
    char *text = mem_format("file=%s,format=raw,if=floppy%s", m->file, more);
    if (!drive_options_parse(&options, text, DRIVE_IDE, DRIVE_DISK, &err) ||
        !drive_open(m->a, &options, NULL, &err)) {
        fail_msg("%s", err.text);
    }
    drive_options_free(&options);
    free(text);
}

static void begin_with(struct machine *m, size_t size, const char *more)
{
    struct error err;
    memset(m, 0, sizeof(*m));
    harness_begin(&m->h);
    m->dma.dma = (struct isa_dma){
        .opaque = &m->dma,
        .attach = dma_attach,
        .request = dma_request,
        .read = fake_read,
        .write = fake_write,
    };
    m->h.isa.dma = &m->dma.dma;
    m->pool = block_pool_new_timed(&m->h.clock, LATENCY);
    m->a = drive_new("floppy0", m->pool);
    make_image(m, size);
    insert(m, more);
    m->fdc = device_new(device_class_find("isa-fdc"), &m->h.board);
    device_set_pointer(m->fdc, "driveA", m->a);
    if (!device_realize(m->fdc, &err)) {
        fail_msg("%s", err.text);
    }
    harness_reset(&m->h);
}

static void end(struct machine *m)
{
    harness_end(&m->h);
    drive_free(m->a);
    block_pool_free(m->pool);
    unlink(m->file);
    free(m->file);
}

/* --- as a driver does --- */

static void send(struct machine *m, unsigned count, const uint8_t *bytes)
{
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(in8(&m->h, MSR) & 0xc0, 0x80);
        out8(&m->h, FIFO, bytes[i]);
    }
}

static unsigned receive(struct machine *m, uint8_t *to)
{
    unsigned count = 0;
    while ((in8(&m->h, MSR) & 0xd0) == 0xd0) {
        assert_true(count < 10);
        to[count++] = in8(&m->h, FIFO);
    }
    assert_int_equal(in8(&m->h, MSR) & 0xd0, 0x80);
    return count;
}

#define SEND(m, ...) send(m, sizeof((uint8_t[]){__VA_ARGS__}), (uint8_t[]){__VA_ARGS__})

static void wait_interrupt(struct machine *m)
{
    for (int i = 0; i < 100000 && !m->h.line[6].level; i++) {
        harness_advance(&m->h, 10000);
    }
    assert_true(m->h.line[6].level);
}

static void sense(struct machine *m, uint8_t st0, uint8_t track)
{
    uint8_t bytes[10];
    SEND(m, 0x08);
    assert_false(m->h.line[6].level);
    assert_int_equal(receive(m, bytes), 2);
    assert_int_equal(bytes[0], st0);
    assert_int_equal(bytes[1], track);
}

static void start(struct machine *m)
{
    uint8_t bytes[10];
    assert_int_equal(in8(&m->h, MSR), 0);
    out8(&m->h, DOR, 0x00);
    out8(&m->h, DOR, 0x1c);
    wait_interrupt(m);
    for (uint8_t i = 0; i < 4; i++) {
        sense(m, 0xc0 | i, 0);
    }
    SEND(m, 0x08);
    assert_int_equal(receive(m, bytes), 1);
    assert_int_equal(bytes[0], 0x80);
    out8(&m->h, DIR, 0); /* 500 kbit/s */
    SEND(m, 0x03, 0xaf, 0x02);
    SEND(m, 0x07, 0);
    assert_int_equal(in8(&m->h, MSR) & 0x01, 1);
    wait_interrupt(m);
    sense(m, 0x20, 0);
    assert_int_equal(in8(&m->h, MSR), 0x80);
}

static void begin(struct machine *m)
{
    begin_with(m, FLOPPY_BYTES, "");
    start(m);
}

static void seek(struct machine *m, uint8_t track)
{
    SEND(m, 0x0f, 0, track);
    wait_interrupt(m);
    sense(m, 0x20, track);
}

static void expect(struct machine *m, uint8_t st0, uint8_t st1, uint8_t st2, uint8_t c, uint8_t h,
                   uint8_t r)
{
    uint8_t bytes[10];
    wait_interrupt(m);
    assert_int_equal(receive(m, bytes), 7);
    assert_false(m->h.line[6].level);
    uint8_t wanted[7] = {st0, st1, st2, c, h, r, 2};
    assert_memory_equal(bytes, wanted, 7);
}

static void expect_pattern(const uint8_t *bytes, uint64_t at, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != pattern(at + i)) {
            fail_msg("byte %zu is 0x%02x, not 0x%02x", i, bytes[i], pattern(at + i));
        }
    }
}

/* --- tests --- */

static void test_small_commands(void **state)
{
    (void)state;
    static struct machine m;
    static const struct {
        uint8_t bytes[4], count, answers, first;
    } rows[] = {
        {{0x10}, 1, 1, 0x90},                                /* VERSION */
        {{0x18}, 1, 1, 0x41},                                /* PART ID */
        {{0x94}, 1, 1, 0x10},                                /* LOCK */
        {{0x14}, 1, 1, 0x00},                                /* unlock */
        {{0x04, 0}, 2, 1, 0x38},                             /* SENSE DRIVE STATUS: track 0 */
        {{0x04, 5}, 2, 1, 0x2d},                             /* ... of no drive */
        {{0x12, 0x80}, 2, 0, 0},                             /* PERPENDICULAR MODE */
        {{0x13, 0, 0x5f, 3}, 4, 0, 0}, {{0x1f}, 1, 1, 0x80}, /* not there */
        {{0x00}, 1, 1, 0x80},
    };
    uint8_t bytes[10];
    begin(&m);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        send(&m, rows[i].count, rows[i].bytes);
        assert_int_equal(receive(&m, bytes), rows[i].answers);
        assert_true(!rows[i].answers || bytes[0] == rows[i].first);
    }
    SEND(&m, 0x0e);
    assert_int_equal(receive(&m, bytes), 10);
    assert_memory_equal(bytes, ((uint8_t[]){0, 0, 0, 0, 0xaf, 0x02, 0, 0, 0x5f, 3}), 10);
    out8(&m.h, TDR, 0xff);
    assert_int_equal(in8(&m.h, TDR), 3);
    assert_int_equal(in8(&m.h, DOR), 0x1c);
    assert_int_equal(in8(&m.h, 0x3f0), 0xff);
    assert_int_equal(fdc_cmos_type(m.fdc, 0), 4);
    assert_int_equal(fdc_cmos_type(m.fdc, 1), 0);
    end(&m);
}

/* A track of both sides, in one command. */
static void test_read_track(void **state)
{
    (void)state;
    static struct machine m;
    begin(&m);
    seek(&m, 7);
    set_dma(&m, true, 36 * SECTOR);
    SEND(&m, 0xe6, 0, 7, 0, 1, 2, 18, 0x1b, 0xff);
    assert_int_equal(in8(&m.h, MSR), 0x10);
    expect(&m, 0x00, 0, 0, 8, 0, 1);
    assert_int_equal(m.dma.position, 36 * SECTOR);
    expect_pattern(m.dma.memory, 7 * 36 * SECTOR, 36 * SECTOR);
    /* One sector of the other side. */
    set_dma(&m, true, SECTOR);
    SEND(&m, 0x46, 4, 7, 1, 5, 2, 18, 0x1b, 0xff);
    expect(&m, 0x04, 0, 0, 7, 1, 6);
    expect_pattern(m.dma.memory, (7 * 36 + 18 + 4) * SECTOR, SECTOR);
    /* The end of the track comes before the DMA's. */
    set_dma(&m, true, 4 * SECTOR);
    SEND(&m, 0x46, 0, 7, 0, 17, 2, 18, 0x1b, 0xff);
    expect(&m, 0x40, 0x80, 0, 8, 0, 1);
    assert_int_equal(m.dma.position, 2 * SECTOR);
    /* READ ID: one sector after the other. */
    SEND(&m, 0x4a, 0);
    expect(&m, 0, 0, 0, 7, 0, 1);
    SEND(&m, 0x4a, 4);
    expect(&m, 4, 0, 0, 7, 1, 2);
    end(&m);
}

static void test_write(void **state)
{
    (void)state;
    static struct machine m;
    uint8_t back[2 * SECTOR];
    begin(&m);
    seek(&m, 2);
    set_dma(&m, false, SECTOR + 100);
    memset(m.dma.memory, 0x77, SECTOR + 100);
    SEND(&m, 0x45, 0, 2, 0, 3, 2, 18, 0x1b, 0xff);
    expect(&m, 0, 0, 0, 2, 0, 5);
    assert_int_equal(block_now(m.a, BLOCK_READ, (2 * 36 + 2) * SECTOR, back, sizeof(back)), 0);
    for (unsigned i = 0; i < sizeof(back); i++) {
        assert_int_equal(back[i], i < SECTOR + 100 ? 0x77 : 0); /* the rest is filled up */
    }
    /* FORMAT TRACK: two sectors. */
    set_dma(&m, false, 8);
    memcpy(m.dma.memory, "\2\0\1\2\2\0\2\2", 8);
    SEND(&m, 0x4d, 0, 2, 2, 0x50, 0xf6);
    wait_interrupt(&m);
    assert_int_equal(receive(&m, back), 7);
    assert_int_equal(back[0], 0);
    assert_int_equal(block_now(m.a, BLOCK_READ, (2 * 36 + 1) * SECTOR, back, SECTOR), 0);
    assert_int_equal(back[0], 0xf6);
    assert_int_equal(back[SECTOR - 1], 0xf6);
    end(&m);
}

static void test_without_dma(void **state)
{
    (void)state;
    static struct machine m;
    uint8_t bytes[SECTOR];
    begin(&m);
    SEND(&m, 0x03, 0xaf, 0x03);
    SEND(&m, 0x46, 0, 0, 0, 18, 2, 18, 0x1b, 0xff);
    wait_interrupt(&m);
    for (unsigned i = 0; i < SECTOR; i++) {
        assert_int_equal(in8(&m.h, MSR), 0xf0);
        bytes[i] = in8(&m.h, FIFO);
    }
    expect_pattern(bytes, 17 * SECTOR, SECTOR);
    expect(&m, 0x40, 0x80, 0, 1, 0, 1); /* no terminal count */
    SEND(&m, 0x45, 0, 0, 0, 1, 2, 1, 0x1b, 0xff);
    wait_interrupt(&m);
    for (unsigned i = 0; i < SECTOR; i++) {
        assert_int_equal(in8(&m.h, MSR), 0xb0);
        out8(&m.h, FIFO, (uint8_t)i);
    }
    expect(&m, 0x40, 0x80, 0, 1, 0, 1);
    assert_int_equal(block_now(m.a, BLOCK_READ, 0, bytes, SECTOR), 0);
    assert_int_equal(bytes[0x83], 0x83);
    end(&m);
}

static void test_errors(void **state)
{
    (void)state;
    static struct machine m;
    begin(&m);
    set_dma(&m, true, SECTOR);
    SEND(&m, 0x46, 0, 5, 0, 1, 2, 18, 0x1b, 0xff); /* the head is elsewhere */
    expect(&m, 0x40, 0x04, 0x10, 5, 0, 1);
    SEND(&m, 0x46, 0, 0, 0, 19, 2, 36, 0x1b, 0xff); /* no such sector */
    expect(&m, 0x40, 0x04, 0, 0, 0, 19);
    out8(&m.h, DIR, 2); /* another rate */
    SEND(&m, 0x46, 0, 0, 0, 1, 2, 18, 0x1b, 0xff);
    expect(&m, 0x40, 0x01, 0, 0, 0, 1);
    SEND(&m, 0x4a, 0);
    expect(&m, 0x40, 0x01, 0, 0, 0, 1);
    out8(&m.h, DIR, 0);
    drive_inject(m.a, BLOCK_READ, 0, EIO, 1);
    SEND(&m, 0x46, 0, 0, 0, 1, 2, 18, 0x1b, 0xff);
    expect(&m, 0x40, 0x20, 0x20, 0, 0, 1);
    set_dma(&m, false, SECTOR); /* the wrong way */
    SEND(&m, 0x46, 0, 0, 0, 1, 2, 18, 0x1b, 0xff);
    expect(&m, 0x40, 0x10, 0, 0, 0, 1);
    out8(&m.h, DOR, 0x0c); /* no motor */
    uint64_t before = clock_now(&m.h.clock);
    SEND(&m, 0x46, 0, 0, 0, 1, 2, 18, 0x1b, 0xff);
    expect(&m, 0x40, 0x01, 0, 0, 0, 1);
    assert_true(clock_now(&m.h.clock) - before >= 400 * MS);
    SEND(&m, 0x07, 1); /* no drive */
    wait_interrupt(&m);
    sense(&m, 0x71, 0);
    /* A reset in the middle. */
    SEND(&m, 0x46, 0, 0, 0, 1, 2, 18);
    out8(&m.h, MSR, 0x80);
    assert_int_equal(in8(&m.h, MSR), 0);
    wait_interrupt(&m);
    sense(&m, 0xc0, 0);
    end(&m);
}

static void test_write_protected(void **state)
{
    (void)state;
    static struct machine m;
    uint8_t bytes[10];
    begin_with(&m, FLOPPY_BYTES, ",readonly=on");
    start(&m);
    SEND(&m, 0x04, 0);
    assert_int_equal(receive(&m, bytes), 1);
    assert_int_equal(bytes[0] & 0x40, 0x40);
    set_dma(&m, false, SECTOR);
    SEND(&m, 0x45, 0, 0, 0, 1, 2, 18, 0x1b, 0xff);
    expect(&m, 0x40, 0x02, 0, 0, 0, 1);
    end(&m);
}

static void test_disk_change(void **state)
{
    (void)state;
    static struct machine m;
    struct error err;
    begin(&m);
    assert_int_equal(in8(&m.h, DIR) & 0x80, 0);
    assert_true(drive_eject(m.a, false, &err));
    assert_int_equal(in8(&m.h, DIR) & 0x80, 0x80);
    seek(&m, 1);
    assert_int_equal(in8(&m.h, DIR) & 0x80, 0x80); /* still nothing there */
    insert(&m, ",readonly=on");
    assert_int_equal(in8(&m.h, DIR) & 0x80, 0x80);
    seek(&m, 0);
    assert_int_equal(in8(&m.h, DIR) & 0x80, 0);
    out8(&m.h, DOR, 0x0c);
    assert_true(drive_eject(m.a, false, &err));
    assert_int_equal(in8(&m.h, DIR) & 0x80, 0); /* seen with the motor only */
    end(&m);
}

static void test_types(void **state)
{
    (void)state;
    static struct machine m;
    static const struct {
        unsigned kilobytes;
        uint8_t type, rate, sectors, cylinders, heads;
    } rows[] = {{360, 2, 1, 9, 40, 2},   {720, 4, 2, 9, 80, 2},   {1200, 2, 0, 15, 80, 2},
                {1440, 4, 0, 18, 80, 2}, {2880, 5, 3, 36, 80, 2}, {180, 2, 1, 9, 40, 1}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        begin_with(&m, (size_t)rows[i].kilobytes << 10, "");
        start(&m);
        assert_int_equal(fdc_cmos_type(m.fdc, 0), rows[i].type);
        out8(&m.h, DIR, rows[i].rate);
        uint8_t track = (uint8_t)(rows[i].cylinders - 1), head = (uint8_t)(rows[i].heads - 1);
        seek(&m, track);
        set_dma(&m, true, SECTOR);
        SEND(&m, 0x46, (uint8_t)(head << 2), track, head, rows[i].sectors, 2, rows[i].sectors, 0x1b,
             0xff);
        expect(&m, (uint8_t)(head << 2), 0, 0, (uint8_t)(track + 1), head, 1);
        expect_pattern(m.dma.memory, ((uint64_t)rows[i].kilobytes << 10) - SECTOR, SECTOR);
        end(&m);
    }
}

static void test_state(void **state)
{
    (void)state;
    static struct machine m, other;
    struct error err;
    begin_with(&m, FLOPPY_BYTES, ",snapshot=on");
    start(&m);
    begin_with(&other, FLOPPY_BYTES, ",snapshot=on");
    seek(&m, 3);
    SEND(&m, 0x46, 0, 3, 0);
    assert_true(harness_keeps_state(&m.h, &err));
    SEND(&m, 4, 2, 18, 0x1b, 0xff);
    set_dma(&other, true, SECTOR);
    harness_advance(&m.h, 20500); /* the request is under way */
    assert_int_equal(block_pool_busy(m.pool), 1);
    if (!harness_transplant(&m.h, &other.h, &err)) {
        fail_msg("%s", err.text);
    }
    expect(&other, 0, 0, 0, 3, 0, 5);
    expect_pattern(other.dma.memory, (3 * 36 + 3) * SECTOR, SECTOR);
    end(&m);
    end(&other);
}

static void test_floppy_device(void **state)
{
    (void)state;
    static struct machine m;
    struct error err;
    begin(&m);
    struct drive *b = drive_new("floppy1", m.pool);
    struct device *device = device_new(device_class_find("floppy"), &m.h.board);
    device_set_pointer(device, "drive", b);
    assert_true(device_set(device, "unit", "1", &err));
    assert_true(device_realize(device, &err));
    assert_int_equal(fdc_cmos_type(m.fdc, 1), 5); /* empty: 2.88 MiB */
    assert_false(drive_attach(b, NULL, NULL, &err));
    out8(&m.h, DOR, 0x2d);
    assert_int_equal(in8(&m.h, DIR) & 0x80, 0x80);
    assert_string_equal(harness_refuses(&m.h, "floppy", "unit=0", NULL), "No drive specified");
    struct drive *c = drive_new("c", m.pool);
    device = device_new(device_class_find("floppy"), &m.h.board);
    device_set_pointer(device, "drive", c);
    assert_false(device_realize(device, &err));
    assert_string_equal(err.text, "Floppy unit 1 is in use");
    end(&m);
    drive_free(b);
    drive_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_commands), cmocka_unit_test(test_read_track),
        cmocka_unit_test(test_write),          cmocka_unit_test(test_without_dma),
        cmocka_unit_test(test_errors),         cmocka_unit_test(test_write_protected),
        cmocka_unit_test(test_disk_change),    cmocka_unit_test(test_types),
        cmocka_unit_test(test_state),          cmocka_unit_test(test_floppy_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
